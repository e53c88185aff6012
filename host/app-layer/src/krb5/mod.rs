//! Kerberos 5 (RFC 4120): requests, replies and errors; each message is a transaction.

mod parser;
mod state;

pub use state::KerberosState;
