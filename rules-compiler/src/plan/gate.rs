//! Gated rules: those that wait for a flowbit need no condition of their own where every rule that sets the bit has one.
//!
//! Argument, by induction over the frames of a flow. Let rule R ask for `isset,X`. If R matches at frame *k* in the full
//! engine, some rule S set X at a frame *j* ≤ *k*, and no frame between cleared it. S has conditions (none of the
//! setters is deferred or gated itself), so by the promise of [`super`] the flow is with the host at *j*, and the host,
//! which has evaluated all frames of the flow in order, sets X as the full engine does. From then on the host does not
//! give the flow back while X is set ([`super::Plan::gates`]), so the flow is with the host at *k*. Alternatives
//! (`isset,X|Y`) are gates together; a rule that sets its own gate cannot be the first to set it.
//!
//! What the gate costs is what its setters cost beyond what the plan has anyway, and the flows that stay with the host while
//! the bit is set; so only rules that cost much more than all setters are gated. A setter that has conditions of its own
//! costs nothing more; how often it matches, and holds a flow by it, is taken as a hundredth of how often it is looked at.

use super::{Builder, Choice, Class, Trigger, direct};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use weir_contract::layouts::Record;
use weir_ir::{BitOperation, Rule};

/// Rules that are expected to cost less than this share of frames are left as they are.
const WORTH: f64 = 1e-4;
/// A gate's setters cost at most this part of the rule. A flow that one of them has flagged stays for many frames.
const PART: f64 = 1.0 / 16.0;

/// How often a rule matches where its flow is flagged, so many times less.
const MATCHES: f64 = 1e-2;

/// Rules by the flowbit that they set.
fn setters(rules: &[Rule]) -> BTreeMap<Arc<str>, Vec<usize>> {
    let mut setters: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
    for (index, rule) in rules.iter().enumerate() {
        for change in &rule.flowbits {
            if matches!(change.operation, BitOperation::Set | BitOperation::Toggle) {
                for name in &change.names {
                    setters.entry(name.clone()).or_default().push(index);
                }
            }
        }
    }
    setters
}

/// Takes the conditions of rules that a gate makes needless, gives those of its setters that were deferred, and returns
/// the flowbits that keep a flow with the host.
pub(super) fn apply(rules: &[Rule], choices: &mut [Choice], builder: &mut Builder<'_>) -> BTreeSet<Arc<str>> {
    let setters = setters(rules);
    let mut order: Vec<usize> = (0..rules.len().min(choices.len()))
        .filter(|&n| choices[n].class != Class::Deferred && choices[n].cost >= WORTH)
        .filter(|&n| rules[n].flowbits.iter().any(|op| op.operation == BitOperation::IsSet))
        .collect();
    order.sort_by(|&a, &b| choices[b].cost.total_cmp(&choices[a].cost).then(a.cmp(&b)));
    // What every frame is judged by already.
    let mut frames: HashSet<Record> = HashSet::new();
    let of_frames = |choice: &Choice| -> Vec<Record> {
        choice.conditions.iter().filter(|c| c.trigger == Trigger::Frame).map(|c| c.record).collect()
    };
    for choice in choices.iter() {
        frames.extend(of_frames(choice));
    }
    let mut gates = BTreeSet::new();
    // Setters of a gate keep their conditions.
    let mut pinned: BTreeSet<usize> = BTreeSet::new();
    let mut gated: BTreeSet<usize> = BTreeSet::new();
    for n in order {
        if pinned.contains(&n) {
            continue;
        }
        let most = choices[n].cost * PART;
        let mut best: Option<(f64, &[Arc<str>], BTreeMap<usize, Option<Choice>>)> = None;
        for op in rules[n].flowbits.iter().filter(|op| op.operation == BitOperation::IsSet) {
            let all: BTreeSet<usize> =
                op.names.iter().filter_map(|name| setters.get(name)).flatten().copied().filter(|s| *s != n).collect();
            if all.iter().any(|s| gated.contains(s)) {
                continue;
            }
            let mut price = 0.0;
            let mut fresh = BTreeMap::new();
            for s in all {
                let choice = (choices[s].class == Class::Deferred).then(|| direct(&rules[s], builder));
                price += match &choice {
                    None => choices[s].cost * MATCHES,
                    Some(new)
                        if !new.conditions.is_empty()
                            && new
                                .conditions
                                .iter()
                                .all(|c| c.trigger == Trigger::Frame && frames.contains(&c.record)) =>
                    {
                        new.cost * MATCHES
                    }
                    Some(new) => new.cost,
                };
                fresh.insert(s, choice);
                if price > most {
                    break;
                }
            }
            if price <= most && best.as_ref().is_none_or(|best| price < best.0) {
                best = Some((price, &op.names, fresh));
            }
        }
        let Some((_, names, fresh)) = best else { continue };
        gated.insert(n);
        // (Records of `choices[n]` stay among `frames`: that only makes a price too low.)
        choices[n] = Choice {
            class: Class::Deferred,
            reason: format!("waits for flowbit {}, whose setters divert", names.join(" or ")),
            conditions: Vec::new(),
            percent: Vec::new(),
            equals: Vec::new(),
            cost: 0.0,
        };
        gates.extend(names.iter().cloned());
        for (s, choice) in fresh {
            pinned.insert(s);
            if let Some(choice) = choice {
                frames.extend(of_frames(&choice));
                choices[s] = choice;
            }
        }
    }
    gates
}
