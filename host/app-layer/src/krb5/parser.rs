//! A message (RFC 4120 section 5).

use crate::ber::{self, SEQUENCE};

/// Most parts of a name.
const PARTS_MAX: usize = 32;

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Message type: 10 to 15, 30.
    pub kind: u64,
    pub error: Option<i64>,
    pub realm: Vec<u8>,
    /// Parts of the client's name.
    pub client: Vec<Vec<u8>>,
    /// Parts of the server's name.
    pub server: Vec<Vec<u8>>,
    /// Encryption of a reply, and of its ticket.
    pub encryption: Option<i64>,
    pub ticket: Option<i64>,
}

/// The members of a sequence by their context tags.
fn members(content: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = content;
    std::iter::from_fn(move || {
        let value = ber::next(&mut rest)?;
        Some((value.tag ^ 0xa0, value.content))
    })
}

fn number(mut content: &[u8]) -> Option<i64> {
    ber::signed(ber::expect(&mut content, ber::INTEGER)?)
}

/// The parts of a PrincipalName.
fn name(mut content: &[u8]) -> Vec<Vec<u8>> {
    let Some(sequence) = ber::expect(&mut content, SEQUENCE) else { return Vec::new() };
    let Some((_, mut strings)) = members(sequence).find(|(tag, _)| *tag == 1) else { return Vec::new() };
    let mut list = ber::expect(&mut strings, SEQUENCE).unwrap_or(&[]);
    std::iter::from_fn(|| ber::next(&mut list)).take(PARTS_MAX).map(|v| v.content.to_vec()).collect()
}

/// `etype` of an EncryptedData.
fn encryption(mut content: &[u8]) -> Option<i64> {
    members(ber::expect(&mut content, SEQUENCE)?).find(|(tag, _)| *tag == 0).and_then(|(_, n)| number(n))
}

fn text(mut content: &[u8]) -> Vec<u8> {
    ber::next(&mut content).map_or_else(Vec::new, |v| v.content.to_vec())
}

/// Take a message apart; none if it is malformed.
pub(super) fn message(bytes: &[u8]) -> Option<Message> {
    let outer = ber::next(&mut { bytes })?;
    let kind = u64::from(outer.tag & 0x1f);
    if outer.tag & 0xe0 != 0x60 || !matches!(kind, 10..=15 | 30) {
        return None;
    }
    let sequence = ber::expect(&mut { outer.content }, SEQUENCE)?;
    let mut out = Message { kind, ..Message::default() };
    let mut any = false;
    for (tag, mut content) in members(sequence) {
        any = true;
        match (kind, tag) {
            (10 | 12, 4) => {
                for (tag, content) in members(ber::expect(&mut content, SEQUENCE)?) {
                    match tag {
                        1 => out.client = name(content),
                        2 => out.realm = text(content),
                        3 => out.server = name(content),
                        _ => {}
                    }
                }
            }
            (11 | 13, 3) => out.realm = text(content),
            (11 | 13, 4) => out.client = name(content),
            (11 | 13, 5) => {
                let ticket = ber::expect(&mut content, 0x61)?;
                for (tag, content) in members(ber::expect(&mut { ticket }, SEQUENCE)?) {
                    match tag {
                        2 => out.server = name(content),
                        3 => out.ticket = encryption(content),
                        _ => {}
                    }
                }
            }
            (11 | 13, 6) => out.encryption = encryption(content),
            (30, 6) => out.error = number(content),
            (30, 8) => out.client = name(content),
            (30, 10) => out.server = name(content),
            _ => {}
        }
    }
    any.then_some(out)
}

/// Realm and server's name of the ticket of an AP-REQ (RFC 4120 sections 5.3 and 5.5.1).
pub(crate) fn ticket_of(mut bytes: &[u8]) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let mut request = ber::expect(&mut bytes, 0x6e)?;
    let (_, mut content) = members(ber::expect(&mut request, SEQUENCE)?).find(|(tag, _)| *tag == 3)?;
    let mut ticket = ber::expect(&mut content, 0x61)?;
    let (mut realm, mut server) = (Vec::new(), Vec::new());
    for (tag, content) in members(ber::expect(&mut ticket, SEQUENCE)?) {
        match tag {
            1 => realm = text(content),
            2 => server = name(content),
            _ => {}
        }
    }
    (!server.is_empty()).then_some((realm, server))
}

/// Encryption types that are no protection any more (RFC 6649, RFC 8429): DES, triple DES, RC4.
pub(super) fn is_weak(encryption: i64) -> bool {
    matches!(encryption, 1..=7 | 16 | 23 | 24)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, 0x82, (content.len() >> 8) as u8, content.len() as u8], content].concat()
    }

    fn principal(parts: &[&str]) -> Vec<u8> {
        let list: Vec<u8> = parts.iter().flat_map(|p| tlv(0x1b, p.as_bytes())).collect();
        tlv(SEQUENCE, &[tlv(0xa0, b"\x02\x01\x01"), tlv(0xa1, &tlv(SEQUENCE, &list))].concat())
    }

    /// A reply with these encryption types.
    pub fn reply(encryption: u8, ticket: u8) -> Vec<u8> {
        let encrypted = |n: u8| tlv(SEQUENCE, &tlv(0xa0, &[2, 1, n]));
        let ticket = tlv(0x61, &tlv(SEQUENCE, &[tlv(0xa2, &principal(&["cifs", "dc"])), tlv(0xa3, &encrypted(ticket))].concat()));
        let body = [
            tlv(0xa0, b"\x02\x01\x05"),
            tlv(0xa1, b"\x02\x01\x0d"),
            tlv(0xa3, &tlv(0x1b, b"REALM")),
            tlv(0xa4, &principal(&["eve"])),
            tlv(0xa5, &ticket),
            tlv(0xa6, &encrypted(encryption)),
        ];
        tlv(0x6d, &tlv(SEQUENCE, &body.concat()))
    }

    #[test]
    fn replies() {
        let bytes = reply(18, 23);
        let m = message(&bytes).expect("whole");
        assert_eq!((m.kind, m.encryption, m.ticket), (13, Some(18), Some(23)));
        assert_eq!((m.client, m.server, m.realm), (vec![b"eve".to_vec()], vec![b"cifs".to_vec(), b"dc".to_vec()], b"REALM".to_vec()));
        for n in 0..bytes.len() {
            assert_eq!(message(&bytes[..n]), None, "{n}");
        }
        assert!(is_weak(23) && !is_weak(18));
    }

    #[test]
    fn tickets_of_other_protocols() {
        let ticket = tlv(0x61, &tlv(SEQUENCE, &[tlv(0xa1, &tlv(0x1b, b"REALM")), tlv(0xa2, &principal(&["cifs", "dc"]))].concat()));
        let request = tlv(0x6e, &tlv(SEQUENCE, &tlv(0xa3, &ticket)));
        assert_eq!(ticket_of(&request), Some((b"REALM".to_vec(), vec![b"cifs".to_vec(), b"dc".to_vec()])));
        for n in 0..request.len() {
            assert_eq!(ticket_of(&request[..n]), None, "{n}");
        }
    }

    #[test]
    fn errors_and_requests() {
        let error = tlv(0x7e, &tlv(SEQUENCE, &[tlv(0xa6, &[2, 1, 25]), tlv(0xaa, &principal(&["krbtgt", "R"]))].concat()));
        let m = message(&error).expect("whole");
        assert_eq!((m.kind, m.error, m.server.len()), (30, Some(25), 2));
        let request = tlv(0x6a, &tlv(SEQUENCE, &tlv(0xa4, &tlv(SEQUENCE, &tlv(0xa1, &principal(&["bob"]))))));
        assert_eq!(message(&request).map(|m| (m.kind, m.client)), Some((10, vec![b"bob".to_vec()])));
        assert_eq!(message(b"\x30\x03abc"), None);
    }
}
