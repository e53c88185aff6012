//! How fast the model is: synthetic tables of the size that large rule sets give, full-size and small frames.
//!
//! `cargo run --release -p weir-sim --example speed [FRAMES]`

use std::time::Instant;
use weir_contract::counters::Counter;
use weir_contract::enums::{DirectionMask, Scopes, StateMask, TransportMask};
use weir_contract::guards::Guard;
use weir_contract::hash::{HashFamily, splitmix64};
use weir_contract::layouts::{HashConstants, Record};
use weir_contract::protocol::AppProtocol;
use weir_device::{Driver, DriverConfig, QueueConfig};
use weir_sim::testing::{Fragment, ImageBuilder};
use weir_sim::{Frame, Offer, SimConfig, Simulator};

const FRAGMENTS: [(usize, usize); 5] = [(4, 442), (5, 523), (6, 963), (7, 756), (8, 23_308)];

fn word(state: &mut u64, length: usize) -> Vec<u8> {
    (0..length).map(|_| b"abcdefghijklmnopqrstuvwxyz0123456789/.-_=%"[splitmix64(state) as usize % 42]).collect()
}

fn image(common: bool) -> Vec<u8> {
    let mut state = 42;
    let mut b = ImageBuilder::new(7);
    if common {
        let multiplier = HashFamily::from_seed(7).multiplier(8);
        b.set_family(HashFamily::new(HashConstants { multipliers: [multiplier; 5] }));
    }
    b.port_classes.iter_mut().enumerate().for_each(|(port, class)| *class = (port % 97) as u16);
    b.port_sets = (0..200).map(|n| vec![n % 97, (n * 7) % 97]).collect();
    for (length, count) in FRAGMENTS {
        for n in 0..count {
            let record = Record {
                scopes: Scopes::STREAM.0,
                transports: TransportMask::TCP.0,
                class_mask: 1 << (n % 20),
                directions: 1 + (n % 3) as u8,
                ..Record::ALWAYS
            };
            let id = b.record(record);
            b.fragment(Fragment { bytes: word(&mut state, length), case_mask: 0 }, &[id]);
        }
    }
    for n in 0..1500u16 {
        b.header(Record {
            transports: TransportMask::TCP.0,
            directions: DirectionMask::TO_SERVER.0,
            states: StateMask::ESTABLISHED.0,
            destination_ports: 1 + n % 200,
            payload_min: 1400,
            payload_max: 1405,
            ..Record::ALWAYS
        });
    }
    let http = b.record(Record { class_mask: 1 << AppProtocol::Http1 as u8, ..Record::ALWAYS });
    for guard in [Guard::UriPercentEscape, Guard::HeaderFold, Guard::UriBackslash] {
        b.guard(guard, http);
    }
    b.build()
}

fn frame(flow: u32, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut f = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    f.extend(((40 + payload.len()) as u16).to_be_bytes());
    f.extend([0, 1, 0x40, 0, 64, 6, 0, 0]);
    f.extend((0x0a00_0000 + flow).to_be_bytes());
    f.extend([192, 0, 2, 1]);
    f.extend([0x9c, 0x40, 0x1f, 0x90]);
    f.extend(sequence.to_be_bytes());
    f.extend([0; 4]);
    f.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    f.extend(payload);
    f
}

fn main() {
    let frames: usize = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(200_000);
    for common in [false, true] {
        let image = image(common);
        println!("tables: {} bytes, multipliers {}", image.len(), if common { "shared" } else { "one per length" });
        for (name, length, kind) in [("text", 1460, 0), ("random", 1460, 1), ("http", 1460, 2), ("small", 6, 1)] {
            run(&image, name, length, kind, frames);
        }
    }
}

fn run(image: &[u8], name: &str, length: usize, kind: u8, frames: usize) {
    let model = Simulator::new(SimConfig { queues: 1, flow_entries: 1 << 17 });
    let mut driver = Driver::probe(model.clone()).expect("probe");
    let queue = QueueConfig { history: 64 << 20, descriptors: 1 << 14, ..QueueConfig::default() };
    driver.set_up(&DriverConfig { queue, validate_checksums: false, ..DriverConfig::default() }).expect("set up");
    let epoch = driver.load_tables(image).expect("tables");
    driver.activate(epoch).expect("activate");
    driver.enable(false).expect("enable");
    let mut state = 1;
    let flows = 4096u32;
    let bodies: Vec<Vec<u8>> = (0..64)
        .map(|_| match kind {
            1 => (0..length).map(|_| splitmix64(&mut state) as u8).collect(),
            _ => {
                let mut body = b"word word\r\n".to_vec();
                while body.len() < length {
                    let n = 3 + splitmix64(&mut state) as usize % 9;
                    body.extend(word(&mut state, n));
                    body.push(b' ');
                }
                body.truncate(length);
                body
            }
        })
        .collect();
    let mut number = 0;
    let drain = |driver: &mut Driver<Simulator>| {
        while driver.next_descriptor(0).expect("descriptor").is_some() {}
        driver.done(0).expect("done");
        while driver.next_flow_record(0).expect("flow record").is_some() {}
    };
    let mut offer = |data: &[u8], driver: &mut Driver<Simulator>| {
        number += 1;
        let f = Frame { number, time: number * 1000, link: 1, data, wire_length: data.len() as u32 };
        while model.offer(&f) == Offer::Wait {
            drain(driver);
        }
    };
    for flow in 0..flows {
        offer(&frame(flow, 0, 2, b""), &mut driver);
        if kind == 2 {
            offer(&frame(flow, 1, 16, b"GET / HTTP/1.1\r\n"), &mut driver);
        }
    }
    let start_sequence = if kind == 2 { 17 } else { 1 };
    let mut ready: Vec<Vec<u8>> = (0..flows)
        .map(|flow| frame(flow, start_sequence, 16, &bodies[flow as usize % bodies.len()]))
        .collect();
    let mut bytes = 0u64;
    let start = Instant::now();
    for n in 0..frames {
        let data = &mut ready[n * 17 % flows as usize];
        offer(data, &mut driver);
        bytes += data.len() as u64;
        let sequence = u32::from_be_bytes([data[38], data[39], data[40], data[41]]).wrapping_add(length as u32);
        data[38..42].copy_from_slice(&sequence.to_be_bytes());
    }
    let seconds = start.elapsed().as_secs_f64();
    model.check().expect("conservation");
    println!(
        "  {name:7} {:7.3} us/frame {:6.2} Gbit/s {:6.2} Mpps   candidates/frame {:.2} hits/frame {:.3} diverted {:.4} handovers {}",
        seconds * 1e6 / frames as f64,
        bytes as f64 * 8e-9 / seconds,
        frames as f64 * 1e-6 / seconds,
        model.counter(Counter::Candidates) as f64 / frames as f64,
        model.counter(Counter::Hits) as f64 / frames as f64,
        model.counter(Counter::DivertedFrames) as f64 / frames as f64,
        model.counter(Counter::DescriptorsHandover),
    );
}
