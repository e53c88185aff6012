//! A PCI function as the driver sees it.

use crate::dma::DmaMemory;
use crate::error::DeviceError;
use crate::iommu::Permission;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// One PCI function: configuration space, BARs, DMA mappings, MSI-X vectors.
pub trait PciFunction {
    /// Read 32 bits of configuration space at a multiple of 4.
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError>;
    /// Write 32 bits of configuration space.
    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError>;
    /// Read a 32-bit register of a BAR.
    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError>;
    /// Write a 32-bit register of a BAR.
    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError>;
    /// Read a 64-bit register: low half, then high half.
    fn read64(&mut self, bar: u8, offset: u32) -> Result<u64, DeviceError> {
        let low = self.read32(bar, offset)?;
        let high = self.read32(bar, offset + 4)?;
        Ok(u64::from(low) | u64::from(high) << 32)
    }
    /// Write a 64-bit register: low half, then high half.
    fn write64(&mut self, bar: u8, offset: u32, value: u64) -> Result<(), DeviceError> {
        self.write32(bar, offset, value as u32)?;
        self.write32(bar, offset + 4, (value >> 32) as u32)
    }
    /// Memory of at least `length` bytes that [`PciFunction::map`] can make reachable for this device.
    fn allocate(&mut self, length: usize) -> std::io::Result<DmaMemory> {
        DmaMemory::new(length)
    }
    /// Make `memory` reachable for the device; gives its IOVA.
    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError>;
    /// Take a mapping back. The device can no longer reach the memory when this returns.
    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError>;
    /// A vector has been raised since the last call; waits for at most `timeout`.
    fn interrupt(&mut self, vector: u16, timeout: Duration) -> Result<bool, DeviceError>;
    /// Any vector has been raised since it was last asked about; waits for at most `timeout`. A function that is stepped
    /// by its caller has nothing to wait for.
    fn wait(&mut self, timeout: Duration) -> Result<bool, DeviceError> {
        let _ = timeout;
        Ok(true)
    }
    /// Function-level reset: mappings stay, registers return to their reset values.
    fn reset(&mut self) -> Result<(), DeviceError>;
    /// The function can be given to another process without a reset between.
    fn can_hand_over(&self) -> bool {
        false
    }
    /// Gives the function up: all mappings are taken back, registers stay, and another process goes on with what this gives, and
    /// with mappings from this IOVA on. (A device takes rings at the addresses of those before for the same, and goes on where they
    /// were.) Every later call is an error.
    fn hand_over(&mut self) -> Result<(OwnedFd, u64), DeviceError> {
        Err(DeviceError::Backend("this function cannot be handed over to another process".to_owned()))
    }
}

impl<P: PciFunction + ?Sized> PciFunction for Box<P> {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        (**self).config_read(offset)
    }
    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        (**self).config_write(offset, value)
    }
    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        (**self).read32(bar, offset)
    }
    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        (**self).write32(bar, offset, value)
    }
    fn allocate(&mut self, length: usize) -> std::io::Result<DmaMemory> {
        (**self).allocate(length)
    }
    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        (**self).map(memory, permission)
    }
    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        (**self).unmap(iova)
    }
    fn interrupt(&mut self, vector: u16, timeout: Duration) -> Result<bool, DeviceError> {
        (**self).interrupt(vector, timeout)
    }
    fn wait(&mut self, timeout: Duration) -> Result<bool, DeviceError> {
        (**self).wait(timeout)
    }
    fn reset(&mut self) -> Result<(), DeviceError> {
        (**self).reset()
    }
    fn can_hand_over(&self) -> bool {
        (**self).can_hand_over()
    }
    fn hand_over(&mut self) -> Result<(OwnedFd, u64), DeviceError> {
        (**self).hand_over()
    }
}
