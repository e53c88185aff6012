//! The bit-exact model of the pre-filter: a PCI function that takes frames.
//!
//! Place: stands where a card would, behind the same PCI boundary. One function per pipeline stage, in the order of
//! docs/architecture.md; outcomes depend on frames, tables, commands and their order only.
#![deny(unsafe_code)]

pub mod facts;
pub mod flow;
pub mod function;
pub mod literal;
pub mod parse;
pub mod pipeline;
pub mod queue;
pub mod tables;

pub use function::{SimConfig, Simulator};
pub use pipeline::{Frame, Offer};
