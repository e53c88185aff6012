//! Memory that driver and device both reach.
//!
//! The one module of this crate with `unsafe`: a mapping without a name in any file system (rings hold traffic and must
//! never be a file), accessed by bounds-checked copies. No reference into the memory is ever made, so the other side may
//! write at any time; what a copy of racing bytes yields is garbage at worst, which readers find by position and checksum.
//! Memory that another process shares cannot be shrunk by it (it is sealed), so that no access can fault.
#![allow(unsafe_code)]

use rustix::fs::{MemfdFlags, SealFlags};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Huge pages of this size are asked for.
const HUGE_PAGE: usize = 2 << 20;

struct Mapping {
    map: memmap2::MmapRaw,
    /// What another process maps to reach the same memory.
    file: Option<OwnedFd>,
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
    pub fn new(length: usize) -> io::Result<DmaMemory> {
        let length = length.max(1).next_multiple_of(4096);
        let map = memmap2::MmapMut::map_anon(length)?;
        Ok(DmaMemory(Arc::new(Mapping { map: memmap2::MmapRaw::from(map), file: None })))
    }

    /// Zeroed memory in huge pages where there are any and it fills one, else as [`DmaMemory::new`] gives it: an IOMMU
    /// then has a few entries to look up in the place of thousands.
    pub fn huge(length: usize) -> io::Result<DmaMemory> {
        if length >= HUGE_PAGE {
            let mut options = memmap2::MmapOptions::new();
            options.len(length.next_multiple_of(HUGE_PAGE)).huge(Some(HUGE_PAGE.trailing_zeros() as u8));
            if let Ok(map) = options.map_anon() {
                return Ok(DmaMemory(Arc::new(Mapping { map: memmap2::MmapRaw::from(map), file: None })));
            }
        }
        let memory = DmaMemory::new(length)?;
        // Transparent ones, perhaps.
        let _ = memory.0.map.advise(memmap2::Advice::HugePage);
        Ok(memory)
    }

    /// Zeroed memory that another process can be given ([`DmaMemory::file`]).
    pub fn shared(length: usize) -> io::Result<DmaMemory> {
        let length = length.max(1).next_multiple_of(4096);
        let file = rustix::fs::memfd_create("weir-dma", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        rustix::fs::ftruncate(&file, length as u64)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Self::of_file(file)
    }

    /// All of another process's memory. It must be sealed against shrinking: an access behind the end of a file that was
    /// shrunk would end this process.
    pub fn of_file(file: OwnedFd) -> io::Result<DmaMemory> {
        let refused = |why: &str| io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned());
        let sealed = rustix::fs::fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::SHRINK));
        if !sealed {
            return Err(refused("the memory is no memfd that is sealed against shrinking"));
        }
        let length = usize::try_from(rustix::fs::fstat(&file)?.st_size).map_err(|_| refused("impossible size"))?;
        if length == 0 {
            return Err(refused("the memory is empty"));
        }
        let map = memmap2::MmapOptions::new().len(length).map_raw(&file)?;
        Ok(DmaMemory(Arc::new(Mapping { map, file: Some(file) })))
    }

    /// What to give another process to share the memory; none: it is this process's own.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.0.file.as_ref().map(AsFd::as_fd)
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

    /// Every page is this process's own from now on. Memory that was never written is the system's one page of zeros: a
    /// device that is given it to read would go on reading that page after the process had written to its own.
    pub fn touch(&self) {
        for page in (0..self.len()).step_by(4096) {
            if let Some(word) = self.load64(page) {
                let _ = self.store64(page, word);
            }
        }
    }

    /// Other clones are alive.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
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
        if !offset.is_multiple_of(8) || !self.check(offset, 8) {
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
        if !offset.is_multiple_of(8) || !self.check(offset, 8) {
            return false;
        }
        // SAFETY: as in `load64`.
        let word = unsafe { &*self.0.map.as_mut_ptr().add(offset).cast::<AtomicU64>() };
        word.store(value, Ordering::Release);
        true
    }

    /// Read an aligned 32-bit word that the other side publishes.
    pub fn load32(&self, offset: usize) -> Option<u32> {
        if !offset.is_multiple_of(4) || !self.check(offset, 4) {
            return None;
        }
        // SAFETY: as in `load64`.
        let word = unsafe { &*self.0.map.as_mut_ptr().add(offset).cast::<AtomicU32>() };
        Some(word.load(Ordering::Acquire))
    }

    /// Publish an aligned 32-bit word.
    #[must_use]
    pub fn store32(&self, offset: usize, value: u32) -> bool {
        if !offset.is_multiple_of(4) || !self.check(offset, 4) {
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

/// Order what was published before later copies.
pub fn write_fence() {
    fence(Ordering::Release);
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

    #[test]
    fn shared_memory_is_one_memory_and_cannot_shrink() {
        let memory = DmaMemory::shared(5000).unwrap();
        assert_eq!(memory.len(), 8192);
        let file = memory.file().unwrap().try_clone_to_owned().unwrap();
        assert!(rustix::fs::ftruncate(&file, 4096).is_err());
        let other = DmaMemory::of_file(file).unwrap();
        assert!(memory.store32(4, 7) && other.load32(4) == Some(7));
        assert!(other.write(8000, b"x") && memory.read(8000, &mut [0]));
        let open = rustix::fs::memfd_create("open", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
        rustix::fs::ftruncate(&open, 4096).unwrap();
        assert!(DmaMemory::of_file(open).is_err(), "its owner could shrink it");
        assert!(DmaMemory::of_file(std::fs::File::open("/dev/null").unwrap().into()).is_err());
        assert!(DmaMemory::new(1).unwrap().file().is_none());
        assert!(DmaMemory::huge(3 << 20).unwrap().len() >= 3 << 20);
    }
}
