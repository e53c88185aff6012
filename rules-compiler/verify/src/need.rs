//! What is known of the frames that a rule can match in: the *needs* that a record must satisfy.
//!
//! A need is a box of facts. It is as small as the rule's text proves: if the rule matches, the frame in question has facts
//! within the box. A record satisfies the need if it holds for every frame in it. Reference semantics 2.12 ties bytes to
//! the direction and the ends of the packet that carries them; 2.5 to 2.10 say what is inspected on packets and what on streams.

use crate::image::Bits;
use crate::place::FAR;
use crate::sets::{ListId, Lists};
use weir_contract::enums::{DirectionMask, IpMask, Scopes, TransportMask};
use weir_contract::protocol::{AppProtocol as P, CLASS_UNKNOWN};
use weir_ir::buffer::BufferDirection;
use weir_ir::condition::{StreamSide, TcpFlagsMode};
use weir_ir::{AppLayerCondition, Buffer, BufferMatch, Comparison, Event, PacketCondition, Rule, RuleProtocol, Transform};

pub const TCP: u8 = TransportMask::TCP.0;
pub const UDP: u8 = TransportMask::UDP.0;
pub const BOTH: u8 = DirectionMask::ALL.0;

/// Facts of a frame, as ranges and sets.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    /// One bit.
    pub transport: u8,
    /// IP versions.
    pub versions: u8,
    /// Directions.
    pub directions: u8,
    /// Protocol classes.
    pub classes: u64,
    /// Kinds of inspection that may complete the rule.
    pub scopes: u8,
    /// Lists of source and destination ports.
    pub ports: (ListId, ListId),
    /// Lists of source and destination addresses.
    pub addresses: (ListId, ListId),
    /// Payload bytes, least and most.
    pub payload: (i64, i64),
    /// TCP flags that are certain: which, and their values.
    pub flags: (u8, u8),
    /// ICMP type.
    pub icmp_type: (u8, u8),
    /// ICMP code.
    pub icmp_code: (u8, u8),
    /// IP protocol.
    pub protocol: (u8, u8),
    /// Most stream bytes of the other direction.
    pub reverse: u64,
    /// The frame with which the class is decided.
    pub deciding: bool,
}

pub const fn bit(p: P) -> u64 {
    1 << (p as u8)
}

/// Classes of flows that the parser of a protocol reads, unless the flow changes protocol (which is flagged for itself).
pub fn read_by(p: P) -> u64 {
    let http = bit(P::Http) | bit(P::Http1) | bit(P::Http2) | bit(P::WebSocket) | bit(P::Doh2);
    match p {
        P::Http | P::Http1 | P::Http2 | P::WebSocket | P::Doh2 => http,
        P::Dns => bit(P::Dns) | bit(P::Mdns) | bit(P::Doh2) | bit(P::Http2),
        P::Mdns => bit(P::Dns) | bit(P::Mdns),
        P::DceRpc => bit(P::DceRpc) | bit(P::Smb),
        // Announced on another connection, whatever its bytes are.
        P::FtpData => u64::MAX,
        other => bit(other),
    }
}

/// Transports that carry a protocol.
pub fn carried_by(p: P) -> u8 {
    match p {
        P::Http
        | P::Http1
        | P::Http2
        | P::Tls
        | P::Smtp
        | P::Ftp
        | P::FtpData
        | P::Ssh
        | P::Smb
        | P::Imap
        | P::Pop3
        | P::Rfb
        | P::WebSocket
        | P::Doh2
        | P::Telnet => TCP,
        P::Quic | P::Dhcp | P::Tftp | P::Ntp | P::Mdns => UDP,
        _ => TCP | UDP,
    }
}

/// Protocol of the rule's header.
pub fn header_protocol(rule: &Rule) -> Option<P> {
    if let RuleProtocol::App(p) = rule.header.protocol { Some(p) } else { None }
}

/// Protocols that fill a buffer; none: any.
fn filled_by(buffer: Buffer) -> Vec<P> {
    match buffer {
        Buffer::Ja3Hash | Buffer::Ja3String | Buffer::Ja3sHash | Buffer::Ja3sString | Buffer::Ja4Hash => {
            vec![P::Tls, P::Quic]
        }
        other => other.protocol().into_iter().collect(),
    }
}

/// Transports by the protocol word.
fn transports_of_header(rule: &Rule) -> u8 {
    match rule.header.protocol {
        RuleProtocol::Ip | RuleProtocol::Ipv4 | RuleProtocol::Ipv6 => TransportMask::ALL.0 & !TransportMask::NONE.0,
        RuleProtocol::Tcp | RuleProtocol::TcpPacket | RuleProtocol::TcpStream => TCP,
        RuleProtocol::Udp => UDP,
        RuleProtocol::Icmp => TransportMask::ICMPV4.0 | TransportMask::ICMPV6.0,
        RuleProtocol::Icmpv4 => TransportMask::ICMPV4.0,
        RuleProtocol::Icmpv6 => TransportMask::ICMPV6.0,
        RuleProtocol::Sctp => TransportMask::SCTP.0,
        RuleProtocol::PacketHeader | RuleProtocol::Arp | RuleProtocol::Ether => TransportMask::ALL.0,
        RuleProtocol::App(p) => carried_by(p),
    }
}

/// Classes and transports of the flows that the rule can match in.
fn flows(rule: &Rule) -> (u64, u8) {
    let mut classes = header_protocol(rule).map_or(u64::MAX, |p| match p {
        // Its buffers are read in multicast DNS too, but its header names the other.
        P::Dns => read_by(p) & !bit(P::Mdns),
        _ => read_by(p),
    });
    let mut transports = transports_of_header(rule);
    for run in &rule.buffers {
        let protocols = filled_by(run.buffer);
        if !protocols.is_empty() {
            classes &= protocols.iter().fold(0, |mask, p| mask | read_by(*p));
            transports &= protocols.iter().fold(0, |mask, p| mask | carried_by(*p));
        }
    }
    (classes, transports)
}

/// Directions of a buffer's bytes.
pub fn sides(buffer: Buffer) -> u8 {
    match buffer.direction() {
        BufferDirection::ToServer => DirectionMask::TO_SERVER.0,
        BufferDirection::ToClient => DirectionMask::TO_CLIENT.0,
        BufferDirection::Both => BOTH,
    }
}

/// Directions of a rule's buffer; the buffer's own where the rule allows none of them.
pub fn sides_of(rule: &Rule, buffer: Buffer) -> u8 {
    let own = sides(buffer);
    Some(flow_sides(rule) & own).filter(|d| *d != 0).unwrap_or(own)
}

/// `dotprefix` alone (true), or no transform; none: others, of which nothing is certain on the wire.
pub fn dotted(run: &BufferMatch) -> Option<bool> {
    match run.transforms.as_slice() {
        [] => Some(false),
        [Transform::DotPrefix] => Some(true),
        _ => None,
    }
}

/// Directions that `flow` allows.
pub fn flow_sides(rule: &Rule) -> u8 {
    match rule.flow {
        Some(f) if f.to_server != f.to_client && f.to_server => DirectionMask::TO_SERVER.0,
        Some(f) if f.to_server != f.to_client => DirectionMask::TO_CLIENT.0,
        _ => BOTH,
    }
}

/// Conditions of flows, which hold for streams as well; all others make it a rule on packets (reference semantics 2.10).
fn of_flow(c: &PacketCondition) -> bool {
    use PacketCondition as C;
    matches!(
        c,
        C::StreamSize(_)
            | C::FlowAge(_)
            | C::FlowPackets(..)
            | C::FlowBytes(..)
            | C::Address { .. }
            | C::SameIp
            | C::Rpc(..)
            | C::FtpBounce
            | C::Asn1(_)
            | C::Isset(_)
    )
}

/// The rule's payload matches lie in one packet.
pub fn on_packets(rule: &Rule) -> bool {
    let tcp = match rule.header.protocol {
        RuleProtocol::App(p) => carried_by(p) & TCP != 0,
        RuleProtocol::Udp | RuleProtocol::Icmp | RuleProtocol::Icmpv4 | RuleProtocol::Icmpv6 | RuleProtocol::Sctp => {
            false
        }
        _ => true,
    };
    rule.header.protocol == RuleProtocol::TcpPacket
        || !tcp
        || rule.packet.iter().any(|c| !of_flow(c))
        || rule.flow.is_some_and(|f| f.no_stream)
}

/// The buffer holds bytes of packet headers.
pub fn of_headers(buffer: Buffer) -> bool {
    use Buffer as B;
    matches!(
        buffer,
        B::Ipv4Header
            | B::Ipv6Header
            | B::TcpHeader
            | B::UdpHeader
            | B::Icmpv4Header
            | B::Icmpv6Header
            | B::IpSource
            | B::IpDestination
    )
}

/// Kinds of inspection that may complete the rule.
fn scopes(rule: &Rule) -> u8 {
    let (packet, stream, header, app) = (Scopes::PACKET.0, Scopes::STREAM.0, Scopes::HEADER.0, Scopes::APP.0);
    let payload = if on_packets(rule) { packet } else { packet | stream };
    let mut out = 0;
    for run in &rule.buffers {
        let handshake = matches!(run.buffer.protocol(), Some(P::Tls | P::Ssh)) && run.buffer.frame_number().is_none();
        out |= match run.buffer {
            Buffer::Payload => payload,
            Buffer::Base64Data => payload | app,
            b if of_headers(b) => packet | header,
            _ if handshake => Scopes::HANDSHAKE.0,
            _ => app,
        };
    }
    if rule.app_layer.iter().any(|c| *c != AppLayerCondition::FileStore) {
        out |= app | packet | stream;
        if rule.buffers.is_empty() {
            out |= header;
        }
    }
    for e in &rule.events {
        out |= match e {
            Event::Decoder(_) => packet | header,
            Event::Stream(_) => packet | header | stream,
            Event::AppLayer(..) => app,
        };
    }
    if rule.buffers.is_empty() && rule.app_layer.is_empty() && rule.events.is_empty() {
        out |= packet | header;
        if header_protocol(rule).is_some() {
            out |= app | stream;
        }
    }
    out
}

/// Least and greatest value that a comparison accepts.
pub fn bounds(c: Comparison, most: u64) -> (u64, u64) {
    let (low, high) = match c {
        Comparison::Equal(n) => (n, n),
        Comparison::Less(n) => (0, n.saturating_sub(1)),
        Comparison::LessEqual(n) => (0, n),
        Comparison::Greater(n) => (n.saturating_add(1), most),
        Comparison::GreaterEqual(n) => (n, most),
        Comparison::Between(a, b) => (a.saturating_add(1), b.saturating_sub(1)),
        Comparison::Within(a, b) => (a, b),
        Comparison::NotEqual(_)
        | Comparison::Outside(..)
        | Comparison::AnyBit(_)
        | Comparison::NoBit(_)
        | Comparison::Bits(..)
        | Comparison::OtherBits(..) => (0, most),
    };
    // What accepts nothing proves nothing.
    if low > high || low > most { (0, most) } else { (low, high.min(most)) }
}

/// Which parts of the rule the frame itself must satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// The packet that matches: packet conditions hold for it.
    Matching,
    /// A frame that carries bytes of the match.
    Carrying,
}

impl Need {
    /// Shrinks the need to packets for which a condition holds. `None`: there are none of this transport.
    fn given(mut self, c: &PacketCondition) -> Option<Need> {
        use PacketCondition as C;
        let tcp = self.transport == TCP;
        let icmp = self.transport & (TransportMask::ICMPV4.0 | TransportMask::ICMPV6.0) != 0;
        match c {
            C::PayloadSize(c) => {
                let (low, high) = bounds(*c, u64::MAX);
                self.payload.0 = self.payload.0.max(i64::try_from(low).unwrap_or(FAR).min(FAR));
                self.payload.1 = self.payload.1.min(i64::try_from(high).unwrap_or(FAR).min(FAR));
            }
            C::TcpFlags(f) => {
                let all = match f.mode {
                    TcpFlagsMode::Exact => Some((!f.ignore, f.flags & !f.ignore)),
                    TcpFlagsMode::All => Some((f.flags & !f.ignore, f.flags & !f.ignore)),
                    TcpFlagsMode::Not if f.flags.is_power_of_two() => Some((f.flags, 0)),
                    TcpFlagsMode::Any if f.flags.is_power_of_two() => Some((f.flags, f.flags)),
                    _ => None,
                };
                if let Some((mask, value)) = all {
                    let fresh = mask & !self.flags.0;
                    self.flags = (self.flags.0 | fresh, self.flags.1 | value & fresh);
                }
                return tcp.then_some(self);
            }
            C::TcpSequence(_) | C::TcpAck(_) | C::TcpWindow(..) | C::TcpMss(_) | C::TcpWindowScale(_) => {
                return tcp.then_some(self);
            }
            C::IcmpType(c) => {
                let (low, high) = bounds(*c, 255);
                self.icmp_type = (self.icmp_type.0.max(low as u8), self.icmp_type.1.min(high as u8));
                return icmp.then_some(self);
            }
            C::IcmpCode(c) => {
                let (low, high) = bounds(*c, 255);
                self.icmp_code = (self.icmp_code.0.max(low as u8), self.icmp_code.1.min(high as u8));
                return icmp.then_some(self);
            }
            C::IcmpId(_) | C::IcmpSequence(_) => return icmp.then_some(self),
            C::Icmpv6Mtu(_) => return (self.transport == TransportMask::ICMPV6.0).then_some(self),
            C::IpProtocol(c) => {
                let (low, high) = bounds(*c, 255);
                self.protocol = (self.protocol.0.max(low as u8), self.protocol.1.min(high as u8));
            }
            C::IpId(_) | C::IpOption(_) | C::FragmentBits(..) => {
                self.versions &= IpMask::V4.0;
                return (self.versions != 0).then_some(self);
            }
            _ => {}
        }
        Some(self)
    }
}

/// The needs of a rule: one for each transport, and for each order of the ends that counts. None: no frame can match it.
pub fn needs(rule: &Rule, bits: &Bits, lists: &mut Lists, frame: Frame, own_sides: u8) -> Vec<Need> {
    let (classes, transports) = flows(rule);
    let versions = match rule.header.protocol {
        RuleProtocol::Ipv4 | RuleProtocol::Icmpv4 => IpMask::V4.0,
        RuleProtocol::Ipv6 | RuleProtocol::Icmpv6 => IpMask::V6.0,
        RuleProtocol::PacketHeader | RuleProtocol::Arp | RuleProtocol::Ether => IpMask::ALL.0,
        _ => IpMask::V4.0 | IpMask::V6.0,
    };
    let common = rule.buffers.iter().fold(flow_sides(rule), |d, run| d & sides(run.buffer));
    let directions = if common == 0 { own_sides } else { common & own_sides };
    // Ports mean something where every packet of the rule has them.
    let with_ports = TCP | UDP | TransportMask::SCTP.0;
    let any = weir_ir::PortSet::any();
    let header_transports = transports_of_header(rule);
    let ports = if header_transports & !with_ports == 0 {
        (&rule.header.source_ports, &rule.header.destination_ports)
    } else {
        (&any, &any)
    };
    let ports = (lists.ports(bits, ports.0), lists.ports(bits, ports.1));
    let addresses = (lists.addresses(bits, &rule.header.source), lists.addresses(bits, &rule.header.destination));
    let mut out = Vec::new();
    for n in 0..8 {
        let transport = transports & 1 << n;
        if transport == 0 {
            continue;
        }
        // Datagrams of a flow that no protocol is found in are read by no parser; streams may yet be.
        let classes = match (classes == u64::MAX, transport) {
            (false, TCP) => classes | 1 << CLASS_UNKNOWN,
            _ => classes,
        };
        let mut need = Need {
            transport,
            versions,
            directions,
            classes,
            scopes: scopes(rule),
            ports,
            addresses,
            payload: (0, FAR),
            flags: (0, 0),
            icmp_type: (0, 255),
            icmp_code: (0, 255),
            protocol: (0, 255),
            reverse: reverse(rule, directions),
            deciding: false,
        };
        if frame == Frame::Matching {
            match rule.packet.iter().try_fold(need, |need, c| need.given(c)) {
                Some(narrow) => need = narrow,
                None => continue,
            }
        }
        out.push(need);
        if common == 0 || rule.header.bidirectional {
            out.push(need.turned());
        }
    }
    out
}

impl Need {
    /// With both ends exchanged.
    pub fn turned(mut self) -> Need {
        self.ports = (self.ports.1, self.ports.0);
        self.addresses = (self.addresses.1, self.addresses.0);
        self
    }
}

/// Most stream bytes that the other direction had, by `stream_size`.
fn reverse(rule: &Rule, directions: u8) -> u64 {
    let single = directions != BOTH;
    let other = |side: StreamSide| match side {
        StreamSide::Client => directions == DirectionMask::TO_CLIENT.0,
        StreamSide::Server => directions == DirectionMask::TO_SERVER.0,
        StreamSide::Both => single,
        StreamSide::Either => false,
    };
    let most = rule.packet.iter().filter_map(|c| match c {
        PacketCondition::StreamSize(s) if other(s.side) => match s.size {
            Comparison::Equal(n) | Comparison::LessEqual(n) | Comparison::Within(_, n) => Some(n),
            Comparison::Less(n) | Comparison::Between(_, n) => Some(n.saturating_sub(1)),
            _ => None,
        },
        _ => None,
    });
    most.min().unwrap_or(u64::MAX)
}
