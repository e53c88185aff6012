//! What the engine keeps per flow, and when a device may have the flow back.

use weir_app_layer::{AppLayerFlow, Direction};
use weir_contract::enums::Scopes;
use weir_detect::FlowDetect;
use weir_reassembly::{RawWindow, Session};

/// State of one flow.
pub struct FlowData {
    /// TCP session.
    pub session: Option<Box<Session>>,
    /// Protocol detection and parser.
    pub app: AppLayerFlow,
    /// Detection's state.
    pub detect: FlowDetect,
    /// Raw inspection windows by direction.
    pub windows: [RawWindow; 2],
    /// The payload is encrypted from here on.
    pub encrypted: bool,
    /// The device's side of the flow.
    pub device: DeviceLink,
}

/// The device entry a flow belongs to, and what keeps the host from releasing it.
#[derive(Debug, Clone, Copy, Default)]
pub struct DeviceLink {
    /// Entry index and generation.
    pub entry: Option<(u32, u32)>,
    /// The device sends every frame of the flow.
    pub diverted: bool,
    /// Settled: only these scopes can still match.
    pub settled: bool,
    stream_dirty: [bool; 2],
    stream_end: [Option<u64>; 2],
    app_dirty: bool,
    handshake_dirty: bool,
}

/// What the host tells the device about a flow after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the flow stays diverted.
    Keep,
    /// The flow may pass again.
    Release,
    /// Nothing but single-packet rules can still match: release and settle.
    Settle,
}

impl DeviceLink {
    /// A diverted frame of `direction` had trouble in `scopes`.
    pub fn trouble(&mut self, direction: usize, scopes: u8) {
        self.diverted = true;
        // What always diverts has no scope: the device may not have read the frame as the host has, in any of them.
        let scopes = if scopes & Scopes::ALWAYS.0 != 0 { u8::MAX } else { scopes };
        if scopes & Scopes::STREAM.0 != 0 {
            self.stream_dirty[direction & 1] = true;
        }
        if scopes & (Scopes::APP.0 | Scopes::DATAGRAM_FLOW.0) != 0 {
            self.app_dirty = true;
        }
        if scopes & Scopes::HANDSHAKE.0 != 0 {
            self.handshake_dirty = true;
        }
    }
}

impl FlowData {
    /// The device has the flow back.
    pub fn is_released(&self) -> bool {
        self.device.entry.is_some() && !self.device.diverted
    }

    /// Whether the device may have the flow back after the frame just processed (reference semantics, section 6:
    /// level reassembly; no open transaction or raw window holds bytes of a frame that had trouble in that scope).
    pub fn answer(&mut self, raw_window: usize) -> Answer {
        let link = &mut self.device;
        // After a change of protocol the device's class no longer holds.
        if !link.diverted || link.entry.is_none() || self.app.upgraded() {
            return Answer::Keep;
        }
        if self.encrypted {
            return if link.settled { Answer::Release } else { Answer::Settle };
        }
        if let Some(session) = &self.session {
            if !session.is_level() {
                return Answer::Keep;
            }
            if session.depth_reached(0) && session.depth_reached(1) {
                return if link.settled { Answer::Release } else { Answer::Settle };
            }
            for d in 0..2 {
                let delivered = session.delivered(d);
                if std::mem::take(&mut link.stream_dirty[d]) {
                    link.stream_end[d] = Some(delivered);
                }
                if let Some(end) = link.stream_end[d] {
                    if delivered.saturating_sub(end) < raw_window as u64 && !session.depth_reached(d) {
                        return Answer::Keep;
                    }
                    link.stream_end[d] = None;
                }
            }
        } else {
            link.stream_dirty = [false; 2];
        }
        if link.handshake_dirty && self.app.may_encrypt() {
            return Answer::Keep;
        }
        if link.app_dirty && (self.app.is_open(Direction::ToServer) || self.app.is_open(Direction::ToClient)) {
            return Answer::Keep;
        }
        link.app_dirty = false;
        link.handshake_dirty = false;
        Answer::Release
    }
}
