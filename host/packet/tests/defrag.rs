//! The defragmenter, through the decoder.

use proptest::prelude::*;
use weir_packet::defrag::{AddressPolicies, OverlapPolicy};
use weir_packet::{Decoder, DecoderConfig, DecoderEvent, Frame, Time, link_types};
use weir_synth::wire::{Addresses, Fragmentation, IpFields, Order, fragments, ip, udp, v4};

fn addresses(six: bool) -> Addresses {
    if six {
        Addresses { source: "2001:db8::1".parse().unwrap(), destination: "2001:db8::2".parse().unwrap() }
    } else {
        Addresses { source: v4(10, 0, 0, 1), destination: v4(10, 0, 0, 2) }
    }
}

/// A fragment as a frame of raw IP.
fn fragment(six: bool, id: u32, (offset, more, data): (usize, bool, &[u8])) -> Vec<u8> {
    ip(addresses(six), 17, &IpFields { id, offset, more, ..IpFields::default() }, data)
}

struct Seen {
    /// (number, payload) of datagrams put together.
    datagrams: Vec<(u64, Vec<u8>)>,
    events: Vec<&'static str>,
    bad: usize,
}

fn run(decoder: &mut Decoder, frames: &[(u64, Vec<u8>)]) -> Seen {
    let mut seen = Seen { datagrams: Vec::new(), events: Vec::new(), bad: 0 };
    for (number, (time, data)) in (1..).zip(frames) {
        let frame = Frame { number, time: Time(*time), link: link_types::RAW, data, wire_length: data.len() as u32 };
        decoder.decode(&frame, &mut |packet| {
            seen.events.extend(packet.events.iter().map(DecoderEvent::name));
            if packet.ip.unwrap().reassembled {
                seen.datagrams.push((packet.number, packet.payload.to_vec()));
                seen.bad += usize::from(packet.checksum_bad || packet.ip_checksum_valid() == Some(false));
            }
        });
    }
    seen
}

fn with(change: impl FnOnce(&mut weir_packet::defrag::DefragConfig)) -> Decoder {
    let mut config = DecoderConfig::default();
    change(&mut config.defrag);
    Decoder::new(config)
}

const SECOND: u64 = 1_000_000_000;

fn datagram(six: bool, payload: &[u8]) -> Vec<u8> {
    udp(addresses(six), 1000, 2000, false, payload)
}

#[test]
fn a_datagram_carries_the_number_of_the_frame_that_completed_it() {
    for six in [false, true] {
        let payload: Vec<u8> = (0..200).collect();
        let whole = datagram(six, &payload);
        let how = Fragmentation { size: 64, order: Order::Listed(vec![2, 4, 1, 3]), overlap: 0 };
        let frames: Vec<_> = fragments(&whole, &how).into_iter().map(|piece| (0, fragment(six, 7, piece))).collect();
        let seen = run(&mut with(|_| ()), &frames);
        assert_eq!(seen.datagrams, [(4, payload)]);
        assert_eq!((seen.events.len(), seen.bad), (0, 0));
    }
}

#[test]
fn silence_forgets_a_collection() {
    let whole = datagram(false, &[1; 100]);
    let pieces = fragments(&whole, &Fragmentation { size: 64, ..Fragmentation::default() });
    let frames: Vec<_> = pieces.iter().map(|piece| fragment(false, 7, *piece)).collect();
    let at = |second: u64| {
        let mut decoder = with(|_| ());
        let seen = run(&mut decoder, &[(0, frames[0].clone()), (second, frames[1].clone())]);
        (seen.datagrams.len(), decoder.defrag_stats().timed_out)
    };
    assert_eq!(at(30 * SECOND), (1, 0));
    assert_eq!(at(30 * SECOND + 1), (0, 1));
}

#[test]
fn identifications_and_addresses_are_kept_apart() {
    let (first, second) = (datagram(false, &[1; 100]), datagram(false, &[2; 100]));
    let how = Fragmentation { size: 64, ..Fragmentation::default() };
    let a: Vec<_> = fragments(&first, &how).into_iter().map(|piece| (0, fragment(false, 7, piece))).collect();
    let b: Vec<_> = fragments(&second, &how).into_iter().map(|piece| (0, fragment(false, 8, piece))).collect();
    let seen = run(&mut with(|_| ()), &[a[0].clone(), b[0].clone(), b[1].clone(), a[1].clone()]);
    assert_eq!(seen.datagrams, [(3, vec![2; 100]), (4, vec![1; 100])]);
}

#[test]
fn overlaps_go_by_the_destination_s_policy() {
    // The same eight bytes, three times: zeroes, then ones, then what completes it.
    let whole = datagram(false, &[0; 24]);
    let mut second = whole[8..24].to_vec();
    second.fill(1);
    let frames = [
        (0, fragment(false, 7, (0, true, &whole[..24]))),
        (0, fragment(false, 7, (8, true, &second))),
        (0, fragment(false, 7, (24, false, &whole[24..]))),
    ];
    for (policy, expected) in [(OverlapPolicy::First, 0), (OverlapPolicy::Last, 1), (OverlapPolicy::BsdRight, 1)] {
        let seen = run(&mut with(|config| config.policies = AddressPolicies::new(policy)), &frames);
        assert_eq!(seen.datagrams[0].1[8], expected, "{policy:?}");
        assert_eq!(seen.events, ["ipv4.frag_overlap"]);
    }
}

#[test]
fn pieces_that_reach_beyond_the_largest_packet_are_dropped() {
    for (six, event) in [(false, "ipv4.frag_pkt_too_large"), (true, "ipv6.frag_pkt_too_large")] {
        let seen = run(&mut with(|_| ()), &[(0, fragment(six, 7, (65_528, false, &[0; 64])))]);
        assert_eq!(seen.events, [event]);
    }
}

#[test]
fn memory_is_bounded_and_the_oldest_give_way() {
    let mut decoder = with(|config| config.max_trackers = 10);
    let frames: Vec<_> = (0..1000).map(|id| (0, fragment(false, id, (0, true, &[0; 64])))).collect();
    run(&mut decoder, &frames);
    assert_eq!(decoder.defrag_stats().evicted, 990);

    let mut decoder = with(|config| config.max_bytes = 10_000);
    run(&mut decoder, &frames);
    assert!(decoder.defrag_stats().evicted > 900);
    // The youngest is still complete.
    let seen = run(&mut decoder, &[(0, fragment(false, 999, (64, false, &[0; 8])))]);
    assert_eq!(seen.datagrams.len(), 1);

    // One datagram alone may not exceed the bound either.
    let mut decoder = with(|config| config.max_bytes = 1000);
    let frames: Vec<_> = (0..100).map(|n| (0, fragment(false, 1, (n * 64, true, &[0; 64])))).collect();
    assert!(run(&mut decoder, &frames).events.contains(&"ipv4.frag_ignored"));
}

proptest! {
    /// Any fragmentation, order, repetition and interleaving of datagrams gives the datagrams back, once each.
    #[test]
    fn datagrams_survive_any_fragmentation(
        six: bool,
        sizes in prop::collection::vec((1usize..3000, 8usize..600, any::<u64>(), 0usize..3), 1..6),
        seed: u64,
    ) {
        let mut random = weir_synth::Random::new(seed);
        let mut frames = Vec::new();
        let mut expected = Vec::new();
        for (id, (length, size, order, repeats)) in sizes.into_iter().enumerate() {
            let payload = random.bytes(length);
            let whole = datagram(six, &payload);
            let how = Fragmentation { size, order: Order::Shuffled(order), overlap: 0 };
            let pieces = fragments(&whole, &how);
            if pieces.len() > 1 {
                expected.push(payload);
            }
            for (number, piece) in pieces.iter().enumerate() {
                // Repeat only while the datagram is not complete: behind that a repetition starts a new one.
                let again = if number + 1 < pieces.len() { repeats } else { 0 };
                for _ in 0..=again {
                    frames.push((0, fragment(six, id as u32, *piece)));
                }
            }
        }
        // Interleave by cutting and rotating: order within a datagram is random anyway, except for its last piece.
        let at = random.below(frames.len() as u64) as usize;
        let tail = frames.split_off(at);
        let mut decoder = with(|_| ());
        let first = run(&mut decoder, &frames);
        let second = run(&mut decoder, &tail);
        let mut found: Vec<_> =
            first.datagrams.into_iter().chain(second.datagrams).map(|(_, payload)| payload).collect();
        found.sort();
        expected.sort();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(first.bad + second.bad, 0);
    }
}
