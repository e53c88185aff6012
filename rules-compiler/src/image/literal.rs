//! Bloom partitions and exact tables of the literal filter.
//!
//! An entry lies in one of its window's two buckets. Insertion moves entries between their buckets (cuckoo, breadth by
//! a seeded walk). Where that does not end, other hash constants are tried first: the hash is linear, and now and then constants lead
//! many windows that differ in one byte to few buckets. Only then does the table grow, by one bit of buckets, which always ends; a device
//! has room for so many.

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
/// Moves before the entries count as not placed.
const MOVES_MAX: usize = 2000;
/// Constants that are tried before a table is made larger.
const CONSTANTS_MAX: usize = 16;

fn partitions(length: usize) -> usize {
    if length == 8 { 3 } else { 2 }
}

fn least_bits(length: usize) -> u32 {
    if length == 8 { 18 } else { 15 }
}

/// Filters of all lengths, with the constants that `seed` leads to: at most [`CONSTANTS_MAX`] are tried before a table is made larger.
pub fn build_all(
    fragments: &BTreeMap<Fragment, ListRange>,
    seed: u64,
    most_bits: u32,
    most_entries: usize,
) -> Result<(HashFamily, Vec<Filter>), ImageError> {
    let all = |family: &HashFamily, growth| {
        (4..=8).map(|n| build(n, fragments, family, most_bits, most_entries, growth)).collect::<Result<Option<Vec<_>>, _>>()
    };
    let (mut state, mut family, mut tried) = (seed, HashFamily::from_seed(seed), 0);
    loop {
        if let Some(filters) = all(&family, tried >= CONSTANTS_MAX)? {
            return Ok((family, filters));
        }
        family = HashFamily::from_seed(splitmix64(&mut state));
        tried += 1;
    }
}

/// Build the filter for windows of `length` bytes; none if the least table does not take them, and may not grow.
fn build(
    length: usize,
    fragments: &BTreeMap<Fragment, ListRange>,
    family: &HashFamily,
    most_bits: u32,
    most_entries: usize,
    growth: bool,
) -> Result<Option<Filter>, ImageError> {
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
        return Ok(Some(Filter { geometry: LengthGeometry::ZERO, bloom: Vec::new(), exact: Vec::new() }));
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
    for buckets in least..=if growth { 24 } else { least } {
        if let Some(exact) = place(&entries, buckets) {
            let geometry = LengthGeometry {
                bloom_partitions: parts as u8,
                bloom_bits_log2: bits as u8,
                exact_buckets_log2: buckets as u8,
                exact_ways: WAYS as u8,
                entries: entries.len() as u32,
            };
            return Ok(Some(Filter { geometry, bloom, exact }));
        }
    }
    match growth {
        true => Err(ImageError::TooManyFragments { length, count: entries.len(), most: most_entries }),
        false => Ok(None),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows that differ in one byte, as the plan makes them of contents of three bytes: whatever the seed, the least tables take them.
    #[test]
    fn no_seed_makes_tables_larger() {
        let mut state = 7;
        let mut fragments = BTreeMap::new();
        for family in 0..12_000 {
            let bytes = splitmix64(&mut state).to_le_bytes();
            for last in 0..if family < 32 { 255 } else { 1 } {
                let fragment = Fragment::new(&[bytes[0], bytes[1], bytes[2], bytes[3] ^ last], false).unwrap();
                fragments.insert(fragment, ListRange { start: 0, count: 1 });
            }
        }
        let least = (fragments.len() * 4 / (WAYS * 3)).next_power_of_two().trailing_zeros();
        let (mut again, mut seed) = (0, 3);
        for _ in 0..60 {
            let seed = splitmix64(&mut seed);
            let (family, filters) = build_all(&fragments, seed, 24, 1 << 20).unwrap();
            assert_eq!(u32::from(filters[0].geometry.exact_buckets_log2), least, "seed {seed}");
            again += usize::from(family.constants() != HashFamily::from_seed(seed).constants());
        }
        assert!(again > 0, "no seed of these needed other constants: the test says nothing");
    }
}
