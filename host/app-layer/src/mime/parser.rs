//! The structure of a message, line by line: heads, parts, their content, and the files among them.

use super::header::{Field, parameter, split, token};
use super::transfer::{Base64, quoted_printable};
use super::url::links;
use crate::AppLayerConfig;
use crate::file::{FILES_MAX, File};
use crate::line::Piece;
use md5::{Digest, Md5};
use std::sync::Arc;

/// Longest line of unencoded text (RFC 5322 section 2.1.1).
const LINE_MAX: usize = 998;
/// Longest line of encoded text (RFC 2045 sections 6.7 and 6.8).
const ENCODED_LINE_MAX: usize = 76;
/// Longest field name that is not remarked upon.
const NAME_MAX: usize = 75;
/// Longest boundary (RFC 2046 section 5.1.1 allows 70).
const BOUNDARY_MAX: usize = 254;
/// Longest file name that is not remarked upon.
const FILE_NAME_MAX: usize = 255;
/// Deepest nesting of parts.
const NESTING_MAX: usize = 32;
/// Most fields of one head.
const FIELDS_MAX: usize = 1024;

/// Most bytes of a field's value.
const VALUE_MAX: usize = 2000;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Oddity {
    /// A line of a head is no field.
    Malformed,
    /// Characters outside of base64's alphabet.
    InvalidBase64,
    /// A wrong escape in quoted-printable text.
    InvalidQuotedPrintable,
    /// A field name is too long.
    LongHeaderName,
    /// A field value is too long; what is beyond the bound is left out.
    LongHeaderValue,
    /// A line of text is too long.
    LongLine,
    /// A line of encoded text is too long.
    LongEncodedLine,
    /// A boundary is too long to be used.
    LongBoundary,
    /// A file name is too long.
    LongFileName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Head,
    Body,
}

#[derive(Debug)]
enum Encoding {
    Verbatim,
    Base64(Base64),
    QuotedPrintable,
}

/// Digest of a body.
#[derive(Debug, Default)]
struct Body {
    md5: Option<Md5>,
    sum: Option<[u8; 16]>,
}

impl Body {
    fn line(&mut self, line: &[u8], end: &[u8]) {
        let md5 = self.md5.get_or_insert_default();
        md5.update(line);
        md5.update(end);
    }

    fn finish(&mut self) {
        self.sum = self.md5.take().map(|md5| md5.finalize().into());
    }
}

/// A message that is being received.
#[derive(Debug)]
pub(crate) struct Message {
    config: Arc<AppLayerConfig>,
    at: At,
    /// Fields of the message itself.
    fields: Vec<Field>,
    /// Fields of the part that is being read.
    part: Vec<Field>,
    /// Head of the message itself, not of a part.
    outer: bool,
    kept: usize,
    /// A field was begun on this line, and is longer than a piece.
    in_field: bool,
    /// `--boundary`, outermost first.
    boundaries: Vec<Vec<u8>>,
    encoding: Encoding,
    /// The current part is this file.
    file: Option<usize>,
    files: Vec<File>,
    urls: Vec<Vec<u8>>,
    /// Digest of what follows the message's head, line by line as it was sent.
    body: Body,
    /// The line end before a delimiter belongs to the delimiter (RFC 2046 section 5.1.1): it waits.
    line_end: &'static [u8],
    line_length: usize,
    oddities: u16,
    ended: bool,
    decoded: Vec<u8>,
}

impl Message {
    /// A message that begins with its head.
    pub fn new(config: &Arc<AppLayerConfig>) -> Message {
        Message {
            config: Arc::clone(config),
            at: At::Head,
            fields: Vec::new(),
            part: Vec::new(),
            outer: true,
            kept: 0,
            in_field: false,
            boundaries: Vec::new(),
            encoding: Encoding::Verbatim,
            file: None,
            files: Vec::new(),
            urls: Vec::new(),
            body: Body::default(),
            line_end: b"",
            line_length: 0,
            oddities: 0,
            ended: false,
            decoded: Vec::new(),
        }
    }

    /// Fields of the message, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The message's own head is complete.
    pub fn head_complete(&self) -> bool {
        !self.outer || self.at == At::Body || self.ended
    }

    /// Attached files.
    pub fn files(&self) -> &[File] {
        &self.files
    }

    /// Links in text parts.
    pub fn urls(&self) -> &[Vec<u8>] {
        &self.urls
    }

    /// MD5 of the content behind the head, once it is over.
    pub fn body_md5(&self) -> Option<&[u8]> {
        self.body.sum.as_ref().map(|sum| sum.as_slice())
    }

    /// The message is over.
    pub fn is_complete(&self) -> bool {
        self.ended
    }

    /// Oddities met so far.
    pub fn oddities(&self) -> impl Iterator<Item = Oddity> + use<> {
        use Oddity::*;
        let met = self.oddities;
        [
            Malformed,
            InvalidBase64,
            InvalidQuotedPrintable,
            LongHeaderName,
            LongHeaderValue,
            LongLine,
            LongEncodedLine,
            LongBoundary,
            LongFileName,
        ]
        .into_iter()
        .filter(move |o| met >> (*o as u8) & 1 != 0)
    }

    fn odd(&mut self, oddity: Oddity) {
        self.oddities |= 1 << oddity as u8;
    }

    /// The transport had these bytes before the next line: they belong to the digest alone.
    pub fn stuffed(&mut self, bytes: &[u8]) {
        if !self.outer {
            self.body.line(bytes, b"");
        }
    }

    /// The next line, or a piece of it.
    pub fn line(&mut self, line: &[u8], piece: Piece) {
        if piece.starts {
            self.line_length = 0;
            self.in_field = false;
        }
        self.line_length += line.len();
        if !self.outer {
            self.body.line(line, piece.end);
        }
        match self.at {
            At::Head if !piece.starts => {
                if self.in_field {
                    self.extend_value(line);
                }
            }
            At::Head => self.head_line(line),
            At::Body => self.body_line(line, piece),
        }
    }

    /// Bytes are missing.
    pub fn gap(&mut self, length: u64) {
        self.in_field = false;
        self.line_end = b"";
        if let Some(file) = self.file.and_then(|n| self.files.get_mut(n)) {
            file.gap(length);
        }
        // A head that lost lines: what follows may be its rest or the content; both are read as lines of the head.
    }

    /// The message is over.
    pub fn finish(&mut self) {
        if self.ended {
            return;
        }
        if self.at == At::Head {
            self.head_end();
        }
        // Without a delimiter behind it, the last line end is content.
        self.flush_line_end();
        self.end_part();
        self.body.finish();
        self.ended = true;
    }

    fn list(&mut self) -> &mut Vec<Field> {
        if self.outer { &mut self.fields } else { &mut self.part }
    }

    fn extend_value(&mut self, more: &[u8]) {
        let (limit, head) = (VALUE_MAX, self.config.head_limit);
        let room = head.saturating_sub(self.kept);
        let Some(field) = self.list().last_mut() else { return };
        let room = room.min(limit.saturating_sub(field.value.len()));
        let taken = more.len().min(room);
        field.value.extend_from_slice(more.get(..taken).unwrap_or(&[]));
        self.kept += taken;
        if taken < more.len() {
            self.odd(Oddity::LongHeaderValue);
        }
    }

    fn head_line(&mut self, line: &[u8]) {
        if line.is_empty() {
            self.head_end();
            return;
        }
        if matches!(line.first(), Some(b' ' | b'\t')) && !self.list().is_empty() {
            // Folding: the white space that begins the line is the fold's (RFC 5322 section 2.2.3).
            self.in_field = true;
            self.extend_value(line.get(1..).unwrap_or(&[]));
            return;
        }
        if !self.outer && self.delimiter(line) {
            return;
        }
        let Some((name, value)) = split(line) else {
            self.odd(Oddity::Malformed);
            return;
        };
        if name.len() > NAME_MAX {
            self.odd(Oddity::LongHeaderName);
        }
        if self.list().len() >= FIELDS_MAX || self.kept + name.len() > self.config.head_limit {
            self.odd(Oddity::LongHeaderValue);
            return;
        }
        let field = Field { name: name.to_vec(), value: Vec::new() };
        self.kept += name.len();
        self.list().push(field);
        self.in_field = true;
        self.extend_value(value);
    }

    /// The head is complete: what does it say of the content?
    fn head_end(&mut self) {
        self.at = At::Body;
        self.line_end = b"";
        let was_outer = self.outer;
        let fields = std::mem::take(self.list());
        let mut name: Option<Vec<u8>> = None;
        let mut nested = false;
        self.encoding = Encoding::Verbatim;
        for field in &fields {
            if field.is(b"content-transfer-encoding") {
                let value = token(&field.value);
                if value.eq_ignore_ascii_case(b"base64") {
                    self.encoding = Encoding::Base64(Base64::default());
                } else if value.eq_ignore_ascii_case(b"quoted-printable") {
                    self.encoding = Encoding::QuotedPrintable;
                }
            } else if field.is(b"content-disposition") {
                if let Some(given) = parameter(&field.value, b"filename").filter(|n| !n.is_empty()) {
                    name = Some(given);
                }
            } else if field.is(b"content-type") {
                if name.is_none() {
                    name = parameter(&field.value, b"name").filter(|n| !n.is_empty());
                }
                let kind = token(&field.value).to_ascii_lowercase();
                nested = kind.starts_with(b"message/");
                if let Some(boundary) = parameter(&field.value, b"boundary").filter(|b| !b.is_empty()) {
                    if boundary.len() > BOUNDARY_MAX || self.boundaries.len() >= NESTING_MAX {
                        self.odd(Oddity::LongBoundary);
                    } else {
                        self.boundaries.push([b"--", boundary.as_slice()].concat());
                    }
                }
            }
        }
        if was_outer {
            self.fields = fields;
        }
        self.outer = false;
        self.part.clear();
        if nested {
            // The content is a message with a head of its own.
            self.at = At::Head;
        } else if let Some(mut name) = name {
            if name.len() > FILE_NAME_MAX {
                self.odd(Oddity::LongFileName);
                // Rules and records see the beginning, as Suricata's do.
                name.truncate(FILE_NAME_MAX);
            }
            if self.files.len() < FILES_MAX {
                self.file = Some(self.files.len());
                self.files.push(File::new(&name, &self.config));
            }
        }
    }

    /// The line delimits parts: the part before it ends.
    fn delimiter(&mut self, line: &[u8]) -> bool {
        if !line.starts_with(b"--") {
            return false;
        }
        let line = line.trim_ascii_end();
        let found = self.boundaries.iter().enumerate().rev().find_map(|(n, boundary)| match line.strip_prefix(boundary.as_slice())? {
            b"" => Some((n, false)),
            b"--" => Some((n, true)),
            _ => None,
        });
        let Some((n, closing)) = found else { return false };
        self.end_part();
        self.boundaries.truncate(if closing { n } else { n + 1 });
        self.part.clear();
        self.encoding = Encoding::Verbatim;
        self.at = if closing { At::Body } else { At::Head };
        true
    }

    fn end_part(&mut self) {
        self.line_end = b"";
        if let Encoding::Base64(decoder) = &mut self.encoding {
            self.decoded.clear();
            decoder.finish(&mut self.decoded);
            if let Some(file) = self.file.and_then(|n| self.files.get_mut(n)) {
                file.push(&self.decoded);
            }
        }
        if let Some(file) = self.file.take().and_then(|n| self.files.get_mut(n)) {
            file.finish();
        }
    }

    fn flush_line_end(&mut self) {
        let end = std::mem::take(&mut self.line_end);
        if let Some(file) = self.file.and_then(|n| self.files.get_mut(n)) {
            file.push(end);
        }
    }

    fn body_line(&mut self, line: &[u8], piece: Piece) {
        if piece.starts && !self.boundaries.is_empty() && self.delimiter(line) {
            return;
        }
        self.flush_line_end();
        let verbatim = matches!(self.encoding, Encoding::Verbatim);
        if self.line_length > if verbatim { LINE_MAX } else { ENCODED_LINE_MAX } {
            self.odd(if verbatim { Oddity::LongLine } else { Oddity::LongEncodedLine });
        }
        let mut decoded = std::mem::take(&mut self.decoded);
        decoded.clear();
        let mut odd = None;
        match &mut self.encoding {
            Encoding::Verbatim => {
                decoded.extend_from_slice(line);
                self.line_end = piece.end;
            }
            Encoding::Base64(decoder) => {
                decoder.push(line, &mut decoded);
                odd = decoder.invalid.then_some(Oddity::InvalidBase64);
            }
            Encoding::QuotedPrintable => {
                let (soft, wrong) = quoted_printable(line, &mut decoded);
                odd = wrong.then_some(Oddity::InvalidQuotedPrintable);
                self.line_end = if soft { b"" } else { piece.end };
            }
        }
        if let Some(odd) = odd {
            self.odd(odd);
        }
        match self.file.and_then(|n| self.files.get_mut(n)) {
            Some(file) => file.push(&decoded),
            None => links(&decoded, self.config.links, &mut self.urls),
        }
        self.decoded = decoded;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Lines;
    use crate::{BufferState, file};
    use weir_ir::Buffer;

    fn parse(text: &[u8], step: usize) -> Message {
        let mut message = Message::new(&Arc::default());
        let (mut lines, mut line) = (Lines::default(), Vec::new());
        for mut input in text.chunks(step) {
            while let Some(piece) = lines.next(&mut input, 100, &mut line) {
                message.line(&line, piece);
            }
        }
        if let Some(piece) = lines.finish(&mut line) {
            message.line(&line, piece);
        }
        message.finish();
        message
    }

    #[test]
    fn the_digest_of_the_body_is_of_its_lines_as_they_were_sent() {
        let hex = |message: &Message| message.body_md5().map(crate::digest::hex).unwrap_or_default();
        let text = b"Subject: s\r\n\r\nSingle SMTP message in one TCP session.\r\n";
        for step in [1, 7, 100] {
            assert_eq!(hex(&parse(text, step)), "56ce24d7aea9e9a281e656d96681b651", "{step}");
        }
        let mut message = Message::new(&Arc::default());
        message.line(b"", Piece { starts: true, ends: true, end: b"\r\n" });
        message.stuffed(b".");
        message.line(b".a", Piece { starts: true, ends: true, end: b"\r\n" });
        message.finish();
        assert_eq!(hex(&message), crate::digest::md5_hex(b"..a\r\n"));
    }

    fn content(message: &Message, n: usize) -> Vec<u8> {
        match file::buffer(message.files(), true, Buffer::FileData, n) {
            BufferState::Present(view) => view.bytes.to_vec(),
            other => panic!("{other:?}"),
        }
    }

    const MAIL: &[u8] = b"From: a@b.example\r\nSubject: one\r\n two\r\nContent-Type: multipart/mixed; boundary=\"xx\"\r\n\r\n\
preamble\r\n--xx\r\nContent-Type: text/plain\r\n\r\nsee http://l.example/p now\r\n\
--xx\r\nContent-Type: application/octet-stream; name=a.bin\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8g\r\nd29ybGQ=\r\n\
--xx\r\nContent-Disposition: attachment; filename=b.txt\r\n\r\nfirst\r\nlast\r\n\
--xx\r\nContent-Disposition: attachment; filename=c.txt\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db =\r\nc\r\nd\r\n--xx--\r\nepilogue\r\n";

    #[test]
    fn parts_and_files() {
        for step in [1, 2, 7, 64, MAIL.len()] {
            let m = parse(MAIL, step);
            assert_eq!(m.fields()[1].value, b"onetwo");
            let names: Vec<_> = m.files().iter().map(File::name).collect();
            assert_eq!(names, [&b"a.bin"[..], b"b.txt", b"c.txt"]);
            assert_eq!(content(&m, 0), b"hello world");
            assert_eq!(content(&m, 1), b"first\r\nlast");
            assert_eq!(content(&m, 2), b"a=b c\r\nd");
            assert_eq!(m.files()[0].size(), Some(11));
            assert_eq!(m.urls(), [b"l.example/p"]);
            assert_eq!(m.oddities().count(), 0);
        }
    }

    #[test]
    fn a_missing_delimiter_loses_nothing() {
        let m = parse(b"Content-Type: x/y; name=z\r\n\r\nabc\r\ndef\r\n", 5);
        assert_eq!(content(&m, 0), b"abc\r\ndef\r\n");
    }

    #[test]
    fn an_outer_delimiter_ends_inner_parts() {
        let m = parse(
            b"Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/alternative; boundary=i\n\n--i\nContent-Type: a/b; name=n\n\nin\n--o\nContent-Type: a/b; name=m\n\nout\n--o--\n",
            9,
        );
        assert_eq!((content(&m, 0), content(&m, 1)), (b"in".to_vec(), b"out".to_vec()));
    }

    #[test]
    fn an_attached_message_is_read_like_the_mail_itself() {
        let m = parse(
            b"Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: message/rfc822; name=m.eml\r\n\r\nSubject: inner\r\nContent-Type: a/b; name=deep\r\nContent-Transfer-Encoding: base64\r\n\r\nZGVlcA==\r\n--o--\r\n",
            1000,
        );
        assert_eq!(content(&m, 0), b"deep");
    }

    #[test]
    fn oddities_are_named() {
        let met = |text: &[u8]| parse(text, 1000).oddities().collect::<Vec<_>>();
        assert_eq!(met(b"no field\r\n\r\n"), [Oddity::Malformed]);
        assert_eq!(met(b"Content-Transfer-Encoding: base64\r\n\r\na!bc\r\n"), [Oddity::InvalidBase64]);
        assert_eq!(met(b"Content-Transfer-Encoding: quoted-printable\r\n\r\n=x\r\n"), [Oddity::InvalidQuotedPrintable]);
        assert_eq!(met(&[b"\r\n".as_slice(), &[b'x'; 999]].concat()), [Oddity::LongLine]);
        assert_eq!(met(&[b"A: ".as_slice(), &[b'x'; 2001]].concat()), [Oddity::LongHeaderValue]);
    }

    #[test]
    fn memory_is_bounded() {
        let mut text = b"Content-Type: multipart/mixed; boundary=o\r\n\r\n".to_vec();
        for _ in 0..1000 {
            text.extend_from_slice(b"--o\r\nContent-Type: a/b; name=f\r\n\r\nx\r\n");
        }
        assert_eq!(parse(&text, 4096).files().len(), FILES_MAX);
    }
}
