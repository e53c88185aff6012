//! Frames of interfaces: repaired, and answered where they are rejected; what the kernel says of its packet queues.

use crate::Target;
use weir_live::repair::{Offload, complete_checksum, restore_tag, segment};
use weir_packet::link_types;
use weir_response::{End, answers};

/// The targets of this room.
pub fn targets() -> [Target; 3] {
    let frames = || -> Vec<Vec<u8>> {
        let example = weir_synth::example::example(3, 4).frames;
        example.into_iter().step_by(5).map(|frame| [&[1, 1, 0, 0, 100, 0, 34, 0, 16, 0, 0][..], &frame.bytes].concat()).collect()
    };
    let dictionary: &[&[u8]] = &[b"\x81\x00\x00\x05", b"\x86\xdd\x60", b"\x08\x00\x45", b"\x06", b"\x11"];
    [
        Target {
            dictionary,
            ..Target::new(
                "live-repair",
                "any frame and offload header: what is cut out holds the payload once, in order, and nothing panics",
                |bytes| {
                    let Some((header, rest)) = bytes.split_first_chunk::<10>() else { return };
                    let (start, mut frame) = (usize::from(rest.first().copied().unwrap_or(0) & 7), rest.to_vec());
                    let offload = Offload::new(header);
                    if let Some(at) = offload.checksum {
                        complete_checksum(&mut frame, at);
                    }
                    if let Some(how) = offload.segments {
                        let (mut length, mut parts) = (0, 0);
                        if segment(&frame, how, &mut |part| {
                            length += part.len();
                            parts += 1;
                        }) {
                            assert!(parts > 0 && length >= frame.len());
                        }
                    }
                    restore_tag(&mut frame, start, (0x8100, 5));
                },
                frames,
            )
        },
        Target {
            dictionary,
            ..Target::new(
                "live-answers",
                "any frame: answers are short, go to the ends of the frame, and are themselves never answered twice",
                |bytes| {
                    let mut made = Vec::new();
                    let link = if bytes.first().is_some_and(|b| b & 0x80 != 0) { link_types::ETHERNET } else { link_types::RAW };
                    let n = answers(link, bytes, &[End::Sender, End::Receiver], &mut |_, answer| made.push(answer.to_vec()));
                    assert!(n == made.len() && n <= 2);
                    for answer in made {
                        assert!(answer.len() <= bytes.len() + 200);
                        // A reset or an error: the end of it.
                        assert_eq!(answers(link, &answer, &[End::Sender, End::Receiver], &mut |_, _| ()), 0);
                    }
                },
                || weir_synth::example::example(3, 4).frames.into_iter().step_by(5).flat_map(|frame| {
                    let packet = frame.bytes.get(14..).unwrap_or_default().to_vec();
                    [frame.bytes, packet]
                }).collect(),
            )
        },
        Target {
            dictionary: &[b"\x00\x03", b"\x0b\x00\x01\x00", b"\x08\x00\x03\x00", b"\x08\x00\x0d\x00", b"\x02\x00"],
            ..Target::new(
                "live-queue",
                "any datagram as if from the kernel's packet queues: read or refused, slices lie in it",
                |bytes| {
                    if let Some(packets) = weir_live::read_queue_datagram(bytes) {
                        // A message has a header of 16 bytes, a generic one of 4, and a packet's number in 11.
                        assert!(packets * 31 <= bytes.len());
                    }
                },
                queue_datagrams,
            )
        },
    ]
}

/// Datagrams as the kernel sends them: packets of a queue with their mark and payload, and the answer to a request.
fn queue_datagrams() -> Vec<Vec<u8>> {
    let attribute = |kind: u16, value: &[u8]| {
        let mut out = [&(4 + value.len() as u16).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
        out.resize(out.len().next_multiple_of(4), 0);
        out
    };
    let message = |kind: u16, body: &[u8]| {
        let head = [&(16 + body.len() as u32).to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10]].concat();
        [&head[..], body].concat()
    };
    let packet = |payload: &[u8]| {
        let body = [&[2, 0, 0, 3][..], &attribute(1, &[0, 0, 0, 9, 8, 0, 1]), &attribute(3, &[0, 0, 0, 1]), &attribute(10, payload)];
        message(0x300, &[&body.concat()[..], &attribute(13, &[0, 1, 0, 0])].concat())
    };
    let refused = message(2, &[&(-2i32).to_ne_bytes()[..], &[32, 0, 0, 0, 1, 3, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]].concat());
    let example = weir_synth::example::example(3, 4).frames;
    let mut all: Vec<Vec<u8>> =
        example.iter().step_by(9).map(|frame| packet(frame.bytes.get(14..).unwrap_or_default())).collect();
    all.push([packet(b"two"), packet(b"in one"), refused].concat());
    all
}
