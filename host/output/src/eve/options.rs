//! What is written, and how.

use crate::reference::ReferencePrefixes;
use std::collections::{BTreeMap, BTreeSet};

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
    /// The epoch of the tables and rules that an alert is of.
    pub epoch: bool,
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
    /// Write a record for each transaction of these protocols, by the names of their record types.
    pub protocols: BTreeSet<String>,
    /// Records of HTTP/2 and of DNS over it are switched on by `http2` and `doh2`, not by the types that they have.
    pub apart: bool,
    /// Settings of protocol records, by protocol and dotted name.
    pub protocol_settings: BTreeMap<String, BTreeMap<String, String>>,
    /// Write a record for each file.
    pub files: bool,
    /// Describe the content of files.
    pub file_magic: bool,
    /// Digests of files: MD5, SHA-1, SHA-256. Those that rules ask for are there in any case.
    pub file_digests: [bool; 3],
    /// Write netflow records: one for each direction of a flow.
    pub netflow: bool,
    /// Write frame records.
    pub frames: bool,
    /// Write metadata records.
    pub metadata_records: bool,
    /// Layers of anomaly records: decoder, stream, application layer.
    pub anomaly_layers: [bool; 3],
    /// Anomaly records of the decoder have the packet's first bytes.
    pub anomaly_header: bool,
    /// Packets that rules ask for by `tag`.
    pub tagged: bool,
    /// Length of the payload.
    pub payload_length: bool,
    /// HTTP bodies in base64.
    pub http_body: bool,
    /// HTTP bodies as text.
    pub http_body_printable: bool,
    /// The `flow` object in alerts.
    pub alert_flow: bool,
    /// Flowbits and other state of the flow.
    pub metadata: bool,
    /// Drop records name the rule.
    pub drop_alerts: bool,
    /// Drop records for every packet of a dropped flow, not only for the first.
    pub drop_all: bool,
    /// The `verdict` object in drop records.
    pub drop_verdict: bool,
    /// Ethernet addresses.
    pub ethernet: bool,
    /// Name of the capture file.
    pub pcap_file: bool,
    /// Decisions are carried out.
    pub inline: bool,
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
            epoch: false,
            rule_reference: true,
            rule_text: false,
            app_layer: true,
            verdict: true,
            community_id: None,
            references: ReferencePrefixes::default(),
            protocols: BTreeSet::new(),
            apart: false,
            protocol_settings: BTreeMap::new(),
            files: false,
            file_magic: false,
            file_digests: [false; 3],
            netflow: false,
            frames: false,
            metadata_records: false,
            anomaly_layers: [true; 3],
            anomaly_header: false,
            tagged: true,
            payload_length: false,
            http_body: false,
            http_body_printable: false,
            alert_flow: true,
            metadata: true,
            drop_alerts: false,
            drop_all: true,
            drop_verdict: true,
            ethernet: false,
            pcap_file: false,
            inline: false,
        }
    }
}

