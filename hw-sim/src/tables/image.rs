//! The frame of a table image: header, directory, blocks; lengths, bounds and checksums, nothing of their meaning.

use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::{BlockFlags, BlockType, TableError};
use weir_contract::layouts::{BlockEntry, ImageHeader};

/// Why an image was refused: error, block type, offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("table image refused: {error:?}, block {block:#x}, offset {offset}")]
pub struct Refusal {
    /// Reason.
    pub error: TableError,
    /// Block type, 0 for the header and directory.
    pub block: u32,
    /// Offset in the image.
    pub offset: u64,
}

pub(super) fn refuse<T>(error: TableError, block: u32, offset: u64) -> Result<T, Refusal> {
    Err(Refusal { error, block, offset })
}

/// An image whose header, directory and checksums are right.
#[derive(Debug)]
pub struct Image<'a> {
    bytes: &'a [u8],
    /// Header.
    pub header: ImageHeader,
    /// Directory.
    pub directory: Vec<BlockEntry>,
}

impl<'a> Image<'a> {
    /// Check an image. Its bytes must be exactly the image.
    pub fn open(bytes: &'a [u8]) -> Result<Self, Refusal> {
        let Some(header) = ImageHeader::read(bytes) else { return refuse(TableError::Length, 0, 0) };
        if header.magic != c::IMAGE_MAGIC {
            return refuse(TableError::Magic, 0, 0);
        }
        if crc32c(bytes.get(..ImageHeader::SIZE - 4).unwrap_or(&[])) != header.header_crc {
            return refuse(TableError::HeaderCrc, 0, 0);
        }
        if header.major != c::CONTRACT_MAJOR || header.minor > c::CONTRACT_MINOR {
            return refuse(TableError::Version, 0, ImageHeader::OFFSET_MAJOR as u64);
        }
        if header.length != bytes.len() as u64 || header.length > c::IMAGE_LENGTH_MAX {
            return refuse(TableError::Length, 0, ImageHeader::OFFSET_LENGTH as u64);
        }
        if header.block_count > c::IMAGE_BLOCKS_MAX {
            return refuse(TableError::Capacity, 0, ImageHeader::OFFSET_BLOCK_COUNT as u64);
        }
        let directory_end = ImageHeader::SIZE + header.block_count as usize * BlockEntry::SIZE;
        let Some(raw) = bytes.get(ImageHeader::SIZE..directory_end) else {
            return refuse(TableError::Length, 0, ImageHeader::SIZE as u64);
        };
        if crc32c(raw) != header.directory_crc {
            return refuse(TableError::HeaderCrc, 0, ImageHeader::SIZE as u64);
        }
        let directory: Vec<BlockEntry> = raw.chunks_exact(BlockEntry::SIZE).filter_map(BlockEntry::read).collect();
        let image = Image { bytes, header, directory };
        image.check_blocks(directory_end as u64)?;
        Ok(image)
    }

    fn check_blocks(&self, directory_end: u64) -> Result<(), Refusal> {
        let mut spans = Vec::with_capacity(self.directory.len());
        for (n, entry) in self.directory.iter().enumerate() {
            let kind = u32::from(entry.kind);
            let at = (ImageHeader::SIZE + n * BlockEntry::SIZE) as u64;
            let end = entry.offset.checked_add(entry.length).filter(|end| *end <= self.header.length);
            let Some(end) = end.filter(|_| entry.offset >= directory_end && entry.offset % c::IMAGE_BLOCK_ALIGN == 0)
            else {
                return refuse(TableError::BlockBounds, kind, at);
            };
            let host_only = entry.flags & BlockFlags::HOST_ONLY.0 != 0;
            if entry.flags & !BlockFlags::ALL.0 != 0 || entry.reserved != 0 {
                return refuse(TableError::Value, kind, at);
            }
            let known = BlockType::from_raw(entry.kind).is_some() && entry.version == 1;
            if !host_only && !known {
                return refuse(TableError::BlockUnknown, kind, at);
            }
            if self.directory.iter().take(n).any(|other| other.kind == entry.kind) {
                return refuse(TableError::BlockTwice, kind, at);
            }
            if crc32c(self.slice(entry)) != entry.crc {
                return refuse(TableError::BlockCrc, kind, entry.offset);
            }
            spans.push((entry.offset, end, kind));
        }
        spans.sort_unstable();
        // What lies between blocks is covered by no checksum and must be zero.
        let mut covered = directory_end;
        for (from, to, kind) in spans {
            if from < covered {
                return refuse(TableError::BlockBounds, kind, from);
            }
            self.check_gap(covered, from)?;
            covered = to;
        }
        self.check_gap(covered, self.header.length)
    }

    fn check_gap(&self, from: u64, to: u64) -> Result<(), Refusal> {
        let gap = self.bytes.get(from as usize..to as usize).unwrap_or(&[]);
        match gap.iter().position(|byte| *byte != 0) {
            Some(at) => refuse(TableError::Value, 0, from + at as u64),
            None => Ok(()),
        }
    }

    fn slice(&self, entry: &BlockEntry) -> &'a [u8] {
        let from = usize::try_from(entry.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(entry.length).unwrap_or(usize::MAX);
        from.checked_add(length).and_then(|to| self.bytes.get(from..to)).unwrap_or(&[])
    }

    fn entry(&self, kind: BlockType) -> Option<&BlockEntry> {
        self.directory.iter().find(|entry| entry.kind == kind as u16 && entry.flags & BlockFlags::HOST_ONLY.0 == 0)
    }

    /// Where a block begins, 0 if it is absent.
    pub fn offset(&self, kind: BlockType) -> u64 {
        self.entry(kind).map_or(0, |entry| entry.offset)
    }

    /// A block of exactly `length` bytes; it may be absent if that is 0.
    pub fn sized(&self, kind: BlockType, length: usize) -> Result<&'a [u8], Refusal> {
        match self.entry(kind) {
            Some(entry) if entry.length == length as u64 => Ok(self.slice(entry)),
            Some(entry) => refuse(TableError::BlockSize, kind as u32, entry.offset),
            None if length == 0 => Ok(&[]),
            None => refuse(TableError::BlockMissing, kind as u32, 0),
        }
    }

    /// A block that must not be there because the geometry has no use for it.
    pub fn absent(&self, kind: BlockType) -> Result<(), Refusal> {
        self.sized(kind, 0).map(|_| ())
    }
}
