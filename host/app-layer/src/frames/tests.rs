use super::*;
use Direction::{ToClient, ToServer};

/// Frames of what is said, whole or cut: name, bytes, and whether it is complete, in the order of names.
fn frames(protocol: AppProtocol, said: &[(Direction, &[u8])], step: usize) -> Vec<(String, Vec<u8>, bool)> {
    let config = Arc::new(AppLayerConfig { frames: u128::MAX, ..AppLayerConfig::default() });
    let mut frames = Frames::new(protocol, &config, false).expect("the protocol has frames");
    let mut out = Vec::new();
    let mut collect = |frames: &mut Frames| {
        for frame in frames.frames.iter().filter(|frame| frame.closed && Some(frame.buffer) != frames.stream) {
            out.push((
                frame.buffer.name().trim_start_matches("frame:").to_owned(),
                frame.bytes.clone(),
                frame.complete,
            ));
        }
        frames.release();
    };
    for (direction, bytes) in said {
        for part in bytes.chunks(step) {
            frames.feed_in(*direction, Input::Data(part), None);
            collect(&mut frames);
        }
    }
    for direction in [ToServer, ToClient] {
        frames.feed_in(direction, Input::End, None);
        collect(&mut frames);
    }
    out.sort();
    out
}

fn any_cut(protocol: AppProtocol, said: &[(Direction, &[u8])]) -> Vec<(String, String)> {
    let whole = frames(protocol, said, 10_000);
    for step in [1, 2, 3, 7, 50] {
        assert_eq!(frames(protocol, said, step), whole, "{step}");
    }
    assert!(whole.iter().all(|(_, _, complete)| *complete), "{whole:?}");
    whole.into_iter().map(|(name, bytes, _)| (name, String::from_utf8_lossy(&bytes).into_owned())).collect()
}

fn named(all: &[(String, String)], name: &str) -> Vec<String> {
    all.iter().filter(|(n, _)| n == name).map(|(_, text)| text.clone()).collect()
}

#[test]
fn mail() {
    let all = any_cut(
        AppProtocol::Smtp,
        &[
            (ToClient, b"220 hi\r\n"),
            (ToServer, b"MAIL FROM:<a>\r\nDATA\r\n"),
            (ToClient, b"250 ok\r\n354 go\r\n"),
            (ToServer, b"a\r\n..\r\n.\r\nBDAT 3\r\nxyzDATA\r\n"),
            (ToClient, b"354 go\r\n"),
            (ToServer, b".\r\nQUIT\r\n"),
            (ToClient, b"250-all\r\n250 done\r\n"),
        ],
    );
    assert_eq!(named(&all, "smtp.data"), [".\r\n", "a\r\n..\r\n.\r\n", "xyz"]);
    assert_eq!(
        named(&all, "smtp.command_line"),
        ["BDAT 3\r\n", "DATA\r\n", "DATA\r\n", "MAIL FROM:<a>\r\n", "QUIT\r\n"]
    );
    assert_eq!(named(&all, "smtp.response_line").len(), 6);
}

/// Mails and commands that were sent before their replies are cut reply by reply, however many replies come at once.
#[test]
fn what_waits_goes_on_with_each_reply() {
    let all = any_cut(
        AppProtocol::Smtp,
        &[
            (ToServer, b"DATA\r\na\r\n.\r\nDATA\r\nb\r\n.\r\nSTARTTLS\r\nDATA\r\nc\r\n.\r\nQUIT\r\n"),
            (ToClient, b"354 go\r\n250 ok\r\n354 go\r\n250 ok\r\n454 no\r\n354 go\r\n250 ok\r\n"),
        ],
    );
    assert_eq!(named(&all, "smtp.data"), ["a\r\n.\r\n", "b\r\n.\r\n", "c\r\n.\r\n"]);
    let commands = ["DATA\r\n", "DATA\r\n", "DATA\r\n", "QUIT\r\n", "STARTTLS\r\n"];
    assert_eq!(named(&all, "smtp.command_line"), commands);
}

/// Limits on lines and heads count bytes, not deliveries.
#[test]
fn what_is_too_long_is_too_long_at_once() {
    let long = |length: usize, rest: &str| ["x".repeat(length).as_bytes(), rest.as_bytes()].concat();
    let (command, head) = (long(20_000, "\r\nQUIT\r\n"), [b"GET / HTTP/1.1\r\nA: ", &*long(100_000, "\r\n\r\n")].concat());
    for (protocol, said, count) in [(AppProtocol::Smtp, command, 2), (AppProtocol::Http1, head, 0)] {
        let whole = frames(protocol, &[(ToServer, &said)], usize::MAX);
        assert_eq!(whole.len(), count, "{protocol:?}");
        for step in [1000, 16_384, 30_001] {
            assert_eq!(frames(protocol, &[(ToServer, &said)], step), whole, "{protocol:?} {step}");
        }
    }
}

#[test]
fn web() {
    let all = any_cut(
        AppProtocol::Http1,
        &[
            (
                ToServer,
                b"HEAD / HTTP/1.1\r\nA: b\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n",
            ),
            (ToClient, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"),
            (ToClient, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4;x\r\nevil\r\n0\r\nT: t\r\n\r\n"),
            (ToClient, b"HTTP/1.1 200 OK\r\n\r\nto the end"),
        ],
    );
    assert_eq!(named(&all, "http1.request")[2], "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
    let responses = named(&all, "http1.response");
    assert_eq!(responses.len(), 4);
    assert!(
        responses.iter().any(|r| r.ends_with("0\r\nT: t\r\n\r\n"))
            && responses.iter().any(|r| r.ends_with("to the end"))
    );
}

#[test]
fn messages_with_a_length() {
    let all = any_cut(AppProtocol::Mqtt, &[(ToServer, b"\x30\x09\x00\x01tsecret\xc0\x00")]);
    assert_eq!(named(&all, "mqtt.pdu").len(), 2);
    assert_eq!(named(&all, "mqtt.header")[0].len(), 2);
    let all = any_cut(AppProtocol::Tls, &[(ToServer, b"\x16\x03\x01\x00\x02ab\x15\x03\x01\x00\x02\x02\x28")]);
    assert_eq!(
        (named(&all, "tls.data"), named(&all, "tls.alert")),
        (vec!["\u{2}(".into(), "ab".into()], vec!["\u{2}(".to_owned()])
    );
    let chained = [b"\0\0\0\x82\xfeSMB".as_slice(), &[0; 16], &[64, 0, 0, 0], &[0; 40], b"\xfeSMB", &[0; 62]].concat();
    let all = any_cut(AppProtocol::Smb, &[(ToServer, &chained)]);
    assert_eq!(named(&all, "smb.smb2.pdu").iter().map(String::len).count(), 2);
    let rfb: [(Direction, &[u8]); 3] =
        [(ToClient, b"RFB 003.008\n"), (ToServer, b"RFB 003.008\n"), (ToClient, b"\x01\x02")];
    assert_eq!(named(&any_cut(AppProtocol::Rfb, &rfb), "rfb.pdu").len(), 3);
}

#[test]
fn a_gap_within_a_message_is_no_end_of_the_next() {
    let config = Arc::new(AppLayerConfig { frames: u128::MAX, ..AppLayerConfig::default() });
    let mut frames = Frames::new(AppProtocol::Mqtt, &config, false).expect("the protocol has frames");
    frames.feed_in(ToServer, Input::Data(b"\x30\x09ab"), None);
    frames.feed_in(ToServer, Input::Gap(7), None);
    frames.feed_in(ToServer, Input::Data(b"\xc0\x00"), None);
    assert!(frames.frames.iter().any(|f| f.bytes == b"\xc0\x00" && f.complete));
    assert!(frames.frames.iter().any(|f| f.bytes == b"\x30\x09ab" && !f.complete && f.closed));
}

/// A record for each frame, once, when it is over; numbers are those of the direction; the stream comes last.
#[test]
fn records() {
    let config = Arc::new(AppLayerConfig { frames: u128::MAX, ..AppLayerConfig::default() });
    let mut frames = Frames::new(AppProtocol::Http1, &config, false).expect("the protocol has frames");
    let mut told = Vec::new();
    let mut tell = |frames: &mut Frames| loop {
        let mut out = Vec::new();
        let Some(direction) = frames.tell(&mut out) else { break };
        let text = String::from_utf8(out).unwrap();
        told.push((direction, text.split_once(r#","payload""#).unwrap().0.to_owned(), text.contains(r#""tx_id":7"#)));
    };
    frames.feed_in(ToServer, Input::Data(b"GET / HTTP/1.0\r\n"), Some(7));
    tell(&mut frames);
    frames.feed_in(ToServer, Input::Data(b"\r\n"), Some(7));
    tell(&mut frames);
    tell(&mut frames);
    frames.release();
    frames.feed_in(ToClient, Input::Data(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx"), Some(7));
    frames.feed_in(ToServer, Input::End, None);
    tell(&mut frames);
    let expected = [
        (ToServer, r#""frame":{"type":"request","id":2,"direction":"toserver","stream_offset":0,"length":18"#, true),
        (ToServer, r#""frame":{"type":"stream","id":1,"direction":"toserver","stream_offset":0,"length":18"#, false),
        (ToClient, r#""frame":{"type":"response","id":2,"direction":"toclient","stream_offset":0,"length":39"#, true),
    ];
    assert_eq!(told, expected.map(|(direction, text, numbered)| (direction, text.to_owned(), numbered)));
}

/// Frames of a flow's delivery that have bytes, whichever protocol they belong to.
fn of_flow(said: &[(Direction, &[u8])], step: usize) -> Vec<String> {
    let config = Arc::new(AppLayerConfig { frames: u128::MAX, ..AppLayerConfig::default() });
    let mut flow = crate::AppLayerFlow::new(&config, 6, 40000, 80);
    let mut out = std::collections::BTreeMap::new();
    for (direction, bytes) in said {
        for part in bytes.chunks(step) {
            flow.feed(*direction, Input::Data(part), 1);
            loop {
                if let Some(frames) = flow.frames() {
                    for frame in &frames.frames {
                        let key = (frames.protocol, frame.direction as u8, frame.number);
                        let text = frame.bytes.escape_ascii();
                        out.insert(key, format!("{} {text}", frame.buffer.name().trim_start_matches("frame:")));
                    }
                }
                if !flow.mark_inspected(1) {
                    break;
                }
            }
        }
    }
    out.into_values().collect()
}

#[test]
fn a_protocol_that_hands_over_keeps_its_frames_to_itself() {
    let tunnel: &[(Direction, &[u8])] = &[
        (ToServer, b"CONNECT a:1 HTTP/1.1\r\n\r\nSSH-2.0-c\r\n"),
        (ToClient, b"HTTP/1.1 200 OK\r\n\r\nSSH-2.0-s\r\n"),
    ];
    for step in [1, 5, 1000] {
        let frames = of_flow(tunnel, step);
        assert_eq!(
            frames[..4],
            [
                r"http1.stream CONNECT a:1 HTTP/1.1\r\n\r\n",
                r"http1.request CONNECT a:1 HTTP/1.1\r\n\r\n",
                r"http1.stream HTTP/1.1 200 OK\r\n\r\n",
                r"http1.response HTTP/1.1 200 OK\r\n\r\n",
            ],
            "{step}"
        );
        assert!(frames[4].starts_with("ssh.stream SSH-2.0-c"), "{frames:?}");
    }
}

#[test]
fn a_refused_tunnel_is_no_end_of_the_frames() {
    let refused: &[(Direction, &[u8])] = &[
        (ToServer, b"CONNECT a:1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n"),
        (ToClient, b"HTTP/1.1 403 No\r\nContent-Length: 1\r\n\r\n-"),
    ];
    for step in [1, 5, 1000] {
        let frames = of_flow(refused, step);
        assert!(frames.contains(&r"http1.request GET /2 HTTP/1.1\r\n\r\n".to_owned()), "{step}: {frames:?}");
    }
}

#[test]
fn the_preface_of_http2_may_come_in_pieces() {
    let all = any_cut(
        AppProtocol::Http2,
        &[(ToServer, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x01\x00\x00\x00\x00\x00\x01x")],
    );
    assert_eq!(named(&all, "http2.data"), ["x"]);
}

#[test]
fn terminal() {
    let all = any_cut(
        AppProtocol::Telnet,
        &[
            (ToServer, b"\xff\xfd\x03\xff\xfa\x18\x00term\xff\xf0"),
            (ToClient, b"\xff\xfb\x03Welcome\r\nlogin: "),
            (ToServer, b"ro\xff\xfb\x01ot\r\n"),
            (ToClient, b"\r\nPassword: "),
            (ToServer, b"secret\n\xff\xf1"),
            (ToClient, b"Last login: today\r\n$ ls\n"),
        ],
    );
    let bytes = |name: &str| named(&all, name);
    assert_eq!(bytes("telnet.ctl"), ["\u{fffd}\u{fffd}", "\u{fffd}\u{fffd}", "\u{fffd}\u{fffd}\u{18}\0term", "\u{fffd}\u{fffd}\u{3}", "\u{fffd}\u{fffd}\u{3}"]);
    let text = ["\r\nPassword: ", "$ ls\n", "Last login: today\r\n", "Welcome\r\nlogin: ", "ro\u{fffd}\u{fffd}\u{1}ot\r\n", "secret\n"];
    assert_eq!(bytes("telnet.data"), text);
    assert_eq!(bytes("telnet.pdu").len(), 11);
}
