//! The application layer of one flow: detection, then the protocol's parser.
//!
//! The shared detection function sees the first bytes of each direction; this keeps the bytes that arrived before
//! the decision (bounded), which the parser is then given in their order.

use crate::config::AppLayerConfig;
use crate::{Direction, Input, ProtocolState};
use std::sync::Arc;
use weir_contract::protocol::{AppProtocol, Carrier, Detection, Detector};

/// Bytes per direction kept while the protocol is unknown. Detection decides within the first bytes of a direction, so only a direction that waits for the other can pile up more.
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

#[derive(Debug, Default)]
struct Side {
    waiting: Vec<u8>,
    ended: bool,
}

enum Phase {
    Detecting(Box<(Detector, [Side; 2])>),
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
    events: u8,
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
            phase: if carrier.is_some() { Phase::Detecting(Box::default()) } else { Phase::Opaque(None) },
            events: 0,
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

    /// Events of the layer itself: bits of [`EVENTS`].
    pub fn events(&self) -> u8 {
        self.events
    }

    /// The protocol has changed since the flow began: what a device thinks of it no longer holds.
    pub fn upgraded(&self) -> bool {
        self.upgraded
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
            Phase::Detecting(detecting) => detecting.1.iter().any(|side| !side.waiting.is_empty()),
            Phase::Parsing(state) => state.is_open(direction),
            Phase::Opaque(_) => false,
        }
    }

    /// Feed one direction.
    pub fn feed(&mut self, direction: Direction, input: Input<'_>, frame: u64) {
        match &mut self.phase {
            Phase::Opaque(_) => {}
            Phase::Parsing(state) => {
                state.feed(direction, input, frame);
                if let Some(upgrade) = state.upgrade() {
                    self.upgraded = true;
                    self.phase = match upgrade.protocol {
                        Some(protocol) => match crate::parser_of(protocol, &self.config, self.carrier) {
                            Some(state) => Phase::Parsing(state),
                            None => Phase::Opaque(Some(protocol)),
                        },
                        None => Phase::Detecting(Box::default()),
                    };
                }
            }
            Phase::Detecting(detecting) => {
                let (detector, sides) = &mut **detecting;
                let side = &mut sides[direction as usize];
                match input {
                    Input::Data(bytes) => {
                        let room = WAITING_LIMIT.saturating_sub(side.waiting.len());
                        side.waiting.extend_from_slice(&bytes[..bytes.len().min(room)]);
                        if let Some(carrier) = self.carrier {
                            detector.push(carrier, self.client_port, self.server_port, direction as usize, bytes);
                        }
                    }
                    Input::Gap(_) => detector.lost(direction as usize),
                    Input::End => side.ended = true,
                }
                self.decide(direction, frame);
            }
        }
    }

    fn decide(&mut self, last: Direction, frame: u64) {
        let Phase::Detecting(detecting) = &mut self.phase else { return };
        let (detector, sides) = &mut **detecting;
        let over = sides.iter().any(|side| side.waiting.len() >= WAITING_LIMIT);
        match detector.answer() {
            Detection::Unknown if !over => {}
            Detection::Unknown | Detection::Failed => {
                self.events |= 1 << 6;
                self.phase = Phase::Opaque(None);
            }
            Detection::Known(protocol) => {
                let Some(mut state) = crate::parser_of(protocol, &self.config, self.carrier) else {
                    self.phase = Phase::Opaque(Some(protocol));
                    return;
                };
                // What waited comes first in the other direction, which cannot have been decided by what came now.
                let other = if last == Direction::ToServer { Direction::ToClient } else { Direction::ToServer };
                for direction in [other, last] {
                    let side = &sides[direction as usize];
                    if !side.waiting.is_empty() {
                        state.feed(direction, Input::Data(&side.waiting), frame);
                    }
                    if side.ended {
                        state.feed(direction, Input::End, frame);
                    }
                }
                self.phase = Phase::Parsing(state);
            }
        }
    }
}

impl std::fmt::Debug for AppLayerFlow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppLayerFlow").field("protocol", &self.protocol()).finish_non_exhaustive()
    }
}
