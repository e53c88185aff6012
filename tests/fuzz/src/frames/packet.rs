//! Just enough of packets to change them: where headers lie, lengths and checksums (RFC 791, 768, 793, 8200).

/// Where the parts of a frame lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Places {
    /// IP header.
    pub network: usize,
    /// 4 or 6.
    pub version: u8,
    /// Transport header.
    pub transport: usize,
    /// TCP, UDP, ICMP… (0 for fragments).
    pub protocol: u8,
    /// Transport payload.
    pub payload: usize,
    /// End of the IP packet.
    pub end: usize,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]))
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Offset of the IP header, by link type.
pub fn network(link: u16, frame: &[u8]) -> Option<usize> {
    let mut at = match link {
        1 => 12,
        113 => 14,
        101 | 228 | 229 => return Some(0),
        0 | 108 => return Some(4),
        _ => return None,
    };
    for _ in 0..4 {
        match u16_at(frame, at)? {
            0x8100 | 0x88a8 | 0x9100 => at += 4,
            0x0800 | 0x86dd => return Some(at + 2),
            _ => return None,
        }
    }
    None
}

/// Where the parts of a frame lie; none without an IP header that can be read.
pub fn places(link: u16, frame: &[u8]) -> Option<Places> {
    let network = network(link, frame)?;
    let first = *frame.get(network)?;
    let (transport, protocol, end) = match first >> 4 {
        4 => {
            let fragment = u16_at(frame, network + 6)? & 0x1fff != 0;
            let protocol = if fragment { 0 } else { *frame.get(network + 9)? };
            let end = network + usize::from(u16_at(frame, network + 2)?);
            (network + usize::from(first & 0xf) * 4, protocol, end)
        }
        6 => {
            let end = network + 40 + usize::from(u16_at(frame, network + 4)?);
            let (mut next, mut at) = (*frame.get(network + 6)?, network + 40);
            for _ in 0..8 {
                if !matches!(next, 0 | 43 | 60) {
                    break;
                }
                next = *frame.get(at)?;
                at += 8 + 8 * usize::from(*frame.get(at + 1)?);
            }
            (at, next, end)
        }
        _ => return None,
    };
    let header = match protocol {
        6 => usize::from(frame.get(transport + 12)? >> 4) * 4,
        17 | 1 | 58 => 8,
        _ => 0,
    };
    let end = end.clamp(transport, frame.len().max(transport));
    Some(Places { network, version: first >> 4, transport, protocol, payload: (transport + header).min(end), end })
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))).sum()
}

fn checksum(total: u32) -> u16 {
    let mut total = total;
    while total >> 16 != 0 {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// Make checksums of the outermost IP packet right.
pub fn repair_frame(link: u16, frame: &mut [u8]) {
    let Some(p) = places(link, frame) else { return };
    if p.version == 4 && p.transport <= frame.len() && p.network + 20 <= p.transport {
        put(frame, p.network + 10, 0);
        let value = checksum(sum(frame.get(p.network..p.transport).unwrap_or_default()));
        put(frame, p.network + 10, value);
    }
    let field = p.transport
        + match p.protocol {
            6 => 16,
            17 => 6,
            1 | 58 => 2,
            _ => return,
        };
    if p.protocol == 17 && u16_at(frame, field) == Some(0) || field + 2 > p.end || p.end > frame.len() {
        return;
    }
    // The first fragment of a datagram has the checksum of all of it.
    if p.version == 4 && frame.get(p.network + 6).is_some_and(|flags| flags & 0x20 != 0) {
        return;
    }
    put(frame, field, 0);
    let length = (p.end - p.transport) as u32;
    let addresses = if p.version == 4 { p.network + 12..p.network + 20 } else { p.network + 8..p.network + 40 };
    let pseudo = match p.protocol {
        1 => 0,
        _ => sum(frame.get(addresses).unwrap_or_default()) + u32::from(p.protocol) + length,
    };
    let value = checksum(pseudo + sum(frame.get(p.transport..p.end).unwrap_or_default()));
    put(frame, field, if value == 0 && p.protocol == 17 { 0xffff } else { value });
}

/// Exchange the transport payload; lengths and checksums follow.
pub fn set_payload(link: u16, frame: &mut Vec<u8>, p: &Places, payload: &[u8]) {
    let room = usize::from(u16::MAX).saturating_sub(p.payload - p.network.min(p.payload)).saturating_sub(64);
    let payload = payload.get(..payload.len().min(room)).unwrap_or_default();
    let end = p.end.min(frame.len());
    if p.payload > end {
        return;
    }
    frame.splice(p.payload..end, payload.iter().copied());
    let end = p.payload + payload.len();
    match p.version {
        4 => put(frame, p.network + 2, (end - p.network) as u16),
        _ => put(frame, p.network + 4, end.saturating_sub(p.network + 40) as u16),
    }
    if p.protocol == 17 {
        put(frame, p.transport + 4, (end - p.transport) as u16);
    }
    repair_frame(link, frame);
}
