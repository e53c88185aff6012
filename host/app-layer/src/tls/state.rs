//! Records, handshake messages, the one transaction of a TLS flow, its buffers and events.

use super::certificate::{Certificate, Fault, certificate_fault, parse_certificate};
use super::hello::{Hello, Reader, ja3, ja3s, ja4, md5_hex, parse_hello, parse_ssl2_hello};
use super::log;
use crate::{AppLayerConfig, BufferState, COMPLETE, Direction, Input, LogSettings, ProtocolState, Transaction};
use sha1::{Digest, Sha1};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 17] = [
    "invalid_sslv2_header",
    "invalid_tls_header",
    "invalid_record_version",
    "invalid_record_type",
    "invalid_handshake_message",
    "heartbeat_message",
    "invalid_heartbeat_message",
    "overflow_heartbeat_message",
    "dataleak_heartbeat_mismatch",
    "handshake_invalid_length",
    "multiple_sni_extensions",
    "invalid_sni_type",
    "invalid_sni_length",
    "too_many_records_in_packet",
    "invalid_certificate",
    "certificate_missing_element",
    "certificate_invalid_length",
];
const INVALID_TLS_HEADER: u16 = 1;
const INVALID_RECORD_VERSION: u16 = 2;
const INVALID_RECORD_TYPE: u16 = 3;
const INVALID_HANDSHAKE: u16 = 4;
const HEARTBEAT: u16 = 5;
const INVALID_HEARTBEAT: u16 = 6;
const OVERFLOW_HEARTBEAT: u16 = 7;
const INVALID_CERTIFICATE: u16 = 14;
const CERTIFICATE_LENGTH: u16 = 16;

/// Largest record (RFC 5246 section 6.2.3: 2^14 + 2048).
const RECORD_MAX: usize = (1 << 14) + 2048;

/// Content type (RFC 8446 section 5.1).
const APPLICATION_DATA: u8 = 23;

/// Progress of a direction.
const HELLO_DONE: u8 = 1;
const CERTIFICATE_DONE: u8 = 2;

#[derive(Default)]
struct Side {
    /// Bytes of an incomplete record.
    partial: Vec<u8>,
    /// Bytes to come of a record whose content does not matter.
    skip: usize,
    /// Bytes of an incomplete handshake message.
    message: Vec<u8>,
    /// Framing is lost.
    lost: bool,
    changed_cipher: bool,
    application_data: bool,
    hello: Option<Hello>,
    fingerprint: String,
    fingerprint_hash: String,
    ja4: String,
    certificates: Vec<(Vec<u8>, Certificate)>,
    sha1: String,
    first: bool,
    /// The direction ended before the handshake did.
    cut_short: bool,
}

/// TLS of one flow.
pub struct TlsState {
    limit: usize,
    sides: [Side; 2],
    transaction: [Transaction; 1],
}

impl TlsState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        TlsState {
            limit: config.tls_message_limit,
            sides: Default::default(),
            transaction: [Transaction { id: 0, progress: [0; 2], changed: [false; 2], events: Vec::new() }],
        }
    }

    fn event(&mut self, direction: usize, event: u16) {
        let transaction = &mut self.transaction[0];
        if !transaction.events.contains(&event) {
            transaction.events.push(event);
        }
        transaction.changed[direction] = true;
    }

    fn give_up(&mut self, d: usize) {
        let side = &mut self.sides[d];
        side.lost = true;
        side.partial = Vec::new();
        side.message = Vec::new();
        self.transaction[0].progress[d] = COMPLETE;
        self.transaction[0].changed[d] = true;
    }

    fn bytes(&mut self, d: usize, bytes: &[u8]) {
        if self.sides[d].lost {
            return;
        }
        let mut held = std::mem::take(&mut self.sides[d].partial);
        let mut at = self.sides[d].skip.min(bytes.len());
        self.sides[d].skip -= at;
        let input: &[u8] = if held.is_empty() {
            bytes
        } else {
            held.extend_from_slice(bytes);
            &held
        };
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            let first = !self.sides[d].first;
            // An SSLv2 hello can only come first (RFC 5246 appendix E.2).
            if first && rest[0] & 0x80 != 0 {
                let Some(&[a, b]) = rest.get(..2) else { break };
                let length = usize::from(a & 0x7f) << 8 | usize::from(b);
                let Some(body) = rest.get(2..2 + length) else { break };
                self.sides[d].first = true;
                if body.first() == Some(&1) && d == 0 {
                    self.hello(d, parse_ssl2_hello(body));
                } else {
                    self.give_up(d);
                    return;
                }
                at += 2 + length;
                continue;
            }
            let Some(&[kind, major, _minor, high, low]) = rest.get(..5) else { break };
            let length = usize::from(high) << 8 | usize::from(low);
            if !(20..=24).contains(&kind) {
                self.event(d, INVALID_RECORD_TYPE);
                self.event(d, INVALID_TLS_HEADER);
                self.give_up(d);
                return;
            }
            if major != 3 || length > RECORD_MAX {
                self.event(d, if major == 3 { INVALID_TLS_HEADER } else { INVALID_RECORD_VERSION });
                self.give_up(d);
                return;
            }
            let Some(body) = rest.get(5..5 + length) else {
                // Of application data the header tells all.
                if kind == APPLICATION_DATA {
                    self.sides[d].first = true;
                    self.sides[d].skip = 5 + length - rest.len();
                    self.record(d, kind, &[]);
                    return;
                }
                break;
            };
            self.sides[d].first = true;
            self.record(d, kind, body);
            if self.sides[d].lost {
                return;
            }
            at += 5 + length;
        }
        let rest = input.get(at..).unwrap_or(&[]).to_vec();
        self.sides[d].partial = rest;
    }

    fn record(&mut self, d: usize, kind: u8, body: &[u8]) {
        let encrypted = self.sides[d].changed_cipher;
        match kind {
            20 => self.sides[d].changed_cipher = true,
            // No peer takes a handshake message in the clear behind data.
            22 if !encrypted && !self.sides[d].application_data => self.handshake(d, body),
            APPLICATION_DATA => {
                self.sides[d].application_data = true;
                self.finish(d);
            }
            24 => {
                self.event(d, HEARTBEAT);
                if !encrypted {
                    // RFC 6520 section 4: payload length plus 3 plus 16 of padding must fit the record.
                    match body {
                        [1 | 2, high, low, rest @ ..] => {
                            let claimed = usize::from(*high) << 8 | usize::from(*low);
                            if claimed + 16 > rest.len() {
                                self.event(d, if body[0] == 1 { OVERFLOW_HEARTBEAT } else { INVALID_HEARTBEAT });
                            }
                        }
                        _ => self.event(d, INVALID_HEARTBEAT),
                    }
                }
            }
            _ => {}
        }
        if self.sides[d].changed_cipher {
            self.finish(d);
        }
    }

    fn finish(&mut self, d: usize) {
        if self.transaction[0].progress[d] != COMPLETE {
            self.transaction[0].progress[d] = COMPLETE;
            self.transaction[0].changed[d] = true;
        }
    }

    fn handshake(&mut self, d: usize, body: &[u8]) {
        let mut message = std::mem::take(&mut self.sides[d].message);
        message.extend_from_slice(body);
        let mut at = 0;
        loop {
            let mut r = Reader(message.get(at..).unwrap_or(&[]));
            let (Some(kind), Some(length)) = (r.u8(), r.u24()) else { break };
            if length > self.limit {
                self.event(d, INVALID_HANDSHAKE);
                self.give_up(d);
                return;
            }
            let Some(content) = r.take(length) else { break };
            let content = content.to_vec();
            self.message(d, kind, &content);
            at += 4 + length;
        }
        message.drain(..at);
        self.sides[d].message = message;
    }

    fn message(&mut self, d: usize, kind: u8, body: &[u8]) {
        match kind {
            1 if d == 0 => self.hello(d, parse_hello(body, true)),
            2 if d == 1 => self.hello(d, parse_hello(body, false)),
            11 => {
                let mut r = Reader(body);
                let mut list = Reader(r.u24().and_then(|n| r.take(n)).unwrap_or(&[]));
                while let Some(der) = list.u24().and_then(|n| list.take(n)) {
                    if self.sides[d].certificates.len() >= 32 {
                        break;
                    }
                    if self.sides[d].certificates.is_empty() {
                        let digest = Sha1::digest(der);
                        self.sides[d].sha1 = digest.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":");
                    }
                    match certificate_fault(der) {
                        None => {}
                        Some(Fault::Length) => self.event(d, CERTIFICATE_LENGTH),
                        Some(Fault::Content) => self.event(d, INVALID_CERTIFICATE),
                    }
                    self.sides[d].certificates.push((der.to_vec(), parse_certificate(der)));
                }
                self.advance(d, CERTIFICATE_DONE);
            }
            14 | 16 | 20 => self.advance(d, CERTIFICATE_DONE),
            _ => {}
        }
    }

    fn advance(&mut self, d: usize, progress: u8) {
        let t = &mut self.transaction[0];
        t.progress[d] = t.progress[d].max(progress);
        t.changed[d] = true;
    }

    fn hello(&mut self, d: usize, hello: Hello) {
        if hello.malformed {
            self.event(d, INVALID_HANDSHAKE);
        }
        let side = &mut self.sides[d];
        if side.hello.is_none() {
            if d == 0 {
                side.fingerprint = ja3(&hello);
                side.ja4 = ja4(&hello);
            } else {
                side.fingerprint = ja3s(&hello);
            }
            side.fingerprint_hash = md5_hex(&side.fingerprint);
            side.hello = Some(hello);
        }
        self.advance(d, HELLO_DONE);
    }

    /// Version of the session: what the server chose, else what the client asks for.
    pub(super) fn version(&self) -> Option<u16> {
        self.version_of(1).or(self.version_of(0))
    }

    fn version_of(&self, d: usize) -> Option<u16> {
        self.sides[d].hello.as_ref().map(|hello| hello.spoken_version())
    }

    /// State of a buffer that comes with progress `step` of direction `d`.
    fn at_step<'a>(&'a self, d: usize, step: u8, bytes: Option<&'a [u8]>) -> BufferState<'a> {
        match bytes {
            Some(bytes) => BufferState::whole(bytes),
            None if self.transaction[0].progress[d] >= step => BufferState::Absent,
            None => BufferState::NotYet,
        }
    }
}

fn filled(text: &str) -> Option<&[u8]> {
    (!text.is_empty()).then_some(text.as_bytes())
}

impl ProtocolState for TlsState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Tls
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) => self.bytes(d, bytes),
            Input::Gap(_) => self.give_up(d),
            Input::End => {
                self.sides[d].cut_short = self.transaction[0].progress[d] != COMPLETE;
                self.finish(d);
            }
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transaction
    }

    fn buffer(&self, _index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let d = direction as usize;
        let side = &self.sides[d];
        let client = direction == Direction::ToServer;
        let hello = side.hello.as_ref();
        let certificate = side.certificates.first().map(|(_, c)| c);
        let text = |s: &'_ Vec<u8>| (!s.is_empty()).then_some(());
        match buffer {
            Buffer::TlsSni if client => self.at_step(d, HELLO_DONE, hello.and_then(|h| h.sni.as_deref())),
            Buffer::TlsAlpn => self.at_step(d, HELLO_DONE, hello.and_then(|h| h.alpn.get(instance)).map(Vec::as_slice)),
            Buffer::TlsRandom => self.at_step(d, HELLO_DONE, hello.map(|h| h.random.as_slice())),
            Buffer::TlsRandomTime => self.at_step(d, HELLO_DONE, hello.and_then(|h| h.random.get(..4))),
            Buffer::TlsRandomBytes => self.at_step(d, HELLO_DONE, hello.and_then(|h| h.random.get(4..))),
            Buffer::Ja3Hash if client => self.at_step(d, HELLO_DONE, filled(&side.fingerprint_hash)),
            Buffer::Ja3String if client => self.at_step(d, HELLO_DONE, filled(&side.fingerprint)),
            Buffer::Ja4Hash if client => self.at_step(d, HELLO_DONE, filled(&side.ja4)),
            Buffer::Ja3sHash if !client => self.at_step(d, HELLO_DONE, filled(&side.fingerprint_hash)),
            Buffer::Ja3sString if !client => self.at_step(d, HELLO_DONE, filled(&side.fingerprint)),
            Buffer::TlsCertSubject => self.at_step(
                d,
                CERTIFICATE_DONE,
                certificate.and_then(|c| text(&c.subject).map(|()| c.subject.as_slice())),
            ),
            Buffer::TlsCertIssuer => self.at_step(
                d,
                CERTIFICATE_DONE,
                certificate.and_then(|c| text(&c.issuer).map(|()| c.issuer.as_slice())),
            ),
            Buffer::TlsCertSerial => self.at_step(d, CERTIFICATE_DONE, certificate.and_then(|c| filled(&c.serial))),
            Buffer::TlsCertFingerprint => self.at_step(d, CERTIFICATE_DONE, filled(&side.sha1)),
            Buffer::TlsCerts => {
                self.at_step(d, CERTIFICATE_DONE, side.certificates.get(instance).map(|(der, _)| der.as_slice()))
            }
            Buffer::TlsSubjectAltName => self.at_step(
                d,
                CERTIFICATE_DONE,
                certificate.and_then(|c| c.alternative_names.get(instance)).map(Vec::as_slice),
            ),
            _ => BufferState::Absent,
        }
    }

    fn number(&self, _index: usize, direction: Direction, name: &str) -> Option<u64> {
        let side = &self.sides[direction as usize];
        let certificate = side.certificates.first().map(|(_, c)| c);
        match name {
            "tls.version" => self.version_of(direction as usize).map(u64::from),
            "tls.cert_chain_len" => (!side.certificates.is_empty()).then_some(side.certificates.len() as u64),
            "tls.not_before" => certificate?.not_before.and_then(|t| u64::try_from(t).ok()),
            "tls.not_after" => certificate?.not_after.and_then(|t| u64::try_from(t).ok()),
            "tls.state" => {
                let mut bits = 0;
                bits |= u64::from(self.sides[0].hello.is_some());
                bits |= u64::from(self.sides[1].hello.is_some()) << 1;
                Some(bits)
            }
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.transaction[0].changed = [false; 2];
    }

    fn encrypted(&self) -> bool {
        self.sides.iter().any(|side| side.application_data)
    }

    fn handshake_over(&self) -> bool {
        self.sides.iter().all(|side| side.lost || side.changed_cipher || side.application_data)
    }

    fn is_open(&self, _direction: Direction) -> bool {
        !self.encrypted() && self.transaction[0].progress.iter().any(|p| *p != COMPLETE)
    }

    fn is_loggable(&self, _index: usize) -> bool {
        // The server's certificate is the last thing to tell.
        !self.sides[1].certificates.is_empty()
            || self.sides.iter().all(|side| side.lost || side.changed_cipher || side.application_data)
    }

    fn log_as(&self, _index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        log::write(self, settings, false, out)
    }

    fn log(&self, _index: usize, out: &mut Vec<u8>) {
        log::write(self, &LogSettings::default(), true, out);
    }
}

impl TlsState {
    /// The flow ended within a handshake that the client began.
    pub(super) fn cut_short(&self) -> bool {
        self.sides[0].hello.is_some() && self.sides.iter().any(|side| side.cut_short)
    }

    /// The client's certificate, and its SHA-1.
    pub(super) fn client_certificate(&self) -> Option<(&Certificate, &str)> {
        let client = &self.sides[0];
        client.certificates.first().map(|(_, certificate)| (certificate, client.sha1.as_str()))
    }

    /// The server's certificate.
    pub(super) fn certificate(&self) -> Option<&Certificate> {
        self.sides[1].certificates.first().map(|(_, certificate)| certificate)
    }

    /// SHA-1 of the server's certificate.
    pub(super) fn certificate_digest(&self) -> &[u8] {
        self.sides[1].sha1.as_bytes()
    }

    /// A session of an earlier connection goes on (RFC 5246 section 7.3): the server sends no certificate.
    pub(super) fn resumed(&self) -> bool {
        let server = &self.sides[1];
        server.hello.is_some()
            && server.certificates.is_empty()
            && server.changed_cipher
            && self.version().is_some_and(|v| v < 0x0304)
    }

    /// The session has come so far that no certificate will be seen.
    pub(super) fn without_certificate(&self) -> bool {
        let version = self.version().unwrap_or(0);
        self.sides[1].hello.is_some() && (version == 0x0304 || version >> 8 == 0x7f)
    }

    /// Both hellos.
    pub(super) fn hellos(&self) -> [Option<&Hello>; 2] {
        [self.sides[0].hello.as_ref(), self.sides[1].hello.as_ref()]
    }

    /// JA3 and JA3S: text and digest.
    pub(super) fn fingerprint(&self, d: usize) -> (&str, &str) {
        (&self.sides[d].fingerprint, &self.sides[d].fingerprint_hash)
    }

    /// JA4 of the client.
    pub(super) fn ja4(&self) -> &str {
        &self.sides[0].ja4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello_record() -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0, 13, 0, 0, 0, 9, 0, 7, 0, 0, 4]);
        body.extend(b"a.io");
        let mut record = vec![0x16, 3, 1, 0, (body.len() + 4) as u8, 1, 0, 0, body.len() as u8];
        record.extend(body);
        record
    }

    fn sni(state: &TlsState) -> Option<Vec<u8>> {
        match state.buffer(0, Direction::ToServer, Buffer::TlsSni, 0) {
            BufferState::Present(view) => Some(view.bytes.to_vec()),
            _ => None,
        }
    }

    #[test]
    fn any_cut_gives_the_same_sni() {
        let record = hello_record();
        for cut in 0..record.len() {
            let mut state = TlsState::new(&Arc::default());
            state.feed(Direction::ToServer, Input::Data(&record[..cut]), 1);
            state.feed(Direction::ToServer, Input::Data(&record[cut..]), 2);
            assert_eq!(sni(&state).as_deref(), Some(&b"a.io"[..]));
        }
    }

    #[test]
    fn encryption_begins_with_application_data() {
        let mut state = TlsState::new(&Arc::default());
        state.feed(Direction::ToServer, Input::Data(&hello_record()), 1);
        state.feed(Direction::ToServer, Input::Data(&[20, 3, 3, 0, 1, 1]), 1);
        state.feed(Direction::ToClient, Input::Data(&[20, 3, 3, 0, 1, 1]), 1);
        // Alerts and heartbeats may still come, and rules look at their headers.
        state.feed(Direction::ToServer, Input::Data(&[24, 3, 3, 0, 3, 1, 0x40, 0]), 1);
        assert!(!state.encrypted());
        state.feed(Direction::ToClient, Input::Data(&[23, 3, 3, 0, 1, 1]), 1);
        assert!(state.encrypted());
    }

    #[test]
    fn the_header_of_application_data_tells_all() {
        let mut data = vec![23, 3, 3, 0, 40];
        data.extend([22; 40]);
        for cut in 5..data.len() {
            let mut state = TlsState::new(&Arc::default());
            state.feed(Direction::ToServer, Input::Data(&hello_record()), 1);
            state.feed(Direction::ToServer, Input::Data(&data[..cut]), 2);
            assert!(state.encrypted() && state.sides[0].partial.is_empty());
            state.feed(Direction::ToServer, Input::Data(&data[cut..]), 3);
            // What comes behind it is read as a record.
            state.feed(Direction::ToServer, Input::Data(&[99, 3, 3, 0, 0]), 4);
            assert!(state.sides[0].lost && state.transactions()[0].events.contains(&INVALID_RECORD_TYPE), "{cut}");
        }
    }

    #[test]
    fn heartbleed_is_seen() {
        let mut state = TlsState::new(&Arc::default());
        state.feed(Direction::ToServer, Input::Data(&[24, 3, 2, 0, 3, 1, 0x40, 0]), 1);
        assert!(state.transactions()[0].events.contains(&OVERFLOW_HEARTBEAT));
    }
}
