//! Transactions, buffers and events of IKE.

use super::message::{Message, read};
use super::proposal::{Attributes, Proposal};
use super::{log, names};
use crate::messages::Messages;
use crate::{AppLayerConfig, BufferState, Direction, Input, LogSettings, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 13] = [
    "malformed_data", "no_encryption", "weak_crypto_enc", "weak_crypto_prf", "weak_crypto_dh", "weak_crypto_auth",
    "weak_crypto_no_dh", "weak_crypto_no_auth", "invalid_proposal", "unknown_proposal", "multiple_server_proposal",
    // Names of older versions.
    "weak_crypto_nodh", "weak_crypto_noauth",
];
const MALFORMED: u16 = 0;
const NO_ENCRYPTION: u16 = 1;
const WEAK_ENCRYPTION: u16 = 2;
const WEAK_PRF: u16 = 3;
const WEAK_GROUP: u16 = 4;
const WEAK_INTEGRITY: u16 = 5;
const NO_GROUP: u16 = 6;
const NO_INTEGRITY: u16 = 7;
const INVALID_PROPOSAL: u16 = 8;
const UNKNOWN_PROPOSAL: u16 = 9;
const MULTIPLE_PROPOSALS: u16 = 10;
const OLD_NO_GROUP: u16 = 11;
const OLD_NO_INTEGRITY: u16 = 12;

/// What a side said last, for the log.
#[derive(Debug, Clone, Default)]
pub struct Said {
    pub key_exchange: Vec<u8>,
    pub nonce: Vec<u8>,
    pub transforms: Vec<Attributes>,
}

/// A message, with what was known when it came.
#[derive(Debug)]
pub struct Entry {
    pub message: Message,
    /// Chosen by the responder of IKE 1.
    pub chosen: Attributes,
    /// Chosen by the responder of IKE 2.
    pub selected: Option<Proposal>,
    /// Domain and sides of IKE 1.
    pub domain: Option<u32>,
    pub sides: [Said; 2],
    spi: [String; 2],
    vendors: Vec<String>,
}

/// IKE of one flow.
pub struct IkeState {
    messages: Messages<Option<Box<Entry>>>,
    sides: [Said; 2],
    domain: Option<u32>,
    chosen: Attributes,
    selected: Option<Proposal>,
}

impl IkeState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        IkeState {
            messages: Messages::new(config.transactions),
            sides: Default::default(),
            domain: None,
            chosen: Vec::new(),
            selected: None,
        }
    }

    fn learn(&mut self, direction: Direction, m: &Message, events: &mut Vec<u16>) {
        if m.major() == 1 {
            if m.is_encrypted() {
                return;
            }
            self.domain = m.domain.or(self.domain);
            let side = Said { key_exchange: m.key_exchange.clone(), nonce: m.nonce.clone(), transforms: m.transforms.clone() };
            if direction == Direction::ToClient && !m.transforms.is_empty() {
                if m.transforms.len() > 1 {
                    events.push(MULTIPLE_PROPOSALS);
                }
                self.chosen = m.transforms[0].clone();
            }
            self.sides[direction as usize] = side;
            return;
        }
        if let Some(proposals) = &m.proposals {
            proposals.iter().for_each(|p| judge(p, events));
            if m.is_responder() {
                match proposals.as_slice() {
                    [one] => self.selected = Some(one.clone()),
                    [] => {}
                    _ => events.push(MULTIPLE_PROPOSALS),
                }
            }
        }
        if !m.is_responder() && m.key_group.is_some_and(is_weak_group) {
            events.push(WEAK_GROUP);
        }
    }
}

/// Groups of less than 2048 bits (RFC 8247 section 2.4).
fn is_weak_group(group: u16) -> bool {
    matches!(group, 1 | 2 | 5 | 22)
}

/// What is wrong with a proposal (RFC 8247; RFC 7296 section 3.3).
fn judge(proposal: &Proposal, events: &mut Vec<u16>) {
    for &(kind, id) in &proposal.transforms {
        match (kind, id) {
            (1, 1..=9 | 11) => events.push(WEAK_ENCRYPTION),
            (2, 0) => events.push(UNKNOWN_PROPOSAL),
            (2, 1 | 2) => events.push(WEAK_PRF),
            (3, 1..=7) => events.push(WEAK_INTEGRITY),
            (4, 0) => events.push(INVALID_PROPOSAL),
            (4, group) if is_weak_group(group) => events.push(WEAK_GROUP),
            (0 | 6.., _) => events.push(UNKNOWN_PROPOSAL),
            _ => {}
        }
    }
    let any = |is: &dyn Fn(&(u8, u16)) -> bool| proposal.transforms.iter().any(is);
    if !any(&|t| t.0 == 4) {
        events.extend([NO_GROUP, OLD_NO_GROUP]);
    }
    // The authentication header does not encrypt (RFC 7296 section 3.3.1).
    if proposal.protocol == 2 {
        events.push(NO_ENCRYPTION);
    }
    // Without integrity only where the encryption brings it.
    if !any(&|t| t.0 == 3 && t.1 != 0) && !any(&|t| t.0 == 1 && matches!(t.1, 14..=16 | 18..=20 | 25..=28)) {
        events.extend([NO_INTEGRITY, OLD_NO_INTEGRITY]);
    }
}

impl ProtocolState for IkeState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Ike
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let Input::Data(bytes) = input else { return };
        let Some(message) = read(bytes) else {
            self.messages.push(direction, None, vec![MALFORMED]);
            return;
        };
        let mut events = Vec::new();
        if message.malformed {
            events.push(MALFORMED);
        }
        self.learn(direction, &message, &mut events);
        let mut unique = Vec::new();
        events.into_iter().for_each(|e| if !unique.contains(&e) { unique.push(e) });
        let hex = crate::digest::hex;
        let entry = Entry {
            chosen: self.chosen.clone(),
            selected: self.selected.clone(),
            domain: self.domain,
            sides: if message.major() == 1 && !message.is_encrypted() { self.sides.clone() } else { Default::default() },
            spi: [hex(&message.initiator_spi), hex(&message.responder_spi)],
            vendors: message.vendors.iter().map(|v| hex(v)).collect(),
            message,
        };
        self.messages.push(direction, Some(Box::new(entry)), unique);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.messages.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(Some(entry)) = self.messages.of(index, direction) else { return BufferState::Absent };
        match buffer {
            Buffer::IkeInitiatorSpi => BufferState::whole(entry.spi[0].as_bytes()),
            Buffer::IkeResponderSpi => BufferState::whole(entry.spi[1].as_bytes()),
            // As in Suricata, of version 1.
            Buffer::IkeKeyExchangePayload | Buffer::IkeNoncePayload if entry.message.major() != 1 => BufferState::Absent,
            Buffer::IkeKeyExchangePayload => BufferState::filled(&entry.message.key_exchange),
            Buffer::IkeNoncePayload => BufferState::filled(&entry.message.nonce),
            Buffer::IkeVendor => entry.vendors.get(instance).map_or(BufferState::Absent, |v| BufferState::whole(v.as_bytes())),
            _ => BufferState::Absent,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let entry = self.messages.of(index, direction)?.as_ref()?;
        let m = &entry.message;
        match name {
            "ike.nonce_payload_length" | "ike.key_exchange_payload_length" if m.major() != 1 => None,
            "ike.exchtype" => Some(m.exchange.into()),
            "ike.nonce_payload_length" => (!m.nonce.is_empty()).then_some(m.nonce.len() as u64),
            "ike.key_exchange_payload_length" => (!m.key_exchange.is_empty()).then_some(m.key_exchange.len() as u64),
            _ => {
                // An attribute that the responder chose, by its name in the log.
                let name = name.strip_prefix("ike.chosen_sa_attribute.").filter(|_| direction == Direction::ToClient)?;
                if let (2, Some(selected)) = (m.major(), &entry.selected) {
                    let kind = ["alg_enc", "alg_prf", "alg_auth", "alg_dh", "alg_esn"].iter().position(|n| *n == name)?;
                    return selected.transforms.iter().find(|t| usize::from(t.0) == kind + 1).map(|t| t.1.into());
                }
                let is = |a: &&(u16, u64)| names::attribute(a.0, a.1).is_some_and(|(key, _)| key == name);
                m.transforms.first()?.iter().find(is).map(|a| a.1)
            }
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.messages.clear();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        // Rules are for every frame of IKE: what was chosen is only asked of the message that says it.
        false
    }

    fn log_direction(&self, index: usize) -> Option<Direction> {
        self.messages.get(index).map(|(direction, _)| *direction)
    }

    fn log_kind(&self, index: usize) -> Option<&'static str> {
        self.messages.get(index)?.1.as_ref().map(|_| "ike")
    }

    fn log_as(&self, index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let Some((direction, Some(entry))) = self.messages.get(index) else { return false };
        log::ike(entry, *direction, settings.is("extended", false), out);
        true
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        self.log_as(index, 0, &LogSettings::default(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    fn message(version: u8, exchange: u8, flags: u8, first: u8, payloads: &[u8]) -> Vec<u8> {
        let mut out = [&[1; 8][..], &[2; 8], &[first, version, exchange, flags], &[0, 0, 0, 0]].concat();
        out.extend((28 + payloads.len() as u32).to_be_bytes());
        out.extend_from_slice(payloads);
        out
    }

    fn payload(next: u8, data: &[u8]) -> Vec<u8> {
        [&[next, 0][..], &(4 + data.len() as u16).to_be_bytes(), data].concat()
    }

    fn log(s: &IkeState, index: usize) -> String {
        let mut out = Vec::new();
        s.log(index, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn events(s: &IkeState) -> Vec<&'static str> {
        s.transactions().iter().flat_map(|t| &t.events).map(|e| s.event_name(*e)).collect()
    }

    /// A proposal with transforms of a type and an identifier.
    fn proposal(transforms: &[(u8, u16)]) -> Vec<u8> {
        let body: Vec<u8> = transforms.iter().flat_map(|(t, id)| [&[3, 0, 0, 8, *t, 0][..], &id.to_be_bytes()].concat()).collect();
        [&[0, 0][..], &(8 + body.len() as u16).to_be_bytes(), &[1, 1, 0, transforms.len() as u8], &body].concat()
    }

    #[test]
    fn version_2() {
        let mut s = IkeState::new(&Default::default());
        let exchange = [payload(40, &[&[0, 2, 0, 0][..], b"public"].concat()), payload(33, b"nonce"), payload(0, &proposal(&[(1, 20), (2, 5), (4, 2)]))].concat();
        s.feed(ToServer, Input::Data(&message(0x20, 34, 8, 34, &exchange)), 1);
        assert_eq!(events(&s), ["weak_crypto_dh"]);
        assert_eq!(s.number(0, ToServer, "ike.exchtype"), Some(34));
        // Key exchange and nonce are looked at in version 1 only.
        assert!(s.buffer(0, ToServer, Buffer::IkeKeyExchangePayload, 0).is_absent());
        assert_eq!(s.number(0, ToServer, "ike.nonce_payload_length"), None);
        assert!(matches!(s.buffer(0, ToServer, Buffer::IkeInitiatorSpi, 0), BufferState::Present(v) if v.bytes == b"0101010101010101"));
        assert!(log(&s, 0).contains(r#""role":"initiator","payload":["KeyExchange","Nonce","SecurityAssociation","NoNextPayload"],"ikev2":{"errors":0}"#), "{}", log(&s, 0));
        s.mark_inspected();
        s.feed(ToClient, Input::Data(&message(0x20, 34, 0x20, 33, &payload(0, &proposal(&[(1, 12), (2, 1), (3, 0), (4, 19)])))), 2);
        assert_eq!(events(&s), ["weak_crypto_prf", "weak_crypto_no_auth", "weak_crypto_noauth"]);
        assert_eq!(s.number(0, ToClient, "ike.chosen_sa_attribute.alg_dh"), Some(19));
        assert!(log(&s, 0).contains(r#""alg_enc":"ENCR_AES_CBC","alg_auth":"NONE","alg_prf":"PRF_HMAC_MD5","alg_dh":"Ecp256","alg_esn":"NoESN""#));
        s.feed(ToServer, Input::Data(&message(0x20, 35, 8, 46, &payload(35, b"secret"))), 3);
        assert!(log(&s, 1).contains(r#""payload":["EncryptedAndAuthenticated","IdentInitiator"]"#), "{}", log(&s, 1));
    }

    #[test]
    fn version_1() {
        let transform = [&[0, 0, 0, 28, 1, 1, 0, 0][..], &[0x80, 1, 0, 7, 0x80, 14, 0, 128, 0, 12, 0, 4, 0, 1, 0x51, 0x80, 0x80, 4, 0, 2]].concat();
        let association = [&[0, 0, 0, 1, 0, 0, 0, 1][..], &[0, 0, 0, 8 + transform.len() as u8, 1, 1, 0, 1], &transform].concat();
        let payloads = [payload(13, &association), payload(10, b"vendor"), payload(0, b"nonce")].concat();
        let mut s = IkeState::new(&Default::default());
        s.feed(ToServer, Input::Data(&message(0x10, 2, 0, 1, &payloads)), 1);
        s.feed(ToClient, Input::Data(&message(0x10, 2, 0, 1, &payloads)), 2);
        s.feed(ToServer, Input::Data(&message(0x10, 5, 1, 8, b"secret")), 3);
        assert!(events(&s).is_empty());
        let text = log(&s, 0);
        assert!(text.contains(r#""proposals":[{"alg_enc":"EncAesCbc","alg_enc_raw":7,"sa_key_length":"Unknown","sa_key_length_raw":128,"sa_life_duration":"Unknown","sa_life_duration_raw":86400,"#), "{text}");
        assert!(text.contains(r#""vendor_ids":["76656e646f72"]"#), "{text}");
        assert_eq!(s.number(1, ToClient, "ike.chosen_sa_attribute.alg_dh"), Some(2));
        assert_eq!(s.number(0, ToServer, "ike.chosen_sa_attribute.alg_dh"), None);
        assert!(log(&s, 2).contains(r#""payload":["Hash"],"ikev1":{"doi":1,"encrypted_payloads":true}"#), "{}", log(&s, 2));
        assert!(matches!(s.buffer(0, ToServer, Buffer::IkeVendor, 0), BufferState::Present(v) if v.bytes == b"76656e646f72"));
        let marked = [&[0; 4][..], &message(0x20, 37, 8, 0, b"")].concat();
        s.feed(ToServer, Input::Data(&marked), 4);
        assert_eq!(s.number(3, ToServer, "ike.exchtype"), Some(37));
    }

    #[test]
    fn oddities_and_bounds() {
        let mut s = IkeState::new(&Default::default());
        s.feed(ToServer, Input::Data(b"short"), 1);
        s.feed(ToServer, Input::Data(&message(0x20, 34, 8, 33, &[0, 0, 0, 200, 1])), 1);
        assert_eq!(events(&s), ["malformed_data", "malformed_data"]);
        s.mark_inspected();
        let flood: Vec<u8> = payload(13, b"").repeat(10_000);
        (0..5_000).for_each(|_| s.feed(ToServer, Input::Data(&message(0x10, 2, 0, 13, &flood)), 1));
        assert!(s.transactions().len() <= 256);
        assert!(s.messages.get(0).and_then(|e| e.1.as_ref()).is_some_and(|e| e.vendors.len() <= 64));
        let many = proposal(&vec![(1, 12); 8_000]);
        s.mark_inspected();
        s.feed(ToClient, Input::Data(&message(0x20, 34, 8, 33, &payload(0, &many))), 1);
        assert!(s.messages.get(0).and_then(|e| e.1.as_ref()).is_some_and(|e| e.message.proposals.as_ref().is_some_and(Vec::is_empty)));
    }
}
