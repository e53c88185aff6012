//! TLS and SSL up to the end of the handshake: hellos, certificates, fingerprints, and the moment encryption begins.

mod certificate;
mod hello;
mod log;
mod state;

pub(crate) use certificate::certificate_fault;
pub use certificate::{Certificate, parse_certificate};
pub(crate) use hello::{Reader, ja4_over};
pub use hello::{Hello, ja3, ja3s, ja4, md5_hex, parse_hello, parse_ssl2_hello};
pub use state::TlsState;
