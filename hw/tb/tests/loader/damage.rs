//! Table images with something wrong: at random, and behind checksums that are right again.

use super::common::made::Random;
use super::host::Host;
use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::BlockType;
use weir_contract::layouts::{BlockEntry, Geometry, ImageHeader, Record};

/// Checksums of header, directory and, if `blocks`, blocks are right again, as far as what they cover is there.
pub fn repair(image: &mut [u8], blocks: bool) {
    let Some(mut header) = ImageHeader::read(image) else { return };
    let end = ImageHeader::SIZE + header.block_count.min(1000) as usize * BlockEntry::SIZE;
    if end <= image.len() {
        for at in (ImageHeader::SIZE..end).step_by(BlockEntry::SIZE) {
            let mut entry = BlockEntry::read(&image[at..]).unwrap();
            let (from, length) = (entry.offset as usize, entry.length as usize);
            if let Some(block) = from.checked_add(length).and_then(|to| image.get(from..to)).filter(|_| blocks) {
                entry.crc = crc32c(block);
                image[at..at + BlockEntry::SIZE].copy_from_slice(&entry.to_bytes());
            }
        }
        header.directory_crc = crc32c(&image[ImageHeader::SIZE..end]);
    }
    let mut raw = header.to_bytes();
    let check = crc32c(&raw[..ImageHeader::SIZE - 4]);
    raw[ImageHeader::SIZE - 4..].copy_from_slice(&check.to_le_bytes());
    image[..ImageHeader::SIZE].copy_from_slice(&raw);
}

pub fn entries(image: &[u8]) -> Vec<(usize, BlockEntry)> {
    let count = ImageHeader::read(image).unwrap().block_count as usize;
    (0..count)
        .map(|n| ImageHeader::SIZE + n * BlockEntry::SIZE)
        .map(|at| (at, BlockEntry::read(&image[at..]).unwrap()))
        .collect()
}

pub fn block(image: &[u8], kind: BlockType) -> BlockEntry {
    entries(image).into_iter().find(|(_, entry)| entry.kind == kind as u16).unwrap().1
}

fn flip(r: &mut Random, bytes: &mut [u8]) {
    if !bytes.is_empty() {
        let at = r.below(bytes.len() as u64) as usize;
        bytes[at] ^= 1 << r.below(8);
    }
}

/// Does something to an image; says what.
pub fn damage(r: &mut Random, image: &mut Vec<u8>) -> String {
    let all = entries(image);
    let (at, mut entry) = r.of(&all);
    let (from, length) = (entry.offset as usize, entry.length as usize);
    let other = r.of(&all).1;
    let kind = r.below(18);
    match kind {
        // Bits on the way.
        0 => (0..1 + r.below(3)).for_each(|_| flip(r, image)),
        1 => flip(r, &mut image[..ImageHeader::SIZE + 32]),
        // What a block holds: of each kind as often, whatever its size.
        2..=6 => {
            flip(r, &mut image[from..from + length]);
            repair(image, true);
        }
        7 => {
            let set = r.of(&[0u8, 0xff, 1, 0x80]);
            if let Some(byte) = image[from..from + length].get_mut(r.below(96) as usize) {
                *byte = set;
            }
            repair(image, true);
        }
        // Sizes.
        8 | 9 => {
            let from = block(image, BlockType::Geometry).offset as usize;
            let mut g = Geometry::read(&image[from..]).unwrap();
            let value = |r: &mut Random, old: u32| match r.below(4) {
                0 => 0,
                1 => old.wrapping_add(1),
                2 => old.wrapping_sub(1),
                _ => {
                    r.of(&[321, 513, 1025, 1441, 2049, 4097, 8193, 1 << 15, 1 << 16, (1 << 16) + 1, 1 << 24, u32::MAX])
                }
            };
            match r.below(14) {
                0 => g.list_entries = value(r, g.list_entries),
                1 => g.records = value(r, g.records),
                2 => g.header_entries = value(r, g.header_entries),
                3 => g.prefixes_v4 = value(r, g.prefixes_v4),
                4 => g.prefixes_v6 = value(r, g.prefixes_v6),
                5 => g.port_classes = value(r, g.port_classes),
                6 => g.port_sets = value(r, g.port_sets),
                7 => g.address_classes = value(r, g.address_classes),
                8 => g.address_sets = value(r, g.address_sets),
                9 => g.lengths[r.below(5) as usize].bloom_partitions = r.below(6) as u8,
                10 => g.lengths[r.below(5) as usize].bloom_bits_log2 = r.below(27) as u8,
                11 => g.lengths[r.below(5) as usize].exact_buckets_log2 = r.below(27) as u8,
                12 => g.lengths[r.below(5) as usize].exact_ways = r.below(18) as u8,
                _ => g.lengths[r.of(&[0, 1, 4])].entries += 1,
            }
            image[from..from + Geometry::SIZE].copy_from_slice(&g.to_bytes());
            repair(image, true);
        }
        // The directory.
        10 => {
            flip(r, &mut image[at..at + BlockEntry::SIZE]);
            repair(image, r.once_in(2));
        }
        11 | 12 => {
            match r.below(8) {
                0 => entry.offset = other.offset,
                1 => entry.length = entry.length.saturating_sub(r.of(&[1, 2, 4, 8, 16, 20, 96])),
                2 => entry.length = r.below(1 << 20),
                3 => entry.kind = other.kind,
                4 => entry.flags ^= 1,
                5 => entry.kind = r.below(300) as u16,
                6 => entry.offset = entry.offset.wrapping_add(64),
                _ => entry.version += 1,
            }
            image[at..at + BlockEntry::SIZE].copy_from_slice(&entry.to_bytes());
            repair(image, true);
        }
        // The header.
        13 => {
            flip(r, &mut image[..ImageHeader::SIZE]);
            repair(image, true);
        }
        14 => {
            let count = r.of(&[0, 1, all.len() as u32 - 1, c::IMAGE_BLOCKS_MAX, c::IMAGE_BLOCKS_MAX + 1, u32::MAX]);
            image[ImageHeader::OFFSET_BLOCK_COUNT..][..4].copy_from_slice(&count.to_le_bytes());
            repair(image, true);
        }
        // Fewer bytes than the header says, or more.
        15 => {
            let length =
                r.of(&[0, 1, 63, 64, 65, 96, image.len() - 1, image.len() - 64, image.len() + 1, image.len() + 64]);
            image.resize(length, 0);
            if r.once_in(2) && length >= ImageHeader::SIZE {
                image[ImageHeader::OFFSET_LENGTH..][..8].copy_from_slice(&(length as u64).to_le_bytes());
                repair(image, true);
            }
        }
        // A record that does not always hold where a guard needs one.
        16 => {
            let from = block(image, BlockType::Records).offset as usize;
            let mut record = Record::read(&image[from..]).unwrap();
            match r.below(3) {
                0 => record.scopes = r.of(&[1, 0x7f, 0x21, 0x20]),
                1 => record.payload_min = 1,
                _ => record.class_mask >>= 1,
            }
            image[from..from + Record::SIZE].copy_from_slice(&record.to_bytes());
            repair(image, true);
        }
        _ => {
            let from = block(image, BlockType::PortSets).offset as usize;
            let at = r.below(2) as usize;
            image[from + at] ^= 1;
            repair(image, true);
        }
    }
    format!("damage {kind} of block {:#x}", entry.kind)
}

/// Registers that do not say what is in host memory.
pub fn registers(r: &mut Random, host: &mut Host) {
    match r.below(40) {
        0 => host.length = r.of(&[0, 63, c::IMAGE_LENGTH_MAX + 1, u64::MAX]),
        1 => host.length += r.of(&[1, 4096, 1 << 17]),
        2 => host.address = r.of(&[0, u64::MAX - 63, u64::MAX - 70_000, host.address + 64, host.address + 4]),
        3 => host.bus.iommu = Default::default(),
        _ => {}
    }
}
