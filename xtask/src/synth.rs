//! `cargo xtask synth`: Yosys puts the RTL together for UltraScale+, block by block, and a report says what it costs.
//!
//! Method. The blocks of hw/synth/blocks.toml are synthesised apart, flat, with their memories (`weir_ram_*`) left as boxes.
//! Every size of memory is synthesised once and counted as often as it stands in a block. Sums of blocks leave out what a
//! tool would save across their borders. Results are kept in target/synth under a name made of all sources, so that only
//! what changed runs again. Figures are Yosys' and no vendor tool's; there is no placement and no timing. The published
//! report says of each block at which commit it was synthesised: a few blocks may be published anew, the others stay.

mod blocks;
mod report;

use crate::machine::Machine;
use anyhow::{Context, Result, ensure};
use blocks::Yosys;
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use report::{Published, report};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub const EXAMPLES: &str = "Examples:
  cargo xtask synth                         16, 32 and 64 bytes per cycle
  cargo xtask synth --width 16 --block weir_parse
  cargo xtask synth --publish               also rewrite docs/hardware/synthesis.{md,json}
  cargo xtask synth --block weir_judge --publish     only this block's figures in it, and the sums

Yosys comes as a Python wheel (hw/requirements.txt), which is installed below target/hdl on first use; WEIR_YOSYS names the
Python program of another place that has it.

Exit code: 0; 1 when a block could not be synthesised; 2 when nothing could be run.";

#[derive(Debug, Args)]
pub struct SynthArguments {
    /// Bytes per cycle; may be repeated. Default: 16, 32, 64.
    #[arg(long, value_name = "BYTES", value_parser = ["16", "32", "64"])]
    width: Vec<String>,
    /// Only blocks whose module contains this; may be repeated.
    #[arg(long, value_name = "NAME")]
    block: Vec<String>,
    /// Rewrite the committed report; blocks and widths that are not asked for stay as they are in it.
    #[arg(long)]
    publish: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    block: Vec<Block>,
    part: Vec<Part>,
    ceiling: Vec<Ceiling>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    module: String,
    group: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
    #[serde(default)]
    without: Vec<String>,
    #[serde(default = "one")]
    copies: u64,
}

fn one() -> u64 {
    1
}

/// What a device has.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    name: String,
    lut: u64,
    ff: u64,
    ramb36: u64,
    uram: u64,
    dsp: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ceiling {
    group: String,
    lut: u64,
    ramb36: u64,
    uram: u64,
}

/// LUT (with those used as memory and shift registers), flip-flops, halves of a RAMB36, UltraRAM, multipliers.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Cost {
    lut: u64,
    ff: u64,
    ramb18: u64,
    uram: u64,
    dsp: u64,
}

impl Cost {
    fn add(&mut self, other: Cost, times: u64) {
        self.lut += other.lut * times;
        self.ff += other.ff * times;
        self.ramb18 += other.ramb18 * times;
        self.uram += other.uram * times;
        self.dsp += other.dsp * times;
    }

    fn of(cells: &serde_json::Map<String, Value>) -> Cost {
        let mut cost = Cost::default();
        for (kind, count) in cells {
            let n = count.as_u64().unwrap_or(0);
            match kind.as_str() {
                "FDRE" | "FDSE" | "FDCE" | "FDPE" | "LDCE" => cost.ff += n,
                "INV" => {}
                // Two outputs, four words of 16 bits, and so on: LUT that a slice gives up for it (UG574).
                "RAM32M16" => cost.lut += 8 * n,
                "RAM32M" | "RAM64M" | "RAM256X1S" | "RAM128X1D" => cost.lut += 4 * n,
                "RAM64M8" => cost.lut += 8 * n,
                "RAM32X1D" | "RAM64X1D" => cost.lut += 2 * n,
                "RAMB36E2" => cost.ramb18 += 2 * n,
                "RAMB18E2" => cost.ramb18 += n,
                "URAM288" => cost.uram += n,
                kind if kind.starts_with("DSP48") => cost.dsp += n,
                kind if kind.starts_with("LUT") || kind.starts_with("SRL") => cost.lut += n,
                _ => {}
            }
        }
        cost
    }
}

/// A block at a width, its copies counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Row {
    #[serde(rename = "block")]
    module: String,
    group: String,
    copies: u64,
    logic: Cost,
    memories: Cost,
    memory_bits: u64,
    /// Where its sources stood.
    #[serde(default)]
    commit: String,
    /// Differs when they do.
    #[serde(default)]
    sources: String,
}

impl Row {
    fn total(&self) -> Cost {
        let mut cost = self.logic;
        cost.add(self.memories, 1);
        cost
    }
}

/// Bytes per cycle.
const WIDTHS: [&str; 3] = ["16", "32", "64"];

/// Runs what is asked; `false` if a block fails.
pub fn run(root: &Path, arguments: &SynthArguments) -> Result<bool> {
    let path = root.join("hw/synth/blocks.toml");
    let plan: Plan = toml::from_str(&fs::read_to_string(&path).with_context(|| path.display().to_string())?)
        .with_context(|| path.display().to_string())?;
    let yosys = Yosys::new(root)?;
    let all = WIDTHS.map(str::to_owned).to_vec();
    let widths = if arguments.width.is_empty() { &all } else { &arguments.width };
    let names = &arguments.block;
    let blocks: Vec<&Block> =
        plan.block.iter().filter(|b| names.is_empty() || names.iter().any(|name| b.module.contains(name))).collect();
    ensure!(!blocks.is_empty(), "no block of {} matches", path.display());
    let commit = Machine::commit_of(root, "hw/rtl");
    let bar = ProgressBar::new((blocks.len() * widths.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {msg}")?);
    let mut results = Vec::new();
    let mut failed = false;
    for width in widths {
        let mut rows = Vec::new();
        for block in &blocks {
            bar.set_message(format!("{} at {width} bytes", block.module));
            bar.tick();
            match yosys.row(block, width, &commit) {
                Ok(row) => rows.push(row),
                Err(error) => {
                    failed = true;
                    bar.println(format!("error: {}, {width} bytes: {error:#}", block.module));
                }
            }
            bar.inc(1);
        }
        results.push((width.clone(), rows));
    }
    bar.finish_and_clear();
    print!("{}", report(&plan, &results));
    if arguments.publish && !failed {
        let folder = root.join("docs/hardware");
        fs::create_dir_all(&folder)?;
        let mut published = Published::read(&folder.join("synthesis.json"))?;
        published.take(results);
        let results = published.all(&plan)?;
        let changed = changed(&yosys, &plan, &results)?;
        let machine = Machine::here(root);
        fs::write(folder.join("synthesis.json"), format!("{:#}\n", report::twin(&machine, &results)))?;
        fs::write(folder.join("synthesis.md"), report::page(&machine, &report(&plan, &results), &changed))?;
        println!("wrote docs/hardware/synthesis.md and synthesis.json");
    }
    Ok(!failed)
}

/// Blocks whose sources are others than when they were synthesised.
fn changed(yosys: &Yosys, plan: &Plan, results: &[(String, Vec<Row>)]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for block in &plan.block {
        for (width, rows) in results {
            let row = rows.iter().find(|row| row.module == block.module);
            let now = yosys.sources(block, width)?;
            if row.is_some_and(|row| row.sources != now) && !found.contains(&block.module) {
                found.push(block.module.clone());
            }
        }
    }
    Ok(found)
}
