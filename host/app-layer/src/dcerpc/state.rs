//! DCERPC of one flow, over TCP or UDP.

use super::association::{Association, Call, Outcome, interface_in, number};
use super::parser::{HEADER, datagram, header, kinds};
use crate::messages::make_room;
use crate::{AppLayerConfig, BufferState, BufferView, COMPLETE, Direction, Input, Limits, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// A datagram call: its interface travels with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Activity {
    interface: [u8; 16],
    version: u16,
    activity: [u8; 16],
}

struct Exchange {
    call: Call,
    datagram: Option<Activity>,
}

/// DCERPC of one flow.
pub struct DceRpcState {
    config: Arc<AppLayerConfig>,
    tcp: bool,
    /// Bytes of an incomplete PDU, by direction.
    held: [Vec<u8>; 2],
    lost: [bool; 2],
    association: Association,
    transactions: Vec<Transaction>,
    pub(super) limits: Limits,
    exchanges: Vec<Exchange>,
    next: u64,
}

impl DceRpcState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>, tcp: bool) -> Self {
        DceRpcState {
            config: Arc::clone(config),
            tcp,
            held: Default::default(),
            lost: [false; 2],
            association: Association::new(tcp),
            transactions: Vec::new(),
            limits: Limits::default(),
            exchanges: Vec::new(),
            next: 0,
        }
    }

    fn begin(&mut self, call: Call, datagram: Option<Activity>) -> usize {
        self.limits.transactions += make_room(&mut self.transactions, &mut self.exchanges, self.config.transactions);
        self.transactions.push(Transaction { id: self.next, progress: [0; 2], changed: [false; 2], events: Vec::new() });
        self.exchanges.push(Exchange { call, datagram });
        self.next += 1;
        self.exchanges.len() - 1
    }

    fn update(&mut self, index: usize, d: usize) {
        let (Some(t), Some(e)) = (self.transactions.get_mut(index), self.exchanges.get(index)) else { return };
        t.changed[d] = true;
        for side in 0..2 {
            if e.call.done[side] && t.progress[side] != COMPLETE {
                t.progress[side] = COMPLETE;
                t.changed[side] = true;
            }
        }
        // What the answer decided (interfaces) concerns the request as well.
        t.changed[0] |= e.call.done == [true; 2];
    }

    fn stream(&mut self, d: usize, bytes: &[u8]) {
        if self.lost[d] {
            return;
        }
        let mut held = std::mem::take(&mut self.held[d]);
        held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(rest) = held.get(at..).filter(|rest| rest.len() >= HEADER) {
            let Some(h) = header(rest) else {
                // Where the next PDU begins cannot be known.
                self.lost[d] = true;
                break;
            };
            let Some(pdu) = rest.get(..h.fragment) else { break };
            self.pdu(d, pdu);
            at += h.fragment;
        }
        held.drain(..at.min(held.len()));
        self.held[d] = if self.lost[d] { Vec::new() } else { held };
    }

    fn pdu(&mut self, d: usize, pdu: &[u8]) {
        let calls = self.exchanges.iter().enumerate().map(|(n, e)| (n, &e.call));
        let index = match Association::find(pdu, d, calls) {
            Outcome::Call(index) => index,
            Outcome::New(id) => self.begin(Call::new(id), None),
            Outcome::Nothing | Outcome::Invalid => return,
        };
        self.association.take(pdu, d, &mut self.exchanges[index].call, self.config.body_limit);
        self.update(index, d);
    }

    fn datagram(&mut self, d: usize, bytes: &[u8]) {
        let Some(g) = datagram(bytes) else { return };
        let known = self.exchanges.iter().rposition(|e| {
            e.call.id == g.sequence && e.datagram.is_some_and(|a| a.activity == g.activity) && !e.call.done[d]
        });
        let index = match (known, g.kind) {
            (Some(index), _) => index,
            (None, kinds::REQUEST | kinds::RESPONSE | kinds::FAULT) => {
                let mut call = Call::new(g.sequence);
                call.kind = g.kind;
                call.operation = g.operation;
                let activity = Activity { interface: g.interface, version: g.version, activity: g.activity };
                self.begin(call, Some(activity))
            }
            (None, _) => return,
        };
        let call = &mut self.exchanges[index].call;
        call.little[d] = g.little;
        if matches!(g.kind, kinds::REQUEST | kinds::RESPONSE) {
            let room = self.config.body_limit.saturating_sub(call.stub[d].len());
            call.stub[d].extend_from_slice(g.stub.get(..room).unwrap_or(g.stub));
        }
        match g.kind {
            kinds::REQUEST | kinds::RESPONSE => call.done[d] |= g.last,
            _ => call.done = [true; 2],
        }
        self.update(index, d);
    }

    fn end(&mut self, d: usize) {
        self.held[d] = Vec::new();
        self.lost[d] = true;
        for index in 0..self.exchanges.len() {
            self.exchanges[index].call.done[d] = true;
            self.update(index, d);
        }
    }
}

/// Stub data of a direction of a call, as rules see it.
pub(crate) fn stub(call: &Call, d: usize) -> BufferState<'_> {
    match (call.stub[d].is_empty(), call.done[d]) {
        (true, true) => BufferState::Absent,
        (true, false) => BufferState::NotYet,
        (false, complete) => BufferState::Present(BufferView { bytes: &call.stub[d], complete }),
    }
}

impl ProtocolState for DceRpcState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::DceRpc
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) if self.tcp => self.stream(d, bytes),
            Input::Data(bytes) => self.datagram(d, bytes),
            Input::Gap(_) | Input::End => self.end(d),
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        match (self.exchanges.get(index), buffer) {
            (Some(exchange), Buffer::DceStubData) => stub(&exchange.call, direction as usize),
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let exchange = self.exchanges.get(index)?;
        match (exchange.datagram, interface_in(name)) {
            (Some(a), Some(uuid)) => (a.interface == uuid).then_some(a.version.into()),
            _ => number(&self.association, &exchange.call, direction as usize, name),
        }
    }

    fn take_limits(&mut self) -> Limits {
        std::mem::take(&mut self.limits)
    }

    fn mark_inspected(&mut self) {
        let mut done = self.exchanges.iter().map(|e| e.call.done == [true; 2]);
        self.transactions.retain_mut(|t| {
            t.changed = [false; 2];
            !done.next().unwrap_or(false)
        });
        self.exchanges.retain(|e| e.call.done != [true; 2]);
    }

    fn is_open(&self, direction: Direction) -> bool {
        !self.transactions.is_empty() || !self.held[direction as usize].is_empty()
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some(exchange) = self.exchanges.get(index) else { return };
        let call = &exchange.call;
        let mut object = crate::json::Object::begin("dcerpc", out);
        let association = exchange.datagram.is_none().then_some(&self.association);
        super::association::log(&mut object, association, call);
        if let Some(activity) = exchange.datagram {
            object.text("activityuuid", Some(super::association::uuid_text(&activity.activity).as_bytes()));
        }
        object.text("rpc_version", Some(if exchange.datagram.is_some() { b"4.0" } else { b"5.0" }));
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::tests::{UUID, bind, bind_ack, request};
    use super::*;
    use Direction::{ToClient, ToServer};

    fn name() -> String {
        format!("dcerpc.iface.{}", crate::digest::hex(&UUID))
    }

    #[test]
    fn calls_of_a_stream() {
        let to_server = [bind(1, 0, UUID, 3), request(2, 1, 0, 4, b"first "), request(2, 2, 0, 4, b"second")].concat();
        for step in [1, 7, 1000] {
            let mut state = DceRpcState::new(&Default::default(), true);
            to_server[..72].chunks(step).for_each(|part| state.feed(ToServer, Input::Data(part), 1));
            state.feed(ToClient, Input::Data(&bind_ack(1, 0)), 2);
            to_server[72..].chunks(step).for_each(|part| state.feed(ToServer, Input::Data(part), 3));
            assert_eq!(state.transactions().len(), 2);
            assert_eq!(state.number(1, ToServer, "dcerpc.opnum"), Some(4));
            assert_eq!(state.number(1, ToServer, &name()), Some(3));
            match state.buffer(1, ToServer, Buffer::DceStubData, 0) {
                BufferState::Present(view) => assert_eq!((view.bytes, view.complete), (&b"first second"[..], true)),
                other => panic!("{other:?}"),
            }
            state.mark_inspected();
            assert_eq!(state.transactions().len(), 1);
            assert!(state.is_open(ToServer));
        }
    }

    #[test]
    fn a_datagram_carries_its_interface() {
        let mut bytes = vec![0; 80];
        (bytes[0], bytes[4], bytes[68], bytes[74]) = (4, 0x10, 9, 4);
        let mut wire = UUID;
        wire[..4].reverse();
        wire[4..6].reverse();
        wire[6..8].reverse();
        bytes[24..40].copy_from_slice(&wire);
        bytes[60] = 1;
        bytes.extend_from_slice(b"stub");
        let mut state = DceRpcState::new(&Default::default(), false);
        state.feed(ToServer, Input::Data(&bytes), 1);
        assert_eq!(state.number(0, ToServer, "dcerpc.opnum"), Some(9));
        assert_eq!(state.number(0, ToServer, &name()), Some(1));
        assert!(matches!(state.buffer(0, ToServer, Buffer::DceStubData, 0), BufferState::Present(v) if v.bytes == b"stub"));
    }

    #[test]
    fn memory_is_bounded_and_nonsense_ends_the_parsing() {
        let mut state = DceRpcState::new(&Default::default(), true);
        for n in 0..5000 {
            state.feed(ToServer, Input::Data(&request(n, 3, 0, 1, b"x")), 1);
            state.mark_inspected();
        }
        assert!(state.transactions().len() <= 256);
        state.feed(ToServer, Input::Data(&[0xff; 20]), 2);
        state.feed(ToServer, Input::Data(&request(1, 3, 0, 1, b"x")), 3);
        assert!(state.held[0].is_empty());
    }
}
