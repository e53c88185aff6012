//! Regular expressions of rules: translation of rule flags, limits, and the outcome of a match.
//!
//! Place: leaf of the chain evaluator. Invariants: expressions are byte expressions (no UTF mode), limits always hold
//! unless the rule asks otherwise, just-in-time compilation happens at the first execution. All contact with the
//! library is in [`ffi`].

pub mod ffi;

use crate::notes::Place;
use std::sync::Arc;
use weir_ir::Pcre;

/// Limits of one execution (reference semantics, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PcreLimits {
    /// Calls of the library's internal match function.
    pub matches: u32,
    /// Depth of nested backtracking (only the interpreter obeys it).
    pub depth: u32,
}

impl Default for PcreLimits {
    fn default() -> Self {
        PcreLimits { matches: 3500, depth: 1500 }
    }
}

/// Result of one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Byte range of the whole match.
    Match(usize, usize),
    /// No match.
    NoMatch,
    /// A limit was reached: counted, and treated as no match.
    Limit,
}

/// What bytes behind a subject could bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// A match that begins in the subject, or it cannot be told.
    Open,
    /// None that begins in the subject.
    Never,
}

/// Translate the rule's flags and compile.
pub fn compile(pcre: &Pcre) -> Result<ffi::Code, String> {
    let mut options = ffi::Options::default();
    options.caseless = pcre.caseless;
    options.multiline = pcre.multiline;
    options.dotall = pcre.dotall;
    options.extended = pcre.extended;
    options.anchored = pcre.anchored;
    options.dollar_endonly = pcre.dollar_endonly;
    options.ungreedy = pcre.ungreedy;
    ffi::Code::compile(&pcre.pattern, options)
}

/// Groups that have a name, and where their bytes are told: those that the option lists, in order, and those that the
/// expression names `flow_…`, `pkt_…` or `alert_…`.
pub fn captures(pcre: &Pcre) -> Vec<(usize, Place, Arc<str>)> {
    let mut found = Vec::new();
    for (n, item) in pcre.captures.iter().enumerate() {
        let place = |text: &str| match text {
            "flow" => Some(Place::Flow),
            "pkt" => Some(Place::Packet),
            "alert" => Some(Place::Alert),
            _ => None,
        };
        if let Some((place, name)) = item.split_once(':').and_then(|(p, name)| Some((place(p)?, name.trim()))) {
            found.push((n + 1, place, name.into()));
        }
    }
    for (group, name) in named_groups(&pcre.pattern) {
        let place = [("flow_", Place::Flow), ("pkt_", Place::Packet), ("alert_", Place::Alert)];
        if let Some((rest, place)) = place.iter().find_map(|(prefix, p)| Some((name.strip_prefix(prefix)?, *p))) {
            found.push((group, place, rest.into()));
        }
    }
    found.retain(|(group, ..)| *group < ffi::GROUPS);
    found
}

/// Number and name of the groups `(?P<name>…)`, `(?<name>…)`.
fn named_groups(pattern: &str) -> Vec<(usize, &str)> {
    let bytes = pattern.as_bytes();
    let (mut at, mut group, mut class) = (0, 0, false);
    let mut found = Vec::new();
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' if !class => class = true,
            b']' => class = false,
            b'(' if !class => {
                let rest = &pattern[at + 1..];
                let named = rest.strip_prefix("?P<").or_else(|| {
                    rest.strip_prefix("?<").filter(|r| !r.starts_with(['=', '!']))
                });
                if named.is_some() || !rest.starts_with(['?', '*']) {
                    group += 1;
                }
                if let Some((name, _)) = named.and_then(|r| r.split_once('>')) {
                    found.push((group, name));
                }
            }
            _ => {}
        }
        at += 1;
    }
    found
}

/// Compile a transform's expression (`pcrexform`).
pub fn compile_plain(pattern: &str) -> Result<ffi::Code, String> {
    ffi::Code::compile(pattern, ffi::Options::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcre(pattern: &str) -> Pcre {
        Pcre::new(pattern)
    }

    #[test]
    fn matches_bytes() {
        let mut matcher = ffi::Matcher::new(PcreLimits::default()).unwrap();
        let code = compile(&pcre(r"a\xff+b")).unwrap();
        assert_eq!(matcher.find(&code, b"xxa\xff\xffb", 0, false, false), Outcome::Match(2, 6));
        assert_eq!(matcher.find(&code, b"xxa\xff\xffb", 3, false, false), Outcome::NoMatch);
        assert_eq!(matcher.find(&code, b"", 0, false, false), Outcome::NoMatch);
    }

    #[test]
    fn names_of_groups() {
        let named = Pcre { captures: vec!["flow:a".into(), "alert:b".into()], ..pcre("(x)(y)") };
        let names: Vec<_> = captures(&named).into_iter().map(|(n, p, name)| (n, p, name.to_string())).collect();
        assert_eq!(names, [(1, Place::Flow, "a".to_owned()), (2, Place::Alert, "b".to_owned())]);
        let inner = captures(&pcre(r"\((?:a)([(])(?P<pkt_c>z)"));
        assert_eq!(inner, [(2, Place::Packet, "c".into())]);
    }

    #[test]
    fn limit_is_reported() {
        let mut matcher = ffi::Matcher::new(PcreLimits { matches: 100, depth: 100 }).unwrap();
        let code = compile(&pcre(r"(a+)+$")).unwrap();
        let mut subject = vec![b'a'; 30];
        subject.push(b'b');
        assert_eq!(matcher.find(&code, &subject, 0, false, false), Outcome::Limit);
    }

    #[test]
    fn bad_expression_is_an_error() {
        let error = compile(&pcre("a(b")).unwrap_err();
        assert!(error.contains("parenthes"), "{error}");
    }

    #[test]
    fn captures_of_a_transform() {
        let mut matcher = ffi::Matcher::new(PcreLimits::default()).unwrap();
        let code = compile_plain("x(a+)y").unwrap();
        assert_eq!(matcher.group(&code, b"..xaay", 1), Some((3, 5)));
        assert_eq!(matcher.group(&code, b"..xy", 1), None);
    }
}
