//! Made-up traffic where the captures that the mixes are made from are absent.
//!
//! It repeats a small number of shapes, so rates of it say little about links; it shows that nothing got slower.

use anyhow::{Context, Result};
use std::io::BufWriter;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use weir_capture::CaptureWriter;
use weir_synth::{Capture, DataOptions, FlowOptions, Random, Scenario, Way, payload};

/// Kinds of traffic.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Kind {
    /// The flows of `weir run --example`: DNS, web, TLS, mail, scans, and one hostile flow in twenty.
    Example,
    /// DNS questions and answers, and connections that are refused.
    Small,
    /// Bulk HTTP and opaque transfers in full-size segments.
    Full,
}

/// Flows made at a time.
const CHUNK: usize = 2_000;
/// Time between two chunks, so that no flow lives across them.
const CHUNK_TIME: u64 = 1_000_000_000_000;
const START: u64 = 1_732_000_000_000_000_000;

pub fn write(kind: Kind, out: &Path, bytes: u64) -> Result<()> {
    let file = std::fs::File::create(out).with_context(|| format!("{} cannot be written", out.display()))?;
    let mut writer = CaptureWriter::new(BufWriter::with_capacity(1 << 20, file), Capture::default().link)?;
    let (mut written, mut frames) = (0u64, 0u64);
    for chunk in 0.. {
        if written >= bytes {
            break;
        }
        let capture = match kind {
            Kind::Example => weir_synth::example::example(chunk + 1, CHUNK),
            Kind::Small => flows(chunk, small),
            Kind::Full => flows(chunk, full),
        };
        for frame in &capture.frames {
            writer.write(frame.time + chunk * CHUNK_TIME, &frame.bytes, frame.wire_length)?;
            written += frame.bytes.len() as u64;
            frames += 1;
        }
    }
    writer.finish()?;
    println!("{}", serde_json::json!({ "frames": frames, "bytes": written }));
    Ok(())
}

/// Overlapping flows of one shape.
fn flows(chunk: u64, make: fn(&mut Random, &mut Scenario, (IpAddr, u16))) -> Capture {
    let mut random = Random::new(chunk + 1);
    let mut frames = Vec::new();
    for number in 0..CHUNK as u64 {
        let mut scenario = Scenario::new();
        scenario.set_time(START + number * 1_000_000);
        scenario.set_step(500_000 + random.below(5_000_000));
        let client = Ipv4Addr::new(10, 1, (number >> 8) as u8, number as u8);
        let port = 1024 + random.below(60_000) as u16;
        make(&mut random, &mut scenario, (client.into(), port));
        frames.extend(scenario.finish().frames);
    }
    frames.sort_by_key(|frame| frame.time);
    Capture { frames, ..Capture::default() }
}

fn server(random: &mut Random, port: u16) -> (IpAddr, u16) {
    (Ipv4Addr::new(203, 0, 113, random.below(250) as u8).into(), port)
}

fn small(random: &mut Random, scenario: &mut Scenario, client: (IpAddr, u16)) {
    let options = DataOptions::default();
    if random.one_in(3) {
        let flow = scenario.tcp(client, server(random, 8080), FlowOptions::default());
        scenario.syn(flow, Way::ToServer, 0x02, &options.send);
        scenario.reset(flow, Way::ToClient, &options.send);
        return;
    }
    let flow = scenario.udp(client, server(random, 53), FlowOptions::default());
    let id = random.next() as u16;
    let name = format!("host{}.example.org", random.below(1000));
    scenario.send(flow, Way::ToServer, &payload::dns_query(id, &name, 1), &options);
    scenario.send(flow, Way::ToClient, &payload::dns_answer(id, &name, 1, 0, &[vec![192, 0, 2, 1]]), &options);
}

fn full(random: &mut Random, scenario: &mut Scenario, client: (IpAddr, u16)) {
    let web = random.one_in(2);
    let flow = scenario.tcp(client, server(random, if web { 80 } else { 9000 }), FlowOptions::default());
    scenario.handshake(flow);
    let body = random.bytes(100 * 1448);
    let options = DataOptions::default();
    if web {
        let request = payload::http_request("GET", "/image.bin", "example.org", &[], &[]);
        scenario.send(flow, Way::ToServer, &request, &options);
        scenario.send(flow, Way::ToClient, &payload::http_response(200, &[], &body), &options);
    } else {
        scenario.send(flow, Way::ToServer, &body, &options);
    }
    scenario.close(flow);
}
