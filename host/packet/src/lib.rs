//! Frames to packets: link layers, VLANs, tunnels, IPv4/IPv6, TCP/UDP/ICMP/SCTP, decoder events, checksums,
//! defragmentation.
//!
//! Place: first stage of the engine. The device model has a parser of its own (`weir_sim`), written from the contract;
//! this one is the host's and answers for the reference semantics. Zero-copy: a [`Packet`] borrows the frame.
#![forbid(unsafe_code)]

use std::net::IpAddr;

pub mod checksum;
mod decoder;
pub mod defrag;
pub mod event;
mod icmp;
mod ipv4;
mod ipv6;
mod layers;
mod link;
mod transport;
mod tunnel;

pub use decoder::{Checksums, Decoder, DecoderConfig, DecoderStats, HeldDatagram};
pub use event::{DecoderEvent, DecoderEvents};
pub use layers::{LAYERS, Layers, Tunnel};
pub use link::{ether_types, link_types};
pub use transport::protocols;

/// Time of a frame, nanoseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(pub u64);

/// One record of a source.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// From 1, in arrival order.
    pub number: u64,
    /// Frame time.
    pub time: Time,
    /// Link type of the source (LINKTYPE_* value).
    pub link: u16,
    /// Captured bytes.
    pub data: &'a [u8],
    /// Length on the wire (≥ captured).
    pub wire_length: u32,
}

/// IP header facts of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ip<'a> {
    /// 4 or 6.
    pub version: u8,
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// Transport protocol (after extension headers).
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TOS or traffic class.
    pub tos: u8,
    /// IPv4 identification (IPv6: of the fragment header, low 16 bits).
    pub id: u16,
    /// IPv4 flags: 0x4 reserved, 0x2 DF, 0x1 MF (IPv6: MF from the fragment header).
    pub fragment_flags: u8,
    /// Fragment offset in 8-byte units.
    pub fragment_offset: u16,
    /// This packet is a fragment that still has to be collected.
    pub is_fragment: bool,
    /// The packet was put together from fragments.
    pub reassembled: bool,
    /// Header bytes incl. options / extension headers.
    pub header: &'a [u8],
    /// IPv4 options (for `ipopts`).
    pub options: &'a [u8],
}

/// TCP header facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// CWR ECE URG ACK PSH RST SYN FIN, as in the header's byte 13.
    pub flags: u8,
    /// Window, unscaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Header bytes.
    pub header: &'a [u8],
    /// Maximum segment size option.
    pub mss: Option<u16>,
    /// Window scale option.
    pub window_scale: Option<u8>,
    /// Timestamp option (value, echo).
    pub timestamp: Option<(u32, u32)>,
    /// SACK permitted.
    pub sack_permitted: bool,
}

impl Tcp<'static> {
    /// Facts of no header: numbers and flags, nothing else.
    pub const fn bare(sequence: u32, acknowledgement: u32, flags: u8) -> Self {
        Tcp {
            sequence,
            acknowledgement,
            flags,
            window: 0,
            urgent: 0,
            header: &[],
            mss: None,
            window_scale: None,
            timestamp: None,
            sack_permitted: false,
        }
    }
}

/// TCP flag bits.
pub mod tcp_flags {
    #![allow(missing_docs)]
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
    pub const URG: u8 = 0x20;
    pub const ECE: u8 = 0x40;
    pub const CWR: u8 = 0x80;
}

/// Transport header of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// Not decoded: other protocol, fragment, or broken header (see events).
    None,
    /// TCP
    Tcp(Tcp<'a>),
    /// UDP (header bytes)
    Udp(&'a [u8]),
    /// ICMPv4
    Icmpv4(Icmp<'a>),
    /// ICMPv6
    Icmpv6(Icmp<'a>),
    /// SCTP (header bytes)
    Sctp(&'a [u8]),
}

/// ICMP header facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp<'a> {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Identifier, of the types that have one.
    pub id: Option<u16>,
    /// Sequence, of the types that have one.
    pub sequence: Option<u16>,
    /// Header bytes.
    pub header: &'a [u8],
}

/// One IP packet of a frame (or a frame without IP: `ip` is none).
#[derive(Debug, Clone)]
pub struct Packet<'a> {
    /// Number of the frame (for a reassembled datagram: of the frame that completed it).
    pub number: u64,
    /// Time of that frame.
    pub time: Time,
    /// 0 for the outermost packet, +1 for each tunnel.
    pub tunnel_depth: u8,
    /// The tunnel that it came in.
    pub tunnel: Option<Tunnel>,
    /// VLAN identifiers, outermost first; unused = 0.
    pub vlan: [u16; 3],
    /// Number of VLAN tags seen.
    pub vlan_layers: u8,
    /// Source and destination MAC addresses, of Ethernet frames.
    pub ethernet: Option<([u8; 6], [u8; 6])>,
    /// EtherType that led here (0 if none).
    pub ether_type: u16,
    /// IP header; none for ARP and other non-IP frames.
    pub ip: Option<Ip<'a>>,
    /// Transport header.
    pub transport: Transport<'a>,
    /// Ports (0 without).
    pub source_port: u16,
    /// Destination port.
    pub destination_port: u16,
    /// Transport payload (for undecoded protocols: IP payload).
    pub payload: &'a [u8],
    /// All bytes of this packet from its own first header on.
    pub data: &'a [u8],
    /// Transport checksum is wrong (only when checksums are validated): the packet takes no part in the stream.
    pub checksum_bad: bool,
    /// The payload is a tunnel's and is itself given out as a packet: it is inspected there, not here.
    pub carries_packet: bool,
    /// Anomalies found while decoding.
    pub events: DecoderEvents,
    /// Layers besides IP and transport that its own headers had; those of the packet around it are not among them.
    pub layers: Layers,
}

impl<'a> Packet<'a> {
    /// A packet of which nothing is known but its bytes.
    #[inline]
    pub(crate) fn empty(number: u64, time: Time, data: &'a [u8]) -> Self {
        Packet {
            number,
            time,
            tunnel_depth: 0,
            tunnel: None,
            vlan: [0; 3],
            vlan_layers: 0,
            ethernet: None,
            ether_type: 0,
            ip: None,
            transport: Transport::None,
            source_port: 0,
            destination_port: 0,
            payload: &[],
            data,
            checksum_bad: false,
            carries_packet: false,
            events: DecoderEvents::default(),
            layers: Layers::default(),
        }
    }

    /// The TCP header, if the packet has one.
    pub fn tcp(&self) -> Option<&Tcp<'a>> {
        match &self.transport {
            Transport::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// Is the IPv4 header checksum right? None without an IPv4 header.
    pub fn ip_checksum_valid(&self) -> Option<bool> {
        let ip = self.ip.as_ref().filter(|ip| ip.version == 4)?;
        Some(checksum::Sum::default().with(ip.header).is_valid())
    }

    /// Is the checksum of TCP, UDP, ICMPv4 or ICMPv6 right? None for other packets. UDP over IPv4 without a checksum
    /// counts as right (RFC 768).
    pub fn transport_checksum_valid(&self) -> Option<bool> {
        let ip = self.ip.as_ref()?;
        let (header, protocol) = match &self.transport {
            Transport::Tcp(tcp) => (tcp.header, protocols::TCP),
            Transport::Udp(header) => {
                if ip.version == 4 && header.get(6..8) == Some(&[0, 0]) {
                    return Some(true);
                }
                (*header, protocols::UDP)
            }
            Transport::Icmpv4(icmp) => {
                return Some(checksum::Sum::default().with(icmp.header).with(self.payload).is_valid());
            }
            Transport::Icmpv6(icmp) => (icmp.header, protocols::ICMPV6),
            Transport::None | Transport::Sctp(_) => return None,
        };
        let length = (header.len() + self.payload.len()) as u32;
        let sum = checksum::Sum::default().with_pseudo_header(ip.source, ip.destination, protocol, length);
        Some(sum.with(header).with(self.payload).is_valid())
    }
}

/// Fuzz entry point: decodes arbitrary bytes as frames of several link types; the first byte chooses. Returns the number
/// of packets.
pub fn fuzz_frame(data: &[u8]) -> u64 {
    let Some((choice, data)) = data.split_first() else { return 0 };
    let links = [1, 0, 101, 113, 276, 9, 51, 104, 107, 105, 127, 192, 239, 10, 6, 8, 281];
    let link = links.get(usize::from(*choice) % links.len()).copied().unwrap_or(1);
    let mut decoder = Decoder::new(DecoderConfig { gtp_ports: vec![2152], ..DecoderConfig::default() });
    let mut packets = 0;
    // Pieces of 64 KiB at most, and the same again, for the defragmenter.
    for (index, piece) in data.chunks(65_536).chain(data.chunks(97)).enumerate() {
        let time = Time(index as u64);
        let frame = Frame { number: index as u64 + 1, time, link, data: piece, wire_length: piece.len() as u32 };
        decoder.decode(&frame, &mut |packet| {
            packets += 1;
            assert!(packet.payload.len() <= packet.data.len());
            let _ = (packet.ip_checksum_valid(), packet.transport_checksum_valid());
        });
    }
    packets
}
