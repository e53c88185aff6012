//! LDAP (RFC 4511) over TCP and UDP: each request with its responses is a transaction.

mod log;
mod message;
mod state;

pub use state::LdapState;
