//! From a checked image to a bank: geometry, references, values.

use super::image::{Image, Refusal, refuse};
use super::{AddressClasses, Matrix, Tables};
use crate::literal::{Filter, LengthTable};
use weir_contract::constants as c;
use weir_contract::enums::{BlockType, TableError};
use weir_contract::fold::{fold_word, truncate};
use weir_contract::guards::Guard;
use weir_contract::hash::HashFamily;
use weir_contract::layouts::{
    AddressPrefixV4, AddressPrefixV6, ExactEntry, Geometry, GuardParameters, HashConstants, LengthGeometry, Limits,
    ListRange, Record,
};

const BLOOM: [BlockType; c::WINDOW_LENGTHS] =
    [BlockType::Bloom4, BlockType::Bloom5, BlockType::Bloom6, BlockType::Bloom7, BlockType::Bloom8];
const EXACT: [BlockType; c::WINDOW_LENGTHS] =
    [BlockType::Exact4, BlockType::Exact5, BlockType::Exact6, BlockType::Exact7, BlockType::Exact8];

/// Bits of a Bloom partition, log2.
pub const BLOOM_BITS: std::ops::RangeInclusive<u8> = 10..=24;
/// Buckets of an exact table, log2.
pub const BUCKETS_MAX: u8 = 24;
/// Ways of a bucket.
pub const WAYS: std::ops::RangeInclusive<u8> = 1..=16;

/// Structures of one kind behind each other.
fn all<'a, T>(bytes: &'a [u8], size: usize, read: impl Fn(&'a [u8]) -> Option<T>) -> Vec<T> {
    bytes.chunks_exact(size).filter_map(read).collect()
}

fn words32(bytes: &[u8]) -> Vec<u32> {
    all(bytes, 4, |b| b.first_chunk().map(|b| u32::from_le_bytes(*b)))
}

fn words64(bytes: &[u8]) -> Vec<u64> {
    all(bytes, 8, |b| b.first_chunk().map(|b| u64::from_le_bytes(*b)))
}

fn bytes_of(count: u32, size: usize) -> usize {
    (count as usize).saturating_mul(size)
}

struct Loader<'a> {
    image: Image<'a>,
    geometry: Geometry,
}

pub(super) fn load(bytes: &[u8]) -> Result<Tables, Refusal> {
    let image = Image::open(bytes)?;
    let geometry = one(&image, BlockType::Geometry, Geometry::SIZE, Geometry::read)?;
    let loader = Loader { image, geometry };
    let lists = loader.ids(BlockType::Lists, loader.geometry.list_entries)?;
    let header = loader.ids(BlockType::HeaderTable, loader.geometry.header_entries)?;
    let records = loader.records()?;
    let filter = loader.filter(&lists)?;
    let guards = loader.guards(&lists, &records)?;
    let limits = one(&loader.image, BlockType::Limits, Limits::SIZE, Limits::read)?;
    let parameters = one(&loader.image, BlockType::GuardParameters, GuardParameters::SIZE, GuardParameters::read)?;
    let port_classes = loader.port_classes()?;
    let addresses = loader.addresses()?;
    let g = &loader.geometry;
    let port_sets = loader.matrix(BlockType::PortSets, g.port_sets, g.port_classes)?;
    let address_sets = loader.matrix(BlockType::AddressSets, g.address_sets, g.address_classes)?;
    let armed = guards.iter().enumerate().filter(|(_, range)| range.count != 0).fold(0, |set, (n, _)| set | 1u64 << n);
    let mut longest = vec![0u16; lists.len()];
    for entry in filter.tables().iter().flat_map(|table| &table.exact) {
        if let Some(longest) = longest.get_mut(entry.list_start as usize) {
            *longest = entry.list_count.max(*longest);
        }
    }
    Ok(Tables {
        identity: loader.image.header.identity,
        filter,
        lists,
        records,
        header,
        guards,
        armed,
        parameters,
        limits,
        longest,
        port_classes,
        addresses,
        port_sets,
        address_sets,
        directory_crc: loader.image.header.directory_crc,
        directory: loader.image.directory,
    })
}

fn one<T>(image: &Image<'_>, kind: BlockType, size: usize, read: impl Fn(&[u8]) -> Option<T>) -> Result<T, Refusal> {
    match read(image.sized(kind, size)?) {
        Some(value) => Ok(value),
        None => refuse(TableError::BlockSize, kind as u32, image.offset(kind)),
    }
}

impl Loader<'_> {
    /// A refusal at element `n` of a block.
    fn at<T>(&self, error: TableError, kind: BlockType, n: usize, size: usize) -> Result<T, Refusal> {
        refuse(error, kind as u32, self.image.offset(kind) + (n * size) as u64)
    }

    fn ids(&self, kind: BlockType, count: u32) -> Result<Vec<u32>, Refusal> {
        let ids = words32(self.image.sized(kind, bytes_of(count, 4))?);
        match ids.iter().position(|id| *id >= self.geometry.records) {
            Some(n) => self.at(TableError::Reference, kind, n, 4),
            None => Ok(ids),
        }
    }

    fn records(&self) -> Result<Vec<Record>, Refusal> {
        let g = &self.geometry;
        let kind = BlockType::Records;
        let records = all(self.image.sized(kind, bytes_of(g.records, Record::SIZE))?, Record::SIZE, Record::read);
        for (n, r) in records.iter().enumerate() {
            let ports = u32::from(r.source_ports) < g.port_sets && u32::from(r.destination_ports) < g.port_sets;
            let addresses =
                u32::from(r.source_addresses) < g.address_sets && u32::from(r.destination_addresses) < g.address_sets;
            if !ports || !addresses {
                return self.at(TableError::Reference, kind, n, Record::SIZE);
            }
            if !weir_contract::record::can_hold(r) {
                return self.at(TableError::Value, kind, n, Record::SIZE);
            }
        }
        Ok(records)
    }

    fn filter(&self, lists: &[u32]) -> Result<Filter, Refusal> {
        let constants = one(&self.image, BlockType::Hash, HashConstants::SIZE, HashConstants::read)?;
        let family = HashFamily::new(constants);
        let mut tables = Vec::new();
        for (n, shape) in self.geometry.lengths.iter().enumerate() {
            if shape.bloom_partitions == 0 {
                self.image.absent(BLOOM[n])?;
                self.image.absent(EXACT[n])?;
                continue;
            }
            if usize::from(shape.bloom_partitions) > c::BLOOM_PARTITIONS_MAX
                || !BLOOM_BITS.contains(&shape.bloom_bits_log2)
                || shape.exact_buckets_log2 > BUCKETS_MAX
                || !WAYS.contains(&shape.exact_ways)
            {
                return self.at(TableError::Geometry, BlockType::Geometry, n, LengthGeometry::SIZE);
            }
            let length = n + c::WINDOW_MIN;
            if family.multiplier(length) == 0 {
                return self.at(TableError::Value, BlockType::Hash, n, 8);
            }
            let bits = usize::from(shape.bloom_partitions) << shape.bloom_bits_log2;
            let bloom = words64(self.image.sized(BLOOM[n], bits / 8)?);
            let slots = (1usize << shape.exact_buckets_log2) * usize::from(shape.exact_ways);
            let block = self.image.sized(EXACT[n], slots.saturating_mul(ExactEntry::SIZE))?;
            let exact = all(block, ExactEntry::SIZE, ExactEntry::read);
            let table = LengthTable::new(*shape, length, bloom, exact, &family);
            self.check_entries(&table, EXACT[n], lists)?;
            tables.push(table);
        }
        Ok(Filter::new(tables, constants))
    }

    /// Every entry in use can be found by its own window; their number is the geometry's.
    fn check_entries(&self, table: &LengthTable, kind: BlockType, lists: &[u32]) -> Result<(), Refusal> {
        let ways = usize::from(table.shape.exact_ways);
        let mut used = 0u32;
        for (slot, entry) in table.exact.iter().enumerate() {
            if entry.list_count == 0 {
                continue;
            }
            used += 1;
            let end = u64::from(entry.list_start) + u64::from(entry.list_count);
            if end > lists.len() as u64 {
                return self.at(TableError::Reference, kind, slot, ExactEntry::SIZE);
            }
            let lanes = crate::literal::case_lanes(entry.case_mask);
            let folded = fold_word(entry.value);
            let canonical = usize::from(entry.length) == table.length
                && truncate(entry.value, table.length) == entry.value
                && entry.value & !lanes == folded & !lanes;
            let middle = table.middle(folded);
            if !canonical || !table.buckets(middle).contains(&(slot / ways)) || !table.bloom_holds(folded) {
                return self.at(TableError::Value, kind, slot, ExactEntry::SIZE);
            }
        }
        if used != table.shape.entries {
            return self.at(TableError::Value, BlockType::Geometry, table.length - c::WINDOW_MIN, LengthGeometry::SIZE);
        }
        Ok(())
    }

    fn guards(&self, lists: &[u32], records: &[Record]) -> Result<[ListRange; c::GUARDS_MAX], Refusal> {
        let kind = BlockType::GuardTable;
        let block = self.image.sized(kind, c::GUARDS_MAX * ListRange::SIZE)?;
        let mut guards = [ListRange::ZERO; c::GUARDS_MAX];
        for (n, (slot, range)) in guards.iter_mut().zip(all(block, ListRange::SIZE, ListRange::read)).enumerate() {
            if u64::from(range.start) + u64::from(range.count) > lists.len() as u64 {
                return self.at(TableError::Reference, kind, n, ListRange::SIZE);
            }
            *slot = range;
        }
        for guard in Guard::ALL {
            let n = guard as usize;
            let range = guards[n];
            let list = lists.get(range.start as usize..range.start as usize + range.count as usize).unwrap_or(&[]);
            let enough =
                if guard.rests_once_encrypted() { Record::is_always_unless_encrypted } else { Record::is_always };
            let held = list.iter().any(|id| records.get(*id as usize).is_some_and(enough));
            if guard.always() && !held {
                return self.at(TableError::GuardMissing, kind, n, ListRange::SIZE);
            }
        }
        Ok(guards)
    }

    fn port_classes(&self) -> Result<Vec<u16>, Refusal> {
        let kind = BlockType::PortClasses;
        let classes = all(self.image.sized(kind, 2 << 16)?, 2, |b| b.first_chunk().map(|b| u16::from_le_bytes(*b)));
        match classes.iter().position(|class| u32::from(*class) >= self.geometry.port_classes) {
            Some(n) => self.at(TableError::Reference, kind, n, 2),
            None => Ok(classes),
        }
    }

    fn addresses(&self) -> Result<AddressClasses, Refusal> {
        let g = &self.geometry;
        let (four, six) = (BlockType::AddressClassesV4, BlockType::AddressClassesV6);
        let size = AddressPrefixV4::SIZE;
        let v4 = all(self.image.sized(four, bytes_of(g.prefixes_v4, size))?, size, AddressPrefixV4::read);
        for (n, p) in v4.iter().enumerate() {
            let host = u32::MAX.checked_shr(u32::from(p.length)).unwrap_or(0);
            let before = n.checked_sub(1).and_then(|n| v4.get(n)).map(|p| (p.address, p.length));
            if p.length > 32 || p.address & host != 0 || before.is_some_and(|before| before >= (p.address, p.length)) {
                return self.at(TableError::Value, four, n, size);
            }
            if u32::from(p.class) >= g.address_classes {
                return self.at(TableError::Reference, four, n, size);
            }
        }
        let size = AddressPrefixV6::SIZE;
        let v6 = all(self.image.sized(six, bytes_of(g.prefixes_v6, size))?, size, AddressPrefixV6::read);
        for (n, p) in v6.iter().enumerate() {
            let host = u128::MAX.checked_shr(u32::from(p.length)).unwrap_or(0);
            let before = n.checked_sub(1).and_then(|n| v6.get(n)).map(|p| (p.address, p.length));
            let bad_order = before.is_some_and(|before| before >= (p.address, p.length));
            if p.length > 128 || u128::from_be_bytes(p.address) & host != 0 || bad_order {
                return self.at(TableError::Value, six, n, size);
            }
            if u32::from(p.class) >= g.address_classes {
                return self.at(TableError::Reference, six, n, size);
            }
        }
        Ok(AddressClasses::new(&v4, &v6))
    }

    fn matrix(&self, kind: BlockType, rows: u32, columns: u32) -> Result<Matrix, Refusal> {
        // Class 0 exists always, and so does set 0, which holds every class.
        if columns == 0 || rows == 0 || columns > 1 << 16 || rows > 1 << 16 {
            return self.at(TableError::Geometry, BlockType::Geometry, 0, 0);
        }
        let row = (columns as usize).div_ceil(64) * 8;
        let matrix = Matrix::new(words64(self.image.sized(kind, bytes_of(rows, row))?), columns as usize);
        if !matrix.first_row_full(columns as usize) {
            return self.at(TableError::Value, kind, 0, row);
        }
        Ok(matrix)
    }
}
