//! Tunnels: GRE, ERSPAN, and those in UDP (VXLAN, GENEVE, Teredo, GTP-U).
//!
//! A payload that does not have the shape of its tunnel stays payload of the outer packet.

use crate::decoder::{Entry, Outcome, Walk};
use crate::link::{be16, ether_types, fail};
use crate::transport::entry_of;
use crate::{DecoderEvent, Layers, Packet, Transport};

impl Walk<'_> {
    /// RFC 1701, 2784, 2890 (version 0), RFC 2637 (version 1, PPTP).
    pub(crate) fn gre<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        p.layers.insert(Layers::GRE);
        let Some(([flags, version, t0, t1], _)) = data.split_first_chunk::<4>() else {
            return fail(p, DecoderEvent::GRE_PKT_TOO_SMALL);
        };
        let protocol = u16::from_be_bytes([*t0, *t1]);
        let (checksum, routing, key) = (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x20 != 0);
        let (sequence, strict, recursion) = (flags & 0x10 != 0, flags & 0x08 != 0, flags & 0x07 != 0);
        let four = |present: bool| if present { 4usize } else { 0 };
        let length = match version & 7 {
            0 => {
                if recursion {
                    return fail(p, DecoderEvent::GRE_VERSION0_RECUR);
                }
                if version & 0xf8 != 0 {
                    return fail(p, DecoderEvent::GRE_VERSION0_FLAGS);
                }
                let mut length = 4 + four(checksum || routing) + four(key) + four(sequence);
                if length > data.len() {
                    return fail(p, DecoderEvent::GRE_VERSION0_HDR_TOO_BIG);
                }
                // Source route entries: family (2), offset, length, content; one of family and length 0 ends them.
                if routing {
                    loop {
                        let Some(entry) = data.get(length..).and_then(|rest| rest.first_chunk::<4>()) else {
                            return fail(p, DecoderEvent::GRE_VERSION0_MALFORMED_SRE_HDR);
                        };
                        length += 4;
                        if entry[0] == 0 && entry[1] == 0 && entry[3] == 0 {
                            break;
                        }
                        length += usize::from(entry[3]);
                        if length > data.len() {
                            return fail(p, DecoderEvent::GRE_VERSION0_MALFORMED_SRE_HDR);
                        }
                    }
                }
                length
            }
            1 => {
                let problem = [
                    (checksum, DecoderEvent::GRE_VERSION1_CHKSUM),
                    (routing, DecoderEvent::GRE_VERSION1_ROUTE),
                    (strict, DecoderEvent::GRE_VERSION1_SSR),
                    (recursion, DecoderEvent::GRE_VERSION1_RECUR),
                    (version & 0x78 != 0, DecoderEvent::GRE_VERSION1_FLAGS),
                    (protocol != ether_types::PPP, DecoderEvent::GRE_VERSION1_WRONG_PROTOCOL),
                    (!key, DecoderEvent::GRE_VERSION1_NO_KEY),
                ];
                if let Some((_, event)) = problem.into_iter().find(|(wrong, _)| *wrong) {
                    return fail(p, event);
                }
                let length = 8 + four(sequence) + four(version & 0x80 != 0);
                if length > data.len() {
                    return fail(p, DecoderEvent::GRE_VERSION1_HDR_TOO_BIG);
                }
                length
            }
            _ => return fail(p, DecoderEvent::GRE_WRONG_VERSION),
        };
        let payload = data.get(length..).unwrap_or_default();
        match entry_of(protocol) {
            // ERSPAN type I has no sequence number and no header of its own.
            Some(Entry::Erspan2) if !sequence && self.config.erspan_type_1 => {
                p.layers.insert(Layers::ERSPAN);
                Outcome::Tunnel(Entry::Ethernet, payload)
            }
            Some(Entry::Erspan2) if !sequence => Outcome::Done,
            Some(entry) => Outcome::Tunnel(entry, payload),
            None => Outcome::Done,
        }
    }

    /// ERSPAN type II: version 1, VLAN of the mirrored port, eight bytes, then Ethernet.
    pub(crate) fn erspan2<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) -> Outcome<'a> {
        p.layers.insert(Layers::ERSPAN);
        let Some((header, frame)) = data.split_first_chunk::<8>() else {
            return fail(p, DecoderEvent::ERSPAN_HEADER_TOO_SMALL);
        };
        if !self.deeper(p) {
            return Outcome::Failed;
        }
        if header[0] >> 4 != 1 {
            return fail(p, DecoderEvent::ERSPAN_UNSUPPORTED_VERSION);
        }
        let vlan = u16::from_be_bytes([header[0], header[1]]) & 0x0fff;
        if vlan > 0 {
            let Some(slot) = p.vlan.get_mut(p.vlan_layers as usize) else {
                return fail(p, DecoderEvent::ERSPAN_TOO_MANY_VLAN_LAYERS);
            };
            *slot = vlan;
            p.vlan_layers += 1;
        }
        self.ethernet(p, frame)
    }

    /// A tunnel in UDP, if a port says so and the payload looks like it.
    #[inline]
    pub(crate) fn udp_tunnel<'a>(&mut self, p: &mut Packet<'a>, payload: &'a [u8]) -> Option<Outcome<'a>> {
        let either = |ports: &[u16]| ports.contains(&p.destination_port) || ports.contains(&p.source_port);
        let (layer, inner) = if either(&self.config.teredo_ports) {
            (Layers::TEREDO, teredo(payload))
        } else if either(&self.config.geneve_ports) {
            (Layers::GENEVE, geneve(payload))
        } else if either(&self.config.vxlan_ports) {
            (Layers::VXLAN, vxlan(payload))
        } else if either(&self.config.gtp_ports) {
            (Layers::default(), gtp(payload))
        } else {
            return None;
        };
        debug_assert!(matches!(p.transport, Transport::Udp(_)));
        let (entry, data) = inner?;
        p.layers.insert(layer);
        Some(Outcome::Tunnel(entry, data))
    }
}

/// RFC 7348: flags with the I bit, 24 bits reserved, network identifier, 8 bits reserved, Ethernet. Receivers ignore
/// reserved bits; group policies (draft-smith-vxlan-group-policy) use the first ones.
fn vxlan(data: &[u8]) -> Option<(Entry, &[u8])> {
    let ([flags, _, _, _, _, _, _, reserved], frame) = data.split_first_chunk::<8>()?;
    let good = *flags & 0x08 != 0 && *reserved == 0 && frame.len() >= 14;
    good.then_some((Entry::Ethernet, frame))
}

/// RFC 8926: version 0, options in units of four bytes, protocol type.
fn geneve(data: &[u8]) -> Option<(Entry, &[u8])> {
    let (header, _) = data.split_first_chunk::<8>()?;
    if header[0] >> 6 != 0 || header[1] & 0x3f != 0 || header[7] != 0 {
        return None;
    }
    let inner = data.get(8 + usize::from(header[0] & 0x3f) * 4..)?;
    match u16::from_be_bytes([header[2], header[3]]) {
        ether_types::TRANSPARENT_ETHERNET => Some((Entry::Ethernet, inner)),
        ether_types::IPV4 => Some((Entry::Ipv4, inner)),
        ether_types::IPV6 => Some((Entry::Ipv6, inner)),
        ether_types::ARP => Some((Entry::EtherType(ether_types::ARP), inner)),
        _ => None,
    }
}

/// RFC 4380: optional authentication and origin indications, then IPv6 of exactly the length that is left.
fn teredo(data: &[u8]) -> Option<(Entry, &[u8])> {
    let mut rest = data;
    if let [0, 1, client, authentication, tail @ ..] = rest {
        // Identifier, value, nonce (8), confirmation (1).
        rest = tail.get(usize::from(*client) + usize::from(*authentication) + 9..)?;
    }
    if let [0, 0, _, _, _, _, _, _, tail @ ..] = rest {
        rest = tail;
    }
    let length = 40 + usize::from(be16(rest, 4)?);
    (rest.first()? >> 4 == 6 && rest.len() == length).then_some((Entry::Ipv6, rest))
}

/// 3GPP TS 29.281: version 1, G-PDU, optional fields, extension headers of multiples of four bytes.
fn gtp(data: &[u8]) -> Option<(Entry, &[u8])> {
    let (header, mut rest) = data.split_first_chunk::<8>()?;
    // Version 1, protocol type GTP, message 255.
    if header[0] & 0xf0 != 0x30 || header[1] != 255 {
        return None;
    }
    if header[0] & 0x07 != 0 {
        let (optional, tail) = rest.split_first_chunk::<4>()?;
        rest = tail;
        let mut next = if header[0] & 0x04 != 0 { optional[3] } else { 0 };
        while next != 0 {
            let length = usize::from(*rest.first()?) * 4;
            next = *rest.get(length.checked_sub(1)?)?;
            rest = rest.get(length..)?;
        }
    }
    match rest.first()? >> 4 {
        4 => Some((Entry::Ipv4, rest)),
        6 => Some((Entry::Ipv6, rest)),
        _ => None,
    }
}
