//! What detection and logs see of a transaction.

use super::events::NAMES;
use super::state::SmtpState;
use crate::mime::Message;
use crate::{BufferState, Direction, FileView, Input, LogSettings, ProtocolState, Transaction, Upgrade, file};
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// The name of the header field that a buffer is.
fn field_of(buffer: Buffer) -> Option<&'static [u8]> {
    Some(match buffer {
        Buffer::EmailFrom => b"from",
        Buffer::EmailSubject => b"subject",
        Buffer::EmailTo => b"to",
        Buffer::EmailCc => b"cc",
        Buffer::EmailDate => b"date",
        Buffer::EmailMessageId => b"message-id",
        Buffer::EmailMailer => b"x-mailer",
        Buffer::EmailReceived => b"received",
        _ => return None,
    })
}

impl SmtpState {
    fn of_message(&self, index: usize, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(mail) = self.mails.get(index) else { return BufferState::Absent };
        let Some(message) = &mail.message else {
            return if mail.done { BufferState::Absent } else { BufferState::NotYet };
        };
        if file::is_file(buffer) {
            return file::buffer(message.files(), message.is_complete(), buffer, instance);
        }
        if buffer == Buffer::EmailUrl {
            return match message.urls().get(instance) {
                Some(url) => BufferState::whole(url),
                None if message.is_complete() => BufferState::Absent,
                None => BufferState::NotYet,
            };
        }
        let Some(name) = field_of(buffer) else { return BufferState::Absent };
        if !message.head_complete() {
            return BufferState::NotYet;
        }
        match message.fields().iter().filter(|f| f.is(name)).nth(instance) {
            Some(field) => BufferState::whole(&field.value),
            None => BufferState::Absent,
        }
    }
}

/// Addresses of a list; commas within quotes do not separate.
fn addresses<'a>(message: &'a Message, name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let fields = message.fields().iter().filter(move |f| f.is(name));
    let split = |value: &'a [u8]| {
        let mut quoted = false;
        value.split(move |b| {
            quoted ^= *b == b'"';
            *b == b',' && !quoted
        })
    };
    fields.flat_map(move |f| split(&f.value)).map(<[u8]>::trim_ascii).filter(|a| !a.is_empty())
}

impl ProtocolState for SmtpState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Smtp
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        self.feed_side(direction, input);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let (Some(mail), Direction::ToServer) = (self.mails.get(index), direction) else { return BufferState::Absent };
        let text = |text: &'_ Vec<u8>| match (text.is_empty(), mail.done || mail.message.is_some()) {
            (false, _) => None,
            (true, true) => Some(BufferState::Absent),
            (true, false) => Some(BufferState::NotYet),
        };
        match buffer {
            Buffer::SmtpHelo => text(&mail.helo).unwrap_or_else(|| BufferState::whole(&mail.helo)),
            Buffer::SmtpMailFrom => text(&mail.from).unwrap_or_else(|| BufferState::whole(&mail.from)),
            Buffer::SmtpRcptTo => match mail.recipients.get(instance) {
                Some(recipient) => BufferState::whole(recipient),
                None if mail.done || mail.message.is_some() => BufferState::Absent,
                None => BufferState::NotYet,
            },
            _ => self.of_message(index, buffer, instance),
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        if name == "smtp.data" {
            return self.mails.get(index).filter(|mail| mail.data).map(|_| 1);
        }
        let message = self.mails.get(index)?.message.as_ref().filter(|_| direction == Direction::ToServer)?;
        match name {
            "filesize" => message.files().iter().find_map(file::File::size),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn mark_inspected(&mut self) {
        self.release_inspected();
    }

    fn upgrade(&self) -> Option<Upgrade> {
        self.upgrade
    }

    fn take_rest(&mut self, direction: Direction) -> Vec<u8> {
        self.take_rest_of(direction)
    }

    fn kept(&self, direction: Direction) -> u64 {
        self.rest[direction as usize].len() as u64
    }

    fn is_open(&self, direction: Direction) -> bool {
        self.side_open(direction as usize)
    }

    fn files(&self, index: usize, direction: Direction) -> Vec<FileView<'_>> {
        let message = self.mails.get(index).and_then(|mail| mail.message.as_ref());
        let message = message.filter(|_| direction == Direction::ToServer);
        message.map_or_else(Vec::new, |message| message.files().iter().map(file::File::view).collect())
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        self.log_as(index, 0, &LogSettings::default(), out);
    }

    fn log_as(&self, index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let Some(mail) = self.mails.get(index) else { return false };
        let mut object = crate::json::Object::begin("smtp", out);
        object.text("helo", Some(&mail.helo));
        object.text("mail_from", Some(&mail.from));
        object.texts("rcpt_to", mail.recipients.iter().map(Vec::as_slice));
        object.end();
        let Some(message) = &mail.message else { return true };
        out.push(b',');
        let field = |name: &[u8]| message.fields().iter().find(|f| f.is(name)).map(|f| f.value.as_slice());
        let mut object = crate::json::Object::begin("email", out);
        object.text("status", Some(if mail.done { b"PARSE_DONE" } else { b"BODY_STARTED" }));
        object.text("from", field(b"from"));
        object.texts("to", addresses(message, b"to"));
        object.texts("cc", addresses(message, b"cc"));
        object.texts("attachment", message.files().iter().map(file::File::name));
        // The last one first.
        object.texts("url", message.urls().iter().rev().map(Vec::as_slice));
        extended(&mut object, message, settings);
        object.end();
        true
    }
}

/// Further fields, by their names in the log: (name, field, a list).
const EXTENDED: [(&str, &[u8], bool); 15] = [
    ("reply_to", b"reply-to", false),
    ("bcc", b"bcc", true),
    ("message_id", b"message-id", false),
    ("subject", b"subject", false),
    ("x_mailer", b"x-mailer", false),
    ("user_agent", b"user-agent", false),
    ("received", b"received", true),
    ("x_originating_ip", b"x-originating-ip", false),
    ("in_reply_to", b"in-reply-to", false),
    ("references", b"references", false),
    ("importance", b"importance", false),
    ("priority", b"priority", false),
    ("sensitivity", b"sensitivity", false),
    ("organization", b"organization", false),
    ("date", b"date", false),
];

fn extended(object: &mut crate::json::Object<'_>, message: &Message, settings: &LogSettings) {
    let custom = settings.list("custom").unwrap_or_default();
    for (key, name, list) in EXTENDED {
        let spelled = key.replace('_', "-");
        if !custom.iter().any(|c| *c == key || *c == spelled) {
            continue;
        }
        let values = || message.fields().iter().filter(|f| f.is(name)).map(|f| f.value.as_slice());
        if list {
            object.texts(key, values());
        } else {
            object.text(key, values().next());
        }
    }
    let sums = settings.list("md5").unwrap_or_default();
    if sums.contains(&"subject") {
        let subject = message.fields().iter().find(|f| f.is(b"subject"));
        object.text("subject_md5", subject.map(|f| crate::digest::md5_hex(&f.value)).as_deref().map(str::as_bytes));
    }
    if sums.contains(&"body") {
        object.text("body_md5", message.body_md5().map(crate::digest::hex).as_deref().map(str::as_bytes));
    }
}
