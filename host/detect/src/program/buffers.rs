//! What detection knows of each buffer: where its bytes come from, in which directions and protocols it exists.

use weir_contract::protocol::AppProtocol;
use weir_ir::{Buffer, BufferDirection};

/// To server.
pub const TO_SERVER: u8 = 1;
/// To client.
pub const TO_CLIENT: u8 = 2;
/// Either direction.
pub const BOTH: u8 = 3;

/// Directions (bits) in which a transaction buffer exists.
pub fn directions(buffer: Buffer) -> u8 {
    match buffer.direction() {
        BufferDirection::ToServer => TO_SERVER,
        BufferDirection::ToClient => TO_CLIENT,
        BufferDirection::Both => BOTH,
    }
}

/// The header of the packet, not of a transaction.
pub fn is_packet_header(buffer: Buffer) -> bool {
    use Buffer::*;
    matches!(
        buffer,
        Ipv4Header | Ipv6Header | TcpHeader | UdpHeader | Icmpv4Header | Icmpv6Header | IpSource | IpDestination
    )
}

/// Flow protocols whose transactions can have the buffer; none means all.
pub fn protocols(buffer: Buffer) -> Option<&'static [AppProtocol]> {
    use AppProtocol as P;
    if buffer == Buffer::DceStubData {
        return Some(&[P::DceRpc, P::Smb]);
    }
    Some(match buffer.protocol()? {
        P::Http | P::Http1 | P::Http2 => &[P::Http, P::Http1, P::Http2, P::Doh2],
        P::Dns => &[P::Dns, P::Mdns, P::Doh2],
        P::Tls => &[P::Tls, P::Quic],
        P::Ftp => &[P::Ftp, P::FtpData],
        P::DceRpc => &[P::DceRpc, P::Smb],
        P::Smtp => &[P::Smtp, P::Imap, P::Pop3],
        other => own(other),
    })
}

/// A list of one.
fn own(protocol: AppProtocol) -> &'static [AppProtocol] {
    use AppProtocol as P;
    macro_rules! one {
        ($($name:ident)*) => { match protocol { $(P::$name => &[P::$name],)* _ => &[] } };
    }
    one!(Ssh Smb Imap Pop3 Krb5 Snmp Sip Rfb Mqtt Quic Nfs Tftp Dhcp Ntp Ike Rdp Telnet Modbus Dnp3 Enip BittorrentDht
        Pgsql Ldap WebSocket Mdns FtpData)
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
