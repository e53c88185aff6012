//! The literal filter in RTL against the model's: hits in order, candidates by length, and the limit.

mod common;

use common::made::Random;
use common::{real_frames, seed, setting, tables};
use weir_contract::constants::{TAIL_LENGTH, WINDOW_LENGTHS, WINDOW_MIN};
use weir_contract::layouts::ExactEntry;
use weir_hw_tb::bits::BitReader;
use weir_hw_tb::{Harness, Model, STALLS, Stalls};
use weir_sim::literal::{Hit, Scan, Scratch};
use weir_sim::parse::{ParseConfig, parse};
use weir_sim::tables::Tables;

const OUT_STRIDE: usize = 32;
/// From the last beat of a frame without candidates to its ending.
const LATENCY: u64 = 12;

/// A frame for the filter.
#[derive(Debug, Clone)]
struct Scanned {
    bank: usize,
    data: Vec<u8>,
    payload: std::ops::Range<usize>,
    tail: Vec<u8>,
}

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Hit(Hit),
    End(Scan),
}

fn beats(frame: &Scanned, bytes: usize, out: &mut Vec<u8>) -> usize {
    let count = frame.data.len().div_ceil(bytes);
    for (n, chunk) in frame.data.chunks(bytes).enumerate() {
        let begin = out.len();
        out.extend(chunk);
        out.resize(begin + bytes, 0x61);
        out.extend([0, u8::from(n + 1 == count), frame.bank as u8, frame.tail.len() as u8]);
        out.extend((frame.payload.start as u32).to_le_bytes());
        out.extend((frame.payload.end as u32).to_le_bytes());
        out.extend(&frame.tail);
        out.resize(begin + bytes + 48, 0);
    }
    count
}

fn write(
    op: u8,
    bank: usize,
    length: usize,
    part: usize,
    address: usize,
    data: &[u8],
    bytes: usize,
    out: &mut Vec<u8>,
) {
    let begin = out.len();
    out.resize(begin + bytes, 0);
    out.extend([op, 0, bank as u8]);
    out.resize(begin + bytes + 20, 0);
    out.extend([length as u8, part as u8]);
    out.resize(begin + bytes + 24, 0);
    out.extend((address as u32).to_le_bytes());
    out.resize(begin + bytes + 32, 0);
    out.extend(data);
    out.resize(begin + bytes + 48, 0);
}

/// The writes that fill a bank, as the loader makes them.
fn fill(tables: &Tables, bank: usize, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for index in 0..WINDOW_LENGTHS {
        let mut geometry = [0u8; 16];
        geometry[12..].copy_from_slice(&tables.limits.candidates.to_le_bytes());
        if let Some(table) = tables.filter.tables().iter().find(|t| t.length == index + WINDOW_MIN) {
            let shape = &table.shape;
            geometry[..8].copy_from_slice(&table.multiplier().to_le_bytes());
            geometry[8..11].copy_from_slice(&[shape.bloom_partitions, shape.bloom_bits_log2, shape.exact_buckets_log2]);
            let words = (1usize << shape.bloom_bits_log2) / 64;
            for (n, word) in table.bloom.iter().enumerate() {
                write(1, bank, index, n / words, n % words, &word.to_le_bytes(), bytes, &mut out);
            }
            let ways = usize::from(shape.exact_ways);
            for (slot, entry) in table.exact.iter().enumerate() {
                let raw: [u8; ExactEntry::SIZE] = entry.to_bytes();
                write(2, bank, index, slot % ways, slot / ways, &raw, bytes, &mut out);
            }
        }
        write(3, bank, index, 0, 0, &geometry, bytes, &mut out);
    }
    out
}

fn expected(tables: &Tables, frame: &Scanned) -> Vec<Item> {
    let mut hits = Vec::new();
    let payload = &frame.data[frame.payload.clone()];
    let limit = tables.limits.candidates;
    let scan = tables.filter.scan(&frame.tail, payload, limit, &mut Scratch::default(), &mut hits);
    hits.into_iter().map(Item::Hit).chain([Item::End(scan)]).collect()
}

fn item(bytes: &[u8]) -> Item {
    let mut r = BitReader::new(bytes);
    let (list_count, list_start) = (r.number(16) as u16, r.number(32) as u32);
    let position = (r.number(21) as i32) << 11 >> 11;
    let limit = r.flag();
    let candidates = std::array::from_fn(|_| r.number(32) as u32);
    if r.flag() { Item::End(Scan { candidates, limit }) } else { Item::Hit(Hit { position, list_start, list_count }) }
}

struct Bench {
    harness: Harness,
    bytes: usize,
}

impl Bench {
    fn new(model: Model, bytes: usize, who: &str) -> Option<Bench> {
        Some(Bench { harness: Harness::or_skip(model, who)?, bytes })
    }

    fn write(&mut self, items: &[u8]) {
        let none = self.harness.run(items, self.bytes + 48, 0, OUT_STRIDE, 1, STALLS[0], 2);
        assert!(none.out.is_empty(), "table writes give no results");
    }

    /// `writes` go in between the beats.
    fn compare(&mut self, banks: [&Tables; 2], frames: &[Scanned], writes: &[u8], seed: u64, stalls: Stalls) -> Totals {
        let stride = self.bytes + 48;
        let mut input = Vec::new();
        let mut last = Vec::new();
        let mut writes = writes.chunks(stride);
        let mut count = 0;
        for frame in frames {
            count += beats(frame, self.bytes, &mut input);
            last.push(count - 1);
            for item in writes.by_ref().take(5) {
                input.extend(item);
                count += 1;
            }
        }
        for item in writes {
            input.extend(item);
        }
        let want: Vec<(usize, Item)> = frames
            .iter()
            .enumerate()
            .flat_map(|(n, frame)| expected(banks[frame.bank], frame).into_iter().map(move |item| (n, item)))
            .collect();
        let run = self.harness.run(&input, stride, want.len(), OUT_STRIDE, seed, stalls, 60);
        let mut totals = Totals::default();
        for (i, ((n, want), got)) in want.iter().zip(run.out.chunks(OUT_STRIDE)).enumerate() {
            let frame = &frames[*n];
            assert_eq!(item(got), *want, "item {i} of frame {n}: {frame:?}, {stalls:?}, WEIR_SEED={seed}");
            match want {
                Item::Hit(_) => totals.hits += 1,
                Item::End(scan) => {
                    totals.candidates += u64::from(scan.total());
                    totals.limits += u32::from(scan.limit);
                    let alone = *n == 0 || last[*n] > last[n - 1] + 40;
                    if stalls == STALLS[0] && alone && scan.total() == 0 && !scan.limit {
                        totals.timed += 1;
                        assert_eq!(run.out_cycles[i] - run.in_cycles[last[*n]], LATENCY, "latency of frame {n}");
                    }
                }
            }
        }
        assert_eq!(run.out_cycles.len(), want.len(), "{stalls:?}, WEIR_SEED={seed}");
        totals.cycles = run.in_cycles.last().map_or(0, |end| end - run.in_cycles[0]);
        totals
    }
}

#[derive(Debug, Default)]
struct Totals {
    hits: u64,
    candidates: u64,
    limits: u32,
    timed: u32,
    cycles: u64,
}

fn made_frames(r: &mut Random, fragments: &[Vec<weir_sim::testing::Fragment>; 2], count: usize) -> Vec<Scanned> {
    (0..count)
        .map(|_| {
            let bank = r.below(2) as usize;
            let header = 8 + r.below(90) as usize;
            let most = r.of(&[4, 60, 60, 60, 400]);
            let length = r.below(most) as usize;
            let mut data = tables::text(r, header + length);
            for _ in 0..r.below(6) {
                let fragment = &r.of(&[0, 1]);
                let fragment = &fragments[*fragment][r.below(fragments[*fragment].len() as u64) as usize];
                let at = r.below(data.len() as u64 + 8) as usize;
                if let Some(place) = data.get_mut(at..at + fragment.bytes.len()) {
                    place.copy_from_slice(&fragment.bytes);
                }
            }
            let padding = r.below(10) as usize;
            data.extend(tables::text(r, padding));
            let kept = if r.once_in(2) { r.below(8) as usize } else { 0 };
            let mut tail = data[header - kept..header].to_vec();
            tail.make_ascii_lowercase();
            Scanned { bank, data, payload: header..header + length, tail }
        })
        .collect()
}

#[test]
fn made_tables_of_every_length() {
    let Some(mut bench) = Bench::new(Model::LiteralNarrow, 16, "made_tables_of_every_length") else { return };
    let seed = seed();
    let mut r = Random(seed);
    let mut sum = Totals::default();
    for round in 0..8 {
        // Sometimes a length is missing, and limits are met.
        let few = r.of(&[3, 60, 250]);
        let (zero, first) = tables::made(seed + 2 * round, few, r.of(&[0, 3, 8, 1000]));
        let (one, second) = tables::made(seed + 2 * round + 1, 60, 1000);
        bench.write(&fill(&zero, 0, 16));
        bench.write(&fill(&one, 1, 16));
        let fragments = [first, second];
        for stalls in STALLS {
            let frames = made_frames(&mut r, &fragments, setting("WEIR_FRAMES", 600));
            let totals = bench.compare([&zero, &one], &frames, &[], seed, stalls);
            sum.hits += totals.hits;
            sum.candidates += totals.candidates;
            sum.limits += totals.limits;
        }
        // Bank 1 is written anew while bank 0 is in use; then it is in use.
        let (next, third) = tables::made(seed + 1000 + round, 100, 50);
        let fragments = [fragments[0].clone(), third];
        let mut frames = made_frames(&mut r, &fragments, 2000);
        frames.iter_mut().for_each(|frame| frame.bank = 0);
        bench.compare([&zero, &one], &frames, &fill(&next, 1, 16), seed, STALLS[0]);
        let frames = made_frames(&mut r, &fragments, 300);
        bench.compare([&zero, &next], &frames, &[], seed, STALLS[3]);
    }
    assert!(sum.hits > 5_000 && sum.limits > 100 && sum.candidates > sum.hits + 1_000, "{sum:?}");
}

/// Payloads of real frames behind the tail of the frame before, with the tables of ET Open.
#[test]
fn frames_of_captures() {
    let Some(mut bench) = Bench::new(Model::Literal, 64, "frames_of_captures") else { return };
    let Some(image) = tables::et_open("frames_of_captures", 7) else { return };
    let tables = Tables::load(&image).unwrap();
    bench.write(&fill(&tables, 1, 64));
    let config = ParseConfig { checksums: false, tunnel_ports: [0; 8] };
    let mut before: Vec<u8> = Vec::new();
    let mut frames = Vec::new();
    for frame in real_frames("frames_of_captures", 1, setting("WEIR_FRAMES", 4), 10_000) {
        let parsed = parse(&config, frame.link, &frame.data, frame.wire_length);
        if !parsed.keyed {
            continue;
        }
        let payload = parsed.payload.0..parsed.payload.1;
        let tail = if parsed.tcp.is_some() { before.clone() } else { Vec::new() };
        before = frame.data[payload.clone()].to_vec();
        before.make_ascii_lowercase();
        before.drain(..before.len().saturating_sub(TAIL_LENGTH));
        frames.push(Scanned { bank: 1, data: frame.data, payload, tail });
    }
    let seed = seed();
    for stalls in [STALLS[0], STALLS[3]] {
        let totals = bench.compare([&tables, &tables], &frames, &[], seed, stalls);
        let beats: usize = frames.iter().map(|frame| frame.data.len().div_ceil(64)).sum();
        println!("{} frames, {beats} beats, {stalls:?}: {totals:?}", frames.len());
        assert!(totals.hits > 2_000, "{totals:?}");
    }
}

/// A frame alone in the filter takes the cycles that the module's header states.
#[test]
fn latency_and_throughput() {
    let Some(mut bench) = Bench::new(Model::LiteralNarrow, 16, "latency_and_throughput") else { return };
    let (tables, _) = tables::made(5, 3, 1000);
    bench.write(&fill(&tables, 0, 16));
    let quiet = |length: usize| Scanned { bank: 0, data: vec![b'z'; length], payload: 10..length, tail: Vec::new() };
    let totals = bench.compare([&tables, &tables], &[quiet(100)], &[], 1, STALLS[0]);
    assert_eq!(totals.timed, 1);
    let frames: Vec<Scanned> = (0..400).map(|n| quiet(16 + n % 3 * 100)).collect();
    let beats: usize = frames.iter().map(|f| f.data.len().div_ceil(16)).sum();
    let totals = bench.compare([&tables, &tables], &frames, &[], 1, STALLS[0]);
    assert_eq!(totals.cycles, beats as u64 - 1, "one beat per cycle");
}
