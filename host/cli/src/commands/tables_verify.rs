//! `weir tables verify`: the independent checker on an image, and how much it would notice.

use super::{configuration, right, table};
use crate::args::VerifyTablesArguments;
use crate::exit::{FINDINGS, Failure, INPUT, OK, OrExit};
use crate::out::outln;
use crate::{bundle, pipeline, ruleset};
use comfy_table::Cell;
use serde_json::json;
use std::time::Instant;
use weir_output::summary::group;
use weir_verify::{Broken, Host, Proof, Report, mutate};

fn meaning(proof: Proof) -> &'static str {
    match proof {
        Proof::Frames => "records for every frame that it could match in",
        Proof::Fragments => "fragments, and guards where these could be hidden",
        Proof::Deferred => "no output, and nothing but its flow is touched",
        Proof::Gated => "waits for a flowbit whose setters are all proven",
        Proof::Never => "no frame can match it",
    }
}

pub fn run(arguments: &VerifyTablesArguments) -> Result<u8, Failure> {
    let config = configuration(&arguments.config)?;
    let mut bytes = weir_rules::load::read_limited(&arguments.file, weir_bundle::BUNDLE_MAX).or_input()?;
    let given = !arguments.rules.rules.is_empty();
    let mut program = None;
    let mut gates = None;
    if weir_bundle::is_bundle(&bytes) {
        let opened = weir_bundle::Bundle::open_unverified(&bytes).map_err(|e| bundle::refused(&arguments.file, e))?;
        let image = opened.part(bundle::TABLES).map_err(|e| bundle::refused(&arguments.file, e))?.to_vec();
        let started = bundle::unpack(&arguments.file, &opened, &config)?;
        // What the host will keep flows for is what its program says.
        gates = Some(started.tables.plan.gates.iter().map(|g| g.to_string()).collect());
        program = Some(started.loaded).filter(|_| !given);
        bytes = image;
    }
    let loaded = match program {
        Some(loaded) => loaded,
        None => pipeline::load(&ruleset::paths(&arguments.rules, &config)?, &config)?,
    };
    let rules = loaded.program.sources();
    let host = Host { patterns: loaded.program.stream_patterns().collect(), gates };
    let broken = |error: Broken| Failure {
        code: INPUT,
        error: anyhow::Error::new(error).context(arguments.file.display().to_string()),
        remedy: Some("make the image anew with `weir tables build`; a device would refuse it as well".to_owned()),
    };
    let start = Instant::now();
    let report = weir_verify::verify(rules, &host, &bytes).map_err(broken)?;
    let seconds = start.elapsed().as_secs_f64();
    let mutants = match arguments.mutants {
        Some(count) if report.is_good() => {
            let mut done = 0u64;
            let each = |mutant: &mutate::Mutant, noticed: bool| {
                done += 1;
                tracing::info!("{done} of {count}: {} ({}): {noticed}", mutant.kind, mutant.change);
            };
            Some(mutate::run(rules, &host, &bytes, arguments.seed, count, each).map_err(broken)?)
        }
        _ => None,
    };
    let mutants_total = start.elapsed().as_secs_f64() - seconds;
    if arguments.json {
        let changes = mutants.as_ref().map(|m| {
            json!({
                "seed": arguments.seed, "made": m.made, "noticed": m.noticed, "take_nothing_away": m.equivalent,
                "seconds": mutants_total,
                "kinds": m.kinds.iter().map(|(kind, (made, noticed))| json!({ "kind": kind, "made": made, "noticed": noticed })).collect::<Vec<_>>(),
                "not_noticed": m.survivors.iter().map(|(kind, change, wider)| json!({ "kind": kind, "change": change, "takes_nothing_away": wider })).collect::<Vec<_>>(),
            })
        });
        let value = json!({ "good": report.is_good(), "seconds": seconds, "report": report, "mutants": changes });
        outln!("{value:#}");
    } else {
        print(arguments, &report, seconds);
        if let Some(m) = &mutants {
            print_mutants(arguments, m, mutants_total);
        }
    }
    Ok(if report.is_good() { OK } else { FINDINGS })
}

fn print(arguments: &VerifyTablesArguments, report: &Report, seconds: f64) {
    let mut rows = table(&["proof", "rules"]);
    for (proof, n) in &report.proven {
        rows.add_row([Cell::new(meaning(*proof)), right(group(*n as u64))]);
    }
    outln!("{rows}");
    for missing in report.missing.iter().take(arguments.show) {
        let (gid, sid, rev) = missing.identity;
        outln!("{}: rule {gid}:{sid}:{rev} has no proof\n  {}", missing.place, missing.cause);
    }
    for (what, list) in [("image", &report.faults), ("certificate", &report.certificate)] {
        for text in list.iter().take(arguments.show) {
            outln!("{what}: {text}");
        }
    }
    if !report.gates.is_empty() {
        outln!("The host keeps flows with: {}", report.gates.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
    }
    let verdict = if report.is_good() {
        format!("proven: no frame able to match one of {} rules is passed over", group(report.rules as u64))
    } else {
        format!(
            "NOT PROVEN: {} of {} rules, {} faults of the image, {} of the certificate\n  = \
             name the rules and the configuration that the image was made from, or make it anew with `weir tables build`; \
             if it stays so, please report it",
            group(report.missing.len() as u64),
            group(report.rules as u64),
            report.faults.len(),
            report.certificate.len()
        )
    };
    outln!("{}: {verdict} ({seconds:.2} s)", arguments.file.display());
}

fn print_mutants(arguments: &VerifyTablesArguments, m: &mutate::Outcome, seconds: f64) {
    let mut rows = table(&["change", "made", "noticed"]);
    for (kind, (made, noticed)) in &m.kinds {
        rows.add_row([Cell::new(kind), right(group(*made as u64)), right(group(*noticed as u64))]);
    }
    outln!("{rows}");
    for (kind, change, wider) in m.survivors.iter().take(arguments.show) {
        let why = if *wider { "takes nothing away" } else { "takes away what no rule needs" };
        outln!("not noticed, {why}: {kind}, {change}");
    }
    let taking = m.made - m.equivalent;
    outln!(
        "{} changes (seed {}): {} take something away, {} of these are noticed ({}); {seconds:.0} s",
        group(m.made as u64),
        arguments.seed,
        group(taking as u64),
        group(m.noticed as u64),
        weir_output::summary::percent(m.noticed as f64 / taking.max(1) as f64)
    );
}
