//! Both passes of [`FirstStage`], the first with 8 × 8 bit matrices: the indices of 64 positions at once.
//!
//! A carry-less product with a constant is linear over GF(2): each byte of an index is a sum of bit matrices times
//! window bytes, and GF2P8AFFINEQB multiplies 64 bytes by a matrix. The first partition asks the same four bytes for every
//! length, so with one constant its index is the same for all of them: the bitmaps of the lengths lie interleaved in one
//! table, and one look-up per position answers for all. No branch depends on a payload byte until both passes are
//! through.
//!
//! Measured and given up: a gather instead of single look-ups (twice the time of a look-up), a table folded until it
//! fits the first-level cache (a tenth faster, and so much more passes that the second pass costs twice that).
//!
//! A leaf with `unsafe`: intrinsics, and table look-ups without bounds checks. The test `both_forms_agree` of
//! [`super::first`] holds it equal to the portable form.
#![allow(unsafe_code)]

use super::first::{FirstStage, Lane, MIDDLE_SHIFT, Passed, SPARE};
use std::arch::x86_64::*;
use weir_contract::constants::{WINDOW_LENGTHS, WINDOW_MIN};
use weir_contract::hash::{BLOOM_SHIFT, PREFIX_SHIFT};

/// Positions of a block, and blocks worked on together: look-ups of one block hide the latency of the others.
const BLOCK: usize = 64;
const BLOCKS: usize = 4;
const CHUNK: usize = BLOCK * BLOCKS;
/// Bytes that must be readable behind the last block of positions.
const BEHIND: usize = 7;
/// The second pass takes this many at a time: where a list ends is seldom mispredicted.
const TOGETHER: usize = 8;
/// Bytes of an index: which group of bits of a byte, and the byte's address.
const PLANES: usize = 4;

/// A length in use.
#[derive(Debug, Clone)]
struct Length {
    /// Index among the lengths.
    n: usize,
    /// Its bit of the byte, by group.
    choose: u64,
    lane: Lane,
}

/// What the first pass needs, of the lengths in use, shortest first.
#[derive(Debug, Clone)]
pub(super) struct Matrices {
    lengths: Vec<Length>,
    /// By plane and byte of the prefix.
    planes: [[u64; WINDOW_MIN]; PLANES],
    /// First partitions, a group of as many bits (rounded up to a power of two) as there are lengths for each index.
    table: Vec<u8>,
    multiplier: u64,
}

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
    /// Of the lanes in use; none if they have not one multiplier, or the processor cannot use them.
    pub(super) fn new(stage: &FirstStage) -> Option<Matrices> {
        let used: Vec<(usize, &Lane)> = stage.lanes.iter().enumerate().filter(|(_, lane)| lane.mask != 0).collect();
        if !available() || !stage.common || used.is_empty() {
            return None;
        }
        // At most five lengths: a group has 1, 2, 4 or 8 bits.
        let group = used.len().next_power_of_two();
        let groups = 8 / group;
        let low_bits = groups.trailing_zeros();
        let mask = used.iter().fold(0, |mask, (_, lane)| mask | lane.mask);
        let mut table = vec![0u8; ((mask as usize + 1) / groups).max(1)];
        for index in 0..=mask {
            let Some(byte) = table.get_mut((index >> low_bits) as usize) else { continue };
            for (k, (_, lane)) in used.iter().enumerate() {
                let bit = (index & (groups as u32 - 1)) as usize * group + k;
                *byte |= u8::from(stage.bit(lane.base, index & lane.mask)) << bit;
            }
        }
        let length = |(k, &(n, lane)): (usize, &(usize, &Lane))| {
            let choose = (0..groups).fold(0, |all, of| all | (1u64 << (of * group + k)) << (8 * of));
            Length { n, choose, lane: *lane }
        };
        let multiplier = stage.multipliers[0];
        let plane = |plane: usize| {
            let (from, bits) = if plane == 0 { (0, low_bits) } else { (low_bits + 8 * (plane as u32 - 1), 8) };
            plane_of(from, bits, mask, multiplier)
        };
        Some(Matrices {
            lengths: used.iter().enumerate().map(length).collect(),
            planes: std::array::from_fn(plane),
            table,
            multiplier,
        })
    }
}

/// Matrices of the `bits` bits of an index from bit `from` on that `mask` has.
fn plane_of(from: u32, bits: u32, mask: u32, multiplier: u64) -> [u64; WINDOW_MIN] {
    let row = |r: u32, byte: usize| {
        let bit = from + r;
        if r >= bits || mask.checked_shr(bit).unwrap_or(0) & 1 == 0 {
            return 0;
        }
        // Bit i of the product is the sum of the window's bits j times the multiplier's bits i - j.
        (0..8).fold(0u8, |row, column| {
            let factor = i64::from(PREFIX_SHIFT + bit) - (8 * byte as i64 + column);
            let set = (0..64).contains(&factor) && multiplier >> factor & 1 != 0;
            row | u8::from(set) << column
        })
    };
    // The row of result bit r is byte 7 - r of a matrix.
    std::array::from_fn(|byte| u64::from_be_bytes(std::array::from_fn(|r| row(r as u32, byte))))
}

/// Positions of one length that passed first.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct List {
    /// Ascending; whether they pass all (0 or 1).
    first: [u8; CHUNK + BLOCK],
    all: [u8; CHUNK + BLOCK],
    /// A bit each, and how many they are.
    mask: [u64; BLOCKS],
    count: usize,
}

/// Work on a chunk of positions. Vectors lie in one line each: a store across two lines does not reach the loads behind
/// it before it is in the cache.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
struct Work {
    /// By position: the byte of the table, in the order of unpacking, and which group of its bits.
    address: [u32; CHUNK],
    group: [u8; CHUNK],
    lists: [List; WINDOW_LENGTHS],
}

/// Work on this chunk of positions and on the one before: memory reused from frame to frame.
#[derive(Debug, Clone)]
pub(super) struct Chunk([Work; 2]);

impl Default for Chunk {
    fn default() -> Self {
        let list =
            List { first: [0; CHUNK + BLOCK], all: [0; CHUNK + BLOCK], mask: [0; BLOCKS], count: 0 };
        let work = || Work { address: [0; CHUNK], group: [0; CHUNK], lists: [list; WINDOW_LENGTHS] };
        Chunk([work(), work()])
    }
}

/// Both passes over positions from 0 on, until `enough` have passed. Gives how many elements of `out` were filled, and
/// the first position that was not looked at, because too few bytes are behind it.
///
/// # Safety
/// [`available`], `matrices` are those of `stage`, each lane's bitmaps of `mask + 1` bits lie in `words`, and `out` has
/// [`SPARE`] elements more than `count`.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,gfni,bmi1,bmi2,pclmulqdq,popcnt")]
pub(super) unsafe fn passes(
    stage: &FirstStage,
    matrices: &Matrices,
    bytes: &[u8],
    count: usize,
    enough: usize,
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
        if blocks == 0 && pending.is_none() || passed >= enough {
            break;
        }
        // What one step stores another loads in other pieces, which takes a while: the two passes of one chunk are
        // therefore done between those of its neighbours.
        // SAFETY: `at + 64 * blocks + 7 <= bytes.len()` by the choice of `blocks`, for the chunk before as well; at most
        // as many positions have passed as were looked at; the rest is the caller's.
        unsafe {
            indices(matrices, bytes.as_ptr().add(at), blocks, this);
            if let Some((begin, _)) = pending {
                again(stage, matrices, bytes.as_ptr().add(begin), before);
            }
            look_up(matrices, count.saturating_sub(at), blocks, this);
            if let Some((begin, blocks)) = pending {
                passed += collect(matrices, before, begin, blocks, out.as_mut_ptr().add(passed));
            }
        }
        pending = (blocks != 0).then_some((at, blocks));
        at += blocks * BLOCK;
        std::mem::swap(&mut this, &mut before);
    }
    (passed, at.min(count))
}

/// Indices of the first partition.
///
/// # Safety
/// `blocks * 64 + 7` bytes can be read at `from`; `blocks` is at most [`BLOCKS`].
#[target_feature(enable = "avx512f,avx512bw,gfni")]
unsafe fn indices(matrices: &Matrices, from: *const u8, blocks: usize, work: &mut Work) {
    for block in 0..blocks {
        let mut bytes = [_mm512_setzero_si512(); WINDOW_MIN];
        for (n, byte) in bytes.iter_mut().enumerate() {
            // SAFETY: the caller's.
            *byte = unsafe { _mm512_loadu_si512(from.add(block * BLOCK + n).cast()) };
        }
        let [group, first, second, third] = matrices.planes.each_ref().map(|plane| {
            let product = |n: usize| {
                _mm512_gf2p8affine_epi64_epi8::<0>(bytes[n], _mm512_set1_epi64(plane[n] as i64))
            };
            let (one, two) = (_mm512_xor_si512(product(0), product(1)), _mm512_xor_si512(product(2), product(3)));
            _mm512_xor_si512(one, two)
        });
        let none = _mm512_setzero_si512();
        let (low, high) = (_mm512_unpacklo_epi8(first, second), _mm512_unpackhi_epi8(first, second));
        let (low_end, high_end) = (_mm512_unpacklo_epi8(third, none), _mm512_unpackhi_epi8(third, none));
        let quarters = [
            _mm512_unpacklo_epi16(low, low_end),
            _mm512_unpackhi_epi16(low, low_end),
            _mm512_unpacklo_epi16(high, high_end),
            _mm512_unpackhi_epi16(high, high_end),
        ];
        // SAFETY: each array has 64 elements from `block * 64` on.
        unsafe {
            _mm512_storeu_si512(work.group.as_mut_ptr().add(block * BLOCK).cast(), group);
            for (n, quarter) in quarters.into_iter().enumerate() {
                _mm512_storeu_si512(work.address.as_mut_ptr().add(block * BLOCK + n * 16).cast(), quarter);
            }
        }
    }
}

/// Positions whose bit of the first partition is set, by length.
///
/// # Safety
/// Addresses are those of [`indices`]; `blocks` is at most [`BLOCKS`].
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
unsafe fn look_up(matrices: &Matrices, left: usize, blocks: usize, work: &mut Work) {
    let ascending: [u8; BLOCK] = std::array::from_fn(|n| n as u8);
    let table = matrices.table.as_ptr();
    let mut counts = [0usize; WINDOW_LENGTHS];
    for block in 0..blocks {
        let begin = block * BLOCK;
        let known = if left - begin >= BLOCK { u64::MAX } else { (1 << (left - begin)) - 1 };
        // SAFETY: an address has no bits beyond the table's (their rows are empty). Each array has 64 elements from
        // `begin` on; at most `begin` positions were stored before.
        unsafe {
            let from = work.address.as_ptr().add(begin);
            let found = _mm512_castsi128_si512(sixteen(table, from));
            let found = _mm512_inserti32x4::<1>(found, sixteen(table, from.add(4)));
            let found = _mm512_inserti32x4::<2>(found, sixteen(table, from.add(8)));
            let found = _mm512_inserti32x4::<3>(found, sixteen(table, from.add(12)));
            let group = _mm512_loadu_si512(work.group.as_ptr().add(begin).cast());
            let positions = _mm512_loadu_si512(ascending.as_ptr().cast());
            let positions = _mm512_add_epi8(positions, _mm512_set1_epi8(begin as u8 as i8));
            for ((length, list), count) in matrices.lengths.iter().zip(&mut work.lists).zip(&mut counts) {
                let choose = _mm512_shuffle_epi8(_mm512_set1_epi64(length.choose as i64), group);
                let mask = _mm512_test_epi8_mask(found, choose) & known;
                // Zeros fill up the last store: they stand for position 0, which can be read.
                let ones = _mm512_maskz_compress_epi8(mask, positions);
                _mm512_storeu_si512(list.first.as_mut_ptr().add(*count).cast(), ones);
                *count += mask.count_ones() as usize;
                list.mask[block] = mask;
            }
        }
    }
    for (list, count) in work.lists.iter_mut().zip(counts) {
        list.count = count;
    }
}

/// Sixteen bytes of the table.
///
/// # Safety
/// `from` has addresses at 0 to 3, 16 to 19, 32 to 35 and 48 to 51, which lie in the table: unpacking works within
/// 16 bytes, so that each quarter of a block's addresses has four of each sixteen positions.
#[target_feature(enable = "avx512f,avx512bw")]
#[inline]
unsafe fn sixteen(table: *const u8, from: *const u32) -> __m128i {
    // SAFETY: the caller's.
    let byte = |n: usize| unsafe { i32::from(*table.add(*from.add(n / 4 * 16 + n % 4) as usize)) };
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

/// The other partitions of what passed the first.
///
/// # Safety
/// Eight bytes can be read at every position of the lists; each lane's bitmaps lie in `words`.
#[target_feature(enable = "pclmulqdq,sse4.1,bmi1,bmi2")]
unsafe fn again(stage: &FirstStage, matrices: &Matrices, from: *const u8, work: &mut Work) {
    for (length, list) in matrices.lengths.iter().zip(&mut work.lists) {
        // SAFETY: the caller's.
        unsafe {
            match length.lane.others {
                0 => others::<0>(stage, matrices.multiplier, length, from, list),
                1 => others::<1>(stage, matrices.multiplier, length, from, list),
                2 => others::<2>(stage, matrices.multiplier, length, from, list),
                _ => others::<3>(stage, matrices.multiplier, length, from, list),
            }
        }
    }
}

/// `OTHERS` partitions behind the first, of one length.
///
/// # Safety
/// As [`again`], and the lane has `OTHERS` partitions behind the first.
#[target_feature(enable = "pclmulqdq,sse4.1,bmi1,bmi2")]
unsafe fn others<const OTHERS: usize>(
    stage: &FirstStage,
    multiplier: u64,
    length: &Length,
    from: *const u8,
    list: &mut List,
) {
    let lane = length.lane;
    let multiplier = _mm_cvtsi64_si128(multiplier as i64);
    let cut = u64::MAX >> (64 - 8 * (length.n + WINDOW_MIN));
    let shift = MIDDLE_SHIFT[length.n];
    // SAFETY: bitmaps of `mask + 1` bits lie in `words` one behind the other from this word on (caller).
    let words = unsafe { stage.words.as_ptr().add(lane.base as usize) };
    let stride = lane.stride as usize;
    for k in 0..list.count.next_multiple_of(TOGETHER) {
        // SAFETY: lists have room for 64 elements more than positions; the window's bytes and the bitmap's words are the
        // caller's.
        unsafe {
            let position = *list.first.as_ptr().add(k);
            let window = u64::from_le(from.add(usize::from(position)).cast::<u64>().read_unaligned()) & cut;
            let product = _mm_clmulepi64_si128::<0>(_mm_cvtsi64_si128(window as i64), multiplier);
            let (low, high) = (_mm_cvtsi128_si64(product) as u64, _mm_extract_epi64::<1>(product) as u64);
            let middle = low >> shift | high << 1 << (63 - shift);
            let mut all = 1;
            for partition in 1..=OTHERS {
                let index = (middle >> BLOOM_SHIFT[partition]) as u32 & lane.mask;
                let word = *words.add(partition * stride + (index >> 6) as usize);
                all &= word >> (index & 63);
            }
            list.all.as_mut_ptr().add(k).write(all as u8 & 1);
        }
    }
}

/// Positions that passed all partitions, with their lengths. Gives how many they are.
///
/// # Safety
/// There is room for an element for each position, and [`SPARE`] more.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,bmi1,bmi2,popcnt")]
unsafe fn collect(
    matrices: &Matrices,
    work: &Work,
    from: usize,
    blocks: usize,
    out: *mut Passed,
) -> usize {
    let mut begins = [0usize; WINDOW_LENGTHS];
    let positions: [u8; BLOCK] = std::array::from_fn(|n| n as u8);
    // SAFETY: an array of 64 bytes.
    let positions = unsafe { _mm512_loadu_si512(positions.as_ptr().cast()) };
    let mut passed = 0usize;
    for block in 0..blocks {
        let (mut any, mut lengths) = (0u64, _mm512_setzero_si512());
        for ((length, list), begin) in matrices.lengths.iter().zip(&work.lists).zip(&mut begins) {
            let first = list.mask[block];
            // SAFETY: lists have room for 64 elements more than positions, and at most those of the blocks before lie
            // before `begin`.
            let all = unsafe { _mm512_loadu_si512(list.all.as_ptr().add(*begin).cast()) };
            *begin += first.count_ones() as usize;
            // Those of the list that passed, laid out over those of the mask.
            let mask = _pdep_u64(_mm512_test_epi8_mask(all, all), first);
            any |= mask;
            lengths = _mm512_or_si512(lengths, _mm512_maskz_set1_epi8(mask, 1 << length.n));
        }
        let count = any.count_ones() as usize;
        let mut at = _mm512_maskz_compress_epi8(any, positions);
        let mut lengths = _mm512_maskz_compress_epi8(any, lengths);
        let base = _mm512_set1_epi64((from + block * BLOCK) as i64);
        let mut done = 0;
        // Eight at a time, once at least: whether there are any at all is hard to predict.
        loop {
            let position = _mm512_add_epi64(_mm512_cvtepu8_epi64(_mm512_castsi512_si128(at)), base);
            let length = _mm512_slli_epi64::<32>(_mm512_cvtepu8_epi64(_mm512_castsi512_si128(lengths)));
            // SAFETY: the caller's: no more than 8 elements behind the last position.
            unsafe { _mm512_storeu_si512(out.add(passed + done).cast(), _mm512_or_si512(position, length)) };
            done += SPARE;
            if done >= count {
                break;
            }
            at = _mm512_alignr_epi64::<1>(_mm512_setzero_si512(), at);
            lengths = _mm512_alignr_epi64::<1>(_mm512_setzero_si512(), lengths);
        }
        passed += count;
    }
    passed
}
