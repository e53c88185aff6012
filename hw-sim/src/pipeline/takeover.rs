//! A device without a host: its fail mode, what outlives the host, and the rings of the next one (decision 0024).

use super::{Frame, Pipeline};
use crate::flow::FlowTable;
use crate::parse::parse;
use crate::queue::Queue;
use crate::watchdog::Watchdog;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{BypassReason, DropReason};

impl Pipeline {
    /// A frame arrives and no host has enabled the device: flows that are blocked stay so, everything else meets the fail
    /// mode. Nothing is recorded, no entry is made.
    pub fn unattended(&mut self, frame: &Frame<'_>) {
        let data = self.bus.faults.cut(frame.data);
        let parsed = parse(&self.settings.parse, frame.link, data, frame.wire_length);
        self.number = frame.number;
        self.now = self.now.max(frame.time);
        self.counters.count(Counter::ReceivedFrames);
        self.counters.add(Counter::ReceivedBytes, data.len() as u64);
        if data.len() > c::FRAME_LENGTH_MAX as usize {
            return self.drop(DropReason::TooLong, data.len());
        }
        if let Some((source, destination)) = parsed.ends.filter(|_| parsed.keyed) {
            let (key, hash, _) = self.key(&parsed, source, destination);
            let live = self.flows.find(hash, &key).filter(|slot| !self.flows.is_expired(*slot, self.now));
            if let Some(slot) = live {
                let number = self.number;
                let blocked = self.flows.get_mut(slot).is_some_and(|entry| {
                    if !entry.verdict.blocked {
                        entry.verdict.miss(number);
                    }
                    entry.verdict.blocked
                });
                if blocked {
                    self.flows.set_expiry(slot, self.now.saturating_add(self.settings.timeouts.device(key.protocol)));
                    return self.drop(DropReason::FlowBlocked, data.len());
                }
            }
        }
        if self.settings.fail_closed {
            self.drop(DropReason::FailClosed, data.len());
        } else {
            self.bypass(BypassReason::FailOpen, data);
        }
    }

    /// The host is gone, with the memory of its rings, its tables and its signs of life.
    pub fn abandon(&mut self) {
        self.leave_rings(Vec::new());
        self.bank = None;
        self.header.clear();
        self.watchdog = Watchdog::default();
    }

    /// Diverted frames lay in the memory of the rings that are left: they leave the device no more. What waits for room there,
    /// and what the other host has not asked about, is over.
    fn leave_rings(&mut self, next: Vec<Queue>) {
        for (number, _) in std::mem::take(&mut self.in_flight).into_iter().filter(|(_, answered)| !answered) {
            self.counters.count(Counter::VerdictAbandoned);
            self.counters.lower(Counter::InFlight);
            self.withhold(number);
        }
        self.queues = next;
        (self.ending, self.waiting) = (None, false);
        (self.error, self.watchdog_changed) = (None, false);
    }

    /// Other rings. Positions in the old ones mean nothing in these, and the host knows nothing of what the entries stand
    /// for: they begin anew, but for flows that are blocked. `kept`: entries of this table can stay (same hash, same size).
    pub fn take_over(&mut self, queues: Vec<Queue>, entries: u32, kept: bool) {
        self.leave_rings(queues);
        let mut ended = 0;
        if kept {
            let mut from = 0;
            while let Some(slot) = self.flows.next_used(from) {
                from = slot + 1;
                match self.flows.get_mut(slot).filter(|entry| entry.verdict.blocked) {
                    Some(entry) => drop(entry.verdict.take_chain()),
                    None => {
                        self.flows.remove(slot);
                        ended += 1;
                    }
                }
            }
        } else {
            ended = self.flows.used() as u64;
            self.flows = FlowTable::new(entries);
        }
        self.counters.add(Counter::FlowsForgotten, ended);
        (0..ended).for_each(|_| self.counters.lower(Counter::FlowsLive));
    }
}
