//! The model in another process: `weir sim serve`, and what drives it through its socket.

mod common;

use common::Place;
use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use weir_device::{Driver, DriverConfig, PciFunction};
use weir_vfio_user::UserFunction;

const RULES: &str = r#"alert http any any -> any any (msg:"uri"; http.uri; content:"/"; sid:1;)
alert tcp any any -> any any (msg:"get"; flow:established,to_server; content:"GET "; depth:4; sid:2;)
alert dns any any -> any any (msg:"name"; dns.query; content:"example"; nocase; sid:3;)
alert tls any any -> any any (msg:"tls"; tls.sni; content:"."; sid:4;)
"#;

const SOON: Duration = Duration::from_secs(30);

/// A server that is ended with its test.
struct Server {
    child: Child,
    socket: PathBuf,
}

impl Server {
    fn start(place: &Place, more: &[&str]) -> Server {
        // (A path of a test may be longer than an address of a socket can be.)
        let socket = std::env::temp_dir().join(format!("weir-{}-{}", std::process::id(), place.0.file_name().unwrap().display()));
        let child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["sim", "serve", "--socket"])
            .arg(&socket)
            .args(more)
            .current_dir(&place.0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let server = Server { child, socket };
        wait_for(|| server.socket.exists());
        server
    }

    fn device(&self) -> String {
        format!("vfio-user:{}", self.socket.display())
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id() as i32).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Ends as an operator ends it: exit code and output.
    fn end(mut self) -> (i32, String) {
        self.signal(rustix::process::Signal::TERM);
        let code = self.child.wait().unwrap().code().unwrap();
        assert!(!self.socket.exists(), "the socket is removed");
        let mut out = String::new();
        std::io::Read::read_to_string(&mut self.child.stdout.take().unwrap(), &mut out).unwrap();
        (code, out)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < SOON, "this takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn place(name: &str) -> Place {
    let place = Place::empty(name);
    place.traffic();
    place.write("x.rules", RULES);
    place
}

/// Alerts without what differs between two runs of the same, in their order.
fn alerts(place: &Place, log: &str) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(place.0.join(log).join("eve.json")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines.filter(|record| record["event_type"] == "alert").collect()
}

/// Totals, by dotted name, but for times.
fn totals(place: &Place, log: &str) -> BTreeMap<String, String> {
    fn flat(prefix: &str, value: &serde_json::Value, out: &mut BTreeMap<String, String>) {
        match value.as_object() {
            Some(object) => object.iter().for_each(|(key, value)| flat(&format!("{prefix}.{key}"), value, out)),
            None => _ = out.insert(prefix.to_owned(), value.to_string()),
        }
    }
    let text = std::fs::read_to_string(place.0.join(log).join("stats.json")).unwrap();
    let mut out = BTreeMap::new();
    flat("", &serde_json::from_str(&text).unwrap(), &mut out);
    out.retain(|key, _| !key.contains("seconds"));
    out
}

#[test]
fn a_served_device_says_what_one_in_process_says() {
    let place = place("served-same");
    for (n, more) in [&[][..], &["--set", "device.queues=4"], &["--set", "device.batch=1"]].into_iter().enumerate() {
        let pcap = ["--pcap", "office.pcap"];
        let server = Server::start(&place, &[&pcap, more].concat());
        let (here, there) = (format!("here-{n}"), format!("there-{n}"));
        let run = ["run", "--rules", "x.rules", "--set", "capture.checksums=validate", "--log-dir"];
        place.good(&[&run[..], &[&here], &pcap, more].concat());
        let device = server.device();
        // Twice: nothing is left of the first client.
        for _ in 0..2 {
            let out = place.good(&[&run[..], &[&there, "--device", &device], more].concat());
            assert!(n > 0 || out.contains("alerts"), "{out}");
            assert!(alerts(&place, &here).len() > 10);
            assert_eq!(alerts(&place, &here), alerts(&place, &there));
            assert_eq!(totals(&place, &here), totals(&place, &there));
        }
        let (code, out) = server.end();
        assert!(code == 0 && out.contains("Served 2 clients") && out.contains("no hardware is involved"), "{code} {out}");
    }
}

#[test]
fn it_says_that_it_is_simulated_and_what_it_counted() {
    let place = place("served-info");
    let server = Server::start(&place, &["--pcap", "office.pcap"]);
    let device = server.device();
    let (_, _, notes) = place.weir(&["run", "--rules", "x.rules", "--device", &device]);
    assert!(notes.contains("simulated NIC"), "{notes}");
    let info = place.good(&["device", "info", "--device", &device]);
    assert!(info.contains("no hardware is involved") && info.contains("queues"), "{info}");
    let counted = place.good(&["device", "counters", "--check", "--json", "--rules", "x.rules", "--device", &device]);
    let counted: serde_json::Value = serde_json::from_str(&counted).unwrap();
    let here = place.good(&["device", "counters", "--json", "--rules", "x.rules", "--pcap", "office.pcap"]);
    let here: serde_json::Value = serde_json::from_str(&here).unwrap();
    let zero = |value: &serde_json::Value| {
        let mut counters = value["counters"].as_object().unwrap().clone();
        // How often the source waited is no outcome.
        counters.retain(|name, _| name != "history_waits");
        counters
    };
    assert!(counted["counters"]["received_frames"].as_u64().unwrap() > 100);
    assert_eq!(zero(&counted), zero(&here));
    assert_eq!(counted["guards"], here["guards"]);
}

#[test]
fn arguments_that_contradict_each_other_are_refused() {
    let place = place("served-arguments");
    let (code, _, error) = place.weir(&["run", "--rules", "x.rules", "--pcap", "office.pcap", "--device", "vfio-user:none.sock"]);
    assert!(code == 3 && error.contains("weir sim serve --socket none.sock"), "{code} {error}");
    let server = Server::start(&place, &[]);
    let device = server.device();
    let (code, _, error) = place.weir(&["run", "--rules", "x.rules", "--pcap", "office.pcap", "--device", &device]);
    assert!(code == 2 && error.contains("frames of its own"), "{code} {error}");
    let (code, _, error) = place.weir(&["run", "--rules", "x.rules"]);
    assert!(code == 2 && error.contains("--pcap"), "{code} {error}");
    let (code, _, error) = place.weir(&["run", "--rules", "x.rules", "--device", "card"]);
    assert!(code == 2 && error.contains("vfio-user:SOCKET"), "{code} {error}");
    let (code, _, error) = place.weir(&["sim", "serve", "--socket", "s", "--pcap", "missing.pcap"]);
    assert!(code == 3 && error.contains("missing.pcap") && !place.0.join("s").exists(), "{code} {error}");
}

/// The socket: its mode, one that lives, one that was left behind, a file that is none.
#[test]
fn the_socket_is_for_one_server_and_one_user() {
    let place = place("served-socket");
    let server = Server::start(&place, &[]);
    let socket = server.socket.to_str().unwrap().to_owned();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, error) = place.weir(&["sim", "serve", "--socket", &socket]);
    assert!(code == 2 && error.contains("another process listens"), "{code} {error}");
    wait_for(|| UserFunction::open(&server.socket).is_ok());
    drop(server);
    drop(UnixListener::bind(&socket).unwrap());
    let server = Server::start(&place, &[]);
    wait_for(|| UserFunction::open(&server.socket).is_ok());
    server.end();
    std::fs::write(&socket, "no socket").unwrap();
    let (code, _, error) = place.weir(&["sim", "serve", "--socket", &socket]);
    assert!(code == 2 && error.contains("no socket"), "{code} {error}");
    std::fs::remove_file(&socket).unwrap();
}

#[test]
fn one_client_at_a_time() {
    let place = place("served-one");
    let server = Server::start(&place, &["--pcap", "office.pcap"]);
    let mut first = UserFunction::open(&server.socket).unwrap();
    let error = UserFunction::open(&server.socket).unwrap_err().to_string();
    assert!(error.contains("attached to another process"), "{error}");
    let (code, _, error) = place.weir(&["run", "--rules", "x.rules", "--device", &server.device()]);
    assert!(code == 3 && error.contains("attached to another process"), "{code} {error}");
    // Others who say nothing, or nonsense, take nothing away from the first, nor from the next.
    let silent: Vec<_> = (0..20).map(|_| std::os::unix::net::UnixStream::connect(&server.socket).unwrap()).collect();
    // (The server may have turned it away already.)
    let _ = std::os::unix::net::UnixStream::connect(&server.socket).unwrap().write_all(&[0xff; 64]);
    assert!(first.config_read(0).is_ok());
    drop((first, silent));
    wait_for(|| UserFunction::open(&server.socket).is_ok());
    let mut rude = std::os::unix::net::UnixStream::connect(&server.socket).unwrap();
    let _ = rude.write_all(&[0xff; 64]);
    wait_for(|| UserFunction::open(&server.socket).is_ok());
}

#[test]
fn a_driver_sees_a_pci_function() {
    let place = place("served-function");
    let server = Server::start(&place, &[]);
    let mut function = UserFunction::open(&server.socket).unwrap();
    assert!(function.unmap(0x1234_0000).is_err() && function.interrupt(99, Duration::ZERO).is_err());
    assert!(function.read32(1, 0).is_err(), "no such BAR");
    assert!(function.map(&weir_device::DmaMemory::new(4096).unwrap(), weir_device::Permission::Read).is_err());
    assert!(!function.wait(Duration::from_millis(1)).unwrap());
    function.reset().unwrap();
    let mut driver = Driver::probe(function).unwrap();
    driver.set_up(&DriverConfig::default()).unwrap();
    assert!(driver.load_tables(b"no tables").is_err());
    // Vector 0 says that the load has failed, once its cause is asked for.
    driver.pci().write32(0, weir_contract::registers::INTERRUPT_MASK, u32::MAX).unwrap();
    assert!(driver.load_tables(b"no tables").is_err());
    assert!(driver.pci().interrupt(0, SOON).unwrap());
    assert!(!driver.pci().interrupt(0, Duration::ZERO).unwrap());
    // What the device may not write it does not.
    let memory = driver.pci().allocate(4096).unwrap();
    let read_only = driver.pci().map(&memory, weir_device::Permission::Read).unwrap();
    driver.pci().unmap(read_only).unwrap();
}

#[test]
fn a_server_that_dies_ends_the_run_with_its_reason() {
    let place = place("served-killed");
    let mut server = Server::start(&place, &["--pcap", "office.pcap", "--loop", "0", "--rate", "2000"]);
    let run = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["run", "-q", "--rules", "x.rules", "--log-dir", "log", "--device", &server.device()])
        .current_dir(&place.0)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let eve = place.0.join("log/eve.json");
    wait_for(|| std::fs::metadata(&eve).is_ok_and(|file| file.len() > 0));
    server.child.kill().unwrap();
    let done = run.wait_with_output().unwrap();
    let error = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(4), "{error}");
    assert!(error.contains("the server of the simulated device is gone") && error.contains("start it"), "{error}");
    assert!(!alerts(&place, "log").is_empty(), "what was seen until then is kept");
}

#[test]
fn a_run_that_is_interrupted_adds_up() {
    let place = place("served-interrupted");
    let server = Server::start(&place, &["--pcap", "office.pcap", "--loop", "0", "--rate", "5000"]);
    let run = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["run", "--rules", "x.rules", "--log-dir", "log", "--device", &server.device()])
        .current_dir(&place.0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let eve = place.0.join("log/eve.json");
    wait_for(|| std::fs::metadata(&eve).is_ok_and(|file| file.len() > 0));
    let pid = rustix::process::Pid::from_raw(run.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let done = run.wait_with_output().unwrap();
    let (out, error) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert_eq!(done.status.code(), Some(0), "{out}{error}");
    assert!(out.contains("interrupted"), "{out}");
    let received: u64 = totals(&place, "log")[".device.received_packets"].parse().unwrap();
    assert!(received > 0);
    assert_eq!(server.end().0, 0);
}
