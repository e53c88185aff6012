//! Facts of DNS and TLS messages in RTL against `weir_contract::facts`.

mod common;

use common::made::Random;
use common::{real_frames, seed, setting};
use weir_contract::facts::{DNS, TLS, payload_facts};
use weir_contract::layouts::GuardParameters;
use weir_hw_tb::{Harness, Model, STALLS};
use weir_sim::parse::{ParseConfig, parse};

const IN_STRIDE: usize = 84;
const OUT_STRIDE: usize = 8;

/// A payload within its frame, and what is asked of it.
#[derive(Debug, Clone)]
struct Asked {
    wanted: u64,
    datagram: bool,
    data: Vec<u8>,
    payload: std::ops::Range<usize>,
    tail: Vec<u8>,
    /// The frame's first word in the buffer.
    word: u16,
}

impl Asked {
    fn want(&self) -> u64 {
        let payload = &self.data[self.payload.clone()];
        payload_facts(self.wanted, &GuardParameters::ZERO, self.datagram, &self.tail, payload)
    }

    fn write(&self, out: &mut Vec<u8>) {
        for (n, chunk) in self.data.chunks(64).enumerate() {
            out.extend([0, 0]);
            // The buffer is a ring.
            out.extend(self.word.wrapping_add(n as u16).to_le_bytes());
            out.resize(out.len() + 16, 0);
            let begin = out.len();
            out.extend(chunk);
            out.resize(begin + 64, 22);
        }
        let tls = self.wanted & TLS != 0 && !self.datagram;
        let flags = u8::from(self.wanted & DNS != 0) | u8::from(tls) << 1 | u8::from(self.datagram) << 2;
        out.extend([1, flags]);
        out.extend(self.word.to_le_bytes());
        out.extend((self.payload.start as u32).to_le_bytes());
        out.extend((self.payload.end as u32).to_le_bytes());
        out.push(self.tail.len() as u8);
        out.extend(&self.tail);
        // Of the seven bytes those that are not there are what a record would begin with.
        out.extend(vec![20; 7 - self.tail.len()]);
        out.resize(out.len() + 64, 0);
    }
}

/// A frame of the payload: header bytes before it, padding behind it.
fn asked(r: &mut Random, datagram: bool, payload: &[u8], tail: Vec<u8>) -> Asked {
    let alike = |r: &mut Random, n| (0..n).map(|_| r.of(&[22, 3, 1, 20, 0])).collect::<Vec<u8>>();
    let header = 14 + r.below(80);
    let mut data = alike(r, header);
    let start = data.len();
    data.extend(payload);
    let padding = r.of(&[0, 0, 1, 7, 70]);
    data.extend(alike(r, padding));
    let wanted = r.of(&[DNS, DNS | TLS, TLS, TLS | DNS]);
    Asked { wanted, datagram, payload: start..start + payload.len(), data, tail, word: r.below(1 << 16) as u16 }
}

/// Runs them under every mix of stalls; each fact's bit if it occurred. Answers: cycles of each without stalls.
fn compare(harness: &mut Harness, all: &[Asked], seed: u64) -> (u64, Vec<u64>) {
    let mut input = Vec::new();
    let mut last = Vec::new();
    for one in all {
        one.write(&mut input);
        last.push(input.len() / IN_STRIDE - 1);
    }
    let (mut seen, mut cycles) = (0, Vec::new());
    for stalls in STALLS {
        let run = harness.run(&input, IN_STRIDE, all.len(), OUT_STRIDE, seed, stalls, 4_000);
        assert_eq!(run.out_cycles.len(), all.len(), "{stalls:?}, WEIR_SEED={seed}");
        for (n, (one, out)) in all.iter().zip(run.out.chunks(OUT_STRIDE)).enumerate() {
            let got = u64::from_le_bytes(out.try_into().unwrap());
            let want = one.want();
            assert_eq!(got, want, "{n}: {one:x?}, {stalls:?}, WEIR_SEED={seed}");
            seen |= want;
            if stalls == STALLS[0] {
                // In the wrapper one more to keep what is asked.
                cycles.push(run.out_cycles[n] - run.in_cycles[last[n]] - 1);
            }
        }
    }
    (seen, cycles)
}

/// A name of so many bytes with its lengths and the root's; `label`: the longest label.
fn name(length: usize, label: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() + 1 < length {
        let left = length - out.len() - 2;
        // No byte would be left for the next label's length and its text.
        let n = if left > label && left - label == 1 { label - 1 } else { left.min(label) };
        out.push(n as u8);
        out.resize(out.len() + n, b'a');
    }
    out.push(0);
    assert_eq!(out.len(), length);
    out
}

/// A message (RFC 1035 section 4.1), over TCP with its length before it.
fn message(datagram: bool, count: u16, questions: &[u8]) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 1, 0];
    out.extend(count.to_be_bytes());
    out.extend([0; 6]);
    out.extend(questions);
    if !datagram {
        let length = (out.len() as u16).to_be_bytes();
        out.splice(0..0, length);
    }
    out
}

/// Names of all lengths about 255, of labels of all lengths; the payload ends with them, before or behind.
#[test]
fn names_at_their_longest() {
    let Some(mut harness) = Harness::or_skip(Model::MessageFacts, "names_at_their_longest") else { return };
    let seed = seed();
    let mut r = Random(seed);
    let mut all = Vec::new();
    let mut odd = [0; 2];
    for length in (3..12).chain(250..262) {
        for label in [2, 3, 7, 31, 62, 63] {
            for (n, before) in [(1, 0), (2, 1), (4, 3)] {
                let mut questions = Vec::new();
                for _ in 0..before {
                    // What a name before was long does not count.
                    questions.extend(name(254, 63));
                    questions.extend([0, 1, 0, 1]);
                }
                questions.extend(name(length, label));
                questions.extend([0, 1, 0, 1]);
                for cut in [0, 1, 4, 5, 6] {
                    let datagram = r.once_in(2);
                    let payload = message(datagram, n, &questions[..questions.len() - cut]);
                    let mut one = asked(&mut r, datagram, &payload, Vec::new());
                    one.wanted |= DNS;
                    if n == 1 && cut == 0 {
                        odd[usize::from(one.want() & DNS != 0)] += 1;
                        assert_eq!(one.want() & DNS != 0, length > 255);
                    }
                    all.push(one);
                }
            }
        }
    }
    compare(&mut harness, &all, seed);
    assert!(odd.iter().all(|n| *n > 20), "{odd:?}");
}

fn questions(r: &mut Random, count: u16) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..count {
        if r.once_in(4) {
            let label = 2 + r.below(62) as usize;
            out.extend(name(248 + r.below(12) as usize, label));
        } else {
            for _ in 0..r.below(4) {
                let most = r.of(&[3, 12, 63]);
                let n = 1 + r.below(most) as u8;
                out.push(n);
                out.extend(r.bytes(n.into()));
            }
            // Mostly the root; a pointer, and the two bits alone that have no meaning.
            out.push(if r.once_in(8) { r.of(&[0xc0, 0x40, 0x80, 63]) } else { 0 });
        }
        out.extend([0, 1, 0, 1]);
    }
    out
}

#[test]
fn made_questions() {
    let Some(mut harness) = Harness::or_skip(Model::MessageFacts, "made_questions") else { return };
    let seed = seed();
    let mut r = Random(seed);
    let all: Vec<Asked> = (0..setting("WEIR_FRAMES", 4_000))
        .map(|_| {
            let datagram = r.once_in(2);
            let there = r.of(&[0, 1, 1, 1, 1, 2, 3, 4, 5, 6]);
            let count = if r.once_in(10) { r.of(&[0, 1, there + 1, 0x100]) } else { there };
            let body = questions(&mut r, there);
            let mut payload = message(datagram, count, &body);
            match r.below(6) {
                0 => payload.truncate(1 + r.below(payload.len() as u64) as usize),
                1 => {
                    let more = r.below(20) as usize;
                    payload.extend(r.bytes(more));
                }
                _ => {}
            }
            if !datagram && r.once_in(2) {
                // The length before it is right, whatever it is of.
                let length = (payload.len() as u16).wrapping_sub(2).to_be_bytes();
                payload.splice(0..payload.len().min(2), length);
            }
            asked(&mut r, datagram, &payload, Vec::new())
        })
        .collect();
    let (seen, _) = compare(&mut harness, &all, seed);
    assert_eq!(seen & DNS, DNS, "both facts occur");
}

/// A record (RFC 8446 section 5.1) of handshake messages; `more`: bytes that its length tells too many.
fn record(r: &mut Random, messages: u64, more: i32) -> Vec<u8> {
    let mut body = Vec::new();
    for _ in 0..messages {
        let n = r.of(&[0u8, 1, 5, 60, 200]);
        body.extend([r.of(&[1, 2, 11, 14]), 0, 0, n]);
        body.extend(r.bytes(n.into()).iter().map(|b| b & 0x7f | 0x20));
    }
    if r.once_in(12)
        && let Some(high) = body.get_mut(1)
    {
        *high = r.of(&[1, 0x80, 0xff]);
    }
    let length = (body.len() as u16).wrapping_add_signed(more as i16);
    let mut out = vec![22, 3, r.below(6) as u8];
    out.extend(length.to_be_bytes());
    out.extend(body);
    out
}

#[test]
fn made_records() {
    let Some(mut harness) = Harness::or_skip(Model::MessageFacts, "made_records") else { return };
    let seed = seed();
    let mut r = Random(seed);
    let mut whole = [0; 2];
    let all: Vec<Asked> = (0..setting("WEIR_FRAMES", 4_000))
        .map(|_| {
            let mut stream = vec![r.of(&[22, 23, 3])];
            for _ in 0..1 + r.below(3) {
                match r.below(8) {
                    0 | 1 => {
                        let n = r.of(&[0u8, 1, 1, 1, 2]);
                        stream.extend([20, 3, r.below(6) as u8, 0, 1, n]);
                        stream.extend([22, 3, 3, 0, 40]);
                        stream.extend(r.bytes(9));
                    }
                    2 => {
                        let n = r.below(90) as usize;
                        stream.extend(r.bytes(n).iter().map(|b| if b & 3 == 0 { 22 } else { b & 7 }));
                    }
                    3 => {
                        let n = r.below(140) as usize;
                        stream.extend(vec![23; n]);
                    }
                    4 => stream.extend(record(&mut r, 9, 0)),
                    5 => stream.extend(record(&mut r, 8, 0)),
                    6 => {
                        let more = r.of(&[-5, -1, 1, 2, 300]);
                        stream.extend(record(&mut r, 2, more));
                    }
                    _ => {
                        let messages = 1 + r.below(4);
                        stream.extend(record(&mut r, messages, 0));
                    }
                }
            }
            // The segment begins and ends anywhere; what was before is its tail.
            let begin = if r.once_in(3) { r.below(20) as usize } else { 1 }.min(stream.len() - 1);
            let end = stream.len().saturating_sub(if r.once_in(3) { r.below(8) as usize } else { 0 });
            let payload = &stream[begin..end.max(begin + 1)];
            let tail = stream[begin.saturating_sub(r.below(8) as usize)..begin].to_vec();
            let mut one = asked(&mut r, false, payload, tail);
            one.wanted |= TLS;
            whole[usize::from(one.want() & TLS != 0)] += 1;
            one
        })
        .collect();
    compare(&mut harness, &all, seed);
    assert!(whole.iter().all(|n| *n * 20 > all.len()), "{whole:?}");
}

/// What the module states: cycles where nothing is wanted, for each word searched, for each byte looked at.
#[test]
fn latency() {
    let Some(mut harness) = Harness::or_skip(Model::MessageFacts, "latency") else { return };
    let of = |wanted, datagram, payload: &[u8]| {
        let mut data = vec![0; 50];
        data.extend(payload);
        Asked { wanted, datagram, payload: 50..data.len(), data, tail: Vec::new(), word: 0 }
    };
    let all = [
        of(0, false, b"abc"),
        // Words 0 and 1; words 0 to 4.
        of(TLS, false, &[b'a'; 78]),
        of(TLS, false, &[b'a'; 14 + 4 * 64]),
        // Two bytes of the count, three labels' lengths; then type and class.
        of(DNS, true, &message(true, 1, b"\x03www\x01a\0\0\x01\0\x01")),
        of(DNS, false, &message(false, 1, b"\x03www\x01a\0\0\x01\0\x01")),
    ];
    let (_, cycles) = compare(&mut harness, &all, 1);
    assert_eq!(cycles, [1, 1 + 3 * 2, 1 + 3 * 5, 1 + 2 * 5 + 1, 1 + 2 * 7 + 1]);
}

#[test]
fn frames_of_captures() {
    let Some(mut harness) = Harness::or_skip(Model::MessageFacts, "frames_of_captures") else { return };
    let seed = seed();
    let mut r = Random(seed);
    let config = ParseConfig { checksums: false, tunnel_ports: [0; 8] };
    let mut before: Vec<u8> = Vec::new();
    let mut all = Vec::new();
    for frame in real_frames("frames_of_captures", 1, setting("WEIR_FRAMES", 12), 10_000) {
        let parsed = parse(&config, frame.link, &frame.data, frame.wire_length);
        if parsed.keyed && parsed.payload.0 < parsed.payload.1 {
            let payload = parsed.payload.0..parsed.payload.1;
            let tail = std::mem::replace(&mut before, frame.data[payload.clone()].to_ascii_lowercase());
            before.drain(..before.len().saturating_sub(7));
            let datagram = parsed.protocol == 17;
            let word = r.below(1 << 16) as u16;
            all.push(Asked { wanted: DNS | TLS, datagram, data: frame.data, payload, tail, word });
        }
    }
    compare(&mut harness, &all, seed);
}
