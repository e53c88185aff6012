//! Equivalence classes of ports and addresses: values that no set tells apart share a class.
//!
//! A device looks a port or address up once per frame and asks a bit matrix (set × class) for every record. Classes
//! come from one sweep over the ends of all intervals; the cost is the number of intervals, not sets × intervals.

use std::collections::HashMap;
use weir_contract::layouts::{AddressPrefixV4, AddressPrefixV6};
use weir_ir::{AddressSet, PortSet};

/// Set × class bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matrix {
    /// Rows.
    pub sets: u32,
    /// Columns.
    pub classes: u32,
    /// Rows of `ceil(classes / 64)` words.
    pub words: Vec<u64>,
}

/// Classes of ports.
#[derive(Debug, Clone)]
pub struct PortClasses {
    /// Class of each port.
    pub classes: Vec<u16>,
    /// Sets × classes.
    pub matrix: Matrix,
}

/// Classes of addresses.
#[derive(Debug, Clone)]
pub struct AddressClasses {
    /// Sorted by address, then length.
    pub v4: Vec<AddressPrefixV4>,
    /// Sorted by address, then length.
    pub v6: Vec<AddressPrefixV6>,
    /// Sets × classes.
    pub matrix: Matrix,
}

/// More classes than a class number can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyClasses;

/// Class numbers by signature (the sets a class belongs to, ascending).
#[derive(Default)]
struct Signatures {
    ids: HashMap<Vec<u16>, u16>,
    list: Vec<Vec<u16>>,
}

impl Signatures {
    fn id(&mut self, signature: &[u16]) -> Result<u16, TooManyClasses> {
        if let Some(&id) = self.ids.get(signature) {
            return Ok(id);
        }
        let id = u16::try_from(self.list.len()).ok().filter(|&n| n < u16::MAX).ok_or(TooManyClasses)?;
        self.ids.insert(signature.to_vec(), id);
        self.list.push(signature.to_vec());
        Ok(id)
    }

    /// `everything`: rows that hold every class (SET_ANY).
    fn matrix(&self, sets: usize) -> Matrix {
        let classes = self.list.len().max(1);
        let words = classes.div_ceil(64);
        let mut out = vec![0u64; words * sets];
        for (class, signature) in self.list.iter().enumerate() {
            for &set in std::iter::once(&0u16).chain(signature) {
                if let Some(word) = out.get_mut(usize::from(set) * words + class / 64) {
                    *word |= 1 << (class % 64);
                }
            }
        }
        // Row 0 is all ones, also in the unused columns.
        for word in out.iter_mut().take(words) {
            *word = u64::MAX;
        }
        Matrix { sets: sets as u32, classes: classes as u32, words: out }
    }
}

/// One maximal interval of values with the same sets.
struct Segment {
    low: u128,
    high: u128,
    class: u16,
}

/// Sweep: `intervals` are (low, high, set); the result covers 0 to `max` without holes.
fn sweep(intervals: &[(u128, u128, u16)], max: u128, signatures: &mut Signatures) -> Result<Vec<Segment>, TooManyClasses> {
    // (position, false = ends before position / true = begins at position, set)
    let mut edges: Vec<(u128, bool, u16)> = Vec::with_capacity(intervals.len() * 2);
    for &(low, high, set) in intervals {
        edges.push((low, true, set));
        if high < max {
            edges.push((high + 1, false, set));
        }
    }
    edges.sort_unstable();
    let mut active: Vec<u16> = Vec::new();
    let mut out = Vec::new();
    let mut at = 0u128;
    let mut next = 0;
    loop {
        while let Some(&(position, begins, set)) = edges.get(next) {
            if position > at {
                break;
            }
            match active.binary_search(&set) {
                Ok(i) if !begins => {
                    active.remove(i);
                }
                Err(i) if begins => active.insert(i, set),
                _ => {}
            }
            next += 1;
        }
        let class = signatures.id(&active)?;
        let end = edges.get(next).map(|e| e.0);
        let high = end.map_or(max, |e| e - 1);
        match out.last_mut() {
            Some(Segment { high: last, class: same, .. }) if *same == class => *last = high,
            _ => out.push(Segment { low: at, high, class }),
        }
        match end {
            Some(e) => at = e,
            None => return Ok(out),
        }
    }
}

/// Classes of all ports under `sets` (row 0 is SET_ANY).
pub fn ports(sets: &[PortSet]) -> Result<PortClasses, TooManyClasses> {
    let intervals: Vec<(u128, u128, u16)> = sets
        .iter()
        .enumerate()
        .skip(1)
        .flat_map(|(id, set)| set.ranges.iter().map(move |&(a, b)| (u128::from(a), u128::from(b), id as u16)))
        .collect();
    let mut signatures = Signatures::default();
    let segments = sweep(&intervals, u128::from(u16::MAX), &mut signatures)?;
    let mut classes = vec![0u16; 65536];
    for s in segments {
        for class in classes.iter_mut().take(s.high as usize + 1).skip(s.low as usize) {
            *class = s.class;
        }
    }
    Ok(PortClasses { classes, matrix: signatures.matrix(sets.len()) })
}

/// Classes of all addresses under `sets` (row 0 is SET_ANY). Class 0 is that of the largest IPv4 segment class, so
/// that "no prefix" is the common case.
pub fn addresses(sets: &[AddressSet]) -> Result<AddressClasses, TooManyClasses> {
    let mut v4 = Vec::new();
    let mut v6 = Vec::new();
    for (id, set) in sets.iter().enumerate().skip(1) {
        let id = id as u16;
        v4.extend(set.v4.iter().map(|&(a, b)| (u128::from(u32::from(a)), u128::from(u32::from(b)), id)));
        v6.extend(set.v6.iter().map(|&(a, b)| (u128::from(a), u128::from(b), id)));
    }
    let mut signatures = Signatures::default();
    // The commonest signature of IPv4 gets number 0: a first sweep finds it.
    let mut scratch = Signatures::default();
    let segments = sweep(&v4, u128::from(u32::MAX), &mut scratch)?;
    let mut spans = vec![0u128; scratch.list.len()];
    for s in &segments {
        if let Some(span) = spans.get_mut(usize::from(s.class)) {
            *span += s.high - s.low + 1;
        }
    }
    if let Some(common) = (0..spans.len()).max_by_key(|&i| (spans.get(i).copied(), std::cmp::Reverse(i))) {
        signatures.id(scratch.list.get(common).map_or(&[][..], Vec::as_slice))?;
    }
    let mut out4 = Vec::new();
    for s in sweep(&v4, u128::from(u32::MAX), &mut signatures)?.iter().filter(|s| s.class != 0) {
        prefixes(s, 32, |address, length, class| {
            out4.push(AddressPrefixV4 { address: address as u32, length, reserved: 0, class });
        });
    }
    let mut out6 = Vec::new();
    for s in sweep(&v6, u128::MAX, &mut signatures)?.iter().filter(|s| s.class != 0) {
        prefixes(s, 128, |address, length, class| {
            out6.push(AddressPrefixV6 { address: address.to_be_bytes(), length, reserved: 0, class });
        });
    }
    Ok(AddressClasses { v4: out4, v6: out6, matrix: signatures.matrix(sets.len()) })
}

/// Cut a segment into prefixes of addresses with `bits` bits.
fn prefixes(segment: &Segment, bits: u32, mut emit: impl FnMut(u128, u8, u16)) {
    let mut low = segment.low;
    loop {
        let aligned = if low == 0 { bits } else { low.trailing_zeros().min(bits) };
        // Largest block that begins here and does not reach beyond the end.
        let mut size = aligned;
        while size > 0 && block_end(low, size) > segment.high {
            size -= 1;
        }
        emit(low, (bits - size) as u8, segment.class);
        let end = block_end(low, size);
        if end >= segment.high {
            return;
        }
        low = end + 1;
    }
}

fn block_end(low: u128, size: u32) -> u128 {
    if size >= 128 { u128::MAX } else { low + ((1u128 << size) - 1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn bit(m: &Matrix, set: usize, class: u16) -> bool {
        let words = (m.classes as usize).div_ceil(64);
        m.words[set * words + usize::from(class) / 64] >> (class % 64) & 1 == 1
    }

    #[test]
    fn ports_are_told_apart() {
        let sets =
            vec![PortSet::any(), PortSet::from_ranges(vec![(80, 90)]), PortSet::from_ranges(vec![(85, 100), (443, 443)]), PortSet::from_ranges(vec![(80, 80)]).complement()];
        let c = ports(&sets).unwrap();
        for port in 0..=u16::MAX {
            for (id, set) in sets.iter().enumerate() {
                assert_eq!(bit(&c.matrix, id, c.classes[usize::from(port)]), set.contains(port), "{port} {id}");
            }
        }
    }

    #[test]
    fn addresses_are_told_apart() {
        let ip = |s: &str| s.parse::<Ipv4Addr>().unwrap();
        let home = AddressSet::from_intervals(vec![(ip("10.0.0.0"), ip("10.255.255.255")), (ip("192.168.0.0"), ip("192.168.255.255"))], vec![]);
        let list = AddressSet::from_intervals(vec![(ip("1.2.3.4"), ip("1.2.3.9")), (ip("10.1.1.1"), ip("10.1.1.1")), (ip("255.255.255.255"), ip("255.255.255.255"))], vec![]);
        let sets = vec![AddressSet::any(), home.clone(), home.complement(), list];
        let c = addresses(&sets).unwrap();
        let class = |a: Ipv4Addr| {
            let a = u32::from(a);
            c.v4.iter()
                .filter(|p| p.length == 0 || (a ^ p.address) >> (32 - u32::from(p.length)) == 0)
                .max_by_key(|p| p.length)
                .map_or(0, |p| p.class)
        };
        for a in ["0.0.0.0", "1.2.3.3", "1.2.3.4", "1.2.3.9", "1.2.3.10", "10.0.0.0", "10.1.1.1", "10.1.1.2", "192.168.3.3", "255.255.255.255", "255.255.255.254", "11.0.0.0"] {
            for (id, set) in sets.iter().enumerate() {
                assert_eq!(bit(&c.matrix, id, class(ip(a))), set.contains(ip(a).into()), "{a} {id}");
            }
        }
        assert!(c.v6.iter().all(|p| p.class != 0));
    }
}
