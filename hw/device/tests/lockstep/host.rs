//! A host that does the same to two devices: everything it does follows from a seed and from what the device gave it.

use crate::common::Frame as Captured;
use crate::common::made::Random;
use std::cell::RefCell;
use std::rc::Rc;
use weir_contract::constants as c;
use weir_contract::counters::Counter;
use weir_contract::enums::{DescriptorKind, TxCommand, TxFlags};
use weir_contract::flow_key::flow_key;
use weir_contract::guards::Guard;
use weir_contract::layouts::{Descriptor, FlowKey, FlowRecord, TxEntry};
use weir_contract::protocol::{AppProtocol, CLASS_FAILED};
use weir_device::{DmaMemory, Driver, DriverConfig, HistoryFrame, PciFunction, Permission, QueueConfig};
use weir_rtl::RtlDevice;
use weir_sim::parse::{ParseConfig, parse};
use weir_sim::pipeline::TransmitSink;
use weir_sim::{Frame, Offer, Simulator, Transmitted};

const SECOND: u64 = 1_000_000_000;
pub const FLOW_ENTRIES: u32 = 1 << 13;

/// What a run's devices have in common.
pub trait Nic: PciFunction + Clone {
    /// How many were taken; the one behind them waits.
    fn offer_all(&self, frames: &[Frame<'_>]) -> usize;
    fn finish(&self, time: u64) -> bool;
    fn value(&self, counter: Counter) -> u64;
    fn guard(&self, guard: Guard) -> u64;
    fn broken(&self) -> Vec<String>;
    fn on_transmit(&self, sink: Option<TransmitSink>);
    /// A byte of the next table image changes on its way.
    fn corrupt(&self, at: usize);
}

/// Frames one by one, as the model takes them.
fn offer_each(frames: &[Frame<'_>], offer: impl Fn(&Frame<'_>) -> Offer) -> usize {
    frames.iter().take_while(|frame| offer(frame) == Offer::Accepted).count()
}

macro_rules! nic {
    ($type:ty, $offer_all:expr) => {
        impl Nic for $type {
            fn offer_all(&self, frames: &[Frame<'_>]) -> usize {
                $offer_all(self, frames)
            }
            fn finish(&self, time: u64) -> bool {
                <$type>::finish(self, time)
            }
            fn value(&self, counter: Counter) -> u64 {
                self.counter(counter)
            }
            fn guard(&self, guard: Guard) -> u64 {
                self.guard_counter(guard)
            }
            fn broken(&self) -> Vec<String> {
                self.broken_identities()
            }
            fn on_transmit(&self, sink: Option<TransmitSink>) {
                <$type>::on_transmit(self, sink);
            }
            fn corrupt(&self, at: usize) {
                self.inject(|faults| faults.corrupt_image(at));
            }
        }
    };
}

nic!(Simulator, |nic: &Simulator, frames: &[Frame<'_>]| offer_each(frames, |frame| nic.offer(frame)));
nic!(RtlDevice, |nic: &RtlDevice, frames: &[Frame<'_>]| match frames {
    [frame] => offer_each(frames, |_| nic.offer(frame)),
    _ => nic.offer_all(frames),
});

/// How a device is set up.
pub struct Shape {
    pub queues: u32,
    pub queue: QueueConfig,
    pub source_waits: bool,
    pub fail_open: bool,
    pub watchdog_frames: u32,
    pub checksums: bool,
    pub vlan_key: bool,
    pub midstream: bool,
    pub report_interval: u32,
    /// The host beats.
    pub beats: bool,
    /// The host looks at its rings once in so many frames, and whenever a frame waits.
    pub drains: u64,
    /// CONTROL.FLUSH now and then.
    pub flushes: bool,
    /// CONTROL.INLINE.
    pub inline: bool,
    /// Frame time jumps once in so many frames; 0: time goes so slowly that no entry ages.
    pub jumps: u64,
    /// Tables are loaded and activated once in so many frames, where there are several.
    pub loads: u64,
    /// An image is damaged on its way once in so many frames; 0: never.
    pub damages: u64,
    /// A frame is cut once in so many, its length on the wire stays; 0: never.
    pub cuts: u64,
    /// So many frames at most come one behind the other; what the host does is between them.
    pub behind: u64,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            queues: 1,
            queue: QueueConfig { history: 1 << 17, margin: 0, descriptors: 128, flow_records: 128, tx: 256 },
            source_waits: true,
            fail_open: true,
            watchdog_frames: 0,
            checksums: false,
            vlan_key: false,
            midstream: false,
            report_interval: 0,
            beats: true,
            drains: 6,
            flushes: false,
            inline: false,
            jumps: 60,
            loads: 25,
            damages: 0,
            cuts: 0,
            behind: 1,
        }
    }
}

/// What happened, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Waited(u64),
    Descriptor(usize, Descriptor),
    History(Option<String>, u64, Vec<u8>),
    Sent(u8, u64, Vec<u8>),
    Epoch(u32),
    Refused(String),
}

/// What a run gave.
#[derive(Default)]
pub struct Run {
    pub events: Rc<RefCell<Vec<Event>>>,
    pub flow_records: Vec<FlowRecord>,
    pub counters: Vec<(Counter, u64)>,
    pub guards: Vec<(Guard, u64)>,
    pub epochs: u32,
    pub refused: u32,
}

struct Host<'a, N> {
    nic: N,
    driver: Driver<N>,
    shape: &'a Shape,
    images: &'a [Vec<u8>],
    bytes: (DmaMemory, u64),
    keys: Vec<FlowKey>,
    /// Verdicts that come late, behind those of later frames.
    late: Vec<(usize, TxEntry)>,
    r: Random,
    run: Run,
}

impl<N: Nic> Host<'_, N> {
    fn push(&self, event: Event) {
        self.run.events.borrow_mut().push(event);
    }

    fn load(&mut self) {
        let image = &self.images[self.r.below(self.images.len() as u64) as usize];
        let epoch = self.driver.load_tables(image).unwrap();
        self.driver.activate(epoch).unwrap();
        self.run.epochs += 1;
        self.push(Event::Epoch(epoch));
    }

    /// An image that was damaged on its way: refused, and the tables that judge stay.
    fn load_damaged(&mut self) {
        let image = &self.images[self.r.below(self.images.len() as u64) as usize];
        self.nic.corrupt(self.r.below(image.len() as u64) as usize);
        let refusal = self.driver.load_tables(image).unwrap_err();
        self.run.refused += 1;
        self.push(Event::Refused(refusal.to_string()));
    }

    fn offer(&mut self, mut frames: &[Frame<'_>]) {
        let mut tries = 0;
        loop {
            let taken = self.nic.offer_all(frames);
            assert_eq!(self.nic.broken(), Vec::<String>::new());
            frames = &frames[taken..];
            let Some(frame) = frames.first() else { return };
            tries = if taken > 0 { 0 } else { tries + 1 };
            assert!(tries < 500, "frame {} is never taken", frame.number);
            self.push(Event::Waited(frame.number));
            self.drain();
        }
    }

    fn drain(&mut self) {
        for (queue, entry) in std::mem::take(&mut self.late) {
            if self.r.once_in(3) {
                self.raw(queue, entry);
            } else {
                self.late.push((queue, entry));
            }
        }
        for queue in 0..self.driver.queues() {
            while let Some(d) = self.driver.next_descriptor(queue).unwrap() {
                self.take(queue, d);
            }
            self.driver.done(queue).unwrap();
            self.driver.ring(queue).unwrap();
            while let Some(record) = self.driver.next_flow_record(queue).unwrap() {
                self.run.flow_records.push(FlowRecord { sequence: 0, ..record });
            }
        }
        if self.shape.beats {
            self.driver.heartbeat().unwrap();
        }
        assert_eq!(self.nic.broken(), Vec::<String>::new());
    }

    fn take(&mut self, queue: usize, d: Descriptor) {
        self.push(Event::Descriptor(queue, d));
        let mut frames = Vec::new();
        let (n, result) = self.driver.read_chain(queue, d.chain_head, d.chain_count, &mut frames);
        for frame in &frames[..n] {
            self.push(Event::History(result.as_ref().err().map(ToString::to_string), frame.number, frame.data.clone()));
        }
        let flow = (d.flow_index, d.flow_generation);
        if d.kind == DescriptorKind::Frame as u8 {
            if d.position != c::POSITION_NONE {
                let mut frame = HistoryFrame::default();
                let result = self.driver.read_frame(queue, d.position, &mut frame);
                self.push(Event::History(result.err().map(|e| e.to_string()), frame.number, frame.data));
            }
            self.answer(queue, &d);
        }
        if d.flow_index != c::FLOW_NONE {
            self.commands(queue, flow, d.frame_number);
        }
    }

    fn raw(&mut self, queue: usize, entry: TxEntry) {
        self.driver.command(queue, &entry).unwrap();
    }

    fn answer(&mut self, queue: usize, d: &Descriptor) {
        let flowless = d.flow_index == c::FLOW_NONE;
        let command =
            self.r.of(&[TxCommand::Forward, TxCommand::Forward, TxCommand::Forward, TxCommand::Drop, TxCommand::Reset]);
        let mut entry = TxEntry {
            command: command as u8,
            frame_number: d.frame_number,
            flow_index: d.flow_index,
            flow_generation: d.flow_generation,
            ..TxEntry::ZERO
        };
        if flowless {
            entry.flags |= TxFlags::FLOWLESS.0;
        }
        if command == TxCommand::Drop && self.r.once_in(9) {
            entry.flags |= TxFlags::WHOLE_FLOW.0;
        }
        if command == TxCommand::Reset && !flowless && !self.r.once_in(6) {
            entry.command = TxCommand::Forward as u8;
        }
        if entry.command == TxCommand::Forward as u8 && self.r.once_in(2) {
            (entry.data, entry.length) = (self.bytes.1, 1 + self.r.below(300) as u32);
        }
        if self.r.once_in(8) {
            return self.late.push((queue, entry));
        }
        self.raw(queue, entry);
        if self.r.once_in(20) {
            // A second verdict for the frame; an older one may be without any.
            self.raw(queue, entry);
        }
    }

    fn commands(&mut self, queue: usize, flow: (u32, u32), number: u64) {
        let (flow_index, flow_generation) = flow;
        let back = self.r.below(4);
        let mut entry =
            TxEntry { flow_index, flow_generation, frame_number: number.saturating_sub(back), ..TxEntry::ZERO };
        entry.scopes = self.r.of(&[0xff, 0x20, 0x04, 0]);
        entry.told_class = self.r.of(&[0, 0, AppProtocol::Http1 as u8, CLASS_FAILED]);
        if self.r.once_in(15) {
            entry.flow_generation = entry.flow_generation.wrapping_add(1);
        }
        let command = match self.r.below(40) {
            0..18 => TxCommand::Release,
            18..22 => TxCommand::Settle,
            22 => TxCommand::Bypass,
            23..26 => TxCommand::Divert,
            26 => TxCommand::Forget,
            27 => {
                (entry.data, entry.length, entry.port) =
                    (self.bytes.1, 1 + self.r.below(200) as u32, self.r.below(3) as u8);
                // An error that is latched would fail the next loading of tables.
                if self.images.len() == 1 && self.r.once_in(4) {
                    // Not mapped.
                    entry.data = 64;
                }
                TxCommand::Inject
            }
            28..31 if !self.keys.is_empty() => {
                let mut key = self.keys[self.r.below(self.keys.len() as u64) as usize];
                if self.r.once_in(3) {
                    key.upper_port = key.upper_port.wrapping_add(self.r.below(5) as u16);
                }
                if self.r.once_in(12) {
                    key.version = 5;
                }
                return self.driver.divert_key(queue, &key).unwrap();
            }
            31 if self.images.len() == 1 => {
                let mut bad = TxEntry { command: self.r.below(14) as u8, flags: 0x10, ..entry };
                bad.length = self.r.of(&[0, 7]);
                return self.raw(queue, bad);
            }
            _ => return,
        };
        if command == TxCommand::Settle && self.r.once_in(2) {
            entry.flags |= TxFlags::KEEP_HISTORY.0;
        }
        entry.command = command as u8;
        self.raw(queue, entry);
    }
}

/// All that a device makes of the frames, under what the host does.
pub fn run<N: Nic>(nic: &N, images: &[Vec<u8>], frames: &[Captured], shape: &Shape, seed: u64) -> Run {
    let mut driver = Driver::probe(nic.clone()).unwrap();
    let config = DriverConfig {
        queues: shape.queues,
        queue: shape.queue,
        flow_entries: FLOW_ENTRIES,
        source_waits: shape.source_waits,
        fail_open: shape.fail_open,
        watchdog_frames: shape.watchdog_frames,
        validate_checksums: shape.checksums,
        vlan_key: shape.vlan_key,
        midstream: shape.midstream,
        report_interval: shape.report_interval,
        // Short, so that streams go on behind it.
        stream_window: 2000,
        tunnel_ports: vec![2152, 3544, 4789],
        ..DriverConfig::default()
    };
    driver.set_up(&config).unwrap();
    let memory = DmaMemory::new(4096).unwrap();
    let pattern: Vec<u8> = (0..4096).map(|n| (n * 7) as u8).collect();
    assert!(memory.write(0, &pattern));
    let iova = driver.pci().map(&memory, Permission::Read).unwrap();
    let mut host = Host {
        nic: nic.clone(),
        driver,
        shape,
        images,
        bytes: (memory, iova),
        keys: Vec::new(),
        late: Vec::new(),
        r: Random(seed),
        run: Run::default(),
    };
    let events = Rc::clone(&host.run.events);
    nic.on_transmit(Some(Box::new(move |sent: Transmitted<'_>| {
        events.borrow_mut().push(match sent {
            Transmitted::Passed(bytes) => Event::Sent(0, 0, bytes.to_vec()),
            Transmitted::Forwarded(number, bytes) => Event::Sent(1, number, bytes.to_vec()),
            Transmitted::Injected(port, bytes) => Event::Sent(2, port.into(), bytes.to_vec()),
            // (The RTL does not tell.)
            Transmitted::Withheld(_) => return,
        });
    })));
    host.load();
    host.driver.enable(shape.inline).unwrap();
    let parser = ParseConfig { checksums: false, tunnel_ports: [0; 8] };
    let mut time = SECOND;
    let mut together = Vec::new();
    let mut count = host.r.below(shape.behind) + 1;
    for (n, frame) in (1u64..).zip(frames) {
        time += match host.r.below(shape.jumps.max(1)) {
            _ if shape.jumps == 0 => host.r.below(SECOND / 2000),
            // Entries end by time while commands that name them are on their way.
            0 => host.r.below(100) * SECOND,
            1 => 0,
            _ => host.r.below(SECOND / 20),
        };
        let cut = if shape.cuts > 0 && host.r.once_in(shape.cuts) {
            host.r.below(frame.data.len() as u64 + 1) as usize
        } else {
            frame.data.len()
        };
        let parsed = parse(&parser, frame.link, &frame.data, frame.wire_length);
        if let Some((source, destination)) = parsed.ends.filter(|_| parsed.keyed)
            && host.r.once_in(8)
        {
            let ports = parsed.ports;
            host.keys.push(flow_key((source, ports.0), (destination, ports.1), parsed.protocol, [0; 2]).0);
        }
        // Not every frame's time is later than the one before.
        let at = if host.r.once_in(30) { time.saturating_sub(SECOND) } else { time };
        let offered =
            Frame { number: n, time: at, link: frame.link, data: &frame.data[..cut], wire_length: frame.wire_length };
        together.push(offered);
        if (together.len() as u64) < count && (n as usize) < frames.len() {
            continue;
        }
        host.offer(&together);
        together.clear();
        count = host.r.below(shape.behind) + 1;
        if host.r.once_in(shape.drains) {
            host.drain();
        }
        if images.len() > 1 && host.r.once_in(shape.loads) {
            host.load();
        }
        if images.len() > 1 && host.r.once_in(2 * shape.loads) && host.run.epochs > 1 {
            let epoch = host.driver.rollback().unwrap();
            host.push(Event::Epoch(epoch));
            host.run.epochs += 1;
        }
        if shape.damages > 0 && host.r.once_in(shape.damages) {
            host.load_damaged();
        }
        if host.r.once_in(400) && shape.flushes {
            host.driver.flush().unwrap();
        }
    }
    let mut tries = 0;
    while !nic.finish(time) {
        host.drain();
        tries += 1;
        assert!(tries < 10_000);
    }
    host.drain();
    nic.on_transmit(None);
    let mut run = host.run;
    run.counters = Counter::ALL.into_iter().map(|counter| (counter, nic.value(counter))).collect();
    run.guards = Guard::ALL.into_iter().map(|guard| (guard, nic.guard(guard))).collect();
    run.flow_records.sort_by_key(|f| (f.flow_index, f.flow_generation, f.last_frame, f.kind));
    run
}
