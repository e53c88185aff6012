//! DNS over HTTPS (RFC 8484): the message in a target or body.

use super::fields::{Fields, Known};
use crate::dns::{Message, parse_message};

/// Longest message (RFC 1035 section 4.2.2).
pub const MESSAGE_MAX: u64 = 65_535;
const MEDIA_TYPE: &[u8] = b"application/dns-message";

/// The message asks for, or carries, DNS.
pub fn is_dns(fields: &Fields) -> bool {
    has_dns_body(fields) || fields.value(Known::Accept) == Some(MEDIA_TYPE)
}

/// The body is a DNS message.
pub fn has_dns_body(fields: &Fields) -> bool {
    fields.value(Known::ContentType) == Some(MEDIA_TYPE)
}

/// The query of a GET: parameter `dns` of the target, in base64url.
pub fn of_target(fields: &Fields) -> Option<Message> {
    let path = fields.value(Known::Path)?;
    let query = path.splitn(2, |b| *b == b'?').nth(1)?;
    let coded = query.split(|b| *b == b'&').find_map(|part| part.strip_prefix(b"dns="))?;
    parse_message(&base64url(coded)?)
}

/// Decode base64url (RFC 4648 section 5) with or without padding.
pub fn base64url(text: &[u8]) -> Option<Vec<u8>> {
    let text = &text[..text.iter().rposition(|b| *b != b'=').map_or(0, |at| at + 1)];
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut word, mut bits) = (0u32, 0);
    for b in text {
        let six = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'-' | b'+' => 62,
            b'_' | b'/' => 63,
            _ => return None,
        };
        word = word << 6 | u32::from(six);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8484 section 4.1.1.
    #[test]
    fn the_example() {
        let mut fields = Fields::default();
        fields.push(b":path", b"/dns-query?x=1&dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB", 1000);
        fields.push(b"accept", MEDIA_TYPE, 1000);
        assert!(is_dns(&fields) && !has_dns_body(&fields));
        let message = of_target(&fields).expect("a message");
        assert_eq!(message.questions[0].name, b"www.example.com");
        assert_eq!(base64url(b"AA=="), Some(vec![0]));
        assert_eq!(base64url(b"A*"), None);
        assert_eq!(base64url(b""), Some(vec![]));
    }
}
