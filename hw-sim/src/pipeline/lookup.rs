//! First access to the flow entry: find or create it; sequence, tail, protocol class, direction.

use super::{Pipeline, Taken};
use crate::flow::{HostStreams, HostTimeouts, ParseState, Room};
use crate::parse::{Parsed, TcpFacts};
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{DirectionMask, FlowRecordKind, FlowState, StateMask};
use weir_contract::guards::Guard;
use weir_contract::layouts::FlowKey;
use weir_contract::protocol::{Carrier, Detection, Detector};
use weir_contract::sequence::{ACK, SYN, SequenceState};

/// What the parse stage hands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Staged {
    /// Entry.
    pub slot: Option<u32>,
    /// 0: from the initiator.
    pub direction: usize,
    /// Guards that fired so far.
    pub guards: u64,
    /// As in `FrameFacts`.
    pub states: u8,
    /// As in `FrameFacts`.
    pub classes: u64,
    /// As in `FrameFacts`.
    pub directions: u8,
    /// Folded bytes before the payload, as they were before this frame.
    pub tail: ([u8; c::TAIL_LENGTH], u8),
    /// The payload continues its stream at the tail.
    pub continues: bool,
    /// It does so if the host reads it, which is not sure.
    pub may_continue: bool,
    /// As in `FrameFacts`.
    pub stream_first: Option<([u8; c::FIRST_BYTES], u8)>,
    /// As in `FrameFacts`.
    pub stream_start_lost: bool,
    /// As in `FrameFacts`.
    pub stream_offset: Option<u64>,
    /// Stream bytes of the other direction before the frame, where the host is sure to have as many or more.
    pub reverse_bytes: Option<u32>,
    /// TCP: next expected sequence number of the direction.
    pub next_sequence: u32,
}

impl Staged {
    /// Of a frame without an entry.
    fn flowless(guards: u64) -> Self {
        Staged {
            slot: None,
            direction: 0,
            guards,
            states: StateMask::FLOWLESS.0,
            classes: u64::MAX,
            directions: BOTH,
            tail: ([0; c::TAIL_LENGTH], 0),
            continues: false,
            may_continue: false,
            stream_first: None,
            stream_start_lost: false,
            stream_offset: None,
            reverse_bytes: None,
            next_sequence: 0,
        }
    }
}

/// A frame as an entry's parse state sees it.
#[derive(Debug, Clone, Copy)]
pub struct Arrival<'a> {
    /// Key of the entry.
    pub key: &'a FlowKey,
    /// It comes from the lower endpoint.
    pub from_lower: bool,
    /// The entry begins with it.
    pub created: bool,
    /// Frame number.
    pub number: u64,
    /// Frame time.
    pub now: u64,
    /// Captured bytes.
    pub length: u64,
    /// What the parser found.
    pub parsed: &'a Parsed,
    /// Payload.
    pub payload: &'a [u8],
}

const BOTH: u8 = DirectionMask::TO_SERVER.0 | DirectionMask::TO_CLIENT.0;
/// Every state of a flow.
const ANY_STATE: u8 = StateMask::NEW.0 | StateMask::ESTABLISHED.0 | StateMask::MIDSTREAM.0 | StateMask::CLOSED.0;

impl Pipeline {
    pub(super) fn lookup(&mut self, taken: &Taken<'_>, parsed: &Parsed) -> Staged {
        let mut staged = Staged::flowless(parsed.guards);
        let Some((key, hash, from_lower)) = taken.key else { return staged };
        let (slot, created) = match self.entry(&key, hash, from_lower, parsed) {
            Some(found) => found,
            None => {
                staged.guards |= Guard::FlowTableFull.bit();
                self.counters.count(Counter::FlowTableFull);
                return staged;
            }
        };
        let expiry = self.now.saturating_add(self.settings.timeouts.device(key.protocol));
        self.flows.set_expiry(slot, expiry);
        let payload = taken.data.get(parsed.payload.0..parsed.payload.1).unwrap_or(&[]);
        let arrival = Arrival {
            key: &key,
            from_lower,
            created,
            number: taken.frame.number,
            now: self.now,
            length: taken.data.len() as u64,
            parsed,
            payload,
        };
        let Some(entry) = self.flows.get_mut(slot) else { return staged };
        staged = entry.parse.follow(&arrival, &self.settings.timeouts, self.settings.streams);
        staged.slot = Some(slot);
        staged
    }

    /// The entry of a key, made if there is none; none if there is no room.
    fn entry(&mut self, key: &FlowKey, hash: u64, from_lower: bool, parsed: &Parsed) -> Option<(u32, bool)> {
        if let Some(slot) = self.flows.find(hash, key) {
            if !self.flows.is_expired(slot, self.now) {
                self.report(slot);
                return Some((slot, false));
            }
            self.end_flow(slot, FlowRecordKind::Aged);
        }
        let slot = self.free_slot(hash)?;
        let parse = ParseState::begin(from_lower, parsed.tcp.as_ref(), self.number, self.now);
        self.create(slot, hash, *key, parse);
        Some((slot, true))
    }

    /// A free slot for a key, freeing an expired entry if there must be one.
    pub(super) fn free_slot(&mut self, hash: u64) -> Option<u32> {
        if self.bus.faults.table_is_full() {
            return None;
        }
        match self.flows.room(hash, self.now) {
            Room::Free(slot) => Some(slot),
            Room::Expired(slot) => {
                self.end_flow(slot, FlowRecordKind::Aged);
                Some(slot)
            }
            Room::None => None,
        }
    }

    pub(super) fn create(&mut self, slot: u32, hash: u64, key: FlowKey, parse: ParseState) {
        self.counters.count(Counter::FlowsCreated);
        self.counters.count(Counter::FlowsLive);
        if parse.midstream {
            self.counters.count(Counter::FlowsMidstream);
        }
        self.flows.insert(slot, hash, key, parse);
    }

    /// State of an entry that begins now.
    pub(super) fn blank(&self) -> ParseState {
        ParseState::blank(self.number, self.now)
    }
}

impl ParseState {
    /// One frame of the entry.
    pub fn follow(&mut self, arrival: &Arrival<'_>, timeouts: &HostTimeouts, streams: HostStreams) -> Staged {
        let p = self;
        let key = arrival.key;
        let mut staged = Staged::flowless(arrival.parsed.guards);
        let direction = usize::from(p.initiator_lower != arrival.from_lower);
        staged.direction = direction;
        if arrival.created {
            staged.guards |= Guard::NewFlow.bit();
            if p.midstream {
                staged.guards |= Guard::NoSyn.bit();
            }
        } else if arrival.now.saturating_sub(p.last.1) > timeouts.shortest(key.protocol, p) {
            p.stale = true;
            p.intact = false;
            p.state_unsure = true;
            staged.guards |= Guard::FlowStale.bit();
        }
        let before = p.state;
        p.packets[direction] += 1;
        p.bytes[direction] += arrival.length;
        p.last = (arrival.number, arrival.now);
        let (parsed, payload) = (arrival.parsed, arrival.payload);
        let checksum_bad = parsed.fired(Guard::ChecksumL4) || parsed.fired(Guard::ChecksumIp);
        let ports = if p.initiator_lower { (key.lower_port, key.upper_port) } else { (key.upper_port, key.lower_port) };
        staged.tail = p.tail[direction];
        match &parsed.tcp {
            Some(tcp) => {
                let seen = p.tcp(tcp, payload, direction, arrival.created, checksum_bad, streams.midstream);
                staged.guards |= seen.guards;
                staged.continues = seen.continues;
                staged.may_continue = seen.may_continue;
                staged.stream_offset = seen.offset;
                if seen.continues && seen.offset.is_some() {
                    p.detector.push(Carrier::Tcp, ports.0, ports.1, direction, payload);
                }
                if !p.sequence.directions[direction].valid {
                    staged.stream_start_lost = streams.midstream || !p.intact && !p.is_unfollowed(streams);
                } else if !p.is_past_start(tcp.sequence, direction, streams.window) {
                    staged.stream_start_lost = p.start_lost[direction] || !p.intact;
                    staged.stream_first = Some(first(p.detector.first_bytes(direction)));
                }
                staged.next_sequence = p.sequence.directions[direction].next;
                // The host counts what it accepts; where the two could differ the number is not known.
                let sure = p.intact && !p.state_unsure && p.handshake >= 3;
                staged.reverse_bytes = sure.then_some(p.stream_least[1 - direction]);
            }
            None => {
                if p.packets[0] > 0 && p.packets[1] > 0 {
                    p.state = FlowState::Established;
                }
                if key.protocol == 17 && !payload.is_empty() {
                    if checksum_bad {
                        // The host does not read it.
                        p.start_lost = [true; 2];
                    } else {
                        p.detector.push(Carrier::Udp, ports.0, ports.1, direction, payload);
                    }
                }
            }
        }
        // The host tells ICMP conversations apart by identifier; the entry holds them all.
        let shared = matches!(key.protocol, 1 | 58);
        staged.states = if p.state_unsure || shared { ANY_STATE } else { 1 << before as u8 | 1 << p.state as u8 };
        if p.intact && !shared {
            staged.directions = if direction == 0 { DirectionMask::TO_SERVER.0 } else { DirectionMask::TO_CLIENT.0 };
        }
        let whole = p.intact && p.start_lost == [false; 2];
        if whole && p.decided == Detection::Unknown {
            p.decided = p.detector.answer();
            if p.decided != Detection::Unknown {
                staged.states |= StateMask::DECIDING.0;
            }
        }
        staged.classes = match p.decided {
            // Without a stream there is no parser.
            _ if p.is_unfollowed(streams) => 1 << Detection::Failed.class(),
            _ if !p.intact => u64::MAX,
            // While both starts are known an undecided flow is of class *unknown* alone (decision 0025).
            Detection::Unknown if !whole || parsed.tcp.is_none() && key.protocol != 17 => u64::MAX,
            known => 1 << known.class(),
        };
        staged
    }

    /// Where an entry begins.
    pub fn blank(number: u64, now: u64) -> ParseState {
        ParseState {
            initiator_lower: true,
            intact: true,
            midstream: false,
            stale: false,
            state_unsure: false,
            sequence: SequenceState::default(),
            detector: Detector::default(),
            decided: Detection::Unknown,
            start_lost: [false; 2],
            tail: [([0; c::TAIL_LENGTH], 0); 2],
            stream_offset: [None; 2],
            stream_least: [0; 2],
            timestamp: [None; 2],
            state: FlowState::New,
            handshake: 0,
            anchored: false,
            initial: [0; 2],
            fin: [None; 2],
            reset: false,
            tcp_flags: [0; 2],
            packets: [0; 2],
            bytes: [0; 2],
            first: (number, now),
            last: (number, now),
            reported: now,
            classes: [(0, 0); 2],
            classes_epoch: 0,
        }
    }

    /// Where an entry begins that a frame makes.
    pub fn begin(from_lower: bool, tcp: Option<&TcpFacts>, number: u64, now: u64) -> ParseState {
        let flags = tcp.map(|t| t.flags & (SYN | ACK));
        let answer = flags == Some(SYN | ACK);
        let midstream = flags.is_some_and(|f| f != SYN);
        ParseState {
            initiator_lower: from_lower != answer,
            intact: !midstream,
            midstream,
            state_unsure: midstream,
            state: if midstream { FlowState::Midstream } else { FlowState::New },
            ..ParseState::blank(number, now)
        }
    }

    /// The host follows no stream of the flow: it has begun without a SYN, none has come since, and the host has no
    /// frame of it that the device could not place.
    fn is_unfollowed(&self, streams: HostStreams) -> bool {
        self.midstream
            && !streams.midstream
            && self.start_lost == [false; 2]
            && self.sequence.directions.iter().all(|direction| !direction.valid)
    }

    /// A payload at `sequence` lies so far behind the stream's first bytes that the host sees no byte of both at once.
    fn is_past_start(&self, sequence: u32, direction: usize, window: u32) -> bool {
        let offset = sequence.wrapping_sub(self.initial[direction].wrapping_add(1));
        // Numbers in the upper half lie before the start, as far as anyone knows.
        let reach = window.saturating_add(c::FIRST_BYTES as u32);
        self.anchored && self.intact && offset >= reach && offset >> 31 == 0
    }

    /// Protocol class for descriptors and flow records.
    pub(crate) fn class(&self) -> u8 {
        if self.intact { self.decided.class() } else { 0 }
    }
}

/// At most sixteen first bytes.
pub(super) fn first(bytes: &[u8]) -> ([u8; c::FIRST_BYTES], u8) {
    let mut out = [0; c::FIRST_BYTES];
    let n = bytes.len().min(c::FIRST_BYTES);
    for (slot, byte) in out.iter_mut().zip(bytes) {
        *slot = *byte;
    }
    (out, n as u8)
}
