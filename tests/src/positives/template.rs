//! Bytes in the making: some are settled, some free.

use weir_synth::Random;

/// Longest buffer.
pub(super) const LENGTH_MAX: usize = 60_000;

/// Which bytes fill gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filler {
    /// Letters and digits.
    Text,
    /// Letters in lower case.
    Name,
    /// Digits.
    Digits,
}

/// A buffer's bytes as far as they are settled.
#[derive(Clone, Default)]
pub(super) struct Template {
    /// Settled bytes, and gaps.
    pub(super) cells: Vec<Option<u8>>,
    /// Nothing may follow.
    pub(super) closed: bool,
}

impl Template {
    /// Makes it this long at least; whether it could.
    pub(super) fn reach(&mut self, length: usize) -> bool {
        if length > LENGTH_MAX || (self.closed && length > self.cells.len()) {
            return false;
        }
        if length > self.cells.len() {
            self.cells.resize(length, None);
        }
        true
    }

    /// These bytes could stand there.
    pub(super) fn free(&self, at: usize, bytes: &[u8], nocase: bool) -> bool {
        bytes.iter().enumerate().all(|(n, byte)| match self.cells.get(at + n) {
            Some(Some(old)) => old == byte || (nocase && old.eq_ignore_ascii_case(byte)),
            Some(None) => true,
            None => !self.closed,
        })
    }

    /// Settles bytes, if they do not contradict what is settled.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8], nocase: bool) -> bool {
        if !self.free(at, bytes, nocase) || !self.reach(at + bytes.len()) {
            return false;
        }
        for (cell, byte) in self.cells[at..].iter_mut().zip(bytes) {
            cell.get_or_insert(*byte);
        }
        true
    }

    /// Where the bytes stand already, within these bounds.
    pub(super) fn standing(&self, bytes: &[u8], nocase: bool, low: usize, high: usize) -> Option<usize> {
        let high = high.min(self.cells.len());
        (low..(high + 1).saturating_sub(bytes.len())).find(|at| {
            bytes.iter().enumerate().all(|(n, byte)| {
                self.cells[at + n].is_some_and(|old| old == *byte || (nocase && old.eq_ignore_ascii_case(byte)))
            })
        })
    }

    /// With all gaps filled.
    pub(super) fn filled(&self, filler: Filler, random: &mut Random) -> Vec<u8> {
        self.cells.iter().map(|cell| cell.unwrap_or_else(|| fill(filler, random))).collect()
    }
}

/// A byte for a gap.
pub(super) fn fill(filler: Filler, random: &mut Random) -> u8 {
    let alphabet: &[u8] = match filler {
        Filler::Text => b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        Filler::Name => b"abcdefghijklmnopqrstuvwxyz",
        Filler::Digits => b"123456789",
    };
    random.pick(alphabet)
}
