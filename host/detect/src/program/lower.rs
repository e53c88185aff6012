//! One normalised rule to its compiled form.

use super::{MessagePattern, NameTables};
use super::buffers::{self, BOTH, TO_CLIENT, TO_SERVER};
use super::datasets::DatasetTable;
use super::fast::{self, FastPattern};
use super::header::HeaderTable;
use super::rule::{Absence, BitOp, CompiledRule, Head, HostBitOp, IntOp, RuleBuffer, Source, Units};
use super::slots::SlotTable;
use crate::chain;
use crate::transform;
use weir_ir::state::{FlowintOperation, FlowintValue};
use weir_ir::{
    AppLayerCondition, BitOperation, Buffer, BufferMatch, Event, Match, PacketCondition, Rule, RuleProtocol,
};
use weir_packet::DecoderEvent;
use weir_reassembly::StreamEvent;

/// Tables that all rules share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Headers.
    pub headers: HeaderTable,
    /// Transaction buffers.
    pub slots: SlotTable,
    /// Data sets.
    pub datasets: DatasetTable,
    /// Names.
    pub names: NameTables,
}

/// A rule and what the groups need of it.
pub struct Lowered {
    /// Compact part.
    pub head: Head,
    /// The rest.
    pub rule: CompiledRule,
    /// Pattern that names the rule; none when it must be tried always.
    pub fast: Option<FastPattern>,
}

fn transaction_condition(condition: &AppLayerCondition) -> bool {
    !matches!(
        condition,
        AppLayerCondition::Protocol { .. }
            | AppLayerCondition::ProtocolOf { .. }
            | AppLayerCondition::Undetected(_)
            | AppLayerCondition::FileStore
    )
}

/// Conditions on the packet itself, not on its flow: they bind the rule to packets.
fn binds_to_packet(condition: &PacketCondition) -> bool {
    !matches!(
        condition,
        PacketCondition::StreamSize(_)
            | PacketCondition::FlowAge(_)
            | PacketCondition::FlowPackets(..)
            | PacketCondition::FlowBytes(..)
            | PacketCondition::VlanId(..)
            | PacketCondition::VlanLayers(_)
            | PacketCondition::Address { .. }
            | PacketCondition::Isset(_)
            | PacketCondition::SameIp
    )
}

/// Compile one rule.
pub fn rule(ir: &Rule, shared: &mut Shared) -> Result<Lowered, String> {
    let (mut buffers, fast_eligible) = rule_buffers(ir, shared)?;
    // A test of `asn1` counts from the end of the payload's matches; alone it is a condition on the packet.
    let mut packet = ir.packet.clone();
    if let Some(payload) = buffers.iter_mut().rfind(|b| b.source == Source::Payload) {
        packet.retain(|condition| match condition {
            PacketCondition::Asn1(test) => {
                payload.chain.end_with_asn1(*test);
                false
            }
            _ => true,
        });
    }
    let transaction = ir.app_layer.iter().any(transaction_condition)
        || matches!(ir.hook, Some(weir_ir::Hook::Transaction(_)))
        || ir.xbits.iter().any(|bit| bit.track == weir_ir::Track::Transaction)
        || ir.events.iter().any(|e| matches!(e, Event::AppLayer(Some(_), _)))
        || buffers.iter().any(|b| matches!(b.source, Source::Transaction(_)));
    let reads_payload = buffers.iter().any(|b| b.source == Source::Payload);
    let directions = directions(ir)?;
    let flow = ir.flow.unwrap_or_default();
    let units = units(ir, transaction, reads_payload, &buffers);
    let connected = buffers.len() > 1 && buffers.iter().any(|b| b.chain.variables);
    let (mut decoder_events, mut stream_events) = (vec![], weir_reassembly::StreamEvents::default());
    let (mut packet_events, mut transaction_events) = (vec![], vec![]);
    for event in &ir.events {
        match event {
            Event::Decoder(name) => decoder_events.push(DecoderEvent::from_name(name).ok_or_else(|| {
                format!("decode-event {name} is unknown: the decoder raises no event of this name")
            })?),
            Event::Stream(name) => stream_events.insert(StreamEvent::from_name(name).ok_or_else(|| {
                format!("stream-event {name} is unknown: stream reassembly raises no event of this name")
            })?),
            Event::AppLayer(None, name) => packet_events.push(name.clone()),
            Event::AppLayer(Some(_), name) => transaction_events.push(name.clone()),
        }
    }
    let application = match ir.header.protocol {
        RuleProtocol::App(protocol) => Some(protocol),
        _ => ir.events.iter().find_map(|e| match e {
            Event::AppLayer(Some(protocol), _) => Some(*protocol),
            _ => None,
        }),
    };
    let (bit_tests, bit_changes) = bits(ir, shared);
    let (int_tests, int_changes) = ints(ir, shared);
    let (host_tests, host_changes) = host_bits(ir, shared);
    // What stands in the payload does not name a rule that waits for a transaction: they need not come together.
    let eligible = |i: usize| fast_eligible[i] && !(transaction && !is_transaction(ir.buffers[i].buffer));
    let fast = if transaction || reads_payload { fast::choose(&ir.buffers, eligible) } else { None };
    let rule = CompiledRule {
        identity: ir.identity,
        action: ir.action,
        scope: ir.scope,
        also_pass: ir.also_pass,
        hook: match ir.hook {
            Some(weir_ir::Hook::Transaction(hook)) => Some(hook),
            _ => None,
        },
        transactional: ir.transactional,
        flow,
        packet,
        app_layer: ir.app_layer.clone(),
        decoder_events,
        stream_events,
        packet_events,
        transaction_events,
        buffers,
        connected,
        reads_payload,
        bit_tests,
        bit_changes,
        int_tests,
        int_changes,
        host_tests,
        host_changes,
        threshold: ir.threshold,
        suppressions: vec![],
        rate: None,
        noalert: ir.noalert,
        once: is_header_only(ir) && !ir.header.negated,
        at_detection: is_detection_only(ir),
        of_flow: is_protocol_only(ir) || is_header_only(ir),
    };
    let frames = ir.buffers.iter().any(|b| b.buffer.frame_number().is_some());
    if frames && ir.buffers.iter().any(|b| is_transaction(b.buffer) && b.buffer.frame_number().is_none()) {
        return Err("a frame and buffers of transactions do not go together: write two rules, joined by a flowbit".into());
    }
    let head = Head { header: shared.headers.intern(&ir.header), units, directions, application, frames };
    Ok(Lowered { head, rule, fast })
}

impl Lowered {
    /// Pattern of a rule on transactions, where its buffer is a body or comes of one.
    pub(super) fn message_pattern(&self, ir: &Rule) -> Option<MessagePattern> {
        let fast = self.fast.as_ref().filter(|_| self.head.units.transaction)?;
        let run = ir.buffers.get(fast.buffer)?;
        let body = matches!(run.buffer, Buffer::FileData | Buffer::HttpResponseBody);
        let of_body = matches!(run.buffer, Buffer::FileMagic | Buffer::FileMd5 | Buffer::FileSha1 | Buffer::FileSha256);
        (body || of_body).then(|| MessagePattern {
            buffer: fast.buffer,
            grows: body && run.transforms.is_empty(),
            bytes: fast.bytes.to_ascii_lowercase().into(),
        })
    }

    /// Pattern of a rule on streams. Rules with an event, or on transactions, wait for other things.
    pub(super) fn stream_pattern(&self) -> Option<Box<[u8]>> {
        let events = !self.rule.decoder_events.is_empty()
            || self.rule.stream_events.iter().next().is_some()
            || !self.rule.packet_events.is_empty()
            || !self.rule.transaction_events.is_empty();
        let fast = self.fast.as_ref().filter(|_| !events && self.head.units.stream && !self.head.units.transaction)?;
        Some(fast.bytes.clone().into())
    }
}

fn directions(ir: &Rule) -> Result<u8, String> {
    let flow = ir.flow.unwrap_or_default();
    let asked = match (flow.to_server, flow.to_client, ir.hook) {
        (_, _, Some(weir_ir::Hook::Transaction(hook))) => if hook.to_server { TO_SERVER } else { TO_CLIENT },
        (true, false, _) => TO_SERVER,
        (false, true, _) => TO_CLIENT,
        _ => BOTH,
    };
    let mut common = BOTH;
    for buffer in &ir.buffers {
        common &= sides(buffer);
    }
    if common == 0 {
        // Buffers of both directions: decided when the answer is there.
        return Ok(if asked == BOTH { TO_CLIENT } else { asked });
    }
    match asked & common {
        0 => {
            let name = ir
                .buffers
                .iter()
                .find(|b| buffers::directions(b.buffer) & asked == 0)
                .map_or("buffer", |b| b.buffer.name());
            Err(format!("{name} does not exist in the direction that flow asks for: change flow, or the buffer"))
        }
        directions => Ok(directions),
    }
}

/// Directions in which a buffer is looked for.
pub(super) fn sides(buffer: &BufferMatch) -> u8 {
    match buffer.side {
        Some(weir_ir::BufferDirection::ToServer) => TO_SERVER,
        Some(weir_ir::BufferDirection::ToClient) => TO_CLIENT,
        _ => buffers::directions(buffer.buffer),
    }
}

fn units(ir: &Rule, transaction: bool, reads_payload: bool, buffers: &[RuleBuffer]) -> Units {
    if transaction {
        return Units { transaction: true, ..Units::default() };
    }
    let flow = ir.flow.unwrap_or_default();
    let bound = ir.packet.iter().any(binds_to_packet)
        || !ir.events.is_empty()
        || buffers.iter().any(|b| matches!(b.source, Source::PacketHeader(_)));
    let stream = reads_payload
        && !flow.no_stream
        && matches!(
            ir.header.protocol,
            RuleProtocol::Tcp
                | RuleProtocol::TcpStream
                | RuleProtocol::App(_)
                | RuleProtocol::Ip
                | RuleProtocol::Ipv4
                | RuleProtocol::Ipv6
        );
    let only_stream = reads_payload && (ir.header.protocol == RuleProtocol::TcpStream || flow.only_stream);
    match (stream, only_stream, bound) {
        // A condition on the packet's header has no meaning for a stream.
        (_, _, true) => Units { packet: true, ..Units::default() },
        (true, true, false) => Units { stream: true, ..Units::default() },
        // As in Suricata: a rule that says where a content lies sees each segment as well as the stream.
        (true, false, false) if says_where(ir) => Units { packet: true, stream: true, ..Units::default() },
        (true, false, false) => Units { lone_packet: true, stream: true, ..Units::default() },
        (false, _, false) => Units { packet: true, ..Units::default() },
    }
}

/// Some content of the payload has `offset`, `depth` or `startswith`.
fn says_where(ir: &Rule) -> bool {
    ir.buffers.iter().filter(|b| b.buffer == Buffer::Payload).flat_map(|b| &b.matches).any(|item| match item {
        Match::Content(content) => content.offset.is_some() || content.depth.is_some() || content.anchor.start,
        _ => false,
    })
}

/// Compiled buffers, and for each entry of the rule whether its contents may serve as fast pattern.
fn rule_buffers(ir: &Rule, shared: &mut Shared) -> Result<(Vec<RuleBuffer>, Vec<bool>), String> {
    let any_transaction = ir.buffers.iter().any(|b| is_transaction(b.buffer));
    let mut out = vec![];
    let mut eligible = vec![];
    let mut base64 = ir.buffers.iter().filter(|b| b.buffer == Buffer::Base64Data);
    for buffer in &ir.buffers {
        if buffer.buffer == Buffer::Base64Data {
            eligible.push(false);
            continue;
        }
        let decodes = buffer.matches.iter().any(|m| matches!(m, Match::Base64Decode(_)));
        let following = if decodes { base64.next() } else { None };
        if following.is_some_and(|f| !f.transforms.is_empty()) {
            return Err("transforms of base64_data are not supported: apply them to the buffer decoded from".into());
        }
        let absence = absence(buffer);
        let compiled = chain::compile::chain(buffer, following, &mut shared.datasets)?;
        let (source, transforms) = if is_transaction(buffer.buffer) {
            (Source::Transaction(shared.slots.intern(buffer.buffer, &buffer.transforms)?), vec![])
        } else if buffers::is_packet_header(buffer.buffer) {
            (Source::PacketHeader(buffer.buffer), transform::compile(&buffer.transforms)?)
        } else {
            (Source::Payload, transform::compile(&buffer.transforms)?)
        };
        eligible.push(match source {
            Source::Transaction(_) => true,
            Source::Payload => !any_transaction && buffer.transforms.is_empty(),
            Source::PacketHeader(_) => false,
        });
        let side = match buffer.side {
            Some(weir_ir::BufferDirection::ToServer) => Some(weir_app_layer::Direction::ToServer),
            Some(weir_ir::BufferDirection::ToClient) => Some(weir_app_layer::Direction::ToClient),
            _ => None,
        };
        out.push(RuleBuffer { source, transforms, side, absence, chain: compiled });
    }
    if base64.next().is_some() {
        return Err("base64_data without a base64_decode before it".into());
    }
    Ok((out, eligible))
}

fn is_transaction(buffer: Buffer) -> bool {
    !matches!(buffer, Buffer::Payload | Buffer::Base64Data) && !buffers::is_packet_header(buffer)
}

fn absence(buffer: &BufferMatch) -> Absence {
    for item in &buffer.matches {
        if let Match::Absent { or_else } = item {
            return if *or_else { Absence::Accepted } else { Absence::Required };
        }
    }
    Absence::Fails
}

fn is_test(operation: BitOperation) -> bool {
    matches!(operation, BitOperation::IsSet | BitOperation::IsNotSet)
}

fn bits(ir: &Rule, shared: &mut Shared) -> (Vec<BitOp>, Vec<BitOp>) {
    ir.flowbits
        .iter()
        .map(|op| BitOp {
            operation: op.operation,
            bits: op.names.iter().map(|n| shared.names.bits.intern(n)).collect(),
        })
        .partition(|op| is_test(op.operation))
}

fn ints(ir: &Rule, shared: &mut Shared) -> (Vec<IntOp>, Vec<IntOp>) {
    let names = &mut shared.names.ints;
    ir.flowints
        .iter()
        .map(|op| IntOp {
            variable: names.intern(&op.name),
            other: match &op.operation {
                FlowintOperation::Set(FlowintValue::Variable(other))
                | FlowintOperation::Add(FlowintValue::Variable(other))
                | FlowintOperation::Subtract(FlowintValue::Variable(other))
                | FlowintOperation::CompareVariable(_, _, other) => Some(names.intern(other)),
                _ => None,
            },
            operation: op.operation.clone(),
        })
        .partition(|op| {
            !matches!(
                op.operation,
                FlowintOperation::Set(_) | FlowintOperation::Add(_) | FlowintOperation::Subtract(_)
            )
        })
}

fn host_bits(ir: &Rule, shared: &mut Shared) -> (Vec<HostBitOp>, Vec<HostBitOp>) {
    ir.xbits
        .iter()
        .map(|op| HostBitOp {
            operation: op.operation,
            name: shared.names.host_bits.intern(&op.name),
            track: op.track,
            expire: op.expire,
        })
        .partition(|op| is_test(op.operation))
}

/// Suricata's IP-only rules: nothing but protocol and addresses decides. They are inspected on the first packet of
/// each direction of a flow.
fn is_header_only(ir: &Rule) -> bool {
    let protocol = matches!(
        ir.header.protocol,
        RuleProtocol::Ip
            | RuleProtocol::Ipv4
            | RuleProtocol::Ipv6
            | RuleProtocol::Tcp
            | RuleProtocol::TcpPacket
            | RuleProtocol::Udp
            | RuleProtocol::Sctp
            | RuleProtocol::Icmp
            | RuleProtocol::Icmpv4
            | RuleProtocol::Icmpv6
    );
    protocol
        && ir.buffers.is_empty()
        && ir.flow.is_none()
        && ir.events.is_empty()
        && ir.app_layer.is_empty()
        && ir.flowints.is_empty()
        && ir.packet.iter().all(|c| matches!(c, PacketCondition::Address { .. } | PacketCondition::IpProtocol(_)))
        && ir.flowbits.iter().all(|b| !is_test(b.operation))
        && ir.xbits.iter().all(|b| !is_test(b.operation))
}

/// Rules that ask for a protocol by their header, and for nothing else: what they decide is for the flow.
fn is_protocol_only(ir: &Rule) -> bool {
    matches!(ir.header.protocol, RuleProtocol::App(_))
        && ir.buffers.is_empty()
        && ir.app_layer.is_empty()
        && ir.events.is_empty()
        && ir.packet.is_empty()
        && !ir.flow.as_ref().is_some_and(|f| f.established || f.not_established || f.only_frag || f.no_frag)
        && ir.flowbits.iter().all(|b| !is_test(b.operation))
        && ir.flowints.is_empty()
        && ir.xbits.iter().all(|b| !is_test(b.operation))
}

fn is_detected(condition: &AppLayerCondition) -> bool {
    use AppLayerCondition as A;
    matches!(condition, A::Protocol { .. } | A::ProtocolOf { .. } | A::Undetected(_))
}

/// Rules that ask for nothing but the detected protocol: inspected when detection decides.
fn is_detection_only(ir: &Rule) -> bool {
    !ir.app_layer.is_empty()
        && ir.app_layer.iter().all(|c| is_detected(c))
        && !matches!(ir.header.protocol, RuleProtocol::App(_))
        && ir.buffers.is_empty()
        && ir.flow.is_none()
        && ir.events.is_empty()
        && ir.packet.is_empty()
        && ir.flowbits.iter().all(|b| !is_test(b.operation))
        && ir.flowints.is_empty()
        && ir.xbits.iter().all(|b| !is_test(b.operation))
}
