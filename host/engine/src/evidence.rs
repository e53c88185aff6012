//! What the device's tables look for in streams, looked for by the host: where the device may not have read a stream as
//! the host has, the host says itself whether delivered bytes hold something that a rule could still complete.
//!
//! Place: beside [`crate::flow_data`], which asks before it gives a flow back. Invariant: never less than the tables see
//! in the same bytes; more only costs a longer hold.

use aho_corasick::{AhoCorasick, MatchKind};
use weir_contract::facts::{self, payload_facts};
use weir_contract::layouts::GuardParameters;

/// A fragment that leads to a rule of the stream.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fragment {
    /// Folded bytes.
    pub bytes: Box<[u8]>,
    /// Protocol classes in which its record can hold.
    pub classes: u64,
}

/// A pattern that the host itself looks for in the stream, by a fragment of which the tables flag it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// Bytes, folded.
    pub bytes: Box<[u8]>,
    /// Bytes of the pattern up to the end of the fragment.
    pub least: usize,
}

/// Everything the tables look for in streams.
#[derive(Debug, Default)]
pub struct StreamEvidence {
    automaton: Option<AhoCorasick>,
    /// Classes of the automaton's patterns.
    classes: Vec<u64>,
    /// Guards of payload facts that lead to rules of the stream, and the classes in which they do.
    guards: Vec<(u64, u64)>,
    parameters: GuardParameters,
    /// Sorted.
    patterns: Vec<Pattern>,
    /// Something leads to rules of the stream that cannot be seen in their bytes, or the search could not be made.
    unseen: bool,
}

impl StreamEvidence {
    /// Of fragments, guard bits with classes, patterns.
    pub fn new(
        fragments: impl IntoIterator<Item = Fragment>,
        guards: impl IntoIterator<Item = (u64, u64)>,
        parameters: GuardParameters,
        patterns: impl IntoIterator<Item = Pattern>,
    ) -> Self {
        let mut fragments: Vec<Fragment> = fragments.into_iter().collect();
        fragments.sort_unstable();
        fragments.dedup_by(|later, first| {
            let same = later.bytes == first.bytes;
            first.classes |= if same { later.classes } else { 0 };
            same
        });
        let mut patterns: Vec<Pattern> = patterns.into_iter().collect();
        patterns.sort_unstable();
        patterns.dedup();
        let mut out = StreamEvidence { parameters, patterns, ..StreamEvidence::default() };
        for (bits, classes) in guards {
            out.unseen |= bits & !facts::ALL != 0;
            match out.guards.iter_mut().find(|(known, _)| *known == bits) {
                Some((_, all)) => *all |= classes,
                None => out.guards.push((bits, classes)),
            }
        }
        if !fragments.is_empty() {
            let automaton = AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .match_kind(MatchKind::Standard)
                .build(fragments.iter().map(|fragment| &fragment.bytes));
            out.unseen |= automaton.is_err();
            out.automaton = automaton.ok();
            out.classes = fragments.iter().map(|fragment| fragment.classes).collect();
        }
        out
    }

    /// Without any: every byte may matter.
    pub fn unknown() -> Self {
        StreamEvidence { unseen: true, ..StreamEvidence::default() }
    }

    /// `bytes` of a stream, of which the tables may not have seen any, hold a fragment or a fact that leads to a rule. The
    /// flow's protocol is one of `classes`.
    pub fn is_in(&self, bytes: &[u8], classes: u64) -> bool {
        if self.unseen {
            return !bytes.is_empty();
        }
        let wanted = self.guards.iter().filter(|(_, own)| own & classes != 0).fold(0, |all, (bits, _)| all | bits);
        if payload_facts(wanted, &self.parameters, false, &[], bytes) != 0 {
            return true;
        }
        self.automaton.as_ref().is_some_and(|automaton| {
            automaton
                .find_overlapping_iter(bytes)
                .any(|hit| self.classes.get(hit.pattern().as_usize()).is_none_or(|own| own & classes != 0))
        })
    }

    /// `bytes`, the last ones of a stream, end within a pattern and behind its fragment: the rest may come without
    /// anything that the tables look for.
    pub fn is_cut(&self, bytes: &[u8]) -> bool {
        if self.unseen {
            return !bytes.is_empty();
        }
        let longest = self.patterns.iter().map(|pattern| pattern.bytes.len()).max().unwrap_or(0);
        let last = bytes.get(bytes.len().saturating_sub(longest.saturating_sub(1))..).unwrap_or(bytes);
        let folded: Vec<u8> = last.to_ascii_lowercase();
        (0..folded.len()).any(|from| {
            let tail = folded.get(from..).unwrap_or(&[]);
            let first = self.patterns.partition_point(|pattern| &*pattern.bytes < tail);
            (self.patterns.iter().skip(first))
                .take_while(|pattern| pattern.bytes.starts_with(tail))
                .any(|pattern| pattern.least <= tail.len() && tail.len() < pattern.bytes.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_contract::guards::Guard;

    fn evidence() -> StreamEvidence {
        StreamEvidence::new(
            [(&b"abcd"[..], 1), (b"abcd", 4), (b"needle", 2)].map(|(b, classes)| Fragment { bytes: b.into(), classes }),
            [(Guard::UriHighByte.bit(), 2)],
            GuardParameters::ZERO,
            [("get /evil", 4), ("get /", 4), ("attack here", 6)].map(|(p, least)| Pattern { bytes: p.as_bytes().into(), least }),
        )
    }

    #[test]
    fn fragments_and_facts_by_class() {
        let e = evidence();
        assert!(e.is_in(b"xxABcdxx", 4) && e.is_in(b"abcd", 1) && !e.is_in(b"abcd", 2));
        assert!(e.is_in(b"a needle", 2) && !e.is_in(b"a needl", u64::MAX));
        assert!(e.is_in(b"GET /\xff", 2) && !e.is_in(b"GET /\xff", 1));
        assert!(StreamEvidence::unknown().is_in(b"x", 1) && !StreamEvidence::default().is_in(b"abcd", 1));
    }

    #[test]
    fn a_guard_that_bytes_do_not_show_is_always_there() {
        let e = StreamEvidence::new([], [(Guard::SequenceGap.bit(), 1)], GuardParameters::ZERO, []);
        assert!(e.is_in(b"x", 1) && e.is_cut(b"x"));
    }

    #[test]
    fn a_pattern_is_cut_behind_its_fragment_only() {
        let e = evidence();
        for cut in ["..GET ", "get /ev", "get /evi", "GET /", "an Attack", "attack her"] {
            assert!(e.is_cut(cut.as_bytes()), "{cut}");
        }
        for whole in ["", "get", "get /evil", "attac", "attack here", "attack heros", "get\n/ev"] {
            assert!(!e.is_cut(whole.as_bytes()), "{whole}");
        }
    }
}
