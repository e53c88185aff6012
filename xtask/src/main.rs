//! Repository tasks: `cargo xtask gen [--check]`.
#![forbid(unsafe_code)]

use anyhow::{Context, Result, bail};
use std::path::PathBuf;

const USAGE: &str = "usage: cargo xtask gen [--check]
    gen          write what hw/contract/spec defines (Rust, SystemVerilog, reference pages, vectors)
    gen --check  fail if a committed file differs from the specification";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["gen"] => generate(false),
        ["gen", "--check"] => generate(true),
        _ => bail!("{USAGE}"),
    }
}

fn root() -> Result<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    root.canonicalize().with_context(|| format!("{} is not the workspace", root.display()))
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
