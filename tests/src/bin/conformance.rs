//! Compares the full engine's alerts with those a real Suricata raised on the same captures.
//!
//! Usage: `conformance [--events] [--only TEXT] [--limit N]`. Data is read from `WEIR_SHARED` or `../shared`. A pair is
//! (flow, signature): ends sorted, ports and protocol as the oracle has them.

use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use weir_capture::CaptureReader;
use weir_detect::{CompileOptions, Program};
use weir_engine::{Engine, EngineConfig};
use weir_output::{AlertCollector, Endpoints};
use weir_packet::Checksums;
use weir_rules::{LoadOptions, RuleSource, VariableTable};

type Pair = (u32, String);

fn main() -> Result<()> {
    let mut events = false;
    let mut only = String::new();
    let mut limit = usize::MAX;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--events" => events = true,
            "--only" => only = arguments.next().context("--only needs a text")?,
            "--limit" => limit = arguments.next().context("--limit needs a number")?.parse()?,
            other => bail!("unknown argument {other}; usage: conformance [--events] [--only TEXT] [--limit N]"),
        }
    }
    let shared = std::env::var_os("WEIR_SHARED").map_or_else(|| PathBuf::from("../shared"), PathBuf::from);
    let data = shared.join("data");
    if !data.is_dir() {
        println!("SKIPPED: no test data at {}", data.display());
        return Ok(());
    }
    let started = Instant::now();
    let program = program(&data, events)?;
    println!("load: {:.2} s", started.elapsed().as_secs_f64());
    let oracle = if events { "oracle/events.jsonl" } else { "oracle/et-open.jsonl" };
    let text = std::fs::read_to_string(data.join(oracle)).with_context(|| format!("reading {oracle}"))?;
    let mut missed: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut extra: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let (mut expected, mut found, mut surplus, mut frames, mut bytes) = (0usize, 0usize, 0usize, 0u64, 0u64);
    let running = Instant::now();
    for line in text.lines().filter(|l| l.contains(&only)).take(limit) {
        let case: serde_json::Value = serde_json::from_str(line)?;
        let name = case["pcap"].as_str().context("oracle line without pcap")?;
        let theirs: BTreeSet<Pair> = case["alerts"].as_array().into_iter().flatten().filter_map(oracle_pair).collect();
        let one = Instant::now();
        let (ours, n, b) = run(&program, &data.join("pcaps").join(name))?;
        let took = one.elapsed().as_secs_f64();
        if took > 2.0 {
            println!("slow: {name}: {took:.1} s for {n} frames, {b} bytes");
        }
        frames += n;
        bytes += b;
        expected += theirs.len();
        for pair in &theirs {
            if ours.contains(pair) {
                found += 1;
            } else {
                missed.entry(pair.0).or_default().push(format!("{name} {}", pair.1));
            }
        }
        for pair in ours.difference(&theirs) {
            surplus += 1;
            extra.entry(pair.0).or_default().push(format!("{name} {}", pair.1));
        }
    }
    let seconds = running.elapsed().as_secs_f64();
    for (title, list) in [("missed", &missed), ("extra", &extra)] {
        println!("\n{title}:");
        let mut rows: Vec<_> = list.iter().collect();
        rows.sort_by_key(|(_, cases)| std::cmp::Reverse(cases.len()));
        for (sid, cases) in rows.iter().take(60) {
            println!("  {sid} {:4}  {}", cases.len(), cases.first().map_or("", String::as_str));
        }
    }
    let share = |n: usize| 100.0 * n as f64 / expected.max(1) as f64;
    println!(
        "\npairs {expected}, found {found} ({:.1} %), extra {surplus} ({:.1} %); {frames} frames, {bytes} bytes, {seconds:.1} s",
        share(found),
        share(surplus)
    );
    Ok(())
}

fn program(data: &Path, events: bool) -> Result<Arc<Program>> {
    let folder = data.join("rules").join(if events { "suricata-events/rules" } else { "et-open" });
    let sources = RuleSource::from_paths(&[folder])?;
    let mut variables = VariableTable::default();
    variables.set("HOME_NET", "any");
    variables.set("EXTERNAL_NET", "any");
    let mut options = LoadOptions::default();
    options.configuration_from(&data.join("rules"))?;
    let rules = weir_rules::load(&sources, &variables, &options);
    println!("rules: {} loaded, {} rejected, {} disabled", rules.rules.len(), rules.rejected.len(), rules.disabled);
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for diagnostic in &rules.rejected {
        *causes.entry(format!("{:?}", diagnostic.cause)).or_default() += 1;
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    for (cause, n) in causes.iter().take(15) {
        println!("  rejected {n:5}  {cause}");
    }
    let (program, errors) = Program::compile(rules.rules, CompileOptions::default());
    println!("compile: {} rules left out", errors.len());
    for error in errors.iter().take(10) {
        println!("  {error:?}");
    }
    Ok(Arc::new(program))
}

fn run(program: &Arc<Program>, path: &Path) -> Result<(BTreeSet<Pair>, u64, u64)> {
    let mut config = EngineConfig::default();
    config.decoder.checksums = Checksums::Ignore;
    let mut engine = Engine::new(config, Arc::clone(program)).context("no memory for the engine")?;
    let mut sink = AlertCollector::default();
    let mut last = 0;
    match CaptureReader::open(path) {
        Ok(mut reader) => loop {
            match reader.next_frame() {
                Ok(Some(mut frame)) => {
                    last = frame.time.0.max(last);
                    frame.time.0 = last;
                    engine.frame(&frame, &mut sink);
                }
                Ok(None) => break,
                Err(error) => {
                    println!("{}: {error}", path.display());
                    break;
                }
            }
        },
        Err(error) => println!("{error}"),
    }
    engine.finish(last, &mut sink);
    let counters = engine.counters();
    let pairs = sink
        .alerts
        .iter()
        .map(|a| (a.rule.sid, a.packet.as_ref().map_or_else(String::new, |ends| name(ends))))
        .collect();
    Ok((pairs, counters.frames, counters.bytes))
}

fn protocol_name(protocol: u8) -> String {
    match protocol {
        1 => "ICMP".into(),
        6 => "TCP".into(),
        17 => "UDP".into(),
        58 => "IPv6-ICMP".into(),
        other => other.to_string(),
    }
}

fn name(ends: &Endpoints) -> String {
    let ports = matches!(ends.protocol, 6 | 17 | 132);
    let side = |a: std::net::IpAddr, p: u16| (a.to_string(), if ports { p } else { 0 });
    let mut sides = [side(ends.source, ends.source_port), side(ends.destination, ends.destination_port)];
    sides.sort();
    format!("{}:{} {}:{} {}", sides[0].0, sides[0].1, sides[1].0, sides[1].1, protocol_name(ends.protocol))
}

fn oracle_pair(alert: &serde_json::Value) -> Option<Pair> {
    let sid = u32::try_from(alert[0].as_u64()?).ok()?;
    let protocol = alert[6].as_str().unwrap_or("");
    let ports = matches!(protocol, "TCP" | "UDP" | "SCTP");
    let side = |a: usize| {
        let address = alert[a].as_str().unwrap_or("");
        // The oracle writes IPv6 in full; ours is canonical.
        let address = address.parse::<std::net::IpAddr>().map_or_else(|_| address.to_owned(), |a| a.to_string());
        (address, if ports { alert[a + 1].as_u64().unwrap_or(0) as u16 } else { 0 })
    };
    let mut sides = [side(2), side(4)];
    sides.sort();
    let protocol = match protocol {
        "IPv6-Frag" => "44",
        "IPv6" => "41",
        other => other,
    };
    Some((sid, format!("{}:{} {}:{} {}", sides[0].0, sides[0].1, sides[1].0, sides[1].1, protocol)))
}
