//! Rules on transactions.

mod common;

use common::*;
use weir_app_layer::ProtocolState;
use weir_contract::protocol::AppProtocol;

#[test]
fn several_buffers_over_time() {
    let mut bed = Bed::http(
        r#"alert http any any -> any any (flow:to_server; http.method; content:"POST"; http.uri; content:"/login"; http.request_body; content:"secret"; sid:1;)
           alert http any any -> any any (flow:to_server; http.uri; content:"/login"; sid:2;)
           alert http any any -> any any (flow:to_client; file.data; content:"evil"; sid:3;)
           alert tls any any -> any any (tls.sni; content:"/login"; sid:4;)"#,
    );
    let mut s = MockState::new(AppProtocol::Http1);
    s.begin(0).set(0, ToServer, "http.method", b"POST").set(0, ToServer, "http.uri", b"/login?x");
    s.wait(0, ToServer, "http.request_body").wait(0, ToClient, "file.data");
    assert_eq!(bed.transactions(ToServer, &mut s), [2]);
    assert!(bed.flow.waits_for(s.transactions(), |_| true));
    s.pending.clear();
    s.grow(0, ToServer, "http.request_body", b"xx sec", false);
    assert_eq!(bed.transactions(ToServer, &mut s), [] as [u32; 0]);
    s.grow(0, ToServer, "http.request_body", b"xx secret", false);
    assert_eq!(bed.transactions(ToServer, &mut s), [1]);
    // At most once for a transaction.
    s.grow(0, ToServer, "http.request_body", b"xx secret secret", true);
    assert_eq!(bed.transactions(ToServer, &mut s), [] as [u32; 0]);
    s.grow(0, ToClient, "file.data", b"ev", false);
    assert_eq!(bed.transactions(ToClient, &mut s), [] as [u32; 0]);
    s.grow(0, ToClient, "file.data", b"evil", false);
    assert_eq!(bed.transactions(ToClient, &mut s), [3]);
    // The next one matches again.
    s.finish(0);
    s.begin(1).set(1, ToServer, "http.method", b"GET").set(1, ToServer, "http.uri", b"/login");
    assert_eq!(bed.transactions(ToServer, &mut s), [2]);
    assert_eq!(bed.matches[0].transaction(), Some(1));
}

#[test]
fn conditions_with_contents_of_the_payload_alone() {
    let mut bed = Bed::new(
        r#"alert mqtt any any -> any any (mqtt.qos:1; content:"|ff ff|run"; endswith; sid:1;)
           alert mqtt any any -> any any (mqtt.qos:2; content:"|ff ff|run"; sid:2;)
           alert mqtt any any -> any any (mqtt.qos:1; content:"other"; sid:3;)"#,
    );
    let mut s = MockState::new(AppProtocol::Mqtt);
    s.begin(0).touch(0, ToServer);
    s.numbers.insert("mqtt.qos".into(), 1);
    assert_eq!(bed.transactions_of(ToServer, b"xx\xff\xffrun", &mut s), [1]);
}

#[test]
fn instances() {
    let mut bed = Bed::new(
        r#"alert dns any any -> any any (dns.query; content:"evil.com"; endswith; nocase; sid:1;)
           alert dns any any -> any any (dns.query; dotprefix; content:".evil.com"; endswith; sid:2;)
           alert dns any any -> any any (dns.query; bsize:4; sid:3;)"#,
    );
    let mut s = MockState::new(AppProtocol::Dns);
    s.begin(0).instances(0, ToServer, "dns.query", &[b"good.com", b"www.EVIL.com"]);
    assert_eq!(bed.transactions(ToServer, &mut s), [1]);
    s.finish(0);
    s.begin(1).instances(1, ToServer, "dns.query", &[b"evil.com", b"a.de"]);
    assert_eq!(bed.transactions(ToServer, &mut s), [1, 2, 3]);
    s.finish(1);
    s.begin(2).instances(2, ToServer, "dns.query", &[b"notevil.com"]);
    assert_eq!(bed.transactions(ToServer, &mut s), [1]);
}

#[test]
fn negation_waits_for_the_end() {
    let mut bed = Bed::http(
        r#"alert http any any -> any any (flow:to_client; http.response_body; content:"a"; content:!"b"; sid:1;)
           alert http any any -> any any (flow:to_server; http.uri; content:"/x"; http.referer; absent; sid:2;)
           alert http any any -> any any (flow:to_server; http.uri; content:"/x"; http.referer; content:!"google"; sid:3;)"#,
    );
    let mut s = MockState::new(AppProtocol::Http1);
    s.begin(0).grow(0, ToClient, "http.response_body", b"a", false);
    assert_eq!(bed.transactions(ToClient, &mut s), [] as [u32; 0]);
    s.grow(0, ToClient, "http.response_body", b"ac", true);
    assert_eq!(bed.transactions(ToClient, &mut s), [1]);
    s.begin(1).grow(1, ToClient, "http.response_body", b"ab", true).set(1, ToServer, "http.uri", b"/x");
    assert_eq!(bed.transactions(ToClient, &mut s), [] as [u32; 0]);
    assert_eq!(bed.transactions(ToServer, &mut s), [] as [u32; 0]);
    s.touch(1, ToServer);
    assert_eq!(bed.transactions(ToServer, &mut s), [2]);
    s.begin(2).set(2, ToServer, "http.uri", b"/x").set(2, ToServer, "http.referer", b"http://x/");
    assert_eq!(bed.transactions(ToServer, &mut s), [3]);
}

#[test]
fn events_and_conditions() {
    let mut bed = Bed::new(
        r#"alert http any any -> any any (flow:to_server; app-layer-event:http.missing_host_header; sid:1;)
           alert dns any any -> any any (dns.opcode:2; sid:2;)"#,
    );
    let mut s = MockState::new(AppProtocol::Http1);
    s.begin(0);
    s.transactions[0].events = vec![1];
    assert_eq!(bed.transactions(ToServer, &mut s), [] as [u32; 0]);
    s.transactions[0].events.push(0);
    s.touch(0, ToServer);
    assert_eq!(bed.transactions(ToServer, &mut s), [1]);
    bed.new_flow();
    let mut s = MockState::new(AppProtocol::Dns);
    s.begin(0);
    s.numbers.insert("dns.opcode".into(), 2);
    assert_eq!(bed.transactions(ToServer, &mut s), [2]);
}

#[test]
fn flowbits_between_request_and_answer() {
    let mut bed = Bed::http(
        r#"alert http any any -> any any (flow:to_server; http.uri; content:"/get"; flowbits:set,asked; noalert; sid:1;)
           alert http any any -> any any (flow:to_client; flowbits:isset,asked; http.stat_code; content:"200"; sid:2;)"#,
    );
    let mut s = MockState::new(AppProtocol::Http1);
    s.begin(0).set(0, ToServer, "http.uri", b"/other").set(0, ToClient, "http.stat_code", b"200");
    bed.transactions(ToServer, &mut s);
    s.touch(0, ToClient);
    assert_eq!(bed.transactions(ToClient, &mut s), [] as [u32; 0]);
    s.finish(0);
    s.begin(1).set(1, ToServer, "http.uri", b"/get").set(1, ToClient, "http.stat_code", b"200");
    bed.transactions(ToServer, &mut s);
    assert!(bed.flow.has_bit(bed.inspector.program(), "asked"));
    s.touch(1, ToClient);
    assert_eq!(bed.transactions(ToClient, &mut s), [2]);
}

#[test]
fn datasets() {
    let mut bed = Bed::new(
        r#"alert dns any any -> any any (dns.query; dataset:set,seen,type string; sid:1;)
           alert dns any any -> any any (dns.query; to_md5; content:"|90 01 50 98|"; startswith; sid:2;)"#,
    );
    let mut s = MockState::new(AppProtocol::Dns);
    for (id, name, expected) in [(0, "a.de", vec![1]), (1, "a.de", vec![]), (2, "b.de", vec![1]), (3, "abc", vec![1, 2])]
    {
        s.begin(id).set(id, ToServer, "dns.query", name.as_bytes());
        let mut got = bed.transactions(ToServer, &mut s);
        got.sort();
        assert_eq!(got, expected, "{name}");
        s.finish(id);
    }
    assert_eq!(bed.shared.datasets.entries("seen").unwrap().count(), 3);
}
