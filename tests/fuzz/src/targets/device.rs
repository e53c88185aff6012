//! The boundary between host and device, each side hostile to the other, and the table image that crosses it.

use crate::Target;
use crate::frames::FrameList;
use crate::random::Bytes;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use weir_contract::constants as c;
use weir_contract::crc::crc32c;
use weir_contract::enums::{BlockType, Control, TxCommand};
use weir_contract::layouts::{BlockEntry, FlowKey, ImageHeader, Record, TxEntry};
use weir_contract::registers::{self as r, queue as q};
use weir_detect::{CompileOptions, Program};
use weir_device::{DeviceError, DmaMemory, Driver, DriverConfig, PciFunction, Permission, QueueConfig};
use weir_engine::{DeviceRuntime, Engine, EngineConfig};
use weir_output::AlertCollector;
use weir_rules::image::{ImageOptions, emit};
use weir_rules::plan::{Options, plan};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};
use weir_sim::testing::ImageBuilder;
use weir_sim::{Frame, Offer, SimConfig, Simulator};

/// The targets of this room.
pub fn targets() -> [Target; 3] {
    [
        Target {
            repair: Some(repair_image),
            longest: 1 << 20,
            memory: 64 << 20,
            mutate: Some(mutate_image),
            ..Target::new(
                "image",
                "a table image, checksums right more often than not: refused, or safe to look up with and to run a device on",
                image,
                || vec![small_image(), compiled_image()],
            )
        },
        Target {
            dictionary: &[&[0, 1, 0, 0, 0], &[6, 1], &[7], &[8], &[1, 1], &[2, 0, 0]],
            memory: 48 << 20,
            ..Target::new(
                "hostile-host",
                "arbitrary register writes, ring and TX content between frames: the model neither panics nor hangs, its \
                 counters add up",
                hostile_host,
                || {
                    let ops: [&[u8]; 3] = [
                        &[0, 5, 0, 0, 5, 1, 8, 0, 1, 2, 3, 5, 2, 8, 0, 4, 6, 0, 7, 0],
                        &[1, 5, 0, 64, 0, 3, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 5, 1, 30, 0, 6, 0, 5, 2, 40],
                        &[2, 0, 16, 1, 0, 0, 0, 0, 62, 255, 255, 255, 255, 1, 4, 7, 8, 9, 10, 2, 9, 5, 3, 20, 0, 9, 8, 7],
                    ];
                    ops.iter().map(|ops| ops.to_vec()).collect()
                },
            )
        },
        Target {
            mutate: Some(|bytes, other, random| {
                // The first part is what the device does wrong, the rest are frames.
                let at = LIES.min(bytes.len());
                let mut lies: Vec<u8> = bytes.drain(..at).collect();
                let other = other.get(LIES.min(other.len())..).unwrap_or_default();
                if random.one_in(2) {
                    crate::frames::mutate(bytes, other, random);
                }
                crate::mutate::mutate_bytes(&mut lies, &[], &[], random);
                lies.resize(LIES, 0);
                bytes.splice(0..0, lies);
            }),
            memory: 64 << 20,
            longest: 16 << 10,
            ..Target::new(
                "hostile-device",
                "a device whose registers, descriptors, history, flow records and indices lie: driver and runtime answer with \
                 an error or go on, bounded in time and memory",
                hostile_device,
                || {
                    let frames = crate::frames::made();
                    let lies = (0..frames.len()).map(|n| (0..LIES).map(move |i| if n == 0 { 0 } else { (n * 37 + i * 11) as u8 }));
                    lies.zip(&frames).map(|(lies, frames)| lies.chain(frames.iter().copied()).collect()).collect()
                },
            )
        },
    ]
}

fn small_image() -> Vec<u8> {
    let mut builder = ImageBuilder::new(1);
    builder.literal(b"evil", Record::ALWAYS);
    builder.literal(b"attacked", Record::ALWAYS);
    builder.port_classes[80] = 1;
    builder.port_sets.push(vec![1]);
    builder.bloom_bits = 13;
    builder.build()
}

fn compiled_image() -> Vec<u8> {
    let sources = [RuleSource::from_text("few.rules", include_str!("few.rules"))];
    let set = load(&sources, &VariableTable::default(), &LoadOptions::default());
    let mut plan = plan(&set.rules, &Options::default());
    match emit(&set.rules, &mut plan, &ImageOptions::default()) {
        Ok(image) => image.bytes,
        Err(error) => panic!("{error}"),
    }
}

/// Mutations inside of blocks: uniform ones would nearly all fall into the largest table.
fn mutate_image(bytes: &mut Vec<u8>, _other: &[u8], random: &mut crate::random::Random) {
    let Some(header) = ImageHeader::read(bytes) else { return };
    let most = if random.one_in(3) { 6 } else { 1 };
    for _ in 0..1 + random.below(most) {
        let entry = ImageHeader::SIZE + random.below(header.block_count.min(64) as usize) * BlockEntry::SIZE;
        let Some(block) = bytes.get(entry..).and_then(BlockEntry::read) else { continue };
        let (from, to) = match random.below(8) {
            0 => (0, ImageHeader::SIZE),
            1 => (entry, entry + BlockEntry::SIZE),
            _ => (block.offset as usize, block.offset.saturating_add(block.length.min(1 << 20)) as usize),
        };
        let Some(part) = bytes.get_mut(from..to.max(from)).filter(|part| !part.is_empty()) else { continue };
        let mut copy = part.to_vec();
        // In small blocks, or at the start of large ones.
        let near = copy.len().min(if random.one_in(2) { 256 } else { copy.len() });
        let mut piece = copy[..near].to_vec();
        if random.one_in(2) {
            let at = random.below(near);
            piece[at] = if random.one_in(2) { piece[at] ^ 1 << random.below(8) } else { random.below(4) as u8 };
        } else {
            crate::mutate::mutate_bytes(&mut piece, &[], &[], random);
            piece.resize(near, 0);
        }
        copy[..near].copy_from_slice(&piece);
        part.copy_from_slice(&copy);
    }
}

/// Right checksums of blocks, directory and header.
fn repair_image(bytes: &mut Vec<u8>) {
    let Some(header) = ImageHeader::read(bytes) else { return };
    let end = ImageHeader::SIZE + (header.block_count.min(c::IMAGE_BLOCKS_MAX) as usize) * BlockEntry::SIZE;
    for at in (ImageHeader::SIZE..end.min(bytes.len())).step_by(BlockEntry::SIZE) {
        let Some(mut entry) = bytes.get(at..).and_then(BlockEntry::read) else { break };
        let to = entry.offset.saturating_add(entry.length);
        let Some(block) = bytes.get(entry.offset as usize..to as usize) else { continue };
        entry.crc = crc32c(block);
        if let Some(place) = bytes.get_mut(at..at + BlockEntry::SIZE) {
            place.copy_from_slice(&entry.to_bytes());
        }
    }
    let directory_crc = bytes.get(ImageHeader::SIZE..end).map_or(header.directory_crc, crc32c);
    let length = bytes.len() as u64;
    let mut raw = ImageHeader { directory_crc, length, ..header }.to_bytes();
    let check = crc32c(&raw[..ImageHeader::SIZE - 4]);
    raw[ImageHeader::SIZE - 4..].copy_from_slice(&check.to_le_bytes());
    if let Some(place) = bytes.get_mut(..ImageHeader::SIZE) {
        place.copy_from_slice(&raw);
    }
}

fn image(bytes: &[u8]) {
    weir_sim::fuzz::fuzz_image(bytes);
    let Ok(tables) = weir_sim::tables::Tables::load(bytes) else { return };
    let directory = tables.directory();
    assert!(directory.iter().all(|entry| entry.offset.checked_add(entry.length).is_some_and(|end| end <= bytes.len() as u64)));
    let _ = BlockType::from_raw(directory.first().map_or(0, |entry| entry.kind));
    let model = Simulator::new(SimConfig { queues: 1, flow_entries: 64 });
    let Some(mut driver) = prepared(model.clone(), bytes) else { return };
    for (number, payload) in (1..).zip([&b"GET /evil HTTP/1.1\r\n\r\n"[..], b"attacked", &[0; 40], &[0xff; 200]]) {
        let frame = tcp_frame(number as u32 * 100, payload);
        let frame = Frame { number, time: number, link: 1, data: &frame, wire_length: frame.len() as u32 };
        assert_eq!(model.offer(&frame), Offer::Accepted);
    }
    while let Ok(Some(_)) = driver.next_descriptor(0) {}
    assert_eq!(model.check(), Ok(()));
}

const SMALL: QueueConfig = QueueConfig { history: 1 << 16, margin: 0, descriptors: 64, flow_records: 64, tx: 16 };

/// A driver over a function, with tables loaded and frames enabled; none where the function says no.
fn prepared<P: PciFunction>(function: P, image: &[u8]) -> Option<Driver<P>> {
    let mut driver = Driver::probe(function).ok()?;
    driver.set_up(&DriverConfig { queue: SMALL, validate_checksums: false, ..DriverConfig::default() }).ok()?;
    let epoch = driver.load_tables(image).ok()?;
    driver.activate(epoch).ok()?;
    driver.enable(false).ok()?;
    Some(driver)
}

fn tcp_frame(sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    f.extend(((40 + payload.len()) as u16).to_be_bytes());
    f.extend([0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0x9c, 0x40, 0, 80]);
    f.extend(sequence.to_be_bytes());
    f.extend([0, 0, 0, 0, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0]);
    f.extend_from_slice(payload);
    f
}

/// Memory that the hostile host maps: history, descriptors, flow records, TX ring, status, tables.
const PLACES: [u64; 6] = [0, 0x1_0000, 0x1_1000, 0x1_2000, 0x1_3000, 0x1_4000];

fn hostile_host(bytes: &[u8]) {
    thread_local!(static IMAGE: Vec<u8> = small_image());
    let mut rest = Bytes(bytes);
    let mut model = Simulator::new(SimConfig { queues: 2, flow_entries: 256 });
    let size = PLACES[5] as usize + IMAGE.with(Vec::len);
    let Ok(memory) = DmaMemory::new(size) else { return };
    let Ok(base) = model.map(&memory, Permission::Write) else { return };
    // Half of the inputs start from a device at work.
    let head = rest.u8();
    let _ = model.config_write(4, 6);
    if head & 1 == 0 {
        assert!(IMAGE.with(|image| memory.write(PLACES[5] as usize, image)));
        let length = IMAGE.with(Vec::len) as u64;
        let wide = [
            (q::at(0, q::HISTORY_BASE), base + PLACES[0]),
            (q::at(0, q::HISTORY_SIZE), 1 << 16),
            (q::at(0, q::DESCRIPTOR_BASE), base + PLACES[1]),
            (q::at(0, q::FLOW_RECORD_BASE), base + PLACES[2]),
            (q::at(0, q::TX_BASE), base + PLACES[3]),
            (q::at(0, q::STATUS_BASE), base + PLACES[4]),
            (r::TABLE_ADDRESS, base + PLACES[5]),
            (r::TABLE_LENGTH, length),
        ];
        for (register, value) in wide {
            let _ = model.write64(0, register, value);
        }
        let narrow = [
            (q::at(0, q::DESCRIPTOR_ENTRIES), 64),
            (q::at(0, q::FLOW_RECORD_ENTRIES), 32),
            (q::at(0, q::TX_ENTRIES), 64),
            (r::QUEUE_COUNT, 1),
            (r::SOURCE_WAITS, u32::from(head & 2 != 0)),
            (r::TABLE_LOAD, 1),
            (r::EPOCH, 1),
            (r::CONTROL, Control::ENABLE.0),
        ];
        for (register, value) in narrow {
            let _ = model.write32(0, register, value);
        }
        assert_eq!(model.read32(0, r::ERROR).unwrap_or(1), 0, "a device at work");
    }
    let (mut number, mut time, mut produced) = (0, 0, 0u32);
    while !rest.is_empty() {
        match rest.u8() % 12 {
            // A register, by its place in the list or anywhere.
            0 => {
                let (which, value) = (rest.u8(), rest.u32());
                let all: Vec<u32> = r::REGISTERS
                    .iter()
                    .map(|register| register.offset)
                    .chain(q::REGISTERS.iter().map(|register| q::at(u32::from(which & 1), register.offset)))
                    .collect();
                let offset = all.get(usize::from(which) % all.len()).copied().unwrap_or(0) + u32::from(which >> 7) * 4;
                let _ = model.write32(0, offset, value);
            }
            1 => {
                let (bar, offset, value) = (rest.u8() % 6, rest.u16(), rest.u32());
                let _ = model.write32(bar, offset.into(), value);
                let _ = model.read32(bar, offset.into());
            }
            2 => {
                let (offset, value) = (rest.u16() & 0xffc, rest.u32());
                let _ = model.config_write(offset, value);
                let _ = model.config_read(offset);
            }
            // Anything anywhere in the memory that both reach.
            3 => {
                let (place, offset, length) = (rest.u8(), u64::from(rest.u16()), usize::from(rest.u8()));
                let at = PLACES[usize::from(place) % PLACES.len()] + offset % 0x1000;
                let _ = memory.write(at as usize, rest.take(length));
            }
            // A command, mostly of a possible kind, then the doorbell.
            4 | 5 => {
                let kind = rest.u8();
                let command = TxCommand::from_raw(kind % 12).map_or(kind, |command| command as u8);
                let entry = TxEntry {
                    command,
                    flags: rest.u8() & 0x0f,
                    scopes: rest.u8(),
                    frame_number: u64::from(rest.u8()),
                    flow_index: u32::from(rest.u8()),
                    flow_generation: u32::from(rest.u8() & 3),
                    length: match rest.u8() {
                        0 => FlowKey::SIZE as u32,
                        n if n & 0x80 != 0 => u32::MAX >> (n & 31),
                        n => n.into(),
                    },
                    data: base + u64::from(rest.u16()),
                    ..TxEntry::ZERO
                };
                let _ = memory.write(PLACES[3] as usize + (produced % 64) as usize * TxEntry::SIZE, &entry.to_bytes());
                produced = produced.wrapping_add(1);
                let _ = model.write32(0, q::at(0, q::TX_PRODUCER), produced);
            }
            6 | 7 => {
                let length = usize::from(rest.u8());
                let sequence = rest.u8();
                let payload = rest.take(length);
                let frame = if sequence & 1 == 0 { tcp_frame(sequence.into(), payload) } else { payload.to_vec() };
                number += 1;
                time += u64::from(sequence) << 28;
                let frame = Frame { number, time, link: 1, data: &frame, wire_length: frame.len() as u32 };
                let _ = if sequence & 2 == 0 { model.offer(&frame) } else { model.offer_lossy(&frame) };
            }
            // The host catches up.
            8 => {
                for (producer, consumer) in
                    [(q::DESCRIPTOR_PRODUCER, q::DESCRIPTOR_CONSUMER), (q::FLOW_RECORD_PRODUCER, q::FLOW_RECORD_CONSUMER)]
                {
                    let at = model.read32(0, q::at(0, producer)).unwrap_or(0);
                    let _ = model.write32(0, q::at(0, consumer), at);
                }
            }
            9 => drop(model.idle(time + (u64::from(rest.u8()) << 33))),
            10 => {
                let _ = model.finish(time);
            }
            _ => {
                let _ = model.unmap(base + u64::from(rest.u8()));
                let _ = model.interrupt(rest.u8().into(), Duration::ZERO);
                if rest.u8() == 0 {
                    let _ = model.reset();
                }
            }
        }
        if let Err(violation) = model.check() {
            panic!("{violation}");
        }
    }
}

/// Bytes of an input that say what the device does wrong.
const LIES: usize = 48;

/// What a lying device may do, shared between the function and the loop that offers frames.
#[derive(Default)]
struct Plot {
    /// Memory that the device may write.
    reachable: Vec<DmaMemory>,
    /// Register reads until the next lie, and the lies.
    reads: u64,
    lies: Vec<(u64, u32)>,
}

/// The model, with a liar in front of it.
#[derive(Clone)]
struct Liar {
    inner: Simulator,
    plot: Rc<RefCell<Plot>>,
}

impl PciFunction for Liar {
    fn config_read(&mut self, offset: u16) -> Result<u32, DeviceError> {
        self.inner.config_read(offset)
    }
    fn config_write(&mut self, offset: u16, value: u32) -> Result<(), DeviceError> {
        self.inner.config_write(offset, value)
    }
    fn read32(&mut self, bar: u8, offset: u32) -> Result<u32, DeviceError> {
        let value = self.inner.read32(bar, offset)?;
        let mut plot = self.plot.borrow_mut();
        plot.reads += 1;
        let now = plot.reads;
        Ok(plot.lies.iter().find(|(at, _)| *at == now).map_or(value, |(_, lie)| value ^ lie))
    }
    fn write32(&mut self, bar: u8, offset: u32, value: u32) -> Result<(), DeviceError> {
        self.inner.write32(bar, offset, value)
    }
    fn map(&mut self, memory: &DmaMemory, permission: Permission) -> Result<u64, DeviceError> {
        if permission == Permission::Write {
            self.plot.borrow_mut().reachable.push(memory.clone());
        }
        self.inner.map(memory, permission)
    }
    fn unmap(&mut self, iova: u64) -> Result<(), DeviceError> {
        self.inner.unmap(iova)
    }
    fn interrupt(&mut self, vector: u16, timeout: Duration) -> Result<bool, DeviceError> {
        self.inner.interrupt(vector, timeout)
    }
    fn reset(&mut self) -> Result<(), DeviceError> {
        self.inner.reset()
    }
}

fn program() -> Arc<Program> {
    thread_local!(static PROGRAM: Arc<Program> = {
        let sources = [RuleSource::from_text("few.rules", include_str!("few.rules"))];
        let set = load(&sources, &VariableTable::default(), &LoadOptions::default());
        Arc::new(Program::compile(set.rules, CompileOptions::default()).0)
    });
    PROGRAM.with(Arc::clone)
}

/// Input: lies about registers (read number u8, bits u32), then lies about memory (when u8, where u16, what u16), then frames.
fn hostile_device(bytes: &[u8]) {
    thread_local!(static IMAGE: Vec<u8> = compiled_image());
    let (lies, frames) = bytes.split_at(LIES.min(bytes.len()));
    let mut lies = Bytes(lies);
    let model = Simulator::new(SimConfig { queues: 1, flow_entries: 64 });
    let mut plot = Plot::default();
    for _ in 0..2 {
        let (at, lie) = (u64::from(lies.u16()), lies.u32());
        if at & 1 != 0 {
            plot.lies.push((at >> 3, lie));
        }
    }
    let mut memory_lies = Vec::new();
    while !lies.is_empty() {
        memory_lies.push((u64::from(lies.u8()), lies.u8(), lies.u16(), lies.u16()));
    }
    let plot = Rc::new(RefCell::new(plot));
    let function = Liar { inner: model.clone(), plot: Rc::clone(&plot) };
    let Some(driver) = IMAGE.with(|image| prepared(function, image)) else { return };
    let config = EngineConfig { max_flows: 1024, ..EngineConfig::default() };
    let raw_window = config.raw_window;
    let Some(engine) = Engine::new(config, program()) else { return };
    let mut runtime = DeviceRuntime::new(driver, engine, [], weir_engine::StreamEvidence::default(), raw_window, true);
    let mut sink = AlertCollector::default();
    let capture = FrameList::decode(frames).capture();
    for frame in capture.frames() {
        let offered = Frame {
            number: frame.number,
            time: frame.time.0,
            link: frame.link,
            data: frame.data,
            wire_length: frame.wire_length,
        };
        for _ in 0..4 {
            if model.offer(&offered) == Offer::Accepted {
                break;
            }
            if runtime.poll(&mut sink).is_err() {
                return;
            }
        }
        for (_, place, offset, what) in memory_lies.iter().filter(|(when, ..)| *when == frame.number) {
            let plot = plot.borrow();
            let Some(memory) = plot.reachable.get(usize::from(*place) % plot.reachable.len().max(1)) else { continue };
            // Early places are the ones in use.
            let offset = if place & 0x80 == 0 { usize::from(*offset) % 512 } else { usize::from(*offset) };
            let _ = memory.write(offset % memory.len(), &what.to_le_bytes());
        }
        if frame.number % 3 == 0 && runtime.poll(&mut sink).is_err() {
            return;
        }
    }
    let _ = runtime.finish(u64::MAX / 2, &mut sink);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A target that refuses nearly everything, or nothing, tests little.
    #[test]
    fn mutated_images_are_taken_and_refused() {
        let [target, ..] = targets();
        let seeds = (target.seeds)();
        let taken = (2..202)
            .filter(|n| weir_sim::tables::Tables::load(&crate::mutate::input(&target, &seeds, 1, *n)).is_ok())
            .count();
        assert!((20..180).contains(&taken), "{taken} of 200");
    }
}
