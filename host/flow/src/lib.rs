//! Flows: keys, the table, time-outs.
//!
//! Place: between decoding and the stream. A table belongs to one worker. Time-outs are evaluated when a key is looked
//! up (reference semantics 2.4), so when memory is reclaimed never changes a result. The table knows nothing of
//! streams, parsers or devices: its user's state rides along as `T`.
#![forbid(unsafe_code)]

mod key;
mod table;

pub use key::{FlowKey, KeySecret};
pub use table::{Flow, FlowId, FlowPhase, FlowTable, Lookup, Timeouts};
