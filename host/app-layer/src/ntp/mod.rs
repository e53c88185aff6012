//! NTP (RFC 5905): each message is a transaction.

use crate::messages::Messages;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 1] = ["malformed_data"];

/// The fields rules ask for (RFC 5905 section 7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Message {
    version: u8,
    mode: u8,
    stratum: u8,
    reference: [u8; 4],
}

/// Take a message apart. Control messages (mode 6) and private ones (mode 7) are shorter.
fn message(bytes: &[u8]) -> Option<Message> {
    let &[first, stratum, ..] = bytes else { return None };
    let (version, mode) = (first >> 3 & 7, first & 7);
    let least = if mode >= 6 { 8 } else { 48 };
    let reference = bytes.get(12..16).and_then(|b| b.try_into().ok()).filter(|_| mode < 6).unwrap_or_default();
    (bytes.len() >= least && (1..=4).contains(&version)).then_some(Message { version, mode, stratum, reference })
}

/// NTP of one flow.
pub struct NtpState {
    messages: Messages<Option<Message>>,
}

impl NtpState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        NtpState { messages: Messages::new(config.transactions) }
    }
}

impl ProtocolState for NtpState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Ntp
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let Input::Data(bytes) = input else { return };
        let parsed = message(bytes);
        let events = if parsed.is_none() { vec![0] } else { Vec::new() };
        self.messages.push(direction, parsed, events);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        match (self.messages.of(index, direction), buffer) {
            (Some(Some(message)), Buffer::NtpReferenceId) => BufferState::whole(&message.reference),
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let message = (*self.messages.of(index, direction)?)?;
        match name {
            "ntp.version" => Some(message.version.into()),
            "ntp.mode" => Some(message.mode.into()),
            "ntp.stratum" => Some(message.stratum.into()),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.messages.clear();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        false
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((_, Some(message))) = self.messages.get(index) else { return };
        let mut object = crate::json::Object::begin("ntp", out);
        object.number("version", message.version.into());
        object.number("mode", message.mode.into());
        object.number("stratum", message.stratum.into());
        let [a, b, c, d] = message.reference;
        object.text("reference_id", Some(format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}").as_bytes()));
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let mut bytes = vec![0x23, 1];
        bytes.resize(48, 0);
        bytes[12..16].copy_from_slice(b"GPS\0");
        let mut state = NtpState::new(&Default::default());
        state.feed(Direction::ToServer, Input::Data(&bytes), 1);
        state.feed(Direction::ToServer, Input::Data(&bytes[..20]), 2);
        assert_eq!(state.number(0, Direction::ToServer, "ntp.version"), Some(4));
        assert_eq!(state.number(0, Direction::ToServer, "ntp.mode"), Some(3));
        let reference = state.buffer(0, Direction::ToServer, Buffer::NtpReferenceId, 0);
        assert!(matches!(reference, BufferState::Present(view) if view.bytes == b"GPS\0"));
        assert_eq!(state.number(1, Direction::ToServer, "ntp.version"), None);
        assert_eq!(state.event_name(state.transactions()[1].events[0]), "malformed_data");
    }
}
