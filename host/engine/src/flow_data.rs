//! What the engine keeps per flow.

use crate::hold::DeviceLink;
use std::collections::VecDeque;
use weir_app_layer::{AppLayerFlow, Direction, ProtocolState};
use weir_contract::protocol::Detection;
use weir_detect::{FlowDetect, Marks, Program, Standing};
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

impl Resting {
    /// It is a flow of TCP that has a session.
    pub(crate) fn is_of_session(&self) -> bool {
        self.opening.is_some()
    }
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
        let fresh = |s: &Session| s.is_level() && (0..2).all(|d| s.delivered(d) == 0 && !s.is_waiting(d));
        let level = self.session.as_deref().is_none_or(fresh);
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
        let first = self.app.original_protocol().or(self.app.protocol());
        first.map_or(Detection::Failed, Detection::Known).class()
    }

    /// The device has the flow back.
    pub fn is_released(&self) -> bool {
        self.device.entry.is_some() && !self.device.diverted
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

    fn data(session: Option<Box<Session>>, pieces: &[(Direction, &[u8])]) -> FlowData {
        let mut app = AppLayerFlow::new(&std::sync::Arc::default(), 6, 40000, 7777);
        for (frame, (direction, bytes)) in pieces.iter().enumerate() {
            app.feed(*direction, weir_app_layer::Input::Data(bytes), frame as u64);
        }
        FlowData {
            session,
            app,
            detect: None,
            resting: None,
            waiting: None,
            windows: Default::default(),
            encrypted: false,
            device: DeviceLink::default(),
            log: None,
            dropped: false,
            passed: false,
            bypassed: false,
            midstream: None,
            drop_logged: 0,
        }
    }

    /// A flow of a known protocol is told as one of it, whether or not the protocol has changed since.
    #[test]
    fn the_class_told_is_that_of_the_flow() {
        use Direction::{ToClient, ToServer};
        use weir_contract::protocol::AppProtocol;
        let class = |pieces: &[(Direction, &[u8])]| data(Some(Box::default()), pieces).class();
        let http: &[(Direction, &[u8])] = &[(ToServer, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")];
        assert_eq!(class(http), Detection::Known(AppProtocol::Http1).class());
        assert_eq!(class(&[(ToClient, b"HTTP/1.1 200 OK\r\n")]), Detection::Known(AppProtocol::Http1).class());
        let nothing: &[(Direction, &[u8])] = &[(ToServer, b"something first of all"), (ToClient, b"something else of it")];
        assert_eq!(class(nothing), Detection::Failed.class());
        assert_eq!((class(&[]), data(None, http).class()), (0, 0));
    }

    #[test]
    fn a_flow_is_small() {
        let size = size_of::<weir_flow::Flow<FlowData>>();
        assert!(size <= 344, "{size} bytes; a flood of a million flows costs as many megabytes");
    }
}
