//! What whoever serves the model to another process needs of it, besides the PCI function.

use super::{Core, Simulator};
use weir_contract::constants as c;
use weir_contract::enums::InterruptCause;
use weir_contract::registers as r;
use weir_device::IommuTable;

impl Simulator {
    /// The driver has enabled the device: frames are taken notice of.
    pub fn is_enabled(&self) -> bool {
        self.0.borrow().is_enabled()
    }

    /// The driver says that the source may be made to wait (SOURCE_WAITS).
    pub fn source_waits(&self) -> bool {
        self.0.borrow().registers.get(r::SOURCE_WAITS) != 0
    }

    /// Resets so far, of any kind.
    pub fn resets(&self) -> u64 {
        self.0.borrow().resets
    }

    /// Signs of life of the host so far.
    pub fn heartbeats(&self) -> u64 {
        self.0.borrow().beats
    }

    /// MSI-X vectors.
    pub fn vectors(&self) -> u16 {
        self.0.borrow().vectors()
    }

    /// The source is over at this frame time: STATUS says so until the next reset.
    pub fn end_source(&self, time: u64) {
        let mut core = self.0.borrow_mut();
        core.pipeline.now = core.pipeline.now.max(time);
        core.ended = true;
        core.cause(InterruptCause::SOURCE);
    }

    /// What the device may reach.
    pub fn with_dma<T>(&self, change: impl FnOnce(&mut IommuTable) -> T) -> T {
        change(&mut self.0.borrow_mut().pipeline.bus.iommu)
    }
}

impl Core {
    pub(super) fn vectors(&self) -> u16 {
        self.config.queues as u16 + c::MSIX_VECTOR_QUEUE0
    }
}
