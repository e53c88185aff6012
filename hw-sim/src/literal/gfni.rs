//! Both passes of [`FirstStage`], the first with 8 × 8 bit matrices: the indices of 64 positions at once.
//!
//! A carry-less product with a constant is linear over GF(2): each byte of an index is a sum of bit matrices times
//! window bytes, and GF2P8AFFINEQB multiplies 64 bytes by a matrix. So the indices of all lengths cost 72 such products
//! for 64 positions, where PCLMULQDQ takes 320 (of two cycles each). What is left is one look-up per length and position.
//! The second pass goes length by length, without a branch that depends on the payload.
//!
//! A leaf with `unsafe`: intrinsics, and table look-ups without bounds checks. Measured on full-size frames with ET
//! Open: see the table in [`super::clmul`]. The test `both_forms_agree` of [`super::first`] holds it equal to the
//! portable form.
#![allow(unsafe_code)]

use super::first::{FIRST_SHIFT, FirstStage, Lane, Passed};
use std::arch::x86_64::*;
use weir_contract::constants::{WINDOW_LENGTHS, WINDOW_MIN};

/// Most bits of an index: three choose the bit of a byte, sixteen the byte.
const BITS_MAX: u32 = 19;
/// Positions of a block, and blocks worked on together: look-ups of one block hide the latency of the others.
const BLOCK: usize = 64;
const BLOCKS: usize = 4;
const CHUNK: usize = BLOCK * BLOCKS;
/// Bytes that must be readable behind the last block of positions.
const BEHIND: usize = 7;

/// Matrices by plane and window byte: bit of the byte; low and high half of the byte's address.
type Planes = [[u64; 8]; 3];

/// Matrices of every length.
#[derive(Debug, Clone)]
pub(super) struct Matrices([Planes; WINDOW_LENGTHS]);

/// The processor has what this takes.
pub(super) fn available() -> bool {
    std::arch::is_x86_feature_detected!("avx512f")
        && std::arch::is_x86_feature_detected!("avx512bw")
        && std::arch::is_x86_feature_detected!("avx512vbmi2")
        && std::arch::is_x86_feature_detected!("gfni")
        && std::arch::is_x86_feature_detected!("pclmulqdq")
        && std::arch::is_x86_feature_detected!("popcnt")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
}

impl Matrices {
    /// Of lanes and their multipliers; none if an index is too long, or the processor cannot use them.
    pub(super) fn new(lanes: &[Lane; WINDOW_LENGTHS], multipliers: &[u64; WINDOW_LENGTHS]) -> Option<Matrices> {
        if !available() || lanes.iter().any(|lane| lane.mask >> BITS_MAX != 0) {
            return None;
        }
        Some(Matrices(std::array::from_fn(|n| {
            // First bit of the plane within the index.
            [0, 3, 11].map(|from| {
                let bits = if from == 0 { 3 } else { 8 };
                let row = |r: u32, byte: usize| {
                    let bit = from + r;
                    if r >= bits || lanes[n].mask >> bit & 1 == 0 {
                        return 0;
                    }
                    // Bit i of the product is the sum of the window's bits j times the multiplier's bits i - j.
                    (0..8).fold(0u8, |row, column| {
                        let factor = i64::from(FIRST_SHIFT[n] + bit) - (8 * byte as i64 + column);
                        let set = (0..64).contains(&factor) && multipliers[n] >> factor & 1 != 0;
                        row | u8::from(set) << column
                    })
                };
                // The row of result bit r is byte 7 - r of a matrix.
                std::array::from_fn(|byte| u64::from_be_bytes(std::array::from_fn(|r| row(r as u32, byte))))
            })
        })))
    }
}

/// Work on a chunk of positions: memory reused from frame to frame.
#[derive(Debug, Clone)]
pub(super) struct Chunk {
    /// By length and position: the byte of the bitmap, in the order of unpacking, and the bit of that byte.
    address: [[u16; CHUNK]; WINDOW_LENGTHS],
    bit: [[u8; CHUNK]; WINDOW_LENGTHS],
    found: [[u8; CHUNK]; WINDOW_LENGTHS],
    /// By length: positions that passed first, and how many.
    first: [[u8; CHUNK + BLOCK]; WINDOW_LENGTHS],
    count: [usize; WINDOW_LENGTHS],
    /// By position: lengths that passed again; and positions that have any, a bit each. Empty between chunks.
    lengths: [u8; CHUNK],
    any: [u64; BLOCKS],
}

impl Default for Chunk {
    fn default() -> Self {
        Chunk {
            address: [[0; CHUNK]; WINDOW_LENGTHS],
            bit: [[0; CHUNK]; WINDOW_LENGTHS],
            found: [[0; CHUNK]; WINDOW_LENGTHS],
            first: [[0; CHUNK + BLOCK]; WINDOW_LENGTHS],
            count: [0; WINDOW_LENGTHS],
            lengths: [0; CHUNK],
            any: [0; BLOCKS],
        }
    }
}

/// Both passes over positions from 0 on. Gives how many elements of `out` were filled, and the first position that was
/// not looked at, because too few bytes are behind it.
///
/// # Safety
/// [`available`], `out` has `count` elements, and each lane's bitmaps of `mask + 1` bits lie in `words`.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,gfni,bmi1,bmi2,pclmulqdq,popcnt")]
pub(super) unsafe fn passes(
    stage: &FirstStage,
    matrices: &Matrices,
    bytes: &[u8],
    count: usize,
    chunk: &mut Chunk,
    out: &mut [Passed],
) -> (usize, usize) {
    let (mut passed, mut at) = (0usize, 0usize);
    while at < count {
        let readable = bytes.len().saturating_sub(at + BEHIND) / BLOCK;
        let blocks = (count - at).div_ceil(BLOCK).min(BLOCKS).min(readable);
        if blocks == 0 {
            break;
        }
        // SAFETY: `at + 64 * blocks + 7 <= bytes.len()` by the choice of `blocks`; the rest is the caller's.
        unsafe {
            indices(matrices, bytes.as_ptr().add(at), blocks, chunk);
            look_up(stage, blocks, chunk);
            test(count - at, blocks, chunk);
            again(stage, bytes.as_ptr().add(at), chunk);
        }
        for (block, any) in chunk.any.iter_mut().enumerate() {
            while *any != 0 {
                let position = block * BLOCK + any.trailing_zeros() as usize;
                *any &= *any - 1;
                let lengths = u32::from(std::mem::take(&mut chunk.lengths[position % CHUNK]));
                // There is an element for each position.
                if let Some(slot) = out.get_mut(passed) {
                    *slot = Passed { at: (at + position) as u32, lengths };
                }
                passed += 1;
            }
        }
        at += blocks * BLOCK;
    }
    (passed, at.min(count))
}

/// Indices of the first partition.
///
/// # Safety
/// `blocks * 64 + 7` bytes can be read at `from`; `blocks` is at most [`BLOCKS`].
#[target_feature(enable = "avx512f,avx512bw,gfni")]
unsafe fn indices(matrices: &Matrices, from: *const u8, blocks: usize, chunk: &mut Chunk) {
    for block in 0..blocks {
        let mut windows = [_mm512_setzero_si512(); 8];
        for (n, window) in windows.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *window = unsafe { _mm512_loadu_si512(from.add(block * BLOCK + n).cast()) };
        }
        // SAFETY: each array has 64 elements from `block * 64` on.
        unsafe {
            let mut put = |n: usize, [low, first, second]: [__m512i; 3]| {
                _mm512_storeu_si512(chunk.bit[n].as_mut_ptr().add(block * BLOCK).cast(), low);
                let to = chunk.address[n].as_mut_ptr().add(block * BLOCK);
                _mm512_storeu_si512(to.cast(), _mm512_unpacklo_epi8(first, second));
                _mm512_storeu_si512(to.add(BLOCK / 2).cast(), _mm512_unpackhi_epi8(first, second));
            };
            put(0, planes::<4>(&windows, &matrices.0[0]));
            put(1, planes::<5>(&windows, &matrices.0[1]));
            put(2, planes::<6>(&windows, &matrices.0[2]));
            put(3, planes::<7>(&windows, &matrices.0[3]));
            put(4, planes::<8>(&windows, &matrices.0[4]));
        }
    }
}

/// Bytes of the bitmaps.
///
/// # Safety
/// Addresses are those of [`indices`]; each lane's bitmap of `mask + 1` bits lies in `words`.
unsafe fn look_up(stage: &FirstStage, blocks: usize, chunk: &mut Chunk) {
    for (n, lane) in stage.lanes.iter().enumerate() {
        // SAFETY: an address has no bits beyond `mask >> 3` (their rows are empty), and the bitmap's bytes lie in
        // `words` from `base` on (caller; little-endian as every x86).
        unsafe {
            let table = stage.words.as_ptr().add(lane.base as usize).cast::<u8>();
            for group in 0..blocks * 8 {
                // Unpacking works within 16 bytes: the first half of a block's addresses are those of positions 0 to 7
                // of each sixteen, the second half those of 8 to 15.
                let from = chunk.address[n].as_ptr().add(group * 8);
                let within = group % 8;
                let position = group / 8 * BLOCK + within % 4 * 16 + within / 4 * 8;
                let to = chunk.found[n].as_mut_ptr().add(position);
                for k in 0..8 {
                    to.add(k).write(*table.add(usize::from(*from.add(k))));
                }
            }
        }
    }
}

/// Positions whose bit is set, by length.
///
/// # Safety
/// `blocks` is at most [`BLOCKS`].
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
unsafe fn test(left: usize, blocks: usize, chunk: &mut Chunk) {
    let choose = _mm512_set1_epi64(0x8040_2010_0804_0201u64 as i64);
    let ascending: [u8; BLOCK] = std::array::from_fn(|n| n as u8);
    for n in 0..WINDOW_LENGTHS {
        let mut count = 0usize;
        for block in 0..blocks {
            let begin = block * BLOCK;
            let known = if left - begin >= BLOCK { u64::MAX } else { (1 << (left - begin)) - 1 };
            // SAFETY: each array has 64 elements from `begin` on; at most `begin` positions were stored before.
            unsafe {
                let found = _mm512_loadu_si512(chunk.found[n].as_ptr().add(begin).cast());
                let bit = _mm512_loadu_si512(chunk.bit[n].as_ptr().add(begin).cast());
                let mask = _mm512_test_epi8_mask(found, _mm512_shuffle_epi8(choose, bit)) & known;
                let positions = _mm512_loadu_si512(ascending.as_ptr().cast());
                let positions = _mm512_add_epi8(positions, _mm512_set1_epi8(begin as u8 as i8));
                let list = _mm512_maskz_compress_epi8(mask, positions);
                _mm512_storeu_si512(chunk.first[n].as_mut_ptr().add(count).cast(), list);
                count += mask.count_ones() as usize;
            }
        }
        chunk.count[n] = count;
    }
}

/// Second partition of what passed.
///
/// # Safety
/// Eight bytes can be read at every position of the lists; each lane's bitmaps lie in `words`.
#[target_feature(enable = "pclmulqdq,sse4.1,bmi1,bmi2")]
unsafe fn again(stage: &FirstStage, from: *const u8, chunk: &mut Chunk) {
    let words = stage.words.as_ptr();
    for (n, lane) in stage.lanes.iter().enumerate() {
        let multiplier = _mm_cvtsi64_si128(stage.multipliers[n] as i64);
        let cut = u64::MAX >> (64 - 8 * (n + WINDOW_MIN));
        let (shift, mask, base) = (lane.second_shift & 63, lane.mask, lane.second as usize);
        for k in 0..chunk.count[n] {
            // SAFETY: `k` is below the count; the window's bytes and the bitmap's words are the caller's; positions are
            // below 256.
            unsafe {
                let position = *chunk.first[n].as_ptr().add(k);
                let window = u64::from_le(from.add(usize::from(position)).cast::<u64>().read_unaligned()) & cut;
                let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(window as i64), multiplier);
                let (low, high) = (_mm_cvtsi128_si64(product) as u64, _mm_extract_epi64::<1>(product) as u64);
                let index = (low >> shift | high << 1 << (63 - shift)) as u32 & mask;
                let word = *words.add(base + (index >> 6) as usize);
                let bit = word >> (index & 63) & 1;
                *chunk.lengths.as_mut_ptr().add(usize::from(position)) |= (bit as u8) << n;
                *chunk.any.as_mut_ptr().add(usize::from(position) / BLOCK) |= bit << (position % BLOCK as u8);
            }
        }
    }
}

/// Planes of the indices of windows of `N` bytes. Bits of a plane depend on the bytes up to their own only.
#[target_feature(enable = "avx512f,avx512bw,gfni")]
#[inline]
fn planes<const N: usize>(windows: &[__m512i; 8], matrices: &Planes) -> [__m512i; 3] {
    let mut planes = [_mm512_setzero_si512(); 3];
    for (k, plane) in planes.iter_mut().enumerate() {
        for byte in 0..N + k - WINDOW_MIN + 2 {
            let matrix = _mm512_set1_epi64(matrices[k][byte & 7] as i64);
            let product = _mm512_gf2p8affine_epi64_epi8::<0>(windows[byte & 7], matrix);
            *plane = _mm512_xor_si512(*plane, product);
        }
    }
    planes
}
