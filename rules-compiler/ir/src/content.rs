//! Byte matches within one buffer.

use crate::buffer::{Buffer, BufferDirection, Transform};
use std::sync::Arc;

/// Index of a rule's variable (byte_extract, byte_math), in order of definition.
pub type VariableId = u8;

/// A constant or a variable of the same rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// Literal value.
    Constant(i64),
    /// Set earlier in the rule by byte_extract or byte_math.
    Variable(VariableId),
}

/// Byte matches that share one buffer.
#[derive(Debug, Clone, PartialEq)]
pub struct BufferMatch {
    /// Which buffer.
    pub buffer: Buffer,
    /// Applied to the buffer's bytes, in order.
    pub transforms: Vec<Transform>,
    /// In the order of the rule text.
    pub matches: Vec<Match>,
    /// The side that a transactional rule names, of buffers that exist on both.
    pub side: Option<BufferDirection>,
}

impl BufferMatch {
    /// Some match adds to a dataset.
    pub fn writes_dataset(&self) -> bool {
        self.matches.iter().any(|m| matches!(m, Match::Dataset(d) if d.writes()))
    }
}

/// One match within a buffer.
#[derive(Debug, Clone, PartialEq)]
pub enum Match {
    /// `content`
    Content(Content),
    /// `pcre`
    Pcre(Pcre),
    /// `byte_test`
    ByteTest(ByteTest),
    /// `byte_jump`
    ByteJump(ByteJump),
    /// `byte_extract`
    ByteExtract(ByteExtract),
    /// `byte_math`
    ByteMath(ByteMath),
    /// `isdataat`
    IsDataAt(IsDataAt),
    /// `bsize` (also `urilen` and `dsize` on a sticky buffer): length of the buffer.
    Size(crate::condition::Comparison),
    /// `absent` / `absent:or_else`
    Absent {
        /// `or_else`: absent, or the following matches hold.
        or_else: bool,
    },
    /// `base64_decode`; later matches on [`Buffer::Base64Data`] use its output.
    Base64Decode(Base64Decode),
    /// `dataset` / `datarep`
    Dataset(crate::state::DatasetOperation),
    /// `entropy`
    Entropy(Entropy),
}

/// Units of [`Entropy::size`] in a bit.
pub const ENTROPY_UNITS: f64 = 1e9;

/// `entropy`: Shannon's entropy of a part of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entropy {
    /// Bytes looked at; 0: all.
    pub bytes: u32,
    /// Where they begin.
    pub offset: u32,
    /// Comparison, in billionths of a bit.
    pub size: crate::condition::Comparison,
}

/// Where a content may start, beyond `offset`/`depth`/`distance`/`within`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Anchor {
    /// `startswith`
    pub start: bool,
    /// `endswith`
    pub end: bool,
}

/// `content` with its modifiers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Content {
    /// The bytes, escapes resolved.
    pub bytes: Arc<[u8]>,
    /// `!`
    pub negated: bool,
    /// `nocase`
    pub nocase: bool,
    /// `offset`
    pub offset: Option<Number>,
    /// `depth`
    pub depth: Option<Number>,
    /// `distance`, relative to the end of the previous match.
    pub distance: Option<Number>,
    /// `within`
    pub within: Option<Number>,
    /// `startswith` / `endswith`
    pub anchor: Anchor,
    /// `fast_pattern`
    pub fast_pattern: bool,
    /// `fast_pattern:only`
    pub fast_pattern_only: bool,
    /// `fast_pattern:offset,length`
    pub fast_pattern_chop: Option<(u16, u16)>,
    /// `rawbytes`
    pub raw: bool,
}

impl Content {
    /// The content is placed relative to the previous match.
    pub fn is_relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }
}

/// `pcre:"/…/flags"`; buffer letters are resolved into the enclosing [`BufferMatch`].
#[derive(Debug, Clone, PartialEq)]
pub struct Pcre {
    /// Expression without delimiters and flags.
    pub pattern: Arc<str>,
    /// `!`
    pub negated: bool,
    /// `i`
    pub caseless: bool,
    /// `m`
    pub multiline: bool,
    /// `s`
    pub dotall: bool,
    /// `x`
    pub extended: bool,
    /// `A`
    pub anchored: bool,
    /// `E`
    pub dollar_endonly: bool,
    /// `G`
    pub ungreedy: bool,
    /// `R`
    pub relative: bool,
    /// `O`: ignore the configured match limit.
    pub no_limit: bool,
    /// Captures: `(flow|pkt|alert):name` in group order.
    pub captures: Vec<Arc<str>>,
}

impl Pcre {
    /// An expression without flags.
    pub fn new(pattern: impl Into<Arc<str>>) -> Pcre {
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
            captures: Vec::new(),
        }
    }
}

/// Byte order of a numeric field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Endian {
    /// Network order.
    #[default]
    Big,
    /// Intel order.
    Little,
    /// As the DCERPC header says.
    Dce,
}

/// How a numeric field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteBase {
    /// Binary.
    Binary,
    /// ASCII digits, base 8, 10 or 16; 0 = by prefix.
    String(u8),
}

/// Operators of `byte_test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestOperator {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `=`
    Equal,
    /// `&`
    And,
    /// `^`
    Xor,
}

impl TestOperator {
    /// `value` stands in this relation to `right`.
    pub fn holds(self, value: u64, right: u64) -> bool {
        match self {
            TestOperator::Less => value < right,
            TestOperator::LessEqual => value <= right,
            TestOperator::Greater => value > right,
            TestOperator::GreaterEqual => value >= right,
            TestOperator::Equal => value == right,
            TestOperator::And => value & right != 0,
            TestOperator::Xor => value ^ right != 0,
        }
    }
}

/// `byte_test`
#[derive(Debug, Clone, PartialEq)]
pub struct ByteTest {
    /// Bytes to convert (binary: 1 to 8; string: 1 to 23, or 0 for all digits that follow, at most 23).
    pub count: Number,
    /// `!`
    pub negated: bool,
    /// Comparison.
    pub operator: TestOperator,
    /// Right-hand side.
    pub value: Number,
    /// Start of the field.
    pub offset: Number,
    /// `relative`
    pub relative: bool,
    /// `big` / `little` / `dce`
    pub endian: Endian,
    /// `string`, `hex` / `dec` / `oct`
    pub base: ByteBase,
    /// `bitmask`
    pub bitmask: Option<u64>,
}

/// `byte_jump`
#[derive(Debug, Clone, PartialEq)]
pub struct ByteJump {
    /// Bytes to convert.
    pub count: Number,
    /// Start of the field.
    pub offset: Number,
    /// `relative`
    pub relative: bool,
    /// `multiplier`
    pub multiplier: u32,
    /// `endian`
    pub endian: Endian,
    /// `string`
    pub base: ByteBase,
    /// `align`
    pub align: bool,
    /// `from_beginning`
    pub from_beginning: bool,
    /// `from_end`
    pub from_end: bool,
    /// `post_offset`
    pub post_offset: Number,
    /// `bitmask`
    pub bitmask: Option<u64>,
}

/// `byte_extract`
#[derive(Debug, Clone, PartialEq)]
pub struct ByteExtract {
    /// Bytes to convert.
    pub count: u8,
    /// Start of the field.
    pub offset: Number,
    /// Receives the value.
    pub variable: VariableId,
    /// `relative`
    pub relative: bool,
    /// `multiplier`
    pub multiplier: u32,
    /// `endian`
    pub endian: Endian,
    /// `string`
    pub base: ByteBase,
    /// `align` to 2 or 4; 0 = none.
    pub align: u8,
    /// `bitmask`
    pub bitmask: Option<u64>,
}

/// Operators of `byte_math`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MathOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
}

/// `byte_math`
#[derive(Debug, Clone, PartialEq)]
pub struct ByteMath {
    /// Bytes to convert.
    pub count: Number,
    /// Start of the field.
    pub offset: Number,
    /// Operator.
    pub operator: MathOperator,
    /// Right-hand side.
    pub value: Number,
    /// Receives the result.
    pub variable: VariableId,
    /// `relative`
    pub relative: bool,
    /// `endian`
    pub endian: Endian,
    /// `string`
    pub base: ByteBase,
    /// `bitmask`
    pub bitmask: Option<u64>,
}

/// `isdataat`
#[derive(Debug, Clone, PartialEq)]
pub struct IsDataAt {
    /// Position.
    pub position: Number,
    /// `!`
    pub negated: bool,
    /// `relative`
    pub relative: bool,
}

/// `base64_decode`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Decode {
    /// `bytes`; none = all.
    pub bytes: Option<u32>,
    /// `offset`
    pub offset: u32,
    /// `relative`
    pub relative: bool,
}
