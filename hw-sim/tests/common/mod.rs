//! A host made of the real driver, and frames to feed the device with.
#![allow(dead_code)]

use std::collections::HashMap;
use weir_contract::constants as c;
use weir_contract::enums::{DescriptorKind, TxCommand};
use weir_contract::hash::splitmix64;
use weir_contract::layouts::{Descriptor, FlowRecord, TxEntry};
use weir_device::{Driver, DriverConfig, HistoryFrame, QueueConfig};
use weir_sim::{Frame, Offer, SimConfig, Simulator};

pub const SECOND: u64 = 1_000_000_000;

/// Model, driver, and everything the host was given.
pub struct Rig {
    pub model: Simulator,
    pub driver: Driver<Simulator>,
    pub queues: usize,
    pub number: u64,
    pub time: u64,
    /// Frame numbers received, by flow (index, generation), in order.
    pub received: HashMap<(u32, u32), Vec<u64>>,
    /// All descriptors, in order of arrival.
    pub descriptors: Vec<Descriptor>,
    pub flow_records: Vec<FlowRecord>,
    /// Bytes of offered frames by number, to compare with what history gives.
    pub sent: HashMap<u64, Vec<u8>>,
    /// Answer every diverted frame with FORWARD.
    pub answer: bool,
    frames: Vec<HistoryFrame>,
}

pub struct Shape {
    pub queues: u32,
    pub flow_entries: u32,
    pub queue: QueueConfig,
    pub source_waits: bool,
    pub fail_open: bool,
    pub watchdog_frames: u32,
}

impl Default for Shape {
    fn default() -> Self {
        Shape {
            queues: 1,
            flow_entries: 1024,
            queue: QueueConfig { history: 1 << 16, margin: 0, descriptors: 64, flow_records: 64, tx: 64 },
            source_waits: true,
            fail_open: true,
            watchdog_frames: 0,
        }
    }
}

impl Rig {
    pub fn new(shape: &Shape, image: &[u8]) -> Rig {
        let model = Simulator::new(SimConfig { queues: 8, flow_entries: shape.flow_entries });
        let driver = Driver::probe(model.clone()).unwrap();
        Rig::with(shape, image, model, driver)
    }

    /// Another host takes the device of this one over, which is gone.
    pub fn succeed(self, shape: &Shape, image: &[u8]) -> Rig {
        let (model, number, time) = (self.model.clone(), self.number, self.time);
        drop(self);
        let (driver, kept) = Driver::resume(model.clone()).unwrap();
        assert!(kept);
        model.check().unwrap();
        Rig { number, time, ..Rig::with(shape, image, model, driver) }
    }

    fn with(shape: &Shape, image: &[u8], model: Simulator, mut driver: Driver<Simulator>) -> Rig {
        driver
            .set_up(&DriverConfig {
                queues: shape.queues,
                queue: shape.queue,
                source_waits: shape.source_waits,
                fail_open: shape.fail_open,
                watchdog_frames: shape.watchdog_frames,
                validate_checksums: false,
                ..DriverConfig::default()
            })
            .unwrap();
        let epoch = driver.load_tables(image).unwrap();
        driver.activate(epoch).unwrap();
        driver.enable(false).unwrap();
        Rig {
            model,
            driver,
            queues: shape.queues as usize,
            number: 0,
            time: SECOND,
            received: HashMap::new(),
            descriptors: Vec::new(),
            flow_records: Vec::new(),
            sent: HashMap::new(),
            answer: true,
            frames: Vec::new(),
        }
    }

    /// Offer a frame as often as it takes, letting the host catch up in between.
    pub fn send(&mut self, data: &[u8]) -> u64 {
        let mut tries = 0;
        while self.try_send(data) == Offer::Wait {
            self.drain();
            tries += 1;
            assert!(tries < 20, "frame {} is never taken", self.number + 1);
        }
        self.number
    }

    /// Offer a frame once.
    pub fn try_send(&mut self, data: &[u8]) -> Offer {
        let number = self.number + 1;
        let frame = Frame { number, time: self.time, link: 1, data, wire_length: data.len() as u32 };
        let offer = self.model.offer(&frame);
        if offer == Offer::Accepted {
            self.number = number;
            self.sent.insert(number, data.to_vec());
        }
        self.model.check().unwrap();
        offer
    }

    /// Send and let the host take what came.
    pub fn step(&mut self, data: &[u8]) -> u64 {
        let number = self.send(data);
        self.drain();
        number
    }

    /// The host takes everything.
    pub fn drain(&mut self) {
        for queue in 0..self.queues {
            while let Some(d) = self.driver.next_descriptor(queue).unwrap() {
                self.take(queue, d);
            }
            self.driver.done(queue).unwrap();
            self.driver.ring(queue).unwrap();
            while let Some(record) = self.driver.next_flow_record(queue).unwrap() {
                self.flow_records.push(record);
            }
        }
        self.model.check().unwrap();
    }

    fn take(&mut self, queue: usize, d: Descriptor) {
        self.descriptors.push(d);
        let flow = (d.flow_index, d.flow_generation);
        let mut frames = std::mem::take(&mut self.frames);
        let (n, result) = self.driver.read_chain(queue, d.chain_head, d.chain_count, &mut frames);
        result.unwrap_or_else(|error| panic!("{error} in {d:?}"));
        for frame in &frames[..n] {
            assert_eq!(frame.flow, flow, "a chain is of one flow");
            assert_eq!(self.sent.get(&frame.number), Some(&frame.data));
            self.received.entry(flow).or_default().push(frame.number);
        }
        if d.kind == DescriptorKind::Frame as u8 {
            if d.position != c::POSITION_NONE {
                let mut frame = HistoryFrame::default();
                self.driver.read_frame(queue, d.position, &mut frame).unwrap();
                assert_eq!(self.sent.get(&d.frame_number), Some(&frame.data));
                assert_eq!((frame.number, frame.flow), (d.frame_number, flow));
            }
            if d.flow_index != c::FLOW_NONE {
                self.received.entry(flow).or_default().push(d.frame_number);
            }
            if self.answer {
                self.command(queue, TxCommand::Forward, flow, d.frame_number, 0);
            }
        }
        self.frames = frames;
    }

    pub fn command(&mut self, queue: usize, command: TxCommand, flow: (u32, u32), frame: u64, scopes: u8) {
        self.driver.flow_command(queue, command, flow, frame, scopes).unwrap();
    }

    /// A command that takes effect at once.
    pub fn now(&mut self, command: TxCommand, flow: (u32, u32), frame: u64, scopes: u8) {
        self.command(0, command, flow, frame, scopes);
        self.driver.ring(0).unwrap();
        self.model.check().unwrap();
    }

    pub fn raw(&mut self, entry: &TxEntry) {
        self.driver.command(0, entry).unwrap();
        self.driver.ring(0).unwrap();
        self.model.check().unwrap();
    }

    /// Descriptors of kind FRAME so far.
    pub fn diverted(&self) -> Vec<u64> {
        let frames = self.descriptors.iter().filter(|d| d.kind == DescriptorKind::Frame as u8);
        frames.map(|d| d.frame_number).collect()
    }

    pub fn last(&self) -> Descriptor {
        *self.descriptors.last().expect("a descriptor")
    }

    pub fn flow_of_last(&self) -> (u32, u32) {
        (self.last().flow_index, self.last().flow_generation)
    }

    pub fn finish(&mut self) {
        let mut tries = 0;
        while !self.model.finish(self.time) {
            self.drain();
            tries += 1;
            assert!(tries < 10_000);
        }
        self.drain();
    }
}

/// One end of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End(pub [u8; 4], pub u16);

pub const CLIENT: End = End([10, 0, 0, 1], 40000);
pub const SERVER: End = End([192, 0, 2, 1], 8080);

pub fn ipv4(source: End, destination: End, protocol: u8, segment: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    f.extend(((20 + segment.len()) as u16).to_be_bytes());
    f.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    f.extend(source.0);
    f.extend(destination.0);
    f.extend(segment);
    f
}

pub fn udp(source: End, destination: End, payload: &[u8]) -> Vec<u8> {
    let mut s = Vec::new();
    s.extend(source.1.to_be_bytes());
    s.extend(destination.1.to_be_bytes());
    s.extend(((8 + payload.len()) as u16).to_be_bytes());
    s.extend([0, 0]);
    s.extend(payload);
    ipv4(source, destination, 17, &s)
}

pub const FIN: u8 = 1;
pub const SYN: u8 = 2;
pub const RST: u8 = 4;
pub const ACK: u8 = 16;

pub fn tcp(source: End, destination: End, sequence: u32, acknowledgement: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut s = Vec::new();
    s.extend(source.1.to_be_bytes());
    s.extend(destination.1.to_be_bytes());
    s.extend(sequence.to_be_bytes());
    s.extend(acknowledgement.to_be_bytes());
    s.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    s.extend(payload);
    ipv4(source, destination, 6, &s)
}

/// A TCP conversation that keeps its numbers.
#[derive(Debug, Clone, Copy)]
pub struct Talk {
    pub ends: [End; 2],
    pub next: [u32; 2],
}

impl Talk {
    pub fn new(client: End, server: End) -> Talk {
        Talk { ends: [client, server], next: [1000, 5000] }
    }

    pub fn handshake(&mut self) -> Vec<Vec<u8>> {
        let [c, s] = self.ends;
        let frames = vec![
            tcp(c, s, self.next[0], 0, SYN, b""),
            tcp(s, c, self.next[1], self.next[0] + 1, SYN | ACK, b""),
            tcp(c, s, self.next[0] + 1, self.next[1] + 1, ACK, b""),
        ];
        self.next = self.next.map(|n| n + 1);
        frames
    }

    pub fn data(&mut self, direction: usize, payload: &[u8]) -> Vec<u8> {
        let frame = self.at(direction, self.next[direction], payload);
        self.next[direction] = self.next[direction].wrapping_add(payload.len() as u32);
        frame
    }

    pub fn at(&self, direction: usize, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (self.ends[direction], self.ends[1 - direction]);
        tcp(from, to, sequence, self.next[1 - direction], ACK, payload)
    }
}

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: u64) -> u64 {
        splitmix64(&mut self.0) % n.max(1)
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| splitmix64(&mut self.0) as u8).collect()
    }
}
