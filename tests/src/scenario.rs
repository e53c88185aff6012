//! Scenarios: a folder with rules, traffic as text, and the alerts that are right.
//!
//! `case.toml` has `title`, `set` (configuration on top of the defaults with `vars.HOME_NET=any`; `{folder}` is the scenario's) and `alerts`, the complete
//! list of (sid, frame, tx) in any order: an alert that is not listed is an error, so every rule without an entry is a
//! must-not-alert twin. `tagged` lists the frames that are told because an alert before them has tagged their flow or host;
//! where it is not there, nobody asks for them. `[device]` may bound the share of packets that reach the host (`max_share`, history read later
//! included; `max_diverted` without it) and ask for a release (`released`). The traffic is
//! `traffic.txt` ([`weir_synth`] text) or `in.pcap`.

use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use weir::device;
use weir::exit::Failure;
use weir::pipeline::{self, Loaded, RunControl, Source};
use weir_management::Config;
use weir_output::{AlertCollector, AlertIdentity, AlertRecord, EventSink, RunTotals, TaggedRecord};
use weir_rules::RuleSource;
use weir_rules::plan::Options;
use weir_sim::faults::Faults;

/// An alert that must come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Expected {
    /// Frame.
    pub frame: u64,
    /// Signature.
    pub sid: u32,
    /// Transaction; none: not compared.
    pub transaction: Option<u64>,
}

/// A scenario.
pub struct Scenario {
    /// Folder name.
    pub name: String,
    /// What it is about.
    pub title: String,
    /// Configuration keys.
    pub set: Vec<String>,
    /// Every alert.
    pub alerts: Vec<Expected>,
    /// Every tagged frame, if they are asked for.
    pub tagged: Option<Vec<u64>>,
    /// Largest share of packets that may reach the host.
    pub max_share: Option<f64>,
    /// Largest share of packets that may be diverted.
    pub max_diverted: Option<f64>,
    /// At least one release must succeed.
    pub released: bool,
    rules: Vec<u8>,
    directory: PathBuf,
}

/// What a run has told.
#[derive(Default)]
struct Seen {
    alerts: AlertCollector,
    /// Tagged packets are asked for.
    asked: bool,
    tagged: Vec<u64>,
}

impl EventSink for Seen {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        self.alerts.alert(record);
    }
    fn wants_tagged(&self) -> bool {
        self.asked
    }
    fn tagged(&mut self, record: &TaggedRecord<'_>) {
        self.tagged.push(record.packet.frame);
    }
}

/// All scenarios, by name; `WEIR_SCENARIO` picks those whose name contains it.
pub fn all() -> Result<Vec<Scenario>> {
    let directory = crate::workspace().join("tests/scenarios");
    let wanted = std::env::var("WEIR_SCENARIO").unwrap_or_default();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
        let path = entry?.path();
        if path.join("case.toml").is_file() && path.to_string_lossy().contains(&wanted) {
            found.push(Scenario::read(&path).with_context(|| path.display().to_string())?);
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

impl Scenario {
    /// Reads a scenario's folder.
    pub fn read(directory: &Path) -> Result<Scenario> {
        let case: toml::Table = std::fs::read_to_string(directory.join("case.toml"))?.parse()?;
        let text = |key: &str| case.get(key).and_then(|v| v.as_str()).map(str::to_owned);
        let list = |key: &str| case.get(key).and_then(|v| v.as_array()).cloned().unwrap_or_default();
        let mut alerts = Vec::new();
        for alert in list("alerts") {
            let number =
                |key: &str| alert.get(key).and_then(toml::Value::as_integer).and_then(|n| u64::try_from(n).ok());
            alerts.push(Expected {
                frame: number("frame").context("an alert without frame")?,
                sid: number("sid").and_then(|n| u32::try_from(n).ok()).context("an alert without sid")?,
                transaction: number("tx"),
            });
        }
        alerts.sort_unstable();
        let device = case.get("device").and_then(|v| v.as_table()).cloned().unwrap_or_default();
        let known = ["title", "set", "alerts", "tagged", "device"];
        for key in case.keys() {
            ensure!(known.contains(&key.as_str()), "case.toml: unknown key `{key}`; known are {known:?}");
        }
        Ok(Scenario {
            name: directory.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            title: text("title").context("case.toml has no title")?,
            set: list("set").iter().filter_map(|v| v.as_str().map(str::to_owned)).collect(),
            alerts,
            tagged: case.get("tagged").and_then(|v| v.as_array()).map(|frames| {
                frames.iter().filter_map(toml::Value::as_integer).filter_map(|n| u64::try_from(n).ok()).collect()
            }),
            max_share: device.get("max_share").and_then(|v| v.as_float()),
            max_diverted: device.get("max_diverted").and_then(|v| v.as_float()),
            released: device.get("released").and_then(|v| v.as_bool()).unwrap_or(false),
            rules: std::fs::read(directory.join("x.rules"))?,
            directory: directory.to_owned(),
        })
    }

    /// The configuration, with more keys on top.
    pub fn config(&self, more: &[&str]) -> Result<Config> {
        let mut config = Config::default();
        for key in
            ["vars.HOME_NET=any"].into_iter().chain(self.set.iter().map(String::as_str)).chain(more.iter().copied())
        {
            config.set_argument(&key.replace("{folder}", &self.directory.to_string_lossy()))?;
        }
        Ok(config)
    }

    /// The rules, compiled. Every one of them must load.
    pub fn load(&self, config: &Config) -> Result<Loaded> {
        let sources = [RuleSource::from_text(&self.directory.join("x.rules").to_string_lossy(), self.rules.clone())];
        // Files of data sets lie beside the rules.
        let paths = [self.directory.join("x.rules")];
        let set = weir::ruleset::load_sources(&sources, Some((&paths, None)), config).map_err(|e| anyhow::anyhow!("{e}"))?;
        let complaints: Vec<_> = set.rejected.iter().map(|d| format!("{}: {}", d.line, d.message)).collect();
        ensure!(complaints.is_empty(), "rules are rejected: {complaints:?}");
        let loaded = pipeline::compile(set, config, Instant::now());
        ensure!(loaded.refused.is_empty(), "rules are refused: {:?}", loaded.refused);
        Ok(loaded)
    }

    /// The traffic.
    pub fn source(&self) -> Result<Source> {
        let pcap = self.directory.join("in.pcap");
        if pcap.is_file() {
            return Source::open(&pcap).map_err(|e| anyhow::anyhow!("{e}"));
        }
        let text = std::fs::read_to_string(self.directory.join("traffic.txt"))?;
        let capture = weir_synth::compile(&text).map_err(|e| anyhow::anyhow!("traffic.txt: {e}"))?;
        Ok(Source::memory(capture))
    }

    /// Runs the full engine.
    pub fn run_full(&self) -> Result<(Vec<AlertIdentity>, RunTotals)> {
        let config = self.config(&[])?;
        let loaded = self.load(&config)?;
        let (seen, totals) = self.run(&config, |validate, source, sink, control| {
            pipeline::run_full(&loaded, &config, validate, source, sink, control)
        })?;
        self.check_tagged(seen).map(|alerts| (alerts, totals))
    }

    /// Runs behind the simulated device, with more configuration keys.
    pub fn run_behind(&self, more: &[&str]) -> Result<(Vec<AlertIdentity>, RunTotals)> {
        let (seen, totals) = self.run_on_device(more, &Options::default(), |_| {})?;
        self.check_tagged(seen).map(|alerts| (alerts, totals))
    }

    fn check_tagged(&self, seen: Seen) -> Result<Vec<AlertIdentity>> {
        let right = self.tagged.as_deref().unwrap_or(&[]);
        ensure!(seen.tagged == right, "tagged frames are {:?}, right are {right:?}", seen.tagged);
        Ok(seen.alerts.alerts)
    }

    /// Runs behind a simulated device with a planner's options, and faults.
    pub fn run_crippled(
        &self,
        more: &[&str],
        options: &Options,
        faults: impl FnOnce(&mut Faults),
    ) -> Result<(Vec<AlertIdentity>, RunTotals)> {
        self.run_on_device(more, options, faults).map(|(seen, totals)| (seen.alerts.alerts, totals))
    }

    fn run_on_device(
        &self,
        more: &[&str],
        options: &Options,
        faults: impl FnOnce(&mut Faults),
    ) -> Result<(Seen, RunTotals)> {
        let config = self.config(more)?;
        let loaded = self.load(&config)?;
        let tags = self.tagged.is_some() && pipeline::tags_hosts(&loaded);
        let everything = options.everything || tags || device::needs_everything(&config);
        let options = Options { everything, ..options.clone() };
        let tables = device::tables_with(&loaded, &options).map_err(|e| anyhow::anyhow!("{e}"))?;
        let model = device::simulator(&config);
        model.inject(faults);
        self.run(&config, |validate, source, sink, control| {
            let behind = device::Behind { loaded: &loaded, tables: &tables, config: &config, validate };
            behind.run_on(&model, source, sink, control)
        })
    }

    fn run(
        &self,
        config: &Config,
        run: impl FnOnce(bool, &mut Source, &mut Seen, &mut RunControl<'_>) -> Result<RunTotals, Failure>,
    ) -> Result<(Seen, RunTotals)> {
        let mut sink = Seen { asked: self.tagged.is_some(), ..Seen::default() };
        let stop = AtomicBool::new(false);
        let mut tick = |_| {};
        let mut control = RunControl::new(&stop, &mut tick);
        let validate = config.capture.checksums != weir_management::Checksums::Ignore;
        let totals = run(validate, &mut self.source()?, &mut sink, &mut control).map_err(|e| anyhow::anyhow!("{e}"))?;
        Ok((sink, totals))
    }

    /// What is wrong with how much of the traffic a run behind the device sent to the host.
    pub fn device_complaints(&self, totals: &RunTotals) -> Vec<String> {
        let mut complaints = Vec::new();
        let share = totals.host.share_packets;
        if let Some(most) = self.max_share.filter(|most| share > *most) {
            complaints.push(format!("{share:.3} of the packets reached the host, at most {most} may"));
        }
        let sticky = totals.host.by_cause.get("sticky").map_or(0, |cause| cause.packets);
        let held: u64 = totals.host.held.values().map(|cause| cause.packets).sum();
        if held != sticky {
            complaints.push(format!("{sticky} frames came for their flow's sake, and {held} are counted by what held it"));
        }
        let diverted = totals.device.diverted_packets as f64 / totals.device.received_packets.max(1) as f64;
        if let Some(most) = self.max_diverted.filter(|most| diverted > *most) {
            complaints.push(format!("{diverted:.3} of the packets were diverted, at most {most} may be"));
        }
        if self.released && totals.device.released == 0 {
            complaints.push("no flow was given back to the device".to_owned());
        }
        complaints
    }

    /// What is wrong with these alerts, line by line.
    pub fn complaints(&self, found: &[AlertIdentity]) -> Vec<String> {
        let mut missing: Vec<Expected> = self.alerts.clone();
        let mut complaints = Vec::new();
        for alert in found {
            let fits = |e: &Expected| {
                e.frame == alert.frame
                    && e.sid == alert.rule.sid
                    && (e.transaction.is_none() || e.transaction == alert.transaction)
            };
            match missing.iter().position(fits) {
                Some(at) => drop(missing.remove(at)),
                None => complaints.push(format!(
                    "unexpected: {{ sid = {}, frame = {}{} }}",
                    alert.rule.sid,
                    alert.frame,
                    tx(alert.transaction)
                )),
            }
        }
        complaints.extend(
            missing.iter().map(|e| format!("missing: {{ sid = {}, frame = {}{} }}", e.sid, e.frame, tx(e.transaction))),
        );
        complaints
    }
}

fn tx(transaction: Option<u64>) -> String {
    transaction.map(|n| format!(", tx = {n}")).unwrap_or_default()
}
