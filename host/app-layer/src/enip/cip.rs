//! CIP messages (volume 1, section 2-4), also several in one (service 0x0a).

use crate::wire::le16;

/// Most messages within one, and segments of a path.
const MULTIPLE_MAX: usize = 64;
const SEGMENTS_MAX: usize = 16;
const ATTRIBUTES_MAX: usize = 64;
const GET_LIST: u8 = 0x03;
const SET_LIST: u8 = 0x04;
const MULTIPLE: u8 = 0x0a;

/// Kinds of segments that rules ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Segment {
    Class(u32),
    Instance(u32),
    Attribute(u32),
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cip {
    /// Service, without the bit of responses.
    pub service: u8,
    pub response: bool,
    pub path: Vec<Segment>,
    /// Attributes that a list names (services 3 and 4).
    pub attributes: Vec<u16>,
    pub status: u8,
    pub extended: Option<u16>,
    /// Messages within.
    pub parts: Vec<Cip>,
}

impl Cip {
    /// This message and those within.
    pub fn all(&self) -> impl Iterator<Item = &Cip> {
        std::iter::once(self).chain(&self.parts)
    }
}

/// Read a message.
pub fn read(bytes: &[u8]) -> Option<Cip> {
    let (mut cip, body) = one(bytes)?;
    if cip.service == MULTIPLE {
        // Count, then offsets from the count on.
        let count = usize::from(le16(body, 0)?).min(MULTIPLE_MAX);
        for n in 0..count {
            let Some(at) = le16(body, 2 + 2 * n) else { break };
            let Some((part, _)) = body.get(usize::from(at)..).and_then(one) else { break };
            cip.parts.push(part);
        }
    }
    Some(cip)
}

fn one(bytes: &[u8]) -> Option<(Cip, &[u8])> {
    let first = *bytes.first()?;
    let mut cip = Cip { service: first & 0x7f, response: first & 0x80 != 0, ..Cip::default() };
    if cip.response {
        cip.status = *bytes.get(2)?;
        let words = usize::from(*bytes.get(3)?);
        if words > 0 {
            cip.extended = le16(bytes, 4);
        }
        return Some((cip, bytes.get(4 + 2 * words..).unwrap_or(&[])));
    }
    let words = usize::from(*bytes.get(1)?);
    let path = bytes.get(2..2 + 2 * words)?;
    segments(path, &mut cip.path);
    let body = bytes.get(2 + 2 * words..).unwrap_or(&[]);
    // Count and numbers; behind the first number of a list that is set comes a value of unknown size.
    let count = match cip.service {
        GET_LIST => usize::from(le16(body, 0).unwrap_or(0)).min(ATTRIBUTES_MAX),
        SET_LIST => usize::from(le16(body, 0).unwrap_or(0)).min(1),
        _ => 0,
    };
    cip.attributes = (0..count).map_while(|n| le16(body, 2 + 2 * n)).collect();
    Some((cip, body))
}

/// Logical segments (volume 1, appendix C-1.4.2) at the start of a path.
fn segments(mut path: &[u8], out: &mut Vec<Segment>) {
    while let (&[first, second, ..], true) = (path, out.len() < SEGMENTS_MAX) {
        let (value, length) = match first & 0x03 {
            0 => (u32::from(second), 2),
            // A pad byte stands before wider values.
            1 => match le16(path, 2) {
                Some(n) => (u32::from(n), 4),
                None => return,
            },
            2 => match crate::wire::le32(path, 2) {
                Some(n) => (n, 6),
                None => return,
            },
            _ => return,
        };
        match first & 0xfc {
            0x20 => out.push(Segment::Class(value)),
            0x24 => out.push(Segment::Instance(value)),
            0x30 => out.push(Segment::Attribute(value)),
            0x28 | 0x2c => {}
            _ => return,
        }
        path = path.get(length..).unwrap_or(&[]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        let get = read(&[0x0e, 3, 0x20, 1, 0x24, 1, 0x30, 5]).unwrap();
        assert_eq!((get.service, get.path.as_slice()), (14, &[Segment::Class(1), Segment::Instance(1), Segment::Attribute(5)][..]));
        let wide = read(&[0x03, 4, 0x21, 0, 0x8b, 1, 0x25, 0, 2, 0]).unwrap();
        assert_eq!(wide.path, [Segment::Class(0x18b), Segment::Instance(2)]);
        let list = read(&[0x03, 2, 0x20, 1, 0x24, 1, 2, 0, 5, 0, 7, 0]).unwrap();
        assert_eq!(list.attributes, [5, 7]);
        let error = read(&[0x8e, 0, 1, 1, 0x0c, 1]).unwrap();
        assert_eq!((error.response, error.status, error.extended), (true, 1, Some(0x010c)));
        // Two within one.
        let many = [&[0x0a, 2, 0x20, 2, 0x24, 1, 2, 0, 6, 0, 14, 0][..], &[0x0e, 3, 0x20, 1, 0x24, 1, 0x30, 5], &[0x01, 1, 0x20, 4]].concat();
        let many = read(&many).unwrap();
        assert_eq!(many.parts.iter().map(|p| p.service).collect::<Vec<_>>(), [14, 1]);
        assert_eq!(read(&[0x0e, 9, 0]), None);
        assert!(read(&[&[0x0a, 0, 0xff, 0xff][..], &[0; 600]].concat()).unwrap().parts.len() <= MULTIPLE_MAX);
    }
}
