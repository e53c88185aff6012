//! Compares the full engine's alerts with those that a real Suricata raised on the same captures (`docs/conformance.md`).

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::json;
use std::collections::BTreeSet;
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
        text.lines().filter(|line| line.contains(&common.only)).take(common.limit.unwrap_or(usize::MAX)).collect();
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
        let ours = std::mem::take(&mut outcome.pairs);
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
    let judged = judge(&suricata, &data, &rules, &cases, common.jobs)?;
    judged.print(common.rows, message);
    if !judged.unreadable.is_empty() {
        println!("not read by Suricata: {}", judged.unreadable.join(", "));
    }
    println!("recording: {}", recorded.summary());
    println!("judged:    {}", judged.summary());
    common.conclude(
        &judged,
        &json!({"suricata": suricata.version, "recording": recorded.json(), "judged": judged.json()}),
    )
}

/// Ask Suricata again where the two differ.
fn judge(
    suricata: &Suricata,
    data: &Path,
    rules: &engine::Rules,
    cases: &[Case],
    jobs: usize,
) -> Result<Tally> {
    let answers = command::each("judging", cases, jobs, |at, case| -> Result<Option<Answer>> {
        let differing = case.differing();
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
    for (case, answer) in cases.iter().zip(answers) {
        match answer? {
            None => tally.add(&case.name, &case.theirs, &case.ours),
            Some(Answer::Unreadable(_)) => tally.unreadable.push(case.name.clone()),
            Some(Answer::Pairs(pairs)) => {
                let differing = case.differing();
                let settled = case.theirs.iter().filter(|pair| !differing.contains(&pair.0)).cloned();
                let again = pairs.into_iter().filter(|pair| differing.contains(&pair.0));
                tally.add(&case.name, &settled.chain(again).collect(), &case.ours);
            }
        }
    }
    Ok(tally)
}
