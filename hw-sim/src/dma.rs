//! The device's DMA engine: every access goes through the IOVA table, needs bus mastering, and can be made to fail.

use crate::faults::Faults;
use weir_contract::enums::Error;
use weir_device::{IommuError, IommuTable};

/// An access that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DmaFault {
    /// Bus mastering is off.
    #[error("bus mastering is off (DMA to {0:#x})")]
    BusMaster(u64),
    /// Read refused.
    #[error("DMA read of {0:#x} refused")]
    Read(u64),
    /// Write refused.
    #[error("DMA write to {0:#x} refused")]
    Write(u64),
}

impl DmaFault {
    /// Code and detail for the ERROR registers.
    pub fn code(self) -> (Error, u64) {
        match self {
            DmaFault::BusMaster(iova) => (Error::BusMaster, iova),
            DmaFault::Read(iova) => (Error::DmaRead, iova),
            DmaFault::Write(iova) => (Error::DmaWrite, iova),
        }
    }
}

/// The bus.
#[derive(Debug, Default)]
pub struct Bus {
    /// Mappings.
    pub iommu: IommuTable,
    /// Command register, bit 2.
    pub master: bool,
    /// Injected faults.
    pub faults: Faults,
}

impl Bus {
    /// Read host memory.
    pub fn read(&mut self, iova: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        if !self.master {
            return Err(DmaFault::BusMaster(iova));
        }
        if self.faults.dma_read() {
            return Err(DmaFault::Read(iova));
        }
        self.iommu.read(iova, into).map_err(|e| match e {
            IommuError::NotMapped(at) | IommuError::NotWritable(at) | IommuError::NotReadable(at) => DmaFault::Read(at),
        })
    }

    /// Write host memory.
    #[inline]
    pub fn write(&mut self, iova: u64, from: &[u8]) -> Result<(), DmaFault> {
        if !self.master {
            return Err(DmaFault::BusMaster(iova));
        }
        if self.faults.dma_write() {
            return Err(DmaFault::Write(iova));
        }
        self.iommu.write(iova, from).map_err(|e| match e {
            IommuError::NotMapped(at) | IommuError::NotWritable(at) | IommuError::NotReadable(at) => DmaFault::Write(at),
        })
    }
}
