//! Run the engine over captures, for speed and for agreement with an oracle.
//!
//! `replay time RULES CAPTURE…`: megabytes and packets per second, with the rules and with none.
//! `replay compare RULES ORACLE.jsonl DIRECTORY [PART-OF-NAME]`: differences to the oracle's alerts by signature.
//! `replay alerts RULES CAPTURE…`: alerts by signature.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_capture::CaptureReader;
use weir_detect::{CompileOptions, Program};
use weir_engine::{Engine, EngineConfig};
use weir_output::{AlertRecord, EventSink};
use weir_packet::Frame;
use weir_rules::{LoadOptions, RuleSource, VariableTable};

#[derive(Default)]
struct Count(BTreeMap<u32, u64>);

impl EventSink for Count {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        *self.0.entry(record.rule.identity.sid).or_default() += 1;
    }
}

struct Stored {
    number: u64,
    time: weir_packet::Time,
    link: u16,
    data: Vec<u8>,
    wire_length: u32,
}

fn read(path: &str) -> Vec<Stored> {
    let mut frames = vec![];
    let Ok(mut reader) = CaptureReader::open(path) else { return frames };
    while let Ok(Some(f)) = reader.next_frame() {
        let Frame { number, time, link, data, wire_length } = f;
        frames.push(Stored { number, time, link, data: data.to_vec(), wire_length });
    }
    frames
}

fn run(program: &Arc<Program>, frames: &[Stored]) -> (Count, Duration, Engine) {
    // Captures of hosts that leave checksums to the card; the oracle ignores them too.
    let mut config = EngineConfig::default();
    config.decoder.checksums = weir_packet::Checksums::Ignore;
    let mut engine = Engine::new(config, Arc::clone(program)).expect("engine");
    let mut sink = Count::default();
    let begin = Instant::now();
    let mut last = 0;
    for f in frames {
        let frame =
            Frame { number: f.number, time: f.time, link: f.link, data: &f.data, wire_length: f.wire_length };
        engine.frame(&frame, &mut sink);
        last = last.max(f.time.0);
    }
    engine.finish(last, &mut sink);
    (sink, begin.elapsed(), engine)
}

fn compile(path: &str) -> Arc<Program> {
    let sources = RuleSource::from_paths(&[path]).expect("rules");
    let set = weir_rules::load(&sources, &VariableTable::any(), &LoadOptions::default());
    let loaded = set.rules.len();
    let begin = Instant::now();
    let (program, errors) = Program::compile(set.rules, CompileOptions::default());
    eprintln!("{loaded} of {} rules, {} compiled in {:?}, {} left out", set.total, program.len(), begin.elapsed(), errors.len());
    Arc::new(program)
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [mode, rules, rest @ ..] = &arguments[..] else {
        eprintln!("usage: replay time|compare|alerts RULES …");
        return;
    };
    let program = compile(rules);
    match mode.as_str() {
        "time" => time(&program, rest),
        "compare" => compare(&program, rest),
        _ => {
            for path in rest {
                println!("{path}: {:?}", run(&program, &read(path)).0.0);
            }
        }
    }
}

fn time(program: &Arc<Program>, paths: &[String]) {
    let none = Arc::new(Program::compile(vec![], CompileOptions::default()).0);
    let mut frames = vec![];
    for path in paths {
        frames.extend(read(path));
    }
    for (i, f) in frames.iter_mut().enumerate() {
        f.number = i as u64 + 1;
    }
    let bytes: usize = frames.iter().map(|f| f.data.len()).sum();
    println!("{} frames, {bytes} bytes", frames.len());
    for (name, program) in [("no rules", &none), ("all rules", program), ("all rules", program)] {
        let (count, elapsed, engine) = run(program, &frames);
        let s = elapsed.as_secs_f64();
        let alerts: u64 = count.0.values().sum();
        println!(
            "{name}: {s:.3} s, {:.1} MB/s = {:.2} Gbit/s, {:.0} packets/s, {alerts} alerts",
            bytes as f64 / s / 1e6,
            bytes as f64 * 8.0 / s / 1e9,
            frames.len() as f64 / s,
        );
        println!("  {:?}", engine.detection());
    }
}

fn compare(program: &Arc<Program>, rest: &[String]) {
    let [oracle, directory, filter @ ..] = rest else { return };
    let text = std::fs::read_to_string(oracle).expect("oracle");
    let known: std::collections::HashSet<u32> = program.sources().iter().map(|r| r.identity.sid).collect();
    let (mut same, mut missed, mut extra, mut fewer, mut more) = (0u64, 0u64, 0u64, 0u64, 0u64);
    let mut by_sid: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let name = value["pcap"].as_str().unwrap_or("");
        if !filter.iter().all(|f| name.contains(f.as_str())) {
            continue;
        }
        let mut expected: BTreeMap<u32, u64> = BTreeMap::new();
        for alert in value["alerts"].as_array().into_iter().flatten() {
            let sid = alert[0].as_u64().unwrap_or(0) as u32;
            if known.contains(&sid) {
                *expected.entry(sid).or_default() += alert[1].as_u64().unwrap_or(0);
            }
        }
        let (got, _, _) = run(program, &read(&format!("{directory}/{name}")));
        let sids: std::collections::BTreeSet<u32> = expected.keys().chain(got.0.keys()).copied().collect();
        for sid in sids {
            let (e, g) = (expected.get(&sid).copied().unwrap_or(0), got.0.get(&sid).copied().unwrap_or(0));
            match (e, g) {
                _ if e == g => same += 1,
                (_, 0) => missed += 1,
                (0, _) => extra += 1,
                _ if g < e => fewer += 1,
                _ => more += 1,
            }
            if e != g {
                println!("{name}: {sid} expected {e} got {g}");
                let entry = by_sid.entry(sid).or_default();
                if g < e { entry.0 += 1 } else { entry.1 += 1 }
            }
        }
    }
    println!("same {same}, missed {missed}, extra {extra}, fewer {fewer}, more {more}");
    let mut worst: Vec<_> = by_sid.into_iter().collect();
    worst.sort_by_key(|(_, (a, b))| std::cmp::Reverse(a + b));
    for (sid, (low, high)) in worst.into_iter().take(60) {
        println!("  {sid}: too few in {low}, too many in {high} captures");
    }
}
