//! DNP3 (IEEE 1815) over TCP: link frames, transport segments, application messages; each message is a transaction.

mod link;
mod message;
mod points;
mod state;

pub use state::Dnp3State;
