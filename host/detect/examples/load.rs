//! Compile rule files and say what came of it: `load FILE|DIR…`.

use std::time::Instant;
use weir_detect::{CompileOptions, Program};
use weir_rules::{LoadOptions, RuleSource, Support, VariableTable};

fn main() {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let sources = RuleSource::from_paths(&paths).expect("rule files");
    let begin = Instant::now();
    let options = LoadOptions { support: Support::everything(), ..LoadOptions::default() };
    let set = weir_rules::load(&sources, &VariableTable::default(), &options);
    println!("loaded {} of {} rules in {:?}", set.rules.len(), set.total, begin.elapsed());
    let begin = Instant::now();
    let (program, errors) = Program::compile(set.rules, CompileOptions::default());
    println!("compiled {} rules in {:?}, left out {}", program.len(), begin.elapsed(), errors.len());
    for error in errors.iter().take(20) {
        println!("  {error}");
    }
    for (name, patterns, rules) in program.statistics() {
        println!("  {name:32} {patterns:6} patterns {rules:6} rules");
    }
}
