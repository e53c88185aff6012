//! From a suricata.yaml to Weir's configuration.

use super::outputs::{self, Output};
use super::tree::Node;
use std::path::{Path, PathBuf};
use weir_management::{Checksums, Config, EncryptionHandling, ExceptionPolicy, Inspection, NetworkPolicy, OverlapPolicy, Seconds, Size};

/// What came of a suricata.yaml.
#[derive(Debug, Clone)]
pub struct Imported {
    /// Weir's configuration.
    pub config: Config,
    /// Its outputs; Weir's own configuration knows one EVE file only.
    pub outputs: Vec<Output>,
    /// What was not taken over, and why.
    pub remarks: Vec<String>,
}

impl Imported {
    /// As far as Weir's own configuration goes: one EVE file.
    pub fn into_own(self) -> (Config, Vec<String>) {
        let Imported { mut config, outputs, mut remarks } = self;
        config.output.eve = false;
        for output in outputs {
            match output {
                Output::Eve { file, options } if !config.output.eve => {
                    config.output.eve = true;
                    config.output.eve_file = PathBuf::from(file);
                    outputs::into_own(&options, &mut config.output);
                }
                Output::Eve { file, .. } => remarks.push(format!("{file}: there is one EVE file")),
                Output::Fast { file } | Output::Stats { file } => {
                    remarks.push(format!("{file}: only `weir suricata` writes it"));
                }
                Output::FileStore { directory, .. } => remarks.push(format!("{directory}: files are not stored")),
            }
        }
        (config, remarks)
    }
}

/// Keys (or their beginnings) that have no meaning for Weir: they tune Suricata's threads, memory or capture.
const WITHOUT_MEANING: &[&str] = &[
    "suricata-version", "af-packet", "af-xdp", "dpdk", "pcap.", "coredump", "threading", "profiling", "mpm-algo",
    "spm-algo", "max-pending-packets", "runmode", "autofp-scheduler", "unix-command", "logging", "cuda", "netmap",
    "pfring", "ipfw", "napatech", "nflog", "nfq", "ndpi", "plugins", "security", "stats", "host.", "ippair", "luajit",
    "run-as", "sensor-name", "pid-file", "daemon-directory", "umask", "capture.", "flow.memcap", "flow.hash-size",
    "flow.prealloc", "flow.emergency-recovery", "defrag.memcap", "defrag.hash-size", "defrag.trackers",
    "defrag.max-frags", "defrag.prealloc", "stream.memcap", "stream.prealloc-sessions",
    "stream.reassembly.toserver-chunk-size", "stream.reassembly.toclient-chunk-size",
    "stream.reassembly.randomize-chunk-size", "detect.", "asn1-max-frames", "legacy", "default-packet-size",
];

/// Keys (or their beginnings) that are read.
const READ: &[&str] = &[
    "firewall.", "firewall-rule",
    "vars.", "outputs.", "app-layer.protocols.", "classification-file", "reference-config-file", "threshold-file",
    "default-rule-path", "rule-files.", "default-log-dir", "stream.midstream", "stream.async-oneside",
    "stream.checksum-validation", "stream.inline", "stream.reassembly.depth", "stream.reassembly.memcap", "flow-timeouts.", "defrag.timeout",
    "host-os-policy.", "pcre.", "pcap-file.checksum-checks", "vlan.use-for-tracking", "decoder.", "exception-policy",
    "action-order", "datasets", "reputation", "geoip-database", "default-reputation-path", "engine-analysis", "host-mode", "packet-alert-max",
];

/// Translates a configuration. `directory` is where relative paths of rules start; `inline`: decisions will be carried
/// out. The error says what cannot be.
pub fn import(root: &Node, directory: &Path, inline: bool) -> Result<Imported, String> {
    let mut config = Config::default();
    let mut remarks = Vec::new();
    variables(root, &mut config);
    files(root, directory, &mut config);
    packets(root, &mut config, &mut remarks);
    stream(root, inline, &mut config);
    firewall(root, &mut config);
    timeouts(root, &mut config);
    application(root, &mut config);
    let order = root.texts("action-order");
    if weir_detect::ActionOrder::from_names(order.iter().map(String::as_str)).is_some() {
        config.rules.action_order = order;
    } else if !order.is_empty() {
        return Err("action-order: name pass, drop, reject and alert, each once".to_owned());
    }
    config.rules.alerts_per_packet = root.number("packet-alert-max").and_then(|n| usize::try_from(n).ok()).unwrap_or(15);
    config.pcre.match_limit = number(root, "pcre.match-limit", config.pcre.match_limit);
    config.pcre.recursion_limit = number(root, "pcre.match-limit-recursion", config.pcre.recursion_limit);
    let outputs = outputs::outputs(root, &mut remarks);
    unread(root, &mut remarks);
    config.stream.midstream_policy = midstream_policy(root, inline)?;
    Ok(Imported { config, outputs, remarks })
}

fn policy(key: &str, text: &str) -> Result<Option<ExceptionPolicy>, String> {
    Ok(Some(match text {
        "ignore" => ExceptionPolicy::Ignore,
        "pass-packet" => ExceptionPolicy::PassPacket,
        "pass-flow" => ExceptionPolicy::PassFlow,
        "bypass" => ExceptionPolicy::Bypass,
        "drop-packet" => ExceptionPolicy::DropPacket,
        "drop-flow" => ExceptionPolicy::DropFlow,
        "reject" => ExceptionPolicy::Reject,
        "auto" => return Ok(None),
        other => {
            return Err(format!(
                "{key}: `{other}` is no exception policy: it is one of auto, drop-packet, drop-flow, reject, bypass, \
                 pass-packet, pass-flow, ignore"
            ));
        }
    }))
}

/// What happens to sessions whose beginning was not seen. `auto` drops them inline, where they are not followed.
fn midstream_policy(root: &Node, inline: bool) -> Result<ExceptionPolicy, String> {
    let midstream = root.flag("stream.midstream") == Some(true);
    let auto = if inline && !midstream { ExceptionPolicy::DropFlow } else { ExceptionPolicy::Ignore };
    let key = "stream.midstream-policy";
    let Some(text) = root.text(key) else {
        let key = "exception-policy";
        let master = root.text(key).map_or(Ok(None), |text| policy(key, text))?.unwrap_or(auto);
        // Only what can hold for a flow is taken over from the policy for everything.
        let flow = matches!(
            master,
            ExceptionPolicy::PassFlow | ExceptionPolicy::Bypass | ExceptionPolicy::DropFlow | ExceptionPolicy::Reject
        );
        let possible = flow && (!midstream || master == ExceptionPolicy::PassFlow);
        return Ok(if possible { master } else { ExceptionPolicy::Ignore });
    };
    let Some(policy) = policy(key, text)? else { return Ok(auto) };
    let possible = match policy {
        ExceptionPolicy::Ignore | ExceptionPolicy::PassFlow => true,
        ExceptionPolicy::PassPacket | ExceptionPolicy::DropPacket => false,
        ExceptionPolicy::Bypass | ExceptionPolicy::DropFlow | ExceptionPolicy::Reject => !midstream,
    };
    if possible {
        Ok(policy)
    } else {
        Err(format!("{key}: `{text}` is not possible {}", if midstream { "with stream.midstream" } else { "for a flow" }))
    }
}

fn number(root: &Node, path: &str, default: u32) -> u32 {
    root.number(path).and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0).unwrap_or(default)
}

fn variables(root: &Node, config: &mut Config) {
    for group in ["vars.address-groups", "vars.port-groups"] {
        for child in root.get(group).map_or(&[][..], |node| &node.children) {
            let text = match (&child.value, child.list) {
                (_, true) => {
                    let items: Vec<&str> = child.children.iter().filter_map(|c| c.value.as_deref()).collect();
                    format!("[{}]", items.join(","))
                }
                (Some(text), false) => text.clone(),
                (None, false) => continue,
            };
            config.vars.insert(child.name.clone(), text);
        }
    }
}

/// A path of the configuration.
fn anchored(directory: &Path, text: &str) -> PathBuf {
    directory.join(text)
}

fn files(root: &Node, directory: &Path, config: &mut Config) {
    let side = |key: &str| root.text(key).map(|text| anchored(directory, text)).filter(|path| path.is_file());
    config.rules.classification = side("classification-file");
    config.rules.reference = side("reference-config-file");
    config.rules.threshold = side("threshold-file");
    config.rules.reputation_categories =
        root.text("reputation-categories-file").map(|text| anchored(directory, text));
    let lists = root.text("default-reputation-path").map_or(directory.to_owned(), |text| anchored(directory, text));
    config.rules.reputation_files = root.texts("reputation-files").iter().map(|text| lists.join(text)).collect();
    config.rules.geoip_database = side("geoip-database");
    let base = root.text("default-rule-path").map_or(directory.to_owned(), |text| anchored(directory, text));
    config.rules.files = root.texts("rule-files").iter().map(|text| base.join(text)).collect();
}

fn packets(root: &Node, config: &mut Config, remarks: &mut Vec<String>) {
    if root.flag("stream.checksum-validation") == Some(false) {
        config.capture.checksums = Checksums::Ignore;
    } else {
        config.capture.checksums = match root.text("pcap-file.checksum-checks") {
            Some("no") => Checksums::Ignore,
            Some("yes") => Checksums::Validate,
            _ => Checksums::Auto,
        };
    }
    let ports = |name: &str, key: &str| -> Option<Vec<u16>> {
        if root.flag(&format!("decoder.{name}.enabled")) == Some(false) {
            return Some(Vec::new());
        }
        let text = root.texts(&format!("decoder.{name}.ports"));
        let text = match text.first().and_then(|t| t.strip_prefix('$')) {
            Some(variable) => root.texts(&format!("vars.port-groups.{variable}")),
            None if text.is_empty() => root.texts(&format!("vars.port-groups.{key}")),
            None => text,
        };
        let ports: Vec<u16> = text.iter().filter_map(|t| t.parse().ok()).collect();
        (!ports.is_empty()).then_some(ports)
    };
    config.capture.vxlan_ports = ports("vxlan", "VXLAN_PORTS").unwrap_or(config.capture.vxlan_ports.clone());
    config.capture.geneve_ports = ports("geneve", "GENEVE_PORTS").unwrap_or(config.capture.geneve_ports.clone());
    config.capture.teredo_ports = ports("teredo", "TEREDO_PORTS").unwrap_or(config.capture.teredo_ports.clone());
    config.capture.erspan_type_1 =
        root.flag("decoder.erspan.typeI.enabled").unwrap_or(config.capture.erspan_type_1);
    if root.flag("vlan.use-for-tracking") == Some(false) {
        remarks.push("vlan.use-for-tracking: VLAN tags are always part of a flow's key".to_owned());
    }
    if let Some(seconds) = root.number("defrag.timeout").filter(|n| *n > 0) {
        config.defrag.timeout = Seconds(seconds);
    }
    policies(root, config, remarks);
}

/// Overlap policies of hosts.
fn policies(root: &Node, config: &mut Config, remarks: &mut Vec<String>) {
    let Some(node) = root.get("host-os-policy") else { return };
    for child in &node.children {
        let policy = match child.name.as_str() {
            "windows" | "vista" | "windows2k3" => OverlapPolicy::Windows,
            "bsd" | "macos" => OverlapPolicy::Bsd,
            "bsd-right" => OverlapPolicy::BsdRight,
            "linux" | "hpux11" => OverlapPolicy::Linux,
            "old-linux" => OverlapPolicy::OldLinux,
            "solaris" | "old-solaris" => OverlapPolicy::Solaris,
            "hpux10" => OverlapPolicy::Last,
            _ => OverlapPolicy::First,
        };
        for address in root.texts(&format!("host-os-policy.{}", child.name)) {
            if matches!(address.as_str(), "0.0.0.0/0" | "::/0") {
                config.stream.policy = policy;
                config.defrag.policy = policy;
            } else if let Some(network) = NetworkPolicy::new(&address, policy) {
                config.stream.policies.push(network);
                config.defrag.policies.push(network);
            } else {
                remarks.push(format!("host-os-policy.{}: {address} is no address or network", child.name));
            }
        }
    }
}

fn stream(root: &Node, inline: bool, config: &mut Config) {
    config.app_layer.by_delivery = true;
    // `auto` follows what becomes of decisions.
    config.stream.inspect = match root.flag("stream.inline").unwrap_or(inline) {
        true => Inspection::Arrival,
        false => Inspection::Acknowledged,
    };
    config.stream.midstream = root.flag("stream.midstream") == Some(true);
    config.stream.async_oneside = root.flag("stream.async-oneside") == Some(true);
    if let Some(depth) = root.size("stream.reassembly.depth") {
        // 0 stands for no limit.
        config.stream.depth = Size(if depth == 0 { u64::MAX >> 1 } else { depth });
    }
    if let Some(memory) = root.size("stream.reassembly.memcap") {
        config.stream.stream_memory = Size(if memory == 0 { u64::MAX >> 1 } else { memory.max(1 << 20) });
    }
}

/// Firewall mode: its rule files and the policies of its hooks.
fn firewall(root: &Node, config: &mut Config) {
    config.firewall.enabled = root.flag("firewall.enabled") == Some(true);
    let directory = root.text("firewall.rule-path").or(root.text("firewall-rule-path")).map(PathBuf::from).unwrap_or_default();
    for list in ["firewall.rule-files", "firewall-rule-files"] {
        config.firewall.files.extend(root.texts(list).iter().map(|file| directory.join(file)));
    }
    let mut lines: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    if let Some(node) = root.get("firewall.policies") {
        node.walk("", &mut |name, value| {
            // Items of a list are numbered.
            let (hook, last) = name.rsplit_once('.').unwrap_or(("", name));
            let hook = if last.bytes().all(|b| b.is_ascii_digit()) { hook } else { name };
            lines.entry(hook.to_owned()).or_default().push(value.to_owned());
        });
    }
    config.firewall.policies = lines.into_iter().map(|(hook, words)| format!("{hook}={}", words.join(","))).collect();
}

fn timeouts(root: &Node, config: &mut Config) {
    let flow = &mut config.flow;
    let take = |path: &str, to: &mut [&mut Seconds]| {
        if let Some(seconds) = root.number(&format!("flow-timeouts.{path}")).filter(|n| *n > 0) {
            to.iter_mut().for_each(|to| **to = Seconds(seconds));
        }
    };
    take("default.new", &mut [&mut flow.other_new]);
    take("default.established", &mut [&mut flow.other_established]);
    take("tcp.new", &mut [&mut flow.tcp_new]);
    take("tcp.established", &mut [&mut flow.tcp_established]);
    take("tcp.closed", &mut [&mut flow.tcp_closed]);
    take("udp.new", &mut [&mut flow.udp_new]);
    take("udp.established", &mut [&mut flow.udp_established]);
    take("icmp.new", &mut [&mut flow.icmp]);
}

fn application(root: &Node, config: &mut Config) {
    let http = "app-layer.protocols.http.libhtp.default-config";
    let bodies = ["request-body-limit", "response-body-limit"].map(|key| root.size(&format!("{http}.{key}")));
    // Where it says nothing Suricata keeps 4 KiB; 0 stands for no limit.
    let [request, response] = bodies.map(|limit| Size(limit.map_or(4096, |n| if n == 0 { 1 << 30 } else { n.min(1 << 30) })));
    (config.app_layer.request_body_limit, config.app_layer.response_body_limit) = (request, response);
    config.app_layer.body_limit = Size(config.app_layer.body_limit.0.max(request.0).max(response.0));
    if let Some(layers) = root.number(&format!("{http}.response-body-decompress-layer-limit")) {
        config.app_layer.inflate_layers = usize::try_from(layers).unwrap_or(16).min(16);
    }
    if root.text("app-layer.protocols.tls.encryption-handling") == Some("full") {
        config.app_layer.encryption = EncryptionHandling::Full;
    }
    let mime = "app-layer.protocols.smtp.mime";
    let schemes = root.texts(&format!("{mime}.extract-urls-schemes"));
    if !schemes.is_empty() {
        config.app_layer.link_schemes = schemes;
    }
    if root.flag(&format!("{mime}.extract-urls")) == Some(false) {
        config.app_layer.link_schemes.clear();
    }
    config.app_layer.log_link_scheme = root.flag(&format!("{mime}.log-url-scheme")) == Some(true);
    let off = root.get("app-layer.protocols").map_or(&[][..], |node| &node.children);
    config.app_layer.disabled = off
        .iter()
        .filter(|p| p.flag("enabled") == Some(false))
        .map(|p| p.name.clone())
        .collect();
    // Suricata leaves these off unless they are switched on.
    for name in ["modbus", "dnp3", "enip", "pgsql"] {
        if root.flag(&format!("app-layer.protocols.{name}.enabled")) != Some(true)
            && !config.app_layer.disabled.iter().any(|d| d == name)
        {
            config.app_layer.disabled.push(name.to_owned());
        }
    }
}

/// What nobody reads.
fn unread(root: &Node, remarks: &mut Vec<String>) {
    let known = |list: &[&str], name: &str| list.iter().any(|key| name.starts_with(key));
    root.walk("", &mut |name, value| {
        if !known(READ, name) && !known(WITHOUT_MEANING, name) {
            remarks.push(format!("{name}: {value}: not taken over"));
        }
    });
}
