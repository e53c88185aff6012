//! Files in multipart/form-data bodies (RFC 7578, RFC 2046 section 5.1), found as the body grows.
//!
//! Parts are ranges of the kept body, so nothing is copied. Bytes that may be the beginning of a delimiter are held
//! back until it is clear, so that a part only grows.

use memchr::memmem;
use std::ops::Range;

/// A part with a file name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// `filename` of its Content-Disposition.
    pub name: Vec<u8>,
    /// Content so far, in the body.
    pub data: Range<usize>,
    /// The closing delimiter was seen, or the body ended.
    pub complete: bool,
}

/// What is wrong with a multipart body.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Oddities {
    /// A part without Content-Disposition, or a head too long.
    pub invalid_header: bool,
    /// A file part without content.
    pub no_data: bool,
    /// The body ended before its closing delimiter.
    pub unterminated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Preamble,
    Head,
    /// In the content of a part; of a file, if so.
    Content(bool),
    Over,
}

/// Most files of one body.
const PARTS_MAX: usize = 64;
/// Most bytes of a part's head.
const HEAD_MAX: usize = 4096;
/// Longest boundary (RFC 2046 allows 70).
const BOUNDARY_MAX: usize = 200;

/// A scanner over a growing body.
#[derive(Debug, Clone)]
pub struct Multipart {
    /// `\r\n--boundary`
    delimiter: Vec<u8>,
    at: At,
    position: usize,
    /// Files found.
    pub parts: Vec<Part>,
    /// Oddities found.
    pub oddities: Oddities,
}

/// The `boundary` parameter of a multipart Content-Type.
pub fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let lower = content_type.trim_ascii_start().to_ascii_lowercase();
    if !lower.starts_with(b"multipart/") {
        return None;
    }
    let value = parameter(content_type, b"boundary")?;
    (!value.is_empty() && value.len() <= BOUNDARY_MAX).then_some(value)
}

/// A parameter of a field value, with or without quotes.
pub fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let lower = value.to_ascii_lowercase();
    let mut from = 0;
    while let Some(at) = memmem::find(lower.get(from..)?, name).map(|at| at + from) {
        from = at + name.len();
        let starts = at == 0 || matches!(lower[at - 1], b';' | b' ' | b'\t' | b'\r' | b'\n');
        let rest = value.get(from..)?.trim_ascii_start();
        let Some(rest) = rest.strip_prefix(b"=").filter(|_| starts) else { continue };
        let rest = rest.trim_ascii_start();
        let Some(quoted) = rest.strip_prefix(b"\"") else {
            let end = rest.iter().position(|b| matches!(b, b';' | b'\r' | b'\n')).unwrap_or(rest.len());
            return Some(rest[..end].trim_ascii_end().to_vec());
        };
        let mut out = Vec::new();
        let mut bytes = quoted.iter();
        while let Some(&b) = bytes.next() {
            match b {
                b'"' => break,
                b'\\' => match bytes.next() {
                    Some(&b @ (b'"' | b'\\')) => out.push(b),
                    Some(&b) => out.extend([b'\\', b]),
                    None => {}
                },
                b => out.push(b),
            }
        }
        return Some(out);
    }
    None
}

impl Multipart {
    /// A scanner for a boundary.
    pub fn new(boundary: &[u8]) -> Multipart {
        let mut delimiter = b"\r\n--".to_vec();
        delimiter.extend_from_slice(boundary);
        Multipart { delimiter, at: At::Preamble, position: 0, parts: Vec::new(), oddities: Oddities::default() }
    }

    /// Look at what was added to `body`; `complete`: nothing will be.
    pub fn scan(&mut self, body: &[u8], complete: bool) {
        loop {
            let rest = body.get(self.position..).unwrap_or(&[]);
            match self.at {
                At::Preamble => {
                    // The first delimiter may stand at the very start, without line end before it.
                    let bare = &self.delimiter[2..];
                    match memmem::find(rest, bare) {
                        Some(at) => {
                            self.position += at + bare.len();
                            self.at = At::Head;
                        }
                        None => {
                            self.position = body.len().saturating_sub(bare.len()).max(self.position);
                            self.oddities.unterminated |= complete;
                            return;
                        }
                    }
                }
                At::Head => {
                    if rest.starts_with(b"--") {
                        self.at = At::Over;
                        return;
                    }
                    let Some(end) = memmem::find(rest, b"\r\n\r\n").filter(|end| *end <= HEAD_MAX) else {
                        if rest.len() > HEAD_MAX + 4 {
                            self.oddities.invalid_header = true;
                            self.at = At::Content(false);
                            continue;
                        }
                        self.oddities.unterminated |= complete;
                        return;
                    };
                    let head = &rest[..end];
                    let disposition = field(head, b"content-disposition");
                    self.oddities.invalid_header |= disposition.is_none();
                    let name = disposition.and_then(|value| parameter(value, b"filename"));
                    let start = self.position + end + 4;
                    // The delimiter may follow the head at once.
                    self.position = start - 2;
                    self.at = At::Content(name.is_some() && self.parts.len() < PARTS_MAX);
                    if let (Some(name), At::Content(true)) = (name, self.at) {
                        self.parts.push(Part { name, data: start..start, complete: false });
                    }
                }
                At::Content(file) => {
                    let found = memmem::find(rest, &self.delimiter);
                    let end = match found {
                        Some(at) => self.position + at,
                        None if complete => body.len(),
                        None => body.len().saturating_sub(self.delimiter.len()).max(self.position),
                    };
                    if let (true, Some(part)) = (file, self.parts.last_mut()) {
                        part.data.end = end.max(part.data.start);
                        part.complete = found.is_some() || complete;
                        self.oddities.no_data |= part.complete && part.data.is_empty();
                    }
                    match found {
                        Some(_) => {
                            self.position = end + self.delimiter.len();
                            self.at = At::Head;
                        }
                        None => {
                            self.position = end;
                            self.oddities.unterminated |= complete;
                            return;
                        }
                    }
                }
                At::Over => return,
            }
        }
    }
}

/// Value of a field in a part's head, unfolded as far as needed.
fn field<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = head;
    while !rest.is_empty() {
        let mut end = 0;
        // A line and those that continue it.
        loop {
            match memmem::find(&rest[end..], b"\r\n") {
                Some(at) => {
                    end += at + 2;
                    if !matches!(rest.get(end), Some(b' ' | b'\t')) {
                        break;
                    }
                }
                None => {
                    end = rest.len();
                    break;
                }
            }
        }
        let (line, more) = rest.split_at(end);
        rest = more;
        let Some(colon) = line.iter().position(|b| *b == b':') else { continue };
        if line[..colon].trim_ascii().eq_ignore_ascii_case(name) {
            return Some(&line[colon + 1..]);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nvalue\r\n--B\r\nContent-Disposition: form-data;\r\n name=\"f\"; filename=\"x.php\"\r\nContent-Type: x\r\n\r\n<?php \r\n--?>\r\n--B\r\nContent-Disposition: form-data; filename=e\r\n\r\n\r\n--B--\r\n";

    #[test]
    fn parameters() {
        assert_eq!(boundary(b"multipart/form-data; boundary=\"x y\"").as_deref(), Some(&b"x y"[..]));
        assert_eq!(boundary(b"Multipart/Form-Data;Boundary=xy; a=b").as_deref(), Some(&b"xy"[..]));
        assert_eq!(boundary(b"text/plain; boundary=x"), None);
        assert_eq!(parameter(b"form-data; name=\"filename=no\"; filename=\"a\\\"b\"", b"filename").as_deref(), Some(&b"a\"b"[..]));
    }

    #[test]
    fn files_are_found_in_any_cut_and_only_grow() {
        let mut whole = Multipart::new(b"B");
        whole.scan(BODY, true);
        assert_eq!(whole.parts.len(), 2);
        assert_eq!(whole.parts[0].name, b"x.php");
        assert_eq!(&BODY[whole.parts[0].data.clone()], b"<?php \r\n--?>");
        assert_eq!(whole.oddities, Oddities { no_data: true, ..Oddities::default() });
        for step in 1..40 {
            let mut scan = Multipart::new(b"B");
            let mut last = 0..0;
            let mut n = 0;
            while n < BODY.len() {
                n = (n + step).min(BODY.len());
                scan.scan(&BODY[..n], false);
                if let Some(part) = scan.parts.first() {
                    assert!(part.data.end >= last.end, "{n}");
                    last = part.data.clone();
                }
            }
            scan.scan(BODY, true);
            assert_eq!((&scan.parts, scan.oddities), (&whole.parts, whole.oddities), "step {step}");
        }
    }

    #[test]
    fn broken_bodies() {
        let mut scan = Multipart::new(b"B");
        scan.scan(b"no delimiter", true);
        assert!(scan.oddities.unterminated);
        let mut scan = Multipart::new(b"B");
        scan.scan(b"--B\r\nno disposition\r\n\r\nx", true);
        assert!(scan.oddities.invalid_header && scan.parts.is_empty());
    }
}
