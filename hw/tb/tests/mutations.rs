//! The list of mutations fits the RTL and the tests that must notice them.

use std::path::Path;

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
