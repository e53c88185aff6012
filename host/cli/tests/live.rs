//! Live traffic through Weir, between network namespaces that the tests make. Needs root; without, they say that they are
//! skipped.

mod common;
mod lab;

use common::Place;
use lab::ends::{ATTACKS, PATIENCE, attacks_in_streams, exchange, noise, spell};
use lab::{CLIENT, Lab, SERVER};
use std::net::UdpSocket;
use std::time::Duration;
use weir_live::{Link, LinkConfig, Mode, Next, Offloads, QueueConfig, Wire};

const DEVICES: [&str; 2] = ["none", "sim"];

fn inline<'a>(device: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["--inline", "m0,m1", "--device", device], more].concat()
}

#[test]
fn attacks_end_before_their_last_byte() {
    let Some(lab) = Lab::new("attacks_end_before_their_last_byte", 1500, true) else { return };
    let place = Place::empty("live-attacks");
    place.write("t.rules", ATTACKS);
    for device in DEVICES {
        let weir = lab.weir(&place, device, &inline(device, &[]));
        for family in 0..2 {
            attacks_in_streams(&lab, family, device);

            let server = lab.server.within(move || {
                let socket = UdpSocket::bind((SERVER[family], 9003)).unwrap();
                socket.set_read_timeout(PATIENCE).unwrap();
                let mut buffer = [0; 100];
                let (n, from) = socket.recv_from(&mut buffer).unwrap();
                assert_eq!(&buffer[..n], b"hello");
                socket.connect(from).unwrap();
                socket.send(b"well").unwrap();
                socket.recv(&mut buffer).map_err(|error| error.raw_os_error())
            });
            let client = lab.client.within(move || {
                let socket = UdpSocket::bind((CLIENT[family], 0)).unwrap();
                socket.set_read_timeout(PATIENCE).unwrap();
                socket.connect((SERVER[family], 9003)).unwrap();
                std::thread::sleep(Duration::from_millis(100));
                let mut buffer = [0; 100];
                socket.send(b"hello").unwrap();
                assert_eq!(socket.recv(&mut buffer).unwrap(), 4);
                socket.send(b"attack-here").unwrap();
                socket.recv(&mut buffer).map_err(|error| error.raw_os_error())
            });
            // EHOSTUNREACH and EACCES: "administratively prohibited", of IPv4 and IPv6.
            let told = Err(Some([113, 13][family]));
            assert_eq!((client.join().unwrap(), server.join().unwrap()), (told, told), "{device}, family {family}");
        }
        let left = weir.end(true);
        assert_eq!(left.alerts(), [1, 1, 2, 2, 3, 3, 4, 4], "{device}");
        assert_eq!(left.of_interfaces("refused_packets"), 0);
        assert_eq!(left.summary.contains("The NIC is simulated"), device == "sim");
        if device == "sim" {
            // Dropped flows live in the device's flow table.
            assert!(left.stats["device"]["dropped_packets"].as_u64() > Some(0), "{}", left.stats);
        }
    }
}

#[test]
fn clean_transfers_are_whole() {
    const BYTES: usize = 3 << 20;
    // The second sends every frame to the host.
    for (mtu, more) in [(1500, &[][..]), (9000, &["--set", "output.flow=true"])] {
        let Some(lab) = Lab::new("clean_transfers_are_whole", mtu, true) else { return };
        let place = Place::empty(&format!("live-transfers-{mtu}"));
        place.write("t.rules", "drop tcp any any -> any any (content:\"that is nowhere in here\"; sid:1;)");
        // A segment that the kernel lost before it came holds its flow until it is sent again: then the share is asked of another run.
        let mut again = 2;
        let mut devices = std::collections::VecDeque::from(DEVICES);
        while let Some(device) = devices.pop_front() {
            let weir = lab.weir(&place, device, &inline(device, more));
            for family in 0..2 {
                let [client, server] = exchange(&lab, family, 9010, BYTES);
                assert!(client == (noise(1, BYTES), None), "to the client, {device}, MTU {mtu}");
                assert!(server == (noise(2, BYTES), None), "to the server, {device}, MTU {mtu}");
            }
            let left = weir.end(true);
            assert_eq!((left.alerts(), left.of_interfaces("lost_packets")), (vec![], 0), "{device}: {}", left.stats);
            if device == "sim" {
                if left.stats["device"]["guards"]["sequence_gap"].as_u64() > Some(0) && again > 0 {
                    again -= 1;
                    devices.push_front(device);
                    continue;
                }
                let all = left.stats["device"]["received_packets"].as_u64().unwrap();
                let diverted = left.stats["device"]["diverted_packets"].as_u64().unwrap();
                assert!(if mtu == 1500 { diverted * 10 < all } else { diverted * 2 > all }, "{}", left.stats);
            }
        }
    }
}

/// Frames of all kinds that an Ethernet carries.
fn frames(mtu: usize) -> Vec<Vec<u8>> {
    let office = weir_synth::example::example(7, 60).frames.into_iter().map(|frame| frame.bytes);
    let mut all: Vec<Vec<u8>> = office.filter(|frame| frame.len() <= mtu + 14).collect();
    let ends = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
    let with = |head: &[u8], length: usize| {
        let mut frame = [&ends, head].concat();
        frame.extend(noise(length as u64, length - frame.len()));
        frame
    };
    for length in [60, 61, 1514, mtu + 14] {
        all.push(with(&[0x88, 0xb5], length));
        all.push(with(&[0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1], length));
        // One tag comes on top of the MTU; the kernel's packet sockets allow no more.
        all.push(with(&[0x81, 0x00, 0x60, 0x05, 0x08, 0x00, 0x45], length + 4));
        all.push(with(&[0x88, 0xa8, 0x00, 0x07, 0x81, 0x00, 0x00, 0x05, 0x86, 0xdd, 0x60], length));
    }
    // Spanning tree: 802.3 with a length, to a group address.
    all.push([[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 8].as_slice(), &[0, 46], &[0x42, 0x42, 3], &[0; 43]].concat());
    // Tagged IP that is inspected.
    for frame in all.clone().into_iter().take(300) {
        all.push([&frame[..12], &[0x81, 0, 0x20, 0x0a], &frame[12..]].concat());
    }
    all
}

fn listener(name: &str, frames: usize, seconds: u64) -> Link {
    Link::open(LinkConfig {
        mode: Mode::Tap,
        interfaces: vec![name.to_owned()],
        ring: 64 << 20,
        promiscuous: true,
        offloads: Offloads::Keep,
        queues: QueueConfig::default(),
        idle: Duration::from_millis(20),
        frames: Some(frames as u64),
        duration: Some(Duration::from_secs(seconds)),
    })
    .unwrap()
}

#[test]
fn frames_pass_unharmed_and_in_order() {
    for mtu in [1500, 9000] {
        let Some(lab) = Lab::new("frames_pass_unharmed_and_in_order", mtu, false) else { return };
        let place = Place::empty(&format!("live-frames-{mtu}"));
        place.write("t.rules", "alert ip any any -> any any (content:\"o\"; threshold:type limit, track by_src, count 1, seconds 60; sid:1;)");
        for device in DEVICES {
            let weir = lab.weir(&place, device, &inline(device, &[]));
            let sent = frames(mtu as usize);
            let count = sent.len();
            let got = played(&lab, sent.clone(), count, 20);
            let left = weir.end(true);
            for (n, (sent, got)) in sent.iter().zip(&got).enumerate() {
                assert!(sent == got, "frame {n}, {device}, MTU {mtu}: {} bytes sent, {} got", sent.len(), got.len());
            }
            assert_eq!(got.len(), count, "{device}, MTU {mtu}: {}\n{}", left.said, left.stats);
            assert!(left.of_interfaces("restored_tags") >= 300);
            assert!(!left.alerts().is_empty());
        }
    }
}

/// Plays frames into the client's end and gives what comes out of the server's, `count` of them at most.
fn played(lab: &Lab, frames: Vec<Vec<u8>>, count: usize, patience: u64) -> Vec<Vec<u8>> {
    let (ready, is_ready) = std::sync::mpsc::channel();
    let receiver = lab.server.within(move || {
        let mut link = listener("s0", count, patience);
        ready.send(()).unwrap();
        let mut got = Vec::new();
        while link.next(&mut |frame| got.push(frame.data.to_vec())).unwrap() != Next::End {}
        got
    });
    is_ready.recv().unwrap();
    let sender = lab.client.within(move || {
        let wire = Wire::open(&["c0"]).unwrap();
        frames.iter().for_each(|frame| wire.inject(0, frame));
        wire.flush();
    });
    sender.join().unwrap();
    receiver.join().unwrap()
}

/// Its receiver has the fragments before: one more copy of the last would complete it.
#[test]
fn the_last_fragment_of_a_dropped_datagram_stays_out() {
    use weir_synth::wire::{Fragmentation, Order};
    use weir_synth::{DataOptions, FlowOptions, Scenario, SendOptions, Way};
    let Some(lab) = Lab::new("the_last_fragment_of_a_dropped_datagram_stays_out", 1500, false) else { return };
    let place = Place::empty("live-fragments");
    place.write("t.rules", "drop udp any any -> any 9040 (content:\"attack-here\"; sid:1;)");
    for device in DEVICES {
        for family in 0..2 {
            let mut scenario = Scenario::new();
            let end = |address: &str, port| (address.parse().unwrap(), port);
            let flow = scenario.udp(end(CLIENT[family], 4000), end(SERVER[family], 9040), FlowOptions::default());
            let fragment = Some(Fragmentation { size: 64, order: Order::Forward, overlap: 0 });
            let send = SendOptions { fragment, ..SendOptions::default() };
            let attack = [[b'.'; 160].as_slice(), b"attack-here"].concat();
            scenario.send(flow, Way::ToServer, &attack, &DataOptions { send, ..DataOptions::default() });
            let mut frames: Vec<Vec<u8>> = scenario.finish().frames.into_iter().map(|frame| frame.bytes).collect();
            let last = frames.last().unwrap().clone();
            let mut expected = frames[..frames.len() - 1].to_vec();
            frames.extend([last.clone(), last]);
            let other = [[2; 12].as_slice(), &[0x88, 0xb5], &[0; 46]].concat();
            frames.push(other.clone());
            expected.push(other);
            let weir = lab.weir(&place, device, &inline(device, &[]));
            let got = played(&lab, frames, expected.len() + 1, 1);
            assert!(got == expected, "{device}, family {family}: {} frames came through", got.len());
            assert_eq!(weir.end(true).alerts(), [1], "{device}");
        }
    }
}

#[test]
fn a_tap_raises_the_alerts_of_the_capture() {
    let Some(lab) = Lab::new("a_tap_raises_the_alerts_of_the_capture", 9000, false) else { return };
    let place = Place::empty("live-tap");
    let traffic = weir_synth::example::example(7, 600);
    place.write("office.pcap", traffic.to_pcap());
    place.write("t.rules", include_str!("../../../examples/office/office.rules"));
    let told = |events: &[serde_json::Value]| {
        let of = |e: &serde_json::Value| {
            let text = |name: &str| e[name].to_string();
            (e["alert"]["signature_id"].as_u64(), ["src_ip", "src_port", "dest_ip", "dest_port"].map(text))
        };
        let mut all: Vec<_> = events.iter().filter(|e| e["event_type"] == "alert").map(of).collect();
        all.sort();
        all
    };
    place.good(&["run", "--rules", "t.rules", "--pcap", "office.pcap", "--log-dir", "capture", "-q"]);
    let read = std::fs::read_to_string(place.0.join("capture/eve.json")).unwrap();
    let events: Vec<_> = read.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let expected = told(&events);
    assert!(expected.len() > 10);
    let count = traffic.frames.len();
    let frames: Vec<Vec<u8>> = traffic.frames.into_iter().map(|frame| frame.bytes).collect();
    for device in DEVICES {
        let weir = lab.weir(&place, device, &["--tap", "m0", "--device", device, "--frames", &count.to_string()]);
        let played = frames.clone();
        let sender = lab.client.within(move || {
            let wire = Wire::open(&["c0"]).unwrap();
            played.iter().for_each(|frame| wire.inject(0, frame));
            wire.flush();
        });
        sender.join().unwrap();
        let left = weir.end(false);
        assert_eq!(left.of_interfaces("received_packets"), count as u64);
        assert_eq!(told(&left.events), expected, "{device}");
    }
}

#[test]
fn an_interface_that_was_down_is_used_again() {
    let Some(lab) = Lab::new("an_interface_that_was_down_is_used_again", 1500, true) else { return };
    let place = Place::empty("live-down");
    place.write("t.rules", "alert tcp any any -> any 9020 (content:\"hello\"; sid:1;)");
    for device in DEVICES {
        let mut weir = lab.weir(&place, device, &inline(device, &[]));
        let greet = || spell(&lab, 0, 9020, b"hello");
        assert_eq!(greet()[1].0, b"hello");
        lab.middle.run("ip link set m1 down");
        weir.until("m1 went down");
        lab.middle.run("ip link set m1 up");
        weir.until("m1 is up again");
        assert_eq!(greet()[1].0, b"hello", "{device}");
        let left = weir.end(true);
        assert_eq!((left.alerts().len(), left.of_interfaces("downs")), (2, 1), "{device}: {}", left.stats);
    }
}

#[test]
fn dropped_flows_are_listed_and_let_go() {
    let Some(lab) = Lab::new("dropped_flows_are_listed_and_let_go", 1500, true) else { return };
    let place = Place::empty("live-flows");
    place.write("t.rules", "drop dns any any -> any any (dns.query; content:\"attack\"; sid:1;)\n");
    let server = lab.server.within(|| UdpSocket::bind((SERVER[0], 53)).unwrap()).join().unwrap();
    server.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let client = lab.client.within(|| UdpSocket::bind((CLIENT[0], 4000)).unwrap()).join().unwrap();
    let reaches = |text: &str| {
        client.send_to(&weir_synth::payload::dns_query(7, text, 1), (SERVER[0], 53)).unwrap();
        server.recv(&mut [0; 100]).is_ok()
    };
    let socket = ["--control", "weir.sock"];
    let list = || -> Vec<serde_json::Value> {
        let text = place.good(&[&["device", "flows", "--json"], &socket[..]].concat());
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["flows"].as_array().unwrap().clone()
    };
    let weir = lab.weir(&place, "sim", &inline("sim", &socket));
    assert!(reaches("hello.example") && list().is_empty());
    assert!(!reaches("attack.example") && !reaches("hello.example"));
    let flows = list();
    assert_eq!(flows.len(), 1);
    assert_eq!((&flows[0]["client_port"], &flows[0]["server_port"]), (&4000.into(), &53.into()), "{flows:?}");
    let flow = format!("{}:{}", flows[0]["flow"][0], flows[0]["flow"][1]);
    assert!(place.good(&[&["device", "flows"], &socket[..]].concat()).contains(&flow));
    place.good(&[&["device", "flows", "--undo", &flow], &socket[..]].concat());
    assert!(list().is_empty() && reaches("hello.example") && !reaches("attack.example"));
    let (code, _, error) = place.weir(&[&["device", "flows", "--undo", &flow], &socket[..]].concat());
    assert!(code == 3 && error.contains("is not dropped"), "{error}");
    weir.end(true);
    // With a time to live it is let go by itself, though nothing comes.
    let weir = lab.weir(&place, "sim", &inline("sim", &[&socket[..], &["--set", "inline.drop-time=2"]].concat()));
    assert!(!reaches("attack.example") && !reaches("hello.example") && list().len() == 1);
    std::thread::sleep(Duration::from_millis(2500));
    assert!(list().is_empty() && reaches("hello.example"));
    weir.end(true);
    let weir = lab.weir(&place, "none", &inline("none", &socket));
    let (code, _, error) = place.weir(&[&["device", "flows"], &socket[..]].concat());
    assert!(code == 3 && error.contains("no device"), "{error}");
    weir.end(true);
}

#[test]
fn time_goes_on_while_nothing_comes() {
    let Some(lab) = Lab::new("time_goes_on_while_nothing_comes", 1500, true) else { return };
    let place = Place::empty("live-idle");
    place.write("t.rules", "alert udp any any -> any 9030 (content:\"hello\"; sid:1;)");
    let greet = || {
        let send = || UdpSocket::bind((CLIENT[0], 0)).unwrap().send_to(b"hello", (SERVER[0], 9030)).unwrap();
        lab.client.within(send).join().unwrap()
    };
    // A flow ends without another frame.
    let more = ["--set", "output.flow=true", "--set", "flow.timeouts.udp-new=1"];
    let weir = lab.weir(&place, "none", &inline("none", &more));
    greet();
    let (file, begin) = (weir.log().join("eve.json"), std::time::Instant::now());
    while !std::fs::read_to_string(&file).unwrap_or_default().contains(r#""event_type":"flow""#) {
        assert!(begin.elapsed() < Duration::from_secs(20), "the flow does not end");
        std::thread::sleep(Duration::from_millis(100));
    }
    weir.end(true);
    // The device hears from the host although there is nothing to judge.
    let weir = lab.weir(&place, "sim", &inline("sim", &["--set", "device.watchdog-time=1", "--set", "device.fail-mode=closed"]));
    greet();
    std::thread::sleep(Duration::from_millis(2500));
    greet();
    std::thread::sleep(Duration::from_millis(200));
    let left = weir.end(true);
    assert_eq!((left.alerts(), &left.stats["device"]["dropped_packets"]), (vec![1, 1], &serde_json::json!(0)));
}

#[test]
fn what_cannot_be_used_is_named_with_a_remedy() {
    let place = Place::empty("live-errors");
    place.write("t.rules", "alert ip any any -> any any (sid:1;)");
    let says = |arguments: &[&str], needles: &[&str]| {
        let (code, _, error) = place.weir(&[&["run", "--rules", "t.rules"], arguments].concat());
        assert_eq!(code, 2, "{error}");
        for needle in needles {
            assert!(error.contains(needle), "{needle} is missing in {error}");
        }
    };
    says(&[], &["nothing to inspect", "--tap"]);
    says(&["--tap", "nowhere0"], &["no interface nowhere0", "interfaces here: lo"]);
    says(&["--inline", "lo"], &["two interfaces"]);
    let Some(lab) = Lab::new("what_cannot_be_used_is_named_with_a_remedy", 1500, false) else { return };
    let refused = |program: &[&str], interfaces: &str, more: &[&str], needles: &[&str]| {
        let mut command = lab.middle.command(program[0]);
        command.args(&program[1..]).args(["run", "--rules", "t.rules", "--inline", interfaces]).args(more);
        let done = command.current_dir(&place.0).output().unwrap();
        let error = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(2), "{error}");
        for needle in needles {
            assert!(error.contains(needle), "{needle} is missing in {error}");
        }
    };
    let weir = env!("CARGO_BIN_EXE_weir");
    refused(&[weir], "m0,m0", &[], &["m0 is named twice"]);
    let keep = ["--set", "live.offloads=refuse"];
    refused(&[weir], "m0,m1", &keep, &["m0 has offloads on", "ethtool -K m0"]);
    lab.middle.run("ip link set m1 down");
    refused(&[weir], "m0,m1", &[], &["interface m1 is down", "ip link set m1 up"]);
    let without = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw", weir];
    refused(&without, "m0,m1", &[], &["m0", "CAP_NET_RAW", "setcap"]);
}
