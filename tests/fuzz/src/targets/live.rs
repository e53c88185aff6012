//! Frames of interfaces: repaired, and answered where they are rejected.

use crate::Target;
use weir_live::repair::{Offload, complete_checksum, restore_tag, segment};
use weir_response::{End, answers};

/// The targets of this room.
pub fn targets() -> [Target; 2] {
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
                    let n = answers(bytes, &[End::Sender, End::Receiver], &mut |_, answer| made.push(answer.to_vec()));
                    assert!(n == made.len() && n <= 2);
                    for answer in made {
                        assert!(answer.len() <= bytes.len() + 200);
                        // A reset or an error: the end of it.
                        assert_eq!(answers(&answer, &[End::Sender, End::Receiver], &mut |_, _| ()), 0);
                    }
                },
                || weir_synth::example::example(3, 4).frames.into_iter().step_by(5).map(|frame| frame.bytes).collect(),
            )
        },
    ]
}
