//! Compares the full engine's alerts with those that a real Suricata raised on the same captures (`docs/conformance.md`).

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;
use weir_tests::compare::suricata::{Answer, Suricata};
use weir_tests::compare::tally::Tally;
use weir_tests::compare::{Pairs, command, engine, oracle_line};

/// Compare the alerts of Weir's full engine with recorded alerts of Suricata, as (flow, signature) pairs.
///
/// The recording was made by processes that read many captures, so thresholds reached in one capture silence alerts in
/// the next. With --suricata every capture on which the two differ is judged again: Suricata reads it in a process of
/// its own with the signatures in question, and that answer counts.
#[derive(Parser, Debug)]
#[command(name = "conformance", after_help = command::EXIT_HELP)]
struct Options {
    /// Compare the event rules (decoder, stream, application layer) instead of ET Open
    #[arg(long)]
    events: bool,
    /// Only every so manieth capture
    #[arg(long, value_name = "N", default_value_t = 1)]
    every: usize,
    #[command(flatten)]
    common: command::Common,
}

/// A capture's pairs on both sides.
struct Case {
    name: String,
    theirs: Pairs,
    ours: Pairs,
}

impl Case {
    fn differing(&self) -> BTreeSet<u32> {
        self.theirs.symmetric_difference(&self.ours).map(|pair| pair.0).collect()
    }
}

fn main() -> ExitCode {
    command::exit(run(&Options::parse()))
}

fn run(options: &Options) -> Result<ExitCode> {
    let common = &options.common;
    let Some(data) = weir_tests::shared_data("conformance") else { return Ok(ExitCode::SUCCESS) };
    let started = Instant::now();
    let folder = data.join("rules").join(if options.events { "suricata-events/rules" } else { "et-open" });
    let rules = engine::load(&[folder], &data.join("rules"))?;
    rules.notes.iter().for_each(|note| println!("{note}"));
    println!("load: {:.2} s", started.elapsed().as_secs_f64());
    let oracle = data.join(if options.events { "oracle/events.jsonl" } else { "oracle/et-open.jsonl" });
    let text = std::fs::read_to_string(&oracle).with_context(|| format!("reading {}", oracle.display()))?;
    let lines: Vec<&str> =
        text.lines().filter(|line| line.contains(&common.only)).step_by(options.every.max(1)).take(common.limit.unwrap_or(usize::MAX)).collect();
    let running = Instant::now();
    let (mut frames, mut bytes) = (0, 0);
    let mut cases = vec![];
    // One after the other: captures that take long show.
    for outcome in command::each("captures", &lines, 1, |_, line| -> Result<(Case, engine::Outcome)> {
        let (name, theirs) = oracle_line(line)?;
        let one = Instant::now();
        let mut outcome = engine::run(&rules, &data.join("pcaps").join(&name))?;
        let took = one.elapsed().as_secs_f64();
        if took > 2.0 {
            println!("slow: {name}: {took:.1} s for {} frames, {} bytes", outcome.frames, outcome.bytes);
        }
        if let Some(trouble) = &outcome.trouble {
            println!("{name}: {trouble}");
        }
        let ours = std::mem::take(&mut outcome.pairs).into_keys().collect();
        Ok((Case { name, theirs, ours }, outcome))
    }) {
        let (case, outcome) = outcome?;
        frames += outcome.frames;
        bytes += outcome.bytes;
        cases.push(case);
    }
    println!("{frames} frames, {bytes} bytes, {:.1} s", running.elapsed().as_secs_f64());

    let mut recorded = Tally::default();
    cases.iter().for_each(|case| recorded.add(&case.name, &case.theirs, &case.ours));
    let message = |sid: u32| rules.message(sid).to_owned();
    let Some(suricata) = common.suricata(&data)? else {
        recorded.print(common.rows, message);
        println!("recording: {}", recorded.summary());
        return common.conclude(&recorded, &json!({"recording": recorded.json()}));
    };
    let (judged, classes) = judge(&suricata, &data, &rules, cases, common.jobs)?;
    judged.print(common.rows, message);
    for (class, tally) in classes.iter().filter(|_| options.events) {
        println!("{class:12} {}", tally.summary());
    }
    if !judged.unreadable.is_empty() {
        println!("not read by Suricata: {}", judged.unreadable.join(", "));
    }
    println!("recording: {}", recorded.summary());
    println!("judged:    {}", judged.summary());
    common.conclude(
        &judged,
        &json!({
            "suricata": suricata.version,
            "recording": recorded.json(),
            "judged": judged.json(),
            "classes": classes.iter().map(|(class, tally)| (*class, tally.json())).collect::<BTreeMap<_, _>>(),
        }),
    )
}

/// Class of an event rule, by the thousands of its signature.
fn class(sid: u32) -> &'static str {
    match sid / 1000 {
        2200 => "decoder",
        2210 => "stream",
        2221 => "http",
        2230 => "tls",
        2240 | 224 => "dns",
        2260 => "app-layer",
        _ => "others",
    }
}

/// Ask Suricata again where the two differ. Signatures that this Suricata does not accept count nowhere.
fn judge(
    suricata: &Suricata,
    data: &Path,
    rules: &engine::Rules,
    mut cases: Vec<Case>,
    jobs: usize,
) -> Result<(Tally, BTreeMap<&'static str, Tally>)> {
    let file = std::env::temp_dir().join(format!("weir-judge-{}.rules", std::process::id()));
    let differing: BTreeSet<u32> = cases.iter().flat_map(Case::differing).collect();
    std::fs::write(&file, rules.text_with_setters(&differing))?;
    let rejected = suricata.rejected(&file)?;
    std::fs::remove_file(&file)?;
    if !rejected.is_empty() {
        println!("rejected by Suricata, not compared: {rejected:?}");
    }
    for case in &mut cases {
        case.theirs.retain(|pair| !rejected.contains(&pair.0));
        case.ours.retain(|pair| !rejected.contains(&pair.0));
    }
    let answers = command::each("judging", &cases, jobs, |at, case| -> Result<Option<Answer>> {
        // Signatures that Weir did not load cannot be asked for: the recording stands.
        let differing: BTreeSet<u32> = case.differing().intersection(&rules.loaded).copied().collect();
        if differing.is_empty() {
            return Ok(None);
        }
        let file = std::env::temp_dir().join(format!("weir-judge-{}-{at}.rules", std::process::id()));
        std::fs::write(&file, rules.text_with_setters(&differing))?;
        let answer = suricata.run(&format!("judge-{at}"), &file, &data.join("pcaps").join(&case.name));
        std::fs::remove_file(&file)?;
        answer.map(Some)
    });
    let mut tally = Tally::default();
    let mut classes: BTreeMap<&'static str, Tally> = BTreeMap::new();
    for (case, answer) in cases.iter().zip(answers) {
        let theirs = match answer? {
            None => case.theirs.clone(),
            Some(Answer::Unreadable(_)) => {
                tally.unreadable.push(case.name.clone());
                continue;
            }
            Some(Answer::Pairs(pairs)) => {
                let differing = case.differing();
                let asked: BTreeSet<u32> = differing.intersection(&rules.loaded).copied().collect();
                let settled = case.theirs.iter().filter(|pair| !asked.contains(&pair.0)).cloned();
                settled.chain(pairs.into_keys().filter(|pair| asked.contains(&pair.0))).collect()
            }
        };
        tally.add(&case.name, &theirs, &case.ours);
        let of = |class_name: &str, pairs: &Pairs| -> Pairs {
            pairs.iter().filter(|pair| class(pair.0) == class_name).cloned().collect()
        };
        let present: BTreeSet<&'static str> = theirs.iter().chain(&case.ours).map(|pair| class(pair.0)).collect();
        for name in present {
            classes.entry(name).or_default().add(&case.name, &of(name, &theirs), &of(name, &case.ours));
        }
    }
    Ok((tally, classes))
}
