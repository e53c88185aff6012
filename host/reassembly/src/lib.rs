//! TCP sessions and streams: handshake, validity, in-order delivery, gaps, overlap policies.
//!
//! Place: after the flow table, before the parsers. A [`Session`] is fed every TCP packet of a flow, in frame order; it
//! hands contiguous bytes to a [`StreamSink`] the moment they are contiguous (reference semantics 2.6), borrowed from
//! the packet where nothing waited, or when they are acknowledged ([`Delivery::Acknowledged`]). Bytes once delivered are final; policies decide only between bytes that wait
//! behind a gap. Bounded: per direction `queue_limit` bytes wait (all sessions together: [`Budget`]), `depth` bytes are delivered.
//! It does not defragment, verify checksums, or time out.
#![forbid(unsafe_code)]

mod budget;
mod event;
mod policy;
mod queue;
mod session;
#[doc(hidden)]
pub mod testing;
mod window;

pub use budget::Budget;
pub use event::{StreamEvent, StreamEvents};
pub use policy::OverlapPolicy;
pub use session::{Delivery, PacketResult, Session, SessionConfig, State, StreamSink};
pub use window::RawWindow;

/// Entry point for fuzzing: interprets the input as a list of TCP segments and checks the invariants of delivery.
pub fn fuzz_reassembly(input: &[u8]) {
    struct Check {
        next: [u64; 2],
    }
    impl StreamSink for Check {
        fn data(&mut self, direction: usize, offset: u64, bytes: &[u8]) {
            assert_eq!(offset, self.next[direction], "delivery is contiguous");
            assert!(!bytes.is_empty());
            self.next[direction] += bytes.len() as u64;
        }
        fn gap(&mut self, direction: usize, offset: u64, length: u64) {
            assert_eq!(offset, self.next[direction]);
            self.next[direction] += length;
        }
        fn end(&mut self, _direction: usize) {}
    }
    let config =
        SessionConfig {
            queue_limit: 512,
            depth: 4096,
            midstream: input.len() & 1 != 0,
            delivery: if input.len() & 2 != 0 { Delivery::Acknowledged } else { Delivery::Arrival },
            one_sided: input.len() & 4 != 0,
            ..SessionConfig::default()
        };
    let mut session = Session::default();
    let mut sink = Check { next: [0; 2] };
    let payload = [0x5au8; 256];
    for chunk in input.chunks_exact(8) {
        let number = |at: usize| u32::from(u16::from_be_bytes([chunk[at], chunk[at + 1]])).wrapping_sub(0x8000);
        let tcp =
            weir_packet::Tcp { window: u16::from(chunk[5]) << 8, ..testing::tcp(number(0), number(2), chunk[4]) };
        let length = usize::from(chunk[6]);
        session.packet(&config, usize::from(chunk[7] & 1), &tcp, &payload[..length], chunk[7] & 0x80 != 0, &mut sink);
    }
    (0..2).for_each(|direction| session.deliver_rest(&config, direction, &mut sink));
}
