//! The table image: what the device loads.
//!
//! Place: behind [`crate::plan`]. Layouts, hash and fold are the contract's. Invariants: the image holds, for every
//! condition of the plan, a record that holds whenever the condition does; capacity never costs soundness (what does not fit is
//! given up by [`capacity`], cheapest first, and reported); the same rules, options and seed give the same bytes.

pub mod capacity;
pub mod classes;
pub mod literal;
pub mod tables;

use crate::plan::{Fragment, Plan};
use capacity::{Degraded, Degrader, Full};
use serde::Serialize;
use std::collections::BTreeMap;
use tables::Tables;
use weir_contract::constants::{CONTRACT_MAJOR, CONTRACT_MINOR, GUARDS_MAX, IMAGE_BLOCK_ALIGN, IMAGE_MAGIC};
use weir_contract::crc::crc32c;
use weir_contract::enums::{BlockFlags, BlockType};
use weir_contract::layouts::{BlockEntry, Geometry, GuardParameters, ImageHeader, LengthGeometry, Limits, ListRange};
use weir_ir::Rule;

/// What a device can hold. The default is the model's; a card's comes from its capability list.
#[derive(Debug, Clone, Copy)]
pub struct Capacity {
    /// Largest log2 bits of a Bloom partition.
    pub bloom_bits_log2: u32,
    /// Most fragments per window length.
    pub fragments: usize,
    /// Most list entries.
    pub list_entries: usize,
    /// Most records.
    pub records: usize,
    /// Most header-table entries.
    pub header_entries: usize,
    /// Most IPv4 prefixes.
    pub prefixes_v4: usize,
    /// Most IPv6 prefixes.
    pub prefixes_v6: usize,
    /// Most classes of ports.
    pub port_classes: usize,
    /// Most classes of addresses.
    pub address_classes: usize,
}

impl Default for Capacity {
    fn default() -> Self {
        Capacity {
            bloom_bits_log2: 24,
            fragments: 1 << 20,
            list_entries: 1 << 24,
            records: 1 << 22,
            header_entries: 1 << 20,
            prefixes_v4: 1 << 22,
            prefixes_v6: 1 << 22,
            port_classes: 65_534,
            address_classes: 65_534,
        }
    }
}

/// How to emit.
#[derive(Debug, Clone)]
pub struct ImageOptions {
    /// Seed of the hash constants. It keeps senders from aiming at collisions, so it should be random in the field.
    pub seed: u64,
    /// Seconds since the epoch for the header; 0 keeps images reproducible.
    pub created: u64,
    /// Most literal candidates per frame.
    pub candidates: u32,
    /// Most list entries per frame.
    pub list_entries: u32,
    /// Device.
    pub capacity: Capacity,
    /// Put the host-only blocks (provenance, certificate) in.
    pub host_blocks: bool,
}

impl Default for ImageOptions {
    fn default() -> Self {
        ImageOptions { seed: 0, created: 0, candidates: 4608, list_entries: 8192, capacity: Capacity::default(), host_blocks: true }
    }
}

/// A seed from the operating system's randomness (through the standard library's hasher keys).
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::collections::hash_map::RandomState::new().build_hasher().finish()
}

/// Why an image cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// A list does not fit its length field.
    #[error("fragment {fragment} leads to {count} records, more than 65535; narrow the rules that share it")]
    ListTooLong {
        /// Which.
        fragment: String,
        /// Entries.
        count: u32,
    },
    /// Too many fragments of a length, also after widening.
    #[error("{count} fragments of {length} bytes, the device holds {most}; load fewer rules or a larger device")]
    TooManyFragments {
        /// Bytes.
        length: usize,
        /// Wanted.
        count: usize,
        /// Capacity.
        most: usize,
    },
    /// Another table is too large, also after widening.
    #[error("{what}: {count} entries, the device holds {most}; load fewer rules or a larger device")]
    TooLarge {
        /// Table.
        what: &'static str,
        /// Wanted.
        count: usize,
        /// Capacity.
        most: usize,
    },
}

/// What the emitter made.
#[derive(Debug, Clone, Serialize)]
pub struct ImageReport {
    /// Bytes.
    pub length: usize,
    /// Distinct records.
    pub records: usize,
    /// Fragments by window length, 4 to 8.
    pub fragments: [usize; 5],
    /// Entries of Lists.
    pub list_entries: usize,
    /// Header-table entries.
    pub header_entries: usize,
    /// Port sets and classes.
    pub ports: (u32, u32),
    /// Address sets and classes.
    pub addresses: (u32, u32),
    /// IPv4 and IPv6 prefixes.
    pub prefixes: (usize, usize),
    /// Rules widened to class C because the device is too small (indices), in the order they were widened.
    pub widened: Vec<usize>,
    /// What else was given up for that.
    pub degraded: Degraded,
}

/// An image and how it came out.
#[derive(Debug, Clone)]
pub struct Image {
    /// The bytes the device loads.
    pub bytes: Vec<u8>,
    /// Figures.
    pub report: ImageReport,
    /// The logical tables, for reports.
    pub tables: Tables,
    /// Parameters of the guards.
    pub parameters: GuardParameters,
}

/// Make the image of a plan. Where the device is too small, less is asked of frames, and `plan` says so.
pub fn emit(rules: &[Rule], plan: &mut Plan, options: &ImageOptions) -> Result<Image, ImageError> {
    let mut degrader = Degrader::default();
    capacity::join_cases(plan);
    let (tables, ports, addresses) = loop {
        let tables = Tables::new(plan);
        match fits(&tables, plan, &options.capacity) {
            Ok((ports, addresses)) => break (tables, ports, addresses),
            Err((error, full, excess)) => {
                if !degrader.step(rules, plan, full, excess, &options.capacity) {
                    return Err(error);
                }
            }
        }
    };
    let (store, ranges) =
        tables::share(tables.fragments.values().map(Vec::as_slice).chain(tables.guards.iter().map(Vec::as_slice)));
    let range = |list: &[u32]| ranges.get(list).copied().unwrap_or(ListRange::ZERO);
    let fragments: BTreeMap<Fragment, ListRange> = tables.fragments.iter().map(|(f, l)| (*f, range(l))).collect();
    let capacity = &options.capacity;
    let (family, filters) = literal::build_all(&fragments, options.seed, capacity.bloom_bits_log2, capacity.fragments)?;
    let mut lengths = [LengthGeometry::ZERO; 5];
    for (slot, f) in lengths.iter_mut().zip(&filters) {
        *slot = f.geometry;
    }
    let geometry = Geometry {
        lengths,
        list_entries: store.len() as u32,
        records: tables.records.len() as u32,
        header_entries: tables.header.len() as u32,
        prefixes_v4: addresses.v4.len() as u32,
        prefixes_v6: addresses.v6.len() as u32,
        port_classes: ports.matrix.classes,
        port_sets: ports.matrix.sets,
        address_classes: addresses.matrix.classes,
        address_sets: addresses.matrix.sets,
        ..Geometry::ZERO
    };
    let limits = Limits { candidates: options.candidates, list_entries: options.list_entries, ..Limits::ZERO };
    let mut parameters = GuardParameters::ZERO;
    fill_set(&mut parameters.percent_set, plan.percent.iter().copied());
    fill_set(&mut parameters.uri_percent_set, plan.percent.iter().copied());
    fill_set(&mut parameters.equals_set, plan.equals.iter().copied());
    plan.words.write(&mut parameters);
    let guards: Vec<u8> = (0..GUARDS_MAX)
        .flat_map(|g| tables.guards.get(g).map_or(ListRange::ZERO, |l| range(l)).to_bytes())
        .collect();

    let mut blocks = Blocks::default();
    blocks.add(BlockType::Geometry, geometry.to_bytes().to_vec());
    blocks.add(BlockType::Hash, family.constants().to_bytes().to_vec());
    blocks.add(BlockType::Limits, limits.to_bytes().to_vec());
    let kinds = [
        (BlockType::Bloom4, BlockType::Exact4),
        (BlockType::Bloom5, BlockType::Exact5),
        (BlockType::Bloom6, BlockType::Exact6),
        (BlockType::Bloom7, BlockType::Exact7),
        (BlockType::Bloom8, BlockType::Exact8),
    ];
    let mut counts = [0; 5];
    for (((bloom, exact), filter), count) in kinds.into_iter().zip(filters).zip(&mut counts) {
        *count = filter.geometry.entries as usize;
        if filter.geometry.bloom_partitions != 0 {
            blocks.add(bloom, filter.bloom);
            blocks.add(exact, filter.exact.iter().flat_map(|e| e.to_bytes()).collect());
        }
    }
    blocks.add(BlockType::Lists, store.iter().flat_map(|id| id.to_le_bytes()).collect());
    blocks.add(BlockType::Records, tables.records.iter().flat_map(|r| r.to_bytes()).collect());
    blocks.add(BlockType::HeaderTable, tables.header.iter().flat_map(|id| id.to_le_bytes()).collect());
    blocks.add(BlockType::GuardTable, guards);
    blocks.add(BlockType::GuardParameters, parameters.to_bytes().to_vec());
    blocks.add(BlockType::PortClasses, ports.classes.iter().flat_map(|c| c.to_le_bytes()).collect());
    blocks.add(BlockType::AddressClassesV4, addresses.v4.iter().flat_map(|p| p.to_bytes()).collect());
    blocks.add(BlockType::AddressClassesV6, addresses.v6.iter().flat_map(|p| p.to_bytes()).collect());
    blocks.add(BlockType::PortSets, ports.matrix.words.iter().flat_map(|w| w.to_le_bytes()).collect());
    blocks.add(BlockType::AddressSets, addresses.matrix.words.iter().flat_map(|w| w.to_le_bytes()).collect());
    if options.host_blocks {
        blocks.add_host(BlockType::Provenance, crate::report::provenance(rules, &tables));
        blocks.add_host(BlockType::Certificate, crate::report::certificate(rules, plan));
    }
    let report = ImageReport {
        length: 0,
        records: tables.records.len(),
        fragments: counts,
        list_entries: store.len(),
        header_entries: tables.header.len(),
        ports: (ports.matrix.sets, ports.matrix.classes),
        addresses: (addresses.matrix.sets, addresses.matrix.classes),
        prefixes: (addresses.v4.len(), addresses.v6.len()),
        widened: degrader.widened,
        degraded: degrader.report,
    };
    let bytes = blocks.finish(rules.len() as u32, tables.records.len() as u32, options.created);
    Ok(Image { report: ImageReport { length: bytes.len(), ..report }, bytes, tables, parameters })
}

fn fill_set(set: &mut [u64; 4], bytes: impl Iterator<Item = u8>) {
    for b in bytes {
        if let Some(word) = set.get_mut(usize::from(b >> 6)) {
            *word |= 1 << (b & 63);
        }
    }
}

type Classes = (classes::PortClasses, classes::AddressClasses);

/// Classes of ports and addresses, or what does not fit, and by how many entries.
fn fits(tables: &Tables, plan: &Plan, capacity: &Capacity) -> Result<Classes, (ImageError, Full, usize)> {
    for length in 4..=8 {
        let count = tables.fragments.keys().filter(|f| f.length() == length).count();
        if count > capacity.fragments {
            let error = ImageError::TooManyFragments { length, count, most: capacity.fragments };
            return Err((error, Full::Fragments(length), count - capacity.fragments));
        }
    }
    let too_large = |what, full, count: usize, most: usize| {
        if count > most { Err((ImageError::TooLarge { what, count, most }, full, count - most)) } else { Ok(()) }
    };
    let lists: usize = tables.fragments.values().map(Vec::len).sum();
    // Entries of the header table first: a rule of class C brings more of them.
    too_large("header-table entries", Full::Header, tables.header.len(), capacity.header_entries)?;
    too_large("list entries", Full::Lists, lists, capacity.list_entries)?;
    too_large("records", Full::Records, tables.records.len(), capacity.records)?;
    let most = capacity.port_classes;
    let unnumbered = |what, full| (ImageError::TooLarge { what, count: 65_535, most: 65_534 }, full, 1);
    let ports = classes::ports(plan.sets.ports()).map_err(|_| unnumbered("classes of ports", Full::Ports))?;
    too_large("classes of ports", Full::Ports, ports.matrix.classes as usize, most)?;
    let addresses =
        classes::addresses(plan.sets.addresses()).map_err(|_| unnumbered("classes of addresses", Full::Addresses))?;
    for (what, count, most) in [
        ("classes of addresses", addresses.matrix.classes as usize, capacity.address_classes),
        ("IPv4 prefixes", addresses.v4.len(), capacity.prefixes_v4),
        ("IPv6 prefixes", addresses.v6.len(), capacity.prefixes_v6),
    ] {
        too_large(what, Full::Addresses, count, most)?;
    }
    Ok((ports, addresses))
}

/// Blocks on their way into an image.
#[derive(Default)]
struct Blocks {
    list: Vec<(BlockType, u32, Vec<u8>)>,
}

impl Blocks {
    fn add(&mut self, kind: BlockType, bytes: Vec<u8>) {
        self.list.push((kind, 0, bytes));
    }

    fn add_host(&mut self, kind: BlockType, bytes: Vec<u8>) {
        self.list.push((kind, BlockFlags::HOST_ONLY.0, bytes));
    }

    fn finish(self, rule_count: u32, record_count: u32, created: u64) -> Vec<u8> {
        let align = |n: usize| n.next_multiple_of(IMAGE_BLOCK_ALIGN as usize);
        let mut at = align(ImageHeader::SIZE + self.list.len() * BlockEntry::SIZE);
        let mut directory = Vec::with_capacity(self.list.len() * BlockEntry::SIZE);
        let mut identity = [0u8; 16];
        for (i, (kind, flags, bytes)) in self.list.iter().enumerate() {
            let crc = crc32c(bytes);
            let entry = BlockEntry {
                kind: *kind as u16,
                version: 1,
                flags: *flags,
                offset: at as u64,
                length: bytes.len() as u64,
                crc,
                reserved: 0,
            };
            // The identity is a digest of the block checksums: equal tables, equal identity.
            for (j, b) in crc.to_le_bytes().into_iter().enumerate() {
                if let Some(slot) = identity.get_mut((i * 4 + j) % 16) {
                    *slot = slot.rotate_left(3) ^ b;
                }
            }
            directory.extend_from_slice(&entry.to_bytes());
            at = align(at + bytes.len());
        }
        let mut header = ImageHeader {
            magic: IMAGE_MAGIC,
            major: CONTRACT_MAJOR,
            minor: CONTRACT_MINOR,
            length: at as u64,
            identity,
            block_count: self.list.len() as u32,
            directory_crc: crc32c(&directory),
            rule_count,
            record_count,
            created,
            reserved: 0,
            header_crc: 0,
        };
        let bytes = header.to_bytes();
        header.header_crc = crc32c(bytes.get(..60).unwrap_or(&bytes));
        let mut out = Vec::with_capacity(at);
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(&directory);
        for (_, _, bytes) in &self.list {
            out.resize(align(out.len()), 0);
            out.extend_from_slice(bytes);
        }
        out.resize(at, 0);
        out
    }
}
