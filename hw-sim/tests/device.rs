//! The device around the frame path: registers, tables and their errors, faults, watchdog, interrupts.

#![allow(missing_docs)]

mod common;

use common::*;
use std::time::Duration;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{Error, Status, TableError, TxCommand, TxFlags};
use weir_contract::guards::Guard;
use weir_contract::layouts::{AddressPrefixV4, Record, TxEntry};
use weir_contract::registers as r;
use weir_device::{DeviceError, Driver, DriverConfig, PciFunction};
use weir_sim::faults::Countdown;
use weir_sim::tables::Tables;
use weir_sim::testing::ImageBuilder;
use weir_sim::{SimConfig, Simulator};

fn builder(literal: &[u8]) -> ImageBuilder {
    let mut b = ImageBuilder::new(5);
    b.literal(literal, Record::ALWAYS);
    b
}

#[test]
fn an_image_corrupted_anywhere_is_refused() {
    let mut b = builder(b"attack");
    b.literal(b"abcd", Record::ALWAYS);
    b.bloom_bits = 13;
    b.v4.push(AddressPrefixV4 { address: 0x0a00_0000, length: 8, reserved: 0, class: 1 });
    b.header(Record::ALWAYS);
    let image = b.build();
    assert!(Tables::load(&image).is_ok());
    let mut random = Random(1);
    let positions = (0..image.len().min(4096)).chain((0..1500).map(|_| random.below(image.len() as u64) as usize));
    let mut copy = image.clone();
    for at in positions.collect::<Vec<_>>() {
        let bit = 1 << random.below(8);
        copy[at] ^= bit;
        assert!(Tables::load(&copy).is_err(), "byte {at} of {}", image.len());
        copy[at] ^= bit;
    }
    for length in [0, 1, 63, 64, 100, image.len() / 2, image.len() - 1] {
        assert!(Tables::load(&image[..length]).is_err());
    }
    copy.push(0);
    assert!(Tables::load(&copy).is_err());
}

/// Wrong in meaning, right in every checksum.
#[test]
fn refusals_name_error_and_block() {
    use weir_contract::enums::BlockType;
    type Change = fn(&mut ImageBuilder);
    let cases: &[(Change, TableError, BlockType)] = &[
        (|b| b.header(Record { scopes: 0, ..Record::ALWAYS }), TableError::Value, BlockType::Records),
        (|b| b.header(Record { source_ports: 3, ..Record::ALWAYS }), TableError::Reference, BlockType::Records),
        (|b| b.header(Record { payload_min: 5, payload_max: 4, ..Record::ALWAYS }), TableError::Value, BlockType::Records),
        (|b| b.guard(Guard::NewFlow, 999), TableError::Reference, BlockType::Lists),
        (
            |b| b.v4.push(AddressPrefixV4 { address: 1, length: 8, reserved: 0, class: 1 }),
            TableError::Value,
            BlockType::AddressClassesV4,
        ),
    ];
    for (change, error, block) in cases {
        let mut b = builder(b"attack");
        change(&mut b);
        let refusal = Tables::load(&b.build()).unwrap_err();
        assert_eq!((refusal.error, refusal.block), (*error, *block as u32));
    }
}

#[test]
fn reload_rollback_and_a_bad_image() {
    let mut rig = Rig::new(&Shape::default(), &builder(b"first").build());
    rig.step(&udp(CLIENT, SERVER, b"first"));
    assert_eq!((rig.descriptors.len(), rig.last().epoch), (1, 1));
    let second = builder(b"second").build();
    let epoch = rig.driver.load_tables(&second).unwrap();
    rig.step(&udp(End([1, 1, 1, 1], 1), SERVER, b"first"));
    assert_eq!(rig.last().epoch, 1, "loading alone changes nothing");
    rig.driver.activate(epoch).unwrap();
    rig.step(&udp(End([1, 1, 1, 1], 2), SERVER, b"first"));
    rig.step(&udp(End([1, 1, 1, 1], 3), SERVER, b"second"));
    assert_eq!((rig.descriptors.len(), rig.last().epoch), (3, epoch));
    // One byte changes on its way: refused, the active tables stay.
    rig.model.inject(|f| f.corrupt_image(5000));
    match rig.driver.load_tables(&second) {
        Err(DeviceError::Table { error: TableError::BlockCrc | TableError::Value, .. }) => {}
        other => panic!("{other:?}"),
    }
    rig.step(&udp(End([1, 1, 1, 1], 4), SERVER, b"second"));
    assert_eq!(rig.last().epoch, epoch);
    assert_eq!(rig.driver.rollback().unwrap(), 1);
    rig.step(&udp(End([1, 1, 1, 1], 5), SERVER, b"second"));
    rig.step(&udp(End([1, 1, 1, 1], 6), SERVER, b"first"));
    assert_eq!((rig.descriptors.len(), rig.last().epoch), (5, 1));
    assert!(rig.driver.activate(999).is_err());
    assert_eq!(rig.driver.epoch().unwrap(), 1);
    // The checksum read back is the directory's.
    let crc = rig.driver.pci().read32(0, r::TABLE_CRC).unwrap();
    assert_eq!(crc.to_le_bytes(), builder(b"first").build()[36..40]);
}

/// Entries of the flow table keep an epoch's classes of addresses and ports by its number.
#[test]
fn epochs_are_never_numbered_twice() {
    let mut rig = Rig::new(&Shape::default(), &builder(b"first").build());
    let mut last = rig.driver.epoch().unwrap();
    for _ in 0..6 {
        let epoch = rig.driver.load_tables(&builder(b"second").build()).unwrap();
        assert!(epoch > last);
        rig.driver.activate(epoch).unwrap();
        last = epoch;
    }
    let before = rig.driver.rollback().unwrap();
    assert!(rig.driver.load_tables(&builder(b"first").build()).unwrap() > last && before < last);
}

#[test]
fn every_fault_keeps_the_count() {
    for closed in [false, true] {
        for seed in 0..12u64 {
            let mut random = Random(seed);
            let shape = Shape { fail_open: !closed, source_waits: seed % 3 != 0, flow_entries: 64, ..Shape::default() };
            let mut rig = Rig::new(&shape, &builder(b"attack").build());
            for _ in 0..600 {
                let n = random.below(40) as u8;
                let payload: &[u8] = if random.below(6) == 0 { b"attack" } else { b"nothing to see" };
                match random.below(40) {
                    0 => rig.model.inject(|f| f.fail_writes(Countdown::new(random.below(6), 1 + random.below(4)))),
                    1 => rig.model.inject(|f| f.full_table(true)),
                    2 => rig.model.inject(|f| f.full_table(false)),
                    3 => rig.model.inject(|f| f.truncate_frames(Some(random.below(60) as usize))),
                    4 => rig.model.inject(|f| f.truncate_frames(None)),
                    _ => {}
                }
                rig.time += random.below(SECOND);
                let number = rig.number + 1;
                let data = udp(End([10, 0, 0, n], 7), SERVER, payload);
                let frame = weir_sim::Frame { number, time: rig.time, link: 1, data: &data, wire_length: data.len() as u32 };
                let _ = rig.model.offer(&frame);
                rig.number = number;
                rig.model.check().unwrap();
                if random.below(5) == 0 {
                    while let Ok(Some(_)) = rig.driver.next_descriptor(0) {}
                    rig.driver.done(0).unwrap();
                    while let Ok(Some(_)) = rig.driver.next_flow_record(0) {}
                    rig.model.check().unwrap();
                }
            }
            let _ = rig.driver.check();
            assert!(rig.model.counter(Counter::DmaFaults) > 0);
        }
    }
}

#[test]
fn a_frame_whose_record_fails_leaves_a_hole_that_diverts() {
    let mut rig = Rig::new(&Shape::default(), &builder(b"attack").build());
    rig.step(&udp(CLIENT, SERVER, b"fine"));
    rig.model.inject(|f| f.fail_writes(Countdown::new(0, 1)));
    rig.step(&udp(CLIENT, SERVER, b"lost"));
    assert_eq!(rig.model.counter(Counter::BypassedDma), 1);
    assert!(matches!(rig.driver.check(), Err(DeviceError::Reported { code: Error::DmaWrite, .. })));
    let n = rig.step(&udp(CLIENT, SERVER, b"fine"));
    assert_eq!((rig.last().frame_number, rig.last().guards), (n, Guard::FlowHole.bit()));
}

#[test]
fn without_bus_mastering_nothing_is_written() {
    let mut rig = Rig::new(&Shape::default(), &builder(b"attack").build());
    let command = rig.driver.pci().config_read(4).unwrap();
    rig.driver.pci().config_write(4, command & !4).unwrap();
    rig.step(&udp(CLIENT, SERVER, b"attack"));
    assert!(rig.descriptors.is_empty());
    assert_eq!(rig.model.counter(Counter::BypassedDma), 1);
    let status = rig.driver.pci().read32(0, r::STATUS).unwrap();
    assert_ne!(status & Status::BUS_MASTER_OFF.0, 0);
    assert!(matches!(rig.driver.check(), Err(DeviceError::Reported { code: Error::BusMaster, .. })));
    rig.driver.pci().config_write(4, command).unwrap();
    rig.step(&udp(CLIENT, SERVER, b"attack"));
    assert_eq!(rig.descriptors.len(), 1);
}

#[test]
fn watchdog_and_missing_tables_use_the_fail_mode() {
    for fail_open in [true, false] {
        let shape = Shape { watchdog_frames: 5, fail_open, ..Shape::default() };
        let mut rig = Rig::new(&shape, &builder(b"attack").build());
        rig.driver.heartbeat().unwrap();
        for _ in 0..8 {
            rig.step(&udp(CLIENT, SERVER, b"attack"));
        }
        assert_eq!(rig.diverted().len(), 5);
        let failed = if fail_open { Counter::BypassedFailOpen } else { Counter::DroppedFailClosed };
        assert_eq!((rig.model.counter(failed), rig.model.counter(Counter::WatchdogExpired)), (3, 1));
        rig.driver.heartbeat().unwrap();
        let n = rig.step(&udp(CLIENT, SERVER, b"quiet"));
        assert_eq!(rig.last().frame_number, n);
        // A flow of which frames went by uninspected has a hole.
        assert_ne!(rig.last().flags & weir_contract::enums::FrameFlags::HOLE.0, 0);
    }
    let model = Simulator::new(SimConfig { queues: 1, flow_entries: 64 });
    let mut driver = Driver::probe(model.clone()).unwrap();
    driver.set_up(&weir_device::DriverConfig::default()).unwrap();
    assert!(matches!(driver.enable(false), Err(DeviceError::Reported { code: Error::NoTables, .. })));
    let data = udp(CLIENT, SERVER, b"x");
    model.offer(&weir_sim::Frame { number: 1, time: 1, link: 1, data: &data, wire_length: data.len() as u32 });
    assert_eq!(model.counter(Counter::BypassedFailOpen), 1);
    model.check().unwrap();
}

#[test]
fn registers_lock_and_interrupts_come() {
    let mut rig = Rig::new(&Shape::default(), &builder(b"attack").build());
    rig.driver.pci().write32(0, r::QUEUE_COUNT, 2).unwrap();
    assert!(matches!(rig.driver.check(), Err(DeviceError::Reported { code: Error::Locked, .. })));
    rig.driver.pci().write32(0, r::queue::at(0, r::queue::DESCRIPTOR_INTERRUPT), 2).unwrap();
    let vector = c::MSIX_VECTOR_QUEUE0;
    assert!(!rig.driver.pci().interrupt(vector, Duration::ZERO).unwrap());
    rig.send(&udp(CLIENT, SERVER, b"attack"));
    assert!(!rig.driver.pci().interrupt(vector, Duration::ZERO).unwrap());
    rig.send(&udp(CLIENT, SERVER, b"attack"));
    assert!(rig.driver.pci().interrupt(vector, Duration::ZERO).unwrap());
    rig.drain();
    // Consumer indices that cannot be.
    rig.driver.pci().write32(0, r::queue::at(0, r::queue::DESCRIPTOR_CONSUMER), 77).unwrap();
    assert!(matches!(rig.driver.check(), Err(DeviceError::Reported { code: Error::BadRing, .. })));
    rig.driver.pci().write32(0, r::queue::at(0, r::queue::TX_PRODUCER), 7777).unwrap();
    assert!(matches!(rig.driver.check(), Err(DeviceError::Reported { code: Error::BadRing, .. })));
    let counters = rig.driver.counters().unwrap();
    assert!(counters.contains(&(Counter::DivertedFrames, 2)));
    assert_eq!(rig.driver.pci().read32(0, 0x7ffc).unwrap(), u32::MAX);
}

#[test]
fn reset_starts_anew() {
    let mut rig = Rig::new(&Shape::default(), &builder(b"attack").build());
    rig.step(&udp(CLIENT, SERVER, b"attack"));
    let mut driver = Driver::probe(rig.model.clone()).unwrap();
    assert_eq!(rig.model.counter(Counter::ReceivedFrames), 0);
    assert_eq!(driver.epoch().unwrap(), 0);
    rig.model.check().unwrap();
}

/// Host killed: the kernel resets the function. What the host blocked stays blocked, and the rest meets the fail mode that
/// it had set; the next host takes over, with every frame accounted for.
#[test]
fn blocks_and_fail_mode_outlive_the_host() {
    for (fail_open, reset) in [(true, true), (true, false), (false, true), (false, false)] {
        let image = builder(b"attack").build();
        let shape = Shape { fail_open, ..Shape::default() };
        let mut rig = Rig::new(&shape, &image);
        rig.answer = false;
        let number = rig.step(&udp(CLIENT, SERVER, b"attack"));
        let flow = rig.flow_of_last();
        let whole = TxEntry { command: TxCommand::Drop as u8, flags: TxFlags::WHOLE_FLOW.0, frame_number: number, flow_index: flow.0, flow_generation: flow.1, ..TxEntry::ZERO };
        rig.raw(&whole);
        // Two frames have no verdict when the host dies; one flow was only watched.
        let other = End(CLIENT.0, CLIENT.1 + 1);
        rig.step(&udp(other, SERVER, b"attack"));
        rig.step(&udp(other, SERVER, b"more"));
        rig.step(&udp(End(CLIENT.0, CLIENT.1 + 2), SERVER, b"harmless"));
        assert_eq!(rig.model.counter(Counter::InFlight), 2);
        if reset {
            rig.driver.pci().reset().unwrap();
        } else {
            rig.driver.disable().unwrap();
        }
        let counts = |rig: &Rig| [Counter::DroppedFlowBlocked, Counter::BypassedFailOpen, Counter::DroppedFailClosed].map(|c| rig.model.counter(c));
        for (n, bytes) in [b"blocked".as_slice(), b"blocked too"].iter().enumerate() {
            rig.send(&udp(CLIENT, SERVER, bytes));
            rig.send(&udp(other, SERVER, b"attack"));
            let n = n as u64 + 1;
            assert_eq!(counts(&rig), if fail_open { [n, n, 0] } else { [n, 0, n] });
        }
        let received = rig.model.counter(Counter::ReceivedFrames);
        let mut rig = rig.succeed(&shape, &image);
        assert_eq!(rig.model.counter(Counter::ReceivedFrames), received);
        assert_eq!((rig.model.counter(Counter::VerdictAbandoned), rig.model.counter(Counter::InFlight)), (2, 0));
        assert_eq!(rig.model.counter(Counter::FlowsLive), 1, "the blocked one");
        let before = rig.descriptors.len();
        rig.step(&udp(CLIENT, SERVER, b"attack"));
        assert_eq!((rig.descriptors.len(), counts(&rig)[0]), (before, 3));
        // Flows that the other host knew begin anew: what is looked for is found.
        let number = rig.step(&udp(other, SERVER, b"attack"));
        assert_eq!((rig.descriptors.len(), rig.last().frame_number), (before + 1, number));
        // The host may lift a block, by the name that its predecessor knew.
        rig.now(TxCommand::Forget, flow, 0, 0);
        rig.step(&udp(CLIENT, SERVER, b"attack"));
        assert_eq!((rig.descriptors.len(), counts(&rig)[0]), (before + 2, 3));
        rig.finish();
    }
}

/// Entries that another hash has put in their places are of no use.
#[test]
fn another_table_begins_anew() {
    let image = builder(b"attack").build();
    let mut rig = Rig::new(&Shape::default(), &image);
    let number = rig.step(&udp(CLIENT, SERVER, b"attack"));
    let flow = rig.flow_of_last();
    rig.answer = false;
    rig.raw(&TxEntry { command: TxCommand::Reset as u8, frame_number: number, flow_index: flow.0, flow_generation: flow.1, ..TxEntry::ZERO });
    let next = Shape { flow_entries: 512, ..Shape::default() };
    let (model, number, time) = (rig.model.clone(), rig.number, rig.time);
    drop(rig);
    let (mut driver, _) = Driver::resume(model.clone()).unwrap();
    driver.set_up(&DriverConfig { flow_entries: 512, queue: next.queue, ..DriverConfig::default() }).unwrap();
    let epoch = driver.load_tables(&image).unwrap();
    driver.activate(epoch).unwrap();
    driver.enable(false).unwrap();
    assert_eq!((model.counter(Counter::FlowsLive), model.counter(Counter::FlowsForgotten)), (0, 1));
    let data = udp(CLIENT, SERVER, b"attack");
    let frame = weir_sim::Frame { number: number + 1, time, link: 1, data: &data, wire_length: data.len() as u32 };
    assert_eq!(model.offer(&frame), weir_sim::Offer::Accepted);
    assert!(driver.next_descriptor(0).unwrap().is_some());
    model.check().unwrap();
}

#[test]
fn too_long_frames_are_dropped() {
    let mut rig = Rig::new(&Shape::default(), &builder(b"attack").build());
    rig.step(&vec![0; c::FRAME_LENGTH_MAX as usize + 1]);
    assert_eq!(rig.model.counter(Counter::DroppedTooLong), 1);
}

#[test]
fn fuzz_entries_take_anything() {
    let mut random = Random(9);
    let image = builder(b"attack").build();
    for n in 0..400 {
        let length = random.below(300) as usize;
        let mut bytes = random.bytes(length);
        weir_sim::fuzz::fuzz_frame(&bytes);
        // Something that looks like a frame.
        let mut frame = tcp(CLIENT, SERVER, 1, 2, ACK, b"GET / HTTP/1.1\r\n\r\n");
        for _ in 0..n % 5 {
            let at = random.below(frame.len() as u64) as usize;
            frame[at] = random.below(256) as u8;
        }
        bytes.clear();
        bytes.push(frame.len() as u8);
        bytes.extend(&frame);
        bytes.push(frame.len() as u8);
        bytes.extend(&frame);
        weir_sim::fuzz::fuzz_frame(&bytes);
    }
    for _ in 0..200 {
        let mut broken = image.clone();
        let at = random.below(broken.len() as u64) as usize;
        broken[at] ^= 1;
        weir_sim::fuzz::fuzz_image(&broken);
        weir_sim::fuzz::fuzz_image(&broken[..at]);
    }
    weir_sim::fuzz::fuzz_image(&image);
}
