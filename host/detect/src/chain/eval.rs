//! The evaluator.

use crate::profile::RuleProfile;
use crate::notes::{self, Note, Place, Value};
use super::{Chain, ContentElement, Element, PcreElement, field};
use crate::asn1;
use crate::pcre::{Outcome, Outlook, PcreLimits, ffi};
use crate::shared::Datasets;
use crate::stats::Counters;
use weir_ir::{ByteExtract, ByteJump, ByteMath, ByteTest, IsDataAt, MathOperator, Number};

/// Limits of evaluation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Searches in one evaluation of one buffer.
    pub steps: u32,
    /// Regular expressions.
    pub pcre: PcreLimits,
    /// Bytes that `base64_decode` puts out.
    pub base64: usize,
    /// Matches of a packet that may become alerts; 0: all.
    pub matches: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { steps: 3000, pcre: PcreLimits::default(), base64: 65_535, matches: 0 }
    }
}

/// The buffer is a window of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamView {
    /// Stream offset of the buffer's first byte.
    pub offset: u64,
    /// Index of the first new byte: the match must reach into the new bytes.
    pub new_from: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Match,
    /// An earlier content's next occurrence may help.
    Retry,
    /// Everything holds, but no byte of it is new.
    Old,
    /// Nothing earlier can help.
    Stop,
}

/// Reusable state of one worker.
#[derive(Debug)]
pub struct Evaluator {
    /// Values of the rule's variables.
    variables: [u64; super::MAX_VARIABLES],
    pcre: ffi::Matcher,
    limits: Limits,
    steps: u32,
    base64: Vec<u8>,
    /// Byte order of `dce` fields.
    pub dce_little: bool,
    /// Counted here.
    pub counters: Counters,
    /// What rules cost, if that is asked for.
    pub(crate) profile: Option<Box<RuleProfile>>,
    /// What the rule at hand tells if it matches.
    pub notes: Vec<Note>,
}

impl Evaluator {
    /// None when memory is exhausted.
    pub fn new(limits: Limits) -> Option<Evaluator> {
        Some(Evaluator {
            variables: [0; super::MAX_VARIABLES],
            pcre: ffi::Matcher::new(limits.pcre)?,
            limits,
            steps: 0,
            base64: Vec::new(),
            dce_little: true,
            notes: Vec::new(),
            counters: Counters::default(),
            profile: None,
        })
    }

    /// Forget the variables of the rule before.
    pub fn begin_rule(&mut self) {
        self.variables = [0; super::MAX_VARIABLES];
        self.notes.clear();
    }

    /// For transforms.
    pub fn pcre(&mut self) -> &mut ffi::Matcher {
        &mut self.pcre
    }

    /// All matches of `chain` hold in `buffer`.
    pub fn holds(&mut self, chain: &Chain, buffer: &[u8], stream: Option<StreamView>, datasets: &mut Datasets) -> bool {
        self.steps = 0;
        let touched = stream.is_none() || !chain.touches;
        let mut run = Run { state: self, datasets, chain, buffer, stream };
        run.from(0, 0, touched) == Verdict::Match
    }

    fn number(&self, number: Number) -> i64 {
        match number {
            Number::Constant(n) => n,
            Number::Variable(v) => {
                let value = self.variables.get(v as usize).copied().unwrap_or(0);
                i64::try_from(value).unwrap_or(i64::MAX)
            }
        }
    }

    /// The right-hand side of a comparison keeps all 64 bits.
    fn operand(&self, number: Number) -> u64 {
        match number {
            Number::Constant(n) => n as u64,
            Number::Variable(v) => self.variables.get(v as usize).copied().unwrap_or(0),
        }
    }

    fn set(&mut self, variable: u8, value: u64) {
        if let Some(slot) = self.variables.get_mut(variable as usize) {
            *slot = value;
        }
    }

    /// A question about what could hold begins; it counts nowhere but for the limit of steps.
    pub(super) fn begin_asking(&mut self) {
        self.steps = 0;
    }

    pub(super) fn may_go_on(&mut self) -> bool {
        self.steps = self.steps.saturating_add(1);
        self.steps <= self.limits.steps
    }

    /// What `pcre` could still find in `subject` and bytes behind it.
    pub(super) fn outlook(&mut self, pcre: &PcreElement, subject: &[u8]) -> Outlook {
        if !self.may_go_on() {
            return Outlook::Open;
        }
        self.pcre.outlook(&pcre.code, subject)
    }

    fn step(&mut self) -> bool {
        self.steps += 1;
        if self.steps > self.limits.steps {
            if self.steps == self.limits.steps + 1 {
                self.counters.inspection_limit += 1;
            }
            return false;
        }
        true
    }
}

struct Run<'r> {
    state: &'r mut Evaluator,
    datasets: &'r mut Datasets,
    chain: &'r Chain,
    buffer: &'r [u8],
    stream: Option<StreamView>,
}

/// `base + delta`, clamped to the range of buffer positions.
fn shift(base: usize, delta: i64) -> usize {
    (base as i64).saturating_add(delta).clamp(0, i64::from(u32::MAX)) as usize
}

impl Run<'_> {
    /// Evaluate the elements from `index` on; the last match ended at `position`.
    fn from(&mut self, mut index: usize, mut position: usize, mut touched: bool) -> Verdict {
        let chain = self.chain;
        loop {
            let Some(element) = chain.elements.get(index) else {
                return if touched { Verdict::Match } else { Verdict::Old };
            };
            let reached = match element {
                Element::Content(content) if content.negated => {
                    if self.negated_content_stands(content, position) {
                        return if content.is_relative() { Verdict::Retry } else { Verdict::Stop };
                    }
                    None
                }
                Element::Content(content) => return self.content(content, index, position, touched),
                Element::Pcre(pcre) if pcre.negated => {
                    let start = if pcre.relative { position } else { 0 };
                    match self.find(pcre, start, 0) {
                        Outcome::Match(..) => return if pcre.relative { Verdict::Retry } else { Verdict::Stop },
                        // Exceeding a limit is no match of the rule, whatever the sign.
                        Outcome::Limit => return Verdict::Stop,
                        Outcome::NoMatch => None,
                    }
                }
                Element::Pcre(pcre) => return self.pcre(pcre, index, position, touched),
                Element::Test(test) => match self.test(test, position) {
                    Some(end) => Some((None, end)),
                    None => return Verdict::Retry,
                },
                Element::Jump(jump) => match self.jump(jump, position) {
                    Some((target, end)) => Some((Some(target), end)),
                    None => return Verdict::Retry,
                },
                Element::Extract(extract) => match self.extract(extract, position) {
                    Some(end) => Some((Some(end), end)),
                    None => return Verdict::Retry,
                },
                Element::Math(math) => match self.math(math, position) {
                    Some(end) => Some((Some(end), end)),
                    None => return Verdict::Retry,
                },
                Element::DataAt(at) => match self.data_at(at, position) {
                    Some(end) => Some((None, end)),
                    None => return if at.relative { Verdict::Retry } else { Verdict::Stop },
                },
                Element::Asn1(test) => match asn1::holds(test, self.buffer, position) {
                    Some(end) => Some((None, end)),
                    // It is asked once, where the first way through the other matches has come to.
                    None => return Verdict::Stop,
                },
                Element::Size(size) => {
                    if !size.holds(self.buffer.len() as u64) {
                        return Verdict::Stop;
                    }
                    None
                }
                Element::Base64(decode, chain) => {
                    if !self.base64(decode, chain.as_deref(), position) {
                        return Verdict::Retry;
                    }
                    None
                }
                Element::Dataset(dataset) => {
                    let holds = self.datasets.apply(dataset.set, dataset.operation, self.buffer);
                    if !holds {
                        return Verdict::Stop;
                    }
                    if let Some(key) = &dataset.context {
                        if let Some(known) = self.datasets.context(dataset.set, self.buffer) {
                            let note = Note { place: Place::Alert, key: key.clone(), value: Value::Json(known) };
                            notes::remember(&mut self.state.notes, note);
                        }
                    }
                    None
                }
                Element::Entropy(element) => {
                    let from = self.buffer.get(element.entropy.offset as usize..).unwrap_or(&[]);
                    let bytes = match element.entropy.bytes as usize {
                        0 => from,
                        n => from.get(..n).unwrap_or(from),
                    };
                    let entropy = notes::entropy(bytes);
                    let note = Note { place: Place::Entropy, key: element.name.clone(), value: Value::Real(entropy) };
                    notes::remember(&mut self.state.notes, note);
                    if !element.entropy.size.holds((entropy * weir_ir::content::ENTROPY_UNITS).round() as u64) {
                        return Verdict::Stop;
                    }
                    None
                }
            };
            if let Some((moved, end)) = reached {
                touched |= self.is_new(end);
                position = moved.unwrap_or(position);
            }
            index += 1;
        }
    }

    /// Bytes up to `end` reach into the new part.
    fn is_new(&self, end: usize) -> bool {
        self.stream.is_none_or(|s| end > s.new_from)
    }

    /// The window does not hold the stream's start.
    fn start_is_gone(&self) -> bool {
        self.stream.is_some_and(|s| s.offset > 0)
    }

    /// Where `content` may lie: [low, high).
    fn range(&self, content: &ContentElement, position: usize) -> Option<(usize, usize)> {
        let absolute = content.offset.is_some() || content.depth.is_some() || content.start;
        if absolute && self.start_is_gone() {
            return None;
        }
        let mut low = 0;
        let mut high = self.buffer.len();
        if content.is_relative() {
            let distance = content.distance.map_or(0, |d| self.state.number(d));
            low = shift(position, distance);
            if let Some(within) = content.within {
                high = high.min(shift(position, distance.saturating_add(self.state.number(within))));
            }
        }
        let offset = content.offset.map_or(0, |o| self.state.number(o));
        low = low.max(shift(0, offset));
        if let Some(depth) = content.depth {
            let base = if content.is_relative() { position } else { 0 };
            high = high.min(shift(base, offset.saturating_add(self.state.number(depth))));
        }
        if content.start {
            high = high.min(low.saturating_add(content.needle.len()));
            if !content.is_relative() && content.offset.is_none() {
                high = high.min(content.needle.len());
            }
        }
        if content.end {
            // Only the last place is left.
            low = low.max(self.buffer.len().checked_sub(content.needle.len())?);
            if high < self.buffer.len() {
                return None;
            }
        }
        (low.checked_add(content.needle.len())? <= high).then_some((low, high))
    }

    fn negated_content_stands(&mut self, content: &ContentElement, position: usize) -> bool {
        if !self.state.step() {
            return true;
        }
        match self.range(content, position) {
            Some((low, high)) => content.needle.find(self.buffer, low, high).is_some(),
            None => false,
        }
    }

    fn content(&mut self, content: &ContentElement, index: usize, position: usize, touched: bool) -> Verdict {
        let nothing = if content.is_relative() { Verdict::Retry } else { Verdict::Stop };
        let Some((mut low, high)) = self.range(content, position) else { return nothing };
        let length = content.needle.len();
        let mut seen_old = false;
        loop {
            if !self.state.step() {
                return Verdict::Stop;
            }
            let Some(start) = content.needle.find(self.buffer, low, high) else {
                return if seen_old { Verdict::Old } else { nothing };
            };
            let end = start + length;
            match self.from(index + 1, end, touched || self.is_new(end)) {
                Verdict::Match => return Verdict::Match,
                Verdict::Stop => return Verdict::Stop,
                Verdict::Old => {
                    seen_old = true;
                    // Any occurrence that reaches into the new bytes will do, if nothing hangs on the place.
                    let new_from = self.stream.map_or(0, |s| s.new_from);
                    let first_new = (new_from + 1).saturating_sub(length);
                    low = if content.next_relative { start + 1 } else { first_new.max(start + 1) };
                }
                Verdict::Retry if content.next_relative => low = start + 1,
                Verdict::Retry => return Verdict::Retry,
            }
        }
    }

    /// Search from `start + skip` in the part behind `start`, which the expression sees as its subject's start.
    fn find(&mut self, pcre: &PcreElement, start: usize, skip: usize) -> Outcome {
        if !self.state.step() {
            return Outcome::Limit;
        }
        let Some(subject) = self.buffer.get(start..) else { return Outcome::NoMatch };
        let middle = !pcre.relative && self.start_is_gone();
        self.state.counters.pcre_executions += 1;
        let outcome = self.state.pcre.find(&pcre.code, subject, skip, pcre.no_limit, middle);
        if outcome == Outcome::Limit {
            self.state.counters.pcre_limit += 1;
        }
        outcome
    }

    /// Bytes of the groups that have names, of the match found last.
    fn captured(&self, pcre: &PcreElement, base: usize) -> Vec<Note> {
        let subject = self.buffer.get(base..).unwrap_or(&[]);
        let value = |group: usize| {
            let (low, high) = self.state.pcre.last_group(group, subject.len())?;
            subject.get(low..high.min(low + notes::MAX_BYTES))
        };
        pcre.captures
            .iter()
            .filter_map(|(group, place, key)| {
                Some(Note { place: *place, key: key.clone(), value: Value::Bytes(value(*group)?.into()) })
            })
            .collect()
    }

    fn pcre(&mut self, pcre: &PcreElement, index: usize, position: usize, touched: bool) -> Verdict {
        let base = if pcre.relative { position } else { 0 };
        let nothing = if pcre.relative { Verdict::Retry } else { Verdict::Stop };
        let mut skip = 0;
        let mut seen_old = false;
        loop {
            let (low, high) = match self.find(pcre, base, skip) {
                Outcome::Match(low, high) => (low, high),
                Outcome::NoMatch if seen_old => return Verdict::Old,
                Outcome::NoMatch => return nothing,
                Outcome::Limit => return Verdict::Stop,
            };
            let end = base + high;
            // Later expressions of the chain use the same memory.
            let captured = self.captured(pcre, base);
            let verdict = self.from(index + 1, end, touched || self.is_new(end));
            if verdict == Verdict::Match {
                captured.into_iter().for_each(|note| notes::remember(&mut self.state.notes, note));
            }
            match verdict {
                Verdict::Match | Verdict::Stop => return verdict,
                Verdict::Retry if !pcre.next_relative => return verdict,
                Verdict::Retry => {}
                Verdict::Old => seen_old = true,
            }
            skip = low + 1;
        }
    }

    /// Start of a field.
    fn field_start(&self, offset: Number, relative: bool, position: usize) -> Option<usize> {
        if !relative && self.start_is_gone() {
            return None;
        }
        let base = if relative { position as i64 } else { 0 };
        usize::try_from(base.checked_add(self.state.number(offset))?).ok()
    }

    fn test(&self, test: &ByteTest, position: usize) -> Option<usize> {
        let start = self.field_start(test.offset, test.relative, position)?;
        let count = usize::try_from(self.state.number(test.count)).ok()?;
        let (value, end) = field::read(self.buffer, start, count, test.base, test.endian, self.state.dce_little)?;
        let value = field::masked(value, test.bitmask);
        let right = self.state.operand(test.value);
        let holds = test.operator.holds(value, right);
        (holds != test.negated).then_some(end)
    }

    /// Target and end of the field.
    fn jump(&self, jump: &ByteJump, position: usize) -> Option<(usize, usize)> {
        let start = self.field_start(jump.offset, jump.relative, position)?;
        let count = usize::try_from(self.state.number(jump.count)).ok()?;
        let (value, end) = if count == 0 {
            // `byte_jump:0,…`: only the post offset moves.
            (0, start)
        } else {
            field::read(self.buffer, start, count, jump.base, jump.endian, self.state.dce_little)?
        };
        let mut value = field::masked(value, jump.bitmask).checked_mul(u64::from(jump.multiplier.max(1)))?;
        if jump.align {
            value = value.checked_add(3)? & !3;
        }
        let value = i64::try_from(value).ok()?.checked_add(self.state.number(jump.post_offset))?;
        let base = if jump.from_beginning {
            if self.start_is_gone() {
                return None;
            }
            0
        } else if jump.from_end {
            self.buffer.len()
        } else {
            end
        };
        // A jump to before the buffer goes to its beginning.
        let target = usize::try_from((base as i64).checked_add(value)?.max(0)).ok()?;
        (target <= self.buffer.len()).then_some((target, end))
    }

    fn extract(&mut self, extract: &ByteExtract, position: usize) -> Option<usize> {
        let start = self.field_start(extract.offset, extract.relative, position)?;
        let count = extract.count as usize;
        let (value, end) =
            field::read(self.buffer, start, count, extract.base, extract.endian, self.state.dce_little)?;
        let mut value = field::masked(value, extract.bitmask).wrapping_mul(u64::from(extract.multiplier.max(1)));
        if extract.align > 1 {
            let mask = u64::from(extract.align) - 1;
            value = value.wrapping_add(mask) & !mask;
        }
        self.state.set(extract.variable, value);
        Some(end)
    }

    fn math(&mut self, math: &ByteMath, position: usize) -> Option<usize> {
        let start = self.field_start(math.offset, math.relative, position)?;
        let count = usize::try_from(self.state.number(math.count)).ok()?;
        let (value, end) = field::read(self.buffer, start, count, math.base, math.endian, self.state.dce_little)?;
        let right = self.state.operand(math.value);
        let value = match math.operator {
            MathOperator::Add => value.wrapping_add(right),
            MathOperator::Subtract => value.wrapping_sub(right),
            MathOperator::Multiply => value.wrapping_mul(right),
            MathOperator::Divide => value.checked_div(right)?,
            MathOperator::ShiftLeft => value.checked_shl(u32::try_from(right).ok()?).unwrap_or(0),
            MathOperator::ShiftRight => value.checked_shr(u32::try_from(right).ok()?).unwrap_or(0),
        };
        self.state.set(math.variable, field::masked(value, math.bitmask));
        Some(end)
    }

    /// End of what must (not) exist, when the condition holds.
    fn data_at(&self, at: &IsDataAt, position: usize) -> Option<usize> {
        let number = self.state.number(at.position);
        let (end, exists) = if at.relative {
            let end = (position as i64).saturating_add(number);
            (end, end >= 0 && end <= self.buffer.len() as i64)
        } else {
            let start = self.stream.map_or(0, |s| i64::try_from(s.offset).unwrap_or(i64::MAX));
            (number.saturating_add(1).saturating_sub(start), number < start.saturating_add(self.buffer.len() as i64))
        };
        if exists == at.negated {
            return None;
        }
        Some(if at.negated { 0 } else { usize::try_from(end).unwrap_or(0) })
    }

    fn base64(&mut self, decode: &weir_ir::Base64Decode, chain: Option<&Chain>, position: usize) -> bool {
        let base = if decode.relative { position } else { 0 };
        let Some(input) = self.buffer.get(base.saturating_add(decode.offset as usize)..) else { return false };
        let input = match decode.bytes {
            Some(bytes) => input.get(..bytes as usize).unwrap_or(input),
            None => input,
        };
        let mut output = std::mem::take(&mut self.state.base64);
        output.clear();
        crate::transform::base64(input, crate::transform::Base64Mode::Stop, self.state.limits.base64, &mut output);
        let holds = !output.is_empty()
            && match chain {
                None => true,
                Some(chain) => {
                    let mut run =
                        Run { state: self.state, datasets: self.datasets, chain, buffer: &output, stream: None };
                    run.from(0, 0, true) == Verdict::Match
                }
            };
        self.state.base64 = output;
        holds
    }
}
