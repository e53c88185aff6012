//! Classes of rules, and what a planned rule consists of.

use serde::{Deserialize, Serialize};
use weir_contract::layouts::Record;

/// How a rule's flows reach the host. Exactly one per rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Class {
    /// A fragment that is on the wire byte for byte.
    #[serde(rename = "L")]
    Literal,
    /// An encoded form of the fragment.
    #[serde(rename = "T")]
    Transformed,
    /// The fragment, or a guard that could hide it.
    #[serde(rename = "G")]
    Guarded,
    /// Header fields, sizes, or the first payload bytes.
    #[serde(rename = "H")]
    Header,
    /// Every frame of the protocol class, ports and addresses.
    #[serde(rename = "C")]
    Complete,
    /// Never by itself: effects on its own flow only, evaluated when the flow is replayed.
    #[serde(rename = "D")]
    Deferred,
}

impl Class {
    /// All classes, in the order of reports.
    pub const ALL: [Class; 6] =
        [Class::Literal, Class::Transformed, Class::Guarded, Class::Header, Class::Complete, Class::Deferred];

    /// What the device checks, for people.
    pub fn meaning(self) -> &'static str {
        match self {
            Class::Literal => "a fragment that is on the wire byte for byte",
            Class::Transformed => "an encoded form of a fragment",
            Class::Guarded => "a fragment, or a guard that could hide it",
            Class::Header => "header fields, sizes, or the first payload bytes",
            Class::Complete => "every frame of the protocol, ports and addresses",
            Class::Deferred => "nothing: effects on its own flow only",
        }
    }

    /// The letter of reports.
    pub fn letter(self) -> char {
        match self {
            Class::Literal => 'L',
            Class::Transformed => 'T',
            Class::Guarded => 'G',
            Class::Header => 'H',
            Class::Complete => 'C',
            Class::Deferred => 'D',
        }
    }
}

/// Lengths of the fragments that the planner makes, ascending: each costs the device a look-up at every byte. Contents
/// between two of them give a shorter fragment (decision 0011).
pub const LENGTHS: [usize; 3] = [4, 5, 8];

/// The greatest length of a fragment within so many bytes; 0: none.
pub fn usable(bytes: usize) -> usize {
    LENGTHS.into_iter().rev().find(|length| *length <= bytes).unwrap_or(0)
}

/// Four to eight bytes that the literal filter looks for.
///
/// `bytes` are folded (ASCII upper case to lower case) except where `case_mask` demands the original case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fragment {
    bytes: [u8; 8],
    length: u8,
    /// Bit n: byte n must match in case. Only set on letters.
    pub case_mask: u8,
}

impl Fragment {
    /// A fragment of 4 to 8 bytes, cut to a length of [`LENGTHS`]; `None` for any other length. `exact` keeps the case of
    /// letters.
    pub fn new(bytes: &[u8], exact: bool) -> Option<Self> {
        if !(4..=8).contains(&bytes.len()) {
            return None;
        }
        let bytes = bytes.get(..usable(bytes.len()))?;
        let mut out = Fragment { bytes: [0; 8], length: bytes.len() as u8, case_mask: 0 };
        for (i, (slot, &byte)) in out.bytes.iter_mut().zip(bytes).enumerate() {
            let keep = exact && byte.is_ascii_alphabetic();
            *slot = if keep { byte } else { fold(byte) };
            out.case_mask |= u8::from(keep) << i;
        }
        Some(out)
    }

    /// Like [`Fragment::new`], with the bytes that keep their case chosen one by one.
    pub fn masked(bytes: &[u8], exact: impl Fn(usize) -> bool) -> Option<Self> {
        let mut out = Self::new(bytes, false)?;
        let length = out.length();
        for (i, (slot, &byte)) in out.bytes.iter_mut().zip(bytes).enumerate().take(length) {
            if byte.is_ascii_alphabetic() && exact(i) {
                *slot = byte;
                out.case_mask |= 1 << i;
            }
        }
        Some(out)
    }

    /// The bytes, in original case where the mask has a bit.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&self.bytes)
    }

    /// The window as the filter hashes it: all letters folded.
    pub fn folded(&self) -> [u8; 8] {
        self.bytes.map(fold)
    }

    /// The same as a number, first byte lowest.
    pub fn window(&self) -> u64 {
        u64::from_le_bytes(self.folded())
    }

    /// Bytes, 4 to 8.
    pub fn length(&self) -> usize {
        usize::from(self.length)
    }

    /// The window as a number, first byte lowest, in original case where the mask has a bit.
    pub fn value(&self) -> u64 {
        u64::from_le_bytes(self.bytes)
    }

    /// As text for people: printable ASCII as is, the rest as `|hex|`.
    pub fn display(&self) -> String {
        printable(self.bytes())
    }

    /// The fragment without its case demands.
    pub fn without_case(&self) -> Self {
        Fragment { bytes: self.folded(), length: self.length, case_mask: 0 }
    }

    /// Does this window occur at the start of `bytes`?
    pub fn matches(&self, bytes: &[u8]) -> bool {
        bytes.len() >= self.length()
            && self.bytes().iter().zip(bytes).enumerate().all(|(i, (&want, &have))| {
                if self.case_mask & (1 << i) != 0 { want == have } else { want == fold(have) }
            })
    }
}

/// ASCII case fold of the device.
pub fn fold(byte: u8) -> u8 {
    byte.to_ascii_lowercase()
}

/// Bytes in the notation of rules.
pub fn printable(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut out = String::new();
    let mut hex = false;
    for &byte in bytes {
        let plain = (0x20..0x7f).contains(&byte) && !matches!(byte, b'|' | b'"' | b'\\');
        if plain == hex {
            out.push('|');
            hex = !plain;
        } else if !plain {
            out.push(' ');
        }
        if plain {
            out.push(byte as char);
        } else {
            let _ = write!(out, "{byte:02x}");
        }
    }
    if hex {
        out.push('|');
    }
    out
}

/// What raises a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trigger {
    /// Every frame (header table).
    Frame,
    /// A window of the payload.
    Fragment(Fragment),
    /// A guard of the contract, by number.
    Guard(u8),
}

/// One alternative of a rule's necessary wire condition: the trigger, and the record's predicate and scopes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// What raises it.
    pub trigger: Trigger,
    /// Predicate and scopes; set ids are those of the plan's [`super::sets::Sets`].
    pub record: Record,
}

/// The plan of one rule. The conditions are alternatives: if the rule matches at frame k, one of them holds at some
/// frame at or before k. Class D has none.
#[derive(Debug, Clone, PartialEq)]
pub struct RulePlan {
    /// Index in the planned slice.
    pub rule: usize,
    /// Class.
    pub class: Class,
    /// Why this class, for people.
    pub reason: String,
    /// Alternatives.
    pub conditions: Vec<Condition>,
    /// Expected share of frames that these conditions divert, by the built-in statistics.
    pub cost: f64,
}
