//! First stage of the filter: which positions have a window that all Bloom partitions of some length hold.
//!
//! Two passes without a branch that depends on many bytes. The first asks the first partition of every length at every
//! position: one carry-less multiplication and one bit per length; 10 % of random bytes pass. The second asks the other
//! partitions of the lengths that passed; fewer than 1 % is left.

use super::LengthTable;
use super::clmul::{accelerated, passes};
use weir_contract::constants::{WINDOW_LENGTHS, WINDOW_MIN};
use weir_contract::fold::truncate;
use weir_contract::hash::{BLOOM_SHIFT, PREFIX_SHIFT, clmul, middle};
use weir_contract::layouts::HashConstants;

/// Where the middle of each window length begins in the product.
pub(super) const MIDDLE_SHIFT: [u32; WINDOW_LENGTHS] = {
    let mut shifts = [0; WINDOW_LENGTHS];
    let mut n = 0;
    while n < WINDOW_LENGTHS {
        shifts[n] = (8 * (n + WINDOW_MIN) - 24) as u32;
        n += 1;
    }
    shifts
};

/// The bytes that the first partition asks.
pub(super) const PREFIX: u64 = 0xffff_ffff;

/// Elements that may be written behind the last position that passed.
pub(super) const SPARE: usize = 8;

/// Bitmaps of one window length in `words`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lane {
    /// Bits of a partition, less one.
    pub(super) mask: u32,
    /// First word of the first partition.
    pub(super) base: u32,
    /// Words of a partition.
    pub(super) stride: u32,
    /// Partitions behind the first, at most three.
    pub(super) others: u32,
}

/// A position with a window that may be a fragment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Passed {
    /// Position of the window.
    pub at: u32,
    /// Lengths that passed: bit n for the n-th.
    pub lengths: u32,
}

/// Memory reused from frame to frame.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// An element for each position of the longest payload so far, and [`SPARE`] more.
    pub(super) passed: Vec<Passed>,
    #[cfg(target_arch = "x86_64")]
    pub(super) chunk: Box<super::gfni::Chunk>,
}

/// All partitions of every length.
#[derive(Debug, Clone)]
pub struct FirstStage {
    pub(super) multipliers: [u64; WINDOW_LENGTHS],
    /// All lengths in use have the same multiplier.
    pub(super) common: bool,
    pub(super) lanes: [Lane; WINDOW_LENGTHS],
    /// Bitmaps, one behind the other; word 0 is empty and stands for lengths that are not used.
    pub(super) words: Vec<u64>,
    /// For the fastest form, where the processor has it.
    #[cfg(target_arch = "x86_64")]
    pub(super) matrices: Option<Box<super::gfni::Matrices>>,
    /// Low product halves of a prefix byte at each place, for the portable form: by length (one if common).
    rows: Vec<[[u64; 256]; WINDOW_MIN]>,
}

impl FirstStage {
    /// Of the lengths in use.
    pub fn new(tables: &[LengthTable], constants: &HashConstants) -> Self {
        let mut stage = FirstStage {
            multipliers: [0; WINDOW_LENGTHS],
            common: true,
            lanes: [Lane::default(); WINDOW_LENGTHS],
            words: vec![0],
            #[cfg(target_arch = "x86_64")]
            matrices: None,
            rows: Vec::new(),
        };
        for table in tables {
            let index = table.index();
            let bits = u32::from(table.shape.bloom_bits_log2);
            let Some(lane) = stage.lanes.get_mut(index) else { continue };
            let partition = (1usize << bits) / 64;
            let base = stage.words.len() as u32;
            let others = u32::from(table.shape.bloom_partitions).clamp(1, BLOOM_SHIFT.len() as u32) - 1;
            *lane = Lane { mask: (1u32 << bits) - 1, base, stride: partition as u32, others };
            // The passes read this many words unchecked: a bitmap that ends early is filled up.
            let words = (others as usize + 1) * partition;
            stage.words.extend(table.bloom.iter().take(words));
            stage.words.resize(base as usize + words, 0);
            stage.multipliers[index] = constants.multipliers[index];
        }
        let mut used = tables.iter().filter_map(|table| stage.multipliers.get(table.index())).copied();
        let first = used.next().unwrap_or(1);
        stage.common = used.all(|multiplier| multiplier == first);
        if stage.common {
            stage.multipliers = [first; WINDOW_LENGTHS];
        }
        #[cfg(target_arch = "x86_64")]
        {
            stage.matrices = super::gfni::Matrices::new(&stage).map(Box::new);
        }
        if !accelerated() {
            stage.make_rows();
        }
        stage
    }

    fn make_rows(&mut self) {
        let kinds = if self.common { 1 } else { WINDOW_LENGTHS };
        self.rows = self.multipliers[..kinds]
            .iter()
            .map(|multiplier| {
                std::array::from_fn(|place| {
                    std::array::from_fn(|byte| clmul((byte as u64) << (8 * place), *multiplier) as u64)
                })
            })
            .collect();
    }

    /// Positions below `count` that pass, ascending; only those with eight bytes behind them are looked at, and none any
    /// more once there are `enough`.
    pub fn passed<'m>(&self, bytes: &[u8], count: usize, enough: usize, memory: &'m mut Memory) -> &'m [Passed] {
        let count = count.min((bytes.len() + 1).saturating_sub(8));
        if memory.passed.len() < count + SPARE {
            memory.passed.resize(count + SPARE, Passed::default());
        }
        let passed = match passes(self, bytes, count, enough, memory) {
            Some(passed) => passed,
            None => self.portable(bytes, count, &mut memory.passed),
        };
        memory.passed.get(..passed).unwrap_or(&[])
    }

    /// `out` has an element for each position. Gives how many are filled.
    fn portable(&self, bytes: &[u8], count: usize, out: &mut [Passed]) -> usize {
        let mut passed = 0;
        for (at, window) in bytes.windows(8).enumerate().take(count) {
            let window = window.first_chunk().copied().unwrap_or_default();
            let mut lengths = 0;
            let mut low = 0;
            for (n, lane) in self.lanes.iter().enumerate() {
                if let Some(rows) = self.rows.get(n) {
                    low = rows.iter().zip(&window).fold(0, |sum, (row, byte)| sum ^ row[usize::from(*byte)]);
                }
                if self.bit(lane.base, (low >> PREFIX_SHIFT) as u32 & lane.mask) {
                    let window = truncate(u64::from_le_bytes(window), n + WINDOW_MIN);
                    let middle = middle(clmul(window, self.multipliers[n]), n + WINDOW_MIN);
                    let all = (1..=lane.others).all(|partition| {
                        let index = (middle >> BLOOM_SHIFT[partition as usize]) as u32 & lane.mask;
                        self.bit(lane.base + partition * lane.stride, index)
                    });
                    lengths |= u32::from(all) << n;
                }
            }
            if lengths != 0 {
                if let Some(slot) = out.get_mut(passed) {
                    *slot = Passed { at: at as u32, lengths };
                }
                passed += 1;
            }
        }
        passed
    }

    pub(super) fn bit(&self, base: u32, index: u32) -> bool {
        self.words.get((base + (index >> 6)) as usize).is_some_and(|word| word >> (index & 63) & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_contract::hash::{HashFamily, splitmix64};
    use weir_contract::layouts::LengthGeometry;

    #[test]
    fn both_forms_agree() {
        let mut state = 5;
        for common in [false, true] {
            let family = if common { HashFamily::from_seed(9) } else { HashFamily::distinct(9) };
            let constants = family.constants();
            let tables: Vec<LengthTable> = [4usize, 5, 7, 8]
                .into_iter()
                .map(|length| {
                    let shape = LengthGeometry {
                        bloom_partitions: [2, 3, 0, 1, 4][length - 4],
                        bloom_bits_log2: 10 + length as u8,
                        exact_ways: 1,
                        ..LengthGeometry::ZERO
                    };
                    let words = (usize::from(shape.bloom_partitions) << shape.bloom_bits_log2) / 64;
                    let bloom = (0..words).map(|_| splitmix64(&mut state) & splitmix64(&mut state)).collect();
                    LengthTable::new(shape, length, bloom, vec![], &family)
                })
                .collect();
            let mut stage = FirstStage::new(&tables, &constants);
            assert_eq!(stage.common, common);
            stage.make_rows();
            let bytes: Vec<u8> = (0..3000).map(|_| splitmix64(&mut state) as u8).collect();
            let mut memory = Memory { passed: vec![Passed { at: 9, lengths: 9 }; 5], ..Memory::default() };
            let mut slow = vec![Passed::default(); bytes.len()];
            let passed = stage.portable(&bytes, bytes.len() - 7, &mut slow);
            slow.truncate(passed);
            assert_eq!(stage.passed(&bytes, bytes.len(), usize::MAX, &mut memory), slow);
            // Without matrices, or with bytes that end soon behind the positions.
            let short = &bytes[..bytes.len() - 1];
            slow.retain(|p| (p.at as usize) < bytes.len() - 8);
            assert_eq!(stage.passed(short, bytes.len() - 8, usize::MAX, &mut memory), slow);
            #[cfg(target_arch = "x86_64")]
            {
                stage.matrices = None;
                assert_eq!(stage.passed(short, bytes.len() - 8, usize::MAX, &mut memory), slow);
            }
            assert!(slow.len() > 500 && slow.len() < 2900);
            // Against the definition, length by length.
            for at in 0..bytes.len() - 8 {
                let lengths = tables.iter().fold(0, |set, table| {
                    let window = weir_contract::fold::window(&bytes, at, table.length).unwrap();
                    set | u32::from(table.bloom_holds(window)) << table.index()
                });
                let found = slow.iter().find(|p| p.at == at as u32).map_or(0, |p| p.lengths);
                assert_eq!(found, lengths, "{at}");
            }
        }
    }
}
