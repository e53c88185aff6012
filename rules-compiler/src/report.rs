//! What the planner decided, for people and machines.

use crate::image::tables::{Tables, scope_names};
use crate::plan::{Class, Condition, Plan, RulePlan, Trigger};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use weir_contract::guards::Guard;
use weir_ir::{BitOperation, Rule};

/// Totals of a plan, for `stats.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Totals {
    /// Rules planned.
    pub rules: usize,
    /// By class letter.
    pub by_class: BTreeMap<char, usize>,
    /// Class C by reason.
    pub complete_by_reason: BTreeMap<String, usize>,
}

impl Totals {
    /// Of a plan.
    pub fn new(plan: &Plan) -> Self {
        let mut complete_by_reason = BTreeMap::new();
        for r in plan.rules.iter().filter(|r| r.class == Class::Complete) {
            *complete_by_reason.entry(r.reason.clone()).or_default() += 1;
        }
        Totals {
            rules: plan.rules.len(),
            by_class: Class::ALL.iter().map(|&c| (c.letter(), plan.count(c))).collect(),
            complete_by_reason,
        }
    }
}

/// The plan of one rule: for `weir rules explain`, and a line of block Certificate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// Generator.
    pub gid: u32,
    /// Signature.
    pub sid: u32,
    /// Revision.
    pub rev: u32,
    /// Class.
    pub class: Class,
    /// Why.
    pub reason: String,
    /// Fragments, in the notation of rules.
    pub fragments: Vec<String>,
    /// Guards by name.
    pub guards: Vec<String>,
    /// Scopes by name.
    pub scopes: Vec<String>,
    /// Flowbits that the rule waits for, whose setters divert: while one is set, the host keeps the flow.
    #[serde(default)]
    pub gates: Vec<String>,
    /// Distinct predicates.
    pub records: usize,
    /// Expected share of frames by the built-in statistics.
    pub cost: f64,
}

/// Explain one planned rule.
pub fn explain(rule: &Rule, planned: &RulePlan) -> Explanation {
    let mut fragments = Vec::new();
    let mut guards = Vec::new();
    let mut scopes = 0;
    let mut records = Vec::new();
    for Condition { trigger, record } in &planned.conditions {
        match trigger {
            Trigger::Fragment(f) => push_new(&mut fragments, f.display()),
            Trigger::Guard(g) => push_new(&mut guards, guard_name(*g).to_owned()),
            Trigger::Frame => {}
        }
        scopes |= record.scopes;
        push_new(&mut records, *record);
    }
    Explanation {
        gid: rule.identity.gid,
        sid: rule.identity.sid,
        rev: rule.identity.rev,
        class: planned.class,
        reason: planned.reason.clone(),
        fragments,
        guards,
        scopes: scope_names(scopes).into_iter().map(str::to_owned).collect(),
        gates: Vec::new(),
        records: records.len(),
        cost: planned.cost,
    }
}

fn push_new<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

/// Name of a guard by number.
pub fn guard_name(number: u8) -> &'static str {
    Guard::from_raw(number).map_or("unknown", Guard::name)
}

/// The lines of block Certificate.
pub fn certified(block: &[u8]) -> Result<Vec<Explanation>, serde_json::Error> {
    serde_json::Deserializer::from_slice(block).into_iter().collect()
}

/// Block Certificate: one JSON object per line and rule.
pub fn certificate(rules: &[Rule], plan: &Plan) -> Vec<u8> {
    let mut out = Vec::new();
    for planned in &plan.rules {
        if let Some(rule) = rules.get(planned.rule) {
            let mut line = explain(rule, planned);
            line.gates = gates(rule, planned, plan);
            if serde_json::to_writer(&mut out, &line).is_ok() {
                out.push(b'\n');
            }
        }
    }
    out
}

/// The gates of a rule that waits.
fn gates(rule: &Rule, planned: &RulePlan, plan: &Plan) -> Vec<String> {
    if planned.class != Class::Deferred {
        return Vec::new();
    }
    let asked = rule.flowbits.iter().filter(|op| op.operation == BitOperation::IsSet).flat_map(|op| &op.names);
    asked.filter(|name| plan.gates.contains(*name)).map(|name| name.to_string()).collect()
}

#[derive(Serialize)]
struct Origin {
    record: usize,
    sids: Vec<u32>,
}

/// Block Provenance: one JSON object per line and record, with the first rules that it stands for.
pub fn provenance(rules: &[Rule], tables: &Tables) -> Vec<u8> {
    let mut out = Vec::new();
    for (record, owners) in tables.owners.iter().enumerate() {
        let sids = owners.iter().filter_map(|&i| rules.get(i as usize)).map(|r| r.identity.sid).collect();
        if serde_json::to_writer(&mut out, &Origin { record, sids }).is_ok() {
            out.push(b'\n');
        }
    }
    out
}
