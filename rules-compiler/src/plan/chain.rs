//! Where the contents of a buffer can lie: start ranges, derived from `offset`, `depth`, `distance`, `within`.
//!
//! Argument: an absolute content starts within [offset, offset + depth - length]; a relative one within
//! [end of the previous match + distance, + within - length] for *some* match of the previous content, so ranges add.
//! `pcre`, `byte_jump`, `byte_extract`, `byte_math` and base64 decoding move the previous end by an amount that the
//! rule does not fix: behind them only absolute contents are known. Negated contents do not move it. Every unknown
//! widens; a range is never narrower than what the engine accepts (`depth` counts from `offset`, `within` from the
//! place that `distance` gives).

use std::collections::BTreeMap;
use weir_ir::{ByteBase, ByteJump, Content, Endian, Match, Number};

/// Closed range of start positions within the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Least start.
    pub low: i64,
    /// Greatest start; [`UNBOUNDED`] where the rule sets no bound.
    pub high: i64,
}

/// No upper bound.
pub const UNBOUNDED: i64 = i64::MAX / 4;

impl Range {
    /// Anywhere.
    pub const ANY: Range = Range { low: 0, high: UNBOUNDED };

    /// There is one possible start.
    pub fn is_fixed(self) -> bool {
        self.low == self.high
    }

    /// Shifted; an open end stays open.
    pub fn moved(self, by: i64) -> Range {
        let high = if self.is_unbounded() { self.high } else { self.high.saturating_add(by) };
        Range { low: self.low.saturating_add(by), high }
    }

    /// No upper bound.
    pub fn is_unbounded(self) -> bool {
        self.high >= UNBOUNDED / 2
    }
}

/// A positive content and its start range.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// The content.
    pub content: &'a Content,
    /// Where it can start.
    pub range: Range,
    /// Index in the buffer's matches.
    pub index: usize,
    /// Start relative to that of the content before it, where the rule leaves only one.
    pub link: Option<i64>,
}

/// Bytes that several contents fix next to one another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Compared as written (no content with `nocase` alone fixes it).
    pub exact: Vec<bool>,
    /// Where the first one can lie.
    pub range: Range,
}

fn constant(number: Option<Number>) -> Option<Option<i64>> {
    match number {
        None => Some(None),
        Some(Number::Constant(n)) => Some(Some(n)),
        Some(Number::Variable(_)) => None,
    }
}

/// Ranges of all positive contents of one buffer run. Matches behind `absent:or_else` are alternatives and therefore
/// not necessary: nothing is returned then.
pub fn place(matches: &[Match]) -> Vec<Placed<'_>> {
    if matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return Vec::new();
    }
    let mut out = Vec::new();
    // End range of the previous match; `None`: not known.
    let mut previous = Some((0i64, 0i64));
    for (index, m) in matches.iter().enumerate() {
        match m {
            Match::Content(c) if c.negated => {}
            Match::Content(c) => {
                let range = start_range(c, previous);
                let length = c.bytes.len() as i64;
                let link = match (previous, out.last()) {
                    (Some(_), Some(before)) => only_distance(c).map(|d| before_length(before) + d),
                    _ => None,
                };
                previous = Some((range.low + length, range.high.saturating_add(length).min(UNBOUNDED)));
                out.push(Placed { content: c, range, index, link });
            }
            Match::Pcre(p) if p.negated => {}
            Match::Pcre(_) | Match::ByteJump(_) | Match::ByteExtract(_) | Match::ByteMath(_) | Match::Base64Decode(_) => {
                previous = None;
            }
            Match::ByteTest(_)
            | Match::IsDataAt(_)
            | Match::Size(_)
            | Match::Absent { .. }
            | Match::Dataset(_)
            | Match::Entropy(_) => {}
        }
    }
    out
}

fn before_length(before: &Placed<'_>) -> i64 {
    before.content.bytes.len() as i64
}

/// Distance from the end of the previous match, where `within` leaves no choice.
fn only_distance(c: &Content) -> Option<i64> {
    let within = constant(c.within)??;
    (within == c.bytes.len() as i64).then_some(constant(c.distance)?.unwrap_or(0))
}

/// Bytes at a place of a group: of a content, or zeros of a number field.
struct Part<'a> {
    start: i64,
    bytes: &'a [u8],
    exact: bool,
}

/// Runs of bytes that no content fixes alone: contents with one possible start, and chains of contents at one possible
/// distance, with the zeros of fields that `byte_jump` reads beside them. `length_max`: most bytes the buffer can have, if
/// that is known.
pub fn joined(matches: &[Match], placed: &[Placed<'_>], length_max: Option<u64>) -> Vec<Joined> {
    let part = |start: i64, c| part_of(start, c);
    let mut groups: Vec<Vec<Part<'_>>> = Vec::new();
    groups.push(placed.iter().filter(|p| p.range.is_fixed()).map(|p| part(p.range.low, p.content)).collect());
    let mut bases = vec![Range { low: 0, high: 0 }];
    let mut chain: Option<(usize, i64)> = None;
    for (n, p) in placed.iter().enumerate() {
        let at = match (p.link, chain) {
            (Some(link), Some((group, start))) => Some((group, start.saturating_add(link))),
            _ => None,
        };
        let (group, start) = at.unwrap_or_else(|| {
            groups.push(Vec::new());
            bases.push(p.range);
            (groups.len() - 1, 0)
        });
        let Some(parts) = groups.get_mut(group) else { continue };
        parts.push(part(start, p.content));
        // A jump counts from the end of the content before it.
        let behind = matches.get(p.index + 1..placed.get(n + 1).map_or(matches.len(), |next| next.index)).unwrap_or(&[]);
        let jump = behind.iter().find(|m| moves(m));
        if let (Some(Match::ByteJump(j)), Some(most)) = (jump, length_max) {
            if j.relative {
                let end = start.saturating_add(before_length(p));
                let zeros = jump_bits(j, most).into_iter().filter(|(_, _, mask)| *mask == 0xff);
                parts.extend(zeros.map(|(at, _, _)| Part { start: end.saturating_add(at), bytes: &[0], exact: true }));
            }
        }
        chain = Some((group, start));
    }
    groups.iter().zip(bases).filter(|(group, _)| group.len() > 1).flat_map(|(group, base)| runs(group, base)).collect()
}

fn part_of(start: i64, content: &Content) -> Part<'_> {
    Part { start, bytes: &content.bytes, exact: !content.nocase }
}

/// The match ends elsewhere than where the content before it ended.
pub(super) fn moves(m: &Match) -> bool {
    match m {
        Match::Content(c) => !c.negated,
        Match::Pcre(p) => !p.negated,
        Match::ByteJump(_) | Match::ByteExtract(_) | Match::ByteMath(_) | Match::Base64Decode(_) => true,
        _ => false,
    }
}

fn runs(group: &[Part<'_>], base: Range) -> Vec<Joined> {
    let mut bytes: BTreeMap<i64, (u8, bool)> = BTreeMap::new();
    for part in group {
        for (i, &byte) in part.bytes.iter().enumerate() {
            let known = bytes.entry(part.start.saturating_add(i as i64)).or_insert((byte, part.exact));
            // Two contents on one byte: the one that compares as written says more. Contradictions cannot match.
            if part.exact {
                *known = (byte, true);
            }
        }
    }
    let mut out: Vec<(i64, Joined)> = Vec::new();
    for (at, (byte, exact)) in bytes {
        match out.last_mut() {
            Some((start, run)) if *start + run.bytes.len() as i64 == at => {
                run.bytes.push(byte);
                run.exact.push(exact);
            }
            _ => {
                out.push((at, Joined { bytes: vec![byte], exact: vec![exact], range: base.moved(at) }));
            }
        }
    }
    // What one content fixes alone is known without this.
    let alone = |run: &(i64, Joined)| {
        let end = run.0 + run.1.bytes.len() as i64;
        group.iter().any(|part| part.start <= run.0 && end <= part.start + part.bytes.len() as i64)
    };
    out.retain(|run| !alone(run));
    out.into_iter().map(|(_, run)| run).collect()
}

/// Bits that a `byte_jump` at a constant place fixes in a buffer of at most `length_max` bytes: where it leads must lie
/// within, so the field's high bits are zero. Position (from the start, or from the previous match), value, mask.
pub fn jump_bits(j: &ByteJump, length_max: u64) -> Vec<(i64, u8, u8)> {
    let (Number::Constant(count), Number::Constant(offset), Number::Constant(post)) = (j.count, j.offset, j.post_offset)
    else {
        return Vec::new();
    };
    let plain = j.base == ByteBase::Binary && j.bitmask.is_none() && j.endian != Endian::Dce;
    let Ok(count) = u32::try_from(count) else { return Vec::new() };
    if !plain || !(1..=8).contains(&count) {
        return Vec::new();
    }
    // Multiplication and alignment only lead farther.
    let greatest = i64::try_from(length_max).unwrap_or(i64::MAX).saturating_sub(post).max(0) as u64;
    let all = if count == 8 { u64::MAX } else { (1u64 << (8 * count)) - 1 };
    bytes_of_field(offset, count, j.endian, 0, all & !below(greatest))
}

/// A field's value and mask, byte by byte: position, value, mask.
pub fn bytes_of_field(offset: i64, count: u32, endian: Endian, value: u64, mask: u64) -> Vec<(i64, u8, u8)> {
    (0..count)
        .map(|i| {
            let shift = if endian == Endian::Little { 8 * i } else { 8 * (count - 1 - i) };
            (offset + i64::from(i), (value >> shift) as u8, (mask >> shift) as u8)
        })
        .collect()
}

/// All bits at and below the highest one of `value`.
pub fn below(value: u64) -> u64 {
    match 64 - value.leading_zeros() {
        64 => u64::MAX,
        bits => (1u64 << bits) - 1,
    }
}

fn start_range(c: &Content, previous: Option<(i64, i64)>) -> Range {
    let length = c.bytes.len() as i64;
    let mut range = Range::ANY;
    if c.is_relative() {
        if let Some((low, high)) = previous {
            match constant(c.distance) {
                Some(distance) => {
                    let distance = distance.unwrap_or(0);
                    range.low = range.low.max(low.saturating_add(distance));
                    if let Some(Some(within)) = constant(c.within) {
                        range.high = range.high.min(high.saturating_add(distance).saturating_add(within) - length);
                    }
                }
                // A distance from a variable may be negative.
                None => range.low = 0,
            }
        }
    }
    // Absolute limits hold for every content that has them.
    let offset = constant(c.offset);
    if let Some(Some(offset)) = offset {
        range.low = range.low.max(offset);
    }
    if let (Some(offset), Some(Some(depth))) = (offset, constant(c.depth)) {
        range.high = range.high.min(offset.unwrap_or(0).max(0).saturating_add(depth) - length);
    }
    if c.anchor.start && !c.is_relative() {
        // `startswith` is depth = length, offset 0.
        range.high = range.high.min(constant(c.offset).flatten().unwrap_or(0).max(0));
    }
    range.low = range.low.max(0);
    if range.high < range.low {
        // Contradictory limits: the rule cannot match; stay wide rather than reason about it.
        return Range::ANY;
    }
    range
}

/// Least number of bytes the buffer must have: the farthest end of its contents, `bsize` and `isdataat`.
pub fn least_length(matches: &[Match]) -> i64 {
    use weir_ir::Comparison as C;
    if matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return 0;
    }
    let contents = place(matches).iter().map(|p| p.range.low + p.content.bytes.len() as i64).max().unwrap_or(0);
    let others = matches.iter().map(|m| match m {
        Match::IsDataAt(d) if !d.negated && !d.relative => match d.position {
            Number::Constant(n) => n,
            Number::Variable(_) => 0,
        },
        Match::Size(C::Equal(n) | C::GreaterEqual(n)) => i64::try_from(*n).unwrap_or(0),
        Match::Size(C::Greater(n) | C::Between(n, _)) => i64::try_from(*n).unwrap_or(0).saturating_add(1),
        Match::Size(C::Within(n, _)) => i64::try_from(*n).unwrap_or(0),
        _ => 0,
    });
    contents.max(others.max().unwrap_or(0)).min(UNBOUNDED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &[u8], distance: Option<i64>, within: Option<i64>) -> Match {
        Match::Content(Content {
            bytes: bytes.into(),
            distance: distance.map(Number::Constant),
            within: within.map(Number::Constant),
            ..Content::default()
        })
    }

    fn bytes_joined(matches: &[Match], length_max: Option<u64>) -> Vec<Vec<u8>> {
        joined(matches, &place(matches), length_max).into_iter().map(|j| j.bytes).collect()
    }

    #[test]
    fn contents_at_one_distance_join() {
        let near = [content(b"ab", None, None), content(b"cd", Some(0), Some(2))];
        assert_eq!(bytes_joined(&near, None), [b"abcd"]);
        let before = [content(b"cd", None, None), content(b"ab", Some(-4), Some(2))];
        assert_eq!(bytes_joined(&before, None), [b"abcd"]);
        let apart = [content(b"ab", None, None), content(b"cd", Some(1), Some(2))];
        assert!(bytes_joined(&apart, None).is_empty());
        let loose = [content(b"ab", None, None), content(b"cd", Some(0), Some(3))];
        assert!(bytes_joined(&loose, None).is_empty());
    }

    #[test]
    fn fields_of_jumps_are_zero_above_the_length() {
        let jump = |offset, endian, post| {
            Match::ByteJump(ByteJump {
                count: Number::Constant(4),
                offset: Number::Constant(offset),
                relative: true,
                multiplier: 1,
                endian,
                base: ByteBase::Binary,
                align: false,
                from_beginning: true,
                from_end: false,
                post_offset: Number::Constant(post),
                bitmask: None,
            })
        };
        let little = [content(b"x\x9c", None, None), jump(-6, Endian::Little, -1)];
        assert_eq!(bytes_joined(&little, Some(65_527)), [b"\0\0x\x9c"]);
        assert!(bytes_joined(&little, None).is_empty(), "without a bound nothing is known");
        let big = [content(b"x\x9c", None, None), jump(0, Endian::Big, 0)];
        assert_eq!(bytes_joined(&big, Some(65_527)), [b"x\x9c\0\0"]);
        // A jump behind another one counts from where that led.
        let twice = [content(b"x\x9c", None, None), jump(20, Endian::Big, 0), jump(0, Endian::Big, 0)];
        assert!(bytes_joined(&twice, Some(65_527)).iter().all(|j| !j.starts_with(b"x\x9c\0")));
    }
}
