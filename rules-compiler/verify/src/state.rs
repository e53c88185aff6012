//! Rules that need no records: those that only touch their own flow, and those that wait for a flowbit whose setters are
//! caught. And words that must be caught whatever the rules are: they change what a flow's bytes mean.

use crate::aspect::Also;
use crate::need::{Need, TCP, header_protocol, read_by};
use crate::place::FAR;
use crate::prove::Tables;
use std::collections::HashMap;
use std::sync::Arc;
use weir_contract::enums::{DirectionMask, IpMask, Scopes};
use weir_contract::protocol::{AppProtocol as P, CLASS_UNKNOWN};
use weir_ir::{Action, AddressSet, AppLayerCondition, BitOperation, Event, Match, PortSet, Rule};

/// The rule has no output and no effect outside of its flow, and matches only in flows whose frames are kept: the host
/// evaluates it when another rule has its flow diverted (reference semantics 4).
pub fn may_wait(rule: &Rule) -> bool {
    let pass = rule.noalert && rule.action == Action::Pass;
    if !(rule.noalert && matches!(rule.action, Action::Alert | Action::Pass)) {
        return false;
    }
    let outside = !rule.xbits.is_empty()
        || rule.threshold.is_some()
        || rule.tag.is_some()
        || rule.bypass
        || rule.app_layer.contains(&AppLayerCondition::FileStore)
        || rule.buffers.iter().any(|run| run.matches.iter().any(|m| matches!(m, Match::Dataset(_))));
    let headers = rule.buffers.iter().any(|run| crate::need::of_headers(run.buffer))
        || rule.events.iter().any(|e| !matches!(e, Event::AppLayer(..)));
    // A rule on headers alone also matches in flows that are no longer kept; one that only lets its flow pass is harmless.
    let nothing_else = rule.buffers.is_empty() && rule.app_layer.is_empty();
    let flow_only = rule.packet.is_empty() && rule.events.is_empty();
    !outside && !headers && (!nothing_else || pass && flow_only)
}

/// By flowbit, the rules that set it.
pub fn setters(rules: &[Rule]) -> HashMap<Arc<str>, Vec<usize>> {
    let mut out: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
    for (n, rule) in rules.iter().enumerate() {
        for op in rule.flowbits.iter().filter(|op| matches!(op.operation, BitOperation::Set | BitOperation::Toggle)) {
            for name in &op.names {
                out.entry(name.clone()).or_default().push(n);
            }
        }
    }
    out
}

/// Words, the protocol in whose flows they count, and from which side: there is no change of protocol, and no announced
/// data connection, without one of them.
const CHANGES: &[(P, u8, &[&[u8]])] = &[
    // RFC 9110 sections 9.3.6 and 15.2.2.
    (P::Http1, DirectionMask::TO_SERVER.0, &[b"connect ", b"connect\t"]),
    (P::Http1, DirectionMask::TO_CLIENT.0, &[b" 101", b"\t101"]),
    // RFC 3207, RFC 2595.
    (P::Smtp, DirectionMask::TO_SERVER.0, &[b"starttls"]),
    (P::Imap, DirectionMask::TO_SERVER.0, &[b"starttls"]),
    (P::Pop3, DirectionMask::TO_SERVER.0, &[b"stls"]),
    // RFC 4511 section 4.14.1: 1.3.6.1.4.1.1466.20037.
    (P::Ldap, DirectionMask::TO_SERVER.0, &[b".1466.20037"]),
    // SSLRequest of PostgreSQL.
    (P::Pgsql, DirectionMask::TO_SERVER.0, &[b"\x00\x00\x00\x08\x04\xd2\x16\x2f"]),
    // RFC 4217, and the commands that open data connections (RFC 959, RFC 3659).
    (P::Ftp, DirectionMask::TO_SERVER.0, &[b"auth", b"retr", b"stor", b"stou", b"list", b"nlst", b"mlsd", b"appe"]),
];

/// Words that no window of the tables catches.
pub fn changes(rules: &[Rule], tables: &mut Tables<'_>) -> Vec<String> {
    let reads = |r: &Rule| !r.buffers.is_empty() || !r.app_layer.is_empty() || header_protocol(r).is_some();
    if !rules.iter().any(reads) {
        return Vec::new();
    }
    let ports = tables.lists.ports(tables.bits, &PortSet::any());
    let addresses = tables.lists.addresses(tables.bits, &AddressSet::any());
    let mut out = Vec::new();
    for (protocol, directions, words) in CHANGES {
        let need = Need {
            transport: TCP,
            versions: IpMask::V4.0 | IpMask::V6.0,
            directions: *directions,
            classes: read_by(*protocol) | 1 << CLASS_UNKNOWN,
            scopes: Scopes::APP.0 | Scopes::HANDSHAKE.0,
            ports: (ports, ports),
            addresses: (addresses, addresses),
            payload: (1, FAR),
            flags: (0, 0),
            icmp_type: (0, 255),
            icmp_code: (0, 255),
            protocol: (0, 255),
            reverse: u64::MAX,
            deciding: false,
        };
        for word in *words {
            if !Also::Word(word, need).caught(tables) {
                out.push(format!("\"{}\" of {}", word.escape_ascii(), protocol.name()));
            }
        }
    }
    out
}
