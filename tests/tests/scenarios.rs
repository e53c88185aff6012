//! Every folder of tests/scenarios: the alerts that are right, and no other, with and without a device.

use weir_tests::scenario;

#[test]
fn the_full_engine_raises_exactly_the_alerts_listed() {
    let mut failures = Vec::new();
    let scenarios = scenario::all().unwrap();
    assert!(!scenarios.is_empty(), "no scenario fits WEIR_SCENARIO");
    for case in &scenarios {
        match case.run_full() {
            Err(error) => failures.push(format!("{}: {error:#}", case.name)),
            Ok((alerts, _)) => {
                failures.extend(case.complaints(&alerts).into_iter().map(|c| format!("{}: {c}", case.name)))
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} scenarios, {} complaints:\n{}",
        scenarios.len(),
        failures.len(),
        failures.join("\n")
    );
}
