//! What the device's tables look for in streams, looked for by the host: where the device may not have read a stream as
//! the host has, the host says itself whether delivered bytes hold something that a rule could still complete.
//!
//! Place: beside [`crate::flow_data`], which asks before it gives a flow back. Invariant: never less than the tables see
//! in the same bytes; more only costs a longer hold.

use aho_corasick::{AhoCorasick, MatchKind};
use weir_contract::facts::{self, payload_facts};
use weir_contract::layouts::GuardParameters;
use weir_ir::PortSet;

/// Streams in which a record can hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Streams {
    /// Protocol classes.
    pub classes: u64,
    /// Ports of who sends.
    pub source: PortSet,
    /// Ports of who receives.
    pub destination: PortSet,
}

impl Streams {
    /// All of them.
    pub fn all() -> Self {
        Streams { classes: u64::MAX, source: PortSet::any(), destination: PortSet::any() }
    }

    pub(crate) fn hold(&self, stream: Stream) -> bool {
        self.classes & stream.classes != 0
            && self.source.contains(stream.source)
            && self.destination.contains(stream.destination)
    }
}

/// One direction of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stream {
    /// Protocol classes that the flow has or may get.
    pub classes: u64,
    /// Port of who sends.
    pub source: u16,
    /// Port of who receives.
    pub destination: u16,
}

/// What a fragment or fact leads to, and in which streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lead {
    /// The rule; none: a record of its own.
    pub rule: Option<u32>,
    /// Where its record can hold.
    pub streams: Streams,
}

/// A fragment that leads to a rule of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// Folded bytes.
    pub bytes: Box<[u8]>,
    /// What it leads to.
    pub lead: Lead,
}

/// A pattern that the host itself looks for in the stream, by a fragment of which the tables flag it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pattern {
    /// Bytes, folded.
    pub bytes: Box<[u8]>,
    /// Bytes of the pattern up to the end of the fragment.
    pub least: usize,
}

/// Fragments in one stretch of a stream that are asked about; with more, it leads on.
const LEADS_MAX: usize = 32;

/// Everything the tables look for in streams.
#[derive(Debug, Default)]
pub struct StreamEvidence {
    automaton: Option<AhoCorasick>,
    /// By the automaton's patterns.
    leads: Vec<Lead>,
    /// Guards of payload facts that lead to rules of the stream; no bit: any byte does.
    guards: Vec<(u64, Lead)>,
    parameters: GuardParameters,
    /// Sorted.
    patterns: Vec<Pattern>,
    /// Bytes of the longest.
    longest: usize,
    /// Something leads to rules of the stream that cannot be seen in their bytes, or the search could not be made.
    unseen: bool,
}

impl StreamEvidence {
    /// Of fragments, guard bits, patterns.
    pub fn new(
        fragments: impl IntoIterator<Item = Fragment>,
        guards: impl IntoIterator<Item = (u64, Lead)>,
        parameters: GuardParameters,
        patterns: impl IntoIterator<Item = Pattern>,
    ) -> Self {
        let (bytes, leads): (Vec<_>, Vec<_>) = fragments.into_iter().map(|f| (f.bytes, f.lead)).unzip();
        let mut patterns: Vec<Pattern> = patterns.into_iter().collect();
        patterns.sort_unstable();
        patterns.dedup();
        let mut out = StreamEvidence { parameters, patterns, leads, ..StreamEvidence::default() };
        out.longest = out.patterns.iter().map(|pattern| pattern.bytes.len()).max().unwrap_or(0);
        out.guards = guards.into_iter().collect();
        out.unseen = out.guards.iter().any(|(bits, _)| bits & !facts::ALL != 0);
        if !bytes.is_empty() {
            let mut builder = AhoCorasick::builder();
            let automaton = builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(&bytes);
            out.unseen |= automaton.is_err();
            out.automaton = automaton.ok();
        }
        out
    }

    /// Without any: every byte may matter.
    pub fn unknown() -> Self {
        StreamEvidence { unseen: true, ..StreamEvidence::default() }
    }

    /// `bytes` of a stream, of which the tables may not have seen any, hold a fragment or a fact that leads to a rule.
    pub fn is_in(&self, bytes: &[u8], stream: Stream) -> bool {
        self.leads_on(bytes, stream, |_, _| true)
    }

    /// `bytes` of a stream hold a fragment or a fact that leads on: asked with the rule, if it leads to one, and the fragment (none
    /// of a fact).
    pub fn leads_on(&self, bytes: &[u8], stream: Stream, mut on: impl FnMut(Option<u32>, &[u8]) -> bool) -> bool {
        if self.unseen {
            return !bytes.is_empty();
        }
        let own = || self.guards.iter().filter(|(_, lead)| lead.streams.hold(stream));
        let wanted = own().fold(0, |all, (bits, _)| all | bits);
        let raised = payload_facts(wanted, &self.parameters, false, &[], bytes);
        if !bytes.is_empty() && own().any(|(bits, lead)| (*bits == 0 || bits & raised != 0) && on(lead.rule, &[])) {
            return true;
        }
        let Some(automaton) = &self.automaton else { return false };
        let mut asked = 0;
        let mut before = [u32::MAX; LEADS_MAX];
        automaton.find_overlapping_iter(bytes).any(|hit| {
            let number = hit.pattern().as_u32();
            let Some(lead) = self.leads.get(number as usize) else { return true };
            if !lead.streams.hold(stream) || before.contains(&number) {
                return false;
            }
            let Some(place) = before.get_mut(asked) else { return true };
            (*place, asked) = (number, asked + 1);
            on(lead.rule, bytes.get(hit.start()..hit.end()).unwrap_or(&[]))
        })
    }

    /// Nothing can be said.
    pub fn is_unknown(&self) -> bool {
        self.unseen
    }

    /// `bytes`, the last ones of a stream, end within a pattern and behind its fragment: the rest may come without
    /// anything that the tables look for.
    pub fn is_cut(&self, bytes: &[u8]) -> bool {
        if self.unseen {
            return !bytes.is_empty();
        }
        let last = bytes.get(bytes.len().saturating_sub(self.longest.saturating_sub(1))..).unwrap_or(bytes);
        (0..last.len()).any(|from| {
            let tail = last.get(from..).unwrap_or(&[]);
            let folded = || tail.iter().map(u8::to_ascii_lowercase);
            let first = self.patterns.partition_point(|pattern| pattern.bytes.iter().copied().lt(folded()));
            (self.patterns.iter().skip(first))
                .take_while(|pattern| pattern.bytes.get(..tail.len()).is_some_and(|b| b.eq_ignore_ascii_case(tail)))
                .any(|pattern| pattern.least <= tail.len() && tail.len() < pattern.bytes.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_contract::guards::Guard;

    fn lead(classes: u64) -> Lead {
        Lead { rule: Some(classes as u32), streams: Streams { classes, ..Streams::all() } }
    }

    fn stream(classes: u64) -> Stream {
        Stream { classes, source: 1024, destination: 80 }
    }

    fn evidence() -> StreamEvidence {
        let fragments = [(&b"abcd"[..], 1), (b"abcd", 4), (b"needle", 2)];
        let patterns = [("get /evil", 4), ("get /", 4), ("attack here", 6)];
        StreamEvidence::new(
            fragments.map(|(b, classes)| Fragment { bytes: b.into(), lead: lead(classes) }),
            [(Guard::UriHighByte.bit(), lead(2))],
            GuardParameters::ZERO,
            patterns.map(|(p, least)| Pattern { bytes: p.as_bytes().into(), least }),
        )
    }

    #[test]
    fn fragments_and_facts_by_class_and_port() {
        let e = evidence();
        assert!(e.is_in(b"xxABcdxx", stream(4)) && e.is_in(b"abcd", stream(1)) && !e.is_in(b"abcd", stream(2)));
        assert!(e.is_in(b"a needle", stream(2)) && !e.is_in(b"a needl", stream(u64::MAX)));
        assert!(e.is_in(b"GET /\xff", stream(2)) && !e.is_in(b"GET /\xff", stream(1)));
        assert!(StreamEvidence::unknown().is_in(b"x", stream(1)));
        assert!(!StreamEvidence::default().is_in(b"abcd", stream(1)));
        let fragment = |source, destination| {
            let streams = Streams { classes: 1, source, destination };
            let fragment = Fragment { bytes: b"abcd"[..].into(), lead: Lead { rule: None, streams } };
            StreamEvidence::new([fragment], [], GuardParameters::ZERO, []).is_in(b"abcd", stream(1))
        };
        let (any, some) = (PortSet::any, |port| PortSet::from_ranges(vec![(port, port)]));
        assert!(fragment(any(), some(80)) && !fragment(any(), some(81)));
        assert!(fragment(some(1024), any()) && !fragment(some(80), any()));
    }

    #[test]
    fn who_is_led_to_is_asked_once() {
        let mut asked = Vec::new();
        let leads = evidence().leads_on(b"abcd ABCD needle \xff", stream(6), |rule, fragment| {
            asked.push((rule, fragment.to_vec()));
            false
        });
        asked.sort();
        assert!(!leads);
        assert_eq!(asked, [(Some(2), vec![]), (Some(2), b"needle".to_vec()), (Some(4), b"abcd".to_vec())]);
        assert!(evidence().leads_on(b"abcd", stream(4), |rule, _| rule == Some(4)));
    }

    #[test]
    fn a_guard_that_bytes_do_not_show_is_always_there() {
        let e = StreamEvidence::new([], [(Guard::SequenceGap.bit(), lead(1))], GuardParameters::ZERO, []);
        assert!(e.is_in(b"x", stream(1)) && e.is_cut(b"x"));
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
