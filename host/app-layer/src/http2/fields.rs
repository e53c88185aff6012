//! The header list of a message, and the buffers made of it.
//!
//! Names and values are kept as they were decoded. Fields of the same name are joined as RFC 9110 section 5.3 and, for
//! cookies, RFC 9113 section 8.2.3 say. Names are compared as they are: upper case is malformed (section 8.2.1).

use std::cell::OnceCell;

/// Most fields of a header list that are kept.
pub const FIELDS_MAX: usize = 1024;

/// A header list.
#[derive(Debug, Default)]
pub struct Fields {
    text: Vec<u8>,
    /// Ends of name and value in `text`; each begins where the one before ends.
    ends: Vec<(u32, u32)>,
    made: Made,
}

/// Buffers made when first asked for.
#[derive(Debug, Default)]
struct Made {
    lines: OnceCell<Vec<u8>>,
    names: OnceCell<Vec<u8>>,
    first_line: OnceCell<Vec<u8>>,
    host: OnceCell<Option<Vec<u8>>>,
    known: [OnceCell<Option<Vec<u8>>>; KNOWN.len()],
}

/// Fields with a buffer of their own, or that steer parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Known {
    Method,
    Path,
    Authority,
    Status,
    Host,
    Cookie,
    SetCookie,
    UserAgent,
    Referer,
    Accept,
    AcceptEncoding,
    AcceptLanguage,
    Connection,
    ContentType,
    ContentLength,
    ContentEncoding,
    ContentDisposition,
    ContentRange,
    Location,
    Server,
}

const KNOWN: [&[u8]; 20] = [
    b":method",
    b":path",
    b":authority",
    b":status",
    b"host",
    b"cookie",
    b"set-cookie",
    b"user-agent",
    b"referer",
    b"accept",
    b"accept-encoding",
    b"accept-language",
    b"connection",
    b"content-type",
    b"content-length",
    b"content-encoding",
    b"content-disposition",
    b"content-range",
    b"location",
    b"server",
];

impl Fields {
    /// Append a field. False: there are too many, or they are too long together; it is left out.
    pub fn push(&mut self, name: &[u8], value: &[u8], limit: usize) -> bool {
        if self.ends.len() >= FIELDS_MAX || self.text.len() + name.len() + value.len() > limit {
            return false;
        }
        self.text.extend_from_slice(name);
        let end = self.text.len() as u32;
        self.text.extend_from_slice(value);
        self.ends.push((end, self.text.len() as u32));
        self.made = Made::default();
        true
    }

    /// Bytes of names and values.
    pub fn length(&self) -> usize {
        self.text.len()
    }

    /// No field.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The field with this number.
    pub fn get(&self, at: usize) -> Option<(&[u8], &[u8])> {
        let (name_end, end) = *self.ends.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |before| before.1);
        let part = |from: u32, to: u32| self.text.get(from as usize..to as usize).unwrap_or(&[]);
        Some((part(start, name_end), part(name_end, end)))
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        (0..self.ends.len()).filter_map(|at| self.get(at))
    }

    /// The values of a field, joined.
    pub fn value(&self, known: Known) -> Option<&[u8]> {
        let name = KNOWN.get(known as usize)?;
        self.made.known.get(known as usize)?.get_or_init(|| self.joined(name)).as_deref()
    }

    fn joined(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mut values = self.iter().filter(|(n, _)| *n == name).map(|(_, value)| value);
        let mut out = values.next()?.to_vec();
        let separator: &[u8] = if name == b"cookie" { b"; " } else { b", " };
        for value in values {
            out.extend_from_slice(separator);
            out.extend_from_slice(value);
        }
        Some(out)
    }

    /// `http.header`: `name: value` lines, pseudo-header fields among them.
    pub fn lines(&self) -> &[u8] {
        self.made.lines.get_or_init(|| {
            let mut out = Vec::with_capacity(self.text.len() + 4 * self.ends.len());
            for (name, value) in self.iter() {
                for part in [name, b": ", value, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
            out
        })
    }

    /// `http.request_header`, `http.response_header`: the field with this number as `name: value`.
    pub fn line(&self, at: usize) -> Option<&[u8]> {
        let (name_end, end) = *self.ends.get(at)?;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |before| before.1);
        let from = start as usize + 4 * at;
        self.lines().get(from..from + (end - start) as usize + 2).filter(|_| name_end <= end)
    }

    /// `http.header_names`
    pub fn names(&self) -> &[u8] {
        self.made.names.get_or_init(|| {
            let mut out = b"\r\n".to_vec();
            for (name, _) in self.iter() {
                out.extend_from_slice(name);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out
        })
    }

    /// `http.request_line`, `http.response_line`: what the pseudo-header fields would be in HTTP/1.
    pub fn first_line(&self, request: bool) -> &[u8] {
        self.made.first_line.get_or_init(|| {
            let mut out = Vec::new();
            if request {
                let (Some(method), Some(path)) = (self.value(Known::Method), self.value(Known::Path)) else { return out };
                for part in [method, b" ", path, b" HTTP/2\r\n"] {
                    out.extend_from_slice(part);
                }
            } else if let Some(status) = self.value(Known::Status) {
                for part in [b"HTTP/2 ", status, b"\r\n"] {
                    out.extend_from_slice(part);
                }
            }
            out
        })
    }

    /// `http.host.raw`: the authority, otherwise the field `host` (RFC 9113 section 8.3.1).
    pub fn host_raw(&self) -> Option<&[u8]> {
        self.value(Known::Authority).or_else(|| self.value(Known::Host))
    }

    /// `http.host`: lower case, without user information and port.
    pub fn host(&self) -> Option<&[u8]> {
        self.made
            .host
            .get_or_init(|| {
                let raw = self.host_raw()?;
                let host = raw.rsplit(|b| *b == b'@').next().unwrap_or(raw);
                Some(crate::http1::split_port(host).0.to_ascii_lowercase())
            })
            .as_deref()
    }

    /// The status; 0 if there is none.
    pub fn status(&self) -> u16 {
        let digits = self.value(Known::Status).filter(|s| s.len() == 3 && s.iter().all(u8::is_ascii_digit));
        digits.map_or(0, |s| s.iter().fold(0, |n, b| n * 10 + u16::from(b - b'0')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        list.iter().for_each(|(name, value)| assert!(fields.push(name.as_bytes(), value.as_bytes(), 1000)));
        fields
    }

    #[test]
    fn buffers() {
        let request = fields(&[
            (":method", "GET"),
            (":path", "/a%20b"),
            (":authority", "me:pw@Example.ORG:8443"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("accept", "x"),
            ("accept", "y"),
        ]);
        assert_eq!(request.value(Known::Cookie), Some(&b"a=1; b=2"[..]));
        assert_eq!(request.value(Known::Accept), Some(&b"x, y"[..]));
        assert_eq!(request.value(Known::Referer), None);
        assert_eq!(request.host(), Some(&b"example.org"[..]));
        assert_eq!(request.host_raw(), Some(&b"me:pw@Example.ORG:8443"[..]));
        assert_eq!(request.first_line(true), b"GET /a%20b HTTP/2\r\n");
        assert_eq!(request.line(3), Some(&b"cookie: a=1"[..]));
        assert_eq!(request.line(0), Some(&b":method: GET"[..]));
        assert_eq!(request.line(7), None);
        assert!(request.names().starts_with(b"\r\n:method\r\n:path\r\n") && request.names().ends_with(b"accept\r\naccept\r\n\r\n"));
        assert!(request.lines().ends_with(b"accept: x\r\naccept: y\r\n"));
        let response = fields(&[(":status", "404"), ("server", "s")]);
        assert_eq!((response.status(), response.first_line(false)), (404, &b"HTTP/2 404\r\n"[..]));
        assert_eq!(fields(&[(":status", "4o4")]).status(), 0);
    }

    #[test]
    fn what_is_too_much_is_left_out() {
        let mut fields = Fields::default();
        assert!(fields.push(b"a", b"12345678", 10) && !fields.push(b"bb", b"", 10) && fields.push(b"c", b"", 10));
        let mut many = Fields::default();
        let kept = (0..10_000).filter(|_| many.push(b"", b"", 10)).count();
        assert_eq!(kept, FIELDS_MAX);
    }
}
