//! The bit-exact model of the pre-filter: a PCI function that takes frames.
//!
//! Place: stands where a card would, behind the same PCI boundary. One function per pipeline stage, in the order of
//! docs/architecture.md; outcomes depend on frames, tables, commands and their order only.
#![deny(unsafe_code)]

pub mod banks;
pub mod config_space;
pub mod counters;
pub mod dma;
pub mod facts;
pub mod faults;
pub mod flow;
pub mod function;
pub mod fuzz;
mod lanes;
pub mod literal;
pub mod msix;
pub mod parse;
pub mod pipeline;
pub mod queue;
pub mod registers;
pub mod served;
pub mod tables;
#[doc(hidden)]
pub mod testing;
pub mod watchdog;

pub use counters::Violation;
pub use function::{SimConfig, Simulator};
pub use pipeline::{Frame, Judging, Led, Offer, TransmitSink, Transmitted, Watcher};
