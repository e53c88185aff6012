//! threshold.config: `threshold`, `event_filter`, `rate_filter` and `suppress` lines.

use super::{Line, lines};
use crate::diag::{Cause, Diagnostic, Severity};
use crate::vars::Resolver;
use std::sync::Arc;
use weir_ir::{Action, AddressSet, Threshold, ThresholdKind, Track};

/// Which rules a line is for; 0 stands for every one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ThresholdScope {
    /// Generator.
    pub gid: u32,
    /// Signature.
    pub sid: u32,
}

impl ThresholdScope {
    /// The line is for this rule.
    pub fn covers(self, gid: u32, sid: u32) -> bool {
        (self.gid == 0 || self.gid == gid) && (self.sid == 0 || self.sid == sid)
    }
}

/// `suppress`: no alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// For which rules.
    pub scope: ThresholdScope,
    /// Only when this address (source, destination, or either = `Both`) is in the set; `None`: always.
    pub addresses: Option<(Track, Arc<AddressSet>)>,
}

/// A threshold set from outside of the rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdEntry {
    /// For which rules.
    pub scope: ThresholdScope,
    /// What is counted.
    pub threshold: Threshold,
    /// `rate_filter`: the action from the threshold on, for so many seconds (0: as long as the rate lasts).
    pub rate: Option<(Action, u32)>,
}

/// The contents of threshold.config.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThresholdConfig {
    /// `suppress` lines.
    pub suppressions: Vec<Suppression>,
    /// `threshold`, `event_filter` and `rate_filter` lines.
    pub thresholds: Vec<ThresholdEntry>,
}

impl ThresholdConfig {
    /// Read the file's lines; variables may be used for addresses.
    pub fn parse(file: &Arc<str>, bytes: &[u8], resolver: &mut Resolver<'_>, problems: &mut Vec<Diagnostic>) -> Self {
        let mut found = ThresholdConfig::default();
        lines(bytes, |line| {
            if let Err(message) = found.line(&line, resolver) {
                let hint = (line.span.start as usize, line.number);
                let mut problem =
                    Diagnostic::at(file, bytes, line.span, hint, Severity::Warning, Cause::Configuration, message);
                problem.remedy = Some("correct the line; it has no effect now".into());
                problems.push(problem);
            }
        });
        found
    }

    fn line(&mut self, line: &Line<'_>, resolver: &mut Resolver<'_>) -> Result<(), String> {
        let (word, rest) = line.text.split_once(char::is_whitespace).unwrap_or((line.text, ""));
        let fields = Fields::parse(rest)?;
        let scope = ThresholdScope { gid: fields.number("gen_id")?, sid: fields.number("sig_id")? };
        match word {
            "suppress" => {
                let addresses = match (fields.get("track"), fields.get("ip")) {
                    (None, None) => None,
                    (Some(track), Some(ip)) => {
                        let track = match track {
                            "by_src" => Track::Source,
                            "by_dst" => Track::Destination,
                            "by_either" => Track::Both,
                            other => return Err(format!("`{other}` is not by_src, by_dst or by_either")),
                        };
                        Some((track, resolver.addresses(ip).map_err(|e| e.to_string())?))
                    }
                    _ => return Err("`track` and `ip` belong together".into()),
                };
                self.suppressions.push(Suppression { scope, addresses });
            }
            "threshold" | "event_filter" => {
                let kind = match fields.get("type").ok_or("`type` is missing")? {
                    "limit" => ThresholdKind::Limit,
                    "threshold" => ThresholdKind::Threshold,
                    "both" => ThresholdKind::Both,
                    other => return Err(format!("`{other}` is not limit, threshold or both")),
                };
                let threshold = fields.threshold(kind)?;
                self.thresholds.push(ThresholdEntry { scope, threshold, rate: None });
            }
            "rate_filter" => {
                let action = match fields.get("new_action").ok_or("`new_action` is missing")? {
                    "alert" => Action::Alert,
                    "drop" => Action::Drop,
                    "pass" => Action::Pass,
                    "reject" => Action::Reject,
                    other => return Err(format!("`{other}` is not alert, drop, pass or reject")),
                };
                let threshold = fields.threshold(ThresholdKind::Threshold)?;
                let rate = Some((action, fields.number("timeout")?));
                self.thresholds.push(ThresholdEntry { scope, threshold, rate });
            }
            other => return Err(format!("`{other}` is not threshold, event_filter, rate_filter or suppress")),
        }
        Ok(())
    }
}

struct Fields<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Fields<'a> {
    /// `name value, name value`; commas within brackets belong to the value.
    fn parse(text: &'a str) -> Result<Self, String> {
        let mut fields = Vec::new();
        let mut depth = 0i32;
        let pieces = text.split(|c: char| {
            depth += match c {
                '[' => 1,
                ']' => -1,
                _ => 0,
            };
            c == ',' && depth <= 0
        });
        for piece in pieces {
            let piece = piece.trim();
            let (name, value) =
                piece.split_once(char::is_whitespace).ok_or_else(|| format!("`{piece}` has no value"))?;
            fields.push((name, value.trim()));
        }
        Ok(Fields(fields))
    }

    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|f| f.0 == name).map(|f| f.1)
    }

    fn number(&self, name: &str) -> Result<u32, String> {
        let text = self.get(name).ok_or_else(|| format!("`{name}` is missing"))?;
        text.parse().map_err(|_| format!("`{text}` is not a number"))
    }

    fn threshold(&self, kind: ThresholdKind) -> Result<Threshold, String> {
        let track = self.get("track").ok_or("`track` is missing")?;
        let track = crate::lower::track(track)
            .ok_or_else(|| format!("`{track}` is not by_src, by_dst, by_both, by_rule or by_flow"))?;
        let (count, seconds) = (self.number("count")?, self.number("seconds")?);
        if count == 0 || seconds == 0 {
            return Err("`count` and `seconds` must not be 0".into());
        }
        Ok(Threshold { kind, track, count, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vars::VariableTable;

    #[test]
    fn lines_and_their_errors() {
        let table = VariableTable::default();
        let mut problems = Vec::new();
        let text = b"# c\nsuppress gen_id 1, sig_id 2002087, track by_src, ip [10.0.0.0/8,1.1.1.1]\nsuppress gen_id 1, sig_id 5\n\
            threshold gen_id 0, sig_id 0, type limit, track by_src, count 10, seconds 10\n\
            rate_filter gen_id 1, sig_id 2, track by_rule, count 3, seconds 60, new_action drop, timeout 30\n\
            threshold gen_id 1, sig_id 2, type never, track by_src, count 1, seconds 1\nhello\n";
        let found = ThresholdConfig::parse(&"t".into(), text, &mut Resolver::new(&table), &mut problems);
        assert_eq!((found.suppressions.len(), found.thresholds.len(), problems.len()), (2, 2, 2));
        assert!(found.thresholds[0].scope.covers(1, 77));
        assert_eq!(found.thresholds[1].rate, Some((Action::Drop, 30)));
        let (track, set) = found.suppressions[0].addresses.as_ref().unwrap();
        assert_eq!(*track, Track::Source);
        assert!(set.contains("10.2.3.4".parse().unwrap()) && set.contains("1.1.1.1".parse().unwrap()));
    }
}
