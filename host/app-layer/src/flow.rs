//! The application layer of one flow: detection, then the protocol's parser.
//!
//! The shared detection function sees the first bytes of each direction; this keeps the bytes that arrived before
//! the decision (bounded), which the parser is then given in their order.

use crate::config::AppLayerConfig;
use crate::expectation::Expected;
use crate::{Direction, Input, ProtocolState};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, LazyLock};
use weir_contract::protocol::{self, AppProtocol, Carrier, Detection, Detector, detect_side};

/// Bytes per direction kept while the protocol is unknown. Detection decides within the first bytes of a direction, so
/// only a direction that waits for the other can pile up more.
const WAITING_LIMIT: usize = 64 * 1024;

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

#[derive(Debug, Default)]
struct Side {
    waiting: Vec<u8>,
    ended: bool,
}

/// While the protocol is not known.
#[derive(Debug, Default)]
struct Detecting {
    detector: Detector,
    sides: [Side; 2],
    /// Who sent the first bytes.
    first: Option<Direction>,
    /// Gaps fall between what waits; the parser cannot be given what came before one.
    gap: [u64; 2],
    /// What a protocol change announced.
    expected: Option<AppProtocol>,
}

/// Made when something comes: of a flood's flows most never carry a byte.
#[derive(Debug, Default)]
struct Lazy(Option<Box<Detecting>>);

static NOTHING_YET: LazyLock<Detecting> = LazyLock::new(Detecting::default);

impl Deref for Lazy {
    type Target = Detecting;
    fn deref(&self) -> &Detecting {
        match &self.0 {
            Some(detecting) => detecting,
            None => &NOTHING_YET,
        }
    }
}

impl DerefMut for Lazy {
    fn deref_mut(&mut self) -> &mut Detecting {
        self.0.get_or_insert_default()
    }
}

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
        }
    }

    /// The protocol, once decided.
    pub fn protocol(&self) -> Option<AppProtocol> {
        match &self.phase {
            Phase::Detecting(_) => None,
            Phase::Parsing(state) => Some(state.protocol()),
            Phase::Opaque(protocol) => *protocol,
        }
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

    /// The parser.
    pub fn state_mut(&mut self) -> Option<&mut (dyn ProtocolState + 'static)> {
        match &mut self.phase {
            Phase::Parsing(state) => Some(&mut **state),
            _ => None,
        }
    }

    /// The protocol before it changed; the present one if it has not.
    pub fn original_protocol(&self) -> Option<AppProtocol> {
        self.original.or(self.protocol())
    }

    /// What is known of each direction: its own bytes decide, once they have come. The first datagram of a direction
    /// may say that it is of no protocol, while the other direction has not spoken.
    pub fn detection_by_side(&self) -> [Detection; 2] {
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
        [0, 1].map(|d| match (self.by_side[d], self.side_failed[d]) {
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

    /// Detection has seen everything fed so far. A protocol change that the parser declared takes effect now, so that
    /// its last transactions are inspected first.
    pub fn mark_inspected(&mut self, frame: u64) {
        let Phase::Parsing(state) = &mut self.phase else { return };
        state.mark_inspected();
        let Some(upgrade) = state.upgrade() else { return };
        let before = state.protocol();
        let rests = [Direction::ToServer, Direction::ToClient].map(|d| (d, state.take_rest(d)));
        self.upgraded = true;
        self.original.get_or_insert(before);
        self.watch = None;
        self.by_side = [None; 2];
        self.side_failed = [false; 2];
        self.phase = match upgrade.protocol {
            // What was announced must still be what comes.
            Some(AppProtocol::Tls) => {
                Phase::Detecting(Lazy(Some(Box::new(Detecting {
                    expected: Some(AppProtocol::Tls),
                    ..Detecting::default()
                }))))
            }
            Some(protocol) => match crate::parser_of(protocol, &self.config, self.carrier) {
                Some(state) => Phase::Parsing(state),
                None => Phase::Opaque(Some(protocol)),
            },
            None => Phase::Detecting(Lazy::default()),
        };
        for (direction, rest) in rests {
            if !rest.is_empty() {
                self.feed(direction, Input::Data(&rest), frame);
            }
        }
        for direction in [Direction::ToServer, Direction::ToClient] {
            if self.ended[direction as usize] {
                self.feed(direction, Input::End, frame);
            }
        }
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
                Phase::Parsing(Box::new(crate::ftp_data::FtpDataState::new(&self.config, expected.file.clone())))
            }
            protocol => Phase::Opaque(Some(protocol)),
        };
    }

    /// Connections that the flow announced since the last call.
    pub fn take_expected(&mut self) -> Vec<Expected> {
        self.state_mut().map_or_else(Vec::new, |state| state.take_expected())
    }

    /// The payload is encrypted from here on.
    pub fn encrypted(&self) -> bool {
        self.state().is_some_and(|state| state.encrypted())
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
        match &self.phase {
            Phase::Detecting(detecting) => detecting.sides.iter().any(|side| !side.waiting.is_empty()),
            Phase::Parsing(state) => state.is_open(direction),
            Phase::Opaque(_) => false,
        }
    }

    /// Feed one direction.
    pub fn feed(&mut self, direction: Direction, input: Input<'_>, frame: u64) {
        match input {
            Input::End => self.ended[direction as usize] = true,
            Input::Data(_) => self.ended[direction as usize] = false,
            Input::Gap(_) => {}
        }
        self.watch(direction, input);
        match &mut self.phase {
            Phase::Opaque(_) => {}
            Phase::Parsing(state) => state.feed(direction, input, frame),
            Phase::Detecting(detecting) => {
                let d = direction as usize;
                match input {
                    Input::Data(bytes) => {
                        detecting.first.get_or_insert(direction);
                        let side = &mut detecting.sides[d];
                        // Whoever sends on did not believe the reset that seemed to be the end.
                        side.ended = false;
                        let room = WAITING_LIMIT.saturating_sub(side.waiting.len());
                        side.waiting.extend_from_slice(&bytes[..bytes.len().min(room)]);
                        if let Some(carrier) = self.carrier {
                            detecting.detector.push(carrier, self.client_port, self.server_port, d, bytes);
                        }
                    }
                    Input::Gap(length) => {
                        let detecting = &mut **detecting;
                        detecting.detector.lost(d);
                        // What waited lies before the gap.
                        let side = &mut detecting.sides[d];
                        detecting.gap[d] = detecting.gap[d].saturating_add(side.waiting.len() as u64 + length);
                        side.waiting.clear();
                    }
                    Input::End => detecting.sides[d].ended = true,
                }
                self.decide(direction, frame);
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
        let Some(mut state) = crate::parser_of(protocol, &self.config, self.carrier) else { return };
        // What waited in the other direction came first; the decision was made by what came now.
        let other = if last == Direction::ToServer { Direction::ToClient } else { Direction::ToServer };
        // A request that waited while the response decided goes first in any case.
        for direction in [other, last] {
            let side = &detecting.sides[direction as usize];
            if detecting.gap[direction as usize] > 0 {
                state.feed(direction, Input::Gap(detecting.gap[direction as usize]), frame);
            }
            if !side.waiting.is_empty() {
                state.feed(direction, Input::Data(&side.waiting), frame);
            }
            if side.ended {
                state.feed(direction, Input::End, frame);
            }
        }
        self.phase = Phase::Parsing(state);
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

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{ToClient, ToServer};

    fn flow(port: u16) -> AppLayerFlow {
        AppLayerFlow::new(&Arc::default(), 6, 40000, port)
    }

    fn events(flow: &mut AppLayerFlow) -> Vec<&'static str> {
        flow.new_events().collect()
    }

    #[test]
    fn what_waits_reaches_the_parser() {
        let mut f = flow(80);
        for b in b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n" {
            f.feed(ToServer, Input::Data(&[*b]), 1);
        }
        assert_eq!(f.protocol(), Some(AppProtocol::Http1));
        let state = f.state().expect("parsed");
        assert!(matches!(state.buffer(0, ToServer, weir_ir::Buffer::HttpHost, 0), crate::BufferState::Present(_)));
        // A method that detection does not know: the response decides.
        let mut f = flow(80);
        f.feed(ToServer, Input::Data(b"UNKNOWNMETHOD /x HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
        f.feed(ToClient, Input::Data(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 2);
        assert_eq!(f.state().map(|s| s.transactions().len()), Some(1));
        assert_eq!(events(&mut f), [EVENTS[2]]);
        assert!(events(&mut f).is_empty());
    }

    #[test]
    fn directions_that_disagree() {
        let mut f = flow(80);
        f.feed(ToServer, Input::Data(b"GET / HTTP/1.1\r\n\r\n"), 1);
        f.feed(ToClient, Input::Data(b"SSH-2.0-x\r\n"), 2);
        assert_eq!(events(&mut f), [EVENTS[0]]);
        let mut f = flow(80);
        f.feed(ToClient, Input::Data(b"something first of all"), 1);
        f.feed(ToServer, Input::Data(b"GET / HTTP/1.1\r\n\r\n"), 2);
        assert_eq!(events(&mut f), [EVENTS[1], EVENTS[2]]);
        let mut f = flow(9);
        f.feed(ToClient, Input::Data(b"something first of all"), 1);
        f.feed(ToServer, Input::Data(b"something else of it"), 2);
        assert!(f.failed());
    }

    #[test]
    fn a_tunnel_is_detected_anew_after_inspection() {
        let mut f = flow(8080);
        f.feed(ToServer, Input::Data(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), 1);
        f.feed(ToClient, Input::Data(b"HTTP/1.1 200 OK\r\n\r\n"), 2);
        assert_eq!(f.protocol(), Some(AppProtocol::Http1));
        assert_eq!(f.state().map(|s| s.transactions().len()), Some(1));
        f.mark_inspected(2);
        assert!(f.upgraded() && f.undecided());
        f.feed(ToServer, Input::Data(b"\x16\x03\x01\x00\x05"), 3);
        assert_eq!((f.protocol(), f.original_protocol()), (Some(AppProtocol::Tls), Some(AppProtocol::Http1)));
    }
}
