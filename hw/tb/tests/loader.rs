//! The table loader against the model's, and against the words that the model's tables make.

#[path = "loader/bounds.rs"]
mod bounds;
mod common;
#[path = "common/rows.rs"]
mod rows;
#[path = "loader/damage.rs"]
mod damage;
#[path = "loader/fill.rs"]
mod fill;
#[path = "loader/host.rs"]
mod host;

use common::made::Random;
use common::{seed, setting, tables};
use host::{Flicker, Host, Timing, difference};
use std::collections::BTreeMap;
use weir_contract::constants::GUARDS_MAX;
use weir_contract::enums::{BlockType, RecordFlags, Scopes, TableError};
use weir_contract::guards::Guard;
use weir_contract::layouts::{AddressPrefixV4, AddressPrefixV6, Geometry, GuardParameters, Record};
use weir_sim::tables::Image;
use weir_sim::testing::{Fragment, ImageBuilder};

const TIMINGS: [Timing; 3] =
    [Timing { latency: 0, stall: 0 }, Timing { latency: 40, stall: 100 }, Timing { latency: 300, stall: 700 }];

fn skipped(test: &str) {
    eprintln!("SKIPPED: {test}: the model loader was not built (hw/tools/install brings Verilator)");
}

/// Something of everything: prefixes that nest and touch, sets and classes beyond a word, fewer ways than are built.
fn made_image(seed: u64) -> Vec<u8> {
    let mut r = Random(seed);
    let mut b = ImageBuilder::new(seed);
    b.bloom_bits = 13;
    b.ways = r.of(&[1, 2, 3, 4]);
    b.limits.candidates = r.below(1 << 32) as u32;
    b.limits.list_entries = r.below(1 << 32) as u32;
    b.parameters = GuardParameters::from_bytes(r.bytes(GuardParameters::SIZE).as_slice().try_into().unwrap());
    let (port_classes, port_sets) = (r.of(&[1, 64, 65, 130]), r.of(&[0, 1, 64, 100]));
    let (address_classes, address_sets) = (r.of(&[1, 63, 64, 200]), r.of(&[0, 63, 129]));
    b.port_classes.iter_mut().enumerate().for_each(|(n, class)| *class = (n % port_classes) as u16);
    let mut sets = |count: u64, classes: usize| -> Vec<Vec<u16>> {
        (0..count).map(|_| (0..classes as u16).filter(|_| r.once_in(3)).collect()).collect()
    };
    b.port_sets = sets(port_sets, port_classes);
    b.address_sets = sets(address_sets, address_classes);
    let mut v4 = BTreeMap::new();
    let mut v6 = BTreeMap::new();
    for n in 0..r.below(90) {
        let length = (r.below(33)) as u8;
        let raw = (r.below(1 << 32) as u32) & 0x0300_80ff | if r.once_in(2) { 0xff00_0000 } else { 0 };
        let mask = !u32::MAX.checked_shr(length.into()).unwrap_or(0);
        let class = r.below(address_classes as u64) as u16;
        v4.insert((raw & mask, length), AddressPrefixV4 { address: raw & mask, length, class, reserved: 0 });
        let length = (r.below(129)) as u8;
        let raw = u128::from(r.below(1 << 32) & 0x8100_00ff) << 90 | u128::from(n & 3);
        let mask = !u128::MAX.checked_shr(length.into()).unwrap_or(0);
        let address = (raw & mask).to_be_bytes();
        v6.insert((address, length), AddressPrefixV6 { address, length, class, reserved: 0 });
    }
    b.v4 = v4.into_values().collect();
    b.v6 = v6.into_values().collect();
    // The last class is used, or the matrices are narrower.
    b.v4.push(AddressPrefixV4 { address: u32::MAX, length: 32, class: address_classes as u16 - 1, reserved: 0 });
    b.v4.dedup_by_key(|p| (p.address, p.length));
    let record = |r: &mut Random, n: u32| Record {
        group: n,
        scopes: r.of(&[Scopes::STREAM.0, Scopes::APP.0, Scopes::ALWAYS.0, Scopes::PACKET.0]),
        flags: r.of(&[0, RecordFlags::ANCHOR_STREAM.0]),
        source_ports: r.below(1 + port_sets) as u16,
        destination_ports: r.below(1 + port_sets) as u16,
        source_addresses: r.below(1 + address_sets) as u16,
        destination_addresses: r.below(1 + address_sets) as u16,
        payload_min: r.below(9) as u16,
        transports: r.of(&[0xff, 1, 0x82, 0x40]),
        versions: r.of(&[0xff, 1, 0x86]),
        directions: r.of(&[0xff, 1, 2]),
        states: r.of(&[0xff, 0x20, 0xd0 | n as u8 & 15]),
        class_mask: r.of(&[u64::MAX, 1 << 63, 1 << (n & 63)]),
        ..Record::ALWAYS
    };
    for n in 0..r.below(90) {
        let length = r.of(&[4, 5, 8]);
        let case_mask = if r.once_in(3) { r.below(1 << length) as u8 } else { 0 };
        let fragment = Fragment { bytes: tables::text(&mut r, length), case_mask };
        let id = b.record(record(&mut r, n as u32));
        b.fragment(fragment, &[id]);
    }
    for n in 0..GUARDS_MAX {
        if let Some(guard) = Guard::from_raw(n as u8).filter(|guard| !guard.always() && !r.once_in(3)) {
            let id = b.record(record(&mut r, 7));
            b.guard(guard, id);
        }
    }
    for n in 0..r.of(&[0, 5, 64, 719, 720, 721, 1440]) {
        b.header(record(&mut r, n as u32));
    }
    b.build()
}

/// Loads what is in host memory and compares; says whether it was accepted, and the cycles.
fn compare(host: &mut Host, what: &str) -> (Option<TableError>, host::Outcome) {
    let expected = host.expected();
    let outcome = host.load(|_, _| ());
    match &expected {
        Err(refusal) => {
            assert_eq!(outcome.refusal, Some(*refusal), "{what}");
            assert!(outcome.words.is_empty(), "{what}: an image that is refused was written");
        }
        Ok(words) => {
            assert_eq!(outcome.refusal, None, "{what}");
            if let Some(difference) = difference(&outcome.words, words) {
                panic!("{what}: {difference}");
            }
        }
    }
    (expected.err().map(|refusal| refusal.error), outcome)
}

#[test]
fn words_equal_those_of_the_model() {
    let seed = seed();
    let Some(mut host) = Host::new(seed) else { return skipped("words_equal_those_of_the_model") };
    for n in 0..setting("WEIR_FRAMES", 12) as u64 {
        host.timing = TIMINGS[n as usize % 3];
        host.put(&made_image(seed + n));
        let (refused, outcome) = compare(&mut host, &format!("image {n}, WEIR_SEED={seed}"));
        assert_eq!(refused, None, "image {n}, WEIR_SEED={seed}");
        println!("{n}: {} words, {} reads, {} cycles", outcome.words.len(), outcome.reads, outcome.cycles);
    }
}

/// Cycles that the headers of weir_loader's modules state: to check, and in all, but for those of a block's beginning and end.
fn stated(image: &[u8]) -> (u64, u64) {
    let open = Image::open(image).unwrap();
    let g = Geometry::read(open.sized(BlockType::Geometry, Geometry::SIZE).unwrap()).unwrap();
    let length = |kind| open.directory.iter().find(|entry| entry.kind == kind as u16).map_or(0, |entry| entry.length);
    let ids = u64::from(g.list_entries) + u64::from(g.header_entries) + 6 * u64::from(g.records);
    let matrices = (length(BlockType::PortSets) + length(BlockType::AddressSets)) / 8;
    let (mut words, mut used, mut fill) = (ids + (1 << 16) + matrices, 0, 0);
    for s in g.lengths.iter().filter(|s| s.bloom_partitions != 0) {
        words += u64::from(s.bloom_partitions) << s.bloom_bits_log2 >> 6;
        words += u64::from(s.exact_ways) << s.exact_buckets_log2;
        used += u64::from(s.entries) * u64::from(3 + s.bloom_partitions);
        fill += u64::from(4 - s.exact_ways) << s.exact_buckets_log2;
    }
    // Each prefix opens and closes and begins two ranges, at most.
    let prefixes = 9 * u64::from(g.prefixes_v4) + 12 * u64::from(g.prefixes_v6);
    let turned = |sets: u32, classes: u32| {
        let whole = |n: u32| u64::from(n.next_multiple_of(64));
        u64::from(classes.div_ceil(64)) * (whole(sets) + 2 * whole(g.header_entries) + 3 * (64 + 12) + 5 * 64)
    };
    let ranges = 2 * ((1 << 15) + (1 << 8));
    let conditions = u64::from(g.list_entries.next_multiple_of(8))
        + 6 * (u64::from(g.header_entries.next_multiple_of(64)) + 64 + 12)
        + 2 * 352;
    let check = 2 * image.len() as u64 / 64 + words + used + prefixes;
    let turn = turned(g.port_sets, g.port_classes) + turned(g.address_sets, g.address_classes);
    (check, check + words + fill + prefixes + ranges + turn + conditions)
}

#[test]
fn et_open() {
    let seed = seed();
    let Some(mut host) = Host::new(seed) else { return skipped("et_open") };
    let Some(image) = tables::et_open("et_open", 7) else { return };
    host.put(&image);
    let (check, all) = stated(&image);
    for timing in &TIMINGS[..2] {
        host.timing = *timing;
        let (refused, outcome) = compare(&mut host, "ET Open");
        assert_eq!(refused, None);
        println!(
            "{timing:?}: {} bytes, {} reads, {} words, {} cycles, of them {} to check; stated {check} to check of {all}",
            image.len(),
            outcome.reads,
            outcome.words.len(),
            outcome.cycles,
            outcome.checked
        );
        if timing.latency == 0 {
            let near = |is: u64, stated: u64| is <= stated + stated / 50 && is >= stated - stated / 10;
            assert!(near(outcome.checked, check) && near(outcome.cycles, all), "the headers state other cycles");
        }
    }
}

/// Whatever is wrong is refused with the model's error, block and offset, and nothing was written.
#[test]
fn damaged_images() {
    let seed = seed();
    let Some(mut host) = Host::new(seed) else { return skipped("damaged_images") };
    let mut r = Random(seed);
    let mut errors: BTreeMap<u32, u32> = BTreeMap::new();
    let images: Vec<Vec<u8>> = (0..4).map(|n| made_image(seed + n)).collect();
    let least = setting("WEIR_FRAMES", 400);
    // Errors that are rare among random images come with more of them.
    let unseen =
        |errors: &BTreeMap<u32, u32>| (1..=16).filter(|error| !errors.contains_key(error)).collect::<Vec<u32>>();
    let mut n = 0;
    while n < least || least >= 400 && n < 10 * least && !unseen(&errors).is_empty() {
        n += 1;
        let mut image = r.of(&[0, 1, 2, 3].map(|n| &images[n])).clone();
        let what = damage::damage(&mut r, &mut image);
        host.put(&image);
        damage::registers(&mut r, &mut host);
        host.timing = r.of(&TIMINGS[..2]);
        let (refused, _) = compare(&mut host, &format!("{n}: {what}, WEIR_SEED={seed}"));
        *errors.entry(refused.map_or(0, |error| error as u32)).or_default() += 1;
    }
    println!("{errors:?}");
    if least >= 400 {
        let unseen = unseen(&errors);
        assert!(unseen.is_empty(), "no image was refused with {unseen:?}, WEIR_SEED={seed}");
    }
}

/// Every field at its bound and behind it, every check alone.
#[test]
fn bounds_of_every_field() {
    let Some(mut host) = Host::new(1) else { return skipped("bounds_of_every_field") };
    let mut builder = ImageBuilder::new(11);
    (builder.bloom_bits, builder.ways) = (13, 3);
    builder.port_classes.iter_mut().enumerate().for_each(|(n, class)| *class = (n % 70) as u16);
    builder.port_sets = vec![vec![0, 1], vec![2, 69]];
    builder.address_sets = vec![vec![0], vec![1]];
    for n in 0..3u8 {
        let address = u32::from_be_bytes([10, n, 0, 0]);
        builder.v4.push(AddressPrefixV4 { address, length: 16, class: n.into(), reserved: 0 });
        let mut address = [0; 16];
        address[0] = n + 1;
        builder.v6.push(AddressPrefixV6 { address, length: 8, class: n.into(), reserved: 0 });
    }
    for text in ["four", "text", "eight of", "letters."] {
        builder.literal(text.as_bytes(), Record::ALWAYS);
    }
    (0..3).for_each(|n| builder.header(Record { group: n, ..Record::ALWAYS }));
    let image = builder.build();
    let mut errors: BTreeMap<u32, u32> = BTreeMap::new();
    for (what, image) in bounds::cases(&image) {
        host.put(&image);
        let (refused, _) = compare(&mut host, &what);
        *errors.entry(refused.map_or(0, |error| error as u32)).or_default() += 1;
    }
    println!("{errors:?}");
}

/// A bit that is another one in one of the reads alone: refused, or nothing of it was used.
#[test]
fn bits_that_change_between_the_passes() {
    let seed = seed();
    let Some(mut host) = Host::new(seed) else { return skipped("bits_that_change_between_the_passes") };
    let mut r = Random(seed);
    let image = made_image(seed);
    host.put(&image);
    let want = host.expected().unwrap();
    let (mut refused, mut faults) = (0, 0);
    for _ in 0..setting("WEIR_FRAMES", 80) {
        let at = if r.once_in(2) { r.below(image.len() as u64) } else { r.below(1000) };
        let bit = if r.once_in(4) { None } else { Some(r.below(8) as u8) };
        let flicker = Flicker { at, bit, read: r.below(5) as u32 };
        host.flicker = Some(flicker);
        let outcome = host.load(|_, _| ());
        match outcome.refusal {
            Some(refusal) if bit.is_none() => {
                assert_eq!(refusal.error, TableError::Dma, "{flicker:?}, WEIR_SEED={seed}");
                faults += 1;
            }
            Some(_) => refused += 1,
            None => {
                assert!(bit.is_some() || host.seen <= flicker.read, "{flicker:?} was not noticed, WEIR_SEED={seed}");
                assert_eq!(difference(&outcome.words, &want), None, "{flicker:?}, WEIR_SEED={seed}");
            }
        }
    }
    println!("{refused} refused, {faults} for a fault");
    assert!(refused > 5 && faults > 2, "{refused} {faults}");
}

/// EPOCH is written while an image is loaded: the previous tables come back until they are written over.
#[test]
fn epochs_while_loading() {
    let seed = seed();
    let Some(mut host) = Host::new(seed) else { return skipped("epochs_while_loading") };
    let mut r = Random(seed);
    host.put(&made_image(seed));
    let mut newest = 0;
    let mut load = |host: &mut Host| {
        newest += 1;
        let outcome = host.load(|_, _| ());
        assert_eq!(outcome.refusal, None);
        (newest, outcome)
    };
    let (mut back, mut late) = (0, 0);
    let cycles = load(&mut host).1.cycles;
    assert_eq!(host.activate(1), (true, false));
    for _ in 0..setting("WEIR_FRAMES", 24) {
        // The tables that judge, and those before.
        let (active, _) = load(&mut host);
        let (_, previous) = host.cycle(|_| ()).active().unwrap();
        assert_eq!(host.activate(active), (true, false));
        let at = r.below(cycles);
        host.epoch = Some((at, previous));
        let (shadow, outcome) = load(&mut host);
        host.epoch = None;
        let out = host.cycle(|_| ());
        let (bank, epoch) = out.active().unwrap();
        assert_ne!(outcome.bank, Some(bank), "the bank that judges was written");
        assert_eq!(out.resident(), (shadow, 0));
        if epoch == previous {
            assert!(at < outcome.checked, "{at} of {}", outcome.checked);
            back += 1;
        } else {
            assert!(epoch == active && at + 64 > outcome.checked, "{at} of {}", outcome.checked);
            late += 1;
        }
    }
    println!("{back} came back, {late} were written over");
    assert!(setting("WEIR_FRAMES", 24) < 24 || back > 2 && late > 2);
}

/// Epochs as the model has them, but that a load takes the place of the previous tables; a bank that a frame has is not
/// written.
#[test]
fn banks_and_epochs() {
    let seed = seed();
    let Some(mut host) = Host::new(seed) else { return skipped("banks_and_epochs") };
    let mut r = Random(seed);
    let image = made_image(seed);
    let mut damaged = image.clone();
    damaged[image.len() / 2] ^= 1;
    host.put(&image);
    let mut model = weir_sim::banks::Banks::default();
    let epoch = |bank: &Option<weir_sim::banks::Bank>| bank.as_ref().map_or(0, |bank| bank.epoch);
    let (mut lost, mut changes, mut waited) = (0, 0, 0);
    let mut previous_lost = false;
    for n in 0..setting("WEIR_FRAMES", 60) {
        match r.below(4) {
            0 => {
                // Frames have the bank until some time.
                let active = host.cycle(|_| ()).active();
                let spare = active.map_or(0, |(bank, _)| 1 - bank);
                let until = r.below(400_000);
                let mut cycles = 0u64;
                host.in_use = 1 << spare | active.map_or(0, |(bank, _)| 1 << bank);
                let outcome = host.load(|host, write| {
                    cycles += 1;
                    waited += u64::from(host.in_use >> spare & 1 != 0);
                    if cycles >= until {
                        host.in_use &= !(1 << spare);
                    }
                    if let Some(write) = write {
                        assert_eq!(host.in_use >> write.bank & 1, 0, "a bank that a frame has is written");
                        assert!(active.is_none_or(|(bank, _)| bank != write.bank), "the bank that judges is written");
                    }
                });
                assert_eq!(outcome.refusal, None);
                model.load(&mut host.bus, host.address, host.length).unwrap();
                previous_lost = true;
            }
            1 => {
                host.put(&damaged);
                assert!(host.load(|_, _| ()).refusal.is_some());
                model.load(&mut host.bus, host.address, host.length).unwrap_err();
                host.put(&image);
            }
            _ => {
                let wanted = match r.below(6) {
                    0 => r.below(9) as u32,
                    1 => epoch(&model.active),
                    2 => epoch(&model.previous),
                    _ if model.shadow.is_some() => epoch(&model.shadow),
                    _ => epoch(&model.previous),
                };
                let gone = previous_lost && wanted != 0 && wanted == epoch(&model.previous);
                let before = epoch(&model.active);
                let (changed, unknown) = host.activate(wanted);
                if gone {
                    lost += 1;
                    assert!(unknown && !changed);
                } else {
                    assert_eq!(model.activate(wanted), !unknown, "{n}: epoch {wanted}, WEIR_SEED={seed}");
                    assert_eq!(changed, epoch(&model.active) != before);
                    changes += u32::from(changed);
                    previous_lost &= !changed;
                }
            }
        }
        let out = host.cycle(|_| ());
        let (shadow, previous) = out.resident();
        assert_eq!(out.active().map_or(0, |(_, epoch)| epoch), epoch(&model.active), "{n}, WEIR_SEED={seed}");
        assert_eq!(shadow, epoch(&model.shadow), "{n}, WEIR_SEED={seed}");
        assert_eq!(previous, if previous_lost { 0 } else { epoch(&model.previous) }, "{n}, WEIR_SEED={seed}");
        if let Some(bank) = &model.active {
            assert_eq!(out.tables(), (bank.tables.directory_crc(), bank.tables.identity));
        }
    }
    println!("{changes} changes, {lost} times the previous tables were gone, {waited} cycles with frames in the bank");
    assert!(changes > 2 && waited > 0);
}
