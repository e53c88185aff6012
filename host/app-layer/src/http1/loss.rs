//! Bytes that are missing, and bodies whose head is.
//!
//! A gap never ends the parsing of a direction: lines go on behind it, bodies of known length are counted through it,
//! and what cannot be framed any more is body. At worst one message is put together wrongly; those behind it are found.
//! This is what Suricata does, but for the length of a body, of which it does not subtract what is lost.

use super::state::{At, BODY, Http1State};

/// What a response begins with.
const STATUS: &[u8] = b"HTTP/1.";

impl Http1State {
    /// So many bytes of a direction are lost.
    pub(super) fn gap(&mut self, d: usize, length: u64) {
        let at = self.sides[d].at;
        match at {
            At::Length(left) | At::Chunk(left) if left >= length => {
                self.body_gap(d, length);
                let left = left - length;
                let chunk = matches!(at, At::Chunk(_));
                self.sides[d].at = match (chunk, left) {
                    (true, 0) => At::ChunkEnd,
                    (true, _) => At::Chunk(left),
                    (false, _) => At::Length(left),
                };
                if !chunk && left == 0 {
                    self.ends(d);
                }
            }
            At::Close => self.body_gap(d, length),
            At::Unframed(_) => {
                self.flush(d);
                self.body_gap(d, length);
                self.sides[d].at = At::Unframed(false);
            }
            // The message ends within what is lost: lines are looked for behind it.
            At::Length(_) => self.complete(d),
            // Where chunks end cannot be known any more: what is left is the body.
            At::Chunk(_) | At::ChunkSize | At::ChunkEnd | At::Trailers => {
                self.sides[d].partial.clear();
                self.sides[d].at = At::Close;
                self.body_gap(d, length);
            }
            At::Surplus => self.complete(d),
            At::Line | At::Bare | At::Junk | At::Headers | At::Over | At::Tunnel | At::Wait => {}
        }
    }

    fn body_gap(&mut self, d: usize, length: u64) {
        if let Some(index) = self.current(d) {
            self.pairs[index].messages[d].body.gap(length);
            self.advance(d, index, BODY);
        }
    }

    /// What stands where a status line should is the body of a response whose head was lost.
    pub(super) fn head_lost(&mut self, index: usize) {
        let junk = std::mem::take(&mut self.pairs[index].messages[1].head);
        self.headless_body(index);
        self.sides[1].at = At::Unframed(junk.last() == Some(&b'\n'));
        self.body(1, &junk);
    }

    /// Body without head; gives what follows it: a line that begins like a status line, while a request waits for it.
    pub(super) fn unframed<'a>(&mut self, line_begins: bool, input: &'a [u8]) -> &'a [u8] {
        if !line_begins {
            let end = memchr::memchr(b'\n', input).map_or(input.len(), |lf| lf + 1);
            let (now, rest) = input.split_at(end);
            self.body(1, now);
            self.sides[1].at = At::Unframed(now.last() == Some(&b'\n'));
            return rest;
        }
        // At a line's start: as many bytes as decide.
        let held = self.sides[1].partial.len();
        let wanted = &STATUS[held.min(STATUS.len())..];
        let same = wanted.iter().zip(input).take_while(|(a, b)| a == b).count();
        let (now, rest) = input.split_at(same);
        self.sides[1].partial.extend_from_slice(now);
        if same == wanted.len() && self.request_waits() {
            let status = std::mem::take(&mut self.sides[1].partial);
            self.complete(1);
            // The line has no end yet: it is collected like any other.
            self.feed_line(&status);
        } else if same == wanted.len() || !rest.is_empty() {
            self.flush(1);
            self.sides[1].at = At::Unframed(false);
        }
        rest
    }

    /// A request behind the one under way has begun.
    fn request_waits(&self) -> bool {
        self.sides[1].current.is_some_and(|id| self.transactions.last().is_some_and(|last| last.id > id))
    }

    fn flush(&mut self, d: usize) {
        let held = std::mem::take(&mut self.sides[d].partial);
        self.body(d, &held);
    }
}
