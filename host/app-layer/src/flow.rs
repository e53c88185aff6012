//! The application layer of one flow: detection, then the protocol's parser.
//!
//! The shared detection function sees the first bytes of each direction; this keeps the bytes that arrived before
//! the decision (bounded), which the parser is then given in their order.
//!
//! The parser is never given more than can be inspected: input behind a change of protocol, or behind as many
//! transactions as live at a time, is held until [`AppLayerFlow::mark_inspected`]. So neither a change of protocol nor
//! a burst of transactions depends on how much one delivery brings.

mod detecting;
mod held;
#[cfg(test)]
mod tests;

use crate::config::AppLayerConfig;
use crate::expectation::Expected;
use crate::frames::Frames;
use crate::{Direction, Input, Limits, ProtocolState, Rest};
use detecting::{Detecting, Lazy, WAITING_LIMIT};
use held::{Held, Item};
use std::sync::Arc;
use weir_contract::protocol::{self, AppProtocol, Carrier, Detection, Detector, detect_side};

/// Events of the layer itself, by Suricata's names.
pub const EVENTS: [&str; 7] = [
    "applayer_mismatch_protocol_both_directions",
    "applayer_wrong_direction_first_data",
    "applayer_detect_protocol_only_one_direction",
    "applayer_proto_detection_skipped",
    "applayer_no_tls_after_starttls",
    "applayer_unexpected_protocol",
    "applayer_detect_failed",
];

const MISMATCH: u8 = 1 << 0;
const WRONG_DIRECTION: u8 = 1 << 1;
const ONE_DIRECTION: u8 = 1 << 2;
const SKIPPED: u8 = 1 << 3;
const NO_TLS: u8 = 1 << 4;
const UNEXPECTED: u8 = 1 << 5;
const FAILED: u8 = 1 << 6;

enum Phase {
    Detecting(Lazy),
    Parsing(Box<dyn ProtocolState>),
    /// Nothing known, or known but without parser.
    Opaque(Option<AppProtocol>),
}

/// The application layer of one flow.
pub struct AppLayerFlow {
    config: Arc<AppLayerConfig>,
    carrier: Option<Carrier>,
    client_port: u16,
    server_port: u16,
    phase: Phase,
    /// After the decision: the direction that has not spoken for itself yet.
    watch: Option<Box<(Detector, Direction, AppProtocol)>>,
    original: Option<AppProtocol>,
    by_side: [Option<AppProtocol>; 2],
    /// The bytes of the direction are of no protocol, whatever the other's are.
    side_failed: [bool; 2],
    ended: [bool; 2],
    events: u8,
    reported: u8,
    upgraded: bool,
    /// The parser was given something since the last inspection.
    fed: bool,
    /// What waits for [`AppLayerFlow::mark_inspected`].
    held: Option<Box<Held>>,
    parser: u8,
    /// Where rules ask for frames of the protocol.
    frames: Option<Box<Frames>>,
}

impl AppLayerFlow {
    /// A new flow of an IP protocol, with the ports of initiator and responder.
    pub fn new(config: &Arc<AppLayerConfig>, ip_protocol: u8, client_port: u16, server_port: u16) -> Self {
        let carrier = match ip_protocol {
            6 => Some(Carrier::Tcp),
            17 => Some(Carrier::Udp),
            _ => None,
        };
        AppLayerFlow {
            config: Arc::clone(config),
            carrier,
            client_port,
            server_port,
            phase: if carrier.is_some() { Phase::Detecting(Lazy::default()) } else { Phase::Opaque(None) },
            watch: None,
            original: None,
            by_side: [None; 2],
            side_failed: [false; 2],
            ended: [false; 2],
            events: 0,
            reported: 0,
            upgraded: false,
            fed: false,
            held: None,
            parser: 0,
            frames: None,
        }
    }

    /// Which parser the flow has, counted up with each change of protocol: transactions are numbered within it.
    pub fn parser(&self) -> u8 {
        self.parser
    }

    /// The protocol, once decided.
    pub fn protocol(&self) -> Option<AppProtocol> {
        match &self.phase {
            Phase::Detecting(_) => None,
            Phase::Parsing(state) => Some(state.protocol()),
            Phase::Opaque(protocol) => *protocol,
        }
    }

    /// The flow's transport carries protocols that are told apart.
    pub fn has_carrier(&self) -> bool {
        self.carrier.is_some()
    }

    /// Detection has given up.
    pub fn failed(&self) -> bool {
        matches!(self.phase, Phase::Opaque(None))
    }

    /// Detection has not decided.
    pub fn undecided(&self) -> bool {
        matches!(self.phase, Phase::Detecting(_))
    }

    /// The parser.
    pub fn state(&self) -> Option<&dyn ProtocolState> {
        match &self.phase {
            Phase::Parsing(state) => Some(&**state),
            _ => None,
        }
    }

    /// The frames, if rules ask for any of the protocol.
    pub fn frames(&self) -> Option<&Frames> {
        self.frames.as_deref()
    }

    /// The frames, for records that tell of them.
    pub fn frames_mut(&mut self) -> Option<&mut Frames> {
        self.frames.as_deref_mut()
    }

    fn cut_frames(&mut self, protocol: AppProtocol) {
        self.frames = Frames::new(protocol, &self.config, self.carrier == Some(Carrier::Udp));
    }

    /// The parser.
    pub fn state_mut(&mut self) -> Option<&mut (dyn ProtocolState + 'static)> {
        match &mut self.phase {
            Phase::Parsing(state) => Some(&mut **state),
            _ => None,
        }
    }

    /// The protocol before it changed; none if it has not.
    pub fn original_protocol(&self) -> Option<AppProtocol> {
        // HTTP/2 turns out to carry DNS within the same parser.
        let carries = self.protocol() == Some(AppProtocol::Doh2);
        self.original.or(carries.then_some(AppProtocol::Http2))
    }

    /// What is known of each direction: its own bytes decide, once they have come. The first datagram of a direction
    /// may say that it is of no protocol, while the other direction has not spoken.
    pub fn detection_by_side(&self) -> [Detection; 2] {
        if self.carrier.is_none() {
            return [Detection::Unknown; 2];
        }
        [Direction::ToServer, Direction::ToClient].map(|direction| {
            let d = direction as usize;
            if self.side_failed[d] {
                return Detection::Failed;
            }
            if self.watch.as_ref().is_some_and(|watch| watch.1 == direction) {
                return Detection::Unknown;
            }
            match (&self.phase, self.by_side[d], self.protocol()) {
                (_, Some(protocol), _) | (_, None, Some(protocol)) => Detection::Known(protocol),
                (Phase::Detecting(detecting), None, None) if self.carrier == Some(Carrier::Udp) => {
                    let bytes = detecting.detector.first_bytes(d);
                    let failed = !bytes.is_empty() && self.detect_side(direction, bytes) == Detection::Failed;
                    if failed { Detection::Failed } else { Detection::Unknown }
                }
                (Phase::Detecting(_), None, None) => Detection::Unknown,
                _ => Detection::Failed,
            }
        })
    }

    /// Names of the protocols that each direction's own bytes told, to server and to client.
    pub fn names_by_side(&self) -> [Option<&'static str>; 2] {
        let doh = self.protocol() == Some(AppProtocol::Doh2);
        [0, 1].map(|d| match (self.by_side[d], self.side_failed[d]) {
            // DNS over HTTP/2 is told by requests within.
            (Some(AppProtocol::Http2), _) if doh => None,
            (Some(protocol), _) => Some(crate::eve_name(protocol)),
            (None, true) => Some("failed"),
            (None, false) => None,
        })
    }

    fn detect_side(&self, direction: Direction, bytes: &[u8]) -> Detection {
        let Some(carrier) = self.carrier else { return Detection::Failed };
        let side = match direction {
            Direction::ToServer => protocol::Side::ToServer,
            Direction::ToClient => protocol::Side::ToClient,
        };
        detect_side(carrier, side, self.client_port, self.server_port, bytes)
    }

    /// Events of the layer itself: bits of [`EVENTS`].
    pub fn events(&self) -> u8 {
        self.events
    }

    /// Names of the events raised since the last call.
    pub fn new_events(&mut self) -> impl Iterator<Item = &'static str> + use<> {
        let new = self.events & !self.reported;
        self.reported = self.events;
        EVENTS.iter().enumerate().filter(move |(n, _)| new >> n & 1 != 0).map(|(_, name)| *name)
    }

    /// The protocol has changed since the flow began: what a device thinks of it no longer holds.
    pub fn upgraded(&self) -> bool {
        self.upgraded
    }

    /// Nothing has been fed yet: the flow may turn out to be an announced one.
    pub fn is_fresh(&self) -> bool {
        match &self.phase {
            Phase::Detecting(detecting) => {
                detecting.first.is_none() && detecting.gap == [0; 2] && detecting.expected.is_none() && !self.upgraded
            }
            Phase::Parsing(_) | Phase::Opaque(_) => false,
        }
    }

    /// The flow was announced by another one: its protocol is known before its first byte.
    pub fn expect(&mut self, expected: &Expected) {
        self.phase = match expected.protocol {
            AppProtocol::FtpData => {
                Phase::Parsing(Box::new(crate::ftp_data::FtpDataState::new(&self.config, expected)))
            }
            protocol => Phase::Opaque(Some(protocol)),
        };
    }

    /// Number, in records, of the flow that announced this one.
    pub fn announced_by(&self) -> Option<u64> {
        self.state()?.announced_by()
    }

    /// Connections that the flow announced since the last call.
    pub fn take_expected(&mut self) -> Vec<Expected> {
        self.state_mut().map_or_else(Vec::new, |state| state.take_expected())
    }

    /// What the parser's limits have done since the last call.
    pub fn take_limits(&mut self) -> Limits {
        self.state_mut().map_or_else(Limits::default, |state| state.take_limits())
    }

    /// The payload is encrypted from here on.
    pub fn encrypted(&self) -> bool {
        self.state().is_some_and(|state| state.encrypted())
    }

    /// Once it is: no message of the handshake can still be read.
    pub fn handshake_over(&self) -> bool {
        self.state().is_none_or(|state| state.handshake_over())
    }

    /// The flow may still turn out to be encrypted: its protocol can be, or is not decided.
    pub fn may_encrypt(&self) -> bool {
        match &self.phase {
            Phase::Detecting(_) => true,
            Phase::Parsing(state) => matches!(state.protocol(), AppProtocol::Tls | AppProtocol::Ssh),
            Phase::Opaque(_) => false,
        }
    }

    /// Something begun earlier could be completed by later bytes.
    pub fn is_open(&self, direction: Direction) -> bool {
        if self.held.is_some() {
            return true;
        }
        match &self.phase {
            Phase::Detecting(detecting) => detecting.sides.iter().any(|side| !side.waiting.is_empty()),
            Phase::Parsing(state) => state.is_open(direction),
            Phase::Opaque(_) => false,
        }
    }

    /// What of the messages that have begun is still to come.
    pub fn rest(&self) -> Rest<'_> {
        match &self.phase {
            Phase::Parsing(state) if self.held.is_none() && self.frames.is_none() => state.rest(),
            _ => Rest::Unknown,
        }
    }

    /// Input waits for [`Self::mark_inspected`].
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Feed one direction. Until [`Self::mark_inspected`] the parser may be given only a part of it.
    pub fn feed(&mut self, direction: Direction, input: Input<'_>, frame: u64) {
        match &mut self.held {
            Some(held) => held.push_back(Item::new(direction, input, false)),
            None => self.take_in(direction, input, frame),
        }
    }

    /// Nothing is held: the input's turn has come.
    fn take_in(&mut self, direction: Direction, input: Input<'_>, frame: u64) {
        if matches!(&self.phase, Phase::Parsing(state) if state.pauses()) {
            self.hold(Item::new(direction, input, false));
            return;
        }
        match input {
            Input::End => self.ended[direction as usize] = true,
            Input::Data(_) => self.ended[direction as usize] = false,
            Input::Gap(_) => {}
        }
        self.watch(direction, input);
        match &mut self.phase {
            Phase::Opaque(_) => {}
            Phase::Parsing(_) => self.parse_or_hold(direction, input, frame),
            Phase::Detecting(detecting) => {
                let d = direction as usize;
                let mut beyond: &[u8] = &[];
                match input {
                    Input::Data(bytes) => {
                        let bytes = detecting.behind_empty_lines(d, bytes);
                        if bytes.is_empty() {
                            return;
                        }
                        detecting.first.get_or_insert(direction);
                        let side = &mut detecting.sides[d];
                        // Whoever sends on did not believe the reset that seemed to be the end.
                        side.ended = false;
                        let room = WAITING_LIMIT.saturating_sub(side.waiting.len());
                        let (now, rest) = bytes.split_at(bytes.len().min(room));
                        side.waiting.extend_from_slice(now);
                        beyond = rest;
                        if let Some(carrier) = self.carrier {
                            detecting.detector.push(carrier, self.client_port, self.server_port, d, bytes);
                        }
                    }
                    Input::Gap(length) => {
                        let detecting = &mut **detecting;
                        detecting.detector.lost(d);
                        detecting.empty_lines[d] = false;
                        // What waited lies before the gap.
                        let side = &mut detecting.sides[d];
                        detecting.gap[d] = detecting.gap[d].saturating_add(side.waiting.len() as u64 + length);
                        side.waiting.clear();
                    }
                    Input::End => detecting.sides[d].ended = true,
                }
                self.decide(direction, frame);
                if !beyond.is_empty() {
                    self.parse_or_hold(direction, Input::Data(beyond), frame);
                }
                // A datagram that leaves the protocol open is not read again (the device relies on it).
                if let (Phase::Detecting(detecting), Some(Carrier::Udp)) = (&mut self.phase, self.carrier) {
                    detecting.sides[direction as usize].waiting.clear();
                }
            }
        }
    }

    /// After the decision, listen to the direction that did not make it.
    fn watch(&mut self, direction: Direction, input: Input<'_>) {
        let (Some(watch), Some(carrier)) = (&mut self.watch, self.carrier) else { return };
        let (detector, waiting, protocol) = &mut **watch;
        if *waiting != direction {
            return;
        }
        match input {
            Input::Data(bytes) => {
                let d = direction as usize;
                detector.push(carrier, self.client_port, self.server_port, d, bytes);
                let side = if d == 0 { protocol::Side::ToServer } else { protocol::Side::ToClient };
                let answer =
                    detect_side(carrier, side, self.client_port, self.server_port, detector.first_bytes(d));
                let protocol = *protocol;
                self.other_side(direction, protocol, answer);
            }
            Input::Gap(_) => self.watch = None,
            Input::End => {}
        }
    }

    /// The direction that did not make the decision says something.
    fn other_side(&mut self, direction: Direction, protocol: AppProtocol, answer: Detection) {
        match answer {
            Detection::Unknown => return,
            Detection::Known(other) => {
                self.by_side[direction as usize] = Some(other);
                if other != protocol {
                    self.events |= MISMATCH;
                }
            }
            // What servers of these say first is short, or is known by the request alone.
            Detection::Failed
                if direction == Direction::ToClient
                    && matches!(protocol, AppProtocol::Mqtt | AppProtocol::Http2 | AppProtocol::Doh2) => {}
            Detection::Failed => {
                self.events |= ONE_DIRECTION;
                self.side_failed[direction as usize] = true;
            }
        }
        self.watch = None;
    }

    fn decide(&mut self, last: Direction, frame: u64) {
        let (Phase::Detecting(detecting), Some(carrier)) = (&mut self.phase, self.carrier) else { return };
        let over = detecting.sides.iter().any(|side| side.waiting.len() >= WAITING_LIMIT);
        let answer = match detecting.detector.answer() {
            Detection::Known(protocol) if self.config.is_disabled(protocol) => Detection::Failed,
            answer => answer,
        };
        let protocol = match answer {
            Detection::Unknown if !over => return,
            Detection::Unknown | Detection::Failed => {
                self.events |= if over { SKIPPED } else { FAILED };
                if detecting.expected.is_some() {
                    self.events |= NO_TLS;
                }
                self.phase = Phase::Opaque(None);
                return;
            }
            Detection::Known(protocol) => protocol,
        };
        if let Some(expected) = detecting.expected.filter(|expected| *expected != protocol) {
            self.events |= UNEXPECTED | if expected == AppProtocol::Tls { NO_TLS } else { 0 };
        }
        let Phase::Detecting(detecting) =
            std::mem::replace(&mut self.phase, Phase::Opaque(Some(protocol)))
        else {
            return;
        };
        if carrier == Carrier::Tcp {
            self.sides_at_decision(&detecting, protocol, carrier);
        }
        let Some(state) = crate::parser_of(protocol, &self.config, self.carrier) else { return };
        self.phase = Phase::Parsing(state);
        self.cut_frames(protocol);
        // What waited in the other direction came first; the decision was made by what came now.
        let other = if last == Direction::ToServer { Direction::ToClient } else { Direction::ToServer };
        // A request that waited while the response decided goes first in any case.
        for direction in [other, last] {
            let side = &detecting.sides[direction as usize];
            if detecting.gap[direction as usize] > 0 {
                self.parse_or_hold(direction, Input::Gap(detecting.gap[direction as usize]), frame);
            }
            if !side.waiting.is_empty() {
                self.parse_or_hold(direction, Input::Data(&side.waiting), frame);
            }
            if side.ended {
                self.parse_or_hold(direction, Input::End, frame);
            }
        }
    }

    /// What each direction says by itself when the decision is made.
    fn sides_at_decision(&mut self, detecting: &Detecting, protocol: AppProtocol, carrier: Carrier) {
        let answers = [protocol::Side::ToServer, protocol::Side::ToClient].map(|side| {
            let bytes = detecting.detector.first_bytes(usize::from(side == protocol::Side::ToClient));
            detect_side(carrier, side, self.client_port, self.server_port, bytes)
        });
        for (d, answer) in answers.iter().enumerate() {
            if let Detection::Known(p) = answer {
                self.by_side[d] = Some(*p);
            }
        }
        let to_server_first = matches!(
            protocol,
            AppProtocol::Http1 | AppProtocol::Http2 | AppProtocol::Tls | AppProtocol::Dns | AppProtocol::DceRpc
        );
        if to_server_first && detecting.first == Some(Direction::ToClient) {
            self.events |= WRONG_DIRECTION;
        }
        let other = if answers[0] == Detection::Known(protocol) { Direction::ToClient } else { Direction::ToServer };
        match answers[other as usize] {
            Detection::Unknown => self.watch = Some(Box::new((detecting.detector, other, protocol))),
            answer => self.other_side(other, protocol, answer),
        }
    }
}

impl std::fmt::Debug for AppLayerFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppLayerFlow").field("protocol", &self.protocol()).finish_non_exhaustive()
    }
}
