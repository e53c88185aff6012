//! Addresses for mappings: first fit in the ranges the IOMMU allows.

use std::collections::BTreeMap;
use std::ops::Range;

const PAGE: u64 = 4096;
/// Nothing is mapped below: a device that follows a null or small pointer faults.
const LOWEST: u64 = 0x10_0000;

/// Which IOVAs are in use.
#[derive(Debug, Default)]
pub struct IovaSpace {
    used: BTreeMap<u64, u64>,
}

impl IovaSpace {
    /// Take `length` bytes (rounded up to pages), with an unmapped page behind them, so that an overrun faults.
    pub fn take(&mut self, ranges: &[Range<u64>], length: u64, alignment: u64) -> Option<u64> {
        let alignment = alignment.max(PAGE);
        let length = length.checked_next_multiple_of(alignment)?;
        let with_gap = length.checked_add(alignment)?;
        for range in ranges {
            let mut at = range.start.max(LOWEST).checked_next_multiple_of(alignment)?;
            while let Some(end) = at.checked_add(with_gap).filter(|end| *end <= range.end) {
                // The last mapping that begins before our end: if it ends before our start, the place is free.
                match self.used.range(..end).next_back() {
                    Some((&start, &size)) if start + size > at => {
                        let Some(next) = (start + size).checked_next_multiple_of(alignment) else { break };
                        at = next;
                    }
                    _ => {
                        self.used.insert(at, with_gap);
                        return Some(at);
                    }
                }
            }
        }
        None
    }

    /// Give an address back; `false` if it was not taken.
    pub fn give(&mut self, iova: u64) -> bool {
        self.used.remove(&iova).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_fit_around_holes() {
        let ranges = [0..0x20_0000, 0xfef0_0000..0x1_0000_0000];
        let mut space = IovaSpace::default();
        let a = space.take(&ranges, 0x1000, 0).unwrap();
        let b = space.take(&ranges, 0x1000, 0).unwrap();
        let c = space.take(&ranges, 0x1001, 0).unwrap();
        assert_eq!((a, b, c), (0x10_0000, 0x10_2000, 0x10_4000));
        assert!(space.give(b) && !space.give(b));
        assert_eq!(space.take(&ranges, 0x1000, 0), Some(b));
        assert_eq!(space.take(&ranges, 0x200_0000, 0), None, "too large for both ranges");
        assert_eq!(space.take(&ranges, 0xf_a000, 0), Some(0xfef0_0000), "the second range");
        assert_eq!(space.take(&ranges, u64::MAX, 0), None);
    }
}
