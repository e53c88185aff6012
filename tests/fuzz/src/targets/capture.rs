//! Capture files.

use crate::{Target, seeds};
use std::io::Read;
use std::path::Path;
use weir_capture::{CaptureReader, fuzz_capture};

/// The targets of this room.
pub fn targets() -> [Target; 1] {
    [Target {
        dictionary: &[
            b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\xc3\xd4", b"\x4d\x3c\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x34\xcd\xb2\xa1", b"\x0a\x0d\x0d\x0a",
            b"\x4d\x3c\x2b\x1a", b"\x1a\x2b\x3c\x4d", b"\x01\x00\x00\x00", b"\x02\x00\x00\x00", b"\x03\x00\x00\x00", b"\x06\x00\x00\x00",
            b"\x09\x00\x01\x00\x06\x00\x00\x00", b"\x09\x00\x01\x00\x89\x00\x00\x00", b"\x0e\x00\x08\x00", b"\xff\xff\xff\xff",
            b"\xff\xff\xff\x7f", b"\x00\x00\x00\x01", b"\x0c\x00\x00\x00", b"\x02\x00\x04\x00",
        ],
        shared: |data: &Path| {
            let files = seeds::files(&data.join("pcaps"));
            files
                .iter()
                .filter_map(|path| {
                    let mut head = Vec::new();
                    std::fs::File::open(path).ok()?.take(4096).read_to_end(&mut head).ok()?;
                    Some(head)
                })
                .collect()
        },
        memory: 4 << 20,
        ..Target::new(
            "capture",
            "pcap and pcapng: the same frames, warnings and end however the file's bytes come in; what a length claims is \
             not allocated",
            capture,
            own,
        )
    }]
}

fn own() -> Vec<Vec<u8>> {
    let capture = weir_synth::example::example(1, 2);
    let mut short = capture.clone();
    short.frames.truncate(6);
    // pcapng: section header, interface description, enhanced, simple and unknown blocks (draft-ietf-opsawg-pcapng).
    let block = |kind: u32, body: &[u8], big: bool| {
        let mut padded = body.to_vec();
        padded.resize(body.len().next_multiple_of(4), 0);
        let number = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let length = number(padded.len() as u32 + 12);
        [&number(kind)[..], &length, &padded, &length].concat()
    };
    let mut found = vec![capture.to_pcap(), short.to_pcap()];
    for big in [false, true] {
        let n32 = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let n16 = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut file =
            block(0x0a0d_0d0a, &[&n32(0x1a2b_3c4d)[..], &n16(1), &n16(0), &[0xff; 8]].concat(), big);
        file.extend(block(1, &[&n16(1)[..], &n16(0), &n32(0), &n16(9), &n16(1), &[9, 0, 0, 0], &n32(0)].concat(), big));
        for frame in &short.frames {
            let length = n32(frame.bytes.len() as u32);
            let head = [&n32(0)[..], &n32(0x17), &n32(frame.time as u32), &length, &length].concat();
            file.extend(block(6, &[&head[..], &frame.bytes].concat(), big));
            file.extend(block(3, &[&length[..], &frame.bytes].concat(), big));
        }
        file.extend(block(5, &[0; 12], big));
        found.push(file);
    }
    found
}

/// Gives a few bytes at a time.
struct Trickle {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let count = rest.len().min(into.len()).min(1 + self.at % 7);
        for (place, byte) in into.iter_mut().zip(rest).take(count) {
            *place = *byte;
        }
        self.at += count;
        Ok(count)
    }
}

fn frames_of(reader: Result<CaptureReader, weir_capture::CaptureError>) -> String {
    use std::fmt::Write;
    let mut text = String::new();
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(error) => return error.to_string(),
    };
    loop {
        match reader.next_frame() {
            Ok(Some(f)) => {
                assert!(f.wire_length as usize >= f.data.len());
                let crc = weir_contract::crc::crc32c(f.data);
                let _ = writeln!(text, "{} {} {} {} {} {crc:x}", f.number, f.time.0, f.link, f.wire_length, f.data.len());
            }
            Ok(None) => break,
            Err(error) => {
                let _ = writeln!(text, "{error}");
                break;
            }
        }
    }
    let _ = write!(text, "{:?} {:?} {}", reader.end(), reader.warnings(), reader.warning_count());
    text
}

fn capture(bytes: &[u8]) {
    fuzz_capture(bytes);
    let whole = frames_of(CaptureReader::from_reader(std::io::Cursor::new(bytes.to_vec()), None, "fuzz"));
    let trickled = frames_of(CaptureReader::from_reader(Trickle { bytes: bytes.to_vec(), at: 0 }, None, "fuzz"));
    assert_eq!(whole, trickled);
}
