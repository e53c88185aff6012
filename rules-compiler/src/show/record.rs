//! Records of a plan in words: what a frame must be, where its trigger was met, for the record to hold.

use super::condition::tcp_flags;
use super::{addresses, hex, ports};
use crate::image::tables::scope_names;
use crate::plan::Sets;
use weir_contract::constants::SET_ANY;
use weir_contract::enums::{DirectionMask, IpMask, RecordFlags, StateMask, TransportMask};
use weir_contract::layouts::Record;
use weir_contract::protocol::{AppProtocol, CLASS_FAILED, CLASS_UNKNOWN};

/// Protocols that are classes of their own.
pub const PROTOCOLS: [AppProtocol; 35] = {
    use AppProtocol as P;
    [
        P::Http, P::Http1, P::Http2, P::Dns, P::Tls, P::Smtp, P::Ftp, P::FtpData, P::Ssh, P::Smb, P::DceRpc, P::Imap, P::Pop3,
        P::Krb5, P::Snmp, P::Sip, P::Rfb, P::Mqtt, P::Quic, P::Nfs, P::Tftp, P::Dhcp, P::Ntp, P::Ike, P::Rdp, P::Telnet,
        P::Modbus, P::Dnp3, P::Enip, P::BittorrentDht, P::Pgsql, P::Ldap, P::WebSocket, P::Mdns, P::Doh2,
    ]
};

/// Name of a protocol class.
pub fn class_name(class: u8) -> String {
    match class {
        CLASS_UNKNOWN => "undecided".to_owned(),
        CLASS_FAILED => "no known protocol".to_owned(),
        _ => match PROTOCOLS.iter().find(|&&p| p as u8 == class) {
            Some(protocol) => protocol.name().to_owned(),
            None => format!("class {class}"),
        },
    }
}

fn named(bits: u8, all: u8, names: &[(u8, &'static str)]) -> Option<String> {
    if bits & all == all {
        return None;
    }
    let own: Vec<&str> = names.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    Some(own.join(" or ").replace('_', " "))
}

fn range<T: PartialOrd + std::fmt::Display + Copy>(low: T, high: T, least: T, most: T) -> Option<String> {
    match (low > least, high < most) {
        (false, false) => None,
        _ if low >= high => Some(low.to_string()),
        (true, true) => Some(format!("{low} to {high}")),
        (true, false) => Some(format!("{low} or more")),
        (false, true) => Some(format!("at most {high}")),
    }
}

/// Where positions or anchors count from.
fn from(flags: u8, packet: u8, stream: u8) -> &'static str {
    match (flags & packet != 0, flags & stream != 0) {
        (true, true) => "of the packet's payload or the stream",
        (true, false) => "of the packet's payload",
        (false, true) => "of the stream",
        (false, false) => "",
    }
}

/// What a record asks for, a phrase each; empty: every frame.
pub fn record(r: &Record, sets: &Sets) -> Vec<String> {
    let mut out = Vec::new();
    out.extend(named(r.transports, TransportMask::ALL.0, &TransportMask::NAMES));
    let ip = IpMask::V4.0 | IpMask::V6.0;
    if r.versions & ip != ip {
        out.extend(named(r.versions, IpMask::ALL.0, &IpMask::NAMES).map(|names| format!("IP {names}")));
    }
    out.extend(named(r.directions, DirectionMask::ALL.0, &DirectionMask::NAMES));
    if r.class_mask != u64::MAX {
        let (own, others): (Vec<u8>, Vec<u8>) = (0..64u8).partition(|class| r.class_mask >> class & 1 != 0);
        out.push(if own.len() <= others.len() {
            format!("protocol {}", own.into_iter().map(class_name).collect::<Vec<_>>().join(" or "))
        } else {
            format!("protocol not {}", others.into_iter().map(class_name).collect::<Vec<_>>().join(" or "))
        });
    }
    out.extend(named(r.states, StateMask::ALL.0, &StateMask::NAMES).map(|names| format!("flow {names}")));
    let port = |id: u16| sets.ports().get(usize::from(id)).filter(|_| id != SET_ANY).map(ports);
    let address = |id: u16| sets.addresses().get(usize::from(id)).filter(|_| id != SET_ANY).map(addresses);
    out.extend(address(r.source_addresses).map(|a| format!("from {a}")));
    out.extend(port(r.source_ports).map(|p| format!("from port {p}")));
    out.extend(address(r.destination_addresses).map(|a| format!("to {a}")));
    out.extend(port(r.destination_ports).map(|p| format!("to port {p}")));
    if r.tcp_flags_mask != 0 {
        out.push(format!("TCP flags {} of {}", tcp_flags(r.tcp_flags_value), tcp_flags(r.tcp_flags_mask)));
    }
    out.extend(range(r.icmp_type_min, r.icmp_type_max, 0, u8::MAX).map(|n| format!("ICMP type {n}")));
    out.extend(range(r.icmp_code_min, r.icmp_code_max, 0, u8::MAX).map(|n| format!("ICMP code {n}")));
    out.extend(range(r.protocol_min, r.protocol_max, 0, u8::MAX).map(|n| format!("IP protocol {n}")));
    out.extend(range(r.payload_min, r.payload_max, 0, u16::MAX).map(|n| format!("payload of {n} bytes")));
    match r.reverse_max {
        u16::MAX => {}
        0 => out.push("the other side has sent nothing, as far as is known".to_owned()),
        most => out.push(format!("the other side has sent at most {most} bytes, as far as is known")),
    }
    let place = from(r.flags, RecordFlags::POSITION_PACKET.0, RecordFlags::POSITION_STREAM.0);
    if !place.is_empty() {
        if let Some(n) = range(r.position_min, r.position_max, i32::MIN, i32::MAX) {
            out.push(format!("at byte {n} {place}"));
        }
    }
    let start = from(r.flags, RecordFlags::ANCHOR_PACKET.0, RecordFlags::ANCHOR_STREAM.0);
    if !start.is_empty() {
        let used = r.anchor_mask.iter().rposition(|mask| *mask != 0).map_or(0, |last| last + 1);
        let bytes = r.anchor_mask.iter().zip(&r.anchor_value).take(used).map(|(mask, value)| match mask {
            0 => "..".to_owned(),
            0xff => hex(&[*value]),
            mask => format!("{value:02x}/{mask:02x}"),
        });
        out.push(format!("first bytes {start}: {}", bytes.collect::<Vec<_>>().join(" ")));
    }
    out
}

/// What kinds of inspection could complete a match, in words.
pub fn scopes(scopes: u8) -> String {
    scope_names(scopes)
        .into_iter()
        .map(|name| match name {
            "packet" => "the packet",
            "stream" => "the stream's window",
            "stream_pattern" => "the stream, where the host waits for a pattern",
            "app" => "messages of the protocol",
            "handshake" => "messages before encryption",
            "datagram_flow" => "several datagrams",
            "header" => "headers",
            "always" => "everything",
            other => other,
        })
        .collect::<Vec<_>>()
        .join(", ")
}
