//! Peak memory of every capture of the shared data, by the engine alone and behind the simulated device.

use super::Place;
use super::report;
use super::system::settings;
use crate::machine::Machine;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A run stays below this plus the configured rings.
const LIMIT: u64 = 1 << 30;
/// Captures of the report: those that added most to what rules and tables take.
const LARGEST: usize = 20;
/// All that added more than this are reported too.
const NOTABLE: u64 = 200_000_000;

/// What `weir-bench memory` says of a capture.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Measured {
    pcap: String,
    peak_bytes: u64,
    before_bytes: u64,
    frames: u64,
    bytes: u64,
    flows: u64,
    alerts: u64,
    seconds: f64,
}

impl Measured {
    /// What the capture added.
    fn added(&self) -> u64 {
        self.peak_bytes.saturating_sub(self.before_bytes)
    }
}

#[derive(Serialize)]
struct Sweep {
    machine: Machine,
    limit_bytes: u64,
    engine: Vec<Measured>,
    both: Vec<Measured>,
}

pub fn run(place: &Place, every: u32, publish: bool) -> Result<bool> {
    let Some(shared) = &place.shared else { bail!("there are no shared captures: set WEIR_SHARED") };
    let pcaps = shared.join("data/pcaps");
    let mut captures = Vec::new();
    collect(&pcaps, &mut captures)?;
    captures.sort();
    let captures: Vec<PathBuf> = captures.into_iter().step_by(every as usize).collect();
    let mut sweep =
        Sweep { machine: Machine::here(&place.root), limit_bytes: LIMIT, engine: Vec::new(), both: Vec::new() };
    for sim in [false, true] {
        let mut list = one(place, &captures, &pcaps, sim)?;
        list.sort_by_key(|m| std::cmp::Reverse(m.added()));
        *if sim { &mut sweep.both } else { &mut sweep.engine } = list;
    }
    let mut json = serde_json::to_string_pretty(&Sweep {
        machine: sweep.machine.clone(),
        engine: notable(&sweep.engine).to_vec(),
        both: notable(&sweep.both).to_vec(),
        ..sweep
    })?;
    json.push('\n');
    report::save(&place.out.join("memory.json"), &json)?;
    let text = markdown(&sweep);
    println!("{text}");
    if publish {
        report::publish(&place.root, "memory", &text)?;
    }
    let greatest = sweep.engine.iter().chain(&sweep.both).map(|m| m.peak_bytes).max().unwrap_or(0);
    if greatest > LIMIT {
        eprintln!("MISSED: a capture needs {} MiB, more than {}", greatest >> 20, LIMIT >> 20);
    }
    Ok(greatest <= LIMIT)
}

/// The largest, and all that are worth a line.
fn notable(list: &[Measured]) -> &[Measured] {
    let above = list.iter().take_while(|m| m.added() > NOTABLE).count();
    &list[..list.len().min(above.max(LARGEST))]
}

fn markdown(sweep: &Sweep) -> String {
    let mut text = format!("Measured on {}; the limit is {} MiB plus the rings.\n", sweep.machine.line(), LIMIT >> 20);
    for (name, list) in [("engine alone", &sweep.engine), ("behind the simulated device", &sweep.both)] {
        let peaks = list.iter().map(|m| m.peak_bytes);
        let _ = writeln!(
            text,
            "\n{} captures, {name}: peaks from {} to {} MiB.\n\n| added MiB | peak MiB | capture | packets | flows | MB \
             |\n|---|---|---|---|---|---|",
            list.len(),
            peaks.clone().min().unwrap_or(0) >> 20,
            peaks.max().unwrap_or(0) >> 20
        );
        for m in notable(list) {
            let _ = writeln!(
                text,
                "| {:.1} | {} | {} | {} | {} | {:.1} |",
                m.added() as f64 / f64::from(1 << 20),
                m.peak_bytes >> 20,
                m.pcap,
                m.frames,
                m.flows,
                m.bytes as f64 / 1e6
            );
        }
    }
    text
}

fn one(place: &Place, captures: &[PathBuf], pcaps: &Path, sim: bool) -> Result<Vec<Measured>> {
    let mut command = Command::new(place.binaries.join("weir-bench"));
    command.arg("memory").args(sim.then_some("--sim")).arg("--rules").args(&place.rules).args(settings());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("weir-bench does not start")?;
    let mut input = child.stdin.take().context("weir-bench takes no list")?;
    let list: String = captures.iter().map(|path| format!("{}\n", path.display())).collect();
    let writer = std::thread::spawn(move || input.write_all(list.as_bytes()));
    let bar = super::bar(captures.len() as u64);
    bar.set_message(if sim { "simulated device" } else { "engine" });
    let mut measured = Vec::new();
    for line in BufReader::new(child.stdout.take().context("weir-bench says nothing")?).lines() {
        let mut m: Measured = serde_json::from_str(&line?)?;
        m.pcap = Path::new(&m.pcap).strip_prefix(pcaps).map_or(m.pcap.clone(), |path| path.display().to_string());
        measured.push(m);
        bar.set_position(measured.len() as u64);
    }
    bar.finish_and_clear();
    let written = writer.join().map_err(|_| anyhow::anyhow!("the list of captures was not handed over"))?;
    if !child.wait()?.success() {
        bail!("weir-bench memory failed");
    }
    written?;
    Ok(measured)
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, into)?;
        } else if path.extension().is_none_or(|extension| extension != "tsv") {
            into.push(path);
        }
    }
    Ok(())
}
