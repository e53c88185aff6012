//! Counters by the names that Suricata's statistics have.

mod names;

use std::collections::BTreeMap;
use weir_packet::{LAYERS, Packet, Transport, tcp_flags};

/// What is counted of packets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistics {
    values: BTreeMap<String, u64>,
    packets: PacketCounters,
}

/// Counters that every packet touches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct PacketCounters {
    ethernet: u64,
    ipv4: u64,
    ipv6: u64,
    tcp: u64,
    udp: u64,
    sctp: u64,
    icmpv4: u64,
    icmpv6: u64,
    igmp: u64,
    arp: u64,
    vlan: u64,
    vlan_qinq: u64,
    vlan_qinqinq: u64,
    invalid: u64,
    syn: u64,
    syn_ack: u64,
    rst: u64,
    urg: u64,
    largest: u64,
    /// Fragments, and packets put together from them, of IPv4 and IPv6.
    fragments: [u64; 2],
    reassembled: [u64; 2],
    /// By layer, in the order of [`LAYERS`].
    layers: [u64; LAYERS.len()],
}

/// Gaps in streams, told to parsers and inspection.
pub(crate) const REASSEMBLY_GAP: &str = "tcp.reassembly_gap";

/// EtherType of ARP.
const ARP: u16 = 0x0806;

/// Decoding cannot go on behind the event: headers too short, lengths that lie, versions that are not.
fn breaks_off(event: &str) -> bool {
    const ENDINGS: [&str; 8] = [
        "too_small", "trunc_pkt", "iplen_smaller_than_hlen", "wrong_ip_version", "wrong_version", "hlen_invalid",
        "too_many_layers", "invalid_ip_version",
    ];
    ENDINGS.iter().any(|ending| event.ends_with(ending)) && !event.starts_with("icmpv4.ipv4") && !event.starts_with("icmpv6.ipv6")
}

impl Statistics {
    /// Adds to a counter.
    pub fn add(&mut self, name: &str, amount: u64) {
        match self.values.get_mut(name) {
            Some(value) => *value += amount,
            None => {
                self.values.insert(name.to_owned(), amount);
            }
        }
    }

    /// Counts a packet.
    pub fn packet(&mut self, packet: &Packet<'_>) {
        let c = &mut self.packets;
        if packet.tunnel_depth == 0 {
            c.largest = c.largest.max(packet.data.len() as u64);
        }
        if packet.tunnel_depth == 0 && packet.ip.as_ref().is_none_or(|ip| !ip.reassembled) {
            c.ethernet += u64::from(packet.ethernet.is_some());
            c.vlan += u64::from(packet.vlan_layers > 0);
            c.vlan_qinq += u64::from(packet.vlan_layers > 1);
            c.vlan_qinqinq += u64::from(packet.vlan_layers > 2);
        }
        if !packet.layers.is_empty() {
            for (count, (layer, _)) in c.layers.iter_mut().zip(LAYERS) {
                *count += u64::from(packet.layers.intersects(layer));
            }
        }
        c.arp += u64::from(packet.ether_type == ARP);
        if let Some(ip) = &packet.ip {
            match ip.version {
                4 => c.ipv4 += 1,
                _ => c.ipv6 += 1,
            }
            c.igmp += u64::from(ip.protocol == 2);
            let six = usize::from(ip.version == 6);
            c.fragments[six] += u64::from(ip.is_fragment && !ip.reassembled);
            c.reassembled[six] += u64::from(ip.reassembled);
        }
        match packet.transport {
            Transport::Tcp(tcp) => {
                c.tcp += 1;
                let set = |flag: u8| tcp.flags & flag != 0;
                c.syn += u64::from(set(tcp_flags::SYN) && !set(tcp_flags::ACK));
                c.syn_ack += u64::from(set(tcp_flags::SYN) && set(tcp_flags::ACK));
                c.rst += u64::from(set(tcp_flags::RST));
                c.urg += u64::from(set(tcp_flags::URG));
            }
            Transport::Udp(_) => c.udp += 1,
            Transport::Sctp(_) => c.sctp += 1,
            Transport::Icmpv4(_) => c.icmpv4 += 1,
            Transport::Icmpv6(_) => c.icmpv6 += 1,
            Transport::None => {}
        }
        if !packet.events.is_empty() {
            let mut invalid = false;
            for event in packet.events.iter() {
                invalid |= breaks_off(event.name());
                self.add(&format!("decoder.event.{}", event.name()), 1);
            }
            self.packets.invalid += u64::from(invalid);
        }
    }

    /// All counters.
    pub fn named(&self) -> BTreeMap<String, u64> {
        let c = &self.packets;
        let mut all = self.values.clone();
        for (name, value) in [
            ("ethernet", c.ethernet),
            ("ipv4", c.ipv4),
            ("ipv6", c.ipv6),
            ("tcp", c.tcp),
            ("udp", c.udp),
            ("sctp", c.sctp),
            ("icmpv4", c.icmpv4),
            ("icmpv6", c.icmpv6),
            ("igmp", c.igmp),
            ("arp", c.arp),
            ("vlan", c.vlan),
            ("vlan_qinq", c.vlan_qinq),
            ("vlan_qinqinq", c.vlan_qinqinq),
            ("invalid", c.invalid),
        ] {
            all.insert(format!("decoder.{name}"), value);
        }
        for (name, value) in [
            ("tcp.syn", c.syn),
            ("tcp.synack", c.syn_ack),
            ("tcp.rst", c.rst),
            ("tcp.urg", c.urg),
            ("decoder.max_pkt_size", c.largest),
            ("defrag.ipv4.fragments", c.fragments[0]),
            ("defrag.ipv6.fragments", c.fragments[1]),
            ("defrag.ipv4.reassembled", c.reassembled[0]),
            ("defrag.ipv6.reassembled", c.reassembled[1]),
        ] {
            all.insert(name.to_owned(), value);
        }
        for (count, (_, name)) in c.layers.iter().zip(LAYERS) {
            all.insert(format!("decoder.{name}"), *count);
        }
        for (counter, event) in [
            ("decoder.unknown_ethertype", "ethernet.unknown_ethertype"),
            ("decoder.too_many_layers", "too_many_layers"),
        ] {
            let count = self.values.get(&format!("decoder.event.{event}")).copied().unwrap_or(0);
            all.insert(counter.to_owned(), count);
        }
        names::complete(&mut all);
        all
    }
}
