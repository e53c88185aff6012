//! How a packet's endpoints become a [`FlowKey`]: one normal form for device and host.
//!
//! Endpoints are ordered by (address, port), addresses as byte strings of one version, ports as numbers: the order of
//! the host's own key. Transports without ports use port 0; so does ICMP: the device's key is coarser there than the
//! host's (which has the echo identifier), never finer, so no frame of a host flow is missing from the device flow.

use crate::layouts::FlowKey;

/// An address of either version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// IPv4, network order.
    V4([u8; 4]),
    /// IPv6, network order.
    V6([u8; 16]),
}

impl Address {
    /// As stored in a key: IPv4 fills the first four bytes.
    pub fn to_key_bytes(self) -> [u8; 16] {
        match self {
            Address::V4(v4) => {
                let mut out = [0; 16];
                out[..4].copy_from_slice(&v4);
                out
            }
            Address::V6(v6) => v6,
        }
    }

    /// 4 or 6.
    pub const fn version(self) -> u8 {
        match self {
            Address::V4(_) => 4,
            Address::V6(_) => 6,
        }
    }
}

/// Key of a packet, and whether its source is the lower endpoint.
pub fn flow_key(source: (Address, u16), destination: (Address, u16), protocol: u8, vlan: [u16; 2]) -> (FlowKey, bool) {
    let from = (source.0.to_key_bytes(), source.1);
    let to = (destination.0.to_key_bytes(), destination.1);
    let lower_first = from <= to;
    let (lower, upper) = if lower_first { (from, to) } else { (to, from) };
    let key = FlowKey {
        lower_address: lower.0,
        upper_address: upper.0,
        lower_port: lower.1,
        upper_port: upper.1,
        vlan_outer: vlan[0],
        vlan_inner: vlan[1],
        protocol,
        version: source.0.version(),
        depth: 0,
        reserved: 0,
    };
    (key, lower_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_give_one_key() {
        let a = (Address::V4([10, 0, 0, 1]), 40000);
        let b = (Address::V4([10, 0, 0, 2]), 80);
        let (k1, forward) = flow_key(a, b, 6, [5, 0]);
        let (k2, backward) = flow_key(b, a, 6, [5, 0]);
        assert_eq!(k1, k2);
        assert!(forward && !backward);
        assert_eq!((k1.lower_port, k1.upper_port, k1.version), (40000, 80, 4));
    }

    #[test]
    fn same_address_is_ordered_by_port() {
        let a = Address::V6([1; 16]);
        let (k1, forward) = flow_key((a, 9), (a, 7), 17, [0, 0]);
        assert_eq!((k1.lower_port, forward), (7, false));
    }
}
