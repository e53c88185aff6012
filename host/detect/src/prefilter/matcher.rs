//! Multi-pattern search: which of many literals occur in a buffer.
//!
//! Each pattern is represented by one window of four bytes (case-folded), chosen where it is rare. A scan hashes the
//! window at each position into a bitmap; only set bits look at the bucket and compare the whole pattern. Patterns of
//! seven bytes and more put four neighbouring windows into a table of their own, which is scanned at every fourth
//! position: exactly one of the four falls on a scanned position. Those of four to six bytes are looked for at every
//! position, 64 at a time where the processor can (`wide`). Patterns of one to three bytes use a bitmap over byte pairs,
//! by the rarest pair of the pattern.
//!
//! Invariants: every occurrence is reported at least once, with exact bytes (case-sensitive patterns exactly); no
//! state is kept between scans; time is linear in the buffer but for true and near hits.

use super::rarity::{probability, string_probability};
use std::collections::HashMap;

/// Index of a pattern within its matcher.
pub type PatternIndex = u32;

#[derive(Debug, Clone, Copy)]
struct Meta {
    start: u32,
    length: u32,
    nocase: bool,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    window: u32,
    /// Four other bytes of the pattern, folded as the window is: most patterns that share a window differ in them.
    check: u32,
    /// Where they stand, from the window.
    check_at: i32,
    pattern: PatternIndex,
    offset: u32,
}

/// The four bytes to compare besides those at `offset`: behind them, before them, or whatever else the pattern has.
fn second_window(bytes: &[u8], offset: usize) -> (u32, i32) {
    let last = bytes.len() - 4;
    let at = if offset + 4 <= last {
        offset + 4
    } else if offset >= 4 {
        offset - 4
    } else if offset == 0 {
        last
    } else {
        0
    };
    (read(bytes.get(at..).unwrap_or(&[])) | FOLD, at as i32 - offset as i32)
}

/// One hash table of windows.
#[derive(Debug, Default)]
struct Table {
    /// Two bits of one word a window: a Bloom filter that costs one memory access.
    bitmap: Vec<u64>,
    /// What leaves log2(bits of the bitmap) bits of a hash, and six below them for the second bit.
    shift: u32,
    /// log2(bitmap bits per bucket)
    bucket_shift: u32,
    buckets: Vec<u32>,
    entries: Vec<Entry>,
}

const FOLD: u32 = 0x2020_2020;
const MULTIPLIER: u32 = 0x9E37_79B1;
/// Shortest pattern of the table scanned at every fourth position.
const LONG: usize = 7;

/// The upper bits are the hash: each depends on all of the window.
#[inline(always)]
fn spread(window: u32) -> u32 {
    (window | FOLD).wrapping_mul(MULTIPLIER)
}

impl Table {
    fn build(mut entries: Vec<Entry>) -> Table {
        if entries.is_empty() {
            return Table::default();
        }
        let bucket_bits = (usize::BITS - (entries.len() * 2).leading_zeros()).clamp(6, 17);
        let bitmap_bits = (bucket_bits + 4).min(21).max(12);
        let shift = 32 - bitmap_bits - 6;
        let bucket_shift = bitmap_bits - bucket_bits;
        let mut bitmap = vec![0u64; 1 << (bitmap_bits - 6)];
        let bucket_of = |e: &Entry| (spread(e.window) >> shift >> 6) >> bucket_shift;
        entries.sort_by_key(|e| (bucket_of(e), e.window, e.pattern));
        let mut buckets = vec![0u32; (1 << bucket_bits) + 1];
        for entry in &entries {
            let slot = spread(entry.window) >> shift;
            bitmap[slot as usize >> 12] |= 1 << (slot >> 6 & 63) | 1 << (slot & 63);
            buckets[bucket_of(entry) as usize + 1] += 1;
        }
        for i in 1..buckets.len() {
            buckets[i] += buckets[i - 1];
        }
        Table { bitmap, shift, bucket_shift, buckets, entries }
    }

    /// Both bits of a window are set.
    #[inline(always)]
    fn test(&self, window: u32) -> u64 {
        let slot = spread(window) >> self.shift;
        // The shift leaves an index below the bitmap's length; `get` makes it safe without proof to the compiler.
        let word = self.bitmap.get(slot as usize >> 12).copied().unwrap_or(0);
        word >> (slot >> 6 & 63) & word >> (slot & 63) & 1
    }

    fn bucket(&self, window: u32) -> &[Entry] {
        let b = ((spread(window) >> self.shift >> 6) >> self.bucket_shift) as usize;
        match (self.buckets.get(b), self.buckets.get(b + 1)) {
            (Some(&low), Some(&high)) => self.entries.get(low as usize..high as usize).unwrap_or(&[]),
            _ => &[],
        }
    }
}

/// Patterns of one to three bytes, by a pair of bytes.
#[derive(Debug, Default)]
struct Tiny {
    bitmap: Vec<u64>,
    /// By pair: end of its part of `entries`.
    ends: Vec<u32>,
    /// Pattern and position of the pair in it.
    entries: Vec<(PatternIndex, u8)>,
}

/// A compiled set of patterns.
#[derive(Debug, Default)]
pub struct Matcher {
    patterns: Vec<Meta>,
    bytes: Vec<u8>,
    long: Table,
    short: Table,
    #[cfg(target_arch = "x86_64")]
    short_wide: Option<super::wide::Wide>,
    tiny: Option<Box<Tiny>>,
    longest: usize,
}

/// Collects patterns.
#[derive(Debug, Default)]
pub struct MatcherBuilder {
    patterns: Vec<(Vec<u8>, bool)>,
    known: HashMap<(Vec<u8>, bool), PatternIndex>,
}

impl MatcherBuilder {
    /// Add a pattern (not empty); equal ones share an index.
    pub fn add(&mut self, bytes: &[u8], nocase: bool) -> PatternIndex {
        let nocase = nocase && bytes.iter().any(u8::is_ascii_alphabetic);
        let stored = if nocase { bytes.to_ascii_lowercase() } else { bytes.to_vec() };
        let next = self.patterns.len() as PatternIndex;
        *self.known.entry((stored.clone(), nocase)).or_insert_with(|| {
            self.patterns.push((stored, nocase));
            next
        })
    }

    /// Number of distinct patterns.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// No pattern yet.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Build the tables.
    pub fn build(self) -> Matcher {
        let mut matcher = Matcher::default();
        let mut long = Vec::new();
        let mut short = Vec::new();
        let mut tiny = TinyBuilder::new();
        let mut chooser = Chooser::default();
        for (index, (bytes, nocase)) in self.patterns.iter().enumerate() {
            let index = index as PatternIndex;
            matcher.longest = matcher.longest.max(bytes.len());
            let start = matcher.bytes.len() as u32;
            matcher.bytes.extend_from_slice(bytes);
            matcher.patterns.push(Meta { start, length: bytes.len() as u32, nocase: *nocase });
            match bytes.len() {
                0 => {}
                1..=3 => add_tiny(&mut tiny, index, bytes, *nocase),
                length => {
                    let span = if length >= LONG { LONG } else { 4 };
                    let offset = chooser.choose(bytes, span);
                    let table = if span == LONG { &mut long } else { &mut short };
                    for o in offset..=offset + span - 4 {
                        let window = read(&bytes[o..o + 4]) | FOLD;
                        *chooser.load.entry(window).or_default() += 1;
                        let (check, check_at) = second_window(bytes, o);
                        table.push(Entry { window, check, check_at, pattern: index, offset: o as u32 });
                    }
                }
            }
        }
        matcher.long = Table::build(long);
        #[cfg(target_arch = "x86_64")]
        {
            let windows: Vec<u32> = short.iter().map(|entry| entry.window).collect();
            matcher.short_wide = super::wide::Wide::new(&windows);
        }
        matcher.short = Table::build(short);
        matcher.tiny = Tiny::build(tiny);
        matcher
    }
}

/// Windows by value. They are numbers that the rules choose, and tables are built once: no adversary counts.
type ByWindow<T> = HashMap<u32, T, std::hash::BuildHasherDefault<WindowHasher>>;

/// One multiplication for a window.
#[derive(Debug, Default, Clone, Copy)]
struct WindowHasher(u64);

impl std::hash::Hasher for WindowHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, value: u32) {
        let mixed = (self.0 ^ u64::from(value)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ mixed >> 32;
    }
}

/// What choosing spans needs, from pattern to pattern.
#[derive(Default)]
struct Chooser {
    /// Entries that have a window already.
    load: ByWindow<u32>,
    /// Of lower-case windows.
    cost_of: ByWindow<f64>,
    /// Of the pattern's windows: what each costs, and for being shared.
    costs: Vec<(f64, f64)>,
}

impl Chooser {
    /// Offset of the span whose windows are rarest and least loaded.
    fn choose(&mut self, bytes: &[u8], span: usize) -> usize {
        let Chooser { load, cost_of, costs } = self;
        costs.clear();
        costs.extend(bytes.windows(4).map(|window| {
            let key = [window[0], window[1], window[2], window[3]].map(|b| b.to_ascii_lowercase());
            let cost = *cost_of.entry(u32::from_le_bytes(key)).or_insert_with(|| string_probability(&key));
            let shared = load.get(&(read(window) | FOLD)).copied().unwrap_or(0);
            (cost, 1e-6 * f64::from(shared))
        }));
        let mut best = (f64::MAX, 0);
        for (offset, windows) in costs.windows(span - 3).enumerate() {
            let cost = windows.iter().fold(0.0, |sum, (cost, shared)| sum + cost + shared);
            if cost < best.0 {
                best = (cost, offset);
            }
        }
        best.1
    }
}

#[inline(always)]
fn read(bytes: &[u8]) -> u32 {
    match bytes {
        [a, b, c, d, ..] => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    }
}

/// Collects (pair, pattern, position of the pair).
type TinyBuilder = Vec<(u16, PatternIndex, u8)>;

fn add_tiny(out: &mut TinyBuilder, index: PatternIndex, bytes: &[u8], nocase: bool) {
    let cases = |b: u8| if nocase { vec![b.to_ascii_lowercase(), b.to_ascii_uppercase()] } else { vec![b] };
    let at = match bytes {
        [a, b, c] if string_probability(&[*b, *c]) < string_probability(&[*a, *b]) => 1,
        _ => 0,
    };
    let first = bytes.get(at).copied().unwrap_or(0);
    // A single byte is found with whatever follows.
    let seconds = bytes.get(at + 1).map_or_else(|| (0..=255).collect(), |&b| cases(b));
    for first in cases(first) {
        out.extend(seconds.iter().map(|&second| (u16::from_le_bytes([first, second]), index, at as u8)));
    }
}

impl Tiny {
    fn build(mut pairs: TinyBuilder) -> Option<Box<Tiny>> {
        if pairs.is_empty() {
            return None;
        }
        pairs.sort_unstable();
        pairs.dedup();
        let mut tiny = Tiny { bitmap: vec![0; 1024], ends: vec![0; 1 << 16], entries: Vec::with_capacity(pairs.len()) };
        let mut next = pairs.iter().peekable();
        for pair in 0..=u16::MAX {
            while let Some((_, pattern, at)) = next.next_if(|p| p.0 == pair) {
                tiny.bitmap[pair as usize / 64] |= 1 << (pair % 64);
                tiny.entries.push((*pattern, *at));
            }
            tiny.ends[pair as usize] = tiny.entries.len() as u32;
        }
        Some(Box::new(tiny))
    }

    fn entries(&self, pair: u16) -> &[(PatternIndex, u8)] {
        let low = pair.checked_sub(1).map_or(Some(&0), |p| self.ends.get(p as usize));
        match (low, self.ends.get(pair as usize)) {
            (Some(&low), Some(&high)) => self.entries.get(low as usize..high as usize).unwrap_or(&[]),
            _ => &[],
        }
    }
}

impl Matcher {
    /// Length of the longest pattern: an incremental scan starts that much minus one before the new bytes.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Number of patterns.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// No pattern.
    pub fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Expected hits per scanned byte of a pattern: diagnostics.
    pub fn first_byte_probability(&self, pattern: PatternIndex) -> f64 {
        self.pattern(pattern).map_or(0.0, |(bytes, _)| bytes.first().map_or(0.0, |&b| probability(b)))
    }

    fn pattern(&self, index: PatternIndex) -> Option<(&[u8], bool)> {
        let meta = self.patterns.get(index as usize)?;
        let bytes = self.bytes.get(meta.start as usize..(meta.start + meta.length) as usize)?;
        Some((bytes, meta.nocase))
    }

    #[inline]
    fn verify(&self, index: PatternIndex, haystack: &[u8], start: usize) -> Option<usize> {
        let (bytes, nocase) = self.pattern(index)?;
        let end = start.checked_add(bytes.len())?;
        let found = haystack.get(start..end)?;
        let equal = if nocase { found.eq_ignore_ascii_case(bytes) } else { found == bytes };
        equal.then_some(end)
    }

    #[cold]
    fn inspect(
        &self,
        table: &Table,
        haystack: &[u8],
        from: usize,
        position: usize,
        hit: &mut impl FnMut(PatternIndex, usize, usize),
    ) {
        let window = read(haystack.get(position..).unwrap_or(&[])) | FOLD;
        for entry in table.bucket(window) {
            if entry.window != window {
                continue;
            }
            let check = position.checked_add_signed(entry.check_at as isize).and_then(|at| haystack.get(at..));
            if check.map_or(0, read) | FOLD != entry.check {
                continue;
            }
            let Some(start) = position.checked_sub(entry.offset as usize).filter(|&s| s >= from) else { continue };
            if let Some(end) = self.verify(entry.pattern, haystack, start) {
                hit(entry.pattern, start, end);
            }
        }
    }

    /// Report every occurrence that starts at or behind `from` as (pattern, start, end).
    pub fn scan(&self, haystack: &[u8], from: usize, hit: &mut impl FnMut(PatternIndex, usize, usize)) {
        let Some(rest) = haystack.get(from..) else { return };
        if !self.long.entries.is_empty() && rest.len() >= 4 {
            self.scan_long(haystack, rest, from, hit);
        }
        if !self.short.entries.is_empty() && rest.len() >= 4 {
            self.scan_short(haystack, rest, from, hit);
        }
        if let Some(tiny) = &self.tiny {
            self.scan_tiny(tiny, haystack, rest, from, hit);
        }
    }

    fn scan_long(&self, haystack: &[u8], rest: &[u8], from: usize, hit: &mut impl FnMut(PatternIndex, usize, usize)) {
        let table = &self.long;
        let mut position = from;
        let mut blocks = rest.chunks_exact(16);
        for block in &mut blocks {
            let a = table.test(read(&block[0..4]));
            let b = table.test(read(&block[4..8]));
            let c = table.test(read(&block[8..12]));
            let d = table.test(read(&block[12..16]));
            let mut set = a | b << 1 | c << 2 | d << 3;
            while set != 0 {
                let i = set.trailing_zeros() as usize;
                set &= set - 1;
                self.inspect(table, haystack, from, position + 4 * i, hit);
            }
            position += 16;
        }
        for window in blocks.remainder().chunks_exact(4) {
            if table.test(read(window)) != 0 {
                self.inspect(table, haystack, from, position, hit);
            }
            position += 4;
        }
    }

    /// Short patterns with the widest registers, as far as there are whole blocks of positions. Gives how many positions
    /// were looked at.
    #[cfg(target_arch = "x86_64")]
    #[inline]
    fn scan_wide(
        &self,
        haystack: &[u8],
        rest: &[u8],
        from: usize,
        hit: &mut impl FnMut(PatternIndex, usize, usize),
    ) -> usize {
        use super::wide::BLOCK;
        let Some(wide) = &self.short_wide else { return 0 };
        let mut at = 0;
        loop {
            let (masks, blocks) = wide.positions(rest.get(at..).unwrap_or(&[]));
            if blocks == 0 {
                return at;
            }
            for (n, mut set) in masks.into_iter().enumerate().take(blocks) {
                while set != 0 {
                    let position = from + at + n * BLOCK + set.trailing_zeros() as usize;
                    set &= set - 1;
                    // One window in 64 of others passes: most of them fail here.
                    if self.short.test(read(haystack.get(position..).unwrap_or(&[]))) != 0 {
                        self.inspect(&self.short, haystack, from, position, hit);
                    }
                }
            }
            at += blocks * BLOCK;
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn scan_wide(&self, _: &[u8], _: &[u8], _: usize, _: &mut impl FnMut(PatternIndex, usize, usize)) -> usize {
        0
    }

    fn scan_short(&self, haystack: &[u8], rest: &[u8], from: usize, hit: &mut impl FnMut(PatternIndex, usize, usize)) {
        let table = &self.short;
        let mut i = self.scan_wide(haystack, rest, from, hit);
        let mut position = from + i;
        // Blocks of seven bytes hold four windows.
        let last = rest.len() - 3;
        while i + 4 <= last {
            let Some(block) = rest.get(i..i + 7) else { break };
            let a = table.test(read(&block[0..4]));
            let b = table.test(read(&block[1..5]));
            let c = table.test(read(&block[2..6]));
            let d = table.test(read(&block[3..7]));
            let mut set = a | b << 1 | c << 2 | d << 3;
            while set != 0 {
                let k = set.trailing_zeros() as usize;
                set &= set - 1;
                self.inspect(table, haystack, from, position + k, hit);
            }
            position += 4;
            i += 4;
        }
        for window in rest.get(i..).unwrap_or(&[]).windows(4) {
            if table.test(read(window)) != 0 {
                self.inspect(table, haystack, from, position, hit);
            }
            position += 1;
        }
    }

    fn scan_tiny(
        &self,
        tiny: &Tiny,
        haystack: &[u8],
        rest: &[u8],
        from: usize,
        hit: &mut impl FnMut(PatternIndex, usize, usize),
    ) {
        let Ok(bitmap) = <&[u64; 1024]>::try_from(&tiny.bitmap[..]) else { return };
        let is_set = |pair: u16| bitmap[pair as usize / 64] >> (pair % 64) & 1;
        let mut at = |pair: u16, position: usize| {
            for &(pattern, offset) in tiny.entries(pair) {
                let Some(start) = position.checked_sub(usize::from(offset)).filter(|&s| s >= from) else { continue };
                if let Some(end) = self.verify(pattern, haystack, start) {
                    hit(pattern, start, end);
                }
            }
        };
        // Blocks of five bytes hold four pairs.
        let mut i = 0;
        while let Some(block) = rest.get(i..i + 5) {
            let pair = |k: usize| u16::from_le_bytes([block[k], block[k + 1]]);
            let mut set = is_set(pair(0)) | is_set(pair(1)) << 1 | is_set(pair(2)) << 2 | is_set(pair(3)) << 3;
            while set != 0 {
                let k = set.trailing_zeros() as usize;
                set &= set - 1;
                at(pair(k), from + i + k);
            }
            i += 4;
        }
        for (k, pair) in rest.get(i..).unwrap_or(&[]).windows(2).enumerate() {
            let key = u16::from_le_bytes([pair[0], pair[1]]);
            if is_set(key) != 0 {
                at(key, from + i + k);
            }
        }
        // The last byte, followed by nothing, for patterns of one byte.
        if let Some(&last) = rest.last() {
            let key = u16::from_le_bytes([last, 0]);
            if is_set(key) != 0 {
                at(key, from + rest.len() - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(patterns: &[(Vec<u8>, bool)], haystack: &[u8], from: usize) -> Vec<(usize, usize)> {
        let mut out = vec![];
        for (i, (p, nocase)) in patterns.iter().enumerate() {
            for start in from..haystack.len() {
                if let Some(found) = haystack.get(start..start + p.len()) {
                    if (*nocase && found.eq_ignore_ascii_case(p)) || found == &p[..] {
                        out.push((i, start + p.len()));
                    }
                }
            }
        }
        out.sort();
        out.dedup();
        out
    }

    fn check(patterns: Vec<(Vec<u8>, bool)>, haystack: Vec<u8>, from: usize) {
        let from = from.min(haystack.len());
        let mut builder = MatcherBuilder::default();
        let ids: Vec<_> = patterns.iter().map(|(p, n)| builder.add(p, *n)).collect();
        let matcher = builder.build();
        let mut got = vec![];
        matcher.scan(&haystack, from, &mut |id, _, end| {
            got.extend(ids.iter().enumerate().filter(|(_, i)| **i == id).map(|(i, _)| (i, end)));
        });
        got.sort();
        got.dedup();
        assert_eq!(got, naive(&patterns, &haystack, from));
    }

    #[test]
    fn single_bytes_at_the_end() {
        check(vec![(b"a".to_vec(), true), (b"ab".to_vec(), false), (b"Abc".to_vec(), true)], b"zABCxa".to_vec(), 0);
    }

    proptest! {
        #[test]
        fn agrees_with_naive_search(
            patterns in prop::collection::vec((prop::collection::vec(prop::sample::select(&b"abAB\x00"[..]), 1..14), any::<bool>()), 1..40),
            haystack in prop::collection::vec(prop::sample::select(&b"abAB\x00"[..]), 0..500),
            from in 0usize..50,
        ) {
            check(patterns, haystack, from);
        }

        #[test]
        fn agrees_on_random_bytes(
            seed in prop::collection::vec(any::<u8>(), 20..700),
            cuts in prop::collection::vec((any::<prop::sample::Index>(), 1usize..20, any::<bool>()), 1..60),
        ) {
            let patterns = cuts.iter().map(|(at, length, nocase)| {
                let start = at.index(seed.len());
                (seed[start..(start + length).min(seed.len())].to_vec(), *nocase)
            }).collect();
            check(patterns, seed, 0);
        }
    }
}
