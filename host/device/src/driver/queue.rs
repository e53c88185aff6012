//! One queue: its rings in host memory, and what the host has read of them.

use super::validate::{self, Bounds};
use super::{BAR, ChainOutline, HistoryFrame};
use crate::dma::{DmaMemory, read_fence};
use crate::error::DeviceError;
use crate::iommu::Permission;
use crate::pci::PciFunction;
use std::collections::VecDeque;
use weir_contract::constants as c;
use weir_contract::enums::{FlowRecordKind, FrameFlags, TxCommand, TxFlags};
use weir_contract::layouts::{Descriptor, FlowKey, FlowRecord, HistoryHeader, QueueStatus, TxEntry};
use weir_contract::registers::queue as q;

/// Sizes of a queue's rings.
#[derive(Debug, Clone, Copy)]
pub struct QueueConfig {
    /// Bytes of the history ring, a power of two.
    pub history: u64,
    /// Bytes ahead of the write position at which records are handed over; 0: a quarter.
    pub margin: u64,
    /// Descriptors.
    pub descriptors: u32,
    /// Flow records.
    pub flow_records: u32,
    /// TX entries.
    pub tx: u32,
}

impl Default for QueueConfig {
    fn default() -> Self {
        QueueConfig { history: 64 << 20, margin: 0, descriptors: 4096, flow_records: 4096, tx: 4096 }
    }
}

/// Offset of the key slots behind the TX ring: one per TX entry.
const KEY_SLOT: usize = 64;

/// Reads of TX_CONSUMER that a doorbell is waited for. Commands that find no room wait for the host: then more would not
/// help.
const DOORBELL_READS: u32 = 64;

pub(super) struct Queue {
    config: QueueConfig,
    number: u32,
    flow_entries: u64,
    history: DmaMemory,
    descriptors: DmaMemory,
    flow_records: DmaMemory,
    tx: DmaMemory,
    tx_iova: u64,
    bytes: Option<TxBytes>,
    status: DmaMemory,
    descriptor_next: u32,
    descriptor_done: u32,
    flow_record_next: u32,
    tx_next: u32,
    tx_rung: u32,
}

/// Bytes that TX entries point to: a ring, given back as the device takes the entries.
struct TxBytes {
    memory: DmaMemory,
    iova: u64,
    /// Positions, as in the history ring.
    head: u64,
    tail: u64,
    /// Number of the entry behind one with bytes, and where they end.
    held: VecDeque<(u32, u64)>,
}

impl TxBytes {
    /// The device has taken the entries before `consumer`.
    fn give_back(&mut self, consumer: u32) {
        while let Some((entry, end)) = self.held.front().copied() {
            if (consumer.wrapping_sub(entry) as i32) < 0 {
                break;
            }
            self.tail = end;
            self.held.pop_front();
        }
    }

    /// Where so many bytes could go: position in the ring's count, without wrapping.
    fn place(&self, length: usize) -> Option<u64> {
        let size = self.memory.len() as u64;
        let left = size - self.head % size;
        let start = if length as u64 > left { self.head + left } else { self.head };
        (start + length as u64 <= self.tail + size).then_some(start)
    }
}

fn power(what: &'static str, value: u64, low: u64, high: u64) -> Result<(), DeviceError> {
    if value.is_power_of_two() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(DeviceError::Setting { what, value, why: format!("it must be a power of two from {low} to {high}") })
}

impl Queue {
    pub(super) fn new<P: PciFunction>(
        pci: &mut P,
        number: u32,
        config: &QueueConfig,
        flow_entries: u64,
        tx_bytes: u64,
    ) -> Result<Queue, DeviceError> {
        power("device.history", config.history, c::HISTORY_SIZE_MIN, c::HISTORY_SIZE_MAX)?;
        let (low, high) = (u64::from(c::RING_ENTRIES_MIN), u64::from(c::RING_ENTRIES_MAX));
        power("device.descriptors", config.descriptors.into(), low, high)?;
        power("device.flow_records", config.flow_records.into(), low, high)?;
        power("device.tx", config.tx.into(), low, high)?;
        let mut memory = |bytes: u64| {
            usize::try_from(bytes)
                .map_err(|_| DeviceError::Mapping(format!("{bytes} bytes do not fit this machine's addresses")))
                .and_then(|n| {
                    pci.allocate(n)
                        .map_err(|source| DeviceError::Io { what: format!("{n} bytes of ring memory"), source })
                })
        };
        let history = memory(config.history)?;
        let descriptors = memory(u64::from(config.descriptors) * Descriptor::SIZE as u64)?;
        let flow_records = memory(u64::from(config.flow_records) * FlowRecord::SIZE as u64)?;
        let tx = memory(u64::from(config.tx) * (TxEntry::SIZE + KEY_SLOT) as u64)?;
        let status = memory(QueueStatus::SIZE as u64)?;
        let bytes = match tx_bytes {
            0 => None,
            // Two of the longest frames must fit.
            size => Some(memory(size.max(2 * u64::from(c::FRAME_LENGTH_MAX)))?),
        };
        let at = |register: u32| q::at(number, register);
        let history_iova = pci.map(&history, Permission::Write)?;
        let descriptor_iova = pci.map(&descriptors, Permission::Write)?;
        let flow_record_iova = pci.map(&flow_records, Permission::Write)?;
        let tx_iova = pci.map(&tx, Permission::Read)?;
        let status_iova = pci.map(&status, Permission::Write)?;
        let bytes = match bytes {
            Some(memory) => {
                let iova = pci.map(&memory, Permission::Read)?;
                Some(TxBytes { memory, iova, head: 0, tail: 0, held: VecDeque::new() })
            }
            None => None,
        };
        pci.write64(BAR, at(q::HISTORY_BASE), history_iova)?;
        pci.write64(BAR, at(q::HISTORY_SIZE), config.history)?;
        pci.write64(BAR, at(q::HISTORY_MARGIN), config.margin)?;
        pci.write64(BAR, at(q::DESCRIPTOR_BASE), descriptor_iova)?;
        pci.write32(BAR, at(q::DESCRIPTOR_ENTRIES), config.descriptors)?;
        pci.write64(BAR, at(q::FLOW_RECORD_BASE), flow_record_iova)?;
        pci.write32(BAR, at(q::FLOW_RECORD_ENTRIES), config.flow_records)?;
        pci.write64(BAR, at(q::TX_BASE), tx_iova)?;
        pci.write32(BAR, at(q::TX_ENTRIES), config.tx)?;
        pci.write64(BAR, at(q::STATUS_BASE), status_iova)?;
        Ok(Queue {
            config: *config,
            number,
            flow_entries,
            history,
            descriptors,
            flow_records,
            tx,
            tx_iova,
            bytes,
            status,
            descriptor_next: 0,
            descriptor_done: 0,
            flow_record_next: 0,
            tx_next: 0,
            tx_rung: 0,
        })
    }

    pub(super) fn next_descriptor(&mut self, queue: usize) -> Result<Option<Descriptor>, DeviceError> {
        let producer = self.status.load32(QueueStatus::OFFSET_DESCRIPTOR_PRODUCER).unwrap_or(self.descriptor_next);
        let waiting = producer.wrapping_sub(self.descriptor_next);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.config.descriptors {
            return Err(DeviceError::Lying { queue, what: "descriptor producer index", value: producer.into() });
        }
        let slot = (self.descriptor_next % self.config.descriptors) as usize;
        let mut bytes = [0u8; Descriptor::SIZE];
        let inside = self.descriptors.read(slot * Descriptor::SIZE, &mut bytes);
        let descriptor = Descriptor::from_bytes(&bytes);
        let bounds = Bounds {
            sequence: self.descriptor_next,
            flow_entries: self.flow_entries,
            history: self.config.history,
            written: self.status.load64(QueueStatus::OFFSET_HISTORY_WRITTEN).unwrap_or(0),
        };
        if !inside {
            return Err(DeviceError::Lying { queue, what: "descriptor slot", value: slot as u64 });
        }
        validate::descriptor(&descriptor, &bounds).map_err(|(what, value)| DeviceError::Lying {
            queue,
            what,
            value,
        })?;
        self.descriptor_next = self.descriptor_next.wrapping_add(1);
        Ok(Some(descriptor))
    }

    pub(super) fn backlog(&self) -> (u32, u32) {
        let producer = self.status.load32(QueueStatus::OFFSET_DESCRIPTOR_PRODUCER).unwrap_or(self.descriptor_next);
        (producer.wrapping_sub(self.descriptor_done), self.config.descriptors)
    }

    pub(super) fn done<P: PciFunction>(&mut self, pci: &mut P) -> Result<(), DeviceError> {
        if self.descriptor_done != self.descriptor_next {
            self.descriptor_done = self.descriptor_next;
            pci.write32(BAR, q::at(self.number, q::DESCRIPTOR_CONSUMER), self.descriptor_done)?;
        }
        Ok(())
    }

    pub(super) fn next_flow_record<P: PciFunction>(
        &mut self,
        pci: &mut P,
        queue: usize,
    ) -> Result<Option<FlowRecord>, DeviceError> {
        let producer = self.status.load32(QueueStatus::OFFSET_FLOW_RECORD_PRODUCER).unwrap_or(self.flow_record_next);
        let waiting = producer.wrapping_sub(self.flow_record_next);
        if waiting == 0 {
            return Ok(None);
        }
        if waiting > self.config.flow_records {
            return Err(DeviceError::Lying { queue, what: "flow record producer index", value: producer.into() });
        }
        let slot = (self.flow_record_next % self.config.flow_records) as usize;
        let mut bytes = [0u8; FlowRecord::SIZE];
        let inside = self.flow_records.read(slot * FlowRecord::SIZE, &mut bytes);
        let record = FlowRecord::from_bytes(&bytes);
        if !inside || record.sequence != self.flow_record_next {
            return Err(DeviceError::Lying { queue, what: "flow record sequence", value: record.sequence.into() });
        }
        if FlowRecordKind::from_raw(record.kind).is_none() {
            return Err(DeviceError::Lying { queue, what: "flow record kind", value: record.kind.into() });
        }
        self.flow_record_next = self.flow_record_next.wrapping_add(1);
        pci.write32(BAR, q::at(self.number, q::FLOW_RECORD_CONSUMER), self.flow_record_next)?;
        Ok(Some(record))
    }

    /// A record at `position` has not been overwritten.
    fn intact(&self, position: u64) -> bool {
        read_fence();
        let reserved = self.status.load64(QueueStatus::OFFSET_HISTORY_RESERVED).unwrap_or(u64::MAX);
        reserved <= position.saturating_add(self.config.history)
    }

    fn read_header(&self, queue: usize, position: u64) -> Result<HistoryHeader, DeviceError> {
        let gone = || DeviceError::HistoryGone { queue, position };
        let lying = |what: &'static str, value: u64| DeviceError::Lying { queue, what, value };
        let offset = (position % self.config.history) as usize;
        let mut bytes = [0u8; HistoryHeader::SIZE];
        if !position.is_multiple_of(c::HISTORY_ALIGN as u64) || !self.history.read(offset, &mut bytes) {
            return Err(lying("history position", position));
        }
        // Position first: another position means overwritten, which is no lie of the device.
        let header = HistoryHeader::from_bytes(&bytes);
        if header.position != position || !self.intact(position) {
            return Err(gone());
        }
        validate::history_header(&bytes, position, self.config.history).map_err(|(what, value)| lying(what, value))?;
        Ok(header)
    }

    pub(super) fn read_frame(&self, queue: usize, position: u64, frame: &mut HistoryFrame) -> Result<(), DeviceError> {
        let gone = || DeviceError::HistoryGone { queue, position };
        let lying = |what: &'static str, value: u64| DeviceError::Lying { queue, what, value };
        let offset = (position % self.config.history) as usize;
        let header = self.read_header(queue, position)?;
        let length = header.captured_length as usize;
        frame.data.resize(length, 0);
        if !self.history.read(offset + HistoryHeader::SIZE, &mut frame.data) {
            return Err(lying("history record length", length as u64));
        }
        if !self.intact(position) {
            return Err(gone());
        }
        frame.number = header.frame_number;
        frame.time = header.time;
        frame.wire_length = header.wire_length;
        frame.link = header.link;
        frame.flags = header.flags;
        frame.port = header.port;
        frame.flow = (header.flow_index, header.flow_generation);
        frame.epoch = header.epoch;
        frame.previous = header.previous;
        Ok(())
    }

    /// The headers of a chain, and nothing of its frames.
    pub(super) fn outline(&self, queue: usize, head: u64, count: u32) -> Result<ChainOutline, DeviceError> {
        let lying = |what: &'static str, value: u64| DeviceError::Lying { queue, what, value };
        let (mut position, mut outline) = (head, ChainOutline::default());
        // Positions fall from record to record, so the walk ends.
        let mut newer = (u64::MAX, None);
        for n in 0..count {
            if position == c::POSITION_NONE {
                return Err(lying("history chain count", count.into()));
            }
            let header = self.read_header(queue, position)?;
            let flow = (header.flow_index, header.flow_generation);
            if position >= newer.0 || newer.1.is_some_and(|newer| newer != flow) {
                return Err(lying("history chain", position));
            }
            if n == 0 {
                outline.newest = header.time;
            }
            outline.directions |= 1 << (header.flags & FrameFlags::TO_CLIENT.0);
            outline.bytes += u64::from(header.captured_length);
            newer = (position, Some(flow));
            position = header.previous;
        }
        Ok(outline)
    }

    pub(super) fn read_chain(
        &self,
        queue: usize,
        head: u64,
        count: u32,
        frames: &mut Vec<HistoryFrame>,
    ) -> (usize, Result<(), DeviceError>) {
        let mut position = head;
        let mut read = 0;
        let mut newer = (u64::MAX, None);
        let mut result = Ok(());
        while read < count as usize && position != c::POSITION_NONE {
            if frames.len() == read {
                frames.push(HistoryFrame::default());
            }
            let Some(frame) = frames.get_mut(read) else { break };
            if let Err(error) = self.read_frame(queue, position, frame) {
                result = Err(error);
                break;
            }
            // Records of one flow, each wholly before the next: so a chain cannot hold more bytes than the ring.
            let end = position.saturating_add((HistoryHeader::SIZE + frame.data.len()) as u64);
            if end > newer.0 || newer.1.is_some_and(|flow| flow != frame.flow) {
                result = Err(DeviceError::Lying { queue, what: "history chain", value: position });
                break;
            }
            newer = (position, Some(frame.flow));
            position = frame.previous;
            read += 1;
        }
        if result.is_ok() && read < count as usize {
            result = Err(DeviceError::Lying { queue, what: "history chain count", value: count.into() });
        }
        if let Some(part) = frames.get_mut(..read) {
            part.reverse();
        }
        (read, result)
    }

    pub(super) fn command<P: PciFunction>(
        &mut self,
        pci: &mut P,
        queue: usize,
        entry: &TxEntry,
    ) -> Result<(), DeviceError> {
        let mut tries = 0;
        while self.tx_next.wrapping_sub(self.tx_consumer()) >= self.config.tx {
            self.ring(pci)?;
            tries += 1;
            if tries > 100_000 {
                return Err(DeviceError::TxStuck { queue });
            }
            std::hint::spin_loop();
        }
        let slot = (self.tx_next % self.config.tx) as usize;
        if !self.tx.write(slot * TxEntry::SIZE, &entry.to_bytes()) {
            return Err(DeviceError::TxStuck { queue });
        }
        self.tx_next = self.tx_next.wrapping_add(1);
        Ok(())
    }

    /// A command with bytes: a frame that goes out.
    pub(super) fn send<P: PciFunction>(
        &mut self,
        pci: &mut P,
        queue: usize,
        entry: &TxEntry,
        frame: &[u8],
    ) -> Result<(), DeviceError> {
        let mut tries = 0;
        let data = loop {
            let consumer = self.tx_consumer();
            let Some(bytes) = &mut self.bytes else { return Err(DeviceError::TxStuck { queue }) };
            bytes.give_back(consumer);
            if let Some(start) = bytes.place(frame.len()) {
                let offset = start % bytes.memory.len() as u64;
                if !bytes.memory.write(offset as usize, frame) {
                    return Err(DeviceError::TxStuck { queue });
                }
                bytes.head = start + frame.len() as u64;
                break bytes.iova + offset;
            }
            self.ring(pci)?;
            tries += 1;
            if tries > 100_000 {
                return Err(DeviceError::TxStuck { queue });
            }
            std::hint::spin_loop();
        };
        self.command(pci, queue, &TxEntry { data, length: frame.len() as u32, ..*entry })?;
        if let Some(bytes) = &mut self.bytes {
            bytes.held.push_back((self.tx_next, bytes.head));
        }
        Ok(())
    }

    fn tx_consumer(&self) -> u32 {
        self.status.load32(QueueStatus::OFFSET_TX_CONSUMER).unwrap_or(self.tx_next)
    }

    pub(super) fn divert_key<P: PciFunction>(
        &mut self,
        pci: &mut P,
        queue: usize,
        key: &FlowKey,
    ) -> Result<(), DeviceError> {
        let slot = (self.tx_next % self.config.tx) as usize;
        let offset = self.config.tx as usize * TxEntry::SIZE + slot * KEY_SLOT;
        let entry = TxEntry {
            command: TxCommand::Divert as u8,
            flags: TxFlags::BY_KEY.0,
            length: FlowKey::SIZE as u32,
            data: self.tx_iova + offset as u64,
            ..TxEntry::ZERO
        };
        if !self.tx.write(offset, &key.to_bytes()) {
            return Err(DeviceError::TxStuck { queue });
        }
        self.command(pci, queue, &entry)
    }

    pub(super) fn ring<P: PciFunction>(&mut self, pci: &mut P) -> Result<(), DeviceError> {
        if self.tx_rung != self.tx_next {
            self.tx_rung = self.tx_next;
            pci.write32(BAR, q::at(self.number, q::TX_PRODUCER), self.tx_next)?;
        }
        Ok(())
    }

    /// A doorbell is a posted write: only a read that comes back after it says what became of it.
    pub(super) fn ring_and_wait<P: PciFunction>(&mut self, pci: &mut P) -> Result<(), DeviceError> {
        self.ring(pci)?;
        for _ in 0..DOORBELL_READS {
            if pci.read32(BAR, q::at(self.number, q::TX_CONSUMER))? == self.tx_next {
                break;
            }
            std::hint::spin_loop();
        }
        Ok(())
    }
}
