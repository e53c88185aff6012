//! TLS handshakes of a rule: ClientHello, ServerHello and a certificate that nobody signed.

use super::conversation::{Maker, Turn, turn, way};
use super::solve::{Cause, Filler};
use weir_ir::{AppLayerCondition, Buffer, Rule};
use weir_synth::{Random, Way};

fn sized16(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u16).to_be_bytes()[..], body].concat()
}

fn sized24(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[1..], body].concat()
}

fn record(kind: u8, version: u16, body: &[u8]) -> Vec<u8> {
    body.chunks(16_000).flat_map(|part| [&[kind][..], &version.to_be_bytes(), &sized16(part)].concat()).collect()
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &sized24(body)].concat()
}

fn random_field(random: &mut Random) -> Vec<u8> {
    random.bytes(32)
}

/// An element of DER (X.690 section 8.1).
fn der(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match body.len() {
        n @ 0..=127 => out.push(n as u8),
        n @ 128..=255 => out.extend([0x81, n as u8]),
        n => out.extend([0x82, (n >> 8) as u8, n as u8]),
    }
    out.extend(body);
    out
}

/// Attribute types of names (RFC 5280 appendix A.1) by the letters under which they are shown.
const ATTRIBUTES: [(&str, &[u8]); 9] = [
    ("CN", &[0x55, 4, 3]),
    ("C", &[0x55, 4, 6]),
    ("L", &[0x55, 4, 7]),
    ("ST", &[0x55, 4, 8]),
    ("O", &[0x55, 4, 10]),
    ("OU", &[0x55, 4, 11]),
    ("SN", &[0x55, 4, 4]),
    ("emailAddress", &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]),
    ("DC", &[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 0x19]),
];

/// A name from its text, `C=XX, O=Example, CN=host`.
fn name(text: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(text).into_owned();
    let mut parts: Vec<(&[u8], String)> = Vec::new();
    for part in text.split(", ") {
        let known = part.split_once('=').and_then(|(key, value)| {
            let found = ATTRIBUTES.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
            found.map(|(_, oid)| (*oid, value.to_owned()))
        });
        match (known, parts.last_mut()) {
            (Some(known), _) => parts.push(known),
            (None, Some(last)) => last.1 += &format!(", {part}"),
            (None, None) => parts.push((ATTRIBUTES[0].1, part.to_owned())),
        }
    }
    let relative =
        |(oid, value): &(&[u8], String)| der(0x31, &der(0x30, &[der(6, oid), der(0x0c, value.as_bytes())].concat()));
    der(0x30, &parts.iter().flat_map(relative).collect::<Vec<u8>>())
}

struct Certificate {
    subject: Vec<u8>,
    issuer: Vec<u8>,
    serial: Vec<u8>,
    names: Vec<Vec<u8>>,
    /// Bytes that have to stand somewhere in it.
    opaque: Vec<u8>,
    years: (u8, u8),
}

fn certificate(c: &Certificate, random: &mut Random) -> Vec<u8> {
    let algorithm = der(0x30, &[der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11]), der(5, &[])].concat());
    let time = |year: u8| der(0x17, format!("{year:02}0102030405Z").as_bytes());
    let key =
        [&[0][..], &der(0x30, &[der(2, &[&[0x5a][..], &random.bytes(127)].concat()), der(2, &[1, 0, 1])].concat())]
            .concat();
    let key_algorithm = der(0x30, &[der(6, &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]), der(5, &[])].concat());
    let mut extensions = Vec::new();
    if !c.names.is_empty() {
        let list: Vec<u8> = c.names.iter().flat_map(|n| der(0x82, n)).collect();
        extensions.extend(der(0x30, &[der(6, &[0x55, 0x1d, 0x11]), der(4, &der(0x30, &list))].concat()));
    }
    if !c.opaque.is_empty() {
        extensions.extend(der(0x30, &[der(6, &[0x2a, 3, 4, 5]), der(4, &c.opaque)].concat()));
    }
    let mut body = [
        der(0xa0, &der(2, &[2])),
        der(2, &c.serial),
        algorithm.clone(),
        name(&c.issuer),
        der(0x30, &[time(c.years.0), time(c.years.1)].concat()),
        name(&c.subject),
        der(0x30, &[key_algorithm, der(3, &key)].concat()),
    ]
    .concat();
    if !extensions.is_empty() {
        body.extend(der(0xa3, &der(0x30, &extensions)));
    }
    der(0x30, &[der(0x30, &body), algorithm, der(3, &[&[0][..], &random.bytes(128)].concat())].concat())
}

fn client_hello(
    maker: &mut Maker<'_, '_>,
    server_name: Option<&[u8]>,
    version: u16,
    opaque: &[u8],
    alpn: Option<&[u8]>,
) -> Vec<u8> {
    let mut extensions = Vec::new();
    let mut extension = |kind: u16, body: &[u8]| {
        extensions.extend(kind.to_be_bytes());
        extensions.extend(sized16(body));
    };
    if let Some(name) = server_name {
        extension(0, &sized16(&[&[0][..], &sized16(name)].concat()));
    }
    extension(10, &sized16(&[0, 29, 0, 23]));
    extension(11, &[1, 0]);
    extension(13, &sized16(&[4, 3, 8, 4, 4, 1]));
    if let Some(alpn) = alpn {
        extension(16, &sized16(&[&[alpn.len() as u8][..], alpn].concat()));
    }
    if !opaque.is_empty() {
        extension(0x1234, opaque);
    }
    let mut body = version.to_be_bytes().to_vec();
    body.extend(random_field(&mut maker.random));
    body.push(0);
    body.extend(sized16(&[0xc0, 0x2b, 0xc0, 0x2f, 0, 0x9c]));
    body.extend([1, 0]);
    body.extend(sized16(&extensions));
    record(22, version.min(0x0301), &handshake(1, &body))
}

fn is_host(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic())
}

fn printable(text: &[u8]) -> bool {
    !text.is_empty() && std::str::from_utf8(text).is_ok()
}

fn is_serial(text: &[u8]) -> bool {
    text.split(|b| *b == b':').all(|pair| pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit))
}

/// Turns of a handshake, up to where data is encrypted.
pub fn turns(maker: &mut Maker<'_, '_>, rule: &Rule) -> Result<Vec<Turn>, Cause> {
    let answers = way(rule) == Way::ToClient;
    let payload = rule.buffers.iter().any(|b| b.buffer == Buffer::Payload);
    let version = rule
        .app_layer
        .iter()
        .find_map(|c| match c {
            AppLayerCondition::TlsVersion(list) => list.iter().find(|(_, negated)| !negated).map(|(v, _)| *v),
            _ => None,
        })
        .unwrap_or(0x0303);
    let sni = maker.buffer(rule, Buffer::TlsSni, Filler::Name, b"", is_host)?;
    let alpn = maker.buffer(rule, Buffer::TlsAlpn, Filler::Name, b"", is_host)?;
    let dn: &[u8] = if maker.variant.is_multiple_of(2) { b"CN=" } else { b"C=US, O=x, CN=" };
    let subject = maker.buffer(rule, Buffer::TlsCertSubject, Filler::Name, dn, printable)?;
    let issuer = maker.buffer(rule, Buffer::TlsCertIssuer, Filler::Name, dn, printable)?;
    let serial = maker.buffer(rule, Buffer::TlsCertSerial, Filler::Digits, b"", is_serial)?;
    let alternative = maker.buffer(rule, Buffer::TlsSubjectAltName, Filler::Name, b"", is_host)?;
    maker.buffer(rule, Buffer::TlsCertFingerprint, Filler::Digits, b"", printable)?;
    for digest in [Buffer::Ja3Hash, Buffer::Ja3sHash, Buffer::Ja4Hash] {
        maker.buffer(rule, digest, Filler::Digits, b"", printable)?;
    }
    let mut opaque = maker.buffer(rule, Buffer::TlsCerts, Filler::Name, b"", |_| true)?.unwrap_or_default();
    let mut hidden = Vec::new();
    if payload && maker.variant % 2 == 1 {
        let lead: &[u8] = if answers {
            b"\x16\x03\x03\x00\x31\x02\x00\x00\x2d\x03\x03"
        } else {
            b"\x16\x03\x01\x00\x31\x01\x00\x00\x2d\x03\x03"
        };
        let mut own = maker.raw(rule, lead, |bytes| {
            if bytes.len() > 9 && bytes[0] == 0x16 && bytes.len() < 16_000 {
                let (record, message) = ((bytes.len() - 5) as u16, (bytes.len() - 9) as u16);
                bytes[3..5].copy_from_slice(&record.to_be_bytes());
                bytes[7..9].copy_from_slice(&message.to_be_bytes());
            }
        })?;
        if answers {
            own.insert(0, turn(Way::ToServer, client_hello(maker, Some(b"www.example.com"), 0x0303, &[], None)));
        }
        return Ok(own);
    }
    if payload {
        let bytes = maker.raw(rule, b"", |_| {})?.pop().map(|t| t.bytes).unwrap_or_default();
        if answers { opaque.extend(bytes) } else { hidden = bytes }
    }
    let serial = serial.map_or_else(
        || vec![0x1a, 0x2b, 0x3c],
        |text| {
            text.split(|b| *b == b':')
                .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
                .collect()
        },
    );
    let years = if rule.app_layer.contains(&AppLayerCondition::TlsCertExpired) { (10, 11) } else { (20, 45) };
    let name = sni.clone().unwrap_or_else(|| b"www.example.com".to_vec());
    let certificate = certificate(
        &Certificate {
            subject: subject.unwrap_or_else(|| [b"CN=", &name[..]].concat()),
            issuer: issuer.unwrap_or_else(|| b"C=US, O=Example Authority, CN=Example CA".to_vec()),
            serial,
            names: alternative.into_iter().collect(),
            opaque,
            years,
        },
        &mut maker.random,
    );
    let hello = client_hello(maker, Some(&name), version, &hidden, alpn.as_deref());
    let mut server = version.to_be_bytes().to_vec();
    server.extend(random_field(&mut maker.random));
    server.extend([0, 0xc0, 0x2f, 0, 0, 0]);
    let list = sized24(&sized24(&certificate));
    let answer =
        [handshake(2, &server), handshake(11, &list), handshake(14, &[])].map(|m| record(22, version, &m)).concat();
    let finished = |random: &mut Random| [record(20, version, &[1]), record(22, version, &random.bytes(40))].concat();
    let mut turns = vec![turn(Way::ToServer, hello), turn(Way::ToClient, answer)];
    for way in [Way::ToServer, Way::ToClient] {
        turns.push(turn(way, finished(&mut maker.random)));
    }
    turns.push(turn(Way::ToServer, record(23, version, &maker.random.bytes(120))));
    Ok(turns)
}
