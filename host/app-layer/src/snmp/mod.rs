//! SNMP 1, 2c and 3 (RFC 1157, RFC 3416, RFC 3412): version, community or user, kind of PDU.

mod parser;
mod state;

pub use state::SnmpState;
