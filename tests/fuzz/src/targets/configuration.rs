//! What an operator writes: configuration, `--set`, variables, classification, reference and threshold files.

use crate::Target;
use std::path::Path;
use weir_management::{Config, STARTER, fuzz_config, show};
use weir_rules::{LoadOptions, RuleSource, VariableTable, load};

/// The targets of this room.
pub fn targets() -> [Target; 3] {
    [
        Target {
            dictionary: &[
                b"[stream]\n", b"depth", b"\"1MiB\"", b" = ", b"\"", b"'''", b"[[", b"]]", b"vars.HOME_NET", b"any", b"\n",
                b"flow.tcp-new", b"60s", b"18446744073709551616", b"-1", b"1e400", b"0x7fffffffffffffff", b"true", b"{a=1}",
                b"device.queues", b"pcre.match-limit", b"\\u{d800}", b"[80, 8080]",
            ],
            ..Target::new(
                "config",
                "a configuration file and --set: either problems with places, or a configuration that --show writes and \
                 reads back",
                config,
                || {
                    let set: [&[u8]; 4] =
                        [b"vars.HOME_NET=any", b"stream.depth=\"2MiB\"", b"device.queues=4", b"capture.vxlan-ports=[1,2]"];
                    let mut seeds: Vec<Vec<u8>> = set.iter().map(|text| text.to_vec()).collect();
                    seeds.push(STARTER.as_bytes().to_vec());
                    seeds.push(show(&Config::default()).into_bytes());
                    seeds
                },
            )
        },
        Target {
            dictionary: &[
                b"any", b"!", b"[", b"]", b",", b"$A", b"$B", b"$HOME_NET", b"10.0.0.0/8", b"1.2.3.4-1.2.3.9", b"::1", b"fe80::/10",
                b"80", b"80:90", b":1024", b"1024:", b"/33", b"0.0.0.0/0", b"255.255.255.255", b"65535", b"::ffff:1.2.3.4", b"\n",
            ],
            ..Target::new(
                "variables",
                "variables and address and port expressions: sets and their complements are the whole, errors have remedies",
                variables,
                || {
                    let texts: [&[u8]; 6] = [
                        b"[10.0.0.0/8,!10.1.0.0/16,$B]\n[192.168.0.0/16,fe80::/10]\n80",
                        b"!$B\n10.0.0.1-10.0.0.9\n[80,!81,1024:]",
                        b"$B\n$A\n$A",
                        b"any\n!any\n!80",
                        b"[[[1.1.1.1]],![2.2.2.0/24,::1]]\n0.0.0.0/0\n:1024",
                        b"[80,443,[8000:9000,!8080]]\n$A\n[$A,!80]",
                    ];
                    texts.iter().map(|text| text.to_vec()).collect()
                },
            )
        },
        Target {
            dictionary: &[
                b"config classification: ", b"config reference: ", b"threshold gen_id ", b"event_filter gen_id ", b"rate_filter ",
                b"suppress gen_id ", b"sig_id ", b"type limit", b"type both", b"track by_src", b"by_rule", b"ip $HOME_NET",
                b"count 1", b"seconds 60", b"new_action drop", b"timeout 10", b",", b"\\\n", b"#", b"4294967296", b"by_both",
            ],
            shared: |data: &Path| {
                let names = ["classification.config", "reference.config", "threshold.config"];
                names.iter().filter_map(|name| std::fs::read(data.join("rules").join(name)).ok()).collect()
            },
            ..Target::new(
                "side-files",
                "the same bytes as classification.config, reference.config and threshold.config beside a rule that uses them",
                side_files,
                || {
                    let texts: [&[u8]; 3] = [
                        b"config classification: bad-unknown,Potentially Bad Traffic,2\n# x\nconfig classification: a,b,1\n",
                        b"config reference: url http://\nconfig reference: cve http://cve.example/?name=\n",
                        b"suppress gen_id 1, sig_id 1, track by_src, ip [10.0.0.0/8,!10.1.1.1]\n\
                          threshold gen_id 1, sig_id 1, type limit, track by_src, count 1, seconds 60\n\
                          rate_filter gen_id 1, sig_id 1, track by_rule, count 10, seconds 5, new_action drop, timeout 30\n",
                    ];
                    texts.iter().map(|text| text.to_vec()).collect()
                },
            )
        },
    ]
}

fn config(bytes: &[u8]) {
    fuzz_config(bytes);
    let text = String::from_utf8_lossy(bytes);
    let mut config = Config::default();
    let loaded = config.merge_text("fuzz.toml", &text).is_ok();
    for line in text.lines().take(64) {
        if let Err(error) = config.set_argument(line) {
            assert!(!error.problems.is_empty());
        }
    }
    // What is shown is what is meant.
    let shown = show(&config);
    let mut again = Config::default();
    if let Err(error) = again.merge_text("shown.toml", &shown) {
        panic!("what --show writes cannot be read (loaded: {loaded}): {error}");
    }
    assert_eq!(show(&again), shown);
    // The settings of all rooms can be made from any configuration.
    let _ = weir::settings::engine(&config, true);
    let _ = weir::settings::limits(&config);
    let _ = weir::device::driver_config(&config, true);
}

fn variables(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n');
    let mut table = VariableTable::default();
    for name in ["A", "B"] {
        table.set(name, lines.next().unwrap_or_default());
    }
    for expression in ["$A", "$B", "!$A", "[$A,!$B]", "[$HOME_NET,$B]"].into_iter().chain(lines) {
        match table.addresses(expression) {
            Ok(set) => {
                let rest = set.complement();
                assert!(set.union(&rest).is_any(), "{expression}");
                assert!(set.intersection(&rest).is_empty(), "{expression}");
                assert_eq!(rest.complement(), set, "{expression}");
            }
            Err(error) => assert!(!error.to_string().is_empty() && !error.remedy().is_empty()),
        }
        if let Ok(set) = table.ports(expression) {
            let rest = set.complement();
            assert!(set.union(&rest).is_any(), "{expression}");
            for port in [0, 1, 79, 80, 81, 1023, 1024, 65534, 65535] {
                assert_ne!(set.contains(port), rest.contains(port), "{expression} {port}");
            }
        }
    }
}

fn side_files(bytes: &[u8]) {
    let file = |name: &str| Some(RuleSource::from_text(name, bytes));
    let rules = [RuleSource::from_text(
        "x.rules",
        "alert tcp any any -> any any (content:\"abcd\"; classtype:bad-unknown; reference:url,a.b; sid:1;)",
    )];
    let options = LoadOptions {
        classification: file("classification.config"),
        reference: file("reference.config"),
        threshold: file("threshold.config"),
        ..LoadOptions::default()
    };
    let set = load(&rules, &VariableTable::default(), &options);
    assert_eq!(set.rules.len() + set.rejected.len(), 1);
    for diagnostic in set.rejected.iter().chain(&set.warnings) {
        let _ = weir_rules::diag::render_text(diagnostic);
        let _ = weir_rules::diag::render_json(diagnostic);
    }
    let loaded = weir::pipeline::compile(set, &Config::default(), std::time::Instant::now());
    assert!(loaded.program.len() + loaded.refused.len() <= 1);
}
