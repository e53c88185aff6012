//! A message.

use crate::ber::{self, INTEGER, OCTETS, SEQUENCE};

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// 1, 2 or 3.
    pub version: u64,
    pub community: Option<Vec<u8>>,
    /// Name of the user-based security model (RFC 3414 section 2.4).
    pub user: Option<Vec<u8>>,
    /// Number of the PDU's tag (RFC 3416 section 3); none if it is encrypted.
    pub pdu: Option<u64>,
    /// Generic trap of version 1 (RFC 1157 section 4.1.6).
    pub trap: Option<u64>,
    /// Enterprise and agent of a trap of version 1.
    pub trap_object: Option<Vec<u8>>,
    pub trap_agent: Option<Vec<u8>>,
    /// Object identifiers of the variable bindings.
    pub variables: Vec<Vec<u8>>,
    /// Error of a response (RFC 3416 section 3).
    pub error: u64,
    /// The PDU is encrypted.
    pub encrypted: bool,
    /// The security model is not the user-based one.
    pub unknown_model: bool,
}

/// Take a message apart; none if it is malformed.
pub(super) fn message(bytes: &[u8]) -> Option<Message> {
    let mut input = ber::expect(&mut { bytes }, SEQUENCE)?;
    let version = ber::unsigned(ber::expect(&mut input, INTEGER)?)?;
    let mut out = Message { version: version.saturating_add(1), ..Message::default() };
    // 0 is SNMPv1, 1 is SNMPv2c, 3 is SNMPv3.
    match version {
        0 | 1 => {
            out.community = Some(ber::expect(&mut input, OCTETS)?.to_vec());
            pdu(&mut input, &mut out)?;
        }
        3 => {
            out.version = 3;
            let mut header = ber::expect(&mut input, SEQUENCE)?;
            let (_id, _size) = (ber::expect(&mut header, INTEGER)?, ber::expect(&mut header, INTEGER)?);
            let flags = *ber::expect(&mut header, OCTETS)?.first()?;
            let model = ber::unsigned(ber::expect(&mut header, INTEGER)?)?;
            let security = ber::expect(&mut input, OCTETS)?;
            out.unknown_model = model != 3;
            if model == 3 {
                let mut parameters = ber::expect(&mut { security }, SEQUENCE)?;
                ber::expect(&mut parameters, OCTETS)?;
                ber::expect(&mut parameters, INTEGER)?;
                ber::expect(&mut parameters, INTEGER)?;
                out.user = Some(ber::expect(&mut parameters, OCTETS)?.to_vec());
            }
            // The scoped PDU is plain unless privacy is on (RFC 3412 section 6.4).
            if flags & 2 == 0 {
                let mut scoped = ber::expect(&mut input, SEQUENCE)?;
                ber::expect(&mut scoped, OCTETS)?;
                ber::expect(&mut scoped, OCTETS)?;
                pdu(&mut scoped, &mut out)?;
            } else {
                out.encrypted = true;
            }
        }
        _ => return None,
    }
    Some(out)
}

fn pdu(input: &mut &[u8], out: &mut Message) -> Option<()> {
    // Kinds 0 to 8 (RFC 3416 section 3).
    let value = ber::next(input).filter(|v| matches!(v.tag, 0xa0..=0xa8))?;
    let kind = u64::from(value.tag & 0x1f);
    out.pdu = Some(kind);
    if kind == 4 {
        let mut trap = value.content;
        let (enterprise, agent) = (ber::next(&mut trap)?, ber::next(&mut trap)?);
        out.trap = Some(ber::unsigned(ber::expect(&mut trap, INTEGER)?)?);
        (out.trap_object, out.trap_agent) = (Some(enterprise.content.to_vec()), Some(agent.content.to_vec()));
        let _ = (ber::next(&mut trap), ber::next(&mut trap));
        bindings(trap, out);
    } else {
        let mut rest = value.content;
        ber::next(&mut rest);
        out.error = ber::next(&mut rest).and_then(|v| ber::unsigned(v.content)).unwrap_or(0);
        ber::next(&mut rest);
        bindings(rest, out);
    }
    Some(())
}

/// Most variable bindings whose names are kept.
const BINDINGS_MAX: usize = 64;

fn bindings(mut input: &[u8], out: &mut Message) {
    let Some(mut list) = ber::expect(&mut input, SEQUENCE) else { return };
    while let Some(binding) = ber::next(&mut list).filter(|_| out.variables.len() < BINDINGS_MAX) {
        if let Some(name) = ber::next(&mut { binding.content }) {
            out.variables.push(name.content.to_vec());
        }
    }
}

/// An object identifier with dots (X.690 section 8.19).
pub(super) fn dotted(bytes: &[u8]) -> String {
    let mut parts: Vec<u64> = Vec::new();
    let mut value = 0u64;
    for b in bytes {
        value = value << 7 | u64::from(b & 0x7f);
        if b & 0x80 == 0 {
            if parts.is_empty() {
                let first = (value / 40).min(2);
                parts.extend([first, value - 40 * first]);
            } else {
                parts.push(value);
            }
            value = 0;
        }
    }
    parts.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\x30\x19\x02\x01\x01\x04\x06public\xa0\x0c\x02\x01\x05\x02\x01\x00\x02\x01\x00\x30\x01\x00";

    #[test]
    fn messages() {
        let m = message(V2).expect("whole");
        assert_eq!((m.version, m.community.as_deref(), m.pdu), (2, Some(&b"public"[..]), Some(0)));
        for n in 0..V2.len() {
            assert_eq!(message(&V2[..n]), None, "{n}");
        }
    }

    fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
        [&[tag, content.len() as u8], content].concat()
    }

    /// A version 3 message of a user, in plain text or encrypted.
    fn version_3(model: u8, flags: u8) -> Vec<u8> {
        let number = |n: u8| tlv(INTEGER, &[n]);
        let header = [number(1), number(100), tlv(OCTETS, &[flags]), number(model)].concat();
        let security = [tlv(OCTETS, b"e"), number(0), number(0), tlv(OCTETS, b"me"), tlv(OCTETS, b""), tlv(OCTETS, b"")].concat();
        let scoped = [tlv(OCTETS, b"e"), tlv(OCTETS, b""), tlv(0xa1, b"\x02\x01\x05")].concat();
        let data = if flags & 2 == 0 { tlv(SEQUENCE, &scoped) } else { tlv(OCTETS, b"secret") };
        let body = [number(3), tlv(SEQUENCE, &header), tlv(OCTETS, &tlv(SEQUENCE, &security)), data].concat();
        tlv(SEQUENCE, &body)
    }

    #[test]
    fn users() {
        let m = message(&version_3(3, 0)).expect("whole");
        assert_eq!((m.version, m.user.as_deref(), m.pdu, m.unknown_model), (3, Some(&b"me"[..]), Some(1), false));
        let m = message(&version_3(3, 3)).expect("whole");
        assert_eq!((m.user.as_deref(), m.pdu), (Some(&b"me"[..]), None));
        assert!(message(&version_3(9, 0)).is_some_and(|m| m.unknown_model && m.user.is_none()));
    }
}
