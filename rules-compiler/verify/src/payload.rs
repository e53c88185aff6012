//! Payload of packets and streams.
//!
//! A window of a positive content lies in the packet that matches, at the content's place; in a stream, in one segment or
//! over the joint of two that follow one another, which the device scans with the bytes before it. Where segments do not
//! follow one another a guard fires that soundness always needs.

use crate::aspect::{Aspect, Witness, families, neighbours, windows};
use crate::expression;
use crate::need::{BOTH, Frame, Need, TCP, needs, on_packets};
use crate::place::{Cell, FAR, Placed, Strip, contents, jump_bits, least_length, length_told, strips, test_bits, test_end};
use crate::prove::{Known, Tables, Unit, Window};
use weir_contract::guards::Guard;
use weir_ir::{BufferMatch, Match, Rule, RuleProtocol};

/// Most bytes of a packet's payload (RFC 791 section 3.1, RFC 8200 section 3), behind the shortest header of its transport.
fn payload_max(need: &Need) -> u64 {
    if need.transport & (TCP | crate::need::UDP) != 0 { 65_535 - 8 } else { 65_535 }
}

/// The aspect "these contents are in the payload".
pub fn aspect(
    rule: &Rule,
    run: &BufferMatch,
    pattern: Option<&[u8]>,
    tables: &mut Tables<'_>,
    deep: bool,
) -> Option<Aspect> {
    if !run.transforms.is_empty() {
        return None;
    }
    let packets = on_packets(rule);
    let frame = if packets { Frame::Matching } else { Frame::Carrying };
    let least = if packets { least_length(&run.matches) } else { 0 };
    let mut aspect = Aspect { what: "payload".to_owned(), ..Aspect::default() };
    let mut most = FAR;
    for mut need in needs(rule, tables.bits, &mut tables.lists, frame, BOTH) {
        let bytes = run.matches.iter().any(|m| matches!(m, Match::Content(c) if !c.negated));
        need.payload.0 = need.payload.0.max(least).max(i64::from(bytes));
        if packets {
            need.payload.1 = need.payload.1.min(payload_max(&need) as i64);
            most = need.payload.1;
        }
        if need.payload.0 > need.payload.1 {
            continue;
        }
        let stream = need.transport == TCP && !packets;
        if !stream || rule.header.protocol != RuleProtocol::TcpStream {
            aspect.needs.push((need, Unit::Packet));
        }
        if stream {
            aspect.needs.push((need, Unit::Stream));
        }
    }
    let longest = packets.then(|| aspect.needs.iter().map(|(need, _)| payload_max(need)).max()).flatten();
    let placed: Vec<Placed<'_>> = contents(&run.matches)
        .into_iter()
        .map(|p| {
            // A content that would reach beyond the greatest payload is not there.
            let high = p.at.1.min(most.saturating_sub(p.len()));
            if packets && p.at.0 <= high { Placed { at: (p.at.0, high), ..p } } else { p }
        })
        .collect();
    fix(&mut aspect, run, &placed, longest);
    aspect.first = if packets { expression::first_bytes(run) } else { Vec::new() };
    if aspect.packet != Known::default() || !aspect.first.is_empty() {
        for (need, _) in &mut aspect.needs {
            need.payload.0 = need.payload.0.max(1);
        }
    }
    let texts: Vec<&[u8]> = rule
        .buffers
        .iter()
        .flat_map(|run| &run.matches)
        .filter_map(|m| match m {
            Match::Content(c) if !c.negated => Some(&*c.bytes),
            _ => None,
        })
        .collect();
    let pattern = pattern.filter(|_| !packets);
    let mut add = |windows: Vec<Window>| {
        let windows = windows.into_iter().map(|w| w.in_pattern(pattern, &texts)).collect();
        aspect.witnesses.push(Witness { windows, ..Witness::default() });
    };
    for strip in strips(&run.matches, &placed, false, longest) {
        windows(&strip, true).filter(|w| tables.found(w)).for_each(|w| add(vec![w]));
    }
    if deep {
        families(run, |_| true).into_iter().for_each(&mut add);
    }
    // What contents and tests fix at the beginning, as windows at their place.
    let fixed = if packets { aspect.packet } else { aspect.stream };
    // Each of their bytes is asked for, or lies before one that is: others may be missing where the rule matches.
    let asked = (0..16usize).filter(|at| fixed.values(*at).len() < 256).map(|at| at as i64 + 1);
    let read = run.matches.iter().filter_map(test_end);
    let there = asked.chain(read).chain([least_length(&run.matches)]).max().unwrap_or(0);
    for at in (0..=12usize).filter(|at| deep && *at as i64 + 4 <= there) {
        let sets: Vec<Vec<u8>> = (at..at + 4).map(|at| fixed.values(at)).collect();
        if sets.iter().map(Vec::len).product::<usize>() > 1024 {
            continue;
        }
        let place = Some((at as i64, at as i64));
        let mut forms: Vec<Vec<Cell>> = vec![Vec::new()];
        for set in &sets {
            let cell = |byte: &u8| [Cell { byte: *byte, exact: true }];
            forms = forms.iter().flat_map(|f| set.iter().map(move |b| [f.as_slice(), &cell(b)].concat())).collect();
        }
        let windows: Vec<Window> = forms.iter().filter_map(|cells| Window::new(cells, place)).collect();
        if windows.iter().all(|w| tables.found(w)) {
            add(windows);
        }
    }
    for p in placed.iter().filter(|p| deep && p.len() == 3) {
        // Three bytes have a neighbour where something is certain to stand before or behind them.
        let Strip { cells, at } = p.strip(false);
        let cells: &[Cell] = &cells;
        if at.0 >= 1 {
            add(neighbours(cells, false, Some((at.0 - 1, if at.1 >= FAR / 2 { at.1 } else { at.1 - 1 }))));
        }
        if placed.iter().any(|q| q.at.0.saturating_add(q.len()) > at.1.saturating_add(3)) {
            add(neighbours(cells, true, Some(at)));
        }
    }
    // Bytes that text does not have raise a fact of their own.
    let has = |test: fn(u8) -> bool| placed.iter().any(|p| p.content.bytes.iter().any(|b| test(*b)));
    // A field that a jump reads in a packet has zeros where it would lead out of it.
    let absent = run.matches.iter().any(|m| matches!(m, Match::Absent { .. }));
    let zero = !absent
        && run.matches.iter().any(|m| match (m, longest) {
            (Match::ByteJump(j), Some(most)) => jump_bits(j, most).iter().any(|(_, _, mask)| *mask == 0xff),
            _ => false,
        });
    let raised = [
        (Guard::UriHighByte, has(|b| b >= 0x80)),
        (Guard::UriControl, zero || has(|b| b < 0x20 && !matches!(b, b'\t' | b'\r' | b'\n') || b == 0x7f)),
        (Guard::UriBackslash, has(|b| b == b'\\')),
        (Guard::UriPlus, has(|b| b == b'+')),
        (Guard::Word, word(&placed, tables) || longest.is_some() && length(run, &aspect, tables)),
    ];
    for (guard, _) in raised.into_iter().filter(|(_, raised)| *raised) {
        aspect.witnesses.push(Witness { guards: guard.bit(), anchored: true, ..Witness::default() });
    }
    Some(aspect)
}

/// A content holds a loaded word.
fn word(placed: &[Placed<'_>], tables: &Tables<'_>) -> bool {
    placed.iter().any(|p| tables.bits.has_word(&p.content.bytes))
}

/// The packet holds a number that differs from its length as loaded.
fn length(run: &BufferMatch, aspect: &Aspect, tables: &Tables<'_>) -> bool {
    let least = aspect.needs.iter().map(|(need, _)| need.payload.0).min().unwrap_or(0);
    let p = &tables.bits.parameters;
    let loaded = |(low, high): (i64, i64)| i64::from(p.number_low) <= low && high < i64::from(p.number_end);
    length_told(&run.matches, least).into_iter().any(loaded)
}

/// Bits of the first bytes: contents with one possible place, tests, and fields of jumps.
fn fix(aspect: &mut Aspect, run: &BufferMatch, placed: &[Placed<'_>], longest: Option<u64>) {
    let (mut packet, mut stream) = (Known::default(), Known::default());
    for p in placed.iter().filter(|p| p.at.0 == p.at.1) {
        for (i, byte) in p.content.bytes.iter().enumerate().take(16) {
            let mask = if p.content.nocase && byte.is_ascii_alphabetic() { 0xdf } else { 0xff };
            packet.fix(p.at.0.saturating_add(i as i64), *byte, mask);
            stream.fix(p.at.0.saturating_add(i as i64), *byte, mask);
        }
    }
    if !run.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
        // Where the match before ended, if that is one place.
        let mut end = Some(0i64);
        for (index, m) in run.matches.iter().enumerate() {
            match m {
                Match::Content(c) if !c.negated => {
                    let here = placed.iter().find(|p| p.index == index && p.at.0 == p.at.1);
                    end = here.map(|p| p.at.0.saturating_add(p.len()));
                }
                Match::Pcre(p) if p.negated => {}
                Match::Pcre(_) | Match::ByteExtract(_) | Match::ByteMath(_) | Match::Base64Decode(_) => end = None,
                Match::ByteTest(t) => {
                    let Some(from) = (if t.relative { end } else { Some(0) }) else { continue };
                    for (at, value, mask) in test_bits(t) {
                        let at = at.saturating_add(from);
                        packet.fix(at, value, mask);
                        stream.fix(at, value, mask);
                    }
                }
                Match::ByteJump(j) => {
                    let fields = longest.filter(|_| !j.relative).map_or_else(Vec::new, |most| jump_bits(j, most));
                    fields.into_iter().for_each(|(at, value, mask)| packet.fix(at, value, mask));
                    end = None;
                }
                _ => {}
            }
        }
    }
    (aspect.packet, aspect.stream) = (packet, stream);
}
