//! `--engine-analysis`: what becomes of each rule, in the shape of Suricata's `rules.json`, `rules_analysis.txt`,
//! `rules_fast_pattern.txt` and `rule_group.json`.
//!
//! The files describe the rules in Suricata's terms (lists, engines, fast pattern, groups of ports), so that tools that
//! read them work. Weir's own planning is told by `weir explain`.

mod engines;
mod groups;
mod lists;
mod pattern;
mod rule;

use super::tree::Node;
use crate::exit::{Failure, OrExit};
use std::fmt::Write as _;
use std::path::Path;
use weir_ir::Rule;

/// Writes the files.
pub fn write(rules: &[Rule], root: &Node, directory: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(directory).or_internal()?;
    let wants = |name: &str| root.flag(&format!("engine-analysis.{name}")) != Some(false);
    let mut sorted: Vec<&Rule> = rules.iter().collect();
    sorted.sort_by_key(|rule| (&rule.source.file, rule.source.line));
    let analysed: Vec<(&Rule, serde_json::Value)> = sorted.iter().map(|r| (*r, rule::analyse(r))).collect();
    if wants("rules") {
        for (name, firewall) in [("rules.json", None), ("firewall.json", Some(true))] {
            let mut text = String::new();
            for (_, value) in analysed.iter().filter(|(rule, _)| firewall.is_none_or(|wanted| rule.firewall == wanted)) {
                let _ = writeln!(text, "{value}");
            }
            if firewall.is_none() || !text.is_empty() {
                std::fs::write(directory.join(name), text).or_internal()?;
            }
        }
        std::fs::write(directory.join("rules_analysis.txt"), report(&analysed)).or_internal()?;
    }
    if wants("rules-fast-pattern") {
        std::fs::write(directory.join("rules_fast_pattern.txt"), fast_patterns(&analysed)).or_internal()?;
    }
    if root.flag("detect.profiling.grouping.dump-to-disk") == Some(true) {
        let value = groups::analyse(&sorted, root);
        std::fs::write(directory.join("rule_group.json"), format!("{value}\n")).or_internal()?;
    }
    Ok(())
}

/// For people.
fn report(rules: &[(&Rule, serde_json::Value)]) -> String {
    let mut out = String::new();
    for (rule, value) in rules {
        let _ = writeln!(out, "== Sid: {} ==\n{}", rule.identity.sid, rule.source.text);
        let _ = writeln!(out, "    Rule type: {}.", value["type"].as_str().unwrap_or("unset"));
        if let Some(name) = value["mpm"]["buffer"].as_str() {
            let _ = writeln!(out, "    Fast pattern \"{}\" on {name}.", value["mpm"]["pattern"].as_str().unwrap_or(""));
        }
        for (key, title) in [("warnings", "Warning"), ("notes", "Note")] {
            for text in value[key].as_array().into_iter().flatten().filter_map(|t| t.as_str()) {
                let _ = writeln!(out, "    {title}: {text}");
            }
        }
        out.push('\n');
    }
    out
}

/// For people as well.
fn fast_patterns(rules: &[(&Rule, serde_json::Value)]) -> String {
    let mut out = String::new();
    for (rule, value) in rules {
        let _ = writeln!(out, "== Sid: {} ==\n{}", rule.identity.sid, rule.source.text);
        match value["mpm"]["buffer"].as_str() {
            Some(name) => {
                let text = |key: &str| value["mpm"][key].clone();
                let _ = writeln!(
                    out,
                    "    Fast Pattern analysis:\n        Fast pattern matcher: {name}\n        Original content: {}\n        Final content: {}",
                    text("pattern").as_str().unwrap_or(""),
                    text("pattern").as_str().unwrap_or(""),
                );
            }
            None => out.push_str("    Fast Pattern analysis:\n        No content present\n"),
        }
        out.push('\n');
    }
    out
}
