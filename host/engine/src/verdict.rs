//! What is decided about a packet: by rules, or because its flow was dropped before.

use crate::flow_data::FlowData;
use crate::inspect::{flow_facts, packet_facts};
use std::collections::BTreeMap;
use weir_detect::{Effect, FirewallReason, Match, RejectTo};
use weir_flow::Flow;
use weir_ir::Rule;
use weir_output::{DropRecord, EventSink, HeaderFacts, RejectTarget, Verdict, VerdictAction};
use weir_packet::{Packet, Transport};

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// A rule says so.
    Rules,
    /// A rate filter says so.
    RateFilter,
    /// Its flow was dropped.
    Flow,
    /// The policy for sessions whose beginning was not seen.
    Midstream,
    /// Its flow was dropped by such a policy.
    ExceptionFlow,
    /// The firewall says so.
    Firewall(FirewallReason),
    /// The firewall dropped its flow.
    FirewallFlow,
}

impl DropReason {
    /// As drop records have it.
    pub fn text(self) -> &'static str {
        match self {
            DropReason::Rules => "rules",
            DropReason::RateFilter => "threshold detection_filter",
            DropReason::Flow | DropReason::ExceptionFlow => "flow drop",
            DropReason::Midstream => "stream midstream",
            DropReason::Firewall(FirewallReason::Rules) => "firewall rules",
            DropReason::Firewall(FirewallReason::PacketPolicy) => "firewall default packet policy",
            DropReason::Firewall(FirewallReason::ApplicationPolicy) => "firewall default app policy",
            DropReason::Firewall(FirewallReason::PreFlow) => "firewall pre flow hook",
            DropReason::Firewall(FirewallReason::PreStream) => "firewall pre stream hook",
            DropReason::FirewallFlow => "firewall flow drop",
        }
    }

    /// As statistics have it.
    pub fn counter(self) -> &'static str {
        match self {
            DropReason::Rules => "rules",
            DropReason::RateFilter => "threshold_detection_filter",
            DropReason::Flow => "flow_drop",
            DropReason::ExceptionFlow => "exception_policy_flow_drop",
            DropReason::Midstream => "stream_midstream",
            DropReason::Firewall(FirewallReason::Rules) => "rules",
            DropReason::Firewall(FirewallReason::PacketPolicy) => "default_packet_policy",
            DropReason::Firewall(FirewallReason::ApplicationPolicy) => "default_app_policy",
            DropReason::Firewall(FirewallReason::PreFlow) => "pre_flow_hook",
            DropReason::Firewall(FirewallReason::PreStream) => "pre_stream_hook",
            DropReason::FirewallFlow => "flow_drop",
        }
    }
}

/// What an inline system does with a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decision {
    /// One of its packets is dropped.
    pub dropped: bool,
    /// So are later ones of the flow.
    pub whole_flow: bool,
    /// Who is told.
    pub reject: Option<RejectTarget>,
}

/// Packets by what was decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decisions {
    /// They go on.
    pub accepted: u64,
    /// They do not.
    pub blocked: u64,
    /// They do not, and their ends are told.
    pub rejected: u64,
    /// Those that do not, by reason.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Decisions {
    /// Counts one packet.
    pub fn count(&mut self, reason: Option<DropReason>, rejected: bool) {
        match reason {
            None => self.accepted += 1,
            Some(reason) => {
                self.blocked += 1;
                self.rejected += u64::from(rejected);
                *self.reasons.entry(reason.counter()).or_default() += 1;
            }
        }
    }
}

/// The decision of all matches of a packet.
pub fn of(matches: &[Match], inline: bool) -> Verdict {
    let mut verdict = Verdict::default();
    for m in matches {
        match m.effect {
            Effect::Reject(to) => {
                verdict.action = VerdictAction::Drop;
                verdict.reject.get_or_insert(target(to));
            }
            Effect::Drop if inline => verdict.action = VerdictAction::Drop,
            Effect::Pass if verdict.action == VerdictAction::Alert => verdict.action = VerdictAction::Pass,
            Effect::Drop | Effect::Pass | Effect::None => {}
        }
    }
    verdict
}

/// Who is told.
pub fn target(to: RejectTo) -> RejectTarget {
    match to {
        RejectTo::Source => RejectTarget::ToClient,
        RejectTo::Destination => RejectTarget::ToServer,
        RejectTo::Both => RejectTarget::Both,
    }
}

/// Writes the record of a dropped packet.
pub fn record(
    packet: &Packet<'_>,
    flow: Option<&Flow<FlowData>>,
    direction: usize,
    reason: DropReason,
    (verdict, rule, again): (Verdict, Option<&Rule>, bool),
    sink: &mut dyn EventSink,
) {
    sink.drop_packet(&DropRecord {
        packet: packet_facts(packet, false),
        flow: flow.map(flow_facts),
        to_server: direction == 0,
        reason: reason.text(),
        verdict,
        rule,
        again,
        headers: headers(packet),
    });
}

fn headers(packet: &Packet<'_>) -> HeaderFacts {
    let Some(ip) = &packet.ip else { return HeaderFacts::default() };
    let be16 = |at: usize| ip.header.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    HeaderFacts {
        length: if ip.version == 4 { be16(2) } else { be16(4) },
        tos: ip.tos,
        ttl: ip.ttl,
        id: u32::from(ip.id),
        tcp: packet.tcp().map(|t| (t.sequence, t.acknowledgement, t.window, t.flags, t.urgent)),
        udp: match packet.transport {
            Transport::Udp(header) => header.get(4..6).map(|b| u16::from_be_bytes([b[0], b[1]])),
            _ => None,
        },
    }
}
