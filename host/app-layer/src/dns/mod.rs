//! DNS over UDP and TCP (RFC 1035, RFC 7766). Each message is a transaction of its own, as in Suricata 8.

mod log;
mod parser;
mod state;
pub(crate) mod view;

pub use parser::{Message, Record, parse_message};
pub use state::DnsState;
