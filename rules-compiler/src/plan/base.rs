//! What a rule's header, flow and scope say about the frames that carry its bytes.
//!
//! Reference semantics 2.12: bytes of a direction are inspected on packets of that direction, and what another packet
//! completes is inspected with both ends exchanged. So the frame that carries bytes of direction *d* has exactly the
//! ends that the rule header is compared with, and its ports and addresses narrow in the order of the rule. Two cases
//! get both orders: `<>`, and rules whose buffers belong to different directions.

use super::Choice;
use super::class::{Condition, Trigger};
use super::sets::Sets;
use weir_contract::enums::{DirectionMask, IpMask, Scopes, StateMask, TransportMask};
use weir_contract::layouts::Record;
use weir_contract::protocol::{AppProtocol, CLASS_FAILED, CLASS_UNKNOWN};
use weir_contract::record::can_hold;
use weir_ir::buffer::BufferDirection;
use weir_ir::condition::StreamSide;
use weir_ir::{AppLayerCondition, Buffer, Comparison, Event, PacketCondition, Rule, RuleProtocol, StreamSize};

/// Bit of a protocol class.
pub const fn class_bit(protocol: AppProtocol) -> u64 {
    1 << (protocol as u8)
}

/// Class *unknown*: never narrowed away where a fragment may come before the decision.
pub const UNKNOWN: u64 = 1 << CLASS_UNKNOWN;

/// Class *failed*: in a mask only where the rule does not ask for an application protocol.
const FAILED: u64 = 1 << CLASS_FAILED;

/// Classes whose flows the parser of `protocol` may read, the declared protocol changes included: the flow keeps the
/// class of its first bytes, so each protocol that can change into another one stands for it as well.
///
/// HTTP changes to anything (CONNECT, `Upgrade`); the mail protocols, FTP, IMAP, POP3, LDAP and PostgreSQL to TLS.
pub fn classes_of(protocol: AppProtocol) -> u64 {
    use AppProtocol as P;
    let http = class_bit(P::Http) | class_bit(P::Http1) | class_bit(P::Http2) | class_bit(P::WebSocket) | class_bit(P::Doh2);
    let own = class_bit(protocol);
    match protocol {
        P::Http | P::Http1 | P::Http2 | P::WebSocket | P::Doh2 => http,
        P::Dns => own | class_bit(P::Mdns) | class_bit(P::Doh2) | class_bit(P::Http2),
        P::Mdns => own | class_bit(P::Dns),
        P::DceRpc => own | class_bit(P::Smb),
        // Data connections are announced on the control connection; their bytes look like anything.
        P::FtpData => u64::MAX,
        _ => own,
    }
}

/// Class mask of a rule's fragments and guards, and of records for every frame of a protocol.
///
/// Engine and device run one detection function over the same bytes in the same order, so a flow that the engine reads
/// as this protocol at the frame of the match has the same class on the device at that frame, bytes of the frame
/// included; where the device may have missed first bytes, its facts carry all classes, and so it is
/// while a stream is undecided. The bit *unknown* keeps the mask true for a device that reports undecided streams as such.
pub fn classes(protocol: AppProtocol) -> u64 {
    classes_of(protocol) | UNKNOWN
}

/// Datagrams of undecided flows are read by no parser, neither then nor later (decision 0005): a record of application
/// protocols does not need them. One that is for both transports becomes two.
pub fn undecided_datagrams(condition: Condition) -> impl Iterator<Item = Condition> {
    let record = condition.record;
    let udp = record.transports & TransportMask::UDP.0;
    let narrows = udp != 0 && record.class_mask & UNKNOWN != 0 && record.class_mask & FAILED == 0;
    let with = |transports: u8, class_mask: u64| Condition {
        record: Record { transports, class_mask, ..record },
        ..condition
    };
    let (first, second) = if narrows {
        let others = record.transports & !TransportMask::UDP.0;
        let others = (others != 0).then(|| with(others, record.class_mask));
        (with(udp, record.class_mask & !UNKNOWN), others)
    } else {
        (condition, None)
    };
    // What no frame satisfies (an HTTP buffer behind a UDP header) needs no record, and a device refuses tables that hold one.
    [Some(first), second].into_iter().flatten().filter(|c| can_hold(&c.record))
}

/// What a record for every frame of an application protocol needs beside itself, so that it may do without the frames of
/// undecided streams (decision 0025): a record of the frame that decides, whichever end sent it. No rule on a protocol
/// matches before that frame, and the host reads the ones before it with it.
pub fn deciding(record: &Record) -> Option<[Record; 2]> {
    if record.transports & TransportMask::TCP.0 == 0 || record.class_mask & FAILED != 0 {
        return None;
    }
    let own = Record {
        class_mask: record.class_mask & !UNKNOWN,
        scopes: record.scopes,
        transports: TransportMask::TCP.0,
        versions: record.versions,
        states: StateMask::DECIDING.0,
        directions: record.directions,
        source_ports: record.source_ports,
        destination_ports: record.destination_ports,
        source_addresses: record.source_addresses,
        destination_addresses: record.destination_addresses,
        payload_min: 1,
        ..Record::ALWAYS
    };
    let exchanged = match own.directions & BOTH {
        TO_SERVER => TO_CLIENT,
        TO_CLIENT => TO_SERVER,
        both => both,
    };
    let other = Record {
        directions: exchanged,
        source_ports: own.destination_ports,
        destination_ports: own.source_ports,
        source_addresses: own.destination_addresses,
        destination_addresses: own.source_addresses,
        ..own
    };
    Some([own, other])
}

/// A record for every frame of a protocol as two of decided streams; see [`deciding`].
pub fn decided_streams(choice: &mut Choice) {
    let mut more = Vec::new();
    for condition in choice.conditions.iter_mut().filter(|c| c.trigger == Trigger::Frame) {
        let Some(deciding) = deciding(&condition.record) else { continue };
        // One that holds for every frame of the flow holds for this one.
        let record = &condition.record;
        let every = Record {
            class_mask: record.class_mask,
            transports: record.transports,
            states: record.states,
            payload_min: record.payload_min.min(1),
            ..deciding[0]
        };
        if every != *record || deciding[0] != deciding[1] {
            more.extend(deciding.map(|record| Condition { trigger: Trigger::Frame, record }));
        }
        let datagrams = condition.record.transports & !TransportMask::TCP.0;
        if datagrams != 0 {
            more.push(Condition { trigger: Trigger::Frame, record: Record { transports: datagrams, ..condition.record } });
            condition.record.transports = TransportMask::TCP.0;
        }
        condition.record.class_mask &= !UNKNOWN;
    }
    choice.conditions.extend(more);
}

/// Protocols whose parsers fill a buffer; none: not bound to one. Fingerprints of hellos are made over TCP and in QUIC.
pub fn protocols_of(buffer: Buffer) -> Option<&'static [AppProtocol]> {
    use AppProtocol as P;
    macro_rules! one {
        ($($name:ident)*) => { match buffer.protocol()? { $(P::$name => Some(&[P::$name]),)* } };
    }
    match buffer {
        Buffer::Ja3Hash | Buffer::Ja3String | Buffer::Ja3sHash | Buffer::Ja3sString | Buffer::Ja4Hash => Some(&[P::Tls, P::Quic]),
        _ => one!(Http Http1 Http2 Dns Tls Smtp Ftp FtpData Ssh Smb DceRpc Imap Pop3 Krb5 Snmp Sip Rfb Mqtt Quic Nfs Tftp Dhcp
            Ntp Ike Rdp Telnet Modbus Dnp3 Enip BittorrentDht Pgsql Ldap WebSocket Mdns Doh2),
    }
}

/// Class mask of a buffer's protocols.
pub fn buffer_classes(buffer: Buffer) -> u64 {
    protocols_of(buffer).map_or(u64::MAX, |all| all.iter().fold(0, |mask, p| mask | classes(*p)))
}

/// Transports that can carry a buffer's protocols.
pub fn buffer_transports(buffer: Buffer) -> u8 {
    protocols_of(buffer).map_or(TransportMask::ALL.0, |all| all.iter().fold(0, |mask, p| mask | transports_of(*p)))
}

/// Transports that can carry a protocol.
pub fn transports_of(protocol: AppProtocol) -> u8 {
    use AppProtocol as P;
    let (tcp, udp) = (TransportMask::TCP.0, TransportMask::UDP.0);
    match protocol {
        P::Http | P::Http1 | P::Http2 | P::Tls | P::Smtp | P::Ftp | P::FtpData | P::Ssh | P::Smb | P::Imap | P::Pop3 | P::Rfb
        | P::WebSocket | P::Doh2 | P::Telnet => tcp,
        P::Quic | P::Dhcp | P::Tftp | P::Ntp | P::Mdns => udp,
        _ => tcp | udp,
    }
}

const TO_SERVER: u8 = DirectionMask::TO_SERVER.0;
const TO_CLIENT: u8 = DirectionMask::TO_CLIENT.0;
/// Both directions.
pub const BOTH: u8 = TO_SERVER | TO_CLIENT;

/// Directions of a buffer's bytes.
pub fn buffer_directions(buffer: Buffer) -> u8 {
    match buffer.direction() {
        BufferDirection::ToServer => TO_SERVER,
        BufferDirection::ToClient => TO_CLIENT,
        BufferDirection::Both => BOTH,
    }
}

/// Directions that `flow` allows.
pub fn flow_directions(rule: &Rule) -> u8 {
    match rule.flow {
        Some(f) if f.to_server && !f.to_client => TO_SERVER,
        Some(f) if f.to_client && !f.to_server => TO_CLIENT,
        _ => BOTH,
    }
}

/// Application protocol of the rule header.
pub fn header_protocol(rule: &Rule) -> Option<AppProtocol> {
    match rule.header.protocol {
        RuleProtocol::App(p) => Some(p),
        _ => None,
    }
}

/// A rule's transports, as far as its header says.
pub fn transports(rule: &Rule) -> u8 {
    match rule.header.protocol {
        RuleProtocol::Ip | RuleProtocol::Ipv4 | RuleProtocol::Ipv6 => TransportMask::ALL.0 & !TransportMask::NONE.0,
        RuleProtocol::Tcp | RuleProtocol::TcpPacket | RuleProtocol::TcpStream => TransportMask::TCP.0,
        RuleProtocol::Udp => TransportMask::UDP.0,
        RuleProtocol::Icmp => TransportMask::ICMPV4.0 | TransportMask::ICMPV6.0,
        RuleProtocol::Icmpv4 => TransportMask::ICMPV4.0,
        RuleProtocol::Icmpv6 => TransportMask::ICMPV6.0,
        RuleProtocol::Sctp => TransportMask::SCTP.0,
        RuleProtocol::PacketHeader | RuleProtocol::Arp | RuleProtocol::Ether => TransportMask::ALL.0,
        RuleProtocol::App(p) => transports_of(p),
    }
}

/// The rule is inspected on packets only: its payload conditions refer to one packet (reference semantics 2.10).
pub fn packet_only(rule: &Rule) -> bool {
    matches!(rule.header.protocol, RuleProtocol::TcpPacket)
        || transports(rule) & TransportMask::TCP.0 == 0
        || rule.packet.iter().any(|c| {
            !matches!(
                c,
                PacketCondition::StreamSize(_)
                    | PacketCondition::FlowAge(_)
                    | PacketCondition::FlowPackets(..)
                    | PacketCondition::FlowBytes(..)
                    | PacketCondition::Address { .. }
                    | PacketCondition::SameIp
                    | PacketCondition::Rpc(..)
                    | PacketCondition::FtpBounce
                    | PacketCondition::Asn1(_)
                    | PacketCondition::Isset(_)
            )
        })
        || rule.flow.is_some_and(|f| f.no_stream)
}

/// Messages before encryption: their buffers are complete when the handshake message is. Frames are not: records go on
/// between the handshake and the first data.
fn is_handshake(buffer: Buffer) -> bool {
    matches!(buffer.protocol(), Some(AppProtocol::Tls | AppProtocol::Ssh)) && buffer.frame_number().is_none()
}

/// What kinds of inspection could complete the rule.
///
/// A superset is always sound: more scopes hold longer and release later. Rules that ask for payload bytes have no
/// scope HEADER: once a flow is encrypted its payload is not inspected (reference semantics 2.13).
pub fn scopes(rule: &Rule) -> u8 {
    let mut out = 0;
    let payload = if packet_only(rule) { Scopes::PACKET.0 } else { Scopes::PACKET.0 | Scopes::STREAM.0 };
    for b in &rule.buffers {
        out |= match b.buffer {
            Buffer::Payload => payload,
            Buffer::Ipv4Header
            | Buffer::Ipv6Header
            | Buffer::TcpHeader
            | Buffer::UdpHeader
            | Buffer::Icmpv4Header
            | Buffer::Icmpv6Header
            | Buffer::IpSource
            | Buffer::IpDestination => Scopes::PACKET.0 | Scopes::HEADER.0,
            Buffer::Base64Data => payload | Scopes::APP.0,
            // The flow stays with the host until it is encrypted or turns out never to be.
            buffer if is_handshake(buffer) => Scopes::HANDSHAKE.0,
            _ => Scopes::APP.0,
        };
    }
    if rule.app_layer.iter().any(|c| !matches!(c, AppLayerCondition::FileStore)) {
        out |= Scopes::APP.0 | Scopes::PACKET.0 | Scopes::STREAM.0;
        if rule.buffers.is_empty() {
            // "Any packet of a flow of this protocol".
            out |= Scopes::HEADER.0;
        }
    }
    for e in &rule.events {
        out |= match e {
            Event::Decoder(_) => Scopes::PACKET.0 | Scopes::HEADER.0,
            Event::Stream(_) => Scopes::PACKET.0 | Scopes::HEADER.0 | Scopes::STREAM.0,
            Event::AppLayer(..) => Scopes::APP.0,
        };
    }
    if rule.buffers.is_empty() && rule.app_layer.is_empty() && rule.events.is_empty() {
        // Header only: on packets; rules of an application protocol also on its transactions.
        out |= Scopes::PACKET.0 | Scopes::HEADER.0;
        if header_protocol(rule).is_some() {
            out |= Scopes::APP.0 | Scopes::STREAM.0;
        }
    }
    out
}

/// Most stream bytes that the other direction may have had, by `stream_size`. The engine counts sequence numbers, SYN
/// and FIN included, so never less than the device; what holds later held before, because neither count goes down.
fn reverse_max(rule: &Rule, directions: u8) -> u16 {
    let reverse = |side| match side {
        StreamSide::Client => directions == TO_CLIENT,
        StreamSide::Server => directions == TO_SERVER,
        StreamSide::Both => directions == TO_CLIENT || directions == TO_SERVER,
        StreamSide::Either => false,
    };
    let most = |size: &Comparison| match *size {
        Comparison::Equal(n) | Comparison::LessEqual(n) | Comparison::Within(_, n) => Some(n),
        Comparison::Less(n) | Comparison::Between(_, n) => Some(n.saturating_sub(1)),
        _ => None,
    };
    let bounds = rule.packet.iter().filter_map(|condition| match condition {
        PacketCondition::StreamSize(StreamSize { side, size }) if reverse(*side) => most(size),
        _ => None,
    });
    bounds.min().and_then(|most| u16::try_from(most).ok()).unwrap_or(u16::MAX)
}

/// Records of the rule's header for frames in `directions`: one, or two where both orders of the ends count.
pub fn base_records(rule: &Rule, sets: &mut Sets, directions: u8) -> Vec<Record> {
    let wanted = flow_directions(rule);
    let common = rule.buffers.iter().fold(wanted, |d, b| d & buffer_directions(b.buffer));
    let conflict = common == 0;
    let directions = if conflict { directions } else { directions & common };
    let has_ports = transports(rule) & !(TransportMask::TCP.0 | TransportMask::UDP.0 | TransportMask::SCTP.0) == 0;
    let (source_ports, destination_ports) = if has_ports {
        (sets.port(&rule.header.source_ports), sets.port(&rule.header.destination_ports))
    } else {
        (0, 0)
    };
    let versions = match rule.header.protocol {
        RuleProtocol::Ipv4 | RuleProtocol::Icmpv4 => IpMask::V4.0,
        RuleProtocol::Ipv6 | RuleProtocol::Icmpv6 => IpMask::V6.0,
        RuleProtocol::PacketHeader | RuleProtocol::Arp | RuleProtocol::Ether => IpMask::ALL.0,
        _ => IpMask::V4.0 | IpMask::V6.0,
    };
    // A rule on DNS is not for multicast DNS (`AppProtocol::includes`), though its buffers are filled there as well.
    let class_mask = match header_protocol(rule) {
        Some(AppProtocol::Dns) => !class_bit(AppProtocol::Mdns),
        _ => u64::MAX,
    };
    let forward = Record {
        class_mask,
        scopes: scopes(rule),
        transports: transports(rule),
        versions,
        directions,
        source_ports,
        destination_ports,
        source_addresses: sets.address(&rule.header.source),
        destination_addresses: sets.address(&rule.header.destination),
        ..Record::ALWAYS
    };
    let forward = Record { reverse_max: reverse_max(rule, directions), ..forward };
    let mut out = vec![forward];
    if conflict || rule.header.bidirectional {
        let backward = Record {
            source_ports: forward.destination_ports,
            destination_ports: forward.source_ports,
            source_addresses: forward.destination_addresses,
            destination_addresses: forward.source_addresses,
            ..forward
        };
        if backward != forward {
            out.push(backward);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::plan::{Options, plan};
    use crate::{LoadOptions, RuleSource, VariableTable, load};

    /// One rule that can never match must not keep the device from taking all the others.
    #[test]
    fn no_record_is_impossible() {
        let text = "alert udp any any -> any 0 (http.user_agent; content:\"abcd\"; sid:1;)\n\
                    alert udp any any -> any any (tls.sni; content:\"evil\"; sid:2;)\n\
                    alert tcp any any -> any any (content:\"evil\"; sid:3;)\n";
        let set = load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &LoadOptions::default());
        let plan = plan(&set.rules, &Options::default());
        let conditions = plan.rules.iter().flat_map(|rule| &rule.conditions);
        assert!(conditions.clone().count() > 0);
        assert!(conditions.map(|c| &c.record).all(weir_contract::record::can_hold));
    }

    /// A record of TLS may come between handshake and first data, when no message of the handshake is open any more.
    #[test]
    fn frames_of_tls_are_no_handshake() {
        let text = "alert tls any any -> any any (frame:tls.pdu; content:\"|16 03|\"; startswith; sid:1;)\n";
        let set = load(&[RuleSource::from_text("x", text)], &VariableTable::default(), &LoadOptions::default());
        assert!(set.rules.iter().all(|rule| super::scopes(rule) & super::Scopes::APP.0 != 0) && set.rules.len() == 1);
    }
}
