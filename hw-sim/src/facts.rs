//! Payload facts, 64 bytes at a time.
//!
//! Place: in the judge stage, beside the literal filter. The definition is [`weir_contract::facts`]; this is the same
//! function (test `equals_the_definition`), made for speed: each class of bytes becomes a bit mask of 64 positions, and
//! a fact about neighbouring bytes is a conjunction of shifted masks. What is rare (escapes, ends of dot segments, the
//! beginning of a line) is looked at byte by byte. Measured on full-size frames: 0.3 ns a byte against 8 ns.

use crate::lanes::{BLOCK, Lanes, Work, with_widest};
use weir_contract::facts::{self, ALL, DNS, TEXT, TLS, WORDS, in_set};
use weir_contract::fold::fold;
use weir_contract::guards::Guard;
use weir_contract::layouts::GuardParameters;

/// Same as [`weir_contract::facts::payload_facts`].
pub fn payload_facts(wanted: u64, parameters: &GuardParameters, datagram: bool, tail: &[u8], payload: &[u8]) -> u64 {
    if payload.is_empty() || wanted & ALL == 0 {
        return 0;
    }
    // The tail and the first of the payload must fit a block; the contract's tail is far shorter.
    if tail.len() >= BLOCK {
        return facts::payload_facts(wanted, parameters, datagram, tail, payload);
    }
    let mut found = 0;
    if wanted & TEXT != 0 {
        found |= with_widest(Text { parameters, tail, payload, wanted: wanted & TEXT, facts: 0 });
    }
    if wanted & DNS != 0 {
        found |= facts::payload_facts(wanted & DNS, parameters, datagram, tail, payload);
    }
    // A record header needs these two bytes, or the first of them at the end of the payload.
    if wanted & TLS != 0 && memchr::memchr_iter(22, payload).any(|at| payload.get(at + 1).is_none_or(|&b| b == 3)) {
        found |= facts::payload_facts(wanted & TLS, parameters, datagram, tail, payload);
    }
    if wanted & WORDS != 0 && may_hold_words(parameters, payload) {
        found |= facts::payload_facts(wanted & WORDS, parameters, datagram, tail, payload);
    }
    found & wanted
}

/// Some byte of the payload can be the last of a loaded word, behind what can stand before it; or zeros can be the upper half of a
/// number as long as the payload. What this leaves is rare.
fn may_hold_words(parameters: &GuardParameters, payload: &[u8]) -> bool {
    let words = facts::words(parameters).any(|(value, mask)| {
        let ([.., before, last], [.., mask_before, mask_last]) = (value.to_le_bytes(), mask.to_le_bytes());
        let stands = |at: usize| {
            let byte = at.checked_sub(1).and_then(|at| payload.get(at));
            byte.is_none_or(|byte| (fold(*byte) ^ before) & mask_before == 0)
        };
        mask_last != 0xff || memchr::memchr2_iter(last, last.to_ascii_uppercase(), payload).any(stands)
    });
    let (low, end) = (i64::from(parameters.number_low), i64::from(parameters.number_end));
    let short = payload.len() as i64 + end <= 1 << 16;
    let zeros = || memchr::memchr_iter(0, payload).any(|at| payload.get(at + 1) == Some(&0));
    words || low < end && (!short || zeros())
}

struct Text<'a> {
    parameters: &'a GuardParameters,
    tail: &'a [u8],
    payload: &'a [u8],
    wanted: u64,
    facts: u64,
}

/// Masks of which the next block needs the last two bits, and where a header line stands.
#[derive(Default, Clone, Copy)]
struct Carried {
    slash: u64,
    slashes: u64,
    dot: u64,
    colon: u64,
    white: u64,
    space: u64,
    line: u64,
    carriage: u64,
    head: Head,
}

/// Where a possible header line stands at the end of a block: each 1 or 0.
#[derive(Default, Clone, Copy)]
struct Head {
    /// A line begins with the next byte, or the next byte may go on with a name.
    name: u64,
    /// White space goes on behind a name.
    white: u64,
    /// The last byte was the colon behind a name; the space behind that.
    colon: u64,
    space: u64,
}

impl Work for Text<'_> {
    type Output = u64;

    #[inline(always)]
    fn run<L: Lanes>(self) -> u64 {
        self.scan::<L>()
    }
}

impl Text<'_> {
    /// Byte of tail and payload together.
    #[inline]
    fn byte(&self, at: usize) -> Option<u8> {
        match at.checked_sub(self.tail.len()) {
            None => self.tail.get(at).copied(),
            Some(at) => self.payload.get(at).copied(),
        }
    }

    #[inline(always)]
    fn scan<L: Lanes>(mut self) -> u64 {
        let total = self.tail.len() + self.payload.len();
        let mut before = Carried::default();
        // The beginning of what is known may be the beginning of a header line.
        before.head.name = 1;
        let mut at = 0;
        while at < total && self.facts & self.wanted != self.wanted {
            let mut padded = [0u8; BLOCK];
            let begin = at.checked_sub(self.tail.len());
            let whole = begin.and_then(|from| self.payload.get(from..)?.first_chunk::<BLOCK>());
            let block = match whole {
                Some(block) => block,
                None => {
                    let skipped = self.tail.iter().skip(at);
                    let fresh = self.payload.get(begin.unwrap_or(0)..).unwrap_or(&[]);
                    for (slot, byte) in padded.iter_mut().zip(skipped.chain(fresh)) {
                        *slot = *byte;
                    }
                    &padded
                }
            };
            let mut count = if total - at >= BLOCK { u64::MAX } else { (1 << (total - at)) - 1 };
            let known = count;
            if at == 0 {
                count &= u64::MAX << self.tail.len();
            }
            before = self.block::<L>(at, block, known, count, before);
            at += BLOCK;
        }
        self.facts
    }

    #[inline]
    fn when(&mut self, condition: bool, guard: Guard) {
        self.facts |= if condition { guard.bit() } else { 0 };
    }

    /// Facts whose last byte is at a position of `count`; bytes of `known` are there.
    #[inline(always)]
    fn block<L: Lanes>(&mut self, at: usize, block: &[u8; BLOCK], known: u64, count: u64, before: Carried) -> Carried {
        let lanes = L::load(block);
        let of = |byte: u8| lanes.equal(byte) & known;
        let (slash, backslash, dot, colon) = (of(b'/'), of(b'\\'), of(b'.'), of(b':'));
        let (space, tab, line, carriage) = (of(b' '), of(b'\t'), of(b'\n'), of(b'\r'));
        let (percent, equals) = (of(b'%'), of(b'='));
        let feed = of(0x0b) | of(0x0c);
        let (white, slashes) = (space | tab | feed, slash | backslash);
        let one = |mask: u64, before: u64| mask << 1 | before >> 63;
        let two = |mask: u64, before: u64| mask << 2 | before >> 62;
        let high = lanes.high() & count;
        let control = lanes.below(0x20) & !(tab | line | carriage) | lanes.equal(0x7f);
        self.when(lanes.equal(b'+') & count != 0, Guard::UriPlus);
        self.when(backslash & count != 0, Guard::UriBackslash);
        self.when(high != 0, Guard::UriHighByte);
        self.when(control & count != 0, Guard::UriControl);
        let double = slash & one(slash, before.slash) & count;
        let after_colon = two(colon, before.colon);
        self.when(double & !after_colon != 0, Guard::UriDoubleSlash);
        self.when(double & after_colon != 0, Guard::UriAbsolute);
        let mut odd_space = tab | space & one(space | line, before.space | before.line);
        if at == 0 {
            odd_space |= space & 1;
        }
        self.when(odd_space & count != 0, Guard::RequestSpaceOdd);
        let after_end = one(line | carriage, before.line | before.carriage);
        self.when((space | tab) & after_end & count != 0, Guard::HeaderFold);
        let odd_white = (carriage | line) & one(white, before.white) | feed & one(line, before.line);
        self.when(odd_white & count != 0, Guard::HeaderSpaceOdd);
        self.when((line ^ one(carriage, before.carriage)) & known & count != 0, Guard::LineEndOdd);
        let mut dots = one(dot, before.dot) & two(slashes, before.slashes) & count;
        while dots != 0 {
            let end = self.byte(at + dots.trailing_zeros() as usize);
            dots &= dots - 1;
            let ends = end.is_some_and(|c| {
                matches!(c, b'.' | b'/' | b'\\' | b'?' | b'#' | b';' | b'%' | b' ' | b'\t' | b'\r' | b'\n' | 0)
            });
            self.when(ends, Guard::UriDotSegment);
        }
        let mut escapes = percent | equals;
        while escapes != 0 {
            let n = escapes.trailing_zeros();
            escapes &= escapes - 1;
            self.escape(at + n as usize, percent >> n & 1 != 0);
        }
        let begins = line << 1 | before.head.name;
        let mut head = Head { name: line >> 63, ..Head::default() };
        if begins | before.head.white | before.head.colon | before.head.space != 0 {
            // Possible header lines: name, colon, one space, value (RFC 9112 section 5). What makes one odd: the colon
            // behind white space, what is no space behind the colon, or more space.
            let (ends, name) = behind(begins, lanes.token() & known);
            let (white_ends, goes_on) = behind(ends & white | before.head.white, white);
            let colons = ends & colon;
            let values = colons << 1 | before.head.colon;
            let more = (values & space) << 1 | before.head.space;
            let odd = white_ends & colon | values & !space & known | more & (white | carriage | line);
            self.when(odd & count != 0, Guard::HeaderSpaceOdd);
            head = Head { name: head.name | name, white: goes_on, colon: colons >> 63, space: (values & space) >> 63 };
        }
        Carried { slash, slashes, dot, colon, white, space, line, carriage, head }
    }

    /// What an escape character at a position says: its facts lie one or two bytes on.
    fn escape(&mut self, at: usize, percent: bool) {
        let (Some(first), first_counts) = (self.byte(at + 1), at + 1 >= self.tail.len()) else { return };
        let Some(high) = hex(first) else {
            if first_counts {
                self.when(percent, Guard::UriPercentOdd);
                self.when(!percent && matches!(first, b' ' | b'\t' | b'\r' | b'\n'), Guard::EqualsEscape);
            }
            return;
        };
        let Some(second) = self.byte(at + 2).filter(|_| at + 2 >= self.tail.len()) else { return };
        let Some(low) = hex(second) else {
            self.when(percent, Guard::UriPercentOdd);
            return;
        };
        let byte = high << 4 | low;
        let p = self.parameters;
        self.when(percent && in_set(&p.percent_set, byte), Guard::PercentEscape);
        self.when(percent && in_set(&p.uri_percent_set, byte), Guard::UriPercentEscape);
        self.when(!percent && in_set(&p.equals_set, byte), Guard::EqualsEscape);
    }
}

/// Positions behind the runs of `of` that begin at `begins` (there itself where it is none), and 1 if a run goes on
/// behind the last. A begin lies at the beginning of a run.
#[inline(always)]
fn behind(begins: u64, of: u64) -> (u64, u64) {
    let (sum, goes_on) = of.overflowing_add(begins & of);
    ((sum | begins) & !of, u64::from(goes_on))
}

fn hex(byte: u8) -> Option<u8> {
    (byte as char).to_digit(16).map(|digit| digit as u8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_contract::hash::splitmix64;

    /// Every fact by itself and all together, on bytes that make facts, texts with headers, and random bytes.
    #[test]
    fn equals_the_definition() {
        let mut state = 77;
        let mut seen = 0u64;
        let alphabets: [&[u8]; 4] = [
            b" \t\r\n\x0b\x0c:/\\.%=+aF0?#;",
            b"Aa:  \x0c\r\nHost%41=zz/.b",
            b"%=0123456789abcdefABCDEFgz \r\n",
            b"abc\xff\x00\x16\x03\x01\x7f/:.\n\r ",
        ];
        for round in 0..60_000u32 {
            let mut random = |n: u64| splitmix64(&mut state) % n;
            let mut parameters = GuardParameters::ZERO;
            for set in [&mut parameters.percent_set, &mut parameters.uri_percent_set, &mut parameters.equals_set] {
                *set = std::array::from_fn(|_| random(u64::MAX));
            }
            for n in 0..random(4) as usize {
                parameters.word_values[n] = u32::from_le_bytes(std::array::from_fn(|_| b"a/ \0"[random(4) as usize]));
                parameters.word_masks[n] = [0xffff_0000, 0xffff_ff00, u32::MAX, 0xff, 0xf0ff_0000][random(5) as usize];
            }
            parameters.number_low = random(9) as i32 - 4;
            parameters.number_end = random(9) as i32 - 4;
            let length = random(if round % 4 == 0 { 300 } else { 20 }) as usize;
            let tail = random(8) as usize;
            let alphabet = alphabets[random(4) as usize];
            let mut byte = |_| match random(40) {
                0 => random(256) as u8,
                _ => alphabet[random(alphabet.len() as u64) as usize],
            };
            let tail: Vec<u8> = (0..tail).map(&mut byte).collect();
            let mut payload: Vec<u8> = (0..length).map(&mut byte).collect();
            if let Some(at) = length.checked_sub(5).filter(|_| round % 3 == 0) {
                let number = length as u32 + (round >> 8) % 8 - 4;
                payload[at..at + 4].copy_from_slice(&number.to_le_bytes());
            }
            for wanted in [ALL, WORDS, TEXT, 1 << random(64), Guard::HeaderSpaceOdd.bit()] {
                let expected = facts::payload_facts(wanted, &parameters, round % 2 == 0, &tail, &payload);
                let found = payload_facts(wanted, &parameters, round % 2 == 0, &tail, &payload);
                assert_eq!(
                    found,
                    expected,
                    "{:?} + {:?}, wanted {wanted:#x}",
                    tail.escape_ascii().to_string(),
                    payload.escape_ascii().to_string()
                );
                seen |= expected;
            }
        }
        assert_eq!(seen & (TEXT | WORDS), TEXT | WORDS, "every text fact was seen");
    }
}
