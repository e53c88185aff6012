//! Every guard and every class is needed: without it, some scenario loses or gains an alert.
//!
//! A guard is switched off in the device, which then does not notice what the guard stands for. A class is switched off
//! in the planner, which then leaves out the conditions of its rules. If nothing changed, the guard would be dead weight,
//! or the equivalence cheap. Guards that no plan arms, or that others always come with, are listed with the reason, and
//! the list is checked.

mod alone;
mod direct;
mod lists;
mod plans;

use direct::DIRECT;
use lists::{NOT_ARMED, NOT_NEEDED};
use std::fmt::Write;
use weir_contract::guards::Guard;
use weir_rules::plan::{Class, Options};
use weir_tests::scenario::{self, Scenario};

/// Small rings last: hand-over and limits need them, most guards do not.
const GEOMETRIES: [&[&str]; 4] =
    [&[], &["device.batch=1"], &["device.history-size=64KiB", "device.batch=1"], &["device.flow-entries=64"]];

/// A scenario, and the configuration it needs.
type Found = (String, String);

/// Does any scenario go wrong? The one that is `known` comes first, so that new scenarios do not change the page.
fn notices(scenarios: &[Scenario], known: Option<Found>, run: impl Fn(&Scenario, &[&str]) -> bool) -> Option<Found> {
    let matches = |s: &Scenario, g: &[&str]| (s.name.clone(), g.join(", "));
    let all = || GEOMETRIES.iter().flat_map(|g| scenarios.iter().map(move |s| (s, *g)));
    let is_known = |&(s, g): &(&Scenario, &[&str])| known.as_ref() == Some(&matches(s, g));
    all().filter(is_known).chain(all()).find(|(s, g)| run(s, g)).map(|(s, g)| matches(s, g))
}

/// The scenario that goes wrong where these guards are deaf.
fn without_guard(scenarios: &[Scenario], known: Option<Found>, guard: Guard) -> Option<Found> {
    notices(scenarios, known, |s, geometry| {
        let result = s.run_crippled(geometry, &Options::default(), |faults| faults.deafen(guard.bit()));
        result.is_ok_and(|(alerts, _)| !s.complaints(&alerts).is_empty())
    })
}

/// The scenario that goes wrong where conditions of a class are left out.
fn without_class(scenarios: &[Scenario], class: Class) -> Option<Found> {
    let options = Options { omit_classes: vec![class], ..Options::default() };
    notices(scenarios, None, |s, geometry| {
        let result = s.run_crippled(geometry, &options, |_| {});
        result.is_ok_and(|(alerts, _)| !s.complaints(&alerts).is_empty())
    })
}

fn cell((name, geometry): Found) -> String {
    if geometry.is_empty() { format!("`{name}`") } else { format!("`{name}` with {geometry}") }
}

/// What the page says about a guard.
fn known(page: &str, guard: Guard) -> Option<Found> {
    let row = page.lines().find_map(|line| line.strip_prefix(&format!("| {} | `", guard.name())))?;
    let (name, rest) = row.strip_suffix(" |")?.split_once('`')?;
    Some((name.to_owned(), rest.strip_prefix(" with ").unwrap_or("").to_owned()))
}

/// The page that shows the table.
const PAGE: &str = "docs/equivalence.md";
const BEGIN: &str = "<!-- ablation: begin -->\n";
const END: &str = "<!-- ablation: end -->\n";

/// `WEIR_BLESS=1` writes the page; else it must hold the table.
#[test]
fn without_a_guard_alerts_are_lost() {
    let scenarios = scenario::all().unwrap();
    let page = std::fs::read_to_string(weir_tests::workspace().join(PAGE)).unwrap();
    let mut unnoticed = Vec::new();
    let mut noticed = Vec::new();
    let mut table = String::from("| guard | what goes wrong without it |\n|---|---|\n");
    let reason = |list: &[(Guard, &'static str)], guard| list.iter().find(|(g, _)| *g == guard).map(|(_, why)| *why);
    for guard in Guard::ALL {
        let row = if let Some(why) = reason(NOT_ARMED, guard) {
            format!("not armed: {why}")
        } else if let Some(test) = DIRECT.iter().find(|test| test.guard == guard) {
            assert!((test.right)(0), "{}: {} fails with the guard", guard.name(), test.title);
            assert!(!(test.right)(guard.bit()), "{}: {} does not need the guard", guard.name(), test.title);
            format!("direct test: {}", test.title)
        } else {
            match (without_guard(&scenarios, known(&page, guard), guard), reason(NOT_NEEDED, guard)) {
                (Some(found), None) => cell(found),
                (None, Some(why)) => format!("nothing: {why}"),
                (Some(found), Some(_)) => {
                    noticed.push(format!("{}: {}", guard.name(), found.0));
                    continue;
                }
                (None, None) => {
                    unnoticed.push(guard.name());
                    continue;
                }
            }
        };
        writeln!(table, "| {} | {row} |", guard.name()).unwrap();
    }
    assert!(unnoticed.is_empty(), "{} guards nobody notices: {unnoticed:?}", unnoticed.len());
    assert!(noticed.is_empty(), "guards in the list of those not needed that are: {noticed:?}");
    println!("{table}");
    if std::env::var_os("WEIR_SCENARIO").is_none() {
        compare_with_page((BEGIN, END), &table);
    }
}

/// Two tests write tables of one page.
static PAGE_LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn compare_with_page((begin, end): (&str, &str), table: &str) {
    let _alone = PAGE_LOCK.lock();
    let page = std::fs::read_to_string(weir_tests::workspace().join(PAGE)).unwrap();
    let parts = page.split_once(begin).and_then(|(before, rest)| Some((before, rest.split_once(end)?)));
    let (before, (shown, behind)) = parts.unwrap_or_else(|| panic!("{PAGE} has no place for the table"));
    if std::env::var_os("WEIR_BLESS").is_some() {
        std::fs::write(weir_tests::workspace().join(PAGE), format!("{before}{begin}{table}{end}{behind}")).unwrap();
        return;
    }
    assert_eq!(shown, table, "{PAGE} is out of date: run this test with WEIR_BLESS=1 and commit the page");
}

#[test]
fn without_a_class_alerts_are_lost() {
    let scenarios = scenario::all().unwrap();
    for class in Class::ALL {
        let found = without_class(&scenarios, class);
        println!("{}: {found:?}", class.letter());
        // Rules of class D lead to nothing by themselves: that is what the class is.
        assert_eq!(found.is_some(), class != Class::Deferred, "class {}", class.letter());
    }
}

/// Where a class may not be used, its rules become complete (class C), and more of the packets reach the host.
#[test]
fn every_class_keeps_packets_from_the_host() {
    let name = "harmless-traffic";
    let scenario = Scenario::read(&weir_tests::workspace().join("tests/scenarios").join(name)).unwrap();
    for class in Class::ALL.into_iter().filter(|class| *class != Class::Complete) {
        let share = |without_classes| {
            let options = Options { without_classes, ..Options::default() };
            let (alerts, totals) = scenario.run_crippled(&[], &options, |_| {}).unwrap();
            assert_eq!(scenario.complaints(&alerts), [""; 0], "{name}");
            totals.host.share_packets
        };
        let (with, without) = (share(Vec::new()), share(vec![class]));
        println!("{}: {name}: {with:.3}, without {without:.3}", class.letter());
        assert!(with < without, "class {}: {name}: {with} with it, {without} without", class.letter());
    }
}
