//! SMTP (RFC 5321) with its mails.
//!
//! `parser` gives commands and replies their meaning; `client` follows DATA, BDAT (RFC 3030) and pipelining (RFC 2920) and
//! feeds mails to [`crate::mime`], `server` pairs replies with commands, up to STARTTLS (RFC 3207); `state` is what both
//! share, `fields` answers detection.

mod client;
mod events;
mod fields;
mod parser;
mod server;
mod state;

pub use state::SmtpState;

#[cfg(test)]
mod tests;
