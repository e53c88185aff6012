//! ICMPv4 (RFC 792, 950, 1256) and ICMPv6 (RFC 4443, 4861, 2710, ...): header facts, known types and codes, quoted packets.

use crate::decoder::Walk;
use crate::{DecoderEvent, Icmp, Packet, Transport};

impl Walk<'_> {
    pub(crate) fn icmpv4<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) {
        let Some((fixed, quoted)) = data.split_first_chunk::<8>() else {
            p.events.insert(DecoderEvent::ICMPV4_PKT_TOO_SMALL);
            return;
        };
        let [kind, code, ..] = *fixed;
        // Highest code of the type, and whether it quotes a packet.
        let (highest, quotes) = match kind {
            3 => (15, true),
            4 => (0, true),
            5 => (3, true),
            11 => (1, true),
            12 => (2, true),
            0 | 8 | 13..=18 => (0, false),
            9 => (16, false),
            // Router solicitation (10) counts as unknown, as in Suricata.
            _ => {
                p.events.insert(DecoderEvent::ICMPV4_UNKNOWN_TYPE);
                (255, false)
            }
        };
        if code > highest || (kind == 9 && !matches!(code, 0 | 16)) {
            p.events.insert(DecoderEvent::ICMPV4_UNKNOWN_CODE);
        } else if quotes && !quoted.is_empty() {
            if quoted.len() < 20 {
                p.events.insert(DecoderEvent::ICMPV4_IPV4_TRUNC_PKT);
            } else if quoted.first().is_none_or(|byte| byte >> 4 != 4) {
                p.events.insert(DecoderEvent::ICMPV4_IPV4_UNKNOWN_VER);
            }
        }
        p.transport = Transport::Icmpv4(facts(data, fixed, matches!(kind, 0 | 8 | 13..=18)));
        p.payload = quoted;
    }

    pub(crate) fn icmpv6<'a>(&mut self, p: &mut Packet<'a>, data: &'a [u8]) {
        let Some((fixed, quoted)) = data.split_first_chunk::<8>() else {
            p.events.insert(DecoderEvent::ICMPV6_PKT_TOO_SMALL);
            return;
        };
        let [kind, code, ..] = *fixed;
        let (highest, quotes) = match kind {
            1 => (7, true),
            2 => (0, true),
            3 => (1, true),
            4 => (2, true),
            128 | 129 => (0, false),
            130..=132 => {
                // RFC 2710, section 3.
                if code == 0 && p.ip.is_some_and(|ip| ip.ttl != 1) {
                    p.events.insert(DecoderEvent::ICMPV6_MLD_MESSAGE_WITH_INVALID_HL);
                }
                (0, false)
            }
            133..=137 | 141 | 142 | 144..=149 => (0, false),
            138 => (255, false),
            139 | 140 => (2, false),
            100 | 101 | 200 | 201 => {
                p.events.insert(DecoderEvent::ICMPV6_EXPERIMENTATION_TYPE);
                (255, false)
            }
            5..=99 | 102..=126 | 160..=199 | 202..=254 => {
                p.events.insert(DecoderEvent::ICMPV6_UNASSIGNED_TYPE);
                (255, false)
            }
            143 | 150..=159 => (255, false),
            _ => {
                p.events.insert(DecoderEvent::ICMPV6_UNKNOWN_TYPE);
                (255, false)
            }
        };
        if code > highest {
            p.events.insert(DecoderEvent::ICMPV6_UNKNOWN_CODE);
        } else if quotes {
            if quoted.len() < 40 {
                p.events.insert(DecoderEvent::ICMPV6_IPV6_TRUNC_PKT);
            } else if quoted.first().is_none_or(|byte| byte >> 4 != 6) {
                p.events.insert(DecoderEvent::ICMPV6_IPV6_UNKNOWN_VERSION);
            }
        }
        p.transport = Transport::Icmpv6(facts(data, fixed, matches!(kind, 128 | 129)));
        p.payload = quoted;
    }
}

fn facts<'a>(data: &'a [u8], fixed: &[u8; 8], identified: bool) -> Icmp<'a> {
    let [kind, code, _, _, i0, i1, s0, s1] = *fixed;
    Icmp {
        kind,
        code,
        id: identified.then(|| u16::from_be_bytes([i0, i1])),
        sequence: identified.then(|| u16::from_be_bytes([s0, s1])),
        header: data.get(..8).unwrap_or_default(),
    }
}
