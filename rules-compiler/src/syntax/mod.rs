//! Lexer and syntax tree of the rule language, with byte spans.
//!
//! Place: first stage of the compiler; [`crate::lower`] gives the tree its meaning. It accepts the Suricata 8 grammar
//! and the Snort 2 and Snort 3 forms (service-only headers, comma-separated content modifiers, bodies over several
//! lines). Invariants: never panics, does not recurse, looks at each byte a bounded number of times, and every span
//! lies within its text. It does not know keywords.

mod option;
mod rule;
mod split;

pub use option::{ModifierSyntax, OptionSyntax, ValueSyntax};
pub use rule::{HeaderSyntax, RuleSyntax, SyntaxError, parse_rule};
pub use split::{Chunk, Origin, RuleText, Splitter};

/// Half-open range of byte offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, serde::Serialize)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// From byte offsets; offsets beyond 4 GiB saturate.
    pub fn new(start: usize, end: usize) -> Self {
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Span { start: clamp(start), end: clamp(end.max(start)) }
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// No bytes.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The bytes of the span within `text`; empty when the span lies outside.
    pub fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize).unwrap_or(&[])
    }
}

/// Words that begin a rule.
pub(crate) const ACTIONS: &[&str] = &[
    "alert",
    "pass",
    "drop",
    "reject",
    "rejectsrc",
    "rejectdst",
    "rejectboth",
    "config",
    "accept",
    "log",
    "block",
    "sdrop",
    "react",
    "rewrite",
    "activate",
    "dynamic",
    "file_id",
];

pub(crate) fn is_action(word: &[u8]) -> bool {
    // `accept:hook,alert`: what stands before scope and further actions.
    let first = word.split(|b| matches!(b, b':' | b',')).next().unwrap_or(word);
    ACTIONS.iter().any(|a| a.as_bytes().eq_ignore_ascii_case(first))
}

/// Space, tab, line ends, form feed.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | 0x0b | 0x0c)
}

/// Shrink `[start, end)` by blanks on both sides.
pub(crate) fn trim(text: &[u8], mut start: usize, mut end: usize) -> (usize, usize) {
    end = end.min(text.len());
    while start < end && is_blank(text[start]) {
        start += 1;
    }
    while end > start && is_blank(text[end - 1]) {
        end -= 1;
    }
    (start, end.max(start))
}
