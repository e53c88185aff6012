//! The last bytes of a direction's stream, folded: windows of the literal filter begin in them.
//!
//! The device keeps them; the host computes the same from the same segments, and so knows when both have the same last
//! bytes.

use crate::constants::TAIL_LENGTH;
use crate::fold::fold;
use crate::sequence::{DirectionState, SegmentClass, Trouble, distance};

/// Bytes, and how many of them are known.
pub type Tail = ([u8; TAIL_LENGTH], u8);

/// Add the end of a payload.
pub fn append(tail: &mut Tail, payload: &[u8]) {
    let (bytes, length) = tail;
    let fresh = payload.get(payload.len().saturating_sub(TAIL_LENGTH)..).unwrap_or(payload);
    let keep = usize::from(*length).min(TAIL_LENGTH - fresh.len());
    let from = usize::from(*length) - keep;
    bytes.copy_within(from..from + keep, 0);
    for (slot, byte) in bytes.iter_mut().skip(keep).zip(fresh) {
        *slot = fold(*byte);
    }
    *length = (keep + fresh.len()) as u8;
}

/// Follow a segment of direction `d` (0 or 1) that the sequence function called `class`; `before` and `after` are the
/// direction's states around it.
pub fn follow(
    tails: &mut [Tail; 2],
    d: usize,
    (before, after): (DirectionState, DirectionState),
    class: SegmentClass,
    sequence: u32,
    payload: &[u8],
) {
    if after.valid && !before.valid {
        tails[d & 1].1 = 0;
    }
    match class {
        SegmentClass::InOrder => append(&mut tails[d & 1], payload),
        SegmentClass::Trouble(Trouble::SynChange) => tails.iter_mut().for_each(|tail| tail.1 = 0),
        SegmentClass::Trouble(_) if before.valid => {
            // Where the next expected byte moved, the tail is what stands before it; over a gap too, for parsers join what stands on
            // either side of bytes that are lost.
            let end = sequence.wrapping_add(payload.len() as u32);
            let fresh = distance(end, before.next);
            if payload.is_empty() || fresh <= 0 {
                return;
            }
            let start = payload.len().saturating_sub(fresh as usize);
            append(&mut tails[d & 1], payload.get(start..).unwrap_or(payload));
        }
        SegmentClass::Trouble(_) | SegmentClass::Empty | SegmentClass::Acked | SegmentClass::Untracked => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::{SYN, SequenceState};

    #[test]
    fn the_bytes_before_the_next_expected_one() {
        let mut state = SequenceState::default();
        let mut tails = [Tail::default(); 2];
        let mut segment = |sequence: u32, flags: u8, payload: &[u8]| {
            let before = state.directions[0];
            let class = state.update(0, sequence, 0, flags, payload.len() as u32);
            follow(&mut tails, 0, (before, state.directions[0]), class, sequence, payload);
            tails[0].0[..usize::from(tails[0].1)].to_vec()
        };
        assert_eq!(segment(9, SYN, b""), b"");
        assert_eq!(segment(10, 0, b"ABC"), b"abc");
        assert_eq!(segment(13, 0, b"defghi"), b"cdefghi");
        // A gap: what lies before it stands before the next byte, if nothing fills it.
        assert_eq!(segment(22, 0, b"Xyz"), b"fghixyz");
        // What fills it changes nothing.
        assert_eq!(segment(19, 0, b"jkl"), b"fghixyz");
        // An overlap: the new part only.
        assert_eq!(segment(23, 0, b"..12"), b"hixyz12");
    }
}
