//! WebSocket (RFC 6455) behind its upgrade from HTTP/1, with compressed messages (RFC 7692): each frame is a transaction; the
//! last frame of a message that came in parts has the whole payload.

use crate::framed::{Cut, Framed, Piece};
use crate::json::Object;
use crate::messages::Messages;
use crate::wire::{be16, be32};
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use flate2::{Decompress, FlushDecompress, Status};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 2] = ["skip_end_of_payload", "reassembly_limit_reached"];
const SKIPPED: u16 = 0;
const LIMIT: u16 = 1;

/// Payload that is kept of a frame, and of a message in parts.
const PAYLOAD_MAX: usize = 65_535;
/// Longest head of a frame.
const HEAD_MAX: usize = 14;
const FIN: u8 = 0x80;
const COMPRESSED: u8 = 0x40;

/// A frame.
struct Frame {
    /// Final, compressed and the other reserved bits.
    flags: u8,
    opcode: u8,
    mask: Option<u32>,
    payload: Vec<u8>,
}

/// A message whose last frame has not come, and the compression of a direction.
#[derive(Default)]
struct Side {
    parts: Option<Parts>,
    inflate: Option<Box<Decompress>>,
}

#[derive(Default)]
struct Parts {
    compressed: bool,
    bytes: Vec<u8>,
}

/// WebSocket of one flow.
pub struct WebSocketState {
    framed: Framed,
    sides: [Side; 2],
    frames: Messages<Frame>,
}

/// Head length and payload length.
fn head(bytes: &[u8]) -> Option<(usize, u64)> {
    let second = *bytes.get(1)?;
    let (at, length) = match second & 0x7f {
        126 => (4, u64::from(be16(bytes, 2)?)),
        127 => (10, u64::from(be32(bytes, 2)?) << 32 | u64::from(be32(bytes, 6)?)),
        n => (2, u64::from(n)),
    };
    Some((at + if second & 0x80 != 0 { 4 } else { 0 }, length))
}

fn cut(bytes: &[u8]) -> Cut {
    match head(bytes) {
        Some((at, length)) => Cut::Length(usize::try_from(length).unwrap_or(usize::MAX).saturating_add(at)),
        None => Cut::More,
    }
}

impl WebSocketState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        WebSocketState {
            framed: Framed::new(PAYLOAD_MAX + HEAD_MAX),
            sides: Default::default(),
            frames: Messages::new(config.transactions),
        }
    }
}

fn take(side: &mut Side, bytes: &[u8], whole: bool) -> Option<(Frame, Vec<u16>)> {
    let (at, _) = head(bytes)?;
    let first = *bytes.first()?;
    let mask = if bytes.get(1)? & 0x80 != 0 { Some(be32(bytes, at - 4)?) } else { None };
    let mut payload = bytes.get(at..)?.to_vec();
    if let Some(mask) = mask {
        payload.iter_mut().zip(mask.to_be_bytes().into_iter().cycle()).for_each(|(b, m)| *b ^= m);
    }
    let mut events = Vec::new();
    if !whole {
        events.push(SKIPPED);
        payload.truncate(PAYLOAD_MAX);
    }
    let (flags, opcode) = (first & 0xf0, first & 0x0f);
    // Control frames come between the parts of a message (section 5.4).
    if opcode < 8 {
        let fin = flags & FIN != 0;
        if opcode != 0 || side.parts.is_none() {
            side.parts = Some(Parts { compressed: flags & COMPRESSED != 0, bytes: Vec::new() });
        }
        if let Some(parts) = &mut side.parts {
            let room = PAYLOAD_MAX - parts.bytes.len();
            if payload.len() > room {
                events.push(LIMIT);
            }
            parts.bytes.extend_from_slice(payload.get(..room).unwrap_or(&payload));
        }
        if fin && let Some(parts) = side.parts.take() {
            payload = if parts.compressed { inflate(side, &parts.bytes) } else { parts.bytes };
        }
    }
    Some((Frame { flags, opcode, mask, payload }, events))
}

/// Undo the compression of a message (RFC 7692 section 7.2.2); as it is if there is none. Messages may refer to those before
/// them, or not.
fn inflate(side: &mut Side, packed: &[u8]) -> Vec<u8> {
    for _ in 0..2 {
        let state = side.inflate.get_or_insert_with(|| Box::new(Decompress::new(false)));
        match undo(state, packed) {
            Some((bytes, true)) => return bytes,
            // Cut at the limit: what follows cannot refer to it.
            Some((bytes, false)) => {
                side.inflate = None;
                return bytes;
            }
            None => side.inflate = None,
        }
    }
    packed.to_vec()
}

fn undo(state: &mut Decompress, packed: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut out = Vec::new();
    let mut chunk = [0; 4096];
    for mut input in [packed, &[0, 0, 0xff, 0xff]] {
        loop {
            let before = (state.total_in(), state.total_out());
            let status = state.decompress(input, &mut chunk, FlushDecompress::Sync);
            let used = (state.total_in() - before.0) as usize;
            let made = (state.total_out() - before.1) as usize;
            out.extend_from_slice(chunk.get(..made)?);
            input = input.get(used..)?;
            if out.len() > PAYLOAD_MAX {
                out.truncate(PAYLOAD_MAX);
                return Some((out, false));
            }
            match status {
                Ok(Status::StreamEnd) => return Some((out, false)),
                Ok(_) if used == 0 && made == 0 => break,
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
    Some((out, true))
}

impl ProtocolState for WebSocketState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::WebSocket
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) => {
                let WebSocketState { framed, sides, frames } = self;
                framed.push(d, bytes, cut, |piece| {
                    let (bytes, whole) = match piece {
                        Piece::Whole(bytes) => (bytes, true),
                        Piece::Beginning(bytes) => (bytes, false),
                        Piece::Lost => return false,
                    };
                    if let Some((frame, events)) = take(&mut sides[d], bytes, whole) {
                        frames.push(direction, frame, events);
                    }
                    true
                });
            }
            Input::Gap(length) => {
                self.framed.gap(d, length);
            }
            Input::End => {}
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.frames.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        match (self.frames.of(index, direction), buffer) {
            (Some(frame), Buffer::WebSocketPayload) => BufferState::whole(&frame.payload),
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let frame = self.frames.of(index, direction)?;
        match name {
            "websocket.opcode" => Some(frame.opcode.into()),
            "websocket.flags" => Some(frame.flags.into()),
            "websocket.mask" => frame.mask.map(u64::from),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.frames.clear();
    }

    fn is_open(&self, direction: Direction) -> bool {
        self.framed.is_open(direction as usize) || self.sides[direction as usize].parts.is_some()
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((_, frame)) = self.frames.get(index) else { return };
        let mut object = Object::begin("websocket", out);
        object.boolean("fin", frame.flags & FIN != 0);
        if let Some(mask) = frame.mask {
            object.number("mask", mask.into());
        }
        let opcode = match frame.opcode {
            0 => "continuation".to_owned(),
            1 => "text".to_owned(),
            2 => "binary".to_owned(),
            8 => "connection_close".to_owned(),
            9 => "ping".to_owned(),
            10 => "pong".to_owned(),
            n => format!("unknown-{n}"),
        };
        object.text("opcode", Some(opcode.as_bytes()));
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    fn payloads(state: &WebSocketState, direction: Direction) -> Vec<String> {
        (0..state.transactions().len())
            .filter_map(|n| match state.buffer(n, direction, Buffer::WebSocketPayload, 0) {
                BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
                _ => None,
            })
            .collect()
    }

    /// RFC 6455 section 5.7, in any cut.
    #[test]
    fn examples() {
        let client = b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58";
        let server = b"\x01\x03Hel\x89\x05Hello\x80\x02lo\x81\x05Hello";
        for step in [1, 3, 100] {
            let mut s = WebSocketState::new(&Default::default());
            client.chunks(step).for_each(|part| s.feed(ToServer, Input::Data(part), 1));
            server.chunks(step).for_each(|part| s.feed(ToClient, Input::Data(part), 2));
            assert_eq!(payloads(&s, ToServer), ["Hello"]);
            assert_eq!(payloads(&s, ToClient), ["Hel", "Hello", "Hello", "Hello"]);
            assert_eq!(s.number(0, ToServer, "websocket.mask"), Some(0x37fa_213d));
            assert_eq!((s.number(2, ToClient, "websocket.opcode"), s.number(1, ToClient, "websocket.flags")), (Some(9), Some(0)));
            assert!(!s.is_open(ToClient));
        }
    }

    /// RFC 7692 section 7.2.3.
    #[test]
    fn compressed_messages() {
        let mut s = WebSocketState::new(&Default::default());
        s.feed(ToServer, Input::Data(b"\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"), 1);
        s.feed(ToServer, Input::Data(b"\xc1\x05\xf2\x00\x11\x00\x00"), 1);
        s.feed(ToServer, Input::Data(b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), 1);
        s.feed(ToServer, Input::Data(b"\xc1\x02\xff\xff"), 1);
        assert_eq!(payloads(&s, ToServer)[1..4], ["Hello", "Hello", "Hello"]);
        assert_eq!(payloads(&s, ToServer).len(), 5);
    }

    #[test]
    fn bounds() {
        let mut s = WebSocketState::new(&Default::default());
        s.feed(ToServer, Input::Data(b"\x82\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), 1);
        (0..100).for_each(|_| s.feed(ToServer, Input::Data(&[0; 10_000]), 1));
        assert_eq!(s.transactions().len(), 1);
        assert_eq!(s.event_name(s.transactions()[0].events[0]), "skip_end_of_payload");
        let mut s = WebSocketState::new(&Default::default());
        for n in 0..100 {
            s.feed(ToClient, Input::Data(&[&[u8::from(n == 0), 0x7e, 0x27, 0x10][..], &[7; 10_000]].concat()), 1);
            s.mark_inspected();
        }
        assert!(s.sides[1].parts.as_ref().is_some_and(|p| p.bytes.len() == PAYLOAD_MAX));
        // A bomb.
        let mut packed = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        std::io::Write::write_all(&mut packed, &vec![0; 10_000_000]).unwrap();
        let packed = packed.finish().unwrap();
        let mut s = WebSocketState::new(&Default::default());
        let length = (packed.len() as u16).to_be_bytes();
        s.feed(ToServer, Input::Data(&[&[0xc2, 0x7e], &length[..], &packed].concat()), 1);
        assert_eq!(payloads(&s, ToServer)[0].len(), PAYLOAD_MAX);
    }
}
