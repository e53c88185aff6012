use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn read_all(bytes: &[u8]) -> (Vec<(u64, u16, Vec<u8>, u32)>, CaptureEnd) {
    let mut reader = CaptureReader::from_reader(Cursor::new(bytes.to_vec()), None, "test").unwrap();
    let mut frames = Vec::new();
    while let Some(frame) = reader.next_frame().unwrap() {
        assert_eq!(frame.number, frames.len() as u64 + 1);
        frames.push((frame.time.0, frame.link, frame.data.to_vec(), frame.wire_length));
    }
    let end = reader.end().unwrap().clone();
    (frames, end)
}

fn classic(
    magic: u32,
    big: bool,
    minor: u16,
    network: u32,
    extra: usize,
    first: u32,
    second: u32,
    data: &[u8],
) -> Vec<u8> {
    let w32 = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let w16 = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut out = Vec::new();
    out.extend(w32(magic));
    out.extend(w16(2));
    out.extend(w16(minor));
    out.extend([0; 8]);
    out.extend(w32(65535));
    out.extend(w32(network));
    out.extend(w32(7));
    out.extend(w32(5));
    out.extend(w32(first));
    out.extend(w32(second));
    out.extend(vec![0; extra]);
    out.extend(data);
    out
}

#[test]
fn classic_variants_read_alike() {
    let cases = [
        (0xa1b2_c3d4, 4, 1, 0, 3, 9, 5000),
        (0xa1b2_3c4d, 4, 1, 0, 3, 9, 5),
        (0xa1b2_cd34, 4, 1, 8, 3, 9, 5000),
        (0xa1b2_c3d4, 4, 0x3000_0001, 0, 3, 9, 5000),
        (0xa1b2_c3d4, 4, 0x0400_0001, 0, 3, 9, 5000),
        (0xa1b2_c3d4, 2, 1, 0, 9, 3, 5000),
        (0xa1b2_c3d4, 3, 1, 0, 9, 3, 5000),
    ];
    for (magic, minor, network, extra, first, second, fraction) in cases {
        for big in [false, true] {
            let bytes = classic(magic, big, minor, network, extra, first, second, b"abc");
            let (frames, end) = read_all(&bytes);
            assert_eq!(frames, [(7_000_000_000 + fraction, 1, b"abc".to_vec(), 9)], "{magic:x} {minor} big={big}");
            assert_eq!(end, CaptureEnd::Complete);
        }
    }
}

#[test]
fn truncated_and_corrupt_tails_end_the_capture() {
    let bytes = classic(0xa1b2_c3d4, false, 4, 1, 0, 3, 3, b"abc");
    for cut in 25..bytes.len() {
        let (frames, end) = read_all(&bytes[..cut]);
        assert!(frames.is_empty());
        assert!(matches!(end, CaptureEnd::Truncated { offset: 24, .. }), "cut at {cut}: {end}");
    }
    let bytes = classic(0xa1b2_c3d4, false, 4, 1, 0, u32::MAX, 3, b"abc");
    assert!(matches!(read_all(&bytes).1, CaptureEnd::Corrupt { offset: 24, .. }));
}

#[test]
fn other_files_are_refused_with_a_hint() {
    let open = |bytes: &[u8]| match CaptureReader::from_reader(Cursor::new(bytes.to_vec()), None, "x.bin") {
        Ok(_) => panic!("opened"),
        Err(error) => error.to_string(),
    };
    assert!(open(b"").contains("empty"));
    assert!(open(&[0x1f, 0x8b, 8, 0]).contains("gzip"));
    assert!(open(b"hello").contains("not a pcap"));
    assert!(open(&[0xd4, 0xc3, 0xb2, 0xa1, 0]).contains("truncated"));
    assert!(open(b"\x0a\x0d\x0d\x0a\x1c\0\0\0????").contains("byte-order"));
}

fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let w32 = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let length = 12 + body.len().next_multiple_of(4) as u32;
    let mut out = Vec::new();
    out.extend(w32(kind));
    out.extend(w32(length));
    out.extend(body);
    out.resize(length as usize - 4, 0);
    out.extend(w32(length));
    out
}

fn section(big: bool) -> Vec<u8> {
    let mut body = Vec::new();
    body.extend(if big { 0x1a2b_3c4d_u32.to_be_bytes() } else { 0x1a2b_3c4d_u32.to_le_bytes() });
    body.extend([0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    block(big, 0x0a0d_0d0a, &body)
}

fn interface(big: bool, link: u16, resolution: Option<u8>, offset: Option<i64>) -> Vec<u8> {
    let w16 = |v: u16| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut body = Vec::new();
    body.extend(w16(link));
    body.extend([0; 6]);
    if let Some(resolution) = resolution {
        body.extend(w16(9));
        body.extend(w16(1));
        body.extend([resolution, 0, 0, 0]);
    }
    if let Some(offset) = offset {
        body.extend(w16(14));
        body.extend(w16(8));
        body.extend(if big { offset.to_be_bytes() } else { offset.to_le_bytes() });
    }
    block(big, 1, &body)
}

fn enhanced(big: bool, interface: u32, timestamp: u64, data: &[u8]) -> Vec<u8> {
    let w32 = |v: u32| if big { v.to_be_bytes() } else { v.to_le_bytes() };
    let mut body = Vec::new();
    for value in [interface, (timestamp >> 32) as u32, timestamp as u32, data.len() as u32, data.len() as u32 + 1] {
        body.extend(w32(value));
    }
    body.extend(data);
    block(big, 6, &body)
}

#[test]
fn pcapng_sections_interfaces_and_resolutions() {
    let mut bytes = section(false);
    bytes.extend(interface(false, 1, None, None));
    bytes.extend(interface(false, 113, Some(9), None));
    bytes.extend(interface(false, 101, Some(0x8a), Some(100)));
    bytes.extend(block(false, 0x0bad, &[1; 70_000]));
    bytes.extend(enhanced(false, 0, 1_000_001, b"micro"));
    bytes.extend(enhanced(false, 1, 5_000_000_001, b"nano"));
    bytes.extend(enhanced(false, 2, 2048, b"binary"));
    bytes.extend(block(false, 3, &[4, 0, 0, 0, b's', b'i', b'm', b'p']));
    bytes.extend(section(true));
    bytes.extend(interface(true, 12, Some(3), None));
    bytes.extend(enhanced(true, 0, 1500, b"milli"));
    let (frames, end) = read_all(&bytes);
    assert_eq!(end, CaptureEnd::Complete);
    assert_eq!(
        frames,
        [
            (1_000_001_000, 1, b"micro".to_vec(), 6),
            (5_000_000_001, 113, b"nano".to_vec(), 5),
            (102_000_000_000, 101, b"binary".to_vec(), 7),
            (102_000_000_000, 1, b"simp".to_vec(), 4),
            (1_500_000_000, 12, b"milli".to_vec(), 6),
        ]
    );
    // Interfaces belong to their section.
    bytes.extend(enhanced(true, 1, 0, b"none"));
    assert!(matches!(read_all(&bytes).1, CaptureEnd::Corrupt { .. }));
}

#[test]
fn written_captures_read_back() {
    let mut writer = CaptureWriter::new(Vec::new(), 1).unwrap();
    writer.write(1_234_567_890_123, b"one", 3).unwrap();
    writer.write(1, b"", 0).unwrap();
    assert_eq!(writer.frames(), 2);
    let (frames, end) = read_all(&writer.finish().unwrap());
    assert_eq!(frames, [(1_234_567_890_123, 1, b"one".to_vec(), 3), (1, 1, Vec::new(), 0)]);
    assert_eq!(end, CaptureEnd::Complete);
}

#[test]
fn records_larger_than_the_buffer() {
    let big = vec![7u8; 3 << 20];
    let mut writer = CaptureWriter::new(Vec::new(), 1).unwrap();
    for _ in 0..3 {
        writer.write(5, &big, 0).unwrap();
        writer.write(6, b"small", 0).unwrap();
    }
    let (frames, end) = read_all(&writer.finish().unwrap());
    assert_eq!(end, CaptureEnd::Complete);
    assert_eq!(frames.len(), 6);
    assert!(frames.iter().all(|f| f.2 == big || f.2 == b"small"));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(kind in 0usize..4, tail in proptest::collection::vec(any::<u8>(), 0..400)) {
        let mut bytes = match kind {
            0 => classic(0xa1b2_c3d4, false, 4, 1, 0, 3, 3, b"abc"),
            1 => [section(false), interface(false, 1, None, None)].concat(),
            2 => [section(true), interface(true, 1, Some(0xff), Some(i64::MIN))].concat(),
            _ => Vec::new(),
        };
        bytes.extend(tail);
        fuzz_capture(&bytes);
    }

    #[test]
    fn damaged_captures_never_panic(at in 0usize..200, value: u8) {
        let mut bytes = section(false);
        bytes.extend(interface(false, 1, Some(9), Some(3)));
        bytes.extend(enhanced(false, 0, 77, b"payload of a frame"));
        bytes.extend(block(false, 3, &[4, 0, 0, 0, 1, 2, 3, 4]));
        let at = at % bytes.len();
        bytes[at] = value;
        fuzz_capture(&bytes);
    }
}
