//! Decoder events, by the names rules use.

/// A set of [`DecoderEvent`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DecoderEvents([u64; 4]);

impl DecoderEvents {
    /// Add one.
    pub fn insert(&mut self, event: DecoderEvent) {
        self.0[event.0 as usize / 64] |= 1 << (event.0 % 64);
    }
    /// Membership.
    pub fn contains(&self, event: DecoderEvent) -> bool {
        self.0[event.0 as usize / 64] & (1 << (event.0 % 64)) != 0
    }
    /// No event.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

/// A decoder event: index into a table of names (`ipv4.pkt_too_small` …) that this module will hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecoderEvent(pub u8);
