//! The fast pattern as Suricata picks it (user guide, "Suricata Fast Pattern Determination Explained").

use std::fmt::Write as _;
use weir_ir::{Buffer, Content, Match, Rule};

/// Bytes as rules write them: what is no plain character in hexadecimal, between bars.
pub fn show(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut hex = false;
    for &byte in bytes {
        let plain = byte.is_ascii_graphic() && !matches!(byte, b'|' | b'"' | b';' | b':' | b'\\');
        if plain {
            if std::mem::take(&mut hex) {
                out.push('|');
            }
            out.push(char::from(byte));
        } else {
            out.push(if std::mem::replace(&mut hex, true) { ' ' } else { '|' });
            let _ = write!(out, "{byte:02X}");
        }
    }
    if hex {
        out.push('|');
    }
    out
}

/// How rare a pattern is, by the kinds of its bytes; each byte counts little when it comes again.
fn strength(bytes: &[u8]) -> u32 {
    let mut seen = [false; 256];
    bytes
        .iter()
        .map(|&byte| match std::mem::replace(&mut seen[usize::from(byte)], true) {
            true => 1,
            false if byte.is_ascii_alphabetic() => 3,
            false if byte.is_ascii_graphic() || byte == b' ' || matches!(byte, 0 | 1 | 0xff) => 4,
            false => 6,
        })
        .sum()
}

/// Buffers that come behind the others: they are short, or the same in most messages.
fn late(buffer: Buffer) -> bool {
    matches!(
        buffer,
        Buffer::Payload | Buffer::HttpMethod | Buffer::HttpStatusCode | Buffer::HttpStatusMessage | Buffer::HttpProtocol
    )
}

/// Entry and place of the rule's fast pattern.
pub fn choose(rule: &Rule) -> Option<(usize, usize)> {
    let all = || {
        rule.buffers.iter().enumerate().flat_map(|(entry, buffer)| {
            buffer.matches.iter().enumerate().filter_map(move |(place, item)| match item {
                Match::Content(content) if buffer.buffer != Buffer::Base64Data => Some((entry, place, buffer, content)),
                _ => None,
            })
        })
    };
    if let Some((entry, place, ..)) = all().find(|(.., content)| content.fast_pattern || content.fast_pattern_only) {
        return Some((entry, place));
    }
    let usable = |content: &Content| !content.negated;
    let rank = |(_, _, buffer, content): &(usize, usize, &weir_ir::BufferMatch, &Content)| {
        (!late(buffer.buffer), content.bytes.len(), strength(&content.bytes))
    };
    let mut best: Option<(usize, usize, &weir_ir::BufferMatch, &Content)> = None;
    for candidate in all().filter(|(.., content)| usable(content)) {
        if best.as_ref().is_none_or(|known| rank(&candidate) > rank(known)) {
            best = Some(candidate);
        }
    }
    // A content that must not be there serves where nothing else does.
    let free = |content: &Content| !content.is_relative() && content.offset.is_none() && content.depth.is_none();
    let best = best.or_else(|| all().find(|(.., content)| content.negated && free(content)));
    best.map(|(entry, place, ..)| (entry, place))
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_are_shown_as_rules_write_them() {
        assert_eq!(super::show(b"in file"), "in|20|file");
        assert_eq!(super::show(&[0x15, 3, 1]), "|15 03 01|");
        assert_eq!(super::show(b".pdf\"x"), ".pdf|22|x");
    }

    #[test]
    fn strange_bytes_are_stronger() {
        assert!(super::strength(&[0x80, 0x81]) > super::strength(b"ab"));
        assert!(super::strength(b"abc") > super::strength(b"aaa"));
    }
}
