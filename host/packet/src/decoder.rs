//! The walk from a frame to its packets: one packet per IP layer, outermost first, then the datagrams it completes.
//!
//! Invariants: no allocation per packet (only the defragmenter's buffers, which are pooled), at most
//! [`DecoderConfig::max_layers`] headers per frame whatever it holds, results depend only on frames in order.

use crate::defrag::{Datagram, DefragConfig, DefragStats, Defragmenter};
use crate::{DecoderEvent, Frame, Packet, Time, Tunnel};

/// What to do with transport checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checksums {
    /// Compute them; a wrong one marks the packet ([`Packet::checksum_bad`]).
    #[default]
    Validate,
    /// Take every checksum for right. For captures of hosts that leave them to the card.
    Ignore,
}

/// Settings of a [`Decoder`].
#[derive(Debug, Clone)]
pub struct DecoderConfig {
    /// Transport checksums.
    pub checksums: Checksums,
    /// Headers decoded in one frame, tunnels included; then `too_many_layers`.
    pub max_layers: u8,
    /// UDP ports of VXLAN.
    pub vxlan_ports: Vec<u16>,
    /// UDP ports of GENEVE.
    pub geneve_ports: Vec<u16>,
    /// UDP ports of Teredo. Empty: none.
    pub teredo_ports: Vec<u16>,
    /// UDP ports of GTP-U. Empty (the default): user traffic in GTP is not decoded.
    pub gtp_ports: Vec<u16>,
    /// Decode ERSPAN type I. It has no header of its own: the GRE protocol alone tells it.
    pub erspan_type_1: bool,
    /// The defragmenter.
    pub defrag: DefragConfig,
}

impl Default for DecoderConfig {
    fn default() -> Self {
        DecoderConfig {
            checksums: Checksums::Validate,
            max_layers: 16,
            vxlan_ports: vec![4789],
            geneve_ports: vec![6081],
            teredo_ports: vec![3544],
            gtp_ports: Vec::new(),
            erspan_type_1: true,
            defrag: DefragConfig::default(),
        }
    }
}

/// Counters of a [`Decoder`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecoderStats {
    /// Frames taken.
    pub frames: u64,
    /// Packets given out, frames without IP included.
    pub packets: u64,
    /// Bytes of the frames.
    pub bytes: u64,
    /// Packets without a usable IP header.
    pub without_ip: u64,
    /// Inner packets of tunnels given out.
    pub tunnelled: u64,
    /// Tunnel payloads that were no packet (and are inspected as payload of the outer one).
    pub tunnel_rejected: u64,
    /// Frames of link types that are not decoded.
    pub unsupported_link: u64,
    /// Frames whose layers exceeded the limit.
    pub too_many_layers: u64,
    /// Packets with a wrong transport checksum.
    pub checksum_bad: u64,
    /// Fragments seen.
    pub fragments: u64,
    /// Datagrams put together.
    pub reassembled: u64,
}

/// Decodes frames in order.
pub struct Decoder {
    config: DecoderConfig,
    defragmenter: Defragmenter,
    stats: DecoderStats,
    hold: bool,
    held: Vec<HeldDatagram>,
}

/// A datagram put together from fragments that is still to be decoded.
#[derive(Debug, Clone)]
pub struct HeldDatagram {
    origin: Origin,
    entry: Entry,
    bytes: Vec<u8>,
    layers: u8,
}

impl HeldDatagram {
    /// Number of the frame that completed it.
    pub fn number(&self) -> u64 {
        self.origin.number
    }
}

/// What a tunnel's payload starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The frame itself, by link type.
    Link(u16),
    Ethernet,
    EtherType(u16),
    Ipv4,
    Ipv6,
    Ppp,
    Erspan2,
    Nsh,
}

/// A fragment, as the defragmenter needs it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fragment<'a> {
    /// IPv4 header, or IPv6 header and extension headers before the fragment header.
    pub unfragmentable: &'a [u8],
    /// IPv6: where in `unfragmentable` the next-header byte stands that named the fragment header.
    pub next_header_at: usize,
    /// Protocol of the fragmented part.
    pub protocol: u8,
    pub id: u32,
    /// Bytes.
    pub offset: u32,
    pub more: bool,
    pub data: &'a [u8],
}

/// How the decoding of one packet ended.
#[derive(Debug)]
pub(crate) enum Outcome<'a> {
    /// Nothing more to decode.
    Done,
    /// The header at hand is unusable.
    Failed,
    /// The type field names nothing that is decoded.
    UnknownType,
    /// The payload is a tunnel's.
    Tunnel(Entry, &'a [u8]),
    /// To be collected.
    Fragment(Fragment<'a>),
}

/// The stateless part of decoding: configuration and the layer budget of a frame.
pub(crate) struct Walk<'c> {
    pub config: &'c DecoderConfig,
    layers: u8,
    /// The next IP header is that of a datagram put together from fragments.
    pub reassembled: bool,
}

impl Walk<'_> {
    /// Count a layer; false (and the event) when the budget is spent.
    #[inline]
    pub fn deeper(&mut self, packet: &mut Packet<'_>) -> bool {
        if self.layers >= self.config.max_layers {
            packet.events.insert(DecoderEvent::TOO_MANY_LAYERS);
            return false;
        }
        self.layers += 1;
        true
    }

    fn enter<'a>(&mut self, packet: &mut Packet<'a>, entry: Entry, data: &'a [u8]) -> Outcome<'a> {
        match entry {
            Entry::Link(link) => self.link(packet, link, data),
            Entry::Ethernet => self.ethernet(packet, data),
            Entry::EtherType(ether_type) => self.network(packet, ether_type, data),
            Entry::Ipv4 => self.ipv4(packet, data),
            Entry::Ipv6 => self.ipv6(packet, data),
            Entry::Ppp => self.ppp(packet, data),
            Entry::Erspan2 => self.erspan2(packet, data),
            Entry::Nsh => self.nsh(packet, data),
        }
    }
}

/// What the packets of a frame share.
#[derive(Debug, Clone, Copy)]
struct Origin {
    number: u64,
    time: Time,
    vlan: [u16; 3],
    vlan_layers: u8,
    depth: u8,
    tunnel: Option<Tunnel>,
}

impl Origin {
    #[inline]
    fn packet<'a>(&self, data: &'a [u8]) -> Packet<'a> {
        let mut packet = Packet::empty(self.number, self.time, data);
        packet.vlan = self.vlan;
        packet.vlan_layers = self.vlan_layers;
        packet.tunnel_depth = self.depth;
        packet.tunnel = self.tunnel;
        packet
    }
}

impl Decoder {
    /// A decoder with its own defragmenter.
    pub fn new(config: DecoderConfig) -> Self {
        let defragmenter = Defragmenter::new(config.defrag.clone());
        Decoder { config, defragmenter, stats: DecoderStats::default(), hold: false, held: Vec::new() }
    }

    /// From now on datagrams put together from fragments of outermost packets are kept ([`Self::take_held`]) instead of
    /// decoded behind the fragment that completes them.
    pub fn hold_datagrams(&mut self) {
        self.hold = true;
    }

    /// The datagrams kept since the last call.
    pub fn take_held(&mut self) -> Vec<HeldDatagram> {
        std::mem::take(&mut self.held)
    }

    /// Counters so far.
    pub fn stats(&self) -> DecoderStats {
        self.stats
    }

    /// Counters of the defragmenter.
    pub fn defrag_stats(&self) -> DefragStats {
        self.defragmenter.stats()
    }

    /// The settings.
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// Decode a frame: `sink` gets its packets, outer before inner, and behind a fragment the datagram it completes.
    /// At least one packet is given out per frame.
    #[inline]
    pub fn decode(&mut self, frame: &Frame<'_>, sink: &mut impl FnMut(&Packet<'_>)) {
        self.stats.frames += 1;
        self.stats.bytes += frame.data.len() as u64;
        let origin = Origin { number: frame.number, time: frame.time, vlan: [0; 3], vlan_layers: 0, depth: 0, tunnel: None };
        self.walk(origin, Entry::Link(frame.link), frame.data, 0, sink);
    }

    /// Decode a kept datagram and what is inside it, as [`Self::decode`] would have.
    pub fn decode_held(&mut self, held: &HeldDatagram, sink: &mut impl FnMut(&Packet<'_>)) {
        self.walk(held.origin, held.entry, &held.bytes, held.layers, sink);
    }

    /// Look at the outermost packet of a kept datagram. Changes nothing.
    pub fn peek_held(&self, held: &HeldDatagram, look: impl FnOnce(&Packet<'_>)) {
        self.peek(held.origin, held.entry, &held.bytes, held.layers, look);
    }

    /// Look at the outermost packet of a frame. Changes nothing.
    pub fn peek_frame(&self, frame: &Frame<'_>, look: impl FnOnce(&Packet<'_>)) {
        let origin = Origin { number: frame.number, time: frame.time, vlan: [0; 3], vlan_layers: 0, depth: 0, tunnel: None };
        self.peek(origin, Entry::Link(frame.link), frame.data, 0, look);
    }

    fn peek(&self, origin: Origin, entry: Entry, data: &[u8], layers: u8, look: impl FnOnce(&Packet<'_>)) {
        let mut walk = Walk { config: &self.config, layers, reassembled: layers > 0 };
        let mut packet = origin.packet(data);
        walk.enter(&mut packet, entry, data);
        look(&packet);
    }

    /// Decode a packet and what is inside it. `layers` were spent before. Recursion (one level per datagram put
    /// together) is bounded by the layer budget, because every datagram spends a layer.
    fn walk(
        &mut self,
        mut origin: Origin,
        mut entry: Entry,
        mut data: &[u8],
        layers: u8,
        sink: &mut impl FnMut(&Packet<'_>),
    ) {
        let mut walk = Walk { config: &self.config, layers, reassembled: layers > 0 };
        let mut first = true;
        // The packet around the one at hand: given out once it is known whether its payload is a packet.
        let mut outer: Option<Packet<'_>> = None;
        loop {
            let mut packet = origin.packet(data);
            let outcome = walk.enter(&mut packet, entry, data);
            let rejected = matches!(outcome, Outcome::Failed | Outcome::UnknownType);
            if let Some(mut outer) = outer.take() {
                outer.carries_packet = !rejected;
                sink(&outer);
            }
            if !first && rejected {
                self.stats.tunnel_rejected += 1;
                return;
            }
            if packet.ip.is_none() {
                self.stats.without_ip += 1;
                self.stats.unsupported_link += u64::from(packet.events.contains(DecoderEvent::LINK_UNSUPPORTED));
            }
            if packet.events.contains(DecoderEvent::TOO_MANY_LAYERS) {
                self.stats.too_many_layers += 1;
            }
            if self.config.checksums == Checksums::Validate && packet.transport_checksum_valid() == Some(false) {
                packet.checksum_bad = true;
                self.stats.checksum_bad += 1;
            }
            self.stats.packets += 1;
            self.stats.tunnelled += u64::from(!first);
            match outcome {
                Outcome::Tunnel(inner, payload) => {
                    origin.vlan = packet.vlan;
                    origin.vlan_layers = packet.vlan_layers;
                    origin.depth = origin.depth.saturating_add(1);
                    origin.tunnel = Some(Tunnel::around(&packet));
                    (entry, data, first) = (inner, payload, false);
                    outer = Some(packet);
                    walk.reassembled = false;
                }
                Outcome::Fragment(fragment) => {
                    self.stats.fragments += 1;
                    let layers = walk.layers;
                    let completed = self.defragmenter.insert(&mut packet, &fragment);
                    sink(&packet);
                    if let Some(completed) = completed {
                        self.stats.reassembled += 1;
                        origin.vlan = packet.vlan;
                        origin.vlan_layers = packet.vlan_layers;
                        self.datagram(origin, completed, layers.max(1), sink);
                    }
                    return;
                }
                Outcome::Done | Outcome::Failed | Outcome::UnknownType => {
                    sink(&packet);
                    return;
                }
            }
        }
    }

    /// Decode a datagram put together from fragments.
    #[cold]
    fn datagram(&mut self, origin: Origin, datagram: Datagram, layers: u8, sink: &mut impl FnMut(&Packet<'_>)) {
        let entry = if datagram.version == 4 { Entry::Ipv4 } else { Entry::Ipv6 };
        if self.hold && origin.depth == 0 {
            self.held.push(HeldDatagram { origin, entry, bytes: datagram.bytes, layers });
            return;
        }
        self.walk(origin, entry, &datagram.bytes, layers, sink);
        self.defragmenter.recycle(datagram);
    }
}
