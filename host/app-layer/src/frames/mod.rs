//! Frames: ranges of a stream, or of a datagram, that have a name in their protocol (`tls.hdr`, `smtp.data`), for rules
//! with `frame`.
//!
//! Place: beside the parser of a flow, fed with the same input in the same order; only where some rule asks for frames of
//! the protocol. To detection the frames are units like transactions, each with one buffer. Invariants: a frame keeps at
//! most [`AppLayerConfig::body_limit`] bytes, and the flow few frames at a time (the parser pauses for them); what cannot
//! be cut any more (a gap, a message that is none) has no further frames.

mod binary;
mod cut;
mod http1;
mod lines;
mod smtp;
mod telnet;
#[cfg(test)]
mod tests;

use crate::json::Object;
use crate::{AppLayerConfig, BufferState, BufferView, COMPLETE, Direction, Input, ProtocolState, Transaction};
use cut::Cutter;
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// Frames that wait for inspection before the parser pauses.
pub(crate) const FRAMES_MAX: usize = 256;
/// Bytes of a frame that records show.
const SHOWN_MAX: usize = 4096;

/// Protocols whose frames are cut before their transaction is known: Suricata's records of them name none.
const UNNUMBERED: [AppProtocol; 6] = [
    AppProtocol::DceRpc,
    AppProtocol::Mqtt,
    AppProtocol::Nfs,
    AppProtocol::Rfb,
    AppProtocol::Smb,
    AppProtocol::Tls,
];

#[derive(Default)]
struct Side {
    /// Offset of the first byte of `head`.
    position: u64,
    /// Bytes that are not cut yet.
    head: Vec<u8>,
    /// Bytes of the message that are still to come.
    left: u64,
    /// What the other direction says next tells what the first bytes of `head` are.
    waits: bool,
    lost: bool,
    /// The frame of the whole stream has begun.
    stream: bool,
    /// Frames that have begun.
    frames: u64,
}

/// A frame.
struct Frame {
    /// Within its direction, from 1.
    number: u64,
    buffer: Buffer,
    direction: Direction,
    offset: u64,
    length: Option<u64>,
    bytes: Vec<u8>,
    /// All its bytes are there.
    complete: bool,
    /// Nothing more will be added.
    closed: bool,
    /// A record has told of it.
    told: bool,
    transaction: Option<u64>,
}

/// The frames of one flow.
pub struct Frames {
    protocol: AppProtocol,
    wanted: u128,
    datagrams: bool,
    limit: usize,
    cutter: Cutter,
    /// The frame that is a whole direction.
    stream: Option<Buffer>,
    sides: [Side; 2],
    frames: Vec<Frame>,
    /// What detection sees of each.
    units: Vec<Transaction>,
    next: u64,
}

impl Frames {
    /// Frames of a flow whose protocol has become known, if rules ask for any.
    pub(crate) fn new(protocol: AppProtocol, config: &Arc<AppLayerConfig>, datagrams: bool) -> Option<Box<Frames>> {
        let wanted = config.frames & of_protocol(protocol);
        if wanted == 0 {
            return None;
        }
        Some(Box::new(Frames {
            protocol,
            wanted,
            datagrams,
            limit: config.body_limit,
            cutter: Cutter::new(protocol, config),
            stream: stream_of(protocol),
            sides: Default::default(),
            frames: Vec::new(),
            units: Vec::new(),
            next: 0,
        }))
    }

    /// More of a direction. `transaction`: the one that the parser is at.
    pub(crate) fn feed_in(&mut self, direction: Direction, input: Input<'_>, transaction: Option<u64>) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) => {
                if self.datagrams {
                    let side = &mut self.sides[d];
                    *side = Side { position: side.position, frames: side.frames, ..Side::default() };
                } else {
                    self.stream_bytes(direction, bytes);
                }
                self.push(d, bytes);
                self.cut(d, transaction);
                if self.datagrams {
                    let side = &mut self.sides[d];
                    side.position += side.head.len() as u64;
                    side.head.clear();
                    self.close(direction, false);
                }
            }
            Input::Gap(length) => {
                let side = &mut self.sides[d];
                side.position += side.head.len() as u64 + length;
                side.lost |= !side.head.is_empty() || length > side.left;
                side.left = side.left.saturating_sub(length);
                side.head.clear();
                self.close(direction, false);
            }
            Input::End => self.close(direction, true),
        }
    }

    /// Bytes of the message that is under way, then those that are to be cut.
    fn push(&mut self, d: usize, bytes: &[u8]) {
        let side = &mut self.sides[d];
        if side.lost {
            side.position += bytes.len() as u64;
            return;
        }
        let now = usize::try_from(side.left).unwrap_or(usize::MAX).min(bytes.len());
        let (inside, rest) = bytes.split_at(now);
        self.add(d, inside);
        let side = &mut self.sides[d];
        side.left -= now as u64;
        side.position += now as u64;
        side.head.extend_from_slice(rest);
    }

    fn wants(&self, buffer: Buffer) -> bool {
        buffer.frame_number().is_some_and(|n| self.wanted >> n & 1 != 0)
    }

    fn begin(
        &mut self,
        d: usize,
        buffer: Buffer,
        from: u64,
        length: Option<u64>,
        bytes: &[u8],
        transaction: Option<u64>,
    ) {
        if !self.wants(buffer) {
            return;
        }
        let direction = if d == 0 { Direction::ToServer } else { Direction::ToClient };
        let complete = length.is_some_and(|l| l == bytes.len() as u64) && bytes.len() <= self.limit;
        let closed = length.is_some_and(|l| l <= bytes.len() as u64);
        let bytes = bytes.get(..self.limit).unwrap_or(bytes).to_vec();
        let offset = self.sides[d].position + from;
        let side = &mut self.sides[d];
        side.frames += 1;
        let (number, told) = (side.frames, false);
        self.frames.push(Frame { number, buffer, direction, offset, length, bytes, complete, closed, told, transaction });
        let mut changed = [false; 2];
        changed[d] = true;
        self.units.push(Transaction { id: self.next, progress: [0; 2], changed, events: Vec::new() });
        self.next += 1;
    }

    /// Bytes at the direction's position, for what is open.
    fn add(&mut self, d: usize, bytes: &[u8]) {
        let (limit, position, stream) = (self.limit, self.sides[d].position, self.stream);
        for (frame, unit) in self.frames.iter_mut().zip(&mut self.units) {
            if frame.closed || frame.direction as usize != d || Some(frame.buffer) == stream {
                continue;
            }
            // A frame may begin further on in the message.
            let skip = usize::try_from(frame.offset.saturating_sub(position)).unwrap_or(usize::MAX);
            let Some(own) = bytes.get(skip..) else { continue };
            let have = position.max(frame.offset) - frame.offset;
            let want =
                frame.length.map_or(usize::MAX, |l| usize::try_from(l.saturating_sub(have)).unwrap_or(usize::MAX));
            let own = own.get(..want).unwrap_or(own);
            if !own.is_empty() {
                extend(frame, own, limit);
                unit.changed[d] = true;
            }
            if frame.length == Some(have + own.len() as u64) {
                frame.closed = true;
                frame.complete = frame.length == Some(frame.bytes.len() as u64);
            }
        }
    }

    fn stream_bytes(&mut self, direction: Direction, bytes: &[u8]) {
        let d = direction as usize;
        let Some(buffer) = self.stream else { return };
        if !std::mem::replace(&mut self.sides[d].stream, true) {
            self.begin(d, buffer, 0, None, &[], None);
        }
        let limit = self.limit;
        for (frame, unit) in self.frames.iter_mut().zip(&mut self.units) {
            if frame.buffer == buffer && frame.direction == direction && !frame.closed {
                extend(frame, bytes, limit);
                unit.changed[d] = true;
            }
        }
    }

    /// The frames without length end here.
    fn end_open(&mut self, d: usize) {
        let stream = self.stream;
        for (frame, unit) in self.frames.iter_mut().zip(&mut self.units) {
            if frame.direction as usize == d && frame.length.is_none() && !frame.closed && Some(frame.buffer) != stream {
                finish(frame, self.limit);
                unit.changed[d] = true;
            }
        }
    }

    /// No message can be told any more. The direction as a whole goes on.
    fn lose(&mut self, d: usize) {
        let stream = self.stream;
        for (frame, unit) in self.frames.iter_mut().zip(&mut self.units) {
            if frame.direction as usize == d && !frame.closed && Some(frame.buffer) != stream {
                frame.closed = true;
                unit.changed[d] = true;
            }
        }
    }

    /// The direction is over, or goes on elsewhere.
    fn close(&mut self, direction: Direction, ended: bool) {
        // A line of a terminal ends with its last byte, not with the stream.
        let (lines, stream) = (self.protocol == AppProtocol::Telnet, self.stream);
        for (frame, unit) in self.frames.iter_mut().zip(&mut self.units) {
            if frame.direction != direction || frame.closed {
                continue;
            }
            if ended && frame.length.is_none() && (!lines || Some(frame.buffer) == stream) {
                finish(frame, self.limit);
            }
            frame.closed = true;
            unit.changed[direction as usize] = true;
        }
    }

    /// Frames that detection has not seen.
    pub(crate) fn waiting(&self) -> usize {
        self.units.iter().filter(|unit| unit.changed != [false; 2]).count()
    }

    /// Detection has seen them.
    pub(crate) fn release(&mut self) {
        let mut keep = self.frames.iter().map(|frame| !frame.closed);
        self.units.retain_mut(|unit| {
            unit.changed = [false; 2];
            keep.next().unwrap_or(false)
        });
        self.frames.retain(|frame| !frame.closed);
    }

    fn index_of(&self, id: u64) -> Option<usize> {
        self.units.binary_search_by_key(&id, |unit| unit.id).ok()
    }

    /// A frame's direction, and its number within it, from 1.
    pub fn place_of(&self, id: u64) -> Option<(Direction, u64)> {
        self.frames.get(self.index_of(id)?).map(|frame| (frame.direction, frame.number))
    }

    /// The transaction that a frame came with.
    pub fn transaction_of(&self, id: u64) -> Option<u64> {
        self.frames.get(self.index_of(id)?)?.transaction
    }

    /// The next frame that is over and has no record yet: its direction, and `"frame":{…}`.
    pub fn tell(&mut self, out: &mut Vec<u8>) -> Option<Direction> {
        let index = self.frames.iter().position(|frame| frame.closed && !frame.told)?;
        let frame = self.frames.get_mut(index)?;
        frame.told = true;
        let direction = frame.direction;
        self.log(index, out);
        Some(direction)
    }

    /// The flow is over, and detection has seen it: what has no length of its own ends here.
    pub fn end(&mut self) {
        for direction in [Direction::ToServer, Direction::ToClient] {
            self.close(direction, true);
        }
    }

    /// `"frame":{…}` of a frame.
    pub fn describe(&self, id: u64, out: &mut Vec<u8>) {
        if let Some(index) = self.index_of(id) {
            self.log(index, out);
        }
    }
}

fn extend(frame: &mut Frame, bytes: &[u8], limit: usize) {
    let room = limit.saturating_sub(frame.bytes.len());
    frame.bytes.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
}

fn finish(frame: &mut Frame, limit: usize) {
    frame.closed = true;
    frame.complete = frame.bytes.len() < limit;
    frame.length = Some(frame.bytes.len() as u64);
}

fn stream_of(protocol: AppProtocol) -> Option<Buffer> {
    Buffer::from_name(&format!("frame:{}.stream", prefix(protocol)))
}

/// The protocol's name in those of its frames.
fn prefix(protocol: AppProtocol) -> &'static str {
    if protocol == AppProtocol::Http1 { "http1" } else { protocol.name() }
}

fn of_protocol(protocol: AppProtocol) -> u128 {
    let own = Buffer::ALL.iter().filter(|b| b.protocol() == Some(protocol));
    own.filter_map(|b| b.frame_number()).fold(0, |mask, n| mask | 1 << n)
}

impl ProtocolState for Frames {
    fn protocol(&self) -> AppProtocol {
        self.protocol
    }

    fn are_frames(&self) -> bool {
        true
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        self.feed_in(direction, input, None);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.units
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        match self.frames.get(index) {
            Some(frame) if frame.buffer == buffer && frame.direction == direction && instance == 0 => {
                BufferState::Present(BufferView { bytes: &frame.bytes, complete: frame.complete })
            }
            _ => BufferState::Absent,
        }
    }

    fn mark_inspected(&mut self) {
        self.release();
    }

    fn is_open(&self, direction: Direction) -> bool {
        !self.sides[direction as usize].head.is_empty()
            || self.frames.iter().any(|f| f.direction == direction && !f.closed && Some(f.buffer) != self.stream)
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some(frame) = self.frames.get(index) else { return };
        let mut object = Object::begin("frame", out);
        let name = frame.buffer.name().trim_start_matches("frame:");
        let kind = name.split_once('.').map_or(name, |(_, kind)| kind);
        object.string("type", kind.as_bytes());
        object.number("id", frame.number);
        object.string("direction", if frame.direction == Direction::ToServer { b"toserver" } else { b"toclient" });
        if !self.datagrams {
            object.number("stream_offset", frame.offset);
        }
        if let Some(length) = frame.length {
            object.number("length", length);
        }
        let shown = frame.bytes.get(..SHOWN_MAX).unwrap_or(&frame.bytes);
        object.string("payload", &weir_ir::base64::encode(shown).collect::<Vec<u8>>());
        let printable = |b: &u8| if (0x20..0x7f).contains(b) || matches!(b, b'\r' | b'\n') { *b } else { b'.' };
        object.string("payload_printable", &shown.iter().map(printable).collect::<Vec<u8>>());
        object.flag("complete", frame.complete);
        if let Some(transaction) = frame.transaction.filter(|_| !UNNUMBERED.contains(&self.protocol)) {
            object.number("tx_id", transaction);
        }
        object.end();
    }

    fn is_loggable(&self, index: usize) -> bool {
        self.units.get(index).is_some_and(|unit| unit.progress == [COMPLETE; 2])
    }
}
