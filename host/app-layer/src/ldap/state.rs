//! Transactions, buffers and events of LDAP.

use super::log;
use super::message::{EXTENDED_RESPONSE, Message, read};
use crate::framed::{Cut, Framed, Piece};
use crate::pairs::{Pair, Pairs};
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction, Upgrade};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 4] = ["too_many_transactions", "invalid_data", "request_not_found", "too_many_responses"];
const INVALID_DATA: u16 = 1;
const NOT_FOUND: u16 = 2;
const TOO_MANY_RESPONSES: u16 = 3;

/// Longest message that is read.
const MESSAGE_MAX: usize = 64 * 1024;
/// Most responses to a request.
const RESPONSES_MAX: usize = 64;
/// StartTLS (RFC 4511 section 4.14).
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

/// LDAP of one flow.
pub struct LdapState {
    framed: Framed,
    datagrams: bool,
    pairs: Pairs<Message, Message>,
    upgrade: bool,
}

/// Length of the message at the beginning of `bytes` (X.690 section 8.1.3).
fn cut(bytes: &[u8]) -> Cut {
    match bytes {
        [0x30, length @ 0..=0x7f, ..] => Cut::Length(2 + usize::from(*length)),
        [0x30, form @ 0x81..=0x84, rest @ ..] => match rest.get(..usize::from(form & 0x7f)) {
            Some(octets) => Cut::Length(2 + octets.len() + octets.iter().fold(0, |n, b| n << 8 | usize::from(*b))),
            None => Cut::More,
        },
        [] | [0x30] => Cut::More,
        _ => Cut::Lost,
    }
}

impl LdapState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>, tcp: bool) -> Self {
        LdapState {
            framed: Framed::new(MESSAGE_MAX),
            datagrams: !tcp,
            pairs: Pairs::new(config.transactions),
            upgrade: false,
        }
    }

    fn bytes(&mut self, direction: Direction, bytes: &[u8]) {
        if self.datagrams {
            // Messages of a datagram end with it.
            self.framed = Framed::new(MESSAGE_MAX);
        }
        let LdapState { framed, pairs, upgrade, .. } = self;
        framed.push(direction as usize, bytes, cut, |piece| {
            match piece {
                Piece::Whole(message) => match read(message) {
                    Some(message) => *upgrade = take(pairs, direction, message),
                    None => pairs.event_alone(direction, INVALID_DATA),
                },
                Piece::Beginning(_) | Piece::Lost => pairs.event_alone(direction, INVALID_DATA),
            }
            !*upgrade
        });
    }
}

/// A message has come; true: TLS follows.
fn take(pairs: &mut Pairs<Message, Message>, direction: Direction, message: Message) -> bool {
    let size = message.size();
    if !message.is_response() {
        let alone = message.stands_alone();
        let index = pairs.request(message, size);
        if alone {
            pairs.close(index);
        }
        return false;
    }
    let found = pairs.waiting(|request| request.id == message.id);
    let starts_tls = message.operation == EXTENDED_RESPONSE
        && message.outcome.as_ref().is_some_and(|o| o.code == 0)
        && found.and_then(|at| pairs.get(at)?.request.as_ref()?.name.as_deref()) == Some(START_TLS);
    let last = !message.is_part();
    if let Some(index) = found.filter(|at| pairs.get(*at).is_some_and(|p| p.responses.len() >= RESPONSES_MAX)) {
        pairs.event(index, direction, TOO_MANY_RESPONSES);
        if last {
            pairs.close(index);
        }
        return starts_tls;
    }
    let index = pairs.response(found, message, size);
    if found.is_none() {
        pairs.event(index, direction, NOT_FOUND);
    }
    if last {
        pairs.close(index);
    }
    starts_tls
}

/// The value of response `index` (from the end if negative), or any or all of them.
fn responses(pair: &Pair<Message, Message>, which: &str, of: impl Fn(&Message) -> Option<u64>, holds: &mut dyn FnMut(u64) -> bool) -> bool {
    let list = &pair.responses;
    match which {
        "" => list.iter().filter_map(of).any(holds),
        "all" => !list.is_empty() && list.iter().all(|m| of(m).is_some_and(&mut *holds)),
        which => {
            let Ok(n) = which.parse::<i64>() else { return false };
            let at = if n < 0 { list.len() as i64 + n } else { n };
            usize::try_from(at).ok().and_then(|at| of(list.get(at)?)).is_some_and(holds)
        }
    }
}

impl ProtocolState for LdapState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Ldap
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

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(pair) = self.pairs.get(index) else { return BufferState::Absent };
        if direction == Direction::ToServer {
            let Some(request) = &pair.request else { return BufferState::Absent };
            let found = match buffer {
                Buffer::LdapRequestDn if instance == 0 => request.dn.as_ref(),
                Buffer::LdapRequestAttributeType => request.attributes.get(instance).map(|(name, _)| name),
                _ => None,
            };
            return found.map_or(BufferState::Absent, |bytes| BufferState::whole(bytes));
        }
        let found = match buffer {
            Buffer::LdapResponsesDn => pair.responses.iter().filter_map(|m| m.dn.as_ref()).nth(instance),
            Buffer::LdapResponsesMessage => pair.responses.iter().filter_map(|m| Some(&m.outcome.as_ref()?.message)).nth(instance),
            Buffer::LdapResponsesAttributeType => pair.responses.iter().flat_map(|m| &m.attributes).nth(instance).map(|(name, _)| name),
            _ => return BufferState::Absent,
        };
        match found {
            Some(bytes) => BufferState::whole(bytes),
            None if self.pairs.is_answered(index) => BufferState::Absent,
            None => BufferState::NotYet,
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let pair = self.pairs.get(index)?;
        match (name, direction) {
            ("ldap.request.operation", Direction::ToServer) => Some(pair.request.as_ref()?.operation.into()),
            ("ldap.responses.count", Direction::ToClient) => Some(pair.responses.len() as u64),
            _ => None,
        }
    }

    fn any_number(&self, index: usize, direction: Direction, name: &str, holds: &mut dyn FnMut(u64) -> bool) -> bool {
        if let (Some(pair), Direction::ToClient) = (self.pairs.get(index), direction) {
            let which = |rest: &str| rest.strip_prefix('.').unwrap_or(rest).to_owned();
            if let Some(rest) = name.strip_prefix("ldap.responses.operation") {
                return responses(pair, &which(rest), |m| Some(m.operation.into()), holds);
            }
            if let Some(rest) = name.strip_prefix("ldap.responses.result_code") {
                return responses(pair, &which(rest), |m| m.outcome.as_ref().map(|o| o.code), holds);
            }
        }
        self.number(index, direction, name).is_some_and(holds)
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
        self.pairs.waiting(|request| request.name.as_deref() == Some(START_TLS)).is_some()
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        if let Some(pair) = self.pairs.get(index) {
            log::ldap(pair, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    /// A value in BER, of fewer than 65 536 bytes.
    fn ber(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = match content.len() {
            n @ 0..=0x7f => vec![n as u8],
            n => vec![0x82, (n >> 8) as u8, n as u8],
        };
        [vec![tag], length, content].concat()
    }

    fn message(id: u8, operation: Vec<u8>) -> Vec<u8> {
        ber(0x30, &[&[2, 1, id], &operation])
    }

    fn search(id: u8) -> Vec<u8> {
        let fixed = b"\x0a\x01\x02\x0a\x01\x00\x02\x01\x64\x02\x01\x00\x01\x01\x00";
        message(id, ber(0x63, &[&ber(4, &[b"dc=example,dc=com"]), fixed, b"\x87\x0bobjectClass", &ber(0x30, &[b"\x04\x02cn\x04\x04mail"])]))
    }

    fn entry(id: u8) -> Vec<u8> {
        let attribute = ber(0x30, &[b"\x04\x02cn", &ber(0x31, &[b"\x04\x02me"])]);
        message(id, ber(0x64, &[b"\x04\x05uid=1", &ber(0x30, &[&attribute])]))
    }

    fn result(id: u8, tag: u8, code: u8, text: &[u8]) -> Vec<u8> {
        message(id, ber(tag, &[&[0x0a, 1, code, 4, 0], &ber(4, &[text])]))
    }

    fn text(state: &LdapState, index: usize, direction: Direction, buffer: Buffer, n: usize) -> Option<String> {
        match state.buffer(index, direction, buffer, n) {
            BufferState::Present(view) => Some(String::from_utf8_lossy(view.bytes).into_owned()),
            _ => None,
        }
    }

    fn events(state: &LdapState) -> Vec<&'static str> {
        state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
    }

    fn log(state: &LdapState, index: usize) -> String {
        let mut out = Vec::new();
        state.log(index, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_search_in_any_cut() {
        let server = [entry(2), entry(2), result(2, 0x65, 4, b"too many")].concat();
        for step in [1, 3, 1000] {
            let mut s = LdapState::new(&Arc::default(), true);
            search(2).chunks(step).for_each(|part| s.feed(ToServer, Input::Data(part), 1));
            assert!(matches!(s.buffer(0, ToClient, Buffer::LdapResponsesDn, 0), BufferState::NotYet));
            server.chunks(step).for_each(|part| s.feed(ToClient, Input::Data(part), 2));
            assert_eq!(s.transactions().len(), 1);
            assert!(events(&s).is_empty() && s.pairs.is_answered(0));
            assert_eq!(text(&s, 0, ToServer, Buffer::LdapRequestDn, 0).as_deref(), Some("dc=example,dc=com"));
            assert_eq!(text(&s, 0, ToServer, Buffer::LdapRequestAttributeType, 1).as_deref(), Some("mail"));
            assert_eq!(text(&s, 0, ToClient, Buffer::LdapResponsesDn, 1).as_deref(), Some("uid=1"));
            assert_eq!(text(&s, 0, ToClient, Buffer::LdapResponsesMessage, 0).as_deref(), Some("too many"));
            assert_eq!(text(&s, 0, ToClient, Buffer::LdapResponsesAttributeType, 1).as_deref(), Some("cn"));
            assert_eq!(s.number(0, ToServer, "ldap.request.operation"), Some(3));
            assert_eq!(s.number(0, ToClient, "ldap.responses.count"), Some(3));
            let is = |name: &str, value: u64| s.any_number(0, ToClient, name, &mut |v| v == value);
            assert!(is("ldap.responses.operation", 5) && is("ldap.responses.operation.-1", 5) && is("ldap.responses.operation.0", 4));
            assert!(!is("ldap.responses.operation.all", 4) && is("ldap.responses.result_code", 4) && !is("ldap.responses.operation.9", 4));
            let log = log(&s, 0);
            assert!(log.contains("\"base_object\":\"dc=example,dc=com\"") && log.contains("\"result_code\":\"size_limit_exceeded\""), "{log}");
            s.mark_inspected();
            assert!(!s.is_open(ToServer));
        }
    }

    #[test]
    fn tls_begins_within() {
        let mut s = LdapState::new(&Arc::default(), true);
        s.feed(ToServer, Input::Data(&message(1, ber(0x77, &[&ber(0x80, &[START_TLS])]))), 1);
        s.feed(ToClient, Input::Data(&[result(1, 0x78, 0, b""), b"\x16\x03".to_vec()].concat()), 2);
        assert_eq!(s.upgrade(), Some(Upgrade { protocol: Some(AppProtocol::Tls) }));
        s.feed(ToServer, Input::Data(b"\x16\x03\x01"), 3);
        assert_eq!((s.take_rest(ToServer), s.take_rest(ToClient)), (b"\x16\x03\x01".to_vec(), b"\x16\x03".to_vec()));
    }

    #[test]
    fn oddities_and_bounds() {
        let mut s = LdapState::new(&Arc::default(), true);
        s.feed(ToClient, Input::Data(&result(9, 0x61, 49, b"no")), 1);
        assert_eq!(events(&s), ["request_not_found"]);
        s.mark_inspected();
        s.feed(ToServer, Input::Data(&ber(0x30, &[b"\x02\x01\x01\x30\x00"])), 1);
        assert_eq!(events(&s), ["invalid_data"]);
        s.mark_inspected();
        s.feed(ToServer, Input::Data(b"GET / HTTP/1.1\r\n"), 1);
        assert_eq!(events(&s), ["invalid_data"]);
        // Endless answers, endless questions, a message without end.
        let mut s = LdapState::new(&Arc::default(), true);
        s.feed(ToServer, Input::Data(&search(1)), 1);
        (0..10_000).for_each(|_| s.feed(ToClient, Input::Data(&entry(1)), 2));
        assert_eq!(events(&s), ["too_many_responses"]);
        assert_eq!(s.number(0, ToClient, "ldap.responses.count"), Some(RESPONSES_MAX as u64));
        for n in 0..1000u32 {
            s.feed(ToServer, Input::Data(&search(n as u8)), 3);
            s.mark_inspected();
        }
        assert!(s.transactions().len() <= 256);
        s.feed(ToServer, Input::Data(b"\x30\x84\x7f\xff\xff\xff"), 4);
        (0..100).for_each(|_| s.feed(ToServer, Input::Data(&[0; 10_000]), 4));
        assert!(s.framed.rest(0).len() <= MESSAGE_MAX);
    }
}
