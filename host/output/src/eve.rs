//! EVE records, one JSON object a line, in the layout of Suricata 8's schema.
//!
//! Invariant: with the same options and the same events the bytes are the same; nothing of the wall clock gets in.

use crate::OutputError;
use crate::address::{address, protocol};
use crate::community::community_id;
use crate::file::OutputFile;
use crate::json::{self, Object};
use crate::record::{
    AlertRecord, AnomalyLayer, AnomalyRecord, DropRecord, Endpoints, EventSink, FlowEnd, FlowFacts, FlowRecord,
    FlowState, PacketFacts, RejectTarget, Verdict, VerdictAction,
};
use crate::reference::ReferencePrefixes;
use crate::time::timestamp;
use crate::totals::RunTotals;
use weir_ir::Rule;

/// What is written, and how.
#[derive(Debug, Clone)]
pub struct EveOptions {
    /// Write alert records.
    pub alert: bool,
    /// Write anomaly records.
    pub anomaly: bool,
    /// Write flow records.
    pub flow: bool,
    /// Write drop records.
    pub drop: bool,
    /// Write one stats record at the end.
    pub stats: bool,
    /// Payload in base64.
    pub payload: bool,
    /// Payload as text.
    pub payload_printable: bool,
    /// At most so many bytes of payload.
    pub payload_limit: usize,
    /// The packet in base64.
    pub packet: bool,
    /// `metadata` of the rule.
    pub rule_metadata: bool,
    /// `reference` of the rule.
    pub rule_reference: bool,
    /// The rule's text.
    pub rule_text: bool,
    /// Objects of the application layer.
    pub app_layer: bool,
    /// The `verdict` object.
    pub verdict: bool,
    /// Community ID with this seed.
    pub community_id: Option<u16>,
    /// Prefixes of references.
    pub references: ReferencePrefixes,
}

impl Default for EveOptions {
    fn default() -> Self {
        EveOptions {
            alert: true,
            anomaly: false,
            flow: false,
            drop: true,
            stats: true,
            payload: false,
            payload_printable: false,
            payload_limit: 4096,
            packet: false,
            rule_metadata: true,
            rule_reference: true,
            rule_text: false,
            app_layer: true,
            verdict: true,
            community_id: None,
            references: ReferencePrefixes::default(),
        }
    }
}

/// Writes events to a file.
#[derive(Debug)]
pub struct EveWriter {
    options: EveOptions,
    file: OutputFile,
    line: Vec<u8>,
}

impl EveWriter {
    /// A writer into `file`.
    pub fn new(file: OutputFile, options: EveOptions) -> Self {
        EveWriter { options, file, line: Vec::with_capacity(4096) }
    }

    /// One stats record, for the end of a run at frame time `time`.
    pub fn stats(&mut self, time: u64, totals: &RunTotals) {
        if self.options.stats {
            self.emit(|_, line| stats(line, time, totals));
        }
    }

    fn emit(&mut self, format: impl FnOnce(&EveOptions, &mut Vec<u8>)) {
        self.line.clear();
        format(&self.options, &mut self.line);
        self.line.push(b'\n');
        self.file.write(&self.line);
    }
}

impl EventSink for EveWriter {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        if self.options.alert {
            self.emit(|options, line| alert(line, options, record));
        }
    }

    fn anomaly(&mut self, record: &AnomalyRecord<'_>) {
        if self.options.anomaly {
            self.emit(|options, line| anomaly(line, options, record));
        }
    }

    fn flow(&mut self, record: &FlowRecord<'_>) {
        if self.options.flow {
            self.emit(|options, line| flow(line, options, record));
        }
    }

    fn drop_packet(&mut self, record: &DropRecord<'_>) {
        if self.options.drop {
            self.emit(|options, line| drop_packet(line, options, record));
        }
    }

    fn wants_anomalies(&self) -> bool {
        self.options.anomaly
    }

    fn wants_flows(&self) -> bool {
        self.options.flow
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.file.finish()
    }
}

/// Appends an alert record, without a line end.
pub fn alert(line: &mut Vec<u8>, options: &EveOptions, record: &AlertRecord<'_>) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, "alert", &record.packet, record.flow.as_ref());
    if !record.flowbits.is_empty() {
        let mut metadata = root.object("metadata");
        let mut names = metadata.array("flowbits");
        record.flowbits.iter().for_each(|name| names.item_text(name));
    }
    if let Some(transaction) = record.app.transaction {
        root.number("tx_id", transaction);
    }
    rule(&mut root, options, record);
    if options.app_layer {
        root.members(record.app.objects);
    }
    if let Some(name) = record.app.protocol {
        root.text("app_proto", name);
    }
    if let Some(facts) = &record.flow {
        root.text("direction", if record.to_server { "to_server" } else { "to_client" });
        let mut flow = root.object("flow");
        flow_counters(&mut flow, facts);
        flow.plain("start", |out| timestamp(out, facts.start));
        ends(&mut flow, &facts.ends, false);
    }
    if let Some(bytes) = record.payload.filter(|_| options.payload || options.payload_printable) {
        let bytes = bytes.get(..options.payload_limit).unwrap_or(bytes);
        if options.payload {
            root.plain("payload", |out| json::base64(out, bytes));
        }
        if options.payload_printable {
            root.plain("payload_printable", |out| {
                // `plain` brings the quotes.
                let mut quoted = Vec::with_capacity(bytes.len() + 2);
                json::printable(&mut quoted, bytes);
                out.extend_from_slice(quoted.get(1..quoted.len() - 1).unwrap_or_default());
            });
        }
        root.number("stream", u64::from(record.from_stream));
    }
    if options.packet && !record.packet.data.is_empty() {
        root.plain("packet", |out| json::base64(out, record.packet.data));
    }
    if options.verdict {
        verdict(&mut root, record.verdict);
    }
}

fn rule(root: &mut Object<'_>, options: &EveOptions, record: &AlertRecord<'_>) {
    let rule: &Rule = record.rule;
    let mut alert = root.object("alert");
    alert.text("action", if record.blocked { "blocked" } else { "allowed" });
    alert.number("gid", u64::from(rule.identity.gid));
    alert.number("signature_id", u64::from(rule.identity.sid));
    alert.number("rev", u64::from(rule.identity.rev));
    alert.text("signature", &rule.meta.message);
    alert.text("category", rule.meta.class_description.as_deref().unwrap_or("Unknown Classtype"));
    alert.number("severity", u64::from(rule.meta.priority));
    if let (Some(target), Some(packet)) = (rule.meta.target, record.packet.ends) {
        let away = match target {
            weir_ir::Target::Source => packet.exchanged(),
            weir_ir::Target::Destination => packet,
        };
        for (name, ip, port) in
            [("source", away.source, away.source_port), ("target", away.destination, away.destination_port)]
        {
            let mut side = alert.object(name);
            side.plain("ip", |out| address(out, ip));
            if has_ports(away.protocol) {
                side.number("port", u64::from(port));
            }
        }
    }
    if options.rule_metadata && !rule.meta.metadata.is_empty() {
        let mut metadata = alert.object("metadata");
        let entries = &rule.meta.metadata;
        for (i, (key, _)) in entries.iter().enumerate() {
            if entries.iter().take(i).any(|(earlier, _)| earlier == key) {
                continue;
            }
            let mut values = metadata.array(key);
            entries.iter().filter(|(k, _)| k == key).for_each(|(_, value)| values.item_text(value));
        }
    }
    if options.rule_reference && !rule.meta.references.is_empty() {
        let mut references = alert.array("references");
        for (system, text) in &rule.meta.references {
            references.item_text(&options.references.render(system, text));
        }
    }
    if options.rule_text {
        alert.text("rule", &rule.source.text);
    }
}

/// Appends an anomaly record, without a line end.
pub fn anomaly(line: &mut Vec<u8>, options: &EveOptions, record: &AnomalyRecord<'_>) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, "anomaly", &record.packet, record.flow.as_ref());
    if let Some(transaction) = record.app.transaction {
        root.number("tx_id", transaction);
    }
    let mut anomaly = root.object("anomaly");
    if let (AnomalyLayer::AppLayer, Some(name)) = (record.layer, record.app.protocol) {
        anomaly.text("app_proto", name);
    }
    anomaly.text(
        "type",
        match record.layer {
            AnomalyLayer::Decode => "decode",
            AnomalyLayer::Stream => "stream",
            AnomalyLayer::AppLayer => "applayer",
        },
    );
    anomaly.text("event", record.event);
    if record.layer == AnomalyLayer::AppLayer {
        anomaly.text("layer", "proto_parser");
    }
}

/// Appends a flow record, without a line end.
pub fn flow(line: &mut Vec<u8>, options: &EveOptions, record: &FlowRecord<'_>) {
    let mut root = Object::new(line);
    root.plain("timestamp", |out| timestamp(out, record.time));
    root.number("flow_id", record.flow.id);
    root.text("event_type", "flow");
    vlan(&mut root, record.vlan);
    ends(&mut root, &record.flow.ends, true);
    icmp(&mut root, record.icmp);
    if let Some(name) = record.app {
        root.text("app_proto", name);
    }
    {
        let mut flow = root.object("flow");
        flow_counters(&mut flow, &record.flow);
        flow.plain("start", |out| timestamp(out, record.flow.start));
        flow.plain("end", |out| timestamp(out, record.flow.last));
        flow.number("age", record.flow.last.saturating_sub(record.flow.start) / 1_000_000_000);
        flow.text(
            "state",
            match record.state {
                FlowState::New => "new",
                FlowState::Established => "established",
                FlowState::Closed => "closed",
                FlowState::Bypassed => "bypassed",
            },
        );
        flow.text(
            "reason",
            match record.reason {
                FlowEnd::Timeout => "timeout",
                FlowEnd::Forced => "forced",
                FlowEnd::Shutdown => "shutdown",
                FlowEnd::Reuse => "tcp_reuse",
            },
        );
        flow.flag("alerted", record.alerted);
        if record.transactions > 0 {
            flow.number("tx_cnt", record.transactions);
        }
        if record.dropped {
            flow.text("action", "drop");
        }
    }
    community(&mut root, options, &record.flow.ends, record.icmp);
    if let Some(tcp) = &record.tcp {
        let union = tcp.flags[0] | tcp.flags[1];
        let mut object = root.object("tcp");
        object.plain("tcp_flags", |out| json::hex_byte(out, union));
        object.plain("tcp_flags_ts", |out| json::hex_byte(out, tcp.flags[0]));
        object.plain("tcp_flags_tc", |out| json::hex_byte(out, tcp.flags[1]));
        let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr"];
        for (bit, name) in names.iter().enumerate().filter(|(bit, _)| union & 1 << bit != 0) {
            let _ = bit;
            object.flag(name, true);
        }
        object.text("state", tcp.state);
        if tcp.gap[0] {
            object.flag("ts_gap", true);
        }
        if tcp.gap[1] {
            object.flag("tc_gap", true);
        }
    }
}

/// Appends a drop record, without a line end.
pub fn drop_packet(line: &mut Vec<u8>, options: &EveOptions, record: &DropRecord<'_>) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, "drop", &record.packet, record.flow.as_ref());
    if record.flow.is_some() {
        root.text("direction", if record.to_server { "to_server" } else { "to_client" });
    }
    let mut dropped = root.object("drop");
    dropped.number("len", record.packet.data.len() as u64);
    dropped.text("reason", record.reason);
    verdict(&mut dropped, record.verdict);
}

/// Appends a stats record, without a line end.
pub fn stats(line: &mut Vec<u8>, time: u64, totals: &RunTotals) {
    let mut root = Object::new(line);
    root.plain("timestamp", |out| timestamp(out, time));
    root.text("event_type", "stats");
    let mut stats = root.object("stats");
    stats.number("uptime", totals.seconds.run as u64);
    stats.object("capture").number("kernel_packets", totals.received_packets());
    {
        let mut decoder = stats.object("decoder");
        decoder.number("pkts", totals.host.packets);
        decoder.number("bytes", totals.host.bytes);
    }
    stats.object("flow").number("total", totals.flows());
    stats.object("detect").number("alert", totals.host.alerts);
}

/// What records of a packet begin with.
fn packet_head(
    root: &mut Object<'_>,
    options: &EveOptions,
    event: &str,
    packet: &PacketFacts<'_>,
    flow: Option<&FlowFacts>,
) {
    root.plain("timestamp", |out| timestamp(out, packet.time));
    if let Some(flow) = flow {
        root.number("flow_id", flow.id);
    }
    root.number("pcap_cnt", packet.frame);
    root.text("event_type", event);
    vlan(root, packet.vlan);
    if let Some(e) = &packet.ends {
        ends(root, e, true);
    }
    icmp(root, packet.icmp);
    root.text("pkt_src", if packet.reassembled { "defrag" } else { "wire/pcap" });
    if packet.ends.is_none() && packet.ether_type != 0 {
        root.object("ether").number("ether_type", u64::from(packet.ether_type));
    }
    match (flow, &packet.ends) {
        (Some(flow), _) => community(root, options, &flow.ends, packet.icmp),
        (None, Some(e)) => community(root, options, e, packet.icmp),
        _ => {}
    }
}

fn vlan(root: &mut Object<'_>, tags: &[u16]) {
    if !tags.is_empty() {
        let mut list = root.array("vlan");
        tags.iter().for_each(|&tag| list.item_number(u64::from(tag)));
    }
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, 6 | 17 | 132)
}

fn ends(root: &mut Object<'_>, ends: &Endpoints, with_protocol: bool) {
    root.plain("src_ip", |out| address(out, ends.source));
    if has_ports(ends.protocol) {
        root.number("src_port", u64::from(ends.source_port));
    }
    root.plain("dest_ip", |out| address(out, ends.destination));
    if has_ports(ends.protocol) {
        root.number("dest_port", u64::from(ends.destination_port));
    }
    if with_protocol {
        root.plain("proto", |out| protocol(out, ends.protocol));
        root.number("ip_v", if ends.source.is_ipv4() { 4 } else { 6 });
    }
}

fn icmp(root: &mut Object<'_>, icmp: Option<(u8, u8)>) {
    if let Some((kind, code)) = icmp {
        root.number("icmp_type", u64::from(kind));
        root.number("icmp_code", u64::from(code));
    }
}

fn community(root: &mut Object<'_>, options: &EveOptions, ends: &Endpoints, icmp: Option<(u8, u8)>) {
    if let Some(seed) = options.community_id {
        root.plain("community_id", |out| community_id(out, seed, *ends, icmp));
    }
}

fn flow_counters(flow: &mut Object<'_>, facts: &FlowFacts) {
    flow.number("pkts_toserver", facts.packets[0]);
    flow.number("pkts_toclient", facts.packets[1]);
    flow.number("bytes_toserver", facts.bytes[0]);
    flow.number("bytes_toclient", facts.bytes[1]);
}

fn verdict(root: &mut Object<'_>, verdict: Verdict) {
    let mut object = root.object("verdict");
    object.text(
        "action",
        match verdict.action {
            VerdictAction::Alert => "alert",
            VerdictAction::Pass => "pass",
            VerdictAction::Drop => "drop",
        },
    );
    if let Some(target) = verdict.reject {
        object.text(
            "reject_target",
            match target {
                RejectTarget::ToClient => "to_client",
                RejectTarget::ToServer => "to_server",
                RejectTarget::Both => "both",
            },
        );
        object.array("reject").item_text("tcp-reset");
    }
}
