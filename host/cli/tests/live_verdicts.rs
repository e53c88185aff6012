//! What Weir inline costs a frame, and how many it takes: `cargo test --release -p weir --test live_verdicts -- --ignored
//! --nocapture` measures, prints the table of docs/performance.md and writes `live.json` where `WEIR_PUBLISH` says (a folder).

mod common;
mod lab;

use common::Place;
use lab::{CLIENT, Lab, SERVER};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use weir_live::{Link, LinkConfig, Mode, Next, Offloads, QueueConfig, Wire};
use weir_packet::checksum::Sum;

/// Frames a second while latency is measured.
const PACE: u64 = 4000;
const LATENCY_FRAMES: u64 = 20_000;
const THROUGHPUT_FRAMES: u64 = 400_000;
/// Frames on their way at once while throughput is measured: less than what any ring holds.
const WINDOW: u64 = 4096;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64
}

/// A datagram with the time it is sent at; flagged ones hold what the rule looks for.
fn datagram(length: usize, flagged: bool, number: u64) -> Vec<u8> {
    let mut payload = vec![b'.'; length - 42];
    payload[..8].copy_from_slice(&now().to_be_bytes());
    if flagged {
        payload[16..32].copy_from_slice(b"flagged-datagram");
    }
    let mut frame = vec![2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8, 8, 0, 0x45, 0];
    frame.extend((length as u16 - 14).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    let address = |text: &str| text.parse::<std::net::Ipv4Addr>().unwrap();
    frame.extend(address(CLIENT[0]).octets());
    frame.extend(address(SERVER[0]).octets());
    let checksum = Sum::default().with(&frame[14..34]).checksum();
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    // A hundred flows. (Without a checksum: RFC 768.)
    frame.extend((10_000 + (number % 100) as u16).to_be_bytes());
    frame.extend(9050u16.to_be_bytes());
    frame.extend((length as u16 - 34).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    frame
}

/// What came out at the other end.
struct Seen {
    /// Nanoseconds on the way, sorted.
    delays: Vec<u64>,
    lost: u64,
    seconds: f64,
}

fn play(lab: &Lab, length: usize, one_in: u64, frames: u64, paced: bool) -> Seen {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (arrived, over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, done) = (Arc::clone(&arrived), Arc::clone(&over));
    let receiver = lab.server.within(move || {
        let config = LinkConfig {
            mode: Mode::Tap,
            interfaces: vec!["s0".to_owned()],
            ring: 128 << 20,
            promiscuous: true,
            offloads: Offloads::Keep,
            queues: QueueConfig::default(),
            idle: Duration::from_millis(10),
            frames: Some(frames),
            duration: None,
        };
        let mut link = Link::open(config).unwrap();
        ready.send(()).unwrap();
        let mut delays = Vec::new();
        let mut quiet = 0;
        loop {
            let next = link.next(&mut |frame| {
                let sent = frame.data.get(42..50).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_be_bytes(*b));
                delays.push(frame.time.0.saturating_sub(sent));
                count.fetch_add(1, Ordering::Relaxed);
            });
            match next.unwrap() {
                Next::End => break,
                Next::Frame => quiet = 0,
                Next::Idle(_) => quiet += u32::from(done.load(Ordering::Relaxed)),
            }
            if quiet > 50 {
                break;
            }
        }
        delays.sort_unstable();
        delays
    });
    is_ready.recv().unwrap();
    let sender = lab.client.within(move || {
        let wire = Wire::open(&["c0"]).unwrap();
        let begin = Instant::now();
        for number in 0..frames {
            let flagged = one_in != 0 && number % one_in == 0;
            if paced {
                while begin.elapsed().as_nanos() < u128::from(number) * u128::from(1_000_000_000 / PACE) {
                    std::thread::yield_now();
                }
                wire.inject(0, &datagram(length, flagged, number));
                wire.flush();
            } else {
                let patience = Instant::now();
                while number >= arrived.load(Ordering::Relaxed) + WINDOW && patience.elapsed() < Duration::from_secs(2) {
                    std::thread::yield_now();
                }
                wire.inject(0, &datagram(length, flagged, number));
            }
        }
        wire.flush();
        begin.elapsed().as_secs_f64()
    });
    let seconds = sender.join().unwrap();
    over.store(true, Ordering::Relaxed);
    let delays = receiver.join().unwrap();
    Seen { lost: frames - delays.len() as u64, delays, seconds }
}

fn micros(delays: &[u64], share: f64) -> f64 {
    let at = (delays.len() as f64 * share) as usize;
    delays.get(at.min(delays.len().saturating_sub(1))).map_or(f64::NAN, |n| *n as f64 / 1000.0)
}

#[test]
#[ignore = "measures for a minute; the machine should be quiet"]
fn the_path_of_a_verdict() {
    let Some(lab) = Lab::new("the_path_of_a_verdict", 1500, false) else { return };
    let place = Place::empty("live-verdicts");
    // It is found and changes nothing: the threshold keeps the log out of the figures.
    place.write(
        "t.rules",
        "alert udp any any -> any 9050 (content:\"flagged-datagram\"; threshold:type limit, track by_rule, count 1, seconds 3600; sid:1;)",
    );
    let mut rows = Vec::new();
    println!("| path | flagged | diverted | p50 µs | p99 µs | p99.9 µs | kframes/s | Gbit/s | CPU µs/frame | lost |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
    let (packet, xdp) = ("m0,m1", "xdp:m0,xdp:m1");
    let paths = [
        ("bridge", "", "", &[0][..]),
        ("none", "none", packet, &[0, 1]),
        ("none, AF_XDP", "none", xdp, &[0, 1]),
        ("sim", "sim", packet, &[0, 100, 1]),
        ("sim, AF_XDP", "sim", xdp, &[0, 100, 1]),
    ];
    for (path, device, between, shares) in paths {
        for &one_in in shares {
            let mut weir = None;
            if device.is_empty() {
                // What the same way takes through the kernel's own bridge.
                lab.middle.run("ip link add br0 type bridge");
                for name in ["m0", "m1", "br0"] {
                    if name != "br0" {
                        lab.middle.run(&format!("ip link set {name} master br0"));
                    }
                    lab.middle.run(&format!("ip link set {name} up"));
                }
                std::thread::sleep(Duration::from_millis(500));
            } else {
                weir = Some(lab.weir(&place, device, &["--inline", between, "--device", device]));
            }
            play(&lab, 200, one_in, 2000, true);
            let latency = play(&lab, 200, one_in, LATENCY_FRAMES, true);
            let rate = play(&lab, 1000, one_in, THROUGHPUT_FRAMES, false);
            let (mut diverted, mut processor) = (0.0, None);
            if let Some(left) = weir.map(|weir| weir.end(true)) {
                // What a loaded machine changes least.
                let frames = left.of_interfaces("received_packets") as f64;
                processor = Some(1e6 * left.stats["host"]["cpu_seconds"].as_f64().unwrap() / frames);
                if device == "sim" {
                    let of = |name: &str| left.stats["device"][name].as_f64().unwrap();
                    diverted = of("diverted_packets") / of("received_packets");
                }
            } else {
                lab.middle.run("ip link del br0");
            }
            let frames = (THROUGHPUT_FRAMES - rate.lost) as f64;
            let (kframes, gigabits) = (frames / rate.seconds / 1e3, frames * 8000.0 / rate.seconds / 1e9);
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| micros(&latency.delays, share));
            let percent = 100.0 * diverted;
            let of_processor = processor.map_or_else(String::new, |processor| format!("{processor:.1}"));
            let flagged = 100u64.checked_div(one_in).unwrap_or(0);
            println!(
                "| {path} | {flagged} % | {percent:.1} % | {p50:.0} | {p99:.0} | {p999:.0} | {kframes:.0} | {gigabits:.2} | {of_processor} | {} |",
                latency.lost + rate.lost
            );
            rows.push(serde_json::json!({
                "path": path, "flagged_one_in": one_in, "diverted_share": diverted, "latency_us": { "p50": p50, "p99": p99, "p99.9": p999 },
                "frames": { "latency": LATENCY_FRAMES, "throughput": THROUGHPUT_FRAMES }, "kframes_per_second": kframes,
                "gbit_per_second": gigabits, "cpu_us_per_frame": processor, "lost": latency.lost + rate.lost,
            }));
            assert!(latency.lost == 0, "frames were lost on a path at {PACE} frames/s");
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("\nLoad of the machine, {} processors: {load}", std::thread::available_parallelism().map_or(0, usize::from));
    if let Some(folder) = std::env::var_os("WEIR_PUBLISH") {
        let text = serde_json::to_string_pretty(&serde_json::json!({ "simulated": true, "pace": PACE, "load_average": load.trim(), "rows": rows })).unwrap();
        // (A test runs in its crate's folder; the command names one of the workspace.)
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder);
        std::fs::write(folder.join("live.json"), text + "\n").unwrap();
    }
}
