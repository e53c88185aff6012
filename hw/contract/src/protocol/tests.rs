use super::*;
use AppProtocol::*;

fn tcp(port: u16, to_server: &[u8], to_client: &[u8]) -> Detection {
    detect(Carrier::Tcp, 40000, port, to_server, to_client)
}

fn udp(port: u16, to_server: &[u8]) -> Detection {
    detect(Carrier::Udp, 40000, port, to_server, b"")
}

#[test]
fn known_starts() {
    for (port, ts, tc, expect) in [
        (8080, &b"GET / HTTP/1.1\r\n"[..], &b""[..], Http1),
        (8080, b"get\t/", b"", Http1),
        (80, b"\r\n\r\nPOST /x", b"", Http1),
        (80, b"BASELINE-CONTROL /", b"", Http1),
        (80, b"PRI * HTTP/2.0\r\n", b"", Http2),
        (80, b"", b"HTTP/1.0 200", Http1),
        (80, b"unheard of / HTTP/1.1", b"HTTP/1.1 200", Http1),
        (4433, b"\x16\x03\x01\x02\x00\x01", b"", Tls),
        (443, b"\x80\x2e\x01\x00\x02", b"", Tls),
        (443, b"\x80\x2e\x01\x03\x01", b"", Tls),
        (22, b"", b"SSH-2.0-x", Ssh),
        (445, b"\x00\x00\x00\x54\xffSMBr", b"", Smb),
        (445, b"\x00\x00\x00\x54\xfeSMB@", b"", Smb),
        (139, b"\x81\x00\x00\x44 CK", b"", Smb),
        (135, b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00", b"", DceRpc),
        (25, b"EHLO x", b"", Smtp),
        (25, b"", b"220 mail", Smtp),
        (21, b"", b"220 hello", Ftp),
        (2121, b"", b"220 (vsFTPd", Ftp),
        (21, b"USER anonymous", b"", Ftp),
        (110, b"USER anonymous", b"", Pop3),
        (143, b"", b"* OK IMAP4", Imap),
        (53, b"\x00\x20\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", b"", Dns),
        (5060, b"OPTIONS sip:x@y SIP/2.0", b"", Sip),
        (80, b"OPTIONS * HTTP/1.1", b"", Http1),
        (1883, b"\x10\x0c\x00\x04MQTT\x04", b"", Mqtt),
        (502, b"\x00\x01\x00\x00\x00\x06\x01\x03", b"", Modbus),
        (20000, b"\x05\x64\x05\xc0", b"", Dnp3),
        (389, b"\x30\x0c\x02\x01\x01\x60\x07\x02", b"", Ldap),
        (5432, b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"", Pgsql),
        (88, b"\x00\x00\x05\xb4\x6c\x82", b"", Krb5),
        (1883, b"\xc0\x00", b"", Mqtt),
        (1883, b"\x32\x07\x00\x01t\x00\x01hi", b"", Mqtt),
        (23, b"", b"\xff\xfd\x18", Telnet),
        (5900, b"", b"RFB 003.008\n", Rfb),
        (3389, b"\x03\x00\x00\x13\x0e\xe0", b"", Rdp),
    ] {
        assert_eq!(tcp(port, ts, tc), Detection::Known(expect), "{ts:?} {tc:?}");
    }
    for (port, bytes, expect) in [
        (53, &b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"[..], Dns),
        (5353, b"\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00", Mdns),
        (161, b"\x30\x29\x02\x01\x01\x04\x06public", Snmp),
        (123, b"\x23\x00\x06\x20", Ntp),
        (67, b"\x01\x01\x06\x00", Dhcp),
        (69, b"\x00\x01file", Tftp),
        (443, b"\xc3\x00\x00\x00\x01\x08", Quic),
        (500, b"\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\0\0", Ike),
        (6881, b"d1:ad2:id20:abcdef", BittorrentDht),
        (5060, b"INVITE sip:a@b SIP/2.0", Sip),
    ] {
        assert_eq!(udp(port, bytes), Detection::Known(expect), "{bytes:?}");
    }
}

#[test]
fn unknown_and_failed() {
    assert_eq!(tcp(9999, b"nothing known at all", b"same here, nothing"), Detection::Failed);
    assert_eq!(tcp(9999, b"nothing known at all", b""), Detection::Unknown);
    assert_eq!(tcp(80, b"GE", b""), Detection::Unknown);
    assert_eq!(tcp(80, b"\r\n\r\n", b""), Detection::Unknown);
    assert_eq!(tcp(80, b"", b""), Detection::Unknown);
    assert_eq!(udp(9999, b"x"), Detection::Unknown);
    assert_eq!(detect(Carrier::Udp, 1, 2, b"x", b"y"), Detection::Failed);
    // A datagram that is too short for a signature has no more bytes to wait for.
    assert_eq!(detect_side(Carrier::Udp, Side::ToServer, 1, 53, b"\x12\x34"), Detection::Failed);
    assert_eq!(tcp(7, b"\x05\x00\x0b\x03\x77\x77\x77\x77\x00\x00", b"").class(), CLASS_UNKNOWN);
}

/// A decision stands for every longer prefix of the direction that made it, and bytes beyond the prefix do not matter.
#[test]
fn decisions_are_stable() {
    let mut seed = 1u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    for round in 0..60_000usize {
        // Start like one of the signatures, and go on at random from anywhere.
        let signature = &signatures::SIGNATURES[round % signatures::SIGNATURES.len()];
        let keep = usize::from(random()) % (signature.length + 1);
        let blanks = if signature.after_blank { usize::from(random()) % 3 } else { 0 };
        let mut bytes = [0u8; PREFIX + 4];
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = match i.checked_sub(blanks) {
                None => b"\r\n"[i % 2],
                Some(at) if at < keep => signature.value[at] | (random() & !signature.mask[at]),
                Some(_) => random(),
            };
        }
        let port = match signature.ports {
            signatures::Ports::Any => [80, 53, 139, 21][round % 4],
            signatures::Ports::Server(ports) | signatures::Ports::Either(ports) => ports[0],
        };
        for side in [Side::ToServer, Side::ToClient] {
            let mut decided = Detection::Unknown;
            for n in 0..=bytes.len() {
                let now = detect_side(Carrier::Tcp, side, 40000, port, &bytes[..n]);
                if decided != Detection::Unknown {
                    assert_eq!(decided, now, "{bytes:?} {n}");
                }
                decided = now;
            }
            assert_ne!(decided, Detection::Unknown, "16 bytes decide: {bytes:?}");
        }
    }
}

#[test]
fn every_signature_is_reachable_and_within_the_prefix() {
    for signature in signatures::SIGNATURES {
        assert!(signature.length <= PREFIX && signature.length > 0, "{signature:?}");
        for i in 0..PREFIX {
            assert_eq!(signature.value[i] & !signature.mask[i], 0, "{signature:?}");
        }
    }
}

#[test]
fn rules_for_http_cover_both_versions() {
    assert!(Http.includes(Http1) && Http.includes(Http2) && !Http1.includes(Http2));
    assert!(Dns.includes(Dns) && !Dns.includes(Mdns));
}
