//! DHCP (RFC 2131, options of RFC 2132): each message is a transaction.

use crate::messages::Messages;
use crate::wire::be32;
use crate::{AppLayerConfig, Direction, Input, LogSettings, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

const EVENTS: [&str; 2] = ["malformed_options", "truncated_options"];
const MALFORMED: u16 = 0;
const TRUNCATED: u16 = 1;

/// Most options kept.
const OPTIONS_MAX: usize = 64;

/// The fixed part and the magic cookie (RFC 2131 section 2).
const OPTIONS: usize = 240;

/// What rules and logs ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Message {
    /// 1 request, 2 reply.
    operation: u8,
    id: u32,
    /// `ciaddr`, `yiaddr`, `siaddr`, `giaddr`.
    addresses: [[u8; 4]; 4],
    hardware: Vec<u8>,
    /// Options as they came, those that have no place of their own.
    options: Vec<(u8, Vec<u8>)>,
    kind: Option<u8>,
    lease: Option<u32>,
    renewal: Option<u32>,
    rebinding: Option<u32>,
}

/// Take the options apart; none if it is no DHCP message at all.
fn message(bytes: &[u8]) -> Option<(Message, Vec<u16>)> {
    let mut options = bytes.get(OPTIONS..)?;
    let (mut out, mut events) = (Message::default(), Vec::new());
    out.operation = *bytes.first()?;
    out.id = be32(bytes, 4)?;
    for (to, from) in out.addresses.iter_mut().zip(bytes.get(12..28)?.chunks_exact(4)) {
        to.copy_from_slice(from);
    }
    out.hardware = bytes.get(28..44)?.get(..usize::from(*bytes.get(2)?).min(16))?.to_vec();
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
                    code => {
                        if out.options.len() < OPTIONS_MAX {
                            out.options.push((*code, value.to_vec()));
                        }
                        continue;
                    }
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
        message.log(true, out);
    }

    fn log_as(&self, index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let Some((_, message)) = self.messages.get(index) else { return false };
        let extended = settings.is("extended", false);
        // Without `extended` only what gives an address is of interest.
        if !extended && message.kind != Some(5) {
            return false;
        }
        message.log(extended, out);
        true
    }
}

impl Message {
    fn option(&self, code: u8) -> Option<&[u8]> {
        self.options.iter().find(|(c, _)| *c == code).map(|(_, value)| value.as_slice())
    }

    fn log(&self, extended: bool, out: &mut Vec<u8>) {
        let mut o = crate::json::Object::begin("dhcp", out);
        o.text("type", Some(if self.operation == 1 { b"request" } else { b"reply" }));
        o.number("id", self.id.into());
        let colons = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
        o.text("client_mac", Some(colons(&self.hardware).as_bytes()));
        let dotted = |a: &[u8]| a.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
        let [client, assigned, next, relay] = self.addresses.map(|a| dotted(&a));
        o.text("assigned_ip", Some(assigned.as_bytes()));
        if extended {
            o.text("client_ip", Some(client.as_bytes()));
            if self.operation == 2 {
                o.text("relay_ip", Some(relay.as_bytes()));
                o.text("next_server_ip", Some(next.as_bytes()));
            }
        }
        if let Some(kind) = self.kind {
            o.text("dhcp_type", Some(kind_name(kind).as_bytes()));
        }
        if extended {
            for (name, value) in
                [("lease_time", self.lease), ("renewal_time", self.renewal), ("rebinding_time", self.rebinding)]
            {
                if let Some(value) = value {
                    o.number(name, value.into());
                }
            }
            if let Some(address) = self.option(50) {
                o.text("requested_ip", Some(dotted(address).as_bytes()));
            }
            if let Some(mask) = self.option(1) {
                o.text("subnet_mask", Some(dotted(mask).as_bytes()));
            }
        }
        o.text("hostname", self.option(12));
        if extended {
            for (name, code) in [("dns_servers", 6), ("routers", 3)] {
                let list: Vec<String> = self.option(code).unwrap_or_default().chunks_exact(4).map(dotted).collect();
                o.texts(name, list.iter().map(String::as_bytes));
            }
            let parameters = self.option(55).unwrap_or_default();
            o.texts("params", parameters.iter().filter_map(|code| parameter(*code)).map(str::as_bytes));
            // The first octet is the kind of hardware (RFC 2132 section 9.14).
            if let Some(identifier) = self.option(61).filter(|i| i.len() > 1) {
                let shown = if identifier[0] == 1 { &identifier[1..] } else { identifier };
                o.text("client_id", Some(colons(shown).as_bytes()));
            }
            o.text("vendor_class_identifier", self.option(60));
        }
        o.end();
    }
}

/// Message types (RFC 2132 section 9.6).
fn kind_name(kind: u8) -> String {
    const NAMES: [&str; 9] = ["unknown", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform"];
    NAMES.get(usize::from(kind)).map_or_else(|| format!("unknown/{kind}"), |name| (*name).to_owned())
}

/// Options that a client may ask for, those that have a name here.
fn parameter(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "subnet_mask",
        3 => "router",
        6 => "dns_server",
        15 => "domain",
        35 => "arp_timeout",
        42 => "ntp_server",
        66 => "tftp_server_name",
        150 => "tftp_server_ip",
        _ => return None,
    })
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
