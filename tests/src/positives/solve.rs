//! Bytes in which all matches of a buffer hold.
//!
//! Proposals at random, each checked with the evaluator of the engine: a template takes the matches one after the other
//! (absolute ones first, what asks for the end last), the gaps are filled, and the chain says whether it holds. Nothing
//! here decides what a match means.

use super::regex::{Expression, Leaning};
use std::collections::HashMap;
use weir_detect::chain::compile::chain;
use weir_detect::chain::{Evaluator, Limits, field};
use weir_detect::pcre::{Outcome, PcreLimits, compile, ffi};
use weir_detect::program::datasets::DatasetTable;
use weir_detect::shared::Datasets;
use weir_detect::transform;
use weir_ir::{
    Buffer, BufferMatch, ByteBase, ByteTest, Comparison, Content, Endian, Match, Number, Pcre, TestOperator, Transform,
};
use weir_synth::Random;

/// Proposals for one buffer.
const ATTEMPTS: usize = 120;
/// Longest buffer.
const LENGTH_MAX: usize = 60_000;

/// Which bytes fill gaps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filler {
    /// Letters and digits.
    Text,
    /// Letters in lower case.
    Name,
    /// Digits.
    Digits,
}

/// Why no bytes were found.
pub type Cause = &'static str;

/// Makes buffers.
pub struct Solver {
    evaluator: Evaluator,
    datasets: Datasets,
    matcher: ffi::Matcher,
    values: HashMap<u8, u64>,
}

/// The matches of one buffer, and what its bytes have to look like besides.
pub struct Wanted<'r> {
    /// The matches.
    pub matches: &'r BufferMatch,
    /// Those of `base64_data`, where this buffer holds the encoded bytes.
    pub decoded: Option<&'r BufferMatch>,
    /// Gaps.
    pub filler: Filler,
    /// Length besides the matches' own conditions.
    pub length: Vec<Comparison>,
    /// Shape that the protocol asks of the bytes.
    pub shape: fn(&[u8]) -> bool,
    /// Bytes at the beginning, where the matches leave them free.
    pub lead: &'r [u8],
    /// Bytes at the end, where the matches leave it open.
    pub trail: &'r [u8],
}

#[derive(Clone, Default)]
struct Template {
    cells: Vec<Option<u8>>,
    /// Nothing may follow.
    closed: bool,
}

impl Template {
    fn reach(&mut self, length: usize) -> bool {
        if length > LENGTH_MAX || (self.closed && length > self.cells.len()) {
            return false;
        }
        if length > self.cells.len() {
            self.cells.resize(length, None);
        }
        true
    }

    fn free(&self, at: usize, bytes: &[u8], nocase: bool) -> bool {
        bytes.iter().enumerate().all(|(n, byte)| match self.cells.get(at + n) {
            Some(Some(old)) => old == byte || (nocase && old.eq_ignore_ascii_case(byte)),
            Some(None) => true,
            None => !self.closed,
        })
    }

    fn put(&mut self, at: usize, bytes: &[u8], nocase: bool) -> bool {
        if !self.free(at, bytes, nocase) || !self.reach(at + bytes.len()) {
            return false;
        }
        for (cell, byte) in self.cells[at..].iter_mut().zip(bytes) {
            cell.get_or_insert(*byte);
        }
        true
    }

    /// Where the bytes stand already, within these bounds.
    fn standing(&self, bytes: &[u8], nocase: bool, low: usize, high: usize) -> Option<usize> {
        let high = high.min(self.cells.len());
        (low..(high + 1).saturating_sub(bytes.len())).find(|at| {
            bytes.iter().enumerate().all(|(n, byte)| {
                self.cells[at + n].is_some_and(|old| old == *byte || (nocase && old.eq_ignore_ascii_case(byte)))
            })
        })
    }

    fn filled(&self, filler: Filler, random: &mut Random) -> Vec<u8> {
        self.cells.iter().map(|cell| cell.unwrap_or_else(|| fill(filler, random))).collect()
    }
}

fn fill(filler: Filler, random: &mut Random) -> u8 {
    let alphabet: &[u8] = match filler {
        Filler::Text => b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
        Filler::Name => b"abcdefghijklmnopqrstuvwxyz",
        Filler::Digits => b"123456789",
    };
    random.pick(alphabet)
}

fn is_relative(item: &Match) -> bool {
    match item {
        Match::Content(c) => c.is_relative(),
        Match::Pcre(p) => p.relative,
        Match::ByteTest(t) => t.relative,
        Match::ByteJump(j) => j.relative,
        Match::ByteExtract(e) => e.relative,
        Match::ByteMath(m) => m.relative,
        Match::IsDataAt(d) => d.relative,
        Match::Base64Decode(b) => b.relative,
        _ => false,
    }
}

fn has_variables(matches: &[Match]) -> bool {
    matches.iter().any(|m| matches!(m, Match::ByteExtract(_) | Match::ByteMath(_)))
}

/// Groups of matches that hang together, in the order in which they are laid.
fn groups<'m>(matches: &'m [Match], random: &mut Random) -> Vec<Vec<&'m Match>> {
    let mut groups: Vec<Vec<&Match>> = Vec::new();
    for item in matches {
        match groups.last_mut() {
            Some(group) if is_relative(item) => group.push(item),
            _ => groups.push(vec![item]),
        }
    }
    if has_variables(matches) {
        return groups;
    }
    let flexible = random.one_in(4);
    let rank = |group: &Vec<&Match>| {
        let closes = group.iter().any(|m| match m {
            Match::Content(c) => c.anchor.end && !c.negated,
            Match::Pcre(p) => !p.negated && Expression::read(p).is_some_and(|e| e.ends()),
            Match::IsDataAt(d) => d.negated && d.relative,
            _ => false,
        });
        let absolute = match group.first() {
            Some(Match::Content(c)) => c.anchor.start || c.offset.is_some() || c.depth.is_some(),
            Some(Match::ByteTest(_) | Match::ByteJump(_)) => true,
            Some(Match::Pcre(p)) => p.anchored || Expression::read(p).is_some_and(|e| e.begins()),
            _ => false,
        };
        let expression = matches!(group.first(), Some(Match::Pcre(_)));
        match (absolute, expression, closes) {
            (true, true, _) => 0,
            (_, _, true) => 5,
            (true, false, false) => {
                if flexible {
                    0
                } else {
                    1
                }
            }
            (false, true, false) => {
                if flexible {
                    4
                } else {
                    2
                }
            }
            (false, false, false) => 3,
        }
    };
    // Contents at fixed places before expressions over the whole buffer, or behind them.
    groups.sort_by_key(rank);
    groups
}

impl Solver {
    /// None when memory is exhausted.
    pub fn new() -> Option<Solver> {
        Some(Solver {
            evaluator: Evaluator::new(Limits::default())?,
            datasets: Datasets::default(),
            matcher: ffi::Matcher::new(PcreLimits::default())?,
            values: HashMap::new(),
        })
    }

    /// Bytes of the buffer before its transforms.
    pub fn solve(&mut self, wanted: &Wanted<'_>, random: &mut Random) -> Result<Vec<u8>, Cause> {
        self.solve_in(wanted, ATTEMPTS, random)
    }

    /// The same, with so many proposals at most.
    pub fn solve_in(&mut self, wanted: &Wanted<'_>, attempts: usize, random: &mut Random) -> Result<Vec<u8>, Cause> {
        let buffer = wanted.matches;
        if let Some(cause) = unsolvable(buffer) {
            return Err(cause);
        }
        let mut table = DatasetTable::default();
        let program = chain(buffer, wanted.decoded, &mut table).map_err(|_| "matches that the engine refuses")?;
        let steps = transform::compile(&buffer.transforms).map_err(|_| "transforms that the engine refuses")?;
        let (mut after, mut spare) = (Vec::new(), Vec::new());
        let mut cause = "no proposal holds";
        for attempt in 0..attempts {
            let transformed = match self.propose(wanted, attempt, random) {
                Ok(bytes) => bytes,
                Err(why) => {
                    cause = why;
                    continue;
                }
            };
            let Some(bytes) = inverted(&buffer.transforms, transformed) else {
                cause = "a transform without inverse";
                continue;
            };
            transform::apply(&steps, &bytes, &mut self.matcher, &mut after, &mut spare);
            self.evaluator.begin_rule();
            self.evaluator.dce_little = true;
            if !(wanted.shape)(&bytes) {
                cause = "the protocol's shape does not go with the matches";
            } else if !wanted.length.iter().all(|c| c.holds(bytes.len() as u64)) {
                cause = "length";
            } else if self.evaluator.holds(&program, &after, None, &mut self.datasets) {
                return Ok(bytes);
            } else {
                cause = "no proposal holds";
            }
        }
        Err(cause)
    }

    fn propose(&mut self, wanted: &Wanted<'_>, attempt: usize, random: &mut Random) -> Result<Vec<u8>, Cause> {
        self.values.clear();
        let matches = &wanted.matches.matches;
        let sizes = || {
            matches
                .iter()
                .filter_map(|m| if let Match::Size(c) = m { Some(*c) } else { None })
                .chain(wanted.length.iter().copied())
        };
        let exact = sizes().find_map(|c| match c {
            Comparison::Equal(n) => Some(n as usize),
            Comparison::Within(a, b) if a == b => Some(a as usize),
            _ => None,
        });
        let mut template = Template::default();
        if let Some(exact) = exact {
            if !template.reach(exact) {
                return Err("too long");
            }
            template.closed = true;
        }
        if wanted.matches.transforms.first() == Some(&Transform::DotPrefix) {
            template.put(0, b".", false);
        }
        for item in matches {
            if let Match::Dataset(set) = item {
                let entry = set.entries.first().ok_or("an empty dataset")?;
                template.put(0, entry, false);
            }
        }
        let lead = if attempt % 5 == 4 { b"" } else { wanted.lead };
        // Slack that free contents leave before them.
        let gap = [0, 0, 1, 3][attempt % 4];
        let mut least = 0;
        for group in groups(matches, random) {
            let mut position = 0;
            for (n, item) in group.iter().enumerate() {
                let follows = group.get(n + 1).is_some();
                self.lay(
                    item,
                    &mut template,
                    &mut position,
                    &mut least,
                    follows,
                    matches,
                    wanted,
                    lead.len(),
                    gap,
                    attempt,
                    random,
                )?;
            }
        }
        if !template.closed || template.cells.len() < least {
            template.closed = false;
            let size = (template.cells.len().max(least).max(lead.len())..)
                .take(LENGTH_MAX)
                .find(|n| sizes().all(|c| c.holds(*n as u64)));
            let size = size.ok_or("length")?;
            let size = if matches.iter().all(|m| matches!(m, Match::Size(_))) && size == 0 { 1 } else { size };
            if sizes().all(|c| c.holds(size as u64)) && !template.reach(size) {
                return Err("too long");
            }
        }
        if !template.closed {
            template.reach(lead.len());
            let trail = wanted.trail.len() + if attempt % 3 == 1 { 1 + random.below(4) as usize } else { 0 };
            if trail > 0 && sizes().next().is_none() {
                let end = template.cells.len() + trail;
                template.put(end - wanted.trail.len(), wanted.trail, false);
                template.reach(end);
            }
        }
        for (cell, byte) in template.cells.iter_mut().zip(lead) {
            cell.get_or_insert(*byte);
        }
        Ok(template.filled(wanted.filler, random))
    }

    #[allow(clippy::too_many_arguments)]
    fn lay(
        &mut self,
        item: &Match,
        template: &mut Template,
        position: &mut usize,
        least: &mut usize,
        follows: bool,
        all: &[Match],
        wanted: &Wanted<'_>,
        lead: usize,
        gap: usize,
        attempt: usize,
        random: &mut Random,
    ) -> Result<(), Cause> {
        match item {
            Match::Content(content) if !content.negated => {
                *position = self.content(content, template, *position, lead, gap, attempt, random)?;
            }
            Match::Pcre(pcre) if !pcre.negated => {
                *position = self.expression(pcre, template, *position, all, wanted, lead, attempt, follows, random)?;
            }
            Match::ByteTest(test) => self.test(test, template, *position, wanted.filler, random)?,
            Match::ByteJump(jump) => {
                let start = self.start(jump.offset, jump.relative, *position)?;
                let count = self.number(jump.count) as usize;
                let (value, end) = if count == 0 {
                    (0, start)
                } else {
                    let value = random.below(9) + u64::from(jump.from_beginning) * (start + count) as u64;
                    let value = value / u64::from(jump.multiplier.max(1));
                    self.write(value, start, count, jump.base, jump.endian, template, wanted.filler, random)?
                };
                let mut value = field::masked(value, jump.bitmask) as i64 * i64::from(jump.multiplier.max(1));
                if jump.align {
                    value = (value + 3) & !3;
                }
                let base = if jump.from_beginning {
                    0
                } else if jump.from_end {
                    template.cells.len()
                } else {
                    end
                };
                let target = base as i64 + value + self.number(jump.post_offset);
                *position = target.max(0) as usize;
                *least = (*least).max(*position);
                if *position > LENGTH_MAX {
                    return Err("a jump too far");
                }
            }
            Match::ByteExtract(extract) => {
                let start = self.start(extract.offset, extract.relative, *position)?;
                let proposal = 1 + random.below(12);
                let (value, end) = self.write(
                    proposal,
                    start,
                    usize::from(extract.count),
                    extract.base,
                    extract.endian,
                    template,
                    wanted.filler,
                    random,
                )?;
                let mut value =
                    field::masked(value, extract.bitmask).wrapping_mul(u64::from(extract.multiplier.max(1)));
                if extract.align > 1 {
                    let mask = u64::from(extract.align) - 1;
                    value = value.wrapping_add(mask) & !mask;
                }
                self.values.insert(extract.variable, value);
                *position = end;
            }
            Match::IsDataAt(at) => {
                let number = self.number(at.position);
                let end = if at.relative { *position as i64 + number } else { number + 1 }.max(0) as usize;
                if !at.negated {
                    *least = (*least).max(end);
                } else if template.cells.len() < end && template.reach(end - 1) {
                    template.closed = true;
                }
                if end > LENGTH_MAX {
                    return Err("data too far on");
                }
            }
            Match::Base64Decode(decode) => {
                let at = if decode.relative { *position } else { 0 } + decode.offset as usize;
                let bytes = match wanted.decoded {
                    Some(matches) => {
                        let inner = Wanted {
                            matches,
                            decoded: None,
                            filler: Filler::Text,
                            length: Vec::new(),
                            shape: |_| true,
                            lead: b"",
                            trail: b"",
                        };
                        let kept = std::mem::take(&mut self.values);
                        let solved = self.solve(&inner, random);
                        self.values = kept;
                        solved?
                    }
                    None => b"decoded".to_vec(),
                };
                let text: Vec<u8> = weir_ir::base64::encode(&bytes).collect();
                let at = if at < template.cells.len() && !decode.relative { at } else { at.max(*position) };
                if !template.put(at, &text, false) {
                    return Err("no room for encoded bytes");
                }
            }
            Match::ByteMath(_) => return Err("byte_math"),
            _ => {}
        }
        Ok(())
    }

    fn number(&self, number: Number) -> i64 {
        match number {
            Number::Constant(n) => n,
            Number::Variable(v) => self.values.get(&v).map_or(0, |v| *v as i64),
        }
    }

    fn start(&self, offset: Number, relative: bool, position: usize) -> Result<usize, Cause> {
        let base = if relative { position as i64 } else { 0 };
        usize::try_from(base + self.number(offset)).map_err(|_| "a field before the buffer")
    }

    #[allow(clippy::too_many_arguments)]
    fn content(
        &mut self,
        content: &Content,
        template: &mut Template,
        position: usize,
        lead: usize,
        gap: usize,
        attempt: usize,
        random: &mut Random,
    ) -> Result<usize, Cause> {
        let n = content.bytes.len();
        let relative = content.is_relative();
        let shift = |base: usize, by: i64| (base as i64 + by).max(0) as usize;
        let (mut low, mut high) = (0, usize::MAX);
        if relative {
            let distance = content.distance.map_or(0, |d| self.number(d));
            low = shift(position, distance);
            if let Some(within) = content.within {
                high = shift(position, distance + self.number(within));
            }
        }
        let offset = content.offset.map_or(0, |o| self.number(o));
        low = low.max(shift(0, offset));
        if let Some(depth) = content.depth {
            high = high.min(shift(if relative { position } else { 0 }, offset + self.number(depth)));
        }
        if content.anchor.start {
            high = high.min(low + n);
        }
        if template.closed {
            high = high.min(template.cells.len());
        }
        if content.anchor.end {
            if template.closed {
                low = low.max(template.cells.len().saturating_sub(n));
            } else {
                // It ends what was laid, or what is written ends with it.
                let natural = template.cells.len().max(low).max(lead);
                let overlapped = template.cells.len().saturating_sub(n);
                let at = if overlapped >= low
                    && template.free(overlapped, &content.bytes, content.nocase)
                    && overlapped + n <= high
                    && template.standing(&content.bytes, content.nocase, overlapped, overlapped + n).is_some()
                {
                    overlapped
                } else {
                    natural
                };
                if at + n > high || !template.put(at, &content.bytes, content.nocase) {
                    return Err("the end is taken");
                }
                template.closed = true;
                return Ok(at + n);
            }
        }
        if attempt % 7 != 6 {
            if let Some(at) = template.standing(&content.bytes, content.nocase, low, high) {
                return Ok(at + n);
            }
        }
        let bounded = high != usize::MAX && !template.closed;
        let natural = if relative || content.anchor.start || content.offset.is_some() || bounded {
            let slack = high.saturating_sub(low + n).min(gap);
            low + if slack > 0 { random.below(slack as u64 + 1) as usize } else { 0 }
        } else if template.closed {
            low
        } else {
            (template.cells.len().max(lead) + if gap > 0 { random.below(gap as u64 + 1) as usize } else { 0 }).max(low)
        };
        let last = high.saturating_sub(n).min(template.cells.len() + 64).max(natural);
        let spots = (natural..=last).chain(low..natural);
        for at in spots {
            if at + n <= high && template.put(at, &content.bytes, content.nocase) {
                return Ok(at + n);
            }
        }
        Err("no room for a content")
    }

    #[allow(clippy::too_many_arguments)]
    fn expression(
        &mut self,
        pcre: &Pcre,
        template: &mut Template,
        position: usize,
        all: &[Match],
        wanted: &Wanted<'_>,
        lead: usize,
        attempt: usize,
        follows: bool,
        random: &mut Random,
    ) -> Result<usize, Cause> {
        let base = if pcre.relative { position } else { 0 };
        let expression = Expression::read(pcre).ok_or("an expression whose syntax is not read")?;
        let code = compile(pcre).map_err(|_| "an expression the library refuses")?;
        if template.cells.len() >= base && attempt % 5 != 4 {
            let filled = template.filled(wanted.filler, random);
            if let Outcome::Match(low, high) = self.matcher.find(&code, &filled[base..], 0, true, false) {
                for at in base + low..base + high {
                    template.cells[at] = Some(filled[at]);
                }
                if expression.ends() && base + high == template.cells.len() {
                    template.closed = true;
                }
                return Ok(base + high);
            }
        }
        let hints: Vec<Vec<u8>> = all
            .iter()
            .filter_map(|m| match m {
                Match::Content(c) if !c.negated => Some(c),
                _ => None,
            })
            .filter(|c| template.standing(&c.bytes, c.nocase, 0, usize::MAX).is_none())
            .map(|c| c.bytes.to_vec())
            .collect();
        let anchored = pcre.anchored || expression.begins();
        for round in 0..30 {
            let at = if anchored {
                base
            } else if round % 3 == 2 && base < template.cells.len() {
                base + random.below((template.cells.len() - base) as u64 + 1) as usize
            } else if template.closed {
                base
            } else {
                template.cells.len().max(base).max(lead)
            };
            let fixed = template.cells.get(at..).unwrap_or(&[]);
            let leaning = Leaning { hints: &hints, long: attempt % 3 == 1, fixed };
            let Some(text) = expression.walk(random, &leaning) else { continue };
            if expression.ends() && at + text.len() < template.cells.len() {
                continue;
            }
            if template.put(at, &text, false) {
                if expression.ends() && !follows {
                    template.closed = true;
                }
                return Ok(at + text.len());
            }
        }
        Err("no string of an expression fits")
    }

    fn test(
        &mut self,
        test: &ByteTest,
        template: &mut Template,
        position: usize,
        filler: Filler,
        random: &mut Random,
    ) -> Result<(), Cause> {
        let start = self.start(test.offset, test.relative, position)?;
        let count = self.number(test.count) as usize;
        let right = self.number(test.value) as u64;
        let holds = |value: u64| {
            let value = field::masked(value, test.bitmask);
            let holds = match test.operator {
                TestOperator::Less => value < right,
                TestOperator::LessEqual => value <= right,
                TestOperator::Greater => value > right,
                TestOperator::GreaterEqual => value >= right,
                TestOperator::Equal => value == right,
                TestOperator::And => value & right != 0,
                TestOperator::Xor => value ^ right != 0,
            };
            holds != test.negated
        };
        if count == 0 && test.base == ByteBase::Binary {
            return Err("a field without bytes");
        }
        // What stands there will do, or some of its bits are turned.
        let standing = template.cells.get(start..start + count).filter(|cells| cells.iter().all(Option::is_some));
        let old = standing.map(|cells| cells.iter().map(|c| c.unwrap_or(0)).collect::<Vec<u8>>());
        let old =
            old.and_then(|bytes| field::read(&bytes, 0, count, test.base, test.endian, true)).map(|(value, _)| value);
        if old.is_some_and(holds) {
            return Ok(());
        }
        let shift = test.bitmask.filter(|m| *m != 0).map_or(0, u64::trailing_zeros);
        let near = [random.below(200), right, right.wrapping_add(1), right.wrapping_sub(1), 0, 1, !0 >> 1, right << 1];
        let bits = old.map(|old| if test.negated { old & !(right << shift) } else { old | right << shift });
        let loose = old.is_some() && test.operator == TestOperator::And;
        let limit = if test.base == ByteBase::Binary && count < 8 { 1u64 << (8 * count) } else { u64::MAX };
        for value in bits.into_iter().chain(near.into_iter().map(|n| n << shift)).filter(|v| holds(*v) && *v < limit) {
            let bytes = encoded(value, count, test.base, test.endian);
            if loose {
                template.cells[start..start + count].fill(None);
            }
            if template.put(start, &bytes, test.base != ByteBase::Binary) {
                return Ok(());
            }
        }
        let _ = filler;
        Err("no value of a byte_test fits")
    }

    #[allow(clippy::too_many_arguments)]
    fn write(
        &mut self,
        value: u64,
        start: usize,
        count: usize,
        base: ByteBase,
        endian: Endian,
        template: &mut Template,
        filler: Filler,
        random: &mut Random,
    ) -> Result<(u64, usize), Cause> {
        if !template.reach(start + count) {
            return Err("a field behind the buffer");
        }
        let cells = &template.cells[start..start + count];
        if cells.iter().all(Option::is_none) {
            template.put(start, &encoded(value, count, base, endian), false);
        }
        for cell in &mut template.cells[start..start + count] {
            cell.get_or_insert_with(|| fill(filler, random));
        }
        let bytes: Vec<u8> = template.cells[start..start + count].iter().map(|c| c.unwrap_or(0)).collect();
        let (value, used) = field::read(&bytes, 0, count, base, endian, true).ok_or("a field without number")?;
        Ok((value, start + used))
    }
}

fn encoded(value: u64, count: usize, base: ByteBase, endian: Endian) -> Vec<u8> {
    match base {
        ByteBase::Binary => {
            let mut bytes = value.to_be_bytes()[8usize.saturating_sub(count)..].to_vec();
            if endian != Endian::Big {
                bytes.reverse();
            }
            bytes
        }
        ByteBase::String(16) => format!("{value:0count$x}").into_bytes(),
        ByteBase::String(8) => format!("{value:0count$o}").into_bytes(),
        ByteBase::String(_) => format!("{value:0count$}").into_bytes(),
    }
}

/// Buffers and transforms that only a search for preimages could serve.
fn unsolvable(buffer: &BufferMatch) -> Option<Cause> {
    let digest = matches!(
        buffer.buffer,
        Buffer::FileMd5
            | Buffer::FileSha1
            | Buffer::FileSha256
            | Buffer::TlsCertFingerprint
            | Buffer::Ja3Hash
            | Buffer::Ja3sHash
            | Buffer::Ja4Hash
            | Buffer::SshHassh
            | Buffer::SshHasshServer
            | Buffer::QuicCyuHash
            | Buffer::EmailBodyMd5
    );
    let positive =
        buffer.matches.iter().any(|m| matches!(m, Match::Content(c) if !c.negated) || matches!(m, Match::Pcre(_)));
    if digest && positive {
        return Some("a digest, which cannot be turned round");
    }
    let hashed =
        buffer.transforms.iter().any(|t| matches!(t, Transform::ToMd5 | Transform::ToSha1 | Transform::ToSha256));
    hashed.then_some("a digest, which cannot be turned round")
}

/// The bytes that the transforms turn into these.
fn inverted(transforms: &[Transform], bytes: Vec<u8>) -> Option<Vec<u8>> {
    transforms.iter().rev().try_fold(bytes, |bytes, transform| {
        Some(match transform {
            Transform::DotPrefix => bytes.strip_prefix(b".")?.to_vec(),
            Transform::Xor(key) if !key.is_empty() => {
                bytes.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect()
            }
            Transform::FromBase64(..) => weir_ir::base64::encode(&bytes).collect(),
            Transform::PcreExtract(_)
            | Transform::Domain
            | Transform::Tld
            | Transform::Gunzip(_)
            | Transform::ZlibInflate(_) => return None,
            // What these leave as it is serves.
            _ => bytes,
        })
    })
}
