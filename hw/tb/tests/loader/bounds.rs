//! Images with one field at a bound, or behind it, and checksums that are right.

use super::damage::{block, entries, repair};
use weir_contract::constants as c;
use weir_contract::enums::{BlockFlags, BlockType, Scopes};
use weir_contract::guards::Guard;
use weir_contract::layouts::{
    AddressPrefixV4, AddressPrefixV6, BlockEntry, ExactEntry, Geometry, HashConstants, ImageHeader, LengthGeometry,
    ListRange, Record,
};

/// Names and images.
pub struct Cases<'a> {
    image: &'a [u8],
    pub all: Vec<(String, Vec<u8>)>,
}

impl Cases<'_> {
    fn with(&mut self, what: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut image = self.image.to_vec();
        change(&mut image);
        repair(&mut image, true);
        self.all.push((what.into(), image));
    }

    /// Bytes of a block.
    fn set(&mut self, what: &str, kind: BlockType, at: usize, bytes: &[u8]) {
        let from = block(self.image, kind).offset as usize + at;
        self.with(&format!("{kind:?} at {at}: {what}"), |image| image[from..from + bytes.len()].copy_from_slice(bytes));
    }

    fn entry(&mut self, what: &str, kind: BlockType, change: impl FnOnce(&mut BlockEntry)) {
        let (at, mut entry) = entries(self.image).into_iter().find(|(_, entry)| entry.kind == kind as u16).unwrap();
        change(&mut entry);
        self.with(&format!("directory, {kind:?}: {what}"), |image| {
            image[at..at + BlockEntry::SIZE].copy_from_slice(&entry.to_bytes());
        });
    }

    fn geometry(&mut self, what: &str, change: impl FnOnce(&mut Geometry)) {
        let mut g = self.sizes();
        change(&mut g);
        self.set(what, BlockType::Geometry, 0, &g.to_bytes());
    }

    fn sizes(&self) -> Geometry {
        Geometry::read(&self.image[block(self.image, BlockType::Geometry).offset as usize..]).unwrap()
    }

    fn record(&mut self, what: &str, change: impl FnOnce(&mut Record)) {
        let mut record =
            Record::read(&self.image[block(self.image, BlockType::Records).offset as usize + Record::SIZE..]).unwrap();
        change(&mut record);
        self.set(what, BlockType::Records, Record::SIZE, &record.to_bytes());
    }

    fn sizes_and_capacities(&mut self) {
        type Field = (&'static str, fn(&mut Geometry) -> &mut u32, u32);
        let fields: [Field; 9] = [
            ("list entries", |g| &mut g.list_entries, 1 << 13),
            ("records", |g| &mut g.records, 1 << 12),
            ("header entries", |g| &mut g.header_entries, 1440),
            ("IPv4 prefixes", |g| &mut g.prefixes_v4, 1 << 27),
            ("IPv6 prefixes", |g| &mut g.prefixes_v6, 1 << 31),
            ("port classes", |g| &mut g.port_classes, 1 << 9),
            ("port sets", |g| &mut g.port_sets, 320),
            ("address classes", |g| &mut g.address_classes, 1 << 11),
            ("address sets", |g| &mut g.address_sets, 1024),
        ];
        for (name, field, most) in fields {
            for value in [0, most, most + 1, 1 << 16, (1 << 16) + 1, u32::MAX] {
                self.geometry(&format!("{name} {value}"), |g| *field(g) = value);
            }
            self.geometry(&format!("{name}, one less"), |g| *field(g) -= 1);
        }
        type Shape = (&'static str, fn(&mut LengthGeometry) -> &mut u8, [u8; 5]);
        let shapes: [Shape; 4] = [
            ("partitions", |s| &mut s.bloom_partitions, [0, 3, 4, 5, 255]),
            ("Bloom bits", |s| &mut s.bloom_bits_log2, [9, 19, 20, 24, 25]),
            ("buckets", |s| &mut s.exact_buckets_log2, [0, 14, 15, 24, 25]),
            ("ways", |s| &mut s.exact_ways, [0, 4, 5, 16, 17]),
        ];
        for (name, field, values) in shapes {
            for value in values {
                self.geometry(&format!("{name} {value}"), |g| *field(&mut g.lengths[4]) = value);
            }
        }
        self.geometry("a length of six bytes", |g| g.lengths[2] = g.lengths[4]);
        for n in [0, 4] {
            self.geometry("one entry more", |g| g.lengths[n].entries += 1);
            self.geometry("one entry less", |g| g.lengths[n].entries -= 1);
        }
    }

    fn values(&mut self) {
        let g = self.sizes();
        for kind in [BlockType::Lists, BlockType::HeaderTable] {
            self.set("last record", kind, 4, &(g.records - 1).to_le_bytes());
            self.set("record behind the last", kind, 4, &g.records.to_le_bytes());
        }
        for beyond in [0, 1] {
            let (port, address) = ((g.port_sets - 1 + beyond) as u16, (g.address_sets - 1 + beyond) as u16);
            self.record("source ports", |r| r.source_ports = port);
            self.record("destination ports", |r| r.destination_ports = port);
            self.record("source addresses", |r| r.source_addresses = address);
            self.record("destination addresses", |r| r.destination_addresses = address);
            let class = (g.port_classes - 1 + beyond) as u16;
            self.set("port class", BlockType::PortClasses, 2 * 65535, &class.to_le_bytes());
            let class = ((g.address_classes - 1 + beyond) as u16).to_le_bytes();
            self.set("address class", BlockType::AddressClassesV4, AddressPrefixV4::OFFSET_CLASS, &class);
            self.set("address class", BlockType::AddressClassesV6, AddressPrefixV6::OFFSET_CLASS, &class);
        }
        for least in [9, 10] {
            self.record("payload", |r| (r.payload_min, r.payload_max) = (least, 9));
            self.record("ICMP type", |r| (r.icmp_type_min, r.icmp_type_max) = (least as u8, 9));
            self.record("ICMP code", |r| (r.icmp_code_min, r.icmp_code_max) = (least as u8, 9));
            self.record("protocol", |r| (r.protocol_min, r.protocol_max) = (least as u8, 9));
            self.record("position", |r| (r.position_min, r.position_max) = (i32::from(least) - 10, -1));
        }
        self.record("no scope", |r| r.scopes = 0);
        self.record("no transport", |r| r.transports = 0x80);
        self.record("no version", |r| r.versions = 0xf8);
        self.record("no direction", |r| r.directions = 0xfc);
        self.record("no state", |r| r.states = 0xc0);
        self.record("no class", |r| r.class_mask = 0);
        self.record("flags that are not compared", |r| (r.tcp_flags_mask, r.tcp_flags_value) = (2, 3));
        for kind in [BlockType::PortSets, BlockType::AddressSets] {
            self.set("set 0 without class 0", kind, 0, &[0xfe]);
        }
        let last = (g.port_classes - 1) as usize;
        let row = block(self.image, BlockType::PortSets).offset as usize;
        self.with("set 0 without its last class", |image| image[row + last / 8] ^= 1 << (last % 8));
        self.with("a bit that is no class", |image| image[row + (last + 1) / 8] ^= 1 << ((last + 1) % 8));
        self.set("multiplier 0", BlockType::Hash, 0, &[0; 8]);
        self.set("multiplier 0 of a length that is not used", BlockType::Hash, 16, &[0; 8]);
        assert_eq!(HashConstants::SIZE, 40);
    }

    fn prefixes(&mut self) {
        for (length, host) in [(32u8, 0u8), (33, 0), (31, 1), (255, 0)] {
            let mut bytes = [0; AddressPrefixV4::SIZE];
            (bytes[0], bytes[4]) = (host, length);
            self.set(&format!("length {length}, last bit {host}"), BlockType::AddressClassesV4, 0, &bytes);
        }
        for (length, host) in [(128u8, 0u8), (129, 0), (127, 1), (255, 0)] {
            let mut bytes = [0; AddressPrefixV6::SIZE];
            (bytes[15], bytes[16]) = (host, length);
            self.set(&format!("length {length}, last bit {host}"), BlockType::AddressClassesV6, 0, &bytes);
        }
        for (kind, size) in
            [(BlockType::AddressClassesV4, AddressPrefixV4::SIZE), (BlockType::AddressClassesV6, AddressPrefixV6::SIZE)]
        {
            let from = block(self.image, kind).offset as usize;
            self.with(&format!("{kind:?}: twice the same"), |image| image.copy_within(from..from + size, from + size));
        }
    }

    fn guards(&mut self) {
        let g = self.sizes();
        let range = |start, count| ListRange { start, count }.to_bytes();
        for count in [1, 2] {
            self.set("at the end of the lists", BlockType::GuardTable, 0, &range(g.list_entries - 1, count));
        }
        self.set("wraps", BlockType::GuardTable, 0, &range(u32::MAX, 2));
        for guard in Guard::ALL.into_iter().filter(|guard| guard.always()) {
            self.set("leads nowhere", BlockType::GuardTable, guard as usize * ListRange::SIZE, &range(0, 0));
        }
        // All that must be led to records lead to record 0.
        let from = block(self.image, BlockType::Records).offset as usize;
        let guards = block(self.image, BlockType::GuardTable).offset as usize;
        for scopes in [Scopes::PACKET, Scopes::STREAM, Scopes::ALWAYS] {
            for strict in [false, true] {
                self.with(&format!("record 0 in scope {scopes:?}, {strict}"), |image| {
                    let record = Record { scopes: scopes.0, ..Record::ALWAYS };
                    image[from..from + Record::SIZE].copy_from_slice(&record.to_bytes());
                    let other = Record { group: 9, ..Record::ALWAYS };
                    image[from + Record::SIZE..from + 2 * Record::SIZE].copy_from_slice(&other.to_bytes());
                    // A list of records 0 and 1.
                    let lists = block(image, BlockType::Lists).offset as usize;
                    image[lists..lists + 8].copy_from_slice(&[0, 0, 0, 0, 1, 0, 0, 0]);
                    for guard in Guard::ALL.into_iter().filter(|guard| guard.always()) {
                        let at = guards + guard as usize * ListRange::SIZE;
                        let count = if strict || guard.rests_once_encrypted() { 1 } else { 2 };
                        image[at..at + ListRange::SIZE].copy_from_slice(&range(0, count));
                    }
                });
            }
        }
        for n in 0..16 {
            self.with(&format!("record 0 with condition {n}"), |image| {
                let mut r = Record::ALWAYS;
                match n {
                    0 => r.class_mask >>= 1,
                    1 => r.flags = 1,
                    2 => r.transports = 0x3f,
                    3 => r.versions = 3,
                    4 => r.directions = 1,
                    5 => r.states = 0x1f,
                    6 => r.tcp_flags_mask = 1,
                    7 => r.payload_min = 1,
                    8 => r.payload_max -= 1,
                    9 => r.icmp_type_min = 1,
                    10 => r.icmp_code_max = 254,
                    11 => r.protocol_max = 254,
                    12 => r.reverse_max = 0xfffe,
                    13 => r.position_min += 1,
                    14 => r.position_max -= 1,
                    _ => r.anchor_mask[15] = 1,
                }
                image[from..from + Record::SIZE].copy_from_slice(&r.to_bytes());
            });
        }
        self.with("record 0 with bits that mean nothing", |image| {
            let r = Record { transports: 0x7f, versions: 7, directions: 3, states: 0x3f, group: 7, ..Record::ALWAYS };
            image[from..from + Record::SIZE].copy_from_slice(&Record { reserved1: [9; 16], ..r }.to_bytes());
        });
    }

    fn filter(&mut self) {
        let g = self.sizes();
        let from = block(self.image, BlockType::Exact8).offset as usize;
        let slots = usize::from(g.lengths[4].exact_ways) << g.lengths[4].exact_buckets_log2;
        let read = |n: usize| ExactEntry::read(&self.image[from + n * ExactEntry::SIZE..]).unwrap();
        let used = (0..slots).find(|n| read(*n).list_count != 0).unwrap();
        let free = (0..slots).rev().find(|n| read(*n).list_count == 0).unwrap();
        let entry = read(used);
        let kind = BlockType::Exact8;
        let at = used * ExactEntry::SIZE;
        let count = u32::from(entry.list_count);
        for beyond in [0, 1] {
            let entry = ExactEntry { list_start: g.list_entries - count + beyond, ..entry };
            self.set("at the end of the lists", kind, at, &entry.to_bytes());
        }
        self.set("wraps", kind, at, &ExactEntry { list_start: u32::MAX, list_count: 1, ..entry }.to_bytes());
        self.set("length", kind, at, &ExactEntry { length: 7, ..entry }.to_bytes());
        self.set("another window", kind, at, &ExactEntry { value: entry.value ^ 1 << 56, ..entry }.to_bytes());
        self.set(
            "upper case",
            kind,
            at,
            &ExactEntry { value: entry.value & !0x20 | 0x41, case_mask: 0, ..entry }.to_bytes(),
        );
        self.with("in another bucket", |image| {
            image[from + at..from + at + ExactEntry::SIZE].fill(0);
            let at = from + free * ExactEntry::SIZE;
            image[at..at + ExactEntry::SIZE].copy_from_slice(&entry.to_bytes());
        });
        let four = block(self.image, BlockType::Exact4).offset as usize;
        self.with("a byte behind the window", |image| {
            let at =
                (four..).step_by(ExactEntry::SIZE).find(|at| ExactEntry::read(&image[*at..]).unwrap().list_count != 0);
            image[at.unwrap() + 4] = 1;
        });
        let bloom = block(self.image, BlockType::Bloom8);
        let third = bloom.length as usize / 3;
        for n in 0..3 {
            self.set(&format!("partition {n} is empty"), BlockType::Bloom8, n * third, &vec![0; third]);
        }
    }

    fn frame(&mut self) {
        let end = self.image.len() as u64;
        let directory = (ImageHeader::SIZE + entries(self.image).len() * BlockEntry::SIZE) as u64;
        for kind in [BlockType::Geometry, BlockType::AddressSets, BlockType::PortClasses] {
            self.entry("in the directory", kind, |entry| entry.offset = (directory - 1) / 64 * 64);
            self.entry("not aligned", kind, |entry| entry.offset += 32);
            self.entry("up to the end", kind, |entry| entry.length = end - entry.offset);
            self.entry("behind the end", kind, |entry| entry.length = end - entry.offset + 1);
            self.entry("wraps", kind, |entry| entry.length = u64::MAX - 63);
            self.entry("a byte less", kind, |entry| entry.length -= 1);
            self.entry("version", kind, |entry| entry.version = 2);
            self.entry("a flag that is not known", kind, |entry| entry.flags = 2);
            self.entry("reserved", kind, |entry| entry.reserved = 1 << 31);
            self.entry("host only", kind, |entry| entry.flags = BlockFlags::HOST_ONLY.0);
            self.entry("twice", kind, |entry| entry.kind = BlockType::Lists as u16);
            self.entry("not known", kind, |entry| entry.kind = 0x7f);
            self.entry("not known, host only", kind, |entry| (entry.kind, entry.flags) = (0x7f, 1));
            self.entry("over another", kind, |entry| entry.offset = entry.offset.saturating_sub(64));
        }
        for (_, entry) in entries(self.image) {
            let behind = (entry.offset + entry.length) as usize;
            for at in [behind, behind.next_multiple_of(64).saturating_sub(1)] {
                if behind % 64 != 0 {
                    self.with(&format!("a byte behind block {:#x}", entry.kind), |image| image[at] = 1);
                }
            }
        }
        let header = ImageHeader::read(self.image).unwrap();
        let headers = [
            ("minor", ImageHeader { minor: c::CONTRACT_MINOR + 1, ..header }),
            ("major", ImageHeader { major: c::CONTRACT_MAJOR + 1, ..header }),
            ("magic", ImageHeader { magic: 7, ..header }),
            ("blocks", ImageHeader { block_count: c::IMAGE_BLOCKS_MAX, ..header }),
            ("too many blocks", ImageHeader { block_count: c::IMAGE_BLOCKS_MAX + 1, ..header }),
            ("no block", ImageHeader { block_count: 0, ..header }),
            ("length", ImageHeader { length: end + 1, ..header }),
        ];
        for (what, header) in headers {
            self.with(what, |image| image[..ImageHeader::SIZE].copy_from_slice(&header.to_bytes()));
        }
    }
}

/// All of them.
pub fn cases(image: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut cases = Cases { image, all: vec![("nothing".into(), image.to_vec())] };
    cases.sizes_and_capacities();
    cases.values();
    cases.prefixes();
    cases.guards();
    cases.filter();
    cases.frame();
    cases.all
}
