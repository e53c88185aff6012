//! The first access to the flow entry in RTL against the model's parse state, frame by frame of many flows.

mod common;
#[path = "common/parsed.rs"]
mod parsed;

use common::made::{self, Random};
use common::{Frame, real_frames, seed, setting};
use parsed::parsed_bits;
use std::collections::HashMap;
use weir_contract::flow_key::{Address, flow_key};
use weir_contract::layouts::FlowKey;
use weir_contract::protocol::Carrier;
use weir_contract::protocol::signatures::{Ports, SIGNATURES, Signature};
use weir_contract::sequence::SequenceState;
use weir_hw_tb::bits::{BitReader, BitWriter};
use weir_hw_tb::{Harness, Model, STALLS};
use weir_sim::flow::{HostStreams, HostTimeouts, ParseState};
use weir_sim::parse::{ParseConfig, Parsed, parse};
use weir_sim::pipeline::{Arrival, Staged};

const IN_STRIDE: usize = 256;
const OUT_STRIDE: usize = 384;
/// In the wrapper one more for the queue.
const LATENCY: u64 = 3 + 1;
const SLOTS: usize = 16;
const FLOWS: usize = 24;

fn sequence_bits(w: &mut BitWriter, s: &SequenceState) {
    for d in &s.directions {
        w.number(d.ack.into(), 32).number(d.ack_valid.into(), 1).number(d.next.into(), 32).number(d.valid.into(), 1);
    }
}

fn known<T: Copy>(w: &mut BitWriter, values: [Option<T>; 2], bits: usize, number: impl Fn(T) -> u64) {
    values.iter().for_each(|v| {
        w.number(v.map_or(0, &number), bits);
    });
    values.iter().for_each(|v| {
        w.number(v.is_some().into(), 1);
    });
}

/// Fields of `flow_state_t`, last first.
fn state_bits(w: &mut BitWriter, p: &ParseState) {
    let pair = |w: &mut BitWriter, values: [u64; 2], bits| {
        w.number(values[0], bits).number(values[1], bits);
    };
    for d in 0..2 {
        let first = p.detector.first_bytes(d);
        w.array(first).array(&vec![0; 16 - first.len()]);
    }
    pair(w, [0, 1].map(|d| p.detector.first_bytes(d).len() as u64), 5);
    pair(w, [0, 1].map(|d| p.detector.is_blind(d).into()), 1);
    w.number(p.detector.answer().class().into(), 8).number(p.decided.class().into(), 8);
    w.number(p.reported, 64).number(p.last.1, 64).number(p.last.0, 64).number(p.first.1, 64).number(p.first.0, 64);
    pair(w, p.bytes, 64);
    pair(w, p.packets, 64);
    pair(w, p.tcp_flags.map(u64::from), 8);
    for (bytes, count) in p.tail {
        let tail = &bytes[..usize::from(count)];
        w.array(tail).array(&vec![0; 7 - tail.len()]).number(count.into(), 3);
    }
    pair(w, p.stream_least.map(u64::from), 32);
    known(w, p.stream_offset, 64, |n| n);
    known(w, p.timestamp, 32, u64::from);
    known(w, p.fin, 32, u64::from);
    pair(w, p.initial.map(u64::from), 32);
    sequence_bits(w, &p.sequence);
    w.number(p.anchored.into(), 1).number(p.handshake.into(), 2).number(p.state as u64, 2);
    pair(w, p.start_lost.map(u64::from), 1);
    for flag in [p.reset, p.state_unsure, p.stale, p.midstream, p.intact, p.initiator_lower] {
        w.number(flag.into(), 1);
    }
}

/// Fields of `staged_t`, last first.
fn staged_bits(w: &mut BitWriter, s: &Staged) {
    w.number(s.next_sequence.into(), 32);
    w.number(s.reverse_bytes.unwrap_or(0).into(), 32).number(s.reverse_bytes.is_some().into(), 1);
    w.number(s.stream_offset.unwrap_or(0), 64).number(s.stream_offset.is_some().into(), 1);
    w.number(s.stream_start_lost.into(), 1);
    let (bytes, count) = s.stream_first.unwrap_or_default();
    w.array(&bytes).number(count.into(), 5).number(s.stream_first.is_some().into(), 1);
    w.number(s.may_continue.into(), 1).number(s.continues.into(), 1);
    let tail = &s.tail.0[..usize::from(s.tail.1)];
    w.array(tail).array(&vec![0; 7 - tail.len()]).number(s.tail.1.into(), 3);
    w.number(s.directions.into(), 8).number(s.classes, 64).number(s.states.into(), 8).number(s.guards, 64);
    w.number(s.direction as u64, 1);
}

struct Beat {
    slot: usize,
    created: bool,
    from_lower: bool,
    /// A frame, else a DIVERT command.
    frame: Option<(FlowKey, Parsed, Vec<u8>, usize)>,
    number: u64,
    now: u64,
}

struct Bench {
    harness: Harness,
    timeouts: HostTimeouts,
    streams: HostStreams,
}

fn bench(who: &str, midstream: bool) -> Option<Bench> {
    let harness = Harness::or_skip(Model::Flow, who)?;
    let timeouts = HostTimeouts { host: [60, 600, 50, 30, 300, 35, 20, 310], margin: 5 };
    Some(Bench { harness, timeouts, streams: HostStreams { midstream, window: 300 } })
}

impl Bench {
    fn item(&self, beat: &Beat) -> Vec<u8> {
        let flag = |b: bool| u8::from(b);
        let mut out = vec![
            0,
            flag(beat.frame.is_none()),
            beat.slot as u8,
            flag(beat.created),
            flag(beat.from_lower),
            flag(self.streams.midstream),
        ];
        out.extend(self.streams.window.to_le_bytes());
        self.timeouts.host.iter().for_each(|t| out.extend(t.to_le_bytes()));
        out.extend(beat.number.to_le_bytes());
        out.extend(beat.now.to_le_bytes());
        if let Some((_, parsed, payload, length)) = &beat.frame {
            out.extend(parsed_bits(parsed, *length, payload));
        }
        out.resize(IN_STRIDE, 0);
        out
    }

    /// What the model makes of the beats: staged, and the state behind each.
    fn reference(&self, beats: &[Beat]) -> (Vec<(Option<Staged>, ParseState)>, u64) {
        let mut slots: Vec<Option<ParseState>> = vec![None; SLOTS];
        let mut guards = 0;
        let results = beats.iter().map(|beat| {
            let slot = &mut slots[beat.slot];
            if beat.created {
                *slot = Some(match &beat.frame {
                    Some((_, parsed, ..)) => {
                        ParseState::begin(beat.from_lower, parsed.tcp.as_ref(), beat.number, beat.now)
                    }
                    None => ParseState::blank(beat.number, beat.now),
                });
            }
            let state = slot.as_mut().unwrap();
            let staged = match &beat.frame {
                Some((key, parsed, payload, length)) => {
                    let arrival = Arrival {
                        key,
                        from_lower: beat.from_lower,
                        created: beat.created,
                        number: beat.number,
                        now: beat.now,
                        length: *length as u64,
                        parsed,
                        payload,
                    };
                    let staged = state.follow(&arrival, &self.timeouts, self.streams);
                    guards |= staged.guards;
                    Some(staged)
                }
                None => {
                    (state.intact, state.state_unsure, state.start_lost) = (false, true, [true; 2]);
                    None
                }
            };
            (staged, state.clone())
        });
        let results = results.collect();
        (results, guards)
    }

    fn compare(&mut self, beats: &[Beat], seed: u64) -> u64 {
        let input: Vec<u8> = beats.iter().flat_map(|beat| self.item(beat)).collect();
        let (expected, guards) = self.reference(beats);
        for stalls in STALLS {
            let run = self.harness.run(&input, IN_STRIDE, beats.len(), OUT_STRIDE, seed, stalls, 40);
            assert_eq!(run.out_cycles.len(), beats.len(), "{stalls:?}, WEIR_SEED={seed}");
            for (i, ((staged, state), out)) in expected.iter().zip(run.out.chunks(OUT_STRIDE)).enumerate() {
                let mut want = BitWriter::default();
                staged_bits(&mut want, &staged.clone().unwrap_or_else(blank_staged));
                let staged_length = 64 + 8 + 64 + 8 + 59 + 2 + 1 + 5 + 128 + 1 + 1 + 64 + 33 + 32 + 1;
                state_bits(&mut want, state);
                let want = want.into_bytes(OUT_STRIDE);
                // Staged means nothing behind a command.
                let from = if staged.is_some() { 0 } else { staged_length };
                if let Some(bit) = (from..OUT_STRIDE * 8).find(|n| (want[n / 8] ^ out[n / 8]) >> (n % 8) & 1 != 0) {
                    let place = if bit < staged_length { "staged" } else { "state" };
                    let at = bit - if bit < staged_length { 0 } else { staged_length };
                    let mut got = BitReader::new(out);
                    let words: Vec<u64> = (0..8).map(|_| got.number(64)).collect();
                    panic!(
                        "beat {i}: bit {at} of {place} differs: {staged:?} {state:?}, {words:x?}, {:?}, {stalls:?}, WEIR_SEED={seed}",
                        beats[i].frame
                    );
                }
                if stalls == STALLS[0] {
                    assert_eq!(run.out_cycles[i] - run.in_cycles[i], LATENCY, "latency");
                    assert_eq!(run.in_cycles[i] - run.in_cycles[0], i as u64, "one beat per cycle");
                }
            }
        }
        guards
    }
}

fn blank_staged() -> Staged {
    Staged {
        slot: None,
        direction: 0,
        guards: 0,
        states: 0,
        classes: 0,
        directions: 0,
        tail: ([0; 7], 0),
        continues: false,
        may_continue: false,
        stream_first: None,
        stream_start_lost: false,
        stream_offset: None,
        reverse_bytes: None,
        next_sequence: 0,
    }
}

/// Frames into the slots of a small table; a slot whose key changes begins anew.
fn beats_of(r: &mut Random, frames: impl Iterator<Item = (Parsed, Vec<u8>, usize)>) -> Vec<Beat> {
    let mut slots: HashMap<[u8; FlowKey::SIZE], usize> = HashMap::new();
    let mut owners: [Option<[u8; FlowKey::SIZE]>; SLOTS] = [None; SLOTS];
    let mut now = 1_000;
    let mut beats = Vec::new();
    for (number, (parsed, payload, length)) in (1..).zip(frames) {
        let Some((source, destination)) = parsed.ends.filter(|_| parsed.keyed) else { continue };
        now += if r.once_in(200) { r.below(400) } else { r.below(3) };
        let (key, from_lower) =
            flow_key((source, parsed.ports.0), (destination, parsed.ports.1), parsed.protocol, [0; 2]);
        let raw = key.to_bytes();
        let mut created = false;
        let slot = *slots.entry(raw).or_insert_with(|| {
            created = true;
            r.below(SLOTS as u64) as usize
        });
        if created || r.once_in(400) {
            created = true;
            if let Some(before) = owners[slot].replace(raw).filter(|before| *before != raw) {
                slots.remove(&before);
            }
        }
        if !created && r.once_in(150) {
            beats.push(Beat { slot, created: r.once_in(4), from_lower: true, frame: None, number, now });
        }
        beats.push(Beat { slot, created, from_lower, frame: Some((key, parsed, payload, length)), number, now });
    }
    beats
}

/// Connections that mostly follow the rules, and datagrams, with what signatures look for.
fn conversations(r: &mut Random, count: usize) -> Vec<(Parsed, Vec<u8>, usize)> {
    // A flow of each of some signatures, so that detection goes through its whole table over the rounds.
    let salt = r.below(SIGNATURES.len() as u64) as usize;
    let signature = |flow: usize| &SIGNATURES[(flow * 37 + salt) % SIGNATURES.len()];
    let port = |s: &Signature| match s.ports {
        Ports::Any => 8080,
        Ports::Server(ports) | Ports::Either(ports) => ports[ports.len() - 1],
    };
    let mut next = [[[0u32; 2]; 2]; FLOWS];
    (0..count)
        .map(|_| {
            let flow = r.below(FLOWS as u64) as usize;
            let d = r.below(2) as usize;
            let s = signature(flow);
            let protocol = match s.carrier {
                _ if flow == 7 => 1,
                Carrier::Tcp => 6u8,
                Carrier::Udp => 17,
            };
            let (client, server) = (40_000 + flow as u16, port(s));
            // Sometimes it is the initiator's port.
            let (client, server) = if flow % 5 == 4 { (server, client) } else { (client, server) };
            let ends = [Address::V4([10, 0, 0, flow as u8]), Address::V4([10, 0, 1, 1])];
            let payload: Vec<u8> = match r.below(6) {
                0 | 1 => Vec::new(),
                2..=4 => {
                    let mut text = r.bytes(16);
                    for (byte, (value, mask)) in text.iter_mut().zip(s.value.iter().zip(&s.mask)) {
                        *byte = *byte & !mask | value;
                    }
                    if s.after_blank && r.once_in(3) {
                        text.splice(0..0, r.of(&[&b"\r\n"[..], b"\n", b"\r\n\r\n"]).iter().copied());
                    }
                    if r.once_in(4) {
                        // Fields that checks look at are small numbers.
                        text.iter_mut().for_each(|byte| *byte = if r.once_in(2) { *byte & 7 } else { *byte });
                    }
                    let cut = if r.once_in(2) { text.len() } else { 1 + r.below(text.len() as u64) as usize };
                    text.truncate(cut);
                    text
                }
                _ => {
                    let length = r.of(&[1, 2, 7, 9, 200]);
                    r.bytes(length)
                }
            };
            let mut p = Parsed {
                guards: if r.once_in(15) { 1 << r.of(&[14, 15, 20]) } else { 0 },
                ends: Some((ends[d], ends[1 - d])),
                ports: if d == 0 { (client, server) } else { (server, client) },
                protocol,
                keyed: true,
                vlan: [0; 2],
                payload: (54, 54 + payload.len()),
                tcp: None,
                icmp: None,
            };
            if protocol != 6 {
                return (p, payload, 60);
            }
            let established = r.of(&[0x10, 0x10, 0x18, 0x18, 0x11, 0x14, 0x04, 0x02, 0x12, 0x30, 0]);
            let flags = if r.once_in(3) { established } else { r.of(&[0x10, 0x18]) };
            let begins = r.once_in(40);
            let flags = if begins { [0x02, 0x12][d] } else { flags };
            let own = &mut next[flow][0][d];
            if begins && r.once_in(3) {
                *own = r.below(1 << 32) as u32;
            }
            let sequence = match r.below(14) {
                0 => own.wrapping_add(r.below(30) as u32),
                1 => own.wrapping_sub(r.below(30) as u32),
                2 => own.wrapping_sub(payload.len() as u32),
                _ => *own,
            };
            *own = sequence.wrapping_add(payload.len() as u32).wrapping_add(u32::from(flags & 3 != 0));
            let stamp = &mut next[flow][1][d];
            *stamp = stamp.wrapping_add(r.below(3) as u32);
            let timestamp = match r.below(12) {
                0..6 => None,
                6 => Some(stamp.wrapping_sub(5)),
                7 => Some(stamp.wrapping_add(0x8000_0000)),
                8 => Some(0),
                _ => Some(*stamp),
            };
            let acknowledgement = next[flow][0][1 - d].wrapping_add(r.of(&[0, 0, 0, 0, 0, 0, 1000, u32::MAX]));
            p.tcp = Some(weir_sim::parse::TcpFacts { sequence, acknowledgement, flags: flags as u8, timestamp });
            (p, payload, 60 + r.below(1400) as usize)
        })
        .collect()
}

#[test]
fn made_conversations() {
    let seed = seed();
    let mut r = Random(seed);
    let mut seen = 0;
    for midstream in [false, true] {
        let Some(mut bench) = bench("made_conversations", midstream) else { return };
        for _ in 0..setting("WEIR_ROUNDS", 8) {
            let frames = conversations(&mut r, setting("WEIR_FRAMES", 6_000));
            let beats = beats_of(&mut r, frames.into_iter());
            seen |= bench.compare(&beats, seed);
        }
    }
    // Every guard of this stage: flow state, sequence troubles, handshake, close.
    for n in [22, 23, 24, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 37] {
        assert!(seen >> n & 1 != 0, "guard {n} does not occur");
    }
}

fn parsed(frame: &Frame) -> (Parsed, Vec<u8>, usize) {
    let config = ParseConfig { checksums: true, tunnel_ports: [4789, 6081, 3544, 2152, 0, 0, 0, 0] };
    let p = parse(&config, frame.link, &frame.data, frame.wire_length);
    (p, if p.keyed { frame.data[p.payload.0..p.payload.1].to_vec() } else { Vec::new() }, frame.data.len())
}

#[test]
fn frames_of_captures() {
    let Some(mut bench) = bench("frames_of_captures", false) else { return };
    let frames = real_frames("frames_of_captures", 1, setting("WEIR_FRAMES", 25), 70_000);
    if frames.is_empty() {
        return;
    }
    let seed = seed();
    let beats = beats_of(&mut Random(seed), frames.iter().map(parsed));
    assert!(beats.len() > 5_000);
    bench.compare(&beats, seed);
}

#[test]
fn made_frames() {
    let Some(mut bench) = bench("made_frames", false) else { return };
    let seed = seed();
    let frames = made::frames(seed, 3_000, 100);
    let beats = beats_of(&mut Random(seed), frames.iter().map(parsed));
    bench.compare(&beats, seed);
}
