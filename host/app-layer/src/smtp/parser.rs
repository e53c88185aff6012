//! Commands and replies (RFC 5321 sections 4.1 and 4.2).

/// A command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command<'a> {
    /// HELO or EHLO, with the client's name.
    Hello(&'a [u8]),
    /// MAIL FROM, with the path as written.
    MailFrom(&'a [u8]),
    /// RCPT TO, with the path as written.
    RecipientTo(&'a [u8]),
    Data,
    /// Size, and whether it is the last chunk; none if the argument is no number (RFC 3030 section 2).
    Bdat(Option<(u64, bool)>),
    StartTls,
    Reset,
    Quit,
    Other,
}

/// What a reply is matched with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    /// The mail's end, which is answered as well.
    Mail,
    StartTls,
    Reset,
    Other,
}

/// The meaning of a line.
pub(super) fn command(line: &[u8]) -> Command<'_> {
    let begins = |word: &[u8]| line.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word));
    let argument = |length: usize| argument(line.get(length..).unwrap_or(&[]));
    if begins(b"starttls") {
        Command::StartTls
    } else if begins(b"data") {
        Command::Data
    } else if begins(b"bdat") {
        Command::Bdat(chunk(line.get(4..).unwrap_or(&[])))
    } else if begins(b"helo") || begins(b"ehlo") {
        Command::Hello(argument(4))
    } else if begins(b"mail from") {
        Command::MailFrom(argument(9))
    } else if begins(b"rcpt to") {
        Command::RecipientTo(argument(7))
    } else if begins(b"rset") {
        Command::Reset
    } else if begins(b"quit") {
        Command::Quit
    } else {
        Command::Other
    }
}

/// The word behind a command and one separator; parameters follow it behind a space (RFC 1870).
fn argument(rest: &[u8]) -> &[u8] {
    let rest = rest.get(1..).unwrap_or(&[]);
    let start = rest.iter().position(|b| *b != b' ').unwrap_or(rest.len());
    let rest = rest.get(start..).unwrap_or(&[]);
    let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
    rest.get(..end).unwrap_or(rest)
}

fn chunk(rest: &[u8]) -> Option<(u64, bool)> {
    let mut words = rest.split(|b| matches!(b, b' ' | b'\t')).filter(|w| !w.is_empty());
    let size = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
    let last = words.next();
    match last {
        None => Some((size, false)),
        Some(word) if word.eq_ignore_ascii_case(b"last") => Some((size, true)),
        Some(_) => None,
    }
}

/// Reply codes in use (IANA's registry of SMTP enhanced status codes names their basic codes; RFC 5321 section 4.2.3, RFC
/// 4954 section 6, RFC 7504 section 4).
const CODES: [u16; 39] = [
    211, 214, 220, 221, 235, 250, 251, 252, 334, 354, 401, 402, 421, 435, 450, 451, 452, 454, 455, 500, 501, 502, 503, 504, 521,
    525, 530, 534, 535, 538, 541, 543, 550, 551, 552, 553, 554, 555, 556,
];

/// Code of a reply line, and whether more lines follow; none if it is no reply.
pub(super) fn reply(line: &[u8]) -> Option<(u16, bool)> {
    let digits = line.get(..3)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0, |n, b| n * 10 + u16::from(b - b'0'));
    CODES.contains(&code).then(|| (code, line.get(3) == Some(&b'-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        for (line, expected) in [
            (&b"EHLO client.example"[..], Command::Hello(b"client.example")),
            (b"helo", Command::Hello(b"")),
            (b"MAIL FROM:<a@b.example> SIZE=10", Command::MailFrom(b"<a@b.example>")),
            (b"mail from: <a@b.example>", Command::MailFrom(b"<a@b.example>")),
            (b"RCPT TO:<c@d.example>", Command::RecipientTo(b"<c@d.example>")),
            (b"DATA", Command::Data),
            (b"BDAT 12 LAST", Command::Bdat(Some((12, true)))),
            (b"bdat 12", Command::Bdat(Some((12, false)))),
            (b"BDAT x", Command::Bdat(None)),
            (b"BDAT 99999999999999999999999", Command::Bdat(None)),
            (b"StartTLS", Command::StartTls),
            (b"RSET", Command::Reset),
            (b"QUIT", Command::Quit),
            (b"VRFY x", Command::Other),
            (b"", Command::Other),
        ] {
            assert_eq!(command(line), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn replies() {
        assert_eq!(reply(b"250-first"), Some((250, true)));
        assert_eq!(reply(b"354 go"), Some((354, false)));
        assert_eq!(reply(b"220"), Some((220, false)));
        assert_eq!(reply(b"999 x"), None);
        assert_eq!(reply(b"25"), None);
        assert_eq!(reply(b"hello"), None);
    }
}
