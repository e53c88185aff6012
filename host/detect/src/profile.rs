//! What rules cost: checks, matches and time by rule, when asked for.
//!
//! A check is one evaluation of a rule that headers and multi-pattern search have left: of a packet, of a delivery of a
//! stream, of a transaction as far as it has got. The search itself, which all rules share, is not part of it. The clock is
//! read twice for a check, which takes some tens of nanoseconds and is part of the time.

use crate::program::RuleIndex;
use std::time::Duration;

/// What one rule cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RuleCost {
    /// Evaluations.
    pub checks: u64,
    /// Evaluations in which it matched, before thresholds.
    pub matches: u64,
    /// Time of all evaluations.
    pub time: Duration,
    /// Time of the longest one.
    pub longest: Duration,
}

/// What the rules of one worker's program cost, by rule.
#[derive(Debug, Clone, Default)]
pub struct RuleProfile {
    costs: Vec<RuleCost>,
}

impl RuleProfile {
    /// Rules that were checked, the one that took the most time first.
    pub fn ranked(&self) -> Vec<(RuleIndex, RuleCost)> {
        let all = self.costs.iter().enumerate().map(|(rule, cost)| (rule as RuleIndex, *cost));
        let mut ranked: Vec<_> = all.filter(|(_, cost)| cost.checks > 0).collect();
        ranked.sort_by_key(|(rule, cost)| (std::cmp::Reverse(cost.time), *rule));
        ranked
    }

    pub(crate) fn add(&mut self, rule: RuleIndex, time: Duration, matched: bool) {
        let at = rule as usize;
        if self.costs.len() <= at {
            self.costs.resize(at + 1, RuleCost::default());
        }
        if let Some(cost) = self.costs.get_mut(at) {
            cost.checks += 1;
            cost.matches += u64::from(matched);
            cost.time += time;
            cost.longest = cost.longest.max(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dearest_rule_comes_first() {
        let mut profile = RuleProfile::default();
        profile.add(7, Duration::from_nanos(100), false);
        profile.add(2, Duration::from_nanos(30), true);
        profile.add(2, Duration::from_nanos(90), false);
        let ranked = profile.ranked();
        assert_eq!(ranked.iter().map(|(rule, _)| *rule).collect::<Vec<_>>(), [2, 7]);
        let (checks, matches) = (ranked[0].1.checks, ranked[0].1.matches);
        assert_eq!((checks, matches, ranked[0].1.time.as_nanos(), ranked[0].1.longest.as_nanos()), (2, 1, 120, 90));
    }
}
