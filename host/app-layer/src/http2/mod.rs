//! HTTP/2 (RFC 9113) with HPACK (RFC 7541), by prior knowledge and changed from HTTP/1; DNS over it (RFC 8484).
//!
//! `frame`, `hpack`, `huffman` read the wire, `block` puts header lists together, `fields` makes buffers of them, `stream`
//! is a transaction, `state` the connection, `buffers` and `log` answer detection and logs.

mod block;
mod buffers;
mod doh;
mod events;
mod fields;
mod frame;
mod hpack;
mod huffman;
mod log;
mod state;
mod stream;

pub use state::Http2State;

#[cfg(test)]
mod tests;
