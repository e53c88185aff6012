//! Transport headers: TCP with options, UDP, SCTP, ESP, IGMP.

use crate::decoder::{Entry, Outcome, Walk};
use crate::link::{ether_types, fail};
use crate::{DecoderEvent, Packet, Tcp, Transport};

/// IP protocol numbers that are decoded.
pub mod protocols {
    #![allow(missing_docs)]
    pub const HOP_BY_HOP: u8 = 0;
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6: u8 = 41;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const GRE: u8 = 47;
    pub const ESP: u8 = 50;
    pub const AH: u8 = 51;
    pub const ICMPV6: u8 = 58;
    pub const NO_NEXT_HEADER: u8 = 59;
    pub const DESTINATION_OPTIONS: u8 = 60;
    pub const SCTP: u8 = 132;
    pub const MOBILITY: u8 = 135;
    pub const HIP: u8 = 139;
    pub const SHIM6: u8 = 140;
}

impl Walk<'_> {
    pub(crate) fn tcp<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        let Some((fixed, _)) = data.split_first_chunk::<20>() else {
            return fail(p, DecoderEvent::TCP_PKT_TOO_SMALL);
        };
        let length = usize::from(fixed[12] >> 4) * 4;
        let Some((header, payload)) = data.split_at_checked(length) else {
            return fail(p, DecoderEvent::TCP_HLEN_TOO_SMALL);
        };
        let Some(options) = header.get(20..) else {
            return fail(p, DecoderEvent::TCP_INVALID_OPTLEN);
        };
        let mut tcp = Tcp {
            sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            flags: fixed[13],
            window: u16::from_be_bytes([fixed[14], fixed[15]]),
            urgent: u16::from_be_bytes([fixed[18], fixed[19]]),
            header,
            mss: None,
            window_scale: None,
            timestamp: None,
            sack_permitted: false,
        };
        match options {
            [] => {}
            // The usual form of established sessions.
            [1, 1, 8, 10, v0, v1, v2, v3, e0, e1, e2, e3] => {
                tcp.timestamp =
                    Some((u32::from_be_bytes([*v0, *v1, *v2, *v3]), u32::from_be_bytes([*e0, *e1, *e2, *e3])));
            }
            _ => tcp_options(p, &mut tcp, options),
        }
        p.source_port = u16::from_be_bytes([fixed[0], fixed[1]]);
        p.destination_port = u16::from_be_bytes([fixed[2], fixed[3]]);
        p.transport = Transport::Tcp(tcp);
        p.payload = payload;
        Outcome::Done
    }

    pub(crate) fn udp<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        let Some((header, _)) = data.split_first_chunk::<8>() else {
            return fail(p, DecoderEvent::UDP_HLEN_TOO_SMALL);
        };
        let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
        let ports = (u16::from_be_bytes([header[0], header[1]]), u16::from_be_bytes([header[2], header[3]]));
        if length < 8 {
            return fail(p, DecoderEvent::UDP_LEN_INVALID);
        }
        let Some(datagram) = data.get(..length) else {
            return fail(p, DecoderEvent::UDP_PKT_TOO_SMALL);
        };
        let (header, payload) = datagram.split_at_checked(8).unwrap_or((datagram, &[]));
        p.source_port = ports.0;
        p.destination_port = ports.1;
        p.transport = Transport::Udp(header);
        p.payload = payload;
        self.udp_tunnel(p, payload).unwrap_or(Outcome::Done)
    }

    pub(crate) fn sctp<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        let Some((header, payload)) = data.split_at_checked(12) else {
            return fail(p, DecoderEvent::SCTP_PKT_TOO_SMALL);
        };
        if payload.len() < 4 {
            p.events.insert(DecoderEvent::SCTP_CHUNK_TOO_SMALL);
        }
        if let [s0, s1, d0, d1, ..] = *header {
            p.source_port = u16::from_be_bytes([s0, s1]);
            p.destination_port = u16::from_be_bytes([d0, d1]);
        }
        p.transport = Transport::Sctp(header);
        p.payload = payload;
        Outcome::Done
    }

    /// A transport protocol of either IP version; none if it is not one of those.
    #[inline]
    pub(crate) fn common_transport<'a>(
        &mut self,
        p: &mut Packet<'a>,
        protocol: u8,
        data: &'a [u8],
    ) -> Option<Outcome<'a>> {
        let outcome = match protocol {
            protocols::TCP => self.tcp(p, data),
            protocols::UDP => self.udp(p, data),
            protocols::SCTP => self.sctp(p, data),
            protocols::GRE => self.gre(p, data),
            protocols::ESP => {
                if data.len() < 8 {
                    p.events.insert(DecoderEvent::ESP_PKT_TOO_SMALL);
                }
                Outcome::Done
            }
            _ => return None,
        };
        // A broken transport header leaves the IP packet good.
        Some(if let Outcome::Failed = outcome { Outcome::Done } else { outcome })
    }
}

fn tcp_options(p: &mut Packet<'_>, tcp: &mut Tcp<'_>, mut options: &[u8]) {
    let mut seen = 0u32;
    loop {
        let (kind, length) = match *options {
            [] | [0, ..] => return,
            [1, ..] => {
                options = options.get(1..).unwrap_or_default();
                continue;
            }
            [kind, length, ..] => (kind, usize::from(length)),
            [_] => return,
        };
        let value = options.get(2..length).filter(|_| length >= 2);
        let (Some(value), Some(rest)) = (value, options.get(length..)) else {
            p.events.insert(DecoderEvent::TCP_OPT_INVALID_LEN);
            return;
        };
        options = rest;
        let good = match (kind, value) {
            (2, [m0, m1]) => {
                tcp.mss.get_or_insert(u16::from_be_bytes([*m0, *m1]));
                true
            }
            (3, [scale]) => {
                // Larger shifts count as 14 (RFC 7323, section 2.3).
                tcp.window_scale.get_or_insert((*scale).min(14));
                if *scale > 14 {
                    p.events.insert(DecoderEvent::TCP_OPT_WSCALE_OVER_MAX);
                }
                true
            }
            (4, []) => {
                tcp.sack_permitted = true;
                true
            }
            (8, [v0, v1, v2, v3, e0, e1, e2, e3]) => {
                let value = u32::from_be_bytes([*v0, *v1, *v2, *v3]);
                tcp.timestamp.get_or_insert((value, u32::from_be_bytes([*e0, *e1, *e2, *e3])));
                true
            }
            (5, blocks) => matches!(blocks.len(), 8 | 16 | 24 | 32),
            // Fast open: no cookie, or one of 4 to 16 bytes, even (RFC 7413, section 4.1.1).
            (34, cookie) => cookie.is_empty() || matches!(cookie.len(), 4..=16) && cookie.len() % 2 == 0,
            (19, digest) => digest.len() == 16,
            (29, authentication) => authentication.len() >= 2,
            // Experiments (RFC 6994): fast open's, without and with a cookie of 8 bytes; other lengths are reported.
            (253 | 254, experiment) => {
                if experiment.len() == 2 || experiment.len() == 10 {
                    continue;
                }
                false
            }
            (2 | 3 | 4 | 8, _) => false,
            _ => continue,
        };
        let bit = 1u32.checked_shl(u32::from(kind)).unwrap_or(1);
        if !good {
            p.events.insert(DecoderEvent::TCP_OPT_INVALID_LEN);
        } else if seen & bit != 0 {
            p.events.insert(DecoderEvent::TCP_OPT_DUPLICATE);
        }
        seen |= bit;
    }
}

/// IGMP: sizes by version (RFC 2236, RFC 3376).
pub(crate) fn igmp(p: &mut Packet<'_>, data: &[u8]) {
    let Some((header, rest)) = data.split_first_chunk::<8>() else {
        p.events.insert(DecoderEvent::IGMP_PKT_TOO_SMALL);
        return;
    };
    match (header[0], rest) {
        // A query of more than 8 bytes is version 3 and has at least 12.
        (0x11, [_, _, c0, c1, sources @ ..]) if sources.len() < 4 * usize::from(u16::from_be_bytes([*c0, *c1])) => {
            p.events.insert(DecoderEvent::IGMP_MALFORMED);
        }
        (0x11, [_] | [_, _] | [_, _, _]) => p.events.insert(DecoderEvent::IGMP_V3_PKT_TOO_SMALL),
        (0x22, records) if records.len() < 8 * usize::from(u16::from_be_bytes([header[6], header[7]])) => {
            p.events.insert(DecoderEvent::IGMP_MALFORMED);
        }
        _ => {}
    }
}

/// The tunnel entry of an EtherType in GRE and GENEVE.
pub(crate) fn entry_of(ether_type: u16) -> Option<Entry> {
    match ether_type {
        ether_types::IPV4 => Some(Entry::Ipv4),
        ether_types::IPV6 => Some(Entry::Ipv6),
        ether_types::TRANSPARENT_ETHERNET => Some(Entry::Ethernet),
        ether_types::PPP => Some(Entry::Ppp),
        ether_types::ERSPAN => Some(Entry::Erspan2),
        ether_types::NSH => Some(Entry::Nsh),
        ether_types::VLAN | ether_types::MPLS | ether_types::MPLS_MULTICAST | ether_types::ARP => {
            Some(Entry::EtherType(ether_type))
        }
        _ => None,
    }
}
