//! Frames, one by one: the host's decoder, the device's parser, and that both see the same.

use crate::Target;
use crate::frames::{self, FrameList};
use std::path::Path;
use weir_contract::flow_key::Address;
use weir_contract::guards::Guard;
use weir_packet::{Checksums, Decoder, DecoderConfig, Frame, Time, Transport, fuzz_frame};
use weir_sim::parse::{ParseConfig, parse};

/// The targets of this room.
pub fn targets() -> [Target; 4] {
    let lists = Target {
        mutate: Some(frames::mutate),
        repair: Some(frames::repair),
        parts: Some(frames::parts),
        shared: |data: &Path| frames::from_captures(&data.join("pcaps"), 24, 12 << 10, 4),
        longest: 24 << 10,
        ..Target::new("", "", |_| {}, frames::made)
    };
    [
        Target {
            name: "packet-bytes",
            about: "any bytes as a frame of each link type, and in pieces: slices lie in the frame",
            run: |bytes| {
                fuzz_frame(bytes);
            },
            ..Target { mutate: None, repair: None, parts: None, ..lists }
        },
        Target {
            name: "packet",
            about: "lists of frames through the host's decoder and defragmenter: slices lie in the frame, at least one packet a \
                    frame, the same packets with and without checksums validated, memory bounded",
            run: packets,
            memory: 48 << 20,
            ..lists
        },
        Target {
            name: "device-frames",
            about: "frames through the device's parser and a whole device with small rings: conservation holds exactly",
            run: weir_sim::fuzz::fuzz_frame,
            ..Target { mutate: None, repair: None, parts: None, ..lists }
        },
        Target {
            name: "parsers-agree",
            about: "what the device lets pass without a guard that always diverts is, for the host, one packet of the same \
                    flow with the same payload",
            run: agree,
            ..lists
        },
    ]
}

fn decoder(checksums: Checksums) -> Decoder {
    Decoder::new(DecoderConfig { checksums, gtp_ports: vec![2152], ..DecoderConfig::default() })
}

fn packets(bytes: &[u8]) {
    let list = FrameList::decode(bytes);
    let capture = list.capture();
    let mut found: [Vec<String>; 2] = Default::default();
    for (checksums, found) in [Checksums::Validate, Checksums::Ignore].into_iter().zip(&mut found) {
        let mut decoder = decoder(checksums);
        for frame in capture.frames() {
            let before = found.len();
            decoder.decode(&frame, &mut |packet| {
                assert!(packet.payload.len() <= packet.data.len());
                let ip = packet.ip.as_ref();
                if let Some(ip) = ip {
                    assert!(ip.header.len() <= packet.data.len() && ip.options.len() <= ip.header.len());
                }
                let _ = (packet.ip_checksum_valid(), packet.transport_checksum_valid());
                found.push(format!("{ip:?} {:?} {} {:?}", packet.transport, packet.payload.len(), packet.vlan));
            });
            assert!(found.len() > before, "at least one packet for each frame");
            assert!(found.len() - before <= 64, "packets of a frame are bounded");
        }
    }
    assert_eq!(found[0], found[1], "checksums do not change what is decoded");
}

fn same(ours: std::net::IpAddr, theirs: Address) -> bool {
    match (ours, theirs) {
        (std::net::IpAddr::V4(a), Address::V4(b)) => a.octets() == b,
        (std::net::IpAddr::V6(a), Address::V6(b)) => a.octets() == b,
        _ => false,
    }
}

fn agree(bytes: &[u8]) {
    let list = FrameList::decode(bytes);
    let always = Guard::ALL.iter().filter(|guard| guard.always()).fold(0, |set, guard| set | guard.bit());
    for frame in &list.frames {
        let wire = (frame.bytes.len() + usize::from(frame.missing)) as u32;
        for checksums in [true, false] {
            // The device is told every port that the host opens as a tunnel.
            let mode = if checksums { Checksums::Validate } else { Checksums::Ignore };
            let mut decoder = decoder(mode);
            let d = decoder.config();
            let mut ports = [0u16; 8];
            let all = [&d.vxlan_ports, &d.geneve_ports, &d.teredo_ports, &d.gtp_ports].into_iter().flatten();
            for (place, port) in ports.iter_mut().zip(all) {
                *place = *port;
            }
            let parsed = parse(&ParseConfig { checksums, tunnel_ports: ports }, list.link, &frame.bytes, wire);
            let host =
                Frame { number: 1, time: Time(1), link: list.link, data: &frame.bytes, wire_length: wire };
            if parsed.guards & always != 0 {
                // It goes to the host; but what the device puts into a flow must be in the same flow there, or the two would
                // follow different sequences.
                let mut first = true;
                decoder.decode(&host, &mut |packet| {
                    if std::mem::take(&mut first) && parsed.keyed {
                        let Some(ip) = packet.ip.as_ref() else { panic!("the host sees no IP in {parsed:?}") };
                        assert!(!ip.is_fragment && ip.protocol == parsed.protocol, "{ip:?} {parsed:?}");
                        assert_eq!((packet.source_port, packet.destination_port), parsed.ports, "{parsed:?}");
                        assert_eq!(packet.tcp().is_some(), parsed.tcp.is_some(), "{parsed:?}");
                    }
                });
                continue;
            }
            let mut count = 0;
            decoder.decode(&host, &mut |packet| {
                count += 1;
                assert_eq!(packet.tunnel_depth, 0, "a tunnel that the device does not see: {parsed:?}");
                let Some(ip) = packet.ip.as_ref() else {
                    assert!(!parsed.keyed, "the host sees no IP in {parsed:?}");
                    return;
                };
                assert!(parsed.keyed, "the device has no key for {ip:?} {:?}: {parsed:?}", packet.transport);
                assert!(!ip.is_fragment, "{parsed:?}");
                let Some((source, destination)) = parsed.ends else { panic!("{parsed:?}") };
                assert!(same(ip.source, source) && same(ip.destination, destination), "{ip:?} {parsed:?}");
                assert_eq!(ip.protocol, parsed.protocol, "{parsed:?}");
                assert_eq!((packet.source_port, packet.destination_port), parsed.ports, "{parsed:?}");
                assert_eq!(packet.vlan[..2], parsed.vlan, "{parsed:?}");
                let payload = frame.bytes.get(parsed.payload.0..parsed.payload.1);
                assert_eq!(Some(packet.payload), payload, "{:?} {parsed:?}", packet.transport);
                match (&packet.transport, parsed.tcp) {
                    (Transport::Tcp(ours), Some(theirs)) => {
                        assert_eq!(
                            (ours.sequence, ours.acknowledgement, ours.flags),
                            (theirs.sequence, theirs.acknowledgement, theirs.flags)
                        );
                        if !parsed.fired(Guard::TcpOptionsOdd) {
                            assert_eq!(ours.timestamp.map(|t| t.0), theirs.timestamp);
                        }
                    }
                    (Transport::Tcp(_), None) | (_, Some(_)) => panic!("one of them sees TCP: {parsed:?}"),
                    _ => {}
                }
                assert_eq!(packet.checksum_bad, checksums && parsed.fired(Guard::ChecksumL4), "{parsed:?}");
            });
            assert_eq!(count, 1, "{parsed:?}");
        }
    }
}
