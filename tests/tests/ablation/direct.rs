//! Guards that traffic alone cannot provoke: sources that cannot wait, and faults of the device.

use std::sync::Arc;
use weir::{device, evidence};
use weir_contract::counters::Counter;
use weir_contract::guards::Guard;
use weir_device::Driver;
use weir_engine::{DeviceRuntime, Engine};
use weir_management::Config;
use weir_output::AlertCollector;
use weir_rules::RuleSource;
use weir_sim::Frame;
use weir_sim::faults::{Countdown, Faults};

/// A test of one guard.
pub struct Direct {
    /// Which.
    pub guard: Guard,
    /// What is right with it.
    pub title: &'static str,
    /// Does it go right where these guards are deaf?
    pub right: fn(u64) -> bool,
}

/// The tests.
pub const DIRECT: &[Direct] = &[
    Direct {
        guard: Guard::FlowHole,
        title: "behind a frame that history lost, a flow goes to the host",
        right: a_flow_with_a_hole_is_diverted,
    },
    Direct {
        guard: Guard::HistoryTooLong,
        title: "a content across two frames of more than half the ring, from a source that cannot wait",
        right: long_frames_are_not_lost,
    },
    Direct {
        guard: Guard::HistoryFull,
        title: "the host is told of a frame for which a full ring had no room",
        right: the_host_learns_of_a_full_ring,
    },
];

struct Outcome {
    /// (sid, frame).
    alerts: Vec<(u32, u64)>,
    diverted: u64,
    lost: u64,
    /// Frames the host knows it did not get.
    truncated: u64,
}

/// Inspects traffic from a source that cannot wait; the host looks at its rings after every `batch` frames.
fn lossy(rules: &str, traffic: &str, batch: usize, faults: impl FnOnce(&mut Faults)) -> Outcome {
    let mut config = Config::default();
    for key in ["vars.HOME_NET=any", "device.history-size=64KiB", "device.queues=1"] {
        config.set_argument(key).unwrap();
    }
    let sources = [RuleSource::from_text("x.rules", rules)];
    let set = weir::ruleset::load_sources(&sources, None, &config).unwrap();
    assert!(set.rejected.is_empty());
    let loaded = weir::pipeline::compile(set, &config, std::time::Instant::now());
    let tables = device::tables(&loaded).unwrap();
    let model = device::simulator(&config);
    let mut settings = device::driver_config(&config, true);
    settings.source_waits = false;
    let mut driver = Driver::probe(model.clone()).unwrap();
    driver.set_up(&settings).unwrap();
    let epoch = driver.load_tables(&tables.image.bytes).unwrap();
    driver.activate(epoch).unwrap();
    driver.enable(false).unwrap();
    let engine_config = weir::settings::engine(&config, true);
    let raw_window = engine_config.raw_window;
    let engine = Engine::new(engine_config, Arc::clone(&loaded.program)).unwrap();
    let gates = tables.plan.gates.iter().map(|name| &**name);
    let mut runtime = DeviceRuntime::new(driver, engine, gates, evidence::stream_evidence(&loaded, &tables), raw_window, settings.vlan_key);
    let mut sink = AlertCollector::default();
    model.inject(faults);
    let capture = weir_synth::compile(traffic).unwrap();
    for frame in capture.frames() {
        let time = frame.time.0;
        let offered =
            Frame { number: frame.number, time, link: frame.link, data: frame.data, wire_length: frame.wire_length };
        model.offer_lossy(&offered);
        if (frame.number as usize).is_multiple_of(batch) {
            runtime.poll(&mut sink).unwrap();
        }
    }
    runtime.finish(capture.frames.last().map_or(0, |frame| frame.time), &mut sink).unwrap();
    assert_eq!(model.broken_identities(), [""; 0]);
    Outcome {
        alerts: sink.alerts.iter().map(|alert| (alert.rule.sid, alert.frame)).collect(),
        diverted: model.counter(Counter::DivertedFrames),
        lost: model.counter(Counter::HistoryLost),
        truncated: runtime.counters().truncated,
    }
}

/// A DMA write of a record fails; nothing else about the flow is of interest to anyone.
fn a_flow_with_a_hole_is_diverted(deaf: u64) -> bool {
    let rules = r#"alert tcp any any -> any any (msg:"none"; flow:established; content:"no-such-content"; sid:1;)"#;
    let traffic = "tcp c 10.0.0.1:40000 > 10.0.0.2:7777\nc handshake\nc > \"one\"\nc > \"two\"\n";
    let run = |write: u64| {
        lossy(rules, traffic, 1, |faults| {
            faults.deafen(deaf);
            faults.fail_writes(Countdown::new(write, 1));
        })
    };
    let outcome = (0..20).map(run).find(|outcome| outcome.lost == 1).expect("a write of a record can fail");
    outcome.diverted > 0
}

/// The first frame, waiting in history, stands where the second must go: only if the host has it already is there room.
fn long_frames_are_not_lost(deaf: u64) -> bool {
    let rules = r#"alert tcp any any -> any any (msg:"long"; flow:established; content:"needle-in-hay"; sid:1;)"#;
    let long = "x".repeat(40_000);
    let traffic = format!(
        "tcp c 10.0.0.1:40000 > 10.0.0.2:7777 mss=60000 acks=none\nc handshake\nc > \"{long}needle\"\nc > \"-in-hay{long}\"\n"
    );
    lossy(rules, &traffic, 1, |faults| faults.deafen(deaf)).alerts == [(1, 5)]
}

/// Diverted frames fill the ring while the host is busy; then comes a frame that no rule is about.
fn the_host_learns_of_a_full_ring(deaf: u64) -> bool {
    let rules = r#"alert udp any any -> any 1000 (msg:"all"; dsize:>0; sid:1;)"#;
    let full = "x".repeat(1400);
    let mut traffic = "udp d 10.0.0.1:5000 > 10.0.0.2:1000\nudp e 10.0.0.1:5001 > 10.0.0.2:2000\n".to_owned();
    for _ in 0..41 {
        traffic += &format!("d > \"{full}\"\n");
    }
    traffic += &format!("e > \"{}\"\n", "x".repeat(4000));
    let outcome = lossy(rules, &traffic, usize::MAX, |faults| faults.deafen(deaf));
    assert_eq!((outcome.alerts.len(), outcome.lost), (41, 1), "one frame alone finds the ring full");
    outcome.truncated == 1
}
