//! Text facts and words in RTL against `weir_contract::facts`, with the tail in front and without.

mod common;

use common::made::Random;
use common::{real_frames, seed, setting};
use weir_contract::facts::{TEXT, WORDS, payload_facts};
use weir_contract::layouts::GuardParameters;
use weir_hw_tb::{Harness, Model, STALLS};
use weir_sim::parse::{ParseConfig, parse};

const OUT_STRIDE: usize = 16;
/// In the wrapper one more for the queue.
const LATENCY: u64 = 4 + 1;

#[derive(Debug, Clone)]
struct Scanned {
    bank: usize,
    data: Vec<u8>,
    payload: std::ops::Range<usize>,
    tail: Vec<u8>,
}

fn beats(frame: &Scanned, bytes: usize, out: &mut Vec<u8>) -> usize {
    let count = frame.data.len().div_ceil(bytes);
    for (n, chunk) in frame.data.chunks(bytes).enumerate() {
        let begin = out.len();
        out.extend(chunk);
        out.resize(begin + bytes, b'+');
        out.extend([0, u8::from(n + 1 == count), frame.bank as u8, frame.tail.len() as u8]);
        out.extend((frame.payload.start as u32).to_le_bytes());
        out.extend((frame.payload.end as u32).to_le_bytes());
        out.extend(&frame.tail);
        out.resize(begin + bytes + 32, 0);
    }
    count
}

fn words(bank: usize, p: &GuardParameters, bytes: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let sets = p.percent_set.iter().chain(&p.equals_set).chain(&p.uri_percent_set).copied();
    let words = p.word_values.iter().chain(&p.word_masks).copied().chain([p.number_low as u32, p.number_end as u32]);
    let words: Vec<u32> = words.collect();
    let words = words.chunks(2).map(|two| u64::from(two[0]) | u64::from(two[1]) << 32);
    for (n, word) in sets.chain(words).enumerate() {
        let begin = out.len();
        out.resize(begin + bytes, 0);
        out.extend([1, 0, bank as u8]);
        out.resize(begin + bytes + 23, 0);
        out.push(n as u8);
        out.extend(word.to_le_bytes());
    }
    out
}

fn compare(harness: &mut Harness, bytes: usize, banks: &[GuardParameters; 2], frames: &[Scanned], seed: u64) -> u64 {
    let mut seen = 0;
    let mut input = Vec::new();
    let mut last = Vec::new();
    let mut count = 0;
    for frame in frames {
        count += beats(frame, bytes, &mut input);
        last.push(count - 1);
    }
    for stalls in STALLS {
        let run = harness.run(&input, bytes + 32, frames.len(), OUT_STRIDE, seed, stalls, 60);
        assert_eq!(run.out_cycles.len(), frames.len(), "{stalls:?}, WEIR_SEED={seed}");
        for (i, (frame, out)) in frames.iter().zip(run.out.chunks(OUT_STRIDE)).enumerate() {
            let payload = &frame.data[frame.payload.clone()];
            let facts = |tail| payload_facts(TEXT | WORDS, &banks[frame.bank], false, tail, payload);
            let want = [facts(&frame.tail), facts(&[])];
            let got = [0, 8].map(|at| u64::from_le_bytes(out[at..at + 8].try_into().unwrap()));
            let what = || {
                let text = payload[..payload.len().min(300)].escape_ascii();
                format!(
                    "frame {i}: {:?} + {text} ({}), {stalls:?}, WEIR_SEED={seed}",
                    frame.tail.escape_ascii(),
                    payload.len()
                )
            };
            assert_eq!(got.map(|set| format!("{set:#x}")), want.map(|set| format!("{set:#x}")), "{}", what());
            seen |= want[0] & !want[1] | want[1];
            if stalls == STALLS[0] {
                assert_eq!(run.out_cycles[i] - run.in_cycles[last[i]], LATENCY, "latency");
                assert_eq!(run.in_cycles[last[i]] - run.in_cycles[0], last[i] as u64, "one beat per cycle");
            }
        }
    }
    seen
}

fn parameters(r: &mut Random) -> GuardParameters {
    let mut p = GuardParameters::ZERO;
    for set in [&mut p.percent_set, &mut p.uri_percent_set, &mut p.equals_set] {
        *set = std::array::from_fn(|_| r.below(u64::MAX) & r.below(u64::MAX));
    }
    for (value, mask) in p.word_values.iter_mut().zip(&mut p.word_masks) {
        *value = u32::from_le_bytes(std::array::from_fn(|_| r.of(b"a:/ f\0%0")));
        *mask = r.of(&[0, 0, u32::MAX, 0xffff_ff00, u32::MAX, 0x00ff_ffff]);
    }
    p.number_low = r.below(9) as i32 - 6;
    p.number_end = p.number_low + r.below(6) as i32;
    p
}

fn made(model: Model, bytes: usize, who: &str) {
    let Some(mut harness) = Harness::or_skip(model, who) else { return };
    let seed = seed();
    let mut r = Random(seed);
    let banks = [parameters(&mut r), parameters(&mut r)];
    for (bank, parameters) in banks.iter().enumerate() {
        harness.run(&words(bank, parameters, bytes), bytes + 32, 0, OUT_STRIDE, 1, STALLS[0], 2);
    }
    let alphabets: [&[u8]; 4] = [
        b" \t\r\n\x0b\x0c:/\\.%=+aF0?#;",
        b"Aa:  \x0c\r\nHost%41=zz/.b",
        b"%=0123456789abcdefABCDEFgz \r\n",
        b"abc\xff\x00\x7f/:.\n\r ",
    ];
    let frames: Vec<Scanned> = (0..setting("WEIR_FRAMES", 6_000))
        .map(|_| {
            let alphabet = r.of(&alphabets);
            let mut text = |length: u64| -> Vec<u8> {
                (0..length).map(|_| if r.once_in(40) { r.below(256) as u8 } else { r.of(alphabet) }).collect()
            };
            let mut data = text(90);
            let mut dice = Random(u64::from(data[0]) << 8 | u64::from(data[1]) | seed << 16);
            let header = 8 + dice.below(70) as usize;
            data.truncate(header);
            let most = dice.of(&[3, 12, 12, 100, 300]);
            let length = dice.below(most) as usize;
            data.extend(text(length as u64));
            data.extend(text(dice.of(&[0, 0, 7])));
            if let Some(at) = (header + length).checked_sub(4 + dice.below(4) as usize).filter(|at| *at >= header) {
                if dice.once_in(3) {
                    let number = (length as u32 + 3).wrapping_sub(dice.below(8) as u32);
                    data[at..at + 4].copy_from_slice(&number.to_le_bytes());
                }
            }
            let kept = dice.below(8) as usize;
            let mut tail = text(kept as u64);
            tail.make_ascii_lowercase();
            Scanned { bank: dice.below(2) as usize, data, payload: header..header + length, tail }
        })
        .collect();
    let seen = compare(&mut harness, bytes, &banks, &frames, seed);
    assert_eq!(seen & (TEXT | WORDS), TEXT | WORDS, "every text fact occurs");
}

#[test]
fn made_payloads() {
    made(Model::Facts, 64, "made_payloads");
}

#[test]
fn made_payloads_in_narrow_beats() {
    made(Model::FactsNarrow, 16, "made_payloads_in_narrow_beats");
}

#[test]
fn frames_of_captures() {
    let Some(mut harness) = Harness::or_skip(Model::Facts, "frames_of_captures") else { return };
    let seed = seed();
    let mut r = Random(seed);
    let banks = [parameters(&mut r), parameters(&mut r)];
    for (bank, parameters) in banks.iter().enumerate() {
        harness.run(&words(bank, parameters, 64), 96, 0, OUT_STRIDE, 1, STALLS[0], 2);
    }
    let config = ParseConfig { checksums: false, tunnel_ports: [0; 8] };
    let mut before: Vec<u8> = Vec::new();
    let mut frames = Vec::new();
    for frame in real_frames("frames_of_captures", 1, setting("WEIR_FRAMES", 12), 10_000) {
        let parsed = parse(&config, frame.link, &frame.data, frame.wire_length);
        if parsed.keyed {
            let payload = parsed.payload.0..parsed.payload.1;
            let tail = before.clone();
            before = frame.data[payload.clone()].to_ascii_lowercase();
            before.drain(..before.len().saturating_sub(7));
            frames.push(Scanned { bank: r.below(2) as usize, data: frame.data, payload, tail });
        }
    }
    compare(&mut harness, 64, &banks, &frames, seed);
}
