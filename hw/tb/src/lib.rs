//! RTL under Verilator, driven from Rust.
//!
//! Place: tests of `hw/rtl` against the functions of `weir-contract` and the stages of the model. Whole batches cross the
//! language border in one call. A model that was not built (no Verilator, or not asked for) is none; tests skip loudly.

pub mod bits;
mod loader;
mod spike;
mod verilated;

pub use loader::{Loader, LoaderInput, LoaderOutput, TableWrite};
pub use spike::{Beat, Result as BeatResult, available, flow_spike, layout};
pub use verilated::{Harness, Model, Run};

/// Stalls of the interfaces, in thousandths of cycles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stalls {
    /// Input beats.
    pub input: u32,
    /// Match results.
    pub matching: u32,
    /// Output.
    pub output: u32,
}

/// No stalls, and mixes of them.
pub const STALLS: [Stalls; 4] = [
    Stalls { input: 0, matching: 0, output: 0 },
    Stalls { input: 300, matching: 0, output: 0 },
    Stalls { input: 0, matching: 0, output: 500 },
    Stalls { input: 200, matching: 0, output: 300 },
];
