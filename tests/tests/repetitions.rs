//! A repetition that the device lets pass (decision 0041) changes nothing at the host, whatever came before it: random
//! segments of one connection through the model's parse stage and through the host's session.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use weir_contract::flow_key::{Address, flow_key};
use weir_contract::guards::Guard;
use weir_contract::sequence::{ACK, FIN, RST, SYN, URG};
use weir_packet::{Tcp, protocols};
use weir_reassembly::{Session, SessionConfig, StreamSink};
use weir_sim::flow::{HostStreams, HostTimeouts, ParseState};
use weir_sim::parse::{ParseConfig, parse};
use weir_sim::pipeline::Arrival;
use weir_synth::Random;
use weir_synth::wire::{self, Addresses, IpFields, TcpFields};

/// Link type of bare IP packets.
const RAW: u16 = 101;
const ENDS: [([u8; 4], u16); 2] = [([10, 0, 0, 1], 40_000), ([10, 0, 0, 2], 80)];

#[derive(Debug, Clone, Copy)]
struct Segment {
    d: usize,
    sequence: u32,
    acknowledgement: u32,
    flags: u8,
    window: u16,
    timestamp: Option<u32>,
    bad: bool,
    length: usize,
}

impl Segment {
    /// Its bytes, those of its header, and the packet.
    fn bytes(&self, fill: u8) -> (Vec<u8>, usize, Vec<u8>) {
        let (source, destination) = (ENDS[self.d], ENDS[1 - self.d]);
        let addresses = Addresses { source: source.0.into(), destination: destination.0.into() };
        let options = match self.timestamp {
            Some(value) => [&[1, 1, 8, 10][..], &value.to_be_bytes(), &[0; 4]].concat(),
            None => Vec::new(),
        };
        let header = 20 + options.len();
        let fields = TcpFields {
            source: source.1,
            destination: destination.1,
            sequence: self.sequence,
            acknowledgement: self.acknowledgement,
            flags: self.flags,
            window: self.window,
            options,
            bad_checksum: self.bad,
            ..TcpFields::default()
        };
        let segment = wire::tcp(addresses, &fields, &vec![fill; self.length]);
        let packet = wire::ip(addresses, protocols::TCP, &IpFields::default(), &segment);
        (segment, header, packet)
    }
}

struct Nobody;

impl StreamSink for Nobody {
    fn data(&mut self, _direction: usize, _offset: u64, _bytes: &[u8]) {}
    fn gap(&mut self, _direction: usize, _offset: u64, _length: u64) {}
    fn end(&mut self, _direction: usize) {}
}

/// The next segment: mostly what a connection would send, now and then anything; the wilder, the more of it.
fn next(random: &mut Random, sent: &mut [u32; 2], clock: u32, handshake: usize, stamps: bool, wild: u64) -> Segment {
    let d = random.below(2) as usize;
    let odds = |one_in: u64| one_in * wild;
    let timestamp = stamps.then(|| match random.below(odds(12)) {
        0 => clock.wrapping_sub(random.below(8) as u32),
        1 => clock.wrapping_add(random.below(40) as u32),
        _ => clock,
    });
    let odd = |random: &mut Random, value: u32, one_in: u64| match random.one_in(one_in) {
        true => value.wrapping_add(random.below(60) as u32).wrapping_sub(30),
        false => value,
    };
    // (Most of what is sent again is not acknowledged.)
    let lag = random.below(80) as u32;
    let mut s = Segment {
        d,
        sequence: sent[d],
        acknowledgement: odd(random, sent[1 - d].wrapping_sub(lag), odds(5)),
        flags: ACK,
        window: if random.one_in(odds(20)) { 8 } else { 60_000 },
        timestamp,
        bad: random.one_in(odds(30)),
        length: random.below(20) as usize,
    };
    match handshake {
        0 => (s.d, s.sequence, s.acknowledgement, s.flags, s.length) = (0, sent[0].wrapping_sub(1), 0, SYN, 0),
        1 => (s.d, s.sequence, s.acknowledgement, s.flags, s.length) = (1, sent[1].wrapping_sub(1), sent[0], SYN | ACK, 0),
        2 => (s.d, s.sequence, s.acknowledgement, s.length) = (0, sent[0], sent[1], 0),
        _ => {}
    }
    if handshake < 3 {
        s.bad = false;
        if random.one_in(odds(12)) {
            s.acknowledgement = s.acknowledgement.wrapping_add(random.below(3) as u32).wrapping_sub(1);
            s.length = random.below(4) as usize;
        }
        return s;
    }
    match random.below(odds(27)) {
        // Something lost.
        0 => s.sequence = s.sequence.wrapping_add(random.below(30) as u32),
        1 => s.flags |= [FIN, RST, URG, SYN][random.below(4) as usize],
        2 => s.acknowledgement = s.acknowledgement.wrapping_add(random.below(1 << 22) as u32),
        3 => s.flags = 0,
        // Something sent before.
        _ if random.one_in(3) => s.sequence = s.sequence.wrapping_sub(random.below(60) as u32),
        _ => {}
    }
    let end = s.sequence.wrapping_add(s.length as u32);
    if (end.wrapping_sub(sent[d]) as i32) > 0 {
        sent[d] = end;
    }
    s
}

fn text(log: &[Segment]) -> String {
    log.iter().map(|segment| format!("{segment:?}\n")).collect()
}

#[test]
fn what_passes_as_repeated_changes_nothing() {
    let seed = std::env::var("WEIR_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(1);
    let mut passed = 0;
    for round in 0..20_000 {
        let mut random = Random::new(seed * 1_000_003 + round);
        let wild = random.pick(&[1, 2, 8]);
        let mut session = Session::default();
        let config = SessionConfig::default();
        let mut state: Option<ParseState> = None;
        let mut sent = [random.next() as u32, random.next() as u32];
        let (stamps, skip) = (random.one_in(2), random.below(3 * wild));
        let mut log = Vec::new();
        for n in 0..40_u64 {
            let handshake = if skip == 0 && random.one_in(3) { 3 } else { n.min(3) as usize };
            let segment = next(&mut random, &mut sent, 1000 + n as u32, handshake, stamps, wild);
            log.push(segment);
            let (bytes, header, packet) = segment.bytes(random.next() as u8);
            let (header, payload) = bytes.split_at(header);
            let config_of_device = ParseConfig { checksums: true, tunnel_ports: [0; 8] };
            let parsed = parse(&config_of_device, RAW, &packet, packet.len() as u32);
            let [a, b] = [segment.d, 1 - segment.d].map(|d| (Address::V4(ENDS[d].0), ENDS[d].1));
            let (key, from_lower) = flow_key(a, b, 6, [0; 2]);
            let created = state.is_none();
            let now = 1_000_000_000 + n * 1_000;
            let state = state.get_or_insert_with(|| ParseState::begin(from_lower, parsed.tcp.as_ref(), n, now));
            let arrival = Arrival {
                key: &key,
                from_lower,
                created,
                number: n,
                now,
                length: packet.len() as u64,
                parsed: &parsed,
                payload,
            };
            let timeouts = HostTimeouts { host: [60_000_000_000; 8], margin: 0 };
            let staged = state.follow(&arrival, &timeouts, HostStreams { midstream: false, window: 2560 });
            let waited = [0, 1].map(|d| session.is_waiting(d));
            let delivered = session.delivered(segment.d);
            let tcp = Tcp {
                window: segment.window,
                timestamp: segment.timestamp.map(|value| (value, 0)),
                header,
                ..Tcp::bare(segment.sequence, segment.acknowledgement, segment.flags)
            };
            session.packet(&config, segment.d, &tcp, payload, segment.bad, &mut Nobody);
            let diverts = Guard::ALL.iter().any(|guard| guard.always() && staged.guards & guard.bit() != 0);
            if staged.guards & Guard::SequenceRetransmission.bit() != 0 && !diverts {
                passed += 1;
                assert!(!waited[segment.d], "round {round}, segment {n}: bytes wait at the host\n{}", text(&log));
                assert_eq!(
                    delivered,
                    session.delivered(segment.d),
                    "round {round}, segment {n}: the host reads it\n{}",
                    text(&log)
                );
                assert!(!session.is_waiting(segment.d), "round {round}, segment {n}: it waits at the host\n{}", text(&log));
            }
        }
    }
    assert!(passed > 10_000, "{passed} repetitions passed: too few to tell anything");
}
