use super::NfsState;
use super::state::{CALLS_MAX, FILES_MAX, NAMES_MAX, RECORD_MAX};
use crate::{BufferState, Direction, Input, ProtocolState};
use weir_ir::Buffer;
use Direction::{ToClient, ToServer};

fn opaque(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes, &[0; 3][..bytes.len().wrapping_neg() % 4]].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_be_bytes()).collect()
}

fn call(xid: u32, version: u32, procedure: u32, arguments: &[u8]) -> Vec<u8> {
    let credentials = [words(&[7]), opaque(b"machine"), words(&[10, 20, 0])].concat();
    [words(&[xid, 0, 2, 100_003, version, procedure, 1]), opaque(&credentials), words(&[0, 0]), arguments.to_vec()].concat()
}

fn reply(xid: u32, results: &[u8]) -> Vec<u8> {
    [words(&[xid, 1, 0, 0, 0, 0]), results.to_vec()].concat()
}

fn marked(record: &[u8]) -> Vec<u8> {
    [words(&[0x8000_0000 | record.len() as u32]), record.to_vec()].concat()
}

fn log(s: &NfsState, index: usize) -> String {
    let mut out = Vec::new();
    s.log(index, &mut out);
    String::from_utf8(out).unwrap()
}

fn events(s: &NfsState) -> Vec<&'static str> {
    s.transactions().iter().flat_map(|t| &t.events).map(|e| s.event_name(*e)).collect()
}

fn content(s: &NfsState, index: usize, direction: Direction) -> Vec<u8> {
    match s.buffer(index, direction, Buffer::FileData, 0) {
        BufferState::Present(view) => view.bytes.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn version_3_in_any_cut() {
    let read = |xid: u32, offset: u32| call(xid, 3, 6, &[opaque(b"handle"), words(&[0, offset, 4])].concat());
    let client = [
        call(1, 3, 3, &[opaque(b"dir"), opaque(b"a.txt")].concat()),
        read(2, 0),
        read(3, 4),
        call(4, 3, 14, &[opaque(b"dir"), opaque(b"a.txt"), opaque(b"dir"), opaque(b"b")].concat()),
        call(5, 3, 1, &opaque(b"dir")),
    ];
    let server = [
        reply(1, &[words(&[0]), opaque(b"handle")].concat()),
        reply(2, &[words(&[0, 0, 4, 0]), opaque(b"abcd")].concat()),
        reply(3, &[words(&[0, 0, 2, 1]), opaque(b"ef")].concat()),
        reply(4, &words(&[13])),
        reply(5, &words(&[0])),
    ];
    let (client, server): (Vec<u8>, Vec<u8>) = (client.iter().flat_map(|c| marked(c)).collect(), server.iter().flat_map(|c| marked(c)).collect());
    for step in [1, 11, 5000] {
        let mut s = NfsState::new(&Default::default(), true);
        client.chunks(step).for_each(|part| s.feed(ToServer, Input::Data(part), 1));
        server.chunks(step).for_each(|part| s.feed(ToClient, Input::Data(part), 2));
        assert_eq!((s.transactions().len(), events(&s).len()), (4, 0));
        assert!(log(&s, 0).contains(r#""creds":{"machine_name":"machine","uid":0,"gid":167772160}},"nfs":{"version":3,"procedure":"LOOKUP","filename":"a.txt","hhash":"#));
        assert_eq!((s.number(0, ToServer, "nfs_procedure"), s.number(0, ToServer, "nfs_version"), s.number(0, ToClient, "nfs_version")), (Some(3), Some(3), None));
        assert!(log(&s, 1).contains(r#""rename":{"from":"a.txt","to":"b"}"#) && log(&s, 1).contains("ERR_ACCES"), "{}", log(&s, 1));
        assert_eq!((s.log_kind(2), s.log_kind(1)), (None, Some("nfs")));
        assert!(log(&s, 3).contains(r#""procedure":"READ","filename":"a.txt""#) && log(&s, 3).contains(r#""read":{"first":true,"last":true,"last_xid":3,"chunks":2}"#), "{}", log(&s, 3));
        assert_eq!((content(&s, 3, ToClient), s.files(3, ToClient)[0].closed), (b"abcdef".to_vec(), true));
    }
}

#[test]
fn version_4_writes() {
    let mut s = NfsState::new(&Default::default(), true);
    let open = [words(&[18, 1, 2, 0, 0, 0]), opaque(b"owner"), words(&[1, 0, 0]), opaque(b""), words(&[0]), opaque(b"file")].concat();
    let compound = [opaque(b""), words(&[0, 3, 22]), opaque(b"dir"), open, words(&[10])].concat();
    s.feed(ToServer, Input::Data(&marked(&call(1, 4, 1, &compound))), 1);
    let results = [words(&[0]), opaque(b""), words(&[3, 22, 0, 18, 0]), vec![0; 40], words(&[0, 0, 10, 0]), opaque(b"new")].concat();
    s.feed(ToClient, Input::Data(&marked(&reply(1, &results))), 2);
    assert!(s.transactions().is_empty());
    let write = [opaque(b""), words(&[0, 2, 22]), opaque(b"new"), words(&[38]), vec![0; 24], words(&[0]), opaque(b"hello")].concat();
    s.feed(ToServer, Input::Data(&marked(&call(2, 4, 1, &write))), 3);
    assert!(!s.files(0, ToServer)[0].closed && s.is_file_open(0));
    let close = [opaque(b""), words(&[0, 2, 22]), opaque(b"new"), words(&[4]), vec![0; 20]].concat();
    s.feed(ToServer, Input::Data(&marked(&call(3, 4, 1, &close))), 4);
    assert_eq!((content(&s, 0, ToServer), s.number(0, ToServer, "filesize")), (b"hello".to_vec(), Some(5)));
    assert!(matches!(s.buffer(0, ToServer, Buffer::FileName, 0), BufferState::Present(v) if v.bytes == b"file"));
    assert!(log(&s, 0).contains(r#""version":4,"procedure":"WRITE""#), "{}", log(&s, 0));
}

impl NfsState {
    fn is_file_open(&self, index: usize) -> bool {
        self.open_files().any(|f| f.0 == index)
    }
}

#[test]
fn version_2_over_datagrams() {
    let mut s = NfsState::new(&Default::default(), false);
    s.feed(ToServer, Input::Data(&call(1, 2, 6, &[vec![9; 32], words(&[0, 100, 0])].concat())), 1);
    let attributes = [words(&[1, 2, 3, 4, 5, 3]), vec![0; 44]].concat();
    s.feed(ToClient, Input::Data(&reply(1, &[words(&[0]), attributes, opaque(b"abc")].concat())), 2);
    assert_eq!((content(&s, 0, ToClient), s.files(0, ToClient)[0].closed), (b"abc".to_vec(), true));
    s.feed(ToServer, Input::Data(&call(2, 2, 4, b"short")), 3);
    assert_eq!(events(&s), ["malformed_data"]);
}

#[test]
fn bounds() {
    let mut s = NfsState::new(&Default::default(), true);
    for n in 0..5_000u32 {
        let arguments = [opaque(&n.to_be_bytes()), words(&[0, 0, 4, 0]), opaque(&[0; 1000])].concat();
        s.feed(ToServer, Input::Data(&marked(&call(n, 3, 7, &arguments))), 1);
        s.feed(ToServer, Input::Data(&marked(&call(n, 3, 6, &[opaque(b"h"), words(&[0, 0, 4])].concat()))), 1);
        s.feed(ToServer, Input::Data(&marked(&call(n, 3, 3, &[opaque(b"h"), opaque(&[b'x'; 1000])].concat()))), 1);
        s.feed(ToClient, Input::Data(&marked(&reply(n, &[words(&[0]), opaque(&n.to_be_bytes())].concat()))), 1);
        s.mark_inspected();
    }
    assert!(s.open_files().count() <= FILES_MAX && s.names.len() <= NAMES_MAX && s.asked.len() <= CALLS_MAX);
    assert!(s.transactions().len() <= 512);
    // Fragments that never end.
    (0..3_000).for_each(|_| s.feed(ToServer, Input::Data(&[words(&[1000]), vec![0; 1000]].concat()), 1));
    assert!(s.fragments[0].len() <= RECORD_MAX);
    (0..30).for_each(|_| s.feed(ToClient, Input::Data(&[0x7f; 100_000]), 1));
    assert!(s.framed.rest(1).len() <= RECORD_MAX);
}
