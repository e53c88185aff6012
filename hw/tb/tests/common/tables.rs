//! Table images: of the rule set beside the project, and made ones.

use super::made::Random;
use super::shared_data;
use weir_contract::layouts::Record;
use weir_rules::image::{ImageOptions, emit};
use weir_rules::plan::{Options, plan};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};
use weir_sim::tables::Tables;
use weir_sim::testing::{Fragment, ImageBuilder};

/// The image of ET Open; none without the data.
pub fn et_open(who: &str, seed: u64) -> Option<Vec<u8>> {
    let rules = shared_data(who)?.join("rules/et-open");
    let sources = RuleSource::from_paths(&[rules]).unwrap();
    let set = load(&sources, &VariableTable::any(), &LoadOptions::default());
    let mut plan = plan(&set.rules, &Options::default());
    Some(emit(&set.rules, &mut plan, &ImageOptions { seed, ..ImageOptions::default() }).unwrap().bytes)
}

/// Text that makes fragments likely.
pub fn text(r: &mut Random, length: usize) -> Vec<u8> {
    (0..length).map(|_| r.of(b"aAbBcdE/. 0")).collect()
}

/// Fragments of every length, some in case, and tables small enough for false positives.
pub fn made(seed: u64, fragments: usize, candidates: u32) -> (Tables, Vec<Fragment>) {
    let mut r = Random(seed);
    let mut builder = ImageBuilder::new(seed);
    builder.bloom_bits = 13;
    builder.ways = 4;
    builder.limits.candidates = candidates;
    let mut all = Vec::new();
    for n in 0..fragments {
        let length = 4 + r.below(5) as usize;
        let case_mask = if r.once_in(3) { r.below(1 << length) as u8 } else { 0 };
        let fragment = Fragment { bytes: text(&mut r, length), case_mask };
        let record = builder.record(Record { group: n as u32, ..Record::ALWAYS });
        builder.fragment(fragment.clone(), &[record]);
        all.push(fragment);
    }
    (Tables::load(&builder.build()).unwrap(), all)
}
