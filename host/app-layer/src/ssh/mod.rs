//! SSH (RFC 4253) up to the end of its first key exchange: identification, algorithms and their HASSH fingerprints.
//!
//! `parser` takes identification lines and packets apart, `state` follows both directions. Behind NEWKEYS in both
//! directions the flow is encrypted (reference semantics 2.13).

mod parser;
mod state;

pub use state::SshState;
