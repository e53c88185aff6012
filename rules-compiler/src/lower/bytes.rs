//! byte_test, byte_jump, byte_extract, byte_math, base64_decode.

use super::{Fault, Lowered, Lowering, number};
use crate::diag::Cause;
use crate::syntax::OptionSyntax;
use weir_contract::protocol::AppProtocol;
use weir_ir::{
    Base64Decode, ByteBase, ByteExtract, ByteJump, ByteMath, ByteTest, Endian, Match, MathOperator, Number,
    TestOperator,
};

/// Most bytes of a binary number, and of a written one.
const BINARY_MAX: i64 = 8;
const STRING_MAX: i64 = 23;
/// Variables of one rule.
const VARIABLES_MAX: usize = 64;

/// Flags the four keywords share.
#[derive(Default)]
struct Flags {
    relative: bool,
    endian: Option<Endian>,
    string: bool,
    base: Option<u8>,
    bitmask: Option<u64>,
}

impl Flags {
    fn base(&self) -> ByteBase {
        if self.string { ByteBase::String(self.base.unwrap_or(0)) } else { ByteBase::Binary }
    }
}

impl Lowering<'_, '_> {
    /// One flag word; false when the word is none of the common ones.
    fn flag(&mut self, option: &OptionSyntax, flags: &mut Flags, word: &str) -> Lowered<bool> {
        let (name, argument) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
        let argument = argument.trim();
        let endian = match (name, argument) {
            ("big", _) | ("endian", "big") => Some(Endian::Big),
            ("little", _) | ("endian", "little") => Some(Endian::Little),
            ("dce", _) => Some(Endian::Dce),
            _ => None,
        };
        if let Some(endian) = endian {
            if flags.endian.replace(endian).is_some_and(|known| known != endian) {
                return Err(self.wrong(option, "two byte orders are given"));
            }
            if endian == Endian::Dce && self.draft.protocol.is_none_or(|(p, _)| p != AppProtocol::Smb) {
                self.use_protocol(option.span(), AppProtocol::DceRpc)?;
            }
            return Ok(true);
        }
        match name {
            "relative" => flags.relative = true,
            "string" => {
                flags.string = true;
                if !argument.is_empty() {
                    return self.flag(option, flags, argument);
                }
            }
            "hex" => flags.base = Some(16),
            "dec" => flags.base = Some(10),
            "oct" => flags.base = Some(8),
            "bitmask" => {
                let mask = number::unsigned(argument).or_else(|| u64::from_str_radix(argument, 16).ok());
                match mask {
                    Some(mask) if mask != 0 => flags.bitmask = Some(mask),
                    _ => return Err(self.wrong(option, format!("`{argument}` is no bit mask"))),
                }
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Written numbers may ask for 0 bytes: all digits that follow.
    fn check_count(&self, option: &OptionSyntax, flags: &Flags, count: Number, least: i64) -> Lowered {
        let least = if flags.string { 0 } else { least };
        if flags.base.is_some() && !flags.string {
            return Err(self.wrong(option, "`hex`, `dec` and `oct` need `string`"));
        }
        let most = if flags.string { STRING_MAX } else { BINARY_MAX };
        match count {
            Number::Constant(n) if n < least || n > most => {
                Err(self.wrong(option, format!("{n} bytes cannot be converted; {least} to {most} can")))
            }
            _ => Ok(()),
        }
    }

    fn offset(&self, option: &OptionSyntax, text: &str) -> Lowered<Number> {
        let offset = self.number_or_variable(option, text)?;
        match offset {
            Number::Constant(n) if n.abs() > 65_535 => {
                Err(self.wrong(option, format!("the offset {n} is not between -65535 and 65535")))
            }
            _ => Ok(offset),
        }
    }

    fn define(&mut self, option: &OptionSyntax, name: &str) -> Lowered<u8> {
        let valid = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        if name.is_empty() || !valid || name.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            return Err(self.wrong(option, format!("`{name}` is no name for a variable")));
        }
        if let Some(known) = self.variable(name) {
            // Assigning twice is legal; the later value counts from there on.
            return Ok(known);
        }
        if self.draft.variables.len() >= VARIABLES_MAX {
            return Err(self.wrong(option, format!("the rule has more than {VARIABLES_MAX} variables")));
        }
        let name = self.session.intern(name);
        self.draft.variables.push(name);
        Ok((self.draft.variables.len() - 1) as u8)
    }

    pub(super) fn byte_test(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [count, operator, value, offset, rest @ ..] = parts.as_slice() else {
            return Err(self.wrong(option, "byte_test needs bytes, operator, value and offset"));
        };
        let mut flags = Flags::default();
        for word in rest {
            if !self.flag(option, &mut flags, word)? {
                return Err(self.wrong(option, format!("`{word}` is no flag of byte_test")));
            }
        }
        let (negated, sign) = match operator.strip_prefix('!') {
            Some(sign) => (true, sign.trim()),
            None => (false, *operator),
        };
        let operator = match sign {
            "<" => TestOperator::Less,
            "<=" => TestOperator::LessEqual,
            ">" => TestOperator::Greater,
            ">=" => TestOperator::GreaterEqual,
            "=" | "==" => TestOperator::Equal,
            "" if negated => TestOperator::Equal,
            "&" => TestOperator::And,
            "^" => TestOperator::Xor,
            other => return Err(self.wrong(option, format!("`{other}` is no operator of byte_test"))),
        };
        let count = self.number_or_variable(option, count)?;
        self.check_count(option, &flags, count, 1)?;
        let value = match number::unsigned(value) {
            // Values beyond 63 bits keep their bits.
            Some(value) => Number::Constant(value as i64),
            None => self.number_or_variable(option, value)?,
        };
        let offset = self.offset(option, offset)?;
        let test = ByteTest {
            count,
            negated,
            operator,
            value,
            offset,
            relative: flags.relative,
            endian: flags.endian.unwrap_or_default(),
            base: flags.base(),
            bitmask: flags.bitmask,
        };
        self.push(option, Match::ByteTest(test))?;
        Ok(())
    }

    pub(super) fn byte_jump(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [count, offset, rest @ ..] = parts.as_slice() else {
            return Err(self.wrong(option, "byte_jump needs bytes and offset"));
        };
        let mut flags = Flags::default();
        let mut jump = ByteJump {
            count: self.number_or_variable(option, count)?,
            offset: self.offset(option, offset)?,
            relative: false,
            multiplier: 1,
            endian: Endian::Big,
            base: ByteBase::Binary,
            align: false,
            from_beginning: false,
            from_end: false,
            post_offset: Number::Constant(0),
            bitmask: None,
        };
        for word in rest {
            if self.flag(option, &mut flags, word)? {
                continue;
            }
            let (name, argument) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
            match name {
                "align" => jump.align = true,
                "from_beginning" => jump.from_beginning = true,
                "from_end" => jump.from_end = true,
                "multiplier" => jump.multiplier = self.multiplier(option, argument)?,
                "post_offset" => jump.post_offset = self.offset(option, argument)?,
                _ => return Err(self.wrong(option, format!("`{word}` is no flag of byte_jump"))),
            }
        }
        if jump.from_beginning && jump.from_end {
            return Err(self.wrong(option, "`from_beginning` and `from_end` exclude each other"));
        }
        // Snort: zero bytes jump by post_offset alone.
        let least = if self.draft.snort3 || jump.post_offset != Number::Constant(0) || jump.from_end { 0 } else { 1 };
        self.check_count(option, &flags, jump.count, least)?;
        (jump.relative, jump.endian) = (flags.relative, flags.endian.unwrap_or_default());
        (jump.base, jump.bitmask) = (flags.base(), flags.bitmask);
        self.push(option, Match::ByteJump(jump))?;
        Ok(())
    }

    fn multiplier(&self, option: &OptionSyntax, text: &str) -> Lowered<u32> {
        match text.trim().parse::<u32>() {
            Ok(n) if (1..=65_535).contains(&n) => Ok(n),
            _ => Err(self.wrong(option, format!("the multiplier `{}` is not between 1 and 65535", text.trim()))),
        }
    }

    pub(super) fn byte_extract(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [count, offset, name, rest @ ..] = parts.as_slice() else {
            return Err(self.wrong(option, "byte_extract needs bytes, offset and a name"));
        };
        let mut flags = Flags::default();
        let (mut multiplier, mut align) = (1, 0);
        for word in rest {
            if self.flag(option, &mut flags, word)? {
                continue;
            }
            match word.split_once(char::is_whitespace).unwrap_or((word, "")) {
                ("multiplier", argument) => multiplier = self.multiplier(option, argument)?,
                ("align", argument) => {
                    align = match argument.trim() {
                        "2" => 2,
                        "4" => 4,
                        other => return Err(self.wrong(option, format!("`align {other}` is neither 2 nor 4"))),
                    }
                }
                _ => return Err(self.wrong(option, format!("`{word}` is no flag of byte_extract"))),
            }
        }
        let count =
            number::signed(count).ok_or_else(|| self.wrong(option, format!("`{count}` is no number of bytes")))?;
        self.check_count(option, &flags, Number::Constant(count), 1)?;
        let offset = self.offset(option, offset)?;
        let variable = self.define(option, name)?;
        let extract = ByteExtract {
            count: count as u8,
            offset,
            variable,
            relative: flags.relative,
            multiplier,
            endian: flags.endian.unwrap_or_default(),
            base: flags.base(),
            align,
            bitmask: flags.bitmask,
        };
        self.push(option, Match::ByteExtract(extract))?;
        Ok(())
    }

    /// `bytes 4, offset 0, oper +, rvalue 248, result sum[, …]`
    pub(super) fn byte_math(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.value(option)?.into_owned();
        let mut flags = Flags::default();
        let (mut count, mut offset, mut operator, mut value, mut result) = (None, None, None, None, None);
        for word in text.split(',').map(str::trim) {
            if self.flag(option, &mut flags, word)? {
                continue;
            }
            let (name, argument) = word.split_once(|c: char| c.is_whitespace() || c == ':').unwrap_or((word, ""));
            let argument = argument.trim();
            match name {
                "bytes" => count = Some(self.number_or_variable(option, argument)?),
                "offset" => offset = Some(self.offset(option, argument)?),
                "rvalue" => value = Some(self.number_or_variable(option, argument)?),
                "result" => result = Some(argument),
                "oper" => {
                    operator = Some(match argument {
                        "+" => MathOperator::Add,
                        "-" => MathOperator::Subtract,
                        "*" => MathOperator::Multiply,
                        "/" => MathOperator::Divide,
                        "<<" => MathOperator::ShiftLeft,
                        ">>" => MathOperator::ShiftRight,
                        other => return Err(self.wrong(option, format!("`{other}` is no operator of byte_math"))),
                    });
                }
                _ => return Err(self.wrong(option, format!("`{word}` is no part of byte_math"))),
            }
        }
        let (Some(count), Some(offset), Some(operator), Some(value), Some(result)) =
            (count, offset, operator, value, result)
        else {
            return Err(self.wrong(option, "byte_math needs bytes, offset, oper, rvalue and result"));
        };
        self.check_count(option, &flags, count, 1)?;
        match value {
            Number::Constant(0) if operator == MathOperator::Divide => return Err(self.wrong(option, "division by 0")),
            Number::Constant(n)
                if matches!(operator, MathOperator::ShiftLeft | MathOperator::ShiftRight) && !(0..64).contains(&n) =>
            {
                return Err(self.wrong(option, format!("a shift by {n} bits")));
            }
            _ => {}
        }
        if self.variable(result).is_some() && matches!(value, Number::Variable(v) if Some(v) == self.variable(result)) {
            return Err(Fault::new(
                option.span(),
                Cause::Value,
                "the result is its own right-hand side",
                "choose another name",
            ));
        }
        let variable = self.define(option, result)?;
        let math = ByteMath {
            count,
            offset,
            operator,
            value,
            variable,
            relative: flags.relative,
            endian: flags.endian.unwrap_or_default(),
            base: flags.base(),
            bitmask: flags.bitmask,
        };
        self.push(option, Match::ByteMath(math))?;
        Ok(())
    }

    /// `base64_decode[:bytes n][,offset n][,relative]`
    pub(super) fn base64_decode(&mut self, option: &OptionSyntax) -> Lowered {
        let text = self.optional_value(option).into_owned();
        let mut decode = Base64Decode { bytes: None, offset: 0, relative: false };
        for word in text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
            let (name, argument) = word.split_once(char::is_whitespace).unwrap_or((word, ""));
            let number = || {
                argument.trim().parse::<u32>().map_err(|_| self.wrong(option, format!("`{argument}` is not a number")))
            };
            match name {
                "bytes" => decode.bytes = Some(number()?).filter(|&n| n > 0),
                "offset" => decode.offset = number()?,
                "relative" => decode.relative = true,
                _ => return Err(self.wrong(option, format!("`{word}` is no part of base64_decode"))),
            }
        }
        self.push(option, Match::Base64Decode(decode))?;
        Ok(())
    }
}
