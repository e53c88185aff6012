//! Kerberos 5 (RFC 4120): requests, replies and errors; each message is a transaction.

mod parser;
pub(crate) use parser::ticket_of;
mod state;

pub use state::KerberosState;
