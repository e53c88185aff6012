//! What rules are expected to cost: the share of frames that what they ask for flags, by the statistics that planned them.
//!
//! Many rules ask for the same: every rule on HTTP for the frames of HTTP/2, those on bodies for announced codings, those on
//! targets for escapes. What more than [`SHARED`] rules ask for is a row of its own; a rule's *own* share is the rest, and what
//! it would cost *alone* is all of it.

use crate::device::Tables;
use crate::planning::Planning;
use serde::Serialize;
use std::collections::HashMap;
use weir_contract::layouts::Record;
use weir_ir::Rule;
use weir_rules::image::tables::covers;
use weir_rules::plan::{Class, Condition, Trigger};
use weir_rules::profile::estimate::{Estimator, Expected};
use weir_rules::report::guard_name;

/// What more rules ask for than these is nobody's own.
pub const SHARED: usize = 16;
/// A rule that costs this share of the frames or more is dear: the bar of the project is at most [`DEAR_BAR`] of them.
pub const DEAR: f64 = 1e-4;
/// Rules that may be dear.
pub const DEAR_BAR: usize = 50;
/// Share of the rules that may be of class C.
pub const COMPLETE_BAR: f64 = 0.005;

/// Expected shares of frames of one rule, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RuleShare {
    /// Index of the rule.
    #[serde(skip)]
    pub rule: usize,
    /// Of what few other rules ask for.
    pub own: f64,
    /// If there were no other rule.
    pub alone: f64,
}

/// What many rules ask for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SharedShare {
    /// The trigger, for people.
    pub what: String,
    /// Rules that ask for it.
    pub rules: usize,
    /// Expected share of frames.
    pub share: f64,
}

/// All of it.
#[derive(Debug, Clone)]
pub struct Costs {
    /// By index of the rule.
    pub rules: Vec<RuleShare>,
    /// Dearest first.
    pub shared: Vec<SharedShare>,
    /// All tables.
    pub expected: Expected,
    /// Rules of class C.
    pub complete: usize,
}

/// How many rules ask for a condition, and what many ask for.
pub struct Askers {
    counts: HashMap<(Trigger, Record), usize>,
    shared: HashMap<Trigger, Vec<Record>>,
}

impl Askers {
    /// Of all rules.
    pub fn new(tables: &Tables) -> Self {
        let mut counts: HashMap<(Trigger, Record), (usize, usize)> = HashMap::new();
        for planned in &tables.plan.rules {
            for condition in &planned.conditions {
                let (count, last) = counts.entry((condition.trigger, condition.record)).or_insert((0, usize::MAX));
                if *last != planned.rule {
                    (*count, *last) = (*count + 1, planned.rule);
                }
            }
        }
        let counts: HashMap<(Trigger, Record), usize> =
            counts.into_iter().map(|(key, (count, _))| (key, count)).collect();
        let mut shared: HashMap<Trigger, Vec<Record>> = HashMap::new();
        for ((trigger, record), _) in counts.iter().filter(|(_, count)| **count > SHARED) {
            shared.entry(*trigger).or_default().push(*record);
        }
        Askers { counts, shared }
    }

    /// Rules that ask for it.
    pub fn of(&self, condition: &Condition) -> usize {
        self.counts.get(&(condition.trigger, condition.record)).copied().unwrap_or(0)
    }

    /// Few do, and no frame is flagged for it that is not flagged for what many ask for.
    pub fn is_own(&self, condition: &Condition) -> bool {
        // Flagged is flagged, whatever could complete a match.
        let any = |wide: &Record| Record { scopes: u8::MAX, ..*wide };
        let covered = |trigger: &Trigger| {
            self.shared.get(trigger).is_some_and(|all| all.iter().any(|wide| covers(&any(wide), &condition.record)))
        };
        self.of(condition) <= SHARED && !covered(&condition.trigger) && !covered(&Trigger::Frame)
    }
}

/// Shares of one rule's conditions.
pub fn of_rule(conditions: &[Condition], askers: &Askers, estimator: &Estimator, tables: &Tables) -> (f64, f64) {
    let sets = &tables.plan.sets;
    let own = estimator.conditions(conditions.iter().filter(|c| askers.is_own(c)), sets);
    (own, estimator.conditions(conditions, sets))
}

impl Costs {
    /// Of planned rules.
    pub fn new(tables: &Tables, planning: &Planning) -> Self {
        let estimator = planning.estimator_of(tables);
        let askers = Askers::new(tables);
        let rules = tables.plan.rules.iter().map(|planned| {
            let (own, alone) = of_rule(&planned.conditions, &askers, &estimator, tables);
            RuleShare { rule: planned.rule, own, alone }
        });
        let rules = rules.collect();
        // By trigger: the records of one differ in ports and addresses.
        let mut by_trigger: HashMap<Trigger, (usize, Vec<Condition>)> = HashMap::new();
        for ((trigger, record), count) in askers.counts.iter().filter(|(_, count)| **count > SHARED) {
            let row = by_trigger.entry(*trigger).or_default();
            row.0 = row.0.max(*count);
            row.1.push(Condition { trigger: *trigger, record: *record });
        }
        let mut shared: Vec<SharedShare> = by_trigger
            .into_iter()
            .map(|(trigger, (rules, conditions))| SharedShare {
                what: trigger_text(&trigger),
                rules,
                share: estimator.conditions(&conditions, &tables.plan.sets),
            })
            .collect();
        shared.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.what.cmp(&b.what)));
        let expected = estimator.tables(&tables.image.tables, &tables.plan.sets);
        Costs { rules, shared, expected, complete: tables.plan.count(Class::Complete) }
    }

    /// Rules whose own share is at least this, dearest first.
    pub fn ranked(&self, least: f64) -> Vec<RuleShare> {
        let mut out: Vec<RuleShare> = self.rules.iter().filter(|r| r.own >= least).copied().collect();
        out.sort_by(|a, b| b.own.total_cmp(&a.own).then(b.alone.total_cmp(&a.alone)).then(a.rule.cmp(&b.rule)));
        out
    }

    /// Rules whose own share is that of a dear one.
    pub fn dear(&self) -> usize {
        self.rules.iter().filter(|r| r.own >= DEAR).count()
    }

    /// The same, with what many ask for.
    pub fn dear_alone(&self) -> usize {
        self.rules.iter().filter(|r| r.alone >= DEAR).count()
    }

    /// As JSON, with the rules that are listed.
    pub fn to_json(
        &self,
        listed: &[RuleShare],
        sources: &[Rule],
        tables: &Tables,
        planning: &Planning,
    ) -> serde_json::Value {
        let rules = listed.iter().filter_map(|share| {
            let (rule, planned) = (sources.get(share.rule)?, tables.plan.rules.get(share.rule)?);
            Some(serde_json::json!({
                "gid": rule.identity.gid, "sid": rule.identity.sid, "rev": rule.identity.rev,
                "class": planned.class.letter().to_string(), "reason": planned.reason, "msg": &*rule.meta.message,
                "own": share.own, "alone": share.alone,
            }))
        });
        let all = self.rules.len();
        serde_json::json!({
            "rules": rules.collect::<Vec<_>>(),
            "shared": self.shared.iter().filter(|s| s.share >= DEAR).collect::<Vec<_>>(),
            "expected": self.expected,
            "planned_by": planning.describe(),
            "loaded": all,
            "dear": { "least": DEAR, "rules": self.dear(), "rules_alone": self.dear_alone(), "bar": DEAR_BAR },
            "class_c": { "rules": self.complete, "share": self.complete as f64 / all.max(1) as f64, "bar": COMPLETE_BAR },
        })
    }
}

/// A trigger for people.
pub fn trigger_text(trigger: &Trigger) -> String {
    match trigger {
        Trigger::Frame => "every frame of some kind".to_owned(),
        Trigger::Fragment(fragment) => format!("fragment \"{}\"", fragment.display()),
        Trigger::Guard(guard) => format!("guard {}", guard_name(*guard)),
    }
}
