//! The PCI function around the RTL: configuration space, registers, interrupts, DMA mappings; and the hand that feeds it
//! frames.

mod frames;
mod tables;

use crate::core::{
    COUNTERS, Core, DESCRIPTORS_MAX, Doorbells, FLOW_ENTRIES, Input, Output, Pin, QUEUES, QueueSettings, Settings, Tables,
};
use frames::Among;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{
    CapabilityType, Control, DeviceKind, Error, InterruptCause, Status,
};
use weir_contract::guards::Guard;
use weir_contract::layouts::Capability;
use weir_contract::registers as r;
use weir_contract::registers::queue as q;
use weir_device::{DeviceError, DmaMemory, PciFunction, Permission};
use weir_sim::config_space::ConfigSpace;
use weir_sim::counters::Counters;
use weir_sim::dma::{Bus, DmaFault};
use weir_sim::faults::Faults;
use weir_sim::msix::Msix;
use weir_sim::pipeline::TransmitSink;
use weir_sim::queue::{Queue, Ring};
use weir_sim::registers::{Registers, Write, record_error};
use weir_sim::Transmitted;

/// How the RTL is driven.
#[derive(Debug, Clone, Copy, Default)]
pub struct RtlConfig {
    /// Seed of the stalls of host memory and port; 0: none.
    pub stalls: u64,
}

/// Rows of the header table.
const HEADER: u64 = 1440;
const SECOND: u64 = 1_000_000_000;
/// Offset of the capability list.
const CAPABILITIES: u32 = 0x7000;
/// Link types that the parser reads: Ethernet, raw IP, Linux cooked, null/loop.
const LINK_TYPES: u64 = 0b1111;
/// Cycles in which nothing at all happens before the RTL is said to hang.
const PATIENCE: u64 = 4_000_000;

/// RTL under Verilator; clones name the same one.
#[derive(Clone)]
pub struct RtlDevice(Rc<RefCell<Shell>>);

struct Shell {
    space: ConfigSpace,
    msix: Msix,
    registers: Registers,
    bus: Bus,
    core: Core,
    input: Input,
    settings: Settings,
    doorbells: [Doorbells; QUEUES],
    /// Producers that the RTL stored, by queue: descriptors, flow records. Interrupts are raised from them.
    producers: [(u32, u32); QUEUES],
    written: [u64; QUEUES],
    queues: usize,
    /// What host memory answers the loader, in order.
    lines: VecDeque<Option<[u8; 64]>>,
    /// An image is being loaded.
    loading: bool,
    /// Address of a byte of the image that changes on its way.
    damaged: Option<u64>,
    /// Numbers of frames that are inside and have no fate, in order.
    inside: VecDeque<u64>,
    /// TX entries that the RTL is told of among frames.
    among: Option<Among>,
    ending: bool,
    last: Last,
    /// Counted around the RTL.
    around: Counters,
    latched: Box<[u64; COUNTERS]>,
    sink: Option<TransmitSink>,
    leaving: Vec<u8>,
    random: u64,
    cycles: u64,
    error: Option<(Error, u64)>,
}

/// What the last cycle said.
#[derive(Default, Clone, Copy)]
struct Last {
    number: u64,
    time: u64,
    expired: bool,
    consumers: [u32; QUEUES],
    tables: Tables,
}

impl RtlDevice {
    /// The RTL after power-on; none where it was not built (no Verilator).
    pub fn new(config: RtlConfig) -> Option<Self> {
        let vectors = QUEUES as u16 + c::MSIX_VECTOR_QUEUE0;
        let registers = Registers::new(QUEUES as u32);
        let mut shell = Shell {
            space: ConfigSpace::new(vectors),
            msix: Msix::new(usize::from(vectors)),
            settings: settings(&registers),
            registers,
            bus: Bus::default(),
            core: Core::new()?,
            input: Input::default(),
            doorbells: Default::default(),
            producers: Default::default(),
            written: [0; QUEUES],
            queues: 0,
            lines: VecDeque::new(),
            loading: false,
            damaged: None,
            inside: VecDeque::new(),
            among: None,
            ending: false,
            last: Last::default(),
            around: Counters::default(),
            latched: Box::new([0; COUNTERS]),
            sink: None,
            leaving: Vec::new(),
            random: config.stalls,
            cycles: 0,
            error: None,
        };
        shell.restart(true);
        Some(RtlDevice(Rc::new(RefCell::new(shell))))
    }

    /// The source has ended: every flow entry ends and its flow record is written. `false`: rings are full, call again
    /// when the host has caught up.
    pub fn finish(&self, time: u64) -> bool {
        self.0.borrow_mut().finish(time)
    }

    /// Value of a counter now.
    pub fn counter(&self, counter: Counter) -> u64 {
        let shell = self.0.borrow();
        shell.core.counters()[counter as usize] + shell.around.get(counter)
    }

    /// Frames on which a guard fired.
    pub fn guard_counter(&self, guard: Guard) -> u64 {
        self.0.borrow().core.counters()[Counter::COUNT + guard as usize]
    }

    /// Conservation identities that do not hold, as text; empty if all do.
    pub fn broken_identities(&self) -> Vec<String> {
        let mut counters = Counters::default();
        for counter in Counter::ALL {
            counters.add(counter, self.counter(counter));
        }
        counters.check().err().map(|violation| violation.to_string()).into_iter().collect()
    }

    /// Arm faults of the bus; those inside the frame path are the model's alone.
    pub fn inject(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.0.borrow_mut().bus.faults);
    }

    /// Clock cycles so far.
    pub fn cycles(&self) -> u64 {
        self.0.borrow().cycles
    }

    /// Let something take what the device transmits. It must not call the device.
    pub fn on_transmit(&self, sink: Option<TransmitSink>) {
        self.0.borrow_mut().sink = sink;
    }
}

/// Settings as the registers have them, without queues and tables.
fn settings(registers: &Registers) -> Settings {
    let get = |register| registers.get(register);
    let seconds = |register| get(register).saturating_mul(SECOND);
    let ports = [get(r::TUNNEL_PORTS_0), get(r::TUNNEL_PORTS_1)];
    Settings {
        tunnel_ports: std::array::from_fn(|i| (ports[i / 4] >> (16 * (i % 4))) as u16),
        flow_hash: std::array::from_fn(|i| get(r::FLOW_HASH_0 + 8 * i as u32)),
        timeouts: [
            r::TIMEOUT_TCP_NEW,
            r::TIMEOUT_TCP_ESTABLISHED,
            r::TIMEOUT_TCP_CLOSED,
            r::TIMEOUT_UDP_NEW,
            r::TIMEOUT_UDP_ESTABLISHED,
            r::TIMEOUT_ICMP,
            r::TIMEOUT_OTHER_NEW,
            r::TIMEOUT_OTHER_ESTABLISHED,
        ]
        .map(seconds),
        margin: seconds(r::TIMEOUT_MARGIN),
        report_interval: seconds(r::REPORT_INTERVAL),
        watchdog_time: get(r::WATCHDOG_TIME),
        watchdog_frames: get(r::WATCHDOG_FRAMES) as u32,
        window: get(r::STREAM_WINDOW) as u32,
        checksums: get(r::CHECKSUM_MODE) != 0,
        vlan_key: get(r::VLAN_KEY) != 0,
        midstream: get(r::MIDSTREAM) != 0,
        source_waits: get(r::SOURCE_WAITS) != 0,
        fail_closed: get(r::FAIL_MODE) != 0,
        queue_mask: 0,
        queues: [QueueSettings::default(); QUEUES],
    }
}

impl Shell {
    // ---- the clock

    /// Reset of the RTL, and of what is loaded if `tables`; its flow table clears itself.
    fn restart(&mut self, tables: bool) {
        self.core.settings(&self.settings);
        self.doorbells = Default::default();
        self.core.doorbells(&self.doorbells);
        self.input = Input::default();
        self.input.set(Pin::Hold, true);
        self.input.set(Pin::Reset, true);
        self.input.load_reset(tables);
        for _ in 0..4 {
            self.core.cycle(&self.input);
        }
        self.input.set(Pin::Reset, false);
        self.input.load_reset(false);
        if tables {
            self.lines.clear();
            self.loading = false;
        }
        let tables = self.core.cycle(&self.input).tables();
        self.producers = Default::default();
        self.written = [0; QUEUES];
        self.last = Last { tables, ..Last::default() };
        self.inside.clear();
        self.ending = false;
        self.leaving.clear();
        for _ in 0..2 * FLOW_ENTRIES + 16 {
            self.core.cycle(&self.input);
        }
    }

    fn stall(&mut self) -> bool {
        if self.random == 0 {
            return false;
        }
        weir_contract::hash::splitmix64(&mut self.random) % 3 == 0
    }

    fn fault(&mut self, fault: DmaFault) {
        self.around.count(Counter::DmaFaults);
        self.error.get_or_insert(fault.code());
    }

    /// One cycle, with what host memory and the port do in it.
    fn tick(&mut self) -> Output {
        let (store, leave, answer) = (!self.stall(), !self.stall(), !self.stall());
        self.input.set(Pin::StoreReady, store);
        self.input.set(Pin::EgressReady, leave);
        let ask = self.answer_loader();
        let out = self.core.cycle(&self.input);
        self.cycles += 1;
        self.serve_loader(&out, ask);
        self.input.set(Pin::ReadValid, false);
        if let Some((address, bytes)) = out.store().filter(|_| store) {
            if let Err(fault) = self.bus.write(address, bytes) {
                self.fault(fault);
            }
            self.note(address, bytes);
        }
        if let Some((address, length)) = out.read().filter(|_| answer) {
            let mut bytes = [0u8; 64];
            let result = self.bus.read(address, &mut bytes[..length]);
            self.input.set(Pin::ReadValid, true);
            self.input.set(Pin::ReadFault, result.is_err());
            self.input.read_data(&bytes);
            if let Err(fault) = result {
                self.fault(fault);
            }
        }
        if let Some(word) = out.egress().filter(|_| leave) {
            self.leaving.extend(word.bytes);
            if word.last {
                if let Some(sink) = &mut self.sink {
                    sink(match word.kind {
                        0 => Transmitted::Passed(&self.leaving),
                        1 => Transmitted::Forwarded(word.number, &self.leaving),
                        _ => Transmitted::Injected(word.port, &self.leaving),
                    });
                }
                self.leaving.clear();
            }
        }
        if let Some((code, detail)) = out.error() {
            let code = Error::from_raw(code).unwrap_or(Error::BadCommand);
            self.error.get_or_insert((code, detail));
        }
        self.last = Last {
            number: out.frame_number(),
            time: out.frame_time(),
            expired: out.expired(),
            consumers: std::array::from_fn(|n| out.tx_consumer(n)),
            tables: out.tables(),
        };
        out
    }

    /// What a status store says of the rings.
    fn note(&mut self, address: u64, bytes: &[u8]) {
        for (n, queue) in self.settings.queues.iter().enumerate().take(self.queues) {
            let word = || bytes.first_chunk::<4>().map_or(0, |b| u32::from_le_bytes(*b));
            match address.wrapping_sub(queue.status_base) {
                8 => self.written[n] = bytes.first_chunk::<8>().map_or(0, |b| u64::from_le_bytes(*b)),
                16 => self.producers[n].0 = word(),
                20 => self.producers[n].1 = word(),
                _ => {}
            }
        }
    }

    /// Cycles until something is so.
    fn until(&mut self, what: impl Fn(&Output) -> bool) -> Output {
        for _ in 0..PATIENCE {
            let out = self.tick();
            if what(&out) {
                return out;
            }
        }
        panic!("the RTL hangs: nothing happened in {PATIENCE} cycles behind frame {}", self.last.number);
    }

    /// Until nothing goes on but what waits for the host.
    fn settle(&mut self) {
        // A pass over the TX rings that was under way may have been past what has come since: only the next one counts.
        if self.until(Output::rests_or_stalls).stalled() {
            self.until(Output::rests_or_stalls);
        }
    }

    fn pulse(&mut self, pin: Pin) -> Output {
        self.input.set(pin, true);
        let out = self.tick();
        self.input.set(pin, false);
        out
    }

    // ---- frames

    fn is_enabled(&self) -> bool {
        self.registers.get(r::CONTROL) as u32 & Control::ENABLE.0 != 0
    }

    fn finish(&mut self, time: u64) -> bool {
        if !self.is_enabled() {
            return true;
        }
        if !self.ending {
            self.input.time(time);
            self.pulse(Pin::TimeValid);
            self.ending = true;
            self.pulse(Pin::Over);
        }
        self.go_on();
        !self.ending
    }

    /// Goes on with what waited for room: an ending, then commands.
    fn go_on(&mut self) {
        if self.ending {
            let out = self.until(|out| out.ended() || out.stalled());
            if !out.ended() {
                return self.tell();
            }
            self.ending = false;
        }
        self.settle();
        self.tell();
    }

    // ---- the host is told

    fn cause(&mut self, cause: InterruptCause) {
        let causes = self.registers.get(r::INTERRUPT_CAUSE) | u64::from(cause.0);
        self.registers.set(r::INTERRUPT_CAUSE, causes);
        if causes & self.registers.get(r::INTERRUPT_MASK) != 0 {
            self.msix.raise(c::MSIX_VECTOR_CONTROL);
        }
    }

    fn report(&mut self, code: Error, detail: u64) {
        record_error(&mut self.registers, code, detail);
        self.cause(InterruptCause::ERROR);
    }

    fn tell(&mut self) {
        if let Some((code, detail)) = self.error.take() {
            self.report(code, detail);
        }
        for n in 0..self.queues {
            let limit = self.registers.get(q::at(n as u32, q::DESCRIPTOR_INTERRUPT)) as u32;
            let (descriptors, records) = self.producers[n];
            let d = &self.doorbells[n];
            let unread =
                descriptors.wrapping_sub(d.descriptor_consumer).max(records.wrapping_sub(d.flow_record_consumer));
            if limit != 0 && unread >= limit {
                self.msix.raise(c::MSIX_VECTOR_QUEUE0 + n as u16);
            }
        }
    }

    // ---- registers

    fn capabilities(&self) -> [Capability; 14] {
        let entry = |kind: CapabilityType, value0: u64, value1: u64| Capability {
            kind: kind as u16,
            version: 1,
            length: Capability::SIZE as u16,
            value0,
            value1,
            ..Capability::ZERO
        };
        let guards = Guard::ALL.iter().fold(0, |set, guard| set | guard.bit());
        [
            entry(CapabilityType::Queues, QUEUES as u64, QUEUES as u64 + 1),
            entry(CapabilityType::FlowTable, FLOW_ENTRIES.into(), 8),
            entry(CapabilityType::Literals, 0b1_0011_0000, 64),
            entry(CapabilityType::BloomBits, 19, 3),
            entry(CapabilityType::ExactEntries, 1 << 16, 4),
            entry(CapabilityType::Lists, 1 << 13, 0),
            entry(CapabilityType::Records, 1 << 12, HEADER),
            entry(CapabilityType::Classes, 1 << 9 | 320 << 32, 1 << 11 | 1024 << 32),
            entry(CapabilityType::Prefixes, 1 << 14, 1 << 7),
            entry(CapabilityType::Banks, 2, 0),
            entry(CapabilityType::History, c::HISTORY_SIZE_MAX, 0),
            entry(CapabilityType::Ports, 1, LINK_TYPES),
            entry(CapabilityType::Inline, 1, 0),
            entry(CapabilityType::Guards, guards, 0),
        ]
    }

    fn read(&mut self, offset: u32) -> u32 {
        if offset == r::TABLE_STATUS {
            self.await_tables();
        }
        let half = |value: u64| (value >> (8 * (offset & 4))) as u32;
        let counter = |base: u32| offset.checked_sub(base).map(|at| (at / 8) as usize);
        if let Some(at) = counter(c::GUARD_COUNTER_BASE) {
            if let Some(value) = self.latched.get(Counter::COUNT + at) {
                return half(*value);
            }
        } else if let Some(at) = counter(c::COUNTER_BASE) {
            if at < Counter::COUNT {
                return half(self.latched[at]);
            }
        } else if let Some(at) = offset.checked_sub(CAPABILITIES).map(|at| at as usize) {
            let bytes = self.capabilities().get(at / Capability::SIZE).map(Capability::to_bytes);
            let rest = bytes.as_ref().and_then(|b| b.get(at % Capability::SIZE..));
            if let Some(word) = rest.and_then(|b| b.first_chunk()) {
                return u32::from_le_bytes(*word);
            }
        } else if let Some((base, value)) = self.registers.base(offset).and_then(|base| Some((base, self.live(base)?)))
        {
            return (value >> (8 * (offset - base))) as u32;
        } else if let Some(value) = self.registers.read(offset) {
            return value;
        }
        self.around.count(Counter::RegisterFaults);
        u32::MAX
    }

    /// Registers whose value is somewhere else.
    fn live(&self, base: u32) -> Option<u64> {
        let tables = &self.last.tables;
        Some(match base {
            r::KIND => DeviceKind::Rtl as u64,
            r::CAPABILITY_OFFSET => CAPABILITIES.into(),
            r::CAPABILITY_COUNT => self.capabilities().len() as u64,
            r::FRAME_NUMBER => self.last.number,
            r::FRAME_TIME => self.last.time,
            r::STATUS => self.status().into(),
            r::EPOCH => tables.epoch.into(),
            r::EPOCH_SHADOW => tables.shadow.into(),
            r::EPOCH_PREVIOUS => tables.previous.into(),
            r::TABLE_CRC => tables.crc.into(),
            r::TABLE_IDENTITY_LOW => tables.identity[0],
            r::TABLE_IDENTITY_HIGH => tables.identity[1],
            r::CONTROL => self.registers.get(r::CONTROL) | u64::from(if self.ending { Control::FLUSH.0 } else { 0 }),
            _ => {
                let n = (base.checked_sub(q::BASE)? / q::STRIDE) as usize;
                let doorbells = self.doorbells.get(n).filter(|_| n < self.queues)?;
                match (base - q::BASE) % q::STRIDE {
                    q::HISTORY_WRITTEN => self.written[n],
                    q::DESCRIPTOR_PRODUCER => self.producers[n].0.into(),
                    q::DESCRIPTOR_CONSUMER => doorbells.descriptor_consumer.into(),
                    q::FLOW_RECORD_PRODUCER => self.producers[n].1.into(),
                    q::FLOW_RECORD_CONSUMER => doorbells.flow_record_consumer.into(),
                    q::TX_CONSUMER => self.last.consumers[n].into(),
                    _ => return None,
                }
            }
        })
    }

    fn status(&self) -> u32 {
        let mut status = Status::READY.0;
        for (set, flag) in [
            (self.is_enabled(), Status::ENABLED),
            (self.last.tables.active, Status::TABLES),
            (self.last.expired, Status::FAIL_MODE),
            (self.registers.get(r::ERROR) != 0, Status::FAULT),
            (self.registers.get(r::ERROR) == Error::BusMaster as u64, Status::BUS_MASTER_OFF),
        ] {
            status |= if set { flag.0 } else { 0 };
        }
        status
    }

    fn write(&mut self, offset: u32, value: u32) {
        let control = self.registers.get(r::CONTROL) as u32;
        match self.registers.write(offset, value) {
            Write::Half => {}
            Write::Refused => self.around.count(Counter::RegisterFaults),
            Write::Locked => {
                self.around.count(Counter::RegisterFaults);
                self.report(Error::Locked, offset.into());
            }
            Write::Stored(base, value) if base >= q::BASE => self.queue_written(base - q::BASE, value),
            Write::Stored(base, value) => self.written(base, value, control),
        }
    }

    fn written(&mut self, base: u32, value: u64, control: u32) {
        match base {
            r::CONTROL => self.control(control, value as u32),
            r::ERROR => {
                self.registers.set(r::ERROR, 0);
                self.registers.set(r::ERROR_DETAIL, 0);
            }
            r::TABLE_LOAD => self.load_tables(),
            r::EPOCH => self.activate(value as u32),
            r::HEARTBEAT => {
                let expired = self.last.expired;
                self.pulse(Pin::Heartbeat);
                self.tick();
                if expired {
                    self.cause(InterruptCause::WATCHDOG);
                }
            }
            r::WATCHDOG_FRAMES | r::WATCHDOG_TIME | r::FAIL_MODE => {
                let now = settings(&self.registers);
                self.settings = Settings {
                    watchdog_frames: now.watchdog_frames,
                    watchdog_time: now.watchdog_time,
                    fail_closed: now.fail_closed,
                    ..self.settings.clone()
                };
                self.core.settings(&self.settings);
            }
            r::COUNTER_SNAPSHOT => {
                *self.latched = self.core.counters();
                for counter in Counter::ALL {
                    self.latched[counter as usize] += self.around.get(counter);
                }
            }
            _ => {}
        }
    }

    fn queue_written(&mut self, offset: u32, value: u64) {
        let n = (offset / q::STRIDE) as usize;
        let register = offset % q::STRIDE;
        if n >= self.queues {
            return;
        }
        let value = value as u32;
        let (settings, producers) = (&self.settings.queues[n], self.producers[n]);
        let d = &mut self.doorbells[n];
        let good = match register {
            q::DESCRIPTOR_CONSUMER => advance(&mut d.descriptor_consumer, value, producers.0),
            q::FLOW_RECORD_CONSUMER => advance(&mut d.flow_record_consumer, value, producers.1),
            q::DESCRIPTOR_INTERRUPT => true,
            q::TX_PRODUCER => {
                let consumer = self.last.consumers[n];
                let waiting = value.wrapping_sub(consumer);
                let good = waiting <= settings.tx_entries && waiting >= d.tx_producer.wrapping_sub(consumer);
                if good {
                    d.tx_producer = value;
                }
                good
            }
            _ => return,
        };
        if !good {
            return self.report(Error::BadRing, q::at(n as u32, register).into());
        }
        if self.among.is_some() {
            return;
        }
        self.core.doorbells(&self.doorbells);
        self.go_on();
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
                return self.report(Error::BadRing, register.into());
            }
            if !self.last.tables.active {
                self.report(Error::NoTables, 0);
            }
        }
        if value & Control::FLUSH.0 != 0 {
            self.ending = true;
            self.pulse(Pin::Flush);
            self.go_on();
        }
    }

    /// Take the set-up registers over. Rings whose set-up did not change go on where they were.
    fn set_up(&mut self) -> Result<(), u32> {
        let count = self.registers.get(r::QUEUE_COUNT) as u32;
        if !count.is_power_of_two() || count as usize > QUEUES {
            return Err(r::QUEUE_COUNT);
        }
        // The RTL's table has the size it was built with.
        if self.registers.get(r::FLOW_ENTRIES) as u32 > FLOW_ENTRIES {
            return Err(r::FLOW_ENTRIES);
        }
        let mut queues = [QueueSettings::default(); QUEUES];
        for n in 0..count {
            let get = |register| self.registers.get(q::at(n, register));
            let ring = |base, entries| Ring { base: get(base), entries: get(entries) as u32, ..Ring::default() };
            let mut queue = Queue::default();
            queue.history_base = get(q::HISTORY_BASE);
            queue.history_size = get(q::HISTORY_SIZE);
            queue.history_margin = get(q::HISTORY_MARGIN);
            queue.status = get(q::STATUS_BASE);
            queue.descriptors = ring(q::DESCRIPTOR_BASE, q::DESCRIPTOR_ENTRIES);
            queue.flow_records = ring(q::FLOW_RECORD_BASE, q::FLOW_RECORD_ENTRIES);
            queue.tx = ring(q::TX_BASE, q::TX_ENTRIES);
            queue.check().map_err(|register| q::at(n, register))?;
            if queue.descriptors.entries > DESCRIPTORS_MAX {
                return Err(q::at(n, q::DESCRIPTOR_ENTRIES));
            }
            queues[n as usize] = QueueSettings {
                descriptor_entries: queue.descriptors.entries,
                flow_record_entries: queue.flow_records.entries,
                tx_entries: queue.tx.entries,
                history_base: queue.history_base,
                history_size: queue.history_size,
                history_margin: queue.history_margin,
                descriptor_base: queue.descriptors.base,
                flow_record_base: queue.flow_records.base,
                status_base: queue.status,
                tx_base: queue.tx.base,
            };
        }
        let new = Settings {
            queue_mask: (count - 1) as u8,
            queues,
            ..settings(&self.registers)
        };
        let unchanged = self.settings.queues == new.queues
            && self.queues == count as usize
            && self.settings.flow_hash == new.flow_hash;
        self.settings = new;
        self.queues = count as usize;
        if unchanged {
            self.core.settings(&self.settings);
        } else {
            self.restart(false);
        }
        Ok(())
    }

    /// Everything but the PCI function. The bus stays.
    fn reset(&mut self) {
        self.registers = Registers::new(QUEUES as u32);
        self.settings = settings(&self.registers);
        self.queues = 0;
        self.around = Counters::default();
        self.restart(true);
    }

    fn function_reset(&mut self) {
        let vectors = QUEUES as u16 + c::MSIX_VECTOR_QUEUE0;
        self.space = ConfigSpace::new(vectors);
        self.msix = Msix::new(usize::from(vectors));
        self.bus.master = false;
        self.reset();
    }
}

/// A consumer goes on to a number that the producer has passed; `false` if it cannot be.
fn advance(consumer: &mut u32, to: u32, producer: u32) -> bool {
    let good = to.wrapping_sub(*consumer) <= producer.wrapping_sub(*consumer);
    if good {
        *consumer = to;
    }
    good
}

impl PciFunction for RtlDevice {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        Ok(self.0.borrow().space.read(offset))
    }

    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        let mut shell = self.0.borrow_mut();
        let effect = shell.space.write(offset, value);
        shell.bus.master = shell.space.bus_master();
        if effect.reset {
            shell.function_reset();
        }
        Ok(())
    }

    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        let mut shell = self.0.borrow_mut();
        // Nothing answers while memory decoding is off.
        if !shell.space.memory_enabled() || offset % 4 != 0 {
            return Ok(u32::MAX);
        }
        Ok(match bar {
            c::BAR_REGISTERS => shell.read(offset),
            c::BAR_MSIX => shell.msix.read(offset).unwrap_or(u32::MAX),
            _ => u32::MAX,
        })
    }

    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        let mut shell = self.0.borrow_mut();
        if !shell.space.memory_enabled() || offset % 4 != 0 {
            return Ok(());
        }
        match bar {
            c::BAR_REGISTERS => shell.write(offset, value),
            c::BAR_MSIX => {
                shell.msix.write(offset, value);
            }
            _ => {}
        }
        Ok(())
    }

    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        Ok(self.0.borrow_mut().bus.iommu.map(memory, permission))
    }

    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        if self.0.borrow_mut().bus.iommu.unmap(iova) {
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
