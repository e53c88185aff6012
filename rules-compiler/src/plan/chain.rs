//! Where the contents of a buffer can lie: start ranges, derived from `offset`, `depth`, `distance`, `within`.
//!
//! Argument: an absolute content starts within [offset, offset + depth - length]; a relative one within
//! [end of the previous match + distance, + within - length] for *some* match of the previous content, so ranges add.
//! `pcre`, `byte_jump`, `byte_extract`, `byte_math` and base64 decoding move the previous end by an amount that the
//! rule does not fix: behind them only absolute contents are known. Negated contents do not move it. Every unknown
//! widens; a range is never narrower than what the engine accepts (`depth` is read as counted from `offset`, `within`
//! as counted from `distance`, whichever is wider).

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
                previous = Some((range.low + length, range.high.saturating_add(length).min(UNBOUNDED)));
                out.push(Placed { content: c, range, index });
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
                        range.high = range.high.min(high.saturating_add(distance.max(0)).saturating_add(within) - length);
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
