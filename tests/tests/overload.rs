//! A host that cannot follow its device: what is promised then (docs/reliability.md), on the simulated device with a source that does
//! not wait.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;
use weir::{device, evidence, pipeline, ruleset, settings};
use weir_contract::counters::Counter;
use weir_device::{Driver, DriverConfig, QueueConfig};
use weir_engine::{Budget, DeviceRuntime, Engine, Overload};
use weir_management::Config;
use weir_output::AlertCollector;
use weir_rules::RuleSource;
use weir_sim::{Frame, SimConfig, Simulator};

const RULE: &str = r#"alert udp any any -> any 9 (msg:"hot"; content:"hot fragment"; sid:1; rev:1;)"#;
/// Descriptors that the ring has.
const RING: u32 = 256;

/// An Ethernet frame with a datagram to port 9.
fn datagram(source: [u8; 4], port: u16, payload: &[u8]) -> Vec<u8> {
    let length = 28 + payload.len() as u16;
    let mut ip = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    ip[2..4].copy_from_slice(&length.to_be_bytes());
    ip.extend(source);
    ip.extend([198, 51, 100, 1]);
    let mut out = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    out.extend(ip);
    for field in [port, 9, length - 20, 0] {
        out.extend(field.to_be_bytes());
    }
    out.extend(payload);
    out
}

struct Rig {
    model: Simulator,
    runtime: DeviceRuntime<Simulator>,
    alerts: AlertCollector,
    number: u64,
    time: u64,
}

impl Rig {
    fn new(share: f64, fail_open: bool) -> Rig {
        let mut config = Config::default();
        config.capture.checksums = weir_management::Checksums::Ignore;
        let set = ruleset::load_sources(&[RuleSource::from_text("hot.rules", RULE)], None, &config).unwrap();
        let loaded = pipeline::compile(set, &config, Instant::now());
        let tables = device::tables(&loaded).unwrap();
        let model = Simulator::new(SimConfig { queues: 1, flow_entries: 1 << 18 });
        let mut driver = Driver::probe(model.clone()).unwrap();
        let queue = QueueConfig { history: 1 << 20, descriptors: RING, ..QueueConfig::default() };
        let of_driver = DriverConfig { queue, flow_entries: 1 << 18, source_waits: false, fail_open, ..device::driver_config(&config, false) };
        driver.set_up(&of_driver).unwrap();
        let epoch = driver.load_tables(&tables.image.bytes).unwrap();
        driver.activate(epoch).unwrap();
        driver.enable(false).unwrap();
        let of_engine = settings::engine(&config, false);
        let window = of_engine.raw_window;
        let engine = Engine::new(of_engine, loaded.program.clone()).unwrap();
        let evidence = evidence::stream_evidence(&loaded, &tables);
        let mut runtime = DeviceRuntime::new(driver, engine, [], evidence, window, of_driver.vlan_key);
        runtime.set_overload(Overload::new(Budget::new(share, 11), fail_open));
        Rig { model, runtime, alerts: AlertCollector::default(), number: 0, time: 1_000_000_000 }
    }

    fn send(&mut self, frame: &[u8]) {
        self.number += 1;
        self.time += 10_000;
        self.model.offer(&Frame { number: self.number, time: self.time, link: 1, data: frame, wire_length: frame.len() as u32 });
        self.model.check().unwrap();
    }

    fn poll(&mut self) {
        self.runtime.poll(&mut self.alerts).unwrap();
        self.model.check().unwrap();
    }

    fn sources(&self) -> Vec<IpAddr> {
        self.alerts.alerts.iter().filter_map(|alert| alert.packet.as_ref()).map(|ends| ends.source).collect()
    }
}

/// One source sends the hottest fragment in flows of one packet, as fast as it can; the host looks when its ring is more than half
/// full. Others that send the fragment are found, all of them; the attacker has its share; what it sends beyond is answered and
/// counted; nothing else is held up.
#[test]
fn one_packet_flows_of_one_source_leave_the_host_to_others() {
    for fail_open in [true, false] {
        let mut rig = Rig::new(0.25, fail_open);
        let (mut honest, mut harmless) = (BTreeSet::new(), 0);
        for round in 0..400u16 {
            for n in 0..200u16 {
                let port = 1024 + (round.wrapping_mul(200).wrapping_add(n)) % 60_000;
                match n % 10 {
                    9 => {
                        let source = [10, 1, (round >> 8) as u8, round as u8];
                        rig.send(&datagram(source, port, b"a hot fragment, honestly"));
                        honest.insert(IpAddr::from(source));
                    }
                    4 => {
                        harmless += 1;
                        rig.send(&datagram([10, 2, 0, n as u8], port, b"nothing of interest"));
                    }
                    _ => rig.send(&datagram([10, 3, 0, 1], port, b"a hot fragment, on purpose")),
                }
            }
            rig.poll();
        }
        let sources = rig.sources();
        let attacker = IpAddr::from([10, 3, 0, 1]);
        let found: BTreeSet<_> = sources.iter().copied().filter(|source| *source != attacker).collect();
        assert_eq!(found, honest);
        assert_eq!(sources.iter().filter(|source| **source != attacker).count(), 400 * 20, "every frame of theirs");
        let of_attacker = sources.iter().filter(|source| **source == attacker).count();
        let share = of_attacker as f64 / sources.len() as f64;
        assert!((0.15..0.4).contains(&share), "{share}");
        let counters = rig.runtime.counters();
        assert_eq!(counters.over_budget.frames as usize + of_attacker, 400 * 160, "each is inspected or counted");
        let count = |counter| rig.model.counter(counter);
        assert_eq!(count(Counter::InFlight), 0);
        assert!(count(Counter::PassedFrames) >= harmless, "who sends nothing that is looked for does not notice");
        let beyond = if fail_open { Counter::VerdictForward } else { Counter::VerdictDrop };
        assert!(count(beyond) >= counters.over_budget.frames);
        assert_eq!(count(Counter::BypassedRingFull) + count(Counter::DroppedRingFull), 0);
    }
}

/// Everything is flagged, by everybody, and the ring overflows: frames meet the fail mode, each counted; the host goes on where it
/// is, and inspects what it has got.
#[test]
fn a_ring_that_overflows_meets_the_fail_mode() {
    for fail_open in [true, false] {
        let mut rig = Rig::new(1.0, fail_open);
        for round in 0..20u16 {
            for n in 0..500u16 {
                rig.send(&datagram([10, 1, n as u8, round as u8], 1024 + n, b"a hot fragment"));
            }
            rig.poll();
        }
        let count = |counter| rig.model.counter(counter);
        let full = if fail_open { Counter::BypassedRingFull } else { Counter::DroppedRingFull };
        let inspected = rig.sources().len() as u64;
        assert_eq!(count(full) + inspected, 20 * 500);
        assert!(inspected >= 20 * u64::from(RING) && count(full) > 4000, "{inspected}");
        assert_eq!((count(Counter::InFlight), rig.runtime.counters().over_budget.frames), (0, 0));
        // Afterwards everything is found again.
        let before = rig.sources().len();
        for n in 0..100u16 {
            rig.send(&datagram([10, 9, 0, n as u8], 4000 + n, b"a hot fragment"));
            rig.poll();
        }
        assert_eq!(rig.sources().len() - before, 100);
    }
}

/// A host that keeps up refuses nobody, whoever sends.
#[test]
fn a_host_that_keeps_up_inspects_everything() {
    let mut rig = Rig::new(0.01, true);
    for n in 0..5000u16 {
        rig.send(&datagram([10, 3, 0, 1], 1024 + n, b"a hot fragment"));
        rig.poll();
    }
    assert_eq!((rig.sources().len(), rig.runtime.counters().over_budget.frames), (5000, 0));
}
