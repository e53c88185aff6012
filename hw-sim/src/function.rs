//! The PCI function: configuration space, registers, interrupts, DMA mappings; and the hand that feeds it frames.
//!
//! Place: the driver holds a [`Simulator`] as its PCI function, the run loop holds a clone and offers frames. Stepped by
//! its callers in one thread: doorbells act at once, what finds no room goes on with the next frame or doorbell.

mod serving;

use crate::banks::Banks;
use crate::config_space::ConfigSpace;
use crate::counters::{Counters, Violation};
use crate::faults::Faults;
use crate::flow::{self, HostStreams, HostTimeouts};
use crate::msix::Msix;
use crate::parse::ParseConfig;
use crate::pipeline::{Frame, Offer, Pipeline, Settings, TransmitSink, Watcher};
use crate::queue::Queue;
use crate::registers::{Registers, Write, record_error};
use crate::watchdog::Change;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{CapabilityType, Control, DeviceKind, Error, InterruptCause, Status, TableState};
use weir_contract::guards::Guard;
use weir_contract::layouts::Capability;
use weir_contract::registers as r;
use weir_contract::registers::queue as q;
use weir_device::{DeviceError, DmaMemory, PciFunction, Permission};

/// Size of the model.
#[derive(Debug, Clone, Copy)]
pub struct SimConfig {
    /// Most queues, 1 to 64.
    pub queues: u32,
    /// Flow entries, a power of two from 64 on (others are rounded down).
    pub flow_entries: u32,
}

impl Default for SimConfig {
    fn default() -> Self {
        SimConfig { queues: 16, flow_entries: 1 << 20 }
    }
}

const SECOND: u64 = 1_000_000_000;
/// Link types that the parser reads: Ethernet, raw IP, Linux cooked, null/loop.
const LINK_TYPES: u64 = 0b1111;
/// Offset of the capability list.
const CAPABILITIES: u32 = 0x7000;

struct Core {
    config: SimConfig,
    space: ConfigSpace,
    msix: Msix,
    registers: Registers,
    banks: Banks,
    pipeline: Pipeline,
    /// The source is over.
    ended: bool,
    resets: u64,
    beats: u64,
}

/// A model; clones name the same one.
#[derive(Clone)]
pub struct Simulator(Rc<RefCell<Core>>);

impl Simulator {
    /// A model after power-on.
    pub fn new(config: SimConfig) -> Self {
        let config = SimConfig {
            queues: 1 << config.queues.clamp(1, c::QUEUES_MAX as u32).ilog2(),
            flow_entries: 1 << config.flow_entries.max(flow::ENTRIES_MIN).ilog2(),
        };
        let vectors = config.queues as u16 + c::MSIX_VECTOR_QUEUE0;
        Simulator(Rc::new(RefCell::new(Core {
            config,
            space: ConfigSpace::new(vectors),
            msix: Msix::new(usize::from(vectors)),
            registers: Registers::new(config.queues),
            banks: Banks::default(),
            pipeline: Pipeline::new(settings(&Registers::new(1)), flow::ENTRIES_MIN),
            ended: false,
            resets: 0,
            beats: 0,
        })))
    }

    /// A frame arrives at the port. With SOURCE_WAITS set, [`Offer::Wait`] asks the caller to let the host catch up and
    /// to offer the same frame again. A device that is not enabled applies its fail mode.
    pub fn offer(&self, frame: &Frame<'_>) -> Offer {
        self.0.borrow_mut().offer(frame, true)
    }

    /// A frame arrives from a source that cannot wait, whatever SOURCE_WAITS says.
    pub fn offer_lossy(&self, frame: &Frame<'_>) -> Offer {
        self.0.borrow_mut().offer(frame, false)
    }

    /// Frame time goes on without a frame. `false`: rings are full, call again when the host has caught up.
    pub fn idle(&self, time: u64) -> bool {
        self.0.borrow_mut().step(|pipeline| pipeline.idle(time))
    }

    /// Frame time goes on without a frame, for now: what has aged ends by and by, as it would with frames. For a link that is
    /// idle; [`Simulator::idle`] looks at every entry at once.
    pub fn pass_time(&self, time: u64) {
        self.0.borrow_mut().step(|pipeline| pipeline.pass_time(time));
    }

    /// Frames offered from now on come from this port.
    pub fn from_port(&self, port: u8) {
        self.0.borrow_mut().pipeline.port = port;
    }

    /// The source has ended: every flow entry ends and its flow record is written. `false`: rings are full, call again
    /// when the host has caught up.
    pub fn finish(&self, time: u64) -> bool {
        self.0.borrow_mut().step(|pipeline| pipeline.finish(time))
    }

    /// A descriptor or flow record waits for the host.
    pub fn host_has_work(&self) -> bool {
        self.0.borrow().pipeline.queues.iter().any(|q| q.descriptors.used() > 0 || q.flow_records.used() > 0)
    }

    /// The first conservation identity that does not hold, exactly, at this moment.
    pub fn check(&self) -> Result<(), Violation> {
        self.0.borrow().pipeline.counters.check()
    }

    /// Conservation identities that do not hold, as text; empty if all do.
    pub fn broken_identities(&self) -> Vec<String> {
        self.check().err().map(|violation| violation.to_string()).into_iter().collect()
    }

    /// Value of a counter now.
    pub fn counter(&self, counter: Counter) -> u64 {
        self.0.borrow().pipeline.counters.get(counter)
    }

    /// Frames on which a guard fired.
    pub fn guard_counter(&self, guard: Guard) -> u64 {
        self.0.borrow().pipeline.counters.guard(guard as usize)
    }

    /// All counters, copied.
    pub fn counters(&self) -> Counters {
        self.0.borrow().pipeline.counters.clone()
    }

    /// Let something take what the device transmits. It must not call the model.
    pub fn on_transmit(&self, sink: Option<TransmitSink>) {
        self.0.borrow_mut().pipeline.sink = sink;
    }

    /// Let something be told of every frame that is judged. It must not call the model.
    pub fn on_judge(&self, watcher: Option<Watcher>) {
        self.0.borrow_mut().pipeline.watcher = watcher;
    }

    /// Arm faults.
    pub fn inject(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.borrow_mut().pipeline.bus.faults);
    }
}

fn seconds(registers: &Registers, register: u32) -> u64 {
    registers.get(register).saturating_mul(SECOND)
}

/// Settings as the registers have them.
fn settings(registers: &Registers) -> Settings {
    let get = |register| registers.get(register);
    let ports = [get(r::TUNNEL_PORTS_0), get(r::TUNNEL_PORTS_1)];
    Settings {
        parse: ParseConfig {
            checksums: get(r::CHECKSUM_MODE) != 0,
            tunnel_ports: std::array::from_fn(|i| (ports[i / 4] >> (16 * (i % 4))) as u16),
        },
        timeouts: HostTimeouts {
            host: [
                r::TIMEOUT_TCP_NEW,
                r::TIMEOUT_TCP_ESTABLISHED,
                r::TIMEOUT_TCP_CLOSED,
                r::TIMEOUT_UDP_NEW,
                r::TIMEOUT_UDP_ESTABLISHED,
                r::TIMEOUT_ICMP,
                r::TIMEOUT_OTHER_NEW,
                r::TIMEOUT_OTHER_ESTABLISHED,
            ]
            .map(|register| seconds(registers, register)),
            margin: seconds(registers, r::TIMEOUT_MARGIN),
        },
        vlan_key: get(r::VLAN_KEY) != 0,
        streams: HostStreams { midstream: get(r::MIDSTREAM) != 0, window: get(r::STREAM_WINDOW) as u32 },
        flow_hash: std::array::from_fn(|i| get(r::FLOW_HASH_0 + 8 * i as u32)),
        source_waits: get(r::SOURCE_WAITS) != 0,
        fail_closed: get(r::FAIL_MODE) != 0,
        inline: get(r::CONTROL) as u32 & Control::INLINE.0 != 0,
        report_interval: seconds(registers, r::REPORT_INTERVAL),
    }
}

impl Core {
    /// Everything but the PCI function: registers, rings, flows, tables, counters. The bus stays.
    fn reset(&mut self) {
        self.registers = Registers::new(self.config.queues);
        self.banks = Banks::default();
        let mut fresh = Pipeline::new(settings(&self.registers), flow::ENTRIES_MIN);
        std::mem::swap(&mut fresh.bus, &mut self.pipeline.bus);
        std::mem::swap(&mut fresh.sink, &mut self.pipeline.sink);
        std::mem::swap(&mut fresh.watcher, &mut self.pipeline.watcher);
        self.pipeline = fresh;
        self.ended = false;
        self.resets += 1;
    }

    fn is_enabled(&self) -> bool {
        self.registers.get(r::CONTROL) as u32 & Control::ENABLE.0 != 0
    }

    fn cause(&mut self, cause: InterruptCause) {
        let causes = self.registers.get(r::INTERRUPT_CAUSE) | u64::from(cause.0);
        self.registers.set(r::INTERRUPT_CAUSE, causes);
        if causes & self.registers.get(r::INTERRUPT_MASK) != 0 {
            self.msix.raise(c::MSIX_VECTOR_CONTROL);
        }
    }

    fn error(&mut self, code: Error, detail: u64) {
        record_error(&mut self.registers, code, detail);
        self.cause(InterruptCause::ERROR);
    }

    fn offer(&mut self, frame: &Frame<'_>, may_wait: bool) -> Offer {
        if !self.is_enabled() {
            self.pipeline.unattended(frame);
            return Offer::Accepted;
        }
        self.step(|pipeline| pipeline.offer(frame, may_wait))
    }

    /// Do something with the frame path, then tell the host what it should know.
    fn step<T>(&mut self, action: impl FnOnce(&mut Pipeline) -> T) -> T {
        let before: u32 = self.pipeline.queues.iter().map(|q| q.descriptors.producer.wrapping_add(q.flow_records.producer)).fold(0, u32::wrapping_add);
        let result = action(&mut self.pipeline);
        if let Some((code, detail)) = self.pipeline.error.take() {
            self.error(code, detail);
        }
        if std::mem::take(&mut self.pipeline.watchdog_changed) {
            self.cause(InterruptCause::WATCHDOG);
        }
        let after: u32 = self.pipeline.queues.iter().map(|q| q.descriptors.producer.wrapping_add(q.flow_records.producer)).fold(0, u32::wrapping_add);
        if before != after {
            for (n, queue) in self.pipeline.queues.iter().enumerate() {
                if queue.wants_interrupt() {
                    self.msix.raise(c::MSIX_VECTOR_QUEUE0 + n as u16);
                }
            }
        }
        result
    }

    fn capabilities(&self) -> [Capability; 15] {
        let entry = |kind: CapabilityType, value0: u64, value1: u64| Capability {
            kind: kind as u16,
            version: 1,
            length: Capability::SIZE as u16,
            value0,
            value1,
            ..Capability::ZERO
        };
        let wide = u64::from(u32::MAX);
        let guards = Guard::ALL.iter().fold(0, |set, guard| set | guard.bit());
        [
            entry(CapabilityType::Queues, self.config.queues.into(), u64::from(self.config.queues) + 1),
            entry(CapabilityType::FlowTable, self.config.flow_entries.into(), flow::WAYS as u64),
            entry(CapabilityType::Literals, 0b1_1111_0000, 64),
            entry(CapabilityType::BloomBits, 24, c::BLOOM_PARTITIONS_MAX as u64),
            entry(CapabilityType::ExactEntries, 1 << 28, 16),
            entry(CapabilityType::Lists, wide, 0),
            entry(CapabilityType::Records, wide, wide),
            entry(CapabilityType::Classes, 0x1_0000 | 0x1_0000 << 32, 0x1_0000 | 0x1_0000 << 32),
            entry(CapabilityType::Prefixes, wide, wide),
            entry(CapabilityType::Banks, 3, 0),
            entry(CapabilityType::History, c::HISTORY_SIZE_MAX, 0),
            entry(CapabilityType::Ports, 1, LINK_TYPES),
            entry(CapabilityType::Inline, 1, 0),
            entry(CapabilityType::Guards, guards, 0),
            entry(CapabilityType::Takeover, 1, 0),
        ]
    }

    fn read(&mut self, offset: u32) -> u32 {
        let half = |value: u64| (value >> (8 * (offset & 4))) as u32;
        if let Some(at) = offset.checked_sub(c::GUARD_COUNTER_BASE).map(|at| (at / 8) as usize) {
            if let Some(value) = self.pipeline.counters.latched_guard(at) {
                return half(value);
            }
        } else if let Some(at) = offset.checked_sub(c::COUNTER_BASE).map(|at| (at / 8) as usize) {
            if let Some(value) = self.pipeline.counters.latched(at) {
                return half(value);
            }
        } else if let Some(at) = offset.checked_sub(CAPABILITIES).map(|at| at as usize) {
            let bytes = self.capabilities().get(at / Capability::SIZE).map(Capability::to_bytes);
            if let Some(word) = bytes.as_ref().and_then(|b| b.get(at % Capability::SIZE..)).and_then(|b| b.first_chunk()) {
                return u32::from_le_bytes(*word);
            }
        } else if let Some((base, value)) = self.registers.base(offset).and_then(|base| Some((base, self.live(base)?))) {
            return (value >> (8 * (offset - base))) as u32;
        } else if let Some(value) = self.registers.read(offset) {
            return value;
        }
        self.pipeline.counters.count(Counter::RegisterFaults);
        u32::MAX
    }

    /// Registers whose value is somewhere else.
    fn live(&self, base: u32) -> Option<u64> {
        let bank = self.banks.active.as_ref();
        let epoch = |bank: &Option<crate::banks::Bank>| bank.as_ref().map_or(0, |bank| u64::from(bank.epoch));
        let identity = |from: usize| {
            let bytes = bank.and_then(|bank| bank.tables.identity.get(from..)).and_then(|b| b.first_chunk::<8>());
            bytes.map_or(0, |b| u64::from_le_bytes(*b))
        };
        Some(match base {
            r::KIND => DeviceKind::Model as u64,
            r::CAPABILITY_OFFSET => CAPABILITIES.into(),
            r::CAPABILITY_COUNT => self.capabilities().len() as u64,
            r::FRAME_NUMBER => self.pipeline.number,
            r::FRAME_TIME => self.pipeline.now,
            r::STATUS => self.status().into(),
            r::EPOCH => epoch(&self.banks.active),
            r::EPOCH_SHADOW => epoch(&self.banks.shadow),
            r::EPOCH_PREVIOUS => epoch(&self.banks.previous),
            r::TABLE_CRC => bank.map_or(0, |bank| bank.read_back().into()),
            r::TABLE_IDENTITY_LOW => identity(0),
            r::TABLE_IDENTITY_HIGH => identity(8),
            r::CONTROL => {
                let flushing = if self.pipeline.is_flushing() { Control::FLUSH.0 } else { 0 };
                self.registers.get(r::CONTROL) | u64::from(flushing)
            }
            _ => {
                let n = base.checked_sub(q::BASE)? / q::STRIDE;
                let queue = self.pipeline.queues.get(n as usize)?;
                match (base - q::BASE) % q::STRIDE {
                    q::HISTORY_WRITTEN => queue.written(),
                    q::DESCRIPTOR_PRODUCER => queue.descriptors.producer.into(),
                    q::DESCRIPTOR_CONSUMER => queue.descriptors.consumer.into(),
                    q::FLOW_RECORD_PRODUCER => queue.flow_records.producer.into(),
                    q::FLOW_RECORD_CONSUMER => queue.flow_records.consumer.into(),
                    q::TX_CONSUMER => queue.tx.consumer.into(),
                    _ => return None,
                }
            }
        })
    }

    fn status(&self) -> u32 {
        let mut status = Status::READY.0;
        for (set, flag) in [
            (self.is_enabled(), Status::ENABLED),
            (self.pipeline.bank.is_some(), Status::TABLES),
            (self.pipeline.watchdog.expired(), Status::FAIL_MODE),
            (self.registers.get(r::ERROR) != 0, Status::FAULT),
            (self.registers.get(r::ERROR) == Error::BusMaster as u64, Status::BUS_MASTER_OFF),
            (self.ended, Status::SOURCE_ENDED),
        ] {
            status |= if set { flag.0 } else { 0 };
        }
        status
    }

    fn write(&mut self, offset: u32, value: u32) {
        let control = self.registers.get(r::CONTROL) as u32;
        match self.registers.write(offset, value) {
            Write::Half => {}
            Write::Refused => self.pipeline.counters.count(Counter::RegisterFaults),
            Write::Locked => {
                self.pipeline.counters.count(Counter::RegisterFaults);
                self.error(Error::Locked, offset.into());
            }
            Write::Stored(base, value) if base >= q::BASE => self.queue_written(base - q::BASE, value),
            Write::Stored(base, value) => self.written(base, value, control),
        }
    }

    fn written(&mut self, base: u32, value: u64, control: u32) {
        match base {
            r::CONTROL => self.control(control, value as u32),
            r::ERROR => {
                // Any write clears, as it does not name an error.
                self.registers.set(r::ERROR, 0);
                self.registers.set(r::ERROR_DETAIL, 0);
            }
            r::TABLE_LOAD => self.load_tables(),
            r::EPOCH => self.activate(value as u32),
            r::HEARTBEAT => {
                self.beats += 1;
                let now = self.pipeline.now;
                if self.pipeline.watchdog.beat(now) == Change::Ended {
                    self.cause(InterruptCause::WATCHDOG);
                }
            }
            r::WATCHDOG_FRAMES => self.pipeline.watchdog.frame_limit = value as u32,
            r::WATCHDOG_TIME => self.pipeline.watchdog.time_limit = value,
            r::FAIL_MODE => self.pipeline.settings.fail_closed = value != 0,
            r::COUNTER_SNAPSHOT => self.pipeline.counters.latch(),
            _ => {}
        }
    }

    fn queue_written(&mut self, offset: u32, value: u64) {
        let n = offset / q::STRIDE;
        let register = offset % q::STRIDE;
        let Some(queue) = self.pipeline.queues.get_mut(n as usize) else { return };
        let value32 = value as u32;
        let good = match register {
            q::DESCRIPTOR_CONSUMER => queue.consumed(value32),
            q::FLOW_RECORD_CONSUMER => queue.flow_records_consumed(value32),
            q::DESCRIPTOR_INTERRUPT => {
                queue.interrupt = value32;
                true
            }
            q::TX_PRODUCER => {
                let waiting = value32.wrapping_sub(queue.tx.consumer);
                let good = waiting <= queue.tx.entries && waiting >= queue.tx.used();
                if good {
                    queue.tx.producer = value32;
                }
                good
            }
            _ => return,
        };
        if !good {
            return self.error(Error::BadRing, q::at(n, register).into());
        }
        self.step(Pipeline::resume);
    }

    fn control(&mut self, before: u32, value: u32) {
        if value & Control::RESET.0 != 0 {
            return self.reset();
        }
        let kept = value & (Control::ENABLE.0 | Control::INLINE.0);
        self.registers.set(r::CONTROL, kept.into());
        if kept & Control::ENABLE.0 != 0 && before & Control::ENABLE.0 == 0 {
            if let Err(register) = self.set_up() {
                self.registers.set(r::CONTROL, (kept & !Control::ENABLE.0).into());
                return self.error(Error::BadRing, register.into());
            }
            if self.banks.active.is_none() {
                self.error(Error::NoTables, 0);
            }
        }
        self.pipeline.settings.inline = kept & Control::INLINE.0 != 0;
        if value & Control::FLUSH.0 != 0 {
            let (ended, now) = (self.ended, self.pipeline.now);
            self.step(|pipeline| if ended { _ = pipeline.finish(now) } else { pipeline.flush() });
        }
    }

    /// Take the set-up registers over. Rings whose set-up did not change go on where they were.
    fn set_up(&mut self) -> Result<(), u32> {
        let count = self.registers.get(r::QUEUE_COUNT) as u32;
        if !count.is_power_of_two() || count > self.config.queues {
            return Err(r::QUEUE_COUNT);
        }
        let wanted = match self.registers.get(r::FLOW_ENTRIES) as u32 {
            0 => self.config.flow_entries,
            n if n > self.config.flow_entries => return Err(r::FLOW_ENTRIES),
            n => n.max(flow::ENTRIES_MIN),
        };
        let mut queues = Vec::new();
        for n in 0..count {
            let mut queue = Queue::default();
            let get = |register| self.registers.get(q::at(n, register));
            queue.history_base = get(q::HISTORY_BASE);
            queue.history_size = get(q::HISTORY_SIZE);
            queue.history_margin = get(q::HISTORY_MARGIN);
            queue.status = get(q::STATUS_BASE);
            queue.interrupt = get(q::DESCRIPTOR_INTERRUPT) as u32;
            for (ring, base, entries) in [
                (&mut queue.descriptors, q::DESCRIPTOR_BASE, q::DESCRIPTOR_ENTRIES),
                (&mut queue.flow_records, q::FLOW_RECORD_BASE, q::FLOW_RECORD_ENTRIES),
                (&mut queue.tx, q::TX_BASE, q::TX_ENTRIES),
            ] {
                ring.base = get(base);
                ring.entries = get(entries) as u32;
            }
            queue.check().map_err(|register| q::at(n, register))?;
            queues.push(queue);
        }
        let settings = settings(&self.registers);
        let same = |old: &Queue, new: &Queue| {
            let rings = |q: &Queue| [q.descriptors, q.flow_records, q.tx].map(|ring| (ring.base, ring.entries));
            let history = |q: &Queue| (q.history_base, q.history_size, q.history_margin, q.status);
            rings(old) == rings(new) && history(old) == history(new)
        };
        let pipeline = &mut self.pipeline;
        let kept = pipeline.settings.flow_hash == settings.flow_hash && pipeline.flows.capacity() == 1 << wanted.ilog2();
        let unchanged = kept
            && pipeline.queues.len() == queues.len()
            && pipeline.queues.iter().zip(&queues).all(|(old, new)| same(old, new));
        pipeline.settings = settings;
        if !unchanged {
            pipeline.take_over(queues, wanted, kept);
        }
        Ok(())
    }

    fn load_tables(&mut self) {
        let (address, length) = (self.registers.get(r::TABLE_ADDRESS), self.registers.get(r::TABLE_LENGTH));
        let result = self.banks.load(&mut self.pipeline.bus, address, length);
        let (state, error, block, offset) = match result {
            Ok(_) => {
                self.pipeline.counters.count(Counter::TableLoads);
                (TableState::Ready, 0, 0, 0)
            }
            Err(refusal) => {
                self.pipeline.counters.count(Counter::TableFailures);
                (TableState::Failed, refusal.error as u64, u64::from(refusal.block), refusal.offset)
            }
        };
        self.registers.set(r::TABLE_STATUS, state as u64);
        self.registers.set(r::TABLE_ERROR, error);
        self.registers.set(r::TABLE_ERROR_BLOCK, block);
        self.registers.set(r::TABLE_ERROR_OFFSET, offset);
        self.cause(InterruptCause::TABLE);
    }

    fn activate(&mut self, epoch: u32) {
        if !self.banks.activate(epoch) {
            return self.error(Error::Epoch, epoch.into());
        }
        if let Some(bank) = &self.banks.active {
            if self.pipeline.bank.as_ref().is_none_or(|(active, _)| *active != bank.epoch) {
                self.pipeline.activate(bank.epoch, Rc::clone(&bank.tables));
            }
        }
    }

    fn config_write(&mut self, offset: u16, value: u32) {
        let effect = self.space.write(offset, value);
        self.pipeline.bus.master = self.space.bus_master();
        if effect.reset {
            self.function_reset();
        }
    }

    fn function_reset(&mut self) {
        self.resets += 1;
        self.ended = false;
        let vectors = self.vectors();
        self.space = ConfigSpace::new(vectors);
        self.msix = Msix::new(usize::from(vectors));
        self.pipeline.bus.master = false;
        // The host let go: what it decided stays (decision 0024).
        let fail_mode = self.registers.get(r::FAIL_MODE);
        self.registers = Registers::new(self.config.queues);
        self.registers.set(r::FAIL_MODE, fail_mode);
        self.banks = Banks::default();
        self.pipeline.abandon();
    }
}

impl PciFunction for Simulator {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        Ok(self.0.borrow().space.read(offset))
    }

    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        self.0.borrow_mut().config_write(offset, value);
        Ok(())
    }

    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        let mut core = self.0.borrow_mut();
        // Nothing answers while memory decoding is off.
        if !core.space.memory_enabled() || offset % 4 != 0 {
            return Ok(u32::MAX);
        }
        Ok(match bar {
            c::BAR_REGISTERS => core.read(offset),
            c::BAR_MSIX => core.msix.read(offset).unwrap_or(u32::MAX),
            _ => u32::MAX,
        })
    }

    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        let mut core = self.0.borrow_mut();
        if !core.space.memory_enabled() || offset % 4 != 0 {
            return Ok(());
        }
        match bar {
            c::BAR_REGISTERS => core.write(offset, value),
            c::BAR_MSIX => {
                core.msix.write(offset, value);
            }
            _ => {}
        }
        Ok(())
    }

    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        Ok(self.0.borrow_mut().pipeline.bus.iommu.map(memory, permission))
    }

    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        if self.0.borrow_mut().pipeline.bus.iommu.unmap(iova) {
            Ok(())
        } else {
            Err(DeviceError::Mapping(format!("nothing is mapped at IOVA {iova:#x}")))
        }
    }

    fn interrupt(&mut self, vector: u16, _timeout: Duration) -> Result<bool, DeviceError> {
        // In one thread nothing can happen while waiting.
        Ok(self.0.borrow_mut().msix.take(vector))
    }

    fn reset(&mut self) -> Result<(), DeviceError> {
        self.0.borrow_mut().function_reset();
        Ok(())
    }
}
