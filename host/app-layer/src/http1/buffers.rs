//! What detection and logs see of a transaction.

use super::events::NAMES;
use super::message::{Known, Message};
use super::multipart::parameter;
use super::state::{At, HEADERS, Http1State, LINE};
use crate::{
    BufferState, BufferView, COMPLETE, Direction, FileView, Input, Limits, LogSettings, ProtocolState, Rest, Transaction, Upgrade, file,
};
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

fn some(bytes: Option<&[u8]>) -> BufferState<'_> {
    bytes.map_or(BufferState::Absent, BufferState::whole)
}

fn body(message: &Message) -> BufferState<'_> {
    let body = &message.body;
    let complete = body.complete || body.full();
    if !body.data.is_empty() {
        BufferState::Present(BufferView { bytes: &body.data, complete })
    } else if complete {
        BufferState::Absent
    } else {
        BufferState::NotYet
    }
}

/// What a file is named that nothing else names: the normalised target without its query.
fn last_path(target: &[u8]) -> &[u8] {
    target.split(|b| *b == b'?').next().unwrap_or_default()
}

impl Http1State {
    /// Buffers that come with the first line.
    fn line_buffer<'a>(m: &'a Message, request: bool, buffer: Buffer) -> Option<BufferState<'a>> {
        Some(match buffer {
            Buffer::HttpUri if request && m.target.exists => BufferState::whole(&m.uri),
            Buffer::HttpUri => BufferState::Absent,
            Buffer::HttpUriRaw if request => some(m.second()),
            Buffer::HttpMethod if request => BufferState::whole(m.first()),
            Buffer::HttpProtocol if request => some(m.third()),
            Buffer::HttpProtocol => BufferState::filled(m.first()),
            Buffer::HttpRequestLine if request => BufferState::whole(m.line()),
            Buffer::HttpResponseLine if !request => BufferState::filled(m.line()),
            Buffer::HttpStatusCode if !request => some(m.second()),
            Buffer::HttpStatusMessage if !request => some(m.third()),
            Buffer::HttpUriRaw
            | Buffer::HttpMethod
            | Buffer::HttpRequestLine
            | Buffer::HttpResponseLine
            | Buffer::HttpStatusCode
            | Buffer::HttpStatusMessage => BufferState::Absent,
            _ => return None,
        })
    }

    /// Buffers that come with the head.
    fn head_buffer<'a>(m: &'a Message, request: bool, buffer: Buffer, instance: usize) -> Option<BufferState<'a>> {
        let field = |known| some(m.header(known));
        Some(match buffer {
            Buffer::HttpHeader => BufferState::filled(m.joined(!request)),
            Buffer::HttpHeaderRaw => BufferState::filled(m.raw_fields()),
            Buffer::HttpHeaderNames if m.has_fields() => BufferState::whole(m.names()),
            Buffer::HttpHeaderNames => BufferState::Absent,
            Buffer::HttpStart => BufferState::filled(m.start()),
            Buffer::HttpRequestHeader if request => some(m.field_line(instance)),
            Buffer::HttpResponseHeader if !request => some(m.field_line(instance)),
            Buffer::HttpHost if request => some(m.host.as_deref()),
            Buffer::HttpHostRaw if request => some(m.host_raw()),
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
            _ => return None,
        })
    }

    fn file(&self, index: usize, request: bool, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let name = buffer == Buffer::FileName;
        let Some(pair) = self.pairs.get(index) else { return BufferState::Absent };
        let m = &pair.messages[usize::from(!request)];
        if let Some(multipart) = &m.multipart {
            return match multipart.parts.get(instance) {
                Some(part) if name => BufferState::whole(&part.name),
                Some(part) => {
                    let bytes = m.body.data.get(part.data.clone()).unwrap_or(&[]);
                    let complete = part.complete || m.body.full();
                    match buffer {
                        Buffer::FileData => BufferState::Present(BufferView { bytes, complete }),
                        Buffer::FileMagic => file::kind(bytes, complete),
                        // Digests of parts are not computed.
                        _ => BufferState::Absent,
                    }
                }
                None if m.body.complete || m.body.full() => BufferState::Absent,
                None => BufferState::NotYet,
            };
        }
        let method = pair.messages[0].first();
        if instance > 0 || (request && method != b"POST" && method != b"PUT") {
            return BufferState::Absent;
        }
        match body(m) {
            BufferState::Present(_) if name => BufferState::filled(m.file_name(|| {
                let disposition = m.header(Known::ContentDisposition).and_then(|value| parameter(value, b"filename"));
                disposition.unwrap_or_else(|| last_path(&pair.messages[0].uri).to_vec())
            })),
            BufferState::Present(view) if buffer == Buffer::FileMagic => file::kind(view.bytes, view.complete),
            state if buffer == Buffer::FileData => state,
            state if name => state,
            BufferState::Absent => BufferState::Absent,
            _ => match m.body.sum(buffer) {
                Some(bytes) => BufferState::whole(bytes),
                None if m.body.complete => BufferState::Absent,
                None => BufferState::NotYet,
            },
        }
    }
}

impl ProtocolState for Http1State {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Http1
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        self.feed_side(direction, input);
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let (Some(pair), Some(transaction)) = (self.pairs.get(index), self.transactions.get(index)) else {
            return BufferState::Absent;
        };
        let d = direction as usize;
        let request = direction == Direction::ToServer;
        let m = &pair.messages[d];
        let progress = transaction.progress[d];
        match buffer {
            Buffer::HttpRequestBody if request => return if progress < HEADERS { BufferState::NotYet } else { body(m) },
            Buffer::HttpResponseBody if !request => return if progress < HEADERS { BufferState::NotYet } else { body(m) },
            buffer if file::is_file(buffer) => {
                return if progress < HEADERS {
                    BufferState::NotYet
                } else {
                    self.file(index, request, buffer, instance)
                };
            }
            _ => {}
        }
        if instance > 0 && !matches!(buffer, Buffer::HttpRequestHeader | Buffer::HttpResponseHeader) {
            return BufferState::Absent;
        }
        if let Some(state) = (progress >= LINE).then(|| Self::line_buffer(m, request, buffer)).flatten() {
            return state;
        }
        if progress >= HEADERS {
            return Self::head_buffer(m, request, buffer, instance).unwrap_or(BufferState::Absent);
        }
        BufferState::NotYet
    }

    fn number(&self, index: usize, direction: Direction, name: &str) -> Option<u64> {
        let m = &self.pairs.get(index)?.messages[direction as usize];
        match name {
            "filesize" if m.body.complete && !m.body.holed && m.body.received > 0 => Some(m.body.received),
            _ => None,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn mark_inspected(&mut self) {
        self.release_inspected();
    }

    fn take_limits(&mut self) -> Limits {
        std::mem::take(&mut self.limits)
    }

    fn upgrade(&self) -> Option<Upgrade> {
        self.upgrade
    }

    fn pauses(&self) -> bool {
        self.upgrade.is_some() || self.resumes
    }

    fn take_successor(&mut self) -> Option<Box<dyn ProtocolState>> {
        self.successor.take()
    }

    fn take_rest(&mut self, direction: Direction) -> Vec<u8> {
        self.take_rest_of(direction)
    }

    fn take_lost(&mut self, direction: Direction) -> u64 {
        std::mem::take(&mut self.sides[direction as usize].rest_lost)
    }

    fn kept(&self, direction: Direction) -> u64 {
        let side = &self.sides[direction as usize];
        side.rest.len() as u64 + side.rest_lost
    }

    fn is_open(&self, direction: Direction) -> bool {
        self.side_open(direction as usize)
    }

    fn rest(&self) -> Rest<'_> {
        self.rest_of_messages()
    }

    fn files(&self, index: usize, direction: Direction) -> Vec<FileView<'_>> {
        self.file_views(index, direction)
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some(pair) = self.pairs.get(index) else { return };
        super::log::write(&pair.messages, &LogSettings::default(), out);
    }

    fn log_as(&self, index: usize, _part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let Some(pair) = self.pairs.get(index) else { return false };
        super::log::write(&pair.messages, settings, out);
        true
    }
}

impl Http1State {
    fn file_views(&self, index: usize, direction: Direction) -> Vec<FileView<'_>> {
        let (Some(pair), Some(transaction)) = (self.pairs.get(index), self.transactions.get(index)) else {
            return Vec::new();
        };
        let m = &pair.messages[direction as usize];
        if transaction.progress[direction as usize] < HEADERS {
            return Vec::new();
        }
        let body = &m.body;
        if let Some(multipart) = &m.multipart {
            let parts = multipart.parts.iter().filter(|part| !part.name.is_empty());
            return parts
                .map(|part| {
                    let content = body.data.get(part.data.clone()).unwrap_or(&[]);
                    FileView {
                        name: part.name.as_slice().into(),
                        size: content.len() as u64,
                        closed: part.complete && !body.full(),
                        truncated: body.full() || (body.complete && !part.complete),
                        gaps: body.holed,
                        range: None,
                        digests: [None; 3],
                        content,
                    }
                })
                .collect();
        }
        let request = direction == Direction::ToServer;
        if body.received == 0 || self.file(index, request, Buffer::FileData, 0).is_absent() {
            return Vec::new();
        }
        let disposition = || m.header(Known::ContentDisposition).and_then(|value| parameter(value, b"filename"));
        let name = disposition().unwrap_or_else(|| last_path(&pair.messages[0].uri).to_vec());
        // What comes with the piece that reaches the limit is cut off; what comes behind it ends the file.
        let truncated = body.holed || body.overflowed;
        vec![FileView {
            name: name.into(),
            size: if truncated || body.full() { body.data.len() as u64 } else { body.size() },
            closed: body.complete && !truncated,
            truncated,
            gaps: body.holed,
            range: m.fields().find(|(name, _)| name.eq_ignore_ascii_case(b"content-range")).and_then(|(_, value)| {
                super::log::content_range(value).map(|(start, end, _)| (start, end))
            }),
            digests: [Buffer::FileMd5, Buffer::FileSha1, Buffer::FileSha256]
                .map(|buffer| body.kept_sum(buffer).filter(|_| !truncated || buffer == Buffer::FileSha256)),
            content: &body.data,
        }]
    }

    /// Both directions are at the start of a message.
    pub fn idle(&self) -> bool {
        self.sides.iter().all(|side| side.at == At::Line && side.current.is_none())
            && self.transactions.iter().all(|t| t.progress == [COMPLETE; 2])
    }
}
