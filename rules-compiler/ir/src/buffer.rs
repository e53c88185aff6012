//! Sticky buffers and transforms.

use std::sync::Arc;

macro_rules! buffers {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, $multi:literal; )*) => {
        /// Every buffer a rule can name. `Payload` is the default (packet payload or stream).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Buffer { $( $(#[$doc])* #[doc = concat!("`", $name, "`")] $variant, )* }

        impl Buffer {
            /// All buffers, in declaration order.
            pub const ALL: &'static [Buffer] = &[ $( Buffer::$variant, )* ];

            /// The dotted keyword.
            pub fn name(self) -> &'static str { match self { $( Buffer::$variant => $name, )* } }

            /// One transaction can hold several instances (each is inspected by itself).
            pub fn is_multi(self) -> bool { match self { $( Buffer::$variant => $multi, )* } }

            /// Look up by dotted keyword.
            pub fn from_name(name: &str) -> Option<Buffer> {
                match name { $( $name => Some(Buffer::$variant), )* _ => None }
            }
        }
    };
}

buffers! {
    /// Packet payload, or stream.
    Payload = "payload", false;
    /// Output of `base64_decode`.
    Base64Data = "base64_data", false;
    HttpUri = "http.uri", false;
    HttpUriRaw = "http.uri.raw", false;
    HttpMethod = "http.method", false;
    HttpProtocol = "http.protocol", false;
    HttpRequestLine = "http.request_line", false;
    HttpResponseLine = "http.response_line", false;
    HttpHeader = "http.header", false;
    HttpHeaderRaw = "http.header.raw", false;
    HttpHeaderNames = "http.header_names", false;
    HttpRequestHeader = "http.request_header", true;
    HttpResponseHeader = "http.response_header", true;
    HttpCookie = "http.cookie", false;
    HttpUserAgent = "http.user_agent", false;
    HttpHost = "http.host", false;
    HttpHostRaw = "http.host.raw", false;
    HttpReferer = "http.referer", false;
    HttpAccept = "http.accept", false;
    HttpAcceptEncoding = "http.accept_enc", false;
    HttpAcceptLanguage = "http.accept_lang", false;
    HttpConnection = "http.connection", false;
    HttpContentType = "http.content_type", false;
    HttpContentLength = "http.content_len", false;
    HttpLocation = "http.location", false;
    HttpServer = "http.server", false;
    HttpStart = "http.start", false;
    HttpStatusCode = "http.stat_code", false;
    HttpStatusMessage = "http.stat_msg", false;
    HttpRequestBody = "http.request_body", false;
    HttpResponseBody = "http.response_body", false;
    FileData = "file.data", true;
    FileName = "file.name", true;
    FileMagic = "file.magic", true;
    DnsQuery = "dns.query", true;
    DnsQueryName = "dns.queries.rrname", true;
    DnsAnswerName = "dns.answers.rrname", true;
    DnsAuthoritiesName = "dns.authorities.rrname", true;
    DnsAdditionalsName = "dns.additionals.rrname", true;
    DnsResponseName = "dns.response.rrname", true;
    TlsSni = "tls.sni", false;
    TlsCertSubject = "tls.cert_subject", false;
    TlsCertIssuer = "tls.cert_issuer", false;
    TlsCertSerial = "tls.cert_serial", false;
    TlsCertFingerprint = "tls.cert_fingerprint", false;
    TlsCerts = "tls.certs", true;
    TlsRandom = "tls.random", false;
    TlsRandomTime = "tls.random_time", false;
    TlsRandomBytes = "tls.random_bytes", false;
    TlsSubjectAltName = "tls.subjectaltname", true;
    TlsAlpn = "tls.alpn", true;
    Ja3Hash = "ja3.hash", false;
    Ja3String = "ja3.string", false;
    Ja3sHash = "ja3s.hash", false;
    Ja3sString = "ja3s.string", false;
    Ja4Hash = "ja4.hash", false;
    SshProto = "ssh.proto", false;
    SshSoftware = "ssh.software", false;
    SshHassh = "ssh.hassh", false;
    SshHasshString = "ssh.hassh.string", false;
    SshHasshServer = "ssh.hassh.server", false;
    SshHasshServerString = "ssh.hassh.server.string", false;
    SmtpHelo = "smtp.helo", false;
    SmtpMailFrom = "smtp.mail_from", false;
    SmtpRcptTo = "smtp.rcpt_to", true;
    FtpCommand = "ftp.command", false;
    FtpCommandData = "ftp.command_data", false;
    SmbNamedPipe = "smb.named_pipe", false;
    SmbShare = "smb.share", false;
    SmbNtlmsspUser = "smb.ntlmssp_user", false;
    SmbNtlmsspDomain = "smb.ntlmssp_domain", false;
    DceStubData = "dcerpc.stub_data", false;
    Ipv4Header = "ipv4.hdr", false;
    Ipv6Header = "ipv6.hdr", false;
    TcpHeader = "tcp.hdr", false;
    UdpHeader = "udp.hdr", false;
    Icmpv4Header = "icmpv4.hdr", false;
    Icmpv6Header = "icmpv6.hdr", false;
}

/// A transform of a buffer's bytes before matching.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Transform {
    /// `dotprefix`: a dot before the bytes.
    DotPrefix,
    /// `strip_whitespace`
    StripWhitespace,
    /// `compress_whitespace`
    CompressWhitespace,
    /// `to_md5` (raw digest)
    ToMd5,
    /// `to_sha1`
    ToSha1,
    /// `to_sha256`
    ToSha256,
    /// `url_decode`
    UrlDecode,
    /// `xor:"hex"`
    Xor(Arc<[u8]>),
    /// `pcrexform`: first capture group.
    PcreExtract(Arc<str>),
    /// `header_lowercase`
    HeaderLowercase,
    /// `strip_pseudo_headers`
    StripPseudoHeaders,
    /// `to_lowercase`
    ToLowercase,
    /// `to_uppercase`
    ToUppercase,
    /// `from_base64`: bytes (0 = all), offset, mode (0 RFC 4648, 1 RFC 2045, 2 strict)
    FromBase64(u32, u32, u8),
    /// `domain`
    Domain,
    /// `tld`
    Tld,
    /// `gunzip`: output limit
    Gunzip(u32),
    /// `zlib_deflate`: output limit
    ZlibInflate(u32),
}
