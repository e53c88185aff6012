//! Weir as the owner of a queue of the firewall (NFQUEUE), on a router between two network namespaces. Needs root and iptables; without,
//! the tests say that they are skipped.

mod common;
mod lab;

use common::Place;
use lab::ends::{ATTACKS, PATIENCE, attacks_in_streams, exchange, noise, spell};
use lab::{CLIENT, Lab, SERVER};
use rustix::process::Signal;
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::process::Command;

const DEVICES: [&str; 2] = ["none", "sim"];

fn queue<'a>(device: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--inline", "nfqueue:3-4", "--device", device], more].concat()
}

/// A router that queues what it forwards: IPv4 in queue 3, IPv6 in queue 4; `bypass`: without an owner it passes.
fn router(who: &str, bypass: bool) -> Option<Lab> {
    let has = |name| Command::new(name).arg("--version").output().is_ok_and(|done| done.status.success());
    if !has("iptables") || !has("ip6tables") {
        eprintln!("SKIPPED: {who}: iptables is missing (tests/tools/install-live)");
        return None;
    }
    let lab = Lab::new(who, 1500, true)?;
    lab.route();
    for (program, number) in [("iptables", 3), ("ip6tables", 4)] {
        let rule = format!("{program} -A FORWARD -j NFQUEUE --queue-num {number}{}", if bypass { " --queue-bypass" } else { "" });
        lab.middle.run(&rule);
    }
    Some(lab)
}

/// Whether a datagram comes through.
fn passes(lab: &Lab, text: &'static [u8]) -> bool {
    let socket = |at: &'static str| UdpSocket::bind((at, 0)).unwrap();
    let server = lab.server.within(move || socket(SERVER[0])).join().unwrap();
    server.set_read_timeout(PATIENCE).unwrap();
    let to = server.local_addr().unwrap();
    lab.client.within(move || socket(CLIENT[0]).send_to(text, to).unwrap()).join().unwrap();
    server.recv(&mut [0; 100]).is_ok()
}

#[test]
fn attacks_end_before_their_last_byte() {
    let Some(lab) = router("attacks_end_before_their_last_byte", false) else { return };
    let place = Place::empty("queue-attacks");
    place.write("t.rules", ATTACKS);
    for device in DEVICES {
        let weir = lab.weir(&place, device, &queue(device, &[]));
        for family in 0..2 {
            attacks_in_streams(&lab, family, device);
            let server = lab.server.within(move || UdpSocket::bind((SERVER[family], 9003)).unwrap()).join().unwrap();
            let client = lab.client.within(move || {
                let socket = UdpSocket::bind((CLIENT[family], 0)).unwrap();
                socket.set_read_timeout(PATIENCE).unwrap();
                socket.connect((SERVER[family], 9003)).unwrap();
                socket.send(b"attack-here").unwrap();
                socket.recv(&mut [0; 100]).map_err(|error| error.raw_os_error())
            });
            // EHOSTUNREACH and EACCES: "administratively prohibited", of IPv4 and IPv6.
            assert_eq!(client.join().unwrap(), Err(Some([113, 13][family])), "{device}, family {family}");
            drop(server);
        }
        let left = weir.end(true);
        assert_eq!(left.alerts(), [1, 1, 2, 2, 3, 3, 4, 4], "{device}");
        assert_eq!((left.of_interfaces("refused_packets"), left.of_interfaces("lost_packets")), (0, 0), "{}", left.stats);
        let names: Vec<_> = left.stats["interfaces"].as_array().unwrap().iter().map(|of| of["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["nfqueue:3", "nfqueue:4"]);
        if device == "sim" {
            assert!(left.stats["device"]["dropped_packets"].as_u64() > Some(0), "{}", left.stats);
        }
    }
}

/// What the ends leave to their cards (they send up to 64 KiB at once) is cut and completed before it is judged.
#[test]
fn clean_transfers_are_whole() {
    const BYTES: usize = 3 << 20;
    let Some(lab) = router("clean_transfers_are_whole", false) else { return };
    let place = Place::empty("queue-transfers");
    place.write("t.rules", "drop tcp any any -> any any (content:\"that is nowhere in here\"; sid:1;)");
    // The second sends every packet to the host.
    for (device, more) in [("none", &[][..]), ("sim", &[]), ("sim", &["--set", "output.flow=true"])] {
        let weir = lab.weir(&place, device, &queue(device, more));
        for family in 0..2 {
            let [client, server] = exchange(&lab, family, 9010, BYTES);
            assert!(client == (noise(1, BYTES), None), "to the client, {device}");
            assert!(server == (noise(2, BYTES), None), "to the server, {device}");
        }
        let left = weir.end(true);
        let of = |name| left.of_interfaces(name);
        assert_eq!((left.alerts(), of("lost_packets"), of("received_packets")), (vec![], 0, of("sent_packets")), "{device}: {}", left.stats);
        // None is longer than the MTU.
        assert!(of("received_bytes") <= 1500 * of("received_packets") && of("received_packets") as usize > 4 * BYTES / 1500);
    }
}

#[test]
fn a_queue_without_an_owner_does_what_its_rule_says() {
    for bypass in [false, true] {
        let Some(lab) = router("a_queue_without_an_owner_does_what_its_rule_says", bypass) else { return };
        let place = Place::empty(&format!("queue-owner-{bypass}"));
        place.write("t.rules", "drop udp any any -> any any (content:\"attack\"; sid:1;)");
        let mut weir = lab.weir(&place, "log", &queue("sim", &[]));
        assert!(passes(&lab, b"hello") && !passes(&lab, b"attack"));
        weir.signal(Signal::KILL);
        weir.gone();
        assert_eq!((passes(&lab, b"hello"), passes(&lab, b"attack")), (bypass, bypass), "bypass: {bypass}");
        let weir = lab.weir(&place, "log", &queue("sim", &[]));
        assert!(passes(&lab, b"hello") && !passes(&lab, b"attack"));
        weir.end(true);
    }
}

/// Weir stands still: what finds no place in the queue meets what is set, and is counted where the kernel counts it.
#[test]
fn a_full_queue_drops_or_passes_as_set() {
    let Some(lab) = router("a_full_queue_drops_or_passes_as_set", false) else { return };
    let place = Place::empty("queue-full");
    place.write("t.rules", "drop udp any any -> any any (content:\"attack\"; sid:1;)");
    for open in [false, true] {
        let set = format!("live.queue-fail-open={open}");
        let weir = lab.weir(&place, "log", &queue("sim", &["--set", "live.queue-length=20", "--set", &set]));
        weir.signal(Signal::STOP);
        let server = lab.server.within(|| UdpSocket::bind((SERVER[0], 9020)).unwrap()).join().unwrap();
        server.set_read_timeout(PATIENCE).unwrap();
        lab.client
            .within(|| {
                let socket = UdpSocket::bind((CLIENT[0], 0)).unwrap();
                for _ in 0..50 {
                    socket.send_to(b"hello", (SERVER[0], 9020)).unwrap();
                }
            })
            .join()
            .unwrap();
        weir.signal(Signal::CONT);
        let mut arrived = 0;
        while server.recv(&mut [0; 100]).is_ok() {
            arrived += 1;
        }
        let left = weir.end(true);
        let (received, lost) = (left.of_interfaces("received_packets"), left.of_interfaces("lost_packets"));
        let expected = if open { (50, 20, 0) } else { (20, 20, 30) };
        assert_eq!((arrived, received, lost), expected, "fail-open: {open}: {}", left.stats);
    }
}

/// Where answers of Weir pass its own rule they are let go; packets that it passes carry the mark that is set.
#[test]
fn own_answers_and_marks() {
    let Some(lab) = router("own_answers_and_marks", false) else { return };
    lab.middle.run("iptables -A OUTPUT -p tcp -j NFQUEUE --queue-num 3");
    lab.middle.run("iptables -t mangle -A POSTROUTING -m mark --mark 0x40/0x40 -p tcp --dport 9002");
    let place = Place::empty("queue-own");
    place.write("t.rules", "reject tcp any any -> any 9002 (content:\"attack-here\"; sid:2;)");
    let weir = lab.weir(&place, "log", &queue("sim", &["--set", "live.queue-mark=64"]));
    let [client, server] = spell(&lab, 0, 9002, b"an attack-here");
    assert_eq!([client.1, server.1], [Some(ErrorKind::ConnectionReset); 2]);
    let left = weir.end(true);
    assert_eq!((left.alerts(), left.of_interfaces("own_packets")), (vec![2], 2), "{}", left.stats);
    let counted = lab.middle.run("iptables -t mangle -L POSTROUTING -v -x");
    let rule = counted.lines().find(|line| line.contains("9002")).unwrap();
    let marked: u64 = rule.split_whitespace().next().unwrap().parse().unwrap();
    assert!(marked > 10 && marked <= left.of_interfaces("sent_packets"), "{counted}");
}

#[test]
fn what_cannot_be_used_is_named_with_a_remedy() {
    let Some(lab) = router("what_cannot_be_used_is_named_with_a_remedy", false) else { return };
    let place = Place::empty("queue-errors");
    place.write("t.rules", "alert ip any any -> any any (sid:1;)");
    let refused = |program: &[&str], source: &[&str], needles: &[&str]| {
        let mut command = lab.middle.command(program[0]);
        command.args(&program[1..]).args(["run", "--rules", "t.rules"]).args(source);
        let done = command.current_dir(&place.0).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{error}");
        for needle in needles {
            assert!(error.contains(needle), "{needle} is missing in {error}");
        }
    };
    let weir = env!("CARGO_BIN_EXE_weir");
    refused(&[weir], &["--inline", "nfqueue:9-3"], &["nfqueue:9-3 names no queue", "nfqueue:N-M"]);
    refused(&[weir], &["--tap", "nfqueue:3"], &["nfqueue:3 names no queue", "--inline"]);
    let running = lab.weir(&place, "log", &queue("none", &[]));
    refused(&[weir], &["--inline", "nfqueue:4"], &["nfqueue:4 belongs to another process", "another queue"]);
    running.end(true);
    let without = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin", weir];
    refused(&without, &["--inline", "nfqueue:4"], &["nfqueue:4", "CAP_NET_ADMIN", "setcap"]);
}
