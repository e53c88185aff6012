//! Changed tables are noticed. `WEIR_MUTANTS` sets how many are made.

use std::collections::HashSet;
use std::path::Path;
use weir_ir::Rule;
use weir_rules::image::{ImageOptions, emit};
use weir_rules::plan::{Class, Options, plan};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};
use weir_verify::{Host, mutate, verify};

/// Rules of all scenarios, each with an identity of its own; `only`: of these.
fn rules(only: &[&str]) -> Vec<Rule> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/scenarios");
    let mut folders: Vec<_> =
        std::fs::read_dir(folder).expect("the scenarios").flatten().map(|entry| entry.path()).collect();
    folders.sort();
    folders.retain(|path| only.is_empty() || path.file_name().is_some_and(|name| only.iter().any(|only| name == *only)));
    let mut out = Vec::new();
    for path in folders {
        let Ok(bytes) = std::fs::read(path.join("x.rules")) else { continue };
        out.extend(
            load(&[RuleSource::from_text("x", bytes)], &VariableTable::default(), &LoadOptions::default()).rules,
        );
    }
    for (n, rule) in out.iter_mut().enumerate() {
        rule.identity.sid = n as u32 + 1;
    }
    out
}

#[test]
fn are_noticed() {
    // Rules that need every frame would make all else needless; and many rules of the scenarios are alike, so that the
    // records of one catch what another one's lose: each has one that none before it has.
    let mut seen = HashSet::new();
    let rules: Vec<Rule> = rules(&[])
        .into_iter()
        .filter(|rule| {
            let planned = plan(std::slice::from_ref(rule), &Options::default());
            let mut records = planned.rules.iter().flat_map(|rule| &rule.conditions).map(|c| c.record);
            let mut fresh = || records.by_ref().filter(|record| seen.insert(*record)).count() > 0;
            !rule.buffers.is_empty() && planned.count(Class::Complete) == 0 && fresh()
        })
        .collect();
    let image = emit(&rules, &mut plan(&rules, &Options::default()), &ImageOptions::default()).expect("an image");
    let good = verify(&rules, &Host::default(), &image.bytes).expect("an image");
    assert!(good.is_good(), "{good:?}");
    let count = std::env::var("WEIR_MUTANTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1000);
    let out = mutate::run(&rules, &Host::default(), &image.bytes, 1, count, |_, _| ()).expect("an image");
    println!(
        "{} rules, {} mutants, {} noticed, {} take nothing away",
        rules.len(),
        out.made,
        out.noticed,
        out.equivalent
    );
    for (kind, (made, noticed)) in &out.kinds {
        println!("{noticed:4} of {made:4} {kind}");
    }
    for (kind, change, wider) in &out.survivors {
        println!("not noticed: {kind}: {change}{}", if *wider { " (takes nothing away)" } else { "" });
    }
    let taking = out.made - out.equivalent;
    assert!(out.made as u64 * 10 >= count * 9, "{} of {count} made", out.made);
    // Many rules of the scenarios are alike: what one of them loses, the records of another catch. (So it is with all numbers
    // that tell a payload's length: their packets hold control bytes, which other rules ask for. They are for the next test.)
    let (numbers, of_them) = out.kinds.get("fewer numbers").copied().unwrap_or_default();
    let (taking, noticed) = (taking - numbers, out.noticed - of_them);
    assert!(noticed * 1000 >= taking * 945, "{noticed} of {taking} noticed");
}

/// Without others beside them, what rules lose with a word or a number is noticed each time.
#[test]
fn words_and_numbers_are_noticed() {
    let rules = rules(&["number-of-the-length", "word-across-segments"]);
    let image = emit(&rules, &mut plan(&rules, &Options::default()), &ImageOptions::default()).expect("an image");
    assert!(verify(&rules, &Host::default(), &image.bytes).expect("an image").is_good());
    let out = mutate::run(&rules, &Host::default(), &image.bytes, 1, 400, |_, _| ()).expect("an image");
    for kind in ["another word", "fewer numbers"] {
        let (made, noticed) = out.kinds.get(kind).copied().unwrap_or_default();
        let harmless = out.survivors.iter().filter(|(of, _, wider)| *of == kind && *wider).count();
        assert!(made > 0 && noticed + harmless == made, "{kind}: {noticed} of {made}, {harmless} take nothing away: {:?}", out.survivors);
    }
}
