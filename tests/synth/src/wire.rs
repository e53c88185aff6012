//! Single frames: headers with right lengths and checksums, encapsulation, fragmentation.

use std::net::{IpAddr, Ipv4Addr};

use weir_packet::checksum::Sum;
use weir_packet::{ether_types, link_types, protocols};

/// Which way a packet of a flow goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the one that is named first.
    ToServer,
    /// To it.
    ToClient,
}

/// Addresses of an IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Source.
    pub source: IpAddr,
    /// Destination; of the same version.
    pub destination: IpAddr,
}

/// Fields of an IP header.
#[derive(Debug, Clone)]
pub struct IpFields {
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// Identification (IPv6: of the fragment header).
    pub id: u32,
    /// Do not fragment.
    pub dont_fragment: bool,
    /// Byte offset of a fragment; a multiple of 8.
    pub offset: usize,
    /// More fragments follow.
    pub more: bool,
    /// IPv4 options, a multiple of 4 bytes.
    pub options: Vec<u8>,
    /// Make the header checksum wrong.
    pub bad_checksum: bool,
}

impl Default for IpFields {
    fn default() -> Self {
        IpFields {
            ttl: 64,
            tos: 0,
            id: 0,
            dont_fragment: false,
            offset: 0,
            more: false,
            options: Vec::new(),
            bad_checksum: false,
        }
    }
}

/// An IP packet. Payloads beyond 64 KiB give a wrong length field.
pub fn ip(addresses: Addresses, protocol: u8, fields: &IpFields, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(60 + payload.len());
    match (addresses.source, addresses.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = 20 + fields.options.len();
            out.extend([0x40 | (header / 4) as u8, fields.tos]);
            out.extend(((header + payload.len()) as u16).to_be_bytes());
            out.extend((fields.id as u16).to_be_bytes());
            let flags = u16::from(fields.dont_fragment) << 14 | u16::from(fields.more) << 13;
            out.extend((flags | (fields.offset / 8) as u16).to_be_bytes());
            out.extend([fields.ttl, protocol, 0, 0]);
            out.extend(source.octets());
            out.extend(destination.octets());
            out.extend(&fields.options);
            let checksum = Sum::default().with(&out).checksum() ^ if fields.bad_checksum { 0x5a5a } else { 0 };
            out[10..12].copy_from_slice(&checksum.to_be_bytes());
        }
        (source, destination) => {
            let fragment = fields.offset > 0 || fields.more;
            let length = payload.len() + if fragment { 8 } else { 0 };
            out.extend([0x60 | fields.tos >> 4, fields.tos << 4, 0, 0]);
            out.extend((length as u16).to_be_bytes());
            out.extend([if fragment { protocols::FRAGMENT } else { protocol }, fields.ttl]);
            out.extend(to_v6(source));
            out.extend(to_v6(destination));
            if fragment {
                out.extend([protocol, 0]);
                out.extend((fields.offset as u16 & 0xfff8 | u16::from(fields.more)).to_be_bytes());
                out.extend(fields.id.to_be_bytes());
            }
        }
    }
    out.extend(payload);
    out
}

fn to_v6(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn finish(addresses: Addresses, protocol: u8, at: usize, bad: bool, segment: &mut [u8]) {
    let length = segment.len() as u32;
    let sum = Sum::default().with_pseudo_header(addresses.source, addresses.destination, protocol, length);
    let mut checksum = sum.with(segment).checksum();
    if protocol == protocols::UDP && checksum == 0 {
        checksum = 0xffff;
    }
    if bad {
        checksum ^= 0x5a5a;
    }
    segment[at..at + 2].copy_from_slice(&checksum.to_be_bytes());
}

/// Fields of a TCP header.
#[derive(Debug, Clone, Default)]
pub struct TcpFields {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags byte.
    pub flags: u8,
    /// Window.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options; padded to a multiple of four with end-of-list.
    pub options: Vec<u8>,
    /// Make the checksum wrong.
    pub bad_checksum: bool,
}

/// A TCP segment.
pub fn tcp(addresses: Addresses, fields: &TcpFields, payload: &[u8]) -> Vec<u8> {
    let options = fields.options.len().next_multiple_of(4).min(40);
    let mut out = Vec::with_capacity(20 + options + payload.len());
    out.extend(fields.source.to_be_bytes());
    out.extend(fields.destination.to_be_bytes());
    out.extend(fields.sequence.to_be_bytes());
    out.extend(fields.acknowledgement.to_be_bytes());
    out.extend([(((20 + options) / 4) << 4) as u8, fields.flags]);
    out.extend(fields.window.to_be_bytes());
    out.extend([0, 0]);
    out.extend(fields.urgent.to_be_bytes());
    out.extend(fields.options.iter().copied().chain(std::iter::repeat(0)).take(options));
    out.extend(payload);
    finish(addresses, protocols::TCP, 16, fields.bad_checksum, &mut out);
    out
}

/// A UDP datagram.
pub fn udp(addresses: Addresses, source: u16, destination: u16, bad_checksum: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + payload.len());
    out.extend(source.to_be_bytes());
    out.extend(destination.to_be_bytes());
    out.extend(((8 + payload.len()) as u16).to_be_bytes());
    out.extend([0, 0]);
    out.extend(payload);
    finish(addresses, protocols::UDP, 6, bad_checksum, &mut out);
    out
}

/// An ICMP message (ICMPv6 between IPv6 addresses).
pub fn icmp(addresses: Addresses, kind: u8, code: u8, rest: u32, bad_checksum: bool, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind, code, 0, 0];
    out.extend(rest.to_be_bytes());
    out.extend(payload);
    if addresses.source.is_ipv4() {
        let checksum = Sum::default().with(&out).checksum() ^ if bad_checksum { 0x5a5a } else { 0 };
        out[2..4].copy_from_slice(&checksum.to_be_bytes());
    } else {
        finish(addresses, protocols::ICMPV6, 2, bad_checksum, &mut out);
    }
    out
}

/// How an IP packet is cut.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fragmentation {
    /// Payload bytes per fragment; rounded down to a multiple of 8, at least 8.
    pub size: usize,
    /// Order of the fragments.
    pub order: Order,
    /// Bytes each fragment repeats of the one before; rounded up to a multiple of 8.
    pub overlap: usize,
}

/// Order in which pieces are sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Order {
    /// As they come.
    #[default]
    Forward,
    /// Last first.
    Reverse,
    /// By number from 1; pieces that are not named follow in order.
    Listed(Vec<usize>),
    /// At random, from a seed.
    Shuffled(u64),
}

impl Order {
    /// Put pieces into this order.
    pub fn apply<T>(&self, pieces: &mut Vec<T>) {
        match self {
            Order::Forward => {}
            Order::Reverse => pieces.reverse(),
            Order::Shuffled(seed) => crate::Random::new(*seed).shuffle(pieces),
            Order::Listed(numbers) => {
                let mut slots: Vec<Option<T>> = pieces.drain(..).map(Some).collect();
                let named = numbers.iter().filter_map(|n| slots.get_mut(n.checked_sub(1)?)?.take());
                pieces.extend(named.collect::<Vec<_>>());
                pieces.extend(slots.into_iter().flatten());
            }
        }
    }
}

/// The fragments of a payload: (offset, more, bytes), in order of sending.
pub fn fragments<'p>(payload: &'p [u8], how: &Fragmentation) -> Vec<(usize, bool, &'p [u8])> {
    let size = (how.size / 8 * 8).max(8);
    let overlap = how.overlap.next_multiple_of(8);
    let mut pieces = Vec::new();
    let mut at = 0;
    while at < payload.len() {
        let start = at.saturating_sub(overlap);
        let end = (at + size).min(payload.len());
        pieces.push((start, end < payload.len(), &payload[start..end]));
        at = end;
    }
    how.order.apply(&mut pieces);
    pieces
}

/// A tunnel around a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wrap {
    /// Which one.
    pub kind: WrapKind,
    /// Outer addresses, as the client's packets have them.
    pub outer: Addresses,
    /// Network identifier, key or session.
    pub number: u32,
}

/// Tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrapKind {
    /// RFC 7348, holds Ethernet.
    Vxlan,
    /// RFC 8926, holds Ethernet.
    Geneve,
    /// RFC 2784, holds IP.
    Gre,
    /// IP in IP.
    Ipip,
    /// ERSPAN type II in GRE, holds Ethernet.
    Erspan,
}

/// What lies between the link and the IP packet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Encapsulation {
    /// VLAN identifiers, outermost first.
    pub vlan: Vec<u16>,
    /// MPLS labels, outermost first.
    pub mpls: Vec<u32>,
    /// PPPoE session.
    pub pppoe: bool,
    /// Tunnels, innermost first.
    pub wraps: Vec<Wrap>,
}

/// MAC address of a host: locally administered, from its address.
pub fn mac_of(address: IpAddr) -> [u8; 6] {
    let [a, b, c, d] = match address {
        IpAddr::V4(v4) => v4.octets(),
        IpAddr::V6(v6) => {
            let [.., a, b, c, d] = v6.octets();
            [a, b, c, d]
        }
    };
    [0x02, u8::from(address.is_ipv6()), a, b, c, d]
}

fn ethernet(addresses: Addresses, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(14 + payload.len());
    out.extend(mac_of(addresses.destination));
    out.extend(mac_of(addresses.source));
    out.extend(ether_type.to_be_bytes());
    out.extend(payload);
    out
}

fn ether_type_of(address: IpAddr) -> u16 {
    if address.is_ipv4() { ether_types::IPV4 } else { ether_types::IPV6 }
}

/// An IP packet in its tunnels and link. `way` turns the tunnels' outer addresses round for packets to the client.
pub fn link(link: u16, addresses: Addresses, way: Way, encapsulation: &Encapsulation, packet: Vec<u8>) -> Vec<u8> {
    let mut packet = packet;
    let mut addresses = addresses;
    for wrap in &encapsulation.wraps {
        let outer = match way {
            Way::ToServer => wrap.outer,
            Way::ToClient => Addresses { source: wrap.outer.destination, destination: wrap.outer.source },
        };
        let inner_type = ether_type_of(addresses.source);
        let frame = |packet: &[u8]| ethernet(addresses, inner_type, packet);
        let (protocol, payload) = match wrap.kind {
            WrapKind::Vxlan => {
                let mut inner = vec![0x08, 0, 0, 0];
                inner.extend((wrap.number << 8).to_be_bytes());
                inner.extend(frame(&packet));
                (protocols::UDP, udp(outer, 49_152, 4789, false, &inner))
            }
            WrapKind::Geneve => {
                let mut inner = vec![0, 0, 0x65, 0x58];
                inner.extend((wrap.number << 8).to_be_bytes());
                inner.extend(frame(&packet));
                (protocols::UDP, udp(outer, 49_152, 6081, false, &inner))
            }
            WrapKind::Gre => {
                let mut inner = vec![0, 0];
                inner.extend(inner_type.to_be_bytes());
                inner.extend(&packet);
                (protocols::GRE, inner)
            }
            WrapKind::Ipip => {
                let protocol = if addresses.source.is_ipv4() { protocols::IPV4 } else { protocols::IPV6 };
                (protocol, packet.clone())
            }
            WrapKind::Erspan => {
                // GRE with sequence number; version 1, no VLAN, session.
                let mut inner = vec![0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0];
                inner.extend((wrap.number as u16 & 0x3ff).to_be_bytes());
                inner.extend([0, 0, 0, 0]);
                inner.extend(frame(&packet));
                (protocols::GRE, inner)
            }
        };
        packet = ip(outer, protocol, &IpFields::default(), &payload);
        addresses = outer;
    }
    let mut ether_type = ether_type_of(addresses.source);
    match link {
        link_types::RAW => return packet,
        link_types::NULL => {
            let family: u32 = if addresses.source.is_ipv4() { 2 } else { 30 };
            return [&family.to_le_bytes()[..], &packet].concat();
        }
        _ => {}
    }
    if encapsulation.pppoe {
        let protocol: u16 = if ether_type == ether_types::IPV4 { 0x21 } else { 0x57 };
        let mut out = vec![0x11, 0, 0, 1];
        out.extend((packet.len() as u16 + 2).to_be_bytes());
        out.extend(protocol.to_be_bytes());
        out.extend(packet);
        (packet, ether_type) = (out, ether_types::PPPOE_SESSION);
    }
    for (index, label) in encapsulation.mpls.iter().rev().enumerate() {
        let shim = label << 12 | u32::from(index == 0) << 8 | 64;
        packet = [&shim.to_be_bytes()[..], &packet].concat();
        ether_type = ether_types::MPLS;
    }
    for (index, id) in encapsulation.vlan.iter().enumerate().rev() {
        packet = [&id.to_be_bytes()[..], &ether_type.to_be_bytes(), &packet].concat();
        // The outer of two tags is a provider's.
        let provider = index == 0 && encapsulation.vlan.len() > 1;
        ether_type = if provider { ether_types::PROVIDER_BRIDGE } else { ether_types::VLAN };
    }
    let mut out = ethernet(addresses, ether_type, &packet);
    // Ethernet frames have at least 60 bytes without their check sequence.
    if out.len() < 60 {
        out.resize(60, 0);
    }
    out
}

/// IPv4 address from four numbers.
pub const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}
