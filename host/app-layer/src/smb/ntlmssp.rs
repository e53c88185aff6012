//! NTLM authenticate messages (MS-NLMP section 2.2.1.3), wherever they stand in a security token.

use crate::wire::{le16, le32, utf16};

const SIGNATURE: &[u8] = b"NTLMSSP\0";
/// NTLMSSP_NEGOTIATE_UNICODE (section 2.2.2.5).
const UNICODE: u32 = 1;
/// NTLMSSP_NEGOTIATE_VERSION.
const VERSION: u32 = 1 << 25;

/// Who logs in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Identity {
    pub domain: Vec<u8>,
    pub user: Vec<u8>,
    pub host: Vec<u8>,
    /// Major, minor, build and revision (section 2.2.2.10), where it is sent.
    pub version: Option<(u8, u8, u16, u8)>,
}

/// The mechanism of Kerberos and the identifier of an AP-REQ (RFC 4121 section 4.1).
const KERBEROS: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x12\x01\x02\x02\x01\x00";

/// Realm and server's name of the Kerberos ticket of a token.
pub(super) fn ticket(token: &[u8]) -> Option<super::message::Ticket> {
    let at = memchr::memmem::find(token, KERBEROS)?;
    crate::krb5::ticket_of(token.get(at + KERBEROS.len()..)?)
}

/// The authenticate message of a token: none if there is none, an error if it is malformed. Other messages of the
/// protocol say nothing about users.
pub(super) fn identity(token: &[u8]) -> Option<Result<Identity, ()>> {
    let at = memchr::memmem::find(token, SIGNATURE)?;
    let message = token.get(at..)?;
    match le32(message, 8) {
        Some(3) => Some(authenticate(message).ok_or(())),
        Some(1 | 2) => None,
        _ => Some(Err(())),
    }
}

fn authenticate(message: &[u8]) -> Option<Identity> {
    let flags = le32(message, 60)?;
    let unicode = flags & UNICODE != 0;
    let field = |at: usize| {
        let (length, start) = (usize::from(le16(message, at)?), usize::try_from(le32(message, at + 4)?).ok()?);
        let bytes = message.get(start..start.checked_add(length)?)?;
        Some(if unicode { utf16(bytes) } else { bytes.to_vec() })
    };
    let version = message.get(64..72).filter(|_| flags & VERSION != 0);
    let version = version.map(|v| (v[0], v[1], u16::from_le_bytes([v[2], v[3]]), v[7]));
    Some(Identity { domain: field(28)?, user: field(36)?, host: field(44)?, version })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An authenticate message.
    pub fn message(domain: &str, user: &str) -> Vec<u8> {
        let mut out = [SIGNATURE, &3u32.to_le_bytes()].concat();
        out.resize(64, 0);
        out[60] = 1;
        for (at, text) in [(28, domain), (36, user), (44, "HOST")] {
            let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let start = out.len() as u32;
            out[at..at + 2].copy_from_slice(&(wide.len() as u16).to_le_bytes());
            out[at + 4..at + 8].copy_from_slice(&start.to_le_bytes());
            out.extend_from_slice(&wide);
        }
        out
    }

    #[test]
    fn who_logs_in() {
        let token = [b"\x60\x48spnego".as_slice(), &message("CORP", "Zoë")].concat();
        let found = identity(&token).expect("there").expect("whole");
        assert_eq!((found.domain.as_slice(), found.user.as_slice(), found.host.as_slice()), (&b"CORP"[..], "Zoë".as_bytes(), &b"HOST"[..]));
        assert_eq!(identity(&token[..token.len() - 3]), Some(Err(())));
        assert_eq!(identity(b"kerberos"), None);
        assert_eq!(identity(b"NTLMSSP\0\x01\0\0\0"), None);
        assert_eq!(identity(b"NTLMSSP\0\x09\0\0\0"), Some(Err(())));
    }
}
