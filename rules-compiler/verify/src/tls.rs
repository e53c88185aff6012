//! Messages of TLS handshakes: verbatim in records, unless a record's header splits one (its guard).

use crate::aspect::{Aspect, Witness, neighbours, windows};
use crate::need::{Frame, dotted, needs, sides_of};
use crate::place::{Cell, Strip, contents};
use crate::prove::{Tables, Unit, Window};
use weir_contract::guards::Guard;
use weir_ir::{Buffer, BufferMatch, Rule};

/// Buffers that are on the wire.
pub fn is_wire(buffer: Buffer) -> bool {
    use Buffer as B;
    matches!(
        buffer,
        B::TlsSni | B::TlsSubjectAltName | B::TlsCerts | B::TlsCertSubject | B::TlsCertIssuer | B::TlsCertSerial
    )
}

/// Attribute names longer than two letters that the engine writes itself.
const ATTRIBUTES: [&str; 6] =
    ["serialnumber", "emailaddress", "unstructuredname", "street", "title", "domaincomponent"];

/// Parts of `name=value, name=value` that lie in one value.
fn values(text: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut behind_equals = false;
    let mut part = Vec::new();
    for &byte in text.iter().chain(b",") {
        if byte != b'=' && byte != b',' {
            part.push(byte);
            continue;
        }
        let inner = part.trim_ascii().to_vec();
        let lower = inner.to_ascii_lowercase();
        let digits = inner.iter().all(|b| b.is_ascii_digit() || *b == b'.');
        let of_name =
            ATTRIBUTES.iter().any(|name| lower.is_empty() || name.as_bytes().windows(lower.len()).any(|w| w == lower));
        if behind_equals || !digits && !of_name {
            out.push(inner);
        }
        behind_equals = byte == b'=';
        part.clear();
    }
    out
}

/// Whole bytes of `AA:BB:CC`.
fn serial(text: &[u8]) -> Vec<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).map(|d| d as u8);
    let mut out: Vec<Vec<u8>> = vec![Vec::new()];
    for pair in text.split(|b| *b == b':') {
        match pair {
            [a, b] if digit(*a).is_some() && digit(*b).is_some() => {
                let byte = digit(*a).unwrap_or(0) << 4 | digit(*b).unwrap_or(0);
                if let Some(run) = out.last_mut() {
                    run.push(byte);
                }
            }
            _ => out.push(Vec::new()),
        }
    }
    out
}

fn strip(bytes: &[u8], exact: bool) -> Strip {
    Strip { cells: bytes.iter().map(|&byte| Cell { byte, exact }).collect(), at: (0, crate::place::FAR) }
}

/// The aspect "this is in a message of the handshake".
pub fn aspect(rule: &Rule, run: &BufferMatch, tables: &mut Tables<'_>, deep: bool) -> Option<Aspect> {
    let dotted = dotted(run)?;
    let directions = sides_of(rule, run.buffer);
    let mut aspect = Aspect { what: run.buffer.name().to_owned(), ..Aspect::default() };
    for need in needs(rule, tables.bits, &mut tables.lists, Frame::Carrying, directions) {
        let mut need = crate::message(need);
        need.payload.0 = 1;
        aspect.needs.push((need, Unit::Message));
    }
    let guards = Guard::TlsHandshakeSpans.bit();
    let named = matches!(run.buffer, Buffer::TlsCertSubject | Buffer::TlsCertIssuer);
    let folded = matches!(run.buffer, Buffer::TlsSni | Buffer::TlsSubjectAltName | Buffer::TlsCertSerial);
    for p in contents(&run.matches) {
        let text: &[u8] = &p.content.bytes;
        let text = if dotted { text.strip_prefix(b".").unwrap_or(text) } else { text };
        let exact = !folded && !p.content.nocase;
        let parts = match run.buffer {
            Buffer::TlsCertSerial => serial(text),
            // Other letters are written in another way each; between them the parts are as one would think.
            _ if named => values(text).iter().flat_map(|v| v.split(|b| !b.is_ascii())).map(<[u8]>::to_vec).collect(),
            _ => vec![text.to_vec()],
        };
        for part in &parts {
            let narrow = strip(part, exact);
            if !named {
                for w in windows(&narrow, false).filter(|w| tables.found(w)) {
                    aspect.witnesses.push(Witness { windows: vec![w], guards, ..Witness::default() });
                }
                continue;
            }
            // One byte for each letter or, in a BMPString (X.690 section 8.23), two.
            let double: Vec<Cell> = narrow.cells.iter().flat_map(|c| [Cell { byte: 0, exact: true }, *c]).collect();
            let double = Strip { cells: double, at: narrow.at };
            let wide: Vec<Window> =
                windows(&double, false).filter(|w| !tables.bits.entries(w.key().0, w.key().1).is_empty()).collect();
            for w in windows(&narrow, false) {
                if tables.bits.entries(w.key().0, w.key().1).is_empty() {
                    continue;
                }
                for other in &wide {
                    aspect.witnesses.push(Witness { windows: vec![w, *other], guards, ..Witness::default() });
                }
            }
        }
        if !named && run.buffer != Buffer::TlsCertSerial && tables.bits.has_word(text) {
            aspect.witnesses.push(Witness { guards: guards | Guard::Word.bit(), ..Witness::default() });
        }
        if deep && run.buffer == Buffer::TlsSni {
            // A name in a hello has its length before it (RFC 6066 section 3).
            for three in strip(text, false).cells.windows(3) {
                aspect.witnesses.push(Witness {
                    windows: neighbours(three, false, None),
                    guards,
                    ..Witness::default()
                });
            }
        }
    }
    Some(aspect)
}
