//! IKE 1 and 2 over UDP (RFC 2408, RFC 2409, RFC 7296): each message is a transaction.

mod log;
mod message;
mod names;
mod proposal;
mod state;

pub use state::IkeState;
