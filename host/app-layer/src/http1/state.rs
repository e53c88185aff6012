//! Transactions of an HTTP/1 flow: their life and the pairing of the two directions.

use super::events::Event;
use super::framing::starts_like_status;
use super::message::{Known, Message};
use super::pending::Forgotten;
use crate::{AppLayerConfig, COMPLETE, Direction, Input, Limits, Rest, Transaction, Upgrade};
use std::sync::Arc;

/// Progress of a direction: the first line is there.
pub(super) const LINE: u8 = 1;
/// The head is there.
pub(super) const HEADERS: u8 = 2;
/// Body bytes are there.
pub(super) const BODY: u8 = 3;

/// Messages kept for use by later transactions.
const POOL: usize = 4;
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
    /// Behind a message, while the delivery lasts that brought its end.
    Surplus,
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
    pub(super) line_start: usize,
    /// Trailer bytes so far.
    pub(super) trailer: usize,
    /// Transaction under way.
    pub current: Option<u64>,
    /// Id of the next transaction this side begins.
    pub(super) next: u64,
    /// Bytes for what comes after.
    pub(super) rest: Vec<u8>,
    /// How many more there were.
    pub(super) rest_lost: u64,
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
            rest_lost: 0,
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
    pub(super) pool: Vec<Box<Pair>>,
    pub(super) upgrade: Option<Upgrade>,
    /// The request side goes on with what waited behind a CONNECT; nothing else may come before that.
    pub(super) resumes: bool,
    pub(super) forgotten: Forgotten,
    /// Since they were last asked for.
    pub(super) limits: Limits,
    pub(super) successor: Option<Box<dyn crate::ProtocolState>>,
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
            resumes: false,
            forgotten: Forgotten::default(),
            limits: Limits::default(),
            successor: None,
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
    pub(super) fn begin(&mut self, d: usize) -> usize {
        let id = self.sides[d].next;
        let index = match self.index_of(id) {
            Some(index) => index,
            None => {
                self.make_room();
                self.insert(id)
            }
        };
        self.sides[d].current = Some(id);
        if d == 1 {
            self.response_begins(index);
        }
        index
    }

    fn insert(&mut self, id: u64) -> usize {
        let index = self.transactions.partition_point(|t| t.id < id);
        self.transactions.insert(index, Transaction { id, progress: [0; 2], changed: [false; 2], events: Vec::new() });
        self.pairs.insert(index, self.pool.pop().unwrap_or_default());
        index
    }

    /// The response to a transaction begins: its request has been sent as far as it will be.
    fn response_begins(&mut self, index: usize) {
        let id = self.transactions[index].id;
        if id > self.sides[0].next || (id == self.sides[0].next && self.sides[0].current != Some(id)) {
            // A response nobody asked for: its request will not come.
            self.event(1, index, Event::UnableToMatchResponse);
            self.sides[0].next = id + 1;
            self.transactions[index].progress[0] = COMPLETE;
            return;
        }
        self.recall(index);
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
        message.body.begin(self.config.http_body_limits[1], 0, 0, None);
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

    pub(super) fn body(&mut self, d: usize, bytes: &[u8]) {
        let (Some(index), false) = (self.current(d), bytes.is_empty()) else { return };
        let message = &mut self.pairs[index].messages[d];
        let before = message.body.data.len();
        message.wire += bytes.len() as u64;
        message.body.push(bytes);
        if message.body.data.len() != before {
            self.limits.bodies += u64::from(message.body.full());
            if let Some(multipart) = &mut message.multipart {
                multipart.scan(&message.body.data, false);
            }
            self.advance(d, index, BODY);
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
        self.events(d, index, &[
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

    /// The response to a CONNECT refused it: what waited is HTTP. It is given to the parser like any other input.
    pub(super) fn resume_request(&mut self) {
        if self.sides[0].at == At::Wait {
            self.sides[0].at = At::Line;
            self.sides[0].ended = false;
            self.resumes = true;
        }
    }

    fn end(&mut self, d: usize) {
        match self.sides[d].at {
            At::Over | At::Tunnel => return,
            // The end of what waits, too.
            At::Wait => {
                self.sides[d].ended = true;
                return;
            }
            _ => {}
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
                At::Surplus => {
                    let held = std::mem::take(&mut self.sides[d].partial);
                    self.surplus_body(d, &held);
                }
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
                if std::mem::take(&mut self.sides[d].ended) && self.sides[d].at == At::Over {
                    self.sides[d].at = At::Line;
                }
                self.bytes(d, bytes);
            }
            Input::Gap(length) => self.gap(d, length),
            Input::End => self.end(d),
        }
    }

    pub(super) fn release_inspected(&mut self) {
        self.transactions.iter_mut().for_each(|t| t.changed = [false; 2]);
        self.remove(|t| t.progress == [COMPLETE; 2]);
    }

    /// Let transactions go.
    pub(super) fn remove(&mut self, mut gone: impl FnMut(&Transaction) -> bool) {
        let mut kept = 0;
        for at in 0..self.transactions.len() {
            if !gone(&self.transactions[at]) {
                self.transactions.swap(kept, at);
                self.pairs.swap(kept, at);
                kept += 1;
            }
        }
        self.transactions.truncate(kept);
        for mut pair in self.pairs.drain(kept..) {
            if self.pool.len() < POOL {
                pair.messages.iter_mut().for_each(Message::clear);
                (pair.version_09, pair.seen_continue) = (false, false);
                self.pool.push(pair);
            }
        }
    }

    pub(super) fn take_rest_of(&mut self, direction: Direction) -> Vec<u8> {
        self.resumes &= direction == Direction::ToServer;
        std::mem::take(&mut self.sides[direction as usize].rest)
    }

    /// Something begun could be completed by later bytes.
    pub(super) fn side_open(&self, d: usize) -> bool {
        !self.transactions.is_empty() || self.sides[d].current.is_some() || !self.sides[d].rest.is_empty()
    }

    /// All requests are complete, and no byte of another one is there; so are the responses, but perhaps for the rest of a
    /// body that has no coding.
    pub(super) fn rest_of_messages(&self) -> Rest<'_> {
        let [request, response] = &self.sides;
        let between = |side: &Side| side.at == At::Line && side.current.is_none();
        let quiet = |side: &Side| side.partial.is_empty() && side.rest.is_empty();
        let plain = self.upgrade.is_none()
            && !self.resumes
            && between(request)
            && [request, response].iter().all(|side| quiet(side))
            && self.transactions.iter().all(|t| t.progress[0] == COMPLETE)
            && self.pairs.iter().all(|pair| !pair.version_09 && !pair.seen_continue);
        match (plain, response.at, self.current(1)) {
            (true, At::Line, None) => Rest::Nothing,
            (true, At::Length(_) | At::Close, Some(index)) => {
                let message = &self.pairs[index].messages[1];
                // What had chunks may have lost them.
                let coded = message.coding(Known::TransferEncoding, &[b"chunked"]).is_some() || !message.body.is_plain();
                if coded || message.multipart.is_some() {
                    return Rest::Unknown;
                }
                let transaction = self.transactions[index].id;
                Rest::Body { transaction, direction: Direction::ToClient, head: &message.head, body: &message.body.data }
            }
            _ => Rest::Unknown,
        }
    }
}
