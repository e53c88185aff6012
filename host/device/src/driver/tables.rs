//! Loading, activating and rolling back tables.

use super::{BAR, Driver};
use crate::error::DeviceError;
use crate::iommu::Permission;
use crate::pci::PciFunction;
use std::time::{Duration, Instant};
use weir_contract::enums::{TableError, TableState};
use weir_contract::registers as r;

/// A gigabyte image at the slowest link is read in seconds.
const LOAD_LIMIT: Duration = Duration::from_secs(60);

impl<P: PciFunction> Driver<P> {
    /// Load an image into the shadow bank. The active tables stay until [`Driver::activate`].
    pub fn load_tables(&mut self, image: &[u8]) -> Result<u32, DeviceError> {
        let memory = self
            .pci
            .allocate(image.len())
            .map_err(|source| DeviceError::Io { what: "memory for the table image".into(), source })?;
        if !memory.write(0, image) {
            return Err(DeviceError::Mapping("table image does not fit its memory".into()));
        }
        let iova = self.pci.map(&memory, Permission::Read)?;
        let result = self.load_mapped(iova, image.len() as u64);
        self.pci.unmap(iova)?;
        result
    }

    fn load_mapped(&mut self, iova: u64, length: u64) -> Result<u32, DeviceError> {
        self.pci.write64(BAR, r::TABLE_ADDRESS, iova)?;
        self.pci.write64(BAR, r::TABLE_LENGTH, length)?;
        let before = self.pci.read32(BAR, r::EPOCH_SHADOW)?;
        self.pci.write32(BAR, r::TABLE_LOAD, 1)?;
        let start = Instant::now();
        while start.elapsed() < LOAD_LIMIT {
            let status = self.pci.read32(BAR, r::TABLE_STATUS)?;
            match TableState::from_raw(status) {
                Some(TableState::Loading) => std::thread::yield_now(),
                Some(TableState::Ready) => {
                    let epoch = self.pci.read32(BAR, r::EPOCH_SHADOW)?;
                    // The state of an earlier load is not the answer to this one.
                    if epoch == 0 || epoch == before {
                        return Err(DeviceError::Register { what: "EPOCH_SHADOW", value: epoch.into() });
                    }
                    return Ok(epoch);
                }
                Some(TableState::Failed) => {
                    let error = TableError::from_raw(self.pci.read32(BAR, r::TABLE_ERROR)?).unwrap_or(TableError::None);
                    let block = self.pci.read32(BAR, r::TABLE_ERROR_BLOCK)?;
                    let offset = self.pci.read64(BAR, r::TABLE_ERROR_OFFSET)?;
                    return Err(DeviceError::Table { error, block, offset });
                }
                None if status == u32::MAX => return Err(DeviceError::Removed),
                None | Some(TableState::Idle) => {
                    return Err(DeviceError::Register { what: "TABLE_STATUS", value: status.into() });
                }
            }
        }
        Err(DeviceError::Timeout { what: "table load" })
    }

    /// Make an epoch the active one (a loaded shadow bank, or the previous one for rollback).
    pub fn activate(&mut self, epoch: u32) -> Result<(), DeviceError> {
        self.pci.write32(BAR, r::EPOCH, epoch)?;
        self.check()?;
        if self.pci.read32(BAR, r::EPOCH)? == epoch {
            Ok(())
        } else {
            Err(DeviceError::Setting {
                what: "epoch",
                value: epoch.into(),
                why: "the device holds no tables of this epoch; load them first".into(),
            })
        }
    }

    /// Return to the tables before the last activation; gives their epoch.
    pub fn rollback(&mut self) -> Result<u32, DeviceError> {
        let previous = self.pci.read32(BAR, r::EPOCH_PREVIOUS)?;
        self.activate(previous)?;
        Ok(previous)
    }

    /// Active epoch.
    pub fn epoch(&mut self) -> Result<u32, DeviceError> {
        self.pci.read32(BAR, r::EPOCH)
    }
}
