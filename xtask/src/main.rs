//! Repository tasks: `cargo xtask gen`, `cargo xtask bench`, `cargo xtask rtl-mutants`, `cargo xtask rtl-lockstep`,
//! `cargo xtask synth`, `cargo xtask place`, `cargo xtask lint`, `cargo xtask formal`, `cargo xtask conformance`,
//! `cargo xtask differential`, `cargo xtask qemu`.
#![forbid(unsafe_code)]

mod bench;
mod compare;
mod formal;
mod lint;
mod lockstep;
mod machine;
mod mutants;
mod place;
mod qemu;
mod rtl;
mod synth;
mod yosys;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Tasks of Weir's repository.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 110)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Write what hw/contract/spec defines (Rust, SystemVerilog, reference pages, vectors).
    Gen {
        /// Write nothing; fail if a committed file differs from the specification.
        #[arg(long)]
        check: bool,
    },
    /// Measure speed and memory of Weir, and of a peer beside it, in alternating runs.
    #[command(after_help = bench::EXAMPLES)]
    Bench(Box<bench::BenchArguments>),
    /// Apply each mutation of hw/tb/mutations.toml to a copy of the RTL; its block's test must notice it.
    RtlMutants(mutants::MutantArguments),
    /// The long set: model and RTL on real frames with ET Open tables, in shards of different shapes.
    #[command(after_help = lockstep::EXAMPLES)]
    RtlLockstep(lockstep::LockstepArguments),
    /// Put the RTL together with Yosys for UltraScale+ and report what it costs.
    #[command(after_help = synth::EXAMPLES)]
    Synth(synth::SynthArguments),
    /// Read every module of the RTL with two front ends that must have nothing to say.
    #[command(after_help = lint::EXAMPLES)]
    Lint(lint::LintArguments),
    /// Place and route blocks of the RTL for an ECP5 with Yosys and nextpnr, and report the clock they reach.
    #[command(after_help = place::EXAMPLES)]
    Place(place::PlaceArguments),
    /// Run a directory of cases in suricata-verify's format through `weir suricata`: pass, fail and skip with reasons.
    #[command(disable_help_flag = true, after_help = compare::CONFORMANCE_EXAMPLES)]
    Conformance(compare::Forwarded),
    /// Compare Weir's alerts with those of a real Suricata, as (flow, signature, count).
    #[command(disable_help_flag = true, after_help = compare::DIFFERENTIAL_EXAMPLES)]
    Differential(compare::Forwarded),
    /// Prove what the benches of hw/formal assert of the RTL.
    #[command(after_help = formal::EXAMPLES)]
    Formal(formal::FormalArguments),
    /// Boot a virtual machine with the simulated NIC behind an IOMMU, and run Weir there against the kernel's VFIO.
    #[command(after_help = qemu::EXAMPLES)]
    Qemu(qemu::QemuArguments),
}

fn main() -> ExitCode {
    let result = match Arguments::parse().task {
        Task::Gen { check } => generate(check).map(|()| true),
        Task::Bench(arguments) => root().and_then(|root| bench::run(&root, &arguments)),
        Task::RtlMutants(arguments) => root().and_then(|root| mutants::run(&root, &arguments)),
        Task::RtlLockstep(arguments) => root().and_then(|root| lockstep::run(&root, &arguments)),
        Task::Synth(arguments) => root().and_then(|root| synth::run(&root, &arguments)),
        Task::Lint(arguments) => root().and_then(|root| lint::run(&root, &arguments)),
        Task::Place(arguments) => root().and_then(|root| place::run(&root, &arguments)),
        Task::Conformance(arguments) => return compare::run("verify", &arguments),
        Task::Differential(arguments) => return compare::run("differential", &arguments),
        Task::Formal(arguments) => root().and_then(|root| formal::run(&root, &arguments)),
        Task::Qemu(arguments) => root().and_then(|root| qemu::run(&root, &arguments)),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn root() -> Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().with_context(|| format!("{} is not the workspace", root.display()))
}

/// The shared data (`WEIR_SHARED`, or `../shared` beside the workspace), where there is any.
fn shared(root: &Path) -> Option<PathBuf> {
    let place = std::env::var_os("WEIR_SHARED").map_or_else(|| root.join("../shared"), PathBuf::from);
    place.canonicalize().ok().filter(|path| path.join("data").is_dir())
}

fn generate(check: bool) -> Result<()> {
    let root = root()?;
    if check {
        let drift = weir_contract_gen::drift(&root)?;
        if !drift.is_empty() {
            bail!(
                "generated files differ from hw/contract/spec: {drift:?}; run `cargo xtask gen` and commit the result"
            );
        }
        return Ok(());
    }
    for path in weir_contract_gen::write(&root)? {
        println!("wrote {}", path.display());
    }
    Ok(())
}
