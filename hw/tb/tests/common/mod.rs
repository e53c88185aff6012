//! Frames for the tests of the RTL: real ones where the data beside the project is, and made ones.
#![allow(dead_code)]

pub mod made;
pub mod tables;

use std::path::{Path, PathBuf};

/// A frame at the port.
#[derive(Debug, Clone)]
pub struct Frame {
    pub link: u16,
    pub wire_length: u32,
    pub data: Vec<u8>,
    /// Where it came from.
    pub origin: String,
}

/// Seed of this run, said aloud; WEIR_SEED repeats one.
pub fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let seed = std::env::var("WEIR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(now);
    println!("WEIR_SEED={seed}");
    seed
}

/// A number of the environment.
pub fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(default)
}

/// The shared data; its absence is said aloud.
pub fn shared_data(who: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    let data = std::env::var_os("WEIR_SHARED").map_or(beside, PathBuf::from).join("data");
    if data.is_dir() {
        return Some(data);
    }
    eprintln!("SKIPPED: {who}: no test data at {} (set WEIR_SHARED)", data.display());
    None
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            _ => found.push(entry.path()),
        }
    }
}

/// All captures, by name.
pub fn captures(who: &str) -> Vec<PathBuf> {
    let Some(data) = shared_data(who) else { return Vec::new() };
    let mut paths = Vec::new();
    files(&data.join("pcaps"), &mut paths);
    paths.sort();
    paths
}

/// Of every `step`-th capture at most `each` frames, spread over its beginning.
pub fn real_frames(who: &str, step: usize, each: usize, longest: usize) -> Vec<Frame> {
    let mut frames = Vec::new();
    for path in captures(who).into_iter().step_by(step) {
        let Ok(mut reader) = weir_capture::CaptureReader::open(&path) else { continue };
        let mut taken = 0;
        while taken < each {
            let Ok(Some(frame)) = reader.next_frame() else { break };
            if frame.data.len() > longest {
                continue;
            }
            taken += 1;
            frames.push(Frame {
                link: frame.link,
                wire_length: frame.wire_length,
                data: frame.data.to_vec(),
                origin: format!("{}, frame {}", path.display(), frame.number),
            });
        }
    }
    frames
}
