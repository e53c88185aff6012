//! What detection and logs see of one message, over whatever it came.

use super::parser::{Message, Record};
use crate::{BufferState, Direction};
use weir_ir::Buffer;

/// A buffer of a message that came in `direction`.
pub(crate) fn buffer(message: &Message, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
    fn of(records: &[Record], instance: usize) -> BufferState<'_> {
        records.get(instance).map_or(BufferState::Absent, |record| BufferState::whole(&record.name))
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
            let all = message.questions.iter().chain(&message.answers).chain(&message.authorities).chain(&message.additionals);
            match all.skip(instance).map(|r| r.name.as_slice()).next() {
                Some(bytes) => BufferState::whole(bytes),
                None => BufferState::Absent,
            }
        }
        _ => BufferState::Absent,
    }
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

/// The EVE object of a message.
pub(crate) fn log(message: &Message, direction: Direction, transaction: u64, out: &mut Vec<u8>) {
    let kind = if direction == Direction::ToServer { "request" } else { "response" };
    out.extend_from_slice(
        format!(
            "\"dns\":{{\"version\":3,\"type\":\"{kind}\",\"tx_id\":{},\"id\":{},\"flags\":\"{:x}\",\"opcode\":{}",
            transaction,
            message.id,
            message.flags,
            message.opcode()
        )
        .as_bytes(),
    );
    out.extend_from_slice(b",\"queries\":[");
    for (n, question) in message.questions.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        out.extend_from_slice(b"{\"rrname\":");
        crate::json::string(&question.name, out);
        out.extend_from_slice(b",\"rrtype\":");
        crate::json::string(record_type(question.kind).as_bytes(), out);
        out.push(b'}');
    }
    out.extend_from_slice(b"]}");
}

/// The EVE object of a multicast message.
pub(crate) fn log_multicast(message: &Message, out: &mut Vec<u8>) {
    let mut mdns = crate::json::Object::begin("mdns", out);
    mdns.text("type", Some(if message.is_response() { b"response" } else { b"request" }));
    mdns.number("id", message.id.into());
    mdns.number("opcode", message.opcode().into());
    mdns.number("rcode", message.rcode().into());
    for (key, records) in [
        ("queries", &message.questions),
        ("answers", &message.answers),
        ("authorities", &message.authorities),
        ("additionals", &message.additionals),
    ] {
        if !records.is_empty() {
            mdns.list(key, |list| {
                for record in records {
                    list.object(|o| {
                        o.string("rrname", &record.name);
                        o.string("rrtype", record_type(record.kind).as_bytes());
                    });
                }
            });
        }
    }
    mdns.end();
}

/// Mnemonic of a type (IANA DNS parameters); others as TYPEn (RFC 3597).
fn record_type(kind: u16) -> String {
    let name = match kind {
        1 => "A",
        2 => "NS",
        5 => "CNAME",
        6 => "SOA",
        10 => "NULL",
        12 => "PTR",
        15 => "MX",
        16 => "TXT",
        28 => "AAAA",
        33 => "SRV",
        35 => "NAPTR",
        41 => "OPT",
        43 => "DS",
        46 => "RRSIG",
        48 => "DNSKEY",
        64 => "SVCB",
        65 => "HTTPS",
        252 => "AXFR",
        255 => "ANY",
        _ => return format!("TYPE{kind}"),
    };
    name.to_owned()
}
