//! Framing of the two directions: where lines, heads, chunks and bodies end.
//!
//! What the lines mean is in `request` and `response`. A direction is a state machine over lines and counted bytes; its
//! decisions depend on bytes only, never on where deliveries were cut.

use super::events::Event;
use super::state::{At, HEADERS, Http1State};
use super::text::Lines;

/// Bytes kept behind a CONNECT until its response says what they are.
const REST_LIMIT: usize = 64 * 1024;
/// A response line that is none and longer than this is a body without head.
const JUNK_MAX: usize = 1024;

impl Http1State {
    pub(super) fn bytes(&mut self, d: usize, mut input: &[u8]) {
        while !input.is_empty() {
            input = match self.sides[d].at {
                At::Over => return,
                // The rest of one delivery: nothing is fed while the parser pauses.
                _ if self.resumes || self.upgrade.is_some() => {
                    self.sides[d].rest.extend_from_slice(input);
                    return;
                }
                At::Wait | At::Tunnel => {
                    let side = &mut self.sides[d];
                    let (kept, lost) = input.split_at(input.len().min(REST_LIMIT.saturating_sub(side.rest.len())));
                    side.rest.extend_from_slice(kept);
                    side.rest_lost += lost.len() as u64;
                    return;
                }
                At::Close => {
                    self.body(d, input);
                    return;
                }
                At::Unframed(line_begins) => self.unframed(line_begins, input),
                At::Length(left) | At::Chunk(left) => self.counted(d, left, input),
                At::Line => self.first_line(d, input),
                At::Bare => self.behind_bare(d, input),
                At::Junk => {
                    let Some(index) = self.current(d) else { return };
                    if input.first() != Some(&b'H') {
                        self.head_lost(index);
                    } else {
                        self.pairs[index].messages[1].head.clear();
                        self.sides[1].at = At::Line;
                    }
                    input
                }
                At::Headers => self.head(d, input),
                At::ChunkSize | At::ChunkEnd | At::Trailers => self.framing_line(d, input),
                At::Surplus => self.surplus(d, input),
            };
        }
        // Nothing came with the message's end.
        if self.sides[d].at == At::Surplus && self.sides[d].partial.is_empty() {
            self.complete(d);
        }
    }

    /// The beginning of a status line.
    pub(super) fn feed_line(&mut self, line: &[u8]) {
        self.bytes(1, line);
    }

    fn counted<'a>(&mut self, d: usize, left: u64, input: &'a [u8]) -> &'a [u8] {
        let chunk = matches!(self.sides[d].at, At::Chunk(_));
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
        let (now, rest) = input.split_at(n);
        self.body(d, now);
        let left = left - n as u64;
        self.sides[d].at = match (chunk, left) {
            (true, 0) => At::ChunkEnd,
            (true, _) => At::Chunk(left),
            (false, _) => At::Length(left),
        };
        if !chunk && left == 0 {
            self.ends(d);
        }
        rest
    }

    /// The message of direction `d` has its last byte.
    pub(super) fn ends(&mut self, d: usize) {
        if self.config.by_delivery && self.current(d).is_some() {
            self.sides[d].partial.clear();
            self.sides[d].at = At::Surplus;
        } else {
            self.complete(d);
        }
    }

    /// A line that came with the end of a message: body, unless it begins the next message. Gives what follows it.
    fn surplus<'a>(&mut self, d: usize, input: &'a [u8]) -> &'a [u8] {
        let held = std::mem::take(&mut self.sides[d].partial);
        if held.is_empty() && input.first() == Some(&b'\n') {
            self.complete(d);
            return input;
        }
        let end = memchr::memchr(b'\n', input).map(|lf| lf + 1);
        let (now, rest) = input.split_at(end.unwrap_or(input.len()));
        let line = [held.as_slice(), now].concat();
        if end.is_none() && line.len() <= self.config.head_limit {
            self.sides[d].partial = line;
        } else if begins_message(d, &line) {
            self.complete(d);
            self.bytes(d, &line);
        } else {
            self.surplus_body(d, &line);
        }
        rest
    }

    pub(super) fn surplus_body(&mut self, d: usize, bytes: &[u8]) {
        if let (Some(index), false) = (self.current(d), bytes.is_empty()) {
            self.event(d, index, if d == 0 { Event::RequestBodyUnexpected } else { Event::ResponseBodyUnexpected });
        }
        self.body(d, bytes);
    }

    /// Collect the first line; gives what follows it.
    fn first_line<'a>(&mut self, d: usize, mut input: &'a [u8]) -> &'a [u8] {
        let index = match self.current(d) {
            Some(index) => index,
            None => {
                // Empty lines before a message are nothing.
                let start = input.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(input.len());
                input = &input[start..];
                if input.is_empty() {
                    return input;
                }
                let index = self.begin(d);
                if self.sides[d].at != At::Line {
                    return input;
                }
                index
            }
        };
        let limit = self.config.head_limit;
        let head = &mut self.pairs[index].messages[d].head;
        let end = line_end(d, head, input);
        let (now, rest) = input.split_at(end.unwrap_or(input.len()));
        if head.len() + now.len() > limit {
            // What is kept of it does not depend on how it came.
            let room = limit.saturating_sub(head.len());
            head.extend_from_slice(now.get(..room).unwrap_or(now));
            self.too_long(d, index);
            return &[];
        }
        head.extend_from_slice(now);
        if d == 1 && !starts_like_status(head) && (head.len() > JUNK_MAX) {
            self.head_lost(index);
            return rest;
        }
        if end.is_some() {
            let mut length = head.len();
            while length > 0 && matches!(head[length - 1], b'\r' | b'\n') {
                length -= 1;
            }
            if head[..length].iter().all(|b| super::text::is_space(*b)) {
                head.clear();
            } else if d == 0 {
                self.request_line(index, length);
            } else if starts_like_status(head) {
                self.status_line(index, length);
            } else if length <= 2 {
                head.clear();
            } else {
                self.sides[1].at = At::Junk;
            }
            if let Some(index) = self.current(d) {
                self.sides[d].line_start = self.pairs[index].messages[d].head.len();
            }
        }
        rest
    }

    /// Request without protocol: an empty line ends it, anything else is a field after all.
    fn behind_bare<'a>(&mut self, d: usize, input: &'a [u8]) -> &'a [u8] {
        let Some(index) = self.current(d) else { return &[] };
        match input.iter().position(|b| *b != b'\r') {
            None => {
                // They may turn out to begin a field line.
                let held = &mut self.sides[d].partial;
                if held.len() + input.len() > self.config.head_limit {
                    self.too_long(d, index);
                } else {
                    held.extend_from_slice(input);
                }
                &[]
            }
            Some(at) if input[at] == b'\n' => {
                self.sides[d].partial.clear();
                self.pairs[index].version_09 = true;
                self.advance(d, index, HEADERS);
                self.complete(d);
                &input[at + 1..]
            }
            Some(_) => {
                self.event(d, index, Event::RequestLineMissingProtocol);
                self.sides[d].at = At::Headers;
                let held = std::mem::take(&mut self.sides[d].partial);
                self.head(d, &held);
                input
            }
        }
    }

    /// Collect the head's field lines; gives what follows the head.
    fn head<'a>(&mut self, d: usize, input: &'a [u8]) -> &'a [u8] {
        let Some(index) = self.current(d) else {
            self.sides[d].at = At::Over;
            return &[];
        };
        let limit = self.config.head_limit;
        let head = &mut self.pairs[index].messages[d].head;
        let mut line_start = self.sides[d].line_start;
        let before = head.len();
        let mut from = 0;
        let mut end = None;
        if d == 1 && line_start == before {
            let tail = |n: usize| before.checked_sub(n).and_then(|at| head.get(at).copied());
            end = input.first().filter(|next| ends_head(tail, **next)).map(|_| 0);
        }
        while end.is_none()
            && let Some(lf) = memchr::memchr(b'\n', &input[from..])
        {
            let at = from + lf;
            // The line is what the head holds of it already, and what came now.
            let held = head.get(line_start.min(before)..).unwrap_or(&[]);
            let held = if line_start < before { held } else { &[] };
            let line = held.iter().chain(&input[from..at]);
            let blank = line.clone().eq(b"") || line.eq(b"\r");
            from = at + 1;
            line_start = before + from;
            let byte = |at: usize| at.checked_sub(before).map_or_else(|| head.get(at), |i| input.get(i)).copied();
            let tail = |n: usize| line_start.checked_sub(n).and_then(byte);
            let ends = d == 1 && input.get(from).is_some_and(|next| ends_head(tail, *next));
            if blank || ends {
                end = Some(from);
                break;
            }
        }
        let (now, rest) = input.split_at(end.unwrap_or(input.len()));
        if before + now.len() > limit {
            head.extend_from_slice(now.get(..limit.saturating_sub(before)).unwrap_or(now));
            self.too_long(d, index);
            return &[];
        }
        head.extend_from_slice(now);
        self.sides[d].line_start = line_start;
        if end.is_some() {
            if d == 0 {
                self.request_head(index);
            } else {
                self.response_head(index);
            }
        }
        rest
    }

    /// A line of the framing of a chunked body; gives what follows it.
    fn framing_line<'a>(&mut self, d: usize, input: &'a [u8]) -> &'a [u8] {
        let end = memchr::memchr(b'\n', input).map(|lf| lf + 1);
        let side = &mut self.sides[d];
        let room = self.config.head_limit.saturating_sub(side.partial.len());
        let wanted = end.unwrap_or(input.len());
        let (now, rest) = input.split_at(wanted.min(room));
        side.partial.extend_from_slice(now);
        // What shows that it is no size may lie before the limit, however much came at once.
        let no_size = side.at == At::ChunkSize && no_chunk_size(&side.partial);
        if wanted > room && !no_size {
            if let Some(index) = self.current(d) {
                self.too_long(d, index);
            }
            return &[];
        }
        if end.is_none() && !no_size {
            return rest;
        }
        let raw = std::mem::take(&mut side.partial);
        // Lines behind the last chunk are fields of the head.
        if side.at != At::Trailers {
            self.count(d, raw.len());
        }
        let side = &mut self.sides[d];
        let mut line = raw.as_slice();
        while let [start @ .., b'\r' | b'\n'] = line {
            line = start;
        }
        match side.at {
            At::Trailers => {
                side.trailer += raw.len();
                if line.is_empty() {
                    self.ends(d);
                } else if side.trailer > self.config.head_limit
                    && let Some(index) = self.current(d)
                {
                    self.too_long(d, index);
                }
            }
            At::ChunkEnd => self.sides[d].at = At::ChunkSize,
            _ => self.chunk_size(d, &raw, line),
        }
        // The buffer is used again.
        let mut raw = raw;
        raw.clear();
        if raw.capacity() <= 4096 {
            self.sides[d].partial = raw;
        }
        rest
    }

    fn chunk_size(&mut self, d: usize, raw: &[u8], line: &[u8]) {
        let digits = line.trim_start_spaces();
        if digits.is_empty() {
            return;
        }
        let Some(index) = self.current(d) else { return };
        let count = digits.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        let value = digits[..count]
            .iter()
            .fold(0u64, |n, b| n.saturating_mul(16).saturating_add((*b as char).to_digit(16).unwrap_or(0).into()));
        if count == 0 || value > i32::MAX as u64 {
            self.event(
                d,
                index,
                if d == 0 { Event::InvalidRequestChunkLength } else { Event::InvalidResponseChunkLength },
            );
            // Not chunked after all: what is left is the body, and counted as such.
            self.sides[d].at = At::Close;
            self.pairs[index].messages[d].wire -= raw.len() as u64;
            self.body(d, raw);
            return;
        }
        if digits[count..].contains(&b';') {
            self.event(d, index, if d == 0 { Event::RequestChunkExtension } else { Event::ResponseChunkExtension });
        }
        self.sides[d].trailer = 0;
        self.sides[d].at = if value == 0 { At::Trailers } else { At::Chunk(value) };
    }

    /// Bytes of a body's framing.
    fn count(&mut self, d: usize, bytes: usize) {
        if let Some(index) = self.current(d) {
            self.pairs[index].messages[d].wire += bytes as u64;
        }
    }

    fn too_long(&mut self, d: usize, index: usize) {
        self.event(d, index, if d == 0 { Event::RequestFieldTooLong } else { Event::ResponseFieldTooLong });
        self.complete(d);
        self.sides[d].at = At::Over;
    }
}

/// So many bytes without a line's end show whether they can be the size of a chunk.
const CHUNK_PROBE: usize = 8;

/// What stands where the size of a chunk should cannot become one: its line need not be waited for.
fn no_chunk_size(partial: &[u8]) -> bool {
    partial.len() >= CHUNK_PROBE
        && partial
            .iter()
            .find(|b| !matches!(b, b'\r' | b'\n' | b' ' | b'\t' | 0x0b | 0x0c))
            .is_some_and(|b| !b.is_ascii_hexdigit())
}

/// What servers end a head with besides an empty line, as browsers read it: a line of one space or tab, unless an empty
/// line follows; two CR behind an LF without CR, unless a third one follows. `tail` gives the bytes before `next`, from 1.
fn ends_head(tail: impl Fn(usize) -> Option<u8>, next: u8) -> bool {
    match [tail(4), tail(3), tail(2), tail(1)] {
        [_, Some(b'\n'), Some(b' ' | b'\t'), Some(b'\n')] => next != b'\n',
        [Some(b'\n'), Some(b'\r'), Some(b'\r'), Some(b'\n')] => tail(5) != Some(b'\r') && next != b'\r',
        _ => false,
    }
}

/// Where the first line ends: behind its LF, or in a response before what follows a CR that stands alone.
fn line_end(d: usize, head: &[u8], input: &[u8]) -> Option<usize> {
    let lf = memchr::memchr(b'\n', input).map(|lf| lf + 1);
    if d == 0 {
        return lf;
    }
    let until = lf.unwrap_or(input.len());
    if head.last() == Some(&b'\r') && input.first().is_some_and(|b| !matches!(b, b'\n' | b'\r')) {
        return Some(0);
    }
    let alone = input[..until].windows(2).position(|pair| pair[0] == b'\r' && !matches!(pair[1], b'\n' | b'\r'));
    alone.map(|at| at + 1).or(lf)
}

/// The line is that of a request, by its method, or of a response.
fn begins_message(d: usize, line: &[u8]) -> bool {
    if d == 1 {
        let start = line.iter().position(|b| *b != 0 && !super::text::is_space(*b)).unwrap_or(line.len());
        return line.len() - start >= 4 && starts_like_status(line);
    }
    let word = line.trim_start_spaces();
    let end = word.iter().position(|b| super::text::is_space(*b)).unwrap_or(word.len());
    end == 0 || super::text::known_method(&word[..end])
}

/// Bytes that begin like a status line, as far as they go: `HTTP` behind white space and NUL.
pub(super) fn starts_like_status(line: &[u8]) -> bool {
    let start = line.iter().position(|b| *b != 0 && !super::text::is_space(*b)).unwrap_or(line.len());
    line[start..].iter().zip(b"http").all(|(a, b)| a.eq_ignore_ascii_case(b))
}
