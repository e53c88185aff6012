//! `rule_group.json`: rules by port.
//!
//! As Suricata groups them: the ports of all rules are split into ranges with equal sets of rules; ranges of ports that
//! the configuration prefers, and those of many rules, get a group of their own, as many as the profile allows; all others
//! share one.

use crate::suricata::tree::Node;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use weir_contract::protocol::AppProtocol;
use weir_ir::{PortSet, Rule, RuleProtocol};

/// Ports with a group of their own, unless `detect.grouping` names others.
const TCP: &str = "53, 80, 139, 443, 445, 1433, 3306, 3389, 6666, 6667, 8080";
const UDP: &str = "53, 135, 5060";

/// Ports, and rules by their place in the list.
struct Range {
    ports: (u16, u16),
    rules: Vec<usize>,
    preferred: bool,
}

/// The whole file.
pub fn analyse(rules: &[&Rule], root: &Node) -> Value {
    let mut ids: HashMap<Vec<usize>, usize> = HashMap::new();
    let mut out = json!({});
    for (name, udp) in [("tcp", false), ("udp", true)] {
        let key = format!("detect.grouping.{name}-whitelist");
        let text = root.text(&key).unwrap_or(if udp { UDP } else { TCP });
        let preferred: BTreeSet<u16> = text.split(',').filter_map(|p| p.trim().parse().ok()).collect();
        for (side, to_server) in [("toserver", true), ("toclient", false)] {
            let most = most_groups(root, side);
            let groups = grouped(rules, udp, to_server, &preferred, most);
            out[name][side] = groups.into_iter().map(|range| shown(&range, rules, &mut ids)).collect();
        }
    }
    out
}

fn shown(range: &Range, rules: &[&Rule], ids: &mut HashMap<Vec<usize>, usize>) -> Value {
    let next = ids.len();
    let id = *ids.entry(range.rules.clone()).or_insert(next);
    let list: Vec<Value> = range.rules.iter().map(|n| json!({ "sig_id": rules[*n].identity.sid })).collect();
    json!({
        "port": range.ports.0,
        "port2": range.ports.1,
        "rulegroup": { "id": id, "rules": list, "stats": { "total": range.rules.len() } },
    })
}

/// Groups that the profile allows (user guide, "Detection engine").
fn most_groups(root: &Node, side: &str) -> usize {
    let to_server = side == "toserver";
    match root.text("detect.profile").unwrap_or("medium") {
        "low" => if to_server { 25 } else { 15 },
        "high" => 75,
        "custom" => {
            let own = root.number(&format!("detect.custom-values.{side}-groups"));
            own.and_then(|n| usize::try_from(n).ok()).unwrap_or(if to_server { 40 } else { 20 })
        }
        _ => if to_server { 40 } else { 20 },
    }
}

fn carries(rule: &Rule, udp: bool) -> bool {
    match rule.header.protocol {
        RuleProtocol::Tcp | RuleProtocol::TcpPacket | RuleProtocol::TcpStream => !udp,
        RuleProtocol::Udp => udp,
        RuleProtocol::Ip | RuleProtocol::Ipv4 | RuleProtocol::Ipv6 => true,
        RuleProtocol::App(protocol) => match protocol {
            AppProtocol::Dns | AppProtocol::Sip | AppProtocol::Krb5 | AppProtocol::Nfs | AppProtocol::Ldap => true,
            AppProtocol::Dhcp
            | AppProtocol::Ntp
            | AppProtocol::Snmp
            | AppProtocol::Tftp
            | AppProtocol::Quic
            | AppProtocol::Ike
            | AppProtocol::BittorrentDht
            | AppProtocol::Mdns => udp,
            _ => !udp,
        },
        _ => false,
    }
}

fn ports(rule: &Rule, to_server: bool) -> Vec<&PortSet> {
    let header = &rule.header;
    let (own, other) = match to_server {
        true => (&header.destination_ports, &header.source_ports),
        false => (&header.source_ports, &header.destination_ports),
    };
    if header.bidirectional { vec![own, other] } else { vec![own] }
}

fn grouped(rules: &[&Rule], udp: bool, to_server: bool, preferred: &BTreeSet<u16>, most: usize) -> Vec<Range> {
    let chosen: Vec<usize> = (0..rules.len())
        .filter(|&n| {
            let flow = rules[n].flow.unwrap_or_default();
            let side = if to_server { !flow.to_client || flow.to_server } else { !flow.to_server || flow.to_client };
            side && carries(rules[n], udp)
        })
        .collect();
    // Where the set of rules changes.
    let mut edges: BTreeSet<u32> = BTreeSet::new();
    for &n in &chosen {
        for &(low, high) in ports(rules[n], to_server).iter().flat_map(|set| &set.ranges) {
            edges.insert(u32::from(low));
            edges.insert(u32::from(high) + 1);
        }
    }
    let edges: Vec<u32> = edges.into_iter().collect();
    let mut ranges: Vec<Range> = Vec::new();
    for pair in edges.windows(2) {
        let (low, high) = (pair[0] as u16, (pair[1] - 1) as u16);
        let rules: Vec<usize> = chosen
            .iter()
            .copied()
            .filter(|&n| ports(rules[n], to_server).iter().any(|set| set.contains(low)))
            .collect();
        if !rules.is_empty() {
            ranges.push(Range { ports: (low, high), rules, preferred: low == high && preferred.contains(&low) });
        }
    }
    ranges.sort_by_key(|range| (!range.preferred, std::cmp::Reverse(range.rules.len()), range.ports));
    // Ranges of equal rules are one group.
    let mut sets: Vec<&Vec<usize>> = Vec::new();
    let mut own = ranges.len();
    for (place, range) in ranges.iter().enumerate() {
        if !sets.contains(&&range.rules) {
            if sets.len() == most {
                own = place;
                break;
            }
            sets.push(&range.rules);
        }
    }
    if own < ranges.len() {
        let rest: BTreeSet<usize> = ranges.drain(own..).flat_map(|range| range.rules).collect();
        ranges.push(Range { ports: (0, u16::MAX), rules: rest.into_iter().collect(), preferred: false });
    }
    ranges
}
