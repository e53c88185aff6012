//! The facts of an X.509 certificate that rules look at: a small DER walker that never rejects.
//!
//! RFC 5280 section 4.1, X.690. Names are written as Suricata writes them: `C=US, O=Example, CN=example.org`.

/// Facts of a certificate; what cannot be read is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Serial number, `0A:1B:…`.
    pub serial: String,
    /// Issuer.
    pub issuer: Vec<u8>,
    /// Subject.
    pub subject: Vec<u8>,
    /// notBefore, seconds since the epoch.
    pub not_before: Option<i64>,
    /// notAfter.
    pub not_after: Option<i64>,
    /// DNS and mail names, URIs of subjectAltName.
    pub alternative_names: Vec<Vec<u8>>,
}

/// One element: (tag, contents, rest). Tags above 30 and indefinite lengths do not occur in certificates.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let n = usize::from(first & 0x7f);
        if n == 0 || n > 4 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(n)?;
        (digits.iter().fold(0usize, |value, d| value << 8 | usize::from(*d)), rest)
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

/// Read a certificate.
pub fn parse_certificate(der: &[u8]) -> Certificate {
    let mut certificate = Certificate::default();
    let _ = walk(der, &mut certificate);
    certificate
}

/// What is wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The length of its outermost element is not that of what came.
    Length,
    /// Something within cannot be read.
    Content,
}

/// What is wrong with a certificate, as far as it is read here.
pub fn certificate_fault(der: &[u8]) -> Option<Fault> {
    if element(der).is_none() {
        return Some(Fault::Length);
    }
    walk(der, &mut Certificate::default()).is_none().then_some(Fault::Content)
}

fn walk(der: &[u8], out: &mut Certificate) -> Option<()> {
    let (_, outer, _) = element(der)?;
    let (_, mut at, _) = element(outer)?;
    if at.first() == Some(&0xa0) {
        at = element(at)?.2;
    }
    let (_, serial, rest) = element(at)?;
    out.serial = serial.iter().map(|b| format!("{b:02X}")).collect::<Vec<_>>().join(":");
    let (_, _, rest) = element(rest)?;
    let (_, issuer, rest) = element(rest)?;
    out.issuer = name(issuer);
    let (_, validity, rest) = element(rest)?;
    if let Some((tag, text, more)) = element(validity) {
        out.not_before = time(tag, text);
        out.not_after = element(more).and_then(|(tag, text, _)| time(tag, text));
    }
    let (_, subject, rest) = element(rest)?;
    out.subject = name(subject);
    let (_, _, mut rest) = element(rest)?;
    while let Some((tag, contents, more)) = element(rest) {
        if tag == 0xa3 {
            extensions(contents, out);
        }
        rest = more;
    }
    Some(())
}

fn extensions(bytes: &[u8], out: &mut Certificate) -> Option<()> {
    let (_, mut list, _) = element(bytes)?;
    while let Some((_, extension, more)) = element(list) {
        list = more;
        let Some((0x06, oid, mut rest)) = element(extension) else { continue };
        if oid != [0x55, 0x1d, 0x11] {
            continue;
        }
        while let Some((tag, value, more)) = element(rest) {
            rest = more;
            if tag == 0x04 {
                let (_, mut names, _) = element(value)?;
                while let Some((tag, name, more)) = element(names) {
                    names = more;
                    if matches!(tag, 0x81 | 0x82 | 0x86) && out.alternative_names.len() < 256 {
                        out.alternative_names.push(name.to_vec());
                    }
                }
            }
        }
    }
    Some(())
}

fn name(mut rdns: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((_, mut set, more)) = element(rdns) {
        rdns = more;
        while let Some((_, pair, rest)) = element(set) {
            set = rest;
            let Some((0x06, oid, value)) = element(pair) else { continue };
            let Some((tag, text, _)) = element(value) else { continue };
            if !out.is_empty() {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(attribute(oid).as_bytes());
            out.push(b'=');
            if tag == 0x1e {
                // BMPString: UTF-16, big-endian (X.690 section 8.23).
                let units = text.chunks_exact(2).map(|b| u16::from_be_bytes([b[0], b[1]]));
                for c in char::decode_utf16(units) {
                    out.extend_from_slice(c.unwrap_or('\u{fffd}').encode_utf8(&mut [0; 4]).as_bytes());
                }
            } else {
                out.extend_from_slice(text);
            }
        }
    }
    out
}

fn attribute(oid: &[u8]) -> String {
    let known = match oid {
        [0x55, 0x04, 3] => "CN",
        [0x55, 0x04, 4] => "SN",
        [0x55, 0x04, 5] => "serialNumber",
        [0x55, 0x04, 6] => "C",
        [0x55, 0x04, 7] => "L",
        [0x55, 0x04, 8] => "ST",
        [0x55, 0x04, 9] => "streetAddress",
        [0x55, 0x04, 10] => "O",
        [0x55, 0x04, 11] => "OU",
        [0x55, 0x04, 12] => "title",
        [0x55, 0x04, 15] => "businessCategory",
        [0x55, 0x04, 17] => "postalCode",
        // Guidelines for the issuance of extended validation certificates, section 7.1.4.2.
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 1] => "msJurisdictionLocality",
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 2] => "msJurisdictionStateOrProvince",
        [0x2b, 6, 1, 4, 1, 0x82, 0x37, 60, 2, 1, 3] => "msJurisdictionCountry",
        [0x55, 0x04, 42] => "GN",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1] => "Email",
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 2] => "unstructuredName",
        _ => {
            let mut text = String::new();
            let mut value = 0u64;
            for (i, b) in oid.iter().enumerate() {
                value = value << 7 | u64::from(b & 0x7f);
                if b & 0x80 == 0 {
                    if i == 0 || text.is_empty() {
                        text = format!("{}.{}", (value / 40).min(2), value - 40 * (value / 40).min(2));
                    } else {
                        text.push_str(&format!(".{value}"));
                    }
                    value = 0;
                }
            }
            return text;
        }
    };
    known.to_owned()
}

/// UTCTime or GeneralizedTime (RFC 5280 section 4.1.2.5).
fn time(tag: u8, text: &[u8]) -> Option<i64> {
    let digits = |from: usize, n: usize| -> Option<i64> {
        let part = text.get(from..from + n)?;
        part.iter().try_fold(0i64, |v, c| c.is_ascii_digit().then(|| v * 10 + i64::from(c - b'0')))
    };
    let (year, at) = match tag {
        0x17 => {
            let y = digits(0, 2)?;
            (if y >= 50 { 1900 + y } else { 2000 + y }, 2)
        }
        0x18 => (digits(0, 4)?, 4),
        _ => return None,
    };
    let (month, day) = (digits(at, 2)?, digits(at + 2, 2)?);
    if !(1..=12).contains(&month) {
        return None;
    }
    // Days from civil (H. Hinnant, "chrono-compatible low-level date algorithms").
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(days * 86_400 + digits(at + 4, 2)? * 3600 + digits(at + 6, 2)? * 60 + digits(at + 8, 2).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times() {
        let rdn = b"\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02US\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03a.b";
        assert_eq!(name(rdn), b"C=US, CN=a.b");
        assert_eq!(time(0x17, b"700101000000Z"), Some(0));
        assert_eq!(time(0x18, b"20000301000000Z"), Some(951_868_800));
        for n in 0..rdn.len() {
            let _ = name(&rdn[..n]);
            let _ = parse_certificate(&rdn[..n]);
        }
    }
}
