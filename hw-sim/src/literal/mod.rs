//! The literal filter: windows of 4 to 8 folded bytes, Bloom, exact entry, list.
//!
//! [`FirstStage`] leaves the positions where all Bloom partitions of some window length have their bits. What is left is
//! looked at length by length: candidates are counted exactly as the contract defines them, and compared with the exact
//! entries. Order: by position, then by length.

mod clmul;
mod first;
#[cfg(target_arch = "x86_64")]
mod gfni;
mod table;

pub use clmul::product;
pub use first::{FirstStage, Memory, Passed};
pub use table::{LengthTable, case_lanes};

use weir_contract::constants::WINDOW_LENGTHS;
use weir_contract::fold::truncate;
use weir_contract::layouts::HashConstants;

/// A literal that stands in the payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Position of its first byte, counted from the payload's start (negative: in the tail).
    pub position: i32,
    /// First entry of its list.
    pub list_start: u32,
    /// Entries of its list.
    pub list_count: u16,
}

/// What scanning found beyond the hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scan {
    /// Bloom positives by window length, from 4.
    pub candidates: [u32; WINDOW_LENGTHS],
    /// More candidates than the limit; what lies behind was not looked at.
    pub limit: bool,
}

impl Scan {
    /// Bloom positives.
    pub fn total(&self) -> u32 {
        self.candidates.iter().sum()
    }
}

/// Memory reused from frame to frame.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    folded: Vec<u8>,
    memory: Memory,
    candidates: Vec<Candidate>,
}

/// A window that every Bloom partition of its length holds.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    at: u32,
    /// Position in the filter's list of tables.
    table: u8,
    window: u64,
    middle: u64,
}

/// Zero bytes behind the scanned ones, so that every position has eight to read, in whole blocks of positions.
const PADDING: usize = 8 + 64;

/// The filter of a bank.
#[derive(Debug, Clone)]
pub struct Filter {
    tables: Vec<LengthTable>,
    /// Position in `tables` by length.
    by_length: [u8; WINDOW_LENGTHS],
    first: FirstStage,
}

impl Filter {
    /// Of the lengths in use, shortest first.
    pub fn new(tables: Vec<LengthTable>, constants: HashConstants) -> Self {
        let first = FirstStage::new(&tables, &constants);
        let position = |n| tables.iter().position(|table| table.index() == n).map_or(u8::MAX, |at| at as u8);
        Filter { by_length: std::array::from_fn(position), tables, first }
    }

    /// Lengths in use.
    pub fn tables(&self) -> &[LengthTable] {
        &self.tables
    }

    /// Scan a payload, and the windows that begin in the folded `tail` before it. Hits are appended in order.
    pub fn scan(&self, tail: &[u8], payload: &[u8], limit: u32, scratch: &mut Scratch, hits: &mut Vec<Hit>) -> Scan {
        let mut scan = Scan::default();
        if self.tables.is_empty() || payload.is_empty() {
            return scan;
        }
        let Scratch { folded, memory, candidates } = scratch;
        folded.clear();
        folded.extend_from_slice(tail);
        folded.extend_from_slice(payload);
        if let Some(fresh) = folded.get_mut(tail.len()..) {
            clmul::fold(fresh);
        }
        let total = folded.len();
        folded.extend_from_slice(&[0; PADDING]);
        candidates.clear();
        // Runs of one byte repeat their windows: what was found for the last one of a length stands.
        let mut last = [(0, None); WINDOW_LENGTHS];
        // Windows that end in the tail or behind the payload do not count.
        let enough = (limit as usize).saturating_add(tail.len() + 8);
        'positions: for &Passed { at, lengths } in self.first.passed(folded, total, enough, memory) {
            let Some(word) = folded.get(at as usize..).and_then(|rest| rest.first_chunk::<8>()) else { continue };
            let word = u64::from_le_bytes(*word);
            let mut left = lengths;
            while left != 0 {
                let index = left.trailing_zeros() as usize;
                left &= left - 1;
                let (Some(last), Some(number)) = (last.get_mut(index), self.by_length.get(index)) else { continue };
                let Some(table) = self.tables.get(usize::from(*number)) else { continue };
                let end = at as usize + table.length;
                // Windows that end in the tail were seen with an earlier segment.
                if end > total || end <= tail.len() {
                    continue;
                }
                if candidates.len() as u32 >= limit {
                    scan.limit = true;
                    break 'positions;
                }
                let window = truncate(word, table.length);
                let middle = match *last {
                    (same, Some(middle)) if same == window => middle,
                    _ => {
                        let middle = table.middle(window);
                        table.prefetch(middle);
                        *last = (window, Some(middle));
                        middle
                    }
                };
                scan.candidates[index] += 1;
                candidates.push(Candidate { at, table: *number, window, middle });
            }
        }
        // Entries lie far apart in memory: all were asked for before the first is looked at.
        let mut before: Option<(&Candidate, usize)> = None;
        for candidate in candidates.iter() {
            let Some(table) = self.tables.get(usize::from(candidate.table)) else { continue };
            let position = candidate.at as i32 - tail.len() as i32;
            let first = hits.len();
            let same = before.filter(|(c, _)| c.table == candidate.table && c.window == candidate.window);
            let cased = match same {
                Some((_, from)) => {
                    for n in from..first {
                        if let Some(hit) = hits.get(n).copied() {
                            hits.push(Hit { position, ..hit });
                        }
                    }
                    false
                }
                None => table.matches(
                    candidate.middle,
                    candidate.window,
                    |lanes| known_case(payload, position, lanes),
                    |entry| hits.push(Hit { position, list_start: entry.list_start, list_count: entry.list_count }),
                ),
            };
            before = (!cased).then_some((candidate, first));
        }
        scan
    }
}

/// Bytes of a window as they stand in the payload, and the lanes that are known: in the tail the case is not kept.
#[inline]
fn known_case(payload: &[u8], position: i32, lanes: u64) -> (u64, u64) {
    let whole = usize::try_from(position).ok().and_then(|at| payload.get(at..)?.first_chunk());
    if let Some(window) = whole {
        return (u64::from_le_bytes(*window), lanes);
    }
    let mut value = 0;
    let mut known = 0;
    for lane in 0..8usize {
        let mask = 0xffu64 << (8 * lane);
        if lanes & mask == 0 {
            continue;
        }
        let at = usize::try_from(i64::from(position) + lane as i64).ok();
        if let Some(byte) = at.and_then(|at| payload.get(at)) {
            value |= u64::from(*byte) << (8 * lane);
            known |= mask;
        }
    }
    (value, known)
}

#[cfg(test)]
mod tests;
