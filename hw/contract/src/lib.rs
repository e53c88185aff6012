//! The device contract: what host, compiler, model and RTL agree on.
//!
//! `no_std`, no unsafe, no dependencies. Generated parts come from `spec/*.toml`; the hand-written parts are the pure
//! functions that all implementations share.
#![no_std]
#![forbid(unsafe_code)]

pub mod crc;
pub mod facts;
pub mod flow_key;
pub mod fold;
#[rustfmt::skip]
pub mod generated;
pub mod hash;
pub mod hidden;
pub mod protocol;
pub mod record;
pub mod sequence;
pub mod tail;
pub mod troubles;

pub use generated::{constants, counters, enums, guards, layouts, registers};
