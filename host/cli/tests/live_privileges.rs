//! What a live run may do once it is at work. Needs root; without, the tests say that they are skipped.

mod common;
mod lab;

use common::Place;
use lab::ends::{exchange, noise, spell};
use lab::{Lab, Process};
use rustix::process::Signal;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::{Duration, Instant};

const RULES: &str = "drop tcp any any -> any 9001 (msg:\"drop\"; content:\"attack-here\"; sid:1;)\n";

/// Lines of all threads' status: name and value.
fn status(process: u32, name: &str) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |path: &Path| {
        let text = std::fs::read_to_string(path.join("status")).unwrap_or_default();
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(|value| value.trim().to_owned())
    };
    let mut all: Vec<String> = threads.filter_map(|thread| of(&thread.unwrap().path())).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// All threads have these capabilities, and can get no others.
fn assert_reduced(process: u32, capabilities: u64) {
    let text = format!("{capabilities:016x}");
    for name in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(status(process, name), [text.clone()], "{name}");
    }
    for name in ["CapInh", "CapAmb"] {
        assert_eq!(status(process, name), ["0000000000000000"], "{name}");
    }
    assert_eq!(status(process, "NoNewPrivs"), ["1"]);
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !until() {
        assert!(begin.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A place that only the user writes to.
fn place_of(name: &str, user: u32) -> Place {
    let place = Place::empty(name);
    place.write("t.rules", RULES);
    std::fs::set_permissions(&place.0, PermissionsExt::from_mode(0o755)).unwrap();
    chown(&place.0, Some(user), Some(user)).unwrap();
    place
}

#[test]
fn a_run_has_none_once_it_is_at_work() {
    let Some(lab) = Lab::new("a_run_has_none_once_it_is_at_work", 1500, true) else { return };
    for (name, user, more) in [("as-root", 0, &[][..]), ("as-user", 65_534, &["--user", "65534:65533"])] {
        let place = place_of(&format!("privileges-{name}"), user);
        let weir = lab.weir(&place, "log", &[&["--inline", "m0,m1", "--control", "weir.sock"], more].concat());
        assert_reduced(weir.id(), 0);
        let ids = if user == 0 { "0\t0\t0\t0" } else { "65534\t65534\t65534\t65534" };
        assert_eq!(status(weir.id(), "Uid"), [ids]);
        if user != 0 {
            assert_eq!([status(weir.id(), "Gid"), status(weir.id(), "Groups")], [["65533\t65533\t65533\t65533"], ["65533"]]);
        }
        let [_, server] = spell(&lab, 0, 9001, b"an attack-here");
        assert_eq!(server.1, Some(ErrorKind::WouldBlock));
        // A log that is renamed is made anew, with the user's rights.
        let log = weir.log().join("eve.json");
        wait("nothing is logged", || std::fs::metadata(&log).is_ok_and(|meta| meta.len() > 0));
        std::fs::rename(&log, weir.log().join("eve.1")).unwrap();
        let [_, server] = spell(&lab, 1, 9001, b"an attack-here");
        assert_eq!(server.1, Some(ErrorKind::WouldBlock));
        wait("the log is not made anew", || std::fs::metadata(&log).is_ok_and(|meta| meta.len() > 0 && meta.uid() == user));
        // The interface goes and comes again.
        lab.middle.run("ip link set m1 down");
        std::thread::sleep(Duration::from_millis(200));
        lab.middle.run("ip link set m1 up");
        std::thread::sleep(Duration::from_millis(200));
        let [client, server] = exchange(&lab, 0, 9010, 1 << 16);
        assert!(client == (noise(1, 1 << 16), None) && server == (noise(2, 1 << 16), None));
        assert_eq!(weir.end(true).alerts(), [1]);
    }
}

/// What was switched off comes on again, however Weir ends, though it has not the right to any more.
#[test]
fn offloads_come_back() {
    let Some(lab) = Lab::new("offloads_come_back", 1500, true) else { return };
    if !std::process::Command::new("ethtool").arg("--version").output().is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: offloads_come_back: ethtool is missing (tests/tools/install-live)");
        return;
    }
    let place = place_of("privileges-offloads", 0);
    let is_on = || lab.middle.run("ethtool -k m0").lines().any(|line| line == "generic-segmentation-offload: on");
    for killed in [false, true] {
        assert!(is_on());
        let mut weir = lab.weir(&place, "log", &["--inline", "m0,m1"]);
        assert!(!is_on());
        if killed {
            weir.signal(Signal::KILL);
            weir.gone();
        } else {
            weir.end(true);
        }
        wait("the offloads stay off", is_on);
    }
}

/// The kernel asks for CAP_NET_ADMIN with each verdict.
#[test]
fn queues_keep_what_verdicts_need() {
    let Some(lab) = Lab::new("queues_keep_what_verdicts_need", 1500, true) else { return };
    if !std::process::Command::new("iptables").arg("--version").output().is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: queues_keep_what_verdicts_need: iptables is missing (tests/tools/install-live)");
        return;
    }
    lab.route();
    lab.middle.run("iptables -A FORWARD -j NFQUEUE --queue-num 3");
    let place = place_of("privileges-queue", 65_534);
    let weir = lab.weir(&place, "log", &["--inline", "nfqueue:3", "--user", "65534:65534"]);
    assert_reduced(weir.id(), 1 << 12);
    assert_eq!(status(weir.id(), "Uid"), ["65534\t65534\t65534\t65534"]);
    let [client, server] = exchange(&lab, 0, 9010, 1 << 16);
    assert!(client == (noise(1, 1 << 16), None) && server == (noise(2, 1 << 16), None));
    let left = weir.end(true);
    assert_eq!(left.of_interfaces("lost_packets"), 0, "{}", left.stats);
}

#[test]
fn an_interface_that_is_made_anew_ends_the_run() {
    let Some(lab) = Lab::new("an_interface_that_is_made_anew_ends_the_run", 1500, false) else { return };
    let place = place_of("privileges-anew", 0);
    for (kept, set) in [(false, "system.drop-privileges=true"), (true, "system.drop-privileges=false")] {
        lab.middle.run("ip link add t0 type veth peer name t1");
        lab.middle.run("ip link set t0 up");
        let mut command = lab.middle.command(env!("CARGO_BIN_EXE_weir"));
        command.args(["run", "--rules", "t.rules", "--tap", "t0", "--set", set]).current_dir(&place.0);
        let mut weir = Process::start(command);
        weir.until("Weir is ");
        lab.middle.run("ip link del t0");
        weir.until("t0 is gone");
        lab.middle.run("ip link add t0 type veth peer name t1");
        lab.middle.run("ip link set t0 up");
        if kept {
            weir.until("t0 is there again");
            assert_eq!(weir.end(), Some(0), "{}", weir.said());
        } else {
            assert_eq!(weir.ended(), Some(4), "{}", weir.said());
            assert!(weir.said().contains("t0 was made anew") && weir.said().contains("system.drop-privileges"), "{}", weir.said());
        }
        lab.middle.run("ip link del t0");
    }
}

/// The simulated NIC in a process of its own, and its host.
#[test]
fn the_served_device_and_its_host_have_none() {
    let Some(lab) = Lab::new("the_served_device_and_its_host_have_none", 1500, true) else { return };
    let place = place_of("privileges-served", 65_534);
    let mut command = lab.middle.command(env!("CARGO_BIN_EXE_weir"));
    command.args(["sim", "serve", "--socket", "nic.sock", "--inline", "m0,m1", "--user", "65534:65534"]).current_dir(&place.0);
    let mut nic = Process::start(command);
    nic.until("Serving");
    assert_reduced(nic.id(), 0);
    let more = ["--device", "vfio-user:nic.sock", "--set", "device.inline=true", "--user", "65534:65534"];
    let weir = lab.weir(&place, "log", &more);
    assert_reduced(weir.id(), 0);
    let [_, server] = spell(&lab, 0, 9001, b"an attack-here");
    assert_eq!(server.1, Some(ErrorKind::WouldBlock));
    assert_eq!(weir.end(true).alerts(), [1]);
    assert_eq!(nic.end(), Some(0), "{}", nic.said());
}

#[test]
fn who_cannot_be_is_named_with_a_remedy() {
    let place = Place::empty("privileges-errors");
    place.write("t.rules", RULES);
    let (code, _, error) = place.weir(&["run", "--rules", "t.rules", "--tap", "lo", "--user", "nobody-of-that-name"]);
    assert!(code == 2 && error.contains("no user nobody-of-that-name") && error.contains("/etc/passwd"), "{error}");
}
