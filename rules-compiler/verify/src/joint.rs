//! Joints of HTTP/1: where the engine puts, changes or takes away white space between what stands on the wire.
//!
//! A request's line and head are looked at only when their ends have come (a line feed; an empty line), so that something
//! stands behind each value and target. A name is what stands before a line's first colon and a value what stands behind
//! it, both without white space at their ends; the rebuilt line is `Name: value` CR LF, and repeated fields are joined by
//! a comma and a space. A window that reaches over a joint is therefore one of a few; each list here is complete:
//!
//! - before a value's first byte stands the colon or white space;
//! - behind its last byte stands white space; if that is not CR LF, a guard for it fires;
//! - behind a name's last byte stands the colon or white space, and then anything that can follow one of these;
//! - behind a byte before a space of a value stands that space, or the end of its line (a folded one);
//! - behind a target's last byte stands white space: a fragment belongs to it, and dot segments are a guard;
//! - behind a host's last byte stands white space, a port, what ends an authority, or a dot (plain or escaped) that is taken away.
//!
//! What is between a content's `: ` and line ends may also stand so in the first line or within a value: these bytes are in
//! each list.

use crate::aspect::Witness;
use crate::http::{Form, certain, field, hiding};
use crate::place::{Cell, Placed};
use crate::prove::Window;
use weir_contract::enums::DirectionMask;
use weir_contract::guards::Guard;
use weir_ir::{Buffer, BufferMatch, Comparison, Match};

/// White space at the ends of names, values and lines.
const WHITE: [u8; 6] = [b' ', b'\t', b'\r', b'\n', 0x0b, 0x0c];

fn loose(byte: u8) -> Cell {
    Cell { byte, exact: false }
}

/// Bytes that no joint of fields or lines lies between or beside.
fn plain(cells: &[Cell]) -> bool {
    cells.iter().all(|c| c.byte != b',' && (c.byte == b' ' || !WHITE.contains(&c.byte)))
}

fn fold(cells: &[Cell]) -> u64 {
    if cells.iter().any(|c| c.byte == b' ') { Guard::HeaderFold.bit() } else { 0 }
}

fn of(texts: impl IntoIterator<Item = Vec<Cell>>, guards: u64) -> Option<Witness> {
    let windows = texts.into_iter().map(|cells| Window::new(&cells, None)).collect::<Option<Vec<_>>>()?;
    Some(Witness { windows, guards, ..Witness::default() })
}

/// What is certain at the joints of a content in a request.
pub fn joints(form: Form, run: &BufferMatch, p: &Placed<'_>, directions: u8) -> Vec<Witness> {
    if directions != DirectionMask::TO_SERVER.0 {
        let spaces = matches!(form, Form::Head | Form::Value) && run.buffer != Buffer::HttpHost;
        return if spaces { before_spaces(&p.strip(false).cells) } else { Vec::new() };
    }
    let bytes: &[u8] = &p.content.bytes;
    let size = |m: &Match| matches!(m, Match::Size(Comparison::Equal(n)) if *n == bytes.len() as u64);
    let ends = p.content.anchor.end || run.matches.iter().any(size);
    let cells = p.strip(run.buffer == Buffer::HttpHost).cells;
    match form {
        Form::Target => {
            let mut out: Vec<Witness> = [1, 2, 3].into_iter().filter_map(|behind| space(&cells, behind)).collect();
            out.extend(ends.then(|| target_end(&cells, run.buffer)).flatten());
            out
        }
        Form::Value if run.buffer == Buffer::HttpHost => ends.then(|| host_end(&cells)).flatten().into_iter().collect(),
        Form::Value if field(run.buffer).is_some() => within(&cells),
        Form::Head => head(&cells),
        _ => Vec::new(),
    }
}

/// Bytes of a value that stand before a space: on the wire the space is behind them, or their line's end, where the next line is
/// one that continues it. Lines are put together by nothing else, so that what holds no white space lies in one.
fn before_spaces(cells: &[Cell]) -> Vec<Witness> {
    let mut out = Vec::new();
    for (at, _) in cells.iter().enumerate().filter(|(_, cell)| cell.byte == b' ') {
        for part in (3..=7).filter_map(|length| cells.get(at.checked_sub(length)?..at)) {
            if plain(part) && part.iter().all(|c| !matches!(c.byte, b' ' | b':')) {
                out.extend(of(WHITE.map(|white| [part, &[loose(white)]].concat()), 0));
            }
        }
    }
    out
}

fn last(cells: &[Cell], count: usize) -> Option<&[Cell]> {
    cells.get(cells.len().checked_sub(count)?..)
}

fn bytes_of(cells: &[Cell]) -> Vec<u8> {
    cells.iter().map(|c| c.byte).collect()
}

fn target_end(cells: &[Cell], buffer: Buffer) -> Option<Witness> {
    let three = last(cells, 3).filter(|three| certain(Form::Target, &bytes_of(three)))?;
    let (guards, escapes) = hiding(Form::Target, buffer, &bytes_of(three));
    let mut out = of(WHITE.map(|white| [three, &[loose(white)]].concat()), guards | Guard::UriDotSegment.bit())?;
    out.escapes = escapes;
    Some(out)
}

/// A space within a target was escaped, or stands there, in four cells of which it is the one at `behind`; the others are
/// then themselves, or escaped. These and the byte before it are such that only an escape or themselves can be: nothing
/// that segments are joined at.
fn space(cells: &[Cell], behind: usize) -> Option<Witness> {
    let at = cells.iter().position(|c| c.byte == b' ').filter(|at| *at > 0)?;
    let only_itself = |c: &Cell| c.byte.is_ascii_graphic() && !b"/\\.%#?".contains(&c.byte);
    let before = *cells.get(at - 1).filter(|c| only_itself(c))?;
    let start = at.checked_sub(behind)?;
    let own = cells.get(start..start + 4)?;
    let beside: Vec<Cell> = own.iter().enumerate().filter(|(n, _)| *n != behind).map(|(_, c)| *c).collect();
    if !beside.iter().all(only_itself) {
        return None;
    }
    let escape = |digits: [u8; 2]| [b'%', digits[0], digits[1]].map(loose);
    let space = escape(*b"20");
    let mut texts = vec![[&[before][..], &space].concat()];
    for byte in [before.byte.to_ascii_lowercase(), before.byte.to_ascii_uppercase()] {
        let digit = |n: u8| char::from_digit(n.into(), 16).map_or(b'0', |c| c as u8);
        let text = [&[digit(byte >> 4), digit(byte & 15)].map(loose)[..], &space].concat();
        texts.push(text);
    }
    // Any other escape (`%u`), and what best fit makes of other bytes.
    let both = [bytes_of(&[before]), b" ".to_vec()].concat();
    let (guards, mut escapes) = hiding(Form::Target, Buffer::HttpUri, &both);
    (escapes[0], escapes[1]) = (0, 0);
    let (more, others) = hiding(Form::Target, Buffer::HttpUri, &bytes_of(&beside));
    escapes.iter_mut().zip(others).for_each(|(all, own)| *all |= own);
    let guards = guards | more;
    texts.push(own.to_vec());
    let mut out = of(texts, guards)?;
    out.escapes = escapes;
    Some(out)
}

fn host_end(cells: &[Cell]) -> Option<Witness> {
    let three = last(cells, 3).filter(|three| plain(three))?;
    if three.iter().any(|c| matches!(c.byte, b' ' | b':' | b'[' | b']')) {
        return None;
    }
    let behind = WHITE.into_iter().chain(*b":/?#\\.%");
    let (guards, escapes) = hiding(Form::Value, Buffer::HttpHost, &bytes_of(three));
    let texts = behind.map(|byte| [three, &[loose(byte)]].concat());
    let mut out = of(texts, guards | Guard::HeaderFold.bit())?;
    out.escapes = escapes;
    Some(out)
}

/// A part of a value and the byte before it: no line feed, for the field's name stands before the value, unless a line is
/// folded before it (then white space does).
fn within(cells: &[Cell]) -> Vec<Witness> {
    let mut out = Vec::new();
    for length in 3..=cells.len().min(7) {
        let start = cells.get(..length).unwrap_or_default();
        if !certain(Form::Value, &bytes_of(start)) {
            continue;
        }
        let befores = (0..=255u8).filter(|b| *b != b'\n' && !b.is_ascii_uppercase());
        out.extend(of(befores.map(|before| [&[loose(before)], start].concat()), fold(start)));
    }
    out
}

/// The joints within a part of a rebuilt head.
fn head(cells: &[Cell]) -> Vec<Witness> {
    let mut out = Vec::new();
    let mut rest = cells;
    let mut first = true;
    loop {
        let end = rest.windows(2).position(|w| w[0].byte == b'\r' && w[1].byte == b'\n');
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let colon = line.windows(2).position(|w| w[0].byte == b':' && w[1].byte == b' ');
        let value = colon.and_then(|colon| line.get(colon + 2..));
        if let (Some(value), Some(name)) = (value, colon.and_then(|colon| line.get(..colon))) {
            out.extend(value_start(value, end.is_some()));
            out.extend(name_end(name, value, end.is_some()));
        }
        if end.is_some() && (first || colon.is_some()) {
            out.extend(value_end(value.unwrap_or(line)));
        }
        let Some(behind) = end.and_then(|end| rest.get(end + 2..)) else { return out };
        (rest, first) = (behind, false);
    }
}

/// What must not be around a line's end for it to be CR LF.
fn line_end() -> u64 {
    Guard::HeaderSpaceOdd.bit() | Guard::LineEndOdd.bit()
}

fn value_start(value: &[Cell], ends: bool) -> Vec<Witness> {
    let mut text = value.to_vec();
    if ends {
        text.extend(b"\r\n".map(loose));
    }
    let mut out = Vec::new();
    for length in 3..=text.len().min(7) {
        let own = value.get(..length.min(value.len())).unwrap_or_default();
        if own.is_empty() || !plain(own) || own.first().is_some_and(|c| c.byte == b' ') {
            continue;
        }
        let guards = fold(own) | if length > own.len() { line_end() } else { 0 };
        let befores = WHITE.into_iter().chain([b':']);
        out.extend(of(befores.map(|b| [&[loose(b)], text.get(..length).unwrap_or_default()].concat()), guards));
    }
    out
}

fn value_end(value: &[Cell]) -> Vec<Witness> {
    let parts = (2..=value.len().min(6)).rev().filter_map(|length| last(value, length));
    let whole = parts.filter(|own| plain(own) && own.last().is_some_and(|c| c.byte != b' '));
    whole.filter_map(|own| of([[own, &b"\r\n".map(loose)].concat()], fold(own) | line_end())).collect()
}

fn name_end(name: &[Cell], value: &[Cell], ends: bool) -> Vec<Witness> {
    let usable = |part: &[Cell]| plain(part) && !part.iter().any(|c| matches!(c.byte, b' ' | b':'));
    let Some(tail) = last(name, 2).filter(|tail| usable(tail)) else { return Vec::new() };
    let with = |end: &[u8]| [tail, &end.iter().copied().map(loose).collect::<Vec<_>>()].concat();
    if value.is_empty() {
        // Nothing but white space behind the colon.
        return if ends { of([with(b":\r\n"), with(b":\n")], line_end()).into_iter().collect() } else { Vec::new() };
    }
    let Some(first) = value.first().copied().filter(|c| c.byte != b' ' && plain(&[*c])) else { return Vec::new() };
    // The usual form, with as much of the name as there is; all others as far as needed to tell.
    let mut others: Vec<Vec<Cell>> = vec![[&with(b":")[..], &[first]].concat()];
    for white in WHITE {
        if white != b' ' {
            others.push(with(&[b':', white]));
        }
        others.push(with(&[b':', b' ', white]));
        others.push(with(&[white, b':']));
        others.extend(WHITE.map(|other| with(&[white, other])));
    }
    (2..=name.len().min(5))
        .filter_map(|length| last(name, length))
        .filter(|part| usable(part))
        .filter_map(|part| {
            let usual = [part, &b": ".map(loose), &[first]].concat();
            of(others.iter().cloned().chain([usual]), 0)
        })
        .collect()
}
