//! Generator of everything derived from `hw/contract/spec/*.toml`: the Rust modules of `weir-contract`, the
//! SystemVerilog package and CSR block, the reference pages, and the layout vectors both languages are tested with.
//!
//! Place: build-time tool behind `cargo xtask gen`; the outputs are committed, and `--check` (also run as a test of
//! `weir-contract`) fails when they differ from what the specification says. Invariants: output depends on the
//! specification alone; names, numbers and offsets are unique and every structure adds up to its stated size.
#![forbid(unsafe_code)]

mod docs;
mod rust;
mod spec;
mod sv;
mod vectors;

use std::fs;
use std::path::{Path, PathBuf};

pub use spec::{Spec, SpecError};

/// A generated file.
#[derive(Debug, Clone)]
pub struct Output {
    /// Path from the workspace root.
    pub path: PathBuf,
    /// Content.
    pub text: String,
}

/// Everything derived from the specification under `root` (the workspace).
pub fn outputs(root: &Path) -> Result<Vec<Output>, SpecError> {
    let spec = Spec::load(&root.join("hw/contract/spec"))?;
    let mut all = rust::generate(&spec);
    all.extend(sv::generate(&spec));
    all.extend(docs::generate(&spec));
    all.extend(vectors::generate(&spec));
    Ok(all)
}

/// Write every output; returns the paths that changed.
pub fn write(root: &Path) -> Result<Vec<PathBuf>, SpecError> {
    let mut changed = Vec::new();
    for output in outputs(root)? {
        let path = root.join(&output.path);
        if fs::read_to_string(&path).is_ok_and(|old| old == output.text) {
            continue;
        }
        let io = |source| SpecError::Io { path: path.clone(), source };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(io)?;
        }
        fs::write(&path, &output.text).map_err(|source| SpecError::Io { path: path.clone(), source })?;
        changed.push(output.path);
    }
    Ok(changed)
}

/// Paths whose committed content differs from the specification.
pub fn drift(root: &Path) -> Result<Vec<PathBuf>, SpecError> {
    Ok(outputs(root)?
        .into_iter()
        .filter(|output| !fs::read_to_string(root.join(&output.path)).is_ok_and(|old| old == output.text))
        .map(|output| output.path)
        .collect())
}
