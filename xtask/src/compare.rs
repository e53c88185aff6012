//! The comparisons with Suricata, built with the command that they run and started by their names.

use crate::root;
use anyhow::{Context, Result, bail};
use clap::Args;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, ExitCode};

/// What people try first.
pub const CONFORMANCE_EXAMPLES: &str = "\
Examples:
  cargo xtask conformance --suite DIR
  cargo xtask conformance --suite DIR --device sim --json sim.json
  cargo xtask conformance --help    all options";

/// What people try first.
pub const DIFFERENTIAL_EXAMPLES: &str = "\
Examples:
  cargo xtask differential --rules local.rules --pcap a.pcap b.pcap --suricata PATH
  cargo xtask differential          keyword by keyword, on the shared captures
  cargo xtask differential --help   all options";

/// Options of the program that does it.
#[derive(Debug, Args)]
pub struct Forwarded {
    /// Options; `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
    options: Vec<OsString>,
}

/// Builds and runs `program` of the tests.
pub fn run(program: &str, arguments: &Forwarded) -> ExitCode {
    match start(program, arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn start(program: &str, arguments: &Forwarded) -> Result<ExitCode> {
    let root = root()?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(&root)
        .args(["build", "--release", "--quiet", "-p", "weir", "-p", "weir-tests", "--bin", "weir", "--bin", program])
        .status()
        .context("running cargo")?;
    if !built.success() {
        bail!("cargo could not build weir and {program}");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |target| root.join(Path::new(&target)));
    let path = target.join("release").join(program);
    let status = Command::new(&path).args(&arguments.options).status().with_context(|| format!("running {}", path.display()))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(2)))
}
