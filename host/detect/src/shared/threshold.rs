//! Thresholds: how many matches of a rule become alerts.
//!
//! Semantics follow Suricata: a period begins with the first match and ends when a match comes later than its length;
//! a `limit` that holds an alert back does not hold back the rule's action.

use std::collections::HashMap;
use std::net::IpAddr;
use weir_ir::{Action, AddressSet, Identity, Threshold, ThresholdKind, Track};
use weir_packet::Time;

/// Most entries kept.
const CAPACITY: usize = 1 << 20;

/// One line of threshold.config. A sid of 0 stands for all rules of the generator, a gid of 0 for all.
#[derive(Debug, Clone, PartialEq)]
pub enum ConfigEntry {
    /// `suppress`: no alert, when the address (if any) is in the set.
    Suppress {
        /// Generator.
        gid: u32,
        /// Signature.
        sid: u32,
        /// Which address is tested; `Both` tests either. None suppresses always.
        addresses: Option<(Track, AddressSet)>,
    },
    /// `threshold`: replaces the rule's own (a wildcard only serves rules without one).
    Threshold {
        /// Generator.
        gid: u32,
        /// Signature.
        sid: u32,
        /// The threshold.
        threshold: Threshold,
    },
    /// `rate_filter`: another action for some time.
    RateFilter(RateFilter),
}

/// `rate_filter`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateFilter {
    /// Generator.
    pub gid: u32,
    /// Signature.
    pub sid: u32,
    /// Kept by.
    pub track: Track,
    /// Matches within `seconds` that are still normal.
    pub count: u32,
    /// Length of the period.
    pub seconds: u32,
    /// The action from then on.
    pub action: Action,
    /// For so many seconds.
    pub timeout: u32,
}

impl ConfigEntry {
    /// (gid, sid), 0 = all.
    pub fn target(&self) -> (u32, u32) {
        match self {
            ConfigEntry::Suppress { gid, sid, .. } | ConfigEntry::Threshold { gid, sid, .. } => (*gid, *sid),
            ConfigEntry::RateFilter(r) => (r.gid, r.sid),
        }
    }

    /// The entry speaks of this rule.
    pub fn covers(&self, identity: Identity) -> bool {
        let (gid, sid) = self.target();
        (gid == 0 || gid == identity.gid) && (sid == 0 || sid == identity.sid)
    }
}

/// What a threshold says of a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Alert and act.
    Alert,
    /// Act without an alert.
    Silent,
    /// Neither.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Address(u32, u32, u8, IpAddr),
    Pair(u32, u32, u8, IpAddr, IpAddr),
    Rule(u32, u32, u8),
    Flow(u32, u32, u8, u64),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: Time,
    count: u32,
    /// End of the entry's influence.
    until: Time,
    /// `backoff`: the next count that alerts.
    next: u32,
}

/// Addresses and flow of the match.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// Source of the packet.
    pub source: IpAddr,
    /// Destination of the packet.
    pub destination: IpAddr,
    /// Unique number of the flow.
    pub flow: u64,
}

/// All counters.
#[derive(Debug, Default)]
pub struct Thresholds {
    entries: HashMap<Key, Entry>,
    evicted: u64,
}

fn after(start: Time, seconds: u32) -> Time {
    Time(start.0.saturating_add(u64::from(seconds) * 1_000_000_000))
}

fn key(identity: Identity, table: u8, track: Track, subject: &Subject) -> Key {
    let (g, s) = (identity.gid, identity.sid);
    match track {
        Track::Source => Key::Address(g, s, table, subject.source),
        // The table number keeps source and destination counters of one rule apart.
        Track::Destination => Key::Address(g, s, table | 0x80, subject.destination),
        Track::Both => Key::Pair(
            g,
            s,
            table,
            subject.source.min(subject.destination),
            subject.source.max(subject.destination),
        ),
        Track::Rule => Key::Rule(g, s, table),
        Track::Flow | Track::Transaction => Key::Flow(g, s, table, subject.flow),
    }
}

impl Thresholds {
    /// Entries that had to make room.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn entry(&mut self, key: Key, now: Time) -> (&mut Entry, bool) {
        if self.entries.len() >= CAPACITY && !self.entries.contains_key(&key) {
            self.entries.retain(|_, e| e.until >= now);
            if self.entries.len() >= CAPACITY {
                // Half go, oldest end first: constant cost for each insertion on average.
                let mut ends: Vec<Time> = self.entries.values().map(|e| e.until).collect();
                let middle = ends.len() / 2;
                let (_, &mut cut, _) = ends.select_nth_unstable(middle);
                let before = self.entries.len();
                self.entries.retain(|_, e| e.until > cut);
                self.evicted += (before - self.entries.len()) as u64;
            }
        }
        let mut new = false;
        let entry = self.entries.entry(key).or_insert_with(|| {
            new = true;
            Entry { start: now, count: 0, until: now, next: 0 }
        });
        (entry, new)
    }

    /// Count a match of a rule with a threshold.
    pub fn decide(&mut self, identity: Identity, threshold: &Threshold, subject: &Subject, now: Time) -> Decision {
        let (entry, new) = self.entry(key(identity, 0, threshold.track, subject), now);
        let forever = matches!(threshold.kind, ThresholdKind::Backoff(_));
        if new || (!forever && now > after(entry.start, threshold.seconds)) {
            entry.start = now;
            entry.count = 0;
            entry.next = threshold.count;
        }
        entry.until = if forever { Time(u64::MAX) } else { after(entry.start, threshold.seconds) };
        entry.count = entry.count.saturating_add(1);
        match threshold.kind {
            ThresholdKind::Limit if entry.count <= threshold.count => Decision::Alert,
            ThresholdKind::Limit => Decision::Silent,
            ThresholdKind::Threshold if entry.count >= threshold.count => {
                entry.count = 0;
                Decision::Alert
            }
            ThresholdKind::Threshold => Decision::Nothing,
            ThresholdKind::Both if entry.count == threshold.count => Decision::Alert,
            ThresholdKind::Both if entry.count > threshold.count => Decision::Silent,
            ThresholdKind::Both => Decision::Nothing,
            ThresholdKind::DetectionFilter if entry.count > threshold.count => Decision::Alert,
            ThresholdKind::DetectionFilter => Decision::Nothing,
            ThresholdKind::Backoff(multiplier) => {
                if entry.count == entry.next {
                    entry.next = entry.next.saturating_mul(multiplier.max(2));
                    Decision::Alert
                } else {
                    Decision::Silent
                }
            }
        }
    }

    /// Count a match of a rule with a rate filter; the other action, while it is in force.
    pub fn rate(&mut self, identity: Identity, filter: &RateFilter, subject: &Subject, now: Time) -> Option<Action> {
        let (entry, new) = self.entry(key(identity, 1, filter.track, subject), now);
        // `next` is 1 while the other action is in force, until `until`.
        if entry.next == 1 && now <= entry.until {
            return Some(filter.action);
        }
        if new || entry.next == 1 || now > after(entry.start, filter.seconds) {
            *entry = Entry { start: now, count: 0, until: after(now, filter.seconds), next: 0 };
        }
        entry.count = entry.count.saturating_add(1);
        if entry.count > filter.count {
            entry.next = 1;
            entry.until = after(now, filter.timeout);
            return Some(filter.action);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(kind: ThresholdKind, count: u32, seconds: u32, times: &[u64]) -> String {
        let mut thresholds = Thresholds::default();
        let subject =
            Subject { source: "10.0.0.1".parse().unwrap(), destination: "10.0.0.2".parse().unwrap(), flow: 1 };
        let identity = Identity { gid: 1, sid: 1, rev: 1 };
        let threshold = Threshold { kind, track: Track::Source, count, seconds };
        times
            .iter()
            .map(|t| match thresholds.decide(identity, &threshold, &subject, Time(t * 1_000_000_000)) {
                Decision::Alert => 'A',
                Decision::Silent => 's',
                Decision::Nothing => '.',
            })
            .collect()
    }

    #[test]
    fn kinds() {
        assert_eq!(run(ThresholdKind::Limit, 2, 10, &[0, 1, 2, 3, 11, 12, 13]), "AAssAAs");
        assert_eq!(run(ThresholdKind::Threshold, 3, 10, &[0, 1, 2, 3, 4, 5, 6]), "..A..A.");
        assert_eq!(run(ThresholdKind::Both, 2, 10, &[0, 1, 2, 3, 11, 12, 13]), ".Ass.As");
        assert_eq!(run(ThresholdKind::DetectionFilter, 2, 10, &[0, 1, 2, 3, 20]), "..AA.");
        assert_eq!(run(ThresholdKind::Backoff(10), 1, 0, &[0; 12]), "AssssssssAss");
    }

    #[test]
    fn table_is_bounded() {
        let mut thresholds = Thresholds::default();
        let identity = Identity { gid: 1, sid: 1, rev: 1 };
        let threshold = Threshold { kind: ThresholdKind::Limit, track: Track::Flow, count: 1, seconds: 1_000_000 };
        let address = "10.0.0.1".parse().unwrap();
        for flow in 0..(CAPACITY as u64 + 10) {
            let subject = Subject { source: address, destination: address, flow };
            thresholds.decide(identity, &threshold, &subject, Time(flow));
        }
        assert!(thresholds.entries.len() <= CAPACITY);
        assert!(thresholds.evicted() > 0);
    }
}
