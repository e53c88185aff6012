//! SMTP (RFC 5321) with its mails.
//!
//! `parser` gives commands and replies their meaning, `state` pairs them, follows DATA, BDAT (RFC 3030), pipelining (RFC
//! 2920) and STARTTLS (RFC 3207), and feeds mails to [`crate::mime`]; `fields` answers detection.

mod events;
mod fields;
mod parser;
mod state;

pub use state::SmtpState;

#[cfg(test)]
mod tests;
