//! The handshake: versions, security type, authentication, initialisation. What follows is not parsed.

use crate::wire::be32;
use crate::{AppLayerConfig, BufferState, COMPLETE, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 3] = ["malformed_message", "unimplemented_security_type", "unknown_security_result"];
const MALFORMED: u16 = 0;
const UNIMPLEMENTED: u16 = 1;
const UNKNOWN_RESULT: u16 = 2;

/// Longest desktop name that is kept (RFC 6143 section 7.3.2).
const NAME_MAX: usize = 4096;
/// Most bytes that wait for the other direction.
const WAITING_MAX: usize = 16 * 1024;

/// The next message of the handshake, whoever sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    ServerVersion,
    ClientVersion,
    /// Version 3.3: the server decides.
    SecurityType,
    /// Later: it offers, and the client chooses.
    SecurityTypes,
    Choice,
    Challenge,
    Response,
    Result,
    /// The server tells why it goes no further.
    Reason,
    ClientInit,
    ServerInit,
    Over,
}

/// RFB of one flow.
pub struct RfbState {
    at: At,
    held: [Vec<u8>; 2],
    minor: u8,
    security: Option<u32>,
    result: Option<u32>,
    name: Vec<u8>,
    /// Versions of client and server, as sent.
    versions: [Option<[u8; 12]>; 2],
    challenge: Vec<u8>,
    response: Vec<u8>,
    shared: Option<bool>,
    /// The fixed part of ServerInit before the name's length.
    framebuffer: Option<[u8; 20]>,
    /// Why the server goes no further.
    reason: Vec<u8>,
    transaction: [Transaction; 1],
    /// Lengths of the messages taken, by direction, where frames are cut with this state.
    cuts: Option<[std::collections::VecDeque<usize>; 2]>,
}

impl RfbState {
    /// A state that cuts messages.
    pub(crate) fn cutting(config: &Arc<AppLayerConfig>) -> Self {
        RfbState { cuts: Some(Default::default()), ..Self::new(config) }
    }

    /// Bytes of a direction that the state has and [`Self::next_length`] has not given.
    pub(crate) fn waiting(&self, d: usize) -> usize {
        self.held[d].len() + self.cuts.as_ref().map_or(0, |cuts| cuts[d].iter().sum())
    }

    /// Length of the next message of a direction, once it is whole.
    pub(crate) fn next_length(&mut self, d: usize) -> Option<usize> {
        self.cuts.as_mut()?[d].pop_front()
    }

    /// State of a new flow.
    pub fn new(_config: &Arc<AppLayerConfig>) -> Self {
        RfbState {
            at: At::ServerVersion,
            held: Default::default(),
            minor: 0,
            security: None,
            result: None,
            name: Vec::new(),
            versions: [None; 2],
            challenge: Vec::new(),
            response: Vec::new(),
            shared: None,
            framebuffer: None,
            reason: Vec::new(),
            transaction: [Transaction { id: 0, progress: [0; 2], changed: [false; 2], events: Vec::new() }],
            cuts: None,
        }
    }

    fn event(&mut self, d: usize, event: u16) {
        let t = &mut self.transaction[0];
        if !t.events.contains(&event) {
            t.events.push(event);
        }
        t.changed[d] = true;
    }

    fn over(&mut self) {
        self.at = At::Over;
        self.held = Default::default();
        self.transaction[0].progress = [COMPLETE; 2];
        self.transaction[0].changed = [true; 2];
    }

    /// Take messages while they are whole.
    fn advance(&mut self) {
        loop {
            let d = match self.at {
                At::ServerVersion | At::SecurityType | At::SecurityTypes | At::Challenge | At::Result | At::Reason | At::ServerInit => 1,
                At::ClientVersion | At::Choice | At::Response | At::ClientInit => 0,
                At::Over => return,
            };
            let Some(length) = self.message(d) else { return };
            if let Some(cuts) = &mut self.cuts {
                cuts[d].push_back(length);
            }
            if self.at == At::Over {
                self.over();
                return;
            }
            self.held[d].drain(..length.min(self.held[d].len()));
            self.transaction[0].changed[d] = true;
        }
    }

    /// The message that is due, if it is whole: its length.
    fn message(&mut self, d: usize) -> Option<usize> {
        let held = std::mem::take(&mut self.held[d]);
        let length = self.take(d, &held);
        self.held[d] = held;
        length
    }

    fn take(&mut self, d: usize, bytes: &[u8]) -> Option<usize> {
        match self.at {
            At::ServerVersion | At::ClientVersion => {
                let text = bytes.get(..12)?;
                if !text.starts_with(b"RFB ") {
                    self.event(d, MALFORMED);
                    self.at = At::Over;
                    return Some(12);
                }
                self.versions[d] = text.try_into().ok();
                // The client's version counts (section 7.1.1).
                self.minor = text.get(8..11).and_then(|n| std::str::from_utf8(n).ok()?.parse().ok()).unwrap_or(3);
                self.at = match (self.at, self.minor) {
                    (At::ServerVersion, _) => At::ClientVersion,
                    (_, 0..=6) => At::SecurityType,
                    _ => At::SecurityTypes,
                };
                Some(12)
            }
            At::SecurityType => {
                let security = be32(bytes, 0)?;
                self.chosen(d, security);
                Some(4)
            }
            At::SecurityTypes => {
                let count = usize::from(*bytes.first()?);
                bytes.get(..1 + count)?;
                // None: the reason follows, and the connection is over.
                self.at = if count == 0 { At::Reason } else { At::Choice };
                Some(1 + count)
            }
            At::Choice => {
                let security = u32::from(*bytes.first()?);
                self.chosen(d, security);
                Some(1)
            }
            At::Challenge => {
                self.challenge = bytes.get(..16)?.to_vec();
                self.at = At::Response;
                Some(16)
            }
            At::Response => {
                self.response = bytes.get(..16)?.to_vec();
                self.at = At::Result;
                Some(16)
            }
            At::Result => {
                let result = be32(bytes, 0)?;
                self.result = Some(result);
                if result > 2 {
                    self.event(d, UNKNOWN_RESULT);
                }
                // Version 3.8 gives a reason (section 7.1.3).
                self.at = match (result, self.minor) {
                    (0, _) => At::ClientInit,
                    (_, 0..=7) => At::Over,
                    _ => At::Reason,
                };
                Some(4)
            }
            At::Reason => {
                let length = be32(bytes, 0)? as usize;
                let kept = length.min(NAME_MAX);
                self.reason = bytes.get(4..4 + kept)?.to_vec();
                self.at = At::Over;
                Some(4 + kept)
            }
            At::ClientInit => {
                self.shared = Some(*bytes.first()? != 0);
                self.at = At::ServerInit;
                Some(1)
            }
            At::ServerInit => {
                // Sizes and pixel format come before the name.
                let length = be32(bytes, 20)? as usize;
                let kept = length.min(NAME_MAX);
                self.name = bytes.get(24..24 + kept)?.to_vec();
                self.framebuffer = bytes.get(..20)?.try_into().ok();
                self.at = At::Over;
                Some(24 + kept)
            }
            At::Over => None,
        }
    }

    fn chosen(&mut self, d: usize, security: u32) {
        self.security = Some(security);
        self.at = match (security, self.minor) {
            (0, _) => At::Over,
            // Without authentication older versions send no result (section 7.1.3, appendix A.1).
            (1, 0..=7) => At::ClientInit,
            (1, _) => At::Result,
            (2, _) => At::Challenge,
            _ => {
                self.event(d, UNIMPLEMENTED);
                At::Over
            }
        };
    }
}

impl ProtocolState for RfbState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Rfb
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) if self.at != At::Over => {
                let room = WAITING_MAX.saturating_sub(self.held[d].len());
                self.held[d].extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                self.advance();
            }
            Input::Data(_) => {}
            Input::Gap(_) | Input::End => self.over(),
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transaction
    }

    fn buffer(&self, _index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        match (buffer, direction) {
            (Buffer::RfbName, Direction::ToClient) if !self.name.is_empty() => {
                BufferState::whole(&self.name)
            }
            (Buffer::RfbName, Direction::ToClient) if self.at != At::Over => BufferState::NotYet,
            _ => BufferState::Absent,
        }
    }

    fn number(&self, _index: usize, direction: Direction, name: &str) -> Option<u64> {
        match name {
            // As in Suricata, the type is the client's choice and the result the server's.
            "rfb.sectype" if direction == Direction::ToClient => None,
            "rfb.secresult" if direction == Direction::ToServer => None,
            "rfb.sectype" => self.security.map(u64::from),
            "rfb.secresult" => self.result.map(|result| u64::from(result.min(3))),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.transaction[0].changed = [false; 2];
    }

    fn is_open(&self, _direction: Direction) -> bool {
        self.at != At::Over
    }

    fn log(&self, _index: usize, out: &mut Vec<u8>) {
        let mut object = crate::json::Object::begin("rfb", out);
        for (key, d) in [("server_protocol_version", 1), ("client_protocol_version", 0)] {
            if let Some(version) = &self.versions[d] {
                object.object(key, |o| {
                    o.text("major", version.get(4..7));
                    o.text("minor", version.get(8..11));
                });
            }
        }
        object.object("authentication", |o| {
            if let Some(security) = self.security {
                o.number("security_type", security.into());
                if security == 2 {
                    o.object("vnc", |o| {
                        let hex = |bytes: &[u8]| crate::digest::hex(bytes);
                        o.text("challenge", Some(hex(&self.challenge).as_bytes()));
                        o.text("response", Some(hex(&self.response).as_bytes()));
                    });
                }
                if let Some(result) = self.result {
                    let name: &[u8] = match result {
                        0 => b"OK",
                        1 => b"FAIL",
                        2 => b"TOOMANY",
                        _ => b"UNKNOWN",
                    };
                    o.text("security_result", Some(name));
                }
            }
        });
        object.text("server_security_failure_reason", Some(&self.reason));
        if let Some(shared) = self.shared {
            object.flag("screen_shared", shared);
        }
        if let Some(init) = &self.framebuffer {
            let word = |at: usize| u64::from(init[at]) << 8 | u64::from(init[at + 1]);
            object.object("framebuffer", |o| {
                o.number("width", word(0));
                o.number("height", word(2));
                o.always("name", &self.name);
                // RFC 6143 section 7.4.
                o.object("pixel_format", |o| {
                    o.number("bits_per_pixel", init[4].into());
                    o.number("depth", init[5].into());
                    o.flag("big_endian", init[6] != 0);
                    o.flag("true_color", init[7] != 0);
                    for (name, at) in [("red_max", 8), ("green_max", 10), ("blue_max", 12)] {
                        o.number(name, word(at));
                    }
                    for (name, at) in [("red_shift", 14), ("green_shift", 15), ("blue_shift", 16)] {
                        o.number(name, init[at].into());
                    }
                });
            });
        }
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    #[test]
    fn a_handshake_in_any_order_of_arrival() {
        let server = [b"RFB 003.008\n\x01\x02".as_slice(), &[7; 16], &[0; 4], &[0; 20], b"\0\0\0\x04desk"].concat();
        let client = [b"RFB 003.008\n\x02".as_slice(), &[8; 16], &[1]].concat();
        for step in [1, 7, 1000] {
            let mut state = RfbState::new(&Default::default());
            client.chunks(step).for_each(|part| state.feed(ToServer, Input::Data(part), 1));
            server.chunks(step).for_each(|part| state.feed(ToClient, Input::Data(part), 2));
            assert_eq!((state.number(0, ToServer, "rfb.sectype"), state.number(0, ToClient, "rfb.secresult")), (Some(2), Some(0)));
            assert!(matches!(state.buffer(0, ToClient, Buffer::RfbName, 0), BufferState::Present(v) if v.bytes == b"desk"));
            assert!(state.transactions()[0].events.is_empty() && !state.is_open(ToServer));
        }
    }

    #[test]
    fn oddities() {
        let mut state = RfbState::new(&Default::default());
        state.feed(ToClient, Input::Data(b"RFB 003.003\n"), 1);
        state.feed(ToServer, Input::Data(b"RFB 003.003\n"), 2);
        state.feed(ToClient, Input::Data(b"\0\0\0\x63"), 3);
        assert_eq!(state.event_name(state.transactions()[0].events[0]), "unimplemented_security_type");
        let mut state = RfbState::new(&Default::default());
        state.feed(ToClient, Input::Data(b"not RFB at all"), 1);
        assert_eq!(state.event_name(state.transactions()[0].events[0]), "malformed_message");
    }

    #[test]
    fn the_server_says_why_it_refuses() {
        let server = [b"RFB 003.008\n\0".as_slice(), b"\0\0\0\x04busy"].concat();
        for step in [1, 100] {
            let mut state = RfbState::new(&Default::default());
            state.feed(ToServer, Input::Data(b"RFB 003.008\n"), 1);
            server.chunks(step).for_each(|part| state.feed(ToClient, Input::Data(part), 2));
            let mut log = Vec::new();
            state.log(0, &mut log);
            let log = String::from_utf8(log).unwrap();
            assert!(log.contains("\"server_security_failure_reason\":\"busy\"") && !state.is_open(ToClient), "{log}");
        }
        let mut state = RfbState::new(&Default::default());
        state.feed(ToServer, Input::Data(b"RFB 003.008\n"), 1);
        state.feed(ToClient, Input::Data(b"RFB 003.008\n\0\xff\xff\xff\xff"), 2);
        (0..100).for_each(|_| state.feed(ToClient, Input::Data(&[b'x'; 1000]), 2));
        assert!(state.reason.len() <= NAME_MAX);
    }
}
