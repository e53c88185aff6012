//! Limits of the parsers (reference semantics, section 5).

use weir_contract::protocol::AppProtocol;

/// Which links of mails are told, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Links {
    /// Their schemes: bit n stands for number n of [`Links::SCHEMES`].
    pub schemes: u8,
    /// With their scheme.
    pub with_scheme: bool,
}

impl Links {
    /// Schemes that can be looked for, with what stands before the rest of the link.
    pub const SCHEMES: [(&'static str, &'static [u8]); 4] =
        [("http", b"http://"), ("https", b"https://"), ("ftp", b"ftp://"), ("mailto", b"mailto:")];
}

impl Default for Links {
    /// Those of HTTP, without their scheme.
    fn default() -> Self {
        Links { schemes: 1, with_scheme: false }
    }
}

/// Limits; the defaults are those of the reference semantics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AppLayerConfig {
    /// Bytes of a body that are kept and inspected, per direction of a transaction.
    pub body_limit: usize,
    /// The same of bodies of HTTP, of requests and of responses.
    pub http_body_limits: [usize; 2],
    /// Bytes of a message head.
    pub head_limit: usize,
    /// Bytes that decompression may put out, per body.
    pub inflate_limit: usize,
    /// Nested content encodings undone.
    pub inflate_layers: usize,
    /// Open transactions per flow.
    pub transactions: usize,
    /// Bytes of a TLS handshake message.
    pub tls_message_limit: usize,
    /// Compute digests of files: some rule asks for them.
    pub file_digests: bool,
    /// What belongs together is decided by deliveries where Suricata does so: what comes with the last bytes of an HTTP/1
    /// message and begins no other belongs to its body; a frame that closes a stream of HTTP/2 belongs to the stream that the
    /// same delivery ended. Otherwise it is decided by the bytes alone.
    pub by_delivery: bool,
    /// Links of mails.
    pub links: Links,
    /// Frames that rules or records ask for: bit n stands for the buffer with [`weir_ir::Buffer::frame_number`] n.
    pub frames: u128,
    /// Protocols that are not to be known: bit n stands for the protocol of number n.
    pub disabled: u64,
}

impl AppLayerConfig {
    /// The protocol is not to be known.
    pub fn is_disabled(&self, protocol: AppProtocol) -> bool {
        self.disabled >> (protocol as u8 & 63) & 1 != 0
    }
}

impl Default for AppLayerConfig {
    fn default() -> Self {
        AppLayerConfig {
            body_limit: 100 * 1024,
            http_body_limits: [100 * 1024; 2],
            head_limit: 64 * 1024,
            inflate_limit: 100 * 1024,
            inflate_layers: 4,
            transactions: 256,
            tls_message_limit: 64 * 1024,
            file_digests: false,
            by_delivery: false,
            links: Links::default(),
            frames: 0,
            disabled: 0,
        }
    }
}
