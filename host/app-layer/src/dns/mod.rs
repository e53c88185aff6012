//! DNS over UDP and TCP (RFC 1035, RFC 7766). Each message is a transaction of its own, as in Suricata 8.

mod log;
mod parser;
mod state;
pub(crate) mod view;

/// Appends the EVE object of a message, over whatever it came; false if the log does not want it.
pub(crate) fn log(
    message: &Message,
    direction: crate::Direction,
    id: u64,
    settings: &crate::LogSettings,
    out: &mut Vec<u8>,
) -> bool {
    log::write((direction, message, id), 0, settings, out)
}

/// How records of other things (alerts, files) show a message: each record by itself.
pub(crate) fn in_alerts() -> crate::LogSettings {
    crate::LogSettings([("formats".to_owned(), "detailed".to_owned())].into())
}

pub use parser::{Message, Record, parse_message};
pub use state::DnsState;
