//! The closing summary, for people.

use crate::collect::{AlertCollector, RuleHits};
use crate::totals::{Cause, RunTotals};
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};
use std::collections::BTreeMap;
use std::fmt;

/// Alerts of a rule.
pub type RuleCount = RuleHits;

/// Renders totals and alerts as tables.
#[derive(Debug)]
pub struct Summary<'a> {
    /// Numbers.
    pub totals: &'a RunTotals,
    /// Rules that alerted.
    pub rules: Vec<&'a RuleCount>,
    /// How many rules to show.
    pub top: usize,
    /// Colours and bold.
    pub styled: bool,
    /// Width to keep to; none: as wide as needed.
    pub width: Option<u16>,
}

impl<'a> Summary<'a> {
    /// From totals and a collector; ten rules, no style.
    pub fn new(totals: &'a RunTotals, alerts: &'a AlertCollector) -> Self {
        let mut rules: Vec<_> = alerts.by_rule.values().collect();
        rules.sort_by_key(|r| (std::cmp::Reverse(r.alerts), r.priority, r.rule));
        Summary { totals, rules, top: 10, styled: false, width: None }
    }

    fn table(&self, header: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_FULL_CONDENSED);
        if let Some(width) = self.width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
        }
        table.set_header(header.iter().map(|h| {
            let cell = Cell::new(h);
            if self.styled { cell.add_attribute(Attribute::Bold) } else { cell }
        }));
        table
    }

    fn alerts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.rules.is_empty() {
            return writeln!(f, "No alerts.");
        }
        let total: u64 = self.rules.iter().map(|r| r.alerts).sum();
        let mut severities: std::collections::BTreeMap<u8, (u64, u64)> = Default::default();
        for rule in &self.rules {
            let entry = severities.entry(rule.priority).or_default();
            entry.0 += rule.alerts;
            entry.1 += 1;
        }
        let mut table = self.table(&["severity", "alerts", "rules"]);
        for (severity, (alerts, rules)) in severities {
            let name = match severity {
                1 => "1 high".to_owned(),
                2 => "2 medium".to_owned(),
                3 => "3 low".to_owned(),
                n => format!("{n} informational"),
            };
            table.add_row(vec![Cell::new(name), number(alerts), number(rules)]);
        }
        writeln!(f, "{table}")?;
        let mut table = self.table(&["alerts", "sid", "sev", "signature"]);
        for rule in self.rules.iter().take(self.top) {
            let identity = rule.rule;
            let sid =
                if identity.gid == 1 { identity.sid.to_string() } else { format!("{}:{}", identity.gid, identity.sid) };
            table.add_row(vec![
                number(rule.alerts),
                right(sid),
                right(rule.priority),
                Cell::new(visible(&rule.message)),
            ]);
        }
        writeln!(f, "{table}")?;
        if self.rules.len() > self.top {
            let shown: u64 = self.rules.iter().take(self.top).map(|r| r.alerts).sum();
            writeln!(
                f,
                "… and {} alerts of {} more rules; all are in eve.json",
                group(total - shown),
                self.rules.len() - self.top
            )?;
        }
        Ok(())
    }

    fn interfaces(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.totals.interfaces.is_empty() {
            return Ok(());
        }
        let mut table = self.table(&["interface", "received", "lost", "sent", "refused", "repaired", "down"]);
        for of in &self.totals.interfaces {
            table.add_row(vec![
                Cell::new(visible(&of.name)),
                number(of.received_packets),
                number(of.lost_packets + of.truncated_packets),
                number(of.sent_packets),
                number(of.refused_packets.values().sum()),
                number(of.unsegmented_packets + of.completed_checksums + of.restored_tags),
                number(of.downs),
            ]);
        }
        writeln!(f, "{table}")
    }

    fn device(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (device, host) = (&self.totals.device, &self.totals.host);
        if device.received_packets == 0 {
            return writeln!(
                f,
                "No device: the engine inspected all {} packets, {} bytes.",
                group(host.packets),
                group(host.bytes)
            );
        }
        let mut table = self.table(&["frames", "packets", "share"]);
        let share = |n: u64| right(percent(n as f64 / device.received_packets as f64));
        let always = [
            ("received by the device", device.received_packets),
            ("passed without the host", device.passed_packets),
            ("diverted to the host", device.diverted_packets),
            ("read by the host from history", host.history_packets),
        ];
        let unusual =
            [
            ("dropped by the device", device.dropped_packets),
            ("dropped by the host", device.denied_packets),
            ("bypassed (fail-open)", device.bypassed_packets),
            ("made by the host", device.injected_packets),
        ];
        for (name, n) in always.into_iter().chain(unusual.into_iter().filter(|&(_, n)| n > 0)) {
            table.add_row(vec![Cell::new(name), number(n), share(n)]);
        }
        writeln!(f, "{table}")?;
        if !host.by_cause.is_empty() {
            let mut table = self.table(&["why the host got it", "packets", "of all", "bytes", "of all"]);
            let mut rows = |causes: &BTreeMap<String, Cause>, most: usize, before: &str| {
                let mut causes: Vec<_> = causes.iter().collect();
                causes.sort_by_key(|(name, cause)| (std::cmp::Reverse(cause.packets), *name));
                for (name, cause) in causes.iter().take(most) {
                    table.add_row(vec![
                        Cell::new(format!("{before}{name}")),
                        number(cause.packets),
                        share(cause.packets),
                        number(cause.bytes),
                        right(percent(cause.bytes as f64 / device.received_bytes.max(1) as f64)),
                    ]);
                }
            };
            rows(&host.by_cause, self.top + 2, "");
            rows(&host.held, self.top, "sticky: ");
            table.add_row(vec![
                Cell::new("host share"),
                number(host.packets),
                right(percent(host.share_packets)),
                number(host.bytes),
                right(percent(host.share_bytes)),
            ]);
            writeln!(f, "{table}")?;
        }
        if host.history_truncated > 0 {
            writeln!(
                f,
                "WARNING: the history of {} flows was overwritten before the host read it; enlarge device.history-size.",
                group(host.history_truncated)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.alerts(f)?;
        self.interfaces(f)?;
        self.device(f)?;
        let totals = self.totals;
        if !totals.host.limits.is_empty() {
            let list: Vec<_> = totals.host.limits.iter().map(|(name, n)| format!("{name} {}", group(*n))).collect();
            writeln!(f, "Limits reached: {}", list.join(", "))?;
        }
        let rules = &totals.rules;
        write!(f, "Rules: {} loaded", group(rules.loaded))?;
        if rules.rejected > 0 {
            write!(f, ", {} rejected", group(rules.rejected))?;
            let mut causes: Vec<_> = rules.rejected_by_cause.iter().collect();
            causes.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), *name));
            let list: Vec<_> = causes.iter().take(4).map(|(name, n)| format!("{name} {}", group(**n))).collect();
            if !list.is_empty() {
                write!(f, " ({}{})", list.join(", "), if causes.len() > 4 { ", …" } else { "" })?;
            }
        }
        if !rules.by_class.is_empty() {
            let list: Vec<_> = rules.by_class.iter().map(|(class, n)| format!("{class} {}", group(*n))).collect();
            write!(f, "; classes {}", list.join(", "))?;
        }
        writeln!(f)?;
        let seconds = totals.seconds;
        write!(f, "Time: load {:.2} s, run {:.2} s", seconds.load, seconds.run)?;
        if seconds.run > 0.0 {
            write!(
                f,
                " ({} packets/s, {:.2} Gbit/s)",
                group((totals.received_packets() as f64 / seconds.run) as u64),
                totals.received_bytes() as f64 * 8.0 / seconds.run / 1e9
            )?;
        }
        writeln!(f, "; flows {}", group(totals.flows()))
    }
}

/// A number with thin groups of three, `12 345 678`.
pub fn group(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            out.push(' ');
        }
        out.push(c);
    }
    out
}

/// `12.34 %`
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// Text of a rule, safe for a terminal.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '.' } else { c }).collect()
}

fn number(n: u64) -> Cell {
    right(group(n))
}

fn right(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_ir::Identity;

    #[test]
    fn readable() {
        let mut alerts = AlertCollector::counting();
        for sid in 1..=12u32 {
            alerts.by_rule.insert(
                sid,
                RuleHits {
                    rule: Identity { gid: 1, sid, rev: 1 },
                    message: format!("TEST rule {sid}\x1b[31m"),
                    priority: (sid % 3 + 1) as u8,
                    alerts: u64::from(sid) * 1000,
                },
            );
        }
        let mut totals = RunTotals::default();
        totals.device.received_packets = 1_000_000;
        totals.device.received_bytes = 500_000_000;
        totals.host.packets = 12_345;
        totals.host.by_cause.insert("literal".into(), crate::Cause { packets: 12_345, bytes: 100 });
        totals.compute_shares();
        totals.seconds.run = 2.0;
        let text = Summary::new(&totals, &alerts).to_string();
        for needle in ["12 000", "TEST rule 12", "1.23 %", "2 more rules", "500 000 packets/s", "host share"] {
            assert!(text.contains(needle), "{needle} is missing in\n{text}");
        }
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn groups() {
        assert_eq!([group(0), group(999), group(1000), group(1234567)], ["0", "999", "1 000", "1 234 567"]);
    }
}
