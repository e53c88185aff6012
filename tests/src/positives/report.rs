//! What was tried and found: tables and their JSON twin.

use super::conversation::application;
use super::run::Fate;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_ir::{Rule, RuleProtocol};

/// The protocol word under which a rule is counted.
pub fn protocol(rule: &Rule) -> String {
    match rule.header.protocol {
        RuleProtocol::App(protocol) => format!("{protocol:?}").to_lowercase(),
        other => match application(rule) {
            Some(app) => format!("{other:?} ({app:?})").to_lowercase(),
            None => format!("{other:?}").to_lowercase(),
        },
    }
}

/// Rules by protocol: tried, fired; and the causes of the others.
#[derive(Default)]
pub struct Fired {
    rows: BTreeMap<String, (usize, usize)>,
    causes: BTreeMap<(&'static str, &'static str), Vec<u32>>,
}

impl Fired {
    /// Of these fates.
    pub fn new(rules: &[Rule], fates: &BTreeMap<usize, Fate>) -> Fired {
        let mut fired = Fired::default();
        for (n, fate) in fates {
            let rule = &rules[*n];
            let row = fired.rows.entry(protocol(rule)).or_default();
            row.0 += 1;
            match fate {
                Fate::Fired(_) => row.1 += 1,
                Fate::Unsolved(cause) => fired.causes.entry(("not made", cause)).or_default().push(rule.identity.sid),
                Fate::Silent(_) => fired
                    .causes
                    .entry(("no alert", "the full engine does not alert"))
                    .or_default()
                    .push(rule.identity.sid),
            }
        }
        fired
    }

    /// Tried, and fired.
    pub fn sum(&self) -> (usize, usize) {
        self.rows.values().fold((0, 0), |sum, row| (sum.0 + row.0, sum.1 + row.1))
    }

    /// Share of the rules that fired, in per cent.
    pub fn share(&self) -> f64 {
        let (tried, fired) = self.sum();
        if tried == 0 { 0.0 } else { 100.0 * fired as f64 / tried as f64 }
    }

    /// For people.
    pub fn print(&self) {
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED).set_header(["protocol", "rules", "fired", "%"]);
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort_by_key(|(_, (tried, _))| std::cmp::Reverse(*tried));
        for (protocol, (tried, fired)) in rows {
            let share = format!("{:.1}", 100.0 * *fired as f64 / *tried as f64);
            table.add_row([protocol.clone(), tried.to_string(), fired.to_string(), share]);
        }
        let (tried, fired) = self.sum();
        table.add_row(["all".to_owned(), tried.to_string(), fired.to_string(), format!("{:.1}", self.share())]);
        println!("{table}");
        let mut table = comfy_table::Table::new();
        table.load_preset(comfy_table::presets::UTF8_FULL_CONDENSED).set_header([
            "not fired",
            "cause",
            "rules",
            "for example",
        ]);
        let mut causes: Vec<_> = self.causes.iter().collect();
        causes.sort_by_key(|(_, sids)| std::cmp::Reverse(sids.len()));
        for ((kind, cause), sids) in causes {
            let some: Vec<String> = sids.iter().take(4).map(u32::to_string).collect();
            table.add_row([(*kind).to_owned(), (*cause).to_owned(), sids.len().to_string(), some.join(", ")]);
        }
        println!("{table}");
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|(p, (tried, fired))| json!({"protocol": p, "rules": tried, "fired": fired}))
            .collect();
        let causes: Vec<Value> = self
            .causes
            .iter()
            .map(|((kind, cause), sids)| json!({"kind": kind, "cause": cause, "sids": sids}))
            .collect();
        json!({"protocols": rows, "not_fired": causes})
    }
}
