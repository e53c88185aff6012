//! The filter against a search that looks at every window of every length.

use crate::tables::Tables;
use crate::testing::{Fragment, ImageBuilder};
use weir_contract::hash::splitmix64;

use super::*;

fn brute(fragments: &[Fragment], tail: &[u8], payload: &[u8]) -> Vec<(i32, usize)> {
    let whole: Vec<u8> = tail.iter().chain(payload).copied().collect();
    let mut found = Vec::new();
    for at in 0..whole.len() {
        for (n, fragment) in fragments.iter().enumerate() {
            let end = at + fragment.bytes.len();
            let Some(window) = whole.get(at..end).filter(|_| end > tail.len()) else { continue };
            let equal = window.iter().zip(&fragment.bytes).enumerate().all(|(lane, (a, b))| {
                let case = fragment.case_mask >> lane & 1 != 0 && at + lane >= tail.len();
                if case { a == b } else { a.eq_ignore_ascii_case(b) }
            });
            if equal {
                found.push((at as i32 - tail.len() as i32, n));
            }
        }
    }
    found
}

fn text(state: &mut u64, length: usize) -> Vec<u8> {
    (0..length).map(|_| b"aAbBcdE/. 0"[splitmix64(state) as usize % 11]).collect()
}

fn tables_of(fragments: &[Fragment], seed: u64) -> Tables {
    let mut builder = ImageBuilder::new(seed);
    for (n, fragment) in fragments.iter().enumerate() {
        let record = builder.record(weir_contract::layouts::Record { group: n as u32, ..weir_contract::layouts::Record::ALWAYS });
        builder.fragment(fragment.clone(), &[record]);
    }
    Tables::load(&builder.build()).unwrap()
}

/// Hits as (position, fragment), whatever the order within a position.
fn run(tables: &Tables, tail: &[u8], payload: &[u8]) -> Vec<(i32, usize)> {
    let mut hits = Vec::new();
    let scan = tables.filter.scan(tail, payload, u32::MAX, &mut Scratch::default(), &mut hits);
    assert!(!scan.limit && scan.total() as usize * 16 >= hits.len());
    let mut found: Vec<(i32, usize)> = hits
        .iter()
        .flat_map(|h| {
            let ids = tables.list(h.list_start, h.list_count.into());
            ids.iter().map(move |id| (h.position, tables.records[*id as usize].group as usize))
        })
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn equals_brute_force() {
    let mut state = 11;
    for round in 0..40 {
        let mut fragments = Vec::new();
        for _ in 0..1 + splitmix64(&mut state) % 60 {
            let length = 4 + splitmix64(&mut state) as usize % 5;
            let case_mask = if splitmix64(&mut state) % 3 == 0 { splitmix64(&mut state) as u8 & ((1u16 << length) - 1) as u8 } else { 0 };
            fragments.push(Fragment { bytes: text(&mut state, length), case_mask });
        }
        let tables = tables_of(&fragments, round);
        for _ in 0..6 {
            let length = splitmix64(&mut state) as usize % 200;
            let mut payload = text(&mut state, length);
            // Plant some.
            for _ in 0..3 {
                let fragment = &fragments[splitmix64(&mut state) as usize % fragments.len()];
                let at = splitmix64(&mut state) as usize % 200;
                if let Some(place) = payload.get_mut(at..at + fragment.bytes.len()) {
                    place.copy_from_slice(&fragment.bytes);
                }
            }
            for cut in [0, 1, 3, 7] {
                let cut = cut.min(payload.len());
                let mut tail = payload[..cut].to_vec();
                tail.make_ascii_lowercase();
                let mut expect = brute(&fragments, &tail, &payload[cut..]);
                expect.sort_unstable();
                assert_eq!(run(&tables, &tail, &payload[cut..]), expect, "round {round}, tail {cut}");
            }
        }
    }
}

/// Runs of one byte in either case, whose windows repeat: fragments with and without case, and a tail of the same byte.
#[test]
fn runs_equal_brute_force() {
    let mut state = 12;
    for round in 0..20 {
        let mut fragments = Vec::new();
        for _ in 0..12 {
            let length = 4 + splitmix64(&mut state) as usize % 5;
            let bytes = vec![b"aA\0"[splitmix64(&mut state) as usize % 3]; length];
            let case_mask = (splitmix64(&mut state) as u8) & ((1u16 << length) - 1) as u8;
            fragments.push(Fragment { bytes, case_mask: if round % 2 == 0 { case_mask } else { 0 } });
        }
        let tables = tables_of(&fragments, round);
        for _ in 0..20 {
            let mut payload = Vec::new();
            for _ in 0..1 + splitmix64(&mut state) % 4 {
                let length = splitmix64(&mut state) as usize % 120;
                payload.extend(std::iter::repeat_n(b"aA\0."[splitmix64(&mut state) as usize % 4], length));
            }
            for cut in [0, 5, 7] {
                let cut = cut.min(payload.len());
                let mut tail = payload[..cut].to_vec();
                tail.make_ascii_lowercase();
                let mut expect = brute(&fragments, &tail, &payload[cut..]);
                expect.sort_unstable();
                assert_eq!(run(&tables, &tail, &payload[cut..]), expect, "round {round}, tail {cut}");
            }
        }
    }
}

/// Whatever the segmentation, no hit of the whole is missed (the case of tail bytes may widen a match).
#[test]
fn segments_lose_nothing() {
    let fragments: Vec<Fragment> = [&b"attack"[..], b"evil.exe", b"quux", b"a.b/c.d"]
        .iter()
        .map(|bytes| Fragment { bytes: bytes.to_vec(), case_mask: 0 })
        .collect();
    let tables = tables_of(&fragments, 1);
    let whole = b"xxaTTackevil.exequuxa.b/c.dattack";
    let all = run(&tables, b"", whole);
    assert_eq!(all.len(), 5);
    for size in 1..whole.len() {
        let (mut found, mut tail, mut offset) = (Vec::new(), Vec::new(), 0i32);
        for segment in whole.chunks(size) {
            found.extend(run(&tables, &tail, segment).into_iter().map(|(at, n)| (at + offset, n)));
            offset += segment.len() as i32;
            tail.extend(segment.to_ascii_lowercase());
            let keep = tail.len().saturating_sub(7);
            tail.drain(..keep);
        }
        found.sort_unstable();
        assert_eq!(found, all, "segments of {size}");
    }
}

#[test]
fn the_candidate_limit_is_exact() {
    let tables = tables_of(&[Fragment { bytes: b"abcd".to_vec(), case_mask: 0 }], 2);
    let payload = b"abcdabcdabcdabcd";
    let mut hits = Vec::new();
    let scan = tables.filter.scan(b"", payload, u32::MAX, &mut Scratch::default(), &mut hits);
    let total = scan.total();
    assert_eq!((hits.len(), total >= 4), (4, true));
    hits.clear();
    let at_limit = tables.filter.scan(b"", payload, total, &mut Scratch::default(), &mut hits);
    assert!(!at_limit.limit && at_limit.total() == total);
    hits.clear();
    let below = tables.filter.scan(b"", payload, total - 1, &mut Scratch::default(), &mut hits);
    assert!(below.limit && below.total() == total - 1 && hits.len() == 3);
}

#[test]
fn a_bit_is_a_byte() {
    for mask in 0..=255u8 {
        let lanes = (0..8).filter(|n| mask >> n & 1 != 0).fold(0, |lanes, n| lanes | 0xffu64 << (8 * n));
        assert_eq!(case_lanes(mask), lanes, "{mask:#x}");
    }
}
