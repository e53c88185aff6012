use super::*;
use Direction::{ToClient, ToServer};
use std::collections::BTreeMap;

fn flow(port: u16) -> AppLayerFlow {
    AppLayerFlow::new(&Arc::default(), 6, 40000, port)
}

fn events(flow: &mut AppLayerFlow) -> Vec<&'static str> {
    flow.new_events().collect()
}

#[test]
fn what_waits_reaches_the_parser() {
    let mut f = flow(80);
    for b in b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" {
        f.feed(ToServer, Input::Data(&[*b]), 1);
    }
    assert_eq!(f.protocol(), Some(AppProtocol::Http1));
    let state = f.state().expect("parsed");
    assert!(matches!(state.buffer(0, ToServer, weir_ir::Buffer::HttpHost, 0), crate::BufferState::Present(_)));
    // A method that detection does not know: the response decides.
    let mut f = flow(80);
    f.feed(ToServer, Input::Data(b"UNKNOWNMETHOD /x HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
    f.feed(ToClient, Input::Data(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 2);
    assert_eq!(f.state().map(|s| s.transactions().len()), Some(1));
    assert_eq!(events(&mut f), [EVENTS[2]]);
    assert!(events(&mut f).is_empty());
}

#[test]
fn directions_that_disagree() {
    let mut f = flow(80);
    f.feed(ToServer, Input::Data(b"GET / HTTP/1.1\r\n\r\n"), 1);
    f.feed(ToClient, Input::Data(b"SSH-2.0-x\r\n"), 2);
    assert_eq!(events(&mut f), [EVENTS[0]]);
    let mut f = flow(80);
    f.feed(ToClient, Input::Data(b"something first of all"), 1);
    f.feed(ToServer, Input::Data(b"GET / HTTP/1.1\r\n\r\n"), 2);
    assert_eq!(events(&mut f), [EVENTS[1], EVENTS[2]]);
    let mut f = flow(9);
    f.feed(ToClient, Input::Data(b"something first of all"), 1);
    f.feed(ToServer, Input::Data(b"something else of it"), 2);
    assert!(f.failed());
}

#[test]
fn a_tunnel_is_detected_anew_after_inspection() {
    let mut f = flow(8080);
    f.feed(ToServer, Input::Data(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
    f.feed(ToClient, Input::Data(b"HTTP/1.1 200 OK\r\n\r\n"), 2);
    assert_eq!(f.protocol(), Some(AppProtocol::Http1));
    assert_eq!(f.state().map(|s| s.transactions().len()), Some(1));
    assert!(!f.mark_inspected(2));
    assert!(f.upgraded() && f.undecided());
    f.feed(ToServer, Input::Data(b"\x16\x03\x01\x00\x05"), 3);
    assert_eq!((f.protocol(), f.original_protocol()), (Some(AppProtocol::Tls), Some(AppProtocol::Http1)));
}

/// The last that a flow shows of each transaction, by protocols so far and id: progress and events.
fn inspections(steps: &[(Direction, &[u8])], cut: usize) -> BTreeMap<(u32, u64), String> {
    inspections_with(AppLayerConfig::default().transactions, steps, cut)
}

fn inspections_with(most: usize, steps: &[(Direction, &[u8])], cut: usize) -> BTreeMap<(u32, u64), String> {
    let config = Arc::new(AppLayerConfig { transactions: most, ..AppLayerConfig::default() });
    let (mut f, mut seen, mut changes) = (AppLayerFlow::new(&config, 6, 40000, 80), BTreeMap::new(), 0);
    for (direction, part) in
        steps.iter().flat_map(|(direction, bytes)| bytes.chunks(cut).map(|part| (*direction, part)))
    {
        f.feed(direction, Input::Data(part), 1);
        loop {
            let mut change = false;
            if let Some(state) = f.state() {
                change = state.upgrade().is_some();
                assert!(state.transactions().len() <= most, "no more live than may");
                for t in state.transactions() {
                    let names: Vec<&str> = t.events.iter().map(|event| state.event_name(*event)).collect();
                    seen.insert((changes, t.id), format!("{:?} {names:?}", t.progress));
                }
            }
            let more = f.mark_inspected(1);
            changes += u32::from(change);
            if !more {
                break;
            }
        }
    }
    seen
}

#[test]
fn what_lies_behind_a_protocol_change_keeps_its_order() {
    // The request decides what the response before it was; behind the response's head the flow begins anew, and what the
    // server sent there came before the request.
    let steps: [(Direction, &[u8]); 2] =
        [(ToClient, b"HTTP/2 101 Go\r\n\r\nbehind"), (ToServer, b"POST /x\r\nHost: a\r\n\r\n")];
    let whole = inspections(&steps, usize::MAX);
    assert_eq!(whole[&(1, 0)], "[255, 0] [\"unable_to_match_response_to_request\"]");
    assert_eq!(whole[&(1, 1)], "[255, 0] [\"request_line_missing_protocol\"]");
    for cut in 1..24 {
        assert_eq!(inspections(&steps, cut), whole, "cut {cut}");
    }
    // Two changes in one delivery.
    let connect = b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n";
    let steps: [(Direction, &[u8]); 3] = [
        (ToServer, &[&connect[..], connect, b"GET /inside HTTP/1.1\r\nHost: a\r\n\r\n"].concat()),
        (ToClient, b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"),
        (ToServer, b"GET /last HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    let whole = inspections(&steps, usize::MAX);
    assert_eq!(whole.keys().copied().collect::<Vec<_>>(), [(0, 0), (1, 0), (2, 0), (2, 1)]);
    for cut in 1..80 {
        assert_eq!(inspections(&steps, cut), whole, "cut {cut}");
    }
}

#[test]
fn line_ends_behind_a_head_that_changes_the_protocol() {
    // Line ends behind the head are bytes of WebSocket and HTTP/2, whatever ended the head.
    let get = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (protocol, behind) in [("websocket", &b"\n\x01\0\0\x81\x01a"[..]), ("h2c", b"\n\r\0\0\0\0\0\0\0"), ("h2c", b"\r\n\r\n")] {
        for blank in ["\r\n\r\n", "\n\n", "\n\r\r\n", "\n \n", "\n\r\n"] {
            let head = format!("HTTP/1.1 101 \rUpgrade: {protocol}{blank}");
            let steps: [(Direction, &[u8]); 3] =
                [(ToServer, get), (ToClient, &[head.as_bytes(), behind].concat()), (ToServer, b"\n\n\x01\x80\0\0\0\0")];
            let whole = inspections(&steps, usize::MAX);
            for cut in 1..head.len() + behind.len() {
                assert_eq!(inspections(&steps, cut), whole, "{head:?} cut {cut}");
            }
        }
    }
    // Behind a CONNECT they belong to nothing, in both directions.
    let steps: [(Direction, &[u8]); 3] = [
        (ToServer, b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n\n"),
        (ToClient, b"HTTP/1.1 200 OK\r\n\r\n\r\n\n\r"),
        (ToServer, b"\r\nGET /inside HTTP/1.1\r\nHost: a\r\n\r\n"),
    ];
    let whole = inspections(&steps, usize::MAX);
    assert_eq!(whole[&(1, 0)], "[255, 0] []");
    for cut in 1..40 {
        assert_eq!(inspections(&steps, cut), whole, "cut {cut}");
    }
    let mut f = flow(8080);
    f.feed(ToServer, Input::Data(b"CONNECT a:443 HTTP/1.1\r\n\r\n\n"), 1);
    f.feed(ToClient, Input::Data(b"HTTP/1.1 200 OK\r\n\r\n\n"), 2);
    assert!(f.mark_inspected(2));
    f.feed(ToServer, Input::Data(b"\x16\x03\x01\x00\x05"), 3);
    assert_eq!(f.protocol(), Some(AppProtocol::Tls));
}

#[test]
fn what_a_connect_has_no_room_for_is_a_gap_to_its_tunnel() {
    let mut f = flow(8080);
    f.feed(ToServer, Input::Data(b"CONNECT a:443 HTTP/1.1\r\n\r\n"), 1);
    f.feed(ToServer, Input::Data(b"GET / HTTP/1.1\r\nContent-Length: 100000\r\n\r\n"), 1);
    f.feed(ToServer, Input::Data(&[b'x'; 100_000]), 1);
    f.feed(ToServer, Input::Data(b"GET /next HTTP/1.1\r\n\r\n"), 1);
    f.feed(ToClient, Input::Data(b"HTTP/1.1 200 OK\r\n\r\n"), 2);
    while f.mark_inspected(2) {}
    f.feed(ToServer, Input::Data(b"GET /last HTTP/1.1\r\n\r\n"), 3);
    let state = f.state().expect("HTTP within the tunnel");
    let live: Vec<_> = state.transactions().iter().map(|t| t.progress[0]).collect();
    assert_eq!(live, [crate::COMPLETE; 2], "the lost request lies in the gap, the one behind it is found");
}

#[test]
fn a_burst_of_transactions_is_inspected_in_parts() {
    let inside: Vec<u8> = (0..90).flat_map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()).collect();
    let answers = b"HTTP/1.1 204 No\r\n\r\n".repeat(90);
    // With a change of protocol before the burst, and without.
    let connect = b"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n";
    let plain: [(Direction, &[u8]); 2] = [(ToServer, &inside), (ToClient, &answers)];
    let tunnel: [(Direction, &[u8]); 2] = [
        (ToServer, &[&connect[..], &inside].concat()),
        (ToClient, &[b"HTTP/1.1 200 OK\r\n\r\n", &answers[..]].concat()),
    ];
    for (steps, changes) in [(plain, 0), (tunnel, 1)] {
        for most in [3, 8, 20] {
            let whole = inspections_with(most, &steps, usize::MAX);
            assert_eq!(whole.range((changes, 0)..).count(), 90, "{whole:?}");
            assert!(whole.values().all(|last| last.starts_with("[255, 255]") && !last.contains("unable")), "{whole:?}");
            for cut in [1, 7, 100, 1000] {
                assert_eq!(inspections_with(most, &steps, cut), whole, "cut {cut}");
            }
        }
    }
}

#[test]
fn what_waited_behind_a_refused_connect_is_inspected_in_parts() {
    let connect = b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n";
    let requests: Vec<u8> =
        (0..90).flat_map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()).collect();
    let refused =
        [&b"HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\n."[..], &b"HTTP/1.1 204 No\r\n\r\n".repeat(90)].concat();
    let steps: [(Direction, &[u8]); 2] = [(ToServer, &[&connect[..], &requests].concat()), (ToClient, &refused)];
    for most in [3, 20, 256] {
        let whole = inspections_with(most, &steps, usize::MAX);
        assert_eq!(whole.len(), 91, "{whole:?}");
        assert!(whole.values().all(|last| last == "[255, 255] []"), "{whole:?}");
        for cut in [1, 7, 100, 1000] {
            assert_eq!(inspections_with(most, &steps, cut), whole, "cut {cut}");
        }
    }
}

/// A flow with a CONNECT that is refused, and what waited behind it.
fn refused(waiting: &[Input<'_>]) -> AppLayerFlow {
    let mut f = flow(80);
    f.feed(ToServer, Input::Data(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
    waiting.iter().for_each(|input| f.feed(ToServer, *input, 1));
    f.feed(ToClient, Input::Data(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"), 2);
    assert!(f.mark_inspected(2));
    f
}

fn uri(f: &AppLayerFlow, index: usize) -> Option<&[u8]> {
    match f.state()?.buffer(index, ToServer, weir_ir::Buffer::HttpUri, 0) {
        crate::BufferState::Present(view) => Some(view.bytes),
        _ => None,
    }
}

#[test]
fn requests_behind_a_refused_connect_survive_an_end_and_a_gap() {
    // The client has ended; its last request is incomplete.
    let f =
        refused(&[Input::Data(b"GET /one HTTP/1.1\r\n\r\n"), Input::Data(b"GET /two HTTP/1.1\r\nHost: b"), Input::End]);
    assert_eq!((uri(&f, 0), uri(&f, 1)), (Some(&b"/one"[..]), Some(&b"/two"[..])));
    assert!(f.state().is_some_and(|state| state.transactions()[1].progress[0] == crate::COMPLETE));
    // More waited than is kept.
    let body = [b'x'; 100_000];
    let head = b"POST /up HTTP/1.1\r\nContent-Length: 100000\r\n\r\n";
    let mut f = refused(&[Input::Data(head), Input::Data(&body[..50_000]), Input::Data(&body[50_000..])]);
    f.feed(ToServer, Input::Data(b"GET /behind HTTP/1.1\r\n\r\n"), 3);
    assert_eq!((uri(&f, 0), uri(&f, 1)), (Some(&b"/up"[..]), Some(&b"/behind"[..])));
}

#[test]
fn many_small_deliveries_of_one_packet_are_no_way_around() {
    // As when a segment fills a gap: nothing is inspected between the deliveries.
    let mut f = flow(80);
    let mut seen = std::collections::BTreeSet::new();
    for n in 0..2000 {
        f.feed(ToServer, Input::Data(format!("GET /{n} HTTP/1.1\r\n\r\n").as_bytes()), 1);
        assert!(f.state().is_some_and(|state| state.transactions().len() <= 256));
    }
    f.feed(ToServer, Input::End, 1);
    loop {
        seen.extend(
            (0..f.state().map_or(0, |state| state.transactions().len())).filter_map(|i| uri(&f, i)).map(<[u8]>::to_vec),
        );
        if !f.mark_inspected(1) {
            break;
        }
    }
    assert_eq!(seen.len(), 2000);
}

#[test]
fn short_answers_of_servers_are_no_failure() {
    // CONNECT of MQTT 3.1.1 and its acknowledgement, which says too little to be told by itself.
    let mut f = flow(1883);
    f.feed(ToServer, Input::Data(b"\x10\x0f\0\x04MQTT\x04\x02\0\x3c\0\x03abc"), 1);
    f.feed(ToClient, Input::Data(b"\x20\x02\0\0"), 2);
    f.feed(ToClient, Input::Data(&[0xd0, 0, 0xd0, 0, 0xd0, 0, 0xd0, 0, 0xd0, 0, 0xd0, 0, 0xd0, 0, 0xd0, 0, 0xd0, 0]), 3);
    assert_eq!(f.protocol(), Some(AppProtocol::Mqtt));
    assert!(events(&mut f).is_empty());
    assert_eq!(f.names_by_side()[1], None);
}
