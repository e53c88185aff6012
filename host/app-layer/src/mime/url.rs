//! Links in the text of mails.

use crate::config::Links;
use memchr::memmem;

/// Most links of one mail.
const LINKS_MAX: usize = 256;
/// Longest link kept.
const LENGTH_MAX: usize = 1024;

/// Links of a line, up to white space, quotes or brackets.
pub(super) fn links(line: &[u8], wanted: Links, found: &mut Vec<Vec<u8>>) {
    if wanted.schemes == 0 {
        return;
    }
    let lower = line.to_ascii_lowercase();
    for (_, (_, scheme)) in Links::SCHEMES.iter().enumerate().filter(|(n, _)| wanted.schemes >> n & 1 != 0) {
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
                let from = if wanted.with_scheme { start - scheme.len() } else { start };
                found.push(line.get(from..start + end).unwrap_or(rest).to_vec());
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
        let line = b"see <a href=\"HTTP://Evil.example/X?y\">it</a> or https://b.example/ and http:// nothing, mailto:a@b.example";
        links(line, Links::default(), &mut found);
        assert_eq!(found, [b"Evil.example/X?y".to_vec()]);
        found.clear();
        links(line, Links { schemes: 0b1010, with_scheme: true }, &mut found);
        assert_eq!(found, [b"https://b.example/".to_vec(), b"mailto:a@b.example".to_vec()]);
        found.clear();
        links(line, Links { schemes: 0, with_scheme: true }, &mut found);
        assert!(found.is_empty());
    }
}
