//! Payload facts: the guards that look at bytes, defined once for model, RTL and the planner's property tests.
//!
//! Place: beside the literal filter, over the same bytes. All text facts are functions of three neighbouring bytes (and
//! one small state for header names), so a pattern that crosses two segments is seen through the tail: a fact counts if
//! its last byte lies in the payload. `tail` holds the folded bytes before the payload (at most 7) when the segment
//! continues its stream, else nothing; where it does so only if the host reads it (it may leave it out for its checksum,
//! acknowledgement number or timestamp), the facts of both count. Folding changes no fact (hexadecimal digits, white
//! space and punctuation are the same either way). Patterns cut by the end of the payload are seen with the next segment
//! of the stream; a segment that does not continue its stream raises a sequence guard.
//!
//! Words are what the tables' author chose of contents too short for the literal filter; all share one guard. A number that
//! tells the payload's length lies in one payload: rules that ask for one look at packets.
//!
//! Not done here: deciding for which protocol, direction or port a fact matters. Records do.

use crate::fold::fold;
use crate::guards::Guard;
use crate::layouts::GuardParameters;

/// Guards of the three-byte scanner.
pub const TEXT: u64 = Guard::PercentEscape.bit()
    | Guard::UriPercentEscape.bit()
    | Guard::UriPercentOdd.bit()
    | Guard::UriPlus.bit()
    | Guard::UriDoubleSlash.bit()
    | Guard::UriDotSegment.bit()
    | Guard::UriBackslash.bit()
    | Guard::UriHighByte.bit()
    | Guard::UriAbsolute.bit()
    | Guard::UriControl.bit()
    | Guard::RequestSpaceOdd.bit()
    | Guard::HeaderSpaceOdd.bit()
    | Guard::HeaderFold.bit()
    | Guard::LineEndOdd.bit()
    | Guard::EqualsEscape.bit();
/// Guards of the DNS reader.
pub const DNS: u64 = Guard::DnsPointerQuestion.bit() | Guard::DnsOdd.bit();
/// Guards of the TLS record reader.
pub const TLS: u64 = Guard::TlsHandshakeSpans.bit();
/// Guards of loaded words and numbers.
pub const WORDS: u64 = Guard::Word.bit();
/// All payload facts.
pub const ALL: u64 = TEXT | DNS | TLS | WORDS;

/// The facts among `wanted` that are true of `payload`. `datagram`: UDP; else a TCP segment.
pub fn payload_facts(wanted: u64, parameters: &GuardParameters, datagram: bool, tail: &[u8], payload: &[u8]) -> u64 {
    if payload.is_empty() || wanted & ALL == 0 {
        return 0;
    }
    let mut facts = 0;
    if wanted & TEXT != 0 {
        facts |= text_facts(parameters, tail, payload);
    }
    if wanted & DNS != 0 {
        facts |= dns_facts(datagram, payload);
    }
    if wanted & TLS != 0 && !datagram && tls_spans(tail, payload) {
        facts |= TLS;
    }
    if wanted & WORDS != 0 && (has_word(parameters, tail, payload) || has_number(parameters, payload)) {
        facts |= WORDS;
    }
    facts & wanted
}

/// A loaded word ends in the payload; what stands before it may lie in the tail.
fn has_word(parameters: &GuardParameters, tail: &[u8], payload: &[u8]) -> bool {
    let mut bytes = 0;
    // Bits of the four bytes that are there.
    let mut known = 0;
    let mut next = |byte: u8| {
        bytes = bytes >> 8 | u32::from(fold(byte)) << 24;
        known = known >> 8 | 0xff << 24;
        (bytes, known)
    };
    for &byte in tail {
        next(byte);
    }
    payload.iter().any(|&byte| {
        let (bytes, known) = next(byte);
        words(parameters).any(|(value, mask)| mask & !known == 0 && (bytes ^ value) & mask == 0)
    })
}

/// Loaded words: values and masks.
pub fn words(parameters: &GuardParameters) -> impl Iterator<Item = (u32, u32)> + '_ {
    parameters.word_values.iter().copied().zip(parameters.word_masks).filter(|(_, mask)| *mask != 0)
}

/// Four bytes of the payload are a number, lowest byte first, that differs from the payload's length as loaded.
fn has_number(parameters: &GuardParameters, payload: &[u8]) -> bool {
    let (low, end) = (i64::from(parameters.number_low), i64::from(parameters.number_end));
    low < end
        && payload.windows(4).filter_map(<[u8]>::first_chunk::<4>).any(|bytes| {
            let difference = i64::from(u32::from_le_bytes(*bytes)) - payload.len() as i64;
            (low..end).contains(&difference)
        })
}

/// `byte` is in a 256-bit set.
#[inline]
pub fn in_set(set: &[u64; 4], byte: u8) -> bool {
    set[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
}

fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Where in a possible header line the scanner is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    /// Only token bytes since the line's beginning (or since the beginning of what is known).
    Name,
    /// Token bytes, then white space.
    NameSpace,
    /// Directly behind the colon.
    Colon,
    /// One space behind the colon.
    Value,
    /// No header, or its beginning is past.
    Rest,
}

/// RFC 9110 section 5.6.2.
const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

/// Bytes at which something may happen outside of header names: all others only move the window.
const INTEREST: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b < 0x20 || b >= 0x7f || matches!(b, b' ' | b'%' | b'+' | b'/' | b'\\' | b'.' | b':' | b'=');
        byte += 1;
    }
    table
};

fn text_facts(parameters: &GuardParameters, tail: &[u8], payload: &[u8]) -> u64 {
    let mut facts = 0;
    // Three bytes: the one looked at and two before; None before the beginning.
    let (mut a, mut b): (Option<u8>, Option<u8>) = (None, None);
    let mut line = Line::Name;
    for &c in tail {
        line = next_line(line, c).0;
        (a, b) = (b, Some(c));
    }
    for &c in payload {
        let (next, odd) = next_line(line, c);
        line = next;
        if odd {
            facts |= Guard::HeaderSpaceOdd.bit();
        }
        let near = |x: Option<u8>| x.is_none_or(|x| INTEREST[usize::from(x)]);
        if INTEREST[usize::from(c)] || near(b) || near(a) {
            facts |= three(parameters, a, b, c);
        }
        (a, b) = (b, Some(c));
    }
    facts
}

/// White space within a line, as the host's parser trims it.
const fn is_white(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c)
}

fn next_line(line: Line, c: u8) -> (Line, bool) {
    let white = is_white(c);
    if c == b'\n' {
        return (Line::Name, matches!(line, Line::Colon | Line::Value));
    }
    match line {
        Line::Name if is_token(c) => (Line::Name, false),
        Line::Name if c == b':' => (Line::Colon, false),
        Line::Name | Line::NameSpace if white => (Line::NameSpace, false),
        Line::NameSpace if c == b':' => (Line::Rest, true),
        Line::Colon if c == b' ' => (Line::Value, false),
        Line::Colon => (Line::Rest, true),
        Line::Value => (Line::Rest, white || c == b'\r'),
        _ => (Line::Rest, false),
    }
}

/// The facts whose last byte is `c`.
fn three(parameters: &GuardParameters, a: Option<u8>, b: Option<u8>, c: u8) -> u64 {
    let mut facts = 0;
    let mut when = |condition: bool, guard: Guard| {
        if condition {
            facts |= guard.bit();
        }
    };
    let white = matches!(c, b' ' | b'\t');
    match c {
        b'+' => when(true, Guard::UriPlus),
        b'\\' => when(true, Guard::UriBackslash),
        0x80.. => when(true, Guard::UriHighByte),
        b'\t' | b'\r' | b'\n' => {}
        0..0x20 | 0x7f => when(true, Guard::UriControl),
        _ => {}
    }
    if c == b'/' && b == Some(b'/') {
        when(a != Some(b':'), Guard::UriDoubleSlash);
        when(a == Some(b':'), Guard::UriAbsolute);
    }
    if b == Some(b'.') && matches!(a, Some(b'/' | b'\\')) {
        let ends = matches!(c, b'.' | b'/' | b'\\' | b'?' | b'#' | b';' | b'%' | b' ' | b'\t' | b'\r' | b'\n' | 0);
        when(ends, Guard::UriDotSegment);
    }
    when(c == b'\t' || c == b' ' && matches!(b, None | Some(b' ' | b'\n')), Guard::RequestSpaceOdd);
    // The host ends a line of a response at CR alone.
    when(white && matches!(b, Some(b'\r' | b'\n')), Guard::HeaderFold);
    when(matches!(c, b'\r' | b'\n') && b.is_some_and(is_white), Guard::HeaderSpaceOdd);
    when(matches!(c, 0x0b | 0x0c) && b == Some(b'\n'), Guard::HeaderSpaceOdd);
    when((c == b'\n') != (b == Some(b'\r')), Guard::LineEndOdd);
    when(b == Some(b'=') && matches!(c, b' ' | b'\t' | b'\r' | b'\n'), Guard::EqualsEscape);
    when(b == Some(b'%') && hex(c).is_none(), Guard::UriPercentOdd);
    if let (Some(escape @ (b'%' | b'=')), Some(high)) = (a, b.and_then(hex)) {
        match hex(c) {
            None => when(escape == b'%', Guard::UriPercentOdd),
            Some(low) => {
                let byte = high << 4 | low;
                let percent = escape == b'%';
                when(percent && in_set(&parameters.percent_set, byte), Guard::PercentEscape);
                when(percent && in_set(&parameters.uri_percent_set, byte), Guard::UriPercentEscape);
                when(!percent && in_set(&parameters.equals_set, byte), Guard::EqualsEscape);
            }
        }
    }
    facts
}

/// Questions looked at; more are odd anyway.
const QUESTIONS: u16 = 4;

/// RFC 1035 section 4.1: header, then questions. Facts of a message the host would read from this datagram or segment.
fn dns_facts(datagram: bool, payload: &[u8]) -> u64 {
    let odd = Guard::DnsOdd.bit();
    let message = if datagram {
        payload
    } else {
        match payload {
            [high, low, rest @ ..] if rest.len() == usize::from(*high) << 8 | usize::from(*low) => rest,
            _ => return odd,
        }
    };
    let [_, _, _, _, high, low, _, _, _, _, _, _, questions @ ..] = message else { return odd };
    let count = u16::from(*high) << 8 | u16::from(*low);
    let mut facts = if count == 1 { 0 } else { odd };
    let mut rest = questions;
    for _ in 0..count.min(QUESTIONS) {
        let mut name = 0;
        loop {
            let Some((&length, after)) = rest.split_first() else { return facts | odd };
            if length & 0xc0 != 0 {
                return facts | Guard::DnsPointerQuestion.bit();
            }
            name += usize::from(length) + 1;
            if name > 255 {
                return facts | odd;
            }
            let Some(after) = after.get(usize::from(length)..) else { return facts | odd };
            rest = after;
            if length == 0 {
                break;
            }
        }
        let Some(after) = rest.get(4..) else { return facts | odd };
        rest = after;
    }
    if count > QUESTIONS {
        facts |= Guard::DnsPointerQuestion.bit();
    }
    facts
}

/// Messages followed in one record before giving up (toward the host).
const MESSAGES: usize = 8;

/// RFC 8446 section 5.1: a handshake message may span records. Looks at every position that can be a handshake record
/// header (content type 22, version 3.0 to 3.4), because where records begin is not known.
fn tls_spans(tail: &[u8], payload: &[u8]) -> bool {
    payload.iter().enumerate().any(|(at, &byte)| {
        byte == 22
            && payload.get(at + 1).is_none_or(|&major| major == 3)
            && payload.get(at + 2).is_none_or(|&minor| minor <= 4)
            && !behind_change_cipher(tail, payload, at)
            && !record_is_whole(payload.get(at + 3..).unwrap_or(&[]))
    })
}

/// `payload[at..]` follows the six bytes of a ChangeCipherSpec record: what comes is encrypted, no message to read.
fn behind_change_cipher(tail: &[u8], payload: &[u8], at: usize) -> bool {
    let byte = |back: usize| match at.checked_sub(back) {
        Some(i) => payload.get(i).copied(),
        None => tail.len().checked_sub(back - at).and_then(|i| tail.get(i)).copied(),
    };
    let minor = byte(4).is_some_and(|b| b <= 4);
    byte(6) == Some(20) && byte(5) == Some(3) && minor && byte(3) == Some(0) && byte(2) == Some(1) && byte(1) == Some(1)
}

/// From the record's length field on: every message can be followed, and the last ends with the record.
fn record_is_whole(from_length: &[u8]) -> bool {
    let [high, low, body @ ..] = from_length else { return false };
    let length = usize::from(*high) << 8 | usize::from(*low);
    let mut at = 0;
    for _ in 0..MESSAGES {
        let Some([_, a, b, c]) = body.get(at..).and_then(|rest| rest.first_chunk::<4>()) else { return false };
        at += 4 + (usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c));
        if at == length {
            return true;
        }
        if at > length {
            return false;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    fn parameters(percent: &[u8], equals: &[u8]) -> GuardParameters {
        let mut p = GuardParameters::ZERO;
        for &b in percent {
            p.percent_set[usize::from(b >> 6)] |= 1 << (b & 63);
        }
        for &b in equals {
            p.equals_set[usize::from(b >> 6)] |= 1 << (b & 63);
        }
        p
    }

    fn names(facts: u64) -> Vec<&'static str> {
        Guard::ALL.iter().filter(|g| facts & g.bit() != 0).map(|g| g.name()).collect()
    }

    #[test]
    fn text() {
        let p = parameters(b"ab.", b"x");
        let cases: &[(&[u8], &[u8], &[&str])] = &[
            (b"", b"GET /index.html HTTP/1.1\r\nHost: a\r\n\r\n", &[]),
            (b"", b"%61", &["percent_escape"]),
            (b"", b"%2e%2E", &["percent_escape"]),
            (b"", b"%63", &[]),
            (b"x%6", b"1", &["percent_escape"]),
            (b"%61", b"x", &[]),
            (b"", b"%u0041", &["uri_percent_odd"]),
            (b"", b"%6g", &["uri_percent_odd"]),
            (b"a%", b"%61", &["percent_escape", "uri_percent_odd"]),
            (b"", b"a+b", &["uri_plus"]),
            (b"", b"a//b", &["uri_double_slash"]),
            (b"/", b"/b", &["uri_double_slash"]),
            (b"", b"GET http://b", &["uri_absolute"]),
            (b"", b"GET http:///b", &["uri_double_slash", "uri_absolute"]),
            (b"", b"/./a", &["uri_dot_segment"]),
            (b"", b"/../a", &["uri_dot_segment"]),
            (b"", b"/.well-known", &[]),
            (b"/.", b".", &["uri_dot_segment"]),
            (b"", b"a\\b", &["uri_backslash"]),
            (b"", b"a\xffb", &["uri_high_byte"]),
            (b"", b"a\0b", &["uri_control"]),
            (b"", b"GET\t/", &["request_space_odd"]),
            (b"", b"GET  /", &["request_space_odd"]),
            (b"", b" GET /", &["request_space_odd"]),
            (b"", b"A: b\r\n c\r\n", &["request_space_odd", "header_fold"]),
            (b"", b"A:b\r\n", &["header_space_odd"]),
            (b"", b"A : b\r\n", &["header_space_odd"]),
            (b"", b"A:  b\r\n", &["request_space_odd", "header_space_odd"]),
            (b"", b"A: b \r\n", &["header_space_odd"]),
            (b"", b"A:\r\n", &["header_space_odd"]),
            (b"", b"A\x0b: b\r\n", &["uri_control", "header_space_odd"]),
            (b"", b"A: \x0cb\r\n", &["uri_control", "header_space_odd"]),
            (b"", b"A: b\x0b\r\n", &["uri_control", "header_space_odd"]),
            (b"\r\n", b"\x0cA: b\r\n", &["uri_control", "header_space_odd"]),
            (b"A: b\r", b" c\r\n", &["header_fold", "line_end_odd"]),
            (b"ame:", b"b\r\n", &["header_space_odd"]),
            (b"", b"a\nb", &["line_end_odd"]),
            (b"", b"a\rb", &["line_end_odd"]),
            (b"a\r", b"\nb", &[]),
            (b"", b"=78", &["equals_escape"]),
            (b"", b"=79", &[]),
            (b"", b"a=\r\n", &["equals_escape"]),
        ];
        for &(tail, payload, expected) in cases {
            let facts = payload_facts(TEXT, &p, false, tail, payload);
            assert_eq!(names(facts), expected, "{:?} + {:?}", tail.escape_ascii(), payload.escape_ascii());
        }
    }

    /// Cutting a payload anywhere loses no text fact, given the tail.
    #[test]
    fn cuts_lose_nothing() {
        let p = parameters(b"a/", b"x");
        let whole = b"GET /%61//..\\+ HTTP/1.1\r\nA : b\r\nC:d\r\n e\r\n=78\n\xff\0://\r\n%zz\r\n";
        let all = payload_facts(TEXT, &p, false, b"", whole);
        for first in 1..whole.len() {
            let mut facts = payload_facts(TEXT, &p, false, b"", &whole[..first]);
            let mut tail: Vec<u8> = whole[first.saturating_sub(7)..first].to_vec();
            crate::fold::fold_in_place(&mut tail);
            facts |= payload_facts(TEXT, &p, false, &tail, &whole[first..]);
            assert_eq!(all & !facts, 0, "cut at {first} loses {:?}", names(all & !facts));
        }
    }

    #[test]
    fn words_and_numbers() {
        let mut p = GuardParameters::ZERO;
        let run = |p: &GuardParameters, tail: &[u8], m: &[u8]| payload_facts(WORDS, p, false, tail, m) != 0;
        assert!(!run(&p, b"", b"\0\0\0\0\0\x05\0\0\0"), "nothing is loaded");
        (p.word_values[3], p.word_masks[3]) = (u32::from_le_bytes(*b"\0\0\\\0"), 0xffff_0000);
        (p.word_values[7], p.word_masks[7]) = (u32::from_le_bytes(*b"abcd"), u32::MAX);
        for (tail, payload, expected) in [
            (&b""[..], &b"\\\0"[..], true),
            (b"x\\", b"\0", true),
            (b"\\\0", b"x", false),
            (b"", b"\0", false),
            (b"", b"xaBCd", true),
            (b"abc", b"D", true),
            (b"bc", b"d", false),
        ] {
            assert_eq!(run(&p, tail, payload), expected, "{:?} {:?}", tail.escape_ascii(), payload.escape_ascii());
        }
        let number = GuardParameters { number_low: -1, number_end: 2, ..GuardParameters::ZERO };
        for (n, expected) in [(6u32, false), (7, true), (8, true), (9, true), (10, false), (0x0800_0000, false)] {
            let mut payload = std::vec![b'x', b'y'];
            payload.extend(n.to_le_bytes());
            payload.extend(b"zz");
            assert_eq!(run(&number, b"", &payload), expected, "{n}");
        }
        assert!(!run(&number, b"\x03\0", b"\0\0x"), "the number lies in one payload");
        let before = GuardParameters { number_low: -9, number_end: 0, ..GuardParameters::ZERO };
        assert!(run(&before, b"", b"\0\0\0\0") && !run(&before, b"", b"\x04\0\0\0"));
    }

    fn dns(questions: u16, name: &[u8]) -> Vec<u8> {
        let mut m = std::vec![0, 1, 1, 0, 0, questions as u8, 0, 0, 0, 0, 0, 0];
        m.extend_from_slice(name);
        m.extend_from_slice(&[0, 1, 0, 1]);
        m
    }

    #[test]
    fn dns_questions() {
        let run = |datagram, m: &[u8]| names(payload_facts(DNS, &GuardParameters::ZERO, datagram, b"", m));
        assert!(run(true, &dns(1, b"\x03www\x02ab\x00")).is_empty());
        assert_eq!(run(true, &dns(1, b"\x03www\xc0\x0c")), ["dns_pointer_question"]);
        assert_eq!(run(true, &dns(1, b"\x03www\x40\x0c")), ["dns_pointer_question"]);
        assert_eq!(run(true, &dns(2, b"\x03www\x00")), ["dns_odd"]);
        assert_eq!(run(true, &dns(1, b"\x3fwww")), ["dns_odd"]);
        assert_eq!(run(true, &[0; 5]), ["dns_odd"]);
        let mut framed = std::vec![0, 21];
        framed.extend(dns(1, b"\x03www\x00"));
        assert!(run(false, &framed).is_empty());
        framed.push(0);
        assert_eq!(run(false, &framed), ["dns_odd"]);
    }

    #[test]
    fn tls_records() {
        let run = |tail: &[u8], m: &[u8]| payload_facts(TLS, &GuardParameters::ZERO, false, tail, m) != 0;
        assert!(!run(b"", b"\x16\x03\x01\x00\x06\x01\x00\x00\x02ab"), "one whole message");
        assert!(!run(b"", b"\x16\x03\x03\x00\x0a\x02\x00\x00\x02ab\x0e\x00\x00\x00"), "two whole messages");
        assert!(run(b"", b"\x16\x03\x01\x00\x06\x01\x00\x00\x03ab"), "message longer than its record");
        assert!(run(b"", b"\x16\x03\x01\x00\x02\x01\x00"), "record shorter than a message header");
        assert!(run(b"", b"\x16\x03\x01\x00\x20\x02\x00\x00\x02ab\x0b"), "second message cannot be followed");
        assert!(!run(b"", b"\x16\x03\x01\x20\x00\x0b\x00\x1f\xfcabc"), "one message that fills the record");
        assert!(run(b"", b"xx\x16\x03"), "header cut by the end");
        assert!(!run(b"", b"\x14\x03\x03\x00\x01\x01\x16\x03\x03\x00\x28\xaa\xbb\xcc\xdd\xee"), "encrypted Finished");
        assert!(
            !run(b"\x14\x03\x03\x00\x01\x01", b"\x16\x03\x03\x00\x28\xaa\xbb\xcc\xdd\xee"),
            "the same across segments"
        );
        assert!(run(b"\x14\x03\x03\x00\x01", b"\x16\x03\x03\x00\x28\xaa\xbb\xcc\xdd\xee"));
    }
}
