//! What conditions and tables are expected to divert, from a profile's sample.
//!
//! A record is asked of every frame of the sample as the device would ask it, but for what a sample does not tell: where a hit
//! lies, and the first bytes of payloads. For these a factor stands, the same as in the planner's choice. A fragment is
//! expected in as many of the frames that its record admits as in all frames of their kind. What several fragments divert
//! together is computed as if they occurred independently in a frame; they do not, so the sum is too high where many rules
//! look for parts of one thing. How far it was off where the profile was learned is known, and corrects it.

use super::{KINDS, Part, Profile, SampledFrame};
use crate::image::tables::Tables;
use crate::plan::cost::Statistics;
use crate::plan::{Condition, Fragment, Sets, Trigger, anchor};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use weir_contract::constants::{GUARDS_MAX, SET_ANY};
use weir_contract::enums::RecordFlags;
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;

/// Frames of the sample, a bit each.
type Bits = Rc<[u64]>;

/// What records have in common: the frames that satisfy one part of a predicate are looked for once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Asked {
    Masks([u8; 5]),
    Classes(u64),
    TcpFlags(u8, u8),
    Icmp([u8; 4]),
    Protocol(u8, u8),
    Payload(u16, u16),
    Reverse(u16),
    SourcePorts(u16),
    DestinationPorts(u16),
    Source(u16),
    Destination(u16),
    Guard(u8),
    Kind(u8),
}

/// Frames that a record admits, and how many of each kind.
#[derive(Debug, Clone)]
struct Admitted {
    bits: Bits,
    all: f64,
    kinds: [f64; KINDS],
}

/// What tables are expected to send to the host, parts of all frames and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize)]
pub struct Expected {
    /// A record holds, corrected by what was measured where the profile was learned.
    pub flagged: Part,
    /// Flagged, of flows diverted before, or handed over: as `weir audit` calls it.
    pub diverted: Part,
    /// Diverted, or read from history: the host share.
    pub host: Part,
    /// A record holds, by the sample alone.
    pub by_sample: Part,
}

/// Answers for one plan, whose sets it was given.
pub struct Estimator {
    profile: Arc<Profile>,
    statistics: Statistics,
    parts: RefCell<HashMap<Asked, Bits>>,
    records: RefCell<HashMap<Record, Rc<Admitted>>>,
    /// Of the built-in sample: for traffic that this one has little of.
    prior: Option<Box<Estimator>>,
    /// Shares of each kind's frames in which a loaded word stands: which ones were loaded when the sample was taken says nothing.
    words: [f64; KINDS],
}

/// What the built-in sample counts beside a profile's where plans are chosen.
const PRIOR: f64 = 0.1;

impl Estimator {
    /// By a profile; rates of windows by the statistics, which may have learned theirs from it.
    pub fn new(profile: Arc<Profile>, statistics: Statistics) -> Self {
        Estimator { profile, statistics, parts: RefCell::default(), records: RefCell::default(), prior: None, words: [0.0; KINDS] }
    }

    /// With the built-in sample beside it, for [`Estimator::price`].
    #[must_use]
    pub fn with_prior(mut self) -> Self {
        self.prior = Some(Box::new(Estimator::new(Arc::clone(Profile::built_in()), self.statistics.clone())));
        self
    }

    /// Where these words are loaded.
    #[must_use]
    pub fn with_words(mut self, words: [f64; KINDS]) -> Self {
        self.words = words;
        self
    }

    /// Shares of all frames that a record admits, by kind.
    pub fn admitted_kinds(&self, record: &Record, sets: &Sets) -> [f64; KINDS] {
        let most = anchored(record) / self.frames();
        let own = self.admitted(record, sets).kinds.map(|frames| frames * most);
        let prior = self.prior.as_ref().map_or([0.0; KINDS], |prior| prior.admitted_kinds(record, sets));
        std::array::from_fn(|kind| own[kind] + PRIOR * prior[kind])
    }

    /// What conditions cost in a choice: expected as in the profile, and a little as in the built-in sample, so that rules on a
    /// protocol of which the profile has nothing are planned as well as without it.
    pub fn price(&self, conditions: &[&Condition], sets: &Sets) -> f64 {
        let prior = self.prior.as_ref().map_or(0.0, |prior| prior.conditions(conditions.iter().copied(), sets));
        self.conditions(conditions.iter().copied(), sets) + PRIOR * prior
    }

    /// The sample is empty: nothing can be said.
    pub fn is_empty(&self) -> bool {
        self.profile.sample.is_empty()
    }

    /// The profile.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    fn frames(&self) -> f64 {
        self.profile.sample.len().max(1) as f64
    }

    fn part(&self, asked: Asked, sets: &Sets) -> Bits {
        if let Some(bits) = self.parts.borrow().get(&asked) {
            return Rc::clone(bits);
        }
        let holds = |f: &SampledFrame| -> bool {
            let port = |id: u16, port: u16| sets.ports().get(usize::from(id)).is_none_or(|set| set.contains(port));
            let address = |id: u16, first: bool| {
                let of =
                    |set: &weir_ir::AddressSet| f.networks.is_none_or(|(a, b)| set.contains(if first { a } else { b }));
                sets.addresses().get(usize::from(id)).is_none_or(of)
            };
            match asked {
                Asked::Masks([transports, versions, directions, states, scopes]) => {
                    transports & f.transport != 0
                        && versions & f.version != 0
                        && directions & f.directions != 0
                        && states & f.states != 0
                        && scopes & (f.scopes | weir_contract::enums::Scopes::ALWAYS.0) != 0
                }
                Asked::Classes(mask) => mask & f.classes != 0,
                Asked::TcpFlags(mask, value) => f.tcp_flags.is_some_and(|flags| flags & mask == value),
                Asked::Icmp([t0, t1, c0, c1]) => {
                    f.icmp.is_some_and(|(kind, code)| (t0..=t1).contains(&kind) && (c0..=c1).contains(&code))
                }
                Asked::Protocol(low, high) => f.protocol.is_some_and(|p| (low..=high).contains(&p)),
                Asked::Payload(low, high) => {
                    f.payload >= u32::from(low) && (high == u16::MAX || f.payload <= u32::from(high))
                }
                Asked::Reverse(most) => f.reverse.is_none_or(|n| n <= u32::from(most)),
                Asked::SourcePorts(id) => port(id, f.ports.0),
                Asked::DestinationPorts(id) => port(id, f.ports.1),
                Asked::Source(id) => address(id, true),
                Asked::Destination(id) => address(id, false),
                Asked::Guard(n) => f.guards >> (n & 63) & 1 != 0,
                Asked::Kind(kind) => f.kind == kind,
            }
        };
        let words = self.profile.sample.chunks(64);
        let bits: Bits = words
            .map(|frames| frames.iter().enumerate().fold(0, |word, (n, f)| word | u64::from(holds(f)) << n))
            .collect();
        self.parts.borrow_mut().insert(asked, Rc::clone(&bits));
        bits
    }

    fn admitted(&self, record: &Record, sets: &Sets) -> Rc<Admitted> {
        let open = Record::ALWAYS;
        // What a sample does not tell.
        let record = Record {
            flags: 0,
            position_min: open.position_min,
            position_max: open.position_max,
            anchor_mask: [0; 16],
            anchor_value: [0; 16],
            group: 0,
            ..*record
        };
        if let Some(known) = self.records.borrow().get(&record) {
            return Rc::clone(known);
        }
        let r = &record;
        let mut asked = vec![Asked::Masks([r.transports, r.versions, r.directions, r.states, r.scopes])];
        let mut ask = |is: bool, what: Asked| {
            if is {
                asked.push(what);
            }
        };
        ask(r.class_mask != u64::MAX, Asked::Classes(r.class_mask));
        ask(r.tcp_flags_mask != 0, Asked::TcpFlags(r.tcp_flags_mask, r.tcp_flags_value));
        let icmp = [r.icmp_type_min, r.icmp_type_max, r.icmp_code_min, r.icmp_code_max];
        ask(icmp != [0, 255, 0, 255], Asked::Icmp(icmp));
        ask((r.protocol_min, r.protocol_max) != (0, 255), Asked::Protocol(r.protocol_min, r.protocol_max));
        ask((r.payload_min, r.payload_max) != (0, u16::MAX), Asked::Payload(r.payload_min, r.payload_max));
        ask(r.reverse_max != u16::MAX, Asked::Reverse(r.reverse_max));
        ask(r.source_ports != SET_ANY, Asked::SourcePorts(r.source_ports));
        ask(r.destination_ports != SET_ANY, Asked::DestinationPorts(r.destination_ports));
        ask(r.source_addresses != SET_ANY, Asked::Source(r.source_addresses));
        ask(r.destination_addresses != SET_ANY, Asked::Destination(r.destination_addresses));
        let mut bits: Vec<u64> = vec![u64::MAX; self.profile.sample.len().div_ceil(64)];
        for what in asked {
            and(&mut bits, &self.part(what, sets));
        }
        let kinds = std::array::from_fn(|kind| common(&bits, &self.part(Asked::Kind(kind as u8), sets)));
        let all = common(&bits, &bits);
        let known = Rc::new(Admitted { bits: bits.into(), all, kinds });
        self.records.borrow_mut().insert(record, Rc::clone(&known));
        known
    }

    /// Frames that hold a window, of those that a record admits by kind.
    fn with_window(&self, window: &Fragment, admitted: &Admitted) -> f64 {
        admitted
            .kinds
            .iter()
            .enumerate()
            .fold(0.0, |sum, (kind, frames)| sum + frames * self.statistics.rate_of_kind(kind, window))
    }

    /// Expected share of all frames that a condition holds in.
    pub fn condition(&self, condition: &Condition, sets: &Sets) -> f64 {
        let record = &condition.record;
        let admitted = self.admitted(record, sets);
        let frames = match &condition.trigger {
            Trigger::Frame => admitted.all,
            Trigger::Guard(guard) if *guard == Guard::Word as u8 => {
                admitted.kinds.iter().zip(self.words).map(|(frames, rate)| frames * rate).sum()
            }
            // A guard that binary payloads raise tells no more than their header.
            Trigger::Guard(guard) => {
                let fired = common(&admitted.bits, &self.part(Asked::Guard(*guard), sets));
                return fired / self.frames() * anchored(record).max(HEADER);
            }
            Trigger::Fragment(window) => {
                let beside = at_place(record, window.length());
                return self.with_window(window, &admitted) * beside / self.frames();
            }
        };
        frames / self.frames() * anchored(record)
    }

    /// Expected share of all frames that one of some conditions holds in, at most.
    pub fn conditions<'a>(&self, conditions: impl IntoIterator<Item = &'a Condition>, sets: &Sets) -> f64 {
        let mut fragments: HashMap<Record, Vec<Fragment>> = HashMap::new();
        let mut sum = 0.0;
        for condition in conditions {
            match condition.trigger {
                Trigger::Fragment(fragment) => fragments.entry(condition.record).or_default().push(fragment),
                _ => sum += self.condition(condition, sets),
            }
        }
        for (record, all) in &fragments {
            let admitted = self.admitted(record, sets);
            let rates = self.any_of(all);
            let frames = admitted.kinds.iter().zip(rates).fold(0.0, |sum, (frames, rate)| sum + frames * rate.min(1.0));
            let length = all.iter().map(Fragment::length).min().unwrap_or(0);
            sum += frames * at_place(record, length) / self.frames();
        }
        sum.min(1.0)
    }

    /// Shares of each kind's frames that hold one of some windows, at most. Windows for three bytes with any neighbour
    /// stand in no more frames than the three bytes.
    fn any_of(&self, windows: &[Fragment]) -> [f64; KINDS] {
        let mut rates = [0.0; KINDS];
        let (units, single) = threes(windows);
        for (three, _) in units {
            for (kind, rate) in rates.iter_mut().enumerate() {
                *rate += self.statistics.rate_of_run_of_kind(kind, &three);
            }
        }
        for window in single {
            for (kind, rate) in rates.iter_mut().enumerate() {
                *rate += self.statistics.rate_of_kind(kind, &window);
            }
        }
        rates
    }

    /// What tables are expected to send.
    pub fn tables(&self, tables: &Tables, sets: &Sets) -> Expected {
        let by_sample = self.flagged(tables, sets);
        let m = &self.profile.head.measured;
        let each = |of: fn(&Part) -> f64| {
            let (sample, expected, flagged) = (of(&by_sample), of(&m.expected), of(&m.flagged));
            let ratio = if expected > 0.0 && flagged > 0.0 { (flagged / expected).clamp(0.25, 4.0) } else { 1.0 };
            let flagged_now = (sample * ratio).min(1.0);
            // As many frames follow a flagged one as did there.
            let grown = |whole: f64| {
                let power = if flagged > 0.0 && flagged < 1.0 && whole < 1.0 {
                    (1.0 - whole).ln() / (1.0 - flagged).ln()
                } else {
                    1.0
                };
                1.0 - (1.0 - flagged_now).powf(power.max(1.0))
            };
            (flagged_now, grown(of(&m.diverted)), grown(of(&m.host)))
        };
        let (frames, bytes) = (each(|p| p.frames), each(|p| p.bytes));
        let part = |frames, bytes| Part { frames, bytes };
        Expected {
            flagged: part(frames.0, bytes.0),
            diverted: part(frames.1, bytes.1),
            host: part(frames.2, bytes.2),
            by_sample,
        }
    }

    /// Frames of the sample, and their bytes, that a record is expected to hold for.
    fn flagged(&self, tables: &Tables, sets: &Sets) -> Part {
        let words = self.profile.sample.len().div_ceil(64);
        // Chance that none does.
        let mut clear = vec![1.0f64; self.profile.sample.len()];
        let mut times = |bits: &[u64], of: &dyn Fn(usize) -> f64| {
            for (n, word) in bits.iter().enumerate() {
                let mut word = *word;
                while word != 0 {
                    let at = n * 64 + word.trailing_zeros() as usize;
                    word &= word - 1;
                    if let Some(slot) = clear.get_mut(at) {
                        *slot *= 1.0 - of(at);
                    }
                }
            }
        };
        let records = |list: &[u32]| -> Vec<(Rc<Admitted>, f64)> {
            let all = list.iter().filter_map(|id| tables.records.get(*id as usize));
            all.map(|record| (self.admitted(record, sets), anchored(record))).collect()
        };
        for (admitted, anchored) in records(&tables.header) {
            times(&admitted.bits, &|_| anchored);
        }
        for (guard, list) in tables.guards.iter().enumerate().take(GUARDS_MAX) {
            if list.is_empty() {
                continue;
            }
            let fired = self.part(Asked::Guard(guard as u8), sets);
            if guard == Guard::Word as usize {
                // One word in the frame raises it for all.
                let mut open: Vec<u64> = vec![0; words];
                for (admitted, ..) in records(list) {
                    open.iter_mut().zip(admitted.bits.iter()).for_each(|(a, b)| *a |= b);
                }
                let kind = |at: usize| self.profile.sample.get(at).map_or(usize::MAX, |f| usize::from(f.kind));
                times(&open, &|at| self.words.get(kind(at)).copied().unwrap_or(0.0));
                continue;
            }
            for (admitted, anchored) in records(list) {
                let mut bits = admitted.bits.to_vec();
                and(&mut bits, &fired);
                times(&bits, &|_| anchored);
            }
        }
        const NEGLIGIBLE: f64 = 1e-7;
        let mut by_list: HashMap<&[u32], Vec<Fragment>> = HashMap::new();
        for (fragment, list) in &tables.fragments {
            by_list.entry(list).or_default().push(*fragment);
        }
        let mut by_list: Vec<(&[u32], Vec<Fragment>)> = by_list.into_iter().collect();
        by_list.sort_unstable();
        for (list, fragments) in by_list {
            let (units, single) = threes(&fragments);
            let of_three =
                |three: &[u8; 3]| std::array::from_fn(|kind| self.statistics.rate_of_run_of_kind(kind, three));
            let of_one = |window: &Fragment| std::array::from_fn(|kind| self.statistics.rate_of_kind(kind, window));
            let rates: Vec<[f64; KINDS]> =
                units.iter().map(|(three, _)| of_three(three)).chain(single.iter().map(of_one)).collect();
            if rates.iter().flatten().all(|rate| *rate < NEGLIGIBLE) {
                continue;
            }
            // The records of one fragment ask for one hit: the most open one counts.
            let mut open: Vec<u64> = vec![0; words];
            let mut most = 0.0f64;
            let length = fragments.iter().map(Fragment::length).min().unwrap_or(0);
            for record in list.iter().filter_map(|id| tables.records.get(*id as usize)) {
                let admitted = self.admitted(record, sets);
                open.iter_mut().zip(admitted.bits.iter()).for_each(|(a, b)| *a |= b);
                most = most.max(at_place(record, length));
            }
            for rates in rates.iter().filter(|rates| rates.iter().any(|rate| *rate >= NEGLIGIBLE)) {
                times(&open, &|at| {
                    let kind = self.profile.sample.get(at).map_or(usize::MAX, |f| usize::from(f.kind));
                    rates.get(kind).map_or(0.0, |rate| rate * most)
                });
            }
        }
        let length = |f: &SampledFrame| f64::from(f.length);
        let bytes: f64 = self.profile.sample.iter().map(length).sum();
        let flagged: f64 = self.profile.sample.iter().zip(&clear).map(|(f, clear)| length(f) * (1.0 - clear)).sum();
        Part {
            frames: clear.iter().map(|clear| 1.0 - clear).sum::<f64>() / self.frames(),
            bytes: flagged / bytes.max(1.0),
        }
    }
}

fn and(bits: &mut [u64], other: &[u64]) {
    bits.iter_mut().zip(other).for_each(|(a, b)| *a &= b);
    if let Some(rest) = bits.get_mut(other.len()..) {
        rest.fill(0);
    }
}

/// Windows of four bytes that stand for three with any neighbour, by the three; and the others.
fn threes(windows: &[Fragment]) -> (HashMap<[u8; 3], usize>, Vec<Fragment>) {
    const FEW: usize = 64;
    if windows.len() < FEW {
        return (HashMap::new(), windows.to_vec());
    }
    let part = |window: &Fragment, from: usize| -> Option<[u8; 3]> {
        (window.length() == 4)
            .then(|| window.folded().get(from..from + 3).and_then(|b| b.first_chunk()).copied())
            .flatten()
    };
    let mut units: HashMap<[u8; 3], usize> = HashMap::new();
    let mut rest = windows.to_vec();
    for from in [1, 0] {
        let mut counts: HashMap<[u8; 3], usize> = HashMap::new();
        for three in rest.iter().filter_map(|w| part(w, from)) {
            *counts.entry(three).or_default() += 1;
        }
        counts.retain(|_, count| *count >= FEW);
        rest.retain(|w| part(w, from).is_none_or(|three| !counts.contains_key(&three)));
        units.extend(counts);
    }
    (units, rest)
}

/// Frames in both.
fn common(a: &[u64], b: &[u64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + f64::from((a & b).count_ones()))
}

/// Of the frames that hold a fragment, those that hold it where the record wants it.
fn placed(record: &Record) -> f64 {
    if record.flags & (RecordFlags::POSITION_PACKET.0 | RecordFlags::POSITION_STREAM.0) == 0
        || record.position_max == i32::MAX
    {
        return 1.0;
    }
    let places = f64::from(record.position_max) - f64::from(record.position_min) + 1.0;
    (places / 400.0).sqrt().clamp(0.1, 1.0)
}

/// Of the frames that hold a fragment of so many bytes, those that hold it where the record wants it, with the first bytes that it
/// wants beside. What is anchored is the header of some protocol, more often than not that which the fragment is of.
fn at_place(record: &Record, length: usize) -> f64 {
    let fixed = (record.position_min == record.position_max).then(|| usize::try_from(record.position_min).ok()).flatten();
    let own = fixed.map_or(0..0, |at| at..at.saturating_add(length));
    let bits = record.anchor_mask.iter().enumerate().filter(|(at, _)| !own.contains(at)).map(|(_, mask)| mask.count_ones());
    (placed(record) * anchor::share(bits.sum())).max(HEADER)
}

/// Part of a protocol's messages that its header tells from others, at least.
const HEADER: f64 = 0.1;
/// The same of all messages.
const SOME_HEADER: f64 = 0.01;
/// Classes of a record that is of one protocol, at most: HTTP's are five, beside what is undecided.
const ONE_PROTOCOL: u32 = 6;

/// Of the frames that the rest of a record admits, those whose first bytes it does.
fn anchored(record: &Record) -> f64 {
    let one = record.class_mask.count_ones() <= ONE_PROTOCOL;
    anchor::share(anchor::bits_of(record)).max(if one { HEADER } else { SOME_HEADER })
}
