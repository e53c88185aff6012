//! Inspection of one delivery of a stream.

use super::conditions::Unit;
use super::{Inspector, Payload, Scratch, Work};
use crate::chain::{Evaluator, StreamView};
use crate::context::{Context, Scope};
use crate::flow::{FlowDetect, MAX_PENDING, Pending};
use crate::program::{Program, RuleIndex};
use crate::program::groups::Behind;
use crate::program::header::Class;
use crate::program::rule::{Absence, Source};
use crate::shared::SharedState;
use weir_app_layer::Direction;

/// New bytes of a direction, preceded by the retained ones.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'d> {
    /// Direction of the bytes.
    pub direction: Direction,
    /// At most the configured window of old bytes, then the new ones.
    pub window: &'d [u8],
    /// Stream offset of `window[0]`.
    pub offset: u64,
    /// Index of the first new byte.
    pub new_from: usize,
}

impl<'d> Delivery<'d> {
    /// Without the old bytes before stream offset `from`.
    pub(super) fn since(&self, from: u64) -> Delivery<'d> {
        let skip = usize::try_from(from.saturating_sub(self.offset)).unwrap_or(usize::MAX).min(self.new_from);
        let window = self.window.get(skip..).unwrap_or(&[]);
        Delivery { window, offset: self.offset.saturating_add(skip as u64), new_from: self.new_from - skip, ..*self }
    }

    /// What a rule sees that has matched everything before stream offset `from`.
    fn behind(&self, from: u64) -> Payload<'d> {
        let skip = usize::try_from(from.saturating_sub(self.offset)).unwrap_or(usize::MAX).min(self.new_from);
        let bytes = self.window.get(skip..).unwrap_or(&[]);
        let view = StreamView { offset: self.offset.saturating_add(skip as u64), new_from: self.new_from - skip };
        Payload { bytes, stream: Some(view) }
    }
}

impl Inspector {
    /// Inspect a delivery. A rule matches when all its contents stand in the window and at least one byte of them is
    /// new. Bytes that have matched a rule do not match it again, so that one occurrence is one match.
    pub fn stream(
        &mut self,
        context: &Context<'_>,
        flow: &mut FlowDetect,
        delivery: &Delivery<'_>,
        shared: &mut SharedState,
    ) {
        let Inspector { program, evaluator, scratch, raw, told, .. } = self;
        let program: &Program = program;
        shared.prepare(program);
        flow.attach(program);
        if flow.is_closed() || delivery.new_from >= delivery.window.len() {
            return;
        }
        let direction = delivery.direction;
        let from = flow.sees_from(direction as usize, delivery.offset.saturating_add(delivery.new_from as u64));
        let delivery = &delivery.since(from);
        let bit = 1u8 << direction as u8;
        let tuple = context.tuple(Some(direction));
        let Some(side) = flow.sides.get_mut(direction as usize) else { return };
        side.pending.retain(|p| p.end.max(p.from) > delivery.offset);
        scratch.begin_scan(program.len());
        let Scratch { stamps, stamp, shared_scan, .. } = &mut *scratch;
        let at = (context.packet.number, context.packet.tunnel_depth, direction as usize);
        // Of several deliveries by one packet none is the packet.
        shared_scan.valid = !(shared_scan.valid && shared_scan.at == at);
        shared_scan.at = at;
        shared_scan.hits.clear();
        shared_scan.bytes.clear();
        shared_scan.bytes.extend_from_slice(delivery.window.get(delivery.new_from..).unwrap_or(&[]));
        if let Some(group) = program.payload_group(Class::Tcp, direction as usize).filter(|g| !g.is_empty()) {
            let from = delivery.new_from.saturating_sub(group.carry());
            evaluator.counters.scanned_bytes += (delivery.window.len() - from) as u64;
            let (headers, pending) = (&mut side.headers, &mut side.pending);
            let (mut named, mut dropped) = (0, 0);
            let mut name = |behind: &[Behind], start: usize, end: usize| {
                if end <= delivery.new_from {
                    return;
                }
                for b in behind {
                    let Some(head) = program.head(b.rule) else { continue };
                    if head.units.packet
                        && start >= delivery.new_from
                        && stamps.get_mut(b.rule as usize).is_some_and(|s| std::mem::replace(s, *stamp) != *stamp)
                    {
                        shared_scan.hits.push((b.rule, b.latest, (end - delivery.new_from) as u32));
                    }
                    let end = delivery.offset.saturating_add(end as u64);
                    if !head.units.stream || end > u64::from(b.latest) && b.latest != u32::MAX {
                        continue;
                    }
                    match pending.binary_search_by_key(&b.rule, |p| p.rule) {
                        Ok(at) => {
                            if let Some(known) = pending.get_mut(at) {
                                known.end = known.end.max(end);
                            }
                        }
                        Err(at) => {
                            named += 1;
                            if !headers.holds(program.headers(), head.header, &tuple) {
                                continue;
                            }
                            if pending.len() >= MAX_PENDING {
                                dropped += 1;
                                continue;
                            }
                            pending.insert(at, Pending { rule: b.rule, end, from: 0 });
                        }
                    }
                }
            };
            group.scan_body(delivery.window, from, &mut name);
            if delivery.offset == 0 {
                group.scan_head(delivery.window, from, &mut name);
            }
            evaluator.counters.candidates += named;
            evaluator.counters.candidates_dropped += dropped;
        }
        if side.stream.is_none() {
            let mut list = vec![];
            program.unfiltered().stream.collect(program.headers(), &mut side.headers, &tuple, &mut list);
            list.retain(|&r| program.head(r).is_some_and(|h| h.directions & bit != 0));
            list.sort_unstable();
            side.stream = Some(list.into());
        }
        scratch.candidates.clear();
        scratch.candidates.extend(side.pending.iter().filter(|p| p.end > delivery.offset).map(|p| p.rule));
        scratch.candidates.extend(side.stream.as_deref().unwrap_or(&[]));
        if scratch.candidates.is_empty() {
            return;
        }
        scratch.candidates.sort_unstable();
        let end = delivery.offset.saturating_add(delivery.window.len() as u64);
        let mut work =
            Work { program, evaluator, shared, context, direction: Some(direction), raw, transaction: None, told };
        for &rule in &scratch.candidates {
            let from = flow.sides.get(direction as usize).map_or(0, |side| side.matched_to(rule));
            let payload = Some(delivery.behind(from));
            let buffers = (&mut scratch.transformed, &mut scratch.spare);
            if work.raw_rule_holds(rule, Unit::Stream, payload, Some(&*flow), buffers) {
                work.matched(rule, Scope::Stream, Some(&mut *flow));
                if let Some(side) = flow.sides.get_mut(direction as usize) {
                    side.set_matched(rule, end);
                }
            }
        }
    }

    /// A rule whose fast pattern stands in the retained bytes of a stream could still match with bytes to come. `window`: those
    /// bytes, and the stream offset of the first.
    pub fn waits(&mut self, flow: &FlowDetect, direction: Direction, window: (&[u8], u64)) -> bool {
        let Inspector { program, evaluator, .. } = self;
        let Some(side) = flow.sides.get(direction as usize) else { return false };
        let mut pending = side.pending.iter().filter(|p| p.end > p.from.max(window.1));
        if flow.program != program.id() {
            return pending.next().is_some();
        }
        pending.any(|p| {
            let pattern = program.stream_pattern(p.rule as usize);
            pattern.is_none_or(|pattern| stands(program, evaluator, p.rule, p.from, window, pattern))
        })
    }

    /// `rule`, to which `fragment` in the retained bytes of a stream leads (none: a fact of theirs), could match with bytes to come
    /// that do not hold it. `window`: those bytes, and the stream offset of the first.
    pub fn could_complete(
        &mut self,
        flow: &FlowDetect,
        rule: RuleIndex,
        direction: Direction,
        window: (&[u8], u64),
        fragment: &[u8],
    ) -> bool {
        let Inspector { program, evaluator, .. } = self;
        // Rules that do not look at streams alone, or without a pattern there, may wait for something else. A record's place is that of
        // the fragment in one content: where several hold it, the device need not flag it at the places of the others.
        let alone = program.stream_pattern(rule as usize).is_some()
            && program.rule(rule).is_some_and(|rule| {
                rule.buffers.iter().all(|b| matches!(b.source, Source::Payload))
                    && rule.buffers.iter().map(|b| b.chain.holders(fragment)).sum::<usize>() <= 1
            });
        let Some(side) = flow.sides.get(direction as usize).filter(|_| alone && flow.program == program.id()) else { return true };
        stands(program, evaluator, rule, side.matched_to(rule), window, &fragment.to_ascii_lowercase())
    }
}

/// All that `rule` looks for in streams could still be completed, with an occurrence of `pattern` that `window` holds behind
/// offset `from`.
fn stands(
    program: &Program,
    evaluator: &mut Evaluator,
    rule: RuleIndex,
    from: u64,
    (window, offset): (&[u8], u64),
    pattern: &[u8],
) -> bool {
    let Some(rule) = program.rule(rule) else { return true };
    let skip = usize::try_from(from.saturating_sub(offset)).unwrap_or(usize::MAX);
    let bytes = window.get(skip..).unwrap_or(&[]);
    let from = offset.saturating_add((window.len() - bytes.len()) as u64);
    evaluator.begin_rule();
    rule.buffers.iter().filter(|buffer| matches!(buffer.source, Source::Payload)).all(|buffer| {
        let plain = buffer.transforms.is_empty() && matches!(buffer.absence, Absence::Fails);
        !plain || evaluator.could_hold(&buffer.chain, bytes, from, pattern)
    })
}
