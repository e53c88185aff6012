use super::super::Delivery;
use super::*;
use crate::OverlapPolicy;
use crate::testing::{Rig, Sink, tcp};
use weir_packet::tcp_flags::{ACK, FIN, RST, SYN};

fn open(policy: OverlapPolicy) -> Rig {
    Rig::open(SessionConfig { policy, delivery: Delivery::Acknowledged, ..SessionConfig::default() })
}

#[test]
fn bytes_wait_for_their_acknowledgement() {
    let mut r = open(OverlapPolicy::Bsd);
    assert!(r.send(0, 100, 500, ACK, b"hello ").in_stream);
    assert!(r.send(0, 106, 500, ACK, b"world").in_stream);
    assert!(r.sink.data[0].is_empty() && r.session.waits(0));
    // Half a segment.
    r.send(1, 500, 103, ACK, b"");
    assert_eq!(r.sink.data[0], b"hel");
    r.send(1, 500, 111, ACK, b"hi");
    assert_eq!(r.sink.data[0], b"hello world");
    assert!(r.sink.data[1].is_empty() && !r.session.waits(0) && r.session.waits(1));
    r.send(0, 111, 502, ACK, b"");
    assert_eq!(r.sink.data[1], b"hi");
}

#[test]
fn policies_decide_until_then() {
    for (policy, expect) in [(OverlapPolicy::First, b"GOOD"), (OverlapPolicy::Last, b"EVIL")] {
        let mut r = open(policy);
        r.send(0, 100, 500, ACK, b"GOOD");
        let result = r.send(0, 100, 500, ACK, b"EVIL");
        assert!(result.events.contains(StreamEvent::ReassemblyOverlapDifferentData));
        r.send(1, 500, 104, ACK, b"");
        assert_eq!(r.sink.data[0], expect);
    }
}

#[test]
fn acknowledged_and_missing_is_lost() {
    let mut r = open(OverlapPolicy::Bsd);
    r.send(0, 100, 500, ACK, b"VERY");
    r.send(0, 108, 500, ACK, b"DATA");
    r.send(1, 500, 104, ACK, b"");
    assert_eq!((r.sink.data[0].as_slice(), r.sink.gaps.len()), (&b"VERY"[..], 0));
    // Acknowledged up to the piece behind: the piece is not, the gap may still be filled.
    assert!(!r.send(1, 500, 108, ACK, b"").events.contains(StreamEvent::ReassemblySeqGap));
    assert!(r.send(1, 500, 112, ACK, b"").events.contains(StreamEvent::ReassemblySeqGap));
    assert_eq!(r.sink.data[0], b"VERYDATA");
    assert_eq!(r.sink.gaps, [(0, 4, 4)]);
}

#[test]
fn the_end_delivers_the_rest() {
    let mut r = open(OverlapPolicy::Bsd);
    r.send(1, 500, 100, ACK, b"Please ");
    r.send(1, 511, 100, ACK, b"Me In!");
    r.send(0, 100, 507, ACK | RST, b"");
    assert_eq!(r.session.state(), State::Closed);
    assert_eq!(r.sink.ends, [1, 0]);
    assert!(r.sink.data[1].is_empty());
    r.session.deliver_rest(&r.config, 1, &mut r.sink);
    assert_eq!(r.sink.data[1], b"Please Me In!");
    assert_eq!((r.sink.gaps.as_slice(), r.sink.ends), (&[(1, 7, 4)][..], [1, 1]));
    r.session.deliver_rest(&r.config, 1, &mut r.sink);
    assert_eq!(r.sink.ends, [1, 1]);
}

#[test]
fn a_close_ends_both_directions() {
    let mut r = open(OverlapPolicy::Bsd);
    r.send(0, 100, 500, ACK | FIN, b"bye");
    r.send(1, 500, 104, ACK, b"");
    assert_eq!((r.sink.data[0].as_slice(), r.sink.ends), (&b"bye"[..], [0, 0]));
    r.send(1, 500, 104, ACK | FIN, b"");
    r.send(0, 104, 501, ACK, b"");
    assert_eq!(r.sink.ends, [1, 1]);
    assert_eq!(r.session.state(), State::Closed);
}

#[test]
fn what_came_with_an_unanswered_syn_is_of_no_stream() {
    let config = SessionConfig { delivery: Delivery::Acknowledged, ..SessionConfig::default() };
    let (mut session, mut sink) = (Session::default(), Sink::default());
    session.packet(&config, 0, &tcp(99, 0, SYN), b"AAAA", false, &mut sink);
    session.deliver_rest(&config, 0, &mut sink);
    assert!(sink.data[0].is_empty());
}

/// Nobody acknowledges: the queue is bounded, and nothing is lost for it.
#[test]
fn waiting_is_bounded() {
    let mut r = open(OverlapPolicy::Bsd);
    r.config.queue_limit = 4096;
    let block = [b'x'; 1000];
    for n in 0..20 {
        r.send(0, 100 + 1000 * n, 500, ACK, &block);
        assert!(u64::from(1000 * (n + 1)) - r.session.delivered(0) <= 4096 + 1000);
    }
    assert!(r.sink.data[0].len() >= 15_000);
    assert!(r.sink.gaps.is_empty());
}

#[test]
fn the_depth_ends_a_direction() {
    let mut r = open(OverlapPolicy::Bsd);
    r.config.depth = 6;
    assert!(r.send(0, 100, 500, ACK, b"hello").in_stream);
    assert!(r.send(0, 105, 500, ACK, b"world").in_stream);
    assert!(!r.send(0, 110, 500, ACK, b"again").in_stream);
    assert!(r.send(1, 500, 115, ACK, b"").events.contains(StreamEvent::ReassemblyDepthReached));
    assert_eq!(r.sink.data[0], b"hellow");
}
