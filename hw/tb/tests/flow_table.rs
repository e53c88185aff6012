//! Flow keys, hash and the table in RTL, behind a memory of random latency, against the model's table.

mod common;
#[path = "common/parsed.rs"]
mod parsed;

use common::made::Random;
use common::{seed, setting};
use parsed::parsed_bits;
use weir_contract::flow_key::{Address, flow_key};
use weir_contract::hash::flow_hash;
use weir_contract::layouts::FlowKey;
use weir_hw_tb::bits::BitReader;
use weir_hw_tb::{Harness, Model, STALLS};
use weir_sim::flow::{FlowTable, ParseState, Room};
use weir_sim::parse::Parsed;

const IN_STRIDE: usize = 224;
const OUT_STRIDE: usize = 96;
const SLOTS: u32 = 64;
/// A hit with the fastest memory of the wrapper: six cycles, and two for each of two round trips.
const HIT: u64 = 10;
/// The wrapper's item and result registers, and the three cycles of the key.
const WRAPPER: u64 = 5;

#[derive(Debug, Clone)]
struct Item {
    op: u8,
    parsed: Parsed,
    now: u64,
    timeout: u64,
    slot: u32,
    generation: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    live: bool,
    created: bool,
    slot: u32,
    generation: u32,
    ended: [Option<u32>; 2],
    swept: u8,
    key: Option<(FlowKey, u64, bool)>,
}

fn step(table: &mut FlowTable, item: &Item, constants: &[u64; 6], vlan_key: bool) -> Answer {
    let mut answer = Answer::default();
    let p = &item.parsed;
    let (source, destination) = p.ends.unwrap();
    let vlan = if vlan_key { p.vlan } else { [0; 2] };
    let (key, from_lower) = flow_key((source, p.ports.0), (destination, p.ports.1), p.protocol, vlan);
    let hash = flow_hash(&key, constants);
    match item.op {
        0 => {
            answer.key = Some((key, hash, from_lower));
            // As `Pipeline::entry` does.
            let found = table.find(hash, &key);
            let slot = match found.filter(|slot| !table.is_expired(*slot, item.now)) {
                Some(slot) => Some(slot),
                None => {
                    answer.ended[0] = found;
                    found.map(|slot| table.remove(slot));
                    let slot = match table.room(hash, item.now) {
                        Room::Free(slot) => Some(slot),
                        Room::Expired(slot) => {
                            answer.ended[1] = Some(slot);
                            table.remove(slot);
                            Some(slot)
                        }
                        Room::None => None,
                    };
                    if let Some(slot) = slot {
                        table.insert(slot, hash, key, ParseState::blank(1, item.now));
                        answer.created = true;
                    }
                    slot
                }
            };
            if let Some(slot) = slot {
                table.set_expiry(slot, item.now + item.timeout);
                (answer.live, answer.slot, answer.generation) = (true, slot, table.generation(slot));
            }
        }
        1 | 2 => {
            answer.live = table.named(item.slot, item.generation, item.now).is_some();
            (answer.slot, answer.generation) = (item.slot, table.generation(item.slot));
            if item.op == 2 && answer.live {
                table.remove(item.slot);
            }
        }
        4 => {
            answer.key = Some((key, hash, from_lower));
            if let Some(slot) = table.find(hash, &key).filter(|slot| !table.is_expired(*slot, item.now)) {
                (answer.live, answer.slot, answer.generation) = (true, slot, table.generation(slot));
            }
        }
        _ => {
            answer.slot = item.slot;
            for way in 0..8 {
                let slot = item.slot / 8 * 8 + way;
                if table.is_expired(slot, item.now) {
                    table.remove(slot);
                    answer.swept |= 1 << way;
                }
            }
        }
    }
    answer
}

fn bytes(item: &Item, constants: &[u64; 6], vlan_key: bool, latency: u32) -> Vec<u8> {
    let mut out = vec![item.op, u8::from(vlan_key), 0, 0];
    out.extend(latency.to_le_bytes());
    out.extend(item.slot.to_le_bytes());
    out.extend(item.generation.to_le_bytes());
    out.extend(item.now.to_le_bytes());
    out.extend(item.timeout.to_le_bytes());
    let parsed = parsed_bits(&item.parsed, 100, &[]);
    assert!(parsed[96..].iter().all(|byte| *byte == 0));
    out.extend(&parsed[..96]);
    constants.iter().for_each(|constant| out.extend(constant.to_le_bytes()));
    out.resize(IN_STRIDE, 0);
    out
}

fn answer(item: &Item, bytes: &[u8]) -> Answer {
    let mut r = BitReader::new(bytes);
    let (live, created, ended, from_lower) = (r.flag(), r.flag(), [r.flag(), r.flag()], r.flag());
    let (slot, generation) = (r.number(32) as u32, r.number(32) as u32);
    let slots = [r.number(32) as u32, r.number(32) as u32];
    let swept = r.number(8) as u8;
    let key = FlowKey::from_bytes(&r.array());
    let hash = r.number(64);
    let by_key = matches!(item.op, 0 | 4);
    Answer {
        live,
        created,
        // A table that is full names no slot.
        slot: if by_key && !live { 0 } else { slot },
        generation,
        ended: [0, 1].map(|n| Some(slots[n]).filter(|_| ended[n])),
        swept,
        key: by_key.then_some((key, hash, from_lower)),
    }
}

fn items(r: &mut Random, count: usize, flows: u64) -> Vec<Item> {
    let mut now = 1000;
    let mut generations = [0u32; SLOTS as usize];
    (0..count)
        .map(|_| {
            now += if r.once_in(30) { r.below(300) } else { r.below(4) };
            let n = r.below(flows);
            let ends = if n.is_multiple_of(3) {
                [Address::V6([n as u8; 16]), Address::V6([7; 16])]
            } else {
                [Address::V4([10, 0, 0, n as u8]), Address::V4([10, 0, (n / 9) as u8, 1])]
            };
            let ports = [1000 + n as u16 % 5, 80];
            let d = r.below(2) as usize;
            let parsed = Parsed {
                guards: 0,
                ends: Some((ends[d], ends[1 - d])),
                ports: (ports[d], ports[1 - d]),
                protocol: if n.is_multiple_of(2) { 6 } else { 17 },
                keyed: true,
                vlan: [(n % 2) as u16 * 5, (n % 4) as u16],
                payload: (60, 60),
                tcp: None,
                icmp: None,
            };
            let op = if r.once_in(5) { r.of(&[1, 1, 2, 2, 3, 4]) } else { 0 };
            let slot = r.below(SLOTS.into()) as u32;
            // Mostly a generation that may be the slot's.
            let generation = &mut generations[slot as usize];
            *generation = (*generation + r.below(2) as u32) % 12;
            Item { op, parsed, now, timeout: r.of(&[20, 100, 400]), slot, generation: *generation }
        })
        .collect()
}

#[test]
fn equals_the_model_s_table() {
    if Harness::or_skip(Model::FlowTable, "equals_the_model_s_table").is_none() {
        return;
    }
    let seed = seed();
    let mut r = Random(seed);
    let mut sum = [0u32; 9];
    let mut fastest = u64::MAX;
    for (round, flows) in [40, 90, 200, 120, 120].into_iter().enumerate() {
        let mut constants: [u64; 6] = std::array::from_fn(|_| r.below(u64::MAX) | 1);
        if round == 3 {
            // Nearly all keys have one tag, and few have buckets of their own.
            constants = [1 << 5, 1 << 6, 1 << 3, 1 << 4, 1 << 7, 1 << 2];
        }
        let vlan_key = round % 2 == 0;
        let items = items(&mut r, setting("WEIR_FRAMES", 3_000), flows);
        for (stalls, latency) in [(STALLS[0], 0), (STALLS[0], 60), (STALLS[3], 20)] {
            let mut harness = Harness::new(Model::FlowTable).unwrap();
            let mut table = FlowTable::new(SLOTS);
            let input: Vec<u8> = items.iter().flat_map(|item| bytes(item, &constants, vlan_key, latency)).collect();
            let run = harness.run(&input, IN_STRIDE, items.len(), OUT_STRIDE, seed, stalls, 1500);
            assert_eq!(run.out_cycles.len(), items.len(), "{stalls:?}, latency {latency}, WEIR_SEED={seed}");
            for (i, (item, out)) in items.iter().zip(run.out.chunks(OUT_STRIDE)).enumerate() {
                let over = matches!(item.op, 1 | 2)
                    && table.generation(item.slot) == item.generation
                    && table.is_expired(item.slot, item.now);
                let want = step(&mut table, item, &constants, vlan_key);
                let got = answer(item, out);
                // Without an entry there is no generation to speak of.
                let got = Answer {
                    generation: if item.op == 3 || matches!(item.op, 0 | 4) && !want.live { 0 } else { got.generation },
                    ..got
                };
                assert_eq!(got, want, "item {i} {item:?}, {flows} flows, latency {latency}, WEIR_SEED={seed}");
                if latency == 0 && stalls == STALLS[0] && item.op == 0 && want.live && !want.created {
                    fastest = fastest.min(run.out_cycles[i] - run.in_cycles[i]);
                }
                sum[0] += u32::from(want.created);
                sum[1] += u32::from(item.op == 0 && !want.live);
                sum[2] += u32::from(want.ended[0].is_some());
                sum[3] += u32::from(want.ended[1].is_some());
                sum[4] += u32::from(want.swept != 0);
                sum[5] += u32::from(item.op == 2 && want.live);
                sum[6] += u32::from(over);
                sum[7] += u32::from(item.op == 4 && want.live);
                sum[8] += u32::from(item.op == 4 && !want.live);
            }
        }
    }
    assert_eq!(fastest, HIT + WRAPPER, "cycles of a hit");
    assert!(sum.iter().all(|n| *n > 5), "created, full, ended twice, swept, forgotten, named too late, found or not: {sum:?}");
}
