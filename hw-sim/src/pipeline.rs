//! The frame path: one function per stage, in order.

use crate::flow::{FlowTable, HostTimeouts, ParseState};
use crate::literal::{self, Hit, Scan};
use crate::parse::{ParseConfig, Parsed, parse};
use crate::queue::Queue;
use crate::tables::Tables;
use std::sync::Arc;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{
    DescriptorKind, DirectionMask, FlowFlags, FlowRecordKind, FlowState, FrameFlags, IpMask, StateMask, TransportMask,
};
use weir_contract::flow_key::{Address, flow_key};
use weir_contract::guards::Guard;
use weir_contract::hash::flow_hash;
use weir_contract::layouts::{Descriptor, FlowKey, FlowRecord, HistoryHeader};
use weir_contract::protocol::{Carrier, Detection, Detector};
use weir_contract::record::{self, ClassSets, FrameFacts};
use weir_contract::sequence::{SegmentClass, SequenceState, Trouble};
use weir_device::{IommuError, IommuTable};

impl ClassSets for Tables {
    fn port(&self, set: u16, class: u16) -> bool {
        self.port_in(set, class)
    }
    fn address(&self, set: u16, class: u16) -> bool {
        self.address_in(set, class)
    }
}

/// A frame at the port.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Number, from 1.
    pub number: u64,
    /// Time, ns.
    pub time: u64,
    /// Link type.
    pub link: u16,
    /// Captured bytes.
    pub data: &'a [u8],
    /// Length on the wire.
    pub wire_length: u32,
}

/// What became of an offered frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Taken.
    Accepted,
    /// The host has to catch up first; offer the frame again.
    Wait,
}

/// Settings that registers hold.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Parser.
    pub parse: ParseConfig,
    /// Time-outs.
    pub timeouts: HostTimeouts,
    /// VLAN identifiers belong to the key.
    pub vlan_key: bool,
    /// Streams without SYN are tracked by the host.
    pub midstream: bool,
    /// Flow hash.
    pub flow_hash: [u64; 6],
    /// The source waits.
    pub source_waits: bool,
    /// Fail mode is closed.
    pub fail_closed: bool,
    /// Frames without heartbeat until fail mode; 0: never.
    pub watchdog_frames: u32,
    /// Frame time without heartbeat until fail mode, ns; 0: never.
    pub watchdog_time: u64,
}

/// State of the frame path.
pub struct Pipeline {
    /// Settings.
    pub settings: Settings,
    /// Flow table.
    pub flows: FlowTable,
    /// Queues.
    pub queues: Vec<Queue>,
    /// Active tables and their epoch.
    pub tables: Option<(u32, Arc<Tables>)>,
    /// Counters by number.
    pub counters: Vec<u64>,
    /// Frames per guard.
    pub guard_counters: [u64; c::GUARDS_MAX],
    /// Latest frame.
    pub now: (u64, u64),
    /// Frames and time of the last heartbeat.
    pub beat: (u64, u64),
    /// In fail mode.
    pub failed: bool,
    /// A DMA error since last asked.
    pub dma_fault: Option<IommuError>,
    hits: Vec<Hit>,
    scratch: Vec<u8>,
}

/// What the parse stage hands on.
struct Staged {
    slot: Option<u32>,
    direction: usize,
    guards: u64,
    states: u8,
    classes: u64,
    directions: u8,
    in_order: bool,
    tail: Tail,
    created: bool,
}

/// What the frame does to the tail of its direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tail {
    Keep,
    Append,
    Restart,
}

/// What judging found.
#[derive(Default)]
struct Judged {
    scopes: u8,
    first_record: Option<u32>,
    guards: u64,
}

impl Pipeline {
    /// A pipeline with nothing loaded.
    pub fn new(settings: Settings, flow_entries: usize) -> Self {
        Pipeline {
            settings,
            flows: FlowTable::new(flow_entries),
            queues: Vec::new(),
            tables: None,
            counters: vec![0; Counter::ALL.len()],
            guard_counters: [0; c::GUARDS_MAX],
            now: (0, 0),
            beat: (0, 0),
            failed: false,
            dma_fault: None,
            hits: Vec::new(),
            scratch: Vec::new(),
        }
    }

    pub(crate) fn count(&mut self, counter: Counter, n: u64) {
        if let Some(slot) = self.counters.get_mut(counter as usize) {
            *slot += n;
        }
    }

    pub(crate) fn value(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).copied().unwrap_or(0)
    }

    /// Take one frame.
    pub fn offer(&mut self, iommu: &IommuTable, frame: &Frame<'_>) -> Offer {
        if self.settings.source_waits && !self.queues.iter().all(|q| q.has_room(frame.data.len()) && q.flow_record_room() > 8) {
            self.count(Counter::HistoryWaits, 1);
            return Offer::Wait;
        }
        let bytes = frame.data.len() as u64;
        self.now = (frame.number, self.now.1.max(frame.time));
        self.count(Counter::ReceivedFrames, 1);
        self.count(Counter::ReceivedBytes, bytes);
        self.age(iommu);
        self.watchdog();
        let Some((epoch, tables)) = self.tables.clone().filter(|_| !self.failed) else {
            if self.settings.fail_closed {
                self.drop_frame(Counter::DroppedFailClosed, bytes);
            } else {
                self.bypass_frame(Counter::BypassedFailOpen, bytes);
            }
            return Offer::Accepted;
        };
        let parsed = parse(&self.settings.parse, frame.link, frame.data, frame.wire_length);
        let staged = self.parse_stage(iommu, &tables, frame, &parsed);
        let judged = self.judge(&tables, epoch, frame, &parsed, &staged);
        if staged.tail != Tail::Keep {
            let payload = &frame.data[parsed.payload.0.min(frame.data.len())..parsed.payload.1.min(frame.data.len())];
            if let Some(entry) = staged.slot.and_then(|s| self.flows.get_mut(s)) {
                if staged.tail == Tail::Restart {
                    entry.parse.tail[staged.direction].1 = 0;
                }
                keep_tail(&mut entry.parse.tail[staged.direction], payload);
            }
        }
        self.verdict_stage(iommu, frame, &staged, &judged, epoch);
        Offer::Accepted
    }

    fn drop_frame(&mut self, reason: Counter, bytes: u64) {
        self.count(Counter::DroppedFrames, 1);
        self.count(Counter::DroppedBytes, bytes);
        self.count(reason, 1);
    }

    fn bypass_frame(&mut self, reason: Counter, bytes: u64) {
        self.count(Counter::BypassedFrames, 1);
        self.count(Counter::BypassedBytes, bytes);
        self.count(reason, 1);
        self.count(Counter::TransmittedFrames, 1);
    }

    fn watchdog(&mut self) {
        let s = &self.settings;
        let frames = s.watchdog_frames != 0 && self.now.0.saturating_sub(self.beat.0) > u64::from(s.watchdog_frames);
        let time = s.watchdog_time != 0 && self.now.1.saturating_sub(self.beat.1) > s.watchdog_time;
        self.failed = frames || time;
    }

    /// Free entries that have been idle too long: two slots per frame.
    fn age(&mut self, iommu: &IommuTable) {
        for _ in 0..2 {
            if let Some(slot) = self.flows.sweep_one(self.now.1, &self.settings.timeouts) {
                self.end_flow(iommu, slot, FlowRecordKind::Aged);
            }
        }
    }

    /// Free an entry and report it.
    pub fn end_flow(&mut self, iommu: &IommuTable, slot: u32, kind: FlowRecordKind) {
        let Some(entry) = self.flows.remove(slot) else { return };
        self.count(if kind == FlowRecordKind::Aged { Counter::FlowsAged } else { Counter::FlowsForgotten }, 1);
        let p = &entry.parse;
        let v = &entry.verdict;
        let mut flags = FlowFlags::EMPTY.0;
        for (set, flag) in [
            (p.midstream, FlowFlags::MIDSTREAM),
            (v.hole, FlowFlags::HOLE),
            (v.diverted, FlowFlags::DIVERTED),
            (v.sticky, FlowFlags::STICKY),
            (v.settled, FlowFlags::SETTLED),
            (v.bypassed, FlowFlags::BYPASSED),
            (v.blocked, FlowFlags::BLOCKED),
            (p.stale, FlowFlags::STALE),
        ] {
            flags |= if set { flag.0 } else { 0 };
        }
        let record = FlowRecord {
            kind: kind as u8,
            flags,
            class: class_of(p),
            state: p.state as u8,
            flow_index: slot,
            flow_generation: entry.generation,
            key: entry.key,
            initiator_upper: u8::from(!p.initiator_lower),
            tcp_flags_to_server: p.tcp_flags[0],
            tcp_flags_to_client: p.tcp_flags[1],
            scopes: v.scopes,
            first_time: p.first.1,
            last_time: p.last.1,
            first_frame: p.first.0,
            last_frame: p.last.0,
            packets_to_server: p.packets[0],
            packets_to_client: p.packets[1],
            bytes_to_server: p.bytes[0],
            bytes_to_client: p.bytes[1],
            ..FlowRecord::ZERO
        };
        let Some(queue) = self.queues.get_mut(entry.queue) else { return };
        if queue.flow_record_room() == 0 {
            self.count(Counter::FlowRecordsLost, 1);
        } else if let Err(error) = queue.write_flow_record(iommu, record) {
            self.dma_fault = Some(error);
            self.count(Counter::FlowRecordsLost, 1);
        } else {
            self.count(Counter::FlowRecords, 1);
        }
    }

    /// First access to the entry: sequence, tail, class, direction.
    fn parse_stage(&mut self, iommu: &IommuTable, tables: &Tables, frame: &Frame<'_>, parsed: &Parsed) -> Staged {
        let mut staged = Staged {
            slot: None,
            direction: 0,
            guards: parsed.guards,
            states: StateMask::FLOWLESS.0,
            classes: u64::MAX,
            directions: DirectionMask::TO_SERVER.0 | DirectionMask::TO_CLIENT.0,
            in_order: false,
            tail: Tail::Keep,
            created: false,
        };
        let Some((source, destination)) = parsed.ends.filter(|_| parsed.keyed) else { return staged };
        let vlan = if self.settings.vlan_key { parsed.vlan } else { [0; 2] };
        let (key, source_lower) = flow_key((source, parsed.ports.0), (destination, parsed.ports.1), parsed.protocol, vlan);
        let hash = self.settings.flow_hash;
        let now = self.now.1;
        let mut slot = self.flows.find(&key, &hash);
        if let Some(aged) = slot.filter(|s| {
            self.flows.get(*s).is_some_and(|e| now.saturating_sub(e.parse.last.1) > self.settings.timeouts.device(key.protocol))
        }) {
            self.end_flow(iommu, aged, FlowRecordKind::Aged);
            slot = None;
        }
        let slot = match slot {
            Some(slot) => slot,
            None => {
                if self.flows.free_slot(&key, &hash).is_none() {
                    if let Some(aged) = self.flows.aged_in_bucket(&key, &hash, now, &self.settings.timeouts) {
                        self.end_flow(iommu, aged, FlowRecordKind::Aged);
                    }
                }
                let Some(slot) = self.flows.free_slot(&key, &hash) else {
                    staged.guards |= Guard::FlowTableFull.bit();
                    self.count(Counter::FlowTableFull, 1);
                    return staged;
                };
                self.create(tables, slot, key, source_lower, frame, parsed);
                staged.created = true;
                staged.guards |= Guard::NewFlow.bit();
                slot
            }
        };
        let settings = &self.settings;
        let Some(entry) = self.flows.get_mut(slot) else { return staged };
        if staged.created && entry.parse.midstream {
            staged.guards |= Guard::NoSyn.bit();
        }
        staged.slot = Some(slot);
        if !staged.created && now.saturating_sub(entry.parse.last.1) > settings.timeouts.shortest(entry) {
            entry.parse.stale = true;
            entry.parse.sure = false;
            entry.parse.class_lost = true;
            staged.guards |= Guard::FlowStale.bit();
        }
        if entry.verdict.hole {
            staged.guards |= Guard::FlowHole.bit();
        }
        let p = &mut entry.parse;
        let direction = usize::from(p.initiator_lower != source_lower);
        staged.direction = direction;
        staged.states = 1 << p.state as u8;
        let payload = &frame.data[parsed.payload.0.min(frame.data.len())..parsed.payload.1.min(frame.data.len())];
        p.packets[direction] += 1;
        p.bytes[direction] += frame.data.len() as u64;
        p.last = (frame.number, now);
        if let Some(tcp) = parsed.tcp {
            tcp_stage(p, &tcp, payload, direction, &mut staged, settings.midstream);
            let (client, server) = ports(&key, p.initiator_lower);
            if staged.in_order && p.stream_offset[direction].is_some() {
                p.detector.push(Carrier::Tcp, client, server, direction, payload);
            }
        } else {
            if p.packets[0] > 0 && p.packets[1] > 0 {
                p.state = FlowState::Established;
            }
            if parsed.protocol == 17 && !payload.is_empty() {
                let (client, server) = ports(&key, p.initiator_lower);
                p.detector.push(Carrier::Udp, client, server, direction, payload);
            }
        }
        staged.states |= 1 << p.state as u8;
        if p.midstream {
            staged.states |= StateMask::MIDSTREAM.0;
        }
        if p.sure {
            staged.directions = if direction == 0 { DirectionMask::TO_SERVER.0 } else { DirectionMask::TO_CLIENT.0 };
        }
        staged.classes = match p.detector.answer() {
            _ if p.class_lost || p.midstream || !p.sure => u64::MAX,
            Detection::Unknown => u64::MAX,
            known => 1 << known.class(),
        };
        staged
    }

    fn create(&mut self, tables: &Tables, slot: u32, key: FlowKey, source_lower: bool, frame: &Frame<'_>, parsed: &Parsed) {
        use weir_contract::sequence::{ACK, SYN};
        let flags = parsed.tcp.map(|t| t.flags);
        let syn = flags.is_some_and(|f| f & (SYN | ACK) == SYN);
        let answer = flags.is_some_and(|f| f & (SYN | ACK) == SYN | ACK);
        let tcp = flags.is_some();
        let parse = ParseState {
            initiator_lower: source_lower != answer,
            sure: !tcp || syn,
            midstream: tcp && !syn,
            stale: false,
            sequence: SequenceState::default(),
            detector: Detector::default(),
            class_lost: false,
            tail: [([0; c::TAIL_LENGTH], 0); 2],
            stream_offset: [if syn { Some(0) } else { None }; 2],
            state: if tcp && !syn { FlowState::Midstream } else { FlowState::New },
            fin: [false; 2],
            reset: false,
            tcp_flags: [0; 2],
            packets: [0; 2],
            bytes: [0; 2],
            first: (frame.number, self.now.1),
            last: (frame.number, self.now.1),
        };
        let queue = flow_hash(&key, &self.settings.flow_hash) as usize & (self.queues.len().max(1) - 1);
        if parse.midstream {
            self.count(Counter::FlowsMidstream, 1);
        }
        self.flows.insert(slot, key, queue, parse);
        self.count(Counter::FlowsCreated, 1);
        if let Some(entry) = self.flows.get_mut(slot) {
            let class = |address: &[u8; 16]| {
                if key.version == 4 {
                    tables.v4_class([address[0], address[1], address[2], address[3]])
                } else {
                    tables.v6_class(*address)
                }
            };
            entry.classes = (
                (class(&key.lower_address), tables.port_class(key.lower_port)),
                (class(&key.upper_address), tables.port_class(key.upper_port)),
            );
        }
    }

    /// Literal filter, guards and header table against the records.
    fn judge(&mut self, tables: &Tables, epoch: u32, frame: &Frame<'_>, parsed: &Parsed, staged: &Staged) -> Judged {
        let mut judged = Judged::default();
        let payload = &frame.data[parsed.payload.0.min(frame.data.len())..parsed.payload.1.min(frame.data.len())];
        let facts = self.facts(tables, epoch, parsed, staged, payload);
        let mut guards = staged.guards;
        self.count(Counter::PayloadBytes, payload.len() as u64);
        // Literals: the payload, with the stream's tail in front of it where it goes on from there.
        let mut scan = Scan::default();
        let mut hits = std::mem::take(&mut self.hits);
        hits.clear();
        if !payload.is_empty() && parsed.keyed {
            let tail = staged.slot.and_then(|s| self.flows.get(s)).map(|e| e.parse.tail[staged.direction]);
            match tail {
                Some((bytes, n)) if n > 0 && parsed.tcp.is_some() => {
                    let n = usize::from(n);
                    self.scratch.clear();
                    self.scratch.extend_from_slice(&bytes[..n]);
                    self.scratch.extend_from_slice(&payload[..payload.len().min(7)]);
                    literal::scan_joint(tables, &self.scratch, n, &mut scan, &mut hits);
                    literal::scan(tables, payload, 0, 0, &mut scan, &mut hits);
                }
                _ => literal::scan(tables, payload, 0, 0, &mut scan, &mut hits),
            }
        }
        self.count(Counter::Candidates, u64::from(scan.candidates));
        self.count(Counter::Hits, hits.len() as u64);
        if scan.limit {
            guards |= Guard::CandidateLimit.bit();
        }
        hits.sort_unstable_by_key(|h| (h.position, h.list_start));
        let mut entries = 0u32;
        'hits: for hit in &hits {
            for id in tables.list(hit.list_start, u32::from(hit.list_count)) {
                entries += 1;
                if entries > tables.limits.list_entries {
                    guards |= Guard::ListLimit.bit();
                    break 'hits;
                }
                if let Some(r) = tables.records.get(*id as usize) {
                    if record::holds(r, &facts, Some(record::Hit { position: hit.position }), tables) {
                        judged.first_record.get_or_insert(*id);
                        judged.scopes |= r.scopes;
                    }
                }
            }
        }
        self.count(Counter::ListEntries, u64::from(entries.min(tables.limits.list_entries)));
        self.hits = hits;
        if !payload.is_empty() {
            guards |= crate::facts::payload_guards(tables, payload);
        }
        if frame.data.len() as u64 > self.queues.iter().map(Queue::frame_limit).min().unwrap_or(0) {
            guards |= Guard::HistoryTooLong.bit();
        }
        let mut left = guards;
        while left != 0 {
            let n = left.trailing_zeros() as usize;
            left &= left - 1;
            self.guard_counters[n] += 1;
            let range = tables.guards[n];
            for id in tables.list(range.start, range.count) {
                if let Some(r) = tables.records.get(*id as usize) {
                    if record::holds(r, &facts, None, tables) {
                        judged.first_record.get_or_insert(*id);
                        judged.scopes |= r.scopes;
                        judged.guards |= 1 << n;
                    }
                }
            }
        }
        let cached = staged.slot.and_then(|s| self.flows.get(s)).and_then(|e| e.header[staged.direction].clone());
        let list: &[u32] = cached.as_deref().unwrap_or(&tables.header);
        for id in list {
            if let Some(r) = tables.records.get(*id as usize) {
                if record::holds(r, &facts, None, tables) {
                    judged.first_record.get_or_insert(*id);
                    judged.scopes |= r.scopes;
                }
            }
        }
        if judged.first_record.is_some() {
            self.count(Counter::RecordsHeld, 1);
        }
        judged
    }

    fn facts(&mut self, tables: &Tables, epoch: u32, parsed: &Parsed, staged: &Staged, payload: &[u8]) -> FrameFacts {
        let version = match parsed.ends {
            Some((Address::V4(_), _)) => IpMask::V4.0,
            Some((Address::V6(_), _)) => IpMask::V6.0,
            None => IpMask::NONE.0,
        };
        let transport = match (parsed.ends, parsed.keyed, parsed.protocol) {
            (None, ..) => TransportMask::NONE.0,
            (_, true, 6) => TransportMask::TCP.0,
            (_, true, 17) => TransportMask::UDP.0,
            (_, true, 1) => TransportMask::ICMPV4.0,
            (_, true, 58) => TransportMask::ICMPV6.0,
            (_, true, 132) => TransportMask::SCTP.0,
            _ => TransportMask::OTHER.0,
        };
        let first = |bytes: &[u8]| {
            let mut out = [0u8; 16];
            let n = bytes.len().min(16);
            out[..n].copy_from_slice(&bytes[..n]);
            (out, n as u8)
        };
        let mut facts = FrameFacts {
            transport,
            version,
            directions: staged.directions,
            states: staged.states,
            classes: staged.classes,
            protocol: parsed.ends.map(|_| parsed.protocol),
            tcp_flags: parsed.tcp.map(|t| t.flags),
            icmp: parsed.icmp,
            payload_length: payload.len() as u32,
            packet_first: first(payload),
            stream_first: None,
            stream_start_lost: false,
            stream_offset: None,
            address_classes: (0, 0),
            port_classes: (0, 0),
            scopes: 0xff,
        };
        let Some(slot) = staged.slot else {
            if let Some((a, b)) = parsed.ends {
                let class = |address| match address {
                    Address::V4(v4) => tables.v4_class(v4),
                    Address::V6(v6) => tables.v6_class(v6),
                };
                facts.address_classes = (class(a), class(b));
            }
            facts.port_classes = (tables.port_class(parsed.ports.0), tables.port_class(parsed.ports.1));
            return facts;
        };
        let Some(entry) = self.flows.get_mut(slot) else { return facts };
        let from_lower = (staged.direction == 0) == entry.parse.initiator_lower;
        if entry.header_epoch != epoch {
            let class = |address: &[u8; 16], version: u8| {
                if version == 4 {
                    tables.v4_class([address[0], address[1], address[2], address[3]])
                } else {
                    tables.v6_class(*address)
                }
            };
            let k = entry.key;
            entry.classes = (
                (class(&k.lower_address, k.version), tables.port_class(k.lower_port)),
                (class(&k.upper_address, k.version), tables.port_class(k.upper_port)),
            );
            entry.header = [None, None];
            entry.header_epoch = epoch;
        }
        let (source, destination) =
            if from_lower { (entry.classes.0, entry.classes.1) } else { (entry.classes.1, entry.classes.0) };
        facts.address_classes = (source.0, destination.0);
        facts.port_classes = (source.1, destination.1);
        facts.scopes = entry.verdict.scopes;
        let p = &entry.parse;
        if parsed.tcp.is_some() {
            let start = p.detector.first_bytes(staged.direction);
            facts.stream_first = Some(first(start));
            facts.stream_start_lost = p.class_lost && p.stream_offset[staged.direction].is_none();
            facts.stream_offset = p.stream_offset[staged.direction].map(|o| o.saturating_sub(if staged.in_order { payload.len() as u64 } else { 0 }));
        }
        if entry.header[staged.direction].is_none() {
            let list: Vec<u32> = tables
                .header
                .iter()
                .copied()
                .filter(|id| {
                    tables.records.get(*id as usize).is_some_and(|r| {
                        r.transports & transport != 0
                            && r.versions & version != 0
                            && (r.protocol_min..=r.protocol_max).contains(&parsed.protocol)
                            && tables.port_in(r.source_ports, source.1)
                            && tables.port_in(r.destination_ports, destination.1)
                            && tables.address_in(r.source_addresses, source.0)
                            && tables.address_in(r.destination_addresses, destination.0)
                    })
                })
                .collect();
            entry.header[staged.direction] = Some(list.into_boxed_slice());
        }
        facts
    }

    /// Second access to the entry, in order: sticky bits, history, descriptors.
    fn verdict_stage(&mut self, iommu: &IommuTable, frame: &Frame<'_>, staged: &Staged, judged: &Judged, epoch: u32) {
        let bytes = frame.data.len() as u64;
        let trouble = judged.first_record.is_some();
        let mut queue = 0;
        let mut settled = false;
        let mut divert = trouble;
        let mut flags = if staged.direction == 1 { FrameFlags::TO_CLIENT.0 } else { 0 };
        if (frame.wire_length as usize) > frame.data.len() {
            flags |= FrameFlags::TRUNCATED.0;
        }
        let mut header = HistoryHeader {
            frame_number: frame.number,
            time: self.now.1,
            previous: c::POSITION_NONE,
            flow_index: c::FLOW_NONE,
            wire_length: frame.wire_length,
            epoch,
            link: frame.link,
            ..HistoryHeader::ZERO
        };
        let mut descriptor = Descriptor {
            kind: DescriptorKind::Frame as u8,
            scopes: judged.scopes,
            frame_number: frame.number,
            flow_index: c::FLOW_NONE,
            chain_head: c::POSITION_NONE,
            guards: judged.guards,
            first_record: judged.first_record.unwrap_or(c::RECORD_NONE),
            epoch,
            ..Descriptor::ZERO
        };
        if let Some(entry) = staged.slot.and_then(|s| self.flows.get_mut(s)) {
            let v = &mut entry.verdict;
            queue = entry.queue;
            if v.blocked {
                return self.drop_frame(Counter::DroppedFlowBlocked, bytes);
            }
            if v.bypassed {
                return self.bypass_frame(Counter::BypassedFlow, bytes);
            }
            settled = v.settled;
            if v.sticky {
                flags |= FrameFlags::STICKY.0;
                divert = true;
            }
            if trouble {
                v.last_trouble = frame.number;
                v.sticky = true;
            }
            if divert && !v.diverted {
                v.diverted = true;
            }
            for (set, flag) in [
                (entry.parse.sure, FrameFlags::DIRECTION_SURE),
                (entry.parse.midstream, FrameFlags::MIDSTREAM),
                (v.hole, FrameFlags::HOLE),
            ] {
                flags |= if set { flag.0 } else { 0 };
            }
            header.flow_index = staged.slot.unwrap_or(c::FLOW_NONE);
            header.flow_generation = entry.generation;
            header.previous = v.chain_head;
            descriptor.flow_index = header.flow_index;
            descriptor.flow_generation = entry.generation;
            descriptor.class = class_of(&entry.parse);
            descriptor.next_sequence = entry.parse.sequence.directions[staged.direction].next;
        } else {
            flags |= FrameFlags::FLOWLESS.0;
        }
        header.flags = flags;
        descriptor.flags = flags;
        if !divert && (settled || staged.slot.is_none()) {
            return self.pass(bytes);
        }
        self.hand_over(iommu, queue, frame.data.len(), staged.slot.filter(|_| divert), epoch);
        let position = self.write_history(iommu, queue, header, frame, staged.slot);
        if !divert {
            if let (Some(position), Some(entry)) = (position, staged.slot.and_then(|s| self.flows.get_mut(s))) {
                let v = &mut entry.verdict;
                if v.chain_count == 0 {
                    v.chain_first = position;
                }
                v.chain_head = position;
                v.chain_count += 1;
            }
            return self.pass(bytes);
        }
        let mut oldest = position.unwrap_or(c::POSITION_NONE);
        if let Some(entry) = staged.slot.and_then(|s| self.flows.get_mut(s)) {
            let v = &mut entry.verdict;
            descriptor.chain_head = v.chain_head;
            descriptor.chain_count = v.chain_count;
            if v.chain_count > 0 {
                oldest = oldest.min(v.chain_first);
            }
            v.chain_head = c::POSITION_NONE;
            v.chain_first = c::POSITION_NONE;
            v.chain_count = 0;
        }
        descriptor.position = position.unwrap_or(c::POSITION_NONE);
        if position.is_none() {
            descriptor.flags |= FrameFlags::NO_RECORD.0;
        }
        self.count(Counter::ChainFrames, u64::from(descriptor.chain_count));
        if self.descriptor(iommu, queue, descriptor, oldest) {
            self.count(Counter::DivertedFrames, 1);
            self.count(Counter::DivertedBytes, bytes);
            self.count(Counter::DescriptorsFrame, 1);
            self.count(Counter::InFlight, 1);
            if flags & FrameFlags::STICKY.0 == 0 {
                self.count(Counter::DivertNew, 1);
            }
        } else if self.settings.fail_closed {
            self.drop_frame(Counter::DroppedRingFull, bytes);
        } else {
            if let Some(entry) = staged.slot.and_then(|s| self.flows.get_mut(s)) {
                entry.verdict.hole = true;
            }
            self.bypass_frame(Counter::BypassedRingFull, bytes);
        }
    }

    fn pass(&mut self, bytes: u64) {
        self.count(Counter::PassedFrames, 1);
        self.count(Counter::PassedBytes, bytes);
        self.count(Counter::TransmittedFrames, 1);
    }

    /// Hand over the chains that a write of `captured` bytes would bring to their end, except of the flow whose chain
    /// goes out with this frame anyway.
    fn hand_over(&mut self, iommu: &IommuTable, queue: usize, captured: usize, except: Option<u32>, epoch: u32) {
        let Some(q) = self.queues.get_mut(queue) else { return };
        for resident in q.scrub(captured) {
            if Some(resident.flow.0) == except {
                continue;
            }
            self.hand_over_flow(iommu, queue, resident.flow, Some(resident.position), Guard::Expiring, epoch);
        }
    }

    /// Give a flow's chain to the host without a frame.
    pub fn hand_over_flow(
        &mut self,
        iommu: &IommuTable,
        queue: usize,
        flow: (u32, u32),
        position: Option<u64>,
        reason: Guard,
        epoch: u32,
    ) {
        let number = self.now.0;
        let Some(entry) = self.flows.named(flow.0, flow.1) else { return };
        let v = &mut entry.verdict;
        // A record older than the chain was given to the host before.
        if position.is_some_and(|p| v.chain_count == 0 || p < v.chain_first) {
            return;
        }
        let oldest = if v.chain_count > 0 { v.chain_first } else { c::POSITION_NONE };
        let descriptor = Descriptor {
            kind: DescriptorKind::Handover as u8,
            frame_number: number,
            position: c::POSITION_NONE,
            flow_index: flow.0,
            flow_generation: flow.1,
            chain_head: v.chain_head,
            chain_count: v.chain_count,
            guards: reason.bit(),
            first_record: c::RECORD_NONE,
            class: class_of(&entry.parse),
            epoch,
            ..Descriptor::ZERO
        };
        v.chain_head = c::POSITION_NONE;
        v.chain_first = c::POSITION_NONE;
        v.chain_count = 0;
        self.count(Counter::ChainFrames, u64::from(descriptor.chain_count));
        if self.descriptor(iommu, queue, descriptor, oldest) {
            self.count(Counter::DescriptorsHandover, 1);
        } else if let Some(entry) = self.flows.named(flow.0, flow.1) {
            entry.verdict.hole = true;
        }
    }

    fn write_history(
        &mut self,
        iommu: &IommuTable,
        queue: usize,
        header: HistoryHeader,
        frame: &Frame<'_>,
        slot: Option<u32>,
    ) -> Option<u64> {
        let q = self.queues.get_mut(queue)?;
        let fits = crate::queue::record_size(frame.data.len()) <= q.history.1 / 2 && q.has_room(frame.data.len());
        let result = if fits { q.write_record(iommu, header, frame.data).map(Some) } else { Ok(None) };
        match result {
            Ok(Some(position)) => {
                self.count(Counter::HistoryFrames, 1);
                self.count(Counter::HistoryBytes, frame.data.len() as u64);
                return Some(position);
            }
            Ok(None) => {}
            Err(error) => self.dma_fault = Some(error),
        }
        self.count(Counter::HistoryLost, 1);
        if let Some(entry) = slot.and_then(|s| self.flows.get_mut(s)) {
            entry.verdict.hole = true;
        }
        None
    }

    fn descriptor(&mut self, iommu: &IommuTable, queue: usize, descriptor: Descriptor, oldest: u64) -> bool {
        let Some(q) = self.queues.get_mut(queue) else { return false };
        if q.descriptor_room() == 0 {
            return false;
        }
        match q.write_descriptor(iommu, descriptor, oldest) {
            Ok(()) => {
                self.count(Counter::Descriptors, 1);
                true
            }
            Err(error) => {
                self.dma_fault = Some(error);
                false
            }
        }
    }
}

fn ports(key: &FlowKey, initiator_lower: bool) -> (u16, u16) {
    if initiator_lower { (key.lower_port, key.upper_port) } else { (key.upper_port, key.lower_port) }
}

fn class_of(p: &ParseState) -> u8 {
    if p.class_lost || p.midstream || !p.sure { 0 } else { p.detector.answer().class() }
}

fn tcp_stage(
    p: &mut ParseState,
    tcp: &crate::parse::TcpFacts,
    payload: &[u8],
    direction: usize,
    staged: &mut Staged,
    host_midstream: bool,
) {
    use weir_contract::sequence::{ACK, FIN, RST, SYN, distance};
    let other = p.sequence.directions[1 - direction];
    let tracked = p.sequence.directions[direction].valid;
    if tcp.flags & ACK != 0 && other.valid && distance(tcp.acknowledgement, other.next) > 0 {
        staged.guards |= Guard::AckOdd.bit();
    }
    if !payload.is_empty() && (p.fin[direction] || p.reset) {
        staged.guards |= Guard::AfterClose.bit();
    }
    // A SYN from the other side, or after the end, may begin another flow on the host.
    if tcp.flags & (SYN | ACK) == SYN && !staged.created && (direction == 1 || p.fin != [false; 2] || p.reset || p.midstream) {
        p.sure = false;
        p.class_lost = true;
        staged.guards |= Guard::SynChange.bit();
    }
    let class = p.sequence.update(direction, tcp.sequence, tcp.acknowledgement, tcp.flags, payload.len() as u32);
    match class {
        SegmentClass::Trouble(reason) => {
            let guard = match reason {
                Trouble::Gap => Guard::SequenceGap,
                Trouble::Overlap => Guard::SequenceOverlap,
                Trouble::Retransmission => Guard::SequenceRetransmission,
                Trouble::SynData => Guard::SynData,
                Trouble::SynChange => Guard::SynChange,
                Trouble::RstData => Guard::RstData,
                Trouble::Urgent => Guard::Urgent,
            };
            staged.guards |= guard.bit();
            staged.tail = Tail::Restart;
            p.stream_offset[direction] = None;
            if p.detector.answer() == Detection::Unknown {
                p.class_lost = true;
                p.detector.lost(direction);
            }
        }
        SegmentClass::InOrder => {
            staged.in_order = true;
            staged.tail = Tail::Append;
            if let Some(offset) = &mut p.stream_offset[direction] {
                *offset += payload.len() as u64;
            }
        }
        SegmentClass::Untracked if !p.midstream => {
            staged.tail = Tail::Restart;
            staged.guards |= Guard::StreamState.bit();
            p.class_lost = true;
        }
        SegmentClass::Untracked if host_midstream => staged.guards |= Guard::StreamState.bit(),
        _ => {}
    }
    let established = p.sequence.directions[0].valid && p.sequence.directions[1].valid;
    if p.state == FlowState::New && (!established || !tracked) && tcp.flags & SYN == 0 {
        staged.guards |= Guard::HandshakeOdd.bit();
    }
    if tcp.flags & FIN != 0 {
        p.fin[direction] = true;
    }
    p.reset |= tcp.flags & RST != 0;
    p.tcp_flags[direction] |= tcp.flags;
    p.state = match p.state {
        FlowState::New if established && tcp.flags & SYN == 0 && tcp.flags & ACK != 0 => FlowState::Established,
        state => state,
    };
    if p.reset || p.fin == [true; 2] {
        p.state = FlowState::Closed;
    }
}

/// Keep the last bytes of a payload that continued its stream. In their case: entries may ask for it.
fn keep_tail(tail: &mut ([u8; c::TAIL_LENGTH], u8), payload: &[u8]) {
    let n = c::TAIL_LENGTH;
    if payload.len() >= n {
        tail.0.copy_from_slice(&payload[payload.len() - n..]);
        tail.1 = n as u8;
    } else {
        let have = usize::from(tail.1);
        let keep = have.min(n - payload.len());
        tail.0.copy_within(have - keep..have, 0);
        tail.0[keep..keep + payload.len()].copy_from_slice(payload);
        tail.1 = (keep + payload.len()) as u8;
    }
}
