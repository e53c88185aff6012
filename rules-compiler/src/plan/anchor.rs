//! The first bytes of a payload: conditions on the beginning of a packet or stream.
//!
//! Anchors (contents with one possible start, within the first 16 bytes, and bits that `byte_test` and `byte_jump` fix) are
//! compared with the packet's first bytes or with the stream direction's.

use super::chain::{self, Placed, Range};
use super::class::{Class, Condition, Fragment, LENGTHS, Trigger};
use super::payload::{self, base_flags, payload_max, set_position};
use super::{Builder, Choice, base};
use weir_contract::enums::RecordFlags;
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;
use weir_ir::{BufferMatch, ByteBase, ByteTest, Content, Endian, Match, Number, Rule, RuleProtocol, TestOperator};

/// Bytes of an anchor.
pub const ANCHOR: usize = 16;

/// Without a window: the first payload bytes, as far as contents and the beginning of an expression fix them, and the
/// kinds of bytes (above 0x7f, control) that the contents need and text does not have.
pub fn anchored(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    if !run.transforms.is_empty() || !builder.options.positions {
        return None;
    }
    let packet = base::packet_only(rule);
    let placed = payload::placed(rule, run, packet);
    let stream_only = rule.header.protocol == RuleProtocol::TcpStream;
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    let mut bits = 0;
    for record in &mut records {
        payload::narrow(rule, run, packet, record);
        record.payload_min = record.payload_min.max(1);
        set_anchor(record, run, &placed, None, packet.then(|| payload_max(rule)), stream_only);
        bits = bits_of(record);
    }
    if !packet {
        if let Some(choice) = start(rule, run, &placed, &records, stream_only, builder) {
            return Some(choice);
        }
    }
    // The first byte by the expression, where no content fixes it: every alternative is a record of its own.
    let (at, alternatives) = super::pattern::first_byte(run);
    if packet && at < ANCHOR && !alternatives.is_empty() && records.iter().all(|r| r.anchor_mask[at] == 0) {
        records = records
            .iter()
            .flat_map(|r| {
                alternatives.iter().map(|&(value, mask)| {
                    let mut r = *r;
                    r.anchor_value[at] = value;
                    r.anchor_mask[at] = mask;
                    r.flags |= RecordFlags::ANCHOR_PACKET.0;
                    r
                })
            })
            .collect();
        bits += 1;
    }
    let guard = byte_guard(run, &placed, packet.then(|| payload_max(rule)), bits > 0, builder);
    if bits == 0 && guard.is_none() {
        return None;
    }
    let share = share(bits) * if guard.is_some() { 0.5 } else { 1.0 }
        // Bytes of a stream's start hold for every later frame of the direction.
        * if packet { 1.0 } else { 20.0 };
    let narrowing = records.iter().map(|r| super::cost::narrowing(r, builder.sets)).sum::<f64>();
    let trigger = guard.map_or(Trigger::Frame, |g| Trigger::Guard(g as u8));
    Some(Choice {
        class: Class::Header,
        reason: match guard {
            None => format!("first payload bytes, {bits} bits"),
            Some(g) => format!("first payload bytes, {bits} bits, and {}", g.name()),
        },
        conditions: records.into_iter().map(|record| Condition { trigger, record }).collect(),
        percent: Vec::new(),
        equals: Vec::new(),
        cost: share * narrowing,
    })
}

/// Bits that a record's anchor fixes.
pub(crate) fn bits_of(record: &Record) -> u32 {
    record.anchor_mask.iter().map(|mask| mask.count_ones()).sum()
}

/// Share of frames that satisfy an anchor of so many bits. Rules name the headers of protocols, so what is anchored stands
/// in every message of some: never less than a thousandth, however many bits.
pub(crate) fn share(bits: u32) -> f64 {
    0.5f64.powi(bits.min(40) as i32 / 2).max(1e-3)
}

/// Most byte strings that a window at a stream's start may stand for.
const FORMS_MAX: usize = 1024;

/// Anchored bytes as a window at their place.
///
/// Argument: as for contents with one possible start ([`payload`]). In the place of a record that every frame of the stream's
/// beginning is judged by, one that the frame with these bytes raises; it holds the flow for a whole window.
fn start(
    rule: &Rule,
    run: &BufferMatch,
    placed: &[Placed<'_>],
    records: &[Record],
    stream_only: bool,
    builder: &Builder<'_>,
) -> Option<Choice> {
    let (value, mask) = records.first().map(|r| (r.anchor_value, r.anchor_mask))?;
    let length = *LENGTHS.first()?;
    let options = |at: usize| (0..=255u8).filter(move |b| (b ^ value[at]) & mask[at] == 0);
    let forms = |at: usize| (at..at + length).map(|i| 1usize << (8 - mask[i].count_ones())).product::<usize>();
    // All of the window's bytes are there when the rule matches: what is not asked for may not have come, and never come.
    let asked = mask.iter().rposition(|mask| *mask != 0).map_or(0, |at| at + 1);
    let there = usize::try_from(certain(run)).unwrap_or(0).clamp(asked, ANCHOR);
    let places = 0..=there.checked_sub(length)?;
    let at = places.min_by_key(|&at| forms(at)).filter(|&at| forms(at) <= FORMS_MAX)?;
    let mut strings: Vec<Vec<u8>> = vec![Vec::new()];
    for i in at..at + length {
        strings = strings.iter().flat_map(|s| options(i).map(move |b| [s.as_slice(), &[b]].concat())).collect();
    }
    let windows: Vec<Fragment> = strings.iter().filter_map(|s| Fragment::new(s, true)).collect();
    if windows.len() != strings.len() {
        return None;
    }
    let mut records = records.to_vec();
    for record in &mut records {
        (record.anchor_value, record.anchor_mask) = ([0; ANCHOR], [0; ANCHOR]);
        record.flags &= !(RecordFlags::ANCHOR_PACKET.0 | RecordFlags::ANCHOR_STREAM.0);
        set_position(record, Range { low: at as i64, high: at as i64 }, false, stream_only);
        set_anchor(record, run, placed, Some((at + length) as i64), None, stream_only);
    }
    let traffic = payload::traffic(rule);
    let rate = windows.iter().map(|w| builder.statistics.rate(traffic, w)).sum::<f64>().min(1.0) * 0.01;
    let narrowing = records.iter().map(|r| super::cost::narrowing(r, builder.sets)).sum::<f64>();
    Some(Choice {
        class: Class::Header,
        reason: format!("first payload bytes, from byte {at}, {} forms", windows.len()),
        conditions: (records.iter())
            .flat_map(|&record| windows.iter().map(move |&w| Condition { trigger: Trigger::Fragment(w), record }))
            .collect(),
        percent: Vec::new(),
        equals: Vec::new(),
        cost: rate * payload::HELD * narrowing,
    })
}

/// A guard that some byte of the match raises in the frame that carries it. On packets that frame is the one that
/// matches, so it combines with anchors and sizes; on streams it stands alone. Bytes above 0x7f stand in text as well.
/// `length_max`: most bytes of the payload, if the rule looks at packets; a field that `byte_jump` reads in one has high
/// bytes of zero.
fn byte_guard(
    run: &BufferMatch,
    placed: &[Placed<'_>],
    length_max: Option<u64>,
    anchored: bool,
    builder: &Builder<'_>,
) -> Option<Guard> {
    if length_max.is_none() && anchored {
        return None;
    }
    let has = |test: fn(u8) -> bool| placed.iter().any(|p| p.content.bytes.iter().any(|&b| test(b)));
    let zero = || {
        let absent = run.matches.iter().any(|m| matches!(m, Match::Absent { .. }));
        let fields = run.matches.iter().filter_map(|m| match (m, length_max) {
            (Match::ByteJump(j), Some(most)) if !absent => Some(chain::jump_bits(j, most)),
            _ => None,
        });
        fields.flatten().any(|(_, _, mask)| mask == 0xff)
    };
    let control = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\r' | b'\n')) || b == 0x7f;
    if (has(control) || zero()) && builder.options.guard(Guard::UriControl) {
        Some(Guard::UriControl)
    } else if has(|b| b >= 0x80) && builder.options.guard(Guard::UriHighByte) {
        Some(Guard::UriHighByte)
    } else {
        None
    }
}

/// Anchor bytes: those of all contents with a fixed start, and bits that `byte_test` fixes. `end`: in a stream only
/// bytes before this position of the stream count, because they are there when the fragment is. Without a fragment the
/// record is judged at every frame, and holds at the latest when all anchored bytes are there.
/// `length_max`: most bytes of the payload, if the rule looks at packets.
pub(super) fn set_anchor(
    record: &mut Record,
    run: &BufferMatch,
    placed: &[Placed<'_>],
    end: Option<i64>,
    length_max: Option<u64>,
    stream_only: bool,
) {
    let known = match end {
        Some(end) if length_max.is_none() => end,
        _ => ANCHOR as i64,
    };
    let mut any = false;
    let mut fix = |at: i64, byte: u8, bits: u8| {
        if at >= known || bits == 0 {
            return;
        }
        let Some((value, mask)) = usize::try_from(at)
            .ok()
            .and_then(|at| Some((record.anchor_value.get_mut(at)?, record.anchor_mask.get_mut(at)?)))
        else {
            return;
        };
        // What is fixed already stays: a contradiction means that the rule cannot match.
        let bits = bits & !*mask;
        *value |= byte & bits;
        *mask |= bits;
        any |= bits != 0;
    };
    for p in placed.iter().filter(|p| p.range.is_fixed()) {
        for (i, &byte) in p.content.bytes.iter().enumerate().take(ANCHOR) {
            fix(p.range.low + i as i64, byte, anchor_mask(p.content, byte));
        }
    }
    if !run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        // Where the match before ended, if there is one place only.
        let mut previous = Some(0);
        for (index, m) in run.matches.iter().enumerate() {
            let bits = match m {
                Match::ByteTest(t) if t.relative => previous.map_or_else(Vec::new, |end| moved(test_bits(t), end)),
                Match::ByteTest(t) => test_bits(t),
                Match::ByteJump(j) if !j.relative => length_max.map_or_else(Vec::new, |most| chain::jump_bits(j, most)),
                _ => Vec::new(),
            };
            for (at, value, mask) in bits {
                fix(at, value, mask);
            }
            if chain::moves(m) {
                let content = placed.iter().find(|p| p.index == index && p.range.is_fixed());
                previous = content.map(|p| p.range.low.saturating_add(p.content.bytes.len() as i64));
            }
        }
    }
    if any {
        record.flags |=
            base_flags(length_max.is_some(), stream_only, RecordFlags::ANCHOR_PACKET.0, RecordFlags::ANCHOR_STREAM.0);
    }
}

/// Bytes that the buffer has at least where the run matches: as far as contents, sizes and the fields of tests at constant places reach.
fn certain(run: &BufferMatch) -> i64 {
    let least = chain::least_length(&run.matches);
    if least == 0 {
        return 0;
    }
    let fields = run.matches.iter().map(|m| match m {
        Match::ByteTest(ByteTest {
            count: Number::Constant(count),
            offset: Number::Constant(offset),
            relative: false,
            negated: false,
            base: ByteBase::Binary,
            ..
        }) => offset.saturating_add(*count),
        _ => 0,
    });
    fields.fold(least, i64::max)
}

fn moved(bits: Vec<(i64, u8, u8)>, by: i64) -> Vec<(i64, u8, u8)> {
    bits.into_iter().map(|(at, value, mask)| (at.saturating_add(by), value, mask)).collect()
}

/// Bits that a `byte_test` at a constant place fixes (from the match before it, if it is relative): position, value, mask.
fn test_bits(t: &ByteTest) -> Vec<(i64, u8, u8)> {
    let (Number::Constant(count), Number::Constant(offset), Number::Constant(value)) = (t.count, t.offset, t.value)
    else {
        return Vec::new();
    };
    let plain = t.base == ByteBase::Binary && t.bitmask.is_none() && t.endian != Endian::Dce;
    let (Ok(count), Ok(value)) = (u32::try_from(count), u64::try_from(value)) else { return Vec::new() };
    if !plain || (offset < 0 && !t.relative) || !(1..=8).contains(&count) {
        return Vec::new();
    }
    let all = if count == 8 { u64::MAX } else { (1u64 << (8 * count)) - 1 };
    // (Negated tests are not used: what they mean beyond the payload's end is the engine's choice.)
    // Bits of the field that must be `fixed & mask`.
    let (fixed, mask) = match (t.operator, t.negated) {
        (TestOperator::Equal, false) => (value, all),
        (TestOperator::Less, false) if value > 0 => (0, all & !chain::below(value - 1)),
        (TestOperator::LessEqual, false) => (0, all & !chain::below(value)),
        (TestOperator::And, false) if value.count_ones() == 1 => (value, all & value),
        _ => return Vec::new(),
    };
    chain::bytes_of_field(offset, count, t.endian, fixed, mask)
}

fn anchor_mask(content: &Content, byte: u8) -> u8 {
    if content.nocase && byte.is_ascii_alphabetic() { 0xdf } else { 0xff }
}
