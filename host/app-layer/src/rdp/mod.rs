//! RDP up to the end of its connection sequence (MS-RDPBCGR sections 1.3.1.1 and 2.2.1): X.224 connection request and confirm
//! behind TPKT (RFC 1006), MCS connect (T.125), or the certificates of the TLS that the two agreed on.
//!
//! Each message is a transaction. What follows the server's MCS answer or certificates is not parsed.

mod client;
mod log;
mod names;
mod state;
#[cfg(test)]
mod tests;
mod tls;
mod tpkt;

pub use state::RdpState;

/// A message that is a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Message {
    /// X.224 connection request.
    Request(tpkt::Request),
    /// X.224 connection confirm.
    Confirm(Option<tpkt::Answer>),
    /// MCS connect-initial.
    Connect(client::Connect),
    /// MCS connect-response.
    Connected,
    /// Serial numbers of the server's certificates, in hexadecimal digits.
    Certificates(Vec<String>),
}
