//! `weir rules test`: the loop of a rule's author. Does it load, where does it match, and what does it cost?

use super::audit::{self, Compared};
use super::{configuration, right, table};
use crate::args::{Device, TestArguments};
use crate::device::{self, Tables};
use crate::exit::{FINDINGS, Failure, INPUT, OK, OrExit, USAGE};
use crate::out::outln;
use crate::pipeline::{self, Loaded, Source};
use crate::{progress, ruleset};
use comfy_table::Cell;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Instant;
use weir_ir::Rule;
use weir_output::summary::{group, percent, visible};
use weir_output::{AlertIdentity, AlertRecord, Cause, EventSink};
use weir_rules::diag::{render_json, render_text};
use weir_rules::plan::Options;
use weir_rules::report::{Explanation, explain, guard_name};
use weir_rules::{Diagnostic, RuleSource, Ruleset};

/// Alerts behind the device differ.
const DIFFERENT: u8 = 3;
/// Name of a rule that stands on the command line, in diagnostics.
const NAME: &str = "--rule";

pub fn run(arguments: &TestArguments) -> Result<u8, Failure> {
    // As with grep(1), whatever prevents an answer is code 2.
    test(arguments).map_err(|failure| if failure.code == INPUT { Failure { code: USAGE, ..failure } } else { failure })
}

fn test(arguments: &TestArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let captures = audit::captures(&arguments.pcap)?;
    let start = Instant::now();
    let set = load(arguments, &config)?;
    let of_test = |file: &str| arguments.rule.is_empty() || file.starts_with(NAME);
    let rejected: Vec<&Diagnostic> = set.rejected.iter().filter(|d| of_test(&d.file)).collect();
    let warnings: Vec<&Diagnostic> = set.warnings.iter().filter(|d| of_test(&d.file)).collect();
    for diagnostic in rejected.iter().chain(&warnings) {
        outln!("{}", render_text(diagnostic));
    }
    let mut problems: Vec<Value> = rejected.iter().chain(&warnings).map(|d| parsed(&render_json(d))).collect();
    let mut failed = !rejected.is_empty();
    let loaded = pipeline::compile(set, &config, start);
    for refused in loaded.refused.iter().filter(|refused| of_test(&refused.file)) {
        outln!("error: {refused}");
        problems.push(json!({ "file": &*refused.file, "line": refused.line, "sid": refused.identity.sid,
                              "severity": "error", "message": refused.cause }));
        failed = true;
    }
    let tested: Vec<usize> =
        (0..loaded.program.len()).filter(|n| rule(&loaded, *n).is_some_and(|r| of_test(&r.source.file))).collect();
    if failed || tested.is_empty() {
        if !failed {
            outln!("No rule to test: the text holds none, or it is commented out.");
        }
        write_json(arguments, &json!({ "loads": false, "problems": problems }))?;
        return Ok(USAGE);
    }
    let everything = device::needs_everything(&config);
    let tables = device::tables_with(&loaded, &Options { everything, ..Options::default() })?;
    let plans: Vec<Explanation> =
        tested.iter().filter_map(|n| Some(explain(rule(&loaded, *n)?, tables.plan.rules.get(*n)?))).collect();
    print_plans(&loaded, &tested, &plans, arguments.show);
    let mut result = Outcome::default();
    for path in &captures {
        let compared = compare(&loaded, &tables, &config, path, &tested, arguments.quiet, &mut result)?;
        result.add(path, &compared);
    }
    print(&result, &captures, &tables, loaded.program.len(), arguments);
    write_json(arguments, &to_json(&result, &captures, &tables, &plans, &problems))?;
    Ok(result.code())
}

fn rule(loaded: &Loaded, n: usize) -> Option<&Rule> {
    loaded.program.sources().get(n)
}

/// Rules of the command line first: of two with one sid it is the one under test that counts.
fn load(arguments: &TestArguments, config: &weir_management::Config) -> Result<Ruleset, Failure> {
    let texts = arguments.rule.iter().enumerate().map(|(n, text)| {
        let name = if n == 0 { NAME.to_owned() } else { format!("{NAME} {}", n + 1) };
        RuleSource::from_text(&name, text.as_str())
    });
    let mut sources: Vec<RuleSource> = texts.collect();
    sources.extend(ruleset::sources(&arguments.rules)?);
    ruleset::load_sources(&sources, Some((&arguments.rules, None)), config)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}

/// Alert of a rule under test.
struct Match {
    capture: usize,
    /// Nanoseconds since the epoch.
    time: u64,
    alert: AlertIdentity,
}

/// What all captures add up to.
#[derive(Default)]
struct Outcome {
    matches: Vec<Match>,
    /// Captures that have been compared.
    captures: usize,
    /// Alerts of all rules.
    alerts: usize,
    /// (what, capture, alert).
    differences: Vec<(&'static str, PathBuf, AlertIdentity)>,
    received: Cause,
    host: Cause,
    by_cause: BTreeMap<String, Cause>,
    by_record: BTreeMap<u32, Cause>,
}

impl Outcome {
    fn code(&self) -> u8 {
        match (self.differences.is_empty(), self.matches.is_empty()) {
            (false, _) => DIFFERENT,
            (true, true) => FINDINGS,
            (true, false) => OK,
        }
    }

    fn add(&mut self, path: &Path, compared: &Compared) {
        self.captures += 1;
        self.alerts += compared.alerts;
        for (what, list) in [("missed", &compared.missed), ("extra", &compared.extra)] {
            self.differences.extend(list.iter().map(|alert| (what, path.to_owned(), *alert)));
        }
        let (host, device) = (&compared.totals.host, &compared.totals.device);
        self.received += Cause { packets: device.received_packets, bytes: device.received_bytes };
        self.host += Cause { packets: host.packets, bytes: host.bytes };
        for (cause, amount) in &host.by_cause {
            *self.by_cause.entry(cause.clone()).or_default() += *amount;
        }
        for (record, amount) in &host.by_record {
            *self.by_record.entry(*record).or_default() += *amount;
        }
    }

    /// What sent frames to the host, by name, most first.
    fn causes(&self, tables: &Tables) -> Vec<(String, Cause)> {
        let other = self.by_cause.iter().filter(|(name, _)| !name.starts_with("class ") && *name != "always");
        let mut all: Vec<(String, Cause)> = other.map(|(name, amount)| (cause_name(name), *amount)).collect();
        all.extend(self.by_record.iter().map(|(record, amount)| (triggers(tables, *record), *amount)));
        all.sort_by_key(|(name, amount)| (std::cmp::Reverse(amount.packets), name.clone()));
        all
    }
}

fn cause_name(name: &str) -> String {
    match name {
        "sticky" => "later frames of flagged flows".to_owned(),
        "history" => "earlier frames of flagged flows (history)".to_owned(),
        "handover" => "flows handed over before their history is gone".to_owned(),
        guard => format!("guard {guard}"),
    }
}

/// What leads to a record: header table, fragments.
fn triggers(tables: &Tables, record: u32) -> String {
    const SHOWN: usize = 4;
    let logical = &tables.image.tables;
    let mut names = Vec::new();
    if logical.header.contains(&record) {
        names.push(format!("header record {record}"));
    }
    let fragments = logical.fragments.iter().filter(|(_, list)| list.contains(&record));
    names.extend(fragments.map(|(fragment, _)| format!("fragment \"{}\"", fragment.display())));
    let guards = logical.guards.iter().enumerate().filter(|(_, list)| list.contains(&record));
    if names.is_empty() {
        names.extend(guards.map(|(n, _)| format!("guard {}", guard_name(u8::try_from(n).unwrap_or(u8::MAX)))));
    }
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let more = if more > 0 { format!(" or {more} more") } else { String::new() };
    format!("{}{more}", names.join(" or "))
}

/// Keeps alerts of the rules under test, with their times.
struct Watch<'a> {
    tested: BTreeSet<u32>,
    capture: usize,
    matches: &'a mut Vec<Match>,
}

impl EventSink for Watch<'_> {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        if self.tested.contains(&record.rule_index) {
            let alert = AlertIdentity::of(record);
            self.matches.push(Match { capture: self.capture, time: record.packet.time, alert });
        }
    }
}

fn compare(
    loaded: &Loaded,
    tables: &Tables,
    config: &weir_management::Config,
    path: &Path,
    tested: &[usize],
    quiet: bool,
    result: &mut Outcome,
) -> Result<Compared, Failure> {
    let open = || Source::open(path);
    let named = |failure: Failure| Failure { error: failure.error.context(path.display().to_string()), ..failure };
    let bar = if quiet {
        indicatif::ProgressBar::hidden()
    } else {
        progress::bytes(open().map_err(named)?.progress().1, "test")
    };
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // The capture runs twice: without a device, then behind one.
    let (mut last, mut behind) = (0, false);
    let mut tick = |tick: pipeline::Tick| {
        behind |= tick.frames < last;
        last = tick.frames;
        bar.set_position(tick.progress.0);
        let how = if behind { "behind the simulated device" } else { "full engine" };
        bar.set_message(format!("{file}, {how}: {} packets, {} alerts", group(tick.frames), group(tick.alerts)));
    };
    let tested = tested.iter().filter_map(|n| u32::try_from(*n).ok()).collect();
    let mut watch = Watch { tested, capture: result.captures, matches: &mut result.matches };
    let compared =
        audit::compare_watched(loaded, tables, config, &open, Device::Sim, &mut watch, &mut tick).map_err(named);
    bar.finish_and_clear();
    compared
}

fn print_plans(loaded: &Loaded, tested: &[usize], plans: &[Explanation], show: usize) {
    let mut out = table(&["sid", "class", "expected", "the device looks for", "scopes", "signature"]);
    for (n, plan) in tested.iter().zip(plans).take(show) {
        let fragments = plan.fragments.iter().map(|f| format!("fragment \"{f}\""));
        let all: Vec<String> = fragments.chain(plan.guards.iter().map(|g| format!("guard {g}"))).collect();
        out.add_row([
            right(plan.sid.to_string()),
            Cell::new(plan.class.letter()),
            right(format!("{:.4} %", 100.0 * plan.cost.min(1.0))),
            Cell::new(visible(&if all.is_empty() { plan.reason.clone() } else { all.join("\n") }).replace("\\n", "\n")),
            Cell::new(plan.scopes.join(" ")),
            Cell::new(visible(rule(loaded, *n).map_or("", |r| &r.meta.message))),
        ]);
    }
    outln!("{out}");
    let mut classes: Vec<_> = plans.iter().map(|plan| plan.class).collect();
    classes.sort_unstable();
    classes.dedup();
    for class in classes {
        outln!("Class {}: {}", class.letter(), class.meaning());
    }
}

fn time_text(nanoseconds: u64) -> String {
    let mut out = Vec::new();
    weir_output::time::timestamp(&mut out, nanoseconds);
    String::from_utf8_lossy(&out).into_owned()
}

fn flow_text(alert: &AlertIdentity) -> String {
    match (alert.flow, alert.packet) {
        (Some((e, _)), _) | (None, Some(e)) => {
            format!("{}:{} > {}:{} proto {}", e.source, e.source_port, e.destination, e.destination_port, e.protocol)
        }
        _ => "no IP".to_owned(),
    }
}

fn print(result: &Outcome, captures: &[PathBuf], tables: &Tables, rules: usize, arguments: &TestArguments) {
    if !result.matches.is_empty() && arguments.show > 0 {
        let mut out = table(&["capture", "frame", "time", "sid", "flow", "transaction"]);
        for found in result.matches.iter().take(arguments.show) {
            let capture = captures.get(found.capture).and_then(|path| path.file_name()).unwrap_or_default();
            out.add_row([
                Cell::new(visible(&capture.to_string_lossy())),
                right(found.alert.frame.to_string()),
                Cell::new(time_text(found.time)),
                right(found.alert.rule.sid.to_string()),
                Cell::new(flow_text(&found.alert)),
                right(found.alert.transaction.map_or_else(|| "-".to_owned(), |n| n.to_string())),
            ]);
        }
        outln!("{out}");
    }
    let hit: BTreeSet<usize> = result.matches.iter().map(|found| found.capture).collect();
    outln!(
        "{} matches in {} of {} captures{}",
        group(result.matches.len() as u64),
        hit.len(),
        captures.len(),
        if result.matches.len() > arguments.show {
            format!("; the first {} are shown", arguments.show)
        } else {
            String::new()
        }
    );
    let share = |part: u64, whole: u64| percent(part as f64 / whole.max(1) as f64);
    let causes = result.causes(tables);
    if !causes.is_empty() && arguments.show > 0 {
        let mut out = table(&["sent to the host by", "packets", "share", "bytes", "share"]);
        for (name, amount) in causes.iter().take(arguments.show) {
            out.add_row([
                Cell::new(visible(name)),
                right(group(amount.packets)),
                right(share(amount.packets, result.received.packets)),
                right(group(amount.bytes)),
                right(share(amount.bytes, result.received.bytes)),
            ]);
        }
        outln!("{out}");
    }
    outln!(
        "Simulated device, tables of {} alone: {} of {} packets ({}) and {} of {} bytes ({}) reach the host.",
        if rules == 1 { "this rule".to_owned() } else { format!("these {} rules", group(rules as u64)) },
        group(result.host.packets),
        group(result.received.packets),
        share(result.host.packets, result.received.packets),
        group(result.host.bytes),
        group(result.received.bytes),
        share(result.host.bytes, result.received.bytes)
    );
    if result.differences.is_empty() {
        outln!("Alerts behind the device equal those of the full engine ({}).", group(result.alerts as u64));
    } else {
        for (what, path, alert) in result.differences.iter().take(arguments.show) {
            outln!("  {what} behind the device: {}: {}", path.display(), audit::text(alert));
        }
        outln!("{} DIFFERENCES between the device and the full engine: please report them.", result.differences.len());
    }
}

fn to_json(
    result: &Outcome,
    captures: &[PathBuf],
    tables: &Tables,
    plans: &[Explanation],
    problems: &[Value],
) -> Value {
    let path = |n: usize| captures.get(n).map(|path| path.display().to_string());
    let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let matches = result.matches.iter().map(|found| {
        json!({
            "capture": path(found.capture), "frame": found.alert.frame, "timestamp": time_text(found.time),
            "gid": found.alert.rule.gid, "sid": found.alert.rule.sid, "flow": flow_text(&found.alert),
            "first_frame": found.alert.flow.map(|(_, first)| first), "transaction": found.alert.transaction,
        })
    });
    let causes = result.causes(tables).into_iter().map(|(name, amount)| json!({ "by": name, "amount": amount }));
    let differences = result.differences.iter().map(|(what, path, alert)| {
        json!({ "what": what, "capture": path.display().to_string(), "alert": audit::text(alert) })
    });
    json!({
        "loads": true,
        "problems": problems,
        "rules": plans,
        "captures": captures.len(),
        "matches": matches.collect::<Vec<_>>(),
        "device": {
            "simulated": true,
            "received": result.received,
            "host": result.host,
            "host_share_packets": share(result.host.packets, result.received.packets),
            "host_share_bytes": share(result.host.bytes, result.received.bytes),
            "causes": causes.collect::<Vec<_>>(),
        },
        "alerts": result.alerts,
        "differences": differences.collect::<Vec<_>>(),
    })
}

fn write_json(arguments: &TestArguments, value: &Value) -> Result<(), Failure> {
    let Some(path) = &arguments.json else { return Ok(()) };
    std::fs::write(path, format!("{value:#}\n"))
        .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))
        .or_internal()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_rules::plan::Class;

    #[test]
    fn a_device_that_misses_is_code_3() {
        let config = weir_management::Config::default();
        let text = r#"alert tcp any any -> any any (msg:"x"; content:"GET /"; sid:1;)"#;
        let set = ruleset::load_sources(&[RuleSource::from_text(NAME, text)], None, &config).unwrap();
        let loaded = pipeline::compile(set, &config, Instant::now());
        let directory = std::env::temp_dir().join(format!("weir-rules-test-{}.pcap", std::process::id()));
        std::fs::write(&directory, weir_synth::example::example(7, 50).to_pcap()).unwrap();
        // A planner that forgets the rule, and the right one.
        for (omit, code) in [(vec![Class::Literal], DIFFERENT), (vec![], OK)] {
            let tables = device::tables_with(&loaded, &Options { omit_classes: omit, ..Options::default() }).unwrap();
            let mut result = Outcome::default();
            let compared = compare(&loaded, &tables, &config, &directory, &[0], true, &mut result).unwrap();
            result.add(&directory, &compared);
            assert!(!result.matches.is_empty());
            assert_eq!(result.code(), code);
        }
        std::fs::remove_file(&directory).unwrap();
    }
}
