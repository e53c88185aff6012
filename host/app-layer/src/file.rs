//! Files that protocols carry: what detection sees of each, whoever carried it.

use crate::digest::{Digests, Sums};
use crate::{AppLayerConfig, BufferState, BufferView, FileView, magic};
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
    /// Where rules ask for them.
    digests: Option<Box<Digests>>,
    sums: Option<Box<Sums>>,
}

impl File {
    /// A new file.
    pub fn new(name: &[u8], config: &AppLayerConfig) -> File {
        File {
            name: name.get(..NAME_MAX).unwrap_or(name).to_vec(),
            limit: config.body_limit,
            digests: config.file_digests.then(Box::default),
            ..File::default()
        }
    }

    /// More content.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.complete {
            return;
        }
        self.size += bytes.len() as u64;
        if let Some(digests) = &mut self.digests {
            digests.push(bytes);
        }
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
        self.digests = None;
    }

    /// No more will come.
    pub fn finish(&mut self) {
        self.complete = true;
        self.sums = self.digests.take().map(|digests| Box::new(digests.finish())).or(self.sums.take());
    }

    /// Name, as the protocol gave it.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// Its bytes, up to the inspection limit.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Size, once it is complete and nothing of it is lost.
    pub fn size(&self) -> Option<u64> {
        (self.complete && !self.holed).then_some(self.size)
    }

    /// As logs see it.
    pub fn view(&self) -> FileView<'_> {
        let sum = |buffer| self.sums.as_ref().and_then(|sums| sums.of(buffer));
        FileView {
            name: self.name.as_slice().into(),
            size: self.size,
            closed: self.complete && !self.holed,
            truncated: self.complete && self.holed,
            gaps: self.holed,
            range: None,
            digests: [Buffer::FileMd5, Buffer::FileSha1, Buffer::FileSha256].map(sum),
            content: &self.data,
        }
    }

    fn content(&self) -> BufferState<'_> {
        let complete = self.complete || self.holed || self.data.len() >= self.limit;
        if self.data.is_empty() && !complete {
            return BufferState::NotYet;
        }
        BufferState::Present(BufferView { bytes: &self.data, complete })
    }

    fn digest(&self, buffer: Buffer) -> BufferState<'_> {
        match self.sums.as_ref().and_then(|sums| sums.of(buffer)) {
            Some(bytes) => BufferState::whole(bytes),
            None if self.complete || self.digests.is_none() => BufferState::Absent,
            None => BufferState::NotYet,
        }
    }
}

/// Kind of a file of which this much is there.
pub(crate) fn kind(bytes: &[u8], complete: bool) -> BufferState<'static> {
    if bytes.len() < magic::ENOUGH && !complete {
        return BufferState::NotYet;
    }
    BufferState::whole(magic::describe(bytes).as_bytes())
}

/// A buffer that files have.
pub(crate) fn is_file(buffer: Buffer) -> bool {
    use Buffer::*;
    matches!(buffer, FileData | FileName | FileMagic | FileMd5 | FileSha1 | FileSha256)
}

/// A buffer of the files of a transaction's direction; `closed`: no further file will come.
pub(crate) fn buffer(files: &[File], closed: bool, buffer: Buffer, instance: usize) -> BufferState<'_> {
    match (files.get(instance), buffer) {
        (Some(file), Buffer::FileData) => file.content(),
        (Some(file), Buffer::FileName) => BufferState::whole(&file.name),
        (Some(file), Buffer::FileMagic) => {
            kind(&file.data, file.complete || file.holed || file.data.len() >= file.limit)
        }
        (Some(file), buffer) => file.digest(buffer),
        (None, _) if closed => BufferState::Absent,
        (None, _) => BufferState::NotYet,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(limit: usize) -> File {
        File::new(b"a.txt", &AppLayerConfig { body_limit: limit, file_digests: true, ..AppLayerConfig::default() })
    }

    fn bytes(state: BufferState<'_>) -> Option<Vec<u8>> {
        match state {
            BufferState::Present(view) => Some(view.bytes.to_vec()),
            _ => None,
        }
    }

    #[test]
    fn a_file_keeps_its_beginning_and_counts_the_rest() {
        let mut file = file(4);
        assert!(matches!(buffer(std::slice::from_ref(&file), false, Buffer::FileData, 0), BufferState::NotYet));
        file.push(b"abcdef");
        assert_eq!(file.size(), None);
        assert!(matches!(buffer(std::slice::from_ref(&file), false, Buffer::FileMd5, 0), BufferState::NotYet));
        file.finish();
        file.push(b"late");
        assert_eq!(file.size(), Some(6));
        let files = [file];
        match buffer(&files, false, Buffer::FileData, 0) {
            BufferState::Present(view) => assert_eq!((view.bytes, view.complete), (&b"abcd"[..], true)),
            other => panic!("{other:?}"),
        }
        assert_eq!(bytes(buffer(&files, false, Buffer::FileMagic, 0)).as_deref(), Some(&b"ASCII text, with no line terminators"[..]));
        let md5 = bytes(buffer(&files, false, Buffer::FileMd5, 0)).expect("whole");
        assert_eq!(crate::digest::hex(&md5), crate::digest::md5_hex(b"abcdef"));
        assert!(matches!(buffer(&files, false, Buffer::FileName, 1), BufferState::NotYet));
        assert!(matches!(buffer(&files, true, Buffer::FileName, 1), BufferState::Absent));
    }

    #[test]
    fn nothing_behind_a_hole_is_taken_for_content() {
        let mut file = file(100);
        file.push(b"abc");
        file.gap(10);
        file.push(b"def");
        file.finish();
        assert_eq!(file.size(), None);
        let files = [file];
        assert_eq!(bytes(buffer(&files, true, Buffer::FileData, 0)).as_deref(), Some(&b"abc"[..]));
        assert!(matches!(buffer(&files, true, Buffer::FileSha256, 0), BufferState::Absent));
    }
}
