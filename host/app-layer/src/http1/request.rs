//! What a request's head means.

use super::events::Event;
use super::message::{Known, LineParts};
use super::multipart::{Multipart, boundary};
use super::state::{At, HEADERS, Http1State, LINE};
use super::text::{Version, contains_fold, known_method, lenient_number, version};
use super::uri::{normalise, request_line, split_port, valid_host};

impl Http1State {
    /// The first line is in the head; without its end it is `length` bytes long.
    pub(super) fn request_line(&mut self, index: usize, length: usize) {
        let message = &mut self.pairs[index].messages[0];
        let line = message.head.get(..length).unwrap_or(&[]);
        let parsed = request_line(line);
        let (leading, odd_method, odd_target) =
            (parsed.leading_space, parsed.odd_method_delimiter, parsed.odd_target_delimiter);
        let known = known_method(parsed.method);
        let bare = parsed.protocol.is_empty();
        let found = if bare { Version::V09 } else { version(parsed.protocol) };
        let mut uri = std::mem::take(&mut message.uri);
        uri.clear();
        let target = match parsed.target {
            Some(target) => normalise(target, parsed.method == b"CONNECT", &mut uri),
            None => super::uri::Target::default(),
        };
        let bad_host = target.host.as_deref().is_some_and(|host| !valid_host(host)) || target.port == Some(None);
        message.version = found;
        message.uri = uri;
        message.target = target;
        message.set_line(0..length, |line| {
            let parsed = request_line(line);
            LineParts {
                first: parsed.method,
                second: parsed.target,
                third: (!parsed.protocol.is_empty()).then_some(parsed.protocol),
            }
        });
        self.events(0, index, &[
            (leading, Event::LeadingWhitespace),
            (odd_method, Event::MethodDelimiter),
            (odd_target, Event::UriDelimiter),
            (bad_host, Event::UriHostInvalid),
            (!known && !bare && found == Version::Invalid, Event::RequestLineInvalid),
        ]);
        self.advance(0, index, LINE);
        self.sides[0].at = if bare { At::Bare } else { At::Headers };
    }

    /// The head is complete.
    pub(super) fn request_head(&mut self, index: usize) {
        let config = std::sync::Arc::clone(&self.config);
        let message = &mut self.pairs[index].messages[0];
        let oddities = message.take_fields(false);

        // Host: the target's, otherwise the field's (RFC 9112 section 3.2.2).
        let field = message.header(Known::Host).map(split_port);
        let mut ambiguous = false;
        let mut bad_field = false;
        let mut host = message.target.host.clone();
        if let Some((name, port)) = field {
            bad_field = !valid_host(name) || port == Some(None);
            match &host {
                None => host = Some(name.to_ascii_lowercase()),
                Some(other) => {
                    ambiguous = !other.eq_ignore_ascii_case(name)
                        || matches!((message.target.port, port), (Some(a), Some(b)) if a != b);
                }
            }
        }
        let missing_host = field.is_none() && message.version >= Version::V11;
        message.host = host;

        // Body (RFC 9112 section 6.3).
        let transfer = message.header(Known::TransferEncoding);
        let chunked = transfer.is_some_and(|value| contains_fold(value, b"chunked"));
        let length = message.header(Known::ContentLength).map(lenient_number);
        let bad_transfer = transfer.is_some() && (!chunked || message.version < Version::V11);
        let junk = message.header(Known::ContentLength).map_or([false; 2], super::text::junk_around_number);
        let bad_length = length == Some(None) && !chunked;
        let auth_unrecognised = message.header(Known::Authorization).is_some_and(|value| {
            ![&b"basic"[..], b"digest", b"bearer"]
                .iter()
                .any(|scheme| value.get(..scheme.len()).is_some_and(|v| v.eq_ignore_ascii_case(scheme)))
        });
        let method = message.first();
        let connect = method == b"CONNECT";
        let files = method == b"POST" || method == b"PUT";
        let multipart = if files { message.header(Known::ContentType).and_then(boundary) } else { None };
        message.multipart = multipart.map(|boundary| Multipart::new(&boundary));
        let encoding = message.header(Known::ContentEncoding).map(<[u8]>::to_vec);
        let coding = message.body.begin(
            config.http_body_limits[0],
            config.inflate_limit,
            config.inflate_layers,
            encoding.as_deref(),
        );
        if config.file_digests {
            message.body.with_digests();
        }
        self.events(0, index, &[
            (oddities.missing_colon, Event::RequestFieldMissingColon),
            (oddities.space_after_name, Event::RequestSpaceAfterName),
            (junk[0], Event::LengthBeginsWithJunk),
            (junk[1], Event::LengthEndsWithJunk),
            (oddities.folding, Event::InvalidRequestFolding),
            (oddities.repetition, Event::RequestHeaderRepetition),
            (oddities.too_many, Event::RequestTooManyHeaders),
            (oddities.ambiguous_length, Event::DuplicateRequestContentLength),
            (missing_host, Event::MissingHost),
            (ambiguous, Event::HostAmbiguous),
            (bad_field, Event::HeaderHostInvalid),
            (bad_transfer, Event::InvalidRequestTransferEncoding),
            (bad_length, Event::InvalidRequestContentLength),
            (auth_unrecognised, Event::AuthUnrecognized),
            (coding.too_many, Event::TooManyEncodings),
            (coding.abnormal, Event::AbnormalContentEncoding),
        ]);
        self.advance(0, index, HEADERS);
        if connect {
            // What follows is a tunnel if the response allows it.
            self.complete(0);
            self.sides[0].at = At::Wait;
            return;
        }
        match (chunked, length.flatten()) {
            (true, _) => self.sides[0].at = At::ChunkSize,
            (false, Some(n)) if n > 0 => self.sides[0].at = At::Length(n),
            _ => self.ends(0),
        }
    }
}
