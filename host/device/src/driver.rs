//! The driver: finds out what the device is, sets up its queues, loads tables, reads rings, sends commands.

mod history;
mod info;
mod queue;
pub mod selftest;
mod tables;
pub mod validate;

pub use history::{ChainOutline, HistoryFrame};
pub use info::{DeviceInfo, Imbalance, imbalances};
pub use queue::QueueConfig;

use crate::error::DeviceError;
use crate::pci::PciFunction;
use queue::Queue;
use std::os::fd::OwnedFd;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{self, Control, Status, TxCommand, TxFlags};
use weir_contract::hash::splitmix64;
use weir_contract::layouts::{Capability, Descriptor, FlowKey, FlowRecord, TxEntry};
use weir_contract::registers as r;

/// Register BAR.
const BAR: u8 = c::BAR_REGISTERS;
/// Configuration command register: memory space and bus mastering (PCI Local Bus 3.0 section 6.2.2).
const COMMAND: u16 = 0x04;
const COMMAND_MEMORY_AND_MASTER: u32 = 0x6;

/// UDP ports that TUNNEL_PORTS_0 and TUNNEL_PORTS_1 hold.
const TUNNEL_PORTS: usize = 8;

/// Settings of the device.
#[derive(Debug, Clone)]
pub struct DriverConfig {
    /// Queues, a power of two.
    pub queues: u32,
    /// Rings of every queue.
    pub queue: QueueConfig,
    /// Flow entries to use; 0: all the device has.
    pub flow_entries: u32,
    /// Look at checksums.
    pub validate_checksums: bool,
    /// Streams without SYN are followed by the host.
    pub midstream: bool,
    /// Delivered bytes of a stream that payload contents still see.
    pub stream_window: u32,
    /// Fail open (pass) when the host is silent; else drop.
    pub fail_open: bool,
    /// Frames without heartbeat until fail mode, 0: never.
    pub watchdog_frames: u32,
    /// Frame time in nanoseconds without heartbeat until fail mode, 0: never.
    pub watchdog_time: u64,
    /// VLAN identifiers belong to the flow key.
    pub vlan_key: bool,
    /// Secret of the flow hash; 0 keeps the device's own constants, so that runs can be repeated.
    pub flow_hash_seed: u64,
    /// The source can wait for the host (capture files): nothing is lost to full rings.
    pub source_waits: bool,
    /// Flow time-outs of the host in seconds: TCP new, established, closed; UDP new, established; ICMP; other new,
    /// established.
    pub timeouts: [u32; 8],
    /// UDP ports whose datagrams are tunnels for the host, at most eight.
    pub tunnel_ports: Vec<u16>,
    /// Seconds between reports of a long-lived flow, 0: none.
    pub report_interval: u32,
    /// Bytes of frames that the TX entries of a queue may hold at once; 0: none, on a tap.
    pub tx_bytes: u64,
}

impl Default for DriverConfig {
    fn default() -> Self {
        DriverConfig {
            queues: 1,
            queue: QueueConfig::default(),
            flow_entries: 0,
            validate_checksums: true,
            midstream: false,
            stream_window: u32::MAX,
            fail_open: true,
            watchdog_frames: 0,
            watchdog_time: 0,
            vlan_key: true,
            flow_hash_seed: 0,
            source_waits: true,
            timeouts: [60, 600, 60, 30, 300, 30, 30, 300],
            tunnel_ports: vec![4789, 4790, 6081, 3544, 2152],
            report_interval: 60,
            tx_bytes: 0,
        }
    }
}

/// A device in use.
pub struct Driver<P> {
    pci: P,
    queues: Vec<Queue>,
    capabilities: Vec<Capability>,
    version: (u16, u16),
    beat: u32,
}

/// A verdict on a diverted frame, to be completed by flags and bytes.
pub fn answer_to(descriptor: &Descriptor, command: TxCommand) -> TxEntry {
    TxEntry {
        command: command as u8,
        frame_number: descriptor.frame_number,
        flow_index: descriptor.flow_index,
        flow_generation: descriptor.flow_generation,
        ..TxEntry::ZERO
    }
}

impl<P: PciFunction> Driver<P> {
    /// Check what answers, and bring it to a known state. Nothing is enabled yet.
    pub fn probe(pci: P) -> Result<Self, DeviceError> {
        Self::attach(pci)?.restart()
    }

    /// Bring an attached device to a known state. Nothing is enabled yet.
    pub fn restart(mut self) -> Result<Self, DeviceError> {
        self.reset()?;
        self.queues.clear();
        Ok(self)
    }

    /// Check what answers, and take over from a host that is gone, as [`Driver::take_over`] does.
    pub fn resume(pci: P) -> Result<(Self, bool), DeviceError> {
        Self::attach(pci)?.take_over()
    }

    /// Take over from a host that is gone: flows that it blocked stay blocked, counters go on, and the device has applied its
    /// fail mode since (decision 0024). `false`: this device cannot; it was reset.
    pub fn take_over(mut self) -> Result<(Self, bool), DeviceError> {
        let takeover = self.capability(enums::CapabilityType::Takeover);
        if takeover.is_none_or(|takeover| takeover.value0 & 1 == 0) {
            return Ok((self.restart()?, false));
        }
        self.disable()?;
        // What went wrong for the other host is not this one's.
        self.pci.write32(BAR, r::ERROR, u32::MAX)?;
        self.queues.clear();
        Ok((self, true))
    }

    /// Check what answers and leave it as it is: to read identity, capabilities and counters of a device at work.
    pub fn attach(mut pci: P) -> Result<Self, DeviceError> {
        let id = pci.config_read(0)?;
        let (vendor, device) = (id as u16, (id >> 16) as u16);
        if (vendor, device) != (c::PCI_VENDOR, c::PCI_DEVICE) {
            return Err(DeviceError::NotWeir { vendor, device });
        }
        let command = pci.config_read(COMMAND)?;
        pci.config_write(COMMAND, command & 0xffff | COMMAND_MEMORY_AND_MASTER)?;
        if pci.read32(BAR, r::MAGIC)? != c::DEVICE_MAGIC {
            return Err(DeviceError::NotWeir { vendor, device });
        }
        let version = pci.read32(BAR, r::VERSION)?;
        let (major, minor) = ((version >> 16) as u16, version as u16);
        if major != c::CONTRACT_MAJOR {
            return Err(DeviceError::Version { device_major: major, device_minor: minor });
        }
        let offset = pci.read32(BAR, r::CAPABILITY_OFFSET)?;
        let count = pci.read32(BAR, r::CAPABILITY_COUNT)?;
        let end = u64::from(offset) + u64::from(count) * Capability::SIZE as u64;
        if offset % 8 != 0 || end > c::BAR_REGISTERS_SIZE {
            return Err(DeviceError::Register {
                what: "capability list",
                value: u64::from(offset) << 32 | u64::from(count),
            });
        }
        let mut capabilities = Vec::new();
        for n in 0..count {
            let mut bytes = [0u8; Capability::SIZE];
            for (word, out) in bytes.chunks_exact_mut(4).enumerate() {
                let at = offset.wrapping_add(n * Capability::SIZE as u32 + 4 * word as u32);
                out.copy_from_slice(&pci.read32(BAR, at)?.to_le_bytes());
            }
            let capability = Capability::from_bytes(&bytes);
            if enums::CapabilityType::from_raw(capability.kind).is_none() && capability.required != 0 {
                return Err(DeviceError::Capability { kind: capability.kind });
            }
            capabilities.push(capability);
        }
        Ok(Driver { pci, queues: Vec::new(), capabilities, version: (major, minor), beat: 0 })
    }

    fn reset(&mut self) -> Result<(), DeviceError> {
        self.pci.write32(BAR, r::CONTROL, Control::RESET.0)?;
        for _ in 0..1000 {
            match self.pci.read32(BAR, r::CONTROL)? {
                u32::MAX => return Err(DeviceError::Removed),
                control if control & Control::RESET.0 == 0 => return Ok(()),
                _ => {}
            }
            std::thread::yield_now();
        }
        Err(DeviceError::Timeout { what: "CONTROL.RESET does not clear" })
    }

    /// Contract version of the device.
    pub fn version(&self) -> (u16, u16) {
        self.version
    }

    /// Capability list.
    pub fn capabilities(&self) -> &[Capability] {
        &self.capabilities
    }

    /// What answers: model, RTL, card.
    pub fn kind(&mut self) -> Result<Option<enums::DeviceKind>, DeviceError> {
        Ok(enums::DeviceKind::from_raw(self.pci.read32(BAR, r::KIND)?))
    }

    fn capability(&self, kind: enums::CapabilityType) -> Option<&Capability> {
        self.capabilities.iter().find(|capability| capability.kind == kind as u16)
    }

    /// The PCI function.
    pub fn pci(&mut self) -> &mut P {
        &mut self.pci
    }

    /// Set queues and flow settings up. The device must not be enabled.
    pub fn set_up(&mut self, config: &DriverConfig) -> Result<(), DeviceError> {
        let most = self.capability(enums::CapabilityType::Queues).map_or(1, |q| q.value0);
        if !config.queues.is_power_of_two() || u64::from(config.queues) > most {
            return Err(DeviceError::Setting {
                what: "device.queues",
                value: config.queues.into(),
                why: format!("it must be a power of two of at most {most}"),
            });
        }
        let entries = self.capability(enums::CapabilityType::FlowTable).map_or(0, |f| f.value0);
        if u64::from(config.flow_entries) > entries {
            return Err(DeviceError::Setting {
                what: "device.flow_entries",
                value: config.flow_entries.into(),
                why: format!("the device has {entries} entries"),
            });
        }
        self.pci.write32(BAR, r::QUEUE_COUNT, config.queues)?;
        self.pci.write32(BAR, r::FLOW_ENTRIES, config.flow_entries)?;
        self.pci.write32(BAR, r::CHECKSUM_MODE, u32::from(config.validate_checksums))?;
        self.pci.write32(BAR, r::MIDSTREAM, u32::from(config.midstream))?;
        self.pci.write32(BAR, r::STREAM_WINDOW, config.stream_window)?;
        self.pci.write32(BAR, r::FAIL_MODE, u32::from(!config.fail_open))?;
        self.pci.write32(BAR, r::WATCHDOG_FRAMES, config.watchdog_frames)?;
        self.pci.write32(BAR, r::SOURCE_WAITS, u32::from(config.source_waits))?;
        self.pci.write64(BAR, r::WATCHDOG_TIME, config.watchdog_time)?;
        self.pci.write32(BAR, r::VLAN_KEY, u32::from(config.vlan_key))?;
        if config.tunnel_ports.len() > TUNNEL_PORTS {
            return Err(DeviceError::Setting {
                what: "tunnel ports",
                value: config.tunnel_ports.len() as u64,
                why: format!("the device compares {TUNNEL_PORTS} UDP ports; decode fewer tunnel ports"),
            });
        }
        let mut words = [0u64; 2];
        for (n, port) in config.tunnel_ports.iter().enumerate() {
            words[n / 4] |= u64::from(*port) << (16 * (n % 4));
        }
        self.pci.write64(BAR, r::TUNNEL_PORTS_0, words[0])?;
        self.pci.write64(BAR, r::TUNNEL_PORTS_1, words[1])?;
        self.pci.write32(BAR, r::REPORT_INTERVAL, config.report_interval)?;
        if config.flow_hash_seed != 0 {
            let mut state = config.flow_hash_seed;
            for n in 0..6 {
                self.pci.write64(BAR, r::FLOW_HASH_0 + 8 * n, splitmix64(&mut state) | 1 | 1 << 63)?;
            }
        }
        for (register, seconds) in [
            r::TIMEOUT_TCP_NEW,
            r::TIMEOUT_TCP_ESTABLISHED,
            r::TIMEOUT_TCP_CLOSED,
            r::TIMEOUT_UDP_NEW,
            r::TIMEOUT_UDP_ESTABLISHED,
            r::TIMEOUT_ICMP,
            r::TIMEOUT_OTHER_NEW,
            r::TIMEOUT_OTHER_ESTABLISHED,
        ]
        .into_iter()
        .zip(config.timeouts)
        {
            self.pci.write32(BAR, register, seconds)?;
        }
        self.queues.clear();
        for n in 0..config.queues {
            let queue = Queue::new(&mut self.pci, n, &config.queue, entries, config.tx_bytes)?;
            self.queues.push(queue);
        }
        self.check()
    }

    /// Take frames.
    pub fn enable(&mut self, inline: bool) -> Result<(), DeviceError> {
        let mode = if inline { Control::INLINE.0 } else { 0 };
        self.pci.write32(BAR, r::CONTROL, Control::ENABLE.0 | mode)?;
        self.check()
    }

    /// Raise a queue's vector whenever so many descriptors or flow records of it are unread, and vector 0 for every cause
    /// there is; 0: nothing.
    pub fn interrupt_after(&mut self, unread: u32) -> Result<(), DeviceError> {
        self.pci.write32(BAR, r::INTERRUPT_MASK, if unread == 0 { 0 } else { u32::MAX })?;
        for n in 0..self.queues.len() as u32 {
            self.pci.write32(BAR, r::queue::at(n, r::queue::DESCRIPTOR_INTERRUPT), unread)?;
        }
        Ok(())
    }

    /// Any vector has been raised; waits for at most `timeout`.
    pub fn wait(&mut self, timeout: std::time::Duration) -> Result<bool, DeviceError> {
        self.pci.wait(timeout)
    }

    /// The device takes frames, as it was told; an error if not.
    pub fn is_at_work(&mut self) -> Result<(), DeviceError> {
        match self.pci.read32(BAR, r::STATUS)? {
            u32::MAX => Err(DeviceError::Removed),
            status if status & Status::ENABLED.0 == 0 => Err(DeviceError::Stopped),
            _ => Ok(()),
        }
    }

    /// The source of frames is over: what has been written to the rings by now is all there is.
    pub fn source_ended(&mut self) -> Result<bool, DeviceError> {
        match self.pci.read32(BAR, r::STATUS)? {
            u32::MAX => Err(DeviceError::Removed),
            status => Ok(status & Status::SOURCE_ENDED.0 != 0),
        }
    }

    /// Number and time of the last frame that the device took.
    pub fn frame(&mut self) -> Result<(u64, u64), DeviceError> {
        Ok((self.pci.read64(BAR, r::FRAME_NUMBER)?, self.pci.read64(BAR, r::FRAME_TIME)?))
    }

    /// Take no more frames.
    pub fn disable(&mut self) -> Result<(), DeviceError> {
        self.pci.write32(BAR, r::CONTROL, 0)
    }

    /// The device can be given to another process without a reset between.
    pub fn can_hand_over(&self) -> bool {
        self.pci.can_hand_over()
    }

    /// Gives the device, which must not be enabled, to another process: what that goes on with. Its tables and its flow table
    /// stay; this driver is of no more use. What is given is [`PciFunction::hand_over`]'s.
    pub fn hand_over(&mut self) -> Result<(OwnedFd, u64), DeviceError> {
        self.queues.clear();
        self.pci.hand_over()
    }

    /// End every flow: chains are handed over and flow records written.
    pub fn flush(&mut self) -> Result<(), DeviceError> {
        let control = self.pci.read32(BAR, r::CONTROL)?;
        self.pci.write32(BAR, r::CONTROL, control | Control::FLUSH.0)
    }

    /// A flush is under way.
    pub fn is_flushing(&mut self) -> Result<bool, DeviceError> {
        match self.pci.read32(BAR, r::CONTROL)? {
            u32::MAX => Err(DeviceError::Removed),
            control => Ok(control & Control::FLUSH.0 != 0),
        }
    }

    /// Report and clear an error of the device.
    pub fn check(&mut self) -> Result<(), DeviceError> {
        match self.pci.read32(BAR, r::STATUS)? {
            u32::MAX => return Err(DeviceError::Removed),
            status if status & Status::FAULT.0 == 0 => return Ok(()),
            _ => {}
        }
        let raw = self.pci.read32(BAR, r::ERROR)?;
        let detail = self.pci.read64(BAR, r::ERROR_DETAIL)?;
        self.pci.write32(BAR, r::ERROR, u32::MAX)?;
        match enums::Error::from_raw(raw) {
            None | Some(enums::Error::None) => Ok(()),
            Some(code) => Err(DeviceError::Reported { code, detail }),
        }
    }

    /// Tell the device that the host lives.
    pub fn heartbeat(&mut self) -> Result<(), DeviceError> {
        self.beat = self.beat.wrapping_add(1);
        self.pci.write32(BAR, r::HEARTBEAT, self.beat)
    }

    /// Number of queues.
    pub fn queues(&self) -> usize {
        self.queues.len()
    }

    /// Take the next descriptor of a queue, if there is one. It must be given back with [`Driver::done`], in order.
    pub fn next_descriptor(&mut self, queue: usize) -> Result<Option<Descriptor>, DeviceError> {
        match self.queues.get_mut(queue) {
            Some(q) => q.next_descriptor(queue),
            None => Ok(None),
        }
    }

    /// Descriptors of a queue that the host is not done with, and entries of its ring.
    pub fn backlog(&self, queue: usize) -> (u32, u32) {
        self.queues.get(queue).map_or((0, 1), Queue::backlog)
    }

    /// The host is done with every descriptor it took from a queue.
    pub fn done(&mut self, queue: usize) -> Result<(), DeviceError> {
        match self.queues.get_mut(queue) {
            Some(q) => q.done(&mut self.pci),
            None => Ok(()),
        }
    }

    /// Take the next flow record of a queue.
    pub fn next_flow_record(&mut self, queue: usize) -> Result<Option<FlowRecord>, DeviceError> {
        match self.queues.get_mut(queue) {
            Some(q) => q.next_flow_record(&mut self.pci, queue),
            None => Ok(None),
        }
    }

    /// Copy the frame of a record into `frame`.
    pub fn read_frame(&self, queue: usize, position: u64, frame: &mut HistoryFrame) -> Result<(), DeviceError> {
        match self.queues.get(queue) {
            Some(q) => q.read_frame(queue, position, frame),
            None => Err(DeviceError::HistoryGone { queue, position }),
        }
    }

    /// What the headers of a chain of records say: its frames are not read.
    pub fn outline(&self, queue: usize, head: u64, count: u32) -> Result<ChainOutline, DeviceError> {
        match self.queues.get(queue) {
            Some(q) => q.outline(queue, head, count),
            None => Err(DeviceError::HistoryGone { queue, position: head }),
        }
    }

    /// Copy a chain of records, oldest first, into `frames` (reused); gives how many. A chain that is cut short by an
    /// overwritten record is an error after the readable rest was copied.
    pub fn read_chain(
        &self,
        queue: usize,
        head: u64,
        count: u32,
        frames: &mut Vec<HistoryFrame>,
    ) -> (usize, Result<(), DeviceError>) {
        match self.queues.get(queue) {
            Some(q) => q.read_chain(queue, head, count, frames),
            None => (0, Ok(())),
        }
    }

    /// Put a command into a queue's TX ring; it takes effect when the doorbell is rung.
    pub fn command(&mut self, queue: usize, entry: &TxEntry) -> Result<(), DeviceError> {
        match self.queues.get_mut(queue) {
            Some(q) => q.command(&mut self.pci, queue, entry),
            None => Err(DeviceError::TxStuck { queue }),
        }
    }

    /// Put a command with a frame's bytes into a queue's TX ring: FORWARD inline, or INJECT.
    pub fn send(&mut self, queue: usize, entry: &TxEntry, frame: &[u8]) -> Result<(), DeviceError> {
        match self.queues.get_mut(queue) {
            Some(q) => q.send(&mut self.pci, queue, entry, frame),
            None => Err(DeviceError::TxStuck { queue }),
        }
    }

    /// Command naming a flow.
    pub fn flow_command(
        &mut self,
        queue: usize,
        command: TxCommand,
        flow: (u32, u32),
        frame: u64,
        scopes: u8,
    ) -> Result<(), DeviceError> {
        let entry = TxEntry {
            command: command as u8,
            scopes,
            frame_number: frame,
            flow_index: flow.0,
            flow_generation: flow.1,
            ..TxEntry::ZERO
        };
        self.command(queue, &entry)
    }

    /// Only these scopes can still match in the flow (0xff: all again), and its protocol class is this one (0: as the device
    /// knows); its frames are recorded as before.
    pub fn settle(&mut self, queue: usize, flow: (u32, u32), scopes: u8, told_class: u8) -> Result<(), DeviceError> {
        let entry = TxEntry {
            command: TxCommand::Settle as u8,
            flags: TxFlags::KEEP_HISTORY.0,
            scopes,
            told_class,
            flow_index: flow.0,
            flow_generation: flow.1,
            ..TxEntry::ZERO
        };
        self.command(queue, &entry)
    }

    /// Ask for a flow by key.
    pub fn divert_key(&mut self, queue: usize, key: &FlowKey) -> Result<(), DeviceError> {
        match self.queues.get_mut(queue) {
            Some(q) => q.divert_key(&mut self.pci, queue, key),
            None => Err(DeviceError::TxStuck { queue }),
        }
    }

    /// Ring the doorbell of a queue.
    pub fn ring(&mut self, queue: usize) -> Result<(), DeviceError> {
        match self.queues.get_mut(queue) {
            Some(q) => q.ring(&mut self.pci),
            None => Ok(()),
        }
    }

    /// Ring the doorbell of a queue and wait until its commands are carried out, or until they wait for the host
    /// themselves. What the device wrote meanwhile can be read.
    pub fn ring_and_wait(&mut self, queue: usize) -> Result<(), DeviceError> {
        match self.queues.get_mut(queue) {
            Some(q) => q.ring_and_wait(&mut self.pci),
            None => Ok(()),
        }
    }

    /// Latch and read all counters.
    pub fn counters(&mut self) -> Result<Vec<(Counter, u64)>, DeviceError> {
        self.pci.write32(BAR, r::COUNTER_SNAPSHOT, 1)?;
        Counter::ALL
            .iter()
            .map(|counter| Ok((*counter, self.pci.read64(BAR, c::COUNTER_BASE + 8 * *counter as u32)?)))
            .collect()
    }

    /// Read the latched guard counters, by guard number.
    pub fn guard_counters(&mut self) -> Result<Vec<u64>, DeviceError> {
        (0..c::GUARDS_MAX as u32).map(|n| self.pci.read64(BAR, c::GUARD_COUNTER_BASE + 8 * n)).collect()
    }
}
