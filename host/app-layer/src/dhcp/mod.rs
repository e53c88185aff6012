//! DHCP (RFC 2131, options of RFC 2132): each message is a transaction.

use crate::messages::Messages;
use crate::wire::be32;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 2] = ["malformed_options", "truncated_options"];
const MALFORMED: u16 = 0;
const TRUNCATED: u16 = 1;

/// The fixed part and the magic cookie (RFC 2131 section 2).
const OPTIONS: usize = 240;

/// What rules ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Message {
    kind: Option<u8>,
    lease: Option<u32>,
    renewal: Option<u32>,
    rebinding: Option<u32>,
}

/// Take the options apart; none if it is no DHCP message at all.
fn message(bytes: &[u8]) -> Option<(Message, Vec<u16>)> {
    let mut options = bytes.get(OPTIONS..)?;
    let (mut out, mut events) = (Message::default(), Vec::new());
    if bytes.get(236..OPTIONS)? != [0x63, 0x82, 0x53, 0x63] {
        return None;
    }
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [255, ..] => break,
            [code, length, rest @ ..] if rest.len() >= usize::from(*length) => {
                let (value, behind) = rest.split_at(usize::from(*length));
                options = behind;
                let number = || be32(value, 0).filter(|_| value.len() == 4);
                let slot = match code {
                    51 => &mut out.lease,
                    58 => &mut out.renewal,
                    59 => &mut out.rebinding,
                    53 => {
                        out.kind = value.first().copied();
                        continue;
                    }
                    _ => continue,
                };
                *slot = number();
                if slot.is_none() {
                    events.push(MALFORMED);
                }
            }
            // The options end without their end, or in the midst of one.
            _ => {
                events.push(TRUNCATED);
                break;
            }
        }
    }
    events.dedup();
    Some((out, events))
}

/// DHCP of one flow.
pub struct DhcpState {
    messages: Messages<Message>,
}

impl DhcpState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        DhcpState { messages: Messages::new(config.transactions) }
    }
}

impl ProtocolState for DhcpState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Dhcp
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let Input::Data(bytes) = input else { return };
        let (message, events) = message(bytes).unwrap_or((Message::default(), vec![MALFORMED]));
        self.messages.push(direction, message, events);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn buffer(&self, _index: usize, _direction: Direction, _buffer: Buffer, _instance: usize) -> BufferState<'_> {
        BufferState::Absent
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let message = self.messages.of(index, direction)?;
        match name {
            "dhcp.leasetime" => message.lease.map(u64::from),
            "dhcp.renewal_time" => message.renewal.map(u64::from),
            "dhcp.rebinding_time" => message.rebinding.map(u64::from),
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
        let Some((_, message)) = self.messages.get(index) else { return };
        let mut object = crate::json::Object::begin("dhcp", out);
        if let Some(kind) = message.kind {
            object.number("dhcp_type", kind.into());
        }
        if let Some(lease) = message.lease {
            object.number("lease_time", lease.into());
        }
        object.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(options: &[u8]) -> Option<(Message, Vec<u16>)> {
        let mut bytes = vec![0; 236];
        bytes.extend_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        bytes.extend_from_slice(options);
        message(&bytes)
    }

    #[test]
    fn options() {
        let (m, events) = with(b"\x35\x01\x02\0\x33\x04\0\0\x0e\x10\x3a\x04\0\0\x07\x08\xff").expect("DHCP");
        assert_eq!((m.kind, m.lease, m.renewal, m.rebinding), (Some(2), Some(3600), Some(1800), None));
        assert!(events.is_empty());
        assert_eq!(with(b"\x33\x02\0\0\xff").map(|m| m.1), Some(vec![MALFORMED]));
        assert_eq!(with(b"\x33\x04\0").map(|m| m.1), Some(vec![TRUNCATED]));
        assert_eq!(with(b"").map(|m| m.1), Some(vec![TRUNCATED]));
        assert_eq!(message(&[0; 300]), None);
    }
}
