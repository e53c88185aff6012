//! The facts of an event, as the engine hands them over: borrowed, without text that a writer could make itself.

use crate::OutputError;
use std::collections::BTreeMap;
use std::net::IpAddr;
use weir_ir::Rule;

/// Source and destination of a packet or flow. Ports are 0 where there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoints {
    /// Source address.
    pub source: IpAddr,
    /// Source port.
    pub source_port: u16,
    /// Destination address.
    pub destination: IpAddr,
    /// Destination port.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
}

impl Endpoints {
    /// Both ends exchanged.
    pub fn exchanged(self) -> Self {
        Endpoints {
            source: self.destination,
            source_port: self.destination_port,
            destination: self.source,
            destination_port: self.source_port,
            protocol: self.protocol,
        }
    }
}

/// Facts of the packet an event belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PacketFacts<'a> {
    /// Frame number, from 1.
    pub frame: u64,
    /// Frame time, nanoseconds since the epoch.
    pub time: u64,
    /// Ends as this packet has them; none for frames without IP.
    pub ends: Option<Endpoints>,
    /// Type and code, of ICMP packets.
    pub icmp: Option<(u8, u8)>,
    /// VLAN identifiers, outermost first; as many as there were tags.
    pub vlan: &'a [u16],
    /// 0 for the outermost packet, +1 for each tunnel.
    pub tunnel_depth: u8,
    /// The packet was put together from fragments.
    pub reassembled: bool,
    /// EtherType, for frames without IP.
    pub ether_type: u16,
    /// The packet's own bytes from its first header on (for `packet` output).
    pub data: &'a [u8],
    /// Transport payload.
    pub payload: &'a [u8],
    /// How the packet was wrapped, of packets within a tunnel.
    pub tunnel: Option<&'static str>,
    /// No packet: the end of a flow.
    pub pseudo: bool,
    /// Link type of `data`.
    pub link: u32,
    /// Ethernet addresses: source, destination.
    pub ethernet: Option<([u8; 6], [u8; 6])>,
}

/// Facts of a flow at the time of an event.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlowFacts {
    /// Identifier in EVE; see [`crate::community::flow_id`].
    pub id: u64,
    /// The flow that announced it (FTP data).
    pub parent: Option<u64>,
    /// Number of the flow's first frame: with `ends` the name of the flow (reference semantics, section 1).
    pub first_frame: u64,
    /// From initiator to responder.
    pub ends: Endpoints,
    /// Time of the first packet.
    pub start: u64,
    /// Time of the last packet.
    pub last: u64,
    /// Packets by direction: to server, to client.
    pub packets: [u64; 2],
    /// Frame bytes by direction.
    pub bytes: [u64; 2],
}

/// The application-layer part of an event.
#[derive(Debug, Clone, Copy, Default)]
pub struct AppLayerFacts<'a> {
    /// Name of the protocol as EVE spells it (`http`, `failed`); none when not yet known.
    pub protocol: Option<&'a str>,
    /// Transaction, from 0.
    pub transaction: Option<u64>,
    /// Members of the EVE record, ready-made: `"http":{…}` or several with commas between; may be empty.
    pub objects: &'a [u8],
}

/// What becomes of the packet, or flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum VerdictAction {
    /// It passes because no rule said otherwise, or only alerted.
    #[default]
    Alert,
    /// A pass rule matched.
    Pass,
    /// The firewall accepts it, and nothing else drops it.
    Accept,
    /// It is dropped.
    Drop,
}

/// Who gets the answer of a reject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectTarget {
    /// The sender of the packet is the client.
    ToClient,
    /// The server.
    ToServer,
    /// Both.
    Both,
}

/// The engine's decision on a packet after all rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Verdict {
    /// Action.
    pub action: VerdictAction,
    /// A reset or an ICMP error is sent.
    pub reject: Option<RejectTarget>,
}

/// One alert.
#[derive(Debug, Clone, Copy)]
pub struct AlertRecord<'a> {
    /// Epoch of the rules that raised it, from 1: rules may be exchanged during a run.
    pub epoch: u32,
    /// Index of the rule in the loaded set of the epoch.
    pub rule_index: u32,
    /// The rule.
    pub rule: &'a Rule,
    /// The packet whose processing completed the match; its ends are exchanged where reference semantics 2.12 says so.
    pub packet: PacketFacts<'a>,
    /// Its flow, when it has one.
    pub flow: Option<FlowFacts>,
    /// The packet goes to the responder.
    pub to_server: bool,
    /// Application layer.
    pub app: AppLayerFacts<'a>,
    /// The bytes the match was found in: stream window, or packet payload.
    pub payload: Option<&'a [u8]>,
    /// `payload` is of the stream.
    pub from_stream: bool,
    /// The rule's action was carried out (inline, and not overruled by a pass).
    pub blocked: bool,
    /// The decision on the packet.
    pub verdict: Verdict,
    /// `metadata` and `traffic`: members as JSON text.
    pub metadata: &'a [u8],
    /// Members of the alert's `context`, as JSON text.
    pub context: &'a [u8],
    /// Name of the tunnel's ends, of packets within a tunnel.
    pub outer: Option<(Endpoints, u8)>,
    /// Which of the two made it, in firewall mode: `fw` or `td`.
    pub engine: Option<&'static str>,
    /// The hook whose policy decided, of alerts about policies.
    pub hook: Option<&'a str>,
}

/// A decoder, stream or application-layer event.
#[derive(Debug, Clone, Copy)]
pub struct AnomalyRecord<'a> {
    /// Packet.
    pub packet: PacketFacts<'a>,
    /// Flow, when there is one.
    pub flow: Option<FlowFacts>,
    /// Application layer: for its events, protocol and transaction.
    pub app: AppLayerFacts<'a>,
    /// Which layer.
    pub layer: AnomalyLayer,
    /// Name of the event, as rules write it (`ipv4.trunc_pkt`, `pkt_invalid_ack`).
    pub event: &'a str,
}

/// Layer of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AnomalyLayer {
    /// Decoder.
    Decode,
    /// TCP state and reassembly.
    Stream,
    /// Application-layer parser.
    AppLayer,
}

/// How a flow ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowEnd {
    /// Its timeout passed.
    Timeout,
    /// The host needed its place.
    Forced,
    /// The run ended.
    Shutdown,
    /// A new connection took its key.
    Reuse,
}

/// State of an ended flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowState {
    /// One side only.
    New,
    /// Both sides were seen; TCP: handshake complete.
    Established,
    /// TCP: closed by both sides or reset.
    Closed,
    /// The device passed it without the host (only the device's record exists).
    Bypassed,
}

/// TCP facts of an ended flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TcpFlowFacts {
    /// Union of flags by direction: to server, to client.
    pub flags: [u8; 2],
    /// Name of the connection's state (`established`, `closed`); none if it was not followed.
    pub state: Option<&'static str>,
    /// Bytes were lost in the direction.
    pub gap: [bool; 2],
}

/// An ended flow.
#[derive(Debug, Clone, Copy)]
pub struct FlowRecord<'a> {
    /// Facts; `last` is the end.
    pub flow: FlowFacts,
    /// Time of the record.
    pub time: u64,
    /// `metadata` and `traffic`: members as JSON text.
    pub metadata: &'a [u8],
    /// VLAN identifiers.
    pub vlan: &'a [u16],
    /// Ethernet addresses of initiator and responder.
    pub ethernet: [&'a [[u8; 6]]; 2],
    /// Type and code of the first ICMP packet.
    pub icmp: Option<(u8, u8)>,
    /// Type and code of the first answer to it.
    pub icmp_response: Option<(u8, u8)>,
    /// Application protocol.
    pub app: Option<&'a str>,
    /// State.
    pub state: FlowState,
    /// Reason.
    pub reason: FlowEnd,
    /// It raised an alert.
    pub alerted: bool,
    /// It was dropped.
    pub dropped: bool,
    /// A rule or a policy let it pass.
    pub passed: bool,
    /// The firewall has accepted all of it.
    pub accepted: bool,
    /// What the policy for sessions without beginning did.
    pub policy: Option<&'a str>,
    /// Transactions.
    pub transactions: u64,
    /// TCP only.
    pub tcp: Option<TcpFlowFacts>,
    /// Protocols that each direction's bytes alone say, to server and to client, where they differ from `app`.
    pub app_by_side: [Option<&'a str>; 2],
    /// Protocol before it changed.
    pub app_before: Option<&'a str>,
    /// Exception policies that applied.
    pub bypassed: bool,
    /// Least and greatest time to live by direction.
    pub ttl: [(u8, u8); 2],
}

/// A dropped packet.
#[derive(Debug, Clone, Copy)]
pub struct DropRecord<'a> {
    /// Packet.
    pub packet: PacketFacts<'a>,
    /// Flow.
    pub flow: Option<FlowFacts>,
    /// The packet goes to the responder.
    pub to_server: bool,
    /// Why (`rules`, `flow drop`, `stream error`, `applayer error`, `defrag error` …).
    pub reason: &'a str,
    /// Decision.
    pub verdict: Verdict,
    /// The rule that dropped it.
    pub rule: Option<&'a Rule>,
    /// A packet of this flow and direction was dropped before.
    pub again: bool,
    /// IP and transport header fields.
    pub headers: HeaderFacts,
}

/// Header fields of drop records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HeaderFacts {
    /// Total length of the IP packet.
    pub length: u16,
    /// Type of service.
    pub tos: u8,
    /// Time to live.
    pub ttl: u8,
    /// IPv4 identification.
    pub id: u32,
    /// TCP: sequence, acknowledgement, window, flags, urgent pointer.
    pub tcp: Option<(u32, u32, u16, u8, u16)>,
    /// UDP: length.
    pub udp: Option<u16>,
}

/// A transaction that is complete, for the log of its protocol.
#[derive(Clone, Copy)]
pub struct TransactionRecord<'a> {
    /// Type of the record (`http`, `dns`, …).
    pub kind: &'a str,
    /// The packet that completed it, with the ends in the direction of the record.
    pub packet: PacketFacts<'a>,
    /// Flow.
    pub flow: FlowFacts,
    /// Protocol, number and objects.
    pub app: AppLayerFacts<'a>,
    /// `metadata` and `traffic`: members as JSON text.
    pub metadata: &'a [u8],
    /// Writes the objects.
    pub source: &'a dyn RecordSource,
}

/// Writes the objects of a record as a log wants them.
pub trait RecordSource {
    /// Records that there are.
    fn parts(&self, settings: &BTreeMap<String, String>) -> usize;
    /// Appends the members of one of them; false if the settings want none.
    fn write(&self, part: usize, settings: &BTreeMap<String, String>, out: &mut Vec<u8>) -> bool;
}

/// A file that is complete, or that no more will come of.
#[derive(Debug, Clone, Copy)]
pub struct FileRecord<'a> {
    /// The packet that completed it, with the ends from sender to receiver.
    pub packet: PacketFacts<'a>,
    /// Flow.
    pub flow: FlowFacts,
    /// Protocol and transaction that carried it.
    pub app: AppLayerFacts<'a>,
    /// Name.
    pub name: &'a [u8],
    /// Bytes seen.
    pub size: u64,
    /// `CLOSED`, `TRUNCATED`, `UNKNOWN`.
    pub state: &'static str,
    /// Bytes are missing.
    pub gaps: bool,
    /// It goes to the file store, with this number: all of it is in `content`.
    pub stored: Option<u64>,
    /// What is kept of its content.
    pub content: &'a [u8],
    /// First and last byte, of a file that came in ranges.
    pub range: Option<(u64, u64)>,
    /// Kind of content.
    pub magic: Option<&'a str>,
    /// MD5, SHA-1, SHA-256, where they were asked for.
    pub digests: [Option<&'a [u8]>; 3],
    /// Signatures that matched in the file.
    pub signatures: &'a [u32],
}

/// Files that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Storing {
    /// None.
    #[default]
    Nothing,
    /// Those that a rule asks for.
    Asked,
    /// All.
    All,
}

/// A packet that a rule's `tag` asked for.
#[derive(Debug, Clone, Copy)]
pub struct TaggedRecord<'a> {
    /// Packet.
    pub packet: PacketFacts<'a>,
    /// Flow.
    pub flow: Option<FlowFacts>,
}

/// A frame: a range of a stream, or of a datagram, that has a name in its protocol.
#[derive(Debug, Clone, Copy)]
pub struct FrameRecord<'a> {
    /// The packet that completed it, with the ends from sender to receiver.
    pub packet: PacketFacts<'a>,
    /// Flow.
    pub flow: FlowFacts,
    /// Name of the protocol.
    pub protocol: Option<&'a str>,
    /// `"frame":{…}` as JSON text.
    pub object: &'a [u8],
}

/// Takes the engine's events. Calls come in frame order. A sink keeps its first error for [`EventSink::finish`].
pub trait EventSink: Send {
    /// A rule with output matched.
    fn alert(&mut self, record: &AlertRecord<'_>);
    /// Something irregular.
    fn anomaly(&mut self, record: &AnomalyRecord<'_>) {
        let _ = record;
    }
    /// A flow ended.
    fn flow(&mut self, record: &FlowRecord<'_>) {
        let _ = record;
    }
    /// A packet was dropped.
    fn drop_packet(&mut self, record: &DropRecord<'_>) {
        let _ = record;
    }
    /// A transaction is complete.
    fn transaction(&mut self, record: &TransactionRecord<'_>) {
        let _ = record;
    }
    /// A file is complete.
    fn file(&mut self, record: &FileRecord<'_>) {
        let _ = record;
    }
    /// A frame is over.
    fn frame(&mut self, record: &FrameRecord<'_>) {
        let _ = record;
    }
    /// A packet without IP that has a record of its own: its type, and its members as JSON text.
    fn link_packet(&mut self, kind: &str, packet: &PacketFacts<'_>, members: &[u8]) {
        let _ = (kind, packet, members);
    }
    /// The sink wants frames.
    fn wants_frames(&self) -> bool {
        false
    }
    /// A tagged packet.
    fn tagged(&mut self, record: &TaggedRecord<'_>) {
        let _ = record;
    }
    /// The sink writes packets that follow an alert.
    fn wants_tagged(&self) -> bool {
        false
    }
    /// The sink wants transactions of this type of record.
    fn wants_transactions(&self, kind: &str) -> bool {
        let _ = kind;
        false
    }
    /// The sink wants some record of transactions, or files.
    fn wants_log(&self) -> bool {
        false
    }
    /// The sink wants files.
    fn wants_files(&self) -> bool {
        false
    }
    /// Files that the sink stores.
    fn storing(&self) -> Storing {
        Storing::Nothing
    }
    /// The sink wants anomalies; false spares the engine making them.
    fn wants_anomalies(&self) -> bool {
        false
    }
    /// The sink wants flow records.
    fn wants_flows(&self) -> bool {
        false
    }
    /// Write out what is buffered. The run is over.
    fn finish(&mut self) -> Result<(), OutputError> {
        Ok(())
    }
}

/// Forgets everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NullSink;

impl EventSink for NullSink {
    fn alert(&mut self, _: &AlertRecord<'_>) {}
}

/// Both sinks get every event.
impl<A: EventSink, B: EventSink> EventSink for (A, B) {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        self.0.alert(record);
        self.1.alert(record);
    }
    fn anomaly(&mut self, record: &AnomalyRecord<'_>) {
        self.0.anomaly(record);
        self.1.anomaly(record);
    }
    fn flow(&mut self, record: &FlowRecord<'_>) {
        self.0.flow(record);
        self.1.flow(record);
    }
    fn drop_packet(&mut self, record: &DropRecord<'_>) {
        self.0.drop_packet(record);
        self.1.drop_packet(record);
    }
    fn transaction(&mut self, record: &TransactionRecord<'_>) {
        self.0.transaction(record);
        self.1.transaction(record);
    }
    fn file(&mut self, record: &FileRecord<'_>) {
        self.0.file(record);
        self.1.file(record);
    }
    fn frame(&mut self, record: &FrameRecord<'_>) {
        self.0.frame(record);
        self.1.frame(record);
    }
    fn link_packet(&mut self, kind: &str, packet: &PacketFacts<'_>, members: &[u8]) {
        self.0.link_packet(kind, packet, members);
        self.1.link_packet(kind, packet, members);
    }
    fn wants_frames(&self) -> bool {
        self.0.wants_frames() || self.1.wants_frames()
    }
    fn tagged(&mut self, record: &TaggedRecord<'_>) {
        self.0.tagged(record);
        self.1.tagged(record);
    }
    fn wants_tagged(&self) -> bool {
        self.0.wants_tagged() || self.1.wants_tagged()
    }
    fn wants_transactions(&self, kind: &str) -> bool {
        self.0.wants_transactions(kind) || self.1.wants_transactions(kind)
    }
    fn wants_log(&self) -> bool {
        self.0.wants_log() || self.1.wants_log()
    }
    fn wants_files(&self) -> bool {
        self.0.wants_files() || self.1.wants_files()
    }
    fn storing(&self) -> Storing {
        self.0.storing().max(self.1.storing())
    }
    fn wants_anomalies(&self) -> bool {
        self.0.wants_anomalies() || self.1.wants_anomalies()
    }
    fn wants_flows(&self) -> bool {
        self.0.wants_flows() || self.1.wants_flows()
    }
    fn finish(&mut self) -> Result<(), OutputError> {
        let first = self.0.finish();
        self.1.finish().and(first)
    }
}

impl<S: EventSink + ?Sized> EventSink for &mut S {
    fn alert(&mut self, record: &AlertRecord<'_>) {
        (**self).alert(record);
    }
    fn anomaly(&mut self, record: &AnomalyRecord<'_>) {
        (**self).anomaly(record);
    }
    fn flow(&mut self, record: &FlowRecord<'_>) {
        (**self).flow(record);
    }
    fn drop_packet(&mut self, record: &DropRecord<'_>) {
        (**self).drop_packet(record);
    }
    fn transaction(&mut self, record: &TransactionRecord<'_>) {
        (**self).transaction(record);
    }
    fn file(&mut self, record: &FileRecord<'_>) {
        (**self).file(record);
    }
    fn frame(&mut self, record: &FrameRecord<'_>) {
        (**self).frame(record);
    }
    fn link_packet(&mut self, kind: &str, packet: &PacketFacts<'_>, members: &[u8]) {
        (**self).link_packet(kind, packet, members);
    }
    fn wants_frames(&self) -> bool {
        (**self).wants_frames()
    }
    fn tagged(&mut self, record: &TaggedRecord<'_>) {
        (**self).tagged(record);
    }
    fn wants_tagged(&self) -> bool {
        (**self).wants_tagged()
    }
    fn wants_transactions(&self, kind: &str) -> bool {
        (**self).wants_transactions(kind)
    }
    fn wants_log(&self) -> bool {
        (**self).wants_log()
    }
    fn wants_files(&self) -> bool {
        (**self).wants_files()
    }
    fn storing(&self) -> Storing {
        (**self).storing()
    }
    fn wants_anomalies(&self) -> bool {
        (**self).wants_anomalies()
    }
    fn wants_flows(&self) -> bool {
        (**self).wants_flows()
    }
    fn finish(&mut self) -> Result<(), OutputError> {
        (**self).finish()
    }
}
