//! Index of the rules that have no fast pattern: found by header once for a flow and direction.
//!
//! Rules with large address lists are reached through one look-up in an interval map; the others are grouped by
//! header, so that each distinct header is tested once.

use super::header::{Class, HeaderCache, HeaderIndex, HeaderTable, Tuple};
use super::rule::RuleIndex;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use weir_ir::{AddressSet, Header};

/// Sets of more addresses than this are tested, not indexed.
const LARGE: u64 = 1 << 28;

/// Rules by header for one class of packets.
#[derive(Debug, Default)]
struct ClassIndex {
    generic: Vec<(HeaderIndex, Vec<RuleIndex>)>,
    source: IntervalMap,
    destination: IntervalMap,
}

/// The index.
#[derive(Debug, Default)]
pub struct HeaderRules {
    classes: [ClassIndex; Class::COUNT],
}

fn is_small(set: &AddressSet) -> bool {
    let v4: u64 = set.v4.iter().map(|&(a, b)| u64::from(u32::from(b)) - u64::from(u32::from(a)) + 1).sum();
    // An interval of IPv6 addresses is taken as large when it is wider than a /16.
    let v6 = set.v6.iter().all(|&(a, b)| u128::from(b) - u128::from(a) < 1 << 112);
    v4 <= LARGE && v6 && !set.is_any()
}

impl HeaderRules {
    /// Build from (rule, header index, header), in rule order.
    pub fn build<'r>(rules: impl Iterator<Item = (RuleIndex, HeaderIndex, &'r Header)>) -> HeaderRules {
        let mut by_header: BTreeMap<HeaderIndex, (Vec<RuleIndex>, &'r Header)> = BTreeMap::new();
        for (rule, index, header) in rules {
            by_header.entry(index).or_insert_with(|| (vec![], header)).0.push(rule);
        }
        let mut index = HeaderRules::default();
        for class in Class::ALL {
            let target = &mut index.classes[class as usize];
            let (mut source, mut destination) = (MapBuilder::default(), MapBuilder::default());
            for (&header_index, (rules, header)) in &by_header {
                if !class.serves(header.protocol) {
                    continue;
                }
                let value = (header_index, rules.clone());
                if header.bidirectional {
                    target.generic.push(value);
                } else if is_small(&header.source) {
                    source.add(&header.source, value);
                } else if is_small(&header.destination) {
                    destination.add(&header.destination, value);
                } else {
                    target.generic.push(value);
                }
            }
            target.source = source.build();
            target.destination = destination.build();
        }
        index
    }

    /// Add the rules whose header holds for `tuple` to `out`.
    pub fn collect(&self, table: &HeaderTable, cache: &mut HeaderCache, tuple: &Tuple, out: &mut Vec<RuleIndex>) {
        let Some(class) = self.classes.get(tuple.class as usize) else { return };
        let mut add = |(header, rules): &(HeaderIndex, Vec<RuleIndex>)| {
            if cache.holds(table, *header, tuple) {
                out.extend_from_slice(rules);
            }
        };
        class.generic.iter().for_each(&mut add);
        if let Some((source, destination)) = tuple.addresses {
            class.source.at(source).for_each(&mut add);
            class.destination.at(destination).for_each(&mut add);
        }
    }
}

type Value = (HeaderIndex, Vec<RuleIndex>);

/// From addresses to the values of the sets that hold them.
#[derive(Debug, Default)]
struct IntervalMap {
    values: Vec<Value>,
    v4: Layer<u32>,
    v6: Layer<u128>,
}

/// Elementary intervals: each starts at `starts[i]` and carries `items[ranges[i]]`.
#[derive(Debug)]
struct Layer<T> {
    starts: Vec<T>,
    ranges: Vec<(u32, u32)>,
    items: Vec<u32>,
}

impl<T> Default for Layer<T> {
    fn default() -> Self {
        Layer { starts: vec![], ranges: vec![], items: vec![] }
    }
}

#[derive(Debug, Default)]
struct MapBuilder {
    values: Vec<Value>,
    v4: Vec<(u128, u128, u32)>,
    v6: Vec<(u128, u128, u32)>,
}

impl MapBuilder {
    fn add(&mut self, set: &AddressSet, value: Value) {
        let id = self.values.len() as u32;
        self.values.push(value);
        self.v4.extend(set.v4.iter().map(|&(a, b)| (u128::from(u32::from(a)), u128::from(u32::from(b)), id)));
        self.v6.extend(set.v6.iter().map(|&(a, b)| (u128::from(a), u128::from(b), id)));
    }

    fn build(self) -> IntervalMap {
        let v4 = layer(&self.v4);
        IntervalMap {
            values: self.values,
            v4: Layer {
                // What begins behind the last address is never looked up.
                starts: v4.starts.into_iter().map_while(|s| u32::try_from(s).ok()).collect(),
                ranges: v4.ranges,
                items: v4.items,
            },
            v6: layer(&self.v6),
        }
    }
}

/// Sweep over the ends of closed intervals.
fn layer(intervals: &[(u128, u128, u32)]) -> Layer<u128> {
    let mut events: BTreeMap<u128, (Vec<u32>, Vec<u32>)> = BTreeMap::new();
    for &(low, high, id) in intervals {
        events.entry(low).or_default().0.push(id);
        if let Some(next) = high.checked_add(1) {
            events.entry(next).or_default().1.push(id);
        }
    }
    let mut open: HashMap<u32, u32> = HashMap::new();
    let mut out = Layer::default();
    for (at, (begin, end)) in events {
        for id in end {
            if let Some(count) = open.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    open.remove(&id);
                }
            }
        }
        for id in begin {
            *open.entry(id).or_default() += 1;
        }
        let start = out.items.len() as u32;
        let mut now: Vec<u32> = open.keys().copied().collect();
        now.sort_unstable();
        out.items.extend(now);
        out.starts.push(at);
        out.ranges.push((start, out.items.len() as u32));
    }
    out
}

impl<T: Ord + Copy> Layer<T> {
    fn at(&self, address: T) -> &[u32] {
        let i = self.starts.partition_point(|&s| s <= address);
        let Some(&(low, high)) = i.checked_sub(1).and_then(|i| self.ranges.get(i)) else { return &[] };
        self.items.get(low as usize..high as usize).unwrap_or(&[])
    }
}

impl IntervalMap {
    fn at(&self, address: IpAddr) -> impl Iterator<Item = &Value> {
        let ids = match address {
            IpAddr::V4(a) => self.v4.at(u32::from(a)),
            IpAddr::V6(a) => self.v6.at(u128::from(a)),
        };
        ids.iter().filter_map(|&id| self.values.get(id as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_ir::{PortSet, RuleProtocol};

    #[test]
    fn same_as_testing_every_header() {
        let mut table = HeaderTable::default();
        let mut headers = vec![];
        for i in 0..200u32 {
            let a = |n: u32| std::net::Ipv4Addr::from(0x0a00_0000 + n);
            let set = AddressSet::from_intervals(vec![(a(i * 7), a(i * 7 + i % 13)), (a(5000 - i), a(5000))], vec![]);
            headers.push(Header {
                source: if i % 2 == 0 { set.clone() } else { AddressSet::any() },
                destination: if i % 5 < 3 { set.complement() } else { set },
                destination_ports: PortSet::from_ranges(vec![(0, (i % 4) as u16 * 100)]),
                bidirectional: i % 11 == 0,
                ..Header::any(if i % 3 == 0 { RuleProtocol::Ip } else { RuleProtocol::Tcp })
            });
        }
        let indices: Vec<_> = headers.iter().map(|h| table.intern(h)).collect();
        let rules =
            HeaderRules::build(headers.iter().zip(&indices).enumerate().map(|(i, (h, &x))| (i as u32, x, h)));
        for n in 0..600u32 {
            let tuple = Tuple {
                addresses: Some((
                    std::net::Ipv4Addr::from(0x0a00_0000 + n * 3).into(),
                    std::net::Ipv4Addr::from(0x0a00_0000 + n * 9 % 5001).into(),
                )),
                ports: Some((1000, (n % 400) as u16)),
                class: Class::Tcp,
                ether_type: 0,
                ethernet: false,
            };
            let mut got = vec![];
            rules.collect(&table, &mut HeaderCache::default(), &tuple, &mut got);
            got.sort_unstable();
            let expected: Vec<u32> =
                (0..200).filter(|&i| table.holds(indices[i as usize], &tuple)).collect();
            assert_eq!(got, expected);
        }
    }
}
