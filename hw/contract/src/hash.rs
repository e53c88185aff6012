//! Hashes of the contract: literal windows and flow keys, both by carry-less multiplication.
//!
//! A window (folded, at most 8 bytes, as [`crate::fold::window`] gives it) is multiplied without carries by a 64-bit
//! constant chosen at random per table load and window length: in an FPGA an XOR tree per bit, in software one
//! PCLMULQDQ, or eight table look-ups ([`WindowTable`]). The 128-bit product P (127 bits used) gives, for a window of
//! *n* bytes:
//!
//! ```text
//!   prefix  Q = product of the window's first four bytes with the same constant
//!   middle  M = bits n*8-24 .. of P, 64 bits: M = (P >> (8n - 24)) mod 2^64
//!   Bloom partition 0 of 2^b bits:         bit index  = (Q >> 40) mod 2^b
//!   Bloom partition p (1..3) of 2^b bits:  bit index  = (M >> SHIFT[p]) mod 2^b      SHIFT[1..] = 11, 22, 33
//!   exact table of 2^k buckets:            bucket 0   = (M >> 5)  mod 2^k
//!                                          bucket 1   = (M >> 29) mod 2^k
//! ```
//!
//! Partition 0 asks the same four bytes whatever the length: with one constant for all lengths (as the compiler makes
//! it) its index is the same for all of them, one look-up instead of one for each. Bits 40 to 63 of Q depend on all four.
//!
//! Bits below `8n - 24` of P depend on few window bytes only (bit *i* on window bits 0..=*i*), bits above 64 + 8n - 24
//! on few as well; M and the index fields keep to the part where each bit depends on (nearly) all. The fields overlap
//! by design for wide partitions: the product has 8n + 63 bits and partitions of up to 24 bits must fit; with the
//! default geometry (18 bits at shifts 11, 22; 15 bits at 11) they share 7 bits, which costs a false
//! positive rate measured by the test `false_positive_rate`. Buckets are disjoint up to 2^24.

use crate::constants::WINDOW_LENGTHS;
use crate::layouts::{FlowKey, HashConstants};

/// Position of the index of partition 0 in the product of a window's first four bytes.
pub const PREFIX_SHIFT: u32 = 40;
/// Positions of the Bloom bit index in the middle, by partition; partition 0 has its index from the prefix.
pub const BLOOM_SHIFT: [u32; 4] = [0, 11, 22, 33];
/// Positions of the two exact buckets in the middle.
pub const BUCKET_SHIFT: [u32; 2] = [5, 29];

/// Carry-less product of two 64-bit polynomials over GF(2), bit by bit. The reference.
pub const fn clmul(a: u64, b: u64) -> u128 {
    let mut product = 0u128;
    let mut bit = 0;
    while bit < 64 {
        // A mask instead of a branch: constant time, and what the XOR tree does.
        let mask = 0u128.wrapping_sub((b >> bit & 1) as u128);
        product ^= (a as u128) << bit & mask;
        bit += 1;
    }
    product
}

/// The middle of a product for windows of `length` bytes.
#[inline]
pub const fn middle(product: u128, length: usize) -> u64 {
    (product >> (8 * length).saturating_sub(24)) as u64
}

/// What the index of partition 0 is cut from: 24 bits of the product of a window's first four bytes.
#[inline]
pub const fn prefix(product: u128) -> u32 {
    (product >> PREFIX_SHIFT) as u32 & 0x00ff_ffff
}

/// Bit index in Bloom partition `partition` (0 to 3) of 2^`bits_log2` bits.
#[inline]
pub const fn bloom_index(prefix: u32, middle: u64, partition: usize, bits_log2: u32) -> u32 {
    let bits = match partition & 3 {
        0 => prefix,
        behind => (middle >> BLOOM_SHIFT[behind]) as u32,
    };
    bits & ((1 << bits_log2) - 1)
}

/// Bucket `which` (0 or 1) of an exact table of 2^`buckets_log2` buckets.
#[inline]
pub const fn bucket_index(middle: u64, which: usize, buckets_log2: u32) -> u32 {
    (middle >> BUCKET_SHIFT[which & 1]) as u32 & ((1 << buckets_log2) - 1)
}

/// The hash functions of one table load, for compiler and model. Slow but exact; [`WindowTable`] is the fast form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashFamily {
    constants: HashConstants,
}

impl HashFamily {
    /// From the block Hash.
    pub const fn new(constants: HashConstants) -> Self {
        HashFamily { constants }
    }

    /// From a seed: splitmix64 (Steele, Lea, Flood 2014) gives the constant, the same for all lengths, top and bottom
    /// bit set so that no window byte falls out of the product.
    pub fn from_seed(seed: u64) -> Self {
        let mut state = seed;
        HashFamily { constants: HashConstants { multipliers: [splitmix64(&mut state) | 1 | 1 << 63; WINDOW_LENGTHS] } }
    }

    /// From a seed, a constant for each length: the contract allows it, at the price of a look-up for each.
    pub fn distinct(seed: u64) -> Self {
        let mut state = seed;
        HashFamily {
            constants: HashConstants { multipliers: core::array::from_fn(|_| splitmix64(&mut state) | 1 | 1 << 63) },
        }
    }

    /// The block Hash.
    pub const fn constants(&self) -> HashConstants {
        self.constants
    }

    /// Constant for windows of `length` (4 to 8) bytes; 0 for other lengths.
    pub fn multiplier(&self, length: usize) -> u64 {
        length.checked_sub(4).and_then(|i| self.constants.multipliers.get(i)).copied().unwrap_or(0)
    }

    /// [`prefix`] of a folded window, with the constant of `length` (4 to 8) bytes.
    pub fn prefix(&self, window: u64, length: usize) -> u32 {
        prefix(clmul(window & 0xffff_ffff, self.multiplier(length)))
    }

    /// Middle of the product of a folded window of `length` (4 to 8) bytes.
    pub fn middle(&self, window: u64, length: usize) -> u64 {
        middle(clmul(window, self.multiplier(length)), length)
    }
}

/// Table-driven form of one window length: `middle` of each byte value at each position; the hash is their XOR
/// (carry-less multiplication is linear). 16 KiB, made once per load.
#[derive(Debug, Clone)]
pub struct WindowTable {
    length: usize,
    rows: [[u64; 256]; 8],
}

impl WindowTable {
    /// Table for windows of `length` (4 to 8) bytes.
    pub fn new(family: &HashFamily, length: usize) -> Self {
        let rows = core::array::from_fn(|at| {
            core::array::from_fn(|byte| if at < length { family.middle((byte as u64) << (8 * at), length) } else { 0 })
        });
        WindowTable { length, rows }
    }

    /// Window length.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Same as [`HashFamily::middle`].
    #[inline]
    pub fn middle(&self, window: u64) -> u64 {
        let bytes = window.to_le_bytes();
        let mut middle = 0;
        for (row, byte) in self.rows.iter().zip(bytes) {
            middle ^= row[usize::from(byte)];
        }
        middle
    }
}

/// splitmix64: the next number of a seeded sequence.
pub const fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Hash of a flow key with the six FLOW_HASH constants: XOR of the carry-less products of the key's 64-bit words
/// (44 bytes, the last word half) with one constant each, bits 32..96. Symmetric because the key is normalised.
/// Queue = `hash mod queues`; buckets of the flow table come from the bits above.
pub fn flow_hash(key: &FlowKey, constants: &[u64; 6]) -> u64 {
    let bytes = key.to_bytes();
    let mut product = 0u128;
    for (chunk, &constant) in bytes.chunks(8).zip(constants) {
        let word = chunk.iter().rev().fold(0u64, |word, &byte| word << 8 | u64::from(byte));
        product ^= clmul(word, constant);
    }
    (product >> 32) as u64
}

/// Queue of a flow among `queues` (a power of two).
#[inline]
pub const fn queue_of(hash: u64, queues: u32) -> u32 {
    hash as u32 & queues.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::collections::HashSet;
    use std::vec;

    #[test]
    fn products_without_carries() {
        assert_eq!(clmul(3, 3), 5);
        assert_eq!(clmul(u64::MAX, 1), u64::MAX as u128);
        assert_eq!(clmul(1 << 63, 1 << 63), 1 << 126);
        assert_eq!(clmul(0xb, 0xd), 0x7f);
    }

    #[test]
    fn table_form_is_the_same_function() {
        let family = HashFamily::from_seed(7);
        let mut state = 1;
        for length in 4..=8 {
            let table = WindowTable::new(&family, length);
            for _ in 0..500 {
                let window = crate::fold::truncate(splitmix64(&mut state), length);
                assert_eq!(table.middle(window), family.middle(window, length));
            }
        }
    }

    /// False positives of the default geometry at its design load stay near those of ideal independent hashes.
    #[test]
    fn false_positive_rate() {
        for (length, partitions, bits, entries) in
            [(8usize, 3usize, 18u32, 34_000usize), (4, 2, 15, 1_000), (6, 2, 15, 1_000)]
        {
            for seed in 0..3 {
                let family = HashFamily::from_seed(seed);
                let table = WindowTable::new(&family, length);
                let mut bloom = vec![vec![false; 1 << bits]; partitions];
                let mut state = 99 + seed;
                // Text-like windows: lower-case letters, digits and punctuation only.
                let mut text = || {
                    let word = splitmix64(&mut state)
                        .to_le_bytes()
                        .map(|b| b"abcdefghijklmnopqrstuvwxyz0123456789/.-_:"[usize::from(b) % 41]);
                    crate::fold::truncate(u64::from_le_bytes(word), length)
                };
                let mut members = HashSet::new();
                for _ in 0..entries {
                    let window = text();
                    members.insert(window);
                    let (q, m) = (family.prefix(window, length), table.middle(window));
                    for (p, bits_of) in bloom.iter_mut().enumerate() {
                        bits_of[bloom_index(q, m, p, bits) as usize] = true;
                    }
                }
                let (mut positives, mut tried) = (0u32, 0u32);
                for _ in 0..200_000 {
                    let window = text();
                    if members.contains(&window) {
                        continue;
                    }
                    tried += 1;
                    let (q, m) = (family.prefix(window, length), table.middle(window));
                    positives += u32::from((0..partitions).all(|p| bloom[p][bloom_index(q, m, p, bits) as usize]));
                }
                let fill = 1.0 - (-(entries as f64) / f64::from(1u32 << bits)).exp();
                let ideal = fill.powi(partitions as i32);
                let rate = f64::from(positives) / f64::from(tried);
                assert!(rate < 2.0 * ideal + 0.0002, "{length} bytes, seed {seed}: {rate} against {ideal}");
            }
        }
    }

    #[test]
    fn flow_hash_spreads_over_queues() {
        let constants = core::array::from_fn(|i| 0x9e37_79b9_7f4a_7c15u64.rotate_left(i as u32 * 9) | 1);
        let mut queues = [0u32; 8];
        for i in 0..8192u32 {
            let key = FlowKey { lower_port: i as u16, protocol: 6, version: 4, ..FlowKey::ZERO };
            queues[queue_of(flow_hash(&key, &constants), 8) as usize] += 1;
        }
        assert!(queues.iter().all(|&n| (700..1400).contains(&n)), "{queues:?}");
    }
}
