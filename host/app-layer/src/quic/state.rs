//! Transactions of a QUIC flow: each packet with a long header, until both hellos are there.

use super::crypto::Stream;
use super::frames;
use super::google::{self, Hello as GoogleHello};
use super::header::{self, Header, Kind};
use super::keys::Keys;
use crate::json::Object;
use crate::messages::Messages;
use crate::tls::{Hello, ja3, ja3s, ja4_over, md5_hex, parse_hello};
use crate::{AppLayerConfig, BufferState, Direction, Input, ProtocolState, Transaction};
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::Buffer;

const EVENTS: [&str; 3] = ["failed_decrypt", "error_on_data", "crypto_frag_too_long"];
const FAILED_DECRYPT: u16 = 0;
const ERROR_ON_DATA: u16 = 1;
const CRYPTO_TOO_LONG: u16 = 2;

/// Most packets of one datagram.
const PACKETS_MAX: usize = 16;
/// Packets of a direction within which its hello comes; what follows is read no more.
const READ_MAX: u8 = 64;

/// What a packet says.
#[derive(Default)]
struct Packet {
    version: [u8; 4],
    hello: Option<Box<Hello>>,
    google: Option<Box<GoogleHello>>,
    ja3: Option<(String, String)>,
    ja4: Option<String>,
    cyu: Option<(String, String)>,
}

/// QUIC of one flow.
pub struct QuicState {
    keys: Option<Box<Keys>>,
    streams: [Stream; 2],
    /// The hello of the direction has come: what follows is encrypted.
    done: [bool; 2],
    /// Packets read in the direction since the connection began.
    read: [u8; 2],
    packets: Messages<Packet>,
}

impl QuicState {
    /// State of a new flow.
    pub fn new(config: &Arc<AppLayerConfig>) -> Self {
        QuicState {
            keys: None,
            streams: Default::default(),
            done: [false; 2],
            read: [0; 2],
            packets: Messages::new(config.transactions),
        }
    }

    fn push(&mut self, direction: Direction, packet: Packet, events: Vec<u16>) {
        self.packets.push(direction, packet, events);
    }

    fn datagram(&mut self, direction: Direction, mut bytes: &[u8]) {
        let d = direction as usize;
        for _ in 0..PACKETS_MAX {
            let Some(header) = header::read(bytes) else { return };
            let packet = Packet { version: header.version.to_be_bytes(), ..Packet::default() };
            let Some((own, rest)) = bytes.split_at_checked(header.end) else { return };
            if self.done[d] {
                // Only the first packet of another connection is read.
                if d == 1 || header.kind != Kind::Initial || !self.begins_anew(&header, own) {
                    return;
                }
            }
            self.read[d] += 1;
            self.done[d] = self.read[d] >= READ_MAX;
            match header.kind {
                Kind::VersionNegotiation => {
                    self.push(direction, packet, Vec::new());
                    return;
                }
                Kind::Retry if d == 1 => {
                    // The client begins again, with keys from another number (RFC 9001 section 5.2).
                    self.keys = None;
                    self.streams = Default::default();
                    self.done[0] = false;
                    self.read[0] = 0;
                    self.push(direction, packet, Vec::new());
                    return;
                }
                Kind::Initial => {
                    if !self.initial(direction, &header, own, packet) {
                        return;
                    }
                }
                _ => self.push(direction, packet, Vec::new()),
            }
            bytes = rest;
            if bytes.is_empty() {
                return;
            }
        }
    }

    /// The packet opens with keys of its own: it is a connection's first.
    fn begins_anew(&mut self, header: &Header<'_>, bytes: &[u8]) -> bool {
        let Some(keys) = Keys::new(header.version, header.destination) else { return false };
        if keys.open(0, bytes, header.number_at, &mut Vec::new()).is_none() {
            return false;
        }
        *self = QuicState { packets: std::mem::replace(&mut self.packets, Messages::new(0)), ..QuicState::new(&Arc::default()) };
        true
    }

    /// An Initial packet; false: the rest of the datagram cannot be read.
    fn initial(&mut self, direction: Direction, header: &Header<'_>, bytes: &[u8], mut packet: Packet) -> bool {
        if header::is_google(header.version) {
            let first = bytes.first().copied().unwrap_or(0);
            let found = google::hello(first, bytes.get(header.number_at..).unwrap_or(&[]));
            let events = if found.is_err() { vec![ERROR_ON_DATA] } else { Vec::new() };
            if let Ok(Some(hello)) = found {
                packet.cyu = Some((hello.cyu(header.version), hello.cyu_hash(header.version)));
                packet.google = Some(Box::new(hello));
                self.done[direction as usize] = true;
            }
            self.push(direction, packet, events);
            return false;
        }
        let mut payload = Vec::new();
        if !self.open(direction, header, bytes, &mut payload) {
            self.push(direction, packet, vec![FAILED_DECRYPT]);
            return false;
        }
        let d = direction as usize;
        let mut events = Vec::new();
        let stream = &mut self.streams[d];
        let mut fits = true;
        let sound = frames::crypto(&payload, &mut |offset, data| fits &= stream.push(offset, data));
        if !sound {
            events.push(ERROR_ON_DATA);
        }
        if !fits {
            events.push(CRYPTO_TOO_LONG);
        }
        let client = direction == Direction::ToServer;
        if let Some(body) = stream.message(if client { 1 } else { 2 }) {
            let hello = parse_hello(body, client);
            if hello.malformed && !events.contains(&ERROR_ON_DATA) {
                events.push(ERROR_ON_DATA);
            }
            let text = if client { ja3(&hello) } else { ja3s(&hello) };
            packet.ja3 = Some((md5_hex(&text), text));
            packet.ja4 = client.then(|| ja4_over(&hello, 'q'));
            packet.hello = Some(Box::new(hello));
            self.done[d] = true;
            self.streams[d] = Stream::default();
        }
        self.push(direction, packet, events);
        sound
    }

    /// Remove the protection: with the keys of the connection or, to the server, with those of the packet itself, as a first
    /// packet that nobody answered must not hide the second.
    fn open(&mut self, direction: Direction, header: &Header<'_>, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        let d = direction as usize;
        if let Some(keys) = &self.keys
            && keys.open(d, bytes, header.number_at, out).is_some()
        {
            return true;
        }
        if self.keys.is_some() && direction == Direction::ToClient {
            return false;
        }
        let Some(keys) = Keys::new(header.version, header.destination) else { return false };
        let opened = keys.open(d, bytes, header.number_at, out).is_some();
        if opened {
            self.keys = Some(Box::new(keys));
            self.streams = Default::default();
        }
        opened
    }
}

impl ProtocolState for QuicState {
    fn protocol(&self) -> AppProtocol {
        AppProtocol::Quic
    }

    fn feed(&mut self, direction: Direction, input: Input<'_>, _frame: u64) {
        if let Input::Data(bytes) = input {
            self.datagram(direction, bytes);
        }
    }

    fn transactions(&self) -> &[Transaction] {
        &self.packets.transactions
    }

    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(packet) = self.packets.of(index, direction).filter(|_| instance == 0) else { return BufferState::Absent };
        fn text(text: Option<&String>) -> BufferState<'_> {
            text.map_or(BufferState::Absent, |t| BufferState::whole(t.as_bytes()))
        }
        fn bytes(bytes: Option<&Vec<u8>>) -> BufferState<'_> {
            bytes.map_or(BufferState::Absent, |b| BufferState::whole(b))
        }
        let client = direction == Direction::ToServer;
        match buffer {
            Buffer::QuicVersion => BufferState::whole(&packet.version),
            Buffer::QuicSni => bytes(packet.sni()),
            Buffer::QuicUserAgent => bytes(packet.google.as_ref().and_then(|g| g.user_agent.as_ref())),
            Buffer::QuicCyuString => text(packet.cyu.as_ref().map(|c| &c.0)),
            Buffer::QuicCyuHash => text(packet.cyu.as_ref().map(|c| &c.1)),
            Buffer::Ja3Hash if client => text(packet.ja3.as_ref().map(|j| &j.0)),
            Buffer::Ja3String if client => text(packet.ja3.as_ref().map(|j| &j.1)),
            Buffer::Ja3sHash if !client => text(packet.ja3.as_ref().map(|j| &j.0)),
            Buffer::Ja3sString if !client => text(packet.ja3.as_ref().map(|j| &j.1)),
            Buffer::Ja4Hash => text(packet.ja4.as_ref()),
            _ => BufferState::Absent,
        }
    }

    fn event_names(&self) -> &'static [&'static str] {
        &EVENTS
    }

    fn mark_inspected(&mut self) {
        self.packets.clear();
    }

    fn is_open(&self, _direction: Direction) -> bool {
        // Rules are for every frame of QUIC: what completes something brings what came before it.
        false
    }

    fn log(&self, index: usize, out: &mut Vec<u8>) {
        let Some((direction, packet)) = self.packets.get(index) else { return };
        let mut quic = Object::begin("quic", out);
        let version = match u32::from_be_bytes(packet.version) {
            VERSION_2 => "v2".to_owned(),
            number if header::is_google(number) => String::from_utf8_lossy(&packet.version).into_owned(),
            number => number.to_string(),
        };
        quic.text("version", Some(version.as_bytes()));
        quic.text("sni", packet.sni().map(Vec::as_slice));
        quic.text("ua", packet.google.as_ref().and_then(|g| g.user_agent.as_deref()));
        if let Some((text, hash)) = &packet.cyu {
            quic.list("cyu", |list| {
                list.object(|cyu| {
                    cyu.text("hash", Some(hash.as_bytes()));
                    cyu.text("string", Some(text.as_bytes()));
                });
            });
        }
        if let Some((hash, text)) = &packet.ja3 {
            quic.object(if *direction == Direction::ToServer { "ja3" } else { "ja3s" }, |ja3| {
                ja3.text("hash", Some(hash.as_bytes()));
                ja3.text("string", Some(text.as_bytes()));
            });
        }
        quic.text("ja4", packet.ja4.as_ref().map(|text| text.as_bytes()));
        if let Some(hello) = packet.hello.as_ref().filter(|hello| !hello.extensions.is_empty()) {
            quic.list("extensions", |list| hello.extensions.iter().for_each(|kind| list.object(|e| extension(e, hello, *kind))));
        }
        quic.end();
    }
}

impl Packet {
    fn sni(&self) -> Option<&Vec<u8>> {
        let google = self.google.as_ref().and_then(|g| g.sni.as_ref());
        google.or_else(|| self.hello.as_ref().and_then(|h| h.sni.as_ref()))
    }
}

fn extension(object: &mut Object<'_>, hello: &Hello, kind: u16) {
    object.text("name", extension_name(kind).map(str::as_bytes));
    object.number("type", kind.into());
    match kind {
        0 => object.texts("values", hello.sni.iter().map(Vec::as_slice)),
        13 => {
            let numbers: Vec<String> = hello.signatures.iter().map(u16::to_string).collect();
            object.texts("values", numbers.iter().map(String::as_bytes));
        }
        43 => {
            let names: Vec<String> = hello.versions.iter().map(|version| version_name(*version)).collect();
            object.texts("values", names.iter().map(String::as_bytes));
        }
        16 => object.texts("values", hello.alpn.iter().map(Vec::as_slice)),
        _ => {}
    }
}

/// QUIC 2 (RFC 9369 section 3.1).
const VERSION_2: u32 = 0x6b33_43cf;

/// Names of extensions (IANA, TLS ExtensionType values).
fn extension_name(kind: u16) -> Option<&'static str> {
    Some(match kind {
        0 => "server_name",
        1 => "max_fragment_length",
        2 => "client_certificate_url",
        3 => "trusted_ca_keys",
        4 => "truncated_hmac",
        5 => "status_request",
        6 => "user_mapping",
        7 => "client_authz",
        8 => "server_authz",
        9 => "cert_type",
        10 => "supported_groups",
        11 => "ec_point_formats",
        12 => "srp",
        13 => "signature_algorithms",
        14 => "use_srtp",
        15 => "heartbeat",
        16 => "alpn",
        17 => "status_request_v2",
        18 => "signed_certificate_timestamp",
        19 => "client_certificate_type",
        20 => "server_certificate_type",
        21 => "padding",
        22 => "encrypt_then_mac",
        23 => "extended_master_secret",
        24 => "token_binding",
        25 => "cached_info",
        26 => "tls_lts",
        27 => "compress_certificate",
        28 => "record_size_limit",
        29 => "pwd_protect",
        30 => "pwd_clear",
        31 => "password_salt",
        32 => "ticket_pinning",
        33 => "tls_cert_with_extern_psk",
        34 => "delegated_credentials",
        35 => "session_ticket",
        36 => "TLMSP",
        37 => "TLMSP_proxying",
        38 => "TLMSP_delegate",
        39 => "supported_ekt_ciphers",
        41 => "pre_shared_key",
        42 => "early_data",
        43 => "supported_versions",
        44 => "cookie",
        45 => "psk_key_exchange_modes",
        47 => "certificate_authorities",
        48 => "oid_filters",
        49 => "post_handshake_auth",
        50 => "signature_algorithms_cert",
        51 => "key_share",
        52 => "transparency_info",
        53 => "connection_id_deprecated",
        54 => "connection_id",
        55 => "external_id_hash",
        56 => "external_session_id",
        57 => "quic_transport_parameters",
        58 => "ticket_request",
        59 => "dnssec_chain",
        0xff01 => "renegotiation_info",
        _ => return None,
    })
}

/// Names of versions, as far as they have any.
fn version_name(version: u16) -> String {
    match version {
        0x0300 => "Ssl30".to_owned(),
        0x0301..=0x0304 => format!("Tls1{}", version - 0x0301),
        0x7f12..=0x7f17 => format!("Tls13Draft{}", version & 0xff),
        _ => format!("TlsVersion({version} / {version:#x})"),
    }
}
