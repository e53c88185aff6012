//! What cases ask of the planner: their rules and configuration, and whether these need every frame of a protocol (class C).

use super::case::{Case, Data};
use anyhow::{Result, anyhow};
use std::path::{Path, PathBuf};
use std::time::Instant;
use weir::suricata::import;
use weir::suricata::tree::Node;
use weir::pipeline::Loaded;
use weir::{device, pipeline, ruleset};
use weir_management::Config;
use weir_rules::plan::Class;

/// A check of the case wants an alert to be there.
pub fn asks_for_alerts(case: &Case) -> bool {
    let checks = case.description["checks"].as_array().map_or(&[][..], Vec::as_slice);
    checks.iter().any(|check| {
        let filter = &check["filter"];
        let asked = &filter["match"];
        filter["count"].as_u64() != Some(0)
            && (asked["event_type"] == "alert" || asked.get("alert.signature_id").is_some() || asked.get("alert").is_some())
    })
}

/// One of the case's rules is of class C. The rules are planned as the case's configuration has them.
pub fn has_complete_class(case: &Case, output: &Path, data: &Data) -> Result<bool> {
    let (_, loaded) = rules(case, output, data)?;
    let tables = device::tables(&loaded).map_err(|e| anyhow!("{e}"))?;
    Ok(tables.plan.rules.iter().any(|planned| planned.class == Class::Complete))
}

/// The case's configuration and rules.
pub fn rules(case: &Case, output: &Path, data: &Data) -> Result<(Config, Loaded)> {
    let arguments = case.arguments(output, data)?;
    let values = |names: &[&str]| -> Vec<&String> {
        let given = arguments.iter().zip(arguments.iter().skip(1));
        given.filter(|(name, _)| names.contains(&name.as_str())).map(|(_, value)| value).collect()
    };
    let mut root = match values(&["-c"]).first() {
        Some(path) => Node::load(Path::new(path))?,
        None => Node::default(),
    };
    for argument in values(&["--set"]) {
        root.set_argument(argument).map_err(|e| anyhow!("{e}"))?;
    }
    let inline = arguments.iter().any(|a| a == "--simulate-ips");
    let imported = import::import(&root, &case.directory, inline).map_err(|e| anyhow!("{e}"))?;
    let mut paths: Vec<PathBuf> = values(&["-S", "-s", "--firewall-rules-exclusive"]).iter().map(PathBuf::from).collect();
    if paths.is_empty() {
        paths = imported.config.rules.files.clone();
    }
    let sources = ruleset::sources(&paths).map_err(|e| anyhow!("{e}"))?;
    let set = ruleset::load_sources(&sources, None, &imported.config).map_err(|e| anyhow!("{e}"))?;
    let loaded = pipeline::compile(set, &imported.config, Instant::now());
    Ok((imported.config, loaded))
}
