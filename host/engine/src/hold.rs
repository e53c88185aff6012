//! When a device may have a flow back, and what holds the flow until then.
//!
//! Place: beside [`crate::flow_data`], whose flows it judges after each diverted frame; decisions 0010, 0013, 0014, 0020 and 0035.
//! Invariant: a flow is given back only where everything that could still match in it is flagged by a later frame.

use crate::evidence::{Stream, StreamEvidence};
use crate::flow_data::FlowData;
use crate::messages::{Asked, Look, MessageEvidence};
use weir_app_layer::Direction;
use weir_contract::enums::Scopes;
use weir_contract::protocol::{AppProtocol, Detection};
use weir_detect::Inspector;

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

/// Why the host has not given a flow back, and so got a frame of it that nothing flagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Hold {
    /// It has; the release was on its way.
    Released,
    /// The host has no flow for the device's entry, or asked for it itself, or lost frames of it.
    #[default]
    Unsure,
    /// A rule or policy decided about it: it is dropped, tagged, or has a bit set that rules without conditions wait for.
    Decided,
    /// Its protocol has changed, or carries another one.
    Upgraded,
    /// Bytes that were flagged wait behind a gap, or host and device do not stand at the same byte.
    Gap,
    /// Its handshake is not over.
    Handshake,
    /// Bytes to come could complete what led to a rule of the stream.
    Stream,
    /// The same for a pattern that the host looks for itself.
    Pattern,
    /// The device may have other last bytes.
    Tail,
    /// A message under way, of a protocol that tells no more.
    Message(AppProtocol),
    /// A message under way of a protocol not known yet.
    Undecided,
    /// A message of HTTP/1 whose rest may be read otherwise than it is on the wire, or be more than a body.
    Coded,
    /// What leads to a rule on bodies stands in the body under way.
    Body,
    /// A rule waits in a transaction.
    Waits,
    /// Too much of it was read from history after it had been given back early.
    Returned,
}

impl Hold {
    /// Its name in totals.
    pub fn name(self) -> String {
        let name = match self {
            Hold::Message(protocol) => return format!("message {}", protocol.name()),
            Hold::Released => "released",
            Hold::Unsure => "unsure",
            Hold::Decided => "decided",
            Hold::Upgraded => "upgraded",
            Hold::Gap => "gap",
            Hold::Handshake => "handshake",
            Hold::Stream => "stream",
            Hold::Pattern => "pattern",
            Hold::Tail => "tail",
            Hold::Undecided => "undecided",
            Hold::Coded => "coded",
            Hold::Body => "body",
            Hold::Waits => "waits",
            Hold::Returned => "returned",
        };
        name.to_owned()
    }
}

/// What the host tells the device about a flow after a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Nothing: the flow stays diverted, for this.
    Keep(Hold),
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
    /// Directions in which something was flagged since the last answer.
    flagged: [bool; 2],
    /// Directions in which something waits that was flagged.
    waiting: [bool; 2],
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

    /// Bytes of the direction wait, if `waits`, and some of them were flagged. What was not flagged and waits is as if it were
    /// still to come: nothing matches in it alone, and what fills the gap before it is flagged (decision 0040).
    fn waits_for(&mut self, d: usize, waits: bool) -> bool {
        self.waiting[d] = waits && (self.waiting[d] || self.flagged[d]);
        self.flagged[d] = false;
        self.waiting[d]
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
        self.troubles.flagged[direction & 1] = true;
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
    pub(crate) fn unread(&mut self) {
        self.diverted = true;
        self.troubles.flagged = [true; 2];
        for d in 0..2 {
            self.troubles.add(Trouble::Unread, d);
            self.troubles.add(Trouble::Tail, d);
        }
        (self.app_dirty, self.handshake_dirty) = (true, true);
    }
}

impl FlowData {
    /// Whether the device may have the flow back after the frame just processed (reference semantics, section 6:
    /// level reassembly; no open transaction or raw window holds bytes of a frame that had trouble in that scope).
    pub fn answer(&mut self, held: Held<'_>) -> Answer {
        let Held { raw_window, streams: evidence, messages, ports, bytes, look, inspector } = held;
        let link = &mut self.device;
        // After a change of protocol the device's class no longer holds.
        if self.dropped {
            return Answer::Keep(Hold::Decided);
        }
        if self.app.upgraded() {
            return Answer::Keep(Hold::Upgraded);
        }
        if !link.diverted || link.entry.is_none() {
            return Answer::Keep(Hold::Unsure);
        }
        let classes = match self.app.protocol() {
            Some(protocol) => 1 << Detection::Known(protocol).class(),
            None if self.app.undecided() => u64::MAX,
            None => 1 << Detection::Failed.class(),
        };
        if self.encrypted {
            // One side may send its data early, and the other its certificate then.
            if !self.app.handshake_over() {
                return Answer::Keep(Hold::Handshake);
            }
            // Payload is not inspected any more, but the parser still reads it and may raise events.
            return Answer::Mask(Scopes::HEADER.0 | Scopes::APP.0);
        }
        let session = self.session.as_ref();
        if session.is_some() || self.resting.is_some_and(|resting| resting.is_of_session()) {
            // A session that rests has had one packet without payload.
            let waits = [0, 1].map(|d| link.troubles.waits_for(d, session.is_some_and(|session| session.is_waiting(d))));
            if waits != [false; 2] || session.is_some_and(|session| !session.is_level()) {
                return Answer::Keep(Hold::Gap);
            }
            // No stream that has been read so far is read on. (A SYN to come is flagged.)
            let reached = |d| session.is_some_and(|session| session.depth_reached(d) || !session.is_followed(d));
            for d in 0..2 {
                let delivered = session.map_or(0, |session| session.delivered(d));
                let (kept, start) = self.windows[d].kept();
                let skip = kept.len().saturating_sub(raw_window);
                let window = kept.get(skip..).unwrap_or(&[]);
                let stream = Stream { classes, source: ports[d], destination: ports[1 - d] };
                let detect = self.detect.as_deref();
                let place = (window, start + skip as u64);
                let leads = |inspector: &mut Inspector| {
                    evidence.leads_on(window, stream, |rule, fragment| match (rule, detect) {
                        (Some(rule), Some(detect)) => inspector.could_complete(detect, rule, side(d), place, fragment),
                        _ => true,
                    })
                };
                let waits = |inspector: &mut Inspector| detect.is_some_and(|detect| inspector.waits(detect, side(d), place));
                let has_tail = session.is_some_and(|session| session.tail_is_of(d, kept));
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
                    if troubles.holds(Trouble::Stream, d, delivered, raw_window as u64) && leads(inspector) {
                        return Answer::Keep(Hold::Stream);
                    }
                    if troubles.holds(Trouble::Tail, d, delivered, TAIL) && !has_tail {
                        return Answer::Keep(Hold::Tail);
                    }
                    if troubles.is_open(Trouble::Pattern, d) && (cut() || waits(inspector)) {
                        return Answer::Keep(Hold::Pattern);
                    }
                }
                troubles.close(d);
            }
        } else {
            link.troubles = Troubles::default();
        }
        if link.handshake_dirty && self.app.may_encrypt() {
            return Answer::Keep(Hold::Handshake);
        }
        let open = link.app_dirty && (self.app.is_open(Direction::ToServer) || self.app.is_open(Direction::ToClient));
        if open {
            let (app, detect) = (&self.app, self.detect.as_deref());
            if let Some(hold) = look.holds(Asked { app, detect, evidence: messages, classes, ports, bytes }, inspector) {
                return Answer::Keep(hold);
            }
        }
        look.early = open;
        link.app_dirty = false;
        link.handshake_dirty = false;
        Answer::Release
    }
}
