//! `verilator --lint-only -Wall` is clean for every module in the sizes that are built, and illegal sizes do not elaborate.

use std::path::Path;
use std::process::Command;

/// Module and parameters.
const LEGAL: &[(&str, &[&str])] = &[
    ("weir_parse", &["-GBYTES=16"]),
    ("weir_parse", &["-GBYTES=32"]),
    ("weir_parse", &["-GBYTES=64"]),
    ("weir_match", &["-GBYTES=16"]),
    ("weir_match", &["-GBYTES=32"]),
    ("weir_match", &["-GBYTES=64"]),
    ("weir_facts", &["-GBYTES=16"]),
    ("weir_facts", &["-GBYTES=32"]),
    ("weir_facts", &["-GBYTES=64"]),
    ("weir_judge", &[]),
    ("weir_header_rows", &[]),
    ("weir_range_search", &[]),
    ("weir_range_search", &["-GKEY_BITS=128", "-GLOG2=5"]),
    ("weir_flow_key", &[]),
    ("weir_flow_table", &[]),
    ("weir_flow_table", &["-GBUCKETS_LOG2=17"]),
    ("weir_flow_access", &[]),
    ("weir_verdict_access", &[]),
    ("weir_queue_writer", &[]),
    ("weir_classes", &[]),
    ("weir_message_facts", &[]),
    ("weir_frame_buffer", &["-GBYTES=16"]),
    ("weir_frame_buffer", &["-GBYTES=64"]),
    ("weir_core", &["-GBYTES=16", "-GQUEUES_LOG2=2", "-GBUCKETS_LOG2=10"]),
    ("weir_core", &["-GBYTES=64"]),
    ("weir_flow_spike", &[]),
    ("weir_csr_global", &[]),
    ("weir_csr_queue", &[]),
];

const ILLEGAL: &[(&str, &[&str])] = &[
    ("weir_parse", &["-GBYTES=48"]),
    ("weir_match", &["-GBYTES=8"]),
    ("weir_match", &["-GBLOOM_LOG2=40'h120f0f0f19"]),
    ("weir_match", &["-GWAYS=17"]),
    ("weir_facts", &["-GBYTES=128"]),
    ("weir_judge", &["-GADDRESS_SETS=2048"]),
    ("weir_range_search", &["-GLOG2=1"]),
    ("weir_flow_table", &["-GBUCKETS_LOG2=2"]),
    ("weir_flow_spike", &["-GOUT_BITS=1"]),
    ("weir_frame_buffer", &["-GWORDS_LOG2=12"]),
];

fn lint(top: &str, parameters: &[&str]) -> Option<(bool, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let verilator = std::env::var("VERILATOR").unwrap_or_else(|_| "verilator".into());
    let files = std::fs::read_to_string(root.join("hw/rtl/files.f")).unwrap();
    let output = Command::new(verilator)
        .current_dir(&root)
        .args(["--lint-only", "-Wall", "hw/lint/verilator.vlt", "--top-module", top])
        .args(parameters)
        .args(files.lines())
        .output()
        .ok()?;
    Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[test]
fn clean_in_every_size() {
    for (top, parameters) in LEGAL {
        let Some((clean, messages)) = lint(top, parameters) else {
            eprintln!("SKIPPED: clean_in_every_size: no Verilator (hw/tools/install brings it)");
            return;
        };
        assert!(clean, "{top} {parameters:?}:\n{messages}");
    }
}

#[test]
fn illegal_sizes_do_not_elaborate() {
    for (top, parameters) in ILLEGAL {
        let Some((clean, messages)) = lint(top, parameters) else {
            eprintln!("SKIPPED: illegal_sizes_do_not_elaborate: no Verilator (hw/tools/install brings it)");
            return;
        };
        assert!(!clean && messages.contains("%Error"), "{top} {parameters:?} elaborates:\n{messages}");
    }
}

/// `cargo xtask rtl-mutants` takes long; that its list still fits the sources does not.
#[test]
fn every_mutation_has_its_place() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list: toml::Table = std::fs::read_to_string(here.join("mutations.toml")).unwrap().parse().unwrap();
    let mutations = list["mutation"].as_array().unwrap();
    assert!(mutations.len() > 40);
    for mutation in mutations {
        let text =
            |key: &str| mutation.get(key).and_then(|v| v.as_str()).unwrap_or_else(|| panic!("{mutation}: no {key}"));
        let source = std::fs::read_to_string(here.join("../rtl").join(text("file"))).unwrap();
        assert_eq!(source.matches(text("from")).count(), 1, "{}: its text in {}", text("name"), text("file"));
        // Tests are this package's, or the device's.
        let folder = match mutation.get("package").map(|_| text("package")) {
            None => here.join("tests"),
            Some("weir-rtl") => here.join("../device/tests"),
            Some(other) => panic!("{}: package {other}", text("name")),
        };
        assert!(folder.join(format!("{}.rs", text("test"))).is_file(), "{}: test {}", text("name"), text("test"));
    }
}
