//! Files that protocols carry: what detection sees of each, whoever carried it.

use crate::{BufferState, BufferView};
use weir_ir::Buffer;

/// Most files of one transaction; what comes behind them is counted as seen, and not kept.
pub(crate) const FILES_MAX: usize = 64;
/// Longest name kept.
const NAME_MAX: usize = 2048;

/// A file, as far as it has come.
#[derive(Debug, Default)]
pub(crate) struct File {
    name: Vec<u8>,
    data: Vec<u8>,
    limit: usize,
    /// Bytes seen, kept or not.
    size: u64,
    complete: bool,
    /// Bytes are missing within.
    holed: bool,
}

impl File {
    /// A new file that keeps `limit` bytes.
    pub fn new(name: &[u8], limit: usize) -> File {
        File { name: name.get(..NAME_MAX).unwrap_or(name).to_vec(), limit, ..File::default() }
    }

    /// More content.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.complete {
            return;
        }
        self.size += bytes.len() as u64;
        // What lies behind a hole is not what the file holds at that place.
        if !self.holed {
            let room = self.limit.saturating_sub(self.data.len());
            self.data.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        }
    }

    /// So many bytes are lost.
    pub fn gap(&mut self, length: u64) {
        self.size += length;
        self.holed = true;
    }

    /// No more will come.
    pub fn finish(&mut self) {
        self.complete = true;
    }

    /// Name, as the protocol gave it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Size, once it is complete and nothing of it is lost.
    pub fn size(&self) -> Option<u64> {
        (self.complete && !self.holed).then_some(self.size)
    }

    /// Bytes seen so far.
    pub fn seen(&self) -> u64 {
        self.size
    }

    /// No more will come.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    fn content(&self) -> BufferState<'_> {
        let complete = self.complete || self.holed || self.data.len() >= self.limit;
        if self.data.is_empty() && !complete {
            return BufferState::NotYet;
        }
        BufferState::Present(BufferView { bytes: &self.data, complete })
    }
}

/// A buffer of the files of a transaction's direction; `closed`: no further file will come.
pub(crate) fn buffer(files: &[File], closed: bool, buffer: Buffer, instance: usize) -> BufferState<'_> {
    match (files.get(instance), buffer) {
        (Some(file), Buffer::FileData) => file.content(),
        (Some(file), Buffer::FileName) => BufferState::Present(BufferView { bytes: &file.name, complete: true }),
        (Some(_), _) => BufferState::Absent,
        (None, _) if closed => BufferState::Absent,
        (None, _) => BufferState::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_beginning_and_counts_the_rest() {
        let mut file = File::new(b"a.txt", 4);
        assert!(matches!(buffer(std::slice::from_ref(&file), false, Buffer::FileData, 0), BufferState::NotYet));
        file.push(b"abcdef");
        assert_eq!((file.size(), file.seen()), (None, 6));
        file.finish();
        file.push(b"late");
        assert_eq!(file.size(), Some(6));
        let files = [file];
        match buffer(&files, false, Buffer::FileData, 0) {
            BufferState::Present(view) => assert_eq!((view.bytes, view.complete), (&b"abcd"[..], true)),
            other => panic!("{other:?}"),
        }
        assert!(matches!(buffer(&files, false, Buffer::FileName, 1), BufferState::NotYet));
        assert!(matches!(buffer(&files, true, Buffer::FileName, 1), BufferState::Absent));
    }

    #[test]
    fn nothing_behind_a_hole_is_taken_for_content() {
        let mut file = File::new(b"", 100);
        file.push(b"abc");
        file.gap(10);
        file.push(b"def");
        file.finish();
        assert_eq!((file.size(), file.seen()), (None, 16));
        assert!(matches!(buffer(&[file], true, Buffer::FileData, 0), BufferState::Present(v) if v.bytes == b"abc" && v.complete));
    }
}
