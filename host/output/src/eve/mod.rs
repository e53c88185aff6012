//! EVE records, one JSON object a line, in the layout of Suricata 8's schema.
//!
//! Invariant: with the same options and the same events the bytes are the same; nothing of the wall clock gets in.

mod alert;
mod drop;
mod file;
mod flow;
mod options;
mod stats;

pub use alert::alert;
pub use drop::drop_packet;
pub use file::{file, frame, transaction};
pub use flow::{flow, netflow};
pub use options::EveOptions;
pub use stats::stats;

use crate::OutputError;
use crate::address::{address, protocol};
use crate::community::community_id;
use crate::file::OutputFile;
use crate::json::Object;
use crate::record::{
    AlertRecord, AnomalyLayer, AnomalyRecord, DropRecord, Endpoints, EventSink, FileRecord, FrameRecord, FlowFacts, FlowRecord,
    PacketFacts, RejectTarget, TaggedRecord, TransactionRecord, Verdict, VerdictAction,
};
use crate::time::timestamp;
use crate::totals::RunTotals;
use std::sync::{Arc, Mutex};

/// Writes events to a file.
#[derive(Debug)]
pub struct EveWriter {
    options: EveOptions,
    file: OutputFile,
    line: Vec<u8>,
    captures: Captures,
    /// Number of the frame that the last record was about.
    frame: u64,
}

/// The captures of a run, for records that name them.
#[derive(Debug, Clone, Default)]
pub struct Captures {
    /// Their names, in the order in which they are read.
    pub names: Vec<String>,
    /// Number of the first frame of each capture behind the first, as far as they have been opened.
    pub starts: Arc<Mutex<Vec<u64>>>,
}

impl Captures {
    /// The capture that holds this frame.
    fn of(&self, frame: u64) -> Option<&str> {
        let starts = self.starts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.names.get(starts.partition_point(|start| *start <= frame)).map(String::as_str)
    }
}

impl EveWriter {
    /// A writer into `file`.
    pub fn new(file: OutputFile, options: EveOptions) -> Self {
        EveWriter { options, file, line: Vec::with_capacity(4096), captures: Captures::default(), frame: 0 }
    }

    /// The captures that are read, for records that name them.
    pub fn reading(&mut self, captures: Captures) {
        self.captures = captures;
    }

    fn at(&mut self, packet: &PacketFacts<'_>) {
        if !packet.pseudo {
            self.frame = packet.frame;
        }
    }

    /// One stats record, for the end of a run at frame time `time`.
    pub fn stats(&mut self, time: u64, totals: &RunTotals) {
        if self.options.stats {
            self.emit(|options, line| stats(line, options, time, totals));
        }
    }

    fn emit(&mut self, format: impl FnOnce(&EveOptions, &mut Vec<u8>)) {
        self.line.clear();
        format(&self.options, &mut self.line);
        if let Some(name) = self.captures.of(self.frame).filter(|_| self.options.pcap_file)
            && self.line.last() == Some(&b'}')
        {
            self.line.pop();
            self.line.extend_from_slice(b",\"pcap_filename\":");
            crate::json::text(&mut self.line, name);
            self.line.push(b'}');
        }
        self.line.push(b'\n');
        self.file.write(&self.line);
    }
}

impl EventSink for EveWriter {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        self.at(&record.packet);
        if self.options.alert {
            self.emit(|options, line| alert(line, options, record));
        }
    }

    fn anomaly(&mut self, record: &AnomalyRecord<'_>) {
        self.at(&record.packet);
        if self.options.anomaly && self.options.anomaly_layers[record.layer as usize] {
            self.emit(|options, line| anomaly(line, options, record));
        }
    }

    fn flow(&mut self, record: &FlowRecord<'_>) {
        if self.options.flow {
            self.emit(|options, line| flow(line, options, record));
        }
        if self.options.netflow {
            self.emit(|options, line| netflow(line, options, record, false));
            if record.flow.packets[1] > 0 {
                self.emit(|options, line| netflow(line, options, record, true));
            }
        }
    }

    fn transaction(&mut self, record: &TransactionRecord<'_>) {
        self.at(&record.packet);
        let switch = match record.app.protocol {
            Some(own @ ("http2" | "doh2")) if self.options.apart => own,
            _ => record.kind,
        };
        if !self.options.protocols.contains(switch) {
            return;
        }
        let settings = self.options.protocol_settings.get(record.kind).cloned().unwrap_or_default();
        // The old layout of DNS tells answers in the direction of the flow as well.
        let old = record.kind == "dns" && settings.get("version").is_some_and(|v| v != "3");
        let turned = TransactionRecord {
            packet: PacketFacts { ends: Some(record.flow.ends), ..record.packet },
            ..*record
        };
        let record = if old { &turned } else { record };
        let mut members = Vec::new();
        for part in 0..record.source.parts(&settings) {
            members.clear();
            if record.source.write(part, &settings, &mut members) {
                self.emit(|options, line| transaction(line, options, record, &members));
            }
        }
    }

    fn file(&mut self, record: &FileRecord<'_>) {
        self.at(&record.packet);
        if self.options.files {
            self.emit(|options, line| file(line, options, record));
        }
    }

    fn frame(&mut self, record: &FrameRecord<'_>) {
        self.at(&record.packet);
        if self.options.frames {
            self.emit(|options, line| frame(line, options, record));
        }
    }

    fn link_packet(&mut self, kind: &str, packet: &PacketFacts<'_>, members: &[u8]) {
        self.at(packet);
        if self.options.protocols.contains(kind) {
            self.emit(|options, line| {
                let mut root = Object::new(line);
                packet_head(&mut root, options, kind, &PacketFacts { ether_type: 0, ..*packet }, None);
                root.members(members);
            });
        }
    }

    fn wants_frames(&self) -> bool {
        self.options.frames
    }

    fn tagged(&mut self, record: &TaggedRecord<'_>) {
        self.at(&record.packet);
        if self.options.alert && self.options.tagged {
            self.emit(|options, line| tagged(line, options, record));
        }
    }

    fn wants_tagged(&self) -> bool {
        self.options.alert && self.options.tagged
    }

    fn wants_transactions(&self, kind: &str) -> bool {
        let protocols = &self.options.protocols;
        let within = ["http", "dns"].contains(&kind) && ["http2", "doh2"].iter().any(|name| protocols.contains(*name));
        protocols.contains(kind) || (self.options.apart && within)
    }

    fn wants_log(&self) -> bool {
        self.options.files || !self.options.protocols.is_empty()
    }

    fn wants_files(&self) -> bool {
        self.options.files
    }

    fn drop_packet(&mut self, record: &DropRecord<'_>) {
        self.at(&record.packet);
        if self.options.drop && (self.options.drop_all || !record.again) {
            self.emit(|options, line| drop_packet(line, options, record));
        }
    }

    fn wants_anomalies(&self) -> bool {
        self.options.anomaly
    }

    fn wants_flows(&self) -> bool {
        self.options.flow || self.options.netflow
    }

    fn finish(&mut self) -> Result<(), OutputError> {
        self.file.finish()
    }
}

/// So many bytes of a packet an anomaly record has.
const ANOMALY_HEADER: usize = 32;

/// Appends an anomaly record, without a line end.
pub fn anomaly(line: &mut Vec<u8>, options: &EveOptions, record: &AnomalyRecord<'_>) {
    let mut root = Object::new(line);
    let facts = PacketFacts { ether_type: 0, ..record.packet };
    packet_head(&mut root, options, "anomaly", &facts, record.flow.as_ref());
    if options.anomaly_header && record.layer == AnomalyLayer::Decode {
        packet(&mut root, &PacketFacts { data: facts.data.get(..ANOMALY_HEADER).unwrap_or(facts.data), ..facts });
    }
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
        let detecting = record.event.get(..9).is_some_and(|start| start.eq_ignore_ascii_case("applayer_"));
        anomaly.text("layer", if detecting { "proto_detect" } else { "proto_parser" });
    }
}

/// Appends the record of a packet that a rule's `tag` asked for, without a line end.
pub fn tagged(line: &mut Vec<u8>, options: &EveOptions, record: &TaggedRecord<'_>) {
    let mut root = Object::new(line);
    packet_head(&mut root, options, "packet", &record.packet, record.flow.as_ref());
    packet(&mut root, &record.packet);
}

/// The packet itself.
fn packet(root: &mut Object<'_>, facts: &PacketFacts<'_>) {
    if !facts.data.is_empty() {
        root.plain("packet", |out| crate::json::base64(out, facts.data));
        let mut info = root.object("packet_info");
        info.number("linktype", u64::from(facts.link));
        if let Some(name) = link_name(facts.link) {
            info.text("linktype_name", name);
        }
    }
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
        flow_number(root, flow);
    }
    if !packet.pseudo {
        root.number("pcap_cnt", packet.frame);
    }
    root.text("event_type", event);
    vlan(root, packet.vlan);
    if let Some(e) = &packet.ends {
        ends(root, e, true);
    }
    icmp(root, packet.icmp);
    if options.ethernet {
        ethernet(root, packet);
    }
    if packet.pseudo {
        root.text("pkt_src", "stream (flow timeout)");
    } else {
        root.text("pkt_src", packet_source(packet));
    }
    if packet.ends.is_none() && packet.ether_type != 0 {
        root.object("ether").number("ether_type", u64::from(packet.ether_type));
    }
    // It names flows: a packet of none has none.
    if let Some(flow) = flow {
        community(root, options, &flow.ends, packet.icmp);
    }
}

/// The flow's number, and that of the one that announced it.
fn flow_number(root: &mut Object<'_>, flow: &FlowFacts) {
    root.number("flow_id", flow.id);
    if let Some(parent) = flow.parent {
        root.number("parent_id", parent);
    }
}

/// Ethernet addresses.
fn ethernet(root: &mut Object<'_>, packet: &PacketFacts<'_>) {
    let Some((source, destination)) = packet.ethernet else { return };
    let mut ether = root.object("ether");
    for (name, address) in [("src_mac", source), ("dest_mac", destination)] {
        ether.plain(name, |out| {
            for (n, byte) in address.iter().enumerate() {
                if n > 0 {
                    out.push(b':');
                }
                crate::json::hex_byte(out, *byte);
            }
        });
    }
}

/// Name of a link type (tcpdump.org/linktypes).
fn link_name(link: u32) -> Option<&'static str> {
    Some(match link {
        0 => "NULL",
        1 => "EN10MB",
        9 => "PPP",
        12 | 101 => "RAW",
        104 => "C_HDLC",
        113 => "LINUX_SLL",
        228 => "IPv4",
        229 => "IPv6",
        276 => "LINUX_SLL2",
        _ => return None,
    })
}

/// Where the packet comes from.
fn packet_source(packet: &PacketFacts<'_>) -> &'static str {
    match (packet.reassembled, packet.tunnel) {
        (true, _) => "defrag",
        (false, Some(tunnel)) => tunnel,
        (false, None) => "wire/pcap",
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
            VerdictAction::Accept => "accept",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_belong_to_the_capture_that_holds_them() {
        let names = ["a", "b", "c"].map(str::to_owned).to_vec();
        let captures = Captures { names, starts: Arc::new(Mutex::new(vec![4, 9])) };
        let of = |frame| captures.of(frame);
        assert_eq!([1, 3, 4, 8, 9, 100].map(of), [Some("a"), Some("a"), Some("b"), Some("b"), Some("c"), Some("c")]);
        assert_eq!(Captures::default().of(1), None);
    }
}
