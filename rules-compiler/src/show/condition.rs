//! Conditions outside of buffers.

use super::addresses;
use weir_ir::condition::{Asn1, Checksum, FlowSide, IpOption, ProtocolMode, StreamSide, TcpFlagsMode};
use weir_ir::{AppLayerCondition, Comparison, Event, PacketCondition, VlanLayer};

/// A comparison, as most keywords write it.
pub fn comparison(c: Comparison) -> String {
    match c {
        Comparison::Equal(n) => n.to_string(),
        Comparison::NotEqual(n) => format!("!{n}"),
        Comparison::Less(n) => format!("<{n}"),
        Comparison::LessEqual(n) => format!("<={n}"),
        Comparison::Greater(n) => format!(">{n}"),
        Comparison::GreaterEqual(n) => format!(">={n}"),
        Comparison::Between(a, b) => format!("{a}<>{b}"),
        // The language leaves both ends out.
        Comparison::Within(0, b) => format!("<={b}"),
        Comparison::Within(a, u64::MAX) => format!(">={a}"),
        Comparison::Within(a, b) => format!("{}<>{}", a - 1, b + 1),
        Comparison::Outside(a, b) => format!("!{}<>{}", a.saturating_sub(1), b.saturating_add(1)),
        Comparison::AnyBit(mask) => format!("&{mask:#x}"),
        Comparison::NoBit(mask) => format!("!&{mask:#x}"),
        Comparison::Bits(mask, bits) => format!("&{mask:#x}={bits:#x}"),
        Comparison::OtherBits(mask, bits) => format!("&{mask:#x}!={bits:#x}"),
    }
}

fn mode(mode: TcpFlagsMode) -> &'static str {
    match mode {
        TcpFlagsMode::Exact => "",
        TcpFlagsMode::All => "+",
        TcpFlagsMode::Any => "*",
        TcpFlagsMode::Not => "!",
    }
}

/// TCP flags by their letters, the first bit last.
pub fn tcp_flags(flags: u8) -> String {
    const LETTERS: [char; 8] = ['F', 'S', 'R', 'P', 'A', 'U', 'E', 'C'];
    let text: String = LETTERS.iter().enumerate().filter(|(n, _)| flags >> n & 1 != 0).map(|(_, c)| *c).collect();
    if text.is_empty() { "0".to_owned() } else { text }
}

/// A condition on the packet.
pub fn packet(condition: &PacketCondition) -> String {
    use PacketCondition as P;
    let side = |side: &FlowSide| match side {
        FlowSide::ToServer => "toserver,",
        FlowSide::ToClient => "toclient,",
        FlowSide::Either => "either,",
        FlowSide::Both => "both,",
    };
    match condition {
        P::PayloadSize(c) => format!("dsize:{}", comparison(*c)),
        P::TcpFlags(f) => {
            let ignored = if f.ignore == 0 { String::new() } else { format!(",{}", tcp_flags(f.ignore)) };
            format!("tcp.flags:{}{}{ignored}", mode(f.mode), tcp_flags(f.flags))
        }
        P::TcpSequence(n) => format!("seq:{n}"),
        P::TcpAck(n) => format!("ack:{n}"),
        P::TcpWindow(n, negated) => format!("window:{}{n}", if *negated { "!" } else { "" }),
        P::TcpMss(c) => format!("tcp.mss:{}", comparison(*c)),
        P::TcpWindowScale(c) => format!("tcp.wscale:{}", comparison(*c)),
        P::IcmpType(c) => format!("itype:{}", comparison(*c)),
        P::IcmpCode(c) => format!("icode:{}", comparison(*c)),
        P::IcmpId(n) => format!("icmp_id:{n}"),
        P::IcmpSequence(n) => format!("icmp_seq:{n}"),
        P::Icmpv6Mtu(c) => format!("icmpv6.mtu:{}", comparison(*c)),
        P::Ttl(c) => format!("ttl:{}", comparison(*c)),
        P::Tos(c) => format!("tos:{}", comparison(*c)),
        P::IpId(n) => format!("id:{n}"),
        P::IpProtocol(c) => format!("ip_proto:{}", comparison(*c)),
        P::IpOption(IpOption::Any) => "ipopts:any".to_owned(),
        P::IpOption(IpOption::Number(n)) => format!("ipopts:{n}"),
        P::SameIp => "sameip".to_owned(),
        P::FragmentBits(bits, m) => {
            let letters = [(0x4, 'R'), (0x2, 'D'), (0x1, 'M')];
            let text: String = letters.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, c)| *c).collect();
            format!("fragbits:{}{text}", mode(*m))
        }
        P::FragmentOffset(c) => format!("fragoffset:{}", comparison(*c)),
        P::Address { source, destination, either } => {
            let of = |name: &str, set: &Option<weir_ir::AddressSet>| {
                set.as_ref().map(|s| format!("{name} {}", addresses(s)))
            };
            let both: Vec<String> =
                [of("source", source), of("destination", destination)].into_iter().flatten().collect();
            format!("address:{}", both.join(if *either { " or " } else { " and " }))
        }
        P::StreamSize(s) => {
            let side = match s.side {
                StreamSide::Server => "server",
                StreamSide::Client => "client",
                StreamSide::Both => "both",
                StreamSide::Either => "either",
            };
            format!("stream_size:{side},{}", comparison(s.size))
        }
        P::FlowAge(c) => format!("flow.age:{}", comparison(*c)),
        P::FlowPackets(of, c) => format!("flow.pkts:{}{}", side(of), comparison(*c)),
        P::FlowBytes(of, c) => format!("flow.bytes:{}{}", side(of), comparison(*c)),
        P::VlanId(layer, c) => {
            let layer = match layer {
                VlanLayer::Any => "any".to_owned(),
                VlanLayer::All => "all".to_owned(),
                VlanLayer::At(n) => n.to_string(),
            };
            format!("vlan.id:{},{layer}", comparison(*c))
        }
        P::VlanLayers(c) => format!("vlan.layers:{}", comparison(*c)),
        P::Isset(name) => format!("flowbits:isset,{name}"),
        P::Rpc(program, version, procedure) => {
            let or_any = |n: &Option<u32>| n.map_or_else(|| "*".to_owned(), |n| n.to_string());
            format!("rpc:{program},{},{}", or_any(version), or_any(procedure))
        }
        P::FtpBounce => "ftpbounce".to_owned(),
        P::Checksum(which, valid) => {
            let name = match which {
                Checksum::Ipv4 => "ipv4-csum",
                Checksum::TcpOverIpv4 => "tcpv4-csum",
                Checksum::TcpOverIpv6 => "tcpv6-csum",
                Checksum::UdpOverIpv4 => "udpv4-csum",
                Checksum::UdpOverIpv6 => "udpv6-csum",
                Checksum::Icmpv4 => "icmpv4-csum",
                Checksum::Icmpv6 => "icmpv6-csum",
            };
            format!("{name}:{}", if *valid { "valid" } else { "invalid" })
        }
        P::Asn1(a) => asn1(a),
    }
}

fn asn1(a: &Asn1) -> String {
    let mut words = Vec::new();
    words.extend(a.bitstring_overflow.then(|| "bitstring_overflow".to_owned()));
    words.extend(a.double_overflow.then(|| "double_overflow".to_owned()));
    words.extend(a.oversize_length.map(|n| format!("oversize_length {n}")));
    words.extend(a.absolute_offset.map(|n| format!("absolute_offset {n}")));
    words.extend(a.relative_offset.map(|n| format!("relative_offset {n}")));
    format!("asn1:{}", words.join(", "))
}

fn protocol_mode(mode: ProtocolMode) -> &'static str {
    match mode {
        ProtocolMode::Final => "final",
        ProtocolMode::Original => "original",
        ProtocolMode::Either => "either",
        ProtocolMode::ToServer => "to_server",
        ProtocolMode::ToClient => "to_client",
    }
}

/// A condition on the application layer.
pub fn application(condition: &AppLayerCondition) -> String {
    use AppLayerCondition as A;
    let not = |negated: bool| if negated { "!" } else { "" };
    let name = |p: &Option<weir_contract::protocol::AppProtocol>| p.map_or("failed", |p| p.name());
    let version = |v: u16| match v {
        0x0200 => "ssl2".to_owned(),
        0x0300 => "ssl3".to_owned(),
        0x0301..=0x0304 => format!("1.{}", v - 0x0301),
        other => format!("{other:#06x}"),
    };
    match condition {
        A::Protocol { protocol, negated } => format!("app-layer-protocol:{}{}", not(*negated), name(protocol)),
        A::ProtocolOf { mode, protocol, negated } => {
            format!("app-layer-protocol:{}{},{}", not(*negated), name(protocol), protocol_mode(*mode))
        }
        A::Undetected(None) => "app-layer-protocol:unknown".to_owned(),
        A::Undetected(Some(mode)) => format!("app-layer-protocol:unknown,{}", protocol_mode(*mode)),
        A::TlsVersion(all) => {
            let all: Vec<String> = all.iter().map(|(v, negated)| format!("{}{}", not(*negated), version(*v))).collect();
            format!("tls.version:{}", all.join(","))
        }
        A::TlsState(bits, negated) => {
            let names = ["client_hello", "server_hello", "client_keyx", "server_keyx", "unknown"];
            let states = names.iter().enumerate().filter(|(n, _)| bits >> n & 1 != 0).map(|(_, name)| *name);
            format!("ssl_state:{}{}", not(*negated), states.collect::<Vec<_>>().join("|"))
        }
        A::TlsCertExpired => "tls_cert_expired".to_owned(),
        A::TlsCertValid => "tls_cert_valid".to_owned(),
        A::TlsNotBefore(c) => format!("tls_cert_notbefore:{}", comparison(*c)),
        A::TlsNotAfter(c) => format!("tls_cert_notafter:{}", comparison(*c)),
        A::TlsCertChainLength(c) => format!("tls.cert_chain_len:{}", comparison(*c)),
        A::DnsOpcode(c) => format!("dns.opcode:{}", comparison(*c)),
        A::DnsRcode(c) => format!("dns.rcode:{}", comparison(*c)),
        A::DnsRrtype(c) => format!("dns.rrtype:{}", comparison(*c)),
        A::FtpDataCommand(n) => {
            let names = ["stor", "retr", "list", "nlst", "mlsd", "appe"];
            let name = usize::try_from(*n).ok().and_then(|n| names.get(n)).copied();
            format!("ftpdata_command:{}", name.map_or_else(|| n.to_string(), str::to_owned))
        }
        A::FileStore => "filestore".to_owned(),
        A::FileSize(c) => format!("filesize:{}", comparison(*c)),
        A::SmbVersion(n) => format!("smb.version:{n}"),
        A::DcerpcInterface(uuid, version, any) => {
            let digits: String = uuid.iter().map(|b| format!("{b:02x}")).collect();
            let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
            let version = version.map_or_else(String::new, |c| format!(",{}", comparison(c)));
            let any = if *any { ",any_frag" } else { "" };
            format!(
                "dcerpc.iface:{}-{}-{}-{}-{}{version}{any}",
                part(0, 8),
                part(8, 12),
                part(12, 16),
                part(16, 20),
                part(20, 32)
            )
        }
        A::DcerpcOpnum(all) => {
            format!("dcerpc.opnum:{}", all.iter().map(|c| comparison(*c)).collect::<Vec<_>>().join(","))
        }
        A::Named(name, None) => name.to_string(),
        A::Named(name, Some(c)) => format!("{name}:{}", comparison(*c)),
    }
}

/// An event.
pub fn event(event: &Event) -> String {
    match event {
        Event::Decoder(name) => format!("decode-event:{name}"),
        Event::Stream(name) => format!("stream-event:{name}"),
        Event::AppLayer(Some(protocol), name) => format!("app-layer-event:{}.{name}", protocol.name()),
        Event::AppLayer(None, name) => format!("app-layer-event:{name}"),
    }
}
