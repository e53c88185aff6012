//! Application-layer parsers, each through protocol detection, both directions, in any cut.
//!
//! A protocol is one line in [`PROTOCOLS`]: name, carrier, port, words, seeds.

use crate::messages::{self, Conversation, Step};
use crate::random::Random;
use crate::{Target, seeds};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use weir_app_layer::config::Links;
use weir_app_layer::{
    AppLayerConfig, AppLayerFlow, BufferState, COMPLETE, Direction, Input, ProtocolState, Transaction,
};
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;
use weir_packet::{Decoder, DecoderConfig, Packet, Transport};
use weir_reassembly::{Session, SessionConfig, StreamSink};

/// Declares the targets: for each protocol its name, carrier (6 TCP, 17 UDP), server port, the protocol whose conversations
/// of the shared captures are seeds, words, and own messages (direction, bytes).
macro_rules! protocols {
    ($( $name:literal, $carrier:literal, $port:literal, $protocol:ident, $words:expr, $seeds:expr; )*) => {
        /// The targets of this room.
        pub fn targets() -> Vec<Target> {
            vec![$( Target {
                dictionary: $words,
                mutate: Some(|bytes, other, random| messages::mutate(bytes, other, $words, random)),
                parts: Some(messages::parts),
                shared: |data| conversations(data, AppProtocol::$protocol, $carrier),
                longest: 16 << 10,
                memory: 32 << 20,
                ..Target::new(
                    $name,
                    if $carrier == 6 {
                        "streams of both directions with gaps and ends: transactions, buffers, numbers, events and what is \
                         logged do not depend on how the bytes are cut"
                    } else {
                        "datagrams of both directions: the same answer twice, logged as JSON"
                    },
                    |bytes| any_cut(bytes, $carrier, $port),
                    || $seeds.iter().map(|messages: &&[(usize, &[u8])]| Conversation::seed_of(messages)).collect(),
                )
            }, )*]
        }
    };
}

protocols! {
    "app-http1", 6, 80, Http1, HTTP, HTTP_SEEDS;
    "app-http2", 6, 80, Http2, HTTP2, HTTP2_SEEDS;
    "app-dns-udp", 17, 53, Dns, DNS, DNS_SEEDS;
    "app-dns-tcp", 6, 53, Dns, DNS, DNS_TCP_SEEDS;
    "app-tls", 6, 443, Tls, TLS, TLS_SEEDS;
    "app-smtp", 6, 25, Smtp, MAIL, SMTP_SEEDS;
    "app-ftp", 6, 21, Ftp, MAIL, FTP_SEEDS;
    "app-ssh", 6, 22, Ssh, SSH, SSH_SEEDS;
    "app-smb", 6, 445, Smb, SMB, SMB_SEEDS;
    "app-dcerpc", 6, 135, DceRpc, DCERPC, DCERPC_SEEDS;
    "app-dcerpc-udp", 17, 135, DceRpc, DCERPC, DCERPC_UDP_SEEDS;
    "app-krb5-udp", 17, 88, Krb5, BER, KERBEROS_SEEDS;
    "app-krb5-tcp", 6, 88, Krb5, BER, KERBEROS_TCP_SEEDS;
    "app-snmp", 17, 161, Snmp, BER, SNMP_SEEDS;
    "app-sip-udp", 17, 5060, Sip, SIP, SIP_SEEDS;
    "app-sip-tcp", 6, 5060, Sip, SIP, SIP_SEEDS;
    "app-mqtt", 6, 1883, Mqtt, MQTT, MQTT_SEEDS;
    "app-rfb", 6, 5900, Rfb, RFB, RFB_SEEDS;
    "app-ldap", 6, 389, Ldap, LDAP, LDAP_SEEDS;
    "app-ldap-udp", 17, 389, Ldap, LDAP, LDAP_SEEDS;
    "app-pop3", 6, 110, Pop3, POP3, POP3_SEEDS;
    "app-telnet", 6, 23, Telnet, TELNET, TELNET_SEEDS;
    "app-websocket", 6, 80, Http1, WEBSOCKET, WEBSOCKET_SEEDS;
    "app-tftp", 17, 69, Tftp, TFTP, TFTP_SEEDS;
    "app-mdns", 17, 5353, Mdns, DNS, DNS_SEEDS;
    "app-dnp3", 6, 20000, Dnp3, DNP3, DNP3_SEEDS;
    "app-pgsql", 6, 5432, Pgsql, PGSQL, PGSQL_SEEDS;
    "app-enip", 6, 44818, Enip, ENIP, ENIP_SEEDS;
    "app-enip-udp", 17, 44818, Enip, ENIP, ENIP_SEEDS;
    "app-quic", 17, 443, Quic, QUIC, QUIC_SEEDS;
    "app-modbus", 6, 502, Modbus, MODBUS, MODBUS_SEEDS;
    "app-bittorrent-dht", 17, 6881, BittorrentDht, DHT, DHT_SEEDS;
    "app-nfs", 6, 2049, Nfs, NFS, NFS_SEEDS;
    "app-nfs-udp", 17, 2049, Nfs, NFS, NFS_UDP_SEEDS;
    "app-ike", 17, 500, Ike, IKE, IKE_SEEDS;
    "app-rdp", 6, 3389, Rdp, RDP, RDP_SEEDS;
    "app-dhcp", 17, 67, Dhcp, DHCP, DHCP_SEEDS;
}

const MODBUS: &[&[u8]] = &[
    b"\x00\x01\x00\x00\x00\x06\x0a\x01\x00\x00\x00\x09", b"\x00\x01\x00\x00\x00\x04\x0a\x01\x01\xff", b"\x00\x02\x00\x00\x00\x03\x0a\x83\x02",
    b"\x0a\x10\x00\x04\x00\x02\x04\x00\x07\x01\x00", b"\x0a\x17\x00\x01\x00\x01\x00\x02\x00\x01\x02\x00\xff", b"\x0a\x2b\x0e\x01\x00", b"\x0a\x08\x00\x04\x00\x00", b"\x00\xff", b"\xff\xff",
];
const MODBUS_SEEDS: Seeds = &[&[
    (0, b"\x00\x01\x00\x00\x00\x06\x0a\x01\x00\x00\x00\x09\x00\x02\x00\x00\x00\x0b\x0a\x10\x00\x04\x00\x02\x04\x00\x07\x01\x00"),
    (1, b"\x00\x01\x00\x00\x00\x05\x0a\x01\x02\xff\x01\x00\x02\x00\x00\x00\x06\x0a\x10\x00\x04\x00\x02"),
    (0, b"\x00\x03\x00\x00\x00\x06\x0a\x08\x00\x04\x00\x00"),
    (1, b"\x00\x03\x00\x00\x00\x03\x0a\x88\x0b"),
]];

const DHT: &[&[u8]] = &[
    b"d1:ad2:id20:", b"d1:rd2:id20:", b"1:q4:ping", b"9:find_node", b"6:target", b"6:valuesl6:axje.ue", b"5:nodes26:", b"1:t2:aa", b"1:y1:q", b"1:y1:r", b"1:eli201e5:Oopsse", b"e", b"l", b"d", b"i-1e", b"999:",
];
const DHT_SEEDS: Seeds = &[&[
    (0, b"d1:ad2:id20:abcdefghij01234567896:target20:mnopqrstuvwxyz123456e1:q9:find_node1:t2:aa1:v4:UT011:y1:qe"),
    (1, b"d1:rd2:id20:abcdefghij01234567895:nodes26:mnopqrstuvwxyz123456axje.u5:token8:aoeusnth6:valuesl6:axje.u6:idhtnmee1:t2:aa1:y1:re"),
    (1, b"d1:eli201e5:Oopsse1:t2:aa1:y1:ee"),
]];

const IKE: &[&[u8]] = &[
    b"\x21\x20\x22\x08\x00\x00\x00\x00", b"\x01\x10\x02\x00\x00\x00\x00\x00", b"\x2e\x20\x23\x20", b"\x08\x10\x05\x01", b"\x22\x00\x00\x14\x00\x00\x00\x10\x01\x01\x00\x01\x00\x00\x00\x08\x04\x00\x00\x02",
    b"\x28\x00\x00\x0a\x00\x02\x00\x00ke", b"\x00\x00\x00\x08nonc", b"\x29\x00\x00\x08\x00\x00\x40\x04", b"\x2b\x00\x00\x06vv", b"\x80\x01\x00\x07", b"\x00\x0c\x00\x04\x00\x01\x51\x80", b"\xff\xff",
];
const IKE_SEEDS: Seeds = &[
    &[
        (0, b"\x01\x01\x01\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x21\x20\x22\x08\x00\x00\x00\x00\x00\x00\x00\x42\x22\x00\x00\x14\x00\x00\x00\x10\x01\x01\x00\x01\x00\x00\x00\x08\x04\x00\x00\x02\x28\x00\x00\x0a\x00\x02\x00\x00ke\x00\x00\x00\x08nonc"),
        (1, b"\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x02\x02\x29\x20\x22\x20\x00\x00\x00\x00\x00\x00\x00\x24\x00\x00\x00\x08\x00\x00\x00\x0e"),
        (0, b"\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x02\x02\x2e\x20\x23\x08\x00\x00\x00\x01\x00\x00\x00\x24\x23\x00\x00\x08secr"),
    ],
    &[
        (0, b"\x01\x01\x01\x01\x01\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x01\x10\x02\x00\x00\x00\x00\x00\x00\x00\x00\x4a\x0d\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x1c\x01\x01\x00\x01\x00\x00\x00\x14\x01\x01\x00\x00\x80\x01\x00\x07\x00\x0c\x00\x04\x00\x01\x51\x80\x00\x00\x00\x06vv"),
        (1, b"\x01\x01\x01\x01\x01\x01\x01\x01\x02\x02\x02\x02\x02\x02\x02\x02\x08\x10\x05\x01\x00\x00\x00\x07\x00\x00\x00\x20\x00\x00\x00\x04"),
    ],
];

const NFS: &[&[u8]] = &[
    b"\x80\x00\x00\x40", b"\x00\x00\x00\x10", b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa3\x00\x00\x00\x03\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    b"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", b"\x00\x00\x00\x04hand", b"\x00\x00\x00\x16\x00\x00\x00\x04hand", b"\x00\x00\x00\x26", b"\x00\x00\x00\x12", b"\x00\x00\x00\x0f\x00\x00\x00\x04name",
    b"\x00\x00\x00\x04\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x00",
];
const NFS_CALL: &[u8] = b"\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa3\x00\x00\x00\x03\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04hand\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04";
const NFS_REPLY: &[u8] = b"\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x04data";
const NFS_UDP_SEEDS: Seeds = &[&[(0, NFS_CALL), (1, NFS_REPLY)]];
const NFS_SEEDS: Seeds = &[
    &[
        (0, b"\x80\x00\x00\x3c\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa3\x00\x00\x00\x03\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04hand\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04"),
        (1, b"\x80\x00\x00\x30\x00\x00\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x04data"),
    ],
    &[
        (0, b"\x80\x00\x00\x68\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01\x86\xa3\x00\x00\x00\x04\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x16\x00\x00\x00\x04hand\x00\x00\x00\x26ssssssssssssssss\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x04data"),
    ],
];

type Seeds = &'static [&'static [(usize, &'static [u8])]];

const HTTP: &[&[u8]] = &[
    b"GET ", b"POST ", b"CONNECT ", b"OPTIONS * ", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/0.9", b"\r\n", b"\n", b"\r", b" ", b"\t", b"\r\n ",
    b"Host: ", b"Content-Length: ", b"Content-Length: 5\r\n", b"Content-Length: 18446744073709551616\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Content-Encoding: gzip\r\n", b"Content-Encoding: deflate, br\r\n", b"Content-Type: multipart/form-data; boundary=x\r\n", b"--x\r\n",
    b"--x--\r\n", b"Content-Disposition: form-data; name=\"a\"; filename=\"b\"\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n",
    b"Upgrade: h2c\r\n", b"Upgrade: websocket\r\n", b"Cookie: a=b\r\n", b"Authorization: Basic YTpi\r\n", b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 101 S\r\n", b"HTTP/1.1 206 P\r\nContent-Range: bytes 0-1/2\r\n", b"0\r\n\r\n",
    b"5\r\nhello\r\n", b"ffffffffffffffff\r\n", b"5;a=b\r\n", b"%2e%2e/", b"%u0041", b"%", b"http://a:80/", b"\x1f\x8b\x08\0\0\0\0\0\0\x03",
];

const HTTP_SEEDS: Seeds = &[
    &[
        (0, b"POST /a/%62?x=1 HTTP/1.1\r\nHost: Example.org:80\r\nUser-Agent: me\r\n you\r\nCookie: c=1\r\nContent-Length: 5\r\n\r\nhello"),
        (1, b"HTTP/1.1 200 OK\r\nServer: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n3;ext\r\nefg\r\n0\r\nTrailer: t\r\n\r\n"),
        (0, b"GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
        (1, b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\nHTTP/1.0 200 OK\r\n\r\nuntil the end"),
    ],
    &[
        (0, b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 95\r\n\r\n--x\r\nContent-Disposition: form-data; name=\"a\"; filename=\"b\"\r\nContent-Type: text/plain\r\n\r\nfile\r\n--x--\r\n"),
        (1, b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 25\r\n\r\n\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9\x07\x00\x86\xa6\x106\x05\x00\x00\x00"),
    ],
    &[(0, b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n"), (1, b"HTTP/1.1 200 OK\r\n\r\n"), (0, b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"), (1, b"GET nothing")],
    &[(0, b"GET /old\r\n"), (1, b"<html>"), (0, b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), (1, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")],
    &[
        (0, b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        (1, b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n"),
        (0, b"\x81\x05hello"),
    ],
];

const HTTP2: &[&[u8]] = &[
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x00\x00\x00\x04\x01\x00\x00\x00\x00", b"\x00\x00\x03\x01\x05\x00\x00\x00\x03\x82\x87\x84", b"\x00\x00\x01\x09\x04\x00\x00\x00\x01\x88",
    b"\x00\x00\x04\x00\x01\x00\x00\x00\x01body", b"\x00\x00\x05\x05\x04\x00\x00\x00\x01\x00\x00\x00\x02\x82", b"\x00\x00\x04\x03\x00\x00\x00\x00\x01\x00\x00\x00\x08",
    b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\xff\xff", b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x0b", b"\x00\x00\x05\x02\x00\x00\x00\x00\x05\x00\x00\x00\x00\xff",
    b"\x40\x01a\x01b", b"\xbe", b"\x3f\xe1\x1f", b"\x20", b"\x5c\x041234", b"\x0f\x0d\x041234", b"\x5a\x04gzip", b"\x5f\x17application/dns-message", b"\xff\xff\xff\xff\x0f", b"\x2d", b"\x09",
];
const HTTP2_SEEDS: Seeds = &[
    &[
        (0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64"),
        (0, b"\x00\x00\x14\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff\x53\x01x"),
        (1, b"\x00\x00\x00\x04\x01\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x01\x88\x00\x00\x06\x09\x04\x00\x00\x00\x01\x5a\x04gzip"),
        (1, b"\x00\x00\x19\x00\x01\x00\x00\x00\x01\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcbH\xcd\xc9\xc9\x07\x00\x86\xa6\x106\x05\x00\x00\x00"),
        (0, b"\x00\x00\x03\x01\x04\x00\x00\x00\x03\x83\x86\x84\x00\x00\x07\x00\x09\x00\x00\x00\x03\x02hell\x00\x00"),
        (1, b"\x00\x00\x07\x05\x04\x00\x00\x00\x03\x00\x00\x00\x02\x82\x86\x84\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x08"),
    ],
    &[
        (0, b"GET /up HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"),
        (1, b"HTTP/1.1 101 S\r\nUpgrade: h2c\r\n\r\n\x00\x00\x01\x01\x05\x00\x00\x00\x01\x88"),
        (0, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ],
];

const DNS: &[&[u8]] = &[
    b"\x00\x01\x00\x01", b"\xc0\x0c", b"\xc0\x00", b"\xff\xff", b"\x3f", b"\x00\x10\x00\x01", b"\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00",
    b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00", b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00", b"\x07example\x03com\x00", b"\x00\x00",
    b"\x00\x1d", b"\x00\x06\x00\x01", b"\x00\x21\x00\x01", b"\x00\x1c\x00\x01",
];

const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01";
const ANSWER: &[u8] =
    b"\x12\x34\x81\x80\x00\x01\x00\x02\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x05\x00\x04\x01a\xc0\x0c\xc0\x29\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04";
const DNS_SEEDS: Seeds = &[&[(0, QUERY), (1, ANSWER)], &[(0, QUERY), (0, QUERY), (1, ANSWER), (1, ANSWER)]];
const DNS_TCP_SEEDS: Seeds = &[
    &[
        (0, b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01\x00\x1d\x12\x35\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03org\x00\x00\x10\x00\x01"),
        (1, b"\x00\x2d\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x05\x00\x04\x01\x02\x03\x04"),
    ],
];

const TLS: &[&[u8]] = &[
    b"\x16\x03\x01", b"\x16\x03\x03\x00", b"\x14\x03\x03\x00\x01\x01", b"\x15\x03\x03\x00\x02\x02\x28", b"\x17\x03\x03\x00\x04abcd", b"\x18\x03\x03\x00\x03\x01\xff\xff",
    b"\x01\x00\x00", b"\x02\x00\x00", b"\x0b\x00\x00", b"\x0e\x00\x00\x00", b"\x00\x00\x00\x0e\x00\x0c\x00\x00\x09localhost", b"\x00\x2b\x00\x03\x02\x03\x04",
    b"\x00\x10\x00\x05\x00\x03\x02h2", b"\x30\x82", b"\x55\x04\x03", b"\xff\xff", b"\x00\x0a", b"\x80\x2e\x01\x00\x02",
];

const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\x56\x01\x00\x00\x52\x03\x03\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x00\x00\x04\x13\x01\xc0\x2f\x01\x00\x00\x25\x00\x00\x00\x10\x00\x0e\x00\x00\x0bexample.com\x00\x0a\x00\x04\x00\x02\x00\x1d\x00\x2b\x00\x03\x02\x03\x04\x00\x0b\x00\x02\x01\x00";
const SERVER_HELLO: &[u8] = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x00\xc0\x2f\x00";
const TLS_SEEDS: Seeds = &[
    &[
        (0, CLIENT_HELLO),
        (1, SERVER_HELLO),
        (1, b"\x16\x03\x03\x00\x13\x0b\x00\x00\x0b\x00\x00\x08\x00\x00\x05\x30\x03\x02\x01\x01\x0e\x00\x00\x00"),
        (0, b"\x16\x03\x03\x00\x04\x10\x00\x00\x00\x14\x03\x03\x00\x01\x01\x16\x03\x03\x00\x04abcd"),
        (1, b"\x14\x03\x03\x00\x01\x01\x16\x03\x03\x00\x04abcd"),
        (0, b"\x17\x03\x03\x00\x05hello\x15\x03\x03\x00\x02\x01\x00"),
    ],
    &[(0, CLIENT_HELLO), (1, b"\x15\x03\x01\x00\x02\x02\x28")],
];

const MAIL: &[&[u8]] = &[
    b"\r\n", b"\n", b"220 ", b"250-", b"250 OK\r\n", b"354 go\r\n", b"EHLO a\r\n", b"HELO a\r\n", b"MAIL FROM:<a@b>\r\n", b"RCPT TO:<c@d>\r\n", b"DATA\r\n",
    b"BDAT 5 LAST\r\n", b".\r\n", b"\r\n.\r\n", b"QUIT\r\n", b"STARTTLS\r\n", b"AUTH PLAIN AGEAYg==\r\n", b"Content-Type: multipart/mixed; boundary=x\r\n",
    b"Content-Transfer-Encoding: base64\r\n", b"--x\r\n", b"--x--\r\n", b"Subject: a\r\n", b"USER a\r\n", b"PASS b\r\n", b"PORT 10,0,0,1,4,1\r\n", b"EPRT |1|10.0.0.1|1025|\r\n",
    b"PASV\r\n", b"227 Entering (10,0,0,1,4,1)\r\n", b"229 E (|||1025|)\r\n", b"RETR a\r\n", b"STOR a\r\n", b"AUTH TLS\r\n", b"234 go\r\n",
];

const SMTP_SEEDS: Seeds = &[&[
    (1, b"220 mail ESMTP\r\n"),
    (0, b"EHLO a\r\n"),
    (1, b"250-mail\r\n250-PIPELINING\r\n250 STARTTLS\r\n"),
    (0, b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"),
    (1, b"250 OK\r\n250 OK\r\n354 go\r\n"),
    (0, b"From: a\r\nSubject: b\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\naGVsbG8=\r\n--x--\r\n..dot\r\n.\r\nQUIT\r\n"),
    (1, b"250 OK\r\n221 bye\r\n"),
]];

const FTP_SEEDS: Seeds = &[&[
    (1, b"220 ftp\r\n"),
    (0, b"USER a\r\n"),
    (1, b"331 password\r\n"),
    (0, b"PASS b\r\nPASV\r\n"),
    (1, b"230-hello\r\n230 in\r\n227 Entering Passive Mode (10,0,0,2,4,1)\r\n"),
    (0, b"RETR file\r\nQUIT\r\n"),
    (1, b"150 opening\r\n226 done\r\n221 bye\r\n"),
]];

const SSH: &[&[u8]] = &[b"SSH-2.0-", b"SSH-1.99-x\r\n", b"\r\n", b"\n", b"\x00\x00\x00\x0c\x0a\x15", b"\x14", b"\x15", b"curve25519-sha256", b"aes128-ctr,none", b","];
const SSH_SEEDS: Seeds = &[&[
    (0, b"SSH-2.0-OpenSSH_9.0 comment\r\n"),
    (1, b"SSH-2.0-server\r\n"),
    (0, b"\x00\x00\x00\x74\x04\x14aaaaaaaaaaaaaaaa\x00\x00\x00\x03kex\x00\x00\x00\x03key\x00\x00\x00\x03aes\x00\x00\x00\x03aes\x00\x00\x00\x03mac\x00\x00\x00\x03mac\x00\x00\x00\x04none\x00\x00\x00\x04none\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00pppppppppppppp"),
    (1, b"\x00\x00\x00\x74\x04\x14bbbbbbbbbbbbbbbb\x00\x00\x00\x03kex\x00\x00\x00\x03key\x00\x00\x00\x03aes\x00\x00\x00\x03aes\x00\x00\x00\x03mac\x00\x00\x00\x03mac\x00\x00\x00\x04none\x00\x00\x00\x04none\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00pppppppppppppp"),
    (0, b"\x00\x00\x00\x0c\x0a\x15pppppppppp"),
    (1, b"\x00\x00\x00\x0c\x0a\x15pppppppppp"),
    (0, b"encrypted from here"),
]];

const SMB: &[&[u8]] = &[
    b"\xffSMB", b"\xfeSMB", b"\xfdSMB", b"\x00\x00\x00\x54", b"\x00\x00\x00\x40", b"\x72\x00\x00\x00\x00", b"\x75", b"\xa2", b"\x05\x00\x0b\x03\x10\x00\x00\x00",
    b"\x05\x00\x00\x03\x10\x00\x00\x00", b"\\\x00p\x00i\x00p\x00e\x00", b"\x02NT LM 0.12\x00", b"\xff\xff\xff\xff", b"\x81\x00\x00\x44",
];
const SMB_SEEDS: Seeds = &[
    &[
        (0, b"\x00\x00\x00\x2f\xffSMB\x72\x00\x00\x00\x00\x18\x01\x28\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x02NT LM 0.12\x00"),
        (1, b"\x00\x00\x00\x25\xffSMB\x72\x00\x00\x00\x00\x98\x01\x28\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\xff\xff\x00\x00"),
    ],
    &[
        (0, b"\x00\x00\x00\x66\xfeSMB\x40\x00\x00\x00\x00\x00\x00\x00\x00\x00\x1f\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x24\x00\x01\x00\x00\x00\x00\x00\x7f\x00\x00\x00aaaaaaaaaaaaaaaa\x00\x00\x00\x00\x00\x00\x00\x00\x02\x02"),
    ],
];

const DCERPC: &[&[u8]] = &[
    b"\x05\x00\x0b\x03\x10\x00\x00\x00", b"\x05\x00\x00\x03\x10\x00\x00\x00", b"\x05\x00\x00\x01\x10\x00\x00\x00", b"\x05\x00\x00\x02\x10\x00\x00\x00",
    b"\x05\x00\x02\x03\x10\x00\x00\x00", b"\x05\x00\x0e\x03\x10\x00\x00\x00", b"\x05\x00\x0c\x03\x10\x00\x00\x00", b"\x04\x00\x28\x00\x10\x00\x00\x00", b"\xff\xff",
    b"\x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\x00\x2b\x10\x48\x60\x02\x00\x00\x00",
];
const BIND: &[u8] = b"\x05\x00\x0b\x03\x10\x00\x00\x00\x48\x00\x00\x00\x01\x00\x00\x00\xd0\x16\xd0\x16\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x01\x00\x08\x83\xaf\xe1\x1f\x5d\xc9\x11\x91\xa4\x08\x00\x2b\x14\xa0\xfa\x03\x00\x00\x00\x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\x00\x2b\x10\x48\x60\x02\x00\x00\x00";
const DCERPC_SEEDS: Seeds = &[&[
    (0, BIND),
    (1, b"\x05\x00\x0c\x03\x10\x00\x00\x00\x38\x00\x00\x00\x01\x00\x00\x00\xd0\x16\xd0\x16\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x04\x5d\x88\x8a\xeb\x1c\xc9\x11\x9f\xe8\x08\x00\x2b\x10\x48\x60"),
    (0, b"\x05\x00\x00\x01\x10\x00\x00\x00\x20\x00\x00\x00\x02\x00\x00\x00\x08\x00\x00\x00\x00\x00\x05\x00stubdata\x05\x00\x00\x02\x10\x00\x00\x00\x1c\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x00\x00\x05\x00more"),
    (1, b"\x05\x00\x02\x03\x10\x00\x00\x00\x1c\x00\x00\x00\x02\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00back"),
]];
const DCERPC_UDP_SEEDS: Seeds = &[&[
    (0, b"\x04\x00\x28\x00\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x08\x83\xaf\xe1\x1f\x5d\xc9\x11\x91\xa4\x08\x00\x2b\x14\xa0\xfa\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\xff\xff\xff\xff\x08\x00\x00\x00\x00\x00stubdata"),
]];

const BER: &[&[u8]] = &[
    b"\x30\x82", b"\x02\x01\x05", b"\x02\x01\x17", b"\x04\x06public", b"\x1b\x04host", b"\xa0\x03", b"\xa1", b"\xa3", b"\xa4", b"\xa5", b"\xa6", b"\x61", b"\x6a", b"\x6b",
    b"\x6c", b"\x6d", b"\x7e", b"\x80", b"\x84\xff\xff\xff\xff", b"\x00\x00\x00\x20",
];
const KERBEROS_REPLY: &[u8] = b"\x6d\x37\x30\x35\xa4\x0e\x30\x0c\xa1\x0a\x30\x08\x1b\x02me\x1b\x02us\xa5\x18\x61\x16\x30\x14\xa2\x09\x30\x07\xa1\x05\x30\x03\x1b\x01h\xa3\x07\x30\x05\xa0\x03\x02\x01\x17\xa6\x09\x30\x07\xa0\x05\x02\x03\x00\x00\x17";
const KERBEROS_ERROR: &[u8] = b"\x7e\x07\x30\x05\xa6\x03\x02\x01\x19";
const KERBEROS_SEEDS: Seeds = &[&[(0, KERBEROS_ERROR), (1, KERBEROS_REPLY)]];
const KERBEROS_TCP_SEEDS: Seeds = &[&[(0, b"\x00\x00\x00\x09\x6a\x07\x30\x05\xa4\x03\x30\x01\x00"), (1, b"\x00\x00\x00\x09\x7e\x07\x30\x05\xa6\x03\x02\x01\x19\x00\x00\x00\x01\x00")]];
const SNMP_SEEDS: Seeds = &[&[
    (0, b"\x30\x19\x02\x01\x01\x04\x06public\xa0\x0c\x02\x01\x05\x02\x01\x00\x02\x01\x00\x30\x01\x00"),
    (1, b"\x30\x19\x02\x01\x00\x04\x06public\xa4\x0c\x06\x01\x05\x40\x01\x00\x02\x01\x00\x30\x01\x00"),
]];

const SIP: &[&[u8]] = &[
    b"INVITE sip:a@b SIP/2.0\r\n", b"SIP/2.0 200 OK\r\n", b"Content-Length: 5\r\n", b"l: 99999999999999999999\r\n", b"Content-Type: application/sdp\r\n", b"\r\n\r\n", b"\r\n ",
    b"From: <sip:a@b>\r\n", b"v: SIP/2.0/UDP a\r\n", b"o=a\r\n", b"m=audio 1\r\n", b"a=b\r\n", b":", b"\n\n",
];
const SIP_SEEDS: Seeds = &[&[
    (0, b"INVITE sip:b@x SIP/2.0\r\nVia: SIP/2.0/UDP a\r\nFrom: <sip:a@x>\r\n ;tag=1\r\nContent-Type: application/sdp\r\nContent-Length: 15\r\n\r\no=me\r\nm=a\r\na=b\n"),
    (1, b"SIP/2.0 486 Busy Here\r\nTo: <sip:b@x>\r\n\r\n"),
    (0, b"\r\n\r\nACK sip:b@x SIP/2.0\n\n"),
]];

const MQTT: &[&[u8]] = &[
    b"\x00\x04MQTT\x04", b"\x00\x04MQTT\x05", b"\x10", b"\x20\x02\x00\x00", b"\x30", b"\x32", b"\x40\x02\x00\x07", b"\x50\x02\x00\x07", b"\x62\x02\x00\x07", b"\x70\x02\x00\x07", b"\x82", b"\x90\x03\x00\x01\x00",
    b"\xe0\x00", b"\xff\xff\xff\x7f", b"\x80", b"\x00\x03a/b",
];
const MQTT_SEEDS: Seeds = &[&[
    (0, b"\x10\x12\x00\x04MQTT\x04\x80\x00\x00\x00\x02id\x00\x02me"),
    (1, b"\x20\x02\x00\x00"),
    (0, b"\x82\x08\x00\x01\x00\x03a/#\x00\x32\x0c\x00\x03a/b\x00\x07hello"),
    (1, b"\x90\x03\x00\x01\x00\x40\x02\x00\x07"),
    (0, b"\xe0\x00"),
]];

const RFB: &[&[u8]] = &[b"RFB 003.008\n", b"RFB 003.003\n", b"\x01\x02", b"\x00\x00\x00\x01", b"\x00\x00\x00\x00", b"\x01", b"\x02", b"0123456789abcdef"];
const RFB_SEEDS: Seeds = &[&[
    (1, b"RFB 003.008\n\x01\x02"),
    (0, b"RFB 003.008\n\x02"),
    (1, b"challengechallen"),
    (0, b"responseresponse\x01"),
    (1, b"\x00\x00\x00\x000123456789abcdef0123\x00\x00\x00\x04desk"),
]];

const RDP: &[&[u8]] = &[
    b"\x03\x00\x00\x0b\x06\xe0\x00\x00\x00\x00\x00",
    b"\x03\x00\x00'\x22\xe0\x00\x00\x00\x00\x00Cookie: mstshash=a\x0d\x0a\x01\x01\x08\x00\x03\x00\x00\x00",
    b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x00\x00\x00\x02\x09\x08\x00\x01\x00\x00\x00",
    b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x00\x00\x00\x03\x00\x08\x00\x02\x00\x00\x00",
    b"\x02\xf0\x80\x7fe",
    b"\x03\x00\x00Q\x02\xf0\x80\x7ffG\x0a\x01\x00\x02\x01\x000\x19\x02\x01\x22\x02\x01\x03\x02\x01\x00\x02\x01\x01\x02\x01\x00\x02\x01\x01\x02\x02\xff\xf8\x02\x01\x02\x04$\x00\x05\x00\x14|\x00\x01\x80\x1b\x14v\x0a\x01\x01\x00\x01\xc0\x00McDn\x80\x0c\x01\x0c\x0c\x00\x04\x00\x08\x00\x00\x00\x00\x00",
    b"\x01\xc0",
    b"\x03\xc0",
    b"\x16\x03\x03\x00*\x02\x00\x00&\x03\x03rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\x00\x00/\x00",
    b"\x16\x03\x03\x00",
    b"\x0b\x00",
];
const RDP_SEEDS: Seeds = &[
    &[
        (0, b"\x03\x00\x00'\x22\xe0\x00\x00\x00\x00\x00Cookie: mstshash=a\x0d\x0a\x01\x01\x08\x00\x00\x00\x00\x00"),
        (1, b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x00\x00\x00\x02\x09\x08\x00\x00\x00\x00\x00"),
        (0, b"\x03\x00\x01\x1b\x02\xf0\x80\x7fe\x82\x01\x0f\x04\x01\x01\x04\x01\x01\x01\x01\xff0\x19\x02\x01\x22\x02\x01\x02\x02\x01\x00\x02\x01\x01\x02\x01\x00\x02\x01\x01\x02\x02\xff\xff\x02\x01\x020\x19\x02\x01\x01\x02\x01\x01\x02\x01\x01\x02\x01\x01\x02\x01\x00\x02\x01\x01\x02\x02\x04 \x02\x01\x020\x1c\x02\x02\xff\xff\x02\x02\xfc\x17\x02\x02\xff\xff\x02\x01\x01\x02\x01\x00\x02\x01\x01\x02\x02\xff\xff\x02\x01\x02\x04\x81\xaf\x00\x05\x00\x14|\x00\x01\x80\xa6\x00\x08\x00\x10\x00\x01\xc0\x00Duca\x80\x98\x01\xc0\x84\x00\x04\x00\x08\x00\x00\x04\x00\x03\x01\xca\x03\xaa\x09\x04\x00\x00(\x0a\x00\x00A\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x0c\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x03\xc0\x14\x00\x01\x00\x00\x00rdpdr\x00\x00\x00\x00\x00\x00\x80"),
        (1, b"\x03\x00\x00Q\x02\xf0\x80\x7ffG\x0a\x01\x00\x02\x01\x000\x19\x02\x01\x22\x02\x01\x03\x02\x01\x00\x02\x01\x01\x02\x01\x00\x02\x01\x01\x02\x02\xff\xf8\x02\x01\x02\x04$\x00\x05\x00\x14|\x00\x01\x80\x1b\x14v\x0a\x01\x01\x00\x01\xc0\x00McDn\x80\x0c\x01\x0c\x0c\x00\x04\x00\x08\x00\x00\x00\x00\x00"),
    ],
    &[
        (0, b"\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00"),
        (1, b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x00\x00\x00\x02\x00\x08\x00\x01\x00\x00\x00"),
        (0, b"\x16\x03\x03\x00-\x01\x00\x00)\x03\x03rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\x00\x00\x02\x00/\x01\x00"),
        (1, b"\x16\x03\x03\x00*\x02\x00\x00&\x03\x03rrrrrrrrrrrrrrrrrrrrrrrrrrrrrrrr\x00\x00/\x00\x16\x03\x03\x00*\x0b\x00\x00&\x00\x00#\x00\x00 0\x1e0\x1c\x02\x02\x1240\x000\x000\x000\x000\x00\x05\x00\x05\x00\x05\x00\x05\x00\x05\x00\x05\x00\x05\x00"),
    ],
];

const QUIC: &[&[u8]] = &[
    b"\xc3\x00\x00\x00\x01", b"\xd3\x6b\x33\x43\xcf", b"\xc3\xff\x00\x00\x1d", b"\xc3Q046\x50", b"\x80\x00\x00\x00\x00", b"\xf0\x00\x00\x00\x01", b"\x00\x00\x44\x9e", b"\x08",
    b"CHLO\x02\x00\x00\x00SNI\x00\x03\x00\x00\x00UAID\x05\x00\x00\x00a.bme", b"\xa0\x01\x00\x1d", b"\x06\x00\x40",
];
const QUIC_SEEDS: Seeds = &[
    &[(0, b"\xc3Q046\x5012345678\x00\x00\x00\x01hashhashhash\xa0\x01\x00\x20CHLO\x02\x00\x00\x00SNI\x00\x03\x00\x00\x00UAID\x05\x00\x00\x00a.bme")],
    &[(1, b"\xcf\x00\x00\x00\x01\x00\x08\xf0\x67\xa5\x50\x2a\x42\x62\xb5\x00\x40\x75\xc0\xd9\x5a\x48\x2c\xd0\x99\x1c\xd2\x5b\x0a\xac\x40\x6a\x58\x16\xb6\x39\x41\x00\xf3")],
];

const POP3: &[&[u8]] = &[b"+OK\r\n", b"-ERR no\r\n", b"+ \r\n", b".\r\n", b"..x\r\n", b"USER me\r\n", b"PASS x\r\n", b"LIST\r\n", b"TOP 1 2\r\n", b"RETR 1\r\n", b"CAPA\r\n", b"STLS\r\n", b"AUTH PLAIN\r\n", b"\n", b"\x16\x03\x01"];
const POP3_SEEDS: Seeds = &[&[
    (1, b"+OK ready\r\n"),
    (0, b"USER me\r\nPASS x\r\nLIST\r\n"),
    (1, b"+OK\r\n+OK\r\n+OK 1\r\n1 5\r\n.\r\n"),
    (0, b"AUTH PLAIN\r\n"),
    (1, b"+ \r\n"),
    (0, b"AGEAYg==\r\nSTLS\r\n"),
    (1, b"-ERR\r\n+OK begin\r\n"),
    (0, b"\x16\x03\x01\x00\x05"),
]];

const TELNET: &[&[u8]] = &[b"\xff\xfd\x18", b"\xff\xfb\x01", b"\xff\xfa\x18\x01\xff\xf0", b"\xff\xff", b"\xff\xf1", b"\xff", b"login: ", b"Password: ", b": ", b":", b"\r\n", b"\n", b"\0"];
const TELNET_SEEDS: Seeds = &[&[
    (1, b"\xff\xfd\x18\xff\xfd\x20"),
    (0, b"\xff\xfb\x18\xff\xfc\x20"),
    (1, b"\xff\xfa\x18\x01\xff\xf0"),
    (0, b"\xff\xfa\x18\x00xterm\xff\xf0"),
    (1, b"a host\r\nlogin: "),
    (0, b"me\r\0"),
    (1, b"\r\nPassword: "),
    (0, b"secret\r\n"),
    (1, b"Last login: never\r\n$ "),
    (0, b"ls\r\nexit\r\n"),
]];

const WEBSOCKET: &[&[u8]] = &[
    b"\x81\x05hello", b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", b"\x01\x03Hel", b"\x80\x02lo", b"\x00\x02xx", b"\x89\x00", b"\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00", b"\x82\x7e\x01\x00",
    b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00", b"\x88\x02\x03\xe8",
];
const WEBSOCKET_SEEDS: Seeds = &[&[
    (0, b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"),
    (1, b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n"),
    (0, b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
    (1, b"\x01\x03Hel\x89\x05Hello\x80\x02lo\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"),
]];

const TFTP: &[&[u8]] = &[b"\x00\x01", b"\x00\x02", b"octet\x00", b"\x00\x03\x00\x01", b"\x00"];
const TFTP_SEEDS: Seeds = &[&[(0, b"\x00\x01rfc1350.txt\x00octet\x00"), (1, b"\x00\x05\x00\x01no\x00")]];

const DNP3: &[&[u8]] = &[
    b"\x05\x64\x0b\xc4\x02\x00\x03\x00", b"\x05\x64\x05\xc0\x01\x00\x0c\x00", b"\xc0\xcb\x14", b"\x40", b"\x80", b"\x3c\x02\x06", b"\x81\x80\x00", b"\x01\x01\x00\x00\x09", b"\x1e\x02\x17\x02", b"\x46\x03\x5b\x01", b"\xff\xff",
];
const DNP3_SEEDS: Seeds = &[&[
    (0, b"\x05\x64\x0b\xc4\x02\x00\x03\x00\x00\x00\xc0\xcb\x14\x3c\x02\x06\x00\x00"),
    (1, b"\x05\x64\x10\x44\x03\x00\x02\x00\x00\x00\xc0\xcb\x81\x80\x00\x01\x01\x00\x00\x09\xff\x00\x00"),
]];

const PGSQL: &[&[u8]] = &[
    b"\x00\x00\x00\x08\x04\xd2\x16\x2f", b"\x00\x00\x00\x17\x00\x03\x00\x00user\x00me\x00db\x00a\x00\x00", b"S", b"N", b"Q\x00\x00\x00\x0dSELECT 1\x00", b"X\x00\x00\x00\x04", b"p\x00\x00\x00\x06a\x00",
    b"R\x00\x00\x00\x08\x00\x00\x00\x00", b"R\x00\x00\x00\x08\x00\x00\x00\x0a", b"Z\x00\x00\x00\x05I", b"C\x00\x00\x00\x06a\x00", b"d\x00\x00\x00\x05x", b"G\x00\x00\x00\x07\x00\x00\x01", b"E\x00\x00\x00\x0aC4260\x00",
];
const PGSQL_SEEDS: Seeds = &[&[
    (0, b"\x00\x00\x00\x08\x04\xd2\x16\x2f"),
    (1, b"N"),
    (0, b"\x00\x00\x00\x17\x00\x03\x00\x00user\x00me\x00db\x00a\x00\x00"),
    (1, b"R\x00\x00\x00\x08\x00\x00\x00\x0a"),
    (0, b"p\x00\x00\x00\x0eSCRAM\x00\x00\x00\x00\x00"),
    (1, b"R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I"),
    (0, b"Q\x00\x00\x00\x0dSELECT 1\x00"),
    (1, b"T\x00\x00\x00\x06\x00\x01D\x00\x00\x00\x06\x00\x00C\x00\x00\x00\x06a\x00Z\x00\x00\x00\x05I"),
]];

const ENIP: &[&[u8]] = &[
    b"\x63\x00", b"\x65\x00\x04\x00", b"\x6f\x00", b"\x70\x00", b"\x01\x00\x0c\x00", b"\x02\x00\xa1\x00\x04\x00", b"\xb1\x00", b"\xb2\x00", b"\x0e\x03\x20\x01\x24\x01\x30\x05", b"\x0a\x02\x20\x02\x24\x01\x02\x00",
    b"\x8e\x00\x00\x00", b"\x00\x01\x14\x00",
];
const ENIP_SEEDS: Seeds = &[&[
    (0, b"\x63\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
    (1, b"\x63\x00\x2b\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x0c\x00\x25\x00\x01\x00aaaabbbbccccdddd\x01\x00\x0c\x00\x3a\x00\x04\x03\x30\x00\x8e\x4d\x52\x00\x03abc\x03"),
    (0, b"\x70\x00\x1e\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xa1\x00\x04\x00\x09\x09\x09\x09\xb1\x00\x0a\x00\x05\x00\x0e\x03\x20\x01\x24\x01\x30\x05"),
]];

const LDAP: &[&[u8]] = &[
    b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00", b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00", b"\x30\x05\x02\x01\x03\x42\x00", b"\x30\x06\x02\x01\x06\x50\x01\x05", b"\x64", b"\x65", b"\x66", b"\x68", b"\x6c", b"\x6e",
    b"\x77\x18\x80\x161.3.6.1.4.1.1466.20037", b"\x78\x07\x0a\x01\x00\x04\x00\x04\x00", b"\x31\x04\x04\x02cn", b"\x30\x84\x00\x00\x00\x05", b"\xa3",
];
const LDAP_SEEDS: Seeds = &[&[
    (0, b"\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"),
    (1, b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00"),
    (0, b"\x30\x2a\x02\x01\x02\x63\x25\x04\x02dc\x0a\x01\x02\x0a\x01\x00\x02\x01\x64\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x04\x04\x02cn"),
    (1, b"\x30\x17\x02\x01\x02\x64\x12\x04\x02dc\x30\x0c\x30\x0a\x04\x02cn\x31\x04\x04\x02me\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x04\x04\x00\x04\x00"),
    (0, b"\x30\x1d\x02\x01\x03\x77\x18\x80\x161.3.6.1.4.1.1466.20037"),
    (1, b"\x30\x0c\x02\x01\x03\x78\x07\x0a\x01\x00\x04\x00\x04\x00\x16\x03\x01"),
]];

const DHCP: &[&[u8]] = &[b"\x63\x82\x53\x63", b"\x35\x01\x01", b"\x33\x04\x00\x00\x0e\x10", b"\xff", b"\x00", b"\x33\x02", b"\x3a\x04"];
const DHCP_SEEDS: Seeds = &[&[(0, b"\x01\x01\x06\x00 too short"), (1, b"\x02\x01\x06\x00")]];

/// Non-byte facts that parsers answer.
const NUMBERS: [&str; 32] = [
    "enip.command",
    "enip.serial",
    "enip.protocol_version",
    "dnp3_func",
    "dnp3_ind",
    "websocket.opcode",
    "websocket.flags",
    "websocket.mask",
    "ldap.request.operation",
    "ldap.responses.count",
    "filesize",
    "ftp.dynamic_port",
    "ftp.reply_received",
    "smb.version",
    "dcerpc.opnum",
    "dcerpc.iface.61616161616161616161616161616161",
    "krb5_msg_type",
    "krb5.ticket_encryption",
    "snmp.version",
    "snmp.pdu_type",
    "dhcp.leasetime",
    "mqtt.type",
    "mqtt.qos",
    "rfb.sectype",
    "dns.opcode",
    "dns.rcode",
    "dns.rrtype",
    "tls.version",
    "tls.cert_chain_len",
    "tls.not_before",
    "tls.not_after",
    "tls.state",
];

/// Limits that short inputs reach.
const SMALL: AppLayerConfig = AppLayerConfig {
    body_limit: 40,
    http_body_limits: [40; 2],
    head_limit: 200,
    inflate_limit: 60,
    inflate_layers: 2,
    transactions: MANY,
    tls_message_limit: 150,
    file_digests: true,
    by_delivery: false,
    links: Links { schemes: u8::MAX, with_scheme: true },
    frames: u128::MAX,
    disabled: 0,
};

/// More transactions than an input can begin; and so few that most inputs begin more.
const MANY: usize = 1 << 16;
const FEW: usize = 3;
/// Most transactions that one record of an input can hold: inputs have 16 KiB, messages of SMB 32 bytes and more.
const RECORD_MAX: usize = 512;

/// Runs a conversation as it is and cut in other places. Parsers are asked after every delivery, as by the engine.
pub fn any_cut(bytes: &[u8], carrier: u8, port: u16) {
    let conversation = Conversation::decode(bytes);
    let limits = if conversation.seed & 1 == 0 { AppLayerConfig::default() } else { SMALL };
    let transactions = if conversation.seed & 6 == 0 { FEW } else { MANY };
    let config = Arc::new(AppLayerConfig { transactions, ..limits });
    let whole = outcome(&conversation.steps, &config, carrier, port);
    let other = if carrier == 6 { cut(&conversation) } else { conversation.steps.clone() };
    let pieces = outcome(&other, &config, carrier, port);
    for (a, b) in whole.lines().zip(pieces.lines()) {
        assert_eq!(a, b, "the outcome depends on how the stream is cut");
    }
    assert_eq!(whole.len(), pieces.len(), "the outcome depends on how the stream is cut:\n{whole}\n--\n{pieces}");
}

/// The same stream in other pieces.
fn cut(conversation: &Conversation) -> Vec<Step> {
    let mut random = Random::new(conversation.seed);
    let mut steps = Vec::new();
    for step in &conversation.steps {
        match step {
            Step::Data(direction, bytes) => {
                let mut rest = bytes.as_slice();
                let most = if random.one_in(3) { 1 } else { rest.len().max(1) };
                while !rest.is_empty() {
                    let (piece, after) = rest.split_at(random.length(most).min(rest.len()));
                    steps.push(Step::Data(*direction, piece.to_vec()));
                    rest = after;
                }
            }
            other => steps.push(other.clone()),
        }
    }
    steps
}

/// What detection could see of a conversation, as text.
fn outcome(steps: &[Step], config: &Arc<AppLayerConfig>, carrier: u8, port: u16) -> String {
    let mut flow = AppLayerFlow::new(config, carrier, 40000, port);
    let mut transactions: BTreeMap<(u8, u64), String> = BTreeMap::new();
    let mut events: Vec<&'static str> = Vec::new();
    let mut announced = Vec::new();
    let mut ended = [false; 2];
    let mut upgrades = 0;
    let mut frames = BTreeMap::new();
    for step in steps {
        let (direction, input) = match step {
            Step::Data(d, bytes) => (*d, Input::Data(bytes)),
            Step::Gap(d, length) => (*d, Input::Gap(u64::from(*length))),
            Step::End(d) => (*d, Input::End),
        };
        // Reassembly delivers nothing behind an end and nothing that is empty.
        let empty = matches!(input, Input::Data([]) | Input::Gap(0));
        if ended[direction] || empty {
            continue;
        }
        ended[direction] = input == Input::End;
        let direction = if direction == 0 { Direction::ToServer } else { Direction::ToClient };
        flow.feed(direction, input, 1);
        loop {
            events.extend(flow.new_events());
            announced.extend(flow.take_expected());
            assert!(announced.len() <= steps.len() * 4096, "announcements are bounded");
            // What is released now is seen for the last time.
            let changes = flow.state().is_some_and(|state| state.upgrade().is_some());
            see(&flow, upgrades, changes, config.transactions, &mut transactions);
            see_frames(&flow, &mut frames);
            let more = flow.mark_inspected(1);
            upgrades += u8::from(changes);
            if !more {
                break;
            }
        }
    }
    see(&flow, upgrades, true, config.transactions, &mut transactions);
    assert!(!flow.mark_inspected(1), "nothing waits once all is inspected");
    events.extend(flow.new_events());
    events.sort_unstable();
    let mut text = String::new();
    let open = [Direction::ToServer, Direction::ToClient].map(|d| flow.is_open(d));
    let _ = writeln!(text, "{:?} original {:?} sides {:?}", flow.protocol(), flow.original_protocol(), flow.detection_by_side());
    let _ = writeln!(text, "announced {announced:?}");
    let _ = writeln!(text, "encrypted {} open {open:?} events {events:?}", flow.encrypted());
    for ((upgrade, id), transaction) in transactions {
        let _ = writeln!(text, "protocol {upgrade} transaction {id}");
        text.push_str(&transaction);
    }
    for ((protocol, direction, number), frame) in frames {
        let _ = writeln!(text, "{} frame {number} of side {direction} {frame}", protocol.name());
    }
    text
}

/// The frames as they are now, replacing what was seen of them before.
fn see_frames(flow: &AppLayerFlow, seen: &mut BTreeMap<(AppProtocol, u8, u64), String>) {
    let Some(frames) = flow.frames() else { return };
    let units = frames.transactions();
    // A delivery is at most an input, and a frame has bytes.
    assert!(units.len() <= 16 << 10, "frames are bounded");
    for (index, unit) in units.iter().enumerate() {
        for direction in [Direction::ToServer, Direction::ToClient] {
            for buffer in Buffer::ALL.iter().filter(|buffer| buffer.frame_number().is_some()) {
                let BufferState::Present(view) = frames.buffer(index, direction, *buffer, 0) else { continue };
                let crc = weir_contract::crc::crc32c(view.bytes);
                let text = format!("{} {} {} {crc:x}", buffer.name(), view.complete, view.bytes.len());
                // A message may wait for what the other side says: the order of both sides' frames is not compared.
                let Some((_, number)) = frames.place_of(unit.id) else { continue };
                seen.insert((frames.protocol(), direction as u8, number), text);
            }
        }
    }
}

/// The transactions that live now, or those of them that are complete, replacing what was seen of them before.
fn see(
    flow: &AppLayerFlow,
    upgrades: u8,
    everything: bool,
    most: usize,
    transactions: &mut BTreeMap<(u8, u64), String>,
) {
    let Some(state) = flow.state() else { return };
    let live = state.transactions();
    // One record may hold several messages; all of them wait to be inspected.
    assert!(live.len() <= most + RECORD_MAX, "transactions are bounded");
    assert!(live.windows(2).all(|pair| pair[0].id < pair[1].id), "in order of their ids");
    let mut json = Vec::new();
    let seen = |t: &Transaction| everything || t.progress == [COMPLETE; 2] && t.changed != [false; 2];
    let own = |buffer: &&Buffer| buffer.protocol().is_none_or(|p| p.includes(state.protocol()) || p == AppProtocol::Tls);
    for (index, transaction) in live.iter().enumerate().filter(|(_, t)| seen(t)) {
        let mut text = String::new();
        let names: Vec<&str> = transaction.events.iter().map(|event| state.event_name(*event)).collect();
        assert!(names.len() <= 256, "events are bounded");
        let _ = writeln!(text, "  progress {:?} events {names:?}", transaction.progress);
        for direction in [Direction::ToServer, Direction::ToClient] {
            for buffer in Buffer::ALL.iter().filter(own) {
                for instance in 0..if buffer.is_multi() { 64 } else { 1 } {
                    let BufferState::Present(view) = state.buffer(index, direction, *buffer, instance) else { break };
                    let shown = view.bytes.get(..view.bytes.len().min(200)).unwrap_or_default().escape_ascii();
                    let crc = weir_contract::crc::crc32c(view.bytes);
                    let _ = writeln!(
                        text,
                        "  {direction:?} {} {instance} {} {} {crc:x} {shown}",
                        buffer.name(),
                        view.complete,
                        view.bytes.len()
                    );
                }
            }
            for name in NUMBERS {
                if let Some(number) = state.number(index, direction, name) {
                    let _ = writeln!(text, "  {direction:?} {name} {number}");
                }
            }
        }
        json.clear();
        json.push(b'{');
        state.log(index, &mut json);
        json.push(b'}');
        match serde_json::from_slice::<serde_json::Value>(&json) {
            Ok(value) => {
                let _ = writeln!(text, "  {value}");
            }
            Err(error) => panic!("{error}: {}", String::from_utf8_lossy(&json)),
        }
        transactions.insert((upgrades, transaction.id), text);
    }
}

/// Bytes of conversations taken from all captures.
const SHARED_MAX: usize = 32 << 20;
/// Conversations of a protocol.
const EACH_MAX: usize = 400;

type Found = HashMap<(AppProtocol, u8), Vec<Vec<u8>>>;

/// Conversations of a protocol in the shared captures.
fn conversations(data: &Path, protocol: AppProtocol, carrier: u8) -> Vec<Vec<u8>> {
    static FOUND: OnceLock<Found> = OnceLock::new();
    FOUND.get_or_init(|| all_conversations(data)).get(&(protocol, carrier)).cloned().unwrap_or_default()
}

type End = (IpAddr, u16);
type FlowKey = (u8, End, End);

struct Talk {
    initiator: End,
    server_port: u16,
    session: Session,
    steps: Collect,
}

#[derive(Default)]
struct Collect(Vec<Step>, usize);

impl StreamSink for Collect {
    fn data(&mut self, direction: usize, _offset: u64, bytes: &[u8]) {
        if self.1 < 12 << 10 {
            self.1 += bytes.len();
            self.0.push(Step::Data(direction, bytes.to_vec()));
        }
    }
    fn gap(&mut self, direction: usize, _offset: u64, length: u64) {
        self.0.push(Step::Gap(direction, length.min(65_535) as u16));
    }
    fn end(&mut self, direction: usize) {
        self.0.push(Step::End(direction));
    }
}

fn all_conversations(data: &Path) -> Found {
    let mut found = Found::new();
    let config = Arc::new(AppLayerConfig::default());
    for path in seeds::files(&data.join("pcaps")) {
        let Ok(mut reader) = weir_capture::CaptureReader::open(&path) else { continue };
        let mut decoder = Decoder::new(DecoderConfig::default());
        let mut talks: HashMap<FlowKey, Talk> = HashMap::new();
        let mut bytes = 0;
        while let Ok(Some(frame)) = reader.next_frame() {
            bytes += frame.data.len();
            if bytes > SHARED_MAX / 8 {
                break;
            }
            decoder.decode(&frame, &mut |packet| add(&mut talks, packet));
        }
        let mut talks: Vec<(FlowKey, Talk)> = talks.into_iter().collect();
        talks.sort_by_key(|(key, _)| *key);
        for ((carrier, ..), talk) in talks {
            let mut flow = AppLayerFlow::new(&config, carrier, talk.initiator.1, talk.server_port);
            for step in &talk.steps.0 {
                if let Step::Data(d, bytes) = step {
                    let direction = if *d == 0 { Direction::ToServer } else { Direction::ToClient };
                    flow.feed(direction, Input::Data(bytes), 1);
                }
            }
            let Some(protocol) = flow.protocol() else { continue };
            let list = found.entry((protocol, carrier)).or_default();
            if list.len() < EACH_MAX {
                list.push(Conversation { seed: 1, steps: talk.steps.0 }.encode());
            }
        }
    }
    found
}

fn add(talks: &mut HashMap<FlowKey, Talk>, packet: &Packet<'_>) {
    let Some(ip) = packet.ip.as_ref().filter(|ip| !ip.is_fragment && matches!(ip.protocol, 6 | 17)) else { return };
    let (source, destination) = ((ip.source, packet.source_port), (ip.destination, packet.destination_port));
    let key = (ip.protocol, source.min(destination), source.max(destination));
    let talk = talks.entry(key).or_insert_with(|| Talk {
        initiator: source,
        server_port: destination.1,
        session: Session::default(),
        steps: Collect::default(),
    });
    let direction = usize::from(source != talk.initiator);
    match packet.transport {
        Transport::Tcp(tcp) => {
            talk.session.packet(&SessionConfig::default(), direction, &tcp, packet.payload, false, &mut talk.steps);
        }
        _ if !packet.payload.is_empty() => talk.steps.data(direction, 0, packet.payload),
        _ => {}
    }
}
