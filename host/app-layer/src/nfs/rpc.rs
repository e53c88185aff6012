//! Headers of calls and replies (RFC 5531 section 9).

use super::xdr::Xdr;

/// Program number of NFS.
const PROGRAM: u32 = 100_003;

/// Who calls (RFC 5531 appendix A).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    pub flavor: u32,
    /// Machine, user and group of the system flavor.
    pub unix: Option<(Vec<u8>, u32, u32)>,
}

/// A header.
#[derive(Debug)]
pub enum Header {
    Call { xid: u32, version: u32, procedure: u32, credentials: Credentials },
    /// Accepted and executed, or not.
    Reply { xid: u32, accepted: bool, executed: bool },
    /// A call of another program.
    Other,
}

/// Read the header; what is left are arguments or results.
pub fn header(x: &mut Xdr<'_>) -> Option<Header> {
    let xid = x.word()?;
    match x.word()? {
        0 => {
            let (rpc, program, version, procedure) = (x.word()?, x.word()?, x.word()?, x.word()?);
            if rpc != 2 {
                return None;
            }
            if program != PROGRAM {
                return Some(Header::Other);
            }
            let flavor = x.word()?;
            let credentials = Credentials { flavor, unix: unix(flavor, x.short()?) };
            x.word()?;
            x.short()?;
            Some(Header::Call { xid, version, procedure, credentials })
        }
        1 => {
            let accepted = x.word()? == 0;
            if accepted {
                x.word()?;
                x.short()?;
            }
            let executed = x.word()? == 0 && accepted;
            Some(Header::Reply { xid, accepted, executed })
        }
        _ => None,
    }
}

fn unix(flavor: u32, body: &[u8]) -> Option<(Vec<u8>, u32, u32)> {
    let mut x = Xdr(body);
    if flavor != 1 {
        return None;
    }
    x.word()?;
    // User and group are read right behind the name, as Suricata 8.0.8 does, not behind its padding.
    let length = usize::try_from(x.word()?).ok()?;
    let name = x.fixed(length)?.to_vec();
    Some((name, x.word()?, x.word()?))
}
