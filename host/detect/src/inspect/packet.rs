//! Inspection of one packet.

use super::conditions::Unit;
use super::{Inspector, Payload, Scratch, Work};
use crate::context::{Context, Scope};
use crate::flow::FlowDetect;
use crate::program::groups::Behind;
use crate::program::header::{Class, Tuple};
use crate::program::{Program, RuleIndex};
use crate::shared::SharedState;
use weir_app_layer::Direction;
use weir_contract::protocol::Detection;

impl Inspector {
    /// Inspect a packet: rules on headers and sizes, events, and the packet's own payload.
    pub fn packet(&mut self, context: &Context<'_>, mut flow: Option<&mut FlowDetect>, shared: &mut SharedState) {
        let Inspector { program, evaluator, scratch, raw, told, .. } = self;
        let program: &Program = program;
        shared.prepare(program);
        if let Some(flow) = flow.as_deref_mut() {
            flow.attach(program);
            if flow.is_closed() {
                return;
            }
        }
        let direction = context.flow.map(|f| f.direction);
        let tuple = Tuple::of(context.packet);
        let side = direction.map_or(0, |d| d as usize);
        let direction_bit = match direction {
            Some(Direction::ToServer) => 1u8,
            Some(Direction::ToClient) => 2,
            None => 3,
        };
        scratch.candidates.clear();
        scratch.begin_scan(program.len());
        let decided = context.flow.is_some_and(|f| f.own_protocol() != Detection::Unknown);
        match flow.as_deref_mut().and_then(|f| f.sides.get_mut(side)) {
            Some(side) => {
                if side.packet.is_none() {
                    let mut list = vec![];
                    program.unfiltered().packet.collect(program.headers(), &mut side.headers, &tuple, &mut list);
                    list.retain(|&r| program.head(r).is_some_and(|h| h.directions & direction_bit != 0));
                    // What happened once has left the list (see below), also if the list is made again.
                    list.retain(|&r| {
                        program.rule(r).is_some_and(|rule| {
                            !(rule.once && side.addresses_done || rule.at_detection && side.detection_done)
                        })
                    });
                    list.sort_unstable();
                    side.packet = Some(list.into());
                }
                let list = side.packet.as_deref().unwrap_or(&[]);
                scratch.candidates.extend(list.iter().copied().filter(|&r| {
                    program.rule(r).is_some_and(|rule| !rule.at_detection || (decided && !side.detection_done))
                }));
                // What happens once for a flow and direction leaves the list.
                let leaves = |r: &RuleIndex, detection: bool| {
                    program.rule(*r).is_some_and(|rule| rule.once || (detection && rule.at_detection))
                };
                let first = !std::mem::replace(&mut side.addresses_done, true);
                let detected = decided && !std::mem::replace(&mut side.detection_done, decided);
                if (first || detected) && list.iter().any(|r| leaves(r, detected)) {
                    side.packet = Some(list.iter().copied().filter(|r| !leaves(r, detected)).collect());
                }
            }
            None => {
                scratch.headers.clear();
                let list = &mut scratch.candidates;
                program.unfiltered().packet.collect(program.headers(), &mut scratch.headers, &tuple, list);
                list.retain(|&r| program.head(r).is_some_and(|h| h.directions == 3));
            }
        }
        let Scratch { stamps, stamp, candidates, shared_scan, headers, transformed, spare, .. } = scratch;
        let headers = match flow.as_deref_mut().and_then(|f| f.sides.get_mut(side)) {
            Some(side) => &mut side.headers,
            None => headers,
        };
        add_event_rules(program, context, candidates);
        if !context.packet.events.is_empty() || !context.stream_events.is_empty() || !context.packet_events.is_empty()
        {
            // Event rules were not chosen by header.
            candidates.retain(|&r| {
                program.head(r).is_some_and(|h| {
                    (h.directions & direction_bit != 0) && headers.holds(program.headers(), h.header, &tuple)
                })
            });
        }
        let payload = payload_of(context);
        if let Some(bytes) = payload {
            if let Some(group) = program.payload_group(tuple.class, side).filter(|g| !g.is_empty()) {
                let mut named = 0;
                let mut name = |behind: &[Behind], end: usize| {
                    for b in behind {
                        if end > b.latest as usize {
                            continue;
                        }
                        let Some(seen) = stamps.get_mut(b.rule as usize) else { continue };
                        if std::mem::replace(seen, *stamp) == *stamp {
                            continue;
                        }
                        named += 1;
                        let Some(head) = program.head(b.rule) else { continue };
                        if head.units.on_packet(context.in_stream)
                            && (direction.is_some() || head.directions == 3)
                            && headers.holds(program.headers(), head.header, &tuple)
                        {
                            candidates.push(b.rule);
                        }
                    }
                };
                let at = (context.packet.number, context.packet.tunnel_depth, side);
                if tuple.class == Class::Tcp && shared_scan.covers(at, bytes) {
                    // The delivery of the same bytes was searched already.
                    for &(rule, latest, end) in &shared_scan.hits {
                        name(&[Behind { rule, latest }], end as usize);
                    }
                } else {
                    evaluator.counters.scanned_bytes += bytes.len() as u64;
                    group.scan_body(bytes, 0, &mut |behind, _, end| name(behind, end));
                }
                group.scan_head(bytes, 0, &mut |behind, _, end| name(behind, end));
                evaluator.counters.candidates += named;
            }
        }
        if context.in_stream {
            candidates.retain(|&r| program.head(r).is_some_and(|h| h.units.on_packet(true)));
        }
        if candidates.is_empty() {
            return;
        }
        candidates.sort_unstable();
        candidates.dedup();
        let mut work = Work { program, evaluator, shared, context, direction, raw, transaction: None, told };
        let payload = payload.map(|bytes| Payload { bytes, stream: None });
        for &rule in candidates.iter() {
            let buffers = (&mut *transformed, &mut *spare);
            if work.raw_rule_holds(rule, Unit::Packet, payload, flow.as_deref(), buffers) {
                work.matched(rule, Scope::Packet, flow.as_deref_mut());
            }
        }
    }
}

fn add_event_rules(program: &Program, context: &Context<'_>, out: &mut Vec<RuleIndex>) {
    let rules = program.events();
    if !context.packet.events.is_empty() && !rules.decoder.is_empty() {
        for event in context.packet.events.iter() {
            out.extend(rules.decoder.get(event.0 as usize).into_iter().flatten());
        }
    }
    if !context.stream_events.is_empty() && !rules.stream.is_empty() {
        for event in context.stream_events.iter() {
            out.extend(rules.stream.get(event as usize).into_iter().flatten());
        }
    }
    for name in context.packet_events {
        out.extend(rules.packet.get(*name).into_iter().flatten());
    }
}

/// Payload that rules may see.
pub(super) fn payload_of<'a>(context: &Context<'a>) -> Option<&'a [u8]> {
    let packet = context.packet;
    let allowed = match context.flow {
        Some(flow) => flow.inspect_payload,
        None => !packet.checksum_bad,
    };
    let fragment = packet.ip.as_ref().is_some_and(|ip| ip.is_fragment);
    // As in Suricata, a rule on the payload needs one, even if it only asks for absence.
    (allowed && !fragment && !packet.carries_packet && !packet.payload.is_empty()).then_some(packet.payload)
}
