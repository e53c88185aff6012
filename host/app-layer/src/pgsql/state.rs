//! Messages, transactions and events of PostgreSQL.

use super::log;
use crate::framed::{Cut, Framed, Piece};
use crate::pairs::Pairs;
use crate::wire::{be16, be32};
use crate::{AppLayerConfig, BufferState, Direction, Input, LogSettings, ProtocolState, Transaction, Upgrade};
use std::cell::Cell;
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 5] =
    ["too_many_transactions", "malformed_request", "malformed_response", "invalid_length", "too_many_responses"];
const MALFORMED: [u16; 2] = [1, 2];
const INVALID_LENGTH: u16 = 3;
const TOO_MANY_RESPONSES: u16 = 4;
/// Most messages of one answer without an event; rows count once.
const RESPONSES_MAX: u8 = 64;

/// Longest message that is read; of longer ones the beginning is.
const MESSAGE_MAX: usize = 16 * 1024;
/// Most parameters kept of a message or exchange.
const PARAMETERS_MAX: usize = 64;
const SSL_REQUEST: u32 = 80_877_103;
const CANCEL_REQUEST: u32 = 80_877_102;

/// What a client asks.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Ssl,
    Startup { version: (u16, u16), parameters: Vec<(Vec<u8>, Vec<u8>)> },
    Cancel { process: u32, key: u32 },
    Password(Vec<u8>),
    SaslInitial { mechanism: Vec<u8>, parameter: Vec<u8> },
    SaslResponse(Vec<u8>),
    Query(Vec<u8>),
    CopyData { messages: u64, size: u64 },
    CopyDone,
    CopyFail,
    Terminate,
}

/// What a server says to it.
#[derive(Debug, Default)]
pub struct Response {
    pub ssl_accepted: Option<bool>,
    /// Last kind of authentication message.
    pub authentication: Option<u32>,
    pub salt: Option<[u8; 4]>,
    pub sasl_final: Option<Vec<u8>>,
    pub parameters: Vec<(Vec<u8>, Vec<u8>)>,
    pub process: Option<(u32, u32)>,
    pub fields: Option<u16>,
    pub rows: u64,
    pub row_bytes: u64,
    pub copy_in: Option<u16>,
    pub copy_out: Option<u16>,
    pub copy_rows: u64,
    pub copy_bytes: u64,
    pub command: Option<Vec<u8>>,
    /// Fields of an error or notice, by their type.
    pub notice: Vec<(u8, Vec<u8>)>,
    /// Messages of the answer.
    messages: u8,
}

/// How messages of the client are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Without type, as long as the session has not begun.
    Startup,
    Typed,
}

/// PostgreSQL of one flow.
pub struct PgsqlState {
    framed: Framed,
    pairs: Pairs<Request, Response>,
    phase: Phase,
    /// A single byte answers the request for TLS.
    ssl_asked: bool,
    /// Kind of authentication asked for last.
    asked: u32,
    upgrade: bool,
}

fn cut(bytes: &[u8], typed: bool) -> Cut {
    let at = usize::from(typed);
    match be32(bytes, at) {
        None => Cut::More,
        Some(length @ 4..=0x7fff_ffff) => Cut::Length(length as usize + at),
        Some(_) => Cut::Lost,
    }
}

fn text(bytes: &[u8]) -> Vec<u8> {
    bytes.split(|b| *b == 0).next().unwrap_or(&[]).to_vec()
}

/// Pairs of texts that end with NUL.
fn pairs_of(bytes: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut texts = bytes.split(|b| *b == 0);
    let mut out = Vec::new();
    while let (Some(name), Some(value)) = (texts.next().filter(|name| !name.is_empty()), texts.next()) {
        if out.len() >= PARAMETERS_MAX {
            break;
        }
        out.push((name.to_vec(), value.to_vec()));
    }
    out
}

impl PgsqlState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        PgsqlState {
            framed: Framed::new(MESSAGE_MAX),
            pairs: Pairs::new(config.transactions),
            phase: Phase::Startup,
            ssl_asked: false,
            asked: 0,
            upgrade: false,
        }
    }

    fn startup(&mut self, bytes: &[u8]) -> Option<Request> {
        Some(match be32(bytes, 4)? {
            SSL_REQUEST => {
                self.ssl_asked = true;
                Request::Ssl
            }
            CANCEL_REQUEST => Request::Cancel { process: be32(bytes, 8)?, key: be32(bytes, 12)? },
            version => {
                self.phase = Phase::Typed;
                Request::Startup {
                    version: ((version >> 16) as u16, version as u16),
                    parameters: pairs_of(bytes.get(8..).unwrap_or(&[])),
                }
            }
        })
    }

    fn typed(&mut self, bytes: &[u8]) -> Option<Request> {
        let body = bytes.get(5..).unwrap_or(&[]);
        Some(match bytes.first()? {
            b'Q' => Request::Query(text(body)),
            b'X' => Request::Terminate,
            b'p' => match self.asked {
                10 => {
                    let mechanism = text(body);
                    let at = mechanism.len() + 1;
                    Request::SaslInitial { parameter: body.get(at + 4..).unwrap_or(&[]).to_vec(), mechanism }
                }
                11 => Request::SaslResponse(body.to_vec()),
                _ => Request::Password(text(body)),
            },
            b'd' => Request::CopyData { messages: 1, size: body.len() as u64 },
            b'c' => Request::CopyDone,
            b'f' => Request::CopyFail,
            _ => return None,
        })
    }

    fn request(&mut self, bytes: &[u8]) {
        let before = self.phase;
        let request = if before == Phase::Startup { self.startup(bytes) } else { self.typed(bytes) };
        let Some(request) = request else {
            // Messages of the extended query protocol are no transactions.
            let known = bytes.first().is_some_and(|kind| b"PBEDCHSF".contains(kind));
            if before == Phase::Startup || !known {
                self.pairs.event_alone(Direction::ToServer, MALFORMED[0]);
            }
            return;
        };
        if let Request::CopyData { size, .. } = request
            && let Some(index) = self.pairs.waiting(|r| matches!(r, Request::CopyData { .. }))
            && let Some(Request::CopyData { messages, size: sum }) = self.pairs.get_mut(index).and_then(|p| p.request.as_mut())
        {
            *messages += 1;
            *sum += size;
            return;
        }
        let alone = matches!(request, Request::Terminate | Request::Cancel { .. });
        let ends_copy = matches!(request, Request::CopyDone | Request::CopyFail);
        if ends_copy && let Some(index) = self.pairs.waiting(|r| matches!(r, Request::CopyData { .. })) {
            self.pairs.close(index);
        }
        let index = self.pairs.request(request, bytes.len() + 128);
        if alone {
            self.pairs.close(index);
        }
    }

    fn ssl_answer(&mut self, accepted: bool) {
        self.ssl_asked = false;
        self.upgrade = accepted;
        let found = self.pairs.waiting(|r| *r == Request::Ssl);
        let response = Response { ssl_accepted: Some(accepted), ..Response::default() };
        let index = self.pairs.response(found, response, 128);
        self.pairs.close(index);
    }

    fn response(&mut self, bytes: &[u8]) {
        let found = self.pairs.waiting(|_| true);
        let begun = found.filter(|at| self.pairs.get(*at).is_none_or(|p| !p.responses.is_empty()));
        let index = begun.unwrap_or_else(|| self.pairs.response(found, Response::default(), 256));
        let body = bytes.get(5..).unwrap_or(&[]);
        let kind = bytes.first().copied().unwrap_or(0);
        let Some(response) = self.pairs.get_mut(index).and_then(|p| p.responses.last_mut()) else { return };
        let mut last = false;
        let more = matches!(kind, b'D' | b'd') && response.rows + response.copy_rows > 0;
        response.messages = response.messages.saturating_add(u8::from(!more));
        let crowded = response.messages > RESPONSES_MAX;
        let sound = take(response, kind, body);
        match kind {
            b'R' => {
                self.asked = response.authentication.unwrap_or(0);
                last = !matches!(self.asked, 0 | 12);
            }
            // Ready for the next query; copying in goes on with the client.
            b'Z' | b'G' => last = true,
            _ => {}
        }
        if !sound {
            self.pairs.event(index, Direction::ToClient, MALFORMED[1]);
        }
        if crowded {
            self.pairs.event(index, Direction::ToClient, TOO_MANY_RESPONSES);
        }
        if let Some(t) = self.pairs.transactions.get_mut(index) {
            t.changed[1] = true;
        }
        if last {
            self.pairs.close(index);
        }
    }

    fn bytes(&mut self, direction: Direction, bytes: &[u8]) {
        let client = direction == Direction::ToServer;
        let mut framed = std::mem::replace(&mut self.framed, Framed::new(MESSAGE_MAX));
        let typed = Cell::new(!client || self.phase == Phase::Typed);
        let single = Cell::new(!client && self.ssl_asked);
        framed.push(
            direction as usize,
            bytes,
            |bytes| if single.get() && bytes.first().is_some_and(|b| *b != b'E') { Cut::Length(1) } else { cut(bytes, typed.get()) },
            |piece| {
                match piece {
                    Piece::Whole(&[answer]) if single.get() => self.ssl_answer(answer == b'S'),
                    Piece::Whole(message) | Piece::Beginning(message) if client => self.request(message),
                    Piece::Whole(message) | Piece::Beginning(message) => self.response(message),
                    Piece::Lost => self.pairs.event_alone(direction, INVALID_LENGTH),
                }
                typed.set(!client || self.phase == Phase::Typed);
                single.set(!client && self.ssl_asked);
                !self.upgrade
            },
        );
        self.framed = framed;
    }
}

/// Bytes of the values of a row, without their lengths; what is NULL has none.
fn row_size(body: &[u8]) -> u64 {
    let mut rest = body.get(2..).unwrap_or(&[]);
    let mut sum = 0;
    while let Some(length) = be32(rest, 0) {
        let length = if length == u32::MAX { 0 } else { length };
        sum += u64::from(length);
        rest = rest.get(4 + length as usize..).unwrap_or(&[]);
    }
    sum
}

/// A message of the server; false: it contradicts itself.
fn take(r: &mut Response, kind: u8, body: &[u8]) -> bool {
    match kind {
        b'R' => {
            let Some(code) = be32(body, 0) else { return false };
            r.authentication = Some(code);
            match code {
                5 => r.salt = body.get(4..8).and_then(|salt| salt.try_into().ok()),
                12 => r.sasl_final = Some(body.get(4..).unwrap_or(&[]).to_vec()),
                _ => {}
            }
        }
        b'S' if r.parameters.len() < PARAMETERS_MAX => r.parameters.extend(pairs_of(body).into_iter().take(1)),
        b'K' => match (be32(body, 0), be32(body, 4)) {
            (Some(process), Some(key)) => r.process = Some((process, key)),
            _ => return false,
        },
        b'T' => match be16(body, 0) {
            Some(count) => r.fields = Some(count),
            None => return false,
        },
        b'D' => {
            r.rows += 1;
            r.row_bytes += row_size(body);
        }
        b'G' => r.copy_in = be16(body, 1),
        b'H' => r.copy_out = be16(body, 1),
        b'd' => {
            r.copy_rows += 1;
            r.copy_bytes += body.len() as u64;
        }
        b'C' => r.command = Some(text(body)),
        b'E' | b'N' => {
            r.notice = body
                .split(|b| *b == 0)
                .filter_map(|field| Some((*field.first()?, field.get(1..)?.to_vec())))
                .take(PARAMETERS_MAX)
                .collect();
        }
        b'S' | b'Z' | b'c' | b'1' | b'2' | b'3' | b'n' | b's' | b't' | b'A' | b'I' | b'V' | b'v' | b'W' => {}
        _ => return false,
    }
    true
}

impl ProtocolState for PgsqlState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Pgsql
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        match input {
            Input::Data(bytes) if self.upgrade => self.framed.keep(direction as usize, bytes),
            Input::Data(bytes) => self.bytes(direction, bytes),
            Input::Gap(length) => {
                self.framed.gap(direction as usize, length);
            }
            Input::End => self.pairs.close_all(),
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.pairs.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, _instance: usize) -> BufferState<'_> {
        match (self.pairs.get(index).and_then(|p| p.request.as_ref()), buffer) {
            (Some(Request::Query(query)), Buffer::PgsqlQuery) if direction == Direction::ToServer => BufferState::whole(query),
            _ => BufferState::Absent,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.pairs.release();
    }

    fn upgrade(&self) -> Option<Upgrade> {
        self.upgrade.then_some(Upgrade { protocol: Some(AppProtocol::Tls) })
    }

    fn take_rest(&mut self, direction: Direction) -> Vec<u8> {
        self.framed.rest(direction as usize)
    }

    fn kept(&self, direction: Direction) -> u64 {
        if self.upgrade { self.framed.held(direction as usize) } else { 0 }
    }

    fn is_open(&self, _direction: Direction) -> bool {
        // A response changes what the flow is; all else is complete in the frame that a rule is for.
        self.ssl_asked
    }

    fn log_as(&self, index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        if let (Some(pair), Some(t)) = (self.pairs.get(index), self.pairs.transactions.get(index)) {
            log::pgsql(pair, t.id + 1, settings.is("passwords", false), out);
        }
        true
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        self.log_as(index, 0, &LogSettings::default(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind], &(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
    }

    fn startup() -> Vec<u8> {
        let body = b"\0\x03\0\0user\0me\0database\0test\0DateStyle\0ISO\0\0";
        [&(body.len() as u32 + 4).to_be_bytes()[..], body].concat()
    }

    fn log(state: &PgsqlState, index: usize) -> String {
        let mut out = Vec::new();
        state.log(index, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn events(state: &PgsqlState) -> Vec<&'static str> {
        state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
    }

    const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

    #[test]
    fn a_session_in_any_cut() {
        for step in [1, 3, 1000] {
            let mut s = PgsqlState::new(&Default::default());
            let mut feed = |direction, bytes: &[u8]| bytes.chunks(step).for_each(|part| s.feed(direction, Input::Data(part), 1));
            feed(ToServer, SSL);
            feed(ToClient, b"N");
            feed(ToServer, &startup());
            feed(ToClient, &message(b'R', &[0, 0, 0, 10]));
            feed(ToServer, &message(b'p', b"SCRAM-SHA-256\0\0\0\0\x05n,,n="));
            feed(
                ToClient,
                &[
                    message(b'R', b"\0\0\0\x0cv=x"),
                    message(b'R', &[0; 4]),
                    message(b'S', b"TimeZone\0UTC\0"),
                    message(b'K', &[0, 0, 0, 7, 0, 0, 0, 9]),
                    message(b'Z', b"I"),
                ]
                .concat(),
            );
            feed(ToServer, &message(b'Q', b"SELECT 1\0"));
            feed(
                ToClient,
                &[
                    message(b'T', b"\0\x01"),
                    message(b'D', b"\0\x01\0\0\0\x011"),
                    message(b'C', b"SELECT 1\0"),
                    message(b'E', b"SERROR\0VERROR\0C42601\0\0"),
                    message(b'Z', b"I"),
                ]
                .concat(),
            );
            feed(ToServer, &message(b'X', b""));
            assert_eq!(s.transactions().len(), 5);
            assert!(events(&s).is_empty());
            assert!(matches!(s.buffer(3, ToServer, Buffer::PgsqlQuery, 0), BufferState::Present(v) if v.bytes == b"SELECT 1"));
            assert!(log(&s, 0).contains(r#""message":"SSL Request"},"response":{"ssl_accepted":false}"#), "{}", log(&s, 0));
            assert!(log(&s, 1).contains(r#""user":"me","optional_parameters":[{"database":"test"},{"date_style":"ISO"}]"#), "{}", log(&s, 1));
            assert!(log(&s, 2).contains(r#""sasl_authentication_mechanism":"scram_SHA256","sasl_param":"n,,n=""#), "{}", log(&s, 2));
            assert!(log(&s, 2).contains(r#""message":"authentication_ok""#) && log(&s, 2).contains(r#"[{"time_zone":"UTC"}]"#));
            assert!(log(&s, 3).contains(r#""data_rows":1"#) && log(&s, 3).contains(r#""code":"42601""#), "{}", log(&s, 3));
            assert!(log(&s, 4).contains("termination_message"));
        }
    }

    #[test]
    fn tls_begins_within() {
        let mut s = PgsqlState::new(&Default::default());
        s.feed(ToServer, Input::Data(SSL), 1);
        assert!(s.is_open(ToServer));
        s.feed(ToClient, Input::Data(b"S\x16\x03"), 2);
        assert_eq!(s.upgrade(), Some(Upgrade { protocol: Some(AppProtocol::Tls) }));
        assert_eq!(s.take_rest(ToClient), b"\x16\x03");
    }

    #[test]
    fn the_single_byte_is_of_the_protocol() {
        let mut flow = crate::AppLayerFlow::new(&Default::default(), 6, 40000, 5432);
        flow.feed(ToServer, Input::Data(SSL), 1);
        assert!(!flow.mark_inspected(1));
        flow.feed(ToClient, Input::Data(b"N"), 2);
        assert!(!flow.mark_inspected(2));
        assert_eq!((flow.protocol(), flow.new_events().count()), (Some(AppProtocol::Pgsql), 0));
    }

    #[test]
    fn oddities_and_bounds() {
        let mut s = PgsqlState::new(&Default::default());
        s.feed(ToServer, Input::Data(&[0, 0, 0, 3, 0]), 1);
        assert_eq!(events(&s), ["invalid_length"]);
        let mut s = PgsqlState::new(&Default::default());
        s.feed(ToServer, Input::Data(&[startup(), message(b'?', b"x")].concat()), 1);
        assert_eq!(events(&s), ["malformed_request"]);
        s.feed(ToServer, Input::Data(&[&b"Q\x7f\xff\xff\xff"[..], &[b'x'; 20_000]].concat()), 1);
        (0..100).for_each(|_| s.feed(ToServer, Input::Data(&[b'x'; 10_000]), 1));
        assert!(matches!(&s.pairs.get(2).unwrap().request, Some(Request::Query(q)) if q.len() < MESSAGE_MAX));
        for _ in 0..10_000 {
            s.feed(ToClient, Input::Data(&message(b'S', b"a\0b\0")), 1);
        }
        assert!(s.transactions().len() <= 256 && s.pairs.get(0).unwrap().responses[0].parameters.len() <= PARAMETERS_MAX);
        // Data that is copied counts, and is not kept.
        let mut s = PgsqlState::new(&Default::default());
        s.feed(ToServer, Input::Data(&startup()), 1);
        (0..1000).for_each(|_| s.feed(ToServer, Input::Data(&message(b'd', &[0; 100])), 1));
        assert_eq!(s.pairs.get(1).unwrap().request, Some(Request::CopyData { messages: 1000, size: 100_000 }));
    }
}
