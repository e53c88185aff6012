//! `cargo xtask formal`: what the benches of hw/formal assert of the RTL, proven for every input.
//!
//! Method. Yosys makes an and-inverter graph of a bench and the block in it (registers without reset and memories begin
//! anyhow), and ABC proves it: property-directed reachability (`pdr`) for any number of cycles, or `bmc3` for all inputs of so many
//! cycles from reset, where the table says so. Benches are small (a queue of four words stands for one of 4 096). A proof that
//! cannot fail is none: with --mutants each must fail under each change of the RTL that hw/formal/proofs.toml lists.

use crate::yosys::Tools;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use serde::Deserialize;
use std::fs;
use std::path::Path;
use std::time::Instant;

pub const EXAMPLES: &str = "Examples:
  cargo xtask formal                 all proofs
  cargo xtask formal turns           one
  cargo xtask formal --mutants       and each must fail where the RTL is broken

Yosys and ABC come as a Python wheel (hw/requirements.txt), as for `cargo xtask synth`.

Exit code: 0; 1 when a proof fails, finds no end, or does not notice a mutation; 2 when nothing could be run.";

#[derive(Debug, Args)]
pub struct FormalArguments {
    /// Only proofs whose bench contains this.
    filter: Option<String>,
    /// Also break the RTL, and expect the proof to fail.
    #[arg(long)]
    mutants: bool,
    /// Longest time for one proof, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    limit: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    proof: Vec<Proof>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Proof {
    bench: String,
    module: String,
    says: String,
    bound: Option<u32>,
    #[serde(default)]
    mutations: Vec<Mutation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    from: String,
    to: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Holds,
    Fails,
    /// No answer in time.
    Open,
}

/// Runs them; `false` if one does not hold or notices nothing.
pub fn run(root: &Path, arguments: &FormalArguments) -> Result<bool> {
    let path = root.join("hw/formal/proofs.toml");
    let plan: Plan = toml::from_str(&fs::read_to_string(&path).with_context(|| path.display().to_string())?)
        .with_context(|| path.display().to_string())?;
    let tools = Tools::new(root)?;
    let wanted = arguments.filter.clone().unwrap_or_default();
    let proofs: Vec<&Proof> = plan.proof.iter().filter(|p| p.bench.contains(&wanted)).collect();
    ensure!(!proofs.is_empty(), "no proof of {} matches `{wanted}`", path.display());
    let mut good = true;
    for proof in proofs {
        let begin = Instant::now();
        let answer = prove(root, &tools, proof, None, arguments.limit)?;
        let reach = proof.bound.map_or("any number of cycles".to_owned(), |n| format!("{n} cycles from reset"));
        let word = match answer {
            Answer::Holds => "proven",
            Answer::Fails => "FAILS",
            Answer::Open => "NO ANSWER",
        };
        good &= answer == Answer::Holds;
        println!("{word}: {} ({reach}, {:.1} s): {}", proof.module, begin.elapsed().as_secs_f64(), proof.says);
        for mutation in proof.mutations.iter().filter(|_| arguments.mutants) {
            let noticed = prove(root, &tools, proof, Some(mutation), arguments.limit)? == Answer::Fails;
            good &= noticed;
            println!("  {}: {}", if noticed { "noticed" } else { "UNNOTICED" }, mutation.to.trim());
        }
    }
    Ok(good)
}

fn prove(root: &Path, tools: &Tools, proof: &Proof, mutation: Option<&Mutation>, limit: u32) -> Result<Answer> {
    let folder = root.join("target/formal");
    fs::create_dir_all(&folder)?;
    let mut sources = tools.needed(&proof.module)?;
    if let Some(mutation) = mutation {
        let source = sources.iter_mut().find(|path| path.ends_with(&format!("/{}.sv", proof.module)));
        let source = source.with_context(|| format!("no source of {}", proof.module))?;
        let text = fs::read_to_string(root.join(&*source))?;
        let places = text.matches(&mutation.from).count();
        ensure!(places == 1, "`{}` stands {places} times in {source}", mutation.from);
        let changed = folder.join(format!("{}.sv", proof.module));
        fs::write(&changed, text.replace(&mutation.from, &mutation.to))?;
        *source = changed.display().to_string();
    }
    let (bench, files) = (&proof.bench, sources.join(" "));
    let graph = folder.join(format!("{bench}.aig"));
    let shown = graph.display();
    let commands = format!(
        "read_slang -j 1 -DFORMAL -DSYNTHESIS --top {bench} {files} hw/formal/{bench}.sv\nhierarchy -top {bench}\nflatten\n\
         async2sync\nchformal -lower\nmemory -nomap\nmemory_map -formal\nchformal -assume -early\n\
         formalff -setundef -clk2ff -ff2anyinit\nchformal -live -fair -cover -remove\nopt_clean\n\
         setundef -undriven -anyseq\nsetattr -unset keep\ndelete -output\nopt -full\ntechmap\nopt -fast\ndffunmap\naigmap\n\
         opt_clean\nwrite_aiger -I -B -zinit -no-startoffset {shown}"
    );
    tools.yosys(&commands, &folder.join(format!("{bench}.log")))?;
    let engine = match proof.bound {
        Some(cycles) => format!("bmc3 -F {cycles} -T {limit}"),
        None => format!("pdr -T {limit}"),
    };
    let said = tools.abc(&format!("read_aiger {shown}; fold; strash; {engine}"))?;
    let has = |text: &str| said.contains(text);
    Ok(match proof.bound {
        _ if has("was asserted in frame") => Answer::Fails,
        None if has("Property proved") => Answer::Holds,
        Some(cycles) if has(&format!("No output asserted in {cycles} frames")) && !has("(timeout") => Answer::Holds,
        _ if has("Reached timeout") || has("(timeout") || has("UNDECIDED") => Answer::Open,
        _ => bail!("ABC said nothing of {bench}: {}", said.lines().last().unwrap_or("")),
    })
}
