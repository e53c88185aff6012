//! Proposals and their transforms.

use crate::wire::be16;

/// Most attributes or transforms kept of a message.
const TRANSFORMS_MAX: usize = 256;

/// Attributes of a transform of IKE 1 (RFC 2408 section 3.3): kind and value, or the bytes of a value that is too long.
pub type Attributes = Vec<(u16, u64)>;

/// Of the security association of IKE 1: its domain, and the transforms of all its proposals.
pub fn association_v1(data: &[u8], kinds: &mut Vec<u8>) -> Option<(u32, Vec<Attributes>)> {
    let domain = crate::wire::be32(data, 0)?;
    let mut out = Vec::new();
    let mut kept = 0;
    let mut proposals = data.get(8..).unwrap_or(&[]);
    while let Some(length) = be16(proposals, 2).map(usize::from).filter(|n| *n >= 8 && *n <= proposals.len()) {
        push(kinds, 2);
        let proposal = &proposals[..length];
        let mut transforms = proposal.get(8 + usize::from(proposal[6])..).unwrap_or(&[]);
        while let Some(length) = be16(transforms, 2).map(usize::from).filter(|n| *n >= 8 && *n <= transforms.len()) {
            push(kinds, 3);
            let attributes = attributes(&transforms[8..length]);
            kept += attributes.len() + 1;
            if kept > TRANSFORMS_MAX {
                return Some((domain, out));
            }
            out.push(attributes);
            transforms = &transforms[length..];
        }
        proposals = &proposals[length..];
    }
    Some((domain, out))
}

fn push(kinds: &mut Vec<u8>, kind: u8) {
    if !kinds.contains(&kind) {
        kinds.push(kind);
    }
}

fn attributes(mut data: &[u8]) -> Attributes {
    let mut out = Vec::new();
    while let (Some(kind), Some(value)) = (be16(data, 0), be16(data, 2)) {
        data = &data[4..];
        if kind & 0x8000 != 0 {
            out.push((kind & 0x7fff, value.into()));
            continue;
        }
        let Some(bytes) = data.get(..value.into()) else { break };
        data = &data[bytes.len()..];
        let number = bytes.iter().rev().take(8).rev().fold(0, |n, b| n << 8 | u64::from(*b));
        out.push((kind, number));
    }
    out
}

/// A proposal of IKE 2 (RFC 7296 section 3.3.1): protocol, and transforms by type and identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proposal {
    pub protocol: u8,
    pub transforms: Vec<(u8, u16)>,
}

impl Proposal {
    /// The last transform of a type; 0 if there is none.
    pub fn of(&self, kind: u8) -> u16 {
        self.transforms.iter().rev().find(|t| t.0 == kind).map_or(0, |t| t.1)
    }
}

/// Proposals of a security association of IKE 2.
pub fn association_v2(mut data: &[u8]) -> Vec<Proposal> {
    let mut out = Vec::new();
    let mut kept = 0;
    while let Some(length) = be16(data, 2).map(usize::from).filter(|n| *n >= 8 && *n <= data.len()) {
        let mut proposal = Proposal { protocol: data[5], transforms: Vec::new() };
        let mut transforms = data[..length].get(8 + usize::from(data[6])..).unwrap_or(&[]);
        while let Some(length) = be16(transforms, 2).map(usize::from).filter(|n| *n >= 8 && *n <= transforms.len()) {
            kept += 1;
            if kept > TRANSFORMS_MAX {
                return out;
            }
            proposal.transforms.push((transforms[4], be16(transforms, 6).unwrap_or(0)));
            transforms = &transforms[length..];
        }
        kept += 1;
        out.push(proposal);
        data = &data[length..];
    }
    out
}
