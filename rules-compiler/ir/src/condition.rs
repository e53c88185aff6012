//! Conditions that are not byte matches.

use std::sync::Arc;
use weir_contract::protocol::AppProtocol;

/// Comparison with a number; used for every numeric keyword (`dsize`, `ttl`, `bsize`, `urilen` ...).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `= n`
    Equal(u64),
    /// `!n`
    NotEqual(u64),
    /// `< n`
    Less(u64),
    /// `<= n`
    LessEqual(u64),
    /// `> n`
    Greater(u64),
    /// `>= n`
    GreaterEqual(u64),
    /// `a-b`, `a<>b`: both ends excluded, as Suricata's ranges are.
    Between(u64, u64),
    /// Both ends included.
    Within(u64, u64),
    /// Outside of the closed interval (`!a-b`).
    Outside(u64, u64),
    /// `&mask`: any bit set.
    AnyBit(u64),
    /// `!&mask`: no bit set.
    NoBit(u64),
    /// `&mask=n`: the bits of the mask are those of `n`.
    Bits(u64, u64),
    /// `&mask!=n`: they are others.
    OtherBits(u64, u64),
}

impl Comparison {
    /// Evaluate.
    pub fn holds(self, value: u64) -> bool {
        match self {
            Comparison::Equal(n) => value == n,
            Comparison::NotEqual(n) => value != n,
            Comparison::Less(n) => value < n,
            Comparison::LessEqual(n) => value <= n,
            Comparison::Greater(n) => value > n,
            Comparison::GreaterEqual(n) => value >= n,
            Comparison::Between(a, b) => value > a && value < b,
            Comparison::Within(a, b) => value >= a && value <= b,
            Comparison::Outside(a, b) => value < a || value > b,
            Comparison::AnyBit(mask) => value & mask != 0,
            Comparison::NoBit(mask) => value & mask == 0,
            Comparison::Bits(mask, bits) => value & mask == bits,
            Comparison::OtherBits(mask, bits) => value & mask != bits,
        }
    }
}

/// `flow`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FlowCondition {
    /// `to_server` / `from_client`
    pub to_server: bool,
    /// `to_client` / `from_server`
    pub to_client: bool,
    /// `established`
    pub established: bool,
    /// `not_established`
    pub not_established: bool,
    /// `stateless`
    pub stateless: bool,
    /// `only_stream`
    pub only_stream: bool,
    /// `no_stream`
    pub no_stream: bool,
    /// `only_frag`
    pub only_frag: bool,
    /// `no_frag`
    pub no_frag: bool,
}

/// `flags:[modifier]FLAGS[,mask]`. Bits as in the TCP header, with CWR = 0x80, ECE = 0x40.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TcpFlagsMatch {
    /// Flags named.
    pub flags: u8,
    /// Flags ignored (the part behind the comma).
    pub ignore: u8,
    /// How.
    pub mode: TcpFlagsMode,
}

/// Modifier of `flags`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpFlagsMode {
    /// Exactly these.
    Exact,
    /// `+`: these, and maybe others.
    All,
    /// `*`: any of these.
    Any,
    /// `!`: none of these.
    Not,
}

/// `stream_size`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamSize {
    /// Which side.
    pub side: StreamSide,
    /// Comparison with the bytes of the side's stream (next sequence - initial sequence).
    pub size: Comparison,
}

/// Side of `stream_size`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamSide {
    /// `server`: bytes the server sent.
    Server,
    /// `client`
    Client,
    /// `both`
    Both,
    /// `either`
    Either,
}

/// Which VLAN tags of a packet a condition asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VlanLayer {
    /// One of them holds.
    Any,
    /// There are some, and all of them hold.
    All,
    /// One: from 0, the outermost; negative from the innermost, -1.
    At(i8),
}

/// Conditions on the packet.
#[derive(Debug, Clone, PartialEq)]
pub enum PacketCondition {
    /// `dsize`: payload length of the packet.
    PayloadSize(Comparison),
    /// `flags` (also `tcp.flags`)
    TcpFlags(TcpFlagsMatch),
    /// `seq`
    TcpSequence(u32),
    /// `ack`
    TcpAck(u32),
    /// `window` (true = negated)
    TcpWindow(u16, bool),
    /// `tcp.mss`
    TcpMss(Comparison),
    /// `tcp.wscale`
    TcpWindowScale(Comparison),
    /// `itype`
    IcmpType(Comparison),
    /// `icode`
    IcmpCode(Comparison),
    /// `icmp_id`
    IcmpId(u16),
    /// `icmp_seq`
    IcmpSequence(u16),
    /// `icmpv6.mtu`
    Icmpv6Mtu(Comparison),
    /// `ttl`
    Ttl(Comparison),
    /// `tos`
    Tos(Comparison),
    /// `id`
    IpId(u16),
    /// `ip_proto`; several are combined with AND.
    IpProtocol(Comparison),
    /// `ipopts`
    IpOption(IpOption),
    /// `sameip`
    SameIp,
    /// `fragbits`: bits (0x4 reserved, 0x2 DF, 0x1 MF) and mode.
    FragmentBits(u8, TcpFlagsMode),
    /// `fragoffset`
    FragmentOffset(Comparison),
    /// `geoip`, `iprep` and other look-ups by address, resolved at load into address sets: (source, destination)
    /// sets of which `any` (true) or all must contain.
    Address {
        /// Test the source address.
        source: Option<crate::AddressSet>,
        /// Test the destination address.
        destination: Option<crate::AddressSet>,
        /// One suffices.
        either: bool,
    },
    /// `stream_size`
    StreamSize(StreamSize),
    /// `flow.age` in seconds
    FlowAge(Comparison),
    /// `flow.pkts`/`flow.pkts_toserver`/`flow.pkts_toclient`
    FlowPackets(FlowSide, Comparison),
    /// `flow.bytes…`
    FlowBytes(FlowSide, Comparison),
    /// `vlan.id` with layer
    VlanId(VlanLayer, Comparison),
    /// `vlan.layers`
    VlanLayers(Comparison),
    /// `ip_proto`-independent: `decode`d as IPv4 / IPv6 is expressed by the header protocol.
    Isset(Arc<str>),
    /// `rpc:program,version,procedure`; `None` = `*`
    Rpc(u32, Option<u32>, Option<u32>),
    /// `ftpbounce`
    FtpBounce,
    /// `ipv4-csum`, `tcpv4-csum` …: `valid` (true) or `invalid`
    Checksum(Checksum, bool),
    /// `tcp.urgent`-like extras that lowering could not name are rejected, never produced.
    Asn1(Asn1),
}

/// Which checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// `ipv4-csum`: the IPv4 header's.
    Ipv4,
    /// `tcpv4-csum`
    TcpOverIpv4,
    /// `tcpv6-csum`
    TcpOverIpv6,
    /// `udpv4-csum`
    UdpOverIpv4,
    /// `udpv6-csum`
    UdpOverIpv6,
    /// `icmpv4-csum`
    Icmpv4,
    /// `icmpv6-csum`
    Icmpv6,
}

/// Side of a flow counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowSide {
    /// From the initiator.
    ToServer,
    /// To the initiator.
    ToClient,
    /// Either reaches the number.
    Either,
    /// Each of both does.
    Both,
}

/// `ipopts`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpOption {
    /// An option number (0 eol, 1 nop, 7 rr, 68 ts, 130 sec, 131 lsrr, 134 cipso, 136 satid, 137 ssrr, 133 esec).
    Number(u8),
    /// `any`
    Any,
}

/// `asn1`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asn1 {
    /// `bitstring_overflow`
    pub bitstring_overflow: bool,
    /// `double_overflow`
    pub double_overflow: bool,
    /// `oversize_length`
    pub oversize_length: Option<u32>,
    /// `absolute_offset`
    pub absolute_offset: Option<i32>,
    /// `relative_offset`
    pub relative_offset: Option<i32>,
}

/// Mode of `app-layer-protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolMode {
    /// `final`: after protocol changes.
    Final,
    /// `original`: before them.
    Original,
    /// `either` direction.
    Either,
    /// `to_server`: as seen in that direction.
    ToServer,
    /// `to_client`
    ToClient,
}

/// Conditions on the application layer.
#[derive(Debug, Clone, PartialEq)]
pub enum AppLayerCondition {
    /// `app-layer-protocol`
    Protocol {
        /// The protocol; `None` is `failed`.
        protocol: Option<AppProtocol>,
        /// `!`
        negated: bool,
    },
    /// `app-layer-protocol` with a mode: which of a flow's protocols is meant. Plain `app-layer-protocol` gives
    /// [`AppLayerCondition::Protocol`].
    ProtocolOf {
        /// Which.
        mode: ProtocolMode,
        /// The protocol; `None` is `failed`.
        protocol: Option<AppProtocol>,
        /// `!`
        negated: bool,
    },
    /// `app-layer-protocol:unknown`: nothing is known of the protocol that the mode means, on a packet with which something
    /// else was decided. Without mode it never holds, as in Suricata.
    Undetected(Option<ProtocolMode>),
    /// `tls.version` / `ssl_version`: any of the wire versions; (version, negated).
    TlsVersion(Vec<(u16, bool)>),
    /// `ssl_state`: bits of client_hello 1, server_hello 2, client_keyx 4, server_keyx 8, unknown 16; (bits, negated)
    TlsState(u8, bool),
    /// `tls_cert_expired`
    TlsCertExpired,
    /// `tls_cert_valid`
    TlsCertValid,
    /// `tls_cert_notbefore`, seconds since the epoch
    TlsNotBefore(Comparison),
    /// `tls_cert_notafter`
    TlsNotAfter(Comparison),
    /// `tls.cert_chain_len`
    TlsCertChainLength(Comparison),
    /// `dns.opcode`
    DnsOpcode(Comparison),
    /// `dns.rcode`
    DnsRcode(Comparison),
    /// `dns.rrtype`
    DnsRrtype(Comparison),
    /// `ftpdata_command`: 0 stor, 1 retr, 2 list, 3 nlst, 4 mlsd, 5 appe
    FtpDataCommand(u64),
    /// `filestore` (no condition, an effect)
    FileStore,
    /// `filesize`
    FileSize(Comparison),
    /// `smb.version`
    SmbVersion(u8),
    /// `dcerpc.iface`: UUID bytes, version comparison, any_frag
    DcerpcInterface([u8; 16], Option<Comparison>, bool),
    /// `dcerpc.opnum`
    DcerpcOpnum(Vec<Comparison>),
    /// Any further keyword with a numeric value read from the parser by name (`mqtt.qos`, `modbus` ...). The engine
    /// must know the name; lowering rejects what the engine does not list as supported.
    Named(Arc<str>, Option<Comparison>),
}
