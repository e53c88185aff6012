//! The pre-filter's RTL under Verilator, as a PCI function that takes frames.
//!
//! Place: stands where the model or a card would, behind the same PCI boundary. The frame path, commands, rings and
//! counters are the RTL's (`hw/rtl/top/weir_core.sv`). This crate is what is around it: configuration space, the register
//! file, interrupts, the IOVA table, and the loader, which checks an image as the model does and writes the tables of a bank.
//! Stepped by its callers in one thread, until what they asked for is done.

mod core;
mod function;
mod tables;

pub use crate::core::{DESCRIPTORS_MAX, FLOW_ENTRIES, QUEUES};
pub use function::{RtlConfig, RtlDevice};
