//! Counters: every outcome of a frame has one, and the identities of the contract hold at any moment between frames.

use weir_contract::constants::GUARDS_MAX;
use weir_contract::counters::{Counter, IDENTITIES};

/// An identity that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("conservation violated: {meaning} ({left} on the left, {right} on the right)")]
pub struct Violation {
    /// What the identity says.
    pub meaning: &'static str,
    /// Sum of the left side.
    pub left: u64,
    /// Sum of the right side.
    pub right: u64,
}

/// All counters, and the copy that a snapshot latched.
#[derive(Debug, Clone)]
pub struct Counters {
    values: [u64; Counter::COUNT],
    guards: [u64; GUARDS_MAX],
    latched: Box<([u64; Counter::COUNT], [u64; GUARDS_MAX])>,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            values: [0; Counter::COUNT],
            guards: [0; GUARDS_MAX],
            latched: Box::new(([0; Counter::COUNT], [0; GUARDS_MAX])),
        }
    }
}

impl Counters {
    /// Add.
    #[inline]
    pub fn add(&mut self, counter: Counter, n: u64) {
        self.values[counter as usize] += n;
    }

    /// Add one.
    #[inline]
    pub fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    /// A level goes down.
    #[inline]
    pub fn lower(&mut self, counter: Counter) {
        let value = &mut self.values[counter as usize];
        *value = value.saturating_sub(1);
    }

    /// Value now.
    #[inline]
    pub fn get(&self, counter: Counter) -> u64 {
        self.values[counter as usize]
    }

    /// Count the guards that fired at a frame.
    #[inline]
    pub fn guards(&mut self, mut fired: u64) {
        while fired != 0 {
            let n = fired.trailing_zeros() as usize;
            self.guards[n] += 1;
            fired &= fired - 1;
        }
    }

    /// Frames on which guard `n` fired.
    pub fn guard(&self, n: usize) -> u64 {
        self.guards.get(n).copied().unwrap_or(0)
    }

    /// Latch everything at one moment.
    pub fn latch(&mut self) {
        *self.latched = (self.values, self.guards);
    }

    /// Latched counter by index.
    pub fn latched(&self, index: usize) -> Option<u64> {
        self.latched.0.get(index).copied()
    }

    /// Latched guard counter by number.
    pub fn latched_guard(&self, number: usize) -> Option<u64> {
        self.latched.1.get(number).copied()
    }

    /// Every identity of the contract, exactly.
    pub fn check(&self) -> Result<(), Violation> {
        for identity in &IDENTITIES {
            let sum = |side: &[Counter]| side.iter().fold(0u64, |sum, c| sum.wrapping_add(self.get(*c)));
            let (left, right) = (sum(identity.left), sum(identity.right));
            if left != right {
                return Err(Violation { meaning: identity.meaning, left, right });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_are_watched() {
        let mut c = Counters::default();
        assert_eq!(c.check(), Ok(()));
        c.count(Counter::ReceivedFrames);
        assert!(c.check().is_err());
        c.count(Counter::PassedFrames);
        assert!(c.check().is_err(), "passed frames are transmitted");
        c.count(Counter::TransmittedFrames);
        assert_eq!(c.check(), Ok(()));
    }

    #[test]
    fn snapshots_stand_still() {
        let mut c = Counters::default();
        c.guards(0b101);
        c.count(Counter::Candidates);
        c.latch();
        c.count(Counter::Candidates);
        assert_eq!(c.latched(Counter::Candidates as usize), Some(1));
        assert_eq!((c.latched_guard(0), c.latched_guard(1), c.latched_guard(2)), (Some(1), Some(0), Some(1)));
        assert_eq!(c.latched(Counter::COUNT), None);
    }
}
