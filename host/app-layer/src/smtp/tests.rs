use super::SmtpState;
use crate::{BufferState, COMPLETE, Direction, Input, ProtocolState};
use Direction::{ToClient, ToServer};
use weir_ir::Buffer;

/// Feed a dialogue, whole or cut; give the buffers of each transaction at the moment it is complete.
fn dialogue(steps: &[(Direction, &[u8])], step: usize) -> (SmtpState, Vec<Vec<(Buffer, Vec<Vec<u8>>)>>, Vec<&'static str>) {
    let mut state = SmtpState::new(&Default::default());
    let (mut seen, mut events) = (Vec::new(), Vec::new());
    let mut note = |state: &mut SmtpState| {
        for (index, t) in state.transactions().iter().enumerate() {
            for e in &t.events {
                let name = state.event_name(*e);
                if !events.contains(&name) {
                    events.push(name);
                }
            }
            if t.progress == [COMPLETE; 2] {
                seen.push(WATCHED.iter().map(|b| (*b, all(state, index, *b))).collect());
            }
        }
        state.mark_inspected();
    };
    for (direction, bytes) in steps {
        for part in bytes.chunks(step) {
            state.feed(*direction, Input::Data(part), 1);
            note(&mut state);
        }
    }
    for direction in [ToServer, ToClient] {
        state.feed(direction, Input::End, 2);
        note(&mut state);
    }
    (state, seen, events)
}

const WATCHED: [Buffer; 6] = [
    Buffer::SmtpHelo,
    Buffer::SmtpMailFrom,
    Buffer::SmtpRcptTo,
    Buffer::EmailSubject,
    Buffer::FileName,
    Buffer::FileData,
];

fn all(state: &SmtpState, index: usize, buffer: Buffer) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    for instance in 0..10 {
        match state.buffer(index, ToServer, buffer, instance) {
            BufferState::Present(view) => out.push(view.bytes.to_vec()),
            _ => break,
        }
        if !buffer.is_multi() {
            break;
        }
    }
    out
}

fn value(transaction: &[(Buffer, Vec<Vec<u8>>)], buffer: Buffer) -> Vec<String> {
    let found = transaction.iter().find(|(b, _)| *b == buffer).expect("watched");
    found.1.iter().map(|v| String::from_utf8_lossy(v).into_owned()).collect()
}

#[test]
fn two_mails_of_one_session() {
    let steps: [(Direction, &[u8]); 10] = [
        (ToClient, b"220 mx.example\r\n"),
        (ToServer, b"EHLO c.example\r\n"),
        (ToClient, b"250-mx.example\r\n250 SIZE\r\n"),
        (ToServer, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\nDATA\r\n"),
        (ToClient, b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"),
        (ToServer, b"Subject: one\r\nContent-Disposition: attachment; filename=f\r\n\r\n..dot\r\n.\r\n"),
        (ToClient, b"250 queued\r\n"),
        (ToServer, b"MAIL FROM:<g@h>\r\nRCPT TO:<i@j>\r\nDATA\r\n"),
        (ToClient, b"250 ok\r\n250 ok\r\n354 go\r\n"),
        (ToServer, b"Subject: two\r\n\r\nx\r\n.\r\nQUIT\r\n"),
    ];
    for step in [1, 3, 1000] {
        let (_, seen, events) = dialogue(&steps, step);
        assert_eq!(seen.len(), 2, "{step}");
        assert!(events.is_empty(), "{events:?}");
        assert_eq!(value(&seen[0], Buffer::SmtpHelo), ["c.example"]);
        assert_eq!(value(&seen[0], Buffer::SmtpMailFrom), ["<a@b>"]);
        assert_eq!(value(&seen[0], Buffer::SmtpRcptTo), ["<c@d>", "<e@f>"]);
        assert_eq!(value(&seen[0], Buffer::EmailSubject), ["one"]);
        assert_eq!(value(&seen[0], Buffer::FileName), ["f"]);
        assert_eq!(value(&seen[0], Buffer::FileData), [".dot\r\n"]);
        assert_eq!(value(&seen[1], Buffer::SmtpMailFrom), ["<g@h>"]);
        assert_eq!(value(&seen[1], Buffer::EmailSubject), ["two"]);
    }
}

#[test]
fn pipelined_mail_without_waiting() {
    let steps: [(Direction, &[u8]); 4] = [
        (ToClient, b"220 x\r\n"),
        (ToServer, b"EHLO c\r\n"),
        (ToClient, b"250-x\r\n250-PIPELINING\r\n250 HELP\r\n"),
        (ToServer, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nSubject: s\r\n\r\nx\r\n.\r\nQUIT\r\n"),
    ];
    let (_, seen, events) = dialogue(&steps, 4);
    assert_eq!(value(&seen[0], Buffer::EmailSubject), ["s"]);
    // DATA must be the last command of a group, but the mail is read all the same.
    assert_eq!(events, ["invalid_pipelined_sequence"]);
}

#[test]
fn chunks() {
    let steps: [(Direction, &[u8]); 4] = [
        (ToClient, b"220 x\r\n"),
        (ToServer, b"EHLO c\r\n"),
        (ToClient, b"250 CHUNKING\r\n"),
        (ToServer, b"MAIL FROM:<a@b>\r\nBDAT 20\r\nSubject: chunked\r\nA:BDAT 6 LAST\r\n b\r\n\r\nNOOP\r\n"),
    ];
    let (_, seen, _) = dialogue(&steps, 3);
    assert_eq!(value(&seen[0], Buffer::EmailSubject), ["chunked"]);
    let (_, _, events) = dialogue(&[(ToServer, b"BDAT many\r\n")], 100);
    assert_eq!(events, ["no_server_welcome_message", "invalid_bdat"]);
}

#[test]
fn starttls_hands_the_rest_over() {
    let mut state = SmtpState::new(&Default::default());
    state.feed(ToClient, Input::Data(b"220 x\r\n"), 1);
    state.feed(ToServer, Input::Data(b"EHLO c\r\nSTARTTLS\r\n"), 2);
    state.feed(ToClient, Input::Data(b"250 x\r\n220 go\r\n"), 3);
    assert_eq!(state.upgrade().and_then(|u| u.protocol), Some(weir_contract::protocol::AppProtocol::Tls));
    state.feed(ToServer, Input::Data(b"\x16\x03\x01"), 4);
    assert_eq!(state.take_rest(ToServer), b"\x16\x03\x01");
}

#[test]
fn oddities_of_the_dialogue() {
    for (steps, expected) in [
        (&[(ToClient, &b"220 x\r\n"[..]), (ToServer, b"EHLO a\r\n"), (ToClient, b"bla\r\n")][..], "invalid_reply"),
        (&[(ToClient, b"220 x\r\n"), (ToServer, b"EHLO a\r\n"), (ToClient, b"250 a\r\n250 b\r\n")], "unable_to_match_reply_with_request"),
        (&[(ToClient, b"220 x\r\n"), (ToServer, b"DATA\r\n"), (ToClient, b"503 no\r\n")], "data_command_rejected"),
        (&[(ToClient, b"220 x\r\n"), (ToServer, b"STARTTLS\r\n"), (ToClient, b"502 no\r\n")], "tls_rejected"),
        (&[(ToClient, b"220 x\r\n"), (ToServer, b"EHLO a\r\nEHLO b\r\n")], "duplicate_fields"),
    ] {
        assert_eq!(dialogue(steps, 100).2, [expected]);
    }
    let long = [&[b'x'; 5000][..], b"\r\n"].concat();
    assert_eq!(dialogue(&[(ToClient, b"220 x\r\n"), (ToServer, &long)], 100).2, ["max_command_line_len_exceeded"]);
}

#[test]
fn a_gap_loses_what_it_covers_and_no_more() {
    let mut state = SmtpState::new(&Default::default());
    state.feed(ToClient, Input::Data(b"220 x\r\n"), 1);
    state.feed(ToServer, Input::Data(b"EHLO c\r\nMAIL FR"), 2);
    state.feed(ToServer, Input::Gap(10), 3);
    state.feed(ToServer, Input::Data(b"x>\r\nRCPT TO:<c@d>\r\n"), 4);
    assert_eq!(all(&state, 0, Buffer::SmtpRcptTo), [b"<c@d>"]);
    assert!(all(&state, 0, Buffer::SmtpMailFrom).is_empty());
}

#[test]
fn memory_is_bounded() {
    let mut state = SmtpState::new(&Default::default());
    for _ in 0..3000 {
        state.feed(ToServer, Input::Data(b"RSET\r\nNOOP\r\nRCPT TO:<a@b>\r\n"), 1);
    }
    assert!(state.transactions().len() <= 256);
}

#[test]
fn a_greeting_belongs_to_what_comes_after_it_in_any_cut() {
    let whole = b"EHLO first\r\nMAIL FROM:<a@b>\r\nDATA\r\nx: y\r\n\r\nz\r\n.\r\nHELO second\r\nMAIL FROM:<c@d>\r\n";
    for cut in [1, 5, whole.len()] {
        let mut state = SmtpState::new(&Default::default());
        state.feed(ToClient, Input::Data(b"220 x\r\n"), 1);
        whole.chunks(cut).for_each(|part| state.feed(ToServer, Input::Data(part), 2));
        assert_eq!(all(&state, 0, Buffer::SmtpHelo), [b"first"], "cut {cut}");
        assert_eq!(all(&state, 1, Buffer::SmtpHelo), [b"second"], "cut {cut}");
    }
}

#[test]
fn events_behind_a_mail_do_not_depend_on_deliveries() {
    let events = |inspect: bool| {
        let mut state = SmtpState::new(&Default::default());
        let mut seen = std::collections::BTreeMap::new();
        let mail: &[u8] = b"HELO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx: y\r\n\r\nz\r\n.\r\n";
        let replies: &[u8] = b"220 x\r\n250 a\r\n250 b\r\n250 c\r\n354 d\r\n250 e\r\n";
        for (direction, bytes) in [(ToClient, &replies[..7]), (ToServer, mail), (ToClient, &replies[7..]), (ToClient, b"what\r\n")] {
            state.feed(direction, Input::Data(bytes), 1);
            seen.extend(state.transactions().iter().map(|t| (t.id, t.events.clone())));
            if inspect {
                state.mark_inspected();
            }
        }
        seen
    };
    assert_eq!(events(true), events(false));
    assert!(events(true).values().any(|events| !events.is_empty()));
}

/// A mail is complete with the server's answer to it: its record tells the state behind the reply.
#[test]
fn a_mail_is_complete_with_its_reply() {
    let mut state = SmtpState::new(&Default::default());
    let mut said = |client: bool, text: &[u8]| {
        let direction = if client { Direction::ToServer } else { Direction::ToClient };
        state.feed(direction, Input::Data(text), 1);
        let all = state.transactions().iter().map(|t| t.progress).collect::<Vec<_>>();
        state.mark_inspected();
        all
    };
    said(false, b"220 hi\r\n");
    said(true, b"MAIL FROM:<a@b>\r\nDATA\r\n");
    said(false, b"250 ok\r\n354 go\r\n");
    assert_eq!(said(true, b"Subject: x\r\n\r\ny\r\n.\r\n"), [[COMPLETE, 0]]);
    // What the client goes on with belongs to the next mail.
    assert_eq!(said(true, b"MAIL FROM:<c@d>\r\n"), [[COMPLETE, 0], [0, 0]]);
    assert_eq!(said(false, b"250-queued\r\n"), [[COMPLETE, 0], [0, 0]]);
    assert_eq!(said(false, b"250 as 1\r\n"), [[COMPLETE; 2], [0, 0]]);
    assert_eq!(said(false, b"250 ok\r\n"), [[0, 0]]);
}
