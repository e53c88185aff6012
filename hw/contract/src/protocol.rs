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

/// What one direction's bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Nothing yet, but more bytes may.
    Open,
    /// Decided.
    Is(AppProtocol),
    /// Cannot be anything known.
    Nothing,
}

/// Transport of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A TCP stream: the first bytes of each direction.
    Tcp,
    /// Datagrams: the first bytes of the first datagram of each direction.
    Udp,
}

/// Detect the protocol of a flow.
///
/// `client_port` and `server_port` are the ports of initiator and responder; `to_server` and `to_client` the first at
/// most [`PREFIX`] payload bytes of each direction (`complete` in [`Carrier::Udp`]: a datagram shorter than the prefix
/// has no more bytes to wait for). Pure: the same arguments give the same answer on host, model and RTL. A side that is
/// decided wins; of two decided sides the one to the server.
pub fn detect(carrier: Carrier, client_port: u16, server_port: u16, to_server: &[u8], to_client: &[u8]) -> Detection {
    let to_server = &to_server[..to_server.len().min(PREFIX)];
    let to_client = &to_client[..to_client.len().min(PREFIX)];
    match carrier {
        Carrier::Tcp => {
            let a = tcp_side(server_port, client_port, to_server, true);
            let b = tcp_side(server_port, client_port, to_client, false);
            match (a, b) {
                (Side::Is(p), _) => Detection::Known(p),
                // The client's bytes may still decide otherwise only while they are undecided; the first decision in
                // frame order stands, and the callers keep it.
                (_, Side::Is(p)) => Detection::Known(p),
                (Side::Nothing, Side::Nothing) => Detection::Failed,
                _ => Detection::Unknown,
            }
        }
        Carrier::Udp => {
            let a = udp_side(client_port, server_port, to_server);
            if let Side::Is(p) = a {
                return Detection::Known(p);
            }
            let b = udp_side(client_port, server_port, to_client);
            match (a, b) {
                (_, Side::Is(p)) => Detection::Known(p),
                (Side::Nothing, Side::Nothing) => Detection::Failed,
                _ => Detection::Unknown,
            }
        }
    }
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
        if !self.blind[d] && have < PREFIX {
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

/// Result of comparing a prefix with a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fit {
    Yes,
    Maybe,
    No,
}

/// Compare case-insensitively for letters of `pattern` where `fold`.
fn fits(bytes: &[u8], pattern: &[u8], fold: bool) -> Fit {
    let n = if bytes.len() < pattern.len() { bytes.len() } else { pattern.len() };
    let mut i = 0;
    while i < n {
        let (a, b) = if fold { (bytes[i].to_ascii_lowercase(), pattern[i].to_ascii_lowercase()) } else { (bytes[i], pattern[i]) };
        if a != b {
            return Fit::No;
        }
        i += 1;
    }
    if bytes.len() >= pattern.len() { Fit::Yes } else { Fit::Maybe }
}

/// Request methods (RFC 9110, WebDAV, UPnP and those that Suricata knows), with the space.
const HTTP_METHODS: [&[u8]; 28] = [
    b"GET ", b"PUT ", b"POST ", b"HEAD ", b"TRACE ", b"OPTIONS ", b"CONNECT ", b"DELETE ", b"PATCH ", b"PROPFIND ",
    b"PROPPATCH ", b"MKCOL ", b"COPY ", b"MOVE ", b"LOCK ", b"UNLOCK ", b"CHECKOUT ", b"UNCHECKOUT ", b"CHECKIN ",
    b"UPDATE ", b"LABEL ", b"REPORT ", b"MKWORKSPACE ", b"MKACTIVITY ", b"MERGE ", b"INVALID ", b"VERSION-CONTROL ",
    b"BASELINE-CONTRO",
];

const SMTP_COMMANDS: [&[u8]; 2] = [b"EHLO ", b"HELO "];
const FTP_COMMANDS: [&[u8]; 8] =
    [b"USER ", b"PASS ", b"PORT ", b"EPRT ", b"FEAT\r", b"AUTH TLS", b"AUTH SSL", b"SYST\r"];

fn any(bytes: &[u8], patterns: &[&[u8]], fold: bool) -> Fit {
    let mut best = Fit::No;
    for pattern in patterns {
        match fits(bytes, pattern, fold) {
            Fit::Yes => return Fit::Yes,
            Fit::Maybe => best = Fit::Maybe,
            Fit::No => {}
        }
    }
    best
}

/// TLS record with a handshake or alert, or an SSLv2 hello (RFC 8446 section 5.1, RFC 5246 appendix E.2).
fn tls(bytes: &[u8]) -> Fit {
    match bytes {
        [0x16, 0x03, minor, ..] if *minor <= 4 => Fit::Yes,
        [0x16, 0x03] | [0x16] => Fit::Maybe,
        [0x80, _, 0x01, major, minor, ..] if (*major == 3 && *minor <= 4) || (*major == 0 && *minor == 2) => Fit::Yes,
        [0x80] | [0x80, _] | [0x80, _, 0x01] | [0x80, _, 0x01, 0x00 | 0x03] => Fit::Maybe,
        _ => Fit::No,
    }
}

/// NetBIOS session header with SMB1, SMB2 or a transform header behind it; session request on port 139.
fn smb(bytes: &[u8], port139: bool) -> Fit {
    match bytes.first() {
        Some(0x00) => match fits(&bytes[bytes.len().min(4)..], b"\xffSMB", false) {
            Fit::Yes => Fit::Yes,
            other => match fits(&bytes[bytes.len().min(4)..], b"\xfeSMB", false) {
                Fit::Yes => Fit::Yes,
                second if second == Fit::Maybe || other == Fit::Maybe => Fit::Maybe,
                _ => fits(&bytes[bytes.len().min(4)..], b"\xfdSMB", false),
            },
        },
        Some(0x81 | 0x82) if port139 => Fit::Yes,
        None => Fit::Maybe,
        _ => Fit::No,
    }
}

/// DCERPC connection-oriented bind, bind_ack, request, alter_context (DCE 1.1 RPC, chapter 12).
fn dcerpc(bytes: &[u8]) -> Fit {
    match bytes {
        [0x05, 0x00, kind, ..] if *kind <= 19 => Fit::Yes,
        [0x05, 0x00] | [0x05] | [] => Fit::Maybe,
        _ => Fit::No,
    }
}

/// DNS header (RFC 1035 section 4.1.1): QUERY, NOTIFY or UPDATE, Z clear, plausible counts.
fn dns_header(bytes: &[u8]) -> Fit {
    if bytes.len() < 12 {
        return Fit::Maybe;
    }
    let opcode = (bytes[2] >> 3) & 0x0f;
    let questions = u16::from_be_bytes([bytes[4], bytes[5]]);
    let answers = u16::from_be_bytes([bytes[6], bytes[7]]);
    let authority = u16::from_be_bytes([bytes[8], bytes[9]]);
    let additional = u16::from_be_bytes([bytes[10], bytes[11]]);
    let response = bytes[2] & 0x80 != 0;
    let plausible = (opcode <= 5 && opcode != 3)
        && questions <= 32
        && answers <= 256
        && authority <= 256
        && additional <= 256
        && (questions != 0 || (response && (answers != 0 || authority != 0)));
    if plausible { Fit::Yes } else { Fit::No }
}

fn tcp_side(server_port: u16, client_port: u16, bytes: &[u8], to_server: bool) -> Side {
    if bytes.is_empty() {
        return Side::Open;
    }
    let mut open = false;
    let mut check = |fit: Fit| {
        open |= fit == Fit::Maybe;
        fit == Fit::Yes
    };
    // Empty lines before a request or status line (RFC 9112 section 2.2).
    let blank = bytes.iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
    let line = &bytes[blank..];
    if blank == bytes.len() && bytes.len() < PREFIX {
        open_only(&mut check);
    }
    if check(fits(bytes, b"PRI * HTTP/2.0\r\n", false)) || (bytes.len() == PREFIX && fits(bytes, b"PRI * HTTP/2.0\r\n", false) != Fit::No) {
        return Side::Is(AppProtocol::Http2);
    }
    let message = if to_server { any(line, &HTTP_METHODS, true) } else { fits(line, b"HTTP/", true) };
    let message = if message == Fit::Maybe && line.len() + blank == PREFIX && blank > 0 { Fit::No } else { message };
    if check(message) || (!to_server && any(line, &HTTP_METHODS, false) == Fit::Yes) || (to_server && fits(line, b"HTTP/1.", false) == Fit::Yes) {
        return Side::Is(AppProtocol::Http1);
    }
    if check(tls(bytes)) {
        return Side::Is(AppProtocol::Tls);
    }
    if check(fits(bytes, b"SSH-", false)) {
        return Side::Is(AppProtocol::Ssh);
    }
    let port139 = server_port == 139 || client_port == 139;
    if check(smb(bytes, port139)) {
        return Side::Is(AppProtocol::Smb);
    }
    if check(dcerpc(bytes)) {
        return Side::Is(AppProtocol::DceRpc);
    }
    if check(fits(bytes, b"RFB 00", false)) {
        return Side::Is(AppProtocol::Rfb);
    }
    if check(fits(bytes, b"\x13BitTorrent prot", false)) {
        return Side::Nothing;
    }
    if server_port == 53 || client_port == 53 {
        let body = bytes.get(2..).unwrap_or(&[]);
        if check(dns_header(body)) {
            return Side::Is(AppProtocol::Dns);
        }
    }
    if to_server {
        if check(any(bytes, &SMTP_COMMANDS, true)) {
            return Side::Is(AppProtocol::Smtp);
        }
        // POP3 and FTP share USER and PASS: the port tells.
        let pop3 = server_port == 110;
        if check(any(bytes, &FTP_COMMANDS, true)) {
            return Side::Is(if pop3 { AppProtocol::Pop3 } else { AppProtocol::Ftp });
        }
    } else {
        match server_port {
            25 | 465 | 587 if check(fits(bytes, b"220", false)) => return Side::Is(AppProtocol::Smtp),
            21 if check(fits(bytes, b"220", false)) => return Side::Is(AppProtocol::Ftp),
            110 if check(fits(bytes, b"+OK", false)) => return Side::Is(AppProtocol::Pop3),
            _ => {}
        }
        if check(fits(bytes, b"* OK ", true)) {
            return Side::Is(AppProtocol::Imap);
        }
    }
    if open && bytes.len() < PREFIX { Side::Open } else { Side::Nothing }
}

/// Mark the side as open.
fn open_only(check: &mut impl FnMut(Fit) -> bool) {
    check(Fit::Maybe);
}

fn udp_side(client_port: u16, server_port: u16, bytes: &[u8]) -> Side {
    if bytes.is_empty() {
        return Side::Open;
    }
    let port = |n: u16| client_port == n || server_port == n;
    if port(53) && dns_header(bytes) == Fit::Yes {
        return Side::Is(AppProtocol::Dns);
    }
    if port(5353) && dns_header(bytes) != Fit::No {
        return Side::Is(AppProtocol::Mdns);
    }
    Side::Nothing
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(port: u16, to_server: &[u8], to_client: &[u8]) -> Detection {
        detect(Carrier::Tcp, 40000, port, to_server, to_client)
    }

    #[test]
    fn known_starts() {
        use AppProtocol::*;
        for (port, ts, tc, expect) in [
            (8080, &b"GET / HTTP/1.1\r\n"[..], &b""[..], Http1),
            (80, b"\r\n\r\nPOST /x", b"", Http1),
            (80, b"", b"HTTP/1.0 200", Http1),
            (4433, b"\x16\x03\x01\x02\x00\x01", b"", Tls),
            (22, b"", b"SSH-2.0-x", Ssh),
            (445, b"\x00\x00\x00\x54\xffSMBr", b"", Smb),
            (445, b"\x00\x00\x00\x54\xfeSMB@", b"", Smb),
            (135, b"\x05\x00\x0b\x03", b"", DceRpc),
            (25, b"EHLO x", b"", Smtp),
            (21, b"", b"220 hello", Ftp),
            (21, b"USER anonymous", b"", Ftp),
            (53, b"\x00\x20\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", b"", Dns),
        ] {
            assert_eq!(tcp(port, ts, tc), Detection::Known(expect), "{ts:?} {tc:?}");
        }
        assert_eq!(tcp(9999, b"nothing known at all", b"same here, nothing"), Detection::Failed);
        assert_eq!(tcp(80, b"GE", b""), Detection::Unknown);
        assert_eq!(
            detect(Carrier::Udp, 5000, 53, b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", b""),
            Detection::Known(Dns)
        );
    }

    /// A decision stands for every longer prefix of the direction that made it.
    #[test]
    fn decisions_are_stable() {
        let mut seed = 1u32;
        let mut random = move || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 24) as u8
        };
        let starts: [&[u8]; 12] = [
            b"GET ", b"\r\n", b"\x16\x03", b"\x80", b"\x00\x00", b"\x05", b"PRI * HTTP/2.0", b"USER ", b"E", b"SSH", b"\x13Bit", b"",
        ];
        for round in 0..20_000usize {
            let start = starts[round % starts.len()];
            let mut bytes = [0u8; PREFIX];
            for (i, b) in bytes.iter_mut().enumerate() {
                *b = if i < start.len() { start[i] } else { random() };
            }
            for port in [80, 53, 139, 21] {
                let mut decided = None;
                for n in 0..=PREFIX {
                    match tcp(port, &bytes[..n], b"") {
                        Detection::Unknown => assert!(decided.is_none(), "{bytes:?} {n}"),
                        other => {
                            if let Some(before) = decided {
                                assert_eq!(before, other, "{bytes:?} {n}");
                            }
                            decided = Some(other);
                        }
                    }
                }
            }
        }
    }
}
