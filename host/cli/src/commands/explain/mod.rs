//! `weir rules explain`: what Weir makes of a rule, and why.

mod text;

use super::configuration;
use crate::args::ExplainArguments;
use crate::cost::{self, Askers};
use crate::device::{self, Tables};
use crate::exit::{FINDINGS, Failure, INPUT, OK};
use crate::out::{out, outln};
use crate::pipeline::{self, Loaded};
use crate::planning::Planning;
use crate::ruleset;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;
use weir_ir::{BitOperation, Rule};
use weir_rules::diag::{render_json, render_text};
use weir_rules::plan::{Class, Condition, Fragment, RulePlan, Trigger};
use weir_rules::profile::estimate::Estimator;
use weir_rules::show::{ShownRule, hex, record_words, scope_words};
use weir_verify::{Host, Proof};

/// Rules named of those that share something.
const NAMED: usize = 12;

/// A rule, its plan, and what that costs.
#[derive(Debug, Serialize)]
struct Explained {
    gid: u32,
    sid: u32,
    rev: u32,
    msg: String,
    file: String,
    line: u32,
    classtype: Option<String>,
    priority: u8,
    rule: ShownRule,
    class: Class,
    meaning: &'static str,
    reason: String,
    /// What the device looks for, by what it asks of frames.
    conditions: Vec<Group>,
    /// Flowbits that the rule waits for.
    gates: Vec<Gate>,
    /// Expected share of frames, 0 to 1.
    expected: Share,
    planned_by: String,
    /// What the independent checker says of the tables.
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<Proven>,
}

/// Of one rule.
#[derive(Debug, Clone, Copy, Serialize)]
struct Share {
    /// Of what few other rules ask for.
    own: f64,
    /// Of all that it asks for.
    alone: f64,
}

/// Triggers that lead to one record.
#[derive(Debug, Serialize)]
struct Group {
    /// What it asks of the frame.
    when: Vec<String>,
    /// Kinds of inspection that could complete a match.
    scopes: String,
    fragments: Vec<ShownFragment>,
    guards: Vec<ShownGuard>,
    /// The record is asked of every frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    every_frame: Option<ShownFrame>,
}

#[derive(Debug, Serialize)]
struct ShownFragment {
    text: String,
    hex: String,
    bytes: usize,
    /// Letters that count as written: none, all, or which.
    case: String,
    expected: f64,
    /// Rules that ask for this fragment, whatever else they ask.
    rules: usize,
    /// The first of the others.
    with: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct ShownGuard {
    name: &'static str,
    meaning: &'static str,
    expected: f64,
    rules: usize,
}

#[derive(Debug, Serialize)]
struct ShownFrame {
    expected: f64,
    rules: usize,
}

#[derive(Debug, Serialize)]
struct Gate {
    flowbit: String,
    set_by: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Proven {
    proven: bool,
    by: String,
}

pub fn run(arguments: &ExplainArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let start = Instant::now();
    let set = ruleset::load_rules(&ruleset::paths(&arguments.rules, &config)?, &config, None)?;
    let mut loaded = pipeline::compile(set, &config, start);
    loaded.planning = Planning::read(&arguments.profile, &loaded, &config, arguments.json)?;
    let tables = device::tables(&loaded)?;
    let explainer = Explainer::new(&loaded, &tables, arguments);
    let sources = loaded.program.sources();
    let (mut code, mut entries) = (OK, Vec::new());
    for &sid in &arguments.sids {
        let mut found = false;
        for index in (0..sources.len()).filter(|n| sources.get(*n).is_some_and(|rule| rule.identity.sid == sid)) {
            let Some(explained) = explainer.explain(index)? else { continue };
            found = true;
            if arguments.json {
                entries.push(serde_json::to_value(&explained).unwrap_or_default());
            } else {
                out!("{}", text::page(&explained));
            }
        }
        let of_sid = |d: &&weir_rules::Diagnostic| d.sid == Some(sid);
        for diagnostic in loaded.ruleset.rejected.iter().filter(of_sid) {
            (found, code) = (true, FINDINGS);
            if arguments.json {
                let problem = serde_json::from_str(&render_json(diagnostic)).unwrap_or(serde_json::Value::Null);
                entries.push(serde_json::json!({ "sid": sid, "rejected": problem }));
            } else {
                outln!("{}", render_text(diagnostic));
            }
        }
        for refused in loaded.refused.iter().filter(|refused| refused.identity.sid == sid) {
            (found, code) = (true, FINDINGS);
            if arguments.json {
                let problem = serde_json::json!({ "file": &*refused.file, "line": refused.line, "message": refused.cause });
                entries.push(serde_json::json!({ "sid": sid, "rejected": problem }));
            } else {
                outln!("error: {refused}");
            }
        }
        for warning in loaded.ruleset.warnings.iter().filter(of_sid).filter(|_| !arguments.json) {
            outln!("{}", render_text(warning));
        }
        if !found {
            return Err(Failure {
                code: INPUT,
                error: anyhow::anyhow!("no rule has sid {sid}"),
                remedy: Some("it may be commented out; `weir rules stats` counts what was read".to_owned()),
            });
        }
    }
    if arguments.json {
        outln!("{:#}", serde_json::json!({ "rules": entries }));
    }
    Ok(code)
}

struct Explainer<'a> {
    loaded: &'a Loaded,
    tables: &'a Tables,
    estimator: Estimator,
    askers: Askers,
    /// Rules by what they look for, in the order of their numbers.
    by_fragment: BTreeMap<Fragment, Vec<usize>>,
    by_guard: BTreeMap<u8, usize>,
    proofs: bool,
}

impl<'a> Explainer<'a> {
    fn new(loaded: &'a Loaded, tables: &'a Tables, arguments: &ExplainArguments) -> Self {
        let mut by_fragment: BTreeMap<Fragment, Vec<usize>> = BTreeMap::new();
        let mut by_guard: BTreeMap<u8, usize> = BTreeMap::new();
        for planned in &tables.plan.rules {
            let mut guards = 0u64;
            for condition in &planned.conditions {
                match condition.trigger {
                    Trigger::Fragment(fragment) => {
                        let rules = by_fragment.entry(fragment).or_default();
                        if rules.last() != Some(&planned.rule) {
                            rules.push(planned.rule);
                        }
                    }
                    Trigger::Guard(n) => guards |= 1 << (n & 63),
                    Trigger::Frame => {}
                }
            }
            for n in (0..64u8).filter(|n| guards >> n & 1 != 0) {
                *by_guard.entry(n).or_default() += 1;
            }
        }
        let (estimator, askers) = (loaded.planning.estimator_of(tables), Askers::new(tables));
        Explainer { loaded, tables, estimator, askers, by_fragment, by_guard, proofs: !arguments.no_proof }
    }

    fn sources(&self) -> &[Rule] {
        self.loaded.program.sources()
    }

    fn explain(&self, index: usize) -> Result<Option<Explained>, Failure> {
        let (Some(rule), Some(planned)) = (self.sources().get(index), self.tables.plan.rules.get(index)) else {
            return Ok(None);
        };
        let (own, alone) = cost::of_rule(&planned.conditions, &self.askers, &self.estimator, self.tables);
        let proof = if self.proofs { Some(self.proof(index)?) } else { None };
        Ok(Some(Explained {
            gid: rule.identity.gid,
            sid: rule.identity.sid,
            rev: rule.identity.rev,
            msg: rule.meta.message.to_string(),
            file: rule.source.file.to_string(),
            line: rule.source.line,
            classtype: rule.meta.class_description.as_deref().map(str::to_owned),
            priority: rule.meta.priority,
            rule: ShownRule::new(rule),
            class: planned.class,
            meaning: planned.class.meaning(),
            reason: planned.reason.clone(),
            conditions: self.groups(index, planned),
            gates: self.gates(rule, planned),
            expected: Share { own, alone },
            planned_by: self.loaded.planning.describe(),
            proof,
        }))
    }

    /// Conditions by record, in the order of the plan.
    fn groups(&self, index: usize, planned: &RulePlan) -> Vec<Group> {
        let mut order: Vec<(Record, Vec<Trigger>)> = Vec::new();
        for condition in &planned.conditions {
            match order.iter_mut().find(|(record, _)| *record == condition.record) {
                Some((_, triggers)) => triggers.push(condition.trigger),
                None => order.push((condition.record, vec![condition.trigger])),
            }
        }
        order.iter().map(|(record, triggers)| self.group(index, record, triggers)).collect()
    }

    fn group(&self, index: usize, record: &Record, triggers: &[Trigger]) -> Group {
        let sets = &self.tables.plan.sets;
        let expected = |trigger: Trigger| self.estimator.condition(&Condition { trigger, record: *record }, sets);
        let mut group = Group {
            when: record_words(record, sets),
            scopes: scope_words(record.scopes),
            fragments: Vec::new(),
            guards: Vec::new(),
            every_frame: None,
        };
        for &trigger in triggers {
            match trigger {
                Trigger::Fragment(fragment) => {
                    let rules = self.by_fragment.get(&fragment).map_or(&[][..], Vec::as_slice);
                    let others = rules.iter().filter(|n| **n != index).filter_map(|n| self.sources().get(*n));
                    group.fragments.push(ShownFragment {
                        text: fragment.display(),
                        hex: hex(fragment.bytes()),
                        bytes: fragment.length(),
                        case: case(&fragment),
                        expected: expected(trigger),
                        rules: rules.len(),
                        with: others.take(NAMED).map(|rule| rule.identity.sid).collect(),
                    });
                }
                Trigger::Guard(n) => {
                    let guard = Guard::from_raw(n);
                    group.guards.push(ShownGuard {
                        name: guard.map_or("unknown", Guard::name),
                        meaning: guard.map_or("", Guard::meaning),
                        expected: expected(trigger),
                        rules: self.by_guard.get(&n).copied().unwrap_or(0),
                    });
                }
                Trigger::Frame => {
                    let condition = Condition { trigger, record: *record };
                    group.every_frame = Some(ShownFrame { expected: expected(trigger), rules: self.askers.of(&condition) });
                }
            }
        }
        group
    }

    fn gates(&self, rule: &Rule, planned: &RulePlan) -> Vec<Gate> {
        if planned.class != Class::Deferred {
            return Vec::new();
        }
        let asked = rule.flowbits.iter().filter(|op| op.operation == BitOperation::IsSet).flat_map(|op| &op.names);
        let sets = |rule: &Rule, name: &str| {
            let mut set = rule.flowbits.iter().filter(|op| matches!(op.operation, BitOperation::Set | BitOperation::Toggle));
            set.any(|op| op.names.iter().any(|n| &**n == name))
        };
        asked
            .filter(|name| self.tables.plan.gates.contains(*name))
            .map(|name| Gate {
                flowbit: name.to_string(),
                set_by: self.sources().iter().filter(|r| sets(r, name)).map(|r| r.identity.sid).take(NAMED).collect(),
            })
            .collect()
    }

    fn proof(&self, index: usize) -> Result<Proven, Failure> {
        let program = &self.loaded.program;
        let gates = self.tables.plan.gates.iter().map(|g| g.to_string()).collect();
        let host = Host { patterns: program.stream_patterns().collect(), gates: Some(gates) };
        let proof = weir_verify::verify_one(program.sources(), &host, &self.tables.image.bytes, index);
        let proof = proof.map_err(|error| Failure { code: crate::exit::INTERNAL, error: error.into(), remedy: None })?;
        Ok(match proof {
            Ok(proof) => Proven { proven: true, by: sentence(proof).to_owned() },
            Err(cause) => Proven { proven: false, by: cause },
        })
    }
}

fn sentence(proof: Proof) -> &'static str {
    match proof {
        Proof::Frames => "every frame that it could match in is led to a record that holds",
        Proof::Fragments => {
            "each of its matches holds a fragment, and where something could hide that, a guard fires; both lead to records that hold"
        }
        Proof::Deferred => "it tells nobody and touches nothing but its flow, which the host reads again whenever another rule needs it",
        Proof::Gated => "it waits for a flowbit whose setters are all proven, and the host keeps flows with that bit",
        Proof::Never => "no frame can match it",
    }
}

/// Which letters of a fragment count as written.
fn case(fragment: &Fragment) -> String {
    let letters: Vec<usize> =
        fragment.bytes().iter().enumerate().filter(|(_, b)| b.is_ascii_alphabetic()).map(|(n, _)| n).collect();
    let exact = letters.iter().filter(|n| fragment.case_mask >> **n & 1 != 0).count();
    match (letters.len(), exact) {
        (0, _) => "no letters".to_owned(),
        (_, 0) => "any case".to_owned(),
        (all, exact) if all == exact => "case as written".to_owned(),
        _ => {
            let marks = (0..fragment.length()).map(|n| if fragment.case_mask >> n & 1 != 0 { 'c' } else { '-' });
            format!("case of {}", marks.collect::<String>())
        }
    }
}
