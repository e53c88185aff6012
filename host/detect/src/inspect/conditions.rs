//! Conditions that are not byte matches: packet headers, flow, events, application layer, bits and counters.

use crate::asn1;
use crate::context::Context;
use crate::flow::FlowDetect;
use crate::program::buffers::application_holds;
use crate::program::rule::{BitOp, CompiledRule, HostBitOp, IntOp};
use crate::shared::HostBits;
use std::cmp::Ordering;
use weir_app_layer::{BufferState, Direction, ProtocolState};
use weir_contract::protocol::{AppProtocol, Detection};
use weir_ir::condition::{Checksum, FlowSide, IpOption, ProtocolMode, StreamSide, TcpFlagsMode};
use weir_ir::state::FlowintOperation;
use weir_ir::{
    AppLayerCondition, BitOperation, Buffer, Comparison, PacketCondition, StreamSize, TcpFlagsMatch, Track, VlanLayer,
};
use weir_packet::Transport;

/// What kind of data is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Packet.
    Packet,
    /// Delivery of a stream.
    Stream,
    /// Transaction.
    Transaction,
}

/// `flow`
pub fn flow_holds(rule: &CompiledRule, context: &Context<'_>, direction: Option<Direction>, unit: Unit) -> bool {
    let wanted = &rule.flow;
    if wanted.to_server != wanted.to_client {
        let needed = if wanted.to_server { Direction::ToServer } else { Direction::ToClient };
        // Rules over buffers of both directions are inspected in their own.
        if direction != Some(needed) {
            return false;
        }
    }
    let established = context.flow.is_some_and(|f| f.established);
    if (wanted.established && !established) || (wanted.not_established && (established || context.flow.is_none())) {
        return false;
    }
    if (wanted.only_stream && unit == Unit::Packet && rule.reads_payload) || (wanted.no_stream && unit == Unit::Stream)
    {
        return false;
    }
    let reassembled = context.packet.ip.as_ref().is_some_and(|ip| ip.reassembled);
    !(wanted.only_frag && !reassembled || wanted.no_frag && reassembled)
}

/// All conditions on the packet.
pub fn packet_holds(conditions: &[PacketCondition], context: &Context<'_>, direction: Option<Direction>) -> bool {
    conditions.iter().all(|c| packet_condition(c, context, direction))
}

fn optional(comparison: &Comparison, value: Option<u64>) -> bool {
    value.is_some_and(|v| comparison.holds(v))
}

fn flags_hold(mode: TcpFlagsMode, wanted: u8, actual: u8) -> bool {
    match mode {
        TcpFlagsMode::Exact => actual == wanted,
        TcpFlagsMode::All => actual & wanted == wanted,
        TcpFlagsMode::Any => actual & wanted != 0,
        // As in Suricata: not all of them.
        TcpFlagsMode::Not => actual & wanted != wanted,
    }
}

fn packet_condition(condition: &PacketCondition, context: &Context<'_>, direction: Option<Direction>) -> bool {
    let packet = context.packet;
    let ip = packet.ip.as_ref();
    let tcp = match &packet.transport {
        Transport::Tcp(tcp) => Some(tcp),
        _ => None,
    };
    let icmp = match &packet.transport {
        Transport::Icmpv4(icmp) | Transport::Icmpv6(icmp) => Some(icmp),
        _ => None,
    };
    match condition {
        PacketCondition::PayloadSize(size) => size.holds(packet.payload.len() as u64),
        PacketCondition::TcpFlags(TcpFlagsMatch { flags, ignore, mode }) => {
            tcp.is_some_and(|t| flags_hold(*mode, *flags & !*ignore, t.flags & !*ignore))
        }
        PacketCondition::TcpSequence(n) => tcp.is_some_and(|t| t.sequence == *n),
        PacketCondition::TcpAck(n) => tcp.is_some_and(|t| t.acknowledgement == *n),
        PacketCondition::TcpWindow(n, negated) => tcp.is_some_and(|t| (t.window == *n) != *negated),
        PacketCondition::TcpMss(c) => optional(c, tcp.and_then(|t| t.mss).map(u64::from)),
        PacketCondition::TcpWindowScale(c) => optional(c, tcp.and_then(|t| t.window_scale).map(u64::from)),
        PacketCondition::IcmpType(c) => optional(c, icmp.map(|i| u64::from(i.kind))),
        PacketCondition::IcmpCode(c) => optional(c, icmp.map(|i| u64::from(i.code))),
        PacketCondition::IcmpId(n) => icmp.is_some_and(|i| i.id == Some(*n)),
        PacketCondition::IcmpSequence(n) => icmp.is_some_and(|i| i.sequence == Some(*n)),
        PacketCondition::Icmpv6Mtu(c) => optional(c, icmpv6_mtu(&packet.transport)),
        PacketCondition::Ttl(c) => optional(c, ip.map(|i| u64::from(i.ttl))),
        PacketCondition::Tos(c) => optional(c, ip.filter(|i| i.version == 4).map(|i| u64::from(i.tos))),
        PacketCondition::IpId(n) => ip.is_some_and(|i| i.version == 4 && i.id == *n),
        PacketCondition::IpProtocol(c) => optional(c, ip.map(|i| u64::from(i.protocol))),
        PacketCondition::IpOption(wanted) => ip.is_some_and(|i| has_option(i.options, *wanted)),
        PacketCondition::SameIp => ip.is_some_and(|i| i.source == i.destination),
        PacketCondition::FragmentBits(bits, mode) => {
            ip.is_some_and(|i| i.version == 4 && flags_hold(*mode, *bits, i.fragment_flags))
        }
        // IPv6 has an offset in fragments only, which have no payload of their own to be asked about.
        PacketCondition::FragmentOffset(c) => {
            optional(c, ip.filter(|i| i.version == 4 || i.fragment_offset > 0).map(|i| u64::from(i.fragment_offset)))
        }
        PacketCondition::Address { source, destination, either } => {
            let Some((from, to)) = context.addresses(direction) else { return false };
            let source = source.as_ref().map(|s| s.contains(from));
            let destination = destination.as_ref().map(|s| s.contains(to));
            if *either {
                source == Some(true) || destination == Some(true)
            } else {
                source != Some(false) && destination != Some(false)
            }
        }
        PacketCondition::StreamSize(StreamSize { side, size }) => {
            let Some([client, server]) = context.flow.map(|f| f.stream_bytes) else { return false };
            match side {
                StreamSide::Client => size.holds(client),
                StreamSide::Server => size.holds(server),
                StreamSide::Both => size.holds(client) && size.holds(server),
                StreamSide::Either => size.holds(client) || size.holds(server),
            }
        }
        PacketCondition::FlowAge(c) => {
            // Whole seconds of the clock, as the age in records is.
            let second = |time: u64| time / 1_000_000_000;
            optional(c, context.flow.map(|f| second(packet.time.0).saturating_sub(second(f.start.0))))
        }
        PacketCondition::FlowPackets(side, c) => context.flow.is_some_and(|f| counter(*side, c, f.packets)),
        PacketCondition::FlowBytes(side, c) => context.flow.is_some_and(|f| counter(*side, c, f.bytes)),
        PacketCondition::VlanId(layer, c) => {
            let layers = usize::from(packet.vlan_layers).min(packet.vlan.len());
            let tags = packet.vlan.get(..layers).unwrap_or(&[]);
            match layer {
                VlanLayer::Any => tags.iter().any(|&id| c.holds(u64::from(id))),
                VlanLayer::All => !tags.is_empty() && tags.iter().all(|&id| c.holds(u64::from(id))),
                VlanLayer::At(n) => {
                    let index = if *n < 0 { layers as i64 + i64::from(*n) } else { i64::from(*n) };
                    usize::try_from(index).ok().and_then(|i| tags.get(i)).is_some_and(|&id| c.holds(u64::from(id)))
                }
            }
        }
        PacketCondition::VlanLayers(c) => c.holds(u64::from(packet.vlan_layers)),
        // A name that lowering keeps for presence tests; what it names is tested by the rule's header.
        PacketCondition::Isset(_) => true,
        PacketCondition::Rpc(program, version, procedure) => rpc_holds(packet, *program, *version, *procedure),
        PacketCondition::FtpBounce => ftp_bounce(packet),
        PacketCondition::Checksum(which, valid) => checksum(packet, *which) == Some(*valid),
        PacketCondition::Asn1(test) => asn1::holds(test, packet.payload, 0).is_some(),
    }
}

fn checksum(packet: &weir_packet::Packet<'_>, which: Checksum) -> Option<bool> {
    let version = packet.ip.as_ref()?.version;
    let transport = match (which, version, &packet.transport) {
        (Checksum::Ipv4, 4, _) => return packet.ip_checksum_valid(),
        (Checksum::TcpOverIpv4, 4, Transport::Tcp(_)) | (Checksum::TcpOverIpv6, 6, Transport::Tcp(_)) => true,
        (Checksum::UdpOverIpv4, 4, Transport::Udp(_)) | (Checksum::UdpOverIpv6, 6, Transport::Udp(_)) => true,
        (Checksum::Icmpv4, _, Transport::Icmpv4(_)) | (Checksum::Icmpv6, _, Transport::Icmpv6(_)) => true,
        _ => false,
    };
    if transport { packet.transport_checksum_valid() } else { None }
}

fn counter(side: FlowSide, comparison: &Comparison, [to_server, to_client]: [u64; 2]) -> bool {
    match side {
        FlowSide::ToServer => comparison.holds(to_server),
        FlowSide::ToClient => comparison.holds(to_client),
        FlowSide::Either => comparison.holds(to_server) || comparison.holds(to_client),
        FlowSide::Both => comparison.holds(to_server) && comparison.holds(to_client),
    }
}

fn icmpv6_mtu(transport: &Transport<'_>) -> Option<u64> {
    let Transport::Icmpv6(icmp) = transport else { return None };
    if icmp.kind != 2 {
        return None;
    }
    let bytes: [u8; 4] = icmp.header.get(4..8)?.try_into().ok()?;
    Some(u64::from(u32::from_be_bytes(bytes)))
}

/// Walk the IPv4 options.
fn has_option(options: &[u8], wanted: IpOption) -> bool {
    let mut at = 0;
    while let Some(&kind) = options.get(at) {
        match wanted {
            IpOption::Any if kind != 0 => return true,
            IpOption::Number(n) if n == kind => return true,
            _ => {}
        }
        at += match kind {
            0 => return false,
            1 => 1,
            _ => match options.get(at + 1) {
                Some(&length) if length >= 2 => usize::from(length),
                _ => return false,
            },
        };
    }
    false
}

/// Call header of ONC RPC (RFC 5531), over TCP behind the record mark.
fn rpc_holds(packet: &weir_packet::Packet<'_>, program: u32, version: Option<u32>, procedure: Option<u32>) -> bool {
    let start = match packet.transport {
        Transport::Tcp(_) => 4,
        Transport::Udp(_) => 0,
        _ => return false,
    };
    let word = |index: usize| -> Option<u32> {
        let at = start + 4 * index;
        Some(u32::from_be_bytes(packet.payload.get(at..at + 4)?.try_into().ok()?))
    };
    // xid, call (0), RPC version (2), program, version, procedure
    word(1) == Some(0)
        && word(2) == Some(2)
        && word(3) == Some(program)
        && version.is_none_or(|v| word(4) == Some(v))
        && procedure.is_none_or(|p| word(5) == Some(p))
}

/// `PORT a,b,c,d,…` with another address than the packet's source (RFC 959).
fn ftp_bounce(packet: &weir_packet::Packet<'_>) -> bool {
    let Some(std::net::IpAddr::V4(source)) = packet.ip.as_ref().map(|ip| ip.source) else { return false };
    let Some(command) = packet.payload.get(..5) else { return false };
    if !command.eq_ignore_ascii_case(b"PORT ") {
        return false;
    }
    let mut octets = [0u8; 4];
    let arguments = packet.payload.get(5..).unwrap_or(&[]);
    let mut fields = arguments.split(|&b| b == b',');
    for octet in &mut octets {
        let Some(field) = fields.next().and_then(|f| std::str::from_utf8(f).ok()) else { return false };
        let Ok(value) = field.trim().parse() else { return false };
        *octet = value;
    }
    octets != source.octets()
}

/// Events of the packet.
pub fn events_hold(rule: &CompiledRule, context: &Context<'_>) -> bool {
    rule.decoder_events.iter().all(|e| context.packet.events.contains(*e))
        && rule.stream_events.0 & !context.stream_events.0 == 0
        && rule.packet_events.iter().all(|e| context.packet_events.iter().any(|p| **p == **e))
}

/// Protocol of the rule's header.
pub fn protocol_holds(rule: Option<AppProtocol>, context: &Context<'_>) -> bool {
    match rule {
        None => true,
        Some(wanted) => context.flow.and_then(|f| f.application()).is_some_and(|p| application_holds(wanted, p)),
    }
}

/// A transaction being inspected.
#[derive(Clone, Copy)]
pub struct InTransaction<'s> {
    /// Parser state.
    pub state: &'s dyn ProtocolState,
    /// Index among the live transactions.
    pub index: usize,
    /// Direction of inspection.
    pub direction: Direction,
}

/// All application-layer conditions. Without transaction only `app-layer-protocol` can hold.
pub fn app_layer_holds(
    conditions: &[AppLayerCondition],
    context: &Context<'_>,
    transaction: Option<InTransaction<'_>>,
) -> bool {
    conditions.iter().all(|condition| match condition {
        // What the bytes of the packet's own direction say.
        AppLayerCondition::Protocol { protocol, negated } => {
            flow_protocol(context.flow.map(|f| f.own_protocol()), *protocol, *negated)
        }
        AppLayerCondition::ProtocolOf { mode, protocol, negated } => {
            detections(*mode, context).into_iter().any(|d| flow_protocol(Some(d), *protocol, *negated))
        }
        AppLayerCondition::Undetected(mode) => mode.is_some_and(|mode| mode != ProtocolMode::Final && {
            let sides = detections(ProtocolMode::Either, context);
            sides.iter().any(|d| *d != Detection::Unknown) && detections(mode, context).contains(&Detection::Unknown)
        }),
        other => transaction.is_some_and(|t| in_transaction(other, t, context)),
    })
}

/// What a mode of `app-layer-protocol` means; one answer suffices.
fn detections(mode: ProtocolMode, context: &Context<'_>) -> [Detection; 2] {
    let Some(flow) = context.flow else { return [Detection::Unknown; 2] };
    let one = |detection| [detection; 2];
    match mode {
        ProtocolMode::Original => one(flow.original_protocol),
        ProtocolMode::ToServer => one(flow.protocol_by_side[0]),
        ProtocolMode::ToClient => one(flow.protocol_by_side[1]),
        ProtocolMode::Either => flow.protocol_by_side,
        ProtocolMode::Final => one(flow.protocol),
    }
}

/// Neither a protocol nor its negation holds before detection has decided.
fn flow_protocol(detection: Option<Detection>, wanted: Option<AppProtocol>, negated: bool) -> bool {
    let holds = match (wanted, detection.unwrap_or(Detection::Unknown)) {
        (_, Detection::Unknown) => return false,
        (Some(wanted), Detection::Known(actual)) => application_holds(wanted, actual),
        (None, Detection::Known(_)) | (Some(_), Detection::Failed) => false,
        (None, Detection::Failed) => true,
    };
    holds != negated
}

fn in_transaction(condition: &AppLayerCondition, t: InTransaction<'_>, context: &Context<'_>) -> bool {
    let number = |name: &str| t.state.number(t.index, t.direction, name);
    let compare = |name: &str, c: &Comparison| number(name).is_some_and(|v| c.holds(v));
    let now = context.packet.time.0 / 1_000_000_000;
    match condition {
        AppLayerCondition::TlsVersion(versions) => number("tls.version").is_some_and(|v| {
            let (mut wanted, mut any, mut all_others) = (false, false, true);
            for &(version, negated) in versions {
                if negated {
                    all_others &= v != u64::from(version);
                } else {
                    wanted = true;
                    any |= v == u64::from(version);
                }
            }
            all_others && (any || !wanted)
        }),
        AppLayerCondition::TlsState(bits, negated) => {
            number("tls.state").is_some_and(|v| (v & u64::from(*bits) != 0) != *negated)
        }
        AppLayerCondition::TlsCertExpired => number("tls.not_after").is_some_and(|end| end < now),
        AppLayerCondition::TlsCertValid => {
            number("tls.not_after").is_some_and(|end| end >= now)
                && number("tls.not_before").is_some_and(|begin| begin <= now)
        }
        AppLayerCondition::TlsNotBefore(c) => compare("tls.not_before", c),
        AppLayerCondition::TlsNotAfter(c) => compare("tls.not_after", c),
        AppLayerCondition::TlsCertChainLength(c) => compare("tls.cert_chain_len", c),
        AppLayerCondition::DnsOpcode(c) => compare("dns.opcode", c),
        AppLayerCondition::DnsRcode(c) => compare("dns.rcode", c),
        AppLayerCondition::DnsRrtype(c) => compare("dns.rrtype", c),
        AppLayerCondition::FtpDataCommand(command) => number("ftpdata_command") == Some(*command),
        AppLayerCondition::FileSize(c) => compare("filesize", c),
        AppLayerCondition::SmbVersion(version) => number("smb.version") == Some(u64::from(*version)),
        AppLayerCondition::DcerpcInterface(uuid, version, any_fragment) => {
            dcerpc_interface(t, uuid, version.as_ref(), *any_fragment)
        }
        AppLayerCondition::DcerpcOpnum(list) => {
            number("dcerpc.opnum").is_some_and(|v| list.iter().any(|c| c.holds(v)))
        }
        AppLayerCondition::Named(name, comparison) => {
            t.state.any_number(t.index, t.direction, name, &mut |v| comparison.as_ref().is_none_or(|c| c.holds(v)))
        }
        // Files are not stored; the rule says that there is one.
        AppLayerCondition::FileStore => match t.state.buffer(t.index, t.direction, Buffer::FileData, 0) {
            BufferState::Present(view) => !view.bytes.is_empty(),
            BufferState::NotYet | BufferState::Absent => false,
        },
        AppLayerCondition::Protocol { .. } | AppLayerCondition::ProtocolOf { .. } | AppLayerCondition::Undetected(_) => true,
    }
}

/// The interface is one of those bound. The parser answers for the UUID itself: the name carries it in hex.
fn dcerpc_interface(t: InTransaction<'_>, uuid: &[u8; 16], version: Option<&Comparison>, any_fragment: bool) -> bool {
    if !any_fragment && t.state.number(t.index, t.direction, "dcerpc.first_frag") == Some(0) {
        return false;
    }
    let mut name = *b"dcerpc.iface.00000000000000000000000000000000";
    for (i, byte) in uuid.iter().enumerate() {
        for (k, nibble) in [byte >> 4, byte & 15].into_iter().enumerate() {
            if let Some(digit) = name.get_mut(13 + 2 * i + k) {
                *digit = b"0123456789abcdef"[usize::from(nibble)];
            }
        }
    }
    let Ok(name) = std::str::from_utf8(&name) else { return false };
    t.state.number(t.index, t.direction, name).is_some_and(|v| version.is_none_or(|c| c.holds(v)))
}

/// flowbits
pub fn bits_hold(tests: &[BitOp], flow: Option<&FlowDetect>) -> bool {
    tests.iter().all(|test| {
        let set = |bit: &u32| flow.is_some_and(|f| f.bits.binary_search(bit).is_ok());
        match test.operation {
            BitOperation::IsSet => test.bits.iter().any(set),
            // Alternatives: one that is not set suffices.
            BitOperation::IsNotSet => flow.is_some() && test.bits.iter().any(|b| !set(b)),
            _ => true,
        }
    })
}

/// flowints
pub fn ints_hold(tests: &[IntOp], flow: Option<&FlowDetect>) -> bool {
    tests.iter().all(|test| {
        let Some(flow) = flow else { return false };
        let value = |variable: u32| {
            flow.ints.binary_search_by_key(&variable, |e| e.0).ok().and_then(|i| flow.ints.get(i)).map(|e| e.1)
        };
        let own = value(test.variable);
        match &test.operation {
            FlowintOperation::IsSet => own.is_some(),
            FlowintOperation::IsNotSet => own.is_none(),
            FlowintOperation::Compare(c) => own.is_some_and(|v| c.holds(u64::from(v))),
            FlowintOperation::CompareVariable(ordering, or_equal, _) => {
                let (Some(left), Some(right)) = (own, test.other.and_then(value)) else { return false };
                let actual = left.cmp(&right);
                actual == *ordering || (*or_equal && actual == Ordering::Equal)
            }
            _ => true,
        }
    })
}

/// `xbits` of the transaction.
pub fn transaction_bits_hold(tests: &[HostBitOp], flow: Option<&FlowDetect>, transaction: Option<u64>) -> bool {
    tests.iter().filter(|test| test.track == Track::Transaction).all(|test| {
        let (Some(flow), Some(id)) = (flow, transaction) else { return false };
        flow.transaction_bits.binary_search(&(id, test.name)).is_ok() == (test.operation == BitOperation::IsSet)
    })
}

/// xbits and hostbits
pub fn host_bits_hold(
    tests: &[HostBitOp],
    bits: &HostBits,
    context: &Context<'_>,
    direction: Option<Direction>,
) -> bool {
    tests.iter().filter(|test| test.track != Track::Transaction).all(|test| {
        let Some((source, destination)) = context.addresses(direction) else { return false };
        let set = bits.is_set(test.name, test.track, source, destination, context.packet.time);
        set == (test.operation == BitOperation::IsSet)
    })
}
