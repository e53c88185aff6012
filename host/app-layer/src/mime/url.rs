//! Links in the text of mails.

use memchr::memmem;

const SCHEMES: [&[u8]; 3] = [b"http://", b"https://", b"ftp://"];
/// Most links of one mail.
const LINKS_MAX: usize = 256;
/// Longest link kept.
const LENGTH_MAX: usize = 1024;

/// Links of a line, without their scheme, up to white space, quotes or brackets.
pub(super) fn links(line: &[u8], found: &mut Vec<Vec<u8>>) {
    let lower = line.to_ascii_lowercase();
    for scheme in SCHEMES {
        let mut from = 0;
        while let Some(at) = lower.get(from..).and_then(|rest| memmem::find(rest, scheme)) {
            let start = from + at + scheme.len();
            let rest = line.get(start..).unwrap_or(&[]);
            let end = rest
                .iter()
                .position(|b| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b'<' | b'>' | b']' | b')') || *b < 0x20)
                .unwrap_or(rest.len())
                .min(LENGTH_MAX);
            from = start + end;
            if end > 0 && found.len() < LINKS_MAX {
                found.push(rest.get(..end).unwrap_or(rest).to_vec());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_a_line() {
        let mut found = Vec::new();
        links(b"see <a href=\"HTTP://Evil.example/X?y\">it</a> or https://b.example/ and http:// nothing", &mut found);
        assert_eq!(found, [b"Evil.example/X?y".to_vec(), b"b.example/".to_vec()]);
    }
}
