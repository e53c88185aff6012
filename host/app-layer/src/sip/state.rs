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
        } else {
            object.text("method", Some(&m.first));
            object.text("uri", Some(&m.second));
            object.text("version", Some(&m.protocol));
        }
        if !m.description.is_empty() {
            object.object("sdp", |o| session(o, &m.description));
        }
        object.text(if m.response { "response_line" } else { "request_line" }, Some(&m.line));
        object.end();
    }
}

/// The session description: what holds for all, then each medium with what belongs to it.
fn session(o: &mut crate::json::Object<'_>, lines: &[(Buffer, Vec<u8>)]) {
    let first = lines.iter().position(|(b, _)| *b == Buffer::SdpMedia).unwrap_or(lines.len());
    let (common, media) = lines.split_at(first);
    let one = |buffer: Buffer| common.iter().find(|(b, _)| *b == buffer).map(|(_, v)| v.as_slice());
    let all = |lines: &'_ [(Buffer, Vec<u8>)], buffer: Buffer| {
        lines.iter().filter(|(b, _)| *b == buffer).map(|(_, v)| v.clone()).collect::<Vec<_>>()
    };
    o.text("origin", one(Buffer::SdpOrigin));
    o.text("session_name", one(Buffer::SdpSessionName));
    o.text("session_info", one(Buffer::SdpSessionInfo));
    o.text("uri", one(Buffer::SdpUri));
    o.text("email", one(Buffer::SdpEmail));
    o.text("phone_number", one(Buffer::SdpPhoneNumber));
    o.text("connection_data", one(Buffer::SdpConnectionData));
    o.texts("bandwidths", all(common, Buffer::SdpBandwidth).iter().map(Vec::as_slice));
    let times: Vec<usize> = (0..common.len()).filter(|n| common[*n].0 == Buffer::SdpTime).collect();
    o.objects("time_descriptions", times.iter(), |o, at| {
        o.text("time", Some(&common[*at].1));
        let repeat = common[at + 1..].iter().take_while(|(b, _)| *b != Buffer::SdpTime);
        o.text("repeat_time", repeat.filter(|(b, _)| *b == Buffer::SdpRepeatTime).map(|(_, v)| v.as_slice()).next());
    });
    o.text("timezone", one(Buffer::SdpTimezone));
    o.text("encryption_key", one(Buffer::SdpEncryptionKey));
    o.texts("attributes", all(common, Buffer::SdpAttribute).iter().map(Vec::as_slice));
    let starts: Vec<usize> = (0..media.len()).filter(|n| media[*n].0 == Buffer::SdpMedia).collect();
    let parts = starts.iter().enumerate().map(|(n, from)| &media[*from..starts.get(n + 1).copied().unwrap_or(media.len())]);
    o.objects("media_descriptions", parts, |o, part| {
        let one = |buffer: Buffer| part.iter().find(|(b, _)| *b == buffer).map(|(_, v)| v.as_slice());
        o.text("media", one(Buffer::SdpMedia));
        o.text("media_info", one(Buffer::SdpMediaInfo));
        o.texts("bandwidths", all(part, Buffer::SdpBandwidth).iter().map(Vec::as_slice));
        o.text("connection_data", one(Buffer::SdpMediaConnectionData));
        o.text("encryption_key", one(Buffer::SdpMediaEncryptionKey));
        o.texts("attributes", all(part, Buffer::SdpAttribute).iter().map(Vec::as_slice));
    });
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
