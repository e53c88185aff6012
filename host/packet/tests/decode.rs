//! Decoding of frames: encapsulations, headers, limits, and arbitrary bytes.

use proptest::prelude::*;
use weir_packet::{
    Checksums, Decoder, DecoderConfig, DecoderEvent, Frame, Packet, Time, Transport, fuzz_frame, link_types,
};
use weir_synth::wire::{
    Addresses, Encapsulation, IpFields, TcpFields, Way, Wrap, WrapKind, icmp, ip, link, tcp, udp, v4,
};

/// What a packet is, in short.
fn summary(packet: &Packet<'_>) -> String {
    let transport = match &packet.transport {
        Transport::None => "-",
        Transport::Tcp(_) => "tcp",
        Transport::Udp(_) => "udp",
        Transport::Icmpv4(_) => "icmp",
        Transport::Icmpv6(_) => "icmpv6",
        Transport::Sctp(_) => "sctp",
    };
    let ip = packet.ip.map_or("-".into(), |ip| format!("{}>{}", ip.source, ip.destination));
    let vlan: Vec<_> = packet.vlan[..packet.vlan_layers as usize].iter().map(u16::to_string).collect();
    let events: Vec<_> = packet.events.iter().map(DecoderEvent::name).collect();
    let mut text = format!("{} {ip} {transport}", packet.tunnel_depth);
    for (name, list) in [("vlan", vlan.join(",")), ("events", events.join(","))] {
        if !list.is_empty() {
            text += &format!(" {name}={list}");
        }
    }
    text
}

fn decode(link: u16, data: &[u8]) -> Vec<String> {
    let frame = Frame { number: 1, time: Time(0), link, data, wire_length: data.len() as u32 };
    let mut packets = Vec::new();
    let config = DecoderConfig { gtp_ports: vec![2152], ..DecoderConfig::default() };
    Decoder::new(config).decode(&frame, &mut |packet| packets.push(summary(packet)));
    packets
}

fn four() -> Addresses {
    Addresses { source: v4(10, 0, 0, 1), destination: v4(10, 0, 0, 2) }
}

fn six() -> Addresses {
    Addresses { source: "2001:db8::1".parse().unwrap(), destination: "2001:db8::2".parse().unwrap() }
}

/// A small UDP packet.
fn packet(addresses: Addresses) -> Vec<u8> {
    ip(addresses, 17, &IpFields::default(), &udp(addresses, 1, 2, false, b"hello"))
}

const INNER: &str = "10.0.0.1>10.0.0.2 udp";

#[test]
fn tunnels_give_a_packet_per_ip_header() {
    let outer = Addresses { source: v4(10, 9, 0, 1), destination: v4(10, 9, 0, 2) };
    let cases = [
        (WrapKind::Vxlan, "udp"),
        (WrapKind::Geneve, "udp"),
        (WrapKind::Gre, "-"),
        (WrapKind::Ipip, "-"),
        (WrapKind::Erspan, "-"),
    ];
    for (kind, transport) in cases {
        let encapsulation =
            Encapsulation { wraps: vec![Wrap { kind, outer, number: 5 }; 2], ..Encapsulation::default() };
        let frame = link(link_types::ETHERNET, four(), Way::ToServer, &encapsulation, packet(four()));
        let outer = format!("10.9.0.1>10.9.0.2 {transport}");
        assert_eq!(
            decode(link_types::ETHERNET, &frame),
            [format!("0 {outer}"), format!("1 {outer}"), format!("2 {INNER}")],
            "{kind:?}"
        );
    }
}

#[test]
fn layers_between_link_and_ip() {
    let cases = [
        (Encapsulation { vlan: vec![7], ..Encapsulation::default() }, "0 10.0.0.1>10.0.0.2 udp vlan=7"),
        (Encapsulation { vlan: vec![7, 8, 9], ..Encapsulation::default() }, "0 10.0.0.1>10.0.0.2 udp vlan=7,8,9"),
        (
            Encapsulation { vlan: vec![1, 2, 3, 4], ..Encapsulation::default() },
            "0 - - vlan=1,2,3 events=vlan.too_many_layers",
        ),
        (Encapsulation { mpls: vec![100, 200], ..Encapsulation::default() }, "0 10.0.0.1>10.0.0.2 udp"),
        (Encapsulation { mpls: vec![3], ..Encapsulation::default() }, "0 - - events=mpls.bad_label_implicit_null"),
        (Encapsulation { pppoe: true, vlan: vec![7], ..Encapsulation::default() }, "0 10.0.0.1>10.0.0.2 udp vlan=7"),
    ];
    for (encapsulation, expected) in cases {
        let frame = link(link_types::ETHERNET, four(), Way::ToServer, &encapsulation, packet(four()));
        assert_eq!(decode(link_types::ETHERNET, &frame), [expected], "{encapsulation:?}");
    }
}

#[test]
fn link_types_lead_to_ip() {
    let inner = packet(four());
    let with = |head: &[u8]| [head, &inner].concat();
    let mut sll = vec![0; 14];
    sll.extend([8, 0]);
    let mut sll2 = vec![8, 0];
    sll2.extend([0; 18]);
    let snap = [0xaa, 0xaa, 3, 0, 0, 0, 8, 0];
    let wifi = [&[0x08, 0x01][..], &[0; 22], &snap].concat();
    let cases = [
        (link_types::RAW, with(&[])),
        (link_types::IPV4, with(&[])),
        (link_types::NULL, with(&[2, 0, 0, 0])),
        (link_types::NULL, with(&[0, 0, 0, 2])),
        (link_types::LOOP, with(&[0, 0, 0, 2])),
        (link_types::LINUX_SLL, with(&sll)),
        (link_types::LINUX_SLL2, with(&sll2)),
        (link_types::PPP, with(&[0xff, 3, 0, 0x21])),
        (link_types::PPP, with(&[0x21])),
        (link_types::PPP_HDLC, with(&[0x0f, 0, 8, 0])),
        (link_types::PPP_ETHER, with(&[0x11, 0, 0, 1, 0, 0, 0, 0x21])),
        (link_types::C_HDLC, with(&[0x0f, 0, 8, 0])),
        (link_types::FRELAY, with(&[0x18, 0x41, 3, 0xcc])),
        (link_types::IEEE802_11, with(&wifi)),
        (link_types::RADIOTAP, with(&[&[0, 0, 8, 0, 0, 0, 0, 0][..], &wifi].concat())),
        (link_types::FDDI, with(&[&[0; 13][..], &snap].concat())),
        (link_types::TOKEN_RING, with(&[&[0; 14][..], &snap].concat())),
        (link_types::SLIP, with(&[0; 16])),
        (link_types::NFLOG, with(&[2, 0, 0, 0, 37, 0, 9, 0])),
    ];
    for (link, data) in cases {
        assert_eq!(decode(link, &data), [format!("0 {INNER}")], "link type {link}");
    }
    assert_eq!(decode(1234, &inner), ["0 - - events=link.unsupported"]);
    assert_eq!(decode(link_types::RAW, &packet(six())), ["0 2001:db8::1>2001:db8::2 udp"]);
}

#[test]
fn teredo_and_gtp_hold_ip_when_they_look_like_it() {
    let outer = |port: u16, payload: &[u8]| {
        let segment = udp(four(), 40_000, port, false, payload);
        ip(four(), 17, &IpFields::default(), &segment)
    };
    let inner = packet(six());
    let origin = [&[0, 0, 1, 2, 3, 4, 5, 6][..], &inner].concat();
    for teredo in [&inner, &origin] {
        let packets = decode(link_types::RAW, &outer(3544, teredo));
        assert_eq!(packets, [format!("0 {INNER}"), "1 2001:db8::1>2001:db8::2 udp".into()]);
    }
    assert_eq!(decode(link_types::RAW, &outer(3544, &inner[..inner.len() - 1])).len(), 1);
    assert_eq!(decode(link_types::RAW, &outer(3545, &inner)).len(), 1);
    let gtp = [&[0x34, 255, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 9, 0][..], &packet(four())].concat();
    assert_eq!(decode(link_types::RAW, &outer(2152, &gtp)), [format!("0 {INNER}"), format!("1 {INNER}")]);
}

#[test]
fn nesting_is_bounded() {
    // IP in IP in IP, up to the largest packet.
    let mut data = packet(four());
    while data.len() < 60_000 {
        data = ip(four(), 4, &IpFields::default(), &data);
    }
    let packets = decode(link_types::RAW, &data);
    assert_eq!(packets.len(), 16);
    assert_eq!(packets[15], "15 10.0.0.1>10.0.0.2 -");
    // Labels without end.
    let mut labels = vec![0; 12];
    labels.extend([0x88, 0x47]);
    labels.extend([0u8; 1000]);
    assert_eq!(decode(link_types::ETHERNET, &labels), ["0 - - events=too_many_layers"]);
}

#[test]
fn tcp_options_are_read() {
    let fields = TcpFields {
        source: 1,
        destination: 2,
        flags: 2,
        options: vec![2, 4, 5, 180, 1, 3, 3, 20, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2],
        ..TcpFields::default()
    };
    let data = ip(four(), 6, &IpFields::default(), &tcp(four(), &fields, b"x"));
    let frame = Frame { number: 1, time: Time(0), link: link_types::RAW, data: &data, wire_length: 0 };
    let mut checked = false;
    Decoder::new(DecoderConfig::default()).decode(&frame, &mut |packet| {
        let tcp = packet.tcp().unwrap();
        assert_eq!((tcp.mss, tcp.window_scale, tcp.sack_permitted), (Some(1460), Some(14), true));
        assert_eq!((tcp.timestamp, packet.payload), (Some((1, 2)), &b"x"[..]));
        assert!(!packet.checksum_bad);
        checked = true;
    });
    assert!(checked);
    let broken: [(&[u8], &str); 4] = [
        (&[2, 3, 5], "tcp.opt_invalid_len"),
        (&[2, 40, 5, 180], "tcp.opt_invalid_len"),
        (&[8, 1], "tcp.opt_invalid_len"),
        (&[3, 3, 1, 3, 3, 2], "tcp.opt_duplicate"),
    ];
    for (options, event) in broken {
        let fields = TcpFields { options: options.to_vec(), ..TcpFields::default() };
        let data = ip(four(), 6, &IpFields::default(), &tcp(four(), &fields, b""));
        assert_eq!(decode(link_types::RAW, &data), [format!("0 10.0.0.1>10.0.0.2 tcp events={event}")]);
    }
}

#[test]
fn wrong_checksums_are_seen_when_asked_for() {
    let flagged = |data: &[u8], checksums: Checksums| {
        let frame = Frame { number: 1, time: Time(0), link: link_types::RAW, data, wire_length: 0 };
        let mut flagged = false;
        let mut decoder = Decoder::new(DecoderConfig { checksums, ..DecoderConfig::default() });
        decoder.decode(&frame, &mut |packet| flagged |= packet.checksum_bad);
        flagged
    };
    for addresses in [four(), six()] {
        for bad in [false, true] {
            let tcp_fields = TcpFields { bad_checksum: bad, ..TcpFields::default() };
            let icmp_protocol = if addresses == four() { 1 } else { 58 };
            let cases = [
                ip(addresses, 6, &IpFields::default(), &tcp(addresses, &tcp_fields, b"odd")),
                ip(addresses, 17, &IpFields::default(), &udp(addresses, 1, 2, bad, b"odd")),
                ip(addresses, icmp_protocol, &IpFields::default(), &icmp(addresses, 128, 0, 7, bad, b"odd")),
            ];
            for data in cases {
                assert_eq!(flagged(&data, Checksums::Validate), bad);
                assert!(!flagged(&data, Checksums::Ignore));
            }
        }
    }
    // UDP over IPv4 may go without.
    let mut data = packet(four());
    data[26..28].fill(0);
    assert!(!flagged(&data, Checksums::Validate));
}

#[test]
fn every_prefix_of_a_frame_decodes_to_one_packet_or_more() {
    let outer = Addresses { source: v4(10, 9, 0, 1), destination: v4(10, 9, 0, 2) };
    let wraps =
        vec![Wrap { kind: WrapKind::Erspan, outer, number: 5 }, Wrap { kind: WrapKind::Vxlan, outer, number: 5 }];
    let encapsulation = Encapsulation { wraps, vlan: vec![1, 2], mpls: vec![16], pppoe: false };
    for addresses in [four(), six()] {
        let frame = link(link_types::ETHERNET, addresses, Way::ToServer, &encapsulation, packet(addresses));
        for length in 0..frame.len() {
            assert!(!decode(link_types::ETHERNET, &frame[..length]).is_empty());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_frames_never_panic(data in prop::collection::vec(any::<u8>(), 0..600)) {
        fuzz_frame(&data);
    }

    /// Good frames with a few bytes changed reach deeper than arbitrary ones.
    #[test]
    fn damaged_frames_never_panic(
        kinds in prop::collection::vec(0usize..5, 0..4),
        is_six: bool,
        vlan in 0usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        payload in prop::collection::vec(any::<u8>(), 0..80),
        protocol in prop::sample::select(vec![0u8, 1, 2, 4, 6, 17, 41, 43, 44, 47, 50, 51, 58, 59, 60, 132]),
    ) {
        let all = [WrapKind::Vxlan, WrapKind::Geneve, WrapKind::Gre, WrapKind::Ipip, WrapKind::Erspan];
        let outer = Addresses { source: v4(10, 9, 0, 1), destination: v4(10, 9, 0, 2) };
        let wraps = kinds.iter().map(|kind| Wrap { kind: all[*kind], outer, number: 5 }).collect();
        let encapsulation = Encapsulation { wraps, vlan: vec![7; vlan], ..Encapsulation::default() };
        let addresses = if is_six { six() } else { four() };
        let inner = ip(addresses, protocol, &IpFields::default(), &payload);
        let mut frame = link(link_types::ETHERNET, addresses, Way::ToServer, &encapsulation, inner);
        for (at, value) in changes {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame.truncate(cut.index(frame.len()) + 1);
        // The first byte chooses Ethernet.
        frame.insert(0, 0);
        prop_assert!(fuzz_frame(&frame) > 0);
    }
}

#[test]
fn layers_are_told_by_packet() {
    let layers = |link: u16, data: &[u8]| {
        let frame = Frame { number: 1, time: Time(0), link, data, wire_length: data.len() as u32 };
        let mut seen = Vec::new();
        Decoder::new(DecoderConfig::default()).decode(&frame, &mut |packet| {
            let names = weir_packet::LAYERS.iter().filter(|(layer, _)| packet.layers.intersects(*layer));
            seen.push(names.map(|(_, name)| *name).collect::<Vec<_>>());
        });
        seen
    };
    let inner = packet(four());
    let ethernet = |kind: u16, rest: &[u8]| [&[2u8; 12][..], &kind.to_be_bytes(), rest].concat();
    let tagged = |tag: &[u8]| [tag, &0x0800u16.to_be_bytes(), &inner].concat();
    assert_eq!(layers(1, &ethernet(0x0800, &inner)), [[""; 0]]);
    assert_eq!(layers(1, &ethernet(0x8926, &tagged(&[0; 4]))), [["vntag"]]);
    assert_eq!(layers(1, &ethernet(0x893f, &tagged(&[0; 6]))), [["etag"]]);
    assert_eq!(layers(1, &ethernet(0x894f, &[&[0, 2, 2, 1, 0, 0, 1, 0][..], &inner].concat())), [["nsh"]]);
    assert_eq!(layers(1, &ethernet(0x8847, &[&[0, 1, 0x01, 64][..], &inner].concat())), [["mpls"]]);
    assert_eq!(layers(101, &inner), [["raw"]]);
    // Each packet of a tunnel has its own; a payload without the tunnel's shape is none.
    let vxlan = [&[8, 0, 0, 0, 0, 0, 5, 0][..], &ethernet(0x8926, &tagged(&[0; 4]))].concat();
    let outer = |payload: &[u8]| ip(four(), 17, &IpFields::default(), &udp(four(), 9, 4789, false, payload));
    assert_eq!(layers(101, &outer(&vxlan)), [vec!["raw", "vxlan"], vec!["vntag"]]);
    assert_eq!(layers(101, &outer(b"none")), [["raw"]]);
}
