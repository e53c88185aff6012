//! The whole of ET Open: planned, emitted, in time.

mod common;

use std::time::Instant;
use weir_rules::VariableTable;
use weir_rules::image::{ImageOptions, emit};
use weir_rules::plan::{Class, Options, plan};
use weir_rules::report::Totals;

#[test]
fn et_open_plans_and_fits() {
    let Some(rules) = common::et_open(&VariableTable::any()) else { return };
    let start = Instant::now();
    let mut planned = plan(&rules, &Options::default());
    let middle = Instant::now();
    let image = emit(&rules, &mut planned, &ImageOptions { seed: 7, ..ImageOptions::default() }).expect("fits the model");
    eprintln!("{} rules: plan {:?}, image {:?}", rules.len(), middle - start, middle.elapsed());
    let totals = Totals::new(&planned);
    eprintln!("{}", serde_json::to_string_pretty(&totals).unwrap());
    eprintln!("{:?}", image.report);
    assert_eq!(planned.rules.len(), rules.len());
    assert!(image.report.widened.is_empty());
    let complete = planned.count(Class::Complete);
    assert!(complete * 50 < rules.len(), "{complete} of {} rules are class C", rules.len());
}
