//! RTL under Verilator, driven from Rust.
//!
//! Place: tests of `hw/rtl` against the functions of `weir-contract`. Whole batches cross the language border in one
//! call. Without Verilator at build time [`available`] is false and every run says so; tests skip loudly.

mod verilated;

pub use verilated::{Beat, Result as BeatResult, available, flow_spike, layout};

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
