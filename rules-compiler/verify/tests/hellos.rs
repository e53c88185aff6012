//! Messages of servers need records only where no hello was caught; the checker looks for the hellos' records itself.

use weir_rules::image::{ImageOptions, emit};
use weir_rules::plan::{Options, plan};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};
use weir_verify::{Host, verify};

/// Rules without a proof, if conditions of the first rule are in the tables, or not.
fn unproven(hellos: &str, with_hellos: bool) -> Vec<usize> {
    let server =
        "alert tls any any -> 10.0.0.0/8 any (flow:to_client; tls.cert_subject; content:\"CN=evil.example\"; sid:2;)";
    let text = format!("alert tls 10.0.0.0/8 any -> any any ({hellos} sid:1;)\n{server}\n");
    let rules =
        load(&[RuleSource::from_text("x", text.as_str())], &VariableTable::default(), &LoadOptions::default()).rules;
    let mut plan = plan(&rules, &Options::default());
    assert!(plan.rules[1].conditions.iter().all(|c| c.record.reverse_max == 0), "narrowed");
    if !with_hellos {
        plan.rules[0].conditions.clear();
    }
    let image = emit(&rules, &mut plan, &ImageOptions::default()).expect("an image");
    verify(&rules, &Host::default(), &image.bytes).expect("an image").missing.iter().map(|m| m.rule).collect()
}

#[test]
fn are_looked_for_in_the_tables() {
    let hellos = "flow:to_server; ja3.hash; content:\"0123456789abcdef0123456789abcdef\";";
    assert!(unproven(hellos, true).is_empty());
    assert_eq!(unproven(hellos, false), [0, 1], "without the hellos' record nothing holds the flow");
}
