//! What the comparison commands share: options, progress, exit status.

use super::suricata::Suricata;
use super::tally::{Bars, Tally};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Exit status of both commands.
pub const EXIT_HELP: &str = "\
Exit status:
  0  done, and the bars hold (also when the data or Suricata is absent: the output then says SKIPPED)
  1  a bar does not hold
  2  wrong arguments
  3  input that cannot be used";

/// Options of both commands.
#[derive(Args, Debug)]
pub struct Common {
    /// Only captures whose name contains this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub only: String,
    /// At most so many captures
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Fail when less than this share of Suricata's pairs is found
    #[arg(long, value_name = "PERCENT")]
    pub min_found: Option<f64>,
    /// Fail when there are more extra pairs than this share of Suricata's
    #[arg(long, value_name = "PERCENT")]
    pub max_extra: Option<f64>,
    /// Write the figures and every difference as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Suricata binary or launcher [default: $WEIR_SURICATA]
    #[arg(long, value_name = "PATH")]
    pub suricata: Option<PathBuf>,
    /// Its configuration [default: root/etc/suricata/suricata.yaml beside it, or the system's]
    #[arg(long, value_name = "FILE")]
    pub suricata_config: Option<PathBuf>,
    /// Suricata processes at a time
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub jobs: usize,
    /// Signatures listed for each kind of difference
    #[arg(long, value_name = "N", default_value_t = 60)]
    pub rows: usize,
}

impl Common {
    /// The bars.
    pub fn bars(&self) -> Bars {
        Bars { min_found: self.min_found, max_extra: self.max_extra }
    }

    /// Suricata, if one was named or is in the environment.
    pub fn suricata(&self, data: &Path) -> Result<Option<Suricata>> {
        if self.suricata.is_none() && std::env::var_os("WEIR_SURICATA").is_none() {
            return Ok(None);
        }
        let work = std::env::temp_dir().join(format!("weir-compare-{}", std::process::id()));
        Suricata::find(self.suricata.clone(), self.suricata_config.clone(), &data.join("rules"), &work).map(Some)
    }

    /// Write the report, and turn the figures into an exit status.
    pub fn conclude(&self, tally: &Tally, report: &Value) -> Result<ExitCode> {
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(report)?;
            std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
        }
        if tally.holds(self.bars()) {
            return Ok(ExitCode::SUCCESS);
        }
        println!(
            "FAILED: found {:.2} % (bar {}), extra {:.2} % (bar {})",
            tally.found_share(),
            self.min_found.map_or("none".into(), |bar| format!("{bar} %")),
            tally.extra_share(),
            self.max_extra.map_or("none".into(), |bar| format!("{bar} %")),
        );
        Ok(ExitCode::from(1))
    }
}

/// Run `work` on every item with `jobs` threads and a progress line on a terminal; results in the order of the items.
pub fn each<T: Sync, R: Send>(what: &str, items: &[T], jobs: usize, work: impl Fn(usize, &T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = AtomicUsize::new(0);
    let terminal = std::io::stderr().is_terminal();
    let mut results: Vec<Option<R>> = std::thread::scope(|scope| {
        let worker = || {
            let mut mine = vec![];
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(at) else { return mine };
                mine.push((at, work(at, item)));
                let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                if terminal && (done % 16 == 0 || done == items.len()) {
                    eprint!("\r{what}: {done} of {}", items.len());
                } else if !terminal && done % 500 == 0 {
                    eprintln!("{what}: {done} of {}", items.len());
                }
            }
        };
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(worker)).collect();
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        for (at, result) in workers.into_iter().flat_map(|w| w.join().unwrap_or_default()) {
            results[at] = Some(result);
        }
        results
    });
    if terminal {
        eprintln!();
    }
    results.iter_mut().filter_map(Option::take).collect()
}

/// End a command: errors are input that cannot be used.
pub fn exit(result: Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(3)
    })
}
