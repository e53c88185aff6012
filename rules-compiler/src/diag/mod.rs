//! What the compiler says about rules: rejections, warnings and notices, each with place, cause and remedy.
//!
//! A rejection costs one rule; it never stops the load. Diagnostics own what rendering needs (an excerpt of the line),
//! so that the rule files need not be kept.

mod render;
mod suggest;

pub use render::{render_json, render_text};
pub use suggest::nearest;

use crate::syntax::Span;
use serde::Serialize;
use std::sync::Arc;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// The rule is not loaded.
    Error,
    /// The rule is loaded, but probably does not do what its author meant.
    Warning,
    /// Worth knowing.
    Notice,
}

/// The kind of a diagnostic; statistics count by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The text is no rule.
    Syntax,
    /// The rule's header is wrong.
    Header,
    /// An address or port expression is wrong.
    Address,
    /// A variable is not defined.
    UndefinedVariable,
    /// No such keyword.
    UnknownKeyword,
    /// No such protocol.
    UnknownProtocol,
    /// A keyword Weir does not implement.
    UnsupportedKeyword,
    /// A protocol the engine does not parse.
    UnsupportedProtocol,
    /// A buffer the engine does not provide.
    UnsupportedBuffer,
    /// No such event.
    UnknownEvent,
    /// A keyword's value is wrong.
    Value,
    /// A keyword stands where it has no meaning.
    Placement,
    /// Keywords contradict each other; the rule could never match.
    Conflict,
    /// sid is missing or used twice.
    Identity,
    /// `requires` is not met.
    Requires,
    /// A file that a rule or the configuration names cannot be used.
    File,
    /// Something outside of rules (configuration files, variables).
    Configuration,
    /// Legal, but suspicious.
    Style,
}

/// One message about one place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// File name as the user gave it.
    #[serde(serialize_with = "as_str")]
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// In bytes, from 1.
    pub column: u32,
    /// Bytes of the file.
    pub span: Span,
    /// How bad.
    pub severity: Severity,
    /// Kind.
    pub cause: Cause,
    /// sid of the rule, when it could be read.
    pub sid: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub remedy: Option<String>,
    /// The words by which Suricata's users know it.
    #[serde(skip)]
    pub known_as: Option<String>,
    /// Part of the line around the span.
    pub excerpt: String,
    /// Where in the excerpt (in characters) the span begins, and its length there.
    pub mark: (u32, u32),
}

/// Bytes of a line that an excerpt shows at most.
const EXCERPT: usize = 120;

impl Diagnostic {
    /// For a span of a file whose bytes are at hand. Line and column are computed from `hint`, the line number of
    /// some offset at or before the span.
    pub fn at(
        file: &Arc<str>,
        bytes: &[u8],
        span: Span,
        hint: (usize, u32),
        severity: Severity,
        cause: Cause,
        message: String,
    ) -> Self {
        let start = (span.start as usize).min(bytes.len());
        let (hint_at, hint_line) = if hint.0 <= start { hint } else { (0, 1) };
        let between = bytes.get(hint_at..start).unwrap_or(&[]);
        let line = hint_line.saturating_add(between.iter().filter(|&&b| b == b'\n').count() as u32);
        let line_start = bytes.get(..start).unwrap_or(&[]).iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
        let line_end =
            bytes.get(start..).unwrap_or(&[]).iter().position(|&b| b == b'\n').map_or(bytes.len(), |n| start + n);
        let (excerpt, mark) = excerpt(bytes, line_start, line_end, start, (span.end as usize).clamp(start, line_end));
        Diagnostic {
            file: Arc::clone(file),
            line,
            column: (start - line_start) as u32 + 1,
            span,
            severity,
            cause,
            sid: None,
            message,
            remedy: None,
            known_as: None,
            excerpt,
            mark,
        }
    }

    /// For something without a place in a file.
    pub fn general(file: &Arc<str>, severity: Severity, cause: Cause, message: String, remedy: Option<String>) -> Self {
        Diagnostic {
            file: Arc::clone(file),
            line: 0,
            column: 0,
            span: Span::default(),
            severity,
            cause,
            sid: None,
            message,
            remedy,
            known_as: None,
            excerpt: String::new(),
            mark: (0, 0),
        }
    }
}

/// A window of the line that shows the span; control characters become spaces.
fn excerpt(bytes: &[u8], line_start: usize, line_end: usize, start: usize, end: usize) -> (String, (u32, u32)) {
    let wanted = (end - start).clamp(1, EXCERPT / 2);
    let (mut from, mut to) = (line_start, line_end);
    if to - from > EXCERPT {
        from = start.saturating_sub((EXCERPT - wanted) / 3).max(line_start);
        to = (from + EXCERPT).min(line_end);
        from = from.min(to.saturating_sub(EXCERPT).max(line_start));
    }
    let clean = |from: usize, to: usize| -> String {
        String::from_utf8_lossy(bytes.get(from..to).unwrap_or(&[]))
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect()
    };
    let before = clean(from, start.min(to));
    let marked = clean(start.min(to), end.min(to));
    let after = clean(end.min(to), to);
    let mut text = String::new();
    if from > line_start {
        text.push('…');
    }
    text.push_str(&before);
    let column = text.chars().count() as u32;
    text.push_str(&marked);
    text.push_str(after.trim_end());
    if to < line_end {
        text.push('…');
    }
    (text, (column, (marked.chars().count() as u32).max(1)))
}

/// `Arc<str>` as a string.
pub(crate) fn as_str<S: serde::Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
