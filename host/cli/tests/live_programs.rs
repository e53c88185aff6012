//! Weir inline between programs that are in use everywhere: a web server, a name server, a login server, a mail server, and
//! their clients. `tests/tools/install-live` installs them; what is missing is skipped with a message, and so is everything
//! without root.

mod common;
mod lab;

use common::Place;
use lab::{Lab, SERVER};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const RULES: &str = r#"alert http any any -> any any (msg:"web"; http.uri; content:"/clean"; sid:1;)
reject http any any -> any any (msg:"web attack"; http.uri; content:"/attack"; sid:2;)
alert dns any any -> any any (msg:"name"; dns.query; content:"good.example"; sid:3;)
reject dns any any -> any any (msg:"bad name"; dns.query; content:"evil.example"; sid:4;)
alert ssh any any -> any any (msg:"login"; flow:to_server; ssh.software; content:"OpenSSH"; sid:5;)
reject ssh any any -> any any (msg:"bad login"; flow:to_server; ssh.software; content:"BadClient"; sid:6;)
alert smtp any any -> any any (msg:"mail"; content:"RCPT TO"; sid:7;)
reject tcp any any -> any 25 (msg:"bad mail"; flow:established,to_server; content:"forbidden words"; sid:8;)
"#;

/// A server, as long as the test wants it.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn has(programs: &[&str]) -> bool {
    let found = |program: &str| ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists());
    match programs.iter().find(|program| !found(program)) {
        Some(missing) => {
            eprintln!("SKIPPED: there is no {missing} (tests/tools/install-live installs it)");
            false
        }
        None => true,
    }
}

/// Starts a server and waits until its port is open.
fn serve(lab: &Lab, place: &Place, port: u16, line: &[&str]) -> Server {
    let log = std::fs::File::create(place.0.join(format!("server-{port}.log"))).unwrap();
    let mut command = lab.server.command(line[0]);
    command.args(&line[1..]).current_dir(&place.0).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let server = Server(command.spawn().unwrap());
    let open = move || {
        let begin = Instant::now();
        while TcpStream::connect((SERVER[0], port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(15), "nothing listens at port {port}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    lab.server.within(open).join().unwrap();
    server
}

fn ask(lab: &Lab, place: &Place, line: &[&str]) -> Output {
    lab.client.command(line[0]).args(&line[1..]).current_dir(&place.0).stdin(Stdio::null()).output().unwrap()
}

fn web(lab: &Lab, place: &Place, device: &str) -> Vec<u64> {
    if !has(&["nginx", "curl"]) {
        return Vec::new();
    }
    let here = place.0.display();
    place.write(
        "nginx.conf",
        format!(
            "daemon off; master_process off; user root; pid {here}/nginx.pid; error_log {here}/error.log; events {{}}
http {{ access_log {here}/access.log; root {here}/web; client_body_temp_path {here}/t1; proxy_temp_path {here}/t2;
fastcgi_temp_path {here}/t3; uwsgi_temp_path {here}/t4; scgi_temp_path {here}/t5; server {{ listen [::]:80 ipv6only=off; }} }}"
        ),
    );
    let _server = serve(lab, place, 80, &["/usr/sbin/nginx", "-p", &here.to_string(), "-c", &format!("{here}/nginx.conf")]);
    for (n, address) in ["10.9.0.2", "[fd09::2]"].into_iter().enumerate() {
        let done = ask(lab, place, &["curl", "-s", "-m", "20", "-o", "got", &format!("http://{address}/clean")]);
        assert!(done.status.success(), "{device}: {done:?}");
        assert!(std::fs::read(place.0.join("got")).unwrap() == std::fs::read(place.0.join("web/clean")).unwrap(), "{device}");
        let done = ask(lab, place, &["curl", "-s", "-m", "20", &format!("http://{address}/attack")]);
        // "Recv failure: connection reset by peer"
        assert_eq!((done.status.code(), done.stdout.len()), (Some(56), 0), "{device}: {done:?}");
        let log = std::fs::read_to_string(place.0.join("access.log")).unwrap();
        assert!(!log.contains("/attack") && log.contains("/clean"), "the server has seen request {n}: {log}");
    }
    std::fs::remove_file(place.0.join("access.log")).unwrap();
    vec![1, 1, 2, 2]
}

fn names(lab: &Lab, place: &Place, device: &str) -> Vec<u64> {
    if !has(&["dnsmasq", "dig"]) {
        return Vec::new();
    }
    let line = "/usr/sbin/dnsmasq --no-daemon --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces --user=root --pid-file= \
                --listen-address=10.9.0.2 --address=/good.example/192.0.2.7 --address=/evil.example/192.0.2.8";
    let _server = serve(lab, place, 53, &line.split_whitespace().collect::<Vec<_>>());
    let dig = |name| ask(lab, place, &["dig", "+short", "+time=2", "+tries=1", "@10.9.0.2", name]);
    let done = dig("good.example");
    assert_eq!(String::from_utf8_lossy(&done.stdout).trim(), "192.0.2.7", "{device}");
    let done = dig("evil.example");
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(!done.status.success() && !said.contains("192.0.2.8") && said.contains("unreachable"), "{device}: {done:?}");
    // (What dig asks after its question was refused is refused as well.)
    vec![3, 4]
}

fn logins(lab: &Lab, place: &Place, device: &str) -> Vec<u64> {
    if !has(&["sshd", "ssh", "ssh-keygen", "unshare", "mount"]) {
        return Vec::new();
    }
    let here = place.0.display();
    for key in ["host-key", "user-key"] {
        if !place.0.join(key).exists() {
            let done = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", key]).current_dir(&place.0).output().unwrap();
            assert!(done.status.success(), "{done:?}");
        }
    }
    place.write(
        "sshd.conf",
        format!(
            "Port 22\nListenAddress 10.9.0.2\nHostKey {here}/host-key\nAuthorizedKeysFile {here}/user-key.pub\nStrictModes no\n\
             UsePAM no\nPermitRootLogin yes\nPidFile none\nUseDNS no\n"
        ),
    );
    // It wants a directory of its own, which nothing else is to see.
    let shell = format!("mount -t tmpfs none /run && mkdir /run/sshd && exec /usr/sbin/sshd -D -e -f {here}/sshd.conf");
    let _server = serve(lab, place, 22, &["unshare", "--mount", "sh", "-c", &shell]);
    let options = "-q -F none -i user-key -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null root@10.9.0.2";
    let mut line: Vec<&str> = std::iter::once("ssh").chain(options.split_whitespace()).collect();
    let file = format!("cat {here}/web/clean");
    line.push(&file);
    let done = ask(lab, place, &line);
    assert!(done.status.success() && done.stdout == std::fs::read(place.0.join("web/clean")).unwrap(), "{device}: {}", String::from_utf8_lossy(&done.stderr));
    let bad = || {
        let mut stream = TcpStream::connect((SERVER[0], 22)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
        let (mut all, mut buffer) = (Vec::new(), [0; 256]);
        stream.write_all(b"SSH-2.0-BadClient_1.0\r\n").unwrap();
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => return (all, None),
                Ok(n) => all.extend_from_slice(&buffer[..n]),
                Err(error) => return (all, Some(error.kind())),
            }
        }
    };
    let (got, end) = lab.client.within(bad).join().unwrap();
    assert_eq!(end, Some(ErrorKind::ConnectionReset), "{device}: {}", String::from_utf8_lossy(&got));
    vec![5, 6]
}

fn mails(lab: &Lab, place: &Place, device: &str) -> Vec<u64> {
    let python = Command::new("/usr/bin/python3").args(["-c", "import aiosmtpd"]).output();
    if !has(&["swaks"]) || !python.is_ok_and(|done| done.status.success()) {
        eprintln!("SKIPPED: mail needs swaks and python3-aiosmtpd (tests/tools/install-live installs them)");
        return Vec::new();
    }
    let _server = serve(lab, place, 25, &["/usr/bin/python3", "-u", "-m", "aiosmtpd", "-n", "-l", "10.9.0.2:25", "-c", "aiosmtpd.handlers.Debugging", "stdout"]);
    let send = |body| ask(lab, place, &["swaks", "--server", "10.9.0.2", "--from", "a@example.org", "--to", "b@example.org", "--timeout", "5", "--body", body]);
    let done = send("clean words");
    assert!(done.status.success(), "{device}: {done:?}");
    let done = send("forbidden words");
    assert!(!done.status.success(), "{device}: {done:?}");
    std::thread::sleep(Duration::from_millis(200));
    let log = std::fs::read_to_string(place.0.join("server-25.log")).unwrap();
    assert!(log.contains("clean words") && !log.contains("forbidden"), "{device}: {log}");
    vec![7, 7, 8]
}

#[test]
fn servers_and_clients_in_use() {
    let Some(lab) = Lab::new("servers_and_clients_in_use", 1500, true) else { return };
    let place = Place::empty("live-programs");
    place.write("t.rules", RULES);
    std::fs::create_dir_all(place.0.join("web")).unwrap();
    let clean: Vec<u8> = (0..4_000_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    place.write("web/clean", &clean);
    place.write("web/attack", "what nobody is to see");
    for device in ["none", "sim"] {
        let weir = lab.weir(&place, device, &["--inline", "m0,m1", "--device", device]);
        let mut expected = Vec::new();
        for part in [web, names, logins, mails] {
            expected.extend(part(&lab, &place, device));
        }
        let left = weir.end(true);
        let mut seen = left.alerts();
        seen.dedup();
        expected.dedup();
        assert_eq!(seen, expected, "{device}");
        assert_eq!(left.of_interfaces("lost_packets"), 0, "{}", left.stats);
    }
}
