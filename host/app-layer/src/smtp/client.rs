//! What the client sends: commands, and mails as lines or chunks.

use super::events::Event;
use super::parser::{Command, Kind, command};
use super::state::{At, LINE_LIMIT, SmtpState};
use crate::line::Piece;
use crate::mime::Message;

/// Most commands that wait for their reply.
const PENDING_MAX: usize = 1024;
/// Most recipients of one mail.
const RECIPIENTS_MAX: usize = 256;
/// Most bytes of a name or path.
const PATH_MAX: usize = 1024;

impl SmtpState {
    pub(super) fn client(&mut self, mut input: &[u8]) {
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

    pub(super) fn command_line(&mut self, line: &[u8], piece: Piece) {
        if !piece.starts {
            return;
        }
        // An empty line is no command.
        if line.is_empty() && piece.ends {
            return;
        }
        let command = command(line);
        // RSET and QUIT end what is there; they begin nothing.
        if matches!(command, Command::Reset | Command::Quit)
            && self.next > 0
            && self.mails.last().is_none_or(|m| m.done)
        {
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

    pub(super) fn mail_line(&mut self, line: &[u8], piece: Piece) {
        let index = self.current();
        let mut line = line;
        if piece.starts {
            if line == b"." && piece.ends {
                self.at = At::Command;
                self.expect(Kind::Mail);
                self.finish_until_reply(index);
                return;
            }
            // A dot at the start of a line was doubled (RFC 5321 section 4.5.2).
            if let Some(rest) = line.strip_prefix(b".") {
                line = rest;
                if let Some(message) = self.mails.get_mut(index).and_then(|mail| mail.message.as_mut()) {
                    message.stuffed(b".");
                }
            }
        }
        self.message_line(index, line, piece);
    }

    fn message_line(&mut self, index: usize, line: &[u8], piece: Piece) {
        let Some(message) = self.mails.get_mut(index).and_then(|mail| mail.message.as_mut()) else { return };
        message.line(line, piece);
        self.transactions[index].changed[0] = true;
        self.oddities(index);
    }

    pub(super) fn oddities(&mut self, index: usize) {
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

    pub(super) fn chunk_end(&mut self, last: bool) {
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
}

fn short(text: &[u8]) -> Vec<u8> {
    text.get(..PATH_MAX).unwrap_or(text).to_vec()
}
