//! Model and RTL under the same host: every event, flow record and counter must be equal.

use crate::common::Frame as Captured;
use crate::host::{Event, FLOW_ENTRIES, Shape, run};
use weir_contract::counters::Counter;
use weir_contract::enums::DescriptorKind;
use weir_contract::guards::Guard;
use weir_rtl::{RtlConfig, RtlDevice};
use weir_sim::{SimConfig, Simulator};

/// How much happened.
#[derive(Debug, Default)]
#[allow(dead_code)]
pub struct Sum {
    pub descriptors: u64,
    pub handovers: u64,
    /// HANDOVER descriptors of chains that the write position came close to.
    pub expiring: u64,
    pub history: u64,
    pub flow_records: usize,
    pub waits: u64,
    pub epochs: u32,
    pub refused: u32,
    pub sent: u64,
    pub commands: u64,
    pub stale: u64,
    pub uninspected: u64,
    /// Frames of flows that are not diverted and of which the host misses something.
    pub holes: u64,
    pub cycles: u64,
}

/// What two runs counted differently.
fn differences<K: Copy>(want: &[(K, u64)], got: &[(K, u64)]) -> Vec<(K, u64, u64)> {
    want.iter().zip(got).filter(|(want, got)| want.1 != got.1).map(|(want, got)| (want.0, want.1, got.1)).collect()
}

/// Both devices; none without the RTL.
pub fn compare(images: &[Vec<u8>], frames: &[Captured], shape: &Shape, seed: u64) -> Option<Sum> {
    let Some(rtl) = RtlDevice::new(RtlConfig { stalls: seed }) else {
        eprintln!("SKIPPED: the RTL was not built (hw/tools/install brings Verilator)");
        return None;
    };
    let model = Simulator::new(SimConfig { queues: 4, flow_entries: FLOW_ENTRIES });
    let want = run(&model, images, frames, shape, seed);
    let got = run(&rtl, images, frames, shape, seed);
    let (events, found) = (want.events.borrow(), got.events.borrow());
    for (n, (event, other)) in events.iter().zip(found.iter()).enumerate() {
        if event != other {
            let number = events[..n].iter().rev().find_map(|event| match event {
                Event::Descriptor(_, d) => Some(d.frame_number),
                _ => None,
            });
            let of = match event {
                Event::Descriptor(_, d) => frames.get(d.frame_number as usize - 1).map(|f| (&f.origin, &f.data)),
                _ => None,
            };
            let short = |event: &Event| format!("{event:?}").chars().take(900).collect::<String>();
            let (expected, given) = (short(event), short(other));
            for (name, list) in [("model", &events), ("RTL", &found)] {
                for (n, event) in list.iter().enumerate().skip(n.saturating_sub(4)).take(12) {
                    println!("{name} {n}: {}", short(event).chars().take(400).collect::<String>());
                }
            }
            for (name, want, got) in differences(&want.counters, &got.counters) {
                println!("{name:?}: model {want}, RTL {got}");
            }
            panic!(
                "event {n} behind the descriptor of frame {number:?}, WEIR_SEED={seed}\n model {expected}\n RTL   {given}\n {of:x?}"
            );
        }
    }
    assert_eq!(found.len(), events.len(), "events, WEIR_SEED={seed}: {:?}", events.get(found.len()));
    for (want, got) in want.flow_records.iter().zip(&got.flow_records) {
        assert_eq!(got, want, "flow record, WEIR_SEED={seed}");
    }
    assert_eq!(got.flow_records.len(), want.flow_records.len(), "flow records, WEIR_SEED={seed}");
    assert_eq!(got.guards, want.guards, "guards, WEIR_SEED={seed}");
    assert_eq!(got.counters, want.counters, "counters, WEIR_SEED={seed}");
    let count = |what: fn(&Event) -> bool| events.iter().filter(|event| what(event)).count() as u64;
    Some(Sum {
        descriptors: count(|e| matches!(e, Event::Descriptor(..))),
        handovers: count(|e| matches!(e, Event::Descriptor(_, d) if d.kind == DescriptorKind::Handover as u8)),
        expiring: model.guard_counter(Guard::Expiring),
        history: count(|e| matches!(e, Event::History(..))),
        flow_records: want.flow_records.len(),
        waits: count(|e| matches!(e, Event::Waited(_))),
        epochs: want.epochs,
        refused: want.refused,
        sent: count(|e| matches!(e, Event::Sent(..))),
        commands: [
            Counter::VerdictForward,
            Counter::VerdictDrop,
            Counter::VerdictUnknown,
            Counter::ReleaseDone,
            Counter::ReleaseRefused,
            Counter::Settles,
            Counter::Bypasses,
            Counter::Forgets,
            Counter::InjectedFrames,
            Counter::CommandStale,
            Counter::CommandBad,
        ]
        .map(|counter| model.counter(counter))
        .iter()
        .sum(),
        stale: model.counter(Counter::CommandStale),
        uninspected: model.counter(Counter::BypassedFailOpen) + model.counter(Counter::DroppedFailClosed),
        holes: model.guard_counter(Guard::FlowHole),
        cycles: rtl.cycles(),
    })
}
