//! Bloom partitions and exact tables of the literal filter.
//!
//! An entry lies in one of its window's two buckets. Insertion moves entries between their buckets (cuckoo, breadth by
//! a seeded walk); a table that does not fit grows by one bit of buckets, which always ends.

use super::ImageError;
use crate::plan::Fragment;
use std::collections::BTreeMap;
use weir_contract::hash::{HashFamily, bloom_index, bucket_index, splitmix64};
use weir_contract::layouts::{ExactEntry, LengthGeometry, ListRange};

/// Filter of one window length.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Sizes.
    pub geometry: LengthGeometry,
    /// Bloom partitions, one behind the other.
    pub bloom: Vec<u8>,
    /// `buckets × ways` entries.
    pub exact: Vec<ExactEntry>,
}

/// Bits per entry in a Bloom partition: one in sixteen set.
const BLOOM_BITS_PER_ENTRY: usize = 16;
/// Entries of a bucket.
const WAYS: usize = 4;
/// Moves before a table is made larger.
const MOVES_MAX: usize = 2000;

fn partitions(length: usize) -> usize {
    if length == 8 { 3 } else { 2 }
}

fn least_bits(length: usize) -> u32 {
    if length == 8 { 18 } else { 15 }
}

/// Build the filter for windows of `length` bytes.
pub fn build(
    length: usize,
    fragments: &BTreeMap<Fragment, ListRange>,
    family: &HashFamily,
    most_bits: u32,
    most_entries: usize,
) -> Result<Filter, ImageError> {
    let mut prefixes = Vec::new();
    let entries: Vec<(u64, ExactEntry)> = fragments
        .iter()
        .filter(|(f, _)| f.length() == length)
        .map(|(f, range)| {
            let count = u16::try_from(range.count).map_err(|_| ImageError::ListTooLong { fragment: f.display(), count: range.count })?;
            let window = u64::from_le_bytes(f.folded());
            let middle = family.middle(window, length);
            let entry = ExactEntry {
                value: f.value(),
                list_start: range.start,
                list_count: count,
                case_mask: f.case_mask,
                length: length as u8,
            };
            prefixes.push(family.prefix(window, length));
            Ok((middle, entry))
        })
        .collect::<Result<_, ImageError>>()?;
    if entries.is_empty() {
        return Ok(Filter { geometry: LengthGeometry::ZERO, bloom: Vec::new(), exact: Vec::new() });
    }
    if entries.len() > most_entries {
        return Err(ImageError::TooManyFragments { length, count: entries.len(), most: most_entries });
    }
    let wanted = (entries.len() * BLOOM_BITS_PER_ENTRY).next_power_of_two().trailing_zeros();
    let bits = wanted.max(least_bits(length)).min(most_bits);
    let parts = partitions(length);
    let size = 1usize << bits;
    let mut bloom = vec![0u8; parts * size / 8];
    for ((middle, _), prefix) in entries.iter().zip(&prefixes) {
        for p in 0..parts {
            let at = p * size + bloom_index(*prefix, *middle, p, bits) as usize;
            if let Some(byte) = bloom.get_mut(at / 8) {
                *byte |= 1 << (at % 8);
            }
        }
    }
    let least = (entries.len() * 4 / (WAYS * 3)).max(1).next_power_of_two().trailing_zeros();
    for buckets in least..=24 {
        if let Some(exact) = place(&entries, buckets) {
            let geometry = LengthGeometry {
                bloom_partitions: parts as u8,
                bloom_bits_log2: bits as u8,
                exact_buckets_log2: buckets as u8,
                exact_ways: WAYS as u8,
                entries: entries.len() as u32,
            };
            return Ok(Filter { geometry, bloom, exact });
        }
    }
    Err(ImageError::TooManyFragments { length, count: entries.len(), most: most_entries })
}

fn place(entries: &[(u64, ExactEntry)], buckets: u32) -> Option<Vec<ExactEntry>> {
    // Index + 1 of the entry in each slot, 0 free.
    let mut slots = vec![0u32; WAYS << buckets];
    let mut random = 0x5eed ^ u64::from(buckets);
    for start in 0..entries.len() {
        let mut moving = start;
        let mut placed = false;
        for _ in 0..MOVES_MAX {
            let (middle, _) = entries.get(moving)?;
            let free = [0, 1].into_iter().flat_map(|which| {
                let bucket = bucket_index(*middle, which, buckets) as usize;
                bucket * WAYS..(bucket + 1) * WAYS
            });
            if let Some(slot) = free.into_iter().find(|&s| slots.get(s) == Some(&0)) {
                *slots.get_mut(slot)? = moving as u32 + 1;
                placed = true;
                break;
            }
            let pick = splitmix64(&mut random);
            let bucket = bucket_index(*middle, (pick & 1) as usize, buckets) as usize;
            let slot = slots.get_mut(bucket * WAYS + (pick >> 8) as usize % WAYS)?;
            let evicted = *slot as usize - 1;
            *slot = moving as u32 + 1;
            moving = evicted;
        }
        if !placed {
            return None;
        }
    }
    Some(slots.iter().map(|&s| (s as usize).checked_sub(1).and_then(|i| entries.get(i)).map_or(ExactEntry::ZERO, |e| e.1)).collect())
}
