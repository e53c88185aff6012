//! One TCP session: state, validity, delivery.

#[path = "acknowledged.rs"]
mod acknowledged;
#[path = "one_sided.rs"]
mod one_sided;

use crate::budget::Budget;
use crate::event::{StreamEvent, StreamEvents};
use crate::policy::OverlapPolicy;
use crate::queue::Queue;
use std::sync::Arc;
use weir_contract::constants::TAIL_LENGTH;
use weir_contract::fold::fold;
use weir_contract::sequence::{SegmentClass, SequenceState, distance};
use weir_contract::tail::{self, Tail};
use weir_packet::{Tcp, tcp_flags};

/// Receives what a session delivers.
pub trait StreamSink {
    /// The next bytes of a direction.
    fn data(&mut self, direction: usize, offset: u64, bytes: &[u8]);
    /// So many bytes are lost.
    fn gap(&mut self, direction: usize, offset: u64, length: u64);
    /// Nothing more will come from this direction.
    fn end(&mut self, direction: usize);
    /// Delivered bytes still at hand: (bytes, offset of the first). For comparing retransmissions.
    fn recent(&self, _direction: usize) -> (&[u8], u64) {
        (&[], 0)
    }
}

/// When bytes are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// When they are contiguous with what was delivered.
    #[default]
    Arrival,
    /// When the other side has acknowledged them, too.
    Acknowledged,
}

/// Limits and policies.
#[derive(Debug, Clone)]
pub struct SessionConfig {
    /// Follow sessions whose SYN was not seen.
    pub midstream: bool,
    /// Follow sessions of which one side is seen only.
    pub one_sided: bool,
    /// Bytes delivered per direction.
    pub depth: u64,
    /// Bytes that may wait behind a gap, per direction.
    pub queue_limit: usize,
    /// Memory of what waits, of all sessions together.
    pub memory: Arc<Budget>,
    /// Overlap policy.
    pub policy: OverlapPolicy,
    /// When bytes are delivered.
    pub delivery: Delivery,
}

impl SessionConfig {
    /// Bytes wait for their acknowledgement.
    pub fn waits(&self) -> bool {
        self.delivery == Delivery::Acknowledged
    }
}

impl Default for SessionConfig {
    fn default() -> Self {
        SessionConfig {
            midstream: false,
            one_sided: false,
            depth: 1 << 20,
            queue_limit: 256 << 10,
            memory: Arc::default(),
            policy: OverlapPolicy::Bsd,
            delivery: Delivery::Arrival,
        }
    }
}

/// Where a session stands (RFC 9293 section 3.3.2, seen from the middle).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, PartialOrd, Ord)]
pub enum State {
    /// No SYN seen.
    #[default]
    None,
    /// SYN seen.
    SynSent,
    /// SYN and its answer seen.
    SynReceived,
    /// Handshake complete.
    Established,
    /// A FIN was delivered in one direction.
    Closing,
    /// Both FINs acknowledged, or reset.
    Closed,
}

/// What one packet was to its session.
#[derive(Debug, Clone, Copy)]
pub struct PacketResult {
    /// Answer of the shared sequence function.
    pub class: SegmentClass,
    /// The session was established before the packet, and neither reset nor closed by both sides. Of packets that
    /// complete the handshake only those with data count, as in Suricata.
    pub was_established: bool,
    /// The session is, or was, established: what the packet delivers belongs to an established session.
    pub established: bool,
    /// Events.
    pub events: StreamEvents,
    /// The payload, or some of it, was delivered to the stream by this packet.
    pub in_stream: bool,
}

#[derive(Debug, Default)]
struct Stream {
    tracked: bool,
    isn: u32,
    /// Sequence number of the next byte to deliver.
    base: u32,
    /// Bytes delivered and lost.
    delivered: u64,
    queue: Option<Box<Queue>>,
    /// Sequence number of the FIN.
    fin: Option<u32>,
    fin_acked: bool,
    /// Everything up to the FIN is delivered.
    ended: bool,
    /// The sink knows that nothing more is expected.
    end_told: bool,
    depth_reached: bool,
    /// Highest acknowledgement this side sent.
    last_ack: Option<u32>,
    window: u32,
    scale: u8,
    /// Timestamps: of the first SYN, and the latest.
    first_timestamp: Option<u32>,
    timestamp: Option<u32>,
    /// Highest sequence number seen (valid packets).
    highest: u32,
    /// It is, or was, 2^31 or more above the initial one.
    long: bool,
}

impl Stream {
    /// The timestamp may be one of this side's, so far.
    fn sent_timestamp(&self, echo: u32) -> bool {
        let (Some(first), Some(last)) = (self.first_timestamp, self.timestamp) else { return false };
        distance(echo, first) >= 0 && distance(last, echo) >= 0
    }

    /// Followed from a number on that the other side has acknowledged.
    fn follow_from(&mut self, sequence: u32) {
        self.tracked = true;
        self.isn = sequence.wrapping_sub(1);
        self.base = sequence;
        self.highest = sequence;
    }

    fn seen(&mut self, end: u32) {
        if distance(end, self.highest) > 0 {
            self.highest = end;
            self.long |= end.wrapping_sub(self.isn) > i32::MAX as u32;
        }
    }
}

/// State of one TCP session.
#[derive(Debug, Default)]
pub struct Session {
    sequence: SequenceState,
    /// What a device that has seen the same segments has for the last bytes of each stream.
    tails: [Tail; 2],
    state: State,
    streams: [Stream; 2],
    syn_direction: usize,
    /// Payload bytes of the SYN, which its answer may take or leave (RFC 7413).
    syn_payload: u32,
    /// Who sent the reset, until it shows that somebody else did.
    reset_by: Option<usize>,
    /// State at the time of a reset.
    before_reset: State,
    /// The session began with the answer to a SYN.
    syn_missing: bool,
    /// The only direction that has been seen, where one is enough.
    alone: Option<usize>,
    /// The responder has sent something since the handshake.
    confirmed: bool,
    /// Other answers to the SYN, of which the initiator may choose one.
    answers: Vec<Answer>,
}

/// A SYN+ACK that differs from the first one.
#[derive(Debug, Clone, Copy)]
struct Answer {
    isn: u32,
    window: u16,
    scale: u8,
    timestamp: Option<u32>,
}

/// SYN+ACKs with different numbers that are remembered.
const MAX_ANSWERS: usize = 5;

impl Session {
    /// State.
    pub fn state(&self) -> State {
        self.state
    }

    /// Name of the state, as flow records have it (RFC 9293 section 3.3.2, as seen from outside).
    pub fn state_name(&self) -> &'static str {
        let [client, server] = &self.streams;
        match self.state {
            State::None => "none",
            State::SynSent => "syn_sent",
            State::SynReceived => "syn_recv",
            State::Established | State::Closing => match (client.fin.is_some(), server.fin.is_some()) {
                (true, false) => "close_wait",
                (false, true) if server.fin_acked => "fin_wait2",
                (false, true) => "fin_wait1",
                (true, true) if client.fin_acked => "last_ack",
                (true, true) => "time_wait",
                (false, false) => "established",
            },
            State::Closed => "closed",
        }
    }

    /// The initiator sends nothing more, or nobody does.
    pub fn initiator_closes(&self) -> bool {
        self.state == State::Closed || self.streams[self.syn_direction].fin.is_some()
    }

    /// A SYN that must start a new session instead of joining this one (reference semantics 2.4).
    pub fn wants_restart(&self, direction: usize, tcp: &Tcp<'_>) -> bool {
        if tcp.flags & (tcp_flags::SYN | tcp_flags::ACK | tcp_flags::RST) != tcp_flags::SYN {
            return false;
        }
        match self.state {
            State::None => false,
            State::Closed => true,
            _ => {
                let quiet = self.streams.iter().all(|s| s.delivered == 0);
                let own = &self.streams[direction & 1];
                quiet && own.tracked && own.isn != tcp.sequence && self.state < State::Established
            }
        }
    }

    /// Bytes of the stream so far: next sequence number minus initial one, for `stream_size`. From 2^31 on it is the
    /// greatest number: it never goes down, as a count modulo 2^32 would.
    pub fn stream_size(&self, direction: usize) -> u32 {
        let s = &self.streams[direction & 1];
        match (s.tracked, s.long) {
            (true, true) => u32::MAX,
            (true, false) => s.highest.wrapping_sub(s.isn),
            _ => 0,
        }
    }

    /// Delivered bytes (and lost ones) of a direction.
    pub fn delivered(&self, direction: usize) -> u64 {
        self.streams[direction & 1].delivered
    }

    /// A device that has seen the same segments since [`Session::forget_tails`] has these last bytes of the stream,
    /// which `recent` ends with, folded, and as many as it can have.
    pub fn tail_is_of(&self, direction: usize, recent: &[u8]) -> bool {
        let (bytes, length) = &self.tails[direction & 1];
        usize::from(*length) == bytes.len()
            && recent.last_chunk::<TAIL_LENGTH>().is_some_and(|last| last.map(fold) == *bytes)
    }

    /// A device may have read what came last in another way: what it has is known again after as many bytes as it keeps.
    pub fn forget_tails(&mut self) {
        self.tails.iter_mut().for_each(|tail| tail.1 = 0);
    }

    /// The direction's stream is followed. (It is not where no SYN came, unless streams are followed without.)
    pub fn is_followed(&self, direction: usize) -> bool {
        self.streams[direction & 1].tracked
    }

    /// Reassembly has stopped in this direction because its depth is reached.
    pub fn depth_reached(&self, direction: usize) -> bool {
        self.streams[direction & 1].depth_reached
    }

    /// Both directions, with what waits in them, end where the shared sequence function stands, so that a device which
    /// follows the same function can go on alone.
    pub fn is_level(&self) -> bool {
        (0..2).all(|d| {
            let s = &self.streams[d];
            let shared = &self.sequence.directions[d];
            // Of a stream that is not read on nothing more is asked.
            if !s.tracked && !shared.valid || s.depth_reached {
                return true;
            }
            let waiting = s.queue.as_ref().and_then(|queue| queue.end()).unwrap_or(s.delivered);
            let end = s.base.wrapping_add(waiting.saturating_sub(s.delivered) as u32);
            let next = match s.fin {
                Some(fin) if end == fin => fin.wrapping_add(1),
                _ => end,
            };
            s.tracked == shared.valid && next == shared.next
        })
    }

    /// Bytes of the direction wait: for others that should stand before them, or for their acknowledgement.
    pub fn is_waiting(&self, direction: usize) -> bool {
        self.streams[direction & 1].queue.as_ref().is_some_and(|queue| !queue.is_empty())
    }

    /// The shared sequence state (to compare with the device's).
    pub fn sequence(&self) -> &SequenceState {
        &self.sequence
    }

    /// Process one packet.
    pub fn packet(
        &mut self,
        config: &SessionConfig,
        direction: usize,
        tcp: &Tcp<'_>,
        payload: &[u8],
        checksum_bad: bool,
        sink: &mut impl StreamSink,
    ) -> PacketResult {
        let d = direction & 1;
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let before = self.sequence.directions[d];
        let class = self.sequence.update(d, tcp.sequence, tcp.acknowledgement, tcp.flags, length);
        tail::follow(&mut self.tails, d, (before, self.sequence.directions[d]), class, tcp.sequence, payload);
        let mut result = PacketResult {
            class,
            was_established: matches!(self.state, State::Established | State::Closing),
            established: self.state >= State::Established,
            events: StreamEvents::default(),
            in_stream: false,
        };
        if checksum_bad {
            return result;
        }
        let events = &mut result.events;
        if tcp.flags & tcp_flags::ACK == 0 && tcp.acknowledgement != 0 && tcp.flags & tcp_flags::SYN == 0 {
            events.insert(StreamEvent::PktBrokenAck);
        }
        let syn_fin_rst = tcp.flags & (tcp_flags::SYN | tcp_flags::FIN | tcp_flags::RST);
        if syn_fin_rst == tcp_flags::SYN | tcp_flags::FIN && self.state == State::None {
            events.insert(StreamEvent::FinSyn);
        }
        if tcp.flags & tcp_flags::SYN != 0 {
            self.syn(config, d, tcp, payload, events);
            // What waits for its acknowledgement is of the stream; without the option nobody would take it.
            result.in_stream = config.waits()
                && !payload.is_empty()
                && (self.state, self.syn_payload) == (State::SynSent, length)
                && has_fast_open(tcp.header);
            result.established = self.state >= State::Established;
            return result;
        }
        if self.state == State::None {
            if tcp.flags & tcp_flags::RST != 0 {
                events.insert(StreamEvent::RstButNoSession);
                return result;
            }
            if tcp.flags & tcp_flags::FIN != 0 {
                events.insert(StreamEvent::FinButNoSession);
                return result;
            }
            if !config.midstream {
                return result;
            }
            self.pick_up(d, tcp);
            self.alone = config.one_sided.then_some(d);
        }
        self.goes_on_alone(config, d, tcp);
        if tcp.flags & tcp_flags::RST != 0 {
            self.reset(config, d, tcp, events, sink);
            result.established = self.state >= State::Established;
            return result;
        }
        let refuses = self.state == State::SynSent && d != self.syn_direction;
        if refuses && tcp.timestamp.is_some_and(|(_, echo)| !self.streams[1 - d].sent_timestamp(echo)) {
            events.insert(StreamEvent::PktInvalidTimestamp);
            return result;
        }
        if !self.valid(d, tcp, length, events) {
            return result;
        }
        // Whoever goes on behind its own reset did not send it.
        if self.reset_by == Some(d) && !payload.is_empty() && tcp.sequence == self.streams[d].base {
            self.reset_by = None;
            events.insert(StreamEvent::SuspectedRstInject);
        }
        self.acknowledge(d, tcp, events);
        self.confirmed |= self.state == State::Established && d != self.syn_direction;
        if self.state == State::SynReceived && d == self.syn_direction && tcp.flags & tcp_flags::ACK != 0 {
            self.choose_answer(tcp.acknowledgement);
            if distance(tcp.acknowledgement, self.streams[1 - d].isn) > 0 {
                self.state = State::Established;
                result.was_established = !payload.is_empty();
                self.answers = Vec::new();
                // What came with the SYN, or before this packet.
                for side in 0..2 {
                    if config.waits() {
                        self.deliver_acknowledged(config, side, events, sink);
                    } else {
                        self.drain(config, side, events, sink);
                    }
                }
            } else {
                events.insert(StreamEvent::RightSeqWrongAck3whs);
            }
        }
        if self.state == State::SynReceived && d != self.syn_direction && !payload.is_empty() {
            self.hold(config, d, tcp.sequence, payload);
        }
        result.established = self.state >= State::Established;
        if self.state >= State::Established && self.streams[d].tracked {
            if !self.delivers_on_arrival(config, 1 - d) {
                self.deliver_acknowledged(config, 1 - d, events, sink);
            }
            if !payload.is_empty() {
                let ignored = matches!(class, SegmentClass::Acked);
                if ignored {
                    events.insert(StreamEvent::PktSpuriousRetransmission);
                } else if !self.delivers_on_arrival(config, d) {
                    result.in_stream = self.keep(config, d, tcp.sequence, payload, events, sink);
                } else {
                    result.in_stream = self.segment(config, d, tcp.sequence, payload, events, sink);
                }
                let end = tcp.sequence.wrapping_add(length);
                self.streams[d].seen(end);
            }
            if tcp.flags & tcp_flags::FIN != 0 {
                let own = &mut self.streams[d];
                own.fin.get_or_insert(tcp.sequence.wrapping_add(length));
            }
            if !config.waits() {
                self.lost_by_acknowledgement(config, d, events, sink);
            }
            for side in 0..2 {
                self.finish(config, side, sink);
            }
            // Parsers are told of the end when both sides have acknowledged it.
            if config.waits() && self.state == State::Closed {
                (0..2).for_each(|side| self.tell_end(side, sink));
            }
        }
        result
    }

    fn syn(&mut self, config: &SessionConfig, d: usize, tcp: &Tcp<'_>, payload: &[u8], events: &mut StreamEvents) {
        let answer = tcp.flags & tcp_flags::ACK != 0;
        // An answer behind a reset shows that the reset was not the responder's, or not believed.
        let reset_early = self.state == State::Closed && self.before_reset == State::SynSent;
        let state = if reset_early && answer { State::SynSent } else { self.state };
        match (state, answer) {
            (State::None, false) => {
                self.open(d, tcp);
                self.syn_direction = d;
                self.state = State::SynSent;
                if !payload.is_empty() && payload.len() <= config.queue_limit {
                    self.syn_payload = payload.len() as u32;
                    self.streams[d].queue.get_or_insert_with(|| Box::new(Queue::new(&config.memory))).insert(config.policy, 0, payload);
                }
            }
            (State::None, true) => {
                if config.midstream || config.one_sided {
                    self.open(d, tcp);
                    self.syn_direction = 1 - d;
                    self.syn_missing = true;
                    self.streams[1 - d].follow_from(tcp.acknowledgement);
                    self.state = State::SynReceived;
                }
            }
            (State::SynSent, true) => {
                if d == self.syn_direction {
                    events.insert(StreamEvent::SynackInWrongDirection3whs);
                    return;
                }
                let taken = tcp.acknowledgement.wrapping_sub(self.streams[1 - d].base);
                if taken > self.syn_payload {
                    events.insert(StreamEvent::SynackWrongAck3whs);
                    return;
                }
                if taken < self.syn_payload {
                    // The initiator will send again what was not taken.
                    events.insert(StreamEvent::SynackTfoDataIgnored3whs);
                    if let Some(queue) = &mut self.streams[1 - d].queue {
                        queue.truncate(u64::from(taken));
                    }
                    self.syn_payload = taken;
                }
                self.open(d, tcp);
                self.streams[d].last_ack = Some(tcp.acknowledgement);
                self.state = State::SynReceived;
            }
            (State::SynSent, false) => {
                if d != self.syn_direction {
                    // Simultaneous open: RFC 9293 section 3.5, figure 8.
                    self.open(d, tcp);
                    self.state = State::SynReceived;
                } else if self.streams[d].isn != tcp.sequence {
                    events.insert(StreamEvent::SynResendDiffSeq3whs);
                } else if let Some((value, _)) = tcp.timestamp {
                    self.streams[d].timestamp = Some(value);
                }
            }
            (State::SynReceived, false) => {
                if d != self.syn_direction {
                    events.insert(StreamEvent::SynToClient3whs);
                } else if self.streams[d].isn != tcp.sequence {
                    events.insert(StreamEvent::SynResendDiffSeq3whs);
                }
            }
            (State::SynReceived, true) => {
                if d == self.syn_direction {
                    events.insert(StreamEvent::SynackToServer3whs);
                } else if Some(tcp.acknowledgement) != self.streams[d].last_ack {
                    events.insert(StreamEvent::SynackResendDiffAck3whs);
                } else if tcp.sequence != self.streams[d].isn {
                    self.remember_answer(tcp, events);
                }
            }
            (State::Established, false) => {
                if d != self.syn_direction {
                    events.insert(StreamEvent::EstSynToClient);
                } else if self.streams[d].isn != tcp.sequence {
                    events.insert(StreamEvent::EstSynResendDiffSeq);
                } else {
                    events.insert(StreamEvent::EstSynResend);
                }
            }
            (State::Established, true) => {
                if d == self.syn_direction {
                    events.insert(StreamEvent::EstSynackToServer);
                } else if Some(tcp.acknowledgement) != self.streams[d].last_ack {
                    events.insert(StreamEvent::EstSynackResendDiffAck);
                } else if tcp.sequence != self.streams[d].isn {
                    events.insert(StreamEvent::EstSynackResendDiffSeq);
                } else if self.confirmed {
                    events.insert(StreamEvent::EstSynackResend);
                }
            }
            (State::Closing | State::Closed, _) => events.insert(StreamEvent::ShutdownSynResend),
        }
    }

    /// Another answer to the SYN, with a sequence number of its own.
    fn remember_answer(&mut self, tcp: &Tcp<'_>, events: &mut StreamEvents) {
        if self.answers.iter().any(|answer| answer.isn == tcp.sequence) {
            return;
        }
        if self.answers.len() >= MAX_ANSWERS {
            events.insert(StreamEvent::SynackFlood3whs);
            return;
        }
        self.answers.push(Answer {
            isn: tcp.sequence,
            window: tcp.window,
            scale: tcp.window_scale.unwrap_or(0).min(14),
            timestamp: tcp.timestamp.map(|(value, _)| value),
        });
    }

    /// The initiator completes the handshake: with which answer?
    fn choose_answer(&mut self, acknowledgement: u32) {
        let responder = &mut self.streams[1 - self.syn_direction];
        if acknowledgement != responder.isn.wrapping_add(1)
            && let Some(answer) = self.answers.iter().find(|answer| answer.isn.wrapping_add(1) == acknowledgement)
        {
            responder.isn = answer.isn;
            responder.base = acknowledgement;
            responder.highest = acknowledgement;
            responder.window = u32::from(answer.window);
            responder.scale = answer.scale;
            responder.timestamp = answer.timestamp;
            responder.queue = None;
            self.answers = Vec::new();
        }
    }

    /// Data of the responder before the handshake is complete waits for its completion.
    fn hold(&mut self, config: &SessionConfig, d: usize, sequence: u32, payload: &[u8]) {
        let s = &mut self.streams[d];
        let Ok(offset) = u64::try_from(distance(sequence, s.base)) else { return };
        let queue = s.queue.get_or_insert_with(|| Box::new(Queue::new(&config.memory)));
        if offset > config.queue_limit as u64 || queue.exceeds(config.queue_limit.saturating_sub(payload.len())) {
            return;
        }
        queue.insert(config.policy, offset, payload);
        let end = sequence.wrapping_add(payload.len() as u32);
        s.seen(end);
    }

    fn open(&mut self, d: usize, tcp: &Tcp<'_>) {
        let s = &mut self.streams[d];
        s.tracked = true;
        s.isn = tcp.sequence;
        s.base = tcp.sequence.wrapping_add(1);
        s.highest = s.base;
        s.window = u32::from(tcp.window);
        // RFC 7323 section 2.3: a shift above 14 counts as 14.
        s.scale = tcp.window_scale.unwrap_or(0).min(14);
        s.timestamp = tcp.timestamp.map(|(value, _)| value);
        s.first_timestamp = s.timestamp;
    }

    fn pick_up(&mut self, d: usize, tcp: &Tcp<'_>) {
        let s = &mut self.streams[d];
        s.tracked = true;
        s.isn = tcp.sequence.wrapping_sub(1);
        s.base = tcp.sequence;
        s.highest = s.base;
        // Nothing is known of a scale: allow the largest (RFC 7323).
        s.scale = 14;
        s.window = u32::from(tcp.window);
        let other = &mut self.streams[1 - d];
        other.tracked = tcp.flags & tcp_flags::ACK != 0;
        other.isn = tcp.acknowledgement.wrapping_sub(1);
        other.base = tcp.acknowledgement;
        other.highest = other.base;
        other.scale = 14;
        other.window = u32::MAX >> 15;
        self.state = State::Established;
    }

    /// A reset ends the session for whoever waits for its end. Data that follows all the same is delivered: whoever
    /// sends it did not believe the reset, or did not send it.
    fn reset(
        &mut self,
        config: &SessionConfig,
        d: usize,
        tcp: &Tcp<'_>,
        events: &mut StreamEvents,
        sink: &mut impl StreamSink,
    ) {
        let own = &self.streams[d];
        let other = &self.streams[1 - d];
        let acknowledges = tcp.flags & tcp_flags::ACK != 0;
        if self.state == State::Closed {
            return;
        }
        if self.state == State::SynSent && d != self.syn_direction {
            // RFC 9293 section 3.10.7.3; the echo must be one of the initiator's timestamps (RFC 7323 section 3.2).
            if acknowledges && tcp.acknowledgement.wrapping_sub(other.base) > self.syn_payload {
                events.insert(StreamEvent::RstInvalidAck);
                return;
            }
            if tcp.timestamp.is_some_and(|(_, echo)| !other.sent_timestamp(echo)) {
                events.insert(StreamEvent::PktInvalidTimestamp);
                return;
            }
        } else if own.tracked {
            if let (Some((value, _)), Some(last)) = (tcp.timestamp, own.timestamp)
                && distance(value, last) < 0
            {
                events.insert(StreamEvent::PktInvalidTimestamp);
                return;
            }
            if acknowledges && other.tracked && distance(tcp.acknowledgement, other.highest) > 1 << 20 {
                events.insert(StreamEvent::RstInvalidAck);
                return;
            }
            // RFC 5961 section 3.2 accepts only the exact number; stacks differ, so the window is accepted.
            let ahead = distance(tcp.sequence, own.base);
            let window = i64::from(other.window).max(1) << other.scale.min(14);
            let near = ahead >= -1 && i64::from(ahead) <= window || tcp.sequence == own.highest;
            if !near {
                return;
            }
        }
        self.before_reset = self.state;
        self.reset_by = (self.state >= State::Established).then_some(d);
        self.state = State::Closed;
        // Nothing was delivered yet, and an answer may still show that the reset was not believed.
        if self.before_reset < State::Established {
            return;
        }
        // What waits for an acknowledgement waits for the session's end.
        for side in 0..2 {
            if !config.waits() || side == d {
                self.tell_end(side, sink);
            }
        }
    }

    fn tell_end(&mut self, side: usize, sink: &mut impl StreamSink) {
        if !std::mem::replace(&mut self.streams[side].end_told, true) {
            sink.end(side);
        }
    }

    /// Window and timestamps (RFC 9293 section 3.10.7.4, RFC 7323 section 5).
    fn valid(&mut self, d: usize, tcp: &Tcp<'_>, length: u32, events: &mut StreamEvents) -> bool {
        let (own, other) = if d == 0 {
            let (a, b) = self.streams.split_at_mut(1);
            (&mut a[0], &b[0])
        } else {
            let (a, b) = self.streams.split_at_mut(1);
            (&mut b[0], &a[0])
        };
        if let (Some((value, _)), Some(last)) = (tcp.timestamp, own.timestamp) {
            if distance(value, last) < 0 && value != 0 {
                events.insert(StreamEvent::PktInvalidTimestamp);
                return false;
            }
        }
        if own.tracked && other.tracked && length > 0 {
            let edge = other.last_ack.unwrap_or(own.isn.wrapping_add(1));
            let window = (u64::from(other.window) << other.scale).clamp(1, 1 << 30) as u32;
            let right = edge.wrapping_add(window);
            let right = if distance(own.base, right) > 0 { own.base.wrapping_add(window) } else { right };
            if distance(tcp.sequence, right) > 0 {
                events.insert(StreamEvent::EstPacketOutOfWindow);
                return false;
            }
        }
        if tcp.flags & tcp_flags::ACK != 0 && other.tracked && self.state >= State::Established {
            // An acknowledgement far beyond anything sent is not of this session.
            if distance(tcp.acknowledgement, other.highest) > 1 << 20 {
                if self.state != State::Closed {
                    events.insert(StreamEvent::EstInvalidAck);
                    events.insert(StreamEvent::PktInvalidAck);
                }
                return false;
            }
        }
        if let Some((value, _)) = tcp.timestamp {
            if own.timestamp.is_none_or(|last| distance(value, last) > 0) {
                own.timestamp = Some(value);
            }
        }
        own.window = u32::from(tcp.window);
        true
    }

    fn acknowledge(&mut self, d: usize, tcp: &Tcp<'_>, _events: &mut StreamEvents) {
        if tcp.flags & tcp_flags::ACK == 0 {
            return;
        }
        let own = &mut self.streams[d];
        if own.last_ack.is_none_or(|last| distance(tcp.acknowledgement, last) > 0) {
            own.last_ack = Some(tcp.acknowledgement);
        }
        let other = &mut self.streams[1 - d];
        if let Some(fin) = other.fin {
            if distance(tcp.acknowledgement, fin) > 0 {
                other.fin_acked = true;
            }
        }
    }

    /// Bytes of a payload that were delivered or lost before; another copy of them is told.
    fn repeated(
        &self,
        d: usize,
        sequence: u32,
        payload: &[u8],
        events: &mut StreamEvents,
        sink: &impl StreamSink,
    ) -> usize {
        let s = &self.streams[d];
        let old = usize::try_from(-i64::from(distance(sequence, s.base))).unwrap_or(0);
        if old > 0 {
            events.insert(StreamEvent::PktRetransmission);
            let (recent, start) = sink.recent(d);
            if differs(recent, start, s.delivered.wrapping_sub(old as u64), payload) {
                events.insert(StreamEvent::ReassemblyOverlapDifferentData);
            }
        }
        old
    }

    /// Insert payload; returns whether any of it was delivered at once.
    fn segment(
        &mut self,
        config: &SessionConfig,
        d: usize,
        sequence: u32,
        payload: &[u8],
        events: &mut StreamEvents,
        sink: &mut impl StreamSink,
    ) -> bool {
        let old = self.repeated(d, sequence, payload, events, sink);
        let s = &mut self.streams[d];
        let relative = distance(sequence, s.base);
        if relative < 0 {
            if old >= payload.len() || s.ended {
                return false;
            }
            return self.at_base(config, d, &payload[old..], events, sink);
        }
        if s.ended {
            return false;
        }
        if relative == 0 {
            return self.at_base(config, d, payload, events, sink);
        }
        if s.depth_reached {
            return false;
        }
        let offset = s.delivered + relative as u64;
        let queue = s.queue.get_or_insert_with(|| Box::new(Queue::new(&config.memory)));
        if queue.insert(config.policy, offset, payload) {
            events.insert(StreamEvent::ReassemblyOverlapDifferentData);
        }
        if queue.exceeds(config.queue_limit) {
            queue.count_pressure();
            self.declare_gap(config, d, u64::MAX, events, sink);
        }
        false
    }

    fn at_base(
        &mut self,
        config: &SessionConfig,
        d: usize,
        payload: &[u8],
        events: &mut StreamEvents,
        sink: &mut impl StreamSink,
    ) -> bool {
        let s = &mut self.streams[d];
        let room = s.delivered < config.depth;
        match &mut s.queue {
            Some(queue) if !queue.is_empty() => {
                // The policy decides between these bytes and those that wait.
                if queue.insert(config.policy, s.delivered, payload) {
                    events.insert(StreamEvent::ReassemblyOverlapDifferentData);
                }
                self.drain(config, d, events, sink);
            }
            _ => deliver(s, config, d, payload, events, sink),
        }
        room
    }

    fn drain(&mut self, config: &SessionConfig, d: usize, events: &mut StreamEvents, sink: &mut impl StreamSink) {
        let s = &mut self.streams[d];
        loop {
            let piece = match &mut s.queue {
                Some(queue) => queue.take_at(s.delivered),
                None => None,
            };
            let Some((start, bytes)) = piece else { break };
            let skip = s.delivered.saturating_sub(start) as usize;
            if let Some(rest) = bytes.get(skip..).filter(|rest| !rest.is_empty()) {
                deliver(s, config, d, rest, events, sink);
            }
        }
        if s.queue.as_ref().is_some_and(|q| q.is_empty()) {
            s.queue = None;
        }
    }

    /// The other side (direction `d` sent the packet) has acknowledged bytes that are missing.
    fn lost_by_acknowledgement(
        &mut self,
        config: &SessionConfig,
        d: usize,
        events: &mut StreamEvents,
        sink: &mut impl StreamSink,
    ) {
        let Some(ack) = self.streams[d].last_ack else { return };
        let s = &self.streams[1 - d];
        if !s.tracked || s.queue.is_none() {
            return;
        }
        let beyond = distance(ack, s.base);
        if beyond > 0 {
            self.declare_gap(config, 1 - d, s.delivered + beyond as u64, events, sink);
        }
    }

    /// Give up on the bytes before the first waiting piece, if that starts at or before `limit`; repeat.
    fn declare_gap(
        &mut self,
        config: &SessionConfig,
        d: usize,
        limit: u64,
        events: &mut StreamEvents,
        sink: &mut impl StreamSink,
    ) {
        loop {
            let s = &mut self.streams[d];
            let Some(first) = s.queue.as_ref().and_then(|q| q.first()) else { break };
            if first > limit {
                break;
            }
            let over = s.queue.as_ref().is_some_and(|q| q.exceeds(config.queue_limit));
            if limit == u64::MAX && !over {
                break;
            }
            if first > s.delivered {
                let lost = first - s.delivered;
                events.insert(StreamEvent::ReassemblySeqGap);
                sink.gap(d, s.delivered, lost);
                s.delivered = first;
                s.base = s.base.wrapping_add(lost as u32);
            }
            self.drain(config, d, events, sink);
        }
    }

    fn finish(&mut self, config: &SessionConfig, d: usize, sink: &mut impl StreamSink) {
        let s = &mut self.streams[d];
        if let Some(fin) = s.fin {
            if !s.ended && s.base == fin {
                s.ended = true;
                if !config.waits() {
                    self.tell_end(d, sink);
                }
                if self.state == State::Established {
                    self.state = State::Closing;
                }
            }
        }
        if self.streams.iter().all(|s| s.fin_acked) {
            self.state = State::Closed;
        }
    }
}

/// TCP Fast Open (RFC 7413 section 4.1.1; as an experiment: RFC 6994, magic number F989).
fn has_fast_open(header: &[u8]) -> bool {
    let mut options = header.get(20..).unwrap_or(&[]);
    while let [kind, rest @ ..] = options {
        match (kind, rest) {
            (0, _) => return false,
            (1, _) => options = rest,
            (34, _) | (254, [_, 0xf9, 0x89, ..]) => return true,
            (_, [length, ..]) if *length >= 2 => options = options.get(usize::from(*length)..).unwrap_or(&[]),
            _ => return false,
        }
    }
    false
}

fn deliver(
    s: &mut Stream,
    config: &SessionConfig,
    d: usize,
    bytes: &[u8],
    events: &mut StreamEvents,
    sink: &mut impl StreamSink,
) {
    s.base = s.base.wrapping_add(bytes.len() as u32);
    let room = config.depth.saturating_sub(s.delivered);
    let visible = if (bytes.len() as u64) <= room { bytes } else { &bytes[..room as usize] };
    if !visible.is_empty() {
        sink.data(d, s.delivered, visible);
    }
    s.delivered += bytes.len() as u64;
    if s.delivered >= config.depth && !s.depth_reached {
        s.depth_reached = true;
        events.insert(StreamEvent::ReassemblyDepthReached);
        if !std::mem::replace(&mut s.end_told, true) {
            sink.end(d);
        }
        s.ended = s.fin.is_some_and(|fin| fin == s.base);
        s.queue = None;
    }
}

/// Bytes at stream offset `offset` differ from those still at hand.
fn differs(recent: &[u8], recent_start: u64, offset: u64, bytes: &[u8]) -> bool {
    let recent_end = recent_start + recent.len() as u64;
    let from = offset.max(recent_start);
    let to = (offset.saturating_add(bytes.len() as u64)).min(recent_end);
    if from >= to || offset > from {
        return false;
    }
    let old = &recent[(from - recent_start) as usize..(to - recent_start) as usize];
    bytes.get((from - offset) as usize..(to - offset) as usize).is_some_and(|new| new != old)
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
