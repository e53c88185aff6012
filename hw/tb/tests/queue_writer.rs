//! What the RTL writes to host memory against what the model's queues write: the same bytes at the same places, and the
//! stores of an item in an order that a reader may rely on.

mod common;

use common::made::Random;
use common::{seed, setting};
use weir_contract::layouts::{Descriptor, FlowRecord, HistoryHeader, QueueStatus};
use weir_device::{DmaMemory, Permission};
use weir_hw_tb::bits::{BitReader, BitWriter};
use weir_hw_tb::{Harness, Model, STALLS};
use weir_sim::dma::Bus;
use weir_sim::queue::{Queue, Ring};

const IN_STRIDE: usize = 136;
const OUT_STRIDE: usize = 76;
const HISTORY: u64 = 1 << 16;
const ENTRIES: u32 = 16;

enum Item {
    Record(HistoryHeader, Vec<u8>),
    Descriptor(Descriptor),
    FlowRecord(FlowRecord),
}

/// Host memory of two queues.
struct Host {
    bus: Bus,
    queues: Vec<Queue>,
    memories: Vec<DmaMemory>,
}

impl Host {
    fn new() -> Host {
        let mut bus = Bus { master: true, ..Bus::default() };
        let mut memories = Vec::new();
        let mut map = |length: usize| {
            let memory = DmaMemory::new(length).unwrap();
            let iova = bus.iommu.map(&memory, Permission::Write);
            memories.push(memory);
            iova
        };
        let mut queues: Vec<Queue> = Vec::new();
        for _ in 0..2 {
            let ring = |base| Ring { base, entries: ENTRIES, ..Ring::default() };
            let mut queue = Queue::default();
            queue.history_base = map(HISTORY as usize);
            queue.history_size = HISTORY;
            queue.descriptors = ring(map(4096));
            queue.flow_records = ring(map(4096));
            queue.status = map(4096);
            queues.push(queue);
        }
        Host { bus, queues, memories }
    }

    fn content(&self) -> Vec<Vec<u8>> {
        let read = |memory: &DmaMemory| {
            let mut bytes = vec![0; memory.len()];
            assert!(memory.read(0, &mut bytes));
            bytes
        };
        self.memories.iter().map(read).collect()
    }
}

fn items(r: &mut Random, count: usize) -> Vec<(usize, Item)> {
    (0..count)
        .map(|_| {
            let queue = r.below(2) as usize;
            let item = match r.below(5) {
                0 => Item::Descriptor(Descriptor::from_bytes(r.bytes(Descriptor::SIZE).as_slice().try_into().unwrap())),
                1 => Item::FlowRecord(FlowRecord::from_bytes(r.bytes(FlowRecord::SIZE).as_slice().try_into().unwrap())),
                _ => {
                    let header = HistoryHeader::from_bytes(r.bytes(HistoryHeader::SIZE).as_slice().try_into().unwrap());
                    let length = r.of(&[0, 1, 60, 64, 65, 127, 128, 129, 1514, 9000]);
                    let length = if r.once_in(3) { r.below(3000) as usize } else { length };
                    Item::Record(header, r.bytes(length))
                }
            };
            (queue, item)
        })
        .collect()
}

fn item(op: u8, kind: u8, queue: usize, length: usize, body: &[u8]) -> Vec<u8> {
    let mut out = vec![op, kind, queue as u8, 0];
    out.extend((length as u32).to_le_bytes());
    out.extend(body);
    out.resize(IN_STRIDE, 0);
    out
}

fn input(host: &Host, items: &[(usize, Item)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (n, q) in host.queues.iter().enumerate() {
        let mut w = BitWriter::default();
        w.number(q.status, 64).number(q.flow_records.entries.into(), 32).number(q.flow_records.base, 64);
        w.number(q.descriptors.entries.into(), 32).number(q.descriptors.base, 64);
        w.number(q.history_size, 64).number(q.history_base, 64);
        out.extend(item(2, 0, n, 0, &w.into_bytes(128)));
    }
    for (queue, what) in items {
        match what {
            Item::Record(header, frame) => {
                out.extend(item(0, 0, *queue, frame.len(), &header.to_bytes()));
                let beats: Vec<&[u8]> = if frame.is_empty() { vec![&[]] } else { frame.chunks(64).collect() };
                for beat in beats {
                    let mut body = beat.to_vec();
                    // What stands behind the frame must not reach the host.
                    body.resize(64, 0xee);
                    out.extend(item(1, 0, 0, 0, &body));
                }
            }
            Item::Descriptor(descriptor) => out.extend(item(0, 1, *queue, 0, &descriptor.to_bytes())),
            Item::FlowRecord(record) => out.extend(item(0, 2, *queue, 0, &record.to_bytes())),
        }
    }
    out
}

/// Stores of an item, a pad counted where one is.
fn stores(item: &Item, padded: bool) -> usize {
    match item {
        Item::Record(_, frame) => 3 + usize::from(padded) + frame.len().div_ceil(64),
        Item::Descriptor(_) => 2,
        Item::FlowRecord(_) => 3,
    }
}

#[test]
fn equals_the_model_s_queues() {
    if Harness::or_skip(Model::QueueWriter, "equals_the_model_s_queues").is_none() {
        return;
    }
    let seed = seed();
    let mut r = Random(seed);
    let items = items(&mut r, setting("WEIR_FRAMES", 4_000));
    let mut model = Host::new();
    let mut counts = Vec::new();
    let mut pads = 0;
    for (queue, item) in &items {
        let q = &mut model.queues[*queue];
        let mut padded = false;
        match item {
            Item::Record(header, frame) => {
                let place = q.place(frame.len()).unwrap();
                padded = place.start != q.written();
                q.write_record(&mut model.bus, place, *header, frame).unwrap();
            }
            Item::Descriptor(descriptor) => q.write_descriptor(&mut model.bus, *descriptor, u64::MAX).unwrap(),
            Item::FlowRecord(record) => q.write_flow_record(&mut model.bus, *record).unwrap(),
        }
        pads += u32::from(padded);
        counts.push(stores(item, padded));
    }
    assert!(pads > 10, "only {pads} pads");
    let expected: usize = counts.iter().sum();
    for stalls in STALLS {
        let mut host = Host::new();
        let mut harness = Harness::new(Model::QueueWriter).unwrap();
        let input = input(&host, &items);
        let run = harness.run(&input, IN_STRIDE, expected, OUT_STRIDE, seed, stalls, 40);
        assert_eq!(run.out_cycles.len(), expected, "{stalls:?}, WEIR_SEED={seed}");
        let mut out = run.out.chunks(OUT_STRIDE);
        for ((queue, item), count) in items.iter().zip(&counts) {
            let status = host.queues[*queue].status;
            for n in 0..*count {
                let mut reader = BitReader::new(out.next().unwrap());
                let data: [u8; 64] = reader.array();
                let (address, bytes, ending) = (reader.number(64), reader.number(7) as usize, reader.flag());
                assert!(data[bytes..].iter().all(|byte| *byte == 0));
                host.bus.write(address, &data[..bytes]).unwrap();
                // Reserved first; what is complete, or the producer, last and as one store.
                let is_record = matches!(item, Item::Record(..));
                assert_eq!(is_record && n == 0, address == status + QueueStatus::OFFSET_HISTORY_RESERVED as u64);
                let announces = match item {
                    Item::Record(..) => QueueStatus::OFFSET_HISTORY_WRITTEN,
                    Item::Descriptor(_) => QueueStatus::OFFSET_DESCRIPTOR_PRODUCER,
                    Item::FlowRecord(_) => QueueStatus::OFFSET_FLOW_RECORD_PRODUCER,
                };
                assert_eq!(ending, address == status + announces as u64);
                assert_eq!(ending, n + 1 == *count, "{stalls:?}, WEIR_SEED={seed}");
            }
        }
        for (n, (got, want)) in host.content().iter().zip(model.content()).enumerate() {
            let differs = got.iter().zip(&want).position(|(a, b)| a != b);
            assert_eq!(differs, None, "memory {n}, {stalls:?}, WEIR_SEED={seed}");
        }
        if stalls == STALLS[0] {
            let cycles = run.out_cycles[expected - 1] - run.out_cycles[0] + 1;
            let empty =
                items.iter().filter(|(_, item)| matches!(item, Item::Record(_, frame) if frame.is_empty())).count();
            assert_eq!(cycles as usize, expected + items.len() - 1 + empty, "a store per cycle, and one between items");
        }
    }
}
