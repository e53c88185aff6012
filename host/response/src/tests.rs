use super::*;
use proptest::prelude::*;
use weir_packet::{Checksums, Decoder, DecoderConfig, Frame, Time, Transport, link_types};

const A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
const B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

fn frame(v6: bool, tagged: bool, protocol: u8, transport: &[u8]) -> Vec<u8> {
    let mut out = [B, A].concat();
    if tagged {
        out.extend([0x81, 0, 0, 5]);
    }
    if v6 {
        out.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        out.extend((transport.len() as u16).to_be_bytes());
        out.extend([protocol, 64]);
        out.extend([[0xfd; 15].as_slice(), &[1], &[0xfd; 15], &[2]].concat());
    } else {
        out.extend([8, 0, 0x45, 0]);
        out.extend((20 + transport.len() as u16).to_be_bytes());
        out.extend([0, 9, 0x40, 0, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    }
    out.extend(transport);
    out
}

fn segment(flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0x12, 0x34, 0, 80, 0, 0, 1, 0, 0, 0, 2, 0, 0x50, flags, 1, 0, 0, 0, 0, 0];
    out.extend(payload);
    out
}

fn made(frame: &[u8]) -> Vec<(End, Vec<u8>)> {
    let mut all = Vec::new();
    let n = answers(link_types::ETHERNET, frame, &[End::Sender, End::Receiver], &mut |end, bytes| all.push((end, bytes.to_vec())));
    assert_eq!(n, all.len());
    all
}

#[test]
fn packets_without_a_link_layer_get_the_same_answers() {
    for (v6, transport, protocol) in
        [(false, segment(ACK, b"x"), TCP), (true, segment(ACK, b"x"), TCP), (false, vec![0x12, 0x34, 0, 53, 0, 8, 0, 0], UDP)]
    {
        let whole = frame(v6, false, protocol, &transport);
        let mut all = Vec::new();
        answers(link_types::RAW, &whole[14..], &[End::Sender, End::Receiver], &mut |end, bytes| all.push((end, bytes.to_vec())));
        let expected: Vec<_> = made(&whole).into_iter().map(|(end, bytes)| (end, bytes[14..].to_vec())).collect();
        assert!(expected.len() == 2 && all == expected);
    }
    assert_eq!(answers(link_types::LINUX_SLL, &frame(false, false, TCP, &segment(ACK, b"x")), &[End::Sender], &mut |_, _| ()), 0);
}

/// As the engine's decoder reads it; its checksums must be right.
fn decoded<R>(bytes: &[u8], look: impl Fn(&weir_packet::Packet<'_>) -> R) -> R {
    let mut decoder = Decoder::new(DecoderConfig { checksums: Checksums::Validate, ..DecoderConfig::default() });
    let mut found = None;
    let frame = Frame { number: 1, time: Time(1), link: link_types::ETHERNET, data: bytes, wire_length: bytes.len() as u32 };
    decoder.decode(&frame, &mut |packet| {
        assert!(!packet.checksum_bad && packet.events.is_empty(), "{:?}", packet.events);
        found = Some(look(packet));
    });
    found.unwrap()
}

#[test]
fn both_ends_get_a_reset_that_they_accept() {
    for (v6, tagged) in [(false, false), (true, false), (false, true), (true, true)] {
        let all = made(&frame(v6, tagged, TCP, &segment(ACK | 8, b"attack")));
        let seen: Vec<_> = all
            .iter()
            .map(|(end, bytes)| {
                assert_eq!(bytes[..6] == A, *end == End::Sender);
                decoded(bytes, |packet| {
                    let tcp = packet.tcp().unwrap();
                    assert_eq!(packet.vlan_layers, u8::from(tagged));
                    (packet.source_port, packet.destination_port, tcp.sequence, tcp.acknowledgement, tcp.flags)
                })
            })
            .collect();
        // The sender waits for byte 0x200 of the other side, the receiver for byte 0x100.
        assert_eq!(seen, [(80, 0x1234, 0x200, 0, RST), (0x1234, 80, 0x100, 0x200, RST | ACK)]);
    }
}

#[test]
fn a_connection_that_begins_is_refused() {
    let all = made(&frame(false, false, TCP, &segment(SYN, b"")));
    let seen = decoded(&all[0].1, |packet| packet.tcp().map(|tcp| (tcp.sequence, tcp.acknowledgement, tcp.flags)));
    assert_eq!(seen, Some((0, 0x101, RST | ACK)));
}

#[test]
fn both_ends_of_a_datagram_get_an_error_about_their_own() {
    for v6 in [false, true] {
        let all = made(&frame(v6, false, UDP, &[0x12, 0x34, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4]));
        assert_eq!(all.len(), 2);
        for (end, bytes) in &all {
            let quote = decoded(bytes, |packet| {
                assert!(matches!(packet.transport, Transport::Icmpv4(_) | Transport::Icmpv6(_)));
                packet.payload.to_vec()
            });
            let ports = quote.windows(4).any(|w| if *end == End::Sender { w == [0x12, 0x34, 0, 53] } else { w == [0, 53, 0x12, 0x34] });
            assert!(ports, "{end:?} {quote:?}");
        }
    }
}

#[test]
fn nothing_answers_answers() {
    let mut broadcast = frame(false, false, UDP, &[0x12, 0x34, 0, 53, 0, 8, 0, 0]);
    broadcast[30..34].fill(255);
    let mut multicast = frame(false, false, UDP, &[0x12, 0x34, 0, 53, 0, 8, 0, 0]);
    multicast[0] |= 1;
    let mut fragment = frame(false, false, TCP, &segment(ACK, b"x"));
    fragment[21] = 9;
    for (what, bytes) in [
        ("reset", frame(false, false, TCP, &segment(RST | ACK, b""))),
        ("ICMP error", frame(false, false, ICMP, &[3, 1, 0, 0, 0, 0, 0, 0])),
        ("ICMPv6 error", frame(true, false, ICMPV6, &[1, 1, 0, 0, 0, 0, 0, 0])),
        ("neighbour solicitation", frame(true, false, ICMPV6, &[135, 0, 0, 0, 0, 0, 0, 0])),
        ("broadcast", broadcast),
        ("multicast", multicast),
        ("later fragment", fragment),
        ("ARP", [B.as_slice(), &A, &[8, 6, 0, 1]].concat()),
    ] {
        assert_eq!(made(&bytes), [], "{what}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), v6: bool, protocol: u8) {
        made(&bytes);
        answers(link_types::RAW, &bytes, &[End::Sender, End::Receiver], &mut |_, _| ());
        made(&frame(v6, false, protocol, &bytes));
        made(&frame(v6, true, TCP, &bytes));
    }
}
