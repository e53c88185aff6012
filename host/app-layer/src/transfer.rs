//! Files read or written block by block: blocks may overlap, and come out of order.

use crate::AppLayerConfig;
use crate::file::File;

/// Most blocks that wait for those before them.
const WAITING_MAX: usize = 64;

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// It overlaps what came before.
    Overlap,
    /// Too many bytes wait.
    QueueSize,
    /// Too many blocks wait.
    QueueCount,
}

/// A file that is being transferred.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub file: File,
    /// Offset of the next byte.
    next: u64,
    waiting: Vec<(u64, Vec<u8>)>,
    limit: usize,
    /// Where the block that flows through goes on; none if it is not wanted.
    through: Option<u64>,
}

impl Transfer {
    /// A new transfer; as many bytes may wait as are kept.
    pub fn new(name: &[u8], config: &AppLayerConfig) -> Transfer {
        Transfer { file: File::new(name, config), next: 0, waiting: Vec::new(), limit: config.body_limit, through: None }
    }

    /// A block at an offset, or its beginning: [`Self::more`] goes on with it.
    pub fn block(&mut self, offset: u64, bytes: &[u8]) -> Option<Trouble> {
        let trouble = self.place(offset, bytes);
        self.through = Some(offset.saturating_add(bytes.len() as u64));
        trouble
    }

    /// More of the last block.
    pub fn more(&mut self, bytes: &[u8]) -> Option<Trouble> {
        let offset = self.through?;
        self.block(offset, bytes)
    }

    /// So many bytes of the last block are lost.
    pub fn lost(&mut self, length: u64) {
        let Some(offset) = self.through else { return };
        let end = offset.saturating_add(length);
        if end > self.next && offset <= self.next {
            self.file.gap(end - self.next);
            self.next = end;
        }
        self.through = Some(end);
    }

    fn place(&mut self, offset: u64, bytes: &[u8]) -> Option<Trouble> {
        if bytes.is_empty() {
            return None;
        }
        if offset > self.next {
            let size: usize = self.waiting.iter().map(|(_, b)| b.len()).sum();
            if self.waiting.len() >= WAITING_MAX {
                return Some(Trouble::QueueCount);
            }
            if size + bytes.len() > self.limit {
                return Some(Trouble::QueueSize);
            }
            self.waiting.push((offset, bytes.to_vec()));
            return None;
        }
        // What came first counts.
        let known = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
        let fresh = bytes.get(known..).unwrap_or(&[]);
        self.file.push(fresh);
        self.next += fresh.len() as u64;
        while let Some(at) = self.waiting.iter().position(|(offset, _)| *offset <= self.next) {
            let (offset, bytes) = self.waiting.swap_remove(at);
            let known = usize::try_from(self.next - offset).unwrap_or(usize::MAX);
            let fresh = bytes.get(known..).unwrap_or(&[]);
            self.file.push(fresh);
            self.next += fresh.len() as u64;
        }
        (known > 0).then_some(Trouble::Overlap)
    }

    /// The file is closed; what waited stays behind a hole.
    pub fn finish(&mut self) {
        self.waiting.sort_by_key(|(offset, _)| *offset);
        for (offset, bytes) in std::mem::take(&mut self.waiting) {
            let end = offset.saturating_add(bytes.len() as u64);
            if end > self.next {
                self.file.gap(end - self.next);
                self.next = end;
            }
        }
        self.file.finish();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BufferState, file};
    use weir_ir::Buffer;

    fn content(t: Transfer) -> (Vec<u8>, Option<u64>) {
        let size = t.file.size();
        match file::buffer(&[t.file], true, Buffer::FileData, 0) {
            BufferState::Present(view) => (view.bytes.to_vec(), size),
            other => panic!("{other:?}"),
        }
    }

    fn transfer(limit: usize) -> Transfer {
        Transfer::new(b"f", &AppLayerConfig { body_limit: limit, ..AppLayerConfig::default() })
    }

    #[test]
    fn blocks_in_any_order() {
        let mut t = transfer(100);
        assert_eq!(t.block(3, b"def"), None);
        assert_eq!(t.block(0, b"ab"), None);
        assert_eq!(t.more(b"c"), None);
        assert_eq!(t.block(4, b"XXg"), Some(Trouble::Overlap));
        t.finish();
        assert_eq!(content(t), (b"abcdefg".to_vec(), Some(7)));
    }

    #[test]
    fn holes() {
        let mut t = transfer(100);
        t.block(0, b"ab");
        t.lost(3);
        t.more(b"behind");
        t.block(20, b"far");
        t.finish();
        assert_eq!(content(t), (b"ab".to_vec(), None));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut t = transfer(1000);
        assert_eq!(t.block(5000, &[0; 1001]), Some(Trouble::QueueSize));
        for n in 0..WAITING_MAX as u64 {
            assert_eq!(t.block(10 + n, b"x"), None);
        }
        assert_eq!(t.block(500, b"x"), Some(Trouble::QueueCount));
    }
}
