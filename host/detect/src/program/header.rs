//! Rule headers: protocol word, addresses, ports. Equal headers of different rules are one entry, tested once for a
//! flow and direction.

use std::collections::HashMap;
use std::net::IpAddr;
use weir_ir::{AddressSet, Header, PortSet, RuleProtocol};
use weir_packet::{Packet, Transport};

/// Index of a distinct header.
pub type HeaderIndex = u32;

/// What headers look at, in the direction of inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuple {
    /// Source and destination; none without IP.
    pub addresses: Option<(IpAddr, IpAddr)>,
    /// Source and destination port, of transports that have them.
    pub ports: Option<(u16, u16)>,
    /// Transport.
    pub class: Class,
    /// EtherType of a frame without IP.
    pub ether_type: u16,
    /// There is an Ethernet header.
    pub ethernet: bool,
}

/// Transport class of a packet: rules are indexed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Class {
    /// TCP
    Tcp = 0,
    /// UDP
    Udp,
    /// ICMPv4
    Icmpv4,
    /// ICMPv6
    Icmpv6,
    /// SCTP
    Sctp,
    /// IP with something else, or a fragment.
    OtherIp,
    /// No IP.
    NoIp,
}

impl Class {
    /// Number of classes.
    pub const COUNT: usize = 7;
    /// All.
    pub const ALL: [Class; 7] =
        [Class::Tcp, Class::Udp, Class::Icmpv4, Class::Icmpv6, Class::Sctp, Class::OtherIp, Class::NoIp];

    /// Of a packet.
    pub fn of(packet: &Packet<'_>) -> Class {
        match (&packet.ip, &packet.transport) {
            (None, _) => Class::NoIp,
            (_, Transport::Tcp(_)) => Class::Tcp,
            (_, Transport::Udp(_)) => Class::Udp,
            (_, Transport::Icmpv4(_)) => Class::Icmpv4,
            (_, Transport::Icmpv6(_)) => Class::Icmpv6,
            (_, Transport::Sctp(_)) => Class::Sctp,
            (_, Transport::None) => Class::OtherIp,
        }
    }

    /// Rules of the protocol word can match packets of the class.
    pub fn serves(self, protocol: RuleProtocol) -> bool {
        match protocol {
            RuleProtocol::PacketHeader => true,
            RuleProtocol::Ip => self != Class::NoIp,
            RuleProtocol::Ipv4 => !matches!(self, Class::NoIp | Class::Icmpv6),
            RuleProtocol::Ipv6 => self != Class::NoIp,
            RuleProtocol::Tcp | RuleProtocol::TcpPacket | RuleProtocol::TcpStream => self == Class::Tcp,
            RuleProtocol::Udp => self == Class::Udp,
            RuleProtocol::Icmp => matches!(self, Class::Icmpv4 | Class::Icmpv6),
            RuleProtocol::Icmpv4 => self == Class::Icmpv4,
            RuleProtocol::Icmpv6 => self == Class::Icmpv6,
            RuleProtocol::Sctp => self == Class::Sctp,
            RuleProtocol::Arp => self == Class::NoIp,
            RuleProtocol::Ether => true,
            RuleProtocol::App(_) => matches!(self, Class::Tcp | Class::Udp | Class::Sctp),
        }
    }
}

impl Tuple {
    /// Of a packet, as it travels.
    pub fn of(packet: &Packet<'_>) -> Tuple {
        let class = Class::of(packet);
        Tuple {
            addresses: packet.ip.as_ref().map(|ip| (ip.source, ip.destination)),
            ports: matches!(class, Class::Tcp | Class::Udp | Class::Sctp)
                .then_some((packet.source_port, packet.destination_port)),
            class,
            ether_type: packet.ether_type,
            ethernet: packet.ethernet.is_some(),
        }
    }

    /// Both ends exchanged.
    pub fn exchanged(self) -> Tuple {
        Tuple {
            addresses: self.addresses.map(|(a, b)| (b, a)),
            ports: self.ports.map(|(a, b)| (b, a)),
            ..self
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Entry {
    protocol: RuleProtocol,
    source: Option<u32>,
    destination: Option<u32>,
    source_ports: Option<u32>,
    destination_ports: Option<u32>,
    bidirectional: bool,
}

/// Distinct headers and their sets.
#[derive(Debug, Default)]
pub struct HeaderTable {
    entries: Vec<Entry>,
    known: HashMap<Entry, HeaderIndex>,
    addresses: Vec<AddressSet>,
    address_index: HashMap<AddressKey, u32>,
    /// What was asked for last: most rules have one of two sets.
    recent: [u32; 2],
    ports: Vec<PortSet>,
    port_index: HashMap<PortSet, u32>,
}

type AddressKey = (Vec<(std::net::Ipv4Addr, std::net::Ipv4Addr)>, Vec<(std::net::Ipv6Addr, std::net::Ipv6Addr)>);

impl HeaderTable {
    /// Index of a rule's header.
    pub fn intern(&mut self, header: &Header) -> HeaderIndex {
        let entry = Entry {
            protocol: header.protocol,
            source: self.address(&header.source),
            destination: self.address(&header.destination),
            source_ports: self.port(&header.source_ports),
            destination_ports: self.port(&header.destination_ports),
            bidirectional: header.bidirectional,
        };
        let next = self.entries.len() as HeaderIndex;
        *self.known.entry(entry).or_insert_with(|| {
            self.entries.push(entry);
            next
        })
    }

    fn address(&mut self, set: &AddressSet) -> Option<u32> {
        if set.is_any() {
            return None;
        }
        for n in self.recent {
            if self.addresses.get(n as usize) == Some(set) {
                return Some(n);
            }
        }
        let next = self.addresses.len() as u32;
        let found = *self.address_index.entry((set.v4.clone(), set.v6.clone())).or_insert_with(|| {
            self.addresses.push(set.clone());
            next
        });
        self.recent = [found, self.recent[0]];
        Some(found)
    }

    fn port(&mut self, set: &PortSet) -> Option<u32> {
        if set.is_any() {
            return None;
        }
        if let Some(known) = self.port_index.get(set) {
            return Some(*known);
        }
        let next = self.ports.len() as u32;
        Some(*self.port_index.entry(set.clone()).or_insert_with(|| {
            self.ports.push(set.clone());
            next
        }))
    }

    /// Number of distinct headers.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// No header.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The header matches.
    pub fn holds(&self, index: HeaderIndex, tuple: &Tuple) -> bool {
        let Some(entry) = self.entries.get(index as usize) else { return false };
        if !protocol_holds(entry.protocol, tuple) {
            return false;
        }
        self.ends_hold(entry, tuple) || (entry.bidirectional && self.ends_hold(entry, &tuple.exchanged()))
    }

    fn ends_hold(&self, entry: &Entry, tuple: &Tuple) -> bool {
        self.port_holds(entry.destination_ports, tuple.ports.map(|p| p.1))
            && self.port_holds(entry.source_ports, tuple.ports.map(|p| p.0))
            && self.address_holds(entry.source, tuple.addresses.map(|a| a.0))
            && self.address_holds(entry.destination, tuple.addresses.map(|a| a.1))
    }

    fn address_holds(&self, set: Option<u32>, address: Option<IpAddr>) -> bool {
        match (set, address) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(set), Some(address)) => self.addresses.get(set as usize).is_some_and(|s| s.contains(address)),
        }
    }

    fn port_holds(&self, set: Option<u32>, port: Option<u16>) -> bool {
        match (set, port) {
            // Packets without ports: rules of such protocols may carry any ports, which mean nothing.
            (None, _) | (_, None) => true,
            (Some(set), Some(port)) => self.ports.get(set as usize).is_some_and(|s| s.contains(port)),
        }
    }
}

fn protocol_holds(protocol: RuleProtocol, tuple: &Tuple) -> bool {
    if !tuple.class.serves(protocol) {
        return false;
    }
    match protocol {
        RuleProtocol::Ipv4 => matches!(tuple.addresses, Some((IpAddr::V4(_), _))),
        RuleProtocol::Ipv6 => matches!(tuple.addresses, Some((IpAddr::V6(_), _))),
        RuleProtocol::Arp => tuple.ether_type == 0x0806,
        RuleProtocol::Ether => tuple.ethernet,
        _ => true,
    }
}

/// Remembered answers for one tuple: one lookup for each distinct header.
#[derive(Debug, Default, Clone)]
pub struct HeaderCache {
    known: Vec<u64>,
    value: Vec<u64>,
}

impl HeaderCache {
    /// Forget everything (the tuple or the program changed).
    pub fn clear(&mut self) {
        self.known.clear();
        self.value.clear();
    }

    /// The header matches `tuple`, which is the same at every call between two `clear`s.
    #[inline]
    pub fn holds(&mut self, table: &HeaderTable, index: HeaderIndex, tuple: &Tuple) -> bool {
        let (word, bit) = (index as usize / 64, 1u64 << (index % 64));
        if self.known.get(word).is_some_and(|w| w & bit != 0) {
            return self.value.get(word).is_some_and(|w| w & bit != 0);
        }
        let holds = table.holds(index, tuple);
        if word >= self.known.len() {
            let words = table.len().div_ceil(64);
            self.known.resize(words, 0);
            self.value.resize(words, 0);
        }
        if let (Some(known), Some(value)) = (self.known.get_mut(word), self.value.get_mut(word)) {
            *known |= bit;
            if holds {
                *value |= bit;
            }
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tuple(source: &str, sp: u16, destination: &str, dp: u16) -> Tuple {
        Tuple {
            addresses: Some((source.parse().unwrap(), destination.parse().unwrap())),
            ports: Some((sp, dp)),
            class: Class::Tcp,
            ether_type: 0x0800,
            ethernet: true,
        }
    }

    #[test]
    fn direction_and_cache() {
        let one = |a: &str| AddressSet::from_intervals(vec![(a.parse().unwrap(), a.parse().unwrap())], vec![]);
        let mut header = Header {
            source: one("10.0.0.1"),
            destination_ports: PortSet::from_ranges(vec![(80, 80)]),
            ..Header::any(RuleProtocol::Tcp)
        };
        let mut table = HeaderTable::default();
        let a = table.intern(&header);
        assert_eq!(a, table.intern(&header));
        header.bidirectional = true;
        let b = table.intern(&header);
        let forward = tuple("10.0.0.1", 1000, "10.0.0.2", 80);
        let mut cache = HeaderCache::default();
        for _ in 0..2 {
            assert!(cache.holds(&table, a, &forward));
            assert!(cache.holds(&table, b, &forward));
        }
        assert!(!table.holds(a, &forward.exchanged()));
        assert!(table.holds(b, &forward.exchanged()));
        header.protocol = RuleProtocol::Udp;
        let c = table.intern(&header);
        assert!(!table.holds(c, &forward));
    }
}
