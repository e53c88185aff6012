use super::SmbState;
use super::ntlmssp::tests::message as ntlmssp;
use super::smb1::tests::message as smb1;
use super::smb2::commands::*;
use super::smb2::tests::{message as smb2, wide};
use crate::{BufferState, Direction, Input, ProtocolState};
use Direction::{ToClient, ToServer};
use weir_ir::Buffer;

fn record(message: &[u8]) -> Vec<u8> {
    let length = (message.len() as u32).to_be_bytes();
    [&[0], &length[1..], message].concat()
}

fn text(state: &SmbState, index: usize, direction: Direction, buffer: Buffer) -> Option<String> {
    match state.buffer(index, direction, buffer, 0) {
        BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
        _ => None,
    }
}

fn events(state: &SmbState) -> Vec<&'static str> {
    state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
}

fn put16(body: &mut [u8], at: usize, n: u16) {
    body[at..at + 2].copy_from_slice(&n.to_le_bytes());
}

fn with_name(length: usize, at: usize, name: &str) -> Vec<u8> {
    let mut body = vec![0; length];
    put16(&mut body, at, 64 + length as u16);
    put16(&mut body, at + 2, 2 * name.len() as u16);
    body.extend_from_slice(&wide(name));
    body
}

fn session_setup(token: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 24];
    put16(&mut body, 12, 64 + 24);
    put16(&mut body, 14, token.len() as u16);
    body.extend_from_slice(token);
    body
}

fn write(handle: u8, offset: u64, data: &[u8]) -> Vec<u8> {
    let mut body = vec![0; 48];
    put16(&mut body, 2, 64 + 48);
    body[4..8].copy_from_slice(&(data.len() as u32).to_le_bytes());
    body[8..16].copy_from_slice(&offset.to_le_bytes());
    body[16..32].fill(handle);
    body.extend_from_slice(data);
    body
}

fn feed(state: &mut SmbState, direction: Direction, message: &[u8], step: usize) {
    for part in record(message).chunks(step) {
        state.feed(direction, Input::Data(part), 1);
    }
}

fn created(handle: u8) -> Vec<u8> {
    let mut body = vec![0; 88];
    body[64..80].fill(handle);
    body
}

#[test]
fn login_tree_and_a_written_file() {
    for step in [1, 17, 10_000] {
        let mut s = SmbState::new(&Default::default());
        let mut negotiate = vec![0; 36];
        put16(&mut negotiate, 2, 1);
        negotiate.extend_from_slice(&0x0311u16.to_le_bytes());
        feed(&mut s, ToServer, &smb2(NEGOTIATE, false, 0, 1, 0, &negotiate), step);
        feed(&mut s, ToServer, &smb2(SESSION_SETUP, false, 0, 2, 0, &session_setup(&ntlmssp("CORP", "eve"))), step);
        feed(&mut s, ToServer, &smb2(TREE_CONNECT, false, 0, 3, 0, &with_name(8, 4, "\\\\h\\C$")), step);
        assert_eq!(text(&s, 1, ToServer, Buffer::SmbNtlmsspUser).as_deref(), Some("eve"));
        assert_eq!(text(&s, 1, ToServer, Buffer::SmbNtlmsspDomain).as_deref(), Some("CORP"));
        assert!(matches!(s.buffer(2, ToServer, Buffer::SmbShare, 0), BufferState::NotYet));
        feed(&mut s, ToClient, &smb2(TREE_CONNECT, true, 0, 3, 9, &[16, 0, 1, 0, 0, 0, 0, 0]), step);
        assert_eq!(text(&s, 2, ToServer, Buffer::SmbShare).as_deref(), Some("\\\\h\\C$"));
        assert_eq!(text(&s, 2, ToServer, Buffer::SmbNamedPipe), None);
        assert_eq!(s.number(2, ToServer, "smb.version"), Some(2));
        feed(&mut s, ToServer, &smb2(CREATE, false, 0, 4, 9, &with_name(56, 44, "x.exe")), step);
        feed(&mut s, ToClient, &smb2(CREATE, true, 0, 4, 9, &created(7)), step);
        feed(&mut s, ToServer, &smb2(WRITE, false, 0, 5, 9, &write(7, 2, b"cd")), step);
        feed(&mut s, ToServer, &smb2(WRITE, false, 0, 6, 9, &write(7, 0, b"ab")), step);
        assert_eq!(text(&s, 4, ToServer, Buffer::FileName).as_deref(), Some("x.exe"));
        assert_eq!(text(&s, 4, ToServer, Buffer::FileData).as_deref(), Some("abcd"));
        assert_eq!(s.number(4, ToServer, "filesize"), None);
        let mut close = vec![0; 24];
        close[8..24].fill(7);
        feed(&mut s, ToServer, &smb2(CLOSE, false, 0, 7, 9, &close), step);
        assert_eq!(s.number(4, ToServer, "filesize"), Some(4));
        assert!(events(&s).is_empty());
        s.mark_inspected();
        assert!(s.transactions().iter().all(|t| ![2, 3, 4].contains(&t.id)));
    }
}

#[test]
fn a_read_larger_than_what_is_held() {
    let mut s = SmbState::new(&Default::default());
    let mut read = vec![0; 48];
    read[16..32].fill(7);
    feed(&mut s, ToServer, &smb2(READ, false, 0, 5, 9, &read), 1000);
    let mut answer = vec![0; 16];
    answer[2] = 64 + 16;
    answer[4..8].copy_from_slice(&90_000u32.to_le_bytes());
    answer.extend((0..90_000u32).map(|n| (n % 251) as u8));
    let message = record(&smb2(READ, true, 0, 5, 9, &answer));
    s.feed(ToClient, Input::Data(&message[..70_000]), 1);
    s.feed(ToClient, Input::Data(&message[70_000..]), 1);
    match s.buffer(0, ToClient, Buffer::FileData, 0) {
        BufferState::Present(view) => assert_eq!(view.bytes, &answer[16..]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn calls_over_a_pipe() {
    use crate::dcerpc::tests::{UUID, bind, bind_ack, request};
    let mut s = SmbState::new(&Default::default());
    feed(&mut s, ToServer, &smb2(TREE_CONNECT, false, 0, 1, 0, &with_name(8, 4, "\\\\h\\IPC$")), 1000);
    feed(&mut s, ToClient, &smb2(TREE_CONNECT, true, 0, 1, 9, &[16, 0, 2, 0, 0, 0, 0, 0]), 1000);
    assert_eq!(text(&s, 0, ToServer, Buffer::SmbNamedPipe).as_deref(), Some("\\\\h\\IPC$"));
    feed(&mut s, ToServer, &smb2(CREATE, false, 0, 2, 9, &with_name(56, 44, "svcctl")), 1000);
    feed(&mut s, ToClient, &smb2(CREATE, true, 0, 2, 9, &created(7)), 1000);
    feed(&mut s, ToServer, &smb2(WRITE, false, 0, 3, 9, &write(7, 0, &bind(1, 0, UUID, 2))), 1000);
    let mut read = vec![0; 48];
    read[16..32].fill(7);
    feed(&mut s, ToServer, &smb2(READ, false, 0, 4, 9, &read), 1000);
    let ack = bind_ack(1, 0);
    let mut answer = vec![0; 16];
    answer[2] = 64 + 16;
    answer[4..8].copy_from_slice(&(ack.len() as u32).to_le_bytes());
    answer.extend_from_slice(&ack);
    feed(&mut s, ToClient, &smb2(READ, true, 0, 4, 9, &answer), 1000);
    let call = request(2, 3, 0, 15, b"stub");
    let mut ioctl = vec![0; 56];
    ioctl[4..8].copy_from_slice(&0x0011_c017u32.to_le_bytes());
    ioctl[8..24].fill(7);
    ioctl[24..28].copy_from_slice(&(64u32 + 56).to_le_bytes());
    ioctl[28..32].copy_from_slice(&(call.len() as u32).to_le_bytes());
    ioctl.extend_from_slice(&call);
    feed(&mut s, ToServer, &smb2(IOCTL, false, 0, 5, 9, &ioctl), 1000);
    let index = s.transactions().len() - 1;
    assert_eq!(s.number(index, ToServer, "dcerpc.opnum"), Some(15));
    assert_eq!(s.number(index, ToServer, &format!("dcerpc.iface.{}", crate::digest::hex(&UUID))), Some(2));
    assert_eq!(text(&s, index, ToServer, Buffer::DceStubData).as_deref(), Some("stub"));
    let log = logged(&s, index);
    for part in ["\"request\":\"REQUEST\"", "\"opnum\":15", "\"stub_data_size\":4", "\"uuid\":\"367abb81-9844-35f1-ad32-98f038001003\""] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let bound = logged(&s, index - 1);
    assert!(bound.contains("\"response\":\"BINDACK\"") && bound.contains("\"ack_result\":0,\"ack_reason\":0"), "{bound}");
}

fn logged(state: &SmbState, index: usize) -> String {
    let mut log = Vec::new();
    state.log(index, &mut log);
    String::from_utf8(log).expect("text")
}

#[test]
fn what_is_asked_of_open_files() {
    let mut s = SmbState::new(&Default::default());
    feed(&mut s, ToServer, &smb2(CREATE, false, 0, 2, 9, &with_name(56, 44, "old.txt")), 1000);
    feed(&mut s, ToClient, &smb2(CREATE, true, 0, 2, 9, &created(7)), 1000);
    let set = |class: u8, input: &[u8]| {
        let mut body = vec![33, 0, 1, class];
        body.extend_from_slice(&(input.len() as u32).to_le_bytes());
        body.extend_from_slice(&[64 + 32, 0, 0, 0, 0, 0, 0, 0]);
        body.extend_from_slice(&[7; 16]);
        body.extend_from_slice(input);
        body
    };
    let name = wide("new.txt");
    let rename = [&[0; 16][..], &(name.len() as u32).to_le_bytes(), &name].concat();
    feed(&mut s, ToServer, &smb2(SET_INFO, false, 0, 3, 9, &set(10, &rename)), 1);
    feed(&mut s, ToServer, &smb2(SET_INFO, false, 0, 4, 9, &set(13, &[1])), 1000);
    let mut ioctl = vec![0; 56];
    ioctl[4..8].copy_from_slice(&0x0014_0204u32.to_le_bytes());
    feed(&mut s, ToServer, &smb2(IOCTL, false, 0, 5, 9, &ioctl), 1000);
    // A name that is longer than what there is, and a change without any content.
    feed(&mut s, ToServer, &smb2(SET_INFO, false, 0, 6, 9, &set(10, &rename[..24])), 1000);
    feed(&mut s, ToServer, &smb2(SET_INFO, false, 0, 7, 9, &set(13, &[])), 1000);
    let logs: Vec<String> = (0..s.transactions().len()).map(|index| logged(&s, index)).collect();
    assert!(logs[1].contains("\"rename\":{\"from\":\"old.txt\",\"to\":\"new.txt\"}"), "{logs:?}");
    assert!(logs[2].contains("\"filename\":\"old.txt\",\"access\":\"delete on close\",\"fuid\":"), "{logs:?}");
    assert!(logs[3].contains("\"function\":\"FSCTL_VALIDATE_NEGOTIATE_INFO\""), "{logs:?}");
    assert!(logs[4..].iter().all(|log| !log.contains("rename") && !log.contains("access")), "{logs:?}");
}

#[test]
fn version_1() {
    let mut s = SmbState::new(&Default::default());
    feed(&mut s, ToServer, &smb1(0x75, false, 1, &[0xff, 0, 0, 0, 0, 0, 1, 0], b"\0\\\\h\\IPC$\0?????\0"), 1000);
    feed(&mut s, ToClient, &smb1(0x75, true, 1, &[0xff, 0, 0, 0, 0, 0], b"IPC\0\0"), 1000);
    assert_eq!(text(&s, 0, ToServer, Buffer::SmbNamedPipe).as_deref(), Some("\\\\h\\IPC$"));
    assert_eq!(s.number(0, ToServer, "smb.version"), Some(1));
    let log = logged(&s, 0);
    assert!(log.contains("\"named_pipe\":\"\\\\h\\\\IPC$\"") && log.contains("{\"request\":\"?????\",\"response\":\"IPC\"}"), "{log}");
}

#[test]
fn oddities() {
    let fed = |direction, message: &[u8]| {
        let mut s = SmbState::new(&Default::default());
        feed(&mut s, direction, message, 1000);
        let mut found = events(&s);
        found.dedup();
        found
    };
    assert_eq!(fed(ToServer, &smb2(CREATE, false, 0, 1, 1, &[0xff; 50])), ["malformed_data"]);
    assert_eq!(fed(ToServer, b"\xfeSMB too short"), ["malformed_data"]);
    assert_eq!(fed(ToClient, &smb2(ECHO, false, 0, 1, 1, &[4, 0, 0, 0])), ["request_to_client"]);
    assert_eq!(fed(ToServer, &smb2(ECHO, true, 0, 1, 1, &[4, 0, 0, 0])), ["response_to_server"]);
    assert_eq!(fed(ToServer, &smb2(SESSION_SETUP, false, 0, 1, 1, &session_setup(b"NTLMSSP\0\x07\0\0\0"))), ["malformed_ntlmssp_request"]);
    assert_eq!(fed(ToServer, &smb2(NEGOTIATE, false, 0, 1, 1, &[9; 36])), ["negotiate_malformed_dialects"]);
}

const ECHO: u16 = 13;

#[test]
fn memory_is_bounded() {
    let mut s = SmbState::new(&Default::default());
    for n in 0..3000u64 {
        feed(&mut s, ToServer, &smb2(ECHO, false, 0, n, 1, &[4, 0, 0, 0]), 1000);
        feed(&mut s, ToServer, &smb2(WRITE, false, 0, n, 1, &write(n as u8, n, b"x")), 1000);
        s.mark_inspected();
    }
    assert!(s.transactions().len() <= 256);
    assert!(events(&s).contains(&"too_many_transactions"));
}

/// Bytes that are no message: how many transactions they make does not depend on what was inspected in between.
#[test]
fn stray_events_do_not_depend_on_deliveries() {
    let odd = [&[0, 0, 0, 5][..], b"\xfeSMB!", &[0, 0, 0, 5], b"\xfeSMB!", &[0, 0, 0, 5], b"\xfeSMB!"].concat();
    let events = |cut: usize| {
        let mut s = SmbState::new(&Default::default());
        let mut seen = Vec::new();
        for part in odd.chunks(cut) {
            s.feed(ToServer, Input::Data(part), 1);
            seen.extend(s.transactions().iter().map(|t| (t.id, t.events.clone())));
            s.mark_inspected();
        }
        seen
    };
    let whole = events(odd.len());
    assert_eq!(whole.len(), 3);
    assert_eq!(events(1), whole);
    assert_eq!(events(9), whole);
}
