//! Suricata's command line and configuration, for people and scripts that come from there.
//!
//! Place: beside [`crate::commands`]. It translates ([`import`]) and runs what `weir run` runs; it inspects nothing
//! itself. An option that it cannot honour is an error.

mod analysis;
pub mod import;
mod lists;
mod log;
pub mod options;
pub mod outputs;
mod run;
pub mod tree;
pub mod yaml;

pub use options::SuricataArguments;
pub use run::run;
