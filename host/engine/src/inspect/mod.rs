//! Detection as the engine uses it: contexts for packets, the order of inspections, matches to alerts.
//!
//! Place: between the engine's packet loop and `weir_detect`. [`Inspector`] is here, with what it is asked; `firewall` asks
//! the firewall's tables, `finish` ends a packet or a flow, `alert` tells a match, `outcome` carries out what the matches
//! decide, `facts` describes packets and flows for records.

mod alert;
mod denied;
mod facts;
mod finish;
mod firewall;
mod outcome;

use crate::flow_data::FlowData;
use crate::log::{self, Demand};
use crate::metadata;
use crate::statistics::Statistics;
use crate::tags::Tags;
use crate::verdict::{Decision, Decisions};
use denied::Denied;
pub(crate) use facts::{FlowName, end_packet_of, flow_ends, flow_facts, flow_number, packet_facts, say_protocol, side};
use outcome::Outcome;
use std::sync::Arc;
use weir_app_layer::{AppLayerFlow, Limits};
use weir_contract::protocol::{AppProtocol, Detection};
use weir_detect::{Context, Delivery, FirewallVerdict, FlowDetect, FlowFacts, Match, Program, SharedState};
use weir_flow::Flow;
use weir_output::FlowState;
use weir_packet::{Packet, Time};
use weir_reassembly::{RawWindow, Session, State, StreamEvents};

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
    /// About the frame at hand.
    decision: Decision,
    denied: Denied,
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
    /// Epoch of the program.
    pub epoch: u32,
    /// The frame at hand is of an earlier epoch, and came from history later: rules have no say in it.
    pub(crate) silent: bool,
    /// The end of a flow is inspected, no packet.
    pub(crate) pseudo: bool,
    /// The stream around the packet at hand, as alerts show it; where streams are inspected when acknowledged.
    pub(crate) shown: Vec<u8>,
    /// What was decided about the packet at hand before it delivered anything.
    early: Option<Outcome>,
}

impl Inspector {
    /// The program.
    pub fn program(&self) -> &Program {
        self.inner.program()
    }

    /// What judges.
    pub fn detection(&mut self) -> &mut weir_detect::Inspector {
        &mut self.inner
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
            decision: Decision::default(),
            denied: Denied::default(),
            tags: Tags::default(),
            firewall_decisions: Decisions::default(),
            discarded_alerts: 0,
            firewall: FirewallVerdict::Next,
            stored: 0,
            statistics: Statistics::default(),
            epoch: 1,
            silent: false,
            pseudo: false,
            shown: Vec::new(),
            early: None,
        })
    }

    /// Another program judges from the next frame on; gives the one before.
    pub fn set_program(&mut self, program: Arc<Program>, epoch: u32) -> Arc<Program> {
        let before = Arc::clone(self.inner.program());
        self.shared.prepare(&program);
        self.inner.set_program(program);
        self.epoch = epoch;
        before
    }

    /// From now on decisions are carried out.
    pub fn set_inline(&mut self) {
        self.inline = true;
    }

    /// What was decided since the last call.
    pub fn take_decision(&mut self) -> Decision {
        std::mem::take(&mut self.decision)
    }

    /// Packets by what was decided.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// What rules have left on a flow, as members of its records.
    pub fn metadata(&self, flow: &Flow<FlowData>) -> Vec<u8> {
        let mut members = Vec::new();
        metadata::of_flow(flow.data.detect.as_deref(), self.inner.program(), &[], &mut members);
        members
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
        if self.silent {
            return;
        }
        self.inner.stream(context, detect, delivery, &mut self.shared);
    }

    /// The packet itself.
    pub fn packet(&mut self, detect: &mut FlowDetect, context: &Context<'_>) {
        if self.silent {
            return;
        }
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
        let Some(state) = app.state().filter(|_| !self.silent) else { return };
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

    /// Packets of the flow are told until its tag is over.
    pub fn is_tagged(&self, flow: &Flow<FlowData>) -> bool {
        self.tags.is_running(flow_number(flow))
    }

    /// A flow has ended.
    pub fn end_tag(&mut self, flow: &Flow<FlowData>) {
        self.tags.end(flow_number(flow));
    }

    /// Counts an ended flow, its state, and its transactions by protocol.
    pub fn count_flow(&mut self, flow: &Flow<FlowData>, reused: bool) {
        if !log::RECORDED.contains(&flow.key.protocol) {
            return;
        }
        let carrier = match flow.key.protocol {
            6 => "tcp",
            17 => "udp",
            1 => "icmpv4",
            58 => "icmpv6",
            132 => "sctp",
            _ => "esp",
        };
        self.statistics.add("flow.total", 1);
        self.statistics.add(&format!("flow.{carrier}"), 1);
        let state = match log::flow_state(flow) {
            FlowState::New => "new",
            FlowState::Established => "established",
            FlowState::Closed => "closed",
            FlowState::Bypassed => "local_bypassed",
        };
        self.statistics.add(&format!("flow.end.state.{state}"), 1);
        if reused {
            self.statistics.add("flow.tcp_reuse", 1);
        }
        if let Some(session) = flow.data.session.as_ref().filter(|_| flow.key.protocol == 6) {
            if session.state() != State::None {
                self.statistics.add(&format!("flow.end.tcp_state.{}", session.state_name()), 1);
                self.statistics.add("tcp.sessions", 1);
            }
        }
        let Some(protocol) = flow.data.app.protocol() else {
            if log::protocol_name(&flow.data.app).is_some() {
                self.statistics.add(&format!("app_layer.flow.failed_{carrier}"), 1);
            }
            return;
        };
        let name = match protocol {
            AppProtocol::BittorrentDht => "bittorrent-dht",
            protocol => weir_app_layer::eve_name(protocol),
        };
        // Protocols of both transports are counted by transport.
        let transport = match (protocol, flow.key.protocol) {
            (AppProtocol::Dns | AppProtocol::Krb5 | AppProtocol::Nfs | AppProtocol::DceRpc, 17) => "_udp",
            (AppProtocol::Dns | AppProtocol::Krb5 | AppProtocol::Nfs | AppProtocol::DceRpc, 6) => "_tcp",
            (AppProtocol::Enip | AppProtocol::Sip | AppProtocol::Ldap, 17) => "_udp",
            (AppProtocol::Enip | AppProtocol::Sip | AppProtocol::Ldap, 6) => "_tcp",
            _ => "",
        };
        self.statistics.add(&format!("app_layer.flow.{name}{transport}"), 1);
        // Sessions that are one transaction from their beginning are not counted again.
        let whole = matches!(protocol, AppProtocol::Tls | AppProtocol::Ssh | AppProtocol::FtpData);
        let transactions = flow.data.log.as_ref().filter(|_| !whole).map_or(0, |log| log.transactions);
        self.statistics.add(&format!("app_layer.tx.{name}{transport}"), transactions);
        // Protocols that give way to another one over one transport only.
        if let Some(before) = flow.data.app.original_protocol().filter(|before| *before != protocol) {
            let name = weir_app_layer::eve_name(before);
            self.statistics.add(&format!("app_layer.flow.{name}"), 1);
            let earlier = flow.data.log.as_ref().map_or(0, |log| log.earlier);
            self.statistics.add(&format!("app_layer.tx.{name}"), earlier);
        }
    }
}
