//! Numbers and text at places of a message; none where the message is too short.

/// Little-endian 16 bits.
pub(crate) fn le16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

/// Little-endian 32 bits.
pub(crate) fn le32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// Little-endian 64 bits.
pub(crate) fn le64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// Big-endian 16 bits.
pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    le16(bytes, at).map(u16::swap_bytes)
}

/// Big-endian 32 bits.
pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    le32(bytes, at).map(u32::swap_bytes)
}

/// UTF-16, little-endian, as UTF-8, up to a NUL. What is no text is replaced.
pub(crate) fn utf16(bytes: &[u8]) -> Vec<u8> {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).take_while(|u| *u != 0);
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect::<String>().into_bytes()
}

/// An IPv6 address with all its digits, as Suricata's logs have it.
pub(crate) fn full_ipv6(address: std::net::Ipv6Addr) -> String {
    address.segments().map(|part| format!("{part:04x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let b = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!((le16(&b, 0), be16(&b, 0), le16(&b, 7), le16(&b, usize::MAX)), (Some(0x201), Some(0x102), None, None));
        assert_eq!((le32(&b, 4), be32(&b, 4), le64(&b, 0)), (Some(0x0807_0605), Some(0x0506_0708), Some(0x0807_0605_0403_0201)));
        assert_eq!(utf16(b"a\0\xe9\0\0\0b\0"), "aé".as_bytes());
    }
}
