//! The reference of the loader: the words that fill a bank of the RTL, made from the model's tables.

use crate::rows::{CONDITIONS, LIST_WORD, condition, summaries};
use weir_contract::constants::{BLOOM_PARTITIONS_MAX, WINDOW_LENGTHS, WINDOW_MIN};
use weir_contract::layouts::{ExactEntry, Geometry, Record};
use weir_contract::record::ClassSets;
use weir_hw_tb::TableWrite;
use weir_sim::tables::Tables;

/// Sizes that are built (parameters of `weir_core`): log2 of Bloom partition and buckets by length, partitions.
const BLOOM_LOG2: [u8; WINDOW_LENGTHS] = [19, 17, 15, 15, 19];
const BUCKETS_LOG2: [u8; WINDOW_LENGTHS] = [14, 12, 11, 11, 14];
const PARTITIONS: [u8; WINDOW_LENGTHS] = [2, 2, 0, 0, 3];
const WAYS: u8 = 4;
const LISTS: u32 = 1 << 13;
const RECORDS: u32 = 1 << 12;
/// Rows of the header table: two writes of so many.
const HEADER_PIECE: usize = 720;
const HEADER: u32 = 2 * HEADER_PIECE as u32;
const PORT_CLASSES: u32 = 1 << 9;
const PORT_SETS: u32 = 320;
const ADDRESS_CLASSES: u32 = 1 << 11;
const ADDRESS_SETS: u32 = 1024;
const RANGES4_LOG2: u32 = 15;
const RANGES6_LOG2: u32 = 8;

/// Tables of `weir_core`'s write port.
const LIST: u8 = 0;
const RECORD: u8 = 1;
const HEADER_TABLE: u8 = 2;
const GUARD: u8 = 3;
const PORT_ROW: u8 = 4;
const ADDRESS_ROW: u8 = 5;
const BLOOM: u8 = 6;
const EXACT: u8 = 7;
const PORT: u8 = 8;
const BOUNDARY4: u8 = 9;
const CLASS4: u8 = 10;
const BOUNDARY6: u8 = 11;
const CLASS6: u8 = 12;
const GEOMETRY: u8 = 13;
const LIMITS: u8 = 14;
const ESCAPES: u8 = 15;
const WORDS: u8 = 16;

/// The sizes of an image that its tables do not say themselves.
#[derive(Debug, Clone, Copy)]
pub struct Classes {
    pub port_classes: u32,
    pub port_sets: u32,
    pub address_classes: u32,
    pub address_sets: u32,
}

impl Classes {
    pub fn of(g: &Geometry) -> Classes {
        Classes {
            port_classes: g.port_classes,
            port_sets: g.port_sets,
            address_classes: g.address_classes,
            address_sets: g.address_sets,
        }
    }
}

/// Sizes fit the RTL that is built. What the contract does not allow at all is the model's to refuse.
pub fn sizes_fit(g: &Geometry) -> bool {
    let classes = |count: u32, most: u32| count <= most || count > 1 << 16;
    g.lengths.iter().enumerate().all(|(n, s)| {
        let allowed = usize::from(s.bloom_partitions) <= BLOOM_PARTITIONS_MAX
            && (10..=24).contains(&s.bloom_bits_log2)
            && s.exact_buckets_log2 <= 24
            && (1..=16).contains(&s.exact_ways);
        !allowed
            || s.bloom_partitions == 0
            || s.bloom_partitions <= PARTITIONS[n]
                && s.bloom_bits_log2 <= BLOOM_LOG2[n]
                && s.exact_buckets_log2 <= BUCKETS_LOG2[n]
                && s.exact_ways <= WAYS
    }) && g.list_entries <= LISTS
        && g.records <= RECORDS
        && g.header_entries <= HEADER
        && classes(g.port_classes, PORT_CLASSES)
        && classes(g.port_sets, PORT_SETS)
        && classes(g.address_classes, ADDRESS_CLASSES)
        && classes(g.address_sets, ADDRESS_SETS)
}

/// Ranges of IPv4 and of IPv6 addresses fit.
pub fn ranges_fit(tables: &Tables) -> [bool; 2] {
    [
        tables.addresses().v4_ranges().count() <= 1 << RANGES4_LOG2,
        tables.addresses().v6_ranges().count() <= 1 << RANGES6_LOG2,
    ]
}

/// Makes writes of one bank.
struct Writer<'a> {
    bank: u8,
    out: &'a mut dyn FnMut(&TableWrite),
}

impl Writer<'_> {
    fn put(&mut self, table: u8, (length, part): (u8, u8), address: usize, bytes: &[u8]) {
        let mut data = [0; 128];
        data[..bytes.len()].copy_from_slice(bytes);
        (self.out)(&TableWrite { table, bank: self.bank, length, part, address: address as u32, data });
    }

    fn word(&mut self, table: u8, address: usize, bytes: &[u8]) {
        self.put(table, (0, 0), address, bytes);
    }

    /// Ranges: boundaries from 1 on, and the class of each; what is not used repeats the last.
    fn ranges<const N: usize>(&mut self, boundary: u8, class: u8, log2: u32, ranges: &[([u8; N], u16)]) {
        for n in 0..1usize << log2 {
            let range = ranges.get(n);
            if n > 0 {
                self.word(boundary, n, &range.map_or([0xff; N], |r| r.0));
            }
            self.word(class, n, &range.or(ranges.last()).map_or(0, |r| r.1).to_le_bytes());
        }
    }

    fn rows(&mut self, table: u8, classes: u32, sets: u32, holds: impl Fn(u16, u16) -> bool) {
        for class in 0..classes {
            let mut row = [0u8; 128];
            for set in (0..sets).filter(|set| holds(*set as u16, class as u16)) {
                row[set as usize / 8] |= 1 << (set % 8);
            }
            self.word(table, class as usize, &row);
        }
    }

    /// One row of the header table on its side, in two pieces.
    fn header_row(&mut self, table: u8, part: u8, at: usize, header: &[&Record], holds: impl Fn(&Record) -> bool) {
        for (piece, records) in
            (0u8..).zip([header.get(..HEADER_PIECE).unwrap_or(header), header.get(HEADER_PIECE..).unwrap_or(&[])])
        {
            let mut row = [0u8; HEADER_PIECE / 8];
            for (n, _) in records.iter().enumerate().filter(|(_, record)| holds(record)) {
                row[n / 8] |= 1 << (n % 8);
            }
            self.put(table, (0, part + piece), at, &row);
        }
    }

    /// The header table on its side: for each class, which of its records a class admits, by source and destination.
    fn header_rows(
        &mut self,
        table: u8,
        classes: u32,
        header: &[&Record],
        holds: impl Fn(&Record, usize, u16) -> bool,
    ) {
        for class in 0..classes {
            for end in 0..2 {
                self.header_row(table, 1 + 2 * end as u8, class as usize, header, |r| holds(r, end, class as u16));
            }
        }
    }
}

/// All writes that fill a bank.
pub fn fill(tables: &Tables, classes: &Classes, bank: u8, out: &mut dyn FnMut(&TableWrite)) {
    let mut w = Writer { bank, out };
    for (n, id) in tables.lists.iter().enumerate() {
        w.word(LIST, n, &id.to_le_bytes());
    }
    for (n, record) in tables.records.iter().enumerate() {
        w.word(RECORD, n, &record.to_bytes());
    }
    for (n, ids) in tables.lists.chunks(LIST_WORD).enumerate() {
        w.put(LIST, (0, 1), n, &summaries(tables, ids).into_bytes(32));
    }
    for (n, id) in tables.header.iter().enumerate() {
        w.word(HEADER_TABLE, n, &id.to_le_bytes());
    }
    for (n, range) in tables.guards.iter().enumerate() {
        w.word(GUARD, n, &range.to_bytes());
    }
    let header: Vec<&Record> = tables.header.iter().filter_map(|id| tables.records.get(*id as usize)).collect();
    for n in 0..CONDITIONS {
        w.header_row(HEADER_TABLE, 1, n, &header, |record| condition(record, n));
    }
    w.header_rows(PORT_ROW, classes.port_classes, &header, |record, end, class| {
        tables.port([record.source_ports, record.destination_ports][end], class)
    });
    w.header_rows(ADDRESS_ROW, classes.address_classes, &header, |record, end, class| {
        tables.address([record.source_addresses, record.destination_addresses][end], class)
    });
    w.rows(PORT_ROW, classes.port_classes, classes.port_sets, |set, class| tables.port(set, class));
    w.rows(ADDRESS_ROW, classes.address_classes, classes.address_sets, |set, class| tables.address(set, class));
    for index in 0..WINDOW_LENGTHS {
        let mut geometry = [0u8; 16];
        if let Some(table) = tables.filter.tables().iter().find(|t| t.length == index + WINDOW_MIN) {
            let shape = &table.shape;
            geometry[..8].copy_from_slice(&table.multiplier().to_le_bytes());
            geometry[8..11].copy_from_slice(&[shape.bloom_partitions, shape.bloom_bits_log2, shape.exact_buckets_log2]);
            let words = (1usize << shape.bloom_bits_log2) / 64;
            for (n, word) in table.bloom.iter().enumerate() {
                w.put(BLOOM, (index as u8, (n / words) as u8), n % words, &word.to_le_bytes());
            }
            for (bucket, entries) in table.exact.chunks_exact(usize::from(shape.exact_ways)).enumerate() {
                // Ways that the image does not use hold nothing, whatever the bank held before.
                for way in 0..WAYS {
                    let entry = entries.get(usize::from(way)).copied().unwrap_or(ExactEntry::ZERO);
                    w.put(EXACT, (index as u8, way), bucket, &entry.to_bytes());
                }
            }
        }
        w.put(GEOMETRY, (index as u8, 0), 0, &geometry);
    }
    for port in 0..=u16::MAX {
        w.word(PORT, usize::from(port), &tables.port_class(port).to_le_bytes());
    }
    let four: Vec<([u8; 4], u16)> = tables.addresses().v4_ranges().map(|(s, c)| (s.to_le_bytes(), c)).collect();
    w.ranges(BOUNDARY4, CLASS4, RANGES4_LOG2, &four);
    let six: Vec<([u8; 16], u16)> = tables.addresses().v6_ranges().map(|(s, c)| (s.to_le_bytes(), c)).collect();
    w.ranges(BOUNDARY6, CLASS6, RANGES6_LOG2, &six);
    let mut limits = Vec::new();
    limits.extend(tables.limits.candidates.to_le_bytes());
    limits.extend(tables.limits.list_entries.to_le_bytes());
    w.word(LIMITS, 0, &limits);
    let p = &tables.parameters;
    let sets: Vec<u8> = [&p.percent_set, &p.equals_set, &p.uri_percent_set]
        .into_iter()
        .flatten()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    w.word(ESCAPES, 0, &sets);
    let words = p.word_values.iter().chain(&p.word_masks).copied();
    let numbers = [p.number_low as u32, p.number_end as u32];
    let words: Vec<u8> = words.chain(numbers).flat_map(u32::to_le_bytes).collect();
    w.word(WORDS, 0, &words);
}
