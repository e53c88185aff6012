//! A process under observation: CPU time by thread and peak memory, read from /proc while it runs.
//!
//! proc(5): `status` gives the peak of resident memory, `task/TID/schedstat` nanoseconds on the CPU. Both only grow, so
//! the last reading before the end is short by at most one interval.

use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const INTERVAL: Duration = Duration::from_millis(5);

/// What was seen.
#[derive(Debug, Default)]
pub struct Observed {
    /// Seconds from start to end.
    pub wall: f64,
    /// Greatest resident memory, in bytes.
    pub peak: u64,
    /// CPU seconds of all threads.
    pub cpu: f64,
    /// CPU seconds of threads other than the first.
    pub others_cpu: f64,
    /// CPU and wall seconds of the first thread when the first other thread with a name of `mark` was seen.
    pub marked: Option<(f64, f64)>,
    /// What it wrote to stdout.
    pub stdout: String,
}

/// Runs a program to its end, pinned to a core if `pin` says so. stderr goes to `log`.
pub fn observe(
    program: &Path,
    arguments: &[OsString],
    pin: Option<usize>,
    log: &Path,
    mark: Option<&str>,
) -> Result<Observed> {
    let mut command = match pin {
        Some(core) => {
            let mut command = Command::new("taskset");
            command.arg("-c").arg(core.to_string()).arg(program);
            command
        }
        None => Command::new(program),
    };
    let stdout = log.with_extension("stdout");
    let file = |path: &Path| File::create(path).with_context(|| format!("{} cannot be written", path.display()));
    let start = Instant::now();
    let mut child = command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(file(&stdout)?)
        .stderr(file(log)?)
        .spawn()
        .with_context(|| format!("{} does not start", program.display()))?;
    let process = format!("/proc/{}", child.id());
    let mut seen = Observed::default();
    let mut threads: BTreeMap<u32, f64> = BTreeMap::new();
    let mut first_cpu = 0.0f64;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if let Ok(text) = std::fs::read_to_string(format!("{process}/status")) {
            seen.peak = seen.peak.max(peak(&text));
        }
        for entry in std::fs::read_dir(format!("{process}/task")).into_iter().flatten().flatten() {
            let Some(tid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
            let Some(cpu) = cpu_of(&entry.path()) else { continue };
            if tid == child.id() {
                first_cpu = first_cpu.max(cpu);
                continue;
            }
            threads.insert(tid, cpu);
            if let (None, Some(mark)) = (seen.marked, mark) {
                let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
                if name.starts_with(mark) {
                    seen.marked = Some((first_cpu, start.elapsed().as_secs_f64()));
                }
            }
        }
        std::thread::sleep(INTERVAL);
    };
    seen.wall = start.elapsed().as_secs_f64();
    seen.others_cpu = threads.values().sum();
    seen.cpu = first_cpu + seen.others_cpu;
    seen.stdout = std::fs::read_to_string(&stdout).unwrap_or_default();
    if !status.success() {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        let tail: Vec<&str> = text.lines().rev().take(8).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        bail!("{} ended with {status}; the last it said ({}):\n{}", program.display(), log.display(), tail.join("\n"));
    }
    Ok(seen)
}

fn peak(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn cpu_of(task: &Path) -> Option<f64> {
    let text = std::fs::read_to_string(task.join("schedstat")).ok()?;
    Some(text.split_whitespace().next()?.parse::<u64>().ok()? as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_observed_and_its_failure_reported() {
        let log = std::env::temp_dir().join(format!("weir-bench-observe-{}.log", std::process::id()));
        let script = |text: &str| vec![OsString::from("-c"), OsString::from(text)];
        let shell = Path::new("/bin/sh");
        let seen = observe(shell, &script("sleep 0.05; echo said"), None, &log, None).unwrap();
        assert_eq!(seen.stdout, "said\n");
        assert!(seen.wall >= 0.05);
        assert!(seen.peak > 100_000, "a shell has more than {} bytes", seen.peak);
        let error = observe(shell, &script("echo why >&2; exit 3"), None, &log, None).unwrap_err();
        assert!(error.to_string().contains("why"), "{error}");
        for path in [log.clone(), log.with_extension("stdout")] {
            let _ = std::fs::remove_file(path);
        }
    }
}
