//! What a plan's tables look for, in the form in which the engine looks for it itself before it gives a flow back.
//!
//! Place: between the planner, whose conditions these are, and [`weir_engine`]; decisions 0014 and 0020.

use crate::device::Tables;
use crate::pipeline::Loaded;
use std::collections::{BTreeMap, BTreeSet};
use weir_contract::enums::{DirectionMask, Scopes};
use weir_contract::facts;
use weir_contract::layouts::{GuardParameters, Record};
use weir_contract::protocol::AppProtocol;
use weir_engine::{BodyEvidence, Fragment, Lead, MessageEvidence, Pattern, StreamEvidence, Streams, Wait};
use weir_ir::{AppLayerCondition, Buffer, Event, Match, PortSet, Rule};
use weir_rules::plan::{self, Class, Condition, Fragment as Window, RulePlan, Trigger};

/// Streams in which a record can hold.
fn streams_of(tables: &Tables, record: &Record) -> Streams {
    let ports = |set: u16| tables.plan.sets.ports().get(usize::from(set)).cloned().unwrap_or_else(PortSet::any);
    Streams {
        classes: record.class_mask,
        source: ports(record.source_ports),
        destination: ports(record.destination_ports),
    }
}

/// What the tables look for in streams, for the host's own look before it gives a flow back.
pub fn stream_evidence(loaded: &Loaded, tables: &Tables) -> StreamEvidence {
    let (mut fragments, mut guards, mut patterns) = (Vec::new(), Vec::new(), Vec::new());
    let common = tables.plan.common.iter().map(|condition| (None, condition));
    let own = tables.plan.rules.iter().flat_map(|planned| planned.conditions.iter().map(|c| (Some(planned.rule), c)));
    for (rule, Condition { trigger, record }) in common.chain(own) {
        let lead = || Lead { rule: rule.map(|rule| rule as u32), streams: streams_of(tables, record) };
        let (stream, known) = (record.scopes & Scopes::STREAM.0 != 0, record.scopes & Scopes::STREAM_PATTERN.0 != 0);
        match trigger {
            Trigger::Fragment(fragment) if stream => {
                fragments.push(Fragment { bytes: folded(fragment.bytes()), lead: lead() });
            }
            Trigger::Fragment(fragment) if known => {
                let Some(pattern) = rule.and_then(|rule| loaded.program.stream_pattern(rule)) else { continue };
                let (bytes, part) = (folded(pattern), folded(fragment.bytes()));
                let at = bytes.windows(part.len()).position(|window| window == &*part);
                // The planner says so only where the pattern holds the fragment.
                let least = at.map_or(0, |at| at + part.len());
                patterns.push(Pattern { bytes, least });
            }
            Trigger::Guard(guard) if stream => {
                match rule.and_then(|rule| word_of(loaded.program.source(rule as u32)?, *guard, &tables.image.parameters)) {
                    Some(bytes) => fragments.push(Fragment { bytes, lead: lead() }),
                    None => guards.push((1 << guard, lead())),
                }
            }
            Trigger::Frame if stream => guards.push((0, lead())),
            _ => {}
        }
    }
    StreamEvidence::new(fragments, guards, tables.image.parameters, patterns)
}

/// The guard is that of loaded words, and one of them, folded, is part of what the rule looks for in streams: by it alone, of
/// all words, does the guard lead to the rule (decision 0030).
fn word_of(rule: &Rule, guard: u8, parameters: &GuardParameters) -> Option<Box<[u8]>> {
    if 1u64 << guard != facts::WORDS {
        return None;
    }
    let runs = rule.buffers.iter().filter(|run| run.buffer == Buffer::Payload && run.transforms.is_empty());
    let contents: Vec<_> = runs
        .flat_map(|run| &run.matches)
        .filter_map(|m| if let Match::Content(content) = m { Some(content) } else { None })
        .filter(|content| !content.negated)
        .map(|content| folded(&content.bytes))
        .collect();
    let mut words = facts::words(parameters).filter_map(|(value, mask)| {
        let length = (mask.count_ones() / 8) as usize;
        // The last of the four bytes comes last.
        let whole = mask == u32::MAX.checked_shl(32 - 8 * length as u32).unwrap_or(0);
        whole.then(|| value.to_le_bytes().get(4 - length..).map(folded)).flatten()
    });
    words.find(|word| contents.iter().any(|content| content.windows(word.len().max(1)).any(|window| window == &**word)))
}

/// What the tables look for in the responses of HTTP where the host's own search could miss that it has been seen: for
/// rules whose fast pattern is looked for in the body, and for rules that wait. Unknown where a rule asks for something that
/// is only there with the last byte, or that no record tells of.
///
/// Of data connections of FTP the same: their one message is a body.
pub fn message_evidence(loaded: &Loaded, tables: &Tables) -> MessageEvidence {
    let [http, data] = [AppProtocol::Http1, AppProtocol::FtpData].map(|protocol| evidence_of(loaded, tables, protocol));
    http.with_data_connections(data)
}

fn evidence_of(loaded: &Loaded, tables: &Tables, protocol: AppProtocol) -> MessageEvidence {
    let words = announcing();
    let Some(bodies) = body_evidence(loaded, tables, protocol, &words) else { return MessageEvidence::unknown() };
    let mut waits = vec![Wait::Holds; loaded.program.sources().len()];
    let mut needs = Needs::default();
    for planned in &tables.plan.rules {
        let Some(rule) = loaded.program.source(planned.rule as u32) else { continue };
        if let Some(wait) = waits.get_mut(planned.rule) {
            let payload = loaded.program.payload_parts(planned.rule);
            *wait = wait_of(rule, planned, (protocol, payload), &words, &mut needs);
        }
    }
    let guards = needs.guards.into_iter().map(|guard| (guard, Lead { rule: None, streams: Streams::all() }));
    let heads = StreamEvidence::new([], guards, tables.image.parameters, []);
    MessageEvidence::new(bodies, waits, needs.fragments, heads)
}

/// The rule asks for something that is there with a message's last byte, or that no record tells of.
fn asks_for_whole(rule: &Rule) -> bool {
    rule.app_layer.contains(&AppLayerCondition::FileStore)
        || rule.events.iter().any(|event| matches!(event, Event::AppLayer(Some(_), _)))
        || rule.transactional
        || rule.hook.is_some()
}

/// Conditions that can hold in flows of the protocol.
fn of_protocol(planned: &RulePlan, protocol: AppProtocol) -> Vec<&Condition> {
    let class = 1u64 << protocol as u8;
    planned.conditions.iter().filter(|c| c.record.class_mask & class != 0).collect()
}

/// Sides that bodies under way may come from.
fn sides(protocol: AppProtocol) -> u8 {
    if protocol == AppProtocol::FtpData { DirectionMask::ALL.0 } else { DirectionMask::TO_CLIENT.0 }
}

/// Words that announce a coding: they matter for bodies that have one.
fn announcing() -> Vec<Window> {
    plan::http::CODINGS.into_iter().chain(plan::http::BROKEN_CODINGS).filter_map(|word| Window::new(word, false)).collect()
}

/// What rules that wait are looked for by in responses.
#[derive(Default)]
struct Needs {
    /// Folded bytes, and the rules.
    fragments: BTreeMap<Box<[u8]>, Vec<u32>>,
    /// Facts of heads, by bit.
    guards: BTreeSet<u64>,
}

/// What the rule needs when it waits in a transaction of the protocol: its conditions, seen from the host. `payload`: its
/// parts that look at raw payload; `announcing`: fragments of no matter. Adds what stands in bodies to `needs`.
fn wait_of(
    rule: &Rule,
    planned: &RulePlan,
    (protocol, payload): (AppProtocol, u64),
    announcing: &[Window],
    needs: &mut Needs,
) -> Wait {
    if asks_for_whole(rule) {
        return Wait::Holds;
    }
    if planned.class == Class::Deferred {
        return Wait::Never;
    }
    let own = of_protocol(planned, protocol);
    let of_body = |c: &Condition| c.record.directions & DirectionMask::ALL.0 & !sides(protocol) == 0;
    let of_stream = |c: &Condition| c.record.scopes & Scopes::STREAM.0 != 0;
    let known = own.iter().all(|c| match c.trigger {
        // Every frame with payload: one without may complete the rule.
        Trigger::Frame => false,
        _ if of_stream(c) => payload != 0,
        Trigger::Fragment(_) => of_body(c),
        // What hides a request's text has hidden it. Codings and the like hide none of a plain body.
        Trigger::Guard(guard) => of_body(c) && (1u64 << guard) & !facts::ALL == 0,
    });
    if own.is_empty() || !known {
        return Wait::Holds;
    }
    let mut response = false;
    for c in own.into_iter().filter(|c| !of_stream(c)) {
        match c.trigger {
            Trigger::Fragment(fragment) if !announcing.contains(&fragment) => {
                response = true;
                let rules = needs.fragments.entry(folded(fragment.bytes())).or_default();
                if rules.last() != Some(&(planned.rule as u32)) {
                    rules.push(planned.rule as u32);
                }
            }
            Trigger::Guard(guard) => _ = needs.guards.insert(1 << guard),
            _ => {}
        }
    }
    Wait::Until { payload, response }
}

/// Of rules whose fast pattern is looked for in bodies. `announcing`: fragments of no matter.
fn body_evidence(
    loaded: &Loaded,
    tables: &Tables,
    protocol: AppProtocol,
    announcing: &[Window],
) -> Option<BodyEvidence> {
    let (mut fragments, mut guards, mut patterns) = (BTreeMap::<_, Vec<_>>::new(), Vec::new(), Vec::new());
    for planned in &tables.plan.rules {
        let Some(rule) = loaded.program.source(planned.rule as u32) else { continue };
        let own = of_protocol(planned, protocol);
        // What a request can bring has been judged with the request.
        if own.iter().all(|c| c.record.directions & sides(protocol) == 0) {
            continue;
        }
        if asks_for_whole(rule) {
            return None;
        }
        let Some(pattern) = loaded.program.message_pattern(planned.rule) else { continue };
        if !pattern.grows {
            return None;
        }
        let mut own_fragments = own.iter().filter_map(|c| match c.trigger {
            Trigger::Fragment(fragment) if !announcing.contains(&fragment) => Some(fragment),
            _ => None,
        });
        if own_fragments.all(|fragment| plan::payload::is_of(rule, &fragment, &pattern.bytes)) {
            for fragment in own.iter().filter_map(|c| if let Trigger::Fragment(f) = c.trigger { Some(f) } else { None }) {
                let part = folded(fragment.bytes());
                if let Some(at) = pattern.bytes.windows(part.len()).position(|window| window == &*part) {
                    patterns.push(Pattern { bytes: pattern.bytes.clone(), least: at + part.len() });
                }
            }
            continue;
        }
        for Condition { trigger, record } in own {
            let lead = Lead { rule: Some(planned.rule as u32), streams: streams_of(tables, record) };
            match trigger {
                Trigger::Fragment(fragment) if !announcing.contains(fragment) => {
                    fragments.entry(folded(fragment.bytes())).or_default().push(lead);
                }
                // Of the head; of a body's bytes no guard tells.
                Trigger::Guard(guard) => guards.push((1 << guard, lead)),
                _ => {}
            }
        }
    }
    Some(BodyEvidence::new(fragments, guards, tables.image.parameters, patterns))
}

fn folded(bytes: &[u8]) -> Box<[u8]> {
    bytes.to_ascii_lowercase().into()
}

