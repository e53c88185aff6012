//! MQTT of one flow.

use super::parser::{Packet, header, kinds, packet};
use crate::messages::make_room;
use crate::{AppLayerConfig, BufferState, COMPLETE, Direction, Input, Limits, LogSettings, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 12] = [
    "missing_connect",
    "missing_publish",
    "missing_subscribe",
    "missing_unsubscribe",
    "double_connect",
    "unintroduced_message",
    "invalid_qos_level",
    "missing_msg_id",
    "unassigned_msg_type",
    "too_many_transactions",
    "malformed_traffic",
    "too_many_properties",
];
const MISSING_CONNECT: u16 = 0;
const MISSING_PUBLISH: u16 = 1;
const MISSING_SUBSCRIBE: u16 = 2;
const MISSING_UNSUBSCRIBE: u16 = 3;
const DOUBLE_CONNECT: u16 = 4;
const UNINTRODUCED: u16 = 5;
const INVALID_QOS: u16 = 6;
const MISSING_ID: u16 = 7;
const UNASSIGNED: u16 = 8;
const TOO_MANY: u16 = 9;
const MALFORMED: u16 = 10;
const TOO_MANY_PROPERTIES: u16 = 11;

/// Longest packet that is read; longer ones are passed over.
const PACKET_MAX: usize = 1 << 20;

/// Most packets of an exchange that are logged.
const PACKETS_MAX: usize = 8;

/// An exchange: the packet that began it, and the last one of each direction.
struct Exchange {
    first: Packet,
    last: [Option<Packet>; 2],
    /// All of them, in order, for logs.
    all: Vec<Packet>,
    done: bool,
}

/// MQTT of one flow.
pub struct MqttState {
    limit: usize,
    held: [Vec<u8>; 2],
    skip: [usize; 2],
    lost: [bool; 2],
    version: u8,
    connected: bool,
    transactions: Vec<Transaction>,
    pub(super) limits: Limits,
    exchanges: Vec<Exchange>,
    next: u64,
}

impl MqttState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        MqttState {
            limit: config.transactions,
            held: Default::default(),
            skip: [0; 2],
            lost: [false; 2],
            version: 0,
            connected: false,
            transactions: Vec::new(),
            limits: Limits::default(),
            exchanges: Vec::new(),
            next: 0,
        }
    }

    fn event(&mut self, index: usize, d: usize, event: u16) {
        let Some(t) = self.transactions.get_mut(index) else { return };
        if !t.events.contains(&event) {
            t.events.push(event);
        }
        t.changed[d] = true;
    }

    fn begin(&mut self, d: usize, packet: Packet, done: bool) -> usize {
        let gone = make_room(&mut self.transactions, &mut self.exchanges, self.limit);
        self.limits.transactions += gone;
        let mut changed = [false; 2];
        changed[d] = true;
        self.transactions.push(Transaction { id: self.next, progress: [0; 2], changed, events: Vec::new() });
        let mut last = [None, None];
        last[d] = Some(packet.clone());
        self.exchanges.push(Exchange { all: vec![packet.clone()], first: packet, last, done: false });
        self.next += 1;
        let index = self.exchanges.len() - 1;
        if gone > 0 {
            self.event(index, d, TOO_MANY);
        }
        if done {
            // It concerns its own direction only: nothing answers it.
            self.exchanges[index].done = true;
            self.transactions[index].progress = [COMPLETE; 2];
        }
        index
    }

    /// What is no packet is a transaction of its own.
    fn malformed(&mut self, d: usize, packet: Packet) {
        let index = self.begin(d, packet, true);
        self.event(index, d, MALFORMED);
    }

    fn complete(&mut self, index: usize) {
        self.exchanges[index].done = true;
        self.transactions[index].progress = [COMPLETE; 2];
        self.transactions[index].changed = [true; 2];
    }

    /// The answer to an open exchange that one of `kinds` began; an event if there is none.
    fn answer(&mut self, d: usize, packet: Packet, begun_by: u8, last: bool, missing: u16) -> usize {
        let open = |e: &Exchange| !e.done && e.first.kind == begun_by && (packet.id.is_none() || e.first.id == packet.id);
        match self.exchanges.iter().position(open) {
            Some(index) => {
                let exchange = &mut self.exchanges[index];
                if exchange.all.len() < PACKETS_MAX {
                    exchange.all.push(packet.clone());
                }
                exchange.last[d] = Some(packet);
                self.transactions[index].changed[d] = true;
                if last {
                    self.complete(index);
                }
                index
            }
            None => {
                let index = self.begin(d, packet, true);
                self.event(index, d, missing);
                index
            }
        }
    }

    fn packet(&mut self, d: usize, kind: u8, flags: u8, content: &[u8]) {
        use kinds::*;
        let Some(p) = packet(kind, flags, content, self.version) else {
            self.malformed(d, Packet { kind, flags, ..Packet::default() });
            return;
        };
        // Where there is an identifier it is not 0 (MQTT 5.0 section 2.2.1).
        let nameless = p.id == Some(0);
        let crowded = [&p.properties, &p.will_properties].into_iter().any(|list| super::parser::too_many(list));
        let introduced = self.connected || matches!(kind, CONNECT | CONNACK | AUTH);
        let index = match kind {
            CONNECT => {
                let again = self.connected;
                self.version = p.version;
                let index = self.begin(d, p, false);
                if again {
                    self.event(index, d, DOUBLE_CONNECT);
                }
                index
            }
            CONNACK => {
                // Only now the client may send more (MQTT 3.1.1 section 3.1; before, at its own risk).
                self.connected |= p.reason == Some(0);
                self.answer(d, p, CONNECT, true, MISSING_CONNECT)
            }
            PUBLISH => {
                let level = flags >> 1 & 3;
                // Nobody answers a level that does not exist.
                let index = self.begin(d, p, matches!(level, 0 | 3));
                if level == 3 {
                    self.event(index, d, INVALID_QOS);
                }
                index
            }
            PUBACK | PUBCOMP => self.answer(d, p, PUBLISH, true, MISSING_PUBLISH),
            PUBREC | PUBREL => self.answer(d, p, PUBLISH, false, MISSING_PUBLISH),
            SUBSCRIBE | UNSUBSCRIBE => self.begin(d, p, false),
            SUBACK => self.answer(d, p, SUBSCRIBE, true, MISSING_SUBSCRIBE),
            UNSUBACK => self.answer(d, p, UNSUBSCRIBE, true, MISSING_UNSUBSCRIBE),
            0 => {
                let index = self.begin(d, p, true);
                self.event(index, d, UNASSIGNED);
                index
            }
            _ => self.begin(d, p, true),
        };
        if nameless {
            self.event(index, d, MISSING_ID);
        }
        if crowded {
            self.event(index, d, TOO_MANY_PROPERTIES);
        }
        if !introduced {
            self.event(index, d, UNINTRODUCED);
        }
    }

    fn bytes(&mut self, d: usize, mut input: &[u8]) {
        let skipped = self.skip[d].min(input.len());
        self.skip[d] -= skipped;
        input = input.get(skipped..).unwrap_or(&[]);
        let mut held = std::mem::take(&mut self.held[d]);
        held.extend_from_slice(input);
        let mut at = 0;
        while let Some(head) = held.get(at..).and_then(header) {
            let Ok((kind, flags, length, octets)) = head else {
                self.malformed(d, Packet::default());
                self.lost[d] = true;
                return;
            };
            if length > PACKET_MAX {
                self.malformed(d, Packet { kind, flags, ..Packet::default() });
                let left = octets + length - (held.len() - at).min(octets + length);
                self.skip[d] = left;
                at = (at + octets + length).min(held.len());
                continue;
            }
            let Some(content) = held.get(at + octets..at + octets + length) else { break };
            let content = content.to_vec();
            self.packet(d, kind, flags, &content);
            at += octets + length;
        }
        held.drain(..at);
        self.held[d] = held;
    }
}

impl ProtocolState for MqttState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Mqtt
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(_) if self.lost[d] => {}
            Input::Data(bytes) => self.bytes(d, bytes),
            Input::Gap(_) | Input::End => {
                self.lost[d] = true;
                self.held[d] = Vec::new();
                for index in 0..self.exchanges.len() {
                    if !self.exchanges[index].done {
                        self.complete(index);
                    }
                }
            }
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(exchange) = self.exchanges.get(index) else { return BufferState::Absent };
        let Some(p) = &exchange.last[direction as usize] else {
            return if exchange.done { BufferState::Absent } else { BufferState::NotYet };
        };
        // What an exchange is about stands in its first packet.
        let p = if p.kind == exchange.first.kind { &exchange.first } else { p };
        let topics = |kind: u8| if p.kind == kind { p.topics.get(instance) } else { None };
        let connect = |bytes| Some(bytes).filter(|_| p.kind == kinds::CONNECT && instance == 0);
        let bytes = match buffer {
            Buffer::MqttClientId => connect(&p.client),
            Buffer::MqttUsername => connect(&p.user),
            Buffer::MqttPassword => connect(&p.password),
            Buffer::MqttWillTopic => connect(&p.will_topic),
            Buffer::MqttWillMessage => connect(&p.will_message),
            Buffer::MqttProtocolString => connect(&p.protocol),
            Buffer::MqttPublishTopic if instance == 0 => topics(kinds::PUBLISH),
            Buffer::MqttPublishMessage if instance == 0 && p.kind == kinds::PUBLISH => Some(&p.payload),
            Buffer::MqttSubscribeTopic => topics(kinds::SUBSCRIBE),
            Buffer::MqttUnsubscribeTopic => topics(kinds::UNSUBSCRIBE),
            _ => None,
        };
        bytes.filter(|b| !b.is_empty()).map_or(BufferState::Absent, |bytes| {
            BufferState::whole(bytes)
        })
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let p = self.exchanges.get(index)?.last[direction as usize].as_ref()?;
        match name {
            "mqtt.protocol_version" => Some(self.version.into()),
            "mqtt.type" => Some(p.kind.into()),
            "mqtt.flags" => Some(p.flags.into()),
            "mqtt.qos" => Some(u64::from(p.flags >> 1 & 3)),
            "mqtt.reason_code" => p.reason.map(u64::from),
            "mqtt.connack.session_present" => p.session_present.map(u64::from),
            "mqtt.connect.flags" if p.kind == kinds::CONNECT => Some(p.connect_flags.into()),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn take_limits(&mut self) -> Limits {
        std::mem::take(&mut self.limits)
    }

    fn mark_inspected(&mut self) {
        let mut done = self.exchanges.iter().map(|e| e.done);
        self.transactions.retain_mut(|t| {
            t.changed = [false; 2];
            !done.next().unwrap_or(false)
        });
        self.exchanges.retain(|e| !e.done);
    }

    fn is_open(&self, direction: Direction) -> bool {
        let d = direction as usize;
        !self.transactions.is_empty() || !self.held[d].is_empty() || self.skip[d] > 0
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        self.log_as(index, 0, &LogSettings::default(), out);
    }

    fn log_as(&self, index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let Some(exchange) = self.exchanges.get(index) else { return false };
        super::log::write(&exchange.all, settings, out);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    const CONNECT: &[u8] = b"\x10\x12\x00\x04MQTT\x04\x80\0\0\0\x02id\0\x02me";

    fn text(state: &MqttState, index: usize, direction: Direction, buffer: Buffer) -> Option<String> {
        match state.buffer(index, direction, buffer, 0) {
            BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
            _ => None,
        }
    }

    fn events(state: &MqttState) -> Vec<&'static str> {
        state.transactions.iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
    }

    #[test]
    fn exchanges() {
        let mut connect = CONNECT.to_vec();
        connect[1] = (connect.len() - 2) as u8;
        let publish = b"\x32\x0c\0\x03a/b\0\x07hello";
        for step in [1, 5, 1000] {
            let mut state = MqttState::new(&Default::default());
            connect.chunks(step).for_each(|part| state.feed(ToServer, Input::Data(part), 1));
            state.feed(ToClient, Input::Data(b"\x20\x02\0\0"), 2);
            publish.chunks(step).for_each(|part| state.feed(ToServer, Input::Data(part), 3));
            state.feed(ToClient, Input::Data(b"\x40\x02\0\x07"), 4);
            assert_eq!(state.transactions().len(), 2);
            assert_eq!(text(&state, 0, ToServer, Buffer::MqttClientId).as_deref(), Some("id"));
            assert_eq!(text(&state, 0, ToServer, Buffer::MqttUsername).as_deref(), Some("me"));
            assert_eq!(text(&state, 1, ToServer, Buffer::MqttPublishMessage).as_deref(), Some("hello"));
            assert_eq!(state.number(0, ToClient, "mqtt.reason_code"), Some(0));
            assert_eq!(state.number(1, ToClient, "mqtt.type"), Some(4));
            assert!(events(&state).is_empty());
            state.mark_inspected();
            assert!(state.transactions().is_empty());
        }
    }

    #[test]
    fn oddities() {
        let fed = |direction, bytes: &[u8]| {
            let mut state = MqttState::new(&Default::default());
            state.feed(direction, Input::Data(bytes), 1);
            events(&state)
        };
        assert_eq!(fed(ToClient, b"\x20\x02\0\0"), ["missing_connect"]);
        assert_eq!(fed(ToServer, b"\x30\x03\0\x01a"), ["unintroduced_message"]);
        assert_eq!(fed(ToServer, b"\x10\x02\0\x04"), ["malformed_traffic"]);
        assert_eq!(fed(ToServer, b"\x30\xff\xff\xff\xff\xff"), ["malformed_traffic"]);
    }
}
