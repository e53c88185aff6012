//! The TCP sequence function, shared by engine, model and RTL (reference semantics, section 2.7).
//!
//! Per flow and direction one next sequence number, and the highest acknowledgement that direction has sent. Every TCP
//! packet of the flow goes through [`SequenceState::update`], whatever else is wrong with it (checksum, window,
//! state): only so do engine and device agree.
//!
//! Property that soundness rests on: while a direction has had nothing but `InOrder`, `Empty`, `Acked` and
//! `Untracked` segments since its SYN, the bytes the engine can deliver for it are a contiguous run of `InOrder`
//! payloads, in order; `Acked` segments hold only bytes below the next sequence number and the engine ignores them;
//! `Untracked` segments take no part in any stream. Everything else is `Trouble`, and its reason is a guard.
//!
//! One cycle in hardware: two subtractions and compares, a select and an add (RFC 9293 section 3.4: serial arithmetic).

/// FIN bit of the TCP flags.
pub const FIN: u8 = 0x01;
/// SYN bit.
pub const SYN: u8 = 0x02;
/// RST bit.
pub const RST: u8 = 0x04;
/// ACK bit.
pub const ACK: u8 = 0x10;
/// URG bit.
pub const URG: u8 = 0x20;

/// Why a segment is trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Trouble {
    /// Starts behind the next expected byte: something is missing.
    Gap = 0,
    /// Starts before and ends behind the next expected byte.
    Overlap = 1,
    /// Wholly before the next expected byte, not acknowledged by the other side.
    Retransmission = 2,
    /// A SYN with payload.
    SynData = 3,
    /// A SYN whose initial sequence number differs from the one in use, or from the other side of a SYN.
    SynChange = 4,
    /// A RST with payload.
    RstData = 5,
    /// Payload with the urgent flag.
    Urgent = 6,
}

impl Trouble {
    /// All reasons, in numeric order.
    pub const ALL: [Trouble; 7] = [
        Trouble::Gap,
        Trouble::Overlap,
        Trouble::Retransmission,
        Trouble::SynData,
        Trouble::SynChange,
        Trouble::RstData,
        Trouble::Urgent,
    ];
}

/// What a segment is to its direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SegmentClass {
    /// No payload.
    Empty,
    /// Payload that continues the stream exactly.
    InOrder,
    /// Payload wholly before the next expected byte, and acknowledged by the other side: no part of the stream.
    Acked,
    /// The direction's SYN was not seen: no stream.
    Untracked,
    /// Anything else.
    Trouble(Trouble),
}

/// State of one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DirectionState {
    /// The SYN was seen, `next` holds.
    pub valid: bool,
    /// Next expected sequence number.
    pub next: u32,
    /// This direction has acknowledged something, `ack` holds.
    pub ack_valid: bool,
    /// Highest acknowledgement number this direction has sent.
    pub ack: u32,
}

/// State of a flow; index 0 is the initiator's direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SequenceState {
    /// By direction.
    pub directions: [DirectionState; 2],
}

/// `a - b` in serial arithmetic: negative if `a` is before `b`.
#[inline]
pub const fn distance(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

impl SequenceState {
    /// Classify one packet of `direction` (0 or 1) and advance.
    #[inline]
    pub fn update(&mut self, direction: usize, sequence: u32, acknowledgement: u32, flags: u8, payload: u32) -> SegmentClass {
        let d = direction & 1;
        let class = if flags & SYN != 0 {
            self.syn(d, sequence, flags, payload)
        } else {
            self.segment(d, sequence, flags, payload)
        };
        if flags & ACK != 0 {
            let own = &mut self.directions[d];
            if !own.ack_valid || distance(acknowledgement, own.ack) > 0 {
                own.ack = acknowledgement;
                own.ack_valid = true;
            }
        }
        class
    }

    fn syn(&mut self, d: usize, sequence: u32, flags: u8, payload: u32) -> SegmentClass {
        let next = sequence.wrapping_add(1).wrapping_add(payload);
        let answer = flags & ACK != 0;
        let class = if answer {
            if !self.directions[1 - d].valid {
                // An answer to a SYN nobody saw starts no stream.
                return if payload == 0 { SegmentClass::Empty } else { SegmentClass::Untracked };
            }
            let own = &mut self.directions[d];
            let changed = own.valid && own.next != sequence.wrapping_add(1);
            own.valid = true;
            own.next = next;
            if changed { SegmentClass::Trouble(Trouble::SynChange) } else { SegmentClass::Empty }
        } else {
            let repeated = self.directions[d].valid && self.directions[d].next == sequence.wrapping_add(1);
            let fresh = !self.directions[0].valid && !self.directions[1].valid;
            if !repeated {
                *self = SequenceState::default();
            }
            let own = &mut self.directions[d];
            own.valid = true;
            own.next = next;
            if repeated || fresh { SegmentClass::Empty } else { SegmentClass::Trouble(Trouble::SynChange) }
        };
        if payload != 0 { SegmentClass::Trouble(Trouble::SynData) } else { class }
    }

    fn segment(&mut self, d: usize, sequence: u32, flags: u8, payload: u32) -> SegmentClass {
        let acked = self.directions[1 - d];
        let own = &mut self.directions[d];
        let fin = u32::from(flags & FIN != 0);
        if !own.valid {
            return if payload == 0 { SegmentClass::Empty } else { SegmentClass::Untracked };
        }
        let ahead = distance(sequence, own.next);
        if payload == 0 {
            if ahead == 0 {
                own.next = own.next.wrapping_add(fin);
            }
            return SegmentClass::Empty;
        }
        let end = sequence.wrapping_add(payload);
        let beyond = distance(end, own.next);
        let class = if ahead == 0 {
            SegmentClass::InOrder
        } else if ahead > 0 {
            SegmentClass::Trouble(Trouble::Gap)
        } else if beyond > 0 {
            SegmentClass::Trouble(Trouble::Overlap)
        } else if acked.ack_valid && distance(acked.ack, end) >= 0 {
            SegmentClass::Acked
        } else {
            SegmentClass::Trouble(Trouble::Retransmission)
        };
        if beyond > 0 {
            own.next = end.wrapping_add(fin);
        }
        if flags & RST != 0 {
            return SegmentClass::Trouble(Trouble::RstData);
        }
        if flags & URG != 0 {
            return SegmentClass::Trouble(Trouble::Urgent);
        }
        class
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: usize = 0;
    const S: usize = 1;

    fn established() -> SequenceState {
        let mut s = SequenceState::default();
        assert_eq!(s.update(C, 99, 0, SYN, 0), SegmentClass::Empty);
        assert_eq!(s.update(S, 499, 100, SYN | ACK, 0), SegmentClass::Empty);
        assert_eq!(s.update(C, 100, 500, ACK, 0), SegmentClass::Empty);
        s
    }

    #[test]
    fn in_order_both_ways() {
        let mut s = established();
        assert_eq!(s.update(C, 100, 500, ACK, 10), SegmentClass::InOrder);
        assert_eq!(s.update(S, 500, 110, ACK, 5), SegmentClass::InOrder);
        assert_eq!(s.update(C, 110, 505, ACK | FIN, 1), SegmentClass::InOrder);
        assert_eq!(s.directions[C].next, 112);
    }

    #[test]
    fn every_trouble_has_its_reason() {
        let t = SegmentClass::Trouble;
        let mut s = established();
        assert_eq!(s.update(C, 105, 500, ACK, 5), t(Trouble::Gap));
        assert_eq!(s.update(C, 100, 500, ACK, 5), t(Trouble::Retransmission));
        assert_eq!(s.update(C, 108, 500, ACK, 5), t(Trouble::Overlap));
        assert_eq!(s.update(C, 113, 500, ACK | RST, 5), t(Trouble::RstData));
        assert_eq!(s.update(C, 118, 500, ACK | URG, 5), t(Trouble::Urgent));
        assert_eq!(s.update(C, 7, 0, SYN, 0), t(Trouble::SynChange));
        assert_eq!(s.update(S, 7, 8, SYN | ACK, 3), t(Trouble::SynData));
    }

    #[test]
    fn acknowledged_bytes_are_no_trouble() {
        let mut s = established();
        assert_eq!(s.update(C, 100, 500, ACK, 10), SegmentClass::InOrder);
        assert_eq!(s.update(S, 500, 110, ACK, 0), SegmentClass::Empty);
        assert_eq!(s.update(C, 100, 500, ACK, 10), SegmentClass::Acked);
        assert_eq!(s.update(C, 109, 500, ACK, 1), SegmentClass::Acked, "keep-alive with a byte");
        assert_eq!(s.update(C, 105, 500, ACK, 6), SegmentClass::Trouble(Trouble::Overlap));
    }

    #[test]
    fn data_that_arrives_behind_its_acknowledgement_is_in_order() {
        let mut s = established();
        assert_eq!(s.update(S, 500, 110, ACK, 0), SegmentClass::Empty);
        assert_eq!(s.update(C, 100, 500, ACK, 10), SegmentClass::InOrder);
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut s = SequenceState::default();
        s.update(C, u32::MAX - 3, 0, SYN, 0);
        assert_eq!(s.update(C, u32::MAX - 2, 0, ACK, 8), SegmentClass::InOrder);
        assert_eq!(s.directions[C].next, 5);
        assert_eq!(s.update(C, 5, 0, ACK, 1), SegmentClass::InOrder);
    }

    #[test]
    fn without_syn_there_is_no_stream() {
        let mut s = SequenceState::default();
        assert_eq!(s.update(C, 1, 1, ACK, 5), SegmentClass::Untracked);
        assert_eq!(s.update(S, 1, 1, SYN | ACK, 0), SegmentClass::Empty);
        assert_eq!(s.update(S, 2, 1, ACK, 5), SegmentClass::Untracked);
    }
}
