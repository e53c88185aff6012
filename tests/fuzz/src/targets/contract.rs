//! The contract's own functions: layouts, protocol detection, sequence classes, payload facts.

use crate::Target;
use crate::random::Bytes;
use weir_contract::guards::Guard;
use weir_contract::layouts as l;
use weir_contract::protocol::{Carrier, Detection, Detector};
use weir_contract::sequence::SequenceState;
use weir_contract::{facts, fold, hidden};

/// The targets of this room.
pub fn targets() -> [Target; 3] {
    [
        Target::new(
            "contract-layouts",
            "descriptors, records, commands, image headers and blocks: what is read is written back; validated descriptors \
             keep their promises",
            layouts,
            || vec![vec![0; 128], (0..=255).collect(), vec![0xff; 128]],
        ),
        Target {
            dictionary: &[
                b"GET ", b"POST ", b"HTTP/1.", b"\r\n", b"SSH-", b"\x16\x03\x01", b"\xffSMB", b"\xfeSMB", b"220 ", b"EHLO ", b"USER ",
                b"PRI * HTTP/2.0", b"\x00\x00\x00\x54", b"\x12\x34\x01\x00\x00\x01",
            ],
            ..Target::new(
                "contract-detection",
                "protocol detection: the answer depends on the bytes of the directions and their order, not on how they are cut",
                detection,
                || {
                    let texts: [&[u8]; 5] = [
                        b"\x00\x00\x50\x00GET / HTTP/1.1\r\nHTTP/1.1 200 OK\r\n",
                        b"\x01\x05\xbb\x01\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03\x03",
                        b"\x02\x03\x35\x00\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00",
                        b"\x00\x07\x16\x00SSH-2.0-OpenSSH\r\nSSH-2.0-x\r\n",
                        b"\x00\x02\x19\x00220 mail ESMTP\r\nEHLO a\r\n",
                    ];
                    texts.iter().map(|text| text.to_vec()).collect()
                },
            )
        },
        Target::new(
            "contract-facts",
            "sequence classes and payload facts of any segments: no panic, facts are among those asked for, a wider question \
             has a wider answer",
            sequence_and_facts,
            || vec![b"\x00\x01\x02\x03GET /a%20b//c/../d HTTP/1.1\r\nHost: x\r\n y: z\r\n\r\n".to_vec(), vec![0x55; 64]],
        ),
    ]
}

/// Reading, writing and reading again is reading.
macro_rules! again {
    ($bytes:expr, $($layout:ident)*) => {
        $(
            if let Some(value) = l::$layout::read($bytes) {
                let written = value.to_bytes();
                assert_eq!(l::$layout::from_bytes(&written), value, stringify!($layout));
            } else {
                assert!($bytes.len() < l::$layout::SIZE, stringify!($layout));
            }
        )*
    };
}

fn layouts(bytes: &[u8]) {
    weir_device::driver::validate::fuzz_descriptor(bytes);
    for at in 0..bytes.len().min(16) {
        let bytes = bytes.get(at..).unwrap_or_default();
        again!(bytes, FlowKey Descriptor HistoryHeader FlowRecord TxEntry QueueStatus Capability ImageHeader BlockEntry
            LengthGeometry Geometry HashConstants Limits ExactEntry ListRange GuardParameters Record AddressPrefixV4
            AddressPrefixV6);
    }
}

fn detection(bytes: &[u8]) {
    let mut rest = Bytes(bytes);
    let (carrier, cuts) = (rest.u8(), rest.u8());
    let port = rest.u16();
    let carrier = if carrier & 3 == 2 { Carrier::Udp } else { Carrier::Tcp };
    let (mut whole, mut cut) = (Detector::default(), Detector::default());
    let mut answers = Vec::new();
    let mut direction = 0;
    while !rest.is_empty() {
        let length = 1 + usize::from(rest.0.first().copied().unwrap_or(0) % 24);
        let piece = rest.take(length);
        let before = whole.answer();
        let answer = whole.push(carrier, 40000, port, direction, piece);
        if before != Detection::Unknown {
            assert_eq!(answer, before, "an answer stands");
        }
        answers.push(answer);
        match carrier {
            Carrier::Tcp => piece.chunks(1 + usize::from(cuts % 5)).for_each(|part| {
                cut.push(carrier, 40000, port, direction, part);
            }),
            Carrier::Udp => {
                cut.push(carrier, 40000, port, direction, piece);
            }
        }
        assert_eq!(cut.answer(), answer, "{piece:?}");
        if answer == Detection::Unknown {
            assert_eq!(cut.first_bytes(direction), whole.first_bytes(direction));
        }
        if cuts & 0x80 != 0 && piece.len() == 3 {
            whole.lost(direction);
            cut.lost(direction);
        }
        direction = usize::from(cuts >> (answers.len() % 7) & 1);
    }
}

fn sequence_and_facts(bytes: &[u8]) {
    let mut rest = Bytes(bytes);
    let mut state = SequenceState::default();
    let mut parameters = l::GuardParameters::read(bytes).unwrap_or(l::GuardParameters::ZERO);
    if bytes.len() % 2 == 0 {
        parameters = l::GuardParameters::ZERO;
    }
    let wanted = rest.u64();
    let mut segments = Bytes(rest.0);
    while !segments.is_empty() {
        let (sequence, acknowledgement) = (segments.u32(), segments.u32());
        let (flags, length) = (segments.u8(), segments.u16());
        state.update(usize::from(flags >> 7), sequence, acknowledgement, flags & 0x3f, length.into());
    }
    let payload = rest.0;
    let (tail, payload) = payload.split_at(payload.len().min(7).min(usize::from(wanted as u8 & 7)));
    for datagram in [false, true] {
        let some = facts::payload_facts(wanted, &parameters, datagram, tail, payload);
        let all = facts::payload_facts(u64::MAX, &parameters, datagram, tail, payload);
        assert_eq!(some & !wanted, 0);
        assert_eq!(all & wanted, some & wanted, "a fact does not depend on what else is asked");
        assert_eq!(all & !facts::ALL, 0);
    }
    let _ = Guard::from_raw(wanted as u8);
    for length in 4..=8 {
        if let Some(window) = fold::window(payload, 0, length) {
            assert_eq!(fold::fold_word(fold::fold_word(window)), fold::fold_word(window));
        }
    }
    let _ = hidden::uri(payload);
}
