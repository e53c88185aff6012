//! EVE objects of exchanges.

use super::parser::{Packet, kinds, number};
use crate::LogSettings;
use crate::json::Object;
use crate::wire::{be16, be32};

/// Longest text of a message that a log shows, where nothing else is set.
const TEXT_MAX: usize = 1024;

/// Appends the members of an exchange.
pub(super) fn write(packets: &[Packet], settings: &LogSettings, out: &mut Vec<u8>) {
    let passwords = settings.is("passwords", true);
    let most = settings.text("string-log-limit").and_then(size).unwrap_or(TEXT_MAX);
    let mut o = Object::begin("mqtt", out);
    for packet in packets {
        let Some(name) = name(packet.kind) else { continue };
        o.object(name, |o| {
            o.number("qos", u64::from(packet.flags >> 1 & 3));
            o.flag("retain", packet.flags & 1 != 0);
            o.flag("dup", packet.flags >> 3 & 1 != 0);
            members(o, packet, passwords, most);
            if !packet.properties.is_empty() {
                o.object("properties", |o| properties(o, &packet.properties));
            }
        });
    }
    o.end();
}

/// Bytes with a unit (`1kb`).
fn size(text: &str) -> Option<usize> {
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: usize = text[..at].parse().ok()?;
    match text[at..].trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(number),
        "kb" | "kib" => Some(number << 10),
        "mb" | "mib" => Some(number << 20),
        _ => None,
    }
}

fn name(kind: u8) -> Option<&'static str> {
    use kinds::*;
    Some(match kind {
        CONNECT => "connect",
        CONNACK => "connack",
        PUBLISH => "publish",
        PUBACK => "puback",
        PUBREC => "pubrec",
        PUBREL => "pubrel",
        PUBCOMP => "pubcomp",
        SUBSCRIBE => "subscribe",
        SUBACK => "suback",
        UNSUBSCRIBE => "unsubscribe",
        UNSUBACK => "unsuback",
        PINGREQ => "pingreq",
        PINGRESP => "pingresp",
        DISCONNECT => "disconnect",
        AUTH => "auth",
        _ => return None,
    })
}

fn members(o: &mut Object<'_>, p: &Packet, passwords: bool, most: usize) {
    use kinds::*;
    match p.kind {
        CONNECT => {
            o.always("protocol_string", &p.protocol);
            o.number("protocol_version", p.version.into());
            o.object("flags", |o| {
                for (name, bit) in [("username", 7), ("password", 6), ("will_retain", 5), ("will", 2), ("clean_session", 1)] {
                    o.flag(name, p.connect_flags >> bit & 1 != 0);
                }
            });
            o.always("client_id", &p.client);
            if p.connect_flags & 0x80 != 0 {
                o.always("username", &p.user);
            }
            if p.connect_flags & 0x40 != 0 && passwords {
                o.always("password", &p.password);
            }
            if p.connect_flags & 0x04 != 0 {
                o.object("will", |o| {
                    o.always("topic", &p.will_topic);
                    o.always("message", &p.will_message);
                    if !p.will_properties.is_empty() {
                        o.object("properties", |o| properties(o, &p.will_properties));
                    }
                });
            }
        }
        CONNACK => {
            o.flag("session_present", p.session_present.unwrap_or(false));
            o.number("return_code", p.reason.unwrap_or(0).into());
        }
        PUBLISH => {
            text(o, "topic", p.topics.first().map_or(&[], Vec::as_slice), most);
            identifier(o, p);
            text(o, "message", &p.payload, most);
        }
        PUBACK | PUBREC | PUBREL | PUBCOMP => {
            identifier(o, p);
            if let Some(reason) = p.reason {
                o.number("reason_code", reason.into());
            }
        }
        SUBSCRIBE => {
            identifier(o, p);
            o.objects("topics", p.topics.iter().zip(&p.options), |o, (topic, options)| {
                o.always("topic", topic);
                o.number("qos", u64::from(options & 3));
            });
        }
        UNSUBSCRIBE => {
            identifier(o, p);
            o.texts("topics", p.topics.iter().map(Vec::as_slice));
        }
        SUBACK => {
            identifier(o, p);
            o.numbers("qos_granted", p.reasons.iter().map(|r| u64::from(*r)));
        }
        UNSUBACK => {
            identifier(o, p);
            o.numbers("reason_codes", p.reasons.iter().map(|r| u64::from(*r)));
        }
        DISCONNECT | AUTH => {
            if let Some(reason) = p.reason {
                o.number("reason_code", reason.into());
            }
        }
        _ => {}
    }
}

fn identifier(o: &mut Object<'_>, p: &Packet) {
    if let Some(id) = p.id {
        o.number("message_id", id.into());
    }
}

/// A text that is cut where it is too long, and says so.
fn text(o: &mut Object<'_>, key: &str, value: &[u8], most: usize) {
    match value.get(..most) {
        Some(beginning) if value.len() > most => {
            let dropped = format!("[truncated {} additional bytes]", value.len() - most);
            o.always(key, &[beginning, dropped.as_bytes()].concat());
        }
        _ => o.always(key, value),
    }
}

/// Properties by name (MQTT 5.0 section 2.2.2.2).
fn properties(o: &mut Object<'_>, mut bytes: &[u8]) {
    let mut own = Vec::new();
    while let Some((&kind, rest)) = bytes.split_first() {
        let text = |at: usize| -> Option<(&[u8], usize)> {
            let length = usize::from(be16(rest, at)?);
            Some((rest.get(at + 2..at + 2 + length)?, at + 2 + length))
        };
        let byte = || rest.first().map(|b| (u64::from(*b), 1));
        let word = || be16(rest, 0).map(|n| (u64::from(n), 2));
        let long = || be32(rest, 0).map(|n| (u64::from(n), 4));
        let variable = || number(rest).and_then(Result::ok).map(|(n, octets)| (n as u64, octets));
        let named = match kind {
            0x01 => Some(("payload_format_indicator", byte())),
            0x02 => Some(("message_expiry_interval", long())),
            0x0b => Some(("subscription_identifier", variable())),
            0x11 => Some(("session_expiry_interval", long())),
            0x13 => Some(("server_keep_alive", word())),
            0x17 => Some(("request_problem_information", byte())),
            0x18 => Some(("will_delay_interval", long())),
            0x19 => Some(("request_response_information", byte())),
            0x21 => Some(("receive_maximum", word())),
            0x22 => Some(("topic_alias_maximum", word())),
            0x23 => Some(("topic_alias", word())),
            0x24 => Some(("maximum_qos", byte())),
            0x25 => Some(("retain_available", byte())),
            0x27 => Some(("maximum_packet_size", long())),
            0x28 => Some(("wildcard_subscription_available", byte())),
            0x29 => Some(("subscription_identifiers_available", byte())),
            0x2a => Some(("shared_subscription_available", byte())),
            _ => None,
        };
        let used = if let Some((key, value)) = named {
            let Some((value, used)) = value else { break };
            o.number(key, value);
            used
        } else if kind == 0x26 {
            // A pair of the user's own.
            let Some((name, at)) = text(0) else { break };
            let Some((value, at)) = text(at) else { break };
            own.push((name, value));
            at
        } else {
            let key = match kind {
                0x03 => "content_type",
                0x08 => "response_topic",
                0x09 => "correlation_data",
                0x12 => "assigned_client_identifier",
                0x15 => "authentication_method",
                0x16 => "authentication_data",
                0x1a => "response_information",
                0x1c => "server_reference",
                0x1f => "reason_string",
                _ => break,
            };
            let Some((value, at)) = text(0) else { break };
            o.always(key, value);
            at
        };
        bytes = rest.get(used..).unwrap_or(&[]);
    }
    o.objects("user_properties", own.iter(), |o, (name, value)| {
        o.always("key", name);
        o.always("value", value);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_json() {
        let packet = Packet {
            kind: kinds::PUBLISH,
            flags: 2,
            id: Some(7),
            topics: vec![b"a/b".to_vec()],
            payload: b"0123456789".to_vec(),
            properties: b"\x01\x01\x26\0\x01k\0\x01v\x23\0\x05".to_vec(),
            ..Packet::default()
        };
        let settings = LogSettings([("string-log-limit".to_owned(), "4".to_owned())].into());
        let mut out = b"{".to_vec();
        write(&[packet], &settings, &mut out);
        out.push(b'}');
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains("\"message\":\"0123[truncated 6 additional bytes]\""), "{text}");
        assert!(text.contains("\"properties\":{\"payload_format_indicator\":1,\"topic_alias\":5,\"user_properties\":[{\"key\":\"k\",\"value\":\"v\"}]}"), "{text}");
    }
}
