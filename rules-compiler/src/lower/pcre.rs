//! `pcre:"/expression/flags,captures"`.

use super::{Fault, Lowered, Lowering, Sticky};
use crate::diag::Cause;
use crate::syntax::{OptionSyntax, Span};
use std::sync::Arc;
use weir_ir::{Buffer, Match, Pcre};

/// Letters that name a buffer.
fn buffer_of(letter: u8) -> Option<Buffer> {
    Some(match letter {
        b'U' => Buffer::HttpUri,
        b'I' => Buffer::HttpUriRaw,
        b'P' => Buffer::HttpRequestBody,
        b'Q' => Buffer::HttpResponseBody,
        b'H' => Buffer::HttpHeader,
        b'D' => Buffer::HttpHeaderRaw,
        b'M' => Buffer::HttpMethod,
        b'C' | b'K' => Buffer::HttpCookie,
        b'S' => Buffer::HttpStatusCode,
        b'Y' => Buffer::HttpStatusMessage,
        b'V' => Buffer::HttpUserAgent,
        b'W' => Buffer::HttpHost,
        b'Z' => Buffer::HttpHostRaw,
        _ => return None,
    })
}

impl Lowering<'_, '_> {
    pub(super) fn pcre(&mut self, option: &OptionSyntax) -> Lowered {
        let Some(value) = &option.value else {
            self.value(option)?;
            return Ok(());
        };
        // Quotes are usual, but not required.
        let (quoted, negated) = match value.quoted {
            Some(quoted) => (quoted, value.negated),
            None => {
                let raw = value.raw.of(self.text);
                let marks = raw.iter().take_while(|&&b| b == b'!' || b == b' ').count();
                let span = Span { start: value.raw.start + marks as u32, end: value.raw.end };
                (span, raw.first() == Some(&b'!'))
            }
        };
        let text = quoted.of(self.text);
        // Snort allows `m` and another delimiter; Suricata only `/`.
        let delimiter_at =
            usize::from(text.first() == Some(&b'm') && text.get(1).is_some_and(|b| !b.is_ascii_alphanumeric()));
        let delimiter = text.get(delimiter_at).copied().unwrap_or(0);
        if delimiter_at == 0 && delimiter != b'/' {
            return Err(self.wrong(option, "the expression must stand between slashes"));
        }
        let start = delimiter_at + 1;
        let close = text.iter().rposition(|&b| b == delimiter).filter(|&at| at >= start);
        let Some(close) = close else {
            return Err(self.wrong(option, "the expression's second slash is missing"));
        };
        let expression = text.get(start..close).unwrap_or(&[]);
        if expression.is_empty() {
            return Err(self.wrong(option, "the expression is empty"));
        }
        let tail = text.get(close + 1..).unwrap_or(&[]);
        let (flags, captures) = match tail.iter().position(|&b| b == b',') {
            Some(comma) => (tail.get(..comma).unwrap_or(&[]), tail.get(comma + 1..).unwrap_or(&[])),
            None => (tail, &[][..]),
        };
        let mut pcre = Pcre { negated, ..Pcre::new(pattern_text(expression)) };
        let mut buffer: Option<Buffer> = None;
        for (i, &flag) in flags.iter().enumerate() {
            match flag {
                b'i' => pcre.caseless = true,
                b'm' => pcre.multiline = true,
                b's' => pcre.dotall = true,
                b'x' => pcre.extended = true,
                b'A' => pcre.anchored = true,
                b'E' => pcre.dollar_endonly = true,
                b'G' => pcre.ungreedy = true,
                b'R' => pcre.relative = true,
                b'O' => pcre.no_limit = true,
                b'B' | b' ' => {}
                other => match buffer_of(other) {
                    Some(named) if buffer.is_some_and(|b| b != named) => {
                        return Err(self.wrong(option, "the flags name two buffers"));
                    }
                    Some(named) => buffer = Some(named),
                    None => {
                        let at = quoted.start as usize + close + 1 + i;
                        let letter = (other as char).escape_default();
                        return Err(Fault::new(
                            Span::new(at, at + 1),
                            Cause::Value,
                            format!("`{letter}` is no flag of an expression"),
                            "i, m, s, x, A, E, G, R, O, B and the buffer letters U, I, P, Q, H, D, M, C, S, Y, V, W, Z are",
                        ));
                    }
                },
            }
        }
        self.captures(option, &mut pcre, captures)?;
        if let Some(check) = self.session.options.check_pcre
            && let Err(message) = check(&pcre)
        {
            return Err(Fault::new(
                quoted,
                Cause::Value,
                format!("the expression is not valid: {message}"),
                "correct the expression",
            ));
        }
        // In Suricata `Q` and `file.data` name the same bytes of a response.
        if buffer == Some(Buffer::HttpResponseBody)
            && self.draft.sticky.as_ref().is_some_and(|s| s.buffer == Buffer::FileData)
        {
            buffer = None;
        }
        let Some(buffer) = buffer else {
            let place = self.push(option, Match::Pcre(pcre))?;
            self.draft.spans.push((place, option.span()));
            return Ok(());
        };
        if let Some(sticky) = &self.draft.sticky
            && sticky.buffer != buffer
        {
            return Err(Fault::new(
                option.span(),
                Cause::Placement,
                format!("the flags name `{}`, but `{}` is in force", buffer.name(), sticky.buffer.name()),
                "remove the letter, or write `pkt_data;` before the expression",
            ));
        }
        if buffer == Buffer::HttpHost {
            if pcre.caseless {
                self.warn(option.span(), Cause::Style, "`http.host` is lower case; `i` has no effect", "remove `i`");
            } else if has_upper_case_literal(pcre.pattern.as_bytes()) {
                return Err(Fault::new(
                    option.span(),
                    Cause::Conflict,
                    "`http.host` is lower case, but the expression has upper-case letters",
                    "write the expression in lower case, or use `Z` for the raw host",
                ));
            }
        }
        let before = self.draft.sticky.take();
        self.use_buffer(option.span(), buffer)?;
        self.draft.sticky = Some(Sticky { buffer, transforms: Vec::new(), span: option.span(), side: None, entry: None });
        let place = self.push(option, Match::Pcre(pcre))?;
        self.draft.spans.push((place, option.span()));
        self.draft.sticky = before;
        Ok(())
    }

    /// `, flow:name, pkt:name`: names for the groups in order.
    fn captures(&self, option: &OptionSyntax, pcre: &mut Pcre, list: &[u8]) -> Lowered {
        for item in list.split(|&b| b == b',') {
            let item = String::from_utf8_lossy(item);
            let item = item.trim();
            if item.is_empty() {
                continue;
            }
            let known =
                ["flow:", "pkt:", "alert:"].iter().any(|p| item.strip_prefix(p).is_some_and(|n| !n.trim().is_empty()));
            if !known || pcre.captures.len() >= 8 {
                return Err(
                    self.wrong(option, format!("`{item}` is not `flow:name`, `pkt:name` or `alert:name` (at most 8)"))
                );
            }
            pcre.captures.push(item.into());
        }
        Ok(())
    }
}

/// Expressions are bytes; those beyond ASCII are written as `\xHH` outside of quotations, which keeps their meaning.
fn pattern_text(bytes: &[u8]) -> Arc<str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.is_ascii()
    {
        return text.into();
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    for &byte in bytes {
        if byte.is_ascii() { out.push(byte as char) } else { out.push_str(&format!("\\x{byte:02x}")) }
    }
    out.into()
}

/// Upper-case letters that are not part of an escape such as `\W`.
pub(super) fn has_upper_case_literal(pattern: &[u8]) -> bool {
    let mut at = 0;
    while let Some(&byte) = pattern.get(at) {
        match byte {
            b'\\' => match pattern.get(at + 1) {
                Some(b'x') => at += 4,
                _ => at += 2,
            },
            b'(' if pattern.get(at + 1) == Some(&b'?') => {
                // Group flags and names: `(?P<Name>`, `(?i)`.
                at += pattern
                    .get(at..)
                    .and_then(|p| p.iter().position(|b| matches!(b, b':' | b'>' | b')' | b'=' | b'!')))
                    .unwrap_or(1)
                    + 1;
            }
            b if b.is_ascii_uppercase() => return true,
            _ => at += 1,
        }
    }
    false
}
