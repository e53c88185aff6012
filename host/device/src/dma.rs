//! Memory that driver and device both reach.
//!
//! The one module of this crate with `unsafe`: an anonymous private mapping (rings hold traffic and must never be a
//! file) accessed by bounds-checked copies. No reference into the memory is ever made, so the other side may write at
//! any time; what a copy of racing bytes yields is garbage at worst, which readers find by position and checksum.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

struct Mapping {
    map: memmap2::MmapRaw,
}

/// A block of shared memory; clones name the same memory.
#[derive(Clone)]
pub struct DmaMemory(Arc<Mapping>);

impl std::fmt::Debug for DmaMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DmaMemory({} bytes)", self.len())
    }
}

impl DmaMemory {
    /// Zeroed memory of `length` bytes, rounded up to pages.
    pub fn new(length: usize) -> std::io::Result<DmaMemory> {
        let length = length.max(1).next_multiple_of(4096);
        let map = memmap2::MmapMut::map_anon(length)?;
        Ok(DmaMemory(Arc::new(Mapping { map: memmap2::MmapRaw::from(map) })))
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.0.map.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Where the mapping lies in this process, for back ends that hand it to the kernel's IOMMU interface. The memory
    /// stays there as long as a clone of `self` lives.
    pub fn address(&self) -> *const u8 {
        self.0.map.as_ptr()
    }

    fn check(&self, offset: usize, length: usize) -> bool {
        offset.checked_add(length).is_some_and(|end| end <= self.len())
    }

    /// Copy out; `false` if the range does not lie inside.
    #[must_use]
    pub fn read(&self, offset: usize, into: &mut [u8]) -> bool {
        if !self.check(offset, into.len()) {
            return false;
        }
        // SAFETY: the range lies inside the mapping (checked above), which lives as long as `self`; `into` is an
        // exclusive reference to other memory. Concurrent writes by the device are not visible to the compiler as
        // references, only as bytes behind a raw pointer.
        unsafe { std::ptr::copy_nonoverlapping(self.0.map.as_ptr().add(offset), into.as_mut_ptr(), into.len()) };
        true
    }

    /// Copy in; `false` if the range does not lie inside.
    #[must_use]
    pub fn write(&self, offset: usize, from: &[u8]) -> bool {
        if !self.check(offset, from.len()) {
            return false;
        }
        // SAFETY: as in `read`; `from` is a reference to other memory.
        unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), self.0.map.as_mut_ptr().add(offset), from.len()) };
        true
    }

    /// Read an aligned 64-bit word that the other side publishes; what was written before it is visible after.
    pub fn load64(&self, offset: usize) -> Option<u64> {
        if offset % 8 != 0 || !self.check(offset, 8) {
            return None;
        }
        // SAFETY: inside the mapping, aligned (the mapping is page-aligned), and all 64-bit accesses to published
        // words go through this or `store64`.
        let word = unsafe { &*self.0.map.as_mut_ptr().add(offset).cast::<AtomicU64>() };
        Some(word.load(Ordering::Acquire))
    }

    /// Publish an aligned 64-bit word.
    #[must_use]
    pub fn store64(&self, offset: usize, value: u64) -> bool {
        if offset % 8 != 0 || !self.check(offset, 8) {
            return false;
        }
        // SAFETY: as in `load64`.
        let word = unsafe { &*self.0.map.as_mut_ptr().add(offset).cast::<AtomicU64>() };
        word.store(value, Ordering::Release);
        true
    }

    /// Read an aligned 32-bit word that the other side publishes.
    pub fn load32(&self, offset: usize) -> Option<u32> {
        if offset % 4 != 0 || !self.check(offset, 4) {
            return None;
        }
        // SAFETY: as in `load64`.
        let word = unsafe { &*self.0.map.as_mut_ptr().add(offset).cast::<AtomicU32>() };
        Some(word.load(Ordering::Acquire))
    }

    /// Publish an aligned 32-bit word.
    #[must_use]
    pub fn store32(&self, offset: usize, value: u32) -> bool {
        if offset % 4 != 0 || !self.check(offset, 4) {
            return false;
        }
        // SAFETY: as in `load64`.
        let word = unsafe { &*self.0.map.as_mut_ptr().add(offset).cast::<AtomicU32>() };
        word.store(value, Ordering::Release);
        true
    }
}

/// Order copies before a later check of the generation.
pub fn read_fence() {
    fence(Ordering::Acquire);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_stay_inside() {
        let memory = DmaMemory::new(100).unwrap();
        assert_eq!(memory.len(), 4096);
        assert!(memory.write(4090, b"abcdef") && !memory.write(4091, b"abcdef"));
        let mut out = [0; 6];
        assert!(memory.clone().read(4090, &mut out) && &out == b"abcdef");
        assert!(!memory.read(usize::MAX, &mut out));
        assert!(memory.store64(8, 7) && memory.load64(8) == Some(7) && memory.load64(4).is_none());
        assert!(memory.load32(4096).is_none());
    }
}
