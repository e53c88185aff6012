//! Regular expressions of rules: translation of rule flags, limits, and the outcome of a match.
//!
//! Place: leaf of the chain evaluator. Invariants: expressions are byte expressions (no UTF mode), limits always hold
//! unless the rule asks otherwise, just-in-time compilation happens at the first execution. All contact with the
//! library is in [`ffi`].

pub mod ffi;

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

/// Compile a transform's expression (`pcrexform`).
pub fn compile_plain(pattern: &str) -> Result<ffi::Code, String> {
    ffi::Code::compile(pattern, ffi::Options::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcre(pattern: &str) -> Pcre {
        Pcre {
            pattern: pattern.into(),
            negated: false,
            caseless: false,
            multiline: false,
            dotall: false,
            extended: false,
            anchored: false,
            dollar_endonly: false,
            ungreedy: false,
            relative: false,
            no_limit: false,
            captures: vec![],
        }
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
