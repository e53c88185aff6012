//! Address classes in RTL against the model's: sorted ranges, both banks.

mod common;

use common::made::Random;
use common::{seed, tables};
use weir_contract::layouts::{AddressPrefixV4, AddressPrefixV6};
use weir_hw_tb::{Harness, Model, STALLS};
use weir_sim::tables::{AddressClasses, Tables};

const IN_STRIDE: usize = 40;

fn item(op: u8, bank: u8, address: u32, values: [u128; 2]) -> Vec<u8> {
    let mut out = vec![op, bank, 0, 0];
    out.extend(address.to_le_bytes());
    values.iter().for_each(|value| out.extend(value.to_le_bytes()));
    out
}

/// Writes of a bank, as the loader makes them.
fn fill(bank: u8, log2: u32, ranges: &[(u128, u16)], most: u128) -> Vec<u8> {
    assert!(ranges.len() <= 1 << log2 && ranges[0].0 == 0);
    let mut out = Vec::new();
    for n in 0..1u32 << log2 {
        let range = ranges.get(n as usize);
        if n > 0 {
            out.extend(item(1, bank, n, [range.map_or(most, |r| r.0), 0]));
        }
        let class = range.or(ranges.last()).map_or(0, |r| r.1);
        out.extend(item(2, bank, n, [u128::from(class), 0]));
    }
    out
}

struct Bench {
    harness: Harness,
    latency: u64,
}

impl Bench {
    fn compare(&mut self, values: &[(u8, [u128; 2])], class: impl Fn(u8, u128) -> u16, seed: u64) {
        let input: Vec<u8> = values.iter().flat_map(|(bank, pair)| item(0, *bank, 0, *pair)).collect();
        for stalls in STALLS {
            let run = self.harness.run(&input, IN_STRIDE, values.len(), 4, seed, stalls, 40);
            assert_eq!(run.out_cycles.len(), values.len());
            for (i, ((bank, pair), out)) in values.iter().zip(run.out.chunks(4)).enumerate() {
                let got = [u16::from_le_bytes([out[0], out[1]]), u16::from_le_bytes([out[2], out[3]])];
                assert_eq!(got, pair.map(|value| class(*bank, value)), "{pair:x?} bank {bank}, WEIR_SEED={seed}");
                if stalls == STALLS[0] {
                    // One more for the queue of the wrapper.
                    assert_eq!(run.out_cycles[i] - run.in_cycles[i], self.latency + 1);
                    assert_eq!(run.in_cycles[i] - run.in_cycles[0], i as u64, "two values per cycle");
                }
            }
        }
    }

    fn write(&mut self, items: &[u8]) {
        self.harness.run(items, IN_STRIDE, 0, 4, 1, STALLS[0], 2);
    }
}

fn bench(model: Model, log2: u64, who: &str) -> Option<Bench> {
    Some(Bench { harness: Harness::or_skip(model, who)?, latency: log2 + 2 })
}

fn made(r: &mut Random) -> AddressClasses {
    let mut v6 = Vec::new();
    for _ in 0..r.below(60) {
        let length = r.below(129) as u8;
        let raw = u128::from(r.below(u64::MAX) & 0x8100_00ff) << 90 | u128::from(r.below(4));
        let mask = !u128::MAX.checked_shr(length.into()).unwrap_or(0);
        v6.push(AddressPrefixV6 { address: (raw & mask).to_be_bytes(), length, class: r.below(9) as u16, reserved: 0 });
    }
    v6.sort_by_key(|p| (p.address, p.length));
    v6.dedup_by_key(|p| (p.address, p.length));
    let everything = AddressPrefixV4 { address: 0, length: 0, class: 3, reserved: 0 };
    AddressClasses::new(&[everything], &v6)
}

#[test]
fn made_prefixes_of_six() {
    let Some(mut bench) = bench(Model::RangeSearch, 8, "made_prefixes_of_six") else { return };
    let seed = seed();
    let mut r = Random(seed);
    for _ in 0..12 {
        let classes = [made(&mut r), made(&mut r)];
        let mut values = Vec::new();
        for (bank, classes) in (0..).zip(&classes) {
            let ranges: Vec<(u128, u16)> = classes.v6_ranges().collect();
            bench.write(&fill(bank, 8, &ranges, u128::MAX));
            for (start, _) in ranges {
                values.push((bank, [start, start.wrapping_sub(1)]));
                values.push((1 - bank, [start.wrapping_add(1), u128::MAX]));
            }
        }
        bench.compare(&values, |bank, value| classes[usize::from(bank)].v6(value), seed);
    }
}

#[test]
fn prefixes_of_et_open() {
    let Some(mut bench) = bench(Model::RangeSearch4, 15, "prefixes_of_et_open") else { return };
    let Some(image) = tables::et_open("prefixes_of_et_open", 3) else { return };
    let tables = Tables::load(&image).unwrap();
    let ranges: Vec<(u128, u16)> = tables.addresses().v4_ranges().map(|(start, class)| (start.into(), class)).collect();
    println!("{} ranges", ranges.len());
    bench.write(&fill(0, 15, &ranges, u128::from(u32::MAX)));
    let seed = seed();
    let mut r = Random(seed);
    let near = ranges.iter().map(|(start, _)| (0, [*start, start.saturating_sub(1)]));
    let any: Vec<(u8, [u128; 2])> = (0..5000).map(|_| (0, [0, 0].map(|_| r.below(1 << 32).into()))).collect();
    let values: Vec<(u8, [u128; 2])> = near.chain(any).chain([(0, [0, u128::from(u32::MAX)])]).collect();
    bench.compare(&values, |_, value| tables.addresses().v4(value as u32), seed);
}
