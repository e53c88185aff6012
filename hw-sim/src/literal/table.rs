//! Bloom partitions and exact entries of one window length.

use super::product;
use weir_contract::constants::WINDOW_MIN;
use weir_contract::fold::fold_word;
use weir_contract::hash::{HashFamily, bloom_index, bucket_index, middle, prefix};
use weir_contract::layouts::{ExactEntry, LengthGeometry};

/// The filter of one window length.
#[derive(Debug, Clone)]
pub struct LengthTable {
    /// Sizes.
    pub shape: LengthGeometry,
    /// Window length.
    pub length: usize,
    /// Bits, partition by partition.
    pub bloom: Vec<u64>,
    /// Buckets of ways.
    pub exact: Vec<ExactEntry>,
    /// Folded values of the entries, [`NO_WINDOW`] where there is none.
    folded: Vec<u64>,
    multiplier: u64,
}

/// What no folded window equals: it ends in an upper-case letter.
const NO_WINDOW: u64 = b'A' as u64;

/// Eight bits to eight bytes.
#[inline]
pub const fn case_lanes(mask: u8) -> u64 {
    // A copy of the mask in each byte, its own bit picked out and brought down to the lowest.
    let picked = (mask as u64 * 0x0101_0101_0101_0101) & 0x8040_2010_0804_0201;
    let set = (picked | (picked & 0x7f7f_7f7f_7f7f_7f7f) + 0x7f7f_7f7f_7f7f_7f7f) >> 7 & 0x0101_0101_0101_0101;
    set * 0xff
}

impl LengthTable {
    /// From the blocks of an image, of the sizes that `shape` says.
    pub fn new(
        shape: LengthGeometry,
        length: usize,
        bloom: Vec<u64>,
        exact: Vec<ExactEntry>,
        family: &HashFamily,
    ) -> Self {
        let of = |entry: &ExactEntry| if entry.list_count == 0 { NO_WINDOW } else { fold_word(entry.value) };
        let folded = exact.iter().map(of).collect();
        LengthTable { shape, length, bloom, exact, folded, multiplier: family.multiplier(length) }
    }

    /// Hash constant.
    pub fn multiplier(&self) -> u64 {
        self.multiplier
    }

    /// Index among the window lengths.
    pub fn index(&self) -> usize {
        self.length.saturating_sub(WINDOW_MIN)
    }

    /// The middle of a folded window's product.
    #[inline]
    pub fn middle(&self, window: u64) -> u64 {
        middle(product(window, self.multiplier), self.length)
    }

    /// Every partition has its bit for a folded window.
    pub fn bloom_holds(&self, window: u64) -> bool {
        let log2 = u32::from(self.shape.bloom_bits_log2);
        let (prefix, middle) = (prefix(product(window & 0xffff_ffff, self.multiplier)), self.middle(window));
        (0..usize::from(self.shape.bloom_partitions)).all(|partition| {
            let bit = (partition << log2) + bloom_index(prefix, middle, partition, log2) as usize;
            self.bloom.get(bit / 64).is_some_and(|word| word >> (bit % 64) & 1 != 0)
        })
    }

    /// The two buckets of a window.
    #[inline]
    pub fn buckets(&self, middle: u64) -> [usize; 2] {
        let log2 = u32::from(self.shape.exact_buckets_log2);
        [bucket_index(middle, 0, log2) as usize, bucket_index(middle, 1, log2) as usize]
    }

    /// Have the buckets of a window brought near.
    #[inline]
    pub fn prefetch(&self, middle: u64) {
        let ways = usize::from(self.shape.exact_ways);
        for bucket in self.buckets(middle) {
            if let Some(value) = self.folded.get(bucket * ways) {
                super::clmul::prefetch(value);
            }
        }
    }

    /// Entries that a window matches: folded, and in case where the entry asks for it and the case is known. Tells
    /// whether the case was asked for.
    #[inline]
    pub fn matches(
        &self,
        middle: u64,
        window: u64,
        known_case: impl Fn(u64) -> (u64, u64),
        mut found: impl FnMut(&ExactEntry),
    ) -> bool {
        let mut cased = false;
        let ways = usize::from(self.shape.exact_ways);
        let [first, second] = self.buckets(middle);
        let second = (second != first).then_some(second);
        for bucket in [Some(first), second].into_iter().flatten() {
            let slots = bucket * ways..(bucket + 1) * ways;
            for (way, value) in self.folded.get(slots.clone()).unwrap_or(&[]).iter().enumerate() {
                if *value != window {
                    continue;
                }
                let Some(entry) = self.exact.get(slots.start + way) else { continue };
                if entry.case_mask != 0 {
                    cased = true;
                    let (value, known) = known_case(case_lanes(entry.case_mask));
                    if (value ^ entry.value) & known != 0 {
                        continue;
                    }
                }
                found(entry);
            }
        }
        cased
    }
}
