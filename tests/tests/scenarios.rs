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

/// Geometries under which nothing may be missed: the smallest rings and tables make ageing, hand-over and limits happen
/// in short traffic.
const GEOMETRIES: [&[&str]; 8] = [
    &[],
    &["device.latency=1000000"],
    &["device.batch=1"],
    &["device.history-size=64KiB", "device.latency=1000000"],
    &["device.history-size=64KiB", "device.batch=1"],
    &["device.flow-entries=64", "device.latency=1000000"],
    &["device.queues=1"],
    &["device.queues=4", "device.batch=7", "device.latency=1000000"],
];

#[test]
fn behind_the_device_no_alert_is_lost_or_added() {
    let mut failures = Vec::new();
    let scenarios = scenario::all().unwrap();
    for case in &scenarios {
        for geometry in GEOMETRIES {
            let mut complain = |c: String| failures.push(format!("{} {geometry:?}: {c}", case.name));
            match case.run_behind(geometry) {
                Err(error) => complain(format!("{error:#}")),
                Ok((alerts, totals)) => {
                    case.complaints(&alerts).into_iter().for_each(&mut complain);
                    if geometry.is_empty() {
                        case.device_complaints(&totals).into_iter().for_each(&mut complain);
                    }
                }
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
