//! Buffers of HTTP/1.
//!
//! For each buffer the table below says which bytes of a content are certain to stand on the wire next to one another,
//! and which guards fire where they do not. The joints are those of the engine's parser:
//!
//! | buffer | what the parser does | so a fragment |
//! |---|---|---|
//! | `http.uri` | decodes `%HH` and `%uHHHH` once; in the path `\` becomes `/`, runs of `/` become one, dot segments go; authority and `#…` are cut off | lies between such places: any byte may be escaped (guard: escape of a byte of the escape set, which holds the bytes of all chosen fragments; `%u`); `/` only with guards for `//`, `/.`, `\` |
//! | `http.uri.raw`, `http.request_line`, `http.response_line` | trims | is verbatim; a line's inner white space too |
//! | header values | trims, unfolds, joins repeated fields with `, ` | holds no `,` and does not begin with a space; guard: folding |
//! | `http.header`, `http.start`, `http.request_header` … | rebuilds `Name: value` lines | never crosses `:` + space, CR, LF; else as values |
//! | `http.header_names` | CR LF between names | lies in one name |
//! | `http.host` | lower case, port cut | as value, without case |
//! | bodies, `file.data` | undo chunks, content codings, parts of a multipart body | is verbatim unless a coding is announced: guards are the literals `Transfer-Encoding` and `Content-Encoding` of that direction |
//!
//! Messages of HTTP/2 are compressed: every rule on HTTP also gets a record for all frames of class HTTP/2. A flow that
//! changes protocol (CONNECT, `Upgrade`) is diverted by literal guards (see [`super::upgrade`]).

use super::class::{Class, Condition, Fragment, Trigger};
use super::cost::{self, Traffic};
use super::{Builder, Choice, base, chain, payload};
use weir_contract::enums::DirectionMask;
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;
use weir_contract::protocol::AppProtocol;
use weir_ir::{Buffer, BufferMatch, Rule};

/// How a buffer's bytes come from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Normalised request target.
    Uri,
    /// Verbatim.
    Raw,
    /// Value of one header field.
    Value,
    /// Rebuilt head.
    Head,
    /// Names of the fields.
    Names,
    /// Message body.
    Body,
}

fn form(buffer: Buffer) -> Option<Form> {
    Some(match buffer {
        Buffer::HttpUri => Form::Uri,
        Buffer::HttpUriRaw
        | Buffer::HttpMethod
        | Buffer::HttpProtocol
        | Buffer::HttpRequestLine
        | Buffer::HttpResponseLine
        | Buffer::HttpStatusMessage => Form::Raw,
        Buffer::HttpCookie
        | Buffer::HttpUserAgent
        | Buffer::HttpHost
        | Buffer::HttpHostRaw
        | Buffer::HttpReferer
        | Buffer::HttpAccept
        | Buffer::HttpAcceptEncoding
        | Buffer::HttpAcceptLanguage
        | Buffer::HttpConnection
        | Buffer::HttpContentType
        | Buffer::HttpContentLength
        | Buffer::HttpLocation
        | Buffer::HttpServer => Form::Value,
        Buffer::HttpHeader
        | Buffer::HttpHeaderRaw
        | Buffer::HttpStart
        | Buffer::HttpRequestHeader
        | Buffer::HttpResponseHeader => Form::Head,
        Buffer::HttpHeaderNames => Form::Names,
        Buffer::HttpRequestBody | Buffer::HttpResponseBody | Buffer::FileData => Form::Body,
        _ => return None,
    })
}

/// Guards of a form for a window of bytes.
fn guards(form: Form, window: &[u8]) -> Vec<Guard> {
    match form {
        Form::Uri => {
            let mut out = vec![Guard::UriPercentEscape, Guard::UriPercentOdd];
            if window.contains(&b'/') {
                out.extend([Guard::UriDoubleSlash, Guard::UriDotSegment, Guard::UriBackslash]);
            }
            out
        }
        Form::Raw | Form::Names | Form::Body => Vec::new(),
        Form::Value | Form::Head => vec![Guard::HeaderFold],
    }
}

/// May the window be expected verbatim (with its guards)?
fn verbatim(form: Form, window: &[u8]) -> bool {
    match form {
        // A backslash of the path is a slash by then; in the query it may stand, but the two cannot be told apart.
        // Control bytes can only come from escapes (they end the line or are refused), white space ends the target.
        Form::Uri => !window.iter().any(|&b| matches!(b, b'\\' | b'#' | b'%') || b <= 0x20 || b >= 0x7f),
        Form::Raw => !window.iter().any(|&b| matches!(b, b'\r' | b'\n')),
        Form::Value => {
            !window.iter().any(|&b| matches!(b, b',' | b'\r' | b'\n' | b'\t')) && window.first() != Some(&b' ')
        }
        Form::Head => {
            // The joint is colon and space; a window that touches either side of it may meet other white space.
            !window.iter().any(|&b| matches!(b, b',' | b'\r' | b'\n' | b'\t' | b':')) && window.first() != Some(&b' ')
        }
        Form::Names => !window.iter().any(|&b| matches!(b, b'\r' | b'\n' | b':' | b' ' | b'\t')),
        Form::Body => true,
    }
}

/// How often honest clients escape a byte in a request target, relative to how often a rare fragment hits: the price
/// of putting the byte into the escape set.
fn escape_price(byte: u8) -> f64 {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => 0.0,
        b'*' | b'!' | b'\'' | b'(' | b')' | b'^' | b'`' => 1e-4,
        b'?' | b'&' | b'=' | b'@' | b'$' | b'+' | b';' => 4e-3,
        b'/' | b':' => 1e-2,
        _ => 2e-2,
    }
}

/// Literals that announce a coding of the body.
pub const CODINGS: [&[u8]; 2] = [b"nsfer-en", b"tent-enc"];

/// The best fragment of one HTTP buffer of the rule.
pub fn fragment(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    let form = form(run.buffer)?;
    if !run.transforms.is_empty() {
        return None;
    }
    let directions = base::buffer_directions(run.buffer) & base::flow_directions(rule);
    let directions = if directions == 0 { base::buffer_directions(run.buffer) } else { directions };
    // Host names are lower-cased by the engine, names of fields are compared as written.
    let keeps_case = builder.options.exact_case && run.buffer != Buffer::HttpHost;
    let traffic = match form {
        Form::Body => Traffic::body(directions),
        _ => Traffic::of(AppProtocol::Http, directions),
    };
    let mut best: Option<(Fragment, f64)> = None;
    for p in chain::place(&run.matches) {
        for (_, window) in payload::windows_of_runs(&p.content.bytes, keeps_case && !p.content.nocase, |w| verbatim(form, w)) {
            let mut price = builder.statistics.rate(traffic, &window);
            if form == Form::Uri {
                price += window.bytes().iter().map(|&b| escape_price(b)).fold(0.0, f64::max);
            }
            if best.as_ref().is_none_or(|b| price < b.1) {
                best = Some((window, price));
            }
        }
    }
    let (window, cost) = best?;
    let mut records = base::base_records(rule, builder.sets, directions);
    let classes = if run.buffer == Buffer::FileData { base::header_protocol(rule).map_or(u64::MAX, base::classes) } else {
        base::classes(AppProtocol::Http)
    };
    for record in &mut records {
        record.class_mask &= classes;
        record.transports &= base::transports_of(AppProtocol::Http);
    }
    let mut conditions: Vec<Condition> =
        records.iter().map(|&record| Condition { trigger: Trigger::Fragment(window), record }).collect();
    let mut percent = Vec::new();
    for guard in guards(form, window.bytes()) {
        if !builder.options.guard(guard) {
            continue;
        }
        if form == Form::Uri {
            percent = escapes(&window);
        }
        conditions.extend(records.iter().map(|&r| Condition {
            trigger: Trigger::Guard(guard as u8),
            record: http1(r),
        }));
    }
    let mut class = if guards(form, window.bytes()).is_empty() { Class::Literal } else { Class::Guarded };
    if form == Form::Body {
        class = Class::Guarded;
        conditions.extend(codings(&records, builder));
    }
    let narrowing = records.iter().map(|r| cost::narrowing(r, builder.sets)).sum::<f64>();
    Some(Choice {
        class,
        reason: format!("\"{}\" of {}", window.display(), run.buffer.name()),
        conditions,
        percent,
        equals: Vec::new(),
        cost: cost * narrowing,
    })
}

/// Both letter cases of the window's bytes can stand behind an escape; with a slash also those that vanish in paths.
fn escapes(window: &Fragment) -> Vec<u8> {
    let mut out = Vec::new();
    for &b in window.bytes() {
        out.extend([b.to_ascii_lowercase(), b.to_ascii_uppercase()]);
    }
    if window.bytes().contains(&b'/') {
        out.extend(b"/\\.");
    }
    out
}

/// Guards of requests and bodies need no *unknown* class in the long run, but a flow not yet classified may be one.
fn http1(record: Record) -> Record {
    record
}

/// Literal guards for coded bodies.
fn codings(records: &[Record], builder: &Builder<'_>) -> Vec<Condition> {
    if !builder.options.coding_guards {
        return Vec::new();
    }
    CODINGS
        .iter()
        .filter_map(|bytes| Fragment::new(bytes, false))
        .flat_map(|f| records.iter().map(move |&record| Condition { trigger: Trigger::Fragment(f), record }))
        .collect()
}

/// Is this a buffer that HTTP fills?
pub fn is_http(buffer: Buffer) -> bool {
    form(buffer).is_some() || buffer.protocol() == Some(AppProtocol::Http)
}

/// Record for all frames of HTTP/2 flows that the rule could match in.
pub fn http2(rule: &Rule, builder: &mut Builder<'_>) -> Vec<Condition> {
    if !builder.options.http2 {
        return Vec::new();
    }
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    for record in &mut records {
        record.class_mask = base::class_bit(AppProtocol::Http2);
        record.directions = DirectionMask::ALL.0;
        record.payload_min = 1;
        *record = Record { source_ports: 0, destination_ports: 0, source_addresses: 0, destination_addresses: 0, ..*record };
    }
    records.dedup();
    records.into_iter().map(|record| Condition { trigger: Trigger::Frame, record }).collect()
}
