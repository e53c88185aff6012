//! RFB, the protocol of VNC (RFC 6143), up to the end of its handshake; one transaction.

mod state;

pub use state::RfbState;
