//! Every key with its type, default and meaning.

use crate::key::{Section, section};
use crate::network::NetworkPolicy;
use crate::value::{Seconds, Size, choice};
use std::collections::BTreeMap;
use std::path::PathBuf;

choice! {
    /// Transport checksums.
    Checksums {
        /// Validate, unless the first packets show that the capturing host left them to its card.
        Auto = "auto",
        /// Packets with a wrong checksum take no part in streams.
        Validate = "validate",
        /// Every checksum counts as right.
        Ignore = "ignore",
    }
}

choice! {
    /// Who wins where segments or fragments overlap; named after the receiving systems.
    OverlapPolicy {
        /// What came first.
        First = "first",
        /// What came last.
        Last = "last",
        /// BSD.
        Bsd = "bsd",
        /// BSD, right-favouring.
        BsdRight = "bsd-right",
        /// Linux.
        Linux = "linux",
        /// Linux 2.2.
        OldLinux = "old-linux",
        /// Windows.
        Windows = "windows",
        /// Solaris.
        Solaris = "solaris",
    }
}

choice! {
    /// What to do with the payload of sessions once it is encrypted.
    EncryptionHandling {
        /// Inspect headers only; the device settles the flow.
        Bypass = "bypass",
        /// Go on inspecting.
        Full = "full",
    }
}

choice! {
    /// Who is told of a rejected frame, where frames go through Weir.
    RejectTold {
        /// Both ends, whichever the rule names: neither waits for the other then.
        Both = "both",
        /// Whom the rule names: `reject` and `rejectsrc` the sender, `rejectdst` the receiver.
        Rule = "rule",
    }
}

choice! {
    /// What to do about an interface's offloads, which show or send other frames than those of the wire.
    Offloads {
        /// Switch them off, and on again at the end.
        Off = "off",
        /// Refuse an interface that has one on.
        Refuse = "refuse",
        /// Leave them; what can be repaired is repaired.
        Keep = "keep",
    }
}

choice! {
    /// When the bytes of a stream are inspected.
    Inspection {
        /// When they are contiguous, as an inline system must.
        Arrival = "arrival",
        /// When the other side has acknowledged them, or the flow is over, as Suricata does where it only listens.
        Acknowledged = "acknowledged",
    }
}

choice! {
    /// What happens where inspection cannot be what it should.
    ExceptionPolicy {
        /// Go on as well as possible.
        Ignore = "ignore",
        /// The packet passes without inspection.
        PassPacket = "pass-packet",
        /// The flow passes without inspection.
        PassFlow = "pass-flow",
        /// The flow passes, and is not followed any more.
        Bypass = "bypass",
        /// The packet is dropped.
        DropPacket = "drop-packet",
        /// The flow is dropped.
        DropFlow = "drop-flow",
        /// The flow is dropped, and its ends are told.
        Reject = "reject",
    }
}

choice! {
    /// What the device does when the host has stopped.
    FailMode {
        /// Pass everything, counted as bypassed.
        Open = "open",
        /// Drop everything.
        Closed = "closed",
    }
}

section! {
    /// Where packets come from and how they are read.
    CaptureSection, capture, CAPTURE {
        checksums: Checksums = Checksums::Validate, "capture.checksums",
            "Transport checksums. `auto` looks at the first 1000 packets of a capture and ignores checksums if more than a tenth are wrong.";
        max_layers: u8 = 16, "capture.max-layers",
            "Headers decoded in one frame, tunnels included.", |n| (4..=64).contains(n), "4 to 64";
        vxlan_ports: Vec<u16> = vec![4789], "capture.vxlan-ports", "UDP ports on which VXLAN is decoded.";
        geneve_ports: Vec<u16> = vec![6081], "capture.geneve-ports", "UDP ports on which GENEVE is decoded.";
        teredo_ports: Vec<u16> = vec![3544], "capture.teredo-ports", "UDP ports on which Teredo is decoded.";
        gtp_ports: Vec<u16> = vec![], "capture.gtp-ports", "UDP ports on which user traffic in GTP-U is decoded.";
        erspan_type_1: bool = true, "capture.erspan-type-1", "Decode ERSPAN type I, which only the GRE protocol tells from other payload.";
    }
}

section! {
    /// IP fragments.
    DefragSection, defrag, DEFRAG {
        max_datagrams: usize = 65_536, "defrag.max-datagrams",
            "Datagrams collected at the same time.", |n| *n > 0, "at least 1";
        max_memory: Size = Size(32 << 20), "defrag.max-memory",
            "Memory for waiting fragments.", |n| n.0 >= 1 << 16, "at least 64 KiB";
        timeout: Seconds = Seconds(30), "defrag.timeout",
            "Time after the last fragment until a collection is forgotten.", |n| n.0 > 0, "at least 1 s";
        policy: OverlapPolicy = OverlapPolicy::Bsd, "defrag.policy", "Who wins where fragments overlap.";
        policies: Vec<NetworkPolicy> = vec![], "defrag.policies",
            "The same for fragments to some networks: the longest prefix counts.";
    }
}

section! {
    /// TCP streams.
    StreamSection, stream, STREAM {
        midstream: bool = false, "stream.midstream", "Follow TCP sessions whose SYN was not seen.";
        async_oneside: bool = false, "stream.async-oneside",
            "Follow TCP sessions of which one side is seen only (then a device sends every frame).";
        midstream_policy: ExceptionPolicy = ExceptionPolicy::Ignore, "stream.midstream-policy",
            "What happens to TCP sessions whose SYN was not seen.";
        inspect: Inspection = Inspection::Arrival, "stream.inspect",
            "When bytes of a stream go to parsers and rules: on arrival, or when the other side has acknowledged them \
             (then a device sends every frame).";
        depth: Size = Size(1 << 20), "stream.reassembly.depth",
            "Bytes of each direction that are put together; later segments are inspected as packets.",
            |n| n.0 > 0, "at least 1";
        queue_limit: Size = Size(256 << 10), "stream.reassembly.queue-limit",
            "Bytes of a direction that may wait behind a gap.", |n| n.0 >= 1 << 10, "at least 1 KiB";
        stream_memory: Size = Size(256 << 20), "stream.reassembly.memory",
            "Bytes that may wait behind gaps in all streams together (64 more for each piece). A stream may hold an eighth of what is \
             free of it; beyond, what waits is delivered behind a gap, and counted.",
            |n| n.0 >= 1 << 20, "at least 1 MiB";
        raw_window: Size = Size(2560), "stream.reassembly.raw-window",
            "Delivered bytes that stay visible to payload contents of rules.",
            |n| (64..=1 << 20).contains(&n.0), "64 B to 1 MiB";
        policy: OverlapPolicy = OverlapPolicy::Bsd, "stream.policy", "Who wins where segments overlap.";
        policies: Vec<NetworkPolicy> = vec![], "stream.policies",
            "The same for segments to some networks: the longest prefix counts.";
    }
}

section! {
    /// Flows.
    FlowSection, flow, FLOW {
        max: usize = 4_000_000, "flow.max",
            "Flows at a time. Packets beyond it are inspected without a flow, and counted.", |n| *n > 0, "at least 1";
        tcp_new: Seconds = Seconds(60), "flow.timeouts.tcp-new", "Idle time of TCP flows without a complete handshake.", |n| n.0 > 0, "at least 1 s";
        tcp_established: Seconds = Seconds(600), "flow.timeouts.tcp-established", "Idle time of established TCP flows.", |n| n.0 > 0, "at least 1 s";
        tcp_closed: Seconds = Seconds(60), "flow.timeouts.tcp-closed", "Idle time of closed TCP flows.", |n| n.0 > 0, "at least 1 s";
        udp_new: Seconds = Seconds(30), "flow.timeouts.udp-new", "Idle time of UDP flows seen in one direction.", |n| n.0 > 0, "at least 1 s";
        udp_established: Seconds = Seconds(300), "flow.timeouts.udp-established", "Idle time of UDP flows seen in both directions.", |n| n.0 > 0, "at least 1 s";
        icmp: Seconds = Seconds(30), "flow.timeouts.icmp", "Idle time of ICMP flows.", |n| n.0 > 0, "at least 1 s";
        other_new: Seconds = Seconds(30), "flow.timeouts.other-new", "Idle time of other flows seen in one direction.", |n| n.0 > 0, "at least 1 s";
        other_established: Seconds = Seconds(300), "flow.timeouts.other-established", "Idle time of other flows seen in both directions.", |n| n.0 > 0, "at least 1 s";
        id_seed: u64 = 0x5745_4952, "flow.id-seed", "Secret that makes flow identifiers; the same input gives the same identifiers.";
    }
}

section! {
    /// Limits of application-layer parsers.
    AppLayerSection, app_layer, APP_LAYER {
        body_limit: Size = Size(100 << 10), "app-layer.body-limit",
            "Bytes of a body that are kept and inspected, per direction of a transaction.", |n| (1..=1 << 30).contains(&n.0), "1 B to 1 GiB";
        request_body_limit: Size = Size(0), "app-layer.request-body-limit",
            "Bytes of the body of an HTTP request that are kept and inspected; 0: those of body-limit.", |n| n.0 <= 1 << 30, "at most 1 GiB";
        response_body_limit: Size = Size(0), "app-layer.response-body-limit",
            "Bytes of the body of an HTTP response that are kept and inspected; 0: those of body-limit.", |n| n.0 <= 1 << 30, "at most 1 GiB";
        head_limit: Size = Size(64 << 10), "app-layer.head-limit",
            "Bytes of a message head.", |n| (512..=16 << 20).contains(&n.0), "512 B to 16 MiB";
        inflate_limit: Size = Size(100 << 10), "app-layer.inflate-limit",
            "Bytes that decompression may put out, per body.", |n| n.0 <= 1 << 30, "at most 1 GiB";
        inflate_layers: usize = 4, "app-layer.inflate-layers", "Nested content encodings undone.", |n| *n <= 16, "at most 16";
        by_delivery: bool = false, "app-layer.by-delivery",
            "What comes with the last bytes of a message and begins no other belongs to it, as in Suricata; otherwise only the bytes decide, however they come.";
        transactions: usize = 256, "app-layer.transactions", "Open transactions per flow.", |n| *n > 0, "at least 1";
        tls_message_limit: Size = Size(64 << 10), "app-layer.tls.message-limit",
            "Bytes of a TLS handshake message.", |n| (1 << 10..=16 << 20).contains(&n.0), "1 KiB to 16 MiB";
        encryption: EncryptionHandling = EncryptionHandling::Bypass, "app-layer.tls.encryption-handling",
            "Payload of TLS and SSH sessions once it is encrypted.";
        link_schemes: Vec<String> = vec!["http".to_owned()], "app-layer.mail.link-schemes",
            "Schemes of the links that are looked for in mails: http, https, ftp, mailto.";
        log_link_scheme: bool = false, "app-layer.mail.log-link-scheme", "Tell such links with their scheme.";
        disabled: Vec<String> = vec![], "app-layer.disabled",
            "Protocols that are not parsed, by the names rules have for them; their flows count as of no known protocol.";
    }
}

section! {
    /// Decisions.
    InlineSection, inline, INLINE {
        simulate: bool = false, "inline.simulate",
            "Carry out drop and reject on a capture as an inline system would: packets of a dropped flow are not inspected any more.";
        reject: RejectTold = RejectTold::Both, "inline.reject",
            "Who gets a reset (TCP) or an ICMP error (all else) for a rejected frame, with `weir run --inline`.";
        drop_time: Seconds = Seconds(0), "inline.drop-time",
            "Time for which the device drops a flow that was dropped or rejected, with `weir run --inline`; 0: until its entry ages.";
    }
}

section! {
    /// Network interfaces: `weir run --tap` and `--inline`.
    LiveSection, live, LIVE {
        tap: Vec<String> = vec![], "live.tap",
            "Interfaces to listen to, when the command line names no source.";
        inline: Vec<String> = vec![], "live.inline",
            "The two interfaces between which frames go through Weir, or the firewall's queues (nfqueue:N, nfqueue:N-M) whose packets do, when the command line names no source.",
            |list| matches!(list.len(), 0 | 2) || matches!(&**list, [queue] if queue.starts_with("nfqueue:")), "two interfaces, or nfqueue:N";
        ring_size: Size = Size(32 << 20), "live.ring-size",
            "Memory for frames of each interface that wait to be read.", |n| (1 << 20..=4 << 30).contains(&n.0), "1 MiB to 4 GiB";
        queue_length: u32 = 4096, "live.queue-length",
            "With nfqueue: packets that may wait for their verdict in each queue.", |n| (1..=1 << 20).contains(n), "1 to 1048576";
        queue_fail_open: bool = false, "live.queue-fail-open",
            "With nfqueue: packets that find no place in a full queue pass, uninspected and not counted by the kernel; else they are dropped and counted.";
        queue_mark: u32 = 0, "live.queue-mark",
            "With nfqueue: bits set in the packet mark of what Weir lets pass, so that later rules know; 0: marks stay as they are.";
        promiscuous: bool = true, "live.promiscuous", "Listen to frames for any address. Inline it is always so.";
        offloads: Offloads = Offloads::Off, "live.offloads",
            "Offloads of the interfaces that falsify inspection: GRO, LRO, TSO, GSO, checksums, VLAN stripping and insertion.";
        idle: u32 = 20, "live.idle",
            "Milliseconds without a frame after which time goes on: flows age, thresholds run out, the device hears from the host.",
            |n| (1..=1000).contains(n), "1 to 1000";
    }
}

section! {
    /// Firewall mode.
    FirewallSection, firewall, FIREWALL {
        enabled: bool = false, "firewall.enabled",
            "Drop what no rule of the firewall's own files accepts.";
        files: Vec<PathBuf> = Vec::new(), "firewall.files",
            "Rule files of the firewall, which decide in the order of their text.";
        policies: Vec<String> = Vec::new(), "firewall.policies",
            "What happens where no rule decides: hook=action[,alert], such as packet.filter=accept:hook or app.http1.request-line=drop:flow.";
    }
}

section! {
    /// Regular expressions.
    PcreSection, pcre, PCRE {
        match_limit: u32 = 3500, "pcre.match-limit",
            "Steps of one match; beyond it there is no match, and it is counted.", |n| *n > 0, "at least 1";
        recursion_limit: u32 = 1500, "pcre.recursion-limit", "Depth of one match.", |n| *n > 0, "at least 1";
    }
}

section! {
    /// The device and its rings.
    DeviceSection, device, DEVICE {
        queues: u32 = 1, "device.queues",
            "Queues; flows are spread over them.", |n| n.is_power_of_two() && *n <= 64, "a power of two up to 64";
        history_size: Size = Size(64 << 20), "device.history-size",
            "History ring of each queue: what the host can read back of a flow that gets flagged.",
            |n| n.0.is_power_of_two() && (1 << 16..=1 << 32).contains(&n.0), "a power of two from 64 KiB to 4 GiB";
        history_margin: Size = Size(0), "device.history-margin",
            "Bytes ahead of the write position at which unsettled flows are handed over; 0: a quarter of the ring, at most 8 MiB.";
        descriptors: u32 = 4096, "device.descriptors",
            "Entries of each descriptor ring.", |n| n.is_power_of_two() && (16..=1 << 20).contains(n), "a power of two from 16 to 1048576";
        transmit: u32 = 4096, "device.transmit",
            "Entries of each transmit ring.", |n| n.is_power_of_two() && (16..=1 << 20).contains(n), "a power of two from 16 to 1048576";
        flow_records: u32 = 4096, "device.flow-records",
            "Entries of each flow-record ring.", |n| n.is_power_of_two() && (16..=1 << 20).contains(n), "a power of two from 16 to 1048576";
        flow_entries: u32 = 65_536, "device.flow-entries",
            "Flows the device can hold; a frame that finds no place goes to the host.", |n| *n > 0, "at least 1";
        report_interval: Seconds = Seconds(60), "device.report-interval", "Time between reports of a long-lived flow; 0: none.";
        fail_mode: FailMode = FailMode::Open, "device.fail-mode", "What happens to traffic when the host has stopped.";
        watchdog_frames: u32 = 0, "device.watchdog-frames", "Frames without a sign of the host until the fail mode; 0: no limit.";
        watchdog_time: Seconds = Seconds(0), "device.watchdog-time", "Frame time without a sign of the host until the fail mode; 0: no limit.";
        inline: bool = false, "device.inline",
            "A device with ports of its own stands between them: frames that it sends to the host wait for a verdict, and what a host before \
             had blocked stays blocked. For interfaces of this machine: --inline.";
        source_share: u32 = 25, "device.source-share",
            "Per cent of the host's work that one source (an IPv4 address, a /64 of IPv6) may have while the host lags behind a link: what it \
             sends beyond meets the fail mode, counted under this name. 100: no limit.",
            |n| (1..=100).contains(n), "1 to 100";
        batch: u32 = 64, "device.batch",
            "Most frames offered to the simulated device between two visits of the host.", |n| (1..=65_536).contains(n), "1 to 65536";
        latency: u32 = 100, "device.latency",
            "Frame time in microseconds after which the host has answered all that the simulated device has sent (a link of 100 Gbit/s brings about a thousand frames in 100).";
    }
}

section! {
    /// Rule files.
    RulesSection, rules, RULES {
        files: Vec<PathBuf> = vec![], "rules.files",
            "Files, or directories of `*.rules`, loaded when the command line names none. Relative paths start at the configuration file.";
        action_order: Vec<String> = ["pass", "drop", "reject", "alert"].map(str::to_owned).to_vec(), "rules.action-order",
            "Actions of rules in the order in which matches of a packet are looked at.",
            |list| { let mut sorted = list.clone(); sorted.sort(); sorted == ["alert", "drop", "pass", "reject"] },
            "pass, drop, reject and alert, each once";
        alerts_per_packet: usize = 0, "rules.alerts-per-packet",
            "Matches of a packet, in the order in which they are found, that may become alerts; 0: all.";
        classification: Option<PathBuf> = None, "rules.classification-file", "`classification.config`: classes, their descriptions and priorities.";
        reference: Option<PathBuf> = None, "rules.reference-file", "`reference.config`: prefixes of references.";
        reputation_categories: Option<PathBuf> = None, "rules.reputation-categories-file", "Categories of reputation lists: number, name, description a line.";
        reputation_files: Vec<PathBuf> = vec![], "rules.reputation-files", "Reputation lists: address or network, category, score a line.";
        geoip_database: Option<PathBuf> = None, "rules.geoip-database", "Countries of addresses, for `geoip`: a MaxMind DB file with `country.iso_code`.";
        threshold: Option<PathBuf> = None, "rules.threshold-file", "`threshold.config`: suppressions, and thresholds by signature.";
    }
}

section! {
    /// Events.
    OutputSection, output, OUTPUT {
        eve: bool = true, "output.eve", "Write events.";
        eve_file: PathBuf = PathBuf::from("eve.json"), "output.eve-file", "File of events, relative to the log directory.";
        stats_file: PathBuf = PathBuf::from("stats.json"), "output.stats-file", "File of totals, relative to the log directory.";
        alert: bool = true, "output.alert", "Write alert records.";
        anomaly: bool = false, "output.anomaly", "Write anomaly records.";
        flow: bool = false, "output.flow", "Write flow records.";
        drop: bool = true, "output.drop", "Write drop records.";
        stats: bool = true, "output.stats", "Write a stats record at the end.";
        payload: bool = false, "output.payload", "Payload of alerts in base64.";
        payload_printable: bool = false, "output.payload-printable", "Payload of alerts as text.";
        payload_limit: Size = Size(4096), "output.payload-limit", "At most so much payload.";
        packet: bool = false, "output.packet", "Packet of alerts in base64.";
        rule_metadata: bool = true, "output.rule-metadata", "`metadata` of the rule in alerts.";
        rule_reference: bool = true, "output.rule-reference", "`reference` of the rule in alerts.";
        rule_text: bool = false, "output.rule-text", "Text of the rule in alerts.";
        app_layer: bool = true, "output.app-layer", "Application-layer objects in alerts.";
        netflow: bool = false, "output.netflow", "Write netflow records, one for each direction of a flow.";
        files: bool = false, "output.files", "Write a record for each file that a protocol carries.";
        file_digests: bool = false, "output.file-digests", "Compute MD5, SHA-1 and SHA-256 of files although no rule asks for them.";
        protocols: Vec<String> = vec![], "output.protocols",
            "Write a record for each transaction of these protocols, by the names of their record types (`http`, `dns`, `tls`, ...).";
        verdict: bool = true, "output.verdict", "The decision on the packet in alerts.";
        community_id: bool = false, "output.community-id", "Community ID of the flow.";
        community_id_seed: u16 = 0, "output.community-id-seed", "Seed of the Community ID; the same on all sensors.";
    }
}

section! {
    /// The socket by which a running Weir is asked and told: see the reference of the control socket.
    ControlSection, control, CONTROL {
        socket: Option<PathBuf> = None, "control.socket",
            "Unix socket of a running Weir, made with mode 0600; only the user that runs it, and root, are heard. Without it there is none.";
        proof: bool = true, "control.proof",
            "Prove the tables of a bundle from its rules before they are activated, as `weir tables verify` does. Without it, only the bundle's signature, digests and geometry are checked.";
    }
}

section! {
    /// The process of a live run.
    SystemSection, system, SYSTEM {
        user: String = String::new(), "system.user",
            "User that `weir run` and `weir sim serve` become once interfaces and device are open: a name of /etc/passwd, or USER:GROUP in numbers; empty: it stays who it is.";
        drop_privileges: bool = true, "system.drop-privileges",
            "Give all capabilities up once interfaces and device are open, and never take any again. Logs, bundles and sockets are then opened with the rights of the user alone. An interface that is made anew ends the run, which a supervisor starts again.";
    }
}

/// All sections, in the order of the reference page.
pub(crate) const SECTIONS: &[Section] = &[RULES, CAPTURE, DEFRAG, STREAM, FLOW, APP_LAYER, INLINE, LIVE, FIREWALL, PCRE, DEVICE, OUTPUT, CONTROL, SYSTEM];

/// The configuration.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Variables of rules that differ from the built-in ones: name to text.
    pub vars: BTreeMap<String, String>,
    /// `rules.*`
    pub rules: RulesSection,
    /// `capture.*`
    pub capture: CaptureSection,
    /// `defrag.*`
    pub defrag: DefragSection,
    /// `stream.*`
    pub stream: StreamSection,
    /// `flow.*`
    pub flow: FlowSection,
    /// `app-layer.*`
    pub app_layer: AppLayerSection,
    /// `inline.*`
    pub inline: InlineSection,
    /// `live.*`
    pub live: LiveSection,
    /// `firewall.*`
    pub firewall: FirewallSection,
    /// `pcre.*`
    pub pcre: PcreSection,
    /// `device.*`
    pub device: DeviceSection,
    /// `output.*`
    pub output: OutputSection,
    /// `system.*`
    pub system: SystemSection,
    /// `control.*`
    pub control: ControlSection,
}
