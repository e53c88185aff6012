//! Transactions, buffers and events of DNP3.

use super::link::{self, Head};
use super::message;
use super::message::{Message, read};
use super::points::{Write, layout, walk};
use crate::framed::{Cut, Framed, Piece};
use crate::json::{List, Object};
use crate::messages::Messages;
use crate::tls::Reader;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 9] = [
    "flooded",
    "len_too_small",
    "bad_link_crc",
    "bad_transport_crc",
    "unknown_object",
    "too_many_points",
    "too_many_objects",
    "max_points_per_object",
    "too_long_reassembly",
];
const FLOODED: u16 = 0;
const TOO_SMALL: u16 = 1;
const LINK_CRC: u16 = 2;
const TRANSPORT_CRC: u16 = 3;
const UNKNOWN_OBJECT: u16 = 4;
const TOO_MANY_POINTS: u16 = 5;
const TOO_MANY_OBJECTS: u16 = 6;
const TOO_LONG: u16 = 8;

/// Function code of a confirmation, which is no request of its own.
const CONFIRM: u8 = 0;
/// Function code of a response that nobody asked for.
const UNSOLICITED: u8 = 130;
/// Requests in a row without a response.
const FLOOD: usize = 32;
/// Longest message that is put together.
const MESSAGE_MAX: usize = 4096;
const TRANSPORT_FIN: u8 = 0x80;
const TRANSPORT_FIR: u8 = 0x40;

/// A message and the frame that ended it.
struct Seen {
    head: Head,
    message: Message,
    bytes: Vec<u8>,
}

#[derive(Default)]
struct Side {
    /// Segments of a message that has begun.
    parts: Option<Vec<u8>>,
}

/// DNP3 of one flow.
pub struct Dnp3State {
    framed: Framed,
    sides: [Side; 2],
    messages: Messages<Option<Seen>>,
    unanswered: usize,
}

fn cut(bytes: &[u8]) -> Cut {
    match bytes {
        [5, 0x64, field, ..] => Cut::Length(link::length(*field).unwrap_or(link::HEAD)),
        [] | [5] | [5, 0x64] => Cut::More,
        _ => Cut::Lost,
    }
}

impl Dnp3State {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        Dnp3State {
            framed: Framed::new(512),
            sides: Default::default(),
            messages: Messages::new(config.transactions),
            unanswered: 0,
        }
    }

    fn frame(&mut self, direction: Direction, frame: &[u8]) {
        let Some(head) = link::head(frame) else { return };
        let mut events = Vec::new();
        if frame.get(2).is_some_and(|field| *field < 5) {
            events.push(TOO_SMALL);
        }
        if !head.crc_sound {
            events.push(LINK_CRC);
        }
        let mut data = Vec::new();
        if !link::data(frame, &mut data) {
            events.push(TRANSPORT_CRC);
        }
        let side = &mut self.sides[direction as usize];
        let Some((&transport, segment)) = data.split_first() else {
            if !events.is_empty() {
                self.messages.push(direction, None, events);
            }
            return;
        };
        if transport & TRANSPORT_FIR != 0 {
            side.parts = Some(Vec::new());
        }
        let mut whole = None;
        if let Some(parts) = &mut side.parts {
            if parts.len() + segment.len() > MESSAGE_MAX {
                events.push(TOO_LONG);
                side.parts = None;
            } else {
                parts.extend_from_slice(segment);
                if transport & TRANSPORT_FIN != 0 {
                    whole = side.parts.take();
                }
            }
        }
        let seen = whole.and_then(|bytes| {
            // A master's confirmation is part of the exchange before it.
            if direction == Direction::ToServer && bytes.get(1) == Some(&CONFIRM) {
                return None;
            }
            let (message, odd) = read(&bytes, direction == Direction::ToClient)?;
            for (set, event) in [
                (odd.unknown_object, UNKNOWN_OBJECT),
                (odd.too_many_points, TOO_MANY_POINTS),
                (odd.too_many_objects, TOO_MANY_OBJECTS),
            ] {
                if set {
                    events.push(event);
                }
            }
            Some(Seen { head, message, bytes })
        });
        if seen.is_some() {
            self.unanswered = if direction == Direction::ToServer { self.unanswered + 1 } else { 0 };
            match self.unanswered {
                n if n == FLOOD + 1 => events.push(FLOODED),
                // Nobody answers: more of the same says nothing new.
                n if n > FLOOD + 1 && events.is_empty() => return,
                _ => {}
            }
        }
        if seen.is_some() || !events.is_empty() {
            self.messages.push(direction, seen, events);
        }
    }

    fn seen(&self, index: usize, direction: Direction) -> Option<&Seen> {
        self.messages.of(index, direction)?.as_ref()
    }
}

impl ProtocolState for Dnp3State {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Dnp3
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) => {
                let mut framed = std::mem::replace(&mut self.framed, Framed::new(512));
                framed.push(d, bytes, cut, |piece| {
                    if let Piece::Whole(frame) = piece {
                        self.frame(direction, frame);
                    }
                    true
                });
                self.framed = framed;
            }
            Input::Gap(length) => {
                self.framed.gap(d, length);
                self.sides[d] = Side::default();
            }
            Input::End => {}
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        match (self.seen(index, direction), buffer) {
            (Some(seen), Buffer::Dnp3Data) => BufferState::filled(&seen.bytes),
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let message = &self.seen(index, direction)?.message;
        match name {
            "dnp3_func" => Some(message.function.into()),
            "dnp3_ind" => message.indications.map(u64::from),
            _ => None,
        }
    }

    fn any_number(&self, index: usize, direction: Direction, name: &str, holds: &mut dyn FnMut(u64) -> bool) -> bool {
        match (name, self.seen(index, direction)) {
            ("dnp3_obj", Some(seen)) => {
                seen.message.objects.iter().any(|o| holds(u64::from(o.group) << 8 | u64::from(o.variation)))
            }
            ("dnp3_obj.variation", Some(seen)) => seen.message.objects.iter().any(|o| holds(o.variation.into())),
            _ => self.number(index, direction, name).is_some_and(holds),
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.messages.clear();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        // Rules are for every frame of DNP3: what completes something brings what came before it.
        false
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((direction, Some(seen))) = self.messages.get(index) else {
            Object::begin("dnp3", out).end();
            return;
        };
        let kind = match (direction, seen.message.function) {
            (Direction::ToServer, _) => "request",
            (Direction::ToClient, UNSOLICITED) => "unsolicited_response",
            (Direction::ToClient, _) => "response",
        };
        let mut dnp3 = Object::begin("dnp3", out);
        dnp3.text("type", Some(kind.as_bytes()));
        let control = seen.head.control;
        dnp3.object("control", |o| {
            o.boolean("dir", control & 0x80 != 0);
            o.boolean("pri", control & 0x40 != 0);
            o.boolean("fcb", control & 0x20 != 0);
            o.boolean("fcv", control & 0x10 != 0);
            o.number("function_code", (control & 15).into());
        });
        dnp3.number("src", seen.head.source.into());
        dnp3.number("dst", seen.head.destination.into());
        dnp3.object("application", |o| application(o, seen));
        if let Some(indications) = seen.message.indications {
            dnp3.object("iin", |o| {
                let names: Vec<&str> = INDICATIONS.iter().filter(|i| indications & i.1 != 0).map(|i| i.0).collect();
                if !names.is_empty() {
                    o.texts("indicators", names.iter().map(|n| n.as_bytes()));
                }
            });
        }
        dnp3.end();
    }
}

fn application(o: &mut Object<'_>, seen: &Seen) {
    let message = &seen.message;
    let control = message.control;
    o.object("control", |o| {
        o.boolean("fir", control & 0x80 != 0);
        o.boolean("fin", control & 0x40 != 0);
        o.boolean("con", control & 0x20 != 0);
        o.boolean("uns", control & 0x10 != 0);
        o.number("sequence", (control & 15).into());
    });
    o.number("function_code", message.function.into());
    if !message.objects.is_empty() {
        o.list("objects", |list| {
            for object in &message.objects {
                list.object(|o| {
                    o.number("group", object.group.into());
                    o.number("variation", object.variation.into());
                    o.number("qualifier", object.qualifier.into());
                    o.number("prefix_code", (object.qualifier >> 4 & 7).into());
                    o.number("range_code", (object.qualifier & 15).into());
                    o.number("start", object.start.into());
                    o.number("stop", object.stop.into());
                    o.number("count", object.count.into());
                    points(o, object, &seen.bytes);
                });
            }
        });
    }
    o.boolean("complete", message.complete);
}

/// The points of an object, as far as they can be read.
fn points(o: &mut Object<'_>, object: &message::Object, bytes: &[u8]) {
    if object.variation == 0 || u64::from(object.count) > message::POINTS_MAX {
        return;
    }
    let (Some(layout), Some(bytes)) = (layout(object.group, object.variation), bytes.get(object.at..)) else { return };
    let mut out = Vec::new();
    List::write(&mut out, |list| {
        let code = object.qualifier >> 4 & 7;
        walk(layout, code, object.start, object.count, &mut Reader(bytes), &mut Write::new(list));
    });
    if out != b"[]" {
        o.raw("points", &out);
    }
}

/// Internal indications (IEEE 1815 clause 4.5): first octet high.
const INDICATIONS: [(&str, u16); 16] = [
    ("device_restart", 0x8000),
    ("device_trouble", 0x4000),
    ("local_control", 0x2000),
    ("need_time", 0x1000),
    ("class_3_events", 0x0800),
    ("class_2_events", 0x0400),
    ("class_1_events", 0x0200),
    ("all_stations", 0x0100),
    ("reserved_1", 0x0080),
    ("reserved_2", 0x0040),
    ("config_corrupt", 0x0020),
    ("already_executing", 0x0010),
    ("event_buffer_overflow", 0x0008),
    ("parameter_error", 0x0004),
    ("object_unknown", 0x0002),
    ("no_func_code_support", 0x0001),
];

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    /// A link frame with CRCs.
    fn frame(data: &[u8]) -> Vec<u8> {
        let mut out = vec![5, 0x64, 5 + data.len() as u8, 0xc4, 2, 0, 3, 0];
        out.extend(link::crc(&out).to_le_bytes());
        for block in data.chunks(16) {
            out.extend_from_slice(block);
            out.extend(link::crc(block).to_le_bytes());
        }
        out
    }

    fn events(state: &Dnp3State) -> Vec<&'static str> {
        state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
    }

    #[test]
    fn messages_in_any_cut() {
        let request = frame(&[0xc0, 0xcb, 20, 60, 2, 6]);
        let long = [[0xc0, 129, 0x80, 0x02].to_vec(), [60, 2, 6].repeat(20)].concat();
        let response = [frame(&[&[0x40], &long[..30]].concat()), frame(&[&[0x81], &long[30..]].concat())].concat();
        for step in [1, 7, 1000] {
            let mut s = Dnp3State::new(&Default::default());
            request.chunks(step).for_each(|part| s.feed(ToServer, Input::Data(part), 1));
            response.chunks(step).for_each(|part| s.feed(ToClient, Input::Data(part), 2));
            assert_eq!((s.transactions().len(), events(&s).len()), (2, 0));
            assert_eq!(s.number(0, ToServer, "dnp3_func"), Some(20));
            assert_eq!(s.number(1, ToClient, "dnp3_ind"), Some(0x8002));
            assert!(s.any_number(1, ToClient, "dnp3_obj", &mut |v| v == 60 << 8 | 2));
            assert!(matches!(s.buffer(1, ToClient, Buffer::Dnp3Data, 0), BufferState::Present(v) if v.bytes == long));
            let mut log = Vec::new();
            s.log(1, &mut log);
            let log = String::from_utf8(log).unwrap();
            assert!(log.contains("\"indicators\":[\"device_restart\",\"object_unknown\"]") && log.contains("\"src\":3"), "{log}");
        }
    }

    #[test]
    fn oddities_and_bounds() {
        let mut s = Dnp3State::new(&Default::default());
        let mut bad = frame(&[0xc0, 0xc0, 1]);
        bad[11] ^= 1;
        s.feed(ToServer, Input::Data(&bad), 1);
        bad[7] ^= 1;
        s.feed(ToServer, Input::Data(&bad), 1);
        s.feed(ToServer, Input::Data(&[5, 0x64, 4, 0, 0, 0, 0, 0, 0, 0]), 1);
        assert_eq!(events(&s), ["bad_transport_crc", "bad_link_crc", "bad_transport_crc", "len_too_small", "bad_link_crc"]);
        let mut s = Dnp3State::new(&Default::default());
        (0..100).for_each(|_| s.feed(ToServer, Input::Data(&frame(&[0xc0, 0xc0, 1])), 1));
        assert_eq!((events(&s), s.transactions().len()), (vec!["flooded"], FLOOD + 1));
        let mut s = Dnp3State::new(&Default::default());
        s.feed(ToServer, Input::Data(&frame(&[&[0x40][..], &[0; 200]].concat())), 1);
        (0..100).for_each(|_| s.feed(ToServer, Input::Data(&frame(&[&[0][..], &[0; 200]].concat())), 1));
        assert_eq!(events(&s), ["too_long_reassembly"]);
    }
}
