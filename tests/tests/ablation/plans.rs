//! The list of guards that no plan arms, against plans: of every event, of all scenarios, and of the shared rules.

use crate::lists::NOT_ARMED;
use weir_contract::guards::Guard;
use weir_packet::DecoderEvent;
use weir_reassembly::StreamEvent;
use weir_rules::plan::{Options, Trigger, plan};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};

/// Guards that a plan of these rules leads to records.
fn armed(sources: &[RuleSource]) -> (u64, usize) {
    let rules = load(sources, &VariableTable::any(), &LoadOptions::default()).rules;
    let planned = plan(&rules, &Options::default());
    let conditions = planned.rules.iter().flat_map(|rule| &rule.conditions).chain(&planned.common);
    let guards = conditions.filter_map(|condition| match condition.trigger {
        Trigger::Guard(number) => Some(1 << number),
        Trigger::Frame | Trigger::Fragment(_) => None,
    });
    (guards.fold(0, |all, guard: u64| all | guard), rules.len())
}

fn events() -> String {
    let decoder =
        DecoderEvent::all().map(|event| format!("alert pkthdr any any -> any any (decode-event:{}", event.name()));
    let stream =
        StreamEvent::ALL.iter().map(|event| format!("alert tcp any any -> any any (stream-event:{}", event.name()));
    decoder.chain(stream).zip(1..).map(|(rule, sid)| format!("{rule}; sid:{sid};)\n")).collect()
}

#[test]
fn guards_listed_as_not_armed_are_not() {
    let mut all = vec![RuleSource::from_text("events.rules", events())];
    let mut least = 100;
    for entry in std::fs::read_dir(weir_tests::workspace().join("tests/scenarios")).unwrap() {
        let rules = std::fs::read(entry.unwrap().path().join("x.rules")).unwrap();
        all.push(RuleSource::from_text("x.rules", rules));
    }
    // Scenarios use the same numbers: each source by itself.
    let mut found: u64 = 0;
    let mut count = 0;
    for source in all {
        let (guards, rules) = armed(&[source]);
        found |= guards;
        count += rules;
    }
    if let Some(data) = weir_tests::shared_data("plans of the shared rules") {
        least = 30_000;
        for folder in ["et-open", "suricata-events", "snort3-community"] {
            let (guards, rules) = armed(&RuleSource::from_paths(&[data.join("rules").join(folder)]).unwrap());
            found |= guards;
            count += rules;
        }
    }
    assert!(count > least, "{count} rules were planned");
    let wrong: Vec<&str> = NOT_ARMED.iter().filter(|(g, _)| found & g.bit() != 0).map(|(g, _)| g.name()).collect();
    assert!(wrong.is_empty(), "these are armed: {wrong:?}");
    // What is armed for rules must be listed nowhere else.
    let never: Vec<&str> = Guard::ALL
        .iter()
        .filter(|g| found & g.bit() == 0 && !g.always() && **g != Guard::Expiring)
        .filter(|g| !NOT_ARMED.iter().any(|(listed, _)| listed == *g))
        .map(|g| g.name())
        .collect();
    assert!(never.is_empty(), "these are armed by no rule, and not listed: {never:?}");
}
