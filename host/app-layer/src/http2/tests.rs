use super::Http2State;
use super::frame;
use crate::{AppLayerConfig, BufferState, COMPLETE, Direction, Input, ProtocolState};
use Direction::{ToClient, ToServer};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A literal field without indexing.
fn literal(name: &str, value: &str) -> Vec<u8> {
    [&[0, name.len() as u8], name.as_bytes(), &[value.len() as u8], value.as_bytes()].concat()
}

/// GET https://www.example.com/index.html, user-agent x (RFC 7541 appendix C.3.3 and a literal).
fn request() -> Vec<u8> {
    let mut block = b"\x82\x87\x85\x41\x0fwww.example.com".to_vec();
    block.extend(literal("user-agent", "x"));
    block
}

fn state() -> Http2State {
    Http2State::new(&Arc::default())
}

fn text(state: &Http2State, index: usize, direction: Direction, buffer: Buffer) -> Option<String> {
    instance(state, index, direction, buffer, 0)
}

fn instance(state: &Http2State, index: usize, direction: Direction, buffer: Buffer, n: usize) -> Option<String> {
    match state.buffer(index, direction, buffer, n) {
        BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
        _ => None,
    }
}

fn events(state: &Http2State) -> Vec<&'static str> {
    state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
}

fn log(state: &Http2State, index: usize) -> String {
    let mut out = Vec::new();
    state.log(index, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_and_its_response_in_any_cut() {
    let client = [
        frame::PREFACE.as_slice(),
        &frame(frame::SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]),
        &frame(frame::HEADERS, 0x2d, 1, &[&[2, 0, 0, 0, 0, 219], request().as_slice(), &[0, 0]].concat()),
    ]
    .concat();
    let server = [
        frame(frame::SETTINGS, 1, 0, &[]),
        // 103 first (RFC 8297), then 200 in two frames.
        frame(frame::HEADERS, 4, 1, &literal(":status", "103")),
        frame(frame::HEADERS, 0, 1, b"\x88"),
        frame(frame::CONTINUATION, 4, 1, &literal("server", "s")),
        frame(frame::DATA, 8, 1, b"\x03hello\0\0\0"),
        frame(frame::DATA, 1, 1, b" world"),
    ]
    .concat();
    for step in [1, 2, 7, 1000] {
        let mut s = state();
        client.chunks(step).for_each(|part| s.feed(ToServer, Input::Data(part), 1));
        server.chunks(step).for_each(|part| s.feed(ToClient, Input::Data(part), 2));
        assert_eq!(s.transactions().len(), 2, "settings, stream; that settings were understood is none");
        assert!(s.transactions().iter().all(|t| t.progress == [COMPLETE; 2]) && events(&s).is_empty());
        let get = |direction, buffer| text(&s, 1, direction, buffer);
        assert_eq!(get(ToServer, Buffer::HttpMethod).as_deref(), Some("GET"));
        assert_eq!(get(ToServer, Buffer::HttpUri).as_deref(), Some("/index.html"));
        assert_eq!(get(ToServer, Buffer::HttpHost).as_deref(), Some("www.example.com"));
        assert_eq!(get(ToServer, Buffer::HttpUserAgent).as_deref(), Some("x"));
        assert_eq!(get(ToServer, Buffer::HttpRequestBody), None);
        assert_eq!(get(ToClient, Buffer::HttpStatusCode).as_deref(), Some("200"));
        assert_eq!(get(ToClient, Buffer::HttpServer).as_deref(), Some("s"));
        assert_eq!(get(ToClient, Buffer::HttpResponseBody).as_deref(), Some("hello world"));
        assert_eq!(get(ToClient, Buffer::FileData).as_deref(), Some("hello world"));
        assert_eq!(get(ToClient, Buffer::FileName).as_deref(), Some("index.html"));
        assert_eq!(instance(&s, 1, ToClient, Buffer::Http2HeaderName, 1).as_deref(), Some("server"));
        assert_eq!(s.number(1, ToClient, "filesize"), Some(11));
        let has = |index, direction, name, value| s.any_number(index, direction, name, &mut |v| v == value);
        assert!(has(0, ToServer, "http2.settings.3", 100) && !has(0, ToServer, "http2.settings.4", 100));
        assert!(has(1, ToServer, "http2.priority", 219) && has(1, ToClient, "http2.frametype", 9));
        let files = s.files(1, ToClient);
        assert_eq!((files.len(), files[0].size, files[0].closed, files[0].content), (1, 11, true, &b"hello world"[..]));
        assert!(files[0].name.is_empty() && s.files(1, ToServer).is_empty());
        let log = log(&s, 1);
        assert!(log.contains("\"version\":\"2\"") && log.contains("\"status\":200"), "{log}");
        s.mark_inspected();
        assert!(s.transactions().is_empty() && !s.is_open(ToServer) && s.kept() == 0);
    }
}

#[test]
fn bodies_are_decoded() {
    use std::io::Write;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(b"plain text").unwrap();
    let packed = gzip.finish().unwrap();
    let mut s = state();
    let head = [b"\x88".as_slice(), &literal("content-encoding", "gzip")].concat();
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 4, 1, &head)), 1);
    packed.chunks(3).for_each(|part| s.feed(ToClient, Input::Data(&frame(frame::DATA, 0, 1, part)), 1));
    s.feed(ToClient, Input::Data(&frame(frame::DATA, 1, 1, b"")), 1);
    assert_eq!(text(&s, 0, ToClient, Buffer::HttpResponseBody).as_deref(), Some("plain text"));
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 4, 3, &head)), 1);
    s.feed(ToClient, Input::Data(&frame(frame::DATA, 1, 3, b"not packed")), 1);
    assert_eq!(events(&s), ["failed_decompression"]);
}

#[test]
fn a_promised_stream_is_a_request() {
    let mut s = state();
    s.feed(ToServer, Input::Data(frame::PREFACE), 1);
    s.feed(ToServer, Input::Data(&frame(frame::HEADERS, 5, 1, &request())), 1);
    let promise = [&[0, 0, 0, 2], b"\x82\x87\x84".as_slice()].concat();
    s.feed(ToClient, Input::Data(&frame(frame::PUSH_PROMISE, 4, 1, &promise)), 2);
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 5, 2, b"\x88")), 3);
    assert_eq!(text(&s, 1, ToServer, Buffer::HttpUri).as_deref(), Some("/"));
    assert_eq!(s.transactions()[1].progress, [COMPLETE; 2]);
    assert_eq!(s.transactions()[0].progress[1], 0);
    assert!(events(&s).is_empty());
}

#[test]
fn what_is_odd_is_an_event_and_stays_visible() {
    let check = |frames: &[Vec<u8>], expected: &[&str]| {
        let mut s = state();
        s.feed(ToServer, Input::Data(frame::PREFACE), 1);
        s.feed(ToServer, Input::Data(&frames.concat()), 1);
        assert_eq!(events(&s), expected);
        s
    };
    check(&[frame(frame::DATA, 0, 0, b"x")], &["data_stream_zero"]);
    check(&[frame(frame::WINDOW_UPDATE, 0, 0, b"x")], &["invalid_frame_length"]);
    check(&[frame(frame::HEADERS, 0x2d, 1, b"x")], &["invalid_frame_length"]);
    check(&[frame(frame::CONTINUATION, 4, 1, b"\x82")], &["continuation_without_headers"]);
    check(&[frame(frame::HEADERS, 5, 1, b"\x82\x40\x03ab")], &["extra_header_data"]);
    check(&[frame(frame::HEADERS, 5, 1, b"\x82\xfe")], &["invalid_header"]);
    check(&[frame(frame::HEADERS, 5, 1, b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")], &["header_integer_overflow"]);
    check(&[frame(frame::HEADERS, 5, 1, &literal(":authority", "a@b"))], &["userinfo_in_uri"]);
    let both = [literal(":authority", "a"), literal("host", "b")].concat();
    check(&[frame(frame::HEADERS, 5, 1, &both)], &["authority_host_mismatch"]);
    // Another frame within a header block ends it; what was read stays.
    let s = check(&[frame(frame::HEADERS, 1, 1, b"\x82\x84"), frame(frame::PING, 0, 0, &[0; 8])], &["invalid_frame_data"]);
    assert_eq!(text(&s, 0, ToServer, Buffer::HttpUri).as_deref(), Some("/"));
    // A number is used once.
    let mut s = check(&[frame(frame::HEADERS, 5, 3, b"\x82"), frame(frame::RST_STREAM, 0, 3, &[0, 0, 0, 8])], &[]);
    assert!(s.any_number(0, ToServer, "http2.errorcode", &mut |v| v == 8));
    s.feed(ToServer, Input::Data(&frame(frame::HEADERS, 5, 3, b"\x83")), 1);
    assert_eq!(events(&s), ["stream_id_reuse"]);
    assert_eq!(text(&s, 1, ToServer, Buffer::HttpMethod).as_deref(), Some("POST"));
    let mut s = state();
    s.feed(ToServer, Input::Data(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"), 1);
    assert_eq!(events(&s), ["invalid_client_magic"]);
    let mut s = state();
    let ranged = [b"\x88".as_slice(), &literal("content-range", "bytes x")].concat();
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 5, 1, &ranged)), 1);
    assert_eq!(events(&s), ["invalid_range"]);
}

#[test]
fn gaps() {
    let mut s = state();
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 4, 1, b"\x88")), 1);
    let data = frame(frame::DATA, 1, 1, &[b'x'; 100]);
    s.feed(ToClient, Input::Data(&data[..20]), 1);
    s.feed(ToClient, Input::Gap(50), 2);
    s.feed(ToClient, Input::Data(&data[70..]), 3);
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 4, 3, b"\x88")), 4);
    assert_eq!(s.transactions().len(), 2);
    // Behind a gap that hides a frame's head nothing is sure any more.
    s.feed(ToClient, Input::Gap(50), 5);
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 4, 5, b"\x88")), 6);
    assert_eq!(s.transactions().len(), 2);
    assert!(s.transactions().iter().all(|t| t.progress[1] == COMPLETE));
}

#[test]
fn hostile_inputs_are_bounded() {
    // A flood of CONTINUATION frames (CVE-2024-27316 and others): the list is cut, the block goes on.
    let mut s = state();
    s.feed(ToServer, Input::Data(frame::PREFACE), 1);
    s.feed(ToServer, Input::Data(&frame(frame::HEADERS, 1, 1, b"\x82\x84")), 1);
    let more = frame(frame::CONTINUATION, 0, 1, &literal("name", &"v".repeat(100)).repeat(20));
    for _ in 0..5000 {
        s.feed(ToServer, Input::Data(&more), 1);
        s.mark_inspected();
    }
    s.feed(ToServer, Input::Data(&frame(frame::CONTINUATION, 4, 1, b"")), 1);
    assert_eq!(events(&s), ["reassembly_limit_reached"]);
    assert_eq!(text(&s, 0, ToServer, Buffer::HttpUri).as_deref(), Some("/"));
    assert!(s.kept() <= AppLayerConfig::default().head_limit);
    // One endless string.
    let mut s = state();
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 0, 1, b"\x00\x01a\x7f\xff\xff\xff\x0f")), 1);
    for _ in 0..100 {
        s.feed(ToClient, Input::Data(&frame(frame::CONTINUATION, 0, 1, &[b'x'; 10_000])), 1);
    }
    assert_eq!(events(&s), ["reassembly_limit_reached"]);
    // One byte of a block makes a large field (CVE-2016-6581): a thousand of them are a list like any other.
    let mut s = state();
    let mut bomb = [b"\x40\x01a\x7f\xa1\x1e".as_slice(), &[b'x'; 4000]].concat();
    bomb.extend([0xbe; 12_000]);
    s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 5, 1, &bomb)), 1);
    assert_eq!(events(&s), ["reassembly_limit_reached"]);
    assert!(s.kept() <= AppLayerConfig::default().head_limit);
    // Streams that never end give way, the oldest first.
    let mut s = state();
    s.feed(ToServer, Input::Data(frame::PREFACE), 1);
    for n in 0..2000 {
        s.feed(ToServer, Input::Data(&frame(frame::HEADERS, 4, 2 * n + 1, &request())), 1);
        s.mark_inspected();
        assert!(s.transactions().len() <= AppLayerConfig::default().transactions);
    }
    // Bodies of many streams are bounded together.
    let mut s = state();
    for n in 0..200 {
        s.feed(ToClient, Input::Data(&frame(frame::HEADERS, 4, 2 * n + 1, b"\x88")), 1);
        for _ in 0..8 {
            s.feed(ToClient, Input::Data(&frame(frame::DATA, 0, 2 * n + 1, &[b'x'; 16_000])), 1);
        }
        s.mark_inspected();
        s.feed(ToServer, Input::End, 1);
        s.mark_inspected();
    }
    assert!(s.kept() < 6 << 20, "{}", s.kept());
    // Frames without end on one stream.
    let mut s = state();
    s.feed(ToServer, Input::Data(frame::PREFACE), 1);
    s.feed(ToServer, Input::Data(&frame(frame::HEADERS, 4, 1, &request())), 1);
    for n in 0..10_000u32 {
        s.feed(ToServer, Input::Data(&frame(frame::WINDOW_UPDATE, 0, 1, &n.to_be_bytes())), 1);
    }
    assert_eq!(events(&s), ["too_many_frames"]);
}

#[test]
fn dns_over_http() {
    let query = b"\x00\x00\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
    let head = [b"\x83\x84".as_slice(), &literal("content-type", "application/dns-message")].concat();
    let mut s = state();
    s.feed(ToServer, Input::Data(frame::PREFACE), 1);
    assert_eq!(s.protocol(), AppProtocol::Http2);
    s.feed(ToServer, Input::Data(&frame(frame::HEADERS, 4, 1, &head)), 1);
    assert_eq!(s.protocol(), AppProtocol::Doh2);
    assert!(matches!(s.buffer(0, ToServer, Buffer::DnsQuery, 0), BufferState::NotYet));
    s.feed(ToServer, Input::Data(&frame(frame::DATA, 1, 1, query)), 1);
    assert_eq!(text(&s, 0, ToServer, Buffer::DnsQuery).as_deref(), Some("example.com"));
    assert_eq!(s.number(0, ToServer, "dns.opcode"), Some(0));
    assert!(log(&s, 0).contains("\"dns\":{"));
    s.feed(ToServer, Input::Data(&frame(frame::HEADERS, 4, 3, &head)), 1);
    for _ in 0..5 {
        s.feed(ToServer, Input::Data(&frame(frame::DATA, 0, 3, &[0; 16_000])), 1);
    }
    s.feed(ToServer, Input::Data(&frame(frame::DATA, 1, 3, b"")), 1);
    assert_eq!(events(&s), ["dns_request_too_long"]);
}

#[test]
fn an_upgrade_keeps_the_request() {
    let mut flow = crate::AppLayerFlow::new(&Arc::default(), 6, 40000, 80);
    flow.feed(
        ToServer,
        Input::Data(b"GET /up HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
        1,
    );
    assert!(!flow.mark_inspected(1));
    let answer = frame(frame::HEADERS, 5, 1, b"\x88");
    flow.feed(ToClient, Input::Data(&[b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n", answer.as_slice()].concat()), 2);
    assert!(flow.mark_inspected(2), "what lies behind the change");
    assert_eq!((flow.protocol(), flow.original_protocol()), (Some(AppProtocol::Http2), Some(AppProtocol::Http1)));
    let s = flow.state().unwrap();
    let get = |direction, buffer| match s.buffer(0, direction, buffer, 0) {
        BufferState::Present(view) => Some(view.bytes.to_vec()),
        _ => None,
    };
    assert_eq!(get(ToServer, Buffer::HttpUri).as_deref(), Some(&b"/up"[..]));
    assert_eq!(get(ToServer, Buffer::HttpHost).as_deref(), Some(&b"a.example"[..]));
    assert_eq!(get(ToClient, Buffer::HttpStatusCode).as_deref(), Some(&b"200"[..]));
    // The settings of the request are the connection's.
    assert!(s.any_number(1, ToServer, "http2.settings.3", &mut |v| v == 100));
    assert!(s.transactions()[0].events.is_empty());
}
