//! The table that protocol detection goes through, in order of precedence.
//!
//! Rules of the table: longer and stronger patterns stand before shorter ones that they contain (`OPTIONS sip:` before
//! `OPTIONS `), port-bound ones behind port-independent ones. A signature that wildcards the first bytes is bound to
//! ports or to one check, so that it cannot hold back the others on every flow.

use super::{AppProtocol, Carrier, PREFIX, Side};

/// Result of comparing a prefix with a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// It matches, and will for every continuation.
    Yes,
    /// It does not contradict, but there are not enough bytes.
    Maybe,
    /// It contradicts.
    No,
}

/// Which ports a signature is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ports {
    /// None.
    Any,
    /// The responder's port is one of these.
    Server(&'static [u16]),
    /// The port of either side is one of these.
    Either(&'static [u16]),
}

/// A check of fields that value and mask cannot express; it looks at the bytes the signature needs, never beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Nothing further.
    None,
    /// DNS header at an offset: counts plausible (RFC 1035 section 4.1.1); whatever the opcode, which is an event of its own.
    Dns(usize),
    /// DCERPC connection-oriented header: type, data representation, fragment length (C706 chapter 12).
    DceRpcTcp,
    /// DCERPC connectionless header.
    DceRpcUdp,
    /// Length octets of a BER SEQUENCE are definite, and an INTEGER follows (X.690 section 8.1.3).
    BerSequence,
    /// Modbus: length field in range, function code not zero.
    Modbus,
    /// EtherNet/IP: an assigned command (CIP volume 2, table 2-3.2).
    Enip,
    /// QUIC: a version that is in use (RFC 9000 section 15, RFC 9369, drafts 22 to 34, Google's Q043 to Q050).
    Quic,
    /// NTP: version 1 to 4, mode not reserved (RFC 5905 section 7.3).
    Ntp,
    /// The first eight bytes are not all zero.
    NotZero,
}

/// One entry.
#[derive(Debug, Clone, Copy)]
pub struct Signature {
    /// Protocol that it stands for.
    pub protocol: AppProtocol,
    /// Transport.
    pub carrier: Carrier,
    /// Matches bytes of the initiator.
    pub to_server: bool,
    /// Matches bytes of the responder.
    pub to_client: bool,
    /// Ports.
    pub ports: Ports,
    /// Compared behind leading CR and LF.
    pub after_blank: bool,
    /// Value of the masked bytes.
    pub value: [u8; PREFIX],
    /// Bits compared.
    pub mask: [u8; PREFIX],
    /// Bytes needed.
    pub length: usize,
    /// Further check.
    pub check: Check,
}

impl Signature {
    /// Transport, direction and ports are those of the signature.
    pub fn applies(&self, carrier: Carrier, side: Side, client_port: u16, server_port: u16) -> bool {
        self.carrier == carrier
            && (match side {
                Side::ToServer => self.to_server,
                Side::ToClient => self.to_client,
            })
            && match self.ports {
                Ports::Any => true,
                Ports::Server(ports) => ports.contains(&server_port),
                Ports::Either(ports) => ports.contains(&server_port) || ports.contains(&client_port),
            }
    }

    /// Compare.
    pub fn fit(&self, bytes: &[u8]) -> Fit {
        for ((b, value), mask) in bytes.iter().zip(&self.value).zip(&self.mask).take(self.length) {
            if b & mask != *value {
                return Fit::No;
            }
        }
        match bytes.get(..self.length) {
            None => Fit::Maybe,
            Some(needed) if self.check.holds(needed) => Fit::Yes,
            Some(_) => Fit::No,
        }
    }
}

fn be16(b: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*b.get(at)?, *b.get(at + 1)?]))
}

impl Check {
    fn holds(self, b: &[u8]) -> bool {
        self.test(b).unwrap_or(false)
    }

    fn test(self, b: &[u8]) -> Option<bool> {
        let byte = |at: usize| b.get(at).copied();
        Some(match self {
            Check::None => true,
            Check::Dns(at) => {
                let records = u32::from(be16(b, at + 4)?)
                    + u32::from(be16(b, at + 6)?)
                    + u32::from(be16(b, at + 8)?)
                    + u32::from(be16(b, at + 10)?);
                records <= 2048
            }
            Check::DceRpcTcp => {
                let little = byte(4)? & 0x10 != 0;
                let pair = [byte(8)?, byte(9)?];
                let fragment = if little { u16::from_le_bytes(pair) } else { u16::from_be_bytes(pair) };
                byte(2)? <= 19 && byte(4)? & 0xee == 0 && byte(5)? <= 3 && fragment >= 16
            }
            Check::DceRpcUdp => byte(1)? <= 19 && byte(3)? & 0xfc == 0 && byte(4)? & 0xee == 0 && byte(5)? <= 3,
            Check::BerSequence => {
                let first = byte(1)?;
                let integer = if first < 0x80 {
                    2
                } else if (0x81..=0x84).contains(&first) {
                    2 + usize::from(first & 0x7f)
                } else {
                    return Some(false);
                };
                byte(integer)? == 0x02 && (1..=4).contains(&byte(integer + 1)?)
            }
            Check::Modbus => {
                let length = be16(b, 4)?;
                (2..=260).contains(&length) && byte(7)? != 0
            }
            Check::Enip => {
                let command = u16::from_le_bytes([byte(0)?, byte(1)?]);
                matches!(command, 0x00 | 0x01 | 0x04 | 0x63 | 0x64 | 0x65 | 0x66 | 0x6f | 0x70 | 0x72 | 0x73)
            }
            Check::Quic => {
                let version = u32::from_be_bytes([byte(1)?, byte(2)?, byte(3)?, byte(4)?]);
                matches!(version, 1 | 0x6b33_43cf | 0xff00_0016..=0xff00_0022 | 0x5130_3433 | 0x5130_3436 | 0x5130_3530)
            }
            Check::Ntp => {
                let first = byte(0)?;
                (1..=4).contains(&(first >> 3 & 7)) && first & 7 != 0
            }
            Check::NotZero => b.get(..8)?.iter().any(|x| *x != 0),
        })
    }
}

/// Start of an entry: any port, both directions, no check.
const fn of(protocol: AppProtocol, carrier: Carrier) -> Signature {
    Signature {
        protocol,
        carrier,
        to_server: true,
        to_client: true,
        ports: Ports::Any,
        after_blank: false,
        value: [0; PREFIX],
        mask: [0; PREFIX],
        length: 0,
        check: Check::None,
    }
}

const fn tcp(protocol: AppProtocol) -> Signature {
    of(protocol, Carrier::Tcp)
}

const fn udp(protocol: AppProtocol) -> Signature {
    of(protocol, Carrier::Udp)
}

impl Signature {
    const fn client(mut self) -> Self {
        self.to_client = false;
        self
    }
    const fn server(mut self) -> Self {
        self.to_server = false;
        self
    }
    const fn ports(mut self, ports: &'static [u16]) -> Self {
        self.ports = Ports::Server(ports);
        self
    }
    const fn either(mut self, ports: &'static [u16]) -> Self {
        self.ports = Ports::Either(ports);
        self
    }
    /// `bytes` at `at`.
    const fn at(mut self, at: usize, bytes: &[u8]) -> Self {
        let mut i = 0;
        while i < bytes.len() && at + i < PREFIX {
            self.value[at + i] = bytes[i];
            self.mask[at + i] = 0xff;
            i += 1;
        }
        if at + i > self.length {
            self.length = at + i;
        }
        self
    }
    /// Masked byte at `at`.
    const fn masked(mut self, at: usize, value: u8, mask: u8) -> Self {
        self.value[at] = value & mask;
        self.mask[at] = mask;
        if at + 1 > self.length {
            self.length = at + 1;
        }
        self
    }
    /// `bytes` at the start, letters in either case.
    const fn fold(mut self, bytes: &[u8]) -> Self {
        self = self.at(0, bytes);
        let mut i = 0;
        while i < bytes.len() && i < PREFIX {
            if bytes[i].is_ascii_alphabetic() {
                self.mask[i] = 0xdf;
                self.value[i] = bytes[i] & 0xdf;
            }
            i += 1;
        }
        self
    }
    /// Text of a message that empty lines may precede.
    const fn line(mut self, bytes: &[u8]) -> Self {
        self.after_blank = true;
        self.fold(bytes)
    }
    const fn needs(mut self, length: usize, check: Check) -> Self {
        self.check = check;
        if length > self.length {
            self.length = length;
        }
        self
    }
}

/// A request method, followed by space or tab.
macro_rules! methods {
    ($($method:literal)*) => {
        [$(
            tcp(AppProtocol::Http1).client().line(concat!($method, " ").as_bytes()),
            tcp(AppProtocol::Http1).client().line(concat!($method, "\t").as_bytes()),
        )*]
    };
}

/// Request methods (RFC 9110, WebDAV and those that Suricata knows).
const METHODS: [Signature; 56] = methods![
    "GET" "PUT" "POST" "HEAD" "TRACE" "OPTIONS" "CONNECT" "DELETE" "PATCH" "PROPFIND" "PROPPATCH" "MKCOL" "COPY" "MOVE"
    "LOCK" "UNLOCK" "CHECKOUT" "UNCHECKOUT" "CHECKIN" "UPDATE" "LABEL" "REPORT" "MKWORKSPACE" "MKACTIVITY" "MERGE"
    "INVALID" "VERSION-CONTROL" "BASELINE-CONTROL"
];

macro_rules! sip {
    ($carrier:ident: $($method:literal)*) => {
        [$(
            $carrier(AppProtocol::Sip).client().fold(concat!($method, " sip:").as_bytes()),
        )*]
    };
}

const SIP_TCP: [Signature; 14] = sip![tcp: "REGISTER" "INVITE" "ACK" "BYE" "CANCEL" "UPDATE" "REFER" "PRACK" "SUBSCRIBE"
    "NOTIFY" "PUBLISH" "MESSAGE" "INFO" "OPTIONS"];
const SIP_UDP: [Signature; 14] = sip![udp: "REGISTER" "INVITE" "ACK" "BYE" "CANCEL" "UPDATE" "REFER" "PRACK" "SUBSCRIBE"
    "NOTIFY" "PUBLISH" "MESSAGE" "INFO" "OPTIONS"];

const FIXED: [Signature; 100] = {
    use AppProtocol::*;
    [
        tcp(Sip).server().at(0, b"SIP/2.0 "),
        udp(Sip).at(0, b"SIP/2.0 "),
        tcp(Http1).server().line(b"HTTP/0.9"),
        tcp(Http1).server().line(b"HTTP/1.0"),
        tcp(Http1).server().line(b"HTTP/1.1"),
        // Records: alert, handshake, application data (RFC 8446 section 5.1). The minor version is 0 to 3, or 4.
        tcp(Tls).at(0, b"\x16\x03").masked(2, 0, 0xfc),
        tcp(Tls).at(0, b"\x16\x03\x04"),
        tcp(Tls).at(0, b"\x15\x03").masked(2, 0, 0xfc),
        tcp(Tls).at(0, b"\x17\x03").masked(2, 0, 0xfc),
        // As below, where SSLv2 would wait for more.
        tcp(Mqtt).client().ports(&[1883]).masked(0, 0x80, 0x84),
        tcp(Mqtt).client().ports(&[1883]).masked(0, 0x80, 0x82),
        // SSLv2 hellos (RFC 5246 appendix E.2, RFC 6101 appendix E).
        tcp(Tls).client().masked(0, 0x80, 0x80).at(2, b"\x01\x00\x02"),
        tcp(Tls).client().masked(0, 0x80, 0x80).at(2, b"\x01\x03").masked(4, 0, 0xfc),
        tcp(Tls).server().masked(0, 0x80, 0x80).at(2, b"\x04").at(5, b"\x00\x02"),
        tcp(Ssh).at(0, b"SSH-"),
        // NetBIOS session message or direct TCP (MS-SMB2 section 2.1), SMB1, SMB2, transform, compression.
        tcp(Smb).at(0, b"\x00").at(4, b"\xffSMB"),
        tcp(Smb).at(0, b"\x00").at(4, b"\xfeSMB"),
        tcp(Smb).at(0, b"\x00").at(4, b"\xfdSMB"),
        tcp(Smb).at(0, b"\x00").at(4, b"\xfcSMB"),
        tcp(DceRpc).at(0, b"\x05\x00").needs(10, Check::DceRpcTcp),
        tcp(Rfb).at(0, b"RFB 00"),
        tcp(Mqtt).client().at(0, b"\x10").at(2, b"\x00\x04MQTT"),
        tcp(Mqtt).client().at(0, b"\x10").at(3, b"\x00\x04MQTT"),
        tcp(Mqtt).client().at(0, b"\x10").at(2, b"\x00\x06MQIsdp"),
        tcp(Mqtt).client().at(0, b"\x10").at(3, b"\x00\x06MQIsdp"),
        // Lines. USER and PASS are FTP's and POP3's: the port tells.
        tcp(Pop3).client().ports(POP3).fold(b"USER "),
        tcp(Pop3).client().ports(POP3).fold(b"APOP "),
        tcp(Pop3).client().ports(POP3).fold(b"CAPA\r\n"),
        tcp(Pop3).client().ports(POP3).fold(b"AUTH"),
        tcp(Pop3).server().ports(POP3).at(0, b"+OK"),
        tcp(Smtp).client().fold(b"EHLO"),
        tcp(Smtp).client().fold(b"HELO"),
        tcp(Smtp).client().ports(SMTP).fold(b"QUIT"),
        tcp(Smtp).server().ports(SMTP).at(0, b"220"),
        tcp(Ftp).client().fold(b"USER "),
        tcp(Ftp).client().fold(b"PASS "),
        tcp(Ftp).client().fold(b"PORT "),
        tcp(Ftp).client().fold(b"FEAT"),
        tcp(Ftp).client().fold(b"AUTH SSL"),
        tcp(Ftp).client().fold(b"AUTH TLS"),
        tcp(Ftp).server().at(0, b"220 ("),
        tcp(Ftp).server().ports(&[21]).at(0, b"220"),
        tcp(Imap).server().fold(b"* OK "),
        tcp(Imap).client().fold(b"1 CAPABILITY"),
        // Bound to ports.
        tcp(Smb).ports(&[139]).at(0, b"\x81\x00\x00"),
        tcp(Smb).ports(&[139]).server().masked(0, 0x82, 0xfe).at(1, b"\x00\x00"),
        tcp(Dns).either(&[53]).needs(14, Check::Dns(2)),
        // TPKT (RFC 1006 section 6).
        tcp(Rdp).ports(&[3389]).at(0, b"\x03"),
        tcp(Krb5).client().ports(&[88]).at(0, b"\x00").masked(4, 0x6a, 0xff),
        tcp(Krb5).client().ports(&[88]).at(0, b"\x00").masked(4, 0x6c, 0xff),
        tcp(Krb5).server().ports(&[88]).at(0, b"\x00").masked(4, 0x6b, 0xff),
        tcp(Krb5).server().ports(&[88]).at(0, b"\x00").masked(4, 0x6d, 0xff),
        tcp(Krb5).server().ports(&[88]).at(0, b"\x00").masked(4, 0x7e, 0xff),
        tcp(Modbus).ports(&[502]).at(2, b"\x00\x00").needs(8, Check::Modbus),
        tcp(Dnp3).ports(&[20000]).at(0, b"\x05\x64").needs(3, Check::None),
        tcp(Enip).ports(&[44818]).needs(2, Check::Enip),
        // ONC RPC call or reply behind a record mark, program NFS (RFC 5531 section 9).
        tcp(Nfs).client().ports(&[2049]).at(8, b"\x00\x00\x00\x00").at(12, b"\x00\x00\x00\x02"),
        tcp(Nfs).server().ports(&[2049]).at(8, b"\x00\x00\x00\x01"),
        tcp(Telnet).ports(&[23]).masked(0, 0xff, 0xff).masked(1, 0xfa, 0xff),
        tcp(Telnet).ports(&[23]).masked(0, 0xff, 0xff).masked(1, 0xfb, 0xff),
        tcp(Telnet).ports(&[23]).masked(0, 0xff, 0xff).masked(1, 0xfc, 0xfc),
        tcp(Ldap).ports(LDAP).at(0, b"\x30").needs(8, Check::BerSequence),
        tcp(Pgsql).client().ports(&[5432]).at(0, b"\x00\x00\x00\x08\x04\xd2\x16\x2f"),
        tcp(Pgsql).client().ports(&[5432]).at(0, b"\x00\x00").at(4, b"\x00\x03\x00\x00"),
        tcp(Pgsql).server().ports(&[5432]).at(0, b"R\x00\x00\x00"),
        // One byte answers the request for TLS.
        tcp(Pgsql).server().ports(&[5432]).at(0, b"S"),
        tcp(Pgsql).server().ports(&[5432]).at(0, b"N"),
        // A session that began before: any packet of a client, of a type and a level of service that exist (MQTT 3.1.1,
        // sections 2.2.1 and 3.3.1.2).
        tcp(Mqtt).client().ports(&[1883]).masked(0, 0x10, 0x14),
        tcp(Mqtt).client().ports(&[1883]).masked(0, 0x10, 0x12),
        tcp(Mqtt).client().ports(&[1883]).masked(0, 0x20, 0x24),
        tcp(Mqtt).client().ports(&[1883]).masked(0, 0x20, 0x22),
        tcp(Mqtt).client().ports(&[1883]).masked(0, 0x40, 0x44),
        tcp(Mqtt).client().ports(&[1883]).masked(0, 0x40, 0x42),
        // Datagrams.
        udp(Dns).either(&[53]).needs(12, Check::Dns(0)),
        udp(Mdns).either(&[5353]).needs(12, Check::Dns(0)),
        udp(BittorrentDht).at(0, b"d1:ad2:id20:"),
        udp(BittorrentDht).at(0, b"d1:rd2:id20:"),
        udp(BittorrentDht).at(0, b"d2:ip6:"),
        udp(BittorrentDht).at(0, b"d1:el"),
        udp(Quic).masked(0, 0xc0, 0xc0).needs(5, Check::Quic),
        udp(Snmp).either(&[161, 162]).at(0, b"\x30").needs(8, Check::BerSequence),
        udp(Ntp).either(&[123]).needs(1, Check::Ntp),
        udp(Dhcp).either(&[67, 68]).masked(0, 1, 0xff).at(1, b"\x01\x06"),
        udp(Dhcp).either(&[67, 68]).masked(0, 2, 0xff).at(1, b"\x01\x06"),
        udp(Tftp).either(&[69]).at(0, b"\x00\x01"),
        udp(Tftp).either(&[69]).at(0, b"\x00\x02"),
        udp(Tftp).either(&[69]).at(0, b"\x00\x03"),
        udp(Tftp).either(&[69]).at(0, b"\x00").masked(1, 0x04, 0xfe),
        udp(Krb5).either(&[88]).masked(0, 0x6a, 0xfe),
        udp(Krb5).either(&[88]).masked(0, 0x6c, 0xfe),
        udp(Krb5).either(&[88]).at(0, b"\x7e"),
        udp(Ike).either(&[500]).needs(16, Check::NotZero),
        udp(Ike).either(&[4500]).at(0, b"\x00\x00\x00\x00").needs(12, Check::None),
        udp(Nfs).either(&[2049]).at(4, b"\x00\x00\x00\x00").at(8, b"\x00\x00\x00\x02"),
        udp(Nfs).either(&[2049]).at(4, b"\x00\x00\x00\x01"),
        udp(Ldap).either(&[389]).at(0, b"\x30").needs(8, Check::BerSequence),
        udp(Enip).either(&[44818]).needs(2, Check::Enip),
        udp(DceRpc).at(0, b"\x04").needs(8, Check::DceRpcUdp),
        tcp(Http2).at(0, b"PRI * HTTP/2.0\r\n").client(),
        tcp(Enip).ports(&[2222]).needs(2, Check::Enip),
    ]
};

const POP3: &[u16] = &[110, 995];
const SMTP: &[u16] = &[25, 465, 587];
const LDAP: &[u16] = &[389, 3268];

/// All signatures, highest precedence first.
pub const SIGNATURES: &[Signature] = &{
    let mut all = [FIXED[0]; 14 + 14 + 56 + FIXED.len()];
    let mut n = 0;
    let mut i = 0;
    while i < SIP_TCP.len() {
        all[n] = SIP_TCP[i];
        all[n + 1] = SIP_UDP[i];
        n += 2;
        i += 1;
    }
    i = 0;
    while i < METHODS.len() {
        all[n] = METHODS[i];
        n += 1;
        i += 1;
    }
    i = 0;
    while i < FIXED.len() {
        all[n] = FIXED[i];
        n += 1;
        i += 1;
    }
    all
};
