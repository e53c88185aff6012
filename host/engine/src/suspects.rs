//! Rules on bodies to which something leads that has come of a response.
//!
//! Place: beside [`crate::messages`], which asks whether one of them could still match. Invariant: whatever the tables look for
//! in a response to find such a rule names it here, or all rules are suspected.

use crate::evidence::{Lead, Pattern, Stream, StreamEvidence};
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::BTreeMap;
use weir_contract::facts::{self, payload_facts};
use weir_contract::layouts::GuardParameters;

/// What the tables look for to find rules with a pattern in a body, where the host's own search for that pattern would not
/// find it.
#[derive(Debug, Default)]
pub struct BodyEvidence {
    automaton: Option<AhoCorasick>,
    /// By the automaton's patterns.
    leads: Vec<Vec<Lead>>,
    /// Guards of facts of a head.
    guards: Vec<(u64, Lead)>,
    parameters: GuardParameters,
    /// Patterns that hold their fragment.
    patterns: StreamEvidence,
    /// Nothing can be said.
    unknown: bool,
}

impl BodyEvidence {
    /// Of folded fragments, guard bits, and patterns of rules that are looked for by part of them.
    pub fn new(
        fragments: BTreeMap<Box<[u8]>, Vec<Lead>>,
        guards: Vec<(u64, Lead)>,
        parameters: GuardParameters,
        patterns: impl IntoIterator<Item = Pattern>,
    ) -> Self {
        let (bytes, leads): (Vec<_>, Vec<_>) = fragments.into_iter().unzip();
        let patterns = StreamEvidence::new([], [], parameters, patterns);
        let mut unknown = guards.iter().any(|(bits, _)| bits & !facts::ALL != 0);
        let mut automaton = None;
        if !bytes.is_empty() {
            let mut builder = AhoCorasick::builder();
            automaton = builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(&bytes).ok();
            unknown |= automaton.is_none();
        }
        BodyEvidence { automaton, leads, guards, parameters, patterns, unknown }
    }

    /// Every byte may matter.
    pub fn unknown() -> Self {
        BodyEvidence { unknown: true, ..BodyEvidence::default() }
    }

    /// Nothing can be said.
    pub fn is_unknown(&self) -> bool {
        self.unknown
    }

    /// `body`, which goes on, ends within a pattern behind its fragment.
    pub fn is_cut(&self, body: &[u8]) -> bool {
        self.patterns.is_cut(body)
    }

    /// Adds the rules that facts of a whole head lead to.
    pub fn of_head(&self, head: &[u8], stream: Stream, suspects: &mut Suspects) {
        let own = || self.guards.iter().filter(|(_, lead)| lead.streams.hold(stream));
        let wanted = own().fold(0, |all, (bits, _)| all | bits);
        let raised = payload_facts(wanted, &self.parameters, false, &[], head);
        own().filter(|(bits, _)| bits & raised != 0).for_each(|(_, lead)| suspects.add_lead(lead));
    }

    /// Adds the rules that fragments in `bytes` lead to.
    pub fn of_bytes(&self, bytes: &[u8], stream: Stream, suspects: &mut Suspects) {
        let Some(automaton) = &self.automaton else { return };
        for hit in automaton.find_overlapping_iter(bytes) {
            let leads = self.leads.get(hit.pattern().as_usize()).map_or(&[][..], Vec::as_slice);
            leads.iter().filter(|lead| lead.streams.hold(stream)).for_each(|lead| suspects.add_lead(lead));
            if suspects.is_all() {
                break;
            }
        }
    }
}

/// Suspects of one response that are told apart; with more, every rule is one.
const SUSPECTS_MAX: usize = 16;

/// Rules that something of a response leads to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Suspects {
    rules: [u32; SUSPECTS_MAX],
    /// More than there is room for: all.
    count: u8,
}

impl Suspects {
    /// Every rule is one.
    pub fn is_all(&self) -> bool {
        usize::from(self.count) > SUSPECTS_MAX
    }

    fn add_lead(&mut self, lead: &Lead) {
        match lead.rule {
            Some(rule) => self.add(rule),
            None => self.count = u8::MAX,
        }
    }

    /// One more.
    pub fn add(&mut self, rule: u32) {
        let used = usize::from(self.count);
        if self.rules.get(..used).is_some_and(|rules| !rules.contains(&rule)) {
            if let Some(place) = self.rules.get_mut(used) {
                *place = rule;
            }
            self.count += 1;
        }
    }

    /// One of them `could` match; the others are none any more.
    pub fn any_could(&mut self, mut could: impl FnMut(u32) -> bool) -> bool {
        if self.is_all() {
            return true;
        }
        let rules = self.rules;
        let used = usize::from(std::mem::take(&mut self.count));
        rules.iter().take(used).copied().filter(|rule| could(*rule)).for_each(|rule| self.add(rule));
        self.count > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Streams;
    use weir_contract::guards::Guard;

    fn lead(rule: u32, classes: u64) -> Lead {
        Lead { rule: Some(rule), streams: Streams { classes, ..Streams::all() } }
    }

    fn rules(suspects: &mut Suspects) -> Vec<u32> {
        let mut rules = Vec::new();
        suspects.any_could(|rule| {
            rules.push(rule);
            true
        });
        rules
    }

    #[test]
    fn fragments_and_facts_name_their_rules() {
        let fragments = [(&b"needle"[..], vec![lead(1, 2), lead(2, 4)]), (b"thread", vec![lead(3, 2)])];
        let fragments = fragments.into_iter().map(|(bytes, leads)| (bytes.into(), leads)).collect();
        let guards = vec![(Guard::UriHighByte.bit(), lead(4, 2))];
        let evidence = BodyEvidence::new(fragments, guards, GuardParameters::ZERO, []);
        let stream = Stream { classes: 2, source: 80, destination: 1024 };
        let mut suspects = Suspects::default();
        evidence.of_bytes(b"a NEEDLE and a thread, a needle", stream, &mut suspects);
        assert_eq!(rules(&mut suspects), [1, 3]);
        evidence.of_head(b"HTTP/1.1 200 OK\r\n\r\n", stream, &mut suspects);
        evidence.of_head(b"HTTP/1.1 200 \xff\r\n\r\n", Stream { classes: 4, ..stream }, &mut suspects);
        assert_eq!(rules(&mut suspects), [1, 3]);
        evidence.of_head(b"HTTP/1.1 200 \xff\r\n\r\n", stream, &mut suspects);
        assert_eq!(rules(&mut suspects), [1, 3, 4]);
        assert!(suspects.any_could(|rule| rule == 3) && !suspects.any_could(|rule| rule == 1));
        assert!(!evidence.is_unknown() && BodyEvidence::unknown().is_unknown());
        let unseen = vec![(Guard::SequenceGap.bit(), lead(4, 2))];
        assert!(BodyEvidence::new(BTreeMap::new(), unseen, GuardParameters::ZERO, []).is_unknown());
    }

    #[test]
    fn too_many_are_all() {
        let mut suspects = Suspects::default();
        (0..SUSPECTS_MAX as u32).for_each(|rule| suspects.add(rule));
        (0..SUSPECTS_MAX as u32).for_each(|rule| suspects.add(rule));
        assert!(!suspects.is_all() && !suspects.any_could(|_| false));
        (0..=SUSPECTS_MAX as u32).for_each(|rule| suspects.add(rule));
        suspects.add(1000);
        assert!(suspects.is_all() && suspects.any_could(|_| false));
    }
}
