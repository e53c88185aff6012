//! Normalising a request URI, as libhtp does it with the personality that Suricata uses by default.
//!
//! Path: `%HH` and `%uHHHH` are decoded once, backslashes become slashes, runs of slashes become one, dot segments
//! are removed (RFC 3986 section 5.2.4). Query: `%HH` decoded once; `+` stays. Invalid escapes stay as they are.

/// The parts of a request target that buffers need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Normalised {
    /// `http.uri`
    pub uri: Vec<u8>,
    /// Host of an absolute URI, as written (without port and user).
    pub host: Option<Vec<u8>>,
}

/// Normalise a request target.
pub fn normalise(raw: &[u8]) -> Normalised {
    let (host, rest) = split_authority(raw);
    let rest = match rest.iter().position(|b| *b == b'#') {
        Some(at) => &rest[..at],
        None => rest,
    };
    let (path, query) = match rest.iter().position(|b| *b == b'?') {
        Some(at) => (&rest[..at], Some(&rest[at + 1..])),
        None => (rest, None),
    };
    let mut uri = remove_dots(&decode(path, true));
    if let Some(query) = query {
        uri.push(b'?');
        uri.extend_from_slice(&decode(query, false));
    }
    Normalised { uri, host }
}

/// Authority of an absolute URI and what follows it (RFC 3986 section 3).
fn split_authority(raw: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let Some(at) = raw.windows(3).position(|w| w == b"://") else { return (None, raw) };
    if at == 0 || !raw[..at].iter().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(b)) {
        return (None, raw);
    }
    let rest = &raw[at + 3..];
    let end = rest.iter().position(|b| b"/?#\\".contains(b)).unwrap_or(rest.len());
    let authority = &rest[..end];
    let host = authority.rsplit(|b| *b == b'@').next().unwrap_or(authority);
    (Some(strip_port(host).to_vec()), &rest[end..])
}

/// Host without port; an IPv6 literal keeps its brackets.
pub fn strip_port(host: &[u8]) -> &[u8] {
    if host.first() == Some(&b'[') {
        return match host.iter().position(|b| *b == b']') {
            Some(end) => &host[..=end],
            None => host,
        };
    }
    match host.iter().rposition(|b| *b == b':') {
        Some(at) if host[at + 1..].iter().all(u8::is_ascii_digit) => &host[..at],
        _ => host,
    }
}

fn hex(b: Option<&u8>) -> Option<u8> {
    match b? {
        d @ b'0'..=b'9' => Some(d - b'0'),
        d @ b'a'..=b'f' => Some(d - b'a' + 10),
        d @ b'A'..=b'F' => Some(d - b'A' + 10),
        _ => None,
    }
}

fn decode(bytes: &[u8], path: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&b) = bytes.get(at) {
        let mut value = b;
        let mut used = 1;
        if b == b'%' {
            if let (Some(high), Some(low)) = (hex(bytes.get(at + 1)), hex(bytes.get(at + 2))) {
                value = high << 4 | low;
                used = 3;
            } else if matches!(bytes.get(at + 1), Some(b'u' | b'U')) {
                let digits = [2, 3, 4, 5].map(|i| hex(bytes.get(at + i)));
                if let [Some(a), Some(b), Some(c), Some(d)] = digits {
                    value = if a == 0 && b == 0 { c << 4 | d } else { b'?' };
                    used = 6;
                }
            }
        }
        at += used;
        if path {
            if value == b'\\' {
                value = b'/';
            }
            if value == b'/' && out.last() == Some(&b'/') {
                continue;
            }
        }
        out.push(value);
    }
    out
}

fn remove_dots(path: &[u8]) -> Vec<u8> {
    if !path.windows(2).any(|w| w == b"/.") && path.first() != Some(&b'.') {
        return path.to_vec();
    }
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut segments = path.split(|b| *b == b'/').peekable();
    let mut first = true;
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." => {
                if last && !out.ends_with(b"/") {
                    out.push(b'/');
                }
                if first {
                    first = false;
                    continue;
                }
            }
            b".." => {
                // Back to the slash before the last segment.
                if out.ends_with(b"/") {
                    out.pop();
                }
                let cut = out.iter().rposition(|b| *b == b'/').map_or(0, |i| i + 1);
                out.truncate(cut);
                if out.is_empty() && path.first() == Some(&b'/') {
                    out.push(b'/');
                }
            }
            _ => {
                if !first && !out.ends_with(b"/") {
                    out.push(b'/');
                }
                out.extend_from_slice(segment);
                if segment.is_empty() && first {
                    out.push(b'/');
                }
                if !last && !out.ends_with(b"/") {
                    out.push(b'/');
                }
            }
        }
        first = false;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        for (raw, uri) in [
            ("/index.html", "/index.html"),
            ("/a/%62/c?x=%41+b", "/a/b/c?x=A+b"),
            ("/a//b\\c", "/a/b/c"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/../../etc/passwd", "/etc/passwd"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/%2e%2e/etc/%70asswd", "/etc/passwd"),
            ("/a%zzb", "/a%zzb"),
            ("/a%u0041b", "/aAb"),
            ("/a/b/", "/a/b/"),
            ("/a?b?c", "/a?b?c"),
            ("*", "*"),
            ("/.hidden/x", "/.hidden/x"),
            ("/a/..", "/"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(String::from_utf8_lossy(&normalise(raw.as_bytes()).uri), uri, "{raw}");
        }
        let absolute = normalise(b"http://User@Example.org:8080/a//b");
        assert_eq!(absolute.uri, b"/a/b");
        assert_eq!(absolute.host.as_deref(), Some(&b"Example.org"[..]));
        assert_eq!(strip_port(b"[::1]:80"), b"[::1]");
        assert_eq!(strip_port(b"host:80"), b"host");
    }
}
