//! Names in DNS messages: labels, and the bytes between them.
//!
//! The engine joins labels with `.`; on the wire each label follows its length, and the name ends with a zero byte
//! (RFC 1035, section 3.1). A label may itself hold a dot. So a `.` of a content is, on the wire, either that dot or the
//! length of the label behind it. That label ends at one of the later dots of the content or, if the content ends the
//! name (`endswith`), at its end: all those lengths are enumerated. If the content does not end the name, the label may
//! be longer than the content shows, and only windows within a label are used. A content that begins the name (or the
//! leading dot of `dotprefix`) has a length byte before it. Pointers, odd counts and cut messages have guards; names
//! behind the question section are compressed as a rule and are not planned here. TCP messages are not scanned for
//! facts across segments: every TCP frame of the class is sent.

use super::class::{Class, Condition, Fragment, LENGTHS, Trigger};
use super::cost::{self, Traffic};
use super::{Builder, Choice, base, chain, payload};
use weir_contract::enums::TransportMask;
use weir_contract::guards::Guard;
use weir_contract::protocol::AppProtocol;
use weir_ir::{Buffer, BufferMatch, Match, Rule, Transform};

/// Most variants of one window.
const VARIANTS_MAX: usize = 12;

/// One byte of a content on the wire: one certain value, or alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wire {
    Byte(u8),
    /// Alternatives of a joint; empty: cannot be enumerated.
    Joint(Vec<u8>),
}

/// Bytes of `text` on the wire. `starts`: the text begins the name or, with its leading dot, a label. `ends`: it ends
/// the name.
fn wire(text: &[u8], dot_prefix: bool, starts: bool, ends: bool) -> Vec<Wire> {
    let dots: Vec<usize> = text.iter().enumerate().filter(|&(_, &b)| b == b'.').map(|(i, _)| i).collect();
    let lengths = |from: usize| -> Vec<u8> {
        dots.iter()
            .copied()
            .filter(|&d| d >= from)
            .chain([text.len()])
            .filter_map(|end| u8::try_from(end.checked_sub(from)?).ok())
            .filter(|n| (1..=63).contains(n))
            .collect()
    };
    let mut out = Vec::new();
    if starts && !dot_prefix && text.first() != Some(&b'.') {
        out.push(Wire::Joint(if ends { lengths(0) } else { Vec::new() }));
    }
    for (i, &b) in text.iter().enumerate() {
        if b == b'.' {
            let mut options = if ends { lengths(i + 1) } else { Vec::new() };
            if ends {
                options.push(b'.');
            }
            out.push(Wire::Joint(options));
        } else {
            out.push(Wire::Byte(b));
        }
    }
    if ends {
        out.push(Wire::Byte(0));
    }
    out
}

/// Every byte string that the window can be.
fn variants(window: &[Wire]) -> Vec<Vec<u8>> {
    let mut out = vec![Vec::new()];
    for w in window {
        let options: &[u8] = match w {
            Wire::Byte(b) => std::slice::from_ref(b),
            Wire::Joint(options) => options,
        };
        if options.is_empty() || out.len() * options.len() > VARIANTS_MAX {
            return Vec::new();
        }
        out = out
            .into_iter()
            .flat_map(|v: Vec<u8>| {
                options.iter().map(move |&o| {
                    let mut v = v.clone();
                    v.push(o);
                    v
                })
            })
            .collect();
    }
    out
}

/// Names of the question section.
pub fn is_question(buffer: Buffer) -> bool {
    matches!(buffer, Buffer::DnsQuery | Buffer::DnsQueryName | Buffer::MdnsQueryName)
}

/// The best window of a question name.
pub fn fragment(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    let dot_prefix = match run.transforms.as_slice() {
        [] => false,
        [Transform::DotPrefix] => true,
        _ => return None,
    };
    if !is_question(run.buffer) {
        return None;
    }
    let size = run.matches.iter().find_map(|m| match m {
        Match::Size(weir_ir::Comparison::Equal(n)) => usize::try_from(*n).ok(),
        _ => None,
    });
    let mut best: Option<(Vec<Fragment>, f64)> = None;
    for p in chain::place(&run.matches) {
        let text = &p.content.bytes;
        let whole = size == Some(text.len());
        let starts = whole || (p.range.is_fixed() && p.range.low == 0);
        let ends = whole || p.content.anchor.end;
        // A content that is the dot alone, or the empty name, says nothing.
        let bytes = wire(text, dot_prefix, starts, ends);
        for length in LENGTHS.into_iter().rev() {
            for window in bytes.windows(length) {
                let forms = variants(window);
                let fragments: Vec<Fragment> =
                    forms.iter().filter(|v| !payload::periodic(v)).filter_map(|v| Fragment::new(v, false)).collect();
                if fragments.is_empty() || fragments.len() != forms.len() {
                    continue;
                }
                let rate: f64 = fragments.iter().map(|f| builder.statistics.rate(Traffic::Dns, f)).sum();
                if best.as_ref().is_none_or(|b| rate < b.1) {
                    best = Some((fragments, rate));
                }
            }
        }
    }
    if best.is_none() {
        // Three bytes of a label have a byte before them: another letter, or the label's length.
        for p in chain::place(&run.matches) {
            for three in p.content.bytes.windows(3).filter(|w| !w.contains(&b'.')) {
                let fragments = payload::with_neighbour(three, false, false);
                let rate = builder.statistics.rate_of_run(Traffic::Dns, three).max(1e-4);
                if best.as_ref().is_none_or(|b| rate < b.1) {
                    best = Some((fragments, rate));
                }
            }
        }
    }
    let (fragments, cost) = best?;
    let directions = base::flow_directions(rule) & base::buffer_directions(run.buffer);
    let directions = if directions == 0 { base::buffer_directions(run.buffer) } else { directions };
    let protocol = if run.buffer == Buffer::MdnsQueryName { AppProtocol::Mdns } else { AppProtocol::Dns };
    let mut records = base::base_records(rule, builder.sets, directions);
    let mut conditions = Vec::new();
    for record in &mut records {
        record.class_mask &= base::classes(protocol);
        record.transports &= TransportMask::TCP.0 | TransportMask::UDP.0;
        let mut datagram = *record;
        datagram.transports &= TransportMask::UDP.0;
        // Header, the shortest question of one label of one byte, type and class.
        datagram.payload_min = 12;
        if datagram.transports != 0 {
            conditions.extend(fragments.iter().map(|&f| Condition { trigger: Trigger::Fragment(f), record: datagram }));
            for guard in [Guard::DnsPointerQuestion, Guard::DnsOdd] {
                if builder.options.guard(guard) {
                    conditions.push(Condition { trigger: Trigger::Guard(guard as u8), record: datagram });
                }
            }
        }
        let mut stream = *record;
        stream.transports &= TransportMask::TCP.0;
        stream.payload_min = 1;
        if stream.transports != 0 {
            conditions.push(Condition { trigger: Trigger::Frame, record: stream });
        }
    }
    let narrowing = records.iter().map(|r| cost::narrowing(r, builder.sets)).sum::<f64>();
    let shown = fragments.iter().take(3).map(|f| format!("\"{}\"", f.display())).collect::<Vec<_>>().join(" or ");
    Some(Choice {
        class: Class::Transformed,
        reason: format!("{shown} of the labels of {}", run.buffer.name()),
        conditions,
        percent: Vec::new(),
        equals: Vec::new(),
        cost: cost * narrowing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(labels: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        for l in labels {
            out.push(l.len() as u8);
            out.extend_from_slice(l);
        }
        out.push(0);
        out
    }

    /// However the dots of a name are split into labels, every window has a variant on the wire.
    #[test]
    fn every_split_into_labels_is_covered() {
        for text in [&b"evil.com"[..], b"a.bb.ccc", b"x.evil-site.co.uk"] {
            let dots: Vec<usize> = text.iter().enumerate().filter(|&(_, &b)| b == b'.').map(|(i, _)| i).collect();
            for split in 0..1u32 << dots.len() {
                // Bits of `split` say which dots are joints.
                let mut labels: Vec<Vec<u8>> = vec![Vec::new()];
                for (i, &b) in text.iter().enumerate() {
                    match dots.iter().position(|&d| d == i) {
                        Some(n) if split >> n & 1 == 1 => labels.push(Vec::new()),
                        _ => labels.last_mut().unwrap().push(b),
                    }
                }
                let refs: Vec<&[u8]> = labels.iter().map(Vec::as_slice).collect();
                let packet = encode(&refs);
                for (starts, ends) in [(true, true), (false, true), (false, false), (true, false)] {
                    let bytes = wire(text, false, starts, ends);
                    for window in bytes.windows(4) {
                        let forms = variants(window);
                        if forms.is_empty() {
                            continue;
                        }
                        assert!(
                            forms.iter().any(|f| packet.windows(4).any(|w| w == f.as_slice())),
                            "{text:?} {split:b} {window:?} {packet:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn a_dot_in_a_label_is_expected() {
        let bytes = wire(b".evil.com", true, false, true);
        assert_eq!(bytes.len(), 10);
        assert_eq!(bytes[5], Wire::Joint(vec![3, b'.']));
        assert_eq!(bytes[0], Wire::Joint(vec![4, 8, b'.']));
        assert_eq!(bytes[9], Wire::Byte(0));
        let open = wire(b"evil.com", false, false, false);
        assert_eq!(open[4], Wire::Joint(vec![]), "the label may go on behind the content");
    }
}
