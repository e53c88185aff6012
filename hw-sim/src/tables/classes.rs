//! Classes and sets: longest-prefix address classes as disjoint ranges, and set × class bit matrices.

use weir_contract::layouts::{AddressPrefixV4, AddressPrefixV6};

/// Set × class. Out of range: member (fails toward the host).
#[derive(Debug, Clone, Default)]
pub struct Matrix {
    words: Vec<u64>,
    /// Words of a row.
    row: usize,
}

impl Matrix {
    /// From its words and its number of columns.
    pub fn new(words: Vec<u64>, columns: usize) -> Self {
        Matrix { words, row: columns.div_ceil(64) }
    }

    /// `class` belongs to `set`.
    #[inline]
    pub fn holds(&self, set: u16, class: u16) -> bool {
        let (set, class) = (usize::from(set), usize::from(class));
        class / 64 >= self.row || self.words.get(set * self.row + class / 64).is_none_or(|w| w >> (class % 64) & 1 != 0)
    }

    /// Row 0 holds every one of `columns` classes.
    pub fn first_row_full(&self, columns: usize) -> bool {
        (0..columns).all(|class| self.words.get(class / 64).is_some_and(|w| w >> (class % 64) & 1 != 0))
    }
}

/// Ranges that begin at a number and end before the next one's.
#[derive(Debug, Clone, Default)]
struct Ranges<T> {
    starts: Vec<T>,
    classes: Vec<u16>,
}

impl<T: Copy + Ord> Ranges<T> {
    fn push(&mut self, start: T, class: u16) {
        if self.starts.last() == Some(&start) {
            if let Some(last) = self.classes.last_mut() {
                *last = class;
            }
        } else if self.classes.last() != Some(&class) {
            self.starts.push(start);
            self.classes.push(class);
        }
    }

    fn find(&self, value: T, low: usize, high: usize) -> u16 {
        let window = self.starts.get(low..high).unwrap_or(&[]);
        let at = low + window.partition_point(|start| *start <= value);
        at.checked_sub(1).and_then(|at| self.classes.get(at)).copied().unwrap_or(0)
    }
}

/// Both versions. IPv4 has an index by the upper sixteen bits in front of the search.
#[derive(Debug, Clone)]
pub struct AddressClasses {
    v4: Ranges<u32>,
    v4_index: Vec<u32>,
    v6: Ranges<u128>,
}

/// One prefix as a number range.
#[derive(Clone, Copy)]
struct Span<T> {
    first: T,
    last: T,
    class: u16,
}

/// Prefixes either nest or are disjoint; sorted by (address, length), a parent comes before what it holds.
fn flatten<T: Copy + Ord>(spans: impl Iterator<Item = Span<T>>, zero: T, after: impl Fn(T) -> Option<T>) -> Ranges<T> {
    let mut ranges = Ranges { starts: Vec::new(), classes: Vec::new() };
    ranges.push(zero, 0);
    let mut open: Vec<Span<T>> = Vec::new();
    let close = |open: &mut Vec<Span<T>>, ranges: &mut Ranges<T>, before: Option<T>| {
        while let Some(top) = open.last() {
            if before.is_some_and(|before| top.last >= before) {
                return;
            }
            let next = after(top.last);
            open.pop();
            if let Some(next) = next {
                ranges.push(next, open.last().map_or(0, |parent| parent.class));
            }
        }
    };
    for span in spans {
        close(&mut open, &mut ranges, Some(span.first));
        ranges.push(span.first, span.class);
        open.push(span);
    }
    close(&mut open, &mut ranges, None);
    ranges
}

impl AddressClasses {
    /// IPv4: where each range begins, with its class, ascending; a range ends before the next one.
    pub fn ranges_v4(&self) -> impl Iterator<Item = (u32, u16)> + '_ {
        self.v4.starts.iter().copied().zip(self.v4.classes.iter().copied())
    }

    /// The same for IPv6.
    pub fn ranges_v6(&self) -> impl Iterator<Item = (u128, u16)> + '_ {
        self.v6.starts.iter().copied().zip(self.v6.classes.iter().copied())
    }

    /// From checked, sorted prefixes.
    pub fn new(v4: &[AddressPrefixV4], v6: &[AddressPrefixV6]) -> Self {
        let spans4 = v4.iter().map(|p| {
            let host = u32::MAX.checked_shr(u32::from(p.length)).unwrap_or(0);
            Span { first: p.address, last: p.address | host, class: p.class }
        });
        let spans6 = v6.iter().map(|p| {
            let host = u128::MAX.checked_shr(u32::from(p.length)).unwrap_or(0);
            let first = u128::from_be_bytes(p.address);
            Span { first, last: first | host, class: p.class }
        });
        let v4 = flatten(spans4, 0u32, |n| n.checked_add(1));
        let v6 = flatten(spans6, 0u128, |n| n.checked_add(1));
        // v4_index[h]: ranges that begin at or before the first address with upper half h.
        let v4_index =
            (0..=0xffffu32).map(|high| v4.starts.partition_point(|start| *start <= high << 16) as u32).collect();
        AddressClasses { v4, v4_index, v6 }
    }

    /// Ranges of IPv4 addresses: where each begins, and its class. The first begins at 0.
    pub fn v4_ranges(&self) -> impl Iterator<Item = (u32, u16)> {
        self.v4.starts.iter().copied().zip(self.v4.classes.iter().copied())
    }

    /// Ranges of IPv6 addresses, likewise.
    pub fn v6_ranges(&self) -> impl Iterator<Item = (u128, u16)> {
        self.v6.starts.iter().copied().zip(self.v6.classes.iter().copied())
    }

    /// Class of an IPv4 address.
    #[inline]
    pub fn v4(&self, address: u32) -> u16 {
        let high = (address >> 16) as usize;
        let low = self.v4_index.get(high).map_or(0, |n| (*n as usize).saturating_sub(1));
        let end = self.v4_index.get(high + 1).map_or(self.v4.starts.len(), |n| *n as usize);
        self.v4.find(address, low, end)
    }

    /// Class of an IPv6 address.
    #[inline]
    pub fn v6(&self, address: u128) -> u16 {
        self.v6.find(address, 0, self.v6.starts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(state: &mut u64) -> u64 {
        weir_contract::hash::splitmix64(state)
    }

    /// The obvious form: look at every prefix, keep the longest.
    fn linear4(prefixes: &[AddressPrefixV4], address: u32) -> u16 {
        let inside = |p: &&AddressPrefixV4| {
            let mask = !u32::MAX.checked_shr(u32::from(p.length)).unwrap_or(0);
            address & mask == p.address
        };
        prefixes.iter().filter(inside).max_by_key(|p| p.length).map_or(0, |p| p.class)
    }

    fn linear6(prefixes: &[AddressPrefixV6], address: u128) -> u16 {
        let inside = |p: &&AddressPrefixV6| {
            let mask = !u128::MAX.checked_shr(u32::from(p.length)).unwrap_or(0);
            address & mask == u128::from_be_bytes(p.address)
        };
        prefixes.iter().filter(inside).max_by_key(|p| p.length).map_or(0, |p| p.class)
    }

    #[test]
    fn longest_prefix_equals_linear_search() {
        let mut state = 1;
        for round in 0..60 {
            let mut v4 = Vec::new();
            let mut v6 = Vec::new();
            for _ in 0..random(&mut state) % 60 {
                let length = (random(&mut state) % 33) as u8;
                // Few distinct high bits, so that prefixes nest.
                let raw = (random(&mut state) as u32) & 0x0300_80ff | if round % 2 == 0 { 0xff00_0000 } else { 0 };
                let mask = !u32::MAX.checked_shr(length.into()).unwrap_or(0);
                v4.push(AddressPrefixV4 { address: raw & mask, length, class: random(&mut state) as u16 % 9, reserved: 0 });
                let length = (random(&mut state) % 129) as u8;
                let raw = u128::from(random(&mut state) & 0x8100_00ff) << 90 | u128::from(random(&mut state) & 3);
                let mask = !u128::MAX.checked_shr(length.into()).unwrap_or(0);
                let address = (raw & mask).to_be_bytes();
                v6.push(AddressPrefixV6 { address, length, class: random(&mut state) as u16 % 9, reserved: 0 });
            }
            v4.sort_by_key(|p| (p.address, p.length));
            v4.dedup_by_key(|p| (p.address, p.length));
            v6.sort_by_key(|p| (p.address, p.length));
            v6.dedup_by_key(|p| (p.address, p.length));
            let classes = AddressClasses::new(&v4, &v6);
            let near4: Vec<u32> = v4
                .iter()
                .flat_map(|p| {
                    let last = p.address | u32::MAX.checked_shr(p.length.into()).unwrap_or(0);
                    [p.address, p.address.wrapping_sub(1), last, last.wrapping_add(1)]
                })
                .collect();
            for address in near4.into_iter().chain((0..200).map(|_| random(&mut state) as u32)).chain([0, u32::MAX]) {
                assert_eq!(classes.v4(address), linear4(&v4, address), "{address:#x} {v4:?}");
            }
            for p in &v6 {
                let first = u128::from_be_bytes(p.address);
                let last = first | u128::MAX.checked_shr(p.length.into()).unwrap_or(0);
                for address in [first, first.wrapping_sub(1), last, last.wrapping_add(1), first ^ 1 << 91] {
                    assert_eq!(classes.v6(address), linear6(&v6, address));
                }
            }
        }
    }

    #[test]
    fn matrices_fail_toward_the_host() {
        let m = Matrix::new(vec![u64::MAX, 0b10], 3);
        assert!(m.holds(1, 1) && !m.holds(1, 0) && m.holds(9, 0) && m.holds(1, 64));
        assert!(m.first_row_full(3) && !Matrix::new(vec![0b11], 3).first_row_full(3));
    }
}
