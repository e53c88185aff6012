//! Randomised differential test: traffic synthesised from rules, through the full engine and behind the device.
//!
//! [`solve`] (with `template`, `lay`, `regex` and `walk`) finds bytes in which a buffer's matches hold; [`conversation`] (with `http`, `tls`, `dns`,
//! `lines`) puts them into the traffic of a protocol; [`traffic`] makes frames of it, plainly or with what networks and
//! adversaries do ([`encodings`]: what they do to messages); [`run`] fires the rules, compares both engines and makes small what differs; [`evasions`] tries each way to hide by itself; [`report`] tells.
//! Everything follows from the seed.

pub mod conversation;
mod dns;
pub mod encodings;
pub mod evasions;
mod http;
mod lay;
mod lines;
mod regex;
pub mod report;
pub mod run;
pub mod solve;
mod template;
mod tls;
pub mod traffic;
mod walk;
