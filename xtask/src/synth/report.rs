//! The report of a synthesis, and what of an earlier one stays in it.

use super::{Cost, Plan, Row, WIDTHS};
use crate::machine::Machine;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// The committed report, by width.
pub struct Published(Vec<(String, Vec<Row>)>);

impl Published {
    /// None yet: an empty one.
    pub fn read(path: &Path) -> Result<Published> {
        let Ok(text) = fs::read(path) else { return Ok(Published(Vec::new())) };
        let value: Value = serde_json::from_slice(&text).with_context(|| path.display().to_string())?;
        let of_all = value["machine"]["commit"].as_str().unwrap_or_default();
        let mut widths = Vec::new();
        for width in value["widths"].as_array().map_or(&[][..], Vec::as_slice) {
            let mut rows: Vec<Row> =
                serde_json::from_value(width["blocks"].clone()).with_context(|| path.display().to_string())?;
            for row in rows.iter_mut().filter(|row| row.commit.is_empty()) {
                of_all.clone_into(&mut row.commit);
            }
            widths.push((width["bytes_per_cycle"].to_string(), rows));
        }
        Ok(Published(widths))
    }

    /// What was synthesised anew takes its place.
    pub fn take(&mut self, results: Vec<(String, Vec<Row>)>) {
        for (width, rows) in results {
            match self.0.iter_mut().find(|(other, _)| *other == width) {
                Some((_, old)) => {
                    old.retain(|old| rows.iter().all(|row| row.module != old.module));
                    old.extend(rows);
                }
                None => self.0.push((width, rows)),
            }
        }
    }

    /// Every block of the plan at every width, in its order; sums need all.
    pub fn all(mut self, plan: &Plan) -> Result<Vec<(String, Vec<Row>)>> {
        let mut missing = Vec::new();
        let mut results = Vec::new();
        for width in WIDTHS {
            let mut old = self.0.iter_mut().find(|(other, _)| other == width).map(|(_, rows)| std::mem::take(rows));
            let mut rows = Vec::new();
            for block in &plan.block {
                let at = old.iter().flatten().position(|row| {
                    row.module == block.module && row.group == block.group && row.copies == block.copies
                });
                match at.zip(old.as_mut()) {
                    Some((at, old)) => rows.push(old.swap_remove(at)),
                    None => missing.push(format!("{} ({width} bytes)", block.module)),
                }
            }
            results.push((width.to_owned(), rows));
        }
        if !missing.is_empty() {
            bail!("not in the report yet, and not asked for: {}; name them with --block as well", missing.join(", "));
        }
        Ok(results)
    }
}

fn groups(rows: &[Row]) -> Vec<(String, Cost)> {
    let mut sums: Vec<(String, Cost)> = Vec::new();
    for row in rows {
        match sums.iter_mut().find(|(group, _)| *group == row.group) {
            Some((_, cost)) => cost.add(row.total(), 1),
            None => sums.push((row.group.clone(), row.total())),
        }
    }
    sums
}

fn halves(ramb18: u64) -> String {
    if ramb18.is_multiple_of(2) { (ramb18 / 2).to_string() } else { format!("{}.5", ramb18 / 2) }
}

/// Tables of what was synthesised: blocks, sums by group, shares of parts, ceilings.
pub fn report(plan: &Plan, results: &[(String, Vec<Row>)]) -> String {
    let mut text = String::new();
    for (width, rows) in results {
        let _ = writeln!(text, "## {width} bytes per cycle, one direction\n");
        let _ = writeln!(
            text,
            "| group | block | LUT | FF | RAMB36 | UltraRAM | DSP | memory, kbit | commit |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---|"
        );
        for row in rows {
            let c = row.total();
            let _ = writeln!(
                text,
                "| {} | `{}` | {} | {} | {} | {} | {} | {} | {} |",
                row.group,
                row.module,
                c.lut,
                c.ff,
                halves(c.ramb18),
                c.uram,
                c.dsp,
                row.memory_bits / 1000,
                row.commit
            );
        }
        let mut all = Cost::default();
        let _ = writeln!(text, "\n| sum | LUT | FF | RAMB36 | UltraRAM | DSP |\n|---|---:|---:|---:|---:|---:|");
        let mut line = |name: &str, c: Cost| {
            let _ = writeln!(text, "| {name} | {} | {} | {} | {} | {} |", c.lut, c.ff, halves(c.ramb18), c.uram, c.dsp);
        };
        for (group, cost) in groups(rows) {
            all.add(cost, 1);
            line(&group, cost);
        }
        line("**all**", all);
        let _ = writeln!(
            text,
            "\n| part | directions | LUT | FF | RAMB36 | UltraRAM | DSP |\n|---|---:|---:|---:|---:|---:|---:|"
        );
        for part in &plan.part {
            for directions in [1, 2] {
                let percent = |used: u64, has: u64| format!("{:.1} %", 100.0 * (used * directions) as f64 / has as f64);
                let _ = writeln!(
                    text,
                    "| {} | {directions} | {} | {} | {} | {} | {} |",
                    part.name,
                    percent(all.lut, part.lut),
                    percent(all.ff, part.ff),
                    percent(all.ramb18, 2 * part.ramb36),
                    percent(all.uram, part.uram),
                    percent(all.dsp, part.dsp)
                );
            }
        }
        let _ = writeln!(text, "\n| ceiling | LUT | RAMB36 | UltraRAM |\n|---|---|---|---|");
        for ceiling in &plan.ceiling {
            let Some((_, c)) = groups(rows).into_iter().find(|(group, _)| *group == ceiling.group) else { continue };
            let against = |used: u64, most: u64| {
                let verdict =
                    if used <= most { "within".to_owned() } else { format!("{:.1} times", used as f64 / most as f64) };
                format!("{used} of {most}: {verdict}")
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                ceiling.group,
                against(c.lut, ceiling.lut),
                against(c.ramb18.div_ceil(2), ceiling.ramb36),
                against(c.uram, ceiling.uram)
            );
        }
        text.push('\n');
    }
    text
}

/// For machines.
pub fn twin(machine: &Machine, results: &[(String, Vec<Row>)]) -> Value {
    let widths: Vec<Value> = results
        .iter()
        .map(|(width, rows)| json!({ "bytes_per_cycle": width.parse::<u32>().unwrap_or(0), "blocks": rows }))
        .collect();
    json!({ "machine": machine, "family": "xcup", "tool": "Yosys (hw/requirements.txt)", "widths": widths })
}

/// For people; `changed`: blocks whose sources are others now.
pub fn page(machine: &Machine, text: &str, changed: &[String]) -> String {
    let changed = match changed {
        [] => String::new(),
        names => format!(
            "\n\nChanged since they were synthesised: {}.",
            names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        ),
    };
    format!(
        "# Synthesis\n\nWritten by `cargo xtask synth --publish`: {}.\n\nYosys, `synth_xilinx -family xcup`: counts of cells and no \
         vendor tool's report; nothing was placed, and there is no clock rate. Blocks are synthesised apart and summed \
         (hw/synth/blocks.toml says with which sizes); memories hold both banks of every table. RAMB36: two RAMB18 count as one. \
         The commit is that at which a block was synthesised. \
         What the figures mean: [hardware.md](../hardware.md).{changed}\n\n{text}",
        machine.line()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(module: &str, copies: u64, lut: u64) -> Row {
        let logic = Cost { lut, ..Cost::default() };
        let (group, commit) = ("g".to_owned(), "c".to_owned());
        let (memories, sources) = (Cost::default(), String::new());
        Row { module: module.to_owned(), group, copies, logic, memories, memory_bits: 0, commit, sources }
    }

    #[test]
    fn blocks_that_are_not_asked_for_stay() {
        let plan = "[[block]]\nmodule = 'a'\ngroup = 'g'\n[[block]]\nmodule = 'b'\ngroup = 'g'\ncopies = 2\n";
        let plan: Plan = toml::from_str(&format!("part = []\nceiling = []\n{plan}")).unwrap();
        let old = || {
            Published(WIDTHS.map(|w| (w.to_owned(), vec![row("b", 2, 7), row("a", 1, 5), row("gone", 1, 9)])).into())
        };
        let mut published = old();
        published.take(vec![("32".to_owned(), vec![row("a", 1, 6)])]);
        let all = published.all(&plan).unwrap();
        let luts = |n: usize| all[n].1.iter().map(|row| (row.module.as_str(), row.logic.lut)).collect::<Vec<_>>();
        assert_eq!(luts(0), [("a", 5), ("b", 7)]);
        assert_eq!(luts(1), [("a", 6), ("b", 7)]);
        // Two copies were counted, now it would be three.
        let mut more = plan;
        more.block[1].copies = 3;
        let error = old().all(&more).unwrap_err().to_string();
        assert!(error.contains("b (16 bytes), b (32 bytes), b (64 bytes)"), "{error}");
    }
}
