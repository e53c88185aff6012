//! One match after the other into a template.

use super::regex::Expression;
use super::solve::{Cause, Round, Solver, Wanted};
use super::template::{Filler, LENGTH_MAX, Template, fill};
use super::walk::Leaning;
use weir_detect::chain::field;
use weir_detect::pcre::{Outcome, compile};
use weir_ir::{ByteBase, ByteTest, Content, Endian, Match, Number, Pcre, TestOperator};
use weir_synth::Random;

/// Where laying is.
#[derive(Default)]
pub(super) struct Spot {
    /// End of the last match.
    pub(super) position: usize,
    /// Length that the buffer must have at least.
    pub(super) least: usize,
}

/// A numeric field.
struct Field {
    start: usize,
    count: usize,
    base: ByteBase,
    endian: Endian,
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
pub(super) fn groups<'m>(matches: &'m [Match], random: &mut Random) -> Vec<Vec<&'m Match>> {
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
    /// Settles what one match asks for, and moves the spot behind it.
    pub(super) fn lay(
        &mut self,
        item: &Match,
        template: &mut Template,
        spot: &mut Spot,
        follows: bool,
        round: &Round<'_>,
        random: &mut Random,
    ) -> Result<(), Cause> {
        let filler = round.wanted.filler;
        let Spot { position, least } = spot;
        match item {
            Match::Content(content) if !content.negated => {
                *position = self.content(content, template, *position, round, random)?;
            }
            Match::Pcre(pcre) if !pcre.negated => {
                *position = self.expression(pcre, template, *position, follows, round, random)?;
            }
            Match::ByteTest(test) => self.test(test, template, *position, random)?,
            Match::ByteJump(jump) => {
                let start = self.start(jump.offset, jump.relative, *position)?;
                let count = self.number(jump.count) as usize;
                let (value, end) = if count == 0 {
                    (0, start)
                } else {
                    let value = random.below(9) + u64::from(jump.from_beginning) * (start + count) as u64;
                    let value = value / u64::from(jump.multiplier.max(1));
                    self.write(
                        value,
                        Field { start, count, base: jump.base, endian: jump.endian },
                        template,
                        filler,
                        random,
                    )?
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
                let field =
                    Field { start, count: usize::from(extract.count), base: extract.base, endian: extract.endian };
                let (value, end) = self.write(proposal, field, template, filler, random)?;
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
                let bytes = match round.wanted.decoded {
                    Some(matches) => {
                        let inner = Wanted::new(matches);
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

    fn content(
        &mut self,
        content: &Content,
        template: &mut Template,
        position: usize,
        round: &Round<'_>,
        random: &mut Random,
    ) -> Result<usize, Cause> {
        let Round { lead, gap, attempt, .. } = *round;
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
        let standing = template.standing(&content.bytes, content.nocase, low, high);
        if let Some(at) = standing.filter(|_| attempt % 7 != 6) {
            return Ok(at + n);
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

    fn expression(
        &mut self,
        pcre: &Pcre,
        template: &mut Template,
        position: usize,
        follows: bool,
        round: &Round<'_>,
        random: &mut Random,
    ) -> Result<usize, Cause> {
        let Round { wanted, lead, attempt, .. } = *round;
        let all = &wanted.matches.matches;
        let base = if pcre.relative { position } else { 0 };
        let expression = Expression::read(pcre).ok_or("an expression whose syntax is not read")?;
        let code = compile(pcre).map_err(|_| "an expression the library refuses")?;
        if template.cells.len() >= base && attempt % 5 != 4 {
            let filled = template.filled(wanted.filler, random);
            if let Outcome::Match(low, high) = self.matcher.find(&code, &filled[base..], 0, true, false) {
                template.put(base + low, &filled[base + low..base + high], false);
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
        random: &mut Random,
    ) -> Result<(), Cause> {
        let start = self.start(test.offset, test.relative, position)?;
        let count = self.number(test.count) as usize;
        let right = self.number(test.value) as u64;
        let holds = |value: u64| test.operator.holds(field::masked(value, test.bitmask), right) != test.negated;
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
        Err("no value of a byte_test fits")
    }

    fn write(
        &mut self,
        value: u64,
        field: Field,
        template: &mut Template,
        filler: Filler,
        random: &mut Random,
    ) -> Result<(u64, usize), Cause> {
        let Field { start, count, base, endian } = field;
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
