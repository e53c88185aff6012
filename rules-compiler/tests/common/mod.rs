//! Rules for the planner's tests: from text, and from the shared rule set where it is there.
#![allow(dead_code)]

use std::path::PathBuf;
use weir_ir::Rule;
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};

/// Load rules from text; every rule must load.
pub fn rules(text: &str) -> Vec<Rule> {
    let set = load(&[RuleSource::from_text("test.rules", text)], &VariableTable::any(), &LoadOptions::default());
    assert!(set.rejected.is_empty(), "{:?}", set.rejected);
    set.rules
}

/// The folder of shared data; says so loudly when it is not there.
pub fn shared() -> Option<PathBuf> {
    let root = std::env::var_os("WEIR_SHARED").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
        PathBuf::from,
    );
    let root = if root.join("data").is_dir() { root.join("data") } else { root };
    if root.join("rules/et-open").is_dir() {
        return Some(root);
    }
    eprintln!("SKIPPED: no shared rules; set WEIR_SHARED to the folder that holds data/rules");
    None
}

/// ET Open under the given variables.
pub fn et_open(variables: &VariableTable) -> Option<Vec<Rule>> {
    let root = shared()?;
    let sources = RuleSource::from_paths(&[root.join("rules/et-open")]).expect("readable");
    let mut options = LoadOptions::default();
    options.configuration_from(&root.join("rules")).expect("readable");
    Some(load(&sources, variables, &options).rules)
}
