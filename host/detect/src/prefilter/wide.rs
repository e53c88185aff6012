//! Positions where a window of a set may stand, 64 at a time.
//!
//! Each folded window of four bytes sets a bit of a table; its index is a random linear function over GF(2) of the
//! window's bits, which GF2P8AFFINEQB computes for a byte of 64 positions at once (an 8 × 8 bit matrix for each byte of
//! the index and of the window). What is left is one look-up per position, in a table small enough for the first-level
//! cache. No branch depends on the bytes.
//!
//! A leaf with `unsafe`: intrinsics, and look-ups without bounds checks. The test `equals_the_definition` compares it with
//! the index computed bit by bit; without the processor's help [`Wide::new`] gives none, and the caller's own loop stands.
#![allow(unsafe_code)]

use std::arch::x86_64::*;
use weir_contract::hash::splitmix64;

/// Positions of a block, and most blocks looked at together.
pub(super) const BLOCK: usize = 64;
pub(super) const BLOCKS: usize = 4;
/// Bytes that must be readable behind the last block of positions.
pub(super) const BEHIND: usize = 3;
/// Bits of the table for each window: one in 64 of other windows passes, or fewer.
const BITS_PER_WINDOW: usize = 64;
/// Sizes of the table in bits, log2: three bits choose the bit of a byte, at most sixteen the byte.
const LOG2: std::ops::RangeInclusive<u32> = 13..=19;
/// Bytes of an index: the bit of a byte; low and high half of the byte's address.
const PLANES: usize = 3;
const FOLD: u8 = 0x20;

/// A set of windows.
#[derive(Debug, Clone)]
pub(super) struct Wide {
    /// By plane and byte of the window.
    planes: [[u64; 4]; PLANES],
    table: Vec<u8>,
}

fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("gfni")
}

/// By bit of an index: the window's bits that it is the sum of.
fn rows(log2: u32) -> Vec<u32> {
    let mut state = 0x5eed;
    (0..log2).map(|_| splitmix64(&mut state) as u32).collect()
}

/// Sum of the chosen bits.
fn index(rows: &[u32], window: u32) -> usize {
    rows.iter().enumerate().fold(0, |index, (n, row)| index | ((row & window).count_ones() as usize & 1) << n)
}

impl Wide {
    /// Of folded windows; none if there are none, or the processor cannot do it.
    pub(super) fn new(windows: &[u32]) -> Option<Wide> {
        if windows.is_empty() || !available() {
            return None;
        }
        let wanted = (windows.len() * BITS_PER_WINDOW).next_power_of_two().trailing_zeros();
        let log2 = wanted.clamp(*LOG2.start(), *LOG2.end());
        let rows = rows(log2);
        let mut table = vec![0u8; 1 << (log2 - 3)];
        for window in windows {
            let at = index(&rows, *window);
            if let Some(byte) = table.get_mut(at / 8) {
                *byte |= 1 << (at % 8);
            }
        }
        let plane = |plane: usize| {
            let from = [0, 3, 11][plane];
            let row = |r: usize, byte: usize| {
                let used = plane != 0 || r < 3;
                rows.get(from + r).filter(|_| used).map_or(0, |row| (row >> (8 * byte)) as u8)
            };
            // The row of result bit r is byte 7 - r of a matrix.
            std::array::from_fn(|byte| u64::from_be_bytes(std::array::from_fn(|r| row(r, byte))))
        };
        Some(Wide { planes: std::array::from_fn(plane), table })
    }

    /// Bits of the first positions of `bytes` at which a window of the set may begin, a word for each block, and how
    /// many blocks were looked at.
    #[inline]
    pub(super) fn positions(&self, bytes: &[u8]) -> ([u64; BLOCKS], usize) {
        let blocks = (bytes.len().saturating_sub(BEHIND) / BLOCK).min(BLOCKS);
        let mut masks = [0; BLOCKS];
        // SAFETY: there is a `Wide` only where the processor can do it; `64 * blocks + 3` bytes are there.
        unsafe { self.look_up(bytes.as_ptr(), blocks, &mut masks) };
        (masks, blocks)
    }

    /// # Safety
    /// [`available`]; `64 * blocks + 3` bytes can be read at `from`; `blocks` is at most [`BLOCKS`].
    #[target_feature(enable = "avx512f,avx512bw,gfni")]
    unsafe fn look_up(&self, from: *const u8, blocks: usize, masks: &mut [u64; BLOCKS]) {
        #[repr(align(64))]
        struct Aligned<T>(T);
        let mut addresses = Aligned([0u16; BLOCK * BLOCKS]);
        let mut bits = Aligned([0u8; BLOCK * BLOCKS]);
        let fold = _mm512_set1_epi8(FOLD as i8);
        for block in 0..blocks {
            let mut window = [_mm512_setzero_si512(); 4];
            for (n, byte) in window.iter_mut().enumerate() {
                // SAFETY: the caller's.
                let raw = unsafe { _mm512_loadu_si512(from.add(block * BLOCK + n).cast()) };
                *byte = _mm512_or_si512(raw, fold);
            }
            let [low, first, second] = self.planes.each_ref().map(|plane| {
                let product =
                    |n: usize| _mm512_gf2p8affine_epi64_epi8::<0>(window[n], _mm512_set1_epi64(plane[n] as i64));
                let (one, two) = (_mm512_xor_si512(product(0), product(1)), _mm512_xor_si512(product(2), product(3)));
                _mm512_xor_si512(one, two)
            });
            // SAFETY: each array has 64 elements from `block * 64` on.
            unsafe {
                _mm512_storeu_si512(bits.0.as_mut_ptr().add(block * BLOCK).cast(), low);
                let to = addresses.0.as_mut_ptr().add(block * BLOCK);
                _mm512_storeu_si512(to.cast(), _mm512_unpacklo_epi8(first, second));
                _mm512_storeu_si512(to.add(BLOCK / 2).cast(), _mm512_unpackhi_epi8(first, second));
            }
        }
        let choose = _mm512_set1_epi64(0x8040_2010_0804_0201u64 as i64);
        let table = self.table.as_ptr();
        for (block, mask) in masks.iter_mut().enumerate().take(blocks) {
            // SAFETY: an address has no bits beyond the table's (their rows are empty).
            unsafe {
                let from = addresses.0.as_ptr().add(block * BLOCK);
                let found = _mm512_castsi128_si512(sixteen(table, from));
                let found = _mm512_inserti32x4::<1>(found, sixteen(table, from.add(8)));
                let found = _mm512_inserti32x4::<2>(found, sixteen(table, from.add(16)));
                let found = _mm512_inserti32x4::<3>(found, sixteen(table, from.add(24)));
                let bit = _mm512_loadu_si512(bits.0.as_ptr().add(block * BLOCK).cast());
                *mask = _mm512_test_epi8_mask(found, _mm512_shuffle_epi8(choose, bit));
            }
        }
    }
}

/// Sixteen bytes of the table.
///
/// # Safety
/// `from` has addresses at 0 to 7 and 32 to 39, which lie in the table: unpacking works within 16 bytes, so that the first
/// half of a block's addresses are those of positions 0 to 7 of each sixteen.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
unsafe fn sixteen(table: *const u8, from: *const u16) -> __m128i {
    // SAFETY: the caller's.
    let byte = |n: usize| unsafe { i32::from(*table.add(usize::from(*from.add(n / 8 * (BLOCK / 2) + n % 8)))) };
    let mut found = _mm_cvtsi32_si128(byte(0));
    found = _mm_insert_epi8::<1>(found, byte(1));
    found = _mm_insert_epi8::<2>(found, byte(2));
    found = _mm_insert_epi8::<3>(found, byte(3));
    found = _mm_insert_epi8::<4>(found, byte(4));
    found = _mm_insert_epi8::<5>(found, byte(5));
    found = _mm_insert_epi8::<6>(found, byte(6));
    found = _mm_insert_epi8::<7>(found, byte(7));
    found = _mm_insert_epi8::<8>(found, byte(8));
    found = _mm_insert_epi8::<9>(found, byte(9));
    found = _mm_insert_epi8::<10>(found, byte(10));
    found = _mm_insert_epi8::<11>(found, byte(11));
    found = _mm_insert_epi8::<12>(found, byte(12));
    found = _mm_insert_epi8::<13>(found, byte(13));
    found = _mm_insert_epi8::<14>(found, byte(14));
    _mm_insert_epi8::<15>(found, byte(15))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_definition() {
        let mut state = 11;
        for count in [1, 40, 3000, 9000] {
            let windows: Vec<u32> = (0..count).map(|_| splitmix64(&mut state) as u32 | 0x2020_2020).collect();
            let Some(wide) = Wide::new(&windows) else { return };
            let rows = rows(wide.table.len().trailing_zeros() + 3);
            for length in [0usize, 66, 67, 130, 131, 259, 260, 400] {
                let mut bytes: Vec<u8> = (0..length).map(|_| splitmix64(&mut state) as u8).collect();
                for (at, window) in (5..length.saturating_sub(4)).step_by(31).zip(&windows) {
                    // In other case than the set's.
                    bytes[at..at + 4].copy_from_slice(&(window & !0x2000).to_le_bytes());
                }
                let (masks, blocks) = wide.positions(&bytes);
                assert_eq!(blocks, (length.saturating_sub(3) / 64).min(4));
                for at in 0..blocks * 64 {
                    let window = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) | 0x2020_2020;
                    let bit = index(&rows, window);
                    let expected = wide.table[bit / 8] >> (bit % 8) & 1;
                    assert_eq!(masks[at / 64] >> (at % 64) & 1, u64::from(expected), "{at} of {length}");
                    assert!(expected == 1 || !windows.contains(&window));
                }
            }
        }
    }
}
