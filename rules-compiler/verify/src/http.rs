//! Buffers of HTTP/1: which bytes of a content are certain to be on the wire, and what can hide them.
//!
//! Joints of lines and targets are in [`crate::joint`]. What normalisation of the request target can hide is the contract's ([`weir_contract::hidden`], tested against the
//! engine's own normaliser); heads hide by folding lines, bodies by codings that are announced, HTTP/2 always.

use crate::aspect::{Also, Aspect, Witness, escape_set, families, neighbours, windows};
use crate::expression;
use crate::joint::joints;
use crate::need::{BOTH, Frame, Need, bit, carried_by, header_protocol, dotted, needs, read_by, sides_of};
use crate::place::{Cell, Placed, Strip, contents};
use crate::prove::{Tables, Unit, Window};
use weir_contract::enums::DirectionMask;
use weir_contract::facts;
use weir_contract::guards::Guard;
use weir_contract::hidden;
use weir_contract::layouts::GuardParameters;
use weir_contract::protocol::AppProtocol as P;
use weir_ir::{Buffer, BufferMatch, Comparison, Match, Rule};

/// How a buffer comes from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Normalised target.
    Target,
    /// As it came.
    Raw,
    /// Value of a field.
    Value,
    /// The head's lines as they came.
    Lines,
    /// Lines put together anew.
    Head,
    /// Names of the fields.
    Names,
    /// A message's body.
    Body,
}

fn form(buffer: Buffer) -> Option<Form> {
    use Buffer as B;
    Some(match buffer {
        B::HttpUri => Form::Target,
        B::HttpUriRaw
        | B::HttpMethod
        | B::HttpProtocol
        | B::HttpRequestLine
        | B::HttpResponseLine
        | B::HttpStatusCode
        | B::HttpStatusMessage => Form::Raw,
        B::HttpCookie
        | B::HttpUserAgent
        | B::HttpHost
        | B::HttpHostRaw
        | B::HttpReferer
        | B::HttpAccept
        | B::HttpAcceptEncoding
        | B::HttpAcceptLanguage
        | B::HttpConnection
        | B::HttpContentType
        | B::HttpContentLength
        | B::HttpLocation
        | B::HttpServer => Form::Value,
        B::HttpHeaderRaw => Form::Lines,
        B::HttpHeader | B::HttpStart | B::HttpRequestHeader | B::HttpResponseHeader => Form::Head,
        B::HttpHeaderNames => Form::Names,
        B::HttpRequestBody | B::HttpResponseBody | B::FileData => Form::Body,
        _ => return None,
    })
}

/// The buffer is one of HTTP's.
pub fn is_http(buffer: Buffer) -> bool {
    form(buffer).is_some() || buffer.protocol() == Some(P::Http)
}

/// The rule matches in HTTP only.
pub fn only_http(rule: &Rule) -> bool {
    matches!(header_protocol(rule), Some(P::Http | P::Http1 | P::Http2 | P::Doh2))
        || rule.buffers.iter().any(|run| run.buffer != Buffer::FileData && is_http(run.buffer))
}

/// The bytes are on the wire as the buffer shows them, unless one of the form's guards fires.
pub fn certain(form: Form, bytes: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| bytes.iter().any(test);
    match form {
        // Separators, fragments, escapes, white space and control bytes come from normalisation, or end the target (spaces may stand in it).
        Form::Target => !has(|b| matches!(b, b'\\' | b'#' | b'%') || *b <= b' ' || *b >= 0x7f),
        Form::Raw => !has(|b| matches!(b, b'\r' | b'\n')),
        // Repeated fields are joined by a comma and a space.
        Form::Value => !has(|b| matches!(b, b',' | b'\r' | b'\n' | b'\t')) && bytes.first() != Some(&b' '),
        // Name and value are joined by a colon and a space.
        Form::Head => {
            !has(|b| matches!(b, b',' | b'\r' | b'\n' | b'\t'))
                && bytes.first() != Some(&b' ')
                && bytes.last() != Some(&b':')
                && !bytes.windows(2).any(|w| w == b": ")
        }
        Form::Names => !has(|b| matches!(b, b'\r' | b'\n' | b':' | b' ' | b'\t')),
        Form::Body | Form::Lines => true,
    }
}

/// Guards and escapes of bytes in this form.
pub fn hiding(form: Form, buffer: Buffer, bytes: &[u8]) -> (u64, [u64; 4]) {
    // A line is joined to the one before it by its own first byte, a space or tab: what has neither lies in one line.
    let fold = if bytes.iter().any(|b| matches!(b, b' ' | b'\t')) { Guard::HeaderFold.bit() } else { 0 };
    match form {
        Form::Target => {
            let hiding = hidden::uri(bytes);
            (hiding.guards, hiding.escapes)
        }
        // The authority of the target is decoded.
        Form::Value if buffer == Buffer::HttpHost => {
            let both = bytes.iter().flat_map(|b| [b.to_ascii_lowercase(), b.to_ascii_uppercase()]);
            (fold | Guard::UriPercentEscape.bit() | Guard::UriPercentOdd.bit(), escape_set(both))
        }
        Form::Value | Form::Head => (fold, [0; 4]),
        Form::Raw | Form::Lines | Form::Names | Form::Body => (0, [0; 4]),
    }
}

fn witness(form: Form, buffer: Buffer, windows: Vec<Window>) -> Witness {
    let (mut guards, mut escapes) = (0, [0; 4]);
    for w in &windows {
        let (g, e) = hiding(form, buffer, w.bytes());
        guards |= g;
        escapes.iter_mut().zip(e).for_each(|(all, e)| *all |= e);
    }
    Witness { windows, guards, escapes, anchored: false }
}

/// The aspect "this is in a message of HTTP".
pub fn aspect(rule: &Rule, run: &BufferMatch, tables: &mut Tables<'_>, deep: bool) -> Option<Aspect> {
    let form = form(run.buffer)?;
    let dotted = dotted(run)?;
    let directions = sides_of(rule, run.buffer);
    let mut aspect = Aspect { what: run.buffer.name().to_owned(), ..Aspect::default() };
    for need in needs(rule, tables.bits, &mut tables.lists, Frame::Carrying, directions) {
        let mut need = crate::message(need);
        need.transport &= carried_by(P::Http);
        need.payload.0 = 1;
        need.classes &= read_by(P::Http) | 1;
        if need.transport != 0 {
            aspect.needs.push((need, Unit::Message));
        }
    }
    aspect.also = http2(&aspect.needs);
    if form == Form::Body {
        aspect.also.extend(codings(&aspect.needs));
    }
    let folded = run.buffer == Buffer::HttpHost;
    for p in contents(&run.matches) {
        let strip = p.strip(folded);
        let strip = if dotted && p.content.bytes.first() == Some(&b'.') {
            Strip { cells: strip.cells.get(1..).unwrap_or_default().to_vec(), ..strip }
        } else {
            strip
        };
        for w in windows(&strip, false).filter(|w| certain(form, w.bytes()) && tables.found(w)) {
            aspect.witnesses.push(witness(form, run.buffer, vec![w]));
        }
        if !dotted {
            for w in with_ends(form, run, &p, directions, folded).into_iter().filter(|w| tables.found(w)) {
                let mut all = witness(form, run.buffer, vec![w]);
                all.guards |= Guard::HeaderSpaceOdd.bit() | Guard::HeaderFold.bit() | Guard::LineEndOdd.bit();
                aspect.witnesses.push(all);
            }
        }
        if deep && run.transforms.is_empty() {
            aspect.witnesses.extend(joints(form, run, &p, directions));
        }
        if deep {
            for three in strip.cells.windows(3) {
                let bytes: Vec<u8> = three.iter().map(|c| c.byte).collect();
                if certain(form, &bytes) {
                    // Every byte of a message has one before it, but for a method's first, which has one behind.
                    let mut all = witness(form, run.buffer, Vec::new());
                    (all.guards, all.escapes) = hiding(form, run.buffer, &bytes);
                    all.windows = neighbours(three, run.buffer == Buffer::HttpMethod, None);
                    aspect.witnesses.push(all);
                }
            }
            if run.transforms.is_empty() {
                aspect.witnesses.extend(special(form, run, &p, directions, headed(rule)));
            }
        }
    }
    if deep && run.transforms.is_empty() {
        for windows in families(run, |bytes| certain(form, bytes)) {
            aspect.witnesses.push(witness(form, run.buffer, windows));
        }
        aspect.witnesses.extend(alternatives(form, run, tables));
    }
    Some(aspect)
}

/// Expressions with alternatives: for each of them a window of its own, or three bytes with what can stand before them.
fn alternatives(form: Form, run: &BufferMatch, tables: &Tables<'_>) -> Vec<Witness> {
    // Each way's choices beyond these are not tried.
    const CHOICES_MAX: usize = 6;
    let mut out = Vec::new();
    for ways in expression::alternatives(run) {
        let mut all: Vec<Witness> = vec![Witness::default()];
        for runs in &ways {
            let mut choices: Vec<Witness> = Vec::new();
            let mut add = |w: Witness| {
                if choices.len() < CHOICES_MAX && w.windows.iter().all(|w| tables.found(w)) {
                    choices.push(w);
                }
            };
            for r in runs {
                for forms in expression::windows(r, 256, |bytes| certain(form, bytes)) {
                    let windows = forms.iter().filter_map(|cells| Window::new(cells, None)).collect();
                    add(witness(form, run.buffer, windows));
                }
                for forms in expression::windows_of(r, 3, 16, |bytes| certain(form, bytes)) {
                    let mut three = Witness::default();
                    for cells in &forms {
                        let bytes: Vec<u8> = cells.iter().map(|c| c.byte).collect();
                        let (guards, escapes) = hiding(form, run.buffer, &bytes);
                        three.windows.extend(neighbours(cells, false, None));
                        three.guards |= guards;
                        three.escapes.iter_mut().zip(escapes).for_each(|(all, e)| *all |= e);
                    }
                    add(three);
                }
            }
            let with = |a: &Witness, b: &Witness| {
                let mut both = a.clone();
                both.windows.extend(&b.windows);
                both.guards |= b.guards;
                both.escapes.iter_mut().zip(b.escapes).for_each(|(all, e)| *all |= e);
                both
            };
            all = all.iter().flat_map(|a| choices.iter().map(move |b| with(a, b))).take(64).collect();
        }
        out.append(&mut all);
    }
    out
}

/// Frames of HTTP/2, whose messages are compressed.
pub fn http2(needs: &[(Need, Unit)]) -> Vec<Also> {
    let of = |(need, _): &(Need, Unit)| {
        Also::Frames(Need {
            classes: need.classes & bit(P::Http2),
            directions: BOTH,
            payload: (1, need.payload.1),
            ..*need
        })
    };
    needs.iter().map(of).collect()
}

/// Names of fields that announce a coding of a body; and, in responses, the codings, whose field may have NULs in its name.
pub fn codings(needs: &[(Need, Unit)]) -> Vec<Also> {
    let mut out = Vec::new();
    for (need, _) in needs {
        out.extend([&b"transfer-encoding"[..], b"content-encoding"].map(|word| Also::Word(word, *need)));
        let response = Need { directions: need.directions & DirectionMask::TO_CLIENT.0, ..*need };
        if response.directions != 0 {
            out.extend([&b"chunked"[..], b"deflate", b"gzip"].map(|word| Also::Word(word, response)));
        }
    }
    out
}

/// Name of the field that a buffer is the value of.
pub fn field(buffer: Buffer) -> Option<&'static [u8]> {
    Some(match buffer {
        Buffer::HttpCookie => b"Cookie",
        Buffer::HttpUserAgent => b"User-Agent",
        Buffer::HttpReferer => b"Referer",
        Buffer::HttpAccept => b"Accept",
        Buffer::HttpAcceptEncoding => b"Accept-Encoding",
        Buffer::HttpAcceptLanguage => b"Accept-Language",
        Buffer::HttpConnection => b"Connection",
        Buffer::HttpContentType => b"Content-Type",
        Buffer::HttpContentLength => b"Content-Length",
        _ => return None,
    })
}

fn loose_one(byte: u8) -> Cell {
    Cell { byte, exact: false }
}

fn loose(bytes: &[u8]) -> impl Iterator<Item = Cell> + '_ {
    bytes.iter().map(|&byte| Cell { byte, exact: false })
}

/// Windows over the ends of a value or name, in requests: what stands around them if nothing odd does.
fn with_ends(form: Form, run: &BufferMatch, p: &Placed<'_>, directions: u8, folded: bool) -> Vec<Window> {
    if directions != DirectionMask::TO_SERVER.0 {
        return Vec::new();
    }
    let bytes: &[u8] = &p.content.bytes;
    let own = p.strip(folded).cells;
    let mut cells: Vec<Cell> = Vec::new();
    let core = match (form, field(run.buffer)) {
        (Form::Value, Some(name)) => {
            let whole =
                run.matches.iter().any(|m| matches!(m, Match::Size(Comparison::Equal(n)) if *n == bytes.len() as u64));
            let ends = whole || p.content.anchor.end;
            let joined = bytes.iter().any(|b| matches!(b, b',' | b'\r' | b'\n' | b'\t'));
            if joined || bytes.first() == Some(&b' ') || ends && bytes.last() == Some(&b' ') || bytes.is_empty() {
                return Vec::new();
            }
            if whole || p.at_start() {
                cells.extend(loose(name).chain(loose(b": ")));
            }
            let from = cells.len();
            cells.extend(&own);
            let to = cells.len();
            if ends {
                cells.extend(loose(b"\r\n"));
            }
            from..to
        }
        (Form::Names, _) => {
            // CR LF, name, CR LF.
            let skip = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
            let text = bytes.get(skip..).unwrap_or_default();
            let Some(end) = text.iter().position(|b| *b == b'\r').filter(|end| *end > 0) else { return Vec::new() };
            let name = text.get(..end).unwrap_or_default();
            if !certain(Form::Names, name) {
                return Vec::new();
            }
            if skip != 0 {
                cells.extend(loose(b"\r\n"));
            }
            let from = cells.len();
            cells.extend(own.get(skip..skip + end).unwrap_or_default());
            let to = cells.len();
            cells.extend(loose(b": "));
            from..to
        }
        _ => return Vec::new(),
    };
    let mut out = Vec::new();
    for length in 4..=8 {
        for (at, window) in cells.windows(length).enumerate() {
            if at < core.end && at + length > core.start {
                out.extend(Window::new(window, None));
            }
        }
    }
    out
}

/// The rule also asks for the response's first line: there was a head, at whose end a body begins.
fn headed(rule: &Rule) -> bool {
    rule.buffers.iter().any(|run| {
        matches!(run.buffer, Buffer::HttpStatusCode | Buffer::HttpStatusMessage | Buffer::HttpResponseLine)
            && !run.matches.iter().any(|m| matches!(m, Match::Absent { .. }))
            && run.matches.iter().any(|m| matches!(m, Match::Content(c) if !c.negated))
    })
}

/// What is certain of short contents in one place only.
fn special(form: Form, run: &BufferMatch, p: &Placed<'_>, directions: u8, headed: bool) -> Vec<Witness> {
    let bytes: &[u8] = &p.content.bytes;
    let request = directions == DirectionMask::TO_SERVER.0;
    let mut out = Vec::new();
    let all_of = |texts: Vec<Vec<u8>>| -> Option<Vec<Window>> { texts.iter().map(|t| Window::folded(t)).collect() };
    match form {
        Form::Target => {
            // A line feed, or a % that begins no escape, is there only if an escape was.
            for byte in [b'\n', b'%'].into_iter().filter(|b| bytes.contains(b)) {
                let hiding = hidden::uri(&[byte]);
                out.push(Witness { guards: hiding.guards, escapes: hiding.escapes, ..Witness::default() });
            }
        }
        Form::Raw
            if run.buffer == Buffer::HttpStatusCode && bytes.len() == 3 && bytes.iter().all(u8::is_ascii_digit) =>
        {
            // White space before the code, and anything behind it.
            let texts = [b' ', b'\t', 0x0b, 0x0c, b'\r'].into_iter().flat_map(|before| {
                (0..=255u8)
                    .filter(|b| !b.is_ascii_uppercase())
                    .map(move |behind| [&[before][..], bytes, &[behind]].concat())
            });
            if let (Some(windows), true) = (all_of(texts.collect()), p.at_start()) {
                out.push(Witness { windows, ..Witness::default() });
            }
        }
        Form::Value if run.buffer == Buffer::HttpHost && p.at_start() => out.extend(host(bytes)),
        Form::Value if request => out.extend(joined(run.buffer, bytes)),
        Form::Body if p.at_start() && headed && bytes.len() >= 3 => {
            // The end of the head's last line.
            let own = p.strip(false).cells;
            for length in 3..=own.len().min(7) {
                let behind = |end: u8| [&[loose_one(end)], own.get(..length).unwrap_or_default()].concat();
                let windows = [b'\n', b'\r'].into_iter().filter_map(|end| Window::new(&behind(end), None)).collect();
                out.push(Witness { windows, ..Witness::default() });
            }
        }
        Form::Body if p.at_start() && request => {
            // The empty line before the body.
            let texts = [&b"\n\r\n"[..], b"\n\n"].map(|end| [end, bytes].concat());
            out.extend(prefixes(&texts).into_iter().map(|windows| Witness { windows, ..Witness::default() }));
        }
        _ => {}
    }
    if matches!(form, Form::Body | Form::Raw) {
        // Facts that the bytes raise whatever stands before them.
        let none = GuardParameters::ZERO;
        let always = (0..=255u8).fold(facts::TEXT, |all, before| {
            all & facts::payload_facts(facts::TEXT, &none, false, &[b'a', before], bytes)
        });
        let ones = (0..64).map(|g| 1u64 << g).filter(|g| always & g != 0);
        out.extend(ones.map(|guards| Witness { guards, ..Witness::default() }));
    }
    out
}

/// For each length the windows with which the texts begin.
fn prefixes(texts: &[Vec<u8>]) -> Vec<Vec<Window>> {
    let most = |text: &Vec<u8>| text.len().min(8);
    // Each text may be cut to a length of its own.
    let choices: Vec<Vec<Window>> =
        texts.iter().map(|t| (4..=most(t)).rev().filter_map(|n| Window::folded(t.get(..n)?)).collect()).collect();
    product(&choices)
}

/// One of each.
fn product(choices: &[Vec<Window>]) -> Vec<Vec<Window>> {
    let mut out: Vec<Vec<Window>> = vec![Vec::new()];
    for choice in choices {
        out = out.iter().flat_map(|some| choice.iter().map(move |w| [some.as_slice(), &[*w]].concat())).collect();
        if out.len() > 4096 {
            return Vec::new();
        }
    }
    out
}

/// The beginning of a host name: behind the field's name, or in the authority of an absolute target.
fn host(bytes: &[u8]) -> Vec<Witness> {
    let mut choices = Vec::new();
    for before in [&b"Host: "[..], b"//", b"@", b":"] {
        let wire = [before, bytes].concat();
        let ends: Vec<Vec<Window>> = (4..=8)
            .rev()
            .filter_map(|n| Some(vec![Window::folded(wire.get(wire.len().checked_sub(n)?..)?)?]))
            .chain((wire.len() == 3).then(|| neighbours(&loose(&wire).collect::<Vec<_>>(), false, None)))
            .collect();
        choices.push(ends);
    }
    let mut out: Vec<Vec<Window>> = vec![Vec::new()];
    for choice in &choices {
        out = out.iter().flat_map(|some| choice.iter().map(move |w| [some.as_slice(), w].concat())).collect();
    }
    let (guards, escapes) = hiding(Form::Value, Buffer::HttpHost, bytes);
    let guards = guards | Guard::HeaderSpaceOdd.bit() | Guard::HeaderFold.bit();
    out.into_iter().map(|windows| Witness { windows, guards, escapes, anchored: false }).collect()
}

/// A content with the joint of two fields: it stands in one field, or what is on one side of the joint does.
fn joined(buffer: Buffer, bytes: &[u8]) -> Vec<Witness> {
    let joints: Vec<usize> = bytes.windows(2).enumerate().filter(|(_, w)| *w == b", ").map(|(at, _)| at).collect();
    let (Some(name), [at]) = (field(buffer), joints.as_slice()) else { return Vec::new() };
    if bytes.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        return Vec::new();
    }
    let own: Vec<Vec<Window>> = if bytes.len() == 3 {
        vec![neighbours(&loose(bytes).collect::<Vec<_>>(), false, None)]
    } else {
        (4..=bytes.len().min(8)).filter_map(|n| Some(vec![Window::folded(bytes.get(..n)?)?])).collect()
    };
    let (left, right) = (bytes.get(..*at).unwrap_or_default(), bytes.get(at + 2..).unwrap_or_default());
    let wire = if right.is_empty() { [left, b"\r\n"].concat() } else { [name, b": ", right].concat() };
    let other: Vec<Window> =
        (4..=wire.len().min(8)).filter_map(|n| Window::folded(wire.get(wire.len() - n..)?)).collect();
    let guards = Guard::HeaderSpaceOdd.bit() | Guard::HeaderFold.bit() | Guard::LineEndOdd.bit();
    let with = |own: &Vec<Window>, other: &Window| Witness {
        windows: [own.as_slice(), &[*other]].concat(),
        guards,
        ..Witness::default()
    };
    own.iter().flat_map(|own| other.iter().map(move |o| with(own, o))).collect()
}
