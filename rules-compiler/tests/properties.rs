//! Any bytes are a rule file: nothing panics, spans lie within the input, one bad rule costs itself only.

use proptest::prelude::*;
use weir_rules::syntax::{Chunk, Splitter, parse_rule};
use weir_rules::{LoadOptions, RuleSource, VariableTable, fuzz_rule_text, load};

/// Pieces that rules are made of, so that random texts come near to rules.
const PIECES: &[&str] = &[
    "alert ",
    "tcp ",
    "http ",
    "any ",
    "any -> any any ",
    "$HOME_NET ",
    "[1.2.3.4,!",
    "]",
    "(",
    ")",
    ";",
    ";)",
    "\n",
    "\\\n",
    "\r\n",
    "# ",
    "\"",
    "\\\"",
    "!",
    ":",
    ",",
    "content:\"a|41|\";",
    "content:!\"",
    "|",
    "depth:3;",
    "within:1;",
    "http.uri;",
    "http_uri;",
    "pcre:\"/a\\/b/Ri\";",
    "pcre:\"/",
    "byte_test:4,>,1,0;",
    "byte_math:bytes 1,",
    "flow:established,to_server;",
    "flowbits:set,a;",
    "sid:1;",
    "sid:",
    "msg:\"x\";",
    "threshold:type limit, track by_src, count 1, seconds 1;",
    "dns.query;",
    "dotprefix;",
    "xor:\"0d\";",
    "urilen:1<>5;",
    "dsize:",
    "<",
    "99999999999999999999",
    "tls_cert_notbefore:>2015;",
    "dce_iface:",
    "requires:version >= 7;",
    "metadata:a b, c;",
    "\u{feff}",
    "é",
    "\0",
    "nocase",
    "asn1:oversize_length 5;",
    "vlan.id:1,2;",
];

fn rule_like() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(PIECES), 0..60).prop_map(|p| p.concat().into_bytes())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz_rule_text(&bytes);
    }

    #[test]
    fn near_rules(bytes in rule_like()) {
        fuzz_rule_text(&bytes);
    }

    #[test]
    fn spans_lie_within_the_text(bytes in rule_like()) {
        for chunk in Splitter::new(&bytes) {
            let Chunk::Rule(rule) = chunk else { continue };
            prop_assert!(rule.origin.file_offset(rule.text.len().saturating_sub(1)) < bytes.len());
            let spans = match parse_rule(&rule.text) {
                Ok(parsed) => parsed.options.iter().map(|o| o.span()).collect(),
                Err(e) => vec![e.span],
            };
            for span in spans {
                prop_assert!(span.start <= span.end && span.end as usize <= rule.text.len());
            }
        }
    }

    /// A good rule behind (on a line of its own) and before any garbage is loaded, unless the garbage holds its sid.
    #[test]
    fn garbage_costs_itself_only(bytes in rule_like()) {
        let good = b"alert udp any any -> any any (msg:\"good\"; sid:4711;)\n";
        let mut text = good.to_vec();
        text.extend_from_slice(&bytes);
        text.extend_from_slice(b"\n\nalert udp any any -> any any (msg:\"good too\"; sid:4712;)\n");
        let set = load(&[RuleSource::from_text("f", text)], &VariableTable::default(), &LoadOptions::default());
        let found = |sid| set.rules.iter().any(|r| r.identity.sid == sid);
        prop_assert!(found(4711) && found(4712));
    }
}

#[test]
fn deep_and_long_inputs() {
    fuzz_rule_text(&b"[".repeat(200_000));
    fuzz_rule_text(format!("alert tcp {} any -> any any (sid:1;)", "[".repeat(100_000)).as_bytes());
    fuzz_rule_text(format!("alert tcp any any -> any any ({} sid:1;)", "content:\"a\";".repeat(20_000)).as_bytes());
    fuzz_rule_text(format!("alert tcp any any -> any any (content:\"{}\"; sid:1;)", "a".repeat(2_000_000)).as_bytes());
    fuzz_rule_text("alert tcp any any -> any any (\\\n".repeat(20_000).as_bytes());
    fuzz_rule_text("(\n".repeat(50_000).as_bytes());
}
