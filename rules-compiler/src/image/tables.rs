//! From conditions to records, lists, header table and guard table.
//!
//! Equal records are stored once. A record is left out of a list where another of the same list holds whenever it
//! does, and out of fragment and guard lists where a record of the header table does: the frame is diverted anyway, in
//! the same scopes. Guards that the contract marks `always` lead to a record that always holds, whatever the rules are.

use crate::plan::base::deciding;
use crate::plan::{Condition, Fragment, Plan, Trigger};
use std::collections::{BTreeMap, HashMap};
use weir_contract::constants::{GUARDS_MAX, SET_ANY};
use weir_contract::enums::{RecordFlags, Scopes};
use weir_contract::guards::Guard;
use weir_contract::layouts::{ListRange, Record};
use weir_contract::protocol::CLASS_UNKNOWN;

/// The logical content of the tables.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// By id.
    pub records: Vec<Record>,
    /// Fragments with their list of record ids.
    pub fragments: BTreeMap<Fragment, Vec<u32>>,
    /// Records of each guard.
    pub guards: Vec<Vec<u32>>,
    /// Records judged at every frame.
    pub header: Vec<u32>,
    /// Rule indices of each record (the first few), for explanation.
    pub owners: Vec<Vec<u32>>,
}

/// Most rules named for a record.
const OWNERS_MAX: usize = 16;

/// `wide` holds whenever `narrow` does, and in no fewer scopes.
pub fn covers(wide: &Record, narrow: &Record) -> bool {
    let set = |w: u16, n: u16| w == SET_ANY || w == n;
    let bits = |w: u64, n: u64| n & !w == 0;
    let flags = |mask: u8| wide.flags & mask;
    let positions = RecordFlags::POSITION_PACKET.0 | RecordFlags::POSITION_STREAM.0;
    let anchors = RecordFlags::ANCHOR_PACKET.0 | RecordFlags::ANCHOR_STREAM.0;
    bits(wide.class_mask, narrow.class_mask)
        && bits(wide.scopes.into(), narrow.scopes.into())
        && bits(wide.transports.into(), narrow.transports.into())
        && bits(wide.versions.into(), narrow.versions.into())
        && bits(wide.directions.into(), narrow.directions.into())
        && bits(wide.states.into(), narrow.states.into())
        && (wide.tcp_flags_mask & !narrow.tcp_flags_mask == 0
            && narrow.tcp_flags_value & wide.tcp_flags_mask == wide.tcp_flags_value)
        && set(wide.source_ports, narrow.source_ports)
        && set(wide.destination_ports, narrow.destination_ports)
        && set(wide.source_addresses, narrow.source_addresses)
        && set(wide.destination_addresses, narrow.destination_addresses)
        && wide.reverse_max >= narrow.reverse_max
        && wide.payload_min <= narrow.payload_min
        && wide.payload_max >= narrow.payload_max
        && wide.reverse_max >= narrow.reverse_max
        && wide.icmp_type_min <= narrow.icmp_type_min
        && wide.icmp_type_max >= narrow.icmp_type_max
        && wide.icmp_code_min <= narrow.icmp_code_min
        && wide.icmp_code_max >= narrow.icmp_code_max
        && wide.protocol_min <= narrow.protocol_min
        && wide.protocol_max >= narrow.protocol_max
        && (flags(positions) == 0
            || (narrow.flags & positions != 0
                && narrow.flags & positions & !flags(positions) == 0
                && wide.position_min <= narrow.position_min
                && wide.position_max >= narrow.position_max))
        && (flags(anchors) == 0
            || (narrow.flags & anchors != 0
                && narrow.flags & anchors & !flags(anchors) == 0
                && wide.anchor_mask.iter().zip(&narrow.anchor_mask).all(|(w, n)| w & !n == 0)
                && wide
                    .anchor_mask
                    .iter()
                    .zip(wide.anchor_value.iter().zip(&narrow.anchor_value))
                    .all(|(m, (w, n))| (w ^ n) & m == 0)))
}

/// Header-table records by their four set ids, for the question "does one of them cover this record?".
struct Header {
    by_sets: HashMap<[u16; 4], Vec<Record>>,
}

fn set_ids(r: &Record) -> [u16; 4] {
    [r.source_ports, r.destination_ports, r.source_addresses, r.destination_addresses]
}

impl Header {
    fn new<'a>(records: impl Iterator<Item = &'a Record>) -> Self {
        let mut by_sets: HashMap<[u16; 4], Vec<Record>> = HashMap::new();
        for r in records {
            by_sets.entry(set_ids(r)).or_default().push(*r);
        }
        let mut out = Header { by_sets };
        // Where the frame that decides is caught whichever end sends it, a stream that is undecided yet needs no record.
        let all: Vec<Record> = out.by_sets.values().flatten().copied().collect();
        for record in all {
            let caught = deciding(&record).is_some_and(|both| both.iter().all(|deciding| out.covers(deciding)));
            if caught {
                let undecided = Record { class_mask: record.class_mask | 1 << CLASS_UNKNOWN, ..record };
                out.by_sets.entry(set_ids(&record)).or_default().push(undecided);
            }
        }
        out
    }

    fn covers(&self, narrow: &Record) -> bool {
        let ids = set_ids(narrow);
        (0..16u8).any(|mask| {
            let mut key = ids;
            for (i, slot) in key.iter_mut().enumerate() {
                if mask >> i & 1 == 1 {
                    if *slot == SET_ANY {
                        return false;
                    }
                    *slot = SET_ANY;
                }
            }
            self.by_sets.get(&key).is_some_and(|list| list.iter().any(|w| covers(w, narrow)))
        })
    }
}

/// Keep only records that no other of the list covers; the order is that of first appearance.
fn minimal(list: Vec<(Record, u32)>) -> Vec<(Record, u32)> {
    let mut out: Vec<(Record, u32)> = Vec::with_capacity(list.len());
    for (record, owner) in list {
        if out.iter().any(|(w, _)| covers(w, &record)) {
            continue;
        }
        out.retain(|(n, _)| !covers(&record, n));
        out.push((record, owner));
    }
    out
}

/// Lists longer than this are not searched for covered records pair by pair beyond duplicates.
const PAIRWISE_MAX: usize = 4096;

impl Tables {
    /// Build from a plan. `shown` gives the number written into a record's `group` (the rule's sid).
    pub fn new(plan: &Plan) -> Self {
        let mut frames: Vec<(Record, u32)> = Vec::new();
        let mut fragments: BTreeMap<Fragment, Vec<(Record, u32)>> = BTreeMap::new();
        let mut guards: Vec<Vec<(Record, u32)>> = vec![Vec::new(); GUARDS_MAX];
        let of_rules = plan.rules.iter().flat_map(|r| r.conditions.iter().map(move |c| (c, r.rule as u32)));
        let common = plan.common.iter().map(|c| (c, u32::MAX));
        for (Condition { trigger, record }, owner) in of_rules.chain(common) {
            match trigger {
                Trigger::Frame => frames.push((*record, owner)),
                Trigger::Fragment(f) => fragments.entry(*f).or_default().push((*record, owner)),
                Trigger::Guard(g) => {
                    if let Some(list) = guards.get_mut(usize::from(*g)) {
                        list.push((*record, owner));
                    }
                }
            }
        }
        let mut out = Tables::default();
        let mut ids: HashMap<Record, u32> = HashMap::new();
        let frames = reduce(frames, None);
        let header = Header::new(frames.iter().map(|(r, _)| r));
        out.header = out.intern(&mut ids, frames);
        out.guards = Vec::with_capacity(GUARDS_MAX);
        for (number, list) in guards.into_iter().enumerate() {
            let guard = Guard::from_raw(number as u8);
            let own = match guard {
                Some(Guard::SequenceGap) => Some(Record::WHILE_UNDECIDED),
                Some(guard) if guard.always() && guard.rests_once_encrypted() => Some(Record::UNLESS_ENCRYPTED),
                Some(guard) if guard.always() => Some(Record::ALWAYS),
                _ => None,
            };
            let list = match own {
                Some(Record::ALWAYS) => vec![(Record::ALWAYS, u32::MAX)],
                // Beside it stay the rules that look at the flow for longer (events of streams).
                Some(own) => minimal(std::iter::once((own, u32::MAX)).chain(reduce(list, Some(&header))).collect()),
                None => reduce(list, Some(&header)),
            };
            let list = out.intern(&mut ids, list);
            out.guards.push(list);
        }
        for (fragment, list) in fragments {
            let list = reduce(list, Some(&header));
            if !list.is_empty() {
                let list = out.intern(&mut ids, list);
                out.fragments.insert(fragment, list);
            }
        }
        out
    }

    fn intern(&mut self, ids: &mut HashMap<Record, u32>, list: Vec<(Record, u32)>) -> Vec<u32> {
        list.into_iter()
            .map(|(record, owner)| {
                let id = *ids.entry(record).or_insert_with(|| {
                    self.records.push(record);
                    self.owners.push(Vec::new());
                    (self.records.len() - 1) as u32
                });
                if let Some(owners) = self.owners.get_mut(id as usize) {
                    if owner != u32::MAX && owners.len() < OWNERS_MAX && !owners.contains(&owner) {
                        owners.push(owner);
                    }
                }
                id
            })
            .collect()
    }
}

fn reduce(list: Vec<(Record, u32)>, header: Option<&Header>) -> Vec<(Record, u32)> {
    let mut seen = std::collections::HashSet::with_capacity(list.len());
    let mut list: Vec<(Record, u32)> = list.into_iter().filter(|(r, _)| r.scopes != 0 && seen.insert(*r)).collect();
    if let Some(header) = header {
        list.retain(|(r, _)| !header.covers(r));
    }
    if list.len() <= PAIRWISE_MAX { minimal(list) } else { list }
}

/// Store lists behind one another; equal lists, and lists that are the end of another, share.
pub fn share<'a>(lists: impl Iterator<Item = &'a [u32]>) -> (Vec<u32>, HashMap<&'a [u32], ListRange>) {
    let mut unique: Vec<&[u32]> = lists.filter(|l| !l.is_empty()).collect();
    unique.sort_unstable_by(|a, b| a.iter().rev().cmp(b.iter().rev()));
    unique.dedup();
    let mut store = Vec::new();
    let mut ranges = HashMap::with_capacity(unique.len());
    // In this order every list stands directly before those it is the end of.
    let mut last: Option<(&[u32], ListRange)> = None;
    for list in unique.into_iter().rev() {
        let range = match last {
            Some((longer, range)) if longer.ends_with(list) => {
                ListRange { start: range.start + range.count - list.len() as u32, count: list.len() as u32 }
            }
            _ => {
                let start = store.len() as u32;
                store.extend_from_slice(list);
                ListRange { start, count: list.len() as u32 }
            }
        };
        ranges.insert(list, range);
        last = Some((list, range));
    }
    (store, ranges)
}

/// Scopes of a record, by name.
pub fn scope_names(scopes: u8) -> Vec<&'static str> {
    Scopes::NAMES.iter().filter(|(bit, _)| scopes & bit != 0).map(|&(_, name)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_share_their_ends() {
        let lists: Vec<Vec<u32>> = vec![vec![1, 2, 3], vec![2, 3], vec![3], vec![4, 3], vec![1, 2, 3], vec![9]];
        let (store, ranges) = share(lists.iter().map(Vec::as_slice));
        assert!(store.len() <= 6, "{store:?}");
        for list in &lists {
            let r = ranges[list.as_slice()];
            assert_eq!(&store[r.start as usize..(r.start + r.count) as usize], list.as_slice());
        }
    }

    #[test]
    fn covering_is_what_it_says() {
        let wide = Record { scopes: Scopes::PACKET.0 | Scopes::APP.0, ..Record::ALWAYS };
        let narrow = Record { scopes: Scopes::APP.0, payload_min: 4, source_ports: 3, ..Record::ALWAYS };
        assert!(covers(&wide, &narrow) && !covers(&narrow, &wide));
        assert!(covers(&wide, &wide));
        let begun = Record { reverse_max: 4, ..wide };
        assert!(covers(&wide, &begun) && !covers(&begun, &wide) && !covers(&begun, &narrow));
        let anchored = Record {
            flags: RecordFlags::ANCHOR_PACKET.0,
            anchor_mask: [0xff; 16],
            scopes: Scopes::APP.0,
            ..Record::ALWAYS
        };
        assert!(covers(&wide, &anchored) && !covers(&anchored, &narrow));
        let bounded = Record { reverse_max: 4, ..wide };
        assert!(covers(&wide, &bounded) && !covers(&bounded, &wide));
    }
}
