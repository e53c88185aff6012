//! `content` and its modifiers, sizes of buffers, `absent`.

use super::{Fault, Lowered, Lowering, Place, number};
use crate::diag::Cause;
use crate::keywords::Handler;
use crate::syntax::{ModifierSyntax, OptionSyntax, Span, ValueSyntax};
use weir_ir::{Anchor, Buffer, Comparison, Content, IsDataAt, Match, Number};

/// Modifiers that place a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Position {
    Depth,
    Offset,
    Distance,
    Within,
}

impl Position {
    fn name(self) -> &'static str {
        match self {
            Position::Depth => "depth",
            Position::Offset => "offset",
            Position::Distance => "distance",
            Position::Within => "within",
        }
    }

    fn is_relative(self) -> bool {
        matches!(self, Position::Distance | Position::Within)
    }
}

/// Suricata's bound for `distance` and `within`.
const RELATIVE_MAX: i64 = 1 << 20;

/// Decode `ab|41 42|c`, with `\` before `"`, `;`, `:` and `\`. The error is (offset, message).
pub(super) fn decode(text: &[u8]) -> Result<Vec<u8>, (usize, String)> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    let mut hex: Option<usize> = None;
    let mut half: Option<u8> = None;
    while let Some(&byte) = text.get(at) {
        match (hex, byte) {
            (None, b'|') => hex = Some(at),
            (Some(_), b'|') => {
                if half.is_some() {
                    return Err((at, "an odd number of hexadecimal digits".into()));
                }
                hex = None;
            }
            (Some(_), b' ' | b'\t') => {}
            (Some(_), digit) => {
                let Some(value) = (digit as char).to_digit(16) else {
                    return Err((at, format!("`{}` is no hexadecimal digit", (digit as char).escape_default())));
                };
                match half.take() {
                    Some(high) => out.push(high << 4 | value as u8),
                    None => half = Some(value as u8),
                }
            }
            (None, b'\\') => match text.get(at + 1) {
                Some(&escaped @ (b'"' | b';' | b':' | b'\\')) => {
                    out.push(escaped);
                    at += 1;
                }
                _ => return Err((at, "`\\` may stand before `\"`, `;`, `:` and `\\` only".into())),
            },
            (None, b'"') => return Err((at, "a quote within the content".into())),
            (None, other) => out.push(other),
        }
        at += 1;
    }
    match hex {
        Some(open) => Err((open, "`|` is not closed".into())),
        None => Ok(out),
    }
}

impl Lowering<'_, '_> {
    pub(super) fn content_at(&self, place: Place) -> Option<&Content> {
        match self.draft.rule.buffers.get(place.0)?.matches.get(place.1)? {
            Match::Content(content) => Some(content),
            _ => None,
        }
    }

    fn content_at_mut(&mut self, place: Place) -> Option<&mut Content> {
        match self.draft.rule.buffers.get_mut(place.0)?.matches.get_mut(place.1)? {
            Match::Content(content) => Some(content),
            _ => None,
        }
    }

    /// A quoted value, without its quotes, and its bytes decoded.
    fn quoted_bytes(&self, option: &OptionSyntax) -> Lowered<(ValueSyntax, Vec<u8>)> {
        let Some(value) = &option.value else {
            self.value(option)?;
            return Err(self.wrong(option, "the value is missing"));
        };
        let Some(quoted) = value.quoted else {
            return Err(self.wrong(option, "the value must stand in quotes"));
        };
        let bytes = decode(quoted.of(self.text)).map_err(|(at, message)| {
            let at = quoted.start as usize + at;
            let remedy = "write bytes as `|41 42|`, and `\"`, `;`, `|` as `|22|`, `|3B|`, `|7C|`";
            let digit = self.text.get(at).map_or(' ', |b| char::from(*b));
            let shown = String::from_utf8_lossy(quoted.of(self.text));
            Fault::new(Span::new(at, at + 1), Cause::Value, message, remedy)
                .known_as(format!("Invalid hex code in content - {shown}, hex {digit}. Invalidating signature."))
        })?;
        if bytes.is_empty() {
            return Err(self.wrong(option, "the content is empty"));
        }
        Ok((value.clone(), bytes))
    }

    /// `content`, or `uricontent` with its buffer.
    pub(super) fn content(&mut self, option: &OptionSyntax, buffer: Option<Buffer>) -> Lowered {
        let (value, bytes) = self.quoted_bytes(option)?;
        let content = Content {
            bytes: bytes.into(),
            negated: value.negated,
            nocase: false,
            offset: None,
            depth: None,
            distance: None,
            within: None,
            anchor: Anchor::default(),
            fast_pattern: false,
            fast_pattern_only: false,
            fast_pattern_chop: None,
            raw: false,
        };
        let place = match buffer {
            None => self.push(option, Match::Content(content))?,
            Some(buffer) => {
                let before = self.draft.sticky.take();
                self.set_sticky(option.name, buffer)?;
                let place = self.push(option, Match::Content(content))?;
                self.draft.sticky = before;
                place
            }
        };
        self.draft.last_content = Some(place);
        self.draft.spans.push((place, option.span()));
        if !value.modifiers.is_empty() {
            self.comma_modifiers(&value.modifiers)?;
        }
        Ok(())
    }

    /// Snort 3: `content:"x",depth 16,offset 4`.
    fn comma_modifiers(&mut self, modifiers: &[ModifierSyntax]) -> Lowered {
        let mut chop: (Option<u16>, Option<u16>) = (None, None);
        for modifier in modifiers {
            let word = modifier.name.of(self.text);
            let span = Span { start: modifier.name.start, end: modifier.argument.end.max(modifier.name.end) };
            let argument = String::from_utf8_lossy(modifier.argument.of(self.text)).into_owned();
            let keyword = crate::keywords::find(word);
            match keyword.map(|k| k.handler) {
                Some(Handler::Nocase) => self.set_nocase(span)?,
                Some(Handler::Depth) => self.set_position(span, Position::Depth, &argument)?,
                Some(Handler::Offset) => self.set_position(span, Position::Offset, &argument)?,
                Some(Handler::Distance) => self.set_position(span, Position::Distance, &argument)?,
                Some(Handler::Within) => self.set_position(span, Position::Within, &argument)?,
                Some(Handler::FastPattern) => self.set_fast_pattern(span, &argument)?,
                Some(Handler::StartsWith) => self.set_starts_with(span)?,
                Some(Handler::EndsWith) => self.set_ends_with(span)?,
                Some(Handler::Rawbytes) => {}
                _ if word == b"fast_pattern_offset" => chop.0 = argument.parse().ok(),
                _ if word == b"fast_pattern_length" => chop.1 = argument.parse().ok(),
                _ => {
                    let word = String::from_utf8_lossy(word).into_owned();
                    return Err(Fault::new(
                        span,
                        Cause::Value,
                        format!("`{word}` is no modifier of a content"),
                        "nocase, depth, offset, distance, within, fast_pattern, startswith and endswith are",
                    ));
                }
            }
        }
        if let (Some(offset), Some(length)) = chop
            && let Some(content) = self.draft.last_content.and_then(|p| self.content_at_mut(p))
            && usize::from(offset) + usize::from(length) <= content.bytes.len()
            && length > 0
        {
            content.fast_pattern_chop = Some((offset, length));
        }
        Ok(())
    }

    fn last(&mut self, span: Span) -> Lowered<&mut Content> {
        let missing = || {
            Fault::new(
                span,
                Cause::Placement,
                "no content stands before this modifier",
                "write it behind the content it is for",
            )
        };
        let place = self.draft.last_content.ok_or_else(missing)?;
        self.content_at_mut(place).ok_or_else(missing)
    }

    pub(super) fn nocase(&mut self, option: &OptionSyntax) -> Lowered {
        self.set_nocase(option.span())
    }

    fn set_nocase(&mut self, span: Span) -> Lowered {
        let content = self.last(span)?;
        if std::mem::replace(&mut content.nocase, true) {
            self.warn(span, Cause::Style, "`nocase` stands twice", "remove one");
        }
        Ok(())
    }

    pub(super) fn rawbytes(&mut self, option: &OptionSyntax) -> Lowered {
        let span = option.span();
        let place = self.draft.last_content;
        let content = self.last(span)?;
        if std::mem::replace(&mut content.raw, true) {
            return Err(Fault::new(span, Cause::Placement, "`rawbytes` stands twice", "remove one"));
        }
        let buffer = place.and_then(|p| self.draft.rule.buffers.get(p.0)).map(|b| b.buffer);
        if buffer.is_some_and(|b| b != Buffer::Payload) {
            return Err(Fault::new(span, Cause::Conflict, "`rawbytes` is for contents of the payload", "remove it"));
        }
        Ok(())
    }

    pub(super) fn position(&mut self, option: &OptionSyntax, position: Position) -> Lowered {
        let value = self.value(option)?.into_owned();
        self.set_position(option.span(), position, &value)
    }

    fn set_position(&mut self, span: Span, position: Position, text: &str) -> Lowered {
        let name = position.name();
        let number = match number::signed(text) {
            Some(value) => Number::Constant(value),
            None => Number::Variable(self.variable(text.trim()).ok_or_else(|| {
                Fault::new(
                    span,
                    Cause::Value,
                    format!("`{}` is neither a number nor a variable defined before", text.trim()),
                    "define variables with byte_extract or byte_math before they are used",
                )
            })?),
        };
        let content = self.last(span)?;
        let conflict = |message: String| {
            Err(Fault::new(span, Cause::Conflict, message, "keep one kind of placement for each content"))
        };
        let slot = match position {
            Position::Depth => content.depth,
            Position::Offset => content.offset,
            Position::Distance => content.distance,
            Position::Within => content.within,
        };
        if slot.is_some() {
            return conflict(format!("`{name}` stands twice for the same content"))
                .map_err(|fault| fault.known_as(format!("can't use multiple {name}s for the same content.")));
        }
        if content.anchor.start {
            return conflict(format!("`startswith` and `{name}` exclude each other"));
        }
        if position.is_relative() && (content.depth.is_some() || content.offset.is_some()) {
            return conflict(format!("`{name}` is relative, `offset` and `depth` of the same content are not"))
            .map_err(|fault| {
                fault.known_as(
                    "can't use a relative keyword like within/distance with a absolute relative keyword like depth/offset for the same content.",
                )
            });
        }
        if !position.is_relative() && content.is_relative() {
            return conflict(format!("`{name}` is absolute, `distance` and `within` of the same content are relative"))
            .map_err(|fault| {
                fault.known_as(
                    "can't use a relative keyword like within/distance with a absolute relative keyword like depth/offset for the same content.",
                )
            });
        }
        if content.fast_pattern_only {
            return conflict(format!("`fast_pattern:only` and `{name}` exclude each other")).map_err(|fault| {
                fault.known_as("can't have a relative keyword set along with 'fast_pattern:only;'.")
            });
        }
        if content.negated && content.fast_pattern {
            return conflict(format!("a negated content with `{name}` cannot be the fast pattern"));
        }
        let length = content.bytes.len() as i64;
        if let Number::Constant(value) = number {
            let wrong = |message: String, remedy: &str| Err(Fault::new(span, Cause::Value, message, remedy));
            match position {
                Position::Depth | Position::Within if value < length => {
                    return Err(Fault::new(
                        span,
                        Cause::Conflict,
                        format!("`{name}` {value} is less than the content's length, {length}"),
                        format!("write `{name}:{length};` or more"),
                    )
                    .known_as(match position {
                        Position::Depth => format!("depth:{value} smaller than content of len {length}."),
                        _ => format!(
                            "within argument \"{value}\" is less than the content length \"{length}\" which is invalid, since this will never match.  Invalidating signature"
                        ),
                    }));
                }
                Position::Depth | Position::Offset if !(0..=65_535).contains(&value) => {
                    return wrong(
                        format!("`{name}` {value} is not between 0 and 65535"),
                        "choose a number in this range",
                    );
                }
                Position::Within if value > RELATIVE_MAX => {
                    return wrong(format!("`within` {value} is more than {RELATIVE_MAX}"), "choose a smaller number");
                }
                Position::Distance if value.abs() > RELATIVE_MAX => {
                    return wrong(
                        format!("`distance` {value} is not between -{RELATIVE_MAX} and {RELATIVE_MAX}"),
                        "choose a number in this range",
                    );
                }
                _ => {}
            }
        }
        match position {
            Position::Depth => content.depth = Some(number),
            Position::Offset => content.offset = Some(number),
            Position::Distance => content.distance = Some(number),
            Position::Within => content.within = Some(number),
        }
        Ok(())
    }

    pub(super) fn starts_with(&mut self, option: &OptionSyntax) -> Lowered {
        self.set_starts_with(option.span())
    }

    fn set_starts_with(&mut self, span: Span) -> Lowered {
        let content = self.last(span)?;
        if content.anchor.start {
            return Err(Fault::new(
                span,
                Cause::Placement,
                "`startswith` stands twice for the same content",
                "remove one",
            ));
        }
        if content.depth.is_some() || content.offset.is_some() || content.is_relative() {
            return Err(Fault::new(
                span,
                Cause::Conflict,
                "`startswith` excludes `offset`, `depth`, `distance` and `within` of the same content",
                "keep `startswith` alone",
            ));
        }
        content.anchor.start = true;
        Ok(())
    }

    pub(super) fn ends_with(&mut self, option: &OptionSyntax) -> Lowered {
        self.set_ends_with(option.span())
    }

    fn set_ends_with(&mut self, span: Span) -> Lowered {
        let content = self.last(span)?;
        if std::mem::replace(&mut content.anchor.end, true) {
            return Err(Fault::new(
                span,
                Cause::Placement,
                "`endswith` stands twice for the same content",
                "remove one",
            ));
        }
        Ok(())
    }

    pub(super) fn fast_pattern(&mut self, option: &OptionSyntax) -> Lowered {
        let value = self.optional_value(option).into_owned();
        self.set_fast_pattern(option.span(), &value)
    }

    pub(super) fn set_fast_pattern(&mut self, span: Span, argument: &str) -> Lowered {
        let conflict = |message: &str| {
            Err(Fault::new(span, Cause::Conflict, message, "choose another content as the fast pattern"))
        };
        if std::mem::replace(&mut self.draft.fast_pattern, true) {
            return conflict("`fast_pattern` stands twice in the rule");
        }
        let buffer = self.draft.last_content.and_then(|p| self.draft.rule.buffers.get(p.0)).map(|b| b.buffer);
        if buffer == Some(Buffer::Base64Data) {
            return conflict("a content of `base64_data` cannot be the fast pattern")
                .map_err(|fault| fault.known_as("fast_pattern cannot be used with base64_data"));
        }
        let content = self.last(span)?;
        let placed = content.is_relative() || content.offset.is_some() || content.depth.is_some();
        if content.negated && placed {
            return conflict("a negated content that is placed cannot be the fast pattern");
        }
        content.fast_pattern = true;
        match argument.trim() {
            "" => Ok(()),
            "only" => {
                if content.negated || placed {
                    return conflict("`fast_pattern:only` is for contents that are neither negated nor placed");
                }
                content.fast_pattern_only = true;
                Ok(())
            }
            chop => {
                let pair = chop
                    .split_once(',')
                    .and_then(|(a, b)| Some((a.trim().parse::<u16>().ok()?, b.trim().parse::<u16>().ok()?)));
                match pair {
                    Some((offset, length))
                        if length > 0 && usize::from(offset) + usize::from(length) <= content.bytes.len() =>
                    {
                        content.fast_pattern_chop = Some((offset, length));
                        Ok(())
                    }
                    Some(_) => Err(Fault::new(
                        span,
                        Cause::Value,
                        format!("`{chop}` lies outside of the content, whose length is {}", content.bytes.len()),
                        "choose offset and length within the content",
                    )),
                    None => {
                        Err(Fault::new(span, Cause::Value, format!("`{chop}` is not `only` or `offset,length`"), ""))
                    }
                }
            }
        }
    }

    /// `isdataat:[!]n[,relative][,rawbytes]`
    pub(super) fn is_data_at(&mut self, option: &OptionSyntax) -> Lowered {
        let value = self.value(option)?.into_owned();
        let (negated, rest) = match value.trim().strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, value.as_str()),
        };
        let mut parts = rest.split(',').map(str::trim);
        let position = self.number_or_variable(option, parts.next().unwrap_or(""))?;
        if matches!(position, Number::Constant(n) if !(0..=65_535).contains(&n)) {
            return Err(self.wrong(option, "the position is not between 0 and 65535"));
        }
        let mut relative = false;
        for word in parts {
            match word {
                "relative" => relative = true,
                "rawbytes" => {}
                other => return Err(self.wrong(option, format!("`{other}` is no flag of isdataat"))),
            }
        }
        self.push(option, Match::IsDataAt(IsDataAt { position, negated, relative }))?;
        Ok(())
    }

    pub(super) fn number_or_variable(&self, option: &OptionSyntax, text: &str) -> Lowered<Number> {
        if let Some(value) = number::signed(text) {
            return Ok(Number::Constant(value));
        }
        match self.variable(text.trim()) {
            Some(id) => Ok(Number::Variable(id)),
            None => {
                let names = self.draft.variables.iter().map(|v| &**v);
                let hint = crate::diag::nearest(text.trim(), names)
                    .map(|n| format!("; did you mean `{n}`?"))
                    .unwrap_or_default();
                let word = String::from_utf8_lossy(option.name.of(self.text)).into_owned();
                let known = format!("Unknown byte_extract var seen in {word} - {}", text.trim());
                Err(self.wrong(
                    option,
                    format!("`{}` is neither a number nor a variable defined before{hint}", text.trim()),
                )
                .known_as(known))
            }
        }
    }

    /// Snort's `bufferlen:[operator]n[,relative]`: the bytes of the buffer, or those behind the last match.
    pub(super) fn buffer_length(&mut self, option: &OptionSyntax) -> Lowered {
        let value = self.value(option)?.into_owned();
        let (text, relative) = match value.split_once(',') {
            Some((text, word)) if word.trim() == "relative" => (text, true),
            Some((_, word)) => return Err(self.wrong(option, format!("`{}` is not `relative`", word.trim()))),
            None => (value.as_str(), false),
        };
        let comparison =
            match text.split_once("<=>").and_then(|(a, b)| Some((number::unsigned(a)?, number::unsigned(b)?))) {
                Some((low, high)) if low <= high => Comparison::Within(low, high),
                Some(_) => return Err(self.wrong(option, "the range ends before it begins")),
                None => number::comparison(text, 65_535, &[]).map_err(|e| self.wrong(option, e))?,
            };
        if matches!(
            comparison,
            Comparison::NotEqual(_)
                | Comparison::Outside(..)
                | Comparison::AnyBit(_)
                | Comparison::NoBit(_)
                | Comparison::Bits(..)
                | Comparison::OtherBits(..)
        ) {
            return Err(self.wrong(option, "only =, <, <=, >, >= and ranges are possible"));
        }
        // At least n bytes: there is one at n - 1. At most n: there is none at n.
        let (least, most) = number::bounds(comparison);
        let mut at = |position: u64, negated: bool| {
            let position = Number::Constant(i64::try_from(position).unwrap_or(i64::MAX));
            self.push(option, Match::IsDataAt(IsDataAt { position, negated, relative })).map(|_| ())
        };
        if least > 0 {
            at(least - 1, false)?;
        }
        match most {
            Some(most) => at(most, true),
            None => Ok(()),
        }
    }

    /// `bsize`
    pub(super) fn buffer_size(&mut self, option: &OptionSyntax) -> Lowered {
        if self.draft.sticky.is_none() {
            return Err(Fault::new(
                option.span(),
                Cause::Placement,
                "`bsize` stands before any sticky buffer",
                "write a buffer such as `http.uri;` before it, or `dsize` for the payload",
            ));
        }
        let comparison = self.comparison(option, u64::MAX, &[])?;
        let place = self.push(option, Match::Size(comparison))?;
        self.draft.spans.push((place, option.span()));
        Ok(())
    }

    /// `urilen:n[,norm|raw]`: the size of the normalised URI unless `raw`.
    pub(super) fn uri_length(&mut self, option: &OptionSyntax) -> Lowered {
        let value = self.value(option)?.into_owned();
        let (text, form) = match value.rsplit_once(',') {
            Some((text, form)) => (text, form.trim()),
            None => (value.as_str(), "norm"),
        };
        let buffer = match form {
            "norm" => Buffer::HttpUri,
            "raw" => Buffer::HttpUriRaw,
            other => return Err(self.wrong(option, format!("`{other}` is neither `norm` nor `raw`"))),
        };
        let comparison: Comparison = number::comparison(text, 65_535, &[]).map_err(|e| self.wrong(option, e))?;
        let before = self.draft.sticky.take();
        self.set_sticky(option.name, buffer)?;
        self.push(option, Match::Size(comparison))?;
        self.draft.sticky = before;
        Ok(())
    }

    /// `absent[:or_else]`
    pub(super) fn absent(&mut self, option: &OptionSyntax) -> Lowered {
        let or_else = match &*self.optional_value(option) {
            "" => false,
            "or_else" => true,
            other => return Err(self.wrong(option, format!("`{other}` is not `or_else`"))),
        };
        let placed = match &self.draft.sticky {
            None => Some("`absent` stands before any sticky buffer"),
            Some(sticky) if sticky.entry.is_some() => Some("`absent` must come first in its buffer"),
            Some(_) => None,
        };
        if let Some(message) = placed {
            return Err(Fault::new(
                option.span(),
                Cause::Placement,
                message,
                "write it directly behind the sticky buffer",
            ));
        }
        let place = self.push(option, Match::Absent { or_else })?;
        self.draft.spans.push((place, option.span()));
        Ok(())
    }
}
