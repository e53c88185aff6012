//! `weir rules explain` and `weir rules cost`, profiles and `--max-host-share`, as a user calls them.
//!
//! `WEIR_BLESS=1 cargo test --release -p weir --test explain` writes the pages below `explain/` anew. Shares are left out of them:
//! they change with the statistics.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::Place;
use serde_json::Value;

const RULES: &str = r#"alert tcp any any -> any 4444 (msg:"literal"; content:"malware-beacon"; offset:4; sid:1; rev:1;)
alert dns any any -> any any (msg:"transformed"; dns.query; content:"evil.example.com"; nocase; endswith; sid:2; rev:1;)
alert http any any -> $HOME_NET any (msg:"guarded"; flow:established,to_server; http.uri; content:"/gate.php?id="; sid:3; rev:2;)
alert icmp any any -> any any (msg:"header"; itype:8; icode:0; dsize:>800; sid:4; rev:1;)
alert tls any any -> any any (msg:"complete"; ja3.hash; content:"e7d705a3286e19ea42f587b344ee6865"; sid:5; rev:1;)
alert http any any -> any any (msg:"deferred"; http.method; content:"POST"; flowbits:set,posted; noalert; sid:6; rev:1;)
alert tcp any any -> any 4444 (msg:"the same fragment"; content:"malware-beacon"; offset:4; threshold:type limit, track by_src, count 1, seconds 60; sid:7; rev:1;)
alert tcp any any -> any any (msg:"broken"; contant:"x"; sid:8;)
"#;

/// Without the shares and the place.
fn masked(page: &str) -> String {
    let mut out = String::new();
    for (n, word) in page.split_inclusive(' ').enumerate() {
        let bare = word.trim_end();
        let number = bare.contains('.') && bare.chars().all(|c| c.is_ascii_digit() || c == '.');
        out += if number && n > 0 { "N " } else { word };
    }
    out
}

fn rules(name: &str) -> Place {
    let place = Place::empty(name);
    place.write("x.rules", RULES);
    place
}

#[test]
fn pages_of_each_class() {
    let place = rules("explain-pages");
    for (sid, class) in [("1", "L"), ("2", "T"), ("3", "G"), ("4", "H"), ("5", "C"), ("6", "D")] {
        let page = masked(&place.good(&["rules", "explain", sid, "--rules", "x.rules"]));
        assert!(page.contains(&format!("class     {class}: ")), "{page}");
        assert!(!page.contains("Some(") && !page.contains(" {"), "a value as the programmer sees it: {page}");
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/explain/{class}.txt"));
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::write(&golden, &page).unwrap();
        }
        let wanted = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(page, wanted, "{}", golden.display());
    }
}

#[test]
fn the_json_twin_says_the_same() {
    let place = rules("explain-json");
    let value: Value =
        serde_json::from_str(&place.good(&["rules", "explain", "1", "3", "--rules", "x.rules", "--json"])).unwrap();
    let first = &value["rules"][0];
    assert_eq!(
        (first["class"].as_str(), first["rule"]["header"].as_str()),
        (Some("L"), Some("alert tcp any any -> any 4444"))
    );
    let fragment = &first["conditions"][0]["fragments"][0];
    assert_eq!(
        (fragment["rules"].as_u64(), fragment["with"][0].as_u64(), fragment["bytes"].as_u64()),
        (Some(2), Some(7), Some(8))
    );
    assert_eq!(first["proof"]["proven"], true);
    let guarded = &value["rules"][1];
    let guards = guarded["conditions"].as_array().unwrap().iter().flat_map(|c| c["guards"].as_array().unwrap());
    assert!(guards.count() > 0, "{guarded:#}");
    let (own, alone) = (guarded["expected"]["own"].as_f64().unwrap(), guarded["expected"]["alone"].as_f64().unwrap());
    assert!(own > 0.0 && own <= alone && alone < 0.2, "{guarded:#}");
    // HOME_NET is that of the configuration.
    let set = ["--set", "vars.HOME_NET=192.0.2.0/24"];
    let out = place.good(&[&["rules", "explain", "3", "--rules", "x.rules"][..], &set].concat());
    assert!(out.contains("to 192.0.2.0/24") && out.contains("-> 192.0.2.0/24 any"), "{out}");
}

#[test]
fn rules_that_do_not_load_are_told_with_place_and_remedy() {
    let place = rules("explain-rejected");
    let (code, out, error) = place.weir(&["rules", "explain", "8", "--rules", "x.rules"]);
    assert_eq!(code, 1, "{out}{error}");
    assert!(out.contains("x.rules:8:") && out.contains("did you mean `content`?") && out.contains("^^^^^^^"), "{out}");
    let (code, out, _) = place.weir(&["rules", "explain", "8", "1", "--rules", "x.rules", "--json"]);
    assert_eq!(code, 1);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((value["rules"][0]["rejected"]["line"].as_u64(), value["rules"][1]["sid"].as_u64()), (Some(8), Some(1)));
    let (code, _, error) = place.weir(&["rules", "explain", "99", "--rules", "x.rules"]);
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("no rule has sid 99"), "{error}");
}

#[test]
fn costs_are_ranked_and_a_limit_refuses() {
    let place = rules("cost");
    let text: String = (0..20)
        .map(|n| format!("alert http any any -> any any (http.uri; content:\"/page{n:03}.php\"; sid:{};)\n", 100 + n))
        .collect();
    place.write("x.rules", format!("{RULES}{text}alert tcp any any -> any any (msg:\"dear\"; flags:A; sid:9;)\n"));
    let value: Value = serde_json::from_str(&place.good(&["rules", "cost", "--rules", "x.rules", "--json"])).unwrap();
    let rules = value["rules"].as_array().unwrap();
    assert_eq!(rules[0]["sid"], 9, "{value:#}");
    assert!(rules.iter().all(|r| r["own"].as_f64().unwrap() >= 1e-3), "every rule above 0.1 %: {value:#}");
    assert!(rules.windows(2).all(|w| w[0]["own"].as_f64() >= w[1]["own"].as_f64()));
    assert!(value["expected"]["host"]["frames"].as_f64() >= value["expected"]["flagged"]["frames"].as_f64());
    assert_eq!(value["class_c"]["rules"], 1);
    // What all rules on targets ask for is nobody's own.
    let shared = value["shared"].as_array().unwrap();
    assert!(shared.iter().any(|s| s["rules"].as_u64() >= Some(20)), "{value:#}");
    let out = place.good(&["rules", "cost", "--rules", "x.rules", "--top", "1"]);
    assert!(out.contains("bar: at most 50") && out.contains("Class C: 1 rules"), "{out}");
    let build = ["tables", "build", "--rules", "x.rules", "-o", "x.tables", "--max-host-share"];
    let (code, out, error) = place.weir(&[&build[..], &["5"]].concat());
    assert_eq!(code, 5, "{out}{error}");
    assert!(
        out.contains("dear") && error.contains("--max-host-share allows 5 %") && error.contains("\n  = "),
        "{out}{error}"
    );
    assert!(!place.0.join("x.tables").exists(), "nothing is written");
    place.good(&[&build[..], &["100"]].concat());
    assert_eq!(place.weir(&[&build[..], &["200"]].concat()).0, 2);
    place.traffic();
    let run = ["run", "--rules", "x.rules", "--pcap", "office.pcap", "--log-dir", "log", "--max-host-share"];
    let (code, out, _) = place.weir(&[&run[..], &["5"]].concat());
    assert!(code == 5 && out.contains("dear") && !place.0.join("log/stats.json").exists(), "{out}");
    place.good(&[&run[..], &["100"]].concat());
    let (code, _, error) = place.weir(&[&run[..], &["100", "--device", "none"]].concat());
    assert!(code == 2 && error.contains("for a device"), "{code} {error}");
}

#[test]
fn what_flagged_frames_is_measured() {
    let place = Place::empty("measured");
    place.write(
        "x.rules",
        "alert tcp any any -> any any (msg:\"pages\"; flow:to_client; content:\"HTTP/1.1 200\"; sid:1;)\n\
         alert tcp any any -> any any (msg:\"all\"; flow:to_client; flags:A+; dsize:>0; sid:2;)\n\
         alert tcp any any -> any any (msg:\"none\"; content:\"there is no such thing\"; sid:3;)\n",
    );
    place.traffic();
    let cost = ["rules", "cost", "--rules", "x.rules", "--measure", "office.pcap", "--set", "capture.checksums=ignore"];
    let value: Value = serde_json::from_str(&place.good(&[&cost[..], &["--json"]].concat())).unwrap();
    let measured = &value["measured"];
    let reasons = measured["reasons"].as_array().unwrap();
    let of = |sid: u64| reasons.iter().find(|r| r["sids"].as_array().unwrap().contains(&sid.into()));
    let share = |of: &Value, name: &str| of[name].as_f64().unwrap();
    let (pages, all) = (of(1).unwrap(), of(2).unwrap());
    // Each page is data of a server: the first rule never holds alone, the second mostly.
    assert_eq!((share(pages, "alone"), of(3)), (0.0, None), "{measured:#}");
    assert!(share(pages, "held") > 0.0 && share(all, "alone") > 0.0 && share(all, "held") > share(all, "alone"));
    let parts: f64 = reasons.iter().map(|r| share(r, "part")).sum();
    assert!((parts - share(measured, "flagged")).abs() < 1e-9 && share(measured, "began") < share(measured, "flagged"));
    // As the audit counts it.
    let audit = ["audit", "equivalence", "--rules", "x.rules", "--pcap", "office.pcap", "--json", "audit.json"];
    place.good(&[&audit[..], &["--set", "capture.checksums=ignore", "-q"]].concat());
    let audited: Value = serde_json::from_slice(&std::fs::read(place.0.join("audit.json")).unwrap()).unwrap();
    let flagged = audited["measured"]["flagged"]["frames"].as_f64().unwrap();
    assert!((flagged - share(measured, "flagged")).abs() < 1e-9, "{flagged} {measured:#}");
    assert!(place.good(&cost).contains("what flagged frames"));
    assert_eq!(place.weir(&["rules", "cost", "--rules", "x.rules", "--measure", "x.rules"]).0, 3);
}

#[test]
fn profiles_are_learned_kept_and_named_in_bundles() {
    let place = rules("profiles");
    place.traffic();
    let build = |more: &[&str]| {
        place.weir(&[&["tables", "build", "--rules", "x.rules", "--seed", "1", "-o"][..], more].concat())
    };
    let (code, out, error) = build(&["a.tables", "--profile", "office.pcap", "--save-profile", "office.profile"]);
    assert_eq!(code, 0, "{out}{error}");
    assert!(out.contains("Planned by profile") && error.contains("at the host"), "{out}{error}");
    // The file stands for the capture.
    assert_eq!(build(&["b.tables", "--profile", "office.profile"]).0, 0);
    let read = |name: &str| std::fs::read(place.0.join(name)).unwrap();
    assert_eq!(read("a.tables"), read("b.tables"));
    let saved = read("office.profile");
    assert!(saved.len() < 400_000, "{} bytes", saved.len());
    // Nothing of a payload is in it, packed or not.
    let text = String::from_utf8_lossy(&saved).into_owned();
    assert!(!text.contains("HTTP") && !text.contains("GET"));
    for (name, change) in [("cut", &saved[..saved.len() / 2]), ("text", &b"WEIRPROF is what it begins with"[..])] {
        place.write(name, change);
        let (code, _, error) = build(&["c.tables", "--profile", name]);
        assert!(code == 3 && error.contains(name) && error.contains("\n  = "), "{code} {error}");
    }
    let (code, _, error) = build(&["c.tables", "--profile", "office.profile", "office.pcap"]);
    assert!(code == 2 && error.contains("cannot be added"), "{code} {error}");
    place.good(&["tables", "keygen", "k"]);
    place.bundle_of("x.rules", "1.bundle", "1", &["--profile", "office.profile"]);
    let value: Value = serde_json::from_str(&place.good(&["tables", "inspect", "1.bundle", "--json"])).unwrap();
    let named = &value["bundle"]["manifest"]["profile"];
    assert_eq!(named["source"], "office.pcap", "{value:#}");
    assert!(named["frames"].as_u64() > Some(100) && named["digest"].as_str().unwrap().len() == 8);
    assert!(place.good(&["tables", "inspect", "1.bundle"]).contains("planned by profile"));
    // Alerts do not depend on it, and the checker proves tables that it planned.
    place.good(&[
        "audit",
        "equivalence",
        "--rules",
        "x.rules",
        "--pcap",
        "office.pcap",
        "--profile",
        "office.profile",
        "-q",
    ]);
    assert!(place.good(&["tables", "verify", "a.tables", "--rules", "x.rules"]).contains("proven"));
    let run =
        ["run", "--rules", "x.rules", "--pcap", "office.pcap", "--log-dir", "log", "-q", "--profile", "office.profile"];
    place.good(&run);
    let explained = place.good(&["rules", "explain", "3", "--rules", "x.rules", "--profile", "office.profile"]);
    assert!(explained.contains("by profile"), "{explained}");
}
