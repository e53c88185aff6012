//! State shared between flows: thresholds, bits of hosts and address pairs, data sets.
//!
//! Place: passed as `&mut` into every inspection by the engine, which guarantees frame order (reference semantics,
//! section 4). Invariants: every table is bounded; entries that make room are counted; keyed by names and signature
//! numbers, so that it outlives a reload of the rules.

pub mod bits;
pub mod datasets;
mod saved;
pub mod threshold;

pub use bits::HostBits;
pub use datasets::Datasets;
pub use threshold::{ConfigEntry, Decision, Thresholds};

use crate::program::Program;

/// Everything shared.
#[derive(Debug, Default)]
pub struct SharedState {
    /// `threshold`, `detection_filter`, `rate_filter`.
    pub thresholds: Thresholds,
    /// xbits and hostbits.
    pub bits: HostBits,
    /// `dataset` and `datarep`.
    pub datasets: Datasets,
}

impl SharedState {
    /// Make ready for a program: loads its data sets. The inspectors call it when they meet a program for the first
    /// time; calling it at load moves that work out of the packet path.
    pub fn prepare(&mut self, program: &Program) {
        self.datasets.attach(program.id(), program.datasets());
        self.bits.attach(program.id(), program.bit_names());
    }

    /// Entries that had to make room.
    pub fn evicted(&self) -> u64 {
        self.thresholds.evicted() + self.bits.evicted() + self.datasets.evicted()
    }
}
