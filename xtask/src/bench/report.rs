//! Results: a table on the terminal, its JSON twin, plots, and the pages of the documentation.

use super::Place;
use super::mix::Workload;
use super::plot::{Bars, Group};
use super::statistics::Spread;
use super::system::{Own, Run, System};
use crate::machine::Machine;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    machine: Machine,
    rules: Vec<String>,
    rounds: u32,
    systems: Vec<Named>,
    workloads: Vec<Results>,
}

#[derive(Serialize)]
struct Named {
    name: &'static str,
    about: String,
    #[serde(skip)]
    system: System,
}

#[derive(Serialize)]
struct Results {
    #[serde(flatten)]
    workload: Workload,
    /// By system, in the order of [`Report::systems`]; each with a run per round.
    runs: Vec<Vec<Run>>,
    /// Rates of a system over those of the peer, made within rounds.
    ratios: BTreeMap<&'static str, Spread>,
}

/// A number of a run, by the name it has in JSON.
type Figure = fn(&Run) -> f64;

const RATE: Figure = Run::gigabits;
const PACKETS: Figure = Run::kilopackets;
const MEBIBYTE: f64 = 1024.0 * 1024.0;

impl Report {
    pub fn new(place: &Place, systems: &[System], rounds: u32) -> Report {
        let name = |path: &std::path::PathBuf| {
            path.file_name().map_or_else(|| path.display().to_string(), |name| name.to_string_lossy().into_owned())
        };
        Report {
            machine: Machine::here(&place.root),
            rules: place.rules.iter().map(name).collect(),
            rounds,
            systems: systems
                .iter()
                .map(|system| Named { name: system.name(), about: system.about(), system: system.clone() })
                .collect(),
            workloads: Vec::new(),
        }
    }

    /// Adds a run of a round.
    pub fn add(&mut self, workload: &Workload, system: &System, run: Run) {
        if self.workloads.last().is_none_or(|last| last.workload.name != workload.name) {
            let runs = self.systems.iter().map(|_| Vec::new()).collect();
            self.workloads.push(Results { workload: workload.clone(), runs, ratios: BTreeMap::new() });
        }
        let Some(at) = self.systems.iter().position(|named| named.system == *system) else { return };
        if let Some(results) = self.workloads.last_mut() {
            results.runs[at].push(run);
            results.ratios = ratios(&self.systems, &results.runs);
        }
    }

    /// Table of a workload.
    pub fn table(&self, name: &str) -> String {
        let mut text = String::new();
        for results in self.workloads.iter().filter(|results| results.workload.name == name) {
            let w = &results.workload;
            let _ = writeln!(
                text,
                "\n{}: {:.0} MB, {} packets of {:.0} bytes on average ({}, {})",
                w.name,
                w.bytes as f64 / 1e6,
                w.frames,
                w.bytes as f64 / (w.frames as f64).max(1.0),
                w.about,
                w.origin
            );
            for row in self.rows(results) {
                let _ = writeln!(
                    text,
                    "  {:<9} {:>20} {:>20} {:>20} {:>8} {:>9} {:>8} {:>6}",
                    row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7]
                );
            }
            for (name, ratio) in &results.ratios {
                let peer = self.peer().map_or("", |peer| peer.name);
                let _ = writeln!(text, "  {name} / {peer}: {}", ratio.text(2));
            }
        }
        text
    }

    fn peer(&self) -> Option<&Named> {
        self.systems.iter().find(|named| !matches!(named.system, System::Own(_)))
    }

    /// Head and a row a system.
    fn rows(&self, results: &Results) -> Vec<[String; 8]> {
        let head = ["", "Gbit/s", "kpackets/s", "CPU s/GB", "load s", "peak MiB", "alerts", "host"];
        let mut rows = vec![head.map(str::to_owned)];
        for (named, runs) in self.systems.iter().zip(&results.runs) {
            let spread = |figure: Figure| Spread::of(runs.iter().map(figure));
            let text = |figure: Figure, digits| spread(figure).map_or_else(String::new, |s| s.text(digits));
            let median = |figure: Figure, digits: usize| {
                spread(figure).map_or_else(String::new, |s| format!("{:.digits$}", s.median))
            };
            let last = runs.last();
            rows.push([
                named.name.to_owned(),
                text(RATE, 2),
                text(PACKETS, 0),
                text(Run::seconds_per_gigabyte, 2),
                median(|run| run.load_seconds, 1),
                median(|run| run.peak_bytes as f64 / MEBIBYTE, 0),
                last.and_then(|run| run.alerts).map_or_else(String::new, |n| n.to_string()),
                last.and_then(|run| run.host_share).map_or_else(String::new, |s| format!("{:.0} %", s * 100.0)),
            ]);
        }
        rows
    }

    /// Writes `results.json` and the plots.
    pub fn write(&self, out: &Path) -> Result<()> {
        let mut json = serde_json::to_string_pretty(self)?;
        json.push('\n');
        save(&out.join("results.json"), &json)?;
        let plot = |figure: Figure, title: &str| Bars {
            title: title.to_owned(),
            series: self.systems.iter().map(|named| named.name.to_owned()).collect(),
            groups: self.workloads.iter().map(|results| group(results, figure)).collect(),
            note: self.machine.line(),
        };
        save(&out.join("throughput.svg"), &plot(RATE, "Gbit/s of one core (median, least, greatest)").svg())?;
        save(&out.join("packets.svg"), &plot(PACKETS, "thousand packets/s of one core (median, least, greatest)").svg())
    }

    /// The figures as a page section.
    pub fn markdown(&self) -> String {
        let mut text =
            format!("Measured on {}; rules: {}; {} rounds.\n", self.machine.line(), self.rules.join(", "), self.rounds);
        text.push_str("\nSystems:\n\n");
        for named in &self.systems {
            let _ = writeln!(text, "- **{}**: {}", named.name, named.about);
        }
        text.push_str("\n![Gbit/s](performance/throughput.svg)\n\n![packets/s](performance/packets.svg)\n");
        for results in &self.workloads {
            let w = &results.workload;
            let _ = writeln!(
                text,
                "\n### {}\n\n{}; {:.0} MB, {} packets of {:.0} bytes on average, {}.\n",
                w.name,
                w.about,
                w.bytes as f64 / 1e6,
                w.frames,
                w.bytes as f64 / (w.frames as f64).max(1.0),
                match w.origin {
                    "captures" => "small real captures replayed with fresh addresses (no backbone traffic)",
                    other => other,
                }
            );
            for (number, row) in self.rows(results).iter().enumerate() {
                let _ = writeln!(text, "| {} |", row.join(" | "));
                if number == 0 {
                    text.push_str("|---|---|---|---|---|---|---|---|\n");
                }
            }
            if let Some(peer) = self.peer().filter(|_| !results.ratios.is_empty()) {
                let ratios: Vec<String> =
                    results.ratios.iter().map(|(name, ratio)| format!("{name} {}", ratio.text(2))).collect();
                let _ = writeln!(text, "\nRate over that of {}: {}.", peer.name, ratios.join(", "));
            }
        }
        text
    }

    /// Says whether the engine's median ratio is at least `least` on every workload, and where not.
    pub fn check_ratio(&self, least: f64, peer: &System) -> bool {
        let engine = System::Own(Own::Engine).name();
        let mut held = true;
        for results in &self.workloads {
            let ratio = results.ratios.get(engine).map(|ratio| ratio.median);
            if ratio.is_none_or(|ratio| ratio < least) {
                held = false;
                eprintln!(
                    "MISSED: {}: {engine} / {} is {}, less than {least}",
                    results.workload.name,
                    peer.name(),
                    ratio.map_or_else(|| "not measured".to_owned(), |ratio| format!("{ratio:.2}"))
                );
            }
        }
        held
    }
}

fn ratios(systems: &[Named], runs: &[Vec<Run>]) -> BTreeMap<&'static str, Spread> {
    let mut ratios = BTreeMap::new();
    let Some(peer) = systems.iter().position(|named| !matches!(named.system, System::Own(_))) else { return ratios };
    for (at, named) in systems.iter().enumerate().filter(|(at, _)| *at != peer) {
        let pairs = runs[at].iter().zip(&runs[peer]);
        if let Some(spread) = Spread::of(pairs.map(|(own, other)| own.gigabits() / other.gigabits().max(1e-9))) {
            ratios.insert(named.name, spread);
        }
    }
    ratios
}

fn group(results: &Results, figure: Figure) -> Group {
    Group {
        name: results.workload.name.clone(),
        values: results.runs.iter().map(|runs| Spread::of(runs.iter().map(figure))).collect(),
    }
}

pub fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

/// Puts `text` between the marks of `section` in docs/performance.md.
pub fn publish(root: &Path, section: &str, text: &str) -> Result<()> {
    let path = root.join("docs/performance.md");
    let page = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let Some(page) = replace_section(&page, section, text) else {
        bail!("{} has no marks <!-- {section}:begin --> and <!-- {section}:end -->", path.display());
    };
    save(&path, &page)
}

fn replace_section(page: &str, section: &str, text: &str) -> Option<String> {
    let (begin, end) = (format!("<!-- {section}:begin -->"), format!("<!-- {section}:end -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some(format!("{before}{begin}\n\n{}\n\n{end}{after}", text.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marked_section_is_replaced() {
        let page = "a\n<!-- x:begin -->\nold\n<!-- x:end -->\nb\n";
        let new = replace_section(page, "x", "new\n").unwrap();
        assert_eq!(new, "a\n<!-- x:begin -->\n\nnew\n\n<!-- x:end -->\nb\n");
        assert_eq!(replace_section(&new, "x", "new").unwrap(), new);
        assert!(replace_section(page, "y", "new").is_none());
    }

    #[test]
    fn ratios_are_made_within_rounds() {
        let run = |cpu_seconds| Run {
            frames: 1,
            bytes: 1_000_000_000,
            cpu_seconds,
            wall_seconds: 0.0,
            load_seconds: 0.0,
            load_cpu_seconds: 0.0,
            peak_bytes: 0,
            alerts: None,
            host_share: None,
        };
        let named = |system: System| Named { name: system.name(), about: String::new(), system };
        let systems = [named(System::Own(Own::Engine)), named(System::Weir("x".into()))];
        let runs = [vec![run(1.0), run(4.0)], vec![run(2.0), run(8.0)]];
        let ratios = ratios(&systems, &runs);
        let expected = Spread { median: 2.0, min: 2.0, max: 2.0 };
        assert_eq!(ratios.get("engine"), Some(&expected));
    }
}
