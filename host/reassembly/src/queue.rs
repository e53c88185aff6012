//! Bytes that wait behind a gap: sorted, disjoint pieces by stream offset.
//!
//! Every operation is logarithmic in the number of pieces (plus those it touches), whatever order a sender chooses. The
//! bound on waiting bytes also bounds the number of pieces, because a piece of one byte occupies some hundred.

use crate::budget::{Budget, PIECE};
use crate::policy::OverlapPolicy;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes a piece has on average before pieces, not bytes, reach the bound.
const SMALL_PIECE: usize = 64;

/// Waiting pieces of one direction.
#[derive(Debug)]
pub(crate) struct Queue {
    pieces: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
    /// What the budget knows of them.
    charged: u64,
    budget: Arc<Budget>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.budget.give(self.charged);
    }
}

impl Queue {
    pub(crate) fn new(budget: &Arc<Budget>) -> Self {
        Queue { pieces: BTreeMap::new(), bytes: 0, charged: 0, budget: Arc::clone(budget) }
    }

    fn charge(&mut self) {
        let now = self.bytes as u64 + PIECE * self.pieces.len() as u64;
        match now.checked_sub(self.charged) {
            Some(more) => self.budget.take(more),
            None => self.budget.give(self.charged - now),
        }
        self.charged = now;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Too much waits: more than `limit` bytes, or so many pieces that they average to less than 64 bytes at the limit
    /// (64 pieces may always wait). Or the streams together hold too much.
    pub(crate) fn exceeds(&self, limit: usize) -> bool {
        self.bytes > limit || self.pieces.len() > SMALL_PIECE + limit / SMALL_PIECE || self.is_pressed()
    }

    /// More waits than this stream's share of the memory of all.
    pub(crate) fn is_pressed(&self) -> bool {
        self.charged > self.budget.share()
    }

    /// The stream gives way: this is counted if only the others made it.
    pub(crate) fn count_pressure(&self) {
        if self.is_pressed() {
            self.budget.gave_way();
        }
    }

    /// Offset of the first waiting byte.
    pub(crate) fn first(&self) -> Option<u64> {
        self.pieces.first_key_value().map(|(start, _)| *start)
    }

    /// Offset behind the last waiting byte.
    pub(crate) fn end(&self) -> Option<u64> {
        self.pieces.last_key_value().map(|(start, piece)| start + piece.len() as u64)
    }

    /// Remove and give the first piece if it starts at or before `offset`.
    pub(crate) fn take_at(&mut self, offset: u64) -> Option<(u64, Vec<u8>)> {
        let first = self.pieces.first_entry().filter(|entry| *entry.key() <= offset)?;
        let piece = first.remove_entry();
        self.bytes -= piece.1.len();
        self.charge();
        Some(piece)
    }

    /// As [`Queue::take_at`]; of a piece that goes on behind `end` the rest stays.
    pub(crate) fn take_before(&mut self, offset: u64, end: u64) -> Option<(u64, Vec<u8>)> {
        let (start, mut piece) = self.take_at(offset)?;
        let keep = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
        if keep < piece.len() {
            let rest = piece.split_off(keep);
            self.bytes += rest.len();
            self.pieces.insert(end, rest);
            self.charge();
        }
        Some((start, piece))
    }

    /// Add `[start, start + bytes.len())`. Returns whether overlapping bytes differed.
    pub(crate) fn insert(&mut self, policy: OverlapPolicy, start: u64, bytes: &[u8]) -> bool {
        let end = start + bytes.len() as u64;
        let mut differs = false;
        // Cut the new segment into the parts it wins or fills; overwrite what it wins in place.
        let mut fills: Vec<(u64, u64)> = Vec::new();
        let mut cursor = start;
        // Pieces are disjoint: of those that begin before the segment only the last can reach into it.
        let from = self.pieces.range(..=start).next_back().map_or(start, |(first, _)| *first);
        for (&old_start, old) in self.pieces.range_mut(from..end.max(from)) {
            let old_end = old_start + old.len() as u64;
            if old_end <= start {
                continue;
            }
            let from = start.max(old_start);
            let to = end.min(old_end);
            let fresh = &bytes[(from - start) as usize..(to - start) as usize];
            let target = &mut old[(from - old_start) as usize..(to - old_start) as usize];
            if target != fresh {
                differs = true;
                if policy.new_wins(start, end, old_start, old_end) {
                    target.copy_from_slice(fresh);
                }
            }
            if cursor < from {
                fills.push((cursor, from));
            }
            cursor = to;
        }
        if cursor < end {
            fills.push((cursor, end));
        }
        for (from, to) in fills {
            let piece = bytes[(from - start) as usize..(to - start) as usize].to_vec();
            self.bytes += piece.len();
            self.pieces.insert(from, piece);
        }
        self.charge();
        differs
    }

    /// Forget the bytes from `end` on.
    pub(crate) fn truncate(&mut self, end: u64) {
        let beyond = self.pieces.split_off(&end);
        self.bytes -= beyond.values().map(Vec::len).sum::<usize>();
        if let Some(mut last) = self.pieces.last_entry() {
            let keep = (end - last.key()) as usize;
            self.bytes -= last.get().len().saturating_sub(keep);
            last.get_mut().truncate(keep);
        }
        self.charge();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(queue: &mut Queue) -> Vec<(u64, Vec<u8>)> {
        let mut out = Vec::new();
        while let Some(piece) = queue.take_at(u64::MAX) {
            out.push(piece);
        }
        out
    }

    #[test]
    fn first_and_last() {
        for (policy, expect) in [(OverlapPolicy::First, b"aaaabb".as_slice()), (OverlapPolicy::Last, b"aabbbb")] {
            let mut q = Queue::new(&Arc::default());
            assert!(!q.insert(policy, 10, b"aaaa"));
            assert!(q.insert(policy, 12, b"bbbb"));
            let joined: Vec<u8> = drain(&mut q).into_iter().flat_map(|(_, b)| b).collect();
            assert_eq!(joined, expect, "{policy:?}");
            assert_eq!(q.bytes, 0);
        }
    }

    #[test]
    fn pieces_are_bounded_as_well_as_bytes() {
        let mut q = Queue::new(&Arc::default());
        for at in 0..64 + 4096 {
            q.insert(OverlapPolicy::Bsd, 2 * at, b"x");
        }
        assert!(!q.exceeds(256 << 10));
        q.insert(OverlapPolicy::Bsd, 1 << 20, b"x");
        assert!(q.exceeds(256 << 10));
        assert_eq!(drain(&mut q).len(), 64 + 4096 + 1);
        assert_eq!(q.bytes, 0);
    }

    #[test]
    fn a_budget_knows_what_waits() {
        let budget = Arc::new(Budget::new(100_000));
        let mut q = Queue::new(&budget);
        q.insert(OverlapPolicy::Bsd, 10, &[1; 1000]);
        q.insert(OverlapPolicy::Bsd, 500, &[2; 1000]);
        q.insert(OverlapPolicy::Bsd, 5000, &[3; 1000]);
        assert_eq!(budget.used(), 1490 + 1000 + 3 * 64);
        let mut other = Queue::new(&budget);
        other.insert(OverlapPolicy::Bsd, 0, &[4; 50_000]);
        assert!(!q.exceeds(1 << 20) && other.exceeds(1 << 20), "a stream has an eighth of what is free");
        q.truncate(1200);
        assert_eq!(budget.used(), 1190 + 2 * 64 + 50_000 + 64);
        q.take_before(10, 100);
        assert_eq!(budget.used(), 1100 + 2 * 64 + 50_000 + 64);
        drop(other);
        drop(q);
        assert_eq!((budget.used(), budget.reached()), (0, 0));
    }

    #[test]
    fn fills_between_pieces() {
        let mut q = Queue::new(&Arc::default());
        q.insert(OverlapPolicy::Bsd, 10, b"a");
        q.insert(OverlapPolicy::Bsd, 12, b"c");
        assert!(!q.insert(OverlapPolicy::Bsd, 10, b"abcd"));
        let joined: Vec<u8> = drain(&mut q).into_iter().flat_map(|(_, b)| b).collect();
        assert_eq!(joined, b"abcd");
    }
}
