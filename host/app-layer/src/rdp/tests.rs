use super::RdpState;
use crate::Direction::{self, ToClient, ToServer};
use crate::{Input, ProtocolState};

fn tpkt(x224: &[u8]) -> Vec<u8> {
    [&[3, 0], &u16::try_from(4 + x224.len()).unwrap().to_be_bytes()[..], x224].concat()
}

fn connection(code: u8, variable: &[u8]) -> Vec<u8> {
    let length = u8::try_from(6 + variable.len()).unwrap();
    tpkt(&[&[length, code, 0, 0, 0, 0, 0], variable].concat())
}

fn tls(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3], &u16::try_from(content.len()).unwrap().to_be_bytes()[..], content].concat()
}

/// A list of certificates with nothing in them but this serial number.
fn chain(serials: &[&[u8]]) -> Vec<u8> {
    let sized = |b: &[u8]| [&[0, 0, u8::try_from(b.len()).unwrap()], b].concat();
    let der = |tag: u8, b: &[u8]| [&[tag, u8::try_from(b.len()).unwrap()], b].concat();
    let certificate = |serial: &&[u8]| {
        let empty = [0x30, 0].repeat(5);
        sized(&der(0x30, &der(0x30, &[der(2, serial), empty].concat())))
    };
    let list = serials.iter().flat_map(certificate).collect::<Vec<_>>();
    [&[11][..], &sized(&sized(&list))].concat()
}

/// The records that these deliveries make, each cut into pieces of `step`.
fn records(parts: &[(Direction, Vec<u8>)], step: usize) -> Vec<String> {
    let mut state = RdpState::new(&Default::default());
    let mut out = Vec::new();
    for (direction, bytes) in parts {
        for piece in bytes.chunks(step) {
            state.feed(*direction, Input::Data(piece), 1);
            for index in 0..state.transactions().len() {
                let mut log = Vec::new();
                state.log(index, &mut log);
                out.push(String::from_utf8(log).unwrap());
            }
            state.mark_inspected();
        }
    }
    out
}

const AGREED: &[u8] = &[2, 9, 8, 0, 1, 0, 0, 0];

#[test]
fn goes_over_to_tls_in_any_cut() {
    let hello = [&[2, 0, 0, 38][..], &[7; 38]].concat();
    let parts = [
        (ToServer, connection(0xe0, b"Cookie: mstshash=me\r\n\x01\x08\x08\0\x03\0\0\0")),
        (ToClient, [connection(0xd0, AGREED), tls(22, &hello)].concat()),
        (ToServer, tls(22, &[&[1, 0, 0, 38][..], &[7; 38]].concat())),
        (ToClient, tls(22, &chain(&[&[0, 0xff, 0x12], &[5]]))),
        (ToClient, tls(23, b"nothing of this is read")),
    ];
    let expected = [
        r#""rdp":{"tx_id":1,"event_type":"initial_request","cookie":"me","flags":["correlation_info_present"]}"#,
        r#""rdp":{"tx_id":2,"event_type":"initial_response","server_supports":["extended_client_data","restricted_admin"],"protocol":"ssl"}"#,
        r#""rdp":{"tx_id":3,"event_type":"tls_handshake","x509_serials":["ff12","5"]}"#,
    ];
    (1..80).chain([1000]).for_each(|step| assert_eq!(records(&parts, step), expected, "{step}"));
}

#[test]
fn what_cannot_be_followed_ends_both_directions() {
    let request = connection(0xe0, b"");
    for bad in [b"\x02\0\0\x05xx".to_vec(), b"\x03\0\0\x03xx".to_vec(), tls(22, &[99, 0, 0, 1, 0])] {
        let parts = [(ToServer, request.clone()), (ToClient, bad), (ToServer, request.clone())];
        assert_eq!(records(&parts, 1000).len(), 1);
    }
    let mut state = RdpState::new(&Default::default());
    state.feed(ToServer, Input::Data(&request[..3]), 1);
    assert!(state.is_open(ToServer));
    state.feed(ToServer, Input::Gap(9), 2);
    state.feed(ToServer, Input::Data(&request), 3);
    assert!(state.transactions().is_empty() && !state.is_open(ToServer));
}

#[test]
fn units_that_are_not_messages() {
    let odd = [
        tpkt(b"\x06\xe0\0\x01\0\0\0"),     // a destination before there is one
        tpkt(b"\x06\xe0\0\0\0\0\x20"),     // class 2
        tpkt(b"\x05\xe0\0\0\0\0\0"),       // a header too short
        tpkt(b"\x16\xe0\0\0\0\0\0"),       // and too long
        tpkt(b"\x02\xf0\x80\x7f\x65\x00"), // connect-initial without anything
        connection(0xe0, b"Cookie: mstshash=without an end"),
        connection(0xd0, AGREED),
        tpkt(b""),
    ];
    let parts: Vec<_> = odd.into_iter().chain([connection(0xe0, b"")]).map(|b| (ToServer, b)).collect();
    assert_eq!(records(&parts, 5), [r#""rdp":{"tx_id":1,"event_type":"initial_request"}"#]);
}
