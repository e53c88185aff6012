//! History: chains, handover, pins. Whatever the ring sizes, a host that follows descriptors gets every frame of every
//! flow it is told about, in order, and outcomes do not depend on how fast it takes them.

#![allow(missing_docs)]

mod common;

use common::*;
use std::collections::HashMap;
use weir_contract::constants as c;
use weir_contract::enums::{DescriptorKind, FrameFlags, Scopes, TxCommand};
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;
use weir_device::QueueConfig;
use weir_sim::testing::ImageBuilder;
use weir_sim::Offer;

fn image() -> Vec<u8> {
    let mut b = ImageBuilder::new(3);
    b.literal(b"attack", Record { scopes: Scopes::STREAM.0, ..Record::ALWAYS });
    b.build()
}

fn key_of(frame: &[u8]) -> [u8; 12] {
    // Source, destination, ports: the frames of one direction of one UDP flow.
    let mut key = [0; 12];
    key.copy_from_slice(&frame[26..38]);
    key
}

/// Random flows; after every descriptor the host has every frame of the flow up to it, in order.
fn run(seed: u64, queue: QueueConfig, queues: u32, longest: u64, commands: bool) -> (u64, u64) {
    let mut random = Random(seed);
    let mut rig = Rig::new(&Shape { queues, queue, ..Shape::default() }, &image());
    // Frames that must reach the host if their flow does, by flow key.
    let mut truth: HashMap<[u8; 12], Vec<u64>> = HashMap::new();
    let mut keys: HashMap<u64, [u8; 12]> = HashMap::new();
    let (mut handovers, mut checked) = (0, 0);
    let mut settled: Vec<(u32, u32)> = Vec::new();
    for _ in 0..1500 {
        let client = End([10, 0, 0, random.below(12) as u8], 1000 + random.below(3) as u16);
        let length = if random.below(8) == 0 { random.below(longest) } else { random.below(600) };
        let mut payload = random.bytes(length as usize);
        payload.iter_mut().for_each(|b| *b |= 0x80);
        if random.below(25) == 0 {
            payload.extend(b"ATTACK");
        }
        let frame = udp(client, SERVER, &payload);
        rig.time += 1000;
        let number = rig.send(&frame);
        truth.entry(key_of(&frame)).or_default().push(number);
        keys.insert(number, key_of(&frame));
        if random.below(4) != 0 {
            continue;
        }
        let seen = rig.descriptors.len();
        rig.drain();
        for n in seen..rig.descriptors.len() {
            let d = rig.descriptors[n];
            let flow = (d.flow_index, d.flow_generation);
            if d.kind == DescriptorKind::Handover as u8 && d.guards == Guard::Expiring.bit() {
                handovers += 1;
                assert!(d.chain_count > 0);
            }
            if commands && d.kind == DescriptorKind::Frame as u8 && !settled.contains(&flow) {
                match random.below(3) {
                    0 => rig.command(queue_of(&rig, flow), TxCommand::Release, flow, d.frame_number, 0),
                    1 if random.below(6) == 0 => {
                        rig.command(queue_of(&rig, flow), TxCommand::Settle, flow, 0, Scopes::PACKET.0);
                        settled.push(flow);
                    }
                    _ => {}
                }
            }
        }
        // All received frames of an unsettled flow: exactly its first ones.
        for (flow, numbers) in &rig.received {
            if settled.contains(flow) {
                continue;
            }
            let all = &truth[&keys[&numbers[0]]];
            assert_eq!(numbers[..], all[..numbers.len()], "flow {flow:?}, seed {seed}");
            checked += 1;
        }
    }
    rig.finish();
    assert_eq!(rig.model.counter(weir_contract::counters::Counter::HistoryLost), 0);
    (handovers, checked)
}

fn queue_of(rig: &Rig, _flow: (u32, u32)) -> usize {
    // Commands may travel in any queue's ring; the first keeps them in order.
    let _ = rig;
    0
}

#[test]
fn every_frame_can_be_recovered_in_order() {
    let base = QueueConfig { history: 1 << 16, margin: 0, descriptors: 64, flow_records: 64, tx: 64 };
    let mut handovers = 0;
    for seed in 0..6 {
        for (queue, queues, longest) in [
            (base, 1, 1400),
            (QueueConfig { descriptors: 16, ..base }, 1, 1400),
            (QueueConfig { margin: 64, ..base }, 1, 9000),
            (QueueConfig { margin: 1 << 15, descriptors: 16, ..base }, 1, 15_000),
            (QueueConfig { descriptors: 16, ..base }, 2, 30_000),
            (QueueConfig { history: 1 << 18, ..base }, 4, 1400),
        ] {
            let (h, checked) = run(seed, queue, queues, longest, seed % 2 == 0);
            handovers += h;
            assert!(checked > 100);
        }
    }
    assert!(handovers > 1000, "{handovers}");
}

/// The same frames give the same descriptors however often the host looks and however long its rings are.
#[test]
fn outcomes_do_not_depend_on_occupancy() {
    let outcome = |descriptors: u32, every: u64| {
        let queue = QueueConfig { history: 1 << 16, margin: 0, descriptors, flow_records: 16, tx: 16 };
        let mut rig = Rig::new(&Shape { queue, flow_entries: 64, ..Shape::default() }, &image());
        rig.answer = false;
        let mut random = Random(77);
        for n in 0..4000 {
            let client = End([10, 0, random.below(3) as u8, random.below(250) as u8], 9);
            let length = random.below(900) as usize;
            let mut payload = vec![b'x'; length];
            if random.below(40) == 0 {
                payload.extend(b"attack");
            }
            rig.time += random.below(2 * SECOND);
            rig.send(&udp(client, SERVER, &payload));
            if n % every == 0 {
                rig.drain();
            }
        }
        rig.drain();
        rig.descriptors.iter().map(|d| weir_contract::layouts::Descriptor { sequence: 0, ..*d }).collect::<Vec<_>>()
    };
    let reference = outcome(1 << 14, 1_000_000);
    assert!(reference.len() > 300);
    assert!(reference.iter().any(|d| d.guards & Guard::FlowTableFull.bit() != 0), "the table must fill up");
    for (descriptors, every) in [(16, 1), (16, 7), (64, 1000), (1 << 14, 3)] {
        let other = outcome(descriptors, every);
        for (a, b) in reference.iter().zip(&other) {
            assert_eq!(a, b, "{descriptors} descriptors, host every {every} frames");
        }
        assert_eq!(other.len(), reference.len());
    }
}

/// A host that takes nothing stops the source; nothing pinned is overwritten.
#[test]
fn pins_hold_the_source() {
    let mut rig = Rig::new(&Shape::default(), &image());
    rig.answer = false;
    rig.send(&udp(CLIENT, SERVER, b"attack"));
    let filler = vec![b'.'; 1000];
    let mut waited = false;
    for n in 0..200u16 {
        if rig.try_send(&udp(End([10, 1, 1, 1], n), SERVER, &filler)) == Offer::Wait {
            waited = true;
            break;
        }
    }
    assert!(waited, "the ring is 64 KiB");
    assert_eq!(rig.model.counter(weir_contract::counters::Counter::HistoryWaits), 1);
    rig.drain();
    assert_eq!(rig.descriptors[0].frame_number, 1);
    assert_eq!(rig.try_send(&udp(End([10, 1, 1, 1], 999), SERVER, &filler)), Offer::Accepted);
}

#[test]
fn a_source_that_cannot_wait_leaves_holes_that_are_told() {
    let mut rig = Rig::new(&Shape { source_waits: false, ..Shape::default() }, &image());
    rig.answer = false;
    rig.send(&udp(CLIENT, SERVER, b"attack"));
    let filler = vec![b'.'; 1000];
    for n in 0..400u16 {
        assert_eq!(rig.try_send(&udp(End([10, 1, 1, 1], n % 50), SERVER, &filler)), Offer::Accepted);
    }
    use weir_contract::counters::Counter;
    assert!(rig.model.counter(Counter::HistoryLost) > 0);
    assert!(rig.model.counter(Counter::BypassedRingFull) > 0, "64 descriptors are soon gone");
    // Everything the host now reads is intact, and says where something is missing.
    rig.drain();
    assert!(rig.descriptors.iter().any(|d| d.flags & FrameFlags::HOLE.0 != 0));
    assert!(rig.descriptors.iter().any(|d| d.guards & Guard::HistoryFull.bit() != 0 && d.position == c::POSITION_NONE));
    // A flow with a hole is diverted at its next frame.
    let before = rig.descriptors.len();
    let n = rig.step(&udp(End([10, 1, 1, 1], 49), SERVER, b"."));
    assert!(rig.descriptors[before..].iter().any(|d| d.frame_number == n), "{:?}", &rig.descriptors[before..]);
}

#[test]
fn frames_longer_than_a_quarter_go_to_the_host() {
    let mut rig = Rig::new(&Shape::default(), &image());
    let n = rig.step(&udp(CLIENT, SERVER, &vec![0; 17_000]));
    assert_eq!((rig.last().frame_number, rig.last().guards), (n, Guard::HistoryTooLong.bit()));
    assert_ne!(rig.last().position, c::POSITION_NONE);
    // Longer than the ring: no record, and the flow has a hole.
    let n = rig.step(&udp(End([9, 9, 9, 9], 1), SERVER, &vec![0; 65_500]));
    assert_eq!((rig.last().frame_number, rig.last().position), (n, c::POSITION_NONE));
    assert!(rig.last().flags & (FrameFlags::NO_RECORD.0 | FrameFlags::HOLE.0) == FrameFlags::NO_RECORD.0 | FrameFlags::HOLE.0);
}

#[test]
fn settled_flows_leave_no_history() {
    let mut rig = Rig::new(&Shape::default(), &image());
    rig.step(&udp(CLIENT, SERVER, b"attack"));
    let flow = rig.flow_of_last();
    let k = rig.last().frame_number;
    rig.now(TxCommand::Release, flow, k, 0);
    rig.now(TxCommand::Settle, flow, 0, Scopes::PACKET.0);
    let before = rig.model.counter(weir_contract::counters::Counter::HistoryFrames);
    let seen = rig.descriptors.len();
    rig.step(&udp(CLIENT, SERVER, b"harmless"));
    rig.step(&udp(CLIENT, SERVER, b"attack"));
    assert_eq!(rig.descriptors.len(), seen, "a record of scope STREAM is masked");
    assert_eq!(rig.model.counter(weir_contract::counters::Counter::HistoryFrames), before);
}
