//! What the engine can do right now: protocols, buffers and keywords by name.
//!
//! The caller of the compiler passes a [`Support`]; a rule that needs more is rejected with that reason.
//! [`Support::default`] is the plain lists below. Widen it there when a parser is added.

use std::collections::BTreeSet;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

/// Protocols, buffers and keywords the engine provides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Support {
    /// Protocols that rules may name: the engine detects them. Rules with contents of the payload need no more.
    pub protocols: BTreeSet<AppProtocol>,
    /// Protocols with a parser: rules may use their buffers, events and keywords.
    pub parsed: BTreeSet<AppProtocol>,
    /// Buffers the parsers fill.
    pub buffers: BTreeSet<Buffer>,
    /// Application-layer keywords that are not byte matches, by table name.
    pub keywords: BTreeSet<&'static str>,
    /// Rules for frames without IP (`arp`, `ether`).
    pub link_layer: bool,
    /// Rules for SCTP packets.
    pub sctp: bool,
}

/// Detected protocols: what `weir_contract::protocol::detect` answers, and `http` for both its versions.
#[rustfmt::skip]
const DETECTED: &[AppProtocol] = &[
    AppProtocol::Http, AppProtocol::Http1, AppProtocol::Http2, AppProtocol::Dns, AppProtocol::Mdns, AppProtocol::Tls,
    AppProtocol::Ssh, AppProtocol::Smb, AppProtocol::DceRpc, AppProtocol::Rfb, AppProtocol::Smtp, AppProtocol::Pop3,
    AppProtocol::Ftp, AppProtocol::Imap, AppProtocol::Krb5, AppProtocol::Snmp, AppProtocol::Sip, AppProtocol::Mqtt,
    AppProtocol::Quic, AppProtocol::Nfs, AppProtocol::Tftp, AppProtocol::Dhcp, AppProtocol::Ntp, AppProtocol::Ike,
    AppProtocol::Rdp, AppProtocol::Telnet, AppProtocol::Modbus, AppProtocol::Dnp3, AppProtocol::Enip,
    AppProtocol::BittorrentDht, AppProtocol::Pgsql, AppProtocol::Ldap, AppProtocol::Doh2, AppProtocol::WebSocket,
];

/// Parsed protocols.
#[rustfmt::skip]
const PARSED: &[AppProtocol] = &[
    AppProtocol::Http, AppProtocol::Http1, AppProtocol::Dns, AppProtocol::Tls, AppProtocol::Smtp, AppProtocol::Ftp,
    AppProtocol::FtpData, AppProtocol::Ssh, AppProtocol::DceRpc,
    AppProtocol::Smb, AppProtocol::Krb5, AppProtocol::Sip, AppProtocol::Snmp, AppProtocol::Ntp, AppProtocol::Dhcp,
    AppProtocol::Mqtt, AppProtocol::Rfb, AppProtocol::Http2, AppProtocol::Doh2, AppProtocol::Quic,
    AppProtocol::Ldap, AppProtocol::WebSocket, AppProtocol::Tftp, AppProtocol::Pop3, AppProtocol::Mdns,
    AppProtocol::Dnp3, AppProtocol::Pgsql, AppProtocol::Enip, AppProtocol::Modbus,
    AppProtocol::BittorrentDht, AppProtocol::Ike, AppProtocol::Nfs, AppProtocol::Rdp, AppProtocol::Telnet,
];

/// Filled by decoder and reassembly, whatever the protocol.
const GENERAL_BUFFERS: &[Buffer] = &[
    Buffer::Payload,
    Buffer::Base64Data,
    Buffer::FileData,
    Buffer::FileName,
    Buffer::FileMagic,
    Buffer::FileMd5,
    Buffer::FileSha1,
    Buffer::FileSha256,
    Buffer::DceStubData,
    Buffer::IpSource,
    Buffer::IpDestination,
    Buffer::Ipv4Header,
    Buffer::Ipv6Header,
    Buffer::TcpHeader,
    Buffer::UdpHeader,
    Buffer::Icmpv4Header,
    Buffer::Icmpv6Header,
];

/// Buffers of parsed protocols that their parsers do not fill.
const MISSING_BUFFERS: &[Buffer] = &[Buffer::EmailBodyMd5];

/// Conditions of the supported protocols.
#[rustfmt::skip]
const KEYWORDS: &[&str] = &[
    "tls.version", "ssl_version", "ssl_state", "tls_cert_expired", "tls_cert_valid", "tls_cert_notbefore",
    "tls_cert_notafter", "tls.cert_chain_len", "dns.opcode", "dns.rcode", "dns.rrtype", "app-layer-protocol",
    "ftpdata_command", "ftp.dynamic_port", "ftp.mode", "ftp.reply_received", "filesize", "filestore", "dcerpc.iface", "dcerpc.opnum", "smb.version", "krb5_msg_type", "krb5_err_code",
    "krb5.ticket_encryption", "krb5.weak_encryption", "snmp.version", "snmp.pdu_type", "snmp.trap_type", "ntp.version",
    "ntp.mode", "ntp.stratum", "dhcp.leasetime", "dhcp.renewal_time", "dhcp.rebinding_time",
    "mqtt.protocol_version", "mqtt.type", "mqtt.flags", "mqtt.qos", "mqtt.reason_code", "mqtt.connack.session_present",
    "mqtt.connect.flags", "rfb.sectype", "rfb.secresult",
    "http2.frametype", "http2.errorcode", "http2.priority", "http2.window", "http2.size_update", "http2.settings",
    "ldap.request.operation", "ldap.responses.operation", "ldap.responses.result_code", "ldap.responses.count",
    "websocket.opcode", "websocket.mask", "websocket.flags",
    "dnp3_func", "dnp3_ind", "dnp3_obj", "modbus", "nfs_procedure", "nfs_version",
    "ike.exchtype", "ike.nonce_payload_length", "ike.key_exchange_payload_length", "ike.chosen_sa_attribute",
    "enip_command", "enip.command", "cip_service", "enip.cip_attribute", "enip.cip_instance", "enip.cip_class", "enip.cip_status",
    "enip.extended_status", "enip.status", "enip.identity_status", "enip.state", "enip.capabilities", "enip.protocol_version",
    "enip.vendor_id", "enip.product_code", "enip.device_type", "enip.revision", "enip.serial",
];

impl Default for Support {
    fn default() -> Self {
        let mut support = Support {
            protocols: DETECTED.iter().copied().collect(),
            parsed: BTreeSet::new(),
            buffers: GENERAL_BUFFERS.iter().copied().collect(),
            keywords: KEYWORDS.iter().copied().collect(),
            link_layer: false,
            sctp: true,
        };
        for &protocol in PARSED {
            support.add_protocol(protocol);
        }
        support
    }
}

impl Support {
    /// Everything the compiler can lower, whether or not an engine can do it: for checking rules and for statistics.
    pub fn everything() -> Self {
        Support {
            protocols: crate::lower::PROTOCOLS.iter().copied().collect(),
            parsed: crate::lower::PROTOCOLS.iter().copied().collect(),
            buffers: Buffer::ALL.iter().copied().collect(),
            keywords: crate::keywords::all().iter().filter(|k| k.is_supported()).map(|k| k.name).collect(),
            link_layer: true,
            sctp: true,
        }
    }

    /// Add a protocol with a parser, and all buffers that belong to it.
    pub fn add_protocol(&mut self, protocol: AppProtocol) -> &mut Self {
        self.protocols.insert(protocol);
        self.parsed.insert(protocol);
        let own = Buffer::ALL.iter().filter(|b| b.protocol() == Some(protocol) && !MISSING_BUFFERS.contains(b));
        self.buffers.extend(own.copied());
        self
    }

    /// Add a buffer.
    pub fn add_buffer(&mut self, buffer: Buffer) -> &mut Self {
        self.buffers.insert(buffer);
        self
    }

    /// Add a keyword by its table name; unknown names are ignored.
    pub fn add_keyword(&mut self, name: &str) -> &mut Self {
        if let Some(keyword) = crate::keywords::find(name.as_bytes()) {
            self.keywords.insert(keyword.name);
        }
        self
    }
}
