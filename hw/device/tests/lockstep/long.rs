//! The long set: real frames in shards, each with a shape, a seed and tables of its own choice. `cargo xtask rtl-lockstep`
//! runs it.

use crate::common::made::Random;
use crate::common::{Frame, captures, seed, setting, shared_data, tables};
use crate::compare::compare;
use crate::host::Shape;
use std::time::Instant;
use weir_capture::CaptureReader;
use weir_device::QueueConfig;

/// Frames of one capture, at most, so that no capture is the whole set.
const EACH: usize = 5_000;
/// Longest frame.
const LONGEST: usize = 70_000;

/// `count` frames behind the first `skip` of all captures, in an order that mixes the groups; frames of one capture stay
/// together.
fn frames(skip: usize, count: usize) -> Vec<Frame> {
    let mut paths = captures("long_set");
    let mut r = Random(5);
    for n in (1..paths.len()).rev() {
        paths.swap(n, r.below(n as u64 + 1) as usize);
    }
    let mut passed = 0;
    let mut found = Vec::with_capacity(count);
    for path in paths {
        let Ok(mut reader) = CaptureReader::open(&path) else { continue };
        let mut taken = 0;
        while taken < EACH && found.len() < count {
            let Ok(Some(frame)) = reader.next_frame() else { break };
            if frame.data.len() > LONGEST {
                continue;
            }
            taken += 1;
            passed += 1;
            if passed > skip {
                found.push(Frame {
                    link: frame.link,
                    wire_length: frame.wire_length,
                    data: frame.data.to_vec(),
                    origin: format!("{}, frame {}", path.display(), frame.number),
                });
            }
        }
        if found.len() == count {
            break;
        }
    }
    found
}

/// Tap and inline in turn; sources that wait and that cannot; both fail modes; a watchdog that expires.
fn shape(shard: usize) -> Shape {
    let queue = QueueConfig { history: 1 << 18, margin: 0, descriptors: 256, flow_records: 4096, tx: 1024 };
    let small = QueueConfig { history: 1 << 16, descriptors: 32, ..queue };
    let shape = Shape {
        queue,
        queues: 4,
        inline: shard % 2 == 1,
        checksums: shard % 3 == 0,
        midstream: shard % 5 == 0,
        vlan_key: shard % 4 == 1,
        report_interval: (shard % 3) as u32 * 5,
        jumps: 300,
        loads: 4000,
        damages: 2000,
        cuts: 100,
        behind: [1, 8, 40][shard % 3],
        ..Shape::default()
    };
    match shard / 2 % 4 {
        0 => shape,
        1 => Shape { queue: small, flushes: true, ..shape },
        2 => Shape { queue: small, source_waits: false, fail_open: shard % 2 == 0, ..shape },
        _ => Shape { watchdog_frames: 30, fail_open: shard % 2 == 1, flushes: true, ..shape },
    }
}

#[test]
#[ignore = "a shard of the long set: cargo xtask rtl-lockstep"]
fn long_set() {
    let shard = setting("WEIR_SHARD", 0);
    let count = setting("WEIR_SHARD_FRAMES", 10_000);
    let seed = seed();
    let Some(_) = shared_data("long_set") else { panic!("the long set needs the captures and rules") };
    let begin = Instant::now();
    let images: Vec<Vec<u8>> = [seed, seed ^ 1].iter().filter_map(|seed| tables::et_open("long_set", *seed)).collect();
    let frames = frames(shard * count, count);
    if frames.is_empty() {
        println!("RESULT {{\"shard\":{shard},\"seed\":{seed},\"frames\":0}}");
        return;
    }
    let shape = shape(shard);
    let sum = compare(&images, &frames, &shape, seed).expect("the long set needs Verilator");
    assert!(sum.descriptors > 0 && sum.history > 0 && sum.commands > 0, "{sum:?}");
    let (mode, waits) = (if shape.inline { "inline" } else { "tap" }, shape.source_waits);
    println!(
        "RESULT {{\"shard\":{shard},\"seed\":{seed},\"frames\":{},\"mode\":\"{mode}\",\"source_waits\":{waits},\
         \"fail_open\":{},\"watchdog\":{},\"descriptors\":{},\"handovers\":{},\"history_records\":{},\"flow_records\":{},\
         \"commands\":{},\"stale\":{},\"sent\":{},\"waits\":{},\"tables\":{},\"tables_refused\":{},\"uninspected\":{},\
         \"cycles\":{},\"seconds\":{}}}",
        frames.len(),
        shape.fail_open,
        shape.watchdog_frames,
        sum.descriptors,
        sum.handovers,
        sum.history,
        sum.flow_records,
        sum.commands,
        sum.stale,
        sum.sent,
        sum.waits,
        sum.epochs,
        sum.refused,
        sum.uninspected,
        sum.cycles,
        begin.elapsed().as_secs(),
    );
}
