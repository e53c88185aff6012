//! The key of a flow: the same for both directions.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::IpAddr;

/// Normalised key. `a` is the smaller (address, port) pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// Smaller endpoint's address.
    pub address_a: IpAddr,
    /// Larger endpoint's address.
    pub address_b: IpAddr,
    /// Smaller endpoint's port (ICMP: type class, see [`FlowKey::new`]).
    pub port_a: u16,
    /// Larger endpoint's port.
    pub port_b: u16,
    /// IP protocol.
    pub protocol: u8,
    /// Tunnel depth of the packet.
    pub depth: u8,
    /// Outermost two VLAN identifiers.
    pub vlan: [u16; 2],
}

impl FlowKey {
    /// Key of a packet, and whether its source is endpoint `a`. Ports are 0 for protocols without.
    pub fn new(
        source: (IpAddr, u16),
        destination: (IpAddr, u16),
        protocol: u8,
        depth: u8,
        vlan: [u16; 2],
    ) -> (FlowKey, bool) {
        let forward = source <= destination;
        let (a, b) = if forward { (source, destination) } else { (destination, source) };
        (
            FlowKey { address_a: a.0, address_b: b.0, port_a: a.1, port_b: b.1, protocol, depth, vlan },
            forward,
        )
    }
}

/// Secret of the hash, so that nobody outside can aim at collisions.
#[derive(Debug, Clone, Copy)]
pub struct KeySecret([u64; 4]);

impl KeySecret {
    /// From the operating system's randomness (by way of the standard library's hasher keys).
    pub fn random() -> Self {
        let word = |i: u64| {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_u64(i);
            hasher.finish() | 1
        };
        KeySecret([word(1), word(2), word(3), word(4)])
    }

    /// Multiply-and-fold over the key's words with secret multipliers: each step is a 64×64→128 product whose halves
    /// are folded, so no input bit is lost and every output bit depends on the secret.
    pub fn hash(&self, key: &FlowKey) -> u64 {
        let words = |address: IpAddr| match address {
            IpAddr::V4(v4) => (u64::from(u32::from(v4)), 0x4),
            IpAddr::V6(v6) => {
                let bits = u128::from(v6);
                (bits as u64, (bits >> 64) as u64)
            }
        };
        let (a0, a1) = words(key.address_a);
        let (b0, b1) = words(key.address_b);
        let rest = u64::from(key.port_a)
            | u64::from(key.port_b) << 16
            | u64::from(key.protocol) << 32
            | u64::from(key.depth) << 40;
        let vlan = u64::from(key.vlan[0]) | u64::from(key.vlan[1]) << 16;
        let s = &self.0;
        let mut h = fold(a0 ^ s[0], b0 ^ s[1]);
        if a1 != 4 || b1 != 4 {
            h ^= fold(a1 ^ s[1], b1 ^ s[2].rotate_left(17));
        }
        fold(h ^ rest, (vlan ^ s[2]) | 1) ^ fold(h ^ s[3], rest ^ s[0])
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_have_one_key() {
        let a = ("10.0.0.1".parse().unwrap(), 1000);
        let b = ("10.0.0.2".parse().unwrap(), 80);
        let (k1, f1) = FlowKey::new(a, b, 6, 0, [0, 0]);
        let (k2, f2) = FlowKey::new(b, a, 6, 0, [0, 0]);
        assert_eq!(k1, k2);
        assert!(f1 != f2);
        let secret = KeySecret::random();
        assert_eq!(secret.hash(&k1), secret.hash(&k2));
    }

    #[test]
    fn hash_spreads() {
        let secret = KeySecret::random();
        let mut buckets = [0u32; 256];
        for i in 0..65536u32 {
            let (k, _) = FlowKey::new(
                (std::net::Ipv4Addr::from(0x0a00_0000 + (i >> 8)).into(), 1024 + (i & 255) as u16),
                (std::net::Ipv4Addr::from(0x0a01_0000).into(), 80),
                6,
                0,
                [0, 0],
            );
            buckets[(secret.hash(&k) & 255) as usize] += 1;
        }
        assert!(buckets.iter().all(|&n| (128..512).contains(&n)), "{buckets:?}");
    }
}
