//! Alerts kept in memory by identity, to compare two runs.

use crate::record::{AlertRecord, Endpoints, EventSink, Verdict};
use std::collections::BTreeMap;
use weir_ir::{Identity, Rule};

/// What makes an alert the same in two runs (reference semantics, section 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlertIdentity {
    /// Frame that completed the match.
    pub frame: u64,
    /// Epoch of the rules.
    pub epoch: u32,
    /// gid, sid, rev.
    pub rule: Identity,
    /// Flow: from initiator to responder, with the number of its first frame; none for packets without one.
    pub flow: Option<(Endpoints, u64)>,
    /// The packet's ends; none for frames without IP.
    pub packet: Option<Endpoints>,
    /// Transaction.
    pub transaction: Option<u64>,
    /// Carried out.
    pub blocked: bool,
    /// Decision on the packet.
    pub verdict: Verdict,
}

impl AlertIdentity {
    /// Of an alert.
    pub fn of(record: &AlertRecord<'_>) -> Self {
        AlertIdentity {
            frame: record.packet.frame,
            epoch: record.epoch,
            rule: record.rule.identity,
            flow: record.flow.map(|f| (f.ends, f.first_frame)),
            packet: record.packet.ends,
            transaction: record.app.transaction,
            blocked: record.blocked,
            verdict: record.verdict,
        }
    }
}

/// Collects identities and counts by rule.
#[derive(Debug, Default)]
pub struct AlertCollector {
    /// In the order they were raised.
    pub alerts: Vec<AlertIdentity>,
    /// (signature id, message, priority, alerts) by rule index.
    pub by_rule: BTreeMap<u32, RuleHits>,
    counts_only: bool,
}

/// Alerts of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleHits {
    /// gid, sid, rev.
    pub rule: Identity,
    /// Message.
    pub message: String,
    /// Priority, 1 is highest.
    pub priority: u8,
    /// Alerts.
    pub alerts: u64,
}

impl RuleHits {
    fn of(rule: &Rule) -> Self {
        RuleHits {
            rule: rule.identity,
            message: rule.meta.message.to_string(),
            priority: rule.meta.priority,
            alerts: 0,
        }
    }
}

impl AlertCollector {
    /// Keeps counts by rule but no identities: memory does not grow with the alerts.
    pub fn counting() -> Self {
        AlertCollector { counts_only: true, ..Self::default() }
    }

    /// Number of alerts.
    pub fn total(&self) -> u64 {
        self.by_rule.values().map(|r| r.alerts).sum()
    }

    /// Multiset difference of two runs: (only here, only there), each sorted.
    pub fn difference(&self, other: &AlertCollector) -> (Vec<AlertIdentity>, Vec<AlertIdentity>) {
        let (mut here, mut there) = (self.alerts.clone(), other.alerts.clone());
        here.sort_unstable();
        there.sort_unstable();
        let (mut only_here, mut only_there) = (Vec::new(), Vec::new());
        let (mut a, mut b) = (here.into_iter().peekable(), there.into_iter().peekable());
        loop {
            match (a.peek(), b.peek()) {
                (None, None) => return (only_here, only_there),
                (Some(x), Some(y)) if x == y => {
                    a.next();
                    b.next();
                }
                (Some(x), Some(y)) if x < y => only_here.extend(a.next()),
                (Some(_), None) => only_here.extend(a.next()),
                _ => only_there.extend(b.next()),
            }
        }
    }
}

impl EventSink for AlertCollector {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        self.by_rule.entry(record.rule_index).or_insert_with(|| RuleHits::of(record.rule)).alerts += 1;
        if self.counts_only {
            return;
        }
        self.alerts.push(AlertIdentity::of(record));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(frame: u64, sid: u32) -> AlertIdentity {
        AlertIdentity {
            frame,
            epoch: 1,
            rule: Identity { gid: 1, sid, rev: 1 },
            flow: None,
            packet: None,
            transaction: None,
            blocked: false,
            verdict: Verdict::default(),
        }
    }

    #[test]
    fn differences_are_of_multisets() {
        let a = AlertCollector { alerts: vec![alert(2, 1), alert(1, 1), alert(1, 1)], ..Default::default() };
        let b = AlertCollector { alerts: vec![alert(1, 1), alert(3, 9)], ..Default::default() };
        assert_eq!(a.difference(&b), (vec![alert(1, 1), alert(2, 1)], vec![alert(3, 9)]));
        assert_eq!(a.difference(&a), (vec![], vec![]));
    }
}
