//! Protocol, addresses, ports and direction of a rule.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use weir_contract::protocol::AppProtocol;

/// The protocol word of a rule header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RuleProtocol {
    /// `ip` / `ipv4` / `ipv6`: any packet of the version(s).
    Ip,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// `tcp`: packets and stream.
    Tcp,
    /// `tcp-pkt`: packets only.
    TcpPacket,
    /// `tcp-stream`: stream only.
    TcpStream,
    /// `udp`
    Udp,
    /// `icmp` (v4 and v6)
    Icmp,
    /// `icmpv4`
    Icmpv4,
    /// `icmpv6`
    Icmpv6,
    /// `sctp`
    Sctp,
    /// `pkthdr`: decoder events on any frame, IP or not.
    PacketHeader,
    /// `arp`
    Arp,
    /// `ether`
    Ether,
    /// An application protocol (`http`, `dns`, `tls` ...), over any transport that carries it.
    App(AppProtocol),
}

/// Closed intervals of addresses, sorted, disjoint, not adjacent. `any` is the two full intervals.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressSet {
    /// IPv4 intervals, inclusive.
    pub v4: Vec<(Ipv4Addr, Ipv4Addr)>,
    /// IPv6 intervals, inclusive.
    pub v6: Vec<(Ipv6Addr, Ipv6Addr)>,
}

impl AddressSet {
    /// Every address.
    pub fn any() -> Self {
        AddressSet {
            v4: vec![(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST)],
            v6: vec![(Ipv6Addr::UNSPECIFIED, Ipv6Addr::from(u128::MAX))],
        }
    }

    /// The set holds every address.
    pub fn is_any(&self) -> bool {
        *self == Self::any()
    }

    /// The set holds no address.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    /// Membership, by binary search.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => interval_contains(&self.v4, a),
            IpAddr::V6(a) => interval_contains(&self.v6, a),
        }
    }

    /// Normalise arbitrary intervals: sort, merge overlapping and adjacent ones.
    pub fn from_intervals(v4: Vec<(Ipv4Addr, Ipv4Addr)>, v6: Vec<(Ipv6Addr, Ipv6Addr)>) -> Self {
        let v4 = normalise(v4.into_iter().map(|(a, b)| (u128::from(u32::from(a)), u128::from(u32::from(b)))).collect());
        let v6 = normalise(v6.into_iter().map(|(a, b)| (u128::from(a), u128::from(b))).collect());
        AddressSet {
            v4: v4.into_iter().map(|(a, b)| (Ipv4Addr::from(a as u32), Ipv4Addr::from(b as u32))).collect(),
            v6: v6.into_iter().map(|(a, b)| (Ipv6Addr::from(a), Ipv6Addr::from(b))).collect(),
        }
    }

    /// Everything not in the set.
    pub fn complement(&self) -> Self {
        let v4 = self.v4.iter().map(|&(a, b)| (u128::from(u32::from(a)), u128::from(u32::from(b)))).collect();
        let v6 = self.v6.iter().map(|&(a, b)| (u128::from(a), u128::from(b))).collect();
        AddressSet {
            v4: invert(v4, u128::from(u32::MAX))
                .into_iter()
                .map(|(a, b)| (Ipv4Addr::from(a as u32), Ipv4Addr::from(b as u32)))
                .collect(),
            v6: invert(v6, u128::MAX).into_iter().map(|(a, b)| (Ipv6Addr::from(a), Ipv6Addr::from(b))).collect(),
        }
    }

    /// Addresses in either set.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_intervals(
            self.v4.iter().chain(&other.v4).copied().collect(),
            self.v6.iter().chain(&other.v6).copied().collect(),
        )
    }

    /// Addresses in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.complement().union(&other.complement()).complement()
    }
}

/// Closed intervals of ports, sorted, disjoint, not adjacent. `any` is 0 to 65535.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PortSet {
    /// Inclusive intervals.
    pub ranges: Vec<(u16, u16)>,
}

impl PortSet {
    /// Every port.
    pub fn any() -> Self {
        PortSet { ranges: vec![(0, u16::MAX)] }
    }

    /// The set holds every port.
    pub fn is_any(&self) -> bool {
        self.ranges == [(0, u16::MAX)]
    }

    /// Membership.
    pub fn contains(&self, port: u16) -> bool {
        interval_contains(&self.ranges, port)
    }

    /// Normalise arbitrary intervals.
    pub fn from_ranges(ranges: Vec<(u16, u16)>) -> Self {
        let merged = normalise(ranges.into_iter().map(|(a, b)| (u128::from(a), u128::from(b))).collect());
        PortSet { ranges: merged.into_iter().map(|(a, b)| (a as u16, b as u16)).collect() }
    }

    /// Everything not in the set.
    pub fn complement(&self) -> Self {
        let ranges = self.ranges.iter().map(|&(a, b)| (u128::from(a), u128::from(b))).collect();
        PortSet { ranges: invert(ranges, u128::from(u16::MAX)).into_iter().map(|(a, b)| (a as u16, b as u16)).collect() }
    }

    /// Ports in either set.
    pub fn union(&self, other: &Self) -> Self {
        Self::from_ranges(self.ranges.iter().chain(&other.ranges).copied().collect())
    }

    /// Ports in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        self.complement().union(&other.complement()).complement()
    }
}

/// `alert PROTOCOL source ports -> destination ports`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Protocol word.
    pub protocol: RuleProtocol,
    /// Left-hand addresses.
    pub source: AddressSet,
    /// Left-hand ports.
    pub source_ports: PortSet,
    /// Right-hand addresses.
    pub destination: AddressSet,
    /// Right-hand ports.
    pub destination_ports: PortSet,
    /// `<>`: the exchanged form matches too.
    pub bidirectional: bool,
    /// Addresses are left out by name (`!10.0.0.0/8`, also within lists and variables).
    pub negated: bool,
}

impl Header {
    /// Of any address and port.
    pub fn any(protocol: RuleProtocol) -> Self {
        Header {
            protocol,
            source: AddressSet::any(),
            source_ports: PortSet::any(),
            destination: AddressSet::any(),
            destination_ports: PortSet::any(),
            bidirectional: false,
            negated: false,
        }
    }
}

fn interval_contains<T: Ord + Copy>(intervals: &[(T, T)], value: T) -> bool {
    let i = intervals.partition_point(|&(low, _)| low <= value);
    i > 0 && value <= intervals[i - 1].1
}

fn normalise(mut intervals: Vec<(u128, u128)>) -> Vec<(u128, u128)> {
    intervals.retain(|&(a, b)| a <= b);
    intervals.sort_unstable();
    let mut out: Vec<(u128, u128)> = Vec::with_capacity(intervals.len());
    for (low, high) in intervals {
        match out.last_mut() {
            Some(last) if low <= last.1 || (last.1 != u128::MAX && low == last.1 + 1) => last.1 = last.1.max(high),
            _ => out.push((low, high)),
        }
    }
    out
}

fn invert(intervals: Vec<(u128, u128)>, max: u128) -> Vec<(u128, u128)> {
    let mut out = Vec::with_capacity(intervals.len() + 1);
    let mut next = Some(0u128);
    for (low, high) in intervals {
        if let Some(start) = next {
            if start < low {
                out.push((start, low - 1));
            }
        }
        next = if high >= max { None } else { Some(high + 1) };
    }
    if let Some(start) = next {
        out.push((start, max));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_algebra() {
        let p = PortSet::from_ranges(vec![(80, 90), (91, 100), (443, 443), (85, 86)]);
        assert_eq!(p.ranges, vec![(80, 100), (443, 443)]);
        assert_eq!(p.complement().ranges, vec![(0, 79), (101, 442), (444, 65535)]);
        assert_eq!(p.complement().complement(), p);
        assert!(PortSet::any().complement().ranges.is_empty());
        assert!(PortSet::default().complement().is_any());
        assert_eq!(p.intersection(&PortSet::from_ranges(vec![(95, 500)])).ranges, vec![(95, 100), (443, 443)]);
    }

    #[test]
    fn address_algebra() {
        let any = AddressSet::any();
        assert!(any.complement().is_empty());
        let ten = AddressSet::from_intervals(vec![(Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 255, 255, 255))], vec![]);
        assert!(ten.contains("10.1.2.3".parse().unwrap()));
        assert!(!ten.complement().contains("10.1.2.3".parse().unwrap()));
        assert!(ten.complement().contains("::1".parse().unwrap()));
        assert!(ten.union(&ten.complement()).is_any());
    }
}
