//! Transactions, facts and events of Modbus.

use super::log;
use super::message::{BAD_EXCEPTION, BAD_FUNCTION, BAD_LENGTH, BAD_PROTOCOL, BAD_VALUE, HEADER, LENGTH_MAX, Message, agree, read};
use crate::framed::{Cut, Framed, Piece};
use crate::pairs::Pairs;
use crate::wire::be16;
use crate::{AppLayerConfig, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

const EVENTS: [&str; 9] = [
    "unsolicited_response", "invalid_function_code", "invalid_length", "invalid_value", "invalid_exception_code",
    "value_mismatch", "flooded", "invalid_protocol_id", "invalid_unit_identifier",
];
const UNSOLICITED: u16 = 0;
const MISMATCH: u16 = 5;
const FLOODED: u16 = 6;
const OF_ERRORS: [(u8, u16); 5] = [(BAD_FUNCTION, 1), (BAD_LENGTH, 2), (BAD_VALUE, 3), (BAD_EXCEPTION, 4), (BAD_PROTOCOL, 7)];
const INVALID_LENGTH: u16 = 2;
/// So many requests without response are a flood.
const UNANSWERED_MAX: u64 = 500;

/// Modbus of one flow.
pub struct ModbusState {
    framed: Framed,
    pairs: Pairs<Message, Message>,
    unanswered: u64,
}

fn cut(bytes: &[u8]) -> Cut {
    match be16(bytes, 4) {
        // Unit and function belong to every message.
        Some(length @ 2..) => Cut::Length(HEADER + usize::from(length)),
        Some(_) => Cut::Lost,
        None => Cut::More,
    }
}

impl ModbusState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        ModbusState { framed: Framed::new(HEADER + LENGTH_MAX), pairs: Pairs::new(config.transactions), unanswered: 0 }
    }

    fn request(&self, index: usize, direction: Direction) -> Option<&Message> {
        self.pairs.get(index)?.request.as_ref().filter(|_| direction == Direction::ToServer)
    }
}

fn take(pairs: &mut Pairs<Message, Message>, unanswered: &mut u64, direction: Direction, message: Message) {
    let (size, errors) = (message.size(), message.errors);
    let mut alone = None;
    let index = if direction == Direction::ToServer {
        *unanswered += 1;
        if *unanswered > UNANSWERED_MAX {
            alone = Some(FLOODED);
        }
        pairs.request(message, size)
    } else {
        let found = pairs.waiting(|q| q.transaction == message.transaction);
        *unanswered = unanswered.saturating_sub(1);
        alone = match found.and_then(|at| pairs.get(at)?.request.as_ref()) {
            None => Some(UNSOLICITED),
            Some(request) if !agree(request, &message) => Some(MISMATCH),
            Some(_) => None,
        };
        let index = pairs.response(found, message, size);
        pairs.close(index);
        index
    };
    let of_errors = OF_ERRORS.iter().filter(|(bit, _)| errors & bit != 0).map(|(_, event)| *event);
    for event in of_errors.chain(alone) {
        pairs.event(index, direction, event);
    }
}

impl ProtocolState for ModbusState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Modbus
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        match input {
            Input::Data(bytes) => {
                let ModbusState { framed, pairs, unanswered } = self;
                framed.push(direction as usize, bytes, cut, |piece| {
                    match piece {
                        Piece::Whole(message) | Piece::Beginning(message) => {
                            if let Some(message) = read(message, direction == Direction::ToClient) {
                                take(pairs, unanswered, direction, message);
                            }
                        }
                        Piece::Lost => pairs.event_alone(direction, INVALID_LENGTH),
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

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let m = self.request(index, direction)?;
        match name {
            "modbus.unit" => Some(m.unit.into()),
            "modbus.function" => Some(m.function.into()),
            "modbus.subfunction" => m.sub.filter(|_| m.function == 8).map(u64::from),
            "modbus.category" => Some(m.category()),
            "modbus.access" => Some(m.access()),
            _ => None,
        }
    }

    fn any_number(&self, index: usize, direction: Direction, name: &str, holds: &mut dyn FnMut(u64) -> bool) -> bool {
        let Some(m) = self.request(index, direction) else { return false };
        if name == "modbus.address" {
            // A message of the longest length cannot mean more.
            return m.addresses().any(|(first, last)| (first..=last.min(first + 2047)).any(&mut *holds));
        }
        if let Some(range) = name.strip_prefix("modbus.value.") {
            let Some((low, high)) = range.split_once('-').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?))) else {
                return false;
            };
            let range: std::ops::RangeInclusive<u64> = low..=high;
            return m.values().into_iter().any(|(address, value)| range.contains(&address) && holds(value));
        }
        self.number(index, direction, name).is_some_and(holds)
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.pairs.release();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        // Rules are for every frame of Modbus.
        false
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        if let (Some(pair), Some(t)) = (self.pairs.get(index), self.pairs.transactions.get(index)) {
            log::modbus(pair, t.id, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    fn message(transaction: u16, unit: u8, body: &[u8]) -> Vec<u8> {
        let length = body.len() as u16 + 1;
        [&transaction.to_be_bytes()[..], &[0, 0], &length.to_be_bytes(), &[unit], body].concat()
    }

    fn events(s: &ModbusState) -> Vec<&'static str> {
        s.transactions().iter().flat_map(|t| &t.events).map(|e| s.event_name(*e)).collect()
    }

    fn log(s: &ModbusState, index: usize) -> String {
        let mut out = Vec::new();
        s.log(index, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn exchanges_in_any_cut() {
        let client = [
            message(1, 10, &[1, 0, 0, 0, 9]),
            message(2, 10, &[16, 0, 4, 0, 2, 4, 0, 7, 1, 0]),
            message(3, 10, &[8, 0, 4, 0, 0]),
            message(4, 10, &[23, 0, 1, 0, 1, 0, 2, 0, 1, 2, 0, 0xff]),
        ]
        .concat();
        let server = [
            message(1, 10, &[1, 2, 0xff, 1]),
            message(2, 10, &[16, 0, 4, 0, 2]),
            message(3, 10, &[0x88, 11]),
            message(4, 10, &[23, 2, 0, 0xaa]),
        ]
        .concat();
        for step in [1, 5, 1000] {
            let mut s = ModbusState::new(&Default::default());
            client.chunks(step).for_each(|part| s.feed(ToServer, Input::Data(part), 1));
            server.chunks(step).for_each(|part| s.feed(ToClient, Input::Data(part), 2));
            assert_eq!((s.transactions().len(), events(&s).len()), (4, 0));
            let any = |index, name, value| s.any_number(index, ToServer, name, &mut |v| v == value);
            assert!(any(0, "modbus.address", 1) && any(0, "modbus.address", 9) && !any(0, "modbus.address", 10));
            assert!(any(1, "modbus.value.5-5", 7) && any(1, "modbus.value.0-100", 256) && !any(1, "modbus.value.5-5", 256));
            assert!(any(2, "modbus.function", 8) && any(2, "modbus.subfunction", 4) && any(2, "modbus.category", 1));
            assert!(log(&s, 0).contains(r#""access_type":"READ | COILS","category":"PUBLIC_ASSIGNED","error_flags":"NONE""#));
            assert!(log(&s, 2).contains(r#""diagnostic":{"raw":4,"code":"ForceListenOnlyMode""#), "{}", log(&s, 2));
            assert!(log(&s, 2).contains(r#""exception":{"raw":11,"code":"GatewayTargetFailToResp"}"#));
            assert!(log(&s, 3).contains("READ | WRITE | HOLDING | MULTIPLE | WRITE_MULTIPLE"), "{}", log(&s, 3));
        }
    }

    #[test]
    fn oddities_and_bounds() {
        let mut s = ModbusState::new(&Default::default());
        s.feed(ToServer, Input::Data(&message(1, 1, &[5, 0, 0, 1, 0])), 1);
        s.feed(ToServer, Input::Data(&message(2, 1, &[3, 0, 0, 0, 0])), 1);
        s.feed(ToServer, Input::Data(&message(3, 1, &[3, 0])), 1);
        s.feed(ToServer, Input::Data(&message(4, 1, &[3, 0, 0, 0, 2])), 1);
        s.feed(ToClient, Input::Data(&message(4, 1, &[3, 2, 0, 0])), 1);
        s.feed(ToClient, Input::Data(&message(9, 1, &[0x83, 99])), 1);
        s.feed(ToServer, Input::Data(&[0, 1, 0, 9, 0, 3, 1, 7, 0]), 1);
        s.feed(ToServer, Input::Data(&[0, 1, 0, 0, 0, 0, 1]), 1);
        let expected = [
            "invalid_value", "invalid_value", "invalid_length", "value_mismatch", "invalid_exception_code", "unsolicited_response",
            "invalid_protocol_id", "invalid_length",
        ];
        assert_eq!(events(&s), expected);
        let mut s = ModbusState::new(&Default::default());
        let mut floods = 0;
        for n in 0..10_000u16 {
            s.feed(ToServer, Input::Data(&message(n, 1, &[3, 0, 0, 0, 2])), 1);
            floods += events(&s).len();
            s.mark_inspected();
        }
        assert!(s.transactions().len() <= 256 && floods >= 9_500);
        (0..100).for_each(|_| s.feed(ToClient, Input::Data(&[0xff; 5_000]), 1));
        assert!(s.framed.rest(1).len() <= HEADER + LENGTH_MAX && s.transactions().len() <= 512);
    }
}
