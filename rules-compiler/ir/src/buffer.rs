//! Sticky buffers and transforms.

use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

/// Which direction's bytes a buffer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BufferDirection {
    /// Requests only.
    ToServer,
    /// Responses only.
    ToClient,
    /// Either; the rule's `flow` decides.
    Both,
}

macro_rules! buffers {
    ($( $(#[$doc:meta])* $variant:ident = $name:literal, $multi:literal, $direction:ident, $protocol:expr; )*) => {
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

            /// Requests, responses, or both.
            pub fn direction(self) -> BufferDirection {
                match self { $( Buffer::$variant => BufferDirection::$direction, )* }
            }

            /// The protocol whose parser fills it; `None` for buffers of packets, streams and of several protocols.
            pub fn protocol(self) -> Option<AppProtocol> { match self { $( Buffer::$variant => $protocol, )* } }

            /// Look up by dotted keyword.
            pub fn from_name(name: &str) -> Option<Buffer> {
                match name { $( $name => Some(Buffer::$variant), )* _ => None }
            }
        }
    };
}

buffers! {
    /// Packet payload, or stream.
    Payload = "payload", false, Both, None;
    /// Output of `base64_decode`.
    Base64Data = "base64_data", false, Both, None;
    HttpUri = "http.uri", false, ToServer, Some(AppProtocol::Http);
    HttpUriRaw = "http.uri.raw", false, ToServer, Some(AppProtocol::Http);
    HttpMethod = "http.method", false, ToServer, Some(AppProtocol::Http);
    HttpProtocol = "http.protocol", false, Both, Some(AppProtocol::Http);
    HttpRequestLine = "http.request_line", false, ToServer, Some(AppProtocol::Http);
    HttpResponseLine = "http.response_line", false, ToClient, Some(AppProtocol::Http);
    HttpHeader = "http.header", false, Both, Some(AppProtocol::Http);
    HttpHeaderRaw = "http.header.raw", false, Both, Some(AppProtocol::Http);
    HttpHeaderNames = "http.header_names", false, Both, Some(AppProtocol::Http);
    HttpRequestHeader = "http.request_header", true, ToServer, Some(AppProtocol::Http);
    HttpResponseHeader = "http.response_header", true, ToClient, Some(AppProtocol::Http);
    HttpCookie = "http.cookie", false, Both, Some(AppProtocol::Http);
    HttpUserAgent = "http.user_agent", false, ToServer, Some(AppProtocol::Http);
    HttpHost = "http.host", false, ToServer, Some(AppProtocol::Http);
    HttpHostRaw = "http.host.raw", false, ToServer, Some(AppProtocol::Http);
    HttpReferer = "http.referer", false, ToServer, Some(AppProtocol::Http);
    HttpAccept = "http.accept", false, ToServer, Some(AppProtocol::Http);
    HttpAcceptEncoding = "http.accept_enc", false, ToServer, Some(AppProtocol::Http);
    HttpAcceptLanguage = "http.accept_lang", false, ToServer, Some(AppProtocol::Http);
    HttpConnection = "http.connection", false, Both, Some(AppProtocol::Http);
    HttpContentType = "http.content_type", false, Both, Some(AppProtocol::Http);
    HttpContentLength = "http.content_len", false, Both, Some(AppProtocol::Http);
    HttpLocation = "http.location", false, ToClient, Some(AppProtocol::Http);
    HttpServer = "http.server", false, ToClient, Some(AppProtocol::Http);
    HttpStart = "http.start", false, Both, Some(AppProtocol::Http);
    HttpStatusCode = "http.stat_code", false, ToClient, Some(AppProtocol::Http);
    HttpStatusMessage = "http.stat_msg", false, ToClient, Some(AppProtocol::Http);
    HttpRequestBody = "http.request_body", false, ToServer, Some(AppProtocol::Http);
    HttpResponseBody = "http.response_body", false, ToClient, Some(AppProtocol::Http);
    FileData = "file.data", true, Both, None;
    FileName = "file.name", true, Both, None;
    FileMagic = "file.magic", true, Both, None;
    /// Digest of a whole file, raw.
    FileMd5 = "filemd5", true, Both, None;
    /// Digest of a whole file, raw.
    FileSha1 = "filesha1", true, Both, None;
    /// Digest of a whole file, raw.
    FileSha256 = "filesha256", true, Both, None;
    DnsQuery = "dns.query", true, ToServer, Some(AppProtocol::Dns);
    DnsQueryName = "dns.queries.rrname", true, Both, Some(AppProtocol::Dns);
    DnsAnswerName = "dns.answers.rrname", true, Both, Some(AppProtocol::Dns);
    DnsAuthoritiesName = "dns.authorities.rrname", true, Both, Some(AppProtocol::Dns);
    DnsAdditionalsName = "dns.additionals.rrname", true, Both, Some(AppProtocol::Dns);
    DnsResponseName = "dns.response.rrname", true, ToClient, Some(AppProtocol::Dns);
    TlsSni = "tls.sni", false, ToServer, Some(AppProtocol::Tls);
    TlsCertSubject = "tls.cert_subject", false, Both, Some(AppProtocol::Tls);
    TlsCertIssuer = "tls.cert_issuer", false, Both, Some(AppProtocol::Tls);
    TlsCertSerial = "tls.cert_serial", false, Both, Some(AppProtocol::Tls);
    TlsCertFingerprint = "tls.cert_fingerprint", false, Both, Some(AppProtocol::Tls);
    TlsCerts = "tls.certs", true, Both, Some(AppProtocol::Tls);
    TlsRandom = "tls.random", false, Both, Some(AppProtocol::Tls);
    TlsRandomTime = "tls.random_time", false, Both, Some(AppProtocol::Tls);
    TlsRandomBytes = "tls.random_bytes", false, Both, Some(AppProtocol::Tls);
    TlsSubjectAltName = "tls.subjectaltname", true, ToClient, Some(AppProtocol::Tls);
    TlsAlpn = "tls.alpn", true, Both, Some(AppProtocol::Tls);
    Ja3Hash = "ja3.hash", false, ToServer, Some(AppProtocol::Tls);
    Ja3String = "ja3.string", false, ToServer, Some(AppProtocol::Tls);
    Ja3sHash = "ja3s.hash", false, ToClient, Some(AppProtocol::Tls);
    Ja3sString = "ja3s.string", false, ToClient, Some(AppProtocol::Tls);
    Ja4Hash = "ja4.hash", false, ToServer, Some(AppProtocol::Tls);
    SshProto = "ssh.proto", false, Both, Some(AppProtocol::Ssh);
    SshSoftware = "ssh.software", false, Both, Some(AppProtocol::Ssh);
    SshHassh = "ssh.hassh", false, ToServer, Some(AppProtocol::Ssh);
    SshHasshString = "ssh.hassh.string", false, ToServer, Some(AppProtocol::Ssh);
    SshHasshServer = "ssh.hassh.server", false, ToClient, Some(AppProtocol::Ssh);
    SshHasshServerString = "ssh.hassh.server.string", false, ToClient, Some(AppProtocol::Ssh);
    SmtpHelo = "smtp.helo", false, ToServer, Some(AppProtocol::Smtp);
    SmtpMailFrom = "smtp.mail_from", false, ToServer, Some(AppProtocol::Smtp);
    SmtpRcptTo = "smtp.rcpt_to", true, ToServer, Some(AppProtocol::Smtp);
    FtpCommand = "ftp.command", false, ToServer, Some(AppProtocol::Ftp);
    FtpCommandData = "ftp.command_data", false, ToServer, Some(AppProtocol::Ftp);
    SmbNamedPipe = "smb.named_pipe", false, ToServer, Some(AppProtocol::Smb);
    SmbShare = "smb.share", false, ToServer, Some(AppProtocol::Smb);
    SmbNtlmsspUser = "smb.ntlmssp_user", false, ToServer, Some(AppProtocol::Smb);
    SmbNtlmsspDomain = "smb.ntlmssp_domain", false, ToServer, Some(AppProtocol::Smb);
    DceStubData = "dcerpc.stub_data", false, Both, None;
    Ipv4Header = "ipv4.hdr", false, Both, None;
    Ipv6Header = "ipv6.hdr", false, Both, None;
    TcpHeader = "tcp.hdr", false, Both, None;
    UdpHeader = "udp.hdr", false, Both, None;
    Icmpv4Header = "icmpv4.hdr", false, Both, None;
    Icmpv6Header = "icmpv6.hdr", false, Both, None;
    IpSource = "ip.src", false, Both, None;
    IpDestination = "ip.dst", false, Both, None;
    FtpReply = "ftp.reply", true, ToClient, Some(AppProtocol::Ftp);
    FtpCompletionCode = "ftp.completion_code", true, ToClient, Some(AppProtocol::Ftp);
    Http2HeaderName = "http2.header_name", true, Both, Some(AppProtocol::Http2);
    MdnsQueryName = "mdns.queries.rrname", true, Both, Some(AppProtocol::Mdns);
    MdnsAnswerName = "mdns.answers.rrname", true, Both, Some(AppProtocol::Mdns);
    MdnsAuthoritiesName = "mdns.authorities.rrname", true, Both, Some(AppProtocol::Mdns);
    MdnsAdditionalsName = "mdns.additionals.rrname", true, Both, Some(AppProtocol::Mdns);
    MdnsResponseName = "mdns.response.rrname", true, ToServer, Some(AppProtocol::Mdns);
    QuicSni = "quic.sni", false, ToServer, Some(AppProtocol::Quic);
    QuicUserAgent = "quic.ua", false, ToServer, Some(AppProtocol::Quic);
    QuicVersion = "quic.version", false, Both, Some(AppProtocol::Quic);
    QuicCyuHash = "quic.cyu.hash", true, ToServer, Some(AppProtocol::Quic);
    QuicCyuString = "quic.cyu.string", true, ToServer, Some(AppProtocol::Quic);
    KerberosClientName = "krb5.cname", true, ToClient, Some(AppProtocol::Krb5);
    KerberosServerName = "krb5.sname", true, ToClient, Some(AppProtocol::Krb5);
    SipMethod = "sip.method", false, ToServer, Some(AppProtocol::Sip);
    SipUri = "sip.uri", false, ToServer, Some(AppProtocol::Sip);
    SipRequestLine = "sip.request_line", false, ToServer, Some(AppProtocol::Sip);
    SipStatusCode = "sip.stat_code", false, ToClient, Some(AppProtocol::Sip);
    SipStatusMessage = "sip.stat_msg", false, ToClient, Some(AppProtocol::Sip);
    SipResponseLine = "sip.response_line", false, ToClient, Some(AppProtocol::Sip);
    SipProtocol = "sip.protocol", false, Both, Some(AppProtocol::Sip);
    SipFrom = "sip.from", true, Both, Some(AppProtocol::Sip);
    SipTo = "sip.to", true, Both, Some(AppProtocol::Sip);
    SipVia = "sip.via", true, Both, Some(AppProtocol::Sip);
    SipUserAgent = "sip.user_agent", true, Both, Some(AppProtocol::Sip);
    SipContentType = "sip.content_type", true, Both, Some(AppProtocol::Sip);
    SipContentLength = "sip.content_length", true, Both, Some(AppProtocol::Sip);
    SdpOrigin = "sdp.origin", false, Both, Some(AppProtocol::Sip);
    SdpSessionName = "sdp.session_name", false, Both, Some(AppProtocol::Sip);
    SdpSessionInfo = "sdp.session_info", false, Both, Some(AppProtocol::Sip);
    SdpUri = "sdp.uri", false, Both, Some(AppProtocol::Sip);
    SdpEmail = "sdp.email", false, Both, Some(AppProtocol::Sip);
    SdpPhoneNumber = "sdp.phone_number", false, Both, Some(AppProtocol::Sip);
    SdpConnectionData = "sdp.connection_data", false, Both, Some(AppProtocol::Sip);
    SdpBandwidth = "sdp.bandwidth", true, Both, Some(AppProtocol::Sip);
    SdpTime = "sdp.time", true, Both, Some(AppProtocol::Sip);
    SdpRepeatTime = "sdp.repeat_time", true, Both, Some(AppProtocol::Sip);
    SdpTimezone = "sdp.timezone", false, Both, Some(AppProtocol::Sip);
    SdpEncryptionKey = "sdp.encryption_key", false, Both, Some(AppProtocol::Sip);
    SdpAttribute = "sdp.attribute", true, Both, Some(AppProtocol::Sip);
    SdpMedia = "sdp.media.media", true, Both, Some(AppProtocol::Sip);
    SdpMediaInfo = "sdp.media.media_info", true, Both, Some(AppProtocol::Sip);
    SdpMediaConnectionData = "sdp.media.connection_data", true, Both, Some(AppProtocol::Sip);
    SdpMediaEncryptionKey = "sdp.media.encryption_key", true, Both, Some(AppProtocol::Sip);
    RfbName = "rfb.name", false, ToClient, Some(AppProtocol::Rfb);
    MqttClientId = "mqtt.connect.clientid", false, ToServer, Some(AppProtocol::Mqtt);
    MqttUsername = "mqtt.connect.username", false, ToServer, Some(AppProtocol::Mqtt);
    MqttPassword = "mqtt.connect.password", false, ToServer, Some(AppProtocol::Mqtt);
    MqttWillTopic = "mqtt.connect.willtopic", false, ToServer, Some(AppProtocol::Mqtt);
    MqttWillMessage = "mqtt.connect.willmessage", false, ToServer, Some(AppProtocol::Mqtt);
    MqttProtocolString = "mqtt.connect.protocol_string", false, ToServer, Some(AppProtocol::Mqtt);
    MqttPublishTopic = "mqtt.publish.topic", false, Both, Some(AppProtocol::Mqtt);
    MqttPublishMessage = "mqtt.publish.message", false, Both, Some(AppProtocol::Mqtt);
    MqttSubscribeTopic = "mqtt.subscribe.topic", true, ToServer, Some(AppProtocol::Mqtt);
    MqttUnsubscribeTopic = "mqtt.unsubscribe.topic", true, ToServer, Some(AppProtocol::Mqtt);
    SnmpCommunity = "snmp.community", false, Both, Some(AppProtocol::Snmp);
    SnmpUser = "snmp.usm", false, Both, Some(AppProtocol::Snmp);
    IkeInitiatorSpi = "ike.init_spi", false, ToServer, Some(AppProtocol::Ike);
    IkeResponderSpi = "ike.resp_spi", false, ToClient, Some(AppProtocol::Ike);
    IkeKeyExchangePayload = "ike.key_exchange_payload", false, Both, Some(AppProtocol::Ike);
    IkeNoncePayload = "ike.nonce_payload", false, Both, Some(AppProtocol::Ike);
    IkeVendor = "ike.vendor", true, ToServer, Some(AppProtocol::Ike);
    EnipProductName = "enip.product_name", false, ToClient, Some(AppProtocol::Enip);
    EnipServiceName = "enip.service_name", false, ToClient, Some(AppProtocol::Enip);
    LdapRequestDn = "ldap.request.dn", false, ToServer, Some(AppProtocol::Ldap);
    LdapResponsesDn = "ldap.responses.dn", true, ToClient, Some(AppProtocol::Ldap);
    LdapResponsesMessage = "ldap.responses.message", true, ToClient, Some(AppProtocol::Ldap);
    LdapRequestAttributeType = "ldap.request.attribute_type", true, ToServer, Some(AppProtocol::Ldap);
    LdapResponsesAttributeType = "ldap.responses.attribute_type", true, ToClient, Some(AppProtocol::Ldap);
    EmailFrom = "email.from", false, ToServer, Some(AppProtocol::Smtp);
    EmailSubject = "email.subject", false, ToServer, Some(AppProtocol::Smtp);
    EmailTo = "email.to", false, ToServer, Some(AppProtocol::Smtp);
    EmailCc = "email.cc", false, ToServer, Some(AppProtocol::Smtp);
    EmailDate = "email.date", false, ToServer, Some(AppProtocol::Smtp);
    EmailMessageId = "email.message_id", false, ToServer, Some(AppProtocol::Smtp);
    EmailMailer = "email.x_mailer", false, ToServer, Some(AppProtocol::Smtp);
    EmailUrl = "email.url", true, ToServer, Some(AppProtocol::Smtp);
    EmailReceived = "email.received", true, ToServer, Some(AppProtocol::Smtp);
    EmailBodyMd5 = "email.body_md5", false, ToServer, Some(AppProtocol::Smtp);
    PgsqlQuery = "pgsql.query", false, ToServer, Some(AppProtocol::Pgsql);
    NtpReferenceId = "ntp.reference_id", false, Both, Some(AppProtocol::Ntp);
    Dnp3Data = "dnp3.data", false, Both, Some(AppProtocol::Dnp3);
    WebSocketPayload = "websocket.payload", false, Both, Some(AppProtocol::WebSocket);
    // Frames: named by the value of `frame`, no keyword of their own. They stand last.
    FrameHttp1Stream = "frame:http1.stream", false, Both, Some(AppProtocol::Http1);
    FrameHttp1Request = "frame:http1.request", false, Both, Some(AppProtocol::Http1);
    FrameHttp1Response = "frame:http1.response", false, Both, Some(AppProtocol::Http1);
    FrameSmtpStream = "frame:smtp.stream", false, Both, Some(AppProtocol::Smtp);
    FrameSmtpCommandLine = "frame:smtp.command_line", false, Both, Some(AppProtocol::Smtp);
    FrameSmtpData = "frame:smtp.data", false, Both, Some(AppProtocol::Smtp);
    FrameSmtpResponseLine = "frame:smtp.response_line", false, Both, Some(AppProtocol::Smtp);
    FrameTlsStream = "frame:tls.stream", false, Both, Some(AppProtocol::Tls);
    FrameTlsPdu = "frame:tls.pdu", false, Both, Some(AppProtocol::Tls);
    FrameTlsHdr = "frame:tls.hdr", false, Both, Some(AppProtocol::Tls);
    FrameTlsData = "frame:tls.data", false, Both, Some(AppProtocol::Tls);
    FrameTlsAlert = "frame:tls.alert", false, Both, Some(AppProtocol::Tls);
    FrameTlsHeartbeat = "frame:tls.heartbeat", false, Both, Some(AppProtocol::Tls);
    FrameSshStream = "frame:ssh.stream", false, Both, Some(AppProtocol::Ssh);
    FrameSshRecordHdr = "frame:ssh.record.hdr", false, Both, Some(AppProtocol::Ssh);
    FrameSshRecordData = "frame:ssh.record.data", false, Both, Some(AppProtocol::Ssh);
    FrameSshRecordPdu = "frame:ssh.record.pdu", false, Both, Some(AppProtocol::Ssh);
    FrameSmbStream = "frame:smb.stream", false, Both, Some(AppProtocol::Smb);
    FrameSmbNbssPdu = "frame:smb.nbss.pdu", false, Both, Some(AppProtocol::Smb);
    FrameSmbNbssHdr = "frame:smb.nbss.hdr", false, Both, Some(AppProtocol::Smb);
    FrameSmbNbssData = "frame:smb.nbss.data", false, Both, Some(AppProtocol::Smb);
    FrameSmb1Pdu = "frame:smb.smb1.pdu", false, Both, Some(AppProtocol::Smb);
    FrameSmb1Hdr = "frame:smb.smb1.hdr", false, Both, Some(AppProtocol::Smb);
    FrameSmb1Data = "frame:smb.smb1.data", false, Both, Some(AppProtocol::Smb);
    FrameSmb2Pdu = "frame:smb.smb2.pdu", false, Both, Some(AppProtocol::Smb);
    FrameSmb2Hdr = "frame:smb.smb2.hdr", false, Both, Some(AppProtocol::Smb);
    FrameSmb2Data = "frame:smb.smb2.data", false, Both, Some(AppProtocol::Smb);
    FrameSmb3Pdu = "frame:smb.smb3.pdu", false, Both, Some(AppProtocol::Smb);
    FrameSmb3Hdr = "frame:smb.smb3.hdr", false, Both, Some(AppProtocol::Smb);
    FrameSmb3Data = "frame:smb.smb3.data", false, Both, Some(AppProtocol::Smb);
    FrameDcerpcStream = "frame:dcerpc.stream", false, Both, Some(AppProtocol::DceRpc);
    FrameDcerpcPdu = "frame:dcerpc.pdu", false, Both, Some(AppProtocol::DceRpc);
    FrameDcerpcHdr = "frame:dcerpc.hdr", false, Both, Some(AppProtocol::DceRpc);
    FrameDcerpcData = "frame:dcerpc.data", false, Both, Some(AppProtocol::DceRpc);
    FrameDnsStream = "frame:dns.stream", false, Both, Some(AppProtocol::Dns);
    FrameDnsPdu = "frame:dns.pdu", false, Both, Some(AppProtocol::Dns);
    FrameMdnsPdu = "frame:mdns.pdu", false, Both, Some(AppProtocol::Mdns);
    FrameEnipStream = "frame:enip.stream", false, Both, Some(AppProtocol::Enip);
    FrameEnipHdr = "frame:enip.hdr", false, Both, Some(AppProtocol::Enip);
    FrameEnipData = "frame:enip.data", false, Both, Some(AppProtocol::Enip);
    FrameEnipPdu = "frame:enip.pdu", false, Both, Some(AppProtocol::Enip);
    FrameEnipCip = "frame:enip.cip", false, Both, Some(AppProtocol::Enip);
    FrameEnipItem = "frame:enip.enip.item", false, Both, Some(AppProtocol::Enip);
    FrameSipStream = "frame:sip.stream", false, Both, Some(AppProtocol::Sip);
    FrameSipPdu = "frame:sip.pdu", false, Both, Some(AppProtocol::Sip);
    FrameSipRequestLine = "frame:sip.request.line", false, Both, Some(AppProtocol::Sip);
    FrameSipResponseLine = "frame:sip.response.line", false, Both, Some(AppProtocol::Sip);
    FrameSipRequestHeaders = "frame:sip.request.headers", false, Both, Some(AppProtocol::Sip);
    FrameSipResponseHeaders = "frame:sip.response.headers", false, Both, Some(AppProtocol::Sip);
    FrameSipRequestBody = "frame:sip.request.body", false, Both, Some(AppProtocol::Sip);
    FrameSipResponseBody = "frame:sip.response.body", false, Both, Some(AppProtocol::Sip);
    FrameRfbStream = "frame:rfb.stream", false, Both, Some(AppProtocol::Rfb);
    FrameRfbPdu = "frame:rfb.pdu", false, Both, Some(AppProtocol::Rfb);
    FrameMqttStream = "frame:mqtt.stream", false, Both, Some(AppProtocol::Mqtt);
    FrameMqttPdu = "frame:mqtt.pdu", false, Both, Some(AppProtocol::Mqtt);
    FrameMqttHeader = "frame:mqtt.header", false, Both, Some(AppProtocol::Mqtt);
    FrameMqttData = "frame:mqtt.data", false, Both, Some(AppProtocol::Mqtt);
    FrameWebSocketStream = "frame:websocket.stream", false, Both, Some(AppProtocol::WebSocket);
    FrameWebSocketHeader = "frame:websocket.header", false, Both, Some(AppProtocol::WebSocket);
    FrameWebSocketPdu = "frame:websocket.pdu", false, Both, Some(AppProtocol::WebSocket);
    FrameWebSocketData = "frame:websocket.data", false, Both, Some(AppProtocol::WebSocket);
    FrameLdapStream = "frame:ldap.stream", false, Both, Some(AppProtocol::Ldap);
    FrameLdapPdu = "frame:ldap.pdu", false, Both, Some(AppProtocol::Ldap);
    FrameTelnetStream = "frame:telnet.stream", false, Both, Some(AppProtocol::Telnet);
    FrameTelnetPdu = "frame:telnet.pdu", false, Both, Some(AppProtocol::Telnet);
    FrameTelnetCtl = "frame:telnet.ctl", false, Both, Some(AppProtocol::Telnet);
    FrameTelnetData = "frame:telnet.data", false, Both, Some(AppProtocol::Telnet);
    FrameHttp2Stream = "frame:http2.stream", false, Both, Some(AppProtocol::Http2);
    FrameHttp2Hdr = "frame:http2.hdr", false, Both, Some(AppProtocol::Http2);
    FrameHttp2Data = "frame:http2.data", false, Both, Some(AppProtocol::Http2);
    FrameHttp2Pdu = "frame:http2.pdu", false, Both, Some(AppProtocol::Http2);
}

impl Buffer {
    /// Number among the frames, below 128; none of all other buffers.
    pub fn frame_number(self) -> Option<u8> {
        (self as u8).checked_sub(Buffer::FrameHttp1Stream as u8)
    }

    /// Frames, in order.
    pub fn frames() -> impl Iterator<Item = Buffer> {
        Buffer::ALL.iter().copied().filter(|b| b.frame_number().is_some())
    }
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
