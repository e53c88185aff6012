//! Names that Suricata's statistics always have, so that tools find them: 0 until something is counted.
//!
//! What counts memory, pools and threads of Suricata's own is not among them.

use std::collections::BTreeMap;
use weir_packet::DecoderEvent;

/// Protocols whose parsers read streams.
const STREAMS: [&str; 25] = [
    "dcerpc_tcp", "dnp3", "dns_tcp", "doh2", "enip_tcp", "ftp", "ftp-data", "http", "http2", "krb5_tcp", "ldap_tcp",
    "modbus", "mqtt", "nfs_tcp", "pgsql", "pop3", "rdp", "rfb", "sip_tcp", "smb", "smtp", "ssh", "telnet", "tls", "websocket",
];
/// Those whose parsers read datagrams.
const DATAGRAMS: [&str; 15] = [
    "bittorrent-dht", "dcerpc_udp", "dhcp", "dns_udp", "enip_udp", "ike", "krb5_udp", "ldap_udp", "mdns", "nfs_udp", "ntp",
    "quic", "sip_udp", "snmp", "tftp",
];
const OTHERS: [&str; 53] = [
    "app_layer.error.failed_tcp.gap",
    "app_layer.expectations",
    "app_layer.flow.failed_tcp",
    "app_layer.flow.failed_udp",
    "app_layer.flow.imap",
    "decoder.esp",
    "defrag.max_frags_reached",
    "defrag.max_trackers_reached",
    "defrag.tracker_hard_reuse",
    "defrag.tracker_soft_reuse",
    "detect.lua.blocked_function_errors",
    "detect.lua.errors",
    "detect.lua.instruction_limit_errors",
    "detect.lua.memory_limit_errors",
    "file_store.fs_errors",
    "file_store.open_files",
    "file_store.open_files_max_hit",
    "flow.elephant",
    "flow.elephant_toclient",
    "flow.elephant_toserver",
    "flow.emerg_mode_entered",
    "flow.emerg_mode_over",
    "flow.end.state.capture_bypassed",
    "flow.end.state.closed",
    "flow.end.state.established",
    "flow.end.state.local_bypassed",
    "flow.end.state.new",
    "flow.end.tcp_state.close_wait",
    "flow.end.tcp_state.closed",
    "flow.end.tcp_state.closing",
    "flow.end.tcp_state.established",
    "flow.end.tcp_state.fin_wait1",
    "flow.end.tcp_state.fin_wait2",
    "flow.end.tcp_state.last_ack",
    "flow.end.tcp_state.none",
    "flow.end.tcp_state.syn_recv",
    "flow.end.tcp_state.syn_sent",
    "flow.end.tcp_state.time_wait",
    "flow.icmpv4",
    "flow.icmpv6",
    "flow.memcap",
    "flow.tcp",
    "flow.tcp_reuse",
    "flow.udp",
    "tcp.active_sessions",
    "tcp.insert_data_normal_fail",
    "tcp.insert_data_overlap_fail",
    "tcp.invalid_checksum",
    "tcp.midstream_pickups",
    "tcp.reassembly_gap",
    "tcp.sessions",
    "tcp.stream_depth_reached",
    "tcp.urgent_oob_data",
];

/// Adds what is missing.
pub(super) fn complete(all: &mut BTreeMap<String, u64>) {
    let mut name = |name: String| {
        all.entry(name).or_insert(0);
    };
    for (protocol, stream) in
        STREAMS.iter().map(|p| (p, true)).chain(DATAGRAMS.iter().map(|p| (p, false)))
    {
        name(format!("app_layer.flow.{protocol}"));
        name(format!("app_layer.tx.{protocol}"));
        for error in ["alloc", "internal", "parser"] {
            name(format!("app_layer.error.{protocol}.{error}"));
        }
        if stream {
            name(format!("app_layer.error.{protocol}.gap"));
        }
    }
    DecoderEvent::all().for_each(|event| name(format!("decoder.event.{}", event.name())));
    OTHERS.iter().for_each(|other| name((*other).to_owned()));
}
