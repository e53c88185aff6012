//! `weir rules test` and `weir tables diff` as a user calls them: exit codes and what is printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::Place;

impl Place {
    fn json(&self, name: &str) -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(self.0.join(name)).unwrap()).unwrap()
    }

    fn build(&self, rules: &str, name: &str, seed: &str) {
        self.write("of-build.rules", rules);
        self.good(&["tables", "build", "--rules", "of-build.rules", "-o", name, "--seed", seed]);
    }
}

const GET: &str = r#"alert tcp any any -> any any (msg:"a request"; content:"GET /"; sid:7001; rev:1;)"#;

#[test]
fn a_rule_that_matches() {
    let place = Place::empty("rule-matches");
    place.traffic();
    let (code, out, error) =
        place.weir(&["rules", "test", "--rule", GET, "--pcap", "office.pcap", "--show", "2", "--json", "r.json"]);
    assert_eq!(code, 0, "{out}{error}");
    for part in [
        "7001",
        "fragment \"GET /",
        "office.pcap",
        "Simulated device, tables of this rule alone",
        "the first 2 are shown",
        "Alerts behind the device equal",
    ] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let json = place.json("r.json");
    let matches = json["matches"].as_array().unwrap();
    assert!(matches.len() > 2 && matches.len() as u64 == json["alerts"].as_u64().unwrap());
    assert!(matches.iter().all(|m| m["sid"] == 7001 && m["frame"].as_u64().unwrap() > 0));
    let device = &json["device"];
    // Every frame that reaches the host has one cause.
    let causes = device["causes"].as_array().unwrap();
    let sum: u64 = causes.iter().map(|c| c["amount"]["packets"].as_u64().unwrap()).sum();
    assert_eq!(device["host"]["packets"].as_u64().unwrap(), sum, "{device:#}");
    assert!(causes.iter().any(|c| c["by"].as_str().unwrap().starts_with("fragment")));
    assert!(device["host"]["packets"].as_u64() < device["received"]["packets"].as_u64());
}

#[test]
fn a_rule_that_does_not_match() {
    let place = Place::empty("rule-does-not-match");
    place.traffic();
    let rule = GET.replace("GET /", "in no frame whatever");
    let (code, out, error) = place.weir(&["rules", "test", "--rule", &rule, "--pcap", "office.pcap"]);
    assert_eq!(code, 1, "{out}{error}");
    assert!(out.contains("0 matches in 0 of 1 captures"), "{out}");
}

#[test]
fn a_rule_that_does_not_load_and_a_capture_that_is_none() {
    let place = Place::empty("rule-does-not-load");
    place.traffic();
    let rule = GET.replace("content", "contant");
    let (code, out, _) = place.weir(&["rules", "test", "--rule", &rule, "--pcap", "office.pcap", "--json", "r.json"]);
    assert_eq!(code, 2, "{out}");
    assert!(out.contains("did you mean `content`?") && out.contains("--rule:1:") && out.contains("^^^^^^^"), "{out}");
    let json = place.json("r.json");
    assert_eq!((&json["loads"], json["problems"].as_array().unwrap().len()), (&false.into(), 1));
    let (code, out, _) = place.weir(&["rules", "test", "--rule", "# nothing", "--pcap", "office.pcap"]);
    assert_eq!(code, 2, "{out}");
    place.write("no.pcap", "this is no capture");
    let (code, _, error) = place.weir(&["rules", "test", "--rule", GET, "--pcap", "no.pcap"]);
    assert_eq!(code, 2);
    assert!(error.contains("no.pcap"), "{error}");
}

#[test]
fn rules_behind_the_one_under_test() {
    let place = Place::empty("rule-with-others");
    place.traffic();
    place.write(
        "set.rules",
        r#"alert tcp any any -> any any (msg:"sets"; content:"GET /"; flowbits:set,seen; noalert; sid:1;)
alert tcp any any -> any any (msg:"broken"; contant:"x"; sid:2;)
"#,
    );
    let rule = r#"alert tcp any any -> any any (msg:"then"; flowbits:isset,seen; content:"GET /"; sid:3;)"#;
    let (code, out, error) =
        place.weir(&["rules", "test", "--rule", rule, "--rules", "set.rules", "--pcap", "office.pcap"]);
    // The broken rule of the file is not under test.
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("tables of these 2 rules alone"), "{out}");
    let (code, out, _) = place.weir(&["rules", "test", "--rule", rule, "--pcap", "office.pcap"]);
    assert_eq!(code, 1, "without the rule that sets the bit: {out}");
}

const SECOND: &str =
    r#"alert tcp 10.0.0.0/8 any -> any 80 (msg:"two"; content:"secondthing"; nocase; sid:7002; rev:1;)"#;

#[test]
fn equal_images_whatever_the_seed() {
    let place = Place::empty("images-equal");
    place.build(&format!("{GET}\n{SECOND}\n"), "a", "1");
    // Other hash constants, another order of records and sets, another revision: the same on the wire.
    place.build(&format!("{SECOND}\n{}\n", GET.replace("rev:1", "rev:2")), "b", "2");
    assert_ne!(std::fs::read(place.0.join("a")).unwrap(), std::fs::read(place.0.join("b")).unwrap());
    let (code, out, error) = place.weir(&["tables", "diff", "a", "b", "--json", "d.json"]);
    assert_eq!(code, 0, "{out}{error}");
    assert_eq!(place.json("d.json")["equal"], true);
}

#[test]
fn images_that_differ() {
    let place = Place::empty("images-differ");
    place.build(&format!("{GET}\n{SECOND}\n"), "a", "1");
    let third = r#"alert http any any -> any any (msg:"three"; http.uri; content:"/evil.php"; sid:7003;)"#;
    let second = SECOND.replace("secondthing", "otherthing").replace("10.0.0.0/8", "172.16.0.0/12");
    place.build(&format!("{second}\n{third}\n"), "b", "1");
    let (code, out, error) = place.weir(&["tables", "diff", "a", "b", "--json", "d.json"]);
    assert_eq!(code, 1, "{out}{error}");
    for part in [
        "+ \"herthing\" nocase",
        "- 10.0.0.0-10.255.255.255",
        "+ 172.16.0.0-172.31.255.255",
        "+ uri_percent_escape",
        "Rules by class: L 2 before, G 1, L 1 after",
        "Expected share",
    ] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let json = place.json("d.json");
    let rules: Vec<_> = json["rules"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| (r["sid"].as_u64().unwrap(), r["change"].as_str().unwrap()))
        .collect();
    assert_eq!(rules, [(7001, "removed"), (7002, "changed"), (7003, "added")]);
    let (a, b) = (&json["a"]["expected_share"], &json["b"]["expected_share"]);
    assert!(a.as_f64().unwrap() > 0.0 && b.as_f64().unwrap() < 1.0 && a != b);
    let alone = |side: &str| json[side]["expected_share_alone"].as_f64().unwrap();
    // Nothing that a rule asks for is in both, and requests are frequent.
    assert_eq!((alone("a"), alone("b")), (a.as_f64().unwrap(), b.as_f64().unwrap()));
    assert!(alone("a") > alone("b") && alone("b") > 0.0, "{json:#}");
    // The other way round, what was added is removed.
    let (code, out, _) = place.weir(&["tables", "diff", "b", "a"]);
    assert_eq!(code, 1);
    assert!(out.contains("- \"herthing\" nocase"), "{out}");
}

#[test]
fn images_that_a_device_would_refuse() {
    let place = Place::empty("images-refused");
    place.build(GET, "a", "1");
    let whole = std::fs::read(place.0.join("a")).unwrap();
    place.write("short", &whole[..whole.len() - 64]);
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    place.write("changed", &changed);
    place.write("text", "no image, but long enough for the header of one: sixty-four bytes and a few more");
    // A later contract, with a checksum that is right.
    let mut version = whole.clone();
    version[weir_contract::layouts::ImageHeader::OFFSET_MAJOR] += 1;
    let crc = weir_contract::crc::crc32c(&version[..60]);
    version[60..64].copy_from_slice(&crc.to_le_bytes());
    place.write("version", &version);
    for (file, cause) in [
        ("short", "cut short"),
        ("changed", "changed or damaged"),
        ("text", "no table image"),
        ("version", "another version"),
        ("absent", "absent"),
    ] {
        for pair in [["a", file], [file, "a"]] {
            let (code, out, error) = place.weir(&["tables", "diff", pair[0], pair[1]]);
            assert_eq!(code, 2, "{file}: {out}{error}");
            assert!(error.contains(cause) && error.contains(file), "{file}: {error}");
        }
    }
}

/// What is tried, and that it is on a simulated device, stands in both forms.
#[test]
fn a_device_is_tried_before_it_is_trusted() {
    let place = Place::empty("selftest");
    let (code, out, error) = place.weir(&["device", "selftest", "--set", "device.queues=4"]);
    assert_eq!(code, 0, "{out}{error}");
    for part in ["damaged tables", "over 4 queues", "simulated NIC", "0 failed"] {
        assert!(out.contains(part), "{part} is not in\n{out}");
    }
    let (code, out, _) = place.weir(&["device", "selftest", "--json"]);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, value["failed"].as_u64(), value["simulated"].as_bool()), (0, Some(0), Some(true)));
    assert_eq!(place.weir(&["device", "selftest", "--device", "none"]).0, 2);
}
