//! The device's parser: from a frame to key, offsets and guards.
//!
//! Written from the contract, independent of the host's decoder. What it does not fully understand raises the guard
//! that sends the frame to the host.

use weir_contract::flow_key::Address;
use weir_contract::guards::Guard;

/// TCP facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFacts {
    /// Sequence number.
    pub sequence: u32,
    /// Acknowledgement number.
    pub acknowledgement: u32,
    /// Flags.
    pub flags: u8,
    /// Value of the timestamp option (RFC 7323).
    pub timestamp: Option<u32>,
}

/// Facts of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parsed {
    /// Guards that fired, bit n = guard n.
    pub guards: u64,
    /// Source and destination; none without an IP header that could be read.
    pub ends: Option<(Address, Address)>,
    /// Ports, 0 without.
    pub ports: (u16, u16),
    /// IP protocol behind all extension headers.
    pub protocol: u8,
    /// The transport was read and the frame has a flow key.
    pub keyed: bool,
    /// VLAN identifiers of the key.
    pub vlan: [u16; 2],
    /// Transport payload within the frame.
    pub payload: (usize, usize),
    /// TCP facts.
    pub tcp: Option<TcpFacts>,
    /// ICMP type and code.
    pub icmp: Option<(u8, u8)>,
}

impl Parsed {
    /// A transport whose checksum the parser knows.
    fn has_checksum(&self) -> bool {
        self.tcp.is_some() || self.icmp.is_some() || self.protocol == 17
    }

    /// A guard fired.
    pub fn fired(&self, guard: Guard) -> bool {
        self.guards & guard.bit() != 0
    }

    fn raise(&mut self, guard: Guard) {
        self.guards |= 1 << guard as u8;
    }
}

/// What the parser is told by registers.
#[derive(Debug, Clone)]
pub struct ParseConfig {
    /// Look at checksums.
    pub checksums: bool,
    /// UDP ports of tunnels.
    pub tunnel_ports: [u16; 8],
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Add to an Internet checksum (RFC 1071), in the byte order of memory: section 2(B) there says why that is enough.
fn sum(bytes: &[u8], total: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0u8; 4];
    if let Some(place) = last.get_mut(..rest.len()) {
        place.copy_from_slice(rest);
    }
    words.iter().map(|word| u64::from(u32::from_ne_bytes(*word))).sum::<u64>()
        + u64::from(u32::from_ne_bytes(last))
        + total
}

/// A number of the pseudo header, as [`sum`] adds it.
fn number(value: u32) -> u64 {
    u64::from(u32::from_ne_bytes(value.to_be_bytes()))
}

fn is_valid(mut total: u64) -> bool {
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    total == 0xffff
}

/// Parse one frame.
pub fn parse(config: &ParseConfig, link: u16, frame: &[u8], wire_length: u32) -> Parsed {
    let mut p = Parsed {
        guards: 0,
        ends: None,
        ports: (0, 0),
        protocol: 0,
        keyed: false,
        vlan: [0; 2],
        payload: (frame.len(), frame.len()),
        tcp: None,
        icmp: None,
    };
    if (wire_length as usize) > frame.len() {
        p.raise(Guard::TruncatedCapture);
    }
    let (ether_type, at) = match link {
        1 => match u16_at(frame, 12) {
            Some(t) => (t, 14),
            None => {
                p.raise(Guard::MalformedLink);
                return p;
            }
        },
        // Raw IP (LINKTYPE_RAW, and the two with a fixed version).
        12 | 14 | 101 | 228 | 229 => match frame.first().map(|b| b >> 4) {
            Some(4) => (0x0800, 0),
            Some(6) => (0x86dd, 0),
            _ => {
                p.raise(Guard::MalformedLink);
                return p;
            }
        },
        // Linux cooked, version 1.
        113 => match u16_at(frame, 14) {
            Some(t) => (t, 16),
            None => {
                p.raise(Guard::MalformedLink);
                return p;
            }
        },
        // BSD loopback: address family in the byte order of the capturing host.
        0 | 108 => match frame.first_chunk::<4>().map(|b| u32::from_le_bytes(*b)) {
            Some(2 | 0x0200_0000) => (0x0800, 4),
            Some(family) if matches!(family.min(family.swap_bytes()), 10 | 24 | 26 | 28 | 30) => (0x86dd, 4),
            _ => {
                p.raise(Guard::MalformedLink);
                return p;
            }
        },
        _ => {
            p.raise(Guard::UnsupportedLink);
            return p;
        }
    };
    network(config, &mut p, ether_type, frame, at, 0);
    p
}

fn network(config: &ParseConfig, p: &mut Parsed, ether_type: u16, frame: &[u8], at: usize, tags: usize) {
    match ether_type {
        0x0800 => ipv4(config, p, frame, at),
        0x86dd => ipv6(config, p, frame, at),
        0x8100 | 0x88a8 | 0x9100 | 0x9200 | 0x9300 => {
            if tags >= 2 {
                // Device and host keep two identifiers in the key; a frame with more goes to the host.
                p.raise(Guard::VlanDepth);
            }
            if tags >= 3 {
                return;
            }
            match (u16_at(frame, at), u16_at(frame, at + 2)) {
                (Some(tag), Some(inner)) => {
                    if let Some(slot) = p.vlan.get_mut(tags) {
                        *slot = tag & 0x0fff;
                    }
                    network(config, p, inner, frame, at + 4, tags + 1);
                }
                _ => p.raise(Guard::MalformedLink),
            }
        }
        0x8863 | 0x8864 => p.raise(Guard::TunnelPppoe),
        0x8847 | 0x8848 => p.raise(Guard::TunnelMpls),
        // ARP, LLDP, loopback, EAPOL, slow protocols, PROFINET, GOOSE, SV, EtherCAT, PTP: known to hold no IP.
        0x0806 | 0x8035 | 0x88cc | 0x9000 | 0x888e | 0x8809 | 0x8892 | 0x88b8 | 0x88ba | 0x88a4 | 0x88f7 => {
            p.raise(Guard::NonIp);
        }
        // 802.3 length: plain LLC holds no IP, SNAP may.
        0..0x0600 => {
            if frame.get(at..at + 2) == Some(&[0xaa, 0xaa]) {
                p.raise(Guard::MalformedLink);
            }
            p.raise(Guard::NonIp);
        }
        // Anything else might be an encapsulation the host can open.
        _ => {
            p.raise(Guard::NonIp);
            p.raise(Guard::MalformedLink);
        }
    }
}

fn ipv4(config: &ParseConfig, p: &mut Parsed, frame: &[u8], at: usize) {
    let header = (|| {
        let first = *frame.get(at)?;
        let length = usize::from(first & 0xf) * 4;
        let total = usize::from(u16_at(frame, at + 2)?);
        if first >> 4 != 4 || length < 20 || total < length {
            return None;
        }
        let header = frame.get(at..at + length)?;
        Some((header, length, total))
    })();
    let Some((header, length, total)) = header else {
        p.raise(Guard::MalformedIp);
        return;
    };
    if length > 20 {
        p.raise(Guard::IpOptions);
        if !options_walk(&header[20..]) {
            p.raise(Guard::MalformedIp);
            return;
        }
    }
    let end = at + total;
    if config.checksums && !is_valid(sum(header, 0)) {
        p.raise(Guard::ChecksumIp);
    }
    let mut source = [0; 4];
    let mut destination = [0; 4];
    source.copy_from_slice(&header[12..16]);
    destination.copy_from_slice(&header[16..20]);
    p.ends = Some((Address::V4(source), Address::V4(destination)));
    p.protocol = header[9];
    let fragment = u16::from_be_bytes([header[6], header[7]]);
    if fragment & 0x8000 != 0 || header[8] == 0 || padding_is_long(frame, end) {
        p.raise(Guard::HeaderOdd);
    }
    if end > frame.len() {
        p.raise(Guard::TruncatedCapture);
        return;
    }
    if fragment & 0x3fff != 0 {
        p.raise(Guard::IpFragment);
        return;
    }
    transport(config, p, frame, at + length, end);
}

/// The options of an IPv4 header can be taken apart (RFC 791, section 3.1): else the host may take the packet for none, and
/// the flow's sequence must not count it.
fn options_walk(mut options: &[u8]) -> bool {
    while let [kind, rest @ ..] = options {
        match (kind, rest.first()) {
            (0, _) | (_, None) => return true,
            (1, _) => options = rest,
            (_, Some(&length)) => match options.get(usize::from(length)..).filter(|_| length >= 2) {
                Some(rest) => options = rest,
                None => return false,
            },
        }
    }
    true
}

fn ipv6(config: &ParseConfig, p: &mut Parsed, frame: &[u8], at: usize) {
    let Some(header) = frame.get(at..at + 40).filter(|h| h[0] >> 4 == 6) else {
        p.raise(Guard::MalformedIp);
        return;
    };
    let length = usize::from(u16::from_be_bytes([header[4], header[5]]));
    if length == 0 {
        // Jumbograms and nonsense.
        p.raise(Guard::MalformedIp);
        return;
    }
    let end = at + 40 + length;
    if header[7] == 0 || padding_is_long(frame, end) {
        p.raise(Guard::HeaderOdd);
    }
    let mut source = [0; 16];
    let mut destination = [0; 16];
    source.copy_from_slice(&header[8..24]);
    destination.copy_from_slice(&header[24..40]);
    p.ends = Some((Address::V6(source), Address::V6(destination)));
    let mut next = header[6];
    p.protocol = next;
    if end > frame.len() {
        p.raise(Guard::TruncatedCapture);
        return;
    }
    let mut at = at + 40;
    for _ in 0..8 {
        match next {
            0 | 43 | 60 => {
                p.raise(Guard::ExtHeader);
                let (Some(&following), Some(&units)) = (frame.get(at), frame.get(at + 1)) else {
                    p.raise(Guard::MalformedIp);
                    return;
                };
                let after = at + 8 + usize::from(units) * 8;
                if after > end {
                    p.raise(Guard::MalformedIp);
                    return;
                }
                next = following;
                at = after;
            }
            44 => {
                p.raise(Guard::ExtHeader);
                p.raise(Guard::IpFragment);
                p.protocol = next;
                return;
            }
            50 | 51 | 135 | 139 | 140 | 253 | 254 | 59 => {
                p.raise(Guard::ExtHeaderUnknown);
                p.protocol = next;
                return;
            }
            _ => {
                p.protocol = next;
                transport(config, p, frame, at, end);
                return;
            }
        }
    }
    p.raise(Guard::ExtHeaderUnknown);
}

/// Longest frame that a link may have padded: 60 bytes, with a VLAN tag or the check sequence 64.
const PADDED: usize = 64;

fn padding_is_long(frame: &[u8], end: usize) -> bool {
    end < frame.len() && frame.len() > PADDED
}

fn transport(config: &ParseConfig, p: &mut Parsed, frame: &[u8], at: usize, end: usize) {
    let Some(segment) = frame.get(at..end) else {
        p.raise(Guard::MalformedTransport);
        return;
    };
    match p.protocol {
        6 => {
            let offset = segment.get(12).map(|b| usize::from(b >> 4) * 4);
            match offset {
                Some(offset) if offset >= 20 && offset <= segment.len() => {
                    p.ports = (u16_at(segment, 0).unwrap_or(0), u16_at(segment, 2).unwrap_or(0));
                    let flags = segment.get(13).copied().unwrap_or(0);
                    p.tcp = Some(TcpFacts {
                        sequence: u32_at(segment, 4).unwrap_or(0),
                        acknowledgement: u32_at(segment, 8).unwrap_or(0),
                        flags,
                        timestamp: None,
                    });
                    tcp_options(p, segment.get(20..offset).unwrap_or(&[]));
                    let odd = flags & 0x3f == 0
                        || flags & 0x03 == 0x03
                        || flags & 0x06 == 0x06
                        || flags & 0x05 == 0x05
                        || flags & 0x11 == 0x01
                        || flags & 0x29 == 0x29;
                    if odd {
                        p.raise(Guard::TcpFlagsOdd);
                    }
                    if flags & 0x20 != 0 || segment.get(18..20) != Some(&[0, 0]) {
                        p.raise(Guard::Urgent);
                    }
                    if flags & 0x04 != 0 {
                        p.raise(Guard::Reset);
                    }
                    p.payload = (at + offset, end);
                    p.keyed = true;
                }
                _ => p.raise(Guard::MalformedTransport),
            }
        }
        17 => {
            let length = u16_at(segment, 4).map(usize::from);
            match length {
                Some(length) if length >= 8 && segment.len() >= 8 => {
                    p.ports = (u16_at(segment, 0).unwrap_or(0), u16_at(segment, 2).unwrap_or(0));
                    if length > segment.len() {
                        p.raise(Guard::MalformedTransport);
                        return;
                    }
                    if length < segment.len() {
                        p.raise(Guard::HeaderOdd);
                    }
                    let tunnel = |port: u16| port != 0 && config.tunnel_ports.contains(&port);
                    if tunnel(p.ports.0) || tunnel(p.ports.1) {
                        p.raise(Guard::TunnelUdp);
                        return;
                    }
                    p.payload = (at + 8, at + length);
                    p.keyed = true;
                }
                _ => p.raise(Guard::MalformedTransport),
            }
        }
        1 | 58 if icmp_of_its_version(p) => match (segment.first(), segment.get(1)) {
            (Some(&kind), Some(&code)) if segment.len() >= 8 => {
                p.icmp = Some((kind, code));
                let error = if p.protocol == 1 { matches!(kind, 3..=5 | 11 | 12) } else { kind < 128 };
                if error {
                    p.raise(Guard::IcmpError);
                }
                p.payload = (at + 8, end);
                p.keyed = true;
            }
            _ => p.raise(Guard::MalformedTransport),
        },
        132 => {
            if segment.len() < 12 {
                p.raise(Guard::MalformedTransport);
                return;
            }
            p.ports = (u16_at(segment, 0).unwrap_or(0), u16_at(segment, 2).unwrap_or(0));
            p.payload = (at + 12, end);
            p.keyed = true;
        }
        4 | 41 => {
            p.raise(Guard::TunnelIp);
            return;
        }
        47 => {
            p.raise(Guard::TunnelGre);
            return;
        }
        _ => {
            p.payload = (at, end);
            p.keyed = true;
        }
    }
    let covered = segment.get(..p.payload.1.saturating_sub(at)).unwrap_or(segment);
    if config.checksums && p.keyed && p.has_checksum() && !checksum(p, covered) {
        p.raise(Guard::ChecksumL4);
    }
    let no_port = matches!(p.protocol, 6 | 17 | 132) && (p.ports.0 == 0 || p.ports.1 == 0);
    if no_port || p.ends.is_some_and(|(a, b)| a == b) {
        p.raise(Guard::HeaderOdd);
    }
}

/// ICMP behind IPv4, ICMPv6 behind IPv6; the other way round it is any protocol.
fn icmp_of_its_version(p: &Parsed) -> bool {
    match p.ends {
        Some((Address::V4(_), _)) => p.protocol == 1,
        Some((Address::V6(_), _)) => p.protocol == 58,
        None => false,
    }
}

fn checksum(p: &Parsed, segment: &[u8]) -> bool {
    let pseudo = match p.ends {
        _ if p.protocol == 1 => 0,
        Some((Address::V4(a), Address::V4(b))) => sum(&a, sum(&b, number(u32::from(p.protocol)) + number(segment.len() as u32))),
        Some((Address::V6(a), Address::V6(b))) => sum(&a, sum(&b, number(u32::from(p.protocol)) + number(segment.len() as u32))),
        _ => return true,
    };
    if p.protocol == 17 && segment.get(6..8) == Some(&[0, 0]) {
        // RFC 768: no checksum. RFC 8200 forbids it with IPv6; the host judges.
        return matches!(p.ends, Some((Address::V4(_), _)));
    }
    is_valid(sum(segment, pseudo))
}

fn tcp_options(p: &mut Parsed, mut options: &[u8]) {
    let mut seen = 0u32;
    while let Some((&kind, rest)) = options.split_first() {
        match kind {
            0 => return,
            1 => options = rest,
            _ => {
                let length = rest.first().map_or(0, |l| usize::from(*l));
                let known = match kind {
                    2 => length == 4,
                    3 => length == 3,
                    4 => length == 2,
                    5 => matches!(length, 10 | 18 | 26 | 34),
                    8 => length == 10,
                    19 => length == 18,
                    29 => length >= 4,
                    34 => length == 2 || (6..=18).contains(&length) && length % 2 == 0,
                    253 | 254 => length == 4 || length == 12,
                    _ => true,
                };
                // Kinds from 32 on share a bit: twice one of them is odd, as twice any other is.
                let bit = 1u32.checked_shl(u32::from(kind)).unwrap_or(1);
                let rest = options.get(length..).filter(|_| length >= 2 && known && seen & bit == 0);
                let Some(rest) = rest else {
                    p.raise(Guard::TcpOptionsOdd);
                    return;
                };
                seen |= bit;
                if let (8, Some(tcp)) = (kind, &mut p.tcp) {
                    tcp.timestamp = u32_at(options, 2);
                }
                options = rest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ParseConfig {
        ParseConfig { checksums: false, tunnel_ports: [4789, 0, 0, 0, 0, 0, 0, 0] }
    }

    fn frame(protocol: u8, segment: &[u8]) -> Vec<u8> {
        let mut f = vec![0; 12];
        f.extend([8, 0, 0x45, 0]);
        f.extend(((20 + segment.len()) as u16).to_be_bytes());
        f.extend([0, 1, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
        f.extend(segment);
        f
    }

    fn run(f: &[u8]) -> Parsed {
        parse(&config(), 1, f, f.len() as u32)
    }

    fn fired(p: &Parsed, guard: Guard) -> bool {
        p.guards & 1 << guard as u8 != 0
    }

    #[test]
    fn tcp_and_udp() {
        let mut tcp = vec![0, 80, 0x10, 0, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 0, 0, 0, 0, 0, 0];
        tcp.extend(b"data");
        let f = frame(6, &tcp);
        let p = run(&f);
        assert!(p.keyed && p.guards == 0, "{p:?}");
        assert_eq!(&f[p.payload.0..p.payload.1], b"data");
        assert_eq!(p.ports, (80, 4096));
        let f = frame(17, &[0, 53, 0, 99, 0, 10, 0, 0, 1, 2]);
        assert_eq!(run(&f).payload, (f.len() - 2, f.len()));
    }

    #[test]
    fn guards_of_the_parser() {
        let mut udp = frame(17, &[0, 53, 0x12, 0xb5, 0, 8, 0, 0]);
        assert!(fired(&run(&udp), Guard::TunnelUdp) && !run(&udp).keyed);
        udp[36..38].fill(0);
        assert!(fired(&run(&udp), Guard::HeaderOdd), "port 0 and no tunnel");
        assert!(fired(&run(&frame(47, &[0; 8])), Guard::TunnelGre));
        assert!(fired(&run(&frame(6, &[0; 10])), Guard::MalformedTransport));
        // Options: a no-operation and an end are fine; a length that leaves the header is not.
        let mut options = frame(17, &[0, 53, 0, 99, 0, 8, 0, 0]);
        options[14] = 0x46;
        options[17] += 4;
        options.splice(34..34, [1, 1, 0, 0]);
        assert!(run(&options).keyed && fired(&run(&options), Guard::IpOptions));
        options[34..38].copy_from_slice(&[7, 9, 4, 0]);
        assert!(!run(&options).keyed && fired(&run(&options), Guard::MalformedIp));
        let mut fragment = frame(17, &[0; 8]);
        fragment[20] = 0x20;
        assert!(fired(&run(&fragment), Guard::IpFragment) && !run(&fragment).keyed);
        assert!(fired(&run(&[0; 10]), Guard::MalformedLink));
        assert!(fired(&parse(&config(), 105, &[0; 60], 60), Guard::UnsupportedLink));
        let f = frame(17, &[0, 53, 0, 99, 0, 10, 0, 0, 1, 2]);
        assert!(fired(&parse(&config(), 1, &f, 100), Guard::TruncatedCapture));
        for n in 0..f.len() {
            let _ = run(&f[..n]);
        }
    }
}
