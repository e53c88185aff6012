//! The outputs of a suricata.yaml.

use super::tree::{Node, truth};
use std::collections::BTreeMap;
use weir_management::{OutputSection, Size};
use weir_output::EveOptions;

/// One output that is switched on.
#[derive(Debug, Clone)]
pub enum Output {
    /// EVE records.
    Eve {
        /// File, relative to the log directory.
        file: String,
        /// What it holds.
        options: Box<EveOptions>,
    },
    /// One line an alert.
    Fast {
        /// File, relative to the log directory.
        file: String,
    },
    /// Counters as a table.
    Stats {
        /// File, relative to the log directory.
        file: String,
    },
    /// Extracted files.
    FileStore {
        /// Directory, relative to the log directory.
        directory: String,
        /// Every file, not only those that a rule asks for.
        all: bool,
        /// A JSON record beside each file.
        fileinfo: bool,
    },
}

/// Record types that Suricata's packaged configuration switches on.
const USUAL: [&str; 30] = [
    "http", "dns", "mdns", "tls", "files", "smtp", "websocket", "ftp", "rdp", "nfs", "smb", "tftp", "ike", "dcerpc",
    "krb5", "bittorrent-dht", "snmp", "rfb", "sip", "quic", "ldap", "pop3", "dhcp", "ssh", "mqtt", "http2", "doh2",
    "flow", "stats", "anomaly",
];

/// Outputs without a configuration file: those of Suricata's packaged configuration.
pub fn usual() -> Vec<Output> {
    let mut options = nothing();
    options.alert = true;
    options.tagged = true;
    for kind in USUAL {
        switch_on(&mut options, kind, &Node::default(), &mut Vec::new());
    }
    vec![
        Output::Fast { file: "fast.log".to_owned() },
        Output::Eve { file: "eve.json".to_owned(), options: Box::new(options) },
        Output::Stats { file: "stats.log".to_owned() },
    ]
}

/// Nothing switched on yet.
fn nothing() -> EveOptions {
    let own = EveOptions::default();
    // What Suricata logs only where it is asked to.
    EveOptions { alert: false, anomaly: false, flow: false, drop: false, stats: false, rule_reference: false, apart: true, ..own }
}

/// The outputs that `root` switches on. `remarks` gets what Weir has not.
pub fn outputs(root: &Node, remarks: &mut Vec<String>) -> Vec<Output> {
    let Some(list) = root.get("outputs") else { return Vec::new() };
    let mut found = Vec::new();
    for item in &list.children {
        let Some(name) = item.value.as_deref() else { continue };
        let Some(node) = item.get(name) else { continue };
        if node.flag("enabled") != Some(true) {
            continue;
        }
        let file = |default: &str| node.text("filename").unwrap_or(default).to_owned();
        match name {
            "fast" => found.push(Output::Fast { file: file("fast.log") }),
            "stats" => found.push(Output::Stats { file: file("stats.log") }),
            "eve-log" => {
                let kind = node.text("filetype").or(node.text("type")).unwrap_or("regular");
                if kind != "regular" && kind != "file" {
                    remarks.push(format!("outputs.eve-log.filetype {kind}: records go to a file"));
                }
                found.push(Output::Eve { file: file("eve.json"), options: Box::new(eve(root, node, remarks)) });
            }
            "file-store" => found.push(Output::FileStore {
                directory: node.text("dir").unwrap_or("filestore").to_owned(),
                all: node.flag("force-filestore") == Some(true),
                fileinfo: node.flag("write-fileinfo") == Some(true),
            }),
            other => remarks.push(format!("outputs.{other}: Weir has no such output")),
        }
    }
    found
}

fn eve(root: &Node, node: &Node, remarks: &mut Vec<String>) -> EveOptions {
    let mut options = nothing();
    options.community_id = (node.flag("community-id") == Some(true))
        .then(|| node.number("community-id-seed").and_then(|n| u16::try_from(n).ok()).unwrap_or(0));
    options.ethernet = node.flag("ethernet") == Some(true);
    options.pcap_file = node.flag("pcap-file") == Some(true);
    for (name, key) in [("ja3-fingerprints", "ja3-fingerprints"), ("ja4-fingerprints", "ja4-fingerprints")] {
        if let Some(value) = root.text(&format!("app-layer.protocols.tls.{key}")).filter(|v| truth(v).is_some()) {
            options.protocol_settings.entry("tls".to_owned()).or_default().insert(name.to_owned(), value.to_owned());
        }
    }
    if let Some(on) = node.text("metadata").and_then(truth) {
        options.metadata = on;
    }
    let Some(types) = node.get("types") else { return options };
    for item in &types.children {
        let Some(kind) = item.value.as_deref() else { continue };
        let empty = Node::default();
        let details = item.get(kind).unwrap_or(&empty);
        if details.flag("enabled") == Some(false) {
            continue;
        }
        switch_on(&mut options, kind, details, remarks);
    }
    options
}

/// Switches a record type on, with its details.
fn switch_on(options: &mut EveOptions, kind: &str, details: &Node, remarks: &mut Vec<String>) {
    match kind {
        "alert" => alert(options, details),
        "anomaly" => {
            options.anomaly = true;
            let types = |name: &str, default| details.flag(&format!("types.{name}")).unwrap_or(default);
            // Decode and stream anomalies are off unless asked for, as soon as there is a section that could ask.
            options.anomaly_header = details.flag("packethdr") == Some(true);
            options.anomaly_layers = [types("decode", false), types("stream", false), types("applayer", true)];
        }
        "flow" => options.flow = true,
        "netflow" => options.netflow = true,
        "stats" => options.stats = true,
        "drop" => {
            options.drop = true;
            options.drop_alerts = details.flag("alerts") == Some(true);
            options.drop_all = details.text("flows") == Some("all");
            options.drop_verdict = details.flag("verdict") == Some(true);
        }
        "files" => {
            options.files = true;
            options.file_digests = [false; 3];
            options.file_magic = details.flag("force-magic") == Some(true);
            for hash in details.texts("force-hash") {
                match hash.as_str() {
                    "md5" => options.file_digests[0] = true,
                    "sha1" => options.file_digests[1] = true,
                    "sha256" => options.file_digests[2] = true,
                    other => remarks.push(format!("force-hash {other}: there are md5, sha1 and sha256")),
                }
            }
        }
        "frame" => options.frames = true,
        "metadata" => options.metadata_records = true,
        "ftp" => {
            options.protocols.insert("ftp".to_owned());
            options.protocols.insert("ftp_data".to_owned());
        }
        other => {
            let mut settings: BTreeMap<String, String> = BTreeMap::new();
            // Suricata reads the version from the environment as well.
            if let (Ok(version), "dns") = (std::env::var("SURICATA_EVE_DNS_VERSION"), other) {
                settings.insert("version".to_owned(), version);
            }
            details.walk("", &mut |name, value| {
                settings.insert(name.to_owned(), value.to_owned());
            });
            options.protocols.insert(other.replace('-', "_"));
            options.protocol_settings.entry(other.replace('-', "_")).or_default().extend(settings);
        }
    }
}

fn alert(options: &mut EveOptions, details: &Node) {
    options.alert = true;
    let on = |name: &str| details.flag(name);
    options.payload = on("payload") == Some(true);
    options.payload_printable = on("payload-printable") == Some(true);
    options.payload_length = on("payload-length") == Some(true);
    options.payload_limit = details.size("payload-buffer-size").map_or(4096, |n| n as usize);
    options.packet = on("packet") == Some(true);
    options.http_body = on("http-body") == Some(true);
    options.http_body_printable = on("http-body-printable") == Some(true);
    options.tagged = on("tagged-packets").unwrap_or(true);
    options.verdict = on("verdict") == Some(true);
    let metadata = details.text("metadata").and_then(truth).unwrap_or(true);
    let section = |name: &str, default| details.flag(&format!("metadata.{name}")).unwrap_or(default);
    options.app_layer = section("app-layer", metadata);
    options.alert_flow = section("flow", metadata);
    options.rule_metadata = section("rule", metadata) && section("rule.metadata", true);
    options.rule_reference = section("rule.reference", false);
    options.rule_text = section("rule.raw", false);
    options.metadata = metadata;
}

/// What Weir's own configuration says of it.
pub fn into_own(options: &EveOptions, output: &mut OutputSection) {
    output.alert = options.alert;
    output.anomaly = options.anomaly;
    output.flow = options.flow;
    output.drop = options.drop;
    output.stats = options.stats;
    output.payload = options.payload;
    output.payload_printable = options.payload_printable;
    output.payload_limit = Size(options.payload_limit as u64);
    output.packet = options.packet;
    output.rule_metadata = options.rule_metadata;
    output.rule_reference = options.rule_reference;
    output.rule_text = options.rule_text;
    output.app_layer = options.app_layer;
    output.verdict = options.verdict;
    output.community_id = options.community_id.is_some();
    output.community_id_seed = options.community_id.unwrap_or(0);
    output.netflow = options.netflow;
    output.files = options.files;
    output.protocols = options.protocols.iter().cloned().collect();
}
