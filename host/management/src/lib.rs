//! Configuration: `weir.toml`, `--set KEY=VALUE`, and the pages that describe them.
//!
//! Place: read by the command line before anything else is built; it knows no other room of the host, so that the same
//! file can be checked anywhere. Invariants: every key is written once (name, type, default, limits, meaning), in
//! [`config`]; parser, `config show`, starter and reference page come from there. Every problem of a file is
//! reported, with its place; nothing is applied unless all of it is right.
#![forbid(unsafe_code)]

pub mod config;
pub mod control;
mod error;
mod key;
mod load;
mod network;
mod pages;
mod position;
mod value;

pub use config::{
    AppLayerSection, CaptureSection, Checksums, Config, DefragSection, DeviceSection, EncryptionHandling, ExceptionPolicy, FailMode,
    FlowSection, InlineSection, Inspection, LiveSection, Offloads, OutputSection, OverlapPolicy, PcreSection, RejectTold, RulesSection, StreamSection,
};
pub use error::{ConfigError, Origin, Problem};
pub use key::{Key, keys};
pub use network::NetworkPolicy;
pub use pages::{STARTER, reference_page, show, show_changed};
pub use value::{Seconds, Setting, Size};

/// Entry point for fuzzing: any text is either a configuration or a list of problems with places in the text.
pub fn fuzz_config(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let mut config = Config::default();
    if let Err(error) = config.merge_text("fuzz.toml", &text) {
        assert!(!error.problems.is_empty());
        let _ = error.to_string();
    }
    if let Some((key, value)) = text.split_once('=') {
        let _ = config.set(key, value);
    }
}
