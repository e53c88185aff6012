//! Where Weir deliberately, or for now, differs from Suricata 8.0.8 on the captures beside the project with ET Open
//! (docs/conformance.md, "Remaining differences"): what Weir does is pinned here, so that no change of it goes unseen.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::time::Instant;
use weir::pipeline::{self, RunControl, Source};
use weir_management::Config;
use weir_output::AlertCollector;

/// Rule, capture, a port of the flow in question, and whether Weir alerts there.
const PINNED: [(u32, &str, u16, bool); 6] = [
    // How often a stream that begins an SSH session counts for a threshold: Suricata reaches it two flows earlier.
    (2_006_546, "attack/joy__kali-password-attack_hydra.pcap", 49188, false),
    (2_006_546, "attack/joy__kali-password-attack_hydra.pcap", 49194, true),
    // `startswith` counts from the stream's start; in Suricata from an inspected chunk, which a message of LDAP begins.
    (2_034_769, "attack/otrf__pcap_log4shell_cve2021_44228_java_serialized_2022-05-13045800.pcapng", 54225, false),
    (2_034_818, "attack/otrf__pcap_log4shell_cve2021_44228_java_serialized_2022-05-13045800.pcapng", 54225, false),
    // An answer that opens its flow is DNS; Suricata calls that direction failed.
    (2_027_863, "background/bg__bg-dev.pcap", 46910, true),
    // Contents in different chunks of a stream: Weir's windows overlap, Suricata's chunks do not.
    (2_102_123, "protocol/sv__http-sha256-drop-02__input.pcap", 35820, true),
];

#[test]
fn what_weir_does_where_suricata_does_otherwise() {
    let Some(data) = weir_tests::shared_data("differences") else { return };
    let mut config = Config::default();
    for key in ["vars.HOME_NET=any", "vars.EXTERNAL_NET=any", "capture.checksums=ignore"] {
        config.set_argument(key).unwrap();
    }
    let mut set = weir::ruleset::load_rules(&[data.join("rules/et-open")], &config, None).unwrap();
    let wanted: BTreeSet<u32> = PINNED.iter().map(|pin| pin.0).collect();
    // With the rules that set what these ask for.
    let asked: BTreeSet<String> = set
        .rules
        .iter()
        .filter(|rule| wanted.contains(&rule.identity.sid))
        .flat_map(|rule| rule.flowbits.iter().flat_map(|op| op.names.iter().map(|name| name.to_string())))
        .collect();
    set.rules.retain(|rule| {
        wanted.contains(&rule.identity.sid)
            || rule.flowbits.iter().any(|op| op.names.iter().any(|name| asked.contains(&name.to_string())))
    });
    let loaded = pipeline::compile(set, &config, Instant::now());
    let stop = AtomicBool::new(false);
    let mut complaints = Vec::new();
    for (sid, capture, port, alerts) in PINNED {
        let mut tick = |_| {};
        let mut control = RunControl::new(&stop, &mut tick);
        let mut heard = AlertCollector::default();
        let mut source = Source::open(&data.join("pcaps").join(capture)).unwrap();
        pipeline::run_full(&loaded, &config, false, &mut source, &mut heard, &mut control).unwrap();
        let of_flow = heard.alerts.iter().any(|alert| {
            alert.rule.sid == sid && alert.flow.as_ref().is_some_and(|flow| format!("{flow:?}").contains(&port.to_string()))
        });
        if of_flow != alerts {
            complaints.push(format!("{sid} on {capture}, port {port}: alerts {of_flow}, pinned {alerts}"));
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
