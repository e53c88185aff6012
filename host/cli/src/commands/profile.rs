//! `weir run --profile-rules`: what rules cost, as a table and as JSON.

use super::{right, table};
use crate::exit::{Failure, OrExit};
use crate::out::outln;
use comfy_table::Cell;
use std::path::Path;
use std::time::Duration;
use weir_detect::{Program, RuleProfile};
use weir_output::summary::{group, visible};

/// The JSON twin, in the directory of logs.
pub const FILE: &str = "rule-profile.json";
/// Rules of the table.
const SHOWN: usize = 20;

/// Writes what all checked rules cost, most time first. Times are nanoseconds.
pub fn write(profile: &RuleProfile, program: &Program, path: &Path) -> Result<(), Failure> {
    let ranked = profile.ranked();
    let total: Duration = ranked.iter().map(|(_, cost)| cost.time).sum();
    let rules = ranked.iter().filter_map(|(rule, cost)| {
        let source = program.sources().get(*rule as usize)?;
        Some(serde_json::json!({
            "gid": source.identity.gid,
            "sid": source.identity.sid,
            "rev": source.identity.rev,
            "signature": &*source.meta.message,
            "checks": cost.checks,
            "matches": cost.matches,
            "time_ns": nanoseconds(cost.time),
            "mean_ns": nanoseconds(cost.time) / cost.checks.max(1),
            "longest_ns": nanoseconds(cost.longest),
            "share": cost.time.as_secs_f64() / total.as_secs_f64().max(1e-9),
        }))
    });
    let all = serde_json::json!({
        "checks": ranked.iter().map(|(_, cost)| cost.checks).sum::<u64>(),
        "matches": ranked.iter().map(|(_, cost)| cost.matches).sum::<u64>(),
        "time_ns": nanoseconds(total),
        "rules": rules.collect::<Vec<_>>(),
    });
    let text = serde_json::to_string_pretty(&all).or_internal()?;
    std::fs::write(path, text + "\n")
        .map_err(|error| anyhow::anyhow!("cannot write {}: {error}", path.display()))
        .or_internal()
}

/// Prints the most expensive rules.
pub fn print(profile: &RuleProfile, program: &Program) {
    let ranked = profile.ranked();
    let total: Duration = ranked.iter().map(|(_, cost)| cost.time).sum();
    let mut out = table(&["sid", "checks", "matches", "time", "share", "mean", "longest", "signature"]);
    for (rule, cost) in ranked.iter().take(SHOWN) {
        let Some(source) = program.sources().get(*rule as usize) else { continue };
        out.add_row([
            right(source.identity.sid.to_string()),
            right(group(cost.checks)),
            right(group(cost.matches)),
            right(format!("{:.3} ms", cost.time.as_secs_f64() * 1e3)),
            right(format!("{:.1} %", 100.0 * cost.time.as_secs_f64() / total.as_secs_f64().max(1e-9))),
            right(format!("{} ns", group(nanoseconds(cost.time) / cost.checks.max(1)))),
            right(format!("{} ns", group(nanoseconds(cost.longest)))),
            Cell::new(visible(&source.meta.message)),
        ]);
    }
    outln!("{out}");
    outln!(
        "{} rules were checked, {} times in {:.3} ms, measuring included; the {} most expensive are shown. The search that all \
         rules share is not part of it.",
        group(ranked.len() as u64),
        group(ranked.iter().map(|(_, cost)| cost.checks).sum()),
        total.as_secs_f64() * 1e3,
        ranked.len().min(SHOWN)
    );
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
