//! Live traffic by AF_XDP, between network namespaces that the tests make. Needs root; without, or where the kernel has no AF_XDP, they
//! say that they are skipped.

mod common;
mod lab;

use common::Place;
use lab::ends::{exchange, noise, spell};
use lab::{CLIENT, Lab, SERVER};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

const DEVICES: [&str; 2] = ["none", "sim"];

/// A laboratory; none where AF_XDP cannot be had.
fn laboratory(who: &str, mtu: u32) -> Option<Lab> {
    if !std::process::Command::new("ethtool").arg("--version").output().is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: {who}: ethtool is missing (tests/tools/install-live)");
        return None;
    }
    let lab = Lab::new(who, mtu, true)?;
    let place = Place::empty(&format!("xdp-probe-{who}"));
    place.write("t.rules", "alert ip any any -> any any (sid:1;)");
    let mut probe = lab.middle.command(env!("CARGO_BIN_EXE_weir"));
    probe.args(["run", "--rules", "t.rules", "--tap", "xdp:lo", "--seconds", "0", "--quiet"]).current_dir(&place.0);
    lab.middle.run("ip link set lo up mtu 1500");
    let done = probe.output().unwrap();
    if !done.status.success() {
        eprintln!("SKIPPED: {who}: no AF_XDP here: {}", String::from_utf8_lossy(&done.stderr));
        return None;
    }
    Some(lab)
}

/// Attacks end, clean transfers are whole: by the driver's XDP, and (macvlan has none) by the kernel's own.
#[test]
fn attacks_end_and_clean_transfers_are_whole() {
    const BYTES: usize = 3 << 20;
    let Some(lab) = laboratory("attacks_end_and_clean_transfers_are_whole", 1500) else { return };
    let place = Place::empty("xdp-inline");
    place.write(
        "t.rules",
        r#"drop tcp any any -> any 9001 (msg:"drop"; content:"attack-here"; sid:1;)
reject tcp any any -> any 9002 (msg:"reject"; content:"attack-here"; sid:2;)
"#,
    );
    for (mode, one) in [("the driver", "m0"), ("generic mode", "v0")] {
        if one == "v0" {
            lab.middle.run("ip link add link m0 name v0 type macvlan mode passthru");
            lab.middle.run("ip link set v0 up");
            // The kernel's own XDP takes frames as they come, and what is longer than a place is lost.
            lab.client.run("ethtool -K c0 tso off gso off");
        }
        for device in DEVICES {
            let between = format!("xdp:{one},xdp:m1");
            let weir = lab.weir(&place, device, &["--inline", &between, "--device", device]);
            for family in 0..2 {
                let text = b"nothing yet, then attack-here and more";
                let until = &text[..text.iter().position(|b| *b == b'-').unwrap() + 4];
                let [_, server] = spell(&lab, family, 9001, text);
                assert_eq!((&*server.0, server.1), (until, Some(ErrorKind::WouldBlock)), "drop, {mode}, {device}");
                let [client, server] = spell(&lab, family, 9002, text);
                assert_eq!((&*server.0, server.1), (until, Some(ErrorKind::ConnectionReset)), "reject, {mode}, {device}");
                assert_eq!(client.1, Some(ErrorKind::ConnectionReset), "reject, {mode}, {device}");
                let [client, server] = exchange(&lab, family, 9010, BYTES);
                assert!(client == (noise(1, BYTES), None), "to the client, {mode}, {device}");
                assert!(server == (noise(2, BYTES), None), "to the server, {mode}, {device}");
            }
            let left = weir.end(true);
            assert!(left.said.contains(mode), "{}", left.said);
            assert_eq!(left.alerts(), [1, 1, 2, 2], "{mode}, {device}");
            assert_eq!(left.of_interfaces("refused_packets"), 0, "{mode}, {device}: {}", left.stats);
        }
    }
    // Nothing of it is left at the interfaces.
    assert!(!lab.middle.run("ip link show m1").contains("xdp"));
}

#[test]
fn a_tap_takes_what_comes() {
    let Some(lab) = laboratory("a_tap_takes_what_comes", 1500) else { return };
    let place = Place::empty("xdp-tap");
    place.write("t.rules", "alert udp any any -> any 9020 (content:\"hello\"; threshold:type limit, track by_rule, count 1, seconds 60; sid:1;)");
    for device in DEVICES {
        let weir = lab.weir(&place, device, &["--tap", "xdp:m0", "--device", device, "--set", "live.ring-size=1MiB"]);
        let send = || {
            let socket = UdpSocket::bind((CLIENT[0], 0)).unwrap();
            // Nobody answers for the server's address: frames to all.
            socket.set_broadcast(true).unwrap();
            (0..2000).filter(|_| socket.send_to(b"hello", ("10.9.0.255", 9020)).is_ok()).count()
        };
        let sent = lab.client.within(send).join().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        let left = weir.end(true);
        let all = left.of_interfaces("received_packets") + left.of_interfaces("lost_packets");
        assert_eq!((left.alerts(), all >= sent as u64, sent), (vec![1], true, 2000), "{device}: {}", left.stats);
        assert!(left.of_interfaces("completed_checksums") > 0, "{}", left.stats);
    }
}

/// An interface that was down takes part again.
#[test]
fn down_and_up() {
    let Some(lab) = laboratory("down_and_up", 1500) else { return };
    let place = Place::empty("xdp-down");
    place.write("t.rules", "drop tcp any any -> any any (content:\"that is nowhere in here\"; sid:1;)");
    let weir = lab.weir(&place, "log", &["--inline", "xdp:m0,xdp:m1"]);
    for _ in 0..2 {
        let [client, server] = exchange(&lab, 0, 9010, 1 << 16);
        assert!(client == (noise(1, 1 << 16), None) && server == (noise(2, 1 << 16), None));
        lab.middle.run("ip link set m1 down");
        let lost = || UdpSocket::bind((CLIENT[0], 0)).unwrap().send_to(b"hello", (SERVER[0], 9030)).unwrap();
        lab.client.within(lost).join().unwrap();
        std::thread::sleep(Duration::from_millis(300));
        lab.middle.run("ip link set m1 up");
        std::thread::sleep(Duration::from_millis(300));
    }
    let left = weir.end(true);
    assert_eq!(left.of_interfaces("downs"), 2, "{}", left.stats);
}

#[test]
fn what_cannot_be_used_is_named_with_a_remedy() {
    let Some(lab) = laboratory("what_cannot_be_used_is_named_with_a_remedy", 1500) else { return };
    let place = Place::empty("xdp-errors");
    place.write("t.rules", "alert ip any any -> any any (sid:1;)");
    let refused = |source: &[&str], code: i32, needles: &[&str]| {
        let mut command = lab.middle.command(env!("CARGO_BIN_EXE_weir"));
        let done = command.args(["run", "--rules", "t.rules"]).args(source).current_dir(&place.0).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(code), "{error}");
        for needle in needles {
            assert!(error.contains(needle), "{needle} is missing in {error}");
        }
    };
    refused(&["--inline", "xdp:m0,m0"], 2, &["m0 is named twice"]);
    refused(&["--tap", "xdp:nowhere0"], 2, &["no interface nowhere0"]);
    let running = lab.weir(&place, "log", &["--tap", "xdp:m0"]);
    refused(&["--tap", "xdp:m0"], 2, &["interface m0", "leave `xdp:` out"]);
    running.end(true);
    lab.middle.run("ip link set m0 mtu 9000");
    refused(&["--tap", "xdp:m0"], 2, &["AF_XDP takes frames of an MTU of", "ip link set m0 mtu"]);
    lab.middle.run("ip link add q0 numrxqueues 65 type veth peer name q1");
    lab.middle.run("ip link set q0 up");
    refused(&["--tap", "xdp:q0"], 2, &["it has 65 receive queues", "ethtool -L q0 combined 64"]);
}
