//! What a buffer certainly holds: runs of bytes, and where they can begin.
//!
//! A content begins where `offset` and `depth` say, and relative ones where the match before them ended, plus `distance`,
//! within `within`. What other matches do to that end (`pcre`, jumps, extractions) is not known here: behind them a
//! relative content can be anywhere. Contents at one possible distance from each other form one run.

use std::collections::BTreeMap;
use weir_ir::{ByteBase, ByteJump, ByteTest, Comparison, Content, Endian, Match, Number, TestOperator};

/// Beyond every payload.
pub const FAR: i64 = 1 << 40;

/// One byte that is certain: its value, and whether its case is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Value as the rule writes it.
    pub byte: u8,
    /// The rule compares it in case.
    pub exact: bool,
}

/// Bytes next to one another.
#[derive(Debug, Clone)]
pub struct Strip {
    /// The bytes.
    pub cells: Vec<Cell>,
    /// First and last place where they can begin, in the buffer.
    pub at: (i64, i64),
}

/// A positive content.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// It.
    pub content: &'a Content,
    /// First and last place where it can begin.
    pub at: (i64, i64),
    /// Index among the matches.
    pub index: usize,
    /// Only possible distance between its beginning and that of the content before it.
    pub behind: Option<i64>,
}

impl Placed<'_> {
    /// Bytes.
    pub fn len(&self) -> i64 {
        self.content.bytes.len() as i64
    }

    /// It begins the buffer.
    pub fn at_start(&self) -> bool {
        self.at == (0, 0)
    }

    /// Its bytes as a run.
    pub fn strip(&self, folded: bool) -> Strip {
        let exact = !self.content.nocase && !folded;
        Strip { cells: self.content.bytes.iter().map(|&byte| Cell { byte, exact }).collect(), at: self.at }
    }
}

fn constant(n: Option<Number>) -> Result<Option<i64>, ()> {
    match n {
        None => Ok(None),
        Some(Number::Constant(n)) => Ok(Some(n)),
        Some(Number::Variable(_)) => Err(()),
    }
}

/// Positive contents that must all match, and where; none where the buffer may be absent instead.
pub fn contents(matches: &[Match]) -> Vec<Placed<'_>> {
    let mut out: Vec<Placed<'_>> = Vec::new();
    if matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return out;
    }
    // Where the match before can have ended.
    let mut end = Some((0, 0));
    for (index, m) in matches.iter().enumerate() {
        match m {
            Match::Content(c) if !c.negated => {
                let length = c.bytes.len() as i64;
                let at = begin(c, end);
                let behind = match (out.last(), end, constant(c.distance), constant(c.within)) {
                    (Some(before), Some(_), Ok(distance), Ok(Some(within))) if within == length => {
                        Some(before.len().saturating_add(distance.unwrap_or(0)))
                    }
                    _ => None,
                };
                end = Some((at.0.saturating_add(length), at.1.saturating_add(length).min(FAR)));
                out.push(Placed { content: c, at, index, behind });
            }
            Match::Pcre(p) if p.negated => {}
            Match::Pcre(_)
            | Match::ByteJump(_)
            | Match::ByteExtract(_)
            | Match::ByteMath(_)
            | Match::Base64Decode(_) => end = None,
            _ => {}
        }
    }
    out
}

fn begin(c: &Content, end: Option<(i64, i64)>) -> (i64, i64) {
    let length = c.bytes.len() as i64;
    let (mut low, mut high) = (0, FAR);
    if c.is_relative() {
        if let (Some((least, most)), Ok(distance)) = (end, constant(c.distance)) {
            let distance = distance.unwrap_or(0);
            low = low.max(least.saturating_add(distance));
            if let (Ok(Some(within)), true) = (constant(c.within), most < FAR / 2) {
                high = high.min(most.saturating_add(distance).saturating_add(within).saturating_sub(length));
            }
        }
    }
    if let Ok(offset) = constant(c.offset) {
        let offset = offset.unwrap_or(0).max(0);
        low = low.max(offset);
        if let Ok(Some(depth)) = constant(c.depth) {
            high = high.min(offset.saturating_add(depth).saturating_sub(length));
        }
        if c.anchor.start && !c.is_relative() {
            high = high.min(offset);
        }
    }
    // Limits that contradict each other never match: nothing is concluded from them.
    if high < low { (0, FAR) } else { (low, high) }
}

/// Bytes that the buffer has at least.
pub fn least_length(matches: &[Match]) -> i64 {
    if matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        return 0;
    }
    let ends = contents(matches).into_iter().map(|p| p.at.0.saturating_add(p.len()));
    let said = matches.iter().map(|m| match m {
        Match::IsDataAt(d) if !d.negated && !d.relative => match d.position {
            Number::Constant(n) => n,
            Number::Variable(_) => 0,
        },
        Match::Size(Comparison::Equal(n) | Comparison::GreaterEqual(n) | Comparison::Within(n, _)) => {
            i64::try_from(*n).unwrap_or(0)
        }
        Match::Size(Comparison::Greater(n) | Comparison::Between(n, _)) => {
            i64::try_from(*n).map_or(0, |n| n.saturating_add(1))
        }
        _ => 0,
    });
    ends.chain(said).max().unwrap_or(0).clamp(0, FAR)
}

/// Runs of bytes of the contents, each alone and those at one distance joined. `most`: greatest length of the buffer, if
/// that is known: then a jump's field has zeros in its high bytes.
pub fn strips(matches: &[Match], placed: &[Placed<'_>], folded: bool, most: Option<u64>) -> Vec<Strip> {
    let mut out: Vec<Strip> = placed.iter().map(|p| p.strip(folded)).collect();
    // Groups: their beginning's range, and bytes by place relative to it.
    let mut groups: Vec<((i64, i64), BTreeMap<i64, Cell>)> = vec![((0, 0), BTreeMap::new())];
    let draw = |group: &mut BTreeMap<i64, Cell>, at: i64, cells: &[Cell]| {
        for (i, cell) in cells.iter().enumerate() {
            let known = group.entry(at.saturating_add(i as i64)).or_insert(*cell);
            if cell.exact {
                *known = *cell;
            }
        }
    };
    let mut chain: Option<(usize, i64)> = None;
    for (n, p) in placed.iter().enumerate() {
        let cells = p.strip(folded).cells;
        if p.at.0 == p.at.1 {
            draw(&mut groups[0].1, p.at.0, &cells);
        }
        let (group, start) = match (p.behind, chain) {
            (Some(behind), Some((group, start))) => (group, start.saturating_add(behind)),
            _ => {
                groups.push((p.at, BTreeMap::new()));
                (groups.len() - 1, 0)
            }
        };
        draw(&mut groups[group].1, start, &cells);
        let next = placed.get(n + 1).map_or(matches.len(), |next| next.index);
        let moving = matches.get(p.index + 1..next).unwrap_or(&[]).iter().find(|m| {
            matches!(m, Match::ByteJump(_) | Match::ByteExtract(_) | Match::ByteMath(_) | Match::Base64Decode(_))
                || matches!(m, Match::Pcre(p) if !p.negated)
        });
        if let (Some(Match::ByteJump(jump)), Some(most)) = (moving, most) {
            if jump.relative {
                for (at, _, _) in jump_bits(jump, most).into_iter().filter(|(_, _, mask)| *mask == 0xff) {
                    draw(
                        &mut groups[group].1,
                        start.saturating_add(p.len()).saturating_add(at),
                        &[Cell { byte: 0, exact: true }],
                    );
                }
            }
        }
        chain = Some((group, start));
    }
    for (at, cells) in groups {
        let mut run: Vec<Cell> = Vec::new();
        let mut from = 0i64;
        for (place, cell) in cells {
            if !run.is_empty() && place != from.saturating_add(run.len() as i64) {
                out.push(Strip { at: moved(at, from), cells: std::mem::take(&mut run) });
            }
            if run.is_empty() {
                from = place;
            }
            run.push(cell);
        }
        if !run.is_empty() {
            out.push(Strip { at: moved(at, from), cells: run });
        }
    }
    out
}

/// A range further on; an open end stays open.
pub fn moved(at: (i64, i64), by: i64) -> (i64, i64) {
    (at.0.saturating_add(by), if at.1 >= FAR / 2 { at.1 } else { at.1.saturating_add(by) })
}

fn field(offset: i64, count: i64, endian: Endian, value: u64, mask: u64) -> Vec<(i64, u8, u8)> {
    (0..count)
        .map(|i| {
            let shift = 8 * if endian == Endian::Little { i } else { count - 1 - i };
            (offset.saturating_add(i), (value >> shift) as u8, (mask >> shift) as u8)
        })
        .collect()
}

/// Bits above the highest one of `greatest` in a field of `count` bytes.
fn above(greatest: u64, count: i64) -> u64 {
    let all = if count == 8 { u64::MAX } else { (1 << (8 * count)) - 1 };
    let used = 64 - greatest.leading_zeros();
    all & if used >= 64 { 0 } else { !((1u64 << used) - 1) }
}

/// Bits of a jump's field that are zero because it must not lead out of `most` bytes: place, value, mask.
pub fn jump_bits(j: &ByteJump, most: u64) -> Vec<(i64, u8, u8)> {
    let (Number::Constant(count @ 1..=8), Number::Constant(offset), Number::Constant(post)) =
        (j.count, j.offset, j.post_offset)
    else {
        return Vec::new();
    };
    if j.base != ByteBase::Binary || j.bitmask.is_some() || j.endian == Endian::Dce {
        return Vec::new();
    }
    let greatest = i64::try_from(most).unwrap_or(i64::MAX).saturating_sub(post).max(0) as u64;
    field(offset, count, j.endian, 0, above(greatest, count))
}

/// Where the field of a test at a constant place ends; without all of its bytes the test does not hold.
pub fn test_end(m: &Match) -> Option<i64> {
    match m {
        Match::ByteTest(t) if !t.negated && !t.relative && t.base == ByteBase::Binary => match (t.count, t.offset) {
            (Number::Constant(count), Number::Constant(offset)) if offset >= 0 => Some(offset.saturating_add(count)),
            _ => None,
        },
        _ => None,
    }
}

/// Bits that a test asks for, from where the match before it ended if it is relative: place, value, mask.
pub fn test_bits(t: &ByteTest) -> Vec<(i64, u8, u8)> {
    let (Number::Constant(count @ 1..=8), Number::Constant(offset), Number::Constant(value)) =
        (t.count, t.offset, t.value)
    else {
        return Vec::new();
    };
    if offset < 0 && !t.relative {
        return Vec::new();
    }
    let Ok(value) = u64::try_from(value) else { return Vec::new() };
    if t.negated || t.base != ByteBase::Binary || t.bitmask.is_some() || t.endian == Endian::Dce {
        return Vec::new();
    }
    let all = above(0, count);
    let (value, mask) = match t.operator {
        TestOperator::Equal => (value, all),
        TestOperator::Less if value > 0 => (0, above(value - 1, count)),
        TestOperator::LessEqual => (0, above(value, count)),
        TestOperator::And if value.is_power_of_two() => (value, all & value),
        _ => return Vec::new(),
    };
    field(offset, count, t.endian, value, mask)
}

/// Differences between a number of four bytes, lowest first, in a packet of at least `least` bytes and the packet's length: the least
/// and the greatest, where a jump by it must end within the packet and near its end.
pub fn length_told(matches: &[Match], least: i64) -> Vec<(i64, i64)> {
    let mut out = Vec::new();
    // What the jump before adds to its number.
    let mut led: Option<i64> = None;
    for m in matches {
        match m {
            Match::Absent { .. } => return Vec::new(),
            Match::ByteJump(j) => led = added(j),
            Match::Content(c) if c.negated => {}
            Match::Pcre(p) if p.negated => {}
            Match::Content(_) | Match::Pcre(_) | Match::ByteExtract(_) | Match::ByteMath(_) | Match::Base64Decode(_) => led = None,
            // There are fewer than `n` bytes behind; a jump to before the beginning would leave all of them.
            Match::IsDataAt(d) if d.negated && d.relative => {
                if let (Some(add), Number::Constant(n)) = (led, d.position) {
                    if n > 0 && n <= least {
                        out.push((-add - n + 1, -add));
                    }
                }
            }
            _ => {}
        }
    }
    out
}

/// Where a jump by a number *v* ends, less *v*.
fn added(j: &ByteJump) -> Option<i64> {
    let (Number::Constant(count), Number::Constant(offset), Number::Constant(post)) = (j.count, j.offset, j.post_offset) else {
        return None;
    };
    let as_it_is = j.base == ByteBase::Binary && j.bitmask.is_none() && j.multiplier < 2 && !j.align;
    if count != 4 || !as_it_is || j.endian != Endian::Little || j.from_end {
        return None;
    }
    match (j.from_beginning, j.relative) {
        (true, _) => Some(post),
        (false, false) if offset >= 0 => post.checked_add(offset)?.checked_add(count),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &[u8], change: impl Fn(&mut Content)) -> Match {
        let mut c = Content { bytes: bytes.into(), ..Content::default() };
        change(&mut c);
        Match::Content(c)
    }

    #[test]
    fn places_follow_the_modifiers() {
        let n = |n| Some(Number::Constant(n));
        let matches = [
            content(b"ab", |c| (c.offset, c.depth) = (n(3), n(6))),
            content(b"cd", |c| (c.distance, c.within) = (n(1), n(4))),
            content(b"ef", |c| c.distance = n(0)),
            content(b"gh", |c| c.depth = n(2)),
        ];
        let at: Vec<_> = contents(&matches).iter().map(|p| p.at).collect();
        assert_eq!(at, [(3, 7), (6, 12), (8, FAR), (0, 0)]);
        assert_eq!(least_length(&matches), 10);
    }

    #[test]
    fn contents_at_one_distance_are_one_run() {
        let n = |n| Some(Number::Constant(n));
        let matches = [content(b"ab", |_| ()), content(b"cd", |c| (c.distance, c.within) = (n(0), n(2)))];
        let placed = contents(&matches);
        let runs = strips(&matches, &placed, false, None);
        assert!(runs.iter().any(|s| s.cells.iter().map(|c| c.byte).eq(*b"abcd")));
        let loose = [content(b"ab", |_| ()), content(b"cd", |c| (c.distance, c.within) = (n(0), n(3)))];
        assert!(strips(&loose, &contents(&loose), false, None).iter().all(|s| s.cells.len() == 2));
    }
}
