//! History of flows that had ended before the frame that brings it: it is not read.
//!
//! Place: before a diverted frame's chain is read. Invariant: "ended" is said only where the full engine, too, begins a flow with
//! the frame at hand (decision 0036): nothing of the frames before it was flagged, so nothing in them matches, and what else they
//! left ended with their flow.

use super::DeviceRuntime;
use weir_contract::constants as c;
use weir_contract::guards::Guard;
use weir_contract::layouts::Descriptor;
use weir_device::{DeviceError, HistoryFrame, PciFunction};
use weir_flow::FlowPhase;

impl<P: PciFunction> DeviceRuntime<P> {
    /// Every flow that the frames of the descriptor's chain are of had ended when its frame came.
    pub(super) fn chain_has_ended(&mut self, queue: usize, descriptor: &Descriptor) -> Result<bool, DeviceError> {
        let paused = descriptor.guards & Guard::FlowStale.bit() != 0;
        if !paused || descriptor.chain_count == 0 || descriptor.position == c::POSITION_NONE {
            return Ok(false);
        }
        let mut frame = std::mem::take(&mut self.frame);
        let ended = self.ended_before(queue, descriptor, &mut frame);
        self.frame = frame;
        match ended {
            // Whoever reads the chain counts it.
            Err(DeviceError::HistoryGone { .. }) => Ok(false),
            other => other,
        }
    }

    fn ended_before(
        &mut self,
        queue: usize,
        descriptor: &Descriptor,
        frame: &mut HistoryFrame,
    ) -> Result<bool, DeviceError> {
        self.driver.read_frame(queue, descriptor.position, frame)?;
        let Some(key) = self.engine.device_key_of_frame(&super::frame_of(frame)) else { return Ok(false) };
        let outline = self.driver.outline(queue, descriptor.chain_head, descriptor.chain_count)?;
        let entry = (descriptor.flow_index, descriptor.flow_generation);
        // One direction alone establishes no flow of datagrams; what a flow that the host has may have seen beside counts as both.
        // Of streams the phase is not known here, nor where the device's key is coarser than the host's.
        let new = key.protocol != weir_packet::protocols::TCP
            && (self.vlan_key || key.vlan == [0; 2])
            && outline.directions.count_ones() == 1
            && self.engine.find(&key).is_none()
            && self.entries.get(&entry.0).is_none_or(|held| held.generation != entry.1 || held.flows.is_empty());
        let timeouts = self.engine.timeouts();
        let of = |phase| timeouts.of(key.protocol, phase);
        let longest = match new {
            true => of(FlowPhase::New),
            false => of(FlowPhase::New).max(of(FlowPhase::Established)).max(of(FlowPhase::Closed)),
        };
        let ended = frame.time.saturating_sub(outline.newest) > longest;
        if ended {
            self.counters.ended.frames += u64::from(descriptor.chain_count);
            self.counters.ended.bytes += outline.bytes;
        }
        Ok(ended)
    }
}
