//! Literals, guards and the header table against the records.

use super::lookup::{Staged, first};
use super::{Judging, Led, Pipeline, Taken};
use crate::flow::HeaderMemo;
use crate::parse::Parsed;
use crate::tables::Tables;
use crate::tables::header::Facts;
use weir_contract::counters::Counter;
use weir_contract::enums::{IpMask, TransportMask};
use weir_contract::facts;
use weir_contract::flow_key::Address;
use weir_contract::guards::Guard;
use weir_contract::layouts::FlowKey;
use weir_contract::record::{FrameFacts, Hit};

/// What judging found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Judged {
    /// First record that held.
    pub(super) first: Option<u32>,
    /// Scopes of all that held.
    pub(super) scopes: u8,
    /// Guards that led to one.
    pub(super) guards: u64,
    held: u64,
}

impl Judged {
    fn add(&mut self, record: u32, scopes: u8) {
        self.first.get_or_insert(record);
        self.scopes |= scopes;
        self.held += 1;
    }
}

const CANDIDATES: [Counter; 5] =
    [Counter::Candidates4, Counter::Candidates5, Counter::Candidates6, Counter::Candidates7, Counter::Candidates8];

impl Pipeline {
    pub(super) fn judge(
        &mut self,
        tables: &Tables,
        epoch: u32,
        taken: &Taken<'_>,
        parsed: &Parsed,
        staged: &mut Staged,
    ) -> Judged {
        let mut judged = Judged::default();
        self.held.clear();
        let keyed = taken.key.is_some();
        let payload = taken.data.get(parsed.payload.0..parsed.payload.1).filter(|_| keyed).unwrap_or(&[]);
        let frame = self.facts(tables, epoch, parsed, staged, payload);
        let list = self.header_list(tables, &frame, staged);
        let mut guards = staged.guards;
        if !payload.is_empty() {
            guards |= self.literals(tables, &frame, list, staged, payload, parsed.tcp.is_some(), &mut judged);
            if judged.held > 0 {
                self.counters.count(Counter::FramesLiteral);
            }
            // Which payload facts any record of this class, direction and port could ask for was decided with the list.
            let wanted = tables.armed & self.header.wanted(list);
            if wanted & facts::ALL != 0 {
                let tail = staged.tail.0.get(..usize::from(staged.tail.1)).unwrap_or(&[]);
                let facts = |tail| {
                    crate::facts::payload_facts(wanted, &tables.parameters, parsed.tcp.is_none(), tail, payload)
                };
                if staged.may_continue {
                    guards |= facts(tail);
                }
                if !staged.continues {
                    guards |= facts(&[]);
                }
            }
        }
        guards = self.bus.faults.heard(guards | self.history_guards(taken, staged));
        self.counters.guards(guards);
        let before = judged.held;
        let mut armed = guards & tables.armed;
        while armed != 0 {
            let n = armed.trailing_zeros() as usize;
            armed &= armed - 1;
            let Some(range) = tables.guards.get(n) else { continue };
            for id in tables.list(range.start, range.count) {
                if let Some(scopes) = self.header.record_holds(tables, list, *id, &frame, None) {
                    judged.add(*id, scopes);
                    judged.guards |= 1 << n;
                    if self.watcher.is_some() {
                        self.held.push((*id, Led::Guard(n as u8)));
                    }
                }
            }
        }
        if judged.held > before {
            self.counters.count(Counter::FramesGuard);
        }
        let before = judged.held;
        let (held, watched) = (&mut self.held, self.watcher.is_some());
        self.header.holding(tables, list, &frame, |id, scopes| {
            judged.add(id, scopes);
            if watched {
                held.push((id, Led::Header));
            }
        });
        if judged.held > before {
            self.counters.count(Counter::FramesHeader);
        }
        self.counters.add(Counter::RecordsHeld, judged.held);
        if let Some(watcher) = &mut self.watcher {
            let tail = staged.tail.0.get(..usize::from(staged.tail.1)).filter(|_| staged.may_continue).unwrap_or(&[]);
            watcher(&Judging {
                facts: &frame,
                ends: parsed.ends,
                ports: parsed.ports,
                guards,
                tail,
                payload,
                parameters: &tables.parameters,
                length: taken.data.len(),
                diverted: staged.slot.and_then(|slot| self.flows.get(slot)).is_some_and(|entry| entry.verdict.sticky),
                held: &self.held,
            });
        }
        judged
    }

    /// Guards of what history can hold.
    fn history_guards(&self, taken: &Taken<'_>, staged: &Staged) -> u64 {
        let mut guards = 0;
        let Some(queue) = self.queues.get(taken.queue) else { return 0 };
        let long = taken.data.len() as u64 > queue.history_size / 4;
        if long {
            guards |= Guard::HistoryTooLong.bit();
        }
        if let Some(entry) = staged.slot.and_then(|slot| self.flows.get(slot)) {
            let v = &entry.verdict;
            if v.hole && !v.sticky {
                guards |= Guard::FlowHole.bit();
            }
            if taken.place.is_none() && !v.is_settled() && !long {
                guards |= Guard::HistoryFull.bit();
            }
        }
        guards
    }

    fn literals(
        &mut self,
        tables: &Tables,
        frame: &FrameFacts,
        list: u32,
        staged: &Staged,
        payload: &[u8],
        stream: bool,
        judged: &mut Judged,
    ) -> u64 {
        let mut guards = 0;
        self.counters.add(Counter::PayloadBytes, payload.len() as u64);
        self.hits.clear();
        // With the tail in front, windows without it are among those scanned: one pass does both.
        let tail = staged.tail.0.get(..usize::from(staged.tail.1)).filter(|_| stream).unwrap_or(&[]);
        let limits = &tables.limits;
        let scan = tables.filter.scan(tail, payload, limits.candidates, &mut self.scratch, &mut self.hits);
        let total = scan.total();
        if total != 0 {
            self.counters.add(Counter::Candidates, u64::from(total));
            for (counter, n) in CANDIDATES.into_iter().zip(scan.candidates) {
                self.counters.add(counter, u64::from(n));
            }
        }
        if scan.limit {
            guards |= Guard::CandidateLimit.bit();
        }
        self.counters.add(Counter::Hits, self.hits.len() as u64);
        let mut entries = 0u32;
        'hits: for hit in &self.hits {
            let all = entries.saturating_add(u32::from(hit.list_count));
            if all <= limits.list_entries
                && !self.header.some_allowed(tables, list, hit.list_start, frame)
            {
                entries = all;
                continue;
            }
            for id in tables.list(hit.list_start, u32::from(hit.list_count)) {
                if entries >= limits.list_entries {
                    guards |= Guard::ListLimit.bit();
                    break 'hits;
                }
                entries += 1;
                let at = Some(Hit { position: hit.position });
                if let Some(scopes) = self.header.record_holds(tables, list, *id, frame, at) {
                    judged.add(*id, scopes);
                    if self.watcher.is_some() {
                        self.held.push((*id, Led::Fragment(hit.position)));
                    }
                }
            }
        }
        self.counters.add(Counter::ListEntries, u64::from(entries));
        guards
    }

    fn facts(&mut self, tables: &Tables, epoch: u32, parsed: &Parsed, staged: &Staged, payload: &[u8]) -> FrameFacts {
        let (version, transport) = match parsed.ends {
            None => (IpMask::NONE, TransportMask::NONE),
            Some((source, _)) => {
                let four = matches!(source, Address::V4(_));
                let transport = match parsed.protocol {
                    _ if !parsed.keyed => TransportMask::OTHER,
                    6 => TransportMask::TCP,
                    17 => TransportMask::UDP,
                    1 if four => TransportMask::ICMPV4,
                    58 if !four => TransportMask::ICMPV6,
                    132 => TransportMask::SCTP,
                    _ => TransportMask::OTHER,
                };
                (if four { IpMask::V4 } else { IpMask::V6 }, transport)
            }
        };
        let mut frame = FrameFacts {
            transport: transport.0,
            version: version.0,
            directions: staged.directions,
            states: staged.states,
            classes: staged.classes,
            protocol: parsed.ends.map(|_| parsed.protocol),
            tcp_flags: parsed.tcp.map(|t| t.flags),
            icmp: parsed.icmp,
            payload_length: payload.len() as u32,
            packet_first: first(payload),
            stream_first: staged.stream_first,
            stream_start_lost: staged.stream_start_lost,
            stream_offset: staged.stream_offset,
            reverse_bytes: staged.reverse_bytes,
            address_classes: (0, 0),
            port_classes: (0, 0),
            scopes: u8::MAX,
        };
        match staged.slot.and_then(|slot| self.flows.get_mut(slot)) {
            Some(entry) => {
                if entry.parse.classes_epoch != epoch {
                    entry.parse.classes = classes(tables, &entry.key);
                    entry.parse.classes_epoch = epoch;
                    entry.header = [HeaderMemo::default(); 2];
                }
                let from_lower = (staged.direction == 0) == entry.parse.initiator_lower;
                let [lower, upper] = entry.parse.classes;
                let (source, destination) = if from_lower { (lower, upper) } else { (upper, lower) };
                frame.address_classes = (source.0, destination.0);
                frame.port_classes = (source.1, destination.1);
                frame.scopes = entry.verdict.scopes;
                if entry.verdict.told_class != 0 {
                    frame.classes = 1 << entry.verdict.told_class;
                }
            }
            None => {
                if let Some((source, destination)) = parsed.ends {
                    frame.address_classes = (tables.address_class(source), tables.address_class(destination));
                }
                frame.port_classes = (tables.port_class(parsed.ports.0), tables.port_class(parsed.ports.1));
            }
        }
        frame
    }

    fn header_list(&mut self, tables: &Tables, frame: &FrameFacts, staged: &Staged) -> u32 {
        let facts = Facts::of(frame);
        let entry = staged.slot.and_then(|slot| self.flows.get_mut(slot));
        let memo = entry.and_then(|entry| entry.header.get_mut(staged.direction));
        match memo {
            Some(memo) => {
                if memo.stamp != self.header.stamp() || memo.stamp == 0 || memo.facts != facts.changing {
                    let list = self.header.list(tables, &facts, frame);
                    *memo = HeaderMemo { stamp: self.header.stamp(), facts: facts.changing, list };
                }
                memo.list
            }
            None => self.header.list(tables, &facts, frame),
        }
    }
}

fn classes(tables: &Tables, key: &FlowKey) -> [(u16, u16); 2] {
    let address = |bytes: &[u8; 16]| match (key.version, bytes) {
        (4, [a, b, c, d, ..]) => Address::V4([*a, *b, *c, *d]),
        _ => Address::V6(*bytes),
    };
    [
        (tables.address_class(address(&key.lower_address)), tables.port_class(key.lower_port)),
        (tables.address_class(address(&key.upper_address)), tables.port_class(key.upper_port)),
    ]
}
