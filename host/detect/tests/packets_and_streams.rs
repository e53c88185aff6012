//! Rules on packets and streams, from rule text to alerts.

mod common;

use common::*;
use weir_detect::{ConfigEntry, Effect};
use weir_ir::Track;
use weir_packet::DecoderEvent;
use weir_reassembly::StreamEvent;

#[test]
fn contents_on_datagrams() {
    let mut bed = Bed::new(
        r#"alert udp any any -> any any (msg:"a"; content:"abc"; sid:1;)
           alert udp any any -> any any (content:"ABC"; nocase; sid:2;)
           alert udp any any -> any any (content:"abc"; content:"def"; distance:1; within:4; sid:3;)
           alert udp any any -> any any (content:"abc"; offset:2; depth:4; sid:4;)
           alert udp any any -> any any (content:"abc"; startswith; content:!"x"; sid:5;)
           alert udp any any -> any any (content:"abc"; content:"z"; endswith; sid:6;)
           alert udp any any -> any any (content:!"abc"; sid:7;)
           alert udp any any -> any any (pcre:"/a.c/"; sid:8;)
           alert udp any any -> any any (content:"a"; byte_test:1,=,98,0,relative; sid:9;)
           alert udp any any -> any any (dsize:3; sid:10;)
           alert udp any any -> any any (content:"ab"; isdataat:!2,relative; sid:11;)"#,
    );
    let one = |payload: &[u8], bed: &mut Bed| bed.datagram(ToServer, payload);
    assert_eq!(one(b"abc", &mut bed), [1, 2, 5, 8, 9, 10, 11]);
    assert_eq!(one(b"xABC", &mut bed), [2, 7]);
    assert_eq!(one(b"abc.def", &mut bed), [1, 2, 3, 5, 8, 9]);
    assert_eq!(one(b"abcdef", &mut bed), [1, 2, 5, 8, 9]);
    assert_eq!(one(b"..abcx", &mut bed), [1, 2, 4, 8, 9]);
    assert_eq!(one(b"...abcz", &mut bed), [1, 2, 4, 6, 8, 9]);
    assert_eq!(one(b"....abcz", &mut bed), [1, 2, 6, 8, 9]);
    assert_eq!(one(b"", &mut bed), [] as [u32; 0]);
}

#[test]
fn header_only_rules_and_direction() {
    let mut bed = Bed::new(
        r#"alert tcp any any -> any 80 (flags:S; sid:1;)
           alert tcp any 80 -> any any (flags:SA; sid:2;)
           alert tcp any any -> 10.0.0.2 any (flow:to_server; flags:PA; sid:3;)
           alert icmp any any -> any any (itype:8; icode:0; sid:4;)
           alert ip 10.0.0.1 any -> any any (sid:5;)
           alert ip !10.0.0.1 any -> any any (sid:6;)
           alert tcp any any <> any 80 (ttl:64; sid:7;)"#,
    );
    bed.tcp_flags = 2;
    assert_eq!(bed.segment(ToServer, b""), [1, 5, 7]);
    bed.tcp_flags = 0x12;
    assert_eq!(bed.segment(ToClient, b""), [2, 6, 7]);
    bed.tcp_flags = 0x18;
    // Rules on addresses alone are inspected once for each direction of a flow.
    assert_eq!(bed.segment(ToServer, b"x"), [3, 7]);
    bed.new_flow();
    assert_eq!(bed.icmp(ToServer, 8, 0), [4, 5]);
    assert_eq!(bed.icmp(ToServer, 8, 1), [] as [u32; 0]);
}

#[test]
fn stream_across_segments() {
    let mut bed = Bed::new(
        r#"alert tcp any any -> any any (content:"hello world"; sid:1;)
           alert tcp-pkt any any -> any any (content:"hello world"; sid:2;)
           alert tcp-stream any any -> any any (content:"hello world"; sid:3;)
           alert tcp any any -> any any (content:"hello"; content:"world"; distance:0; sid:4;)
           alert tcp any any -> any any (content:"wor"; depth:3; sid:5;)
           alert tcp any any -> any any (content:"hello world"; dsize:>5; sid:6;)
           alert tcp any any -> any any (content:"hello"; pcre:"/^ w.r/R"; sid:7;)"#,
    );
    assert_eq!(bed.deliver(ToServer, b"xx hello "), [] as [u32; 0]);
    // (sid 4 and 7: their pattern is there, the rest may come.)
    assert!(bed.waits(ToServer, 2560));
    assert_eq!(bed.deliver(ToServer, b"world"), [1, 3, 4, 5, 7]);
    // The same bytes do not match again; new ones do.
    assert_eq!(bed.deliver(ToServer, b"..."), [] as [u32; 0]);
    assert_eq!(bed.deliver(ToServer, b"hello world"), [1, 2, 3, 4, 6, 7]);
    // Another direction is another stream.
    assert_eq!(bed.deliver(ToClient, b"world"), [5]);
    // What the window has lost cannot match.
    bed.deliver(ToServer, b"hello");
    bed.deliver(ToServer, &[b'-'; 3000]);
    assert_eq!(bed.deliver(ToServer, b" world"), [] as [u32; 0]);
    assert!(!bed.waits(ToServer, 2560));
}

/// A rule whose pattern is in the stream waits as long as bytes to come could complete it, and no longer.
#[test]
fn who_waits_for_more_of_a_stream() {
    let waits = |rule: &str, bytes: &[u8]| {
        let mut bed = Bed::new(&format!("alert tcp any any -> any any ({rule}; sid:1;)"));
        bed.deliver(ToServer, bytes);
        bed.waits(ToServer, 2560)
    };
    let recipient = r#"content:"rcpt to:"; nocase; content:!"|0a|"; within:20; isdataat:20,relative"#;
    assert!(waits(recipient, b"RCPT TO:<a@"));
    assert!(!waits(recipient, b"RCPT TO:<a@b>\r\n"));
    let then = r#"content:"needle"; content:"hay"; distance:0"#;
    assert!(waits(then, b"needle in") && waits(then, b"needle in ha"));
    assert!(waits(r#"content:"needle"; fast_pattern; content:"hay""#, b"needle in"));
    // What must lie before the pattern would have to come before another one, which the device flags.
    assert!(!waits(r#"content:"hay"; content:"needle"; distance:0; fast_pattern"#, b"needle in"));
    assert!(!waits(r#"content:"needle"; content:"hay"; within:3"#, b"needle in"));
    assert!(waits(r#"content:"needle"; content:"hay"; within:3"#, b"a needleh"));
    assert!(!waits(r#"content:"xx"; depth:2; content:"needle"; distance:0"#, b"a needle"));
    // Expressions: as long as what has come is the beginning of a match.
    let word = r#"content:"user "; pcre:"/^(adair|johan)\r\n/R""#;
    assert!(waits(word, b"user jo") && !waits(word, b"user root\r\n"));
    let line = r#"content:"cmd"; nocase; pcre:"/^cmd\s[^\n]{20}/smi""#;
    assert!(waits(line, b"CMD abc") && !waits(line, b"CMD abc\nxx"));
    assert!(waits(r#"content:"cmd"; depth:3; pcre:"/^cmd\s[^\n]{20}/smi""#, b"cmd abc\nxx"));
    assert!(waits(r#"content:"cmd"; pcre:"/x{3}/""#, b"cmd abc\nxx"));
    // What has matched does not match again.
    assert!(!waits(r#"content:"needle""#, b"a needle"));
}

#[test]
fn positions_in_the_stream() {
    let mut bed = Bed::new(
        r#"alert tcp-stream any any -> any any (content:"GET"; depth:3; sid:1;)
           alert tcp-stream any any -> any any (content:"two"; offset:4; depth:10; sid:2;)
           alert tcp-stream any any -> any any (content:"xyz"; content:!"GET"; startswith; sid:3;)"#,
    );
    assert_eq!(bed.deliver(ToServer, b"GE"), [] as [u32; 0]);
    assert_eq!(bed.deliver(ToServer, b"T"), [1]);
    assert_eq!(bed.deliver(ToServer, b" two"), [2]);
    assert_eq!(bed.deliver(ToServer, b" xyz"), [] as [u32; 0]);
    bed.deliver(ToServer, &[b'-'; 3000]);
    assert_eq!(bed.deliver(ToServer, b"GET two"), [] as [u32; 0]);
}

#[test]
fn flow_state() {
    let mut bed = Bed::new(
        r#"alert tcp any any -> any any (content:"second"; flowbits:isset,seen; sid:1;)
           alert tcp any any -> any any (content:"first"; flowbits:set,seen; flowbits:noalert; sid:9;)
           alert tcp any any -> any any (content:"third"; flowbits:isnotset,seen; sid:2;)
           alert tcp any any -> any any (content:"clear"; flowbits:unset,seen; sid:3;)
           alert tcp any any -> any any (content:"count"; flowint:n,+,1; noalert; sid:4;)
           alert tcp any any -> any any (content:"total"; flowint:n,>,1; sid:5;)"#,
    );
    assert_eq!(bed.segment(ToServer, b"second third"), [2]);
    // The setter runs before the checker, whatever the sids.
    assert_eq!(bed.segment(ToServer, b"second first"), [1]);
    assert_eq!(bed.segment(ToClient, b"second third"), [1]);
    assert_eq!(bed.segment(ToServer, b"clear"), [3]);
    assert_eq!(bed.segment(ToServer, b"second"), [] as [u32; 0]);
    bed.segment(ToServer, b"count");
    assert_eq!(bed.segment(ToServer, b"total"), [] as [u32; 0]);
    bed.segment(ToServer, b"count");
    assert_eq!(bed.segment(ToServer, b"total"), [5]);
}

#[test]
fn flow_conditions_and_encryption() {
    let mut bed = Bed::new(
        r#"alert tcp any any -> any any (flow:established,to_server; content:"abc"; sid:1;)
           alert tcp any any -> any any (flow:not_established; content:"abc"; sid:2;)
           alert tcp any any -> any any (flow:to_client; content:"abc"; sid:3;)
           alert tcp any any -> any any (dsize:3; sid:4;)"#,
    );
    assert_eq!(bed.segment(ToServer, b"abc"), [1, 4]);
    assert_eq!(bed.segment(ToClient, b"abc"), [3, 4]);
    bed.established = false;
    assert_eq!(bed.segment(ToServer, b"abc"), [2, 4]);
    bed.inspect_payload = false;
    assert_eq!(bed.segment(ToServer, b"abc"), [4]);
}

#[test]
fn order_pass_and_effects() {
    let mut bed = Bed::new(
        r#"alert tcp any any -> any any (content:"abc"; priority:2; sid:1;)
           alert tcp any any -> any any (content:"abc"; priority:1; sid:2;)
           drop tcp any any -> any any (content:"abc"; priority:9; sid:3;)
           pass tcp-pkt any any -> any any (content:"skip"; sid:4;)
           reject tcp any any -> any any (content:"abc"; sid:5;)"#,
    );
    assert_eq!(bed.segment(ToServer, b"abc"), [3, 5, 2, 1]);
    assert_eq!(bed.matches[0].effect, Effect::Drop);
    assert_eq!(bed.segment(ToServer, b"abc skip"), [] as [u32; 0]);
    assert_eq!(bed.matches.len(), 1);
    assert_eq!(bed.matches[0].effect, Effect::Pass);
    assert!(!bed.matches[0].whole_flow);
    assert_eq!(bed.segment(ToServer, b"abc"), [3, 5, 2, 1]);
}

#[test]
fn a_pass_in_the_stream_ends_the_flow() {
    let mut bed = Bed::new(
        r#"pass tcp any any -> any any (content:"skip me"; sid:1;)
           alert tcp any any -> any any (content:"abc"; sid:2;)"#,
    );
    assert_eq!(bed.deliver(ToServer, b"abc skip "), [2]);
    assert_eq!(bed.deliver(ToServer, b"me"), [] as [u32; 0]);
    assert_eq!(bed.deliver(ToServer, b"abc"), [] as [u32; 0]);
    assert!(bed.flow.passed());
}

#[test]
fn thresholds_and_suppression() {
    let rules = r#"alert udp any any -> any any (content:"a"; threshold:type limit,track by_src,count 1,seconds 10; sid:1;)
        alert udp any any -> any any (content:"a"; detection_filter:track by_dst,count 2,seconds 10; sid:2;)
        alert udp any any -> any any (content:"a"; sid:3;)
        alert udp any any -> any any (content:"a"; sid:4;)"#;
    let host = |a: &str| {
        let a = a.parse().unwrap();
        weir_ir::AddressSet::from_intervals(vec![(a, a)], vec![])
    };
    let entries = vec![
        ConfigEntry::Suppress { gid: 1, sid: 3, addresses: None },
        ConfigEntry::Suppress { gid: 1, sid: 4, addresses: Some((Track::Source, host("10.0.0.1"))) },
    ];
    let mut bed = Bed::of(program_with(rules, thresholds(entries)));
    assert_eq!(bed.datagram(ToServer, b"a"), [1]);
    assert_eq!(bed.datagram(ToServer, b"a"), [] as [u32; 0]);
    assert_eq!(bed.datagram(ToServer, b"a"), [2]);
    assert_eq!(bed.datagram(ToClient, b"a"), [1, 4]);
    bed.seconds += 20;
    assert_eq!(bed.datagram(ToServer, b"a"), [1]);
}

#[test]
fn events() {
    let mut bed = Bed::new(
        r#"alert pkthdr any any -> any any (decode-event:ipv4.pkt_too_small; sid:1;)
           alert tcp any any -> any any (stream-event:est_invalid_ack; sid:2;)"#,
    );
    assert_eq!(bed.segment(ToServer, b"x"), [] as [u32; 0]);
    bed.events.insert(DecoderEvent::from_name("ipv4.pkt_too_small").unwrap());
    bed.stream_events.insert(StreamEvent::EstInvalidAck);
    assert_eq!(bed.segment(ToServer, b"x"), [1, 2]);
}

#[test]
fn shared_bits() {
    let mut bed = Bed::new(
        r#"alert udp any any -> any any (content:"set"; xbits:set,x,track ip_src,expire 10; noalert; sid:1;)
           alert udp any any -> any any (content:"test"; xbits:isset,x,track ip_src; sid:2;)"#,
    );
    assert_eq!(bed.datagram(ToServer, b"test"), [] as [u32; 0]);
    bed.datagram(ToServer, b"set");
    bed.new_flow();
    assert_eq!(bed.datagram(ToServer, b"test"), [2]);
    bed.seconds += 11;
    assert_eq!(bed.datagram(ToServer, b"test"), [] as [u32; 0]);
}

#[test]
fn packets_without_flow() {
    let mut bed = Bed::new(
        r#"alert ip any any -> any any (ip_proto:47; content:"abc"; sid:1;)
           alert ip any any -> any any (ip_proto:47; sid:2;)
           alert ip any any -> any any (flow:to_server; content:"abc"; sid:3;)"#,
    );
    assert_eq!(bed.flowless(weir_packet::Transport::None, b"abc", false), [1, 2]);
    assert_eq!(bed.flowless(weir_packet::Transport::None, b"abc", true), [2]);
}

#[test]
fn byte_operations() {
    let mut bed = Bed::new(
        r#"alert udp any any -> any any (content:"L"; byte_jump:2,0,relative; content:"END"; within:3; sid:1;)
           alert udp any any -> any any (content:"L"; byte_extract:2,0,len,relative; content:"END"; distance:len; within:3; sid:2;)
           alert udp any any -> any any (byte_math:bytes 1,offset 1,oper +,rvalue 2,result v; byte_test:1,=,v,2; content:"L"; sid:3;)
           alert udp any any -> any any (content:"n="; byte_test:3,>,100,0,relative,string,dec; sid:4;)"#,
    );
    assert_eq!(bed.datagram(ToServer, b"L\x00\x02..END"), [1, 2, 3]);
    assert_eq!(bed.datagram(ToServer, b"L\x00\x03..END"), [] as [u32; 0]);
    assert_eq!(bed.datagram(ToServer, b"n=123"), [4]);
    assert_eq!(bed.datagram(ToServer, b"n=99;"), [] as [u32; 0]);
}

#[test]
fn other_rules_see_nothing_that_began_before() {
    let mut bed = Bed::new(r#"alert udp any any -> any any (content:"set"; flowbits:set,b; noalert; sid:1;)"#);
    bed.datagram(ToServer, b"set");
    let rules = r#"alert udp any any -> any any (content:"x"; flowbits:set,a; noalert; sid:3;)
        alert udp any any -> any any (content:"test"; flowbits:isset,a; sid:4;)
        alert udp any any -> any any (content:"test"; flowbits:isset,b; sid:2;)
        alert udp any any -> any any (content:"test"; sid:5;)"#;
    bed.inspector.set_program(program_with(rules, weir_detect::CompileOptions::default()));
    assert_eq!(bed.datagram(ToServer, b"test"), [5]);
}

#[test]
fn base64() {
    let mut bed = Bed::new(
        r#"alert udp any any -> any any (content:"b64:"; base64_decode:bytes 12,offset 0,relative; base64_data; content:"evil"; sid:1;)"#,
    );
    assert_eq!(bed.datagram(ToServer, b"b64:ZXZpbCBkYXRh"), [1]);
    assert_eq!(bed.datagram(ToServer, b"b64:Z29vZCBkYXRh"), [] as [u32; 0]);
}
