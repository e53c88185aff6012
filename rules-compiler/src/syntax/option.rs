//! One option of a rule body: `name;`, `name:value;`, and Snort 3's `name:"value",modifier argument,…;`.

use super::{Span, is_blank, trim};

/// `modifier argument` behind a quoted value (Snort 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModifierSyntax {
    /// Its name.
    pub name: Span,
    /// What follows the name; may be empty.
    pub argument: Span,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueSyntax {
    /// Everything between `:` and `;`, without surrounding blanks.
    pub raw: Span,
    /// `!` before a quoted value.
    pub negated: bool,
    /// The text between the quotes, escapes kept.
    pub quoted: Option<Span>,
    /// Comma-separated modifiers behind the closing quote.
    pub modifiers: Vec<ModifierSyntax>,
}

/// One option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSyntax {
    /// The keyword as written.
    pub name: Span,
    /// What follows the colon.
    pub value: Option<ValueSyntax>,
}

impl OptionSyntax {
    /// From the name to the end of the value.
    pub fn span(&self) -> Span {
        Span {
            start: self.name.start,
            end: self.value.as_ref().map_or(self.name.end, |v| v.raw.end.max(self.name.end)),
        }
    }
}

/// What is wrong with an option's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionError {
    /// No `;` behind the option that begins here.
    NoSemicolon(usize),
    /// The quote that begins here is not closed.
    OpenQuote(usize),
    /// Bytes where a keyword should be.
    NoName(usize),
    /// Something other than `;` or `,` behind a closing quote.
    AfterQuote(usize),
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')
}

fn skip_blanks(text: &[u8], mut at: usize) -> usize {
    while text.get(at).is_some_and(|&b| is_blank(b)) {
        at += 1;
    }
    at
}

/// Closing quote for the quote at `open`: the first unescaped `"` that only blanks part from `;`, from the end of the
/// text, or from a comma and a modifier's name. Unescaped quotes elsewhere are content (Suricata reads pcre so).
fn closing_quote(text: &[u8], open: usize) -> Result<usize, OptionError> {
    let mut at = open + 1;
    let mut semicolon = false;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'\\' => at += 1,
            b';' => semicolon = true,
            b'"' => {
                let next = skip_blanks(text, at + 1);
                match text.get(next) {
                    Some(b';') => return Ok(at),
                    Some(b',') => {
                        let word = skip_blanks(text, next + 1);
                        if text.get(word).is_some_and(|b| b.is_ascii_alphabetic()) {
                            return Ok(at);
                        }
                    }
                    None => return Err(OptionError::NoSemicolon(open)),
                    Some(b')') if skip_blanks(text, next + 1) >= text.len() => {
                        return Err(OptionError::NoSemicolon(open));
                    }
                    // `"x; content:"y"`: the quote opens anew, so the first one was never closed.
                    Some(_) if semicolon => return Err(OptionError::OpenQuote(open)),
                    Some(_) => {}
                }
            }
            _ => {}
        }
        at += 1;
    }
    Err(OptionError::OpenQuote(open))
}

/// End of an unquoted value: the first `;` without a backslash before it.
fn unquoted_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start;
    loop {
        let rest = text.get(at..)?;
        let found = at + rest.iter().position(|&b| b == b';')?;
        if found == start || text[found - 1] != b'\\' {
            return Some(found);
        }
        at = found + 1;
    }
}

/// Parse the option at `at` (not blank). Gives the option and the offset behind its semicolon.
pub fn parse_option(text: &[u8], at: usize) -> Result<(OptionSyntax, usize), OptionError> {
    let mut end = at;
    while text.get(end).is_some_and(|&b| is_name_byte(b)) {
        end += 1;
    }
    if end == at {
        return Err(OptionError::NoName(at));
    }
    let name = Span::new(at, end);
    let next = skip_blanks(text, end);
    match text.get(next) {
        Some(b';') => Ok((OptionSyntax { name, value: None }, next + 1)),
        Some(b':') => {
            let (value, next) = parse_value(text, next + 1)?;
            Ok((OptionSyntax { name, value: Some(value) }, next))
        }
        // Snort 3: `http_header:field x` has a colon, but `file_type "PDF"` and the like have none.
        _ => Err(OptionError::NoSemicolon(at)),
    }
}

fn parse_value(text: &[u8], start: usize) -> Result<(ValueSyntax, usize), OptionError> {
    let start = skip_blanks(text, start);
    let mut at = start;
    let negated = text.get(at) == Some(&b'!');
    if negated {
        at = skip_blanks(text, at + 1);
    }
    if text.get(at) == Some(&b'"') {
        let close = closing_quote(text, at)?;
        let quoted = Some(Span::new(at + 1, close));
        let mut next = skip_blanks(text, close + 1);
        let mut modifiers = Vec::new();
        if text.get(next) == Some(&b',') {
            let end = unquoted_end(text, next).ok_or(OptionError::NoSemicolon(start))?;
            split_modifiers(text, next + 1, end, &mut modifiers);
            next = end;
        }
        if text.get(next) != Some(&b';') {
            return Err(OptionError::AfterQuote(next));
        }
        let (from, to) = trim(text, start, next);
        return Ok((ValueSyntax { raw: Span::new(from, to), negated, quoted, modifiers }, next + 1));
    }
    let end = unquoted_end(text, start).ok_or(OptionError::NoSemicolon(start))?;
    let (from, to) = trim(text, start, end);
    Ok((ValueSyntax { raw: Span::new(from, to), negated: false, quoted: None, modifiers: Vec::new() }, end + 1))
}

fn split_modifiers(text: &[u8], mut start: usize, end: usize, out: &mut Vec<ModifierSyntax>) {
    while start <= end {
        let stop = text.get(start..end).and_then(|t| t.iter().position(|&b| b == b',')).map_or(end, |n| start + n);
        let (from, to) = trim(text, start, stop);
        let mut name_end = from;
        while name_end < to && is_name_byte(text[name_end]) {
            name_end += 1;
        }
        let (argument, argument_end) = trim(text, name_end, to);
        out.push(ModifierSyntax { name: Span::new(from, name_end), argument: Span::new(argument, argument_end) });
        start = stop + 1;
    }
}

/// Follows header, options and quotes over pieces of text, only to know whether a rule is closed.
#[derive(Debug, Clone, Default)]
pub(super) struct Scanner {
    state: State,
    escaped: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Header,
    OptionStart,
    Name,
    ValueStart,
    Value,
    Quote,
    QuoteEnd,
    Closed,
}

impl Scanner {
    pub(super) fn closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn in_header(&self) -> bool {
        self.state == State::Header
    }

    pub(super) fn in_quote(&self) -> bool {
        self.state == State::Quote
    }

    pub(super) fn feed(&mut self, piece: &[u8]) {
        for &byte in piece {
            if std::mem::take(&mut self.escaped) {
                continue;
            }
            self.escaped = byte == b'\\' && matches!(self.state, State::Value | State::Quote);
            self.state = match (self.state, byte) {
                (State::Header, b'(') => State::OptionStart,
                (State::OptionStart, b')') => State::Closed,
                (State::OptionStart, b) if is_blank(b) => State::OptionStart,
                (State::OptionStart, _) => State::Name,
                (State::Name, b':') => State::ValueStart,
                (State::Name | State::Value | State::ValueStart | State::QuoteEnd, b';') => State::OptionStart,
                (State::ValueStart, b'"') => State::Quote,
                (State::ValueStart, b) if is_blank(b) || b == b'!' => State::ValueStart,
                (State::ValueStart, _) => State::Value,
                (State::Quote, b'"') => State::QuoteEnd,
                (State::QuoteEnd, b) if is_blank(b) => State::QuoteEnd,
                (State::QuoteEnd, b',') => State::Value,
                (State::QuoteEnd, b'"') => State::QuoteEnd,
                (State::QuoteEnd, _) => State::Quote,
                (state, _) => state,
            };
        }
    }
}
