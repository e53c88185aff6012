//! QUIC up to the hellos: versions 1 and 2 and drafts 22 to 34 (RFC 9000, RFC 9001, RFC 9369), whose Initial packets anyone
//! can decrypt, and Google's Q043 to Q046, whose first packets are clear.
//!
//! `header` and `frames` read the wire, `keys` removes the protection of Initial packets, `crypto` puts the handshake's
//! stream together, `google` reads what came before the standard, `state` makes a transaction of each packet.

mod crypto;
mod frames;
mod google;
mod header;
mod keys;
mod state;

pub use state::QuicState;

#[cfg(test)]
mod tests;
