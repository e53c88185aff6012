//! From the sequence function's answer to its guard.

use crate::guards::Guard;
use crate::sequence::Trouble;

impl From<Trouble> for Guard {
    fn from(trouble: Trouble) -> Guard {
        match trouble {
            Trouble::Gap => Guard::SequenceGap,
            Trouble::Overlap => Guard::SequenceOverlap,
            Trouble::Retransmission => Guard::SequenceRetransmission,
            Trouble::SynData => Guard::SynData,
            Trouble::SynChange => Guard::SynChange,
            Trouble::RstData => Guard::RstData,
            Trouble::Urgent => Guard::Urgent,
        }
    }
}

impl Guard {
    /// Trouble in the order of a stream's bytes. A flow whose payload the host no longer inspects (encrypted, told by SETTLE
    /// without scope PACKET) need not come for it: headers say what they say in any order, and its frames stay in history.
    pub const fn rests_once_encrypted(self) -> bool {
        Self::REST_ONCE_ENCRYPTED & self.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_trouble_has_a_guard_of_its_own_that_diverts() {
        let mut seen = 0;
        for trouble in Trouble::ALL {
            let guard = Guard::from(trouble);
            // A gap only while the protocol is not decided (`Record::WHILE_UNDECIDED`); with a repetition that the host may read
            // `sequence_overlap` fires (decision 0041).
            let always = !matches!(trouble, Trouble::Gap | Trouble::Retransmission);
            assert_eq!(guard.always(), always, "{}", guard.name());
            assert_eq!(seen & guard.bit(), 0);
            seen |= guard.bit();
        }
    }
}
