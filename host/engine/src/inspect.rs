//! Detection as the engine uses it: contexts for packets, the order of inspections, matches to alerts.

use crate::config::{EngineConfig, Policy};
use crate::flow_data::{BY_FIREWALL, FlowData};
use crate::log::{self, Demand};
use std::sync::Arc;
use weir_app_layer::{AppLayerFlow, Direction, Input, Limits};
use weir_contract::protocol::{AppProtocol, Detection};
use weir_detect::{
    Context, Delivery, Effect, FirewallVerdict, FlowDetect, FlowFacts, Match, PacketTable, Program, SharedState,
};
use weir_flow::Flow;
use weir_output::community::flow_id;
use crate::metadata;
use crate::tags::{Running, Tags, Whose};
use crate::statistics::Statistics;
use crate::verdict::{self, Decisions, DropReason};
use weir_output::{TaggedRecord, AlertRecord, AppLayerFacts, Endpoints, EventSink, PacketFacts, RejectTarget, Verdict, VerdictAction};
use weir_packet::{Packet, Time, Transport};
use weir_reassembly::{RawWindow, Session, StreamEvents};

/// Detection and what it shares between flows.
pub struct Inspector {
    inner: weir_detect::Inspector,
    shared: SharedState,
    matches: Vec<Match>,
    alerts: u64,
    limits: Limits,
    json: Vec<u8>,
    demand: Demand,
    inline: bool,
    /// Link type of the frame that is processed, plus one; 0 before the first.
    pub link: u32,
    decisions: Decisions,
    tags: Tags,
    /// Those of the firewall.
    firewall_decisions: Decisions,
    /// Alerts of packets that something else dropped.
    discarded_alerts: u64,
    /// What the firewall says about the packet at hand.
    firewall: FirewallVerdict,
    /// Files stored.
    stored: u64,
    /// Counters of packets.
    pub statistics: Statistics,
    /// The end of a flow is inspected, no packet.
    pub(crate) pseudo: bool,
    /// The stream around the packet at hand, as alerts show it; where streams are inspected when acknowledged.
    pub(crate) shown: Vec<u8>,
    /// What was decided about the packet at hand before it delivered anything.
    early: Option<Outcome>,
}

/// What the matches of a packet decide.
#[derive(Clone, Copy)]
struct Outcome {
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
    fn and(self, later: Outcome) -> Outcome {
        let dropped = self.verdict.action == VerdictAction::Drop;
        let verdict = if dropped || later.verdict.action == VerdictAction::Alert { self.verdict } else { later.verdict };
        let reason = if dropped { self.reason } else { later.reason };
        Outcome { verdict, rule: self.rule.or(later.rule), whole_flow: self.whole_flow || later.whole_flow, reason }
    }
}

impl Inspector {
    /// The program.
    pub fn program(&self) -> &Program {
        self.inner.program()
    }

    /// For a program; `None` when memory is exhausted.
    pub fn new(program: Arc<Program>, inline: bool) -> Option<Inspector> {
        Some(Inspector {
            inner: weir_detect::Inspector::new(program)?,
            shared: SharedState::default(),
            matches: Vec::new(),
            alerts: 0,
            limits: Limits::default(),
            json: Vec::new(),
            demand: Demand::default(),
            inline,
            link: 0,
            decisions: Decisions::default(),
            tags: Tags::default(),
            firewall_decisions: Decisions::default(),
            discarded_alerts: 0,
            firewall: FirewallVerdict::Next,
            stored: 0,
            statistics: Statistics::default(),
            pseudo: false,
            shown: Vec::new(),
            early: None,
        })
    }

    /// Packets by what was decided.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// With the frame's link type, of a packet that has the frame's bytes.
    fn with_link<'p>(&self, packet: &Packet<'_>, mut facts: PacketFacts<'p>) -> PacketFacts<'p> {
        facts.pseudo = self.pseudo;
        let raw = matches!(self.link.wrapping_sub(1), 12 | 101 | 228 | 229);
        if packet.tunnel_depth == 0 && self.link != 0 && (raw || !facts.reassembled) {
            facts.link = self.link - 1;
        }
        facts
    }

    /// What rules have left on a flow, as members of its records.
    pub fn metadata(&self, flow: &Flow<FlowData>) -> Vec<u8> {
        let mut members = Vec::new();
        metadata::of_flow(flow.data.detect.as_deref(), self.inner.program(), &[], &mut members);
        members
    }

    /// Packets by what the firewall decided; none without firewall mode. With alerts that were given up.
    pub fn firewall_decisions(&self) -> Option<(&Decisions, u64)> {
        self.inner.has_firewall().then_some((&self.firewall_decisions, self.discarded_alerts))
    }

    /// Asks a table of packets. False: the packet is dropped, and nothing else looks at it.
    pub fn firewall_packet(
        &mut self,
        table: PacketTable,
        context: &Context<'_>,
        detect: Option<&mut FlowDetect>,
    ) -> bool {
        if !self.inner.has_firewall() {
            return true;
        }
        if table == PacketTable::PreFlow {
            self.firewall = FirewallVerdict::Next;
        } else if self.firewall == FirewallVerdict::Accept {
            return true;
        }
        self.firewall = self.inner.firewall_packet(table, context, detect, &mut self.shared);
        let dropped = matches!(self.firewall, FirewallVerdict::Drop { .. });
        if dropped {
            self.discarded_alerts += self.inner.discard_matches();
        }
        !dropped
    }

    /// Asks the tables of transactions. False: the packet is dropped.
    pub fn firewall_transactions(&mut self, detect: &mut FlowDetect, context: &Context<'_>, app: &mut AppLayerFlow) -> bool {
        if self.firewall == FirewallVerdict::Next && self.inner.has_firewall() {
            let packet = context.packet;
            let data = !packet.payload.is_empty() && !packet.checksum_bad && (context.in_stream || packet.tcp().is_none());
            let state = app.state();
            self.firewall = self.inner.firewall_transactions(context, detect, state, data, &mut self.shared);
        }
        !matches!(self.firewall, FirewallVerdict::Drop { .. })
    }

    /// Files of data sets that rules want kept, and their content.
    pub fn saved_datasets(&self) -> Vec<(String, String)> {
        let all = self.inner.program().datasets().definitions().iter();
        let saved = all.filter_map(|set| Some((set.saved.as_deref()?, set)));
        saved.map(|(file, set)| (file.to_owned(), self.shared.datasets.saved(&set.name, &set.kind))).collect()
    }

    /// What the sink asks for.
    pub fn set_demand(&mut self, demand: Demand) {
        self.demand = demand;
    }

    /// Alerts raised.
    pub fn alerts(&self) -> u64 {
        self.alerts
    }

    /// What the parsers' limits have kept from inspection.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// From now on, measure what rules cost.
    pub fn profile_rules(&mut self) {
        self.inner.profile_rules();
    }

    /// What rules cost, if it was to be measured.
    pub fn rule_profile(&self) -> Option<&weir_detect::RuleProfile> {
        self.inner.rule_profile()
    }

    /// What detection counted.
    pub fn counters(&self) -> &weir_detect::Counters {
        self.inner.counters()
    }

    /// Facts of a flow for a packet of `direction`.
    pub fn context<'p>(
        &self,
        packet: &'p Packet<'p>,
        flow: &Flow<FlowData>,
        session: Option<&Session>,
        direction: usize,
        established: bool,
        stream_events: StreamEvents,
        inspect_payload: bool,
    ) -> Context<'p> {
        let mut facts = FlowFacts {
            id: flow_number(flow),
            direction: side(direction),
            established,
            protocol: Detection::Unknown,
            original_protocol: Detection::Unknown,
            protocol_by_side: [Detection::Unknown; 2],
            inspect_payload,
            start: Time(flow.first_time),
            packets: flow.packets,
            bytes: flow.bytes,
            stream_bytes: session.map_or([0; 2], |s| [s.stream_size(0).into(), s.stream_size(1).into()]),
        };
        say_protocol(&mut facts, &flow.data.app);
        Context { packet, flow: Some(facts), in_stream: false, stream_events, packet_events: &[] }
    }

    /// A delivery of stream bytes.
    pub fn stream(&mut self, detect: &mut FlowDetect, context: &Context<'_>, delivery: &Delivery<'_>) {
        self.inner.stream(context, detect, delivery, &mut self.shared);
    }

    /// The packet itself.
    pub fn packet(&mut self, detect: &mut FlowDetect, context: &Context<'_>) {
        self.inner.packet(context, Some(detect), &mut self.shared);
    }

    /// Transactions of both directions.
    pub fn transactions(
        &mut self,
        detect: &mut FlowDetect,
        context: &Context<'_>,
        app: &mut AppLayerFlow,
        windows: &[RawWindow; 2],
    ) {
        let current = context.flow.map_or(0, |f| f.direction as usize);
        self.transactions_of(detect, context, app, windows, &[current, 1 - current]);
    }

    /// Transactions of some directions.
    pub(crate) fn transactions_of(
        &mut self,
        detect: &mut FlowDetect,
        context: &Context<'_>,
        app: &AppLayerFlow,
        windows: &[RawWindow; 2],
        directions: &[usize],
    ) {
        let Some(state) = app.state() else { return };
        for &d in directions {
            let (window, offset) = windows[d].kept();
            let raw = Delivery { direction: side(d), window, offset, new_from: 0 };
            let raw = (!window.is_empty()).then_some(&raw);
            self.inner.transactions(context, detect, side(d), state, raw, &mut self.shared);
            if let Some(frames) = app.frames() {
                self.inner.transactions(context, detect, side(d), frames, None, &mut self.shared);
            }
        }
    }

    /// A packet without flow.
    pub fn lone_packet(&mut self, packet: &Packet<'_>, sink: &mut dyn EventSink) {
        let context = Context::of_packet(packet);
        let goes_on = self.firewall_packet(PacketTable::PreFlow, &context, None)
            && self.firewall_packet(PacketTable::Filter, &context, None);
        if goes_on {
            self.inner.packet(&context, None, &mut self.shared);
        }
        self.matches.clear();
        self.inner.finish(&context, None, &mut self.shared, &mut self.matches);
        self.inner.finish_firewall(&context, &mut self.matches);
        let direction = context.flow.map_or(0, |f| f.direction as usize);
        let outcome = self.raise_matches(packet, None, sink);
        self.settle(packet, None, direction, outcome, sink);
        if self.demand.anomalies {
            log::anomalies(packet, None, StreamEvents::default(), &[], sink);
        }
    }

    /// Alerts of the matches, and what they decide.
    fn raise_matches(
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
    fn settle(
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
        let program = Arc::clone(self.inner.program());
        let rule = rule.and_then(|rule| program.source(rule));
        verdict::record(packet, flow.as_deref(), direction, of_rules, (verdict, rule, false), sink);
    }

    /// Packets of the flow are told until its tag is over.
    pub fn is_tagged(&self, flow: &Flow<FlowData>) -> bool {
        self.tags.is_running(flow_number(flow))
    }

    /// A flow has ended.
    pub fn end_tag(&mut self, flow: &Flow<FlowData>) {
        self.tags.end(flow_number(flow));
    }

    /// Counts an ended flow and its transactions by protocol.
    pub fn count_application(&mut self, flow: &Flow<FlowData>) {
        let Some(protocol) = flow.data.app.protocol() else { return };
        let name = weir_app_layer::record_kind(protocol);
        let name = if name == "ftp_data" { "ftp-data" } else { name };
        // Protocols of both transports are counted by transport.
        let transport = match (protocol, flow.key.protocol) {
            (AppProtocol::Dns | AppProtocol::Krb5 | AppProtocol::Nfs | AppProtocol::DceRpc, 17) => "_udp",
            (AppProtocol::Dns | AppProtocol::Krb5 | AppProtocol::Nfs | AppProtocol::DceRpc, 6) => "_tcp",
            (AppProtocol::Enip | AppProtocol::Sip | AppProtocol::Ldap, 17) => "_udp",
            (AppProtocol::Enip | AppProtocol::Sip | AppProtocol::Ldap, 6) => "_tcp",
            _ => "",
        };
        self.statistics.add(&format!("app_layer.flow.{name}{transport}"), 1);
        let transactions = flow.data.log.as_ref().map_or(0, |log| log.transactions);
        self.statistics.add(&format!("app_layer.tx.{name}{transport}"), transactions);
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
                self.firewall_decisions.count(None, false);
                self.decisions.count(Some(DropReason::Midstream), reject.is_some());
                verdict::record(packet, Some(flow), direction, DropReason::Midstream, (verdict, None, false), sink);
                return false;
            }
        }
        self.not_inspected();
        false
    }

    /// The table before the flow is looked up. False: the packet is dropped.
    pub fn before_flow(&mut self, packet: &Packet<'_>, sink: &mut dyn EventSink) -> bool {
        let context = Context::of_packet(packet);
        if self.firewall_packet(PacketTable::PreFlow, &context, None) {
            return true;
        }
        self.matches.clear();
        self.inner.finish_firewall(&context, &mut self.matches);
        let outcome = self.raise_matches(packet, None, sink);
        self.settle(packet, None, 0, outcome, sink);
        false
    }

    /// The table before the stream is. False: the packet is dropped.
    pub fn before_stream(
        &mut self,
        packet: &Packet<'_>,
        flow: &mut Flow<FlowData>,
        direction: usize,
        sink: &mut dyn EventSink,
    ) -> bool {
        if !self.inner.has_firewall() || packet.tcp().is_none() {
            return true;
        }
        let mut detect = flow.data.detect.take().unwrap_or_default();
        let session = flow.data.session.take();
        let established = flow.phase == weir_flow::FlowPhase::Established;
        let context =
            self.context(packet, flow, session.as_deref(), direction, established, StreamEvents::default(), true);
        let goes_on = self.firewall_packet(PacketTable::PreStream, &context, Some(&mut detect));
        flow.data.session = session;
        flow.data.detect = Some(detect);
        if !goes_on {
            self.matches.clear();
            self.inner.finish_firewall(&context, &mut self.matches);
            let outcome = self.raise_matches(packet, Some(flow), sink);
            self.settle(packet, Some(flow), direction, outcome, sink);
        }
        goes_on
    }

    /// A packet of a flow that was dropped before.
    pub fn dropped_before(
        &mut self,
        packet: &Packet<'_>,
        flow: &mut Flow<FlowData>,
        direction: usize,
        sink: &mut dyn EventSink,
    ) {
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

    /// The packet is through: alerts go out, inspected transactions are released. What the parser had to leave until
    /// then is parsed and inspected as if a packet of its own had brought it.
    pub fn end_packet(&mut self, context: &Context<'_>, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) {
        let mut outcome = self.raise_all(context, flow, sink);
        if let Some(early) = self.early.take() {
            outcome = early.and(outcome);
        }
        if self.demand.anomalies {
            log::anomalies(context.packet, Some(flow), context.stream_events, context.packet_events, sink);
        }
        // Transactions that a packet of the other direction will look at stay.
        if !flow.data.waiting.as_ref().is_some_and(|waiting| waiting.is_fresh(0) || waiting.is_fresh(1)) {
            outcome = self.go_on(context, flow, outcome, sink);
        }
        let direction = context.flow.map_or(0, |f| f.direction as usize);
        self.settle(context.packet, Some(flow), direction, outcome, sink);
    }

    /// Before a packet delivers anything: what only it was waited for is told and let go.
    pub(crate) fn end_early(&mut self, context: &Context<'_>, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) {
        let outcome = self.raise_all(context, flow, sink);
        self.early = Some(self.go_on(context, flow, outcome, sink));
    }

    /// A direction of a flow that is over has been inspected; `last`: nothing else waits for its transactions.
    pub(crate) fn end_direction(
        &mut self,
        context: &Context<'_>,
        flow: &mut Flow<FlowData>,
        last: bool,
        sink: &mut dyn EventSink,
    ) {
        let outcome = self.raise_all(context, flow, sink);
        if last {
            self.go_on(context, flow, outcome, sink);
        }
    }

    /// Inspected transactions are released, and what the parser goes on with is inspected.
    fn go_on(
        &mut self,
        context: &Context<'_>,
        flow: &mut Flow<FlowData>,
        mut outcome: Outcome,
        sink: &mut dyn EventSink,
    ) -> Outcome {
        let mut context = *context;
        loop {
            let reached = flow.data.app.take_limits();
            self.limits.transactions += reached.transactions;
            self.limits.bodies += reached.bodies;
            let before = flow.data.app.parser();
            let more = flow.data.app.mark_inspected(context.packet.number);
            if flow.data.app.parser() != before {
                if let Some(detect) = flow.data.detect.as_deref_mut() {
                    detect.protocol_changed();
                }
                if let Some(log) = flow.data.log.as_deref_mut() {
                    log.protocol_changed();
                }
            }
            if !more {
                break;
            }
            if let Some(facts) = &mut context.flow {
                say_protocol(facts, &flow.data.app);
            }
            let FlowData { app, detect, windows, .. } = &mut flow.data;
            if let Some(detect) = detect {
                if self.firewall_transactions(detect, &context, app) {
                    self.transactions(detect, &context, app, windows);
                }
            }
            outcome = outcome.and(self.raise_all(&context, flow, sink));
        }
        outcome
    }

    fn raise_all(&mut self, context: &Context<'_>, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) -> Outcome {
        self.matches.clear();
        self.inner.finish(context, flow.data.detect.as_deref_mut(), &mut self.shared, &mut self.matches);
        if flow.data.passed {
            self.matches.clear();
        }
        self.inner.finish_firewall(context, &mut self.matches);
        let outcome = self.raise_matches(context.packet, Some(flow), sink);
        if self.demand.of_flows() {
            let facts = PacketFacts { pseudo: self.pseudo, ..packet_facts(context.packet, false) };
            let metadata = self.metadata(flow);
            log::transactions(flow, &facts, false, (&mut self.json, &mut self.stored, &metadata), sink);
        }
        outcome
    }

    fn raise(
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
        let of_stream = matches!(m.scope, weir_detect::Scope::Stream | weir_detect::Scope::Transaction(_) | weir_detect::Scope::Frame(_));
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

    /// The flow is over: transactions that did not come to their end are written as they are.
    pub fn log_rest(&mut self, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) {
        if self.demand.of_flows() {
            let packet = end_packet_of(flow, flow_ends(flow));
            let facts = PacketFacts { pseudo: true, ..packet_facts(&packet, false) };
            let metadata = self.metadata(flow);
            log::transactions(flow, &facts, true, (&mut self.json, &mut self.stored, &metadata), sink);
        }
    }

    /// The input is over while the flow lives: what its end completes is inspected with the number of its last frame.
    pub fn end_of_flow(&mut self, flow: &mut Flow<FlowData>, sink: &mut dyn EventSink) {
        if flow.data.encrypted {
            return;
        }
        for d in 0..2 {
            flow.data.app.feed(side(d), Input::End, flow.last_frame);
        }
        let ends = flow_ends(flow);
        let packet = end_packet_of(flow, ends);
        let established = flow.phase != weir_flow::FlowPhase::New;
        let session = flow.data.session.take();
        let context =
            self.context(&packet, flow, session.as_deref(), 0, established, StreamEvents::default(), false);
        flow.data.session = session;
        let FlowData { app, detect, windows, .. } = &mut flow.data;
        if let Some(detect) = detect {
            self.transactions(detect, &context, app, windows);
        }
        self.end_packet(&context, flow, sink);
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

/// What detection of the protocol says now.
pub(crate) fn say_protocol(facts: &mut FlowFacts, app: &AppLayerFlow) {
    let protocol = match app.protocol() {
        Some(protocol) => Detection::Known(protocol),
        None if app.undecided() => Detection::Unknown,
        None => Detection::Failed,
    };
    facts.protocol = protocol;
    facts.original_protocol = app.original_protocol().map_or(protocol, Detection::Known);
    facts.protocol_by_side = app.detection_by_side();
}

/// Direction index to the parsers' name for it.
pub(crate) fn side(direction: usize) -> Direction {
    if direction == 0 { Direction::ToServer } else { Direction::ToClient }
}

/// The match is of the direction opposite to the packet's (reference semantics 2.12).
fn exchanged(m: &Match, flow: Option<&Flow<FlowData>>, packet: &Packet<'_>) -> bool {
    let (Some(direction), Some(flow), Some(ip)) = (m.direction, flow, packet.ip.as_ref()) else { return false };
    let ends = flow_ends(flow);
    let to_server = (ip.source, packet.source_port) == (ends.source, ends.source_port)
        || (ends.source_port == 0 && ip.source == ends.source);
    to_server != (direction == Direction::ToServer)
}

/// Unique number of a flow: a frame begins at most one at each depth of tunnels.
pub(crate) fn flow_number(flow: &Flow<FlowData>) -> u64 {
    flow.first_frame << 8 | u64::from(flow.key.depth)
}

/// Facts of a flow, for records.
pub(crate) fn flow_facts(flow: &Flow<FlowData>) -> weir_output::FlowFacts {
    let ends = flow_ends(flow);
    weir_output::FlowFacts {
        id: flow_id(ends, flow.first_frame, flow.first_time),
        first_frame: flow.first_frame,
        ends,
        start: flow.first_time,
        last: flow.last_time,
        packets: flow.packets,
        bytes: flow.bytes,
    }
}

pub(crate) fn flow_ends(flow: &Flow<FlowData>) -> Endpoints {
    let k = &flow.key;
    let ends = Endpoints {
        source: k.address_a,
        source_port: k.port_a,
        destination: k.address_b,
        destination_port: k.port_b,
        protocol: k.protocol,
    };
    // The key of ICMP holds identifiers where ports are.
    let ends = if matches!(k.protocol, 1 | 58) { Endpoints { source_port: 0, destination_port: 0, ..ends } } else { ends };
    if flow.initiator_is_a { ends } else { ends.exchanged() }
}

/// LINKTYPE_RAW: a packet that begins with its IP header.
const RAW: u32 = 12;

pub(crate) fn packet_facts<'p>(packet: &'p Packet<'_>, exchanged: bool) -> PacketFacts<'p> {
    let ends = packet.ip.as_ref().map(|ip| {
        let ends = Endpoints {
            source: ip.source,
            source_port: packet.source_port,
            destination: ip.destination,
            destination_port: packet.destination_port,
            protocol: ip.protocol,
        };
        if exchanged { ends.exchanged() } else { ends }
    });
    PacketFacts {
        frame: packet.number,
        time: packet.time.0,
        ends,
        icmp: match packet.transport {
            Transport::Icmpv4(icmp) | Transport::Icmpv6(icmp) => Some((icmp.kind, icmp.code)),
            _ => None,
        },
        vlan: &packet.vlan[..usize::from(packet.vlan_layers).min(3)],
        tunnel_depth: packet.tunnel_depth,
        reassembled: packet.ip.as_ref().is_some_and(|ip| ip.reassembled),
        ether_type: packet.ether_type,
        data: packet.data,
        payload: packet.payload,
        tunnel: None,
        pseudo: false,
        link: RAW,
        ethernet: packet.ethernet,
    }
}

/// A packet without bytes that stands for the end of a flow.
pub(crate) fn end_packet_of(flow: &Flow<FlowData>, ends: Endpoints) -> Packet<'static> {
    Packet {
        number: flow.last_frame,
        time: Time(flow.last_time),
        tunnel_depth: flow.key.depth,
        vlan: [flow.key.vlan[0], flow.key.vlan[1], 0],
        vlan_layers: flow.key.vlan.iter().take_while(|v| **v != 0).count() as u8,
        ethernet: flow.data.log.as_ref().and_then(|log| {
            let [client, server] = [0, 1].map(|d: usize| log.ethernet[d].first().copied());
            let to_server = ends == flow_ends(flow);
            if to_server { client.zip(server) } else { server.zip(client) }
        }),
        ether_type: 0,
        ip: Some(weir_packet::Ip {
            version: if ends.source.is_ipv4() { 4 } else { 6 },
            source: ends.source,
            destination: ends.destination,
            protocol: ends.protocol,
            ttl: 0,
            tos: 0,
            id: 0,
            fragment_flags: 0,
            fragment_offset: 0,
            is_fragment: false,
            reassembled: false,
            header: &[],
            options: &[],
        }),
        transport: Transport::None,
        source_port: ends.source_port,
        destination_port: ends.destination_port,
        payload: &[],
        data: &[],
        checksum_bad: false,
        carries_packet: false,
        layers: Default::default(),
        events: Default::default(),
    }
}
