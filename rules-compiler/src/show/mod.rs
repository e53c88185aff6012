//! Normalised rules in the notation of rules, for people and their tools.
//!
//! Place: beside the reports; nothing reads it back. What is shown is the normal form: variables and defaults are filled in,
//! old spellings are the new ones. Where the normal form says more than the language can (a range with both ends
//! included), it is shown as the nearest notation that the language has.

mod condition;
mod matches;
mod record;

pub use record::{PROTOCOLS, record as record_words, scopes as scope_words};
pub use matches::{find as match_text, transform};

use serde::Serialize;
use weir_ir::state::{FlowintOperation, FlowintValue};
use weir_ir::{
    Action, AddressSet, BitOperation, FlowCondition, Hook, PacketHook, PortSet, Rule, RuleProtocol, TagMetric, TagWho,
    ThresholdKind, Track, Unlogged,
};

/// A buffer and what is looked for in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownBuffer {
    /// Name of the sticky buffer; `payload` without one.
    pub buffer: String,
    /// Transforms, in order.
    pub transforms: Vec<String>,
    /// Matches, in order.
    pub matches: Vec<String>,
}

/// A rule's parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShownRule {
    /// Action, protocol, addresses, ports.
    pub header: String,
    /// Conditions outside of buffers: `flow`, of packets, of parsers, events.
    pub conditions: Vec<String>,
    /// Buffers.
    pub buffers: Vec<ShownBuffer>,
    /// What it asks of and does to state: bits, counters, thresholds, tags, `noalert`.
    pub state: Vec<String>,
}

impl ShownRule {
    /// Of a rule.
    pub fn new(rule: &Rule) -> Self {
        let mut conditions: Vec<String> = rule.flow.iter().map(flow).collect();
        conditions.extend(rule.packet.iter().map(condition::packet));
        conditions.extend(rule.app_layer.iter().map(condition::application));
        conditions.extend(rule.events.iter().map(condition::event));
        let buffers = rule.buffers.iter().map(|run| ShownBuffer {
            buffer: run.buffer.name().to_owned(),
            transforms: run.transforms.iter().map(transform).collect(),
            matches: run.matches.iter().map(match_text).collect(),
        });
        ShownRule { header: header(rule), conditions, buffers: buffers.collect(), state: state(rule) }
    }
}

fn header(rule: &Rule) -> String {
    let h = &rule.header;
    let direction = match (rule.transactional, h.bidirectional) {
        (true, _) => "=>",
        (false, true) => "<>",
        (false, false) => "->",
    };
    let hook = match rule.hook {
        Some(Hook::Packet(PacketHook::All)) => ":all",
        Some(Hook::Packet(PacketHook::FlowStart)) => ":flow_start",
        Some(Hook::Packet(PacketHook::PreFlow)) => ":pre_flow",
        Some(Hook::Packet(PacketHook::PreStream)) => ":pre_stream",
        Some(Hook::Transaction(hook)) => &format!(":{}{}", if hook.earlier { "<" } else { "" }, hook.name()),
        None => "",
    };
    format!(
        "{} {}{hook} {} {} {direction} {} {}",
        action(rule.action),
        protocol(h.protocol),
        addresses(&h.source),
        ports(&h.source_ports),
        addresses(&h.destination),
        ports(&h.destination_ports)
    )
}

/// The action word.
pub fn action(action: Action) -> &'static str {
    match action {
        Action::Pass => "pass",
        Action::Drop => "drop",
        Action::Reject => "reject",
        Action::RejectDestination => "rejectdst",
        Action::RejectBoth => "rejectboth",
        Action::Alert => "alert",
        Action::Config => "config",
        Action::Accept => "accept",
    }
}

/// The protocol word of a header.
pub fn protocol(protocol: RuleProtocol) -> &'static str {
    match protocol {
        RuleProtocol::Ip => "ip",
        RuleProtocol::Ipv4 => "ipv4",
        RuleProtocol::Ipv6 => "ipv6",
        RuleProtocol::Tcp => "tcp",
        RuleProtocol::TcpPacket => "tcp-pkt",
        RuleProtocol::TcpStream => "tcp-stream",
        RuleProtocol::Udp => "udp",
        RuleProtocol::Icmp => "icmp",
        RuleProtocol::Icmpv4 => "icmpv4",
        RuleProtocol::Icmpv6 => "icmpv6",
        RuleProtocol::Sctp => "sctp",
        RuleProtocol::PacketHeader => "pkthdr",
        RuleProtocol::Arp => "arp",
        RuleProtocol::Ether => "ether",
        RuleProtocol::App(app) => app.name(),
    }
}

/// Entries of a list that are shown.
const SHOWN: usize = 6;

/// Addresses, shortened: everything, a list, or the complement of one where that is shorter.
pub fn addresses(set: &AddressSet) -> String {
    if set.is_any() {
        return "any".to_owned();
    }
    let list = |set: &AddressSet| -> Vec<String> {
        let v4 = set.v4.iter().map(|&(a, b)| span(&a, &b, network(u32::from(a).into(), u32::from(b).into(), 32)));
        let v6 = set.v6.iter().map(|&(a, b)| span(&a, &b, network(a.into(), b.into(), 128)));
        v4.chain(v6).collect()
    };
    let rest = set.complement();
    let (own, rest) = (list(set), list(&rest));
    if rest.len() < own.len() { format!("!{}", shortened(rest)) } else { shortened(own) }
}

/// Bits of the prefix whose addresses these are.
fn network(low: u128, high: u128, bits: u32) -> Option<u32> {
    let span = low ^ high;
    let host = 128 - span.leading_zeros();
    let whole = if host == 128 { u128::MAX } else { (1 << host) - 1 };
    (span == whole && low & whole == 0 && host > 0).then(|| bits - host)
}

fn span<T: std::fmt::Display + PartialEq>(low: &T, high: &T, network: Option<u32>) -> String {
    match network {
        Some(bits) => format!("{low}/{bits}"),
        None if low == high => low.to_string(),
        None => format!("{low}-{high}"),
    }
}

/// Ports, shortened.
pub fn ports(set: &PortSet) -> String {
    if set.is_any() {
        return "any".to_owned();
    }
    let list = |set: &PortSet| -> Vec<String> {
        let one = |&(a, b): &(u16, u16)| if a == b { a.to_string() } else { format!("{a}:{b}") };
        set.ranges.iter().map(one).collect()
    };
    let (own, rest) = (list(set), list(&set.complement()));
    if rest.len() < own.len() { format!("!{}", shortened(rest)) } else { shortened(own) }
}

fn shortened(items: Vec<String>) -> String {
    let more = items.len().saturating_sub(SHOWN);
    let mut text = items.into_iter().take(SHOWN).collect::<Vec<_>>().join(",");
    if more > 0 {
        text += &format!(",… {more} more");
    }
    if more > 0 || text.contains(',') { format!("[{text}]") } else { text }
}

fn flow(flow: &FlowCondition) -> String {
    let words = [
        (flow.established, "established"),
        (flow.not_established, "not_established"),
        (flow.stateless, "stateless"),
        (flow.to_server, "to_server"),
        (flow.to_client, "to_client"),
        (flow.only_stream, "only_stream"),
        (flow.no_stream, "no_stream"),
        (flow.only_frag, "only_frag"),
        (flow.no_frag, "no_frag"),
    ];
    let words: Vec<&str> = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
    format!("flow:{}", words.join(","))
}

fn track(track: Track) -> &'static str {
    match track {
        Track::Source => "by_src",
        Track::Destination => "by_dst",
        Track::Both => "by_both",
        Track::Rule => "by_rule",
        Track::Flow => "by_flow",
        Track::Transaction => "tx",
    }
}

/// `ip_src` and the like, of xbits.
fn of_host(by: Track) -> &'static str {
    match by {
        Track::Source => "ip_src",
        Track::Destination => "ip_dst",
        Track::Both => "ip_pair",
        other => track(other),
    }
}

/// The word of a bit's operation.
pub fn operation(operation: BitOperation) -> &'static str {
    match operation {
        BitOperation::Set => "set",
        BitOperation::Unset => "unset",
        BitOperation::Toggle => "toggle",
        BitOperation::IsSet => "isset",
        BitOperation::IsNotSet => "isnotset",
    }
}

fn flowint(of: &FlowintOperation) -> String {
    let value = |v: &FlowintValue| match v {
        FlowintValue::Constant(n) => n.to_string(),
        FlowintValue::Variable(name) => name.to_string(),
    };
    match of {
        FlowintOperation::Set(v) => format!("=,{}", value(v)),
        FlowintOperation::Add(v) => format!("+,{}", value(v)),
        FlowintOperation::Subtract(v) => format!("-,{}", value(v)),
        FlowintOperation::IsSet => "isset".to_owned(),
        FlowintOperation::IsNotSet => "isnotset".to_owned(),
        FlowintOperation::Compare(c) => condition::comparison(*c),
        FlowintOperation::CompareVariable(order, or_equal, name) => {
            let sign = match order {
                std::cmp::Ordering::Less => "<",
                std::cmp::Ordering::Equal => "=",
                std::cmp::Ordering::Greater => ">",
            };
            format!("{sign}{},{name}", if *or_equal { "=" } else { "" })
        }
    }
}

fn state(rule: &Rule) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    out.extend(rule.flowbits.iter().map(|bit| format!("flowbits:{},{}", operation(bit.operation), bit.names.join("|"))));
    out.extend(rule.flowints.iter().map(|int| format!("flowint:{},{}", int.name, flowint(&int.operation))));
    out.extend(rule.xbits.iter().map(|bit| {
        let expire = if bit.expire == 0 { String::new() } else { format!(",expire {}", bit.expire) };
        format!("xbits:{},{},track {}{expire}", operation(bit.operation), bit.name, of_host(bit.track))
    }));
    out.extend(rule.threshold.map(|t| {
        let kind = match t.kind {
            ThresholdKind::Limit => "threshold:type limit",
            ThresholdKind::Threshold => "threshold:type threshold",
            ThresholdKind::Both => "threshold:type both",
            ThresholdKind::Backoff(n) => {
                return format!("threshold:type backoff,track {},count {},multiplier {n}", track(t.track), t.count);
            }
            ThresholdKind::DetectionFilter => {
                return format!("detection_filter:track {},count {},seconds {}", track(t.track), t.count, t.seconds);
            }
        };
        format!("{kind},track {},count {},seconds {}", track(t.track), t.count, t.seconds)
    }));
    out.extend(rule.tag.map(|tag| {
        let (who, side) = match tag.who {
            TagWho::Session => ("session", ""),
            TagWho::Source => ("host", ",src"),
            TagWho::Destination => ("host", ",dst"),
        };
        let metric = match tag.metric {
            TagMetric::Packets => "packets",
            TagMetric::Seconds => "seconds",
            TagMetric::Bytes => "bytes",
        };
        format!("tag:{who},{},{metric}{side}", tag.count)
    }));
    out.extend(rule.unlogged.map(|what| {
        format!("config:logging disable,type tx,scope {}", if what == Unlogged::Flow { "flow" } else { "tx" })
    }));
    out.extend(rule.bypass.then(|| "bypass".to_owned()));
    out.extend(rule.noalert.then(|| "noalert".to_owned()));
    out
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ")
}

/// Bytes in quotes, as rules write them: what would end the string or the option is in hexadecimal.
pub fn quoted(bytes: &[u8]) -> String {
    let plain = |b: u8| (0x20..0x7f).contains(&b) && !matches!(b, b'|' | b'"' | b'\\' | b';');
    let mut out = String::from("\"");
    for run in bytes.chunk_by(|a, b| plain(*a) == plain(*b)) {
        if run.first().is_some_and(|&b| plain(b)) {
            out.extend(run.iter().map(|&b| b as char));
        } else {
            out += &format!("|{}|", hex(run));
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests;
