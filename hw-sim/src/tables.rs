//! A table bank: the image as the device holds it after checking every length, index and checksum.

use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::{BlockFlags, BlockType, TableError};
use weir_contract::guards::Guard;
use weir_contract::hash::{HashFamily, WindowTable};
use weir_contract::layouts::{
    AddressPrefixV4, AddressPrefixV6, BlockEntry, ExactEntry, Geometry, GuardParameters, HashConstants, ImageHeader,
    LengthGeometry, Limits, ListRange, Record,
};

/// Why an image was refused: error, block type, offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Reason.
    pub error: TableError,
    /// Block type, 0 for the header.
    pub block: u32,
    /// Offset in the image.
    pub offset: u64,
}

/// The filter of one window length.
#[derive(Debug, Clone)]
pub struct LengthTable {
    /// Sizes.
    pub geometry: LengthGeometry,
    /// Bits, partition by partition.
    pub bloom: Vec<u64>,
    /// Buckets of ways.
    pub exact: Vec<ExactEntry>,
    /// The hash.
    pub hash: WindowTable,
}

/// One resident set of tables.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Identity of the image.
    pub identity: [u8; 16],
    /// Checksum of the directory, for read-back.
    pub crc: u32,
    /// By window length, 4 to 8; unused ones are absent.
    pub lengths: Vec<LengthTable>,
    /// Record ids.
    pub lists: Vec<u32>,
    /// Records.
    pub records: Vec<Record>,
    /// Header table.
    pub header: Vec<u32>,
    /// Guard lists.
    pub guards: [ListRange; c::GUARDS_MAX],
    /// What payload facts compare with.
    pub parameters: GuardParameters,
    /// Bounds per frame.
    pub limits: Limits,
    port_classes: Vec<u16>,
    v4: Vec<AddressPrefixV4>,
    v6: Vec<AddressPrefixV6>,
    port_sets: Matrix,
    address_sets: Matrix,
}

#[derive(Debug, Clone, Default)]
struct Matrix {
    words: Vec<u64>,
    row: usize,
    rows: usize,
}

impl Matrix {
    fn holds(&self, set: u16, class: u16) -> bool {
        let (set, class) = (usize::from(set), usize::from(class));
        set < self.rows
            && class / 64 < self.row
            && self.words.get(set * self.row + class / 64).is_some_and(|w| w >> (class % 64) & 1 != 0)
    }
}

struct Image<'a> {
    bytes: &'a [u8],
    blocks: Vec<BlockEntry>,
}

fn refuse<T>(error: TableError, block: u32, offset: u64) -> Result<T, Refusal> {
    Err(Refusal { error, block, offset })
}

impl<'a> Image<'a> {
    fn block(&self, kind: BlockType) -> Result<Option<&'a [u8]>, Refusal> {
        let Some(entry) = self.blocks.iter().find(|b| b.kind == kind as u16) else { return Ok(None) };
        let from = usize::try_from(entry.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(entry.length).unwrap_or(usize::MAX);
        match from.checked_add(length).and_then(|to| self.bytes.get(from..to)) {
            Some(bytes) => Ok(Some(bytes)),
            None => refuse(TableError::BlockBounds, kind as u32, entry.offset),
        }
    }

    fn offset(&self, kind: BlockType) -> u64 {
        self.blocks.iter().find(|b| b.kind == kind as u16).map_or(0, |b| b.offset)
    }

    /// A required block of exactly `length` bytes.
    fn sized(&self, kind: BlockType, length: usize) -> Result<&'a [u8], Refusal> {
        match self.block(kind)? {
            Some(bytes) if bytes.len() == length => Ok(bytes),
            Some(_) => refuse(TableError::BlockSize, kind as u32, self.offset(kind)),
            None if length == 0 => Ok(&[]),
            None => refuse(TableError::BlockMissing, kind as u32, 0),
        }
    }
}

fn open(bytes: &[u8]) -> Result<(ImageHeader, Image<'_>), Refusal> {
    let Some(header) = ImageHeader::read(bytes) else { return refuse(TableError::Length, 0, 0) };
    if header.magic != c::IMAGE_MAGIC {
        return refuse(TableError::Magic, 0, 0);
    }
    if crc32c(&bytes[..ImageHeader::SIZE - 4]) != header.header_crc {
        return refuse(TableError::HeaderCrc, 0, 0);
    }
    if header.major != c::CONTRACT_MAJOR {
        return refuse(TableError::Version, 0, 4);
    }
    if header.length != bytes.len() as u64 || header.length > c::IMAGE_LENGTH_MAX {
        return refuse(TableError::Length, 0, 8);
    }
    if header.block_count > c::IMAGE_BLOCKS_MAX {
        return refuse(TableError::Capacity, 0, 32);
    }
    let directory_end = ImageHeader::SIZE + header.block_count as usize * BlockEntry::SIZE;
    let Some(directory) = bytes.get(ImageHeader::SIZE..directory_end) else {
        return refuse(TableError::Length, 0, ImageHeader::SIZE as u64);
    };
    if crc32c(directory) != header.directory_crc {
        return refuse(TableError::HeaderCrc, 0, ImageHeader::SIZE as u64);
    }
    let blocks: Vec<BlockEntry> = directory.chunks_exact(BlockEntry::SIZE).filter_map(BlockEntry::read).collect();
    let mut spans = Vec::new();
    for (n, b) in blocks.iter().enumerate() {
        let kind = u32::from(b.kind);
        let Some(end) = b.offset.checked_add(b.length) else { return refuse(TableError::BlockBounds, kind, b.offset) };
        if end > header.length || b.offset < directory_end as u64 || b.offset % c::IMAGE_BLOCK_ALIGN != 0 {
            return refuse(TableError::BlockBounds, kind, b.offset);
        }
        let host_only = b.flags & BlockFlags::HOST_ONLY.0 != 0;
        if !host_only && (BlockType::from_raw(b.kind).is_none() || b.version != 1) {
            return refuse(TableError::BlockUnknown, kind, b.offset);
        }
        if blocks.iter().take(n).any(|other| other.kind == b.kind) {
            return refuse(TableError::BlockTwice, kind, b.offset);
        }
        spans.push((b.offset, end, kind));
        let slice = &bytes[b.offset as usize..end as usize];
        if crc32c(slice) != b.crc {
            return refuse(TableError::BlockCrc, kind, b.offset);
        }
    }
    spans.sort_unstable();
    for pair in spans.windows(2) {
        if pair[0].1 > pair[1].0 {
            return refuse(TableError::BlockBounds, pair[1].2, pair[1].0);
        }
    }
    Ok((header, Image { bytes, blocks }))
}

const BLOOM: [BlockType; 5] =
    [BlockType::Bloom4, BlockType::Bloom5, BlockType::Bloom6, BlockType::Bloom7, BlockType::Bloom8];
const EXACT: [BlockType; 5] =
    [BlockType::Exact4, BlockType::Exact5, BlockType::Exact6, BlockType::Exact7, BlockType::Exact8];

impl Tables {
    /// Check and load an image.
    pub fn load(bytes: &[u8]) -> Result<Tables, Refusal> {
        let (header, image) = open(bytes)?;
        let g = {
            let block = image.sized(BlockType::Geometry, Geometry::SIZE)?;
            match Geometry::read(block) {
                Some(g) => g,
                None => return refuse(TableError::BlockSize, BlockType::Geometry as u32, 0),
            }
        };
        let bad = |error, kind: BlockType| Refusal { error, block: kind as u32, offset: image.offset(kind) };
        let hash = HashConstants::read(image.sized(BlockType::Hash, HashConstants::SIZE)?)
            .ok_or(bad(TableError::BlockSize, BlockType::Hash))?;
        let family = HashFamily::new(hash);
        let limits = Limits::read(image.sized(BlockType::Limits, Limits::SIZE)?)
            .ok_or(bad(TableError::BlockSize, BlockType::Limits))?;
        let parameters = GuardParameters::read(image.sized(BlockType::GuardParameters, GuardParameters::SIZE)?)
            .ok_or(bad(TableError::BlockSize, BlockType::GuardParameters))?;
        let lists = words32(image.sized(BlockType::Lists, g.list_entries as usize * 4)?);
        let records: Vec<Record> = image
            .sized(BlockType::Records, (g.records as usize).saturating_mul(Record::SIZE))?
            .chunks_exact(Record::SIZE)
            .filter_map(Record::read)
            .collect();
        let header_table = words32(image.sized(BlockType::HeaderTable, g.header_entries as usize * 4)?);
        if lists.iter().any(|id| *id >= g.records) {
            return Err(bad(TableError::Reference, BlockType::Lists));
        }
        if header_table.iter().any(|id| *id >= g.records) {
            return Err(bad(TableError::Reference, BlockType::HeaderTable));
        }
        if records.iter().any(|r| {
            r.scopes == 0
                || u32::from(r.source_ports) >= g.port_sets
                || u32::from(r.destination_ports) >= g.port_sets
                || u32::from(r.source_addresses) >= g.address_sets
                || u32::from(r.destination_addresses) >= g.address_sets
        }) {
            return Err(bad(TableError::Reference, BlockType::Records));
        }
        let mut lengths = Vec::new();
        for (n, l) in g.lengths.iter().enumerate() {
            if l.bloom_partitions == 0 {
                continue;
            }
            if usize::from(l.bloom_partitions) > c::BLOOM_PARTITIONS_MAX
                || !(10..=24).contains(&l.bloom_bits_log2)
                || l.exact_buckets_log2 > 24
                || !(1..=16).contains(&l.exact_ways)
            {
                return Err(bad(TableError::Geometry, BlockType::Geometry));
            }
            if hash.multipliers[n] == 0 {
                return Err(bad(TableError::Value, BlockType::Hash));
            }
            let bits = usize::from(l.bloom_partitions) << l.bloom_bits_log2;
            let bloom = image
                .sized(BLOOM[n], bits / 8)?
                .chunks_exact(8)
                .filter_map(|w| w.first_chunk().map(|w| u64::from_le_bytes(*w)))
                .collect();
            let slots = (1usize << l.exact_buckets_log2) * usize::from(l.exact_ways);
            let exact: Vec<ExactEntry> = image
                .sized(EXACT[n], slots.saturating_mul(ExactEntry::SIZE))?
                .chunks_exact(ExactEntry::SIZE)
                .filter_map(ExactEntry::read)
                .collect();
            for e in &exact {
                let end = u64::from(e.list_start) + u64::from(e.list_count);
                if e.list_count != 0 && (end > lists.len() as u64 || usize::from(e.length) != n + c::WINDOW_MIN) {
                    return Err(bad(TableError::Reference, EXACT[n]));
                }
            }
            lengths.push(LengthTable { geometry: *l, bloom, exact, hash: WindowTable::new(&family, n + c::WINDOW_MIN) });
        }
        let mut guards = [ListRange::ZERO; c::GUARDS_MAX];
        let block = image.sized(BlockType::GuardTable, c::GUARDS_MAX * ListRange::SIZE)?;
        for (slot, range) in guards.iter_mut().zip(block.chunks_exact(ListRange::SIZE).filter_map(ListRange::read)) {
            if u64::from(range.start) + u64::from(range.count) > lists.len() as u64 {
                return Err(bad(TableError::Reference, BlockType::GuardTable));
            }
            *slot = range;
        }
        let port_classes: Vec<u16> = image
            .sized(BlockType::PortClasses, 65536 * 2)?
            .chunks_exact(2)
            .map(|b| u16::from_le_bytes([b[0], b[1]]))
            .collect();
        if port_classes.iter().any(|class| u32::from(*class) >= g.port_classes) {
            return Err(bad(TableError::Reference, BlockType::PortClasses));
        }
        let v4: Vec<AddressPrefixV4> = image
            .sized(BlockType::AddressClassesV4, (g.prefixes_v4 as usize).saturating_mul(AddressPrefixV4::SIZE))?
            .chunks_exact(AddressPrefixV4::SIZE)
            .filter_map(AddressPrefixV4::read)
            .collect();
        let v6: Vec<AddressPrefixV6> = image
            .sized(BlockType::AddressClassesV6, (g.prefixes_v6 as usize).saturating_mul(AddressPrefixV6::SIZE))?
            .chunks_exact(AddressPrefixV6::SIZE)
            .filter_map(AddressPrefixV6::read)
            .collect();
        if v4.iter().any(|p| p.length > 32 || u32::from(p.class) >= g.address_classes)
            || !v4.is_sorted_by_key(|p| (p.address, p.length))
        {
            return Err(bad(TableError::Value, BlockType::AddressClassesV4));
        }
        if v6.iter().any(|p| p.length > 128 || u32::from(p.class) >= g.address_classes)
            || !v6.is_sorted_by_key(|p| (p.address, p.length))
        {
            return Err(bad(TableError::Value, BlockType::AddressClassesV6));
        }
        let matrix = |kind: BlockType, rows: u32, columns: u32| -> Result<Matrix, Refusal> {
            let row = (columns as usize).div_ceil(64);
            let bytes = image.sized(kind, (rows as usize).saturating_mul(row).saturating_mul(8))?;
            let words: Vec<u64> =
                bytes.chunks_exact(8).filter_map(|w| w.first_chunk().map(|w| u64::from_le_bytes(*w))).collect();
            Ok(Matrix { words, row, rows: rows as usize })
        };
        let tables = Tables {
            identity: header.identity,
            crc: header.directory_crc,
            lengths,
            lists,
            records,
            header: header_table,
            guards,
            parameters,
            limits,
            port_classes,
            v4,
            v6,
            port_sets: matrix(BlockType::PortSets, g.port_sets, g.port_classes)?,
            address_sets: matrix(BlockType::AddressSets, g.address_sets, g.address_classes)?,
        };
        tables.check_guards().map_err(|offset| Refusal {
            error: TableError::GuardMissing,
            block: BlockType::GuardTable as u32,
            offset,
        })?;
        Ok(tables)
    }

    /// Guards that soundness always needs must lead somewhere.
    fn check_guards(&self) -> Result<(), u64> {
        for guard in Guard::ALL {
            if guard.always() && self.guards[guard as usize].count == 0 {
                return Err(guard as u64);
            }
        }
        Ok(())
    }

    /// Records of a list.
    pub fn list(&self, start: u32, count: u32) -> &[u32] {
        self.lists.get(start as usize..start as usize + count as usize).unwrap_or(&[])
    }

    /// Class of a port.
    pub fn port_class(&self, port: u16) -> u16 {
        self.port_classes.get(usize::from(port)).copied().unwrap_or(0)
    }

    /// Class of an IPv4 address: longest prefix.
    pub fn v4_class(&self, address: [u8; 4]) -> u16 {
        let number = u32::from_be_bytes(address);
        let mut at = self.v4.partition_point(|p| p.address <= number);
        // Prefixes that hold the address begin at or before it; nested ones lie behind their parents, so the first
        // that holds it, going back, is the longest.
        while at > 0 {
            at -= 1;
            let p = &self.v4[at];
            let mask = if p.length == 0 { 0 } else { u32::MAX << (32 - u32::from(p.length)) };
            if number & mask == p.address {
                return p.class;
            }
        }
        0
    }

    /// Class of an IPv6 address.
    pub fn v6_class(&self, address: [u8; 16]) -> u16 {
        let number = u128::from_be_bytes(address);
        let mut at = self.v6.partition_point(|p| u128::from_be_bytes(p.address) <= number);
        while at > 0 {
            at -= 1;
            let p = &self.v6[at];
            let mask = if p.length == 0 { 0 } else { u128::MAX << (128 - u32::from(p.length)) };
            if number & mask == u128::from_be_bytes(p.address) {
                return p.class;
            }
        }
        0
    }

    /// A port class belongs to a port set.
    pub fn port_in(&self, set: u16, class: u16) -> bool {
        set == c::SET_ANY || self.port_sets.holds(set, class)
    }

    /// An address class belongs to an address set.
    pub fn address_in(&self, set: u16, class: u16) -> bool {
        set == c::SET_ANY || self.address_sets.holds(set, class)
    }
}

fn words32(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}
