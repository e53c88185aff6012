//! Decoder events on every shared capture, against what an independent engine reports for its event rules.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::PathBuf;

use weir_capture::CaptureReader;
use weir_packet::{Checksums, Decoder, DecoderConfig, DecoderEvent, Packet, Transport, link_types};

/// Identity of an alert in the oracle: rule and both ends, sorted.
type Identity = (u32, Option<[(IpAddr, u16); 2]>);

fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("WEIR_SHARED")
        .map(PathBuf::from)
        .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"));
    let found = root.join("data/oracle/events.jsonl").is_file();
    if !found {
        eprintln!("SKIPPED: no shared oracle; set WEIR_SHARED to the folder that holds data/oracle");
    }
    found.then_some(root)
}

/// Thresholded by the clock in its rule: compared by presence.
const UNKNOWN_ETHERTYPE: u32 = 2_200_121;

enum Check {
    Event(DecoderEvent),
    IpChecksum,
    /// Transport, IP version.
    Transport(&'static str, u8),
}

fn rules(root: &std::path::Path) -> Vec<(u32, Check)> {
    let text = std::fs::read_to_string(root.join("data/rules/suricata-events/rules/decoder-events.rules")).unwrap();
    let mut rules = Vec::new();
    for line in text.lines().filter(|line| line.starts_with("alert ")) {
        let option = |name: &str| {
            let rest = &line[line.find(name)? + name.len()..];
            Some(rest[..rest.find(';')?].trim().to_string())
        };
        let Some(sid) = option("sid:").and_then(|sid| sid.parse().ok()) else { continue };
        let check = if let Some(event) = option("decode-event:") {
            let Some(event) = DecoderEvent::from_name(&event) else { panic!("no event {event}") };
            Check::Event(event)
        } else if option("ipv4-csum:").is_some() {
            Check::IpChecksum
        } else if option("tcpv4-csum:").is_some() {
            Check::Transport("tcp", 4)
        } else if option("tcpv6-csum:").is_some() {
            Check::Transport("tcp", 6)
        } else if option("udpv4-csum:").is_some() {
            Check::Transport("udp", 4)
        } else if option("udpv6-csum:").is_some() {
            Check::Transport("udp", 6)
        } else if option("icmpv4-csum:").is_some() {
            Check::Transport("icmp", 4)
        } else if option("icmpv6-csum:").is_some() {
            Check::Transport("icmp", 6)
        } else {
            continue;
        };
        rules.push((sid, check));
    }
    rules
}

fn matches(check: &Check, packet: &Packet<'_>) -> bool {
    match check {
        Check::Event(event) => packet.events.contains(*event),
        Check::IpChecksum => packet.ip_checksum_valid() == Some(false),
        Check::Transport(name, version) => {
            let kind = match packet.transport {
                Transport::Tcp(_) => "tcp",
                Transport::Udp(_) => "udp",
                Transport::Icmpv4(_) | Transport::Icmpv6(_) => "icmp",
                _ => return false,
            };
            kind == *name
                && packet.ip.is_some_and(|ip| ip.version == *version)
                && packet.transport_checksum_valid() == Some(false)
        }
    }
}

fn identity(sid: u32, packet: &Packet<'_>) -> Identity {
    let ends = packet.ip.map(|ip| {
        let mut ends = [(ip.source, packet.source_port), (ip.destination, packet.destination_port)];
        ends.sort();
        ends
    });
    (sid, ends)
}

#[test]
fn agree_with_the_oracle() {
    let Some(root) = shared() else { return };
    let rules = rules(&root);
    let sids: BTreeSet<u32> = rules.iter().map(|(sid, _)| *sid).collect();
    // Sids that the oracle's release did not load, or that it thresholds over time.
    let thresholded = [UNKNOWN_ETHERTYPE, 2_200_125];
    let (mut same, mut missing, mut extra) = (0u64, BTreeMap::new(), BTreeMap::new());
    let oracle = std::fs::read_to_string(root.join("data/oracle/events.jsonl")).unwrap();
    for line in oracle.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = record["pcap"].as_str().unwrap();
        let mut wanted: BTreeMap<Identity, i64> = BTreeMap::new();
        let (mut unknown_wanted, mut unknown_found) = (false, false);
        for alert in record["alerts"].as_array().unwrap() {
            let sid = alert[0].as_u64().unwrap() as u32;
            unknown_wanted |= sid == UNKNOWN_ETHERTYPE;
            if !sids.contains(&sid) || thresholded.contains(&sid) {
                continue;
            }
            let end = |at: usize| {
                let address = alert[at].as_str()?.parse::<IpAddr>().ok()?;
                Some((address, alert[at + 1].as_u64().unwrap_or(0) as u16))
            };
            let ends = end(2).zip(end(4)).map(|(a, b)| {
                let mut ends = [a, b];
                ends.sort();
                ends
            });
            *wanted.entry((sid, ends)).or_default() += alert[1].as_i64().unwrap();
        }
        let config = DecoderConfig { checksums: Checksums::Ignore, ..DecoderConfig::default() };
        let mut decoder = Decoder::new(config);
        let Ok(mut reader) = CaptureReader::open(root.join("data/pcaps").join(name)) else { continue };
        let mut found: BTreeMap<Identity, Vec<u64>> = BTreeMap::new();
        let mut first_link = None;
        let mut foreign = false;
        while let Some(frame) = reader.next_frame().unwrap() {
            // The oracle knows few link types, and one per capture.
            foreign |= *first_link.get_or_insert(frame.link) != frame.link;
            foreign |= !matches!(
                frame.link,
                link_types::ETHERNET
                    | link_types::NULL
                    | link_types::RAW
                    | link_types::RAW_BSD
                    | link_types::PPP
                    | link_types::LINUX_SLL
                    | link_types::LINUX_SLL2
                    | link_types::IPV4
                    | link_types::IPV6
            );
            decoder.decode(&frame, &mut |packet| {
                unknown_found |= packet.events.contains(DecoderEvent::ETHERNET_UNKNOWN_ETHERTYPE);
                for (sid, check) in &rules {
                    if !thresholded.contains(sid) && matches(check, packet) {
                        found.entry(identity(*sid, packet)).or_default().push(packet.number);
                    }
                }
            });
        }
        if foreign {
            continue;
        }
        if unknown_wanted != unknown_found {
            let side = if unknown_wanted { &mut missing } else { &mut extra };
            let entry: &mut (i64, Vec<String>) = side.entry(UNKNOWN_ETHERTYPE).or_default();
            entry.0 += 1;
            entry.1.push(name.to_string());
        }
        let keys: BTreeSet<_> = wanted.keys().chain(found.keys()).copied().collect();
        for key in keys {
            let frames = found.get(&key).map_or(&[][..], |frames| &frames[..frames.len().min(8)]);
            let (wanted, found) =
                (wanted.get(&key).copied().unwrap_or(0), found.get(&key).map_or(0, |f| f.len() as i64));
            same += wanted.min(found) as u64;
            if wanted > found {
                let entry: &mut (i64, Vec<String>) = missing.entry(key.0).or_default();
                entry.0 += wanted - found;
                entry.1.push(format!("{name} {:?} want {wanted} have {found} in {frames:?}", key.1));
            }
            if found > wanted {
                let entry: &mut (i64, Vec<String>) = extra.entry(key.0).or_default();
                entry.0 += found - wanted;
                entry.1.push(format!("{name} {:?} want {wanted} have {found} in {frames:?}", key.1));
            }
        }
    }
    let shown = std::env::var("WEIR_SHOWN").map_or(4, |shown| shown.parse().unwrap());
    for (title, differences) in [("missing", &missing), ("extra", &extra)] {
        for (sid, (count, places)) in differences {
            eprintln!("{title} {sid}: {count} in {} places", places.len());
            for place in places.iter().take(shown) {
                eprintln!("    {place}");
            }
        }
    }
    let different: i64 = missing.values().chain(extra.values()).map(|(count, _)| *count).sum();
    eprintln!("{same} alerts agree, {different} differ");
    assert!(different as u64 * 100 < same, "more than 1 % of the decoder alerts differ");
}
