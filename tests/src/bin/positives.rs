//! `positives`: fires rules with traffic synthesised from them, and compares both engines on what networks make of it.

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;
use weir::commands::audit;
use weir::{device, pipeline};
use weir_ir::Rule;
use weir_management::Config;
use weir_rules::plan::{Class, Options};
use weir_synth::Random;
use weir_tests::compare::command::exit;
use weir_tests::positives::conversation::{Conversation, Rules};
use weir_tests::positives::evasions;
use weir_tests::positives::report::Fired;
use weir_tests::positives::run::{self, Fate};
use weir_tests::positives::traffic;

/// Synthesise traffic that fires each rule, and compare the full engine with the one behind the simulated device on it.
///
/// First each rule is fired plainly: a conversation of its protocol in which its matches hold, made from its normalised
/// form. Then the conversations of rules that fired are sent again and again: cut, reordered, repeated, fragmented,
/// tunnelled, mingled, and some of them with one byte changed; every batch in another geometry of the device. What
/// differs is made small and reported with its seed.
#[derive(Debug, Parser)]
#[command(
    max_term_width = 110,
    after_help = "Exit status:\n  0  no difference, and the bars hold\n  1  a difference, or a bar that does not hold\n  2  wrong arguments\n  3  input that cannot be used"
)]
struct Arguments {
    /// Rule files or directories [default: data/rules/et-open below $WEIR_SHARED]
    #[arg(long, value_name = "PATH")]
    rules: Vec<PathBuf>,
    /// Setting of the configuration, as KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Where everything begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Only so many rules, chosen by the seed
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// Only these signatures
    #[arg(long, value_name = "SID")]
    sid: Vec<u32>,
    /// Attempts to fire a rule
    #[arg(long, default_value_t = 8)]
    rounds: usize,
    /// Packets to compare; 0: fire only
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    packets: u64,
    /// Alerts at which the comparison may end, together with --packets
    #[arg(long, value_name = "N", default_value_t = 0)]
    alerts: u64,
    /// Conversations in one batch
    #[arg(long, value_name = "N", default_value_t = 2000)]
    batch: usize,
    /// Compare with parts of the rules, so many at a time: behind narrow tables, of which each condition counts
    #[arg(long, value_name = "N", default_value_t = 0)]
    part: usize,
    /// Try each known way to hide on so many conversations
    #[arg(long, value_name = "N", default_value_t = 0)]
    evasions: usize,
    /// Leave conditions of a class (L, T, G, H, C) out of the tables: differences must then be found
    #[arg(long, value_name = "CLASS")]
    cripple: Option<String>,
    /// Fail when less than this share of the rules fires
    #[arg(long, value_name = "PERCENT")]
    min_fired: Option<f64>,
    /// Write the figures as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write captures: plain.pcap of the rules that fire, of each that does not, and of differences
    #[arg(long, value_name = "DIR")]
    captures: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> Result<ExitCode> {
    let start = Instant::now();
    let mut config = Config::default();
    for key in ["vars.HOME_NET=any", "vars.EXTERNAL_NET=any", "capture.checksums=validate"]
        .iter()
        .copied()
        .chain(arguments.set.iter().map(String::as_str))
    {
        config.set_argument(key).map_err(|e| anyhow::anyhow!("{key}: {e}"))?;
    }
    let paths = if arguments.rules.is_empty() {
        let Some(data) = weir_tests::shared_data("positives") else { return Ok(ExitCode::SUCCESS) };
        vec![data.join("rules/et-open")]
    } else {
        arguments.rules.clone()
    };
    if let Some(directory) = &arguments.captures {
        std::fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
    }
    let loaded = pipeline::load(&paths, &config).map_err(|f| f.error)?;
    let rules: Vec<Rule> = loaded.program.sources().to_vec();
    let chosen = chosen(&rules, arguments);
    eprintln!("{} rules loaded, {} chosen, {:.0} s", rules.len(), chosen.len(), start.elapsed().as_secs_f64());
    let fates = {
        // Rules without alerts tell nothing: here each does.
        let mut set = weir::ruleset::load_rules(&paths, &config, None).map_err(|f| f.error)?;
        set.rules = run::audible(&rules);
        let audible = pipeline::compile(set, &config, Instant::now());
        run::fire(&rules, &chosen, &audible, &config, arguments.seed, arguments.rounds, &mut |round, done| {
            eprintln!("round {round}: {done} of {} rules fired, {:.0} s", chosen.len(), start.elapsed().as_secs_f64());
        })?
    };
    if let Some(directory) = &arguments.captures {
        let mut plain = Vec::new();
        let mut time = 1_700_000_000_000_000_000;
        for (n, fate) in &fates {
            let style = traffic::Style::default();
            match fate {
                Fate::Fired(conversation) => {
                    plain.extend(traffic::frames(conversation, &style, time, 1000));
                    time = plain.last().map_or(time, |frame: &weir_synth::SynthFrame| frame.time) + 1000;
                }
                Fate::Silent(conversation) => {
                    let capture = traffic::capture(traffic::frames(conversation, &style, time, 1000));
                    std::fs::write(
                        directory.join(format!("silent-{}.pcap", rules[*n].identity.sid)),
                        capture.to_pcap(),
                    )?;
                }
                Fate::Unsolved(_) => {}
            }
        }
        std::fs::write(directory.join("plain.pcap"), traffic::capture(plain).to_pcap())?;
    }
    let fired = Fired::new(&rules, &fates);
    fired.print();
    let compared = if arguments.packets > 0 || arguments.evasions > 0 {
        Some(compare(arguments, &loaded, &config, &rules, &fates, start)?)
    } else {
        None
    };
    if let Some(path) = &arguments.json {
        let all = json!({
            "seed": arguments.seed,
            "fired": fired.json(),
            "share": fired.share(),
            "compared": compared.as_ref().map(|c| json!({
                "packets": c.packets, "alerts": c.alerts, "rules": c.rules, "batches": c.batches,
                "host_packets": c.host_packets, "causes": c.causes, "differences": c.differences,
                "evasions": c.evasions.iter().map(|e| json!({
                    "name": e.name, "conversations": e.applied, "detected": e.detected, "twins": e.twins,
                    "differences": e.differences,
                })).collect::<Vec<_>>(),
            })),
            "seconds": start.elapsed().as_secs_f64(),
        });
        std::fs::write(path, format!("{all:#}\n")).with_context(|| format!("writing {}", path.display()))?;
    }
    let mut good = true;
    if let Some(least) = arguments.min_fired.filter(|least| fired.share() < *least) {
        println!("FAILED: {:.2} % of the rules fired (bar {least} %)", fired.share());
        good = false;
    }
    if let Some(c) = &compared {
        println!(
            "{} packets in {} batches, {} alerts of {} rules, {} differences; host saw {:.1} % of the packets; {:.0} s",
            c.packets,
            c.batches,
            c.alerts,
            c.rules,
            c.differences.len(),
            100.0 * c.host_packets as f64 / c.packets.max(1) as f64,
            start.elapsed().as_secs_f64()
        );
        let mut causes: Vec<_> = c.causes.iter().collect();
        causes.sort_by_key(|(_, n)| std::cmp::Reverse(**n));
        let causes: Vec<String> = causes.iter().take(12).map(|(name, n)| format!("{name} {n}")).collect();
        println!("frames of the host by cause: {}", causes.join(", "));
        good &= c.differences.is_empty();
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn chosen(rules: &[Rule], arguments: &Arguments) -> Vec<usize> {
    let mut all: Vec<usize> = (0..rules.len())
        .filter(|n| arguments.sid.is_empty() || arguments.sid.contains(&rules[*n].identity.sid))
        .collect();
    if let Some(sample) = arguments.sample {
        Random::new(arguments.seed).shuffle(&mut all);
        all.truncate(sample);
    }
    all
}

struct Compared {
    packets: u64,
    alerts: u64,
    rules: usize,
    batches: u64,
    host_packets: u64,
    causes: std::collections::BTreeMap<String, u64>,
    differences: Vec<serde_json::Value>,
    evasions: Vec<run::Evaded>,
}

/// The table of ways to hide.
fn evasions(
    arguments: &Arguments,
    loaded: &pipeline::Loaded,
    tables: &device::Tables,
    config: &Config,
    (rules, fired): (&[Rule], &[(usize, &Conversation)]),
    c: &mut Compared,
) -> Result<()> {
    println!("| way to hide | conversations | detected | benign twins that alert | differences behind the device |");
    println!("|---|---|---|---|---|");
    for way in 0..evasions::count() {
        let e = run::evade(loaded, tables, config, rules, fired, way, (arguments.evasions, arguments.seed))?;
        println!("| {} | {} | {} | {} | {} |", e.name, e.applied, e.detected, e.twins, e.differences);
        if e.differences > 0 {
            c.differences.push(json!({"evasion": e.name, "differences": e.differences}));
        }
        c.evasions.push(e);
    }
    Ok(())
}

/// Some of the rules, and tables that look for nothing else.
fn narrow(
    arguments: &Arguments,
    config: &Config,
    options: &Options,
    rules: &[Rule],
    fired: &[(usize, &Conversation)],
) -> Result<(pipeline::Loaded, device::Tables)> {
    let chosen: Vec<usize> = fired.iter().take(arguments.part).map(|(n, _)| *n).collect();
    let text = Rules::new(rules).text_with_setters(&chosen);
    let loaded = run::load_text(&text, config)?;
    let tables = device::tables_with(&loaded, options).map_err(|f| f.error)?;
    Ok((loaded, tables))
}

/// Differences after which a run ends: one cause often shows in many places.
const DIFFERENCES_MAX: usize = 8;

fn compare(
    arguments: &Arguments,
    loaded: &pipeline::Loaded,
    config: &Config,
    rules: &[Rule],
    fates: &std::collections::BTreeMap<usize, Fate>,
    start: Instant,
) -> Result<Compared> {
    let omit_classes: Vec<Class> =
        Class::ALL.into_iter().filter(|c| arguments.cripple.as_deref() == Some(&c.letter().to_string())).collect();
    let options = Options { omit_classes, ..Options::default() };
    let tables = device::tables_with(loaded, &options).map_err(|f| f.error)?;
    eprintln!("tables made, {:.0} s", start.elapsed().as_secs_f64());
    let mut fired: Vec<(usize, &Conversation)> = fates
        .iter()
        .filter_map(|(n, fate)| if let Fate::Fired(conversation) = fate { Some((*n, &**conversation)) } else { None })
        .collect();
    let mut c = Compared {
        packets: 0,
        alerts: 0,
        rules: 0,
        batches: 0,
        host_packets: 0,
        causes: Default::default(),
        differences: Vec::new(),
        evasions: Vec::new(),
    };
    if fired.is_empty() {
        return Ok(c);
    }
    if arguments.evasions > 0 {
        Random::new(arguments.seed).shuffle(&mut fired);
        evasions(arguments, loaded, &tables, config, (rules, &fired), &mut c)?;
    }
    if arguments.packets == 0 {
        return Ok(c);
    }
    let mut heard = BTreeSet::new();
    'all: loop {
        Random::new(arguments.seed ^ c.batches).shuffle(&mut fired);
        let narrow = if arguments.part > 0 { Some(narrow(arguments, config, &options, rules, &fired)?) } else { None };
        let (loaded, tables) = narrow.as_ref().map_or((loaded, &tables), |(loaded, tables)| (loaded, tables));
        let parts: Vec<Vec<(usize, &Conversation)>> = if arguments.part > 0 {
            // Those of the rules loaded, often; and as many of others, which the device should let pass.
            let own = &fired[..arguments.part.min(fired.len())];
            let others = &fired[own.len()..(2 * own.len()).min(fired.len())];
            let mixed: Vec<_> = own.iter().chain(own).chain(own).chain(others).copied().collect();
            (0..2).map(|_| mixed.clone()).collect()
        } else {
            fired.chunks(arguments.batch.max(1)).map(<[_]>::to_vec).collect()
        };
        for part in &parts {
            let seed = arguments.seed.wrapping_mul(1_000_003) ^ c.batches;
            let geometry = run::GEOMETRIES[c.batches as usize % run::GEOMETRIES.len()];
            let mut config = config.clone();
            for key in geometry {
                config.set_argument(key).map_err(|e| anyhow::anyhow!("{key}: {e}"))?;
            }
            let sent = run::batch(part, seed);
            let said = run::compare(loaded, tables, &config, &sent)?;
            c.packets += said.frames as u64;
            c.alerts += said.alerts as u64;
            c.host_packets += said.host_packets;
            said.causes.iter().for_each(|(name, n)| *c.causes.entry(name.clone()).or_default() += n);
            heard.extend(said.rules);
            if !said.missed.is_empty() || !said.extra.is_empty() {
                println!(
                    "DIFFERENCE in batch {} ({geometry:?}): {} missed, {} extra; made smaller …",
                    c.batches,
                    said.missed.len(),
                    said.extra.len()
                );
                let (small, said) = run::minimise(loaded, tables, &config, &sent)?;
                let name = format!("difference-{}-{}.pcap", arguments.seed, c.batches);
                for (what, list) in [("missed", &said.missed), ("extra", &said.extra)] {
                    list.iter().for_each(|alert| println!("  {what} {}", audit::text(alert)));
                }
                let sids: Vec<u32> = small.iter().filter_map(|s| Some(rules.get(s.rule?)?.identity.sid)).collect();
                println!("  {} frames of conversations of {sids:?}", said.frames);
                if let Some(directory) = &arguments.captures {
                    let frames = small.iter().flat_map(|s| s.frames.iter().cloned()).collect();
                    std::fs::write(directory.join(&name), traffic::capture(frames).to_pcap())?;
                    println!("  written to {name}");
                }
                c.differences.push(json!({
                    "batch": c.batches, "seed": seed, "geometry": geometry, "conversations": sids,
                    "missed": said.missed.iter().map(audit::text).collect::<Vec<_>>(),
                    "extra": said.extra.iter().map(audit::text).collect::<Vec<_>>(),
                }));
            }
            c.batches += 1;
            eprintln!(
                "batch {}: {} packets, {} alerts of {} rules, {} differences, {:.0} s",
                c.batches,
                c.packets,
                c.alerts,
                heard.len(),
                c.differences.len(),
                start.elapsed().as_secs_f64()
            );
            let enough = c.packets >= arguments.packets && c.alerts >= arguments.alerts;
            if enough || c.differences.len() >= DIFFERENCES_MAX {
                break 'all;
            }
        }
    }
    c.rules = heard.len();
    Ok(c)
}
