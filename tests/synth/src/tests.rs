use std::collections::BTreeMap;

use weir_packet::{Decoder, DecoderConfig, Transport};

use super::*;

const EVERYTHING: &str = r#"
link ethernet                       # or raw, null
time 1700000000.0                   # of the next packet, seconds
step 1ms                            # between packets
wait 2s                             # once

tcp web 10.0.0.1:40000 > 10.0.0.2:80 vlan=10,20 mss=1460 isn=1000,5000 segment=100 timestamps
web handshake
web > http-request GET /index.html host=example.com header="X-Test: 1"
web < http-response 200 body="hello" type=text/plain
web > "part one, " "part two" segment=5 order=2,1 repeat=2 lose=3
web > "OVER" offset=-4
web packet > "data" flags=PAU seq=+10 ack=-2 window=0 urgent=3
web keepalive >
web close

udp d 10.0.0.1:5353 > 10.0.0.53:53
d > dns-query example.com type=A id=7
d < dns-answer example.com data=192.0.2.1 id=7
icmp p 10.0.0.1 > 10.0.0.2 id=9
p > "ping"
p < "ping"
p < "unreachable" type=3 code=1
ip raw 10.0.0.1 > 10.0.0.2 protocol=89
raw > |01 02|
tcp six [2001:db8::1]:1 > [2001:db8::2]:443
six > tls-client-hello sni=example.com alpn=h2
udp v 10.0.0.1:1 > 10.0.0.2:2 wrap=vxlan:10.9.0.1:10.9.0.2:7 mpls=100,200
v > "in a tunnel" fragment=16 fragment-order=reverse
frame |ff ff ff ff ff ff 02 00 00 00 00 01 08 06|
"#;

fn decoded(capture: &Capture, mut f: impl FnMut(&weir_packet::Packet<'_>)) {
    let mut decoder = Decoder::new(DecoderConfig::default());
    for frame in capture.frames() {
        decoder.decode(&frame, &mut f);
    }
}

#[test]
fn the_documented_statements_work() {
    let capture = compile(EVERYTHING).unwrap();
    let (mut bad, mut events, mut payloads) = (0, Vec::new(), Vec::new());
    decoded(&capture, |packet| {
        bad += usize::from(packet.checksum_bad || packet.ip_checksum_valid() == Some(false));
        events.extend(packet.events.iter().map(|event| event.name()));
        payloads.push(packet.payload.to_vec());
    });
    assert_eq!(bad, 0);
    assert_eq!(events, ["icmpv4.ipv4_trunc_pkt", "ipv4.unknown_protocol", "arp.pkt_too_small"]);
    assert!(payloads.iter().any(|payload| payload == b"in a tunnel"));
    assert!(payloads.iter().any(|payload| payload.starts_with(b"GET /index.html HTTP/1.1\r\nHost: example.com")));
    assert_eq!(capture.frames[0].time, 1_700_000_002_000_000_000);
    assert_eq!(capture, compile(EVERYTHING).unwrap());
}

#[test]
fn sequence_numbers_follow_the_data() {
    let text = "tcp a 10.0.0.1:1 > 10.0.0.2:2 isn=100,900\na handshake\na > \"abcdef\" segment=2 order=reverse\n\
                a < \"xyz\" lose=1\na < \"xyz\" offset=-3\na close";
    let mut seen = Vec::new();
    decoded(&compile(text).unwrap(), |packet| {
        let tcp = packet.tcp().unwrap();
        seen.push((tcp.flags, tcp.sequence, tcp.acknowledgement, packet.payload.len()));
    });
    let expected = [
        (0x02, 100, 0, 0),
        (0x12, 900, 101, 0),
        (0x10, 101, 901, 0),
        (0x18, 105, 901, 2),
        (0x10, 103, 901, 2),
        (0x10, 101, 901, 2),
        (0x10, 901, 107, 0),
        (0x18, 901, 107, 3),
        (0x10, 107, 904, 0),
        (0x11, 107, 904, 0),
        (0x10, 904, 108, 0),
        (0x11, 904, 108, 0),
        (0x10, 108, 905, 0),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn errors_name_line_column_and_remedy() {
    let cases = [
        ("tcp a 10.0.0.1 > 10.0.0.2:80", 1, 7, "ADDRESS:PORT"),
        ("\nfoo > \"x\"", 2, 1, "declared before"),
        ("udp a 1.1.1.1:1 > 2.2.2.2:2\na > \"x", 2, 5, "closing quote"),
        ("udp a 1.1.1.1:1 > 2.2.2.2:2\na > |0|", 2, 6, "two hexadecimal digits"),
        ("udp a 1.1.1.1:1 > 2.2.2.2:2\na > \"x\" color=red", 2, 9, "has no meaning"),
        ("udp a 1.1.1.1:1 > 2.2.2.2:2\na handshake", 2, 3, "without TCP"),
        ("udp a 1.1.1.1:1 > [::1]:2", 1, 19, "same IP version"),
        ("udp tcp 1.1.1.1:1 > 2.2.2.2:2", 1, 5, "another name"),
        ("step 5", 1, 6, "no duration"),
        ("link token-ring", 1, 6, "known are"),
        ("tcp a 1.1.1.1:1 > 2.2.2.2:2\na packet > flags=X", 2, 12, "no TCP flag"),
        ("udp a 1.1.1.1:1 > 2.2.2.2:2 wrap=foo", 1, 29, "KIND:FROM:TO"),
        ("\"x\"", 1, 1, "starts with a word"),
    ];
    for (text, line, column, part) in cases {
        let error = compile(text).unwrap_err();
        assert_eq!((error.line, error.column), (line, column), "{text:?}: {error}");
        assert!(error.message.contains(part), "{text:?}: {error}");
    }
}

#[test]
fn checksums_and_truncation_on_request() {
    let text = "udp a 10.0.0.1:1 > 10.0.0.2:2\na > \"x\" bad-checksum=transport\na > \"x\" bad-checksum=ip\n\
                a > \"0123456789\" truncate=45";
    let capture = compile(text).unwrap();
    let mut seen = Vec::new();
    decoded(&capture, |packet| {
        let truncated = packet.events.iter().any(|event| event.name() == "ipv4.trunc_pkt");
        seen.push((packet.checksum_bad, packet.ip_checksum_valid(), truncated));
    });
    assert_eq!(seen, [(true, Some(true), false), (false, Some(false), false), (false, None, true)]);
    assert_eq!((capture.frames[2].bytes.len(), capture.frames[2].wire_length), (45, 60));
}

#[test]
fn the_example_is_varied_and_depends_on_its_seed_alone() {
    let capture = example::example(1, 300);
    assert_eq!(capture, example::example(1, 300));
    assert_ne!(capture, example::example(2, 300));
    assert!(capture.frames.is_sorted_by_key(|frame| frame.time));
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let mut bad = 0;
    decoded(&capture, |packet| {
        let kind = match packet.transport {
            Transport::Tcp(_) => "tcp",
            Transport::Udp(_) => "udp",
            Transport::Icmpv4(_) => "icmp",
            Transport::Icmpv6(_) => "icmpv6",
            _ => "other",
        };
        *kinds.entry(kind).or_default() += 1;
        *kinds.entry("tunnel").or_default() += usize::from(packet.tunnel_depth > 0);
        *kinds.entry("reassembled").or_default() += usize::from(packet.ip.is_some_and(|ip| ip.reassembled));
        bad += usize::from(packet.checksum_bad || packet.ip_checksum_valid() == Some(false));
        assert!(packet.events.is_empty(), "{:?}", packet.events.iter().map(|e| e.name()).collect::<Vec<_>>());
    });
    assert_eq!(bad, 0);
    assert!(kinds.values().all(|count| *count > 0) && kinds.len() >= 6, "{kinds:?}");
}

#[test]
fn captures_read_back() {
    let capture = example::example(3, 20);
    let pcap = capture.to_pcap();
    let mut reader = weir_capture::CaptureReader::from_reader(std::io::Cursor::new(pcap), None, "x").unwrap();
    let mut count = 0;
    while let Some(frame) = reader.next_frame().unwrap() {
        assert_eq!(frame.data, capture.frames[count].bytes);
        assert_eq!(frame.time.0, capture.frames[count].time);
        count += 1;
    }
    assert_eq!(count, capture.frames.len());
}

proptest::proptest! {
    /// Statements with some of their words exchanged give captures or errors, never panics.
    #[test]
    fn scenarios_of_any_words_compile_or_say_why(
        lines in proptest::collection::vec(proptest::collection::vec(0usize..WORDS.len(), 1..8), 1..12),
    ) {
        let mut text = String::from("tcp a 10.0.0.1:1 > 10.0.0.2:2\nudp b [::1]:1 > [::2]:2\nicmp c 1.1.1.1 > 2.2.2.2\n");
        for line in lines {
            let words: Vec<&str> = line.iter().map(|word| WORDS[*word]).collect();
            let _ = compile(&(text.clone() + &words.join(" ")));
            // Keep what works, so that later statements meet a session in some state.
            let longer = text.clone() + &words.join(" ") + "\n";
            if compile(&longer).is_ok() {
                text = longer;
            }
        }
    }
}

const WORDS: [&str; 48] = [
    "a",
    "a",
    "a",
    "b",
    "c",
    ">",
    ">",
    "<",
    "<",
    "handshake",
    "close",
    "fin",
    "rst",
    "syn",
    "synack",
    "packet",
    "keepalive",
    "\"data\"",
    "\"more |00 ff|\"",
    "|0|",
    "\"",
    "segment=2",
    "segment=0",
    "order=reverse",
    "order=3,1",
    "lose=1,2",
    "repeat=3",
    "offset=-2147483648",
    "offset=2147483647",
    "offset=-3",
    "fragment=8",
    "fragment=0",
    "fragment-overlap=99999",
    "truncate=0",
    "seq=-2147483648",
    "seq=+7",
    "seq=4294967295",
    "ack=-9",
    "flags=SFRPAU",
    "wait=1h",
    "wait=99999999999999999999s",
    "ttl=256",
    "http-request GET /",
    "http-response 200",
    "dns-query a.b",
    "tls-client-hello",
    "bad-checksum=ip",
    "time 1e30",
];
