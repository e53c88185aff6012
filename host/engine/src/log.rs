//! Records besides alerts: transactions, files, anomalies, flows.
//!
//! Place: after detection of a packet, before its transactions are released. Invariants: a transaction, a file and an
//! event of a transaction are written once; nothing here changes what is detected.

use crate::flow_data::FlowData;
use crate::inspect::{flow_ends, flow_facts};
use std::collections::BTreeMap;
use weir_app_layer::{AppLayerFlow, Direction, LogSettings, ProtocolState, eve_name};
use weir_contract::protocol::{AppProtocol, Detection};
use weir_flow::{Flow, FlowPhase};
use weir_output::{
    AnomalyLayer, AnomalyRecord, AppLayerFacts, EventSink, FileRecord, FrameRecord, FlowEnd, FlowRecord, FlowState, PacketFacts,
    RecordSource, Storing, TcpFlowFacts, TransactionRecord,
};
use weir_output::json::Object;
use weir_packet::{Packet, Transport};
use weir_reassembly::{Session, State, StreamEvents};

/// What the sinks of a run ask for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Demand {
    /// Records of transactions or files.
    pub transactions: bool,
    /// Anomalies.
    pub anomalies: bool,
    /// Flow records.
    pub flows: bool,
    /// Tagged packets.
    pub tagged: bool,
    /// Frames.
    pub frames: bool,
}

impl Demand {
    /// Of a sink.
    pub fn of(sink: &dyn EventSink) -> Demand {
        Demand {
            transactions: sink.wants_log(),
            anomalies: sink.wants_anomalies(),
            flows: sink.wants_flows(),
            tagged: sink.wants_tagged(),
            frames: sink.wants_frames(),
        }
    }

    /// Something has to be kept of each flow.
    pub fn of_flows(self) -> bool {
        self.transactions || self.anomalies || self.flows || self.frames
    }
}

/// Most Ethernet addresses of an end that a flow record shows.
const ADDRESSES_MAX: usize = 10;

/// Most pairs that wait for their other transaction.
const PAIRS_MAX: usize = 64;

/// What logs keep of a flow.
#[derive(Debug, Default)]
pub struct FlowLog {
    /// Transactions below this number have been written.
    below: u64,
    /// Those above it that have, too; sorted.
    written: Vec<u64>,
    /// Pairs of which a transaction gets no record by a rule's will: the other gets none either.
    quiet: Vec<u64>,
    /// Files that have been written: transaction, direction, place; of transactions that still live.
    files: Vec<(u64, u8, usize)>,
    /// Events of transactions that have been reported: transaction, how many.
    events: Vec<(u64, usize)>,
    /// Transactions seen.
    pub transactions: u64,
    /// Transactions of the protocol before it changed.
    pub earlier: u64,
    /// Union of TCP flags by direction.
    pub flags: [u8; 2],
    /// Least and greatest time to live by direction.
    pub ttl: [Option<(u8, u8)>; 2],
    /// Ethernet addresses of both ends, as they were seen first.
    pub ethernet: [Vec<[u8; 6]>; 2],
    /// Transactions whose files a rule asks to be stored.
    pub store: Vec<u64>,
    /// Its transactions, and the flow itself, are not told.
    pub silent: bool,
    /// An alert was raised.
    pub alerted: bool,
    /// Type and code of the first ICMP packet of each direction.
    pub icmp: [Option<(u8, u8)>; 2],
    /// Bytes were lost in the direction.
    pub gap: [bool; 2],
}

impl FlowLog {
    /// A packet of the flow.
    pub fn packet(&mut self, packet: &Packet<'_>, direction: usize) {
        match packet.transport {
            Transport::Tcp(tcp) => self.flags[direction & 1] |= tcp.flags,
            Transport::Icmpv4(icmp) | Transport::Icmpv6(icmp) => {
                self.icmp[direction & 1].get_or_insert((icmp.kind, icmp.code));
            }
            _ => {}
        }
        if let Some((source, destination)) = packet.ethernet {
            let ends = if direction == 0 { [source, destination] } else { [destination, source] };
            for (known, address) in self.ethernet.iter_mut().zip(ends) {
                if known.len() < ADDRESSES_MAX && !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        if let Some(ip) = &packet.ip {
            let (least, most) = self.ttl[direction & 1].get_or_insert((ip.ttl, ip.ttl));
            *least = (*least).min(ip.ttl);
            *most = (*most).max(ip.ttl);
        }
    }

    /// Another parser numbers its transactions anew.
    pub fn protocol_changed(&mut self) {
        self.earlier += std::mem::take(&mut self.transactions);
        self.below = 0;
        self.written.clear();
        self.quiet.clear();
        self.files.clear();
        self.events.clear();
        self.store.clear();
    }

    fn is_written(&self, id: u64) -> bool {
        id < self.below || self.written.binary_search(&id).is_ok()
    }

    /// The transaction has its record, or gets none.
    pub fn write(&mut self, id: u64) {
        if let Err(at) = self.written.binary_search(&id) {
            self.written.insert(at, id);
        }
        while self.written.first() == Some(&self.below) {
            self.written.remove(0);
            self.below += 1;
        }
    }

    /// A rule does not want the transaction's record, nor that of its answer.
    pub fn silence(&mut self, id: u64, pair: Option<u64>) {
        self.write(id);
        if let Some(pair) = pair.filter(|_| self.quiet.len() < PAIRS_MAX) {
            self.quiet.push(pair);
        }
    }

    fn is_quiet(&mut self, pair: Option<u64>) -> bool {
        let at = self.quiet.iter().position(|known| Some(*known) == pair);
        at.map(|at| self.quiet.swap_remove(at)).is_some()
    }

    /// Forget what belongs to transactions that are gone.
    fn trim(&mut self, oldest: u64) {
        self.files.retain(|f| f.0 >= oldest);
        self.events.retain(|e| e.0 >= oldest);
        self.store.retain(|id| *id >= oldest);
        self.written.retain(|id| *id >= oldest);
        self.below = self.below.max(oldest);
    }
}

/// Writes what a packet completed. `over`: the flow ends, nothing more will come.
pub fn transactions(
    flow: &mut Flow<FlowData>,
    packet: &PacketFacts<'_>,
    over: bool,
    (json, stored, metadata): (&mut Vec<u8>, &mut u64, &[u8]),
    sink: &mut dyn EventSink,
) {
    let ends = flow_ends(flow);
    let facts = flow_facts(flow);
    let Some(mut log) = flow.data.log.take() else { return };
    // A file is told when rules have looked at its direction: they may ask for it to be stored.
    let waits = [0, 1].map(|d| !over && flow.data.waiting.as_ref().is_some_and(|waiting| waiting.is_fresh(d)));
    if let Some(state) = flow.data.app.state() {
        let mut writer = Writer { state, ends, facts, packet, log: &mut log, json, stored, metadata, sink };
        let live = state.transactions();
        for (index, transaction) in live.iter().enumerate() {
            writer.log.transactions = writer.log.transactions.max(transaction.id + 1);
            writer.events(index, transaction.id);
            writer.files(index, transaction.id, over, waits);
            if !writer.log.silent && !writer.log.is_written(transaction.id) && (over || state.is_loggable(index)) {
                writer.log.write(transaction.id);
                if writer.log.is_quiet(state.pair(index)) {
                    continue;
                }
                writer.transaction(index, transaction.id);
            }
        }
        if let Some(oldest) = live.first() {
            log.trim(oldest.id);
        }
    }
    flow.data.log = Some(log);
}

/// Frames of a flow that are over.
pub fn frames(flow: &mut Flow<FlowData>, packet: &PacketFacts<'_>, json: &mut Vec<u8>, sink: &mut dyn EventSink) {
    let (ends, facts) = (flow_ends(flow), flow_facts(flow));
    let protocol = protocol_name(&flow.data.app);
    let Some(frames) = flow.data.app.frames_mut() else { return };
    loop {
        json.clear();
        let Some(direction) = frames.tell(json) else { return };
        let ends = if direction == Direction::ToServer { ends } else { ends.exchanged() };
        let packet = PacketFacts { ends: Some(ends), ..*packet };
        sink.frame(&FrameRecord { packet, flow: facts, protocol, object: json });
    }
}

/// Types of records that have the ends of the packet that completed the transaction.
const BY_PACKET: [&str; 10] =
    ["dhcp", "krb5", "ntp", "sip", "snmp", "quic", "bittorrent_dht", "rdp", "rfb", "websocket"];

/// A transaction as the source of its records.
struct Source<'a> {
    state: &'a dyn ProtocolState,
    index: usize,
}

impl RecordSource for Source<'_> {
    fn parts(&self, settings: &BTreeMap<String, String>) -> usize {
        self.state.log_parts(self.index, &LogSettings(settings.clone()))
    }
    fn write(&self, part: usize, settings: &BTreeMap<String, String>, out: &mut Vec<u8>) -> bool {
        self.state.log_as(self.index, part, &LogSettings(settings.clone()), out)
    }
}

struct Writer<'a> {
    state: &'a dyn ProtocolState,
    ends: weir_output::Endpoints,
    facts: weir_output::FlowFacts,
    packet: &'a PacketFacts<'a>,
    log: &'a mut FlowLog,
    json: &'a mut Vec<u8>,
    /// Files stored so far.
    stored: &'a mut u64,
    metadata: &'a [u8],
    sink: &'a mut dyn EventSink,
}

impl<'a> Writer<'a> {
    fn packet_of(&self, direction: Direction) -> PacketFacts<'a> {
        let ends = if direction == Direction::ToServer { self.ends } else { self.ends.exchanged() };
        let mut facts = PacketFacts { ends: Some(ends), ..*self.packet };
        // The end of a flow has the addresses of its ends, and no way of its own.
        if facts.pseudo && self.packet.ends != facts.ends {
            facts.ethernet = facts.ethernet.map(|(source, destination)| (destination, source));
        }
        facts
    }

    fn transaction(&mut self, index: usize, id: u64) {
        let Some(kind) = self.state.log_kind(index) else { return };
        if !self.sink.wants_transactions(kind) {
            return;
        }
        let source = Source { state: self.state, index };
        // Messages that stand for themselves are told as their packets went.
        let packet = match self.state.log_direction(index) {
            None if BY_PACKET.contains(&kind) => *self.packet,
            direction => self.packet_of(direction.unwrap_or(Direction::ToServer)),
        };
        let record = TransactionRecord {
            kind,
            packet,
            flow: self.facts,
            app: AppLayerFacts {
                protocol: Some(eve_name(self.state.protocol())),
                // Streams of HTTP/2 have numbers of their own.
                transaction: (!matches!(self.state.protocol(), AppProtocol::Http2 | AppProtocol::Doh2)).then_some(id),
                objects: &[],
            },
            metadata: self.metadata,
            source: &source,
        };
        self.sink.transaction(&record);
    }

    fn files(&mut self, index: usize, id: u64, over: bool, waits: [bool; 2]) {
        if !self.sink.wants_files() {
            return;
        }
        let state = self.state;
        for direction in [Direction::ToServer, Direction::ToClient].into_iter().filter(|d| !waits[*d as usize]) {
            for (place, file) in state.files(index, direction).into_iter().enumerate() {
                let key = (id, direction as u8, place);
                if !(file.closed || file.truncated || over) || self.log.files.contains(&key) {
                    continue;
                }
                self.log.files.push(key);
                let wanted = match self.sink.storing() {
                    Storing::Nothing => false,
                    Storing::Asked => self.log.store.contains(&id),
                    Storing::All => true,
                };
                // What is not kept whole cannot be stored.
                let whole = file.content.len() as u64 == file.size && file.digests[2].is_some();
                let stored = (wanted && whole).then(|| {
                    *self.stored += 1;
                    *self.stored
                });
                self.json.clear();
                state.log(index, self.json);
                let record = FileRecord {
                    packet: self.packet_of(direction),
                    flow: self.facts,
                    app: AppLayerFacts {
                        protocol: Some(eve_name(state.protocol())),
                        transaction: Some(id),
                        objects: self.json,
                    },
                    name: &file.name,
                    size: file.size,
                    state: if file.closed { "CLOSED" } else { "TRUNCATED" },
                    gaps: file.gaps,
                    stored,
                    content: file.content,
                    range: file.range,
                    magic: Some(weir_app_layer::describe(file.content)),
                    digests: file.digests,
                    signatures: &[],
                };
                self.sink.file(&record);
            }
        }
    }

    fn events(&mut self, index: usize, id: u64) {
        if !self.sink.wants_anomalies() {
            return;
        }
        let Some(transaction) = self.state.transactions().get(index) else { return };
        let place = match self.log.events.iter().position(|e| e.0 == id) {
            Some(place) => place,
            None if transaction.events.is_empty() => return,
            None => {
                self.log.events.push((id, 0));
                self.log.events.len() - 1
            }
        };
        let Some(entry) = self.log.events.get_mut(place) else { return };
        let new = transaction.events.get(entry.1..).unwrap_or_default();
        entry.1 = transaction.events.len();
        for event in new {
            let capitals = spelled_in_capitals(self.state.protocol())
                .then(|| long_name(self.state.event_name(*event)).to_ascii_uppercase());
            self.sink.anomaly(&AnomalyRecord {
                packet: *self.packet,
                flow: Some(self.facts),
                app: AppLayerFacts {
                    protocol: Some(eve_name(self.state.protocol())),
                    transaction: Some(id),
                    objects: &[],
                },
                layer: AnomalyLayer::AppLayer,
                event: capitals.as_deref().unwrap_or_else(|| self.state.event_name(*event)),
            });
        }
    }
}

/// Protocols whose events anomaly records spell in capitals: those whose parsers are the oldest in Suricata.
fn spelled_in_capitals(protocol: AppProtocol) -> bool {
    matches!(
        protocol,
        AppProtocol::Http1 | AppProtocol::Tls | AppProtocol::Smtp | AppProtocol::FtpData | AppProtocol::Dnp3
    )
}

/// Events that anomaly records name otherwise than rules.
fn long_name(event: &'static str) -> &'static str {
    match event {
        "response_invalid_protocol" => "response_line_invalid_protocol",
        "response_invalid_status" => "response_line_invalid_response_status",
        event => event,
    }
}

/// Anomalies of the packet itself: decoder, stream, and the layer that tells protocols apart.
pub fn anomalies(
    (packet, facts): (&Packet<'_>, PacketFacts<'_>),
    flow: Option<&Flow<FlowData>>,
    stream: StreamEvents,
    raised: &[&'static str],
    sink: &mut dyn EventSink,
) {
    if packet.events.is_empty() && stream.is_empty() && raised.is_empty() {
        return;
    }
    let protocol = flow.and_then(|f| f.data.app.protocol()).map(eve_name);
    let mut say = |layer, event: &str| {
        sink.anomaly(&AnomalyRecord {
            packet: facts,
            flow: flow.map(flow_facts),
            app: AppLayerFacts { protocol, ..AppLayerFacts::default() },
            layer,
            event,
        });
    };
    packet.events.iter().for_each(|event| say(AnomalyLayer::Decode, &format!("decoder.{}", event.name())));
    stream.iter().for_each(|event| say(AnomalyLayer::Stream, &format!("stream.{}", event.name())));
    raised.iter().for_each(|event| say(AnomalyLayer::AppLayer, &event.to_ascii_uppercase()));
}

/// EtherType of ARP.
const ARP: u16 = 0x0806;

/// The record of an ARP packet for IPv4 over Ethernet (RFC 826).
pub fn arp(packet: &Packet<'_>, facts: &PacketFacts<'_>, json: &mut Vec<u8>, sink: &mut dyn EventSink) {
    if packet.ether_type != ARP || !packet.events.is_empty() || !sink.wants_transactions("arp") {
        return;
    }
    let Some((header, ends)) = packet.payload.split_first_chunk::<8>() else { return };
    let Some(ends) = ends.first_chunk::<20>() else { return };
    let opcode = match u16::from_be_bytes([header[6], header[7]]) {
        1 => "request",
        2 => "reply",
        3 => "request_reverse",
        4 => "reply_reverse",
        8 => "inverse_request",
        9 => "inverse_reply",
        _ => return,
    };
    json.clear();
    json.extend_from_slice(b"\"arp\":");
    let mut arp = Object::new(json);
    arp.text("hw_type", "ethernet");
    arp.text("proto_type", "ipv4");
    arp.text("opcode", opcode);
    for (hardware, address, at) in [("src_mac", "src_ip", 0), ("dest_mac", "dest_ip", 10)] {
        let Some(end) = ends.get(at..).and_then(|end| end.first_chunk::<10>()) else { return };
        let [a, b, c, d, e, f, w, x, y, z] = *end;
        arp.text(hardware, &[a, b, c, d, e, f].map(|byte| format!("{byte:02x}")).join(":"));
        arp.text(address, &std::net::Ipv4Addr::new(w, x, y, z).to_string());
    }
    drop(arp);
    sink.link_packet("arp", facts, json);
}

/// Protocols whose flows have records: TCP, UDP, SCTP, ICMP, ICMPv6, ESP. Those of others are tunnels, whose inner
/// packets have flows of their own, or have no ends that answer each other.
pub(crate) const RECORDED: [u8; 6] = [6, 17, 132, 1, 58, 50];

/// The session, if it is followed.
fn session_of(flow: &Flow<FlowData>) -> Option<&Session> {
    flow.data.session.as_deref().filter(|s| s.state() != State::None)
}

/// How far the flow has come.
pub(crate) fn flow_state(flow: &Flow<FlowData>) -> FlowState {
    match flow.phase {
        _ if flow.data.bypassed => FlowState::Bypassed,
        FlowPhase::New => FlowState::New,
        // Both sides have said that they are done.
        FlowPhase::Established
            if session_of(flow).is_some_and(|s| matches!(s.state_name(), "last_ack" | "time_wait")) => FlowState::Closed,
        FlowPhase::Established => FlowState::Established,
        FlowPhase::Closed => FlowState::Closed,
    }
}

/// Writes the record of a flow that is over.
pub fn flow(
    flow: &Flow<FlowData>,
    (reason, time): (FlowEnd, u64),
    inline: bool,
    metadata: &[u8],
    sink: &mut dyn EventSink,
) {
    let Some(log) = flow.data.log.as_ref().filter(|_| RECORDED.contains(&flow.key.protocol)) else { return };
    let app = &flow.data.app;
    let session = session_of(flow);
    let state = flow_state(flow);
    let tcp = (flow.key.protocol == 6).then(|| TcpFlowFacts {
        flags: if session.is_some() { log.flags } else { [0; 2] },
        state: session.map(|s| s.state_name()),
        gap: log.gap,
    });
    sink.flow(&FlowRecord {
        flow: flow_facts(flow),
        time,
        metadata,
        vlan: &flow.key.vlan[..flow.key.vlan.iter().take_while(|v| **v != 0).count()],
        ethernet: [&log.ethernet[0], &log.ethernet[1]],
        icmp: log.icmp[0].or(log.icmp[1]),
        icmp_response: log.icmp[1].filter(|_| log.icmp[0].is_some()),
        app: protocol_name(app),
        state,
        reason,
        alerted: log.alerted,
        // Who only listens drops nothing.
        dropped: flow.data.dropped && inline,
        passed: flow.data.passed || flow.data.detect.as_ref().is_some_and(|d| d.passed()),
        accepted: flow.data.detect.as_ref().is_some_and(|d| d.accepted()),
        policy: flow.data.midstream.map(crate::config::Policy::name),
        transactions: log.transactions,
        tcp,
        app_by_side: app.names_by_side(),
        app_before: app.original_protocol().map(eve_name),
        bypassed: false,
        ttl: log.ttl.map(Option::unwrap_or_default),
    });
}

/// Name of the flow's protocol, `failed` once detection has given up, or a direction's first datagram is of none.
pub fn protocol_name(app: &AppLayerFlow) -> Option<&'static str> {
    match app.protocol() {
        Some(protocol) => Some(eve_name(protocol)),
        None if !app.has_carrier() => None,
        None if app.failed() || app.detection_by_side().contains(&Detection::Failed) => Some("failed"),
        None => None,
    }
}

/// Appends the `files` member of an alert in a transaction that carries files.
pub fn files_of_alert(
    state: &dyn ProtocolState,
    index: usize,
    id: u64,
    (sid, stores): (u32, bool),
    out: &mut Vec<u8>,
) {
    let files: Vec<_> = [Direction::ToServer, Direction::ToClient]
        .into_iter()
        .flat_map(|direction| state.files(index, direction))
        .collect();
    if files.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push(b',');
    }
    out.extend_from_slice(b"\"files\":[");
    for (n, file) in files.iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        let mut o = Object::new(out);
        o.bytes("filename", &file.name);
        if stores {
            o.array("sid").item_number(u64::from(sid));
        }
        o.flag("gaps", file.gaps);
        o.text("state", if file.closed { "CLOSED" } else if file.truncated { "TRUNCATED" } else { "UNKNOWN" });
        o.flag("stored", false);
        if stores {
            o.flag("storing", true);
        }
        o.number("size", file.size);
        o.number("tx_id", id);
    }
    out.push(b']');
}
