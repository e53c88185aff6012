//! Profiles: what some traffic looks like to a device, as far as plans ask.
//!
//! A profile holds no payload. It holds
//!
//! - a sample of frames, each with the facts that records ask (transport, class, direction, ports, lengths, flags), the guards
//!   that fired, and addresses cut to networks (/24, /48);
//! - per kind of traffic, the share of frames with each pair of bytes, and with each of the most frequent runs of three and four
//!   bytes, hashed ([`crate::plan::cost`] says how they are asked);
//! - per kind, the frames that held windows of rules which the planner could look for, by hash ([`learn`]);
//! - what of that traffic reached the host behind the tables that it was learned with.
//!
//! The built-in statistics are such a profile, of the benign and background captures of the project
//! (`WEIR_PROFILE=FILE cargo test -p weir-rules built_in` takes one in their place).
//!
//! Place: [`learn`] makes one from what the device says of each frame, [`file`](self) reads and writes them, [`estimate`] asks
//! them what tables would cost. It steers choices and predictions, never soundness: a wrong profile makes dear tables,
//! not wrong ones.

pub mod estimate;
mod file;
pub mod learn;
mod sample;

pub use file::{ProfileError, is_profile};
pub use sample::SampledFrame;

use crate::plan::Fragment;
use crate::plan::cost::{chain, share};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use weir_contract::constants::GUARDS_MAX;

/// Kinds of traffic that windows are counted by: those of [`crate::plan::cost::Traffic`] but `Any`.
pub const KINDS: usize = 6;
/// Slots of a table of runs: as many as there are pairs of bytes.
pub const SLOTS: usize = 1 << 16;
/// Lengths of runs that are counted.
pub const RUNS: [usize; 3] = [2, 3, 4];
/// Frames of a sample.
pub const SAMPLE_MAX: usize = 1 << 14;

/// Frames and bytes, parts of all, 0 to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Frames.
    pub frames: f64,
    /// Bytes.
    pub bytes: f64,
}

/// What reached the host while a profile was learned, and what was expected of the same tables.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// A record held.
    pub flagged: Part,
    /// Flagged, of flows diverted before, or handed over.
    pub diverted: Part,
    /// Diverted, or read from history.
    pub host: Part,
    /// Flagged, as expected of these tables from the sample.
    pub expected: Part,
}

/// What a profile says of itself.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// What it was learned from, for people.
    pub source: String,
    /// When, seconds of Unix time; 0: not told.
    pub created: u64,
    /// Captures.
    pub captures: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
    /// Frames with payload that fragments are looked for in, by kind.
    pub kinds: [u64; KINDS],
    /// What was measured meanwhile.
    pub measured: Measured,
}

/// A profile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// What it says of itself.
    pub head: Head,
    /// Frames.
    pub sample: Vec<SampledFrame>,
    /// Per kind, runs of each length: -8·log2 of their share; empty: not learned.
    grams: Vec<u8>,
    /// By hash of a window: frames of each kind that held it.
    windows: HashMap<u32, [u32; KINDS]>,
    /// Digest of the file it came from or would be; empty if there is none.
    pub digest: String,
}

/// Frames by which the built-in statistics count beside what was learned: a kind of which a profile has seen little keeps them. In
/// the built-in statistics themselves, what runs say counts as much beside a window's own count.
const PRIOR: f64 = 256.0;

impl Profile {
    /// The built-in statistics.
    pub fn built_in() -> &'static Arc<Profile> {
        static BUILT_IN: LazyLock<Arc<Profile>> =
            LazyLock::new(|| Arc::new(Profile::decode(include_bytes!("builtin.profile")).unwrap_or_default()));
        &BUILT_IN
    }

    /// Expected share of the kind's frames that hold a window, where others expect `prior` (none: its runs do); none: nothing was
    /// learned of the kind.
    pub fn rate(&self, kind: usize, window: &Fragment, prior: Option<f64>) -> Option<f64> {
        let frames = self.frames_of(kind)?;
        let folded = window.folded();
        let by_runs = chain(&self.grams, kind, folded.get(..window.length()).unwrap_or(&folded));
        let measured = match self.windows.get(&key(window.window(), window.length())) {
            Some(counts) => f64::from(*counts.get(kind)?) / frames,
            None => by_runs,
        };
        Some(blend(measured, frames, prior.unwrap_or(by_runs)))
    }

    /// The same of a run of two or three folded bytes.
    pub fn rate_of_run(&self, kind: usize, run: &[u8], prior: Option<f64>) -> Option<f64> {
        let frames = self.frames_of(kind)?;
        let measured = (-share(&self.grams, kind, run) / 8.0).exp2();
        Some(blend(measured, frames, prior.unwrap_or(measured)))
    }

    fn frames_of(&self, kind: usize) -> Option<f64> {
        let frames = *self.head.kinds.get(kind)?;
        (frames > 0 && !self.grams.is_empty()).then_some(frames as f64)
    }

    /// Shares of each kind's frames that raise a guard, by number. Of a kind of which the sample holds few frames, the built-in
    /// sample tells.
    pub fn guard_rates(&self) -> [[f64; GUARDS_MAX]; KINDS] {
        const FEW: f64 = 64.0;
        let (counts, frames) = self.guard_counts();
        let (built_in, of_built_in) = Profile::built_in().guard_counts();
        std::array::from_fn(|kind| {
            std::array::from_fn(|guard| {
                let prior = built_in[kind][guard] / of_built_in[kind].max(1.0);
                (counts[kind][guard] + FEW * prior) / (frames[kind] + FEW)
            })
        })
    }

    /// Frames of the sample that raise each guard, and all, by kind.
    fn guard_counts(&self) -> ([[f64; GUARDS_MAX]; KINDS], [f64; KINDS]) {
        let mut counts = [[0.0; GUARDS_MAX]; KINDS];
        let mut frames = [0.0; KINDS];
        for frame in &self.sample {
            let kind = usize::from(frame.kind);
            let (Some(own), Some(all)) = (counts.get_mut(kind), frames.get_mut(kind)) else { continue };
            *all += 1.0;
            own.iter_mut().enumerate().for_each(|(n, count)| *count += f64::from(frame.guards >> n & 1 != 0));
        }
        (counts, frames)
    }

    /// Parts of the frames with payload by kind; equal ones if there are none.
    pub fn parts(&self) -> [f64; KINDS] {
        let all: u64 = self.head.kinds.iter().sum();
        self.head.kinds.map(|n| if all == 0 { 1.0 / KINDS as f64 } else { n as f64 / all as f64 })
    }

    /// Without windows that were feared and not found: what comes with Weir should be small.
    #[must_use]
    pub fn compact(mut self) -> Self {
        self.windows.retain(|_, counts| counts.iter().any(|n| *n > 0));
        self
    }

    /// Rates were learned, not only a sample taken.
    pub fn has_rates(&self) -> bool {
        !self.grams.is_empty()
    }
}

fn blend(measured: f64, frames: f64, prior: f64) -> f64 {
    (measured * frames + prior * PRIOR) / (frames + PRIOR)
}

/// Name of a window in a profile.
fn key(window: u64, length: usize) -> u32 {
    let mixed = (window ^ (length as u64) << 61).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 32) as u32
}

#[cfg(test)]
mod tests;
