//! `file.data` of rules that are not about HTTP alone: files over HTTP, FTP, mail, SMB, NFS.

use crate::aspect::{Also, Aspect, Witness, windows};
use crate::http::{codings, http2};
use crate::need::{Frame, Need, TCP, bit, flow_sides, header_protocol, needs, read_by};
use crate::place::contents;
use crate::prove::{Tables, Unit, Window};
use weir_contract::protocol::AppProtocol as P;
use weir_ir::{BufferMatch, Rule};

/// The aspect "a file holds this".
pub fn aspect(rule: &Rule, run: &BufferMatch, tables: &mut Tables<'_>) -> Option<Aspect> {
    if !run.transforms.is_empty() {
        return None;
    }
    let mut aspect = Aspect { what: run.buffer.name().to_owned(), ..Aspect::default() };
    for need in needs(rule, tables.bits, &mut tables.lists, Frame::Carrying, flow_sides(rule)) {
        let mut need = crate::message(need);
        need.transport &= TCP;
        need.payload.0 = 1;
        if let Some(p) = header_protocol(rule) {
            need.classes &= read_by(p) | 1;
        }
        if need.transport != 0 {
            aspect.needs.push((need, Unit::Message));
        }
    }
    // Codings are announced in mails as in HTTP, and nowhere else; BDAT (RFC 3030) cuts mails anywhere; SMB, NFS and HTTP/2 send blocks.
    let coded = read_by(P::Http) | read_by(P::Smtp) | 1;
    let messages = aspect.needs.iter().map(|(need, unit)| (Need { classes: need.classes & coded, ..*need }, *unit));
    aspect.also = codings(&messages.collect::<Vec<_>>());
    aspect.also.extend(http2(&aspect.needs));
    for (need, _) in &aspect.needs {
        let mails = Need { classes: need.classes & (read_by(P::Smtp) | 1), ..*need };
        aspect.also.push(Also::Word(b"bdat", mails));
        let blocks = Need { classes: need.classes & (bit(P::Smb) | bit(P::Nfs)), ..*need };
        aspect.also.push(Also::Frames(blocks));
    }
    for p in contents(&run.matches) {
        // Mails double dots at the beginning of a line.
        let inside = |w: &Window| !w.bytes().iter().any(|b| matches!(b, b'\r' | b'\n'));
        for w in windows(&p.strip(false), false).filter(|w| inside(w) && tables.found(w)) {
            aspect.witnesses.push(Witness { windows: vec![w], ..Witness::default() });
        }
    }
    Some(aspect)
}
