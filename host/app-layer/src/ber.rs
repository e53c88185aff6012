//! Values in BER (X.690), of definite length.

/// A value: identifier octet and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'a> {
    /// Class, form and number (below 31).
    pub tag: u8,
    pub content: &'a [u8],
}

/// Universal tags.
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const OCTETS: u8 = 0x04;
pub(crate) const SEQUENCE: u8 = 0x30;

/// The value at the beginning of `input`, which then stands behind it.
pub(crate) fn next<'a>(input: &mut &'a [u8]) -> Option<Value<'a>> {
    let (&first, rest) = input.split_first()?;
    // The long form (section 8.1.2.4), here of numbers that the short one could have said.
    let (tag, rest) = match (first & 0x1f, rest.split_first()) {
        (0x1f, Some((&number @ 0..0x1f, rest))) => (first & 0xe0 | number, rest),
        (0x1f, _) => return None,
        _ => (first, rest),
    };
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let octets = usize::from(first & 0x7f);
            let length = rest.get(..octets)?.iter().fold(0usize, |n, b| n << 8 | usize::from(*b));
            (length, rest.get(octets..)?)
        }
        _ => return None,
    };
    let content = rest.get(..length)?;
    *input = rest.get(length..)?;
    Some(Value { tag, content })
}

/// The content of the next value, if it has this tag.
pub(crate) fn expect<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let mut ahead = *input;
    let value = next(&mut ahead).filter(|v| v.tag == tag)?;
    *input = ahead;
    Some(value.content)
}

/// A non-negative integer of at most eight octets.
pub(crate) fn unsigned(content: &[u8]) -> Option<u64> {
    let content = content.strip_prefix(&[0]).unwrap_or(content);
    (content.len() <= 8).then(|| content.iter().fold(0, |n, b| n << 8 | u64::from(*b)))
}

/// A signed integer of at most eight octets.
pub(crate) fn signed(content: &[u8]) -> Option<i64> {
    let first = *content.first()?;
    let start = if first & 0x80 != 0 { -1i64 } else { 0 };
    (content.len() <= 8).then(|| content.iter().fold(start, |n, b| n << 8 | i64::from(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let mut input = &b"\x02\x01\x05\x30\x81\x02ab\x04\x05x"[..];
        assert_eq!(expect(&mut input, INTEGER), Some(&[5][..]));
        assert_eq!(next(&mut input), Some(Value { tag: SEQUENCE, content: b"ab" }));
        assert_eq!(next(&mut input), None);
        assert_eq!(next(&mut &b"\xbf\x04\x01a"[..]), Some(Value { tag: 0xa4, content: b"a" }));
        assert_eq!((next(&mut &b"\xbf\x81\x04\x01a"[..]), next(&mut &b"\xbf"[..])), (None, None));
        assert_eq!(next(&mut &b"\x30\x80ab"[..]), None);
        assert_eq!(next(&mut &b"\x30\x84\xff\xff\xff\xff"[..]), None);
        assert_eq!((unsigned(&[0, 0xff]), signed(&[0xff]), signed(&[0x7f])), (Some(255), Some(-1), Some(127)));
        assert_eq!((unsigned(&[1; 9]), signed(&[])), (None, None));
    }
}
