//! A laboratory for live traffic: a client, Weir's middle and a server, each in a network namespace of its own.
//!
//! The namespaces belong to processes that end with the test, however it ends, so nothing is left behind and no interface of the
//! machine is touched.
#![allow(dead_code)]

pub mod bench;
pub mod ends;
mod process;

pub use process::Process;

use crate::common::Place;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

/// A network namespace, as long as its process lives.
pub struct Namespace(Child);

impl Namespace {
    fn new() -> Option<Namespace> {
        // It ends when its input does: with the test at the latest.
        let mut child = Command::new("unshare")
            .args(["--net", "sh", "-c", "echo ready; read line"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut()?).read_line(&mut line).ok()?;
        (line == "ready\n").then_some(Namespace(child))
    }

    fn path(&self) -> String {
        format!("/proc/{}/ns/net", self.0.id())
    }

    /// A command within.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path())).arg(program);
        command
    }

    /// Runs a line of words within; it must succeed.
    pub fn run(&self, line: &str) -> String {
        let mut words = line.split_whitespace();
        let done = self.command(words.next().unwrap()).args(words).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        assert!(done.status.success(), "{line}: {}", text(done.stderr));
        text(done.stdout)
    }

    /// Does something in a thread within.
    pub fn within<R: Send + 'static>(&self, act: impl FnOnce() -> R + Send + 'static) -> std::thread::JoinHandle<R> {
        let space = File::open(self.path()).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            act()
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Client `c0`–`m0` middle `m1`–`s0` server.
pub struct Lab {
    pub client: Namespace,
    pub middle: Namespace,
    pub server: Namespace,
}

pub const CLIENT: [&str; 2] = ["10.9.0.1", "fd09::1"];
pub const SERVER: [&str; 2] = ["10.9.0.2", "fd09::2"];

impl Lab {
    /// Makes it; none, and a message, where that needs what is not there. `addresses`: the ends have stacks of their own.
    pub fn new(who: &str, mtu: u32, addresses: bool) -> Option<Lab> {
        let made = (|| Some((Namespace::new()?, Namespace::new()?, Namespace::new()?)))();
        let has_ip = Command::new("ip").arg("-V").output().is_ok_and(|done| done.status.success());
        let Some((client, middle, server)) = made.filter(|_| has_ip) else {
            eprintln!("SKIPPED: {who}: network namespaces need root (CAP_SYS_ADMIN, CAP_NET_ADMIN), unshare, nsenter and ip");
            return None;
        };
        let lab = Lab { client, middle, server };
        for (end, name, peer, ip) in [(&lab.client, "c0", "m0", 0), (&lab.server, "s0", "m1", 1)] {
            lab.middle.run(&format!("ip link add {peer} mtu {mtu} type veth peer name {name} mtu {mtu} netns {}", end.0.id()));
            for (space, name) in [(&lab.middle, peer), (end, name)] {
                // Nothing but the test's own frames.
                space.run(&format!("sysctl -qw net.ipv6.conf.{name}.disable_ipv6={}", u8::from(!addresses || name == peer)));
                space.run(&format!("ip link set {name} up"));
            }
            end.run("ip link set lo up");
            if addresses {
                let own = if ip == 0 { CLIENT } else { SERVER };
                end.run(&format!("ip addr add {}/24 dev {name}", own[0]));
                end.run(&format!("ip addr add {}/64 dev {name} nodad", own[1]));
            }
        }
        Some(lab)
    }

    /// The middle routes between the two ends, which still think that they are neighbours; needs addresses.
    pub fn route(&self) {
        // (Without a local address anywhere, every neighbour is taken for a broadcast address.)
        self.middle.run("ip link set lo up");
        for (own, end) in [("m0", 0), ("m1", 1)] {
            let [client, server] = [CLIENT, SERVER];
            let (here, there) = if end == 0 { (client, server) } else { (server, client) };
            self.middle.run(&format!("sysctl -qw net.ipv4.conf.{own}.proxy_arp=1 net.ipv6.conf.{own}.accept_dad=0"));
            self.middle.run(&format!("sysctl -qw net.ipv4.conf.{own}.forwarding=1 net.ipv6.conf.{own}.proxy_ndp=1"));
            self.middle.run(&format!("sysctl -qw net.ipv6.conf.{own}.disable_ipv6=0"));
            self.middle.run(&format!("ip route add {}/32 dev {own}", here[0]));
            self.middle.run(&format!("ip -6 route add {}/128 dev {own}", here[1]));
            self.middle.run(&format!("ip -6 neigh add proxy {} dev {own}", there[1]));
        }
        self.middle.run("sysctl -qw net.ipv6.conf.all.forwarding=1");
    }

    /// Starts Weir in the middle and waits until it is at work.
    pub fn weir(&self, place: &Place, log: &str, arguments: &[&str]) -> Running {
        let mut command = self.middle.command(env!("CARGO_BIN_EXE_weir"));
        command.args(["run", "--rules", "t.rules", "--log-dir", log]).args(arguments).current_dir(&place.0);
        let process = Process::start(command);
        let log = place.0.join(log);
        let mut running = Running { process, log };
        running.until("Weir is ");
        running
    }
}

/// Weir at work.
pub struct Running {
    process: Process,
    log: std::path::PathBuf,
}

/// What a run has left.
pub struct Left {
    pub summary: String,
    pub said: String,
    pub stats: serde_json::Value,
    pub events: Vec<serde_json::Value>,
}

impl Running {
    /// Waits until it has said something.
    pub fn until(&mut self, what: &str) {
        self.process.until(what);
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        self.process.signal(signal);
    }

    /// Waits for an end by a signal.
    pub fn gone(&mut self) {
        assert_eq!(self.process.ended(), None);
    }

    pub fn log(&self) -> std::path::PathBuf {
        self.log.clone()
    }

    /// Ends it in order, or waits for its end.
    pub fn end(mut self, by_signal: bool) -> Left {
        let code = if by_signal { self.process.end() } else { self.process.ended() };
        let (out, said) = (self.process.out(), self.process.said());
        assert_eq!(code, Some(0), "{said}");
        let read = |name| std::fs::read_to_string(self.log.join(name)).unwrap();
        let events = read("eve.json").lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Left { summary: out, said, stats: serde_json::from_str(&read("stats.json")).unwrap(), events }
    }
}

impl Left {
    /// Signatures of alerts, sorted.
    pub fn alerts(&self) -> Vec<u64> {
        let mut all: Vec<u64> = self.events.iter().filter_map(|e| e["alert"]["signature_id"].as_u64()).collect();
        all.sort_unstable();
        all
    }

    /// Sum of a number of all interfaces.
    pub fn of_interfaces(&self, name: &str) -> u64 {
        self.stats["interfaces"].as_array().unwrap().iter().map(|of| of[name].as_u64().unwrap_or(0)).sum()
    }
}
