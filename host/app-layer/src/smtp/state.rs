//! The mails of one flow and where its two directions are; commands are in `client`, replies in `server`.

use super::events::Event;
use super::parser::Kind;
use crate::line::Lines;
use crate::mime::Message;
use crate::{AppLayerConfig, COMPLETE, Direction, Input, Transaction, Upgrade};
use std::collections::VecDeque;
use std::sync::Arc;

/// Longest command or reply line that is read (RFC 5321 section 4.5.3.1 asks for 512).
pub(super) const LINE_LIMIT: usize = 4096;
/// What the client's next bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
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
    pub(super) data: bool,
    /// The client is through with the transaction.
    pub done: bool,
    /// Nothing is to come from the server either: the transaction is complete.
    answered: bool,
}

/// Most mails that wait for the server's answer; of more, the oldest is complete without.
const UNANSWERED_MAX: usize = 32;

/// SMTP of one flow.
pub struct SmtpState {
    pub(super) config: Arc<AppLayerConfig>,
    pub(super) at: At,
    pub(super) lines: [Lines; 2],
    /// Lines of the chunk that is being received.
    pub(super) chunk_lines: Lines,
    pub(super) line: Vec<u8>,
    /// Commands without reply, oldest first.
    pub(super) pending: VecDeque<Kind>,
    pub(super) helo: Vec<u8>,
    pub(super) greeted: bool,
    pub(super) pipelining: bool,
    pub(super) multiline: bool,
    pub(super) transactions: Vec<Transaction>,
    pub(super) mails: Vec<Mail>,
    pub(super) next: u64,
    pub(super) upgrade: Option<Upgrade>,
    pub(super) rest: [Vec<u8>; 2],
    /// No reply will come any more.
    silent: bool,
    /// Events of replies that came before any command.
    pub(super) early: Vec<u16>,
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
            silent: false,
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

    pub(super) fn keep(&mut self, d: usize, bytes: &[u8]) {
        // The rest of one delivery: nothing is fed before the change takes effect.
        self.rest[d].extend_from_slice(bytes);
    }

    pub(super) fn event(&mut self, d: usize, event: Event) {
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
    pub(super) fn current(&mut self) -> usize {
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

    /// The transaction is over.
    pub(super) fn finish(&mut self, index: usize) {
        self.close(index);
        self.answer(index);
    }

    /// The client's part is over; the transaction is complete with the reply (RFC 5321 section 4.1.1.4: only then does
    /// the server answer for the mail).
    pub(super) fn finish_until_reply(&mut self, index: usize) {
        self.close(index);
        if self.silent {
            self.answer(index);
        } else if self.mails.iter().filter(|mail| mail.done && !mail.answered).count() > UNANSWERED_MAX {
            self.answer_oldest();
        }
    }

    fn close(&mut self, index: usize) {
        let (Some(mail), Some(transaction)) = (self.mails.get_mut(index), self.transactions.get_mut(index)) else { return };
        if let Some(message) = &mut mail.message {
            message.finish();
        }
        transaction.progress[0] = COMPLETE;
        transaction.changed[0] = true;
        self.oddities(index);
        self.mails[index].done = true;
        self.chunk_lines = Lines::default();
    }

    fn answer(&mut self, index: usize) {
        let (Some(mail), Some(transaction)) = (self.mails.get_mut(index), self.transactions.get_mut(index)) else { return };
        mail.answered = true;
        transaction.progress[1] = COMPLETE;
        transaction.changed = [true; 2];
    }

    /// The reply to the oldest mail that waits for one has come.
    pub(super) fn answer_oldest(&mut self) {
        if let Some(index) = self.mails.iter().position(|mail| mail.done && !mail.answered) {
            self.answer(index);
        }
    }

    fn answer_all(&mut self) {
        for index in 0..self.mails.len() {
            if self.mails[index].done && !self.mails[index].answered {
                self.answer(index);
            }
        }
    }

    fn gap(&mut self, d: usize, length: u64) {
        if self.at == At::Tls {
            return;
        }
        self.lines[d].skip();
        if d == 1 {
            // How many replies are lost cannot be known.
            self.pending.clear();
            self.answer_all();
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
        if d == 1 {
            self.silent = true;
            self.answer_all();
        }
        if d == 0 {
            if let At::Chunk(..) = self.at {
                self.chunk_end(true);
            }
            self.at = if self.at == At::Tls { At::Tls } else { At::Command };
            if !self.early.is_empty() {
                self.current();
            }
            // What was sent whole waits for its reply, which may still come.
            if let Some(index) = self.mails.len().checked_sub(1).filter(|&n| !self.mails[n].done) {
                self.finish(index);
            }
        }
    }

    pub(super) fn release_inspected(&mut self) {
        let mut at = 0;
        while at < self.transactions.len() {
            self.transactions[at].changed = [false; 2];
            if self.mails[at].answered {
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
