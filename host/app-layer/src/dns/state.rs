//! Transactions, buffers and events of DNS.

use super::log;
use super::parser::{Message, parse_message};
use super::view;
use crate::{
    AppLayerConfig, BufferState, COMPLETE, Direction, Input, LogSettings, ProtocolState, Transaction,
};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 10] = [
    "malformed_data",
    "not_a_request",
    "not_a_response",
    "z_flag_set",
    "invalid_opcode",
    "name_too_long",
    "infinite_loop",
    "too_many_labels",
    "flooded",
    "state_memcap_reached",
];

/// DNS of one flow.
pub struct DnsState {
    limit: usize,
    tcp: bool,
    multicast: bool,
    /// TCP: bytes of an incomplete message, by direction.
    partial: [Vec<u8>; 2],
    /// TCP: framing is lost.
    lost: [bool; 2],
    /// TCP: the next bytes are the first behind a gap.
    behind_gap: [bool; 2],
    transactions: Vec<Transaction>,
    messages: Vec<(Direction, Message)>,
    next: u64,
}

impl DnsState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>, tcp: bool) -> Self {
        DnsState {
            limit: config.transactions,
            tcp,
            multicast: false,
            partial: Default::default(),
            lost: [false; 2],
            behind_gap: [false; 2],
            transactions: Vec::new(),
            messages: Vec::new(),
            next: 0,
        }
    }

    /// State of a flow of multicast DNS (RFC 6762).
    pub fn mdns(config: &Arc<AppLayerConfig>) -> Self {
        DnsState { multicast: true, ..DnsState::new(config, false) }
    }

    fn message(&mut self, direction: Direction, bytes: &[u8]) {
        if self.transactions.len() >= self.limit {
            // Inspected ones go first; what is left is kept, the newest is not.
            return;
        }
        let parsed = parse_message(bytes);
        let mut events = Vec::new();
        let message = match parsed {
            Some(message) => message,
            None => Message { malformed: true, ..Message::default() },
        };
        if message.malformed {
            events.push(0);
        }
        match (direction, message.is_response()) {
            // Everybody asks and answers in the same direction.
            _ if self.multicast => {}
            (Direction::ToServer, true) => events.push(1),
            (Direction::ToClient, false) => events.push(2),
            _ => {}
        }
        if message.z() {
            events.push(3);
        }
        if message.opcode() >= 7 {
            events.push(4);
        }
        if message.name_too_long {
            events.push(5);
        }
        if message.infinite_loop {
            events.push(6);
        }
        let d = direction as usize;
        let mut changed = [false; 2];
        changed[d] = true;
        self.transactions.push(Transaction { id: self.next, progress: [COMPLETE; 2], changed, events });
        self.messages.push((direction, message));
        self.next += 1;
    }

    fn stream(&mut self, direction: Direction, bytes: &[u8]) {
        let d = direction as usize;
        if self.lost[d] {
            return;
        }
        let mut partial = std::mem::take(&mut self.partial[d]);
        partial.extend_from_slice(bytes);
        // What begins like a message behind a gap is one.
        if self.behind_gap[d] && partial.len() >= 14 {
            self.behind_gap[d] = false;
            self.lost[d] = !begins_message(direction, &partial);
            if self.lost[d] {
                return;
            }
        } else if self.behind_gap[d] {
            self.partial[d] = partial;
            return;
        }
        let mut at = 0;
        while let Some(&[a, b]) = partial.get(at..at + 2) {
            let length = usize::from(u16::from_be_bytes([a, b]));
            let Some(body) = partial.get(at + 2..at + 2 + length) else { break };
            let body = body.to_vec();
            self.message(direction, &body);
            at += 2 + length;
        }
        partial.drain(..at);
        self.partial[d] = partial;
    }
}

/// Length and header of a message of the direction, with one question (RFC 1035 sections 4.1.1 and 4.2.2).
fn begins_message(direction: Direction, bytes: &[u8]) -> bool {
    let word = |at: usize| bytes.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    let flags = word(4);
    let response = flags & 0x8000 != 0;
    word(0) >= 12
        && response == (direction == Direction::ToClient)
        && flags >> 11 & 0xf < 7
        && word(6) == 1
        && (response || word(8) == 0)
        && word(8) < 256
}

impl ProtocolState for DnsState {
    fn protocol(&self) -> AppProtocol {
        if self.multicast { AppProtocol::Mdns } else { AppProtocol::Dns }
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        match input {
            Input::Data(bytes) if self.tcp => self.stream(direction, bytes),
            Input::Data(bytes) => self.message(direction, bytes),
            Input::Gap(_) => {
                self.behind_gap[direction as usize] = true;
                self.partial[direction as usize] = Vec::new();
            }
            Input::End => self.partial[direction as usize] = Vec::new(),
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        match self.messages.get(index) {
            Some((d, message)) if *d == direction => view::buffer(message, direction, buffer, instance),
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let (d, message) = self.messages.get(index)?;
        if *d == direction { view::number(message, name) } else { None }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.transactions.clear();
        self.messages.clear();
    }

    fn is_open(&self, direction: Direction) -> bool {
        !self.partial[direction as usize].is_empty()
    }

    fn log_direction(&self, index: usize) -> Option<Direction> {
        self.messages.get(index).map(|(direction, _)| *direction)
    }

    fn is_loggable(&self, _index: usize) -> bool {
        true
    }

    fn pair(&self, index: usize) -> Option<u64> {
        self.messages.get(index).map(|(_, message)| message.id.into())
    }

    fn log_parts(&self, index: usize, settings: &LogSettings) -> usize {
        self.messages.get(index).map_or(0, |(direction, message)| log::parts(*direction, message, settings))
    }

    fn log_as(&self, index: usize, part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let Some((direction, message)) = self.messages.get(index) else { return false };
        if self.multicast {
            view::log_multicast(message, out);
            return true;
        }
        let id = self.transactions.get(index).map_or(0, |t| t.id);
        log::write((*direction, message, id), part, settings, out)
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        self.log_as(index, 0, &super::in_alerts(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x00\x15\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x00\x00\x01\x00\x01";

    fn behind_gap(bytes: &[u8], step: usize) -> usize {
        let mut state = DnsState::new(&Default::default(), true);
        state.feed(Direction::ToServer, Input::Data(&QUERY[..9]), 1);
        state.feed(Direction::ToServer, Input::Gap(100), 2);
        bytes.chunks(step).for_each(|part| state.feed(Direction::ToServer, Input::Data(part), 3));
        state.transactions().iter().filter(|t| t.events.is_empty()).count()
    }

    #[test]
    fn what_begins_like_a_message_behind_a_gap_is_one() {
        let two = [QUERY, QUERY].concat();
        let length = usize::from(QUERY[1]) + 2;
        assert_eq!(length, QUERY.len());
        for step in [1, 5, 100] {
            assert_eq!(behind_gap(&two, step), 2);
            assert_eq!(behind_gap(&two[4..], step), 0, "the middle of a message");
        }
    }
}
