//! Commands, replies and announced data connections of one flow.

use super::events::Event;
use super::parser::{Reply, Verb, extended_port, port, reply, split, verb};
use crate::expectation::{Content, Expected, FileTransfer};
use crate::line::{Lines, Piece};
use crate::messages::make_room;
use crate::{AppLayerConfig, COMPLETE, Direction, Input, Limits, Transaction, Upgrade};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

/// Longest line that is read.
const LINE_LIMIT: usize = 4096;
/// Most reply lines kept of one transaction.
const REPLIES_MAX: usize = 64;
/// Longest reply text kept.
const REPLY_MAX: usize = 1024;
/// Longest file name kept.
const NAME_MAX: usize = 1024;

/// Most preliminary replies of one command without an event.
const PRELIMINARY_MAX: u8 = 16;

/// A command and its replies.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    /// Command name as sent; empty for a reply without command.
    pub name: Vec<u8>,
    pub argument: Vec<u8>,
    /// Text of each reply line; of those within a reply, the whole line.
    pub replies: Vec<Vec<u8>>,
    /// Code of each reply.
    pub codes: Vec<[u8; 3]>,
    /// Port of the data connection that this exchange agreed upon.
    pub port: Option<u16>,
    /// The client listens.
    pub active: bool,
    verb: Option<Verb>,
    /// Replies that announce the completion.
    preliminary: u8,
    /// Command and reply were longer than what is kept.
    pub cut: [bool; 2],
    pub done: bool,
}

impl Exchange {
    /// What the server says before any command.
    pub fn greets(&self) -> bool {
        self.verb.is_none()
    }
}

/// FTP control connection of one flow.
pub struct FtpState {
    config: Arc<AppLayerConfig>,
    lines: [Lines; 2],
    line: Vec<u8>,
    /// Within a reply of several lines: its code (RFC 959 section 4.2).
    multiline: Option<[u8; 3]>,
    pub(super) transactions: Vec<Transaction>,
    pub(super) limits: Limits,
    pub(super) exchanges: Vec<Exchange>,
    next: u64,
    /// Port of the next data connection, and whether the client listens on it.
    data_port: Option<(u16, bool)>,
    expected: Vec<Expected>,
    pub(super) upgrade: Option<Upgrade>,
    pub(super) rest: [Vec<u8>; 2],
}

impl FtpState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        FtpState {
            config: Arc::clone(config),
            lines: Default::default(),
            line: Vec::new(),
            multiline: None,
            transactions: Vec::new(),
            limits: Limits::default(),
            exchanges: Vec::new(),
            next: 0,
            data_port: None,
            expected: Vec::new(),
            upgrade: None,
            rest: Default::default(),
        }
    }

    pub(super) fn feed_side(&mut self, direction: Direction, input: Input<'_>) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) => self.bytes(d, bytes),
            Input::Gap(_) => {
                self.lines[d].skip();
                if d == 1 {
                    self.multiline = None;
                }
            }
            Input::End => self.end(d),
        }
    }

    fn bytes(&mut self, d: usize, mut input: &[u8]) {
        let mut line = std::mem::take(&mut self.line);
        while !input.is_empty() {
            if self.upgrade.is_some() {
                // The rest of one delivery: nothing is fed before the change takes effect.
                self.rest[d].extend_from_slice(input);
                break;
            }
            if let Some(piece) = self.lines[d].next(&mut input, LINE_LIMIT, &mut line) {
                self.text(d, &line, piece);
            }
        }
        self.line = line;
    }

    fn text(&mut self, d: usize, line: &[u8], piece: Piece) {
        if !piece.starts {
            return;
        }
        if d == 0 { self.command(line, piece.ends) } else { self.reply(line, piece.ends) }
    }

    fn event(&mut self, index: usize, d: usize, event: Event) {
        let Some(transaction) = self.transactions.get_mut(index) else { return };
        let number = event as u16;
        if !transaction.events.contains(&number) {
            transaction.events.push(number);
        }
        transaction.changed[d] = true;
    }

    /// A new transaction.
    fn begin(&mut self, d: usize) -> usize {
        let gone = make_room(&mut self.transactions, &mut self.exchanges, self.config.transactions);
        self.limits.transactions += gone;
        let mut changed = [false; 2];
        changed[d] = true;
        self.transactions.push(Transaction { id: self.next, progress: [0; 2], changed, events: Vec::new() });
        self.exchanges.push(Exchange::default());
        self.next += 1;
        let index = self.exchanges.len() - 1;
        if gone > 0 {
            self.event(index, d, Event::TooManyTransactions);
        }
        index
    }

    fn complete(&mut self, index: usize) {
        if let (Some(t), Some(e)) = (self.transactions.get_mut(index), self.exchanges.get_mut(index)) {
            e.done = true;
            t.progress = [COMPLETE; 2];
            t.changed = [true; 2];
        }
    }

    fn command(&mut self, line: &[u8], whole: bool) {
        if line.is_empty() {
            return;
        }
        let index = self.begin(0);
        if !whole {
            self.event(index, 0, Event::CommandTooLong);
            self.exchanges[index].cut[0] = true;
        }
        let (name, argument) = split(line);
        let verb = verb(name, argument);
        match verb {
            Verb::Port => self.listen(index, port(argument)),
            Verb::ExtendedPort => self.listen(index, extended_port(argument)),
            Verb::Retrieve | Verb::Store | Verb::List(_) => self.transfer(index, verb, argument),
            _ => {}
        }
        let exchange = &mut self.exchanges[index];
        exchange.name = name.to_vec();
        exchange.argument = argument.to_vec();
        exchange.verb = Some(verb);
    }

    /// The client will listen.
    fn listen(&mut self, index: usize, port: Option<u16>) {
        self.exchanges[index].port = port;
        self.exchanges[index].active = true;
        self.data_port = port.map(|port| (port, true));
    }

    /// A file goes over the data connection agreed upon.
    fn transfer(&mut self, index: usize, verb: Verb, argument: &[u8]) {
        let name = argument.trim_ascii();
        let list = matches!(verb, Verb::List(_));
        if name.is_empty() && !list {
            self.event(index, 0, Event::FileWithoutName);
        }
        let Some((port, active)) = self.data_port.take() else {
            if !list {
                self.event(index, 0, Event::FileBeforePort);
            }
            return;
        };
        let retrieve = verb != Verb::Store;
        if self.expected.len() < 16 {
            self.expected.push(Expected {
                announced_by: 0,
                protocol: AppProtocol::FtpData,
                port,
                file: FileTransfer {
                    name: name.get(..NAME_MAX).unwrap_or(name).to_vec(),
                    content: match verb {
                        Verb::Retrieve => Content::Retrieved,
                        Verb::List(listing) => Content::Listing(listing),
                        _ => Content::Stored,
                    },
                    // Who opened the connection sends towards the server of that flow.
                    to_server: retrieve == active,
                },
            });
        }
    }

    fn reply(&mut self, line: &[u8], whole: bool) {
        let parsed = reply(line);
        let ends = match (self.multiline, parsed) {
            (Some(code), Some(r)) => r.code == code && !r.more,
            (Some(_), None) => false,
            (None, Some(r)) => !r.more,
            (None, None) => true,
        };
        if line.is_empty() && self.multiline.is_none() {
            return;
        }
        let waiting = self.exchanges.iter().position(|e| !e.done);
        let index = waiting.unwrap_or_else(|| self.begin(1));
        self.transactions[index].changed[1] = true;
        if !whole {
            self.event(index, 1, Event::ReplyTooLong);
            self.exchanges[index].cut[1] = true;
        }
        let exchange = &mut self.exchanges[index];
        if exchange.replies.len() < REPLIES_MAX {
            let text = match parsed.filter(|_| ends) {
                Some(last) => {
                    exchange.codes.push(last.code);
                    last.text
                }
                None => line,
            };
            exchange.replies.push(text.get(..REPLY_MAX).unwrap_or(text).to_vec());
        }
        self.multiline = if ends { None } else { self.multiline.or(parsed.map(|r| r.code)) };
        if let (true, Some(last)) = (ends, parsed) {
            self.last_line(index, last);
        } else if ends {
            self.complete(index);
        }
    }

    fn last_line(&mut self, index: usize, last: Reply<'_>) {
        let Some(exchange) = self.exchanges.get_mut(index) else { return };
        let agreed = match (exchange.verb, &last.code) {
            (Some(Verb::Passive), b"227") => port(last.text),
            (Some(Verb::ExtendedPassive), b"229") => extended_port(last.text),
            _ => None,
        };
        if let Some(port) = agreed {
            exchange.port = Some(port);
            self.data_port = Some((port, false));
        }
        let tls = exchange.verb == Some(Verb::AuthTls) && &last.code == b"234";
        // A preliminary reply; the completion is still to come (RFC 959 section 4.2).
        if last.code[0] != b'1' {
            self.complete(index);
        } else {
            exchange.preliminary = exchange.preliminary.saturating_add(1);
            if exchange.preliminary > PRELIMINARY_MAX {
                self.event(index, 1, Event::TooManyPreliminaryReplies);
            }
        }
        if tls {
            self.upgrade = Some(Upgrade { protocol: Some(AppProtocol::Tls) });
        }
    }

    fn end(&mut self, d: usize) {
        if self.upgrade.is_some() {
            return;
        }
        let mut line = std::mem::take(&mut self.line);
        if let Some(piece) = self.lines[d].finish(&mut line) {
            self.text(d, &line, piece);
        }
        self.line = line;
        if d == 1 {
            for index in 0..self.exchanges.len() {
                self.complete(index);
            }
        }
    }

    pub(super) fn release_inspected(&mut self) {
        let mut done = self.exchanges.iter().map(|e| e.done);
        self.transactions.retain_mut(|t| {
            t.changed = [false; 2];
            !done.next().unwrap_or(false)
        });
        self.exchanges.retain(|e| !e.done);
    }

    pub(super) fn take_rest_of(&mut self, direction: Direction) -> Vec<u8> {
        std::mem::take(&mut self.rest[direction as usize])
    }

    pub(super) fn take_expected_connections(&mut self) -> Vec<Expected> {
        std::mem::take(&mut self.expected)
    }

    pub(super) fn side_open(&self, d: usize) -> bool {
        !self.transactions.is_empty() || self.multiline.is_some() || self.data_port.is_some() || self.lines[d].is_open()
    }
}
