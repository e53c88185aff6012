//! Names of flows: the Community ID (version 1) that other tools compute too, and EVE's `flow_id`.

use crate::json::base64;
use crate::record::Endpoints;
use sha1::{Digest, Sha1};
use std::net::IpAddr;

/// Appends `1:` and the base64 of SHA-1(seed, ordered addresses, protocol, 0, ordered ports), as the Community ID
/// specification says. `icmp` is type and code of an ICMP packet in the direction of `ends`.
pub fn community_id(out: &mut Vec<u8>, seed: u16, ends: Endpoints, icmp: Option<(u8, u8)>) {
    let (mut source_port, mut destination_port) = (ends.source_port, ends.destination_port);
    let mut one_way = false;
    let has_ports = matches!(ends.protocol, 6 | 17 | 132);
    if let Some((kind, code)) = icmp {
        let counterpart = if ends.protocol == 58 { icmpv6_counterpart(kind) } else { icmpv4_counterpart(kind) };
        source_port = u16::from(kind);
        destination_port = u16::from(counterpart.unwrap_or(code));
        one_way = counterpart.is_none();
    }
    let in_order =
        one_way || (octets(ends.source).as_ref(), source_port) < (octets(ends.destination).as_ref(), destination_port);
    let (first, second, first_port, second_port) = if in_order {
        (ends.source, ends.destination, source_port, destination_port)
    } else {
        (ends.destination, ends.source, destination_port, source_port)
    };
    let mut hash = Sha1::new();
    hash.update(seed.to_be_bytes());
    hash.update(octets(first));
    hash.update(octets(second));
    hash.update([ends.protocol, 0]);
    if has_ports || icmp.is_some() {
        hash.update(first_port.to_be_bytes());
        hash.update(second_port.to_be_bytes());
    }
    out.extend_from_slice(b"1:");
    base64(out, &hash.finalize());
}

/// `flow_id` of EVE: 51 bits (JSON readers keep 53), the same in every run over the same frames.
pub fn flow_id(ends: Endpoints, first_frame: u64, start: u64) -> u64 {
    let mut hash = Sha1::new();
    hash.update(octets(ends.source));
    hash.update(octets(ends.destination));
    hash.update([ends.protocol]);
    hash.update(ends.source_port.to_be_bytes());
    hash.update(ends.destination_port.to_be_bytes());
    hash.update(first_frame.to_be_bytes());
    hash.update(start.to_be_bytes());
    let digest = hash.finalize();
    digest.iter().take(8).fold(0u64, |n, &b| n << 8 | u64::from(b)) & ((1 << 51) - 1)
}

fn octets(address: IpAddr) -> Octets {
    match address {
        IpAddr::V4(a) => Octets::V4(a.octets()),
        IpAddr::V6(a) => Octets::V6(a.octets()),
    }
}

enum Octets {
    V4([u8; 4]),
    V6([u8; 16]),
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        match self {
            Octets::V4(a) => a,
            Octets::V6(a) => a,
        }
    }
}

fn icmpv4_counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        0 => 8,
        8 => 0,
        9 => 10,
        10 => 9,
        13 => 14,
        14 => 13,
        15 => 16,
        16 => 15,
        17 => 18,
        18 => 17,
        _ => return None,
    })
}

fn icmpv6_counterpart(kind: u8) -> Option<u8> {
    Some(match kind {
        128 => 129,
        129 => 128,
        130 => 131,
        131 => 130,
        133 => 134,
        134 => 133,
        135 => 136,
        136 => 135,
        139 => 140,
        140 => 139,
        144 => 145,
        145 => 144,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(source: &str, source_port: u16, destination: &str, destination_port: u16, protocol: u8) -> Endpoints {
        Endpoints {
            source: source.parse().unwrap(),
            source_port,
            destination: destination.parse().unwrap(),
            destination_port,
            protocol,
        }
    }

    fn id(e: Endpoints, icmp: Option<(u8, u8)>) -> String {
        let mut out = Vec::new();
        community_id(&mut out, 0, e, icmp);
        String::from_utf8(out).unwrap()
    }

    /// Vectors of the specification's baseline.
    #[test]
    fn published_vectors() {
        let tcp = ends("128.232.110.120", 34855, "66.35.250.204", 80, 6);
        assert_eq!(id(tcp, None), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        assert_eq!(id(tcp.exchanged(), None), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        let udp = ends("192.168.1.52", 54585, "8.8.8.8", 53, 17);
        assert_eq!(id(udp, None), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        let ping = ends("192.168.0.89", 0, "192.168.0.1", 0, 1);
        assert_eq!(id(ping, Some((8, 0))), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        assert_eq!(id(ping.exchanged(), Some((0, 0))), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
    }

    #[test]
    fn flow_ids_fit_and_differ() {
        let tcp = ends("10.0.0.1", 1, "10.0.0.2", 2, 6);
        assert!(flow_id(tcp, 1, 0) < 1 << 51);
        assert_ne!(flow_id(tcp, 1, 0), flow_id(tcp, 2, 0));
        assert_eq!(flow_id(tcp, 1, 5), flow_id(tcp, 1, 5));
    }
}
