//! From a rule to a conversation in which it holds.

use super::solve::{Cause, Filler, Solver, Wanted};
use super::{dns, http, lines, tls};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::condition::TcpFlagsMode;
use weir_ir::{
    AddressSet, BitOperation, Buffer, BufferDirection, BufferMatch, Comparison, Content, Match, PacketCondition, Pcre,
    PortSet, Rule, RuleProtocol, ThresholdKind,
};
use weir_synth::{Random, Way};

/// What carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// ICMP or ICMPv6: type, code, and the four bytes behind the checksum.
    Icmp(u8, u8, u32),
    /// Another IP protocol.
    Ip(u8),
}

/// Bytes one side sends.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Who.
    pub way: Way,
    /// What.
    pub bytes: Vec<u8>,
    /// As one packet: a rule looks at packets, or at their size.
    pub whole: bool,
    /// TCP flags of a packet besides the session, if it is one.
    pub flags: Option<u8>,
}

/// Packets between two hosts.
#[derive(Debug, Clone)]
pub struct Conversation {
    /// What carries it.
    pub transport: Transport,
    /// Initiator.
    pub client: (IpAddr, u16),
    /// The other side.
    pub server: (IpAddr, u16),
    /// What is said.
    pub turns: Vec<Turn>,
    /// How often, each time from another port of the client.
    pub times: usize,
    /// TTL, where a rule asks for one.
    pub ttl: Option<u8>,
}

/// Rules, and who sets the bits that others ask for.
pub struct Rules<'r> {
    /// All.
    pub rules: &'r [Rule],
    setters: BTreeMap<Arc<str>, Vec<usize>>,
}

impl<'r> Rules<'r> {
    /// With their bits indexed.
    pub fn new(rules: &'r [Rule]) -> Rules<'r> {
        let mut setters: BTreeMap<Arc<str>, Vec<usize>> = BTreeMap::new();
        let sets = |op| matches!(op, BitOperation::Set | BitOperation::Toggle);
        for (n, rule) in rules.iter().enumerate() {
            for op in rule.flowbits.iter().filter(|op| sets(op.operation)) {
                op.names.iter().for_each(|name| setters.entry(name.clone()).or_default().push(n));
            }
            for bit in rule.xbits.iter().filter(|bit| sets(bit.operation)) {
                setters.entry(bit.name.clone()).or_default().push(n);
            }
        }
        Rules { rules, setters }
    }
}

impl Rules<'_> {
    /// Text of these rules, and of all that set bits which they ask for.
    pub fn text_with_setters(&self, chosen: &[usize]) -> String {
        let mut all: Vec<usize> = chosen.to_vec();
        let mut at = 0;
        while let Some(&n) = all.get(at) {
            let rule = &self.rules[n];
            let flow = rule.flowbits.iter().flat_map(|op| &op.names);
            for name in flow.chain(rule.xbits.iter().map(|bit| &bit.name)) {
                all.extend(
                    self.setters
                        .get(name)
                        .into_iter()
                        .flatten()
                        .copied()
                        .filter(|n| !all.contains(n))
                        .collect::<Vec<_>>(),
                );
            }
            at += 1;
        }
        all.sort_unstable();
        all.dedup();
        all.iter().map(|n| format!("{}\n", self.rules[*n].source.text)).collect()
    }
}

/// Where a conversation may take place.
struct Place {
    client: AddressSet,
    client_ports: PortSet,
    server: AddressSet,
    server_ports: PortSet,
}

/// Everything that makes one conversation.
pub struct Maker<'m, 'r> {
    /// Solves buffers.
    pub solver: &'m mut Solver,
    /// Numbers.
    pub random: Random,
    /// Which of several ways to place things.
    pub variant: usize,
    /// The rules.
    pub rules: &'m Rules<'r>,
}

/// Most flows of one conversation.
const TIMES_MAX: u32 = 260;
/// Deepest chain of bits.
const DEPTH_MAX: usize = 5;

/// The protocol that parses a rule's traffic.
pub fn application(rule: &Rule) -> Option<AppProtocol> {
    let named = match rule.header.protocol {
        RuleProtocol::App(protocol) => Some(protocol),
        _ => None,
    };
    named.or_else(|| rule.buffers.iter().find_map(|b| b.buffer.protocol())).or_else(|| {
        let files = rule.buffers.iter().any(|b| b.buffer == Buffer::FileData);
        files.then_some(AppProtocol::Http)
    })
}

/// Is it the server that sends what matches?
pub fn to_client(rule: &Rule) -> bool {
    if let Some(flow) = rule.flow.filter(|flow| flow.to_client != flow.to_server) {
        return flow.to_client;
    }
    let directions = || rule.buffers.iter().map(|b| b.buffer.direction());
    directions().any(|d| d == BufferDirection::ToClient) && !directions().any(|d| d == BufferDirection::ToServer)
}

/// Which way the packets go that match.
pub fn way(rule: &Rule) -> Way {
    if to_client(rule) { Way::ToClient } else { Way::ToServer }
}

/// Content that has to stand somewhere.
pub fn somewhere(bytes: &[u8]) -> Match {
    Match::Content(Content { bytes: bytes.into(), nocase: true, ..Content::default() })
}

impl Maker<'_, '_> {
    /// A conversation of rule number `index`.
    pub fn conversation(&mut self, index: usize) -> Result<Conversation, Cause> {
        let rule = &self.rules.rules[index];
        let times = match rule.threshold {
            Some(t) if !matches!(t.kind, ThresholdKind::Limit | ThresholdKind::Backoff(_)) => t.count + 1,
            _ => 1,
        };
        if times > TIMES_MAX {
            return Err("a threshold of more than 260 matches");
        }
        let transport = transport(rule)?;
        let mut place = place_of(rule);
        let mut turns = Vec::new();
        self.turns(index, transport, &mut place, &mut turns, 0)?;
        let ttl = rule.packet.iter().find_map(|c| match c {
            PacketCondition::Ttl(c) => (1..=255u8).rev().find(|n| c.holds(u64::from(*n))),
            _ => None,
        });
        let home = 0x0a00_0000 | (index as u32 + 1);
        let away = u32::from(Ipv4Addr::new(198, 18, 0, 0)) + index as u32 + 1;
        let same = rule.packet.contains(&PacketCondition::SameIp);
        let client = self.address(&place.client, home, away)?;
        let server = if same { client } else { self.address(&place.server, away, home)? };
        let usual: &[u16] = match application(rule) {
            Some(AppProtocol::Http) => &[80, 8080],
            Some(AppProtocol::Tls) => &[443, 8443],
            Some(AppProtocol::Dns) => &[53],
            Some(AppProtocol::Smtp) => &[25, 587],
            Some(AppProtocol::Ftp) => &[21],
            Some(AppProtocol::Ssh) => &[22],
            Some(AppProtocol::Smb) => &[445, 139],
            _ => &[4000],
        };
        let server_port = match usual.iter().find(|port| place.server_ports.contains(**port)) {
            Some(port) => *port,
            None => self.port(&place.server_ports)?,
        };
        let ephemeral = 32_768 + self.random.below(20_000) as u16;
        let client_port =
            if place.client_ports.contains(ephemeral) { ephemeral } else { self.port(&place.client_ports)? };
        let times = times as usize;
        Ok(Conversation { transport, client: (client, client_port), server: (server, server_port), turns, times, ttl })
    }

    fn port(&mut self, set: &PortSet) -> Result<u16, Cause> {
        if set.ranges.is_empty() {
            return Err("no port serves the rule and those that set its bits");
        }
        let (low, high) = self.random.pick(&set.ranges);
        Ok((low + self.random.below(u64::from(high - low) + 1) as u16).max(1))
    }

    fn address(&mut self, set: &AddressSet, first: u32, second: u32) -> Result<IpAddr, Cause> {
        for wanted in [first, second] {
            let address = IpAddr::V4(Ipv4Addr::from(wanted));
            if set.contains(address) {
                return Ok(address);
            }
        }
        if !set.v4.is_empty() {
            let (low, high) = self.random.pick(&set.v4);
            let (low, high) = (u32::from(low), u32::from(high));
            let by = self.random.below(u64::from(high - low) + 1) as u32;
            return Ok(IpAddr::V4(Ipv4Addr::from(low + by)));
        }
        set.v6.first().map(|(low, _)| IpAddr::V6(*low)).ok_or("no address serves the rule and those that set its bits")
    }

    /// The turns of a rule, behind those of the rules that set its bits.
    fn turns(
        &mut self,
        index: usize,
        transport: Transport,
        place: &mut Place,
        out: &mut Vec<Turn>,
        depth: usize,
    ) -> Result<(), Cause> {
        let all = self.rules;
        let rule = &all.rules[index];
        if depth > DEPTH_MAX {
            return Err("bits that depend on each other");
        }
        let asked = rule.flowbits.iter().filter(|op| op.operation == BitOperation::IsSet).map(|op| &op.names[..]);
        let hosts =
            rule.xbits.iter().filter(|x| x.operation == BitOperation::IsSet).map(|x| std::slice::from_ref(&x.name));
        for names in asked.chain(hosts) {
            let same = |n: &usize| *n != index && transport_serves(&all.rules[*n], transport);
            let setters: Vec<usize> =
                names.iter().filter_map(|name| all.setters.get(name)).flatten().copied().filter(same).collect();
            if setters.is_empty() {
                return Err("a bit that no loaded rule of this transport sets");
            }
            let setter = self.random.pick(&setters);
            let theirs = place_of(&all.rules[setter]);
            for (ours, theirs) in [(&mut place.client, theirs.client), (&mut place.server, theirs.server)] {
                *ours = ours.intersection(&theirs);
            }
            for (ours, theirs) in
                [(&mut place.client_ports, theirs.client_ports), (&mut place.server_ports, theirs.server_ports)]
            {
                *ours = ours.intersection(&theirs);
            }
            self.turns(setter, transport, place, out, depth + 1)?;
        }
        if rule.flow.is_some_and(|f| f.established) && transport == Transport::Udp && out.is_empty() && depth == 0 {
            for way in [Way::ToServer, Way::ToClient] {
                out.push(turn(way, b"hello".to_vec()));
            }
        }
        let mut own = match (application(rule), transport) {
            (Some(AppProtocol::Http | AppProtocol::Http1), Transport::Tcp) => http::turns(self, rule)?,
            (Some(AppProtocol::Tls), Transport::Tcp) => tls::turns(self, rule)?,
            (Some(AppProtocol::Dns), _) => dns::turns(self, rule, transport)?,
            (Some(protocol), Transport::Tcp) => lines::turns(self, rule, protocol)?,
            _ => self.raw(rule, b"", |_| {})?,
        };
        out.append(&mut own);
        Ok(())
    }

    /// Bytes of one buffer, whose matches are all of the rule's on it.
    pub fn buffer(
        &mut self,
        rule: &Rule,
        buffer: Buffer,
        filler: Filler,
        lead: &[u8],
        shape: fn(&[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>, Cause> {
        self.framed(rule, buffer, filler, (lead, b""), shape)
    }

    /// The same, with bytes around.
    pub fn framed(
        &mut self,
        rule: &Rule,
        buffer: Buffer,
        filler: Filler,
        (lead, trail): (&[u8], &[u8]),
        shape: fn(&[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>, Cause> {
        let mut parts: Vec<Vec<u8>> = Vec::new();
        for (n, matches) in rule.buffers.iter().enumerate().filter(|(_, b)| b.buffer == buffer) {
            if matches.matches.iter().any(|m| matches!(m, Match::Absent { .. })) {
                continue;
            }
            let decoded = rule.buffers.get(n + 1..).unwrap_or(&[]).iter().find(|b| b.buffer == Buffer::Base64Data);
            let wanted = Wanted { matches, decoded, filler, length: Vec::new(), shape, lead, trail };
            parts.push(self.solver.solve(&wanted, &mut self.random)?);
        }
        // Several runs (with and without transforms): one text may serve all.
        let negative = |b: &BufferMatch| {
            b.matches.iter().all(|m| match m {
                Match::Content(c) => c.negated,
                Match::Pcre(Pcre { negated, .. }) => *negated,
                _ => false,
            })
        };
        let runs: Vec<&BufferMatch> = rule.buffers.iter().filter(|b| b.buffer == buffer).collect();
        Ok(match parts.len() {
            0 => None,
            1 => parts.pop(),
            _ if buffer.is_multi() => parts.into_iter().reduce(|all, part| [all, part].concat()),
            _ => runs.iter().zip(parts).find(|(run, _)| !negative(run)).map(|(_, part)| part),
        })
    }

    /// A message that is seen as bytes only. Gaps at its beginning are `lead`; `patch` puts lengths right.
    pub fn raw(&mut self, rule: &Rule, lead: &[u8], patch: fn(&mut Vec<u8>)) -> Result<Vec<Turn>, Cause> {
        let length: Vec<Comparison> = rule
            .packet
            .iter()
            .filter_map(|c| if let PacketCondition::PayloadSize(c) = c { Some(*c) } else { None })
            .collect();
        let packet = matches!(rule.header.protocol, RuleProtocol::TcpPacket)
            || !length.is_empty()
            || rule.flow.is_some_and(|f| f.no_stream);
        let flags = rule.packet.iter().find_map(|c| match c {
            PacketCondition::TcpFlags(f) => Some(match f.mode {
                TcpFlagsMode::Exact | TcpFlagsMode::All | TcpFlagsMode::Any => f.flags,
                TcpFlagsMode::Not => !f.flags & 0x10,
            }),
            _ => None,
        });
        let filler = if self.variant.is_multiple_of(2) { Filler::Text } else { Filler::Digits };
        let empty;
        let matches = match rule.buffers.iter().find(|b| b.buffer == Buffer::Payload) {
            Some(matches) => matches,
            None => {
                empty =
                    BufferMatch { buffer: Buffer::Payload, transforms: Vec::new(), matches: Vec::new(), side: None };
                &empty
            }
        };
        let decoded = rule.buffers.iter().find(|b| b.buffer == Buffer::Base64Data);
        if matches.matches.is_empty() && length.is_empty() && lead.is_empty() {
            let bytes = if flags.is_some() { Vec::new() } else { b"data\r\n".to_vec() };
            return Ok(vec![Turn { way: way(rule), bytes, whole: packet, flags }]);
        }
        let wanted = Wanted { matches, decoded, filler, length, shape: |_| true, lead, trail: b"" };
        let mut bytes = self.solver.solve(&wanted, &mut self.random)?;
        patch(&mut bytes);
        Ok(vec![Turn { way: way(rule), bytes, whole: packet, flags }])
    }
}

/// A turn without peculiarities.
pub fn turn(way: Way, bytes: Vec<u8>) -> Turn {
    Turn { way, bytes, whole: false, flags: None }
}

fn transport(rule: &Rule) -> Result<Transport, Cause> {
    let icmp = |v4: bool| {
        let of = |condition: &dyn Fn(&PacketCondition) -> Option<Comparison>, usual: u8| {
            let asked: Vec<Comparison> = rule.packet.iter().filter_map(condition).collect();
            [usual].into_iter().chain(0..=255).find(|n| asked.iter().all(|c| c.holds(u64::from(*n)))).unwrap_or(usual)
        };
        let kind =
            of(&|c| if let PacketCondition::IcmpType(c) = c { Some(*c) } else { None }, if v4 { 8 } else { 128 });
        let code = of(&|c| if let PacketCondition::IcmpCode(c) = c { Some(*c) } else { None }, 0);
        let (mut id, mut sequence) = (1u16, 1u16);
        for condition in &rule.packet {
            match condition {
                PacketCondition::IcmpId(n) => id = *n,
                PacketCondition::IcmpSequence(n) => sequence = *n,
                _ => {}
            }
        }
        Transport::Icmp(kind, code, u32::from(id) << 16 | u32::from(sequence))
    };
    Ok(match rule.header.protocol {
        RuleProtocol::Tcp | RuleProtocol::TcpPacket | RuleProtocol::TcpStream => Transport::Tcp,
        RuleProtocol::Udp => Transport::Udp,
        RuleProtocol::Icmp | RuleProtocol::Icmpv4 => icmp(true),
        RuleProtocol::Icmpv6 => icmp(false),
        RuleProtocol::Ip | RuleProtocol::Ipv4 | RuleProtocol::Ipv6 => {
            let asked: Vec<Comparison> = rule
                .packet
                .iter()
                .filter_map(|c| if let PacketCondition::IpProtocol(c) = c { Some(*c) } else { None })
                .collect();
            let protocol = [6u8, 17].into_iter().chain(0..=255).find(|n| asked.iter().all(|c| c.holds(u64::from(*n))));
            match protocol {
                Some(6) => Transport::Tcp,
                Some(17) => Transport::Udp,
                Some(1) => icmp(true),
                Some(other) => Transport::Ip(other),
                None => return Err("no IP protocol serves the rule"),
            }
        }
        RuleProtocol::App(AppProtocol::Dns) => Transport::Udp,
        RuleProtocol::App(
            AppProtocol::Quic
            | AppProtocol::Ntp
            | AppProtocol::Dhcp
            | AppProtocol::Snmp
            | AppProtocol::Tftp
            | AppProtocol::Ike,
        ) => Transport::Udp,
        RuleProtocol::App(_) => Transport::Tcp,
        _ => return Err("a header that is no flow's"),
    })
}

fn transport_serves(rule: &Rule, wanted: Transport) -> bool {
    transport(rule).is_ok_and(|t| t == wanted)
}

fn place_of(rule: &Rule) -> Place {
    let h = &rule.header;
    let place = Place {
        client: h.source.clone(),
        client_ports: h.source_ports.clone(),
        server: h.destination.clone(),
        server_ports: h.destination_ports.clone(),
    };
    if to_client(rule) {
        Place {
            client: place.server,
            client_ports: place.server_ports,
            server: place.client,
            server_ports: place.client_ports,
        }
    } else {
        place
    }
}
