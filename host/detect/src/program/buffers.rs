//! What detection knows of each buffer: where its bytes come from, in which directions and protocols it exists.

use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// To server.
pub const TO_SERVER: u8 = 1;
/// To client.
pub const TO_CLIENT: u8 = 2;
/// Either direction.
pub const BOTH: u8 = 3;

/// Directions (bits) in which a transaction buffer exists.
pub fn directions(buffer: Buffer) -> u8 {
    use Buffer::*;
    match buffer {
        HttpUri | HttpUriRaw | HttpMethod | HttpRequestLine | HttpRequestHeader | HttpUserAgent | HttpHost
        | HttpHostRaw | HttpReferer | HttpAccept | HttpAcceptEncoding | HttpAcceptLanguage | HttpRequestBody
        | DnsQuery | TlsSni | Ja3Hash | Ja3String | Ja4Hash | SshHassh | SshHasshString | SmtpHelo | SmtpMailFrom
        | SmtpRcptTo | FtpCommand | FtpCommandData => TO_SERVER,
        HttpResponseLine | HttpResponseHeader | HttpLocation | HttpServer | HttpStatusCode | HttpStatusMessage
        | HttpResponseBody | Ja3sHash | Ja3sString | SshHasshServer | SshHasshServerString => TO_CLIENT,
        _ => BOTH,
    }
}

/// The header of the packet, not of a transaction.
pub fn is_packet_header(buffer: Buffer) -> bool {
    use Buffer::*;
    matches!(buffer, Ipv4Header | Ipv6Header | TcpHeader | UdpHeader | Icmpv4Header | Icmpv6Header)
}

/// Flow protocols whose transactions can have the buffer; none means all.
pub fn protocols(buffer: Buffer) -> Option<&'static [AppProtocol]> {
    use AppProtocol as P;
    let name = buffer.name();
    let prefix = name.split('.').next().unwrap_or(name);
    Some(match prefix {
        "http" => &[P::Http, P::Http1, P::Http2, P::Doh2],
        "dns" => &[P::Dns, P::Mdns, P::Doh2],
        "tls" | "ja3" | "ja3s" | "ja4" => &[P::Tls, P::Quic],
        "ssh" => &[P::Ssh],
        "smtp" => &[P::Smtp],
        "ftp" => &[P::Ftp, P::FtpData],
        "smb" => &[P::Smb],
        "dcerpc" => &[P::DceRpc, P::Smb],
        _ => return None,
    })
}

/// A rule for `rule` applies to a flow of `flow`.
pub fn application_holds(rule: AppProtocol, flow: AppProtocol) -> bool {
    use AppProtocol as P;
    rule == flow
        || match rule {
            P::Http => matches!(flow, P::Http1 | P::Http2 | P::Doh2),
            P::Http1 => flow == P::Http,
            P::Http2 => flow == P::Doh2,
            P::Dns => flow == P::Doh2,
            P::DceRpc => flow == P::Smb,
            _ => false,
        }
}
