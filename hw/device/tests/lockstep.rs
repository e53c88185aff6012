//! The RTL's frame path against the model, behind the same driver: the same frames and commands, and everything that a host
//! or a link can see must be the same: what waits, descriptors, history, what is sent, flow records, counters.
//!
//! One difference is permitted: when the background sweep ends an entry. It changes no outcome, only when a flow record
//! comes, so flow records are compared as a set. Where a source cannot wait and the ring of flow records has no room, that
//! shows: what comes when decides what finds room. There nothing ages, or that ring is wide.

#[path = "../../tb/tests/common/mod.rs"]
mod common;
#[path = "lockstep/among.rs"]
mod among;
#[path = "lockstep/compare.rs"]
mod compare;
#[path = "lockstep/host.rs"]
mod host;
#[path = "lockstep/long.rs"]
mod long;

use common::made::{self, Random};
use common::{real_frames, seed, setting, shared_data, tables};
use compare::compare;
use host::Shape;
use weir_contract::constants::GUARDS_MAX;
use weir_contract::enums::{DirectionMask, RecordFlags, Scopes, TransportMask};
use weir_contract::guards::Guard;
use weir_contract::layouts::{AddressPrefixV4, AddressPrefixV6, Record};
use weir_device::QueueConfig;
use weir_sim::testing::{Fragment, ImageBuilder};

/// Few records of every kind; guards lead to records that hold for some frames only.
fn made_image(seed: u64) -> Vec<u8> {
    let mut r = Random(seed);
    let mut b = ImageBuilder::new(seed);
    b.bloom_bits = 13;
    b.ways = 4;
    b.limits.candidates = 20;
    b.limits.list_entries = 12;
    b.port_classes.iter_mut().enumerate().for_each(|(n, class)| *class = (n % 5) as u16);
    b.port_sets = vec![vec![0, 1], vec![2, 4]];
    // Halves of all addresses, and nets of the conversations.
    for (address, length, class) in [(0, 1, 1), (1 << 31, 1, 2), (0x0a00_0000, 29, 3), (0x0a00_0100, 24, 4)] {
        b.v4.push(AddressPrefixV4 { address, length, class, ..AddressPrefixV4::ZERO });
    }
    for (first, length, class) in [(0, 1, 1), (0x80, 1, 2), (0x40, 2, 5)] {
        let mut prefix = AddressPrefixV6 { length, class, ..AddressPrefixV6::ZERO };
        prefix.address[0] = first;
        b.v6.push(prefix);
    }
    b.address_sets = vec![vec![1, 3], vec![2, 4], vec![0, 1, 4, 5]];
    for n in 0..60u64 {
        let length = [4, 5, 8][(n % 3) as usize];
        let fragment = Fragment { bytes: tables::text(&mut r, length), case_mask: 0 };
        let mut record = Record { group: n as u32, ..Record::ALWAYS };
        record.scopes = r.of(&[Scopes::STREAM.0, Scopes::APP.0, Scopes::ALWAYS.0]);
        record.source_ports = r.below(3) as u16;
        record.source_addresses = r.of(&[0, 1, 2, 3]);
        let id = b.record(record);
        b.fragment(fragment, &[id]);
    }
    for n in 0..GUARDS_MAX {
        let Some(guard) = Guard::from_raw(n as u8).filter(|guard| !guard.always() && !r.once_in(3)) else { continue };
        let mut record = Record::ALWAYS;
        record.directions = r.of(&[DirectionMask::TO_SERVER.0, DirectionMask::TO_CLIENT.0]);
        record.destination_ports = r.below(3) as u16;
        let id = b.record(record);
        b.guard(guard, id);
    }
    for transport in [TransportMask::UDP.0, TransportMask::ICMPV4.0, TransportMask::TCP.0] {
        let mut record = Record { transports: transport, payload_min: 5, payload_max: 9, ..Record::ALWAYS };
        record.scopes = Scopes::PACKET.0;
        b.header(record);
    }
    // Frames without a key: what holds by their addresses alone.
    for (scopes, source, destination) in [(Scopes::STREAM, 1, 0), (Scopes::APP, 0, 2), (Scopes::PACKET, 3, 1)] {
        let mut record = Record { transports: TransportMask::OTHER.0, scopes: scopes.0, ..Record::ALWAYS };
        (record.source_addresses, record.destination_addresses) = (source, destination);
        b.header(record);
    }
    for first in [b'a', b'B', b'/', b'0'] {
        let mut record =
            Record { flags: RecordFlags::ANCHOR_STREAM.0, transports: TransportMask::TCP.0, ..Record::ALWAYS };
        (record.anchor_mask[0], record.anchor_value[0]) = (0xff, first);
        record.scopes = Scopes::STREAM.0;
        record.payload_min = 1200;
        b.header(record);
    }
    b.build()
}

/// Frames of few conversations: made ones with the fragments' letters in their payloads.
fn conversations(seed: u64, count: usize) -> Vec<common::Frame> {
    conversations_of(seed, count, 24)
}

fn conversations_of(seed: u64, count: usize, flows: u64) -> Vec<common::Frame> {
    let mut r = Random(seed);
    let mut next: Vec<[u32; 2]> =
        (0..flows).map(|_| [r.below(u64::from(u32::MAX)) as u32, r.below(1 << 32) as u32]).collect();
    let mut opened = vec![0u8; flows as usize];
    (0..count)
        .map(|n| {
            let flow = r.below(flows) as usize;
            let d = r.below(2) as usize;
            let ends = [([10, 0, 0, flow as u8], 1000 + flow as u16), ([10, 0, 1, 1], 80)];
            let (from, to) = (ends[d], ends[1 - d]);
            let length = if r.once_in(3) { r.below(1400) } else { r.below(40) } as usize;
            let payload = tables::text(&mut r, length);
            let mut segment = Vec::new();
            segment.extend(from.1.to_be_bytes());
            segment.extend(to.1.to_be_bytes());
            let protocol = if flow % 3 == 0 { 17 } else { 6 };
            let mut bytes = payload.clone();
            if protocol == 17 {
                segment.extend(((8 + payload.len()) as u16).to_be_bytes());
                segment.extend([0, 0]);
            } else {
                let (d, flags) = match opened[flow] {
                    0 => (0, 2u8),
                    1 => (1, 0x12),
                    2 => (0, 0x10),
                    _ => (d, if r.once_in(150) { r.of(&[4, 0x11, 2]) } else { 0x18 }),
                };
                if opened[flow] < 3 {
                    opened[flow] += 1;
                    bytes.clear();
                    segment.clear();
                    segment.extend(ends[d].1.to_be_bytes());
                    segment.extend(ends[1 - d].1.to_be_bytes());
                }
                let sequence =
                    if r.once_in(20) { next[flow][d].wrapping_sub(r.below(200) as u32) } else { next[flow][d] };
                segment.extend(sequence.to_be_bytes());
                segment.extend(next[flow][1 - d].to_be_bytes());
                segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
                let used = bytes.len() as u32 + u32::from(flags & 3 != 0);
                next[flow][d] = sequence.wrapping_add(used);
                segment.extend(&bytes);
                return packet(ends[d].0, ends[1 - d].0, protocol, &segment, n);
            }
            segment.extend(&bytes);
            packet(from.0, to.0, protocol, &segment, n)
        })
        .collect()
}

fn packet(from: [u8; 4], to: [u8; 4], protocol: u8, segment: &[u8], n: usize) -> common::Frame {
    let mut data = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    data.extend(((20 + segment.len()) as u16).to_be_bytes());
    data.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    data.extend(from);
    data.extend(to);
    data.extend(segment);
    common::Frame { link: 1, wire_length: data.len() as u32, data, origin: format!("conversation, frame {n}") }
}

/// The smallest rings that the contract knows.
fn narrow(source_waits: bool, fail_open: bool) -> Shape {
    Shape {
        queue: QueueConfig { history: 1 << 16, margin: 0, descriptors: 16, flow_records: 16, tx: 64 },
        source_waits,
        fail_open,
        ..Shape::default()
    }
}

/// A host that seldom looks.
fn unread(descriptors: u32) -> Shape {
    let shape = wide_records(narrow(true, true));
    Shape { queue: QueueConfig { descriptors, ..shape.queue }, drains: 250, ..shape }
}

/// Every flow record finds room.
fn wide_records(shape: Shape) -> Shape {
    Shape { queue: QueueConfig { flow_records: 4096, ..shape.queue }, ..shape }
}

#[test]
fn conversations_and_commands() {
    let seed = seed();
    let frames = conversations(seed, setting("WEIR_FRAMES", 1500));
    let image = made_image(seed);
    let flushes = |shape: Shape| Shape { flushes: true, ..shape };
    let shapes = [
        flushes(Shape::default()),
        flushes(narrow(true, true)),
        narrow(true, true),
        wide_records(narrow(false, true)),
        flushes(wide_records(narrow(false, false))),
        Shape { jumps: 0, ..narrow(false, true) },
        flushes(Shape { jumps: 0, ..narrow(false, false) }),
        // What unread descriptors name is more than the history ring holds.
        unread(512),
        // Chains whose records are overwritten find no descriptor: their flows have holes.
        Shape { source_waits: false, drains: 50, ..unread(16) },
    ];
    for (n, shape) in shapes.iter().enumerate() {
        // A host that seldom looks has soon seen it all.
        let count = if shape.drains > 100 { frames.len().min(700) } else { frames.len() };
        let Some(sum) = compare(&[image.clone()], &frames[..count], shape, seed + n as u64) else { return };
        println!("{n}: {sum:?}");
        let least = if shape.drains > 6 { 30 } else { 100 };
        assert!(sum.descriptors > least && sum.history > least / 2 && sum.flow_records > 10, "{sum:?}");
    }
}

#[test]
fn made_frames_of_every_kind() {
    let seed = seed();
    let frames = made::frames(seed, setting("WEIR_FRAMES", 1500), 300);
    let image = made_image(seed);
    // Wide rings of flow records: when an ending at the source's end waits for room follows from what the sweep had ended.
    let shape = wide_records(Shape {
        checksums: true,
        vlan_key: true,
        midstream: true,
        queues: 4,
        report_interval: 1,
        ..Shape::default()
    });
    let Some(sum) = compare(&[image], &frames, &shape, seed) else { return };
    println!("{sum:?}");
    assert!(sum.descriptors > 100, "{sum:?}");
}

/// Frames behind one another, in each stage one; many are of one flow. What the host does comes between: what the frames
/// find must not depend on how many were under way.
#[test]
fn frames_behind_one_another() {
    let seed = seed();
    let count = setting("WEIR_FRAMES", 1500);
    let image = made_image(seed);
    let wide = |shape: Shape| Shape { behind: 24, ..shape };
    let flushes = |shape: Shape| Shape { flushes: true, ..shape };
    let shapes = [
        wide(Shape::default()),
        wide(Shape { inline: true, report_interval: 1, queues: 4, ..Shape::default() }),
        flushes(Shape { behind: 5, ..narrow(true, true) }),
        // A source that cannot wait: records and descriptors are lost in mid-stream, flows get holes and lose them.
        wide(Shape { drains: 4, ..wide_records(narrow(false, true)) }),
        flushes(Shape { behind: 6, ..wide_records(narrow(false, false)) }),
        wide(Shape { jumps: 0, drains: 3, ..narrow(false, true) }),
        Shape { behind: 90, drains: 8, ..unread(512) },
        // Entries end by time right behind the frame that told their flow's fate.
        wide(Shape { jumps: 3, ..wide_records(Shape::default()) }),
        // Flows with holes: a frame that is diverted for one, and the next right behind it, which is not for that.
        Shape { behind: 6, watchdog_frames: 20, jumps: 0, ..wide_records(Shape::default()) },
        wide(Shape { watchdog_frames: 40, beats: false, fail_open: false, ..Shape::default() }),
    ];
    for (n, shape) in shapes.iter().enumerate() {
        for flows in [2, 24] {
            let frames = conversations_of(seed + n as u64, count, flows);
            let Some(sum) = compare(&[image.clone()], &frames, shape, seed + n as u64) else { return };
            println!("{n}, {flows} flows: {sum:?}");
            assert!(sum.history > 5 && sum.flow_records > 1, "{sum:?}");
        }
    }
}

/// Rings fill while frames are on their way, and those wait that would have found no room: reports fill the ring of flow
/// records when room for the next frame is found already; each frame on its way takes a descriptor.
#[test]
fn rings_fill_behind_one_another() {
    let seed = seed();
    let queue = Shape::default().queue;
    let shape = |queue| Shape { queue, behind: 24, drains: 40, ..Shape::default() };
    // Time goes on, but no entry ages.
    let reports = QueueConfig { flow_records: 16, ..queue };
    let reports = Shape { report_interval: 1, jumps: u64::MAX, ..shape(reports) };
    // Every frame is diverted.
    let mut all = ImageBuilder::new(seed);
    all.header(Record::ALWAYS);
    let descriptors = Shape { jumps: 0, ..shape(QueueConfig { descriptors: 16, ..queue }) };
    for (flows, image, shape) in [(24, made_image(seed), reports), (200, all.build(), descriptors)] {
        let frames = conversations_of(seed, setting("WEIR_FRAMES", 1500), flows);
        let Some(sum) = compare(&[image], &frames, &shape, seed) else { return };
        println!("{flows} flows: {sum:?}");
        assert!(sum.waits > 20, "{sum:?}");
    }
}

/// Frames wait for what unread descriptors name, most of which is their chains.
#[test]
fn unread_chains_pin_history() {
    let seed = seed();
    let frames = conversations_of(seed, setting("WEIR_FRAMES", 1500), 40);
    let mut b = ImageBuilder::new(seed);
    b.header(Record { payload_min: 39, payload_max: 39, ..Record::ALWAYS });
    let image = b.build();
    for behind in [1, 24] {
        let shape = Shape { behind, drains: u64::MAX, jumps: 0, ..unread(512) };
        let Some(sum) = compare(&[image.clone()], &frames, &shape, seed) else { return };
        println!("{behind}: {sum:?}");
        assert!(sum.waits > 5 && sum.descriptors > 30, "{sum:?}");
    }
}

/// Nearly every frame is recorded and left to its flow's chain, and time stands still: chains come to their end where the
/// write position does, each at the margin to the byte. Records of all multiples of 64 bytes.
#[test]
fn chains_that_expire() {
    let seed = seed();
    let frames = conversations_of(seed, setting("WEIR_FRAMES", 1500), 40);
    let image = ImageBuilder::new(seed).build();
    // A quarter of the ring, little more than a frame, and half of it.
    let margin = |shape: Shape, margin| {
        let queue = QueueConfig { margin, descriptors: 128, ..shape.queue };
        Shape { queue, jumps: 0, ..wide_records(shape) }
    };
    let shapes = [
        margin(Shape { drains: 3, ..narrow(true, true) }, 0),
        margin(Shape { behind: 8, ..narrow(true, true) }, 25 * 64),
        margin(Shape { behind: 8, ..narrow(false, true) }, 1 << 15),
    ];
    for (n, shape) in shapes.iter().enumerate() {
        let Some(sum) = compare(&[image.clone()], &frames, shape, seed + n as u64) else { return };
        println!("{n}: {sum:?}");
        assert!(sum.expiring > 60, "{sum:?}");
    }
}

/// Tables change while frames pass.
#[test]
fn tables_change_under_traffic() {
    let seed = seed();
    let frames = conversations(seed, setting("WEIR_FRAMES", 600));
    let images: Vec<Vec<u8>> = (0..4).map(|n| made_image(seed + n)).collect();
    let Some(sum) = compare(&images, &frames, &Shape::default(), seed) else { return };
    println!("{sum:?}");
    assert!(sum.epochs > 4, "{sum:?}");
    // Images that change on their way are refused, and what judges stays.
    let shape = Shape { damages: 8, ..Shape::default() };
    let Some(sum) = compare(&images, &frames[..frames.len().min(200)], &shape, seed) else { return };
    println!("{sum:?}");
    assert!(sum.refused > 4 && sum.epochs > 1, "{sum:?}");
}

/// The host stops beating; frames longer than the history ring, and too long for the device.
#[test]
fn watchdog_and_long_frames() {
    let seed = seed();
    let mut frames = conversations(seed, 400);
    for n in [17, 120, 121, 300] {
        let length = if n == 121 { 262_145 } else { 70_000 };
        frames[n].data.resize(length, b'a');
        frames[n].wire_length = length as u32;
    }
    let image = made_image(seed);
    for fail_open in [true, false] {
        let shape = Shape { watchdog_frames: 40, fail_open, beats: false, ..Shape::default() };
        let Some(sum) = compare(&[image.clone()], &frames, &shape, seed) else { return };
        println!("{sum:?}");
        assert!(sum.uninspected > 50, "{sum:?}");
    }
}

/// A host that beats again: what it did not see is a hole in flows that go on.
#[test]
fn flows_go_on_behind_holes() {
    let seed = seed();
    let mut frames = conversations(seed, setting("WEIR_FRAMES", 600));
    let image = made_image(seed);
    for (fail_open, behind, drains) in [(true, 1, 30), (false, 1, 30), (true, 24, 2)] {
        if behind > 1 {
            // Frames of a flow right behind one another: the first is diverted for the hole, and not the next.
            let client = |frame: &common::Frame| frame.data[if frame.data[28] == 0 { 29 } else { 33 }];
            frames.chunks_mut(24).for_each(|chunk| chunk.sort_by_key(client));
        }
        let shape =
            Shape { behind, watchdog_frames: 20, fail_open, drains, jumps: 0, ..wide_records(Shape::default()) };
        let Some(sum) = compare(&[image.clone()], &frames, &shape, seed) else { return };
        println!("{sum:?}");
        assert!(sum.uninspected > 30 && sum.holes > 3, "{sum:?}");
    }
}

/// Frames of the captures beside the project with the tables of ET Open.
#[test]
fn captures_with_et_open() {
    let Some(_) = shared_data("captures_with_et_open") else { return };
    let seed = seed();
    let Some(image) = tables::et_open("captures_with_et_open", 7) else { return };
    let frames = real_frames("captures_with_et_open", setting("WEIR_STEP", 60), setting("WEIR_EACH", 12), 70_000);
    let shape = Shape { checksums: true, queues: 4, ..Shape::default() };
    let Some(sum) = compare(&[image], &frames, &shape, seed) else { return };
    println!("{} frames: {sum:?}", frames.len());
    // (The better the plan, the fewer.)
    assert!(sum.descriptors > 50, "{sum:?}");
}
