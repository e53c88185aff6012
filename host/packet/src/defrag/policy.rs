//! Overlap policies and their choice by address.

use std::net::IpAddr;

/// Who wins the bytes of two fragments that overlap. "Original" is the one that came first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OverlapPolicy {
    /// The original.
    First,
    /// The newcomer.
    Last,
    /// The original, unless the newcomer starts before it.
    #[default]
    Bsd,
    /// The newcomer, unless it starts before the original.
    BsdRight,
    /// The original, unless the newcomer starts before it or with it.
    Linux,
    /// The original, unless the newcomer starts before it and ends behind it.
    Windows,
    /// The original, unless the newcomer starts before it and ends with or behind it.
    Solaris,
}

impl OverlapPolicy {
    /// By the name in configurations.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "first" => Self::First,
            "last" => Self::Last,
            "bsd" => Self::Bsd,
            "bsd-right" => Self::BsdRight,
            "linux" => Self::Linux,
            "windows" => Self::Windows,
            "solaris" => Self::Solaris,
            _ => return None,
        })
    }

    /// Does a newcomer `new` (start, end) win against an original `old` that it overlaps?
    pub fn newcomer_wins(self, old: (u32, u32), new: (u32, u32)) -> bool {
        match self {
            Self::First => false,
            Self::Last => true,
            Self::Bsd => new.0 < old.0,
            Self::BsdRight => new.0 >= old.0,
            Self::Linux => new.0 <= old.0,
            Self::Windows => new.0 < old.0 && new.1 > old.1,
            Self::Solaris => new.0 < old.0 && new.1 >= old.1,
        }
    }
}

/// An address range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// An address in it.
    pub address: IpAddr,
    /// Leading bits that count.
    pub prefix: u8,
}

impl Network {
    /// Membership. IPv4 and IPv6 never match each other.
    pub fn contains(&self, address: IpAddr) -> bool {
        let equal = |width: u32, a: u128, b: u128| {
            let shift = width.saturating_sub(u32::from(self.prefix));
            shift >= width || a >> shift == b >> shift
        };
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => equal(32, u32::from(a).into(), u32::from(b).into()),
            (IpAddr::V6(a), IpAddr::V6(b)) => equal(128, a.into(), b.into()),
            _ => false,
        }
    }
}

/// A policy for each address: the longest matching network's, or the default.
#[derive(Debug, Clone)]
pub struct AddressPolicies<P> {
    default: P,
    /// Longest prefix first.
    networks: Vec<(Network, P)>,
}

impl<P: Copy> AddressPolicies<P> {
    /// One policy for all.
    pub fn new(default: P) -> Self {
        AddressPolicies { default, networks: Vec::new() }
    }

    /// Another one for a network.
    pub fn add(&mut self, network: Network, policy: P) {
        let at = self.networks.partition_point(|(known, _)| known.prefix >= network.prefix);
        self.networks.insert(at, (network, policy));
    }

    /// One policy for all addresses.
    pub fn is_uniform(&self) -> bool {
        self.networks.is_empty()
    }

    /// The policy of an address.
    pub fn of(&self, address: IpAddr) -> P {
        let found = self.networks.iter().find(|(network, _)| network.contains(address));
        found.map_or(self.default, |(_, policy)| *policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longest_prefix_decides() {
        let mut policies = AddressPolicies::new(OverlapPolicy::Bsd);
        let network = |text: &str, prefix| Network { address: text.parse().unwrap(), prefix };
        policies.add(network("10.0.0.0", 8), OverlapPolicy::Linux);
        policies.add(network("10.1.0.0", 16), OverlapPolicy::Windows);
        policies.add(network("::", 0), OverlapPolicy::First);
        let of = |text: &str| policies.of(text.parse().unwrap());
        assert_eq!(of("10.2.3.4"), OverlapPolicy::Linux);
        assert_eq!(of("10.1.3.4"), OverlapPolicy::Windows);
        assert_eq!(of("11.1.3.4"), OverlapPolicy::Bsd);
        assert_eq!(of("2001:db8::1"), OverlapPolicy::First);
    }
}
