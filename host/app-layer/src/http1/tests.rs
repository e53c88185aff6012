use super::*;
use crate::{AppLayerConfig, BufferState, COMPLETE, Direction, Input, ProtocolState, Rest, Upgrade};
use std::sync::Arc;
use weir_ir::Buffer;

fn get(state: &Http1State, index: usize, direction: Direction, buffer: Buffer) -> Option<String> {
    match state.buffer(index, direction, buffer, 0) {
        BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
        _ => None,
    }
}

const REQUEST: &[u8] = b"POST /a/%62?x=1 HTTP/1.1\r\nHost: Example.org:80\r\nUser-Agent: me\r\n you\r\nCookie: c=1\r\nContent-Length: 5\r\n\r\nhello";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3;ext\r\nefg\r\n0\r\n\r\n";

#[test]
fn buffers_of_a_transaction_in_any_cut() {
    use Direction::{ToClient, ToServer};
    for cut in 1..REQUEST.len() {
        let mut s = Http1State::new(&Arc::default());
        for part in REQUEST.chunks(cut) {
            s.feed(ToServer, Input::Data(part), 1);
        }
        for part in RESPONSE.chunks(cut) {
            s.feed(ToClient, Input::Data(part), 2);
        }
        assert_eq!(s.transactions().len(), 1, "cut {cut}");
        assert_eq!(s.transactions()[0].progress, [COMPLETE; 2]);
        let ts = |b| get(&s, 0, ToServer, b);
        let tc = |b| get(&s, 0, ToClient, b);
        assert_eq!(ts(Buffer::HttpUri).as_deref(), Some("/a/b?x=1"));
        assert_eq!(ts(Buffer::HttpUriRaw).as_deref(), Some("/a/%62?x=1"));
        assert_eq!(ts(Buffer::HttpMethod).as_deref(), Some("POST"));
        assert_eq!(ts(Buffer::HttpHost).as_deref(), Some("example.org"));
        assert_eq!(ts(Buffer::HttpUserAgent).as_deref(), Some("me you"));
        assert_eq!(ts(Buffer::HttpCookie).as_deref(), Some("c=1"));
        assert_eq!(
            ts(Buffer::HttpHeader).as_deref(),
            Some("Host: Example.org:80\r\nUser-Agent: me you\r\nContent-Length: 5\r\n")
        );
        assert_eq!(
            ts(Buffer::HttpHeaderNames).as_deref(),
            Some("\r\nHost\r\nUser-Agent\r\nCookie\r\nContent-Length\r\n\r\n")
        );
        assert_eq!(ts(Buffer::HttpRequestBody).as_deref(), Some("hello"));
        assert_eq!(tc(Buffer::HttpStatusCode).as_deref(), Some("200"));
        assert_eq!(tc(Buffer::FileData).as_deref(), Some("abcdefg"));
        s.mark_inspected();
        assert!(s.transactions().is_empty() && !s.is_open(ToServer));
    }
}

#[test]
fn a_carriage_return_behind_a_bare_request_line_is_kept_in_any_cut() {
    let whole = b"GET /\n\r x: y\n\n";
    let seen: Vec<_> = (1..=whole.len())
        .map(|cut| {
            let mut s = Http1State::new(&Arc::default());
            whole.chunks(cut).for_each(|part| s.feed(Direction::ToServer, Input::Data(part), 1));
            (get(&s, 0, Direction::ToServer, Buffer::HttpHeaderRaw), s.transactions()[0].events.clone())
        })
        .collect();
    assert_eq!(seen[0].0.as_deref(), Some("\r x: y\n\n"));
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:?}");
}

#[test]
fn pipelined_requests_pair_with_their_responses() {
    let mut s = Http1State::new(&Arc::default());
    s.feed(Direction::ToServer, Input::Data(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
    s.feed(
        Direction::ToClient,
        Input::Data(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        2,
    );
    assert_eq!(get(&s, 1, Direction::ToServer, Buffer::HttpUri).as_deref(), Some("/2"));
    assert_eq!(get(&s, 0, Direction::ToClient, Buffer::HttpStatusCode).as_deref(), Some("404"));
    assert_eq!(get(&s, 1, Direction::ToClient, Buffer::HttpResponseBody).as_deref(), Some("ok"));
}

#[test]
fn body_until_close_interim_answers_and_head() {
    let mut s = Http1State::new(&Arc::default());
    s.feed(Direction::ToServer, Input::Data(b"GET / HTTP/1.0\r\n\r\n"), 1);
    s.feed(Direction::ToClient, Input::Data(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 200 OK\r\n\r\npart"), 2);
    s.feed(Direction::ToClient, Input::Data(b" two"), 3);
    assert!(s.is_open(Direction::ToClient));
    s.feed(Direction::ToClient, Input::End, 4);
    assert_eq!(get(&s, 0, Direction::ToClient, Buffer::FileData).as_deref(), Some("part two"));
    assert_eq!(s.transactions()[0].progress, [COMPLETE; 2]);
}

#[test]
fn connect_changes_the_protocol() {
    let mut s = Http1State::new(&Arc::default());
    s.feed(Direction::ToServer, Input::Data(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
    s.feed(Direction::ToClient, Input::Data(b"HTTP/1.1 200 OK\r\n\r\n"), 2);
    assert_eq!(s.upgrade(), Some(Upgrade { protocol: None }));
}

#[test]
fn arbitrary_bytes_do_no_harm() {
    let mut seed = 7u32;
    let alphabet = b"GET /HTTP/1.1\r\n: \tContent-Length:chunked0aF;%\x00\xff";
    for _ in 0..3000 {
        let mut s = Http1State::new(&Arc::default());
        for _ in 0..20 {
            let mut part = Vec::new();
            for _ in 0..30 {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                part.push(alphabet[(seed >> 16) as usize % alphabet.len()]);
            }
            let direction = if seed & 0x100 == 0 { Direction::ToServer } else { Direction::ToClient };
            let input = if seed % 13 == 0 { Input::Gap(5) } else { Input::Data(&part) };
            s.feed(direction, input, 1);
            for index in 0..s.transactions().len() {
                for buffer in Buffer::ALL {
                    let _ = s.buffer(index, direction, *buffer, 0);
                }
            }
            if seed % 5 == 0 {
                s.mark_inspected();
            }
        }
    }
}

/// Everything detection can see, for comparison.
fn all_buffers(s: &Http1State) -> Vec<String> {
    let mut out = Vec::new();
    for (index, t) in s.transactions().iter().enumerate() {
        let mut events: Vec<&str> = t.events.iter().map(|e| s.event_name(*e)).collect();
        events.sort_unstable();
        out.push(format!("{} {:?} {events:?}", t.id, t.progress));
        for direction in [Direction::ToServer, Direction::ToClient] {
            for buffer in Buffer::ALL {
                for instance in 0..if buffer.is_multi() { 4 } else { 1 } {
                    if let BufferState::Present(view) = s.buffer(index, direction, *buffer, instance) {
                        out.push(format!("{direction:?} {} {}: {}", buffer.name(), view.complete, view.bytes.escape_ascii()));
                    }
                }
            }
        }
        let mut log = Vec::new();
        s.log(index, &mut log);
        out.push(String::from_utf8(log).expect("a log is text"));
    }
    out
}

/// Feed both streams, the requests first, cut into pieces of `cut` bytes.
fn run(request: &[u8], response: &[u8], cut: usize) -> Vec<String> {
    let mut s = Http1State::new(&Arc::default());
    request.chunks(cut).for_each(|part| s.feed(Direction::ToServer, Input::Data(part), 1));
    response.chunks(cut).for_each(|part| s.feed(Direction::ToClient, Input::Data(part), 2));
    if s.upgrade().is_none() && s.pauses() {
        let rests = [Direction::ToServer, Direction::ToClient].map(|d| (d, s.take_rest(d)));
        rests.iter().for_each(|(direction, rest)| s.feed(*direction, Input::Data(rest), 2));
    }
    s.feed(Direction::ToServer, Input::End, 3);
    s.feed(Direction::ToClient, Input::End, 3);
    all_buffers(&s)
}

/// Conversations with one oddity each.
const ODD: &[(&[u8], &[u8])] = &[
    (b"GET /a b HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nbody"),
    (b"\r\n\r\n  GET\t/x HTTP/1.1\nHost: a\nHost: b\n\n", b"\r\nHTTP/1.1  200\r\n\r\n"),
    (b"GET /\r\n", b"just a body\nof lines"),
    (b"GET /\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (b"GET /\r\nHost: x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    (b"GET / HTTP/1.1\r\nHost: x", b"HTTP/1.1 200"),
    (b"GET http://Ab.c:8080/x?y#z HTTP/1.1\r\nHost: other\r\n\r\n", b"garbage\r\nHTTP/1.1 200 OK\r\n\r\n"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n\r\n0\r\nTrail: er\r\n\r\nGET /2 HTTP/1.1\r\nHost: y\r\n\r\n",
     b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnot chunked"),
    (b"POST /up/load.php HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: 84\r\n\r\n--B\r\nContent-Disposition: form-data; name=f; filename=\"a.php\"\r\n\r\n<?php 1;\r\n--B--\r\n",
     b"HTTP/1.1 204 No\r\n\r\nHTTP/1.1 200 unasked\r\n\r\nx"),
    (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /n HTTP/1.1\r\nHost: x\r\n\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n"),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n\x16\x03\x01", b"HTTP/1.1 200 OK\r\n\r\n\x16\x03"),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\nGET /after HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\n."),
    (b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n\x81\x01x", b"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\n\r\n\x81\x02"),
    (b"GET /e HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 ok\rTransfer-Encoding\r : chunked\r\nA: b\n \n\x0b3\r\nabc\r\n0\r\n\r\n"),
    (b"GET /e HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 ok\nTransfer\0-Encoding: chunked\n\r\r\n3\r\nabc\r\n0\r\n\r\n"),
    (b"GET /e HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 ok\nContent-Length: 3\n\r\r\n\r\nabc"),
    (b"FOO /x\x00y HTTQ/9\r\nno colon\r\n : empty\r\nA\x01: b\r\nAuthorization: Weird x\r\n\r\n", b"HTTP/2.7 abc\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nX: 1\r\n y\r\n z: 2\r\n\r\n"),
];

#[test]
fn odd_conversations_do_not_depend_on_cuts() {
    for (request, response) in ODD {
        let whole = run(request, response, usize::MAX);
        for cut in [1, 2, 3, 5, 7, 16, 33] {
            assert_eq!(run(request, response, cut), whole, "{} cut {cut}", request.escape_ascii());
        }
    }
}

#[test]
fn what_odd_conversations_say() {
    let has = |n: usize, text: &str| {
        let (request, response) = ODD[n];
        let all = run(request, response, usize::MAX);
        assert!(all.iter().any(|line| line.contains(text)), "{text} not in {all:#?}");
    };
    has(0, "http.uri true: /a");
    has(1, "method_delim_non_compliant");
    has(1, "request_line_leading_whitespace");
    has(1, "http.host true: a, b");
    has(2, "http.response_body true: just a body\\nof lines");
    has(3, "http.uri true: /");
    has(4, "request_line_missing_protocol");
    has(4, "http.host true: x");
    has(6, "host_header_ambiguous");
    has(6, "http.uri true: /x?y#z");
    has(6, "http.host true: ab.c");
    has(6, "http.stat_code true: 200");
    has(7, "http.request_body true: hello");
    has(7, "http.uri true: /2");
    has(7, "invalid_response_chunk_len");
    has(7, "request_chunk_extension");
    has(8, "file.data true: <?php 1;");
    has(8, "file.name true: a.php");
    has(8, "unable_to_match_response_to_request");
    has(9, "http.stat_code true: 304");
    has(11, "http.uri true: /after");
    has(13, "http.response_body true: abc");
    has(14, "http.response_body true: abc");
    has(15, "http.response_body true: abc");
    has(16, "request_line_invalid");
    has(16, "request_field_missing_colon");
    has(16, "request_auth_unrecognized");
    has(16, "response_header_repetition");
    has(16, "http.cookie true: a, b");
    has(16, "response_invalid_status");
}

#[test]
fn bytes_behind_an_upgrade_are_kept_for_what_follows() {
    let (request, response) = ODD[10];
    let mut s = Http1State::new(&Arc::default());
    s.feed(Direction::ToServer, Input::Data(request), 1);
    s.feed(Direction::ToClient, Input::Data(response), 2);
    assert_eq!(s.upgrade(), Some(Upgrade { protocol: None }));
    assert_eq!(s.take_rest(Direction::ToServer), b"\x16\x03\x01");
    assert_eq!(s.take_rest(Direction::ToClient), b"\x16\x03");
}

#[test]
fn gaps_within_bodies_are_bridged() {
    let mut s = Http1State::new(&Arc::default());
    s.feed(Direction::ToServer, Input::Data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
    s.feed(Direction::ToClient, Input::Data(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nab"), 2);
    s.feed(Direction::ToClient, Input::Gap(6), 3);
    s.feed(Direction::ToClient, Input::Data(b"cdHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), 3);
    assert_eq!(get(&s, 0, Direction::ToClient, Buffer::HttpResponseBody).as_deref(), Some("abcd"));
    assert_eq!(s.transactions()[0].progress, [COMPLETE; 2]);
    assert_eq!(get(&s, 1, Direction::ToClient, Buffer::HttpStatusCode).as_deref(), Some("404"));
    s.feed(Direction::ToClient, Input::Data(b"HTTP/1."), 3);
    s.feed(Direction::ToClient, Input::Gap(6), 3);
    s.feed(Direction::ToClient, Input::Data(b"1 200"), 3);
    assert_eq!(s.transactions().len(), 3);
}

/// Feed responses to three requests that are there already, in pieces of `cut` bytes.
fn answered(cut: usize, parts: &[Input<'_>]) -> Http1State {
    let mut s = Http1State::new(&Arc::default());
    for target in ["/1", "/2", "/3"] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        s.feed(Direction::ToServer, Input::Data(request.as_bytes()), 1);
    }
    for part in parts {
        match part {
            Input::Data(bytes) => bytes.chunks(cut).for_each(|c| s.feed(Direction::ToClient, Input::Data(c), 2)),
            other => s.feed(Direction::ToClient, *other, 2),
        }
    }
    s
}

#[test]
fn a_body_without_head_ends_where_the_next_response_begins() {
    let junk: &[u8] = b"<html>\n<p>\nHTTP is a protocol\nHTTP/2 too\n</html>\n";
    let next: &[u8] = b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nab";
    for cut in 1..80 {
        let s = answered(cut, &[Input::Gap(100), Input::Data(&[junk, next].concat())]);
        let body = get(&s, 0, Direction::ToClient, Buffer::HttpResponseBody);
        assert_eq!(body.as_deref(), Some(std::str::from_utf8(junk).unwrap()), "cut {cut}");
        assert_eq!(get(&s, 1, Direction::ToClient, Buffer::HttpStatusCode).as_deref(), Some("404"), "cut {cut}");
        assert_eq!(get(&s, 1, Direction::ToClient, Buffer::HttpResponseBody).as_deref(), Some("ab"), "cut {cut}");
    }
    // No request waits for the last one: all of it is body.
    let s = answered(7, &[Input::Data(next), Input::Data(next), Input::Gap(9), Input::Data(junk), Input::Data(next)]);
    assert_eq!(s.transactions().len(), 3);
    assert!(get(&s, 2, Direction::ToClient, Buffer::HttpResponseBody).is_some_and(|body| body.contains("404 No")));
}

#[test]
fn messages_behind_a_gap_are_found() {
    use Direction::{ToClient, ToServer};
    let two: &[u8] = b"GET /two HTTP/1.1\r\nHost: b\r\n\r\n";
    let ok: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    // A whole request is lost: its response has none.
    let mut s = Http1State::new(&Arc::default());
    s.feed(ToServer, Input::Gap(49), 1);
    s.feed(ToClient, Input::Data(ok), 2);
    s.feed(ToServer, Input::Data(two), 3);
    assert_eq!(s.transactions().iter().map(|t| t.id).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(get(&s, 1, ToServer, Buffer::HttpUri).as_deref(), Some("/two"));
    // Part of a line, and of a head.
    for (before, behind) in [(&b"GET /on"[..], &b"e HTTP/1.1\r\nHost: a\r\n\r\n"[..]), (b"GET / HTTP/1.1\r\nHo", b"a\r\n\r\n")] {
        let mut s = Http1State::new(&Arc::default());
        s.feed(ToServer, Input::Data(before), 1);
        s.feed(ToServer, Input::Gap(5), 1);
        s.feed(ToServer, Input::Data(behind), 1);
        s.feed(ToServer, Input::Data(two), 1);
        assert_eq!(get(&s, 1, ToServer, Buffer::HttpUri).as_deref(), Some("/two"));
    }
    // The gap reaches beyond the end of a body.
    let s = answered(1000, &[Input::Data(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx"), Input::Gap(40), Input::Data(ok)]);
    assert_eq!(s.transactions()[0].progress, [COMPLETE; 2]);
    assert_eq!(get(&s, 1, ToClient, Buffer::HttpStatusCode).as_deref(), Some("200"));
    // Within the framing of chunks.
    let chunked: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab";
    let s = answered(1000, &[Input::Data(chunked), Input::Gap(10), Input::Data(b"cd\r\n0\r\n")]);
    assert!(get(&s, 0, ToClient, Buffer::HttpResponseBody).is_some_and(|body| body.starts_with("abcd")));
}

#[test]
fn a_body_that_is_not_chunked_after_all_is_seen_at_once() {
    let head = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n \r\nConnection: close\r\n\r\n";
    for cut in 1..40 {
        let text = format!("{head}XYZ is the body, without any line's end");
        let s = answered(cut, &[Input::Data(text.as_bytes())]);
        let body = get(&s, 0, Direction::ToClient, Buffer::HttpResponseBody);
        assert_eq!(body.as_deref(), Some("XYZ is the body, without any line's end"), "cut {cut}");
        // A line that would be too long does not come to be one.
        let long = "no size ".repeat(10_000);
        let s = answered(cut * 3000, &[Input::Data(format!("{head}{long}").as_bytes())]);
        let body = get(&s, 0, Direction::ToClient, Buffer::HttpResponseBody);
        assert_eq!(body.as_deref(), Some(long.as_str()), "cut {cut}");
        let text = format!("{head}5;extension=that-is-long\r\nabcde\r\n0\r\n\r\n");
        let s = answered(cut, &[Input::Data(text.as_bytes())]);
        assert_eq!(get(&s, 0, Direction::ToClient, Buffer::HttpResponseBody).as_deref(), Some("abcde"), "cut {cut}");
    }
}

#[test]
fn messages_go_on_behind_an_end_that_was_none() {
    let request = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes();
    let mut s = Http1State::new(&Arc::default());
    s.feed(Direction::ToServer, Input::Data(&request("/1")), 1);
    s.feed(Direction::ToServer, Input::End, 2);
    s.feed(Direction::ToClient, Input::End, 2);
    s.feed(Direction::ToServer, Input::Data(&request("/2")), 3);
    s.feed(Direction::ToClient, Input::Data(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"), 4);
    assert_eq!(get(&s, 1, Direction::ToServer, Buffer::HttpUri).as_deref(), Some("/2"));
    assert!((0..2).any(|i| get(&s, i, Direction::ToClient, Buffer::HttpStatusCode).as_deref() == Some("404")));
}

#[test]
fn responses_to_requests_that_were_let_go_are_framed_as_theirs() {
    let config = AppLayerConfig { transactions: 4, ..AppLayerConfig::default() };
    let mut s = Http1State::new(&Arc::new(config));
    for n in 0..12 {
        let method = if n % 3 == 0 { "HEAD" } else { "GET" };
        s.feed(Direction::ToServer, Input::Data(format!("{method} /{n} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()), 1);
        assert!(s.transactions().len() <= 4);
        s.mark_inspected();
    }
    assert_eq!(s.take_limits().transactions, 8);
    for n in 0..12u16 {
        let head = format!("HTTP/1.1 {} OK\r\nContent-Length: 4\r\n\r\n", 210 + n);
        let body: &[u8] = if n % 3 == 0 { b"" } else { b"body" };
        s.feed(Direction::ToClient, Input::Data(&[head.as_bytes(), body].concat()), 2);
        let index = s.transactions().iter().position(|t| t.progress == [COMPLETE; 2]).expect("the response is complete");
        assert_eq!((s.transactions()[index].id, s.transactions()[index].changed), (n.into(), [false, true]));
        assert_eq!(get(&s, index, Direction::ToClient, Buffer::HttpStatusCode), Some((210 + n).to_string()));
        assert!(s.transactions()[index].events.is_empty());
        s.mark_inspected();
    }
    assert!(!s.is_open(Direction::ToServer));
    // A request without protocol has a response without head.
    s.feed(Direction::ToServer, Input::Data(b"GET /old\r\n\r\n"), 3);
    (0..4).for_each(|_| s.feed(Direction::ToServer, Input::Data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 3));
    s.feed(Direction::ToClient, Input::Data(b"<html>"), 4);
    assert_eq!(get(&s, 0, Direction::ToClient, Buffer::HttpResponseBody).as_deref(), Some("<html>"));
}

#[test]
fn a_head_too_long_is_cut_at_the_limit_in_any_cut() {
    let config = Arc::new(crate::AppLayerConfig { head_limit: 100, ..Default::default() });
    let bytes = [&b"GET / HTTP/1.1\r\nHost: a\r\nX: "[..], &[b'x'; 200]].concat();
    for step in [1, 7, 1000] {
        let mut state = Http1State::new(&config);
        bytes.chunks(step).for_each(|part| state.feed(Direction::ToServer, Input::Data(part), 1));
        assert_eq!(state.pairs[0].messages[0].head.len(), 100, "{step}");
    }
}

/// What is still to come of messages, as bytes of request and response come.
#[test]
fn rest_is_said_where_it_is_known() {
    let rest = |parts: &[(Direction, &[u8])]| {
        let mut state = Http1State::new(&Arc::new(AppLayerConfig::default()));
        for (direction, bytes) in parts {
            state.feed(*direction, Input::Data(bytes), 1);
            state.mark_inspected();
        }
        match state.rest() {
            Rest::Unknown => "unknown".to_owned(),
            Rest::Nothing => "nothing".to_owned(),
            Rest::Body { transaction, body, .. } => format!("{transaction} {}", String::from_utf8_lossy(body)),
        }
    };
    let (server, client) = (Direction::ToServer, Direction::ToClient);
    let get: (Direction, &[u8]) = (server, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    let answer = |bytes: &'static [u8]| rest(&[get, (client, bytes)]);
    assert_eq!(rest(&[get]), "nothing");
    assert_eq!(rest(&[(server, b"GET / HTTP/1.1\r\nHost: h\r\n")]), "unknown");
    assert_eq!(rest(&[get, (server, b"G")]), "unknown");
    assert_eq!(rest(&[(server, b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc")]), "unknown");
    assert_eq!(rest(&[(server, b"CONNECT h:1 HTTP/1.1\r\n\r\n")]), "unknown");
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\n"), "unknown");
    assert_eq!(answer(b"HTTP/1.1 100 Continue\r\n\r\n"), "unknown");
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"), "0 abc");
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\n\r\nabc"), "0 abc");
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), "nothing");
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcH"), "unknown");
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\nabc"), "unknown");
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc"), "unknown");
    // Chunks that turn out to be none: what is left is the body, but not all of it is verbatim.
    assert_eq!(answer(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno size, abc"), "unknown");
}

/// What comes with a message's last bytes, where deliveries decide (libhtp's way): size of both bodies and the events.
fn surplus(request: &[&[u8]], response: &[&[u8]], end: bool) -> Vec<(u64, u64, Vec<String>)> {
    let config = Arc::new(AppLayerConfig { by_delivery: true, ..AppLayerConfig::default() });
    let mut s = Http1State::new(&config);
    request.iter().for_each(|part| s.feed(Direction::ToServer, Input::Data(part), 1));
    response.iter().for_each(|part| s.feed(Direction::ToClient, Input::Data(part), 2));
    if end {
        s.feed(Direction::ToServer, Input::End, 3);
        s.feed(Direction::ToClient, Input::End, 3);
    }
    let of = |t: &crate::Transaction| t.events.iter().map(|e| s.event_name(*e).to_owned()).collect();
    let sizes = |index: usize| [0, 1].map(|d| s.pairs[index].messages[d].body.received);
    s.transactions.iter().enumerate().map(|(i, t)| (sizes(i)[0], sizes(i)[1], of(t))).collect()
}

#[test]
fn what_comes_with_the_end_of_a_message_belongs_to_it() {
    const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    let unexpected = |name: &str| vec![name.to_owned()];
    // An empty line between responses of one segment is body of the first.
    let two = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello\r\nHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nworld!";
    let response = unexpected("response_body_unexpected");
    assert_eq!(surplus(&[GET, GET], &[two], false), [(0, 7, response.clone()), (0, 6, vec![])]);
    // In a segment of its own it is nothing.
    let (first, second) = two.split_at(43);
    assert_eq!(surplus(&[GET, GET], &[first, second], false), [(0, 5, vec![]), (0, 6, vec![])]);
    // What has no line end waits for the end of the stream.
    let short = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhello";
    assert_eq!(surplus(&[GET], &[short], false), [(0, 2, vec![])]);
    assert_eq!(surplus(&[GET], &[short], true), [(0, 5, response)]);
    // A response that should have no body has one.
    let none = b"HTTP/1.1 304 Not Modified\r\n\r\nbody\n";
    assert_eq!(surplus(&[GET], &[none], false), [(0, 5, unexpected("response_body_unexpected"))]);
    // Requests: a line that begins with no method.
    let posts = b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhelloJUNK more\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n";
    assert_eq!(surplus(&[posts], &[], false), [(16, 0, unexpected("request_body_unexpected")), (0, 0, vec![])]);
    assert_eq!(surplus(&[&[GET, GET].concat()], &[], false), [(0, 0, vec![]), (0, 0, vec![])]);
}

#[test]
fn oddities_of_fields_have_their_events() {
    let events = |request: &[u8], response: &[u8]| {
        let mut s = Http1State::new(&Arc::default());
        s.feed(Direction::ToServer, Input::Data(request), 1);
        s.feed(Direction::ToClient, Input::Data(response), 2);
        let names: Vec<_> = s.transactions()[0].events.iter().map(|e| s.event_name(*e)).collect();
        names
    };
    assert_eq!(
        events(b"GET /a HTTP/1.1\r\nHost : x\r\nContent-Length: 0x\r\n: e\r\n\r\n", b""),
        ["request_field_missing_colon", "request_invalid_lws_after_name", "content_length_extra_data_end"]
    );
    const GET: &[u8] = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
    for (field, expected) in [
        ("Content-Length: (68) 34", &["content_length_extra_data_start", "content_length_extra_data_end"][..]),
        ("Foo Bar: x", &["response_header_name_not_token"]),
        ("Foo\x0c: x", &["response_header_name_not_token"]),
        ("\0Foo: x", &[]),
        ("Foo : x", &["response_invalid_lws_after_name"]),
        ("Foo: x\r\n\r\r\nBar: y", &["deformed_eol"]),
        ("A: x\r\n B: y", &[]),
    ] {
        let response = format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n");
        assert_eq!(events(GET, response.as_bytes()), expected, "{field:?}");
    }
}
