//! Commands that come while frames are on their way. When they do is the RTL's to say; that it is between two frames, with
//! all before them done and none of those behind begun, is what the model shows: given the command there, all is the same.

use crate::common::made::Random;
use crate::common::{seed, setting};
use crate::host::FLOW_ENTRIES;
use crate::{conversations_of, made_image};
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{DescriptorKind, TxCommand, TxFlags};
use weir_contract::layouts::{Descriptor, FlowRecord, TxEntry};
use weir_device::{Driver, DriverConfig, PciFunction, QueueConfig};
use weir_rtl::{RtlConfig, RtlDevice};
use weir_sim::{Frame, Offer, SimConfig, Simulator};

fn driver<N: PciFunction>(nic: N, image: &[u8]) -> Driver<N> {
    let mut driver = Driver::probe(nic).unwrap();
    let queue = QueueConfig { history: 1 << 20, margin: 0, descriptors: 256, flow_records: 4096, tx: 256 };
    let config = DriverConfig { queues: 1, queue, flow_entries: FLOW_ENTRIES, ..DriverConfig::default() };
    driver.set_up(&config).unwrap();
    let epoch = driver.load_tables(image).unwrap();
    driver.activate(epoch).unwrap();
    driver.enable(false).unwrap();
    driver
}

/// What the device said since the last time. All frames but the last get their verdict.
fn drain<N: PciFunction>(driver: &mut Driver<N>, open: &mut Option<TxEntry>) -> (Vec<Descriptor>, Vec<FlowRecord>) {
    let (mut descriptors, mut records) = (Vec::new(), Vec::new());
    while let Some(d) = driver.next_descriptor(0).unwrap() {
        if d.kind == DescriptorKind::Frame as u8 {
            let entry = TxEntry {
                command: TxCommand::Forward as u8,
                frame_number: d.frame_number,
                flow_index: d.flow_index,
                flow_generation: d.flow_generation,
                ..TxEntry::ZERO
            };
            if let Some(before) = open.replace(entry) {
                driver.command(0, &before).unwrap();
            }
        }
        descriptors.push(d);
    }
    driver.done(0).unwrap();
    driver.ring(0).unwrap();
    while let Some(record) = driver.next_flow_record(0).unwrap() {
        records.push(FlowRecord { sequence: 0, ..record });
    }
    records.sort_by_key(|f| (f.flow_index, f.flow_generation, f.last_frame, f.kind));
    driver.heartbeat().unwrap();
    (descriptors, records)
}

/// A command for a flow that the host knows, or a verdict that blocks one.
fn command(r: &mut Random, flow: &Descriptor, open: &mut Option<TxEntry>) -> TxEntry {
    let mut entry = TxEntry {
        frame_number: flow.frame_number,
        flow_index: flow.flow_index,
        flow_generation: flow.flow_generation,
        scopes: r.of(&[0, 0x20, 0xff]),
        ..TxEntry::ZERO
    };
    entry.command = match r.below(12) {
        0..4 => TxCommand::Release,
        4..6 => TxCommand::Settle,
        6..8 => TxCommand::Divert,
        8 => TxCommand::Bypass,
        9..11 => TxCommand::Forget,
        _ => match open.take() {
            Some(verdict) => {
                entry = TxEntry { flags: TxFlags::WHOLE_FLOW.0, ..verdict };
                TxCommand::Drop
            }
            None => TxCommand::Forget,
        },
    } as u8;
    entry
}

#[test]
fn commands_among_frames() {
    let seed = seed();
    let mut r = Random(seed);
    let Some(rtl) = RtlDevice::new(RtlConfig { stalls: seed }) else {
        eprintln!("SKIPPED: commands_among_frames: the RTL was not built (hw/tools/install brings Verilator)");
        return;
    };
    let model = Simulator::new(SimConfig { queues: 4, flow_entries: FLOW_ENTRIES });
    let image = made_image(seed);
    let (mut want, mut got) = (driver(model.clone(), &image), driver(rtl.clone(), &image));
    let (mut known, mut open): (Vec<Descriptor>, _) = (Vec::new(), [None, None]);
    let (mut number, mut within) = (0, 0);
    for batch in conversations_of(seed, setting("WEIR_FRAMES", 1500), 5).chunks(6) {
        let frames: Vec<Frame<'_>> = (number + 1..)
            .zip(batch)
            .map(|(number, frame)| Frame {
                number,
                // So slowly that no entry ages.
                time: 1_000_000_000 + number * 1000,
                link: frame.link,
                data: &frame.data,
                wire_length: frame.wire_length,
            })
            .collect();
        number += frames.len() as u64;
        let entry = known.last().map(|_| {
            let flow = known[r.below(known.len() as u64) as usize];
            command(&mut r, &flow, &mut open[0])
        });
        if entry.is_some_and(|entry| entry.command == TxCommand::Drop as u8) {
            open[1] = None;
        }
        fn tell<N: PciFunction>(driver: &mut Driver<N>, entry: Option<TxEntry>) {
            if let Some(entry) = entry {
                driver.command(0, &entry).unwrap();
                driver.ring(0).unwrap();
            }
        }
        let (at, taken) = rtl.offer_all_among(&frames, r.below(300), || tell(&mut got, entry));
        assert_eq!(taken, frames.len(), "rings are wide");
        for frame in &frames[..at] {
            assert_eq!(model.offer(frame), Offer::Accepted);
        }
        tell(&mut want, entry);
        for frame in &frames[at..] {
            assert_eq!(model.offer(frame), Offer::Accepted);
        }
        within += u32::from(at > 0 && at < taken);
        let (expected, found) = (drain(&mut want, &mut open[0]), drain(&mut got, &mut open[1]));
        assert_eq!(found, expected, "frames up to {number}, {entry:?} behind {at} of {taken}, WEIR_SEED={seed}");
        known.extend(expected.0.iter().filter(|d| d.flow_index != c::FLOW_NONE));
        known.drain(..known.len().saturating_sub(6));
    }
    for counter in Counter::ALL {
        assert_eq!(rtl.counter(counter), model.counter(counter), "{counter:?}, WEIR_SEED={seed}");
    }
    println!("{number} frames, {within} commands among frames");
    assert!(u64::from(within) * 24 > number, "{within} commands among {number} frames");
}
