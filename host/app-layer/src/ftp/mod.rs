//! FTP control connections (RFC 959, RFC 2428, RFC 4217).
//!
//! `parser` gives lines their meaning, `state` pairs commands with replies, follows the ports of data connections and
//! announces them ([`crate::expectation`]), and hands over to TLS; `fields` answers detection.

mod events;
mod fields;
mod parser;
mod state;

pub use state::FtpState;

#[cfg(test)]
mod tests;
