//! Content chains against an oracle that tries every assignment of positions.
//!
//! The oracle knows nothing of needles, step limits, relative marks or preferences: it places each positive content
//! at every position that its modifiers admit, and asks whether some placement satisfies the rest.

use proptest::prelude::*;
use weir_detect::chain::{Evaluator, Limits, StreamView, compile};
use weir_detect::program::datasets::DatasetTable;
use weir_detect::shared::Datasets;
use weir_ir::{
    Anchor, Buffer, BufferMatch, ByteBase, ByteExtract, ByteJump, ByteTest, Comparison, Content, Endian, IsDataAt, Match,
    Number, TestOperator,
};

#[derive(Clone, Copy)]
struct Place<'h> {
    bytes: &'h [u8],
    /// Stream offset of the first byte and index of the first new one.
    stream: Option<(u64, usize)>,
}

impl Place<'_> {
    fn gone(&self) -> bool {
        self.stream.is_some_and(|s| s.0 > 0)
    }
    fn new(&self, end: i64) -> bool {
        self.stream.is_none_or(|s| end > s.1 as i64)
    }
}

fn value(number: Option<Number>, variables: &[i64; 4]) -> Option<i64> {
    number.map(|n| match n {
        Number::Constant(c) => c,
        Number::Variable(v) => variables[v as usize],
    })
}

/// Every start at which the content may stand and does.
fn places(c: &Content, place: Place<'_>, last: i64, variables: &[i64; 4]) -> Vec<i64> {
    let (n, length) = (place.bytes.len() as i64, c.bytes.len() as i64);
    let relative = c.is_relative();
    let (offset, depth) = (value(c.offset, variables), value(c.depth, variables));
    let (distance, within) = (value(c.distance, variables), value(c.within, variables));
    if place.gone() && (offset.is_some() || depth.is_some() || c.anchor.start) {
        return vec![];
    }
    (0..=n - length)
        .filter(|&start| {
            let end = start + length;
            let text = &place.bytes[start as usize..end as usize];
            let equal = if c.nocase { text.eq_ignore_ascii_case(&c.bytes) } else { text == &c.bytes[..] };
            equal
                && start >= offset.unwrap_or(0)
                && (relative || depth.is_none_or(|d| end <= offset.unwrap_or(0) + d))
                && (!relative || start >= (last + distance.unwrap_or(0)).max(0))
                && within.is_none_or(|w| end <= last + distance.unwrap_or(0) + w)
                && (!c.anchor.start || start == 0)
                && (!c.anchor.end || end == n)
        })
        .collect()
}

fn read(place: Place<'_>, start: i64, count: usize) -> Option<u64> {
    let start = usize::try_from(start).ok()?;
    let bytes = place.bytes.get(start..start + count)?;
    Some(bytes.iter().fold(0, |v, b| v << 8 | u64::from(*b)))
}

fn holds(rest: &[Match], place: Place<'_>, last: i64, touched: bool, variables: [i64; 4]) -> bool {
    let Some((first, rest)) = rest.split_first() else { return touched };
    match first {
        Match::Content(c) => {
            let found = places(c, place, last, &variables);
            if c.negated {
                return found.is_empty() && holds(rest, place, last, touched, variables);
            }
            found.into_iter().any(|start| {
                let end = start + c.bytes.len() as i64;
                holds(rest, place, end, touched || place.new(end), variables)
            })
        }
        Match::ByteTest(t) => {
            let Number::Constant(offset) = t.offset else { unreachable!() };
            if !t.relative && place.gone() {
                return false;
            }
            let start = offset + if t.relative { last } else { 0 };
            let Some(v) = read(place, start, 1) else { return false };
            let right = value(Some(t.value), &variables).unwrap() as u64;
            let ok = match t.operator {
                TestOperator::Less => v < right,
                _ => v == right,
            };
            ok != t.negated && holds(rest, place, last, touched || place.new(start + 1), variables)
        }
        Match::ByteJump(j) => {
            let Number::Constant(offset) = j.offset else { unreachable!() };
            if !j.relative && place.gone() {
                return false;
            }
            let start = offset + if j.relative { last } else { 0 };
            let Some(v) = read(place, start, 1) else { return false };
            let target = start + 1 + v as i64;
            target <= place.bytes.len() as i64
                && holds(rest, place, target, touched || place.new(start + 1), variables)
        }
        Match::ByteExtract(e) => {
            let Number::Constant(offset) = e.offset else { unreachable!() };
            if !e.relative && place.gone() {
                return false;
            }
            let start = offset + if e.relative { last } else { 0 };
            let Some(v) = read(place, start, 1) else { return false };
            let mut variables = variables;
            variables[e.variable as usize] = v as i64;
            holds(rest, place, start + 1, touched || place.new(start + 1), variables)
        }
        Match::IsDataAt(d) => {
            let Number::Constant(n) = d.position else { unreachable!() };
            let length = place.bytes.len() as i64;
            let (end, exists) = if d.relative {
                (last + n, last + n >= 0 && last + n <= length)
            } else {
                let from = place.stream.map_or(0, |s| s.0 as i64);
                (n + 1 - from, n < from + length)
            };
            exists != d.negated
                && holds(rest, place, last, touched || (!d.negated && place.new(end)), variables)
        }
        Match::Size(c) => c.holds(place.bytes.len() as u64) && holds(rest, place, last, touched, variables),
        _ => unreachable!(),
    }
}

fn touches(matches: &[Match]) -> bool {
    matches.iter().any(|m| match m {
        Match::Content(c) => !c.negated,
        Match::IsDataAt(d) => !d.negated,
        Match::Size(_) => false,
        _ => true,
    })
}

fn check(matches: Vec<Match>, bytes: &[u8], stream: Option<(u64, usize)>) -> Result<(), TestCaseError> {
    let buffer = BufferMatch { buffer: Buffer::Payload, transforms: vec![], matches: matches.clone(), side: None };
    let chain = compile::chain(&buffer, None, &mut DatasetTable::default()).unwrap();
    let limits = Limits { steps: 10_000_000, ..Limits::default() };
    let mut evaluator = Evaluator::new(limits).unwrap();
    evaluator.begin_rule();
    let view = stream.map(|(offset, new_from)| StreamView { offset, new_from });
    let got = evaluator.holds(&chain, bytes, view, &mut Datasets::default());
    let start = stream.is_none() || !touches(&matches);
    let expected = holds(&matches, Place { bytes, stream }, 0, start, [0; 4]);
    prop_assert_eq!(got, expected, "{:?} on {:?} {:?}", matches, bytes, stream);
    Ok(())
}

fn content() -> impl Strategy<Value = Match> {
    let text = prop::collection::vec(prop::sample::select(&b"abA\x01"[..]), 1..4);
    let small = || prop::option::weighted(0.3, 0i64..8);
    let place = (small(), small(), prop::option::weighted(0.4, -3i64..5), small());
    let flags = (prop::bool::weighted(0.2), any::<bool>(), prop::bool::weighted(0.1), prop::bool::weighted(0.1));
    (text, place, flags).prop_map(|(text, (offset, depth, distance, within), (negated, nocase, start, end))| {
        let relative = distance.is_some() || within.is_some();
        let length = text.len() as i64;
        let number = |n: Option<i64>| n.map(Number::Constant);
        let absolute = !relative && !start;
        Match::Content(Content {
            bytes: text.into(),
            negated,
            nocase,
            offset: number(offset.filter(|_| absolute)),
            depth: number(depth.filter(|_| absolute).map(|d| d + length)),
            distance: number(distance),
            within: number(within.map(|w| w + length)),
            anchor: Anchor { start: start && !relative, end },
            fast_pattern: false,
            fast_pattern_only: false,
            fast_pattern_chop: None,
            raw: false,
        })
    })
}

fn other() -> impl Strategy<Value = Match> {
    (0usize..5, -2i64..4, any::<bool>(), any::<bool>()).prop_map(|(kind, n, relative, negated)| {
        let offset = Number::Constant(if relative { n } else { n.abs() });
        let (endian, base) = (Endian::Big, ByteBase::Binary);
        match kind {
            0 => Match::ByteTest(ByteTest {
                count: Number::Constant(1),
                negated,
                operator: if n > 1 { TestOperator::Less } else { TestOperator::Equal },
                value: Number::Constant(i64::from(b'a')),
                offset,
                relative,
                endian,
                base,
                bitmask: None,
            }),
            1 => Match::ByteJump(ByteJump {
                count: Number::Constant(1),
                offset,
                relative,
                multiplier: 1,
                endian,
                base,
                align: false,
                from_beginning: false,
                from_end: false,
                post_offset: Number::Constant(0),
                bitmask: None,
            }),
            2 => Match::ByteExtract(ByteExtract {
                count: 1,
                offset,
                variable: 0,
                relative,
                multiplier: 1,
                endian,
                base,
                align: 0,
                bitmask: None,
            }),
            3 => Match::IsDataAt(IsDataAt { position: Number::Constant(n.abs() * 3), negated, relative }),
            _ => Match::Size(Comparison::Greater(n.unsigned_abs() * 4)),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn agrees(
        matches in prop::collection::vec(prop_oneof![4 => content(), 1 => other()], 1..6),
        bytes in prop::collection::vec(prop::sample::select(&b"abAB\x01"[..]), 0..24),
    ) {
        check(matches, &bytes, None)?;
    }

    #[test]
    fn agrees_in_streams(
        matches in prop::collection::vec(prop_oneof![4 => content(), 1 => other()], 1..5),
        bytes in prop::collection::vec(prop::sample::select(&b"abAB\x01"[..]), 1..24),
        offset in prop_oneof![Just(0u64), Just(7u64)],
        new in any::<prop::sample::Index>(),
    ) {
        let new_from = new.index(bytes.len());
        check(matches, &bytes, Some((offset, new_from)))?;
    }

}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40_000, ..ProptestConfig::default() })]

    /// Where nothing could complete the chain, nothing does: whatever comes behind a window, however it is cut, and wherever
    /// later windows begin, as long as it brings no other occurrence of the pattern.
    #[test]
    fn what_could_not_hold_never_does(
        matches in prop::collection::vec(prop_oneof![5 => content(), 1 => other(), 1 => expression()], 1..5),
        bytes in prop::collection::vec(prop::sample::select(&b"abAB\n"[..]), 2..28),
        offset in prop_oneof![2 => Just(0u64), 1 => Just(7u64)],
        (cut, which) in any::<(prop::sample::Index, prop::sample::Index)>(),
        later in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index)>(), 1..4),
    ) {
        let positive = |m: &Match| if let Match::Content(c) = m && !c.negated { Some(c.bytes.clone()) } else { None };
        let contents: Vec<_> = matches.iter().filter_map(positive).collect();
        if contents.is_empty() {
            return Ok(());
        }
        let pattern = contents[which.index(contents.len())].to_ascii_lowercase();
        let buffer = BufferMatch { buffer: Buffer::Payload, transforms: vec![], matches: matches.clone(), side: None };
        let chain = compile::chain(&buffer, None, &mut DatasetTable::default()).unwrap();
        let mut evaluator = Evaluator::new(Limits { steps: 1_000_000, ..Limits::default() }).unwrap();
        evaluator.begin_rule();
        let cut = cut.index(bytes.len());
        if evaluator.could_hold(&chain, &bytes[..cut], offset, &pattern) {
            return Ok(());
        }
        // A pattern that more than one content holds is not what the device's fragment tells of.
        let holders = contents.iter().filter(|c| c.to_ascii_lowercase().windows(pattern.len()).any(|w| w == pattern)).count();
        if holders != 1 {
            return Ok(());
        }
        let (mut from, mut begin) = (cut, 0);
        for (end, drop) in later {
            let end = from + end.index(bytes.len() - from + 1);
            begin += drop.index(from - begin + 1);
            let window = &bytes[begin..end];
            let known = |at: usize| window[at..].to_ascii_lowercase().starts_with(&pattern) && begin + at + pattern.len() > cut;
            if (0..window.len()).any(known) {
                break;
            }
            let view = StreamView { offset: offset + begin as u64, new_from: from - begin };
            evaluator.begin_rule();
            let holds = end > from && evaluator.holds(&chain, window, Some(view), &mut Datasets::default());
            prop_assert!(!holds, "{:?} with {:?} in {:?} at {} then {:?}", matches, pattern, &bytes[..cut], offset, window);
            from = end;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40_000, ..ProptestConfig::default() })]

    /// Where nothing could make the chain hold in a buffer that grows, nothing does, whatever comes behind it; nor does it hold in
    /// one that is complete.
    #[test]
    fn what_could_never_hold_never_does(
        matches in prop::collection::vec(prop_oneof![5 => content(), 1 => other(), 1 => expression()], 1..5),
        bytes in prop::collection::vec(prop::sample::select(&b"abAB\n"[..]), 1..28),
        cut in any::<prop::sample::Index>(),
        complete in any::<bool>(),
    ) {
        let buffer = BufferMatch { buffer: Buffer::FileData, transforms: vec![], matches: matches.clone(), side: None };
        let chain = compile::chain(&buffer, None, &mut DatasetTable::default()).unwrap();
        let mut evaluator = Evaluator::new(Limits { steps: 1_000_000, ..Limits::default() }).unwrap();
        evaluator.begin_rule();
        let cut = cut.index(bytes.len());
        if evaluator.could_ever_hold(&chain, &bytes[..cut], complete) {
            return Ok(());
        }
        for end in cut..=if complete { cut } else { bytes.len() } {
            evaluator.begin_rule();
            let holds = evaluator.holds(&chain, &bytes[..end], None, &mut Datasets::default());
            prop_assert!(!holds, "{:?} in {:?}, then {:?}", matches, &bytes[..cut], &bytes[..end]);
        }
    }
}

fn expression() -> impl Strategy<Value = Match> {
    const TEXTS: [&str; 9] = ["^a[^\\n]{2}", "^ab", "ab[^\\n]{3}", "\\x61b+\\n", "^[ab]+\\n", "b$", "^(a|b)b", "a.*b", "aB\\b"];
    (prop::sample::select(&TEXTS[..]), any::<(bool, bool, bool, bool)>()).prop_map(|(text, (relative, multiline, caseless, dotall))| {
        Match::Pcre(weir_ir::Pcre { relative, multiline, caseless, dotall, ..weir_ir::Pcre::new(text) })
    })
}
