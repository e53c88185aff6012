//! Transforms of sticky buffers.

use super::{Fault, Lowered, Lowering, number};
use crate::diag::Cause;
use crate::keywords::TransformKind;
use crate::syntax::OptionSyntax;
use weir_ir::Transform;

/// Transforms of one buffer.
const TRANSFORMS_MAX: usize = 16;
/// Default bound of what decompression may produce.
const OUTPUT_DEFAULT: u32 = 1024;

impl Lowering<'_, '_> {
    pub(super) fn transform(&mut self, option: &OptionSyntax, kind: TransformKind) -> Lowered {
        let transform = match kind {
            TransformKind::DotPrefix => Transform::DotPrefix,
            TransformKind::StripWhitespace => Transform::StripWhitespace,
            TransformKind::CompressWhitespace => Transform::CompressWhitespace,
            TransformKind::ToMd5 => Transform::ToMd5,
            TransformKind::ToSha1 => Transform::ToSha1,
            TransformKind::ToSha256 => Transform::ToSha256,
            TransformKind::UrlDecode => Transform::UrlDecode,
            TransformKind::HeaderLowercase => Transform::HeaderLowercase,
            TransformKind::StripPseudoHeaders => Transform::StripPseudoHeaders,
            TransformKind::ToLowercase => Transform::ToLowercase,
            TransformKind::ToUppercase => Transform::ToUppercase,
            TransformKind::Domain => Transform::Domain,
            TransformKind::Tld => Transform::Tld,
            TransformKind::Xor => self.xor(option)?,
            TransformKind::PcreExtract => {
                let text = self.value(option)?;
                if option.value.as_ref().is_some_and(|v| v.quoted.is_none()) {
                    let fault = self.wrong(option, "the expression must stand in quotes");
                    return Err(fault.known_as(format!(
                        "invalid formatting to pcrexform keyword: value must be double quoted '{text}'"
                    )));
                }
                Transform::PcreExtract(text.as_ref().into())
            }
            TransformKind::FromBase64 => self.base64_transform(option)?,
            TransformKind::Gunzip => Transform::Gunzip(self.output_limit(option)?),
            TransformKind::ZlibInflate => Transform::ZlibInflate(self.output_limit(option)?),
        };
        let misplaced = |message: &str, remedy: &str| Err(Fault::new(option.span(), Cause::Placement, message, remedy));
        match &mut self.draft.sticky {
            None => {
                misplaced("a transform stands before any sticky buffer", "write a buffer such as `http.uri;` before it")
            }
            Some(sticky) if sticky.entry.is_some() => {
                // Behind a match: what follows is matched in the buffer with this transform; what came before stays.
                sticky.entry = None;
                sticky.transforms = vec![transform];
                sticky.span = option.name;
                Ok(())
            }
            Some(sticky) if sticky.transforms.len() >= TRANSFORMS_MAX => misplaced("too many transforms", "use fewer"),
            Some(sticky) => {
                sticky.transforms.push(transform);
                Ok(())
            }
        }
    }

    fn xor(&self, option: &OptionSyntax) -> Lowered<Transform> {
        let text = self.value(option)?;
        let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
        let pairs = digits.chunks_exact(2);
        if digits.is_empty() || digits.len() > 512 || !pairs.remainder().is_empty() {
            return Err(self.wrong(option, "the key must be an even number of hexadecimal digits, at most 512"));
        }
        let key: Option<Vec<u8>> = pairs
            .map(|pair| {
                let digit = |b: u8| (b as char).to_digit(16);
                match pair {
                    &[a, b] => Some((digit(a)? << 4 | digit(b)?) as u8),
                    _ => None,
                }
            })
            .collect();
        key.map(|k| Transform::Xor(k.into()))
            .ok_or_else(|| self.wrong(option, "the key has other characters than hexadecimal digits"))
    }

    fn base64_transform(&self, option: &OptionSyntax) -> Lowered<Transform> {
        let text = self.optional_value(option);
        let (mut bytes, mut offset, mut mode) = (0u32, 0u32, 0u8);
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let (name, argument) = word.split_once(|c: char| c.is_whitespace() || c == ':').unwrap_or((word, ""));
            let argument = argument.trim();
            let value = || number::unsigned(argument).and_then(|n| u32::try_from(n).ok()).filter(|&n| n <= 65_535);
            match name {
                "bytes" => {
                    bytes = value().ok_or_else(|| self.wrong(option, format!("`{argument}` is no number of bytes")))?
                }
                "offset" => offset = value().ok_or_else(|| self.wrong(option, format!("`{argument}` is no offset")))?,
                "mode" => {
                    mode = match argument.to_ascii_lowercase().as_str() {
                        "rfc4648" => 0,
                        "rfc2045" => 1,
                        "strict" => 2,
                        other => return Err(self.wrong(option, format!("`{other}` is not rfc4648, rfc2045 or strict"))),
                    }
                }
                _ => return Err(self.wrong(option, format!("`{word}` is no part of from_base64"))),
            }
        }
        Ok(Transform::FromBase64(bytes, offset, mode))
    }

    /// `max-size n`
    fn output_limit(&self, option: &OptionSyntax) -> Lowered<u32> {
        let text = self.optional_value(option);
        let text = text.trim();
        if text.is_empty() {
            return Ok(OUTPUT_DEFAULT);
        }
        let number = text.strip_prefix("max-size").and_then(number::unsigned).and_then(|n| u32::try_from(n).ok());
        number.filter(|&n| n > 0).ok_or_else(|| self.wrong(option, format!("`{text}` is not `max-size n`")))
    }
}
