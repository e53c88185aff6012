//! Bundles deployed to a running Weir, as a user does it: over the control socket, while frames come.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::Place;
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const FIRST: &str = r#"alert http any any -> any any (msg:"first"; http.uri; content:"/"; sid:8001; rev:1;)
alert tcp any any -> any any (msg:"request"; content:"GET /"; sid:8002; rev:1;)
"#;
const SECOND: &str = r#"alert http any any -> any any (msg:"second"; http.host; content:"e"; sid:8003; rev:1;)
alert dns any any -> any any (msg:"names"; dns.query; dataset:isset,names,type string,load names.lst; sid:8004; rev:1;)
"#;

impl Place {
    fn new(name: &str) -> Place {
        let place = Place::empty(&format!("deployment-{name}"));
        place.write("1.rules", FIRST);
        place.write("2.rules", SECOND);
        // "update.example", in base64.
        place.write("names.lst", "dXBkYXRlLmV4YW1wbGU=\n");
        place.traffic();
        place.good(&["tables", "keygen", "k"]);
        place.bundle("1.rules", "1", &[]);
        place.bundle("2.rules", "2", &[]);
        // It came with the bundle.
        std::fs::remove_file(place.0.join("names.lst")).unwrap();
        place
    }

    fn bundle(&self, rules: &str, version: &str, more: &[&str]) {
        self.bundle_of(rules, &format!("{version}.bundle"), version, more);
    }

    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.good(&[arguments, &["--control", "s", "--json"]].concat())).unwrap()
    }

    fn status(&self) -> Value {
        self.json(&["tables", "status"])
    }

    /// Refused with exit code 3 and these words; the epoch stays.
    fn refused(&self, bundle: &str, words: &[&str]) {
        let epoch = self.status()["epoch"].clone();
        let (code, out, error) = self.weir(&["tables", "deploy", bundle, "--control", "s"]);
        assert_eq!(code, 3, "{out}{error}");
        for word in words {
            assert!(error.contains(word), "`{word}` is not in: {error}");
        }
        assert!(error.contains("\n  = "), "no remedy: {error}");
        let status = self.status();
        assert_eq!(status["epoch"], epoch);
        let told = status["last_refusal"]["refused"].as_str().unwrap().to_owned();
        assert!(words.iter().all(|word| told.contains(word)), "{told}");
        let history = self.json(&["tables", "history"]);
        assert_eq!(history["attempts"].as_array().unwrap().last().unwrap()["refused"], told.as_str());
    }

    fn start(&self) -> Running {
        let arguments =
            ["run", "--bundle", "1.bundle", "--public-key", "k.pub", "--pcap", "office.pcap", "--control", "s"];
        let more = ["--loop", "0", "--rate", "20000", "--log-dir", "log", "-q"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(arguments).args(more).current_dir(&self.0).stdout(Stdio::null()).stderr(Stdio::null());
        let running = Running(Some(command.spawn().unwrap()));
        self.wait(|place| place.0.join("s").exists() && place.status()["frames"].as_u64() > Some(0));
        running
    }

    fn wait(&self, until: impl Fn(&Place) -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        while !until(self) {
            assert!(Instant::now() < end, "it does not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A run, ended when it is dropped.
struct Running(Option<Child>);

impl Running {
    /// As Ctrl-C does.
    fn end(mut self) -> i32 {
        let mut child = self.0.take().unwrap();
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        child.wait().unwrap().code().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn twenty_exchanges_lose_no_frame() {
    let place = Place::new("exchanges");
    let running = place.start();
    std::fs::write(place.0.join("3.rules"), SECOND.lines().next().unwrap()).unwrap();
    let first = place.status();
    assert_eq!((first["epoch"].as_u64(), first["bundle"]["version"].as_u64()), (Some(1), Some(1)));
    for n in 0..20u64 {
        let version = format!("{}", n + 3);
        place.bundle(if n % 2 == 0 { "3.rules" } else { "1.rules" }, &version, &[]);
        let done = place.json(&["tables", "deploy", &format!("{version}.bundle")]);
        assert_eq!((done["epoch"].as_u64(), done["proven"].as_bool()), (Some(n + 2), Some(true)));
    }
    let status = place.status();
    assert_eq!(status["epoch"], 21);
    assert!(status["programs"].as_array().unwrap().len() <= 2, "{status}");
    assert_eq!(running.end(), 0, "frames are not accounted for");
    assert!(!place.0.join("s").exists());
    let stats: Value = serde_json::from_slice(&std::fs::read(place.0.join("log/stats.json")).unwrap()).unwrap();
    let device = &stats["device"];
    let count = |name: &str| device[name].as_u64().unwrap();
    assert_eq!(
        count("received_packets"),
        count("passed_packets") + count("diverted_packets") + count("dropped_packets") + count("bypassed_packets")
    );
    assert_eq!(count("bypassed_packets") + count("dropped_packets"), 0);
}

#[test]
fn deployed_rules_judge_and_data_sets_come_with_them() {
    let place = Place::new("judge");
    let running = place.start();
    place.wait(|place| place.status()["alerts"].as_u64() > Some(0));
    place.json(&["tables", "deploy", "2.bundle"]);
    place.wait(|place| place.status()["judging"].as_u64() == Some(2));
    let frames = place.status()["frames"].as_u64().unwrap();
    // A pass and more.
    place.wait(|place| place.status()["frames"].as_u64() > Some(frames + 10_000));
    let done = place.json(&["tables", "rollback"]);
    assert_eq!((done["version"].as_u64(), done["epoch"].as_u64()), (Some(1), Some(3)));
    assert_eq!(place.weir(&["tables", "rollback", "--control", "s"]).0, 3, "nothing before it");
    assert_eq!(running.end(), 0);
    let eve = std::fs::read_to_string(place.0.join("log/eve.json")).unwrap();
    let alerts: Vec<Value> = eve
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| event["event_type"] == "alert")
        .collect();
    let sids: Vec<u64> = alerts.iter().map(|event| event["alert"]["signature_id"].as_u64().unwrap()).collect();
    // Each says of which epoch it is, where the schema leaves room for it.
    for (event, sid) in alerts.iter().zip(&sids) {
        let epoch = event["alert"]["context"]["weir"]["epoch"].as_u64();
        assert!(if *sid >= 8003 { epoch == Some(2) } else { matches!(epoch, Some(1 | 3)) }, "{event}");
    }
    // Epochs follow one another: first, second, first.
    let of_second = |sid: &u64| *sid >= 8003;
    let begin = sids.iter().position(of_second).unwrap();
    let end = sids.iter().rposition(of_second).unwrap();
    assert!(begin > 0 && sids[begin..=end].iter().all(of_second));
    assert!(sids.contains(&8003) && sids.contains(&8001));
    // What is accepted next is what was rolled back to.
    assert_eq!(place.weir(&["tables", "history", "--public-key", "k.pub"]).0, 0);
}

#[test]
fn what_is_refused_changes_nothing() {
    let place = Place::new("refusals");
    place.good(&["tables", "keygen", "other"]);
    place.good(&["tables", "build", "--rules", "1.rules", "--key", "other", "-o", "foreign.bundle"]);
    let running = place.start();
    let bytes = std::fs::read(place.0.join("2.bundle")).unwrap();
    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(place.0.join("changed.bundle"), changed).unwrap();
    std::fs::write(place.0.join("cut.bundle"), &bytes[..middle]).unwrap();
    place.refused("changed.bundle", &["changed.bundle", "at byte", "was changed"]);
    place.refused("cut.bundle", &["cut.bundle", "at byte", "cut short"]);
    place.refused("foreign.bundle", &["at byte 16", "signed with key"]);
    place.refused("1.rules", &["at byte 0", "no bundle"]);
    place.refused("missing.bundle", &["missing.bundle"]);
    place.json(&["tables", "deploy", "2.bundle"]);
    place.refused("1.bundle", &["version 1", "version 2 was accepted"]);
    assert_eq!(place.status()["bundle"]["version"], 2);
    assert_eq!(running.end(), 0);
    let (code, _, error) = place.weir(&["tables", "status", "--control", "s"]);
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("control socket s") && error.contains("weir run"), "{error}");
}

/// Bundles with the right signature, whose manifest says that they may not be used here or now: refused with the reason,
/// and what judged before judges on.
#[test]
fn well_signed_bundles_that_may_not_be_used() {
    use weir_bundle::{Bundle, Manifest, PrivateKey, seal};
    use weir_contract::constants::{CONTRACT_MAJOR, CONTRACT_MINOR};
    let place = Place::new("not-here-not-now");
    let bytes = std::fs::read(place.0.join("2.bundle")).unwrap();
    let key = PrivateKey::read(&place.0.join("k")).unwrap();
    let made = |name: &str, change: &dyn Fn(&mut Manifest)| {
        let bundle = Bundle::open_unverified(&bytes).unwrap();
        let mut manifest = bundle.manifest.clone();
        let names: Vec<String> = manifest.parts.iter().map(|part| part.name.clone()).collect();
        change(&mut manifest);
        let parts: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), bundle.part(name).unwrap())).collect();
        place.write(name, seal(manifest, &parts, &key).unwrap());
    };
    let running = place.start();
    place.wait(|place| place.status()["alerts"].as_u64() > Some(0));
    made("expired.bundle", &|m| (m.created, m.expires) = (1_000, 2_000));
    place.refused("expired.bundle", &["expired.bundle", "`expires`", "expired at 2000 s"]);
    made("early.bundle", &|m| (m.created, m.expires) = (m.created + 1_000_000, m.expires + 1_000_000));
    place.refused("early.bundle", &["`created`", "it is only"]);
    made("later.bundle", &|m| m.contract = (CONTRACT_MAJOR, CONTRACT_MINOR + 1));
    place.refused("later.bundle", &["`contract`", "needs contract"]);
    made("other.bundle", &|m| m.contract = (CONTRACT_MAJOR + 1, 0));
    place.refused("other.bundle", &["`contract`", "needs contract"]);
    let geometries: [(&str, fn(&mut weir_bundle::Needs)); 4] = [
        ("records", |n| n.records = 1 << 40),
        ("fragments", |n| n.fragments = 1 << 40),
        ("header_entries", |n| n.header_entries = 1 << 40),
        ("prefixes_v6", |n| n.prefixes_v6 = 1 << 40),
    ];
    for (what, change) in geometries {
        made("geometry.bundle", &|m| change(&mut m.needs));
        place.refused("geometry.bundle", &[&format!("`needs.{what}`"), "another geometry"]);
    }
    // Cut at each of its borders, and a byte longer than it says.
    let manifest = u32::from_le_bytes(*bytes[12..].first_chunk().unwrap()) as usize;
    for length in [0, 7, 31, 32 + manifest / 2, 32 + manifest + 10, bytes.len() - 1] {
        place.write("cut.bundle", &bytes[..length]);
        place.refused("cut.bundle", &["at byte"]);
    }
    place.write("long.bundle", [&bytes[..], b"x"].concat());
    place.refused("long.bundle", &["at byte", "too long"]);
    let alerts = place.status()["alerts"].as_u64().unwrap();
    place.wait(|place| place.status()["alerts"].as_u64() > Some(alerts));
    let status = place.status();
    assert_eq!((status["epoch"].as_u64(), status["bundle"]["version"].as_u64()), (Some(1), Some(1)), "{status}");
    // The right one is still taken.
    place.json(&["tables", "deploy", "2.bundle"]);
    assert_eq!(place.status()["bundle"]["version"], 2);
    // What was refused is not noted as accepted; what was accepted is a floor after a restart too.
    assert_eq!(running.end(), 0);
    let (code, _, error) = place.weir(&["run", "--bundle", "1.bundle", "--public-key", "k.pub", "--pcap", "office.pcap", "--log-dir", "log"]);
    assert_eq!(code, 3, "{error}");
    assert!(error.contains("version 1") && error.contains("version 2 was accepted"), "{error}");
}
