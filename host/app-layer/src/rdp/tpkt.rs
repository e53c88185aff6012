//! TPKT (RFC 1006 section 6), X.224 connection requests, confirms and data (ITU-T X.224 section 13), and the negotiation
//! within (MS-RDPBCGR sections 2.2.1.1 and 2.2.1.2).

use super::client::Connect;
use crate::framed::Cut;
use crate::wire::{be16, le16, le32};

/// Version of TPKT.
pub(super) const VERSION: u8 = 3;
/// Length of the TPKT header.
const HEADER: usize = 4;

/// Where a TPKT ends.
pub(super) fn cut(bytes: &[u8]) -> Cut {
    match (bytes.first(), be16(bytes, 2)) {
        (Some(&VERSION), Some(length)) if usize::from(length) >= HEADER => Cut::Length(length.into()),
        (Some(&VERSION), None) => Cut::More,
        _ => Cut::Lost,
    }
}

/// What a client wants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Request {
    /// Value of the cookie `mstshash`.
    pub cookie: Option<Vec<u8>>,
    /// RDP_NEG_REQ: its flags.
    pub flags: Option<u8>,
}

/// What a server says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// RDP_NEG_RSP.
    Agreed {
        /// Flags.
        flags: u8,
        /// Selected protocol.
        protocol: u32,
    },
    /// RDP_NEG_FAILURE: its code.
    Refused(u32),
}

/// X.224 of a TPKT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unit<'a> {
    Request(Request),
    Confirm(Option<Answer>),
    /// User data.
    Data(&'a [u8]),
}

/// Read the X.224 unit of a whole TPKT; none: another, or not well formed.
pub(super) fn unit(tpkt: &[u8]) -> Option<Unit<'_>> {
    let x224 = tpkt.get(HEADER..)?;
    let length = usize::from(*x224.first()?);
    let header = x224.get(1..1 + length)?;
    let code = *header.first()?;
    match code >> 4 {
        // Class 0 has no credits beyond one, and the destination is not known yet.
        0xe | 0xd if code & 0xe == 0 && header.get(5) == Some(&0) => {
            let variable = header.get(6..)?;
            if code >> 4 == 0xd {
                return Some(Unit::Confirm(answer(variable)));
            }
            (le16(header, 1) == Some(0)).then(|| request(variable)).flatten().map(Unit::Request)
        }
        // Data: end of the unit (section 13.7).
        0xf if header == [0xf0, 0x80] => Some(Unit::Data(x224.get(3..)?)),
        _ => None,
    }
}

/// RDP_NEG_REQ (section 2.2.1.1.1), behind a cookie or routing token that ends in CR LF.
fn request(mut variable: &[u8]) -> Option<Request> {
    const COOKIE: &[u8] = b"Cookie: mstshash=";
    let mut request = Request::default();
    if let Some(rest) = variable.strip_prefix(COOKIE) {
        let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        request.cookie = Some(rest[..end].to_vec());
        variable = &rest[end + 2..];
    }
    if let [1, flags, 8, 0, ..] = *variable {
        let known = flags & !0x0b == 0 && le32(variable, 4).is_some_and(|protocols| protocols & !0x0f == 0);
        request.flags = known.then_some(flags);
    }
    Some(request)
}

/// RDP_NEG_RSP, RDP_NEG_FAILURE (sections 2.2.1.2.1, 2.2.1.2.2).
fn answer(variable: &[u8]) -> Option<Answer> {
    let [kind, flags, 8, 0, ..] = *variable else { return None };
    let value = le32(variable, 4)?;
    match kind {
        2 if flags & !0x1f == 0 && matches!(value, 0 | 1 | 2 | 4 | 8) => {
            Some(Answer::Agreed { flags, protocol: value })
        }
        3 if (1..=6).contains(&value) => Some(Answer::Refused(value)),
        _ => None,
    }
}

/// An MCS connect PDU (T.125 section 7, BER).
pub(super) enum Mcs {
    Initial(Connect),
    Response,
}

/// Read one; none: another PDU, or not well formed.
pub(super) fn mcs(data: &[u8]) -> Option<Mcs> {
    match data {
        [0x7f, 0x65, ..] => super::client::connect(data.get(2..)?).map(Mcs::Initial),
        [0x7f, 0x66, ..] => Some(Mcs::Response),
        _ => None,
    }
}
