//! `cargo xtask lint`: two front ends read every module of the RTL, and neither has a word to say.
//!
//! Verilator (`--lint-only -Wall`) and slang (`-Weverything`) take each module of hw/rtl as a top of its own, in the sizes of
//! hw/lint/modules.toml; sizes that are illegal must not elaborate in either. What is waived stands with its reason in
//! hw/lint/verilator.vlt and hw/lint/slang.f.

use crate::yosys::Tools;
use anyhow::{Context, Result, ensure};
use clap::Args;
use serde::Deserialize;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

pub const EXAMPLES: &str = "Examples:
  cargo xtask lint                 every module
  cargo xtask lint weir_parse      modules whose name contains this

Verilator is taken from the path (VERILATOR names another; hw/tools/install brings it), slang from its Python wheel
(hw/requirements.txt).

Exit code: 0; 1 when a front end complains or an illegal size elaborates; 2 when nothing could be run.";

#[derive(Debug, Args)]
pub struct LintArguments {
    /// Only modules whose name contains this.
    filter: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    module: Vec<Sizes>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sizes {
    name: String,
    legal: Vec<Vec<String>>,
    #[serde(default)]
    illegal: Vec<Vec<String>>,
}

#[derive(Debug, Clone, Copy)]
enum FrontEnd {
    Verilator,
    Slang,
}

/// A module as a top, for one front end.
#[derive(Debug)]
struct Check {
    front_end: FrontEnd,
    module: String,
    parameters: Vec<String>,
    legal: bool,
}

/// Runs them; `false` if one is not as it should be.
pub fn run(root: &Path, arguments: &LintArguments) -> Result<bool> {
    let path = root.join("hw/lint/modules.toml");
    let plan: Plan = toml::from_str(&fs::read_to_string(&path).with_context(|| path.display().to_string())?)
        .with_context(|| path.display().to_string())?;
    let tools = Tools::new(root)?;
    let verilator = std::env::var("VERILATOR").unwrap_or_else(|_| "verilator".into());
    let mut front_ends = vec![FrontEnd::Slang];
    if Command::new(&verilator).arg("--version").output().is_ok_and(|out| out.status.success()) {
        front_ends.push(FrontEnd::Verilator);
    } else {
        eprintln!("SKIPPED: no Verilator, only slang reads the RTL (hw/tools/install brings it)");
    }
    let wanted = arguments.filter.clone().unwrap_or_default();
    let checks = checks(&plan, &tools.sources, &front_ends, &wanted)?;
    ensure!(!checks.is_empty(), "no module of hw/rtl/files.f matches `{wanted}`");
    let (next, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || -> Result<()> {
        while let Some(check) = checks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let mut command = match check.front_end {
                FrontEnd::Verilator => Command::new(&verilator),
                FrontEnd::Slang => Command::new(&tools.python),
            };
            match check.front_end {
                FrontEnd::Verilator => command.args(["--lint-only", "-Wall", "hw/lint/verilator.vlt", "--top-module"]),
                FrontEnd::Slang => command.args(["hw/tools/slang", "-f", "hw/lint/slang.f", "--top"]),
            };
            command.arg(&check.module).args(check.parameters.iter().map(|parameter| format!("-G{parameter}")));
            let output = command.args(tools.needed(&check.module)?).current_dir(root).output()?;
            let clean = output.status.success();
            let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
            let Check { front_end, module, parameters, legal } = check;
            if *legal && !clean {
                println!("{front_end:?}, {module} {parameters:?}:\n{said}");
            } else if !legal && (clean || !said.to_lowercase().contains("error")) {
                println!("{front_end:?}, {module} {parameters:?}: an illegal size elaborates\n{said}");
            } else {
                continue;
            }
            failed.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let count = thread::available_parallelism().map_or(1, usize::from);
        let workers: Vec<_> = (0..count).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })?;
    let failed = failed.into_inner();
    println!("{} checks of modules by {} front ends, {failed} failed", checks.len(), front_ends.len());
    Ok(failed == 0)
}

fn checks(plan: &Plan, files: &[String], front_ends: &[FrontEnd], wanted: &str) -> Result<Vec<Check>> {
    let module = |file: &String| Path::new(file).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let modules: Vec<String> = files.iter().filter_map(module).filter(|name| !name.ends_with("_pkg")).collect();
    for sizes in &plan.module {
        ensure!(modules.contains(&sizes.name), "hw/lint/modules.toml: {} is not in hw/rtl/files.f", sizes.name);
    }
    let mut checks = Vec::new();
    for module in modules.iter().filter(|name| name.contains(wanted)) {
        let sizes = plan.module.iter().find(|sizes| sizes.name == *module);
        let defaults = vec![Vec::new()];
        let legal = sizes.map_or(&defaults, |sizes| &sizes.legal);
        let illegal = sizes.map_or(&[][..], |sizes| &sizes.illegal);
        let all = legal.iter().map(|parameters| (true, parameters)).chain(illegal.iter().map(|p| (false, p)));
        for (legal, parameters) in all {
            checks.extend(front_ends.iter().map(|&front_end| Check {
                front_end,
                module: module.clone(),
                parameters: parameters.clone(),
                legal,
            }));
        }
    }
    Ok(checks)
}
