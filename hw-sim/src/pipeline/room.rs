//! Room in rings, before a frame is taken: pins, and the chains that its record would bring to their end.

use super::Pipeline;
use crate::queue::{Place, Resident};
use weir_contract::counters::Counter;
use weir_contract::guards::Guard;

impl Pipeline {
    /// The record still belongs to a chain that must reach the host before it is overwritten.
    fn is_wanted(&self, resident: &Resident, now: u64) -> bool {
        self.flows.generation(resident.index) == resident.generation
            && !self.flows.is_expired(resident.index, now)
            && self.flows.get(resident.index).is_some_and(|entry| {
                let v = &entry.verdict;
                v.chain_count > 0 && resident.position >= v.chain_first
            })
    }

    /// A source that can wait: is there room for whatever this frame may need? If not, nothing was done, except in two
    /// cases that no waiting alone would end: the frame needs more HANDOVER descriptors than the whole ring has, or it
    /// would overwrite a record that it itself hands over (frames longer than the margin). Then handovers are made
    /// ahead, and the frame waits for the host to take them.
    pub(super) fn make_room(&mut self, queue: usize, place: Option<Place>, now: u64) -> bool {
        if self.queues.iter().any(|q| q.flow_records.entries != 0 && q.flow_records.free() == 0) {
            return false;
        }
        let Some(q) = self.queues.get(queue) else { return true };
        let Some(place) = place else { return q.descriptors.free() > 0 };
        let target = q.scrub_target(place.end);
        let mut handovers = 0;
        let mut self_made = false;
        for resident in q.ahead(target) {
            if self.is_wanted(resident, now) {
                handovers += 1;
                self_made |= resident.position + q.history_size < place.end;
            }
        }
        if q.descriptors.free() <= handovers {
            if q.descriptors.used() == 0 {
                self.hand_over_before(queue, target, now);
            }
            return false;
        }
        if !q.is_unpinned(place.end) {
            return false;
        }
        if self_made {
            self.hand_over_before(queue, target, now);
            return false;
        }
        self.hand_over_before(queue, target, now);
        true
    }

    /// A source that cannot wait: hand over what can be; chains without a descriptor become holes. `false` if the record
    /// cannot be written.
    pub(super) fn scrub_now(&mut self, queue: usize, place: Option<Place>, now: u64) -> bool {
        let Some(place) = place else { return false };
        let Some(q) = self.queues.get(queue) else { return false };
        if !q.is_unpinned(place.end) {
            return false;
        }
        let target = q.scrub_target(place.end);
        self.hand_over_before(queue, target, now);
        while let Some(resident) = self.queues.get_mut(queue).and_then(|q| q.pass(target)) {
            if !self.is_wanted(&resident, now) {
                continue;
            }
            let number = self.number;
            if let Some(entry) = self.flows.get_mut(resident.index) {
                let chain = entry.verdict.take_chain();
                entry.verdict.miss(number);
                self.counters.add(Counter::HistoryLost, u64::from(chain.count));
            }
        }
        // What was just handed over may lie where the record goes.
        self.queues.get(queue).is_some_and(|q| q.is_unpinned(place.end))
    }

    /// Move the scrub pointer to `target`, handing chains over while a descriptor (and one for the frame) is free.
    fn hand_over_before(&mut self, queue: usize, target: u64, now: u64) {
        while let Some(resident) = self.queues.get(queue).and_then(|q| q.ahead(target).next().copied()) {
            if self.is_wanted(&resident, now) {
                if self.queues.get(queue).is_none_or(|q| q.descriptors.free() < 2) {
                    return;
                }
                if !self.hand_over(queue, resident.index, Guard::Expiring) {
                    // A DMA fault; the chain became a hole.
                    continue;
                }
            }
            if let Some(q) = self.queues.get_mut(queue) {
                q.pass(target);
            }
        }
    }
}
