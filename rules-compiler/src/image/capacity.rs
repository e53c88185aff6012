//! Tables that do not fit: what is given up, the cheapest first.
//!
//! Whatever is done here lets more frames through to the host, never fewer: a fragment becomes the end of itself, a record
//! asks for less, a set becomes a larger one, a rule becomes class C. So capacity never costs soundness. What is given up is
//! chosen by how much the expected share grows for each entry that is saved; what was done is reported.

use super::Capacity;
use crate::plan::cost::{Statistics, Traffic, narrowing};
use crate::plan::{Class, Condition, Fragment, Plan, Sets, Trigger};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{Ipv4Addr, Ipv6Addr};
use weir_contract::constants::SET_ANY;
use weir_contract::enums::{RecordFlags, Scopes};
use weir_contract::layouts::Record;
use weir_ir::{AddressSet, PortSet, Rule};

/// What did not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Fragments of a length.
    Fragments(usize),
    /// Entries of lists.
    Lists,
    /// Records.
    Records,
    /// Records judged at every frame.
    Header,
    /// Classes of ports.
    Ports,
    /// Classes or prefixes of addresses.
    Addresses,
}

/// What was given up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Degraded {
    /// Rules whose fragments were shortened.
    pub shortened: usize,
    /// Rules whose records ask for no position and no first bytes any more.
    pub unplaced: usize,
    /// Records that were made to ask for less, a phrase for each step.
    pub loosened: Vec<String>,
    /// Sets of ports and addresses that were made larger, a phrase for each step.
    pub enlarged: Vec<String>,
}

impl Degraded {
    /// Everything fitted.
    pub fn is_none(&self) -> bool {
        *self == Degraded::default()
    }
}

/// How far each kind has been degraded, and what came of it.
#[derive(Debug, Default)]
pub struct Degrader {
    /// What was given up.
    pub report: Degraded,
    /// Rules that became class C.
    pub widened: Vec<usize>,
    header: usize,
    records: usize,
    ports: usize,
    addresses: usize,
}

/// Bits of prefixes that addresses are rounded to, one step after the other.
const PREFIXES: [(u32, u32); 5] = [(28, 112), (24, 64), (20, 48), (16, 32), (8, 16)];

impl Degrader {
    /// Gives something up so that about `excess` entries fewer are needed; false: there is nothing left to give up.
    pub fn step(&mut self, rules: &[Rule], plan: &mut Plan, full: Full, excess: usize, capacity: &Capacity) -> bool {
        match full {
            Full::Fragments(length) => {
                self.shorten(plan, length, excess, capacity)
                    || self.complete(rules, plan, excess, |c| is_of_length(c, length))
                    || self.common(plan, |c| is_of_length(c, length))
            }
            Full::Lists => {
                self.unplace(plan, excess)
                    || self.complete(rules, plan, excess, |c| c.trigger != Trigger::Frame)
                    || self.loosen(plan, false)
                    || self.common(plan, |c| c.trigger != Trigger::Frame)
            }
            // A rule of class C needs a record as well.
            Full::Records => {
                self.unplace(plan, excess)
                    || self.loosen(plan, false)
                    || self.complete(rules, plan, excess, |c| c.trigger != Trigger::Frame)
            }
            Full::Header => self.loosen(plan, true),
            Full::Ports => self.fewer_ports(plan),
            Full::Addresses => self.fewer_addresses(plan),
        }
    }

    /// Rules by what saving one entry costs, cheapest first.
    fn order(plan: &Plan, entries: impl Fn(usize) -> usize, lost: impl Fn(usize) -> f64) -> Vec<(usize, usize)> {
        let mut order: Vec<(f64, usize, usize)> = plan
            .rules
            .iter()
            .filter(|r| !matches!(r.class, Class::Complete | Class::Deferred))
            .map(|r| (r.rule, entries(r.rule)))
            .filter(|(_, entries)| *entries > 0)
            .map(|(rule, entries)| (lost(rule) / entries as f64, rule, entries))
            .collect();
        order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        order.into_iter().map(|(_, rule, entries)| (rule, entries)).collect()
    }

    /// The last bytes of fragments in the place of the whole, where a shorter length has room. A fragment is on the wire only
    /// where its end is.
    fn shorten(&mut self, plan: &mut Plan, length: usize, excess: usize, capacity: &Capacity) -> bool {
        let of_length = |n: usize| fragments(plan).filter(|f| f.length() == n).collect::<HashSet<_>>();
        let shorter = crate::plan::class::LENGTHS.into_iter().rev().filter(|n| *n < length);
        let room = shorter.map(|n| (n, capacity.fragments.saturating_sub(of_length(n).len()))).find(|(_, room)| *room > 0);
        let Some((target, mut room)) = room else { return false };
        let statistics = Statistics::default();
        let rate = |fragment: &Fragment| statistics.rate(Traffic::Any, fragment);
        let mut losses: BTreeMap<Fragment, f64> = BTreeMap::new();
        for fragment in of_length(length) {
            if let Some(short) = end_of(&fragment, target) {
                losses.insert(fragment, (rate(&short) - rate(&fragment)).max(0.0));
            }
        }
        let mut order: Vec<(Fragment, f64)> = losses.into_iter().collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.0.cmp(&b.0)));
        // One that is dearer than a hundredth of the frames is no better than class C.
        order.retain(|(_, lost)| *lost < 0.01);
        let mut chosen: HashSet<Fragment> = HashSet::new();
        for (fragment, _) in order.into_iter().take(excess.max(1)) {
            if room == 0 {
                break;
            }
            room -= 1;
            chosen.insert(fragment);
        }
        if chosen.is_empty() {
            return false;
        }
        let mut rules = 0;
        for planned in &mut plan.rules {
            let mut changed = false;
            for condition in &mut planned.conditions {
                changed |= shorten_one(condition, &chosen, target);
            }
            rules += usize::from(changed);
        }
        for condition in &mut plan.common {
            shorten_one(condition, &chosen, target);
        }
        self.report.shortened += rules;
        true
    }

    /// No positions and no anchors: records that differ in nothing else become one.
    fn unplace(&mut self, plan: &mut Plan, excess: usize) -> bool {
        let mut counts: HashMap<Record, usize> = HashMap::new();
        for condition in plan.rules.iter().flat_map(|r| &r.conditions) {
            *counts.entry(condition.record).or_default() += 1;
        }
        let order = Self::order(
            plan,
            |n| plan.rules.get(n).map_or(0, |r| r.conditions.iter().filter(|c| is_placed(&c.record)).count()),
            |n| plan.rules.get(n).map_or(0.0, |r| r.cost),
        );
        let mut saved = 0;
        for (rule, entries) in order {
            if saved >= excess.max(1) {
                break;
            }
            let Some(planned) = plan.rules.get_mut(rule) else { continue };
            planned.conditions.iter_mut().for_each(|c| c.record = unplaced(&c.record));
            planned.conditions.dedup();
            self.report.unplaced += 1;
            saved += entries;
        }
        saved > 0
    }

    /// Rules become class C, those first that lose least by it for the entries that they alone need.
    fn complete(&mut self, rules: &[Rule], plan: &mut Plan, excess: usize, counts: impl Fn(&Condition) -> bool) -> bool {
        let mut users: HashMap<Trigger, usize> = HashMap::new();
        for planned in &plan.rules {
            let own: HashSet<Trigger> = planned.conditions.iter().filter(|c| counts(c)).map(|c| c.trigger).collect();
            for trigger in own {
                *users.entry(trigger).or_default() += 1;
            }
        }
        let entries = |n: usize, alone: bool| {
            let conditions = plan.rules.get(n).map_or(&[][..], |r| r.conditions.as_slice());
            let own: HashSet<Trigger> = conditions.iter().filter(|c| counts(c)).map(|c| c.trigger).collect();
            own.iter().filter(|trigger| !alone || users.get(trigger) == Some(&1)).count()
        };
        let lost = |n: usize| {
            plan.rules.get(n).map_or(0.0, |r| {
                let records: HashSet<Record> = r.conditions.iter().map(|c| unplaced(&c.record)).collect();
                (records.iter().map(|record| narrowing(record, &plan.sets)).sum::<f64>() - r.cost).max(0.0)
            })
        };
        let mut order = Self::order(plan, |n| entries(n, true), lost);
        if order.is_empty() {
            // All that is left is shared.
            order = Self::order(plan, |n| entries(n, false), lost);
        }
        let mut saved = 0;
        let before = self.widened.len();
        for (rule, entries) in order {
            if saved >= excess.max(1) {
                break;
            }
            crate::plan::widen(rules, plan, rule);
            self.widened.push(rule);
            saved += entries;
        }
        self.widened.len() > before
    }

    /// What belongs to no rule is sent without its fragment.
    fn common(&mut self, plan: &mut Plan, which: impl Fn(&Condition) -> bool) -> bool {
        let mut changed = 0usize;
        for condition in plan.common.iter_mut().filter(|c| which(c)) {
            condition.trigger = Trigger::Frame;
            condition.record = unplaced(&condition.record);
            changed += 1;
        }
        if changed > 0 {
            self.report.loosened.push(format!("all frames that could change protocol: {changed} fragments"));
        }
        changed > 0
    }

    /// Records ask for less, so that more of them are one: those of every frame, or all.
    fn loosen(&mut self, plan: &mut Plan, frames: bool) -> bool {
        type Loosen = fn(&Record) -> Record;
        const STEPS: [(&str, Loosen); 5] = [
            ("no first bytes", unplaced),
            ("no lengths, flags and types", |r| Record {
                payload_min: r.payload_min.min(1),
                payload_max: u16::MAX,
                reverse_max: u16::MAX,
                tcp_flags_mask: 0,
                tcp_flags_value: 0,
                icmp_type_min: 0,
                icmp_type_max: u8::MAX,
                icmp_code_min: 0,
                icmp_code_max: u8::MAX,
                ..unplaced(r)
            }),
            ("no ports", |r| Record { source_ports: SET_ANY, destination_ports: SET_ANY, ..*r }),
            ("no addresses", |r| Record { source_addresses: SET_ANY, destination_addresses: SET_ANY, ..*r }),
            ("every frame", |_| Record::ALWAYS),
        ];
        let step = if frames { &mut self.header } else { &mut self.records };
        let Some((what, loosen)) = STEPS.get(*step) else { return false };
        *step += 1;
        let every = *step == STEPS.len();
        let mut changed = 0usize;
        let all = plan.rules.iter_mut().flat_map(|r| &mut r.conditions).chain(&mut plan.common);
        for condition in all.filter(|c| c.trigger == Trigger::Frame || !frames && !every) {
            let wider = loosen(&condition.record);
            changed += usize::from(wider != condition.record);
            condition.record = wider;
        }
        self.report.loosened.push(format!("{what}: {changed} records"));
        true
    }

    /// Sets of many ports become their hull, then any port.
    fn fewer_ports(&mut self, plan: &mut Plan) -> bool {
        self.ports += 1;
        let (what, larger): (_, fn(&PortSet) -> PortSet) = match self.ports {
            1 => ("lists of more than eight ranges of ports: all between their ends", |set| {
                if set.ranges.len() > 8 { hull(set) } else { set.clone() }
            }),
            2 => ("lists of ports: all between their ends", hull),
            3 => ("ports: any but the first 1024, or any", |set| {
                if set.ranges.first().is_some_and(|r| r.0 >= 1024) {
                    PortSet::from_ranges(vec![(1024, u16::MAX)])
                } else {
                    PortSet::any()
                }
            }),
            4 => ("ports: any", |_| PortSet::any()),
            _ => return false,
        };
        let changed = rewrite(plan, larger, AddressSet::clone);
        self.report.enlarged.push(format!("{what}: {changed} sets"));
        true
    }

    /// Addresses are rounded up to networks, ever larger ones, and become any address in the end.
    fn fewer_addresses(&mut self, plan: &mut Plan) -> bool {
        let step = self.addresses;
        self.addresses += 1;
        let changed = match PREFIXES.get(step) {
            Some(&(v4, v6)) => rewrite(plan, PortSet::clone, |set| rounded(set, v4, v6)),
            None if step == PREFIXES.len() => rewrite(plan, PortSet::clone, |_| AddressSet::any()),
            None => return false,
        };
        let what = match PREFIXES.get(step) {
            Some((v4, v6)) => format!("addresses rounded to /{v4} and /{v6}"),
            None => "addresses: any".to_owned(),
        };
        self.report.enlarged.push(format!("{what}: {changed} sets"));
        true
    }
}

/// Fragments that differ in case only have one window, and so the same two buckets; where there are more of them than a bucket
/// is sure to have room for, case is not compared.
pub fn join_cases(plan: &mut Plan) {
    const CASES_MAX: usize = 4;
    let mut cases: HashMap<Fragment, HashSet<Fragment>> = HashMap::new();
    for fragment in fragments(plan) {
        cases.entry(fragment.without_case()).or_default().insert(fragment);
    }
    cases.retain(|_, all| all.len() > CASES_MAX);
    if cases.is_empty() {
        return;
    }
    for condition in plan.rules.iter_mut().flat_map(|r| &mut r.conditions).chain(&mut plan.common) {
        if let Trigger::Fragment(fragment) = condition.trigger {
            if cases.contains_key(&fragment.without_case()) {
                condition.trigger = Trigger::Fragment(fragment.without_case());
            }
        }
    }
}

fn fragments(plan: &Plan) -> impl Iterator<Item = Fragment> + '_ {
    let all = plan.rules.iter().flat_map(|r| &r.conditions).chain(&plan.common);
    all.filter_map(|c| match c.trigger {
        Trigger::Fragment(fragment) => Some(fragment),
        _ => None,
    })
}

fn is_of_length(condition: &Condition, length: usize) -> bool {
    matches!(&condition.trigger, Trigger::Fragment(fragment) if fragment.length() == length)
}

/// The last bytes of a fragment; none if they would stand in every other frame.
fn end_of(fragment: &Fragment, length: usize) -> Option<Fragment> {
    let from = fragment.length().checked_sub(length)?;
    let bytes = fragment.bytes().get(from..)?;
    let exact = |n: usize| fragment.case_mask >> (n + from) & 1 != 0;
    Fragment::masked(bytes, exact).filter(|short| short.length() == length && !crate::plan::payload::periodic(bytes))
}

fn shorten_one(condition: &mut Condition, chosen: &HashSet<Fragment>, target: usize) -> bool {
    let Trigger::Fragment(fragment) = condition.trigger else { return false };
    let Some(short) = Some(fragment).filter(|f| chosen.contains(f)).and_then(|f| end_of(&f, target)) else { return false };
    condition.trigger = Trigger::Fragment(short);
    let by = i32::try_from(fragment.length() - target).unwrap_or(0);
    let record = &mut condition.record;
    if record.flags & (RecordFlags::POSITION_PACKET.0 | RecordFlags::POSITION_STREAM.0) != 0 {
        record.position_min = record.position_min.saturating_add(by);
        // An open end stays open.
        record.position_max = record.position_max.saturating_add(by);
    }
    // The host knows of a longer pattern that only the whole fragment is sure to be part of.
    if record.scopes & Scopes::STREAM_PATTERN.0 != 0 {
        record.scopes = record.scopes & !Scopes::STREAM_PATTERN.0 | Scopes::STREAM.0;
    }
    true
}

const PLACES: u8 = RecordFlags::POSITION_PACKET.0
    | RecordFlags::POSITION_STREAM.0
    | RecordFlags::ANCHOR_PACKET.0
    | RecordFlags::ANCHOR_STREAM.0;

fn is_placed(record: &Record) -> bool {
    record.flags & PLACES != 0
}

fn unplaced(record: &Record) -> Record {
    let open = Record::ALWAYS;
    Record {
        flags: record.flags & !PLACES,
        position_min: open.position_min,
        position_max: open.position_max,
        anchor_value: open.anchor_value,
        anchor_mask: open.anchor_mask,
        ..*record
    }
}

fn hull(set: &PortSet) -> PortSet {
    match (set.ranges.first(), set.ranges.last()) {
        (Some((low, _)), Some((_, high))) => PortSet::from_ranges(vec![(*low, *high)]),
        _ => set.clone(),
    }
}

fn rounded(set: &AddressSet, bits4: u32, bits6: u32) -> AddressSet {
    let mask4 = u32::MAX.checked_shr(bits4).unwrap_or(0);
    let mask6 = u128::MAX.checked_shr(bits6).unwrap_or(0);
    let v4 = set.v4.iter().map(|&(a, b)| (Ipv4Addr::from(u32::from(a) & !mask4), Ipv4Addr::from(u32::from(b) | mask4)));
    let v6 = set.v6.iter().map(|&(a, b)| (Ipv6Addr::from(u128::from(a) & !mask6), Ipv6Addr::from(u128::from(b) | mask6)));
    AddressSet::from_intervals(v4.collect(), v6.collect())
}

/// Makes sets larger, and lets the plan's records name the new ones. How many changed.
fn rewrite(plan: &mut Plan, ports: impl Fn(&PortSet) -> PortSet, addresses: impl Fn(&AddressSet) -> AddressSet) -> usize {
    let mut sets = Sets::default();
    let mut changed = 0;
    let mut map_ports = Vec::with_capacity(plan.sets.ports().len());
    for set in plan.sets.ports() {
        let larger = ports(set);
        changed += usize::from(larger != *set);
        map_ports.push(sets.port(&larger));
    }
    let mut map_addresses = Vec::with_capacity(plan.sets.addresses().len());
    for set in plan.sets.addresses() {
        let larger = addresses(set);
        changed += usize::from(larger != *set);
        map_addresses.push(sets.address(&larger));
    }
    sets.widened = plan.sets.widened;
    plan.sets = sets;
    let port = |id: u16| map_ports.get(usize::from(id)).copied().unwrap_or(SET_ANY);
    let address = |id: u16| map_addresses.get(usize::from(id)).copied().unwrap_or(SET_ANY);
    for condition in plan.rules.iter_mut().flat_map(|r| &mut r.conditions).chain(&mut plan.common) {
        let r = &mut condition.record;
        (r.source_ports, r.destination_ports) = (port(r.source_ports), port(r.destination_ports));
        (r.source_addresses, r.destination_addresses) = (address(r.source_addresses), address(r.destination_addresses));
    }
    changed
}
