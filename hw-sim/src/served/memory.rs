//! Memory that a client shares: each file is mapped once, however many ranges of it the client makes reachable.
//!
//! (A guest behind an IOMMU maps page by page; a mapping of this process for each would soon be more than the system allows.)

use rustix::fs::fstat;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use weir_device::DmaMemory;

/// Most files of a client: rings of 64 queues, and some.
const FILES_MAX: usize = 1024;

/// Files by device and inode.
#[derive(Debug, Default)]
pub(super) struct Files(HashMap<(u64, u64), DmaMemory>);

impl Files {
    /// All of a file's memory.
    pub(super) fn memory(&mut self, file: OwnedFd) -> io::Result<DmaMemory> {
        let stat = fstat(&file)?;
        let key = (stat.st_dev, stat.st_ino);
        // One that has grown is mapped anew.
        if let Some(memory) = self.0.get(&key).filter(|memory| memory.len() as u64 >= stat.st_size as u64) {
            return Ok(memory.clone());
        }
        if self.0.len() >= FILES_MAX {
            return Err(io::Error::other(format!("more than {FILES_MAX} files")));
        }
        let memory = DmaMemory::of_file(file)?;
        self.0.insert(key, memory.clone());
        Ok(memory)
    }

    /// Files that nothing refers to are given back.
    pub(super) fn forget_unused(&mut self) {
        self.0.retain(|_, memory| memory.is_shared());
    }
}
