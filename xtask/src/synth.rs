//! `cargo xtask synth`: Yosys puts the RTL together for UltraScale+, block by block, and a report says what it costs.
//!
//! Method. The blocks of hw/synth/blocks.toml are synthesised apart, flat, with their memories (`weir_ram_*`) left as boxes.
//! Every size of memory is synthesised once and counted as often as it stands in a block. Sums of blocks leave out what a
//! tool would save across their borders. Results are kept in target/synth under a name made of all sources, so that only
//! what changed runs again. Figures are Yosys' and no vendor tool's; there is no placement and no timing.

use crate::machine::Machine;
use crate::yosys::Tools;
use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

pub const EXAMPLES: &str = "Examples:
  cargo xtask synth                         16, 32 and 64 bytes per cycle
  cargo xtask synth --width 16 --block weir_parse
  cargo xtask synth --publish               also rewrite docs/hardware/synthesis.{md,json}

Yosys comes as a Python wheel (hw/requirements.txt), which is installed below target/hdl on first use; WEIR_YOSYS names the
Python program of another place that has it.

Exit code: 0; 1 when a block could not be synthesised; 2 when nothing could be run.";

#[derive(Debug, Args)]
pub struct SynthArguments {
    /// Bytes per cycle; may be repeated. Default: 16, 32, 64.
    #[arg(long, value_name = "BYTES", value_parser = ["16", "32", "64"])]
    width: Vec<String>,
    /// Only blocks whose module contains this.
    #[arg(long, value_name = "NAME", conflicts_with = "publish")]
    block: Option<String>,
    /// Rewrite the committed report.
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

/// A memory left as a box: module, log2 of its words, bits of a word.
type Memory = (String, u32, u32);

/// What a block came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Found {
    logic: Cost,
    memories: Vec<(Memory, u64)>,
}

/// A block at a width.
struct Row<'a> {
    block: &'a Block,
    logic: Cost,
    memories: Cost,
    memory_bits: u64,
}

impl Row<'_> {
    fn total(&self) -> Cost {
        let mut cost = self.logic;
        cost.add(self.memories, 1);
        cost
    }
}

/// Runs what is asked; `false` if a block fails.
pub fn run(root: &Path, arguments: &SynthArguments) -> Result<bool> {
    let path = root.join("hw/synth/blocks.toml");
    let plan: Plan = toml::from_str(&fs::read_to_string(&path).with_context(|| path.display().to_string())?)
        .with_context(|| path.display().to_string())?;
    let yosys = Yosys::new(root)?;
    let all = ["16", "32", "64"].map(str::to_owned).to_vec();
    let widths = if arguments.width.is_empty() { &all } else { &arguments.width };
    let blocks: Vec<&Block> =
        plan.block.iter().filter(|b| arguments.block.as_ref().is_none_or(|name| b.module.contains(name))).collect();
    ensure!(!blocks.is_empty(), "no block of {} matches", path.display());
    let bar = ProgressBar::new((blocks.len() * widths.len()) as u64);
    bar.set_style(ProgressStyle::with_template("{elapsed_precise} [{bar:30}] {pos}/{len} {msg}")?);
    let mut results = Vec::new();
    let mut failed = false;
    for width in widths {
        let mut rows = Vec::new();
        for block in &blocks {
            bar.set_message(format!("{} at {width} bytes", block.module));
            bar.tick();
            match yosys.block(block, width).and_then(|found| row(&yosys, block, &found)) {
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
    let machine = Machine::here(root);
    let text = report(&plan, &results);
    print!("{text}");
    if arguments.publish && !failed {
        let folder = root.join("docs/hardware");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("synthesis.json"), format!("{:#}\n", twin(&machine, &results)))?;
        fs::write(folder.join("synthesis.md"), page(&machine, &text))?;
        println!("wrote docs/hardware/synthesis.md and synthesis.json");
    }
    Ok(!failed)
}

fn row<'a>(yosys: &Yosys, block: &'a Block, found: &Found) -> Result<Row<'a>> {
    let (mut logic, mut memories, mut memory_bits) = (Cost::default(), Cost::default(), 0);
    logic.add(found.logic, block.copies);
    for (memory, count) in &found.memories {
        memories.add(yosys.memory(memory)?, count * block.copies);
        memory_bits += (u64::from(memory.2) << memory.1) * count * block.copies;
    }
    Ok(Row { block, logic, memories, memory_bits })
}

// ---- Yosys

struct Yosys {
    root: PathBuf,
    kept: PathBuf,
    tools: Tools,
}

impl Yosys {
    fn new(root: &Path) -> Result<Yosys> {
        let kept = root.join("target/synth");
        fs::create_dir_all(&kept)?;
        Ok(Yosys { root: root.to_owned(), kept, tools: Tools::new(root)? })
    }

    fn script(&self, name: &str, commands: &str) -> Result<()> {
        self.tools.yosys(commands, &self.kept.join(format!("{name}.log")))
    }

    /// Kept result of this name, or a new one.
    fn kept<T: Serialize + for<'a> Deserialize<'a>>(
        &self,
        name: &str,
        make: impl FnOnce(&Path) -> Result<T>,
    ) -> Result<T> {
        let path = self.kept.join(format!("{name}.result.json"));
        if let Some(result) = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(result);
        }
        let result = make(&self.kept.join(name))?;
        fs::write(&path, serde_json::to_vec(&result)?)?;
        Ok(result)
    }

    fn block(&self, block: &Block, width: &str) -> Result<Found> {
        let mut arguments = String::new();
        let files = self.tools.needed(&block.module)?;
        let mut hasher = DefaultHasher::new();
        for file in files.iter().map(String::as_str).chain(["hw/requirements.txt"]) {
            fs::read(self.root.join(file))?.hash(&mut hasher);
        }
        for (name, value) in &block.parameters {
            let value = if value == "width" { width } else { value };
            let _ = write!(arguments, " -G {name}={value}");
        }
        for module in ["weir_ram_1r1w", "weir_ram_2r"].into_iter().chain(block.without.iter().map(String::as_str)) {
            let _ = write!(arguments, " --blackboxed-module {module}");
        }
        arguments.hash(&mut hasher);
        self.kept(&format!("{}-{:016x}", block.module, hasher.finish()), |path| {
            let (top, files) = (&block.module, files.join(" "));
            let shown = path.display();
            self.script(
                &path.file_name().unwrap_or_default().to_string_lossy(),
                &format!(
                    "read_slang -j 1 -DSYNTHESIS --top {top}{arguments} {files}\nhierarchy -top {top}\nflatten\n\
                     dump -o {shown}.boxes t:weir_*\n{}\n\
                     synth_xilinx -family xcup -noiopad -noclkbuf -flatten -top {top}\ntee -o {shown}.stat stat -json",
                    self.unset(block)
                ),
            )?;
            let stat: Value = serde_json::from_str(&fs::read_to_string(format!("{shown}.stat"))?)?;
            let cells = stat["design"]["num_cells_by_type"].as_object().context("no cells in the statistics")?;
            Ok(Found { logic: Cost::of(cells), memories: memories(&fs::read_to_string(format!("{shown}.boxes"))?)? })
        })
    }

    /// Boxes may keep no parameters.
    fn unset(&self, block: &Block) -> String {
        let mut names: BTreeSet<String> = ["ADDRESS_BITS", "DATA_BITS"].map(str::to_owned).into();
        for module in &block.without {
            let file = self.tools.sources.iter().find(|path| path.ends_with(&format!("/{module}.sv")));
            let text = file.and_then(|path| fs::read_to_string(self.root.join(path)).ok()).unwrap_or_default();
            // The front end leaves constants of the module's own and of its loops on the cell, too.
            let declares =
                |line: &&str| ["parameter ", "localparam ", "genvar "].iter().any(|word| line.contains(word));
            names.extend(text.lines().filter(declares).filter_map(|line| {
                let (name, _) = line.split_once('=')?;
                name.split_whitespace().last().map(str::to_owned)
            }));
        }
        names.iter().fold(String::from("setparam"), |text, name| format!("{text} -unset {name}")) + " t:weir_*"
    }

    fn memory(&self, (module, address, data): &Memory) -> Result<Cost> {
        let mut hasher = DefaultHasher::new();
        let source = self
            .tools
            .sources
            .iter()
            .find(|path| path.ends_with(&format!("/{module}.sv")))
            .context("no such memory")?;
        fs::read(self.root.join(source))?.hash(&mut hasher);
        self.kept(&format!("{module}-{address}-{data}-{:016x}", hasher.finish()), |path| {
            let shown = path.display();
            self.script(
                &path.file_name().unwrap_or_default().to_string_lossy(),
                &format!(
                    "read_slang -j 1 --top {module} -G ADDRESS_BITS={address} -G DATA_BITS={data} {source}\n\
                     synth_xilinx -family xcup -noiopad -noclkbuf -flatten -top {module}\ntee -o {shown}.stat stat -json"
                ),
            )?;
            let stat: Value = serde_json::from_str(&fs::read_to_string(format!("{shown}.stat"))?)?;
            Ok(Cost::of(stat["design"]["num_cells_by_type"].as_object().context("no cells in the statistics")?))
        })
    }
}

/// Memories of a dump of boxes (RTLIL: a cell, its parameters before or after it, `end`).
fn memories(dump: &str) -> Result<Vec<(Memory, u64)>> {
    let mut counts: BTreeMap<Memory, u64> = BTreeMap::new();
    let mut current: Option<(String, Option<u32>, Option<u32>)> = None;
    for line in dump.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cell", module, ..] if module.starts_with("\\weir_ram_") => {
                current = Some((module.trim_start_matches('\\').to_owned(), None, None));
            }
            ["parameter", .., name, value] => {
                if let Some((_, address, data)) = &mut current {
                    let bits = value.split_once('\'').map_or(*value, |(_, bits)| bits);
                    let value = match value.split_once('\'') {
                        Some(_) => u32::from_str_radix(bits, 2),
                        None => bits.parse(),
                    };
                    match *name {
                        "\\ADDRESS_BITS" => *address = value.ok(),
                        "\\DATA_BITS" => *data = value.ok(),
                        _ => {}
                    }
                }
            }
            ["end"] => {
                if let Some((module, address, data)) = current.take() {
                    let (Some(address), Some(data)) = (address, data) else {
                        anyhow::bail!("a {module} without its size")
                    };
                    *counts.entry((module, address, data)).or_default() += 1;
                }
            }
            _ => {}
        }
    }
    Ok(counts.into_iter().collect())
}

// ---- the report

fn groups(rows: &[Row<'_>]) -> Vec<(String, Cost)> {
    let mut sums: Vec<(String, Cost)> = Vec::new();
    for row in rows {
        match sums.iter_mut().find(|(group, _)| *group == row.block.group) {
            Some((_, cost)) => cost.add(row.total(), 1),
            None => sums.push((row.block.group.clone(), row.total())),
        }
    }
    sums
}

fn halves(ramb18: u64) -> String {
    if ramb18.is_multiple_of(2) { (ramb18 / 2).to_string() } else { format!("{}.5", ramb18 / 2) }
}

fn report(plan: &Plan, results: &[(String, Vec<Row<'_>>)]) -> String {
    let mut text = String::new();
    for (width, rows) in results {
        let _ = writeln!(text, "## {width} bytes per cycle, one direction\n");
        let _ = writeln!(
            text,
            "| group | block | LUT | FF | RAMB36 | UltraRAM | DSP | memory, kbit |\n|---|---|---:|---:|---:|---:|---:|---:|"
        );
        for row in rows {
            let c = row.total();
            let _ = writeln!(
                text,
                "| {} | `{}` | {} | {} | {} | {} | {} | {} |",
                row.block.group,
                row.block.module,
                c.lut,
                c.ff,
                halves(c.ramb18),
                c.uram,
                c.dsp,
                row.memory_bits / 1000
            );
        }
        let mut all = Cost::default();
        let _ = writeln!(text, "\n| sum | LUT | FF | RAMB36 | UltraRAM | DSP |\n|---|---:|---:|---:|---:|---:|");
        let mut line = |name: &str, c: Cost| {
            let _ = writeln!(text, "| {name} | {} | {} | {} | {} | {} |", c.lut, c.ff, halves(c.ramb18), c.uram, c.dsp);
        };
        for (group, cost) in groups(rows) {
            all.add(cost, 1);
            line(&group, cost);
        }
        line("**all**", all);
        let _ = writeln!(
            text,
            "\n| part | directions | LUT | FF | RAMB36 | UltraRAM | DSP |\n|---|---:|---:|---:|---:|---:|---:|"
        );
        for part in &plan.part {
            for directions in [1, 2] {
                let percent = |used: u64, has: u64| format!("{:.1} %", 100.0 * (used * directions) as f64 / has as f64);
                let _ = writeln!(
                    text,
                    "| {} | {directions} | {} | {} | {} | {} | {} |",
                    part.name,
                    percent(all.lut, part.lut),
                    percent(all.ff, part.ff),
                    percent(all.ramb18, 2 * part.ramb36),
                    percent(all.uram, part.uram),
                    percent(all.dsp, part.dsp)
                );
            }
        }
        let _ = writeln!(text, "\n| ceiling | LUT | RAMB36 | UltraRAM |\n|---|---|---|---|");
        for ceiling in &plan.ceiling {
            let Some((_, c)) = groups(rows).into_iter().find(|(group, _)| *group == ceiling.group) else { continue };
            let against = |used: u64, most: u64| {
                let verdict =
                    if used <= most { "within".to_owned() } else { format!("{:.1} times", used as f64 / most as f64) };
                format!("{used} of {most}: {verdict}")
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                ceiling.group,
                against(c.lut, ceiling.lut),
                against(c.ramb18.div_ceil(2), ceiling.ramb36),
                against(c.uram, ceiling.uram)
            );
        }
        text.push('\n');
    }
    text
}

fn twin(machine: &Machine, results: &[(String, Vec<Row<'_>>)]) -> Value {
    let widths: Vec<Value> = results
        .iter()
        .map(|(width, rows)| {
            let blocks: Vec<Value> = rows
                .iter()
                .map(|r| {
                    json!({
                        "block": r.block.module, "group": r.block.group, "copies": r.block.copies,
                        "logic": r.logic, "memories": r.memories, "memory_bits": r.memory_bits,
                    })
                })
                .collect();
            json!({ "bytes_per_cycle": width.parse::<u32>().unwrap_or(0), "blocks": blocks })
        })
        .collect();
    json!({ "machine": machine, "family": "xcup", "tool": "Yosys (hw/requirements.txt)", "widths": widths })
}

fn page(machine: &Machine, text: &str) -> String {
    format!(
        "# Synthesis\n\nWritten by `cargo xtask synth --publish`: {}.\n\nYosys, `synth_xilinx -family xcup`: counts of cells and no \
         vendor tool's report; nothing was placed, and there is no clock rate. Blocks are synthesised apart and summed \
         (hw/synth/blocks.toml says with which sizes); memories hold both banks of every table. RAMB36: two RAMB18 count as one. \
         What the figures mean: [hardware.md](../hardware.md).\n\n{text}",
        machine.line()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_of_a_dump() {
        let dump = "attribute \\src \"x\"\n cell \\weir_ram_1r1w \\lists\n  parameter \\ADDRESS_BITS 14\n  parameter \\DATA_BITS \
                    32'00000000000000000000000000001100\n  connect \\clk_i \\clk_i\n end\n cell \\weir_fifo \\f\n end\n";
        assert_eq!(memories(dump).unwrap(), vec![(("weir_ram_1r1w".to_owned(), 14, 12), 1)]);
        assert!(memories("cell \\weir_ram_2r \\a\nend\n").is_err());
    }
}
