//! A PCI function that fails on purpose: for tests of driver and engine.
//!
//! Decorates any back end. Faults are counted in accesses, so a test is the same every time.

use crate::dma::DmaMemory;
use crate::error::DeviceError;
use crate::iommu::Permission;
use crate::pci::PciFunction;
use std::time::Duration;

/// What goes wrong, and from which access on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// From the n-th register or configuration access on the function is gone: reads give all ones, writes go nowhere
    /// (what surprise removal looks like on PCI Express).
    Removed(u64),
    /// The n-th register write is lost.
    LostWrite(u64),
    /// The n-th register read gives this value.
    Garbage(u64, u32),
    /// The n-th and every later mapping fails.
    NoMapping(u64),
    /// Interrupts never arrive.
    NoInterrupts,
}

/// A function with faults.
#[derive(Debug)]
pub struct Faulty<P> {
    inner: P,
    faults: Vec<Fault>,
    reads: u64,
    writes: u64,
    mappings: u64,
}

impl<P: PciFunction> Faulty<P> {
    /// Decorate `inner`; accesses are counted from 1.
    pub fn new(inner: P, faults: Vec<Fault>) -> Self {
        Faulty { inner, faults, reads: 0, writes: 0, mappings: 0 }
    }

    /// The function inside.
    pub fn inner(&mut self) -> &mut P {
        &mut self.inner
    }

    /// Register and configuration accesses so far.
    pub fn accesses(&self) -> u64 {
        self.reads + self.writes
    }

    fn removed(&self) -> bool {
        let now = self.accesses();
        self.faults.iter().any(|f| matches!(f, Fault::Removed(n) if now >= *n))
    }

    fn write(&mut self) -> bool {
        self.writes += 1;
        let n = self.writes;
        !self.removed() && !self.faults.contains(&Fault::LostWrite(n))
    }

    fn read(&mut self) -> Option<u32> {
        self.reads += 1;
        if self.removed() {
            return Some(u32::MAX);
        }
        let n = self.reads;
        self.faults.iter().find_map(|f| match f {
            Fault::Garbage(at, value) if *at == n => Some(*value),
            _ => None,
        })
    }
}

impl<P: PciFunction> PciFunction for Faulty<P> {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        match self.read() {
            Some(value) => Ok(value),
            None => self.inner.config_read(offset),
        }
    }

    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        if self.write() { self.inner.config_write(offset, value) } else { Ok(()) }
    }

    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        match self.read() {
            Some(value) => Ok(value),
            None => self.inner.read32(bar, offset),
        }
    }

    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        if self.write() { self.inner.write32(bar, offset, value) } else { Ok(()) }
    }

    fn allocate(&mut self, length: usize) -> std::io::Result<DmaMemory> {
        self.inner.allocate(length)
    }

    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        self.mappings += 1;
        let n = self.mappings;
        if self.faults.iter().any(|f| matches!(f, Fault::NoMapping(at) if n >= *at)) {
            return Err(DeviceError::Mapping("refused by fault injection".into()));
        }
        self.inner.map(memory, permission)
    }

    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        self.inner.unmap(iova)
    }

    fn interrupt(&mut self, vector: u16, timeout: Duration) -> Result<bool, DeviceError> {
        if self.faults.contains(&Fault::NoInterrupts) {
            return Ok(false);
        }
        self.inner.interrupt(vector, timeout)
    }

    fn wait(&mut self, timeout: Duration) -> Result<bool, DeviceError> {
        if self.faults.contains(&Fault::NoInterrupts) {
            return Ok(false);
        }
        self.inner.wait(timeout)
    }

    fn reset(&mut self) -> Result<(), DeviceError> {
        self.inner.reset()
    }
}
