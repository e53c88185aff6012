//! What a response's head means.

use super::events::Event;
use super::message::{Known, LineParts};
use super::state::{At, HEADERS, Http1State, LINE};
use super::text::{Lines, Version, contains_fold, is_space, lenient_number, version};
use crate::Upgrade;
use weir_contract::protocol::AppProtocol;

/// Protocol, status and reason of a status line.
fn parts(line: &[u8]) -> LineParts<'_> {
    let start = line.iter().position(|b| *b != 0 && !is_space(*b)).unwrap_or(line.len());
    let word = |bytes: &[u8]| bytes.iter().position(|b| is_space(*b)).unwrap_or(bytes.len());
    let (first, rest) = line[start..].split_at(word(&line[start..]));
    let rest = rest.trim_start_spaces();
    let (second, rest) = rest.split_at(word(rest));
    let reason = rest.trim_ascii_start();
    LineParts {
        first,
        second: (!second.is_empty()).then_some(second),
        third: (!rest.is_empty()).then_some(reason),
    }
}

/// A final response follows (RFC 9110 section 15.2).
fn interim(status: u16) -> bool {
    (100..200).contains(&status) && status != 101
}

impl Http1State {
    /// The status line is in the head; without its end it is `length` bytes long.
    pub(super) fn status_line(&mut self, index: usize, length: usize) {
        let message = &mut self.pairs[index].messages[1];
        message.set_line(0..length, parts);
        message.version = version(message.first());
        message.status = message
            .second()
            .and_then(|s| std::str::from_utf8(s).ok())
            .filter(|s| s.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|s| s.parse().ok())
            .filter(|s| (100..=999).contains(s))
            .unwrap_or(0);
        let (version, status) = (message.version, message.status);
        self.events(1, index, &[
            (version == Version::Invalid, Event::ResponseInvalidProtocol),
            (status == 0, Event::ResponseInvalidStatus),
        ]);
        // An interim response is no progress.
        if !interim(status) {
            self.advance(1, index, LINE);
        }
        self.sides[1].at = At::Headers;
    }

    /// The head is complete.
    pub(super) fn response_head(&mut self, index: usize) {
        let config = std::sync::Arc::clone(&self.config);
        let Pairing { connect, head_request } = {
            let request = &self.pairs[index].messages[0];
            Pairing { connect: request.first() == b"CONNECT", head_request: request.first() == b"HEAD" }
        };
        let message = &mut self.pairs[index].messages[1];
        let oddities = message.take_fields(true);
        let status = message.status;
        let transfer = message.coding(Known::TransferEncoding, &[b"chunked"]);
        let transfer = transfer.as_deref();
        let chunked = transfer.is_some_and(|value| contains_fold(value, b"chunked"));
        let abnormal_transfer = chunked && transfer.is_some_and(|value| !value.eq_ignore_ascii_case(b"chunked"));
        let old = chunked && message.version < Version::V11;
        let framed = transfer.is_some() || message.header(Known::ContentLength).is_some();
        let length = message.header(Known::ContentLength).map(lenient_number);
        let junk = message.header(Known::ContentLength).map_or([false; 2], super::text::junk_around_number);
        let upgrade = message.header(Known::Upgrade).map(<[u8]>::to_vec);

        if interim(status) && transfer.is_none() && length.flatten().unwrap_or(0) == 0 {
            // The final response follows in the same transaction (RFC 9110 section 15.2).
            message.clear();
            let again = status == 100 && std::mem::replace(&mut self.pairs[index].seen_continue, true);
            self.events(1, index, &[(again, Event::ContinueAlreadySeen)]);
            self.sides[1].at = At::Line;
            self.sides[1].line_start_reset();
            return;
        }
        let byteranges = !framed
            && message.header(Known::ContentType).is_some_and(|value| contains_fold(value, b"multipart/byteranges"));
        let encoding = message.coding(Known::ContentEncoding, &[b"gzip", b"deflate"]);
        let coding = message.body.begin(
            config.http_body_limits[1],
            config.inflate_limit,
            config.inflate_layers,
            encoding.as_deref(),
        );
        if config.file_digests {
            message.body.with_digests();
        }
        self.events(1, index, &[
            (oddities.missing_colon, Event::ResponseFieldMissingColon),
            (oddities.space_after_name, Event::ResponseSpaceAfterName),
            (oddities.name_invalid, Event::ResponseNameNotToken),
            (oddities.deformed_end, Event::DeformedLineEnd),
            (junk[0], Event::LengthBeginsWithJunk),
            (junk[1], Event::LengthEndsWithJunk),
            (oddities.repetition, Event::ResponseHeaderRepetition),
            (oddities.too_many, Event::ResponseTooManyHeaders),
            (oddities.ambiguous_length, Event::DuplicateResponseContentLength),
            (abnormal_transfer, Event::AbnormalTransferEncoding),
            (old, Event::ChunkedOldProtocol),
            (length == Some(None) && !chunked, Event::InvalidResponseContentLength),
            (byteranges, Event::MultipartByteranges),
            (coding.too_many, Event::TooManyEncodings),
            (coding.abnormal, Event::AbnormalContentEncoding),
        ]);
        self.advance(1, index, HEADERS);

        if connect && (200..300).contains(&status) {
            self.complete(1);
            self.leave(Upgrade { protocol: None });
            return;
        }
        if status == 101 && !framed {
            let protocol = upgrade.and_then(|value| {
                if contains_fold(&value, b"h2c") {
                    Some(AppProtocol::Http2)
                } else if contains_fold(&value, b"websocket") {
                    Some(AppProtocol::WebSocket)
                } else {
                    None
                }
            });
            if protocol == Some(AppProtocol::Http2) {
                let request = &self.pairs[index].messages[0];
                let target = request.second().unwrap_or(&[]);
                let state = crate::http2::Http2State::upgraded(&config, request.first(), target, request.fields());
                self.successor = Some(Box::new(state));
            }
            self.complete(1);
            self.leave(Upgrade { protocol });
            return;
        }
        // RFC 9112 section 6.3.
        let bodiless = head_request || matches!(status, 204 | 304);
        match (chunked, length) {
            _ if bodiless => self.ends(1),
            (true, _) => self.sides[1].at = At::ChunkSize,
            (false, Some(Some(0))) => self.ends(1),
            (false, Some(Some(n))) => self.sides[1].at = At::Length(n),
            (false, _) => self.sides[1].at = At::Close,
        }
        if connect {
            self.resume_request();
        }
    }
}

struct Pairing {
    connect: bool,
    head_request: bool,
}
