//! One message, as far as rules and logs look into it.

use crate::ber::{self, INTEGER, OCTETS, SEQUENCE};

/// Operations: the application tags (RFC 4511 section 4.2 and following).
pub const BIND_REQUEST: u8 = 0;
pub const UNBIND_REQUEST: u8 = 2;
pub const SEARCH_REQUEST: u8 = 3;
pub const SEARCH_ENTRY: u8 = 4;
pub const MODIFY_REQUEST: u8 = 6;
pub const ADD_REQUEST: u8 = 8;
pub const DELETE_REQUEST: u8 = 10;
pub const MOD_DN_REQUEST: u8 = 12;
pub const COMPARE_REQUEST: u8 = 14;
pub const ABANDON_REQUEST: u8 = 16;
pub const SEARCH_REFERENCE: u8 = 19;
pub const EXTENDED_REQUEST: u8 = 23;
pub const EXTENDED_RESPONSE: u8 = 24;
pub const INTERMEDIATE_RESPONSE: u8 = 25;

/// Most attributes of a message that are kept, and values of one.
const ATTRIBUTES_MAX: usize = 128;
const VALUES_MAX: usize = 32;
/// Longest text kept.
const TEXT_MAX: usize = 4096;

/// An attribute: type and values.
pub type Attribute = (Vec<u8>, Vec<Vec<u8>>);

/// A result (section 4.1.9).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    pub code: u64,
    pub matched: Vec<u8>,
    pub message: Vec<u8>,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    pub id: u64,
    pub operation: u8,
    /// Name of the object that a request is about, or that an entry is.
    pub dn: Option<Vec<u8>>,
    pub outcome: Option<Outcome>,
    pub attributes: Vec<Attribute>,
    /// Operations of a modification, one for each attribute.
    pub changes: Vec<u64>,
    /// Name and value of an extension; of a bind, the mechanism.
    pub name: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Numbers that only logs want: version of a bind; scope, aliases, sizes of a search; id that is abandoned.
    pub numbers: Vec<u64>,
}

impl Message {
    /// The server sends it.
    pub fn is_response(&self) -> bool {
        matches!(self.operation, 1 | 4 | 5 | 7 | 9 | 11 | 13 | 15 | 19 | 24 | 25)
    }

    /// More responses to the same request follow.
    pub fn is_part(&self) -> bool {
        matches!(self.operation, SEARCH_ENTRY | SEARCH_REFERENCE | INTERMEDIATE_RESPONSE)
    }

    /// Nothing answers it.
    pub fn stands_alone(&self) -> bool {
        matches!(self.operation, UNBIND_REQUEST | ABANDON_REQUEST)
    }

    /// Bytes that it holds, about.
    pub fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(name, values)| name.len() + values.iter().map(Vec::len).sum::<usize>() + 64).sum();
        let texts = [&self.dn, &self.name, &self.value].into_iter().flatten().map(Vec::len).sum::<usize>();
        attributes + texts + self.outcome.as_ref().map_or(0, |o| o.matched.len() + o.message.len()) + 256
    }
}

fn text(content: &[u8]) -> Vec<u8> {
    content.get(..TEXT_MAX).unwrap_or(content).to_vec()
}

fn octets(input: &mut &[u8]) -> Option<Vec<u8>> {
    ber::expect(input, OCTETS).map(text)
}

fn number(input: &mut &[u8], tag: u8) -> Option<u64> {
    ber::unsigned(ber::expect(input, tag)?)
}

const ENUMERATED: u8 = 0x0a;
const BOOLEAN: u8 = 0x01;
const SET: u8 = 0x31;

/// Read a message; none if it is none.
pub fn read(bytes: &[u8]) -> Option<Message> {
    let mut input = ber::expect(&mut &bytes[..], SEQUENCE)?;
    let id = number(&mut input, INTEGER)?;
    let operation = ber::next(&mut input)?;
    // [APPLICATION n]
    if operation.tag & 0xc0 != 0x40 {
        return None;
    }
    let mut message = Message { id, operation: operation.tag & 0x1f, ..Message::default() };
    body(&mut message, operation.content)?;
    Some(message)
}

fn body(m: &mut Message, mut input: &[u8]) -> Option<()> {
    let input = &mut input;
    match m.operation {
        BIND_REQUEST => {
            m.numbers.push(number(input, INTEGER)?);
            m.dn = Some(octets(input)?);
            // sasl [3]
            if let Some(mut sasl) = ber::expect(input, 0xa3) {
                m.name = octets(&mut sasl);
                m.value = octets(&mut sasl);
            }
        }
        UNBIND_REQUEST => {}
        SEARCH_REQUEST => {
            m.dn = Some(octets(input)?);
            for tag in [ENUMERATED, ENUMERATED, INTEGER, INTEGER, BOOLEAN] {
                m.numbers.push(number(input, tag)?);
            }
            // The filter.
            ber::next(input)?;
            let mut names = ber::expect(input, SEQUENCE)?;
            while let Some(name) = octets(&mut names).filter(|_| m.attributes.len() < ATTRIBUTES_MAX) {
                m.attributes.push((name, Vec::new()));
            }
        }
        SEARCH_ENTRY | ADD_REQUEST => {
            m.dn = Some(octets(input)?);
            let mut list = ber::expect(input, SEQUENCE)?;
            attributes(m, &mut list);
        }
        MODIFY_REQUEST => {
            m.dn = Some(octets(input)?);
            let mut list = ber::expect(input, SEQUENCE)?;
            while let Some(mut change) = ber::expect(&mut list, SEQUENCE).filter(|_| m.attributes.len() < ATTRIBUTES_MAX) {
                let Some(operation) = number(&mut change, ENUMERATED) else { break };
                let before = m.attributes.len();
                attributes(m, &mut change);
                m.changes.resize(m.attributes.len().max(before), operation);
            }
        }
        // The operation is the name itself.
        DELETE_REQUEST => m.dn = Some(text(input)),
        MOD_DN_REQUEST => {
            m.dn = Some(octets(input)?);
            m.name = octets(input);
            m.numbers.extend(number(input, BOOLEAN));
            m.value = ber::expect(input, 0x80).map(text);
        }
        COMPARE_REQUEST => {
            m.dn = Some(octets(input)?);
            let mut assertion = ber::expect(input, SEQUENCE)?;
            m.attributes.push((octets(&mut assertion)?, vec![octets(&mut assertion)?]));
        }
        ABANDON_REQUEST => m.numbers.push(ber::unsigned(input)?),
        EXTENDED_REQUEST => {
            m.name = Some(text(ber::expect(input, 0x80)?));
            m.value = ber::expect(input, 0x81).map(text);
        }
        INTERMEDIATE_RESPONSE => {
            m.name = ber::expect(input, 0x80).map(text);
            m.value = ber::expect(input, 0x81).map(text);
        }
        SEARCH_REFERENCE => {}
        _ if m.is_response() => {
            m.outcome = Some(Outcome { code: number(input, ENUMERATED)?, matched: octets(input)?, message: octets(input)? });
            // referral [3]
            ber::expect(input, 0xa3);
            match m.operation {
                EXTENDED_RESPONSE => {
                    m.name = ber::expect(input, 0x8a).map(text);
                    m.value = ber::expect(input, 0x8b).map(text);
                }
                _ => m.value = ber::expect(input, 0x87).map(text),
            }
        }
        _ => return None,
    }
    Some(())
}

fn attributes(m: &mut Message, list: &mut &[u8]) {
    while let Some(mut attribute) = ber::expect(list, SEQUENCE).filter(|_| m.attributes.len() < ATTRIBUTES_MAX) {
        let Some(name) = octets(&mut attribute) else { return };
        let mut values = Vec::new();
        if let Some(mut set) = ber::expect(&mut attribute, SET) {
            while let Some(value) = octets(&mut set).filter(|_| values.len() < VALUES_MAX) {
                values.push(value);
            }
        }
        m.attributes.push((name, values));
    }
}
