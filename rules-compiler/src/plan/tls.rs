//! Buffers of TLS handshakes.
//!
//! Handshake messages travel in records; a record header in the midst of a message would split a fragment, so each
//! fragment comes with the guard `tls_handshake_spans` (a handshake record whose messages do not end with it).
//!
//! | buffer | on the wire |
//! |---|---|
//! | `tls.sni`, `tls.subjectaltname` | verbatim, any case |
//! | `tls.certs` | DER, verbatim |
//! | `tls.cert_subject`, `tls.cert_issuer` | `name=value, name=value`: a fragment lies in one value; as one byte per letter or, in a BMPString, two |
//! | `tls.cert_serial` | two hexadecimal digits and a colon per byte: the bytes |
//!
//! Fingerprints (JA3, JA4, digests), randoms and versions have no fragment: class C, until encryption begins.

use super::class::{Class, Condition, Fragment, Trigger};
use super::cost::{self, Traffic};
use super::{Builder, Choice, base, chain, payload};
use weir_contract::enums::TransportMask;
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;
use weir_contract::protocol::AppProtocol;
use weir_ir::{Buffer, BufferMatch, Rule};

/// Buffers with fragments.
pub fn is_tls(buffer: Buffer) -> bool {
    matches!(
        buffer,
        Buffer::TlsSni
            | Buffer::TlsSubjectAltName
            | Buffer::TlsCerts
            | Buffer::TlsCertSubject
            | Buffer::TlsCertIssuer
            | Buffer::TlsCertSerial
    )
}

/// Names of attributes that the engine writes out (others are dotted numbers).
const ATTRIBUTES: [&[u8]; 6] = [b"serialnumber", b"emailaddress", b"unstructuredname", b"street", b"title", b"domaincomponent"];

/// Parts of a distinguished name's text that are certain to lie in one attribute's value.
fn value_parts(text: &[u8]) -> Vec<&[u8]> {
    let mut out = Vec::new();
    let mut start = 0;
    let mut after_equals = false;
    for (i, &b) in text.iter().chain(b",").enumerate() {
        if b != b'=' && b != b',' {
            continue;
        }
        let part = text.get(start..i).unwrap_or_default();
        // White space next to a comma may belong to the joint.
        let part = part.trim_ascii();
        let folded = part.to_ascii_lowercase();
        let may_be_name = ATTRIBUTES.iter().any(|n| n.windows(folded.len().max(1)).any(|w| w == folded.as_slice()))
            || part.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        if after_equals || !may_be_name {
            out.push(part);
        }
        after_equals = b == b'=';
        start = i + 1;
    }
    out
}

/// `AA:BB:…` or `AABB…` as bytes; only whole, aligned pairs are certain.
fn serial_bytes(text: &[u8]) -> Vec<u8> {
    // Without a colon there is nothing that tells where a byte begins.
    let mut best = Vec::new();
    let mut run = Vec::new();
    for part in text.split(|&b| b == b':') {
        let pair = match part {
            [a, b] => hex(*a).zip(hex(*b)),
            _ => None,
        };
        match pair {
            Some((high, low)) => run.push(high << 4 | low),
            None => run.clear(),
        }
        if run.len() > best.len() {
            best.clone_from(&run);
        }
    }
    best
}

fn hex(b: u8) -> Option<u8> {
    char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

/// The window as two-byte letters, big-endian, cut to eight bytes: the first four of its letters.
fn wide(window: &Fragment) -> Option<Fragment> {
    let bytes: Vec<u8> = window.bytes().iter().take(4).flat_map(|&b| [0, b]).collect();
    if window.bytes().iter().any(|b| !b.is_ascii()) {
        return None;
    }
    Fragment::new(&bytes, window.case_mask != 0)
}

/// Records for frames that carry the messages a buffer is of.
pub(super) fn records(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Vec<Record> {
    let directions = base::flow_directions(rule) & base::buffer_directions(run.buffer);
    let directions = if directions == 0 { base::buffer_directions(run.buffer) } else { directions };
    let mut records = base::base_records(rule, builder.sets, directions);
    for record in &mut records {
        record.class_mask &= base::classes(AppProtocol::Tls);
        record.transports &= TransportMask::TCP.0;
        record.payload_min = 1;
    }
    records
}

/// The best fragment of a TLS buffer.
pub fn fragment(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    use weir_ir::Transform;
    let dot_prefix = match run.transforms.as_slice() {
        [] => false,
        [Transform::DotPrefix] => true,
        _ => return None,
    };
    let name = matches!(run.buffer, Buffer::TlsCertSubject | Buffer::TlsCertIssuer);
    let folded = matches!(run.buffer, Buffer::TlsSni | Buffer::TlsSubjectAltName | Buffer::TlsCertSerial);
    let mut best: Option<(Vec<Fragment>, f64)> = None;
    for p in chain::place(&run.matches) {
        let content = p.content;
        let text: &[u8] = &content.bytes;
        // The dot that the transform puts before the name is not on the wire; where the content's first dot is a dot of
        // the name, leaving it out is as good.
        let text = if dot_prefix { text.strip_prefix(b".").unwrap_or(text) } else { text };
        let serial;
        let parts = match run.buffer {
            Buffer::TlsCertSerial => {
                serial = serial_bytes(text);
                vec![serial.as_slice()]
            }
            _ if name => value_parts(text),
            _ => vec![text],
        };
        let exact = builder.options.exact_case && !content.nocase && !folded;
        // Bytes of a serial number are not letters: a folded comparison of them is a superset, which is enough.
        for part in parts {
            for (_, window) in payload::windows(part, exact) {
                let mut fragments = vec![window];
                if name {
                    let Some(wide) = wide(&window) else { continue };
                    fragments.push(wide);
                }
                let rate: f64 = fragments.iter().map(|f| builder.statistics.rate(Traffic::Tls, f)).sum();
                if best.as_ref().is_none_or(|b| rate < b.1) {
                    best = Some((fragments, rate));
                }
            }
        }
    }
    if best.is_none() && run.buffer == Buffer::TlsSni {
        // A name in a hello has its length before it.
        for p in chain::place(&run.matches) {
            let text: &[u8] = if dot_prefix { p.content.bytes.strip_prefix(b".").unwrap_or(&p.content.bytes) } else { &p.content.bytes };
            for three in text.windows(3) {
                let fragments = payload::with_neighbour(three, false, false);
                let rate = builder.statistics.rate_of_run(Traffic::Tls, three).max(1e-4);
                if best.as_ref().is_none_or(|b| rate < b.1) {
                    best = Some((fragments, rate));
                }
            }
        }
    }
    let (fragments, cost) = best?;
    let records = records(rule, run, builder);
    let mut conditions = Vec::new();
    for &record in &records {
        conditions.extend(fragments.iter().map(|&f| Condition { trigger: Trigger::Fragment(f), record }));
        if builder.options.guard(Guard::TlsHandshakeSpans) {
            conditions.push(Condition { trigger: Trigger::Guard(Guard::TlsHandshakeSpans as u8), record });
        }
    }
    let transformed = name || run.buffer == Buffer::TlsCertSerial;
    let narrowing = records.iter().map(|r| cost::narrowing(r, builder.sets)).sum::<f64>();
    let shown = fragments.iter().take(3).map(|f| format!("\"{}\"", f.display())).collect::<Vec<_>>().join(" or ");
    Some(Choice {
        class: if transformed { Class::Transformed } else { Class::Guarded },
        reason: format!("{shown} of {}", run.buffer.name()),
        conditions,
        percent: Vec::new(),
        equals: Vec::new(),
        cost: cost * narrowing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_names() {
        assert!(value_parts(b"CN=evil.com").contains(&&b"evil.com"[..]));
        let parts = value_parts(b"O=Evil Corp, CN=x.y, emailAddress=a@b");
        assert!(parts.contains(&&b"Evil Corp"[..]) && parts.contains(&&b"x.y"[..]) && parts.contains(&&b"a@b"[..]));
        assert!(!parts.iter().any(|p| p.eq_ignore_ascii_case(b"emailAddress")));
        assert!(value_parts(b"1.2.840").is_empty());
    }

    #[test]
    fn serials() {
        assert_eq!(serial_bytes(b"00:AB:cd:12"), [0, 0xab, 0xcd, 0x12]);
        assert_eq!(serial_bytes(b"F:AB:cd:1"), [0xab, 0xcd]);
        assert!(serial_bytes(b"ABCD").is_empty());
    }
}
