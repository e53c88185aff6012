mod common;
use weir_rules::plan::{Class, Options, plan, Trigger};
#[test]
#[ignore]
fn dump() {
    let Some(rules) = common::et_open(&weir_rules::VariableTable::any()) else { return };
    let p = plan(&rules, &Options::default());
    let want = std::env::var("DUMP").unwrap_or_default();
    for r in &p.rules {
        let frame = r.conditions.iter().any(|c| matches!(c.trigger, Trigger::Frame));
        if (want == "C" && r.class == Class::Complete) || (want == "H" && r.class == Class::Header) || (want=="hot" && frame) {
            let rule = &rules[r.rule];
            if rule.source.text.len() < 1200 { println!("{} {} {:.5} | {}", r.class.letter(), r.reason, r.cost, rule.source.text.split("; reference").next().unwrap()); }
        }
        if want == "F" { println!("{:.3e}\t{}\t{}\t{}", r.cost, r.class.letter(), r.reason, rules[r.rule].identity.sid); }
    }
}
