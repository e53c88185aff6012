//! The IOVA table of devices that live in a process of this machine: what a device may reach, and nothing else.
//!
//! Place: under the model and the RTL, whose DMA goes through it, and under the vfio-user server, whose clients fill it.
//! Invariants: mappings do not overlap and are in order of address; an access may span mappings that touch, and happens
//! wholly or not at all; after [`IommuTable::unmap_range`] nothing in the range is reachable.

use crate::dma::{DmaMemory, write_fence};

/// What a device may do with mapped memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    /// Device reads.
    Read,
    /// Device writes (and reads).
    Write,
}

/// A DMA access that the table refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IommuError {
    /// No mapping covers the whole access.
    #[error("IOVA {0:#x} is not mapped")]
    NotMapped(u64),
    /// The mapping does not allow it.
    #[error("IOVA {0:#x} is not writable for the device")]
    NotWritable(u64),
    /// The mapping does not allow it.
    #[error("IOVA {0:#x} is not readable for the device")]
    NotReadable(u64),
}

/// A mapping that the table refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// Nothing, beyond the address space, or beyond the memory.
    #[error("the range is empty, or lies outside of the memory or of all addresses")]
    Range,
    /// Part of it is mapped already.
    #[error("part of the range is mapped already")]
    Overlap,
    /// [`IommuTable::ENTRIES_MAX`].
    #[error("the table is full")]
    Full,
}

/// A mapping whose address its owner chose.
#[derive(Debug, Clone)]
pub struct Map {
    /// First address.
    pub iova: u64,
    /// Bytes.
    pub length: u64,
    /// Memory behind it, from an offset on; none: an address range that is known and cannot be reached.
    pub target: Option<(DmaMemory, u64)>,
    /// The device may read.
    pub read: bool,
    /// The device may write.
    pub write: bool,
}

impl Map {
    fn end(&self) -> u64 {
        self.iova + self.length
    }

    /// The part from `iova` on, of `length` bytes.
    fn part(&self, iova: u64, length: u64) -> Map {
        let target = self.target.as_ref().map(|(memory, offset)| (memory.clone(), offset + (iova - self.iova)));
        Map { iova, length, target, ..*self }
    }
}

/// What an access wants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Want {
    Read,
    Write,
}

/// Mappings, in order of address.
#[derive(Debug, Default)]
pub struct IommuTable {
    entries: Vec<Map>,
    next: u64,
}

impl IommuTable {
    /// Most mappings.
    pub const ENTRIES_MAX: usize = 1 << 17;

    /// Map memory; gives its IOVA. Mappings are separated by unmapped pages, so that an overrun faults.
    pub fn map(&mut self, memory: &DmaMemory, permission: Permission) -> u64 {
        let iova = self.next.max(0x1000_0000);
        self.next = iova + (memory.len() as u64).next_multiple_of(4096) + 0x1000;
        self.entries.push(Map {
            iova,
            length: memory.len() as u64,
            target: Some((memory.clone(), 0)),
            read: true,
            write: permission == Permission::Write,
        });
        iova
    }

    /// Map at an address that the other side chose.
    pub fn map_at(&mut self, map: Map) -> Result<(), MapError> {
        let end = map.iova.checked_add(map.length).filter(|_| map.length > 0).ok_or(MapError::Range)?;
        if let Some((memory, offset)) = &map.target
            && offset.checked_add(map.length).is_none_or(|end| end > memory.len() as u64)
        {
            return Err(MapError::Range);
        }
        let at = self.entries.partition_point(|e| e.iova < map.iova);
        let before = at.checked_sub(1).and_then(|at| self.entries.get(at));
        if before.is_some_and(|e| e.end() > map.iova) || self.entries.get(at).is_some_and(|e| e.iova < end) {
            return Err(MapError::Overlap);
        }
        if self.entries.len() >= Self::ENTRIES_MAX {
            return Err(MapError::Full);
        }
        self.entries.insert(at, map);
        Ok(())
    }

    /// Take a mapping back; `false` if there is none at this IOVA.
    pub fn unmap(&mut self, iova: u64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|e| e.iova != iova);
        self.entries.len() != before
    }

    /// Nothing in the range is reachable any more, wherever mappings begin and end; gives how many bytes were mapped.
    pub fn unmap_range(&mut self, iova: u64, length: u64) -> u64 {
        let end = iova.saturating_add(length);
        let first = self.entries.partition_point(|e| e.end() <= iova);
        let last = self.entries.partition_point(|e| e.iova < end);
        if first >= last {
            return 0;
        }
        let mut kept = Vec::new();
        let mut bytes = 0;
        for entry in self.entries.get(first..last).unwrap_or(&[]) {
            let (from, to) = (entry.iova.max(iova), entry.end().min(end));
            bytes += to - from;
            for (from, to) in [(entry.iova, from), (to, entry.end())] {
                if from < to {
                    kept.push(entry.part(from, to - from));
                }
            }
        }
        self.entries.splice(first..last, kept);
        bytes
    }

    /// Nothing is reachable any more; gives how many bytes were mapped.
    pub fn clear(&mut self) -> u64 {
        let bytes = self.entries.iter().fold(0u64, |sum, e| sum.saturating_add(e.length));
        self.entries.clear();
        bytes
    }

    /// Mappings.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory that mappings refer to, mapping by mapping.
    pub fn targets(&self) -> impl Iterator<Item = &DmaMemory> {
        self.entries.iter().filter_map(|e| e.target.as_ref().map(|(memory, _)| memory))
    }

    /// The mapping that holds `iova`, if it allows what is wanted.
    #[inline]
    fn find(&self, iova: u64, want: Want) -> Result<(&Map, &DmaMemory, u64), IommuError> {
        let at = self.entries.partition_point(|e| e.iova <= iova);
        let entry = at.checked_sub(1).and_then(|at| self.entries.get(at)).filter(|e| iova < e.end());
        let (entry, (memory, offset)) =
            entry.and_then(|e| Some((e, e.target.as_ref()?))).ok_or(IommuError::NotMapped(iova))?;
        match want {
            Want::Read if !entry.read => Err(IommuError::NotReadable(iova)),
            Want::Write if !entry.write => Err(IommuError::NotWritable(iova)),
            _ => Ok((entry, memory, offset + (iova - entry.iova))),
        }
    }

    /// Split an access at the ends of mappings; refused as a whole if any part is.
    fn walk(
        &self,
        iova: u64,
        length: usize,
        want: Want,
        part: &mut dyn FnMut(&DmaMemory, usize, std::ops::Range<usize>) -> bool,
    ) -> Result<(), IommuError> {
        for copy in [false, true] {
            let mut done = 0usize;
            while done < length {
                let at = iova.checked_add(done as u64).ok_or(IommuError::NotMapped(iova))?;
                let (entry, memory, offset) = self.find(at, want)?;
                let here = usize::try_from(entry.end() - at).unwrap_or(usize::MAX).min(length - done);
                let offset = usize::try_from(offset).map_err(|_| IommuError::NotMapped(at))?;
                if copy && !part(memory, offset, done..done + here) {
                    return Err(IommuError::NotMapped(at));
                }
                done += here;
            }
        }
        Ok(())
    }

    /// The device reads.
    #[inline]
    pub fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), IommuError> {
        if let Some(offset) = self.within(iova, into.len(), Want::Read)? {
            return if offset.0.read(offset.1, into) { Ok(()) } else { Err(IommuError::NotMapped(iova)) };
        }
        self.walk(iova, into.len(), Want::Read, &mut |memory, offset, range| {
            into.get_mut(range).is_some_and(|into| memory.read(offset, into))
        })
    }

    /// The device writes. A word of 4 or 8 bytes at a multiple of its size is published: what was written before it is
    /// visible to who reads it, what is written after it is not visible before.
    #[inline]
    pub fn write(&self, iova: u64, from: &[u8]) -> Result<(), IommuError> {
        if let Some((memory, offset)) = self.within(iova, from.len(), Want::Write)? {
            let published = match *from {
                [a, b, c, d] => memory.store32(offset, u32::from_ne_bytes([a, b, c, d])),
                [a, b, c, d, e, f, g, h] => memory.store64(offset, u64::from_ne_bytes([a, b, c, d, e, f, g, h])),
                _ => false,
            };
            if published {
                write_fence();
                return Ok(());
            }
            return if memory.write(offset, from) { Ok(()) } else { Err(IommuError::NotMapped(iova)) };
        }
        self.walk(iova, from.len(), Want::Write, &mut |memory, offset, range| {
            from.get(range).is_some_and(|from| memory.write(offset, from))
        })
    }

    /// Memory and offset of an access that lies within one mapping; none: it spans several.
    #[inline]
    fn within(&self, iova: u64, length: usize, want: Want) -> Result<Option<(&DmaMemory, usize)>, IommuError> {
        let (entry, memory, offset) = self.find(iova, want)?;
        let offset = usize::try_from(offset).map_err(|_| IommuError::NotMapped(iova))?;
        Ok((entry.end() - iova >= length as u64).then_some((memory, offset)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mapped_memory_is_reached() {
        let mut table = IommuTable::default();
        let a = table.map(&DmaMemory::new(4096).unwrap(), Permission::Write);
        let b = table.map(&DmaMemory::new(4096).unwrap(), Permission::Read);
        assert_eq!(table.write(a + 4092, &[1; 4]), Ok(()));
        assert_eq!(table.write(a + 4093, &[1; 4]), Err(IommuError::NotMapped(a + 4096)));
        assert_eq!(table.write(b, &[1]), Err(IommuError::NotWritable(b)));
        assert_eq!(table.read(0, &mut [0]), Err(IommuError::NotMapped(0)));
        assert_eq!(table.read(u64::MAX, &mut [0; 2]), Err(IommuError::NotMapped(u64::MAX)));
        assert!(table.unmap(a) && !table.unmap(a));
        assert_eq!(table.write(a, &[1]), Err(IommuError::NotMapped(a)));
    }

    fn at(iova: u64, length: u64, memory: &DmaMemory, offset: u64) -> Map {
        Map { iova, length, target: Some((memory.clone(), offset)), read: true, write: true }
    }

    #[test]
    fn accesses_span_mappings_that_touch() {
        let memory = DmaMemory::new(3 * 4096).unwrap();
        let mut table = IommuTable::default();
        // Pages in another order than in memory.
        table.map_at(at(0x2000, 0x1000, &memory, 0)).unwrap();
        table.map_at(at(0x1000, 0x1000, &memory, 0x2000)).unwrap();
        assert_eq!(table.write(0x1fff, b"ab"), Ok(()));
        let mut out = [0; 2];
        assert!(memory.read(0x2fff, &mut out[..1]) && memory.read(0, &mut out[1..]));
        assert_eq!(&out, b"ab");
        assert_eq!(table.read(0x1fff, &mut out), Ok(()));
        assert_eq!(&out, b"ab");
        // Wholly or not at all.
        assert_eq!(table.write(0x2fff, b"xy"), Err(IommuError::NotMapped(0x3000)));
        assert_eq!(table.read(0x2fff, &mut out[..1]), Ok(()));
        assert_eq!(out[0], 0);
    }

    #[test]
    fn what_overlaps_or_leads_nowhere_is_refused() {
        let memory = DmaMemory::new(4096).unwrap();
        let mut table = IommuTable::default();
        table.map_at(at(0x2000, 0x1000, &memory, 0)).unwrap();
        for (iova, length) in [(0x2000, 0x1000), (0x1fff, 2), (0x2fff, 2), (0x1000, 0x4000)] {
            assert_eq!(table.map_at(Map { target: None, ..at(iova, length, &memory, 0) }), Err(MapError::Overlap));
        }
        for (iova, length, offset) in [(0, 0, 0), (u64::MAX, 2, 0), (0, 0x1001, 0), (0, 0x1000, 1), (0, 1, u64::MAX)] {
            assert_eq!(table.map_at(at(iova, length, &memory, offset)), Err(MapError::Range), "{iova} {length}");
        }
        table.map_at(Map { target: None, ..at(0x3000, 0x1000, &memory, 0) }).unwrap();
        assert_eq!(table.read(0x3000, &mut [0]), Err(IommuError::NotMapped(0x3000)), "known, and not reachable");
        table.map_at(Map { read: false, ..at(0x8000, 0x1000, &memory, 0) }).unwrap();
        assert_eq!(table.read(0x8000, &mut [0]), Err(IommuError::NotReadable(0x8000)));
        assert_eq!(table.write(0x8000, &[0]), Ok(()));
    }

    /// Against a map of single bytes.
    #[test]
    fn ranges_are_taken_back_exactly() {
        let memory = DmaMemory::new(4096).unwrap();
        let mut state = 7;
        let mut random = |n: u64| weir_contract::hash::splitmix64(&mut state) % n;
        for _ in 0..300 {
            let mut table = IommuTable::default();
            let mut bytes = [None; 256];
            for _ in 0..40 {
                let (iova, length) = (random(256), 1 + random(40));
                if random(3) == 0 {
                    let end = (iova + length).min(256) as usize;
                    let mapped = bytes[iova as usize..end].iter().filter(|b| b.is_some()).count();
                    assert_eq!(table.unmap_range(iova, length), mapped as u64);
                    bytes[iova as usize..end].fill(None);
                } else if iova + length <= 256 {
                    let offset = random(2048);
                    let free = bytes[iova as usize..(iova + length) as usize].iter().all(Option::is_none);
                    assert_eq!(table.map_at(at(iova, length, &memory, offset)).is_ok(), free);
                    if free {
                        (0..length).for_each(|n| bytes[(iova + n) as usize] = Some(offset + n));
                    }
                }
                for (iova, byte) in bytes.iter().enumerate() {
                    let found = table.find(iova as u64, Want::Read).ok().map(|(_, _, offset)| offset);
                    assert_eq!(found, *byte);
                }
            }
            let mapped = bytes.iter().filter(|b| b.is_some()).count() as u64;
            assert_eq!(table.clear(), mapped);
            assert!(table.is_empty());
        }
    }
}
