//! Sixty-four bytes compared at once: a bit mask of the positions that pass.
//!
//! A leaf with `unsafe`: SSE2 comparisons. They cost 0.1 ns a byte for the dozen masks of [`crate::facts`], a tenth of
//! what the compiler makes of the portable form below.
#![allow(unsafe_code)]

/// Bytes of a block.
pub const BLOCK: usize = 64;

#[cfg(target_arch = "x86_64")]
pub use sse2::Lanes;

#[cfg(not(target_arch = "x86_64"))]
pub use portable::Lanes;

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use super::BLOCK;
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_set1_epi8,
    };

    /// A block in registers.
    pub struct Lanes([__m128i; 4]);

    impl Lanes {
        /// Of a block.
        #[inline]
        pub fn load(block: &[u8; BLOCK]) -> Lanes {
            let (parts, _) = block.as_chunks::<16>();
            // SAFETY: SSE2 belongs to x86-64; each part is 16 bytes that may be read unaligned.
            Lanes([0, 1, 2, 3].map(|n: usize| unsafe { _mm_loadu_si128(parts[n].as_ptr().cast()) }))
        }

        #[inline]
        fn mask(&self, test: impl Fn(__m128i) -> __m128i) -> u64 {
            // SAFETY: SSE2 belongs to x86-64.
            let part = |n: usize| u64::from(unsafe { _mm_movemask_epi8(test(self.0[n])) } as u16);
            part(0) | part(1) << 16 | part(2) << 32 | part(3) << 48
        }

        /// Positions that hold a byte.
        #[inline]
        pub fn equal(&self, byte: u8) -> u64 {
            // SAFETY: SSE2 belongs to x86-64.
            self.mask(|lane| unsafe { _mm_cmpeq_epi8(lane, _mm_set1_epi8(byte as i8)) })
        }

        /// Positions of bytes below a bound (not 0).
        #[inline]
        pub fn below(&self, bound: u8) -> u64 {
            // SAFETY: SSE2 belongs to x86-64.
            self.mask(|lane| unsafe {
                _mm_cmpeq_epi8(_mm_min_epu8(lane, _mm_set1_epi8(bound.wrapping_sub(1) as i8)), lane)
            })
        }

        /// Positions of bytes from 0x80 on.
        #[inline]
        pub fn high(&self) -> u64 {
            self.mask(|lane| lane)
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
#[cfg_attr(target_arch = "x86_64", allow(dead_code))]
mod portable {
    use super::BLOCK;

    /// A block.
    pub struct Lanes([u8; BLOCK]);

    impl Lanes {
        /// Of a block.
        pub fn load(block: &[u8; BLOCK]) -> Lanes {
            Lanes(*block)
        }

        fn mask(&self, test: impl Fn(u8) -> bool) -> u64 {
            self.0.iter().enumerate().fold(0, |mask, (n, byte)| mask | u64::from(test(*byte)) << n)
        }

        /// Positions that hold a byte.
        pub fn equal(&self, byte: u8) -> u64 {
            self.mask(|b| b == byte)
        }

        /// Positions of bytes below a bound (not 0).
        pub fn below(&self, bound: u8) -> u64 {
            self.mask(|b| b < bound)
        }

        /// Positions of bytes from 0x80 on.
        pub fn high(&self) -> u64 {
            self.mask(|b| b >= 0x80)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_agree() {
        let mut state = 1;
        for _ in 0..200 {
            let block: [u8; BLOCK] = std::array::from_fn(|_| weir_contract::hash::splitmix64(&mut state) as u8);
            let (fast, slow) = (Lanes::load(&block), portable::Lanes::load(&block));
            for byte in 0..=255 {
                assert_eq!(fast.equal(byte), slow.equal(byte));
                assert!(byte == 0 || fast.below(byte) == slow.below(byte));
            }
            assert_eq!(fast.high(), slow.high());
        }
    }
}
