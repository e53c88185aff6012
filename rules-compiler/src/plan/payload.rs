//! Rules on the raw payload: packets and streams.
//!
//! Argument. A rule on `udp`, `icmp`, `ip`, `tcp-pkt`, or with a condition on the packet, matches bytes of one packet:
//! every non-negated content lies in that packet's payload, which the device scans, so any window of any content hits
//! in that very frame, at the content's position. A rule on `tcp` may also match the stream: the bytes then were
//! delivered from segments. If they came in order, each window lies in one segment or across the joint of two that
//! follow one another, and the device scans tail + payload; if they did not, the sequence function called at least one
//! of the segments trouble, whose guard always holds in scope STREAM. Positions count from the packet's start or from the
//! stream's, and the record accepts either. Fragmented datagrams, tunnels and malformed packets reach the host by guards.
//!
//! Anchors (contents with one possible start, within the first 16 bytes) are compared with the packet's first bytes or
//! with the stream direction's. In the stream only bytes before the fragment's end are used: those have arrived when
//! the fragment is complete.

use super::chain::{self, Placed, Range};
use super::class::{Class, Condition, Fragment, LENGTHS, Trigger, usable};
use super::cost::{Statistics, Traffic};
use super::{Builder, Choice, anchor, base};
use weir_contract::constants::PATTERN_REST;
use weir_contract::enums::{RecordFlags, Scopes, TransportMask};
use weir_contract::layouts::Record;
use weir_ir::{BufferMatch, Match, Rule, RuleProtocol};

/// Most bytes a packet's payload can have: what an IP packet carries (RFC 791 section 3.1: total length of 16 bits; RFC 8200
/// section 3: payload length; the decoder knows no jumbograms), less the shorter header of TCP and UDP.
pub(super) fn payload_max(rule: &Rule) -> u64 {
    let headed = TransportMask::TCP.0 | TransportMask::UDP.0;
    if base::transports(rule) & !headed == 0 { 65_535 - 8 } else { 65_535 }
}

/// A window, or several of which one must occur, in one content.
struct Found {
    /// Where the (first) window can start; none where an expression gives the windows.
    range: Option<Range>,
    windows: Vec<Fragment>,
    rate: f64,
    /// For people: what the windows stand for, if that is not the window itself.
    shown: Option<String>,
}

/// The best fragment, and its records, for a payload buffer of a rule.
pub fn fragment(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    if !run.transforms.is_empty() {
        return None;
    }
    let packet = base::packet_only(rule);
    let placed = placed(rule, run, packet);
    let traffic = traffic(rule);
    let length_max = packet.then(|| payload_max(rule));
    let pattern = builder.pattern.filter(|_| !packet);
    let found = best_window(run, &placed, length_max, builder.statistics, traffic, builder.options.exact_case, pattern)?;
    let stream_only = rule.header.protocol == RuleProtocol::TcpStream;
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    let mut anchored = 0;
    for record in &mut records {
        narrow(rule, run, packet, record);
        if builder.options.positions {
            let length = found.windows.first().map_or(0, Fragment::length);
            if let Some(range) = found.range {
                set_position(record, range, packet, stream_only);
            }
            // Bytes before the fragment's end; on packets all of them.
            let end = found.range.map_or(0, |range| range.low + length as i64);
            anchor::set_anchor(record, run, &placed, Some(end), length_max, stream_only);
            anchored = anchor::bits_of(record);
        }
    }
    let narrowing = records.iter().map(|r| super::cost::narrowing(r, builder.sets)).sum::<f64>();
    let shown = found.windows.first().map(Fragment::display).unwrap_or_default();
    let more = found.windows.len().saturating_sub(1);
    Some(Choice {
        class: if more == 0 { Class::Literal } else { Class::Transformed },
        reason: if more == 0 {
            format!("\"{shown}\" of the payload")
        } else {
            match &found.shown {
                Some(shown) => format!("{shown} of the payload"),
                None => format!("\"{shown}\" and {more} more forms of an expression on the payload"),
            }
        },
        conditions: records
            .iter()
            .flat_map(|&record| found.windows.iter().map(move |&w| Condition { trigger: Trigger::Fragment(w), record }))
            .collect(),
        percent: Vec::new(),
        equals: Vec::new(),
        cost: found.rate * anchor::share(anchored) * narrowing,
    })
}

/// What a hit costs in frames where the host holds the flow for a whole window afterwards.
pub(super) const HELD: f64 = 8.0;

/// The pattern holds the fragment, near enough to its end.
fn in_pattern(fragment: &Fragment, pattern: &[u8]) -> bool {
    let folded = fragment.folded();
    let bytes = folded.get(..fragment.length()).unwrap_or(&folded);
    pattern.windows(bytes.len()).enumerate().any(|(at, window)| {
        window.eq_ignore_ascii_case(bytes) && pattern.len() - at - bytes.len() <= PATTERN_REST
    })
}

/// Where every condition's fragment is part of the pattern that the host looks for in the stream, the host knows after a
/// hit whether the rule waits for more, and need not hold the flow for a whole window: scope STREAM_PATTERN.
///
/// Argument. The host evaluates the rule on a stream only while `pattern` stands in its window. An occurrence that ends
/// in delivered bytes is known to the host, which then keeps the flow. One that ends later holds an occurrence of the
/// fragment that ends at most [`PATTERN_REST`] bytes before: in bytes not yet delivered, where the device flags it, or in
/// the last bytes of those delivered, where it was flagged; the host holds the flow until so many more have come.
///
/// The record's position is that of the fragment in one content of the rule: it must be the pattern's.
pub fn known_to_wait(rule: &Rule, choice: &mut Choice, pattern: &[u8]) {
    let within = |fragment: &Fragment| is_of(rule, fragment, pattern) && in_pattern(fragment, pattern);
    let known = !choice.conditions.is_empty()
        && choice.conditions.iter().all(|c| matches!(&c.trigger, Trigger::Fragment(fragment) if within(fragment)));
    if known {
        for condition in &mut choice.conditions {
            let scopes = &mut condition.record.scopes;
            if *scopes & Scopes::STREAM.0 != 0 {
                *scopes = *scopes & !Scopes::STREAM.0 | Scopes::STREAM_PATTERN.0;
            }
        }
    }
}

/// The fragment is part of `pattern`, and can only be of the content that the pattern is of.
pub fn is_of(rule: &Rule, fragment: &Fragment, pattern: &[u8]) -> bool {
    let holds = |text: &[u8], bytes: &[u8]| text.windows(bytes.len()).any(|w| w.eq_ignore_ascii_case(bytes));
    let contents = rule.buffers.iter().flat_map(|run| &run.matches).filter_map(|m| match m {
        Match::Content(content) if !content.negated => Some(&*content.bytes),
        _ => None,
    });
    let folded = fragment.folded();
    let bytes = folded.get(..fragment.length()).unwrap_or(&folded);
    let mut with = contents.filter(|content| holds(content, bytes));
    with.next().is_some_and(|content| holds(content, pattern)) && with.next().is_none() && holds(pattern, bytes)
}

/// What every frame is judged by is judged anew by the next one: a stream that may complete such a rule's match later
/// keeps raising its record, as far as the rule can match at all (the record holds at the frame that completes the
/// match). After it the host need not hold the flow, and scope PACKET says so in the place of STREAM. After the frame that
/// decides a stream's protocol it is the record of the decided class that holds (`base::deciding` makes both of one).
pub fn judged_anew(choice: &mut Choice) {
    for condition in &mut choice.conditions {
        let scopes = &mut condition.record.scopes;
        if condition.trigger == Trigger::Frame && *scopes & Scopes::STREAM.0 != 0 {
            *scopes = *scopes & !Scopes::STREAM.0 | Scopes::PACKET.0;
        }
    }
}

/// Contents with their ranges; on packets, `dsize` bounds them as well.
pub(super) fn placed<'a>(rule: &Rule, run: &'a BufferMatch, packet: bool) -> Vec<Placed<'a>> {
    let mut placed = chain::place(&run.matches);
    if packet {
        let mut probe = Record::ALWAYS;
        super::packet::narrow(rule, &mut probe);
        if probe.payload_max != u16::MAX {
            for p in &mut placed {
                let last = i64::from(probe.payload_max) - p.content.bytes.len() as i64;
                if last >= p.range.low {
                    p.range.high = p.range.high.min(last);
                }
            }
        }
    }
    placed
}

/// What the rule's class, packet conditions and least length say.
pub(super) fn narrow(rule: &Rule, run: &BufferMatch, packet: bool, record: &mut Record) {
    narrow_class(rule, record);
    if packet {
        super::packet::narrow(rule, record);
        let least = chain::least_length(&run.matches).clamp(0, i64::from(u16::MAX) - 1) as u16;
        record.payload_min = record.payload_min.max(least);
    }
}

/// Kind of traffic that the rule's payload contents are looked for in.
pub(super) fn traffic(rule: &Rule) -> Traffic {
    match base::header_protocol(rule) {
        Some(p) => Traffic::of(p, base::flow_directions(rule)),
        None if base::transports(rule) & TransportMask::TCP.0 == 0 => Traffic::Datagram,
        None => Traffic::Any,
    }
}

/// A rule of an application protocol sees flows of its classes only.
pub fn narrow_class(rule: &Rule, record: &mut Record) {
    if let Some(p) = base::header_protocol(rule) {
        record.class_mask &= base::classes(p);
    }
}

/// A fragment that is expected in fewer frames than this is good enough.
pub(super) const GOOD: f64 = 1e-3;

/// The cheapest window of all contents. Periodic windows and contents of three bytes (with each possible neighbour)
/// are taken only where there is nothing else.
fn best_window(run: &BufferMatch, placed: &[Placed<'_>], length_max: Option<u64>, statistics: &Statistics, traffic: Traffic, exact_case: bool, pattern: Option<&[u8]>) -> Option<Found> {
    let mut best: Option<Found> = None;
    let mut keep = |found: Found| {
        if best.as_ref().is_none_or(|b| found.rate < b.rate) {
            best = Some(found);
        }
    };
    let bounded = |range: Range| {
        if range.is_unbounded() {
            1.0
        } else {
            // A bounded position is rarer than anywhere in the payload, but what begins messages stands nowhere else.
            ((range.high - range.low + 1) as f64 / 400.0).sqrt().clamp(0.1, 1.0)
        }
    };
    // A flow that the host needs not hold for a whole window may be flagged a few times as often.
    let price = |window: &Fragment| match pattern {
        Some(pattern) if !in_pattern(window, pattern) => HELD,
        _ => 1.0,
    };
    for p in placed {
        for (start, window) in windows(&p.content.bytes, exact_case && !p.content.nocase) {
            let rate = statistics.rate(traffic, &window) * bounded(p.range) * price(&window);
            keep(Found { range: Some(p.range.moved(start as i64)), windows: vec![window], rate, shown: None });
        }
    }
    for run in chain::joined(&run.matches, placed, length_max) {
        let length = usable(run.bytes.len()).max(4);
        for (start, bytes) in run.bytes.windows(length).enumerate().filter(|(_, w)| !periodic(w)) {
            let exact = |i: usize| exact_case && run.exact.get(start + i).copied().unwrap_or(false);
            if let Some(window) = Fragment::masked(bytes, exact) {
                let rate = statistics.rate(traffic, &window) * bounded(run.range);
                keep(Found { range: Some(run.range.moved(start as i64)), windows: vec![window], rate, shown: None });
            }
        }
    }
    if best.as_ref().is_some_and(|best| best.rate < GOOD) {
        return best;
    }
    let mut keep = |found: Found| {
        if best.as_ref().is_none_or(|b| found.rate < b.rate) {
            best = Some(found);
        }
    };
    for run in super::pattern::runs(run) {
        for windows in super::pattern::windows(&run, false, |_| true) {
            let rate = windows.iter().map(|w| statistics.rate(traffic, w)).sum::<f64>().min(1.0);
            keep(Found { range: None, windows, rate, shown: None });
        }
    }
    for p in placed {
        let bytes = &p.content.bytes;
        let exact = exact_case && !p.content.nocase;
        if bytes.len() >= 4 {
            let run = bytes.get(..bytes.len().min(8)).filter(|w| periodic(w));
            if let Some(window) = run.and_then(|w| Fragment::new(w, exact)) {
                // It begins at each of its bytes: many hits of a frame, and many candidates.
                let rate = statistics.rate(traffic, &window).max(0.01) * bounded(p.range);
                keep(Found { range: Some(p.range), windows: vec![window], rate, shown: None });
            }
        } else if bytes.len() == 3 {
            let more_behind = placed.iter().any(|q| {
                q.range.low.saturating_add(q.content.bytes.len() as i64) > p.range.high.saturating_add(bytes.len() as i64)
            });
            let (after, start) = if p.range.low >= 1 {
                (false, -1)
            } else if more_behind {
                (true, 0)
            } else {
                continue;
            };
            let windows = with_neighbour(bytes, exact, after);
            let rate = statistics.rate_of_run(traffic, bytes).max(1e-4) * bounded(p.range);
            let shown = Some(format!("\"{}\" with any neighbour", super::class::printable(bytes)));
            keep(Found { range: Some(p.range.moved(start)), windows, rate, shown });
        }
    }
    best
}

/// All windows of `bytes` of the greatest length that fits ([`usable`]). Periodic ones are left out.
pub fn windows(bytes: &[u8], exact: bool) -> impl Iterator<Item = (usize, Fragment)> + '_ {
    bytes
        .windows(usable(bytes.len()).max(4))
        .enumerate()
        .filter(|(_, w)| !periodic(w))
        .filter_map(move |(start, w)| Fragment::new(w, exact).map(|f| (start, f)))
}

/// All windows of `bytes` that satisfy `verbatim`: the longer ones of [`LENGTHS`], and shorter ones where no longer one
/// covers them. `verbatim` must hold for every part of a window for which it holds, but for its start.
pub fn windows_of_runs(bytes: &[u8], exact: bool, verbatim: impl Fn(&[u8]) -> bool) -> Vec<(usize, Fragment)> {
    let mut out = Vec::new();
    for length in LENGTHS.into_iter().rev() {
        for (start, window) in bytes.windows(length).enumerate() {
            // A shorter window only where no longer one covers it.
            let covered = out.iter().any(|&(s, ref f): &(usize, Fragment)| s <= start && start + length <= s + f.length());
            if !covered && verbatim(window) && !periodic(window) {
                if let Some(f) = Fragment::new(window, exact) {
                    out.push((start, f));
                }
            }
        }
    }
    out
}

/// Three bytes and every possible byte before them (after them, if `after`): for contents one byte short of a window,
/// where that neighbour is certain to exist.
pub fn with_neighbour(three: &[u8], exact: bool, after: bool) -> Vec<Fragment> {
    let mut out: Vec<Fragment> = (0..=255u8)
        .filter(|b| !b.is_ascii_uppercase())
        .filter_map(|neighbour| {
            let mut bytes = three.to_vec();
            bytes.insert(if after { three.len() } else { 0 }, neighbour);
            let own = if after { 0 } else { 1 };
            Fragment::masked(&bytes, |i| exact && i.wrapping_sub(own) < three.len())
        })
        .collect();
    out.dedup();
    out
}

/// Windows that repeat every one or two bytes: runs of them would hit at every position of padding.
pub fn periodic(window: &[u8]) -> bool {
    window.iter().zip(window.iter().skip(1)).all(|(a, b)| a == b) || window.iter().zip(window.iter().skip(2)).all(|(a, b)| a == b)
}

pub(super) fn set_position(record: &mut Record, range: Range, packet: bool, stream_only: bool) {
    if range.low <= 0 && range.is_unbounded() {
        return;
    }
    record.position_min = i32::try_from(range.low).unwrap_or(i32::MAX);
    record.position_max = if range.is_unbounded() { i32::MAX } else { i32::try_from(range.high).unwrap_or(i32::MAX) };
    record.flags |= base_flags(packet, stream_only, RecordFlags::POSITION_PACKET.0, RecordFlags::POSITION_STREAM.0);
}

pub(super) fn base_flags(packet: bool, stream_only: bool, in_packet: u8, in_stream: u8) -> u8 {
    match (packet, stream_only) {
        (true, _) => in_packet,
        (false, true) => in_stream,
        (false, false) => in_packet | in_stream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periodic_windows_are_refused() {
        for w in [&b"\0\0\0\0"[..], b"AAAAAAAA", b"abababab", b"abab"] {
            assert!(periodic(w), "{w:?}");
        }
        for w in [&b"\0\0\0\x01"[..], b"abcabcab", b"aab\0"] {
            assert!(!periodic(w), "{w:?}");
        }
        assert_eq!(windows(b"abc", false).count(), 0);
        assert_eq!(windows(b"abcd", false).count(), 1);
        assert_eq!(windows(b"abcdefghij", false).count(), 3);
    }
}
