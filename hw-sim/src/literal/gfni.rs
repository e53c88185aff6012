//! Both passes of [`FirstStage`], the first with 8 × 8 bit matrices: the indices of 64 positions at once.
//!
//! A carry-less product with a constant is linear over GF(2): each byte of an index is a sum of bit matrices times
//! window bytes, and GF2P8AFFINEQB multiplies 64 bytes by a matrix. So the indices of all lengths cost 72 such products
//! for 64 positions, where PCLMULQDQ takes 320 (of two cycles each). What is left is one look-up per position and length
//! in use: half of the time of both passes. Bitmaps that were folded until they fit the first-level cache (a bit set if one
//! of those folded onto it is) made those a tenth faster and let so much more pass that the second pass cost twice that.
//! No branch depends on a payload byte until both passes are through.
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
/// The second pass takes this many at a time: where a list ends is seldom mispredicted.
const TOGETHER: usize = 8;

/// Matrices by plane and window byte: bit of the byte; low and high half of the byte's address.
type Planes = [[u64; 8]; 3];

/// A length in use.
#[derive(Debug, Clone)]
struct Length {
    /// Index among the lengths.
    n: usize,
    planes: Planes,
    lane: Lane,
    multiplier: u64,
}

/// Matrices of the lengths in use, shortest first.
#[derive(Debug, Clone)]
pub(super) struct Matrices(Vec<Length>);

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
    /// Of the lanes in use and their multipliers; none if an index is too long, or the processor cannot use them.
    pub(super) fn new(lanes: &[Lane; WINDOW_LENGTHS], multipliers: &[u64; WINDOW_LENGTHS]) -> Option<Matrices> {
        if !available() || lanes.iter().any(|lane| lane.mask >> BITS_MAX != 0) {
            return None;
        }
        let used = lanes.iter().enumerate().filter(|(_, lane)| lane.mask != 0);
        let length = |(n, lane): (usize, &Lane)| {
            let multiplier = multipliers[n];
            Length { n, planes: planes_of(n, lane.mask, multiplier), lane: *lane, multiplier }
        };
        Some(Matrices(used.map(length).collect()))
    }
}

/// Matrices of the bits of an index that `mask` has.
fn planes_of(n: usize, mask: u32, multiplier: u64) -> Planes {
    // First bit of the plane within the index.
    [0, 3, 11].map(|from| {
        let bits = if from == 0 { 3 } else { 8 };
        let row = |r: u32, byte: usize| {
            let bit = from + r;
            if r >= bits || mask >> bit & 1 == 0 {
                return 0;
            }
            // Bit i of the product is the sum of the window's bits j times the multiplier's bits i - j.
            (0..8).fold(0u8, |row, column| {
                let factor = i64::from(FIRST_SHIFT[n] + bit) - (8 * byte as i64 + column);
                let set = (0..64).contains(&factor) && multiplier >> factor & 1 != 0;
                row | u8::from(set) << column
            })
        };
        // The row of result bit r is byte 7 - r of a matrix.
        std::array::from_fn(|byte| u64::from_be_bytes(std::array::from_fn(|r| row(r as u32, byte))))
    })
}

/// Work on a chunk of positions of one length. Vectors lie in one line each: a store across two lines does not reach
/// the loads behind it before it is in the cache.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Work {
    /// By position: the byte of the bitmap, in the order of unpacking; the bit of that byte; and the byte.
    address: [u16; CHUNK],
    bit: [u8; CHUNK],
    found: [u8; CHUNK],
    /// Positions that passed first, ascending; whether they pass again (0 or 1).
    first: [u8; CHUNK + BLOCK],
    again: [u8; CHUNK + BLOCK],
    /// Positions that passed first, and how many they are.
    mask: [u64; BLOCKS],
    count: usize,
}

/// Work on this chunk of positions and on the one before, by length in use: memory reused from frame to frame.
#[derive(Debug, Clone)]
pub(super) struct Chunk([[Work; WINDOW_LENGTHS]; 2]);

impl Default for Chunk {
    fn default() -> Self {
        let work = Work {
            address: [0; CHUNK],
            bit: [0; CHUNK],
            found: [0; CHUNK],
            first: [0; CHUNK + BLOCK],
            again: [0; CHUNK + BLOCK],
            mask: [0; BLOCKS],
            count: 0,
        };
        Chunk([[work; WINDOW_LENGTHS]; 2])
    }
}

/// Both passes over positions from 0 on. Gives how many elements of `out` were filled, and the first position that was
/// not looked at, because too few bytes are behind it.
///
/// # Safety
/// [`available`], `matrices` are those of `stage`, and each lane's bitmaps of `mask + 1` bits lie in `words`.
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
    let [this, before] = &mut chunk.0;
    let (mut this, mut before) = (this, before);
    // Where the chunk before begins and its blocks, while its second pass is not done.
    let mut pending = None;
    loop {
        let readable = bytes.len().saturating_sub(at + BEHIND) / BLOCK;
        let blocks = count.saturating_sub(at).div_ceil(BLOCK).min(BLOCKS).min(readable);
        if blocks == 0 && pending.is_none() {
            break;
        }
        // What one step stores another loads in other pieces, which takes a while: the two passes of one chunk are
        // therefore done between those of its neighbours.
        // SAFETY: `at + 64 * blocks + 7 <= bytes.len()` by the choice of `blocks`, for the chunk before as well; the
        // rest is the caller's.
        unsafe {
            indices(matrices, bytes.as_ptr().add(at), blocks, this);
            if let Some((begin, _)) = pending {
                again(stage, matrices, bytes.as_ptr().add(begin), before);
            }
            look_up(stage, matrices, blocks, this);
            if let Some((begin, blocks)) = pending {
                passed += collect(matrices, before, begin, blocks, out.get_mut(passed..).unwrap_or(&mut []));
            }
            test(matrices, count.saturating_sub(at), blocks, this);
        }
        pending = (blocks != 0).then_some((at, blocks));
        at += blocks * BLOCK;
        std::mem::swap(&mut this, &mut before);
    }
    (passed, at.min(count))
}

/// Indices of the first partitions.
///
/// # Safety
/// `blocks * 64 + 7` bytes can be read at `from`; `blocks` is at most [`BLOCKS`].
#[target_feature(enable = "avx512f,avx512bw,gfni")]
unsafe fn indices(matrices: &Matrices, from: *const u8, blocks: usize, work: &mut [Work; WINDOW_LENGTHS]) {
    for block in 0..blocks {
        let mut windows = [_mm512_setzero_si512(); 8];
        for (n, window) in windows.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *window = unsafe { _mm512_loadu_si512(from.add(block * BLOCK + n).cast()) };
        }
        for (length, work) in matrices.0.iter().zip(&mut *work) {
            let [low, first, second] = match length.n {
                0 => planes::<4>(&windows, &length.planes),
                1 => planes::<5>(&windows, &length.planes),
                2 => planes::<6>(&windows, &length.planes),
                3 => planes::<7>(&windows, &length.planes),
                _ => planes::<8>(&windows, &length.planes),
            };
            // SAFETY: each array has 64 elements from `block * 64` on.
            unsafe {
                _mm512_storeu_si512(work.bit.as_mut_ptr().add(block * BLOCK).cast(), low);
                let to = work.address.as_mut_ptr().add(block * BLOCK);
                _mm512_storeu_si512(to.cast(), _mm512_unpacklo_epi8(first, second));
                _mm512_storeu_si512(to.add(BLOCK / 2).cast(), _mm512_unpackhi_epi8(first, second));
            }
        }
    }
}

/// Bytes of the bitmaps. Sixteen are put into one register: measured, half the time of a store for each.
///
/// # Safety
/// Addresses are those of [`indices`]; each lane's bitmap of `mask + 1` bits lies in `words`.
#[target_feature(enable = "sse4.1")]
unsafe fn look_up(stage: &FirstStage, matrices: &Matrices, blocks: usize, work: &mut [Work; WINDOW_LENGTHS]) {
    for (length, work) in matrices.0.iter().zip(&mut *work) {
        for sixteen in 0..blocks * (BLOCK / 16) {
            // SAFETY: an address has no bits beyond `mask >> 3` (their rows are empty), and the bitmap's bytes lie in
            // `words` from `base` on (caller; little-endian as every x86).
            unsafe {
                let table = stage.words.as_ptr().add(length.lane.base as usize).cast::<u8>();
                // Unpacking works within 16 bytes: the first half of a block's addresses are those of positions 0 to 7
                // of each sixteen, the second half those of 8 to 15.
                let from = work.address.as_ptr().add(sixteen / 4 * BLOCK + sixteen % 4 * 8);
                let byte = |at: usize| i32::from(*table.add(usize::from(*from.add(at))));
                let mut found = _mm_cvtsi32_si128(byte(0));
                found = _mm_insert_epi8::<1>(found, byte(1));
                found = _mm_insert_epi8::<2>(found, byte(2));
                found = _mm_insert_epi8::<3>(found, byte(3));
                found = _mm_insert_epi8::<4>(found, byte(4));
                found = _mm_insert_epi8::<5>(found, byte(5));
                found = _mm_insert_epi8::<6>(found, byte(6));
                found = _mm_insert_epi8::<7>(found, byte(7));
                found = _mm_insert_epi8::<8>(found, byte(BLOCK / 2));
                found = _mm_insert_epi8::<9>(found, byte(BLOCK / 2 + 1));
                found = _mm_insert_epi8::<10>(found, byte(BLOCK / 2 + 2));
                found = _mm_insert_epi8::<11>(found, byte(BLOCK / 2 + 3));
                found = _mm_insert_epi8::<12>(found, byte(BLOCK / 2 + 4));
                found = _mm_insert_epi8::<13>(found, byte(BLOCK / 2 + 5));
                found = _mm_insert_epi8::<14>(found, byte(BLOCK / 2 + 6));
                found = _mm_insert_epi8::<15>(found, byte(BLOCK / 2 + 7));
                _mm_storeu_si128(work.found.as_mut_ptr().add(sixteen * 16).cast(), found);
            }
        }
    }
}

/// Positions whose bit is set, by length.
///
/// # Safety
/// `blocks` is at most [`BLOCKS`].
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
unsafe fn test(matrices: &Matrices, left: usize, blocks: usize, work: &mut [Work; WINDOW_LENGTHS]) {
    let choose = _mm512_set1_epi64(0x8040_2010_0804_0201u64 as i64);
    let ascending: [u8; BLOCK] = std::array::from_fn(|n| n as u8);
    for work in work.iter_mut().take(matrices.0.len()) {
        let mut count = 0usize;
        for block in 0..blocks {
            let begin = block * BLOCK;
            let known = if left - begin >= BLOCK { u64::MAX } else { (1 << (left - begin)) - 1 };
            // SAFETY: each array has 64 elements from `begin` on; at most `begin` positions were stored before.
            unsafe {
                let found = _mm512_loadu_si512(work.found.as_ptr().add(begin).cast());
                let bit = _mm512_loadu_si512(work.bit.as_ptr().add(begin).cast());
                let mask = _mm512_test_epi8_mask(found, _mm512_shuffle_epi8(choose, bit)) & known;
                let positions = _mm512_loadu_si512(ascending.as_ptr().cast());
                let positions = _mm512_add_epi8(positions, _mm512_set1_epi8(begin as u8 as i8));
                // Zeros fill up the last store: they stand for position 0, which can be read.
                let list = _mm512_maskz_compress_epi8(mask, positions);
                _mm512_storeu_si512(work.first.as_mut_ptr().add(count).cast(), list);
                count += mask.count_ones() as usize;
                work.mask[block] = mask;
            }
        }
        work.count = count;
    }
}

/// Second partition of what passed.
///
/// # Safety
/// Eight bytes can be read at every position of the lists; each lane's bitmaps lie in `words`.
#[target_feature(enable = "pclmulqdq,sse4.1,bmi1,bmi2")]
unsafe fn again(stage: &FirstStage, matrices: &Matrices, from: *const u8, work: &mut [Work; WINDOW_LENGTHS]) {
    let words = stage.words.as_ptr();
    for (length, work) in matrices.0.iter().zip(&mut *work) {
        let lane = length.lane;
        let multiplier = _mm_cvtsi64_si128(length.multiplier as i64);
        let cut = u64::MAX >> (64 - 8 * (length.n + WINDOW_MIN));
        let shift = lane.second_shift & 63;
        // SAFETY: a bitmap of `mask + 1` bits lies in `words` from this word on (caller).
        let second = unsafe { words.add(lane.second as usize) };
        for k in 0..work.count.next_multiple_of(TOGETHER) {
            // SAFETY: lists have room for 64 elements more than positions; the window's bytes and the bitmap's words
            // are the caller's.
            unsafe {
                let position = *work.first.as_ptr().add(k);
                let window = u64::from_le(from.add(usize::from(position)).cast::<u64>().read_unaligned()) & cut;
                let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(window as i64), multiplier);
                let (low, high) = (_mm_cvtsi128_si64(product) as u64, _mm_extract_epi64::<1>(product) as u64);
                let index = (low >> shift | high << 1 << (63 - shift)) as u32 & lane.mask;
                let word = *second.add((index >> 6) as usize);
                work.again.as_mut_ptr().add(k).write((word >> (index & 63)) as u8 & 1);
            }
        }
    }
}

/// Positions that passed again, with their lengths. Gives how many they are.
#[target_feature(enable = "avx512f,avx512bw,bmi1,bmi2,popcnt")]
fn collect(
    matrices: &Matrices,
    work: &[Work; WINDOW_LENGTHS],
    from: usize,
    blocks: usize,
    out: &mut [Passed],
) -> usize {
    let mut masks = [[0u64; BLOCKS]; WINDOW_LENGTHS];
    for (work, masks) in work.iter().zip(&mut masks).take(matrices.0.len()) {
        *masks = spread(work, blocks);
    }
    let mut passed = 0;
    for block in 0..blocks {
        let mut left = masks.iter().fold(0, |any, masks| any | masks[block]);
        while left != 0 {
            let position = left.trailing_zeros();
            left &= left - 1;
            let lengths = (matrices.0.iter().zip(&masks))
                .fold(0, |set, (length, masks)| set | u32::from(masks[block] >> position & 1 != 0) << length.n);
            // There is an element for each position.
            if let Some(slot) = out.get_mut(passed) {
                *slot = Passed { at: (from + block * BLOCK) as u32 + position, lengths };
            }
            passed += 1;
        }
    }
    passed
}

/// Positions that passed again, ascending, a bit each: those of the list that did, laid out over those of the masks.
#[target_feature(enable = "avx512f,avx512bw,bmi2,popcnt")]
fn spread(work: &Work, blocks: usize) -> [u64; BLOCKS] {
    let mut positions = [0; BLOCKS];
    let mut begin = 0usize;
    for (mask, positions) in work.mask.iter().zip(&mut positions).take(blocks) {
        // SAFETY: lists have room for 64 elements more than positions, and at most those of the blocks before lie before
        // `begin`.
        let again = unsafe { _mm512_loadu_si512(work.again.as_ptr().add(begin).cast()) };
        *positions = _pdep_u64(_mm512_test_epi8_mask(again, again), *mask);
        begin += mask.count_ones() as usize;
    }
    positions
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
