//! HTTP/1 (RFC 9112), as tolerant as libhtp: whatever a server or client might accept is parsed, nothing is rejected
//! into invisibility.
//!
//! `state` frames the two directions and pairs messages, `request` and `response` give heads their meaning, `message`
//! takes heads apart and joins buffers, `uri` normalises, `body` and `decode` undo content codings, `multipart` finds
//! uploaded files, `buffers` answers detection.

mod bestfit;
mod body;
mod buffers;
mod decode;
mod events;
mod log;
mod loss;
mod message;
mod multipart;
mod request;
mod response;
mod state;
mod text;
mod uri;

pub use state::Http1State;
pub use uri::normalise;

#[cfg(test)]
mod tests;
