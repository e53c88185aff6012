//! HTTP/1 (RFC 9112), as tolerant as libhtp: whatever a server or client might accept is parsed, nothing is rejected
//! into invisibility.

mod body;
mod message;
mod multipart;
mod state;
mod uri;

pub use state::Http1State;
pub use uri::normalise;
