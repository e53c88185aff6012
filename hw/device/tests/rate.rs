//! Frames per second of the frame path, with tables of ET Open: frames of one length, one behind the other, at 250 MHz
//! against 100 Gbit/s. WEIR_RATE=1 takes all lengths and modes; WEIR_RTL_BYTES=64 builds the width of the table in
//! docs/hardware.md.

#[path = "../../tb/tests/common/mod.rs"]
mod common;

use common::made::Random;
use common::{setting, shared_data, tables};
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::registers as r;
use weir_device::{DmaMemory, Driver, DriverConfig, PciFunction, Permission, QueueConfig};
use weir_rtl::{RtlConfig, RtlDevice};
use weir_sim::Frame;
use weir_sim::testing::ImageBuilder;

/// Lengths, without the check sequence.
const LENGTHS: [usize; 7] = [60, 64, 65, 75, 128, 129, 1514];
const FRAMES: usize = 96;
const CLOCK: f64 = 250e6;
/// Most cycles of a frame of 60 bytes on its way, whatever it carries; keeps what was reached.
const SHORT: u64 = 30;
/// The same behind a ring that is full, so that each record overwrites another.
const SHORT_FULL: u64 = 47;

/// A frame of UDP or TCP of `length` bytes between ports of no rule's interest, one of 16 flows.
fn frame(r: &mut Random, length: usize, n: usize, tcp: bool) -> Vec<u8> {
    let protocol = if tcp { 6 } else { 17 };
    let mut data = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    data.extend(((length - 14) as u16).to_be_bytes());
    data.extend([0, 1, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, (n % 16) as u8, 10, 0, 1, 1]);
    data.extend([0xc3, 0x50, 0xea, 0x60]);
    if tcp {
        data.extend((1 + (n / 16 * (length - 54)) as u32).to_be_bytes());
        data.extend([0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    } else {
        data.extend(((length - 34) as u16).to_be_bytes());
        data.extend([0, 0]);
    }
    // A checksum that is right; bytes that no text fact knows.
    let sum = data[14..34].chunks(2).fold(0u32, |sum, b| sum + u32::from(u16::from_be_bytes([b[0], b[1]])));
    let sum = !((sum >> 16) + (sum & 0xffff)) as u16;
    data[24..26].copy_from_slice(&sum.to_be_bytes());
    while data.len() < length {
        data.push(0xc0 + r.below(32) as u8);
    }
    data
}

fn device(image: &[u8], inline: bool, history: u64) -> Option<(RtlDevice, Driver<RtlDevice>)> {
    let nic = RtlDevice::new(RtlConfig { stalls: 0 })?;
    let mut driver = Driver::probe(nic.clone()).unwrap();
    let queue = QueueConfig { history, margin: 0, descriptors: 4096, flow_records: 4096, tx: 256 };
    let config = DriverConfig { queues: 1, queue, flow_entries: 1 << 13, midstream: true, ..DriverConfig::default() };
    driver.set_up(&config).unwrap();
    let epoch = driver.load_tables(image).unwrap();
    driver.activate(epoch).unwrap();
    driver.enable(inline).unwrap();
    Some((nic, driver))
}

#[test]
fn frames_per_second() {
    let Some(_) = shared_data("frames_per_second") else { return };
    let Some(image) = tables::et_open("frames_per_second", 7) else { return };
    let mut r = Random(5);
    println!("| mode | protocol | bytes | cycles | frames per second, million | line rate, million | share |");
    println!("|---|---|---:|---:|---:|---:|---:|");
    let all = setting("WEIR_RATE", 0) != 0;
    let lengths = if all { &LENGTHS[..] } else { &LENGTHS[..1] };
    for inline in [true, false].into_iter().take(if all { 2 } else { 1 }) {
        let Some((nic, _driver)) = device(&image, inline, 1 << 22) else {
            eprintln!("SKIPPED: the RTL was not built (hw/tools/install brings Verilator)");
            return;
        };
        let mut number = 0;
        for tcp in [false, true] {
            for &length in lengths {
                let data: Vec<Vec<u8>> = (0..FRAMES).map(|n| frame(&mut r, length, n, tcp)).collect();
                let frames: Vec<Frame<'_>> = data
                    .iter()
                    .map(|data| {
                        number += 1;
                        let time = 1_000_000_000 + number * 100;
                        Frame { number, time, link: 1, data, wire_length: length as u32 }
                    })
                    .collect();
                // The first frames make their flows' entries.
                nic.stream(&frames[..16]);
                let cycles = nic.stream(&frames[16..]) as f64 / (FRAMES - 16) as f64;
                let rate = CLOCK / cycles;
                let line = 100e9 / (8 * (length + 24)) as f64;
                let mode = if inline { "inline" } else { "tap" };
                let protocol = if tcp { "TCP" } else { "UDP" };
                println!(
                    "| {mode} | {protocol} | {length} | {cycles:.0} | {:.2} | {:.1} | {:.1} % |",
                    rate / 1e6,
                    line / 1e6,
                    100.0 * rate / line
                );
                assert!(
                    length > 60 || cycles <= SHORT as f64,
                    "{mode}, {protocol}: {cycles} cycles a frame of 60 bytes"
                );
            }
        }
    }
}

/// Behind a full ring each record overwrites one, and a chain that lies there is handed over ahead of that.
#[test]
fn frames_per_second_behind_a_full_ring() {
    let Some(_) = shared_data("frames_per_second_behind_a_full_ring") else { return };
    let Some(image) = tables::et_open("frames_per_second_behind_a_full_ring", 7) else { return };
    let Some((nic, mut driver)) = device(&image, true, 1 << 17) else {
        eprintln!("SKIPPED: the RTL was not built (hw/tools/install brings Verilator)");
        return;
    };
    let (batch, ring) = (64, (1 << 17) / 128);
    let mut r = Random(5);
    let mut cycles = 0;
    for begin in (0..2 * ring).step_by(batch) {
        let data: Vec<Vec<u8>> = (begin..begin + batch).map(|n| frame(&mut r, 60, n, false)).collect();
        let frames: Vec<Frame<'_>> = (1u64..)
            .zip(&data)
            .map(|(n, data)| {
                let number = begin as u64 + n;
                Frame { number, time: 1_000_000_000 + number * 100, link: 1, data, wire_length: 60 }
            })
            .collect();
        let taken = nic.stream(&frames);
        cycles += if begin < ring { 0 } else { taken };
        while driver.next_descriptor(0).unwrap().is_some() {}
        driver.done(0).unwrap();
    }
    let cycles = cycles as f64 / ring as f64;
    println!("full ring: {cycles:.0} cycles, {:.2} million frames per second", CLOCK / cycles / 1e6);
    assert_eq!(nic.counter(Counter::HistoryLost), 0, "the host reads in time");
    assert!(nic.counter(Counter::DescriptorsHandover) > 0, "chains were handed over");
    assert!(cycles <= SHORT_FULL as f64, "{cycles} cycles a frame of 60 bytes behind a full ring");
}

/// Frames take the same cycles while an image is loaded beside them, until its last word is written.
#[test]
fn loading_does_not_slow_frames() {
    let mut builder = ImageBuilder::new(3);
    (builder.bloom_bits, builder.ways) = (13, 4);
    let image = builder.build();
    let mut took = [0; 2];
    for (loads, took) in took.iter_mut().enumerate() {
        let Some((mut nic, mut driver)) = device(&image, false, 1 << 22) else { return };
        let mut r = Random(5);
        let data: Vec<Vec<u8>> = (0..14_000).map(|n| frame(&mut r, 60, n, false)).collect();
        let frames: Vec<Frame<'_>> = data
            .iter()
            .zip(1u64..)
            .map(|(data, number)| Frame { number, time: number * 1000, link: 1, wire_length: 60, data })
            .collect();
        let memory = DmaMemory::new(image.len()).unwrap();
        assert!(memory.write(0, &image));
        let iova = nic.map(&memory, Permission::Read).unwrap();
        if loads == 1 {
            nic.write32(c::BAR_REGISTERS, r::TABLE_ADDRESS, iova as u32).unwrap();
            nic.write32(c::BAR_REGISTERS, r::TABLE_ADDRESS + 4, (iova >> 32) as u32).unwrap();
            nic.write32(c::BAR_REGISTERS, r::TABLE_LENGTH, image.len() as u32).unwrap();
            nic.write32(c::BAR_REGISTERS, r::TABLE_LENGTH + 4, 0).unwrap();
            nic.write32(c::BAR_REGISTERS, r::TABLE_LOAD, 1).unwrap();
        }
        *took = nic.stream(&frames);
        println!("{took} cycles");
        if loads == 1 {
            // It was over before the frames were.
            assert_eq!(nic.counter(Counter::TableLoads), 2);
            driver.activate(2).unwrap();
        }
    }
    println!("{took:?} cycles");
    assert_eq!(took[0], took[1]);
}
