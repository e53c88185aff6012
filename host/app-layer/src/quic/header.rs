//! Long headers (RFC 9000 section 17.2, RFC 9369 section 3.2, Google's Q046).

use crate::tls::Reader;

/// Version 1.
pub const V1: u32 = 1;
/// Version 2.
pub const V2: u32 = 0x6b33_43cf;
/// Longest connection id (RFC 9000 section 17.2).
const ID_MAX: usize = 20;

/// Kind of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    VersionNegotiation,
}

/// A long header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    pub kind: Kind,
    pub version: u32,
    pub destination: &'a [u8],
    /// Where the packet number begins.
    pub number_at: usize,
    /// Where the packet ends within the datagram.
    pub end: usize,
}

/// Versions with Google's own handshake: `Q` and three digits.
pub fn is_google(version: u32) -> bool {
    matches!(version, 0x5130_3330..=0x5130_3439)
}

/// A variable-length integer (RFC 9000 section 16).
pub fn varint(r: &mut Reader<'_>) -> Option<u64> {
    let first = r.u8()?;
    let more = r.take((1 << (first >> 6)) - 1)?;
    Some(more.iter().fold(u64::from(first & 0x3f), |n, b| n << 8 | u64::from(*b)))
}

/// Read the long header at the start of `bytes`; none if there is none, or it contradicts itself.
pub fn read(bytes: &[u8]) -> Option<Header<'_>> {
    let mut r = Reader(bytes);
    let first = r.u8()?;
    if first & 0x80 == 0 {
        return None;
    }
    let version = u32::from(r.u16()?) << 16 | u32::from(r.u16()?);
    if is_google(version) {
        return google(bytes, first, version, r);
    }
    let length = usize::from(r.u8()?);
    if length > ID_MAX && version != 0 {
        return None;
    }
    let destination = r.take(length)?;
    let length = usize::from(r.u8()?);
    r.take(length)?;
    // Version 2 counts the kinds from one.
    let bits = first >> 4 & 3;
    let kind = match (version, if version == V2 { bits.wrapping_sub(1) & 3 } else { bits }) {
        (0, _) => Kind::VersionNegotiation,
        (_, 0) => Kind::Initial,
        (_, 1) => Kind::ZeroRtt,
        (_, 2) => Kind::Handshake,
        _ => Kind::Retry,
    };
    let at = |r: &Reader<'_>| bytes.len() - r.0.len();
    if matches!(kind, Kind::Retry | Kind::VersionNegotiation) {
        return Some(Header { kind, version, destination, number_at: at(&r), end: bytes.len() });
    }
    if kind == Kind::Initial {
        let token = usize::try_from(varint(&mut r)?).ok()?;
        r.take(token)?;
    }
    let length = usize::try_from(varint(&mut r)?).ok()?;
    let number_at = at(&r);
    r.take(length)?;
    Some(Header { kind, version, destination, number_at, end: at(&r) })
}

/// Q046: both lengths in one byte, less three each; neither token nor length.
fn google<'a>(bytes: &'a [u8], first: u8, version: u32, mut r: Reader<'a>) -> Option<Header<'a>> {
    let lengths = r.u8()?;
    let length = |nibble: u8| usize::from(if nibble == 0 { 0 } else { nibble + 3 });
    let destination = r.take(length(lengths >> 4))?;
    r.take(length(lengths & 15))?;
    let kind = match first >> 4 & 3 {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    };
    Some(Header { kind, version, destination, number_at: bytes.len() - r.0.len(), end: bytes.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9000 appendix A.1.
    #[test]
    fn integers() {
        for (bytes, value) in [
            (&[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c][..], 151_288_809_941_952_652),
            (&[0x9d, 0x7f, 0x3e, 0x7d], 494_878_333),
            (&[0x7b, 0xbd], 15_293),
            (&[0x25], 37),
            (&[0x40, 0x25], 37),
        ] {
            assert_eq!(varint(&mut Reader(bytes)), Some(value));
        }
        assert_eq!(varint(&mut Reader(&[0x40])), None);
    }

    #[test]
    fn kinds_by_version() {
        let packet = |first: u8, version: u32| [&[first], &version.to_be_bytes()[..], &[2, 7, 7, 0, 0, 4, 1, 2, 3, 4]].concat();
        assert_eq!(read(&packet(0xc0, V1)).map(|h| (h.kind, h.number_at, h.end)), Some((Kind::Initial, 11, 15)));
        assert_eq!(read(&packet(0xd0, V2)).map(|h| h.kind), Some(Kind::Initial));
        assert_eq!(read(&packet(0xc0, V2)).map(|h| h.kind), Some(Kind::Retry));
        assert_eq!(read(&packet(0xf0, V1)).map(|h| h.kind), Some(Kind::Retry));
        assert_eq!(read(&packet(0x80, 0)).map(|h| h.kind), Some(Kind::VersionNegotiation));
        assert_eq!(read(&packet(0x40, V1)), None);
        let bytes = packet(0xc0, V1);
        assert!((0..bytes.len()).all(|n| read(&bytes[..n]).is_none()));
    }
}
