//! `file.data` in rules that are not about HTTP alone.
//!
//! A file may come over HTTP (as in [`super::http`]), as an FTP data connection (raw bytes, on a flow of any class), in a
//! mail (raw, or in a transfer encoding that its part announces; `DATA` doubles a dot at the start of a line, `BDAT` cuts the
//! mail anywhere), over SMB or NFS (blocks of any size, with headers between). So a fragment is verbatim unless: a coding is
//! announced (the literals of HTTP are those of MIME as well), it would span a line end of a mail (no fragment holds CR or
//! LF), `BDAT` is used (a literal guard), or the flow is SMB, NFS or HTTP/2 (every payload frame of those classes).

use super::class::{Class, Condition, Fragment, Trigger};
use super::cost::{self, Traffic};
use super::{Builder, Choice, base, chain, http, payload};
use weir_contract::enums::TransportMask;
use weir_contract::layouts::Record;
use weir_contract::protocol::AppProtocol as P;
use weir_ir::{BufferMatch, Rule};

/// Protocols that carry files in blocks.
const BLOCKS: [P; 3] = [P::Smb, P::Nfs, P::Http2];

/// The best fragment of a file's content.
pub fn fragment(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    if !run.transforms.is_empty() || !builder.options.coding_guards {
        return None;
    }
    let own = base::header_protocol(rule);
    if own.is_some_and(|p| BLOCKS.contains(&p)) {
        return None;
    }
    let directions = base::flow_directions(rule);
    let traffic = if own.is_some() { Traffic::Stream } else { Traffic::body(directions) };
    let mut best: Option<(Fragment, f64)> = None;
    for p in chain::place(&run.matches) {
        let exact = builder.options.exact_case && !p.content.nocase;
        let verbatim = |w: &[u8]| !w.iter().any(|b| matches!(b, b'\r' | b'\n'));
        for (_, window) in payload::windows_of_runs(&p.content.bytes, exact, verbatim) {
            let rate = builder.statistics.rate(traffic, &window);
            if best.as_ref().is_none_or(|b| rate < b.1) {
                best = Some((window, rate));
            }
        }
    }
    let (window, cost) = best?;
    let mut records = base::base_records(rule, builder.sets, directions);
    for record in &mut records {
        record.transports &= TransportMask::TCP.0;
        if let Some(p) = own {
            record.class_mask &= base::classes(p);
        }
    }
    let mut conditions: Vec<Condition> =
        records.iter().map(|&record| Condition { trigger: Trigger::Fragment(window), record }).collect();
    // Files of other protocols are not coded, whatever they hold.
    let coded = base::classes(P::Http) | base::classes(P::Smtp);
    let of_coded = |record: &Record| Record { class_mask: record.class_mask & coded, ..*record };
    let messages: Vec<Record> = records.iter().map(of_coded).filter(|record| record.class_mask != 0).collect();
    conditions.extend(http::codings(&messages, builder));
    for &record in &records {
        if let Some(bdat) = Fragment::new(b"bdat", false) {
            let record = Record { class_mask: record.class_mask & base::classes(P::Smtp), ..record };
            conditions.push(Condition { trigger: Trigger::Fragment(bdat), record });
        }
        let blocks = BLOCKS.iter().fold(0, |mask, &p| mask | base::class_bit(p));
        let record = Record { class_mask: record.class_mask & blocks, payload_min: 1, ..record };
        if record.class_mask != 0 {
            conditions.push(Condition { trigger: Trigger::Frame, record });
        }
    }
    let narrowing = records.iter().map(|r| cost::narrowing(r, builder.sets)).sum::<f64>();
    Some(Choice {
        class: Class::Guarded,
        reason: format!("\"{}\" of file.data", window.display()),
        conditions,
        percent: Vec::new(),
        equals: Vec::new(),
        cost: cost * narrowing,
    })
}
