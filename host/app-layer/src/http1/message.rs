//! Head and body of one message, and the buffers made of them.
//!
//! The head is kept once, as it came; everything else is spans of it. Joined buffers are made when first asked for.
//! Memory is used again by later messages of the flow.

use super::body::Body;
use super::multipart::Multipart;
use super::text::{Version, is_space, is_token};
use super::uri::Target;
use std::cell::OnceCell;
use std::ops::Range;

/// A range of the head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn of(range: Range<usize>) -> Span {
        let word = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { start: word(range.start), end: word(range.end) }
    }

    /// Of `part`, which lies in `whole`; empty if it does not.
    pub fn within(whole: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        match start.checked_add(part.len()) {
            Some(end) if end <= whole.len() => Span::of(start..end),
            _ => Span::default(),
        }
    }

    fn get(self, bytes: &[u8]) -> &[u8] {
        bytes.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }
}

/// A header field; repeated ones are joined with ", ".
#[derive(Debug, Clone, Copy, Default)]
struct Field {
    name: Span,
    value: Span,
    /// The value was put together and lies in `text`, not in the head.
    made: bool,
    /// So was the name.
    name_made: bool,
    /// Next field of the same name while the head is taken apart; 0 = none.
    next: u32,
    repeated: bool,
}

/// Fields that have a buffer of their own or steer parsing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Known {
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
    TransferEncoding,
    Location,
    Server,
    Upgrade,
    Authorization,
}

const KNOWN: [&[u8]; 18] = [
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
    b"transfer-encoding",
    b"location",
    b"server",
    b"upgrade",
    b"authorization",
];

/// What is odd about the fields of a head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FieldOddities {
    /// A name that is no token.
    pub name_invalid: bool,
    /// White space between a name and its colon.
    pub space_after_name: bool,
    /// A line of nothing but CR.
    pub deformed_end: bool,
    /// A line without colon.
    pub missing_colon: bool,
    /// A first line that begins with white space.
    pub folding: bool,
    /// A name twice.
    pub repetition: bool,
    /// More fields than are kept.
    pub too_many: bool,
    /// Content-Length twice with different numbers.
    pub ambiguous_length: bool,
}

/// Most fields of a head.
const FIELDS_MAX: usize = 1024;
/// Most repetitions of fields in a head that are joined.
const REPETITIONS_MAX: usize = 64;

/// One direction of a transaction.
#[derive(Default)]
pub struct Message {
    /// The head as it came, up to and with the empty line.
    pub head: Vec<u8>,
    /// First line without its end.
    line: Span,
    /// Request: method. Response: protocol.
    first: Span,
    /// Request: target as written. Response: status code.
    second: Option<Span>,
    /// Request: protocol. Response: reason.
    third: Option<Span>,
    /// Where the fields begin in the head.
    fields_at: usize,
    /// Version of the protocol.
    pub version: Version,
    /// Response: status code; 0 if it is none.
    pub status: u16,
    /// Request: normalised target.
    pub uri: Vec<u8>,
    /// Request: what the target says.
    pub target: Target,
    /// `http.host`
    pub host: Option<Vec<u8>>,
    text: Vec<u8>,
    fields: Vec<Field>,
    known: [u16; KNOWN.len()],
    /// Bytes of the body on the wire, its framing included.
    pub wire: u64,
    /// Body.
    pub body: Body,
    /// Files of a multipart body.
    pub multipart: Option<Multipart>,
    start: OnceCell<Vec<u8>>,
    without_cookies: OnceCell<Vec<u8>>,
    names: OnceCell<Vec<u8>>,
    file_name: OnceCell<Vec<u8>>,
}

impl Message {
    /// Forget everything, keeping a moderate amount of memory.
    pub fn clear(&mut self) {
        let reuse = |mut bytes: Vec<u8>| {
            bytes.clear();
            if bytes.capacity() > 16 * 1024 { Vec::new() } else { bytes }
        };
        let mut fields = std::mem::take(&mut self.fields);
        fields.clear();
        let mut body = std::mem::take(&mut self.body);
        body.clear();
        *self = Message {
            head: reuse(std::mem::take(&mut self.head)),
            uri: reuse(std::mem::take(&mut self.uri)),
            text: reuse(std::mem::take(&mut self.text)),
            fields,
            body,
            ..Message::default()
        };
    }

    /// The first line ends where the head ends now; its parts are given as slices of the head.
    pub fn set_line(&mut self, line: Range<usize>, parts: impl FnOnce(&[u8]) -> LineParts<'_>) {
        self.fields_at = self.head.len();
        self.line = Span::of(line.clone());
        let bytes = self.head.get(line).unwrap_or(&[]);
        let found = parts(bytes);
        let span = |part: &[u8]| Span::within(&self.head, part);
        let (first, second, third) = (span(found.first), found.second.map(span), found.third.map(span));
        (self.first, self.second, self.third) = (first, second, third);
    }

    /// First line without its end.
    pub fn line(&self) -> &[u8] {
        self.line.get(&self.head)
    }
    /// Request: method. Response: protocol.
    pub fn first(&self) -> &[u8] {
        self.first.get(&self.head)
    }
    /// Request: target. Response: status code.
    pub fn second(&self) -> Option<&[u8]> {
        self.second.map(|s| s.get(&self.head))
    }
    /// Request: protocol. Response: reason.
    pub fn third(&self) -> Option<&[u8]> {
        self.third.map(|s| s.get(&self.head))
    }
    /// The field lines as they came, with the empty line.
    pub fn raw_fields(&self) -> &[u8] {
        self.head.get(self.fields_at..).unwrap_or(&[])
    }
    fn name_of(&self, field: &Field) -> &[u8] {
        field.name.get(if field.name_made { &self.text } else { &self.head })
    }
    /// Keeps bytes that were put together.
    fn keep(&mut self, bytes: &[u8]) -> Span {
        let span = Span::of(self.text.len()..self.text.len() + bytes.len());
        self.text.extend_from_slice(bytes);
        span
    }
    fn value_of(&self, field: &Field) -> &[u8] {
        field.value.get(if field.made { &self.text } else { &self.head })
    }

    /// Fields in order of first appearance: name and value.
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields.iter().map(|field| (self.name_of(field), self.value_of(field)))
    }

    /// Value of a field.
    pub fn header(&self, known: Known) -> Option<&[u8]> {
        let at = self.known.get(known as usize).copied().unwrap_or(0);
        self.fields.get(usize::from(at).checked_sub(1)?).map(|field| self.value_of(field))
    }

    /// Value of a field that names codings, as browsers read it: without NULs, also those within the name, or a NUL that
    /// begins the line behind an empty value. Where the name is broken, only what names one of `known` counts, so that
    /// either the name or the coding stands in the head as it is.
    pub fn coding(&self, field: Known, known: &[&[u8]]) -> Option<Vec<u8>> {
        let clean = |bytes: &[u8]| bytes.iter().copied().filter(|b| *b != 0).collect::<Vec<u8>>();
        if let Some(value) = self.header(field) {
            if !value.is_empty() {
                return Some(clean(value));
            }
            let mut behind = self.fields().skip_while(|(name, _)| !name.eq_ignore_ascii_case(KNOWN[field as usize])).skip(1);
            let next = behind.next().filter(|(name, value)| name.is_empty() && value.first() == Some(&0));
            return Some(next.map(|(_, value)| clean(value)).unwrap_or_default());
        }
        let broken = |name: &[u8]| memchr::memchr(0, name).is_some() && clean(name).eq_ignore_ascii_case(KNOWN[field as usize]);
        let (_, value) = self.fields().find(|(name, _)| broken(name))?;
        known.iter().any(|k| super::text::contains_fold(value, k)).then(|| value.to_vec())
    }

    /// Take the field lines of the complete head apart.
    pub fn take_fields(&mut self, response: bool) -> FieldOddities {
        let mut oddities = FieldOddities::default();
        let head = std::mem::take(&mut self.head);
        let mut at = self.fields_at;
        let mut repetitions = 0;
        while let Some((line, mut next)) = next_line(&head, at, response) {
            if line.is_empty() {
                oddities.deformed_end |= response && head.get(at..next).is_some_and(|end| end.starts_with(b"\r\r"));
                at = next;
                continue;
            }
            // Lines that continue this one.
            let mut folded = false;
            let mut made = Vec::new();
            while let Some((more, after)) = next_line(&head, next, response) {
                let Some(&lead @ (b' ' | b'\t')) = more.first() else { break };
                // White space alone continues a response's field; a request's it does not.
                if !response && more.iter().all(|b| is_space(*b)) {
                    break;
                }
                if response && looks_like_field(more) {
                    break;
                }
                if !folded {
                    made.extend_from_slice(line);
                    folded = true;
                }
                made.push(lead);
                let skip = more.iter().position(|b| !matches!(b, b' ' | b'\t')).unwrap_or(more.len());
                made.extend_from_slice(&more[skip..]);
                next = after;
            }
            oddities.folding |= line.first().is_some_and(|b| is_space(*b));
            let whole = if folded { made.as_slice() } else { line };
            // A response's name may be broken by a CR.
            let until = if response { whole.len() } else { line.len() };
            let colon = memchr::memchr(b':', &whole[..until]);
            let (name, value) = match colon {
                Some(colon) => (trim(&whole[..colon]), trim(&whole[colon + 1..])),
                None => (&whole[..0], trim(whole)),
            };
            // Nothing before the colon is no name.
            oddities.missing_colon |= colon.is_none() || name.is_empty();
            if let Some(colon) = colon {
                let raw = &whole[..colon];
                let named = raw.strip_prefix(b"\0").unwrap_or(raw);
                oddities.space_after_name |= !name.is_empty() && matches!(raw.last(), Some(b' ' | b'\t' | b'\r' | b'\n'));
                oddities.name_invalid |= !named.trim_ascii_end().trim_ascii_start().iter().all(|b| is_token(*b))
                    || matches!(raw.last(), Some(0x0b | 0x0c));
            }
            let mut field =
                Field { name: Span::within(&head, name), value: Span::within(&head, value), ..Field::default() };
            if folded {
                (field.name, field.name_made) = (self.keep(name), true);
                (field.value, field.made) = (self.keep(value), true);
            }
            at = next;
            self.add(&head, name, field, &mut repetitions, &mut oddities);
        }
        self.head = head;
        self.join_repeated(&mut oddities);
        oddities
    }

    fn add(
        &mut self,
        head: &[u8],
        name: &[u8],
        field: Field,
        repetitions: &mut usize,
        oddities: &mut FieldOddities,
    ) {
        let known = KNOWN.iter().position(|k| k.len() == name.len() && k.eq_ignore_ascii_case(name));
        let seen = match known {
            Some(known) => usize::from(self.known[known]).checked_sub(1),
            None => self.fields.iter().position(|f| {
                let known = f.name.get(if f.name_made { &self.text } else { head });
                known.len() == name.len() && known.eq_ignore_ascii_case(name)
            }),
        };
        if self.fields.len() >= FIELDS_MAX {
            oddities.too_many = true;
            return;
        }
        if let Some(first) = seen {
            oddities.repetition = true;
            *repetitions += 1;
            if *repetitions > REPETITIONS_MAX {
                return;
            }
            // Chained to the first; the chain's members are taken out when they are joined.
            let mut last = first;
            while self.fields[last].next != 0 {
                last = self.fields[last].next as usize;
            }
            let at = self.fields.len();
            self.fields.push(Field { next: 0, ..field });
            self.fields[last].next = at as u32;
            self.fields[first].repeated = true;
            return;
        }
        if let Some(known) = known {
            self.known[known] = (self.fields.len() + 1) as u16;
        }
        self.fields.push(field);
    }

    /// Join values of repeated fields (Content-Length keeps the first), and drop the repetitions.
    fn join_repeated(&mut self, oddities: &mut FieldOddities) {
        if !self.fields.iter().any(|f| f.repeated) {
            return;
        }
        let mut keep = vec![true; self.fields.len()];
        for first in 0..self.fields.len() {
            if !self.fields[first].repeated {
                continue;
            }
            let length = self.name_of(&self.fields[first]).eq_ignore_ascii_case(b"content-length");
            let mut made = self.value_of(&self.fields[first]).to_vec();
            let number = super::text::lenient_number(&made);
            let mut at = self.fields[first].next as usize;
            while at != 0 {
                keep[at] = false;
                let value = self.value_of(&self.fields[at]);
                if length {
                    let other = super::text::lenient_number(value);
                    oddities.ambiguous_length |= number.is_none() || other != number;
                } else {
                    made.extend_from_slice(b", ");
                    made.extend_from_slice(value);
                }
                at = self.fields[at].next as usize;
            }
            let span = Span::of(self.text.len()..self.text.len() + made.len());
            self.text.extend_from_slice(&made);
            let field = &mut self.fields[first];
            (field.value, field.made, field.next) = (span, true, 0);
        }
        // Positions of known fields move with what goes before them.
        for at in &mut self.known {
            if *at > 0 {
                *at = keep[..usize::from(*at)].iter().filter(|k| **k).count() as u16;
            }
        }
        let mut keep = keep.iter();
        self.fields.retain(|_| *keep.next().unwrap_or(&true));
    }

    /// `http.start`: first line and fields, normalised.
    pub fn start(&self) -> &[u8] {
        self.start.get_or_init(|| {
            let mut out = Vec::with_capacity(self.head.len() + 16);
            out.extend_from_slice(self.line());
            out.extend_from_slice(b"\r\n");
            for (name, value) in self.fields() {
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out
        })
    }

    /// `http.header`: `Name: value` lines, without cookies.
    pub fn joined(&self, response: bool) -> &[u8] {
        let cookie = if response { Known::SetCookie } else { Known::Cookie };
        if self.header(cookie).is_none() {
            let start = self.start();
            return start.get(self.line().len() + 2..start.len().saturating_sub(2)).unwrap_or(&[]);
        }
        let skip = KNOWN[cookie as usize];
        self.without_cookies.get_or_init(|| {
            let mut out = Vec::with_capacity(self.head.len());
            for (name, value) in self.fields().filter(|(name, _)| !name.eq_ignore_ascii_case(skip)) {
                out.extend_from_slice(name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(value);
                out.extend_from_slice(b"\r\n");
            }
            out
        })
    }

    /// `http.request_header`, `http.response_header`: the field with this number as `Name: value`.
    pub fn field_line(&self, instance: usize) -> Option<&[u8]> {
        let start = self.start();
        let mut at = self.line().len() + 2;
        let length = |f: &Field| self.name_of(f).len() + 2 + self.value_of(f).len();
        for field in self.fields.get(..instance)? {
            at += length(field) + 2;
        }
        start.get(at..at + length(self.fields.get(instance)?))
    }

    /// `http.header_names`
    pub fn names(&self) -> &[u8] {
        self.names.get_or_init(|| {
            let mut out = b"\r\n".to_vec();
            for (name, _) in self.fields() {
                out.extend_from_slice(name);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out
        })
    }

    /// There are fields.
    pub fn has_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    /// `http.host.raw`
    pub fn host_raw(&self) -> Option<&[u8]> {
        self.target.host_raw.as_deref().or_else(|| self.header(Known::Host))
    }

    /// Name of the file that the body is, made once by `make`.
    pub fn file_name(&self, make: impl FnOnce() -> Vec<u8>) -> &[u8] {
        self.file_name.get_or_init(make)
    }
}

/// Parts of a first line, as slices of it.
#[derive(Default)]
#[allow(missing_docs)]
pub struct LineParts<'a> {
    pub first: &'a [u8],
    pub second: Option<&'a [u8]>,
    pub third: Option<&'a [u8]>,
}

fn trim(bytes: &[u8]) -> &[u8] {
    use super::text::Lines;
    bytes.trim_spaces()
}

/// A continuation line of a response that has the form of a field is one (RFC 9112 section 5.2 forbids folding).
fn looks_like_field(line: &[u8]) -> bool {
    let line = line.trim_ascii_start();
    let name = line.iter().take_while(|b| is_token(**b)).count();
    name > 0 && line[name..].trim_ascii_start().first() == Some(&b':')
}

/// The line at `at` without its end, and where the next one begins. Responses may end lines with CR alone.
fn next_line(head: &[u8], at: usize, response: bool) -> Option<(&[u8], usize)> {
    let rest = head.get(at..).filter(|rest| !rest.is_empty())?;
    let (mut end, mut next) = match memchr::memchr(b'\n', rest) {
        Some(lf) => (lf, lf + 1),
        None => (rest.len(), rest.len()),
    };
    while end > 0 && rest[end - 1] == b'\r' {
        end -= 1;
    }
    if response && let Some(cr) = memchr::memchr(b'\r', &rest[..end]) {
        end = cr;
        next = cr + 1;
    }
    Some((&rest[..end], at + next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(head: &[u8], response: bool) -> (Message, FieldOddities) {
        let mut m = Message { head: b"L\r\n".to_vec(), ..Message::default() };
        m.set_line(0..1, |line| LineParts { first: line, second: None, third: None });
        m.head.extend_from_slice(head);
        let oddities = m.take_fields(response);
        (m, oddities)
    }

    fn fields(head: &[u8], response: bool) -> Vec<(String, String)> {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        message(head, response).0.fields().map(|(n, v)| (text(n), text(v))).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect()
    }

    #[test]
    fn folding_and_repetition() {
        assert_eq!(fields(b"A: 1\r\n  2\r\nB : x \r\n\r\n", false), pairs(&[("A", "1 2"), ("B", "x")]));
        assert_eq!(fields(b"A:\r\n\t2\r\n\r\n", false), pairs(&[("A", "2")]));
        assert_eq!(fields(b"A: 1\nX: y\na: 2\nA: 3\nZ: z\n\n", false), pairs(&[("A", "1, 2, 3"), ("X", "y"), ("Z", "z")]));
        assert_eq!(fields(b"A: 1\r\n B: 2\r\n\r\n", true), pairs(&[("A", "1"), ("B", "2")]));
        assert_eq!(fields(b"A: 1\rB: 2\r\n\r\n", true), pairs(&[("A", "1"), ("B", "2")]));
        assert_eq!(fields(b"A\r : 1\r\n\r\n", true), pairs(&[("A", "1")]));
        let coding = |head: &[u8]| message(head, true).0.coding(Known::TransferEncoding, &[b"chunked"]);
        assert_eq!(coding(b"A: b\r\nTransfer-\0Encoding: chunked\r\n\r\n").as_deref(), Some(&b"chunked"[..]));
        assert_eq!(coding(b"Transfer-Encoding:\n\0chu\0nked\n\n").as_deref(), Some(&b"chunked"[..]));
        assert_eq!(coding(b"Transfer-\0Encoding: chu\0nked\n\n"), None);
        assert_eq!(fields(b"nocolon\r\nA: 1\r\n\r\n", false), pairs(&[("", "nocolon"), ("A", "1")]));
        let (m, o) = message(b"X: 1\r\nX: 2\r\nContent-Length: 5\r\nContent-Length: 6\r\nHost: h\r\n\r\n", false);
        assert!(o.ambiguous_length && o.repetition);
        assert_eq!(m.header(Known::ContentLength), Some(&b"5"[..]));
        assert_eq!(m.header(Known::Host), Some(&b"h"[..]));
        assert!(message(b"bad name: 1\r\n\r\n", false).1.name_invalid);
    }

    #[test]
    fn joined_buffers() {
        let (m, _) = message(b"Host: h\r\nCookie: c\r\nAccept:  */*\r\n\r\n", false);
        assert_eq!(m.joined(false), b"Host: h\r\nAccept: */*\r\n");
        assert_eq!(m.names(), b"\r\nHost\r\nCookie\r\nAccept\r\n\r\n");
        assert_eq!(m.start(), b"L\r\nHost: h\r\nCookie: c\r\nAccept: */*\r\n\r\n");
        assert_eq!(m.field_line(2), Some(&b"Accept: */*"[..]));
        assert_eq!(m.field_line(3), None);
        assert_eq!(m.raw_fields(), b"Host: h\r\nCookie: c\r\nAccept:  */*\r\n\r\n");
    }
}
