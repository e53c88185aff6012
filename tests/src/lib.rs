//! What tests across rooms share: scenarios, and where the data lies that nobody here wrote.
#![forbid(unsafe_code)]

pub mod compare;
pub mod positives;
pub mod scenario;
pub mod verify;

use std::path::PathBuf;

/// Root of the workspace.
pub fn workspace() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Shared test data (`WEIR_SHARED`, or `../shared` beside the workspace); absence is said aloud.
pub fn shared_data(who: &str) -> Option<PathBuf> {
    let root = std::env::var_os("WEIR_SHARED").map_or_else(|| workspace().join("../shared"), PathBuf::from);
    let data = root.join("data");
    if data.is_dir() {
        return Some(data);
    }
    eprintln!("SKIPPED: {who}: no test data at {} (set WEIR_SHARED)", data.display());
    None
}
