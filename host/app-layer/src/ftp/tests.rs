use super::FtpState;
use crate::{BufferState, Direction, Input, ProtocolState};
use Direction::{ToClient, ToServer};
use weir_ir::Buffer;

fn fed(steps: &[(Direction, &[u8])], step: usize) -> FtpState {
    let mut state = FtpState::new(&Default::default());
    for (direction, bytes) in steps {
        for part in bytes.chunks(step) {
            state.feed(*direction, Input::Data(part), 1);
        }
    }
    state
}

fn text(state: &FtpState, index: usize, buffer: Buffer, instance: usize) -> Option<String> {
    let direction = if matches!(buffer, Buffer::FtpCommand | Buffer::FtpCommandData) { ToServer } else { ToClient };
    match state.buffer(index, direction, buffer, instance) {
        BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
        _ => None,
    }
}

#[test]
fn commands_and_replies_pair_up() {
    let steps: [(Direction, &[u8]); 5] = [
        (ToClient, b"220-first\r\n second\r\n220 last\r\n"),
        (ToServer, b"USER anonymous\r\nPASS a b\r\n"),
        (ToClient, b"331 which\r\n230 in\r\n"),
        (ToServer, b"RETR x\r\n"),
        (ToClient, b"150 coming\r\n226 done\r\n"),
    ];
    for step in [1, 4, 1000] {
        let state = fed(&steps, step);
        assert_eq!(state.transactions().len(), 4);
        // The greeting answers no command: it is logged, and no rule looks at it.
        assert_eq!(text(&state, 0, Buffer::FtpReply, 0), None);
        assert_eq!(state.exchanges[0].replies, [&b"220-first"[..], b" second", b"last"]);
        assert_eq!(text(&state, 1, Buffer::FtpCommand, 0).as_deref(), Some("USER"));
        assert_eq!(text(&state, 1, Buffer::FtpReply, 0).as_deref(), Some("which"));
        assert_eq!(text(&state, 2, Buffer::FtpCommandData, 0).as_deref(), Some("a b"));
        assert_eq!(text(&state, 2, Buffer::FtpCompletionCode, 0).as_deref(), Some("230"));
        assert_eq!(text(&state, 3, Buffer::FtpCompletionCode, 1).as_deref(), Some("226"));
    }
}

#[test]
fn data_connections_are_announced() {
    use crate::expectation::Content::{Listing, Retrieved, Stored};
    use crate::expectation::Listing::List;
    for (steps, port, to_server, content) in [
        (&[(ToServer, &b"PASV\r\n"[..]), (ToClient, b"227 ok (10,0,0,2,4,1)\r\n"), (ToServer, b"RETR a\r\n")][..], 1025, false, Retrieved),
        (&[(ToServer, b"EPSV\r\n"), (ToClient, b"229 ok (|||1026|)\r\n"), (ToServer, b"STOR a\r\n")], 1026, true, Stored),
        (&[(ToServer, b"PORT 10,0,0,1,4,3\r\n"), (ToClient, b"200 ok\r\n"), (ToServer, b"RETR a\r\n")], 1027, true, Retrieved),
        (&[(ToServer, b"EPRT |1|10.0.0.1|1028|\r\nappe a\r\n")], 1028, false, Stored),
        (&[(ToServer, b"PORT 10,0,0,1,4,5\r\nlist a\r\n")], 1029, true, Listing(List)),
    ] {
        let mut state = fed(steps, 3);
        let expected = state.take_expected();
        assert_eq!(expected.len(), 1);
        let e = &expected[0];
        assert_eq!((e.port, e.file.to_server, e.file.content, e.file.name.as_slice()), (port, to_server, content, &b"a"[..]));
        assert!(state.take_expected().is_empty());
    }
}

#[test]
fn oddities() {
    let events = |steps: &[(Direction, &[u8])]| {
        let state = fed(steps, 1000);
        state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect::<Vec<_>>()
    };
    assert_eq!(events(&[(ToServer, b"RETR x\r\n")]), ["file_before_port"]);
    assert_eq!(events(&[(ToServer, b"PORT 1,2,3,4,5,6\r\nSTOR\r\n")]), ["file_without_name"]);
    assert_eq!(events(&[(ToServer, &[&[b'x'; 5000][..], b"\r\n"].concat())]), ["request_command_too_long"]);
    let mut state = FtpState::new(&Default::default());
    for _ in 0..2000 {
        state.feed(ToServer, Input::Data(b"NOOP\r\n"), 1);
        state.mark_inspected();
    }
    assert!(state.transactions().len() <= 256);
    assert!(state.transactions().iter().any(|t| !t.events.is_empty()));
}

#[test]
fn auth_tls_changes_the_protocol() {
    let mut state = fed(&[(ToServer, b"AUTH TLS\r\n"), (ToClient, b"234 go\r\n"), (ToServer, b"\x16\x03\x01")], 1000);
    assert!(state.upgrade().is_some());
    assert_eq!(state.take_rest(ToServer), b"\x16\x03\x01");
}
