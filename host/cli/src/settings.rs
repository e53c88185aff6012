//! From the configuration to the settings of each room.

use weir_management::{Config, EncryptionHandling, ExceptionPolicy, Inspection, NetworkPolicy, OverlapPolicy};
use weir_output::EveOptions;
use weir_packet::defrag;

/// Settings of the engine. `validate` decides about transport checksums, for `capture.checksums = auto` too.
pub fn engine(config: &Config, validate: bool) -> weir_engine::EngineConfig {
    weir_engine::EngineConfig {
        decoder: weir_packet::DecoderConfig {
            checksums: if validate { weir_packet::Checksums::Validate } else { weir_packet::Checksums::Ignore },
            max_layers: config.capture.max_layers,
            vxlan_ports: config.capture.vxlan_ports.clone(),
            geneve_ports: config.capture.geneve_ports.clone(),
            teredo_ports: config.capture.teredo_ports.clone(),
            gtp_ports: config.capture.gtp_ports.clone(),
            erspan_type_1: config.capture.erspan_type_1,
            defrag: defrag::DefragConfig {
                max_trackers: config.defrag.max_datagrams,
                max_bytes: config.defrag.max_memory.bytes(),
                timeout: config.defrag.timeout.nanoseconds(),
                policies: by_address(config.defrag.policy, &config.defrag.policies, fragment_policy),
            },
        },
        session: weir_reassembly::SessionConfig {
            midstream: config.stream.midstream,
            one_sided: config.stream.async_oneside,
            depth: config.stream.depth.0,
            queue_limit: config.stream.queue_limit.bytes(),
            memory: weir_reassembly::Budget::new(config.stream.stream_memory.0).into(),
            policy: segment_policy(config.stream.policy),
            delivery: match config.stream.inspect {
                Inspection::Arrival => weir_reassembly::Delivery::Arrival,
                Inspection::Acknowledged => weir_reassembly::Delivery::Acknowledged,
            },
        },
        overlap: by_address(config.stream.policy, &config.stream.policies, segment_policy),
        raw_window: config.stream.raw_window.bytes(),
        timeouts: weir_flow::Timeouts {
            tcp: [config.flow.tcp_new, config.flow.tcp_established, config.flow.tcp_closed].map(|t| t.nanoseconds()),
            udp: [config.flow.udp_new, config.flow.udp_established].map(|t| t.nanoseconds()),
            icmp: [config.flow.icmp; 2].map(|t| t.nanoseconds()),
            other: [config.flow.other_new, config.flow.other_established].map(|t| t.nanoseconds()),
        },
        max_flows: config.flow.max,
        app_layer: weir_app_layer::AppLayerConfig {
            body_limit: config.app_layer.body_limit.bytes(),
            http_body_limits: [config.app_layer.request_body_limit, config.app_layer.response_body_limit]
                .map(|limit| if limit.0 == 0 { config.app_layer.body_limit } else { limit }.bytes()),
            head_limit: config.app_layer.head_limit.bytes(),
            inflate_limit: config.app_layer.inflate_limit.bytes(),
            inflate_layers: config.app_layer.inflate_layers,
            transactions: config.app_layer.transactions,
            tls_message_limit: config.app_layer.tls_message_limit.bytes(),
            // The engine knows whether rules ask for them.
            file_digests: false,
            by_delivery: config.app_layer.by_delivery,
            links: weir_app_layer::config::Links {
                schemes: weir_app_layer::config::Links::SCHEMES
                    .iter()
                    .enumerate()
                    .filter(|(_, (name, _))| config.app_layer.link_schemes.iter().any(|scheme| scheme.eq_ignore_ascii_case(name)))
                    .fold(0, |bits, (n, _)| bits | 1 << n),
                with_scheme: config.app_layer.log_link_scheme,
            },
            frames: 0,
            disabled: disabled(&config.app_layer.disabled),
        },
        inspect_encrypted: config.app_layer.encryption == EncryptionHandling::Full,
        inline: config.inline.simulate || config.firewall.enabled,
        file_digests: config.output.file_digests,
        midstream_policy: policy(config.stream.midstream_policy),
        flow_id_seed: config.flow.id_seed,
    }
}

/// Policies of all addresses.
fn by_address<P: Copy>(
    default: OverlapPolicy,
    networks: &[NetworkPolicy],
    policy: fn(OverlapPolicy) -> P,
) -> defrag::AddressPolicies<P> {
    let mut policies = defrag::AddressPolicies::new(policy(default));
    for network in networks {
        let of = defrag::Network { address: network.address, prefix: network.prefix };
        policies.add(of, policy(network.policy));
    }
    policies
}

fn segment_policy(policy: OverlapPolicy) -> weir_reassembly::OverlapPolicy {
    use weir_reassembly::OverlapPolicy as To;
    match policy {
        OverlapPolicy::First => To::First,
        OverlapPolicy::Last => To::Last,
        OverlapPolicy::Bsd => To::Bsd,
        OverlapPolicy::BsdRight => To::BsdRight,
        OverlapPolicy::Linux => To::Linux,
        OverlapPolicy::OldLinux => To::OldLinux,
        OverlapPolicy::Windows => To::Windows,
        OverlapPolicy::Solaris => To::Solaris,
    }
}

fn fragment_policy(policy: OverlapPolicy) -> defrag::OverlapPolicy {
    use defrag::OverlapPolicy as To;
    match policy {
        OverlapPolicy::First => To::First,
        OverlapPolicy::Last => To::Last,
        OverlapPolicy::Bsd => To::Bsd,
        OverlapPolicy::BsdRight => To::BsdRight,
        OverlapPolicy::Linux | OverlapPolicy::OldLinux => To::Linux,
        OverlapPolicy::Windows => To::Windows,
        OverlapPolicy::Solaris => To::Solaris,
    }
}

/// Limits of detection.
pub fn limits(config: &Config) -> weir_detect::Limits {
    let mut limits = weir_detect::Limits::default();
    limits.pcre.matches = config.pcre.match_limit;
    limits.pcre.depth = config.pcre.recursion_limit;
    limits.matches = config.rules.alerts_per_packet;
    limits
}

/// Options of the EVE writer.
pub fn eve(config: &Config, references: weir_output::ReferencePrefixes) -> EveOptions {
    let output = &config.output;
    EveOptions {
        alert: output.alert,
        anomaly: output.anomaly,
        flow: output.flow,
        drop: output.drop,
        stats: output.stats,
        payload: output.payload,
        payload_printable: output.payload_printable,
        payload_limit: output.payload_limit.bytes(),
        packet: output.packet,
        rule_metadata: output.rule_metadata,
        rule_reference: output.rule_reference,
        rule_text: output.rule_text,
        app_layer: output.app_layer,
        verdict: output.verdict,
        community_id: output.community_id.then_some(output.community_id_seed),
        references,
        netflow: output.netflow,
        files: output.files,
        protocols: output.protocols.iter().cloned().collect(),
        inline: config.inline.simulate || config.firewall.enabled,
        ..EveOptions::default()
    }
}

/// Bits of the protocols that are switched off; names that no protocol has are for parsers that Weir lacks.
fn disabled(names: &[String]) -> u64 {
    let known = weir_rules::Support::default().protocols;
    let bit = |name: &String| {
        let name = if name == "http" { "http1" } else { name };
        known.iter().find(|p| p.name() == name).map_or(0, |p| 1u64 << (*p as u8 & 63))
    };
    names.iter().fold(0, |bits, name| bits | bit(name))
}

fn policy(policy: ExceptionPolicy) -> weir_engine::Policy {
    use weir_engine::Policy as To;
    match policy {
        ExceptionPolicy::Ignore => To::Ignore,
        ExceptionPolicy::PassPacket => To::PassPacket,
        ExceptionPolicy::PassFlow => To::PassFlow,
        ExceptionPolicy::Bypass => To::Bypass,
        ExceptionPolicy::DropPacket => To::DropPacket,
        ExceptionPolicy::DropFlow => To::DropFlow,
        ExceptionPolicy::Reject => To::Reject,
    }
}

/// Which actions go first. The configuration has been checked.
pub fn actions(config: &Config) -> weir_detect::ActionOrder {
    weir_detect::ActionOrder::from_names(config.rules.action_order.iter().map(String::as_str)).unwrap_or_default()
}

/// Policies of firewall mode. The configuration has been checked.
pub fn firewall(config: &Config) -> Option<weir_detect::Policies> {
    config.firewall.enabled.then(|| crate::firewall::policies(&config.firewall.policies).unwrap_or_default())
}
