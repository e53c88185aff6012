//! A message, and a session description.

use weir_ir::Buffer;

/// Most fields, and most lines of a description, that are kept.
const FIELDS_MAX: usize = 256;

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    pub line: Vec<u8>,
    pub response: bool,
    /// Method and target, or code and phrase.
    pub first: Vec<u8>,
    pub second: Vec<u8>,
    pub protocol: Vec<u8>,
    /// Values of the fields that rules ask for.
    pub fields: Vec<(Buffer, Vec<u8>)>,
    /// Lines of the session description.
    pub description: Vec<(Buffer, Vec<u8>)>,
}

/// Names of fields and their short forms (RFC 3261 section 20).
fn field(name: &[u8]) -> Option<Buffer> {
    let is = |long: &[u8], short: &[u8]| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short);
    Some(if is(b"from", b"f") {
        Buffer::SipFrom
    } else if is(b"to", b"t") {
        Buffer::SipTo
    } else if is(b"via", b"v") {
        Buffer::SipVia
    } else if is(b"user-agent", b"user-agent") {
        Buffer::SipUserAgent
    } else if is(b"content-type", b"c") {
        Buffer::SipContentType
    } else if is(b"content-length", b"l") {
        Buffer::SipContentLength
    } else {
        return None;
    })
}

/// Where the head of a message ends, its empty line included.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(lf) = memchr::memchr(b'\n', bytes.get(from..)?) {
        let next = from + lf + 1;
        match bytes.get(next..) {
            Some([b'\n', ..]) => return Some(next + 1),
            Some([b'\r', b'\n', ..]) => return Some(next + 2),
            _ => from = next,
        }
    }
    None
}

/// Take a head apart; none if it begins like neither request nor response.
pub(super) fn head(head: &[u8]) -> Option<Message> {
    let mut lines = head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let line = lines.next()?;
    let mut parts = line.splitn(3, |b| *b == b' ');
    let (a, b, c) = (parts.next()?, parts.next()?, parts.next().unwrap_or(&[]));
    let response = a.starts_with(b"SIP/");
    if !response && !c.starts_with(b"SIP/") {
        return None;
    }
    let (first, second, protocol) = if response { (b, c, a) } else { (a, b, c) };
    let mut out = Message {
        line: line.to_vec(),
        response,
        first: first.to_vec(),
        second: second.to_vec(),
        protocol: protocol.to_vec(),
        ..Message::default()
    };
    let mut folding = false;
    for line in lines.take_while(|line| !line.is_empty()) {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            if let (true, Some((_, value))) = (folding, out.fields.last_mut()) {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
            continue;
        }
        folding = false;
        let Some(colon) = memchr::memchr(b':', line) else { continue };
        let (name, value) = (line.get(..colon)?.trim_ascii(), line.get(colon + 1..)?.trim_ascii());
        if let (Some(buffer), true) = (field(name), out.fields.len() < FIELDS_MAX) {
            out.fields.push((buffer, value.to_vec()));
            folding = true;
        }
    }
    Some(out)
}

/// Lines of a session description (RFC 8866 section 5). Behind the first `m=` they belong to that medium.
pub(super) fn description(body: &[u8]) -> Vec<(Buffer, Vec<u8>)> {
    let mut out = Vec::new();
    let mut media = false;
    for line in body.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end).take(FIELDS_MAX) {
        let [kind, b'=', value @ ..] = line else { continue };
        media |= *kind == b'm';
        let buffer = match (kind, media) {
            (b'o', _) => Buffer::SdpOrigin,
            (b's', _) => Buffer::SdpSessionName,
            (b'i', false) => Buffer::SdpSessionInfo,
            (b'i', true) => Buffer::SdpMediaInfo,
            (b'u', _) => Buffer::SdpUri,
            (b'e', _) => Buffer::SdpEmail,
            (b'p', _) => Buffer::SdpPhoneNumber,
            (b'c', false) => Buffer::SdpConnectionData,
            (b'c', true) => Buffer::SdpMediaConnectionData,
            (b'b', _) => Buffer::SdpBandwidth,
            (b't', _) => Buffer::SdpTime,
            (b'r', _) => Buffer::SdpRepeatTime,
            (b'z', _) => Buffer::SdpTimezone,
            (b'k', false) => Buffer::SdpEncryptionKey,
            (b'k', true) => Buffer::SdpMediaEncryptionKey,
            (b'a', _) => Buffer::SdpAttribute,
            (b'm', _) => Buffer::SdpMedia,
            _ => continue,
        };
        out.push((buffer, value.to_vec()));
    }
    out
}

impl Message {
    /// What Content-Length says.
    pub fn length(&self) -> Option<usize> {
        let value = &self.fields.iter().find(|(b, _)| *b == Buffer::SipContentLength)?.1;
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// The body is a session description.
    pub fn describes(&self) -> bool {
        let value = self.fields.iter().find(|(b, _)| *b == Buffer::SipContentType);
        value.is_some_and(|(_, v)| v.to_ascii_lowercase().starts_with(b"application/sdp"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads() {
        let bytes = b"INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nf: \"A\" <sip:a@x>\r\nTo: <sip:b@x>\r\n ;tag=1\r\nContent-Length: 4\r\n\r\nv=0\n";
        let end = head_end(bytes).expect("there");
        assert_eq!(&bytes[end..], b"v=0\n");
        let m = head(&bytes[..end]).expect("a request");
        assert_eq!((m.first.as_slice(), m.second.as_slice(), m.protocol.as_slice()), (&b"INVITE"[..], &b"sip:b@x"[..], &b"SIP/2.0"[..]));
        assert_eq!(m.fields[1], (Buffer::SipFrom, b"\"A\" <sip:a@x>".to_vec()));
        assert_eq!(m.fields[2], (Buffer::SipTo, b"<sip:b@x> ;tag=1".to_vec()));
        assert_eq!(m.length(), Some(4));
        let m = head(b"SIP/2.0 486 Busy Here\n\n").expect("a response");
        assert_eq!((m.response, m.first.as_slice(), m.second.as_slice()), (true, &b"486"[..], &b"Busy Here"[..]));
        assert_eq!(head(b"GET / HTTP/1.1\n\n"), None);
        assert_eq!(head_end(b"a\r\nb\r\n"), None);
    }

    #[test]
    fn descriptions() {
        let lines = description(b"v=0\r\no=me 1 1 IN IP4 h\r\nc=IN IP4 h\r\na=x\r\nm=audio 1 RTP/AVP 0\r\nc=IN IP4 i\r\na=y\r\n");
        let of = |b| lines.iter().filter(|(k, _)| *k == b).map(|(_, v)| v.as_slice()).collect::<Vec<_>>();
        assert_eq!(of(Buffer::SdpOrigin), [b"me 1 1 IN IP4 h"]);
        assert_eq!(of(Buffer::SdpConnectionData), [b"IN IP4 h"]);
        assert_eq!(of(Buffer::SdpMediaConnectionData), [b"IN IP4 i"]);
        assert_eq!(of(Buffer::SdpAttribute), [b"x", b"y"]);
    }
}
