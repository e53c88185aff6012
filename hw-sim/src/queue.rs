//! One queue of the device: its rings in host memory, positions, the scrub pointer, and what pins the history ring.
//!
//! Invariants: no record that an unconsumed descriptor refers to is overwritten; no chain of a live, unsettled flow is
//! overwritten without a HANDOVER before; `history_reserved` in host memory runs ahead of every overwriting store.

use crate::dma::{Bus, DmaFault};
use std::collections::VecDeque;
use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::HistoryKind;
use weir_contract::layouts::{Descriptor, FlowRecord, HistoryHeader, QueueStatus, TxEntry};

/// A record that lies in the ring and belongs to a flow, for the scrub pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resident {
    /// Position.
    pub position: u64,
    /// Flow entry.
    pub index: u32,
    /// Its generation.
    pub generation: u32,
}

/// Oldest history positions of unconsumed descriptors: a queue whose minimum is known at any time.
#[derive(Debug, Default)]
struct Pins {
    /// (descriptor number, position), positions ascending: whatever a later, smaller one covers is left out.
    minima: VecDeque<(u32, u64)>,
}

impl Pins {
    fn push(&mut self, number: u32, position: u64) {
        while self.minima.back().is_some_and(|(_, other)| *other >= position) {
            self.minima.pop_back();
        }
        self.minima.push_back((number, position));
    }

    fn consumed(&mut self, consumer: u32) {
        while self.minima.front().is_some_and(|(number, _)| consumer.wrapping_sub(*number) as i32 > 0) {
            self.minima.pop_front();
        }
    }

    fn lowest(&self) -> Option<u64> {
        self.minima.front().map(|(_, position)| *position)
    }
}

/// A ring of fixed entries.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ring {
    /// IOVA.
    pub base: u64,
    /// Entries, a power of two.
    pub entries: u32,
    /// Written by the producing side.
    pub producer: u32,
    /// Taken by the consuming side.
    pub consumer: u32,
}

impl Ring {
    /// Entries not consumed.
    #[inline]
    pub fn used(&self) -> u32 {
        self.producer.wrapping_sub(self.consumer)
    }

    /// Entries free.
    #[inline]
    pub fn free(&self) -> u32 {
        self.entries.saturating_sub(self.used())
    }

    fn slot(&self, number: u32, size: usize) -> u64 {
        self.base.wrapping_add(u64::from(number & self.entries.wrapping_sub(1)) * size as u64)
    }
}

/// Registers and positions.
#[derive(Debug, Default)]
pub struct Queue {
    /// HISTORY_BASE.
    pub history_base: u64,
    /// HISTORY_SIZE.
    pub history_size: u64,
    /// HISTORY_MARGIN, 0 for the default.
    pub history_margin: u64,
    /// Descriptors.
    pub descriptors: Ring,
    /// Flow records; no entries: none are written.
    pub flow_records: Ring,
    /// TX entries: the host produces.
    pub tx: Ring,
    /// STATUS_BASE.
    pub status: u64,
    /// DESCRIPTOR_INTERRUPT.
    pub interrupt: u32,
    written: u64,
    reserved: u64,
    pins: Pins,
    residents: VecDeque<Resident>,
}

/// Where a record would go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Position, behind the padding at the ring's end.
    pub start: u64,
    /// Position behind it.
    pub end: u64,
}

/// Bytes of a record.
pub fn record_size(captured: usize) -> u64 {
    (HistoryHeader::SIZE + captured).next_multiple_of(c::HISTORY_ALIGN) as u64
}

fn is_ring(base: u64, entries: u32) -> bool {
    entries.is_power_of_two()
        && (c::RING_ENTRIES_MIN..=c::RING_ENTRIES_MAX).contains(&entries)
        && base % c::RING_ALIGN == 0
}

impl Queue {
    /// Register offset of the first thing that is wrong with the set-up.
    pub fn check(&self) -> Result<(), u32> {
        use weir_contract::registers::queue as q;
        if self.history_base % c::RING_ALIGN != 0 {
            return Err(q::HISTORY_BASE);
        }
        let size = self.history_size;
        if !size.is_power_of_two() || !(c::HISTORY_SIZE_MIN..=c::HISTORY_SIZE_MAX).contains(&size) {
            return Err(q::HISTORY_SIZE);
        }
        if self.history_margin > size / 2 || self.history_margin % c::HISTORY_ALIGN as u64 != 0 {
            return Err(q::HISTORY_MARGIN);
        }
        if !is_ring(self.descriptors.base, self.descriptors.entries) {
            return Err(q::DESCRIPTOR_ENTRIES);
        }
        if self.flow_records.entries != 0 && !is_ring(self.flow_records.base, self.flow_records.entries) {
            return Err(q::FLOW_RECORD_ENTRIES);
        }
        if !is_ring(self.tx.base, self.tx.entries) {
            return Err(q::TX_ENTRIES);
        }
        if self.status == 0 || self.status % QueueStatus::SIZE as u64 != 0 {
            return Err(q::STATUS_BASE);
        }
        Ok(())
    }

    /// Bytes at which records are handed over ahead of the write position.
    pub fn margin(&self) -> u64 {
        if self.history_margin == 0 { self.history_size / 4 } else { self.history_margin }
    }

    /// History position up to which records are complete.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Where a record of `captured` bytes goes; none if the ring is smaller than it.
    #[inline]
    pub fn place(&self, captured: usize) -> Option<Place> {
        let size = record_size(captured);
        if size > self.history_size {
            return None;
        }
        let left = self.history_size - (self.written & (self.history_size - 1));
        let start = if size > left { self.written + left } else { self.written };
        Some(Place { start, end: start + size })
    }

    /// Position before which the scrub pointer must have passed when a record ends at `end`.
    #[inline]
    pub fn scrub_target(&self, end: u64) -> u64 {
        (end + self.margin()).saturating_sub(self.history_size)
    }

    /// Writing up to `end` overwrites nothing that is pinned.
    #[inline]
    pub fn is_unpinned(&self, end: u64) -> bool {
        self.pins.lowest().is_none_or(|position| position + self.history_size >= end)
    }

    /// Records before `target` that the scrub pointer has not passed, oldest first.
    #[inline]
    pub fn ahead(&self, target: u64) -> impl Iterator<Item = &Resident> {
        self.residents.iter().take_while(move |resident| resident.position < target)
    }

    /// The scrub pointer passes one record before `target`.
    #[inline]
    pub fn pass(&mut self, target: u64) -> Option<Resident> {
        if self.residents.front()?.position < target { self.residents.pop_front() } else { None }
    }

    /// The host has consumed descriptors up to a number; `false` if that cannot be.
    pub fn consumed(&mut self, consumer: u32) -> bool {
        if consumer.wrapping_sub(self.descriptors.consumer) > self.descriptors.used() {
            return false;
        }
        self.descriptors.consumer = consumer;
        self.pins.consumed(consumer);
        true
    }

    /// The host has consumed flow records up to a number; `false` if that cannot be.
    pub fn flow_records_consumed(&mut self, consumer: u32) -> bool {
        if consumer.wrapping_sub(self.flow_records.consumer) > self.flow_records.used() {
            return false;
        }
        self.flow_records.consumer = consumer;
        true
    }

    /// Write a record at its place.
    pub fn write_record(
        &mut self,
        bus: &mut Bus,
        place: Place,
        mut header: HistoryHeader,
        frame: &[u8],
    ) -> Result<(), DmaFault> {
        if place.end > self.reserved {
            bus.write(self.status + QueueStatus::OFFSET_HISTORY_RESERVED as u64, &place.end.to_le_bytes())?;
            self.reserved = place.end;
        }
        let mask = self.history_size - 1;
        if place.start != self.written {
            let pad = HistoryHeader {
                position: self.written,
                previous: c::POSITION_NONE,
                flow_index: c::FLOW_NONE,
                kind: HistoryKind::Pad as u8,
                ..HistoryHeader::ZERO
            };
            bus.write(self.history_base + (self.written & mask), &sealed(&pad))?;
        }
        header.position = place.start;
        header.kind = HistoryKind::Frame as u8;
        header.captured_length = frame.len() as u32;
        let at = self.history_base + (place.start & mask);
        bus.write(at, &sealed(&header))?;
        bus.write(at + HistoryHeader::SIZE as u64, frame)?;
        bus.write(self.status + QueueStatus::OFFSET_HISTORY_WRITTEN as u64, &place.end.to_le_bytes())?;
        self.written = place.end;
        if header.flow_index != c::FLOW_NONE {
            self.residents.push_back(Resident {
                position: place.start,
                index: header.flow_index,
                generation: header.flow_generation,
            });
        }
        Ok(())
    }

    /// Write a descriptor; `oldest` is the oldest history position it refers to.
    pub fn write_descriptor(&mut self, bus: &mut Bus, mut descriptor: Descriptor, oldest: u64) -> Result<(), DmaFault> {
        let number = self.descriptors.producer;
        descriptor.sequence = number;
        bus.write(self.descriptors.slot(number, Descriptor::SIZE), &descriptor.to_bytes())?;
        let next = number.wrapping_add(1);
        bus.write(self.status + QueueStatus::OFFSET_DESCRIPTOR_PRODUCER as u64, &next.to_le_bytes())?;
        self.descriptors.producer = next;
        if oldest != c::POSITION_NONE {
            self.pins.push(number, oldest);
        }
        Ok(())
    }

    /// Write a flow record.
    pub fn write_flow_record(&mut self, bus: &mut Bus, mut record: FlowRecord) -> Result<(), DmaFault> {
        let number = self.flow_records.producer;
        record.sequence = number;
        bus.write(self.flow_records.slot(number, FlowRecord::SIZE), &record.to_bytes())?;
        let next = number.wrapping_add(1);
        bus.write(self.status + QueueStatus::OFFSET_FLOW_RECORD_PRODUCER as u64, &next.to_le_bytes())?;
        self.flow_records.producer = next;
        Ok(())
    }

    /// Next TX entry, not taken yet.
    pub fn peek_tx(&self, bus: &mut Bus) -> Result<Option<TxEntry>, DmaFault> {
        if self.tx.used() == 0 {
            return Ok(None);
        }
        let mut bytes = [0u8; TxEntry::SIZE];
        bus.read(self.tx.slot(self.tx.consumer, TxEntry::SIZE), &mut bytes)?;
        Ok(Some(TxEntry::from_bytes(&bytes)))
    }

    /// Take the TX entry.
    pub fn take_tx(&mut self, bus: &mut Bus) -> Result<(), DmaFault> {
        self.tx.consumer = self.tx.consumer.wrapping_add(1);
        bus.write(self.status + QueueStatus::OFFSET_TX_CONSUMER as u64, &self.tx.consumer.to_le_bytes())
    }

    /// Enough is unread to raise the queue's vector.
    pub fn wants_interrupt(&self) -> bool {
        self.interrupt != 0 && self.descriptors.used().max(self.flow_records.used()) >= self.interrupt
    }
}

fn sealed(header: &HistoryHeader) -> [u8; HistoryHeader::SIZE] {
    let mut bytes = header.to_bytes();
    if let Some((body, check)) = bytes.split_last_chunk_mut::<4>() {
        *check = crc32c(body).to_le_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_contract::hash::splitmix64;
    use weir_device::{DmaMemory, Permission};

    #[test]
    fn lowest_pin_is_the_minimum() {
        let mut state = 2;
        let mut pins = Pins::default();
        let mut model: VecDeque<(u32, u64)> = VecDeque::new();
        let (mut next, mut consumer) = (u32::MAX - 500, u32::MAX - 500);
        for _ in 0..3000 {
            if splitmix64(&mut state) % 2 == 0 {
                let position = splitmix64(&mut state) % 1000;
                pins.push(next, position);
                model.push_back((next, position));
                next = next.wrapping_add(1);
            } else if consumer != next {
                consumer = consumer.wrapping_add(1 + (splitmix64(&mut state) as u32 % next.wrapping_sub(consumer)));
                pins.consumed(consumer);
                model.retain(|(n, _)| consumer.wrapping_sub(*n) as i32 <= 0);
            }
            assert_eq!(pins.lowest(), model.iter().map(|(_, p)| *p).min());
        }
    }

    #[test]
    fn records_never_wrap() {
        let mut bus = Bus { master: true, ..Bus::default() };
        let ring = DmaMemory::new(1 << 16).unwrap();
        let status = DmaMemory::new(64).unwrap();
        let mut q = Queue {
            history_base: bus.iommu.map(&ring, Permission::Write),
            history_size: 1 << 16,
            status: bus.iommu.map(&status, Permission::Write),
            ..Queue::default()
        };
        let mut state = 3;
        for n in 0..2000u64 {
            let frame = vec![n as u8; splitmix64(&mut state) as usize % 3000];
            let place = q.place(frame.len()).unwrap();
            assert!(place.start % 64 == 0 && place.start % (1 << 16) + record_size(frame.len()) <= 1 << 16);
            let header = HistoryHeader { frame_number: n, ..HistoryHeader::ZERO };
            q.write_record(&mut bus, place, header, &frame).unwrap();
            let mut raw = [0u8; HistoryHeader::SIZE];
            assert!(ring.read((place.start % (1 << 16)) as usize, &mut raw));
            let read = HistoryHeader::from_bytes(&raw);
            assert_eq!((read.position, read.frame_number, read.captured_length as usize), (place.start, n, frame.len()));
            assert_eq!(read.check, crc32c(&raw[..60]));
            assert_eq!(status.load64(0), Some(place.end));
        }
        assert_eq!(q.place(1 << 16), None);
    }
}
