//! The table image, read from its bits as a device reads them.
//!
//! Invariant: what [`Bits`] gives can be looked up by a frame. An entry of the literal filter that no window finds
//! (its Bloom bit is missing in a partition, it lies in another bucket, its bytes are not folded) is not in it, and is
//! told as a fault of the image.

use std::collections::HashMap;
use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::{BlockFlags, BlockType, RecordFlags};
use weir_contract::fold::fold_word;
use weir_contract::guards::Guard;
use weir_contract::hash::{HashFamily, bloom_index, bucket_index};
use weir_contract::layouts::{
    AddressPrefixV4, AddressPrefixV6, BlockEntry, ExactEntry, Geometry, GuardParameters, HashConstants, ImageHeader,
    Limits, ListRange, Record,
};

/// The image cannot be read at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} (at byte {offset} of the image)")]
pub struct Broken {
    /// What is wrong.
    pub what: String,
    /// Where.
    pub offset: u64,
}

/// A fragment that windows find.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// As stored.
    pub value: u64,
    /// Bytes that are compared in case.
    pub case_mask: u8,
    /// First place in the lists.
    pub start: u32,
    /// Places.
    pub count: u32,
}

/// What the image's blocks say.
#[derive(Debug)]
pub struct Bits {
    /// By id.
    pub records: Vec<Record>,
    lists: Vec<u32>,
    /// Ids of records that every frame is compared with.
    pub header: Vec<u32>,
    guards: Vec<ListRange>,
    entries: HashMap<(u8, u64), Vec<Entry>>,
    /// Escape sets of the guards.
    pub parameters: GuardParameters,
    /// Class of each port.
    pub port_classes: Vec<u16>,
    /// By first address: IPv4 ranges and their class, without holes.
    pub v4: Vec<(u128, u16)>,
    /// The same of IPv6.
    pub v6: Vec<(u128, u16)>,
    /// Rows of the port matrix.
    pub port_rows: Vec<Vec<u64>>,
    /// Rows of the address matrix.
    pub address_rows: Vec<Vec<u64>>,
    /// Lines of the certificate, if the image has one.
    pub certificate: Option<Vec<u8>>,
    /// Number of rules, by the header.
    pub rule_count: u32,
    /// What is wrong with single entries.
    pub faults: Vec<String>,
}

fn broken<T>(what: impl Into<String>, offset: usize) -> Result<T, Broken> {
    Err(Broken { what: what.into(), offset: offset as u64 })
}

/// Blocks by kind.
struct Blocks<'a> {
    list: HashMap<u16, (&'a [u8], usize)>,
}

impl<'a> Blocks<'a> {
    fn open(bytes: &'a [u8]) -> Result<(ImageHeader, Self), Broken> {
        let Some(header) = ImageHeader::read(bytes).filter(|h| h.magic == c::IMAGE_MAGIC) else {
            return broken("this is no table image", 0);
        };
        if crc32c(bytes.get(..ImageHeader::SIZE - 4).unwrap_or(&[])) != header.header_crc {
            return broken("the checksum of the header is wrong", 0);
        }
        if header.major != c::CONTRACT_MAJOR || header.minor > c::CONTRACT_MINOR {
            return broken(format!("the image is of contract {}.{}", header.major, header.minor), 0);
        }
        let directory = (header.block_count <= c::IMAGE_BLOCKS_MAX)
            .then(|| bytes.get(ImageHeader::SIZE..ImageHeader::SIZE + header.block_count as usize * BlockEntry::SIZE))
            .flatten();
        let Some(directory) = directory.filter(|_| header.length == bytes.len() as u64) else {
            return broken("the image is cut short, or too long", 0);
        };
        if crc32c(directory) != header.directory_crc {
            return broken("the checksum of the directory is wrong", ImageHeader::SIZE);
        }
        let mut list = HashMap::new();
        for entry in directory.chunks_exact(BlockEntry::SIZE).filter_map(BlockEntry::read) {
            let at = usize::try_from(entry.offset).unwrap_or(usize::MAX);
            let end = usize::try_from(entry.length).ok().and_then(|n| at.checked_add(n));
            let Some(block) = end.and_then(|end| bytes.get(at..end)) else {
                return broken(format!("block {:#x} lies outside of the image", entry.kind), at);
            };
            if crc32c(block) != entry.crc {
                return broken(format!("the checksum of block {:#x} is wrong", entry.kind), at);
            }
            let host_only = entry.flags & BlockFlags::HOST_ONLY.0 != 0;
            if entry.version != 1 || BlockType::from_raw(entry.kind).is_none() && !host_only {
                return broken(format!("block {:#x} of version {} is not known", entry.kind, entry.version), at);
            }
            if host_only
                != matches!(
                    BlockType::from_raw(entry.kind),
                    Some(BlockType::Provenance | BlockType::Certificate) | None
                )
            {
                return broken(format!("block {:#x} is marked for the wrong side", entry.kind), at);
            }
            if list.insert(entry.kind, (block, at)).is_some() {
                return broken(format!("block {:#x} stands twice", entry.kind), at);
            }
        }
        Ok((header, Blocks { list }))
    }

    fn optional(&self, kind: BlockType) -> (&'a [u8], usize) {
        self.list.get(&(kind as u16)).copied().unwrap_or((&[], 0))
    }

    /// A block of so many structures.
    fn of(&self, kind: BlockType, count: usize, size: usize) -> Result<&'a [u8], Broken> {
        let (block, at) = self.optional(kind);
        if Some(block.len()) != count.checked_mul(size) {
            return broken(format!("block {kind:?} has {} bytes, not {count} times {size}", block.len()), at);
        }
        Ok(block)
    }

    fn one<T>(&self, kind: BlockType, size: usize, read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Broken> {
        match read(self.of(kind, 1, size)?) {
            Some(value) => Ok(value),
            None => broken(format!("block {kind:?} cannot be read"), self.optional(kind).1),
        }
    }

    fn words(&self, kind: BlockType, count: usize) -> Result<Vec<u32>, Broken> {
        let block = self.of(kind, count, 4)?;
        Ok(block.chunks_exact(4).filter_map(|b| b.first_chunk().map(|b| u32::from_le_bytes(*b))).collect())
    }

    fn rows(&self, kind: BlockType, rows: u32, columns: u32) -> Result<Vec<Vec<u64>>, Broken> {
        let words = (columns as usize).div_ceil(64);
        let block = self.of(kind, rows as usize, words * 8)?;
        let word = |b: &[u8]| b.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        Ok(block.chunks_exact(words.max(1) * 8).map(|row| row.chunks_exact(8).map(word).collect()).collect())
    }
}

const BLOOM: [BlockType; 5] =
    [BlockType::Bloom4, BlockType::Bloom5, BlockType::Bloom6, BlockType::Bloom7, BlockType::Bloom8];
const EXACT: [BlockType; 5] =
    [BlockType::Exact4, BlockType::Exact5, BlockType::Exact6, BlockType::Exact7, BlockType::Exact8];

impl Bits {
    /// Wherever these bytes stand, in any case, a loaded word ends among them.
    pub fn has_word(&self, bytes: &[u8]) -> bool {
        let p = &self.parameters;
        let holds = |value: u32, mask: u32, end: usize| {
            // The last byte is asked for, and so none behind these.
            mask >> 24 != 0
                && (0..4).all(|back| {
                    let (value, mask) = ((value >> (24 - 8 * back)) as u8, (mask >> (24 - 8 * back)) as u8);
                    let byte = end.checked_sub(back).and_then(|at| bytes.get(at));
                    mask == 0 || byte.is_some_and(|byte| (byte.to_ascii_lowercase() ^ value) & mask == 0)
                })
        };
        (p.word_values.iter().zip(&p.word_masks))
            .any(|(value, mask)| (0..bytes.len()).any(|end| holds(*value, *mask, end)))
    }

    /// Reads an image.
    pub fn read(bytes: &[u8]) -> Result<Bits, Broken> {
        let (header, blocks) = Blocks::open(bytes)?;
        let g = blocks.one(BlockType::Geometry, Geometry::SIZE, Geometry::read)?;
        let family = HashFamily::new(blocks.one(BlockType::Hash, HashConstants::SIZE, HashConstants::read)?);
        blocks.one(BlockType::Limits, Limits::SIZE, Limits::read)?;
        let records = blocks.of(BlockType::Records, g.records as usize, Record::SIZE)?;
        let prefixes4 = blocks.of(BlockType::AddressClassesV4, g.prefixes_v4 as usize, AddressPrefixV4::SIZE)?;
        let prefixes6 = blocks.of(BlockType::AddressClassesV6, g.prefixes_v6 as usize, AddressPrefixV6::SIZE)?;
        let guards = blocks.of(BlockType::GuardTable, c::GUARDS_MAX, ListRange::SIZE)?;
        let text = |kind| blocks.list.get(&(kind as u16)).map(|(block, _): &(&[u8], usize)| block.to_vec());
        let v4 = prefixes4.chunks_exact(AddressPrefixV4::SIZE).filter_map(AddressPrefixV4::read);
        let v6 = prefixes6.chunks_exact(AddressPrefixV6::SIZE).filter_map(AddressPrefixV6::read);
        let mut bits = Bits {
            records: records.chunks_exact(Record::SIZE).filter_map(Record::read).collect(),
            lists: blocks.words(BlockType::Lists, g.list_entries as usize)?,
            header: blocks.words(BlockType::HeaderTable, g.header_entries as usize)?,
            guards: guards.chunks_exact(ListRange::SIZE).filter_map(ListRange::read).collect(),
            entries: HashMap::new(),
            parameters: blocks.one(BlockType::GuardParameters, GuardParameters::SIZE, GuardParameters::read)?,
            port_classes: blocks
                .of(BlockType::PortClasses, 1 << 16, 2)?
                .chunks_exact(2)
                .filter_map(|b| b.first_chunk().map(|b| u16::from_le_bytes(*b)))
                .collect(),
            v4: ranges(v4.map(|p| (u128::from(p.address), p.length, p.class)), 32),
            v6: ranges(v6.map(|p| (u128::from_be_bytes(p.address), p.length, p.class)), 128),
            port_rows: blocks.rows(BlockType::PortSets, g.port_sets, g.port_classes)?,
            address_rows: blocks.rows(BlockType::AddressSets, g.address_sets, g.address_classes)?,
            certificate: text(BlockType::Certificate),
            rule_count: header.rule_count,
            faults: Vec::new(),
        };
        if header.record_count as usize != bits.records.len() {
            bits.faults.push(format!(
                "the header counts {} records, block Records {}",
                header.record_count,
                bits.records.len()
            ));
        }
        bits.filter(&blocks, &g, &family)?;
        bits.references(&g);
        Ok(bits)
    }

    /// Reads the literal filter: only entries that their own window finds.
    fn filter(&mut self, blocks: &Blocks<'_>, g: &Geometry, family: &HashFamily) -> Result<(), Broken> {
        for (n, shape) in g.lengths.iter().enumerate().filter(|(_, shape)| shape.bloom_partitions != 0) {
            let length = n + c::WINDOW_MIN;
            let partitions = usize::from(shape.bloom_partitions);
            let (bits, buckets) = (u32::from(shape.bloom_bits_log2), u32::from(shape.exact_buckets_log2));
            let ways = usize::from(shape.exact_ways);
            if partitions > c::BLOOM_PARTITIONS_MAX || !(3..=24).contains(&bits) || buckets > 24 || ways == 0 {
                return broken(
                    format!("windows of {length} bytes have an impossible geometry"),
                    blocks.optional(BlockType::Geometry).1,
                );
            }
            let bloom = blocks.of(BLOOM[n], partitions << bits >> 3, 1)?;
            let exact = blocks.of(EXACT[n], ways << buckets, ExactEntry::SIZE)?;
            let mut used = 0;
            for (slot, entry) in exact.chunks_exact(ExactEntry::SIZE).filter_map(ExactEntry::read).enumerate() {
                if entry.list_count == 0 {
                    continue;
                }
                used += 1;
                let folded = fold_word(entry.value);
                let (prefix, middle) = (family.prefix(folded, length), family.middle(folded, length));
                let set = |p: usize| {
                    let bit = (p << bits) + bloom_index(prefix, middle, p, bits) as usize;
                    bloom.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 != 0)
                };
                let bucket = slot / ways;
                let end = entry.list_start as usize + usize::from(entry.list_count);
                let fault = if usize::from(entry.length) != length || length < 8 && folded >> (8 * length) != 0 {
                    "has another length"
                } else if (0..8).any(|i| {
                    let byte = (entry.value >> (8 * i)) as u8;
                    entry.case_mask >> i & 1 == 0 && byte.is_ascii_uppercase()
                        || entry.case_mask >> i & 1 != 0 && i >= length
                }) {
                    "is not folded"
                } else if !(0..2).any(|which| bucket_index(middle, which, buckets) as usize == bucket) {
                    "lies in a bucket where no window looks for it"
                } else if let Some(p) = (0..partitions).find(|p| !set(*p)) {
                    self.fault(length, &entry, &format!("has no bit in Bloom partition {p}"));
                    continue;
                } else if end > self.lists.len() {
                    "leads beyond the lists"
                } else {
                    let entry = Entry {
                        value: entry.value,
                        case_mask: entry.case_mask,
                        start: entry.list_start,
                        count: u32::from(entry.list_count),
                    };
                    self.entries.entry((length as u8, folded)).or_default().push(entry);
                    continue;
                };
                self.fault(length, &entry, fault);
            }
            if used != shape.entries {
                self.faults.push(format!("{used} fragments of {length} bytes, the geometry says {}", shape.entries));
            }
        }
        Ok(())
    }

    fn fault(&mut self, length: usize, entry: &ExactEntry, what: &str) {
        let bytes = entry.value.to_le_bytes();
        let bytes = bytes.get(..length.min(8)).unwrap_or(&bytes);
        self.faults.push(format!("fragment \"{}\" {what}", bytes.escape_ascii()));
    }

    /// Ids, sets and classes that are not there; records that mean something this checker does not know; guards that
    /// soundness always needs.
    fn references(&mut self, g: &Geometry) {
        let records = self.records.len() as u32;
        let mut faults = Vec::new();
        for (what, ids) in [("list", &self.lists), ("header table", &self.header)] {
            if let Some(id) = ids.iter().find(|id| **id >= records) {
                faults.push(format!("the {what} names record {id} of {records}"));
            }
        }
        for (n, r) in self.records.iter().enumerate() {
            let ports = u32::from(r.source_ports.max(r.destination_ports)) < g.port_sets;
            let addresses = u32::from(r.source_addresses.max(r.destination_addresses)) < g.address_sets;
            if !ports || !addresses {
                faults.push(format!("record {n} names a set that is not there"));
            }
            if r.flags & !RecordFlags::ALL.0 != 0 || r.reserved1 != [0; 16] {
                faults.push(format!("record {n} has a predicate that this checker does not know"));
            }
            if !weir_contract::record::can_hold(r) {
                faults.push(format!("record {n} holds for no frame"));
            }
        }
        for (what, rows) in [("port", &self.port_rows), ("address", &self.address_rows)] {
            if rows.first().is_none_or(|row| row.iter().any(|word| *word != u64::MAX)) {
                faults.push(format!("{what} set 0 does not hold every class"));
            }
        }
        let classes = [(&self.v4, "IPv4"), (&self.v6, "IPv6")];
        for (ranges, what) in classes {
            if ranges.iter().any(|(_, class)| u32::from(*class) >= g.address_classes) {
                faults.push(format!("an {what} prefix has a class that is not there"));
            }
        }
        if self.port_classes.iter().any(|class| u32::from(*class) >= g.port_classes) {
            faults.push("a port has a class that is not there".to_owned());
        }
        for guard in Guard::ALL {
            let range = self.guards.get(guard as usize).copied().unwrap_or(ListRange::ZERO);
            if range.start as usize + range.count as usize > self.lists.len() {
                faults.push(format!("guard {} leads beyond the lists", guard.name()));
            }
            let enough = |r: &Record| match guard {
                Guard::SequenceGap => r.is_always_while_undecided(),
                _ if guard.rests_once_encrypted() => r.is_always_unless_encrypted(),
                _ => r.is_always(),
            };
            let held = self.guard(guard as u8).iter().any(|id| self.records.get(*id as usize).is_some_and(enough));
            if (guard.always() || guard == Guard::SequenceGap) && !held {
                faults.push(format!("guard {} does not divert every frame", guard.name()));
            }
        }
        self.faults.append(&mut faults);
    }

    /// Record ids of a range of the lists.
    pub fn list(&self, start: u32, count: u32) -> &[u32] {
        let start = start as usize;
        start.checked_add(count as usize).and_then(|end| self.lists.get(start..end)).unwrap_or(&[])
    }

    /// Record ids of a guard.
    pub fn guard(&self, guard: u8) -> &[u32] {
        self.guards.get(usize::from(guard)).map_or(&[], |range| self.list(range.start, range.count))
    }

    /// All entries: length, folded bytes, entry.
    pub fn all_entries(&self) -> impl Iterator<Item = (usize, u64, &Entry)> {
        self.entries.iter().flat_map(|((length, folded), list)| list.iter().map(|e| (usize::from(*length), *folded, e)))
    }

    /// Entries of windows with these folded bytes.
    pub fn entries(&self, length: usize, folded: u64) -> &[Entry] {
        self.entries.get(&(length as u8, folded)).map_or(&[], Vec::as_slice)
    }
}

/// Longest-prefix match as ranges: the first address of each, and its class; everything is covered.
fn ranges(prefixes: impl Iterator<Item = (u128, u8, u16)>, bits: u32) -> Vec<(u128, u16)> {
    let last = if bits >= 128 { u128::MAX } else { (1 << bits) - 1 };
    // Longer prefixes are drawn over shorter ones.
    let mut sorted: Vec<(u128, u8, u16)> = prefixes.collect();
    sorted.sort_unstable_by_key(|&(address, length, _)| (length, address));
    let mut out: std::collections::BTreeMap<u128, u16> = [(0, 0)].into();
    for (address, length, class) in sorted {
        let size = bits.saturating_sub(u32::from(length));
        let end = if size >= 128 { last } else { address | ((1u128 << size) - 1) };
        let behind = out.range(..=end).next_back().map_or(0, |(_, class)| *class);
        let inside: Vec<u128> = out.range(address..=end).map(|(from, _)| *from).collect();
        for from in inside {
            out.remove(&from);
        }
        out.insert(address, class);
        if end < last {
            out.entry(end + 1).or_insert(behind);
        }
    }
    out.into_iter().collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn longest_prefixes_win() {
        let list = [(0x0a00_0000u128, 8u8, 1u16), (0x0a01_0000, 16, 2), (0x0a01_0203, 32, 3)];
        let ranges = super::ranges(list.into_iter(), 32);
        let class = |a: u128| ranges.iter().rev().find(|(from, _)| *from <= a).unwrap().1;
        assert_eq!(
            [0, 0x0a00_0000, 0x0a01_0202, 0x0a01_0203, 0x0a01_0204, 0x0a02_0000, 0x0b00_0000].map(class),
            [0, 1, 2, 3, 2, 1, 0]
        );
        assert_eq!(
            super::ranges([(u128::from(u32::MAX), 32, 5)].into_iter(), 32).last(),
            Some(&(u128::from(u32::MAX), 5))
        );
    }
}
