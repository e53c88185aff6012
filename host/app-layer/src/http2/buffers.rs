//! What detection sees of a transaction.

use super::events::NAMES;
use super::fields::{Fields, Known};
use super::frame::Fact;
use super::log;
use super::state::{HEADERS, Http2State};
use super::stream::{Side, Stream, content_range};
use crate::http1::{last_segment, parameter};
use crate::{FileView, LogSettings, BufferState, BufferView, Direction, Input, ProtocolState, Transaction, dns, file};
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

fn some(bytes: Option<&[u8]>) -> BufferState<'_> {
    bytes.map_or(BufferState::Absent, BufferState::whole)
}

fn body(side: &Side) -> BufferState<'_> {
    let complete = side.body.complete || side.body.full();
    if !side.body.data.is_empty() {
        BufferState::Present(BufferView { bytes: &side.body.data, complete })
    } else if complete {
        BufferState::Absent
    } else {
        BufferState::NotYet
    }
}

/// Buffers of the header list.
fn of_fields(fields: &Fields, request: bool, buffer: Buffer, instance: usize) -> BufferState<'_> {
    let field = |known| some(fields.value(known));
    match buffer {
        Buffer::HttpMethod if request => field(Known::Method),
        // As it stands: Suricata normalises HTTP/1 only.
        Buffer::HttpUri | Buffer::HttpUriRaw if request => field(Known::Path),
        Buffer::HttpRequestLine if request => BufferState::filled(fields.first_line(true)),
        Buffer::HttpResponseLine if !request => BufferState::filled(fields.first_line(false)),
        Buffer::HttpStatusCode if !request => field(Known::Status),
        Buffer::HttpHeader | Buffer::HttpHeaderRaw => BufferState::filled(fields.lines()),
        Buffer::HttpHeaderNames if !fields.is_empty() => BufferState::whole(fields.names()),
        Buffer::HttpRequestHeader if request => some(fields.line(instance)),
        Buffer::HttpResponseHeader if !request => some(fields.line(instance)),
        Buffer::Http2HeaderName => some(fields.get(instance).map(|(name, _)| name)),
        Buffer::HttpHost if request => some(fields.host()),
        Buffer::HttpHostRaw if request => some(fields.host_raw()),
        Buffer::HttpCookie => field(if request { Known::Cookie } else { Known::SetCookie }),
        Buffer::HttpUserAgent if request => field(Known::UserAgent),
        Buffer::HttpReferer if request => field(Known::Referer),
        Buffer::HttpAccept if request => field(Known::Accept),
        Buffer::HttpAcceptEncoding if request => field(Known::AcceptEncoding),
        Buffer::HttpAcceptLanguage if request => field(Known::AcceptLanguage),
        Buffer::HttpConnection => field(Known::Connection),
        Buffer::HttpContentType => field(Known::ContentType),
        Buffer::HttpContentLength => field(Known::ContentLength),
        Buffer::HttpLocation if !request => field(Known::Location),
        Buffer::HttpServer if !request => field(Known::Server),
        _ => BufferState::Absent,
    }
}

fn of_file<'a>(stream: &'a Stream, side: &'a Side, buffer: Buffer) -> BufferState<'a> {
    match (body(side), buffer) {
        (state, Buffer::FileData) => state,
        (BufferState::Present(_), Buffer::FileName) => BufferState::filled(side.file_name.get_or_init(|| {
            let disposition = side.fields.value(Known::ContentDisposition).and_then(|value| parameter(value, b"filename"));
            let path = stream.sides[0].fields.value(Known::Path).unwrap_or(&[]);
            disposition.unwrap_or_else(|| last_segment(path).to_vec())
        })),
        (BufferState::Present(view), Buffer::FileMagic) => file::kind(view.bytes, view.complete),
        (BufferState::Absent, _) => BufferState::Absent,
        (state, Buffer::FileName | Buffer::FileMagic) => state,
        _ => match side.body.sum(buffer) {
            Some(bytes) => BufferState::whole(bytes),
            None if side.body.complete => BufferState::Absent,
            None => BufferState::NotYet,
        },
    }
}

/// The body of a direction as a file. It has no name but that of a range: the target.
fn file_view(side: &Side) -> Option<FileView<'_>> {
    let body = &side.body;
    if body.received == 0 {
        return None;
    }
    // Of a file that is longer than what is kept of it, all is counted.
    let truncated = body.holed;
    let range = side.fields.value(Known::ContentRange).and_then(content_range).and_then(|range| range.part);
    Some(FileView {
        name: std::borrow::Cow::Borrowed(&[]),
        size: if truncated { body.data.len() as u64 } else { body.size() },
        closed: body.complete && !truncated,
        truncated,
        gaps: body.holed,
        range,
        digests: [Buffer::FileMd5, Buffer::FileSha1, Buffer::FileSha256]
            .map(|buffer| body.sum(buffer).filter(|_| !truncated)),
        content: &body.data,
    })
}

impl ProtocolState for Http2State {
    fn protocol(&self) -> AppProtocol {
        if self.doh { AppProtocol::Doh2 } else { AppProtocol::Http2 }
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        self.feed_side(direction as usize, input);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let (Some(stream), Some(transaction)) = (self.streams.get(index), self.transactions.get(index)) else {
            return BufferState::Absent;
        };
        if instance > 0 && !buffer.is_multi() {
            return BufferState::Absent;
        }
        let request = direction == Direction::ToServer;
        match buffer {
            // Of every transaction, as in Suricata.
            Buffer::HttpProtocol => return BufferState::whole(b"HTTP/2"),
            Buffer::HttpStatusMessage if !request => return BufferState::whole(b""),
            _ => {}
        }
        let Some(side) = stream.sides.get(direction as usize) else { return BufferState::Absent };
        if transaction.progress[direction as usize] < HEADERS {
            return BufferState::NotYet;
        }
        match buffer {
            Buffer::HttpRequestBody if request => body(side),
            Buffer::HttpResponseBody if !request => body(side),
            buffer if file::is_file(buffer) && instance == 0 => of_file(stream, side, buffer),
            buffer if buffer.protocol() == Some(AppProtocol::Dns) => match &side.dns {
                Some(message) => dns::view::buffer(message, direction, buffer, instance),
                None if side.body.complete || !self.doh => BufferState::Absent,
                None => BufferState::NotYet,
            },
            buffer => of_fields(&side.fields, request, buffer, instance),
        }
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let side = self.streams.get(index)?.sides.get(direction as usize)?;
        match name {
            "filesize" if side.body.complete && !side.body.holed && side.body.received > 0 => Some(side.body.received),
            name if name.starts_with("dns.") => dns::view::number(side.dns.as_ref()?, name),
            _ => None,
        }
    }

    fn any_number(&self, index: usize, direction: Direction, name: &str, holds: &mut dyn FnMut(u64) -> bool) -> bool {
        let Some(side) = self.streams.get(index).and_then(|s| s.sides.get(direction as usize)) else { return false };
        let Some(name) = name.strip_prefix("http2.") else {
            return self.number(index, direction, name).is_some_and(holds);
        };
        let setting = name.strip_prefix("settings.").and_then(|id| id.parse::<u16>().ok());
        side.facts.iter().any(|fact| match (*fact, name) {
            (Fact::Type(kind), "frametype") => holds(kind.into()),
            (Fact::Error(code) | Fact::Reset(code), "errorcode") => holds(code.into()),
            (Fact::Priority(weight), "priority") => holds(weight.into()),
            (Fact::Window(size), "window") => holds(size.into()),
            (Fact::Size(size), "size_update") => holds(size),
            (Fact::Setting(id, value), _) if setting == Some(id) => holds(value.into()),
            _ => false,
        })
    }

    fn event_names(&self) -> &'static [&'static str] {
        NAMES
    }

    fn mark_inspected(&mut self) {
        self.release_inspected();
    }

    fn is_open(&self, direction: Direction) -> bool {
        self.side_open(direction as usize)
    }

    fn log_kind(&self, index: usize) -> Option<&'static str> {
        let dns = self.streams.get(index).is_some_and(|stream| stream.sides.iter().any(|side| side.dns.is_some()));
        Some(if dns { "dns" } else { "http" })
    }

    fn files(&self, index: usize, direction: Direction) -> Vec<FileView<'_>> {
        self.streams.get(index).map_or_else(Vec::new, |stream| file_view(&stream.sides[direction as usize]).into_iter().collect())
    }

    fn log_as(&self, index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let Some(stream) = self.streams.get(index) else { return false };
        if !log::is_worth_telling(stream) {
            return false;
        }
        log::http(stream, out);
        let message = stream.sides.iter().zip([Direction::ToServer, Direction::ToClient]).rev().find_map(|(side, direction)| {
            Some((side.dns.as_ref()?, direction))
        });
        match (message, self.transactions.get(index)) {
            (Some((message, direction)), Some(_)) => {
                out.push(b',');
                dns::log(message, direction, 0, settings, out)
            }
            _ => true,
        }
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        self.log_as(index, 0, &dns::in_alerts(), out);
    }
}
