//! SIP of one flow, in datagrams or in a stream.

use super::parser::{Message, description, head, head_end};
use crate::messages::Messages;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 1] = ["invalid_data"];

/// SIP of one flow.
pub struct SipState {
    config: Arc<AppLayerConfig>,
    tcp: bool,
    held: [Vec<u8>; 2],
    lost: [bool; 2],
    /// Bytes of a body that are not kept.
    skip: [usize; 2],
    messages: Messages<Message>,
}

impl SipState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>, tcp: bool) -> Self {
        SipState {
            config: Arc::clone(config),
            tcp,
            held: Default::default(),
            lost: [false; 2],
            skip: [0; 2],
            messages: Messages::new(config.transactions),
        }
    }

    fn push(&mut self, direction: Direction, message: Option<Message>) {
        let events = if message.is_none() { vec![0] } else { Vec::new() };
        self.messages.push(direction, message.unwrap_or_default(), events);
    }

    fn datagram(&mut self, direction: Direction, bytes: &[u8]) {
        // Keep-alives (RFC 5626 section 3.5.1).
        if bytes.iter().all(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return;
        }
        let end = head_end(bytes).unwrap_or(bytes.len());
        let mut message = head(bytes.get(..end).unwrap_or(bytes));
        if let Some(m) = message.as_mut().filter(|m| m.describes()) {
            m.description = description(bytes.get(end..).unwrap_or(&[]));
        }
        self.push(direction, message);
    }

    fn stream(&mut self, direction: Direction, bytes: &[u8]) {
        let d = direction as usize;
        let mut held = std::mem::take(&mut self.held[d]);
        held.extend_from_slice(bytes);
        let mut at = 0;
        loop {
            let skipped = self.skip[d].min(held.len() - at);
            self.skip[d] -= skipped;
            at += skipped;
            while matches!(held.get(at), Some(b'\r' | b'\n')) && self.skip[d] == 0 {
                at += 1;
            }
            let rest = held.get(at..).unwrap_or(&[]);
            let end = head_end(rest);
            let too_long = end.unwrap_or(rest.len()) > self.config.head_limit;
            if end.is_none() && !too_long {
                break;
            }
            let end = end.unwrap_or(0);
            let parsed = if too_long { None } else { head(rest.get(..end).unwrap_or(rest)) };
            // Where the next message begins only a length tells (RFC 3261 section 18.3).
            let Some(mut message) = parsed else {
                self.push(direction, None);
                self.lost[d] = true;
                return;
            };
            let length = message.length().unwrap_or(0);
            let kept = length.min(self.config.body_limit);
            let Some(body) = rest.get(end..end + kept) else { break };
            if message.describes() {
                message.description = description(body);
            }
            at += end + kept;
            self.skip[d] = length - kept;
            self.push(direction, Some(message));
        }
        held.drain(..at);
        self.held[d] = held;
    }
}

impl ProtocolState for SipState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Sip
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(_) if self.lost[d] => {}
            Input::Data(bytes) if self.tcp => self.stream(direction, bytes),
            Input::Data(bytes) => self.datagram(direction, bytes),
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
        let Some(m) = self.messages.of(index, direction) else { return BufferState::Absent };
        let one = |bytes: &'_ Vec<u8>, there: bool| there && !bytes.is_empty() && instance == 0;
        let bytes = match buffer {
            Buffer::SipMethod if one(&m.first, !m.response) => Some(&m.first),
            Buffer::SipUri if one(&m.second, !m.response) => Some(&m.second),
            Buffer::SipRequestLine if one(&m.line, !m.response) => Some(&m.line),
            Buffer::SipStatusCode if one(&m.first, m.response) => Some(&m.first),
            Buffer::SipStatusMessage if one(&m.second, m.response) => Some(&m.second),
            Buffer::SipResponseLine if one(&m.line, m.response) => Some(&m.line),
            Buffer::SipProtocol if one(&m.protocol, true) => Some(&m.protocol),
            _ => m.fields.iter().chain(&m.description).filter(|(b, _)| *b == buffer).nth(instance).map(|(_, v)| v),
        };
        bytes.map_or(BufferState::Absent, |bytes| BufferState::whole(bytes))
    }

    fn number(&self, _index: usize, _direction: Direction, _name: &str) -> Option<u64> {
        None
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
        let Some((_, m)) = self.messages.get(index) else { return };
        let mut object = crate::json::Object::begin("sip", out);
        if m.response {
            object.text("version", Some(&m.protocol));
            object.text("code", Some(&m.first));
            object.text("reason", Some(&m.second));
            object.text("response_line", Some(&m.line));
        } else {
            object.text("method", Some(&m.first));
            object.text("uri", Some(&m.second));
            object.text("version", Some(&m.protocol));
            object.text("request_line", Some(&m.line));
        }
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::ToServer;

    const INVITE: &[u8] = b"INVITE sip:b@x SIP/2.0\r\nFrom: <sip:a@x>\r\nContent-Type: application/sdp\r\nContent-Length: 9\r\n\r\ns=a talk\n";

    fn text(state: &SipState, index: usize, buffer: Buffer) -> Option<String> {
        match state.buffer(index, ToServer, buffer, 0) {
            BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
            _ => None,
        }
    }

    #[test]
    fn messages_of_a_stream() {
        let two = [INVITE, b"\r\n\r\n", b"OPTIONS sip:x SIP/2.0\n\n"].concat();
        for step in [1, 10, 1000] {
            let mut state = SipState::new(&Default::default(), true);
            two.chunks(step).for_each(|part| state.feed(ToServer, Input::Data(part), 1));
            assert_eq!(state.transactions().len(), 2);
            assert_eq!(text(&state, 0, Buffer::SdpSessionName).as_deref(), Some("a talk"));
            assert_eq!(text(&state, 1, Buffer::SipMethod).as_deref(), Some("OPTIONS"));
            assert_eq!(text(&state, 1, Buffer::SipStatusCode), None);
        }
    }

    #[test]
    fn datagrams() {
        let mut state = SipState::new(&Default::default(), false);
        state.feed(ToServer, Input::Data(INVITE), 1);
        state.feed(ToServer, Input::Data(b"\r\n\r\n"), 2);
        state.feed(ToServer, Input::Data(b"nonsense"), 3);
        assert_eq!(state.transactions().len(), 2);
        assert_eq!(text(&state, 0, Buffer::SipFrom).as_deref(), Some("<sip:a@x>"));
        assert_eq!(state.event_name(state.transactions()[1].events[0]), "invalid_data");
    }
}
