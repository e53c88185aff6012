//! The frame path, one function per stage, in the order of docs/architecture.md:
//!
//! ```text
//!  offer ─ room? ─ parse ─ lookup (first access to the entry) ─ judge ─ verdict (second access) ─ fate
//!           │                                                                │
//!           └ wait: nothing has happened yet                                 └ history, descriptor
//! ```
//!
//! Invariants: a frame that was accepted has exactly one fate, counted; a frame that must wait has left no trace, so the
//! outcome does not depend on how full rings were. (The one exception is written down at `make_room`.)

mod commands;
mod judge;
mod life;
mod lookup;
mod room;
mod takeover;
mod tcp;
mod verdict;

pub use lookup::{Arrival, Staged};

use crate::counters::Counters;
use crate::dma::{Bus, DmaFault};
use crate::flow::{self, FlowTable, HostStreams, HostTimeouts};
use crate::literal::{Hit, Scratch};
use crate::parse::{ParseConfig, parse};
use crate::queue::Queue;
use crate::tables::Tables;
use crate::tables::header::HeaderCache;
use crate::watchdog::{Change, Watchdog};
use std::collections::VecDeque;
use std::rc::Rc;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{BypassReason, DropReason, Error};
use weir_contract::flow_key::{Address, flow_key};
use weir_contract::hash::queue_of;
use weir_contract::layouts::{FlowKey, GuardParameters};
use weir_contract::record::FrameFacts;

/// A frame at the port.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Number, from 1, ascending.
    pub number: u64,
    /// Time, ns since the epoch.
    pub time: u64,
    /// Link type (LINKTYPE_*).
    pub link: u16,
    /// Captured bytes.
    pub data: &'a [u8],
    /// Length on the wire.
    pub wire_length: u32,
}

/// What became of an offered frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Taken; its fate is counted.
    Accepted,
    /// The host has to catch up first: offer the same frame again.
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
    /// How the host reads streams.
    pub streams: HostStreams,
    /// Constants of the flow hash.
    pub flow_hash: [u64; 6],
    /// The source can wait.
    pub source_waits: bool,
    /// Fail mode is closed.
    pub fail_closed: bool,
    /// Two ports are joined.
    pub inline: bool,
    /// Time between reports of a flow, ns; 0: none.
    pub report_interval: u64,
}

/// What left the device by its port, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transmitted<'a> {
    /// A frame the device passed or bypassed.
    Passed(&'a [u8]),
    /// A diverted frame that the host forwarded (its bytes as the host gave them; none on a tap).
    Forwarded(u64, &'a [u8]),
    /// A frame of the host, and its egress port.
    Injected(u8, &'a [u8]),
    /// A frame that will not leave: dropped by the device or by a verdict, or left behind by a host that is gone.
    Withheld(u64),
}

/// What led to a record that held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Led {
    /// The header table: it is asked of every frame.
    Header,
    /// A guard, by number.
    Guard(u8),
    /// A fragment, whose first byte lies there, counted from the payload's start (negative: in the tail).
    Fragment(i32),
}

/// A frame, as it was judged: for those who want to know what traffic looks like to the device.
#[derive(Debug, Clone, Copy)]
pub struct Judging<'a> {
    /// What records are asked of.
    pub facts: &'a FrameFacts,
    /// Source and destination.
    pub ends: Option<(Address, Address)>,
    /// Ports.
    pub ports: (u16, u16),
    /// Guards that fired.
    pub guards: u64,
    /// Folded bytes before the payload, where it may continue its stream.
    pub tail: &'a [u8],
    /// Payload that is scanned.
    pub payload: &'a [u8],
    /// What guards of text compare with.
    pub parameters: &'a GuardParameters,
    /// Captured bytes.
    pub length: usize,
    /// Its flow is diverted already, whatever holds.
    pub diverted: bool,
    /// Records that held, and what led to each.
    pub held: &'a [(u32, Led)],
}

/// Is told of every frame that is judged.
pub type Watcher = Box<dyn FnMut(&Judging<'_>)>;

/// Takes what is transmitted.
pub type TransmitSink = Box<dyn FnMut(Transmitted<'_>)>;

/// State of the frame path.
pub struct Pipeline {
    /// Settings.
    pub settings: Settings,
    /// The bus.
    pub bus: Bus,
    /// Flow table.
    pub flows: FlowTable,
    /// Queues.
    pub queues: Vec<Queue>,
    /// Active tables and their epoch.
    pub bank: Option<(u32, Rc<Tables>)>,
    /// Counters.
    pub counters: Counters,
    /// Watchdog.
    pub watchdog: Watchdog,
    /// Number of the last frame.
    pub number: u64,
    /// Number of the frame at hand: what a HANDOVER says caused it.
    cause: u64,
    /// Greatest frame time.
    pub now: u64,
    /// First error since last asked: code, detail.
    pub error: Option<(Error, u64)>,
    /// Fail mode began or ended since last asked.
    pub watchdog_changed: bool,
    /// Takes what is transmitted.
    pub sink: Option<TransmitSink>,
    /// Is told of every frame that is judged.
    pub watcher: Option<Watcher>,
    /// For the watcher: of the frame at hand.
    held: Vec<(u32, Led)>,
    header: HeaderCache,
    hits: Vec<Hit>,
    scratch: Scratch,
    /// Diverted frames without a verdict, ascending; answered ones stay until they are the oldest.
    in_flight: VecDeque<(u64, bool)>,
    /// Next slot to end, while a flush is under way, and why.
    ending: Option<(u32, life::Ending)>,
    waiting: bool,
    sweep_time: u64,
    /// Port of frames that are offered.
    pub port: u8,
}

/// A frame on its way.
struct Taken<'a> {
    frame: &'a Frame<'a>,
    data: &'a [u8],
    /// Key, its hash, and whether the frame comes from the lower endpoint.
    key: Option<(FlowKey, u64, bool)>,
    queue: usize,
    /// Where its history record goes; none if there is no room for it.
    place: Option<crate::queue::Place>,
}

impl Pipeline {
    /// A pipeline with nothing loaded.
    pub fn new(settings: Settings, flow_entries: u32) -> Self {
        Pipeline {
            settings,
            bus: Bus::default(),
            flows: FlowTable::new(flow_entries),
            queues: Vec::new(),
            bank: None,
            counters: Counters::default(),
            watchdog: Watchdog::default(),
            number: 0,
            cause: 0,
            now: 0,
            error: None,
            watchdog_changed: false,
            sink: None,
            watcher: None,
            held: Vec::new(),
            header: HeaderCache::default(),
            hits: Vec::new(),
            scratch: Scratch::default(),
            in_flight: VecDeque::new(),
            ending: None,
            waiting: false,
            sweep_time: 0,
            port: 0,
        }
    }

    /// Make a bank the active one, between two frames.
    pub fn activate(&mut self, epoch: u32, tables: Rc<Tables>) {
        self.bank = Some((epoch, tables));
        self.header.clear();
        self.counters.count(Counter::EpochChanges);
    }

    /// Offer a frame. `may_wait`: the source of this frame can wait (if the registers say so too).
    pub fn offer(&mut self, frame: &Frame<'_>, may_wait: bool) -> Offer {
        let wait = may_wait && self.settings.source_waits;
        self.resume();
        if wait && self.has_pending() {
            return self.wait();
        }
        let data = self.bus.faults.cut(frame.data);
        let parsed = parse(&self.settings.parse, frame.link, data, frame.wire_length);
        let key = match parsed.ends.filter(|_| parsed.keyed) {
            Some((source, destination)) => Some(self.key(&parsed, source, destination)),
            None => None,
        };
        let queue = match key {
            Some((_, hash, _)) => queue_of(hash, self.queues.len().max(1) as u32) as usize,
            None => 0,
        };
        let time = self.now.max(frame.time);
        self.cause = frame.number;
        let mut place = self.queues.get(queue).and_then(|q| q.place(data.len()));
        if wait {
            if !self.make_room(queue, place, time) {
                return self.wait();
            }
        } else if !self.scrub_now(queue, place, time) {
            place = None;
        }
        self.waiting = false;
        self.number = frame.number;
        self.now = time;
        self.counters.count(Counter::ReceivedFrames);
        self.counters.add(Counter::ReceivedBytes, data.len() as u64);
        if self.watchdog.frame(time) == Change::Began {
            self.counters.count(Counter::WatchdogExpired);
            self.watchdog_changed = true;
        }
        self.sweep();
        let taken = Taken { frame, data, key, queue, place };
        if data.len() > c::FRAME_LENGTH_MAX as usize {
            self.mark_hole(&taken);
            self.drop(DropReason::TooLong, data.len());
            return Offer::Accepted;
        }
        let mut staged = self.lookup(&taken, &parsed);
        let entry = staged.slot.and_then(|slot| self.flows.get(slot));
        let (blocked, bypassed) = entry.map_or((false, false), |entry| (entry.verdict.blocked, entry.verdict.bypassed));
        // What the host has decided holds whether it lives or not.
        if blocked {
            self.drop(DropReason::FlowBlocked, data.len());
            return Offer::Accepted;
        }
        let Some((epoch, tables)) = self.bank.clone().filter(|_| !self.watchdog.expired()) else {
            self.fail(&staged, DropReason::FailClosed, BypassReason::FailOpen, data);
            return Offer::Accepted;
        };
        if bypassed {
            self.bypass(BypassReason::FlowBypassed, data);
            return Offer::Accepted;
        }
        let judged = self.judge(&tables, epoch, &taken, &parsed, &mut staged);
        self.verdict(&taken, &staged, &judged, epoch);
        Offer::Accepted
    }

    fn key(&self, parsed: &crate::parse::Parsed, source: Address, destination: Address) -> (FlowKey, u64, bool) {
        let vlan = if self.settings.vlan_key { parsed.vlan } else { [0; 2] };
        let (key, lower_first) =
            flow_key((source, parsed.ports.0), (destination, parsed.ports.1), parsed.protocol, vlan);
        (key, flow::hash(&key, &self.settings.flow_hash), lower_first)
    }

    fn wait(&mut self) -> Offer {
        if !std::mem::replace(&mut self.waiting, true) {
            self.counters.count(Counter::HistoryWaits);
        }
        Offer::Wait
    }

    /// A DMA access was refused.
    pub(crate) fn fault(&mut self, fault: DmaFault) {
        self.counters.count(Counter::DmaFaults);
        let (code, detail) = fault.code();
        self.error.get_or_insert((code, detail));
    }

    fn transmit(&mut self, what: Transmitted<'_>) {
        self.counters.count(Counter::TransmittedFrames);
        if let Some(sink) = &mut self.sink {
            sink(what);
        }
    }

    /// Nothing is transmitted, and whoever holds the frame may let it go.
    fn withhold(&mut self, number: u64) {
        if let Some(sink) = &mut self.sink {
            sink(Transmitted::Withheld(number));
        }
    }

    fn pass(&mut self, data: &[u8]) {
        self.counters.count(Counter::PassedFrames);
        self.counters.add(Counter::PassedBytes, data.len() as u64);
        self.transmit(Transmitted::Passed(data));
    }

    fn drop(&mut self, reason: DropReason, bytes: usize) {
        self.counters.count(Counter::DroppedFrames);
        self.counters.add(Counter::DroppedBytes, bytes as u64);
        self.counters.count(match reason {
            DropReason::FlowBlocked => Counter::DroppedFlowBlocked,
            DropReason::FailClosed => Counter::DroppedFailClosed,
            DropReason::RingFull => Counter::DroppedRingFull,
            DropReason::TooLong => Counter::DroppedTooLong,
            DropReason::Dma => Counter::DroppedDma,
        });
        self.withhold(self.number);
    }

    fn bypass(&mut self, reason: BypassReason, data: &[u8]) {
        self.counters.count(Counter::BypassedFrames);
        self.counters.add(Counter::BypassedBytes, data.len() as u64);
        self.counters.count(match reason {
            BypassReason::FlowBypassed => Counter::BypassedFlow,
            BypassReason::FailOpen => Counter::BypassedFailOpen,
            BypassReason::RingFull => Counter::BypassedRingFull,
            BypassReason::Dma => Counter::BypassedDma,
        });
        self.transmit(Transmitted::Passed(data));
    }

    /// The frame was not inspected or did not reach the host: fail mode, and a hole in its flow.
    fn fail(&mut self, staged: &lookup::Staged, closed: DropReason, open: BypassReason, data: &[u8]) {
        if let Some(entry) = staged.slot.and_then(|slot| self.flows.get_mut(slot)) {
            entry.verdict.miss(self.number);
        }
        if self.settings.fail_closed {
            self.drop(closed, data.len());
        } else {
            self.bypass(open, data);
        }
    }

    fn mark_hole(&mut self, taken: &Taken<'_>) {
        let Some((key, hash, _)) = taken.key else { return };
        let live = self.flows.find(hash, &key).filter(|slot| !self.flows.is_expired(*slot, self.now));
        if let Some(entry) = live.and_then(|slot| self.flows.get_mut(slot)) {
            entry.verdict.miss(self.number);
        }
    }
}
