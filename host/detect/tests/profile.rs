//! What rules cost: packets, streams and transactions are counted where they are checked.

mod common;

use common::*;
use weir_contract::protocol::AppProtocol;

#[test]
fn checks_and_matches_of_every_kind() {
    let mut bed = Bed::http(
        r#"alert tcp any any -> any any (content:"abc"; content:!"z"; sid:1;)
           alert http any any -> any any (http.host; content:"a"; pcre:"/b$/"; sid:2;)
           alert tcp any any -> any any (content:"never here"; sid:3;)"#,
    );
    assert!(bed.inspector.rule_profile().is_none(), "not measured unless asked for");
    bed.segment(ToServer, b"abc");
    bed.inspector.profile_rules();
    assert_eq!(bed.segment(ToServer, b"abc"), [1]);
    assert_eq!(bed.segment(ToServer, b"abcz"), [] as [u32; 0]);
    let mut state = MockState::new(AppProtocol::Http1);
    state.begin(0).set(0, ToServer, "http.host", b"ab");
    assert_eq!(bed.transactions(ToServer, &mut state), [2]);
    let profile = bed.inspector.rule_profile().expect("measured");
    let mut seen: Vec<_> = profile
        .ranked()
        .into_iter()
        .map(|(rule, cost)| {
            assert!(cost.longest <= cost.time);
            (bed.inspector.program().source(rule).unwrap().identity.sid, cost.checks, cost.matches)
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(1, 2, 1), (2, 1, 1)], "rules that were never checked are not in it");
}
