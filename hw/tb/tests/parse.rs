//! The parser in RTL against the model's, on made and on real frames, under stalls.

mod common;

use common::{Frame, made, real_frames, seed, setting};
use weir_contract::flow_key::Address;
use weir_contract::guards::Guard;
use weir_hw_tb::bits::BitReader;
use weir_hw_tb::{Harness, Model, Run, STALLS, Stalls};
use weir_sim::parse::{ParseConfig, Parsed, TcpFacts, parse};

const OUT_STRIDE: usize = 160;
/// From the last beat of a frame to its result, in the wrapper one more for the queue.
const LATENCY: u64 = 26 + 1;
const TUNNEL_PORTS: [u16; 8] = [4789, 6081, 3544, 2152, 0, 0, 0, 0];

/// What a frame gave: the model's answer, and the bytes that later stages take.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    parsed: Parsed,
    length: usize,
    first: Vec<u8>,
    last: Vec<u8>,
}

fn beats(frame: &Frame, checksums: bool, bytes: usize, out: &mut Vec<u8>) -> usize {
    let chunks: Vec<&[u8]> = if frame.data.is_empty() { vec![&[]] } else { frame.data.chunks(bytes).collect() };
    for (n, chunk) in chunks.iter().enumerate() {
        let begin = out.len();
        out.extend(*chunk);
        // What stands behind the frame must not matter; this would make an LLC header a SNAP header.
        out.resize(begin + bytes, 0xaa);
        out.extend([chunk.len() as u8, u8::from(n + 1 == chunks.len())]);
        out.extend(frame.link.to_le_bytes());
        out.extend(frame.wire_length.to_le_bytes());
        out.push(u8::from(checksums));
        out.resize(begin + bytes + 16, 0);
        TUNNEL_PORTS.iter().for_each(|port| out.extend(port.to_le_bytes()));
    }
    chunks.len()
}

fn expected(frame: &Frame, checksums: bool) -> Answer {
    let config = ParseConfig { checksums, tunnel_ports: TUNNEL_PORTS };
    let parsed = parse(&config, frame.link, &frame.data, frame.wire_length);
    let payload = if parsed.keyed { &frame.data[parsed.payload.0..parsed.payload.1] } else { &[] };
    Answer {
        parsed,
        length: frame.data.len(),
        first: payload[..payload.len().min(16)].to_vec(),
        last: payload[payload.len().saturating_sub(7)..].to_vec(),
    }
}

/// Fields of `parsed_t`, last first.
fn answer(bytes: &[u8]) -> Answer {
    let mut r = BitReader::new(bytes);
    let last: [u8; 7] = r.array();
    let last_count = r.number(3) as usize;
    let first: [u8; 16] = r.array();
    let first_count = r.number(5) as usize;
    let length = r.number(20) as usize;
    let (code, kind, icmp) = (r.number(8) as u8, r.number(8) as u8, r.flag());
    let (timestamp, has_timestamp) = (r.number(32) as u32, r.flag());
    let flags = r.number(8) as u8;
    let (acknowledgement, sequence, tcp) = (r.number(32) as u32, r.number(32) as u32, r.flag());
    let (end, start) = (r.number(20) as usize, r.number(20) as usize);
    let vlan = [r.number(12) as u16, r.number(12) as u16];
    let keyed = r.flag();
    let protocol = r.number(8) as u8;
    let (destination_port, source_port) = (r.number(16) as u16, r.number(16) as u16);
    let destination: [u8; 16] = r.array();
    let source: [u8; 16] = r.array();
    let (six, has_ends) = (r.flag(), r.flag());
    let guards = r.number(64);
    let address = |bytes: [u8; 16]| {
        if six { Address::V6(bytes) } else { Address::V4([bytes[0], bytes[1], bytes[2], bytes[3]]) }
    };
    let timestamp = has_timestamp.then_some(timestamp);
    Answer {
        parsed: Parsed {
            guards,
            ends: has_ends.then(|| (address(source), address(destination))),
            ports: (source_port, destination_port),
            protocol,
            keyed,
            vlan,
            payload: (start, end),
            tcp: tcp.then_some(TcpFacts { sequence, acknowledgement, flags, timestamp }),
            icmp: icmp.then_some((kind, code)),
        },
        length,
        first: first[..first_count].to_vec(),
        last: last[7 - last_count..].to_vec(),
    }
}

fn run(
    model: Model,
    bytes: usize,
    frames: &[Frame],
    checksums: bool,
    seed: u64,
    stalls: Stalls,
) -> Option<(Run, Vec<usize>)> {
    let mut harness = Harness::new(model)?;
    let mut input = Vec::new();
    let mut last = Vec::new();
    for frame in frames {
        let count = beats(frame, checksums, bytes, &mut input);
        last.push(last.last().map_or(0, |n: &usize| n + 1) + count - 1);
    }
    let run = harness.run(&input, bytes + 32, frames.len(), OUT_STRIDE, seed, stalls, 40);
    Some((run, last))
}

fn compare(model: Model, bytes: usize, frames: &[Frame], seed: u64) -> u64 {
    let mut guards = 0;
    for (n, stalls) in STALLS.into_iter().enumerate() {
        let checksums = n % 2 == 0;
        let Some((run, last)) = run(model, bytes, frames, checksums, seed, stalls) else { return 0 };
        assert_eq!(run.out_cycles.len(), frames.len(), "one result for each frame, {stalls:?}, WEIR_SEED={seed}");
        for (i, (frame, out)) in frames.iter().zip(run.out.chunks(OUT_STRIDE)).enumerate() {
            let want = expected(frame, checksums);
            let got = answer(out);
            assert_eq!(
                got,
                want,
                "frame {i} ({}, link {}): {:02x?}, {stalls:?}, WEIR_SEED={seed}",
                frame.origin,
                frame.link,
                &frame.data[..frame.data.len().min(400)]
            );
            guards |= want.parsed.guards;
            if stalls == STALLS[0] {
                assert_eq!(run.out_cycles[i] - run.in_cycles[last[i]], LATENCY, "latency of frame {i}");
            }
        }
        if stalls == STALLS[0] {
            let beats = run.in_cycles.len() as u64;
            assert_eq!(run.in_cycles[beats as usize - 1] - run.in_cycles[0], beats - 1, "one beat per cycle");
        }
    }
    guards
}

/// Every guard of the parser.
fn parse_guards() -> u64 {
    use Guard::*;
    [
        NonIp,
        MalformedLink,
        MalformedIp,
        MalformedTransport,
        IpOptions,
        IpFragment,
        TunnelIp,
        TunnelGre,
        TunnelMpls,
        TunnelPppoe,
        TunnelUdp,
        VlanDepth,
        ExtHeaderUnknown,
        ExtHeader,
        ChecksumIp,
        ChecksumL4,
        TruncatedCapture,
        UnsupportedLink,
        TcpOptionsOdd,
        IcmpError,
        HeaderOdd,
        TcpFlagsOdd,
        Urgent,
        Reset,
    ]
    .iter()
    .fold(0, |set, guard| set | guard.bit())
}

fn on_made_frames(model: Model, bytes: usize, who: &str) {
    if Harness::or_skip(model, who).is_none() {
        return;
    }
    let seed = seed();
    let mut frames = made::frames(seed, setting("WEIR_FRAMES", 6_000), 300);
    // Boundaries: every length around a beat, and far more than a packet can hold.
    let whole = frames.iter().find(|f| f.link == 1 && f.data.len() > 150).cloned().unwrap();
    for length in 0..whole.data.len().min(200) {
        frames.push(Frame { data: whole.data[..length].to_vec(), wire_length: length as u32, ..whole.clone() });
    }
    let mut long = whole.clone();
    long.data.resize(70_000, 7);
    frames.push(long);
    // 802.3 frames cut around their LLC header, which may lie across beats.
    for tags in 0..4 {
        for length in 0..4 {
            let mut data = vec![0; 12];
            (0..tags).for_each(|_| data.extend([0x81, 0, 0, 5]));
            data.extend([0, 38]);
            data.resize(data.len() + length, 0xaa);
            frames.push(Frame { link: 1, wire_length: data.len() as u32, data, origin: "made".into() });
        }
    }
    frames.push(whole);
    let seen = compare(model, bytes, &frames, seed);
    assert_eq!(seen & parse_guards(), parse_guards(), "every guard of the parser occurs");
}

#[test]
fn made_frames() {
    on_made_frames(Model::Parse, 64, "made_frames");
}

#[test]
fn made_frames_with_narrow_beats() {
    on_made_frames(Model::ParseNarrow, 16, "made_frames_with_narrow_beats");
}

#[test]
fn frames_of_captures() {
    if Harness::or_skip(Model::Parse, "frames_of_captures").is_none() {
        return;
    }
    let frames = real_frames("frames_of_captures", 1, setting("WEIR_FRAMES", 8), 70_000);
    if frames.is_empty() {
        return;
    }
    assert!(frames.len() > 5_000, "only {} frames", frames.len());
    compare(Model::Parse, 64, &frames, seed());
}
