//! Transactions of an HTTP/1 flow: the two message parsers, pairing, buffers, events.

use super::body::Body;
use super::message::Message;
use super::multipart;
use crate::{AppLayerConfig, BufferState, BufferView, COMPLETE, Direction, Input, ProtocolState, Transaction, Upgrade};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 20] = [
    "unknown_error",
    "missing_host_header",
    "ambiguous_host_header",
    "invalid_request_chunk_len",
    "invalid_response_chunk_len",
    "invalid_transfer_encoding_value_in_request",
    "invalid_transfer_encoding_value_in_response",
    "invalid_content_length_field_in_request",
    "invalid_content_length_field_in_response",
    "unable_to_match_response_to_request",
    "request_header_invalid",
    "response_header_invalid",
    "request_field_missing_colon",
    "response_field_missing_colon",
    "request_field_too_long",
    "response_field_too_long",
    "method_delim_non_compliant",
    "request_line_leading_whitespace",
    "abnormal_ce_header",
    "response_invalid_status",
];

/// Progress of a direction.
const LINE: u8 = 1;
const HEADERS: u8 = 2;
const BODY: u8 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before or in the first line.
    Line,
    Headers,
    /// Body of known length.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// Body up to the end of the direction.
    Close,
    /// Not HTTP any more, or framing lost.
    Over,
}

struct Side {
    at: At,
    /// Bytes of an incomplete line or head.
    partial: Vec<u8>,
    /// Lines of the head that may still be continued by folding.
    field: Vec<u8>,
    head_bytes: usize,
    /// Transaction under way.
    current: Option<u64>,
    /// Id of the next transaction this side begins.
    next: u64,
    ended: bool,
}

impl Default for Side {
    fn default() -> Self {
        Side { at: At::Line, partial: Vec::new(), field: Vec::new(), head_bytes: 0, current: None, next: 0, ended: false }
    }
}

/// HTTP/1 of one flow.
pub struct Http1State {
    config: Arc<AppLayerConfig>,
    sides: [Side; 2],
    transactions: Vec<Transaction>,
    messages: Vec<[Message; 2]>,
    upgrade: Option<Upgrade>,
    websocket_or_tunnel: bool,
}

impl Http1State {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        Http1State {
            config: Arc::clone(config),
            sides: Default::default(),
            transactions: Vec::new(),
            messages: Vec::new(),
            upgrade: None,
            websocket_or_tunnel: false,
        }
    }

    fn index_of(&self, id: u64) -> Option<usize> {
        self.transactions.binary_search_by_key(&id, |t| t.id).ok()
    }

    /// Transaction this side works on, begun if need be.
    fn current(&mut self, d: usize) -> Option<usize> {
        if let Some(id) = self.sides[d].current {
            return self.index_of(id);
        }
        let id = self.sides[d].next;
        if let Some(index) = self.index_of(id) {
            self.sides[d].current = Some(id);
            return Some(index);
        }
        // A request begins one; so does a response without request.
        if self.transactions.len() >= self.config.transactions {
            return None;
        }
        if self.transactions.last().is_some_and(|t| t.id >= id) {
            return None;
        }
        let mut transaction = Transaction { id, progress: [0; 2], changed: [false; 2], events: Vec::new() };
        if d == 1 {
            transaction.events.push(9);
        }
        self.transactions.push(transaction);
        self.messages.push(Default::default());
        self.sides[d].current = Some(id);
        Some(self.transactions.len() - 1)
    }

    fn event(&mut self, d: usize, index: usize, event: u16) {
        let t = &mut self.transactions[index];
        if !t.events.contains(&event) && t.events.len() < 64 {
            t.events.push(event);
            t.changed[d] = true;
        }
    }

    fn advance(&mut self, d: usize, index: usize, progress: u8) {
        let t = &mut self.transactions[index];
        t.progress[d] = t.progress[d].max(progress);
        t.changed[d] = true;
    }

    fn bytes(&mut self, d: usize, mut input: &[u8]) {
        while !input.is_empty() {
            match self.sides[d].at {
                At::Over => return,
                At::Close => {
                    self.body(d, input);
                    return;
                }
                At::Length(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    self.body(d, &input[..n]);
                    input = &input[n..];
                    let left = left - n as u64;
                    self.sides[d].at = At::Length(left);
                    if left == 0 {
                        self.complete(d);
                    }
                }
                At::Chunk(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    self.body(d, &input[..n]);
                    input = &input[n..];
                    let left = left - n as u64;
                    self.sides[d].at = if left == 0 { At::ChunkEnd } else { At::Chunk(left) };
                }
                _ => {
                    // Line by line.
                    let Some(end) = input.iter().position(|b| *b == b'\n') else {
                        let room = self.config.head_limit.saturating_sub(self.sides[d].partial.len());
                        if input.len() > room {
                            self.too_long(d);
                            return;
                        }
                        self.sides[d].partial.extend_from_slice(input);
                        return;
                    };
                    let mut line = std::mem::take(&mut self.sides[d].partial);
                    line.extend_from_slice(&input[..=end]);
                    input = &input[end + 1..];
                    self.line(d, &line);
                }
            }
        }
    }

    fn too_long(&mut self, d: usize) {
        if let Some(index) = self.current(d) {
            self.event(d, index, if d == 0 { 14 } else { 15 });
            self.advance(d, index, COMPLETE);
        }
        self.sides[d].at = At::Over;
        self.sides[d].partial = Vec::new();
    }

    /// One line with its end.
    fn line(&mut self, d: usize, raw: &[u8]) {
        let line = raw.strip_suffix(b"\n").unwrap_or(raw);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.sides[d].at {
            At::Line => self.first_line(d, line, raw),
            At::Headers => self.header_line(d, line, raw),
            At::Trailers => {
                if line.is_empty() {
                    self.complete(d);
                }
            }
            At::ChunkEnd => {
                self.sides[d].at = At::ChunkSize;
                if !line.is_empty() {
                    self.chunk_size(d, line);
                }
            }
            At::ChunkSize => self.chunk_size(d, line),
            _ => {}
        }
    }

    fn chunk_size(&mut self, d: usize, line: &[u8]) {
        let digits = line.trim_ascii();
        if digits.is_empty() {
            return;
        }
        let mut value = 0u64;
        let mut any = false;
        for b in digits {
            let digit = match b {
                b'0'..=b'9' => b - b'0',
                b'a'..=b'f' => b - b'a' + 10,
                b'A'..=b'F' => b - b'A' + 10,
                _ => break,
            };
            any = true;
            value = value.saturating_mul(16).saturating_add(u64::from(digit));
        }
        if !any {
            if let Some(index) = self.current(d) {
                self.event(d, index, if d == 0 { 3 } else { 4 });
            }
            // Not chunked after all: take the rest as body.
            self.sides[d].at = At::Close;
            self.body(d, line);
            self.body(d, b"\r\n");
            return;
        }
        self.sides[d].at = if value == 0 { At::Trailers } else { At::Chunk(value) };
    }

    fn first_line(&mut self, d: usize, line: &[u8], raw: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        let Some(index) = self.current(d) else {
            self.sides[d].at = At::Over;
            return;
        };
        if d == 0 {
            let message = &mut self.messages[index][0];
            message.request_line(line);
            let bare = message.third.is_empty();
            let leading = line.first().is_some_and(u8::is_ascii_whitespace);
            if leading {
                self.event(d, index, 17);
            }
            self.advance(d, index, LINE);
            if bare {
                // HTTP/0.9: the line is all there is.
                self.advance(d, index, HEADERS);
                self.complete(d);
                return;
            }
        } else {
            if !line.get(..5).is_some_and(|p| p.eq_ignore_ascii_case(b"HTTP/")) {
                // HTTP/0.9, or not HTTP: everything is body.
                self.advance(d, index, HEADERS);
                let limit = self.config.body_limit;
                self.messages[index][1].body = Body::new(limit, None);
                self.sides[d].at = At::Close;
                self.body(d, raw);
                return;
            }
            self.messages[index][1].status_line(line);
            let status = &self.messages[index][1].second;
            if status.len() != 3 || !status.iter().all(u8::is_ascii_digit) {
                self.event(d, index, 19);
            }
            self.advance(d, index, LINE);
        }
        let side = &mut self.sides[d];
        side.at = At::Headers;
        side.head_bytes = 0;
        side.field.clear();
    }

    fn header_line(&mut self, d: usize, line: &[u8], raw: &[u8]) {
        let Some(index) = self.current(d) else {
            self.sides[d].at = At::Over;
            return;
        };
        self.sides[d].head_bytes += raw.len();
        if self.sides[d].head_bytes > self.config.head_limit {
            self.too_long(d);
            return;
        }
        self.messages[index][d].raw_headers.extend_from_slice(raw);
        let folded = line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) && !self.sides[d].field.is_empty();
        if folded && !line.trim_ascii().is_empty() {
            // RFC 9112 section 5.2: a fold is one space.
            self.sides[d].field.push(b' ');
            self.sides[d].field.extend_from_slice(line.trim_ascii());
            return;
        }
        let field = std::mem::replace(&mut self.sides[d].field, line.to_vec());
        if !field.is_empty() {
            if !field.contains(&b':') {
                self.event(d, index, if d == 0 { 12 } else { 13 });
            }
            self.messages[index][d].field(&field);
        }
        if line.is_empty() {
            self.sides[d].field.clear();
            self.head_done(d, index);
        }
    }

    fn head_done(&mut self, d: usize, index: usize) {
        let limit = self.config.body_limit;
        let message = &self.messages[index][d];
        let chunked = message
            .header(b"transfer-encoding")
            .is_some_and(|v| v.to_ascii_lowercase().windows(7).any(|w| w == b"chunked"));
        let length = message.header(b"content-length").map(|v| {
            let digits: Vec<u8> = v.iter().copied().skip_while(|b| !b.is_ascii_digit()).take_while(u8::is_ascii_digit).collect();
            (!digits.is_empty()).then(|| {
                digits.iter().fold(0u64, |n, b| n.saturating_mul(10).saturating_add(u64::from(b - b'0')))
            })
        });
        let bad_length = length == Some(None);
        let unknown_coding = message.header(b"transfer-encoding").is_some() && !chunked;
        let body = Body::new(limit, message.header(b"content-encoding"));
        let odd_coding = body.undecodable;
        let boundary = (d == 0).then(|| message.header(b"content-type").and_then(multipart::boundary)).flatten();
        let missing_host = d == 0 && message.third.eq_ignore_ascii_case(b"HTTP/1.1") && message.header(b"host").is_none();
        let ambiguous = d == 0
            && match (&message.uri_host, message.header(b"host")) {
                (Some(a), Some(b)) => !super::uri::strip_port(b).eq_ignore_ascii_case(a),
                _ => false,
            };
        let upgrade = message.header(b"upgrade").is_some();
        let message = &mut self.messages[index][d];
        message.body = body;
        message.boundary = boundary;
        for (set, event) in [
            (missing_host, 1),
            (ambiguous, 2),
            (bad_length, if d == 0 { 7 } else { 8 }),
            (unknown_coding, if d == 0 { 5 } else { 6 }),
            (odd_coding, 18),
        ] {
            if set {
                self.event(d, index, event);
            }
        }
        self.advance(d, index, HEADERS);
        let length = length.flatten();
        if d == 0 {
            if self.messages[index][0].first.eq_ignore_ascii_case(b"CONNECT") {
                self.complete(d);
                // The tunnel begins when the answer allows it; until then nothing more is expected.
                return;
            }
            self.sides[d].at = match (chunked, length) {
                (true, _) => At::ChunkSize,
                (false, Some(n)) if n > 0 => At::Length(n),
                _ => {
                    self.complete(d);
                    return;
                }
            };
            return;
        }
        let status = self.messages[index][1].second.clone();
        let request = &self.messages[index][0];
        let connect = request.first.eq_ignore_ascii_case(b"CONNECT") && status.first() == Some(&b'2');
        if connect || (status == b"101" && upgrade) {
            self.complete(0);
            self.complete(1);
            self.websocket_or_tunnel = true;
            self.upgrade = Some(Upgrade { protocol: None });
            self.sides.iter_mut().for_each(|s| s.at = At::Over);
            return;
        }
        if status.first() == Some(&b'1') && status.len() == 3 {
            // An interim answer: the final one follows in the same transaction (RFC 9110 section 15.2).
            self.messages[index][1] = Message::default();
            self.sides[1].at = At::Line;
            return;
        }
        let head = request.first.eq_ignore_ascii_case(b"HEAD");
        self.sides[d].at = match (chunked, length) {
            _ if head || status == b"204" || status == b"304" => {
                self.complete(d);
                return;
            }
            (true, _) => At::ChunkSize,
            (false, Some(0)) => {
                self.complete(d);
                return;
            }
            (false, Some(n)) => At::Length(n),
            (false, None) => At::Close,
        };
    }

    fn body(&mut self, d: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let Some(index) = self.current(d) else { return };
        let message = &mut self.messages[index][d];
        let before = message.body.data.len();
        message.body.push(bytes);
        if message.body.data.len() != before {
            if let Some(boundary) = message.boundary.clone() {
                message.parts = multipart::parts(&message.body.data, &boundary, false);
            }
            self.advance(d, index, BODY);
        }
    }

    /// The message of direction `d` is complete.
    fn complete(&mut self, d: usize) {
        let Some(index) = self.current(d) else { return };
        let message = &mut self.messages[index][d];
        message.body.complete = true;
        if let Some(boundary) = message.boundary.clone() {
            message.parts = multipart::parts(&message.body.data, &boundary, true);
        }
        self.advance(d, index, COMPLETE);
        let id = self.transactions[index].id;
        let side = &mut self.sides[d];
        side.current = None;
        side.next = id + 1;
        if side.at != At::Over {
            side.at = At::Line;
        }
        side.partial.clear();
    }

    fn gap(&mut self, d: usize, length: u64) {
        let side = &mut self.sides[d];
        match side.at {
            At::Length(left) if left > length => side.at = At::Length(left - length),
            At::Chunk(left) if left > length => side.at = At::Chunk(left - length),
            At::Close => {}
            At::Length(left) if left == length => self.complete(d),
            _ => {
                // Where the next message begins cannot be known.
                if self.sides[d].current.is_some() || !self.sides[d].partial.is_empty() {
                    self.complete(d);
                }
                self.sides[d].at = At::Over;
                self.sides[d].partial = Vec::new();
            }
        }
    }

    fn end(&mut self, d: usize) {
        if self.sides[d].ended {
            return;
        }
        self.sides[d].ended = true;
        if self.sides[d].at == At::Line && !self.sides[d].partial.is_empty() {
            let line = std::mem::take(&mut self.sides[d].partial);
            self.line(d, &line);
        }
        if self.sides[d].current.is_some() {
            self.complete(d);
        }
        self.sides[d].at = At::Over;
    }

    fn value<'a>(&'a self, index: usize, d: usize, step: u8, bytes: Option<&'a [u8]>) -> BufferState<'a> {
        if self.transactions[index].progress[d] < step {
            return BufferState::NotYet;
        }
        match bytes {
            Some(bytes) => BufferState::Present(BufferView { bytes, complete: true }),
            None => BufferState::Absent,
        }
    }

    fn body_view<'a>(&'a self, index: usize, d: usize) -> BufferState<'a> {
        let body = &self.messages[index][d].body;
        let complete = body.complete || body.full();
        if !body.data.is_empty() {
            BufferState::Present(BufferView { bytes: &body.data, complete })
        } else if complete {
            BufferState::Absent
        } else {
            BufferState::NotYet
        }
    }
}

fn filled(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

impl ProtocolState for Http1State {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Http1
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        let d = direction as usize;
        match input {
            Input::Data(bytes) => self.bytes(d, bytes),
            Input::Gap(length) => self.gap(d, length),
            Input::End => self.end(d),
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(messages) = self.messages.get(index) else { return BufferState::Absent };
        let d = direction as usize;
        let m = &messages[d];
        let request = d == 0;
        let header = |name: &[u8]| self.value(index, d, HEADERS, m.header(name));
        match buffer {
            Buffer::HttpUri if request => self.value(index, d, LINE, Some(&m.uri)),
            Buffer::HttpUriRaw if request => self.value(index, d, LINE, Some(&m.second)),
            Buffer::HttpMethod if request => self.value(index, d, LINE, Some(&m.first)),
            Buffer::HttpProtocol if request => self.value(index, d, LINE, filled(&m.third)),
            Buffer::HttpProtocol => self.value(index, d, LINE, filled(&m.first)),
            Buffer::HttpRequestLine if request => self.value(index, d, LINE, Some(&m.line)),
            Buffer::HttpResponseLine if !request => self.value(index, d, LINE, Some(&m.line)),
            Buffer::HttpStatusCode if !request => self.value(index, d, LINE, filled(&m.second)),
            Buffer::HttpStatusMessage if !request => self.value(index, d, LINE, filled(&m.third)),
            Buffer::HttpHeader if self.transactions[index].progress[d] >= HEADERS => {
                self.value(index, d, HEADERS, filled(m.joined()))
            }
            Buffer::HttpHeaderRaw => self.value(index, d, HEADERS, filled(&m.raw_headers)),
            Buffer::HttpHeaderNames if self.transactions[index].progress[d] >= HEADERS => {
                self.value(index, d, HEADERS, (!m.headers.is_empty()).then(|| m.names()))
            }
            Buffer::HttpStart if self.transactions[index].progress[d] >= HEADERS => {
                self.value(index, d, HEADERS, Some(m.start()))
            }
            Buffer::HttpHost if request && self.transactions[index].progress[d] >= HEADERS => {
                self.value(index, d, HEADERS, m.host())
            }
            Buffer::HttpHeader | Buffer::HttpHeaderNames | Buffer::HttpStart => BufferState::NotYet,
            Buffer::HttpHost if request => BufferState::NotYet,
            Buffer::HttpHostRaw if request => self.value(index, d, HEADERS, m.host_raw()),
            Buffer::HttpCookie if request => header(b"cookie"),
            Buffer::HttpCookie => header(b"set-cookie"),
            Buffer::HttpUserAgent if request => header(b"user-agent"),
            Buffer::HttpReferer if request => header(b"referer"),
            Buffer::HttpAccept if request => header(b"accept"),
            Buffer::HttpAcceptEncoding if request => header(b"accept-encoding"),
            Buffer::HttpAcceptLanguage if request => header(b"accept-language"),
            Buffer::HttpConnection => header(b"connection"),
            Buffer::HttpContentType => header(b"content-type"),
            Buffer::HttpContentLength => header(b"content-length"),
            Buffer::HttpLocation if !request => header(b"location"),
            Buffer::HttpServer if !request => header(b"server"),
            Buffer::HttpRequestBody if request => self.body_view(index, d),
            Buffer::HttpResponseBody if !request => self.body_view(index, d),
            Buffer::FileData => {
                if request && m.boundary.is_some() {
                    return match m.parts.get(instance) {
                        Some(part) => BufferState::Present(BufferView { bytes: &part.data, complete: part.complete }),
                        None if m.body.complete => BufferState::Absent,
                        None => BufferState::NotYet,
                    };
                }
                if instance > 0 { BufferState::Absent } else { self.body_view(index, d) }
            }
            Buffer::FileName if request && m.boundary.is_some() => match m.parts.get(instance) {
                Some(part) => BufferState::Present(BufferView { bytes: &part.name, complete: true }),
                None if m.body.complete => BufferState::Absent,
                None => BufferState::NotYet,
            },
            Buffer::HttpRequestHeader if request => BufferState::Absent,
            _ => BufferState::Absent,
        }
    }

    fn number(&self, _index: usize, _direction: Direction, _name: &str) -> Option<u64> {
        None
    }

    fn event_name(&self, event: u16) -> &'static str {
        EVENTS.get(usize::from(event)).copied().unwrap_or("unknown_error")
    }

    fn mark_inspected(&mut self) {
        let mut at = 0;
        for t in &mut self.transactions {
            t.changed = [false; 2];
        }
        while at < self.transactions.len() {
            if self.transactions[at].progress == [COMPLETE; 2] {
                self.transactions.remove(at);
                self.messages.remove(at);
            } else {
                at += 1;
            }
        }
    }

    fn upgrade(&self) -> Option<Upgrade> {
        self.upgrade
    }

    fn is_open(&self, _direction: Direction) -> bool {
        !self.transactions.is_empty() || self.sides.iter().any(|s| !s.partial.is_empty())
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some([request, response]) = self.messages.get(index) else { return };
        out.extend_from_slice(b"\"http\":{");
        let mut first = true;
        let mut member = |key: &str, value: Option<&[u8]>, out: &mut Vec<u8>| {
            let Some(value) = value.filter(|v| !v.is_empty()) else { return };
            if !first {
                out.push(b',');
            }
            first = false;
            crate::json::string(key.as_bytes(), out);
            out.push(b':');
            crate::json::string(value, out);
        };
        member("hostname", request.host(), out);
        member("url", Some(&request.second), out);
        member("http_user_agent", request.header(b"user-agent"), out);
        member("http_content_type", response.header(b"content-type"), out);
        member("http_refer", request.header(b"referer"), out);
        member("http_method", Some(&request.first), out);
        member("protocol", Some(&request.third), out);
        if let Some(status) = std::str::from_utf8(&response.second).ok().and_then(|s| s.parse::<u16>().ok()) {
            out.extend_from_slice(format!("{}\"status\":{status}", if first { "" } else { "," }).as_bytes());
            first = false;
        }
        out.extend_from_slice(
            format!("{}\"length\":{}}}", if first { "" } else { "," }, response.body.received).as_bytes(),
        );
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
