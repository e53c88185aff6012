//! The TX ring: verdicts and flow commands, in order.

use super::{Pipeline, Transmitted};
use crate::flow::ParseState;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{Error, TxCommand, TxFlags};
use weir_contract::guards::Guard;
use weir_contract::layouts::{FlowKey, TxEntry};

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    /// Carried out or refused; the next one follows.
    Yes,
    /// There is no room for its answer: try again later, nothing was done.
    Stalled,
}

impl Pipeline {
    /// Carry out the TX entries of a queue until none is left or one stalls.
    pub(super) fn run_commands(&mut self, queue: usize) {
        while let Some(q) = self.queues.get_mut(queue) {
            let index = q.tx.consumer;
            let entry = match q.peek_tx(&mut self.bus) {
                Ok(Some(entry)) => entry,
                Ok(None) => return,
                Err(fault) => return self.fault(fault),
            };
            if self.command(&entry, index) == Done::Stalled {
                return;
            }
            if let Some(q) = self.queues.get_mut(queue) {
                if let Err(fault) = q.take_tx(&mut self.bus) {
                    self.fault(fault);
                }
            }
        }
    }

    fn command(&mut self, entry: &TxEntry, index: u32) -> Done {
        let Some(command) = TxCommand::from_raw(entry.command).filter(|_| entry.flags & !TxFlags::ALL.0 == 0) else {
            return self.bad(index);
        };
        match command {
            TxCommand::Forward | TxCommand::Drop | TxCommand::Reset => self.answer(command, entry, index),
            TxCommand::Inject => self.inject(entry, index),
            TxCommand::Divert => self.divert_flow(entry, index),
            TxCommand::Release | TxCommand::Settle | TxCommand::Bypass | TxCommand::Forget => {
                self.flow_command(command, entry)
            }
        }
    }

    fn bad(&mut self, index: u32) -> Done {
        self.counters.count(Counter::CommandBad);
        self.error.get_or_insert((Error::BadCommand, u64::from(index)));
        Done::Yes
    }

    fn stale(&mut self) -> Done {
        self.counters.count(Counter::CommandStale);
        Done::Yes
    }

    /// Exactly one verdict for each diverted frame.
    fn answer(&mut self, command: TxCommand, entry: &TxEntry, index: u32) -> Done {
        if entry.length > c::FRAME_LENGTH_MAX {
            return self.bad(index);
        }
        let at = self.in_flight.binary_search_by_key(&entry.frame_number, |(number, _)| *number);
        let open = at.ok().and_then(|at| self.in_flight.get_mut(at)).filter(|(_, answered)| !answered);
        let Some((_, answered)) = open else {
            self.counters.count(Counter::VerdictUnknown);
            return Done::Yes;
        };
        *answered = true;
        while self.in_flight.front().is_some_and(|(_, answered)| *answered) {
            self.in_flight.pop_front();
        }
        self.counters.lower(Counter::InFlight);
        if command == TxCommand::Forward {
            self.counters.count(Counter::VerdictForward);
            self.counters.count(Counter::ReturnedFrames);
            let bytes = self.fetch(entry);
            self.transmit(Transmitted::Forwarded(entry.frame_number, &bytes));
            return Done::Yes;
        }
        self.counters.count(Counter::VerdictDrop);
        self.withhold(entry.frame_number);
        let whole = command == TxCommand::Reset || entry.flags & TxFlags::WHOLE_FLOW.0 != 0;
        if whole && entry.flags & TxFlags::FLOWLESS.0 == 0 {
            match self.flows.named(entry.flow_index, entry.flow_generation, self.now) {
                Some(flow) => flow.verdict.blocked = true,
                None => return self.stale(),
            }
        }
        Done::Yes
    }

    /// Bytes of a TX entry, if anyone is there to take them.
    fn fetch(&mut self, entry: &TxEntry) -> Vec<u8> {
        if self.sink.is_none() || entry.length == 0 {
            return Vec::new();
        }
        let mut bytes = vec![0; entry.length as usize];
        if let Err(fault) = self.bus.read(entry.data, &mut bytes) {
            self.fault(fault);
            bytes.clear();
        }
        bytes
    }

    fn inject(&mut self, entry: &TxEntry, index: u32) -> Done {
        if entry.length == 0 || entry.length > c::FRAME_LENGTH_MAX {
            return self.bad(index);
        }
        let bytes = self.fetch(entry);
        self.counters.count(Counter::InjectedFrames);
        self.transmit(Transmitted::Injected(entry.port, &bytes));
        Done::Yes
    }

    fn flow_command(&mut self, command: TxCommand, entry: &TxEntry) -> Done {
        let slot = entry.flow_index;
        let Some(flow) = self.flows.named(slot, entry.flow_generation, self.now) else { return self.stale() };
        let v = &mut flow.verdict;
        let counter = match command {
            TxCommand::Release if v.release(entry.frame_number) => Counter::ReleaseDone,
            TxCommand::Release => Counter::ReleaseRefused,
            TxCommand::Settle => {
                v.settle(entry.scopes, entry.told_class, entry.flags & TxFlags::KEEP_HISTORY.0 != 0);
                Counter::Settles
            }
            TxCommand::Bypass => {
                v.bypass();
                Counter::Bypasses
            }
            _ => {
                if !self.forget(slot) {
                    return Done::Stalled;
                }
                Counter::Forgets
            }
        };
        self.counters.count(counter);
        Done::Yes
    }

    /// Sticky from now on; the chain comes with a HANDOVER. By key, the entry is made if there is none: what the host
    /// knows of the flow (a fragment, a tunnel) the device does not.
    fn divert_flow(&mut self, entry: &TxEntry, index: u32) -> Done {
        let slot = if entry.flags & TxFlags::BY_KEY.0 != 0 {
            let mut bytes = [0u8; FlowKey::SIZE];
            if entry.length as usize != FlowKey::SIZE {
                return self.bad(index);
            }
            if let Err(fault) = self.bus.read(entry.data, &mut bytes) {
                self.fault(fault);
                return self.bad(index);
            }
            let key = FlowKey::from_bytes(&bytes);
            if key.depth != 0 || !matches!(key.version, 4 | 6) {
                return self.stale();
            }
            let hash = crate::flow::hash(&key, &self.settings.flow_hash);
            if !self.has_descriptor_room(hash) {
                return Done::Stalled;
            }
            match self.flows.find(hash, &key).filter(|slot| !self.flows.is_expired(*slot, self.now)) {
                Some(slot) => {
                    // The host has a packet of the flow.
                    self.flows.set_expiry(slot, self.now.saturating_add(self.settings.timeouts.device(key.protocol)));
                    slot
                }
                None => match self.create_for_host(hash, key) {
                    Some(slot) => slot,
                    None => return self.stale(),
                },
            }
        } else {
            if self.flows.named(entry.flow_index, entry.flow_generation, self.now).is_none() {
                return self.stale();
            }
            entry.flow_index
        };
        let hash = self.flows.get(slot).map_or(0, |flow| flow.hash);
        if !self.has_descriptor_room(hash) {
            return Done::Stalled;
        }
        let number = self.number;
        if let Some(flow) = self.flows.get_mut(slot) {
            if flow.verdict.divert(number) {
                self.counters.count(Counter::DivertNew);
            }
            // The host knows bytes of the flow that the device did not read.
            let p = &mut flow.parse;
            (p.intact, p.state_unsure, p.start_lost) = (false, true, [true; 2]);
        }
        let queue = weir_contract::hash::queue_of(hash, self.queues.len().max(1) as u32) as usize;
        self.hand_over(queue, slot, Guard::HostDivert);
        Done::Yes
    }

    fn has_descriptor_room(&self, hash: u64) -> bool {
        let queue = weir_contract::hash::queue_of(hash, self.queues.len().max(1) as u32) as usize;
        self.queues.get(queue).is_some_and(|q| q.descriptors.free() > 0)
    }

    fn create_for_host(&mut self, hash: u64, key: FlowKey) -> Option<u32> {
        if let Some(slot) = self.flows.find(hash, &key) {
            self.end_flow(slot, weir_contract::enums::FlowRecordKind::Aged);
        }
        let slot = self.free_slot(hash)?;
        let parse =
            ParseState { intact: false, state_unsure: true, start_lost: [true; 2], ..self.blank() };
        self.create(slot, hash, key, parse);
        let expiry = self.now.saturating_add(self.settings.timeouts.device(key.protocol));
        self.flows.set_expiry(slot, expiry);
        Some(slot)
    }
}
