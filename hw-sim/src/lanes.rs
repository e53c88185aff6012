//! Sixty-four bytes compared at once: a bit mask of the positions that pass.
//!
//! A leaf with `unsafe`: AVX-512 where the processor has it, SSE2 on every x86-64. A dozen masks of [`crate::facts`] cost
//! 0.03 and 0.1 ns a byte, and ten times the latter as the compiler makes them of the portable form.
#![allow(unsafe_code)]

/// Bytes of a block.
pub const BLOCK: usize = 64;

/// A block in registers.
pub trait Lanes: Sized {
    /// Of a block.
    fn load(block: &[u8; BLOCK]) -> Self;
    /// Positions that hold a byte.
    fn equal(&self, byte: u8) -> u64;
    /// Positions of bytes below a bound (not 0).
    fn below(&self, bound: u8) -> u64;
    /// Positions of bytes from 0x80 on.
    fn high(&self) -> u64;
    /// Positions of bytes of a token (RFC 9110 section 5.6.2).
    fn token(&self) -> u64;
}

/// Work on blocks. `run` must be inlined: only then are the processor's features known within it.
pub trait Work {
    /// What comes of it.
    type Output;
    /// Do it.
    fn run<L: Lanes>(self) -> Self::Output;
}

/// Do the work with the widest registers there are.
#[inline]
pub fn with_widest<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if avx512::available() {
            // SAFETY: the processor has what it takes, as just checked.
            return unsafe { avx512::run(work) };
        }
        work.run::<sse2::Lanes>()
    }
    #[cfg(not(target_arch = "x86_64"))]
    work.run::<portable::Lanes>()
}

/// A byte of a token.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{BLOCK, Work, is_token};
    use std::arch::x86_64::{
        __m512i, _mm512_cmpeq_epi8_mask, _mm512_cmplt_epu8_mask, _mm512_loadu_si512, _mm512_movepi8_mask,
        _mm512_permutex2var_epi8, _mm512_set1_epi8,
    };

    pub(super) fn available() -> bool {
        std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512vbmi")
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vbmi,popcnt,bmi1,bmi2")]
    pub(super) fn run<W: Work>(work: W) -> W::Output {
        work.run::<Lanes>()
    }

    /// A block in one register. Made only by [`run`] and by tests that asked [`available`].
    pub(super) struct Lanes(__m512i);

    /// 0xff for the bytes of tokens below 0x80.
    static TOKEN: [[u8; BLOCK]; 2] = {
        let mut table = [[0; BLOCK]; 2];
        let mut n = 0;
        while n < 2 * BLOCK {
            table[n / BLOCK][n % BLOCK] = if is_token(n as u8) { 0xff } else { 0 };
            n += 1;
        }
        table
    };

    impl super::Lanes for Lanes {
        #[inline(always)]
        fn load(block: &[u8; BLOCK]) -> Lanes {
            // SAFETY: as the type says; 64 bytes that may be read unaligned.
            Lanes(unsafe { _mm512_loadu_si512(block.as_ptr().cast()) })
        }

        #[inline(always)]
        fn equal(&self, byte: u8) -> u64 {
            // SAFETY: as the type says.
            unsafe { _mm512_cmpeq_epi8_mask(self.0, _mm512_set1_epi8(byte as i8)) }
        }

        #[inline(always)]
        fn below(&self, bound: u8) -> u64 {
            // SAFETY: as the type says.
            unsafe { _mm512_cmplt_epu8_mask(self.0, _mm512_set1_epi8(bound as i8)) }
        }

        #[inline(always)]
        fn high(&self) -> u64 {
            // SAFETY: as the type says.
            unsafe { _mm512_movepi8_mask(self.0) }
        }

        #[inline(always)]
        fn token(&self) -> u64 {
            // SAFETY: as the type says; two times 64 bytes.
            let found = unsafe {
                let [low, high] = TOKEN.each_ref().map(|half| _mm512_loadu_si512(half.as_ptr().cast()));
                _mm512_movepi8_mask(_mm512_permutex2var_epi8(low, self.0, high))
            };
            found & !self.high()
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use super::BLOCK;
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128,
        _mm_set1_epi8, _mm_sub_epi8,
    };

    /// A block in four registers.
    pub(super) struct Lanes([__m128i; 4]);

    impl Lanes {
        #[inline(always)]
        fn mask(&self, test: impl Fn(__m128i) -> __m128i) -> u64 {
            // SAFETY: SSE2 belongs to x86-64.
            let part = |n: usize| u64::from(unsafe { _mm_movemask_epi8(test(self.0[n])) } as u16);
            part(0) | part(1) << 16 | part(2) << 32 | part(3) << 48
        }

        /// Bytes from `first` on, `count` of them, after `fold` was set in all.
        #[inline(always)]
        fn range(&self, fold: u8, first: u8, count: u8) -> u64 {
            // SAFETY: SSE2 belongs to x86-64.
            self.mask(|lane| unsafe {
                let from = _mm_sub_epi8(_mm_or_si128(lane, _mm_set1_epi8(fold as i8)), _mm_set1_epi8(first as i8));
                _mm_cmpeq_epi8(_mm_min_epu8(from, _mm_set1_epi8(count as i8 - 1)), from)
            })
        }
    }

    impl super::Lanes for Lanes {
        #[inline(always)]
        fn load(block: &[u8; BLOCK]) -> Lanes {
            let (parts, _) = block.as_chunks::<16>();
            // SAFETY: SSE2 belongs to x86-64; each part is 16 bytes that may be read unaligned.
            Lanes([0, 1, 2, 3].map(|n: usize| unsafe { _mm_loadu_si128(parts[n].as_ptr().cast()) }))
        }

        #[inline(always)]
        fn equal(&self, byte: u8) -> u64 {
            // SAFETY: SSE2 belongs to x86-64.
            self.mask(|lane| unsafe { _mm_cmpeq_epi8(lane, _mm_set1_epi8(byte as i8)) })
        }

        #[inline(always)]
        fn below(&self, bound: u8) -> u64 {
            // SAFETY: SSE2 belongs to x86-64.
            self.mask(|lane| unsafe {
                _mm_cmpeq_epi8(_mm_min_epu8(lane, _mm_set1_epi8(bound.wrapping_sub(1) as i8)), lane)
            })
        }

        #[inline(always)]
        fn high(&self) -> u64 {
            self.mask(|lane| lane)
        }

        #[inline(always)]
        fn token(&self) -> u64 {
            // SAFETY: SSE2 belongs to x86-64.
            let either = |byte: u8, other: u8| {
                self.mask(|lane| unsafe {
                    let one = _mm_cmpeq_epi8(lane, _mm_set1_epi8(byte as i8));
                    _mm_or_si128(one, _mm_cmpeq_epi8(lane, _mm_set1_epi8(other as i8)))
                })
            };
            let letters = self.range(0x20, b'a', 26);
            // `#` to `'`, and the accents `^`, `_`, `` ` ``.
            let marks = self.range(0, b'#', 5) | self.range(0, b'^', 3);
            let others = either(b'!', b'*') | either(b'+', b'-') | either(b'.', b'|') | self.equal(b'~');
            letters | self.range(0, b'0', 10) | marks | others
        }
    }
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod portable {
    use super::{BLOCK, is_token};

    /// A block.
    pub(super) struct Lanes([u8; BLOCK]);

    impl Lanes {
        fn mask(&self, test: impl Fn(u8) -> bool) -> u64 {
            self.0.iter().enumerate().fold(0, |mask, (n, byte)| mask | u64::from(test(*byte)) << n)
        }
    }

    impl super::Lanes for Lanes {
        fn load(block: &[u8; BLOCK]) -> Lanes {
            Lanes(*block)
        }

        fn equal(&self, byte: u8) -> u64 {
            self.mask(|b| b == byte)
        }

        fn below(&self, bound: u8) -> u64 {
            self.mask(|b| b < bound)
        }

        fn high(&self) -> u64 {
            self.mask(|b| b >= 0x80)
        }

        fn token(&self) -> u64 {
            self.mask(is_token)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agree<L: Lanes>(block: &[u8; BLOCK]) {
        let (fast, slow) = (L::load(block), portable::Lanes::load(block));
        for byte in 0..=255 {
            assert_eq!(fast.equal(byte), slow.equal(byte));
            assert!(byte == 0 || fast.below(byte) == slow.below(byte));
        }
        assert_eq!(fast.high(), slow.high());
        assert_eq!(fast.token(), slow.token());
    }

    #[test]
    fn the_forms_agree() {
        let mut state = 1;
        let random = (0..200).map(|_| std::array::from_fn(|_| weir_contract::hash::splitmix64(&mut state) as u8));
        let each = (0..4).map(|quarter: u8| std::array::from_fn(|n| quarter * BLOCK as u8 + n as u8));
        for block in random.chain(each) {
            #[cfg(target_arch = "x86_64")]
            {
                agree::<sse2::Lanes>(&block);
                if avx512::available() {
                    agree::<avx512::Lanes>(&block);
                }
            }
            agree::<portable::Lanes>(&block);
        }
    }
}
