//! Interfaces bound on a connection, and calls put together from their fragments.

use super::parser::{body, header, kinds, offers, results};

/// Most contexts of one connection.
const CONTEXTS_MAX: usize = 256;

/// An interface that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Interface {
    context: u16,
    uuid: [u8; 16],
    version: u16,
    /// What the server said: none yet, accepted, or refused.
    accepted: Option<bool>,
    /// The result itself, and its reason.
    result: (u16, u16),
}

/// What connects a client and the interfaces of a server.
#[derive(Debug, Default)]
pub(crate) struct Association {
    interfaces: Vec<Interface>,
    /// Offers of the last bind that were not answered yet, as positions in `interfaces`.
    unanswered: Vec<usize>,
    /// It is a connection of its own, not a pipe.
    direct: bool,
}

/// A call, or an exchange about contexts.
#[derive(Debug)]
pub(crate) struct Call {
    /// Number that fragments and answers share.
    pub id: u32,
    /// Of the request that began it: bind, alter_context or request.
    pub kind: u8,
    pub context: u16,
    pub operation: u16,
    /// Stub data to the server and to the client.
    pub stub: [Vec<u8>; 2],
    /// Byte order of each direction.
    pub little: [bool; 2],
    /// The direction has sent its last fragment.
    pub done: [bool; 2],
    /// Fragments by direction.
    pub fragments: [u32; 2],
    /// Kind of the answer; [`NONE`] before it has come.
    pub answer: u8,
    /// Places of the interfaces that were offered.
    offered: (usize, usize),
}

/// Kind of a call whose beginning was not seen.
pub(crate) const NONE: u8 = u8::MAX;

impl Call {
    /// A call of this number.
    pub fn new(id: u32) -> Call {
        let stub = Default::default();
        Call { id, kind: NONE, context: 0, operation: 0, stub, little: [true; 2], done: [false; 2], fragments: [0; 2], answer: NONE, offered: (0, 0) }
    }

    /// It is a request of an operation.
    pub fn is_request(&self) -> bool {
        self.kind == kinds::REQUEST
    }
}

/// What a PDU was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It belongs to the call at this position.
    Call(usize),
    /// It begins a call; there is none of its number yet.
    New(u32),
    /// Nothing to be done.
    Nothing,
    /// It is no PDU.
    Invalid,
}

impl Association {
    /// Of a connection of its own, or of a pipe.
    pub fn new(direct: bool) -> Self {
        Association { direct, ..Association::default() }
    }

    /// Which call of `calls` a PDU of direction `d` belongs to.
    pub fn find<'a>(pdu: &[u8], d: usize, mut calls: impl Iterator<Item = (usize, &'a Call)>) -> Outcome {
        let Some(h) = header(pdu) else { return Outcome::Invalid };
        // The newest of this number that still waits for this direction.
        let mut found = None;
        for (index, call) in calls.by_ref() {
            if call.id == h.call && !call.done[d] {
                found = Some(index);
            }
        }
        match (found, h.kind) {
            (Some(index), _) if d == 1 || !h.first => Outcome::Call(index),
            (_, kinds::REQUEST | kinds::BIND | kinds::ALTER_CONTEXT) if d == 0 => Outcome::New(h.call),
            (Some(index), _) => Outcome::Call(index),
            (None, kinds::RESPONSE | kinds::FAULT | kinds::BIND_ACK | kinds::BIND_NAK | kinds::ALTER_CONTEXT_RESP) if d == 1 => {
                Outcome::New(h.call)
            }
            (None, _) => Outcome::Nothing,
        }
    }

    /// Take the PDU into the call; `limit` bytes of stub data are kept by direction.
    pub fn take(&mut self, pdu: &[u8], d: usize, call: &mut Call, limit: usize) {
        let Some(h) = header(pdu) else { return };
        if call.kind == NONE {
            call.kind = h.kind;
        }
        call.id = h.call;
        call.little[d] = h.little;
        call.fragments[d] = call.fragments[d].saturating_add(1);
        if d == 1 {
            call.answer = h.kind;
        }
        match h.kind {
            kinds::BIND | kinds::ALTER_CONTEXT => {
                let before = self.interfaces.len();
                self.offer(pdu, h.little);
                call.offered = (before, self.interfaces.len());
            }
            kinds::BIND_ACK | kinds::ALTER_CONTEXT_RESP => self.answer(&results(pdu, h.little)),
            kinds::BIND_NAK => self.unanswered.clear(),
            kinds::REQUEST | kinds::RESPONSE => {
                let Some(body) = body(pdu, &h, self.direct) else { return };
                if h.kind == kinds::REQUEST {
                    (call.context, call.operation) = (body.context, body.operation);
                }
                let room = limit.saturating_sub(call.stub[d].len());
                call.stub[d].extend_from_slice(body.stub.get(..room).unwrap_or(body.stub));
            }
            _ => {}
        }
        if h.last || !matches!(h.kind, kinds::REQUEST | kinds::RESPONSE) {
            call.done[d] = true;
        }
        if d == 1 && matches!(h.kind, kinds::FAULT | kinds::REJECT | kinds::BIND_NAK) {
            call.done = [true; 2];
        }
    }

    fn offer(&mut self, pdu: &[u8], little: bool) {
        self.unanswered.clear();
        for offer in offers(pdu, little) {
            let interface =
                Interface { context: offer.context, uuid: offer.uuid, version: offer.version, accepted: None, result: (0, 0) };
            if self.interfaces.len() < CONTEXTS_MAX {
                self.unanswered.push(self.interfaces.len());
                self.interfaces.push(interface);
            }
        }
    }

    fn answer(&mut self, results: &[(u16, u16)]) {
        for (position, result) in std::mem::take(&mut self.unanswered).into_iter().zip(results) {
            if let Some(interface) = self.interfaces.get_mut(position) {
                interface.accepted = Some(result.0 == 0);
                interface.result = *result;
            }
        }
    }

    /// Version of the interface, if the call uses it and the server has accepted it.
    pub fn version_of(&self, uuid: &[u8; 16], call: &Call) -> Option<u16> {
        let uses = |i: &&Interface| i.uuid == *uuid && i.context == call.context && i.accepted == Some(true);
        self.interfaces.iter().rev().find(uses).filter(|_| call.is_request()).map(|i| i.version)
    }
}

impl Association {
    /// Interfaces that a call is about, for logs: UUID, version, result and reason, whether they were answered.
    fn interfaces_of(&self, call: &Call) -> Vec<(String, u16, (u16, u16), bool)> {
        let offered = self.interfaces.get(call.offered.0..call.offered.1).unwrap_or_default();
        let used = self.interfaces.iter().rev().find(|i| call.is_request() && i.context == call.context);
        let list = offered.iter().chain(used);
        list.map(|i| (uuid_text(&i.uuid), i.version, i.result, i.accepted.is_some())).collect()
    }
}

/// A UUID with dashes (RFC 9562 section 4).
pub(crate) fn uuid_text(uuid: &[u8; 16]) -> String {
    let hex = crate::digest::hex(uuid);
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default().to_owned();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// Appends what logs tell of a call.
pub(crate) fn log(o: &mut crate::json::Object<'_>, association: Option<&Association>, call: &Call) {
    let request: &[u8] = match call.kind {
        kinds::REQUEST => b"REQUEST",
        kinds::BIND => b"BIND",
        kinds::ALTER_CONTEXT => b"ALTER_CONTEXT",
        _ => b"REQUEST_LOST",
    };
    o.text("request", Some(request));
    if call.is_request() {
        o.object("req", |o| {
            o.number("opnum", call.operation.into());
            sizes(o, call, 0);
        });
    }
    let interfaces = association.map(|a| a.interfaces_of(call)).unwrap_or_default();
    o.objects("interfaces", interfaces.iter(), |o, (uuid, version, result, _)| {
        named(o, uuid, *version);
        o.number("ack_result", result.0.into());
    });
    o.text("response", Some(answer_name(call.answer)));
    if call.answer == kinds::RESPONSE {
        o.object("res", |o| sizes(o, call, 1));
    }
    o.number("call_id", call.id.into());
}

/// Fragments and stub data of a direction.
fn sizes(o: &mut crate::json::Object<'_>, call: &Call, side: usize) {
    o.number("frag_cnt", call.fragments[side & 1].into());
    o.number("stub_data_size", call.stub[side & 1].len() as u64);
}

/// An interface.
fn named(o: &mut crate::json::Object<'_>, uuid: &str, version: u16) {
    o.text("uuid", Some(uuid.as_bytes()));
    o.text("version", Some(format!("{version}.0").as_bytes()));
}

fn answer_name(kind: u8) -> &'static [u8] {
    match kind {
        kinds::RESPONSE => b"RESPONSE",
        kinds::BIND_ACK => b"BINDACK",
        kinds::BIND_NAK => b"BINDNAK",
        kinds::ALTER_CONTEXT_RESP => b"ALTER_CONTEXT_RESP",
        kinds::FAULT => b"FAULT",
        _ => b"UNREPLIED",
    }
}

/// Appends what logs tell of a call over a pipe of SMB.
pub(crate) fn log_of_pipe(o: &mut crate::json::Object<'_>, association: Option<&Association>, call: &Call) {
    let number = call.kind.to_string();
    let request = match call.kind {
        kinds::REQUEST => "REQUEST",
        kinds::BIND => "BIND",
        kinds::ALTER_CONTEXT => "ALTER_CONTEXT",
        NONE => "REQUEST_LOST",
        _ => number.as_str(),
    };
    o.text("request", Some(request.as_bytes()));
    o.text("response", Some(answer_name(call.answer)));
    if call.is_request() {
        o.number("opnum", call.operation.into());
        o.object("req", |o| sizes(o, call, 0));
    }
    let interfaces = association.map(|a| a.interfaces_of(call)).unwrap_or_default();
    o.objects("interfaces", interfaces.iter(), |o, (uuid, version, result, answered)| {
        named(o, uuid, *version);
        if *answered && !call.is_request() {
            o.number("ack_result", result.0.into());
            o.number("ack_reason", result.1.into());
        }
    });
    if call.answer == kinds::RESPONSE {
        o.object("res", |o| sizes(o, call, 1));
    }
    o.number("call_id", call.id.into());
}

/// The UUID in a name of the form `dcerpc.iface.` and 32 hexadecimal digits.
pub(crate) fn interface_in(name: &str) -> Option<[u8; 16]> {
    let digits = name.strip_prefix("dcerpc.iface.")?.as_bytes();
    let mut out = [0; 16];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |b: u8| char::from(b).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
    }
    (digits.len() == 32).then_some(out)
}

/// Numbers of a call, by the names that rules use.
pub(crate) fn number(association: &Association, call: &Call, d: usize, name: &str) -> Option<u64> {
    match name {
        "dcerpc.opnum" if call.is_request() => Some(call.operation.into()),
        "dcerpc.little_endian" => Some(call.little[d & 1].into()),
        _ => association.version_of(&interface_in(name)?, call).map(u64::from),
    }
}

#[cfg(test)]
mod tests {
    use super::super::parser::tests::{UUID, bind, bind_ack, pdu, request};
    use super::*;

    fn name() -> String {
        format!("dcerpc.iface.{}", crate::digest::hex(&UUID))
    }

    #[test]
    fn an_interface_counts_once_it_is_accepted_and_used() {
        for (result, context, version) in [(0, 7, Some(2)), (2, 7, None), (0, 8, None)] {
            let mut association = Association::default();
            let mut first = Call::new(1);
            association.take(&bind(1, 7, UUID, 2), 0, &mut first, 100);
            let mut call = Call::new(2);
            association.take(&request(2, 3, context, 15, b"x"), 0, &mut call, 100);
            assert_eq!(number(&association, &call, 0, &name()), None);
            association.take(&bind_ack(1, result), 1, &mut first, 100);
            assert_eq!(first.done, [true; 2]);
            assert_eq!(number(&association, &call, 0, &name()), version);
            assert_eq!(number(&association, &call, 0, "dcerpc.opnum"), Some(15));
            assert_eq!(number(&association, &first, 0, "dcerpc.opnum"), None);
        }
    }

    #[test]
    fn fragments_make_one_call() {
        let mut association = Association::default();
        let mut calls = vec![Call::new(5)];
        for (flags, stub) in [(1, b"ab"), (0, b"cd"), (2, b"ef")] {
            association.take(&request(5, flags, 0, 1, stub), 0, &mut calls[0], 5);
        }
        assert_eq!((calls[0].stub[0].as_slice(), calls[0].done), (&b"abcde"[..], [true, false]));
        let found = |pdu: &[u8], d, calls: &[Call]| Association::find(pdu, d, calls.iter().enumerate());
        assert_eq!(found(&pdu(2, 3, 5, &[0; 8]), 1, &calls), Outcome::Call(0));
        assert_eq!(found(&request(5, 3, 0, 1, b""), 0, &calls), Outcome::New(5));
        assert_eq!(found(&pdu(2, 3, 6, &[0; 8]), 1, &calls), Outcome::New(6));
        assert_eq!(found(b"nonsense that is no PDU", 0, &calls), Outcome::Invalid);
        let mut orphan = Call::new(6);
        association.take(&pdu(2, 3, 6, &[0; 8]), 1, &mut orphan, 5);
        assert!(!orphan.is_request());
        calls.push(orphan);
    }

    #[test]
    fn names_of_interfaces() {
        assert_eq!(interface_in(&name()), Some(UUID));
        assert_eq!(interface_in("dcerpc.iface.12"), None);
        assert_eq!(interface_in("dcerpc.iface.zz7abb81984435f1ad3298f038001003"), None);
    }
}
