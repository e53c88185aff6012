//! Pattern groups: one multi-pattern matcher for each kind of buffer, with the rules behind each pattern.

use super::rule::RuleIndex;
use crate::prefilter::{Matcher, MatcherBuilder, PatternIndex};

/// Collects patterns and rules.
#[derive(Debug, Default)]
pub struct GroupBuilder {
    matcher: MatcherBuilder,
    pairs: Vec<(PatternIndex, RuleIndex)>,
}

impl GroupBuilder {
    /// `rule` becomes a candidate where `bytes` occurs.
    pub fn add(&mut self, bytes: &[u8], nocase: bool, rule: RuleIndex) {
        let pattern = self.matcher.add(bytes, nocase);
        self.pairs.push((pattern, rule));
    }

    /// Nothing added.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Build.
    pub fn build(mut self) -> Group {
        self.pairs.sort_unstable();
        self.pairs.dedup();
        let mut starts = vec![0u32; self.matcher.len() + 1];
        for &(pattern, _) in &self.pairs {
            starts[pattern as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        Group { matcher: self.matcher.build(), starts, rules: self.pairs.into_iter().map(|(_, r)| r).collect() }
    }
}

/// A matcher and the rules behind its patterns.
#[derive(Debug, Default)]
pub struct Group {
    /// The matcher.
    pub matcher: Matcher,
    starts: Vec<u32>,
    rules: Vec<RuleIndex>,
}

impl Group {
    /// Rules of a pattern.
    #[inline]
    pub fn rules(&self, pattern: PatternIndex) -> &[RuleIndex] {
        match (self.starts.get(pattern as usize), self.starts.get(pattern as usize + 1)) {
            (Some(&low), Some(&high)) => self.rules.get(low as usize..high as usize).unwrap_or(&[]),
            _ => &[],
        }
    }

    /// Number of (pattern, rule) pairs.
    pub fn pairs(&self) -> usize {
        self.rules.len()
    }
}
