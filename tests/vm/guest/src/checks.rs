//! What only a kernel, an IOMMU and a PCI function can show: interrupts, reset, and DMA that is refused.

use crate::report::Report;
use anyhow::{Context, Result};
use std::fs;
use std::time::{Duration, Instant};
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{Error, TableError, TableState};
use weir_contract::layouts::ImageHeader;
use weir_contract::registers as r;
use weir_device::driver::imbalances;
use weir_device::{DeviceError, DmaMemory, Driver, DriverConfig, PciFunction, Permission, QueueConfig};
use weir_device_vfio::VfioFunction;

const BAR: u8 = c::BAR_REGISTERS;
const COMMAND: u16 = 4;
const SOON: Duration = Duration::from_secs(20);

/// All of them, each on a function opened anew.
pub fn all(address: &str, report: &mut Report) -> Result<()> {
    let open = || VfioFunction::open(address);
    let function = open().context("opening")?;
    let twice = open().err().map(|e| e.to_string()).unwrap_or_default();
    report.check("a function that is open is not opened again", twice.contains("in use"), &twice)?;
    drop(function);
    interrupts(open()?, report).context("interrupts")?;
    reset(open()?, report).context("reset")?;
    unmapped(open()?, report).context("unmapped memory")?;
    read_only(open()?, report).context("read-only memory")
}

/// A table load from `iova`: the state that it ends in, and the error.
fn load(pci: &mut dyn PciFunction, iova: u64) -> Result<(u32, u32)> {
    pci.write64(BAR, r::TABLE_ADDRESS, iova)?;
    pci.write64(BAR, r::TABLE_LENGTH, 4096)?;
    pci.write32(BAR, r::TABLE_LOAD, 1)?;
    Ok((pci.read32(BAR, r::TABLE_STATUS)?, pci.read32(BAR, r::TABLE_ERROR)?))
}

fn refused(error: TableError) -> (u32, u32) {
    (TableState::Failed as u32, error as u32)
}

fn interrupts(function: VfioFunction, report: &mut Report) -> Result<()> {
    let mut driver = Driver::probe(function)?;
    driver.pci().write32(BAR, r::INTERRUPT_MASK, u32::MAX)?;
    let before = driver.pci().interrupt(0, Duration::from_millis(20))?;
    load(driver.pci(), 0)?;
    let told = driver.pci().interrupt(0, SOON)?;
    let again = driver.pci().interrupt(0, Duration::from_millis(20))?;
    report.check("a cause raises vector 0, once", !before && told && !again, &format!("{before} {told} {again}"))?;
    driver.pci().write32(BAR, r::INTERRUPT_MASK, 0)?;
    load(driver.pci(), 0)?;
    let masked = driver.pci().interrupt(0, Duration::from_millis(20))?;
    report.check("a masked cause raises nothing", !masked, "")
}

fn reset(function: VfioFunction, report: &mut Report) -> Result<()> {
    let mut driver = Driver::probe(function)?;
    let pci = driver.pci();
    let memory = pci.allocate(4096)?;
    let iova = pci.map(&memory, Permission::Read)?;
    let before = load(pci, iova)?;
    let fresh = pci.read32(BAR, r::REPORT_INTERVAL)?;
    pci.write32(BAR, r::REPORT_INTERVAL, 7)?;
    let set = pci.read32(BAR, r::REPORT_INTERVAL)?;
    pci.reset()?;
    let after = pci.read32(BAR, r::REPORT_INTERVAL)?;
    report.check("a reset brings registers back", set == 7 && after == fresh, &format!("{fresh} {set} {after}"))?;
    let master = pci.config_read(COMMAND)? & 4 != 0;
    report.check("a reset takes the function off the bus", !master, "")?;
    let off = load(pci, iova)?;
    report.check("nothing is read while bus mastering is off", off == refused(TableError::Dma), &format!("{off:?}"))?;
    let command = pci.config_read(COMMAND)?;
    pci.config_write(COMMAND, command & 0xffff | 6)?;
    let on = load(pci, iova)?;
    // Zeros are no tables, but they were read.
    report.check(
        "mappings outlive a reset",
        before == refused(TableError::Magic) && on == before,
        &format!("{before:?} {on:?}"),
    )
}

fn unmapped(function: VfioFunction, report: &mut Report) -> Result<()> {
    let mut driver = Driver::probe(function)?;
    let pci = driver.pci();
    let memory = pci.allocate(3 * 4096)?;
    let iova = pci.map(&memory, Permission::Read)?;
    let (inside, behind) = (load(pci, iova)?, load(pci, iova + 2 * 4096 + 64)?);
    report.check(
        "a read that runs over the end of a mapping is refused",
        inside == refused(TableError::Magic) && behind == refused(TableError::Dma),
        &format!("{inside:?} {behind:?}"),
    )?;
    // Memory that the process writes to for the first time after it was mapped, and mapped for reading alone.
    let begun = ImageHeader { magic: c::IMAGE_MAGIC, ..ImageHeader::ZERO };
    let _ = memory.write(0, &begun.to_bytes());
    let told = load(pci, iova)?;
    report.check("what is written after the mapping is read", told == refused(TableError::Length), &format!("{told:?}"))?;
    pci.unmap(iova)?;
    let after = load(pci, iova)?;
    report.check("what was taken back is reached no more", after == refused(TableError::Dma), &format!("{after:?}"))
}

/// Maps for reading alone, whatever is asked for.
struct ReadOnly(VfioFunction);

impl PciFunction for ReadOnly {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        self.0.config_read(offset)
    }
    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        self.0.config_write(offset, value)
    }
    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        self.0.read32(bar, offset)
    }
    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        self.0.write32(bar, offset, value)
    }
    fn map(&mut self, memory: &DmaMemory, _: Permission) -> Result<u64, DeviceError> {
        self.0.map(memory, Permission::Read)
    }
    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        self.0.unmap(iova)
    }
    fn interrupt(&mut self, vector: u16, timeout: Duration) -> Result<bool, DeviceError> {
        self.0.interrupt(vector, timeout)
    }
    fn reset(&mut self) -> Result<(), DeviceError> {
        self.0.reset()
    }
}

/// Frames come and their records find rings that may not be written: the device says so, and accounts for each.
fn read_only(function: VfioFunction, report: &mut Report) -> Result<()> {
    let image = fs::read("/job/tables").context("/job/tables")?;
    let mut driver = Driver::probe(ReadOnly(function))?;
    let queue = QueueConfig { history: 1 << 16, margin: 0, descriptors: 64, flow_records: 64, tx: 64 };
    // The source does not wait for a host that is never told of anything.
    driver.set_up(&DriverConfig { queue, source_waits: false, ..DriverConfig::default() })?;
    let epoch = driver.load_tables(&image)?;
    driver.activate(epoch)?;
    // (Frames may come before this returns.)
    let mut told = driver.enable(false);
    let begin = Instant::now();
    while told.is_ok() && begin.elapsed() < SOON {
        std::thread::sleep(Duration::from_millis(10));
        told = driver.check();
    }
    let refused = matches!(told, Err(DeviceError::Reported { code: Error::DmaWrite, detail }) if detail != 0);
    report.check("a write to read-only memory is refused and reported", refused, &format!("{told:?}"))?;
    driver.disable()?;
    let counters = driver.counters()?;
    let faults = counters.iter().find(|(counter, _)| *counter == Counter::DmaFaults).map_or(0, |(_, n)| *n);
    let broken = imbalances(&counters);
    report.check("refused writes are counted, and every frame is", faults > 0 && broken.is_empty(), &format!("{faults} {broken:?}"))
}
