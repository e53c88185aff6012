//! Evaluation of one rule's matches within one buffer.
//!
//! Place: called by the inspectors for candidate rules. A [`Chain`] is the compiled list of matches of one
//! (buffer, transforms) run; [`Evaluator`] is the reusable state of one worker. Invariants: no allocation in the
//! steady state, work bounded by the step limit, recursion bounded by the number of matches of the rule
//! ([`MAX_ELEMENTS`]).
//!
//! Backtracking follows Suricata: when a match fails that is relative to an earlier content, the next occurrence of
//! that content is tried; a failing non-relative content ends the chain.

pub mod compile;
pub mod eval;
pub mod field;
pub mod search;
mod viability;

pub use eval::{Evaluator, Limits, StreamView};

use crate::notes::Place;
use crate::pcre::ffi::Code;
use search::Needle;
use std::sync::Arc;
use weir_ir::condition::Asn1;
use weir_ir::{ByteExtract, ByteJump, ByteMath, ByteTest, Comparison, IsDataAt, Number};

/// More matches in one buffer are rejected at load.
pub const MAX_ELEMENTS: usize = 250;
/// More variables in one rule are rejected at load.
pub const MAX_VARIABLES: usize = 64;

/// A compiled content.
#[derive(Debug)]
pub struct ContentElement {
    /// Bytes and how to find them.
    pub needle: Needle,
    /// `!`
    pub negated: bool,
    /// `offset`
    pub offset: Option<Number>,
    /// `depth`
    pub depth: Option<Number>,
    /// `distance`
    pub distance: Option<Number>,
    /// `within`
    pub within: Option<Number>,
    /// `startswith`
    pub start: bool,
    /// `endswith`
    pub end: bool,
    /// The next element is placed relative to this one: other occurrences are worth a try.
    pub next_relative: bool,
}

impl ContentElement {
    /// `distance` or `within` is present.
    pub fn is_relative(&self) -> bool {
        self.distance.is_some() || self.within.is_some()
    }
}

/// A compiled expression with what the evaluator needs of the rule's flags.
#[derive(Debug)]
pub struct PcreElement {
    /// Compiled.
    pub code: Code,
    /// Bytes with which every match begins, as far as they are certain.
    pub lead: Box<[u8]>,
    /// `!`
    pub negated: bool,
    /// `R`
    pub relative: bool,
    /// `O`
    pub no_limit: bool,
    /// As in [`ContentElement::next_relative`].
    pub next_relative: bool,
    /// Groups whose bytes are told.
    pub captures: Vec<(usize, Place, Arc<str>)>,
}

/// `entropy`
#[derive(Debug)]
pub struct EntropyElement {
    /// What is asked.
    pub entropy: weir_ir::Entropy,
    /// Name of the buffer in records.
    pub name: Arc<str>,
}

/// `dataset` / `datarep`
#[derive(Debug)]
pub struct DatasetElement {
    /// Index into the shared sets.
    pub set: u32,
    /// set, unset, isset, isnotset
    pub operation: weir_ir::BitOperation,
    /// Key under which alerts tell what the set knows.
    pub context: Option<Arc<str>>,
}

/// One match.
#[derive(Debug)]
pub enum Element {
    /// `content`
    Content(ContentElement),
    /// `pcre`
    Pcre(PcreElement),
    /// `byte_test`
    Test(ByteTest),
    /// `byte_jump`
    Jump(ByteJump),
    /// `byte_extract`
    Extract(ByteExtract),
    /// `byte_math`
    Math(ByteMath),
    /// `isdataat`
    DataAt(IsDataAt),
    /// `bsize`
    Size(Comparison),
    /// `base64_decode`, with the matches on its output.
    Base64(weir_ir::Base64Decode, Option<Box<Chain>>),
    /// `dataset`
    Dataset(DatasetElement),
    /// `entropy`
    Entropy(EntropyElement),
    /// `asn1`, behind all others
    Asn1(Asn1),
}

/// The matches of one buffer.
#[derive(Debug, Default)]
pub struct Chain {
    /// In rule order.
    pub elements: Vec<Element>,
    /// Some element reads bytes at a place: in a stream, one of those must be new.
    pub touches: bool,
    /// More bytes can turn a match into a failure (negations, sizes): decide when the buffer is complete.
    pub waits_for_end: bool,
    /// Chain uses or sets variables.
    pub variables: bool,
}

impl Chain {
    /// The matches end with a test of values in BER.
    pub(crate) fn end_with_asn1(&mut self, test: Asn1) {
        self.touches = true;
        self.elements.push(Element::Asn1(test));
    }
}
