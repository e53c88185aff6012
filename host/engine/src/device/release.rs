//! Releases: flows go back to the device as soon as nothing holds them.
//!
//! Place: behind the inspection of a diverted frame; what holds a flow is said in [`crate::hold`].

use super::DeviceRuntime;
use crate::hold::{Answer, Held, Hold};
use crate::messages::Look;
use weir_contract::enums::{FrameFlags, Scopes, TxCommand};
use weir_contract::facts;
use weir_contract::guards::Guard;
use weir_contract::layouts::Descriptor;
use weir_contract::protocol::CLASS_UNKNOWN;
use weir_device::{DeviceError, PciFunction};
use weir_flow::FlowId;

impl<P: PciFunction> DeviceRuntime<P> {
    /// Release the flow where nothing speaks against it.
    pub(super) fn answer(&mut self, queue: usize, id: FlowId, descriptor: &Descriptor) -> Result<(), DeviceError> {
        let (raw_window, epoch) = (self.raw_window, self.engine.epoch());
        // Trouble of the stream's order is in no scope either, but for encrypted flows; a gap only before the protocol is decided.
        let gap = if descriptor.class == CLASS_UNKNOWN { Guard::SequenceGap.bit() } else { 0 };
        let unscoped = if descriptor.guards & (Guard::REST_ONCE_ENCRYPTED | gap) != 0 { Scopes::ALWAYS.0 } else { 0 };
        let descriptor = &Descriptor { scopes: descriptor.scopes | unscoped, ..*descriptor };
        let Some((flow, inspector)) = self.engine.flow_and_inspector(id) else { return Ok(()) };
        let link = &mut flow.data.device;
        link.diverted = true;
        if descriptor.scopes != 0 {
            // (Facts of payloads do not matter here.)
            let order = descriptor.guards & !(facts::ALL | Guard::SequenceOverlap.bit());
            let repeated = order == Guard::SequenceRetransmission.bit();
            link.trouble(descriptor.scopes, repeated);
        }
        // Trouble of the stream's order is read alike on both sides, and limits of the filter keep it from no last bytes; what
        // else is wrong with a frame may not be. A state that is unsure for the order's sake alone (a direction whose first
        // bytes were lost) says nothing more: a SYN is never in trouble for its order.
        const ORDER: u64 =
            Guard::SequenceGap.bit() | Guard::SequenceOverlap.bit() | Guard::SequenceRetransmission.bit();
        const LIMITS: u64 = Guard::CandidateLimit.bit() | Guard::ListLimit.bit();
        let of_order = if descriptor.guards & ORDER != 0 { ORDER | Guard::StreamState.bit() } else { 0 };
        let alike = facts::ALL | LIMITS | of_order;
        if descriptor.scopes & Scopes::ALWAYS.0 != 0 && descriptor.guards & !alike != 0 {
            flow.data.forget_tails();
        }
        // A flow that lost frames cannot be given back: the host's state is not the full engine's.
        if descriptor.flags & FrameFlags::HOLE.0 != 0 {
            return Ok(());
        }
        let key = &flow.key;
        let ports = if flow.initiator_is_a { [key.port_a, key.port_b] } else { [key.port_b, key.port_a] };
        let bytes = flow.bytes[0].saturating_add(flow.bytes[1]);
        let (streams, messages) = (&self.evidence, &self.messages);
        let entry = (descriptor.flow_index, descriptor.flow_generation);
        let Some(held) = self.entries.get_mut(&entry.0).filter(|held| held.generation == entry.1) else { return Ok(()) };
        if held.epoch != epoch {
            (held.epoch, held.look) = (epoch, Look::default());
        }
        let answer = flow.data.answer(Held { raw_window, streams, messages, ports, bytes, look: &mut held.look, inspector });
        let hold = match answer {
            Answer::Keep(hold) => hold,
            _ if self.is_gated(entry) => Hold::Decided,
            _ => Hold::Released,
        };
        if let Some(held) = self.entries.get_mut(&entry.0) {
            held.hold = hold;
        }
        if hold != Hold::Released {
            return Ok(());
        }
        let mut class = 0;
        if let Some(flow) = self.engine.flow_mut(id) {
            flow.data.device.diverted = false;
            // Of what it has decided itself the device is sure.
            class = if descriptor.class == CLASS_UNKNOWN { flow.data.class() } else { 0 };
        }
        let scopes = if let Answer::Mask(scopes) = answer { scopes } else { u8::MAX };
        self.tell(queue, entry, scopes, class)?;
        self.driver.flow_command(queue, TxCommand::Release, entry, descriptor.frame_number, 0)
    }

    /// A flow of the entry has a flowbit set that rules without conditions wait for, or its packets are told behind an
    /// alert.
    fn is_gated(&self, entry: (u32, u32)) -> bool {
        let held = self.entries.get(&entry.0).filter(|held| held.generation == entry.1);
        held.is_some_and(|held| held.flows.iter().any(|id| self.engine.wants_all_of(*id, &self.gates)))
    }

    /// The scopes that can still match in the flow of an entry, and its protocol class. An entry may hold several host
    /// flows, one after the other (a new connection on old ports; it begins with a frame that always diverts) or at once
    /// (ICMP): the answer for the newest is widened whenever it is not the same.
    fn tell(&mut self, queue: usize, entry: (u32, u32), scopes: u8, class: u8) -> Result<(), DeviceError> {
        let Some(held) = self.entries.get_mut(&entry.0).filter(|held| held.generation == entry.1) else { return Ok(()) };
        held.flows.retain(|id| self.engine.flow_mut(*id).is_some());
        let (scopes, class) = if held.flows.len() > 1 { (u8::MAX, 0) } else { (scopes, class) };
        let before = (held.scopes, held.class);
        (held.scopes, held.class) = (scopes, class);
        if before == (scopes, class) {
            return Ok(());
        }
        self.driver.settle(queue, entry, scopes, class)
    }
}
