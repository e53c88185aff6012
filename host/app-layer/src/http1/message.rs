//! Head and body of one message, and the buffers made of them.

use super::body::Body;
use super::multipart::Part;
use super::uri::{normalise, strip_port};
use std::cell::OnceCell;

/// A header field; repeated ones are joined with ", ".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// Name as written.
    pub name: Vec<u8>,
    /// Value, unfolded and trimmed.
    pub value: Vec<u8>,
}

/// One direction of a transaction.
#[derive(Default)]
pub struct Message {
    /// First line without its end.
    pub line: Vec<u8>,
    /// Request: method. Response: protocol.
    pub first: Vec<u8>,
    /// Request: target as written. Response: status code.
    pub second: Vec<u8>,
    /// Request: protocol. Response: reason.
    pub third: Vec<u8>,
    /// Request: normalised target.
    pub uri: Vec<u8>,
    /// Request: host of an absolute target.
    pub uri_host: Option<Vec<u8>>,
    /// Fields in order of first appearance.
    pub headers: Vec<Header>,
    /// Field lines as they came, with the empty line.
    pub raw_headers: Vec<u8>,
    /// Body.
    pub body: Body,
    /// Parts of a multipart body.
    pub parts: Vec<Part>,
    /// Boundary of a multipart body.
    pub boundary: Option<Vec<u8>>,
    joined: OnceCell<Vec<u8>>,
    names: OnceCell<Vec<u8>>,
    start: OnceCell<Vec<u8>>,
    host: OnceCell<Option<Vec<u8>>>,
}

fn trim(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

impl Message {
    /// Take the first line of a request apart.
    pub fn request_line(&mut self, line: &[u8]) {
        self.line = line.to_vec();
        let line = trim(line);
        let split = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        self.first = line[..split].to_vec();
        let rest = trim(&line[split..]);
        // A target may hold spaces; the protocol is the last word, if it looks like one.
        let (target, protocol) = match rest.iter().rposition(u8::is_ascii_whitespace) {
            Some(at) if rest[at + 1..].get(..5).is_some_and(|p| p.eq_ignore_ascii_case(b"HTTP/")) => {
                (trim(&rest[..at]), &rest[at + 1..])
            }
            _ => (rest, &[][..]),
        };
        self.second = target.to_vec();
        self.third = protocol.to_vec();
        let normalised = normalise(target);
        self.uri = normalised.uri;
        self.uri_host = normalised.host;
    }

    /// Take the status line apart.
    pub fn status_line(&mut self, line: &[u8]) {
        self.line = line.to_vec();
        let line = trim(line);
        let split = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
        self.first = line[..split].to_vec();
        let rest = trim(&line[split..]);
        let split = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.second = rest[..split].to_vec();
        self.third = trim(&rest[split..]).to_vec();
    }

    /// Add a field line (unfolded, without its end).
    pub fn field(&mut self, line: &[u8]) {
        let (name, value) = match line.iter().position(|b| *b == b':') {
            Some(at) => (trim(&line[..at]), trim(&line[at + 1..])),
            None => (&[][..], trim(line)),
        };
        if let Some(known) = self.headers.iter_mut().find(|h| h.name.eq_ignore_ascii_case(name)) {
            known.value.extend_from_slice(b", ");
            known.value.extend_from_slice(value);
            return;
        }
        if self.headers.len() < 1024 {
            self.headers.push(Header { name: name.to_vec(), value: value.to_vec() });
        }
    }

    /// Value of a field.
    pub fn header(&self, name: &[u8]) -> Option<&[u8]> {
        self.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.as_slice())
    }

    /// `http.header`: `Name: value` lines, without cookies.
    pub fn joined(&self) -> &[u8] {
        self.joined.get_or_init(|| {
            let mut out = Vec::new();
            for h in &self.headers {
                if h.name.eq_ignore_ascii_case(b"cookie") || h.name.eq_ignore_ascii_case(b"set-cookie") {
                    continue;
                }
                out.extend_from_slice(&h.name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(&h.value);
                out.extend_from_slice(b"\r\n");
            }
            out
        })
    }

    /// `http.header_names`
    pub fn names(&self) -> &[u8] {
        self.names.get_or_init(|| {
            let mut out = b"\r\n".to_vec();
            for h in &self.headers {
                out.extend_from_slice(&h.name);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out
        })
    }

    /// `http.start`
    pub fn start(&self) -> &[u8] {
        self.start.get_or_init(|| {
            let mut out = self.line.clone();
            out.extend_from_slice(b"\r\n");
            for h in &self.headers {
                out.extend_from_slice(&h.name);
                out.extend_from_slice(b": ");
                out.extend_from_slice(&h.value);
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(b"\r\n");
            out
        })
    }

    /// `http.host.raw`
    pub fn host_raw(&self) -> Option<&[u8]> {
        self.uri_host.as_deref().or_else(|| self.header(b"host"))
    }

    /// `http.host`: lower case, without port.
    pub fn host(&self) -> Option<&[u8]> {
        self.host
            .get_or_init(|| self.host_raw().map(|raw| strip_port(raw).to_ascii_lowercase()))
            .as_deref()
    }
}
