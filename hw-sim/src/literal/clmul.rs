//! Carry-less multiplication, and the two passes of [`FirstStage`] that use it.
//!
//! A leaf with `unsafe`: PCLMULQDQ, and bitmap reads without bounds checks in the loop that runs for every payload byte.
//! Measured on 1 460-byte payloads with 26 000 fragments: about 1.2 ns a byte, against 4 ns of the portable form, which
//! the test `both_forms_agree` holds equal.
#![allow(unsafe_code)]

use super::first::{FirstStage, Memory, SPARE};
use weir_contract::fold::fold_in_place;
use weir_contract::hash::clmul;

/// Product of two 64-bit polynomials over GF(2).
#[inline]
pub fn product(a: u64, b: u64) -> u128 {
    #[cfg(target_arch = "x86_64")]
    if accelerated() {
        // SAFETY: the processor has PCLMULQDQ and BMI2, as just checked.
        return unsafe { x86::product(a, b) };
    }
    clmul(a, b)
}

/// Have the memory of a value brought near, where the processor can be told so.
#[inline]
pub(super) fn prefetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE belongs to x86-64; a prefetch of any address is allowed and changes nothing.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(value).cast());
    }
    let _ = value;
}

/// The processor has what the fast form needs.
#[inline]
pub(super) fn accelerated() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("pclmulqdq") && std::arch::is_x86_feature_detected!("bmi2");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// [`weir_contract::fold::fold_in_place`], with the widest registers there are.
#[inline]
pub(super) fn fold(bytes: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if super::gfni::available() {
        // SAFETY: the processor has AVX-512, as just checked.
        return unsafe { x86::fold(bytes) };
    }
    fold_in_place(bytes);
}

/// Both passes over the positions below `count`, each of which has eight bytes in `bytes` and an element of
/// `memory.passed`. Gives how many of these were filled. `None` without the processor's help.
pub(super) fn passes(
    stage: &FirstStage,
    bytes: &[u8],
    count: usize,
    enough: usize,
    memory: &mut Memory,
) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if accelerated() {
        let out = memory.passed.as_mut_slice();
        assert!(bytes.len() >= count + 7 && out.len() >= count + SPARE);
        // SAFETY: the processor has PCLMULQDQ and BMI2; lengths as just asserted. Every index is masked to its bitmap,
        // and `FirstStage::new` puts each bitmap whole into `words` (an unused length reads word 0). There are matrices
        // only where the processor can use them; at most one element is filled for each position.
        return Some(unsafe {
            // What the matrices leave at the end is done position by position.
            let (passed, from) = match &stage.matrices {
                Some(matrices) => super::gfni::passes(stage, matrices, bytes, count, enough, &mut memory.chunk, out),
                None => (0, 0),
            };
            if passed >= enough {
                return Some(passed);
            }
            let rest = out.get_unchecked_mut(passed..);
            let first = if stage.common {
                x86::first::<true>(stage, bytes, from..count, rest)
            } else {
                x86::first::<false>(stage, bytes, from..count, rest)
            };
            passed + x86::second(stage, bytes, rest.get_unchecked_mut(..first))
        });
    }
    let _ = (stage, bytes, count, enough, memory);
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::super::first::{FirstStage, PREFIX, Passed};
    use std::arch::x86_64::{__m128i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_cvtsi64_si128, _mm_unpackhi_epi64};
    use weir_contract::constants::WINDOW_MIN;
    use weir_contract::fold::truncate;
    use weir_contract::hash::{BLOOM_SHIFT, PREFIX_SHIFT, middle};

    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) fn fold(bytes: &mut [u8]) {
        weir_contract::fold::fold_in_place(bytes);
    }

    #[target_feature(enable = "pclmulqdq,sse2,bmi2")]
    #[inline]
    fn multiply(a: u64, b: __m128i) -> __m128i {
        _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(a as i64), b)
    }

    #[target_feature(enable = "pclmulqdq,sse2,bmi2")]
    #[inline]
    pub(super) fn product(a: u64, b: u64) -> u128 {
        let p = multiply(a, _mm_cvtsi64_si128(b as i64));
        let low = _mm_cvtsi128_si64(p) as u64;
        let high = _mm_cvtsi128_si64(_mm_unpackhi_epi64(p, p)) as u64;
        u128::from(low) | u128::from(high) << 64
    }

    /// # Safety
    /// As [`first`], and `at` has eight bytes.
    #[target_feature(enable = "pclmulqdq,sse2,bmi2")]
    #[inline]
    unsafe fn window(bytes: &[u8], at: usize) -> u64 {
        // SAFETY: the caller's.
        u64::from_le(unsafe { bytes.as_ptr().add(at).cast::<u64>().read_unaligned() })
    }

    /// Branch-free: every position is written to the end of the list, which grows only if it passes.
    ///
    /// # Safety
    /// Each position has 8 bytes in `bytes`, `out` has an element for each, and each lane's bitmaps lie in `words`.
    #[target_feature(enable = "pclmulqdq,sse2,bmi2")]
    pub(super) unsafe fn first<const COMMON: bool>(
        stage: &FirstStage,
        bytes: &[u8],
        positions: std::ops::Range<usize>,
        out: &mut [Passed],
    ) -> usize {
        let multipliers = stage.multipliers.map(|m| _mm_cvtsi64_si128(m as i64));
        let lanes = stage.lanes;
        let words = stage.words.as_ptr();
        let output = out.as_mut_ptr();
        let mut passed = 0usize;
        for at in positions {
            // SAFETY: 8 bytes at `at` lie in `bytes` (caller).
            let window = unsafe { window(bytes, at) } & PREFIX;
            let mut low = _mm_cvtsi128_si64(multiply(window, multipliers[0])) as u64;
            let mut lengths = 0u32;
            for n in (0..lanes.len()).rev() {
                if !COMMON {
                    low = _mm_cvtsi128_si64(multiply(window, multipliers[n])) as u64;
                }
                let lane = lanes[n];
                let index = (low >> PREFIX_SHIFT) as u32 & lane.mask;
                // SAFETY: `index` is at most `mask`; the bitmap lies in `words` from `base` on (caller).
                let word = unsafe { *words.add((lane.base + (index >> 6)) as usize) };
                lengths = lengths * 2 + (word >> (index & 63) & 1) as u32;
            }
            // SAFETY: at most as many as positions before (caller).
            unsafe { output.add(passed).write(Passed { at: at as u32, lengths }) };
            passed += usize::from(lengths != 0);
        }
        passed
    }

    /// Keeps what passes again, in place. Nearly always one length is left to ask.
    ///
    /// # Safety
    /// `list` is what [`first`] left of the same `bytes`.
    #[target_feature(enable = "pclmulqdq,sse2,bmi2")]
    pub(super) unsafe fn second(stage: &FirstStage, bytes: &[u8], list: &mut [Passed]) -> usize {
        let words = stage.words.as_ptr();
        let count = list.len();
        let list = list.as_mut_ptr();
        let mut kept = 0usize;
        for n in 0..count {
            // SAFETY: `n` is below the list's length; its positions have eight bytes (caller).
            let (Passed { at, lengths }, window) = unsafe {
                let passed = *list.add(n);
                (passed, window(bytes, passed.at as usize))
            };
            let mut left = lengths;
            let mut again = 0u32;
            while left != 0 {
                let length = left.trailing_zeros() as usize;
                left &= left - 1;
                // SAFETY: `first` sets no bits but those of lanes.
                let (lane, multiplier) =
                    unsafe { (stage.lanes.get_unchecked(length), *stage.multipliers.get_unchecked(length)) };
                let product = product(truncate(window, length + WINDOW_MIN), multiplier);
                let middle = middle(product, length + WINDOW_MIN);
                let mut all = 1;
                for partition in 1..=lane.others {
                    let index = (middle >> BLOOM_SHIFT[partition as usize & 3]) as u32 & lane.mask;
                    // SAFETY: `index` is at most `mask`; the bitmaps lie in `words` one behind the other (caller).
                    let word = unsafe { *words.add((lane.base + partition * lane.stride + (index >> 6)) as usize) };
                    all &= word >> (index & 63);
                }
                again |= ((all & 1) as u32) << length;
            }
            // SAFETY: `kept <= n`.
            unsafe { list.add(kept).write(Passed { at, lengths: again }) };
            kept += usize::from(again != 0);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_contract::hash::splitmix64;

    #[test]
    fn products_are_the_contract_s() {
        let mut state = 3;
        for _ in 0..1000 {
            let (a, b) = (splitmix64(&mut state), splitmix64(&mut state));
            assert_eq!(product(a, b), clmul(a, b));
        }
    }
}
