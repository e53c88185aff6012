//! `weir rules cost`, and `--max-host-share`.

use super::{audit, configuration, right, table};
use crate::args::CostArguments;
use crate::cost::{COMPLETE_BAR, Costs, DEAR, DEAR_BAR, RuleShare, SHARED};
use crate::device::{self, Tables};
use crate::exit::{Failure, OK, OrExit, TOO_MUCH, USAGE};
use crate::measured::{self, MeasuredCosts};
use crate::out::outln;
use crate::pipeline::{self, Loaded};
use crate::planning::Planning;
use crate::ruleset;
use comfy_table::Cell;
use weir_ir::Rule;
use weir_output::summary::{group, percent, visible};
use weir_rules::profile::Part;

/// Rules by the share of frames that they are expected to send to the host.
pub fn run(arguments: &CostArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let mut loaded = pipeline::load(&ruleset::paths(&arguments.rules, &config)?, &config)?;
    loaded.planning = Planning::read(&arguments.profile, &loaded, &config, arguments.json)?;
    let tables = device::tables(&loaded)?;
    let costs = Costs::new(&tables, &loaded.planning);
    let mut listed = costs.ranked(arguments.least / 100.0);
    let of_all = listed.len();
    listed.truncate(arguments.top.unwrap_or(usize::MAX));
    let measured = match &arguments.measure[..] {
        [] => None,
        paths => Some(measured::measure(&loaded, &tables, &config, &audit::captures(paths)?, arguments.json)?),
    };
    let sources = loaded.program.sources();
    if arguments.json {
        let mut object = costs.to_json(&listed, sources, &tables, &loaded.planning);
        if let Some(measured) = measured {
            object["measured"] = serde_json::to_value(measured).or_internal()?;
        }
        outln!("{object:#}");
        return Ok(OK);
    }
    print_rules(&listed, sources, &tables);
    print_shared(&costs);
    let all = costs.rules.len();
    let bar = |well: bool| if well { "met" } else { "NOT met" };
    outln!(
        "{} of {} rules are expected to flag {} % of the frames or more by what is their own{}.",
        group(of_all as u64),
        group(all as u64),
        arguments.least,
        if listed.len() < of_all { format!("; {} are shown", listed.len()) } else { String::new() }
    );
    outln!(
        "{} rules flag {} % or more (bar: at most {DEAR_BAR}, {}); {} with what more than {SHARED} rules ask for.",
        group(costs.dear() as u64),
        100.0 * DEAR,
        bar(costs.dear() <= DEAR_BAR),
        group(costs.dear_alone() as u64)
    );
    let complete = costs.complete as f64 / all.max(1) as f64;
    outln!(
        "Class C: {} rules, {} (bar: at most {}, {}).",
        group(costs.complete as u64),
        percent(complete),
        percent(COMPLETE_BAR),
        bar(complete <= COMPLETE_BAR)
    );
    print_expected(&costs, &loaded.planning);
    if let Some(measured) = measured {
        print_measured(&measured, arguments);
    }
    Ok(OK)
}

fn print_measured(measured: &MeasuredCosts, arguments: &CostArguments) {
    let least = arguments.least / 100.0;
    let worth = measured.reasons.iter().filter(|row| row.held >= least).take(arguments.top.unwrap_or(usize::MAX));
    let mut out = table(&["what flagged frames", "rules", "such as", "held in", "alone", "part", "began"]);
    for row in worth {
        let sids: Vec<String> = row.sids.iter().map(u32::to_string).collect();
        out.add_row([
            Cell::new(visible(&row.what)),
            right(group(row.rules as u64)),
            Cell::new(sids.join(" ")),
            right(share(row.held)),
            right(share(row.alone)),
            right(share(row.part)),
            right(share(row.began)),
        ]);
    }
    outln!("{out}");
    outln!(
        "Measured on {} captures, {} frames: {} were flagged, {} began to be diverted by it. Alone: nothing else held in the frame; \
         part: each frame divided evenly among what held in it; began: the same of flows that were not diverted yet.",
        group(measured.captures as u64),
        group(measured.frames),
        percent(measured.flagged),
        percent(measured.began)
    );
}

fn share(part: f64) -> String {
    format!("{:.4} %", 100.0 * part)
}

fn print_rules(listed: &[RuleShare], sources: &[Rule], tables: &Tables) {
    let mut out = table(&["sid", "class", "own", "alone", "the device checks", "signature"]);
    for row in listed {
        let (Some(rule), Some(planned)) = (sources.get(row.rule), tables.plan.rules.get(row.rule)) else { continue };
        out.add_row([
            right(rule.identity.sid.to_string()),
            Cell::new(planned.class.letter()),
            right(share(row.own)),
            right(share(row.alone)),
            Cell::new(visible(&planned.reason)),
            Cell::new(visible(&rule.meta.message)),
        ]);
    }
    outln!("{out}");
}

fn print_shared(costs: &Costs) {
    let rows: Vec<_> = costs.shared.iter().filter(|row| row.share >= DEAR).collect();
    if rows.is_empty() {
        return;
    }
    let mut out = table(&["asked for by many rules", "rules", "expected"]);
    for row in rows {
        out.add_row([Cell::new(visible(&row.what)), right(group(row.rules as u64)), right(share(row.share))]);
    }
    outln!("{out}");
}

fn print_expected(costs: &Costs, planning: &Planning) {
    let e = &costs.expected;
    let part = |p: &Part| format!("{} of the frames, {} of the bytes", percent(p.frames), percent(p.bytes));
    outln!(
        "Expected of all rules together: flagged {}; diverted {}; at the host {}.",
        part(&e.flagged),
        part(&e.diverted),
        part(&e.host)
    );
    outln!("By {}; `weir audit equivalence` measures it.", planning.describe());
}

/// Rules named where more is expected than allowed.
const NAMED: usize = 20;

/// Refuses tables of which more is expected at the host than `most` per cent of the frames.
pub fn enforce(most: Option<f64>, loaded: &Loaded, tables: &Tables, json: bool) -> Result<(), Failure> {
    let Some(most) = most else { return Ok(()) };
    if !(0.0..=100.0).contains(&most) {
        return Err(Failure {
            code: USAGE,
            error: anyhow::anyhow!("--max-host-share {most}: this is no share in per cent"),
            remedy: Some("give a number from 0 to 100".to_owned()),
        });
    }
    if loaded.planning.expected(tables).host.frames <= most / 100.0 {
        return Ok(());
    }
    let costs = Costs::new(tables, &loaded.planning);
    let expected = costs.expected.host.frames;
    let mut listed = costs.ranked(0.0);
    listed.truncate(NAMED);
    if json {
        outln!("{:#}", costs.to_json(&listed, loaded.program.sources(), tables, &loaded.planning));
    } else {
        print_rules(&listed, loaded.program.sources(), tables);
        print_shared(&costs);
        print_expected(&costs, &loaded.planning);
    }
    Err(Failure {
        code: TOO_MUCH,
        error: anyhow::anyhow!(
            "{} of the frames are expected at the host, --max-host-share allows {most} %",
            percent(expected)
        ),
        remedy: Some(
            "leave out or narrow the rules above, narrow HOME_NET, plan by traffic of yours (--profile), or allow more"
                .to_owned(),
        ),
    })
}
