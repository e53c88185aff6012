//! Every rule of the scenarios, and of the shared rule sets where they are, is proven from the bits of its tables.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use weir_ir::Rule;
use weir_rules::image::{ImageOptions, emit};
use weir_rules::plan::{Class, Options, plan};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};
use weir_verify::{Host, verify};

fn files(folder: &Path, out: &mut Vec<PathBuf>) {
    for path in std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|e| e == "rules") {
            out.push(path);
        }
    }
}

fn rules_of(path: &Path) -> Vec<Rule> {
    let bytes = std::fs::read(path).expect("a rule file");
    load(&[RuleSource::from_text(&path.to_string_lossy(), bytes)], &VariableTable::default(), &LoadOptions::default())
        .rules
}

fn check(name: &str, rules: &[Rule]) {
    let mut plan = plan(rules, &Options::default());
    let image = emit(rules, &mut plan, &ImageOptions::default()).expect("an image");
    let gates: BTreeSet<String> = plan.gates.iter().map(|g| g.to_string()).collect();
    let report = verify(rules, &Host { patterns: Vec::new(), gates: Some(gates) }, &image.bytes).expect("an image");
    for m in report.missing.iter().take(20) {
        let (rule, planned) = (&rules[m.rule], &plan.rules[m.rule]);
        println!("{} {:?}: {}\n  {}\n  planned: {}", m.place, m.identity, m.cause, rule.source.text, planned.reason);
    }
    assert!(
        report.is_good(),
        "{name}: {} rules without a proof, {:?}, {:?}",
        report.missing.len(),
        report.faults,
        report.certificate
    );
}

#[test]
fn of_the_scenarios() {
    let mut paths = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios"), &mut paths);
    assert!(paths.len() > 100);
    for path in paths {
        let rules = rules_of(&path);
        check(&path.to_string_lossy(), &rules);
        // Alone, no rule can lean on the records of another.
        for rule in &rules {
            check(&format!("{} sid {}", path.display(), rule.identity.sid), std::slice::from_ref(rule));
        }
    }
}

#[test]
fn of_the_shared_rule_sets() {
    let Some(shared) = std::env::var_os("WEIR_SHARED") else { return };
    let mut paths = Vec::new();
    files(&Path::new(&shared).join("data/rules"), &mut paths);
    for path in paths {
        let name = path.to_string_lossy();
        let rules = rules_of(&path);
        check(&name, &rules);
        // Records for every frame make fragments needless. Without the rules that have them, fragments must do.
        let planned = plan(&rules, &Options::default());
        let narrow =
            rules.iter().zip(&planned.rules).filter(|(r, p)| p.class != Class::Complete && !r.buffers.is_empty());
        check(&name, &narrow.map(|(r, _)| r.clone()).collect::<Vec<_>>());
        for rule in rules.iter().step_by(41) {
            check(&format!("{name} sid {}", rule.identity.sid), std::slice::from_ref(rule));
        }
    }
}
