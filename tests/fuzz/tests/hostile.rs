//! Traffic made to take memory: what the engine keeps stays within stated bounds, alone and behind the simulated device.
//!
//! Bounds are bytes allocated beyond what was there before the traffic (the capture itself, the rules, the tables and the
//! device's rings). They are about twice what was measured (docs/threat-model.md), so that a leak or a lost limit shows.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use weir::device::{self, Tables};
use weir::pipeline::{self, Loaded, RunControl, Source};
use weir_fuzz::allocation;
use weir_management::Config;
use weir_output::{AlertCollector, EventSink};
use weir_rules::RuleSource;
use weir_synth::{Capture, DataOptions, Flow, FlowOptions, Scenario, SendOptions, Way};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Rules that ask for everything: buffers that grow, files and their digests, streams, states of flows and hosts.
const RULES: &str = r#"
alert http any any -> any any (msg:"header"; http.header; content:"never-there"; sid:1;)
alert http any any -> any any (msg:"names"; http.header_names; content:"|0d 0a|never|0d 0a|"; sid:2;)
alert http any any -> any any (msg:"body"; flow:to_client; http.response_body; content:"never-there"; sid:3;)
alert http any any -> any any (msg:"file"; file.data; content:"never-there"; sid:4;)
alert http any any -> any any (msg:"request body"; http.request_body; content:"never-there"; sid:5;)
alert dns any any -> any any (msg:"name"; dns.query; content:"never.there"; sid:6;)
alert dns any any -> any any (msg:"answer"; dns.response.rrname; content:"never.there"; sid:7;)
alert tls any any -> any any (msg:"subject"; tls.cert_subject; content:"never-there"; sid:8;)
alert tls any any -> any any (msg:"ja3"; ja3.hash; content:"0123456789abcdef0123456789abcdef"; sid:9;)
alert smtp any any -> any any (msg:"mail"; file.data; content:"never-there"; sid:10;)
alert tcp any any -> any any (msg:"stream"; content:"never-there"; content:"nor-here"; distance:4; sid:11;)
alert tcp any any -> any any (msg:"sweep"; flags:S; threshold:type both, track by_src, count 1000000, seconds 60; sid:12;)
alert http2 any any -> any any (msg:"h2"; http2.header_name; content:"never-there"; sid:13;)
alert ip any any -> any any (msg:"fragments"; content:"never-there"; sid:14;)
alert smb any any -> any any (msg:"share"; smb.share; content:"never-there"; sid:15;)
"#;

fn host(n: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n))
}

/// A conversation with a server of this port.
fn talk(scenario: &mut Scenario, n: u32, port: u16) -> Flow {
    let flow = scenario.tcp((host(n), 40_000), (host(0x00ff_ff00), port), FlowOptions::default());
    scenario.handshake(flow);
    flow
}

fn whole(parts: &[(Way, Vec<u8>)], port: u16) -> Capture {
    let mut scenario = Scenario::new();
    scenario.set_step(10_000);
    let flow = talk(&mut scenario, 1, port);
    for (way, bytes) in parts {
        for piece in bytes.chunks(1 << 20) {
            scenario.send(flow, *way, piece, &DataOptions::default());
        }
    }
    scenario.finish()
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn endless_headers() -> Capture {
    let mut bytes = b"GET / HTTP/1.1\r\n".to_vec();
    for n in 0..400_000 {
        bytes.extend(format!("X-{n}: abcdefghij\r\n").bytes());
    }
    whole(&[(Way::ToServer, bytes)], 80)
}

fn one_endless_line() -> Capture {
    whole(&[(Way::ToServer, [b"GET /".to_vec(), vec![b'a'; 8 << 20]].concat())], 80)
}

/// Stored blocks of gzip (RFC 1951 section 3.2.4, RFC 1952), as deep as this.
fn nested_gzip(inner: Vec<u8>, depth: usize) -> Vec<u8> {
    (0..depth).fold(inner, |content, _| {
        let mut out = b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec();
        let mut blocks = content.chunks(65_535).peekable();
        while let Some(block) = blocks.next() {
            out.push(u8::from(blocks.peek().is_none()));
            out.extend((block.len() as u16).to_le_bytes());
            out.extend((!(block.len() as u16)).to_le_bytes());
            out.extend(block);
        }
        out.extend([0; 8]);
        out
    })
}

fn nested_encodings() -> Capture {
    let body = nested_gzip(vec![b'x'; 200_000], 30);
    let codings = vec!["gzip"; 30].join(", ");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: {codings}\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut parts = Vec::new();
    for _ in 0..20 {
        parts.push((Way::ToServer, REQUEST.to_vec()));
        parts.push((Way::ToClient, [head.as_bytes(), &body].concat()));
    }
    whole(&parts, 80)
}

/// Deflate of zeros: matches of 258 bytes at distance 1, 13 bits each (RFC 1951 section 3.2.6).
fn bomb(matches: usize) -> Vec<u8> {
    let mut bits: Vec<bool> = vec![true, true, false];
    let put = |bits: &mut Vec<bool>, code: u16, length: u32| {
        bits.extend((0..length).rev().map(|n| code >> n & 1 != 0));
    };
    put(&mut bits, 0x30, 8);
    for _ in 0..matches {
        put(&mut bits, 0b1100_0101, 8);
        put(&mut bits, 0, 5);
    }
    put(&mut bits, 0, 7);
    bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |sum, (n, bit)| sum | u8::from(*bit) << n)).collect()
}

fn decompression_bombs() -> Capture {
    let body = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03".to_vec(), bomb(400_000), vec![0; 8]].concat();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut parts = Vec::new();
    for _ in 0..8 {
        parts.push((Way::ToServer, REQUEST.to_vec()));
        parts.push((Way::ToClient, [head.as_bytes(), &body].concat()));
    }
    whole(&parts, 80)
}

/// Names that are pointers to pointers (RFC 1035 section 4.1.4), in messages as long as TCP allows.
fn dns_pointers() -> Capture {
    let mut message = b"\x12\x34\x81\x80\xff\xff\xff\xff\xff\xff\xff\xff".to_vec();
    message.extend(b"\x01a\xc0\x0c");
    while message.len() + 2 <= 65_535 {
        let before = (message.len() - 2).min(0x3fff) as u16 & !1;
        message.extend((0xc000 | before).to_be_bytes());
    }
    let framed = [(message.len() as u16).to_be_bytes().to_vec(), message].concat();
    let mut parts = Vec::new();
    for _ in 0..20 {
        parts.push((Way::ToServer, framed.clone()));
        parts.push((Way::ToClient, framed.clone()));
    }
    whole(&parts, 53)
}

fn half_open() -> Capture {
    let mut scenario = Scenario::new();
    scenario.set_step(1_000);
    for n in 0..100_000 {
        let flow = scenario.tcp((host(n), 1025), (host(0x00ff_ff00), 80), FlowOptions::default());
        scenario.syn(flow, Way::ToServer, 2, &SendOptions::default());
    }
    scenario.finish()
}

/// Each flow holds a segment back that would fill the gap.
fn gaps_in_many_flows() -> Capture {
    let mut scenario = Scenario::new();
    scenario.set_step(1_000);
    for n in 0..5_000 {
        let flow = talk(&mut scenario, n, 80);
        let lost = DataOptions { lose: vec![1], ..DataOptions::default() };
        scenario.send(flow, Way::ToServer, &[b'x'; 8 * 1460], &lost);
    }
    scenario.finish()
}

fn fragments_without_end() -> Capture {
    let mut scenario = Scenario::new();
    scenario.set_step(1_000);
    for n in 0..20_000 {
        let flow = scenario.udp((host(n), 1025), (host(0x00ff_ff00), 53), FlowOptions::default());
        scenario.send(flow, Way::ToServer, &[b'x'; 4000], &DataOptions::default());
    }
    let whole = scenario.finish();
    let mut capture = Capture::default();
    for mut frame in whole.frames {
        // The flag for more fragments (RFC 791), and a checksum that accounts for it (RFC 1624).
        frame.bytes[20] |= 0x20;
        let sum = u16::from_be_bytes([frame.bytes[24], frame.bytes[25]]);
        let sum = !(u32::from(!sum) + 0x2000);
        let sum = !((!sum & 0xffff) + (!sum >> 16));
        frame.bytes[24..26].copy_from_slice(&(sum as u16).to_be_bytes());
        capture.frames.push(frame);
    }
    capture
}

fn pipelined_requests() -> Capture {
    whole(&[(Way::ToServer, REQUEST.repeat(100_000))], 80)
}

fn streams_without_end() -> Capture {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    for stream in 0..100_000u32 {
        // HEADERS with a name and a value that enter the dynamic table.
        let field = [b"\x40\x14".to_vec(), format!("x-{stream:018}").into_bytes(), b"\x04abcd".to_vec()].concat();
        bytes.extend([0, 0, field.len() as u8, 1, 4]);
        bytes.extend((stream * 2 + 1).to_be_bytes());
        bytes.extend(field);
    }
    whole(&[(Way::ToServer, bytes)], 80)
}

fn handshake_without_end() -> Capture {
    let mut bytes = b"\x16\x03\x01\x40\x00\x0b\xff\xff\xff".to_vec();
    bytes.extend(vec![0x30; 0x4000 - 4]);
    for _ in 0..600 {
        bytes.extend(b"\x16\x03\x01\x40\x00");
        bytes.extend(vec![0x30; 0x4000]);
    }
    whole(&[(Way::ToServer, b"\x16\x03\x01\x00\x04\x01\x00\x00\x00".to_vec()), (Way::ToClient, bytes)], 443)
}

fn nested_mail() -> Capture {
    let mut mail = Vec::new();
    for n in 0..20_000 {
        let outer = n;
        mail.extend(format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{outer}\r\n").bytes());
    }
    mail.extend(b"Content-Disposition: attachment; filename=x\r\n\r\n");
    mail.extend(vec![b'y'; 4 << 20]);
    whole(
        &[
            (Way::ToClient, b"220 hi\r\n".to_vec()),
            (Way::ToServer, b"EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n".to_vec()),
            (Way::ToClient, b"250 a\r\n250 b\r\n250 c\r\n354 go\r\n".to_vec()),
            (Way::ToServer, mail),
        ],
        25,
    )
}

/// Name, traffic, and the most MiB that it may take.
const CASES: [(&str, fn() -> Capture, usize); 13] = [
    ("endless headers", endless_headers, 4),
    ("one endless line", one_endless_line, 4),
    ("30 encodings, one in another", nested_encodings, 4),
    ("decompression bombs", decompression_bombs, 4),
    ("65 536 pointers of DNS", dns_pointers, 8),
    ("100 000 half-open flows", half_open, 160),
    ("gaps in 5 000 flows", gaps_in_many_flows, 120),
    ("20 000 datagrams without end", fragments_without_end, 80),
    ("100 000 requests without answer", pipelined_requests, 8),
    ("100 000 streams without end", streams_without_end, 8),
    ("a handshake without end", handshake_without_end, 4),
    ("20 000 multiparts, one in another", nested_mail, 8),
    ("nothing", Capture::default, 1),
];

struct Set {
    config: Config,
    loaded: Loaded,
    tables: Tables,
}

fn run(set: &Set, source: &mut Source, behind: bool, sink: &mut dyn EventSink) {
    let stop = AtomicBool::new(false);
    let mut tick = |_| {};
    let mut control = RunControl::new(&stop, &mut tick);
    let Set { config, loaded, tables } = set;
    let result = if behind {
        device::Behind { loaded, tables, config, validate: false }.run(source, sink, &mut control).map(|_| ())
    } else {
        pipeline::run_full(loaded, config, false, source, sink, &mut control).map(|_| ())
    };
    result.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn memory_stays_within_bounds() {
    let mut config = Config::default();
    for key in ["vars.HOME_NET=any", "device.history-size=16MiB", "device.flow-entries=65536"] {
        config.set_argument(key).unwrap();
    }
    let source = [RuleSource::from_text("hostile.rules", RULES)];
    let ruleset = weir::ruleset::load_sources(&source, None, &config).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(ruleset.rejected.is_empty(), "{:?}", ruleset.rejected);
    let loaded = pipeline::compile(ruleset, &config, Instant::now());
    let tables = device::tables(&loaded).unwrap_or_else(|failure| panic!("{failure}"));
    let set = Set { config, loaded, tables };
    let mut complaints = Vec::new();
    let mut resting = [0; 2];
    for (name, make, most) in CASES.iter().rev() {
        let capture = make();
        for behind in [false, true] {
            let (mut source, mut alerts) = (Source::memory(capture.clone()), AlertCollector::default());
            let before = allocation::current();
            allocation::reset_peak();
            let start = Instant::now();
            run(&set, &mut source, behind, &mut alerts);
            let mut peak = (allocation::peak() - before) >> 10;
            // An idle engine, and a device with its rings: what "nothing" takes.
            let idle = &mut resting[usize::from(behind)];
            if *idle == 0 {
                *idle = peak;
            }
            peak -= (*idle).min(peak);
            let where_ = if behind { "behind the device" } else { "full engine" };
            println!("{name:36} {where_:18} {:8} frames {peak:8} KiB {:6.2} s", capture.frames.len(), start.elapsed().as_secs_f64());
            if peak > most << 10 {
                complaints.push(format!("{name}, {where_}: {peak} KiB, at most {most} MiB"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
