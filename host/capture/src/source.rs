//! The buffer between a reader and the formats. Bounded: it grows to the largest record accepted, never by a claim alone
//! beyond [`crate::MAX_FRAME`] and a header; skipped bytes are not buffered.

use std::io::{self, Read};

/// Size of a read. Fits the second-level cache, so that what was copied in is still there when it is decoded.
const CHUNK: usize = 256 << 10;

pub(crate) struct Source {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// File offset of `buffer[start]`.
    position: u64,
}

impl Source {
    pub fn new(reader: Box<dyn Read + Send>) -> Self {
        Source { reader, buffer: vec![0; CHUNK], start: 0, end: 0, position: 0 }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    /// The bytes at hand.
    pub fn available(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Try to have `wanted` bytes at hand; false if the file ends before. Callers bound `wanted`.
    #[inline]
    pub fn fill(&mut self, wanted: usize) -> io::Result<bool> {
        if self.end - self.start >= wanted { Ok(true) } else { self.refill(wanted) }
    }

    #[cold]
    fn refill(&mut self, wanted: usize) -> io::Result<bool> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        while self.end < wanted {
            if self.buffer.len() == self.end {
                // Doubling: memory follows what the file really holds, not what a record claims.
                let grown = (self.buffer.len() * 2).min(wanted.max(CHUNK)).max(self.end + 1);
                self.buffer.resize(grown, 0);
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    /// Consume a record that is at hand up to `before + captured`, and skip `after` bytes more; the captured bytes.
    pub fn take(&mut self, before: usize, captured: usize, after: u64) -> &[u8] {
        let from = (self.start + before).min(self.end);
        let to = (from + captured).min(self.end);
        // `after` is at hand too (formats fill whole records), except at a truncated end.
        let end = (to + usize::try_from(after).unwrap_or(usize::MAX).min(self.end - to)).min(self.end);
        self.position += (end - self.start) as u64;
        self.start = end;
        self.buffer.get(from..to).unwrap_or_default()
    }

    /// Skip `count` bytes, at hand or not; false if the file ends before.
    pub fn skip(&mut self, mut count: u64) -> io::Result<bool> {
        loop {
            let step = count.min((self.end - self.start) as u64);
            self.start += step as usize;
            self.position += step;
            count -= step;
            if count == 0 {
                return Ok(true);
            }
            if !self.fill(1)? {
                return Ok(false);
            }
        }
    }
}
