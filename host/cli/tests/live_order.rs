//! Frames of a flow keep their order though some of them wait for a host in another process. Needs root; without, the test says that
//! it is skipped.

mod common;
mod lab;

use lab::bench::Bench;
use lab::{CLIENT, SERVER};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::net::UdpSocket;
use std::time::Duration;

/// Keeps a process or this thread on one processor: a virtual interface delivers by the processor that sends, so frames of a sender that moves
/// overtake each other.
fn pin(process: Option<u32>) {
    let mut one = CpuSet::new();
    one.set(0);
    let process = process.and_then(|id| Pid::from_raw(id.cast_signed()));
    sched_setaffinity(process, &one).unwrap();
}

/// A host answers a frame, and lets its flow go, while others of the flow wait for it: those that the device passes from then on must not
/// overtake them.
#[test]
fn nothing_overtakes_what_waits_for_a_verdict() {
    const FRAMES: u64 = 6000;
    let Some(mut bench) = Bench::new("order") else { return };
    pin(Some(bench.nic.id()));
    let mut host = bench.host("log", &[]);
    let mut all = 0;
    for (flagged, breath) in [(53, 50), (100, 10), (503, 300), (503, 100)] {
        while bench.echo.try_recv().is_ok() {}
        let send = move || {
            pin(None);
            let socket = UdpSocket::bind((CLIENT[0], 0)).unwrap();
            for number in 0..FRAMES {
                let text: &[u8] = if number % flagged == 0 { b"flagged-datagram" } else { b"nothing of interest" };
                socket.send_to(&[&number.to_be_bytes()[..], text].concat(), (SERVER[0], 9001)).unwrap();
                // As fast as it goes, but for a breath now and then: a socket has its bounds.
                if number % breath == breath - 1 {
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        };
        bench.lab.client.within(send).join().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        let arrived: Vec<u64> = bench.echo.try_iter().collect();
        let overtaken = arrived.windows(2).filter(|pair| pair[1] < pair[0]).count();
        println!("one in {flagged} flagged: {} of {FRAMES} arrived, {overtaken} overtaken", arrived.len());
        assert!(arrived.len() as u64 > FRAMES / 2, "{}", arrived.len());
        all += overtaken;
    }
    assert_eq!(host.end(), Some(0), "{}", host.said());
    assert_eq!(bench.nic.end(), Some(0), "{}", bench.nic.said());
    // (A host that gets no processor for so long is not waited for, and the ports say so.)
    let given_up = bench.nic.out().contains("left before earlier ones of their flow");
    println!("{all} overtaken{}", if given_up { "; the host took too long" } else { "" });
    assert!(all == 0 || given_up);
    let stats: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(bench.place.0.join("log/stats.json")).unwrap()).unwrap();
    let of = |name: &str| stats["device"][name].as_u64().unwrap();
    assert!(of("diverted_packets") > FRAMES / 10 && of("passed_packets") > FRAMES / 10 && of("released") > 20, "{stats}");
}
