//! What a table image says about the wire, in a form that two images can be compared in: names and values instead of
//! numbers of records, sets and classes, which change with every build.

use super::tables::Read;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use weir_contract::constants::SET_ANY;
use weir_contract::enums::BlockType;
use weir_contract::guards::Guard;
use weir_contract::layouts::{Geometry, Record};
use weir_contract::record::ClassSets;
use weir_rules::image::tables::scope_names;
use weir_rules::plan::Class;
use weir_rules::report::{Explanation, certified};
use weir_sim::tables::Tables;

/// A kind of entry: by name, what it leads to.
pub type Entries = BTreeMap<String, BTreeSet<String>>;

/// An image, comparable.
pub struct View {
    /// Predicates.
    pub records: BTreeSet<String>,
    /// Fragments, with the records that they lead to.
    pub fragments: Entries,
    /// Guards that are armed, with theirs.
    pub guards: Entries,
    /// Records judged at every frame.
    pub header: BTreeSet<String>,
    /// Port sets by content.
    pub ports: BTreeSet<String>,
    /// Address sets by content.
    pub addresses: BTreeSet<String>,
    /// Bounds and parameters that apply to all.
    pub settings: BTreeMap<&'static str, String>,
    /// Rules by gid and sid; none if the image was made without its certificate.
    pub rules: Option<BTreeMap<(u32, u32), Explanation>>,
}

impl View {
    /// Of a checked image; an error if its certificate is no certificate.
    pub fn new(image: &Read) -> anyhow::Result<View> {
        let tables = &image.tables;
        let geometry = block(image, BlockType::Geometry).and_then(Geometry::read).unwrap_or(Geometry::ZERO);
        let sets = Sets::new(tables, &geometry);
        let names: Vec<String> = tables.records.iter().map(|record| record_text(record, &sets)).collect();
        let named = |ids: &[u32]| -> BTreeSet<String> {
            ids.iter().filter_map(|id| names.get(*id as usize)).cloned().collect()
        };
        let mut fragments = Entries::new();
        for table in tables.filter.tables() {
            for entry in table.exact.iter().filter(|entry| entry.list_count > 0) {
                let bytes = entry.value.to_le_bytes();
                let bytes = bytes.get(..table.length).unwrap_or(&bytes);
                let name = fragment_name(bytes, entry.case_mask);
                let records = named(tables.list(entry.list_start, entry.list_count.into()));
                fragments.entry(name).or_default().extend(records);
            }
        }
        let guards = Guard::ALL.iter().filter(|guard| tables.armed & guard.bit() != 0).map(|guard| {
            let list = tables.guards.get(*guard as usize).map_or(&[][..], |l| tables.list(l.start, l.count));
            (guard.name().to_owned(), named(list))
        });
        let certificate = block(image, BlockType::Certificate).map(certified).transpose()?;
        Ok(View {
            fragments,
            guards: guards.collect(),
            header: named(&tables.header),
            records: names.iter().cloned().collect(),
            ports: sets.ports.into_iter().collect(),
            addresses: sets.addresses.into_iter().collect(),
            settings: settings(tables),
            rules: certificate.map(|rules| rules.into_iter().map(|rule| ((rule.gid, rule.sid), rule)).collect()),
        })
    }

    /// Expected share of frames that reach the host, 0 to 1, if what rules ask for occurred independently; rules that
    /// ask for the same count once, and what a rule of `without` asks for as well does not count.
    pub fn expected_share(&self, without: Option<&View>) -> Option<f64> {
        let known: BTreeSet<Asked> = without.into_iter().flat_map(View::asked).map(|(asked, _)| asked).collect();
        self.rules.as_ref()?;
        let asked: BTreeMap<Asked, f64> = self.asked().filter(|(asked, _)| !known.contains(asked)).collect();
        Some(1.0 - asked.values().map(|cost| 1.0 - cost.clamp(0.0, 1.0)).product::<f64>())
    }

    /// What each rule asks for, with its expected share.
    fn asked(&self) -> impl Iterator<Item = (Asked<'_>, f64)> {
        let rules = self.rules.iter().flat_map(BTreeMap::values);
        rules.map(|rule| ((rule.class, &*rule.fragments, &*rule.guards, rule.cost.to_bits()), rule.cost))
    }

    /// Rules by class letter.
    pub fn by_class(&self) -> BTreeMap<char, u64> {
        let mut counts = BTreeMap::new();
        for rule in self.rules.iter().flat_map(BTreeMap::values) {
            *counts.entry(rule.class.letter()).or_default() += 1;
        }
        counts
    }
}

/// What a rule asks for: class, fragments, guards, bits of the expected share.
type Asked<'a> = (Class, &'a [String], &'a [String], u64);

/// A fragment as rules write it; capitals count unless it says otherwise.
fn fragment_name(bytes: &[u8], case_mask: u8) -> String {
    let letters =
        bytes.iter().enumerate().filter(|(_, b)| b.is_ascii_alphabetic()).fold(0u8, |all, (n, _)| all | 1 << n);
    let shown = weir_rules::plan::printable(bytes);
    match case_mask & letters {
        exact if exact == letters => format!("\"{shown}\""),
        0 => format!("\"{shown}\" nocase"),
        // First byte first.
        some => {
            let case = (0..bytes.len()).map(|n| if some >> n & 1 != 0 { 'c' } else { '-' });
            format!("\"{shown}\" case of {}", case.collect::<String>())
        }
    }
}

/// The bytes of a block; the image was checked.
fn block(image: &Read, kind: BlockType) -> Option<&[u8]> {
    let entry = image.tables.directory().iter().find(|entry| entry.kind == kind as u16)?;
    let (from, length) = (usize::try_from(entry.offset).ok()?, usize::try_from(entry.length).ok()?);
    image.bytes.get(from..from.checked_add(length)?)
}

fn settings(tables: &Tables) -> BTreeMap<&'static str, String> {
    let bytes = |set: &[u64; 4]| {
        let all = (0..=255u8).filter(|b| set.get(usize::from(b >> 6)).is_some_and(|word| word >> (b & 63) & 1 != 0));
        all.map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
    };
    let p = &tables.parameters;
    BTreeMap::from([
        ("candidates per frame", tables.limits.candidates.to_string()),
        ("list entries per frame", tables.limits.list_entries.to_string()),
        ("bytes behind %", bytes(&p.percent_set)),
        ("bytes behind % in a URI", bytes(&p.uri_percent_set)),
        ("bytes behind =", bytes(&p.equals_set)),
    ])
}

/// Content of the sets, by number.
struct Sets {
    ports: Vec<String>,
    addresses: Vec<String>,
}

impl Sets {
    fn new(tables: &Tables, geometry: &Geometry) -> Self {
        let number = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        let mut ports: Vec<(u64, u16)> = Vec::new();
        for port in 0..=u16::MAX {
            let class = tables.port_class(port);
            if ports.last().is_none_or(|(_, last)| *last != class) {
                ports.push((port.into(), class));
            }
        }
        let v4: Vec<(u32, u16)> = tables.addresses().ranges_v4().collect();
        let v6: Vec<(u128, u16)> = tables.addresses().ranges_v6().collect();
        let port_text = |set| {
            let spans = members(&ports, u64::from(u16::MAX), |class| tables.port(set, class), |p| p - 1);
            spans
                .iter()
                .map(|(a, b)| if a == b { a.to_string() } else { format!("{a}:{b}") })
                .collect::<Vec<_>>()
                .join(",")
        };
        let address_text = |set| {
            let four = members(&v4, u32::MAX, |class| tables.address(set, class), |a| a - 1);
            let six = members(&v6, u128::MAX, |class| tables.address(set, class), |a| a - 1);
            let four = four.into_iter().map(|(a, b)| span(Ipv4Addr::from(a), Ipv4Addr::from(b)));
            let six = six.into_iter().map(|(a, b)| span(Ipv6Addr::from(a), Ipv6Addr::from(b)));
            four.chain(six).collect::<Vec<_>>().join(",")
        };
        Sets {
            ports: (0..number(geometry.port_sets)).map(port_text).collect(),
            addresses: (0..number(geometry.address_sets)).map(address_text).collect(),
        }
    }
}

fn span<A: PartialEq + std::fmt::Display>(first: A, last: A) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}

/// Neighbouring ranges of the classes that belong to a set, as one.
fn members<T: Copy + PartialEq>(
    ranges: &[(T, u16)],
    end: T,
    holds: impl Fn(u16) -> bool,
    before: impl Fn(T) -> T,
) -> Vec<(T, T)> {
    let mut out: Vec<(T, T)> = Vec::new();
    let mut joined = false;
    for (n, (start, class)) in ranges.iter().enumerate() {
        let member = holds(*class);
        if member {
            let last = ranges.get(n + 1).map_or(end, |(next, _)| before(*next));
            match out.last_mut() {
                Some(open) if joined => open.1 = last,
                _ => out.push((*start, last)),
            }
        }
        joined = member;
    }
    out
}

/// A record by what it asks for; what it leaves open is left out.
fn record_text(record: &Record, sets: &Sets) -> String {
    let mut out = format!("[{}]", scope_names(record.scopes).join(" "));
    let open = Record::ALWAYS;
    macro_rules! fields {
        ($($field:ident),*) => { $(
            if record.$field != open.$field {
                let _ = write!(out, " {}={:x?}", stringify!($field), record.$field);
            }
        )* };
    }
    fields!(
        class_mask,
        flags,
        transports,
        versions,
        directions,
        states,
        tcp_flags_mask,
        tcp_flags_value,
        payload_min,
        payload_max,
        icmp_type_min,
        icmp_type_max,
        icmp_code_min,
        icmp_code_max,
        protocol_min,
        protocol_max,
        reverse_max,
        position_min,
        position_max,
        anchor_value,
        anchor_mask
    );
    for (name, set, list) in [
        ("source_ports", record.source_ports, &sets.ports),
        ("destination_ports", record.destination_ports, &sets.ports),
        ("source_addresses", record.source_addresses, &sets.addresses),
        ("destination_addresses", record.destination_addresses, &sets.addresses),
    ] {
        if set != SET_ANY {
            let _ = write!(out, " {name}=[{}]", list.get(usize::from(set)).map_or("?", String::as_str));
        }
    }
    out
}
