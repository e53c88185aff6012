//! What the beginning of an expression says about the first byte of a payload.
//!
//! Only the plainest case is read: a non-relative, non-negated expression on the packet's payload, anchored at its start
//! (`^` without `m`, or the flag `A`), whose first atom is a literal byte or a class, repeated at least once, with no
//! alternation at the top level. Everything else says nothing.

use weir_ir::{Buffer, BufferMatch, Match, Pcre};

/// Most (value, mask) pairs a set of bytes may need.
const PAIRS_MAX: usize = 6;

/// Pairs of value and mask, one of which the first payload byte satisfies; empty: nothing is known.
pub fn first_byte(run: &BufferMatch) -> Vec<(u8, u8)> {
    if run.buffer != Buffer::Payload || run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return Vec::new();
    }
    run.matches
        .iter()
        .filter_map(|m| match m {
            Match::Pcre(p) => set_of(p),
            _ => None,
        })
        .map(|set| cover(&set))
        .filter(|pairs| !pairs.is_empty() && pairs.len() <= PAIRS_MAX)
        .min_by_key(Vec::len)
        .unwrap_or_default()
}

type Set = [bool; 256];

fn set_of(p: &Pcre) -> Option<Set> {
    if p.negated || p.relative || p.multiline || p.extended {
        return None;
    }
    let text = p.pattern.as_bytes();
    let rest = match text.strip_prefix(b"^") {
        Some(rest) => rest,
        None if p.anchored => text,
        None => return None,
    };
    if has_alternation(rest) {
        return None;
    }
    let (mut set, rest) = atom(rest)?;
    match rest.first() {
        Some(b'?' | b'*') => return None,
        Some(b'{') if !matches!(rest.get(1), Some(b'1'..=b'9')) => return None,
        _ => {}
    }
    if p.caseless {
        for b in b'a'..=b'z' {
            let upper = b.to_ascii_uppercase();
            let either = set[usize::from(b)] || set[usize::from(upper)];
            set[usize::from(b)] = either;
            set[usize::from(upper)] = either;
        }
    }
    Some(set)
}

/// A `|` outside of groups and classes.
fn has_alternation(text: &[u8]) -> bool {
    let (mut depth, mut class, mut escaped) = (0i32, false, false);
    for &b in text {
        if escaped {
            escaped = false;
            continue;
        }
        match b {
            b'\\' => escaped = true,
            b'[' if !class => class = true,
            b']' if class => class = false,
            b'(' if !class => depth += 1,
            b')' if !class => depth -= 1,
            b'|' if !class && depth <= 0 => return true,
            _ => {}
        }
    }
    false
}

/// First atom: a byte or a class; and what follows it.
fn atom(text: &[u8]) -> Option<(Set, &[u8])> {
    let mut set = [false; 256];
    match *text.first()? {
        b'[' => {
            let mut rest = text.get(1..)?;
            if rest.first() == Some(&b'^') {
                return None;
            }
            loop {
                if rest.first() == Some(&b']') {
                    return Some((set, rest.get(1..)?));
                }
                if rest.first() == Some(&b'[') {
                    return None;
                }
                let (low, after) = byte(rest)?;
                rest = after;
                if rest.first() == Some(&b'-') && rest.get(1) != Some(&b']') {
                    let (high, after) = byte(rest.get(1..)?)?;
                    rest = after;
                    if high < low {
                        return None;
                    }
                    set.get_mut(usize::from(low)..=usize::from(high))?.fill(true);
                } else {
                    set[usize::from(low)] = true;
                }
            }
        }
        b'.' | b'(' | b')' | b'*' | b'+' | b'?' | b'{' | b'$' | b'^' | b'|' => None,
        _ => {
            let (b, rest) = byte(text)?;
            set[usize::from(b)] = true;
            Some((set, rest))
        }
    }
}

/// One byte, plain or escaped; escapes that stand for anything but one byte are not read.
fn byte(text: &[u8]) -> Option<(u8, &[u8])> {
    match *text.first()? {
        b'\\' => match *text.get(1)? {
            b'x' => {
                let digits = std::str::from_utf8(text.get(2..4)?).ok()?;
                Some((u8::from_str_radix(digits, 16).ok()?, text.get(4..)?))
            }
            b'n' => Some((b'\n', text.get(2..)?)),
            b'r' => Some((b'\r', text.get(2..)?)),
            b't' => Some((b'\t', text.get(2..)?)),
            b if b.is_ascii_alphanumeric() => None,
            b => Some((b, text.get(2..)?)),
        },
        b if b.is_ascii() => Some((b, text.get(1..)?)),
        _ => None,
    }
}

/// A set as value/mask pairs: aligned blocks of a power of two, largest first.
fn cover(set: &Set) -> Vec<(u8, u8)> {
    let mut out = Vec::new();
    let mut at = 0usize;
    while at < 256 {
        if !set.get(at).copied().unwrap_or(false) {
            at += 1;
            continue;
        }
        let mut size = 1usize;
        while at % (size * 2) == 0 && size < 256 && wide_enough(set, at, size * 2) {
            size *= 2;
        }
        out.push((at as u8, !((size - 1) as u8)));
        at += size;
    }
    out
}

/// All but an eighth of the block belongs to the set: rounding up is allowed (a superset), and saves records.
fn wide_enough(set: &Set, at: usize, size: usize) -> bool {
    let inside = set.iter().skip(at).take(size).filter(|b| **b).count();
    inside * 8 >= size * 7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcre(pattern: &str) -> Pcre {
        Pcre {
            pattern: pattern.into(),
            negated: false,
            caseless: false,
            multiline: false,
            dotall: true,
            extended: false,
            anchored: false,
            dollar_endonly: false,
            ungreedy: false,
            relative: false,
            no_limit: false,
            captures: Vec::new(),
        }
    }

    #[test]
    fn first_bytes() {
        let set = |p: &str| set_of(&pcre(p)).map(|s| s.iter().enumerate().filter(|(_, b)| **b).map(|(i, _)| i as u8).collect::<Vec<_>>());
        assert_eq!(set(r"^\x20\x21"), Some(vec![0x20]));
        assert_eq!(set(r"^[\x41-\x43z]+?.{8}"), Some(vec![0x41, 0x42, 0x43, b'z']));
        assert_eq!(set(r"^a?b"), None);
        assert_eq!(set(r"^(a|b)"), None);
        assert_eq!(set(r"^a|b"), None);
        assert_eq!(set("a"), None);
        assert_eq!(set(r"^\d"), None);
        let pairs = cover(&set_of(&pcre(r"^[\x20-\x7e]")).unwrap());
        assert!(pairs.len() <= 2);
        for b in 0x20..=0x7eu8 {
            assert!(pairs.iter().any(|(v, m)| b & m == *v), "{b}");
        }
        assert!(!pairs.iter().any(|(v, m)| 0x16 & m == *v));
    }
}
