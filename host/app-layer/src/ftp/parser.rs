//! Command and reply lines.

use crate::expectation::Listing;

/// The commands that matter for the state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Port,
    ExtendedPort,
    Passive,
    ExtendedPassive,
    AuthTls,
    /// From the server: RETR.
    Retrieve,
    /// To the server: STOR, and APPE, STOU, which upload as well.
    Store,
    /// From the server: a listing (LIST, NLST, MLSD), which is no file.
    List(Listing),
    Other,
}

/// Name and argument of a command line.
pub(super) fn split(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    (name, rest.get(1..).unwrap_or(&[]))
}

/// What a command does.
pub(super) fn verb(name: &[u8], argument: &[u8]) -> Verb {
    let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
    if is(b"PORT") {
        Verb::Port
    } else if is(b"EPRT") {
        Verb::ExtendedPort
    } else if is(b"PASV") {
        Verb::Passive
    } else if is(b"EPSV") {
        Verb::ExtendedPassive
    } else if is(b"RETR") {
        Verb::Retrieve
    } else if is(b"STOR") || is(b"APPE") || is(b"STOU") {
        Verb::Store
    } else if is(b"LIST") {
        Verb::List(Listing::List)
    } else if is(b"NLST") {
        Verb::List(Listing::Names)
    } else if is(b"MLSD") {
        Verb::List(Listing::Machine)
    } else if is(b"AUTH") && [&b"TLS"[..], b"TLS-C", b"SSL"].iter().any(|m| argument.trim_ascii().eq_ignore_ascii_case(m)) {
        Verb::AuthTls
    } else {
        Verb::Other
    }
}

/// A reply line: code, whether more lines follow, text behind the code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply<'a> {
    pub code: [u8; 3],
    pub more: bool,
    pub text: &'a [u8],
}

/// Take a reply line apart; none if it begins with no code.
pub(super) fn reply(line: &[u8]) -> Option<Reply<'_>> {
    let code: [u8; 3] = line.get(..3)?.try_into().ok()?;
    if !code.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let rest = line.get(3..).unwrap_or(&[]);
    Some(Reply { code, more: rest.first() == Some(&b'-'), text: rest.get(1..).unwrap_or(&[]) })
}

/// `h1,h2,h3,h4,p1,p2`: the port, wherever the six numbers stand (RFC 959 section 4.1.2, RFC 1123 section 4.1.2.6).
pub(super) fn port(text: &[u8]) -> Option<u16> {
    let start = text.iter().position(u8::is_ascii_digit)?;
    let numbers = text.get(start..)?;
    let end = numbers.iter().position(|b| !b.is_ascii_digit() && *b != b',' && *b != b' ').unwrap_or(numbers.len());
    let mut values = numbers.get(..end)?.split(|b| *b == b',').map(|part| {
        std::str::from_utf8(part.trim_ascii()).ok().and_then(|n| n.parse::<u8>().ok())
    });
    for _ in 0..4 {
        values.next()??;
    }
    let (high, low) = (values.next()??, values.next()??);
    Some(u16::from_be_bytes([high, low]))
}

/// `|1|address|port|` or `(|||port|)`: the port (RFC 2428 sections 2 and 3).
pub(super) fn extended_port(text: &[u8]) -> Option<u16> {
    let start = match text.iter().position(|b| *b == b'(') {
        Some(bracket) => bracket + 1,
        None => text.iter().position(|b| !b.is_ascii_whitespace())?,
    };
    let text = text.get(start..)?;
    let separator = *text.first()?;
    let field = text.split(|b| *b == separator).nth(3)?;
    std::str::from_utf8(field).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        assert_eq!(split(b"USER anonymous x"), (&b"USER"[..], &b"anonymous x"[..]));
        assert_eq!(split(b"SYST"), (&b"SYST"[..], &b""[..]));
        assert_eq!(verb(b"stor", b"x"), Verb::Store);
        assert_eq!(verb(b"AUTH", b"TLS"), Verb::AuthTls);
        assert_eq!(verb(b"AUTH", b"GSSAPI"), Verb::Other);
    }

    #[test]
    fn replies() {
        assert_eq!(reply(b"220-hi"), Some(Reply { code: *b"220", more: true, text: b"hi" }));
        assert_eq!(reply(b"226"), Some(Reply { code: *b"226", more: false, text: b"" }));
        assert_eq!(reply(b" text"), None);
    }

    #[test]
    fn ports() {
        assert_eq!(port(b"10,0,0,1,4,1"), Some(1025));
        assert_eq!(port(b"Entering Passive Mode (10,0,0,1,255,254)."), Some(65534));
        assert_eq!(port(b"10,0,0,1,4"), None);
        assert_eq!(port(b"10,0,0,1,256,1"), None);
        assert_eq!(extended_port(b"|2|::1|5282|"), Some(5282));
        assert_eq!(extended_port(b"Entering Extended Passive Mode (|||6446|)"), Some(6446));
        assert_eq!(extended_port(b"nonsense"), None);
    }
}
