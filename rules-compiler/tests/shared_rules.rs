//! The front end on real rule sets, when they are at hand.

use std::path::{Path, PathBuf};
use weir_rules::{Cause, LoadOptions, RuleSource, Ruleset, Support, VariableTable, load};

/// The folder of shared data: `WEIR_SHARED`, or `../shared` beside the workspace.
fn shared(relative: &str) -> Option<PathBuf> {
    let root = match std::env::var_os("WEIR_SHARED") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared"),
    };
    let path = root.join("data").join(relative);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} is not there (set WEIR_SHARED)", path.display());
    None
}

fn load_folder(relative: &str, support: Support) -> Option<Ruleset> {
    let folder = shared(relative)?;
    let mut options = LoadOptions { support, ..LoadOptions::default() };
    options.configuration_from(&shared("rules")?).unwrap();
    let sources = RuleSource::from_paths(&[folder]).unwrap();
    Some(load(&sources, &VariableTable::default(), &options))
}

/// Share of rules loaded, in per mille.
fn per_mille(set: &Ruleset) -> usize {
    set.rules.len() * 1000 / set.total.max(1)
}

fn causes(set: &Ruleset) -> String {
    let lines: Vec<String> =
        set.rejected.iter().take(20).map(|d| format!("{}:{} {}", d.file, d.line, d.message)).collect();
    lines.join("\n")
}

#[test]
fn et_open() {
    let Some(set) = load_folder("rules/et-open", Support::default()) else { return };
    assert_eq!(set.total, 36_988);
    assert!(per_mille(&set) >= 999, "{}", causes(&set));
    assert!(set.rejected.iter().all(|d| d.cause != Cause::Syntax), "{}", causes(&set));
    assert!(set.warnings.len() < 100);
    // All classes are known, so that every priority comes from its class.
    assert!(set.rules.iter().all(|r| r.meta.class_description.is_some()));
    let everything = load_folder("rules/et-open", Support::everything()).unwrap();
    assert!(everything.rejected.len() <= 8, "{}", causes(&everything));
}

#[test]
fn snort3_community() {
    let Some(set) = load_folder("rules/snort3-community", Support::everything()) else { return };
    assert_eq!(set.total, 4_017);
    assert!(set.rejected.iter().all(|d| d.cause != Cause::Syntax), "{}", causes(&set));
    assert!(per_mille(&set) >= 990, "{}", causes(&set));
}

#[test]
fn suricata_events() {
    let Some(set) = load_folder("rules/suricata-events/rules", Support::everything()) else { return };
    assert!(set.total > 400);
    assert!(set.rejected.len() <= 1, "{}", causes(&set));
}

/// Rules of the conformance cases that Suricata 8 refuses to load as a whole.
#[test]
fn refused_by_suricata() {
    let cases = [
        "detect-bytetest-05",
        "bug-3490",
        "detect-pcrexform-02",
        "detect-pcrexform-04",
        "detect-xor-key/detect-xor-key-09",
        "detect-bytejump-03",
        "detect-bytejump-07",
        "content-incomplete-hex-t-version-7-plus",
        "dcerpc/dcerpc-dce-stub-data-06",
        "flowbits-invalid-04",
        "detect-compress_whitespace-01",
        "bug-3463",
        "bug-5220/bug-5220-2",
        "detect-ftp/ftp-command-02",
        "test-bad-depth-depth-rule-1",
        "test-bad-depth-distance-rule-1",
        "test-bad-hex-rule-2",
        "test-bad-http-host-rule-1",
        "test-bad-relative-keyword-fast-pattern-rule-1",
        "test-bad-semicolon-rule-1",
        "test-bad-semicolon-rule-2",
    ];
    let Some(folder) = shared("suricata-verify/tests") else { return };
    for case in cases {
        let Ok(sources) = RuleSource::from_paths(&[folder.join(case)]) else {
            eprintln!("SKIPPED: {case}");
            continue;
        };
        let options = LoadOptions { support: Support::everything(), ..LoadOptions::default() };
        let set = load(&sources, &VariableTable::default(), &options);
        assert!(
            set.total > 0 && set.rules.is_empty(),
            "{case}: {} of {} rules were loaded",
            set.rules.len(),
            set.total
        );
    }
}
