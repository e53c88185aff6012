//! ASCII case folding, as the literal filter, the compiler and the 7-byte tail use it.
//!
//! Only `A`–`Z` change (to `a`–`z`); every other byte, also above 0x7f, stays.

/// Fold one byte.
#[inline]
pub const fn fold(byte: u8) -> u8 {
    byte.to_ascii_lowercase()
}

/// Fold eight bytes at once (SWAR): bit 7 of each lane of the range tests tells upper-case letters.
#[inline]
pub const fn fold_word(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let low = word & (ONES * 0x7f);
    let from_a = low + ONES * (0x80 - b'A' as u64);
    let past_z = low + ONES * (0x7f - b'Z' as u64);
    let upper = from_a & !past_z & !word & (ONES * 0x80);
    word | upper >> 2
}

/// Fold in place.
#[inline]
pub fn fold_in_place(bytes: &mut [u8]) {
    bytes.make_ascii_lowercase();
}

/// The window of `length` (at most 8) bytes at `bytes[at..]`, not folded: first byte in the lowest eight bits, unused
/// high bytes 0. `None` if it does not fit.
#[inline]
pub fn window(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    if length > 8 {
        return None;
    }
    if let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        return Some(truncate(u64::from_le_bytes(*chunk), length));
    }
    let part = bytes.get(at..at.checked_add(length)?)?;
    Some(part.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)))
}

/// Keep the first `length` bytes of a window.
#[inline]
pub const fn truncate(word: u64, length: usize) -> u64 {
    if length >= 8 { word } else { word & ((1 << (length * 8)) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fold_as_bytes_do() {
        for byte in 0..=255u8 {
            for lane in 0..8 {
                for rest in [0u64, 0x4141_4141_4141_4141, u64::MAX, 0x5a5b_405f_7a7b_6061] {
                    let word = rest & !(0xff << (lane * 8)) | u64::from(byte) << (lane * 8);
                    let slow = u64::from_le_bytes(word.to_le_bytes().map(fold));
                    assert_eq!(fold_word(word), slow, "{word:#x}");
                }
            }
        }
    }

    #[test]
    fn windows() {
        let bytes = b"abcdefghi";
        assert_eq!(window(bytes, 0, 4), Some(0x64636261));
        assert_eq!(window(bytes, 5, 4), Some(0x69686766));
        assert_eq!(window(bytes, 6, 4), None);
        assert_eq!(window(bytes, usize::MAX, 4), None);
        assert_eq!(window(bytes, 1, 8), Some(u64::from_le_bytes(*b"bcdefghi")));
        assert_eq!(window(bytes, 0, 9), None);
    }
}
