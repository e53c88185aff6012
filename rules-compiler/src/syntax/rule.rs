//! Header and body of one rule.

use super::option::{OptionError, OptionSyntax, parse_option};
use super::{Span, is_blank};

/// The words before the parenthesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderSyntax {
    /// `alert`, `drop` …
    pub action: Span,
    /// Protocol or service; absent in `file_id (…)` and Snort's built-in rules.
    pub protocol: Option<Span>,
    /// Addresses, ports and direction; absent in Snort 3's service rules.
    pub endpoints: Option<[Span; 5]>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSyntax {
    /// The header.
    pub header: HeaderSyntax,
    /// The options, in order.
    pub options: Vec<OptionSyntax>,
}

/// Why a text is no rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where.
    pub span: Span,
    /// What is wrong.
    pub message: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

fn error(span: Span, message: &'static str, remedy: &'static str) -> SyntaxError {
    SyntaxError { span, message, remedy }
}

/// Parse the text of one rule (no line continuations; see [`super::Splitter`]).
pub fn parse_rule(text: &[u8]) -> Result<RuleSyntax, SyntaxError> {
    let (header, mut at) = parse_header(text)?;
    let body = at;
    let mut options = Vec::with_capacity(16);
    loop {
        while text.get(at).is_some_and(|&b| is_blank(b)) {
            at += 1;
        }
        match text.get(at) {
            None => {
                return Err(error(
                    Span::new(body.saturating_sub(1), body),
                    "the rule's parenthesis is not closed",
                    "end the rule with `)`, or its line with `\\` when it goes on in the next line",
                ));
            }
            Some(b')') => break,
            Some(b';') => {
                return Err(error(Span::new(at, at + 1), "an empty option", "remove the superfluous `;`"));
            }
            Some(_) => {
                let (option, next) = parse_option(text, at).map_err(|e| option_error(text, e))?;
                options.push(option);
                at = next;
            }
        }
    }
    let (from, to) = super::trim(text, at + 1, text.len());
    if from < to && text[from] != b'#' {
        return Err(error(
            Span::new(from, to),
            "text behind the rule's closing parenthesis",
            "remove it, or put it on a line of its own behind `#`",
        ));
    }
    Ok(RuleSyntax { header, options })
}

fn option_error(text: &[u8], cause: OptionError) -> SyntaxError {
    let end = |at: usize| text.get(at..).map_or(at, |t| at + t.iter().position(|&b| b == b';').unwrap_or(t.len()));
    match cause {
        OptionError::NoSemicolon(at) => error(
            Span::new(at, end(at)),
            "the option does not end with `;`",
            "write `;` behind every option, the last one too",
        ),
        OptionError::OpenQuote(at) => error(
            Span::new(at, at + 1),
            "the quote is not closed",
            "close the value with `\"` before its `;`; write a quote within the value as `\\\"` or `|22|`",
        ),
        OptionError::NoName(at) => error(
            Span::new(at, at + 1),
            "expected a keyword or `)`",
            "options have the form `keyword;` or `keyword:value;`",
        ),
        OptionError::AfterQuote(at) => {
            error(Span::new(at, end(at)), "text behind the closing quote", "end the option with `;` behind the quote")
        }
    }
}

fn parse_header(text: &[u8]) -> Result<(HeaderSyntax, usize), SyntaxError> {
    let mut words: [Span; 7] = [Span::default(); 7];
    let mut count = 0;
    let mut at = 0;
    loop {
        while text.get(at).is_some_and(|&b| is_blank(b)) {
            at += 1;
        }
        match text.get(at) {
            None => {
                let all = Span::new(0, text.len());
                return Err(match count {
                    0..=2 => error(
                        all,
                        "this is not a rule",
                        "begin a rule with an action such as `alert`, a comment with `#`",
                    ),
                    _ => error(
                        all,
                        "the rule has no options",
                        "write the options in parentheses: `( msg:\"…\"; sid:…; )`",
                    ),
                });
            }
            Some(b'(') => break,
            Some(_) => {
                let word = header_word(text, at)?;
                if count == words.len() {
                    return Err(error(
                        word,
                        "the header has more than seven words",
                        "write `action protocol source ports -> destination ports (`; lists go in brackets",
                    ));
                }
                words[count] = word;
                count += 1;
                at = word.end as usize;
            }
        }
    }
    let header = match count {
        1 => HeaderSyntax { action: words[0], protocol: None, endpoints: None },
        2 => HeaderSyntax { action: words[0], protocol: Some(words[1]), endpoints: None },
        7 => HeaderSyntax {
            action: words[0],
            protocol: Some(words[1]),
            endpoints: Some([words[2], words[3], words[4], words[5], words[6]]),
        },
        0 => return Err(error(Span::new(0, at), "the rule has no header", "begin with an action and a protocol")),
        _ => {
            return Err(error(
                Span::new(words[0].start as usize, words[count - 1].end as usize),
                "the header is incomplete",
                "write `action protocol source ports -> destination ports (`",
            ));
        }
    };
    Ok((header, at + 1))
}

/// A word, or a bracketed list with blanks inside. `!` followed by blanks belongs to the next word.
fn header_word(text: &[u8], start: usize) -> Result<Span, SyntaxError> {
    let mut at = start;
    let mut depth = 0u32;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 0 => {
                return Err(error(Span::new(at, at + 1), "`]` without `[`", "remove the bracket, or open the list"));
            }
            b']' => depth -= 1,
            b'(' if depth == 0 => break,
            // A list that reaches the body or an option was never closed.
            b'(' | b';' | b'"' => break,
            b if is_blank(b) && depth == 0 => {
                if text.get(start..at).is_some_and(|t| t.iter().all(|&b| b == b'!' || is_blank(b))) && at > start {
                    at += 1;
                    continue;
                }
                break;
            }
            _ => {}
        }
        at += 1;
    }
    if depth > 0 {
        return Err(error(Span::new(start, start + 1), "the list's bracket is not closed", "close the list with `]`"));
    }
    Ok(Span::new(start, at.max(start + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(text: &str, span: Span) -> &str {
        std::str::from_utf8(span.of(text.as_bytes())).unwrap()
    }

    #[test]
    fn suricata_rule() {
        let text = r#"alert tcp [1.2.3.4, !$X] 1024: -> ![a,[b , c]] any (msg:"a \"b\" c\; d"; content:!"|41|"; nocase ; pcre:"/x"y\/;"/i"; reference:url,x.y/(z); sid:1;)"#;
        // The `;` inside of the expression ends nothing: the quote goes on to `"` before `;`.
        let rule = parse_rule(text.as_bytes()).unwrap_err();
        assert_eq!(rule.message, "the quote is not closed");
        let text = text.replace("/;\"/i", "/i");
        let rule = parse_rule(text.as_bytes()).unwrap();
        let words = rule.header.endpoints.unwrap();
        assert_eq!(words.map(|w| text_of(&text, w)), ["[1.2.3.4, !$X]", "1024:", "->", "![a,[b , c]]", "any"]);
        let names: Vec<_> = rule.options.iter().map(|o| text_of(&text, o.name)).collect();
        assert_eq!(names, ["msg", "content", "nocase", "pcre", "reference", "sid"]);
        let content = rule.options[1].value.as_ref().unwrap();
        assert!(content.negated);
        assert_eq!(text_of(&text, content.quoted.unwrap()), "|41|");
        assert_eq!(text_of(&text, rule.options[0].value.as_ref().unwrap().quoted.unwrap()), r#"a \"b\" c\; d"#);
    }

    #[test]
    fn snort3_rule() {
        let text = r#"alert http ( content:"a;b",depth 16, offset 4 ,fast_pattern; http_header:field user-agent; )"#;
        let rule = parse_rule(text.as_bytes()).unwrap();
        assert!(rule.header.endpoints.is_none());
        let value = rule.options[0].value.as_ref().unwrap();
        assert_eq!(text_of(text, value.quoted.unwrap()), "a;b");
        let modifiers: Vec<_> =
            value.modifiers.iter().map(|m| (text_of(text, m.name), text_of(text, m.argument))).collect();
        assert_eq!(modifiers, [("depth", "16"), ("offset", "4"), ("fast_pattern", "")]);
    }

    #[test]
    fn errors_name_the_place() {
        let cases = [
            (r#"alert tcp any any -> any (sid:1;)"#, "the header is incomplete"),
            (r#"alert tcp any any -> any any"#, "the rule has no options"),
            (r#"hello world"#, "this is not a rule"),
            (r#"alert tcp any any -> any any (sid:1)"#, "the option does not end with `;`"),
            (r#"alert tcp any any -> any any (msg:"a; sid:1;)"#, "the quote is not closed"),
            (r#"alert tcp any any -> any any (msg:"a; content:"b"; sid:1;)"#, "the quote is not closed"),
            (r#"alert tcp any any -> any any (sid:1;"#, "the rule's parenthesis is not closed"),
            (r#"alert tcp any any -> any any (sid:1;) x"#, "text behind the rule's closing parenthesis"),
            (r#"alert tcp any any -> any any (sid:1; %)"#, "expected a keyword or `)`"),
            (r#"alert tcp any any -> any any (content:"a";; sid:1;)"#, "an empty option"),
            (r#"alert tcp any any -> any any (msg:"a")"#, "the option does not end with `;`"),
            (r#"alert tcp [a any -> any any (sid:1;)"#, "the list's bracket is not closed"),
            (r#"alert tcp any any -> any any any (sid:1;)"#, "the header has more than seven words"),
        ];
        for (text, message) in cases {
            assert_eq!(parse_rule(text.as_bytes()).unwrap_err().message, message, "{text}");
        }
    }
}
