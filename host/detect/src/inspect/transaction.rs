//! Inspection of transactions: buffers are searched as they grow, candidates wait for what is missing.

use super::conditions::{self, InTransaction, Unit};
use super::{Inspector, Payload, Work};
use crate::chain::{Evaluator, StreamView};
use crate::context::{Context, Scope};
use crate::flow::{Candidate, Extent, FlowDetect, MAX_CANDIDATES, Scan, Side, TransactionDetect};
use crate::inspect::Delivery;
use crate::program::groups::Behind;
use crate::program::header::Tuple;
use crate::program::rule::{Absence, CompiledRule, Head, RuleBuffer, Source};
use crate::program::slots::Slot;
use crate::program::{Program, RuleIndex};
use crate::shared::SharedState;
use crate::transform;
use weir_app_layer::{BufferState, BufferView, Direction, ProtocolState};
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// Most instances of one buffer of one transaction that are looked at.
const MAX_INSTANCES: usize = 4096;

/// Outputs of transforms within the inspection of one transaction.
#[derive(Debug, Default)]
pub(super) struct TransformCache {
    entries: Vec<(u16, u8, u16, Vec<u8>)>,
    used: usize,
    spare: Vec<u8>,
}

impl TransformCache {
    pub(super) fn clear(&mut self) {
        self.used = 0;
    }

    fn get(&mut self, slot: u16, steps: &Slot, side: u8, instance: u16, input: &[u8], pcre: &mut Evaluator) -> &[u8] {
        let known = self.entries.iter().take(self.used).position(|e| (e.0, e.1, e.2) == (slot, side, instance));
        let at = match known {
            Some(at) => at,
            None => {
                if self.used == self.entries.len() {
                    self.entries.push((0, 0, 0, Vec::new()));
                }
                let at = self.used;
                self.used += 1;
                if let Some(entry) = self.entries.get_mut(at) {
                    (entry.0, entry.1, entry.2) = (slot, side, instance);
                    transform::apply(&steps.steps, input, pcre.pcre(), &mut entry.3, &mut self.spare);
                }
                at
            }
        };
        self.entries.get(at).map_or(&[], |e| &e.3)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Match,
    /// Something is missing that may come.
    Wait,
    /// No match, whatever comes.
    Never,
}

impl Inspector {
    /// Inspect the transactions that changed in `direction`. `raw` is the stream window of the direction for rules that
    /// mix payload contents with buffers; without it they see the packet's payload. Call for both directions before
    /// `ProtocolState::mark_inspected`.
    pub fn transactions(
        &mut self,
        context: &Context<'_>,
        flow: &mut FlowDetect,
        direction: Direction,
        state: &dyn ProtocolState,
        raw_window: Option<&Delivery<'_>>,
        shared: &mut SharedState,
    ) {
        let Inspector { program, evaluator, scratch, raw, told, .. } = self;
        let program: &Program = program;
        shared.prepare(program);
        flow.attach(program);
        if flow.is_closed() {
            return;
        }
        let kind = usize::from(state.are_frames());
        let live = state.transactions();
        let side = direction as usize;
        // Both are in the order of their ids.
        let mut ids = live.iter().map(|t| t.id).peekable();
        let mut is_live = |known: &mut TransactionDetect| {
            while ids.next_if(|id| *id < known.id).is_some() {}
            ids.peek() == Some(&known.id)
        };
        scratch.pool.extend(flow.units[kind].extract_if(.., |known| !is_live(known)));
        let first = flow.sees_units_from(kind);
        if !live.iter().any(|t| t.changed[side] && t.id >= first) {
            return;
        }
        let tuple = context.tuple(Some(direction));
        let window = raw_window.map(|d| Delivery { new_from: d.window.len(), ..*d }.since(flow.saw_from(side)));
        let payload = match window.filter(|d| !d.window.is_empty()) {
            Some(d) => Some(Payload { bytes: d.window, stream: Some(StreamView { offset: d.offset, new_from: 0 }) }),
            None if context.flow.is_some_and(|f| f.inspect_payload && f.direction == direction) => {
                Some(Payload { bytes: context.packet.payload, stream: None })
            }
            None => None,
        };
        let mut work = Work { program, evaluator, shared, context, direction: Some(direction), raw, transaction: None, told };
        for (index, transaction) in live.iter().enumerate().filter(|(_, t)| t.changed[side] && t.id >= first) {
            let at = match flow.units[kind].binary_search_by_key(&transaction.id, |t| t.id) {
                Ok(at) => at,
                Err(at) => {
                    let mut fresh = scratch.pool.pop().unwrap_or_default();
                    reset(&mut fresh, transaction.id);
                    flow.units[kind].insert(at, fresh);
                    at
                }
            };
            scratch.cache.clear();
            work.transaction = Some(transaction.id).filter(|_| !state.are_frames());
            let inside = InTransaction { state, index, direction };
            let (Some(detect), Some(flow_side)) = (flow.units[kind].get_mut(at), flow.sides.get_mut(side)) else {
                continue;
            };
            begin(&work, detect, flow_side, inside, &tuple);
            name_event_rules(&mut work, inside, detect, flow_side, &tuple, &transaction.events);
            search(&mut work, inside, detect, flow_side, &tuple, &mut scratch.cache);
            // The rules, in order. The list leaves the flow while rules change the flow's state.
            let Some(own) = detect.sides.get_mut(side) else { continue };
            std::mem::swap(&mut own.candidates, &mut scratch.taken);
            let mut taken = std::mem::take(&mut scratch.taken);
            taken.retain_mut(|candidate| {
                work.evaluator.counters.evaluations += 1;
                let (events, cache, rule) = (&transaction.events, &mut scratch.cache, candidate.rule);
                let mut check = |work: &mut Work<'_>| work.candidate(candidate, inside, payload, flow, events, cache);
                let answer = match work.evaluator.profile.is_some() {
                    true => work.timed(rule, check, |answer| *answer == Answer::Match),
                    false => check(&mut work),
                };
                if answer == Answer::Match {
                    let scope = match state.are_frames() {
                        true => Scope::Frame(transaction.id),
                        false => Scope::Transaction(transaction.id),
                    };
                    work.matched(candidate.rule, scope, Some(&mut *flow));
                    if let Some(own) = flow.units[kind].get_mut(at).and_then(|t| t.sides.get_mut(side)) {
                        if let Err(place) = own.alerted.binary_search(&candidate.rule) {
                            own.alerted.insert(place, candidate.rule);
                        }
                    }
                }
                answer == Answer::Wait
            });
            if let Some(own) = flow.units[kind].get_mut(at).and_then(|t| t.sides.get_mut(side)) {
                std::mem::swap(&mut own.candidates, &mut taken);
            }
            scratch.taken = taken;
        }
    }
}

fn reset(detect: &mut TransactionDetect, id: u64) {
    detect.id = id;
    for side in &mut detect.sides {
        side.begun = false;
        side.groups_done = [0; 4];
        side.scans.clear();
        side.candidates.clear();
        side.alerted.clear();
        side.events = 0;
    }
}

/// Make `rule` a candidate, in `side` if it is inspected there, else in the other direction.
fn add(work: &Program, detect: &mut TransactionDetect, rule: RuleIndex, side: usize) -> bool {
    let Some(head) = work.head(rule) else { return true };
    let side = if head.directions & (1 << side) != 0 { side } else { 1 - side };
    let Some(own) = detect.sides.get_mut(side) else { return true };
    if own.alerted.binary_search(&rule).is_ok() {
        return true;
    }
    match own.candidates.binary_search_by_key(&rule, |c| c.rule) {
        Ok(_) => true,
        Err(_) if own.candidates.len() >= MAX_CANDIDATES => false,
        Err(at) => {
            own.candidates.insert(at, Candidate { rule, done: 0, tried: None });
            true
        }
    }
}

/// First inspection of the direction: the rules without fast pattern.
fn begin(work: &Work<'_>, detect: &mut TransactionDetect, flow_side: &mut Side, inside: InTransaction<'_>, tuple: &Tuple) {
    let side = inside.direction as usize;
    if detect.sides.get_mut(side).is_none_or(|own| std::mem::replace(&mut own.begun, true)) {
        return;
    }
    let program = work.program;
    if flow_side.transaction.is_none() {
        let mut list = vec![];
        program.unfiltered().transaction.collect(program.headers(), &mut flow_side.headers, tuple, &mut list);
        list.retain(|&r| program.head(r).is_some_and(|h| h.directions & (1 << side) != 0));
        list.sort_unstable();
        flow_side.transaction = Some(list.into());
    }
    for &rule in flow_side.transaction.as_deref().unwrap_or(&[]) {
        let holds = |h: &Head| h.frames == inside.state.are_frames() && conditions::protocol_holds(h.application, work.context);
        if program.head(rule).is_some_and(holds) {
            add(program, detect, rule, side);
        }
    }
}

fn name_event_rules(
    work: &mut Work<'_>,
    inside: InTransaction<'_>,
    detect: &mut TransactionDetect,
    flow_side: &mut Side,
    tuple: &Tuple,
    events: &[u16],
) {
    let side = inside.direction as usize;
    let program = work.program;
    let Some(own) = detect.sides.get_mut(side) else { return };
    let seen = std::mem::replace(&mut own.events, events.len().min(u16::MAX as usize) as u16);
    for &event in events.get(seen as usize..).unwrap_or(&[]) {
        let Some(rules) = program.events().transaction.get(inside.state.event_name(event)) else { continue };
        for &rule in rules {
            let holds = program.head(rule).is_some_and(|h| {
                h.directions & (1 << side) != 0 && flow_side.headers.holds(program.headers(), h.header, tuple)
            });
            if holds && !add(program, detect, rule, side) {
                work.evaluator.counters.candidates_dropped += 1;
            }
        }
    }
}

/// Search new bytes of all buffers for fast patterns.
fn search(
    work: &mut Work<'_>,
    inside: InTransaction<'_>,
    detect: &mut TransactionDetect,
    flow_side: &mut Side,
    tuple: &Tuple,
    cache: &mut TransformCache,
) {
    let side = inside.direction as usize;
    let program = work.program;
    for (position, &group_index) in program.groups_of(inside.state.protocol(), side).iter().enumerate() {
        let (word, bit) = (position / 64, 1u64 << (position % 64));
        let Some(own) = detect.sides.get_mut(side) else { return };
        if own.groups_done.get(word).is_some_and(|w| w & bit != 0) {
            continue;
        }
        let Some(group) = program.transaction_group(group_index) else { continue };
        let Some(slot) = program.slots().get(group.slot) else { continue };
        if slot.buffer.frame_number().is_some() != inside.state.are_frames() {
            continue;
        }
        let key = position as u16;
        let known = own.scans.iter().position(|s| s.group == key);
        let mut scan = match known {
            Some(at) => own.scans.swap_remove(at),
            None => Scan { group: key, instance: 0, scanned: 0 },
        };
        let mut finished = true;
        loop {
            let instance = usize::from(scan.instance);
            match inside.state.buffer(inside.index, inside.direction, slot.buffer, instance) {
                BufferState::NotYet => {
                    finished = false;
                    break;
                }
                BufferState::Absent => break,
                BufferState::Present(view) => {
                    if !slot.steps.is_empty() && !view.complete {
                        finished = false;
                        break;
                    }
                    let bytes = match slot.steps.is_empty() {
                        true => view.bytes,
                        false => cache.get(group.slot, slot, side as u8, scan.instance, view.bytes, work.evaluator),
                    };
                    let new_from = scan.scanned as usize;
                    let from = new_from.saturating_sub(group.group.carry());
                    work.evaluator.counters.scanned_bytes += bytes.len().saturating_sub(from) as u64;
                    let (mut named, mut dropped) = (0, 0);
                    let mut name = |behind: &[Behind], _: usize, end: usize| {
                        if end <= new_from {
                            return;
                        }
                        for b in behind.iter().filter(|b| end <= b.latest as usize) {
                            named += 1;
                            let Some(head) = program.head(b.rule) else { continue };
                            // The header of a rule over both directions is looked at in the second.
                            if !(program.rule(b.rule).is_some_and(|rule| rule.transactional)
                                || flow_side.headers.holds(program.headers(), head.header, tuple))
                                || !conditions::protocol_holds(head.application, work.context)
                            {
                                continue;
                            }
                            dropped += u64::from(!add(program, detect, b.rule, side));
                        }
                    };
                    group.group.scan_body(bytes, from, &mut name);
                    group.group.scan_head(bytes, from, &mut name);
                    work.evaluator.counters.candidates += named;
                    work.evaluator.counters.candidates_dropped += dropped;
                    if !view.complete {
                        scan.scanned = bytes.len().min(u32::MAX as usize) as u32;
                        finished = false;
                        break;
                    }
                    if !slot.multi || instance + 1 >= MAX_INSTANCES {
                        break;
                    }
                    scan.instance += 1;
                    scan.scanned = 0;
                }
            }
        }
        let Some(own) = detect.sides.get_mut(side) else { return };
        if finished {
            if let Some(done) = own.groups_done.get_mut(word) {
                *done |= bit;
            }
        } else if scan.instance > 0 || scan.scanned > 0 {
            own.scans.push(scan);
        }
    }
}

/// Direction in which the buffer is looked for: `own`, if it is there in both.
pub(super) fn slot_direction(slot: &Slot, own: Direction) -> Direction {
    match slot.directions {
        mask if mask & (1 << own as u8) != 0 => own,
        1 => Direction::ToServer,
        _ => Direction::ToClient,
    }
}

/// Whether `absent` can hold: as in Suricata, a buffer is missing only once its transaction has left the state in which it
/// would have come, and messages of some protocols are whole at once. Nor are files that never began looked for, where
/// transactions may carry several.
fn tells_absence(protocol: AppProtocol, to_server: bool, buffer: Buffer) -> bool {
    use AppProtocol::{BittorrentDht, Dns, Ftp, FtpData, Ike, Krb5, Mdns, Nfs, Quic, Smb, Smtp, Snmp};
    match protocol {
        BittorrentDht | Dns | Ftp | Ike | Krb5 | Mdns | Quic | Snmp => false,
        FtpData | Nfs => buffer != Buffer::FileData,
        Smb => to_server && buffer != Buffer::FileData,
        Smtp => to_server,
        _ => true,
    }
}

impl Work<'_> {
    /// Evaluate a candidate as far as the transaction has got.
    pub(super) fn candidate(
        &mut self,
        candidate: &mut Candidate,
        inside: InTransaction<'_>,
        payload: Option<Payload<'_>>,
        flow: &FlowDetect,
        events: &[u16],
        cache: &mut TransformCache,
    ) -> Answer {
        let index = candidate.rule;
        let (Some(head), Some(rule)) = (self.program.head(index), self.program.rule(index)) else {
            return Answer::Never;
        };
        let has_event = |wanted: &std::sync::Arc<str>| events.iter().any(|&e| *inside.state.event_name(e) == **wanted);
        let reached = rule.hook.is_none_or(|hook| {
            let state = weir_app_layer::hooks::hook_state(inside.state, inside.index, inside.direction);
            hook.to_server == (inside.direction == Direction::ToServer) && state >= hook.state
        });
        if rule.transactional && !self.program.headers().holds(head.header, &self.context.tuple(self.direction)) {
            return Answer::Never;
        }
        if !reached
            || !rule.transaction_events.iter().all(has_event)
            || !self.conditions_hold(head, rule, Some(flow), Unit::Transaction)
            || !conditions::app_layer_holds(&rule.app_layer, self.context, Some(inside))
        {
            return Answer::Wait;
        }
        if let Some(extent) = self.extent(rule, inside) {
            if candidate.tried.is_some_and(|before| !extent.is_news(before)) {
                return Answer::Wait;
            }
            candidate.tried = Some(extent);
        }
        self.evaluator.begin_rule();
        self.evaluator.dce_little = inside.state.number(inside.index, inside.direction, "dcerpc.little_endian") != Some(0);
        if rule.connected {
            candidate.done = 0;
        }
        let done = candidate.done;
        let mut waits = false;
        for (i, buffer) in rule.buffers.iter().enumerate() {
            let bit = 1u64.checked_shl(i as u32).unwrap_or(0);
            if candidate.done & bit != 0 {
                continue;
            }
            match self.buffer(buffer, inside, payload, cache) {
                Answer::Match => candidate.done |= bit,
                Answer::Wait => {
                    waits = true;
                    if rule.connected {
                        break;
                    }
                }
                Answer::Never => return Answer::Never,
            }
        }
        // The extent counts what is not done: with more done, it cannot be compared with the one before.
        if candidate.done != done {
            candidate.tried = None;
        }
        if waits { Answer::Wait } else { Answer::Match }
    }

    /// How much there is of the rule's buffers; none when it looks at packet or stream as well.
    fn extent(&self, rule: &CompiledRule, inside: InTransaction<'_>) -> Option<Extent> {
        let mut extent = Extent { settled: 0, growing: 0 };
        for buffer in &rule.buffers {
            let Source::Transaction(slot) = buffer.source else { return None };
            let slot = self.program.slots().get(slot)?;
            let direction = buffer.side.unwrap_or_else(|| slot_direction(slot, inside.direction));
            for instance in 0..if slot.multi { MAX_INSTANCES } else { 1 } {
                match inside.state.buffer(inside.index, direction, slot.buffer, instance) {
                    BufferState::NotYet => break,
                    BufferState::Absent => {
                        extent.settled += 1;
                        break;
                    }
                    BufferState::Present(view) if view.complete => extent.settled += 1,
                    BufferState::Present(view) => {
                        extent.growing += view.bytes.len() as u64;
                        break;
                    }
                }
            }
        }
        Some(extent)
    }

    fn buffer(
        &mut self,
        buffer: &RuleBuffer,
        inside: InTransaction<'_>,
        payload: Option<Payload<'_>>,
        cache: &mut TransformCache,
    ) -> Answer {
        let Source::Transaction(slot_index) = buffer.source else {
            let (mut transformed, mut spare) = (Vec::new(), Vec::new());
            // More of the stream, or another packet, may bring it.
            return match self.raw_buffer_holds(buffer, payload, &mut transformed, &mut spare) {
                true => Answer::Match,
                false => Answer::Wait,
            };
        };
        let Some(slot) = self.program.slots().get(slot_index) else { return Answer::Never };
        let direction = buffer.side.unwrap_or_else(|| slot_direction(slot, inside.direction));
        let mut waits = false;
        for instance in 0..MAX_INSTANCES {
            let view = match inside.state.buffer(inside.index, direction, slot.buffer, instance) {
                BufferState::NotYet => return Answer::Wait,
                BufferState::Absent if instance == 0 => {
                    return match buffer.absence {
                        Absence::Fails => Answer::Never,
                        _ if !tells_absence(inside.state.protocol(), direction == Direction::ToServer, slot.buffer) => Answer::Never,
                        Absence::Required | Absence::Accepted => Answer::Match,
                    };
                }
                BufferState::Absent => break,
                BufferState::Present(view) => view,
            };
            if buffer.absence == Absence::Required {
                return Answer::Never;
            }
            match self.instance(buffer, slot_index, slot, direction, instance, &view, cache) {
                Answer::Match => return Answer::Match,
                Answer::Wait => waits = true,
                Answer::Never => {}
            }
            if !slot.multi {
                break;
            }
        }
        if waits { Answer::Wait } else { Answer::Never }
    }

    #[allow(clippy::too_many_arguments)]
    fn instance(
        &mut self,
        buffer: &RuleBuffer,
        slot_index: u16,
        slot: &Slot,
        direction: Direction,
        instance: usize,
        view: &BufferView<'_>,
        cache: &mut TransformCache,
    ) -> Answer {
        if !view.complete && (buffer.chain.waits_for_end || !slot.steps.is_empty()) {
            return Answer::Wait;
        }
        let bytes = match slot.steps.is_empty() {
            true => view.bytes,
            false => cache.get(slot_index, slot, direction as u8, instance as u16, view.bytes, self.evaluator),
        };
        match self.evaluator.holds(&buffer.chain, bytes, None, &mut self.shared.datasets) {
            true => Answer::Match,
            false if view.complete => Answer::Never,
            false => Answer::Wait,
        }
    }
}
