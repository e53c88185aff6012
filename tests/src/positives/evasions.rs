//! The evasion gate: each known way to hide an attack, over conversations that make the full engine alert.
//!
//! One transformation at a time, on as many conversations as it applies to, each with a benign twin: a conversation of the
//! same protocol, hosts and ports that says nothing of interest, hidden in the same way.

use super::conversation::{Conversation, Transport, turn};
use super::encodings::{self, ENCODINGS};
use super::traffic::{self, Chaff, Style};
use std::net::{IpAddr, Ipv6Addr};
use weir_synth::wire::{Addresses, Fragmentation, Order, Wrap, WrapKind, v4};
use weir_synth::{Random, SynthFrame, Way};

/// One way to hide.
pub struct Evasion {
    /// Name.
    pub name: &'static str,
    /// Changes the conversation or how it is sent; whether it could.
    apply: fn(&mut Conversation, &mut Style, &mut Random) -> bool,
}

fn tcp(c: &Conversation) -> bool {
    c.transport == Transport::Tcp && c.turns.iter().all(|t| !t.whole && t.flags.is_none())
}

fn wrapped(style: &mut Style, kind: WrapKind) -> bool {
    let outer = Addresses { source: v4(10, 200, 0, 1), destination: v4(10, 200, 0, 2) };
    style.encapsulation.wraps.push(Wrap { kind, outer, number: 77 });
    true
}

fn segments<const SIZE: usize>(c: &mut Conversation, s: &mut Style, _: &mut Random) -> bool {
    s.segment = Some(SIZE);
    tcp(c)
}

fn fragments<const SIZE: usize, const ORDER: u8, const OVERLAP: usize>(
    c: &mut Conversation,
    s: &mut Style,
    _: &mut Random,
) -> bool {
    let order = if ORDER == 0 { Order::Forward } else { Order::Reverse };
    s.fragment = Some(Fragmentation { size: SIZE, order, overlap: OVERLAP });
    !matches!(c.transport, Transport::Ip(_)) && c.turns.iter().all(|t| !t.whole)
}

fn chaff<const KIND: u8>(c: &mut Conversation, s: &mut Style, _: &mut Random) -> bool {
    s.chaff = [Chaff::Checksum, Chaff::Ttl, Chaff::Reset, Chaff::Fin, Chaff::OldNumbers][usize::from(KIND)];
    tcp(c)
}

fn to_ipv6(c: &mut Conversation, _: &mut Style, _: &mut Random) -> bool {
    for end in [&mut c.client.0, &mut c.server.0] {
        let IpAddr::V4(v4) = *end else { return false };
        let [a, b, c, d] = v4.octets();
        *end = IpAddr::V6(Ipv6Addr::new(
            0x2001,
            0xdb8,
            0,
            0,
            0,
            0,
            u16::from_be_bytes([a, b]),
            u16::from_be_bytes([c, d]),
        ));
    }
    !matches!(c.transport, Transport::Icmp(..) | Transport::Ip(_))
}

/// Handshake records of a few bytes each (RFC 8446 section 5.1 allows it).
fn small_records(c: &mut Conversation, _: &mut Style, random: &mut Random) -> bool {
    let mut changed = false;
    for turn in &mut c.turns {
        let mut out = Vec::new();
        let mut rest = &turn.bytes[..];
        while let [kind @ 20..=23, major @ 3, minor, high, low, after @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(body) = after.get(..length) else { break };
            let size = if *kind == 22 && length > 60 { 20 + random.below(100) as usize } else { length.max(1) };
            for part in body.chunks(size) {
                out.extend([*kind, *major, *minor]);
                out.extend((part.len() as u16).to_be_bytes());
                out.extend(part);
                changed |= part.len() < length;
            }
            rest = &after[length..];
        }
        out.extend(rest);
        turn.bytes = out;
    }
    changed && tcp(c)
}

/// Ways on the network's layers.
const NETWORK: [Evasion; 34] = [
    Evasion { name: "segments of 1 byte", apply: segments::<1> },
    Evasion { name: "segments of 8 bytes", apply: segments::<8> },
    Evasion { name: "segments of 63 bytes", apply: segments::<63> },
    Evasion { name: "segments of 64 bytes", apply: segments::<64> },
    Evasion { name: "segments of 65 bytes", apply: segments::<65> },
    Evasion {
        name: "last segment first",
        apply: |c, s, r| {
            s.order = Order::Reverse;
            segments::<20>(c, s, r)
        },
    },
    Evasion {
        name: "segments in any order",
        apply: |c, s, r| {
            s.order = Order::Shuffled(r.next());
            segments::<20>(c, s, r)
        },
    },
    Evasion {
        name: "each segment twice",
        apply: |c, s, r| {
            s.repeat = 2;
            segments::<40>(c, s, r)
        },
    },
    Evasion {
        name: "tail sent again",
        apply: |c, s, _| {
            s.again = Some((30, false));
            tcp(c)
        },
    },
    Evasion {
        name: "tail sent again with other bytes",
        apply: |c, s, _| {
            s.again = Some((30, true));
            tcp(c)
        },
    },
    Evasion {
        name: "overlap with other bytes behind a gap",
        apply: |c, s, _| {
            s.hidden_overlap = true;
            tcp(c)
        },
    },
    Evasion { name: "chaff with a wrong checksum", apply: chaff::<0> },
    Evasion { name: "chaff with TTL 1", apply: chaff::<1> },
    Evasion { name: "forged RST out of the window", apply: chaff::<2> },
    Evasion { name: "forged FIN out of the window", apply: chaff::<3> },
    Evasion { name: "chaff with old sequence numbers", apply: chaff::<4> },
    Evasion {
        name: "sequence numbers wrap",
        apply: |c, s, r| {
            s.isn = [u32::MAX - 30, u32::MAX - 20];
            segments::<16>(c, s, r)
        },
    },
    Evasion { name: "fragments of 8 bytes", apply: fragments::<8, 0, 0> },
    Evasion { name: "fragments, last first", apply: fragments::<24, 1, 0> },
    Evasion { name: "overlapping fragments", apply: fragments::<64, 0, 8> },
    Evasion { name: "IPv6", apply: to_ipv6 },
    Evasion { name: "IPv6 fragments, last first", apply: |c, s, r| to_ipv6(c, s, r) && fragments::<64, 1, 0>(c, s, r) },
    Evasion {
        name: "VLAN",
        apply: |_, s, _| {
            s.encapsulation.vlan = vec![17];
            true
        },
    },
    Evasion {
        name: "QinQ",
        apply: |_, s, _| {
            s.encapsulation.vlan = vec![17, 18];
            true
        },
    },
    Evasion {
        name: "MPLS",
        apply: |_, s, _| {
            s.encapsulation.mpls = vec![100, 200];
            true
        },
    },
    Evasion {
        name: "PPPoE",
        apply: |_, s, _| {
            s.encapsulation.pppoe = true;
            true
        },
    },
    Evasion { name: "GRE", apply: |_, s, _| wrapped(s, WrapKind::Gre) },
    Evasion { name: "IP in IP", apply: |_, s, _| wrapped(s, WrapKind::Ipip) },
    Evasion { name: "VXLAN", apply: |_, s, _| wrapped(s, WrapKind::Vxlan) },
    Evasion { name: "GENEVE", apply: |_, s, _| wrapped(s, WrapKind::Geneve) },
    Evasion { name: "ERSPAN", apply: |_, s, _| wrapped(s, WrapKind::Erspan) },
    Evasion {
        name: "pauses of 20 s",
        apply: |_, s, _| {
            s.pause = 20_000_000_000;
            true
        },
    },
    Evasion { name: "TLS handshake in small records", apply: small_records },
    Evasion { name: "earlier exchanges on the connection", apply: |c, _, r| encodings::keep_alive(c, r) },
];

/// The number of ways.
pub fn count() -> usize {
    NETWORK.len() + ENCODINGS.len()
}

/// Name of a way.
pub fn name(way: usize) -> &'static str {
    NETWORK.get(way).map_or_else(|| ENCODINGS[way - NETWORK.len()].0, |evasion| evasion.name)
}

/// Frames of a conversation hidden in this way, and those of its benign twin; none where the way does not apply.
pub fn hidden(way: usize, conversation: &Conversation, random: &mut Random, time: u64) -> Option<[Vec<SynthFrame>; 2]> {
    let twin = benign(conversation)?;
    let seed = random.next();
    let hide = |conversation: &Conversation| {
        let (mut conversation, mut style, mut random) = (conversation.clone(), Style::default(), Random::new(seed));
        let applied = match NETWORK.get(way) {
            Some(evasion) => (evasion.apply)(&mut conversation, &mut style, &mut random),
            None => encodings::apply(&mut conversation, ENCODINGS[way - NETWORK.len()].1, &mut random),
        };
        (applied, traffic::frames(&conversation, &style, time, 1000))
    };
    let (applied, frames) = hide(conversation);
    applied.then(|| [frames, hide(&twin).1])
}

/// A conversation of the same protocol, hosts and ports without anything of interest.
fn benign(conversation: &Conversation) -> Option<Conversation> {
    let first = conversation.turns.iter().find(|t| t.way == Way::ToServer)?;
    let http = first.bytes.windows(6).any(|w| w == b"HTTP/1");
    let turns = if http {
        let body = "<p>The quick brown fox jumps over the lazy dog.</p>\n".repeat(4);
        let response =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        vec![
            turn(
                Way::ToServer,
                b"GET /welcome.html HTTP/1.1\r\nHost: www.example.org\r\nUser-Agent: Browser 1.0\r\n\r\n".to_vec(),
            ),
            turn(Way::ToClient, response.into_bytes()),
        ]
    } else if conversation.transport == Transport::Udp && conversation.server.1 == 53 {
        vec![turn(Way::ToServer, weir_synth::payload::dns_query(9, "www.example.org", 1))]
    } else if first.bytes.first() == Some(&22) {
        let hello = weir_synth::payload::ClientHello {
            server_name: Some("www.example.org"),
            alpn: &[],
            suites: &[0xc02f],
            tls13: false,
            random: 3,
        };
        vec![
            turn(Way::ToServer, weir_synth::payload::tls_client_hello(&hello)),
            turn(Way::ToClient, weir_synth::payload::tls_server_hello(0xc02f, 4)),
        ]
    } else {
        return None;
    };
    // Its own port, so that both can be in one capture.
    let client = (conversation.client.0, conversation.client.1 ^ 1);
    Some(Conversation { turns, client, times: 1, ..conversation.clone() })
}
