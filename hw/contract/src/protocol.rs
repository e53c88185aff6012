//! Protocol classes and detection: one pure function of transport, ports and the first payload bytes, shared by
//! host, model and RTL (reference semantics, section 3).
//!
//! The signatures are a table of value and mask over at most [`PREFIX`] bytes, with ports and a few checks of length
//! fields: a row of comparators and a priority encoder in hardware. Which bytes make which protocol follows what
//! Suricata 8 documents and does, port-independent where it is.

pub mod signatures;

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

impl AppProtocol {
    /// A rule for this protocol is eligible on a flow of `actual`: `http` stands for both versions, `dns` also for DNS
    /// over HTTP/2, which is an HTTP/2 flow as well.
    pub const fn includes(self, actual: AppProtocol) -> bool {
        match self {
            AppProtocol::Http => {
                matches!(actual, AppProtocol::Http | AppProtocol::Http1 | AppProtocol::Http2 | AppProtocol::Doh2)
            }
            AppProtocol::Http2 => matches!(actual, AppProtocol::Http2 | AppProtocol::Doh2),
            AppProtocol::Dns => matches!(actual, AppProtocol::Dns | AppProtocol::Doh2),
            _ => self as u8 == actual as u8,
        }
    }
}

/// Protocol classes of the device: bit numbers of a record's class mask. Class 0 is *unknown* (undecided, or the start
/// was lost): never narrowed away. An [`AppProtocol`] has its own number as class; [`CLASS_FAILED`] is "none of these".
pub const CLASS_UNKNOWN: u8 = 0;
/// Detection gave up: no protocol that Weir knows.
pub const CLASS_FAILED: u8 = 63;

/// Payload bytes of each direction that detection looks at.
pub const PREFIX: usize = 16;

/// Answer of [`detect`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Detection {
    /// More bytes are needed.
    Unknown,
    /// Decided; the same for every continuation of the bytes.
    Known(AppProtocol),
    /// Decided: no known protocol.
    Failed,
}

impl Detection {
    /// The device class.
    pub const fn class(self) -> u8 {
        match self {
            Detection::Unknown => CLASS_UNKNOWN,
            Detection::Known(protocol) => protocol as u8,
            Detection::Failed => CLASS_FAILED,
        }
    }
}

/// Transport of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A TCP stream: the first bytes of each direction.
    Tcp,
    /// Datagrams: the first bytes of the first datagram with payload of each direction; what is shorter than the
    /// prefix has no more bytes to wait for.
    Udp,
}

/// Who sent the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The initiator.
    ToServer,
    /// The responder.
    ToClient,
}

/// Detect the protocol of a flow.
///
/// `client_port` and `server_port` are the ports of initiator and responder; `to_server` and `to_client` the first at
/// most [`PREFIX`] payload bytes of each direction. Pure: the same arguments give the same answer on host, model and
/// RTL. Of two decided sides the one to the server wins; callers keep the first answer that is not
/// [`Detection::Unknown`], so that the side that was decided first in frame order stands.
pub fn detect(carrier: Carrier, client_port: u16, server_port: u16, to_server: &[u8], to_client: &[u8]) -> Detection {
    let a = detect_side(carrier, Side::ToServer, client_port, server_port, to_server);
    if let Detection::Known(_) = a {
        return a;
    }
    match (a, detect_side(carrier, Side::ToClient, client_port, server_port, to_client)) {
        (_, known @ Detection::Known(_)) => known,
        (Detection::Failed, Detection::Failed) => Detection::Failed,
        _ => Detection::Unknown,
    }
}

/// What the first bytes of one direction say by themselves. The first [`signatures::SIGNATURES`] entry, in order, that
/// the bytes do not contradict decides: if they are enough for it, its protocol is known, otherwise more bytes are
/// needed. So an answer other than [`Detection::Unknown`] is the same for every continuation of the bytes.
pub fn detect_side(carrier: Carrier, side: Side, client_port: u16, server_port: u16, prefix: &[u8]) -> Detection {
    let prefix = &prefix[..prefix.len().min(PREFIX)];
    if prefix.is_empty() {
        return Detection::Unknown;
    }
    let whole = prefix.len() == PREFIX || matches!(carrier, Carrier::Udp);
    // Empty lines before a request or status line are no part of it (RFC 9112 section 2.2).
    let blank = prefix.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    for signature in signatures::SIGNATURES {
        if !signature.applies(carrier, side, client_port, server_port) {
            continue;
        }
        let bytes = if signature.after_blank { prefix.get(blank..).unwrap_or(&[]) } else { prefix };
        match signature.fit(bytes) {
            signatures::Fit::Yes => return Detection::Known(signature.protocol),
            signatures::Fit::Maybe if !whole => return Detection::Unknown,
            signatures::Fit::Maybe | signatures::Fit::No => {}
        }
    }
    Detection::Failed
}

/// The bytes detection has seen of a flow, and its answer once given. Engine and device feed it the same bytes in the
/// same order: in-order stream bytes (or datagram payloads) as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detector {
    bytes: [[u8; PREFIX]; 2],
    length: [u8; 2],
    blind: [bool; 2],
    answer: Detection,
}

impl Default for Detector {
    fn default() -> Self {
        Detector { bytes: [[0; PREFIX]; 2], length: [0; 2], blind: [false; 2], answer: Detection::Unknown }
    }
}

impl Detector {
    /// The answer so far.
    pub const fn answer(&self) -> Detection {
        self.answer
    }

    /// First bytes of a direction.
    pub fn first_bytes(&self, direction: usize) -> &[u8] {
        &self.bytes[direction & 1][..usize::from(self.length[direction & 1])]
    }

    /// The start of a direction was lost before it was complete.
    pub const fn is_blind(&self, direction: usize) -> bool {
        self.blind[direction & 1]
    }

    /// Bytes of a direction are lost: if its start is not complete, it is never classified.
    pub fn lost(&mut self, direction: usize) {
        let d = direction & 1;
        if usize::from(self.length[d]) < PREFIX {
            self.blind[d] = true;
            self.length[d] = 0;
        }
    }

    /// The next bytes of a direction.
    pub fn push(&mut self, carrier: Carrier, client_port: u16, server_port: u16, direction: usize, bytes: &[u8]) -> Detection {
        let d = direction & 1;
        let have = usize::from(self.length[d]);
        // Of datagrams the first with payload counts, and no other.
        let closed = matches!(carrier, Carrier::Udp) && have > 0;
        if !self.blind[d] && have < PREFIX && !closed {
            let take = bytes.len().min(PREFIX - have);
            self.bytes[d][have..have + take].copy_from_slice(&bytes[..take]);
            self.length[d] += take as u8;
        }
        if self.answer == Detection::Unknown {
            self.answer = detect(carrier, client_port, server_port, self.first_bytes(0), self.first_bytes(1));
        }
        self.answer
    }
}

#[cfg(test)]
mod tests;
