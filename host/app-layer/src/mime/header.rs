//! Header fields and their parameters (RFC 5322 section 2.2, RFC 2045 section 5).

use memchr::memchr;

/// A header field, unfolded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Field {
    /// Name as written.
    pub name: Vec<u8>,
    /// Value without the white space around it.
    pub value: Vec<u8>,
}

impl Field {
    /// The field has this name, in any case.
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// Name and value of a line; none if it has no colon, or no name before it.
pub(super) fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr(b':', line)?;
    let name = line.get(..colon)?.trim_ascii_end();
    (!name.is_empty()).then(|| (name, line.get(colon + 1..).unwrap_or(&[]).trim_ascii_start()))
}

/// The value before its parameters.
pub(super) fn token(value: &[u8]) -> &[u8] {
    let end = value.iter().position(|b| matches!(b, b';' | b' ' | b'\t')).unwrap_or(value.len());
    value.get(..end).unwrap_or(value)
}

/// A parameter's value, its quotes and continuations (RFC 2231 section 3: `name*0`, `name*1` …) undone.
pub(super) fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut rest = value.get(memchr(b';', value)?..)?;
    let mut continued: Vec<(usize, Vec<u8>)> = Vec::new();
    while let Some((key, text, behind)) = next(rest) {
        rest = behind;
        if key.eq_ignore_ascii_case(name) {
            return Some(text);
        }
        let section = key.get(..name.len()).filter(|k| k.eq_ignore_ascii_case(name)).and_then(|_| key.get(name.len()..));
        let Some(section) = section.and_then(|s| s.strip_prefix(b"*")) else { continue };
        let encoded = section.is_empty() || section.ends_with(b"*");
        let number = section.strip_suffix(b"*").unwrap_or(section);
        let number = if number.is_empty() { Some(0) } else { std::str::from_utf8(number).ok().and_then(|n| n.parse().ok()) };
        if let (Some(number), true) = (number, continued.len() < 64) {
            continued.push((number, if encoded { percent(&text, number == 0) } else { text }));
        }
    }
    if continued.is_empty() {
        return None;
    }
    continued.sort_by_key(|(n, _)| *n);
    Some(continued.into_iter().flat_map(|(_, text)| text).collect())
}

/// Charset and language of an extended value are dropped, `%HH` is decoded (RFC 2231 section 4).
fn percent(text: &[u8], first: bool) -> Vec<u8> {
    let mut text = text;
    if first {
        let mut quotes = text.iter().enumerate().filter(|(_, b)| **b == b'\'').map(|(i, _)| i);
        if let (Some(_), Some(second)) = (quotes.next(), quotes.next()) {
            text = text.get(second + 1..).unwrap_or(&[]);
        }
    }
    let mut out = Vec::with_capacity(text.len());
    while let [first, rest @ ..] = text {
        let pair = match (first, rest) {
            (b'%', [a, b, ..]) => super::transfer::hex(*a).zip(super::transfer::hex(*b)),
            _ => None,
        };
        out.push(pair.map_or(*first, |(a, b)| a << 4 | b));
        text = if pair.is_some() { rest.get(2..).unwrap_or(&[]) } else { rest };
    }
    out
}

/// The next `key=value` behind white space and semicolons.
fn next(text: &[u8]) -> Option<(&[u8], Vec<u8>, &[u8])> {
    let start = text.iter().position(|b| !matches!(b, b';' | b' ' | b'\t' | b'\r' | b'\n'))?;
    let text = text.get(start..)?;
    let end = text.iter().position(|b| matches!(b, b'=' | b';')).unwrap_or(text.len());
    let key = text.get(..end)?.trim_ascii();
    let Some(rest) = text.get(end..)?.strip_prefix(b"=") else {
        return Some((key, Vec::new(), text.get(end..)?));
    };
    let rest = rest.trim_ascii_start();
    let Some(quoted) = rest.strip_prefix(b"\"") else {
        let end = memchr(b';', rest).unwrap_or(rest.len());
        return Some((key, rest.get(..end)?.trim_ascii_end().to_vec(), rest.get(end..)?));
    };
    let mut out = Vec::new();
    let mut bytes = quoted.iter().enumerate();
    while let Some((i, &b)) = bytes.next() {
        match b {
            b'"' => return Some((key, out, quoted.get(i + 1..)?)),
            // A quoted pair; of backslashes in paths, which senders leave unquoted, only those before a quote count.
            b'\\' if matches!(quoted.get(i + 1), Some(b'"' | b'\\')) => {
                if let Some((_, &b)) = bytes.next() {
                    out.push(b);
                }
            }
            _ => out.push(b),
        }
    }
    Some((key, out, &[]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        assert_eq!(split(b"Subject:  hello there"), Some((&b"Subject"[..], &b"hello there"[..])));
        assert_eq!(split(b"Subject : x"), Some((&b"Subject"[..], &b"x"[..])));
        assert_eq!(split(b"no colon"), None);
        assert_eq!(split(b": nameless"), None);
        assert_eq!(token(b"text/html; charset=x"), b"text/html");
    }

    #[test]
    fn parameters() {
        for (value, name, expected) in [
            (&b"a/b; name=x.txt"[..], &b"name"[..], Some(&b"x.txt"[..])),
            (b"a/b; charset=u; NAME=\"x y.txt\" ; z=1", b"name", Some(b"x y.txt")),
            (b"attachment; filename=\"a\\\"b\"", b"filename", Some(b"a\"b")),
            (b"attachment; filename=\"open", b"filename", Some(b"open")),
            (b"attachment; filename*0=\"ab\"; filename*1=cd", b"filename", Some(b"abcd")),
            (b"attachment; filename*=utf-8'en'a%20b", b"filename", Some(b"a b")),
            (b"attachment; xfilename=no", b"filename", None),
            (b"filename=no", b"filename", None),
            (b"a; filename", b"filename", Some(b"")),
        ] {
            assert_eq!(parameter(value, name).as_deref(), expected, "{}", String::from_utf8_lossy(value));
        }
    }
}
