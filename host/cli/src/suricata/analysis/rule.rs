//! One rule of `rules.json`.

use super::engines::{self, Engine};
use super::lists;
use super::pattern;
use serde_json::{Map, Value, json};
use weir_contract::protocol::AppProtocol;
use weir_ir::condition::TcpFlagsMatch;
use weir_ir::{
    Action, AppLayerCondition, BitOperation, Buffer, Comparison, Event, Hook, Match, PacketCondition, Rule, RuleProtocol,
};

/// Sides that a rule is inspected on: to server, to client.
fn sides(rule: &Rule) -> (bool, bool) {
    let flow = rule.flow.unwrap_or_default();
    match (flow.to_server, flow.to_client, rule.hook) {
        (_, _, Some(Hook::Transaction(hook))) => (hook.to_server, !hook.to_server),
        (false, false, _) | (true, true, _) => (true, true),
        (to_server, to_client, _) => (to_server, to_client),
    }
}

fn application(rule: &Rule) -> Option<AppProtocol> {
    match rule.header.protocol {
        RuleProtocol::App(protocol) => Some(protocol),
        _ => rule.buffers.iter().find_map(|b| b.buffer.protocol()).or_else(|| {
            rule.events.iter().find_map(|event| match event {
                Event::AppLayer(protocol, _) => *protocol,
                _ => None,
            })
        }),
    }
}

fn of_transaction(rule: &Rule) -> bool {
    let condition = |c: &AppLayerCondition| {
        !matches!(c, AppLayerCondition::Protocol { .. } | AppLayerCondition::ProtocolOf { .. } | AppLayerCondition::Undetected(_) | AppLayerCondition::FileStore)
    };
    rule.buffers.iter().any(|b| !matches!(b.buffer, Buffer::Payload | Buffer::Base64Data) && !is_header(b.buffer))
        || rule.app_layer.iter().any(condition)
        || rule.packet.iter().any(|c| matches!(c, PacketCondition::FtpBounce))
        || rule.events.iter().any(|e| matches!(e, Event::AppLayer(Some(_), _)))
        || matches!(rule.hook, Some(Hook::Transaction(_)))
}

fn is_header(buffer: Buffer) -> bool {
    matches!(
        buffer,
        Buffer::Ipv4Header
            | Buffer::Ipv6Header
            | Buffer::TcpHeader
            | Buffer::UdpHeader
            | Buffer::Icmpv4Header
            | Buffer::Icmpv6Header
            | Buffer::IpSource
            | Buffer::IpDestination
    )
}

/// Conditions on headers of packets, which a stream has not.
fn of_packet(condition: &PacketCondition) -> bool {
    !matches!(
        condition,
        PacketCondition::StreamSize(_)
            | PacketCondition::FlowAge(_)
            | PacketCondition::FlowPackets(..)
            | PacketCondition::FlowBytes(..)
            | PacketCondition::Isset(_)
            | PacketCondition::FtpBounce
    )
}

fn payload(rule: &Rule) -> impl Iterator<Item = &Match> {
    rule.buffers.iter().filter(|b| b.buffer == Buffer::Payload).flat_map(|b| &b.matches)
}

/// Packets, streams: what a rule on the payload looks at.
fn units(rule: &Rule) -> (bool, bool) {
    if payload(rule).next().is_none() {
        return (false, false);
    }
    let flow = rule.flow.unwrap_or_default();
    let placed = payload(rule).any(|item| match item {
        Match::Content(c) => c.offset.is_some() || c.depth.is_some() || c.anchor.start,
        _ => false,
    });
    let bound = rule.packet.iter().any(of_packet);
    match rule.header.protocol {
        RuleProtocol::TcpPacket => (true, false),
        RuleProtocol::TcpStream => (false, true),
        _ if flow.only_stream => (false, true),
        _ if flow.no_stream || bound => (true, false),
        RuleProtocol::Tcp => (placed, true),
        RuleProtocol::App(protocol) => match udp_only(protocol) {
            true => (true, false),
            false => (placed, true),
        },
        _ => (true, false),
    }
}

fn udp_only(protocol: AppProtocol) -> bool {
    matches!(protocol, AppProtocol::Dhcp | AppProtocol::Ntp | AppProtocol::Snmp | AppProtocol::Tftp | AppProtocol::Quic)
}

/// Suricata's type of the rule.
fn kind(rule: &Rule) -> &'static str {
    let tests = rule.flowbits.iter().any(|b| matches!(b.operation, BitOperation::IsSet | BitOperation::IsNotSet))
        || rule.xbits.iter().any(|b| matches!(b.operation, BitOperation::IsSet | BitOperation::IsNotSet))
        || !rule.flowints.is_empty();
    let only_addresses = rule.packet.iter().all(|c| matches!(c, PacketCondition::Address { .. } | PacketCondition::IpProtocol(_)));
    let plain = rule.buffers.is_empty() && rule.app_layer.is_empty() && !tests && rule.flow.is_none() && only_addresses;
    if !rule.events.is_empty() && rule.events.iter().all(|e| matches!(e, Event::Decoder(_))) && plain {
        return "de_only";
    }
    if rule.firewall && !of_transaction(rule) {
        return "pkt";
    }
    if plain && rule.events.is_empty() && !matches!(rule.header.protocol, RuleProtocol::App(_)) {
        return if rule.header.negated { "like_ip_only" } else { "ip_only" };
    }
    let detection = |c: &AppLayerCondition| matches!(c, AppLayerCondition::Protocol { .. });
    if !rule.app_layer.is_empty()
        && rule.app_layer.iter().all(detection)
        && rule.buffers.is_empty()
        && rule.packet.is_empty()
        && rule.flow.is_none()
        && !tests
    {
        return "pd_only";
    }
    if of_transaction(rule) {
        return "app_tx";
    }
    match units(rule) {
        (true, true) => "pkt_stream",
        (false, true) => "stream",
        (true, false) => "pkt",
        (false, false) if rule.packet.iter().any(of_packet) => "pkt",
        (false, false) if tests || rule.flow.as_ref().is_some_and(|f| f.established || f.not_established) => "pkt",
        (false, false) if matches!(rule.header.protocol, RuleProtocol::App(_)) => "app_layer",
        (false, false) => "pkt",
    }
}

fn tcp_flags(rule: &Rule) -> u8 {
    rule.packet.iter().fold(0, |all, condition| match condition {
        PacketCondition::TcpFlags(TcpFlagsMatch { flags, .. }) => all | flags,
        _ => all,
    })
}

/// What must be there before the rule is looked at.
fn requirements(rule: &Rule) -> Vec<&'static str> {
    let mut out = Vec::new();
    let size = rule.packet.iter().find_map(|c| match c {
        PacketCondition::PayloadSize(size) => Some(*size),
        _ => None,
    });
    let transaction = of_transaction(rule);
    if payload(rule).next().is_some() && !transaction || size.is_some_and(|size| !size.holds(0)) {
        out.push("payload");
    }
    if size == Some(Comparison::Equal(0)) || size == Some(Comparison::Less(1)) {
        out.push("no_payload");
    }
    let flow = rule.flow.unwrap_or_default();
    let state = flow.established || flow.not_established || flow.stateless;
    let bits = rule.flowbits.iter().any(|op| op.operation == BitOperation::IsSet);
    if state || bits || transaction || application(rule).is_some() || !rule.app_layer.is_empty() {
        out.push("flow");
    }
    // FIN, SYN and RST open or close; URG, ECE and CWR are rare.
    let flags = tcp_flags(rule);
    if flags & 0x07 != 0 {
        out.push("tcp_flags_init_deinit");
    }
    if flags & 0xe0 != 0 {
        out.push("tcp_flags_unusual");
    }
    if rule.events.iter().any(|e| !matches!(e, Event::AppLayer(Some(_), _))) {
        out.push("engine_event");
    }
    if rule.packet.iter().any(|c| of_packet(c) && !matches!(c, PacketCondition::PayloadSize(_) | PacketCondition::Address { .. })) {
        out.push("real_pkt");
    }
    out
}

fn flags(rule: &Rule, fast: bool) -> Vec<&'static str> {
    let header = &rule.header;
    let (packet, stream) = units(rule);
    let transaction = of_transaction(rule);
    let (to_server, to_client) = sides(rule);
    let with_ports = !matches!(
        header.protocol,
        RuleProtocol::Icmp | RuleProtocol::Icmpv4 | RuleProtocol::Icmpv6 | RuleProtocol::PacketHeader
    );
    let tests = rule.flowbits.iter().any(|op| matches!(op.operation, BitOperation::IsSet | BitOperation::IsNotSet));
    let named: [(&str, bool); 15] = [
        ("src_any", header.source.is_any()),
        ("dst_any", header.destination.is_any()),
        ("sp_any", with_ports && header.source_ports.is_any()),
        ("dp_any", with_ports && header.destination_ports.is_any()),
        ("noalert", rule.noalert && rule.action != Action::Pass),
        ("dsize", rule.packet.iter().any(|c| matches!(c, PacketCondition::PayloadSize(_)))),
        ("applayer", application(rule).is_some()),
        ("need_packet", packet || stream && !transaction || rule.packet.iter().any(of_packet)),
        ("need_stream", stream),
        ("negated_mpm", false),
        ("need_flowvar", tests || rule.flowints.iter().any(|_| true)),
        ("toserver", to_server),
        ("toclient", to_client),
        ("tls", application(rule) == Some(AppProtocol::Tls)),
        ("prefilter", fast),
    ];
    named.into_iter().filter(|(_, holds)| *holds).map(|(name, _)| name).collect()
}

fn direction(to_server: bool) -> &'static str {
    if to_server { "toserver" } else { "toclient" }
}

/// Engines of transactions, in the order in which they run.
fn app_engines(rule: &Rule, fast: Option<(usize, usize)>, notes: &mut Vec<String>) -> Vec<Value> {
    struct Run {
        name: String,
        engine: Engine,
        fast: bool,
        matches: Vec<Value>,
        transforms: usize,
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut add = |run: Run| {
        // Engines of the fast pattern stand in front, the others by the step from which they run.
        let place = match run.fast {
            true => runs.iter().position(|other| !other.fast).unwrap_or(runs.len()),
            false => runs
                .iter()
                .position(|other| !other.fast && other.engine.progress > run.engine.progress)
                .unwrap_or(runs.len()),
        };
        runs.insert(place, run);
    };
    let transaction = of_transaction(rule);
    for (entry, buffer) in rule.buffers.iter().enumerate() {
        let own = fast.filter(|(e, _)| *e == entry).map(|(_, place)| place);
        if buffer.buffer == Buffer::Base64Data || is_header(buffer.buffer) {
            continue;
        }
        if buffer.buffer == Buffer::Payload {
            if transaction && !rule.firewall || transaction {
                let matches = lists::matches(buffer, own, rule, notes);
                let (to_server, to_client) = sides(rule);
                for side in [(true, to_server), (false, to_client)].into_iter().filter(|s| s.1).map(|s| s.0) {
                    let engine = Engine { protocol: "unknown", to_server: side, progress: u8::MAX };
                    add(Run { name: "stream".to_owned(), engine, fast: own.is_some(), matches: matches.clone(), transforms: 0 });
                }
            }
            continue;
        }
        let matches = lists::matches(buffer, own, rule, notes);
        for engine in engines::engines(rule, buffer.buffer, own.is_some()) {
            add(Run {
                name: engines::name(buffer.buffer),
                engine,
                fast: own.is_some(),
                matches: matches.clone(),
                transforms: buffer.transforms.len(),
            });
        }
    }
    if rule.packet.contains(&PacketCondition::FtpBounce) {
        let engine = Engine { protocol: "ftp", to_server: true, progress: 1 };
        let matches = vec![json!({ "name": "ftpbounce" })];
        add(Run { name: "ftp:request_complete:generic".to_owned(), engine, fast: false, matches, transforms: 0 });
    }
    if let (Some(Hook::Transaction(hook)), true) = (rule.hook, runs.is_empty()) {
        let engine =
            Engine { protocol: weir_app_layer::eve_name(hook.protocol), to_server: hook.to_server, progress: hook.state };
        let name = format!("{}:{}:generic", weir_app_layer::eve_name(hook.protocol), hook.name());
        runs.push(Run { name, engine, fast: false, matches: Vec::new(), transforms: 0 });
    }
    runs.into_iter()
        .map(|run| {
            let mut value = json!({
                "name": run.name,
                "direction": direction(run.engine.to_server),
                "is_mpm": run.fast,
                "app_proto": run.engine.protocol,
                "progress": if run.engine.progress == u8::MAX { 0 } else { run.engine.progress },
                "matches": run.matches,
            });
            if run.transforms > 0 {
                value["transforms"] = json!(run.transforms);
            }
            value
        })
        .collect()
}

/// Everything about one rule.
pub fn analyse(rule: &Rule) -> Value {
    let mut notes: Vec<String> = Vec::new();
    let prefilter = prefilter_keyword(rule);
    let fast = pattern::choose(rule).filter(|_| prefilter.is_none());
    let transaction = of_transaction(rule);
    let mut out = Map::new();
    let mut put = |key: &str, value: Value| {
        out.insert(key.to_owned(), value);
    };
    put("raw", json!(&*rule.source.text));
    put("id", json!(rule.identity.sid));
    put("gid", json!(rule.identity.gid));
    put("rev", json!(rule.identity.rev));
    put("msg", json!(&*rule.meta.message));
    put("class", json!(if rule.firewall { "firewall" } else { "threat detection" }));
    put("app_proto", json!(protocol_name(rule)));
    put("requirements", json!(requirements(rule)));
    put("type", json!(kind(rule)));
    put("flags", json!(flags(rule, fast.is_some() || prefilter.is_some())));
    let mut packet_engines = Vec::new();
    if payload(rule).next().is_some() && !transaction {
        packet_engines.push(json!({ "name": "payload", "is_mpm": fast.is_some() }));
    }
    let lists = lists::lists(rule, !transaction, fast, &mut notes);
    if !lists["packet"].is_null() {
        packet_engines.push(json!({ "name": "packet", "is_mpm": false }));
    }
    for buffer in rule.buffers.iter().filter(|b| is_header(b.buffer)) {
        packet_engines.push(json!({ "name": engines::name(buffer.buffer), "is_mpm": false }));
    }
    if !packet_engines.is_empty() {
        put("pkt_engines", json!(packet_engines));
    }
    let engines = app_engines(rule, fast, &mut notes);
    if !engines.is_empty() {
        put("engines", json!(engines));
    }
    put("lists", lists);
    if let Some((entry, place)) = fast {
        if let Some(Match::Content(content)) = rule.buffers.get(entry).and_then(|b| b.matches.get(place)) {
            let buffer = &rule.buffers[entry];
            let first = !buffer.matches[..place].iter().any(|m| matches!(m, Match::Content(_) | Match::Pcre(_)));
            let mut value = lists::content(content, true, false, false, first, &mut Vec::new());
            value["buffer"] = json!(engines::name(buffer.buffer));
            put("mpm", value);
        }
    }
    if let Some(name) = prefilter {
        put("prefilter", json!({ "buffer": "packet", "name": name }));
    }
    notes.dedup();
    if !notes.is_empty() {
        put("notes", json!(notes));
    }
    Value::Object(out)
}

fn protocol_name(rule: &Rule) -> &'static str {
    match application(rule) {
        Some(AppProtocol::Http) => "http_any",
        Some(protocol) => weir_app_layer::eve_name(protocol),
        None => "unknown",
    }
}

/// The keyword in front of `prefilter`, unless that is a content.
fn prefilter_keyword(rule: &Rule) -> Option<&'static str> {
    let text = &*rule.source.text;
    let at = text.find("prefilter;")?;
    let before = text[..at].trim_end().strip_suffix(';')?;
    let start = before.rfind([';', '(']).map_or(0, |n| n + 1);
    let keyword = before[start..].split(':').next().unwrap_or("").trim();
    if keyword.starts_with("app-layer-protocol") {
        return Some("app-layer-protocol");
    }
    rule.packet.iter().map(lists::keyword).find(|name| *name == keyword || name.strip_prefix("tcp.") == Some(keyword))
}
