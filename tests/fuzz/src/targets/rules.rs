//! Rule text: from the file's bytes to the tables of a device.

use crate::{Target, seeds};
use std::path::{Path, PathBuf};
use weir_detect::{CompileOptions, Program};
use weir_rules::image::{ImageOptions, emit};
use weir_rules::plan::{Options, plan};
use weir_rules::{Dialect, LoadOptions, RuleSource, VariableTable, fuzz_rule_text, load};

/// The targets of this room.
pub fn targets() -> [Target; 3] {
    let common = Target {
        dictionary: WORDS,
        shared: shared_rules,
        longest: 4 << 10,
        memory: 192 << 20,
        ..Target::new(
            "rules-suricata",
            "a Suricata rule file through load, lowering, the engine's compiler, plan and tables: spans lie in the text, \
             counts add up, the device takes what the compiler emits",
            |bytes| {
                fuzz_rule_text(bytes);
                whole_path(bytes, Dialect::Auto);
            },
            own_rules,
        )
    };
    let snort = Target {
        name: "rules-snort",
        about: "the same in Snort 3's dialect",
        run: |bytes| whole_path(bytes, Dialect::Snort3),
        ..common
    };
    let proof = Target {
        name: "rules-proof",
        about: "rule files whose tables the independent checker must prove; long runs only",
        run: prove,
        heavy: true,
        ..common
    };
    [common, snort, proof]
}

/// Text to tables to proofs. A rule without one is a fault of the planner, or something that the checker has yet to learn.
fn prove(bytes: &[u8]) {
    for dialect in [Dialect::Auto, Dialect::Snort3] {
        let sources = [RuleSource::from_text("fuzz.rules", bytes)];
        let set = load(&sources, &VariableTable::default(), &LoadOptions { dialect, ..LoadOptions::default() });
        let rules = &set.rules;
        let Ok(image) = emit(rules, &mut plan(rules, &Options::default()), &ImageOptions::default()) else { return };
        let proof = weir_verify::verify(rules, &weir_verify::Host::default(), &image.bytes);
        let report = proof.unwrap_or_else(|broken| panic!("the checker cannot read the compiler's tables: {broken}"));
        if let Some(missing) = report.missing.first() {
            panic!("no proof of {}: {}", rules[missing.rule].source.text, missing.cause);
        }
        assert!(report.is_good(), "{:?} {:?}", report.faults, report.certificate);
    }
}

/// Text to tables.
pub fn whole_path(bytes: &[u8], dialect: Dialect) {
    let sources = [RuleSource::from_text("fuzz.rules", bytes)];
    let set = load(&sources, &VariableTable::default(), &LoadOptions { dialect, ..LoadOptions::default() });
    let loaded = set.rules.len();
    assert_eq!(loaded + set.rejected.len() + set.replaced, set.total);
    let (program, refused) = Program::compile(set.rules, CompileOptions::default());
    assert_eq!(program.len() + refused.len(), loaded, "each rule is compiled or refused");
    let rules = program.sources();
    if rules.is_empty() {
        return;
    }
    let mut plan = plan(rules, &Options::default());
    let image = match emit(rules, &mut plan, &ImageOptions::default()) {
        Ok(image) => image,
        Err(error) => panic!("the tables do not fit: {error}"),
    };
    if let Err(refusal) = weir_sim::tables::Tables::load(&image.bytes) {
        panic!("the device refuses the compiler's tables: {refusal}");
    }
}

/// Rule files of the scenarios, and rules with what those lack.
fn own_rules() -> Vec<Vec<u8>> {
    let scenarios = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let files: Vec<PathBuf> =
        seeds::files(&scenarios).into_iter().filter(|path| path.extension().is_some_and(|e| e == "rules")).collect();
    let mut found = seeds::contents(&files);
    found.extend(EXTRA.iter().map(|text| text.as_bytes().to_vec()));
    found
}

/// Every twentieth rule of the shared rule files.
fn shared_rules(data: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for path in seeds::files(&data.join("rules")) {
        if path.extension().is_none_or(|e| e != "rules") {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let rules = bytes.split(|byte| *byte == b'\n').filter(|line| line.contains(&b'('));
        found.extend(rules.step_by(20).map(<[u8]>::to_vec));
    }
    found
}

const EXTRA: [&str; 12] = [
    r#"alert http $HOME_NET any -> $EXTERNAL_NET $HTTP_PORTS (msg:"a"; flow:established,to_server; http.method; content:"POST"; http.uri; content:"/a|2e|b"; nocase; endswith; pcre:"/\/[a-z]{3,9}\.php$/Ui"; http.header; content:"User-Agent|3a 20|"; content:!"x"; distance:0; within:20; classtype:trojan-activity; reference:url,example.com; metadata:a b, c d; sid:1; rev:2;)"#,
    r#"alert tcp any any -> any 445 (msg:"b"; content:"|ff|SMB"; offset:4; depth:4; byte_test:2,>,100,0,relative,little; byte_jump:4,20,relative,align; byte_extract:1,0,n,relative; content:"x"; within:n; isdataat:!1,relative; flowbits:set,f; flowbits:noalert; sid:2;)"#,
    r#"alert dns any any -> any any (msg:"c"; dns.query; dotprefix; content:".example.com"; endswith; threshold:type limit, track by_src, count 1, seconds 60; sid:3;)"#,
    r#"alert tls any any -> any any (msg:"d"; tls.sni; content:"evil"; bsize:4<>10; ja3.hash; content:"0123456789abcdef0123456789abcdef"; sid:4;)"#,
    r#"drop icmp any any <> any any (itype:8; icode:<3; dsize:>100; icmp_id:5; sid:5;)"#,
    r#"alert ip [10.0.0.0/8,!10.1.0.0/16] any -> any any (ip_proto:!6; ttl:<5; fragbits:M+; fragoffset:>0; ipopts:rr; id:1; tos:8; sid:6;)"#,
    r#"alert tcp any [80,!81,1024:] -> any any (flags:SA,CE; seq:0; ack:1; window:!55808; tcp.mss:<100; stream_size:client,>,10; sid:7;)"#,
    r#"alert http any any -> any any (file.data; content:"<script"; to_lowercase; fast_pattern; filesize:1<>100; http.stat_code; content:"200"; xbits:set,x,track ip_src,expire 60; sid:8;)"#,
    "pass udp any any -> any 53 (content:\"|00 01|\"; rawbytes; dsize:10<>20; sid:9;)\nalert decode-event any any -> any any (decode-event:ipv4.trunc_pkt; sid:10;)\nalert tcp any any -> any any (stream-event:reassembly_overlap_different_data; sid:11;)\nalert http any any -> any any (app-layer-event:http.unable_to_match_response_to_request; sid:12;)",
    r#"alert http ( msg:"snort 3"; flow:to_server; http_uri; content:"/evil",fast_pattern,nocase; content:"x",distance 1,within 10; pcre:"/a.b/i"; bufferlen:>10; service:http; sid:13; )"#,
    r#"alert tcp $EXTERNAL_NET any -> $HOME_NET $HTTP_PORTS ( msg:"snort 2"; flow:to_server,established; uricontent:"/x"; content:"a"; http_header; http_raw_uri; urilen:5<>10; byte_math:bytes 2,offset 0,oper +,rvalue 1,result r; detection_filter:track by_src,count 5,seconds 10; sid:14; )"#,
    "# alert tcp any any -> any any (sid:1;)\nalert tcp any any -> any any ( \\\n  msg:\"continued\\; and\\\\ escaped \\\" quotes\"; \\\n  content:\"a\\|b\"; sid:15; )\n",
];

const WORDS: &[&[u8]] = &[
    b"alert ", b"drop ", b"pass ", b"reject ", b"rejectboth ", b"tcp ", b"udp ", b"ip ", b"http ", b"tls ", b"dns ", b"any ",
    b"-> ", b"<> ", b"=> ", b"$HOME_NET ", b"[80,!81]", b"[", b"]", b"!", b",", b";", b":", b"\"", b"\\", b"|", b"(", b")",
    b"\\\n", b"\n", b"content:\"", b"content:!\"", b"|00|", b"|0d 0a|", b"nocase;", b"rawbytes;", b"fast_pattern;",
    b"fast_pattern:only;", b"fast_pattern:1,4;", b"offset:1;", b"depth:4;", b"distance:-1;", b"within:4;", b"startswith;",
    b"endswith;", b"bsize:4;", b"dsize:>1;", b"isdataat:10,relative;", b"pcre:\"/a/\";", b"pcre:\"/(a+)+$/R\";",
    b"byte_test:4,>,1,0,relative;", b"byte_jump:4,0,relative,multiplier 4;", b"byte_extract:4,0,v;", b"byte_math:",
    b"http.uri;", b"http.header;", b"http.cookie;", b"http.host;", b"http.request_body;", b"file.data;", b"http_uri;",
    b"http_header;", b"dns.query;", b"tls.sni;", b"ja3.hash;", b"pkt_data;", b"base64_decode:;", b"base64_data;", b"to_md5;",
    b"to_sha256;", b"strip_whitespace;", b"url_decode;", b"xor:\"0a\";", b"dotprefix;", b"flow:established,to_server;",
    b"flowbits:set,a;", b"flowbits:isset,a|b;", b"flowint:a,+,1;", b"xbits:set,a,track ip_src;", b"noalert;",
    b"threshold:type both,track by_src,count 1,seconds 1;", b"detection_filter:", b"tag:session,10,packets;", b"flags:S,12;",
    b"ttl:1-5;", b"itype:8<>10;", b"ip_proto:tcp;", b"fragbits:+MD;", b"app-layer-event:", b"decode-event:", b"stream-event:",
    b"app-layer-protocol:!http;", b"dataset:isset,a,type string;", b"urilen:>10;", b"filemagic:\"x\";", b"sid:1;", b"rev:1;",
    b"gid:1;", b"priority:1;", b"classtype:bad-unknown;", b"metadata:a b;", b"reference:cve,1;", b"target:src_ip;",
    b"4294967295", b"4294967296", b"-1", b"65536", b"0x", b"<>", b">=", b"!=", b"track by_dst", b"relative", b"little", b"hex",
];
