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

use super::chain::{self, Placed};
use super::class::{Class, Condition, Fragment, Trigger};
use super::cost::{Statistics, Traffic};
use super::{Builder, Choice, base};
use weir_contract::enums::{RecordFlags, TransportMask};
use weir_contract::layouts::Record;
use weir_ir::{BufferMatch, Content, Rule, RuleProtocol};

/// Bytes of an anchor.
pub const ANCHOR: usize = 16;

/// The best fragment, and its records, for a payload buffer of a rule.
pub fn fragment(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    if !run.transforms.is_empty() {
        return None;
    }
    let placed = chain::place(&run.matches);
    let traffic = traffic(rule);
    let (at, start, window, cost) = best_window(&placed, builder.statistics, traffic, builder.options.exact_case)?;
    let chosen = placed.get(at)?;
    let packet = base::packet_only(rule);
    let stream_only = rule.header.protocol == RuleProtocol::TcpStream;
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    for record in &mut records {
        narrow_class(rule, record);
        if packet {
            super::packet::narrow(rule, record);
            narrow_length(&run.matches, record);
        }
        if builder.options.positions {
            set_position(record, chosen, start, packet, stream_only);
            set_anchor(record, &placed, Some((chosen.range.low + start as i64, window.length())), packet, stream_only);
        }
    }
    let narrowing = records.iter().map(|r| super::cost::narrowing(r, builder.sets)).sum::<f64>();
    Some(Choice {
        class: Class::Literal,
        reason: format!("\"{}\" of the payload", window.display()),
        conditions: records.into_iter().map(|record| Condition { trigger: Trigger::Fragment(window), record }).collect(),
        percent: Vec::new(),
        equals: Vec::new(),
        cost: cost * narrowing,
    })
}

/// Anchored bytes alone: for rules whose contents are shorter than a window.
pub fn anchored(rule: &Rule, run: &BufferMatch, builder: &mut Builder<'_>) -> Option<Choice> {
    if !run.transforms.is_empty() || !builder.options.positions {
        return None;
    }
    let placed = chain::place(&run.matches);
    let packet = base::packet_only(rule);
    let stream_only = rule.header.protocol == RuleProtocol::TcpStream;
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    let mut bits = 0;
    for record in &mut records {
        narrow_class(rule, record);
        record.payload_min = record.payload_min.max(1);
        if packet {
            super::packet::narrow(rule, record);
            narrow_length(&run.matches, record);
        }
        set_anchor(record, &placed, None, packet, stream_only);
        bits = record.anchor_mask.iter().map(|m| m.count_ones()).sum::<u32>();
    }
    // One byte divides traffic by at least ten; less than that is as good as nothing.
    if bits < 8 {
        return None;
    }
    let share = 0.5f64.powi(bits.min(40) as i32 / 2).max(1e-7);
    let narrowing = records.iter().map(|r| super::cost::narrowing(r, builder.sets)).sum::<f64>();
    Some(Choice {
        class: Class::Header,
        reason: format!("first payload bytes, {bits} bits"),
        conditions: records.into_iter().map(|record| Condition { trigger: Trigger::Frame, record }).collect(),
        percent: Vec::new(),
        equals: Vec::new(),
        cost: share * narrowing,
    })
}

/// Kind of traffic that the rule's payload contents are looked for in.
fn traffic(rule: &Rule) -> Traffic {
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

fn narrow_length(matches: &[weir_ir::Match], record: &mut Record) {
    let least = chain::least_length(matches).clamp(0, i64::from(u16::MAX) - 1) as u16;
    record.payload_min = record.payload_min.max(least);
}

/// Index of the content, start in it, window and its expected rate.
fn best_window(
    placed: &[Placed<'_>],
    statistics: &Statistics,
    traffic: Traffic,
    exact_case: bool,
) -> Option<(usize, usize, Fragment, f64)> {
    let mut best: Option<(usize, usize, Fragment, f64)> = None;
    for (at, p) in placed.iter().enumerate() {
        for (start, window) in windows(&p.content.bytes, exact_case && !p.content.nocase) {
            let mut rate = statistics.rate(traffic, &window);
            if !p.range.is_unbounded() {
                // A bounded position is rarer than anywhere in the payload.
                rate *= ((p.range.high - p.range.low + 1) as f64 / 400.0).clamp(0.01, 1.0);
            }
            if best.as_ref().is_none_or(|b| rate < b.3) {
                best = Some((at, start, window, rate));
            }
        }
    }
    best
}

/// All usable windows of `bytes`: 8 bytes long, or all of it if shorter. Periodic ones are left out.
pub fn windows(bytes: &[u8], exact: bool) -> impl Iterator<Item = (usize, Fragment)> + '_ {
    let length = bytes.len().min(8);
    bytes
        .windows(length.max(4))
        .enumerate()
        .filter(|(_, w)| !periodic(w))
        .filter_map(move |(start, w)| Fragment::new(w, exact).map(|f| (start, f)))
}

/// All usable windows of the longest runs of `bytes` in which every window satisfies `verbatim`: 8 bytes where a run has
/// them, else the whole run. `verbatim` must hold for every part of a window for which it holds, but for its start.
pub fn windows_of_runs(bytes: &[u8], exact: bool, verbatim: impl Fn(&[u8]) -> bool) -> Vec<(usize, Fragment)> {
    let mut out = Vec::new();
    for length in (4..=8usize.min(bytes.len())).rev() {
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

fn set_position(record: &mut Record, p: &Placed<'_>, start: usize, packet: bool, stream_only: bool) {
    let start = start as i64;
    let (low, high) = (p.range.low + start, p.range.high.saturating_add(start));
    if low == start && p.range.low == 0 && p.range.is_unbounded() {
        return;
    }
    record.position_min = i32::try_from(low).unwrap_or(i32::MAX);
    record.position_max = if p.range.is_unbounded() { i32::MAX } else { i32::try_from(high).unwrap_or(i32::MAX) };
    record.flags |= base_flags(packet, stream_only, RecordFlags::POSITION_PACKET.0, RecordFlags::POSITION_STREAM.0);
}

fn base_flags(packet: bool, stream_only: bool, in_packet: u8, in_stream: u8) -> u8 {
    match (packet, stream_only) {
        (true, _) => in_packet,
        (false, true) => in_stream,
        (false, false) => in_packet | in_stream,
    }
}

/// Anchor bytes of all contents with a fixed start. `fragment` is start and length of the fragment the record hangs
/// on: in a stream only bytes before its end count. Without a fragment the record is judged at every frame, and holds
/// at the latest when all anchored bytes are there.
fn set_anchor(record: &mut Record, placed: &[Placed<'_>], fragment: Option<(i64, usize)>, packet: bool, stream_only: bool) {
    let known = match fragment {
        Some((low, length)) if !packet => low + length as i64,
        _ => ANCHOR as i64,
    };
    let mut any = false;
    for p in placed.iter().filter(|p| p.range.is_fixed()) {
        for (i, &byte) in p.content.bytes.iter().enumerate() {
            let at = p.range.low + i as i64;
            if at >= known {
                break;
            }
            let Some((value, mask)) = usize::try_from(at)
                .ok()
                .and_then(|at| Some((record.anchor_value.get_mut(at)?, record.anchor_mask.get_mut(at)?)))
            else {
                break;
            };
            let bits = anchor_mask(p.content, byte);
            *value = (*value & !bits) | (byte & bits);
            *mask |= bits;
            any = true;
        }
    }
    if any {
        record.flags |= base_flags(packet, stream_only, RecordFlags::ANCHOR_PACKET.0, RecordFlags::ANCHOR_STREAM.0);
    }
}

fn anchor_mask(content: &Content, byte: u8) -> u8 {
    if content.nocase && byte.is_ascii_alphabetic() { 0xdf } else { 0xff }
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
