//! Link layers: link types of captures, Ethernet and what EtherTypes lead to (VLAN, MPLS, PPPoE, bridging tags).

use crate::decoder::{Outcome, Walk};
use crate::{DecoderEvent, Layers, Packet};

/// LINKTYPE_* values that are decoded.
pub mod link_types {
    #![allow(missing_docs)]
    pub const NULL: u16 = 0;
    pub const ETHERNET: u16 = 1;
    pub const TOKEN_RING: u16 = 6;
    pub const SLIP: u16 = 8;
    pub const PPP: u16 = 9;
    pub const FDDI: u16 = 10;
    pub const RAW_BSD: u16 = 12;
    pub const RAW_OPENBSD: u16 = 14;
    pub const PPP_HDLC: u16 = 50;
    pub const PPP_ETHER: u16 = 51;
    pub const RAW: u16 = 101;
    pub const C_HDLC: u16 = 104;
    pub const IEEE802_11: u16 = 105;
    pub const FRELAY: u16 = 107;
    pub const LOOP: u16 = 108;
    pub const LINUX_SLL: u16 = 113;
    pub const PRISM: u16 = 119;
    pub const RADIOTAP: u16 = 127;
    pub const PPI: u16 = 192;
    pub const IPNET: u16 = 226;
    pub const IPV4: u16 = 228;
    pub const IPV6: u16 = 229;
    pub const NFLOG: u16 = 239;
    pub const LINUX_SLL2: u16 = 276;
    pub const BROADCOM_TAG: u16 = 281;
    pub const DSA_TAG: u16 = 284;
}

/// EtherTypes that are decoded.
pub mod ether_types {
    #![allow(missing_docs)]
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const TRANSPARENT_ETHERNET: u16 = 0x6558;
    pub const VLAN: u16 = 0x8100;
    pub const IPV6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    pub const PPPOE_DISCOVERY: u16 = 0x8863;
    pub const PPPOE_SESSION: u16 = 0x8864;
    pub const PPP: u16 = 0x880b;
    pub const PROVIDER_BRIDGE: u16 = 0x88a8;
    pub const ERSPAN: u16 = 0x88be;
    pub const PROVIDER_BACKBONE: u16 = 0x88e7;
    pub const FABRIC_PATH: u16 = 0x8903;
    pub const VN_TAG: u16 = 0x8926;
    pub const E_TAG: u16 = 0x893f;
    pub const NSH: u16 = 0x894f;
    pub const QINQ_OLD: u16 = 0x9100;
}

/// The number of two bytes.
#[inline]
pub(crate) fn be16(data: &[u8], at: usize) -> Option<u16> {
    let raw = data.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*raw))
}

impl Walk<'_> {
    pub(crate) fn link<'a>(&mut self, p: &mut Packet<'a>, link: u16, data: &'a [u8]) -> Outcome<'a> {
        use link_types::*;
        p.layers.insert(match link {
            RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => Layers::RAW,
            NULL | LOOP => Layers::NULL,
            LINUX_SLL => Layers::SLL,
            LINUX_SLL2 => Layers::SLL2,
            C_HDLC => Layers::CHDLC,
            _ => Layers::default(),
        });
        match link {
            ETHERNET => self.ethernet(p, data),
            RAW | RAW_BSD | RAW_OPENBSD | IPV4 | IPV6 => self.raw(p, data),
            NULL | LOOP => self.null(p, data),
            LINUX_SLL => self.cooked(p, data, 16, 14, DecoderEvent::SLL_PKT_TOO_SMALL),
            LINUX_SLL2 => self.cooked(p, data, 20, 0, DecoderEvent::SLL2_PKT_TOO_SMALL),
            PPP | PPP_HDLC => self.ppp(p, data),
            PPP_ETHER => self.pppoe_session(p, data),
            C_HDLC => self.cooked(p, data, 4, 2, DecoderEvent::CHDLC_PKT_TOO_SMALL),
            _ => self.rare_link(p, link, data),
        }
    }

    /// Link types of few captures; Weir decodes them to the first IP header.
    #[cold]
    fn rare_link<'a>(&mut self, p: &mut Packet<'a>, link: u16, data: &'a [u8]) -> Outcome<'a> {
        use link_types::*;
        let inner = match link {
            // RFC 1055 with a 16-byte pseudo header (direction, compressed header).
            SLIP => data.get(16..).map(|ip| (0, ip)),
            FDDI => data.get(13..).and_then(snap),
            TOKEN_RING => token_ring(data),
            FRELAY => frame_relay(data),
            IEEE802_11 => wireless(data),
            RADIOTAP => length_prefixed(data).and_then(wireless),
            PRISM => data.get(144..).and_then(wireless),
            PPI => match data {
                [_, _, _, _, 105, 0, 0, 0, ..] => length_prefixed(data).and_then(wireless),
                [_, _, _, _, 1, 0, 0, 0, ..] => length_prefixed(data).and_then(untagged_ethernet),
                _ => None,
            },
            IPNET => data.get(24..).map(|ip| (0, ip)),
            NFLOG => nflog_payload(data).map(|ip| (0, ip)),
            // Switch tags of four bytes between the addresses and the EtherType.
            BROADCOM_TAG | DSA_TAG => be16(data, 16).and_then(|ty| data.get(18..).map(|rest| (ty, rest))),
            _ => {
                p.events.insert(DecoderEvent::LINK_UNSUPPORTED);
                return Outcome::Done;
            }
        };
        match inner {
            // 0 stands for "an IP header of either version".
            Some((0, ip)) => self.raw(p, ip),
            Some((ether_type, rest)) => {
                if !self.deeper(p) {
                    return Outcome::Failed;
                }
                self.network(p, ether_type, rest)
            }
            // Management frames, encrypted data, other encapsulations: nothing of IP to see.
            None => Outcome::Done,
        }
    }

    pub(crate) fn ethernet<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        let Some((header, rest)) = data.split_first_chunk::<14>() else {
            p.events.insert(DecoderEvent::ETHERNET_PKT_TOO_SMALL);
            return Outcome::Failed;
        };
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *header;
        p.ethernet = Some(([s0, s1, s2, s3, s4, s5], [d0, d1, d2, d3, d4, d5]));
        match self.network(p, u16::from_be_bytes([t0, t1]), rest) {
            Outcome::Failed | Outcome::UnknownType => Outcome::Done,
            outcome => outcome,
        }
    }

    /// What an EtherType leads to.
    #[inline]
    pub(crate) fn network<'a>(&mut self, p: &mut Packet<'a>, ether_type: u16, data: &'a [u8]) -> Outcome<'a> {
        use ether_types::*;
        p.ether_type = ether_type;
        match ether_type {
            IPV4 => self.ipv4(p, data),
            IPV6 => self.ipv6(p, data),
            VLAN | PROVIDER_BRIDGE | QINQ_OLD => self.vlan(p, data),
            ARP => arp(p, data),
            MPLS | MPLS_MULTICAST => self.mpls(p, data),
            PPPOE_DISCOVERY => {
                p.layers.insert(Layers::PPPOE);
                pppoe_discovery(p, data)
            }
            PPPOE_SESSION => self.pppoe_session(p, data),
            PROVIDER_BACKBONE => self.provider_backbone(p, data),
            FABRIC_PATH => match data.get(2..) {
                Some(rest) => self.ethernet(p, rest),
                None => fail(p, DecoderEvent::DCE_PKT_TOO_SMALL),
            },
            VN_TAG => {
                p.layers.insert(Layers::VN_TAG);
                self.tag(p, data, 4, DecoderEvent::VNTAG_HEADER_TOO_SMALL, DecoderEvent::VNTAG_UNKNOWN_TYPE)
            }
            E_TAG => {
                p.layers.insert(Layers::E_TAG);
                self.tag(p, data, 6, DecoderEvent::ETAG_HEADER_TOO_SMALL, DecoderEvent::ETAG_UNKNOWN_TYPE)
            }
            NSH => self.nsh(p, data),
            _ => {
                p.events.insert(DecoderEvent::ETHERNET_UNKNOWN_ETHERTYPE);
                Outcome::UnknownType
            }
        }
    }

    /// IEEE 802.1ah: I-TAG (4 bytes), customer destination and source address, EtherType.
    fn provider_backbone<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        p.layers.insert(Layers::PROVIDER_BACKBONE);
        match (be16(data, 16), data.get(18..)) {
            (Some(inner), Some(rest)) if self.deeper(p) => self.network(p, inner, rest),
            (Some(_), Some(_)) => Outcome::Failed,
            _ => fail(p, DecoderEvent::IEEE8021AH_HEADER_TOO_SMALL),
        }
    }

    fn vlan<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        let slot = p.vlan.get_mut(p.vlan_layers as usize);
        let Some(slot) = slot else { return fail(p, DecoderEvent::VLAN_TOO_MANY_LAYERS) };
        let Some(([c0, c1, t0, t1], rest)) = data.split_first_chunk::<4>() else {
            return fail(p, DecoderEvent::VLAN_HEADER_TOO_SMALL);
        };
        *slot = u16::from_be_bytes([*c0, *c1]) & 0x0fff;
        p.vlan_layers += 1;
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        match self.network(p, u16::from_be_bytes([*t0, *t1]), rest) {
            Outcome::UnknownType => fail(p, DecoderEvent::VLAN_UNKNOWN_TYPE),
            outcome => outcome,
        }
    }

    /// A tag of `length` bytes before an EtherType.
    fn tag<'a>(
        &mut self,
        p: &mut Packet<'a>,
        data: &'a [u8],
        length: usize,
        too_small: DecoderEvent,
        unknown: DecoderEvent,
    ) -> Outcome<'a> {
        let (Some(ether_type), Some(rest)) = (be16(data, length), data.get(length + 2..)) else {
            return fail(p, too_small);
        };
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        match self.network(p, ether_type, rest) {
            Outcome::UnknownType => fail(p, unknown),
            outcome => outcome,
        }
    }

    /// Pseudo headers with an EtherType at `at`.
    fn cooked<'a>(
        &mut self,
        p: &mut Packet<'a>,
        data: &'a [u8],
        length: usize,
        at: usize,
        too_small: DecoderEvent,
    ) -> Outcome<'a> {
        let (Some(ether_type), Some(rest)) = (be16(data, at), data.get(length..)) else { return fail(p, too_small) };
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        self.network(p, ether_type, rest)
    }

    /// An IP header of either version.
    fn raw<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        if data.len() < 20 {
            return fail(p, DecoderEvent::IPV4_PKT_TOO_SMALL);
        }
        match data.first().map(|byte| byte >> 4) {
            Some(4) => self.network(p, ether_types::IPV4, data),
            Some(6) => self.network(p, ether_types::IPV6, data),
            _ => fail(p, DecoderEvent::IPRAW_INVALID_IP_VERSION),
        }
    }

    /// BSD loopback: the address family in the byte order of the capturing host.
    fn null<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        let Some((family, rest)) = data.split_first_chunk::<4>() else {
            return fail(p, DecoderEvent::LTNULL_PKT_TOO_SMALL);
        };
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        let family = u32::from_le_bytes(*family);
        let family = if family > 0xffff { family.swap_bytes() } else { family };
        match family {
            2 => self.network(p, ether_types::IPV4, rest),
            // IPv6 is 10 on Linux, 24 on NetBSD and OpenBSD, 26 on Solaris, 28 on FreeBSD, 30 on macOS.
            10 | 24 | 26 | 28 | 30 => self.network(p, ether_types::IPV6, rest),
            _ => fail(p, DecoderEvent::LTNULL_UNSUPPORTED_TYPE),
        }
    }

    /// PPP with or without address and control bytes (RFC 1662), protocol of one or two bytes.
    pub(crate) fn ppp<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        p.layers.insert(Layers::PPP);
        if data.len() < 4 {
            return fail(p, DecoderEvent::PPP_PKT_TOO_SMALL);
        }
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        match data {
            [0xff, 0x03, rest @ ..] => self.ppp_protocol(p, rest),
            // Cisco HDLC in PPP captures.
            [0x0f | 0x8f, 0x00, t0, t1, rest @ ..] => self.network(p, u16::from_be_bytes([*t0, *t1]), rest),
            _ => self.ppp_protocol(p, data),
        }
    }

    fn ppp_protocol<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        let (protocol, rest) = match data {
            // An odd first byte is a compressed protocol field (RFC 1661, section 6.5).
            [low, rest @ ..] if low & 1 == 1 => (u16::from(*low), rest),
            [high, low, rest @ ..] => (u16::from_be_bytes([*high, *low]), rest),
            _ => return fail(p, DecoderEvent::PPP_PKT_TOO_SMALL),
        };
        match protocol {
            0x0021 if rest.len() < 20 => fail(p, DecoderEvent::PPP_IP4_PKT_TOO_SMALL),
            0x0021 => self.network(p, ether_types::IPV4, rest),
            0x0057 if rest.len() < 40 => fail(p, DecoderEvent::PPP_IP6_PKT_TOO_SMALL),
            0x0057 => self.network(p, ether_types::IPV6, rest),
            // Van Jacobson, uncompressed: an IPv4 header whose protocol field is a connection number.
            0x002f if rest.len() < 20 => fail(p, DecoderEvent::PPP_VJU_PKT_TOO_SMALL),
            0x002f if rest.first().is_some_and(|byte| byte >> 4 == 4) => self.network(p, ether_types::IPV4, rest),
            0x002f => Outcome::Done,
            0x0281 | 0x0283 if self.deeper(p) => self.mpls(p, rest),
            // Network protocols that are not decoded.
            0x0023 | 0x0025 | 0x0027 | 0x0029 | 0x002b | 0x002d | 0x0031 | 0x0033 | 0x0035 | 0x003d | 0x00fb
            | 0x00fd | 0x0201 | 0x0231 | 0x0233 => {
                p.events.insert(DecoderEvent::PPP_UNSUP_PROTO);
                Outcome::Done
            }
            // Network control (0x8...) and link control (0xc...) protocols of those.
            0x8021 | 0x8023 | 0x8025 | 0x8027 | 0x8029 | 0x802b | 0x8031 | 0x8033 | 0x8035 | 0x803d | 0x8057
            | 0x80fb | 0x80fd | 0x8281 | 0xc021 | 0xc023 | 0xc025 | 0xc223 => Outcome::Done,
            _ => fail(p, DecoderEvent::PPP_WRONG_TYPE),
        }
    }

    /// RFC 2516, session stage.
    fn pppoe_session<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        p.layers.insert(Layers::PPPOE);
        if data.len() < 7 {
            return fail(p, DecoderEvent::PPPOE_PKT_TOO_SMALL);
        }
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        match data.get(6..) {
            Some(ppp) => self.ppp_protocol(p, ppp),
            None => fail(p, DecoderEvent::PPPOE_PKT_TOO_SMALL),
        }
    }

    /// RFC 3032 label stack; the payload's kind by label or by its first nibble.
    fn mpls<'a>(&mut self, p: &mut Packet<'a>, mut data: &'a [u8]) -> Outcome<'a> {
        p.layers.insert(Layers::MPLS);
        loop {
            let Some((shim, rest)) = data.split_first_chunk::<4>() else {
                return fail(p, DecoderEvent::MPLS_HEADER_TOO_SMALL);
            };
            if !self.deeper(p) {
                return Outcome::Failed;
            }
            data = rest;
            let shim = u32::from_be_bytes(*shim);
            if shim & 0x100 == 0 {
                continue;
            }
            match shim >> 12 {
                0 => return self.network(p, ether_types::IPV4, data),
                1 => p.events.insert(DecoderEvent::MPLS_BAD_LABEL_ROUTER_ALERT),
                2 => return self.network(p, ether_types::IPV6, data),
                3 => p.events.insert(DecoderEvent::MPLS_BAD_LABEL_IMPLICIT_NULL),
                4..15 => p.events.insert(DecoderEvent::MPLS_BAD_LABEL_RESERVED),
                _ => {
                    let Some(first) = data.first().filter(|_| data.len() >= 4) else {
                        return fail(p, DecoderEvent::MPLS_PKT_TOO_SMALL);
                    };
                    match first >> 4 {
                        4 => return self.network(p, ether_types::IPV4, data),
                        6 => return self.network(p, ether_types::IPV6, data),
                        // Pseudowire control word (RFC 4385).
                        0 => return self.ethernet(p, data.get(4..).unwrap_or_default()),
                        _ => p.events.insert(DecoderEvent::MPLS_UNKNOWN_PAYLOAD_TYPE),
                    }
                }
            }
            return Outcome::Done;
        }
    }

    /// RFC 8300.
    pub(crate) fn nsh<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        p.layers.insert(Layers::NSH);
        let Some((header, _)) = data.split_first_chunk::<8>() else {
            return fail(p, DecoderEvent::NSH_HEADER_TOO_SMALL);
        };
        let length = usize::from(header[1] & 0x3f) * 4;
        let (kind, next) = (header[2] & 0x0f, header[3]);
        if header[0] >> 6 != 0 {
            return fail(p, DecoderEvent::NSH_UNSUPPORTED_VERSION);
        }
        let inner = data.get(length..).filter(|_| length >= 8);
        let Some(inner) = inner.filter(|inner| !inner.is_empty() && (kind != 1 || length == 24)) else {
            return fail(p, DecoderEvent::NSH_BAD_HEADER_LENGTH);
        };
        match kind {
            1 | 2 => {}
            0 | 15 => return fail(p, DecoderEvent::NSH_RESERVED_TYPE),
            _ => return fail(p, DecoderEvent::NSH_UNSUPPORTED_TYPE),
        }
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        match next {
            1 => self.network(p, ether_types::IPV4, inner),
            2 => self.network(p, ether_types::IPV6, inner),
            3 => self.ethernet(p, inner),
            5 => self.mpls(p, inner),
            _ => fail(p, DecoderEvent::NSH_UNKNOWN_PAYLOAD),
        }
    }
}

pub(crate) fn fail<'a>(p: &mut Packet<'a>, event: DecoderEvent) -> Outcome<'a> {
    p.events.insert(event);
    Outcome::Failed
}

/// RFC 826 for IPv4 over Ethernet.
fn arp<'a>(p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
    let Some((header, rest)) = data.split_first_chunk::<8>() else {
        return fail(p, DecoderEvent::ARP_PKT_TOO_SMALL);
    };
    p.payload = data;
    let [h0, h1, p0, p1, hardware_size, protocol_size, o0, o1] = *header;
    if u16::from_be_bytes([h0, h1]) != 1 {
        return fail(p, DecoderEvent::ARP_UNSUPPORTED_HARDWARE);
    }
    if u16::from_be_bytes([p0, p1]) != ether_types::IPV4 {
        return fail(p, DecoderEvent::ARP_UNSUPPORTED_PROTOCOL);
    }
    if hardware_size != 6 {
        return fail(p, DecoderEvent::ARP_INVALID_HARDWARE_SIZE);
    }
    if protocol_size != 4 {
        return fail(p, DecoderEvent::ARP_INVALID_PROTOCOL_SIZE);
    }
    if rest.len() < 20 {
        return fail(p, DecoderEvent::ARP_INVALID_PKT);
    }
    match u16::from_be_bytes([o0, o1]) {
        // Requests and replies of ARP, RARP, InARP.
        1..=4 | 8 | 9 => Outcome::Done,
        _ => fail(p, DecoderEvent::ARP_UNSUPPORTED_OPCODE),
    }
}

/// RFC 2516, discovery stage.
fn pppoe_discovery<'a>(p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
    let Some((header, tags)) = data.split_first_chunk::<6>() else {
        return fail(p, DecoderEvent::PPPOE_PKT_TOO_SMALL);
    };
    if !matches!(header[1], 0x07 | 0x09 | 0x19 | 0x65 | 0xa7) {
        return fail(p, DecoderEvent::PPPOE_WRONG_CODE);
    }
    if usize::from(u16::from_be_bytes([header[4], header[5]])) > tags.len() {
        return fail(p, DecoderEvent::PPPOE_MALFORMED_TAGS);
    }
    Outcome::Done
}

/// LLC with SNAP (IEEE 802.2): the EtherType and what follows.
fn snap(data: &[u8]) -> Option<(u16, &[u8])> {
    match data {
        [0xaa, 0xaa, 0x03, 0, 0, 0, t0, t1, rest @ ..] => Some((u16::from_be_bytes([*t0, *t1]), rest)),
        // IP directly in LLC (SAP 6).
        [0x06, 0x06, 0x03, rest @ ..] => Some((ether_types::IPV4, rest)),
        _ => None,
    }
}

/// IEEE 802.5: 14 bytes, and a routing field if the source address says so.
fn token_ring(data: &[u8]) -> Option<(u16, &[u8])> {
    let routed = data.get(8)? & 0x80 != 0;
    let routing = if routed { usize::from(data.get(14)? & 0x1f) } else { 0 };
    snap(data.get(14 + routing..)?)
}

/// RFC 2427: address of two to four bytes, control, network layer protocol identifier.
fn frame_relay(data: &[u8]) -> Option<(u16, &[u8])> {
    // The lowest bit of an address byte ends the address.
    let end = data.iter().take(4).position(|byte| byte & 1 == 1)?;
    let rest = match data.get(end + 1..)? {
        [0x03, 0x00, rest @ ..] | [0x03, rest @ ..] => rest,
        // Cisco encapsulation: the EtherType follows the address.
        [t0, t1, rest @ ..] => return Some((u16::from_be_bytes([*t0, *t1]), rest)),
        _ => return None,
    };
    match rest {
        [0xcc, rest @ ..] => Some((ether_types::IPV4, rest)),
        [0x8e, rest @ ..] => Some((ether_types::IPV6, rest)),
        [0x80, 0, 0, 0, t0, t1, rest @ ..] => Some((u16::from_be_bytes([*t0, *t1]), rest)),
        _ => None,
    }
}

/// Behind a header that holds its own length, little-endian, in bytes 2 and 3.
fn length_prefixed(data: &[u8]) -> Option<&[u8]> {
    let length = u16::from_le_bytes(*data.get(2..)?.first_chunk::<2>()?);
    data.get(usize::from(length).max(4)..)
}

fn untagged_ethernet(data: &[u8]) -> Option<(u16, &[u8])> {
    Some((be16(data, 12)?, data.get(14..)?))
}

/// IEEE 802.11: unprotected data frames that hold LLC/SNAP.
fn wireless(data: &[u8]) -> Option<(u16, &[u8])> {
    let [control, flags] = *data.first_chunk::<2>()?;
    let (kind, subtype) = (control >> 2 & 3, control >> 4);
    // Data, with payload (subtype bit 2 clear), first fragment or whole, not protected.
    if kind != 2 || subtype & 4 != 0 || flags & 0x40 != 0 {
        return None;
    }
    if data.get(22)? & 0x0f != 0 || flags & 0x04 != 0 {
        return None;
    }
    let mut length = 24;
    if flags & 3 == 3 {
        length += 6;
    }
    if subtype & 8 != 0 {
        // QoS control; bit 7 marks an aggregate, whose parts are not taken apart.
        if data.get(length)? & 0x80 != 0 {
            return None;
        }
        length += if flags & 0x80 != 0 { 6 } else { 2 };
    }
    snap(data.get(length..)?)
}

/// Linux netfilter log: attributes of (length, type), little-endian; type 9 is the packet.
fn nflog_payload(data: &[u8]) -> Option<&[u8]> {
    let mut rest = data.get(4..)?;
    loop {
        let length = usize::from(u16::from_le_bytes(*rest.first_chunk::<2>()?));
        let kind = u16::from_le_bytes(*rest.get(2..)?.first_chunk::<2>()?);
        if kind == 9 {
            return rest.get(4..length);
        }
        // Every step consumes at least the attribute's own header.
        rest = rest.get(length.max(4).next_multiple_of(4)..)?;
    }
}
