//! Buffers of HTTP/1.
//!
//! For each buffer the table below says which bytes of a content are certain to stand on the wire next to one another,
//! and which guards fire where they do not. The joints are those of the engine's parser:
//!
//! | buffer | what the parser does | so a fragment |
//! |---|---|---|
//! | `http.uri` | decodes `%HH` and `%uHHHH` once; in the path `\` becomes `/`, runs of `/` become one, UTF-8 becomes one byte per character by the best fit, dot segments go; authority and `#…` are cut off | lies between such places: any byte may be escaped (guard: escape of a byte of the escape set, which holds the bytes of all chosen fragments; `%u`) or be the best fit of another character (guards: byte above 0x7f, escape of their first bytes); `/` and `?` only with guards for `//`, `/.`, `\` (all by [`weir_contract::hidden`]) |
//! | `http.uri.raw`, `http.request_line`, `http.response_line` | trims | is verbatim; a line's inner white space too |
//! | header values | trims, unfolds (lines are joined by one byte of white space), joins repeated fields with `, ` | holds no `,` and does not begin with a space; guard, if it holds a space: folding |
//! | `http.header.raw` | nothing | is verbatim |
//! | `http.header`, `http.start`, `http.request_header` … | rebuilds `Name: value` lines | never crosses `:` + space, CR, LF; else as values. In requests also over these joints, see [`super::joint`] |
//! | `http.header_names` | CR LF between names | lies in one name |
//! | `http.host` | lower case, port cut; the authority of an absolute target comes first, `%HH` and `%uHHHH` decoded | as value, without case; guards: escapes as for `http.uri` |
//! | bodies, `file.data` | undo chunks, content codings, parts of a multipart body | is verbatim unless a coding is announced: guards are the literals `Transfer-Encoding` and `Content-Encoding` of that direction |
//!
//! Messages of HTTP/2 are compressed: every rule on HTTP also gets a record for all frames of class HTTP/2. A flow that
//! changes protocol (CONNECT, `Upgrade`) is diverted by literal guards (see [`super::upgrade`]).

use super::class::{Class, Condition, Fragment, LENGTHS, Trigger, usable};
use super::cost::{self, Traffic};
use super::{Builder, Choice, base, chain, joint, pattern, payload, special};
use weir_contract::enums::DirectionMask;
use weir_contract::facts::in_set;
use weir_contract::guards::Guard;
use weir_contract::hidden;
use weir_contract::layouts::Record;
use weir_contract::protocol::AppProtocol;
use weir_ir::{Buffer, BufferMatch, Comparison, Content, Match, Rule, Transform};

/// How a buffer's bytes come from the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Normalised request target.
    Uri,
    /// Verbatim.
    Raw,
    /// Value of one header field.
    Value,
    /// The head's fields as they came.
    RawHead,
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
        | Buffer::HttpStatusCode
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
        Buffer::HttpHeaderRaw => Form::RawHead,
        Buffer::HttpHeader
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
            let hiding = hidden::uri(window).guards;
            Guard::ALL.iter().copied().filter(|guard| hiding & guard.bit() != 0).collect()
        }
        Form::Raw | Form::RawHead | Form::Names | Form::Body => Vec::new(),
        // A line is joined to the one before it by its first white space: a window without a space lies in one line.
        Form::Value | Form::Head => if window.contains(&b' ') { vec![Guard::HeaderFold] } else { Vec::new() },
    }
}

/// What the guard for folding costs, by direction: in bodies of responses lines that begin with white space are common.
fn fold_price(form: Form, window: &[u8], directions: u8) -> f64 {
    let guarded = matches!(form, Form::Value | Form::Head) && window.contains(&b' ');
    match (guarded, directions & DirectionMask::TO_CLIENT.0 != 0) {
        (false, _) => 0.0,
        (true, true) => 0.05,
        (true, false) => 1e-4,
    }
}

/// May the window be expected verbatim (with its guards)?
fn verbatim(form: Form, window: &[u8]) -> bool {
    match form {
        // A backslash of the path is a slash by then; in the query it may stand, but the two cannot be told apart.
        // Control bytes can only come from escapes (they end the line or are refused); white space ends the target, or is
        // within it ([`joint::space_of_target`]).
        Form::Uri => !window.iter().any(|&b| matches!(b, b'\\' | b'#' | b'%') || b <= 0x20 || b >= 0x7f),
        Form::Raw => !window.iter().any(|&b| matches!(b, b'\r' | b'\n')),
        Form::Value => {
            !window.iter().any(|&b| matches!(b, b',' | b'\r' | b'\n' | b'\t')) && window.first() != Some(&b' ')
        }
        Form::Head => {
            // The joint is colon and space; a window that touches either side of it may meet other white space. A colon
            // with another byte behind it is not the joint.
            !window.iter().any(|&b| matches!(b, b',' | b'\r' | b'\n' | b'\t'))
                && window.first() != Some(&b' ')
                && window.last() != Some(&b':')
                && !window.windows(2).any(|w| w == b": ")
        }
        Form::Names => !window.iter().any(|&b| matches!(b, b'\r' | b'\n' | b':' | b' ' | b'\t')),
        Form::Body | Form::RawHead => true,
    }
}

/// How often honest clients escape a byte in a request target, relative to how often a rare fragment hits: the price
/// of putting the byte into the escape set.
fn escape_price(byte: u8) -> f64 {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => 0.0,
        b'*' | b'!' | b'\'' | b'(' | b')' | b'^' | b'`' => 1e-4,
        b'&' | b'=' | b'@' | b'$' | b'+' | b';' => 4e-3,
        b'/' | b':' => 1e-2,
        _ => 2e-2,
    }
}

/// Codings that count although the name of their field is broken.
pub const BROKEN_CODINGS: [&[u8]; 3] = [b"chunked", b"deflate", b"gzip"];

/// Literals that announce a coding of the body.
/// (A response's field may have NULs in its name if one of [`BROKEN_CODINGS`] is its value.)
pub const CODINGS: [&[u8]; 2] = [b"nsfer-en", b"tent-enc"];

/// What one buffer offers: windows of which one must occur, with the guards they need.
pub struct Offer {
    /// One of these must occur, or one of the guards fire.
    pub windows: Vec<Fragment>,
    /// Guards.
    pub guards: Vec<Guard>,
    /// Escapes to arm.
    pub percent: Vec<u8>,
    /// Expected share of frames.
    pub price: f64,
    /// For people.
    pub shown: String,
}

/// What three bytes with any neighbour cost more than their rate: they take 256 entries of a table.
const NEIGHBOURS: f64 = 10.0;

/// The best fragment of one HTTP buffer of the rule.
pub fn fragment(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    let form = form(run.buffer)?;
    let dot_prefix = match run.transforms.as_slice() {
        [] => false,
        [Transform::DotPrefix] => true,
        _ => return None,
    };
    let directions = base::buffer_directions(run.buffer) & base::flow_directions(rule);
    let directions = if directions == 0 { base::buffer_directions(run.buffer) } else { directions };
    let mut offer = best_offer(form, run, dot_prefix, directions, has_head(rule), builder)?;
    if run.buffer == Buffer::HttpHost {
        // The authority of the target is decoded.
        offer.guards.extend([Guard::UriPercentEscape, Guard::UriPercentOdd]);
        for p in chain::place(&run.matches) {
            offer.percent.extend(p.content.bytes.iter().flat_map(|b| [b.to_ascii_lowercase(), b.to_ascii_uppercase()]));
        }
    }
    let mut records = base::base_records(rule, builder.sets, directions);
    for record in &mut records {
        record.class_mask &= base::classes(AppProtocol::Http);
        record.transports &= base::transports_of(AppProtocol::Http);
    }
    let mut conditions: Vec<Condition> = records
        .iter()
        .flat_map(|&record| offer.windows.iter().map(move |&w| Condition { trigger: Trigger::Fragment(w), record }))
        .collect();
    for &guard in offer.guards.iter().filter(|g| builder.options.guard(**g)) {
        conditions.extend(records.iter().map(|&record| Condition { trigger: Trigger::Guard(guard as u8), record }));
    }
    if form == Form::Body {
        conditions.extend(codings(&records, builder));
    }
    let class = match (offer.guards.is_empty() && form != Form::Body, offer.windows.len()) {
        (false, _) => Class::Guarded,
        (true, 1) => Class::Literal,
        (true, _) => Class::Transformed,
    };
    let narrowing = records.iter().map(|r| cost::narrowing(r, builder.sets)).sum::<f64>();
    Some(Choice {
        class,
        reason: format!("\"{}\" of {}", offer.shown, run.buffer.name()),
        conditions,
        percent: offer.percent,
        equals: Vec::new(),
        cost: offer.price * narrowing,
    })
}

/// The rule matches in responses with a head only, whose body begins behind the end of a line.
fn has_head(rule: &Rule) -> bool {
    rule.buffers.iter().any(|run| {
        matches!(run.buffer, Buffer::HttpStatusCode | Buffer::HttpStatusMessage | Buffer::HttpResponseLine)
            && run.matches.iter().any(|m| matches!(m, Match::Content(c) if !c.negated))
    })
}

fn best_offer(
    form: Form,
    run: &BufferMatch,
    dot_prefix: bool,
    directions: u8,
    headed: bool,
    builder: &Builder<'_>,
) -> Option<Offer> {
    // Host names are lower-cased by the engine; everything else is compared as written.
    let keeps_case = builder.options.exact_case && run.buffer != Buffer::HttpHost;
    let traffic = match form {
        Form::Body => Traffic::body(directions),
        _ => Traffic::of(AppProtocol::Http, directions),
    };
    let rate = |w: &Fragment| builder.statistics.rate(traffic, w);
    let mut best: Option<Offer> = None;
    // What hides a window is asked for only where its price is worth it.
    let cheaper = |best: &Option<Offer>, price: f64| best.as_ref().is_none_or(|b| price < b.price);
    let placed = chain::place(&run.matches);
    for p in &placed {
        let exact = keeps_case && !p.content.nocase;
        let text = wire_text(p.content, dot_prefix);
        for (_, window) in payload::windows_of_runs(text, exact, |w| verbatim(form, w)) {
            let price = rate(&window) + escape_cost(form, &window) + fold_price(form, window.bytes(), directions);
            if cheaper(&best, price) {
                best = Some(offer(form, vec![window], price));
            }
        }
        for (window, guards) in with_context(form, run, p, exact, directions) {
            let price = rate(&window);
            if cheaper(&best, price) {
                best = Some(Offer { guards, percent: Vec::new(), price, shown: window.display(), windows: vec![window] });
            }
        }
        for mut special in at_joints(form, run, p, exact, directions) {
            special.price += special.windows.iter().map(rate).fold(0.0, f64::max);
            if cheaper(&best, special.price) {
                best = Some(special);
            }
        }
    }
    if best.as_ref().is_some_and(|best| best.price < payload::GOOD) {
        return best;
    }
    if run.transforms.is_empty() {
        if form == Form::Uri {
            for windows in pattern::alternatives(run, |w| verbatim(form, w)) {
                let escapes = windows.iter().map(|w| escape_cost(form, w)).fold(0.0, f64::max);
                let price = windows.iter().map(rate).fold(0.0, f64::max) + escapes;
                if cheaper(&best, price) {
                    best = Some(offer(form, windows, price));
                }
            }
        }
        for r in pattern::runs(run) {
            for windows in pattern::windows(&r, false, |w| verbatim(form, w)) {
                // Of two sets that are expected in every frame, the smaller one.
                let price = windows.iter().map(rate).sum::<f64>().min(1.0) + windows.len() as f64 * 1e-6;
                let escapes = windows.iter().map(|w| escape_cost(form, w)).fold(0.0, f64::max);
                let folds = windows.iter().map(|w| fold_price(form, w.bytes(), directions)).fold(0.0, f64::max);
                let price = price + escapes + folds;
                if cheaper(&best, price) {
                    best = Some(offer(form, windows, price));
                }
            }
        }
    }
    for p in &placed {
        let exact = keeps_case && !p.content.nocase;
        let text = wire_text(p.content, dot_prefix);
        // Runs of one byte, and contents of three bytes with any neighbour: every byte of a message but a method's
        // first has one before it, and a method is followed by white space.
        let ones = text.get(..usable(text.len())).filter(|w| verbatim(form, w) && payload::periodic(w));
        if let Some(window) = ones.and_then(|w| Fragment::new(w, exact)) {
            let price = 0.01 + escape_cost(form, &window);
            if cheaper(&best, price) {
                best = Some(offer(form, vec![window], price));
            }
        }
        for three in text.windows(3).filter(|w| verbatim(form, w)) {
            let windows = payload::with_neighbour(three, exact, run.buffer == Buffer::HttpMethod);
            let behind_head = form == Form::Body && headed && p.range.is_fixed() && p.range.low == 0 && text.starts_with(three);
            let windows: Vec<Fragment> = if behind_head {
                let ends = [b'\n', b'\r'].map(|end| [&[end], three].concat());
                ends.iter().filter_map(|w| Fragment::masked(w, |i| exact && i > 0)).collect()
            } else {
                windows
            };
            let price = builder.statistics.rate_of_run(traffic, three).max(1e-4) * if behind_head { 0.1 } else { NEIGHBOURS };
            let escapes = windows.first().map_or(0.0, |w| escape_cost(form, w));
            let price = price + escapes + fold_price(form, three, directions);
            if cheaper(&best, price) {
                let place = if behind_head { "at the beginning" } else { "and any neighbour" };
                best = Some(Offer {
                    percent: if form == Form::Uri { escapes_of(three) } else { Vec::new() },
                    guards: guards(form, three),
                    shown: format!("{} {place}", super::class::printable(three)),
                    windows,
                    price,
                });
            }
        }
        for mut special in special::offers(form, run, p, directions, builder.options) {
            if special.windows.is_empty() {
                special.price = builder.statistics.guards(traffic, special.guards.iter().copied(), special.price);
            }
            special.price = special.windows.iter().map(rate).fold(special.price, f64::max);
            if cheaper(&best, special.price) {
                best = Some(special);
            }
        }
    }
    best
}

/// Any of the windows, with what hides each.
fn offer(form: Form, windows: Vec<Fragment>, price: f64) -> Offer {
    let shown = windows.first().map(|w| super::class::printable(w.bytes())).unwrap_or_default();
    let (mut all, mut percent) = (Vec::new(), Vec::new());
    for window in &windows {
        for guard in guards(form, window.bytes()) {
            if !all.contains(&guard) {
                all.push(guard);
            }
        }
        if form == Form::Uri {
            percent.extend(escapes_of(window.bytes()));
        }
    }
    percent.sort_unstable();
    percent.dedup();
    Offer { guards: all, percent, price, shown, windows }
}

/// The bytes of a content that are on the wire: without the dot that `dotprefix` puts before the buffer. (Where the
/// content's first dot is one of the buffer, leaving it out is as good.)
fn wire_text(content: &Content, dot_prefix: bool) -> &[u8] {
    if dot_prefix { content.bytes.strip_prefix(b".").unwrap_or(&content.bytes) } else { &content.bytes }
}

fn escape_cost(form: Form, window: &Fragment) -> f64 {
    if form == Form::Uri { window.bytes().iter().map(|&b| escape_price(b)).fold(0.0, f64::max) } else { 0.0 }
}

/// Name of the header field whose value the buffer is.
fn field(buffer: Buffer) -> Option<&'static [u8]> {
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

/// Windows that reach over the ends of a value or name, in requests: `Name: ` before a content that begins the value,
/// CR LF behind one that ends it. Guards: unusual white space around the value, line ends without CR, folding.
fn with_context(
    form: Form,
    run: &BufferMatch,
    p: &chain::Placed<'_>,
    exact: bool,
    directions: u8,
) -> Vec<(Fragment, Vec<Guard>)> {
    // In responses "name:value" lines are common in bodies, and the guard would be dear.
    if directions != DirectionMask::TO_SERVER.0 || !run.transforms.is_empty() {
        return Vec::new();
    }
    let spaces = vec![Guard::HeaderSpaceOdd, Guard::HeaderFold, Guard::LineEndOdd];
    let bytes: &[u8] = &p.content.bytes;
    let (before, core, behind): (Vec<u8>, &[u8], &[u8]) = match (form, field(run.buffer)) {
        (Form::Value, Some(name)) => {
            let whole = run.matches.iter().any(|m| matches!(m, Match::Size(Comparison::Equal(n)) if *n == bytes.len() as u64));
            let starts = whole || (p.range.is_fixed() && p.range.low == 0);
            let ends = whole || p.content.anchor.end;
            if !verbatim_core(bytes, ends) {
                return Vec::new();
            }
            let mut before = Vec::new();
            if starts {
                before.extend_from_slice(name);
                before.extend_from_slice(b": ");
            }
            (before, bytes, if ends { b"\r\n" } else { b"" })
        }
        (Form::Names, _) => {
            // CR LF, name, CR LF: a whole name.
            let starts = bytes.starts_with(b"\r\n");
            let text = bytes.strip_prefix(b"\r\n").unwrap_or(bytes);
            let name = text.split(|&c| c == b'\r').next().unwrap_or_default();
            // Behind white space a name may end otherwise without a guard: only from its beginning is it known to have none.
            if !starts || name.is_empty() || name.len() == text.len() || !verbatim(Form::Names, name) {
                return Vec::new();
            }
            (b"\r\n".to_vec(), name, b": ")
        }
        _ => return Vec::new(),
    };
    if before.is_empty() && behind.is_empty() {
        return Vec::new();
    }
    let mut wire = before.clone();
    wire.extend_from_slice(core);
    wire.extend_from_slice(behind);
    let own = before.len()..before.len() + core.len();
    let length = usable(wire.len());
    if length < 4 {
        return Vec::new();
    }
    (0..=wire.len() - length)
        // A window that holds all of a short content, or as much of it as fits.
        .filter(|&at| at < own.end && at + length > own.start)
        .filter_map(|at| {
            let window = wire.get(at..at + length)?;
            Some((Fragment::masked(window, |i| exact && own.contains(&(at + i)))?, spaces.clone()))
        })
        .filter(|(w, _)| !payload::periodic(w.bytes()))
        .collect()
}

/// Offers at the joints of lines and targets ([`joint`]); their prices are without the windows.
fn at_joints(form: Form, run: &BufferMatch, p: &chain::Placed<'_>, exact: bool, directions: u8) -> Vec<Offer> {
    if !run.transforms.is_empty() {
        return Vec::new();
    }
    let bytes: &[u8] = &p.content.bytes;
    if directions != DirectionMask::TO_SERVER.0 {
        // Of guards for what is rare in heads, bodies of responses are full.
        let spaces = match form {
            Form::Head | Form::Value => joint::space_of_value(bytes, exact),
            _ => Vec::new(),
        };
        let shown = |windows: &[Fragment]| windows.first().map(Fragment::display).unwrap_or_default();
        let offer =
            |windows: Vec<Fragment>| Offer { shown: shown(&windows), windows, guards: Vec::new(), percent: Vec::new(), price: 0.0 };
        return spaces.into_iter().map(offer).collect();
    }
    let whole = run.matches.iter().any(|m| matches!(m, Match::Size(Comparison::Equal(n)) if *n == bytes.len() as u64));
    let ends = whole || p.content.anchor.end;
    let offer = |windows: Vec<Fragment>, guards: Vec<Guard>, percent: Vec<u8>, price: f64| {
        let shown = windows.first().map(Fragment::display).unwrap_or_default();
        Offer { shown, windows, guards, percent, price }
    };
    let mut out = Vec::new();
    match form {
        Form::Head => {
            out.extend(joint::of_head(bytes, exact).into_iter().map(|(windows, guards)| {
                let price = 1e-4 * guards.len() as f64;
                offer(windows, guards, Vec::new(), price)
            }));
        }
        Form::Value if run.buffer == Buffer::HttpHost && ends => {
            out.extend(joint::host_end(bytes).map(|windows| offer(windows, vec![Guard::HeaderFold], Vec::new(), 1e-4)));
        }
        Form::Value if field(run.buffer).is_some() => out.extend(within_value(bytes, exact).map(|windows| {
            let guards = guards(form, bytes.get(..7).unwrap_or(bytes));
            offer(windows, guards, Vec::new(), 1e-2)
        })),
        Form::Uri => {
            if ends {
                let three = bytes.get(bytes.len().saturating_sub(3)..).filter(|w| verbatim(form, w));
                out.extend(three.and_then(|three| Some((three, joint::target_end(three, exact)?))).map(|(three, windows)| {
                    let mut guards = guards(form, three);
                    guards.push(Guard::UriDotSegment);
                    let price = three.iter().map(|&b| escape_price(b)).fold(0.0, f64::max);
                    offer(windows, guards, escapes_of(three), price)
                }));
            }
            out.extend(joint::space_of_target(bytes, exact).map(|(windows, beside)| {
                // Escapes of ASCII are among the windows, but for the bytes beside a space that is none; what best fit makes of
                // other characters is not.
                let beside = escapes_of(&beside);
                let escapes =
                    escapes_of(bytes).into_iter().filter(|byte| !byte.is_ascii() || beside.contains(byte)).collect();
                offer(windows, vec![Guard::UriPercentEscape, Guard::UriPercentOdd, Guard::UriHighByte], escapes, 1e-4)
            }));
        }
        _ => {}
    }
    out
}

/// The beginning of a content within the value of a known field, and the byte before it: no line feed, for the field's name
/// stands before the value. Worth it where the content is the name itself.
fn within_value(bytes: &[u8], exact: bool) -> Option<Vec<Fragment>> {
    let start = bytes.get(..LENGTHS.last()?.checked_sub(1)?).filter(|w| verbatim(Form::Value, w))?;
    let befores = (0..=255u8).filter(|b| *b != b'\n' && !b.is_ascii_uppercase());
    befores.map(|before| Fragment::masked(&[&[before], start].concat(), |i| exact && i > 0)).collect()
}

/// A value, or the part of one up to its end (`ends`), that neither joining nor trimming could have made.
fn verbatim_core(bytes: &[u8], ends: bool) -> bool {
    !bytes.iter().any(|&b| matches!(b, b',' | b'\r' | b'\n' | b'\t'))
        && bytes.first() != Some(&b' ')
        && !(ends && bytes.last() == Some(&b' '))
        && !bytes.is_empty()
}

/// What an escape may stand for if the window is to come of it: its bytes in both cases, first bytes of characters that fit
/// one of them, and what is removed beside them (the contract's set).
pub fn escapes_of(window: &[u8]) -> Vec<u8> {
    let set = hidden::uri(window).escapes;
    (0..=255).filter(|&byte| in_set(&set, byte)).collect()
}

/// Literal guards for coded bodies.
pub fn codings(records: &[Record], builder: &Builder<'_>) -> Vec<Condition> {
    if !builder.options.coding_guards {
        return Vec::new();
    }
    let named = CODINGS
        .iter()
        .filter_map(|bytes| Fragment::new(bytes, false))
        .flat_map(|f| records.iter().map(move |&record| Condition { trigger: Trigger::Fragment(f), record }));
    let responses = records
        .iter()
        .map(|&record| Record { directions: record.directions & DirectionMask::TO_CLIENT.0, ..record })
        .filter(|record| record.directions != 0);
    let responses: Vec<Record> = responses.collect();
    let broken = BROKEN_CODINGS
        .iter()
        .filter_map(|bytes| Fragment::new(bytes, false))
        .flat_map(|f| responses.iter().map(move |&record| Condition { trigger: Trigger::Fragment(f), record }));
    named.chain(broken).collect()
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
