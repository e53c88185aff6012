//! Runs conformance cases in suricata-verify's format with `weir suricata`, and tells which pass.

use anyhow::{Context, Result, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weir_tests::verify::case::Data;
use weir_tests::verify::{Case, Outcome, Runner, classes, equivalence};

/// Run conformance cases in suricata-verify's format, and tell which pass.
///
/// Each case is run by `weir suricata` in a process of its own; its logs stay below --work for a look. With an index
/// (INDEX.tsv beside the cases) only those count that Suricata itself passes. Exit status 1 when --min-pass does not hold.
#[derive(Debug, Parser)]
#[command(max_term_width = 110)]
struct Arguments {
    /// Directory of the cases, or one with `tests` in it. Default: data/suricata-verify below $WEIR_SHARED, or below ../shared.
    #[arg(long, alias = "cases", value_name = "DIR")]
    suite: Option<PathBuf>,
    /// Table of the cases with Suricata's own result. Default: INDEX.tsv beside the cases, where there is one.
    #[arg(long, value_name = "FILE")]
    index: Option<PathBuf>,
    /// Only cases whose names contain this; may be repeated.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// none: the full engine; sim: behind the simulated device.
    #[arg(long, default_value = "none", value_parser = ["none", "sim"])]
    device: String,
    /// Run each case's rules on its capture with the full engine and behind the simulated device instead, and compare the
    /// alerts: inspected when bytes arrive, without logs, on a tap. Exit status 1 when any differ.
    #[arg(long, conflicts_with_all = ["device", "min_pass"])]
    equivalence: bool,
    /// Configuration of cases that bring none. Default: what `weir suricata` does without one.
    #[arg(long, value_name = "FILE")]
    default_config: Option<PathBuf>,
    /// The weir command. Default: the one beside this program.
    #[arg(long, value_name = "FILE")]
    weir: Option<PathBuf>,
    /// Directory of classification.config and reference.config. Default: data/rules below $WEIR_SHARED.
    #[arg(long, value_name = "DIR")]
    rule_config: Option<PathBuf>,
    /// Where logs go.
    #[arg(long, value_name = "DIR", default_value = "target/verify")]
    work: PathBuf,
    /// Cases at a time.
    #[arg(short, long, default_value_t = 2)]
    jobs: usize,
    /// Seconds a case may take.
    #[arg(long, value_name = "N", default_value_t = 60)]
    limit: u64,
    /// Write the result of each case.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Share of the cases, in per cent, that must pass.
    #[arg(long, value_name = "PERCENT")]
    min_pass: Option<f64>,
    /// Print what differs in each case that fails.
    #[arg(short, long)]
    verbose: bool,
    /// No progress bar, and no line for a case that passes.
    #[arg(short, long)]
    quiet: bool,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    let shared = std::env::var_os("WEIR_SHARED").map_or_else(|| weir_tests::workspace().join("../shared"), PathBuf::from);
    let below = |path: &str| Some(shared.join(path)).filter(|path| path.exists());
    let root = arguments.suite.clone().or_else(|| below("data/suricata-verify"));
    let root = root.context("name the cases with --suite, or set WEIR_SHARED")?;
    let root = root.canonicalize().with_context(|| format!("--suite {}", root.display()))?;
    let root = if root.join("tests").is_dir() { root.join("tests") } else { root };
    let rule_config = arguments.rule_config.clone().or_else(|| below("data/rules"));
    let rule_config = rule_config.context("name classification.config's directory with --rule-config")?.canonicalize()?;
    let weir = match &arguments.weir {
        Some(path) => path.canonicalize()?,
        None => std::env::current_exe()?.with_file_name("weir"),
    };
    if !weir.is_file() {
        bail!("{} does not exist: build it, or name it with --weir", weir.display());
    }
    std::fs::create_dir_all(&arguments.work)?;
    let work = arguments.work.canonicalize()?;
    let runner = Runner {
        data: source_directory(&work, &weir, &rule_config, arguments.default_config.as_deref())?,
        weir,
        device: arguments.device.clone(),
        work,
        limit: Duration::from_secs(arguments.limit),
    };
    let index = arguments.index.clone().or_else(|| root.parent().map(|p| p.join("INDEX.tsv")).filter(|p| p.is_file()));
    let counted = index.as_deref().map(passed_by_suricata).transpose()?;
    let cases = cases(&root, arguments, counted.as_ref())?;
    if arguments.equivalence {
        return equivalent(&runner, &cases, arguments);
    }
    let results = run_all(&runner, &cases, arguments);
    let alerting = alerting(&runner, &cases, &results);
    report(&results, &alerting, arguments)
}

/// A directory that looks like Suricata's source to commands of cases.
fn source_directory(work: &Path, weir: &Path, rule_config: &Path, default: Option<&Path>) -> Result<Data> {
    use std::os::unix::fs::PermissionsExt;
    let source = work.join("source");
    for directory in ["src", "etc"] {
        std::fs::create_dir_all(source.join(directory))?;
    }
    let launcher = source.join("src/suricata");
    std::fs::write(&launcher, format!("#!/bin/sh\nexec {} suricata \"$@\"\n", weir.display()))?;
    std::fs::set_permissions(&launcher, std::fs::Permissions::from_mode(0o755))?;
    for name in ["classification.config", "reference.config"] {
        for to in [source.join("etc").join(name), source.join(name)] {
            std::fs::copy(rule_config.join(name), &to).with_context(|| format!("copying {name}"))?;
        }
    }
    Ok(Data {
        classification: source.join("etc/classification.config"),
        reference: source.join("etc/reference.config"),
        configuration: default.map(Path::canonicalize).transpose()?,
        source,
    })
}

/// Names of the cases that Suricata itself passes.
fn passed_by_suricata(index: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(index).with_context(|| format!("reading {}", index.display()))?;
    let fields = text.lines().skip(1).map(|line| line.split('\t').collect::<Vec<_>>());
    Ok(fields.filter(|f| f.last() == Some(&"PASS")).filter_map(|f| f.first().map(|n| (*n).to_owned())).collect())
}

fn cases(root: &Path, arguments: &Arguments, counted: Option<&BTreeSet<String>>) -> Result<Vec<Case>> {
    let mut found = Vec::new();
    for directory in Case::find(root)? {
        let name = directory.strip_prefix(root).unwrap_or(&directory).display().to_string();
        let wanted = arguments.only.is_empty() || arguments.only.iter().any(|text| name.contains(text.as_str()));
        if wanted && counted.is_none_or(|names| names.contains(&name)) {
            found.push(Case::load(root, &directory)?);
        }
    }
    Ok(found)
}

fn run_all(runner: &Runner, cases: &[Case], arguments: &Arguments) -> BTreeMap<String, Outcome> {
    each(cases, arguments, |case| {
        runner.run(case).unwrap_or_else(|error| Outcome::Failed {
            cause: "the case cannot be run".to_owned(),
            details: vec![format!("{error:#}")],
        })
    })
}

/// The cases both ways.
fn equivalent(runner: &Runner, cases: &[Case], arguments: &Arguments) -> Result<bool> {
    let results = each(cases, arguments, |case| equivalence::compare(case, &runner.output(case), &runner.data));
    let (mut compared, mut full, mut alerts, mut differences, mut frames) = (0, 0, 0, 0, [0; 2]);
    let mut entries = serde_json::Map::new();
    for (name, result) in &results {
        let entry = match result {
            Ok(Some(case)) => {
                compared += 1;
                full += usize::from(!case.plans);
                alerts += case.alerts;
                differences += case.differences.len();
                for (sum, n) in frames.iter_mut().zip(case.frames) {
                    *sum += if case.plans { n } else { 0 };
                }
                if !case.differences.is_empty() {
                    println!("{name}: {} alerts, {} differences", case.alerts, case.differences.len());
                    case.differences.iter().take(5).for_each(|line| println!("    {line}"));
                }
                serde_json::json!({
                    "alerts": case.alerts, "differences": case.differences, "received": case.frames[0],
                    "host": case.frames[1], "plans": case.plans,
                })
            }
            Ok(None) => serde_json::json!({"skipped": "no capture or no rules"}),
            Err(error) => {
                if arguments.verbose {
                    println!("{name}: not compared: {error:#}");
                }
                serde_json::json!({"skipped": format!("{error:#}")})
            }
        };
        entries.insert(name.clone(), entry);
    }
    println!(
        "{compared} of {} cases compared ({full} of them send every frame), {alerts} alerts, {differences} differences",
        results.len()
    );
    let share = 100.0 * frames[1] as f64 / frames[0].max(1) as f64;
    println!("{} frames of the others, {share:.1} % of them reached the host", frames[0]);
    if let Some(path) = &arguments.json {
        let all = serde_json::json!({
            "cases": results.len(), "compared": compared, "every_frame": full, "alerts": alerts,
            "differences": differences, "frames": frames[0], "host": frames[1], "results": entries,
        });
        std::fs::write(path, serde_json::to_string_pretty(&all)?).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(differences == 0)
}

/// Does something with each case, several at a time, and shows how far it is.
fn each<T: Send>(cases: &[Case], arguments: &Arguments, work: impl Fn(&Case) -> T + Sync) -> BTreeMap<String, T> {
    let bar = if arguments.quiet { ProgressBar::hidden() } else { ProgressBar::new(cases.len() as u64) };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}") {
        bar.set_style(style);
    }
    let next = AtomicUsize::new(0);
    let results = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..arguments.jobs.max(1) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    bar.set_message(case.name.clone());
                    let outcome = work(case);
                    bar.inc(1);
                    if let Ok(mut results) = results.lock() {
                        results.insert(case.name.clone(), outcome);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    results.into_inner().unwrap_or_default()
}

/// Cases that pass and ask for alerts, by whether one of their rules is of class C.
fn alerting(runner: &Runner, cases: &[Case], results: &BTreeMap<String, Outcome>) -> BTreeMap<String, bool> {
    let passes = |case: &&Case| matches!(results.get(&case.name), Some(Outcome::Passed));
    cases
        .iter()
        .filter(passes)
        .filter(|case| classes::asks_for_alerts(case))
        .filter_map(|case| {
            let complete = classes::has_complete_class(case, &runner.output(case), &runner.data);
            complete.ok().map(|complete| (case.name.clone(), complete))
        })
        .collect()
}

fn report(
    results: &BTreeMap<String, Outcome>,
    alerting: &BTreeMap<String, bool>,
    arguments: &Arguments,
) -> Result<bool> {
    let mut causes: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    let (mut passed, mut skipped) = (0, 0);
    for (name, outcome) in results {
        match outcome {
            Outcome::Passed => {
                passed += 1;
                if !arguments.quiet {
                    println!("pass {name}");
                }
            }
            Outcome::Skipped(reason) => {
                skipped += 1;
                println!("skip {name}: {reason}");
                causes.entry(("skip", reason)).or_default().push(name);
            }
            Outcome::Failed { cause, details } => {
                println!("fail {name}: {cause}");
                causes.entry(("fail", cause)).or_default().push(name);
                if arguments.verbose {
                    details.iter().for_each(|line| println!("    {line}"));
                }
            }
        }
    }
    let mut rows: Vec<_> = causes.into_iter().collect();
    rows.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(["", "cause", "cases", "for example"]);
    for ((kind, cause), names) in &rows {
        let count = names.len().to_string();
        table.add_row([*kind, cause, &count, names.first().copied().unwrap_or_default()]);
    }
    println!("{table}");
    let share = 100.0 * f64::from(passed) / results.len().max(1) as f64;
    let failed = results.len() - passed as usize - skipped;
    println!(
        "{passed} of {} cases pass ({share:.1} %), {failed} fail, {skipped} are skipped, device {}",
        results.len(),
        arguments.device
    );
    let narrow = alerting.values().filter(|complete| !**complete).count();
    let of_alerting = 100.0 * narrow as f64 / alerting.len().max(1) as f64;
    println!("{narrow} of {} alerting cases that pass have no rule of class C ({of_alerting:.1} %)", alerting.len());
    if let Some(path) = &arguments.json {
        let cases: serde_json::Map<String, serde_json::Value> = results
            .iter()
            .map(|(name, outcome)| {
                let value = match outcome {
                    Outcome::Passed => serde_json::json!({"result": "pass"}),
                    Outcome::Skipped(reason) => serde_json::json!({"result": "skip", "cause": reason}),
                    Outcome::Failed { cause, details } => {
                        serde_json::json!({"result": "fail", "cause": cause, "details": details})
                    }
                };
                (name.clone(), value)
            })
            .collect();
        let all = serde_json::json!({
            "device": arguments.device, "cases": results.len(), "passed": passed, "alerting": alerting,
            "results": cases,
        });
        std::fs::write(path, serde_json::to_string_pretty(&all)?).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(arguments.min_pass.is_none_or(|least| share >= least))
}
