//! `cargo xtask rtl-lockstep`: the long set of the lockstep test, shard by shard, with a report.

use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

pub const EXAMPLES: &str = "Examples:
  cargo xtask rtl-lockstep                               200 000 real frames, on all cores
  cargo xtask rtl-lockstep --frames 20000 --seed 7       a tenth, with seeds that can be repeated
  cargo xtask rtl-lockstep --resume                      goes on where a run was cut, with its seeds
  cargo xtask rtl-lockstep --publish                     also rewrite docs/hardware/lockstep.{md,json}

Each shard takes other frames of the shared captures, tables of ET Open made with other seeds, and a shape of its own: tap or
inline, a source that waits or cannot, fail open or closed, a watchdog that expires, narrow rings, flow commands, tables that
change in mid-traffic and images that are damaged on their way. Model and RTL must agree on every event.

Exit code: 0; 1 when a shard differs (its log is kept in target/rtl-lockstep); 2 when it could not be run.";

#[derive(Debug, Args)]
pub struct LockstepArguments {
    /// Real frames, at least, unless the captures have fewer.
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    frames: usize,
    /// Frames of one shard.
    #[arg(long, value_name = "N", default_value_t = 5_000)]
    shard: usize,
    /// First shard.
    #[arg(long, value_name = "N", default_value_t = 0)]
    first: usize,
    /// Seed of shard 0; each further one's is one more. Default: the time.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Shards at once. Default: one per core.
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Keep the shards of the last run that agreed, and its seeds; the RTL, the test and the shard size must be the same.
    #[arg(long, conflicts_with = "seed")]
    resume: bool,
    /// Rewrite the committed report.
    #[arg(long)]
    publish: bool,
}

/// What shards that are kept must have in common (target/rtl-lockstep/run/run.json).
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    seed: u64,
    shard: usize,
    /// Of the test program, RTL included.
    program: u64,
}

impl Kept {
    /// Of the run that is resumed, or a new one's in an empty folder.
    fn open(folder: &Path, program: &Path, arguments: &LockstepArguments) -> Result<Kept> {
        let mut hasher = DefaultHasher::new();
        fs::read(program).with_context(|| program.display().to_string())?.hash(&mut hasher);
        let path = folder.join("run.json");
        if arguments.resume {
            let text = fs::read(&path).with_context(|| format!("no run to resume: {}", path.display()))?;
            let kept: Kept = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
            ensure!(
                (kept.shard, kept.program) == (arguments.shard, hasher.finish()),
                "the run in {} had another shard size, test or RTL; leave out --resume to begin anew",
                folder.display()
            );
            return Ok(kept);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let kept = Kept { seed: arguments.seed.unwrap_or(now), shard: arguments.shard, program: hasher.finish() };
        fs::write(&path, serde_json::to_vec(&kept)?)?;
        Ok(kept)
    }
}

/// How a shard ended.
enum Shard {
    Agrees(Value),
    Differs { shard: usize, seed: u64, log: PathBuf },
}

/// Runs the shards; `false` if one differs.
pub fn run(root: &Path, arguments: &LockstepArguments) -> Result<bool> {
    ensure!(arguments.frames > 0 && arguments.shard > 0, "--frames and --shard must be at least 1");
    let program = build(root)?;
    let logs = root.join("target/rtl-lockstep");
    fs::create_dir_all(&logs).with_context(|| logs.display().to_string())?;
    let folder = logs.join("run");
    let kept = Kept::open(&folder, &program, arguments)?;
    let shards = arguments.frames.div_ceil(arguments.shard);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let jobs = arguments.jobs.unwrap_or(cores).clamp(1, shards);
    let bar = ProgressBar::new(shards as u64);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} shards, {eta} left")?);
    bar.tick();
    let (next, done, begin) = (AtomicUsize::new(0), Mutex::new(Vec::new()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= shards {
                        break;
                    }
                    let shard = arguments.first + n;
                    let result = run_shard(root, &program, &logs, &folder, shard, &kept);
                    bar.inc(1);
                    if let Ok(Shard::Differs { shard, seed, log }) = &result {
                        bar.println(format!("shard {shard} differs, seed {seed}: {}", log.display()));
                    }
                    if let Ok(mut done) = done.lock() {
                        done.push(result);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut agreed = Vec::new();
    let mut differ = Vec::new();
    for result in done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
        match result? {
            // The captures ended before this shard.
            Shard::Agrees(value) if number(&value, "frames") == 0 => {}
            Shard::Agrees(value) => agreed.push(value),
            Shard::Differs { shard, seed, .. } => differ.push(json!({ "shard": shard, "seed": seed })),
        }
    }
    agreed.sort_by_key(|value| number(value, "shard"));
    let machine = Machine::here(root);
    let report = json!({
        "machine": machine,
        "seconds_of_this_call": begin.elapsed().as_secs(),
        "totals": totals(&agreed),
        "shards": agreed,
        "differ": differ,
    });
    let text = table(&report);
    print!("{text}");
    if arguments.publish {
        let folder = root.join("docs/hardware");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("lockstep.json"), format!("{report:#}\n"))?;
        fs::write(folder.join("lockstep.md"), page(&machine, &report))?;
        println!("wrote docs/hardware/lockstep.md and lockstep.json");
    }
    Ok(differ.is_empty() && !agreed.is_empty())
}

/// The test program, built.
fn build(root: &Path) -> Result<PathBuf> {
    println!("building the RTL and its test (minutes, the first time)");
    let out = Command::new(env!("CARGO"))
        .args(["test", "--release", "--package", "weir-rtl", "--test", "lockstep", "--no-run", "--message-format=json"])
        .current_dir(root)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    ensure!(out.status.success(), "the lockstep test does not build");
    let program = String::from_utf8_lossy(&out.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == "lockstep")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from));
    program.context("cargo named no program for the lockstep test")
}

fn run_shard(root: &Path, program: &Path, logs: &Path, folder: &Path, shard: usize, kept: &Kept) -> Result<Shard> {
    let path = folder.join(format!("shard-{shard}.json"));
    if let Some(value) = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
        return Ok(Shard::Agrees(value));
    }
    let (frames, seed) = (kept.shard, kept.seed.wrapping_add(shard as u64));
    let out = Command::new(program)
        .args(["long::long_set", "--exact", "--ignored", "--nocapture"])
        .current_dir(root.join("hw/device"))
        .env("WEIR_SHARD", shard.to_string())
        .env("WEIR_SHARD_FRAMES", frames.to_string())
        .env("WEIR_SEED", seed.to_string())
        .output()?;
    let text = String::from_utf8_lossy(&out.stdout);
    let result =
        text.lines().find_map(|line| line.split_once("RESULT ").and_then(|(_, json)| serde_json::from_str(json).ok()));
    match result {
        Some(value) if out.status.success() => {
            fs::write(&path, serde_json::to_vec(&value)?)?;
            Ok(Shard::Agrees(value))
        }
        _ => {
            let log = logs.join(format!("shard-{shard}-seed-{seed}.log"));
            fs::write(&log, [&out.stdout[..], &out.stderr[..]].concat())?;
            Ok(Shard::Differs { shard, seed, log })
        }
    }
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or(0)
}

/// Sums, and frames by kind of shard.
fn totals(shards: &[Value]) -> Value {
    const SUMMED: [&str; 14] = [
        "frames",
        "descriptors",
        "handovers",
        "history_records",
        "flow_records",
        "commands",
        "stale",
        "sent",
        "waits",
        "tables",
        "tables_refused",
        "uninspected",
        "cycles",
        "seconds",
    ];
    let mut sums: BTreeMap<&str, u64> = SUMMED.map(|key| (key, 0)).into();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for shard in shards {
        for (key, sum) in &mut sums {
            *sum += number(shard, key);
        }
        let mode = shard["mode"].as_str().unwrap_or("").to_owned();
        let waits = if shard["source_waits"] == true { "source waits" } else { "source cannot wait" };
        let fail = if shard["fail_open"] == true { "fail open" } else { "fail closed" };
        for kind in [mode, waits.to_owned(), fail.to_owned()] {
            *kinds.entry(kind).or_default() += number(shard, "frames");
        }
        if number(shard, "watchdog") > 0 {
            *kinds.entry("watchdog expires".to_owned()).or_default() += number(shard, "frames");
        }
    }
    json!({ "sums": sums, "frames_by_kind": kinds })
}

fn table(report: &Value) -> String {
    let mut text = String::new();
    let map = |key: &str| report["totals"][key].as_object().cloned().unwrap_or_default();
    let _ = writeln!(text, "| what | number |\n|---|---:|");
    for (key, value) in map("sums") {
        let _ = writeln!(text, "| {} | {value} |", key.replace('_', " "));
    }
    for (key, value) in map("frames_by_kind") {
        let _ = writeln!(text, "| frames, {key} | {value} |");
    }
    let shards = report["shards"].as_array().map_or(0, Vec::len);
    let differ = report["differ"].as_array().map_or(0, Vec::len);
    let _ = writeln!(text, "| shards that agree | {shards} |\n| shards that differ | {differ} |");
    text
}

fn page(machine: &Machine, report: &Value) -> String {
    format!(
        "# RTL and model in lockstep\n\nWritten by `cargo xtask rtl-lockstep --publish`, {}. Real frames of the shared \
         captures with tables of ET Open, in simulation (Verilator); both devices behind the same driver. In every shard that \
         agrees, all descriptors, history records, flow records, sent frames, waits and counters are the same. Seeds and figures \
         of each shard: [lockstep.json](lockstep.json).\n\n{}",
        machine.line(),
        table(report)
    )
}
