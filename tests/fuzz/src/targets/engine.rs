//! The whole engine over lists of frames, alone and behind the simulated device.

use crate::Target;
use crate::frames::{self, FrameList};
use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use weir::device::{self, Tables};
use weir::pipeline::{self, Loaded, RunControl, Source};
use weir_management::Config;
use weir_output::{
    AlertCollector, AlertIdentity, AlertRecord, AnomalyRecord, DropRecord, EveOptions, EventSink, FlowRecord, eve,
};
use weir_rules::{RuleSource, Ruleset};

/// Rules of every class, over what the seeds and words hold.
const WIDE: &str = include_str!("wide.rules");
/// Rules under which most flows pass.
const FEW: &str = include_str!("few.rules");

/// The targets of this room.
pub fn targets() -> Vec<Target> {
    let lists = Target {
        mutate: Some(frames::mutate),
        repair: Some(frames::repair),
        parts: Some(frames::parts),
        shared: |data: &Path| frames::from_captures(&data.join("pcaps"), 40, 20 << 10, 3),
        longest: 32 << 10,
        memory: 96 << 20,
        ..Target::new("", "", |_| {}, frames::made)
    };
    vec![
        Target {
            name: "engine",
            about: "the full engine with rules of every class: no panic, memory bounded, every EVE line is JSON, the same \
                    alerts twice",
            run: |bytes| own(bytes, full_engine),
            ..lists
        },
        Target {
            name: "equivalence",
            about: "the same frames through the engine alone and behind the simulated device, rules of every class and seven \
                    geometries: equal alerts, all frames accounted for",
            run: |bytes| own(bytes, equal_alerts),
            ..lists
        },
        Target {
            name: "equivalence-et-open",
            about: "the same with the event rules and a sixteenth of ET Open from the shared data (without it: the rules of \
                    `equivalence`)",
            run: |bytes| et_open(bytes, equal_alerts),
            memory: 1 << 30,
            heavy: true,
            slow: Duration::from_secs(3),
            ..lists
        },
    ]
}

/// Rules ready to run, with and without device.
struct Set {
    loaded: Loaded,
    tables: Tables,
}

fn read(sources: &[RuleSource], directory: Option<PathBuf>) -> Ruleset {
    let paths: Vec<PathBuf> = directory.into_iter().collect();
    let from = (!paths.is_empty()).then_some((paths.as_slice(), None));
    match weir::ruleset::load_sources(sources, from, &config(0)) {
        Ok(ruleset) => ruleset,
        Err(failure) => panic!("{failure}"),
    }
}

fn compile(ruleset: Ruleset) -> Set {
    let loaded = pipeline::compile(ruleset, &config(0), Instant::now());
    match device::tables(&loaded) {
        Ok(tables) => Set { loaded, tables },
        Err(failure) => panic!("{failure}"),
    }
}

/// Our own rules: the few or the wide ones, by the choices of the input.
fn own(bytes: &[u8], run: fn(&Set, &[u8])) {
    thread_local!(static SETS: [OnceCell<Set>; 2] = const { [OnceCell::new(), OnceCell::new()] });
    let which = usize::from(FrameList::decode(bytes).choices >> 6 & 1);
    let make = || {
        let set = read(&[RuleSource::from_text("own.rules", [WIDE, FEW][which])], None);
        assert!(set.rejected.is_empty(), "{:?}", set.rejected);
        let set = compile(set);
        assert!(set.loaded.refused.is_empty(), "{:?}", set.loaded.refused);
        set
    };
    SETS.with(|sets| run(sets[which].get_or_init(make), bytes));
}

/// Parts that ET Open is run in: tables of all of it take longer to load than short captures to inspect.
const SHARES: usize = 16;
/// Neighbours stay together: rules that share flowbits are neighbours.
const NEIGHBOURS: usize = 64;

fn et_open(bytes: &[u8], run: fn(&Set, &[u8])) {
    // All shares are compiled at once, so that what stays allocated afterwards is growth.
    thread_local!(static SETS: OnceCell<Vec<Set>> = const { OnceCell::new() });
    let share = usize::from(FrameList::decode(bytes).choices >> 8) % SHARES;
    SETS.with(|sets| match sets.get_or_init(shares).get(share) {
        Some(set) => run(set, bytes),
        None => own(bytes, run),
    });
}

/// The shares of ET Open, each with all event rules; none without the shared data.
fn shares() -> Vec<Set> {
    let Some(data) = crate::seeds::shared_data() else { return Vec::new() };
    let folders = ["et-open", "suricata-events"].map(|name| data.join("rules").join(name));
    let all = match RuleSource::from_paths(&folders) {
        Ok(sources) => read(&sources, Some(data.join("rules"))),
        Err(error) => panic!("{error}"),
    };
    let part = |share| {
        let mut part = all.clone();
        let mut n = 0;
        part.rules.retain(|rule| {
            n += 1;
            rule.source.file.contains("suricata-events") || (n - 1) / NEIGHBOURS % SHARES == share
        });
        compile(part)
    };
    (0..SHARES).map(part).collect()
}

/// Geometries under which nothing may be missed; the first is roomy.
const GEOMETRIES: [&[&str]; 7] = [
    &["device.history-size=1MiB", "device.flow-entries=1024"],
    &["device.history-size=1MiB", "device.flow-entries=1024", "device.batch=1"],
    &["device.history-size=64KiB", "device.flow-entries=1024"],
    &["device.history-size=64KiB", "device.flow-entries=1024", "device.batch=1"],
    &["device.history-size=1MiB", "device.flow-entries=64"],
    &["device.history-size=256KiB", "device.flow-entries=1024", "device.queues=1"],
    &["device.history-size=256KiB", "device.flow-entries=1024", "device.queues=4", "device.batch=7"],
];

/// Configuration by the choices of a list: geometry, checksums, midstream, small depth.
fn config(choices: u16) -> Config {
    let geometry = GEOMETRIES[usize::from(choices & 7) % GEOMETRIES.len()];
    let checksums = if choices & 8 != 0 { "capture.checksums=ignore" } else { "capture.checksums=validate" };
    let mut keys = vec!["vars.HOME_NET=any", "device.queues=2", checksums];
    keys.extend(geometry);
    if choices & 16 != 0 {
        keys.push("stream.midstream=true");
    }
    if choices & 32 != 0 {
        keys.push("stream.reassembly.depth=1KiB");
    }
    let mut config = Config::default();
    for key in keys {
        if let Err(error) = config.set_argument(key) {
            panic!("{key}: {error}");
        }
    }
    config
}

fn run_alone(set: &Set, list: &FrameList, config: &Config, sink: &mut dyn EventSink) {
    let stop = AtomicBool::new(false);
    let mut tick = |_| {};
    let mut control = RunControl::new(&stop, &mut tick);
    let validate = config.capture.checksums == weir_management::Checksums::Validate;
    let mut source = Source::memory(list.capture());
    if let Err(failure) = pipeline::run_full(&set.loaded, config, validate, &mut source, sink, &mut control) {
        panic!("{failure}");
    }
}

fn equal_alerts(set: &Set, bytes: &[u8]) {
    let list = FrameList::decode(bytes);
    let config = config(list.choices);
    let validate = config.capture.checksums == weir_management::Checksums::Validate;
    let (mut full, mut behind) = (AlertCollector::default(), AlertCollector::default());
    run_alone(set, &list, &config, &mut full);
    let stop = AtomicBool::new(false);
    let mut tick = |_| {};
    let mut control = RunControl::new(&stop, &mut tick);
    let mut source = Source::memory(list.capture());
    let (loaded, tables) = (&set.loaded, &set.tables);
    let result = device::Behind { loaded, tables, config: &config, validate }.run(&mut source, &mut behind, &mut control);
    let totals = match result {
        Ok(totals) => totals,
        Err(failure) => panic!("{failure}"),
    };
    assert_eq!(totals.host.history_truncated, 0, "a source that can wait loses no history");
    let (missed, extra) = full.difference(&behind);
    let show = |list: &[AlertIdentity]| {
        let texts = list.iter().take(5).map(|a| {
            format!("sid {} frame {} flow {:?} transaction {:?} {:?}", a.rule.sid, a.frame, a.flow, a.transaction, a.verdict)
        });
        texts.collect::<Vec<_>>().join("\n  ")
    };
    if let Some(alert) = missed.first() {
        panic!("missed sid {}, {} in all:\n  {}", alert.rule.sid, missed.len(), show(&missed));
    }
    if let Some(alert) = extra.first() {
        panic!("extra sid {}, {} in all:\n  {}", alert.rule.sid, extra.len(), show(&extra));
    }
}

/// Writes every event as EVE and reads it as JSON.
#[derive(Default)]
struct Lines {
    alerts: AlertCollector,
    line: Vec<u8>,
}

fn options() -> &'static EveOptions {
    static OPTIONS: OnceLock<EveOptions> = OnceLock::new();
    OPTIONS.get_or_init(|| EveOptions {
        anomaly: true,
        flow: true,
        payload: true,
        payload_printable: true,
        packet: true,
        rule_text: true,
        community_id: Some(0),
        ..EveOptions::default()
    })
}

impl Lines {
    fn check(&mut self, write: impl FnOnce(&mut Vec<u8>, &EveOptions)) {
        self.line.clear();
        write(&mut self.line, options());
        match serde_json::from_slice::<serde_json::Value>(&self.line) {
            Ok(value) => assert!(value["event_type"].is_string() && value["timestamp"].is_string(), "{value}"),
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&self.line)),
        }
    }
}

impl EventSink for Lines {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        self.check(|line, options| eve::alert(line, options, record));
        self.alerts.alert(record);
    }
    fn anomaly(&mut self, record: &AnomalyRecord<'_>) {
        self.check(|line, options| eve::anomaly(line, options, record));
    }
    fn flow(&mut self, record: &FlowRecord<'_>) {
        self.check(|line, options| eve::flow(line, options, record));
    }
    fn drop_packet(&mut self, record: &DropRecord<'_>) {
        self.check(|line, options| eve::drop_packet(line, options, record));
    }
}

fn full_engine(set: &Set, bytes: &[u8]) {
    let list = FrameList::decode(bytes);
    let config = config(list.choices);
    let mut lines = Lines::default();
    run_alone(set, &list, &config, &mut lines);
    let mut again = AlertCollector::default();
    run_alone(set, &list, &config, &mut again);
    assert_eq!(lines.alerts.alerts, again.alerts, "the same frames, the same alerts");
}
