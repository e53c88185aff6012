//! Where seeds come from: the target itself, the corpus of this crate, a directory, the shared data.

use crate::Target;
use std::path::{Path, PathBuf};

/// Largest file taken as a seed.
const FILE_MAX: u64 = 1 << 20;

/// Folder of the committed inputs of a target.
pub fn corpus(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Targets that the corpus has folders for.
pub fn folders() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = std::fs::read_dir(root).into_iter().flatten().flatten();
    entries.filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned()).collect()
}

/// Shared test data (`WEIR_SHARED`, or `../shared` beside the workspace), where it is.
pub fn shared_data() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let data = std::env::var_os("WEIR_SHARED").map_or_else(beside, PathBuf::from).join("data");
    data.is_dir().then_some(data)
}

/// Files of a folder and of those below it, by name.
pub fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    found
}

/// Contents of files that are not too large.
pub fn contents(paths: &[PathBuf]) -> Vec<Vec<u8>> {
    let small = |path: &&PathBuf| std::fs::metadata(path).is_ok_and(|m| m.len() <= FILE_MAX);
    paths.iter().filter(small).filter_map(|path| std::fs::read(path).ok()).collect()
}

/// All seeds of a target.
pub fn gather(target: &Target, directory: Option<&Path>, shared: Option<&Path>) -> Vec<Vec<u8>> {
    let mut seeds = (target.seeds)();
    seeds.extend(contents(&files(&corpus(target))));
    if let Some(directory) = directory {
        let own = directory.join(target.name);
        seeds.extend(contents(&files(if own.is_dir() { &own } else { directory })));
    }
    if let Some(shared) = shared {
        seeds.extend((target.shared)(shared));
    }
    for seed in &mut seeds {
        seed.truncate(target.longest);
    }
    if seeds.is_empty() {
        seeds.push(Vec::new());
    }
    seeds
}
