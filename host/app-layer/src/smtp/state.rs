//! Commands, replies and mails of one flow.

use super::events::Event;
use super::parser::{Command, Kind, command, reply};
use crate::line::{Lines, Piece};
use crate::mime::Message;
use crate::{AppLayerConfig, COMPLETE, Direction, Input, Transaction, Upgrade};
use std::collections::VecDeque;
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

/// Longest command or reply line that is read (RFC 5321 section 4.5.3.1 asks for 512).
const LINE_LIMIT: usize = 4096;
/// Most commands that wait for their reply.
const PENDING_MAX: usize = 1024;
/// Most recipients of one mail.
const RECIPIENTS_MAX: usize = 256;
/// Most bytes of a name or path.
const PATH_MAX: usize = 1024;

/// What the client's next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Command,
    /// Lines of a mail, up to a single dot.
    Mail,
    /// So many bytes of a chunk, the last one if so.
    Chunk(u64, bool),
    /// The flow has changed to TLS.
    Tls,
}

/// A mail, and the commands that led to it.
#[derive(Debug, Default)]
pub(super) struct Mail {
    /// The greeting in force: a later one belongs to what comes after.
    pub helo: Vec<u8>,
    pub from: Vec<u8>,
    pub recipients: Vec<Vec<u8>>,
    pub message: Option<Message>,
    /// DATA or BDAT was given.
    data: bool,
    /// The transaction is over.
    pub done: bool,
}

/// SMTP of one flow.
pub struct SmtpState {
    config: Arc<AppLayerConfig>,
    at: At,
    lines: [Lines; 2],
    /// Lines of the chunk that is being received.
    chunk_lines: Lines,
    line: Vec<u8>,
    /// Commands without reply, oldest first.
    pending: VecDeque<Kind>,
    pub(super) helo: Vec<u8>,
    greeted: bool,
    pipelining: bool,
    multiline: bool,
    pub(super) transactions: Vec<Transaction>,
    pub(super) mails: Vec<Mail>,
    next: u64,
    pub(super) upgrade: Option<Upgrade>,
    rest: [Vec<u8>; 2],
    /// Events of replies that came before any command.
    early: Vec<u16>,
}

impl SmtpState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        SmtpState {
            config: Arc::clone(config),
            at: At::Command,
            lines: Default::default(),
            chunk_lines: Lines::default(),
            line: Vec::new(),
            pending: VecDeque::new(),
            helo: Vec::new(),
            greeted: false,
            pipelining: false,
            multiline: false,
            transactions: Vec::new(),
            mails: Vec::new(),
            next: 0,
            upgrade: None,
            rest: Default::default(),
            early: Vec::new(),
        }
    }

    pub(super) fn feed_side(&mut self, direction: Direction, input: Input<'_>) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) if self.at == At::Tls => self.keep(d, bytes),
            Input::Data(bytes) if d == 0 => self.client(bytes),
            Input::Data(bytes) => self.server(bytes),
            Input::Gap(length) => self.gap(d, length),
            Input::End => self.end(d),
        }
    }

    fn keep(&mut self, d: usize, bytes: &[u8]) {
        // The change takes effect with the next inspection; what comes until then is one packet's.
        let room = self.config.head_limit.saturating_sub(self.rest[d].len());
        self.rest[d].extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn event(&mut self, d: usize, event: Event) {
        let number = event as u16;
        // A mail that is over takes no more: whether it still lives depends on how the stream was delivered.
        if self.next > 0 && self.mails.last().is_none_or(|mail| mail.done) {
            self.current();
        }
        match self.transactions.last_mut() {
            Some(transaction) => {
                if !transaction.events.contains(&number) {
                    transaction.events.push(number);
                }
                transaction.changed[d] = true;
            }
            None if !self.early.contains(&number) => self.early.push(number),
            None => {}
        }
    }

    /// The open transaction; a new one if there is none.
    fn current(&mut self) -> usize {
        let full = self.transactions.len() >= self.config.transactions;
        if self.mails.last().is_none_or(|mail| mail.done && !full) {
            let events = std::mem::take(&mut self.early);
            let changed = [true, !events.is_empty()];
            self.transactions.push(Transaction { id: self.next, progress: [0; 2], changed, events });
            self.mails.push(Mail { helo: self.helo.clone(), ..Mail::default() });
            self.next += 1;
        }
        self.mails.len() - 1
    }

    fn client(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            match self.at {
                At::Tls => {
                    self.keep(0, input);
                    return;
                }
                At::Chunk(left, last) => {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let (bytes, rest) = input.split_at(now);
                    input = rest;
                    self.chunk(bytes);
                    let left = left - now as u64;
                    self.at = At::Chunk(left, last);
                    if left == 0 {
                        self.chunk_end(last);
                    }
                }
                At::Command | At::Mail => {
                    let mut line = std::mem::take(&mut self.line);
                    let piece = self.lines[0].next(&mut input, LINE_LIMIT, &mut line);
                    if let Some(piece) = piece {
                        if self.at == At::Mail { self.mail_line(&line, piece) } else { self.command_line(&line, piece) }
                    }
                    self.line = line;
                }
            }
        }
    }

    fn command_line(&mut self, line: &[u8], piece: Piece) {
        if !piece.starts {
            return;
        }
        // An empty line is no command.
        if line.is_empty() && piece.ends {
            return;
        }
        let command = command(line);
        // RSET and QUIT end what is there; they begin nothing.
        if matches!(command, Command::Reset | Command::Quit) && self.next > 0 && self.mails.last().is_none_or(|m| m.done) {
            self.expect(if command == Command::Reset { Kind::Reset } else { Kind::Other });
            return;
        }
        let mut index = self.current();
        self.transactions[index].changed[0] = true;
        if !piece.ends {
            self.event(0, Event::CommandLineTooLong);
        }
        if !self.greeted {
            self.event(0, Event::NoWelcome);
        }
        let kind = match command {
            Command::StartTls => Kind::StartTls,
            Command::Data => {
                if self.mails[index].data {
                    self.event(0, Event::UnparsableContent);
                    return;
                }
                self.begin_message(index);
                // A server that takes pipelined commands may be sent the mail at once.
                if self.pipelining {
                    self.at = At::Mail;
                }
                Kind::Data
            }
            Command::Bdat(size) => {
                match size {
                    Some((size, last)) => {
                        if self.mails[index].message.is_none() {
                            self.begin_message(index);
                        }
                        self.at = At::Chunk(size, last);
                        if size == 0 {
                            self.chunk_end(last);
                        }
                    }
                    None => self.event(0, Event::InvalidBdat),
                }
                Kind::Other
            }
            Command::Hello(name) => {
                if !self.helo.is_empty() {
                    self.event(0, Event::DuplicateFields);
                }
                // A greeting within a mail transaction ends it like RSET (RFC 5321 section 4.1.4).
                if !self.mails[index].from.is_empty() || !self.mails[index].recipients.is_empty() {
                    self.finish(index);
                    index = self.current();
                    self.transactions[index].changed[0] = true;
                }
                self.helo = short(name);
                if let Some(mail) = self.mails.get_mut(index).filter(|mail| !mail.done) {
                    mail.helo.clone_from(&self.helo);
                }
                Kind::Other
            }
            Command::MailFrom(path) => {
                if self.mails[index].from.is_empty() {
                    self.mails[index].from = short(path);
                } else {
                    self.event(0, Event::DuplicateFields);
                }
                Kind::Other
            }
            Command::RecipientTo(path) => {
                let recipients = &mut self.mails[index].recipients;
                if recipients.len() < RECIPIENTS_MAX {
                    recipients.push(short(path));
                }
                Kind::Other
            }
            Command::Reset => {
                self.finish(index);
                Kind::Reset
            }
            Command::Quit | Command::Other => Kind::Other,
        };
        self.expect(kind);
    }

    fn expect(&mut self, kind: Kind) {
        if self.pending.len() >= PENDING_MAX {
            self.event(0, Event::InvalidPipelining);
            return;
        }
        // Nothing may be sent behind these before their reply (RFC 2920 section 3.1).
        if matches!(self.pending.back(), Some(Kind::Data | Kind::StartTls)) {
            self.event(0, Event::InvalidPipelining);
        }
        self.pending.push_back(kind);
    }

    fn begin_message(&mut self, index: usize) {
        let mail = &mut self.mails[index];
        mail.data = true;
        mail.message = Some(Message::new(&self.config));
    }

    fn mail_line(&mut self, line: &[u8], piece: Piece) {
        let index = self.current();
        let mut line = line;
        if piece.starts {
            if line == b"." && piece.ends {
                self.at = At::Command;
                self.expect(Kind::Mail);
                self.finish(index);
                return;
            }
            // A dot at the start of a line was doubled (RFC 5321 section 4.5.2).
            line = line.strip_prefix(b".").unwrap_or(line);
        }
        self.message_line(index, line, piece);
    }

    fn message_line(&mut self, index: usize, line: &[u8], piece: Piece) {
        let Some(message) = self.mails.get_mut(index).and_then(|mail| mail.message.as_mut()) else { return };
        message.line(line, piece);
        self.transactions[index].changed[0] = true;
        self.oddities(index);
    }

    fn oddities(&mut self, index: usize) {
        let Some(message) = self.mails.get(index).and_then(|mail| mail.message.as_ref()) else { return };
        for oddity in message.oddities() {
            self.event(0, oddity.into());
        }
    }

    fn chunk(&mut self, mut bytes: &[u8]) {
        let index = self.current();
        let mut line = std::mem::take(&mut self.line);
        while let Some(piece) = self.chunk_lines.next(&mut bytes, LINE_LIMIT, &mut line) {
            self.message_line(index, &line, piece);
        }
        self.line = line;
        self.transactions[index].changed[0] = true;
    }

    fn chunk_end(&mut self, last: bool) {
        self.at = At::Command;
        if last {
            let index = self.current();
            let mut line = std::mem::take(&mut self.line);
            if let Some(piece) = self.chunk_lines.finish(&mut line) {
                self.message_line(index, &line, piece);
            }
            self.line = line;
            self.finish(index);
        }
    }

    /// The transaction is over.
    fn finish(&mut self, index: usize) {
        let (Some(mail), Some(transaction)) = (self.mails.get_mut(index), self.transactions.get_mut(index)) else { return };
        if let Some(message) = &mut mail.message {
            message.finish();
        }
        transaction.progress = [COMPLETE; 2];
        transaction.changed = [true; 2];
        self.oddities(index);
        self.mails[index].done = true;
        self.chunk_lines = Lines::default();
    }

    fn server(&mut self, mut input: &[u8]) {
        while !input.is_empty() {
            if self.at == At::Tls {
                self.keep(1, input);
                return;
            }
            let mut line = std::mem::take(&mut self.line);
            if let Some(piece) = self.lines[1].next(&mut input, LINE_LIMIT, &mut line) {
                self.reply_line(&line, piece);
            }
            self.line = line;
        }
    }

    fn reply_line(&mut self, line: &[u8], piece: Piece) {
        if !piece.starts {
            return;
        }
        if let Some(transaction) = self.transactions.last_mut() {
            transaction.changed[1] = true;
        }
        if !piece.ends {
            self.event(1, Event::ReplyLineTooLong);
        }
        let Some((code, more)) = reply(line) else {
            self.event(1, Event::InvalidReply);
            return;
        };
        self.multiline = more;
        let Some(kind) = self.pending.front().copied() else {
            if self.greeted {
                self.event(1, Event::UnableToMatchReply);
            } else {
                self.greeted = !more;
                if code != 220 {
                    self.event(1, Event::InvalidReply);
                }
            }
            return;
        };
        match (kind, code) {
            (Kind::StartTls, 220) if !more => self.start_tls(),
            (Kind::StartTls, 220) => {}
            (Kind::StartTls, _) => self.event(1, Event::TlsRejected),
            (Kind::Data, 354) => {
                if self.mails.last().is_some_and(|mail| mail.message.is_some() && !mail.done) {
                    self.at = At::Mail;
                }
            }
            (Kind::Data, _) => {
                if self.pipelining && self.at == At::Mail {
                    self.at = At::Command;
                }
                // What was to be the mail is not; the next DATA begins another one.
                if let Some(mail) = self.mails.last_mut().filter(|mail| !mail.done) {
                    mail.data = false;
                }
                self.event(1, Event::DataRejected);
            }
            (Kind::Other, 250) => {
                let extension = line.get(4..).unwrap_or(&[]).trim_ascii();
                self.pipelining |= extension.eq_ignore_ascii_case(b"pipelining");
            }
            (Kind::Other | Kind::Mail | Kind::Reset, _) => {}
        }
        self.greeted = true;
        if !more {
            self.pending.pop_front();
        }
    }

    fn start_tls(&mut self) {
        if let Some(index) = self.mails.len().checked_sub(1) {
            self.finish(index);
        }
        self.upgrade = Some(Upgrade { protocol: Some(AppProtocol::Tls) });
        self.at = At::Tls;
    }

    fn gap(&mut self, d: usize, length: u64) {
        if self.at == At::Tls {
            return;
        }
        self.lines[d].skip();
        if d == 1 {
            // How many replies are lost cannot be known.
            self.pending.clear();
            self.greeted = true;
            return;
        }
        if matches!(self.at, At::Mail | At::Chunk(..)) {
            let index = self.current();
            if let Some(message) = &mut self.mails[index].message {
                message.gap(length);
            }
            self.transactions[index].changed[0] = true;
        }
        if let At::Chunk(left, last) = self.at {
            self.chunk_lines.skip();
            self.lines[0] = Lines::default();
            if left > length {
                self.at = At::Chunk(left - length, last);
            } else {
                self.chunk_end(last);
                if left < length {
                    self.lines[0].skip();
                }
            }
        }
    }

    fn end(&mut self, d: usize) {
        if self.at == At::Tls {
            return;
        }
        let mut line = std::mem::take(&mut self.line);
        if let Some(piece) = self.lines[d].finish(&mut line) {
            match (d, self.at) {
                (1, _) => self.reply_line(&line, piece),
                (_, At::Mail) => self.mail_line(&line, piece),
                _ => self.command_line(&line, piece),
            }
        }
        self.line = line;
        if d == 0 {
            if let At::Chunk(..) = self.at {
                self.chunk_end(true);
            }
            self.at = if self.at == At::Tls { At::Tls } else { At::Command };
            if !self.early.is_empty() {
                self.current();
            }
            if let Some(index) = self.mails.len().checked_sub(1) {
                self.finish(index);
            }
        }
    }

    pub(super) fn release_inspected(&mut self) {
        let mut at = 0;
        while at < self.transactions.len() {
            self.transactions[at].changed = [false; 2];
            if self.mails[at].done {
                self.transactions.remove(at);
                self.mails.remove(at);
            } else {
                at += 1;
            }
        }
    }

    pub(super) fn take_rest_of(&mut self, direction: Direction) -> Vec<u8> {
        std::mem::take(&mut self.rest[direction as usize])
    }

    pub(super) fn side_open(&self, d: usize) -> bool {
        !self.transactions.is_empty()
            || !self.pending.is_empty()
            || !self.early.is_empty()
            || self.at != At::Command
            || self.lines[d].is_open()
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    text.get(..PATH_MAX).unwrap_or(text).to_vec()
}
