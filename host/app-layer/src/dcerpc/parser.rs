//! PDUs of the connection-oriented and the connectionless protocol.

use crate::wire::{be16, be32, le16, le32};

/// PDU types (C706 section 12.6.1).
pub(super) mod kinds {
    pub const REQUEST: u8 = 0;
    pub const RESPONSE: u8 = 2;
    pub const FAULT: u8 = 3;
    pub const REJECT: u8 = 6;
    pub const BIND: u8 = 11;
    pub const BIND_ACK: u8 = 12;
    pub const BIND_NAK: u8 = 13;
    pub const ALTER_CONTEXT: u8 = 14;
    pub const ALTER_CONTEXT_RESP: u8 = 15;
}

const FIRST_FRAGMENT: u8 = 0x01;
const LAST_FRAGMENT: u8 = 0x02;
const OBJECT_UUID: u8 = 0x80;

/// Length of the common header.
pub(crate) const HEADER: usize = 16;

/// Common header of a connection-oriented PDU (C706 section 12.6.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub kind: u8,
    pub first: bool,
    pub last: bool,
    object: bool,
    pub little: bool,
    pub fragment: usize,
    auth: usize,
    pub call: u32,
}

/// Numbers in the byte order of the sender's data representation.
fn u16_at(bytes: &[u8], at: usize, little: bool) -> Option<u16> {
    if little { le16(bytes, at) } else { be16(bytes, at) }
}

fn u32_at(bytes: &[u8], at: usize, little: bool) -> Option<u32> {
    if little { le32(bytes, at) } else { be32(bytes, at) }
}

/// The header at the beginning of `bytes`; none if it is too short or none.
pub(super) fn header(bytes: &[u8]) -> Option<Header> {
    let head = bytes.get(..HEADER)?;
    let little = head[4] & 0x10 != 0;
    let fragment = usize::from(u16_at(head, 8, little)?);
    (head[0] == 5 && head[1] <= 1 && fragment >= HEADER).then_some(Header {
        kind: head[2],
        first: head[3] & FIRST_FRAGMENT != 0,
        last: head[3] & LAST_FRAGMENT != 0,
        object: head[3] & OBJECT_UUID != 0 && head[2] == kinds::REQUEST,
        little,
        fragment,
        auth: usize::from(u16_at(head, 10, little)?),
        call: u32_at(head, 12, little)?,
    })
}

/// Length of the PDU that begins here; none if none does, or its header is not whole.
pub(crate) fn fragment_length(bytes: &[u8]) -> Option<usize> {
    header(bytes).map(|h| h.fragment)
}

/// A UUID in the order of its text.
pub(super) fn uuid(bytes: &[u8], little: bool) -> Option<[u8; 16]> {
    let mut out: [u8; 16] = bytes.get(..16)?.try_into().ok()?;
    if little {
        out[..4].reverse();
        out[4..6].reverse();
        out[6..8].reverse();
    }
    Some(out)
}

/// A presentation context that is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    pub context: u16,
    pub uuid: [u8; 16],
    pub version: u16,
}

/// Contexts of a bind or alter_context PDU (C706 section 12.6.4.3), as far as they are whole.
pub(super) fn offers(pdu: &[u8], little: bool) -> Vec<Offer> {
    let mut out = Vec::new();
    let Some(count) = pdu.get(HEADER + 8).copied() else { return out };
    let mut at = HEADER + 12;
    for _ in 0..count {
        let item = || {
            let syntaxes = usize::from(*pdu.get(at + 2)?);
            let offer = Offer {
                context: u16_at(pdu, at, little)?,
                uuid: uuid(pdu.get(at + 4..)?, little)?,
                version: u16_at(pdu, at + 20, little)?,
            };
            Some((offer, 24 + 20 * syntaxes))
        };
        let Some((offer, length)) = item() else { break };
        out.push(offer);
        at += length;
    }
    out
}

/// Results of a bind_ack or alter_context_resp PDU in the order of the offers, with their reasons: 0 is acceptance
/// (C706 section 12.6.4.4).
pub(super) fn results(pdu: &[u8], little: bool) -> Vec<(u16, u16)> {
    let begin = || {
        let address = usize::from(u16_at(pdu, HEADER + 8, little)?);
        // The list is aligned to four bytes behind the secondary address.
        let at = (HEADER + 10 + address).next_multiple_of(4);
        Some((at + 4, *pdu.get(at)?))
    };
    let Some((first, count)) = begin() else { return Vec::new() };
    (0..usize::from(count)).map_while(|n| {
        let at = first + 24 * n;
        Some((u16_at(pdu, at, little)?, u16_at(pdu, at + 2, little)?))
    }).collect()
}

/// The body of a request or response: context, operation number (requests), stub data with what authenticates it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body<'a> {
    pub context: u16,
    pub operation: u16,
    pub stub: &'a [u8],
}

/// Body of a request or response PDU (C706 sections 12.6.4.9 and 12.6.4.10). As in Suricata the authentication trailer
/// belongs to the stub data, and so do, in responses that come over TCP (`direct`), the eight bytes before them.
pub(super) fn body<'a>(pdu: &'a [u8], header: &Header, direct: bool) -> Option<Body<'a>> {
    let response = direct && header.kind == kinds::RESPONSE;
    let start = HEADER + if response { 0 } else { 8 } + if header.object { 16 } else { 0 };
    let end = header.fragment.min(pdu.len()).max(start);
    Some(Body {
        context: u16_at(pdu, HEADER + 4, header.little)?,
        operation: u16_at(pdu, HEADER + 6, header.little)?,
        stub: pdu.get(start..end)?,
    })
}

/// A connectionless PDU (C706 section 12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Datagram<'a> {
    pub kind: u8,
    pub last: bool,
    pub little: bool,
    pub interface: [u8; 16],
    pub version: u16,
    pub activity: [u8; 16],
    pub sequence: u32,
    pub operation: u16,
    pub stub: &'a [u8],
}

/// Take a datagram apart.
pub(super) fn datagram(bytes: &[u8]) -> Option<Datagram<'_>> {
    let head = bytes.get(..80)?;
    if head[0] != 4 {
        return None;
    }
    let little = head[4] & 0x10 != 0;
    // First flags: 0x02 last fragment, 0x04 fragment.
    let last = head[2] & 0x04 == 0 || head[2] & 0x02 != 0;
    let length = usize::from(u16_at(head, 74, little)?);
    let stub = bytes.get(80..)?;
    Some(Datagram {
        kind: head[1],
        last,
        little,
        interface: uuid(head.get(24..40)?, little)?,
        activity: uuid(head.get(40..56)?, little)?,
        version: u32_at(head, 60, little)? as u16,
        sequence: u32_at(head, 64, little)?,
        operation: u16_at(head, 68, little)?,
        stub: stub.get(..length).unwrap_or(stub),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A PDU, little-endian.
    pub fn pdu(kind: u8, flags: u8, call: u32, body: &[u8]) -> Vec<u8> {
        let length = (HEADER + body.len()) as u16;
        let mut out = vec![5, 0, kind, flags, 0x10, 0, 0, 0];
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&call.to_le_bytes());
        out.extend_from_slice(body);
        out
    }

    pub const UUID: [u8; 16] = [0x36, 0x7a, 0xbb, 0x81, 0x98, 0x44, 0x35, 0xf1, 0xad, 0x32, 0x98, 0xf0, 0x38, 0, 0x10, 3];

    /// A bind with one context.
    pub fn bind(call: u32, context: u16, uuid: [u8; 16], version: u16) -> Vec<u8> {
        let mut body = vec![0xb8, 0x10, 0xb8, 0x10, 0, 0, 0, 0, 1, 0, 0, 0];
        body.extend_from_slice(&context.to_le_bytes());
        body.extend_from_slice(&[1, 0]);
        let mut wire = uuid;
        wire[..4].reverse();
        wire[4..6].reverse();
        wire[6..8].reverse();
        body.extend_from_slice(&wire);
        body.extend_from_slice(&version.to_le_bytes());
        body.extend_from_slice(&[0; 2 + 20]);
        pdu(kinds::BIND, 3, call, &body)
    }

    /// Its acceptance, or refusal.
    pub fn bind_ack(call: u32, result: u16) -> Vec<u8> {
        let mut body = vec![0xb8, 0x10, 0xb8, 0x10, 1, 0, 0, 0, 4, 0, b'1', b'3', b'5', 0, 0, 0, 1, 0, 0, 0];
        body.extend_from_slice(&result.to_le_bytes());
        body.extend_from_slice(&[0; 22]);
        pdu(kinds::BIND_ACK, 3, call, &body)
    }

    /// A request.
    pub fn request(call: u32, flags: u8, context: u16, operation: u16, stub: &[u8]) -> Vec<u8> {
        let mut body = (stub.len() as u32).to_le_bytes().to_vec();
        body.extend_from_slice(&context.to_le_bytes());
        body.extend_from_slice(&operation.to_le_bytes());
        body.extend_from_slice(stub);
        pdu(kinds::REQUEST, flags, call, &body)
    }

    #[test]
    fn contexts_and_results() {
        let bytes = bind(1, 7, UUID, 2);
        let h = header(&bytes).expect("whole");
        assert_eq!((h.kind, h.first, h.last, h.little, h.fragment, h.call), (kinds::BIND, true, true, true, bytes.len(), 1));
        assert_eq!(offers(&bytes, true), [Offer { context: 7, uuid: UUID, version: 2 }]);
        assert_eq!(offers(&bytes[..30], true), []);
        assert_eq!(results(&bind_ack(1, 2), true), [(2, 0)]);
        assert_eq!(results(&bind_ack(1, 2)[..20], true), [] as [(u16, u16); 0]);
    }

    #[test]
    fn bodies() {
        let bytes = request(9, 3, 1, 15, b"stub");
        let h = header(&bytes).expect("whole");
        assert_eq!(body(&bytes, &h, true), Some(Body { context: 1, operation: 15, stub: b"stub" }));
        // Cut short.
        assert_eq!(body(&bytes[..26], &h, true).map(|b| b.stub), Some(&b"st"[..]));
        // A response over TCP has what stands before its stub data as well.
        let h = Header { kind: kinds::RESPONSE, ..h };
        assert_eq!(body(&bytes, &h, true).map(|b| b.stub.len()), Some(12));
        assert_eq!(body(&bytes, &h, false).map(|b| b.stub), Some(&b"stub"[..]));
        assert_eq!(body(&bytes[..20], &h, false), None);
    }

    #[test]
    fn datagrams() {
        let mut bytes = vec![0; 80];
        (bytes[0], bytes[4], bytes[68], bytes[74]) = (4, 0x10, 3, 2);
        bytes.extend_from_slice(b"xyz");
        let d = datagram(&bytes).expect("whole");
        assert_eq!((d.kind, d.operation, d.stub, d.last), (0, 3, &b"xy"[..], true));
        assert_eq!(datagram(&bytes[..79]), None);
    }
}
