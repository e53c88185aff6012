//! SNMP of one flow: each message is a transaction.

use super::parser::{Message, dotted, message};
use crate::messages::Messages;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 3] = ["malformed_data", "unknown_security_model", "version_mismatch"];

/// SNMP of one flow.
pub struct SnmpState {
    messages: Messages<Message>,
    version: Option<u64>,
}

impl SnmpState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        SnmpState { messages: Messages::new(config.transactions), version: None }
    }
}

impl ProtocolState for SnmpState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Snmp
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let Input::Data(bytes) = input else { return };
        let parsed = message(bytes);
        let mut events = Vec::new();
        match &parsed {
            None => events.push(0),
            Some(m) => {
                if m.unknown_model {
                    events.push(1);
                }
                // One flow keeps to one version.
                if self.version.is_some_and(|v| v != m.version) {
                    events.push(2);
                }
                self.version.get_or_insert(m.version);
            }
        }
        self.messages.push(direction, parsed.unwrap_or_default(), events);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        let message = self.messages.of(index, direction);
        let bytes = match buffer {
            Buffer::SnmpCommunity => message.and_then(|m| m.community.as_deref()),
            Buffer::SnmpUser => message.and_then(|m| m.user.as_deref()),
            _ => None,
        };
        bytes.map_or(BufferState::Absent, |bytes| BufferState::whole(bytes))
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let message = self.messages.of(index, direction).filter(|m| m.version > 0)?;
        match name {
            "snmp.version" => Some(message.version),
            "snmp.pdu_type" => message.pdu,
            "snmp.trap_type" => message.trap,
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

    fn log_kind(&self, index: usize) -> Option<&'static str> {
        // What could not be read has an event, and nothing to tell.
        self.messages.get(index).filter(|(_, m)| m.version > 0).map(|_| "snmp")
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((_, message)) = self.messages.get(index) else { return };
        let mut object = crate::json::Object::begin("snmp", out);
        object.number("version", message.version);
        let kind: &[u8] = match message.pdu {
            _ if message.encrypted => b"encrypted",
            Some(0) => b"get_request",
            Some(1) => b"get_next_request",
            Some(2) => b"response",
            Some(3) => b"set_request",
            Some(4) => b"trap_v1",
            Some(5) => b"get_bulk_request",
            Some(6) => b"inform_request",
            Some(7) => b"trap_v2",
            Some(8) => b"report",
            _ => b"unknown",
        };
        object.text("pdu_type", Some(kind));
        if message.error != 0 && message.pdu != Some(5) {
            object.text("error", Some(error_name(message.error).as_bytes()));
        }
        if let Some(trap) = message.trap {
            const NAMES: [&str; 7] = [
                "coldStart", "warmStart", "linkDown", "linkUp", "authenticationFailure", "egpNeighborLoss",
                "enterpriseSpecific",
            ];
            let name = usize::try_from(trap).ok().and_then(|n| NAMES.get(n)).copied();
            object.text("trap_type", Some(name.map_or_else(|| trap.to_string(), str::to_owned).as_bytes()));
            object.text("trap_oid", message.trap_object.as_deref().map(dotted).as_deref().map(str::as_bytes));
            if let Some(&[a, b, c, d]) = message.trap_agent.as_deref() {
                object.text("trap_address", Some(format!("{a}.{b}.{c}.{d}").as_bytes()));
            }
        }
        let names: Vec<String> = message.variables.iter().map(|v| dotted(v)).collect();
        object.texts("vars", names.iter().map(String::as_bytes));
        object.text("community", message.community.as_deref());
        if let Some(user) = message.user.as_ref().filter(|_| !message.encrypted) {
            object.always("usm", user);
        }
        object.end();
    }
}

/// Error status (RFC 3416 section 3).
fn error_name(code: u64) -> String {
    const NAMES: [&str; 19] = [
        "noError", "tooBig", "noSuchName", "badValue", "readOnly", "genErr", "noAccess", "wrongType", "wrongLength",
        "wrongEncoding", "wrongValue", "noCreation", "inconsistentValue", "resourceUnavailable", "commitFailed",
        "undoFailed", "authorizationError", "notWritable", "inconsistentName",
    ];
    usize::try_from(code).ok().and_then(|n| NAMES.get(n)).map_or_else(|| code.to_string(), |n| (*n).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_a_transaction() {
        let v2 = b"\x30\x19\x02\x01\x01\x04\x06public\xa0\x0c\x02\x01\x05\x02\x01\x00\x02\x01\x00\x30\x01\x00";
        let mut v1 = *v2;
        v1[4] = 0;
        let mut state = SnmpState::new(&Default::default());
        state.feed(Direction::ToServer, Input::Data(v2), 1);
        state.feed(Direction::ToServer, Input::Data(&v1), 2);
        state.feed(Direction::ToServer, Input::Data(b"junk"), 3);
        let events: Vec<_> = state.transactions().iter().map(|t| t.events.clone()).collect();
        assert_eq!(events, [vec![], vec![2], vec![0]]);
        assert_eq!(state.number(0, Direction::ToServer, "snmp.version"), Some(2));
        assert_eq!(state.number(0, Direction::ToClient, "snmp.version"), None);
        assert_eq!(state.number(2, Direction::ToServer, "snmp.version"), None);
        assert!(matches!(state.buffer(1, Direction::ToServer, Buffer::SnmpCommunity, 0), BufferState::Present(v) if v.bytes == b"public"));
    }
}
