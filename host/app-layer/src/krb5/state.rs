//! Kerberos of one flow, over UDP or behind length fields over TCP (RFC 4120 section 7.2).

use super::parser::{Message, is_weak, message};
use crate::messages::Messages;
use crate::wire::be32;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 2] = ["malformed_data", "weak_encryption"];
/// Longest message over TCP.
const MESSAGE_MAX: usize = 256 * 1024;

/// Kerberos of one flow.
pub struct KerberosState {
    tcp: bool,
    held: [Vec<u8>; 2],
    lost: [bool; 2],
    messages: Messages<Message>,
}

impl KerberosState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>, tcp: bool) -> Self {
        KerberosState {
            tcp,
            held: Default::default(),
            lost: [false; 2],
            messages: Messages::new(config.transactions),
        }
    }

    fn message(&mut self, direction: Direction, bytes: &[u8]) {
        let parsed = message(bytes);
        let weak = |m: &Message| m.encryption.is_some_and(is_weak);
        let events = match &parsed {
            None => vec![0],
            Some(m) if weak(m) => vec![1],
            Some(_) => Vec::new(),
        };
        self.messages.push(direction, parsed.unwrap_or_default(), events);
    }

    fn stream(&mut self, direction: Direction, bytes: &[u8]) {
        let d = direction as usize;
        let mut held = std::mem::take(&mut self.held[d]);
        held.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(length) = be32(&held, at) {
            let length = length as usize;
            if length > MESSAGE_MAX {
                self.message(direction, &[]);
                self.lost[d] = true;
                return;
            }
            let Some(bytes) = held.get(at + 4..at + 4 + length) else { break };
            let bytes = bytes.to_vec();
            self.message(direction, &bytes);
            at += 4 + length;
        }
        held.drain(..at);
        self.held[d] = held;
    }
}

impl ProtocolState for KerberosState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Krb5
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(_) if self.lost[d] => {}
            Input::Data(bytes) if self.tcp => self.stream(direction, bytes),
            Input::Data(bytes) => self.message(direction, bytes),
            Input::Gap(_) | Input::End => {
                self.lost[d] = true;
                self.held[d] = Vec::new();
            }
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(message) = self.messages.of(index, direction) else { return BufferState::Absent };
        let names = match buffer {
            Buffer::KerberosClientName => &message.client,
            Buffer::KerberosServerName => &message.server,
            _ => return BufferState::Absent,
        };
        names.get(instance).map_or(BufferState::Absent, |bytes| BufferState::whole(bytes))
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let message = self.messages.of(index, direction)?;
        let number = |n: Option<i64>| n.and_then(|n| u64::try_from(n).ok());
        match name {
            "krb5_msg_type" => Some(message.kind).filter(|kind| *kind > 0),
            "krb5_err_code" => number(message.error),
            "krb5.ticket_encryption" => number(message.ticket),
            // Without a value the keyword asks whether there is any.
            "krb5.weak_encryption" => message.encryption.filter(|e| is_weak(*e)).map(|_| 1),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.messages.clear();
    }

    fn is_open(&self, direction: Direction) -> bool {
        !self.held[direction as usize].is_empty()
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((_, message)) = self.messages.get(index) else { return };
        let mut object = crate::json::Object::begin("krb5", out);
        let kind: &[u8] = match message.kind {
            10 => b"KRB_AS_REQ",
            11 => b"KRB_AS_REP",
            12 => b"KRB_TGS_REQ",
            13 => b"KRB_TGS_REP",
            14 => b"KRB_AP_REQ",
            15 => b"KRB_AP_REP",
            30 => b"KRB_ERROR",
            _ => b"UNKNOWN",
        };
        object.text("msg_type", Some(kind));
        object.text("cname", Some(&message.client.join(&b'/')));
        object.text("realm", Some(&message.realm));
        object.text("sname", Some(&message.server.join(&b'/')));
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::tests::reply;
    use super::*;
    use Direction::ToClient;

    #[test]
    fn a_reply_over_tcp() {
        let reply = reply(23, 18);
        let bytes = [&(reply.len() as u32).to_be_bytes()[..], &reply].concat();
        for step in [1, 9, 10_000] {
            let mut state = KerberosState::new(&Default::default(), true);
            bytes.chunks(step).for_each(|part| state.feed(ToClient, Input::Data(part), 1));
            assert_eq!(state.transactions().len(), 1);
            assert_eq!(state.event_name(state.transactions()[0].events[0]), "weak_encryption");
            assert_eq!(state.number(0, ToClient, "krb5_msg_type"), Some(13));
            assert_eq!(state.number(0, ToClient, "krb5.ticket_encryption"), Some(18));
            assert_eq!(state.number(0, ToClient, "krb5.weak_encryption"), Some(1));
            let name = state.buffer(0, ToClient, Buffer::KerberosServerName, 1);
            assert!(matches!(name, BufferState::Present(v) if v.bytes == b"dc"));
        }
        let mut state = KerberosState::new(&Default::default(), true);
        state.feed(ToClient, Input::Data(&[0xff; 8]), 1);
        state.feed(ToClient, Input::Data(&bytes), 2);
        assert_eq!(state.transactions().len(), 1);
    }
}
