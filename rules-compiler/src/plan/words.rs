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
use super::{Builder, Choice, base, handshake, is_for_itself, is_http_rule, may_be_doh, tls, weighed};
use crate::profile::{KINDS, Profile};
use crate::profile::estimate::Estimator;
use std::collections::{BTreeMap, BTreeSet};
use weir_contract::constants::GUARD_WORDS;
use weir_contract::fold::fold;
use weir_contract::guards::Guard;
use weir_contract::layouts::{GuardParameters, Record};
use weir_ir::{Buffer, BufferMatch, ByteBase, ByteJump, Endian, Match, Number, Rule};

/// Rules that are expected to cost less than this share of frames are left as they are.
const WORTH: f64 = 1e-4;
/// What is loaded leaves at most this part of a rule's cost.
const PART: f64 = 0.5;
/// Most frames of a kind that hold a word of three bytes, or one of two with any neighbour.
const RARE: f64 = 1e-2;
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// Values and masks, at most [`GUARD_WORDS`].
    words: Vec<(u32, u32)>,
    /// Differences of numbers to the payload's length: the least, and the first beyond.
    number: Option<(i64, i64)>,
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

    fn add(&mut self, fact: Fact) {
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
    let built_in;
    let estimator = match builder.estimator {
        Some(estimator) => estimator,
        None => {
            built_in = Estimator::new(Profile::built_in(), builder.statistics.clone());
            &built_in
        }
    };
    if estimator.is_empty() {
        return loaded;
    }
    // By rule and fact: the plan, and what it costs.
    let mut ways: Vec<(usize, Fact, Choice)> = Vec::new();
    // Words that were looked up: they are rare, or not.
    let mut known: BTreeMap<Fact, bool> = BTreeMap::new();
    // What each of these rules costs with the facts so far.
    let mut costs: BTreeMap<usize, f64> = BTreeMap::new();
    for (index, (rule, choice)) in rules.iter().zip(choices.iter()).enumerate() {
        let cheap = choice.cost < WORTH || choice.conditions.is_empty();
        if matches!(choice.class, Class::Deferred) || cheap || !rule.events.is_empty() {
            continue;
        }
        let mut found = facts(rule, builder);
        // Three bytes have windows with their neighbours.
        let windows = choice.conditions.iter().any(|c| matches!(c.trigger, Trigger::Fragment(_)));
        found.retain(|(fact, _)| !windows || !matches!(fact, Fact::Word { mask, .. } if mask.count_ones() > 16));
        if found.is_empty() {
            continue;
        }
        let now = weighed(&at_beginnings(choice), estimator, builder.sets);
        if now < WORTH {
            continue;
        }
        for (fact, other) in found {
            let rare = |word: u32, mask: u32| {
                let bytes = word.to_le_bytes();
                is_rare(bytes.get(4 - mask.count_ones() as usize / 8..).unwrap_or(&bytes), builder.statistics)
            };
            if matches!(fact, Fact::Word { value, mask } if !*known.entry(fact).or_insert_with(|| rare(value, mask))) {
                continue;
            }
            let cost = weighed(&other, estimator, builder.sets);
            if cost <= now * PART {
                costs.insert(index, now);
                ways.push((index, fact, Choice { cost, ..other }));
            }
        }
    }
    // Hellos that a server's messages lean on stay.
    let waiting: BTreeSet<usize> = ways.iter().map(|(index, ..)| *index).collect();
    let kept = choices.iter().enumerate().filter(|(index, _)| !waiting.contains(index)).map(|(_, choice)| choice);
    let needless = |index: &usize| choices.get(*index).is_some_and(|choice| handshake::is_needless(choice, kept.clone()));
    let needless: BTreeSet<usize> = waiting.iter().copied().filter(needless).collect();
    ways.retain(|(index, ..)| needless.contains(index));
    // The fact that saves most, then the one that saves most of the rest.
    loop {
        let mut gains: BTreeMap<Fact, f64> = BTreeMap::new();
        for (index, fact, choice) in &ways {
            let room = matches!(fact, Fact::Number { .. }) || loaded.words.len() < GUARD_WORDS;
            let gain = costs.get(index).map_or(0.0, |now| now - choice.cost);
            if room && gain > 0.0 && !loaded.has(fact) {
                *gains.entry(*fact).or_default() += gain;
            }
        }
        let best = gains.into_iter().max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)));
        let Some((fact, _)) = best.filter(|(_, gain)| *gain >= WORTH) else { break };
        loaded.add(fact);
        for (index, _, choice) in ways.iter().filter(|(_, fact, _)| loaded.has(fact)) {
            costs.entry(*index).and_modify(|now| *now = now.min(choice.cost));
        }
    }
    for (index, fact, choice) in ways {
        let better = costs.get(&index).is_some_and(|cost| choice.cost <= *cost);
        if better && loaded.has(&fact) {
            if let Some(slot) = choices.get_mut(index) {
                *slot = choice;
            }
        }
    }
    loaded
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

/// The bytes are rare in all traffic: what is loaded is raised for all rules.
fn is_rare(bytes: &[u8], statistics: &Statistics) -> bool {
    let rate = |kind: usize, three: &[u8]| statistics.rate_of_three_of_kind(kind, three);
    // Runs that are not among the frequent ones of a kind all have the same rate there: the least.
    let rare_two = |kind: usize, [a, b]: [u8; 2]| {
        let with = (0..=u8::MAX).flat_map(|x| [rate(kind, &[x, a, b]), rate(kind, &[a, b, x])]);
        let (least, most) = with.fold((1.0f64, 0.0f64), |(least, most), rate| (least.min(rate), most.max(rate)));
        most < RARE.max(8.0 * least)
    };
    match *bytes {
        [a, b] => a != b && (0..KINDS).all(|kind| rare_two(kind, [a, b])),
        [_, _, _] => (0..KINDS).all(|kind| rate(kind, bytes) < RARE),
        _ => false,
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
