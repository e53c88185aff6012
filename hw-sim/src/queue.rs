//! One queue of the device: its rings in host memory, positions, pins, and the scrub pointer.

use std::collections::VecDeque;
use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::HistoryKind;
use weir_contract::layouts::{Descriptor, FlowRecord, HistoryHeader, QueueStatus, TxEntry};
use weir_device::{IommuError, IommuTable};

/// A record that still lies in the ring, for the scrub pointer.
#[derive(Debug, Clone, Copy)]
pub struct Resident {
    /// Position.
    pub position: u64,
    /// Flow entry and generation.
    pub flow: (u32, u32),
}

/// Registers and positions.
#[derive(Debug, Default)]
pub struct Queue {
    /// HISTORY_BASE, HISTORY_SIZE, HISTORY_MARGIN.
    pub history: (u64, u64, u64),
    /// DESCRIPTOR_BASE, DESCRIPTOR_ENTRIES.
    pub descriptors: (u64, u32),
    /// FLOW_RECORD_BASE, FLOW_RECORD_ENTRIES.
    pub flow_records: (u64, u32),
    /// TX_BASE, TX_ENTRIES.
    pub tx: (u64, u32),
    /// STATUS_BASE.
    pub status: u64,
    /// Bytes written to history.
    pub written: u64,
    /// Descriptors written / given back.
    pub descriptor_producer: u32,
    /// Given back by the host.
    pub descriptor_consumer: u32,
    /// Flow records written.
    pub flow_record_producer: u32,
    /// Given back by the host.
    pub flow_record_consumer: u32,
    /// TX entries taken.
    pub tx_consumer: u32,
    /// Oldest history position that each unconsumed descriptor refers to.
    pins: VecDeque<(u32, u64)>,
    residents: VecDeque<Resident>,
}

/// Bytes of a record.
pub fn record_size(captured: usize) -> u64 {
    (HistoryHeader::SIZE + captured).next_multiple_of(c::HISTORY_ALIGN) as u64
}

impl Queue {
    /// The queue is set up.
    pub fn is_set_up(&self) -> bool {
        self.history.1 >= c::HISTORY_SIZE_MIN
            && self.history.1.is_power_of_two()
            && self.descriptors.1.is_power_of_two()
            && self.tx.1.is_power_of_two()
            && self.status != 0
    }

    fn margin(&self) -> u64 {
        if self.history.2 == 0 { self.history.1 / 4 } else { self.history.2.min(self.history.1 / 2) }
    }

    /// Longest frame that is written to history.
    pub fn frame_limit(&self) -> u64 {
        self.history.1 / 4
    }

    /// Position after a write of `size`, with the padding at the ring's end.
    fn after(&self, size: u64) -> (u64, u64) {
        let left = self.history.1 - self.written % self.history.1;
        let start = if size > left { self.written + left } else { self.written };
        (start, start + size)
    }

    /// Descriptor slots free.
    pub fn descriptor_room(&self) -> u32 {
        self.descriptors.1 - self.descriptor_producer.wrapping_sub(self.descriptor_consumer)
    }

    /// Flow-record slots free.
    pub fn flow_record_room(&self) -> u32 {
        self.flow_records.1.saturating_sub(self.flow_record_producer.wrapping_sub(self.flow_record_consumer))
    }

    /// A frame of `captured` bytes can be written without overwriting anything pinned, and every HANDOVER it causes has
    /// a descriptor slot. `false` means: wait for the host.
    pub fn has_room(&self, captured: usize) -> bool {
        let size = record_size(captured);
        let (_, end) = self.after(size);
        let pinned = self.pins.iter().any(|(_, position)| position + self.history.1 < end);
        let scrub = (end + self.margin()).saturating_sub(self.history.1);
        let handovers = self.residents.iter().take_while(|r| r.position < scrub).count() as u32;
        !pinned && self.descriptor_room() > handovers
    }

    /// Records the scrub pointer passes when `captured` more bytes are written.
    pub fn scrub(&mut self, captured: usize) -> Vec<Resident> {
        let (_, end) = self.after(record_size(captured));
        let scrub = (end + self.margin()).saturating_sub(self.history.1);
        let n = self.residents.iter().take_while(|r| r.position < scrub).count();
        self.residents.drain(..n).collect()
    }

    /// The host has consumed descriptors up to a number.
    pub fn consumed(&mut self, consumer: u32) {
        self.descriptor_consumer = consumer;
        while self.pins.front().is_some_and(|(number, _)| consumer.wrapping_sub(*number) as i32 > 0) {
            self.pins.pop_front();
        }
    }

    /// Write a record. Gives its position.
    pub fn write_record(
        &mut self,
        iommu: &IommuTable,
        mut header: HistoryHeader,
        frame: &[u8],
    ) -> Result<u64, IommuError> {
        let (start, end) = self.after(record_size(frame.len()));
        iommu.write(self.status + QueueStatus::OFFSET_HISTORY_RESERVED as u64, &end.to_le_bytes())?;
        if start != self.written {
            let pad = HistoryHeader { position: self.written, kind: HistoryKind::Pad as u8, ..HistoryHeader::ZERO };
            iommu.write(self.history.0 + self.written % self.history.1, &sealed(pad))?;
        }
        header.position = start;
        header.kind = HistoryKind::Frame as u8;
        header.captured_length = frame.len() as u32;
        let at = self.history.0 + start % self.history.1;
        iommu.write(at, &sealed(header))?;
        iommu.write(at + HistoryHeader::SIZE as u64, frame)?;
        self.written = end;
        iommu.write(self.status + QueueStatus::OFFSET_HISTORY_WRITTEN as u64, &end.to_le_bytes())?;
        if header.flow_index != c::FLOW_NONE {
            self.residents.push_back(Resident { position: start, flow: (header.flow_index, header.flow_generation) });
        }
        Ok(start)
    }

    /// Write a descriptor; `oldest` is the oldest history position it refers to.
    pub fn write_descriptor(
        &mut self,
        iommu: &IommuTable,
        mut descriptor: Descriptor,
        oldest: u64,
    ) -> Result<(), IommuError> {
        descriptor.sequence = self.descriptor_producer;
        let slot = u64::from(self.descriptor_producer % self.descriptors.1);
        iommu.write(self.descriptors.0 + slot * Descriptor::SIZE as u64, &descriptor.to_bytes())?;
        if oldest != c::POSITION_NONE {
            self.pins.push_back((self.descriptor_producer, oldest));
        }
        self.descriptor_producer = self.descriptor_producer.wrapping_add(1);
        iommu.write(
            self.status + QueueStatus::OFFSET_DESCRIPTOR_PRODUCER as u64,
            &self.descriptor_producer.to_le_bytes(),
        )
    }

    /// Write a flow record.
    pub fn write_flow_record(&mut self, iommu: &IommuTable, mut record: FlowRecord) -> Result<(), IommuError> {
        record.sequence = self.flow_record_producer;
        let slot = u64::from(self.flow_record_producer % self.flow_records.1);
        iommu.write(self.flow_records.0 + slot * FlowRecord::SIZE as u64, &record.to_bytes())?;
        self.flow_record_producer = self.flow_record_producer.wrapping_add(1);
        iommu.write(
            self.status + QueueStatus::OFFSET_FLOW_RECORD_PRODUCER as u64,
            &self.flow_record_producer.to_le_bytes(),
        )
    }

    /// Take TX entries up to a producer index.
    pub fn read_tx(&mut self, iommu: &IommuTable, producer: u32, out: &mut Vec<TxEntry>) -> Result<(), IommuError> {
        while self.tx_consumer != producer {
            let slot = u64::from(self.tx_consumer % self.tx.1);
            let mut bytes = [0u8; TxEntry::SIZE];
            iommu.read(self.tx.0 + slot * TxEntry::SIZE as u64, &mut bytes)?;
            out.push(TxEntry::from_bytes(&bytes));
            self.tx_consumer = self.tx_consumer.wrapping_add(1);
        }
        iommu.write(self.status + QueueStatus::OFFSET_TX_CONSUMER as u64, &self.tx_consumer.to_le_bytes())
    }
}

fn sealed(header: HistoryHeader) -> [u8; HistoryHeader::SIZE] {
    let mut bytes = header.to_bytes();
    let check = crc32c(&bytes[..HistoryHeader::SIZE - 4]);
    bytes[HistoryHeader::SIZE - 4..].copy_from_slice(&check.to_le_bytes());
    bytes
}
