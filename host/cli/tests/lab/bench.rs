//! The bench of tests that break things: the simulated NIC between two namespaces in a process of its own, servers behind it, and a host
//! that drives it in another.

use super::{CLIENT, Lab, Process, SERVER};
use crate::common::Place;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const RULES: &str = r#"
drop http any any -> any any (msg:"evil"; flow:established,to_server; http.uri; content:"evil-path"; sid:1;)
alert http any any -> any any (msg:"seen"; flow:established,to_server; http.uri; content:"seen-path"; sid:2;)
alert udp any any -> any 9001 (msg:"flagged"; content:"flagged-datagram"; sid:3;)
"#;

/// The bench: namespaces, servers, and the simulated NIC between them.
pub struct Bench {
    pub lab: Lab,
    pub place: Place,
    pub nic: Process,
    /// What the echo of datagrams sends back.
    pub echo: Receiver<u64>,
}

impl Bench {
    pub fn new(name: &str) -> Option<Bench> {
        let lab = Lab::new(&format!("reliability {name}"), 1500, true)?;
        let place = Place::empty(&format!("reliability-{name}"));
        place.write("t.rules", RULES);
        let nic = Self::nic(&lab, &place);
        // A server of pages, and one that notes datagrams.
        let (sender, echo) = channel();
        let (ready, is_ready) = channel();
        let told = ready.clone();
        lab.server.within(move || {
            let listener = TcpListener::bind((SERVER[0], 80)).unwrap();
            told.send(()).unwrap();
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || serve(stream));
            }
        });
        lab.server.within(move || {
            let socket = UdpSocket::bind((SERVER[0], 9001)).unwrap();
            ready.send(()).unwrap();
            let mut buffer = [0; 2048];
            while let Ok((n, _)) = socket.recv_from(&mut buffer) {
                let number = buffer.get(..n).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_be_bytes(*b));
                if sender.send(number).is_err() {
                    return;
                }
            }
        });
        is_ready.recv().unwrap();
        is_ready.recv().unwrap();
        Some(Bench { lab, place, nic, echo })
    }

    pub fn nic(lab: &Lab, place: &Place) -> Process {
        let mut command = lab.middle.command(env!("CARGO_BIN_EXE_weir"));
        command.args(["sim", "serve", "--socket", "nic.sock", "--inline", "m0,m1"]).current_dir(&place.0);
        let mut nic = Process::start(command);
        nic.until("Its ports are m0 and m1");
        nic
    }

    /// A host, once it is at work.
    pub fn host(&self, log: &str, settings: &[&str]) -> Process {
        let mut host = Process::start(self.command(env!("CARGO_BIN_EXE_weir"), log, settings));
        host.until("Weir is inline");
        host
    }

    pub fn command(&self, program: &str, log: &str, settings: &[&str]) -> Command {
        let mut command = Command::new(program);
        let device = format!("vfio-user:{}", self.place.0.join("nic.sock").display());
        command.args(["run", "--rules", "t.rules", "--device", &device, "--log-dir", log, "--set", "device.inline=true"]);
        for setting in ["vars.HOME_NET=any", "vars.EXTERNAL_NET=any"].iter().chain(settings) {
            command.args(["--set", setting]);
        }
        command.current_dir(&self.place.0);
        command
    }

    /// Asks for a page; how long the answer took, if it came within a while.
    pub fn page(&self, path: &str) -> Option<Duration> {
        let path = path.to_owned();
        self.lab.client.within(move || ask(&path)).join().unwrap()
    }

    /// A page is answered, if not at once (an address that was asked for in vain is asked for again after a second).
    pub fn lives(&self) -> bool {
        (0..5).any(|_| self.page("index").is_some())
    }

    /// Datagrams, one each millisecond, until told to stop; gives how many.
    pub fn stream(&self, text: &'static str, over: Arc<AtomicBool>) -> std::thread::JoinHandle<u64> {
        self.lab.client.within(move || {
            let socket = UdpSocket::bind((CLIENT[0], 0)).unwrap();
            let (begin, mut number) = (Instant::now(), 0u64);
            while !over.load(Ordering::Relaxed) {
                let payload = [&number.to_be_bytes()[..], text.as_bytes()].concat();
                let _ = socket.send_to(&payload, (SERVER[0], 9001));
                number += 1;
                std::thread::sleep((begin + Duration::from_millis(number)).saturating_duration_since(Instant::now()));
            }
            number
        })
    }

    /// What the device counted, asked while no host drives it.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let device = format!("vfio-user:{}", self.place.0.join("nic.sock").display());
        let text = self.place.good(&["device", "counters", "--device", &device, "--json", "--all"]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let all = value["counters"].as_object().unwrap();
        all.iter().map(|(name, n)| (name.clone(), n.as_u64().unwrap())).collect()
    }

    /// The device accounts for every frame at its end.
    pub fn end(mut self) {
        assert_eq!(self.nic.end(), Some(0), "{}", self.nic.said());
    }
}

pub fn serve(mut stream: TcpStream) {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(n) = stream.read(&mut buffer) {
        request.extend_from_slice(&buffer[..n]);
        if n == 0 || stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_err() {
            return;
        }
    }
}

pub fn ask(path: &str) -> Option<Duration> {
    let begin = Instant::now();
    let address = format!("{}:80", SERVER[0]).parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).ok()?;
    let mut answer = [0; 64];
    let n = stream.read(&mut answer).ok()?;
    answer[..n].ends_with(b"ok").then(|| begin.elapsed())
}

/// Numbers that did not arrive, as (first, how many in a row).
pub fn holes(sent: u64, arrived: &[u64]) -> Vec<(u64, u64)> {
    let mut there = vec![false; sent as usize];
    arrived.iter().for_each(|n| {
        if let Some(place) = there.get_mut(*n as usize) {
            *place = true;
        }
    });
    let mut holes: Vec<(u64, u64)> = Vec::new();
    for (n, _) in there.iter().enumerate().filter(|(_, there)| !**there) {
        match holes.last_mut() {
            Some((first, length)) if *first + *length == n as u64 => *length += 1,
            _ => holes.push((n as u64, 1)),
        }
    }
    holes
}

pub fn lost(holes: &[(u64, u64)]) -> (u64, u64) {
    (holes.iter().map(|(_, n)| n).sum(), holes.iter().map(|(_, n)| *n).max().unwrap_or(0))
}

/// What arrives of a stream of datagrams around a fault.
pub fn around(bench: &Bench, text: &'static str, fault: impl FnOnce()) -> Vec<(u64, u64)> {
    while bench.echo.try_recv().is_ok() {}
    let over = Arc::new(AtomicBool::new(false));
    let stream = bench.stream(text, Arc::clone(&over));
    std::thread::sleep(Duration::from_millis(300));
    fault();
    over.store(true, Ordering::Relaxed);
    let sent = stream.join().unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let arrived: Vec<u64> = bench.echo.try_iter().collect();
    holes(sent, &arrived)
}

pub fn report(fault: &str, seen: &str) {
    println!("| {fault} | {seen} |");
}


/// A connection that a rule has blocked, still open on the client's side.
pub fn blocked_connection() -> TcpStream {
    let mut stream = TcpStream::connect((SERVER[0], 80)).unwrap();
    stream.write_all(b"GET /evil-path HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    stream
}
