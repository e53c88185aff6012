//! Learning a profile: from what the device says of each frame.
//!
//! Memory is bounded: the sample has a fixed size, tables of runs forget the rare ones when they grow, and windows are
//! counted only if the planner asked for them. What is counted are frames, by kind of traffic: the protocol class that the
//! device gives the flow, and the direction.

use super::file::WINDOWS_MAX;
use super::{Head, KINDS, Measured, Profile, RUNS, SAMPLE_MAX, SLOTS, SampledFrame, key};
use crate::plan::cost::{Traffic, slot};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use weir_contract::constants::WINDOW_LENGTHS;
use weir_contract::enums::{DirectionMask, TransportMask};
use weir_contract::facts::{self, payload_facts};
use weir_contract::fold::{fold, fold_word, truncate};
use weir_contract::hash::splitmix64;
use weir_contract::layouts::GuardParameters;
use weir_contract::protocol::AppProtocol;
use weir_contract::record::FrameFacts;

/// Payload bytes of a frame that runs are counted in.
const LOOKED_AT: usize = 1460;
/// Runs of a table; the rare ones are forgotten beyond.
const RUNS_MAX: usize = 1 << 18;
/// Runs of a table that a profile keeps.
const KEPT: usize = 8000;
/// Windows that are kept: those found, or feared, in more than this share of a kind's frames.
const WORTH: f64 = 1e-4;
/// Feared: so frequent by their runs.
const FEARED: f64 = 1e-3;
/// A window's count that its runs tell to this factor need not be kept.
const TOLD: f64 = 2.0;

/// A frame, as the device judged it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// What records ask.
    pub facts: &'a FrameFacts,
    /// Addresses.
    pub ends: Option<(IpAddr, IpAddr)>,
    /// Ports.
    pub ports: (u16, u16),
    /// Guards that fired, but those that look at payload, which need not be among them.
    pub guards: u64,
    /// Folded bytes before the payload, where it continues its stream.
    pub tail: &'a [u8],
    /// Payload that fragments are looked for in.
    pub payload: &'a [u8],
    /// What guards compare with.
    pub parameters: &'a GuardParameters,
    /// Bytes of the frame.
    pub length: u32,
}

/// Words as keys: one multiplication.
#[derive(Default)]
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }
    fn write_u64(&mut self, n: u64) {
        let mixed = (self.0 ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ mixed >> 32;
    }
}

type Words<K, V> = HashMap<K, V, BuildHasherDefault<Mixer>>;

/// Windows of one length that are counted.
#[derive(Default)]
struct Watched {
    by_window: Words<u64, u32>,
    /// Most windows are none of these.
    filter: Vec<u64>,
}

const FILTER_BITS: u32 = 22;

fn filter_bit(window: u64) -> usize {
    (window.wrapping_mul(0xd6e8_feb8_6659_fd93) >> (64 - FILTER_BITS)) as usize
}

/// What is being learned.
pub struct Learner {
    head: Head,
    sample: Vec<SampledFrame>,
    random: u64,
    /// By length, from four.
    watched: [Watched; WINDOW_LENGTHS],
    /// By number of a window: frames of each kind, and the last frame that it was found in.
    counts: Vec<([u32; KINDS], u64)>,
    /// By kind and length ([`RUNS`]).
    runs: [[Words<u32, u32>; RUNS.len()]; KINDS],
    scratch: (Vec<u8>, Vec<u32>),
}

impl Learner {
    /// Nothing yet; windows (folded, with their lengths) that are to be counted.
    pub fn new(windows: impl IntoIterator<Item = (u64, usize)>) -> Self {
        let mut watched: [Watched; WINDOW_LENGTHS] = Default::default();
        let mut counts = Vec::new();
        for (window, length) in windows {
            let Some(own) = length.checked_sub(4).and_then(|n| watched.get_mut(n)) else { continue };
            if own.filter.is_empty() {
                own.filter = vec![0; 1 << (FILTER_BITS - 6)];
            }
            let bit = filter_bit(window);
            if let Some(word) = own.filter.get_mut(bit / 64) {
                *word |= 1 << (bit % 64);
            }
            own.by_window.entry(window).or_insert_with(|| {
                counts.push(([0; KINDS], 0));
                (counts.len() - 1) as u32
            });
        }
        Learner {
            head: Head::default(),
            sample: Vec::new(),
            random: 0x5eed,
            watched,
            counts,
            runs: Default::default(),
            scratch: Default::default(),
        }
    }

    /// Frames so far.
    pub fn frames(&self) -> u64 {
        self.head.frames
    }

    /// A capture begins.
    pub fn capture(&mut self) {
        self.head.captures += 1;
    }

    /// One more frame.
    pub fn frame(&mut self, seen: &Seen<'_>) {
        self.head.frames += 1;
        self.head.bytes += u64::from(seen.length);
        let kind = kind_of(seen.facts);
        if let Some(kind) = kind {
            if let Some(n) = self.head.kinds.get_mut(kind) {
                *n += 1;
            }
            self.payload(kind, seen);
        }
        // Each frame has the same chance to be in the sample when all have come.
        let place = if self.sample.len() < SAMPLE_MAX {
            self.sample.len()
        } else {
            (splitmix64(&mut self.random) % self.head.frames) as usize
        };
        if place < SAMPLE_MAX {
            let frame = sampled(seen, kind);
            match self.sample.get_mut(place) {
                Some(slot) => *slot = frame,
                None => self.sample.push(frame),
            }
        }
    }

    fn payload(&mut self, kind: usize, seen: &Seen<'_>) {
        let (text, runs) = &mut self.scratch;
        text.clear();
        text.extend(seen.tail.iter().chain(seen.payload).map(|&b| fold(b)));
        let (before, total) = (seen.tail.len(), text.len());
        text.extend([0; 8]);
        for (n, watched) in self.watched.iter().enumerate().filter(|(_, w)| !w.by_window.is_empty()) {
            let length = n + 4;
            // Windows that end in the tail were seen with an earlier segment.
            let first = (before + 1).saturating_sub(length);
            for at in first..(total + 1).saturating_sub(length).max(first) {
                let Some(word) = text.get(at..).and_then(|rest| rest.first_chunk::<8>()) else { break };
                let window = truncate(fold_word(u64::from_le_bytes(*word)), length);
                let bit = filter_bit(window);
                if watched.filter.get(bit / 64).is_none_or(|word| word >> (bit % 64) & 1 == 0) {
                    continue;
                }
                let found = watched.by_window.get(&window).and_then(|n| self.counts.get_mut(*n as usize));
                if let Some((counts, last)) = found {
                    if *last != self.head.frames {
                        *last = self.head.frames;
                        if let Some(count) = counts.get_mut(kind) {
                            *count += 1;
                        }
                    }
                }
            }
        }
        for (n, length) in RUNS.into_iter().enumerate() {
            // As windows: those that end in the payload.
            let first = (before + 1).saturating_sub(length);
            let looked_at = text.get(first..total.min(before + LOOKED_AT)).unwrap_or_default();
            runs.clear();
            runs.extend(looked_at.windows(length).map(|w| w.iter().fold(0u32, |run, b| run << 8 | u32::from(*b))));
            runs.sort_unstable();
            runs.dedup();
            let Some(table) = self.runs.get_mut(kind).and_then(|tables| tables.get_mut(n)) else { continue };
            for run in runs.iter() {
                *table.entry(*run).or_insert(0) += 1;
            }
            // What is rare in so much traffic is not among the frequent.
            let mut rare = 1;
            while table.len() > RUNS_MAX {
                table.retain(|_, count| *count > rare);
                rare *= 2;
            }
        }
    }

    /// The profile. `source` says for people what it was learned from.
    pub fn finish(mut self, source: String, created: u64, measured: Measured) -> Profile {
        (self.head.source, self.head.created, self.head.measured) = (source, created, measured);
        let mut grams = Vec::with_capacity(KINDS * RUNS.len() * SLOTS);
        for (frames, tables) in self.head.kinds.iter().zip(&self.runs) {
            for (table, length) in tables.iter().zip(RUNS) {
                grams.extend(quantised(table, length, *frames));
            }
        }
        let mut profile = Profile { head: self.head, sample: self.sample, grams, ..Profile::default() };
        let mut kept: Vec<(u32, [u32; KINDS])> = Vec::new();
        for (n, watched) in self.watched.iter().enumerate() {
            let length = n + 4;
            for (window, place) in &watched.by_window {
                let Some((counts, _)) = self.counts.get(*place as usize) else { continue };
                let bytes = window.to_le_bytes();
                let bytes = bytes.get(..length).unwrap_or(&bytes);
                let worth = (0..KINDS).any(|kind| {
                    let frames = profile.head.kinds.get(kind).map_or(0.0, |n| *n as f64).max(1.0);
                    let count = counts.get(kind).map_or(0.0, |n| f64::from(*n));
                    // In few frames everything that was not seen looks as frequent as half a frame.
                    let feared = FEARED.max(4.0 / frames);
                    let (counted, by_runs) = (count / frames, crate::plan::cost::chain(&profile.grams, kind, bytes));
                    let told = (by_runs / TOLD..=by_runs * TOLD).contains(&counted);
                    (counted >= WORTH && count > 0.0 || by_runs >= feared) && !told
                });
                if worth {
                    kept.push((key(*window, length), *counts));
                }
            }
        }
        kept.sort_unstable_by_key(|(key, counts)| (std::cmp::Reverse(counts.iter().max().copied()), *key));
        kept.truncate(WINDOWS_MAX);
        for (key, counts) in kept {
            // Of two windows with one name the more frequent.
            let own = profile.windows.entry(key).or_default();
            for (own, count) in own.iter_mut().zip(counts) {
                *own = (*own).max(count);
            }
        }
        profile
    }
}

/// A table of runs as the statistics have it: the most frequent by their slots, all others half as frequent as the last of them;
/// pairs have a slot each.
fn quantised(table: &Words<u32, u32>, length: usize, frames: u64) -> Vec<u8> {
    let mut kept: Vec<(u32, u32)> = table.iter().map(|(run, count)| (*count, *run)).collect();
    kept.sort_unstable_by_key(|&(count, run)| (std::cmp::Reverse(count), run));
    let most = if length == 2 { SLOTS } else { KEPT };
    kept.truncate(most);
    let floor = kept.get(KEPT - 1).filter(|_| length > 2).map_or(0.5, |(least, _)| (f64::from(*least) / 2.0).max(0.5));
    let mut slots = vec![floor; SLOTS];
    for (count, run) in kept {
        let bytes = run.to_be_bytes();
        let at = slot(bytes.get(4 - length..).unwrap_or(&bytes));
        if let Some(share) = slots.get_mut(at) {
            *share = share.max(f64::from(count));
        }
    }
    let share = |count: f64| (-8.0 * (count / frames.max(1) as f64).log2()).round().clamp(0.0, 255.0) as u8;
    slots.into_iter().map(share).collect()
}

/// Kind of traffic of a frame; none: no fragment can lead to a record that holds, for want of payload or scope.
fn kind_of(facts: &FrameFacts) -> Option<usize> {
    if facts.payload_length == 0 || facts.scopes != u8::MAX {
        return None;
    }
    let is = |protocol: AppProtocol| facts.classes == 1 << protocol as u8;
    let of = |all: &[AppProtocol]| all.iter().any(|p| is(*p));
    use AppProtocol as P;
    let kind = if facts.transport == TransportMask::UDP.0 {
        if of(&[P::Dns, P::Mdns]) { Traffic::Dns } else { Traffic::Datagram }
    } else if facts.transport != TransportMask::TCP.0 {
        Traffic::Datagram
    } else if of(&[P::Http, P::Http1, P::Http2]) {
        Traffic::body(facts.directions & (DirectionMask::TO_SERVER.0 | DirectionMask::TO_CLIENT.0))
    } else if is(P::Tls) {
        Traffic::Tls
    } else if is(P::Dns) {
        Traffic::Dns
    } else {
        Traffic::Stream
    };
    Some(kind as usize)
}

fn sampled(seen: &Seen<'_>, kind: Option<usize>) -> SampledFrame {
    let f = seen.facts;
    let datagram = f.transport != TransportMask::TCP.0;
    let looked = payload_facts(facts::ALL, seen.parameters, datagram, seen.tail, seen.payload);
    SampledFrame {
        transport: f.transport,
        version: f.version,
        directions: f.directions,
        states: f.states,
        scopes: f.scopes,
        kind: kind.and_then(|kind| u8::try_from(kind).ok()).unwrap_or(SampledFrame::NO_KIND),
        classes: f.classes,
        guards: seen.guards | looked,
        protocol: f.protocol,
        tcp_flags: f.tcp_flags,
        icmp: f.icmp,
        reverse: f.reverse_bytes,
        payload: f.payload_length,
        length: seen.length,
        ports: seen.ports,
        networks: seen.ends.map(|(a, b)| (SampledFrame::network(a), SampledFrame::network(b))),
    }
}
