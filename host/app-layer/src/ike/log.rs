//! The EVE object of a message.

use super::names;
use super::proposal::{Attributes, Proposal};
use super::state::{Entry, Said};
use crate::digest::hex;
use crate::json::Object;
use crate::Direction;

static NOTHING: Proposal = Proposal { protocol: 0, transforms: Vec::new() };

pub fn ike(entry: &Entry, direction: Direction, extended: bool, out: &mut Vec<u8>) {
    let m = &entry.message;
    let v1 = m.major() == 1;
    let mut o = Object::begin("ike", out);
    o.number("version_major", m.major().into());
    o.number("version_minor", (m.version & 0x0f).into());
    o.string("init_spi", hex(&m.initiator_spi).as_bytes());
    o.string("resp_spi", hex(&m.responder_spi).as_bytes());
    o.number("message_id", m.id.into());
    o.number("exchange_type", m.exchange.into());
    if extended {
        o.string("exchange_type_verbose", names::exchange(m.exchange).as_bytes());
    }
    if v1 {
        attributes(&mut o, &entry.chosen);
    } else {
        o.string("role", if m.is_responder() { b"responder" } else { b"initiator" });
        if m.is_responder() {
            let p = entry.selected.as_ref().unwrap_or(&NOTHING);
            o.string("alg_enc", if p.of(1) == 0 { "ENCR_NULL".to_owned() } else { names::encryption(p.of(1)) }.as_bytes());
            o.string("alg_auth", names::integrity(p.of(3)).as_bytes());
            o.string("alg_prf", names::prf(p.of(2)).as_bytes());
            o.string("alg_dh", names::group(p.of(4)).as_bytes());
            o.string("alg_esn", names::sequence(p.of(5)).as_bytes());
        }
    }
    let payloads: Vec<String> =
        m.payloads.iter().map(|kind| if v1 { names::payload_v1(*kind) } else { names::payload_v2(*kind) }).collect();
    o.texts_always("payload", payloads.iter().map(String::as_bytes));
    if v1 {
        o.object("ikev1", |o| {
            if let Some(domain) = entry.domain {
                o.number("doi", domain.into());
            }
            o.boolean("encrypted_payloads", m.is_encrypted());
            if m.is_encrypted() {
                return;
            }
            o.object("client", |o| {
                side(o, &entry.sides[0]);
                if direction == Direction::ToServer {
                    o.objects("proposals", entry.sides[0].transforms.iter(), |o, t| attributes(o, t));
                }
            });
            o.object("server", |o| side(o, &entry.sides[1]));
            let vendors: Vec<String> = m.vendors.iter().map(|v| hex(v)).collect();
            o.texts("vendor_ids", vendors.iter().map(String::as_bytes));
        });
    } else {
        o.object("ikev2", |o| {
            // Error types are below 16384 (RFC 7296 section 3.10.1).
            o.number("errors", m.notifications.iter().filter(|n| **n < 16_384).count() as u64);
            let notifications: Vec<String> = m.notifications.iter().map(|n| names::notification(*n)).collect();
            o.texts("notify", notifications.iter().map(String::as_bytes));
        });
    }
    o.end();
}

fn side(o: &mut Object<'_>, said: &Said) {
    for (key, length, bytes) in [
        ("key_exchange_payload", "key_exchange_payload_length", &said.key_exchange),
        ("nonce_payload", "nonce_payload_length", &said.nonce),
    ] {
        if !bytes.is_empty() {
            o.string(key, hex(bytes).as_bytes());
            o.number(length, bytes.len() as u64);
        }
    }
}

fn attributes(o: &mut Object<'_>, all: &Attributes) {
    let mut seen = Vec::new();
    for &(kind, value) in all {
        if let Some((key, name)) = names::attribute(kind, value)
            && !seen.contains(&kind)
        {
            seen.push(kind);
            o.string(key, name.as_bytes());
            o.number(&format!("{key}_raw"), value);
        }
    }
}
