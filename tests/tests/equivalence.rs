//! Real captures with real rules: behind the device the alerts of the full engine, no more and no fewer.
//!
//! A bounded share of what `weir audit equivalence` does on all captures (docs/equivalence.md); needs the data beside the
//! project, and says loudly when it is missing.

use std::path::PathBuf;
use std::sync::OnceLock;
use weir::commands::audit;
use weir::device::{self, Tables};
use weir::pipeline::{self, Loaded, Source};
use weir_management::Config;

/// Every tenth capture.
const STEP: usize = 10;

struct Set {
    config: Config,
    loaded: Loaded,
    tables: Tables,
}

fn config(more: &[&str]) -> Config {
    let mut config = Config::default();
    for key in ["vars.HOME_NET=any", "vars.EXTERNAL_NET=any", "capture.checksums=ignore"].iter().chain(more) {
        config.set_argument(key).unwrap();
    }
    config
}

/// Rules below `rules` of the data, loaded once.
fn set(rules: &[&str]) -> Option<Set> {
    let data = weir_tests::shared_data("equivalence")?;
    let config = config(&[]);
    let paths: Vec<PathBuf> = rules.iter().map(|r| data.join("rules").join(r)).collect();
    let loaded = pipeline::load(&paths, &config).unwrap();
    let tables = device::tables(&loaded).unwrap();
    Some(Set { config, loaded, tables })
}

fn et_open() -> Option<&'static Set> {
    static SET: OnceLock<Option<Set>> = OnceLock::new();
    SET.get_or_init(|| set(&["et-open"])).as_ref()
}

fn captures() -> Vec<PathBuf> {
    let data = weir_tests::shared_data("equivalence").unwrap();
    audit::captures(&[data.join("pcaps")]).unwrap().into_iter().step_by(STEP).collect()
}

fn equal(set: &Set, more: &[&str], least_alerts: usize) {
    let mut config = set.config.clone();
    for key in more {
        config.set_argument(key).unwrap();
    }
    let mut alerts = 0;
    let mut complaints = Vec::new();
    for path in captures() {
        let compared = match audit::compare(&set.loaded, &set.tables, &config, &|| Source::open(&path)) {
            Ok(compared) => compared,
            Err(failure) => {
                complaints.push(format!("{}: {failure}", path.display()));
                continue;
            }
        };
        alerts += compared.alerts;
        if !compared.missed.is_empty() || !compared.extra.is_empty() {
            complaints.push(format!("{}: {} missed, {} extra", path.display(), compared.missed.len(), compared.extra.len()));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(alerts >= least_alerts, "only {alerts} alerts: the comparison says little");
}

macro_rules! equal {
    ($($name:ident: $more:expr;)*) => {$(
        #[test]
        fn $name() {
            if let Some(set) = et_open() {
                equal(set, &$more, 200);
            }
        }
    )*};
}

equal! {
    with_the_usual_geometry: [];
    when_the_host_answers_late: ["device.latency=1000000"];
    with_history_rings_of_64_kib: ["device.history-size=64KiB", "device.latency=1000000"];
    with_history_rings_of_1_mib: ["device.history-size=1MiB"];
    with_64_flow_entries: ["device.flow-entries=64"];
    with_one_queue: ["device.queues=1"];
    with_four_queues: ["device.queues=4"];
    when_the_host_polls_after_every_frame: ["device.batch=1"];
}

#[test]
fn with_rules_on_events() {
    if let Some(set) = set(&["et-open", "suricata-events"]) {
        equal(&set, &[], 5_000);
    }
}

/// Each conformance case's rules on its capture, in the case's configuration.
#[test]
fn conformance_cases() {
    use weir_tests::verify::{Case, case::Data, equivalence};
    let Some(data) = weir_tests::shared_data("conformance_cases") else { return };
    let root = data.join("suricata-verify/tests");
    let here = data.join("rules");
    let files = Data {
        source: here.clone(),
        classification: here.join("classification.config"),
        reference: here.join("reference.config"),
        configuration: None,
    };
    let (mut alerts, mut compared, mut complaints) = (0, 0, Vec::new());
    for directory in Case::find(&root).unwrap() {
        let case = Case::load(&root, &directory).unwrap();
        // A case that cannot be compared (no rules, files that lie elsewhere) is counted by `verify --equivalence`.
        let Ok(Some(result)) = equivalence::compare(&case, &std::env::temp_dir(), &files) else { continue };
        compared += 1;
        alerts += result.alerts;
        complaints.extend(result.differences.into_iter().map(|difference| format!("{}: {difference}", case.name)));
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!(compared > 500 && alerts > 4000, "{compared} cases with {alerts} alerts are too few: is something skipped?");
}
