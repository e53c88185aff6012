//! Protocol classes and detection: one pure function of transport, ports and the first payload bytes, shared by
//! host, model and RTL (reference semantics, section 3).

/// Application protocols known to rules and engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum AppProtocol {
    /// HTTP/1 and, for rules, HTTP/2.
    Http = 1,
    /// HTTP/1 only.
    Http1,
    /// HTTP/2.
    Http2,
    /// DNS
    Dns,
    /// TLS and SSL.
    Tls,
    /// SMTP
    Smtp,
    /// FTP control.
    Ftp,
    /// FTP data.
    FtpData,
    /// SSH
    Ssh,
    /// SMB 1 to 3.
    Smb,
    /// DCERPC over TCP or UDP.
    DceRpc,
    /// IMAP
    Imap,
    /// POP3
    Pop3,
    /// Kerberos 5
    Krb5,
    /// SNMP
    Snmp,
    /// SIP
    Sip,
    /// RFB (VNC)
    Rfb,
    /// MQTT
    Mqtt,
    /// QUIC
    Quic,
    /// NFS
    Nfs,
    /// TFTP
    Tftp,
    /// DHCP
    Dhcp,
    /// NTP
    Ntp,
    /// IKE
    Ike,
    /// RDP
    Rdp,
    /// Telnet
    Telnet,
    /// Modbus
    Modbus,
    /// DNP3
    Dnp3,
    /// ENIP/CIP
    Enip,
    /// BitTorrent DHT
    BittorrentDht,
    /// PostgreSQL
    Pgsql,
    /// LDAP
    Ldap,
    /// WebSocket
    WebSocket,
    /// mDNS
    Mdns,
    /// DNS over HTTP/2
    Doh2,
}

impl AppProtocol {
    /// The rule-language and EVE name.
    pub const fn name(self) -> &'static str {
        match self {
            AppProtocol::Http => "http",
            AppProtocol::Http1 => "http1",
            AppProtocol::Http2 => "http2",
            AppProtocol::Dns => "dns",
            AppProtocol::Tls => "tls",
            AppProtocol::Smtp => "smtp",
            AppProtocol::Ftp => "ftp",
            AppProtocol::FtpData => "ftp-data",
            AppProtocol::Ssh => "ssh",
            AppProtocol::Smb => "smb",
            AppProtocol::DceRpc => "dcerpc",
            AppProtocol::Imap => "imap",
            AppProtocol::Pop3 => "pop3",
            AppProtocol::Krb5 => "krb5",
            AppProtocol::Snmp => "snmp",
            AppProtocol::Sip => "sip",
            AppProtocol::Rfb => "rfb",
            AppProtocol::Mqtt => "mqtt",
            AppProtocol::Quic => "quic",
            AppProtocol::Nfs => "nfs",
            AppProtocol::Tftp => "tftp",
            AppProtocol::Dhcp => "dhcp",
            AppProtocol::Ntp => "ntp",
            AppProtocol::Ike => "ike",
            AppProtocol::Rdp => "rdp",
            AppProtocol::Telnet => "telnet",
            AppProtocol::Modbus => "modbus",
            AppProtocol::Dnp3 => "dnp3",
            AppProtocol::Enip => "enip",
            AppProtocol::BittorrentDht => "bittorrent-dht",
            AppProtocol::Pgsql => "pgsql",
            AppProtocol::Ldap => "ldap",
            AppProtocol::WebSocket => "websocket",
            AppProtocol::Mdns => "mdns",
            AppProtocol::Doh2 => "doh2",
        }
    }
}
