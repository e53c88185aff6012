//! classification.config, reference.config and threshold.config.
//!
//! Each line is read by itself; a wrong line is reported and skipped.

pub mod geography;
pub mod reputation;
mod threshold;

pub use threshold::{Suppression, ThresholdConfig, ThresholdEntry, ThresholdScope};

use crate::diag::{Cause, Diagnostic, Severity};
use crate::syntax::Span;
use std::collections::HashMap;
use std::sync::Arc;

/// One class of alerts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classification {
    /// Name that rules use.
    pub name: Arc<str>,
    /// Words for people.
    pub description: Arc<str>,
    /// 1 (highest) to 255.
    pub priority: u8,
}

/// Classes by lower-case name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Classifications {
    by_name: HashMap<String, Classification>,
}

impl Classifications {
    /// The class of a name; case does not count.
    pub fn get(&self, name: &str) -> Option<&Classification> {
        self.by_name.get(name).or_else(|| self.by_name.get(&name.to_ascii_lowercase()))
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// None are known.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.values().map(|c| &*c.name)
    }

    /// Read `config classification: name,description,priority` lines. The first entry of a name counts.
    pub fn parse(file: &Arc<str>, bytes: &[u8], problems: &mut Vec<Diagnostic>) -> Self {
        let mut found = Classifications::default();
        lines(bytes, |line| {
            let Some(rest) = config_line(line.text, "classification") else {
                line.problem(file, bytes, problems, "expected `config classification: name,description,priority`");
                return;
            };
            let mut parts = rest.splitn(2, ',');
            let name = parts.next().unwrap_or("").trim();
            let (description, priority) = parts.next().and_then(|p| p.rsplit_once(',')).unwrap_or(("", ""));
            match priority.trim().parse::<u8>() {
                Ok(priority) if priority > 0 && !name.is_empty() => {
                    found.by_name.entry(name.to_ascii_lowercase()).or_insert_with(|| Classification {
                        name: name.into(),
                        description: description.trim().into(),
                        priority,
                    });
                }
                _ => line.problem(file, bytes, problems, "expected a name, a description and a priority from 1 to 255"),
            }
        });
        found
    }
}

/// Systems of references, lower-case name to the start of their URL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct References {
    by_name: HashMap<String, Arc<str>>,
}

impl References {
    /// The start of the URL; case of the name does not count.
    pub fn get(&self, system: &str) -> Option<&Arc<str>> {
        self.by_name.get(system).or_else(|| self.by_name.get(&system.to_ascii_lowercase()))
    }

    /// Number of systems.
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// None are known.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// The full address of a rule's reference.
    pub fn url(&self, system: &str, text: &str) -> Option<String> {
        self.get(system).map(|start| format!("{start}{text}"))
    }

    /// Read `config reference: system URL` lines.
    pub fn parse(file: &Arc<str>, bytes: &[u8], problems: &mut Vec<Diagnostic>) -> Self {
        let mut found = References::default();
        lines(bytes, |line| {
            let rest = config_line(line.text, "reference").unwrap_or("");
            match rest.split_once(char::is_whitespace) {
                Some((system, url)) if !system.is_empty() && !url.trim().is_empty() => {
                    found.by_name.entry(system.to_ascii_lowercase()).or_insert_with(|| url.trim().into());
                }
                _ => line.problem(file, bytes, problems, "expected `config reference: system URL`"),
            }
        });
        found
    }
}

/// A line that is neither blank nor comment.
struct Line<'a> {
    text: &'a str,
    span: Span,
    number: u32,
}

impl Line<'_> {
    fn problem(&self, file: &Arc<str>, bytes: &[u8], problems: &mut Vec<Diagnostic>, message: &str) {
        let hint = (self.span.start as usize, self.number);
        problems.push(Diagnostic::at(
            file,
            bytes,
            self.span,
            hint,
            Severity::Warning,
            Cause::Configuration,
            message.to_owned(),
        ));
    }
}

fn lines(bytes: &[u8], mut each: impl FnMut(Line<'_>)) {
    let mut start = 0;
    for (number, line) in bytes.split(|&b| b == b'\n').enumerate() {
        let (from, to) = crate::syntax::trim(line, 0, line.len());
        let text = line.get(from..to).unwrap_or(&[]);
        if !text.is_empty() && text.first() != Some(&b'#') {
            let text = String::from_utf8_lossy(text);
            each(Line { text: &text, span: Span::new(start + from, start + to), number: number as u32 + 1 });
        }
        start += line.len() + 1;
    }
}

/// What follows `config WORD:`.
fn config_line<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let rest = text.strip_prefix("config")?.trim_start().strip_prefix(word)?;
    Some(rest.trim_start().strip_prefix(':')?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_references() {
        let mut problems = Vec::new();
        let file: Arc<str> = "c".into();
        let classes = Classifications::parse(
            &file,
            b"# x\nconfig classification: bad-unknown,Potentially, Bad Traffic, 2\nconfig classification: x,y,0\nnonsense\n",
            &mut problems,
        );
        assert_eq!(classes.len(), 1);
        let class = classes.get("BAD-unknown").unwrap();
        assert_eq!((&*class.description, class.priority), ("Potentially, Bad Traffic", 2));
        assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [3, 4]);
        problems.clear();
        let refs =
            References::parse(&file, b"config reference: cve\thttps://c/?name=\nconfig reference: x\n", &mut problems);
        assert_eq!(refs.url("CVE", "2020-1"), Some("https://c/?name=2020-1".into()));
        assert_eq!(problems.len(), 1);
    }
}
