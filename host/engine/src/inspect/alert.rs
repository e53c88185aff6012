//! A match as an alert.

use super::{Inspector, flow_ends, flow_facts, flow_number, packet_facts};
use crate::flow_data::FlowData;
use crate::tags::{Running, Whose};
use crate::{log, metadata};
use std::sync::Arc;
use weir_app_layer::Direction;
use weir_detect::{Effect, Match};
use weir_flow::Flow;
use weir_output::{AlertRecord, AppLayerFacts, EventSink, PacketFacts, Verdict};
use weir_packet::Packet;

impl Inspector {
    pub(super) fn raise(
        &mut self,
        n: usize,
        packet: &Packet<'_>,
        mut flow: Option<&mut Flow<FlowData>>,
        verdict: Verdict,
        sink: &mut dyn EventSink,
    ) {
        let Some(m) = self.matches.get(n).copied().filter(|m| m.alert) else { return };
        let program = Arc::clone(self.inner.program());
        let engine = program.firewall().is_some().then_some(if m.firewall { "fw" } else { "td" });
        let policies = program.firewall().map(|f| f.policy_rules).filter(|_| m.firewall);
        let hook = match policies.and_then(|rules| rules.iter().position(|rule| *rule == m.rule)) {
            Some(0) => Some("packet:filter".to_owned()),
            Some(_) => flow.as_deref().and_then(|flow| policy_hook(&m, flow)),
            None => None,
        };
        let Some(rule) = program.source(m.rule) else { return };
        self.alerts += 1;
        if let Some(tag) = m.tag.filter(|_| self.demand.tagged) {
            let running = Running::new(tag, packet.number, packet.time.0, packet.data.len());
            let ends = packet.ip.as_ref().map(|ip| (ip.source, ip.destination));
            match (tag.who, flow.as_deref_mut(), ends) {
                (weir_ir::TagWho::Session, Some(flow), _) => self.tags.begin(Whose::Flow(flow_number(flow)), running),
                (weir_ir::TagWho::Source, _, Some((source, _))) => self.tags.begin(Whose::Host(source), running),
                (weir_ir::TagWho::Destination, _, Some((_, destination))) => {
                    self.tags.begin(Whose::Host(destination), running);
                }
                _ => {}
            }
        }
        if let Some(log) = flow.as_deref_mut().and_then(|flow| flow.data.log.as_deref_mut()) {
            log.alerted = true;
        }
        let flow = flow.as_deref();
        let mut facts = packet_facts(packet, exchanged(&m, flow, packet));
        facts = self.with_link(packet, facts);
        let flow_facts = flow.map(flow_facts);
        let of_stream = matches!(
            m.scope,
            weir_detect::Scope::Stream | weir_detect::Scope::Transaction(_) | weir_detect::Scope::Frame(_)
        );
        let of_stream = of_stream && facts.ends.is_some_and(|ends| ends.protocol == 6);
        let notes = self.inner.notes(&m);
        let (mut metadata, mut context) = (Vec::new(), Vec::new());
        metadata::of_flow(flow.and_then(|flow| flow.data.detect.as_deref()), &program, notes, &mut metadata);
        metadata::context(notes, &mut context);
        self.json.clear();
        let mut protocol = None;
        if let Some(flow) = flow {
            protocol = log::protocol_name(&flow.data.app);
            let frame = match m.scope {
                weir_detect::Scope::Frame(id) => flow.data.app.frames().map(|frames| (frames, id)),
                _ => None,
            };
            let transaction = frame.map_or(m.transaction(), |(frames, id)| frames.transaction_of(id));
            if let (Some(id), Some(state)) = (transaction, flow.data.app.state()) {
                if let Ok(index) = state.transactions().binary_search_by_key(&id, |t| t.id) {
                    state.log(index, &mut self.json);
                    let stores = rule.app_layer.contains(&weir_ir::AppLayerCondition::FileStore);
                    log::files_of_alert(state, index, id, (rule.identity.sid, stores), &mut self.json);
                }
            }
            if let Some((frames, id)) = frame {
                if !self.json.is_empty() {
                    self.json.push(b',');
                }
                frames.describe(id, &mut self.json);
            }
        }
        sink.alert(&AlertRecord {
            epoch: self.epoch,
            rule_index: m.rule,
            rule,
            packet: facts,
            flow: flow_facts,
            to_server: m.direction != Some(Direction::ToClient),
            app: AppLayerFacts { protocol, transaction: m.transaction(), objects: &self.json },
            payload: Some(if of_stream && !self.shown.is_empty() { &self.shown } else { packet.payload }),
            from_stream: of_stream,
            blocked: match m.effect {
                Effect::Reject(_) => true,
                Effect::Drop => self.inline,
                Effect::Pass | Effect::None => false,
            },
            verdict,
            metadata: &metadata,
            context: &context,
            outer: None,
            engine,
            hook: hook.as_deref(),
        });
    }

    /// With the frame's link type, of a packet that has the frame's bytes.
    pub(super) fn with_link<'p>(&self, packet: &Packet<'_>, mut facts: PacketFacts<'p>) -> PacketFacts<'p> {
        facts.pseudo = self.pseudo;
        let raw = matches!(self.link.wrapping_sub(1), 12 | 101 | 228 | 229);
        if packet.tunnel_depth == 0 && self.link != 0 && (raw || !facts.reassembled) {
            facts.link = self.link - 1;
        }
        facts
    }
}

/// Where the policy of transactions decided.
fn policy_hook(m: &Match, flow: &Flow<FlowData>) -> Option<String> {
    let state = flow.data.app.state()?;
    let direction = m.direction?;
    let index = state.transactions().binary_search_by_key(&m.transaction()?, |t| t.id).ok()?;
    let at = usize::from(weir_app_layer::hooks::hook_state(state, index, direction));
    let name = weir_ir::hook::states(state.protocol())[direction as usize].get(at)?;
    Some(format!("app:{}:{name}", state.protocol().name()))
}

/// The match is of the direction opposite to the packet's (reference semantics 2.12).
fn exchanged(m: &Match, flow: Option<&Flow<FlowData>>, packet: &Packet<'_>) -> bool {
    let (Some(direction), Some(flow), Some(ip)) = (m.direction, flow, packet.ip.as_ref()) else { return false };
    let ends = flow_ends(flow);
    let to_server = (ip.source, packet.source_port) == (ends.source, ends.source_port)
        || (ends.source_port == 0 && ip.source == ends.source);
    to_server != (direction == Direction::ToServer)
}
