//! IPv6: header, extension headers, hand-over to transports, tunnels and the defragmenter.

use std::net::{IpAddr, Ipv6Addr};

use crate::decoder::{Entry, Fragment, Outcome, Walk};
use crate::link::{be16, fail};
use crate::transport::protocols::*;
use crate::{DecoderEvent, Ip, Packet};

/// Extension headers of one packet that were seen.
#[derive(Default)]
struct Seen {
    hop_by_hop: bool,
    routing: bool,
    fragment: bool,
    authentication: bool,
    destination: u8,
}

/// A fragment header's content.
struct FragmentHeader {
    offset: u16,
    more: bool,
    id: u32,
}

impl Walk<'_> {
    pub(crate) fn ipv6<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        let Some((fixed, _)) = data.split_first_chunk::<40>() else {
            return fail(p, DecoderEvent::IPV6_PKT_TOO_SMALL);
        };
        if fixed[0] >> 4 != 6 {
            return fail(p, DecoderEvent::IPV6_WRONG_IP_VERSION);
        }
        let total = 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let Some(packet) = data.get(..total) else {
            return fail(p, DecoderEvent::IPV6_TRUNC_PKT);
        };
        let address = |at: usize| {
            let mut octets = [0u8; 16];
            octets.copy_from_slice(&fixed[at..at + 16]);
            IpAddr::V6(Ipv6Addr::from(octets))
        };
        let first = fixed[6];
        p.ip = Some(Ip {
            version: 6,
            source: address(8),
            destination: address(24),
            protocol: first,
            ttl: fixed[7],
            tos: (fixed[0] & 15) << 4 | fixed[1] >> 4,
            id: 0,
            fragment_flags: 0,
            fragment_offset: 0,
            is_fragment: false,
            reassembled: self.reassembled,
            header: packet.get(..40).unwrap_or_default(),
            options: &[],
        });
        p.payload = packet.get(40..).unwrap_or_default();
        self.extension_headers(p, packet, first)
    }

    /// From the end of the fixed header. Every round consumes at least 8 bytes, so the loop is bounded by the packet.
    fn extension_headers<'a>(&mut self, p: &mut Packet<'a>, packet: &'a [u8], first: u8) -> Outcome<'a> {
        let mut next = first;
        let mut at = 40;
        // Where the byte stands that names the header at `at`.
        let mut next_at = 6;
        let mut seen = Seen::default();
        loop {
            let rest = packet.get(at..).unwrap_or_default();
            if at > 40 && rest.len() < 2 && next != NO_NEXT_HEADER {
                return truncated(p);
            }
            let length = match next {
                HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING | MOBILITY | HIP | SHIM6 => match rest {
                    [_, units, ..] => 8 + usize::from(*units) * 8,
                    _ => return truncated(p),
                },
                AH => match rest {
                    // RFC 4302, section 2.2: units of 4 bytes, minus 2.
                    [_, units, ..] => (usize::from(*units) + 2) * 4,
                    _ => return truncated(p),
                },
                FRAGMENT => 8,
                _ => return self.upper_layer(p, packet, at, next),
            };
            let Some(header) = rest.get(..length) else { return truncated(p) };
            let Some(&following) = header.first() else { return truncated(p) };
            match next {
                HOP_BY_HOP if seen.hop_by_hop => p.events.insert(DecoderEvent::IPV6_EXTHDR_DUPL_HH),
                HOP_BY_HOP => {
                    seen.hop_by_hop = true;
                    let events = (DecoderEvent::IPV6_HOPOPTS_UNKNOWN_OPT, DecoderEvent::IPV6_HOPOPTS_ONLY_PADDING);
                    options(p, header, events);
                }
                // One before a routing header, one before the upper layer (RFC 8200, section 4.1).
                DESTINATION_OPTIONS if seen.destination >= 2 => p.events.insert(DecoderEvent::IPV6_EXTHDR_DUPL_DH),
                DESTINATION_OPTIONS => {
                    seen.destination += 1;
                    let events = (DecoderEvent::IPV6_DSTOPTS_UNKNOWN_OPT, DecoderEvent::IPV6_DSTOPTS_ONLY_PADDING);
                    options(p, header, events);
                }
                ROUTING if seen.routing => p.events.insert(DecoderEvent::IPV6_EXTHDR_DUPL_RH),
                ROUTING => {
                    seen.routing = true;
                    if header.get(2) == Some(&0) {
                        p.events.insert(DecoderEvent::IPV6_RH_TYPE_0);
                    }
                }
                AH if seen.authentication => p.events.insert(DecoderEvent::IPV6_EXTHDR_DUPL_AH),
                AH => {
                    seen.authentication = true;
                    if be16(header, 2) != Some(0) {
                        p.events.insert(DecoderEvent::IPV6_EXTHDR_AH_RES_NOT_NULL);
                    }
                }
                FRAGMENT => {
                    let duplicate = std::mem::replace(&mut seen.fragment, true);
                    let data = rest.get(8..).unwrap_or_default();
                    if let Some(fragment) = fragment_header(p, header, data.len()) {
                        if duplicate {
                            p.events.insert(DecoderEvent::IPV6_EXTHDR_DUPL_FH);
                        } else if fragment.offset == 0 && !fragment.more {
                            // An atomic fragment (RFC 6946) is decoded as the packet it is.
                            p.events.insert(DecoderEvent::IPV6_EXTHDR_USELESS_FH);
                        } else {
                            // What a fragment holds is not known before it is put together.
                            set_header(p, packet, at + 8, FRAGMENT);
                            mark_fragment(p, &fragment);
                            return Outcome::Fragment(Fragment {
                                unfragmentable: packet.get(..at).unwrap_or_default(),
                                next_header_at: next_at,
                                protocol: following,
                                id: fragment.id,
                                offset: u32::from(fragment.offset) * 8,
                                more: fragment.more,
                                data,
                            });
                        }
                    } else {
                        // A length that no fragment may have: never collected, inspected as it is.
                        set_header(p, packet, at + 8, following);
                        if let Some(ip) = &mut p.ip {
                            ip.is_fragment = true;
                        }
                        return Outcome::Done;
                    }
                }
                _ => {}
            }
            next_at = at;
            at += length;
            next = following;
            set_header(p, packet, at, next);
        }
    }

    fn upper_layer<'a>(&mut self, p: &mut Packet<'a>, packet: &'a [u8], at: usize, protocol: u8) -> Outcome<'a> {
        let data = packet.get(at..).unwrap_or_default();
        if let Some(outcome) = self.common_transport(p, protocol, data) {
            return outcome;
        }
        match protocol {
            ICMPV6 => self.icmpv6(p, data),
            IPV4 => {
                use DecoderEvent as E;
                return inner(
                    p,
                    data,
                    Entry::Ipv4,
                    20,
                    E::IPV6_IPV4_IN_IPV6_TOO_SMALL,
                    E::IPV6_IPV4_IN_IPV6_WRONG_VERSION,
                );
            }
            IPV6 => {
                use DecoderEvent as E;
                return inner(
                    p,
                    data,
                    Entry::Ipv6,
                    40,
                    E::IPV6_IPV6_IN_IPV6_TOO_SMALL,
                    E::IPV6_IPV6_IN_IPV6_WRONG_VERSION,
                );
            }
            NO_NEXT_HEADER => {
                if !data.is_empty() {
                    p.events.insert(DecoderEvent::IPV6_DATA_AFTER_NONE_HEADER);
                }
            }
            ICMP => p.events.insert(DecoderEvent::IPV6_ICMPV4),
            _ => p.events.insert(DecoderEvent::IPV6_UNKNOWN_NEXT_HEADER),
        }
        Outcome::Done
    }
}

/// An IP packet directly in IPv6.
fn inner<'a>(
    p: &mut Packet<'a>,
    data: &'a [u8],
    entry: Entry,
    minimum: usize,
    too_small: DecoderEvent,
    wrong_version: DecoderEvent,
) -> Outcome<'a> {
    let version = if entry == Entry::Ipv4 { 4 } else { 6 };
    if data.len() < minimum {
        p.events.insert(too_small);
        return Outcome::Done;
    }
    if data.first().is_none_or(|byte| byte >> 4 != version) {
        p.events.insert(wrong_version);
        return Outcome::Done;
    }
    Outcome::Tunnel(entry, data)
}

/// The header grows by an extension header.
fn set_header<'a>(p: &mut Packet<'a>, packet: &'a [u8], end: usize, protocol: u8) {
    if let Some(ip) = &mut p.ip {
        ip.header = packet.get(..end).unwrap_or(packet);
        ip.protocol = protocol;
    }
    p.payload = packet.get(end..).unwrap_or_default();
}

fn mark_fragment(p: &mut Packet<'_>, fragment: &FragmentHeader) {
    if let Some(ip) = &mut p.ip {
        ip.is_fragment = true;
        ip.fragment_offset = fragment.offset;
        ip.fragment_flags = u8::from(fragment.more);
        ip.id = fragment.id as u16;
    }
}

/// An extension header that does not fit: the IP header is good, what follows is unknown.
fn truncated<'a>(p: &mut Packet<'a>) -> Outcome<'a> {
    p.events.insert(DecoderEvent::IPV6_TRUNC_EXTHDR);
    Outcome::Done
}

/// The fragment header (RFC 8200, section 4.5); none if the length is not allowed.
fn fragment_header(p: &mut Packet<'_>, header: &[u8], data_length: usize) -> Option<FragmentHeader> {
    let [_, reserved, o0, o1, i0, i1, i2, i3] = *header.first_chunk::<8>()?;
    if reserved != 0 {
        p.events.insert(DecoderEvent::IPV6_FH_NON_ZERO_RESERVED_FIELD);
    }
    let word = u16::from_be_bytes([o0, o1]);
    let more = word & 1 != 0;
    if more && !data_length.is_multiple_of(8) {
        p.events.insert(DecoderEvent::IPV6_FRAG_INVALID_LENGTH);
        return None;
    }
    Some(FragmentHeader { offset: word >> 3, more, id: u32::from_be_bytes([i0, i1, i2, i3]) })
}

/// Options of a hop-by-hop or destination options header (RFC 8200, section 4.2).
fn options(p: &mut Packet<'_>, header: &[u8], (unknown, only_padding): (DecoderEvent, DecoderEvent)) {
    let mut rest = header.get(2..).unwrap_or_default();
    let (mut padding, mut other) = (false, false);
    while let [kind, tail @ ..] = rest {
        if *kind == 0 {
            padding = true;
            rest = tail;
            continue;
        }
        let value = match tail {
            [length, tail @ ..] => tail.split_at_checked(usize::from(*length)),
            [] => None,
        };
        let Some((value, tail)) = value else {
            p.events.insert(DecoderEvent::IPV6_EXTHDR_INVALID_OPTLEN);
            return;
        };
        rest = tail;
        let minimum = match kind {
            1 => {
                padding = true;
                if value.is_empty() {
                    p.events.insert(DecoderEvent::IPV6_ZERO_LEN_PADN);
                }
                continue;
            }
            // Router alert, jumbo payload, home address.
            5 => 2,
            0xc2 => 4,
            0xc9 => 16,
            _ => {
                p.events.insert(unknown);
                0
            }
        };
        other = true;
        if value.len() < minimum {
            p.events.insert(DecoderEvent::IPV6_EXTHDR_INVALID_OPTLEN);
            return;
        }
    }
    if padding && !other {
        p.events.insert(only_padding);
    }
}
