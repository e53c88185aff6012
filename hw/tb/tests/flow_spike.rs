//! The two-stage flow access against the contract's sequence function and a plain model of the verdict stage.

use weir_contract::hash::splitmix64;
use weir_contract::sequence::{SegmentClass, SequenceState};
use weir_hw_tb::{Beat, BeatResult, Stalls, available, flow_spike};

#[derive(Clone, Copy)]
struct Entry {
    generation: u32,
    sequence: SequenceState,
    sticky: bool,
    last_trouble: u64,
    chain_head: u64,
    chain_count: u32,
}

const FRESH: Entry = Entry {
    generation: 0,
    sequence: SequenceState { directions: [weir_contract::sequence::DirectionState { valid: false, next: 0, ack_valid: false, ack: 0 }; 2] },
    sticky: false,
    last_trouble: 0,
    chain_head: u64::MAX,
    chain_count: 0,
};

fn code(class: SegmentClass) -> u8 {
    match class {
        SegmentClass::Empty => 0,
        SegmentClass::InOrder => 1,
        SegmentClass::Acked => 2,
        SegmentClass::Untracked => 3,
        SegmentClass::Trouble(t) => 8 + t as u8,
    }
}

/// One beat after the other, no pipeline. Fields that mean nothing for a kind of beat are left 0.
fn reference(beats: &[Beat]) -> Vec<BeatResult> {
    let mut entries = [FRESH; 16];
    let (mut frame, mut position) = (0u64, 0u64);
    beats
        .iter()
        .map(|b| {
            let e = &mut entries[usize::from(b.flow)];
            let mut r = BeatResult { op: b.op, generation: e.generation, sticky: e.sticky.into(), chain_head: e.chain_head, chain_count: e.chain_count, ..BeatResult::default() };
            if b.op == 0 {
                frame += 1;
                let class = e.sequence.update(b.direction.into(), b.number, b.acknowledgement, b.flags, b.payload.into());
                r.kind = code(class);
                r.next = e.sequence.directions[usize::from(b.direction)].next;
                r.position = position;
                let trouble = b.hit != 0 || matches!(class, SegmentClass::Trouble(_));
                if trouble {
                    (e.sticky, e.last_trouble) = (true, frame);
                }
                r.divert = e.sticky.into();
                (e.chain_head, e.chain_count) = if e.sticky { (u64::MAX, 0) } else { (position, e.chain_count + 1) };
                position += (64 + u64::from(b.payload)).div_ceil(64) * 64;
            } else if b.generation != e.generation {
                r.stale = 1;
            } else {
                r.divert = 1;
                match b.op {
                    1 => {
                        let free = e.sticky && e.last_trouble <= b.bound;
                        r.divert = free.into();
                        e.sticky &= !free;
                    }
                    2 => (e.sticky, e.last_trouble, e.chain_head, e.chain_count) = (true, frame, u64::MAX, 0),
                    _ => *e = Entry { generation: e.generation + 1, ..FRESH },
                }
            }
            r.frame = frame;
            r
        })
        .collect()
}

/// Traffic that mostly follows the sequence numbers, so that every class occurs.
fn traffic(seed: u64, flows: u64, count: usize) -> Vec<Beat> {
    let mut state = seed;
    let mut pick = move |n: u64| splitmix64(&mut state) % n;
    let mut next = [[0u32; 2]; 16];
    let mut generations = [0u32; 16];
    let mut frames = 0u64;
    (0..count)
        .map(|_| {
            let flow = pick(flows) as usize;
            let direction = pick(2) as usize;
            let mut b = Beat { flow: flow as u8, direction: direction as u8, ..Beat::default() };
            if pick(6) == 0 {
                b.op = [1, 1, 1, 2, 3][pick(5) as usize];
                b.generation = generations[flow].wrapping_sub(u32::from(pick(8) == 0));
                b.bound = frames.saturating_sub(pick(6));
                if b.op == 3 && b.generation == generations[flow] {
                    generations[flow] += 1;
                }
                return b;
            }
            frames += 1;
            b.hit = u8::from(pick(12) == 0);
            b.payload = [0, 0, 1, 5, 64, 1460][pick(6) as usize];
            b.flags = match pick(20) {
                0 | 1 => 0x02,
                2 | 3 => 0x12,
                4 => 0x11,
                5 => 0x14,
                6 => 0x30,
                7 => 0x00,
                _ => 0x10,
            };
            let own = &mut next[flow][direction];
            if b.flags & 0x02 != 0 {
                *own = if pick(3) == 0 { *own } else { pick(1 << 32) as u32 };
            }
            b.number = match pick(10) {
                0 => own.wrapping_add(pick(200) as u32),
                1 => own.wrapping_sub(pick(200) as u32),
                2 => own.wrapping_sub(u32::from(b.payload)),
                _ => *own,
            };
            *own = b.number.wrapping_add(u32::from(b.payload)).wrapping_add(u32::from(b.flags & 3 != 0));
            b.acknowledgement = next[flow][1 - direction].wrapping_add([0, 0, 0, 1000, u32::MAX][pick(5) as usize]);
            b
        })
        .collect()
}

/// Fields that mean something for the beat.
fn seen(mut r: BeatResult) -> BeatResult {
    if r.op != 0 {
        (r.kind, r.next, r.position) = (0, 0, 0);
    }
    r
}

#[test]
fn random_traffic_with_stalls() {
    if !available() {
        eprintln!("SKIPPED: random_traffic_with_stalls: built without Verilator (hw/tools/install brings it)");
        return;
    }
    let start = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let seed = std::env::var("WEIR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(start);
    println!("WEIR_SEED={seed}");
    let mut classes = [0u32; 16];
    for (run, flows) in [1u64, 1, 2, 3, 16, 16].into_iter().enumerate() {
        let beats = traffic(seed.wrapping_add(run as u64), flows, 40_000);
        let expected = reference(&beats);
        for stalls in [
            Stalls { input: 0, matching: 0, output: 0 },
            Stalls { input: 100, matching: 300, output: 0 },
            Stalls { input: 0, matching: 500, output: 100 },
            Stalls { input: 300, matching: 0, output: 500 },
        ] {
            let (results, cycles) = flow_spike(&beats, seed, stalls);
            for (i, (got, want)) in results.iter().zip(&expected).enumerate() {
                assert_eq!(seen(*got), seen(*want), "beat {i} {:?}, {flows} flows, {stalls:?}, WEIR_SEED={seed}", beats[i]);
                classes[usize::from(want.kind)] += u32::from(want.op == 0);
            }
            assert_eq!(results.len(), beats.len(), "hangs after {} beats, {stalls:?}, WEIR_SEED={seed}", results.len());
            if stalls == (Stalls { input: 0, matching: 0, output: 0 }) {
                assert!(cycles < beats.len() as u64 + 100, "one beat per cycle, not {cycles} cycles for {} beats", beats.len());
            }
        }
    }
    for kind in [0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14] {
        assert!(classes[kind] > 100, "class {kind} occurs {} times only", classes[kind]);
    }
}

#[test]
fn packed_structures_agree_with_the_vectors() {
    if !available() {
        eprintln!("SKIPPED: packed_structures_agree_with_the_vectors: built without Verilator (hw/tools/install brings it)");
        return;
    }
    assert!(weir_hw_tb::layout());
}
