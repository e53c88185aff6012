//! Conformance cases: a capture, rules, a suricata.yaml, and what must be in the logs.
//!
//! Place: beside the scenarios, for cases in the format of suricata-verify. The cases are run by the command `weir
//! suricata` in a process of its own, exactly as a person would; what is asked of its logs is compared here. Nothing here
//! makes records.

pub mod case;
pub mod check;
pub mod classes;
pub mod equivalence;
pub mod requires;
pub mod run;
pub mod value;

pub use case::Case;
pub use run::{Outcome, Runner};
