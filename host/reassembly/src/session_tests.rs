use super::*;
use crate::testing::{Rig, Sink, tcp};
use weir_packet::tcp_flags::{ACK, FIN, RST, SYN};

fn open() -> Rig {
    Rig::open(SessionConfig::default())
}

#[test]
fn in_order_data_and_close() {
    let mut r = open();
    r.send(0, 100, 500, ACK, b"hello ");
    r.send(0, 106, 500, ACK, b"world");
    r.send(1, 500, 111, ACK, b"hi");
    r.send(0, 111, 502, ACK | FIN, b"");
    r.send(1, 502, 112, ACK | FIN, b"");
    r.send(0, 112, 503, ACK, b"");
    assert_eq!(r.sink.data[0], b"hello world");
    assert_eq!(r.sink.data[1], b"hi");
    assert_eq!(r.sink.ends, [1, 1]);
    assert_eq!(r.session.state(), State::Closed);
    assert!(r.session.is_level());
    assert!(r.session.wants_restart(0, &tcp(9999, 0, SYN)));
}

#[test]
fn reordered_data_waits() {
    let mut r = open();
    r.send(0, 105, 500, ACK, b"world");
    assert!(r.session.is_waiting(0) && r.session.is_level(), "it ends where the device stands");
    r.send(0, 100, 500, ACK, b"hello");
    assert_eq!(r.sink.data[0], b"helloworld");
    assert!(!r.session.is_waiting(0) && r.session.is_level());
}

#[test]
fn acknowledged_gap_is_lost() {
    let mut r = open();
    r.send(0, 105, 500, ACK, b"world");
    r.send(1, 500, 110, ACK, b"");
    assert_eq!(r.sink.gaps, vec![(0, 0, 5)]);
    assert_eq!(r.sink.data[0], b"world");
    assert!(r.session.is_level());
}

#[test]
fn rejected_chaff_keeps_the_session_from_being_level() {
    let mut r = open();
    let bad = r.session.packet(&r.config, 0, &tcp(100, 500, ACK), b"XXXXX", true, &mut r.sink);
    assert!(!bad.in_stream);
    assert!(!r.session.is_level(), "the device has taken the chaff for real");
    r.send(0, 100, 500, ACK, b"hello");
    assert_eq!(r.sink.data[0], b"hello");
    assert!(r.session.is_level());
}

#[test]
fn different_retransmission_behind_a_gap_follows_the_policy() {
    for (policy, expect) in [(OverlapPolicy::First, b"..AAAA"), (OverlapPolicy::Last, b"..BBBB")] {
        let mut r = open();
        r.config.policy = policy;
        r.send(0, 102, 500, ACK, b"AAAA");
        let second = r.send(0, 102, 500, ACK, b"BBBB");
        assert!(second.events.contains(StreamEvent::ReassemblyOverlapDifferentData));
        r.send(0, 100, 500, ACK, b"..");
        assert_eq!(r.sink.data[0], expect);
    }
}

#[test]
fn reset_ends_both() {
    let mut r = open();
    r.send(1, 900_000, 0, RST, b"");
    assert_eq!(r.session.state(), State::Established, "out of window");
    r.send(1, 500, 0, RST, b"");
    assert_eq!(r.session.state(), State::Closed);
    assert_eq!(r.sink.ends, [1, 1]);
}

#[test]
fn midstream_is_off_unless_asked_for() {
    let mut r = Rig { session: Session::default(), config: SessionConfig::default(), sink: Sink::default() };
    assert!(!r.send(0, 5, 5, ACK, b"data").established);
    assert!(r.sink.data[0].is_empty());
    let mut r = Rig {
        session: Session::default(),
        config: SessionConfig { midstream: true, ..SessionConfig::default() },
        sink: Sink::default(),
    };
    assert!(r.send(0, 5, 5, ACK, b"data").established);
    assert_eq!(r.sink.data[0], b"data");
}

#[test]
fn queue_limit_declares_the_gap() {
    let mut r = open();
    r.config.queue_limit = 10;
    r.send(0, 105, 500, ACK, b"0123456");
    assert!(r.sink.gaps.is_empty());
    r.send(0, 112, 500, ACK, b"789abc");
    assert_eq!(r.sink.gaps, vec![(0, 0, 5)]);
    assert_eq!(r.sink.data[0], b"0123456789abc");
}

/// Streams that hold back what fills their gaps do not take the memory of the others.
#[test]
fn streams_share_their_memory() {
    let memory = std::sync::Arc::new(crate::Budget::new(1 << 20));
    let mut rigs: Vec<Rig> = (0..3000)
        .map(|_| {
            let mut r = open();
            r.config.memory = memory.clone();
            for n in 0..4u32 {
                r.send(0, 105 + 1000 * n, 500, ACK, &[n as u8; 1000]);
                assert!(memory.used() <= 1 << 20, "{}", memory.used());
            }
            r
        })
        .collect();
    assert!(memory.used() > 1 << 19 && memory.reached() > 1000, "{} {}", memory.used(), memory.reached());
    // Who gave way has its bytes, behind a gap; the first ones still wait for what is missing.
    assert!(rigs[2999].sink.gaps.contains(&(0, 0, 5)) && rigs[2999].sink.data[0].len() >= 1000);
    assert!(rigs[0].sink.gaps.is_empty() && rigs[0].sink.data[0].is_empty());
    rigs[0].send(0, 100, 500, ACK, b"start");
    assert_eq!(rigs[0].sink.data[0].len(), 4005);
    drop(rigs);
    assert_eq!(memory.used(), 0);
}

#[test]
fn depth_stops_delivery() {
    let mut r = open();
    r.config.depth = 4;
    let result = r.send(0, 100, 500, ACK, b"abcdefgh");
    assert!(result.events.contains(StreamEvent::ReassemblyDepthReached));
    r.send(0, 108, 500, ACK, b"ijkl");
    assert_eq!(r.sink.data[0], b"abcd");
    assert!(r.session.depth_reached(0));
}

#[test]
fn wraps_around() {
    let mut r = Rig { session: Session::default(), config: SessionConfig::default(), sink: Sink::default() };
    r.send(0, u32::MAX - 2, 0, SYN, b"");
    r.send(1, u32::MAX - 1, u32::MAX - 1, SYN | ACK, b"");
    r.send(0, u32::MAX - 1, u32::MAX, ACK, b"");
    r.send(0, 3, u32::MAX, ACK, b"end");
    r.send(0, u32::MAX - 1, u32::MAX, ACK, b"start");
    assert_eq!(r.sink.data[0], b"startend");
}

/// Random segmentation, order and repetition of one stream against the stream itself.
#[test]
fn any_arrival_of_all_segments_gives_the_stream() {
    let stream: Vec<u8> = (0..4000u32).map(|i| (i * 7 + i / 256) as u8).collect();
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = move |n: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % n as u64) as usize
    };
    for _ in 0..200 {
        let mut r = open();
        let mut segments = Vec::new();
        let mut at = 0;
        while at < stream.len() {
            let n = (1 + random(400)).min(stream.len() - at);
            segments.push((at, at + n));
            at += n;
        }
        for _ in 0..random(10) {
            let from = random(stream.len() - 1);
            segments.push((from, (from + 1 + random(600)).min(stream.len())));
        }
        for i in 0..segments.len() {
            let j = i.saturating_sub(random(4));
            segments.swap(i, j);
        }
        for (from, to) in segments {
            r.send(0, 100 + from as u32, 500, ACK, &stream[from..to]);
        }
        assert!(r.sink.gaps.is_empty());
        assert_eq!(r.sink.data[0], stream);
    }
}

/// With a timestamp option.
fn stamped(tcp: Tcp<'static>, value: u32, echo: u32) -> Tcp<'static> {
    Tcp { timestamp: Some((value, echo)), ..tcp }
}

fn fresh() -> Rig {
    Rig { session: Session::default(), config: SessionConfig::default(), sink: Sink::default() }
}

#[test]
fn data_in_the_syn_counts_if_the_answer_takes_it() {
    for (taken, rest, stream) in
        [(5, &b" world"[..], b"hello world"), (0, b"hello world", b"hello world"), (2, b"llo world", b"hello world")]
    {
        let mut r = fresh();
        r.send(0, 99, 0, SYN, b"hello");
        assert!(r.sink.data[0].is_empty());
        let answer = r.send(1, 499, 100 + taken, SYN | ACK, b"");
        assert_eq!(answer.events.contains(StreamEvent::SynackTfoDataIgnored3whs), taken < 5);
        // The responder may send at once.
        r.send(1, 500, 100 + taken, ACK, b"banner");
        assert!(r.send(0, 100 + taken, 506, ACK, b"").established);
        r.send(0, 100 + taken, 506, ACK, rest);
        assert_eq!(r.sink.data[0], stream, "{taken} taken");
        assert_eq!(r.sink.data[1], b"banner");
        assert!(r.sink.gaps.is_empty());
        assert!(r.session.is_level());
    }
    let mut r = fresh();
    r.send(0, 99, 0, SYN, b"hello");
    assert!(r.send(1, 499, 106, SYN | ACK, b"").events.contains(StreamEvent::SynackWrongAck3whs));
}

#[test]
fn data_that_overtakes_the_handshake_s_end_is_not_lost() {
    let mut r = fresh();
    r.send(0, 99, 0, SYN, b"");
    r.send(1, 499, 100, SYN | ACK, b"");
    r.send(1, 500, 100, ACK, b"220 ready");
    assert!(r.sink.data[1].is_empty());
    r.send(0, 100, 500, ACK, b"");
    assert_eq!(r.sink.data[1], b"220 ready");
}

#[test]
fn the_initiator_chooses_among_answers() {
    let mut r = fresh();
    r.send(0, 99, 0, SYN, b"");
    r.send(1, 499, 100, SYN | ACK, b"");
    r.send(1, 7_000_499, 100, SYN | ACK, b"");
    assert!(r.send(0, 100, 7_000_500, ACK, b"GET").established);
    r.send(1, 7_000_500, 103, ACK, b"200");
    assert_eq!(r.sink.data, [b"GET".to_vec(), b"200".to_vec()]);
    for other in 0..7 {
        let mut r = fresh();
        r.send(0, 99, 0, SYN, b"");
        let floods = (0..=other)
            .filter(|n| r.send(1, 499 + n * 1000, 100, SYN | ACK, b"").events.contains(StreamEvent::SynackFlood3whs));
        assert_eq!(floods.count(), usize::from(other == 6));
    }
}

#[test]
fn resets_that_the_session_survives_do_not_blind() {
    // From somewhere else, with a timestamp that answers nothing: no reset at all.
    let mut r = fresh();
    let send = |r: &mut Rig, d, tcp| r.session.packet(&r.config, d, &tcp, b"", false, &mut r.sink);
    send(&mut r, 0, stamped(tcp(99, 0, SYN), 1000, 0));
    let reset = send(&mut r, 1, stamped(tcp(0, 100, RST | ACK), 100, 100));
    assert!(reset.events.contains(StreamEvent::PktInvalidTimestamp));
    assert_eq!(r.session.state(), State::SynSent);
    // One that looks right, but the answer comes all the same.
    send(&mut r, 1, tcp(0, 100, RST | ACK));
    assert_eq!(r.session.state(), State::Closed);
    send(&mut r, 1, stamped(tcp(499, 100, SYN | ACK), 5000, 1000));
    send(&mut r, 0, stamped(tcp(100, 500, ACK), 1001, 5000));
    assert_eq!(r.session.state(), State::Established);
    // One with a short life, from the initiator itself, in the middle.
    r.send(0, 100, 500, ACK, b"GET /");
    r.send(0, 105, 0, RST, b"");
    assert_eq!((r.session.state(), r.sink.ends), (State::Closed, [1, 1]));
    r.send(0, 105, 500, ACK, b"passwd");
    r.send(1, 500, 111, ACK, b"root");
    assert_eq!(r.sink.data, [b"GET /passwd".to_vec(), b"root".to_vec()]);
    assert_eq!(r.sink.ends, [1, 1], "told once");
    // A SYN behind a reset begins a session of its own.
    assert!(r.session.wants_restart(0, &tcp(7777, 0, SYN)));
}

#[test]
fn a_repeated_answer_is_an_event_once_the_session_goes_on() {
    let mut r = open();
    r.send(0, 100, 500, ACK, b"");
    assert!(r.send(1, 499, 100, SYN | ACK, b"").events.is_empty());
    r.send(1, 500, 100, ACK, b"x");
    assert!(r.send(1, 499, 101, SYN | ACK, b"").events.contains(StreamEvent::EstSynackResendDiffAck));
    assert!(r.send(1, 499, 100, SYN | ACK, b"").events.contains(StreamEvent::EstSynackResend));
}
