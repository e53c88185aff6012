//! What tests of sessions share: segments, content, and a naive model to compare with.

use crate::OverlapPolicy;
use std::collections::BTreeMap;
use weir_packet::Tcp;

/// What is delivered: bytes, and lost ranges.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Delivered {
    /// Offset and byte.
    pub bytes: Vec<(u64, u8)>,
    /// Offset and length.
    pub gaps: Vec<(u64, u64)>,
}

/// One direction by reference semantics 2.6 to 2.8, a byte at a time, for policies that do not look at the extent of
/// segments (or for content that is consistent, under any policy).
#[derive(Debug, Default)]
pub struct Model {
    /// What was delivered.
    pub out: Delivered,
    /// Next offset to deliver.
    pub base: u64,
    /// End of the highest byte sent; for the caller's use.
    pub highest: u64,
    waiting: BTreeMap<u64, u8>,
    acknowledged: u64,
}

impl Model {
    /// A segment's payload.
    pub fn data(&mut self, start: u64, bytes: &[u8], policy: OverlapPolicy) {
        for (offset, byte) in (start..).zip(bytes).filter(|(offset, _)| *offset >= self.base) {
            if policy == OverlapPolicy::Last {
                self.waiting.insert(offset, *byte);
            } else {
                self.waiting.entry(offset).or_insert(*byte);
            }
        }
        self.deliver();
    }

    /// The other side acknowledges everything before `to`.
    pub fn acknowledge(&mut self, to: u64) {
        self.acknowledged = self.acknowledged.max(to);
        while let Some((&first, _)) = self.waiting.first_key_value()
            && first <= self.acknowledged
            && self.acknowledged > self.base
        {
            self.out.gaps.push((self.base, first - self.base));
            self.base = first;
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        while let Some(byte) = self.waiting.remove(&self.base) {
            self.out.bytes.push((self.base, byte));
            self.base += 1;
        }
    }
}

/// A header without options.
pub fn tcp(sequence: u32, acknowledgement: u32, flags: u8) -> Tcp<'static> {
    Tcp {
        sequence,
        acknowledgement,
        flags,
        window: 65535,
        urgent: 0,
        header: &[],
        mss: None,
        window_scale: None,
        timestamp: None,
        sack_permitted: false,
    }
}

/// Bytes of a place in the stream; equal variants agree wherever they overlap.
pub fn content(start: u64, length: usize, variant: u8) -> Vec<u8> {
    (start..start + length as u64).map(|offset| (offset as u8).wrapping_mul(31) ^ variant << 6).collect()
}
