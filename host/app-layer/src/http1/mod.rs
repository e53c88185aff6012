//! HTTP/1 (RFC 9112), as tolerant as libhtp: whatever a server or client might accept is parsed, nothing is rejected
//! into invisibility.
//!
//! `framing` frames the two directions, `state` pairs messages, `pending` bounds how many are open, `request` and
//! `response` give heads their meaning, `message`
//! takes heads apart and joins buffers, `uri` normalises, `body` and `decode` undo content codings, `multipart` finds
//! uploaded files, `buffers` answers detection.

mod bestfit;
mod body;
mod buffers;
mod decode;
mod events;
mod framing;
mod log;
mod loss;
mod message;
mod multipart;
mod pending;
mod request;
mod response;
mod state;
mod text;
mod uri;

pub use state::Http1State;
pub use uri::normalise;
pub(crate) use body::Body;
pub(crate) use multipart::parameter;
pub(crate) use uri::{last_segment, split_port};

#[cfg(test)]
mod tests;
