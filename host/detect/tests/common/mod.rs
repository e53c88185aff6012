//! A test bed: rules as text, packets and streams by hand, a protocol state with given buffers.
#![allow(dead_code)]

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use weir_app_layer::{BufferState, BufferView, COMPLETE, Direction, Input, ProtocolState, Transaction};
use weir_contract::protocol::{AppProtocol, Detection};
use weir_detect::{
    CompileOptions, ConfigEntry, Context, Delivery, FlowDetect, FlowFacts, Inspector, Match, Program, SharedState,
};
use weir_ir::Buffer;
use weir_packet::{DecoderEvents, Icmp, Ip, Packet, Tcp, Time, Transport};
use weir_reassembly::StreamEvents;
use weir_rules::{LoadOptions, RuleSource, Support, VariableTable};

#[allow(unused_imports)] // not by every test
pub use Direction::{ToClient, ToServer};

/// Compile rule text; every rule must be accepted.
pub fn program(rules: &str) -> Arc<Program> {
    program_with(rules, CompileOptions::default())
}

pub fn program_with(rules: &str, options: CompileOptions) -> Arc<Program> {
    let sources = [RuleSource::from_text("test.rules", rules)];
    let load = LoadOptions { support: Support::everything(), ..LoadOptions::default() };
    let set = weir_rules::load(&sources, &VariableTable::any(), &load);
    assert!(set.rejected.is_empty(), "{:?}", set.rejected);
    let (program, errors) = Program::compile(set.rules, options);
    assert!(errors.is_empty(), "{errors:?}");
    Arc::new(program)
}

pub fn thresholds(entries: Vec<ConfigEntry>) -> CompileOptions {
    CompileOptions { thresholds: entries, ..CompileOptions::default() }
}

pub const CLIENT: (&str, u16) = ("10.0.0.1", 40_000);
pub const SERVER: (&str, u16) = ("10.0.0.2", 80);

/// A worker and one flow.
pub struct Bed {
    pub inspector: Inspector,
    pub shared: SharedState,
    pub flow: FlowDetect,
    pub protocol: Detection,
    pub established: bool,
    pub inspect_payload: bool,
    pub client: (IpAddr, u16),
    pub server: (IpAddr, u16),
    pub frame: u64,
    pub seconds: u64,
    pub tcp_flags: u8,
    pub events: DecoderEvents,
    pub stream_events: StreamEvents,
    pub matches: Vec<Match>,
    streams: [Vec<u8>; 2],
}

impl Bed {
    pub fn new(rules: &str) -> Bed {
        Bed::of(program(rules))
    }

    pub fn of(program: Arc<Program>) -> Bed {
        Bed {
            inspector: Inspector::new(program).unwrap(),
            shared: SharedState::default(),
            flow: FlowDetect::default(),
            protocol: Detection::Unknown,
            established: true,
            inspect_payload: true,
            client: (CLIENT.0.parse().unwrap(), CLIENT.1),
            server: (SERVER.0.parse().unwrap(), SERVER.1),
            frame: 0,
            seconds: 1_000,
            tcp_flags: 0x18,
            events: DecoderEvents::default(),
            stream_events: StreamEvents::default(),
            matches: vec![],
            streams: Default::default(),
        }
    }

    pub fn http(rules: &str) -> Bed {
        let mut bed = Bed::new(rules);
        bed.protocol = Detection::Known(AppProtocol::Http1);
        bed
    }

    /// A fresh flow, same worker.
    pub fn new_flow(&mut self) {
        self.flow = FlowDetect::default();
        self.streams = Default::default();
    }

    fn facts(&self, direction: Direction) -> FlowFacts {
        FlowFacts {
            id: 1,
            direction,
            established: self.established,
            protocol: self.protocol,
            original_protocol: weir_contract::protocol::Detection::Unknown,
            protocol_by_side: [self.protocol; 2],
            inspect_payload: self.inspect_payload,
            start: Time(0),
            packets: [self.frame, 0],
            bytes: [0; 2],
            stream_bytes: [self.streams[0].len() as u64, self.streams[1].len() as u64],
        }
    }

    fn run(
        &mut self,
        direction: Direction,
        payload: &[u8],
        transport: Transport<'_>,
        inspect: impl FnOnce(&mut Inspector, &Context<'_>, &mut FlowDetect, &mut SharedState),
    ) -> Vec<u32> {
        self.frame += 1;
        let (from, to) =
            if direction == ToServer { (self.client, self.server) } else { (self.server, self.client) };
        let packet = packet_of(self.frame, self.seconds, from, to, transport, payload, self.events);
        let context = Context {
            in_stream: false,
            packet: &packet,
            flow: Some(self.facts(direction)),
            stream_events: self.stream_events,
            packet_events: &[],
        };
        inspect(&mut self.inspector, &context, &mut self.flow, &mut self.shared);
        self.matches.clear();
        self.inspector.finish(&context, Some(&mut self.flow), &mut self.shared, &mut self.matches);
        let program = self.inspector.program().clone();
        let alerts = self.matches.iter().filter(|m| m.alert);
        alerts.map(|m| program.source(m.rule).unwrap().identity.sid).collect()
    }

    fn tcp(&self) -> Transport<'static> {
        Transport::Tcp(Tcp {
            sequence: 1,
            acknowledgement: 1,
            flags: self.tcp_flags,
            window: 1000,
            urgent: 0,
            header: &[0; 20],
            mss: None,
            window_scale: None,
            timestamp: None,
            sack_permitted: false,
        })
    }

    /// A TCP segment as packet alone.
    pub fn segment(&mut self, direction: Direction, payload: &[u8]) -> Vec<u32> {
        let transport = self.tcp();
        self.run(direction, payload, transport, |i, c, f, s| i.packet(c, Some(f), s))
    }

    /// A datagram.
    pub fn datagram(&mut self, direction: Direction, payload: &[u8]) -> Vec<u32> {
        self.run(direction, payload, Transport::Udp(&[0; 8]), |i, c, f, s| i.packet(c, Some(f), s))
    }

    pub fn icmp(&mut self, direction: Direction, kind: u8, code: u8) -> Vec<u32> {
        let icmp = Icmp { kind, code, id: Some(7), sequence: Some(1), header: &[0; 8] };
        self.run(direction, b"", Transport::Icmpv4(icmp), |i, c, f, s| i.packet(c, Some(f), s))
    }

    /// An in-order segment: delivery of the stream, and packet.
    pub fn deliver(&mut self, direction: Direction, bytes: &[u8]) -> Vec<u32> {
        self.delivery(direction, bytes, true)
    }

    /// Bytes that become contiguous without being the packet's own.
    pub fn delivery(&mut self, direction: Direction, bytes: &[u8], packet_too: bool) -> Vec<u32> {
        let stream = &mut self.streams[direction as usize];
        let old = stream.len();
        stream.extend_from_slice(bytes);
        let from = old.saturating_sub(2560);
        let window = stream[from..].to_vec();
        let delivery = Delivery { direction, window: &window, offset: from as u64, new_from: old - from };
        let transport = self.tcp();
        self.run(direction, bytes, transport, |i, c, f, s| {
            i.stream(c, f, &delivery, s);
            if packet_too {
                i.packet(&Context { in_stream: true, ..*c }, Some(f), s);
            }
        })
    }

    /// A rule waits for more of this direction's stream, whose last `kept` bytes are left.
    pub fn waits(&mut self, direction: Direction, kept: usize) -> bool {
        let stream = &self.streams[direction as usize];
        let from = stream.len().saturating_sub(kept);
        self.inspector.waits(&self.flow, direction, (&stream[from..], from as u64))
    }

    /// Inspect the transactions of `state` in `direction`.
    pub fn transactions(&mut self, direction: Direction, state: &mut MockState) -> Vec<u32> {
        self.transactions_of(direction, b"", state)
    }

    /// Transactions that changed by a packet with this payload.
    pub fn transactions_of(&mut self, direction: Direction, payload: &[u8], state: &mut MockState) -> Vec<u32> {
        self.protocol = Detection::Known(state.protocol);
        let transport = self.tcp();
        let found = self.run(direction, payload, transport, |i, c, f, s| {
            i.transactions(c, f, direction, state, None, s);
        });
        for t in &mut state.transactions {
            t.changed = [false; 2];
        }
        found
    }

    /// A packet without flow.
    pub fn flowless(&mut self, transport: Transport<'_>, payload: &[u8], fragment: bool) -> Vec<u32> {
        self.frame += 1;
        let mut packet =
            packet_of(self.frame, self.seconds, self.client, self.server, transport, payload, self.events);
        if let Some(ip) = &mut packet.ip {
            ip.is_fragment = fragment;
        }
        let context = Context::of_packet(&packet);
        self.inspector.packet(&context, None, &mut self.shared);
        let mut out = vec![];
        self.inspector.finish(&context, None, &mut self.shared, &mut out);
        out.iter().map(|m| self.inspector.program().source(m.rule).unwrap().identity.sid).collect()
    }
}

pub fn packet_of<'a>(
    number: u64,
    seconds: u64,
    from: (IpAddr, u16),
    to: (IpAddr, u16),
    transport: Transport<'a>,
    payload: &'a [u8],
    events: DecoderEvents,
) -> Packet<'a> {
    let has_ports = matches!(transport, Transport::Tcp(_) | Transport::Udp(_));
    let protocol = match transport {
        Transport::Tcp(_) => 6,
        Transport::Udp(_) => 17,
        Transport::Icmpv4(_) => 1,
        _ => 47,
    };
    Packet {
        number,
        time: Time(seconds * 1_000_000_000),
        tunnel_depth: 0,
        tunnel: None,
        vlan: [0; 3],
        vlan_layers: 0,
        layers: Default::default(),
        ethernet: None,
        ether_type: 0x0800,
        ip: Some(Ip {
            version: 4,
            source: from.0,
            destination: to.0,
            protocol,
            ttl: 64,
            tos: 0,
            id: 1,
            fragment_flags: 0,
            fragment_offset: 0,
            is_fragment: false,
            reassembled: false,
            header: &[],
            options: &[],
        }),
        transport,
        source_port: if has_ports { from.1 } else { 0 },
        destination_port: if has_ports { to.1 } else { 0 },
        payload,
        data: payload,
        checksum_bad: false,
        carries_packet: false,
        events,
    }
}

/// Buffers by (transaction id, direction, buffer): instances, each with its completeness; `None` = not yet.
pub struct MockState {
    pub protocol: AppProtocol,
    pub transactions: Vec<Transaction>,
    pub buffers: HashMap<(u64, usize, Buffer), Vec<(Vec<u8>, bool)>>,
    /// Buffers that are not there yet.
    pub pending: Vec<(u64, usize, Buffer)>,
    pub numbers: HashMap<String, u64>,
}

impl MockState {
    pub fn new(protocol: AppProtocol) -> MockState {
        MockState {
            protocol,
            transactions: vec![],
            buffers: HashMap::new(),
            pending: vec![],
            numbers: HashMap::new(),
        }
    }

    pub fn begin(&mut self, id: u64) -> &mut Self {
        self.transactions.push(Transaction { id, progress: [0; 2], changed: [true; 2], events: vec![] });
        self
    }

    pub fn set(&mut self, id: u64, direction: Direction, name: &str, bytes: &[u8]) -> &mut Self {
        self.instances(id, direction, name, &[bytes])
    }

    pub fn instances(&mut self, id: u64, direction: Direction, name: &str, all: &[&[u8]]) -> &mut Self {
        let key = (id, direction as usize, Buffer::from_name(name).unwrap());
        self.pending.retain(|k| *k != key);
        self.buffers.insert(key, all.iter().map(|b| (b.to_vec(), true)).collect());
        self.touch(id, direction)
    }

    /// A buffer that still grows.
    pub fn grow(&mut self, id: u64, direction: Direction, name: &str, bytes: &[u8], complete: bool) -> &mut Self {
        let key = (id, direction as usize, Buffer::from_name(name).unwrap());
        self.buffers.insert(key, vec![(bytes.to_vec(), complete)]);
        self.touch(id, direction)
    }

    pub fn wait(&mut self, id: u64, direction: Direction, name: &str) -> &mut Self {
        self.pending.push((id, direction as usize, Buffer::from_name(name).unwrap()));
        self
    }

    pub fn touch(&mut self, id: u64, direction: Direction) -> &mut Self {
        for t in self.transactions.iter_mut().filter(|t| t.id == id) {
            t.changed[direction as usize] = true;
        }
        self
    }

    pub fn finish(&mut self, id: u64) {
        self.transactions.retain(|t| t.id != id);
    }

    pub fn done(&mut self, id: u64, direction: Direction) -> &mut Self {
        for t in self.transactions.iter_mut().filter(|t| t.id == id) {
            t.progress[direction as usize] = COMPLETE;
        }
        self.touch(id, direction)
    }
}

impl ProtocolState for MockState {
    fn protocol(&self) -> AppProtocol {
        self.protocol
    }
    fn feed(&mut self, _: Direction, _: Input<'_>, _: u64) {}
    fn transactions(&self) -> &[Transaction] {
        &self.transactions
    }
    fn buffer(&self, index: usize, direction: Direction, buffer: Buffer, instance: usize) -> BufferState<'_> {
        let Some(t) = self.transactions.get(index) else { return BufferState::Absent };
        let key = (t.id, direction as usize, buffer);
        if self.pending.contains(&key) {
            return BufferState::NotYet;
        }
        match self.buffers.get(&key).and_then(|list| list.get(instance)) {
            Some((bytes, complete)) => BufferState::Present(BufferView { bytes, complete: *complete }),
            None => BufferState::Absent,
        }
    }
    fn number(&self, _: usize, _: Direction, name: &str) -> Option<u64> {
        self.numbers.get(name).copied()
    }
    fn event_names(&self) -> &'static [&'static str] {
        &["missing_host_header", "invalid_request_chunk_len"]
    }
    fn mark_inspected(&mut self) {}
    fn is_open(&self, _: Direction) -> bool {
        !self.transactions.is_empty()
    }
    fn log(&self, _: usize, _: &mut Vec<u8>) {}}
