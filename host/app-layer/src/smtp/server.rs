//! What the server sends: replies, each to the oldest command that waits for one.

use super::events::Event;
use super::parser::{Kind, reply};
use super::state::{At, LINE_LIMIT, SmtpState};
use crate::Upgrade;
use crate::line::Piece;
use weir_contract::protocol::AppProtocol;

impl SmtpState {
    pub(super) fn server(&mut self, mut input: &[u8]) {
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

    pub(super) fn reply_line(&mut self, line: &[u8], piece: Piece) {
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
            (Kind::Mail, _) if !more => self.answer_oldest(),
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
}
