//! Transactions of an HTTP/2 connection: framing, header blocks, streams.
//!
//! As in Suricata, each stream is a transaction, and so is each frame of the connection as a whole (stream 0) or of a
//! stream that is not open. A direction is a state machine over bytes; its decisions depend on bytes only, never on where
//! deliveries were cut. Header blocks are decoded as they come, so a flood of CONTINUATION frames is bounded by what is
//! kept of it; the dynamic table stays in step whatever is left out.

use super::block::Block;
use super::doh;
use super::events::Event;
use super::fields::Known;
use super::frame::{self, Fact, Frame, HEAD, PREFACE, Prologue};
use super::hpack::Decoder;
use super::stream::{Stream, content_range, is_interim, request_oddities};
use crate::{AppLayerConfig, COMPLETE, Input, Progress, Transaction};
use std::sync::Arc;

/// Progress of a direction: the header list is there.
pub(super) const HEADERS: Progress = 1;
/// Body bytes are there.
pub(super) const BODY: Progress = 2;

/// Most bytes kept for all streams of a connection. Beyond it the oldest stream is closed.
const KEPT_MAX: usize = 4 << 20;
/// A frame that is not streamed and longer than this is odd: the default limit (RFC 9113 section 6.5.2).
const LONG: u32 = 16_384;
/// Most events of a transaction.
const EVENTS_MAX: usize = 32;
/// A body that decompression blew up by more than this is a bomb.
const BOMB: u64 = 256;

/// What comes next in a direction.
#[derive(Debug, Clone, Copy)]
enum At {
    Preface,
    Head,
    /// Fixed fields of a streamed frame.
    Prologue(Frame),
    /// What a streamed frame carries; bytes left of it and of the padding.
    Content(Frame, u32, u32),
    /// Bytes of another frame, so many of them; what is left behind them.
    Whole(Frame, u32, u32),
    Skip(u32),
    /// Framing is lost, or the direction ended.
    Over,
}

struct Side {
    at: At,
    held: Vec<u8>,
    hpack: Decoder,
    block: Option<Box<Block>>,
    /// Transaction of the frame under way.
    current: Option<u64>,
    /// Highest stream that a header list opened.
    highest: u32,
}

/// HTTP/2 of one flow.
pub struct Http2State {
    config: Arc<AppLayerConfig>,
    sides: [Side; 2],
    pub(super) transactions: Vec<Transaction>,
    pub(super) streams: Vec<Box<Stream>>,
    next: u64,
    kept: usize,
    pub(super) doh: bool,
}

impl Http2State {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        let side = |at| Side { at, held: Vec::new(), hpack: Decoder::default(), block: None, current: None, highest: 0 };
        Http2State {
            config: Arc::clone(config),
            sides: [side(At::Preface), side(At::Head)],
            transactions: Vec::new(),
            streams: Vec::new(),
            next: 0,
            kept: 0,
            doh: false,
        }
    }

    /// State of a flow that changed from HTTP/1 (RFC 7540 section 3.2): the request is that of stream 1.
    pub fn upgraded<'a>(
        config: &Arc<AppLayerConfig>,
        method: &[u8],
        target: &[u8],
        fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Self {
        let mut state = Http2State::new(config);
        let Some(index) = state.open(1) else { return state };
        state.sides[0].highest = 1;
        let mut settings_fail = false;
        // The settings of the field are those of the connection.
        let mut settings: Option<Vec<u8>> = None;
        let side = &mut state.streams[index].sides[0];
        side.fields.push(b":method", method, config.head_limit);
        side.fields.push(b":path", target, config.head_limit);
        for (name, value) in fields {
            if name.eq_ignore_ascii_case(b"http2-settings") {
                match doh::base64url(value) {
                    Some(bytes) if bytes.len() % 6 == 0 => settings = Some(bytes),
                    _ => settings_fail = true,
                }
                continue;
            }
            let name = if name.eq_ignore_ascii_case(b"host") { b":authority" } else { name };
            side.fields.push(name, value, config.head_limit);
        }
        if settings_fail {
            state.event(0, index, Event::InvalidHttp1Settings);
        }
        state.head_complete(index, 0, true);
        if let Some(bytes) = settings
            && let Some(index) = state.open(0)
        {
            state.fact(0, index, Fact::Type(frame::SETTINGS));
            frame::facts(frame::SETTINGS, &bytes, |fact| state.fact(0, index, fact));
            state.transactions[index].changed = [true; 2];
            state.close(index);
        }
        state
    }

    fn index_of(&self, id: u64) -> Option<usize> {
        self.transactions.binary_search_by_key(&id, |t| t.id).ok()
    }

    fn event(&mut self, d: usize, index: usize, event: Event) {
        let Some(t) = self.transactions.get_mut(index) else { return };
        if !t.events.contains(&(event as u16)) && t.events.len() < EVENTS_MAX {
            t.events.push(event as u16);
            t.changed[d] = true;
        }
    }

    /// An event of the transaction of the frame under way.
    fn current_event(&mut self, d: usize, event: Event) {
        if let Some(index) = self.sides[d].current.and_then(|id| self.index_of(id)) {
            self.event(d, index, event);
        }
    }

    fn fact(&mut self, d: usize, index: usize, fact: Fact) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        if !stream.sides[d].fact(fact) {
            self.event(d, index, Event::TooManyFrames);
        }
        self.transactions[index].changed[d] = true;
    }

    /// A new transaction.
    fn open(&mut self, number: u32) -> Option<usize> {
        if self.transactions.len() >= self.config.transactions {
            self.close_oldest();
            let last = self.transactions.len().checked_sub(1)?;
            self.event(0, last, Event::TooManyStreams);
            return None;
        }
        self.transactions.push(Transaction { id: self.next, progress: [0; 2], changed: [false; 2], events: Vec::new() });
        self.streams.push(Box::new(Stream { number, ..Stream::default() }));
        self.next += 1;
        Some(self.streams.len() - 1)
    }

    /// The oldest stream that is open gives way.
    fn close_oldest(&mut self) {
        if let Some(index) = self.transactions.iter().position(|t| t.progress != [COMPLETE; 2]) {
            self.event(0, index, Event::TooManyStreams);
            self.close(index);
        }
    }

    fn close(&mut self, index: usize) {
        for d in 0..2 {
            self.end_side(index, d);
        }
    }

    /// The open transaction of a stream; `ended`: or one that ended just now.
    fn find(&self, number: u32, ended: bool) -> Option<usize> {
        let open = |t: &Transaction| t.progress != [COMPLETE; 2] || ended;
        (0..self.streams.len()).rev().find(|i| self.streams[*i].number == number && open(&self.transactions[*i]))
    }

    fn bytes(&mut self, d: usize, mut input: &[u8]) {
        while !input.is_empty() {
            let at = self.sides[d].at;
            let wanted = match at {
                At::Over => return,
                At::Preface => PREFACE.len() as u32,
                At::Head => HEAD as u32,
                At::Prologue(frame) => frame.prologue(),
                At::Whole(_, take, _) => take,
                At::Content(frame, left, padding) => {
                    let (now, rest) = input.split_at(input.len().min(left as usize));
                    self.content(d, &frame, now);
                    input = rest;
                    let left = left - now.len() as u32;
                    if left > 0 {
                        self.sides[d].at = At::Content(frame, left, padding);
                    } else {
                        self.content_complete(d, frame, padding);
                    }
                    continue;
                }
                At::Skip(left) => {
                    let n = input.len().min(left as usize);
                    input = &input[n..];
                    let left = left - n as u32;
                    self.sides[d].at = if left > 0 { At::Skip(left) } else { At::Head };
                    continue;
                }
            };
            let held = &mut self.sides[d].held;
            let (now, rest) = input.split_at(input.len().min((wanted as usize).saturating_sub(held.len())));
            held.extend_from_slice(now);
            input = rest;
            if held.len() < wanted as usize {
                return;
            }
            let mut whole = std::mem::take(held);
            self.collected(d, at, &whole);
            whole.clear();
            if whole.capacity() <= 1024 {
                self.sides[d].held = whole;
            }
        }
    }

    fn collected(&mut self, d: usize, at: At, bytes: &[u8]) {
        match at {
            At::Preface => {
                self.sides[d].at = At::Head;
                if bytes != PREFACE && let Some(index) = self.open(0) {
                    self.event(d, index, Event::InvalidClientMagic);
                    self.close(index);
                }
            }
            At::Head => {
                if let Ok(head) = bytes.try_into() {
                    self.head(d, Frame::read(head));
                }
            }
            At::Prologue(frame) => {
                let prologue = frame.read_prologue(bytes);
                self.begin(d, frame, prologue);
            }
            At::Whole(frame, _, rest) => {
                if let Some(index) = self.sides[d].current.and_then(|id| self.index_of(id)) {
                    frame::facts(frame.kind, bytes, |fact| self.fact(d, index, fact));
                }
                self.whole_complete(d, frame, rest);
            }
            At::Content(..) | At::Skip(_) | At::Over => {}
        }
    }

    /// The head of a frame is there.
    fn head(&mut self, d: usize, frame: Frame) {
        self.sides[d].current = None;
        let block = self.sides[d].block.as_ref().map(|block| block.stream);
        if block.is_some_and(|stream| frame.kind != frame::CONTINUATION || frame.stream != stream) {
            // Nothing may come between the frames of a block (RFC 9113 section 6.10).
            self.close_block(d, frame.kind != frame::CONTINUATION);
        }
        let fits = frame.length_fits() && frame.prologue() <= frame.length;
        if !fits || frame.prologue() == 0 {
            self.begin(d, frame, Prologue::default());
        } else {
            self.sides[d].at = At::Prologue(frame);
        }
    }

    /// The frame begins: find what it belongs to.
    fn begin(&mut self, d: usize, frame: Frame, prologue: Prologue) {
        let number = prologue.promised.unwrap_or(frame.stream);
        let opens = matches!(frame.kind, frame::HEADERS | frame::PUSH_PROMISE) && number != 0;
        let mut found = if frame.stream == 0 { None } else { self.find(number, self.config.by_delivery && frame.may_follow_end()) };
        // That settings were understood is no transaction.
        if found.is_none() && !frame.acknowledges() {
            found = self.open(if frame.stream == 0 { 0 } else { number });
            if opens && let Some(index) = found {
                // A number that was used opens nothing (section 5.1.1).
                if number <= self.sides[d].highest {
                    self.event(d, index, Event::StreamIdReuse);
                }
            }
        }
        if opens {
            self.sides[d].highest = self.sides[d].highest.max(number);
        }
        let id = found.map(|index| self.transactions[index].id);
        self.sides[d].current = id;
        if let Some(index) = found {
            self.fact(d, index, Fact::Type(frame.kind));
            if let Some(weight) = prologue.weight {
                self.fact(d, index, Fact::Priority(weight));
            }
            if number == 0 {
                // Frames of the connection are looked at in both directions.
                self.transactions[index].changed = [true; 2];
            }
        }
        let fixed = frame.prologue();
        if !frame.length_fits() || fixed > frame.length {
            self.current_event(d, Event::InvalidFrameLength);
            return self.whole_complete(d, frame, frame.length);
        }
        if frame.length > LONG && frame.kind != frame::DATA {
            self.current_event(d, Event::LongFrameData);
        }
        if !frame.is_streamed() {
            let take = frame.length.min(frame.meaning());
            self.sides[d].at = At::Whole(frame, take, frame.length - take);
            if take == 0 {
                self.whole_complete(d, frame, frame.length);
            }
            return;
        }
        if frame.stream == 0 {
            self.current_event(d, if frame.kind == frame::DATA { Event::DataStreamZero } else { Event::InvalidFrameHeader });
        }
        let room = frame.length - fixed;
        let padding = u32::from(prologue.padding);
        if padding > room {
            self.current_event(d, Event::InvalidFrameLength);
        }
        let padding = padding.min(room);
        match frame.kind {
            frame::DATA => {}
            frame::CONTINUATION if self.sides[d].block.is_some() => {}
            frame::CONTINUATION => {
                self.current_event(d, Event::ContinuationWithoutHeaders);
                return self.whole_complete(d, frame, frame.length);
            }
            _ => {
                let request = d == 0 || frame.kind == frame::PUSH_PROMISE;
                self.sides[d].block = Some(Box::new(Block::new(frame, id, request)));
            }
        }
        let content = room - padding;
        self.sides[d].at = At::Content(frame, content, padding);
        if content == 0 {
            self.content_complete(d, frame, padding);
        }
    }

    /// Bytes that a streamed frame carries.
    fn content(&mut self, d: usize, frame: &Frame, bytes: &[u8]) {
        if frame.kind == frame::DATA {
            if let Some(index) = self.sides[d].current.and_then(|id| self.index_of(id)) {
                self.body(d, index, bytes);
            }
            return;
        }
        let side = &mut self.sides[d];
        let Some(mut block) = side.block.take() else { return };
        block.push(&mut side.hpack, bytes, self.config.head_limit);
        if let Some(index) = block.id.and_then(|id| self.index_of(id)) {
            for event in block.events.drain(..) {
                self.event(d, index, event);
            }
            for size in block.sizes.drain(..) {
                self.fact(d, index, Fact::Size(size));
            }
        }
        self.sides[d].block = Some(block);
    }

    fn body(&mut self, d: usize, index: usize, bytes: &[u8]) {
        let progress = self.transactions[index].progress[d];
        if progress == COMPLETE {
            return;
        }
        let side = &mut self.streams[index].sides[d];
        if progress < HEADERS {
            // No header list came: the bytes are looked at as they are.
            side.body.begin(self.config.body_limit, 0, 0, None);
            self.transactions[index].progress[d] = HEADERS;
        }
        let before = side.body.data.len();
        side.body.push(bytes);
        let more = side.body.data.len() - before;
        let failed = side.body.failed();
        if more > 0 {
            self.kept += more;
            let t = &mut self.transactions[index];
            t.progress[d] = t.progress[d].max(BODY);
            t.changed[d] = true;
        }
        if failed {
            self.event(d, index, Event::FailedDecompression);
        }
        if self.kept > KEPT_MAX {
            self.close_oldest();
        }
    }

    fn content_complete(&mut self, d: usize, frame: Frame, padding: u32) {
        self.sides[d].at = if padding > 0 { At::Skip(padding) } else { At::Head };
        if frame.has_block() {
            if frame.ends_headers() {
                self.close_block(d, false);
            }
        } else if let Some(index) = self.sides[d].current.and_then(|id| self.index_of(id)) {
            if !self.streams[index].headed {
                self.close(index);
            } else if frame.ends_stream() {
                self.end_side(index, d);
            }
        }
    }

    /// A frame that is not streamed is through, but for bytes that are skipped.
    fn whole_complete(&mut self, d: usize, frame: Frame, rest: u32) {
        self.sides[d].at = if rest > 0 { At::Skip(rest) } else { At::Head };
        if let Some(index) = self.sides[d].current.and_then(|id| self.index_of(id)) {
            if !self.streams[index].headed || frame.kind == frame::RST_STREAM {
                self.close(index);
            }
        }
    }

    /// The header block of a direction is over.
    fn close_block(&mut self, d: usize, early: bool) {
        let Some(block) = self.sides[d].block.take() else { return };
        let Some(index) = block.id.and_then(|id| self.index_of(id)) else { return };
        if early {
            self.event(d, index, Event::InvalidFrameData);
        } else if block.has_rest() {
            self.event(d, index, Event::ExtraHeaderData);
        }
        let s = usize::from(!block.request);
        let pushed = block.request && d == 1;
        let first = self.transactions[index].progress[s] < HEADERS;
        // Trailers add nothing that is looked at; an interim response is no progress.
        if first && !(s == 1 && is_interim(&block.fields)) {
            self.kept += block.fields.length();
            self.streams[index].sides[s].fields = block.fields;
            self.head_complete(index, s, block.ends_stream || pushed);
        } else if block.ends_stream {
            self.end_side(index, s);
        }
        if !self.streams[index].headed || self.streams[index].number == 0 {
            self.close(index);
        }
    }

    /// The header list of a direction is there.
    fn head_complete(&mut self, index: usize, s: usize, ends: bool) {
        self.streams[index].headed = true;
        let side = &mut self.streams[index].sides[s];
        let encoding = side.fields.value(Known::ContentEncoding).map(<[u8]>::to_vec);
        side.body.begin(self.config.body_limit, self.config.inflate_limit, self.config.inflate_layers, encoding.as_deref());
        if self.config.file_digests {
            side.body.with_digests();
        }
        let mut events: Vec<Event> = Vec::new();
        if s == 0 {
            events.extend(request_oddities(&side.fields));
        } else if side.fields.value(Known::ContentRange).is_some_and(|value| content_range(value).is_none()) {
            events.push(Event::InvalidRange);
        }
        if doh::is_dns(&side.fields) {
            self.doh = true;
            if s == 0 {
                side.dns = doh::of_target(&side.fields).map(Box::new);
            }
        }
        events.into_iter().for_each(|event| self.event(s, index, event));
        let t = &mut self.transactions[index];
        t.progress[s] = t.progress[s].max(HEADERS);
        t.changed[s] = true;
        if ends {
            self.end_side(index, s);
        }
    }

    /// Nothing more comes in this direction of a stream.
    fn end_side(&mut self, index: usize, s: usize) {
        if self.transactions[index].progress[s] == COMPLETE {
            return;
        }
        let side = &mut self.streams[index].sides[s];
        side.body.finish();
        let body = &side.body;
        let bomb = body.full() && body.received.saturating_mul(BOMB) < body.data.len() as u64;
        let dns = self.doh && doh::has_dns_body(&side.fields);
        let long = dns && body.received > doh::MESSAGE_MAX;
        if dns && !long && side.dns.is_none() {
            side.dns = crate::dns::parse_message(&body.data).map(Box::new);
        }
        for (set, event) in [
            (body.failed(), Event::FailedDecompression),
            (bomb, Event::CompressionBomb),
            (long, if s == 0 { Event::DnsRequestTooLong } else { Event::DnsResponseTooLong }),
        ] {
            if set {
                self.event(s, index, event);
            }
        }
        let t = &mut self.transactions[index];
        t.progress[s] = COMPLETE;
        t.changed[s] = true;
    }

    fn gap(&mut self, d: usize, length: u64) {
        let length32 = u32::try_from(length).unwrap_or(u32::MAX);
        match self.sides[d].at {
            // Lengths are known: what is lost is body or nothing of worth.
            At::Content(frame, left, padding) if frame.kind == frame::DATA && length32 < left => {
                if let Some(index) = self.sides[d].current.and_then(|id| self.index_of(id)) {
                    self.streams[index].sides[d].body.gap(length);
                }
                self.sides[d].at = At::Content(frame, left - length32, padding);
            }
            At::Skip(left) if length32 < left => self.sides[d].at = At::Skip(left - length32),
            _ => self.lose(d),
        }
    }

    /// Framing is lost.
    fn lose(&mut self, d: usize) {
        self.close_block(d, true);
        let side = &mut self.sides[d];
        side.at = At::Over;
        side.held = Vec::new();
        side.hpack = Decoder::default();
        self.end(d);
    }

    /// The direction ends. If it was a reset that the sender did not believe, frames go on where they were.
    fn end(&mut self, d: usize) {
        for index in 0..self.transactions.len() {
            self.end_side(index, d);
        }
    }

    pub(super) fn feed_side(&mut self, d: usize, input: Input<'_>) {
        match input {
            Input::Data(bytes) => self.bytes(d, bytes),
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
                let stream = self.streams.remove(at);
                let kept: usize = stream.sides.iter().map(|side| side.body.data.len() + side.fields.length()).sum();
                self.kept = self.kept.saturating_sub(kept);
            } else {
                at += 1;
            }
        }
    }

    /// Bytes kept of all streams.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.kept
    }

    /// Something begun could be completed by later bytes.
    pub(super) fn side_open(&self, d: usize) -> bool {
        let side = &self.sides[d];
        !self.transactions.is_empty() || side.block.is_some() || !side.held.is_empty()
    }
}
