//! The header table, memoised: for each combination of facts that records ask of a flow and direction, the records
//! whose answer is yes. What is left per frame is payload length, TCP flags, and the rare anchor or ICMP condition.
//!
//! Invariant: evaluating a list gives, in table order, exactly the records of the table that
//! `weir_contract::record::holds` accepts (test `equals_the_definition`). The cache is bounded; when it is full it
//! starts anew under another stamp, which voids what flow entries remember.

use super::Tables;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use weir_contract::layouts::Record;
use weir_contract::record::{ClassSets, FrameFacts, Hit, holds};

/// Most lists kept.
const LISTS_MAX: usize = 1 << 14;
/// Most entries of all lists together.
const ENTRIES_MAX: usize = 1 << 22;

/// What is left to ask of one record.
#[derive(Debug, Clone, Copy)]
struct Rest {
    record: u32,
    payload_min: u16,
    payload_max: u16,
    tcp_mask: u8,
    tcp_value: u8,
    scopes: u8,
    /// Anchor, ICMP or reverse condition: ask the whole record.
    whole: bool,
}

/// Key of a list: every fact that is the same for most frames of a flow and direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Facts {
    /// The four classes.
    classes: u64,
    /// Transport, version, protocol (or 256 for none).
    kind: u32,
    /// Directions, states, and the protocol class (64: not known).
    pub changing: u32,
}

impl Facts {
    /// Of a frame.
    #[inline]
    pub fn of(f: &FrameFacts) -> Self {
        let (sa, da) = f.address_classes;
        let (sp, dp) = f.port_classes;
        let class = if f.classes == u64::MAX { 64 } else { f.classes.trailing_zeros() };
        Facts {
            classes: u64::from(sa) | u64::from(da) << 16 | u64::from(sp) << 32 | u64::from(dp) << 48,
            kind: u32::from(f.transport) | u32::from(f.version) << 8 | f.protocol.map_or(256, u32::from) << 16,
            changing: u32::from(f.directions) | u32::from(f.states) << 8 | class << 16,
        }
    }
}

/// Multiply and fold; the keys are few and made by the tables' author.
#[derive(Debug, Clone, Copy, Default)]
pub struct FactsHasher(u64);

impl Hasher for FactsHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(self.0 ^ value) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[derive(Debug)]
struct List {
    records: Box<[Rest]>,
    /// Guards with a record that these facts allow.
    wanted: u64,
    /// By record, two bits: asked, and allowed by these facts.
    allowed: Vec<u64>,
    /// By first entry of a fragment's list, two bits: asked, and some record of it is allowed.
    some: Vec<u64>,
}

/// Lists by facts.
#[derive(Debug, Default)]
pub struct HeaderCache {
    lists: Vec<List>,
    by_facts: HashMap<Facts, u32, BuildHasherDefault<FactsHasher>>,
    entries: usize,
    stamp: u32,
}

impl HeaderCache {
    /// Of another bank.
    pub fn clear(&mut self) {
        self.lists.clear();
        self.by_facts.clear();
        self.entries = 0;
        self.stamp = self.stamp.wrapping_add(1).max(1);
    }

    /// Changes whenever remembered lists become void; never 0 once a list was made.
    pub fn stamp(&self) -> u32 {
        self.stamp
    }

    /// The list for these facts.
    pub fn list(&mut self, tables: &Tables, facts: &Facts, frame: &FrameFacts) -> u32 {
        if let Some(list) = self.by_facts.get(facts) {
            return *list;
        }
        if self.stamp == 0 || self.lists.len() >= LISTS_MAX || self.entries >= ENTRIES_MAX {
            self.clear();
        }
        let records = tables.header.iter().filter_map(|id| tables.records.get(*id as usize).map(|r| (*id, r)));
        let list: Box<[Rest]> = records.filter(|(_, r)| lasting(r, frame, tables)).map(|(id, r)| rest(id, r)).collect();
        let wanted = tables.guards.iter().enumerate().fold(0u64, |set, (n, range)| {
            let mut records = tables.list(range.start, range.count).iter().filter_map(|id| tables.records.get(*id as usize));
            set | u64::from(records.any(|r| lasting(r, frame, tables))) << n
        });
        self.entries += list.len();
        let number = self.lists.len() as u32;
        self.lists.push(List { records: list, wanted, allowed: Vec::new(), some: Vec::new() });
        self.by_facts.insert(*facts, number);
        number
    }

    /// Guards that lead to a record these facts allow: the others cannot divert the frame.
    #[inline]
    pub fn wanted(&self, list: u32) -> u64 {
        self.lists.get(list as usize).map_or(u64::MAX, |list| list.wanted)
    }

    /// Some record of the fragments' lists that begin at `start` is allowed by the facts that have this list: most
    /// fragments that are found are those of other protocols, directions and ports.
    #[inline]
    pub fn some_allowed(&mut self, tables: &Tables, list: u32, start: u32, frame: &FrameFacts) -> bool {
        let Some(list) = self.lists.get_mut(list as usize) else { return true };
        let (word, shift) = (start as usize / 32, start % 32 * 2);
        if word >= list.some.len() {
            self.entries += tables.lists.len().div_ceil(32);
            list.some.resize(tables.lists.len().div_ceil(32), 0);
        }
        let Some(known) = list.some.get_mut(word) else { return true };
        if *known >> shift & 1 == 0 {
            let ids = tables.longest_list(start).iter();
            let mut records = ids.filter_map(|id| tables.records.get(*id as usize));
            *known |= (1 | u64::from(records.any(|record| lasting(record, frame, tables))) << 1) << shift;
        }
        *known >> shift & 2 != 0
    }

    /// The record holds for the frame whose facts have this list: the same as [`holds`], but what the facts decide is
    /// asked once for all frames that have them.
    #[inline]
    pub fn record_holds(&mut self, tables: &Tables, list: u32, id: u32, frame: &FrameFacts, hit: Option<Hit>) -> Option<u8> {
        let record = tables.records.get(id as usize)?;
        let Some(list) = self.lists.get_mut(list as usize) else {
            return holds(record, frame, hit, tables).then_some(record.scopes);
        };
        let (word, shift) = (id as usize / 32, id % 32 * 2);
        if word >= list.allowed.len() {
            self.entries += tables.records.len().div_ceil(32);
            list.allowed.resize(tables.records.len().div_ceil(32), 0);
        }
        let known = list.allowed.get_mut(word)?;
        if *known >> shift & 1 == 0 {
            *known |= (1 | u64::from(lasting(record, frame, tables)) << 1) << shift;
        }
        (*known >> shift & 2 != 0 && holds(record, frame, hit, tables)).then_some(record.scopes)
    }

    /// Records of a list that hold, in table order.
    #[inline]
    pub fn holding(&self, tables: &Tables, list: u32, frame: &FrameFacts, mut found: impl FnMut(u32, u8)) {
        let open = frame.scopes | weir_contract::enums::Scopes::ALWAYS.0;
        for r in self.lists.get(list as usize).map_or(&[][..], |list| &list.records) {
            let long = frame.payload_length >= u32::from(r.payload_min);
            let short = r.payload_max == u16::MAX || frame.payload_length <= u32::from(r.payload_max);
            if !long || !short || r.scopes & open == 0 {
                continue;
            }
            if r.tcp_mask != 0 && frame.tcp_flags.is_none_or(|f| f & r.tcp_mask != r.tcp_value) {
                continue;
            }
            if r.whole && !tables.records.get(r.record as usize).is_some_and(|w| holds(w, frame, None, tables)) {
                continue;
            }
            found(r.record, r.scopes);
        }
    }
}

/// The part of a record that [`Facts`] decide.
fn lasting(r: &Record, f: &FrameFacts, sets: &impl ClassSets) -> bool {
    let any_protocol = (r.protocol_min, r.protocol_max) == (0, 255);
    r.transports & f.transport != 0
        && r.versions & f.version != 0
        && r.directions & f.directions != 0
        && r.states & f.states != 0
        && r.class_mask & f.classes != 0
        && (any_protocol || f.protocol.is_some_and(|p| (r.protocol_min..=r.protocol_max).contains(&p)))
        && sets.port(r.source_ports, f.port_classes.0)
        && sets.port(r.destination_ports, f.port_classes.1)
        && sets.address(r.source_addresses, f.address_classes.0)
        && sets.address(r.destination_addresses, f.address_classes.1)
}

fn rest(id: u32, r: &Record) -> Rest {
    let icmp = (r.icmp_type_min, r.icmp_type_max, r.icmp_code_min, r.icmp_code_max) != (0, 255, 0, 255);
    let anchored = weir_contract::enums::RecordFlags::ANCHOR_PACKET.0 | weir_contract::enums::RecordFlags::ANCHOR_STREAM.0;
    Rest {
        record: id,
        payload_min: r.payload_min,
        payload_max: r.payload_max,
        tcp_mask: r.tcp_flags_mask,
        tcp_value: r.tcp_flags_value,
        scopes: r.scopes,
        whole: icmp || r.flags & anchored != 0 || r.reverse_max != u16::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Fragment, ImageBuilder};
    use weir_contract::enums::{IpMask, TransportMask};
    use weir_contract::hash::splitmix64;

    #[test]
    fn equals_the_definition() {
        let mut state = 8;
        let mut b = ImageBuilder::new(1);
        b.port_classes.iter_mut().enumerate().for_each(|(n, class)| *class = (n % 5) as u16);
        b.port_sets = vec![vec![0, 1], vec![2, 4]];
        for _ in 0..120 {
            let mut pick = |n: u64| splitmix64(&mut state) % n;
            let mut r = Record::ALWAYS;
            r.scopes = 1 << pick(5);
            r.transports = if pick(2) == 0 { 1 << pick(7) } else { 0x7f };
            r.versions = if pick(3) == 0 { 1 << pick(3) } else { 7 };
            r.directions = 1 + pick(3) as u8;
            r.states = 1 + pick(31) as u8;
            r.class_mask = if pick(2) == 0 { 1 << pick(8) } else { u64::MAX };
            r.source_ports = pick(3) as u16;
            r.destination_ports = pick(3) as u16;
            r.payload_min = pick(20) as u16;
            r.payload_max = if pick(2) == 0 { u16::MAX } else { r.payload_min + pick(9) as u16 };
            if pick(4) == 0 {
                r.reverse_max = pick(9) as u16;
            }
            if pick(4) == 0 {
                r.tcp_flags_mask = 0x12;
                r.tcp_flags_value = [0x02, 0x10, 0x12][pick(3) as usize];
            }
            if pick(6) == 0 {
                r.icmp_type_max = pick(9) as u8;
            }
            if pick(6) == 0 {
                r.protocol_min = pick(7) as u8;
                r.protocol_max = 17;
            }
            if pick(5) == 0 {
                r.flags = 4 << pick(2);
                r.anchor_mask[0] = 0xff;
                r.anchor_value[0] = pick(3) as u8;
            }
            b.header(r);
        }
        let tables = Tables::load(&b.build()).unwrap();
        let mut cache = HeaderCache::default();
        let mut held = 0;
        for _ in 0..4000 {
            let mut pick = |n: u64| splitmix64(&mut state) % n;
            let transport = 1u8 << pick(7);
            let tcp = transport == TransportMask::TCP.0;
            let frame = FrameFacts {
                transport,
                version: [IpMask::V4.0, IpMask::V6.0, IpMask::NONE.0][pick(3) as usize],
                directions: 1 + pick(3) as u8,
                states: 1 + pick(31) as u8,
                classes: if pick(3) == 0 { u64::MAX } else { 1 << pick(8) },
                protocol: [Some(6), Some(17), None][pick(3) as usize],
                tcp_flags: tcp.then_some(pick(256) as u8),
                icmp: (!tcp && pick(2) == 0).then_some((pick(12) as u8, 0)),
                payload_length: pick(30) as u32,
                packet_first: ([pick(3) as u8; 16], 16),
                stream_first: Some(([pick(3) as u8; 16], 1)),
                stream_start_lost: pick(2) == 0,
                stream_offset: None,
                reverse_bytes: (pick(3) != 0).then_some(pick(12) as u32),
                address_classes: (0, 0),
                port_classes: (pick(5) as u16, pick(5) as u16),
                scopes: pick(256) as u8,
            };
            let list = cache.list(&tables, &Facts::of(&frame), &frame);
            let mut found = Vec::new();
            cache.holding(&tables, list, &frame, |id, _| found.push(id));
            let expect: Vec<u32> =
                tables.header.iter().copied().filter(|id| holds(&tables.records[*id as usize], &frame, None, &tables)).collect();
            held += expect.len();
            assert_eq!(found, expect);
            for (id, record) in (0..).zip(&tables.records) {
                let hit = (id % 2 == 0).then_some(Hit { position: id as i32 });
                let expect = holds(record, &frame, hit, &tables).then_some(record.scopes);
                assert_eq!(cache.record_holds(&tables, list, id, &frame, hit), expect);
            }
        }
        assert!(held > 1000);
    }

    #[test]
    fn fragments_of_other_flows_are_told_by_their_lists() {
        let mut b = ImageBuilder::new(3);
        let mut state = 5;
        for n in 0..40u8 {
            let record = |b: &mut ImageBuilder, r: u64| {
                b.record(Record {
                    transports: TransportMask::TCP.0,
                    directions: 1 + (r % 2) as u8,
                    class_mask: 1 << (r % 6),
                    scopes: 1,
                    ..Record::ALWAYS
                })
            };
            let ids: Vec<u32> = (0..1 + n % 4).map(|_| record(&mut b, splitmix64(&mut state))).collect();
            b.fragment(Fragment { bytes: vec![b'a', n, n, n], case_mask: 0 }, &ids);
        }
        let tables = Tables::load(&b.build()).unwrap();
        let mut cache = HeaderCache::default();
        let (mut some, mut none) = (0, 0);
        for round in 0..24u64 {
            let frame = FrameFacts {
                transport: TransportMask::TCP.0,
                version: IpMask::V4.0,
                directions: 1 + (round % 2) as u8,
                states: 1,
                classes: 1 << (round / 2 % 6),
                protocol: Some(6),
                payload_length: 9,
                scopes: u8::MAX,
                tcp_flags: Some(16),
                icmp: None,
                packet_first: ([0; 16], 9),
                stream_first: None,
                stream_start_lost: false,
                stream_offset: None,
                reverse_bytes: None,
                address_classes: (0, 0),
                port_classes: (0, 0),
            };
            let list = cache.list(&tables, &Facts::of(&frame), &frame);
            for entry in tables.filter.tables().iter().flat_map(|t| &t.exact).filter(|e| e.list_count != 0) {
                let ids = tables.list(entry.list_start, entry.list_count.into());
                let hit = Some(Hit { position: 0 });
                let holds = ids.iter().any(|id| holds(&tables.records[*id as usize], &frame, hit, &tables));
                let allowed = cache.some_allowed(&tables, list, entry.list_start, &frame);
                assert_eq!(allowed, holds, "{entry:?}");
                some += u32::from(allowed);
                none += u32::from(!allowed);
            }
        }
        assert!(some > 100 && none > 100, "{some} {none}");
    }
}
