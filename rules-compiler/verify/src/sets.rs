//! Ports and addresses: which rows of the image's matrices hold all of a rule's list.

use crate::image::Bits;
use std::collections::HashMap;
use weir_ir::{AddressSet, PortSet};

/// Number of a list of ports or addresses that rules ask for; 0 is `any`.
pub type ListId = u32;

/// Lists that rules ask for, and for each the rows that hold it.
#[derive(Debug, Default)]
pub struct Lists {
    ports: HashMap<PortSet, ListId>,
    addresses: HashMap<(Vec<(u128, u128)>, Vec<(u128, u128)>), ListId>,
    port_rows: Vec<Vec<bool>>,
    address_rows: Vec<Vec<bool>>,
}

/// Rows that have every bit of `wanted`.
fn rows_with(rows: &[Vec<u64>], wanted: &[u64]) -> Vec<bool> {
    rows.iter().map(|row| wanted.iter().enumerate().all(|(n, w)| w & !row.get(n).copied().unwrap_or(0) == 0)).collect()
}

fn mark(bits: &mut Vec<u64>, class: u16) {
    let word = usize::from(class) / 64;
    if word >= bits.len() {
        bits.resize(word + 1, 0);
    }
    if let Some(word) = bits.get_mut(word) {
        *word |= 1 << (class % 64);
    }
}

fn classes(ranges: &[(u128, u16)], wanted: &[(u128, u128)], out: &mut Vec<u64>) {
    for &(low, high) in wanted {
        let first = ranges.partition_point(|(from, _)| *from <= low).saturating_sub(1);
        for &(from, class) in ranges.get(first..).unwrap_or(&[]) {
            if from > high {
                break;
            }
            mark(out, class);
        }
    }
}

impl Lists {
    /// Number of a list of ports.
    pub fn ports(&mut self, bits: &Bits, set: &PortSet) -> ListId {
        if let Some(id) = self.ports.get(set) {
            return *id;
        }
        let mut wanted = Vec::new();
        for &(low, high) in &set.ranges {
            for class in bits.port_classes.get(usize::from(low)..=usize::from(high)).unwrap_or(&[]) {
                mark(&mut wanted, *class);
            }
        }
        self.port_rows.push(rows_with(&bits.port_rows, &wanted));
        let id = (self.port_rows.len() - 1) as ListId;
        self.ports.insert(set.clone(), id);
        id
    }

    /// Number of a list of addresses.
    pub fn addresses(&mut self, bits: &Bits, set: &AddressSet) -> ListId {
        let v4: Vec<_> = set.v4.iter().map(|&(a, b)| (u128::from(u32::from(a)), u128::from(u32::from(b)))).collect();
        let v6: Vec<_> = set.v6.iter().map(|&(a, b)| (u128::from(a), u128::from(b))).collect();
        let key = (v4, v6);
        if let Some(id) = self.addresses.get(&key) {
            return *id;
        }
        let mut wanted = Vec::new();
        classes(&bits.v4, &key.0, &mut wanted);
        classes(&bits.v6, &key.1, &mut wanted);
        self.address_rows.push(rows_with(&bits.address_rows, &wanted));
        let id = (self.address_rows.len() - 1) as ListId;
        self.addresses.insert(key, id);
        id
    }

    /// Row `set` of the image holds all of list `id`.
    pub fn port_row_holds(&self, id: ListId, set: u16) -> bool {
        set == weir_contract::constants::SET_ANY
            || self.port_rows.get(id as usize).and_then(|rows| rows.get(usize::from(set))).copied().unwrap_or(false)
    }

    /// The same of addresses.
    pub fn address_row_holds(&self, id: ListId, set: u16) -> bool {
        set == weir_contract::constants::SET_ANY
            || self.address_rows.get(id as usize).and_then(|rows| rows.get(usize::from(set))).copied().unwrap_or(false)
    }
}
