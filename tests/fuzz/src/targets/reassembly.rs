//! TCP reassembly against a naive model.

use crate::Target;
use crate::random::Bytes;
use weir_contract::sequence::SegmentClass;
use weir_packet::tcp_flags;
use weir_reassembly::testing::{Model, content, tcp};
use weir_reassembly::{OverlapPolicy, Session, SessionConfig, StreamSink, fuzz_reassembly};

/// The targets of this room.
pub fn targets() -> [Target; 2] {
    [
        Target {
            // 256 KiB may wait; pieces and bookkeeping take a few times that.
            memory: 4 << 20,
            ..Target::new(
                "reassembly",
                "segments of both directions with overlaps, gaps and wrapping numbers: what is delivered is what a map from \
                 offset to byte says; what waits is bounded",
                against_model,
                own,
            )
        },
        Target {
            memory: 1 << 20,
            ..Target::new(
                "reassembly-wild",
                "arbitrary flags, numbers and checksums: delivery is contiguous, what waits is bounded",
                fuzz_reassembly,
                || {
                    let syn = [0, 0, 0, 0, 2, 255, 0, 0, 0x10, 0, 0, 1, 0x12, 255, 0, 1, 0, 1, 0x10, 1, 0x10, 255, 0, 0];
                    let data = [0, 1, 0x10, 1, 0x18, 255, 20, 0, 0, 41, 0x10, 1, 0x18, 255, 20, 0, 0x10, 1, 0, 61, 0x10, 255, 0, 1];
                    vec![[&syn[..], &data].concat(), [&data[..], &syn, &data].concat()]
                },
            )
        },
    ]
}

fn own() -> Vec<Vec<u8>> {
    // In order, out of order with a gap that an acknowledgement closes, overlaps of other content, a FIN.
    let step = |kind: u8, start: u16, length: u8, content: u8| [&[kind][..], &start.to_le_bytes(), &[length, content]].concat();
    let head = |isn: u32, policy: u8| [&isn.to_le_bytes()[..], &[policy]].concat();
    let mut found = Vec::new();
    for (isn, policy) in [(1000, 0), (u32::MAX - 40, 1), (u32::MAX, 2), (0x7fff_fff0, 3)] {
        found.push([head(isn, policy), step(0, 0, 20, 0), step(1, 0, 9, 1), step(0, 20, 20, 0), step(2, 0, 16, 0)].concat());
        found.push(
            [head(isn, policy), step(0, 30, 20, 0), step(0, 25, 10, 1), step(0, 45, 20, 2), step(2, 0, 8, 0), step(0, 0, 30, 0)]
                .concat(),
        );
        found.push([head(isn, policy), step(0, 0, 10, 0), step(4, 0, 0, 0), step(0, 0, 12, 1), step(2, 0, 16, 0)].concat());
    }
    found
}

#[derive(Default)]
struct Sink {
    bytes: [Vec<(u64, u8)>; 2],
    gaps: [Vec<(u64, u64)>; 2],
    ended: [bool; 2],
}

impl StreamSink for Sink {
    fn data(&mut self, direction: usize, offset: u64, bytes: &[u8]) {
        assert!(!self.ended[direction], "data behind the end");
        self.bytes[direction].extend((offset..).zip(bytes.iter().copied()));
    }
    fn gap(&mut self, direction: usize, offset: u64, length: u64) {
        self.gaps[direction].push((offset, length));
    }
    fn end(&mut self, direction: usize) {
        assert!(!std::mem::replace(&mut self.ended[direction], true), "one end");
    }
}

/// Input: initial sequence number u32, policy u8, then steps of kind u8, start u16, length u8, content u8.
fn against_model(input: &[u8]) {
    let mut rest = Bytes(input);
    let isn = [rest.u32(), 0xffff_fff0];
    // Under these the model needs no extents of segments; the others are compared on consistent content.
    let (policy, consistent) = match rest.u8() % 7 {
        0 => (OverlapPolicy::First, false),
        1 => (OverlapPolicy::Last, false),
        2 => (OverlapPolicy::Bsd, true),
        3 => (OverlapPolicy::Linux, true),
        4 => (OverlapPolicy::Windows, true),
        5 => (OverlapPolicy::BsdRight, true),
        _ => (OverlapPolicy::Solaris, true),
    };
    let config = SessionConfig { policy, ..SessionConfig::default() };
    let (mut session, mut sink) = (Session::default(), Sink::default());
    let mut models = [Model::default(), Model::default()];
    let first = isn.map(|n| n.wrapping_add(1));
    session.packet(&config, 0, &tcp(isn[0], 0, tcp_flags::SYN), b"", false, &mut sink);
    session.packet(&config, 1, &tcp(isn[1], first[0], tcp_flags::SYN | tcp_flags::ACK), b"", false, &mut sink);
    session.packet(&config, 0, &tcp(first[0], first[1], tcp_flags::ACK), b"", false, &mut sink);
    // What each side has acknowledged last, so that data segments repeat it.
    let mut acked = [0u64; 2];
    while !rest.is_empty() {
        let (kind, start, length, variant) = (rest.u8(), u64::from(rest.u16() % 4096), usize::from(rest.u8()), rest.u8());
        let d = usize::from(kind & 1);
        let at = |direction: usize, offset: u64| first[direction].wrapping_add(offset as u32);
        match kind >> 1 & 3 {
            0 | 3 if length > 0 => {
                let start = if kind & 0x80 != 0 { models[d].highest + start % 32 } else { start };
                let bytes = content(start, length, if consistent { 0 } else { variant & 3 });
                let header = tcp(at(d, start), at(1 - d, acked[d]), tcp_flags::ACK);
                let result = session.packet(&config, d, &header, &bytes, false, &mut sink);
                models[d].highest = models[d].highest.max(start + length as u64);
                if result.class != SegmentClass::Acked {
                    models[d].data(start, &bytes, policy);
                }
                // Every packet of a side says again what it has acknowledged.
                models[1 - d].acknowledge(acked[d]);
            }
            1 => {
                // The other side acknowledges a share of what was sent.
                let to = models[d].highest * (length as u64 % 17) / 16;
                acked[1 - d] = acked[1 - d].max(to);
                let header = tcp(at(1 - d, models[1 - d].base), at(d, acked[1 - d]), tcp_flags::ACK);
                session.packet(&config, 1 - d, &header, b"", false, &mut sink);
                models[d].acknowledge(acked[1 - d]);
            }
            _ => {}
        }
        for d in 0..2 {
            assert_eq!(session.delivered(d), models[d].base, "delivered, direction {d}");
        }
    }
    for (d, model) in models.iter().enumerate() {
        assert_eq!(sink.gaps[d], model.out.gaps, "gaps of direction {d}");
        assert_eq!(sink.bytes[d], model.out.bytes, "bytes of direction {d}");
    }
}
