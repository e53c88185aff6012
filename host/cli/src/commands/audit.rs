//! `weir audit equivalence`: the promise, tested on captures of the user.

use super::configuration;
use super::mix::Protocols;
use super::swaps::Swaps;
use crate::args::{AuditCommand, Device, EquivalenceArguments};
use crate::device::{self, Behind, Tables};
use crate::exchange::Ready;
use crate::exit::{FINDINGS, Failure, INPUT, OK, OrExit};
use crate::out::outln;
use crate::pipeline::{self, Loaded, RunControl, Source, Tick};
use crate::planning::{Planning, is_flag};
use crate::{progress, ruleset};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use weir_management::Config;
use weir_output::{AlertCollector, AlertIdentity, Cause, EventSink, NullSink, RunTotals};
use weir_rules::image::ImageOptions;
use weir_rules::plan::Options;
use weir_rules::profile::Part;

/// Runs the command.
pub fn run(command: &AuditCommand) -> Result<u8, Failure> {
    match command {
        AuditCommand::Equivalence(arguments) => equivalence(arguments),
    }
}

/// Outcome of one capture.
pub struct Compared {
    /// Alerts of the full engine.
    pub alerts: usize,
    /// Only the full engine raised these.
    pub missed: Vec<AlertIdentity>,
    /// Only the engine behind the device raised these.
    pub extra: Vec<AlertIdentity>,
    /// Totals behind the device.
    pub totals: RunTotals,
}

/// Runs a capture both ways.
pub fn compare(
    loaded: &Loaded,
    tables: &Tables,
    config: &Config,
    open: &dyn Fn() -> Result<Source, Failure>,
) -> Result<Compared, Failure> {
    compare_with(loaded, tables, config, open, Device::Sim)
}

/// Runs a capture both ways, behind this device.
pub fn compare_with(
    loaded: &Loaded,
    tables: &Tables,
    config: &Config,
    open: &dyn Fn() -> Result<Source, Failure>,
    device: Device,
) -> Result<Compared, Failure> {
    compare_watched(loaded, tables, config, open, device, &mut NullSink, &mut |_| {})
}

/// Like [`compare_with`]; `watch` sees what the full engine says, `tick` how far each of the two runs is.
pub fn compare_watched(
    loaded: &Loaded,
    tables: &Tables,
    config: &Config,
    open: &dyn Fn() -> Result<Source, Failure>,
    device: Device,
    watch: &mut dyn EventSink,
    tick: &mut dyn FnMut(Tick),
) -> Result<Compared, Failure> {
    let validate = pipeline::validates_checksums(config, open)?;
    let stop = AtomicBool::new(false);
    let mut control = RunControl::new(&stop, tick);
    let (mut full, mut behind) = (AlertCollector::default(), AlertCollector::default());
    pipeline::run_full(loaded, config, validate, &mut open()?, &mut (&mut full, watch), &mut control)?;
    let totals = Behind { loaded, tables, config, validate }.run_behind(device, &mut open()?, &mut behind, &mut control)?;
    let (missed, extra) = full.difference(&behind);
    Ok(Compared { alerts: full.alerts.len(), missed, extra, totals })
}

/// Runs a capture both ways with exchanges of rules at the same frames, and holds what each epoch's rules said against
/// what they say alone.
pub fn compare_swapped(
    loaded: &Loaded,
    tables: &Tables,
    config: &Config,
    open: &dyn Fn() -> Result<Source, Failure>,
    device: Device,
    swaps: &mut Swaps,
) -> Result<Compared, Failure> {
    let validate = pipeline::validates_checksums(config, open)?;
    let stop = AtomicBool::new(false);
    let (mut full, mut behind) = (AlertCollector::default(), AlertCollector::default());
    let mut schedule = swaps.schedule();
    let mut tick = |_| {};
    let mut control = RunControl { exchanges: Some(&mut schedule), ..RunControl::new(&stop, &mut tick) };
    pipeline::run_full(loaded, config, validate, &mut open()?, &mut full, &mut control)?;
    schedule.end()?;
    let mut schedule = swaps.schedule();
    let mut tick = |_| {};
    let mut control = RunControl { exchanges: Some(&mut schedule), ..RunControl::new(&stop, &mut tick) };
    let totals = Behind { loaded, tables, config, validate }.run_behind(device, &mut open()?, &mut behind, &mut control)?;
    let kept = schedule.end()?;
    swaps.keep(kept);
    let (mut missed, mut extra) = full.difference(&behind);
    let (unsaid, mixed) = swaps.check(loaded, &behind, config, validate, open)?;
    missed.extend(unsaid);
    extra.extend(mixed);
    Ok(Compared { alerts: full.alerts.len(), missed, extra, totals })
}

fn equivalence(arguments: &EquivalenceArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let captures = captures(&arguments.pcap)?;
    let mut loaded = pipeline::load(&ruleset::paths(&arguments.rules, &config)?, &config)?;
    loaded.planning = Planning::read(&arguments.profile, &loaded, &config, arguments.quiet)?;
    let everything = device::needs_everything(&config);
    let options = Options { everything, profile: loaded.planning.profile.clone(), ..Options::default() };
    let tables = device::tables_with(&loaded, &options)?;
    let expected = loaded.planning.expected(&tables);
    let mut swaps = arguments.swaps.map(|every| swaps(every, arguments, &config, &options)).transpose()?;
    let chosen: Vec<&PathBuf> = captures.iter().step_by(arguments.every as usize).collect();
    let bar = if arguments.quiet {
        indicatif::ProgressBar::hidden()
    } else {
        progress::bytes(chosen.len() as u64, "compare")
    };
    let (mut alerts, mut differences, mut unreadable) = (0usize, 0usize, 0usize);
    let (mut received, mut host) = ((0u64, 0u64), (0u64, 0u64));
    let (mut flagged, mut diverted) = ((0u64, 0u64), (0u64, 0u64));
    let (mut entries, mut protocols) = (Vec::new(), Protocols::default());
    let mut held: BTreeMap<String, Cause> = BTreeMap::new();
    for path in &chosen {
        bar.set_message(path.file_name().unwrap_or_default().to_string_lossy().into_owned());
        let open = || Source::open(path);
        let result = match &mut swaps {
            Some(swaps) => compare_swapped(&loaded, &tables, &config, &open, arguments.device, swaps),
            None => compare_with(&loaded, &tables, &config, &open, arguments.device),
        };
        bar.inc(1);
        let compared = match result {
            Ok(compared) => compared,
            Err(failure) if failure.code == INPUT => {
                unreadable += 1;
                bar.suspend(|| outln!("{}: not compared: {}", path.display(), failure.error));
                continue;
            }
            Err(failure) => {
                return Err(Failure { error: failure.error.context(path.display().to_string()), ..failure });
            }
        };
        let found = compared.missed.len() + compared.extra.len();
        let totals = &compared.totals;
        alerts += compared.alerts;
        differences += found;
        protocols.add(&totals.protocols);
        received.0 += totals.device.received_packets;
        received.1 += totals.device.received_bytes;
        host.0 += totals.host.packets;
        host.1 += totals.host.bytes;
        diverted.0 += totals.device.diverted_packets;
        diverted.1 += totals.device.diverted_bytes;
        for (_, amount) in totals.host.by_cause.iter().filter(|(name, _)| is_flag(name)) {
            flagged.0 += amount.packets;
            flagged.1 += amount.bytes;
        }
        for (name, amount) in &totals.host.held {
            *held.entry(name.clone()).or_default() += *amount;
        }
        if found > 0 || !arguments.quiet {
            bar.suspend(|| print_capture(path, &compared, arguments.show));
        }
        entries.push(json!({
            "capture": path.display().to_string(),
            "alerts": compared.alerts,
            "missed": compared.missed.iter().map(text).collect::<Vec<_>>(),
            "extra": compared.extra.iter().map(text).collect::<Vec<_>>(),
            "totals": totals,
        }));
    }
    bar.finish_and_clear();
    if let Some(swaps) = &swaps {
        print_swaps(swaps);
    }
    let percent = |part: u64, whole: u64| if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 };
    let (packets, bytes) = (percent(host.0, received.0), percent(host.1, received.1));
    let part = |of: (u64, u64)| Part { frames: percent(of.0, received.0) / 100.0, bytes: percent(of.1, received.1) / 100.0 };
    if let Some(path) = &arguments.json {
        let all = json!({
            "captures": chosen.len() - unreadable,
            "unreadable": unreadable,
            "alerts": alerts,
            "differences": differences,
            "host_share_packets": packets / 100.0,
            "host_share_bytes": bytes / 100.0,
            "measured": Measured { flagged: part(flagged), diverted: part(diverted), host: part(host) },
            "held": held,
            "expected": expected,
            "planned_by": loaded.planning.describe(),
            "protocols": protocols.to_json(),
            "swaps": swaps.as_ref().map(swaps_json),
            "entries": entries,
        });
        std::fs::write(path, format!("{all:#}\n")).or_internal()?;
    }
    outln!(
        "{} captures, {unreadable} unreadable, {alerts} alerts, {differences} differences, host share {packets:.2} % of \
         packets, {bytes:.2} % of bytes",
        chosen.len() - unreadable
    );
    outln!(
        "Flagged {:.2} % of packets, diverted {:.2} %; expected were {:.2} % and {:.2} %, and a host share of {:.2} %, by {}",
        percent(flagged.0, received.0),
        percent(diverted.0, received.0),
        100.0 * expected.flagged.frames,
        100.0 * expected.diverted.frames,
        100.0 * expected.host.frames,
        loaded.planning.describe()
    );
    if !held.is_empty() {
        let mut held: Vec<_> = held.iter().collect();
        held.sort_by_key(|(name, amount)| (std::cmp::Reverse(amount.packets), *name));
        let of = |(name, amount): &(&String, &Cause)| format!("{name} {:.2} %", percent(amount.packets, received.0));
        outln!("Diverted without a flag, by what held the flow: {}", held.iter().map(of).collect::<Vec<_>>().join(", "));
    }
    if let Some(line) = protocols.line() {
        outln!("{line}");
    }
    Ok(if differences == 0 { OK } else { FINDINGS })
}

/// The rules and, in turn with them, those named with --swap-rules: without, the same under other hash constants.
fn swaps(every: u64, arguments: &EquivalenceArguments, config: &Config, options: &Options) -> Result<Swaps, Failure> {
    let load = |rules: &[PathBuf]| pipeline::load(rules, config);
    let paths = ruleset::paths(&arguments.rules, config)?;
    let other = load(if arguments.swap_rules.is_empty() { &paths } else { &arguments.swap_rules })?;
    let image = ImageOptions { seed: 0x5a, ..ImageOptions::default() };
    let other_tables = device::tables_as(&other, options, &image)?;
    let first = load(&paths)?;
    let tables = device::tables_with(&first, options)?;
    Ok(Swaps::new(every, [Ready::new(other, Some(other_tables)), Ready::new(first, Some(tables))]))
}

/// Shares of all captures.
#[derive(serde::Serialize)]
struct Measured {
    flagged: Part,
    diverted: Part,
    host: Part,
}

/// Milliseconds: median, 99th percentile, greatest.
fn percentiles(of: impl Iterator<Item = std::time::Duration>) -> [f64; 3] {
    let mut all: Vec<f64> = of.map(|took| took.as_secs_f64() * 1e3).collect();
    all.sort_by(f64::total_cmp);
    let at = |part: f64| all.get((all.len().saturating_sub(1) as f64 * part).round() as usize).copied().unwrap_or(0.0);
    [at(0.5), at(0.99), at(1.0)]
}

fn print_swaps(swaps: &Swaps) {
    let line = |[p50, p99, max]: [f64; 3]| format!("p50 {p50:.3} ms, p99 {p99:.3} ms, max {max:.3} ms");
    outln!(
        "Rules exchanged {} times while frames came; the exchange: {}; the device's load before it: {}",
        weir_output::summary::group(swaps.done.len() as u64),
        line(percentiles(swaps.done.iter().map(|took| took.switch))),
        line(percentiles(swaps.done.iter().map(|took| took.load))),
    );
    outln!(
        "{} alerts held against those of their epoch's rules alone, {} of rules that count over flows not; at most {} programs at \
         once, {} flows that had yet to go over",
        weir_output::summary::group(swaps.checked),
        weir_output::summary::group(swaps.shared),
        swaps.most.0,
        weir_output::summary::group(swaps.most.1)
    );
}

fn swaps_json(swaps: &Swaps) -> serde_json::Value {
    json!({
        "exchanges": swaps.done.len(),
        "switch_ms": percentiles(swaps.done.iter().map(|took| took.switch)),
        "load_ms": percentiles(swaps.done.iter().map(|took| took.load)),
        "checked": swaps.checked,
        "not_checked": swaps.shared,
        "most_programs": swaps.most.0,
        "most_flows_of_earlier_epochs": swaps.most.1,
    })
}

fn print_capture(path: &Path, compared: &Compared, show: usize) {
    let h = &compared.totals.host;
    let found = compared.missed.len() + compared.extra.len();
    outln!(
        "{}: {} alerts, {found} differences, host share {:.1} % of packets, {:.1} % of bytes",
        path.display(),
        compared.alerts,
        100.0 * h.share_packets,
        100.0 * h.share_bytes
    );
    for (what, list) in [("missed", &compared.missed), ("extra", &compared.extra)] {
        for alert in list.iter().take(show) {
            outln!("  {what} {}", text(alert));
        }
        if list.len() > show {
            outln!("  … and {} more", list.len() - show);
        }
    }
}

/// An alert in one line.
pub fn text(alert: &AlertIdentity) -> String {
    let flow = alert.flow.map_or_else(
        || "no flow".to_owned(),
        |(e, first)| {
            format!(
                "flow {}:{} > {}:{} proto {} from frame {first}",
                e.source, e.source_port, e.destination, e.destination_port, e.protocol
            )
        },
    );
    let transaction = alert.transaction.map_or_else(String::new, |n| format!(", transaction {n}"));
    format!("[{}:{}] at frame {}{transaction}, {flow}", alert.rule.gid, alert.rule.sid, alert.frame)
}

/// Files named, and those in and below directories that are captures by name or by their first bytes, sorted.
pub fn captures(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    let mut open: Vec<(PathBuf, bool)> = paths.iter().map(|path| (path.clone(), true)).collect();
    while let Some((path, named)) = open.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path).or_input()? {
                let entry = entry.or_input()?;
                // Links to directories could lead in circles.
                if !entry.file_type().or_input()?.is_symlink() || entry.path().is_file() {
                    open.push((entry.path(), false));
                }
            }
        } else if named || is_capture(&path) {
            found.push(path);
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(Failure {
            code: INPUT,
            error: anyhow::anyhow!("there is no capture in the paths given"),
            remedy: Some("name files, or directories that hold pcap or pcapng files".to_owned()),
        });
    }
    Ok(found)
}

fn is_capture(path: &Path) -> bool {
    let by_name = path
        .extension()
        .is_some_and(|e| ["pcap", "pcapng", "cap", "ntar"].iter().any(|known| e.eq_ignore_ascii_case(known)));
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| std::io::Read::read_exact(&mut file, &mut magic));
    by_name || (read.is_ok() && weir_capture::is_capture(magic))
}
