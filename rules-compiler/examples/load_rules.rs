//! Loads rule files and prints how long it took and what was rejected: `load_rules [--all] [--config DIR] PATH…`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;
use weir_rules::diag::render_text;
use weir_rules::stats::statistics;
use weir_rules::{LoadOptions, RuleSource, Support, VariableTable, load};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = LoadOptions::default();
    let mut paths = Vec::new();
    let mut shown = 20;
    let mut count = false;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--stats" => count = true,
            "--all" => options.support = Support::everything(),
            "--config" => {
                options.configuration_from(Path::new(&arguments.next().ok_or("--config needs a directory")?))?
            }
            "--show" => shown = arguments.next().ok_or("--show needs a number")?.parse()?,
            _ => paths.push(argument),
        }
    }
    let sources = RuleSource::from_paths(&paths)?;
    let bytes: usize = sources.iter().map(|s| s.bytes.len()).sum();
    let start = Instant::now();
    let set = load(&sources, &VariableTable::default(), &options);
    let time = start.elapsed();
    for diagnostic in set.rejected.iter().chain(&set.warnings).take(shown) {
        println!("{}", render_text(diagnostic));
    }
    let mut causes: BTreeMap<String, usize> = BTreeMap::new();
    for diagnostic in set.rejected.iter().chain(&set.warnings) {
        *causes.entry(format!("{:?} {}", diagnostic.severity, diagnostic.message)).or_default() += 1;
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|c| std::cmp::Reverse(c.1));
    for (cause, count) in causes.iter().take(400) {
        println!("{count:6} {cause}");
    }
    if count {
        println!("{}", statistics(&set).to_text());
    }
    println!(
        "{} of {} rules loaded, {} rejected, {} replaced, {} disabled; {bytes} bytes in {time:?}",
        set.rules.len(),
        set.total,
        set.rejected.len(),
        set.replaced,
        set.disabled,
    );
    Ok(())
}
