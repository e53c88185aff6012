//! `asn1`: tests of values in BER (X.690) that decoders have stumbled over.
//!
//! Which values are looked at follows what Suricata 8.0.8 was seen to do: one value after the other from the given place on,
//! those of universal sequences and sets included; what cannot be read ends the walk, and a value that holds something
//! unreadable is not looked at.

use weir_ir::condition::Asn1;

/// Values in values that are followed. Deeper ones cannot be read.
const DEPTH: usize = 256;
/// Longest content of a number that fits none.
const DOUBLE_MAX: usize = 256;

const BIT_STRING: u8 = 0x03;
const REAL: u8 = 0x09;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;

/// A value passes the test: where it ends. `position` is the end of the last match, from which a relative place counts.
pub(crate) fn holds(test: &Asn1, bytes: &[u8], position: usize) -> Option<usize> {
    let (base, offset) = match (test.absolute_offset, test.relative_offset) {
        (Some(offset), _) => (0, offset),
        (None, Some(offset)) => (position, offset),
        (None, None) => (0, 0),
    };
    let from = i64::try_from(base).ok()?.checked_add(i64::from(offset))?;
    find(test, bytes, usize::try_from(from).ok()?)
}

/// A value of the bytes from `from` on passes the test: where it ends.
fn find(test: &Asn1, bytes: &[u8], from: usize) -> Option<usize> {
    let mut rest = bytes.get(from..)?;
    while !rest.is_empty() {
        let before = rest;
        let passes = value(test, &mut rest, 0)?;
        if passes {
            return Some(bytes.len() - rest.len());
        }
        debug_assert!(rest.len() < before.len());
    }
    None
}

/// The value at the beginning of `input`, which then stands behind it: does it pass, or one within? None: it cannot be read.
fn value(test: &Asn1, input: &mut &[u8], depth: usize) -> Option<bool> {
    if depth > DEPTH {
        return None;
    }
    let (&first, mut rest) = input.split_first()?;
    if first & 0x1f == 0x1f {
        // The long form of the number: seven bits an octet (section 8.1.2.4).
        let octets = rest.iter().take(4).position(|octet| octet & 0x80 == 0)? + 1;
        rest = rest.get(octets..)?;
    }
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (Some(usize::from(length)), rest),
        // The indefinite form, of constructed values (section 8.1.3.6).
        0x80 if first & 0x20 != 0 => (None, rest),
        0x81..=0x88 => {
            let octets = usize::from(length & 0x7f);
            let number = rest.get(..octets)?.iter().fold(0u64, |n, octet| n << 8 | u64::from(*octet));
            (Some(usize::try_from(number).ok()?), rest.get(octets..)?)
        }
        _ => return None,
    };
    let oversize = |length: usize| test.oversize_length.is_some_and(|most| length as u64 > u64::from(most));
    let holds_values = first == SEQUENCE || first == SET;
    let Some(length) = length else {
        let (mut inner, mut passes) = (rest, false);
        loop {
            if let Some(behind) = inner.strip_prefix(&[0, 0]) {
                *input = behind;
                return Some(passes && holds_values);
            }
            passes |= value(test, &mut inner, depth + 1)?;
        }
    };
    let content = rest.get(..length)?;
    *input = rest.get(length..)?;
    let mut passes = oversize(length);
    match first {
        SEQUENCE | SET => {
            let mut inner = content;
            while !inner.is_empty() {
                passes |= value(test, &mut inner, depth + 1)?;
            }
        }
        BIT_STRING => {
            // The first octet says how many of the last bits do not count (section 8.6.2).
            let unused = usize::from(*content.first()?);
            passes |= test.bitstring_overflow && unused > length * 8;
        }
        REAL => {
            // A number in decimal characters (section 8.5.8).
            let decimal = content.first().is_some_and(|first| first & 0xc0 == 0);
            passes |= test.double_overflow && decimal && length > DOUBLE_MAX;
        }
        _ if !is_readable(first, content) => return None,
        _ => {}
    }
    Some(passes)
}

/// The content is what its type allows (sections 8.2, 8.3, 8.23, X.680 section 41).
fn is_readable(tag: u8, content: &[u8]) -> bool {
    match tag {
        // Boolean, integer, enumerated.
        0x01 => content.len() == 1,
        0x02 => !content.is_empty(),
        0x0a => (1..=8).contains(&content.len()),
        // UTF8String.
        0x0c => std::str::from_utf8(content).is_ok(),
        // NumericString, PrintableString.
        0x12 => content.iter().all(|b| b.is_ascii_digit() || *b == b' '),
        0x13 => content.iter().all(|b| b.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(b)),
        // Other strings of one octet a character, and times.
        0x07 | 0x14..=0x19 | 0x1a | 0x1b => content.is_ascii(),
        // BMPString.
        0x1e => content.len() % 2 == 0,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(tag: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match content.len() {
            n @ 0..=0x7f => out.push(n as u8),
            n => out.extend([0x82, (n >> 8) as u8, n as u8]),
        }
        out.extend(content);
        out
    }

    fn over(bytes: &[u8]) -> bool {
        find(&Asn1 { oversize_length: Some(10), ..Asn1::default() }, bytes, 0).is_some()
    }

    fn bits(bytes: &[u8]) -> bool {
        find(&Asn1 { bitstring_overflow: true, ..Asn1::default() }, bytes, 0).is_some()
    }

    fn double(bytes: &[u8]) -> bool {
        find(&Asn1 { double_overflow: true, ..Asn1::default() }, bytes, 0).is_some()
    }

    /// Each line was asked of Suricata 8.0.8.
    #[test]
    fn values_as_suricata_sees_them() {
        let x = [b'x'; 11];
        assert!(over(&of(4, &x)) && !over(&of(4, &x[..10])) && !over(b"\x04\x0bxxxxx") && !over(b"\x04\x82\xff\xffxxxxx"));
        assert!(over(&of(0x30, &of(4, &x))) && !over(&of(0x30, &of(4, &x[..8]))) && !over(&of(0x30, b"\x04\x0bxxx")));
        assert!(over(&[b"\x30\x80".as_slice(), &of(4, &x), b"\0\0"].concat()));
        assert!(!over(&[b"\x30\x80".as_slice(), &of(4, &x)].concat()) && !over(&[b"\xa0\x80".as_slice(), &of(4, &x), b"\0\0"].concat()));
        assert!(over(&[of(4, b"x"), of(4, &x)].concat()) && over(&[b"\0\0".as_slice(), &of(4, &x)].concat()));
        assert!(over(&of(0xa0, &of(4, &x))) && over(&of(0x41, &x)) && over(&[b"\x1f\x1f\x0b".as_slice(), &x].concat()));
        assert!(over(&[b"\x04\x84\0\0\0\x0b".as_slice(), &x].concat()) && !over(&[b"\x04\x85\xff\xff\xff\xff\xff".as_slice(), &x].concat()));
        for (tag, seen) in [(6, true), (1, false), (5, true), (2, true), (0x0a, false), (0x28, true), (0x1c, true), (0x1e, false)] {
            assert_eq!(over(&of(tag, &x)), seen, "{tag:#x}");
        }
        for tag in [0x07, 0x0c, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b] {
            assert!(!over(&of(tag, &[0xff; 11])), "{tag:#x}");
        }
        assert!(over(&of(0x18, b"20260101000000Z")));
    }

    #[test]
    fn bit_strings_and_doubles() {
        for (unused, seen) in [(0, false), (8, false), (16, false), (17, true), (255, true)] {
            assert_eq!(bits(&of(3, &[unused, 0])), seen, "{unused}");
        }
        assert!(bits(&of(3, &[9])) && !bits(&of(3, &[8])) && !bits(&of(3, b"")));
        let bad = of(3, b"\xff\0");
        assert!(bits(&of(0x30, &bad)) && bits(&of(0x31, &bad)) && !bits(&of(0xa0, &bad)) && !bits(&of(0x24, &bad)));
        assert!(bits(&[bad.as_slice(), b"\x04\x0bxxx"].concat()) && !bits(&of(0x30, &[bad.as_slice(), b"\x04\x0bxxx"].concat())));
        assert!(!bits(&of(0x30, &[of(1, b"xx"), bad.clone()].concat())) && !bits(&of(4, &bad)));
        assert!(bits(&(0..100).fold(bad.clone(), |inner, _| of(0x30, &inner))));
        assert!(!bits(&(0..1000).fold(bad, |inner, _| of(0x30, &inner))), "the depth is bounded");
        for (first, length, seen) in [(0, 256, false), (0, 257, true), (0x3f, 257, true), (0x40, 257, false), (0x80, 300, false)] {
            assert_eq!(double(&of(9, &[vec![first], vec![b'1'; length - 1]].concat())), seen, "{first:#x} {length}");
        }
    }
}
