//! `weir rules`

use super::{configuration, explain, right, table};
use crate::args::{CheckArguments, RulesCommand, StatsArguments};
use crate::exit::{FINDINGS, Failure, OK};
use crate::out::outln;
use crate::ruleset;
use comfy_table::Cell;
use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use weir_ir::Rule;
use weir_rules::show;
use weir_output::summary::{group, percent, visible};
use weir_rules::diag::{render_json, render_text};
use weir_rules::{Diagnostic, Ruleset, Severity};

pub fn run(command: &RulesCommand) -> Result<u8, Failure> {
    match command {
        RulesCommand::Check(arguments) => check(arguments),
        RulesCommand::Stats(arguments) => stats(arguments),
        RulesCommand::Cost(arguments) => super::cost::run(arguments),
        RulesCommand::Explain(arguments) => explain::run(arguments),
        RulesCommand::Test(arguments) => super::rules_test::run(arguments),
    }
}

fn check(arguments: &CheckArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let set = ruleset::load_rules(&ruleset::paths(&arguments.rules, &config)?, &config, None)?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let warnings = set.warnings.iter().filter(|_| arguments.warnings);
    for diagnostic in set.rejected.iter().chain(warnings) {
        // A closed pipe (`| head`) ends the report, not the command.
        let written = if arguments.json {
            writeln!(out, "{}", render_json(diagnostic))
        } else if arguments.brief {
            writeln!(out, "{}", brief(diagnostic))
        } else {
            writeln!(out, "{}", render_text(diagnostic))
        };
        if written.is_err() {
            break;
        }
    }
    let _ = out.flush();
    if !arguments.json {
        outln!("{}", verdict(&set));
        if !set.rejected.is_empty() {
            outln!("`weir rules stats` counts the causes; `--json` is for scripts.");
        }
    }
    Ok(if set.rejected.is_empty() { OK } else { FINDINGS })
}

fn brief(d: &Diagnostic) -> String {
    let severity = match d.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Notice => "notice",
    };
    let sid = d.sid.map(|sid| format!(" sid {sid}:")).unwrap_or_default();
    visible(&format!("{}:{}:{}: {severity}:{sid} {}", d.file, d.line, d.column, d.message))
}

/// `36 988 rules: 36 500 load, 488 are rejected (1.32 %)`
fn verdict(set: &Ruleset) -> String {
    let mut text = format!(
        "{} rules: {} load, {} are rejected ({})",
        group(set.total as u64),
        group(set.rules.len() as u64),
        group(set.rejected.len() as u64),
        percent(set.rejected.len() as f64 / set.total.max(1) as f64)
    );
    if set.replaced > 0 {
        text += &format!(", {} are replaced by a newer revision", group(set.replaced as u64));
    }
    text + &format!(
        "; {} more are commented out; {} warnings",
        group(set.disabled as u64),
        group(set.warnings.len() as u64)
    )
}

fn count(items: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}

fn stats(arguments: &StatsArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let set = ruleset::load_rules(&ruleset::paths(&arguments.rules, &config)?, &config, None)?;
    let groups = [
        ("protocol", count(set.rules.iter().map(|r| show::protocol(r.header.protocol).to_owned()))),
        ("action", count(set.rules.iter().map(|r| show::action(r.action).to_owned()))),
        ("buffer", count(set.rules.iter().flat_map(buffers))),
        ("feature", count(set.rules.iter().flat_map(features))),
        ("rejected because", ruleset::rejected_by_cause(&set)),
    ];
    if arguments.json {
        let mut object = serde_json::Map::new();
        for (name, n) in [
            ("total", set.total),
            ("loaded", set.rules.len()),
            ("rejected", set.rejected.len()),
            ("disabled", set.disabled),
        ] {
            object.insert(name.to_owned(), n.into());
        }
        for (name, counts) in &groups {
            object.insert(name.replace(' ', "_"), serde_json::to_value(counts).unwrap_or_default());
        }
        outln!("{}", serde_json::Value::Object(object));
        return Ok(OK);
    }
    for (name, counts) in &groups {
        if counts.is_empty() {
            continue;
        }
        let mut rows: Vec<_> = counts.iter().collect();
        rows.sort_by_key(|(name, n)| (std::cmp::Reverse(**n), *name));
        let mut table = table(&[*name, "rules", "share"]);
        for (item, n) in rows {
            let share = percent(*n as f64 / set.total.max(1) as f64);
            table.add_row([Cell::new(item), right(group(*n)), right(share)]);
        }
        outln!("{table}");
    }
    outln!("{}", verdict(&set));
    Ok(OK)
}

fn buffers(rule: &Rule) -> Vec<String> {
    let mut names: Vec<_> = rule.buffers.iter().map(|b| b.buffer.name().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

fn features(rule: &Rule) -> Vec<String> {
    use weir_ir::Match;
    let any = |test: fn(&Match) -> bool| rule.buffers.iter().flat_map(|b| &b.matches).any(test);
    let all = [
        ("content", any(|m| matches!(m, Match::Content(_)))),
        ("pcre", any(|m| matches!(m, Match::Pcre(_)))),
        ("transforms", rule.buffers.iter().any(|b| !b.transforms.is_empty())),
        ("no byte match", rule.buffers.is_empty()),
        ("events", !rule.events.is_empty()),
        ("flowbits", !rule.flowbits.is_empty()),
        ("flowints", !rule.flowints.is_empty()),
        ("xbits", !rule.xbits.is_empty()),
        ("threshold", rule.threshold.is_some()),
        ("noalert", rule.noalert),
    ];
    all.into_iter().filter(|(_, present)| *present).map(|(name, _)| name.to_owned()).collect()
}
