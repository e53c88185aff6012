//! The literal filter: windows of 4 to 8 folded bytes, Bloom, exact entry, list.
//!
//! Reference form: every window of every length at every position. The number of candidates (Bloom positives) is part
//! of the contract, so a faster form must count exactly these.

use crate::tables::{LengthTable, Tables};
use weir_contract::fold::{fold_word, truncate, window};
use weir_contract::hash::{bloom_index, bucket_index};
use weir_contract::layouts::ExactEntry;

/// A literal that stands in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hit {
    /// Position of its first byte, counted from the payload's start (negative: in the tail).
    pub position: i32,
    /// Records.
    pub list_start: u32,
    /// Number of records.
    pub list_count: u16,
}

/// What scanning found beyond the hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    /// Bloom positives.
    pub candidates: u32,
    /// The candidate limit was reached; later windows were not looked at.
    pub limit: bool,
}

/// Scan `bytes`; only windows that end behind `from` count (those before were seen with an earlier segment).
/// `origin` is the position of `bytes[0]`.
pub fn scan(tables: &Tables, bytes: &[u8], from: usize, origin: i32, found: &mut Scan, hits: &mut Vec<Hit>) {
    for at in 0..bytes.len() {
        if bytes.len() - at < weir_contract::constants::WINDOW_MIN {
            break;
        }
        scan_one(tables, &bytes[at..], from.saturating_sub(at), origin.saturating_add(at as i32), found, hits);
        if found.limit {
            return;
        }
    }
}

/// The windows that begin at `bytes[0]` and are longer than `beyond`.
#[inline]
fn scan_one(tables: &Tables, bytes: &[u8], beyond: usize, position: i32, found: &mut Scan, hits: &mut Vec<Hit>) {
    let Some(raw) = word(bytes, 0) else { return };
    let folded = fold_word(raw.0);
    for table in &tables.lengths {
        let length = table.hash.length();
        if raw.1 < length || length <= beyond {
            continue;
        }
        let value = truncate(folded, length);
        let middle = table.hash.middle(value);
        if !bloom(table, middle) {
            continue;
        }
        if found.candidates >= tables.limits.candidates {
            found.limit = true;
            return;
        }
        found.candidates += 1;
        for entry in lookup(table, middle) {
            if matches(entry, truncate(raw.0, length), value) {
                hits.push(Hit { position, list_start: entry.list_start, list_count: entry.list_count });
            }
        }
    }
}

/// Scan the joint of two segments: `bytes` is the tail (its first `joint` bytes) and the beginning of the payload; windows
/// that begin in the tail and end in the payload.
pub fn scan_joint(tables: &Tables, bytes: &[u8], joint: usize, found: &mut Scan, hits: &mut Vec<Hit>) {
    for at in 0..joint {
        // A window of n bytes that begins at `at` is complete in the first n bytes from there.
        let before = hits.len();
        let rest = bytes.get(at..).unwrap_or(&[]);
        scan_one(tables, rest, joint - at, at as i32 - joint as i32, found, hits);
        debug_assert!(hits[before..].iter().all(|h| h.position < 0));
        if found.limit {
            return;
        }
    }
}

/// Up to eight bytes at a position, and how many there are; none below four.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<(u64, usize)> {
    if let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        return Some((u64::from_le_bytes(*chunk), 8));
    }
    let left = bytes.len() - at;
    if left < 4 { None } else { window(bytes, at, left).map(|w| (w, left)) }
}

#[inline]
fn bloom(table: &LengthTable, middle: u64) -> bool {
    let log2 = u32::from(table.geometry.bloom_bits_log2);
    (0..usize::from(table.geometry.bloom_partitions)).all(|partition| {
        let bit = (partition << log2) + bloom_index(middle, partition, log2) as usize;
        table.bloom.get(bit / 64).is_some_and(|w| w >> (bit % 64) & 1 != 0)
    })
}

fn lookup(table: &LengthTable, middle: u64) -> impl Iterator<Item = &ExactEntry> {
    let log2 = u32::from(table.geometry.exact_buckets_log2);
    let ways = usize::from(table.geometry.exact_ways);
    let first = bucket_index(middle, 0, log2) as usize;
    let second = bucket_index(middle, 1, log2) as usize;
    let buckets = if first == second { [Some(first), None] } else { [Some(first), Some(second)] };
    buckets
        .into_iter()
        .flatten()
        .flat_map(move |bucket| table.exact.get(bucket * ways..(bucket + 1) * ways).unwrap_or(&[]))
        .filter(|entry| entry.list_count != 0)
}

/// The entry's bytes: in case where its mask says so, else folded.
fn matches(entry: &ExactEntry, raw: u64, folded: u64) -> bool {
    if entry.case_mask == 0 {
        return entry.value == folded;
    }
    let mut lanes = 0u64;
    for lane in 0..8 {
        if entry.case_mask >> lane & 1 != 0 {
            lanes |= 0xff << (8 * lane);
        }
    }
    entry.value == (raw & lanes) | (folded & !lanes)
}
