//! Names in DNS questions (RFC 1035 section 3.1): labels behind their lengths, a zero byte at the end.
//!
//! A dot of a content is the length of the label behind it, or a dot within a label. The length is known where the label's
//! end is: at a later dot of the content, or at its end if that ends the name.

use crate::aspect::{Also, Aspect, Witness, neighbours};
use crate::need::{Frame, TCP, UDP, bit, dotted, needs, sides_of};
use crate::place::{Cell, contents};
use crate::prove::{Tables, Unit, Window};
use weir_contract::guards::Guard;
use weir_contract::protocol::AppProtocol as P;
use weir_ir::{Buffer, BufferMatch, Comparison, Match, Rule};

/// Most byte strings that one window may stand for.
const FORMS_MAX: usize = 64;

/// What can stand at one place; empty: not known.
type Place = Vec<u8>;

/// A content on the wire. `begins` and `ends`: it begins and ends the name.
fn wire(text: &[u8], begins: bool, ends: bool) -> Vec<Place> {
    // Lengths of a label that begins at `from`: it ends at one of the dots behind, or with the text.
    let lengths = |from: usize| -> Place {
        if !ends {
            return Vec::new();
        }
        let dots = text.iter().enumerate().skip(from).filter(|(_, b)| **b == b'.').map(|(at, _)| at);
        dots.chain([text.len()]).map(|end| end - from).filter(|n| (1..=63).contains(n)).map(|n| n as u8).collect()
    };
    let mut out = Vec::new();
    if begins && text.first() != Some(&b'.') {
        out.push(lengths(0));
    }
    for (at, &byte) in text.iter().enumerate() {
        if byte != b'.' {
            out.push(vec![byte]);
            continue;
        }
        let mut options = lengths(at + 1);
        if ends {
            options.push(b'.');
        }
        out.push(options);
    }
    if ends {
        out.push(vec![0]);
    }
    out
}

fn forms(window: &[Place]) -> Vec<Vec<Cell>> {
    let count = window.iter().try_fold(1usize, |n, place| n.checked_mul(place.len()));
    if !count.is_some_and(|n| (1..=FORMS_MAX).contains(&n)) {
        return Vec::new();
    }
    let mut out: Vec<Vec<Cell>> = vec![Vec::new()];
    for place in window {
        out = out
            .iter()
            .flat_map(|form| place.iter().map(move |&byte| [form.as_slice(), &[Cell { byte, exact: false }]].concat()))
            .collect();
    }
    out
}

/// Questions' names.
pub fn is_name(buffer: Buffer) -> bool {
    matches!(buffer, Buffer::DnsQuery | Buffer::DnsQueryName | Buffer::MdnsQueryName)
}

/// The aspect "this name is asked for".
pub fn aspect(rule: &Rule, run: &BufferMatch, tables: &mut Tables<'_>, deep: bool) -> Option<Aspect> {
    let dotted = dotted(run)?;
    let directions = sides_of(rule, run.buffer);
    let mut aspect = Aspect { what: run.buffer.name().to_owned(), ..Aspect::default() };
    let mut guards = 0;
    for mut need in needs(rule, tables.bits, &mut tables.lists, Frame::Carrying, directions) {
        need = crate::message(need);
        match need.transport {
            UDP => {
                // A header comes before the question (RFC 1035 section 4.1.1).
                need.payload.0 = 12;
                guards = Guard::DnsPointerQuestion.bit() | Guard::DnsOdd.bit();
                aspect.needs.push((need, Unit::Message));
            }
            TCP => {
                // Facts of messages are not seen over the joints of segments: frames it is.
                need.payload.0 = 1;
                aspect.also.push(Also::Frames(need));
                let http2 =
                    crate::need::Need { classes: need.classes & bit(P::Http2), directions: crate::need::BOTH, ..need };
                aspect.also.push(Also::Frames(http2));
            }
            _ => {}
        }
    }
    if aspect.needs.is_empty() {
        // Only streams: nothing but frames is offered.
        for also in std::mem::take(&mut aspect.also) {
            if let Also::Frames(need) = also {
                aspect.needs.push((need, Unit::Message));
            }
        }
    }
    let size = run.matches.iter().find_map(|m| match m {
        Match::Size(Comparison::Equal(n)) => usize::try_from(*n).ok(),
        _ => None,
    });
    for p in contents(&run.matches) {
        let text = &p.content.bytes;
        let whole = size == Some(text.len());
        let ends = whole || p.content.anchor.end;
        // With the dot that the transform puts before the name, the content's own first byte is that dot.
        let begins = !dotted && (whole || p.at_start());
        let places = wire(text, begins, ends);
        for length in 4..=8 {
            for window in places.windows(length) {
                let windows: Vec<Window> = forms(window).iter().filter_map(|cells| Window::new(cells, None)).collect();
                if !windows.is_empty() {
                    aspect.witnesses.push(Witness { windows, guards, ..Witness::default() });
                }
            }
        }
        for three in p.strip(true).cells.windows(3).filter(|w| deep && w.iter().all(|c| c.byte != b'.')) {
            aspect.witnesses.push(Witness { windows: neighbours(three, false, None), guards, ..Witness::default() });
        }
    }
    Some(aspect)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_lengths_or_dots() {
        let w = wire(b".evil.com", false, true);
        assert_eq!(w[0], [4, 8, b'.']);
        assert_eq!(w[5], [3, b'.']);
        assert_eq!(w[9], [0]);
        assert_eq!(wire(b"evil.com", true, true)[0], [4, 8]);
        assert!(wire(b"evil.com", false, false)[4].is_empty());
    }
}
