//! A sample of the randomised differential test (docs/equivalence.md): rules fire on traffic made from them, and behind the
//! device the same alerts are raised on what networks and adversaries make of it.

use std::collections::BTreeMap;
use std::time::Instant;
use weir::{device, pipeline, ruleset};
use weir_ir::Rule;
use weir_management::Config;
use weir_synth::Random;
use weir_tests::positives::conversation::{Conversation, Rules};
use weir_tests::positives::evasions;
use weir_tests::positives::report::Fired;
use weir_tests::positives::run::{self, Fate, GEOMETRIES};

/// Rules of the sample.
const SAMPLE: usize = 1200;
/// Batches, of the geometries that differ most.
const BATCHES: [usize; 4] = [0, 2, 4, 6];
/// Share of the rules that must fire, in per cent.
const FIRED_MIN: f64 = 95.0;

#[test]
fn rules_fire_and_both_engines_agree() {
    let Some(data) = weir_tests::shared_data("positives") else { return };
    let mut config = Config::default();
    for key in ["vars.HOME_NET=any", "vars.EXTERNAL_NET=any", "capture.checksums=validate"] {
        config.set_argument(key).unwrap();
    }
    // WEIR_SEED shows another sample.
    let seed = std::env::var("WEIR_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_126);
    let paths = [data.join("rules/et-open")];
    let loaded = pipeline::load(&paths, &config).unwrap();
    let rules: Vec<Rule> = loaded.program.sources().to_vec();
    let mut chosen: Vec<usize> = (0..rules.len()).collect();
    Random::new(seed).shuffle(&mut chosen);
    chosen.truncate(SAMPLE);
    let fates = {
        let mut set = ruleset::load_rules(&paths, &config, None).unwrap();
        set.rules = run::audible(&rules);
        let audible = pipeline::compile(set, &config, Instant::now());
        run::fire(&rules, &chosen, &audible, &config, seed, 4, &mut |_, _| {}).unwrap()
    };
    let fired = Fired::new(&rules, &fates);
    fired.print();
    assert!(fired.share() >= FIRED_MIN, "seed {seed}: {:.1} % of the rules fired", fired.share());
    let tables = device::tables(&loaded).unwrap();
    let conversations: BTreeMap<usize, &Conversation> = fates
        .iter()
        .filter_map(|(n, fate)| if let Fate::Fired(conversation) = fate { Some((*n, &**conversation)) } else { None })
        .collect();
    let mut alerts = 0;
    for (batch, geometry) in BATCHES.into_iter().enumerate() {
        let mut config = config.clone();
        for key in GEOMETRIES[geometry] {
            config.set_argument(key).unwrap();
        }
        let part: Vec<(usize, &Conversation)> =
            conversations.iter().skip(batch).step_by(BATCHES.len()).map(|(n, c)| (*n, *c)).collect();
        let sent = run::batch(&part, seed ^ batch as u64);
        let said = run::compare(&loaded, &tables, &config, &sent).unwrap();
        alerts += said.alerts;
        assert!(
            said.missed.is_empty() && said.extra.is_empty(),
            "seed {seed}, batch {batch}, {:?}: {} missed, {} extra; `positives --seed` makes it small. First: {:?}",
            GEOMETRIES[geometry],
            said.missed.len(),
            said.extra.len(),
            said.missed.first().or(said.extra.first()),
        );
    }
    assert!(alerts > SAMPLE / 2, "only {alerts} alerts: the comparison says little");
    let mut all: Vec<(usize, &Conversation)> = conversations.iter().map(|(n, c)| (*n, *c)).collect();
    Random::new(seed).shuffle(&mut all);
    narrow(&rules, &all, &config, seed);
}

/// Rules of a part.
const PART: usize = 100;
/// Conversations that are hidden in each way.
const HIDDEN: usize = 12;
/// Ways that make something else of the message for the receiver, or of which only the receiver's policy knows: there
/// both engines have to agree, no more.
const OTHER_MEANING: [&str; 3] =
    ["overlap with other bytes behind a gap", "chaff with TTL 1", "double percent-encoding"];

/// With few rules, whose tables send little to the host without need, and with each known way to hide.
fn narrow(rules: &[Rule], all: &[(usize, &Conversation)], config: &Config, seed: u64) {
    let (own, others) = all.split_at(PART);
    let chosen: Vec<usize> = own.iter().map(|(n, _)| *n).collect();
    let text = Rules::new(rules).text_with_setters(&chosen);
    let loaded = run::load_text(&text, config).unwrap();
    let tables = device::tables(&loaded).unwrap();
    let mixed: Vec<(usize, &Conversation)> = own.iter().chain(&others[..2 * PART]).copied().collect();
    let said = run::compare(&loaded, &tables, config, &run::batch(&mixed, seed)).unwrap();
    assert!(said.missed.is_empty() && said.extra.is_empty(), "seed {seed}: {:?} {:?}", said.missed, said.extra);
    for way in 0..evasions::count() {
        let e = run::evade(&loaded, &tables, config, rules, own, way, (HIDDEN, seed)).unwrap();
        println!("{}: {} of {} detected, {} twins alert", e.name, e.detected, e.applied, e.twins);
        assert_eq!(e.differences, 0, "seed {seed}: {}", e.name);
        assert_eq!(e.twins, 0, "seed {seed}: benign twins alert: {}", e.name);
        let meant = OTHER_MEANING.contains(&e.name) || e.detected * 3 >= e.applied * 2;
        assert!(meant, "seed {seed}: {}: {} of {} detected", e.name, e.detected, e.applied);
    }
}
