//! Entry points for fuzzing: any bytes, no panic, conservation holds.

use crate::function::{SimConfig, Simulator};
use crate::parse::{ParseConfig, parse};
use crate::pipeline::Frame;
use crate::tables::Tables;
use crate::testing::ImageBuilder;
use weir_contract::layouts::Record;
use weir_device::{Driver, DriverConfig, QueueConfig};

/// Bytes as frames: a length byte before each, or all as one. Parsed alone, then taken by a whole device.
pub fn fuzz_frame(bytes: &[u8]) {
    let config = ParseConfig { checksums: true, tunnel_ports: [4789, 0, 0, 0, 0, 0, 0, 0] };
    for link in [0, 1, 101, 108, 113, 228, 9999] {
        let parsed = parse(&config, link, bytes, bytes.len() as u32);
        assert!(parsed.payload.0 <= parsed.payload.1 && parsed.payload.1 <= bytes.len(), "{parsed:?}");
        assert!(!parsed.keyed || parsed.ends.is_some());
    }
    let Some(mut rig) = Rig::new() else { return };
    let mut rest = bytes;
    let mut number = 0;
    while let [length, after @ ..] = rest {
        let (frame, next) = after.split_at(usize::from(*length).min(after.len()));
        rest = next;
        number += 1;
        rig.offer(number, frame);
    }
    rig.offer(number + 1, bytes);
    assert_eq!(rig.model.check(), Ok(()));
}

/// Bytes as a table image.
pub fn fuzz_image(bytes: &[u8]) {
    if let Ok(tables) = Tables::load(bytes) {
        let mut hits = Vec::new();
        let scan = tables.filter.scan(b"abc", bytes, tables.limits.candidates, &mut Default::default(), &mut hits);
        assert!(scan.total() <= tables.limits.candidates);
        for hit in hits {
            assert!(!tables.list(hit.list_start, hit.list_count.into()).is_empty());
        }
    }
}

struct Rig {
    model: Simulator,
    driver: Driver<Simulator>,
}

impl Rig {
    fn new() -> Option<Rig> {
        let model = Simulator::new(SimConfig { queues: 1, flow_entries: 64 });
        let mut driver = Driver::probe(model.clone()).ok()?;
        let queue = QueueConfig { history: 1 << 16, margin: 0, descriptors: 64, flow_records: 64, tx: 16 };
        driver.set_up(&DriverConfig { queue, ..DriverConfig::default() }).ok()?;
        let mut image = ImageBuilder::new(1);
        image.literal(b"abcd", Record::ALWAYS);
        let epoch = driver.load_tables(&image.build()).ok()?;
        driver.activate(epoch).ok()?;
        driver.enable(false).ok()?;
        Some(Rig { model, driver })
    }

    fn offer(&mut self, number: u64, data: &[u8]) {
        let frame = Frame { number, time: number, link: 1, data, wire_length: data.len() as u32 };
        for _ in 0..4 {
            if self.model.offer(&frame) == crate::Offer::Accepted {
                return;
            }
            while let Ok(Some(_)) = self.driver.next_descriptor(0) {}
            while let Ok(Some(_)) = self.driver.next_flow_record(0) {}
            let _ = self.driver.done(0);
        }
        assert!(data.is_empty(), "a frame must be taken once the host has caught up");
    }
}
