//! Matches in the shape of `rules.json`.

use super::pattern::show;
use serde_json::{Value, json};
use weir_ir::state::{FlowintOperation, FlowintValue};
use weir_ir::{BitOperation, Buffer, BufferMatch, Content, FlowbitOp, FlowintOp, Match, Number, PacketCondition, Rule};

fn number(value: &Option<Number>) -> Option<i64> {
    match value {
        Some(Number::Constant(n)) => Some(*n),
        _ => None,
    }
}

/// What Suricata makes of a content that is relative to nothing: notes, and whether offsets were made of it.
fn placed_first(content: &Content, first: bool, notes: &mut Vec<String>) -> (Option<i64>, Option<i64>, bool) {
    let (offset, depth) = (number(&content.offset), number(&content.depth));
    if !first || (content.distance.is_none() && content.within.is_none()) {
        return (offset, depth, false);
    }
    let (distance, within) = (number(&content.distance), number(&content.within));
    if within.is_some() {
        notes.push("'within' option for pattern w/o previous content was converted to 'depth'".to_owned());
    }
    if distance.is_some() {
        notes.push("'distance' option for pattern w/o previous content was converted to 'offset'".to_owned());
    }
    (distance.filter(|n| *n >= 0), within.map(|n| n + distance.unwrap_or(0).max(0)), true)
}

/// A content; `fast` if it is the fast pattern.
pub fn content(content: &Content, fast: bool, next: bool, ends: bool, first: bool, notes: &mut Vec<String>) -> Value {
    let (offset, depth, converted) = placed_first(content, first, notes);
    let length = content.bytes.len();
    let depth = depth.or_else(|| content.anchor.start.then_some(length as i64));
    let mut value = json!({
        "pattern": if content.nocase { show(&content.bytes.to_ascii_lowercase()) } else { show(&content.bytes) },
        "length": length,
        "nocase": content.nocase,
        "negated": content.negated,
        "starts_with": content.anchor.start,
        "ends_with": content.anchor.end || ends,
        "is_mpm": fast,
        "no_double_inspect": false,
        "fast_pattern": content.fast_pattern || content.fast_pattern_only,
        "relative_next": next,
    });
    let mut set = |key: &str, number: Option<i64>| {
        if let Some(number) = number {
            value[key] = json!(number);
        }
    };
    set("offset", offset);
    set("depth", depth);
    if !converted {
        set("distance", number(&content.distance));
        set("within", number(&content.within));
    }
    value
}

fn is_relative(item: &Match) -> bool {
    match item {
        Match::Content(content) => content.is_relative(),
        Match::Pcre(pcre) => pcre.relative,
        Match::ByteTest(test) => test.relative,
        Match::ByteJump(jump) => jump.relative,
        Match::ByteExtract(extract) => extract.relative,
        Match::ByteMath(math) => math.relative,
        Match::IsDataAt(at) => at.relative,
        Match::Base64Decode(decode) => decode.relative,
        _ => false,
    }
}

/// `isdataat:!1,relative` behind a content says that the content ends the buffer.
fn ends(item: Option<&Match>) -> bool {
    matches!(item, Some(Match::IsDataAt(at)) if at.negated && at.relative && at.position == Number::Constant(1))
}

/// The matches of one buffer.
pub fn matches(buffer: &BufferMatch, fast: Option<usize>, rule: &Rule, notes: &mut Vec<String>) -> Vec<Value> {
    let mut out = Vec::new();
    let mut placed = false;
    for (place, item) in buffer.matches.iter().enumerate() {
        let next = buffer.matches.get(place + 1);
        let absorbed = ends(next) && matches!(item, Match::Content(_));
        let relative_next = !absorbed && next.is_some_and(is_relative);
        match item {
            Match::Content(c) => {
                let value = content(c, fast == Some(place), relative_next, absorbed, !placed, notes);
                out.push(json!({ "name": "content", "content": value }));
                placed = true;
            }
            Match::Pcre(pcre) => {
                if flags_of(rule, &pcre.pattern).contains('B') {
                    notes.push("'/B' (rawbytes) option is a no-op and is silently ignored".to_owned());
                }
                out.push(json!({ "name": "pcre", "pcre": {
                    "relative": pcre.relative,
                    "relative_next": relative_next,
                    "nocase": pcre.caseless,
                    "negated": pcre.negated,
                }}));
                placed = true;
            }
            Match::IsDataAt(_) if place > 0 && ends(Some(item)) && matches!(buffer.matches[place - 1], Match::Content(_)) => {}
            Match::IsDataAt(at) => out.push(json!({ "name": "isdataat", "isdataat": {
                "negated": at.negated, "relative": at.relative, "dataat": number(&Some(at.position.clone())),
            }})),
            Match::Absent { or_else } => out.push(json!({ "name": "absent", "absent": { "or_else": or_else } })),
            Match::Size(_) => out.push(json!({ "name": "bsize" })),
            Match::ByteTest(test) => {
                out.push(json!({ "name": "byte_test", "byte_test": { "relative": test.relative } }));
            }
            Match::ByteJump(jump) => {
                out.push(json!({ "name": "byte_jump", "byte_jump": { "relative": jump.relative } }));
                placed = true;
            }
            Match::ByteExtract(extract) => {
                out.push(json!({ "name": "byte_extract", "byte_extract": { "relative": extract.relative } }));
            }
            Match::ByteMath(math) => {
                out.push(json!({ "name": "byte_math", "byte_math": { "relative": math.relative } }));
            }
            Match::Base64Decode(decode) => out.push(json!({ "name": "base64_decode", "base64_decode": {
                "relative": decode.relative, "offset": decode.offset, "bytes": decode.bytes,
            }})),
            Match::Dataset(_) => out.push(json!({ "name": "dataset" })),
            Match::Entropy(_) => out.push(json!({ "name": "entropy" })),
        }
    }
    out
}

/// Flags behind the last slash of the expression, from the rule's text.
fn flags_of<'r>(rule: &'r Rule, pattern: &str) -> &'r str {
    let text = &*rule.source.text;
    let after = text.find(&format!("/{pattern}/")).and_then(|at| text.get(at + pattern.len() + 2..)).unwrap_or("");
    let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
    &after[..end]
}

/// Keyword of a condition on packets.
pub fn keyword(condition: &PacketCondition) -> &'static str {
    match condition {
        PacketCondition::PayloadSize(_) => "dsize",
        PacketCondition::TcpFlags(_) => "tcp.flags",
        PacketCondition::TcpSequence(_) => "tcp.seq",
        PacketCondition::TcpAck(_) => "tcp.ack",
        PacketCondition::TcpWindow(..) => "tcp.window",
        PacketCondition::TcpMss(_) => "tcp.mss",
        PacketCondition::TcpWindowScale(_) => "tcp.wscale",
        PacketCondition::IcmpType(_) => "itype",
        PacketCondition::IcmpCode(_) => "icode",
        PacketCondition::IcmpId(_) => "icmp_id",
        PacketCondition::IcmpSequence(_) => "icmp_seq",
        PacketCondition::Icmpv6Mtu(_) => "icmpv6.mtu",
        PacketCondition::Ttl(_) => "ttl",
        PacketCondition::Tos(_) => "tos",
        PacketCondition::IpId(_) => "id",
        PacketCondition::IpProtocol(_) => "ip_proto",
        PacketCondition::IpOption(_) => "ipopts",
        PacketCondition::SameIp => "sameip",
        PacketCondition::FragmentBits(..) => "fragbits",
        PacketCondition::FragmentOffset(_) => "fragoffset",
        PacketCondition::Address { .. } => "iprep",
        PacketCondition::StreamSize(_) => "stream_size",
        PacketCondition::FlowAge(_) => "flow.age",
        PacketCondition::FlowPackets(..) => "flow.pkts",
        PacketCondition::FlowBytes(..) => "flow.bytes",
        PacketCondition::VlanId(..) => "vlan.id",
        PacketCondition::VlanLayers(_) => "vlan.layers",
        PacketCondition::Isset(_) => "flowbits",
        PacketCondition::Rpc(..) => "rpc",
        PacketCondition::FtpBounce => "ftpbounce",
        PacketCondition::Checksum(..) => "csum",
        PacketCondition::Asn1(_) => "asn1",
    }
}

fn bits(op: &FlowbitOp) -> Value {
    let command = match op.operation {
        BitOperation::Set => "set",
        BitOperation::Unset => "unset",
        BitOperation::Toggle => "toggle",
        BitOperation::IsSet => "isset",
        BitOperation::IsNotSet => "isnotset",
    };
    let names: Vec<&str> = op.names.iter().map(|name| &**name).collect();
    let mut value = json!({ "cmd": command, "names": names });
    if names.len() > 1 {
        value["operator"] = json!("or");
    }
    json!({ "name": "flowbits", "flowbits": value })
}

fn ints(op: &FlowintOp) -> Value {
    let (command, value) = match &op.operation {
        FlowintOperation::Set(v) => ("set", Some(v)),
        FlowintOperation::Add(v) => ("add", Some(v)),
        FlowintOperation::Subtract(v) => ("sub", Some(v)),
        FlowintOperation::IsSet => ("isset", None),
        FlowintOperation::IsNotSet => ("notset", None),
        FlowintOperation::Compare(_) | FlowintOperation::CompareVariable(..) => ("compare", None),
    };
    let mut out = json!({ "cmd": command, "var": &*op.name });
    match value {
        Some(FlowintValue::Constant(n)) => out["value"] = json!(n),
        Some(FlowintValue::Variable(name)) => out["value"] = json!(&**name),
        None => {}
    }
    json!({ "name": "flowint", "flowint": out })
}

fn is_test(operation: BitOperation) -> bool {
    matches!(operation, BitOperation::IsSet | BitOperation::IsNotSet)
}

fn changes(op: &FlowintOp) -> bool {
    matches!(op.operation, FlowintOperation::Set(_) | FlowintOperation::Add(_) | FlowintOperation::Subtract(_))
}

/// `lists`: what belongs to no engine of transactions.
pub fn lists(rule: &Rule, payload: bool, fast: Option<(usize, usize)>, notes: &mut Vec<String>) -> Value {
    let mut all = serde_json::Map::new();
    let mut put = |name: &str, list: Vec<Value>| {
        if !list.is_empty() {
            all.insert(name.to_owned(), json!({ "matches": list }));
        }
    };
    let mut packet: Vec<Value> = rule.packet.iter().map(|c| json!({ "name": keyword(c) })).collect();
    let flow = rule.flow.unwrap_or_default();
    if flow.established || flow.not_established || flow.stateless || flow.only_frag || flow.no_frag {
        packet.push(json!({ "name": "flow" }));
    }
    for condition in &rule.app_layer {
        if matches!(condition, weir_ir::AppLayerCondition::Protocol { .. } | weir_ir::AppLayerCondition::ProtocolOf { .. } | weir_ir::AppLayerCondition::Undetected(_)) {
            packet.push(json!({ "name": "app-layer-protocol" }));
        }
    }
    packet.extend(rule.flowbits.iter().filter(|op| is_test(op.operation)).map(bits));
    packet.extend(rule.flowints.iter().filter(|op| !changes(op)).map(ints));
    packet.extend(rule.xbits.iter().filter(|op| is_test(op.operation)).map(|_| json!({ "name": "xbits" })));
    packet.extend(rule.events.iter().map(|event| match event {
        weir_ir::Event::Decoder(_) => json!({ "name": "decode-event" }),
        weir_ir::Event::Stream(_) => json!({ "name": "stream-event" }),
        weir_ir::Event::AppLayer(..) => json!({ "name": "app-layer-event" }),
    }));
    put("packet", packet);
    for (entry, buffer) in rule.buffers.iter().enumerate() {
        let own = fast.filter(|(e, _)| *e == entry).map(|(_, place)| place);
        match buffer.buffer {
            Buffer::Payload if payload => put("payload", matches(buffer, own, rule, notes)),
            Buffer::Base64Data => put("base64_data", matches(buffer, None, rule, notes)),
            _ => {}
        }
    }
    let mut post: Vec<Value> = rule.flowbits.iter().filter(|op| !is_test(op.operation)).map(bits).collect();
    post.extend(rule.flowints.iter().filter(|op| changes(op)).map(ints));
    post.extend(rule.xbits.iter().filter(|op| !is_test(op.operation)).map(|_| json!({ "name": "xbits" })));
    if rule.app_layer.contains(&weir_ir::AppLayerCondition::FileStore) {
        post.push(json!({ "name": "filestore" }));
    }
    put("postmatch", post);
    if rule.threshold.is_some() {
        put("threshold", vec![json!({ "name": "threshold" })]);
    }
    Value::Object(all)
}
