//! The IOVA table of devices that live in this process: what a device may reach, and nothing else.

use crate::dma::DmaMemory;

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
}

#[derive(Debug, Clone)]
struct Entry {
    iova: u64,
    memory: DmaMemory,
    permission: Permission,
}

/// Mappings, in order of address. An access must lie within one of them.
#[derive(Debug, Default)]
pub struct IommuTable {
    entries: Vec<Entry>,
    next: u64,
}

impl IommuTable {
    /// Map memory; gives its IOVA. Mappings are separated by unmapped pages, so that an overrun faults.
    pub fn map(&mut self, memory: &DmaMemory, permission: Permission) -> u64 {
        let iova = self.next.max(0x1000_0000);
        self.next = iova + (memory.len() as u64).next_multiple_of(4096) + 0x1000;
        self.entries.push(Entry { iova, memory: memory.clone(), permission });
        iova
    }

    /// Take a mapping back; `false` if there is none at this IOVA.
    pub fn unmap(&mut self, iova: u64) -> bool {
        let before = self.entries.len();
        self.entries.retain(|e| e.iova != iova);
        self.entries.len() != before
    }

    fn find(&self, iova: u64, length: usize) -> Result<(&Entry, usize), IommuError> {
        let i = self.entries.partition_point(|e| e.iova <= iova);
        let entry = i.checked_sub(1).and_then(|i| self.entries.get(i)).ok_or(IommuError::NotMapped(iova))?;
        let offset = usize::try_from(iova - entry.iova).map_err(|_| IommuError::NotMapped(iova))?;
        match offset.checked_add(length) {
            Some(end) if end <= entry.memory.len() => Ok((entry, offset)),
            _ => Err(IommuError::NotMapped(iova)),
        }
    }

    /// The device reads.
    pub fn read(&self, iova: u64, into: &mut [u8]) -> Result<(), IommuError> {
        let (entry, offset) = self.find(iova, into.len())?;
        if entry.memory.read(offset, into) { Ok(()) } else { Err(IommuError::NotMapped(iova)) }
    }

    /// The device writes.
    pub fn write(&self, iova: u64, from: &[u8]) -> Result<(), IommuError> {
        let (entry, offset) = self.find(iova, from.len())?;
        if entry.permission != Permission::Write {
            return Err(IommuError::NotWritable(iova));
        }
        if entry.memory.write(offset, from) { Ok(()) } else { Err(IommuError::NotMapped(iova)) }
    }

    /// Memory behind an IOVA for a device that keeps the translation (an address translation cache): the memory, the
    /// offset of `iova` in it, and whether it is writable. Must be dropped when the mapping is taken back.
    pub fn translate(&self, iova: u64, length: usize) -> Result<(DmaMemory, usize, Permission), IommuError> {
        let (entry, offset) = self.find(iova, length)?;
        Ok((entry.memory.clone(), offset, entry.permission))
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
        assert_eq!(table.write(a + 4093, &[1; 4]), Err(IommuError::NotMapped(a + 4093)));
        assert_eq!(table.write(b, &[1]), Err(IommuError::NotWritable(b)));
        assert_eq!(table.read(0, &mut [0]), Err(IommuError::NotMapped(0)));
        assert!(table.unmap(a) && !table.unmap(a));
        assert_eq!(table.write(a, &[1]), Err(IommuError::NotMapped(a)));
    }
}
