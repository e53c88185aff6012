//! Changed tables are noticed.

use std::path::Path;
use weir_ir::Rule;
use weir_rules::image::{ImageOptions, emit};
use weir_rules::plan::{Class, Options, plan};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};
use weir_verify::{Host, mutate};

fn sample() -> Vec<Rule> {
    let Some(shared) = std::env::var_os("WEIR_SHARED") else { return Vec::new() };
    let bytes = std::fs::read(Path::new(&shared).join("data/rules/et-open/emerging-all.rules")).expect("rules");
    let rules = load(&[RuleSource::from_text("x", bytes)], &VariableTable::default(), &LoadOptions::default()).rules;
    let planned = plan(&rules, &Options::default());
    let narrow = rules.iter().zip(&planned.rules).filter(|(_, p)| p.class != Class::Complete);
    narrow.map(|(r, _)| r.clone()).step_by(61).collect()
}

#[test]
fn of_a_sample() {
    let rules = sample();
    let mut plan = plan(&rules, &Options::default());
    let image = emit(&rules, &mut plan, &ImageOptions::default()).expect("an image");
    let count = std::env::var("WEIR_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(66);
    let start = std::time::Instant::now();
    let out = mutate::run(&rules, &Host::default(), &image.bytes, 1, count, |_, _| ()).expect("a run");
    println!("{} rules, {} of {} in {:?}", rules.len(), out.noticed, out.made, start.elapsed());
    for (kind, (made, noticed)) in &out.kinds {
        println!("{noticed:4} of {made:4} {kind}");
    }
    for (kind, change, wider) in &out.survivors {
        println!("survivor: {kind}: {change}{}", if *wider { " (nothing is taken away)" } else { "" });
    }
    println!("{} equivalent", out.equivalent);
}
