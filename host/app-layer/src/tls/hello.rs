//! ClientHello and ServerHello, and the fingerprints made of them (JA3, JA3S, JA4).
//!
//! RFC 8446 section 4.1, RFC 5246 section 7.4.1, RFC 6101 and the SSLv2 hello of RFC 5246 appendix E.2.

use md5::{Digest, Md5};
use sha2::Sha256;

/// What fingerprints and buffers need of a hello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hello {
    /// `legacy_version`.
    pub version: u16,
    /// Random.
    pub random: Vec<u8>,
    /// Session id.
    pub session_id: Vec<u8>,
    /// Cipher suites (server: one).
    pub ciphers: Vec<u16>,
    /// Extension types, in order.
    pub extensions: Vec<u16>,
    /// supported_groups
    pub groups: Vec<u16>,
    /// ec_point_formats
    pub formats: Vec<u8>,
    /// signature_algorithms
    pub signatures: Vec<u16>,
    /// supported_versions (server: one).
    pub versions: Vec<u16>,
    /// server_name, as it stands.
    pub sni: Option<Vec<u8>>,
    /// ALPN names.
    pub alpn: Vec<Vec<u8>>,
    /// The message contradicts itself.
    pub malformed: bool,
}

/// A cursor that never leaves its bytes.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|b| u16::from_be_bytes([b[0], b[1]]))
    }
    pub(crate) fn u24(&mut self) -> Option<usize> {
        self.take(3).map(|b| usize::from(b[0]) << 16 | usize::from(b[1]) << 8 | usize::from(b[2]))
    }
    pub(crate) fn vec8(&mut self) -> Option<&'a [u8]> {
        let n = self.u8()?;
        self.take(n.into())
    }
    pub(crate) fn vec16(&mut self) -> Option<&'a [u8]> {
        let n = self.u16()?;
        self.take(n.into())
    }
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]])).collect()
}

/// Read a hello's body; whatever can be read is kept.
pub fn parse_hello(body: &[u8], client: bool) -> Hello {
    let mut hello = Hello::default();
    hello.malformed = read(&mut hello, body, client).is_none();
    hello
}

fn read(hello: &mut Hello, body: &[u8], client: bool) -> Option<()> {
    let mut r = Reader(body);
    hello.version = r.u16()?;
    hello.random = r.take(32)?.to_vec();
    // Server hellos of the first drafts of TLS 1.3 have neither session nor compression (draft-ietf-tls-tls13-21, 4.1.3).
    let short = !client && matches!(hello.version, 0x7f01..=0x7f15);
    if !short {
        hello.session_id = r.vec8()?.to_vec();
    }
    if client {
        hello.ciphers = words(r.vec16()?);
        r.vec8()?;
    } else {
        hello.ciphers = vec![r.u16()?];
        if !short {
            r.u8()?;
        }
    }
    if r.0.is_empty() {
        return Some(());
    }
    let mut list = Reader(r.vec16()?);
    while !list.0.is_empty() {
        let kind = list.u16()?;
        hello.extensions.push(kind);
        let data = list.vec16()?;
        extension(hello, kind, data, client);
    }
    Some(())
}

fn extension(hello: &mut Hello, kind: u16, data: &[u8], client: bool) -> Option<()> {
    let mut r = Reader(data);
    match kind {
        0 if client => {
            let mut names = Reader(r.vec16()?);
            while !names.0.is_empty() {
                let kind = names.u8()?;
                let name = names.vec16()?;
                if kind == 0 && hello.sni.is_none() {
                    hello.sni = Some(name.to_vec());
                }
            }
        }
        10 => hello.groups = words(r.vec16()?),
        11 => hello.formats = r.vec8()?.to_vec(),
        13 => hello.signatures = words(r.vec16()?),
        16 => {
            let mut names = Reader(r.vec16()?);
            while !names.0.is_empty() {
                hello.alpn.push(names.vec8()?.to_vec());
            }
        }
        43 if client => hello.versions = words(r.vec8()?),
        43 => hello.versions = vec![r.u16()?],
        _ => {}
    }
    Some(())
}

/// An SSLv2 ClientHello: version and cipher specs that TLS knows.
pub fn parse_ssl2_hello(body: &[u8]) -> Hello {
    let mut hello = Hello::default();
    hello.malformed = (|| {
        let mut r = Reader(body);
        r.u8()?;
        hello.version = r.u16()?;
        let ciphers = usize::from(r.u16()?);
        let session = usize::from(r.u16()?);
        let challenge = usize::from(r.u16()?);
        let specs = r.take(ciphers)?;
        hello.ciphers =
            specs.chunks_exact(3).filter(|s| s[0] == 0).map(|s| u16::from_be_bytes([s[1], s[2]])).collect();
        hello.session_id = r.take(session)?.to_vec();
        hello.random = r.take(challenge)?.to_vec();
        Some(())
    })()
    .is_none();
    hello
}

impl Hello {
    /// The version it speaks for: of supported_versions the first that is no GREASE, else the legacy one.
    pub fn spoken_version(&self) -> u16 {
        self.versions.iter().copied().find(|v| !grease(*v)).unwrap_or(self.version)
    }
}

/// Values reserved so that servers must ignore them (RFC 8701).
fn grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

fn join<T: Copy + Into<u32>>(values: impl Iterator<Item = T>) -> String {
    let mut out = String::new();
    for value in values {
        if !out.is_empty() {
            out.push('-');
        }
        out.push_str(&value.into().to_string());
    }
    out
}

/// JA3 string (Salesforce, 2017): version, ciphers, extensions, groups, formats; GREASE left out.
pub fn ja3(hello: &Hello) -> String {
    let keep = |values: &[u16]| join(values.iter().copied().filter(|v| !grease(*v)));
    format!(
        "{},{},{},{},{}",
        hello.version,
        keep(&hello.ciphers),
        keep(&hello.extensions),
        keep(&hello.groups),
        join(hello.formats.iter().copied())
    )
}

/// JA3S string: version, cipher, extensions.
pub fn ja3s(hello: &Hello) -> String {
    format!("{},{},{}", hello.version, join(hello.ciphers.iter().copied()), join(hello.extensions.iter().copied()))
}

/// Hexadecimal MD5.
pub fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// JA4 of a TLS-over-TCP ClientHello (FoxIO, JA4 TLS client specification, BSD-3-Clause).
pub fn ja4(hello: &Hello) -> String {
    ja4_over(hello, 't')
}

/// JA4 over TCP (`t`) or QUIC (`q`).
pub(crate) fn ja4_over(hello: &Hello, transport: char) -> String {
    let version = hello.versions.iter().copied().filter(|v| !grease(*v)).max().unwrap_or(hello.version);
    let version = match version {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        _ => "00",
    };
    let ciphers: Vec<u16> = hello.ciphers.iter().copied().filter(|v| !grease(*v)).collect();
    let extensions: Vec<u16> = hello.extensions.iter().copied().filter(|v| !grease(*v)).collect();
    let alpn = match hello.alpn.first().map(Vec::as_slice) {
        Some([first, .., last]) if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() => {
            format!("{}{}", *first as char, *last as char)
        }
        Some([only]) if only.is_ascii_alphanumeric() => format!("{0}{0}", *only as char),
        Some([first, .., last]) => format!("{:x}{:x}", first >> 4, last & 0xf),
        _ => "00".to_owned(),
    };
    let hashed = |mut values: Vec<u16>, tail: &[u16]| {
        if values.is_empty() && tail.is_empty() {
            return "000000000000".to_owned();
        }
        values.sort_unstable();
        let list = |v: &[u16]| v.iter().map(|x| format!("{x:04x}")).collect::<Vec<_>>().join(",");
        let mut text = list(&values);
        if !tail.is_empty() {
            text.push('_');
            text.push_str(&list(tail));
        }
        hex(&Sha256::digest(text.as_bytes())[..6])
    };
    let signatures: Vec<u16> = hello.signatures.iter().copied().filter(|v| !grease(*v)).collect();
    let others: Vec<u16> = extensions.iter().copied().filter(|e| !matches!(e, 0 | 16)).collect();
    format!(
        "{transport}{version}{}{:02}{:02}{alpn}_{}_{}",
        if hello.sni.is_some() { 'd' } else { 'i' },
        ciphers.len().min(99),
        extensions.len().min(99),
        hashed(ciphers, &[]),
        hashed(others, &signatures)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_hellos_keep_what_they_have() {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 4, 0x13, 0x01, 0x0a, 0x0a, 1, 0]);
        body.extend([0, 13, 0, 0, 0, 9, 0, 7, 0, 0, 4]);
        body.extend(b"a.io");
        let hello = parse_hello(&body, true);
        assert!(!hello.malformed, "{hello:?}");
        assert_eq!(hello.sni.as_deref(), Some(&b"a.io"[..]));
        assert_eq!(ja3(&hello), "771,4865,0,,");
        for n in 0..body.len() {
            let _ = ja4(&parse_hello(&body[..n], true));
        }
    }
}
