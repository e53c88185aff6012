//! POP3 (RFC 1939, RFC 2449, RFC 5034): commands with their responses; STLS (RFC 2595).

use crate::framed::{Cut, Framed, Piece};
use crate::json::Object;
use crate::pairs::Pairs;
use crate::{AppLayerConfig, Direction, Input, ProtocolState, Transaction, Upgrade};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

const EVENTS: [&str; 5] =
    ["too_many_transactions", "request_too_long", "incorrect_argument_count", "unknown_command", "response_too_long"];
const REQUEST_TOO_LONG: u16 = 1;
const ARGUMENTS: u16 = 2;
const UNKNOWN: u16 = 3;
const RESPONSE_TOO_LONG: u16 = 4;

/// Longest line; what is longer is taken in pieces.
const LINE_MAX: usize = 2048;
/// Longest command (RFC 2449 section 4, with room for authentication).
const COMMAND_MAX: usize = 1024;
/// Most bytes kept of a response.
const DATA_MAX: usize = 16 * 1024;
/// Most arguments kept.
const ARGUMENTS_MAX: usize = 8;

/// Commands, and how many arguments they take.
const COMMANDS: &[(&str, usize, usize)] = &[
    ("USER", 1, 1),
    ("PASS", 1, usize::MAX),
    ("APOP", 2, 2),
    ("STAT", 0, 0),
    ("LIST", 0, 1),
    ("UIDL", 0, 1),
    ("RETR", 1, 1),
    ("DELE", 1, 1),
    ("NOOP", 0, 0),
    ("RSET", 0, 0),
    ("TOP", 2, 2),
    ("QUIT", 0, 0),
    ("CAPA", 0, 0),
    ("STLS", 0, 0),
    ("AUTH", 1, 2),
    ("UTF8", 0, 0),
    ("LANG", 0, 1),
];

struct Request {
    command: Vec<u8>,
    arguments: Vec<Vec<u8>>,
}

impl Request {
    /// A response in which it succeeds has lines behind the first (RFC 1939 section 3).
    fn is_multi_line(&self) -> bool {
        match self.command.as_slice() {
            b"LIST" | b"UIDL" | b"LANG" | b"AUTH" => self.arguments.is_empty(),
            b"RETR" | b"TOP" | b"CAPA" => true,
            _ => false,
        }
    }
}

#[derive(Default)]
struct Response {
    success: bool,
    header: Vec<u8>,
    data: Vec<Vec<u8>>,
    kept: usize,
}

/// POP3 of one flow.
pub struct Pop3State {
    framed: Framed,
    pairs: Pairs<Request, Response>,
    /// The exchange whose lines come.
    lines: Option<u64>,
    /// The server asked for more of an authentication: the next line of the client is no command.
    asked: bool,
    upgrade: bool,
}

fn cut(bytes: &[u8]) -> Cut {
    match memchr::memchr(b'\n', bytes.get(..LINE_MAX).unwrap_or(bytes)) {
        Some(at) => Cut::Length(at + 1),
        None if bytes.len() >= LINE_MAX => Cut::Length(LINE_MAX),
        None => Cut::More,
    }
}

fn trim(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

impl Pop3State {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        Pop3State {
            framed: Framed::new(LINE_MAX),
            pairs: Pairs::new(config.transactions),
            lines: None,
            asked: false,
            upgrade: false,
        }
    }

    fn command(&mut self, line: &[u8]) {
        if std::mem::take(&mut self.asked) {
            return;
        }
        let mut words = line.split(|b| *b == b' ').filter(|word| !word.is_empty());
        let command = words.next().unwrap_or(&[]).to_ascii_uppercase();
        let arguments: Vec<Vec<u8>> = words.map(<[u8]>::to_vec).take(ARGUMENTS_MAX).collect();
        let known = COMMANDS.iter().find(|c| c.0.as_bytes() == command);
        let count = arguments.len();
        let index = self.pairs.request(Request { command, arguments }, line.len() + 128);
        match known {
            None => self.pairs.event(index, Direction::ToServer, UNKNOWN),
            Some((_, least, most)) if count < *least || count > *most => {
                self.pairs.event(index, Direction::ToServer, ARGUMENTS);
            }
            Some(_) => {}
        }
        if line.len() > COMMAND_MAX {
            self.pairs.event(index, Direction::ToServer, REQUEST_TOO_LONG);
        }
    }

    fn index_of_lines(&self) -> Option<usize> {
        let id = self.lines?;
        self.pairs.transactions.binary_search_by_key(&id, |t| t.id).ok()
    }

    fn response(&mut self, line: &[u8]) {
        if self.lines.is_some() {
            return self.line(line);
        }
        let found = self.pairs.waiting(|_| true);
        let (success, header) = match line {
            [b'+', b'O', b'K', rest @ ..] => (true, rest),
            [b'-', b'E', b'R', b'R', rest @ ..] => (false, rest),
            [b'+', b' ', ..] | [b'+'] => {
                self.asked = true;
                return;
            }
            // Not a status: lines of something whose beginning was not understood.
            _ => return,
        };
        let response = Response { success, header: header.trim_ascii_start().to_vec(), ..Response::default() };
        let index = self.pairs.response(found, response, line.len() + 128);
        let request = self.pairs.get(index).and_then(|pair| pair.request.as_ref());
        let more = success && request.is_some_and(Request::is_multi_line);
        self.upgrade = success && request.is_some_and(|r| r.command == b"STLS");
        if more {
            self.lines = self.pairs.transactions.get(index).map(|t| t.id);
        } else {
            self.pairs.close(index);
        }
    }

    /// A line behind the first; a dot ends them.
    fn line(&mut self, line: &[u8]) {
        let index = self.index_of_lines();
        if line == b"." {
            self.lines = None;
            if let Some(index) = index {
                self.pairs.close(index);
            }
            return;
        }
        let Some(response) = index.and_then(|at| self.pairs.get_mut(at)?.responses.last_mut()) else { return };
        let text = line.strip_prefix(b".").unwrap_or(line);
        if response.kept + text.len() + 32 <= DATA_MAX {
            response.kept += text.len() + 32;
            response.data.push(text.to_vec());
        } else if let Some(index) = index {
            self.pairs.event(index, Direction::ToClient, RESPONSE_TOO_LONG);
        }
    }

    fn bytes(&mut self, direction: Direction, bytes: &[u8]) {
        let mut framed = std::mem::replace(&mut self.framed, Framed::new(LINE_MAX));
        framed.push(direction as usize, bytes, cut, |piece| {
            if let Piece::Whole(line) = piece {
                match direction {
                    Direction::ToServer => self.command(trim(line)),
                    Direction::ToClient => self.response(trim(line)),
                }
            }
            !self.upgrade
        });
        self.framed = framed;
    }
}

impl ProtocolState for Pop3State {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Pop3
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

    fn is_open(&self, direction: Direction) -> bool {
        // A response changes what the flow is; all else is complete in the frame that a rule is for.
        self.pairs.waiting(|request| request.command == b"STLS").is_some()
            || direction == Direction::ToServer && self.framed.is_open(0)
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some(pair) = self.pairs.get(index) else { return };
        let mut pop3 = Object::begin("pop3", out);
        if let Some(request) = &pair.request {
            pop3.object("request", |o| {
                o.string("command", &request.command);
                o.list("args", |list| request.arguments.iter().for_each(|a| list.text(a)));
            });
        }
        if let Some(response) = pair.responses.first() {
            pop3.object("response", |o| {
                o.boolean("success", response.success);
                o.text("status", Some(if response.success { b"OK" } else { b"ERR" }));
                o.string("header", &response.header);
                o.list("data", |list| response.data.iter().for_each(|line| list.text(line)));
            });
        }
        pop3.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    fn log(state: &Pop3State, index: usize) -> String {
        let mut out = Vec::new();
        state.log(index, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn events(state: &Pop3State) -> Vec<&'static str> {
        state.transactions().iter().flat_map(|t| &t.events).map(|e| state.event_name(*e)).collect()
    }

    #[test]
    fn a_session_in_any_cut() {
        for step in [1, 5, 1000] {
            let mut s = Pop3State::new(&Default::default());
            let mut feed = |direction, text: &[u8]| text.chunks(step).for_each(|part| s.feed(direction, Input::Data(part), 1));
            feed(ToClient, b"+OK POP server ready\r\n");
            feed(ToServer, b"user me\r\nPASS a b\r\nLIST\r\n");
            feed(ToClient, b"+OK\r\n-ERR no\r\n+OK 2 247\r\n1 100\r\n..2\r\n.\r\n");
            assert_eq!(s.transactions().len(), 4);
            assert!(events(&s).is_empty());
            assert_eq!(log(&s, 0), r#""pop3":{"response":{"success":true,"status":"OK","header":"POP server ready","data":[]}}"#);
            assert!(log(&s, 2).contains(r#""command":"PASS","args":["a","b"]"#) && log(&s, 2).contains(r#""status":"ERR","header":"no""#));
            assert!(log(&s, 3).contains(r#""header":"2 247","data":["1 100",".2"]"#), "{}", log(&s, 3));
            s.mark_inspected();
            assert!(s.transactions().is_empty() && !s.is_open(ToServer));
        }
    }

    #[test]
    fn tls_and_authentication() {
        let mut s = Pop3State::new(&Default::default());
        s.feed(ToServer, Input::Data(b"AUTH PLAIN\r\n"), 1);
        s.feed(ToClient, Input::Data(b"+ \r\n"), 1);
        s.feed(ToServer, Input::Data(b"AGEAYg==\r\nSTLS\r\n"), 1);
        s.feed(ToClient, Input::Data(b"+OK in\r\n+OK begin\r\n\x16\x03"), 1);
        assert_eq!((s.transactions().len(), events(&s).len()), (2, 0));
        assert_eq!(s.upgrade(), Some(Upgrade { protocol: Some(AppProtocol::Tls) }));
        assert_eq!(s.take_rest(ToClient), b"\x16\x03");
    }

    #[test]
    fn oddities_and_bounds() {
        let mut s = Pop3State::new(&Default::default());
        s.feed(ToServer, Input::Data(b"HACK\r\nAUTH\r\n"), 1);
        assert_eq!(events(&s), ["unknown_command", "incorrect_argument_count"]);
        s.feed(ToClient, Input::Data(b"-ERR\r\n-ERR\r\n"), 1);
        s.feed(ToServer, Input::Data(&[&b"PASS "[..], &[b'x'; 1500], b"\r\nRETR 1\r\n"].concat()), 1);
        assert_eq!(events(&s)[2], "request_too_long");
        s.feed(ToClient, Input::Data(b"-ERR\r\n+OK\r\n"), 1);
        (0..1000).for_each(|_| s.feed(ToClient, Input::Data(&[b'x'; 10_000]), 1));
        s.feed(ToClient, Input::Data(b"\r\n.\r\n"), 1);
        assert_eq!(events(&s)[3], "response_too_long");
        assert!(log(&s, 3).len() < 2 * DATA_MAX);
        for _ in 0..10_000 {
            s.feed(ToServer, Input::Data(b"NOOP\r\n"), 1);
            s.mark_inspected();
        }
        assert!(s.transactions().len() <= 256);
    }
}
