//! Transactions, buffers and events of EtherNet/IP.

use super::cip::{Cip, Segment};
use super::log;
use super::message::{HEADER, Message, read};
use crate::framed::{Cut, Framed, Piece};
use crate::pairs::{Pair, Pairs};
use crate::wire::le16;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 2] = ["too_many_transactions", "invalid_pdu"];
const INVALID: u16 = 1;
/// Longest message: the length field's.
const MESSAGE_MAX: usize = HEADER + 65_535;

/// EtherNet/IP of one flow.
pub struct EnipState {
    framed: Framed,
    datagrams: bool,
    pairs: Pairs<Message, Message>,
}

fn cut(bytes: &[u8]) -> Cut {
    match le16(bytes, 2) {
        Some(length) => Cut::Length(HEADER + usize::from(length)),
        None => Cut::More,
    }
}

impl EnipState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>, tcp: bool) -> Self {
        EnipState { framed: Framed::new(MESSAGE_MAX), datagrams: !tcp, pairs: Pairs::new(config.transactions) }
    }
}

fn take(pairs: &mut Pairs<Message, Message>, direction: Direction, message: Message) {
    let size = 256 + message.cip.as_ref().map_or(0, |cip| 128 * cip.parts.len());
    let malformed = message.malformed;
    let index = if direction == Direction::ToServer {
        // NOP has no answer.
        let alone = message.command == 0;
        let index = pairs.request(message, size);
        if alone {
            pairs.close(index);
        }
        index
    } else {
        let same = |q: &Message| {
            q.command == message.command
                && match (q.sequence, message.sequence) {
                    (Some(a), Some(b)) => a == b,
                    _ => q.context == message.context,
                }
        };
        let found = pairs.waiting(same);
        let index = pairs.response(found, message, size);
        pairs.close(index);
        index
    };
    if malformed {
        pairs.event(index, direction, INVALID);
    }
}

impl EnipState {
    fn message(&self, index: usize, direction: Direction) -> Option<&Message> {
        let pair: &Pair<Message, Message> = self.pairs.get(index)?;
        match direction {
            Direction::ToServer => pair.request.as_ref(),
            Direction::ToClient => pair.responses.first(),
        }
    }
}

impl ProtocolState for EnipState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Enip
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        match input {
            Input::Data(bytes) => {
                if self.datagrams {
                    self.framed = Framed::new(MESSAGE_MAX);
                }
                let EnipState { framed, pairs, .. } = self;
                framed.push(direction as usize, bytes, cut, |piece| {
                    match piece {
                        Piece::Whole(message) => {
                            if let Some(message) = read(message) {
                                take(pairs, direction, message);
                            }
                        }
                        Piece::Beginning(_) | Piece::Lost => pairs.event_alone(direction, INVALID),
                    }
                    true
                });
            }
            Input::Gap(length) => {
                self.framed.gap(direction as usize, length);
            }
            Input::End => self.pairs.close_all(),
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.pairs.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        if direction == Direction::ToServer {
            return BufferState::Absent;
        }
        let Some(message) = self.message(index, direction) else {
            return if self.pairs.is_answered(index) { BufferState::Absent } else { BufferState::NotYet };
        };
        match (buffer, &message.identity, &message.service) {
            (Buffer::EnipProductName, Some(identity), _) => BufferState::whole(&identity.product_name),
            (Buffer::EnipServiceName, _, Some(service)) => BufferState::whole(&service.name),
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let m = self.message(index, direction)?;
        let identity = m.identity.as_ref();
        Some(match name {
            // What was asked holds for the answer as well.
            "enip_command" | "enip.command" => m.command.into(),
            "enip.status" => m.status.into(),
            "enip.protocol_version" => {
                let service = m.service.as_ref().map(|s| s.protocol_version);
                identity.map(|i| i.protocol_version).or(service).or(m.session_data.map(|s| s.0))?.into()
            }
            "enip.capabilities" => m.service.as_ref()?.capabilities.into(),
            "enip.vendor_id" => identity?.vendor.into(),
            "enip.device_type" => identity?.device_type.into(),
            "enip.product_code" => identity?.product_code.into(),
            "enip.identity_status" => identity?.status.into(),
            "enip.state" => identity?.state.into(),
            "enip.serial" => identity?.serial.into(),
            "enip.revision" => u16::from_be_bytes(identity?.revision).into(),
            _ => return None,
        })
    }

    fn any_number(&self, index: usize, direction: Direction, name: &str, holds: &mut dyn FnMut(u64) -> bool) -> bool {
        let Some(m) = self.message(index, direction) else { return false };
        let mut any = |of: &dyn Fn(&Cip) -> Option<u64>| m.cip.as_ref().is_some_and(|cip| cip.all().filter_map(of).any(&mut *holds));
        let segment = |pick: fn(&Segment) -> Option<u32>| {
            move |cip: &Cip| cip.path.iter().find_map(pick).map(u64::from).filter(|_| !cip.response)
        };
        match name {
            "enip.cip_status" => any(&|cip| cip.response.then_some(cip.status.into())),
            "enip.extended_status" => any(&|cip| cip.extended.map(u64::from)),
            "enip.cip_class" => any(&segment(|s| if let Segment::Class(n) = s { Some(*n) } else { None })),
            "enip.cip_instance" => any(&segment(|s| if let Segment::Instance(n) = s { Some(*n) } else { None })),
            "enip.cip_attribute" => {
                any(&segment(|s| if let Segment::Attribute(n) = s { Some(*n) } else { None }))
                    || m.cip.as_ref().is_some_and(|cip| cip.all().flat_map(|c| &c.attributes).any(|n| holds((*n).into())))
            }
            // Service, with class and attribute where they are asked for: eight, thirty-two and sixteen bits.
            "cip_service" => any(&|cip| Some(u64::from(cip.service))),
            "cip_service.class" => any(&|cip| {
                let class = segment(|s| if let Segment::Class(n) = s { Some(*n) } else { None })(cip)?;
                Some(u64::from(cip.service) << 32 | class)
            }),
            "cip_service.attribute" => any(&|cip| {
                let class = segment(|s| if let Segment::Class(n) = s { Some(*n) } else { None })(cip)?;
                let attribute = segment(|s| if let Segment::Attribute(n) = s { Some(*n) } else { None })(cip)?;
                Some(u64::from(cip.service) << 32 | (class & 0xffff) << 16 | attribute & 0xffff)
            }),
            _ => self.number(index, direction, name).is_some_and(holds),
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.pairs.release();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        // Rules are for every frame of EtherNet/IP: what completes something brings what came before it.
        false
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        if let Some(pair) = self.pairs.get(index) {
            log::enip(pair, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    fn message(command: u16, context: u8, data: &[u8]) -> Vec<u8> {
        let mut out = command.to_le_bytes().to_vec();
        out.extend((data.len() as u16).to_le_bytes());
        out.extend([1, 0, 0, 0, 0, 0, 0, 0, context, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        out.extend_from_slice(data);
        out
    }

    fn identity() -> Vec<u8> {
        let mut item = vec![1, 0];
        item.extend([0; 16]);
        item.extend([1, 0, 12, 0, 58, 0, 4, 3, 0x30, 0, 0x8e, 0x4d, 0x52, 0, 4]);
        item.extend(b"1756\x03");
        [&[1, 0, 0x0c, 0, item.len() as u8, 0][..], &item].concat()
    }

    fn unit(sequence: u8, cip: &[u8]) -> Vec<u8> {
        let length = cip.len() as u8 + 2;
        [&[0, 0, 0, 0, 0, 0, 2, 0, 0xa1, 0, 4, 0, 9, 9, 9, 9, 0xb1, 0, length, 0, sequence, 0][..], cip].concat()
    }

    fn events(state: &EnipState) -> Vec<&'static str> {
        state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
    }

    #[test]
    fn exchanges_in_any_cut() {
        let client = [
            message(0x63, 1, b""),
            message(0x70, 0, &unit(5, &[0x0e, 3, 0x20, 1, 0x24, 1, 0x30, 5])),
            message(0x70, 0, &unit(6, &[0x01, 2, 0x20, 4, 0x24, 1])),
        ]
        .concat();
        let server = [message(0x63, 1, &identity()), message(0x70, 0, &unit(6, &[0x81, 0, 8, 0])), message(0x70, 0, &unit(5, &[0x8e, 0, 0, 0]))].concat();
        for step in [1, 7, 1000] {
            let mut s = EnipState::new(&Default::default(), true);
            client.chunks(step).for_each(|part| s.feed(ToServer, Input::Data(part), 1));
            server.chunks(step).for_each(|part| s.feed(ToClient, Input::Data(part), 2));
            assert_eq!((s.transactions().len(), events(&s).len()), (3, 0));
            let number = |index, direction, name| s.number(index, direction, name);
            assert_eq!(number(0, ToClient, "enip.revision"), Some(0x403));
            assert_eq!(number(0, ToClient, "enip.serial"), Some(0x524d8e));
            assert_eq!((number(0, ToClient, "enip.state"), number(0, ToServer, "enip_command")), (Some(3), Some(0x63)));
            assert!(matches!(s.buffer(0, ToClient, Buffer::EnipProductName, 0), BufferState::Present(v) if v.bytes == b"1756"));
            let any = |index, direction, name, value| s.any_number(index, direction, name, &mut |v| v == value);
            assert!(any(1, ToServer, "enip.cip_attribute", 5) && any(1, ToServer, "enip.cip_class", 1) && any(1, ToClient, "enip.cip_status", 0));
            assert!(any(2, ToClient, "enip.cip_status", 8) && !any(2, ToServer, "enip.cip_attribute", 5));
            assert!(any(1, ToServer, "cip_service.attribute", 14 << 32 | 1 << 16 | 5) && any(2, ToServer, "cip_service.class", 1 << 32 | 4));
            let mut log = Vec::new();
            s.log(0, &mut log);
            let log = String::from_utf8(log).unwrap();
            assert!(log.contains("\"command\":\"list_identity\"") && log.contains("\"revision\":\"4.3\""), "{log}");
        }
    }

    #[test]
    fn oddities_and_bounds() {
        let mut s = EnipState::new(&Default::default(), false);
        s.feed(ToServer, Input::Data(&message(0x4242, 1, b"")), 1);
        s.feed(ToServer, Input::Data(&message(0x6f, 1, b"xx")), 1);
        s.feed(ToServer, Input::Data(b"short"), 1);
        assert_eq!(events(&s), ["invalid_pdu", "invalid_pdu"]);
        let mut s = EnipState::new(&Default::default(), true);
        for n in 0..10_000u32 {
            s.feed(ToServer, Input::Data(&message(0x70, n as u8, &unit(n as u8, &[0x0a, 0, 0xff, 0xff]))), 1);
            s.mark_inspected();
        }
        assert!(s.transactions().len() <= 256);
        (0..20).for_each(|_| s.feed(ToClient, Input::Data(&[0xff; 10_000]), 1));
        assert!(s.framed.rest(1).len() <= MESSAGE_MAX);
    }
}
