//! The full engine: every frame it is given, in order.

use crate::acknowledged::Waiting;
use crate::config::EngineConfig;
use crate::flow_data::{Bedroom, FlowData};
use crate::hold::DeviceLink;
use crate::inspect::{FlowName, Inspector, say_protocol, side};
use crate::statistics::REASSEMBLY_GAP;
use crate::verdict::Decision;
use crate::log::{self, Demand, FlowLog};
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_app_layer::expectation::{Expectations, Expected, Pair};
use weir_app_layer::{AppLayerConfig, AppLayerFlow, Input, Limits};
use weir_detect::{Delivery, PacketTable, Program};
use weir_flow::{Flow, FlowId, FlowKey, FlowPhase, FlowTable, Lookup};
use weir_output::{EventSink, FlowEnd};
use weir_packet::{Decoder, Frame, HeldDatagram, Packet, Transport, protocols};
use weir_reassembly::{RawWindow, SessionConfig, State, StreamEvents, StreamSink};

/// What the engine counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EngineCounters {
    /// Frames processed.
    pub frames: u64,
    /// Their captured bytes.
    pub bytes: u64,
    /// Packets decoded.
    pub packets: u64,
    /// Flows begun.
    pub flows: u64,
    /// Packets that got no flow because the table was full (voids a comparison).
    pub flow_table_full: u64,
    /// Times that a stream gave way to others: the memory of all was short (voids a comparison).
    pub stream_memory: u64,
    /// What the parsers' limits have kept from inspection.
    pub parsers: Limits,
    /// Alerts raised.
    pub alerts: u64,
}

impl EngineCounters {
    /// Limits that were reached, by the names of their settings.
    pub fn limits(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let all = [
            ("flow.max", self.flow_table_full),
            ("stream.reassembly.memory", self.stream_memory),
            ("app-layer.transactions", self.parsers.transactions),
            ("app-layer.body-limit", self.parsers.bodies),
        ];
        all.into_iter().filter(|(_, n)| *n > 0)
    }
}

/// A datagram put together from fragments that waits until the host has its flow's earlier frames.
#[derive(Debug, Clone)]
pub struct PendingDatagram {
    /// Key of its flow.
    pub key: FlowKey,
    /// Number of the frame that completed it.
    pub number: u64,
    datagram: HeldDatagram,
    wire_length: u32,
    epoch: u32,
}

/// One worker's engine.
pub struct Engine {
    decoder: Decoder,
    inner: Inner,
}

struct Inner {
    config: EngineConfig,
    flows: FlowTable<FlowData>,
    /// Settings of parsers.
    app_config: Arc<AppLayerConfig>,
    /// Those of earlier epochs: epoch from which they held on. A flow keeps the ones that it began with.
    app_configs: Vec<(u32, Arc<AppLayerConfig>)>,
    /// Epoch of the frame at hand.
    epoch: u32,
    /// Live flows by the epoch of their last packet; none is 0.
    flows_of: Vec<(u32, u64)>,
    inspector: Inspector,
    counters: EngineCounters,
    /// Connections that others announced.
    expectations: Expectations,
    /// Behind a device: datagrams from fragments wait, and flows a device holds are not swept.
    behind_device: bool,
    pending: Vec<PendingDatagram>,
    touched: Vec<FlowId>,
    ended: Vec<FlowId>,
    bedroom: Bedroom,
    /// What the sink asks for; known with the first frame.
    demand: Option<Demand>,
}

impl Engine {
    /// An engine over compiled rules; `None` when memory is exhausted.
    pub fn new(mut config: EngineConfig, program: Arc<Program>) -> Option<Engine> {
        // Settings may be shared; memory is not.
        config.session.memory = config.session.memory.fresh();
        Some(Engine {
            decoder: Decoder::new(config.decoder.clone()),
            inner: Inner {
                flows: FlowTable::new(config.timeouts, config.max_flows),
                app_config: app_config(&config, &program),
                app_configs: Vec::new(),
                epoch: 1,
                flows_of: Vec::new(),
                inspector: Inspector::new(program, config.inline)?,
                config,
                counters: EngineCounters::default(),
                expectations: Expectations::default(),
                behind_device: false,
                pending: Vec::new(),
                touched: Vec::new(),
                ended: Vec::new(),
                bedroom: Bedroom::default(),
                demand: None,
            },
        })
    }

    /// From now on decisions are carried out.
    pub fn set_inline(&mut self) {
        self.inner.config.inline = true;
        self.inner.inspector.set_inline();
    }

    /// From now on frames come from a device.
    pub fn set_behind_device(&mut self) {
        self.inner.behind_device = true;
        self.decoder.hold_datagrams();
    }

    /// Another program judges from the next frame on, which is the first of `epoch`; gives the one before. A flow goes over
    /// with its next packet; rules see nothing of it that began before (reference semantics, section 9).
    pub fn set_program(&mut self, program: Arc<Program>, epoch: u32) -> Arc<Program> {
        let inner = &mut self.inner;
        let mut config = app_config(&inner.config, &program);
        if inner.demand.is_some_and(|demand| demand.frames) {
            config = Arc::new(AppLayerConfig { frames: u128::MAX, ..*config });
        }
        let before = std::mem::replace(&mut inner.app_config, config);
        if inner.app_configs.len() >= EPOCHS_MAX {
            inner.app_configs.remove(0);
        }
        inner.app_configs.push((inner.inspector.epoch, before));
        inner.epoch = epoch;
        inner.inspector.set_program(program, epoch)
    }

    /// Epoch of the program.
    pub fn epoch(&self) -> u32 {
        self.inner.inspector.epoch
    }

    /// Live flows by the epoch of their last packet.
    pub fn flows_by_epoch(&self) -> &[(u32, u64)] {
        &self.inner.flows_of
    }

    /// Numbers of flowbits by name, of those that a rule names.
    pub fn flowbits<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<u32> {
        let bits = &self.inner.inspector.program().names().bits;
        names.into_iter().filter_map(|name| bits.get(name)).collect()
    }

    /// Counters.
    pub fn counters(&self) -> EngineCounters {
        let inspector = &self.inner.inspector;
        EngineCounters { alerts: inspector.alerts(), parsers: inspector.limits(), stream_memory: self.inner.config.session.memory.reached(), ..self.inner.counters }
    }

    /// Counters by the names that Suricata's statistics have.
    pub fn statistics(&self) -> BTreeMap<String, u64> {
        let counters = self.counters();
        let mut all = self.inner.inspector.statistics.named();
        for (name, value) in [
            ("decoder.pkts", counters.frames),
            ("decoder.bytes", counters.bytes),
            ("detect.alert", counters.alerts),
            ("detect.alert_queue_overflow", self.detection().overflowed),
            ("detect.alerts_suppressed", self.detection().suppressed),
        ] {
            all.insert(name.to_owned(), value);
        }
        all.insert("decoder.avg_pkt_size".to_owned(), counters.bytes.checked_div(counters.frames).unwrap_or(0));
        all.entry("flow.total".to_owned()).or_insert(counters.flows);
        if self.inner.config.inline {
            let decisions = self.inner.inspector.decisions();
            for (name, value) in [
                ("ips.accepted", decisions.accepted),
                ("ips.blocked", decisions.blocked),
                ("ips.rejected", decisions.rejected),
                ("ips.drop_reason.rules", 0),
                ("ips.drop_reason.flow_drop", 0),
            ] {
                all.insert(name.to_owned(), value);
            }
            for (reason, count) in &decisions.reasons {
                all.insert(format!("ips.drop_reason.{reason}"), *count);
            }
            if let Some((decisions, discarded)) = self.inner.inspector.firewall_decisions() {
                for (name, value) in [
                    ("accepted", decisions.accepted),
                    ("blocked", decisions.blocked),
                    ("rejected", decisions.rejected),
                    ("discarded_alerts", discarded),
                ] {
                    all.insert(format!("firewall.{name}"), value);
                }
                for reason in
                    ["rules", "default_packet_policy", "default_app_policy", "flow_drop", "pre_flow_hook", "pre_stream_hook"]
                {
                    let count = decisions.reasons.get(reason).copied().unwrap_or(0);
                    all.insert(format!("firewall.drop_reason.{reason}"), count);
                }
            }
        }
        all
    }

    /// From now on, measure what rules cost.
    pub fn profile_rules(&mut self) {
        self.inner.inspector.profile_rules();
    }

    /// What rules cost, if it was to be measured.
    pub fn rule_profile(&self) -> Option<&weir_detect::RuleProfile> {
        self.inner.inspector.rule_profile()
    }

    /// Files of data sets that rules want kept, and their content.
    pub fn saved_datasets(&self) -> Vec<(String, String)> {
        self.inner.inspector.saved_datasets()
    }

    /// What detection counted.
    pub fn detection(&self) -> &weir_detect::Counters {
        self.inner.inspector.counters()
    }

    /// Process one frame. The flows its packets belong to are in [`Engine::touched`] until the next call.
    pub fn frame(&mut self, frame: &Frame<'_>, sink: &mut dyn EventSink) {
        self.frame_of(self.inner.inspector.epoch, frame, sink);
    }

    /// Process a frame of an epoch. One of an earlier epoch that comes from history only now cannot complete a match of
    /// its rules, or the device would have sent it then: it is parsed, and no rule looks at it.
    pub fn frame_of(&mut self, epoch: u32, frame: &Frame<'_>, sink: &mut dyn EventSink) {
        let inner = &mut self.inner;
        inner.enter(epoch);
        if inner.demand.is_none() {
            let demand = Demand::of(sink);
            inner.demand = Some(demand);
            inner.inspector.set_demand(demand);
            if demand.frames {
                inner.app_config = Arc::new(AppLayerConfig { frames: u128::MAX, ..*inner.app_config });
                for (_, config) in &mut inner.app_configs {
                    *config = Arc::new(AppLayerConfig { frames: u128::MAX, ..**config });
                }
            }
        }
        inner.inspector.link = u32::from(frame.link) + 1;
        inner.counters.frames += 1;
        inner.counters.bytes += frame.data.len() as u64;
        inner.touched.clear();
        self.decoder.decode(frame, &mut |packet: &Packet<'_>| inner.packet(packet, frame.wire_length, sink));
        if inner.behind_device {
            for datagram in self.decoder.take_held() {
                let mut key = None;
                self.decoder.peek_held(&datagram, |packet| key = key_of(packet));
                let number = datagram.number();
                match key {
                    Some((key, _)) => {
                        let wire_length = frame.wire_length;
                        inner.pending.push(PendingDatagram { key, number, datagram, wire_length, epoch });
                    }
                    None => self
                        .decoder
                        .decode_held(&datagram, &mut |packet: &Packet<'_>| inner.packet(packet, frame.wire_length, sink)),
                }
            }
        }
        inner.sweep(frame.time.0, SWEEP, sink);
    }

    /// What an inline system does with the frames processed since the last call.
    pub fn take_decision(&mut self) -> Decision {
        self.inner.inspector.take_decision()
    }

    /// Time goes on without a frame: flows whose time-outs have passed end. Changes no result.
    pub fn pass_time(&mut self, now: u64, sink: &mut dyn EventSink) {
        self.inner.sweep(now, SWEEP_IDLE, sink);
    }

    /// Flows that the last frame's packets belong to, outermost first.
    pub fn touched(&self) -> &[FlowId] {
        &self.inner.touched
    }

    /// Datagrams that wait for their flows' earlier frames.
    pub fn take_pending(&mut self) -> Vec<PendingDatagram> {
        std::mem::take(&mut self.inner.pending)
    }

    /// Process a datagram that waited.
    pub fn datagram(&mut self, pending: &PendingDatagram, sink: &mut dyn EventSink) {
        let inner = &mut self.inner;
        inner.enter(pending.epoch);
        inner.touched.clear();
        self.decoder.decode_held(&pending.datagram, &mut |packet: &Packet<'_>| {
            inner.packet(packet, pending.wire_length, sink);
        });
    }

    /// Key of the flow that a frame's outermost packet belongs to, if a device can have an entry for it: tunnels never do.
    pub fn device_key_of_frame(&self, frame: &Frame<'_>) -> Option<FlowKey> {
        let config = self.decoder.config();
        let mut key = None;
        self.decoder.peek_frame(frame, |packet| key = key_of(packet));
        let (key, _) = key?;
        let tunnel = |port| {
            [&config.vxlan_ports, &config.geneve_ports, &config.teredo_ports, &config.gtp_ports]
                .into_iter()
                .any(|ports| ports.contains(&port))
        };
        let never = match key.protocol {
            protocols::IPV4 | protocols::IPV6 | protocols::GRE => true,
            protocols::UDP => tunnel(key.port_a) || tunnel(key.port_b),
            _ => false,
        };
        (!never).then_some(key)
    }

    /// Idle time-outs of flows.
    pub fn timeouts(&self) -> &weir_flow::Timeouts {
        self.inner.flows.timeouts()
    }

    /// The flow, if it lives.
    pub fn flow_mut(&mut self, id: FlowId) -> Option<&mut Flow<FlowData>> {
        self.inner.flows.get_mut(id)
    }

    /// The flow, if it lives, and what inspects it.
    pub fn flow_and_inspector(&mut self, id: FlowId) -> Option<(&mut Flow<FlowData>, &mut weir_detect::Inspector)> {
        let inner = &mut self.inner;
        Some((inner.flows.get_mut(id)?, inner.inspector.detection()))
    }

    /// A flow of which every packet is wanted: one of these flowbits, sorted by number, is set, or an alert has tagged it.
    pub fn wants_all_of(&self, id: FlowId, bits: &[u32]) -> bool {
        let inner = &self.inner;
        let of_bits = |flow: &Flow<FlowData>| flow.data.has_any_bit(inner.inspector.program(), bits);
        inner.flows.get(id).is_some_and(|flow| of_bits(flow) || inner.inspector.is_tagged(flow))
    }

    /// Live flow of a key, whatever its age.
    pub fn find(&self, key: &FlowKey) -> Option<FlowId> {
        match self.inner.flows.lookup(key, 0) {
            Lookup::Existing(id) | Lookup::Expired(id) => Some(id),
            Lookup::Absent => None,
        }
    }

    /// Forget a flow whose device entry is gone.
    pub fn forget(&mut self, id: FlowId, sink: &mut dyn EventSink) {
        let time = self.inner.flows.get(id).map_or(0, |flow| flow.last_time);
        self.inner.end(id, FlowEnd::Timeout, time, sink);
    }

    /// The input is over at `now`: flows still alive end in the order of their last frames.
    pub fn finish(&mut self, now: u64, sink: &mut dyn EventSink) {
        let inner = &mut self.inner;
        inner.enter(inner.inspector.epoch);
        let mut alive: Vec<(u64, FlowId)> = inner
            .flows
            .iter()
            .filter(|(_, flow)| {
                let alive =
                    || !inner.flows.has_ended(flow, now) && !(inner.behind_device && flow.data.is_released());
                flow.data.waiting.is_some() || alive()
            })
            .map(|(id, flow)| (flow.last_frame, id))
            .collect();
        alive.sort_unstable();
        for (_, id) in &alive {
            if let Some(flow) = inner.flows.get_mut(*id) {
                flow.data.wake(&inner.config.session, &mut inner.bedroom);
                let from = flow.data.enter(inner.epoch);
                inner.moved(from, inner.epoch);
            }
            if let Some(flow) = inner.flows.get_mut(*id) {
                if flow.data.waiting.is_some() {
                    inner.inspector.end_of_waiting(flow, &inner.config, &mut inner.expectations, sink);
                } else {
                    inner.inspector.end_of_flow(flow, sink);
                }
            }
        }
        if inner.demand.is_some_and(Demand::of_flows) {
            let mut all: Vec<(u64, FlowId)> = inner.flows.iter().map(|(id, flow)| (flow.last_frame, id)).collect();
            all.sort_unstable();
            for (_, id) in all {
                let over = inner.flows.get(id).is_some_and(|flow| inner.flows.has_ended(flow, now));
                let reason = if over { FlowEnd::Timeout } else { FlowEnd::Shutdown };
                inner.end(id, reason, now, sink);
            }
        }
    }

    /// Live flows.
    pub fn flows(&self) -> usize {
        self.inner.flows.len()
    }
}

/// Flows that are looked at with a frame, and while none comes.
const SWEEP: usize = 4;
const SWEEP_IDLE: usize = 1024;

/// Epochs whose settings of parsers are kept for frames that come from history later.
pub(crate) const EPOCHS_MAX: usize = 4096;

/// Settings of parsers for a program.
fn app_config(config: &EngineConfig, program: &Program) -> Arc<AppLayerConfig> {
    Arc::new(AppLayerConfig {
        file_digests: config.file_digests || program.wants_file_digests(),
        frames: program.wanted_frames(),
        ..config.app_layer
    })
}

impl Inner {
    /// The next packets are of this epoch.
    fn enter(&mut self, epoch: u32) {
        self.epoch = epoch;
        self.inspector.silent = epoch != self.inspector.epoch;
    }

    /// A flow has left an epoch, or come to one; 0 is none.
    fn moved(&mut self, from: u32, to: u32) {
        if from == to {
            return;
        }
        if from != 0
            && let Some(at) = self.flows_of.iter().rposition(|(epoch, _)| *epoch == from)
            && let Some((_, flows)) = self.flows_of.get_mut(at)
        {
            *flows = flows.saturating_sub(1);
            if *flows == 0 {
                self.flows_of.remove(at);
            }
        }
        if to != 0 {
            match self.flows_of.iter().rposition(|(epoch, _)| *epoch == to).and_then(|at| self.flows_of.get_mut(at)) {
                Some((_, flows)) => *flows += 1,
                None => self.flows_of.push((to, 1)),
            }
        }
    }

    /// Settings of parsers of the epoch at hand.
    fn parsers(&self) -> &Arc<AppLayerConfig> {
        let earlier = || self.app_configs.iter().rev().find(|(from, _)| *from <= self.epoch);
        let found = if self.inspector.silent { earlier() } else { None };
        found.map_or(&self.app_config, |(_, config)| config)
    }

    fn packet(&mut self, packet: &Packet<'_>, length: u32, sink: &mut dyn EventSink) {
        self.counters.packets += 1;
        self.inspector.statistics.packet(packet);
        let Some((key, source_is_a)) = key_of(packet) else {
            self.inspector.lone_packet(packet, sink);
            self.inspector.fragment(packet);
            return;
        };
        let now = packet.time.0;
        if !self.inspector.before_flow(packet, sink) {
            return;
        }
        let found = self.flows.lookup(&key, now);
        if let Lookup::Existing(id) = found {
            if let Some(flow) = self.flows.get_mut(id) {
                flow.data.wake(&self.config.session, &mut self.bedroom);
            }
        }
        let id = match found {
            Lookup::Existing(id) if !self.restarts(id, packet, source_is_a) => id,
            Lookup::Existing(id) | Lookup::Expired(id) => {
                let reason = if matches!(found, Lookup::Expired(_)) { FlowEnd::Timeout } else { FlowEnd::Reuse };
                self.end(id, reason, now, sink);
                match self.begin(key, source_is_a, packet) {
                    Some(id) => id,
                    None => return self.without_flow(packet, sink),
                }
            }
            Lookup::Absent => match self.begin(key, source_is_a, packet) {
                Some(id) => id,
                None => return self.without_flow(packet, sink),
            },
        };
        self.touched.push(id);
        let Some(flow) = self.flows.get_mut(id) else { return };
        let from = flow.data.enter(self.epoch);
        self.moved(from, self.epoch);
        let Some(flow) = self.flows.get_mut(id) else { return };
        let direction = usize::from(flow.initiator_is_a != source_is_a);
        flow.data.device.direction = direction as u8;
        flow.last_frame = packet.number;
        flow.last_time = flow.last_time.max(now);
        flow.packets[direction] += 1;
        // A packet within a tunnel counts for itself.
        let own = if packet.tunnel_depth == 0 { u64::from(length) } else { packet.data.len() as u64 };
        flow.bytes[direction] += own;
        if let Some(log) = &mut flow.data.log {
            log.packet(packet, direction);
        }
        if flow.data.dropped {
            self.inspector.dropped_before(packet, flow, direction, sink);
            return;
        }
        if flow.data.bypassed {
            self.inspector.not_inspected();
            return;
        }
        if !self.inspector.before_stream(packet, flow, direction, sink) {
            return;
        }
        if begins_midstream(flow, packet) && !self.inspector.midstream(packet, flow, direction, &self.config, sink) {
            return;
        }
        match packet.transport {
            Transport::Tcp(_) => {
                tcp(flow, packet, direction, &self.config, &mut self.expectations, &mut self.inspector, sink);
            }
            _ => {
                if flow.packets[0] > 0 && flow.packets[1] > 0 {
                    flow.phase = FlowPhase::Established;
                }
                datagram(flow, packet, direction, &self.config, &mut self.inspector, sink);
            }
        }
        if flow.packets == [1, 0] || flow.packets == [0, 1] {
            self.bedroom.first_packet(&mut self.flows, id, packet, direction);
        }
    }

    fn without_flow(&mut self, packet: &Packet<'_>, sink: &mut dyn EventSink) {
        self.counters.flow_table_full += 1;
        self.inspector.lone_packet(packet, sink);
    }

    fn restarts(&self, id: FlowId, packet: &Packet<'_>, source_is_a: bool) -> bool {
        let (Some(flow), Some(tcp)) = (self.flows.get(id), packet.tcp()) else { return false };
        let direction = usize::from(flow.initiator_is_a != source_is_a);
        !packet.checksum_bad
            && flow.data.session.as_ref().is_some_and(|session| session.wants_restart(direction, tcp))
    }

    fn begin(&mut self, key: FlowKey, source_is_a: bool, packet: &Packet<'_>) -> Option<FlowId> {
        // An answer to a SYN comes from the responder (reference semantics 2.3).
        let answer = packet.tcp().is_some_and(|tcp| {
            use weir_packet::tcp_flags::{ACK, SYN};
            tcp.flags & (SYN | ACK) == SYN | ACK
        });
        let initiator_is_a = source_is_a != answer;
        let (client, server) = if initiator_is_a { (key.port_a, key.port_b) } else { (key.port_b, key.port_a) };
        let mut detect = self.bedroom.detect();
        detect.begin(self.epoch);
        let data = FlowData {
            session: (key.protocol == 6).then(|| self.bedroom.session()),
            app: AppLayerFlow::new(self.parsers(), key.protocol, client, server),
            detect: Some(detect),
            resting: None,
            waiting: (key.protocol == 6 && self.config.session.waits()).then(Box::default),
            windows: Default::default(),
            encrypted: false,
            device: DeviceLink::default(),
            log: self.demand.is_some_and(Demand::of_flows).then(Box::<FlowLog>::default),
            dropped: false,
            passed: false,
            bypassed: false,
            midstream: None,
            drop_logged: 0,
        };
        let id = self.flows.insert(key, initiator_is_a, packet.number, packet.time.0, data);
        self.counters.flows += u64::from(id.is_some());
        if id.is_some() {
            self.moved(0, self.epoch);
        }
        id
    }

    /// Reclaim ended flows, a few slots per frame. Changes no result: their time-outs have passed already.
    fn sweep(&mut self, now: u64, slots: usize, sink: &mut dyn EventSink) {
        let behind = self.behind_device;
        self.ended.clear();
        self.flows.sweep(now, slots, |flow| !behind || flow.data.device.entry.is_none(), &mut self.ended);
        for id in std::mem::take(&mut self.ended) {
            self.end(id, FlowEnd::Timeout, now, sink);
        }
    }

    /// A flow is over: what is left of it is written.
    fn end(&mut self, id: FlowId, reason: FlowEnd, now: u64, sink: &mut dyn EventSink) {
        let now_epoch = self.inspector.epoch;
        if let Some(flow) = self.flows.get_mut(id).filter(|flow| flow.data.waiting.is_some()) {
            flow.data.wake(&self.config.session, &mut self.bedroom);
            let from = flow.data.enter(now_epoch);
            self.moved(from, now_epoch);
        }
        if let Some(flow) = self.flows.get_mut(id) {
            if flow.data.waiting.is_some() {
                self.inspector.end_of_waiting(flow, &self.config, &mut self.expectations, sink);
            }
            self.inspector.end_tag(flow);
        }
        if self.demand.is_some_and(Demand::of_flows) {
            if let Some(flow) = self.flows.get_mut(id) {
                flow.data.wake(&self.config.session, &mut self.bedroom);
                self.inspector.log_rest(flow, sink);
                self.inspector.count_flow(flow, reason == FlowEnd::Reuse);
                let told = flow.data.log.as_deref().is_none_or(|log| !log.silent);
                if told && self.demand.is_some_and(|demand| demand.flows) {
                    let metadata = self.inspector.metadata(flow);
                    log::flow(flow, (reason, now), self.config.inline, &metadata, sink);
                }
            }
        }
        if let Some(flow) = self.flows.get(id) {
            self.moved(flow.data.epoch(), 0);
        }
        self.flows.remove(id);
    }
}

/// A segment that would begin a session, and is no SYN: the beginning was not seen.
fn begins_midstream(flow: &Flow<FlowData>, packet: &Packet<'_>) -> bool {
    use weir_packet::tcp_flags::{ACK, RST, SYN};
    let Some(tcp) = packet.tcp() else { return false };
    !packet.checksum_bad
        && tcp.flags & RST == 0
        && tcp.flags & (SYN | ACK) != SYN
        && flow.data.session.as_ref().is_some_and(|session| session.state() == State::None)
}

/// The next header of an IPv6 fragment.
const FRAGMENT_HEADER: u8 = 44;

/// Key of a packet's flow; none for frames without IP and for fragments.
fn key_of(packet: &Packet<'_>) -> Option<(FlowKey, bool)> {
    let ip = packet.ip.as_ref()?;
    // A fragment header that cannot be read is still that of a fragment (RFC 8200 section 4.5).
    if ip.is_fragment || ip.protocol == FRAGMENT_HEADER {
        return None;
    }
    let (source_port, destination_port) = match packet.transport {
        Transport::Icmpv4(icmp) | Transport::Icmpv6(icmp) => {
            // Echo and its answer are one flow, by identifier; everything else goes by addresses.
            let id = icmp.id.unwrap_or(0);
            (id, id)
        }
        _ => (packet.source_port, packet.destination_port),
    };
    Some(FlowKey::new(
        (ip.source, source_port),
        (ip.destination, destination_port),
        ip.protocol,
        packet.tunnel_depth,
        [packet.vlan[0], packet.vlan[1]],
    ))
}

/// Takes what a session delivers to parser and raw inspection.
pub(crate) struct Deliver<'a, 'p> {
    pub app: &'a mut AppLayerFlow,
    pub windows: &'a mut [RawWindow; 2],
    pub inspector: &'a mut Inspector,
    pub detect: &'a mut weir_detect::FlowDetect,
    pub context: &'a weir_detect::Context<'p>,
    pub keep: usize,
    pub expectations: &'a mut Expectations,
    pub ends: Pair,
    pub name: FlowName,
    pub inspect: bool,
    pub inspect_encrypted: bool,
    pub gaps: [bool; 2],
    /// Takes what rules of the stream will see later.
    pub waiting: Option<&'a mut Waiting>,
}

impl Deliver<'_, '_> {
    /// The first bytes of a flow tell whether it was announced.
    fn look_up(&mut self, direction: usize) {
        let packet = self.context.packet;
        let port = if direction == 0 { packet.destination_port } else { packet.source_port };
        if let Some(expected) = self.expectations.find(self.ends, port, packet.number, packet.time.0) {
            self.app.expect(expected);
        }
    }
}

impl StreamSink for Deliver<'_, '_> {
    fn data(&mut self, direction: usize, offset: u64, bytes: &[u8]) {
        let packet = self.context.packet;
        if self.app.is_fresh() {
            self.look_up(self.context.flow.map_or(direction, |flow| flow.direction as usize));
        }
        self.app.feed(side(direction), Input::Data(bytes), packet.number);
        for expected in self.app.take_expected() {
            let expected = Expected { announced_by: self.name.id(), ..expected };
            self.expectations.announce(self.ends, packet.number, packet.time.0, expected);
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.refresh(direction);
        }
        // The first bytes of an encrypted session are encrypted themselves.
        if self.inspect && (self.inspect_encrypted || !self.app.encrypted()) {
            if let Some(waiting) = &mut self.waiting {
                return waiting.push(direction, offset, bytes);
            }
            let (window, offset, new_from) = self.windows[direction].push(self.keep, offset, bytes);
            let delivery = Delivery { direction: side(direction), window, offset, new_from };
            // These bytes may have told the protocol.
            let mut context = *self.context;
            if let Some(facts) = &mut context.flow {
                say_protocol(facts, self.app);
            }
            self.inspector.stream(self.detect, &context, &delivery);
        }
    }

    fn gap(&mut self, direction: usize, _offset: u64, length: u64) {
        self.gaps[direction & 1] = true;
        if let Some(waiting) = &mut self.waiting {
            waiting.refresh(direction);
        }
        // What is missing at the end of a flow nobody has acknowledged.
        if !self.inspector.pseudo {
            self.inspector.statistics.add(REASSEMBLY_GAP, 1);
        }
        self.app.feed(side(direction), Input::Gap(length), self.context.packet.number);
    }

    fn end(&mut self, direction: usize) {
        if let Some(waiting) = &mut self.waiting {
            waiting.refresh(direction);
        }
        self.app.feed(side(direction), Input::End, self.context.packet.number);
    }

    fn recent(&self, direction: usize) -> (&[u8], u64) {
        let waits = self.waiting.as_ref().and_then(|waiting| waiting.last(direction));
        waits.unwrap_or_else(|| self.windows[direction].kept())
    }
}

/// Events that the flow's parser has raised with this packet; none where it began before the rules came.
fn raised_by(flow: &mut Flow<FlowData>, detect: &weir_detect::FlowDetect) -> Vec<&'static str> {
    // (They count as told in any case.)
    let new = flow.data.app.new_events();
    if detect.protocol_is_old() { Vec::new() } else { new.collect() }
}

/// Epoch of a flow's last packet.
pub(crate) fn epoch_of(flow: &Flow<FlowData>) -> u32 {
    flow.data.epoch()
}

/// The two hosts of a flow.
pub(crate) fn pair_of(key: &FlowKey) -> Pair {
    Pair::new(key.address_a, key.address_b, key.vlan, key.depth)
}

fn tcp(
    flow: &mut Flow<FlowData>,
    packet: &Packet<'_>,
    direction: usize,
    config: &EngineConfig,
    expectations: &mut Expectations,
    inspector: &mut Inspector,
    sink: &mut dyn EventSink,
) {
    let Some(header) = packet.tcp() else { return };
    let (ends, name) = (pair_of(&flow.key).in_epoch(epoch_of(flow)), FlowName::of(flow));
    let inspect = !flow.data.encrypted || config.inspect_encrypted;
    if flow.data.waiting.is_some() {
        inspector.settle_transactions(packet, flow, direction, inspect, sink);
    }
    let Some(mut session) = flow.data.session.take() else { return };
    let mut detect = flow.data.detect.take().unwrap_or_default();
    // Stream bytes are delivered only once the session is established (or by the packet that establishes it).
    let context = inspector.context(packet, flow, Some(&session), direction, true, StreamEvents::default(), inspect);
    let FlowData { app, windows, waiting, .. } = &mut flow.data;
    let mut deliver = Deliver {
        app,
        windows,
        inspector,
        detect: &mut detect,
        context: &context,
        keep: config.raw_window,
        expectations,
        ends,
        name,
        inspect,
        inspect_encrypted: config.inspect_encrypted,
        gaps: [false; 2],
        waiting: waiting.as_deref_mut(),
    };
    let of_host;
    let session_config = match &packet.ip {
        Some(ip) if !config.overlap.is_uniform() => {
            of_host = SessionConfig { policy: config.overlap.of(ip.destination), ..config.session.clone() };
            &of_host
        }
        _ => &config.session,
    };
    let result =
        session.packet(session_config, direction, header, packet.payload, packet.checksum_bad, &mut deliver);
    let gaps = deliver.gaps;
    if let Some(waiting) = waiting {
        let windows = (&mut **waiting, windows, config.raw_window);
        inspector.waiting_stream((&context, direction), windows, (&session, app), &mut detect);
    }
    if let Some(log) = &mut flow.data.log {
        (0..2).for_each(|d| log.gap[d] |= gaps[d]);
    }
    flow.phase = match session.state() {
        State::Closed => FlowPhase::Closed,
        State::Established | State::Closing => FlowPhase::Established,
        _ => FlowPhase::New,
    };
    let payload = inspect && !packet.checksum_bad;
    let raised = raised_by(flow, &detect);
    let mut context =
        inspector.context(packet, flow, Some(&session), direction, result.was_established, result.events, payload);
    context.packet_events = &raised;
    context.in_stream = result.in_stream;
    let FlowData { app, windows, encrypted, waiting, .. } = &mut flow.data;
    if inspector.firewall_packet(PacketTable::Filter, &context, Some(&mut detect)) {
        inspector.packet(&mut detect, &context);
        if let Some(facts) = &mut context.flow {
            facts.established = result.established;
        }
        if inspector.firewall_transactions(&mut detect, &context, app) {
            match waiting {
                Some(waiting) => inspector.waiting_transactions(&context, app, waiting, windows, &mut detect),
                None => inspector.transactions(&mut detect, &context, app, windows),
            }
        }
    }
    *encrypted |= app.encrypted() && !config.inspect_encrypted;
    flow.data.detect = Some(detect);
    flow.data.session = Some(session);
    inspector.end_packet(&context, flow, sink);
    // What the parser went on with counts as well.
    for expected in flow.data.app.take_expected() {
        let expected = Expected { announced_by: name.id(), ..expected };
        expectations.announce(ends, packet.number, packet.time.0, expected);
    }
    flow.data.encrypted |= flow.data.app.encrypted() && !config.inspect_encrypted;
    if flow.data.encrypted {
        flow.data.windows.iter_mut().for_each(RawWindow::release);
    }
}

fn datagram(
    flow: &mut Flow<FlowData>,
    packet: &Packet<'_>,
    direction: usize,
    config: &EngineConfig,
    inspector: &mut Inspector,
    sink: &mut dyn EventSink,
) {
    let established = flow.phase == FlowPhase::Established;
    let mut detect = flow.data.detect.take().unwrap_or_default();
    if matches!(packet.transport, Transport::Udp(_)) && !packet.payload.is_empty() && !packet.checksum_bad {
        flow.data.app.feed(side(direction), Input::Data(packet.payload), packet.number);
    }
    let payload = (!flow.data.encrypted || config.inspect_encrypted) && !packet.checksum_bad;
    let raised = raised_by(flow, &detect);
    let mut context = inspector.context(packet, flow, None, direction, established, StreamEvents::default(), payload);
    context.packet_events = &raised;
    let FlowData { app, windows, encrypted, .. } = &mut flow.data;
    if inspector.firewall_packet(PacketTable::Filter, &context, Some(&mut detect)) {
        inspector.packet(&mut detect, &context);
        if inspector.firewall_transactions(&mut detect, &context, app) {
            inspector.transactions(&mut detect, &context, app, windows);
        }
    }
    *encrypted |= app.encrypted() && !config.inspect_encrypted;
    flow.data.detect = Some(detect);
    inspector.end_packet(&context, flow, sink);
}
