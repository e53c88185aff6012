//! `cargo xtask bench`: speed and memory of the device model, the engine and both, beside a peer, in alternating runs.
//!
//! Method. Each run is a process of its own, pinned to one core. A *round* runs every system once on a workload, in an
//! order that rotates from round to round, so that what else the machine does meets all alike. Rates are by the CPU
//! time of inspection, without loading rules. Ratios are made within a round, and their median, least and greatest are
//! reported.

mod count;
mod memory;
mod mix;
mod plot;
mod process;
mod report;
mod statistics;
mod system;

use anyhow::{Context, Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use report::Report;
use std::path::{Path, PathBuf};
use std::process::Command;
use system::System;

pub const EXAMPLES: &str = "Examples:
  cargo xtask bench                                   all mixes: model, engine, both
  cargo xtask bench --peer suricata --min-ratio 1     beside Suricata; exit code 1 where the engine is slower
  cargo xtask bench --mix attack --systems engine --runs 9
  cargo xtask bench --pcap day.pcap --rules local.rules
  cargo xtask bench --systems engine --peer weir=../old/target/release/weir    two builds beside each other
  cargo xtask bench --count --systems engine          instructions per packet (valgrind): no noise, 50 times slower
  cargo xtask bench --memory                          peak memory of every capture of the shared data
  cargo xtask bench --peer suricata --publish         also rewrite docs/performance.md and its figures

Data. Mixes are made from the captures in WEIR_SHARED (or ../shared) with its tools/pcapmix.c, and kept in
target/bench. Where they are absent, made-up traffic takes their place, which is said. A mix is many small captures
replayed with fresh addresses: it is no backbone traffic.

Exit code: 0; 1 when --min-ratio or a memory limit is missed; 2 when something could not be measured.";

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArguments {
    /// Workloads, by the names of benches/mixes; may be repeated. Default: all.
    #[arg(long, value_name = "NAME")]
    mix: Vec<String>,
    /// Captures of your own instead of the mixes; may be repeated.
    #[arg(long, value_name = "FILE", conflicts_with = "mix")]
    pcap: Vec<PathBuf>,
    /// Rule files or directories. Default: ET Open of the shared data.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    rules: Vec<PathBuf>,
    /// What of Weir to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["engine", "model", "both"])]
    systems: Vec<system::Own>,
    /// What to compare with: `suricata`, `suricata=PROGRAM`, or `weir=PROGRAM` (another build's engine).
    #[arg(long, value_name = "PEER")]
    peer: Option<String>,
    /// Rounds.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Captured bytes of a mix, in millions.
    #[arg(long, value_name = "MB", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..))]
    size: u64,
    /// Core that runs are pinned to (taskset). Default: the last one.
    #[arg(long, value_name = "N")]
    cpu: Option<usize>,
    /// Exit code 1 when the median ratio engine / peer is below R on any workload.
    #[arg(long, value_name = "R", requires = "peer")]
    min_ratio: Option<f64>,
    /// Count instructions instead (valgrind, with workloads of at most 20 MB).
    #[arg(long, conflicts_with_all = ["memory", "peer"])]
    count: bool,
    /// Measure the peak memory of every capture of the shared data, with and without device, instead.
    #[arg(long, conflicts_with = "peer")]
    memory: bool,
    /// With --memory: every N-th capture only.
    #[arg(long, value_name = "N", default_value_t = 1, requires = "memory", value_parser = clap::value_parser!(u32).range(1..))]
    every: u32,
    /// Do not build first; measure what is in target/release.
    #[arg(long)]
    no_build: bool,
    /// Directory for results.json and plots. Default: target/bench/results.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Rewrite docs/performance.md and docs/performance/ with the results.
    #[arg(long, conflicts_with = "out")]
    publish: bool,
}

/// Where things are.
pub struct Place {
    root: PathBuf,
    cache: PathBuf,
    /// What runs write; of this process alone.
    runs: PathBuf,
    shared: Option<PathBuf>,
    binaries: PathBuf,
    out: PathBuf,
    rules: Vec<PathBuf>,
    /// `taskset -c N`, where there is taskset.
    pin: Option<usize>,
}

/// Runs the task; false when a limit was missed.
pub fn run(root: &Path, arguments: &BenchArguments) -> Result<bool> {
    let place = place(root, arguments)?;
    if !arguments.no_build {
        build(root)?;
    }
    for name in ["weir", "weir-bench"] {
        let program = place.binaries.join(name);
        if !program.is_file() {
            bail!("{} is not there; leave out --no-build", program.display());
        }
    }
    std::fs::create_dir_all(&place.out).with_context(|| place.out.display().to_string())?;
    if arguments.memory {
        return memory::run(&place, arguments.every, arguments.publish);
    }
    let size = if arguments.count { arguments.size.min(20) } else { arguments.size };
    let workloads = if arguments.pcap.is_empty() {
        mix::make(&place, &arguments.mix, size * 1_000_000)?
    } else {
        arguments.pcap.iter().map(|path| mix::Workload::capture(&place, path)).collect::<Result<_>>()?
    };
    let mut systems: Vec<System> = Vec::new();
    for own in &arguments.systems {
        if !systems.contains(&System::Own(*own)) {
            systems.push(System::Own(*own));
        }
    }
    if arguments.count {
        return count::run(&place, &systems, &workloads);
    }
    let peer = arguments.peer.as_deref().map(|peer| system::peer(&place, peer)).transpose()?;
    systems.extend(peer.clone());
    if systems.is_empty() {
        bail!("--systems names nothing to measure");
    }
    let mut report = Report::new(&place, &systems, arguments.runs);
    let bar = bar(u64::from(arguments.runs) * workloads.len() as u64 * systems.len() as u64);
    for workload in &workloads {
        for round in 0..arguments.runs {
            for at in 0..systems.len() {
                let system = &systems[(at + round as usize) % systems.len()];
                bar.set_message(format!("{}, {}, round {}", workload.name, system.name(), round + 1));
                let run = system::measure(&place, system, workload, round)
                    .with_context(|| format!("{} on {}", system.name(), workload.name))?;
                report.add(workload, system, run);
                bar.inc(1);
            }
        }
        bar.suspend(|| print!("{}", report.table(&workload.name)));
        // A long run that is interrupted leaves what it has.
        report.write(&place.out)?;
    }
    bar.finish_and_clear();
    println!("\nResults: {}", place.out.join("results.json").display());
    if arguments.publish {
        report::publish(&place.root, "throughput", &report.markdown())?;
    }
    let (Some(least), Some(peer)) = (arguments.min_ratio, peer) else { return Ok(true) };
    Ok(report.check_ratio(least, &peer))
}

fn place(root: &Path, arguments: &BenchArguments) -> Result<Place> {
    let cache = root.join("target/bench");
    std::fs::create_dir_all(&cache).with_context(|| cache.display().to_string())?;
    let shared = crate::shared(root);
    if shared.is_none() {
        eprintln!("SKIPPED: there are no shared captures (set WEIR_SHARED): made-up traffic takes their place");
    }
    let rules = if arguments.rules.is_empty() {
        let open = shared.as_ref().map(|shared| shared.join("data/rules/et-open")).filter(|path| path.is_dir());
        match open {
            Some(path) => vec![path],
            None => {
                eprintln!(
                    "SKIPPED: ET Open is not there: the rules of examples/ take its place; name others with --rules"
                );
                vec![root.join("examples")]
            }
        }
    } else {
        arguments.rules.clone()
    };
    let out = match (&arguments.out, arguments.publish) {
        (Some(out), _) => out.clone(),
        (None, true) => root.join("docs/performance"),
        (None, false) => cache.join("results"),
    };
    let binaries =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from).join("release");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let taskset = Command::new("taskset").arg("--version").output().is_ok_and(|out| out.status.success());
    let pin = taskset.then(|| arguments.cpu.unwrap_or(cores - 1));
    if pin.is_none() {
        eprintln!("SKIPPED: pinning to one core: there is no taskset");
    }
    let runs = runs(&cache)?;
    Ok(Place { root: root.to_owned(), runs, cache, shared, binaries, out, rules, pin })
}

/// A directory for what runs write, so that two tasks do not meet; those of tasks that have ended are removed.
fn runs(cache: &Path) -> Result<PathBuf> {
    for entry in std::fs::read_dir(cache).with_context(|| cache.display().to_string())?.flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix("runs-")).and_then(|id| id.parse::<u32>().ok());
        if id.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            std::fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    let runs = cache.join(format!("runs-{}", std::process::id()));
    std::fs::create_dir_all(&runs).with_context(|| runs.display().to_string())?;
    Ok(runs)
}

fn build(root: &Path) -> Result<()> {
    eprintln!("building weir and weir-bench (release)");
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--quiet", "-p", "weir", "-p", "weir-benches"])
        .current_dir(root)
        .status()
        .context("cargo does not start")?;
    if !status.success() {
        bail!("the build failed");
    }
    Ok(())
}

/// A progress bar over steps; hidden when stderr is no terminal.
fn bar(total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len}  {elapsed}, {eta} left  {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(std::time::Duration::from_millis(500));
    bar
}
