//! Peak memory of many captures: rules and tables are loaded once, the peak is reset before each capture
//! (proc(5), `clear_refs`), and each capture gets an engine and a device of its own.
//!
//! What the allocator keeps from one capture counts for the next, so a figure is an upper bound of what a process of
//! its own would show.

use crate::{failed, status_bytes};
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use weir::device::{Behind, tables};
use weir::pipeline::{self, RunControl, Source};
use weir_management::Config;
use weir_output::AlertCollector;

/// One capture.
#[derive(Debug, Serialize)]
struct Measured<'a> {
    pcap: &'a str,
    peak_bytes: u64,
    before_bytes: u64,
    frames: u64,
    bytes: u64,
    flows: u64,
    alerts: u64,
    seconds: f64,
}

pub fn run(rules: &[PathBuf], sim: bool, config: &Config) -> Result<()> {
    let loaded = pipeline::load(rules, config).map_err(failed)?;
    let tables = if sim { Some(tables(&loaded).map_err(failed)?) } else { None };
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let path = Path::new(&line);
        let mut source = match Source::open(path) {
            Ok(source) => source,
            Err(failure) => {
                eprintln!("{line}: {failure}");
                continue;
            }
        };
        let open = || Source::open(path);
        let validate = pipeline::validates_checksums(config, &open).map_err(failed)?;
        std::fs::write("/proc/self/clear_refs", "5").context("the peak of memory cannot be reset")?;
        let before_bytes = status_bytes("VmRSS");
        let mut counts = AlertCollector::counting();
        let stop = AtomicBool::new(false);
        let mut tick = |_| {};
        let mut control = RunControl::new(&stop, &mut tick);
        let totals = match &tables {
            Some(tables) => {
                Behind { loaded: &loaded, tables, config, validate }.run(&mut source, &mut counts, &mut control)
            }
            None => pipeline::run_full(&loaded, config, validate, &mut source, &mut counts, &mut control),
        };
        let totals = match totals {
            Ok(totals) => totals,
            Err(failure) => {
                eprintln!("{line}: {failure}");
                continue;
            }
        };
        let measured = Measured {
            pcap: &line,
            peak_bytes: status_bytes("VmHWM"),
            before_bytes,
            frames: totals.received_packets(),
            bytes: totals.received_bytes(),
            flows: totals.flows(),
            alerts: totals.host.alerts,
            seconds: totals.seconds.run,
        };
        println!("{}", serde_json::to_string(&measured)?);
    }
    Ok(())
}
