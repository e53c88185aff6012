use super::QuicState;
use super::header;
use super::keys::Keys;
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState};
use Direction::{ToClient, ToServer};
use std::sync::Arc;
use weir_ir::Buffer;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).map(|b| (b as char).to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|p| p[0] << 4 | p[1]).collect()
}

/// RFC 9001 appendix A: the number that the client chose, and its CRYPTO frame.
const DESTINATION: &str = "8394c8f03e515708";
const CLIENT_FRAME: &str = "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0
    00000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e00050005010000000000330026
    0024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e04030503060302030804
    08050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8f03e
    51570806048000ffff";
const SERVER_PACKET: &str = "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5ede4cf7
    3c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7aaf2f58891850ab
    bdca3d20398c276456cbc42158407dd074ee";

fn state() -> QuicState {
    QuicState::new(&Arc::default())
}

/// A client's Initial packet with this payload, padded to 1162 bytes.
fn initial(version: u32, destination: &[u8], payload: &[u8], number: u8) -> Vec<u8> {
    let first = if version == header::V2 { 0xd3 } else { 0xc3 };
    let mut out = vec![first];
    out.extend(version.to_be_bytes());
    out.push(destination.len() as u8);
    out.extend(destination);
    out.extend([0, 0, 0x44, 0x9e, 0, 0, 0, number]);
    let mut padded = payload.to_vec();
    padded.resize(1162, 0);
    Keys::new(version, destination).unwrap().seal(0, &out, &padded, number.into())
}

fn text(state: &QuicState, index: usize, direction: Direction, buffer: Buffer) -> Option<Vec<u8>> {
    match state.buffer(index, direction, buffer, 0) {
        BufferState::Present(view) => Some(view.bytes.to_vec()),
        _ => None,
    }
}

fn events(state: &QuicState) -> Vec<&'static str> {
    state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
}

/// RFC 9001 appendices A.1 to A.3.
#[test]
fn the_example() {
    let packet = initial(1, &hex(DESTINATION), &hex(CLIENT_FRAME), 2);
    assert_eq!(packet.len(), 1200);
    assert!(packet.starts_with(&hex("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11")));
    assert!(packet.ends_with(&hex("e221af44860018ab0856972e194cd934")));
    let mut s = state();
    s.feed(ToServer, Input::Data(&packet), 1);
    s.feed(ToClient, Input::Data(&hex(SERVER_PACKET)), 2);
    assert_eq!(s.transactions().len(), 2);
    assert!(events(&s).is_empty());
    assert_eq!(text(&s, 0, ToServer, Buffer::QuicVersion).as_deref(), Some(&[0, 0, 0, 1][..]));
    assert_eq!(text(&s, 0, ToServer, Buffer::QuicSni).as_deref(), Some(&b"example.com"[..]));
    assert_eq!(text(&s, 0, ToServer, Buffer::Ja3String).as_deref(), Some(&b"771,4865-4866,0-65281-10-16-5-51-43-13-45-28-57,29-23-24,"[..]));
    assert!(text(&s, 0, ToServer, Buffer::Ja4Hash).unwrap().starts_with(b"q13d0211an_"));
    assert_eq!(text(&s, 1, ToClient, Buffer::Ja3sString).as_deref(), Some(&b"771,4865,51-43"[..]));
    let mut log = Vec::new();
    s.log(0, &mut log);
    let log = String::from_utf8(log).unwrap();
    assert!(log.contains("\"sni\":\"example.com\"") && log.contains("\"name\":\"alpn\",\"type\":16,\"values\":[\"alpn\"]"), "{log}");
    // What follows is encrypted.
    s.mark_inspected();
    s.feed(ToServer, Input::Data(&initial(1, b"otherone", b"\x01", 9)[..600]), 3);
    assert!(s.transactions().is_empty());
}

#[test]
fn versions_and_fragments() {
    for version in [1, header::V2, 0xff00_001d, 0xff00_0020, 0xff00_0017, 0xff00_0016] {
        let hello = hex(CLIENT_FRAME)[4..].to_vec();
        // Three CRYPTO frames in two packets, the last one first.
        let frame = |offset: usize, data: &[u8]| [&[6, 0x40 | (offset >> 8) as u8, offset as u8, 0x40, data.len() as u8], data].concat();
        let first = frame(200, &hello[200..]);
        let second = [frame(100, &hello[100..200]), vec![1, 0, 0], frame(0, &hello[..100])].concat();
        let mut s = state();
        s.feed(ToServer, Input::Data(&initial(version, b"12345678", &first, 0)), 1);
        assert_eq!(text(&s, 0, ToServer, Buffer::QuicSni), None);
        s.mark_inspected();
        s.feed(ToServer, Input::Data(&initial(version, b"12345678", &second, 1)), 2);
        assert_eq!(text(&s, 0, ToServer, Buffer::QuicSni).as_deref(), Some(&b"example.com"[..]), "{version:x}");
        assert_eq!(s.transactions()[0].id, 1);
    }
}

#[test]
fn a_packet_that_nobody_answers_hides_nothing() {
    let mut s = state();
    s.feed(ToServer, Input::Data(&initial(1, b"decoydec", b"\x01", 0)), 1);
    s.feed(ToServer, Input::Data(&initial(1, b"realreal", &hex(CLIENT_FRAME), 0)), 1);
    assert_eq!(text(&s, 1, ToServer, Buffer::QuicSni).as_deref(), Some(&b"example.com"[..]));
    // A second connection between the same ports, too; and one behind many packets without hello.
    s.feed(ToServer, Input::Data(&initial(1, b"another!", &hex(CLIENT_FRAME), 0)), 1);
    assert_eq!(text(&s, 2, ToServer, Buffer::QuicSni).as_deref(), Some(&b"example.com"[..]));
    for n in 0..200u8 {
        s.mark_inspected();
        s.feed(ToServer, Input::Data(&initial(1, &[n; 8], b"\x01", 0)), 1);
    }
    s.mark_inspected();
    s.feed(ToServer, Input::Data(&initial(1, b"realreal", &hex(CLIENT_FRAME), 0)), 1);
    assert_eq!(text(&s, 0, ToServer, Buffer::QuicSni).as_deref(), Some(&b"example.com"[..]));
}

#[test]
fn a_retry_changes_the_keys() {
    let mut s = state();
    s.feed(ToServer, Input::Data(&initial(1, b"12345678", b"\x01", 0)), 1);
    s.feed(ToClient, Input::Data(b"\xf0\x00\x00\x00\x01\x00\x08abcdefghtokenandthentagtagtagtag"), 2);
    s.feed(ToServer, Input::Data(&initial(1, b"abcdefgh", &hex(CLIENT_FRAME), 1)), 3);
    assert_eq!(text(&s, 2, ToServer, Buffer::QuicSni).as_deref(), Some(&b"example.com"[..]));
    assert!(events(&s).is_empty());
}

#[test]
fn what_is_odd_is_an_event() {
    let mut s = state();
    let mut packet = initial(1, b"12345678", &hex(CLIENT_FRAME), 0);
    packet[700] ^= 1;
    s.feed(ToServer, Input::Data(&packet), 1);
    assert_eq!(events(&s), ["failed_decrypt"]);
    assert_eq!(text(&s, 0, ToServer, Buffer::QuicVersion).as_deref(), Some(&[0, 0, 0, 1][..]));
    let mut s = state();
    s.feed(ToServer, Input::Data(&initial(1, b"12345678", b"\x08", 0)), 1);
    assert_eq!(events(&s), ["error_on_data"]);
    let mut s = state();
    s.feed(ToServer, Input::Data(&initial(1, b"12345678", b"\x06\x80\x01\x00\x00\x01x", 0)), 1);
    assert_eq!(events(&s), ["crypto_frag_too_long"]);
}

#[test]
fn state_is_bounded() {
    let mut s = QuicState::new(&Arc::new(AppLayerConfig { transactions: 8, ..AppLayerConfig::default() }));
    // Pieces without a beginning, in every packet that is read.
    for n in 0..1000u32 {
        let offset = 10 + 64 * (n % 900);
        let payload = [&[6, 0x80, 0, (offset >> 8) as u8, offset as u8, 1][..], b"x"].concat();
        s.feed(ToServer, Input::Data(&initial(1, b"12345678", &payload, n as u8)), 1);
    }
    assert!(s.transactions().len() <= 8);
    // Packets coalesced without end.
    let mut s = state();
    let small = b"\xe0\x00\x00\x00\x01\x00\x00\x00".repeat(8000);
    s.feed(ToServer, Input::Data(&small), 1);
    assert!(s.transactions().len() <= 16);
}
