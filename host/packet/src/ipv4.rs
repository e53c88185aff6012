//! IPv4: header, options, hand-over to transports, tunnels and the defragmenter.

use std::net::{IpAddr, Ipv4Addr};

use crate::decoder::{Entry, Fragment, Outcome, Walk};
use crate::link::fail;
use crate::transport::{igmp, protocols};
use crate::{DecoderEvent, Ip, Packet};

/// Bits of `Ip::fragment_flags`.
const MORE_FRAGMENTS: u8 = 1;

impl Walk<'_> {
    pub(crate) fn ipv4<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        let Some((fixed, _)) = data.split_first_chunk::<20>() else {
            return fail(p, DecoderEvent::IPV4_PKT_TOO_SMALL);
        };
        if fixed[0] >> 4 != 4 {
            return fail(p, DecoderEvent::IPV4_WRONG_IP_VERSION);
        }
        let header_length = usize::from(fixed[0] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if header_length < 20 {
            return fail(p, DecoderEvent::IPV4_HLEN_TOO_SMALL);
        }
        if total < header_length {
            return fail(p, DecoderEvent::IPV4_IPLEN_SMALLER_THAN_HLEN);
        }
        // Bytes behind the total length are padding of the link.
        let Some((header, payload)) = data.get(..total).and_then(|datagram| datagram.split_at_checked(header_length))
        else {
            return fail(p, DecoderEvent::IPV4_TRUNC_PKT);
        };
        let options = header.get(20..).unwrap_or_default();
        if !options.is_empty() && !ipv4_options(p, options) {
            return Outcome::Failed;
        }
        let flags_offset = u16::from_be_bytes([fixed[6], fixed[7]]);
        let fragment_flags = (flags_offset >> 13) as u8;
        let fragment_offset = flags_offset & 0x1fff;
        let is_fragment = fragment_offset != 0 || fragment_flags & MORE_FRAGMENTS != 0;
        let id = u16::from_be_bytes([fixed[4], fixed[5]]);
        let protocol = fixed[9];
        p.ip = Some(Ip {
            version: 4,
            source: IpAddr::V4(Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15])),
            destination: IpAddr::V4(Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19])),
            protocol,
            ttl: fixed[8],
            tos: fixed[1],
            id,
            fragment_flags,
            fragment_offset,
            is_fragment,
            reassembled: self.reassembled,
            header,
            options,
        });
        p.payload = payload;
        if is_fragment {
            return Outcome::Fragment(Fragment {
                unfragmentable: header,
                next_header_at: 9,
                protocol,
                id: u32::from(id),
                offset: u32::from(fragment_offset) * 8,
                more: fragment_flags & MORE_FRAGMENTS != 0,
                data: payload,
            });
        }
        if let Some(outcome) = self.common_transport(p, protocol, payload) {
            return outcome;
        }
        match protocol {
            protocols::ICMP => self.icmpv4(p, payload),
            protocols::IPV4 => return Outcome::Tunnel(Entry::Ipv4, payload),
            protocols::IPV6 => return Outcome::Tunnel(Entry::Ipv6, payload),
            protocols::IGMP => igmp(p, payload),
            protocols::ICMPV6 => p.events.insert(DecoderEvent::IPV4_ICMPV6),
            _ => p.events.insert(DecoderEvent::IPV4_UNKNOWN_PROTOCOL),
        }
        Outcome::Done
    }
}

/// RFC 791, section 3.1; RFC 2113, 4782, 1108, CIPSO. False if the options cannot be taken apart; an option with bad
/// content only raises an event.
#[cold]
fn ipv4_options(p: &mut Packet<'_>, mut options: &[u8]) -> bool {
    if !options.len().is_multiple_of(8) {
        p.events.insert(DecoderEvent::IPV4_OPT_PAD_REQUIRED);
    }
    let mut seen = 0u32;
    loop {
        let (kind, length) = match *options {
            [] | [0, ..] => return true,
            [1, ..] => {
                options = options.get(1..).unwrap_or_default();
                continue;
            }
            [_] => {
                p.events.insert(DecoderEvent::IPV4_OPT_EOL_REQUIRED);
                return true;
            }
            [kind, length, ..] => (kind, usize::from(length)),
        };
        let (Some(option), Some(rest)) = (options.get(..length).filter(|_| length >= 2), options.get(length..)) else {
            p.events.insert(DecoderEvent::IPV4_OPT_INVALID_LEN);
            return false;
        };
        options = rest;
        // The known ones, with a bit for each.
        let (bit, problem) = match kind {
            7 => (1, route_option(option)),
            68 => (2, timestamp_option(option)),
            25 => (4, exact(length, 8)),
            130 => (8, exact(length, 11)),
            131 => (16, route_option(option)),
            134 => (32, cipso_option(option)),
            136 => (64, exact(length, 4)),
            137 => (128, route_option(option)),
            148 => (256, exact(length, 4)),
            133 => (512, (length < 3).then_some(DecoderEvent::IPV4_OPT_INVALID_LEN)),
            _ => (0, Some(DecoderEvent::IPV4_OPT_INVALID)),
        };
        if seen & bit != 0 {
            p.events.insert(DecoderEvent::IPV4_OPT_DUPLICATE);
        } else if let Some(problem) = problem {
            p.events.insert(problem);
            if problem != DecoderEvent::IPV4_OPT_INVALID {
                return true;
            }
        }
        seen |= bit;
    }
}

fn exact(length: usize, wanted: usize) -> Option<DecoderEvent> {
    (length != wanted).then_some(DecoderEvent::IPV4_OPT_INVALID_LEN)
}

/// Record route, loose and strict source route: type, length, pointer (from 4, in steps of 4), addresses.
fn route_option(option: &[u8]) -> Option<DecoderEvent> {
    let Some(&pointer) = option.get(2) else { return Some(DecoderEvent::IPV4_OPT_INVALID_LEN) };
    let pointer = usize::from(pointer);
    let good = pointer >= 4 && pointer % 4 == 0 && pointer <= option.len() + 1;
    (!good).then_some(DecoderEvent::IPV4_OPT_MALFORMED)
}

/// Internet timestamp: type, length, pointer (from 5), overflow and flag, entries of 4 or 8 bytes.
fn timestamp_option(option: &[u8]) -> Option<DecoderEvent> {
    let [_, _, pointer, flag, _, ..] = *option else { return Some(DecoderEvent::IPV4_OPT_INVALID_LEN) };
    let pointer = usize::from(pointer);
    let entry = if matches!(flag & 15, 1 | 3) { 8 } else { 4 };
    let good = pointer >= 5 && (pointer - 5) % entry == 0 && pointer <= option.len() + 1;
    (!good).then_some(DecoderEvent::IPV4_OPT_MALFORMED)
}

/// Commercial IP security option: domain of interpretation, then tags of type and length.
fn cipso_option(option: &[u8]) -> Option<DecoderEvent> {
    if option.len() < 6 {
        return Some(DecoderEvent::IPV4_OPT_INVALID_LEN);
    }
    let mut tags = option.get(6..).unwrap_or_default();
    while let [kind, rest @ ..] = tags {
        let length = rest.first().map_or(0, |length| usize::from(*length));
        let known = matches!(kind, 1 | 2 | 5 | 6 | 7);
        match tags.get(length..) {
            Some(next) if known && length >= 4 => tags = next,
            _ => return Some(DecoderEvent::IPV4_OPT_MALFORMED),
        }
    }
    None
}
