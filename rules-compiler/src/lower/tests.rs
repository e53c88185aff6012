//! Rule texts and what they must become, or why they are rejected.

use crate::diag::Cause;
use crate::{Dialect, LoadOptions, RuleSource, Ruleset, Support, VariableTable, load};
use weir_contract::protocol::AppProtocol;
use weir_ir::condition::{IpOption, TcpFlagsMode};
use weir_ir::*;

fn load_all(text: &str) -> Ruleset {
    let options = LoadOptions { support: Support::everything(), ..LoadOptions::default() };
    load(&[RuleSource::from_text("t.rules", text)], &VariableTable::default(), &options)
}

/// `body` with a header for `protocol` and a sid.
fn rule_for(protocol: &str, body: &str) -> Rule {
    let set = load_all(&format!("alert {protocol} any any -> any any ({body} sid:1;)"));
    assert!(set.rejected.is_empty(), "{body}: {}", crate::diag::render_text(&set.rejected[0]));
    set.rules.into_iter().next().unwrap()
}

fn reject(protocol: &str, body: &str) -> (Cause, String) {
    let set = load_all(&format!("alert {protocol} any any -> any any ({body} sid:1;)"));
    assert_eq!(set.rejected.len(), 1, "{body} was accepted");
    (set.rejected[0].cause, set.rejected[0].message.clone())
}

/// The buffers, each with its contents and expressions as text.
fn shape(rule: &Rule) -> String {
    let item = |m: &Match| match m {
        Match::Content(c) => {
            let number = |name: &str, n: Option<Number>| match n {
                None => String::new(),
                Some(Number::Constant(n)) => format!(" {name} {n}"),
                Some(Number::Variable(v)) => format!(" {name} v{v}"),
            };
            format!(
                "{}'{}'{}{}{}{}{}{}{}{}",
                if c.negated { "!" } else { "" },
                c.bytes.escape_ascii(),
                if c.nocase { " nocase" } else { "" },
                number("offset", c.offset),
                number("depth", c.depth),
                number("distance", c.distance),
                number("within", c.within),
                if c.anchor.start { " start" } else { "" },
                if c.anchor.end { " end" } else { "" },
                if c.fast_pattern { " fast" } else { "" },
            )
        }
        Match::Pcre(p) => format!(
            "{}/{}/{}{}",
            if p.negated { "!" } else { "" },
            p.pattern,
            if p.caseless { "i" } else { "" },
            if p.relative { "R" } else { "" }
        ),
        Match::Size(c) => format!("size {c:?}"),
        Match::IsDataAt(d) => {
            format!("{}at {:?}{}", if d.negated { "!" } else { "" }, d.position, if d.relative { " R" } else { "" })
        }
        Match::Absent { or_else } => format!("absent {or_else}"),
        other => format!("{other:?}").split(['(', ' ']).next().unwrap_or("").to_owned(),
    };
    let buffers: Vec<String> = rule
        .buffers
        .iter()
        .map(|b| {
            let transforms: String = b.transforms.iter().map(|t| format!("|{t:?}")).collect();
            format!("{}{transforms}[{}]", b.buffer.name(), b.matches.iter().map(item).collect::<Vec<_>>().join(", "))
        })
        .collect();
    buffers.join(" ")
}

#[test]
fn buffers_and_contents() {
    for (protocol, body, expected) in [
        ("tcp", r#"content:"ab|63 64|\"\;\:\\";"#, r#"payload['abcd\";:\\']"#),
        ("tcp", r#"Content:!"a"; NOCASE; offset:3; depth:5;"#, "payload[!'a' nocase offset 3 depth 5]"),
        ("tcp", r#"content:"a"; content:"b"; distance:-1; within:9;"#, "payload['a', 'b' distance -1 within 9]"),
        ("tcp", r#"content:"a"; startswith; content:"b"; endswith; fast_pattern;"#, "payload['a' start, 'b' end fast]"),
        (
            "http",
            r#"http.uri; content:"/a"; http.host; content:"x"; http.uri; content:"b"; within:4;"#,
            "http.uri['/a', 'b' within 4] http.host['x']",
        ),
        (
            "http",
            r#"content:"/a"; http_uri; content:"b"; distance:1; http_uri; content:"GET"; http_method;"#,
            "http.uri['/a', 'b' distance 1] http.method['GET']",
        ),
        (
            "http",
            r#"content:"x"; content:"/a"; http_uri; nocase; content:"y"; within:5;"#,
            "payload['x', 'y' within 5] http.uri['/a' nocase]",
        ),
        ("http", r#"uricontent:"/a"; nocase; content:"b";"#, "http.uri['/a' nocase] payload['b']"),
        ("http", r#"pcre:"/^x/Ui"; pcre:"/y/P"; pcre:"/z/R";"#, "http.uri[/^x/i] http.request_body[/y/] payload[/z/R]"),
        (
            "http",
            r#"flow:to_client; file_data; content:"a"; pcre:"/b/QR"; pkt_data; content:"c";"#,
            "file.data['a', /b/R] payload['c']",
        ),
        ("http", "urilen:>10; urilen:5,raw;", "http.uri[size Greater(10)] http.uri.raw[size Equal(5)]"),
        ("http", r#"http.host; content:"abc"; bsize:3;"#, "http.host['abc', size Equal(3)]"),
        ("http", "http.referer; absent;", "http.referer[absent false]"),
        ("http", r#"http.user_agent; absent:or_else; content:!"x";"#, "http.user_agent[absent true, !'x']"),
        ("dns", r#"dns.query; content:"a"; dns.query; content:"b";"#, "dns.query['a'] dns.query['b']"),
        ("dns", r#"dns_query; dotprefix; content:".a.b"; endswith;"#, "dns.query|DotPrefix['.a.b' end]"),
        ("dns", r#"dns.query; content:"rs-"; dotprefix; content:".x";"#, "dns.query['rs-'] dns.query|DotPrefix['.x']"),
        ("tls", r#"ja3_hash; content:"ABCDEF0123456789ABCDEF0123456789";"#, "ja3.hash['abcdef0123456789abcdef0123456789']"),
        ("tls", r#"tls.cert_serial; content:"0a0b";"#, "tls.cert_serial['0A:0B']"),
        ("tls", r#"tls.subject:"CN=x";"#, "tls.cert_subject['CN=x']"),
        (
            "tcp",
            r#"byte_extract:1,0,n; content:"a"; depth:n; isdataat:!n,relative;"#,
            "payload[ByteExtract, 'a' depth v0, !at Variable(0) R]",
        ),
        (
            "tcp",
            r#"base64_decode:bytes 9,relative; base64_data; content:"x";"#,
            "payload[Base64Decode] base64_data['x']",
        ),
        (
            "tcp",
            r#"content:"a", depth 9, offset 3, nocase; content:"b",distance 0,within 5;"#,
            "payload['a' nocase offset 3 depth 9, 'b' distance 0 within 5]",
        ),
        (
            "tcp",
            r#"flow:to_server; http_uri; content:"x",fast_pattern; http_header:field user-agent; content:"y"; pkt_data; content:"z";"#,
            "http.uri['x' fast] http.user_agent['y'] payload['z']",
        ),
        ("tcp", r#"content:"a",nocase; bufferlen:>4,relative;"#, "payload['a' nocase, at Constant(4) R]"),
        ("http", "http.uri; pcre:/a\\/b/;", "http.uri[/a\\/b/]"),
    ] {
        assert_eq!(shape(&rule_for(protocol, body)), expected, "{body}");
    }
}

#[test]
fn rejections() {
    use Cause::*;
    for (protocol, body, cause, message) in [
        ("tcp", r#"content:"a"; http_urri;"#, UnknownKeyword, "there is no keyword `http_urri`"),
        ("tcp", r#"content:"";"#, Value, "the content is empty"),
        ("tcp", r#"content:abc;"#, Value, "the value must stand in quotes"),
        ("tcp", r#"content:"|4|";"#, Value, "an odd number of hexadecimal digits"),
        ("tcp", r#"content:"|41";"#, Value, "`|` is not closed"),
        ("tcp", r#"content:"a\b";"#, Value, "`\\` may stand before `\"`, `;`, `:` and `\\` only"),
        ("tcp", "nocase;", Placement, "no content stands before this modifier"),
        ("tcp", r#"content:"abcd"; depth:3;"#, Conflict, "`depth` 3 is less than the content's length, 4"),
        ("tcp", r#"content:"abcd"; within:3;"#, Conflict, "`within` 3 is less than the content's length, 4"),
        (
            "tcp",
            r#"content:"a"; offset:1; distance:1;"#,
            Conflict,
            "`distance` is relative, `offset` and `depth` of the same content are not",
        ),
        ("tcp", r#"content:"a"; depth:5; depth:6;"#, Conflict, "`depth` stands twice for the same content"),
        ("tcp", r#"content:"a"; startswith; depth:6;"#, Conflict, "`startswith` and `depth` exclude each other"),
        ("tcp", r#"content:"a"; depth:x;"#, Value, "`x` is neither a number nor a variable defined before"),
        (
            "tcp",
            r#"content:"a"; fast_pattern; content:"b"; fast_pattern;"#,
            Conflict,
            "`fast_pattern` stands twice in the rule",
        ),
        ("tcp", r#"content:"ab"; fast_pattern:1,5;"#, Value, "`1,5` lies outside of the content, whose length is 2"),
        (
            "http",
            r#"http.host; content:"ABC";"#,
            Conflict,
            "`http.host` is lower case, but the content has upper-case letters",
        ),
        (
            "http",
            r#"http.uri; content:"abc"; bsize:2;"#,
            Conflict,
            "the content ends at byte 3 or later, but `http.uri` has at most 2 bytes",
        ),
        (
            "http",
            r#"http.uri; content:"a"; content:"b"; http_header;"#,
            Placement,
            "`http_header` modifies a content of the payload, but `http.uri` is in force",
        ),
        (
            "http",
            r#"http.uri; content:"a"; flow:to_client;"#,
            Conflict,
            "`http.uri` exists in requests only, but `flow` says to_client",
        ),
        (
            "http",
            r#"http.uri; content:"a"; http.stat_code; content:"200";"#,
            Conflict,
            "`http.uri` exists in requests only, but `http.stat_code` in responses only; one inspection sees one direction",
        ),
        ("http", r#"http.host; content:"a"; nocase;"#, Conflict, "`http.host` is lower case; `nocase` has no effect"),
        ("tls", r#"ja3.hash; content:"a";"#, Conflict, "`ja3.hash` is a digest of 32 hexadecimal digits"),
        ("http", r#"http.method; content:"GET ";"#, Conflict, "`http.method` has no white space around it"),
        ("http", r#"http.header.raw; content:"a";"#, Conflict, "`http.header.raw` is of requests or of responses, and the rule does not say which"),
        ("dns", r#"http.uri; content:"a";"#, Conflict, "`http.uri` belongs to http, but the rule is for dns"),
        (
            "http",
            r#"dsize:5; http.uri; content:"a";"#,
            Conflict,
            "`dsize` is a condition on a packet, `http.uri` on a transaction",
        ),
        ("http", "bsize:5;", Placement, "`bsize` stands before any sticky buffer"),
        ("http", "http.uri; to_md5;", Placement, "`http.uri` is transformed, but nothing is matched in it"),
        (
            "http",
            r#"http.uri; strip_whitespace; content:"a b";"#,
            Conflict,
            "the content cannot occur behind `strip_whitespace`",
        ),
        (
            "tcp",
            r#"dsize:<5; content:"abcde";"#,
            Conflict,
            "the contents need a payload of 5 bytes, but `dsize` allows 4 at most",
        ),
        ("tcp", "flow:established,to_sever;", Value, "`to_sever` is no word of `flow`; did you mean `to_server`?"),
        ("tcp", "flow:to_server,to_client;", Conflict, "`to_server` and `to_client` exclude each other"),
        (
            "tcp-stream",
            "dsize:5;",
            Conflict,
            "`dsize` is a condition on packets, but the rule inspects the stream only",
        ),
        (
            "tcp-pkt",
            r#"http.uri; content:"a";"#,
            Conflict,
            "`http.uri` is read from the stream, but the rule inspects packets only",
        ),
        ("udp", "flags:S;", Conflict, "`flags` never holds for packets of the rule's protocol"),
        ("tcp", r#"pcre:"/a/q";"#, Value, "`q` is no flag of an expression"),
        ("tcp", r#"pcre:"a";"#, Value, "the expression must stand between slashes"),
        ("tcp", r#"http.uri; pcre:"/a/H";"#, Placement, "the flags name `http.header`, but `http.uri` is in force"),
        ("tcp", "lua:x.lua;", UnsupportedKeyword, "`lua` is not supported: Lua scripts are not run"),
        (
            "http",
            r#"http.uri; luaxform:x; content:"a";"#,
            UnsupportedKeyword,
            "`luaxform` is not supported: Lua scripts are not run",
        ),
        ("tcp", "byte_test:9,>,1,0;", Value, "9 bytes cannot be converted; 1 to 8 can"),
        ("tcp", "byte_test:4,?,1,0;", Value, "`?` is no operator of byte_test"),
        ("tcp", "byte_test:4,>,1,0,hex;", Value, "`hex`, `dec` and `oct` need `string`"),
        ("tcp", "byte_math:bytes 4, offset 0, oper /, rvalue 0, result r;", Value, "division by 0"),
        ("tcp", "flowbits:sett,x;", Value, "`sett` is not set, unset, toggle, isset, isnotset or noalert"),
        (
            "tcp",
            "flowbits:isset,x; flowbits:isnotset,x;",
            Conflict,
            "the rule asks for a bit to be set and not to be set",
        ),
        (
            "tcp",
            "threshold:type limit,track by_src,count 1;",
            Value,
            "type, track, count and seconds (backoff: multiplier) must all be given",
        ),
        (
            "tcp",
            "threshold:type limit,track by_src,count 1,seconds 1; detection_filter:track by_src,count 1,seconds 1;",
            Conflict,
            "the rule has two of `threshold` and `detection_filter`",
        ),
        ("tcp", "decode-event:ipv4.pkt_to_small;", UnknownEvent, "there is no event `ipv4.pkt_to_small`"),
        (
            "tcp",
            "requires:version >= 99;",
            Requires,
            "the rule requires `version >= 99`, which Weir (rule language of Suricata 8.0) does not have",
        ),
        (
            "tcp",
            "requires:keyword foobar; foobar;",
            Requires,
            "the rule requires `keyword foobar`, which Weir (rule language of Suricata 8.0) does not have",
        ),
        ("htp", "", UnknownProtocol, "there is no protocol `htp`"),
        ("tcp", "base64_data; content:\"a\";", Placement, "`base64_data` without `base64_decode` before it"),
        ("http", "app-layer-protocol:dns;", Conflict, "the rule is for http already"),
        ("pkthdr", "content:\"a\";", Conflict, "a `pkthdr` rule can ask for decoder events only"),
        ("tcp", "sid:0;", Identity, "sid 0 is not valid"),
        ("tcp", "dataset:isset,x,type string,load ../x;", File, "the path `../x` leaves the data directory"),
    ] {
        assert_eq!(reject(protocol, body), (cause, message.to_owned()), "{body}");
    }
}

#[test]
fn headers() {
    for (line, cause, message) in [
        (
            "alert tcp $HOMENET any -> any any (sid:1;)",
            Cause::UndefinedVariable,
            "the variable `$HOMENET` is not defined",
        ),
        ("alert tcp any 99999 -> any any (sid:1;)", Cause::Address, "`99999` is not a port, range or variable"),
        ("alert tcp !any any -> any any (sid:1;)", Cause::Address, "`!any` leaves nothing to match"),
        ("alert tcp any any <- any any (sid:1;)", Cause::Header, "there is no direction `<-`"),
        (
            "alert tcp any any => any any (sid:1;)",
            Cause::Header,
            "`=>` needs an application protocol in the header",
        ),
        ("alrt tcp any any -> any any (sid:1;)", Cause::Header, "`alrt` is no action"),
        ("alert tcp any any -> any any (msg:\"x\";)", Cause::Identity, "the rule has no `sid`"),
        (
            "accept:hook tcp any any -> any any (sid:1;)",
            Cause::Header,
            "`accept` belongs to firewall rules",
        ),
    ] {
        let set = load_all(line);
        assert_eq!(set.rejected.len(), 1, "{line}");
        assert_eq!((set.rejected[0].cause, set.rejected[0].message.as_str()), (cause, message), "{line}");
        assert!(set.rejected[0].remedy.is_some(), "{line}");
    }
    let set =
        load_all("rejectboth udp ! $HOME_NET [53, 5353] <> [10.0.0.0/24,!10.0.0.0/31] 1024: (sid:7; rev:3; gid:2;)");
    let rule = &set.rules[0];
    assert_eq!(rule.identity, Identity { gid: 2, sid: 7, rev: 3 });
    assert_eq!((rule.action, rule.header.bidirectional), (Action::RejectBoth, true));
    assert_eq!(rule.header.source_ports.ranges, [(53, 53), (5353, 5353)]);
    assert!(!rule.header.source.contains("10.1.1.1".parse().unwrap()));
    let service = load_all(r#"alert ssl ( msg:"x"; content:"a"; sid:9; )"#);
    assert_eq!(service.rules[0].header.protocol, RuleProtocol::App(AppProtocol::Tls));
    assert!(service.rules[0].header.source.is_any());
}

#[test]
fn protocol_and_direction_follow_from_buffers() {
    let tcp = rule_for("tcp", r#"http.uri; content:"a";"#);
    assert_eq!(tcp.header.protocol, RuleProtocol::App(AppProtocol::Http));
    assert!(tcp.flow.unwrap().to_server);
    let udp = rule_for("udp", r#"dns.query; content:"a";"#);
    assert_eq!(udp.header.protocol, RuleProtocol::Udp);
    assert_eq!(udp.app_layer, [AppLayerCondition::Protocol { protocol: Some(AppProtocol::Dns), negated: false }]);
    let response = rule_for("http1", r#"http.stat_code; content:"200";"#);
    assert!(response.flow.unwrap().to_client);
    assert_eq!(response.header.protocol, RuleProtocol::App(AppProtocol::Http1));
    assert!(rule_for("http", r#"http.header; content:"a";"#).flow.is_none());
    assert_eq!(
        rule_for("tcp", "app-layer-event:applayer_wrong_direction_first_data;").header.protocol,
        RuleProtocol::Tcp
    );
}

#[test]
fn conditions() {
    use PacketCondition::*;
    for (protocol, body, expected) in [
        ("tcp", "dsize:10<>20;", PayloadSize(Comparison::Between(10, 20))),
        ("tcp", "flags:S,12;", TcpFlags(TcpFlagsMatch { flags: 2, ignore: 0xc0, mode: TcpFlagsMode::Exact })),
        ("tcp", "tcp.flags:+FPU;", TcpFlags(TcpFlagsMatch { flags: 0x29, ignore: 0, mode: TcpFlagsMode::All })),
        ("tcp", "window:!5;", TcpWindow(5, true)),
        ("icmp", "itype:<8;", IcmpType(Comparison::Less(8))),
        ("ip", "ip_proto:!tcp;", IpProtocol(Comparison::NotEqual(6))),
        ("ip", "ip_proto:>143;", IpProtocol(Comparison::Greater(143))),
        ("ip", "ipopts:lsrr;", IpOption(self::IpOption::Number(131))),
        ("ip", "fragbits:!D;", FragmentBits(2, TcpFlagsMode::Not)),
        ("ip", "tos:!x1f;", Tos(Comparison::NotEqual(31))),
        ("ip", "ttl:1-10;", Ttl(Comparison::Between(1, 10))),
        (
            "tcp",
            "stream_size:client,<,6;",
            StreamSize(weir_ir::StreamSize { side: condition::StreamSide::Client, size: Comparison::Less(6) }),
        ),
        ("tcp", "rpc:100000,*,5;", Rpc(100_000, None, Some(5))),
        ("tcp", "vlan.id:300,-1;", VlanId(VlanLayer::At(-1), Comparison::Equal(300))),
        ("tcp", "tcpv4-csum:invalid;", Checksum(condition::Checksum::TcpOverIpv4, false)),
        ("tcp", "flow.pkts_toserver:>3;", FlowPackets(condition::FlowSide::ToServer, Comparison::Greater(3))),
    ] {
        assert_eq!(rule_for(protocol, body).packet, [expected], "{body}");
    }
    for (protocol, body, expected) in [
        ("tls", "tls.version:1.2;", AppLayerCondition::TlsVersion(vec![(0x0303, false)])),
        ("tls", "ssl_version:sslv3,!tls1.0;", AppLayerCondition::TlsVersion(vec![(0x0300, false), (0x0301, true)])),
        ("dns", "dns.rcode:NXDOMAIN;", AppLayerCondition::DnsRcode(Comparison::Equal(3))),
        ("dns", "dns.opcode:!0;", AppLayerCondition::DnsOpcode(Comparison::NotEqual(0))),
        (
            "tcp",
            "app-layer-protocol:!http;",
            AppLayerCondition::Protocol { protocol: Some(AppProtocol::Http), negated: true },
        ),
        ("mqtt", "mqtt.type:PUBLISH;", AppLayerCondition::Named("mqtt.type".into(), Some(Comparison::Equal(3)))),
    ] {
        assert_eq!(rule_for(protocol, body).app_layer, [expected], "{body}");
    }
}

#[test]
fn state() {
    let rule = rule_for(
        "tcp",
        "flowbits:isset,a|b; flowbits:set,c; flowbits:noalert; flowint:n,+,1; flowint:n,>=,m; xbits:set,x,track ip_pair,expire 5; \
         threshold:type backoff, track by_flow, count 1, multiplier 10; tag:session,10,packets; target:dest_ip; priority:7;",
    );
    assert_eq!(rule.flowbits[0].names.len(), 2);
    assert!(rule.noalert && rule.tag.is_some() && rule.has_outside_effect());
    assert_eq!(
        rule.flowints[1].operation,
        state::FlowintOperation::CompareVariable(std::cmp::Ordering::Less, true, "m".into())
    );
    assert_eq!((rule.xbits[0].track, rule.xbits[0].expire), (Track::Both, 5));
    assert_eq!(rule.threshold.unwrap().kind, ThresholdKind::Backoff(10));
    assert_eq!((rule.meta.priority, rule.meta.target), (7, Some(Target::Destination)));
    let both = rule_for("tcp", "hostbits:isset,h,both;");
    assert_eq!(both.xbits.iter().map(|x| x.track).collect::<Vec<_>>(), [Track::Source, Track::Destination]);
}

#[test]
fn words_about_the_rule() {
    let options = LoadOptions {
        classification: Some(RuleSource::from_text("c", "config classification: trojan-activity,A Network Trojan,1\n")),
        reference: Some(RuleSource::from_text("r", "config reference: url https://\n")),
        threshold: Some(RuleSource::from_text("t", "suppress gen_id 1, sig_id 3\n")),
        ..LoadOptions::default()
    };
    let text = r#"alert tcp any any -> any any (msg:"a \"b\"\; c"; classtype:trojan-activity; reference:url,x.y; metadata:k v w, deployment Perimeter; sid:1;)
alert tcp any any -> any any (classtype:trojan-activty; reference:vul,1; sid:2;)"#;
    let set = load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &options);
    let meta = &set.rules[0].meta;
    assert_eq!((&*meta.message, meta.priority), ("a \"b\"; c", 1));
    assert_eq!(meta.class_description.as_deref(), Some("A Network Trojan"));
    assert_eq!(meta.metadata, [("k".into(), "v w".into()), ("deployment".into(), "Perimeter".into())]);
    assert_eq!(set.rules[1].meta.priority, 3);
    assert_eq!(set.warnings.len(), 2);
    assert!(set.warnings[0].remedy.as_ref().unwrap().contains("`trojan-activity`"));
    assert_eq!(set.suppressions.len(), 1);
}

#[test]
fn highest_rev_counts() {
    let text = "alert ip any any -> any any (msg:\"1\"; sid:5; rev:1;)\nalert ip any any -> any any (msg:\"3\"; sid:5; rev:3;)\n\
                alert ip any any -> any any (msg:\"2\"; sid:5; rev:2;)\nalert ip any any -> any any (msg:\"g\"; gid:2; sid:5;)\n";
    let set = load_all(text);
    assert_eq!(set.rules.iter().map(|r| &*r.meta.message).collect::<Vec<_>>(), ["3", "g"]);
    assert_eq!((set.replaced, set.rejected.len(), set.rejected[0].line), (1, 1, 3));
    assert_eq!(set.rejected[0].message, "sid 5 is taken by the rule at t.rules:2, whose rev is 3");
}

#[test]
fn support_decides() {
    let mut options = LoadOptions::default();
    options.support.protocols.remove(&AppProtocol::WebSocket);
    [AppProtocol::Pop3, AppProtocol::Dnp3].iter().for_each(|p| assert!(options.support.parsed.remove(p)));
    let load_with = |text: &str| load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &options);
    for (text, message) in [
        (r#"alert websocket any any -> any any (sid:1;)"#, "the engine does not detect `websocket`"),
        (r#"alert pop3 any any -> any any (file.data; content:"a"; sid:1;)"#, "the engine has no parser for `pop3`"),
        (
            r#"alert smtp any any -> any any (email.body_md5; content:"a"; sid:1;)"#,
            "the engine does not provide the buffer `email.body_md5`",
        ),
        (
            r#"alert dnp3 any any -> any any (app-layer-event:dnp3.flooded; sid:1;)"#,
            "the engine has no parser for `dnp3`",
        ),
    ] {
        assert_eq!(load_with(text).rejected[0].message, message, "{text}");
    }
    assert_eq!(load_with(r#"alert pop3 any any -> any any (content:"a"; sid:1;)"#).rules.len(), 1);
}

#[test]
fn places_of_faults() {
    let text = "\n# c\nalert tcp any any -> any any (msg:\"x\"; \\\n  content:\"abc\"; \\\n  depth:2; sid:9;)\n";
    let set = load_all(text);
    let d = &set.rejected[0];
    assert_eq!((d.line, d.column, d.sid), (5, 3, Some(9)));
    assert_eq!(&text[d.span.start as usize..d.span.end as usize], "depth:2");
    assert_eq!(&*d.file, "t.rules");
}

#[test]
fn dialects() {
    let text = r#"alert tcp any any -> any any (content:"a"; http_uri; content:"b"; sid:1;)"#;
    let with = |dialect| {
        let options = LoadOptions { dialect, ..LoadOptions::default() };
        let set = load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &options);
        shape(&set.rules[0])
    };
    assert_eq!(with(Dialect::Auto), "payload['b'] http.uri['a']");
    assert_eq!(with(Dialect::Suricata), "payload['b'] http.uri['a']");
    assert_eq!(with(Dialect::Snort3), "payload['a'] http.uri['b']");
}

#[test]
fn expressions_can_be_checked_at_load() {
    let check = |p: &Pcre| if p.pattern.contains("(") { Err("unbalanced".to_owned()) } else { Ok(()) };
    let options = LoadOptions { check_pcre: Some(&check), ..LoadOptions::default() };
    let text =
        "alert tcp any any -> any any (pcre:\"/(a/\"; sid:1;)\nalert tcp any any -> any any (pcre:\"/a/\"; sid:2;)";
    let set = load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &options);
    assert_eq!((set.rules.len(), set.rejected[0].message.as_str()), (1, "the expression is not valid: unbalanced"));
}
