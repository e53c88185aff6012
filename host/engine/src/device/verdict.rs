//! Answers to diverted frames, and what inline decisions do to flows and their ends.

use super::DeviceRuntime;
use weir_contract::constants as c;
use weir_contract::enums::{TxCommand, TxFlags};
use weir_contract::layouts::{Descriptor, TxEntry};
use weir_device::{DeviceError, PciFunction, answer_to};
use weir_flow::{FlowId, FlowKey};
use weir_output::RejectTarget;
use weir_response::{End, answers};

/// How verdicts are carried out where frames are held until then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inline {
    /// Both ends of a rejected frame are told, whichever the rule names.
    pub reject_both: bool,
    /// Frame time for which a flow is dropped; 0: until the device's entry ages.
    pub drop_time: u64,
}

/// A flow that is dropped in the device's table.
#[derive(Debug, Clone)]
pub struct DroppedFlow {
    /// Entry and generation.
    pub entry: (u32, u32),
    /// The host's key of it.
    pub key: FlowKey,
    /// Endpoint a of the key has begun it.
    pub initiator_is_a: bool,
    /// Its ends were told.
    pub rejected: bool,
    /// Number and time of the frame that was dropped first.
    pub frame: (u64, u64),
    queue: usize,
}

impl Inline {
    /// Ends that are told.
    pub fn ends(self, target: RejectTarget) -> &'static [End] {
        match target {
            _ if self.reject_both => &[End::Sender, End::Receiver],
            RejectTarget::Both => &[End::Sender, End::Receiver],
            RejectTarget::ToClient => &[End::Sender],
            RejectTarget::ToServer => &[End::Receiver],
        }
    }
}

impl<P: PciFunction> DeviceRuntime<P> {
    /// From now on verdicts are carried out. The driver must have been set up with room for the frames that are sent.
    pub fn set_inline(&mut self, inline: Inline) {
        self.inline = Some(inline);
        self.engine.set_inline();
    }

    /// Flows that the device drops.
    pub fn dropped(&self) -> impl ExactSizeIterator<Item = &DroppedFlow> {
        self.dropped.values()
    }

    /// A dropped flow is let go: its entry and the host's flow are forgotten, and its next frame is one whose beginning was not
    /// seen. `false`: it is not dropped (any more).
    pub fn undo_drop(&mut self, entry: (u32, u32)) -> Result<bool, DeviceError> {
        let Some(flow) = self.dropped.remove(&entry) else { return Ok(false) };
        self.driver.flow_command(flow.queue, TxCommand::Forget, entry, 0, 0)?;
        self.driver.ring(flow.queue)?;
        Ok(true)
    }

    /// Lets flows go that have been dropped long enough.
    pub fn expire_drops(&mut self, now: u64) -> Result<(), DeviceError> {
        let Some(drop_time) = self.inline.map(|inline| inline.drop_time).filter(|time| *time > 0) else { return Ok(()) };
        while let Some((_, entry)) = self.drops.front().copied().filter(|(since, _)| since.saturating_add(drop_time) <= now) {
            self.drops.pop_front();
            self.undo_drop(entry)?;
        }
        Ok(())
    }

    /// The answer to a diverted frame: on a tap it goes on, inline as the engine has decided.
    pub(super) fn verdict(
        &mut self,
        queue: usize,
        descriptor: &Descriptor,
        id: Option<FlowId>,
        readable: bool,
    ) -> Result<(), DeviceError> {
        let entry = answer_to(descriptor, TxCommand::Forward);
        let Some(inline) = self.inline else { return self.driver.command(queue, &entry) };
        let decision = self.engine.take_decision();
        if readable && !decision.dropped {
            return self.driver.send(queue, &entry, &self.frame.data);
        }
        self.counters.unreadable += u64::from(!readable);
        // The device's entries are coarser than flows of ICMP; what of those is dropped stays diverted instead.
        let flow = id.and_then(|id| self.engine.flow_mut(id));
        let whole = flow.is_some_and(|flow| flow.data.dropped && !matches!(flow.key.protocol, 1 | 58));
        let mut flags = if whole { TxFlags::WHOLE_FLOW.0 } else { 0 };
        flags |= if descriptor.flow_index == c::FLOW_NONE { TxFlags::FLOWLESS.0 } else { 0 };
        let command = if whole && decision.reject.is_some() { TxCommand::Reset } else { TxCommand::Drop };
        self.driver.command(queue, &TxEntry { command: command as u8, flags, ..entry })?;
        if whole && descriptor.flow_index != c::FLOW_NONE {
            self.note_drop(queue, (descriptor.flow_index, descriptor.flow_generation), id, decision.reject.is_some());
        }
        match decision.reject {
            Some(target) if readable => self.reject(queue, inline.ends(target)),
            _ => Ok(()),
        }
    }

    /// The flow of the frame at hand is dropped from now on.
    fn note_drop(&mut self, queue: usize, entry: (u32, u32), id: Option<FlowId>, rejected: bool) {
        let Some(flow) = id.and_then(|id| self.engine.flow_mut(id)) else { return };
        let frame = (self.frame.number, self.frame.time);
        let dropped =
            DroppedFlow { entry, key: flow.key, initiator_is_a: flow.initiator_is_a, rejected, frame, queue };
        if self.dropped.insert(entry, dropped).is_none() && self.inline.is_some_and(|inline| inline.drop_time > 0) {
            self.drops.push_back((frame.1, entry));
        }
    }

    /// The ends of the frame at hand are told. A frame leaves by the port that the other end is not behind.
    fn reject(&mut self, queue: usize, ends: &[End]) -> Result<(), DeviceError> {
        let (driver, counters, ingress) = (&mut self.driver, &mut self.counters, self.frame.port);
        let mut result = Ok(());
        answers(self.frame.link, &self.frame.data, ends, &mut |end, bytes| {
            let port = if end == End::Sender { ingress } else { u8::from(ingress == 0) };
            let entry = TxEntry { command: TxCommand::Inject as u8, port, ..TxEntry::ZERO };
            counters.answers += 1;
            if result.is_ok() {
                result = driver.send(queue, &entry, bytes);
            }
        });
        result
    }
}
