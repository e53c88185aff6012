//! Transactions of an HTTP/1 flow: framing of the two directions and their pairing.
//!
//! What the lines mean is in `request` and `response`, what detection sees in `buffers`. A direction is a state machine
//! over lines and counted bytes; its decisions depend on bytes only, never on where deliveries were cut.

use super::events::Event;
use super::message::Message;
use super::text::Lines;
use crate::{AppLayerConfig, COMPLETE, Direction, Input, Transaction, Upgrade};
use std::sync::Arc;

/// Progress of a direction: the first line is there.
pub(super) const LINE: u8 = 1;
/// The head is there.
pub(super) const HEADERS: u8 = 2;
/// Body bytes are there.
pub(super) const BODY: u8 = 3;

/// Messages kept for use by later transactions.
const POOL: usize = 4;
/// Bytes kept behind a CONNECT or an upgrade until it is clear what they are.
const REST_LIMIT: usize = 64 * 1024;
/// A response line that is none and longer than this is a body without head.
const JUNK_MAX: usize = 1024;
/// Most events of a transaction.
const EVENTS_MAX: usize = 64;

/// What comes next in a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    /// Before or in the first line.
    Line,
    /// Request: behind a line without protocol. It was all (HTTP/0.9), or fields follow nevertheless.
    Bare,
    /// Response: behind a line that is no status line.
    Junk,
    Headers,
    /// Body of known length.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// Body up to the end of the direction.
    Close,
    /// Response: body of a lost head, up to a line that begins the next response. Whether a line begins here.
    Unframed(bool),
    /// Request: behind a CONNECT, until the response is there.
    Wait,
    /// Not HTTP any more: bytes are kept for what comes.
    Tunnel,
    /// Framing is lost, or the direction ended.
    Over,
}

pub(super) struct Side {
    pub at: At,
    /// Bytes of an incomplete line of the body's framing.
    pub(super) partial: Vec<u8>,
    /// Where the line under way begins in the head.
    line_start: usize,
    /// Trailer bytes so far.
    trailer: usize,
    /// Transaction under way.
    pub current: Option<u64>,
    /// Id of the next transaction this side begins.
    next: u64,
    /// Bytes for what comes after.
    rest: Vec<u8>,
    /// The direction ended.
    ended: bool,
}

impl Default for Side {
    fn default() -> Self {
        Side {
            at: At::Line,
            partial: Vec::new(),
            line_start: 0,
            trailer: 0,
            current: None,
            next: 0,
            rest: Vec::new(),
            ended: false,
        }
    }
}

impl Side {
    /// The head begins anew.
    pub fn line_start_reset(&mut self) {
        self.line_start = 0;
    }
}

/// Both directions of a transaction.
#[derive(Default)]
pub(super) struct Pair {
    pub messages: [Message; 2],
    /// The request had no protocol and no fields.
    pub version_09: bool,
    pub seen_continue: bool,
}

/// HTTP/1 of one flow.
pub struct Http1State {
    pub(super) config: Arc<AppLayerConfig>,
    pub(super) sides: [Side; 2],
    pub(super) transactions: Vec<Transaction>,
    pub(super) pairs: Vec<Box<Pair>>,
    pool: Vec<Box<Pair>>,
    pub(super) upgrade: Option<Upgrade>,
}

impl Http1State {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        Http1State {
            config: Arc::clone(config),
            sides: Default::default(),
            transactions: Vec::new(),
            pairs: Vec::new(),
            pool: Vec::new(),
            upgrade: None,
        }
    }

    pub(super) fn index_of(&self, id: u64) -> Option<usize> {
        self.transactions.binary_search_by_key(&id, |t| t.id).ok()
    }

    /// Transaction this side works on.
    pub(super) fn current(&self, d: usize) -> Option<usize> {
        self.index_of(self.sides[d].current?)
    }

    /// Begin a message: the transaction is new for a request; for a response it is that of the request.
    fn begin(&mut self, d: usize) -> Option<usize> {
        let id = self.sides[d].next;
        if let Some(index) = self.index_of(id) {
            self.sides[d].current = Some(id);
            if d == 1 {
                self.response_begins(index);
            }
            return Some(index);
        }
        if self.transactions.len() >= self.config.transactions || self.transactions.last().is_some_and(|t| t.id >= id) {
            if let Some(last) = self.transactions.len().checked_sub(1) {
                self.event(d, last, Event::UnknownError);
            }
            return None;
        }
        self.transactions.push(Transaction { id, progress: [0; 2], changed: [false; 2], events: Vec::new() });
        self.pairs.push(self.pool.pop().unwrap_or_default());
        self.sides[d].current = Some(id);
        let index = self.transactions.len() - 1;
        if d == 1 {
            // A response nobody asked for: its request will not come.
            self.event(1, index, Event::UnableToMatchResponse);
            self.transactions[index].progress[0] = COMPLETE;
            self.sides[0].next = id + 1;
        }
        Some(index)
    }

    /// The response to a transaction begins: its request has been sent as far as it will be.
    fn response_begins(&mut self, index: usize) {
        let id = self.transactions[index].id;
        if self.sides[0].current == Some(id) {
            match self.sides[0].at {
                At::Bare => {
                    self.sides[0].partial.clear();
                    self.pairs[index].version_09 = true;
                    self.advance(0, index, HEADERS);
                    self.complete(0);
                }
                At::Line => self.event(1, index, Event::RequestLineIncomplete),
                _ => {}
            }
        }
        if self.pairs[index].version_09 {
            self.headless_body(index);
        }
    }

    /// The response is a body without head.
    pub(super) fn headless_body(&mut self, index: usize) {
        let message = &mut self.pairs[index].messages[1];
        message.body.begin(self.config.body_limit, 0, 0, None);
        if self.config.file_digests {
            message.body.with_digests();
        }
        self.sides[1].at = At::Close;
        self.advance(1, index, HEADERS);
    }

    pub(super) fn event(&mut self, d: usize, index: usize, event: Event) {
        let t = &mut self.transactions[index];
        let event = event as u16;
        if !t.events.contains(&event) && t.events.len() < EVENTS_MAX {
            t.events.push(event);
            t.changed[d] = true;
        }
    }

    pub(super) fn events(&mut self, d: usize, index: usize, events: &[(bool, Event)]) {
        for (set, event) in events {
            if *set {
                self.event(d, index, *event);
            }
        }
    }

    pub(super) fn advance(&mut self, d: usize, index: usize, progress: u8) {
        let t = &mut self.transactions[index];
        t.progress[d] = t.progress[d].max(progress);
        t.changed[d] = true;
    }

    fn bytes(&mut self, d: usize, mut input: &[u8]) {
        while !input.is_empty() {
            input = match self.sides[d].at {
                At::Over => return,
                At::Wait | At::Tunnel => {
                    let room = REST_LIMIT.saturating_sub(self.sides[d].rest.len());
                    self.sides[d].rest.extend_from_slice(&input[..input.len().min(room)]);
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
            };
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
            self.complete(d);
        }
        rest
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
                let Some(index) = self.begin(d) else {
                    self.sides[d].at = At::Over;
                    return &[];
                };
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
            && let Some(lf) = memchr::memchr(b'\n', &input[from..]) {
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
        let (now, rest) = input.split_at(end.unwrap_or(input.len()));
        let side = &mut self.sides[d];
        if side.partial.len() + now.len() > self.config.head_limit {
            if let Some(index) = self.current(d) {
                self.too_long(d, index);
            }
            return &[];
        }
        side.partial.extend_from_slice(now);
        if end.is_none() && !(side.at == At::ChunkSize && no_chunk_size(&side.partial)) {
            return rest;
        }
        let raw = std::mem::take(&mut side.partial);
        self.count(d, raw.len());
        let mut line = raw.as_slice();
        while let [start @ .., b'\r' | b'\n'] = line {
            line = start;
        }
        let side = &mut self.sides[d];
        match side.at {
            At::Trailers => {
                side.trailer += raw.len();
                if line.is_empty() {
                    self.complete(d);
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
            self.event(d, index, if d == 0 { Event::InvalidRequestChunkLength } else { Event::InvalidResponseChunkLength });
            // Not chunked after all: what is left is the body.
            self.sides[d].at = At::Close;
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

    pub(super) fn body(&mut self, d: usize, bytes: &[u8]) {
        let (Some(index), false) = (self.current(d), bytes.is_empty()) else { return };
        let message = &mut self.pairs[index].messages[d];
        let before = message.body.data.len();
        message.wire += bytes.len() as u64;
        message.body.push(bytes);
        if message.body.data.len() != before {
            if let Some(multipart) = &mut message.multipart {
                multipart.scan(&message.body.data, false);
            }
            self.advance(d, index, BODY);
        }
        if self.pairs[index].messages[d].body.trouble().failed {
            self.event(d, index, Event::GzipDecompressionFailed);
        }
    }

    /// The message of direction `d` is complete.
    pub(super) fn complete(&mut self, d: usize) {
        let side = &mut self.sides[d];
        side.partial.clear();
        if !matches!(side.at, At::Over | At::Tunnel | At::Wait) {
            side.at = At::Line;
        }
        let Some(index) = self.current(d) else { return };
        let message = &mut self.pairs[index].messages[d];
        message.body.finish();
        let mut oddities = super::multipart::Oddities::default();
        if let Some(multipart) = &mut message.multipart {
            multipart.scan(&message.body.data, !message.body.full());
            oddities = multipart.oddities;
        }
        let failed = message.body.trouble().failed;
        self.events(d, index, &[
            (failed, Event::GzipDecompressionFailed),
            (oddities.invalid_header, Event::MultipartInvalidHeader),
            (oddities.no_data, Event::MultipartNoFileData),
            (oddities.unterminated, Event::MultipartGenericError),
        ]);
        self.advance(d, index, COMPLETE);
        let id = self.transactions[index].id;
        self.sides[d].current = None;
        self.sides[d].next = id + 1;
    }

    /// From here on the flow is something else.
    pub(super) fn leave(&mut self, upgrade: Upgrade) {
        self.upgrade = Some(upgrade);
        for side in &mut self.sides {
            side.at = At::Tunnel;
        }
    }

    /// The response to a CONNECT refused it: what waited is HTTP.
    pub(super) fn resume_request(&mut self) {
        if self.sides[0].at == At::Wait {
            self.sides[0].at = At::Line;
            let rest = std::mem::take(&mut self.sides[0].rest);
            self.bytes(0, &rest);
        }
    }

    fn end(&mut self, d: usize) {
        if matches!(self.sides[d].at, At::Over | At::Tunnel) {
            return;
        }
        if let Some(index) = self.current(d) {
            let head = &self.pairs[index].messages[d].head;
            match self.sides[d].at {
                At::Line if !head.is_empty() => {
                    let length = head.len();
                    if d == 0 {
                        self.request_line(index, length);
                    } else if starts_like_status(head) {
                        self.status_line(index, length);
                    } else {
                        self.head_lost(index);
                    }
                }
                At::Junk => self.head_lost(index),
                At::Unframed(_) => {
                    let held = std::mem::take(&mut self.sides[1].partial);
                    self.body(1, &held);
                }
                At::Headers => {
                    if d == 0 {
                        self.request_head(index);
                    } else {
                        self.response_head(index);
                    }
                }
                _ => {}
            }
        }
        self.complete(d);
        self.sides[d].at = At::Over;
        self.sides[d].ended = true;
    }

    pub(super) fn feed_side(&mut self, direction: Direction, input: Input<'_>) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) => {
                // The end was a reset that the sender did not believe, or did not send: messages go on.
                if std::mem::take(&mut self.sides[d].ended) {
                    self.sides[d].at = At::Line;
                }
                self.bytes(d, bytes);
            }
            Input::Gap(length) => self.gap(d, length),
            Input::End => self.end(d),
        }
    }

    pub(super) fn release_inspected(&mut self) {
        let mut at = 0;
        while at < self.transactions.len() {
            self.transactions[at].changed = [false; 2];
            if self.transactions[at].progress == [COMPLETE; 2] {
                self.transactions.remove(at);
                let mut pair = self.pairs.remove(at);
                if self.pool.len() < POOL {
                    pair.messages.iter_mut().for_each(Message::clear);
                    (pair.version_09, pair.seen_continue) = (false, false);
                    self.pool.push(pair);
                }
            } else {
                at += 1;
            }
        }
    }

    pub(super) fn take_rest_of(&mut self, direction: Direction) -> Vec<u8> {
        let rest = std::mem::take(&mut self.sides[direction as usize].rest);
        // Empty lines behind a head belong to nothing.
        let start = rest.iter().position(|b| !matches!(b, b'\r' | b'\n')).unwrap_or(rest.len());
        rest.get(start..).unwrap_or_default().to_vec()
    }

    /// Something begun could be completed by later bytes.
    pub(super) fn side_open(&self, d: usize) -> bool {
        !self.transactions.is_empty() || self.sides[d].current.is_some() || !self.sides[d].rest.is_empty()
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

/// Bytes that begin like a status line, as far as they go: `HTTP` behind white space and NUL.
fn starts_like_status(line: &[u8]) -> bool {
    let start = line.iter().position(|b| *b != 0 && !super::text::is_space(*b)).unwrap_or(line.len());
    line[start..].iter().zip(b"http").all(|(a, b)| a.eq_ignore_ascii_case(b))
}

