//! Numbers in buffers: conversion for byte_test, byte_jump, byte_extract and byte_math.

use weir_ir::{ByteBase, Endian};

/// Longest field of digits (an octal number of 64 bits with sign).
const MAX_DIGITS: usize = 23;

/// Value and end of the field at `start`.
pub fn read(
    buffer: &[u8],
    start: usize,
    count: usize,
    base: ByteBase,
    endian: Endian,
    dce_little: bool,
) -> Option<(u64, usize)> {
    let count = match base {
        // No count: all digits there are (rules on `http.content_len`).
        ByteBase::String(_) if count == 0 => buffer.len().checked_sub(start)?.min(MAX_DIGITS),
        _ => count,
    };
    let field = buffer.get(start..start.checked_add(count)?)?;
    match base {
        ByteBase::Binary => {
            if field.is_empty() || field.len() > 8 {
                return None;
            }
            let little = match endian {
                Endian::Big => false,
                Endian::Little => true,
                Endian::Dce => dce_little,
            };
            let join = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
            let value = if little { field.iter().rev().fold(0, join) } else { field.iter().fold(0, join) };
            Some((value, start + count))
        }
        ByteBase::String(base) => {
            let (value, used) = parse(field, base)?;
            Some((value, start + used))
        }
    }
}

/// Unsigned number in text as C's `strtoull` reads it: leading white space, sign, prefix by base, then digits.
fn parse(field: &[u8], base: u8) -> Option<(u64, usize)> {
    let mut at = field.iter().take_while(|b| b.is_ascii_whitespace() || **b == 0x0b).count();
    let negative = match field.get(at) {
        Some(b'-') => {
            at += 1;
            true
        }
        Some(b'+') => {
            at += 1;
            false
        }
        _ => false,
    };
    let hex_prefix = matches!(field.get(at..), Some([b'0', b'x' | b'X', digit, ..]) if digit.is_ascii_hexdigit());
    let radix = match base {
        0 if hex_prefix => 16,
        0 if field.get(at) == Some(&b'0') => 8,
        0 => 10,
        b => u64::from(b),
    };
    if radix == 16 && hex_prefix {
        at += 2;
    }
    let first = at;
    let mut value = 0u64;
    while let Some(digit) = field.get(at).and_then(|b| (*b as char).to_digit(36)).filter(|&d| u64::from(d) < radix) {
        value = value.checked_mul(radix)?.checked_add(u64::from(digit))?;
        at += 1;
    }
    if at == first {
        return None;
    }
    Some((if negative { value.wrapping_neg() } else { value }, at))
}

/// Apply `bitmask`: the masked bits, moved down to bit 0.
pub fn masked(value: u64, mask: Option<u64>) -> u64 {
    match mask {
        Some(0) | None => value,
        Some(mask) => (value & mask) >> mask.trailing_zeros(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn binary() {
        let b = [1, 2, 3, 4];
        assert_eq!(read(&b, 0, 2, ByteBase::Binary, Endian::Big, false), Some((0x0102, 2)));
        assert_eq!(read(&b, 1, 3, ByteBase::Binary, Endian::Little, false), Some((0x040302, 4)));
        assert_eq!(read(&b, 0, 2, ByteBase::Binary, Endian::Dce, true), Some((0x0201, 2)));
        assert_eq!(read(&b, 3, 2, ByteBase::Binary, Endian::Big, false), None);
        assert_eq!(read(&b, usize::MAX, 2, ByteBase::Binary, Endian::Big, false), None);
    }

    #[test]
    fn text() {
        let text = |s: &str, base| read(s.as_bytes(), 0, s.len(), ByteBase::String(base), Endian::Big, false);
        assert_eq!(text("123x", 10), Some((123, 3)));
        assert_eq!(text(" 0x1f", 16), Some((31, 5)));
        assert_eq!(text("017", 0), Some((15, 3)));
        assert_eq!(text("0x", 0), Some((0, 1)));
        assert_eq!(text("xyz", 10), None);
        assert_eq!(read(b"x123", 1, 0, ByteBase::String(10), Endian::Big, false), Some((123, 4)));
        assert_eq!(text("99999999999999999999999", 10), None);
        assert_eq!(text("-1", 10), Some((u64::MAX, 2)));
    }

    #[test]
    fn mask() {
        assert_eq!(masked(0xabcd, Some(0x0ff0)), 0xbc);
        assert_eq!(masked(7, None), 7);
    }
}
