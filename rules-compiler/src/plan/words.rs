//! Words: what is too short for the literal filter, as a fact that the tables load (decision 0030).
//!
//! The device knows of a payload whether one of a few loaded words of two to four bytes stands in it, and whether it holds a
//! number that tells its length (guard `word`, [`weir_contract::facts`]). All share one guard, so what is loaded is what saves
//! most: of rules that would otherwise take every frame, or a fact that every binary payload raises.
//!
//! Argument for words. As for windows ([`super::payload`], [`super::tls`]): the bytes of a content lie in one segment, or across the
//! joint of segments that follow one another, and the fact looks at the stream's last bytes and the payload together. A record's
//! position is not asked of guards.
//!
//! Argument for numbers. A rule on packets that goes by `byte_jump` from the payload's beginning (or from a field at a constant
//! place) by a number of four bytes, and then asks that there are not so many bytes more, matches only where that number tells
//! the payload's length but for a constant: the jump leads into the payload, and near its end.

use super::anchor;
use super::chain;
use super::class::{Class, Condition, Trigger};
use super::cost::Statistics;
use super::payload;
use super::{BESIDE, Builder, Choice, base, handshake, is_for_itself, is_http_rule, may_be_doh, tls, weighed};
use crate::profile::KINDS;
use std::collections::{BTreeMap, BTreeSet};
use weir_contract::constants::GUARD_WORDS;
use weir_contract::fold::fold;
use weir_contract::guards::Guard;
use weir_contract::layouts::{GuardParameters, Record};
use weir_ir::{Buffer, BufferMatch, ByteBase, ByteJump, Endian, Match, Number, Rule};

/// Rules that are expected to cost less than this share of frames are left as they are.
const CHEAP: f64 = 1e-5;
/// A fact is loaded if it saves this share of frames.
const WORTH: f64 = 1e-4;
/// What is loaded leaves at most this part of a rule's cost.
const PART: f64 = 0.5;
/// Frames that hold such a number.
const NUMBER: f64 = 1e-3;
/// Differences between a number and the payload's length that a device is asked for.
const NEAR: i64 = 32;

/// One fact to load.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fact {
    /// Folded bytes, the last one highest, and which of them count.
    Word { value: u32, mask: u32 },
    /// A number that differs from the payload's length by at least the first, and less than the second.
    Number { low: i64, end: i64 },
}

/// What is loaded.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Words {
    /// Values and masks, at most [`GUARD_WORDS`].
    words: Vec<(u32, u32)>,
    /// Differences of numbers to the payload's length: the least, and the first beyond.
    number: Option<(i64, i64)>,
    /// Shares of each kind's frames that hold one of these.
    pub rates: [f64; KINDS],
}

/// A plan by a fact.
struct Way {
    rule: usize,
    fact: Fact,
    choice: Choice,
    /// Shares of all frames that its records admit.
    admitted: [f64; KINDS],
    /// What it costs beside the fact.
    beside: f64,
}

impl Way {
    /// Where facts are loaded that stand in these shares of each kind's frames.
    fn cost(&self, rates: &[f64; KINDS]) -> f64 {
        self.beside + self.admitted.iter().zip(rates).map(|(frames, rate)| frames * rate.min(1.0)).sum::<f64>()
    }
}

impl Words {
    /// Into the parameters of guards.
    pub fn write(&self, parameters: &mut GuardParameters) {
        for ((value, mask), slots) in
            self.words.iter().zip(parameters.word_values.iter_mut().zip(&mut parameters.word_masks))
        {
            (*slots.0, *slots.1) = (*value, *mask);
        }
        if let Some((low, end)) = self.number {
            (parameters.number_low, parameters.number_end) = (low as i32, end as i32);
        }
    }

    fn add(&mut self, fact: Fact, rates: &[f64; KINDS]) {
        self.rates.iter_mut().zip(rates).for_each(|(sum, rate)| *sum += rate);
        match fact {
            Fact::Word { value, mask } => self.words.push((value, mask)),
            Fact::Number { low, end } => {
                let (a, b) = self.number.unwrap_or((low, end));
                self.number = Some((a.min(low), b.max(end)));
            }
        }
    }

    fn has(&self, fact: &Fact) -> bool {
        match *fact {
            Fact::Word { value, mask } => self.words.contains(&(value, mask)),
            Fact::Number { low, end } => self.number.is_some_and(|(a, b)| a <= low && end <= b),
        }
    }
}

/// Takes the fact in the place of the conditions of rules that it makes much cheaper, and returns what is to be loaded.
pub(super) fn apply(rules: &[Rule], choices: &mut [Choice], builder: &mut Builder<'_>) -> Words {
    let mut loaded = Words::default();
    if !builder.options.guard(Guard::Word) || !builder.options.class(Class::Header) {
        return loaded;
    }
    let estimator = builder.estimator;
    if estimator.is_empty() {
        return loaded;
    }
    let mut ways: Vec<Way> = Vec::new();
    // What each of these rules costs without.
    let mut costs: BTreeMap<usize, f64> = BTreeMap::new();
    let mut by_fact: BTreeMap<Fact, [f64; KINDS]> = BTreeMap::new();
    for (index, (rule, choice)) in rules.iter().zip(choices.iter()).enumerate() {
        let cheap = choice.cost < CHEAP || choice.conditions.is_empty();
        if matches!(choice.class, Class::Deferred) || cheap || !rule.events.is_empty() {
            continue;
        }
        let found = facts(rule, builder);
        if found.is_empty() {
            continue;
        }
        let now = weighed(&at_beginnings(choice), estimator, builder.sets);
        if now < CHEAP {
            continue;
        }
        for (fact, choice) in found {
            by_fact.entry(fact).or_insert_with(|| rates(&fact, builder.statistics));
            let (words, others): (Vec<&Condition>, Vec<&Condition>) =
                choice.conditions.iter().partition(|c| c.trigger == Trigger::Guard(Guard::Word as u8));
            let mut admitted = [0.0; KINDS];
            for condition in words {
                let own = estimator.admitted_kinds(&condition.record, builder.sets);
                admitted.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
            }
            let beside = BESIDE * estimator.price(&others, builder.sets);
            costs.insert(index, now);
            ways.push(Way { rule: index, fact, choice, admitted, beside });
        }
    }
    // Rules that cost the same ask for the same frames, more often than not: together they count as one.
    let mut alike: BTreeMap<u64, u32> = BTreeMap::new();
    for now in costs.values() {
        *alike.entry(alike_key(*now)).or_default() += 1;
    }
    let weight = |now: f64| 1.0 / f64::from(alike.get(&alike_key(now)).copied().unwrap_or(1).max(1));
    // Hellos that a server's messages lean on stay.
    let waiting: BTreeSet<usize> = ways.iter().map(|way| way.rule).collect();
    let kept = choices.iter().enumerate().filter(|(index, _)| !waiting.contains(index)).map(|(_, choice)| choice);
    let needless = |index: &usize| choices.get(*index).is_some_and(|choice| handshake::is_needless(choice, kept.clone()));
    let needless: BTreeSet<usize> = waiting.iter().copied().filter(needless).collect();
    ways.retain(|way| needless.contains(&way.rule));
    // The cheapest way of each rule with what is loaded, if it is worth it.
    let taken = |loaded: &Words| -> BTreeMap<usize, (usize, f64)> {
        let mut taken: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
        for (n, way) in ways.iter().enumerate().filter(|(_, way)| loaded.has(&way.fact)) {
            let cost = way.cost(&loaded.rates);
            let most = costs.get(&way.rule).map_or(0.0, |now| now * PART);
            let slot = taken.entry(way.rule).or_insert((n, f64::INFINITY));
            if cost <= most && cost < slot.1 {
                *slot = (n, cost);
            }
        }
        taken.retain(|_, (_, cost)| cost.is_finite());
        taken
    };
    let saved = |loaded: &Words| -> f64 {
        let of = |(rule, (_, cost)): (&usize, &(usize, f64))| costs.get(rule).map(|now| (now - cost) * weight(*now));
        taken(loaded).iter().filter_map(of).sum()
    };
    // The fact that saves most beside those before: all share a guard, so that each makes the others dearer.
    let mut so_far = 0.0;
    loop {
        let more = by_fact.iter().filter(|(fact, _)| {
            !loaded.has(fact) && (matches!(fact, Fact::Number { .. }) || loaded.words.len() < GUARD_WORDS)
        });
        let tried = more.map(|(fact, rates)| {
            let mut with = loaded.clone();
            with.add(*fact, rates);
            (saved(&with), *fact, with)
        });
        let best = tried.max_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        let Some((all, _, with)) = best.filter(|(all, ..)| *all >= so_far + WORTH) else { break };
        (so_far, loaded) = (all, with);
    }
    for (rule, (n, cost)) in taken(&loaded) {
        if let (Some(slot), Some(way)) = (choices.get_mut(rule), ways.get(n)) {
            *slot = Choice { cost, ..way.choice.clone() };
        }
    }
    loaded
}

/// Costs that differ by less than a quarter have one.
fn alike_key(cost: f64) -> u64 {
    (4.0 * cost.max(1e-9).recip().log2()).round() as u64
}

/// The plan as if fragments at a payload's beginning had no anchor beside them: what is anchored begins each message of some protocol,
/// and the fragment is part of it.
fn at_beginnings(choice: &Choice) -> Choice {
    let mut choice = choice.clone();
    for condition in choice.conditions.iter_mut().filter(|c| matches!(c.trigger, Trigger::Fragment(_))) {
        condition.record.anchor_mask = [0; 16];
    }
    choice
}

/// Facts that a match of the rule raises, and the plan that each makes.
fn facts(rule: &Rule, builder: &mut Builder<'_>) -> Vec<(Fact, Choice)> {
    let mut out = Vec::new();
    // Frames of HTTP/2 hide what is looked for otherwise.
    if !is_for_itself(rule) || is_http_rule(rule) || may_be_doh(rule) {
        return out;
    }
    for run in rule.buffers.iter().filter(|run| run.transforms.is_empty()) {
        match run.buffer {
            Buffer::Payload => out.extend(of_payload(rule, run, builder)),
            Buffer::TlsSni => out.extend(of_name(rule, run, builder)),
            _ => {}
        }
    }
    out
}

fn of_payload(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Vec<(Fact, Choice)> {
    let packet = base::packet_only(rule);
    let placed = payload::placed(rule, run, packet);
    let mut found: Vec<(Fact, String)> = words(run);
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    for record in &mut records {
        payload::narrow(rule, run, packet, record);
        record.payload_min = record.payload_min.max(1);
        if packet && builder.options.positions {
            anchor::set_anchor(record, run, &placed, None, Some(payload::payload_max(rule)), false);
        }
    }
    let least = records.iter().map(|r| r.payload_min).min().unwrap_or(0);
    if packet {
        found.extend(number(run, i64::from(least)).map(|fact| (fact, "a number as long as the payload".to_owned())));
    }
    found.into_iter().map(|(fact, shown)| (fact, choice(shown, &records, &[]))).collect()
}

fn of_name(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Vec<(Fact, Choice)> {
    if !builder.options.guard(Guard::TlsHandshakeSpans) {
        return Vec::new();
    }
    let found = words(run);
    if found.is_empty() {
        return Vec::new();
    }
    let records = tls::records(rule, run, builder);
    found.into_iter().map(|(fact, shown)| (fact, choice(shown, &records, &[Guard::TlsHandshakeSpans]))).collect()
}

fn choice(shown: String, records: &[Record], guards: &[Guard]) -> Choice {
    let mut conditions = Vec::new();
    for &record in records {
        for guard in [Guard::Word].iter().chain(guards) {
            conditions.push(Condition { trigger: Trigger::Guard(*guard as u8), record });
        }
    }
    Choice { class: Class::Header, reason: shown, conditions, percent: Vec::new(), equals: Vec::new(), cost: 0.0 }
}

/// Share of each kind's frames that hold the word.
fn rates(fact: &Fact, statistics: &Statistics) -> [f64; KINDS] {
    match fact {
        Fact::Word { value, mask } => {
            let bytes = value.to_le_bytes();
            let bytes = bytes.get(4 - mask.count_ones() as usize / 8..).unwrap_or(&bytes);
            std::array::from_fn(|kind| statistics.rate_of_run_of_kind(kind, bytes))
        }
        Fact::Number { .. } => [NUMBER; KINDS],
    }
}

/// Contents of two and three bytes.
fn words(run: &BufferMatch) -> Vec<(Fact, String)> {
    let contents = chain::place(&run.matches).into_iter().map(|p| p.content);
    let short = contents.filter(|c| (2..=3).contains(&c.bytes.len()));
    short
        .map(|content| {
            let word = |byte: &dyn Fn(u8) -> u8| {
                content.bytes.iter().fold(0, |word, b| word >> 8 | u32::from(byte(*b)) << 24)
            };
            let fact = Fact::Word { value: word(&fold), mask: word(&|_| 0xff) };
            (fact, format!("the word \"{}\"", super::class::printable(&content.bytes)))
        })
        .collect()
}

/// The number that a jump reads, and how it can differ from the payload's length, which is at least `least`.
fn number(run: &BufferMatch, least: i64) -> Option<Fact> {
    if run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return None;
    }
    let of = |(index, m): (usize, &Match)| {
        let Match::ByteJump(jump) = m else { return None };
        let from = origin(jump)?;
        // Until something else moves on, what is relative counts from where the jump leads.
        let behind = run.matches.get(index + 1..)?.iter().take_while(|m| !chain::moves(m));
        let rest = behind.filter_map(|m| match m {
            Match::IsDataAt(d) if d.negated && d.relative => match d.position {
                Number::Constant(n) if (0..=least).contains(&n) => Some(n),
                _ => None,
            },
            _ => None,
        });
        // It leads to `from` and the number, which lies in the payload, and less than so many bytes before its end.
        let fact = rest.min().map(|rest| Fact::Number { low: 1 - rest - from, end: 1 - from });
        fact.filter(|fact| matches!(fact, Fact::Number { low, end } if *low >= -NEAR && *end <= NEAR && low < end))
    };
    run.matches.iter().enumerate().find_map(of)
}

/// What a jump by a plain little-endian number of four bytes adds to it, if that is a constant.
fn origin(jump: &ByteJump) -> Option<i64> {
    let (Number::Constant(4), Number::Constant(offset), Number::Constant(post)) = (jump.count, jump.offset, jump.post_offset)
    else {
        return None;
    };
    let plain = jump.base == ByteBase::Binary
        && jump.endian == Endian::Little
        && jump.bitmask.is_none()
        && jump.multiplier <= 1
        && !jump.align
        && !jump.from_end;
    match (plain, jump.from_beginning, jump.relative) {
        (true, true, _) => Some(post),
        (true, false, false) if offset >= 0 => Some(offset.checked_add(4)?.checked_add(post)?),
        _ => None,
    }
}
