//! Windows over the joints of header lines and request targets: where the engine puts or takes away white space.
//!
//! Requests only, for in bodies of responses the guards would be dear; but for spaces within values ([`space_of_value`]). What the parser does (RFC 9112 section 5): a name ends at
//! the line's first colon, without white space before it; the value follows, without white space at either end; the rebuilt
//! line is `Name: value` CR LF. So on the wire:
//!
//! - before a value's first byte stands the colon or white space, whatever the name ([`BEFORE`]);
//! - behind its last byte stands the line's end; white space before that, and a line end without CR, are guards;
//! - behind a name's last byte stands the colon or white space: [`odd_joints`] lists what is not `: ` and another byte.
//!
//! A `: ` or line end of a content may also lie within a value or a request line: then it stands on the wire as it is, and is
//! among the forms. A repeated field is joined to the first one with `, `: no window holds a comma.

use super::class::{Fragment, LENGTHS, usable};
use super::payload::periodic;
use weir_contract::guards::Guard;

/// White space as the parser takes it.
const WHITE: [u8; 6] = [b' ', b'\t', b'\r', b'\n', 0x0b, 0x0c];
/// What can stand before the first byte of a value.
const BEFORE: [u8; 7] = [b':', b' ', b'\t', b'\r', b'\n', 0x0b, 0x0c];
/// What can stand behind the last byte of a host name: the end of the field or of the target, a port, what follows the
/// authority of a target; a dot or an escape of one is taken away.
const BEHIND_HOST: [u8; 13] = [b':', b'/', b'?', b'#', b'\\', b'.', b'%', b' ', b'\t', b'\r', b'\n', 0x0b, 0x0c];

/// Windows of which one must occur, and the guards they need.
pub type Forms = (Vec<Fragment>, Vec<Guard>);

/// A part of a rebuilt head that no joined field can have torn apart.
fn whole(bytes: &[u8]) -> bool {
    !bytes.iter().any(|b| matches!(b, b',' | b'\r' | b'\n' | b'\t' | 0x0b | 0x0c))
}

fn fold_guard(bytes: &[u8]) -> impl Iterator<Item = Guard> {
    bytes.contains(&b' ').then_some(Guard::HeaderFold).into_iter()
}

/// Windows of a content of a request's rebuilt head (or of one of its lines) that lie at joints.
pub fn of_head(content: &[u8], exact: bool) -> Vec<Forms> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < content.len() {
        let rest = content.get(start..).unwrap_or_default();
        let end = rest.windows(2).position(|w| w == b"\r\n");
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let colon = line.windows(2).position(|w| w == b": ");
        if let Some(colon) = colon {
            let (name, value) = (line.get(..colon).unwrap_or_default(), line.get(colon + 2..).unwrap_or_default());
            out.extend(value_start(value, end.is_some(), exact));
            out.extend(name_end(name, value, end.is_some(), exact));
        }
        // Without a colon the line's beginning is cut off, or it is the request line: it ends alike.
        let value = colon.map_or(line, |colon| line.get(colon + 2..).unwrap_or_default());
        if end.is_some() && !(start > 0 && colon.is_none()) {
            out.extend(value_end(value, exact));
        }
        let Some(end) = end else { break };
        start += end + 2;
    }
    out
}

fn fragments(windows: impl Iterator<Item = Vec<u8>>, exact: impl Fn(usize) -> bool) -> Option<Vec<Fragment>> {
    windows.map(|w| Fragment::masked(&w, &exact).filter(|f| f.length() == w.len() && !periodic(&w))).collect()
}

/// The beginning of a value, behind whatever stands there; a short value with its end.
fn value_start(value: &[u8], ends: bool, exact: bool) -> Option<Forms> {
    let mut text = value.to_vec();
    let own = text.len();
    if ends {
        text.extend_from_slice(b"\r\n");
    }
    let length = usable(text.len() + 1);
    let text = text.get(..length.checked_sub(1)?)?;
    let inner = text.get(..own.min(text.len()))?;
    if inner.is_empty() || !whole(inner) || inner.first() == Some(&b' ') {
        return None;
    }
    let mut guards: Vec<Guard> = fold_guard(inner).collect();
    if text.len() > inner.len() {
        guards.extend([Guard::HeaderSpaceOdd, Guard::LineEndOdd]);
    }
    let windows = BEFORE.iter().map(|before| [&[*before], text].concat());
    Some((fragments(windows, |i| exact && (1..=inner.len()).contains(&i))?, guards))
}

/// The end of a value, and of its line.
fn value_end(value: &[u8], exact: bool) -> Option<Forms> {
    LENGTHS.into_iter().rev().find_map(|length| {
        let at = value.len().checked_sub(length.checked_sub(2)?)?;
        let inner = value.get(at..)?;
        if !whole(inner) || inner.last() == Some(&b' ') {
            return None;
        }
        let mut guards = vec![Guard::HeaderSpaceOdd, Guard::LineEndOdd];
        guards.extend(fold_guard(inner));
        let window = [inner, b"\r\n"].concat();
        Some((fragments(std::iter::once(window), |i| exact && i < inner.len())?, guards))
    })
}

/// The end of a name with the beginning of its value.
fn name_end(name: &[u8], value: &[u8], ends: bool, exact: bool) -> Option<Forms> {
    let tail = name.get(name.len().checked_sub(2)?..)?;
    if !whole(tail) || tail.contains(&b' ') || tail.contains(&b':') {
        return None;
    }
    if value.is_empty() && ends {
        // Nothing but white space behind the colon: all but the first of these forms are guards as well.
        let windows = [&b":\r\n"[..], b":\n"].map(|end| [tail, end].concat());
        let [first, second] = windows;
        let forms = fragments([first, second].into_iter(), |i| exact && i < 2)?;
        return Some((forms, vec![Guard::HeaderSpaceOdd, Guard::LineEndOdd]));
    }
    let first = *value.first().filter(|b| whole(&[**b]) && **b != b' ')?;
    let normal = |before: &[u8]| [before, b": ", &[first]].concat();
    let name: Vec<u8> = name.iter().rev().take(5).rev().copied().collect();
    let usual = if name.len() == 5 && whole(&name) && !name.contains(&b' ') { normal(&name) } else { normal(tail) };
    let own = usual.len();
    let usual = Fragment::masked(&usual, |i| exact && (i < own - 3 || i == own - 1)).filter(|f| f.length() == own)?;
    let mut forms = vec![usual];
    forms.extend(fragments(odd_joints(tail, first), |i| exact && i < 2)?);
    Some((forms, Vec::new()))
}

/// How a name that ends with `tail` and a value that begins with `first` can stand next to one another otherwise than with
/// `: ` between them, as far as needed to tell.
fn odd_joints(tail: &[u8], first: u8) -> impl Iterator<Item = Vec<u8>> {
    let mut ends: Vec<Vec<u8>> = vec![vec![b':', first]];
    for white in WHITE {
        if white != b' ' {
            ends.push(vec![b':', white]);
        }
        ends.push(vec![b':', b' ', white]);
        ends.push(vec![white, b':']);
        ends.extend(WHITE.iter().map(|other| vec![white, *other]));
    }
    let tail = tail.to_vec();
    ends.into_iter().map(move |end| [tail.as_slice(), &end].concat())
}

/// Bytes of a value before a space in it, with what can stand behind them on the wire: the space, other white space where the engine
/// joins a folded line, or that line's end. Windows of four bytes and one, or seven and one, each for one space.
pub fn space_of_value(content: &[u8], exact: bool) -> Vec<Vec<Fragment>> {
    let spaces = content.iter().enumerate().filter(|(_, b)| **b == b' ').map(|(at, _)| at);
    let ends = spaces.flat_map(|at| LENGTHS.map(|length| (at, length - 1)));
    let before = ends.filter_map(|(at, length)| content.get(at.checked_sub(length)?..at));
    let certain = before.filter(|part| whole(part) && !part.contains(&b' ') && !part.contains(&b':'));
    certain
        .filter_map(|part| {
            let windows = WHITE.iter().map(|white| [part, &[*white]].concat());
            fragments(windows, |i| exact && i < part.len())
        })
        .collect()
}

/// The end of a host name.
pub fn host_end(content: &[u8]) -> Option<Vec<Fragment>> {
    let (three, white) = (content.get(content.len().checked_sub(3)?..)?, |b: u8| b.is_ascii_whitespace());
    if !whole(three) || three.iter().any(|b| white(*b) || matches!(b, b':' | b'[' | b']')) {
        return None;
    }
    fragments(BEHIND_HOST.iter().map(|behind| [three, &[*behind]].concat()), |_| false)
}

/// The end of a request target: white space.
pub fn target_end(content: &[u8], exact: bool) -> Option<Vec<Fragment>> {
    let three = content.get(content.len().checked_sub(3)?..)?;
    fragments(WHITE.iter().map(|behind| [three, &[*behind]].concat()), |i| exact && i < 3)
}

/// A space within a request target is an escape behind the byte before it (plain or escaped), or it is there, and its
/// neighbours beside it: four bytes that hold it, of which the others must not be escaped, and these others.
pub fn space_of_target(content: &[u8], exact: bool) -> Option<(Vec<Fragment>, Vec<u8>)> {
    let at = content.iter().position(|b| *b == b' ').filter(|at| *at > 0)?;
    let certain = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'/' | b'\\' | b'.' | b'%' | b'#' | b'?');
    let before = *content.get(at - 1).filter(|b| certain(b))?;
    let (own, plain_space) = [2, 1, 3].into_iter().find_map(|behind| {
        let start = at.checked_sub(behind)?;
        let own = content.get(start..start + 4)?;
        let others = own.iter().enumerate().filter(|(n, _)| *n != behind).all(|(_, b)| certain(b));
        others.then(|| Some((own, Fragment::masked(own, |i| exact && i != behind)?))).flatten()
    })?;
    let plain = Fragment::masked(&[before, b'%', b'2', b'0'], |i| exact && i == 0)?;
    let mut forms = vec![plain];
    // Either case of a letter is as good: the rule may compare without it.
    for byte in [before.to_ascii_lowercase(), before.to_ascii_uppercase()] {
        let hex = format!("{byte:02x}%20");
        forms.extend(Fragment::new(hex.as_bytes(), false));
    }
    forms.dedup();
    forms.push(plain_space);
    Some((forms, own.iter().copied().filter(|b| *b != b' ').collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(forms: &[Forms], wire: &[u8]) -> bool {
        forms.iter().all(|(windows, _)| (0..wire.len()).any(|at| windows.iter().any(|w| w.matches(&wire[at..]))))
    }

    #[test]
    fn lines_of_a_head() {
        let forms = of_head(b"User-Agent: hi\r\n", true);
        assert_eq!(forms.len(), 3);
        assert!(hits(&forms, b"GET / HTTP/1.1\r\nUser-Agent: hi\r\nHost: h\r\n\r\n"));
        for wire in [
            &b"\r\nUser-Agent:hi\r\n"[..],
            b"\r\nUser-Agent:\thi\r\n",
            b"\r\nUser-Agent:\r\n hi\r\n",
            b"\r\nUser-Agent \t: hi\r\n",
        ] {
            assert!(hits(&forms, wire), "{}", wire.escape_ascii());
        }
        assert!(!hits(&forms, b"User-Agent: hill\r\n"));
        assert!(of_head(b"a,b\r\n", true).is_empty(), "a comma may be a joint");
        assert_eq!(of_head(b"XTC\r\n", true).len(), 1);
    }

    #[test]
    fn empty_values() {
        let forms = of_head(b"Accept-Encoding: \r\n", true);
        assert!(forms.iter().any(|(windows, guards)| {
            guards.contains(&Guard::HeaderSpaceOdd) && windows.iter().any(|w| w.matches(b"ng:\r\n"))
        }));
    }

    #[test]
    fn spaces_of_values() {
        let forms = space_of_value(b"Server: Microsoft -IIS", true);
        assert_eq!(forms.iter().map(|f| f[0].length()).collect::<Vec<_>>(), [4, 5, 8]);
        for wire in [&b"Microsoft -IIS"[..], b"Microsoft\t-IIS", b"Microsoft\r\n -IIS", b"Microsoft \r\n\t-IIS"] {
            assert!(forms.iter().all(|f| (0..wire.len()).any(|at| f.iter().any(|w| w.matches(&wire[at..])))));
        }
        assert!(!forms.iter().flatten().any(|w| (0..13).any(|at| w.matches(&b"Microsoft-IIS"[at..]))));
        assert!(space_of_value(b"a, bc d", true).is_empty());
    }

    #[test]
    fn ends() {
        assert!(host_end(b".tw").unwrap().iter().any(|w| w.matches(b".TW:80")));
        assert!(host_end(b"a]").is_none());
        assert!(target_end(b".so", true).unwrap().iter().any(|w| w.matches(b".so HTTP")));
        let (spaces, beside) = space_of_target(b"() {", true).unwrap();
        for wire in [&b")%20{"[..], b"29%20{", b"() {"] {
            assert!(spaces.iter().any(|w| w.matches(wire)));
        }
        assert_eq!(beside, b"(){");
        assert!(space_of_target(b"a b", true).is_none(), "too short to be told by what stands beside the space");
        assert!(space_of_target(b"/ x", true).is_none() && space_of_target(b" x", true).is_none());
    }
}
