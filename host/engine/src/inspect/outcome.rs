//! What is decided about a packet: by its matches, by the policy for sessions without beginning, by what was decided about
//! its flow before. It is carried out, counted and told here.

use super::{Inspector, flow_facts, flow_number, packet_facts};
use crate::config::{EngineConfig, Policy};
use crate::flow_data::{BY_FIREWALL, FlowData};
use crate::verdict::{self, DropReason};
use std::sync::Arc;
use weir_detect::{Effect, FirewallVerdict, Match};
use weir_flow::Flow;
use weir_output::{EventSink, RejectTarget, TaggedRecord, Verdict, VerdictAction};
use weir_packet::Packet;

/// What the matches of a packet decide.
#[derive(Clone, Copy)]
pub(super) struct Outcome {
    verdict: Verdict,
    /// The rule that drops it.
    rule: Option<weir_detect::RuleIndex>,
    /// The drop is for the whole flow.
    whole_flow: bool,
    /// Why it is dropped.
    reason: DropReason,
}

impl Outcome {
    /// With what was found later for the same packet.
    pub(super) fn and(self, later: Outcome) -> Outcome {
        let dropped = self.verdict.action == VerdictAction::Drop;
        let verdict =
            if dropped || later.verdict.action == VerdictAction::Alert { self.verdict } else { later.verdict };
        let reason = if dropped { self.reason } else { later.reason };
        Outcome { verdict, rule: self.rule.or(later.rule), whole_flow: self.whole_flow || later.whole_flow, reason }
    }
}

impl Inspector {
    /// Alerts of the matches, and what they decide.
    pub(super) fn raise_matches(
        &mut self,
        packet: &Packet<'_>,
        mut flow: Option<&mut Flow<FlowData>>,
        sink: &mut dyn EventSink,
    ) -> Outcome {
        let mut verdict = verdict::of(&self.matches, self.inline);
        if let FirewallVerdict::Drop { effect, .. } = self.firewall {
            verdict.action = VerdictAction::Drop;
            verdict.reject = match effect {
                Effect::Reject(to) => Some(verdict::target(to)),
                _ => None,
            };
        } else if verdict.action != VerdictAction::Drop && self.inner.has_firewall() {
            verdict.action = VerdictAction::Accept;
        }
        if let Some(log) = flow.as_deref_mut().and_then(|flow| flow.data.log.as_deref_mut()) {
            let program = self.inner.program();
            let asks = |m: &&Match| {
                program.source(m.rule).is_some_and(|r| r.app_layer.contains(&weir_ir::AppLayerCondition::FileStore))
            };
            log.store.extend(self.matches.iter().filter(asks).filter_map(Match::transaction));
        }
        if let Some(flow) = flow.as_deref_mut() {
            flow.data.bypassed |= self.matches.iter().any(|m| m.bypass);
            let FlowData { log, app, .. } = &mut flow.data;
            if let Some(log) = log.as_deref_mut() {
                let pair = |id: u64| {
                    let state = app.state()?;
                    state.pair(state.transactions().binary_search_by_key(&id, |t| t.id).ok()?)
                };
                self.matches.iter().for_each(|m| match (m.unlogged, m.transaction()) {
                    (Some(weir_ir::Unlogged::Transaction), Some(id)) => log.silence(id, pair(id)),
                    (Some(weir_ir::Unlogged::Flow), _) => log.silent = true,
                    _ => {}
                });
            }
        }
        for n in 0..self.matches.len() {
            self.raise(n, packet, flow.as_deref_mut(), verdict, sink);
        }
        self.inner.forget_notes();
        let dropping = |m: &&Match| matches!(m.effect, Effect::Drop | Effect::Reject(_));
        Outcome {
            verdict,
            rule: self.matches.iter().find(dropping).map(|m| m.rule),
            whole_flow: self.matches.iter().filter(dropping).any(|m| m.whole_flow),
            reason: match self.matches.iter().find(dropping) {
                Some(m) if m.rated => DropReason::RateFilter,
                _ => DropReason::Rules,
            },
        }
    }

    /// What was decided about a packet is carried out, counted, and told.
    pub(super) fn settle(
        &mut self,
        packet: &Packet<'_>,
        mut flow: Option<&mut Flow<FlowData>>,
        direction: usize,
        Outcome { verdict, rule, whole_flow, reason: of_rules }: Outcome,
        sink: &mut dyn EventSink,
    ) {
        if !packet.data.is_empty() {
            let ends = packet.ip.as_ref().map(|ip| (ip.source, ip.destination));
            let seen = (packet.number, packet.time.0, packet.data.len());
            let of_flow = flow.as_deref().map(flow_number);
            if self.tags.tells(of_flow, ends, seen) {
                let facts = self.with_link(packet, packet_facts(packet, false));
                sink.tagged(&TaggedRecord { packet: facts, flow: flow.as_deref().map(flow_facts) });
            }
        }
        // The end of a flow is no packet.
        if !self.inline || packet.data.is_empty() {
            return;
        }
        let said = std::mem::replace(&mut self.firewall, FirewallVerdict::Next);
        if let FirewallVerdict::Drop { reason, flow: whole, rule, .. } = said {
            let reason = DropReason::Firewall(reason);
            self.firewall_decisions.count(Some(reason), verdict.reject.is_some());
            if let Some(flow) = flow.as_deref_mut().filter(|_| whole) {
                flow.data.dropped = true;
                flow.data.drop_logged |= BY_FIREWALL | 1 << direction;
            }
            self.decide(packet, verdict.reject, flow.as_deref());
            let program = Arc::clone(self.inner.program());
            verdict::record(packet, flow.as_deref(), direction, reason, (verdict, program.source(rule), false), sink);
            return;
        }
        self.firewall_decisions.count(None, false);
        if verdict.action != VerdictAction::Drop {
            self.decisions.count(None, false);
            return;
        }
        self.decisions.count(Some(of_rules), verdict.reject.is_some());
        if let Some(flow) = flow.as_deref_mut() {
            flow.data.dropped |= whole_flow;
            if flow.data.dropped {
                flow.data.drop_logged |= 1 << direction;
            }
        }
        self.decide(packet, verdict.reject, flow.as_deref());
        let program = Arc::clone(self.inner.program());
        let rule = rule.and_then(|rule| program.source(rule));
        verdict::record(packet, flow.as_deref(), direction, of_rules, (verdict, rule, false), sink);
    }

    /// A packet of the frame at hand is dropped.
    fn decide(&mut self, packet: &Packet<'_>, reject: Option<RejectTarget>, flow: Option<&Flow<FlowData>>) {
        self.denied.note(packet);
        self.decision.dropped = true;
        self.decision.whole_flow |= flow.is_some_and(|flow| flow.data.dropped);
        self.decision.reject = self.decision.reject.or(reject);
    }

    /// A fragment of a datagram that was dropped goes the same way.
    pub fn fragment(&mut self, packet: &Packet<'_>) {
        if self.inline && self.denied.holds(packet) {
            self.decision.dropped = true;
        }
    }

    /// A packet that goes on without inspection.
    pub fn not_inspected(&mut self) {
        if self.inline {
            self.firewall_decisions.count(None, false);
            self.decisions.count(None, false);
        }
    }

    /// The policy for sessions without beginning decides about a flow. Gives whether the packet is processed further.
    pub fn midstream(
        &mut self,
        packet: &Packet<'_>,
        flow: &mut Flow<FlowData>,
        direction: usize,
        config: &EngineConfig,
        sink: &mut dyn EventSink,
    ) -> bool {
        let policy = config.midstream_policy;
        if policy != Policy::Ignore {
            self.statistics.add(&format!("exception_policy.tcp.midstream.{}", policy.name()), 1);
        }
        flow.data.midstream.get_or_insert(policy);
        match policy {
            Policy::Ignore => return true,
            // What is followed has its records, and no rule looks at it.
            Policy::PassFlow if config.session.midstream => {
                flow.data.passed = true;
                return true;
            }
            Policy::PassFlow => flow.data.passed = true,
            Policy::PassPacket => {}
            Policy::Bypass => flow.data.bypassed = true,
            Policy::DropPacket | Policy::DropFlow | Policy::Reject => {
                let reject = (policy == Policy::Reject).then_some(RejectTarget::Both);
                let verdict = Verdict { action: VerdictAction::Drop, reject };
                flow.data.dropped = policy != Policy::DropPacket;
                flow.data.drop_logged |= 1 << direction;
                self.decide(packet, reject, Some(flow));
                self.firewall_decisions.count(None, false);
                self.decisions.count(Some(DropReason::Midstream), reject.is_some());
                verdict::record(packet, Some(flow), direction, DropReason::Midstream, (verdict, None, false), sink);
                return false;
            }
        }
        self.not_inspected();
        false
    }

    /// A packet of a flow that was dropped before.
    pub fn dropped_before(
        &mut self,
        packet: &Packet<'_>,
        flow: &mut Flow<FlowData>,
        direction: usize,
        sink: &mut dyn EventSink,
    ) {
        self.decide(packet, None, Some(flow));
        let by_firewall = flow.data.drop_logged & BY_FIREWALL != 0;
        let reason = match flow.data.midstream {
            _ if by_firewall => DropReason::FirewallFlow,
            Some(Policy::DropFlow | Policy::Reject) => DropReason::ExceptionFlow,
            _ => DropReason::Flow,
        };
        if by_firewall {
            self.firewall_decisions.count(Some(reason), false);
        } else {
            // The firewall still lets its packets through.
            self.firewall_decisions.count(None, false);
            self.decisions.count(Some(reason), false);
        }
        let verdict = Verdict { action: VerdictAction::Drop, reject: None };
        let again = flow.data.drop_logged >> direction & 1 != 0;
        flow.data.drop_logged |= 1 << direction;
        verdict::record(packet, Some(flow), direction, reason, (verdict, None, again), sink);
    }
}
