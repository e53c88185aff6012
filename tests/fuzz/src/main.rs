//! `weir-fuzz`: runs fuzz targets for a while, keeps what fails, and runs kept inputs again.

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;
use weir_fuzz::frames::FrameList;
use weir_fuzz::minimise::minimise;
use weir_fuzz::runner::{self, Failure, Options, Outcome};
use weir_fuzz::{Target, allocation, mutate, seeds, targets};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Fuzz targets for every parser of Weir.
#[derive(Debug, Parser)]
struct Arguments {
    /// Target, or `all`.
    #[arg(long, default_value = "all")]
    target: String,
    /// Seconds for each target.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Most inputs for each target.
    #[arg(long, default_value_t = u64::MAX)]
    cases: u64,
    /// Seed of the run: the same one makes the same inputs from the same seeds.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// More seeds: a folder, or one that holds a folder for each target.
    #[arg(long)]
    seeds: Option<PathBuf>,
    /// No seeds from the shared data.
    #[arg(long)]
    no_shared: bool,
    /// Where failing inputs are written.
    #[arg(long, default_value = "tests/fuzz/findings")]
    findings: PathBuf,
    /// Run these inputs of a target, and nothing else.
    #[arg(long)]
    replay: Vec<PathBuf>,
    /// Write the input given by --replay, a list of frames, as a pcap file.
    #[arg(long)]
    pcap: Option<PathBuf>,
    /// List the targets.
    #[arg(long)]
    list: bool,
    /// Number of the first input.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run here instead of in a child process; the number of the input that runs is kept in this file.
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.list {
        for target in targets::all() {
            println!("{:22} {}", target.name, target.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen: Vec<Target> =
        targets::all().into_iter().filter(|t| arguments.target == "all" || t.name == arguments.target).collect();
    ensure!(!chosen.is_empty(), "there is no target `{}`; --list names them", arguments.target);
    if !arguments.replay.is_empty() {
        let [target] = chosen.as_slice() else { bail!("--replay needs --target NAME") };
        if let (Some(to), [from]) = (&arguments.pcap, arguments.replay.as_slice()) {
            let list = FrameList::decode(&std::fs::read(from).with_context(|| from.display().to_string())?);
            std::fs::write(to, list.capture().to_pcap()).with_context(|| to.display().to_string())?;
        }
        return replay(target, &arguments.replay);
    }
    std::fs::create_dir_all(&arguments.findings).with_context(|| arguments.findings.display().to_string())?;
    let mut failed = false;
    for target in &chosen {
        failed |= match &arguments.inside {
            Some(case) => inside(target, &arguments, case)?,
            None => outside(target, &arguments)?,
        };
    }
    Ok(if failed { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

/// Exit code when something was found.
const FINDINGS: u8 = 1;

fn replay(target: &Target, paths: &[PathBuf]) -> Result<ExitCode> {
    let mut failed = false;
    for path in paths {
        let input = std::fs::read(path).with_context(|| path.display().to_string())?;
        let (failure, time, memory) = runner::check(target, &input, 1);
        failed |= failure.is_some();
        let text = failure.map_or_else(|| "passes".to_owned(), |f| f.to_string());
        println!("{}: {text} ({:.3} s, {} KiB)", path.display(), time.as_secs_f64(), memory >> 10);
    }
    Ok(if failed { ExitCode::from(FINDINGS) } else { ExitCode::SUCCESS })
}

fn gather(target: &Target, arguments: &Arguments) -> Vec<Vec<u8>> {
    let shared = if arguments.no_shared { None } else { seeds::shared_data() };
    if shared.is_none() && !arguments.no_shared {
        eprintln!("{}: no shared data (set WEIR_SHARED): own seeds only", target.name);
    }
    seeds::gather(target, arguments.seeds.as_deref(), shared.as_deref())
}

fn options(arguments: &Arguments) -> Options {
    Options {
        time: Duration::from_secs(arguments.seconds),
        cases: arguments.cases,
        seed: arguments.seed,
        first: arguments.first,
        ..Options::default()
    }
}

/// Runs a target in this process.
fn inside(target: &Target, arguments: &Arguments, case: &Path) -> Result<bool> {
    let seeds = gather(target, arguments);
    let file = std::fs::File::create(case).with_context(|| case.display().to_string())?;
    let mut before = |n: u64| {
        // What fails here is found out by the parent, which reads the file only after a crash.
        let _ = file.write_at(&n.to_le_bytes(), 0);
    };
    let line = |outcome: &Outcome| {
        format!(
            "{:22} {:>10} inputs, {:>8.0}/s, {} findings, slowest {:.3} s, {} KiB",
            target.name,
            outcome.cases,
            outcome.cases as f64 / outcome.time.as_secs_f64().max(1e-9),
            outcome.findings.len(),
            outcome.slowest.as_secs_f64(),
            outcome.memory >> 10
        )
    };
    let outcome =
        runner::run(target, &seeds, &options(arguments), &mut before, &mut |outcome| eprint!("\r{}", line(outcome)));
    eprint!("\r\x1b[K");
    println!("{}; {} seeds, grown by {} KiB", line(&outcome), seeds.len(), outcome.grown >> 10);
    for finding in &outcome.findings {
        keep(target, arguments, &finding.input, &finding.failure, finding.case)?;
    }
    let grows = outcome.grown > GROWTH_MAX;
    if grows {
        println!("  {} bytes stay allocated: something is not bounded", outcome.grown);
    }
    Ok(grows || !outcome.findings.is_empty())
}

/// Bytes that may stay allocated over a run (caches that targets keep on purpose).
const GROWTH_MAX: usize = 64 << 20;

fn keep(target: &Target, arguments: &Arguments, input: &[u8], failure: &Failure, case: u64) -> Result<()> {
    let hash = weir_contract::crc::crc32c(input);
    let path = arguments.findings.join(format!("{}-{hash:08x}", target.name));
    std::fs::write(&path, input).with_context(|| path.display().to_string())?;
    println!("  input {case}, {} bytes: {failure}", input.len());
    println!("    cargo run --profile fuzz -p weir-fuzz -- --target {} --replay {}", target.name, path.display());
    Ok(())
}

/// Runs a target in a child process, so that what kills it can be told, too.
fn outside(target: &Target, arguments: &Arguments) -> Result<bool> {
    let program = std::env::current_exe()?;
    let case = arguments.findings.join(format!(".case-{}-{}", target.name, std::process::id()));
    let status = Command::new(&program)
        .args(["--target", target.name, "--inside"])
        .arg(&case)
        .args(["--seconds", &arguments.seconds.to_string(), "--cases", &arguments.cases.to_string()])
        .args(["--seed", &arguments.seed.to_string(), "--first", &arguments.first.to_string()])
        .arg("--findings")
        .arg(&arguments.findings)
        .args(arguments.seeds.iter().flat_map(|dir| ["--seeds".as_ref(), dir.as_os_str()]))
        .args(arguments.no_shared.then_some("--no-shared"))
        .status()?;
    let number = std::fs::read(&case).ok().and_then(|bytes| bytes.first_chunk().map(|b| u64::from_le_bytes(*b)));
    let _ = std::fs::remove_file(&case);
    if let Some(code) = status.code().filter(|code| *code != runner::HANG_CODE) {
        return Ok(code != 0);
    }
    let number = number.context("the child process died before its first input")?;
    let seeds = gather(target, arguments);
    let input = mutate::input(target, &seeds, arguments.seed, number);
    let probe = arguments.findings.join(format!(".probe-{}", std::process::id()));
    let mut dies = |bytes: &[u8]| {
        std::fs::write(&probe, bytes).is_ok()
            && Command::new(&program)
                .args(["--target", target.name, "--replay"])
                .arg(&probe)
                .output()
                .is_ok_and(|output| output.status.code().is_none())
    };
    let small = if status.code().is_none() && dies(&input) {
        minimise(target, &input, Duration::from_secs(60), &mut dies)
    } else {
        input
    };
    let _ = std::fs::remove_file(&probe);
    keep(target, arguments, &small, &Failure::Panic("process".to_owned(), status.to_string()), number)?;
    Ok(true)
}
