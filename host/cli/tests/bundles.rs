//! Keys, bundles and the checker as a user calls them: exit codes, places, causes, remedies.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::Place;

const RULES: &str = r#"alert tcp any any -> any any (msg:"a request"; content:"GET /"; sid:7001; rev:1;)
alert http any any -> any any (msg:"by its target"; http.uri; content:"/admin"; sid:7002; rev:1;)
alert http any any -> any any (msg:"sets"; http.uri; content:"/login"; flowbits:set,in; noalert; sid:7003; rev:1;)
alert dns any any -> any any (msg:"a name"; dns.query; content:"evil.example"; endswith; sid:7004; rev:1;)
"#;

impl Place {
    /// With a key, rules, traffic and a bundle of version 10.
    fn new(name: &str) -> Place {
        let place = Place::empty(&format!("bundles-{name}"));
        place.write("x.rules", RULES);
        place.traffic();
        place.good(&["tables", "keygen", "k"]);
        place.bundle("10.bundle", "10", &[]);
        place
    }

    fn bundle(&self, name: &str, version: &str, more: &[&str]) {
        self.bundle_of("x.rules", name, version, more);
    }

    fn run(&self, bundle: &str) -> (i32, String, String) {
        let quiet = ["--set", "output.eve=false", "--log-dir", "log"];
        self.weir(
            &[&["run", "--bundle", bundle, "--public-key", "k.pub", "--pcap", "office.pcap"][..], &quiet].concat(),
        )
    }

    /// Refused: code 3, and these words; what was accepted before stays as it is.
    fn refused(&self, bundle: &str, words: &[&str]) {
        let state = std::fs::read(self.0.join("k.pub.accepted")).ok();
        let (code, out, error) = self.run(bundle);
        assert_eq!(code, 3, "{out}{error}");
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
        assert!(error.contains("\n  = "), "no remedy: {error}");
        assert_eq!(std::fs::read(self.0.join("k.pub.accepted")).ok(), state);
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.0.join(name)).unwrap()
    }
}

#[test]
fn a_bundle_runs_as_its_rules_do() {
    let place = Place::new("run");
    let (code, out, error) = place.run("10.bundle");
    assert_eq!(code, 0, "{out}{error}");
    let of = |place: &Place| -> serde_json::Value { serde_json::from_slice(&place.read("log/stats.json")).unwrap() };
    let bundle = of(&place);
    let rules = ["run", "--rules", "x.rules", "--pcap", "office.pcap", "--set", "output.eve=false", "--log-dir", "log"];
    place.good(&rules);
    let plain = of(&place);
    assert_eq!(bundle["host"]["alerts"], plain["host"]["alerts"]);
    assert_eq!(bundle["host"]["by_cause"], plain["host"]["by_cause"]);
    assert_eq!(bundle["device"], plain["device"]);
    assert_eq!(bundle["rules"], plain["rules"]);
    assert!(plain["host"]["alerts"].as_u64().unwrap() > 0);
}

#[test]
fn changed_cut_and_foreign_bundles_are_refused() {
    let place = Place::new("refused");
    assert_eq!(place.run("10.bundle").0, 0);
    let bytes = place.read("10.bundle");
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(place.0.join("changed.bundle"), changed).unwrap();
    place.refused("changed.bundle", &["changed.bundle", "at byte", "was changed"]);
    std::fs::write(place.0.join("cut.bundle"), &bytes[..middle]).unwrap();
    place.refused("cut.bundle", &["at byte", "cut short"]);
    place.good(&["tables", "keygen", "other"]);
    place.good(&["tables", "build", "--rules", "x.rules", "--key", "other", "-o", "foreign.bundle"]);
    place.refused("foreign.bundle", &["at byte 16", "signed with key"]);
    place.refused("x.rules", &["at byte 0", "no bundle"]);
}

#[test]
fn versions_only_grow_unless_someone_rolls_back() {
    let place = Place::new("versions");
    place.bundle("11.bundle", "11", &[]);
    assert_eq!(place.run("10.bundle").0, 0);
    assert_eq!(place.run("11.bundle").0, 0);
    place.refused("10.bundle", &["version 10", "version 11 was accepted"]);
    place.bundle("11b.bundle", "11", &["--seed", "9"]);
    place.refused("11b.bundle", &["another bundle of version 11"]);
    assert!(place.good(&["tables", "history", "--public-key", "k.pub"]).contains("No bundle below version 11"));
    assert_eq!(place.weir(&["tables", "rollback", "--public-key", "k.pub", "--to", "9"]).0, 3);
    place.good(&["tables", "rollback", "--public-key", "k.pub", "--to", "10"]);
    assert_eq!(place.run("10.bundle").0, 0);
}

#[test]
fn expired_bundles_are_refused() {
    let place = Place::new("expired");
    let (code, _, error) =
        place.weir(&["tables", "build", "--rules", "x.rules", "--key", "k", "--expires", "0", "-o", "e.bundle"]);
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("`expires` is not behind `created`"), "{error}");
}

#[test]
fn private_keys_that_others_can_read_are_refused() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("keys");
    std::fs::set_permissions(place.0.join("k"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (code, out, error) =
        place.weir(&["-vvv", "tables", "build", "--rules", "x.rules", "--key", "k", "-o", "n.bundle"]);
    assert_eq!(code, 2, "{out}{error}");
    assert!(error.contains("mode 0644") && error.contains("chmod 600"), "{error}");
    let secret = String::from_utf8(place.read("k")).unwrap();
    let secret = secret.trim().rsplit(' ').next().unwrap();
    assert!(!error.contains(secret) && !out.contains(secret));
    assert!(!place.0.join("n.bundle").exists());
    assert_ne!(place.weir(&["tables", "keygen", "k"]).0, 0, "no key is written over");
}

#[test]
fn runs_that_log_everything_need_tables_that_send_it() {
    let place = Place::new("everything");
    let run = |bundle: &str| {
        place.weir(&[
            "run",
            "--bundle",
            bundle,
            "--public-key",
            "k.pub",
            "--pcap",
            "office.pcap",
            "--log-dir",
            "log",
            "--set",
            "inline.simulate=true",
        ])
    };
    let (code, out, error) = run("10.bundle");
    assert_eq!(code, 2, "{out}{error}");
    assert!(error.contains("--everything"), "{error}");
    place.bundle("12.bundle", "12", &["--everything"]);
    let (code, out, error) = run("12.bundle");
    assert_eq!(code, 0, "{out}{error}");
}

/// Tables are exchanged every few frames: the alerts stay those of the full engine, and every frame is accounted for.
#[test]
fn exchanges_under_load_lose_and_add_nothing() {
    let place = Place::new("swaps");
    for every in ["11", "64"] {
        // Twice: a second capture begins with a device that has nothing to go back to.
        let captures = ["--pcap", "office.pcap", "--pcap", "again.pcap"];
        std::fs::copy(place.0.join("office.pcap"), place.0.join("again.pcap")).unwrap();
        let out =
            place.good(&[&["audit", "equivalence", "--rules", "x.rules", "--swaps", every][..], &captures].concat());
        let times =
            out.split("exchanged ").nth(1).and_then(|rest| rest.split(" times").next()).unwrap().replace(' ', "");
        assert!(times.parse::<u64>().unwrap() > 20, "{out}");
    }
    // With other rules, on the device and on the host.
    let other = r#"alert http any any -> any any (msg:"host"; http.host; content:"e"; sid:7101; rev:1;)
alert tcp any any -> any any (msg:"another rule of that number"; content:"HTTP/1.1"; sid:7001; rev:2;)
alert ip any any -> any any (msg:"addresses"; sid:7102; rev:1;)
alert tls any any -> any any (msg:"protocol"; sid:7103; rev:1;)
alert http any any -> any any (msg:"was set in this epoch"; flowbits:isset,in; http.uri; content:"/"; sid:7104; rev:1;)
alert http any any -> any any (msg:"sets"; http.method; content:"GET"; flowbits:set,in; noalert; sid:7105; rev:1;)
"#;
    std::fs::write(place.0.join("other.rules"), other).unwrap();
    for every in ["7", "23"] {
        let captures = ["--pcap", "office.pcap", "--json", "swaps.json"];
        let rules = ["--rules", "x.rules", "--swap-rules", "other.rules", "--swaps", every];
        place.good(&[&["audit", "equivalence"][..], &rules, &captures].concat());
        let value: serde_json::Value = serde_json::from_slice(&place.read("swaps.json")).unwrap();
        assert_eq!(value["differences"], 0);
        assert!(value["swaps"]["exchanges"].as_u64().unwrap() > 20 && value["alerts"].as_u64().unwrap() > 50, "{value:#}");
        assert!(value["swaps"]["most_programs"].as_u64().unwrap() <= 3, "{value:#}");
        assert!(value["swaps"]["checked"].as_u64().unwrap() > 10, "{value:#}");
    }
}

#[test]
fn the_checker_proves_images_and_bundles() {
    let place = Place::new("verify");
    assert!(place.good(&["tables", "verify", "10.bundle"]).contains("proven"));
    place.good(&["tables", "build", "--rules", "x.rules", "-o", "x.tables"]);
    assert!(place.good(&["tables", "verify", "x.tables", "--rules", "x.rules"]).contains("proven"));
    // Of other rules it proves nothing.
    std::fs::write(place.0.join("y.rules"), RULES.replace("GET /", "POST /")).unwrap();
    let (code, out, _) = place.weir(&["tables", "verify", "x.tables", "--rules", "y.rules"]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("y.rules:1: rule 1:7001:1 has no proof") && out.contains("NOT PROVEN"), "{out}");
    let out =
        place.good(&["tables", "verify", "x.tables", "--rules", "x.rules", "--mutants", "33", "--seed", "3", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    let of = |key: &str| value["mutants"][key].as_u64().unwrap();
    assert!(of("made") >= 30 && of("noticed") * 10 >= (of("made") - of("take_nothing_away")) * 9, "{out}");
    assert!(place.good(&["tables", "inspect", "10.bundle", "--public-key", "k.pub"]).contains("signature good"));
    assert_eq!(place.weir(&["tables", "diff", "10.bundle", "x.tables"]).0, 0, "the same rules look for the same");
}
