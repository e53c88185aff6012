//! A message: header and payloads.

use super::proposal::{self, Attributes, Proposal};
use crate::wire::{be16, be32};

/// Length of the header (RFC 7296 section 3.1).
const HEADER: usize = 28;
/// Most payloads that are read of a message.
const PAYLOADS_MAX: usize = 64;

/// What a message carries.
#[derive(Debug, Clone, Default)]
pub struct Message {
    pub initiator_spi: [u8; 8],
    pub responder_spi: [u8; 8],
    pub version: u8,
    pub exchange: u8,
    pub flags: u8,
    pub id: u32,
    /// Kinds in order; of IKE 1 each once, with proposals and transforms.
    pub payloads: Vec<u8>,
    pub domain: Option<u32>,
    pub transforms: Vec<Attributes>,
    pub proposals: Option<Vec<Proposal>>,
    pub key_exchange: Vec<u8>,
    pub key_group: Option<u16>,
    pub nonce: Vec<u8>,
    pub notifications: Vec<u16>,
    pub vendors: Vec<Vec<u8>>,
    /// The payloads end before they say so.
    pub malformed: bool,
}

impl Message {
    pub fn major(&self) -> u8 {
        self.version >> 4
    }

    /// The sender of IKE 2 did not initiate the association, whoever began the flow (RFC 7296 section 3.1).
    pub fn is_responder(&self) -> bool {
        self.flags & 8 == 0
    }

    /// The payloads of IKE 1 are encrypted (RFC 2408 section 3.1).
    pub fn is_encrypted(&self) -> bool {
        self.major() == 1 && self.flags & 1 != 0
    }
}

/// Read a message; none: it is none.
pub fn read(bytes: &[u8]) -> Option<Message> {
    // Behind the port for address translation four zero bytes tell IKE from ESP (RFC 3948 section 2.2).
    let marked = bytes.starts_with(&[0; 4]) && be32(bytes, 4 + 24) == u32::try_from(bytes.len() - 4).ok();
    let bytes = if marked { &bytes[4..] } else { bytes };
    let mut m = Message {
        initiator_spi: bytes.get(..8)?.try_into().ok()?,
        responder_spi: bytes.get(8..16)?.try_into().ok()?,
        version: *bytes.get(17)?,
        exchange: *bytes.get(18)?,
        flags: *bytes.get(19)?,
        id: be32(bytes, 20)?,
        ..Message::default()
    };
    let length = usize::try_from(be32(bytes, 24)?).ok()?;
    if !matches!(m.major(), 1 | 2) || length < HEADER {
        return None;
    }
    let data = bytes.get(HEADER..length.min(bytes.len()))?;
    m.malformed = length > bytes.len();
    payloads(&mut m, bytes[16], data);
    Some(m)
}

fn payloads(m: &mut Message, first: u8, mut data: &[u8]) {
    let mut kind = first;
    if m.is_encrypted() {
        m.payloads.push(kind);
        return;
    }
    let v1 = m.major() == 1;
    for _ in 0..PAYLOADS_MAX {
        if kind == 0 {
            break;
        }
        let Some(length) = be16(data, 2).map(usize::from).filter(|n| *n >= 4 && *n <= data.len()) else {
            m.malformed = true;
            return;
        };
        if !v1 || !m.payloads.contains(&kind) {
            m.payloads.push(kind);
        }
        let next = data[0];
        if v1 {
            payload_v1(m, kind, &data[4..length]);
        } else {
            payload_v2(m, kind, &data[4..length]);
        }
        kind = next;
        data = &data[length..];
        // What is encrypted names its first payload, and is the last.
        if !v1 && m.payloads.last() == Some(&46) {
            break;
        }
    }
    if !v1 {
        m.payloads.push(kind);
    }
}

fn payload_v1(m: &mut Message, kind: u8, data: &[u8]) {
    match kind {
        1 => {
            if let Some((domain, transforms)) = proposal::association_v1(data, &mut m.payloads) {
                m.domain = Some(domain);
                m.transforms = transforms;
            }
        }
        4 => m.key_exchange = data.to_vec(),
        10 => m.nonce = data.to_vec(),
        11 => m.notifications.extend(be16(data, 6)),
        13 => m.vendors.push(data.to_vec()),
        _ => {}
    }
}

fn payload_v2(m: &mut Message, kind: u8, data: &[u8]) {
    match kind {
        33 => m.proposals = Some(proposal::association_v2(data)),
        34 => {
            m.key_group = be16(data, 0);
            m.key_exchange = data.get(4..).unwrap_or(&[]).to_vec();
        }
        40 => m.nonce = data.to_vec(),
        41 => m.notifications.extend(be16(data, 2)),
        43 => m.vendors.push(data.to_vec()),
        _ => {}
    }
}
