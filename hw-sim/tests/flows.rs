//! Flows: sequence guards, tails, classes, release, commands, time-outs.

#![allow(missing_docs)]

mod common;

use common::*;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{
    DescriptorKind, DirectionMask, FlowFlags, FlowRecordKind, FlowState, FrameFlags, RecordFlags, Scopes, StateMask,
    TxCommand, TxFlags,
};
use weir_contract::flow_key::{Address, flow_key};
use weir_contract::guards::Guard;
use weir_contract::layouts::{Record, TxEntry};
use weir_contract::protocol::{AppProtocol, Detection};
use weir_sim::testing::ImageBuilder;

fn packet() -> Record {
    Record { scopes: Scopes::PACKET.0, ..Record::ALWAYS }
}

fn rig(build: impl FnOnce(&mut ImageBuilder)) -> Rig {
    let mut b = ImageBuilder::new(5);
    build(&mut b);
    Rig::new(&Shape::default(), &b.build())
}

fn established(rig: &mut Rig) -> Talk {
    let mut talk = Talk::new(CLIENT, SERVER);
    for frame in talk.handshake() {
        rig.step(&frame);
    }
    talk
}

#[test]
fn clean_streams_pass_and_troubles_are_named() {
    let mut rig = rig(|b| {
        b.literal(b"unlikely", packet());
        let always = b.record(Record::ALWAYS);
        b.guard(Guard::SequenceGap, always);
        b.guard(Guard::SequenceRetransmission, always);
    });
    let mut talk = established(&mut rig);
    rig.step(&talk.data(0, b"hello"));
    rig.step(&talk.data(1, b"world"));
    let old = talk;
    rig.step(&talk.data(0, b"again"));
    assert!(rig.descriptors.is_empty(), "{:?}", rig.descriptors);
    let mut expect = |frame: &[u8], guard: Guard| {
        rig.step(frame);
        assert_ne!(rig.last().guards & guard.bit(), 0, "{guard:?}: {:#x}", rig.last().guards);
        assert_eq!(rig.last().frame_number, rig.number);
    };
    expect(&old.at(0, old.next[0], b"again"), Guard::SequenceRetransmission);
    expect(&old.at(0, old.next[0] + 2, b"ainXX"), Guard::SequenceOverlap);
    expect(&talk.at(0, talk.next[0] + 50, b"later"), Guard::SequenceGap);
    expect(&tcp(CLIENT, SERVER, 1, 0, SYN, b""), Guard::SynChange);
    expect(&tcp(CLIENT, SERVER, talk.next[0], talk.next[1], ACK | RST, b"x"), Guard::RstData);
    expect(&tcp(CLIENT, SERVER, talk.next[0] + 9, talk.next[1], ACK, b"x"), Guard::AfterClose);
}

/// As every planned table has it (decision 0040).
fn gaps(b: &mut ImageBuilder) {
    let undecided = b.record(Record::WHILE_UNDECIDED);
    b.guard(Guard::SequenceGap, undecided);
}

#[test]
fn a_gap_diverts_while_the_protocol_is_not_decided() {
    let mut r = rig(|b| {
        b.literal(b"attack", packet());
        gaps(b);
    });
    let mut talk = established(&mut r);
    r.step(&talk.data(0, b"GET / HTTP/1.1\r\n"));
    // Decided: the gap goes by, and what stands on both sides of it is one for the literal filter.
    r.step(&talk.data(0, b"att"));
    talk.next[0] += 9;
    r.step(&talk.data(0, b"ack"));
    assert_eq!(r.descriptors.len(), 1);
    assert_eq!(r.last().guards, 0);
    let (flow, k) = (r.flow_of_last(), r.last().frame_number);
    r.now(TxCommand::Release, flow, k, 0);
    talk.next[0] += 9;
    r.step(&talk.data(0, b"nothing"));
    assert_eq!(r.descriptors.len(), 1);
    // What fills it does not.
    r.step(&talk.at(0, talk.next[0] - 14, b"late"));
    assert_eq!(r.descriptors.len(), 2);
    assert_ne!(r.last().guards & Guard::SequenceOverlap.bit(), 0);
    let mut r = rig(gaps);
    let mut talk = established(&mut r);
    talk.next[0] += 9;
    r.step(&talk.data(0, b"nothing"));
    assert_eq!(r.descriptors.len(), 1);
}

#[test]
fn acknowledged_retransmissions_and_keep_alives_are_no_trouble() {
    let mut rig = rig(|_| ());
    let mut talk = established(&mut rig);
    let old = talk;
    rig.step(&talk.data(0, b"hello"));
    rig.step(&talk.data(1, b"ok"));
    rig.step(&old.at(0, old.next[0], b"hello"));
    rig.step(&talk.at(0, talk.next[0] - 1, b"o"));
    rig.step(&talk.at(0, talk.next[0], b""));
    assert!(rig.descriptors.is_empty(), "{:?}", rig.descriptors);
}

#[test]
fn repetitions_of_what_was_read_are_no_trouble() {
    let mut r = rig(gaps);
    let mut talk = established(&mut r);
    let old = talk;
    r.step(&talk.data(0, b"GET / HTTP/1.1\r\n"));
    r.step(&old.at(0, old.next[0], b"GET / HTTP/1.1\r\n"));
    r.step(&old.at(0, old.next[0] + 4, b"XYZ"));
    r.step(&talk.data(0, b"Host: a\r\n\r\n"));
    assert!(r.descriptors.is_empty(), "{:?}", r.descriptors);
    // Nor does it move what literals are looked for behind, or what positions are counted from.
    let mut s = rig(|b| b.literal(b"attack", Record { position_min: 20, position_max: 26, ..packet() }));
    let mut talk = established(&mut s);
    let old = talk;
    s.step(&talk.data(0, b"GET / HTTP/1.1\r\nX: att"));
    s.step(&old.at(0, old.next[0], b"GET /"));
    s.step(&talk.data(0, b"ack"));
    assert_eq!((s.descriptors.len(), s.last().guards), (1, 0));
    // Behind a gap nobody knows what the host will read.
    talk.next[0] += 1;
    s.step(&talk.data(0, b"more"));
    let (flow, k) = (s.flow_of_last(), s.last().frame_number);
    s.now(TxCommand::Release, flow, k, 0);
    s.step(&old.at(0, old.next[0], b"GET /"));
    assert_ne!(s.last().guards & Guard::SequenceOverlap.bit(), 0);
}

#[test]
fn a_literal_across_segments_is_seen_whatever_the_cut() {
    for cut in 1..8 {
        let mut rig = rig(|b| b.literal(b"evil.exe", packet()));
        let mut talk = established(&mut rig);
        rig.step(&talk.data(0, b"GET /x/"));
        rig.step(&talk.data(0, &b"EVIL.exe"[..cut]));
        assert!(rig.descriptors.is_empty());
        // The other direction in between changes nothing.
        rig.step(&talk.data(1, b"evil"));
        let n = rig.step(&talk.data(0, &b"evil.exe and more"[cut..]));
        assert_eq!((rig.last().frame_number, rig.last().chain_count), (n, 6), "cut {cut}");
        let flow = rig.flow_of_last();
        assert_eq!(rig.received[&flow], (1..=n).collect::<Vec<_>>(), "every frame since the first");
        assert_eq!(rig.last().next_sequence, talk.next[0]);
    }
}

#[test]
fn a_literal_in_a_rejected_segment_is_seen_too() {
    let mut rig = rig(|b| b.literal(b"evil.exe", Record { group: 7, ..packet() }));
    let mut talk = established(&mut rig);
    let old = talk;
    rig.step(&talk.data(0, b"harmless"));
    rig.step(&talk.data(1, b"ok"));
    // Wholly acknowledged: the stream ignores it, packet rules do not.
    let n = rig.step(&old.at(0, old.next[0], b"evil.exe"));
    assert_eq!((rig.last().frame_number, rig.last().first_record, rig.last().guards), (n, 1, 0));
}

#[test]
fn divert_is_sticky_until_release_behind_the_last_trouble() {
    let mut rig = rig(|b| b.literal(b"attack", packet()));
    let mut talk = established(&mut rig);
    rig.step(&talk.data(0, b"attack"));
    let flow = rig.flow_of_last();
    let k = rig.last().frame_number;
    let n = rig.step(&talk.data(1, b"quiet"));
    assert_eq!(rig.last().frame_number, n);
    assert_ne!(rig.last().flags & FrameFlags::STICKY.0, 0);
    rig.now(TxCommand::Release, flow, k - 1, 0);
    assert_eq!(rig.model.counter(Counter::ReleaseRefused), 1);
    // Another hit on its way while the host decides about k.
    let later = rig.step(&talk.data(0, b"attack"));
    rig.now(TxCommand::Release, flow, k, 0);
    assert_eq!(rig.model.counter(Counter::ReleaseRefused), 2);
    rig.now(TxCommand::Release, flow, later, 0);
    assert_eq!(rig.model.counter(Counter::ReleaseDone), 1);
    let seen = rig.descriptors.len();
    rig.step(&talk.data(0, b"quiet"));
    assert_eq!(rig.descriptors.len(), seen);
    rig.step(&talk.data(1, b"attack"));
    assert_eq!(rig.last().chain_count, 1, "what passed after the release comes with it");
    rig.now(TxCommand::Release, (flow.0, flow.1 + 1), 99, 0);
    assert_eq!(rig.model.counter(Counter::CommandStale), 1);
}

#[test]
fn classes_and_directions_narrow_only_when_sure() {
    let http = 1u64 << AppProtocol::Http1 as u8;
    let record = Record { class_mask: http, directions: DirectionMask::TO_SERVER.0, ..packet() };
    let build = move |b: &mut ImageBuilder| b.literal(b"attack", record);
    // TLS: narrowed away.
    let mut r = rig(build);
    let mut talk = established(&mut r);
    r.step(&talk.data(0, b"\x16\x03\x01\x00\x20\x01\x00\x00\x1c"));
    r.step(&talk.data(0, b"attack"));
    assert!(r.descriptors.is_empty());
    // HTTP: to the server yes, to the client no.
    let mut r = rig(build);
    let mut talk = established(&mut r);
    r.step(&talk.data(0, b"GET / HTTP/1.1\r\n"));
    r.step(&talk.data(1, b"HTTP/1.1 200 attack"));
    assert!(r.descriptors.is_empty());
    r.step(&talk.data(0, b"attack"));
    assert_eq!(r.descriptors.len(), 1);
    assert_eq!(r.last().class, AppProtocol::Http1 as u8);
    // No SYN: there is no parser, and no direction.
    let mut r = rig(build);
    let talk = Talk::new(CLIENT, SERVER);
    r.step(&talk.at(1, 5, b"attack"));
    assert!(r.descriptors.is_empty());
    let failed = Record { class_mask: 1 << Detection::Failed.class(), ..record };
    let mut r = rig(move |b: &mut ImageBuilder| b.literal(b"attack", failed));
    r.step(&talk.at(1, 5, b"attack"));
    assert_eq!(r.descriptors.len(), 1);
    assert_ne!(r.last().flags & FrameFlags::MIDSTREAM.0, 0);
    // First bytes cut short by a gap: the class stays open for good.
    let mut r = rig(move |b| {
        build(b);
        gaps(b);
    });
    let mut talk = established(&mut r);
    r.step(&talk.data(0, b"\x16\x03"));
    talk.next[0] += 7;
    r.step(&talk.data(0, b"gap"));
    let (flow, k) = (r.flow_of_last(), r.last().frame_number);
    r.now(TxCommand::Release, flow, k, 0);
    r.step(&talk.data(0, b"attack"));
    assert_eq!(r.last().guards, 0);
    assert_eq!(r.last().class, 0);
}

#[test]
fn long_silence_widens() {
    let mut r = rig(|b| b.literal(b"attack", Record { directions: DirectionMask::TO_CLIENT.0, ..packet() }));
    r.step(&udp(CLIENT, SERVER, b"attack"));
    assert!(r.descriptors.is_empty(), "wrong direction");
    r.time += 31 * SECOND;
    r.step(&udp(CLIENT, SERVER, b"quiet"));
    assert_eq!(r.last().guards, Guard::FlowStale.bit());
    let (flow, k) = (r.flow_of_last(), r.last().frame_number);
    r.now(TxCommand::Release, flow, k, 0);
    r.step(&udp(CLIENT, SERVER, b"attack"));
    assert_eq!((r.flow_of_last(), r.last().guards), (flow, 0), "the direction is not sure any more");
    // An established TCP session may be silent for longer.
    let mut r = rig(|_| ());
    let mut talk = established(&mut r);
    r.time += 500 * SECOND;
    r.step(&talk.data(0, b"x"));
    assert!(r.descriptors.is_empty());
    r.time += 601 * SECOND;
    r.step(&talk.data(0, b"x"));
    assert_eq!(r.last().guards & Guard::FlowStale.bit(), Guard::FlowStale.bit());
}

#[test]
fn entries_age_by_frame_time() {
    let mut r = rig(|_| ());
    r.step(&udp(CLIENT, SERVER, b"x"));
    r.time += 359 * SECOND;
    assert!(r.model.idle(r.time));
    r.drain();
    assert!(r.flow_records.iter().all(|f| f.kind == FlowRecordKind::Report as u8));
    r.time += 2 * SECOND;
    assert!(r.model.idle(r.time));
    r.drain();
    let record = *r.flow_records.last().unwrap();
    assert_eq!((record.kind, record.packets_to_server, record.first_frame), (FlowRecordKind::Aged as u8, 1, 1));
    assert_eq!(r.model.counter(Counter::FlowsLive), 0);
    // Looked up too late, an entry is another one, however far the sweep is.
    r.step(&udp(CLIENT, SERVER, b"x"));
    r.time += 400 * SECOND;
    r.step(&udp(SERVER, CLIENT, b"x"));
    assert_eq!((r.model.counter(Counter::FlowsCreated), r.model.counter(Counter::FlowsAged)), (3, 2));
    assert!(r.descriptors.is_empty(), "a new flow is not stale");
}

#[test]
fn flow_records_tell_the_flow() {
    let mut r = rig(|b| b.literal(b"attack", packet()));
    let mut talk = established(&mut r);
    let a = talk.data(0, b"attack");
    r.step(&a);
    r.step(&tcp(SERVER, CLIENT, talk.next[1], talk.next[0], ACK | FIN, b""));
    r.step(&tcp(CLIENT, SERVER, talk.next[0], talk.next[1] + 1, ACK | FIN, b""));
    r.finish();
    let [f] = r.flow_records[..] else { panic!("{:?}", r.flow_records) };
    assert_eq!((f.packets_to_server, f.packets_to_client), (4, 2));
    assert_eq!((f.state, f.kind), (FlowState::Closed as u8, FlowRecordKind::Aged as u8));
    assert_eq!(f.flags, FlowFlags::DIVERTED.0 | FlowFlags::STICKY.0);
    assert_eq!((f.tcp_flags_to_server, f.tcp_flags_to_client), (SYN | ACK | FIN, SYN | ACK | FIN));
    assert_eq!((f.first_frame, f.last_frame), (1, 6));
    assert_eq!(f.initiator_upper, 0);
    assert_eq!(f.bytes_to_server as usize, 3 * 54 + a.len());
}

#[test]
fn divert_by_key_gives_the_chain_or_makes_the_entry() {
    let mut r = rig(|_| ());
    r.step(&udp(CLIENT, SERVER, b"one"));
    r.step(&udp(SERVER, CLIENT, b"two"));
    let key = |a: End, b: End| flow_key((Address::V4(a.0), a.1), (Address::V4(b.0), b.1), 17, [0; 2]).0;
    r.driver.divert_key(0, &key(CLIENT, SERVER)).unwrap();
    r.driver.ring(0).unwrap();
    r.drain();
    let d = r.last();
    assert_eq!((d.kind, d.chain_count, d.guards), (DescriptorKind::Handover as u8, 2, Guard::HostDivert.bit()));
    assert_eq!(r.received[&r.flow_of_last()], [1, 2]);
    let n = r.step(&udp(CLIENT, SERVER, b"three"));
    assert_eq!(r.diverted(), [n]);
    let other = End([10, 9, 9, 9], 9);
    r.driver.divert_key(0, &key(other, SERVER)).unwrap();
    r.driver.ring(0).unwrap();
    r.drain();
    assert_eq!((r.last().chain_count, r.last().chain_head), (0, c::POSITION_NONE));
    let n = r.step(&udp(SERVER, other, b"x"));
    assert_eq!((r.last().frame_number, r.last().flags & FrameFlags::DIRECTION_SURE.0), (n, 0));
}

#[test]
fn verdicts_are_counted_once() {
    let mut r = rig(|b| b.literal(b"attack", packet()));
    r.answer = false;
    let k = r.step(&udp(CLIENT, SERVER, b"attack"));
    let flow = r.flow_of_last();
    assert_eq!(r.model.counter(Counter::InFlight), 1);
    r.now(TxCommand::Forward, flow, k + 1, 0);
    assert_eq!(r.model.counter(Counter::VerdictUnknown), 1);
    r.now(TxCommand::Forward, flow, k, 0);
    r.now(TxCommand::Drop, flow, k, 0);
    assert_eq!((r.model.counter(Counter::VerdictForward), r.model.counter(Counter::VerdictUnknown)), (1, 2));
    let k = r.step(&udp(CLIENT, SERVER, b"attack"));
    let whole = TxEntry {
        command: TxCommand::Drop as u8,
        flags: TxFlags::WHOLE_FLOW.0,
        frame_number: k,
        flow_index: flow.0,
        flow_generation: flow.1,
        ..TxEntry::ZERO
    };
    r.raw(&whole);
    r.step(&udp(CLIENT, SERVER, b"attack"));
    assert_eq!(r.model.counter(Counter::DroppedFlowBlocked), 1);
    r.now(TxCommand::Forget, flow, 0, 0);
    r.drain();
    let record = r.flow_records.last().unwrap();
    assert_eq!((record.kind, record.flags & FlowFlags::BLOCKED.0), (FlowRecordKind::Forgotten as u8, FlowFlags::BLOCKED.0));
    r.now(TxCommand::Bypass, flow, 0, 0);
    assert_eq!(r.model.counter(Counter::CommandStale), 1);
    r.raw(&TxEntry { command: 77, ..TxEntry::ZERO });
    assert_eq!(r.model.counter(Counter::CommandBad), 1);
    assert!(r.driver.check().is_err());
}

#[test]
fn bypassed_flows_pass_unseen() {
    let mut r = rig(|b| b.literal(b"attack", packet()));
    r.step(&udp(CLIENT, SERVER, b"attack"));
    let flow = r.flow_of_last();
    r.now(TxCommand::Bypass, flow, 0, 0);
    r.step(&udp(CLIENT, SERVER, b"attack"));
    assert_eq!((r.diverted().len(), r.model.counter(Counter::BypassedFlow)), (1, 1));
}

#[test]
fn flush_hands_everything_over() {
    let mut r = rig(|_| ());
    for n in 0..100u16 {
        r.send(&udp(End([10, 0, 0, 1], 1000 + n), SERVER, b"x"));
        r.send(&udp(End([10, 0, 0, 1], 1000 + n), SERVER, b"y"));
    }
    r.driver.flush().unwrap();
    for _ in 0..20 {
        r.drain();
    }
    assert_eq!(r.received.len(), 100);
    assert!(r.received.values().all(|frames| frames.len() == 2));
    assert_eq!(r.flow_records.iter().filter(|f| f.kind == FlowRecordKind::Flushed as u8).count(), 100);
    assert_eq!(r.model.counter(Counter::FlowsLive), 0);
}

#[test]
fn header_records_ask_for_states_ports_and_anchors() {
    let mut r = rig(|b| {
        b.port_classes[8080] = 1;
        b.port_sets = vec![vec![1]];
        b.header(Record {
            destination_ports: 1,
            states: StateMask::ESTABLISHED.0,
            payload_min: 3,
            flags: RecordFlags::ANCHOR_STREAM.0,
            anchor_value: *b"magic\0\0\0\0\0\0\0\0\0\0\0",
            anchor_mask: *b"\xff\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0",
            ..packet()
        });
    });
    let mut talk = established(&mut r);
    r.step(&talk.data(0, b"ma"));
    assert!(r.descriptors.is_empty());
    let n = r.step(&talk.data(0, b"gic"));
    assert_eq!(r.diverted(), [n]);
    // Another port, another direction, another beginning: no.
    let other = End([3, 3, 3, 3], 3);
    for (client, server, bytes) in [(CLIENT, End([1, 1, 1, 1], 81), b"magic "), (SERVER, other, b"magic "), (other, SERVER, b"tragic")] {
        let mut talk = Talk::new(client, End(server.0, server.1));
        talk.ends[1].0[3] ^= 1;
        for frame in talk.handshake() {
            r.step(&frame);
        }
        r.step(&talk.data(0, bytes));
        assert_eq!(r.diverted().len(), 1, "{client:?}");
    }
}

#[test]
fn flowless_frames_are_judged_by_guards() {
    let mut r = rig(|_| ());
    let mut fragment = udp(CLIENT, SERVER, b"x");
    fragment[20] = 0x20;
    r.step(&fragment);
    assert_eq!((r.last().flow_index, r.last().guards), (c::FLOW_NONE, Guard::IpFragment.bit()));
    assert_ne!(r.last().flags & FrameFlags::FLOWLESS.0, 0);
    let mut arp = vec![0xff; 12];
    arp.extend([8, 6]);
    arp.extend([0; 28]);
    let seen = r.descriptors.len();
    r.step(&arp);
    assert_eq!(r.descriptors.len(), seen, "no record asks for frames without IP");
    assert_eq!(r.model.guard_counter(Guard::NonIp), 1);
}

/// Ageing goes by frame time, not by the sweep: an entry whose time is up takes no command, and a flush hands nothing of it
/// over.
#[test]
fn an_entry_whose_time_is_up_has_ended_before_the_sweep_meets_it() {
    const LIFE: u64 = 360 * SECOND;
    let other = udp(End([10, 0, 0, 7], 7), SERVER, b"x");
    // A flow whose time is up, or about to be, and that is still in the table.
    let rig = |payload: &[u8], late: bool| {
        let mut b = ImageBuilder::new(5);
        b.literal(b"attack", packet());
        let mut r = Rig::new(&Shape { flow_entries: 1 << 16, ..Shape::default() }, &b.build());
        r.answer = false;
        r.step(&udp(CLIENT, SERVER, payload));
        r.time += LIFE;
        r.step(&other);
        r.time += u64::from(late);
        r.step(&other);
        assert_eq!(r.model.counter(Counter::FlowsAged), 0, "the sweep has not come by");
        r
    };
    let whole = TxFlags::WHOLE_FLOW.0;
    let commands = [TxCommand::Divert, TxCommand::Release, TxCommand::Settle, TxCommand::Bypass, TxCommand::Forget];
    for (command, flags) in commands.map(|command| (command, 0)).into_iter().chain([(TxCommand::Drop, whole)]) {
        for late in [false, true] {
            let mut r = rig(b"attack", late);
            let (flow_index, flow_generation) = r.flow_of_last();
            r.raw(&TxEntry { command: command as u8, flags, frame_number: 1, flow_index, flow_generation, ..TxEntry::ZERO });
            assert_eq!(r.model.counter(Counter::CommandStale), u64::from(late), "{command:?}");
        }
    }
    for late in [false, true] {
        let mut r = rig(b"quiet", late);
        r.driver.flush().unwrap();
        r.drain();
        let kind = r.flow_records.iter().find(|f| f.first_frame == 1).map(|f| f.kind);
        let want = if late { FlowRecordKind::Aged } else { FlowRecordKind::Flushed };
        assert_eq!((kind, r.descriptors.len()), (Some(want as u8), if late { 1 } else { 2 }));
    }
}

/// An idle link: what has aged ends by and by, and the host's beats count at the time they come.
#[test]
fn time_passes_without_frames() {
    let mut r = rig(|_| ());
    r.step(&udp(CLIENT, SERVER, b"x"));
    // A round of the sweep takes sixteen seconds.
    for _ in 0..4 * (360 + 20) {
        r.time += SECOND / 4;
        r.model.pass_time(r.time);
        r.drain();
    }
    assert_eq!((r.model.counter(Counter::FlowsLive), r.model.counter(Counter::FlowsAged)), (0, 1));
    r.model.check().unwrap();
}

#[test]
fn records_name_the_port_of_their_frame() {
    let mut r = rig(|b| b.literal(b"evil.exe", packet()));
    for port in [0, 1] {
        r.model.from_port(port);
        r.step(&udp(CLIENT, SERVER, b"evil.exe"));
        let mut frame = weir_device::HistoryFrame::default();
        r.driver.read_frame(0, r.last().position, &mut frame).unwrap();
        assert_eq!((frame.port, frame.number), (port, r.number));
    }
}
