//! Capture files: pcap and pcapng to [`Frame`]s, and frames to pcap.
//!
//! Place: the first source of the engine (`--pcap`). Reads by streaming through one bounded buffer, so captures of any
//! size work and no length field of the file decides an allocation. A record that cannot be what it claims ends the
//! capture with a reason ([`CaptureEnd`]); it never fails the run, because frames before it are good.
//!
//! It does not decode frames (`weir_packet` does) and does not reorder them: a frame's number is its place in the file.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use weir_packet::Frame;

mod classic;
mod ng;
mod source;
mod writer;

use source::Source;
pub use writer::CaptureWriter;

/// Largest frame accepted, bytes. What libpcap allows for ordinary link types, times 64: USB and D-Bus captures hold larger
/// records, and beyond this a length is a damaged file.
pub const MAX_FRAME: u32 = 16 << 20;

/// Why a capture could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The operating system refused.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// File concerned.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// The file is empty.
    #[error("{path}: the file is empty, so it holds no capture header", path = path.display())]
    Empty {
        /// File concerned.
        path: PathBuf,
    },
    /// The first bytes are of no known capture format.
    #[error("{path}: not a pcap or pcapng file (it starts with {start:02x?}){hint}", path = path.display())]
    NotACapture {
        /// File concerned.
        path: PathBuf,
        /// Its first bytes.
        start: Vec<u8>,
        /// What to do about it.
        hint: &'static str,
    },
    /// The header is there but cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    BadHeader {
        /// File concerned.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// How a capture ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CaptureEnd {
    /// At the end of the file, after a whole record.
    Complete,
    /// In the middle of a record: the writer was interrupted.
    Truncated {
        /// File offset of the record.
        offset: u64,
        /// What is missing.
        reason: String,
    },
    /// At a record that cannot be: everything behind it is unreadable.
    Corrupt {
        /// File offset of the record.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Something odd that did not end the capture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaptureWarning {
    /// File offset of the record or block.
    pub offset: u64,
    /// What was seen.
    pub message: String,
}

/// Warnings kept; later ones are only counted.
const MAX_WARNINGS: usize = 64;

#[derive(Debug, Default)]
struct Warnings {
    kept: Vec<CaptureWarning>,
    total: u64,
}

impl Warnings {
    fn push(&mut self, offset: u64, message: impl Into<String>) {
        self.total += 1;
        if self.kept.len() < MAX_WARNINGS {
            self.kept.push(CaptureWarning { offset, message: message.into() });
        }
    }
}

/// A record found by one of the formats: where its bytes lie in the source's buffer.
struct Record {
    time: u64,
    link: u16,
    wire_length: u32,
    /// Bytes of the record before the frame's.
    before: usize,
    captured: usize,
    /// Bytes of the record after the frame's.
    after: u64,
}

/// What a format's `next` says.
enum Step {
    Record(Record),
    End(CaptureEnd),
}

enum Format {
    Classic(classic::Classic),
    Ng(ng::Ng),
}

/// A capture file being read, frame by frame.
pub struct CaptureReader {
    path: PathBuf,
    source: Source,
    format: Format,
    size: Option<u64>,
    frames: u64,
    end: Option<CaptureEnd>,
    warnings: Warnings,
}

/// Do these bytes begin a pcap or pcapng file?
pub fn is_capture(magic: [u8; 4]) -> bool {
    classic::is_magic(u32::from_be_bytes(magic)) || classic::is_magic(u32::from_le_bytes(magic)) || ng::is_magic(magic)
}

impl CaptureReader {
    /// Open a pcap or pcapng file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, CaptureError> {
        let path = path.as_ref();
        let io_error = |source| CaptureError::Io { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(io_error)?;
        let size = file.metadata().map_err(io_error)?;
        if size.is_dir() {
            return Err(io_error(io::Error::from(io::ErrorKind::IsADirectory)));
        }
        let size = size.is_file().then_some(size.len());
        Self::from_reader(file, size, path)
    }

    /// Read a capture from any reader (a pipe, memory). `name` is used in errors.
    pub fn from_reader(
        reader: impl Read + Send + 'static,
        size: Option<u64>,
        name: impl AsRef<Path>,
    ) -> Result<Self, CaptureError> {
        let path = name.as_ref().to_path_buf();
        let mut source = Source::new(Box::new(reader));
        let mut warnings = Warnings::default();
        let io_error = |source| CaptureError::Io { path: path.clone(), source };
        source.fill(4).map_err(io_error)?;
        let start = source.available();
        if start.is_empty() {
            return Err(CaptureError::Empty { path });
        }
        let format = if ng::is_ng(start) {
            ng::Ng::open(&mut source).map(Format::Ng)
        } else if classic::is_classic(start) {
            classic::Classic::open(&mut source, &mut warnings).map(Format::Classic)
        } else {
            let hint = match start {
                [0x1f, 0x8b, ..] => ": it is gzip-compressed; decompress it first",
                [0x28, 0xb5, 0x2f, 0xfd, ..] => ": it is zstd-compressed; decompress it first",
                [0xfd, b'7', b'z', b'X', ..] => ": it is xz-compressed; decompress it first",
                b"snoo" => ": it is a snoop capture; convert it with `editcap -F pcapng`",
                _ => "; convert other capture formats with `editcap -F pcapng`",
            };
            let start = start.iter().take(4).copied().collect();
            return Err(CaptureError::NotACapture { path, start, hint });
        };
        let format = match format {
            Ok(format) => format,
            Err(OpenError::Io(source)) => return Err(CaptureError::Io { path, source }),
            Err(OpenError::Bad(reason)) => return Err(CaptureError::BadHeader { path, reason }),
        };
        Ok(CaptureReader { path, source, format, size, frames: 0, end: None, warnings })
    }

    /// The next frame, or none at the end ([`Self::end`] says how it ended). The frame borrows the reader's buffer.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.end.is_some() {
            return Ok(None);
        }
        let step = match &mut self.format {
            Format::Classic(classic) => classic.next(&mut self.source),
            Format::Ng(ng) => ng.next(&mut self.source, &mut self.warnings),
        };
        let record = match step {
            Ok(Step::Record(record)) => record,
            Ok(Step::End(end)) => {
                self.end = Some(end);
                return Ok(None);
            }
            Err(source) => return Err(CaptureError::Io { path: self.path.clone(), source }),
        };
        self.frames += 1;
        let data = self.source.take(record.before, record.captured, record.after);
        Ok(Some(Frame {
            number: self.frames,
            time: weir_packet::Time(record.time),
            link: record.link,
            data,
            wire_length: record.wire_length.max(record.captured as u32),
        }))
    }

    /// Bytes of the file consumed so far.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// Size of the file, if it has one.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// Frames read so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// How the capture ended; none while frames may follow.
    pub fn end(&self) -> Option<&CaptureEnd> {
        self.end.as_ref()
    }

    /// The first oddities that did not end the capture.
    pub fn warnings(&self) -> &[CaptureWarning] {
        &self.warnings.kept
    }

    /// Number of oddities, including those beyond the kept ones.
    pub fn warning_count(&self) -> u64 {
        self.warnings.total
    }
}

impl std::fmt::Display for CaptureEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CaptureEnd::Complete => f.write_str("complete"),
            CaptureEnd::Truncated { offset, reason } => write!(f, "truncated at byte {offset}: {reason}"),
            CaptureEnd::Corrupt { offset, reason } => write!(f, "unreadable from byte {offset} on: {reason}"),
        }
    }
}

/// Failure of a format's header.
enum OpenError {
    Io(io::Error),
    Bad(String),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        OpenError::Io(error)
    }
}

/// Byte order of a file or section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Little,
    Big,
}

impl Order {
    /// The 16-bit number at `at`; 0 beyond the end (callers check lengths first).
    fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let Some(Ok(raw)) = bytes.get(at..at + 2).map(<[u8; 2]>::try_from) else { return 0 };
        match self {
            Order::Little => u16::from_le_bytes(raw),
            Order::Big => u16::from_be_bytes(raw),
        }
    }

    /// The 32-bit number at `at`; 0 beyond the end.
    fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let Some(Ok(raw)) = bytes.get(at..at + 4).map(<[u8; 4]>::try_from) else { return 0 };
        match self {
            Order::Little => u32::from_le_bytes(raw),
            Order::Big => u32::from_be_bytes(raw),
        }
    }

    /// The 64-bit number at `at`; 0 beyond the end.
    fn u64(self, bytes: &[u8], at: usize) -> u64 {
        let Some(Ok(raw)) = bytes.get(at..at + 8).map(<[u8; 8]>::try_from) else { return 0 };
        match self {
            Order::Little => u64::from_le_bytes(raw),
            Order::Big => u64::from_be_bytes(raw),
        }
    }
}

/// Fuzz entry point: reads arbitrary bytes as a capture; returns the number of frames.
pub fn fuzz_capture(data: &[u8]) -> u64 {
    let Ok(mut reader) = CaptureReader::from_reader(io::Cursor::new(data.to_vec()), None, "fuzz") else { return 0 };
    while let Ok(Some(frame)) = reader.next_frame() {
        assert!(frame.wire_length as usize >= frame.data.len());
    }
    reader.frames()
}

#[cfg(test)]
#[allow(clippy::type_complexity, clippy::too_many_arguments)]
mod tests;
