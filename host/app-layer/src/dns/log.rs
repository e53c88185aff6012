//! EVE objects of DNS messages, in the layouts of versions 3 and 2.

use super::parser::{Message, Record};
use crate::json::Object;
use crate::{Direction, LogSettings};
use std::borrow::Cow;

/// Longest name a record shows.
const NAME_MAX: usize = 1025;

/// Mnemonic of a type (IANA DNS parameters); others as TYPEn (RFC 3597).
pub(super) fn record_type(kind: u16) -> String {
    const NAMES: [(u16, &str); 60] = [
        (1, "A"), (2, "NS"), (3, "MD"), (4, "MF"), (5, "CNAME"), (6, "SOA"), (7, "MB"), (8, "MG"), (9, "MR"),
        (10, "NULL"), (11, "WKS"), (12, "PTR"), (13, "HINFO"), (14, "MINFO"), (15, "MX"), (16, "TXT"), (17, "RP"),
        (18, "AFSDB"), (19, "X25"), (20, "ISDN"), (21, "RT"), (22, "NSAP"), (23, "NSAP-PTR"), (24, "SIG"), (25, "KEY"),
        (26, "PX"), (27, "GPOS"), (28, "AAAA"), (29, "LOC"), (30, "NXT"), (33, "SRV"), (34, "ATMA"), (35, "NAPTR"),
        (36, "KX"), (37, "CERT"), (38, "A6"), (39, "DNAME"), (41, "OPT"), (42, "APL"), (43, "DS"), (44, "SSHFP"),
        (45, "IPSECKEY"), (46, "RRSIG"), (47, "NSEC"), (48, "DNSKEY"), (49, "DHCID"), (50, "NSEC3"), (51, "NSEC3PARAM"),
        (52, "TLSA"), (55, "HIP"), (59, "CDS"), (60, "CDNSKEY"), (64, "SVCB"), (65, "HTTPS"), (99, "SPF"), (249, "TKEY"),
        (250, "TSIG"), (252, "AXFR"), (255, "ANY"), (256, "URI"),
    ];
    match NAMES.binary_search_by_key(&kind, |n| n.0) {
        Ok(at) => NAMES[at].1.to_owned(),
        Err(_) => format!("TYPE{kind}"),
    }
}

/// Name of a response code (IANA DNS parameters).
pub(super) fn response_code(code: u8) -> String {
    const NAMES: [&str; 12] = [
        "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH",
        "NOTZONE", "RCODE-11",
    ];
    NAMES.get(usize::from(code)).map_or_else(|| format!("RCODE-{code}"), |name| (*name).to_owned())
}

fn flags(o: &mut Object<'_>, m: &Message) {
    for (bit, name) in [(15, "qr"), (10, "aa"), (9, "tc"), (8, "rd"), (7, "ra"), (6, "z")] {
        if m.flags >> bit & 1 != 0 {
            o.flag(name, true);
        }
    }
}

fn name(o: &mut Object<'_>, record: &Record) {
    o.always("rrname", record.name.get(..NAME_MAX).unwrap_or(&record.name));
    if record.truncated {
        o.flag("rrname_truncated", true);
    }
}

/// What RDATA shows as one text.
fn shown(record: &Record) -> Option<Vec<u8>> {
    let data = record.data.as_slice();
    match (record.kind, data) {
        (1, &[a, b, c, d]) => Some(format!("{a}.{b}.{c}.{d}").into_bytes()),
        (28, data) if data.len() == 16 => {
            let groups: Vec<String> = data.chunks(2).map(|g| format!("{:02x}{:02x}", g[0], g[1])).collect();
            Some(groups.join(":").into_bytes())
        }
        (1 | 28, _) => Some(Vec::new()),
        (2 | 5 | 12, _) => Some(record.target.clone()),
        (15, _) => Some(record.target.clone()),
        (16, _) => {
            let mut out = Vec::new();
            let mut rest = data;
            while let Some((&length, more)) = rest.split_first() {
                let (text, after) = more.split_at_checked(usize::from(length)).unwrap_or((more, &[]));
                out.extend_from_slice(text);
                rest = after;
            }
            Some(out)
        }
        (10, _) => Some(data.to_vec()),
        _ => None,
    }
}

/// Most strings of a TXT record that are told.
const STRINGS_MAX: usize = 256;

/// A record as entries: each string of TXT (RFC 1035 section 3.3.14) is one.
fn entries(record: &Record) -> Vec<Cow<'_, Record>> {
    let mut strings = Vec::new();
    let mut rest = if record.kind == 16 { record.data.as_slice() } else { &[] };
    while let Some(&length) = rest.first().filter(|_| strings.len() < STRINGS_MAX) {
        let (string, after) = rest.split_at_checked(usize::from(length) + 1).unwrap_or((rest, &[]));
        strings.push(string);
        rest = after;
    }
    if strings.len() < 2 {
        return vec![Cow::Borrowed(record)];
    }
    strings.into_iter().map(|data| Cow::Owned(Record { data: data.to_vec(), ..record.clone() })).collect()
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |n, b| n << 8 | u64::from(*b))
}

fn hex(bytes: &[u8]) -> String {
    crate::digest::hex(bytes)
}

fn answer(o: &mut Object<'_>, record: &Record) {
    name(o, record);
    o.text("rrtype", Some(record_type(record.kind).as_bytes()));
    o.number("ttl", record.ttl.into());
    let data = record.data.as_slice();
    match record.kind {
        6 => {
            // Five numbers behind two names (RFC 1035 section 3.3.13).
            let fixed = data.get(data.len().saturating_sub(20)..).filter(|d| d.len() == 20);
            if let Some(fixed) = fixed {
                o.object("soa", |o| {
                    o.always("mname", &record.target);
                    o.always("rname", &record.second);
                    for (key, part) in ["serial", "refresh", "retry", "expire", "minimum"].iter().zip(fixed.chunks(4)) {
                        o.number(key, number(part));
                    }
                });
            }
        }
        33 => {
            if let Some(fixed) = data.get(..6) {
                o.object("srv", |o| {
                    for (key, part) in ["priority", "weight", "port"].iter().zip(fixed.chunks(2)) {
                        o.number(key, number(part));
                    }
                    o.always("name", &record.target);
                });
            }
        }
        44 => {
            if let Some((&[algorithm, kind], fingerprint)) = data.split_first_chunk::<2>() {
                o.object("sshfp", |o| {
                    let pairs: Vec<String> = fingerprint.iter().map(|b| format!("{b:02x}")).collect();
                    o.always("fingerprint", pairs.join(":").as_bytes());
                    o.number("algo", algorithm.into());
                    o.number("type", kind.into());
                });
            }
        }
        41 => options(o, data),
        _ => {
            if let Some(text) = shown(record) {
                o.always("rdata", &text);
            }
        }
    }
}

/// Options of OPT (RFC 6891 section 6.1.2).
fn options(o: &mut Object<'_>, data: &[u8]) {
    let mut rest = data;
    let list = std::iter::from_fn(|| {
        let (head, more) = rest.split_first_chunk::<4>()?;
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (value, after) = more.split_at_checked(length)?;
        rest = after;
        Some((u16::from_be_bytes([head[0], head[1]]), value))
    });
    o.objects("opt", list, |o, (code, value)| {
        o.number("code", code.into());
        o.always("data", hex(value).as_bytes());
    });
}

/// Texts of the answers by type.
fn grouped(o: &mut Object<'_>, m: &Message) {
    let mut kinds: Vec<u16> = Vec::new();
    for record in &m.answers {
        if shown(record).is_some() && !kinds.contains(&record.kind) {
            kinds.push(record.kind);
        }
    }
    if kinds.is_empty() {
        return;
    }
    o.object("grouped", |o| {
        for kind in kinds {
            let of_kind = m.answers.iter().filter(|r| r.kind == kind).flat_map(entries);
            let texts: Vec<Vec<u8>> = of_kind.filter_map(|record| shown(&record)).collect();
            o.texts_always(&record_type(kind), texts.iter().map(Vec::as_slice));
        }
    });
}

fn is_on(settings: &LogSettings, what: &str) -> bool {
    settings.list("formats").is_none_or(|formats| formats.is_empty() || formats.contains(&what))
}

/// Types that a log is limited to.
fn wanted(settings: &LogSettings, kind: u16) -> bool {
    let types = settings.list("types").or_else(|| settings.list("custom"));
    types.is_none_or(|types| types.iter().any(|t| t.eq_ignore_ascii_case(&record_type(kind))))
}

fn version(settings: &LogSettings) -> u8 {
    settings.text("version").and_then(|v| v.parse().ok()).unwrap_or(3)
}

/// Records of a message: version 2 has one for each question of a request.
pub(super) fn parts(direction: Direction, m: &Message, settings: &LogSettings) -> usize {
    match (version(settings), direction) {
        (1 | 2, Direction::ToServer) => m.questions.len(),
        _ => 1,
    }
}

/// Appends the object of a message; false if the log does not want it.
pub(super) fn write(
    (direction, m, id): (Direction, &Message, u64),
    part: usize,
    settings: &LogSettings,
    out: &mut Vec<u8>,
) -> bool {
    let request = direction == Direction::ToServer;
    let switch = if request { ["requests", "query"] } else { ["responses", "answer"] };
    if !switch.iter().all(|name| settings.is(name, true)) {
        return false;
    }
    if !m.questions.is_empty() && !m.questions.iter().any(|q| wanted(settings, q.kind)) {
        return false;
    }
    if version(settings) <= 2 {
        return old(request, m, id, part, settings, out);
    }
    let mut o = Object::begin("dns", out);
    o.number("version", 3);
    o.text("type", Some(if request { b"request" } else { b"response" }));
    o.number("tx_id", id);
    o.number("id", m.id.into());
    o.text("flags", Some(format!("{:x}", m.flags).as_bytes()));
    flags(&mut o, m);
    o.number("opcode", m.opcode().into());
    o.text("rcode", Some(response_code(m.rcode()).as_bytes()));
    o.objects("queries", m.questions.iter(), |o, q| {
        name(o, q);
        o.text("rrtype", Some(record_type(q.kind).as_bytes()));
    });
    if is_on(settings, "detailed") {
        o.objects("answers", m.answers.iter().flat_map(entries), |o, record| answer(o, &record));
    }
    if is_on(settings, "grouped") {
        grouped(&mut o, m);
    }
    o.objects("authorities", m.authorities.iter().flat_map(entries), |o, record| answer(o, &record));
    // OPT without options only says what sizes its sender takes (RFC 6891 section 6.1.3).
    o.objects("additionals", m.additionals.iter().filter(|r| r.kind != 41 || !r.data.is_empty()), answer);
    o.end();
    true
}

/// The layout of version 2.
fn old(request: bool, m: &Message, id: u64, part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
    let question = m.questions.get(part);
    let mut o = Object::begin("dns", out);
    o.number("version", 2);
    if request {
        let Some(question) = question.filter(|q| wanted(settings, q.kind)) else {
            o.end();
            return false;
        };
        o.text("type", Some(b"query"));
        o.number("id", m.id.into());
        name(&mut o, question);
        o.text("rrtype", Some(record_type(question.kind).as_bytes()));
        o.number("tx_id", id);
        if m.z() {
            o.flag("z", true);
        }
        o.number("opcode", m.opcode().into());
    } else {
        o.text("type", Some(b"answer"));
        o.number("id", m.id.into());
        o.text("flags", Some(format!("{:x}", m.flags).as_bytes()));
        flags(&mut o, m);
        o.number("opcode", m.opcode().into());
        if let Some(question) = question {
            name(&mut o, question);
            o.text("rrtype", Some(record_type(question.kind).as_bytes()));
        }
        o.text("rcode", Some(response_code(m.rcode()).as_bytes()));
        if is_on(settings, "detailed") {
            o.objects("answers", m.answers.iter().flat_map(entries), |o, record| answer(o, &record));
        }
        if is_on(settings, "grouped") {
            grouped(&mut o, m);
        }
        o.objects("authorities", m.authorities.iter().flat_map(entries), |o, record| answer(o, &record));
    }
    o.end();
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_string_of_a_text_record_is_an_entry() {
        let record = |data: &[u8]| Record { name: b"a.example".to_vec(), kind: 16, data: data.to_vec(), ..Record::default() };
        let texts = |data: &[u8]| -> Vec<Vec<u8>> { entries(&record(data)).iter().filter_map(|entry| shown(entry)).collect() };
        assert_eq!(texts(b"\x03abc\x00\x01d"), [b"abc".to_vec(), Vec::new(), b"d".to_vec()]);
        assert_eq!(texts(b"\x03abc"), [b"abc".to_vec()]);
        assert_eq!(texts(b""), [Vec::<u8>::new()]);
        // Of a string that is cut short what is there.
        assert_eq!(texts(b"\x01a\x05bc"), [b"a".to_vec(), b"bc".to_vec()]);
        assert_eq!(entries(&record(&[0; 5000])).len(), STRINGS_MAX);
    }
}
