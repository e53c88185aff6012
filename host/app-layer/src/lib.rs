//! Application-layer parsing: from stream bytes or datagrams to transactions, their buffers and events.
//!
//! Place: after reassembly, before detection. One folder per protocol: `parser` (pure), `state` (transactions, caps,
//! gaps), `fields` (buffers), `events`. Invariants: a parser never rejects a connection into invisibility (what
//! cannot be parsed raises an event; raw inspection goes on); every state is bounded; the result is a pure function
//! of the bytes, gaps and ends of the two directions in their order of arrival, never of how they were cut into
//! deliveries, except for progress.
#![forbid(unsafe_code)]

mod ber;
pub mod bittorrent_dht;
pub mod config;
pub mod dcerpc;
mod digest;
pub mod dhcp;
pub mod dnp3;
pub mod dns;
pub mod enip;
pub mod expectation;
mod file;
pub mod flow;
mod framed;
pub mod frames;
pub mod hooks;
pub mod ftp;
pub mod ftp_data;
pub mod http1;
pub mod http2;
pub mod ike;
mod json;
pub mod krb5;
pub mod ldap;
mod line;
mod magic;
mod messages;
mod mime;
pub mod modbus;
pub mod mqtt;
pub mod nfs;
pub mod ntp;
mod pairs;
pub mod pgsql;
pub mod pop3;
pub mod quic;
pub mod rdp;
pub mod rfb;
pub mod sip;
pub mod smb;
pub mod smtp;
pub mod snmp;
pub mod ssh;
pub mod telnet;
pub mod tftp;
pub mod tls;
mod transfer;
pub mod websocket;
mod wire;

pub use config::AppLayerConfig;
pub use flow::AppLayerFlow;

use std::sync::Arc;
use weir_contract::protocol::{AppProtocol, Carrier};
use weir_ir::Buffer;

/// The parser of a protocol; none if Weir has none.
pub(crate) fn parser_of(
    protocol: AppProtocol,
    config: &Arc<AppLayerConfig>,
    carrier: Option<Carrier>,
) -> Option<Box<dyn ProtocolState>> {
    match protocol {
        AppProtocol::Http1 => Some(Box::new(http1::Http1State::new(config))),
        AppProtocol::Http2 | AppProtocol::Doh2 => Some(Box::new(http2::Http2State::new(config))),
        AppProtocol::Dns => Some(Box::new(dns::DnsState::new(config, carrier == Some(Carrier::Tcp)))),
        AppProtocol::Tls => Some(Box::new(tls::TlsState::new(config))),
        AppProtocol::Ftp => Some(Box::new(ftp::FtpState::new(config))),
        AppProtocol::Ssh => Some(Box::new(ssh::SshState::new(config))),
        AppProtocol::DceRpc => Some(Box::new(dcerpc::DceRpcState::new(config, carrier == Some(Carrier::Tcp)))),
        AppProtocol::Smb => Some(Box::new(smb::SmbState::new(config))),
        AppProtocol::Mqtt => Some(Box::new(mqtt::MqttState::new(config))),
        AppProtocol::Rdp => Some(Box::new(rdp::RdpState::new(config))),
        AppProtocol::Rfb => Some(Box::new(rfb::RfbState::new(config))),
        AppProtocol::Krb5 => Some(Box::new(krb5::KerberosState::new(config, carrier == Some(Carrier::Tcp)))),
        AppProtocol::Sip => Some(Box::new(sip::SipState::new(config, carrier == Some(Carrier::Tcp)))),
        AppProtocol::Snmp => Some(Box::new(snmp::SnmpState::new(config))),
        AppProtocol::Ntp => Some(Box::new(ntp::NtpState::new(config))),
        AppProtocol::Dhcp => Some(Box::new(dhcp::DhcpState::new(config))),
        AppProtocol::Quic => Some(Box::new(quic::QuicState::new(config))),
        AppProtocol::Ldap => Some(Box::new(ldap::LdapState::new(config, carrier == Some(Carrier::Tcp)))),
        AppProtocol::WebSocket => Some(Box::new(websocket::WebSocketState::new(config))),
        AppProtocol::Tftp => Some(Box::new(tftp::TftpState::new(config))),
        AppProtocol::Pop3 => Some(Box::new(pop3::Pop3State::new(config))),
        AppProtocol::Mdns => Some(Box::new(dns::DnsState::mdns(config))),
        AppProtocol::Dnp3 => Some(Box::new(dnp3::Dnp3State::new(config))),
        AppProtocol::Pgsql => Some(Box::new(pgsql::PgsqlState::new(config))),
        AppProtocol::Enip => Some(Box::new(enip::EnipState::new(config, carrier == Some(Carrier::Tcp)))),
        AppProtocol::Modbus => Some(Box::new(modbus::ModbusState::new(config))),
        AppProtocol::BittorrentDht => Some(Box::new(bittorrent_dht::DhtState::new(config))),
        AppProtocol::Ike => Some(Box::new(ike::IkeState::new(config))),
        AppProtocol::Nfs => Some(Box::new(nfs::NfsState::new(config, carrier == Some(Carrier::Tcp)))),
        AppProtocol::Smtp => Some(Box::new(smtp::SmtpState::new(config))),
        AppProtocol::Telnet => Some(Box::new(telnet::TelnetState)),
        _ => None,
    }
}

/// Direction of bytes within a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// Initiator to responder.
    ToServer = 0,
    /// Responder to initiator.
    ToClient = 1,
}

/// What a parser is fed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input<'a> {
    /// The next bytes of the direction (for UDP: one datagram).
    Data(&'a [u8]),
    /// So many bytes are lost.
    Gap(u64),
    /// The direction ended (FIN, RST, flow end, depth).
    End,
}

/// Progress of one direction of a transaction; protocols map their own states onto it in order.
pub type Progress = u8;
/// The direction of the transaction is complete; nothing will be added.
pub const COMPLETE: Progress = u8::MAX;

/// One transaction as detection and logging see it.
#[derive(Debug, Clone)]
pub struct Transaction {
    /// From 0, in order of appearance within the flow.
    pub id: u64,
    /// By direction.
    pub progress: [Progress; 2],
    /// Something of this direction changed since `mark_inspected`.
    pub changed: [bool; 2],
    /// Events (indices into the protocol's event table), in order of appearance, without duplicates, bounded.
    pub events: Vec<u16>,
}

/// What is still to come of the messages that have begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest<'a> {
    /// It cannot be said, or what has come is not what the buffers will hold.
    Unknown,
    /// Nothing: they are complete.
    Nothing,
    /// More of one body, which is the wire's bytes one after the other. All others are complete.
    Body {
        /// The transaction.
        transaction: u64,
        /// Who sends it.
        direction: Direction,
        /// The head as it came.
        head: &'a [u8],
        /// The body so far, up to the inspection limit.
        body: &'a [u8],
    },
}

/// A buffer of a transaction.
#[derive(Debug, Clone, Copy)]
pub struct BufferView<'a> {
    /// The bytes. A body is the whole body so far, up to its inspection limit: bytes are only ever appended.
    pub bytes: &'a [u8],
    /// No byte will be added.
    pub complete: bool,
}

/// Answer to a buffer request.
#[derive(Debug, Clone, Copy)]
pub enum BufferState<'a> {
    /// The parser has not got there yet; ask again after progress.
    NotYet,
    /// The transaction has got there and the buffer does not exist (`absent` matches).
    Absent,
    /// Here it is.
    Present(BufferView<'a>),
}

impl<'a> BufferState<'a> {
    /// Here it is, and no byte will be added.
    pub fn whole(bytes: &'a [u8]) -> Self {
        BufferState::Present(BufferView { bytes, complete: true })
    }

    /// It does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, BufferState::Absent)
    }

    /// [`Self::whole`], but what is empty does not exist.
    pub fn filled(bytes: &'a [u8]) -> Self {
        if bytes.is_empty() { BufferState::Absent } else { Self::whole(bytes) }
    }
}

/// What limits have kept from inspection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Transactions let go before they were complete, because more than [`AppLayerConfig::transactions`] were open.
    pub transactions: u64,
    /// Bodies that reached [`AppLayerConfig::body_limit`] or [`AppLayerConfig::inflate_limit`].
    pub bodies: u64,
}

/// What every protocol's flow state offers.
pub trait ProtocolState: Send {
    /// The protocol.
    fn protocol(&self) -> AppProtocol;
    /// Feed one direction. Bounded work and memory; never panics.
    fn feed(&mut self, direction: Direction, input: Input<'_>, frame: u64);
    /// What it calls transactions are frames: only rules about frames look at them.
    fn are_frames(&self) -> bool {
        false
    }
    /// Live transactions in id order (those completed and released are gone).
    fn transactions(&self) -> &[Transaction];
    /// Buffer `instance` (0 for single buffers) of transaction at `index` of [`Self::transactions`].
    fn buffer(&self, _index: usize, _direction: Direction, _buffer: Buffer, _instance: usize) -> BufferState<'_> {
        BufferState::Absent
    }
    /// Non-byte facts by condition, for `weir_ir::AppLayerCondition` (rcode, versions, lengths …): numeric value by name.
    fn number(&self, _index: usize, _direction: Direction, _name: &str) -> Option<u64> {
        None
    }
    /// One of the numbers of this name does: where a transaction has several.
    fn any_number(&self, index: usize, direction: Direction, name: &str, holds: &mut dyn FnMut(u64) -> bool) -> bool {
        self.number(index, direction, name).is_some_and(holds)
    }
    /// Names of the protocol's events, by index (`http.` etc. prefix not included).
    fn event_names(&self) -> &'static [&'static str] {
        &[]
    }
    /// Name of an event index.
    fn event_name(&self, event: u16) -> &'static str {
        self.event_names().get(usize::from(event)).copied().unwrap_or("unknown")
    }
    /// Detection has seen every `changed` mark; drop transactions complete in both directions and inspected.
    fn mark_inspected(&mut self);
    /// Once the payload is encrypted: no handshake message can still be read, of either side.
    fn handshake_over(&self) -> bool {
        true
    }

    /// The payload is encrypted from here on (TLS, SSH): reference semantics 2.13.
    fn encrypted(&self) -> bool {
        false
    }
    /// The flow changes protocol from the given stream offset of each direction on (CONNECT, h2c, STARTTLS).
    fn upgrade(&self) -> Option<Upgrade> {
        None
    }
    /// The parser of the protocol behind an [`Upgrade`], where it is to know what came before; given once.
    fn take_successor(&mut self) -> Option<Box<dyn ProtocolState>> {
        None
    }
    /// Nothing more may be fed before [`Self::mark_inspected`] and [`Self::take_rest`] of both directions.
    fn pauses(&self) -> bool {
        self.upgrade().is_some()
    }
    /// Bytes of a direction that the parser kept while it [pauses](Self::pauses): for what follows an [`Upgrade`],
    /// without one for itself. Given once, those to the server first.
    fn take_rest(&mut self, direction: Direction) -> Vec<u8> {
        let _ = direction;
        Vec::new()
    }
    /// So many bytes behind [`Self::take_rest`] were more than the parser keeps. Given once.
    fn take_lost(&mut self, direction: Direction) -> u64 {
        let _ = direction;
        0
    }
    /// So many bytes [`Self::take_rest`] and [`Self::take_lost`] would give: they are not parsed.
    fn kept(&self, direction: Direction) -> u64 {
        let _ = direction;
        0
    }
    /// What limits have done since the last call.
    fn take_limits(&mut self) -> Limits {
        Limits::default()
    }
    /// Connections announced since the last call.
    fn take_expected(&mut self) -> Vec<expectation::Expected> {
        Vec::new()
    }
    /// A transaction is open, or parser state would make later bytes complete something begun earlier (for release).
    fn is_open(&self, direction: Direction) -> bool;
    /// What of the messages that have begun is still to come, where the parser can say it (for release).
    fn rest(&self) -> Rest<'_> {
        Rest::Unknown
    }
    /// The transaction is done: nothing that its log record tells can change any more.
    fn is_loggable(&self, index: usize) -> bool {
        self.transactions().get(index).is_some_and(|t| t.progress == [COMPLETE; 2])
    }
    /// Direction of the transaction's log record; none: that of the flow.
    fn log_direction(&self, index: usize) -> Option<Direction> {
        let _ = index;
        None
    }
    /// What the transactions of a question and of its answer have in common, of protocols where each is one: what a rule
    /// with `config` says about the first holds for the other.
    fn pair(&self, index: usize) -> Option<u64> {
        let _ = index;
        None
    }
    /// Type of the transaction's log record; none: it has none.
    fn log_kind(&self, index: usize) -> Option<&'static str> {
        let _ = index;
        Some(record_kind(self.protocol()))
    }
    /// Files that the transaction carries in a direction, in order.
    fn files(&self, index: usize, direction: Direction) -> Vec<FileView<'_>> {
        let _ = (index, direction);
        Vec::new()
    }
    /// Number, in records, of the flow that announced this one.
    fn announced_by(&self) -> Option<u64> {
        None
    }
    /// Records that the log of a transaction consists of.
    fn log_parts(&self, index: usize, settings: &LogSettings) -> usize {
        let _ = (index, settings);
        1
    }
    /// [`Self::log`] as the settings of a log want it; false if they want no record of this one.
    fn log_as(&self, index: usize, part: usize, settings: &LogSettings, out: &mut Vec<u8>) -> bool {
        let _ = (part, settings);
        self.log(index, out);
        true
    }
    /// EVE objects of the protocol for transaction `index`, as key and JSON value text (`"http":{…}`); appended to `out`.
    fn log(&self, index: usize, out: &mut Vec<u8>);
}

/// Name of a protocol in EVE records: HTTP/1 is plain `http`.
pub const fn eve_name(protocol: AppProtocol) -> &'static str {
    match protocol {
        AppProtocol::Http1 => "http",
        protocol => protocol.name(),
    }
}

/// Type of the records of a protocol's transactions.
pub const fn record_kind(protocol: AppProtocol) -> &'static str {
    match protocol {
        AppProtocol::FtpData => "ftp_data",
        AppProtocol::BittorrentDht => "bittorrent_dht",
        // The `http` object has the version.
        AppProtocol::Http2 => "http",
        protocol => eve_name(protocol),
    }
}

/// Settings of a log, by the dotted names that Suricata's configuration has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogSettings(pub std::collections::BTreeMap<String, String>);

impl LogSettings {
    /// A value.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A truth: `yes`, `true`, `on`, `1`, `enabled`.
    pub fn is(&self, name: &str, default: bool) -> bool {
        self.text(name).map_or(default, |v| matches!(v.to_ascii_lowercase().as_str(), "yes" | "true" | "on" | "1" | "enabled"))
    }

    /// The items of a list; none if there is no list.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        let prefix = format!("{name}.");
        let items: Vec<&str> = self
            .0
            .iter()
            .filter(|(key, _)| key.strip_prefix(&prefix).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit())))
            .map(|(_, value)| value.as_str())
            .collect();
        if !items.is_empty() {
            return Some(items);
        }
        let text = self.text(name)?.trim_matches(['[', ']']);
        Some(text.split(',').map(str::trim).filter(|t| !t.is_empty()).collect())
    }
}

/// A file as logs see it.
#[derive(Debug, Clone)]
pub struct FileView<'a> {
    /// Name.
    pub name: std::borrow::Cow<'a, [u8]>,
    /// Bytes seen.
    pub size: u64,
    /// Its end was seen.
    pub closed: bool,
    /// Nothing more of it will be kept, though its end was not seen.
    pub truncated: bool,
    /// Bytes are missing.
    pub gaps: bool,
    /// First and last byte, of a file that came in ranges.
    pub range: Option<(u64, u64)>,
    /// MD5, SHA-1, SHA-256 of the whole file.
    pub digests: [Option<&'a [u8]>; 3],
    /// What is kept of its content.
    pub content: &'a [u8],
}

/// What a content is, as `file.magic` says.
pub fn describe(content: &[u8]) -> &'static str {
    magic::describe(content)
}

/// Declared protocol change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// New protocol; none = detect again from the bytes that follow.
    pub protocol: Option<AppProtocol>,
}
