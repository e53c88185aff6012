//! What the ends of a rejected connection are told: TCP resets and ICMP errors, made from the rejected frame.
//!
//! Place: behind a verdict that says reject; whoever has the frame sends what is made here. Pure functions of the frame's bytes;
//! no answer ever answers another one (RFC 9293 section 3.10.7, RFC 1122 section 3.2.2, RFC 4443 section 2.4): resets, ICMP
//! errors, later fragments, and what goes to more than one host get none.
#![forbid(unsafe_code)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_packet::checksum::Sum;
use weir_packet::link_types;

/// An end of the rejected frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Who sent it.
    Sender,
    /// Whom it was for.
    Receiver,
}

const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

const SYN: u8 = 0x02;
const FIN: u8 = 0x01;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

const TTL: u8 = 64;
/// Bytes of the rejected packet that an error quotes: its headers, and enough to know it by.
const QUOTED: usize = 128;

/// Headers of a frame.
struct Parsed<'a> {
    /// Ethernet header with its tags; nothing where packets have no link layer.
    link: &'a [u8],
    /// The IP packet without what is behind it.
    packet: &'a [u8],
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    /// From the transport header on.
    transport: &'a [u8],
    /// Offset of the transport in the packet.
    offset: usize,
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

/// Where the packet begins, and its EtherType.
fn network(link: u16, frame: &[u8]) -> Option<(usize, u16)> {
    match link {
        link_types::RAW => Some((0, if frame.first()? >> 4 == 4 { 0x0800 } else { 0x86dd })),
        link_types::ETHERNET => {
            let (mut at, mut kind) = (14, half(frame, 12)?);
            for _ in 0..3 {
                if matches!(kind, 0x8100 | 0x88a8 | 0x9100) {
                    kind = half(frame, at + 2)?;
                    at += 4;
                }
            }
            // A frame for many has no single answer.
            (frame.first()? & 1 == 0).then_some((at, kind))
        }
        _ => None,
    }
}

fn parse(link: u16, frame: &[u8]) -> Option<Parsed<'_>> {
    let (at, kind) = network(link, frame)?;
    let (link, packet) = frame.split_at_checked(at)?;
    match kind {
        0x0800 => {
            let header = usize::from(packet.first()? & 0xf) * 4;
            let total = usize::from(half(packet, 2)?);
            let packet = packet.get(..total)?;
            // Later fragments have no transport header.
            if packet.first()? >> 4 != 4 || header < 20 || total < header || half(packet, 6)? & 0x1fff != 0 {
                return None;
            }
            let address = |at: usize| packet.get(at..)?.first_chunk::<4>().map(|b| Ipv4Addr::from(*b));
            let (source, destination) = (address(12)?, address(16)?);
            let single = |a: Ipv4Addr| !a.is_multicast() && !a.is_broadcast() && !a.is_unspecified();
            if !single(source) || !single(destination) {
                return None;
            }
            let (source, destination, protocol) = (source.into(), destination.into(), *packet.get(9)?);
            Some(Parsed { link, packet, source, destination, protocol, transport: packet.get(header..)?, offset: header })
        }
        0x86dd => {
            let packet = packet.get(..40 + usize::from(half(packet, 4)?))?;
            let address = |at: usize| packet.get(at..)?.first_chunk::<16>().map(|b| Ipv6Addr::from(*b));
            let (source, destination) = (address(8)?, address(24)?);
            let single = |a: Ipv6Addr| !a.is_multicast() && !a.is_unspecified();
            if packet.first()? >> 4 != 6 || !single(source) || !single(destination) {
                return None;
            }
            let (mut protocol, mut offset) = (*packet.get(6)?, 40);
            for _ in 0..8 {
                if matches!(protocol, 0 | 43 | 60) {
                    protocol = *packet.get(offset)?;
                    offset += 8 + 8 * usize::from(*packet.get(offset + 1)?);
                }
            }
            // A fragment header ends here: without answer.
            let (source, destination) = (source.into(), destination.into());
            Some(Parsed { link, packet, source, destination, protocol, transport: packet.get(offset..)?, offset })
        }
        _ => None,
    }
}

/// Makes what the wanted ends are told about a rejected frame of Ethernet, or packet without a link layer; gives how many were made,
/// of the same link type.
pub fn answers(link: u16, frame: &[u8], ends: &[End], emit: &mut dyn FnMut(End, &[u8])) -> usize {
    let Some(parsed) = parse(link, frame) else { return 0 };
    let mut made = 0;
    for end in ends {
        let answer = match parsed.protocol {
            TCP => reset(&parsed, *end),
            _ => error(&parsed, *end),
        };
        if let Some(answer) = answer {
            made += 1;
            emit(*end, &answer);
        }
    }
    made
}

impl Parsed<'_> {
    /// A frame to an end with this payload, its transport checksum still open: gives it and where the payload begins.
    fn frame(&self, end: End, protocol: u8, payload: &[u8]) -> (Vec<u8>, usize) {
        let mut out = self.link.to_vec();
        let (mut from, mut to) = (self.source, self.destination);
        if end == End::Sender {
            // Addresses change places; so do they in the Ethernet header.
            std::mem::swap(&mut from, &mut to);
            if let Some((one, other)) = out.split_at_mut_checked(6)
                && let Some(other) = other.get_mut(..6)
            {
                one.swap_with_slice(other);
            }
        }
        let start = out.len();
        match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                out.extend([0x45, 0]);
                out.extend((20 + payload.len() as u16).to_be_bytes());
                out.extend([0, 0, 0x40, 0, TTL, protocol, 0, 0]);
                out.extend(from.octets());
                out.extend(to.octets());
                let checksum = Sum::default().with(out.get(start..).unwrap_or_default()).checksum();
                if let Some(field) = out.get_mut(start + 10..start + 12) {
                    field.copy_from_slice(&checksum.to_be_bytes());
                }
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                out.extend([0x60, 0, 0, 0]);
                out.extend((payload.len() as u16).to_be_bytes());
                out.extend([protocol, TTL]);
                out.extend(from.octets());
                out.extend(to.octets());
            }
            // Both are of one packet.
            _ => {}
        }
        let at = out.len();
        out.extend_from_slice(payload);
        (out, at)
    }

    fn pseudo(&self, end: End, protocol: u8, length: usize) -> Sum {
        let (from, to) = match end {
            End::Sender => (self.destination, self.source),
            End::Receiver => (self.source, self.destination),
        };
        Sum::default().with_pseudo_header(from, to, protocol, length as u32)
    }
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

/// RFC 9293 section 3.5.2 for the sender; the receiver gets it as if the sender had sent it in the place of the frame, so that
/// its number is the one that comes next (RFC 5961 section 3).
fn reset(parsed: &Parsed<'_>, end: End) -> Option<Vec<u8>> {
    let t = parsed.transport;
    let (source, destination) = (half(t, 0)?, half(t, 2)?);
    let (sequence, acknowledged) = (word(t, 4)?, word(t, 8)?);
    let (header, flags) = (usize::from(*t.get(12)? >> 4) * 4, *t.get(13)?);
    let payload = t.len().checked_sub(header).filter(|_| header >= 20)? as u32;
    if flags & RST != 0 {
        return None;
    }
    let (ports, number, answer, flags) = match end {
        End::Sender if flags & ACK != 0 => ((destination, source), acknowledged, 0, RST),
        End::Sender => {
            let length = payload + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
            ((destination, source), 0, sequence.wrapping_add(length), RST | ACK)
        }
        End::Receiver if flags & ACK != 0 => ((source, destination), sequence, acknowledged, RST | ACK),
        End::Receiver => ((source, destination), sequence, 0, RST),
    };
    let mut segment = Vec::with_capacity(20);
    segment.extend(ports.0.to_be_bytes());
    segment.extend(ports.1.to_be_bytes());
    segment.extend(number.to_be_bytes());
    segment.extend(answer.to_be_bytes());
    segment.extend([0x50, flags, 0, 0, 0, 0, 0, 0]);
    let checksum = parsed.pseudo(end, TCP, segment.len()).with(&segment).checksum();
    put(&mut segment, 16, checksum);
    Some(parsed.frame(end, TCP, &segment).0)
}

/// Destination unreachable, administratively prohibited (RFC 1812 section 5.2.7.1, RFC 4443 section 3.1). The receiver of a
/// datagram gets one that quotes its own side of the conversation.
fn error(parsed: &Parsed<'_>, end: End) -> Option<Vec<u8>> {
    let v4 = parsed.source.is_ipv4();
    // Errors about errors; fragments of IPv6 do not show what they are.
    match parsed.protocol {
        ICMP if v4 && !matches!(*parsed.transport.first()?, 0 | 8 | 13 | 14) => return None,
        ICMPV6 if !v4 && *parsed.transport.first()? < 128 => return None,
        44 if !v4 => return None,
        // Messages between neighbours.
        ICMPV6 if !v4 && matches!(*parsed.transport.first()?, 130..=137 | 143) => return None,
        _ => {}
    }
    let mut quoted = match end {
        End::Sender => parsed.packet.get(..parsed.packet.len().min(QUOTED))?.to_vec(),
        End::Receiver if parsed.protocol == UDP => turned(parsed)?,
        End::Receiver => return None,
    };
    let (protocol, kind, code) = if v4 { (ICMP, 3, 13) } else { (ICMPV6, 1, 1) };
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.append(&mut quoted);
    let sum = if v4 { Sum::default() } else { parsed.pseudo(end, protocol, message.len()) };
    let checksum = sum.with(&message).checksum();
    put(&mut message, 2, checksum);
    Some(parsed.frame(end, protocol, &message).0)
}

/// Headers of a datagram that the receiver could have sent to the sender.
fn turned(parsed: &Parsed<'_>) -> Option<Vec<u8>> {
    let t = parsed.transport;
    let mut datagram = Vec::with_capacity(8);
    datagram.extend(half(t, 2)?.to_be_bytes());
    datagram.extend(half(t, 0)?.to_be_bytes());
    datagram.extend([0, 8, 0, 0]);
    let checksum = parsed.pseudo(End::Sender, UDP, 8).with(&datagram).checksum();
    put(&mut datagram, 6, if checksum == 0 { 0xffff } else { checksum });
    let (mut frame, _) = parsed.frame(End::Sender, UDP, &datagram);
    frame.drain(..parsed.link.len());
    debug_assert!(parsed.offset >= 20);
    Some(frame)
}

#[cfg(test)]
mod tests;
