//! Comparison with a real Suricata: what both engines say of one capture, as sets of (flow, signature) pairs.
//!
//! A pair is the coarsest statement of which both engines mean the same: Suricata inspects a stream when it is
//! acknowledged and in chunks, Weir when it arrives, so that frame numbers and counts differ by design.
//!
//! `command` holds options and exit status, `engine` runs Weir's full engine, `suricata` an installed Suricata, `tally` counts and reports.

pub mod command;
pub mod engine;
pub mod suricata;
pub mod tally;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use weir_output::Endpoints;

/// A signature, and the flow it alerted on: both ends in sorted order with ports, and the protocol.
pub type Pair = (u32, String);
/// Pairs of one capture.
pub type Pairs = BTreeSet<Pair>;
/// How often each alerted.
pub type Counts = BTreeMap<Pair, u32>;

/// Name of a flow: the protocol as EVE has it, ports only where the protocol has them.
fn flow_name(mut ends: [(String, u16); 2], protocol: &str) -> String {
    if !matches!(protocol, "TCP" | "UDP" | "SCTP") {
        ends.iter_mut().for_each(|end| end.1 = 0);
    }
    ends.sort();
    let [(a, ap), (b, bp)] = ends;
    format!("{a}:{ap} {b}:{bp} {protocol}")
}

/// Of our own alert; empty for frames without IP.
fn flow_of(ends: &Endpoints) -> String {
    let protocol = match ends.protocol {
        1 => "ICMP".to_owned(),
        6 => "TCP".to_owned(),
        17 => "UDP".to_owned(),
        58 => "IPv6-ICMP".to_owned(),
        132 => "SCTP".to_owned(),
        other => other.to_string(),
    };
    flow_name(
        [(ends.source.to_string(), ends.source_port), (ends.destination.to_string(), ends.destination_port)],
        &protocol,
    )
}

/// Names that Suricata gives to IP protocols, without those of the transports.
const PROTOCOLS: [(&str, &str); 22] = [
    ("HOPOPT", "0"),
    ("IGMP", "2"),
    ("IP-ENCAP", "4"),
    ("IPv4", "4"),
    ("ST2", "5"),
    ("EGP", "8"),
    ("IGP", "9"),
    ("IPv6", "41"),
    ("IPv6-Route", "43"),
    ("IPv6-Frag", "44"),
    ("RSVP", "46"),
    ("GRE", "47"),
    ("ESP", "50"),
    ("AH", "51"),
    ("IPv6-NoNxt", "59"),
    ("IPv6-Opts", "60"),
    ("EIGRP", "88"),
    ("OSPF", "89"),
    ("PIM", "103"),
    ("VRRP", "112"),
    ("L2TP", "115"),
    ("UDPLite", "136"),
];

/// Of fields as Suricata writes them. No protocol means a frame without IP.
fn flow_of_fields(ends: [(Option<&str>, Option<u64>); 2], protocol: Option<&str>) -> String {
    let Some(protocol) = protocol else { return String::new() };
    // Numbers where Suricata has names, so that both engines' names are equal.
    let protocol = PROTOCOLS.iter().find(|(name, _)| *name == protocol).map_or_else(
        || match protocol.trim_start_matches('0') {
            "" => "0",
            digits => digits,
        },
        |(_, number)| number,
    );
    let end = |(address, port): (Option<&str>, Option<u64>)| {
        let address = address.unwrap_or("");
        // EVE writes IPv6 in full; ours is canonical.
        let address = address.parse::<IpAddr>().map_or_else(|_| address.to_owned(), |a| a.to_string());
        (address, u16::try_from(port.unwrap_or(0)).unwrap_or(0))
    };
    flow_name(ends.map(end), protocol)
}

/// The pairs of one line of the oracle: `{"pcap": NAME, "alerts": [[sid, count, address, port, address, port,
/// protocol], …]}`.
pub fn oracle_line(line: &str) -> anyhow::Result<(String, Pairs)> {
    use anyhow::Context;
    let case: serde_json::Value = serde_json::from_str(line).context("oracle line is no JSON")?;
    let name = case["pcap"].as_str().context("oracle line without \"pcap\"")?.to_owned();
    let pairs = case["alerts"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|alert| {
            let sid = u32::try_from(alert[0].as_u64()?).ok()?;
            let end = |at: usize| (alert[at].as_str(), alert[at + 1].as_u64());
            Some((sid, flow_of_fields([end(2), end(4)], alert[6].as_str())))
        })
        .collect();
    Ok((name, pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_name_flows_alike() {
        let (name, pairs) = oracle_line(
            r#"{"pcap": "a.pcap", "alerts": [[7, 2, "2001:0db8:0000:0000:0000:0000:0000:0002", 80, "2001:0db8:0000:0000:0000:0000:0000:0001", 4000, "TCP"], [8, 1, "10.0.0.2", 3, "10.0.0.1", 4, "ICMP"], [9, 1, null, 0, null, 0, null]]}"#,
        )
        .unwrap();
        assert_eq!(name, "a.pcap");
        let ends = |a: &str, p, b: &str, q, protocol| Endpoints {
            source: a.parse().unwrap(),
            source_port: p,
            destination: b.parse().unwrap(),
            destination_port: q,
            protocol,
        };
        assert!(pairs.contains(&(7, flow_of(&ends("2001:db8::1", 4000, "2001:db8::2", 80, 6)))));
        assert!(pairs.contains(&(8, flow_of(&ends("10.0.0.1", 9, "10.0.0.2", 9, 1)))));
        assert!(pairs.contains(&(9, String::new())));
    }
}
