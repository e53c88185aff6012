//! What bytes to come could still complete.
//!
//! Place: beside the evaluator, which says what holds now; asked before a flow is given back to a device (decision 0035).
//! Invariant: "no" is said only where no bytes behind the window, and no later beginning of the window, make the chain hold
//! with an occurrence of the rule's pattern that stands in the window now. Every other doubt is a "yes".

use super::{Chain, ContentElement, Element, Evaluator, field};
use crate::pcre::Outlook;
use weir_ir::{ByteTest, Endian, IsDataAt, Number};

impl Evaluator {
    /// Bytes behind `buffer`, a window of a stream whose first byte has offset `offset`, could make all matches of `chain`
    /// hold together, with an occurrence of `pattern` (folded) of which `buffer` has the last byte. Whole occurrences in
    /// later bytes do not count.
    pub fn could_hold(&mut self, chain: &Chain, buffer: &[u8], offset: u64, pattern: &[u8]) -> bool {
        if !chain.touches || chain.elements.is_empty() {
            return true;
        }
        self.begin_asking();
        Viability { state: self, chain, buffer, offset, pattern, complete: false }.from(0, None, false)
    }

    /// All matches of `chain` could hold together in `buffer`, which is whole or has any bytes to come behind it.
    pub fn could_ever_hold(&mut self, chain: &Chain, buffer: &[u8], complete: bool) -> bool {
        if !chain.touches || chain.elements.is_empty() {
            return true;
        }
        self.begin_asking();
        // No pattern: nothing is known of what bytes to come hold.
        Viability { state: self, chain, buffer, offset: 0, pattern: b"", complete }.from(0, None, true)
    }
}

struct Viability<'v> {
    state: &'v mut Evaluator,
    chain: &'v Chain,
    buffer: &'v [u8],
    offset: u64,
    pattern: &'v [u8],
    /// No bytes are to come.
    complete: bool,
}

/// Places where a content may begin and must have ended, the window's first byte being 0: [low, high).
type Range = (u64, u64);

impl Viability<'_> {
    /// The elements from `index` on, behind a match that ended at `position` (none yet: what is relative counts from wherever a
    /// later window begins). `later`: something already placed needs bytes to come; without that all would be old.
    fn from(&mut self, mut index: usize, position: Option<usize>, mut later: bool) -> bool {
        loop {
            let chain = self.chain;
            let Some(element) = chain.elements.get(index) else { return later };
            match element {
                Element::Content(content) if content.negated => {
                    if self.stands_for_good(content, position) {
                        return false;
                    }
                }
                Element::Content(content) => return self.content(content, index, position, later),
                Element::Pcre(pcre) if pcre.negated => {}
                Element::Pcre(pcre) => {
                    let start = if pcre.relative { position } else { Some(0) };
                    let subject = start.and_then(|start| self.buffer.get(start..));
                    // Where it would begin in bytes to come, these hold the pattern.
                    let led = pattern_end(&pcre.lead, self.pattern).is_some() && self.pattern_is_free();
                    if !led && !(pcre.relative && pcre.code.is_anchored()) {
                        return true;
                    }
                    return subject.is_none_or(|subject| self.state.outlook(pcre, subject) != Outlook::Never);
                }
                Element::Test(test) => match self.test(test, position) {
                    Some(true) => {}
                    Some(false) => return false,
                    None => return true,
                },
                Element::DataAt(at) => match self.data_at(at, position) {
                    Some(Data::Here) => {}
                    Some(Data::Later) if self.complete => return false,
                    Some(Data::Later) => later = true,
                    Some(Data::Never) => return false,
                    None => return true,
                },
                // What these read may lie in bytes to come, or change with them.
                Element::Jump(_)
                | Element::Extract(_)
                | Element::Math(_)
                | Element::Size(_)
                | Element::Base64(..)
                | Element::Dataset(_)
                | Element::Entropy(_)
                | Element::Asn1(_) => return true,
            }
            index += 1;
        }
    }

    fn content(&mut self, content: &ContentElement, index: usize, position: Option<usize>, later: bool) -> bool {
        if content.end {
            return true;
        }
        let (low, high) = match self.range(content, position) {
            Ok(Some(range)) => range,
            Ok(None) => return false,
            Err(Unknown) => return true,
        };
        let (length, here) = (content.needle.len(), self.buffer.len());
        let Ok(mut next) = usize::try_from(low) else { return true };
        let end = usize::try_from(high).unwrap_or(usize::MAX).min(here);
        while next < here {
            if !self.state.may_go_on() {
                return true;
            }
            let Some(start) = content.needle.find(self.buffer, next, end) else { break };
            if self.from(index + 1, Some(start + length), later) {
                return true;
            }
            if !self.counts_from_here(index + 1) {
                break;
            }
            next = start + 1;
        }
        // Where what follows is not placed by this content, it must hold as well.
        self.may_come(content, index, (low, high)) && (self.counts_from_here(index + 1) || self.from(index + 1, None, true))
    }

    /// The content may end in bytes to come, and the pattern still stand in those that are there.
    fn may_come(&self, content: &ContentElement, index: usize, (low, high): Range) -> bool {
        if self.complete || self.pattern_follows(index + 1) {
            return false;
        }
        let (length, here) = (content.needle.len(), self.buffer.len());
        let own = pattern_end(&content.needle.bytes, self.pattern);
        let fits = |start: u64| start.saturating_add(length as u64) <= high;
        if own.is_none() && fits(low.max(here as u64)) {
            return true;
        }
        // Begun in the window's last bytes, which hold the pattern if it is this content's.
        let first = (here + 1).saturating_sub(length);
        (first..here).any(|start| {
            let tail = self.buffer.get(start..).unwrap_or(&[]);
            start as u64 >= low
                && fits(start as u64)
                && own.is_none_or(|end| end <= tail.len())
                && content.needle.bytes.get(..tail.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(tail))
        })
    }

    /// An element from `index` on is placed by where the one before has ended.
    fn counts_from_here(&self, index: usize) -> bool {
        for element in self.chain.elements.get(index..).unwrap_or(&[]) {
            match element {
                Element::Content(content) if content.is_relative() => return true,
                Element::Content(content) if !content.negated => return false,
                Element::Content(_) => {}
                Element::Pcre(pcre) if !pcre.relative => {}
                Element::DataAt(at) if !at.relative => {}
                Element::Test(test) if !test.relative => {}
                _ => return true,
            }
        }
        false
    }

    /// Whatever holds the pattern in this chain may stand anywhere: the device flags each further occurrence.
    fn pattern_is_free(&self) -> bool {
        self.chain.elements.iter().all(|element| match element {
            Element::Content(content) if !content.negated => {
                let bound = content.offset.is_some() || content.depth.is_some() || content.start || content.is_relative();
                !bound || pattern_end(&content.needle.bytes, self.pattern).is_none()
            }
            _ => true,
        })
    }

    /// From element `index` on comes the pattern's content, each placed behind the one before.
    fn pattern_follows(&self, index: usize) -> bool {
        for element in self.chain.elements.get(index..).unwrap_or(&[]) {
            match element {
                Element::Content(content) if content.negated => {}
                Element::Content(content) => {
                    let behind = matches!(content.distance, None | Some(Number::Constant(0..)));
                    if !content.is_relative() || !behind {
                        return false;
                    }
                    if pattern_end(&content.needle.bytes, self.pattern).is_some() {
                        return true;
                    }
                }
                Element::DataAt(_) | Element::Test(_) => {}
                _ => return false,
            }
        }
        false
    }

    /// A negated content stands where it may not, as long as the match before it does.
    fn stands_for_good(&mut self, content: &ContentElement, position: Option<usize>) -> bool {
        // What counts from the window's beginning goes with it.
        if !content.is_relative() || content.offset.is_some() || content.depth.is_some() || content.start || content.end {
            return false;
        }
        match self.range(content, position) {
            Ok(Some((low, high))) => {
                let low = usize::try_from(low).unwrap_or(usize::MAX);
                let high = usize::try_from(high).unwrap_or(usize::MAX).min(self.buffer.len());
                self.state.may_go_on() && low < high && content.needle.find(self.buffer, low, high).is_some()
            }
            _ => false,
        }
    }

    /// Where `content` may lie, with as many bytes to come as it takes; none: nowhere.
    fn range(&self, content: &ContentElement, position: Option<usize>) -> Result<Option<Range>, Unknown> {
        let length = content.needle.len() as u64;
        let (mut low, mut high) = (0, u64::MAX);
        let absolute = content.offset.is_some() || content.depth.is_some() || content.start;
        if absolute {
            // Mixed with a distance: rare.
            if content.is_relative() {
                return Err(Unknown);
            }
            if self.offset > 0 {
                return Ok(None);
            }
            low = constant(content.offset.unwrap_or(Number::Constant(0)))?.max(0) as u64;
            if let Some(depth) = content.depth {
                high = low.saturating_add(constant(depth)?.max(0) as u64);
            }
            if content.start {
                high = high.min(low.saturating_add(length));
            }
        }
        if content.is_relative() {
            let position = position.ok_or(Unknown)?;
            let distance = constant(content.distance.unwrap_or(Number::Constant(0)))?;
            let place = |delta: i64| (position as i64).saturating_add(delta).max(0) as u64;
            low = place(distance);
            if let Some(within) = content.within {
                high = place(distance.saturating_add(constant(within)?));
            }
        }
        Ok((low.saturating_add(length) <= high).then_some((low, high)))
    }

    /// Whether the test holds; none: not yet known.
    fn test(&self, test: &ByteTest, position: Option<usize>) -> Option<bool> {
        let (Number::Constant(offset), Number::Constant(count), Number::Constant(value)) = (test.offset, test.count, test.value)
        else {
            return None;
        };
        if matches!(test.endian, Endian::Dce) {
            return None;
        }
        if !test.relative && self.offset > 0 {
            return Some(false);
        }
        let base = if test.relative { position? as i64 } else { 0 };
        let Ok(start) = usize::try_from(base.checked_add(offset)?) else { return Some(false) };
        let count = usize::try_from(count).ok().filter(|count| *count > 0)?;
        self.buffer.get(start..start.checked_add(count)?)?;
        let read = field::read(self.buffer, start, count, test.base, test.endian, false);
        Some(read.is_some_and(|(read, _)| test.operator.holds(field::masked(read, test.bitmask), value as u64) != test.negated))
    }

    fn data_at(&self, at: &IsDataAt, position: Option<usize>) -> Option<Data> {
        let Number::Constant(number) = at.position else { return None };
        let here = if at.relative {
            let end = (position? as i64).saturating_add(number);
            if end < 0 {
                return Some(if at.negated { Data::Here } else { Data::Never });
            }
            end <= self.buffer.len() as i64
        } else {
            number < i64::try_from(self.offset).ok()?.saturating_add(self.buffer.len() as i64)
        };
        Some(match (here, at.negated) {
            (true, false) | (false, true) => Data::Here,
            (false, false) => Data::Later,
            (true, true) => Data::Never,
        })
    }
}

/// Whether there is data where it must (not) be.
enum Data {
    Here,
    Later,
    Never,
}

/// Depends on a variable, or on where a window begins.
struct Unknown;

fn constant(number: Number) -> Result<i64, Unknown> {
    match number {
        Number::Constant(n) => Ok(n),
        Number::Variable(_) => Err(Unknown),
    }
}

/// End of `pattern` in `bytes`, without case.
fn pattern_end(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    let at = bytes.windows(pattern.len().max(1)).position(|window| window.eq_ignore_ascii_case(pattern))?;
    Some(at + pattern.len())
}

impl Chain {
    /// Contents that hold `fragment`, without case.
    pub(crate) fn holders(&self, fragment: &[u8]) -> usize {
        let holds = |element: &&Element| match element {
            Element::Content(content) => !content.negated && pattern_end(&content.needle.bytes, fragment).is_some(),
            _ => false,
        };
        self.elements.iter().filter(holds).count()
    }
}

/// The bytes with which every match of an expression begins; those that are certain.
pub(super) fn lead(pcre: &weir_ir::Pcre) -> Box<[u8]> {
    let mut text = pcre.pattern.as_bytes();
    if pcre.extended || text.contains(&b'|') {
        return Box::default();
    }
    text = text.strip_prefix(b"^").unwrap_or(text);
    let mut out = Vec::new();
    loop {
        let (byte, rest) = match text {
            [b'\\', b'x', high, low, rest @ ..] => {
                let digit = |c: &u8| char::from(*c).to_digit(16);
                let (Some(high), Some(low)) = (digit(high), digit(low)) else { break };
                ((high << 4 | low) as u8, rest)
            }
            [b'\\', byte, rest @ ..] if byte.is_ascii_punctuation() => (*byte, rest),
            [byte, rest @ ..] if byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b'-' | b'/' | b':' | b'=' | b'"') => {
                (*byte, rest)
            }
            _ => break,
        };
        // A quantifier may leave it out.
        if let [b'?' | b'*' | b'{' | b'+', ..] = rest {
            break;
        }
        out.push(byte);
        text = rest;
    }
    out.into()
}
