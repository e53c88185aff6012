//! The pre-filter's RTL under Verilator, as a PCI function that takes frames.
//!
//! Place: stands where the model or a card would, behind the same PCI boundary. The frame path, commands, rings, counters
//! (`hw/rtl/top/weir_core.sv`) and the table loader (`hw/rtl/load/weir_loader.sv`) are the RTL's. This crate is what is around
//! them: configuration space, the register file, interrupts, the IOVA table.
//! Stepped by its callers in one thread, until what they asked for is done.

mod core;
mod function;

pub use crate::core::{DESCRIPTORS_MAX, FLOW_ENTRIES, QUEUES};
pub use function::{RtlConfig, RtlDevice};
