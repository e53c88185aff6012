//! Normalising a request target as libhtp does it with the personality that Suricata uses by default (IDS, without
//! its lower-casing).
//!
//! Path: `%HH` and `%uHHHH` are decoded once, backslashes become slashes, runs of slashes become one, UTF-8 becomes one
//! byte per character by the best fit of Windows-1252, dot segments are removed (RFC 3986 section 5.2.4). Query:
//! `%HH` and `%uHHHH` decoded once; `+` stays. Fragment: as it is. Invalid escapes stay as they are.

use super::bestfit::best_fit;
use super::text::{Lines, is_space};

/// What a request target says besides its normal form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Host, normalised: decoded, lower case, without dots at its end.
    pub host: Option<Vec<u8>>,
    /// Host as written.
    pub host_raw: Option<Vec<u8>>,
    /// Port as written, if any; `Some(None)`: not a port number.
    pub port: Option<Option<u16>>,
    /// Path, query or fragment exist, that is, there is a normal form.
    pub exists: bool,
}

/// Normalise a target; the normal form is appended to `out`.
pub fn normalise(raw: &[u8], connect: bool, out: &mut Vec<u8>) -> Target {
    let mut target = Target::default();
    if connect && raw.first() != Some(&b'/') {
        // An authority (RFC 9112 section 3.2.3); there is nothing to normalise.
        authority(raw, &mut target);
        return target;
    }
    let mut rest = raw;
    if raw.first() != Some(&b'/')
        && let Some(colon) = raw.iter().position(|b| *b == b':')
        && !raw[..colon].iter().any(|b| matches!(b, b'/' | b'?' | b'#'))
    {
        rest = &raw[colon + 1..];
        let slashes = rest.starts_with(b"//") && rest.get(2) != Some(&b'/');
        let after = if slashes { &rest[2..] } else { rest };
        if slashes || (after.first() != Some(&b'/') && !after.is_empty()) {
            let end = after.iter().position(|b| matches!(b, b'/' | b'?' | b'#' | b'\\')).unwrap_or(after.len());
            let host = after[..end].rsplit(|b| *b == b'@').next().unwrap_or(&[]);
            authority(host, &mut target);
            rest = &after[end..];
        }
    }
    let fragment_at = rest.iter().position(|b| *b == b'#').unwrap_or(rest.len());
    let (rest, fragment) = rest.split_at(fragment_at);
    let query_at = rest.iter().position(|b| *b == b'?').unwrap_or(rest.len());
    let (path, query) = rest.split_at(query_at);
    target.exists = !path.is_empty() || !query.is_empty() || !fragment.is_empty();
    normal_path(path, out);
    if let Some((mark, query)) = query.split_first() {
        out.push(*mark);
        if query.contains(&b'%') {
            decode(query, false, out);
        } else {
            out.extend_from_slice(query);
        }
    }
    out.extend_from_slice(fragment);
    target
}

fn authority(raw: &[u8], target: &mut Target) {
    let (host, port) = split_port(raw);
    target.port = port;
    target.host_raw = Some(raw.to_vec());
    let mut normal = Vec::with_capacity(host.len());
    decode(host, false, &mut normal);
    normal.make_ascii_lowercase();
    while normal.last() == Some(&b'.') {
        normal.pop();
    }
    target.host = Some(normal);
}

/// Host and port of an authority or Host field; an IPv6 literal keeps its brackets. The port is `Some(None)` where it
/// is none.
pub fn split_port(raw: &[u8]) -> (&[u8], Option<Option<u16>>) {
    let raw = raw.trim_ascii();
    let end = if raw.first() == Some(&b'[') {
        raw.iter().position(|b| *b == b']').map_or(raw.len(), |at| at + 1)
    } else {
        raw.iter().position(|b| *b == b':').unwrap_or(raw.len())
    };
    let (host, rest) = raw.split_at(end);
    let port = match rest.split_first() {
        None => None,
        Some((b':', digits)) => {
            let digits = digits.trim_ascii();
            let number = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()));
            Some(number.and_then(|d| d.parse().ok()).filter(|n| *n != 0))
        }
        Some(_) => Some(None),
    };
    (host.trim_ascii_end(), port)
}

/// A host name that servers take (RFC 1123, with underscores), or an IPv6 literal.
pub fn valid_host(host: &[u8]) -> bool {
    if host.is_empty() || host.len() > 255 {
        return false;
    }
    if let Some(inner) = host.strip_prefix(b"[").and_then(|h| h.strip_suffix(b"]")) {
        return std::str::from_utf8(inner).is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
    }
    if host.first() == Some(&b'.') || host.windows(2).any(|w| w == b"..") {
        return false;
    }
    host.split(|b| *b == b'.')
        .all(|label| label.len() <= 63 && label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')))
}

fn hex(b: Option<&u8>) -> Option<u8> {
    match b? {
        d @ b'0'..=b'9' => Some(d - b'0'),
        d @ b'a'..=b'f' => Some(d - b'a' + 10),
        d @ b'A'..=b'F' => Some(d - b'A' + 10),
        _ => None,
    }
}

/// Decode escapes; for a path also convert and join separators.
fn decode(bytes: &[u8], path: bool, out: &mut Vec<u8>) {
    let base = out.len();
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
                    let (high, low) = (a << 4 | b, c << 4 | d);
                    value = if high == 0 { low } else { best_fit(u32::from(high) << 8 | u32::from(low)) };
                    used = 6;
                }
            }
        }
        at += used;
        if path {
            if value == b'\\' {
                value = b'/';
            }
            if value == b'/' && out.len() > base && out.last() == Some(&b'/') {
                continue;
            }
        }
        out.push(value);
    }
}

fn normal_path(path: &[u8], out: &mut Vec<u8>) {
    // Most paths are normal already.
    let mut before = 0;
    let plain = !path.iter().any(|&b| {
        let odd = b == b'%' || b == b'\\' || b >= 0x80 || (before == b'/' && (b == b'/' || b == b'.'));
        before = b;
        odd
    });
    if plain && path.first() != Some(&b'.') {
        out.extend_from_slice(path);
        return;
    }
    let base = out.len();
    decode(path, true, out);
    if out[base..].iter().any(|b| *b >= 0x80) {
        let decoded = out.split_off(base);
        single_bytes(&decoded, out);
    }
    let length = remove_dots(&mut out[base..]);
    out.truncate(base + length);
}

/// UTF-8 to one byte per character; overlong forms are decoded, invalid bytes become `?`.
fn single_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&first) = bytes.get(at) {
        at += 1;
        let (more, bits) = match first {
            0..=0x7f => {
                out.push(first);
                continue;
            }
            0xc0..=0xdf => (1, u32::from(first & 0x1f)),
            0xe0..=0xef => (2, u32::from(first & 0x0f)),
            0xf0..=0xf4 => (3, u32::from(first & 0x07)),
            _ => {
                out.push(b'?');
                continue;
            }
        };
        let mut point = bits;
        let mut whole = true;
        for _ in 0..more {
            match bytes.get(at) {
                Some(&next) if next & 0xc0 == 0x80 => {
                    point = point << 6 | u32::from(next & 0x3f);
                    at += 1;
                }
                _ => {
                    whole = false;
                    break;
                }
            }
        }
        out.push(match (whole, u8::try_from(point)) {
            (false, _) => b'?',
            (true, Ok(byte)) => byte,
            (true, Err(_)) => best_fit(point),
        });
    }
}

/// Remove dot segments in place, as libhtp does: what is left of `/a/..` is empty. Gives the new length.
fn remove_dots(path: &mut [u8]) -> usize {
    let mut read = 0;
    let mut write = 0;
    // "./" and "../" at the start go.
    loop {
        let rest = path.get(read..).unwrap_or(&[]);
        if rest.starts_with(b"./") {
            read += 2;
        } else if rest.starts_with(b"../") {
            read += 3;
        } else {
            if rest == b"." || rest == b".." {
                return 0;
            }
            break;
        }
    }
    while let Some(&b) = path.get(read) {
        let rest = &path[read..];
        if b == b'/' {
            let end = |n: usize| rest.len() == n || rest[n] == b'/';
            if rest.starts_with(b"/.") && end(2) {
                // "/./" is "/"; at the end it goes altogether.
                read += 2;
                continue;
            }
            if rest.starts_with(b"/..") && end(3) {
                while write > 0 && path[write - 1] != b'/' {
                    write -= 1;
                }
                write = write.saturating_sub(1);
                read += 3;
                continue;
            }
        }
        path[write] = b;
        write += 1;
        read += 1;
    }
    write
}

/// Last segment of a normalised path, for the name of a file.
pub fn last_segment(uri: &[u8]) -> &[u8] {
    let path = &uri[..uri.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(uri.len())];
    path.rsplit(|b| *b == b'/').next().unwrap_or(&[])
}

/// Method, target and protocol of a request line, and what is odd about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestLine<'a> {
    /// Method.
    pub method: &'a [u8],
    /// Target; none: only a method was there.
    pub target: Option<&'a [u8]>,
    /// The word behind the target.
    pub protocol: &'a [u8],
    /// White space before the method.
    pub leading_space: bool,
    /// Something else than a space between method and target.
    pub odd_method_delimiter: bool,
    /// Something else than a space behind the target.
    pub odd_target_delimiter: bool,
}

/// Take a request line apart, without its end.
pub fn request_line(line: &[u8]) -> RequestLine<'_> {
    let trimmed = line.trim_start_spaces();
    let leading_space = trimmed.len() != line.len();
    let method_end = trimmed.iter().position(|b| is_space(*b)).unwrap_or(trimmed.len());
    let (method, rest) = trimmed.split_at(method_end);
    let after = rest.trim_start_spaces();
    let odd_method_delimiter = rest[..rest.len() - after.len()].iter().any(|b| *b != b' ');
    let mut parsed = RequestLine {
        method,
        target: None,
        protocol: &[],
        leading_space,
        odd_method_delimiter,
        odd_target_delimiter: false,
    };
    let rest = after.trim_spaces();
    if rest.is_empty() {
        return parsed;
    }
    let split = |at: Option<usize>| match at {
        Some(at) => (rest[..at].trim_spaces(), rest[at..].trim_spaces()),
        None => (rest, &[][..]),
    };
    // The last word is the protocol: a target may hold spaces, as servers take it.
    let (mut target, mut protocol) = split(rest.iter().rposition(|b| *b == b' '));
    if target.iter().any(|b| *b != b' ' && is_space(*b)) {
        parsed.odd_target_delimiter = true;
        if target.len() == rest.len() {
            (target, protocol) = split(rest.iter().position(|b| is_space(*b)));
        }
    }
    parsed.target = Some(target);
    parsed.protocol = protocol;
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(raw: &[u8]) -> (Target, String) {
        let mut out = Vec::new();
        let target = normalise(raw, false, &mut out);
        (target, String::from_utf8_lossy(&out).into_owned())
    }

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
            ("/%252e", "/%2e"),
            ("/a%zzb", "/a%zzb"),
            ("/a%u0041b", "/aAb"),
            ("/a%uff0fb", "/a/b"),
            ("/a%c0%afb", "/a/b"),
            ("/%EF%BC%A1", "/A"),
            ("/a/b/", "/a/b/"),
            ("/a?b?c", "/a?b?c"),
            ("/a?x//y\\z/../", "/a?x//y\\z/../"),
            ("/a#f%41", "/a#f%41"),
            ("*", "*"),
            ("./a", "a"),
            ("..", ""),
            ("/.hidden/x..", "/.hidden/x.."),
            ("/a/..", ""),
            ("/a/.", "/a"),
            ("/", "/"),
            ("", ""),
        ] {
            assert_eq!(normal(raw.as_bytes()).1, uri, "{raw}");
        }
    }

    #[test]
    fn absolute_targets() {
        let (target, uri) = normal(b"http://User:pw@Example.org.:8080/a//b?q#f");
        assert_eq!(uri, "/a/b?q#f");
        assert_eq!(target.host.as_deref(), Some(&b"example.org"[..]));
        assert_eq!(target.port, Some(Some(8080)));
        let (target, uri) = normal(b"http://h/p@x");
        assert_eq!((target.host.as_deref(), uri.as_str()), (Some(&b"h"[..]), "/p@x"));
        let (target, _) = normal(b"http://host.com");
        assert!(!target.exists && target.host.is_some());
        let mut out = Vec::new();
        let target = normalise(b"Host:443", true, &mut out);
        assert_eq!((target.host.as_deref(), target.port, target.exists), (Some(&b"host"[..]), Some(Some(443)), false));
        assert_eq!(split_port(b"[::1]:80"), (&b"[::1]"[..], Some(Some(80))));
        assert_eq!(split_port(b"host:x"), (&b"host"[..], Some(None)));
        assert!(valid_host(b"a_b.c") && valid_host(b"[::1]") && !valid_host(b"a..b") && !valid_host(b"a b"));
    }

    #[test]
    fn request_lines() {
        let l = request_line(b"GET /x HTTP/1.1");
        assert_eq!((l.method, l.target, l.protocol), (&b"GET"[..], Some(&b"/x"[..]), &b"HTTP/1.1"[..]));
        let l = request_line(b"  GET \t /x\tHTTP/1.1");
        assert!(l.leading_space && l.odd_method_delimiter && l.odd_target_delimiter);
        assert_eq!((l.method, l.target, l.protocol), (&b"GET"[..], Some(&b"/x"[..]), &b"HTTP/1.1"[..]));
        for (line, target, protocol) in [
            ("GET /a b HTTP/1.1", "/a b", "HTTP/1.1"),
            ("GET  /a  b HTTP/1.1 ", "/a  b", "HTTP/1.1"),
            ("GET /a HTTP/1.1 b", "/a HTTP/1.1", "b"),
            ("GET /a\tb HTTP/1.1", "/a\tb", "HTTP/1.1"),
            ("GET /a b", "/a", "b"),
        ] {
            let l = request_line(line.as_bytes());
            assert_eq!((l.target, l.protocol), (Some(target.as_bytes()), protocol.as_bytes()), "{line}");
            assert_eq!(l.odd_target_delimiter, line.contains('\t'), "{line}");
        }
        assert_eq!(request_line(b"GET").target, None);
        assert_eq!(request_line(b"").method, b"");
    }
}
