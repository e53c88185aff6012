//! The engine behind a device: descriptors, history and flow records in, verdicts and flow commands out.
//!
//! Place: beside [`crate::engine`], which does the inspection. Invariants: what a flow's frames mean is decided by the
//! engine alone, from every frame of the flow in order (chains come before the frame that raised them); frames of all
//! queues are taken in frame order, so that state shared between flows changes in frame order; every diverted frame gets
//! exactly one verdict; a flow's state lives as long as its device entry. It does not plan and does not judge frames.

pub mod budget;
mod ended;
mod epochs;
pub mod overload;
mod release;
mod verdict;

pub use epochs::{Judge, Retired};
pub use verdict::{DroppedFlow, Inline};

use crate::engine::{Engine, PendingDatagram};
use crate::evidence::StreamEvidence;
use crate::hold::{DeviceLink, Hold};
use crate::messages::{Look, MessageEvidence};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{DescriptorKind, FlowRecordKind};
use weir_contract::flow_key::{Address, flow_key};
use weir_contract::guards::Guard;
use weir_contract::layouts::{Descriptor, FlowKey as DeviceKey, FlowRecord};
use weir_device::{DeviceError, Driver, HistoryFrame, PciFunction};
use weir_flow::{FlowId, FlowKey};
use weir_output::{Cause, EventSink};
use weir_packet::{Frame, Time};

/// Descriptors of a queue that are taken before the device is told that they are done.
const TAKEN_MAX: u32 = 256;

/// Why the host got a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HostCause {
    /// A guard fired and led to a record (the lowest, where several did).
    Guard(u8),
    /// A record of the tables held.
    Record(u32),
    /// Its flow was diverted before.
    Sticky,
    /// An earlier frame of a flow that was then diverted.
    History,
    /// Handed over before its record was overwritten.
    Handover,
}

/// Frames and bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

impl From<Amount> for Cause {
    fn from(amount: Amount) -> Cause {
        Cause { packets: amount.frames, bytes: amount.bytes }
    }
}

impl Amount {
    fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
    }
}

/// What the runtime counted.
#[derive(Debug, Clone, Default)]
pub struct RuntimeCounters {
    /// Frames given to the engine in the present epoch, by cause.
    pub causes: BTreeMap<HostCause, Amount>,
    /// Frames of the epoch that a record flagged, by the first record that held; index into the tables.
    pub records: HashMap<u32, Amount>,
    /// Frames of [`HostCause::Sticky`], by what held their flow when they came.
    pub held: BTreeMap<Hold, Amount>,
    /// Frames read from history rings.
    pub history: Amount,
    /// Frames in history that were not read, because their flow had ended.
    pub ended: Amount,
    /// Flows with a hole: history gone before it was read, or a frame that came without its bytes.
    pub truncated: u64,
    /// Inline: diverted frames whose bytes did not come, so that they could not be sent.
    pub unreadable: u64,
    /// Inline: frames made for the ends of rejected ones.
    pub answers: u64,
    /// Frames that were not inspected because the host lagged behind and their source had had its share.
    pub over_budget: Amount,
    /// Flow records taken.
    pub flow_records: u64,
    /// By the protocol class of flows that have ended, none for frames without a flow: all of them, and long ones.
    pub by_class: BTreeMap<Option<u8>, [ClassShare; 2]>,
}

/// Bytes of the flows of a protocol class.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClassShare {
    /// All.
    pub bytes: u64,
    /// Of diverted frames.
    pub diverted: u64,
    /// Read from history.
    pub history: u64,
}

/// A flow of so many bytes is long.
pub const LONG_FLOW: u64 = 100_000;

/// A descriptor that was taken and not yet processed.
struct Waiting {
    descriptor: Descriptor,
    /// Frames of its chain, where they had to be read ahead; oldest first.
    chain: Option<VecDeque<HistoryFrame>>,
}

/// An entry of the device's flow table, as far as the host knows it.
struct Entry {
    generation: u32,
    /// Epoch of the rules that `look` was made for.
    epoch: u32,
    /// Host flows of the entry; several only where one followed another, or where the device's key is coarser (ICMP).
    flows: Vec<FlowId>,
    /// Scopes that the device was told can still match.
    scopes: u8,
    /// Protocol class that it was told; 0: none.
    class: u8,
    /// How far messages of the newest flow are settled.
    look: Look,
    /// Why its frames are diverted, if nothing flags them.
    hold: Hold,
}

impl Entry {
    fn new(generation: u32, epoch: u32) -> Self {
        Entry { generation, epoch, flows: Vec::new(), scopes: u8::MAX, class: 0, look: Look::default(), hold: Hold::default() }
    }
}

/// Device, driver and engine at work.
pub struct DeviceRuntime<P> {
    driver: Driver<P>,
    engine: Engine,
    queues: Vec<VecDeque<Waiting>>,
    /// By index of the device's entry.
    entries: HashMap<u32, Entry>,
    /// By entry and generation: bytes that reached the host.
    shares: HashMap<(u32, u32), ClassShare>,
    frames: Vec<HistoryFrame>,
    frame: HistoryFrame,
    raw_window: usize,
    evidence: Arc<StreamEvidence>,
    messages: Arc<MessageEvidence>,
    vlan_key: bool,
    /// Flowbits that keep a flow with the host, sorted.
    gates: Vec<u32>,
    counters: RuntimeCounters,
    /// The device's number of the epoch in force.
    device_epoch: u32,
    /// Device's and own numbers of epochs that history may hold frames of, oldest first.
    epochs: VecDeque<(u32, u32)>,
    /// Exchanges that no frame has told of yet, in their order.
    expected: VecDeque<epochs::Expected>,
    retired: Vec<Retired>,
    /// None on a tap.
    inline: Option<Inline>,
    /// By entry and generation.
    dropped: BTreeMap<(u32, u32), DroppedFlow>,
    /// The same, by the time at which they began, where that matters.
    drops: VecDeque<(u64, (u32, u32))>,
    /// None: the source of frames waits for the host.
    overload: Option<overload::Overload>,
    /// Descriptors taken of each queue since the device was last told so.
    taken: Vec<u32>,
}

impl<P: PciFunction> DeviceRuntime<P> {
    /// Over a driver that is set up and holds tables. `gates` are the flowbits that the tables' plan says keep a flow with
    /// the host while they are set: rules that wait for one of them have no condition in the tables. `evidence` is what
    /// the tables look for in streams.
    pub fn new<'n>(
        driver: Driver<P>,
        mut engine: Engine,
        gates: impl IntoIterator<Item = &'n str>,
        evidence: impl Into<Arc<StreamEvidence>>,
        raw_window: usize,
        vlan_key: bool,
    ) -> Self {
        engine.set_behind_device();
        let mut gates = engine.flowbits(gates);
        gates.sort_unstable();
        let queues = (0..driver.queues()).map(|_| VecDeque::new()).collect();
        let taken = vec![0; driver.queues()];
        DeviceRuntime {
            driver,
            engine,
            queues,
            entries: HashMap::new(),
            shares: HashMap::new(),
            frames: Vec::new(),
            frame: HistoryFrame::default(),
            raw_window,
            evidence: evidence.into(),
            messages: Arc::new(MessageEvidence::unknown()),
            vlan_key,
            gates,
            counters: RuntimeCounters::default(),
            device_epoch: 0,
            epochs: VecDeque::new(),
            expected: VecDeque::new(),
            retired: Vec::new(),
            inline: None,
            dropped: BTreeMap::new(),
            drops: VecDeque::new(),
            overload: None,
            taken,
        }
    }

    /// What the tables look for in messages where the host's own search would not find it: with it, flows are given back
    /// as soon as what has come of their messages is judged.
    pub fn set_messages(&mut self, evidence: impl Into<Arc<MessageEvidence>>) {
        self.messages = evidence.into();
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The engine, to let time pass.
    pub fn engine_mut(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// The driver.
    pub fn driver(&mut self) -> &mut Driver<P> {
        &mut self.driver
    }

    /// What was counted.
    pub fn counters(&self) -> &RuntimeCounters {
        &self.counters
    }

    /// Take all that waits, in frame order, and answer it.
    pub fn poll(&mut self, sink: &mut dyn EventSink) -> Result<(), DeviceError> {
        loop {
            self.take(TAKEN_MAX)?;
            // The oldest frame of all queues comes first.
            let next = (0..self.queues.len())
                .filter_map(|q| self.queues[q].front().map(|w| (w.descriptor.frame_number, q)))
                .min();
            let Some((_, queue)) = next else { break };
            let Some(waiting) = self.queues[queue].pop_front() else { break };
            self.process(queue, waiting, sink)?;
            // A device that fills its rings as fast as they are read must see them emptied, and the host alive.
            if self.taken[queue] >= TAKEN_MAX && self.queues[queue].is_empty() {
                self.taken[queue] = 0;
                self.driver.done(queue)?;
                self.driver.ring(queue)?;
                self.driver.heartbeat()?;
            }
        }
        self.taken.fill(0);
        for queue in 0..self.queues.len() {
            self.driver.done(queue)?;
            self.driver.ring(queue)?;
            while let Some(record) = self.driver.next_flow_record(queue)? {
                self.flow_record(&record, sink);
            }
        }
        self.driver.heartbeat()
    }

    /// The source is over at `now`: flows that are alive end. What waits must have been taken.
    pub fn finish(&mut self, now: u64, sink: &mut dyn EventSink) -> Result<(), DeviceError> {
        self.poll(sink)?;
        self.engine.finish(now, sink);
        // From here on flow records only report.
        self.entries.clear();
        Ok(())
    }

    /// Take descriptors, at most so many of each queue before the device is told that they are done.
    fn take(&mut self, most: u32) -> Result<(), DeviceError> {
        for queue in 0..self.queues.len() {
            while self.taken[queue] < most
                && let Some(descriptor) = self.driver.next_descriptor(queue)?
            {
                self.taken[queue] += 1;
                self.queues[queue].push_back(Waiting { descriptor, chain: None });
            }
        }
        Ok(())
    }

    fn process(&mut self, queue: usize, waiting: Waiting, sink: &mut dyn EventSink) -> Result<(), DeviceError> {
        let handover = waiting.descriptor.kind == DescriptorKind::Handover as u8;
        self.enter(waiting.descriptor.epoch);
        if !handover && !self.admit(queue, &waiting.descriptor)? {
            return Ok(());
        }
        let Waiting { descriptor, chain } = waiting;
        let cause = if handover { HostCause::Handover } else { HostCause::History };
        match chain {
            Some(frames) => {
                for frame in &frames {
                    self.history_frame(frame, cause, sink);
                }
            }
            None if !handover && self.chain_has_ended(queue, &descriptor)? => {}
            None => {
                let mut frames = std::mem::take(&mut self.frames);
                let (n, result) =
                    self.driver.read_chain(queue, descriptor.chain_head, descriptor.chain_count, &mut frames);
                for frame in frames.iter().take(n) {
                    self.history_frame(frame, cause, sink);
                }
                self.frames = frames;
                self.tolerate(result)?;
            }
        }
        if !handover {
            return self.diverted_frame(queue, &descriptor, sink);
        }
        // What the host asked for stays diverted: the next frame decides about its release.
        let asked = descriptor.guards & Guard::HostDivert.bit() != 0;
        if let Some(held) = self.entries.get(&descriptor.flow_index)
            && asked
            && held.generation == descriptor.flow_generation
        {
            for id in &held.flows {
                if let Some(flow) = self.engine.flow_mut(*id) {
                    flow.data.unread();
                }
            }
        }
        Ok(())
    }

    /// History that is gone is a counted fault; everything else ends the run.
    fn tolerate(&mut self, result: Result<(), DeviceError>) -> Result<(), DeviceError> {
        match result {
            Err(DeviceError::HistoryGone { .. }) => {
                self.counters.truncated += 1;
                Ok(())
            }
            other => other,
        }
    }

    fn history_frame(&mut self, frame: &HistoryFrame, cause: HostCause, sink: &mut dyn EventSink) {
        self.counters.causes.entry(cause).or_default().add(frame.data.len());
        self.counters.history.add(frame.data.len());
        self.share(frame.flow).history += frame.data.len() as u64;
        self.inspect(frame, sink);
        self.link(frame.flow);
        if let Some(held) = self.entries.get_mut(&frame.flow.0).filter(|held| held.generation == frame.flow.1) {
            held.look.came_back(frame.data.len());
        }
    }

    /// What of a flow reached the host.
    fn share(&mut self, entry: (u32, u32)) -> &mut ClassShare {
        match entry.0 {
            c::FLOW_NONE => &mut self.counters.by_class.entry(None).or_default()[0],
            _ => self.shares.entry(entry).or_default(),
        }
    }

    fn inspect(&mut self, frame: &HistoryFrame, sink: &mut dyn EventSink) {
        let epoch = self.epoch_of(frame.epoch);
        self.engine.frame_of(epoch, &frame_of(frame), sink);
    }

    /// The outermost flow of the frame just inspected belongs to this entry.
    fn link(&mut self, entry: (u32, u32)) -> Option<FlowId> {
        if entry.0 == c::FLOW_NONE {
            return None;
        }
        let id = *self.engine.touched().first()?;
        let flow = self.engine.flow_mut(id)?;
        if flow.key.depth != 0 {
            return None;
        }
        if flow.data.device.entry != Some(entry) {
            flow.data.device.entry = Some(entry);
            let epoch = self.engine.epoch();
            let held = self.entries.entry(entry.0).or_insert_with(|| Entry::new(entry.1, epoch));
            if held.generation != entry.1 {
                *held = Entry::new(entry.1, epoch);
            }
            if !held.flows.contains(&id) {
                held.flows.push(id);
                held.look = Look::default();
            }
        }
        Some(id)
    }

    fn diverted_frame(
        &mut self,
        queue: usize,
        descriptor: &Descriptor,
        sink: &mut dyn EventSink,
    ) -> Result<(), DeviceError> {
        let entry = (descriptor.flow_index, descriptor.flow_generation);
        let mut asked = None;
        let mut readable = false;
        if descriptor.position == c::POSITION_NONE {
            self.counters.truncated += 1;
        } else {
            let mut frame = std::mem::take(&mut self.frame);
            let read = self.driver.read_frame(queue, descriptor.position, &mut frame);
            if read.is_ok() {
                let cause = cause_of(descriptor);
                self.counters.causes.entry(cause).or_default().add(frame.data.len());
                if cause == HostCause::Sticky {
                    let held = self.entries.get(&entry.0).filter(|held| held.generation == entry.1);
                    let hold = held.map_or(Hold::Unsure, |held| held.hold);
                    self.counters.held.entry(hold).or_default().add(frame.data.len());
                }
                let share = self.share(entry);
                share.diverted += frame.data.len() as u64;
                if entry.0 == c::FLOW_NONE {
                    share.bytes += frame.data.len() as u64;
                }
                if descriptor.first_record != c::RECORD_NONE {
                    self.counters.records.entry(descriptor.first_record).or_default().add(frame.data.len());
                }
                if entry.0 == c::FLOW_NONE {
                    asked = self.ask_for_frame(queue, &frame, sink)?;
                }
                // What earlier frames of the flow would have deserved is past.
                self.engine.take_decision();
                self.inspect(&frame, sink);
                self.count_work(&frame, descriptor);
                readable = true;
            }
            self.frame = frame;
            self.tolerate(read)?;
        }
        self.hold(asked);
        let id = self.link(entry);
        let pending = self.engine.take_pending();
        if let Some(id) = id {
            self.answer(queue, id, descriptor)?;
        }
        for datagram in &pending {
            self.datagram(queue, datagram, sink)?;
        }
        self.verdict(queue, descriptor, id, readable)
    }

    /// A datagram that was put together from fragments: first everything older of its flow, which the device holds.
    fn datagram(
        &mut self,
        queue: usize,
        datagram: &PendingDatagram,
        sink: &mut dyn EventSink,
    ) -> Result<(), DeviceError> {
        let entry = self.ask(queue, &datagram.key, datagram.number, sink)?;
        self.engine.datagram(datagram, sink);
        self.hold(entry);
        Ok(())
    }

    /// The host has a packet of a flow that the device could not place: the device diverts the flow from now on, and what
    /// it holds of it from before frame `number` is inspected now. Gives the flow's entry.
    fn ask(
        &mut self,
        queue: usize,
        key: &FlowKey,
        number: u64,
        sink: &mut dyn EventSink,
    ) -> Result<Option<(u32, u32)>, DeviceError> {
        self.take(u32::MAX)?;
        let before: Vec<usize> = self.queues.iter().map(VecDeque::len).collect();
        let key = device_key(key, self.vlan_key);
        self.driver.divert_key(queue, &key)?;
        self.driver.ring_and_wait(queue)?;
        self.take(u32::MAX)?;
        // The answer is the HANDOVER that came just now.
        let new = self.queues.iter().zip(before).flat_map(|(queue, before)| queue.iter().skip(before));
        let answer = new
            .map(|w| w.descriptor)
            .find(|d| d.kind == DescriptorKind::Handover as u8 && d.guards & Guard::HostDivert.bit() != 0);
        let entry = answer.map(|d| (d.flow_index, d.flow_generation));
        if let Some(entry) = entry {
            self.catch_up(entry, number, sink)?;
        }
        Ok(entry)
    }

    /// The flow just inspected belongs to an entry that was asked for: it stays diverted.
    fn hold(&mut self, entry: Option<(u32, u32)>) {
        if let Some(id) = entry.and_then(|entry| self.link(entry))
            && let Some(flow) = self.engine.flow_mut(id)
        {
            flow.data.unread();
        }
    }

    /// A frame without flow at the device (an extension header it does not know, a label, a broken transport) may belong
    /// to a flow of the host. Gives the entry, if the device has one for it.
    fn ask_for_frame(
        &mut self,
        queue: usize,
        frame: &HistoryFrame,
        sink: &mut dyn EventSink,
    ) -> Result<Option<(u32, u32)>, DeviceError> {
        match self.engine.device_key_of_frame(&frame_of(frame)) {
            Some(key) => self.ask(queue, &key, frame.number, sink),
            None => Ok(None),
        }
    }

    /// Process what waits of an entry before frame `number`.
    fn catch_up(&mut self, entry: (u32, u32), number: u64, sink: &mut dyn EventSink) -> Result<(), DeviceError> {
        for queue in 0..self.queues.len() {
            for at in 0..self.queues[queue].len() {
                let Some(waiting) = self.queues[queue].get_mut(at) else { break };
                let descriptor = waiting.descriptor;
                if (descriptor.flow_index, descriptor.flow_generation) != entry || descriptor.chain_count == 0 {
                    continue;
                }
                let mut chain = match waiting.chain.take() {
                    Some(chain) => chain,
                    None => {
                        let mut frames = Vec::new();
                        let (n, result) =
                            self.driver.read_chain(queue, descriptor.chain_head, descriptor.chain_count, &mut frames);
                        frames.truncate(n);
                        self.tolerate(result)?;
                        frames.into()
                    }
                };
                while chain.front().is_some_and(|frame| frame.number < number) {
                    if let Some(frame) = chain.pop_front() {
                        self.history_frame(&frame, HostCause::History, sink);
                    }
                }
                if let Some(waiting) = self.queues[queue].get_mut(at) {
                    waiting.chain = Some(chain);
                }
            }
        }
        Ok(())
    }

    /// The device's entry has ended: so has the flow, unless the host saw frames of it that the device could not place.
    fn flow_record(&mut self, record: &FlowRecord, sink: &mut dyn EventSink) {
        self.counters.flow_records += 1;
        if record.kind == FlowRecordKind::Report as u8 {
            return;
        }
        let entry = (record.flow_index, record.flow_generation);
        self.dropped.remove(&entry);
        let reached = self.shares.remove(&entry).unwrap_or_default();
        let bytes = record.bytes_to_server.saturating_add(record.bytes_to_client);
        let of_class = self.counters.by_class.entry(Some(record.class)).or_default();
        for share in of_class.iter_mut().take(if bytes >= LONG_FLOW { 2 } else { 1 }) {
            share.bytes += bytes;
            share.diverted += reached.diverted;
            share.history += reached.history;
        }
        if self.entries.get(&entry.0).is_none_or(|held| held.generation != entry.1) {
            return;
        }
        let Some(held) = self.entries.remove(&entry.0) else { return };
        for id in held.flows {
            // The handle may name another flow by now.
            let Some(flow) = self.engine.flow_mut(id).filter(|flow| flow.data.device.entry == Some(entry)) else {
                continue;
            };
            if flow.last_time <= record.last_time {
                self.engine.forget(id, sink);
            } else {
                flow.data.device = DeviceLink::default();
            }
        }
    }

    /// All counters of the device, latched at one moment.
    pub fn device_counters(&mut self) -> Result<Vec<(Counter, u64)>, DeviceError> {
        self.driver.counters()
    }
}

fn frame_of(frame: &HistoryFrame) -> Frame<'_> {
    Frame {
        number: frame.number,
        time: Time(frame.time),
        link: frame.link,
        data: &frame.data,
        wire_length: frame.wire_length,
    }
}

fn cause_of(descriptor: &Descriptor) -> HostCause {
    if descriptor.scopes == 0 && descriptor.first_record == c::RECORD_NONE {
        HostCause::Sticky
    } else if descriptor.guards != 0 {
        HostCause::Guard(descriptor.guards.trailing_zeros() as u8)
    } else {
        HostCause::Record(descriptor.first_record)
    }
}

/// The device's form of a flow key (coarser for ICMP: without identifiers).
fn device_key(key: &FlowKey, vlan_key: bool) -> DeviceKey {
    let address = |a: IpAddr| match a {
        IpAddr::V4(v4) => Address::V4(v4.octets()),
        IpAddr::V6(v6) => Address::V6(v6.octets()),
    };
    let port = |p: u16| if matches!(key.protocol, 1 | 58) { 0 } else { p };
    let vlan = if vlan_key { key.vlan } else { [0; 2] };
    flow_key((address(key.address_a), port(key.port_a)), (address(key.address_b), port(key.port_b)), key.protocol, vlan)
        .0
}
