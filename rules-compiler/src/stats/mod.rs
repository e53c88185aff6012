//! Counts about a ruleset: what `weir rules stats` prints. Serialisable, and as text.

use crate::diag::Diagnostic;
use crate::load::Ruleset;
use crate::show;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use weir_ir::{BitOperation, Event, Match, Rule};

/// Counts, largest first where they are lists.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Statistics {
    /// Rules that are not commented out.
    pub total: usize,
    /// Loaded.
    pub loaded: usize,
    /// Not loaded.
    pub rejected: usize,
    /// Replaced by a higher rev.
    pub replaced: usize,
    /// Commented out.
    pub disabled: usize,
    /// About loaded rules.
    pub warnings: usize,
    /// Rejections by kind.
    pub rejected_by_cause: Vec<(String, usize)>,
    /// Rejections by message, the numbers and names in them left out.
    pub rejected_by_message: Vec<(String, usize)>,
    /// Loaded rules by action.
    pub actions: Vec<(String, usize)>,
    /// Loaded rules by protocol of the header (as lowered).
    pub protocols: Vec<(String, usize)>,
    /// Buffers: rules that use it, contents, expressions.
    pub buffers: Vec<BufferCount>,
    /// Rules by feature (threshold, flowbits, dsize …).
    pub features: Vec<(String, usize)>,
    /// Rules by number of contents; the last entry is for 12 and more.
    pub contents_per_rule: Vec<usize>,
    /// Lengths of contents.
    pub lengths: Lengths,
    /// Rules without content.
    pub without_content: usize,
    /// Rules whose contents are all negated.
    pub only_negated: usize,
    /// Rules with expressions but no positive content.
    pub only_pcre: usize,
    /// Rules by length of their longest positive content: at most 3 bytes, 4 to 7, 8 and more.
    pub longest_content: [usize; 3],
}

/// Use of one buffer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct BufferCount {
    /// Dotted name.
    pub buffer: String,
    /// Rules.
    pub rules: usize,
    /// Contents.
    pub contents: usize,
    /// Expressions.
    pub pcres: usize,
    /// Entries with transforms.
    pub transformed: usize,
}

/// Lengths of contents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Lengths {
    /// How many contents.
    pub count: usize,
    /// Of them negated.
    pub negated: usize,
    /// Half are not longer.
    pub median: usize,
    /// 90 of 100 are not longer.
    pub percentile90: usize,
    /// The longest.
    pub max: usize,
}

#[derive(Default)]
struct Counter(BTreeMap<String, usize>);

impl Counter {
    fn add(&mut self, key: impl Into<String>) {
        *self.0.entry(key.into()).or_default() += 1;
    }

    /// Largest first, equal ones by name.
    fn sorted(self) -> Vec<(String, usize)> {
        let mut list: Vec<_> = self.0.into_iter().collect();
        list.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        list
    }
}

fn cause_name(diagnostic: &Diagnostic) -> String {
    serde_json::to_value(diagnostic.cause).ok().and_then(|v| v.as_str().map(str::to_owned)).unwrap_or_default()
}

/// The message without numbers, so that equal kinds count together; names in backquotes stay.
fn message_kind(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut quoted = false;
    let mut digits = false;
    for c in message.chars() {
        quoted ^= c == '`';
        if c.is_ascii_digit() && !quoted {
            if !digits {
                out.push('N');
            }
            digits = true;
        } else {
            digits = false;
            out.push(c);
        }
    }
    out
}

/// Count.
pub fn statistics(set: &Ruleset) -> Statistics {
    let mut stats = Statistics {
        total: set.total,
        loaded: set.rules.len(),
        rejected: set.rejected.len(),
        replaced: set.replaced,
        disabled: set.disabled,
        warnings: set.warnings.len(),
        contents_per_rule: vec![0; 13],
        ..Statistics::default()
    };
    let (mut causes, mut messages) = (Counter::default(), Counter::default());
    for diagnostic in &set.rejected {
        causes.add(cause_name(diagnostic));
        messages.add(message_kind(&diagnostic.message));
    }
    let (mut actions, mut protocols, mut features) = (Counter::default(), Counter::default(), Counter::default());
    let mut buffers: BTreeMap<&'static str, BufferCount> = BTreeMap::new();
    let mut lengths: Vec<usize> = Vec::new();
    for rule in &set.rules {
        actions.add(format!("{:?}", rule.action).to_lowercase());
        protocols.add(show::protocol(rule.header.protocol));
        count_features(rule, &mut features);
        let (mut contents, mut positive, mut pcres, mut longest) = (0, 0, 0, 0);
        let mut seen: Vec<&'static str> = Vec::new();
        for entry in &rule.buffers {
            let name = entry.buffer.name();
            let count = buffers.entry(name).or_default();
            if !seen.contains(&name) {
                seen.push(name);
                count.rules += 1;
            }
            count.transformed += usize::from(!entry.transforms.is_empty());
            for item in &entry.matches {
                match item {
                    Match::Content(content) => {
                        count.contents += 1;
                        contents += 1;
                        lengths.push(content.bytes.len());
                        if content.negated {
                            stats.lengths.negated += 1;
                        } else {
                            positive += 1;
                            longest = longest.max(content.bytes.len());
                        }
                    }
                    Match::Pcre(_) => {
                        count.pcres += 1;
                        pcres += 1;
                    }
                    _ => {}
                }
            }
        }
        if let Some(slot) = stats.contents_per_rule.get_mut(contents.min(12)) {
            *slot += 1;
        }
        stats.without_content += usize::from(contents == 0);
        stats.only_negated += usize::from(contents > 0 && positive == 0);
        stats.only_pcre += usize::from(pcres > 0 && positive == 0);
        if positive > 0 {
            let class = match longest {
                0..=3 => 0,
                4..=7 => 1,
                _ => 2,
            };
            if let Some(slot) = stats.longest_content.get_mut(class) {
                *slot += 1;
            }
        }
    }
    lengths.sort_unstable();
    stats.lengths.count = lengths.len();
    stats.lengths.median = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    stats.lengths.percentile90 = lengths.get(lengths.len() * 9 / 10).copied().unwrap_or(0);
    stats.lengths.max = lengths.last().copied().unwrap_or(0);
    stats.rejected_by_cause = causes.sorted();
    stats.rejected_by_message = messages.sorted();
    stats.actions = actions.sorted();
    stats.protocols = protocols.sorted();
    stats.features = features.sorted();
    stats.buffers = buffers.into_iter().map(|(name, count)| BufferCount { buffer: name.to_owned(), ..count }).collect();
    stats.buffers.sort_by(|a, b| b.rules.cmp(&a.rules).then_with(|| a.buffer.cmp(&b.buffer)));
    stats
}

/// Each feature once for a rule.
fn count_features(rule: &Rule, features: &mut Counter) {
    let mut found: Vec<&'static str> = Vec::new();
    let mut note = |name: &'static str, present: bool| {
        if present && !found.contains(&name) {
            found.push(name);
        }
    };
    let sets = |op: BitOperation| matches!(op, BitOperation::Set | BitOperation::Unset | BitOperation::Toggle);
    note("flow", rule.flow.is_some());
    note("bidirectional", rule.header.bidirectional);
    note("flowbits set", rule.flowbits.iter().any(|b| sets(b.operation)));
    note("flowbits test", rule.flowbits.iter().any(|b| !sets(b.operation)));
    note("flowint", !rule.flowints.is_empty());
    note("xbits", !rule.xbits.is_empty());
    note("threshold", rule.threshold.is_some());
    note("tag", rule.tag.is_some());
    note("noalert", rule.noalert);
    note("packet condition", !rule.packet.is_empty());
    note("application condition", !rule.app_layer.is_empty());
    note("decode-event", rule.events.iter().any(|e| matches!(e, Event::Decoder(_))));
    note("stream-event", rule.events.iter().any(|e| matches!(e, Event::Stream(_))));
    note("app-layer-event", rule.events.iter().any(|e| matches!(e, Event::AppLayer(..))));
    for item in rule.buffers.iter().flat_map(|b| &b.matches) {
        let name = match item {
            Match::Content(content) => {
                note("nocase", content.nocase);
                note("depth or offset", content.depth.is_some() || content.offset.is_some());
                note("distance or within", content.is_relative());
                note("startswith", content.anchor.start);
                note("endswith", content.anchor.end);
                note("fast_pattern", content.fast_pattern);
                note("negated content", content.negated);
                "content"
            }
            Match::Pcre(pcre) => {
                note("relative pcre", pcre.relative);
                "pcre"
            }
            Match::ByteTest(_) => "byte_test",
            Match::ByteJump(_) => "byte_jump",
            Match::ByteExtract(_) => "byte_extract",
            Match::ByteMath(_) => "byte_math",
            Match::IsDataAt(_) => "isdataat",
            Match::Size(_) => "bsize or urilen",
            Match::Absent { .. } => "absent",
            Match::Base64Decode(_) => "base64_decode",
            Match::Dataset(_) => "dataset",
            Match::Entropy(_) => "entropy",
        };
        note(name, true);
    }
    note("transforms", rule.buffers.iter().any(|b| !b.transforms.is_empty()));
    for name in found {
        features.add(name);
    }
}

impl Statistics {
    /// As a text for the terminal.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let share = |part: usize| if self.total == 0 { 0.0 } else { 100.0 * part as f64 / self.total as f64 };
        let _ = writeln!(out, "rules      {:>8}   ({} more are commented out)", self.total, self.disabled);
        let _ = writeln!(out, "loaded     {:>8}   {:6.2} %", self.loaded, share(self.loaded));
        let _ = writeln!(out, "rejected   {:>8}   {:6.2} %", self.rejected, share(self.rejected));
        if self.replaced > 0 {
            let _ = writeln!(out, "replaced   {:>8}   by a higher rev", self.replaced);
        }
        let _ = writeln!(out, "warnings   {:>8}", self.warnings);
        let table = |out: &mut String, title: &str, list: &[(String, usize)], most: usize| {
            if list.is_empty() {
                return;
            }
            let _ = writeln!(out, "\n{title}");
            for (name, count) in list.iter().take(most) {
                let _ = writeln!(
                    out,
                    "  {count:>8}  {}",
                    name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>()
                );
            }
            if list.len() > most {
                let rest: usize = list.iter().skip(most).map(|l| l.1).sum();
                let _ = writeln!(out, "  {rest:>8}  ({} more)", list.len() - most);
            }
        };
        table(&mut out, "rejected, by cause", &self.rejected_by_cause, 30);
        table(&mut out, "rejected, by message", &self.rejected_by_message, 20);
        table(&mut out, "by protocol", &self.protocols, 40);
        table(&mut out, "by action", &self.actions, 10);
        table(&mut out, "by feature", &self.features, 60);
        if !self.buffers.is_empty() {
            let _ = writeln!(out, "\nby buffer                     rules  contents    pcre  transformed");
            for b in &self.buffers {
                let _ = writeln!(
                    out,
                    "  {:<24} {:>8} {:>9} {:>7} {:>12}",
                    b.buffer, b.rules, b.contents, b.pcres, b.transformed
                );
            }
        }
        let _ = writeln!(
            out,
            "\ncontents   {:>8}   {} negated; length median {}, 90 % within {}, longest {}",
            self.lengths.count, self.lengths.negated, self.lengths.median, self.lengths.percentile90, self.lengths.max
        );
        let [short, middle, long] = self.longest_content;
        let _ = writeln!(out, "longest content of a rule: at most 3 bytes {short}, 4 to 7 {middle}, 8 or more {long}");
        let _ = writeln!(
            out,
            "without content {}, only negated {}, only expressions {}",
            self.without_content, self.only_negated, self.only_pcre
        );
        let counts: Vec<String> = self
            .contents_per_rule
            .iter()
            .enumerate()
            .map(|(n, count)| format!("{n}{}:{count}", if n == 12 { "+" } else { "" }))
            .collect();
        let _ = writeln!(out, "contents per rule  {}", counts.join("  "));
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LoadOptions, RuleSource, VariableTable, load};

    #[test]
    fn counts() {
        let text = r#"
alert http any any -> any any (msg:"a"; http.uri; content:"/abcdefgh"; nocase; pcre:"/x/R"; sid:1;)
alert tcp any any -> any any (content:"ab"; content:!"c"; sid:2;)
alert tcp any any -> any any (nonsense; sid:3;)
# alert tcp any any -> any any (sid:4;)
alert ip any any -> any any (threshold:type limit,track by_src,count 1,seconds 9; sid:5;)
"#;
        let set = load(&[RuleSource::from_text("r", text)], &VariableTable::default(), &LoadOptions::default());
        let stats = statistics(&set);
        assert_eq!((stats.total, stats.loaded, stats.rejected, stats.disabled), (4, 3, 1, 1));
        assert_eq!(stats.rejected_by_cause, [("unknown-keyword".to_owned(), 1)]);
        assert_eq!(stats.lengths, Lengths { count: 3, negated: 1, median: 2, percentile90: 9, max: 9 });
        assert_eq!(stats.longest_content, [1, 0, 1]);
        assert_eq!(stats.without_content, 1);
        assert!(stats.to_text().contains("loaded            3    75.00 %"));
        assert!(serde_json::to_string(&stats).unwrap().contains("\"http.uri\""));
        assert_eq!(message_kind("a 12 `b34` 5"), "a N `b34` N");
    }
}
