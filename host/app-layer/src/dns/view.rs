//! What detection and logs see of one message, over whatever it came.

use super::parser::{Message, Record};
use crate::{BufferState, Direction};
use weir_ir::Buffer;

/// A buffer of a message that came in `direction`.
pub(crate) fn buffer(message: &Message, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
    fn of(records: &[Record], instance: usize) -> BufferState<'_> {
        up_to_empty(records.iter().map(|record| record.name.as_slice()), instance)
    }
    match buffer {
        // dns.query looks at requests (Suricata 8: to the server only).
        Buffer::DnsQuery if direction == Direction::ToServer => of(&message.questions, instance),
        Buffer::DnsQueryName | Buffer::MdnsQueryName => of(&message.questions, instance),
        Buffer::DnsAnswerName | Buffer::MdnsAnswerName => of(&message.answers, instance),
        Buffer::DnsAuthoritiesName | Buffer::MdnsAuthoritiesName => of(&message.authorities, instance),
        Buffer::DnsAdditionalsName | Buffer::MdnsAdditionalsName => of(&message.additionals, instance),
        Buffer::DnsResponseName | Buffer::MdnsResponseName
            if direction == Direction::ToClient || buffer == Buffer::MdnsResponseName && message.is_response() =>
        {
            let answers = [&message.answers, &message.authorities, &message.additionals];
            let names = answers.into_iter().flatten().flat_map(|record| std::iter::once(record.name.as_slice()).chain(told_name(record)));
            up_to_empty(message.questions.iter().map(|question| question.name.as_slice()).chain(names), instance)
        }
        _ => BufferState::Absent,
    }
}

/// The name at this place; the root's, which is empty, ends the list.
fn up_to_empty<'a>(mut names: impl Iterator<Item = &'a [u8]>, instance: usize) -> BufferState<'a> {
    let mut before = names.by_ref().take(instance);
    if before.any(<[u8]>::is_empty) {
        return BufferState::Absent;
    }
    names.next().map_or(BufferState::Absent, BufferState::filled)
}

/// The host that a record's data name: of CNAME, MX, NS and PTR, and the primary server of SOA.
fn told_name(record: &Record) -> Option<&[u8]> {
    matches!(record.kind, 2 | 5 | 6 | 12 | 15).then_some(record.target.as_slice()).filter(|name| !name.is_empty())
}

/// A number of a message.
pub(crate) fn number(message: &Message, name: &str) -> Option<u64> {
    match name {
        "dns.opcode" => Some(u64::from(message.opcode())),
        // The field is there in requests as well, usually zero.
        "dns.rcode" => Some(u64::from(message.rcode())),
        "dns.rrtype" => message.questions.first().or(message.answers.first()).map(|r| u64::from(r.kind)),
        _ => None,
    }
}

/// The EVE object of a multicast message (RFC 6762): what devices say of themselves, names and texts.
pub(crate) fn log_multicast(message: &Message, out: &mut Vec<u8>) {
    let mut mdns = crate::json::Object::begin("mdns", out);
    mdns.text("type", Some(if message.is_response() { b"response" } else { b"request" }));
    mdns.number("id", message.id.into());
    let flags = [(10, "aa"), (9, "tc"), (8, "rd"), (7, "ra"), (6, "z")];
    mdns.texts("flags", flags.iter().filter(|(bit, _)| message.flags >> bit & 1 != 0).map(|(_, name)| name.as_bytes()));
    mdns.number("opcode", message.opcode().into());
    mdns.number("rcode", message.rcode().into());
    mdns.objects("queries", message.questions.iter(), |o, question| {
        name(o, question);
        o.string("rrtype", super::log::record_type(question.kind).to_ascii_lowercase().as_bytes());
    });
    mdns.objects("answers", message.answers.iter(), told);
    mdns.objects("authorities", message.authorities.iter(), name);
    mdns.objects("additionals", message.additionals.iter(), told);
    mdns.end();
}

fn name(o: &mut crate::json::Object<'_>, record: &Record) {
    o.string("rrname", &record.name);
    if record.truncated {
        o.flag("rrname_truncated", true);
    }
}

fn told(o: &mut crate::json::Object<'_>, record: &Record) {
    name(o, record);
    match record.kind {
        12 => o.string("ptr", &record.target),
        16 => {
            let mut rest = record.data.as_slice();
            let strings = std::iter::from_fn(|| {
                let (&length, more) = rest.split_first()?;
                let (text, after) = more.split_at_checked(usize::from(length)).unwrap_or((more, &[]));
                rest = after;
                Some(text)
            });
            o.texts("txt", strings);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &[u8], kind: u16, target: &[u8]) -> Record {
        Record { name: name.to_vec(), kind, target: target.to_vec(), ..Record::default() }
    }

    fn all(message: &Message, wanted: Buffer) -> Vec<Vec<u8>> {
        let at = |n| match buffer(message, Direction::ToClient, wanted, n) {
            BufferState::Present(view) => Some(view.bytes.to_vec()),
            _ => None,
        };
        (0..20).map_while(at).collect()
    }

    #[test]
    fn names_of_a_response_are_those_of_its_records_and_of_what_they_point_to() {
        let message = Message {
            flags: 0x8000,
            questions: vec![record(b"www.a.b", 1, b"")],
            answers: vec![record(b"www.a.b", 5, b"c.d"), record(b"c.d", 33, b"not.told")],
            authorities: vec![record(b"d", 6, b"ns.d")],
            additionals: vec![record(b"x", 1, b""), record(b"", 41, b""), record(b"behind", 1, b"")],
            ..Message::default()
        };
        let names: [&[u8]; 7] = [b"www.a.b", b"www.a.b", b"c.d", b"c.d", b"d", b"ns.d", b"x"];
        assert_eq!(all(&message, Buffer::DnsResponseName), names);
        // The root's name ends the list.
        assert_eq!(all(&message, Buffer::DnsAdditionalsName), [b"x".to_vec()]);
    }
}
