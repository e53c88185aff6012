//! Counting: found, missed and extra pairs, by signature.

use super::{Counts, Pairs};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Counts of a comparison.
#[derive(Debug, Default)]
pub struct Tally {
    /// Captures compared.
    pub captures: usize,
    /// Pairs the other engine has.
    pub expected: usize,
    /// Of those, pairs we have.
    pub found: usize,
    /// Pairs only we have.
    pub surplus: usize,
    /// Of those that both have, pairs that both have equally often; none where counts are not known.
    pub as_often: Option<usize>,
    /// Captures that the other engine cannot read; they count nowhere else.
    pub unreadable: Vec<String>,
    missed: BTreeMap<u32, Vec<String>>,
    extra: BTreeMap<u32, Vec<String>>,
    expected_by: BTreeMap<u32, usize>,
}

/// Lowest share of found pairs and highest share of extra ones, in percent.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bars {
    /// Found.
    pub min_found: Option<f64>,
    /// Extra.
    pub max_extra: Option<f64>,
}

impl Tally {
    /// Count one capture.
    pub fn add(&mut self, capture: &str, theirs: &Pairs, ours: &Pairs) {
        self.captures += 1;
        self.expected += theirs.len();
        for pair in theirs {
            *self.expected_by.entry(pair.0).or_default() += 1;
            if ours.contains(pair) {
                self.found += 1;
            } else {
                self.missed.entry(pair.0).or_default().push(format!("{capture} {}", pair.1));
            }
        }
        for pair in ours.difference(theirs) {
            self.surplus += 1;
            self.extra.entry(pair.0).or_default().push(format!("{capture} {}", pair.1));
        }
    }

    /// Count one capture, with how often each pair alerted.
    pub fn add_counted(&mut self, capture: &str, theirs: &Counts, ours: &Counts) {
        self.add(capture, &theirs.keys().cloned().collect(), &ours.keys().cloned().collect());
        let same = theirs.iter().filter(|(pair, count)| ours.get(*pair) == Some(count)).count();
        *self.as_often.get_or_insert(0) += same;
    }

    /// Percentage of expected pairs that we have (100 of none).
    pub fn found_share(&self) -> f64 {
        if self.expected == 0 { 100.0 } else { 100.0 * self.found as f64 / self.expected as f64 }
    }

    /// Extra pairs in percent of the expected ones.
    pub fn extra_share(&self) -> f64 {
        100.0 * self.surplus as f64 / self.expected.max(1) as f64
    }

    /// The bars hold.
    pub fn holds(&self, bars: Bars) -> bool {
        bars.min_found.is_none_or(|bar| self.found_share() >= bar)
            && bars.max_extra.is_none_or(|bar| self.extra_share() <= bar)
    }

    /// One line.
    pub fn summary(&self) -> String {
        let as_often = self.as_often.map_or_else(String::new, |n| format!("; {n} of those found as often"));
        format!(
            "{} captures, {} pairs: found {} ({:.2} %), missed {}, extra {} ({:.2} %){as_often}",
            self.captures,
            self.expected,
            self.found,
            self.found_share(),
            self.expected - self.found,
            self.surplus,
            self.extra_share()
        )
    }

    /// Missed and extra pairs by signature, most first, at most `rows` of each, with `name` for each signature.
    pub fn print(&self, rows: usize, name: impl Fn(u32) -> String) {
        for (title, list) in [("missed", &self.missed), ("extra", &self.extra)] {
            if list.is_empty() {
                continue;
            }
            println!("{title}:");
            let mut sorted: Vec<_> = list.iter().collect();
            sorted.sort_by_key(|(_, cases)| std::cmp::Reverse(cases.len()));
            for (sid, cases) in sorted.iter().take(rows) {
                let expected = self.expected_by.get(sid).unwrap_or(&0);
                println!("  {sid} {:4} of {expected:4}  {}  {}", cases.len(), name(**sid), cases[0]);
            }
            if sorted.len() > rows {
                println!("  … and {} signatures more", sorted.len() - rows);
            }
        }
    }

    /// Everything.
    pub fn json(&self) -> Value {
        let list = |list: &BTreeMap<u32, Vec<String>>| {
            list.iter().map(|(sid, cases)| json!({"sid": sid, "count": cases.len(), "pairs": cases})).collect::<Vec<_>>()
        };
        json!({
            "captures": self.captures,
            "pairs": self.expected,
            "found": self.found,
            "found_percent": self.found_share(),
            "found_as_often": self.as_often,
            "missed": self.expected - self.found,
            "extra": self.surplus,
            "extra_percent": self.extra_share(),
            "unreadable_by_suricata": self.unreadable,
            "missed_by_signature": list(&self.missed),
            "extra_by_signature": list(&self.extra),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_bars() {
        let set = |list: &[u32]| list.iter().map(|sid| (*sid, "flow".to_owned())).collect::<Pairs>();
        let mut tally = Tally::default();
        tally.add("a", &set(&[1, 2, 3]), &set(&[1, 2, 4]));
        tally.add("b", &set(&[1]), &set(&[1]));
        assert_eq!((tally.expected, tally.found, tally.surplus), (4, 3, 1));
        assert!(tally.holds(Bars { min_found: Some(75.0), max_extra: Some(25.0) }));
        assert!(!tally.holds(Bars { min_found: Some(75.1), max_extra: None }));
        assert!(!tally.holds(Bars { min_found: None, max_extra: Some(24.9) }));
        assert_eq!(tally.json()["missed_by_signature"][0]["sid"], 3);
        let counts = |list: &[(u32, u32)]| list.iter().map(|(sid, n)| ((*sid, "flow".to_owned()), *n)).collect::<Counts>();
        let mut tally = Tally::default();
        tally.add_counted("a", &counts(&[(1, 1), (2, 2), (3, 1)]), &counts(&[(1, 1), (2, 1)]));
        assert_eq!((tally.found, tally.as_often), (2, Some(1)));
    }
}
