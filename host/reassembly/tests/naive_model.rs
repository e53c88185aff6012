//! Sessions against a naive model: a map from stream offset to byte, one byte at a time.

use proptest::prelude::*;
use weir_contract::sequence::{SegmentClass, SequenceState};
use weir_packet::Tcp;
use weir_packet::tcp_flags::{ACK, SYN};
use weir_reassembly::testing::{Delivered, Model, content, tcp};
use weir_reassembly::{OverlapPolicy, Session, SessionConfig, StreamSink};

#[derive(Default)]
struct Sink(Delivered);

impl StreamSink for Sink {
    fn data(&mut self, direction: usize, offset: u64, bytes: &[u8]) {
        assert_eq!(direction, 0);
        self.0.bytes.extend((offset..).zip(bytes.iter().copied()));
    }
    fn gap(&mut self, _direction: usize, offset: u64, length: u64) {
        self.0.gaps.push((offset, length));
    }
    fn end(&mut self, _direction: usize) {}
}

#[derive(Debug, Clone)]
enum Step {
    /// Start, length, and which content.
    Data(u64, usize, u8),
    /// Acknowledge this share (of 16) of the highest byte sent.
    Ack(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0u64..300, 1usize..40, 0u8..3).prop_map(|(start, length, content)| Step::Data(start, length, content)),
        1 => (0u64..17).prop_map(Step::Ack),
    ]
}

fn run(steps: &[Step], isn: u32, policy: OverlapPolicy, consistent: bool) -> Result<(), TestCaseError> {
    let config = SessionConfig { policy, ..SessionConfig::default() };
    let mut session = Session::default();
    let mut sink = Sink::default();
    let mut model = Model::default();
    let mut shared = SequenceState::default();
    let mut highest = 0;
    let mut send = |session: &mut Session, sink: &mut Sink, direction: usize, tcp: Tcp<'_>, payload: &[u8]| {
        let class = shared.update(direction, tcp.sequence, tcp.acknowledgement, tcp.flags, payload.len() as u32);
        let result = session.packet(&config, direction, &tcp, payload, false, sink);
        assert_eq!(result.class, class);
        class
    };
    let first = isn.wrapping_add(1);
    send(&mut session, &mut sink, 0, tcp(isn, 0, SYN), b"");
    send(&mut session, &mut sink, 1, tcp(5000, first, SYN | ACK), b"");
    send(&mut session, &mut sink, 0, tcp(first, 5001, ACK), b"");
    for step in steps {
        match *step {
            Step::Data(start, length, variant) => {
                let bytes = content(start, length, if consistent { 0 } else { variant });
                let header = tcp(first.wrapping_add(start as u32), 5001, ACK);
                let class = send(&mut session, &mut sink, 0, header, &bytes);
                highest = highest.max(start + length as u64);
                if class != SegmentClass::Acked {
                    model.data(start, &bytes, policy);
                }
            }
            Step::Ack(share) => {
                let to = highest * share / 16;
                send(&mut session, &mut sink, 1, tcp(5001, first.wrapping_add(to as u32), ACK), b"");
                model.acknowledge(to);
            }
        }
        prop_assert_eq!(&sink.0, &model.out);
        prop_assert_eq!(session.delivered(0), model.base);
    }
    if consistent {
        for (offset, byte) in &sink.0.bytes {
            prop_assert_eq!(*byte, content(*offset, 1, 0)[0]);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_segmentation_gives_the_stream_back(steps in prop::collection::vec(step(), 1..120), isn: u32) {
        run(&steps, isn, OverlapPolicy::Bsd, true)?;
    }

    #[test]
    fn sequence_numbers_wrap(steps in prop::collection::vec(step(), 1..120), before in 0u32..400) {
        run(&steps, u32::MAX - before, OverlapPolicy::Linux, true)?;
    }

    #[test]
    fn first_keeps_and_last_replaces_what_waits(
        steps in prop::collection::vec(step(), 1..120),
        last: bool,
        isn: u32,
    ) {
        run(&steps, isn, if last { OverlapPolicy::Last } else { OverlapPolicy::First }, false)?;
    }

    /// While a direction has nothing but in-order, empty and acknowledged segments, its stream is the concatenation of
    /// the in-order payloads: what release and the device's own scanning rest on.
    #[test]
    fn without_trouble_the_stream_is_the_in_order_payloads(steps in prop::collection::vec(step(), 1..60), isn: u32) {
        let config = SessionConfig::default();
        let (mut session, mut sink) = (Session::default(), Sink::default());
        let first = isn.wrapping_add(1);
        session.packet(&config, 0, &tcp(isn, 0, SYN), b"", false, &mut sink);
        session.packet(&config, 1, &tcp(5000, first, SYN | ACK), b"", false, &mut sink);
        session.packet(&config, 0, &tcp(first, 5001, ACK), b"", false, &mut sink);
        let (mut expected, mut highest) = (Vec::new(), 0u64);
        for step in steps {
            match step {
                // Mostly in order: start at the highest byte, sometimes a little before.
                Step::Data(start, length, _) => {
                    let start = if start % 4 == 0 { highest.saturating_sub(start) } else { highest };
                    let bytes = content(start, length, start as u8);
                    let header = tcp(first.wrapping_add(start as u32), 5001, ACK);
                    match session.packet(&config, 0, &header, &bytes, false, &mut sink).class {
                        SegmentClass::InOrder => expected.extend(bytes),
                        SegmentClass::Acked | SegmentClass::Empty => {}
                        _ => break,
                    }
                    highest = highest.max(start + length as u64);
                }
                Step::Ack(share) => {
                    let to = highest * share / 16;
                    let header = tcp(5001, first.wrapping_add(to as u32), ACK);
                    session.packet(&config, 1, &header, b"", false, &mut sink);
                }
            }
            let bytes: Vec<u8> = sink.0.bytes.iter().map(|(_, byte)| *byte).collect();
            prop_assert_eq!(&bytes, &expected);
            prop_assert!(sink.0.gaps.is_empty());
            prop_assert!(session.is_level());
        }
    }

    #[test]
    fn arbitrary_segments_never_panic(input in prop::collection::vec(any::<u8>(), 0..800)) {
        weir_reassembly::fuzz_reassembly(&input);
    }
}
