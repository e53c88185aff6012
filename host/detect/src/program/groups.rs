//! Pattern groups: multi-pattern matchers for one kind of buffer, with the rules behind each pattern.
//!
//! A rule whose content must end within the first bytes of the buffer is not a candidate for hits behind them. Very
//! short patterns that all stand so are kept in a matcher of their own, which looks at nothing but those bytes.

use super::rule::RuleIndex;
use crate::prefilter::{Matcher, MatcherBuilder, PatternIndex};

/// Longest pattern, and latest end, of the head matcher.
const HEAD_PATTERN: usize = 3;
const HEAD_END: u32 = 256;

/// One rule behind a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Behind {
    /// The rule.
    pub rule: RuleIndex,
    /// The pattern must end at or before this position of the buffer.
    pub latest: u32,
}

/// Collects patterns and rules.
#[derive(Debug, Default)]
pub struct GroupBuilder {
    body: HalfBuilder,
    head: HalfBuilder,
}

#[derive(Debug, Default)]
struct HalfBuilder {
    matcher: MatcherBuilder,
    pairs: Vec<(PatternIndex, Behind)>,
}

impl HalfBuilder {
    fn add(&mut self, bytes: &[u8], nocase: bool, behind: Behind) {
        let pattern = self.matcher.add(bytes, nocase);
        self.pairs.push((pattern, behind));
    }

    fn build(mut self) -> Half {
        self.pairs.sort_unstable();
        self.pairs.dedup();
        let mut starts = vec![0u32; self.matcher.len() + 1];
        for &(pattern, _) in &self.pairs {
            starts[pattern as usize + 1] += 1;
        }
        for i in 1..starts.len() {
            starts[i] += starts[i - 1];
        }
        let latest = self.pairs.iter().map(|(_, b)| b.latest).max().unwrap_or(0);
        let rules = self.pairs.into_iter().map(|(_, b)| b).collect();
        Half { matcher: self.matcher.build(), starts, rules, latest }
    }
}

impl GroupBuilder {
    /// `rule` becomes a candidate where `bytes` occurs and ends at or before `latest`.
    pub fn add(&mut self, bytes: &[u8], nocase: bool, rule: RuleIndex, latest: u32) {
        let half = if bytes.len() <= HEAD_PATTERN && latest <= HEAD_END { &mut self.head } else { &mut self.body };
        half.add(bytes, nocase, Behind { rule, latest });
    }

    /// Build.
    pub fn build(self) -> Group {
        Group { body: self.body.build(), head: self.head.build() }
    }
}

/// A matcher and the rules behind its patterns.
#[derive(Debug, Default)]
struct Half {
    matcher: Matcher,
    starts: Vec<u32>,
    rules: Vec<Behind>,
    latest: u32,
}

impl Half {
    #[inline]
    fn rules(&self, pattern: PatternIndex) -> &[Behind] {
        match (self.starts.get(pattern as usize), self.starts.get(pattern as usize + 1)) {
            (Some(&low), Some(&high)) => self.rules.get(low as usize..high as usize).unwrap_or(&[]),
            _ => &[],
        }
    }
}

/// All patterns of one kind of buffer.
#[derive(Debug, Default)]
pub struct Group {
    body: Half,
    head: Half,
}

impl Group {
    /// An incremental scan starts that many bytes before the new ones.
    pub fn carry(&self) -> usize {
        self.body.matcher.longest().max(self.head.matcher.longest()).saturating_sub(1)
    }

    /// No pattern.
    pub fn is_empty(&self) -> bool {
        self.body.matcher.is_empty() && self.head.matcher.is_empty()
    }

    /// Number of patterns.
    pub fn patterns(&self) -> usize {
        self.body.matcher.len() + self.head.matcher.len()
    }

    /// Number of (pattern, rule) pairs.
    pub fn pairs(&self) -> usize {
        self.body.rules.len() + self.head.rules.len()
    }

    /// Report (rules, start, end) of every occurrence that starts at or behind `from`, but for those of the head
    /// matcher.
    #[inline]
    pub fn scan_body(&self, haystack: &[u8], from: usize, hit: &mut impl FnMut(&[Behind], usize, usize)) {
        self.body.matcher.scan(haystack, from, &mut |pattern, start, end| hit(self.body.rules(pattern), start, end));
    }

    /// The same for the head matcher. `haystack` begins where the buffer begins.
    #[inline]
    pub fn scan_head(&self, haystack: &[u8], from: usize, hit: &mut impl FnMut(&[Behind], usize, usize)) {
        if from >= self.head.latest as usize {
            return;
        }
        let field = haystack.get(..self.head.latest as usize).unwrap_or(haystack);
        self.head.matcher.scan(field, from, &mut |pattern, start, end| hit(self.head.rules(pattern), start, end));
    }
}
