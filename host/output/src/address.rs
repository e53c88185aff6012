//! Names of protocols and addresses as EVE spells them.

use std::io::Write;
use std::net::IpAddr;

/// Appends an address. IPv6 is written in full, eight groups of four digits, as Suricata does.
pub fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(a) => {
            let _ = write!(out, "{a}");
        }
        IpAddr::V6(a) => {
            for (i, group) in a.segments().iter().enumerate() {
                let _ = write!(out, "{}{group:04x}", if i > 0 { ":" } else { "" });
            }
        }
    }
}

/// Name of an IP protocol; numbers without one are written with three digits.
pub fn protocol(out: &mut Vec<u8>, number: u8) {
    match protocol_name(number) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => {
            let _ = write!(out, "{number:03}");
        }
    }
}

/// Name of an IP protocol, for the common ones.
pub fn protocol_name(number: u8) -> Option<&'static str> {
    Some(match number {
        0 => "HOPOPT",
        1 => "ICMP",
        2 => "IGMP",
        3 => "GGP",
        4 => "IPv4",
        6 => "TCP",
        8 => "EGP",
        9 => "IGP",
        17 => "UDP",
        27 => "RDP",
        33 => "DCCP",
        41 => "IPv6",
        43 => "IPv6-Route",
        44 => "IPv6-Frag",
        46 => "RSVP",
        47 => "GRE",
        50 => "ESP",
        51 => "AH",
        58 => "IPv6-ICMP",
        59 => "IPv6-NoNxt",
        60 => "IPv6-Opts",
        88 => "EIGRP",
        89 => "OSPFIGP",
        94 => "IPIP",
        97 => "ETHERIP",
        98 => "ENCAP",
        103 => "PIM",
        108 => "IPComp",
        112 => "VRRP",
        115 => "L2TP",
        132 => "SCTP",
        136 => "UDPLite",
        137 => "MPLS-in-IP",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spelling() {
        let mut out = Vec::new();
        address(&mut out, "2001:db8::1".parse().unwrap());
        out.push(b' ');
        address(&mut out, "10.0.0.1".parse().unwrap());
        out.push(b' ');
        protocol(&mut out, 6);
        out.push(b' ');
        protocol(&mut out, 99);
        assert_eq!(String::from_utf8(out).unwrap(), "2001:0db8:0000:0000:0000:0000:0000:0001 10.0.0.1 TCP 099");
    }
}
