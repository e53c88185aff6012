//! What each statement does.

use std::collections::HashMap;

use weir_packet::link_types;
use weir_packet::tcp_flags::{ACK, CWR, ECE, FIN, PSH, RST, SYN, URG};

use crate::Capture;
use crate::payload::{self, ClientHello};
use crate::scenario::{Acks, DataOptions, Flow, FlowOptions, Number, PacketFields, Scenario, SendOptions};
use crate::wire::{Addresses, Fragmentation, Order, Way, Wrap, WrapKind};

use super::arguments::{Arguments, duration, endpoint};
use super::token::{Failure, Kind, Token};

#[derive(Default)]
pub(super) struct Compiler {
    scenario: Scenario,
    flows: HashMap<String, Named>,
}

struct Named {
    flow: Flow,
    kind: FlowKind,
    segment: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FlowKind {
    Tcp,
    Udp,
    Icmp,
    Ip,
}

impl Compiler {
    pub fn finish(self) -> Capture {
        self.scenario.finish()
    }

    pub fn statement(&mut self, tokens: &[Token]) -> Result<(), Failure> {
        let mut arguments = Arguments::new(tokens);
        if !matches!(tokens.first(), Some(Token { kind: Kind::Word(_), .. })) {
            return Err((tokens.first().map_or(1, |t| t.column), "a statement starts with a word".into()));
        }
        let (word, column) = arguments.word("a statement")?;
        match word {
            "link" => {
                let (name, column) = arguments.word("a link type (ethernet, raw, null, or a LINKTYPE number)")?;
                self.scenario.set_link(match name {
                    "ethernet" => link_types::ETHERNET,
                    "raw" => link_types::RAW,
                    "null" => link_types::NULL,
                    _ => name.parse().map_err(|_| {
                        (column, format!("`{name}` is no link type; known are ethernet, raw, null and LINKTYPE numbers"))
                    })?,
                });
            }
            "time" => {
                let (text, column) = arguments.word("a time in seconds")?;
                let time = duration(&format!("{text}s"), column)
                    .map_err(|_| (column, format!("`{text}` is no time in seconds since the epoch")))?;
                self.scenario.set_time(time);
            }
            "step" | "wait" => {
                let (text, column) = arguments.word("a duration like 10ms")?;
                let duration = duration(text, column)?;
                if word == "step" { self.scenario.set_step(duration) } else { self.scenario.wait(duration) }
            }
            "frame" => {
                let send = send_options(&mut arguments)?;
                self.scenario.wait(send.wait);
                let bytes = arguments.bytes();
                self.scenario.frame(bytes, send.truncate);
            }
            "tcp" => self.flow(FlowKind::Tcp, &mut arguments)?,
            "udp" => self.flow(FlowKind::Udp, &mut arguments)?,
            "icmp" => self.flow(FlowKind::Icmp, &mut arguments)?,
            "ip" => self.flow(FlowKind::Ip, &mut arguments)?,
            name => {
                let Some(named) = self.flows.get(name) else {
                    return Err((
                        column,
                        format!(
                            "`{name}` is neither a statement nor a flow declared before; flows are declared like `tcp {name} 10.0.0.1:1024 > 10.0.0.2:80`"
                        ),
                    ));
                };
                let (flow, kind, segment) = (named.flow, named.kind, named.segment);
                self.action(flow, kind, segment, &mut arguments)?;
            }
        }
        arguments.finish()
    }

    /// `KIND NAME FROM > TO options`.
    fn flow(&mut self, kind: FlowKind, arguments: &mut Arguments<'_>) -> Result<(), Failure> {
        let (name, column) = arguments.word("the flow's name")?;
        let reserved = ["link", "time", "step", "wait", "frame", "tcp", "udp", "icmp", "ip"];
        if reserved.contains(&name) || self.flows.contains_key(name) {
            return Err((column, format!("`{name}` is taken; give the flow another name")));
        }
        let ports = matches!(kind, FlowKind::Tcp | FlowKind::Udp);
        let (from, column) = arguments.word("the client's address")?;
        let client = endpoint(from, column, ports)?;
        let (arrow, arrow_column) = arguments.word("`>`")?;
        if arrow != ">" {
            return Err((arrow_column, format!("`>` is expected between client and server, not `{arrow}`")));
        }
        let (to, column) = arguments.word("the server's address")?;
        let server = endpoint(to, column, ports)?;
        if client.0.is_ipv4() != server.0.is_ipv4() {
            return Err((column, "both ends must have addresses of the same IP version".into()));
        }
        let mut options = FlowOptions::default();
        if let Some(vlan) = arguments.list("vlan")? {
            options.encapsulation.vlan = vlan;
        }
        if let Some(mpls) = arguments.list("mpls")? {
            options.encapsulation.mpls = mpls;
        }
        options.encapsulation.pppoe = arguments.flag("pppoe");
        while let Some((text, column)) = arguments.text("wrap")? {
            options.encapsulation.wraps.push(wrap(text, column)?);
        }
        options.ttl = arguments.value("ttl", "a number below 256")?.unwrap_or(options.ttl);
        options.tos = arguments.value("tos", "a number below 256")?.unwrap_or(options.tos);
        let mut segment = None;
        if kind == FlowKind::Tcp {
            options.mss = arguments.value("mss", "a number of bytes")?.unwrap_or(options.mss);
            options.window = arguments.value("window", "a number of bytes")?.unwrap_or(options.window);
            options.window_scale = arguments.value("scale", "a number of bits")?;
            options.timestamps = arguments.flag("timestamps");
            options.acks = acks(arguments)?.unwrap_or_default();
            segment = arguments.value("segment", "a number of bytes")?;
            if let Some(isn) = arguments.list("isn")? {
                let [client, server] = isn[..] else {
                    return Err((column, "`isn` needs two numbers: the client's and the server's".into()));
                };
                options.isn = [client, server];
            }
        }
        let flow = match kind {
            FlowKind::Tcp => self.scenario.tcp(client, server, options),
            FlowKind::Udp => self.scenario.udp(client, server, options),
            FlowKind::Icmp => {
                options.id = arguments.value("id", "a number")?.unwrap_or(options.id);
                self.scenario.icmp(client.0, server.0, options)
            }
            FlowKind::Ip => {
                let Some(protocol) = arguments.value("protocol", "a number below 256")? else {
                    return Err((column, "an `ip` flow needs `protocol=NUMBER`".into()));
                };
                self.scenario.ip(client.0, server.0, protocol, options)
            }
        };
        self.flows.insert(name.to_string(), Named { flow, kind, segment });
        Ok(())
    }

    /// `NAME ACTION …`.
    fn action(
        &mut self,
        flow: Flow,
        kind: FlowKind,
        segment: Option<usize>,
        arguments: &mut Arguments<'_>,
    ) -> Result<(), Failure> {
        let (action, column) = arguments.word("what the flow does (`>`, `<`, handshake, close, …)")?;
        if let Some(way) = way(action) {
            let send = send_options(arguments)?;
            if kind == FlowKind::Icmp
                && let Some(icmp_type) = arguments.value("type", "a number below 256")?
            {
                let code = arguments.value("code", "a number below 256")?.unwrap_or(0);
                let rest = arguments.value("rest", "a number")?.unwrap_or(0);
                let payload = arguments.bytes();
                self.scenario.wait(send.wait);
                self.scenario.icmp_message(flow, way, (icmp_type, code), rest, &payload, &send);
                return Ok(());
            }
            let mut options = DataOptions { send, segment, ..DataOptions::default() };
            if kind == FlowKind::Tcp {
                options.segment = arguments.value("segment", "a number of bytes")?.or(segment);
                options.order = arguments.order("order")?.unwrap_or_default();
                options.repeat = arguments.value::<u16>("repeat", "a number below 65536")?.unwrap_or(1).into();
                options.lose = arguments.list("lose")?.unwrap_or_default();
                options.offset = arguments.value::<i32>("offset", "a number of bytes")?.unwrap_or(0).into();
                options.acks = acks(arguments)?;
            }
            let payload = payload_of(arguments)?;
            self.scenario.send(flow, way, &payload, &options);
            return Ok(());
        }
        if kind != FlowKind::Tcp {
            return Err((column, format!("`{action}`: flows without TCP only send, with `>` or `<`")));
        }
        match action {
            "handshake" => {
                self.scenario.handshake(flow);
                return Ok(());
            }
            "close" => {
                self.scenario.close(flow);
                return Ok(());
            }
            "fin" | "rst" | "syn" | "synack" | "ack" | "keepalive" | "packet" => {}
            _ => {
                let known = "`>`, `<`, handshake, close, fin, rst, syn, synack, ack, keepalive, packet";
                return Err((column, format!("`{action}` is nothing a TCP flow does; known are {known}")));
            }
        }
        let (direction, column) = arguments.word("the direction, `>` or `<`")?;
        let Some(way) = way(direction) else {
            return Err((column, format!("`{direction}` is no direction; `>` goes to the server, `<` to the client")));
        };
        let send = send_options(arguments)?;
        match action {
            "fin" => self.scenario.control(flow, way, FIN | ACK, &send),
            "rst" => self.scenario.reset(flow, way, &send),
            "syn" => self.scenario.syn(flow, way, SYN, &send),
            "synack" => self.scenario.syn(flow, way, SYN | ACK, &send),
            "ack" => self.scenario.control(flow, way, ACK, &send),
            "keepalive" => self.scenario.keep_alive(flow, way, &send),
            _ => {
                let fields = PacketFields {
                    flags: arguments.text("flags")?.map(|(text, column)| flags(text, column)).transpose()?,
                    sequence: number(arguments, "seq")?,
                    acknowledgement: number(arguments, "ack")?,
                    window: arguments.value("window", "a number below 65536")?,
                    urgent: arguments.value("urgent", "a number below 65536")?.unwrap_or(0),
                    options: arguments.raw("options").map(|(bytes, _)| bytes.to_vec()),
                };
                let payload = payload_of(arguments)?;
                self.scenario.packet(flow, way, &payload, &fields, &send);
            }
        }
        Ok(())
    }
}

fn way(word: &str) -> Option<Way> {
    match word {
        ">" => Some(Way::ToServer),
        "<" => Some(Way::ToClient),
        _ => None,
    }
}

fn acks(arguments: &mut Arguments<'_>) -> Result<Option<Acks>, Failure> {
    let Some((text, column)) = arguments.text("acks")? else { return Ok(None) };
    match text {
        "last" => Ok(Some(Acks::Last)),
        "each" => Ok(Some(Acks::Each)),
        "none" => Ok(Some(Acks::None)),
        _ => Err((column, format!("`acks={text}`: last, each or none is expected"))),
    }
}

/// What every sending statement takes.
fn send_options(arguments: &mut Arguments<'_>) -> Result<SendOptions, Failure> {
    let mut send = SendOptions {
        truncate: arguments.value("truncate", "a number of bytes")?,
        ttl: arguments.value("ttl", "a number below 256")?,
        tos: arguments.value("tos", "a number below 256")?,
        wait: arguments.duration("wait")?.unwrap_or(0),
        ..SendOptions::default()
    };
    if let Some((options, column)) = arguments.raw("ip-options") {
        if !options.len().is_multiple_of(4) || options.len() > 40 {
            return Err((column, "`ip-options` must have a multiple of 4 bytes, at most 40".into()));
        }
        send.ip_options = options.to_vec();
    }
    if let Some(size) = arguments.value("fragment", "a number of bytes")? {
        let order = arguments.order("fragment-order")?.unwrap_or(Order::Forward);
        let overlap = arguments.value("fragment-overlap", "a number of bytes")?.unwrap_or(0);
        send.fragment = Some(Fragmentation { size, order, overlap });
    }
    match arguments.text("bad-checksum")? {
        None => {}
        Some(("ip", _)) => send.bad_ip_checksum = true,
        Some(("transport", _)) => send.bad_checksum = true,
        Some((text, column)) => {
            return Err((column, format!("`bad-checksum={text}`: ip or transport is expected")));
        }
    }
    Ok(send)
}

fn wrap(text: &str, column: usize) -> Result<Wrap, Failure> {
    let usage = || {
        (
            column,
            format!(
                "`wrap={text}`: KIND:FROM:TO[:NUMBER] of IPv4 addresses is expected, KIND being vxlan, geneve, gre, ipip or erspan"
            ),
        )
    };
    let mut parts = text.split(':');
    let kind = match parts.next() {
        Some("vxlan") => WrapKind::Vxlan,
        Some("geneve") => WrapKind::Geneve,
        Some("gre") => WrapKind::Gre,
        Some("ipip") => WrapKind::Ipip,
        Some("erspan") => WrapKind::Erspan,
        _ => return Err(usage()),
    };
    let mut address = || -> Option<std::net::Ipv4Addr> { parts.next()?.parse().ok() };
    let (Some(source), Some(destination)) = (address(), address()) else { return Err(usage()) };
    let number = match parts.next() {
        None => 1,
        Some(number) => number.parse().map_err(|_| usage())?,
    };
    Ok(Wrap { kind, outer: Addresses { source: source.into(), destination: destination.into() }, number })
}

fn flags(text: &str, column: usize) -> Result<u8, Failure> {
    text.chars().try_fold(0, |flags, letter| {
        let bit = match letter {
            'F' => FIN,
            'S' => SYN,
            'R' => RST,
            'P' => PSH,
            'A' => ACK,
            'U' => URG,
            'E' => ECE,
            'C' => CWR,
            '0' => 0,
            _ => return Err((column, format!("`{letter}` is no TCP flag; known are F S R P A U E C"))),
        };
        Ok(flags | bit)
    })
}

fn number(arguments: &mut Arguments<'_>, name: &str) -> Result<Option<Number>, Failure> {
    let Some((text, column)) = arguments.text(name)? else { return Ok(None) };
    let number = if text.starts_with(['+', '-']) {
        text.parse::<i32>().ok().map(|by| Number::Relative(by.into()))
    } else {
        text.parse().ok().map(Number::Absolute)
    };
    number
        .map(Some)
        .ok_or_else(|| (column, format!("`{name}={text}`: a number, or one with + or - relative to the session's")))
}

/// A message of a known protocol, then the payload pieces.
fn payload_of(arguments: &mut Arguments<'_>) -> Result<Vec<u8>, Failure> {
    let bytes = arguments.bytes();
    let mut payload = message(arguments)?;
    payload.extend(bytes);
    Ok(payload)
}

fn message(arguments: &mut Arguments<'_>) -> Result<Vec<u8>, Failure> {
    if arguments.flag("http-request") {
        let (method, _) = arguments.word("the request's method")?;
        let (uri, _) = arguments.word("the request's URI")?;
        let host = arguments.text("host")?.map_or("example.com", |(host, _)| host);
        let headers = headers(arguments)?;
        let body = arguments.raw("body").map_or(&[][..], |(body, _)| body);
        return Ok(payload::http_request(method, uri, host, &headers, body));
    }
    if arguments.flag("http-response") {
        let (status, column) = arguments.word("the response's status")?;
        let status = status.parse().map_err(|_| (column, format!("`{status}` is no status number")))?;
        let kind = arguments.text("type")?.map(|(kind, _)| format!("Content-Type: {kind}"));
        let mut headers = headers(arguments)?;
        headers.extend(kind.as_deref());
        let body = arguments.raw("body").map_or(&[][..], |(body, _)| body);
        return Ok(payload::http_response(status, &headers, body));
    }
    if arguments.flag("dns-query") {
        let (name, _) = arguments.word("the name that is asked for")?;
        let (id, kind) = dns_options(arguments)?;
        return Ok(payload::dns_query(id, name, kind));
    }
    if arguments.flag("dns-answer") {
        let (name, _) = arguments.word("the name that was asked for")?;
        let (id, kind) = dns_options(arguments)?;
        let code = arguments.value("rcode", "a number below 16")?.unwrap_or(0);
        let mut data = Vec::new();
        while let Some((text, _)) = arguments.text("data")? {
            data.push(payload::dns_data(kind, text));
        }
        return Ok(payload::dns_answer(id, name, kind, code, &data));
    }
    if arguments.flag("tls-client-hello") {
        let name = arguments.text("sni")?.map(|(name, _)| name);
        let alpn: Vec<&str> = arguments.text("alpn")?.map_or(Vec::new(), |(list, _)| list.split(',').collect());
        let tls12 = arguments.flag("tls12");
        let random = arguments.value("random", "a number")?.unwrap_or(1);
        let suites = [0x1301, 0x1302, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0x009c];
        let suites = if tls12 { &suites[2..] } else { &suites[..] };
        let hello = ClientHello { server_name: name, alpn: &alpn, suites, tls13: !tls12, random };
        return Ok(payload::tls_client_hello(&hello));
    }
    Ok(Vec::new())
}

fn headers<'t>(arguments: &mut Arguments<'t>) -> Result<Vec<&'t str>, Failure> {
    let mut headers = Vec::new();
    while let Some((header, _)) = arguments.text("header")? {
        headers.push(header);
    }
    Ok(headers)
}

fn dns_options(arguments: &mut Arguments<'_>) -> Result<(u16, u16), Failure> {
    let id = arguments.value("id", "a number below 65536")?.unwrap_or(1);
    let kind = match arguments.text("type")? {
        None => 1,
        Some((text, column)) => payload::dns_type(text)
            .ok_or_else(|| (column, format!("`type={text}`: a record type like A is expected")))?,
    };
    Ok((id, kind))
}
