//! What the engine keeps per flow, and when a device may have the flow back.

use crate::evidence::{Stream, StreamEvidence};
use crate::messages::{Look, MessageEvidence};
use std::collections::VecDeque;
use weir_app_layer::{AppLayerFlow, Direction, ProtocolState};
use weir_contract::enums::Scopes;
use weir_contract::protocol::Detection;
use weir_detect::{FlowDetect, Inspector, Marks, Program, Standing};
use crate::config::Policy;
use weir_flow::{FlowId, FlowTable};
use weir_packet::{Packet, Tcp};
use weir_reassembly::{RawWindow, Session, SessionConfig, StreamSink};

/// State of one flow. Session and detection are there while a packet is processed, and from the flow's second packet on;
/// a flow that has had one packet is kept as [`Resting`], so that a flood costs a fifth of the memory.
pub struct FlowData {
    /// TCP session.
    pub session: Option<Box<Session>>,
    /// Protocol detection and parser.
    pub app: AppLayerFlow,
    /// Detection's state.
    pub detect: Option<Box<FlowDetect>>,
    /// What session and detection come from when they are not there.
    pub resting: Option<Resting>,
    /// What waits for packets of its direction, where streams are inspected when acknowledged.
    pub waiting: Option<Box<crate::acknowledged::Waiting>>,
    /// Raw inspection windows by direction.
    pub windows: [RawWindow; 2],
    /// The payload is encrypted from here on.
    pub encrypted: bool,
    /// The device's side of the flow.
    pub device: DeviceLink,
    /// What logs keep, where there are any.
    pub log: Option<Box<crate::log::FlowLog>>,
    /// A rule or a policy dropped it, and what it said is carried out.
    pub dropped: bool,
    /// A policy let it pass without inspection.
    pub passed: bool,
    /// A policy let it pass, and nobody follows it.
    pub bypassed: bool,
    /// What the policy for sessions without beginning did.
    pub midstream: Option<Policy>,
    /// Directions of which a dropped packet has been reported, and [`BY_FIREWALL`].
    pub drop_logged: u8,
}

/// The firewall dropped the flow: a bit of [`FlowData::drop_logged`].
pub const BY_FIREWALL: u8 = 1 << 7;

/// A flow after its first packet.
#[derive(Debug, Clone, Copy)]
pub struct Resting {
    marks: Marks,
    /// The packet that opened the session, of TCP flows.
    opening: Option<Opening>,
}

/// What a session sees of a SYN.
#[derive(Debug, Clone, Copy)]
struct Opening {
    sequence: u32,
    acknowledgement: u32,
    timestamp: Option<(u32, u32)>,
    window: u16,
    flags: u8,
    window_scale: Option<u8>,
    direction: u8,
}

/// One-packet flows that stay as they are: an answer nearly always comes before so many other flows have begun.
const AWAKE: usize = 512;

/// Flows that have had one packet, and the memory of those that rest, for the next flows.
#[derive(Default)]
pub struct Bedroom {
    /// Oldest first: flow, number of its packet, what opened it.
    awake: VecDeque<(FlowId, u64, Option<Opening>)>,
    sessions: Vec<Box<Session>>,
    detects: Vec<Box<FlowDetect>>,
}

impl Bedroom {
    /// A session that has seen nothing.
    pub fn session(&mut self) -> Box<Session> {
        self.sessions.pop().unwrap_or_default()
    }

    /// Detection of a flow that has seen nothing.
    pub fn detect(&mut self) -> Box<FlowDetect> {
        self.detects.pop().unwrap_or_default()
    }

    /// The flow's first packet is through. Unless another one comes soon, as little as possible is kept of it. That
    /// takes a packet without payload whose checksum was right.
    pub fn first_packet(&mut self, flows: &mut FlowTable<FlowData>, id: FlowId, packet: &Packet<'_>, direction: usize) {
        if !packet.payload.is_empty() || packet.checksum_bad {
            return;
        }
        let opening = packet.tcp().map(|tcp| Opening {
            sequence: tcp.sequence,
            acknowledgement: tcp.acknowledgement,
            timestamp: tcp.timestamp,
            window: tcp.window,
            flags: tcp.flags,
            window_scale: tcp.window_scale,
            direction: direction as u8,
        });
        self.awake.push_back((id, packet.number, opening));
        if self.awake.len() <= AWAKE {
            return;
        }
        let Some((id, number, opening)) = self.awake.pop_front() else { return };
        // The handle may name another flow by now, or the flow may have got more packets.
        let flow = flows.get_mut(id).filter(|f| f.first_frame == number && f.packets[0] + f.packets[1] == 1);
        if let Some(flow) = flow {
            flow.data.rest(opening, self);
        }
    }
}

struct Nowhere;

impl StreamSink for Nowhere {
    fn data(&mut self, _: usize, _: u64, _: &[u8]) {}
    fn gap(&mut self, _: usize, _: u64, _: u64) {}
    fn end(&mut self, _: usize) {}
    fn recent(&self, _: usize) -> (&[u8], u64) {
        (&[], 0)
    }
}

impl FlowData {
    fn rest(&mut self, opening: Option<Opening>, bedroom: &mut Bedroom) {
        if opening.is_some() != self.session.is_some() {
            return;
        }
        // What `answer` supposes of a session that rests.
        let level = self.session.as_ref().is_none_or(|s| s.is_level() && s.delivered(0) == 0 && s.delivered(1) == 0);
        let Some(marks) = self.detect.as_ref().and_then(|detect| detect.marks()).filter(|_| level) else { return };
        self.resting = Some(Resting { marks, opening });
        if let Some(mut session) = self.session.take() {
            *session = Session::default();
            bedroom.sessions.push(session);
        }
        if let Some(mut detect) = self.detect.take() {
            detect.resume(Marks::default());
            bedroom.detects.push(detect);
        }
    }

    /// Session and detection as the flow's packets have left them.
    pub fn wake(&mut self, config: &SessionConfig, bedroom: &mut Bedroom) {
        if let Some(Resting { marks, opening }) = self.resting.take() {
            let mut detect = bedroom.detect();
            detect.resume(marks);
            self.detect = Some(detect);
            self.session = opening.map(|opening| {
                let mut session = bedroom.session();
                opening.replay(config, &mut session);
                session
            });
        }
    }
}

impl Opening {
    /// The same packet again: a session does with it what it did.
    fn replay(&self, config: &SessionConfig, session: &mut Session) {
        let tcp = Tcp {
            window: self.window,
            window_scale: self.window_scale,
            timestamp: self.timestamp,
            ..Tcp::bare(self.sequence, self.acknowledgement, self.flags)
        };
        session.packet(config, usize::from(self.direction), &tcp, &[], false, &mut Nowhere);
    }
}

/// The device entry a flow belongs to, and what keeps the host from releasing it.
#[derive(Debug, Clone, Copy)]
pub struct DeviceLink {
    /// Entry index and generation.
    pub entry: Option<(u32, u32)>,
    /// The device sends every frame of the flow.
    pub diverted: bool,
    /// Direction of the last packet.
    pub direction: u8,
    troubles: Troubles,
    app_dirty: bool,
    handshake_dirty: bool,
}

/// What the host is told of the tables when it decides about a flow.
#[derive(Debug)]
pub struct Held<'e> {
    /// Bytes of the raw window.
    pub raw_window: usize,
    /// What the tables look for in streams.
    pub streams: &'e StreamEvidence,
    /// What they look for in messages beside what the host's own search finds.
    pub messages: &'e MessageEvidence,
    /// Ports of the initiator and of the responder.
    pub ports: [u16; 2],
    /// The flow's bytes so far.
    pub bytes: u64,
    /// How far messages under way are settled.
    pub look: &'e mut Look,
    /// For what rules that wait still need.
    pub inspector: &'e mut Inspector,
}

/// What the host tells the device about a flow after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the flow stays diverted.
    Keep,
    /// The flow may pass again.
    Release,
    /// The flow may pass again, and only these scopes can still match in it.
    Mask(u8),
}

/// What was wrong with a frame of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// Something that leads to a rule of the stream.
    Stream,
    /// Part of a pattern that the host looks for itself.
    Pattern,
    /// The device may not have read it as the host has.
    Unread,
    /// After it the device may have other last bytes of the stream.
    Tail,
}

/// Where the directions had trouble.
#[derive(Debug, Clone, Copy, Default)]
struct Troubles {
    /// Delivered bytes when the last trouble in the stream began, and the last of any other kind; modulo 2^32. (Whoever
    /// waits for 2^32 more waits on.)
    at: [[u32; 2]; 2],
    /// In frames since the last answer: a bit for each kind and direction.
    here: u8,
    /// Since then.
    open: u8,
}

impl Troubles {
    fn bit(kind: Trouble, d: usize) -> u8 {
        1 << (2 * kind as u8 + (d & 1) as u8)
    }

    /// In a frame of direction `d`.
    fn add(&mut self, kind: Trouble, d: usize) {
        self.here |= Self::bit(kind, d);
    }

    /// Counting begins at `delivered` bytes if the trouble came since the last answer.
    fn begins(&mut self, kind: Trouble, d: usize, delivered: u64) -> bool {
        let bit = Self::bit(kind, d);
        let begins = self.here & bit != 0;
        if begins {
            self.at[usize::from(kind != Trouble::Stream)][d & 1] = delivered as u32;
            self.open |= bit;
            self.here &= !bit;
        }
        begins
    }

    fn is_open(&self, kind: Trouble, d: usize) -> bool {
        self.open & Self::bit(kind, d) != 0
    }

    /// Fewer than `hold` bytes of direction `d` have been delivered since.
    fn holds(&self, kind: Trouble, d: usize, delivered: u64, hold: u64) -> bool {
        let at = self.at[usize::from(kind != Trouble::Stream)][d & 1];
        self.is_open(kind, d) && u64::from((delivered as u32).wrapping_sub(at)) < hold
    }

    fn close(&mut self, d: usize) {
        self.open &= !(0b0101_0101 << (d & 1));
    }
}

fn side(direction: usize) -> Direction {
    if direction == 0 { Direction::ToServer } else { Direction::ToClient }
}

/// Bytes behind a hit after which the pattern around it has ended.
const REST: u64 = weir_contract::constants::PATTERN_REST as u64;
/// Bytes after which the device has the same last bytes of a stream as the host.
const TAIL: u64 = weir_contract::constants::TAIL_LENGTH as u64;

impl Default for DeviceLink {
    fn default() -> Self {
        DeviceLink {
            entry: None,
            diverted: false,
            direction: 0,
            troubles: Troubles::default(),
            app_dirty: false,
            handshake_dirty: false,
        }
    }
}

impl DeviceLink {
    /// A diverted frame, the last packet of the flow, had trouble in `scopes`. `repeated`: all that is wrong with it is that
    /// its bytes were sent before.
    pub fn trouble(&mut self, scopes: u8, repeated: bool) {
        self.diverted = true;
        let direction = usize::from(self.direction);
        if scopes & Scopes::ALWAYS.0 != 0 {
            // What always diverts has no scope: the device may not have read the frame as the host has, in any of them.
            self.troubles.add(Trouble::Unread, direction);
            if !repeated {
                self.troubles.add(Trouble::Tail, direction);
            }
            (self.app_dirty, self.handshake_dirty) = (true, true);
        }
        if scopes & Scopes::STREAM.0 != 0 {
            self.troubles.add(Trouble::Stream, direction);
        }
        if scopes & Scopes::STREAM_PATTERN.0 != 0 {
            self.troubles.add(Trouble::Pattern, direction);
        }
        if scopes & (Scopes::APP.0 | Scopes::DATAGRAM_FLOW.0) != 0 {
            self.app_dirty = true;
        }
        if scopes & Scopes::HANDSHAKE.0 != 0 {
            self.handshake_dirty = true;
        }
    }

    /// The host knows bytes of the flow that the device did not read: trouble in every scope, either way.
    fn unread(&mut self) {
        self.diverted = true;
        for d in 0..2 {
            self.troubles.add(Trouble::Unread, d);
            self.troubles.add(Trouble::Tail, d);
        }
        (self.app_dirty, self.handshake_dirty) = (true, true);
    }
}

impl FlowData {
    /// One of these flowbits, sorted by number, is set.
    pub fn has_any_bit(&self, program: &Program, bits: &[u32]) -> bool {
        self.detect.as_ref().is_some_and(|detect| detect.has_any_bit(program, bits))
    }

    /// Numbers behind the last transaction and the last frame that live, if no message is under way.
    fn quiet(&self) -> Option<[u64; 2]> {
        let open = self.app.is_open(Direction::ToServer) || self.app.is_open(Direction::ToClient);
        let behind = |state: Option<&dyn ProtocolState>| {
            state.and_then(|state| state.transactions().last()).map_or(0, |last| last.id.saturating_add(1))
        };
        (!open).then(|| [behind(self.app.state()), behind(self.app.frames().map(|frames| frames as &dyn ProtocolState))])
    }

    /// Epoch of the flow's last packet.
    pub fn epoch(&self) -> u32 {
        let resting = || self.resting.map_or(0, |resting| resting.marks.epoch());
        self.detect.as_deref().map_or_else(resting, FlowDetect::epoch)
    }

    /// The flow's next packet is of this epoch; gives that of the one before.
    pub fn enter(&mut self, epoch: u32) -> u32 {
        let Some((came, straddles)) = self.detect.as_ref().map(|detect| (detect.epoch(), detect.straddles())) else {
            return epoch;
        };
        if came == epoch && !straddles {
            return came;
        }
        let quiet = self.quiet();
        let protocol = !self.app.is_fresh();
        let Some(detect) = &mut self.detect else { return epoch };
        if came != epoch {
            detect.go_over(epoch, Standing { quiet, protocol });
        } else if let Some(quiet) = quiet {
            detect.is_over(quiet);
        }
        came
    }

    /// The host knows bytes of the flow that the device did not read.
    pub fn unread(&mut self) {
        self.device.unread();
        self.forget_tails();
    }

    /// The device may not have read the flow's last segment as the host has.
    pub fn forget_tails(&mut self) {
        if let Some(session) = &mut self.session {
            session.forget_tails();
        }
    }

    /// The protocol class of the flow's streams where it is known for good, else 0: what the device is told whose own
    /// knowledge ended with a lost segment (decision 0025). A class is of the first bytes: a protocol that changed, or turned
    /// out to carry another one, keeps it.
    pub fn class(&self) -> u8 {
        if self.session.is_none() || self.app.undecided() || self.app.upgraded() {
            return 0;
        }
        self.app.original_protocol().map_or(Detection::Failed, Detection::Known).class()
    }

    /// The device has the flow back.
    pub fn is_released(&self) -> bool {
        self.device.entry.is_some() && !self.device.diverted
    }

    /// Whether the device may have the flow back after the frame just processed (reference semantics, section 6:
    /// level reassembly; no open transaction or raw window holds bytes of a frame that had trouble in that scope).
    pub fn answer(&mut self, held: Held<'_>) -> Answer {
        let Held { raw_window, streams: evidence, messages, ports, bytes, look, inspector } = held;
        let link = &mut self.device;
        // After a change of protocol the device's class no longer holds.
        if !link.diverted || link.entry.is_none() || self.app.upgraded() || self.dropped {
            return Answer::Keep;
        }
        let classes = match self.app.protocol() {
            Some(protocol) => 1 << Detection::Known(protocol).class(),
            None if self.app.undecided() => u64::MAX,
            None => 1 << Detection::Failed.class(),
        };
        if self.encrypted {
            // One side may send its data early, and the other its certificate then.
            if !self.app.handshake_over() {
                return Answer::Keep;
            }
            // Payload is not inspected any more, but the parser still reads it and may raise events.
            return Answer::Mask(Scopes::HEADER.0 | Scopes::APP.0);
        }
        let session = self.session.as_ref();
        if session.is_some() || self.resting.is_some_and(|resting| resting.opening.is_some()) {
            // A session that rests has had one packet without payload.
            if session.is_some_and(|session| !session.is_level()) {
                return Answer::Keep;
            }
            // No stream that has been read so far is read on. (A SYN to come is flagged.)
            let reached = |d| session.is_some_and(|session| session.depth_reached(d) || !session.is_followed(d));
            for d in 0..2 {
                let delivered = session.map_or(0, |session| session.delivered(d));
                let (kept, start) = self.windows[d].kept();
                let skip = kept.len().saturating_sub(raw_window);
                let window = kept.get(skip..).unwrap_or(&[]);
                let mut waits = || {
                    let open = |detect: &FlowDetect| inspector.waits(detect, side(d), window, start + skip as u64);
                    self.detect.as_deref().is_some_and(open)
                };
                let has_tail = session.is_some_and(|session| session.tail_is_of(d, kept));
                let stream = Stream { classes, source: ports[d], destination: ports[1 - d] };
                let troubles = &mut link.troubles;
                if troubles.begins(Trouble::Unread, d, delivered) {
                    troubles.add(Trouble::Pattern, d);
                    if !reached(d) && evidence.is_in(window, stream) {
                        troubles.add(Trouble::Stream, d);
                    }
                }
                for kind in [Trouble::Stream, Trouble::Pattern, Trouble::Tail] {
                    troubles.begins(kind, d, delivered);
                }
                if !reached(d) {
                    let cut = || troubles.holds(Trouble::Pattern, d, delivered, REST) && evidence.is_cut(window);
                    let held = troubles.holds(Trouble::Stream, d, delivered, raw_window as u64)
                        || troubles.holds(Trouble::Tail, d, delivered, TAIL) && !has_tail
                        || troubles.is_open(Trouble::Pattern, d) && (cut() || waits());
                    if held {
                        return Answer::Keep;
                    }
                }
                troubles.close(d);
            }
        } else {
            link.troubles = Troubles::default();
        }
        if link.handshake_dirty && self.app.may_encrypt() {
            return Answer::Keep;
        }
        let open = link.app_dirty && (self.app.is_open(Direction::ToServer) || self.app.is_open(Direction::ToClient));
        if open {
            // Bodies under way are the responder's.
            let stream = Stream { classes, source: ports[1], destination: ports[0] };
            if !look.is_settled(&self.app, self.detect.as_deref(), messages, stream, bytes) {
                return Answer::Keep;
            }
        }
        look.early = open;
        link.app_dirty = false;
        link.handshake_dirty = false;
        Answer::Release
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_packet::tcp_flags::ACK;

    /// A session that rested is what it would have been: in every answer it gives, for every kind of first packet.
    #[test]
    fn replay_is_the_same_session() {
        for midstream in [false, true] {
            let config = SessionConfig { midstream, ..SessionConfig::default() };
            for flags in 0..64u8 {
                for direction in [0u8, 1] {
                    let opening = Opening {
                        sequence: u32::MAX - 3,
                        acknowledgement: if flags & ACK != 0 { 77 } else { 0 },
                        timestamp: (flags & 8 != 0).then_some((5, 6)),
                        window: 1000,
                        flags,
                        window_scale: Some(3),
                        direction,
                    };
                    let (mut one, mut other) = (Session::default(), Session::default());
                    opening.replay(&config, &mut one);
                    let tcp = Tcp {
                        sequence: opening.sequence,
                        acknowledgement: opening.acknowledgement,
                        flags,
                        window: opening.window,
                        urgent: 9,
                        header: &[1; 40],
                        mss: Some(1460),
                        window_scale: opening.window_scale,
                        timestamp: opening.timestamp,
                        sack_permitted: true,
                    };
                    other.packet(&config, usize::from(direction), &tcp, &[], false, &mut Nowhere);
                    assert_eq!(format!("{one:?}"), format!("{other:?}"));
                }
            }
        }
    }

    #[test]
    fn a_flow_is_small() {
        let size = size_of::<weir_flow::Flow<FlowData>>();
        assert!(size <= 344, "{size} bytes; a flood of a million flows costs as many megabytes");
    }
}
