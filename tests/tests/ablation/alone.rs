//! Every guard that a plan leads to a record, alone: with it a frame goes to the host, and without it that frame does not.

use super::lists::NOT_ARMED;
use super::{DIRECT, GEOMETRIES};
use std::collections::BTreeMap;
use std::fmt::Write;
use weir_contract::guards::Guard;
use weir_rules::plan::Options;
use weir_tests::scenario;

const BEGIN: &str = "<!-- guards alone: begin -->\n";
const END: &str = "<!-- guards alone: end -->\n";

/// Frames that went to the host because of this guard and no other fact, by the counters of the device.
fn alone(scenarios: &[scenario::Scenario]) -> BTreeMap<&'static str, (String, u64)> {
    let mut found: BTreeMap<&'static str, (String, u64)> = BTreeMap::new();
    for geometry in GEOMETRIES {
        for s in scenarios {
            let Ok((_, totals)) = s.run_crippled(geometry, &Options::default(), |_| {}) else { continue };
            for guard in Guard::ALL {
                let name = guard.name();
                // What the host asked for, and what leaves its history, are no facts of a frame that are counted.
                let asked = matches!(guard, Guard::HostDivert | Guard::Expiring);
                if found.contains_key(name) || !(asked || totals.host.by_cause.contains_key(name)) {
                    continue;
                }
                let deaf = s.run_crippled(geometry, &Options::default(), |faults| faults.deafen(guard.bit()));
                let Ok((_, without)) = deaf else { continue };
                let frames = if asked {
                    totals.host.packets.saturating_sub(without.host.packets)
                } else {
                    totals.device.diverted_packets.saturating_sub(without.device.diverted_packets)
                };
                if frames > 0 {
                    let with =
                        if geometry.is_empty() { String::new() } else { format!(" with {}", geometry.join(", ")) };
                    found.insert(name, (format!("`{}`{with}", s.name), frames));
                }
            }
        }
    }
    found
}

/// `WEIR_BLESS=1` writes the page; else it must hold the table.
#[test]
fn every_guard_alone_sends_a_frame_to_the_host() {
    let found = alone(&scenario::all().unwrap());
    let mut table = String::from("| guard | frames that go to the host for it alone |\n|---|---|\n");
    let mut never = Vec::new();
    let not_armed = |guard| NOT_ARMED.iter().find(|(g, _)| *g == guard).map(|(_, why)| *why);
    for guard in Guard::ALL {
        let row = if let Some((place, frames)) = found.get(guard.name()) {
            format!("{frames} of {place}")
        } else if let Some(why) = not_armed(guard) {
            format!("not armed: {why}")
        } else if let Some(test) = DIRECT.iter().find(|test| test.guard == guard) {
            format!("direct test: {}", test.title)
        } else {
            never.push(guard.name());
            continue;
        };
        writeln!(table, "| {} | {row} |", guard.name()).unwrap();
    }
    println!("{table}");
    assert!(never.is_empty(), "no frame goes to the host for these alone: {never:?}");
    if std::env::var_os("WEIR_SCENARIO").is_none() {
        super::compare_with_page((BEGIN, END), &table);
    }
}
