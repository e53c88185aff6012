//! Other ways to say the same: what protocols allow, and adversaries use.
//!
//! Transformations of a conversation's messages. Most keep the meaning; where one does not for a rule (it looks at the
//! raw bytes), both engines have to agree on that too.

use super::conversation::{Conversation, Transport, Turn, turn};
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use std::io::Write;
use weir_synth::{Random, Way};

/// A transformation of one message.
pub type Encoding = fn(&mut Turn, &mut Random) -> bool;

/// The transformations by name. Each says whether it could do anything.
pub const ENCODINGS: [(&str, Encoding); 14] = [
    ("chunks", chunks),
    ("chunks of one byte", single_chunks),
    ("chunk extensions and trailer", chunk_extras),
    ("gzip", gzip),
    ("deflate", deflate),
    ("zlib", zlib),
    ("gzip in chunks", gzip_chunks),
    ("percent-encoding", percent),
    ("double percent-encoding", percent_twice),
    ("doubled slashes", slashes),
    ("dot segments", dots),
    ("folded headers", folding),
    ("case of header names", header_case),
    ("case of names in DNS", dns_case),
];

/// A message of HTTP/1: first line, header lines, body.
struct Message {
    line: Vec<u8>,
    fields: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Message {
    fn read(bytes: &[u8]) -> Option<Message> {
        let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
        let mut lines = bytes[..end].split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l).to_vec());
        let line = lines.next()?;
        let http = line.windows(5).any(|w| w == b"HTTP/");
        http.then(|| Message { line, fields: lines.collect(), body: bytes[end + 4..].to_vec() })
    }

    fn write(&self) -> Vec<u8> {
        let mut out = [&self.line[..], b"\r\n"].concat();
        for field in &self.fields {
            out.extend([&field[..], b"\r\n"].concat());
        }
        out.extend(b"\r\n");
        out.extend(&self.body);
        out
    }

    fn drop_field(&mut self, name: &str) {
        self.fields.retain(|f| !f.get(..name.len()).is_some_and(|n| n.eq_ignore_ascii_case(name.as_bytes())));
    }

    fn replace_body(&mut self, body: Vec<u8>, field: &str) {
        self.fields.push(field.as_bytes().to_vec());
        self.drop_field("content-length:");
        self.fields.push(format!("Content-Length: {}", body.len()).into_bytes());
        self.body = body;
    }

    fn chunk(&mut self, size: impl FnMut() -> usize, extras: bool) {
        self.drop_field("content-length:");
        self.fields.push(b"Transfer-Encoding: chunked".to_vec());
        self.body = chunked(&self.body, size, extras);
    }
}

fn chunked(body: &[u8], mut size: impl FnMut() -> usize, extras: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(size().clamp(1, rest.len()));
        let extension = if extras { ";name=\"a;b\"" } else { "" };
        out.extend(format!("{:x}{extension}\r\n", part.len()).into_bytes());
        out.extend(part);
        out.extend(b"\r\n");
        rest = after;
    }
    out.extend(b"0\r\n");
    if extras {
        out.extend(b"X-Trailer: 1\r\n");
    }
    out.extend(b"\r\n");
    out
}

fn with(turn: &mut Turn, change: impl FnOnce(&mut Message) -> bool) -> bool {
    let Some(mut message) = Message::read(&turn.bytes).filter(|_| !turn.whole) else { return false };
    let changed = change(&mut message);
    if changed {
        turn.bytes = message.write();
    }
    changed
}

fn chunks(turn: &mut Turn, random: &mut Random) -> bool {
    with(turn, |m| {
        m.chunk(|| 1 + random.below(60) as usize, false);
        true
    })
}

fn single_chunks(turn: &mut Turn, _: &mut Random) -> bool {
    with(turn, |m| {
        let fits = m.body.len() < 400;
        if fits {
            m.chunk(|| 1, false);
        }
        fits
    })
}

fn chunk_extras(turn: &mut Turn, random: &mut Random) -> bool {
    with(turn, |m| {
        m.chunk(|| 1 + random.below(30) as usize, true);
        true
    })
}

fn packed<W: Write>(body: &[u8], mut encoder: W, finish: impl FnOnce(W) -> std::io::Result<Vec<u8>>) -> Vec<u8> {
    // Writing to memory does not fail.
    let written = encoder.write_all(body).and_then(|()| finish(encoder));
    written.unwrap_or_default()
}

fn gzipped(body: &[u8]) -> Vec<u8> {
    packed(body, GzEncoder::new(Vec::new(), Compression::default()), GzEncoder::finish)
}

fn compressed(turn: &mut Turn, field: &str, pack: impl FnOnce(&[u8]) -> Vec<u8>) -> bool {
    let answers = turn.way == Way::ToClient;
    with(turn, |m| {
        if !answers || m.body.is_empty() {
            return false;
        }
        let body = pack(&m.body);
        m.replace_body(body, field);
        true
    })
}

fn gzip(turn: &mut Turn, _: &mut Random) -> bool {
    compressed(turn, "Content-Encoding: gzip", gzipped)
}

fn deflate(turn: &mut Turn, _: &mut Random) -> bool {
    compressed(turn, "Content-Encoding: deflate", |body| {
        packed(body, DeflateEncoder::new(Vec::new(), Compression::default()), DeflateEncoder::finish)
    })
}

fn zlib(turn: &mut Turn, _: &mut Random) -> bool {
    compressed(turn, "Content-Encoding: deflate", |body| {
        packed(body, ZlibEncoder::new(Vec::new(), Compression::default()), ZlibEncoder::finish)
    })
}

fn gzip_chunks(turn: &mut Turn, random: &mut Random) -> bool {
    gzip(turn, random) && chunks(turn, random)
}

/// Changes the target's bytes.
fn target(turn: &mut Turn, change: impl FnOnce(&[u8]) -> Vec<u8>) -> bool {
    if turn.way == Way::ToClient {
        return false;
    }
    with(turn, |m| {
        let Some(from) = m.line.iter().position(|b| *b == b' ').map(|n| n + 1) else { return false };
        let Some(to) = m.line.iter().rposition(|b| *b == b' ').filter(|n| *n > from) else { return false };
        let uri = change(&m.line[from..to]);
        m.line.splice(from..to, uri);
        true
    })
}

fn escaped(uri: &[u8], random: &mut Random, prefix: &str, one_in: u64) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, byte) in uri.iter().enumerate() {
        let inside = n >= 2 && uri[n - 2..n].contains(&b'%');
        if n > 0 && byte.is_ascii_alphanumeric() && !inside && random.one_in(one_in) {
            let digits = if random.one_in(2) { format!("{prefix}{byte:02x}") } else { format!("{prefix}{byte:02X}") };
            out.extend(digits.into_bytes());
        } else {
            out.push(*byte);
        }
    }
    out
}

fn percent(turn: &mut Turn, random: &mut Random) -> bool {
    target(turn, |uri| escaped(uri, random, "%", 3))
}

fn percent_twice(turn: &mut Turn, random: &mut Random) -> bool {
    target(turn, |uri| escaped(uri, random, "%25", 3))
}

fn path(uri: &[u8], instead: &[u8]) -> Vec<u8> {
    let end = uri.iter().position(|b| *b == b'?').unwrap_or(uri.len());
    let mut out: Vec<u8> =
        uri[..end].iter().flat_map(|b| if *b == b'/' { instead.to_vec() } else { vec![*b] }).collect();
    out.extend(&uri[end..]);
    out
}

fn slashes(turn: &mut Turn, _: &mut Random) -> bool {
    target(turn, |uri| path(uri, b"//"))
}

fn dots(turn: &mut Turn, random: &mut Random) -> bool {
    let instead: &[u8] = if random.one_in(2) { b"/./" } else { b"/x/../" };
    target(turn, |uri| path(uri, instead))
}

fn folding(turn: &mut Turn, random: &mut Random) -> bool {
    with(turn, |m| {
        let Some(field) = m.fields.iter_mut().find(|f| f.iter().filter(|b| **b == b' ').count() > 1) else {
            return false;
        };
        let spaces: Vec<usize> =
            field.iter().enumerate().skip(8).filter(|(_, b)| **b == b' ').map(|(n, _)| n).collect();
        if spaces.is_empty() {
            return false;
        }
        let at = random.pick(&spaces);
        field.splice(at..=at, *b"\r\n ");
        true
    })
}

fn header_case(turn: &mut Turn, random: &mut Random) -> bool {
    with(turn, |m| {
        for field in &mut m.fields {
            for byte in field.iter_mut().take_while(|b| **b != b':') {
                if random.one_in(2) {
                    *byte = byte.to_ascii_lowercase();
                } else {
                    *byte = byte.to_ascii_uppercase();
                }
            }
        }
        true
    })
}

/// The case of letters in names does not count (RFC 4343).
fn dns_case(turn: &mut Turn, random: &mut Random) -> bool {
    let query = turn.bytes.get(4..6) == Some(&[0, 1]) && turn.bytes.len() > 17 && !turn.whole;
    if query {
        for byte in &mut turn.bytes[12..] {
            if byte.is_ascii_alphabetic() && random.one_in(2) {
                *byte ^= 0x20;
            }
        }
    }
    query
}

fn is_http(turn: &Turn) -> bool {
    Message::read(&turn.bytes).is_some()
}

/// Applies one encoding to every message that takes it; whether there was one.
pub fn apply(conversation: &mut Conversation, encoding: Encoding, random: &mut Random) -> bool {
    let mut changed = false;
    for turn in &mut conversation.turns {
        changed |= encoding(turn, random);
    }
    changed
}

/// Earlier exchanges on the same connection that mean no harm.
pub fn keep_alive(conversation: &mut Conversation, random: &mut Random) -> bool {
    let http = conversation.transport == Transport::Tcp && conversation.turns.first().is_some_and(is_http);
    if !http {
        return false;
    }
    let mut before = Vec::new();
    for _ in 0..1 + random.below(4) {
        let path = random.pick(&["/", "/index.html", "/a/b/c.css", "/images/logo.png"]);
        before.push(turn(Way::ToServer, format!("GET {path} HTTP/1.1\r\nHost: www.example.org\r\n\r\n").into_bytes()));
        let body = "<p>hello</p>\n".repeat(1 + random.below(200) as usize);
        before.push(turn(
            Way::ToClient,
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\n\r\n{body}", body.len())
                .into_bytes(),
        ));
    }
    conversation.turns.splice(0..0, before);
    true
}

/// Changes a conversation at random.
pub fn vary(conversation: &mut Conversation, random: &mut Random) {
    if random.one_in(3) {
        keep_alive(conversation, random);
    }
    for _ in 0..random.below(3) {
        let (_, encoding) = random.pick(&ENCODINGS);
        apply(conversation, encoding, random);
    }
}
