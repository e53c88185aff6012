use super::*;

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
