//! How entries end: by frame time, by command, by flush; reports of those that live long.

use super::Pipeline;
use crate::flow::Entry;
use weir_contract::counters::Counter;
use weir_contract::enums::{FlowFlags, FlowRecordKind};
use weir_contract::guards::Guard;
use weir_contract::layouts::FlowRecord;

/// Slots that the sweep looks at per frame.
const SWEEP_PER_FRAME: usize = 4;
/// Frame time in which the sweep comes round once, ns.
const SWEEP_ROUND: u64 = 16_000_000_000;

/// Why all entries end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// CONTROL.FLUSH: chains go to the host.
    Flush,
    /// The capture is over: what has aged by then, and all else after it.
    Over,
}

impl Pipeline {
    /// The background sweep. It changes no outcome (time is judged at look-up as well), only when flow records come, so
    /// it may stop where a flow record finds no room.
    pub(super) fn sweep(&mut self) {
        let capacity = self.flows.capacity() as u64;
        let elapsed = self.now.saturating_sub(self.sweep_time).min(SWEEP_ROUND);
        // Whole slots only; what is left of the time counts with the next frame.
        let slots = elapsed * capacity / SWEEP_ROUND;
        if slots > 0 || self.sweep_time == 0 {
            self.sweep_time = self.now;
        }
        if self.flows.used() == 0 {
            return;
        }
        self.sweep_slots(SWEEP_PER_FRAME + slots as usize);
    }

    /// `false` if it stopped for want of room.
    fn sweep_slots(&mut self, mut budget: usize) -> bool {
        while budget > 0 {
            let (expired, looked) = self.flows.sweep(self.now, budget);
            budget -= looked;
            let Some(slot) = expired else { return true };
            // The last free slot is kept for the frame at hand.
            if !self.has_record_room(slot, 2) {
                self.flows.sweep_again(slot);
                return false;
            }
            self.end_flow(slot, FlowRecordKind::Aged);
        }
        true
    }

    fn queue_of_slot(&self, slot: u32) -> usize {
        let hash = self.flows.get(slot).map_or(0, |entry| entry.hash);
        weir_contract::hash::queue_of(hash, self.queues.len().max(1) as u32) as usize
    }

    fn has_record_room(&self, slot: u32, least: u32) -> bool {
        let queue = self.queues.get(self.queue_of_slot(slot));
        queue.is_none_or(|q| q.flow_records.entries == 0 || q.flow_records.free() >= least)
    }

    /// Free an entry and report it.
    pub(super) fn end_flow(&mut self, slot: u32, kind: FlowRecordKind) {
        let queue = self.queue_of_slot(slot);
        let generation = self.flows.generation(slot);
        let Some(entry) = self.flows.remove(slot) else { return };
        self.counters.count(if kind == FlowRecordKind::Aged { Counter::FlowsAged } else { Counter::FlowsForgotten });
        self.counters.lower(Counter::FlowsLive);
        self.write_flow_record(queue, flow_record(&entry, slot, generation, kind));
    }

    fn write_flow_record(&mut self, queue: usize, record: FlowRecord) -> bool {
        let Some(q) = self.queues.get_mut(queue) else { return false };
        if q.flow_records.entries == 0 {
            return false;
        }
        let result = if q.flow_records.free() == 0 { Ok(false) } else { q.write_flow_record(&mut self.bus, record).map(|()| true) };
        match result {
            Ok(true) => {
                self.counters.count(Counter::FlowRecords);
                return true;
            }
            Ok(false) => {}
            Err(fault) => self.fault(fault),
        }
        self.counters.count(Counter::FlowRecordsLost);
        false
    }

    /// A flow that lives long is reported at intervals of frame time.
    pub(super) fn report(&mut self, slot: u32) {
        let interval = self.settings.report_interval;
        let Some(entry) = self.flows.get_mut(slot) else { return };
        if interval == 0 || self.now.saturating_sub(entry.parse.reported) < interval {
            return;
        }
        entry.parse.reported = self.now;
        let (queue, generation) = (self.queue_of_slot(slot), self.flows.generation(slot));
        let Some(entry) = self.flows.get(slot) else { return };
        let record = flow_record(entry, slot, generation, FlowRecordKind::Report);
        self.write_flow_record(queue, record);
    }

    /// End every entry, handing chains over. Goes on with `resume` while rings are full.
    pub fn flush(&mut self) {
        self.ending = Some((0, Ending::Flush));
        self.resume();
    }

    /// A flush is under way.
    pub fn is_flushing(&self) -> bool {
        self.ending.is_some()
    }

    /// Frame time goes on without a frame: what has aged ends. `false`: call again when the host has caught up.
    pub fn idle(&mut self, time: u64) -> bool {
        self.now = self.now.max(time);
        self.resume();
        let slots = self.flows.capacity();
        !self.is_flushing() && self.sweep_slots(slots)
    }

    /// Frame time goes on without a frame, in steps: the sweep does as much as it would have with frames.
    pub fn pass_time(&mut self, time: u64) {
        self.now = self.now.max(time);
        self.resume();
        if !self.is_flushing() {
            self.sweep();
        }
    }

    /// The capture is over: every entry ends and is reported. Nothing is handed over: a flow that is not diverted now
    /// holds nothing that could match. `false`: call again when the host has caught up.
    pub fn finish(&mut self, time: u64) -> bool {
        self.now = self.now.max(time);
        if self.ending.is_none() && self.flows.used() > 0 {
            self.ending = Some((0, Ending::Over));
        }
        self.resume();
        self.ending.is_none()
    }

    /// Go on with what waited for room: an ending, and TX entries.
    pub fn resume(&mut self) {
        while let Some((from, why)) = self.ending {
            let Some(slot) = self.flows.next_used(from) else {
                self.ending = None;
                break;
            };
            if !self.end_one(slot, why) {
                self.ending = Some((slot, why));
                return;
            }
            self.ending = Some((slot + 1, why));
        }
        for queue in 0..self.queues.len() {
            self.run_commands(queue);
        }
    }

    /// Something waits for room that comes before the next frame.
    pub(super) fn has_pending(&self) -> bool {
        self.ending.is_some() || self.queues.iter().any(|q| q.tx.used() > 0)
    }

    fn end_one(&mut self, slot: u32, why: Ending) -> bool {
        if !self.has_record_room(slot, 1) {
            return false;
        }
        // An entry whose time is up has ended before, whether the sweep has met it or not.
        let flushed = why == Ending::Flush && !self.flows.is_expired(slot, self.now);
        let chain = self.flows.get(slot).map_or(0, |entry| entry.verdict.chain_count);
        if flushed && chain > 0 {
            let queue = self.queue_of_slot(slot);
            if self.queues.get(queue).is_some_and(|q| q.descriptors.free() == 0) {
                return false;
            }
            self.hand_over(queue, slot, Guard::Expiring);
        }
        self.end_flow(slot, if flushed { FlowRecordKind::Flushed } else { FlowRecordKind::Aged });
        true
    }

    /// Free an entry by command; `false` if its record finds no room yet.
    pub(super) fn forget(&mut self, slot: u32) -> bool {
        if !self.has_record_room(slot, 1) {
            return false;
        }
        self.end_flow(slot, FlowRecordKind::Forgotten);
        true
    }
}

fn flow_record(entry: &Entry, slot: u32, generation: u32, kind: FlowRecordKind) -> FlowRecord {
    let (p, v) = (&entry.parse, &entry.verdict);
    let mut flags = 0;
    for (set, flag) in [
        (p.midstream, FlowFlags::MIDSTREAM),
        (v.hole, FlowFlags::HOLE),
        (v.diverted, FlowFlags::DIVERTED),
        (v.sticky, FlowFlags::STICKY),
        (v.scopes != u8::MAX, FlowFlags::SETTLED),
        (v.bypassed, FlowFlags::BYPASSED),
        (v.blocked, FlowFlags::BLOCKED),
        (p.stale, FlowFlags::STALE),
    ] {
        flags |= if set { flag.0 } else { 0 };
    }
    FlowRecord {
        kind: kind as u8,
        flags,
        class: p.class(),
        state: p.state as u8,
        flow_index: slot,
        flow_generation: generation,
        key: entry.key,
        initiator_upper: u8::from(!p.initiator_lower),
        tcp_flags_to_server: p.tcp_flags[0],
        tcp_flags_to_client: p.tcp_flags[1],
        scopes: v.scopes,
        first_time: p.first.1,
        last_time: p.last.1,
        first_frame: p.first.0,
        last_frame: p.last.0,
        packets_to_server: p.packets[0],
        packets_to_client: p.packets[1],
        bytes_to_server: p.bytes[0],
        bytes_to_client: p.bytes[1],
        ..FlowRecord::ZERO
    }
}
