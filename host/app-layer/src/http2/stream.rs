//! One transaction: a stream, or a frame of the connection as a whole.

use super::events::Event;
use super::fields::{Fields, Known};
use super::frame::Fact;
use crate::dns::Message;
use crate::http1::Body;
use std::cell::OnceCell;

/// Most facts kept for a direction.
const FACTS_MAX: usize = 256;

/// One direction of a stream.
#[derive(Default)]
pub struct Side {
    /// Header list of the final message; empty until it has come.
    pub fields: Fields,
    /// Body.
    pub body: Body,
    /// What frames said.
    pub facts: Vec<Fact>,
    /// DNS over HTTP (RFC 8484): the message.
    pub dns: Option<Box<Message>>,
    /// Name of the file that the body is.
    pub file_name: OnceCell<Vec<u8>>,
}

impl Side {
    /// One more fact. False: there are too many.
    pub fn fact(&mut self, fact: Fact) -> bool {
        if matches!(fact, Fact::Type(_)) && self.facts.contains(&fact) {
            return true;
        }
        let room = self.facts.len() < FACTS_MAX;
        if room {
            self.facts.push(fact);
        }
        room
    }
}

/// A stream.
#[derive(Default)]
pub struct Stream {
    /// Number; 0: the connection.
    pub number: u32,
    /// A header list has come, in either direction.
    pub headed: bool,
    /// To server, to client.
    pub sides: [Side; 2],
}

/// The header list is that of an interim response: another follows (RFC 9110 section 15.2).
pub fn is_interim(fields: &Fields) -> bool {
    (100..200).contains(&fields.status())
}

/// What is odd about a request's header list.
pub fn request_oddities(fields: &Fields) -> impl Iterator<Item = Event> {
    let authority = fields.value(Known::Authority);
    let userinfo = authority.is_some_and(|a| a.contains(&b'@'));
    let mismatch = match (authority, fields.value(Known::Host)) {
        (Some(a), Some(b)) => !a.eq_ignore_ascii_case(b),
        _ => false,
    };
    [(userinfo, Event::UserinfoInUri), (mismatch, Event::AuthorityHostMismatch)].into_iter().filter(|e| e.0).map(|e| e.1)
}

/// `bytes 0-499/1234`, `bytes */1234` (RFC 9110 section 14.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First byte, last byte.
    pub part: Option<(u64, u64)>,
    /// Size of the whole.
    pub size: Option<u64>,
}

/// Read a Content-Range value.
pub fn content_range(value: &[u8]) -> Option<Range> {
    let text = std::str::from_utf8(value).ok()?.trim();
    let text = text.get(..5).filter(|unit| unit.eq_ignore_ascii_case("bytes")).and(text.get(5..))?.trim_start();
    let (part, size) = text.split_once('/')?;
    let number = |text: &str| text.parse::<u64>().ok();
    let part = match part {
        "*" => None,
        part => {
            let (first, last) = part.split_once('-')?;
            Some((number(first)?, number(last)?))
        }
    };
    let size = if size == "*" { None } else { Some(number(size)?) };
    Some(Range { part, size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        assert_eq!(content_range(b"bytes 10-20/69"), Some(Range { part: Some((10, 20)), size: Some(69) }));
        assert_eq!(content_range(b"bytes */69"), Some(Range { part: None, size: Some(69) }));
        assert_eq!(content_range(b"bytes 1-2/*"), Some(Range { part: Some((1, 2)), size: None }));
        for bad in [&b"bytes"[..], b"bytes 1/2", b"byt", b"items 1-2/3", b"bytes a-b/c", b"\xff\xff\xff\xff\xff\xff", "byteé 1-2/3".as_bytes()] {
            assert_eq!(content_range(bad), None);
        }
    }

    #[test]
    fn facts_are_bounded() {
        let mut side = Side::default();
        assert!((0..10_000).all(|_| side.fact(Fact::Type(4))));
        assert_eq!(side.facts.len(), 1);
        assert_eq!((0..10_000).filter(|n| side.fact(Fact::Window(*n))).count(), FACTS_MAX - 1);
    }
}
