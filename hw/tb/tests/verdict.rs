//! The second access to the flow entry in RTL against the model's verdict state: frames and commands of few flows.

mod common;

use common::made::Random;
use common::{seed, setting};
use weir_contract::constants::POSITION_NONE;
use weir_hw_tb::bits::{BitReader, BitWriter};
use weir_hw_tb::{Harness, Model, STALLS};
use weir_sim::flow::{Chain, VerdictState};

const IN_STRIDE: usize = 40;
const OUT_STRIDE: usize = 80;
/// In the wrapper one more for the queue.
const LATENCY: u64 = 3 + 1;
const SLOTS: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Frame,
    Release,
    Settle,
    Bypass,
    Divert,
    Forget,
    Block,
    Handover,
    /// A frame too long to be looked at.
    Miss,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Pass,
    Divert,
    Blocked,
    Bypassed,
    Failed,
    Full,
}

#[derive(Debug, Clone)]
struct Beat {
    slot: usize,
    op: Op,
    created: bool,
    stale: bool,
    keep_history: bool,
    scopes: u8,
    told_class: u8,
    inspected: bool,
    trouble: bool,
    placed: bool,
    room: bool,
    number: u64,
    position: u64,
    bound: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Out {
    fate: u8,
    done: bool,
    record: bool,
    lost: bool,
    newly: bool,
    sticky: bool,
    hole: bool,
    previous: u64,
    chain: Chain,
}

const NO_CHAIN: Chain = Chain { head: 0, count: 0, oldest: 0 };

/// In the order of `pipeline/verdict.rs`, `commands.rs` and `room.rs`.
fn step(v: &mut VerdictState, b: &Beat) -> Out {
    if b.created {
        *v = VerdictState::default();
    }
    let mut out = Out {
        fate: 0,
        done: false,
        record: false,
        lost: false,
        newly: false,
        sticky: v.sticky,
        hole: false,
        previous: v.previous,
        chain: NO_CHAIN,
    };
    let live = !b.stale;
    match b.op {
        Op::Frame if v.blocked => out.fate = Fate::Blocked as u8,
        Op::Frame if !b.inspected => {
            v.miss(b.number);
            out.fate = Fate::Failed as u8;
        }
        Op::Frame if v.bypassed => out.fate = Fate::Bypassed as u8,
        Op::Frame => {
            let admitted = v.admit(b.number, b.trouble, b.placed);
            out.newly = admitted.newly;
            let wanted = admitted.recorded || admitted.divert;
            (out.record, out.lost) = (wanted && b.placed, wanted && !b.placed);
            if out.record && !admitted.divert {
                v.link(b.position);
            }
            out.fate = match (admitted.divert, b.room) {
                (false, _) => Fate::Pass,
                (true, true) => {
                    out.chain = v.chain();
                    v.give(Some(b.position).filter(|_| b.placed));
                    Fate::Divert
                }
                (true, false) => {
                    v.miss(b.number);
                    Fate::Full
                }
            } as u8;
        }
        Op::Miss => v.miss(b.number),
        Op::Release => out.done = live && v.release(b.bound),
        Op::Settle if live => {
            let chain = v.chain();
            v.settle(b.scopes, b.told_class, b.keep_history);
            out.done = true;
            if v.is_settled() {
                out.chain = chain;
            }
        }
        Op::Bypass if live => {
            (out.done, out.chain) = (true, v.chain());
            v.bypass();
        }
        Op::Divert if live => {
            out.newly = v.divert(b.number);
            (out.done, out.chain) = (true, v.take_chain());
        }
        Op::Forget if live => {
            out.done = true;
            *v = VerdictState::default();
        }
        Op::Block if live => (out.done, v.blocked) = (true, true),
        Op::Handover if live && v.chain_count > 0 && b.position >= v.chain_first => {
            (out.done, out.chain) = (true, v.take_chain());
            if !b.room {
                out.lost = true;
                v.miss(b.number);
            }
        }
        _ => {}
    }
    out.hole = v.hole;
    out
}

fn item(b: &Beat) -> Vec<u8> {
    let mut w = BitWriter::default();
    w.number(b.bound, 64).number(b.position, 64).number(b.number, 64);
    w.number(b.room.into(), 1).number(b.placed.into(), 1).number(b.trouble.into(), 1).number(b.inspected.into(), 1);
    w.number(b.told_class.into(), 6).number(b.scopes.into(), 8).number(b.keep_history.into(), 1).number(b.stale.into(), 1);
    w.number(b.created.into(), 1).number(b.op as u64, 4);
    let mut out = w.into_bytes(32);
    out.push(b.slot as u8);
    out.resize(IN_STRIDE, 0);
    out
}

fn result(bytes: &[u8]) -> (Out, VerdictState) {
    let mut r = BitReader::new(bytes);
    let (count, oldest, head) = (r.number(32) as u32, r.number(64), r.number(64));
    let previous = r.number(64);
    let (hole, sticky, newly, lost, record, done) = (r.flag(), r.flag(), r.flag(), r.flag(), r.flag(), r.flag());
    let fate = r.number(3) as u8;
    let out = Out { fate, done, record, lost, newly, sticky, hole, previous, chain: Chain { head, count, oldest } };
    let (chain_count, chain_first, previous) = (r.number(32) as u32, r.number(64), r.number(64));
    let (last_trouble, told_class, scopes) = (r.number(64), r.number(6) as u8, r.number(8) as u8);
    let (unrecorded, blocked, bypassed, hole) = (r.flag(), r.flag(), r.flag(), r.flag());
    let (diverted, sticky) = (r.flag(), r.flag());
    let state = VerdictState {
        sticky,
        last_trouble,
        scopes,
        told_class,
        unrecorded,
        previous,
        chain_first,
        chain_count,
        hole,
        bypassed,
        blocked,
        diverted,
    };
    (out, state)
}

fn traffic(r: &mut Random, slots: u64, count: usize) -> Vec<Beat> {
    let mut fresh = [true; SLOTS];
    let (mut number, mut position) = (0, 0);
    (0..count)
        .map(|_| {
            let slot = r.below(slots) as usize;
            let op = if fresh[slot] || !r.once_in(4) {
                Op::Frame
            } else if r.once_in(12) {
                Op::Miss
            } else {
                let many = [Op::Release, Op::Release, Op::Release, Op::Settle, Op::Divert, Op::Handover, Op::Handover];
                if r.once_in(12) { r.of(&[Op::Bypass, Op::Block, Op::Forget]) } else { r.of(&many) }
            };
            number += u64::from(matches!(op, Op::Frame | Op::Miss));
            let here = position;
            position += if op == Op::Frame { 64 * (1 + r.below(4)) } else { 0 };
            let created = std::mem::take(&mut fresh[slot]) || op == Op::Frame && r.once_in(60);
            let stale = r.once_in(12);
            fresh[slot] = op == Op::Forget && !stale;
            Beat {
                slot,
                op,
                created,
                stale: stale && !matches!(op, Op::Frame | Op::Miss),
                keep_history: r.once_in(2),
                scopes: r.of(&[0xff, 0xff, 0x20, 0]),
                told_class: r.of(&[0, 0, 5, 63]),
                inspected: !r.once_in(30),
                trouble: r.once_in(8),
                placed: !r.once_in(20),
                room: !r.once_in(12),
                number,
                position: if op == Op::Frame { here } else { here.saturating_sub(r.below(1000)) },
                bound: number.saturating_sub(r.below(6)),
            }
        })
        .collect()
}

#[test]
fn random_frames_and_commands() {
    let Some(mut harness) = Harness::or_skip(Model::Verdict, "random_frames_and_commands") else { return };
    let seed = seed();
    let mut r = Random(seed);
    let (mut fates, mut done) = ([0u32; 8], [[0u32; 2]; 8]);
    for slots in [1, 2, 3, 16, 16] {
        let beats = traffic(&mut r, slots, setting("WEIR_FRAMES", 15_000));
        let input: Vec<u8> = beats.iter().flat_map(item).collect();
        for stalls in STALLS {
            let mut states = [VerdictState::default(); SLOTS];
            let run = harness.run(&input, IN_STRIDE, beats.len(), OUT_STRIDE, seed, stalls, 40);
            assert_eq!(run.out_cycles.len(), beats.len(), "{stalls:?}, WEIR_SEED={seed}");
            for (i, (beat, bytes)) in beats.iter().zip(run.out.chunks(OUT_STRIDE)).enumerate() {
                let want = step(&mut states[beat.slot], beat);
                let (got, state) = result(bytes);
                let what = || format!("beat {i} {beat:?}, {slots} flows, {stalls:?}, WEIR_SEED={seed}");
                assert_eq!(got, want, "{}", what());
                assert_eq!(format!("{state:?}"), format!("{:?}", states[beat.slot]), "{}", what());
                if stalls == STALLS[0] {
                    assert_eq!(run.out_cycles[i] - run.in_cycles[i], LATENCY);
                    assert_eq!(run.in_cycles[i] - run.in_cycles[0], i as u64, "one beat per cycle");
                }
                match beat.op {
                    Op::Frame => fates[usize::from(want.fate)] += 1,
                    // Whatever the host has decided.
                    Op::Miss => assert!(state.hole),
                    op => done[op as usize][usize::from(want.done)] += 1,
                }
            }
        }
    }
    assert!(fates[..6].iter().all(|n| *n > 100), "every fate occurs: {fates:?}");
    assert!(done[1..].iter().flatten().all(|n| *n > 20), "every command takes effect and does not: {done:?}");
    assert_eq!(POSITION_NONE, VerdictState::default().previous);
}
