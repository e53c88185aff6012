//! The PCI function: configuration space, registers, interrupts, and the hand that feeds it frames.

use crate::pipeline::{Frame, Offer, Pipeline, Settings};
use crate::parse::ParseConfig;
use crate::flow::HostTimeouts;
use crate::tables::Tables;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{
    CapabilityType, Control, DeviceKind, Error as Code, FlowRecordKind, Status, TableError, TableState, TxCommand, TxFlags,
};
use weir_contract::guards::Guard;
use weir_contract::layouts::{Capability, FlowKey, TxEntry};
use weir_contract::registers as r;
use weir_contract::registers::queue as q;
use weir_device::{DeviceError, DmaMemory, IommuTable, Permission, PciFunction};

/// Size of the model.
#[derive(Debug, Clone, Copy)]
pub struct SimConfig {
    /// Most queues.
    pub queues: u32,
    /// Flow entries.
    pub flow_entries: u32,
}

impl Default for SimConfig {
    fn default() -> Self {
        SimConfig { queues: 16, flow_entries: 1 << 20 }
    }
}

struct Core {
    config: SimConfig,
    registers: BTreeMap<u32, u32>,
    command: u32,
    iommu: IommuTable,
    pipeline: Pipeline,
    banks: Vec<(u32, Arc<Tables>)>,
    next_epoch: u32,
    latched: Vec<u64>,
    latched_guards: [u64; c::GUARDS_MAX],
    interrupts: [bool; 65],
}

/// A model; clones name the same one. The driver holds one as [`PciFunction`], the source of frames another.
#[derive(Clone)]
pub struct Simulator(Rc<RefCell<Core>>);

const SECOND: u64 = 1_000_000_000;
/// Config-space command register: bit 2 is bus mastering.
const COMMAND: u16 = 4;
const CAPABILITIES: u32 = 0x0700;

impl Simulator {
    /// A model in its reset state.
    pub fn new(config: SimConfig) -> Self {
        let mut core = Core {
            config,
            registers: BTreeMap::new(),
            command: 0,
            iommu: IommuTable::default(),
            pipeline: Pipeline::new(default_settings(), config.flow_entries as usize),
            banks: Vec::new(),
            next_epoch: 1,
            latched: Vec::new(),
            latched_guards: [0; c::GUARDS_MAX],
            interrupts: [false; 65],
        };
        core.reset();
        Simulator(Rc::new(RefCell::new(core)))
    }

    /// A frame arrives at the port.
    pub fn offer(&self, frame: &Frame<'_>) -> Offer {
        self.0.borrow_mut().offer(frame)
    }

    /// A descriptor or flow record waits for the host.
    pub fn host_has_work(&self) -> bool {
        self.0.borrow().pipeline.queues.iter().any(|q| {
            q.descriptor_producer != q.descriptor_consumer || q.flow_record_producer != q.flow_record_consumer
        })
    }

    /// Conservation identities that do not hold, as text; empty if all do.
    pub fn broken_identities(&self) -> Vec<String> {
        let core = self.0.borrow();
        let v = |counter| core.pipeline.value(counter);
        let mut broken = Vec::new();
        let mut check = |name: &str, left: u64, right: u64| {
            if left != right {
                broken.push(format!("{name}: {left} is not {right}"));
            }
        };
        check(
            "received = passed + diverted + dropped + bypassed",
            v(Counter::ReceivedFrames),
            v(Counter::PassedFrames) + v(Counter::DivertedFrames) + v(Counter::DroppedFrames) + v(Counter::BypassedFrames),
        );
        check(
            "transmitted = passed + bypassed + returned + injected",
            v(Counter::TransmittedFrames),
            v(Counter::PassedFrames) + v(Counter::BypassedFrames) + v(Counter::ReturnedFrames) + v(Counter::InjectedFrames),
        );
        check(
            "diverted = verdicts + in flight",
            v(Counter::DivertedFrames),
            v(Counter::VerdictForward) + v(Counter::VerdictDrop) + v(Counter::InFlight),
        );
        check(
            "bytes received = passed + diverted + dropped + bypassed",
            v(Counter::ReceivedBytes),
            v(Counter::PassedBytes) + v(Counter::DivertedBytes) + v(Counter::DroppedBytes) + v(Counter::BypassedBytes),
        );
        broken
    }
}

fn default_settings() -> Settings {
    Settings {
        parse: ParseConfig { checksums: true, tunnel_ports: [4789, 4790, 6081, 0, 3544, 0, 2152, 0] },
        timeouts: HostTimeouts { host: [60, 600, 60, 30, 300, 30, 30, 300].map(|s| s * SECOND), margin: 60 * SECOND },
        vlan_key: true,
        midstream: false,
        flow_hash: [1; 6],
        source_waits: true,
        fail_closed: false,
        watchdog_frames: 0,
        watchdog_time: 0,
    }
}

impl Core {
    fn reset(&mut self) {
        self.registers.clear();
        for register in &r::REGISTERS {
            self.registers.insert(register.offset, register.reset as u32);
            if register.width == 64 {
                self.registers.insert(register.offset + 4, (register.reset >> 32) as u32);
            }
        }
        self.pipeline = Pipeline::new(default_settings(), self.config.flow_entries as usize);
        self.banks.clear();
        self.latched = vec![0; Counter::ALL.len()];
    }

    fn get(&self, offset: u32) -> u32 {
        self.registers.get(&offset).copied().unwrap_or(0)
    }

    fn get64(&self, offset: u32) -> u64 {
        u64::from(self.get(offset)) | u64::from(self.get(offset + 4)) << 32
    }

    fn set(&mut self, offset: u32, value: u32) {
        self.registers.insert(offset, value);
    }

    fn fault(&mut self, code: Code, detail: u64) {
        if self.get(r::ERROR) == 0 {
            self.set(r::ERROR, code as u32);
            self.set(r::ERROR_DETAIL, detail as u32);
            self.set(r::ERROR_DETAIL + 4, (detail >> 32) as u32);
        }
        self.interrupts[usize::from(c::MSIX_VECTOR_CONTROL)] = true;
    }

    fn bus_master(&self) -> bool {
        self.command & 4 != 0
    }

    fn enabled(&self) -> bool {
        self.get(r::CONTROL) & Control::ENABLE.0 != 0
    }

    fn offer(&mut self, frame: &Frame<'_>) -> Offer {
        if !self.enabled() {
            return Offer::Accepted;
        }
        if !self.bus_master() {
            self.fault(Code::BusMaster, 0);
        }
        let nothing = IommuTable::default();
        let iommu = if self.bus_master() { &self.iommu } else { &nothing };
        let offer = self.pipeline.offer(iommu, frame);
        if let Some(error) = self.pipeline.dma_fault.take() {
            self.dma_fault(error);
        }
        for (n, queue) in self.pipeline.queues.iter().enumerate() {
            if queue.descriptor_producer != queue.descriptor_consumer {
                if let Some(vector) = self.interrupts.get_mut(usize::from(c::MSIX_VECTOR_QUEUE0) + n) {
                    *vector = true;
                }
            }
        }
        offer
    }

    fn dma_fault(&mut self, error: weir_device::IommuError) {
        match error {
            weir_device::IommuError::NotMapped(iova) => self.fault(Code::DmaWrite, iova),
            weir_device::IommuError::NotWritable(iova) => self.fault(Code::DmaWrite, iova),
        }
    }

    fn capabilities(&self) -> Vec<Capability> {
        let entry = |kind: CapabilityType, value0, value1| Capability {
            kind: kind as u16,
            version: 1,
            length: Capability::SIZE as u16,
            value0,
            value1,
            ..Capability::ZERO
        };
        vec![
            entry(CapabilityType::Queues, self.config.queues.into(), u64::from(self.config.queues) + 1),
            entry(CapabilityType::FlowTable, self.pipeline.flows.capacity() as u64, crate::flow::WAYS as u64),
            entry(CapabilityType::Literals, 0b1_1111_0000, 64),
            entry(CapabilityType::BloomBits, 24, c::BLOOM_PARTITIONS_MAX as u64),
            entry(CapabilityType::ExactEntries, 1 << 24, 16),
            entry(CapabilityType::Lists, u32::MAX.into(), 0),
            entry(CapabilityType::Records, u32::MAX.into(), u32::MAX.into()),
            entry(CapabilityType::Classes, 65536 | 65536 << 32, 65536 | 65536 << 32),
            entry(CapabilityType::Prefixes, u32::MAX.into(), u32::MAX.into()),
            entry(CapabilityType::Banks, 3, 0),
            entry(CapabilityType::History, c::HISTORY_SIZE_MAX, 0),
            entry(CapabilityType::Ports, 1, 0b11),
            entry(CapabilityType::Guards, u64::MAX, 0),
        ]
    }

    fn read(&mut self, offset: u32) -> u32 {
        let capabilities = self.capabilities();
        let list = CAPABILITIES..CAPABILITIES + (capabilities.len() * Capability::SIZE) as u32;
        if list.contains(&offset) {
            let at = (offset - CAPABILITIES) as usize;
            let bytes = capabilities[at / Capability::SIZE].to_bytes();
            let at = at % Capability::SIZE;
            return bytes.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
        }
        if (c::COUNTER_BASE..c::COUNTER_BASE + 8 * self.latched.len() as u32).contains(&offset) {
            let at = offset - c::COUNTER_BASE;
            return (self.latched[(at / 8) as usize] >> (8 * (at % 8))) as u32;
        }
        if (c::GUARD_COUNTER_BASE..c::GUARD_COUNTER_BASE + 8 * c::GUARDS_MAX as u32).contains(&offset) {
            let at = offset - c::GUARD_COUNTER_BASE;
            return (self.latched_guards[(at / 8) as usize] >> (8 * (at % 8))) as u32;
        }
        match offset {
            r::KIND => DeviceKind::Model as u32,
            r::CAPABILITY_OFFSET => CAPABILITIES,
            r::CAPABILITY_COUNT => capabilities.len() as u32,
            r::STATUS => {
                let mut status = Status::READY.0;
                for (set, flag) in [
                    (self.enabled(), Status::ENABLED),
                    (self.pipeline.tables.is_some(), Status::TABLES),
                    (self.pipeline.failed, Status::FAIL_MODE),
                    (self.get(r::ERROR) != 0, Status::FAULT),
                ] {
                    status |= if set { flag.0 } else { 0 };
                }
                status
            }
            r::FRAME_NUMBER => self.pipeline.now.0 as u32,
            _ => self.get(offset),
        }
    }

    fn write(&mut self, offset: u32, value: u32) {
        if (q::BASE..q::BASE + q::STRIDE * q::COUNT).contains(&offset) {
            return self.write_queue((offset - q::BASE) / q::STRIDE, (offset - q::BASE) % q::STRIDE, value);
        }
        let setup = r::REGISTERS.iter().find(|reg| offset == reg.offset || (reg.width == 64 && offset == reg.offset + 4));
        if setup.is_some_and(|reg| reg.setup) && self.enabled() {
            return self.fault(Code::Locked, offset.into());
        }
        match offset {
            r::CONTROL => self.control(value),
            r::ERROR => self.set(r::ERROR, 0),
            r::TABLE_LOAD => self.load_tables(),
            r::EPOCH => self.activate(value),
            r::HEARTBEAT => {
                self.pipeline.beat = self.pipeline.now;
                self.set(offset, value);
            }
            r::COUNTER_SNAPSHOT => {
                let live = self.pipeline.flows.used() as u64;
                self.latched.clone_from(&self.pipeline.counters);
                if let Some(slot) = self.latched.get_mut(Counter::FlowsLive as usize) {
                    *slot = live;
                }
                self.latched_guards = self.pipeline.guard_counters;
            }
            _ => self.set(offset, value),
        }
    }

    fn control(&mut self, value: u32) {
        if value & Control::RESET.0 != 0 {
            self.reset();
            return;
        }
        let was = self.enabled();
        self.set(r::CONTROL, value & !Control::FLUSH.0);
        if value & Control::ENABLE.0 != 0 && !was {
            self.configure();
        }
        if value & Control::FLUSH.0 != 0 {
            for slot in self.pipeline.flows.slots_in_use() {
                self.pipeline.end_flow(&self.iommu, slot, FlowRecordKind::Flushed);
            }
        }
    }

    /// Take the set-up registers over.
    fn configure(&mut self) {
        let seconds = |register| u64::from(self.get(register)) * SECOND;
        let ports = [self.get64(r::TUNNEL_PORTS_0), self.get64(r::TUNNEL_PORTS_1)];
        let tunnel_ports = std::array::from_fn(|i| (ports[i / 4] >> (16 * (i % 4))) as u16);
        let settings = Settings {
            parse: ParseConfig { checksums: self.get(r::CHECKSUM_MODE) != 0, tunnel_ports },
            timeouts: HostTimeouts {
                host: [
                    seconds(r::TIMEOUT_TCP_NEW),
                    seconds(r::TIMEOUT_TCP_ESTABLISHED),
                    seconds(r::TIMEOUT_TCP_CLOSED),
                    seconds(r::TIMEOUT_UDP_NEW),
                    seconds(r::TIMEOUT_UDP_ESTABLISHED),
                    seconds(r::TIMEOUT_ICMP),
                    seconds(r::TIMEOUT_OTHER_NEW),
                    seconds(r::TIMEOUT_OTHER_ESTABLISHED),
                ],
                margin: seconds(r::TIMEOUT_MARGIN),
            },
            vlan_key: self.get(r::VLAN_KEY) != 0,
            midstream: self.get(r::MIDSTREAM) != 0,
            flow_hash: std::array::from_fn(|i| self.get64(r::FLOW_HASH_0 + 8 * i as u32)),
            source_waits: self.get(r::SOURCE_WAITS) != 0,
            fail_closed: self.get(r::FAIL_MODE) != 0,
            watchdog_frames: self.get(r::WATCHDOG_FRAMES),
            watchdog_time: self.get64(r::WATCHDOG_TIME),
        };
        let entries = match self.get(r::FLOW_ENTRIES) {
            0 => self.config.flow_entries,
            n => n.min(self.config.flow_entries),
        };
        if self.pipeline.flows.used() == 0 {
            self.pipeline.flows = crate::flow::FlowTable::new(entries as usize);
        }
        self.pipeline.settings = settings;
        let queues = self.get(r::QUEUE_COUNT).clamp(1, self.config.queues);
        self.pipeline.queues.truncate(queues as usize);
        for n in 0..queues {
            if !self.pipeline.queues.get(n as usize).is_some_and(crate::queue::Queue::is_set_up) {
                self.set(r::CONTROL, 0);
                return self.fault(Code::BadRing, q::at(n, 0).into());
            }
        }
    }

    fn write_queue(&mut self, n: u32, register: u32, value: u32) {
        if n >= self.config.queues {
            return self.fault(Code::BadRing, q::at(n, register).into());
        }
        let setup = q::REGISTERS.iter().find(|reg| register == reg.offset || (reg.width == 64 && register == reg.offset + 4));
        if setup.is_some_and(|reg| reg.setup) && self.enabled() {
            return self.fault(Code::Locked, q::at(n, register).into());
        }
        self.set(q::at(n, register), value);
        while self.pipeline.queues.len() <= n as usize {
            self.pipeline.queues.push(crate::queue::Queue::default());
        }
        let at = |register| q::at(n, register);
        let history = (self.get64(at(q::HISTORY_BASE)), self.get64(at(q::HISTORY_SIZE)), self.get64(at(q::HISTORY_MARGIN)));
        let descriptors = (self.get64(at(q::DESCRIPTOR_BASE)), self.get(at(q::DESCRIPTOR_ENTRIES)));
        let records = (self.get64(at(q::FLOW_RECORD_BASE)), self.get(at(q::FLOW_RECORD_ENTRIES)));
        let tx = (self.get64(at(q::TX_BASE)), self.get(at(q::TX_ENTRIES)));
        let status = self.get64(at(q::STATUS_BASE));
        let queue = &mut self.pipeline.queues[n as usize];
        queue.history = history;
        queue.descriptors = descriptors;
        queue.flow_records = records;
        queue.tx = tx;
        queue.status = status;
        match register {
            q::DESCRIPTOR_CONSUMER => queue.consumed(value),
            q::FLOW_RECORD_CONSUMER => queue.flow_record_consumer = value,
            q::TX_PRODUCER => self.transmit(n as usize, value),
            _ => {}
        }
    }

    fn transmit(&mut self, n: usize, producer: u32) {
        let mut entries = Vec::new();
        let Some(queue) = self.pipeline.queues.get_mut(n) else { return };
        if producer.wrapping_sub(queue.tx_consumer) > queue.tx.1 {
            return self.fault(Code::BadRing, q::at(n as u32, q::TX_PRODUCER).into());
        }
        if let Err(error) = queue.read_tx(&self.iommu, producer, &mut entries) {
            let _ = error;
            return self.fault(Code::DmaRead, 0);
        }
        for (i, entry) in entries.iter().enumerate() {
            self.command(n, i as u64, entry);
        }
    }

    fn command(&mut self, n: usize, index: u64, entry: &TxEntry) {
        let p = &mut self.pipeline;
        let Some(command) = TxCommand::from_raw(entry.command) else {
            p.count(Counter::CommandBad, 1);
            return self.fault(Code::BadCommand, index);
        };
        let flow = (entry.flow_index, entry.flow_generation);
        let epoch = p.tables.as_ref().map_or(0, |t| t.0);
        match command {
            TxCommand::Forward | TxCommand::Drop | TxCommand::Reset => {
                if p.value(Counter::InFlight) == 0 {
                    p.count(Counter::VerdictUnknown, 1);
                    return;
                }
                if let Some(level) = p.counters.get_mut(Counter::InFlight as usize) {
                    *level -= 1;
                }
                if command == TxCommand::Forward {
                    p.count(Counter::VerdictForward, 1);
                    p.count(Counter::ReturnedFrames, 1);
                    p.count(Counter::TransmittedFrames, 1);
                } else {
                    p.count(Counter::VerdictDrop, 1);
                    if command == TxCommand::Reset || entry.flags & TxFlags::WHOLE_FLOW.0 != 0 {
                        if let Some(e) = p.flows.named(flow.0, flow.1) {
                            e.verdict.blocked = true;
                        }
                    }
                }
            }
            TxCommand::Divert => {
                let named = if entry.flags & TxFlags::BY_KEY.0 != 0 {
                    let mut bytes = [0u8; FlowKey::SIZE];
                    if entry.length as usize != FlowKey::SIZE || self.iommu.read(entry.data, &mut bytes).is_err() {
                        return self.fault(Code::BadCommand, index);
                    }
                    let key = FlowKey::from_bytes(&bytes);
                    let hash = p.settings.flow_hash;
                    p.flows.find(&key, &hash).and_then(|slot| p.flows.get(slot).map(|e| (slot, e.generation)))
                } else {
                    Some(flow)
                };
                let Some(flow) = named.filter(|f| p.flows.get(f.0).is_some_and(|e| e.generation == f.1)) else {
                    p.count(Counter::CommandStale, 1);
                    return;
                };
                let now = p.now.0;
                let queue = match p.flows.named(flow.0, flow.1) {
                    Some(e) => {
                        e.verdict.sticky = true;
                        e.verdict.diverted = true;
                        e.verdict.last_trouble = now;
                        e.queue
                    }
                    None => n,
                };
                p.hand_over_flow(&self.iommu, queue, flow, None, Guard::HostDivert, epoch);
            }
            TxCommand::Release => match p.flows.named(flow.0, flow.1) {
                Some(e) if e.verdict.sticky && e.verdict.last_trouble <= entry.frame_number => {
                    e.verdict.sticky = false;
                    p.count(Counter::ReleaseDone, 1);
                }
                Some(_) => p.count(Counter::ReleaseRefused, 1),
                None => p.count(Counter::CommandStale, 1),
            },
            TxCommand::Settle => match p.flows.named(flow.0, flow.1) {
                Some(e) => {
                    e.verdict.settled = true;
                    e.verdict.scopes = entry.scopes;
                    p.count(Counter::Settles, 1);
                }
                None => p.count(Counter::CommandStale, 1),
            },
            TxCommand::Bypass => match p.flows.named(flow.0, flow.1) {
                Some(e) => {
                    e.verdict.bypassed = true;
                    p.count(Counter::Bypasses, 1);
                }
                None => p.count(Counter::CommandStale, 1),
            },
            TxCommand::Inject => {
                p.count(Counter::InjectedFrames, 1);
                p.count(Counter::TransmittedFrames, 1);
            }
            TxCommand::Forget => {
                if p.flows.named(flow.0, flow.1).is_some() {
                    p.count(Counter::Forgets, 1);
                    p.end_flow(&self.iommu, flow.0, FlowRecordKind::Forgotten);
                } else {
                    p.count(Counter::CommandStale, 1);
                }
            }
        }
        if let Some(error) = self.pipeline.dma_fault.take() {
            self.dma_fault(error);
        }
    }

    fn load_tables(&mut self) {
        let address = self.get64(r::TABLE_ADDRESS);
        let length = self.get64(r::TABLE_LENGTH);
        let failed = |core: &mut Core, error: TableError, block: u32, offset: u64| {
            core.set(r::TABLE_STATUS, TableState::Failed as u32);
            core.set(r::TABLE_ERROR, error as u32);
            core.set(r::TABLE_ERROR_BLOCK, block);
            core.set(r::TABLE_ERROR_OFFSET, offset as u32);
            core.set(r::TABLE_ERROR_OFFSET + 4, (offset >> 32) as u32);
        };
        if !self.bus_master() {
            self.fault(Code::BusMaster, 0);
            return failed(self, TableError::Dma, 0, 0);
        }
        if length > c::IMAGE_LENGTH_MAX {
            return failed(self, TableError::Length, 0, 0);
        }
        // The mapping must hold it all before memory of its size is taken.
        if self.iommu.translate(address, length as usize).is_err() {
            return failed(self, TableError::Dma, 0, 0);
        }
        let mut bytes = vec![0u8; length as usize];
        if self.iommu.read(address, &mut bytes).is_err() {
            return failed(self, TableError::Dma, 0, 0);
        }
        match Tables::load(&bytes) {
            Ok(tables) => {
                let epoch = self.next_epoch;
                self.next_epoch += 1;
                let active = self.get(r::EPOCH);
                let previous = self.get(r::EPOCH_PREVIOUS);
                self.banks.retain(|(e, _)| *e == active || *e == previous);
                self.set(r::TABLE_CRC, tables.crc);
                self.banks.push((epoch, Arc::new(tables)));
                self.set(r::EPOCH_SHADOW, epoch);
                self.set(r::TABLE_ERROR, 0);
                self.set(r::TABLE_STATUS, TableState::Ready as u32);
            }
            Err(refusal) => failed(self, refusal.error, refusal.block, refusal.offset),
        }
        self.interrupts[usize::from(c::MSIX_VECTOR_CONTROL)] = true;
    }

    fn activate(&mut self, epoch: u32) {
        let Some((_, tables)) = self.banks.iter().find(|(e, _)| *e == epoch).cloned() else {
            return self.fault(Code::Epoch, epoch.into());
        };
        let active = self.get(r::EPOCH);
        if active != epoch {
            self.set(r::EPOCH_PREVIOUS, active);
        }
        self.set(r::EPOCH, epoch);
        self.pipeline.tables = Some((epoch, tables));
    }
}

impl PciFunction for Simulator {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        let core = self.0.borrow();
        Ok(match offset {
            0 => u32::from(c::PCI_VENDOR) | u32::from(c::PCI_DEVICE) << 16,
            COMMAND => core.command,
            8 => c::PCI_CLASS << 8 | u32::from(c::PCI_REVISION),
            _ => 0,
        })
    }

    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        if offset == COMMAND {
            self.0.borrow_mut().command = value & 0x0407;
        }
        Ok(())
    }

    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        let mut core = self.0.borrow_mut();
        // Memory decoding off: nothing answers.
        Ok(if bar == c::BAR_REGISTERS && core.command & 2 != 0 && offset % 4 == 0 { core.read(offset) } else { u32::MAX })
    }

    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        let mut core = self.0.borrow_mut();
        if bar == c::BAR_REGISTERS && core.command & 2 != 0 && offset % 4 == 0 {
            core.write(offset, value);
        }
        Ok(())
    }

    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        Ok(self.0.borrow_mut().iommu.map(memory, permission))
    }

    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        if self.0.borrow_mut().iommu.unmap(iova) {
            Ok(())
        } else {
            Err(DeviceError::Mapping(format!("nothing is mapped at IOVA {iova:#x}")))
        }
    }

    fn interrupt(&mut self, vector: u16, _timeout: Duration) -> Result<bool, DeviceError> {
        // In one thread nothing can happen while waiting.
        let mut core = self.0.borrow_mut();
        Ok(core.interrupts.get_mut(usize::from(vector)).is_some_and(std::mem::take))
    }

    fn reset(&mut self) -> Result<(), DeviceError> {
        let mut core = self.0.borrow_mut();
        core.command = 0;
        core.reset();
        Ok(())
    }
}
