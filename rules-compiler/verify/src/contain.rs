//! One image against another, without rules: does the second divert whatever the first does?
//!
//! It shows of a mutant that nobody notices that nothing was taken away: every record that a fragment, a guard or the
//! header table leads to has others in the mutant, led to in the same way, that hold whenever it does.

use crate::image::Bits;
use std::collections::{HashMap, HashSet};
use weir_contract::enums::RecordFlags;
use weir_contract::layouts::{GuardParameters, Record};

/// Pairs of classes that one value has in both images.
type Pairs = HashSet<(u16, u16)>;

struct Compared<'a> {
    before: &'a Bits,
    after: &'a Bits,
    ports: Pairs,
    addresses: Pairs,
    /// Row inclusion: ports or addresses, row before, row after.
    rows: HashMap<(bool, u16, u16), bool>,
}

fn merged(a: &[(u128, u16)], b: &[(u128, u16)], out: &mut Pairs) {
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        out.insert((x.1, y.1));
        match (a.get(i + 1), b.get(j + 1)) {
            (Some(p), Some(q)) => {
                i += usize::from(p.0 <= q.0);
                j += usize::from(q.0 <= p.0);
            }
            (Some(_), None) => i += 1,
            (None, Some(_)) => j += 1,
            (None, None) => return,
        }
    }
}

fn bit(rows: &[Vec<u64>], row: u16, class: u16) -> bool {
    let word = rows.get(usize::from(row)).and_then(|row| row.get(usize::from(class) / 64));
    row == weir_contract::constants::SET_ANY || word.is_some_and(|word| word >> (class % 64) & 1 != 0)
}

impl Compared<'_> {
    fn row(&mut self, of_ports: bool, before: u16, after: u16) -> bool {
        if let Some(known) = self.rows.get(&(of_ports, before, after)) {
            return *known;
        }
        let holds = if of_ports {
            self.ports
                .iter()
                .all(|(a, b)| !bit(&self.before.port_rows, before, *a) || bit(&self.after.port_rows, after, *b))
        } else {
            let rows = (&self.before.address_rows, &self.after.address_rows);
            self.addresses.iter().all(|(a, b)| !bit(rows.0, before, *a) || bit(rows.1, after, *b))
        };
        self.rows.insert((of_ports, before, after), holds);
        holds
    }

    /// `wide` holds whenever `narrow` does, but for class and scope.
    fn covers(&mut self, wide: &Record, narrow: &Record) -> bool {
        let subset = |inner: u8, outer: u8| inner & !outer == 0;
        let full_icmp =
            |r: &Record| (r.icmp_type_min, r.icmp_type_max, r.icmp_code_min, r.icmp_code_max) == (0, 255, 0, 255);
        let flags = |r: &Record, a: RecordFlags, b: RecordFlags| r.flags & (a.0 | b.0);
        let position = (RecordFlags::POSITION_PACKET, RecordFlags::POSITION_STREAM);
        let anchor = (RecordFlags::ANCHOR_PACKET, RecordFlags::ANCHOR_STREAM);
        let (wide_at, narrow_at) = (flags(wide, position.0, position.1), flags(narrow, position.0, position.1));
        let (wide_first, narrow_first) = (flags(wide, anchor.0, anchor.1), flags(narrow, anchor.0, anchor.1));
        wide.reserved1 == narrow.reserved1
            && subset(narrow.transports, wide.transports)
            && subset(narrow.versions, wide.versions)
            && subset(narrow.directions, wide.directions)
            && subset(narrow.states, wide.states)
            && subset(wide.tcp_flags_mask, narrow.tcp_flags_mask)
            && narrow.tcp_flags_value & wide.tcp_flags_mask == wide.tcp_flags_value
            && wide.payload_min <= narrow.payload_min
            && wide.payload_max >= narrow.payload_max
            && wide.reverse_max >= narrow.reverse_max
            && (full_icmp(wide)
                || !full_icmp(narrow)
                    && wide.icmp_type_min <= narrow.icmp_type_min
                    && wide.icmp_type_max >= narrow.icmp_type_max
                    && wide.icmp_code_min <= narrow.icmp_code_min
                    && wide.icmp_code_max >= narrow.icmp_code_max)
            && wide.protocol_min <= narrow.protocol_min
            && wide.protocol_max >= narrow.protocol_max
            && (wide_at == 0
                || narrow_at != 0
                    && subset(narrow_at, wide_at)
                    && wide.position_min <= narrow.position_min
                    && wide.position_max >= narrow.position_max)
            && (wide_first == 0
                || narrow_first != 0
                    && subset(narrow_first, wide_first)
                    && (0..16).all(|i| {
                        subset(wide.anchor_mask[i], narrow.anchor_mask[i])
                            && (wide.anchor_value[i] ^ narrow.anchor_value[i]) & wide.anchor_mask[i] == 0
                    }))
            && self.row(true, narrow.source_ports, wide.source_ports)
            && self.row(true, narrow.destination_ports, wide.destination_ports)
            && self.row(false, narrow.source_addresses, wide.source_addresses)
            && self.row(false, narrow.destination_addresses, wide.destination_addresses)
    }

    /// Each record of `before` has records among `after` that together catch its classes and scopes.
    fn list(&mut self, before: &[u32], after: &[u32]) -> bool {
        let (old, new) = (self.before, self.after);
        before.iter().filter_map(|id| old.records.get(*id as usize)).all(|narrow| {
            let mut caught = [0u64; 8];
            for wide in after.iter().filter_map(|id| new.records.get(*id as usize)) {
                if self.covers(wide, narrow) {
                    for (scope, classes) in caught.iter_mut().enumerate().filter(|(n, _)| wide.scopes >> n & 1 != 0) {
                        *classes |= if narrow.scopes >> scope & 1 != 0 { wide.class_mask } else { 0 };
                    }
                }
            }
            (0..8).filter(|n| narrow.scopes >> n & 1 != 0).all(|n| narrow.class_mask & !caught[n] == 0)
        })
    }
}

/// Every word of `before` is one of `after`, or holds one; and so with numbers.
fn words(before: &GuardParameters, after: &GuardParameters) -> bool {
    let loaded = |p: &GuardParameters| p.word_values.into_iter().zip(p.word_masks).filter(|(_, mask)| *mask != 0);
    let kept = |(value, mask): (u32, u32)| loaded(after).any(|(v, m)| m & !mask == 0 && (v ^ value) & m == 0);
    let numbers = before.number_low >= before.number_end
        || after.number_low <= before.number_low && before.number_end <= after.number_end;
    loaded(before).all(kept) && numbers
}

/// Whatever the image `before` diverts, the image `after` does in the same scopes.
pub fn wider(before: &Bits, after: &Bits) -> bool {
    let ports = before.port_classes.iter().copied().zip(after.port_classes.iter().copied()).collect();
    let mut addresses = Pairs::new();
    merged(&before.v4, &after.v4, &mut addresses);
    merged(&before.v6, &after.v6, &mut addresses);
    let mut c = Compared { before, after, ports, addresses, rows: HashMap::new() };
    let sets = |bits: &Bits| [bits.parameters.percent_set, bits.parameters.uri_percent_set, bits.parameters.equals_set];
    let escapes = sets(before).iter().flatten().zip(sets(after).iter().flatten()).all(|(b, a)| b & !a == 0);
    let with_header = |ids: Vec<u32>| [ids.as_slice(), &after.header].concat();
    escapes
        && words(&before.parameters, &after.parameters)
        && c.list(&before.header, &after.header)
        && (0..64).all(|guard| c.list(before.guard(guard), &with_header(after.guard(guard).to_vec())))
        && before.all_entries().all(|(length, folded, entry)| {
            let same = after.entries(length, folded).iter().filter(|e| {
                (0..8).all(|i| {
                    let asked = e.case_mask >> i & 1 != 0;
                    !asked || entry.case_mask >> i & 1 != 0 && (e.value ^ entry.value) >> (8 * i) & 0xff == 0
                })
            });
            let ids = same.flat_map(|e| after.list(e.start, e.count)).copied().collect();
            c.list(before.list(entry.start, entry.count), &with_header(ids))
        })
}
