//! The function: registers, mappings, vectors. The one unsafe call of this crate is the DMA mapping.


use crate::sysfs;
use pci_driver::backends::vfio::VfioPciDevice;
use pci_driver::device::PciDevice;
use pci_driver::regions::{MappedOwningPciRegion, OwningPciRegion, PciRegion, Permissions};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;
use weir_contract::constants::{BAR_REGISTERS, BAR_REGISTERS_SIZE, PCI_DEVICE, PCI_VENDOR, QUEUES_MAX};
use weir_device::{DeviceError, DmaMemory, IovaSpace, PciFunction, Permission};

/// Offset of the command register (PCI 3.0 section 6.2.2).
const COMMAND: u64 = 0x04;
/// Memory space enable.
const COMMAND_MEMORY: u16 = 1 << 1;
/// Bus master enable.
const COMMAND_MASTER: u16 = 1 << 2;

/// The register BAR: mapped if the device allows it, else through the file.
enum Registers {
    Mapped(MappedOwningPciRegion),
    File(OwningPciRegion),
}

impl Registers {
    fn region(&self) -> &dyn PciRegion {
        match self {
            Registers::Mapped(region) => region,
            Registers::File(region) => region,
        }
    }
}

/// A PCI function behind VFIO.
pub struct VfioFunction {
    // Fields drop in this order: registers and device before the memory that the device may reach.
    registers: Registers,
    device: VfioPciDevice,
    space: IovaSpace,
    mappings: BTreeMap<u64, DmaMemory>,
    vectors: Vec<OwnedFd>,
    address: String,
}

impl std::fmt::Debug for VfioFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VfioFunction({}, {} mappings)", self.address, self.mappings.len())
    }
}

impl VfioFunction {
    /// Open the function at an address such as `0000:03:00.0`.
    ///
    /// Errors name what is missing and the remedy: no such function, other ids, no IOMMU group, another driver, no
    /// access to the group.
    pub fn open(address: &str) -> Result<VfioFunction, DeviceError> {
        Self::open_in(Path::new(sysfs::DEVICES), Path::new("/dev/vfio"), address)
    }

    fn open_in(devices: &Path, vfio: &Path, address: &str) -> Result<VfioFunction, DeviceError> {
        let Some(path) = sysfs::path_of(devices, address) else {
            return Err(DeviceError::Backend(format!(
                "`{address}` is not a PCI address; write it as 0000:03:00.0, as `weir device list` shows it"
            )));
        };
        let Some((vendor, id)) = sysfs::ids(&path) else {
            return Err(DeviceError::Backend(format!(
                "there is no PCI function {address} on this machine; `weir device list` shows those there are"
            )));
        };
        if (vendor, id) != (PCI_VENDOR, PCI_DEVICE) {
            return Err(DeviceError::NotWeir { vendor, device: id });
        }
        let candidate = sysfs::candidate(&path, vfio)
            .ok_or_else(|| DeviceError::Backend(format!("{}: unreadable", path.display())))?;
        if let Some(obstacle) = candidate.obstacle {
            return Err(DeviceError::Backend(format!("PCI function {}: {obstacle}", candidate.address)));
        }
        let address = candidate.address;
        let device = VfioPciDevice::open(&path).map_err(|source| DeviceError::Io {
            what: format!("opening {address} through VFIO (every function of its IOMMU group must be bound to vfio-pci or to no driver)"),
            source,
        })?;
        let bar = device
            .bar(usize::from(BAR_REGISTERS))
            .filter(|bar| bar.len() >= BAR_REGISTERS_SIZE)
            .ok_or_else(|| DeviceError::Backend(format!("{address} has no BAR {BAR_REGISTERS} of {BAR_REGISTERS_SIZE} bytes; the device is not ready or not of this contract")))?;
        let registers = match bar.map(.., Permissions::ReadWrite) {
            Ok(mapped) if bar.is_mappable() => Registers::Mapped(mapped),
            _ => Registers::File(bar),
        };
        let mut function = VfioFunction {
            registers,
            device,
            space: IovaSpace::default(),
            mappings: BTreeMap::new(),
            vectors: Vec::new(),
            address,
        };
        function.command(COMMAND_MEMORY, COMMAND_MASTER)?;
        function.enable_vectors()?;
        Ok(function)
    }

    /// Address.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Set and clear bits of the command register.
    fn command(&mut self, set: u16, clear: u16) -> Result<(), DeviceError> {
        let config = self.device.config();
        let old = config.read_le_u16(COMMAND).map_err(self.io("reading configuration space"))?;
        let new = (old | set) & !clear;
        config.write_le_u16(COMMAND, new).map_err(self.io("writing configuration space"))
    }

    fn enable_vectors(&mut self) -> Result<(), DeviceError> {
        let count = self.device.interrupts().msi_x().max().min(QUEUES_MAX + 1);
        for _ in 0..count {
            let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
                .map_err(|e| self.io("creating an eventfd")(e.into()))?;
            self.vectors.push(fd);
        }
        if self.vectors.is_empty() {
            return Ok(());
        }
        let raw: Vec<RawFd> = self.vectors.iter().map(AsRawFd::as_raw_fd).collect();
        self.device.interrupts().msi_x().enable(&raw).map_err(self.io("enabling MSI-X"))
    }

    fn io(&self, what: &'static str) -> impl Fn(io::Error) -> DeviceError + use<> {
        let address = self.address.clone();
        move |source| DeviceError::Io { what: format!("{address}: {what}"), source }
    }

    /// One of these vectors has been raised; waits for at most `timeout`.
    fn listen(&self, vectors: &[OwnedFd], timeout: Duration) -> Result<bool, DeviceError> {
        let limit = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut polled: Vec<PollFd<'_>> = vectors.iter().map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut polled, Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(false),
            Ok(_) => {}
            Err(e) => return Err(self.io("waiting for an interrupt")(e.into())),
        }
        let mut raised = false;
        for (fd, polled) in vectors.iter().zip(&polled) {
            if polled.revents().is_empty() {
                continue;
            }
            match rustix::io::read(fd, &mut [0u8; 8]) {
                Ok(_) => raised = true,
                Err(rustix::io::Errno::AGAIN) => {}
                Err(e) => return Err(self.io("reading an interrupt")(e.into())),
            }
        }
        Ok(raised)
    }

    fn check(&self, bar: u8, offset: u32) -> Result<u64, DeviceError> {
        if bar != BAR_REGISTERS || !offset.is_multiple_of(4) || u64::from(offset) + 4 > BAR_REGISTERS_SIZE {
            return Err(DeviceError::Backend(format!("{}: no register at BAR {bar} offset {offset:#x}", self.address)));
        }
        Ok(u64::from(offset))
    }
}

#[allow(unsafe_code)]
fn map(device: &VfioPciDevice, iova: u64, memory: &DmaMemory, permissions: Permissions) -> io::Result<()> {
    // SAFETY: `address` is the start of a mapping of `len` bytes, both multiples of the page size (DmaMemory), which
    // lives as long as the clone that the caller keeps until it has unmapped the IOVA. The memory is only ever accessed
    // by bounds-checked raw copies and atomics, so the device may change it at any time. The IOVA is free (IovaSpace).
    unsafe { device.iommu().map(iova, memory.len(), memory.address(), permissions) }
}

impl PciFunction for VfioFunction {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        self.device.config().read_le_u32(offset.into()).map_err(self.io("reading configuration space"))
    }

    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        self.device.config().write_le_u32(offset.into(), value).map_err(self.io("writing configuration space"))
    }

    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        let offset = self.check(bar, offset)?;
        self.registers.region().read_le_u32(offset).map_err(self.io("reading a register"))
    }

    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        let offset = self.check(bar, offset)?;
        self.registers.region().write_le_u32(offset, value).map_err(self.io("writing a register"))
    }

    fn allocate(&mut self, length: usize) -> io::Result<DmaMemory> {
        DmaMemory::huge(length)
    }

    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        let iommu = self.device.iommu();
        let (ranges, alignment) = (iommu.valid_iova_ranges().to_vec(), iommu.alignment() as u64);
        let Some(iova) = self.space.take(&ranges, memory.len() as u64, alignment) else {
            return Err(DeviceError::Mapping(format!(
                "{} bytes do not fit the addresses the IOMMU allows; make the rings smaller",
                memory.len()
            )));
        };
        let permissions = match permission {
            Permission::Read => Permissions::Read,
            Permission::Write => Permissions::ReadWrite,
        };
        memory.touch();
        if let Err(e) = map(&self.device, iova, memory, permissions) {
            self.space.give(iova);
            return Err(DeviceError::Mapping(format!(
                "{} bytes: {e}; raise the locked-memory limit (ulimit -l) to the size of all rings, or make them smaller",
                memory.len()
            )));
        }
        self.mappings.insert(iova, memory.clone());
        Ok(iova)
    }

    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        let Some(memory) = self.mappings.get(&iova) else {
            return Err(DeviceError::Mapping(format!("nothing is mapped at IOVA {iova:#x}")));
        };
        // Only after the kernel has taken it back may the memory go.
        self.device
            .iommu()
            .unmap(iova, memory.len())
            .map_err(|e| DeviceError::Mapping(format!("unmapping IOVA {iova:#x}: {e}")))?;
        self.mappings.remove(&iova);
        self.space.give(iova);
        Ok(())
    }

    fn interrupt(&mut self, vector: u16, timeout: Duration) -> Result<bool, DeviceError> {
        let Some(fd) = self.vectors.get(usize::from(vector)) else {
            return Err(DeviceError::Backend(format!(
                "{} has {} MSI-X vectors, no vector {vector}",
                self.address,
                self.vectors.len()
            )));
        };
        self.listen(std::slice::from_ref(fd), timeout)
    }

    fn wait(&mut self, timeout: Duration) -> Result<bool, DeviceError> {
        self.listen(&self.vectors, timeout)
    }

    fn reset(&mut self) -> Result<(), DeviceError> {
        self.device.reset().map_err(self.io("resetting the function"))?;
        self.command(COMMAND_MEMORY, COMMAND_MASTER)
    }
}

impl Drop for VfioFunction {
    fn drop(&mut self) {
        // Best effort: the kernel resets the function and ends its mappings when the files close, before the memory
        // (a later field) goes.
        let _ = self.command(0, COMMAND_MASTER);
        let _ = self.device.interrupts().msi_x().disable();
        let iovas: Vec<u64> = self.mappings.keys().copied().collect();
        for iova in iovas {
            let _ = self.unmap(iova);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absence_is_an_error_with_a_remedy() {
        let error = VfioFunction::open("ffff:ff:1f.7").unwrap_err().to_string();
        assert!(error.contains("weir device list"), "{error}");
        let error = VfioFunction::open("../../etc").unwrap_err().to_string();
        assert!(error.contains("not a PCI address"), "{error}");
    }
}
