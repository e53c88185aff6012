//! What tests of sessions share: segments, content, a session with its sink, and a naive model to compare with.

use crate::{OverlapPolicy, PacketResult, Session, SessionConfig, StreamSink};
use std::collections::BTreeMap;
use weir_packet::{Tcp, tcp_flags};

/// What is delivered: bytes, and lost ranges.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Delivered {
    /// Offset and byte.
    pub bytes: Vec<(u64, u8)>,
    /// Offset and length.
    pub gaps: Vec<(u64, u64)>,
}

/// One direction by reference semantics 2.6 to 2.8, a byte at a time, for policies that do not look at the extent of
/// segments (or for content that is consistent, under any policy).
#[derive(Debug, Default)]
pub struct Model {
    /// What was delivered.
    pub out: Delivered,
    /// Next offset to deliver.
    pub base: u64,
    /// End of the highest byte sent; for the caller's use.
    pub highest: u64,
    waiting: BTreeMap<u64, u8>,
    acknowledged: u64,
}

impl Model {
    /// A segment's payload.
    pub fn data(&mut self, start: u64, bytes: &[u8], policy: OverlapPolicy) {
        for (offset, byte) in (start..).zip(bytes).filter(|(offset, _)| *offset >= self.base) {
            if policy == OverlapPolicy::Last {
                self.waiting.insert(offset, *byte);
            } else {
                self.waiting.entry(offset).or_insert(*byte);
            }
        }
        self.deliver();
    }

    /// The other side acknowledges everything before `to`.
    pub fn acknowledge(&mut self, to: u64) {
        self.acknowledged = self.acknowledged.max(to);
        while let Some((&first, _)) = self.waiting.first_key_value()
            && first <= self.acknowledged
            && self.acknowledged > self.base
        {
            self.out.gaps.push((self.base, first - self.base));
            self.base = first;
            self.deliver();
        }
    }

    fn deliver(&mut self) {
        while let Some(byte) = self.waiting.remove(&self.base) {
            self.out.bytes.push((self.base, byte));
            self.base += 1;
        }
    }
}

/// A header without options.
pub fn tcp(sequence: u32, acknowledgement: u32, flags: u8) -> Tcp<'static> {
    Tcp { window: 65535, ..Tcp::bare(sequence, acknowledgement, flags) }
}

/// Takes what a session delivers.
#[derive(Debug, Default)]
pub struct Sink {
    /// By direction.
    pub data: [Vec<u8>; 2],
    /// Direction, offset, length.
    pub gaps: Vec<(usize, u64, u64)>,
    /// How often each direction has ended.
    pub ends: [u32; 2],
}

impl StreamSink for Sink {
    fn data(&mut self, d: usize, _offset: u64, bytes: &[u8]) {
        self.data[d].extend_from_slice(bytes);
    }
    fn gap(&mut self, d: usize, offset: u64, length: u64) {
        self.gaps.push((d, offset, length));
    }
    fn end(&mut self, d: usize) {
        self.ends[d] += 1;
    }
}

/// A session between 100 (initiator's next number) and 500, and what it has delivered.
#[derive(Debug)]
pub struct Rig {
    /// The session.
    pub session: Session,
    /// Its settings.
    pub config: SessionConfig,
    /// What it has delivered.
    pub sink: Sink,
}

impl Rig {
    /// After the handshake.
    pub fn open(config: SessionConfig) -> Rig {
        let mut rig = Rig { session: Session::default(), config, sink: Sink::default() };
        rig.send(0, 99, 0, tcp_flags::SYN, b"");
        rig.send(1, 499, 100, tcp_flags::SYN | tcp_flags::ACK, b"");
        assert!(rig.send(0, 100, 500, tcp_flags::ACK, b"").established);
        rig
    }

    /// One packet.
    pub fn send(&mut self, d: usize, sequence: u32, acknowledgement: u32, flags: u8, payload: &[u8]) -> PacketResult {
        let header = tcp(sequence, acknowledgement, flags);
        self.session.packet(&self.config, d, &header, payload, false, &mut self.sink)
    }
}

/// Bytes of a place in the stream; equal variants agree wherever they overlap.
pub fn content(start: u64, length: usize, variant: u8) -> Vec<u8> {
    (start..start + length as u64).map(|offset| (offset as u8).wrapping_mul(31) ^ variant << 6).collect()
}
