//! Where the contents of a buffer can lie: start ranges, derived from `offset`, `depth`, `distance`, `within`.
//!
//! Argument: an absolute content starts within [offset, offset + depth - length]; a relative one within
//! [end of the previous match + distance, + within - length] for *some* match of the previous content, so ranges add.
//! `pcre`, `byte_jump`, `byte_extract`, `byte_math` and base64 decoding move the previous end by an amount that the
//! rule does not fix: behind them only absolute contents are known. Negated contents do not move it. Every unknown
//! widens; a range is never narrower than what the engine accepts (`depth` counts from `offset`, `within` from the
//! place that `distance` gives).

use std::collections::BTreeMap;
use weir_ir::{Content, Match, Number};

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

/// Runs of bytes that more than one content fixes: contents with one possible start, and chains of contents at one
/// possible distance.
pub fn joined(placed: &[Placed<'_>]) -> Vec<Joined> {
    let mut groups: Vec<Vec<(i64, &Content)>> = Vec::new();
    let fixed: Vec<_> = placed.iter().filter(|p| p.range.is_fixed()).map(|p| (p.range.low, p.content)).collect();
    let mut bases = vec![Range { low: 0, high: 0 }];
    groups.push(fixed);
    let mut chain: Option<(usize, i64)> = None;
    for p in placed {
        let at = match (p.link, chain) {
            (Some(link), Some((group, start))) => Some((group, start.saturating_add(link))),
            _ => None,
        };
        let (group, start) = at.unwrap_or_else(|| {
            groups.push(Vec::new());
            bases.push(p.range);
            (groups.len() - 1, 0)
        });
        if let Some(group) = groups.get_mut(group) {
            group.push((start, p.content));
        }
        chain = Some((group, start));
    }
    groups.iter().zip(bases).filter(|(group, _)| group.len() > 1).flat_map(|(group, base)| runs(group, base)).collect()
}

fn runs(group: &[(i64, &Content)], base: Range) -> Vec<Joined> {
    let mut bytes: BTreeMap<i64, (u8, bool)> = BTreeMap::new();
    for (start, content) in group {
        for (i, &byte) in content.bytes.iter().enumerate() {
            let known = bytes.entry(start.saturating_add(i as i64)).or_insert((byte, !content.nocase));
            // Two contents on one byte: the one that compares as written says more. Contradictions cannot match.
            if !content.nocase {
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
        group.iter().any(|(start, c)| *start <= run.0 && run.0 + run.1.bytes.len() as i64 <= *start + c.bytes.len() as i64)
    };
    out.retain(|run| !alone(run));
    out.into_iter().map(|(_, run)| run).collect()
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
