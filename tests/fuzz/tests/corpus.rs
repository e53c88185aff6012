//! What `cargo test` runs: every input of the corpus again, and every target for a short while.

use std::time::Duration;
use weir_fuzz::runner::{self, Options};
use weir_fuzz::{allocation, seeds, targets};

#[global_allocator]
static ALLOCATOR: allocation::Counting = allocation::Counting;

/// Test builds are slower than the profile `fuzz`, and share the machine.
const PATIENCE: u32 = 10;

/// One test, because the bounds on memory are of the process.
#[test]
fn corpus_and_a_short_run() {
    let mut failures = Vec::new();
    let all = targets::all();
    for folder in seeds::folders() {
        assert!(all.iter().any(|t| t.name == folder), "the corpus has inputs of a target that is not there: {folder}");
    }
    let short = all.iter().filter(|target| !target.heavy).count() as u64;
    for target in &all {
        for path in seeds::files(&seeds::corpus(target)) {
            let input = std::fs::read(&path).unwrap();
            // What is set up once and for all is not the input's.
            runner::check(target, &input, PATIENCE);
            if let Some(failure) = runner::check(target, &input, PATIENCE).0 {
                failures.push(format!("{}: {failure}", path.display()));
            }
        }
        if target.heavy {
            println!("{:20} left to long runs", target.name);
            continue;
        }
        let gathered = seeds::gather(target, None, None);
        let options = Options {
            time: Duration::from_millis(45_000 / short),
            // The same inputs on every machine: what a fast one would find beyond is for the long run.
            cases: 4_000,
            patience: PATIENCE,
            minimise: Duration::from_secs(5),
            ..Options::default()
        };
        let outcome = runner::run(target, &gathered, &options, &mut |_| {}, &mut |_| {});
        println!("{:20} {} inputs", target.name, outcome.cases);
        assert!(outcome.cases > 0);
        for finding in outcome.findings {
            let input = finding.input.escape_ascii();
            failures.push(format!("{}: input {} of seed 1: {}; input {input}", target.name, finding.case, finding.failure));
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}
