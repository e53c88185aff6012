//! Splits a rule file into rules, disabled rules and comments.
//!
//! A rule normally is one line. A backslash at the end of a line continues it (Suricata); without one, a body whose
//! parenthesis is open continues too (Snort), up to the next line that begins a rule. Thus a rule whose quote or
//! parenthesis is never closed costs itself only.

use super::{is_action, is_blank, option};
use std::borrow::Cow;

/// Longest text of one rule.
const RULE_TEXT_MAX: usize = 1 << 20;

/// Where the bytes of a rule's text came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Offset in the file of the first byte.
    base: usize,
    /// (offset in the text, offset in the file) behind each place where bytes were left out, ascending.
    cuts: Vec<(usize, usize)>,
}

impl Origin {
    /// Offset in the file of a byte of the text.
    pub fn file_offset(&self, text_offset: usize) -> usize {
        let i = self.cuts.partition_point(|&(at, _)| at <= text_offset);
        match i.checked_sub(1).and_then(|i| self.cuts.get(i)) {
            Some(&(at, file)) => file + (text_offset - at),
            None => self.base + text_offset,
        }
    }
}

/// The text of one rule, continuations removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText<'a> {
    /// Header and body; does not end in blanks.
    pub text: Cow<'a, [u8]>,
    /// Where it stands in the file.
    pub origin: Origin,
    /// Line of the first byte, from 1.
    pub line: u32,
}

/// One piece of a rule file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// Something that should be a rule.
    Rule(RuleText<'a>),
    /// A rule that is commented out; its line.
    Disabled(u32),
}

/// Iterator over the chunks of a file.
#[derive(Debug, Clone)]
pub struct Splitter<'a> {
    bytes: &'a [u8],
    position: usize,
    line: u32,
}

impl<'a> Splitter<'a> {
    /// Over a whole file. A byte order mark is skipped.
    pub fn new(bytes: &'a [u8]) -> Self {
        let position = if bytes.starts_with(&[0xef, 0xbb, 0xbf]) { 3 } else { 0 };
        Splitter { bytes, position, line: 1 }
    }

    /// Offset of the next byte to be looked at; for progress reports.
    pub fn position(&self) -> usize {
        self.position
    }

    /// End of the physical line that holds `at` (offset of the line feed, or of the end).
    fn line_end(&self, at: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or(&[]);
        rest.iter().position(|&b| b == b'\n').map_or(self.bytes.len(), |n| at + n)
    }

    fn rule(&mut self, start: usize) -> RuleText<'a> {
        let first_line = self.line;
        let mut end = self.line_end(start);
        let simple = trimmed(self.bytes, start, end);
        if ends_complete(simple) {
            self.position = end;
            return RuleText {
                text: Cow::Borrowed(simple),
                origin: Origin { base: start, cuts: Vec::new() },
                line: first_line,
            };
        }
        // Slow path: join lines.
        let mut joined: Vec<u8> = Vec::new();
        let mut origin = Origin { base: start, cuts: Vec::new() };
        let mut state = option::Scanner::default();
        let mut line_start = start;
        loop {
            let piece = trimmed_end(self.bytes, line_start, end);
            let (piece, continued) = match piece.split_last() {
                Some((b'\\', rest)) if trailing_backslashes(piece) % 2 == 1 => (rest, true),
                _ => (piece, false),
            };
            joined.extend_from_slice(piece);
            state.feed(piece);
            self.position = end;
            if end >= self.bytes.len() || joined.len() > RULE_TEXT_MAX || state.closed() {
                break;
            }
            let next = end + 1;
            if !continued && !self.continues(next, &state) {
                break;
            }
            self.line += 1;
            if !continued {
                joined.push(b' ');
                state.feed(b" ");
            }
            let after = self.skip_comments(next, &state, continued);
            origin.cuts.push((joined.len(), after));
            line_start = after;
            end = self.line_end(after);
        }
        let keep = trimmed_end(&joined, 0, joined.len()).len();
        joined.truncate(keep);
        RuleText { text: Cow::Owned(joined), origin, line: first_line }
    }

    /// Comment lines within an open body are left out.
    fn skip_comments(&mut self, mut at: usize, state: &option::Scanner, continued: bool) -> usize {
        if continued || state.in_quote() {
            return at;
        }
        loop {
            let end = self.line_end(at);
            let text = trimmed(self.bytes, at, end);
            if end >= self.bytes.len() || !text.starts_with(b"#") {
                return at;
            }
            self.line += 1;
            at = end + 1;
        }
    }

    /// An open body goes on in the line at `at`.
    fn continues(&self, mut at: usize, state: &option::Scanner) -> bool {
        // Look past blank lines and comments for the next line with text; it must not begin a rule.
        for _ in 0..64 {
            if at >= self.bytes.len() {
                return false;
            }
            let end = self.line_end(at);
            let text = trimmed(self.bytes, at, end);
            if state.in_quote() {
                return !text.is_empty() && !begins_rule(text) && !text.starts_with(b"#");
            }
            if text.starts_with(b"#") {
                if begins_rule(uncomment(text)) {
                    return false;
                }
            } else if !text.is_empty() {
                return if state.in_header() { text.starts_with(b"(") } else { !begins_rule(text) };
            }
            at = end + 1;
        }
        false
    }
}

impl<'a> Iterator for Splitter<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        loop {
            let byte = *self.bytes.get(self.position)?;
            if byte == b'\n' {
                self.line += 1;
                self.position += 1;
            } else if is_blank(byte) || byte == 0 {
                self.position += 1;
            } else if byte == b'#' {
                let end = self.line_end(self.position);
                let text = uncomment(trimmed(self.bytes, self.position, end));
                self.position = end;
                if begins_rule(text) && text.contains(&b'(') {
                    return Some(Chunk::Disabled(self.line));
                }
            } else {
                return Some(Chunk::Rule(self.rule(self.position)));
            }
        }
    }
}

fn trimmed(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    let (start, end) = super::trim(bytes, start, end);
    bytes.get(start..end).unwrap_or(&[])
}

fn trimmed_end(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    let mut end = end.min(bytes.len());
    while end > start && is_blank(bytes[end - 1]) {
        end -= 1;
    }
    bytes.get(start..end).unwrap_or(&[])
}

fn trailing_backslashes(bytes: &[u8]) -> usize {
    bytes.iter().rev().take_while(|&&b| b == b'\\').count()
}

/// `…;)` at the end of a line closes the rule.
fn ends_complete(line: &[u8]) -> bool {
    let Some((b')', rest)) = line.split_last() else { return false };
    let rest = trimmed_end(rest, 0, rest.len());
    rest.last() == Some(&b';') && begins_rule(line)
}

fn uncomment(mut line: &[u8]) -> &[u8] {
    while let Some((&first, rest)) = line.split_first() {
        if first == b'#' || is_blank(first) { line = rest } else { break }
    }
    line
}

/// The line begins with an action word and goes on.
fn begins_rule(line: &[u8]) -> bool {
    let word = line.iter().position(|&b| is_blank(b) || b == b'(').unwrap_or(line.len());
    word < line.len() && is_action(&line[..word])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<(u32, Option<String>)> {
        Splitter::new(text.as_bytes())
            .map(|c| match c {
                Chunk::Rule(r) => (r.line, Some(String::from_utf8_lossy(&r.text).into_owned())),
                Chunk::Disabled(line) => (line, None),
            })
            .collect()
    }

    #[test]
    #[allow(clippy::type_complexity, reason = "a table of cases")]
    fn pieces() {
        let cases: &[(&str, &[(u32, Option<&str>)])] = &[
            ("", &[]),
            ("# note\n\n  # alert me\n", &[]),
            ("#alert tcp a a -> a a (sid:1;)\n", &[(1, None)]),
            ("alert tcp a a -> a a (sid:1;)", &[(1, Some("alert tcp a a -> a a (sid:1;)"))]),
            (
                "\r\nalert tcp (sid:1;)\r\nalert udp (sid:2;)\r\n",
                &[(2, Some("alert tcp (sid:1;)")), (3, Some("alert udp (sid:2;)"))],
            ),
            (
                "alert tcp \\\n  (sid:1; \\\n)\nalert udp (sid:2;)",
                &[(1, Some("alert tcp   (sid:1; )")), (4, Some("alert udp (sid:2;)"))],
            ),
            (
                "alert http\n(\n msg:\"a\";\n # why\n sid:1;\n)\nalert udp (sid:2;)",
                &[(1, Some("alert http (  msg:\"a\";  sid:1; )")), (7, Some("alert udp (sid:2;)"))],
            ),
            (
                "alert tcp (msg:\"open; sid:1;)\nalert udp (sid:2;)",
                &[(1, Some("alert tcp (msg:\"open; sid:1;)")), (2, Some("alert udp (sid:2;)"))],
            ),
            (
                "alert tcp (sid:1;\nalert udp (sid:2;)",
                &[(1, Some("alert tcp (sid:1;")), (2, Some("alert udp (sid:2;)"))],
            ),
            ("alert tcp (sid:1;\n# alert udp (sid:2;)\n", &[(1, Some("alert tcp (sid:1;")), (2, None)]),
            ("nonsense\nalert udp (sid:2;)", &[(1, Some("nonsense")), (2, Some("alert udp (sid:2;)"))]),
        ];
        for (text, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(l, t)| (*l, t.map(str::to_owned))).collect();
            assert_eq!(split(text), expected, "{text:?}");
        }
    }

    #[test]
    fn offsets_survive_joining() {
        let text = "alert tcp \\\n (msg:\"x\";\n  sid:7;)";
        let Some(Chunk::Rule(rule)) = Splitter::new(text.as_bytes()).next() else { panic!("no rule") };
        let at = rule.text.windows(3).position(|w| w == b"sid").unwrap();
        assert_eq!(rule.origin.file_offset(at), text.find("sid").unwrap());
        assert_eq!(rule.origin.file_offset(0), 0);
    }
}
