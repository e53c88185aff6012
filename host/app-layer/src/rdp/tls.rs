//! Records of the TLS that RDP goes over to: only the serial numbers of certificates are wanted of them.

use crate::framed::Cut;
use crate::tls::{certificate_fault, parse_certificate};
use crate::wire::be16;

/// Content type of a handshake.
pub(super) const HANDSHAKE: u8 = 22;
/// Largest record (RFC 5246 section 6.2.3 leaves room for compression; what is not encrypted needs none).
const MOST: usize = 16_384 + 256;

/// Where a record ends.
pub(super) fn cut(bytes: &[u8]) -> Cut {
    match be16(bytes, 3) {
        None => Cut::More,
        Some(length) if usize::from(length) > MOST => Cut::Lost,
        Some(length) => Cut::Length(5 + usize::from(length)),
    }
}

/// What a record is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// Certificate messages within: serial numbers of each.
    Certificates(Vec<Vec<String>>),
    /// Nothing that can be followed: encrypted, or not TLS.
    Lost,
}

/// Read a whole record. Handshake messages that go on in the next record cannot be followed.
pub(super) fn record(bytes: &[u8]) -> Record {
    let nothing = Record::Certificates(Vec::new());
    let content = bytes.get(5..).unwrap_or_default();
    match (bytes.first(), content) {
        (Some(20), [1, ..]) | (Some(21), [_, _, ..]) | (Some(24), _) => nothing,
        (Some(&HANDSHAKE), mut rest) => {
            let (mut found, mut any) = (Vec::new(), false);
            while let Some((kind, body, more)) = message(rest) {
                match kind {
                    // Hellos with version, random, session, suites; tickets; the list of certificates.
                    1 | 2 if body.len() < 38 => break,
                    4 if body.len() < 6 => break,
                    11 => match certificates(body) {
                        Some(serials) => found.push(serials),
                        None => break,
                    },
                    0..=2 | 4 | 12..=16 | 20 | 22 | 24 | 67 => {}
                    _ => break,
                }
                any = true;
                rest = more;
            }
            if any { Record::Certificates(found) } else { Record::Lost }
        }
        _ => Record::Lost,
    }
}

/// Type, body, rest (RFC 5246 section 7.4).
fn message(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(4)?;
    let (body, rest) = rest.split_at_checked(number(&head[1..]))?;
    Some((head[0], body, rest))
}

fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |n, b| n << 8 | usize::from(*b))
}

/// Serial numbers of the certificates that can be read.
fn certificates(body: &[u8]) -> Option<Vec<String>> {
    let (head, rest) = body.split_at_checked(3)?;
    let mut list = rest.get(..number(head))?;
    let mut serials = Vec::new();
    while let Some((head, rest)) = list.split_at_checked(3) {
        let Some((der, more)) = rest.split_at_checked(number(head)) else { break };
        list = more;
        if certificate_fault(der).is_none() {
            let digits = parse_certificate(der).serial.replace(':', "").to_ascii_lowercase();
            let digits = digits.trim_start_matches('0');
            serials.push(if digits.is_empty() { "0" } else { digits }.to_owned());
        }
    }
    Some(serials)
}
