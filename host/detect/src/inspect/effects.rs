//! What a match does: state of flow and hosts at once; alerts and actions at the end of the packet.

use super::Raw;
use crate::context::{Context, Effect, Match, Scope};
use crate::flow::FlowDetect;
use crate::program::Program;
use crate::program::rule::{CompiledRule, IntOp};
use crate::shared::threshold::{ConfigEntry, Decision, Subject};
use crate::shared::{HostBits, SharedState};
use crate::stats::Counters;
use std::net::{IpAddr, Ipv4Addr};
use weir_app_layer::Direction;
use weir_ir::state::{FlowintOperation, FlowintValue};
use weir_ir::{BitOperation, Track};

/// flowbits, flowints, xbits.
pub(super) fn change_state(
    rule: &CompiledRule,
    context: &Context<'_>,
    (direction, transaction): (Option<Direction>, Option<u64>),
    flow: Option<&mut FlowDetect>,
    bits: &mut HostBits,
) {
    if let Some(flow) = flow {
        if let Some(id) = transaction {
            for change in rule.host_changes.iter().filter(|change| change.track == Track::Transaction) {
                let bit = (id, change.name);
                match (flow.transaction_bits.binary_search(&bit), change.operation) {
                    (Err(at), BitOperation::Set | BitOperation::Toggle) => flow.transaction_bits.insert(at, bit),
                    (Ok(at), BitOperation::Unset | BitOperation::Toggle) => {
                        flow.transaction_bits.remove(at);
                    }
                    _ => {}
                }
            }
        }
        for change in &rule.bit_changes {
            for &bit in &change.bits {
                match (flow.bits.binary_search(&bit), change.operation) {
                    (Err(at), BitOperation::Set | BitOperation::Toggle) => flow.bits.insert(at, bit),
                    (Ok(at), BitOperation::Unset | BitOperation::Toggle) => {
                        flow.bits.remove(at);
                    }
                    _ => {}
                }
            }
        }
        for change in &rule.int_changes {
            change_int(change, flow);
        }
    }
    if let Some((source, destination)) = context.addresses(direction) {
        for change in rule.host_changes.iter().filter(|change| change.track != Track::Transaction) {
            let now = context.packet.time;
            bits.apply(change.operation, change.name, change.track, source, destination, change.expire, now);
        }
    }
}

fn change_int(change: &IntOp, flow: &mut FlowDetect) {
    let value = |flow: &FlowDetect, variable: u32| {
        flow.ints.binary_search_by_key(&variable, |e| e.0).ok().and_then(|i| flow.ints.get(i)).map(|e| e.1)
    };
    let right = |operand: &FlowintValue, flow: &FlowDetect| match operand {
        FlowintValue::Constant(n) => Some(*n),
        FlowintValue::Variable(_) => change.other.and_then(|other| value(flow, other)),
    };
    let old = value(flow, change.variable);
    let new = match &change.operation {
        FlowintOperation::Set(operand) => right(operand, flow),
        FlowintOperation::Add(operand) => right(operand, flow).map(|n| old.unwrap_or(0).wrapping_add(n)),
        FlowintOperation::Subtract(operand) => right(operand, flow).map(|n| old.unwrap_or(0).wrapping_sub(n)),
        _ => None,
    };
    let Some(new) = new else { return };
    match flow.ints.binary_search_by_key(&change.variable, |e| e.0) {
        Ok(at) => {
            if let Some(entry) = flow.ints.get_mut(at) {
                entry.1 = new;
            }
        }
        Err(at) => flow.ints.insert(at, (change.variable, new)),
    }
}

/// Order, pass, suppress, count, report.
pub(super) fn finish(
    program: &Program,
    raw: &mut [Raw],
    counters: &mut Counters,
    context: &Context<'_>,
    mut flow: Option<&mut FlowDetect>,
    shared: &mut SharedState,
    out: &mut Vec<Match>,
) {
    // The queue has the matches in the order in which they were found; what does not fit still acts.
    let most = match program.limits().matches {
        0 => raw.len(),
        most => most,
    };
    let overflow: Vec<Raw> = raw.get(most..).unwrap_or(&[]).to_vec();
    counters.overflowed += overflow.len() as u64;
    raw.sort_by_key(|r| {
        let transaction = match r.scope {
            Scope::Packet | Scope::Stream => 0,
            Scope::Transaction(id) | Scope::Frame(id) => id.saturating_add(1),
        };
        (r.rule, transaction, r.scope == Scope::Packet, r.direction)
    });
    for r in raw.iter() {
        let Some(rule) = program.rule(r.rule) else { continue };
        // A packet and the stream it completes are one match of the rule, but both count for its threshold.
        let reported = r.scope == Scope::Packet
            && out.iter().rev().take_while(|m| m.frame == context.packet.number).any(|m| {
                m.rule == r.rule && m.scope == Scope::Stream && m.tunnel_depth == context.packet.tunnel_depth
            });
        if reported && rule.threshold.is_none() && rule.rate.is_none() {
            continue;
        }
        let tag = program.source(r.rule).and_then(|s| s.tag);
        let whole_flow = context.flow.is_some()
            && match rule.scope {
                weir_ir::ActionScope::Packet => false,
                weir_ir::ActionScope::Flow => true,
                _ => !matches!(r.scope, Scope::Packet) || rule.at_detection || rule.of_flow,
            };
        let mut found = Match {
            rule: r.rule,
            frame: context.packet.number,
            time: context.packet.time,
            tunnel_depth: context.packet.tunnel_depth,
            direction: r.direction,
            scope: r.scope,
            alert: !rule.noalert && (overflow.is_empty() || !overflow.contains(r)),
            rated: false,
            effect: Effect::of(rule.action),
            whole_flow,
            tag,
            unlogged: program.source(r.rule).and_then(|s| s.unlogged),
            bypass: program.source(r.rule).is_some_and(|s| s.bypass) && context.flow.is_some(),
            firewall: false,
            notes: r.notes,
        };
        if found.effect == Effect::Pass {
            out.push(found);
            if whole_flow {
                if let Some(flow) = flow.as_deref_mut() {
                    flow.passed = true;
                }
            }
            // Everything behind a pass rule is let go.
            return;
        }
        let subject = subject(context, r.direction);
        if !count(program, rule, &subject, context, shared, &mut found) {
            counters.suppressed += 1;
            continue;
        }
        if !found.alert && !rule.noalert && !overflow.contains(r) {
            counters.suppressed += 1;
        }
        if (found.alert || found.effect != Effect::None || found.bypass || found.unlogged.is_some()) && !reported {
            out.push(found);
        }
    }
}

fn subject(context: &Context<'_>, direction: Option<Direction>) -> Subject {
    let none = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let (source, destination) = context.addresses(direction).unwrap_or((none, none));
    Subject { source, destination, flow: context.flow.map_or(0, |f| f.id) }
}

/// Thresholds and suppressions; false when the match has no consequence at all.
fn count(
    program: &Program,
    rule: &CompiledRule,
    subject: &Subject,
    context: &Context<'_>,
    shared: &mut SharedState,
    found: &mut Match,
) -> bool {
    let now = context.packet.time;
    if let Some(filter) = &rule.rate {
        if let Some(action) = shared.thresholds.rate(rule.identity, filter, subject, now) {
            found.effect = Effect::of(action);
            found.rated = true;
            found.alert &= found.effect != Effect::Pass;
        }
    }
    if let Some(threshold) = &rule.threshold {
        match shared.thresholds.decide(rule.identity, threshold, subject, now) {
            Decision::Alert => {}
            Decision::Silent => found.alert = false,
            Decision::Nothing => return false,
        }
    }
    let suppressed = rule.suppressions.iter().any(|&i| match program.thresholds().get(i as usize) {
        Some(ConfigEntry::Suppress { addresses: None, .. }) => true,
        Some(ConfigEntry::Suppress { addresses: Some((track, set)), .. }) => match track {
            Track::Source => set.contains(subject.source),
            Track::Destination => set.contains(subject.destination),
            _ => set.contains(subject.source) || set.contains(subject.destination),
        },
        _ => false,
    });
    if suppressed {
        found.alert = false;
    }
    true
}
