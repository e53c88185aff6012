//! Mutants of table images: one small change each, sealed again with right checksums, so that only their meaning tells.
//!
//! The checker is judged by them: a change that takes something away which a rule needs must be noticed. Changes that a
//! device would refuse for their form (dangling ids, records that hold for no frame) are made as well.

use crate::image::{Bits, Broken};
use crate::{Host, contain, verify};
use weir_contract::crc::crc32c;
use weir_contract::enums::{BlockType, DirectionMask, RecordFlags, Scopes, TransportMask};
use weir_contract::fold::fold_word;
use weir_contract::guards::Guard;
use weir_contract::hash::{HashFamily, bloom_index, bucket_index, splitmix64};
use weir_contract::layouts::{BlockEntry, ExactEntry, Geometry, HashConstants, ImageHeader, ListRange, Record};
use weir_ir::Rule;

/// A changed image.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// Kind of the change.
    pub kind: &'static str,
    /// The change, for people.
    pub change: String,
    /// The image, sealed.
    pub image: Vec<u8>,
}

/// What became of mutants.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// Mutants made.
    pub made: usize,
    /// Those noticed.
    pub noticed: usize,
    /// Those not noticed that divert whatever the image does: nothing is taken away.
    pub equivalent: usize,
    /// By kind: made and noticed.
    pub kinds: std::collections::BTreeMap<&'static str, (usize, usize)>,
    /// Changes that were not noticed; `true`: nothing is taken away. (Else what was taken is needed by no rule: all have
    /// their proofs still.)
    pub survivors: Vec<(&'static str, String, bool)>,
}

const KINDS: &[&str] = &[
    "drop a fragment",
    "clear a Bloom bit",
    "move a fragment to another bucket",
    "change a byte of a fragment",
    "ask a fragment's byte in case",
    "drop a record from a list",
    "lead a list to another record",
    "drop a record from a guard",
    "swap two guards",
    "swap two records",
    "drop a header-table entry",
    "narrow protocol classes",
    "narrow transports",
    "narrow directions",
    "narrow IP versions",
    "narrow flow states",
    "narrow scopes",
    "narrow payload length",
    "narrow TCP flags",
    "narrow ICMP",
    "narrow IP protocol",
    "narrow reverse bytes",
    "narrow positions",
    "narrow anchor",
    "another port set",
    "another address set",
    "clear a port-set bit",
    "clear an address-set bit",
    "another class of a port",
    "another class of a prefix",
    "another word",
    "fewer numbers",
    "clear an escape",
    "another hash constant",
    "a predicate that is not known",
];

/// An image that is changed in place.
struct Editor {
    bytes: Vec<u8>,
    directory: Vec<BlockEntry>,
    random: u64,
}

impl Editor {
    fn new(image: &[u8], seed: u64) -> Option<Self> {
        let header = ImageHeader::read(image)?;
        let raw = image.get(ImageHeader::SIZE..ImageHeader::SIZE + header.block_count as usize * BlockEntry::SIZE)?;
        let directory = raw.chunks_exact(BlockEntry::SIZE).filter_map(BlockEntry::read).collect();
        Some(Editor { bytes: image.to_vec(), directory, random: seed })
    }

    fn pick(&mut self, n: usize) -> usize {
        (splitmix64(&mut self.random) % n.max(1) as u64) as usize
    }

    fn span(&self, kind: BlockType) -> Option<std::ops::Range<usize>> {
        let entry = self.directory.iter().find(|e| e.kind == kind as u16)?;
        Some(entry.offset as usize..(entry.offset + entry.length) as usize)
    }

    fn block(&self, kind: BlockType) -> &[u8] {
        self.span(kind).and_then(|span| self.bytes.get(span)).unwrap_or(&[])
    }

    fn block_mut(&mut self, kind: BlockType) -> &mut [u8] {
        let span = self.span(kind).unwrap_or(0..0);
        self.bytes.get_mut(span).unwrap_or(&mut [])
    }

    fn write(&mut self, kind: BlockType, at: usize, bytes: &[u8]) -> Option<()> {
        self.block_mut(kind).get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
        Some(())
    }

    /// Right checksums.
    fn seal(mut self) -> Option<Vec<u8>> {
        for n in 0..self.directory.len() {
            let entry = *self.directory.get(n)?;
            let crc = crc32c(self.bytes.get(entry.offset as usize..(entry.offset + entry.length) as usize)?);
            let at = ImageHeader::SIZE + n * BlockEntry::SIZE;
            self.bytes.get_mut(at..at + BlockEntry::SIZE)?.copy_from_slice(&BlockEntry { crc, ..entry }.to_bytes());
        }
        let directory = ImageHeader::SIZE..ImageHeader::SIZE + self.directory.len() * BlockEntry::SIZE;
        let mut header = ImageHeader::read(&self.bytes)?;
        header.directory_crc = crc32c(self.bytes.get(directory)?);
        let head = header.to_bytes();
        header.header_crc = crc32c(head.get(..ImageHeader::SIZE - 4)?);
        self.bytes.get_mut(..ImageHeader::SIZE)?.copy_from_slice(&header.to_bytes());
        Some(self.bytes)
    }

    fn record(&self, id: usize) -> Option<Record> {
        Record::read(self.block(BlockType::Records).get(id * Record::SIZE..)?)
    }

    /// Changes a random record that `change` can change.
    fn change_record(&mut self, change: impl Fn(&mut Self, &mut Record) -> Option<String>) -> Option<String> {
        let count = self.block(BlockType::Records).len() / Record::SIZE;
        for _ in 0..64 {
            let id = self.pick(count);
            let mut record = self.record(id)?;
            let before = record;
            if let Some(what) = change(self, &mut record).filter(|_| record != before) {
                self.write(BlockType::Records, id * Record::SIZE, &record.to_bytes())?;
                return Some(format!("record {id}: {what}"));
            }
        }
        None
    }

    /// A slot in use: block, slot, entry, length.
    fn fragment(&mut self) -> Option<(usize, usize, ExactEntry)> {
        for _ in 0..4096 {
            let n = self.pick(EXACT.len());
            let slots = self.block(EXACT[n]).len() / ExactEntry::SIZE;
            if slots == 0 {
                continue;
            }
            let slot = self.pick(slots);
            let entry = ExactEntry::read(self.block(EXACT[n]).get(slot * ExactEntry::SIZE..)?)?;
            if entry.list_count != 0 {
                return Some((n, slot, entry));
            }
        }
        None
    }

    fn put(&mut self, n: usize, slot: usize, entry: &ExactEntry) -> Option<()> {
        self.write(EXACT[n], slot * ExactEntry::SIZE, &entry.to_bytes())
    }

    /// Takes the entry away and puts a changed one where its window finds it.
    fn replace(&mut self, n: usize, slot: usize, entry: &ExactEntry) -> Option<()> {
        let g = Geometry::read(self.block(BlockType::Geometry))?;
        let shape = *g.lengths.get(n)?;
        let family = HashFamily::new(HashConstants::read(self.block(BlockType::Hash))?);
        let length = n + 4;
        let folded = fold_word(entry.value);
        let (prefix, middle) = (family.prefix(folded, length), family.middle(folded, length));
        self.put(n, slot, &ExactEntry::ZERO)?;
        let ways = usize::from(shape.exact_ways);
        let free = (0..2).flat_map(|which| {
            let bucket = bucket_index(middle, which, u32::from(shape.exact_buckets_log2)) as usize;
            bucket * ways..(bucket + 1) * ways
        });
        let block = self.block(EXACT[n]);
        let empty =
            |s: &usize| block.get(s * ExactEntry::SIZE..).and_then(ExactEntry::read).is_some_and(|e| e.list_count == 0);
        let to = free.into_iter().find(|s| empty(s))?;
        self.put(n, to, entry)?;
        for p in 0..usize::from(shape.bloom_partitions) {
            let bits = u32::from(shape.bloom_bits_log2);
            let bit = (p << bits) + bloom_index(prefix, middle, p, bits) as usize;
            *self.block_mut(BLOOM[n]).get_mut(bit / 8)? |= 1 << (bit % 8);
        }
        Some(())
    }

    /// Geometry with one fragment less.
    fn one_less(&mut self, n: usize) -> Option<()> {
        let mut g = Geometry::read(self.block(BlockType::Geometry))?;
        g.lengths.get_mut(n)?.entries -= 1;
        self.write(BlockType::Geometry, 0, &g.to_bytes())
    }

    fn guard_range(&self, guard: usize) -> Option<ListRange> {
        ListRange::read(self.block(BlockType::GuardTable).get(guard * ListRange::SIZE..)?)
    }

    /// A guard that leads somewhere, and its range.
    fn armed(&mut self, least: u32) -> Option<(usize, ListRange)> {
        for _ in 0..512 {
            let guard = self.pick(64);
            let range = self.guard_range(guard)?;
            if range.count >= least {
                return Some((guard, range));
            }
        }
        None
    }

    /// A word of a block that `change` can change.
    fn change_words(
        &mut self,
        kind: BlockType,
        size: usize,
        change: impl Fn(&mut Self, &mut [u8]) -> bool,
    ) -> Option<usize> {
        let count = self.block(kind).len() / size;
        for _ in 0..if count == 0 { 0 } else { 256 } {
            let at = self.pick(count) * size;
            let mut word = self.block(kind).get(at..at + size)?.to_vec();
            if change(self, &mut word) {
                self.write(kind, at, &word)?;
                return Some(at / size);
            }
        }
        None
    }
}

const BLOOM: [BlockType; 5] =
    [BlockType::Bloom4, BlockType::Bloom5, BlockType::Bloom6, BlockType::Bloom7, BlockType::Bloom8];
const EXACT: [BlockType; 5] =
    [BlockType::Exact4, BlockType::Exact5, BlockType::Exact6, BlockType::Exact7, BlockType::Exact8];

fn shown(entry: &ExactEntry) -> String {
    let bytes = entry.value.to_le_bytes();
    format!("\"{}\"", bytes.get(..usize::from(entry.length)).unwrap_or(&bytes).escape_ascii())
}

/// One bit of `mask` less, of those in `known`.
fn one_bit_less(e: &mut Editor, mask: u64, known: u64) -> Option<u64> {
    let set: Vec<u32> = (0..64).filter(|b| mask & known & 1 << b != 0).collect();
    let bit = *set.get(e.pick(set.len()))?;
    Some(mask & !(1 << bit))
}

fn narrowed(kind: &str, e: &mut Editor, r: &mut Record) -> Option<String> {
    let flags = RecordFlags(r.flags);
    match kind {
        "narrow protocol classes" => {
            r.class_mask = one_bit_less(e, r.class_mask, u64::MAX)?;
            Some(format!("classes {:#x}", r.class_mask))
        }
        "narrow transports" => {
            r.transports = one_bit_less(e, r.transports.into(), TransportMask::ALL.0.into())? as u8;
            Some(format!("transports {:#x}", r.transports))
        }
        "narrow directions" => {
            r.directions = one_bit_less(e, r.directions.into(), DirectionMask::ALL.0.into())? as u8;
            Some(format!("directions {:#x}", r.directions))
        }
        "narrow IP versions" => {
            r.versions = one_bit_less(e, r.versions.into(), 3)? as u8;
            Some(format!("versions {:#x}", r.versions))
        }
        "narrow flow states" => {
            r.states = one_bit_less(e, r.states.into(), if r.states & 0x1f == 0 { 0x3f } else { 0x1f })? as u8;
            Some(format!("states {:#x}", r.states))
        }
        "narrow scopes" => {
            r.scopes = one_bit_less(e, r.scopes.into(), Scopes::ALL.0.into())? as u8;
            Some(format!("scopes {:#x}", r.scopes))
        }
        "narrow payload length" => {
            if e.pick(2) == 0 {
                r.payload_min = r.payload_min.saturating_add(1 + e.pick(40) as u16).min(r.payload_max);
            } else {
                r.payload_max = r.payload_min.saturating_add(e.pick(1400) as u16).min(r.payload_max);
            }
            Some(format!("payload {} to {}", r.payload_min, r.payload_max))
        }
        "narrow TCP flags" => {
            let bit = 1 << e.pick(8);
            if r.tcp_flags_mask & bit != 0 {
                r.tcp_flags_value ^= bit;
            } else {
                r.tcp_flags_mask |= bit;
            }
            Some(format!("flags {:#x} of {:#x}", r.tcp_flags_value, r.tcp_flags_mask))
        }
        "narrow ICMP" => {
            if e.pick(2) == 0 {
                r.icmp_type_min = r.icmp_type_min.saturating_add(1).min(r.icmp_type_max);
            } else {
                r.icmp_code_max = r.icmp_code_max.saturating_sub(1).max(r.icmp_code_min);
            }
            Some(format!("types from {}, codes to {}", r.icmp_type_min, r.icmp_code_max))
        }
        "narrow IP protocol" => {
            r.protocol_min = r.protocol_min.saturating_add(1 + e.pick(20) as u8).min(r.protocol_max);
            Some(format!("protocols from {}", r.protocol_min))
        }
        "narrow reverse bytes" => {
            r.reverse_max =
                if r.reverse_max == u16::MAX { e.pick(5000) as u16 } else { r.reverse_max.saturating_sub(1) };
            Some(format!("reverse {}", r.reverse_max))
        }
        "narrow positions" => {
            if !flags.contains(RecordFlags::POSITION_PACKET) && !flags.contains(RecordFlags::POSITION_STREAM) {
                return None;
            }
            if e.pick(2) == 0 {
                r.position_min = r.position_min.saturating_add(1).min(r.position_max);
            } else {
                r.position_max = r.position_max.saturating_sub(1).max(r.position_min);
            }
            Some(format!("positions {} to {}", r.position_min, r.position_max))
        }
        "narrow anchor" => {
            if !flags.contains(RecordFlags::ANCHOR_PACKET) && !flags.contains(RecordFlags::ANCHOR_STREAM) {
                return None;
            }
            let at = e.pick(16);
            if r.anchor_mask[at] != 0 {
                r.anchor_value[at] ^= 1 << r.anchor_mask[at].trailing_zeros();
            } else {
                r.anchor_mask[at] = 0xff;
                r.anchor_value[at] = e.pick(256) as u8;
            }
            Some(format!("anchor {:02x} of {:02x} at {at}", r.anchor_value[at], r.anchor_mask[at]))
        }
        "another port set" => {
            let g = Geometry::read(e.block(BlockType::Geometry))?;
            let set = e.pick(g.port_sets as usize) as u16;
            if e.pick(2) == 0 {
                r.source_ports = set
            } else {
                r.destination_ports = set
            }
            (set != 0).then(|| format!("port sets {} and {}", r.source_ports, r.destination_ports))
        }
        "another address set" => {
            let g = Geometry::read(e.block(BlockType::Geometry))?;
            let set = e.pick(g.address_sets as usize) as u16;
            if e.pick(2) == 0 {
                r.source_addresses = set
            } else {
                r.destination_addresses = set
            }
            (set != 0).then(|| format!("address sets {} and {}", r.source_addresses, r.destination_addresses))
        }
        _ => {
            r.reserved1[e.pick(16)] = 1 + e.pick(255) as u8;
            Some("a reserved byte".to_owned())
        }
    }
}

/// The mutant of a kind; `None`: the image has nothing to change so.
fn change(kind: &'static str, e: &mut Editor) -> Option<String> {
    match kind {
        "drop a fragment" => {
            let (n, slot, entry) = e.fragment()?;
            e.put(n, slot, &ExactEntry::ZERO)?;
            e.one_less(n)?;
            Some(shown(&entry))
        }
        "clear a Bloom bit" => {
            let (n, _, entry) = e.fragment()?;
            let shape = *Geometry::read(e.block(BlockType::Geometry))?.lengths.get(n)?;
            let family = HashFamily::new(HashConstants::read(e.block(BlockType::Hash))?);
            let folded = fold_word(entry.value);
            let p = e.pick(usize::from(shape.bloom_partitions));
            let bits = u32::from(shape.bloom_bits_log2);
            let bit =
                (p << bits) + bloom_index(family.prefix(folded, n + 4), family.middle(folded, n + 4), p, bits) as usize;
            *e.block_mut(BLOOM[n]).get_mut(bit / 8)? &= !(1 << (bit % 8));
            Some(format!("partition {p} of {}", shown(&entry)))
        }
        "move a fragment to another bucket" => {
            let (n, slot, entry) = e.fragment()?;
            let slots = e.block(EXACT[n]).len() / ExactEntry::SIZE;
            let to = e.pick(slots);
            let other = ExactEntry::read(e.block(EXACT[n]).get(to * ExactEntry::SIZE..)?)?;
            let ways = usize::from(Geometry::read(e.block(BlockType::Geometry))?.lengths.get(n)?.exact_ways);
            if to / ways == slot / ways {
                return None;
            }
            e.put(n, to, &entry)?;
            e.put(n, slot, &other)?;
            Some(format!("{} to slot {to}", shown(&entry)))
        }
        "change a byte of a fragment" => {
            let (n, slot, mut entry) = e.fragment()?;
            let before = shown(&entry);
            let at = e.pick(n + 4);
            let by = 1 + e.pick(3) as u64;
            let byte = (entry.value >> (8 * at)) as u8;
            let changed = byte.wrapping_add(by as u8).to_ascii_lowercase();
            entry.case_mask &= !(1 << at);
            entry.value = entry.value & !(0xff << (8 * at)) | u64::from(changed) << (8 * at);
            (changed != byte.to_ascii_lowercase()).then_some(())?;
            e.replace(n, slot, &entry)?;
            Some(format!("{before} to {}", shown(&entry)))
        }
        "ask a fragment's byte in case" => {
            let (n, slot, mut entry) = e.fragment()?;
            let at = e.pick(n + 4);
            let byte = (entry.value >> (8 * at)) as u8;
            if !byte.is_ascii_lowercase() || entry.case_mask >> at & 1 != 0 {
                return None;
            }
            entry.case_mask |= 1 << at;
            entry.value &= !(0x20 << (8 * at));
            e.put(n, slot, &entry)?;
            Some(format!("{}, mask {:#x}", shown(&entry), entry.case_mask))
        }
        "drop a record from a list" => {
            let (n, slot, mut entry) = e.fragment()?;
            let before = entry.list_count;
            entry.list_count -= 1;
            if e.pick(2) == 0 {
                entry.list_start += 1;
            }
            if entry.list_count == 0 {
                entry = ExactEntry::ZERO;
                e.one_less(n)?;
            }
            e.put(n, slot, &entry)?;
            Some(format!("{} has {} instead of {before}", shown(&entry), entry.list_count))
        }
        "lead a list to another record" => {
            let records = e.block(BlockType::Records).len() / Record::SIZE;
            let at = e.change_words(BlockType::Lists, 4, |e, word| {
                let id = (e.pick(records) as u32).to_le_bytes();
                let same = word == id;
                word.copy_from_slice(&id);
                !same
            })?;
            Some(format!("place {at}"))
        }
        "drop a record from a guard" => {
            let (guard, mut range) = e.armed(1)?;
            range.count -= 1;
            if e.pick(2) == 0 {
                range.start += 1;
            }
            e.write(BlockType::GuardTable, guard * ListRange::SIZE, &range.to_bytes())?;
            Some(Guard::from_raw(guard as u8).map_or("?", Guard::name).to_owned())
        }
        "swap two guards" => {
            let ((a, first), (b, second)) = (e.armed(1)?, e.armed(0)?);
            if first == second {
                return None;
            }
            e.write(BlockType::GuardTable, a * ListRange::SIZE, &second.to_bytes())?;
            e.write(BlockType::GuardTable, b * ListRange::SIZE, &first.to_bytes())?;
            Some(format!("{a} and {b}"))
        }
        "swap two records" => {
            let count = e.block(BlockType::Records).len() / Record::SIZE;
            let (a, b) = (e.pick(count), e.pick(count));
            let (first, second) = (e.record(a)?, e.record(b)?);
            if first == second {
                return None;
            }
            e.write(BlockType::Records, a * Record::SIZE, &second.to_bytes())?;
            e.write(BlockType::Records, b * Record::SIZE, &first.to_bytes())?;
            Some(format!("{a} and {b}"))
        }
        "drop a header-table entry" => {
            let first = e.block(BlockType::HeaderTable).get(..4)?.to_vec();
            let at = e.change_words(BlockType::HeaderTable, 4, |_, word| {
                let same = word == first;
                word.copy_from_slice(&first);
                !same
            })?;
            Some(format!("entry {at}"))
        }
        "clear a port-set bit" | "clear an address-set bit" => {
            let g = Geometry::read(e.block(BlockType::Geometry))?;
            let (block, classes, sets) = if kind == "clear a port-set bit" {
                (BlockType::PortSets, g.port_classes, g.port_sets)
            } else {
                (BlockType::AddressSets, g.address_classes, g.address_sets)
            };
            let row = (classes as usize).div_ceil(64) * 8;
            for _ in 0..4096 {
                let (set, class) = (e.pick(sets as usize), e.pick(classes as usize));
                let byte = e.block_mut(block).get_mut(set * row + class / 8)?;
                if *byte >> (class % 8) & 1 != 0 {
                    *byte &= !(1 << (class % 8));
                    return Some(format!("set {set}, class {class}"));
                }
            }
            None
        }
        "another class of a port" => {
            let classes = Geometry::read(e.block(BlockType::Geometry))?.port_classes as usize;
            let at = e.change_words(BlockType::PortClasses, 2, |e, word| {
                let class = (e.pick(classes) as u16).to_le_bytes();
                let same = word == class;
                word.copy_from_slice(&class);
                !same
            })?;
            Some(format!("port {at}"))
        }
        "another class of a prefix" => {
            let classes = Geometry::read(e.block(BlockType::Geometry))?.address_classes as usize;
            let size = weir_contract::layouts::AddressPrefixV4::SIZE;
            let at = e.change_words(BlockType::AddressClassesV4, size, |e, word| {
                let class = (e.pick(classes) as u16).to_le_bytes();
                let Some(field) = word.get_mut(size - 2..) else { return false };
                let same = *field == class;
                field.copy_from_slice(&class);
                !same
            })?;
            Some(format!("prefix {at}"))
        }
        "clear an escape" => {
            let mut parameters = weir_contract::layouts::GuardParameters::read(e.block(BlockType::GuardParameters))?;
            let word = e.pick(4);
            parameters.uri_percent_set[word] = one_bit_less(e, parameters.uri_percent_set[word], u64::MAX)?;
            e.write(BlockType::GuardParameters, 0, &parameters.to_bytes())?;
            Some(format!("word {word}"))
        }
        "another word" => {
            let mut parameters = weir_contract::layouts::GuardParameters::read(e.block(BlockType::GuardParameters))?;
            let loaded: Vec<usize> = (0..8).filter(|n| parameters.word_masks[*n] != 0).collect();
            let n = *loaded.get(e.pick(loaded.len().max(1)))?;
            // Of a byte that is compared.
            parameters.word_values[n] ^= 1 << (24 + e.pick(8));
            e.write(BlockType::GuardParameters, 0, &parameters.to_bytes())?;
            Some(format!("word {n}"))
        }
        "fewer numbers" => {
            let mut parameters = weir_contract::layouts::GuardParameters::read(e.block(BlockType::GuardParameters))?;
            if parameters.number_low >= parameters.number_end {
                return None;
            }
            match e.pick(2) {
                0 => parameters.number_low += 1,
                _ => parameters.number_end -= 1,
            }
            e.write(BlockType::GuardParameters, 0, &parameters.to_bytes())?;
            Some(format!("{} to {}", parameters.number_low, parameters.number_end))
        }
        "another hash constant" => {
            let at = e.pick(e.block(BlockType::Hash).len());
            let used = Geometry::read(e.block(BlockType::Geometry))?.lengths.get(at / 8)?.entries != 0;
            *e.block_mut(BlockType::Hash).get_mut(at)? ^= 1 << 3;
            used.then(|| format!("byte {at}"))
        }
        narrow => e.change_record(|e, r| narrowed(narrow, e, r)),
    }
}

/// The `n`th mutant of a seed.
pub fn mutant(image: &[u8], seed: u64, n: u64) -> Option<Mutant> {
    for attempt in 0..16 {
        let kind = KINDS[(n as usize + attempt as usize * 7) % KINDS.len()];
        let mut editor = Editor::new(image, seed ^ (n << 8 | attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15))?;
        if let Some(change) = change(kind, &mut editor) {
            if editor.bytes != image {
                return Some(Mutant { kind, change, image: editor.seal()? });
            }
        }
    }
    None
}

/// Makes `count` mutants and checks each; `each` is told of the progress.
pub fn run(
    rules: &[Rule],
    host: &Host<'_>,
    image: &[u8],
    seed: u64,
    count: u64,
    mut each: impl FnMut(&Mutant, bool),
) -> Result<Outcome, Broken> {
    let mut out = Outcome::default();
    let before = Bits::read(image)?;
    for n in 0..count {
        let Some(mutant) = mutant(image, seed, n) else { continue };
        let noticed = !verify(rules, host, &mutant.image).is_ok_and(|report| report.is_good());
        each(&mutant, noticed);
        out.made += 1;
        out.noticed += usize::from(noticed);
        let kind = out.kinds.entry(mutant.kind).or_default();
        *kind = (kind.0 + 1, kind.1 + usize::from(noticed));
        if !noticed {
            let wider = Bits::read(&mutant.image).is_ok_and(|after| contain::wider(&before, &after));
            out.equivalent += usize::from(wider);
            out.survivors.push((mutant.kind, mutant.change, wider));
        }
    }
    Ok(out)
}
