//! One Weir takes the device over from another while traffic goes on: the simulated NIC is in a process of its own, between two
//! network namespaces. Needs root; without, the tests say that they are skipped.
//!
//! `cargo test --release -p weir --test live_handover -- --ignored --nocapture` measures with ET Open.

mod common;
mod lab;

use common::Place;
use lab::bench::{Bench, around, blocked_connection, holes, lost};
use lab::{Lab, Process};
use rustix::process::Signal;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The next host: it takes over from the one at the control socket.
fn next(bench: &Bench, log: &str, rules: &str, settings: &[&str]) -> Process {
    let mut command = bench.command(env!("CARGO_BIN_EXE_weir"), log, settings);
    command.args(["--control", "weir.sock", "--replace", "--rules", rules]);
    Process::start(command)
}

fn first(bench: &Bench, log: &str, settings: &[&str]) -> Process {
    let mut command = bench.command(env!("CARGO_BIN_EXE_weir"), log, settings);
    command.args(["--control", "weir.sock"]);
    let mut host = Process::start(command);
    host.until("Weir is inline");
    host
}

fn stats(place: &Path, log: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(place.join(log).join("stats.json")).unwrap()).unwrap()
}

/// Milliseconds that it says the device was without a host.
fn silence(said: &str) -> f64 {
    let (_, rest) = said.split_once("without a host for ").unwrap_or_else(|| panic!("{said}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

/// Nothing is lost while it fails open, nothing passes uninspected while it fails closed, every frame is in the totals of one of them.
#[test]
fn the_next_takes_over_in_place() {
    for closed in [false, true] {
        let name = if closed { "closed" } else { "open" };
        let Some(bench) = Bench::new(&format!("handover-{name}")) else { return };
        bench.place.write("more.rules", "alert udp any any -> any 9001 (msg:\"more\"; content:\"flagged-datagram\"; sid:4;)\n");
        let settings = [if closed { "device.fail-mode=closed" } else { "device.fail-mode=open" }];
        let mut host = first(&bench, "log-0", &settings);
        assert!(bench.lives() && bench.page("evil-path").is_none());
        let blocked = bench.lab.client.within(blocked_connection).join().unwrap();
        for (n, text) in [(1, "nothing of interest"), (2, "flagged-datagram")] {
            let mut after = None;
            let missing = around(&bench, text, || {
                let mut other = next(&bench, &format!("log-{n}"), "more.rules", &settings);
                other.until("Weir is inline");
                assert_eq!(host.ended(), Some(0), "{}", host.said());
                assert!(host.said().contains("another Weir has taken"), "{}", host.said());
                std::thread::sleep(Duration::from_millis(300));
                after = Some(other);
            });
            host = after.unwrap();
            let (all, run) = lost(&missing);
            println!("fail-{name}, {text}: {all} datagrams lost, longest gap {run} ms");
            match closed {
                false => assert_eq!(all, 0, "{missing:?}"),
                // (A machine that is busy gives a process no core for as long as it likes.)
                true => assert!(missing.len() <= 1 && run <= 500, "{missing:?}"),
            }
            // It can be asked, at the same place.
            bench.place.good(&["tables", "status", "--control", "weir.sock"]);
        }
        assert!(bench.lives() && bench.page("evil-path").is_none(), "it inspects");
        host.end();
        println!("fail-{name}: without a host for {} ms", silence(&host.said()));
        // (The server has to notice that its client is gone.)
        std::thread::sleep(Duration::from_millis(300));
        // What was blocked stays so.
        let before = bench.counters()["dropped_flow_blocked"];
        let _ = (&blocked).write_all(b"more");
        let begin = Instant::now();
        while bench.counters()["dropped_flow_blocked"] == before {
            assert!(begin.elapsed() < Duration::from_secs(30), "a block outlives its host");
            std::thread::sleep(Duration::from_millis(200));
        }
        // Every frame that came while there were hosts is in the totals of one.
        let of = |log: &str, name: &str| stats(&bench.place.0, log)["device"][name].as_u64().unwrap_or(0);
        let sum = |name: &str| (0..3).map(|n| of(&format!("log-{n}"), name)).sum::<u64>();
        let fates = sum("passed_packets") + sum("diverted_packets") + sum("dropped_packets") + sum("bypassed_packets");
        assert_eq!(sum("received_packets"), fates);
        assert!((sum("bypassed_packets") == 0) || !closed);
        let alerts = |log: &str| std::fs::read_to_string(bench.place.0.join(log).join("eve.json")).unwrap();
        assert!(alerts("log-2").contains("\"signature_id\":4"), "the next host's rules judge");
        bench.end();
    }
}

/// Without one that can give its device away everything stays as it is.
#[test]
fn what_cannot_be_taken_over_is_named_with_a_remedy() {
    let Some(bench) = Bench::new("handover-refused") else { return };
    let ends = |mut process: Process, code: i32, needles: &[&str]| {
        assert_eq!(process.ended(), Some(code), "{}", process.said());
        for needle in needles {
            assert!(process.said().contains(needle), "{needle} is missing in {}", process.said());
        }
    };
    ends(next(&bench, "log-x", "t.rules", &[]), 3, &["weir.sock", "start without --replace"]);
    let mut host = first(&bench, "log", &[]);
    assert!(bench.lives());
    // Tables that the device does not take.
    let mut stream = std::os::unix::net::UnixStream::connect(bench.place.0.join("weir.sock")).unwrap();
    stream.write_all(b"{\"weir\":1,\"command\":\"hand-over\",\"image\":5}\nimage").unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
    assert!(answer.contains("refused"), "{answer}");
    assert!(bench.lives() && bench.page("evil-path").is_none(), "it goes on");
    // One that goes before it has taken anything.
    let mut other = next(&bench, "log-x", "t.rules", &[]);
    other.signal(Signal::KILL);
    other.ended();
    let begin = Instant::now();
    while bench.page("evil-path").is_some() || !bench.lives() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{}", host.said());
    }
    assert_eq!(host.end(), Some(0), "{}", host.said());
    bench.end();

    let Some(lab) = Lab::new("a device in its own process", 1500, true) else { return };
    let place = Place::empty("handover-local");
    place.write("t.rules", "alert ip any any -> any any (sid:1;)");
    let running = lab.weir(&place, "log", &["--inline", "m0,m1", "--control", "weir.sock"]);
    let arguments = ["run", "--rules", "t.rules", "--log-dir", "other", "--set", "device.inline=true", "--control", "weir.sock", "--replace"];
    let (code, _, error) = place.weir(&[&arguments[..], &["--device", "vfio-user:nic.sock"]].concat());
    assert!(code == 3 && error.contains("in its own process") && error.contains("weir sim serve"), "{error}");
    let (code, _, error) = place.weir(&arguments);
    assert!(code == 2 && error.contains("--device sim is none"), "{error}");
    running.end(true);
}

/// Hosts by turns, with all of ET Open loaded: how long the device is without one, and what that costs.
#[test]
#[ignore = "measures for a minute; wants the shared rules (WEIR_SHARED)"]
fn with_many_rules() {
    let Some(shared) = std::env::var_os("WEIR_SHARED") else {
        eprintln!("SKIPPED: with_many_rules: WEIR_SHARED is not set");
        return;
    };
    let rules = Path::new(&shared).join("data/rules/et-open").display().to_string();
    for mode in ["open", "closed"] {
        let Some(bench) = Bench::new(&format!("handover-many-{mode}")) else { return };
        let set = format!("device.fail-mode={mode}");
        let mut host = first(&bench, "log", &[&set]);
        let (over, mut silences) = (Arc::new(AtomicBool::new(false)), Vec::new());
        let stream = bench.stream("flagged-datagram", Arc::clone(&over));
        for n in 0..8 {
            let mut other = next(&bench, &format!("log-{n}"), &rules, &[&set]);
            other.until("Weir is inline");
            assert_eq!(host.ended(), Some(0), "{}", host.said());
            silences.extend((n > 0).then(|| silence(&host.said())));
            host = other;
            std::thread::sleep(Duration::from_millis(500));
        }
        over.store(true, Ordering::Relaxed);
        let sent = stream.join().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let arrived: Vec<u64> = bench.echo.try_iter().collect();
        host.end();
        silences.push(silence(&host.said()));
        std::thread::sleep(Duration::from_millis(300));
        let counters = bench.counters();
        let lost: u64 = holes(sent, &arrived).iter().map(|(_, n)| n).sum();
        println!(
            "fail-{mode}: without a host for {silences:.1?} ms; of {sent} datagrams {lost} lost, bypassed {}, dropped {}, abandoned {}",
            counters["bypassed_fail_open"], counters["dropped_fail_closed"], counters["verdict_abandoned"]
        );
        bench.end();
    }
}
