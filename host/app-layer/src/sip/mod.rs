//! SIP (RFC 3261) with the session descriptions it carries (SDP, RFC 8866); each message is a transaction.

mod parser;
mod state;

pub use state::SipState;
