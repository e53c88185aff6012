//! Events of HTTP/2, by Suricata's names.

macro_rules! events {
    ($($name:ident = $text:literal,)*) => {
        /// An event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u16)]
        pub enum Event { $(#[doc = $text] $name,)* }
        /// Names in the order of [`Event`].
        pub const NAMES: &[&str] = &[$($text,)*];
    };
}

events! {
    InvalidFrameHeader = "invalid_frame_header",
    InvalidClientMagic = "invalid_client_magic",
    InvalidFrameData = "invalid_frame_data",
    InvalidHeader = "invalid_header",
    InvalidFrameLength = "invalid_frame_length",
    ExtraHeaderData = "extra_header_data",
    LongFrameData = "long_frame_data",
    StreamIdReuse = "stream_id_reuse",
    InvalidHttp1Settings = "invalid_http1_settings",
    FailedDecompression = "failed_decompression",
    InvalidRange = "invalid_range",
    HeaderIntegerOverflow = "header_integer_overflow",
    TooManyStreams = "too_many_streams",
    AuthorityHostMismatch = "authority_host_mismatch",
    UserinfoInUri = "userinfo_in_uri",
    ReassemblyLimitReached = "reassembly_limit_reached",
    DnsRequestTooLong = "dns_request_too_long",
    DnsResponseTooLong = "dns_response_too_long",
    DataStreamZero = "data_stream_zero",
    TooManyFrames = "too_many_frames",
    CompressionBomb = "compression_bomb",
    ContinuationWithoutHeaders = "continuation_without_headers",
}
