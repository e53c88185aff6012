//! Rules in their normal form, shown.

use super::*;
use crate::{LoadOptions, RuleSource, VariableTable, load};

fn shown(text: &str) -> ShownRule {
    let set = load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &LoadOptions::default());
    assert!(set.rejected.is_empty(), "{:?}", set.rejected);
    ShownRule::new(&set.rules[0])
}

#[test]
fn contents_with_their_modifiers() {
    let rule = shown(
        r#"alert tcp $EXTERNAL_NET [80,8000:8010] -> $HOME_NET !22 (flow:established,to_client; content:!"a|3b 00|B"; nocase; offset:2; depth:8; content:"xyz"; distance:0; within:9; fast_pattern; pcre:"/^a[^b]+/Ri"; byte_test:2,>,10,4,relative,little; byte_jump:2,0,relative,post_offset -1; isdataat:!4,relative; sid:1;)"#,
    );
    assert_eq!(
        rule.header,
        "alert tcp ![10.0.0.0/8,172.16.0.0/12,192.168.0.0/16] [80,8000:8010] -> [10.0.0.0/8,172.16.0.0/12,192.168.0.0/16] !22"
    );
    assert_eq!(rule.conditions, ["flow:established,to_client"]);
    assert_eq!(
        rule.buffers,
        [ShownBuffer {
            buffer: "payload".into(),
            transforms: vec![],
            matches: [
                r#"content:!"a|3b 00|B"; offset:2; depth:8; nocase"#.into(),
                r#"content:"xyz"; distance:0; within:9; fast_pattern"#.into(),
                r#"pcre:"/^a[^b]+/iR""#.into(),
                "byte_test:2,>,10,4,relative,little".into(),
                "byte_jump:2,0,relative,post_offset -1".into(),
                "isdataat:!4,relative".into(),
            ]
            .to_vec(),
        }]
    );
}

#[test]
fn conditions_and_state() {
    let rule = shown(
        r#"alert tcp any any <> any any (flags:S+,CE; dsize:3<>9; window:!5; flowbits:set,a; flowbits:isset,b|c; xbits:set,x,track ip_src,expire 60; threshold:type limit,track by_src,count 1,seconds 60; noalert; sid:1;)"#
            .replace("S+", "+S")
            .as_str(),
    );
    assert!(rule.header.contains("<>"), "{}", rule.header);
    assert_eq!(rule.conditions, ["tcp.flags:+S,EC", "dsize:3<>9", "window:!5"]);
    assert_eq!(
        rule.state,
        [
            "flowbits:set,a",
            "flowbits:isset,b|c",
            "xbits:set,x,track ip_src,expire 60",
            "threshold:type limit,track by_src,count 1,seconds 60",
            "noalert"
        ]
    );
    let rule = shown(r#"alert dns any any -> any any (dns.query; dotprefix; content:".evil.example"; endswith; bsize:3<>90; sid:1;)"#);
    assert_eq!(rule.buffers[0].buffer, "dns.query");
    assert_eq!(rule.buffers[0].transforms, ["dotprefix"]);
    assert_eq!(rule.buffers[0].matches, [r#"content:".evil.example"; endswith"#, "bsize:3<>90"]);
}

/// Nothing in a report is the programmer's view of a value.
#[test]
fn shown_text_reads_back_to_the_same_rule() {
    for text in [
        r#"alert tcp any any -> any 80 (content:"abc|00 7c|d"; offset:1; depth:20; content:"e"; distance:-2; within:7; nocase; sid:1;)"#,
        r#"alert http any any -> any any (http.uri; content:"/a b"; startswith; pcre:"/x\/y/i"; sid:1;)"#,
        r#"alert udp any any -> any 53 (byte_extract:1,0,n; byte_test:1,!&,0x80,2; isdataat:20; byte_math:bytes 2,offset 1,oper +,rvalue 3,result m; sid:1;)"#,
    ] {
        let set = load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &LoadOptions::default());
        let first = &set.rules[0];
        let rule = ShownRule::new(first);
        let mut again = format!("{} (", rule.header);
        for condition in &rule.conditions {
            again += &format!("{condition}; ");
        }
        for buffer in &rule.buffers {
            if buffer.buffer != "payload" {
                again += &format!("{}; ", buffer.buffer);
            }
            for found in &buffer.matches {
                again += &format!("{found}; ");
            }
        }
        again += "sid:1;)";
        let back = load(&[RuleSource::from_text("x", again.as_str())], &VariableTable::default(), &LoadOptions::default());
        assert!(back.rejected.is_empty(), "{again}: {:?}", back.rejected);
        assert_eq!(back.rules[0].buffers, first.buffers, "{again}");
        assert_eq!(back.rules[0].header, first.header, "{again}");
    }
}
