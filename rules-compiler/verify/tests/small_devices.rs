//! Devices that are too small for their rules: less is asked of frames, and everything is still proven.

use std::collections::BTreeSet;
use weir_ir::Rule;
use weir_rules::image::{Capacity, Image, ImageError, ImageOptions, emit};
use weir_rules::plan::{Class, Options, Plan, plan};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};
use weir_verify::{Host, verify};

/// Rules of each kind, each of its own: fragments, positions, header records, ports, address lists.
fn rules() -> Vec<Rule> {
    let mut text = String::new();
    for n in 0..40u32 {
        let words = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"];
        let word = format!("{}{n:02}{}", words[n as usize % 8], words[(n as usize * 3 + 1) % 8]);
        text += &format!("alert tcp any any -> any {} (content:\"{word}\"; offset:{n}; depth:60; sid:{};)\n", 1000 + n * 7, 100 + n);
        text += &format!("alert http any any -> any any (http.uri; content:\"/{word}.php\"; sid:{};)\n", 200 + n);
        text += &format!("alert udp 10.{n}.3.0/24 any -> any [{},{}:{}] (dsize:{}; sid:{};)\n", 53 + n, 2000 + n * 3, 2001 + n * 3, 20 + n, 300 + n);
        text += &format!("alert ip [198.51.{n}.7,203.0.113.{n},2001:db8:{n:x}::/48] any -> any any (msg:\"list\"; sid:{};)\n", 400 + n);
        text += &format!("alert dns any any -> any any (dns.query; content:\"{word}.example\"; sid:{};)\n", 500 + n);
    }
    let set = load(&[RuleSource::from_text("x", text.as_str())], &VariableTable::default(), &LoadOptions::default());
    assert!(set.rejected.is_empty() && set.rules.len() == 200, "{:?}", set.rejected.first());
    set.rules
}

fn made(rules: &[Rule], change: impl FnOnce(&mut Capacity)) -> (Plan, Result<Image, ImageError>) {
    let mut capacity = Capacity::default();
    change(&mut capacity);
    let mut plan = plan(rules, &Options::default());
    let image = emit(rules, &mut plan, &ImageOptions { capacity, ..ImageOptions::default() });
    (plan, image)
}

/// An image for such a device, proven.
fn proven(rules: &[Rule], change: impl FnOnce(&mut Capacity)) -> (Plan, Image) {
    let (plan, image) = made(rules, change);
    let image = image.expect("something that fits");
    let gates: BTreeSet<String> = plan.gates.iter().map(|g| g.to_string()).collect();
    let report = verify(rules, &Host { patterns: Vec::new(), gates: Some(gates) }, &image.bytes).expect("an image");
    for m in report.missing.iter().take(10) {
        println!("{} {:?}: {}; planned: {}", m.place, m.identity, m.cause, plan.rules[m.rule].reason);
    }
    assert!(report.is_good(), "{:?} {:?} {:?}", report.missing.len(), report.faults, report.certificate);
    (plan, image)
}

#[test]
fn fragments_are_shortened_before_rules_become_complete() {
    let rules = rules();
    let (plan, image) = proven(&rules, |_| {});
    let complete = plan.count(Class::Complete);
    assert!(image.report.degraded.is_none() && image.report.widened.is_empty());
    let eight = image.report.fragments[4];
    assert!(eight > 60, "{:?}", image.report);
    let (plan, image) = proven(&rules, |c| c.fragments = eight - 10);
    assert!(image.report.degraded.shortened >= 10 && image.report.widened.is_empty(), "{:?}", image.report);
    assert_eq!(plan.count(Class::Complete), complete);
    assert!(image.report.fragments.iter().all(|n| *n <= eight - 10));
    // Far too small: what is shortened fills the other tables as well.
    let (_, image) = proven(&rules, |c| c.fragments = 12);
    assert!(!image.report.widened.is_empty() && image.report.fragments.iter().all(|n| *n <= 12), "{:?}", image.report);
    let (_, image) = proven(&rules, |c| c.fragments = 0);
    assert!(image.report.fragments.iter().all(|n| *n == 0), "{:?}", image.report);
}

#[test]
fn records_and_lists_lose_their_places_first() {
    let rules = rules();
    let (_, whole) = proven(&rules, |_| {});
    let (_, image) = proven(&rules, |c| c.records = whole.report.records - 20);
    assert!(image.report.degraded.unplaced > 0 && image.report.records <= whole.report.records - 20, "{:?}", image.report);
    let (_, image) = proven(&rules, |c| c.list_entries = 5);
    assert!(!image.report.widened.is_empty(), "{:?}", image.report);
}

#[test]
fn header_rows_ask_for_less() {
    let rules = rules();
    let (_, whole) = proven(&rules, |_| {});
    assert!(whole.report.header_entries > 60, "{:?}", whole.report);
    let (_, image) = proven(&rules, |c| c.header_entries = 50);
    assert!(image.report.header_entries <= 50 && !image.report.degraded.loosened.is_empty(), "{:?}", image.report);
    let (_, image) = proven(&rules, |c| c.header_entries = 1);
    assert_eq!(image.report.header_entries, 1, "{:?}", image.report);
}

#[test]
fn sets_of_ports_and_addresses_grow() {
    let rules = rules();
    let (_, whole) = proven(&rules, |_| {});
    let (classes, v4) = (whole.report.ports.1 as usize, whole.report.prefixes.0);
    let (_, image) = proven(&rules, |c| c.port_classes = classes / 4);
    assert!(image.report.ports.1 as usize <= classes / 4 && !image.report.degraded.enlarged.is_empty(), "{:?}", image.report);
    let (_, image) = proven(&rules, |c| c.prefixes_v4 = v4 / 2);
    assert!(image.report.prefixes.0 <= v4 / 2 && !image.report.degraded.enlarged.is_empty(), "{:?}", image.report);
    let (_, image) = proven(&rules, |c| (c.address_classes, c.prefixes_v6) = (3, 0));
    assert!(image.report.addresses.1 <= 3 && image.report.prefixes.1 == 0, "{:?}", image.report);
}

#[test]
fn what_cannot_fit_is_an_error() {
    let rules = rules();
    let error = made(&rules, |c| c.header_entries = 0).1.err().expect("no row for the rules on addresses").to_string();
    assert!(error.contains("header-table entries: 1 entries, the device holds 0"), "{error}");
    let error = made(&rules, |c| c.records = 0).1.err().expect("no records").to_string();
    assert!(error.contains("records") && error.contains("the device holds 0"), "{error}");
}

#[test]
fn many_cases_of_one_window_fit() {
    let words = ["Wombats!", "wOmbats!", "woMbats!", "womBats!", "wombAts!", "wombaTs!", "wombatS!", "WOmbats!", "WoMbats!", "WomBats!"];
    let text: String =
        words.iter().enumerate().map(|(n, word)| format!("alert tcp any any -> any any (content:\"{word}\"; sid:{};)\n", n + 1)).collect();
    let set = load(&[RuleSource::from_text("x", text.as_str())], &VariableTable::default(), &LoadOptions::default());
    let (_, image) = proven(&set.rules, |_| {});
    let (_, one) = proven(&set.rules[..1], |_| {});
    assert_eq!(image.report.fragments, one.report.fragments);
}
