//! Last resorts for short contents of HTTP buffers: forms and facts that hold in one place only.
//!
//! | where | what is certain |
//! |---|---|
//! | `http.uri`, content with a line feed | a line ends there, so the byte came from an escape: the escape guards alone |
//! | `http.uri`, content with `%` | an escape would have been decoded: the `%` came from `%25`, or begins no escape |
//! | `http.stat_code` | white space stands on both sides of the code |
//! | `http.host`, beginning | `Host: `, or `//`, `@` or `:` of an absolute target |
//! | `http.request_body`, `file.data` in requests, beginning | the empty line that ends the head, as CR LF or LF |
//! | header values with `, ` | it stands there, or joins two fields: then what follows begins a value, what precedes ends one |
//! | bodies, raw lines | facts that the content's own bytes raise (`%` without digits, `//`, control bytes …) |

use super::Options;
use super::chain::Placed;
use super::class::{Fragment, printable};
use super::http::{Form, Offer, escapes_of};
use super::payload;
use weir_contract::enums::DirectionMask;
use weir_contract::facts;
use weir_contract::guards::Guard;
use weir_contract::layouts::GuardParameters;
use weir_ir::{Buffer, BufferMatch};

/// Bytes that the engine takes as white space within a line.
const SPACES: [u8; 5] = [b' ', b'\t', 0x0b, 0x0c, b'\r'];

/// What can be offered for one content.
pub fn offers(form: Form, run: &BufferMatch, p: &Placed<'_>, directions: u8, options: &Options) -> Vec<Offer> {
    let bytes: &[u8] = &p.content.bytes;
    let starts = p.range.is_fixed() && p.range.low == 0;
    let request = directions == DirectionMask::TO_SERVER.0;
    let mut out = Vec::new();
    if !run.transforms.is_empty() {
        return out;
    }
    match form {
        Form::Uri => out.extend(uri(bytes)),
        Form::Raw if run.buffer == Buffer::HttpStatusCode => out.extend(status(bytes, p)),
        Form::Value if run.buffer == Buffer::HttpHost && starts => out.extend(host(bytes)),
        Form::Value if request => out.extend(joined(bytes, run.buffer)),
        Form::Body if starts && request => out.extend(body_start(bytes)),
        Form::Raw | Form::RawHead | Form::Value | Form::Head | Form::Names | Form::Body => {}
    }
    if matches!(form, Form::Body | Form::Raw) {
        out.extend(raised(bytes, options));
    }
    out
}

fn guards_only(guards: Vec<Guard>, percent: Vec<u8>, price: f64, shown: &str) -> Offer {
    Offer { windows: Vec::new(), guards, percent, price, shown: shown.to_owned() }
}

fn uri(bytes: &[u8]) -> Option<Offer> {
    let escape = vec![Guard::UriPercentEscape, Guard::UriPercentOdd, Guard::UriHighByte];
    if bytes.contains(&b'\n') {
        return Some(guards_only(escape, escapes_of(b"\n"), 0.001, "escaped line feed"));
    }
    bytes.contains(&b'%').then(|| guards_only(escape, escapes_of(b"%"), 0.002, "escaped %"))
}

fn status(bytes: &[u8], p: &Placed<'_>) -> Option<Offer> {
    // Codes are three digits; a content of three that is not tied to both ends might be part of a longer word.
    let tied = p.content.bytes.len() == 3;
    if !tied || !bytes.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut windows = Vec::new();
    for before in SPACES {
        // Behind a whole code: white space or the line's end. A longer word that only begins or ends with these digits
        // would have another neighbour: all are listed.
        for behind in 0..=255u8 {
            if behind.is_ascii_uppercase() {
                continue;
            }
            let window = [&[before][..], bytes, &[behind]].concat();
            windows.extend(Fragment::new(&window, false));
        }
    }
    // The content anywhere but at the word's beginning.
    if !(p.range.is_fixed() && p.range.low == 0) {
        return Some(Offer {
            windows: payload::with_neighbour(bytes, false, false),
            guards: Vec::new(),
            percent: Vec::new(),
            price: code_price(bytes),
            shown: printable(bytes),
        });
    }
    Some(Offer { windows, guards: Vec::new(), percent: Vec::new(), price: code_price(bytes) / 2.0, shown: printable(bytes) })
}

fn code_price(bytes: &[u8]) -> f64 {
    if bytes == b"200" { 0.3 } else { 0.02 }
}

fn host(bytes: &[u8]) -> Option<Offer> {
    let mut windows = Vec::new();
    for before in [&b"Host: "[..], b"//", b"@", b":"] {
        let wire = [before, bytes].concat();
        let end = wire.len().min(before.len() + bytes.len());
        let window = wire.get(end.saturating_sub(8)..end)?;
        if window.len() >= 4 {
            windows.extend(Fragment::new(window, false));
        } else if window.len() == 3 {
            windows.extend(payload::with_neighbour(window, false, false));
        } else {
            return None;
        }
    }
    Some(Offer {
        windows,
        guards: vec![Guard::HeaderSpaceOdd, Guard::HeaderFold],
        percent: Vec::new(),
        price: 0.002,
        shown: format!("Host: {}", printable(bytes)),
    })
}

fn body_start(bytes: &[u8]) -> Option<Offer> {
    let windows: Vec<Fragment> = [&b"\n\r\n"[..], b"\n\n"]
        .iter()
        .filter_map(|end| {
            let wire = [end, bytes].concat();
            Fragment::new(wire.get(..wire.len().min(8))?, false)
        })
        .collect();
    (windows.len() == 2).then(|| Offer {
        windows,
        guards: Vec::new(),
        percent: Vec::new(),
        price: 0.001,
        shown: format!("{} at the beginning", printable(bytes)),
    })
}

/// A content with the joint of repeated fields.
fn joined(bytes: &[u8], buffer: Buffer) -> Option<Offer> {
    let name: &[u8] = match buffer {
        Buffer::HttpAcceptEncoding => b"Accept-Encoding",
        Buffer::HttpAccept => b"Accept",
        Buffer::HttpAcceptLanguage => b"Accept-Language",
        Buffer::HttpUserAgent => b"User-Agent",
        Buffer::HttpCookie => b"Cookie",
        Buffer::HttpReferer => b"Referer",
        _ => return None,
    };
    if bytes.windows(2).filter(|w| *w == b", ").count() != 1 || bytes.iter().any(|b| matches!(b, b'\r' | b'\n')) {
        return None;
    }
    let mut windows = Vec::new();
    // All of it in one field.
    match bytes.len() {
        3 => windows.extend(payload::with_neighbour(bytes, false, false)),
        4.. => windows.extend(Fragment::new(bytes.get(..bytes.len().min(8))?, false)),
        _ => return None,
    }
    for (at, _) in bytes.windows(2).enumerate().filter(|(_, w)| *w == b", ") {
        let right = bytes.get(at + 2..)?;
        let left = bytes.get(..at)?;
        let wire = if right.is_empty() { [left, b"\r\n"].concat() } else { [name, b": ", right].concat() };
        let window = wire.get(wire.len().saturating_sub(8)..)?;
        windows.push(Fragment::new(window, false)?);
    }
    Some(Offer {
        windows,
        guards: vec![Guard::HeaderSpaceOdd, Guard::HeaderFold, Guard::LineEndOdd],
        percent: Vec::new(),
        price: 0.002,
        shown: format!("{} in one field or two", printable(bytes)),
    })
}

/// Facts that the bytes raise wherever they stand: the one least common in traffic.
fn raised(bytes: &[u8], options: &Options) -> Option<Offer> {
    let parameters = GuardParameters::ZERO;
    let mut always = facts::TEXT;
    for before in 0..=255u8 {
        always &= facts::payload_facts(facts::TEXT, &parameters, false, &[b'a', before], bytes);
    }
    [(Guard::UriPercentOdd, 0.002), (Guard::UriBackslash, 0.01), (Guard::UriControl, 0.05), (Guard::UriHighByte, 0.05)]
        .into_iter()
        .find(|(g, _)| always & g.bit() != 0 && options.guard(*g))
        .map(|(g, price)| guards_only(vec![g], Vec::new(), price, g.name()))
}
