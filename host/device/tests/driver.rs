//! The driver against a small device that does what the test says, lies included.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::crc::crc32c;
use weir_contract::enums::{
    CapabilityType, DescriptorKind, Error, FlowRecordKind, FrameFlags, HistoryKind, Status, TableError, TableState, TxCommand,
};
use weir_contract::layouts::{Capability, Descriptor, FlowKey, FlowRecord, HistoryHeader, QueueStatus, TxEntry};
use weir_contract::registers::{self as r, queue as q};
use weir_device::fault::{Fault, Faulty};
use weir_device::{
    ChainOutline, DeviceError, DmaMemory, Driver, DriverConfig, HistoryFrame, IommuTable, PciFunction, Permission, QueueConfig,
};

const HISTORY: u64 = 1 << 16;
const CAPABILITIES: u32 = 0x7000;

/// Registers are memory; rings are written by the test.
#[derive(Default)]
struct Fake {
    registers: HashMap<u32, u32>,
    iommu: IommuTable,
    written: u64,
    reserved: u64,
    descriptors: u32,
    flow_records: u32,
    command: u32,
}

#[derive(Clone)]
struct Device(Rc<RefCell<Fake>>);

impl Device {
    fn new() -> Device {
        let mut fake = Fake::default();
        let set = &mut fake.registers;
        set.insert(r::MAGIC, c::DEVICE_MAGIC);
        set.insert(r::VERSION, u32::from(c::CONTRACT_MAJOR) << 16 | u32::from(c::CONTRACT_MINOR));
        set.insert(r::CAPABILITY_OFFSET, CAPABILITIES);
        let device = Device(Rc::new(RefCell::new(fake)));
        device.capability(0, CapabilityType::Queues as u16, 0, 4);
        device.capability(1, CapabilityType::FlowTable as u16, 0, 1000);
        device
    }

    fn capability(&self, n: u32, kind: u16, required: u16, value0: u64) {
        let mut fake = self.0.borrow_mut();
        let entry = Capability { kind, version: 1, length: 32, required, value0, ..Capability::ZERO }.to_bytes();
        for (i, word) in entry.chunks_exact(4).enumerate() {
            let value = u32::from_le_bytes(word.try_into().unwrap());
            fake.registers.insert(CAPABILITIES + n * 32 + i as u32 * 4, value);
        }
        let count = fake.registers.get(&r::CAPABILITY_COUNT).copied().unwrap_or(0).max(n + 1);
        fake.registers.insert(r::CAPABILITY_COUNT, count);
    }

    fn set(&self, register: u32, value: u32) {
        self.0.borrow_mut().registers.insert(register, value);
    }

    fn get(&self, register: u32) -> u32 {
        self.0.borrow().registers.get(&register).copied().unwrap_or(0)
    }

    fn get64(&self, register: u32) -> u64 {
        u64::from(self.get(register)) | u64::from(self.get(register + 4)) << 32
    }

    fn dma(&self, iova: u64, bytes: &[u8]) {
        self.0.borrow().iommu.write(iova, bytes).unwrap();
    }

    fn status(&self, offset: usize, value: u64, size: usize) {
        let base = self.get64(q::at(0, q::STATUS_BASE));
        self.dma(base + offset as u64, &value.to_le_bytes()[..size]);
    }

    /// Write a history record as a device does; gives its position.
    fn record(&self, number: u64, flow: u32, previous: u64, frame: &[u8]) -> u64 {
        self.record_with(number, flow, previous, frame, |_| ())
    }

    fn record_with(
        &self,
        number: u64,
        flow: u32,
        previous: u64,
        frame: &[u8],
        spoil: impl Fn(&mut HistoryHeader),
    ) -> u64 {
        let size = (64 + frame.len() as u64).div_ceil(64) * 64;
        let mut position = self.0.borrow().written;
        if position % HISTORY + size > HISTORY {
            position = position.div_ceil(HISTORY) * HISTORY;
        }
        let mut header = HistoryHeader {
            position,
            frame_number: number,
            time: number * 1000,
            previous,
            flow_index: flow,
            captured_length: frame.len() as u32,
            wire_length: frame.len() as u32,
            link: 1,
            kind: HistoryKind::Frame as u8,
            ..HistoryHeader::ZERO
        };
        spoil(&mut header);
        let mut bytes = header.to_bytes();
        let check = crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&check.to_le_bytes());
        let base = self.get64(q::at(0, q::HISTORY_BASE));
        {
            let mut fake = self.0.borrow_mut();
            fake.written = position + size;
            fake.reserved = position + size;
        }
        self.status(QueueStatus::OFFSET_HISTORY_RESERVED, position + size, 8);
        self.dma(base + position % HISTORY, &bytes);
        self.dma(base + position % HISTORY + 64, frame);
        self.status(QueueStatus::OFFSET_HISTORY_WRITTEN, position + size, 8);
        position
    }

    fn descriptor(&self, mut d: Descriptor) {
        let number = self.0.borrow().descriptors;
        d.sequence = d.sequence.wrapping_add(number);
        let slot = u64::from(number % self.get(q::at(0, q::DESCRIPTOR_ENTRIES)));
        self.dma(self.get64(q::at(0, q::DESCRIPTOR_BASE)) + slot * 64, &d.to_bytes());
        self.0.borrow_mut().descriptors = number.wrapping_add(1);
        self.status(QueueStatus::OFFSET_DESCRIPTOR_PRODUCER, u64::from(number) + 1, 4);
    }

    fn flow_record(&self, mut record: FlowRecord) {
        let number = self.0.borrow().flow_records;
        record.sequence = number;
        let slot = u64::from(number % self.get(q::at(0, q::FLOW_RECORD_ENTRIES)));
        self.dma(self.get64(q::at(0, q::FLOW_RECORD_BASE)) + slot * 128, &record.to_bytes());
        self.0.borrow_mut().flow_records = number + 1;
        self.status(QueueStatus::OFFSET_FLOW_RECORD_PRODUCER, u64::from(number) + 1, 4);
    }

    fn tx(&self, slot: u64) -> TxEntry {
        let mut bytes = [0; 64];
        self.0.borrow().iommu.read(self.get64(q::at(0, q::TX_BASE)) + slot * 64, &mut bytes).unwrap();
        TxEntry::from_bytes(&bytes)
    }
}

impl PciFunction for Device {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        Ok(match offset {
            0 => u32::from(c::PCI_VENDOR) | u32::from(c::PCI_DEVICE) << 16,
            _ => self.0.borrow().command,
        })
    }
    fn config_write(&mut self, _offset: u16, value: u32) -> Result<(), DeviceError> {
        self.0.borrow_mut().command = value;
        Ok(())
    }
    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        assert!(bar == 0 && offset.is_multiple_of(4) && u64::from(offset) < c::BAR_REGISTERS_SIZE);
        Ok(self.get(offset))
    }
    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        assert!(bar == 0 && offset.is_multiple_of(4) && u64::from(offset) < c::BAR_REGISTERS_SIZE);
        match offset {
            r::CONTROL => self.set(offset, value & !1),
            r::ERROR => {
                self.set(r::ERROR, 0);
                self.set(r::STATUS, self.get(r::STATUS) & !Status::FAULT.0);
            }
            r::TABLE_LOAD => {
                let (address, length) = (self.get64(r::TABLE_ADDRESS), self.get64(r::TABLE_LENGTH));
                let mut image = vec![0; length as usize];
                let good = self.0.borrow().iommu.read(address, &mut image).is_ok() && image.starts_with(b"WTBL");
                self.set(r::TABLE_STATUS, if good { TableState::Ready } else { TableState::Failed } as u32);
                self.set(r::TABLE_ERROR, if good { TableError::None } else { TableError::Magic } as u32);
                if good {
                    self.set(r::EPOCH_SHADOW, self.get(r::EPOCH).max(self.get(r::EPOCH_PREVIOUS)) + 1);
                }
            }
            r::EPOCH => {
                if value != 0 && [self.get(r::EPOCH_SHADOW), self.get(r::EPOCH_PREVIOUS)].contains(&value) {
                    self.set(r::EPOCH_PREVIOUS, self.get(r::EPOCH));
                    self.set(r::EPOCH, value);
                } else {
                    self.set(r::STATUS, Status::FAULT.0);
                    self.set(r::ERROR, Error::Epoch as u32);
                }
            }
            _ => self.set(offset, value),
        }
        Ok(())
    }
    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        Ok(self.0.borrow_mut().iommu.map(memory, permission))
    }
    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        assert!(self.0.borrow_mut().iommu.unmap(iova));
        Ok(())
    }
    fn interrupt(&mut self, _vector: u16, _timeout: Duration) -> Result<bool, DeviceError> {
        Ok(false)
    }
    fn reset(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn config() -> DriverConfig {
    let queue = QueueConfig { history: HISTORY, margin: 0, descriptors: 16, flow_records: 16, tx: 16 };
    DriverConfig { queue, ..DriverConfig::default() }
}

fn ready() -> (Device, Driver<Device>) {
    let device = Device::new();
    let mut driver = Driver::probe(device.clone()).unwrap();
    driver.set_up(&config()).unwrap();
    driver.enable(false).unwrap();
    (device, driver)
}

fn frame_descriptor(position: u64, head: u64, count: u32) -> Descriptor {
    Descriptor {
        kind: DescriptorKind::Frame as u8,
        position,
        flow_index: 3,
        chain_head: head,
        chain_count: count,
        first_record: c::RECORD_NONE,
        ..Descriptor::ZERO
    }
}

#[test]
fn probe_refuses_what_it_does_not_know() {
    let device = Device::new();
    device.set(r::MAGIC, 7);
    assert!(matches!(Driver::probe(device).err(), Some(DeviceError::NotWeir { .. })));
    let device = Device::new();
    device.set(r::VERSION, 0x0002_0000);
    let error = Driver::probe(device).err().unwrap();
    assert!(matches!(error, DeviceError::Version { device_major: 2, .. }) && error.to_string().contains("update"));
    let device = Device::new();
    device.capability(2, 999, 0, 0);
    assert_eq!(Driver::probe(device.clone()).unwrap().info().unwrap().unknown_capabilities, [999]);
    device.capability(2, 999, 1, 0);
    assert!(matches!(Driver::probe(device).err(), Some(DeviceError::Capability { kind: 999 })));
}

#[test]
fn bus_mastering_and_settings_reach_the_device() {
    let (device, _driver) = ready();
    assert_eq!(device.0.borrow().command & 6, 6);
    assert_eq!(device.get(r::TIMEOUT_UDP_NEW), 30);
    assert_eq!(device.get64(q::at(0, q::HISTORY_SIZE)), HISTORY);
    let mut driver = Driver::probe(Device::new()).unwrap();
    for (queues, history, entries) in
        [(3, HISTORY, 0), (8, HISTORY, 0), (1, HISTORY + 1, 0), (1, 1 << 10, 0), (1, HISTORY, 1001)]
    {
        let mut bad = DriverConfig { queues, flow_entries: entries, ..config() };
        bad.queue.history = history;
        assert!(matches!(driver.set_up(&bad), Err(DeviceError::Setting { .. })), "{queues} {history} {entries}");
    }
}

#[test]
fn a_chain_comes_oldest_first_and_the_ring_wraps() {
    let (device, mut driver) = ready();
    let mut frames = Vec::new();
    for round in 0..500u64 {
        let mut previous = c::POSITION_NONE;
        for i in 0..3 {
            previous = device.record(round * 4 + i, 3, previous, &[i as u8; 100]);
        }
        let own = device.record(round * 4 + 3, 3, previous, b"flagged");
        device.descriptor(frame_descriptor(own, previous, 3));
        let d = driver.next_descriptor(0).unwrap().unwrap();
        let (n, result) = driver.read_chain(0, d.chain_head, d.chain_count, &mut frames);
        result.unwrap();
        let numbers: Vec<u64> = frames[..n].iter().map(|f| f.number).collect();
        assert_eq!(numbers, [round * 4, round * 4 + 1, round * 4 + 2]);
        assert_eq!(frames[2].data, [2; 100]);
        let mut frame = HistoryFrame::default();
        driver.read_frame(0, d.position, &mut frame).unwrap();
        assert_eq!((frame.data.as_slice(), frame.time), (&b"flagged"[..], (round * 4 + 3) * 1000));
        driver.done(0).unwrap();
        assert_eq!(device.get(q::at(0, q::DESCRIPTOR_CONSUMER)), round as u32 + 1);
    }
    assert!(driver.next_descriptor(0).unwrap().is_none());
}

#[test]
fn an_overwritten_record_is_gone_and_not_misread() {
    let (device, driver) = ready();
    let old = device.record(1, 3, c::POSITION_NONE, &[1; 1000]);
    let mut frame = HistoryFrame::default();
    driver.read_frame(0, old, &mut frame).unwrap();
    // The device has announced that it may overwrite, and not yet done so.
    device.status(QueueStatus::OFFSET_HISTORY_RESERVED, old + HISTORY + 64, 8);
    assert!(matches!(driver.read_frame(0, old, &mut frame), Err(DeviceError::HistoryGone { .. })));
    device.status(QueueStatus::OFFSET_HISTORY_RESERVED, old + HISTORY, 8);
    driver.read_frame(0, old, &mut frame).unwrap();
    for i in 2..80 {
        device.record(i, 4, c::POSITION_NONE, &[2; 1000]);
    }
    assert!(matches!(driver.read_frame(0, old, &mut frame), Err(DeviceError::HistoryGone { .. })));
}

#[test]
fn an_outline_says_what_the_headers_of_a_chain_say() {
    let (device, driver) = ready();
    let first = device.record(1, 3, c::POSITION_NONE, &[0; 10]);
    let to_client = |h: &mut HistoryHeader| h.flags |= FrameFlags::TO_CLIENT.0;
    let second = device.record_with(2, 3, first, &[0; 20], &to_client);
    let outline = |head, count| driver.outline(0, head, count);
    assert_eq!(outline(first, 1).unwrap(), ChainOutline { newest: 1000, directions: 1, bytes: 10 });
    assert_eq!(outline(second, 2).unwrap(), ChainOutline { newest: 2000, directions: 3, bytes: 30 });
    assert_eq!(outline(second, 1).unwrap(), ChainOutline { newest: 2000, directions: 2, bytes: 20 });
    assert!(matches!(outline(second, 3), Err(DeviceError::Lying { .. })) && driver.outline(9, second, 1).is_err());
    // A chain that leads to another flow, or to itself.
    let foreign = device.record(3, 4, second, &[0; 10]);
    assert!(matches!(outline(foreign, 2), Err(DeviceError::Lying { .. })));
    let own = device.record(4, 3, foreign + 128, &[0; 10]);
    assert_eq!(own, foreign + 128);
    assert!(matches!(outline(own, 2), Err(DeviceError::Lying { .. })));
    device.status(QueueStatus::OFFSET_HISTORY_RESERVED, first + HISTORY + 64, 8);
    assert!(matches!(outline(second, 2), Err(DeviceError::HistoryGone { .. })));
}

#[test]
fn lies_are_errors() {
    let chain = |spoil: &dyn Fn(&mut HistoryHeader)| {
        let (device, driver) = ready();
        let first = device.record_with(1, 3, c::POSITION_NONE, &[0; 10], spoil);
        let second = device.record(2, 3, first, &[0; 10]);
        let mut frames = Vec::new();
        let (read, result) = driver.read_chain(0, second, 2, &mut frames);
        (read, result.err().map(|e| e.to_string()))
    };
    assert_eq!(chain(&|_| ()), (2, None));
    for (what, spoil) in [
        ("length", (&|h: &mut HistoryHeader| h.captured_length = u32::MAX) as &dyn Fn(&mut HistoryHeader)),
        ("length", &|h| h.captured_length = 0x3ffff),
        ("kind", &|h| h.kind = 9),
        ("is gone", &|h| h.position += 64),
        ("chain", &|h| h.flow_index = 4),
        ("chain", &|h| h.captured_length = 100),
    ] {
        let (read, error) = chain(spoil);
        assert_eq!(read, 1, "the newer record is still readable: {what}");
        assert!(error.as_deref().is_some_and(|e| e.contains(what)), "{what}: {error:?}");
    }
    // A chain that leads to itself, or is shorter than the count says.
    let (device, driver) = ready();
    let own = device.record(1, 3, 0, &[0; 10]);
    let mut frames = Vec::new();
    assert!(driver.read_chain(0, own, 1000, &mut frames).1.is_err());
    assert!(driver.read_chain(0, 0x20, 1, &mut frames).1.is_err());
    assert!(driver.read_chain(9, 0, 1, &mut frames).0 == 0);
}

#[test]
fn lying_indices_are_errors() {
    let (device, mut driver) = ready();
    device.status(QueueStatus::OFFSET_DESCRIPTOR_PRODUCER, 17, 4);
    assert!(matches!(driver.next_descriptor(0), Err(DeviceError::Lying { .. })));
    let (device, mut driver) = ready();
    device.descriptor(Descriptor { sequence: 1, ..frame_descriptor(c::POSITION_NONE, c::POSITION_NONE, 0) });
    assert!(driver.next_descriptor(0).unwrap_err().to_string().contains("sequence"));
    let (device, mut driver) = ready();
    device.flow_record(FlowRecord { kind: 77, ..FlowRecord::ZERO });
    assert!(driver.next_flow_record(0).unwrap_err().to_string().contains("kind"));
}

#[test]
fn flow_records_and_commands() {
    let (device, mut driver) = ready();
    for i in 0..40u64 {
        device.flow_record(FlowRecord { kind: FlowRecordKind::Aged as u8, last_frame: i, ..FlowRecord::ZERO });
        assert_eq!(driver.next_flow_record(0).unwrap().unwrap().last_frame, i);
    }
    assert_eq!(device.get(q::at(0, q::FLOW_RECORD_CONSUMER)), 40);
    driver.flow_command(0, TxCommand::Release, (3, 8), 77, 0).unwrap();
    driver.divert_key(0, &FlowKey { protocol: 6, ..FlowKey::ZERO }).unwrap();
    assert_eq!(device.get(q::at(0, q::TX_PRODUCER)), 0, "nothing before the doorbell");
    driver.ring(0).unwrap();
    assert_eq!(device.get(q::at(0, q::TX_PRODUCER)), 2);
    let release = device.tx(0);
    assert_eq!((release.command, release.frame_number, release.flow_index, release.flow_generation), (5, 77, 3, 8));
    let divert = device.tx(1);
    let mut key = [0; FlowKey::SIZE];
    device.0.borrow().iommu.read(divert.data, &mut key).unwrap();
    assert_eq!(FlowKey::from_bytes(&key).protocol, 6);
    // A device that takes nothing: back-pressure, then an error instead of a hang.
    for _ in 2..16 {
        driver.flow_command(0, TxCommand::Forget, (3, 8), 0, 0).unwrap();
    }
    assert!(matches!(driver.flow_command(0, TxCommand::Forget, (3, 8), 0, 0), Err(DeviceError::TxStuck { .. })));
    device.status(QueueStatus::OFFSET_TX_CONSUMER, 5, 4);
    driver.flow_command(0, TxCommand::Forget, (3, 8), 0, 0).unwrap();
}

#[test]
fn tables_load_activate_and_roll_back() {
    let (device, mut driver) = ready();
    let first = driver.load_tables(b"WTBL one").unwrap();
    driver.activate(first).unwrap();
    let second = driver.load_tables(b"WTBL two").unwrap();
    assert!(second > first);
    driver.activate(second).unwrap();
    assert_eq!(driver.rollback().unwrap(), first);
    assert_eq!(driver.epoch().unwrap(), first);
    assert!(matches!(driver.load_tables(b"nonsense"), Err(DeviceError::Table { error: TableError::Magic, .. })));
    assert!(driver.activate(99).is_err());
    assert_eq!(driver.epoch().unwrap(), first, "errors leave the active tables");
    assert!(
        device.0.borrow().iommu.read(device.get64(r::TABLE_ADDRESS), &mut [0; 4]).is_err(),
        "the image is unmapped again"
    );
}

#[test]
fn counters_are_checked() {
    let (device, mut driver) = ready();
    assert!(driver.check_counters().unwrap().is_empty());
    device.set(c::COUNTER_BASE + 8 * Counter::ReceivedFrames as u32, 5);
    assert_eq!(driver.check_counters().unwrap().len(), 1);
    assert_eq!(driver.info().unwrap().version, (c::CONTRACT_MAJOR, c::CONTRACT_MINOR));
}

/// Whatever access the device vanishes at, and whichever write is lost, the driver returns.
#[test]
fn faults_never_hang_or_panic() {
    let run = |fault: Fault| {
        let mut accesses = 0;
        let result = (|| {
            let mut driver = Driver::probe(Faulty::new(Device::new(), vec![fault]))?;
            let result = driver.set_up(&config()).and_then(|()| driver.enable(false)).and_then(|()| {
                let epoch = driver.load_tables(b"WTBL")?;
                driver.activate(epoch)?;
                driver.heartbeat()?;
                driver.info().map(|_| ())
            });
            accesses = driver.pci().accesses();
            result
        })();
        (accesses, result)
    };
    let (accesses, result) = run(Fault::NoInterrupts);
    result.unwrap();
    for n in 1..accesses + 1 {
        let (_, result) = run(Fault::LostWrite(n));
        drop(result);
        drop(run(Fault::Garbage(n, u32::MAX)));
        drop(run(Fault::Garbage(n, 0x8000_0000)));
    }
    for n in 1..8 {
        assert!(run(Fault::NoMapping(n)).1.is_err() || n > 6, "mapping {n}");
    }
    for n in 1..accesses {
        let (_, result) = run(Fault::Removed(n));
        // Behind the last check there is nothing left that could tell.
        assert!(result.is_err() || n > accesses - 40, "removed at access {n} of {accesses}");
    }
}

/// Bytes that go out are untouched until the device has taken the entry that names them.
#[test]
fn frames_stay_until_the_device_has_taken_them() {
    let device = Device::new();
    let mut driver = Driver::probe(device.clone()).unwrap();
    driver.set_up(&DriverConfig { tx_bytes: 1 << 19, ..config() }).unwrap();
    driver.enable(true).unwrap();
    let base = device.get64(q::at(0, q::TX_BASE));
    let (mut sent, mut taken, mut state) = (std::collections::VecDeque::new(), 0u32, 1u64);
    for n in 0..3000u64 {
        let length = weir_contract::hash::splitmix64(&mut state) as usize % 60_000;
        let frame: Vec<u8> = (0..length).map(|i| (i as u64 * 7 + n) as u8).collect();
        // The ring of entries and that of bytes both make the driver wait: the device takes some first.
        let bytes: usize = sent.iter().map(Vec::len).sum();
        while sent.len() >= 8 || bytes + 2 * length > 1 << 18 && !sent.is_empty() {
            let expected: Vec<u8> = sent.pop_front().unwrap();
            let mut raw = [0u8; TxEntry::SIZE];
            device.0.borrow().iommu.read(base + u64::from(taken % 16) * 64, &mut raw).unwrap();
            let entry = TxEntry::from_bytes(&raw);
            let mut read = vec![0; entry.length as usize];
            device.0.borrow().iommu.read(entry.data, &mut read).unwrap();
            assert!(read == expected, "frame {taken}");
            taken += 1;
            device.status(QueueStatus::OFFSET_TX_CONSUMER, taken.into(), 4);
            if bytes + 2 * length > 1 << 18 && sent.len() < 4 {
                break;
            }
        }
        let entry = TxEntry { command: TxCommand::Inject as u8, ..TxEntry::ZERO };
        driver.send(0, &entry, &frame).unwrap();
        sent.push_back(frame);
    }
    let tap = ready().1.send(0, &TxEntry::ZERO, b"x");
    assert!(matches!(tap, Err(DeviceError::TxStuck { .. })), "a tap has no room for frames that go out");
}
