//! The bundled example: rules as text, traffic from the synthesiser.

use crate::pipeline::Source;
use weir_rules::RuleSource;

/// Rules of the example.
pub const RULES: &str = include_str!("../../../examples/office/office.rules");
/// Seed of the example's traffic: the same in every run.
const SEED: u64 = 7;
/// Flows of the example.
const FLOWS: usize = 2000;

/// The example's rules.
pub fn rules() -> Vec<RuleSource> {
    vec![RuleSource::from_text("examples/office/office.rules", RULES)]
}

/// The example's traffic.
pub fn traffic() -> Source {
    Source::memory(weir_synth::example::example(SEED, FLOWS))
}

/// What to do after the example.
pub const NEXT: &str = "Try next:
  weir run --example --device none                 the same without a device: the same alerts, everything inspected
  weir rules explain 1000001 --rules examples/office/office.rules
  weir audit equivalence --rules examples/office/office.rules --pcap YOUR.pcap
  weir run --rules YOUR.rules --pcap YOUR.pcap     your own rules and traffic
  less log/eve.json                                the alerts; log/stats.json has the totals";
