//! Which files of the RTL belong to a module.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// All of the RTL, in the order of its file list.
pub fn sources(root: &Path) -> Result<Vec<String>> {
    let list = fs::read_to_string(root.join("hw/rtl/files.f")).context("hw/rtl/files.f")?;
    Ok(list.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

/// A file's module or package.
pub fn stem(path: &str) -> String {
    Path::new(path).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Those of the sources that hold a module, and whatever it names, directly or not.
pub fn needed(root: &Path, sources: &[String], module: &str) -> Result<Vec<String>> {
    let mut wanted = BTreeSet::from([module.to_owned()]);
    let mut open = vec![module.to_owned()];
    while let Some(name) = open.pop() {
        let Some(path) = sources.iter().find(|path| stem(path) == name) else { continue };
        let text = fs::read_to_string(root.join(path)).with_context(|| path.clone())?;
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|w| w.starts_with("weir_")) {
            if wanted.insert(word.to_owned()) {
                open.push(word.to_owned());
            }
        }
    }
    let files: Vec<String> = sources.iter().filter(|path| wanted.contains(&stem(path))).cloned().collect();
    ensure!(!files.is_empty(), "no source of {module} in hw/rtl/files.f");
    Ok(files)
}
