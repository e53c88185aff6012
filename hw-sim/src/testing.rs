//! Builds table images for tests and benchmarks, straight from the contract. Not the compiler: no plan, no rules.
//!
//! Place: `#[doc(hidden)]` for other crates' tests of the device; nothing of the frame path uses it.

use std::collections::BTreeMap;
use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::BlockType;
use weir_contract::fold::fold_word;
use weir_contract::guards::Guard;
use weir_contract::hash::{HashFamily, bloom_index, bucket_index};
use weir_contract::layouts::{
    AddressPrefixV4, AddressPrefixV6, BlockEntry, ExactEntry, Geometry, GuardParameters, ImageHeader, LengthGeometry,
    Limits, ListRange, Record,
};

/// A fragment of 4 to 8 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fragment {
    /// Bytes, in case.
    pub bytes: Vec<u8>,
    /// Bit n: byte n must match in case.
    pub case_mask: u8,
}

/// Collects what an image holds. Record 0 always holds, and every guard that soundness needs leads to it.
#[derive(Debug, Clone)]
pub struct ImageBuilder {
    family: HashFamily,
    records: Vec<Record>,
    header: Vec<u32>,
    fragments: BTreeMap<Fragment, Vec<u32>>,
    guards: BTreeMap<u8, Vec<u32>>,
    /// Bounds per frame.
    pub limits: Limits,
    /// What payload facts compare with.
    pub parameters: GuardParameters,
    /// Class of each port.
    pub port_classes: Vec<u16>,
    /// Rows of port sets behind set 0, each a list of classes.
    pub port_sets: Vec<Vec<u16>>,
    /// IPv4 prefixes.
    pub v4: Vec<AddressPrefixV4>,
    /// IPv6 prefixes.
    pub v6: Vec<AddressPrefixV6>,
    /// Rows of address sets behind set 0.
    pub address_sets: Vec<Vec<u16>>,
    /// Bloom bits of 8-byte windows, log2; other lengths have three less.
    pub bloom_bits: u8,
    /// Entries of a bucket.
    pub ways: u8,
}

impl ImageBuilder {
    /// Nothing but the guards that must be there.
    pub fn new(seed: u64) -> Self {
        let always = [0].to_vec();
        ImageBuilder {
            family: HashFamily::from_seed(seed),
            records: vec![Record::ALWAYS],
            header: Vec::new(),
            fragments: BTreeMap::new(),
            guards: Guard::ALL.iter().filter(|g| g.always()).map(|g| (*g as u8, always.clone())).collect(),
            limits: Limits { candidates: 256, list_entries: 1024, ..Limits::ZERO },
            parameters: GuardParameters::ZERO,
            port_classes: vec![0; 1 << 16],
            port_sets: Vec::new(),
            v4: Vec::new(),
            v6: Vec::new(),
            address_sets: Vec::new(),
            bloom_bits: 18,
            ways: 16,
        }
    }

    /// Hash constants of the image.
    pub fn set_family(&mut self, family: HashFamily) {
        self.family = family;
    }

    /// Add a record; gives its id.
    pub fn record(&mut self, record: Record) -> u32 {
        self.records.push(record);
        self.records.len() as u32 - 1
    }

    /// Lead a fragment to records.
    pub fn fragment(&mut self, fragment: Fragment, records: &[u32]) {
        self.fragments.entry(fragment).or_default().extend(records);
    }

    /// A fragment, in any case, that leads to one record.
    pub fn literal(&mut self, bytes: &[u8], record: Record) {
        let id = self.record(record);
        self.fragment(Fragment { bytes: bytes.to_vec(), case_mask: 0 }, &[id]);
    }

    /// Lead a guard to a record.
    pub fn guard(&mut self, guard: Guard, record: u32) {
        self.guards.entry(guard as u8).or_default().push(record);
    }

    /// Put a record into the header table.
    pub fn header(&mut self, record: Record) {
        let id = self.record(record);
        self.header.push(id);
    }

    /// The image.
    pub fn build(&self) -> Vec<u8> {
        let mut lists: Vec<u32> = Vec::new();
        let mut guard_table = Vec::new();
        for n in 0..c::GUARDS_MAX as u8 {
            let ids = self.guards.get(&n).map_or(&[][..], Vec::as_slice);
            guard_table.extend(ListRange { start: lists.len() as u32, count: ids.len() as u32 }.to_bytes());
            lists.extend(ids);
        }
        let mut blocks: Vec<(BlockType, Vec<u8>)> = Vec::new();
        let mut lengths = [LengthGeometry::ZERO; c::WINDOW_LENGTHS];
        for (n, slot) in lengths.iter_mut().enumerate() {
            let length = n + c::WINDOW_MIN;
            let members: Vec<(&Fragment, &Vec<u32>)> =
                self.fragments.iter().filter(|(f, _)| f.bytes.len() == length).collect();
            if members.is_empty() {
                continue;
            }
            let bits = if length == 8 { self.bloom_bits } else { self.bloom_bits - 3 };
            let partitions = if length == 8 { 3 } else { 2 };
            let mut bloom = vec![0u8; (partitions << bits) / 8];
            let (buckets, ways, exact) = self.exact(length, &members, &mut lists, |prefix, middle| {
                for partition in 0..partitions {
                    let bit = (partition << bits) + bloom_index(prefix, middle, partition, bits.into()) as usize;
                    bloom[bit / 8] |= 1 << (bit % 8);
                }
            });
            *slot = LengthGeometry {
                bloom_partitions: partitions as u8,
                bloom_bits_log2: bits,
                exact_buckets_log2: buckets,
                exact_ways: ways,
                entries: members.len() as u32,
            };
            let kind = |raw: u16| BlockType::from_raw(raw + n as u16).unwrap_or(BlockType::Geometry);
            blocks.push((kind(BlockType::Bloom4 as u16), bloom));
            blocks.push((kind(BlockType::Exact4 as u16), exact));
        }
        let sets = |rows: &[Vec<u16>], columns: usize| {
            let words = columns.div_ceil(64);
            let mut bytes = vec![0xffu8; words * 8];
            for row in rows {
                let mut bits = vec![0u64; words];
                row.iter().for_each(|class| bits[usize::from(*class) / 64] |= 1 << (class % 64));
                bytes.extend(bits.iter().flat_map(|word| word.to_le_bytes()));
            }
            bytes
        };
        let most = |classes: &mut dyn Iterator<Item = u16>| usize::from(classes.max().unwrap_or(0)) + 1;
        let port_classes = most(&mut self.port_classes.iter().copied());
        let address_classes = most(&mut self.v4.iter().map(|p| p.class).chain(self.v6.iter().map(|p| p.class)));
        let geometry = Geometry {
            lengths,
            list_entries: lists.len() as u32,
            records: self.records.len() as u32,
            header_entries: self.header.len() as u32,
            prefixes_v4: self.v4.len() as u32,
            prefixes_v6: self.v6.len() as u32,
            port_classes: port_classes as u32,
            port_sets: 1 + self.port_sets.len() as u32,
            address_classes: address_classes as u32,
            address_sets: 1 + self.address_sets.len() as u32,
            ..Geometry::ZERO
        };
        let numbers = |ids: &[u32]| ids.iter().flat_map(|id| id.to_le_bytes()).collect::<Vec<u8>>();
        let mut v4 = self.v4.clone();
        v4.sort_by_key(|p| (p.address, p.length));
        let mut v6 = self.v6.clone();
        v6.sort_by_key(|p| (p.address, p.length));
        blocks.extend([
            (BlockType::Geometry, geometry.to_bytes().to_vec()),
            (BlockType::Hash, self.family.constants().to_bytes().to_vec()),
            (BlockType::Limits, self.limits.to_bytes().to_vec()),
            (BlockType::Lists, numbers(&lists)),
            (BlockType::Records, self.records.iter().flat_map(|r| r.to_bytes()).collect()),
            (BlockType::HeaderTable, numbers(&self.header)),
            (BlockType::GuardTable, guard_table),
            (BlockType::GuardParameters, self.parameters.to_bytes().to_vec()),
            (BlockType::PortClasses, self.port_classes.iter().flat_map(|class| class.to_le_bytes()).collect()),
            (BlockType::AddressClassesV4, v4.iter().flat_map(|p| p.to_bytes()).collect()),
            (BlockType::AddressClassesV6, v6.iter().flat_map(|p| p.to_bytes()).collect()),
            (BlockType::PortSets, sets(&self.port_sets, port_classes)),
            (BlockType::AddressSets, sets(&self.address_sets, address_classes)),
        ]);
        assemble(&blocks, self.records.len() as u32)
    }

    /// Entries of one length in buckets, doubled until all fit without moving any.
    fn exact(
        &self,
        length: usize,
        members: &[(&Fragment, &Vec<u32>)],
        lists: &mut Vec<u32>,
        mut hashed: impl FnMut(u32, u64),
    ) -> (u8, u8, Vec<u8>) {
        let entries: Vec<(u64, ExactEntry)> = members
            .iter()
            .map(|(fragment, ids)| {
                let raw = fragment.bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
                let lanes = crate::literal::case_lanes(fragment.case_mask);
                let folded = fold_word(raw);
                let middle = self.family.middle(folded, length);
                hashed(self.family.prefix(folded, length), middle);
                let entry = ExactEntry {
                    value: raw & lanes | folded & !lanes,
                    list_start: lists.len() as u32,
                    list_count: ids.len() as u16,
                    case_mask: fragment.case_mask,
                    length: length as u8,
                };
                lists.extend(ids.iter());
                (middle, entry)
            })
            .collect();
        let ways = usize::from(self.ways);
        for log2 in (entries.len() / 8).max(1).next_power_of_two().ilog2()..=24 {
            let mut table = vec![ExactEntry::ZERO; ways << log2];
            let placed = entries.iter().all(|(middle, entry)| {
                (0..2).any(|which| {
                    let bucket = bucket_index(*middle, which, log2) as usize;
                    let slot = table[bucket * ways..(bucket + 1) * ways].iter_mut().find(|slot| slot.list_count == 0);
                    slot.map(|slot| *slot = *entry).is_some()
                })
            });
            if placed {
                return (log2 as u8, ways as u8, table.iter().flat_map(|e| e.to_bytes()).collect());
            }
        }
        (0, ways as u8, vec![0; ways * ExactEntry::SIZE])
    }
}

/// Header and directory around blocks.
pub fn assemble(blocks: &[(BlockType, Vec<u8>)], records: u32) -> Vec<u8> {
    let align = c::IMAGE_BLOCK_ALIGN as usize;
    let mut at = (ImageHeader::SIZE + blocks.len() * BlockEntry::SIZE).next_multiple_of(align);
    let mut directory = Vec::new();
    let mut body: Vec<(usize, &Vec<u8>)> = Vec::new();
    for (kind, bytes) in blocks {
        let entry = BlockEntry {
            kind: *kind as u16,
            version: 1,
            offset: at as u64,
            length: bytes.len() as u64,
            crc: crc32c(bytes),
            ..BlockEntry::ZERO
        };
        directory.extend(entry.to_bytes());
        body.push((at, bytes));
        at = (at + bytes.len()).next_multiple_of(align);
    }
    let mut image = vec![0; at];
    for (at, bytes) in body {
        image[at..at + bytes.len()].copy_from_slice(bytes);
    }
    let header = ImageHeader {
        magic: c::IMAGE_MAGIC,
        major: c::CONTRACT_MAJOR,
        minor: c::CONTRACT_MINOR,
        length: image.len() as u64,
        identity: *b"weir test tables",
        block_count: blocks.len() as u32,
        directory_crc: crc32c(&directory),
        record_count: records,
        ..ImageHeader::ZERO
    };
    let mut raw = header.to_bytes();
    let check = crc32c(&raw[..ImageHeader::SIZE - 4]);
    raw[ImageHeader::SIZE - 4..].copy_from_slice(&check.to_le_bytes());
    image[..ImageHeader::SIZE].copy_from_slice(&raw);
    image[ImageHeader::SIZE..ImageHeader::SIZE + directory.len()].copy_from_slice(&directory);
    image
}
