//! Second access to the flow entry, in frame order: sticky bit, last trouble, history, descriptor.

use super::judge::Judged;
use super::lookup::Staged;
use super::{Pipeline, Taken};
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{BypassReason, DescriptorKind, DropReason, FrameFlags};
use weir_contract::guards::Guard;
use weir_contract::layouts::{Descriptor, HistoryHeader};

/// Why a diverted frame did not reach the host.
enum Lost {
    /// No descriptor free.
    Full,
    /// DMA fault.
    Dma,
}

impl Pipeline {
    pub(super) fn verdict(&mut self, taken: &Taken<'_>, staged: &Staged, judged: &Judged, epoch: u32) {
        let trouble = judged.first.is_some();
        let mut divert = trouble;
        let mut recorded = false;
        let mut flags = 0;
        let mut raise = |condition: bool, flag: FrameFlags| flags |= if condition { flag.0 } else { 0 };
        raise(staged.direction == 1, FrameFlags::TO_CLIENT);
        raise(taken.frame.wire_length as usize > taken.data.len(), FrameFlags::TRUNCATED);
        let mut header = HistoryHeader {
            frame_number: taken.frame.number,
            time: self.now,
            previous: c::POSITION_NONE,
            flow_index: c::FLOW_NONE,
            wire_length: taken.frame.wire_length,
            epoch,
            link: taken.frame.link,
            port: self.port,
            ..HistoryHeader::ZERO
        };
        let mut class = 0;
        let mut newly = false;
        match staged.slot.and_then(|slot| self.flows.get_mut(slot).map(|entry| (slot, entry))) {
            Some((slot, entry)) => {
                let (p, v) = (&entry.parse, &mut entry.verdict);
                let admitted = v.admit(taken.frame.number, trouble, taken.place.is_some());
                (divert, recorded, newly) = (admitted.divert, admitted.recorded, admitted.newly);
                raise(admitted.sticky, FrameFlags::STICKY);
                raise(p.intact, FrameFlags::DIRECTION_SURE);
                raise(p.midstream, FrameFlags::MIDSTREAM);
                raise(v.hole, FrameFlags::HOLE);
                header.flow_index = slot;
                header.previous = v.previous;
                class = p.class();
            }
            None => raise(true, FrameFlags::FLOWLESS),
        }
        raise(taken.place.is_none(), FrameFlags::NO_RECORD);
        header.flags = flags;
        if let Some(slot) = staged.slot {
            header.flow_generation = self.flows.generation(slot);
        }
        if newly {
            self.counters.count(Counter::DivertNew);
        }
        let position = if recorded || divert { self.record(taken, staged, header, divert) } else { Ok(None) };
        let result = position.and_then(|position| {
            if !divert {
                return Ok(());
            }
            let descriptor = Descriptor {
                kind: DescriptorKind::Frame as u8,
                flags,
                class,
                scopes: judged.scopes,
                frame_number: taken.frame.number,
                position: position.unwrap_or(c::POSITION_NONE),
                flow_index: header.flow_index,
                flow_generation: header.flow_generation,
                chain_head: c::POSITION_NONE,
                guards: judged.guards,
                next_sequence: staged.next_sequence,
                first_record: judged.first.unwrap_or(c::RECORD_NONE),
                epoch,
                ..Descriptor::ZERO
            };
            self.divert(taken, staged, descriptor)
        });
        match result {
            Ok(()) if divert => {
                if !trouble {
                    self.counters.count(Counter::FramesSticky);
                }
            }
            Ok(()) => self.pass(taken.data),
            Err(Lost::Full) => self.fail(staged, DropReason::RingFull, BypassReason::RingFull, taken.data),
            Err(Lost::Dma) => self.fail(staged, DropReason::Dma, BypassReason::Dma, taken.data),
        }
    }

    /// Write the frame to history; gives its position, none if there is no room. A frame that goes to the host now does
    /// not join the chain.
    fn record(
        &mut self,
        taken: &Taken<'_>,
        staged: &Staged,
        header: HistoryHeader,
        divert: bool,
    ) -> Result<Option<u64>, Lost> {
        let (Some(place), Some(queue)) = (taken.place, self.queues.get_mut(taken.queue)) else {
            self.counters.count(Counter::HistoryLost);
            return Ok(None);
        };
        if let Err(fault) = queue.write_record(&mut self.bus, place, header, taken.data) {
            self.fault(fault);
            self.counters.count(Counter::HistoryLost);
            return Err(Lost::Dma);
        }
        self.counters.count(Counter::HistoryFrames);
        self.counters.add(Counter::HistoryBytes, crate::queue::record_size(taken.data.len()));
        if let Some(entry) = staged.slot.and_then(|slot| self.flows.get_mut(slot)) {
            // A diverted frame's record is the newest one, but the chain before it is what the descriptor names.
            if !divert {
                entry.verdict.link(place.start);
            }
        }
        Ok(Some(place.start))
    }

    fn divert(&mut self, taken: &Taken<'_>, staged: &Staged, mut descriptor: Descriptor) -> Result<(), Lost> {
        let Some(queue) = self.queues.get_mut(taken.queue) else { return Err(Lost::Full) };
        if queue.descriptors.free() == 0 {
            return Err(Lost::Full);
        }
        let mut oldest = descriptor.position;
        let chain = staged.slot.and_then(|slot| self.flows.get(slot)).map(|entry| entry.verdict.chain());
        if let Some(chain) = chain {
            descriptor.chain_head = chain.head;
            descriptor.chain_count = chain.count;
            oldest = oldest.min(chain.oldest);
        }
        if let Err(fault) = queue.write_descriptor(&mut self.bus, descriptor, oldest) {
            self.fault(fault);
            return Err(Lost::Dma);
        }
        if let Some(entry) = staged.slot.and_then(|slot| self.flows.get_mut(slot)) {
            entry.verdict.give(Some(descriptor.position).filter(|position| *position != c::POSITION_NONE));
        }
        self.counters.add(Counter::ChainFrames, u64::from(descriptor.chain_count));
        self.counters.count(Counter::Descriptors);
        self.counters.count(Counter::DescriptorsFrame);
        self.counters.count(Counter::DivertedFrames);
        self.counters.add(Counter::DivertedBytes, taken.data.len() as u64);
        self.counters.count(Counter::InFlight);
        self.in_flight.push_back((taken.frame.number, false));
        Ok(())
    }

    /// Give a flow's chain to the host without a frame. There must be a descriptor free; `false` after a DMA fault,
    /// which leaves a hole.
    pub(super) fn hand_over(&mut self, queue: usize, slot: u32, reason: Guard) -> bool {
        let generation = self.flows.generation(slot);
        let epoch = self.bank.as_ref().map_or(0, |bank| bank.0);
        let (Some(entry), Some(q)) = (self.flows.get_mut(slot), self.queues.get_mut(queue)) else { return false };
        let chain = entry.verdict.take_chain();
        if self.bus.faults.heard(reason.bit()) == 0 {
            return true;
        }
        let mut flags = 0;
        for (set, flag) in [
            (entry.parse.intact, FrameFlags::DIRECTION_SURE),
            (entry.parse.midstream, FrameFlags::MIDSTREAM),
            (entry.verdict.hole, FrameFlags::HOLE),
            (entry.verdict.sticky, FrameFlags::STICKY),
        ] {
            flags |= if set { flag.0 } else { 0 };
        }
        let descriptor = Descriptor {
            kind: DescriptorKind::Handover as u8,
            flags,
            class: entry.parse.class(),
            frame_number: self.cause,
            position: c::POSITION_NONE,
            flow_index: slot,
            flow_generation: generation,
            chain_head: chain.head,
            chain_count: chain.count,
            guards: reason.bit(),
            first_record: c::RECORD_NONE,
            epoch,
            ..Descriptor::ZERO
        };
        if let Err(fault) = q.write_descriptor(&mut self.bus, descriptor, chain.oldest) {
            entry.verdict.miss(self.number);
            self.fault(fault);
            self.counters.add(Counter::HistoryLost, u64::from(chain.count));
            return false;
        }
        self.counters.add(Counter::ChainFrames, u64::from(chain.count));
        self.counters.count(Counter::Descriptors);
        self.counters.count(Counter::DescriptorsHandover);
        self.counters.guards(reason.bit());
        true
    }
}
