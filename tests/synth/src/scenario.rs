//! Flows and their packets, as calls. Keeps sequence numbers, acknowledgements and the clock.

use std::net::IpAddr;

use weir_packet::tcp_flags::{ACK, FIN, PSH, RST, SYN};
use weir_packet::{link_types, protocols};

use crate::wire::{self, Addresses, Encapsulation, Fragmentation, IpFields, Order, TcpFields, Way};
use crate::{Capture, SynthFrame};

/// A flow of a [`Scenario`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flow(usize);

/// When the receiver of data acknowledges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Acks {
    /// Once, after all segments of a statement.
    #[default]
    Last,
    /// After each segment.
    Each,
    /// Not by packets of their own.
    None,
}

/// Settings of a flow.
#[derive(Debug, Clone)]
pub struct FlowOptions {
    /// What is around its packets.
    pub encapsulation: Encapsulation,
    /// TTL of its packets.
    pub ttl: u8,
    /// TOS of its packets.
    pub tos: u8,
    /// TCP: maximum segment size option of the SYNs; data is cut to it.
    pub mss: u16,
    /// TCP: initial sequence numbers of client and server.
    pub isn: [u32; 2],
    /// TCP: window field.
    pub window: u16,
    /// TCP: window scale option of the SYNs.
    pub window_scale: Option<u8>,
    /// TCP: timestamp option on every segment.
    pub timestamps: bool,
    /// TCP: acknowledgements.
    pub acks: Acks,
    /// ICMP: identifier of echoes.
    pub id: u16,
}

impl Default for FlowOptions {
    fn default() -> Self {
        FlowOptions {
            encapsulation: Encapsulation::default(),
            ttl: 64,
            tos: 0,
            mss: 1460,
            isn: [1000, 500_000],
            window: 64_240,
            window_scale: None,
            timestamps: false,
            acks: Acks::default(),
            id: 1,
        }
    }
}

/// How packets of a statement are sent.
#[derive(Debug, Clone, Default)]
pub struct SendOptions {
    /// Cut IP packets into fragments.
    pub fragment: Option<Fragmentation>,
    /// Wrong IPv4 header checksum.
    pub bad_ip_checksum: bool,
    /// Wrong transport checksum.
    pub bad_checksum: bool,
    /// Capture only this many bytes of each frame.
    pub truncate: Option<usize>,
    /// Another TTL.
    pub ttl: Option<u8>,
    /// Another TOS.
    pub tos: Option<u8>,
    /// Nanoseconds to wait before.
    pub wait: u64,
    /// IPv4 options.
    pub ip_options: Vec<u8>,
}

/// How TCP data is sent.
#[derive(Debug, Clone)]
pub struct DataOptions {
    /// Bytes per segment, if less than the flow's maximum.
    pub segment: Option<usize>,
    /// Order of the segments.
    pub order: Order,
    /// How often each segment is sent.
    pub repeat: usize,
    /// Segments (numbered from 1) that neither the capture nor the receiver gets.
    pub lose: Vec<usize>,
    /// Where the data starts relative to the next byte: negative repeats, positive leaves a gap.
    pub offset: i64,
    /// Instead of the flow's setting.
    pub acks: Option<Acks>,
    /// As for all packets.
    pub send: SendOptions,
}

impl Default for DataOptions {
    fn default() -> Self {
        DataOptions {
            segment: None,
            order: Order::Forward,
            repeat: 1,
            lose: Vec::new(),
            offset: 0,
            acks: None,
            send: SendOptions::default(),
        }
    }
}

/// A number of a TCP header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Number {
    /// As it is.
    Absolute(u32),
    /// From what it would be.
    Relative(i64),
}

/// Header fields of a single TCP packet that differ from what the session would send.
#[derive(Debug, Clone, Default)]
pub struct PacketFields {
    /// Flags.
    pub flags: Option<u8>,
    /// Sequence number.
    pub sequence: Option<Number>,
    /// Acknowledgement number.
    pub acknowledgement: Option<Number>,
    /// Window.
    pub window: Option<u16>,
    /// Urgent pointer.
    pub urgent: u16,
    /// Options, instead of the session's.
    pub options: Option<Vec<u8>>,
}

enum Kind {
    Tcp(Session),
    Udp,
    Icmp { sequence: u16 },
    Ip(u8),
}

/// Positions count from the SYN (0), so that the first byte of data is at 1.
#[derive(Default, Clone)]
struct Session {
    /// Next position by direction.
    next: [u64; 2],
    /// What the other side got: disjoint ranges, sorted.
    received: [Vec<(u64, u64)>; 2],
    /// Last timestamp seen from the other side.
    echo: [u32; 2],
}

impl Session {
    fn receive(&mut self, d: usize, start: u64, end: u64) {
        let ranges = &mut self.received[d];
        ranges.push((start, end));
        ranges.sort_unstable();
        let mut merged: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for &(start, end) in ranges.iter() {
            match merged.last_mut() {
                Some(last) if last.1 >= start => last.1 = last.1.max(end),
                _ => merged.push((start, end)),
            }
        }
        *ranges = merged;
    }

    /// Position up to which the receiver of direction `d` has everything.
    fn contiguous(&self, d: usize) -> Option<u64> {
        self.received[d].first().filter(|range| range.0 == 0).map(|range| range.1)
    }
}

struct FlowState {
    client: (IpAddr, u16),
    server: (IpAddr, u16),
    options: FlowOptions,
    kind: Kind,
}

/// A capture in the making.
pub struct Scenario {
    link: u16,
    now: u64,
    step: u64,
    ip_id: u32,
    flows: Vec<FlowState>,
    frames: Vec<SynthFrame>,
}

impl Default for Scenario {
    fn default() -> Self {
        Self::new()
    }
}

impl Scenario {
    /// An empty Ethernet capture that starts at 1 700 000 000 s, with a millisecond between packets.
    pub fn new() -> Self {
        Scenario {
            link: link_types::ETHERNET,
            now: 1_700_000_000_000_000_000,
            step: 1_000_000,
            ip_id: 1,
            flows: Vec::new(),
            frames: Vec::new(),
        }
    }

    /// Link type of all frames: Ethernet, raw IP or null; others for frames that are given as bytes.
    pub fn set_link(&mut self, link: u16) {
        self.link = link;
    }

    /// Time of the next packet, nanoseconds.
    pub fn set_time(&mut self, time: u64) {
        self.now = time;
    }

    /// Time between packets, nanoseconds.
    pub fn set_step(&mut self, step: u64) {
        self.step = step;
    }

    /// Let time pass.
    pub fn wait(&mut self, nanoseconds: u64) {
        self.now = self.now.saturating_add(nanoseconds);
    }

    /// Time of the next packet.
    pub fn now(&self) -> u64 {
        self.now
    }

    fn add(&mut self, client: (IpAddr, u16), server: (IpAddr, u16), options: FlowOptions, kind: Kind) -> Flow {
        self.flows.push(FlowState { client, server, options, kind });
        Flow(self.flows.len() - 1)
    }

    /// A TCP flow; nothing is sent yet.
    pub fn tcp(&mut self, client: (IpAddr, u16), server: (IpAddr, u16), options: FlowOptions) -> Flow {
        // Flows of which the handshake is left out start behind it.
        let session = Session { next: [1, 1], received: [vec![(0, 1)], vec![(0, 1)]], echo: [0; 2] };
        self.add(client, server, options, Kind::Tcp(session))
    }

    /// A UDP flow.
    pub fn udp(&mut self, client: (IpAddr, u16), server: (IpAddr, u16), options: FlowOptions) -> Flow {
        self.add(client, server, options, Kind::Udp)
    }

    /// An ICMP (or ICMPv6) flow of echoes.
    pub fn icmp(&mut self, client: IpAddr, server: IpAddr, options: FlowOptions) -> Flow {
        self.add((client, 0), (server, 0), options, Kind::Icmp { sequence: 0 })
    }

    /// Packets of another IP protocol.
    pub fn ip(&mut self, client: IpAddr, server: IpAddr, protocol: u8, options: FlowOptions) -> Flow {
        self.add((client, 0), (server, 0), options, Kind::Ip(protocol))
    }

    /// Is it a TCP flow?
    pub fn is_tcp(&self, flow: Flow) -> bool {
        matches!(self.flows[flow.0].kind, Kind::Tcp(_))
    }

    /// SYN, SYN+ACK, ACK.
    pub fn handshake(&mut self, flow: Flow) {
        self.syn(flow, Way::ToServer, SYN, &SendOptions::default());
        self.syn(flow, Way::ToClient, SYN | ACK, &SendOptions::default());
        self.control(flow, Way::ToServer, ACK, &SendOptions::default());
    }

    /// A SYN with the session's initial sequence number.
    pub fn syn(&mut self, flow: Flow, way: Way, flags: u8, send: &SendOptions) {
        let options = {
            let state = &self.flows[flow.0];
            let mss = state.options.mss.to_be_bytes();
            let mut options = vec![2, 4, mss[0], mss[1]];
            if let Some(scale) = state.options.window_scale {
                options.extend([1, 3, 3, scale]);
            }
            options.extend(self.timestamp_option(flow, way, true));
            options
        };
        let fields = PacketFields {
            flags: Some(flags),
            sequence: Some(Number::Absolute(self.flows[flow.0].options.isn[index(way)])),
            options: Some(options),
            ..PacketFields::default()
        };
        self.packet(flow, way, &[], &fields, send);
    }

    /// A segment without payload. A FIN moves the sequence.
    pub fn control(&mut self, flow: Flow, way: Way, flags: u8, send: &SendOptions) {
        let fields = PacketFields { flags: Some(flags), ..PacketFields::default() };
        self.packet(flow, way, &[], &fields, send);
        if flags & FIN != 0
            && let Kind::Tcp(session) = &mut self.flows[flow.0].kind
        {
            let d = index(way);
            let at = session.next[d];
            session.next[d] += 1;
            session.receive(d, at, at + 1);
        }
    }

    /// FIN of the client, its acknowledgement, FIN of the server, its acknowledgement.
    pub fn close(&mut self, flow: Flow) {
        let send = SendOptions::default();
        self.control(flow, Way::ToServer, FIN | ACK, &send);
        self.control(flow, Way::ToClient, ACK, &send);
        self.control(flow, Way::ToClient, FIN | ACK, &send);
        self.control(flow, Way::ToServer, ACK, &send);
    }

    /// A reset.
    pub fn reset(&mut self, flow: Flow, way: Way, send: &SendOptions) {
        self.control(flow, way, RST | ACK, send);
    }

    /// A keep-alive: an empty segment one before the next byte.
    pub fn keep_alive(&mut self, flow: Flow, way: Way, send: &SendOptions) {
        let fields = PacketFields { flags: Some(ACK), sequence: Some(Number::Relative(-1)), ..PacketFields::default() };
        self.packet(flow, way, &[], &fields, send);
    }

    /// Send data: TCP segments, a UDP datagram, an ICMP echo, an IP packet.
    pub fn send(&mut self, flow: Flow, way: Way, payload: &[u8], options: &DataOptions) {
        self.wait(options.send.wait);
        match &mut self.flows[flow.0].kind {
            Kind::Tcp(_) => self.stream(flow, way, payload, options),
            Kind::Udp => {
                let (addresses, ports) = self.ends(flow, way);
                let segment = wire::udp(addresses, ports.0, ports.1, options.send.bad_checksum, payload);
                self.emit(flow, way, protocols::UDP, &segment, &options.send);
            }
            Kind::Icmp { sequence } => {
                if way == Way::ToServer {
                    *sequence = sequence.wrapping_add(1);
                }
                let sequence = *sequence;
                let id = self.flows[flow.0].options.id;
                let v4 = self.flows[flow.0].client.0.is_ipv4();
                let kind = match (v4, way) {
                    (true, Way::ToServer) => 8,
                    (true, Way::ToClient) => 0,
                    (false, Way::ToServer) => 128,
                    (false, Way::ToClient) => 129,
                };
                self.icmp_message(
                    flow,
                    way,
                    (kind, 0),
                    u32::from(id) << 16 | u32::from(sequence),
                    payload,
                    &options.send,
                );
            }
            Kind::Ip(protocol) => {
                let protocol = *protocol;
                self.emit(flow, way, protocol, payload, &options.send);
            }
        }
    }

    /// An ICMP message of any type and code; `rest` are the four bytes behind the checksum.
    pub fn icmp_message(
        &mut self,
        flow: Flow,
        way: Way,
        (kind, code): (u8, u8),
        rest: u32,
        payload: &[u8],
        send: &SendOptions,
    ) {
        let (addresses, _) = self.ends(flow, way);
        let message = wire::icmp(addresses, kind, code, rest, send.bad_checksum, payload);
        let protocol = if addresses.source.is_ipv4() { protocols::ICMP } else { protocols::ICMPV6 };
        self.emit(flow, way, protocol, &message, send);
    }

    /// TCP data, cut, ordered, lost, repeated and acknowledged as the options say.
    fn stream(&mut self, flow: Flow, way: Way, payload: &[u8], options: &DataOptions) {
        let d = index(way);
        let state = &self.flows[flow.0];
        let Kind::Tcp(session) = &state.kind else { return };
        let base = session.next[d] as i64;
        let start = base + options.offset;
        let maximum = usize::from(state.options.mss).max(1);
        let size = options.segment.unwrap_or(maximum).clamp(1, maximum);
        let acks = options.acks.unwrap_or(state.options.acks);
        let count = payload.chunks(size).len();
        let mut pieces: Vec<(usize, &[u8])> = payload.chunks(size).enumerate().collect();
        options.order.apply(&mut pieces);
        // The sender's position moves before its segments go out; retransmissions leave it where it is.
        let end = (start + payload.len() as i64).max(base).max(0) as u64;
        let mut sent = 0;
        for (number, piece) in pieces {
            let at = start + (number * size) as i64;
            if options.lose.contains(&(number + 1)) {
                continue;
            }
            let flags = if number + 1 == count { ACK | PSH } else { ACK };
            for _ in 0..options.repeat.max(1) {
                let fields = PacketFields {
                    flags: Some(flags),
                    sequence: Some(Number::Relative(at - base)),
                    ..PacketFields::default()
                };
                self.packet(flow, way, piece, &fields, &SendOptions { wait: 0, ..options.send.clone() });
                sent += 1;
            }
            // What a receiver drops for its checksum it does not acknowledge.
            let taken = !options.send.bad_checksum && !options.send.bad_ip_checksum;
            if let Kind::Tcp(session) = &mut self.flows[flow.0].kind
                && at >= 0
                && taken
            {
                session.receive(d, at as u64, at as u64 + piece.len() as u64);
            }
            if acks == Acks::Each {
                self.control(flow, reverse(way), ACK, &SendOptions::default());
            }
        }
        if let Kind::Tcp(session) = &mut self.flows[flow.0].kind {
            session.next[d] = end;
        }
        if acks == Acks::Last && sent > 0 {
            self.control(flow, reverse(way), ACK, &SendOptions::default());
        }
    }

    /// One TCP packet with any header; changes no state of the session.
    pub fn packet(&mut self, flow: Flow, way: Way, payload: &[u8], fields: &PacketFields, send: &SendOptions) {
        self.wait(send.wait);
        let (addresses, ports) = self.ends(flow, way);
        let d = index(way);
        let default_options = self.timestamp_option(flow, way, false);
        let state = &self.flows[flow.0];
        let Kind::Tcp(session) = &state.kind else { return };
        let number = |isn: u32, position: u64, wanted: Option<Number>| match wanted {
            Some(Number::Absolute(number)) => number,
            Some(Number::Relative(by)) => isn.wrapping_add((position as i64).wrapping_add(by) as u32),
            None => isn.wrapping_add(position as u32),
        };
        let flags = fields.flags.unwrap_or(ACK | PSH);
        let acknowledgement = if flags & ACK != 0 || fields.acknowledgement.is_some() {
            let received = session.contiguous(1 - d).unwrap_or(0);
            // A SYN+ACK acknowledges the SYN alone.
            let received = if flags & SYN != 0 { 1 } else { received };
            number(state.options.isn[1 - d], received, fields.acknowledgement)
        } else {
            0
        };
        let tcp = TcpFields {
            source: ports.0,
            destination: ports.1,
            sequence: number(state.options.isn[d], session.next[d], fields.sequence),
            acknowledgement,
            flags,
            window: fields.window.unwrap_or(state.options.window),
            urgent: fields.urgent,
            options: fields.options.clone().unwrap_or(default_options),
            bad_checksum: send.bad_checksum,
        };
        let segment = wire::tcp(addresses, &tcp, payload);
        self.emit(flow, way, protocols::TCP, &segment, send);
    }

    fn timestamp_option(&mut self, flow: Flow, way: Way, syn: bool) -> Vec<u8> {
        let now = (self.now / 1_000_000) as u32;
        let state = &mut self.flows[flow.0];
        let Kind::Tcp(session) = &mut state.kind else { return Vec::new() };
        if !state.options.timestamps {
            return Vec::new();
        }
        let d = index(way);
        let echo = if syn && way == Way::ToServer { 0 } else { session.echo[d] };
        session.echo[1 - d] = now;
        let mut option = vec![1, 1, 8, 10];
        option.extend(now.to_be_bytes());
        option.extend(echo.to_be_bytes());
        option
    }

    fn ends(&self, flow: Flow, way: Way) -> (Addresses, (u16, u16)) {
        let state = &self.flows[flow.0];
        let (from, to) = match way {
            Way::ToServer => (state.client, state.server),
            Way::ToClient => (state.server, state.client),
        };
        (Addresses { source: from.0, destination: to.0 }, (from.1, to.1))
    }

    fn emit(&mut self, flow: Flow, way: Way, protocol: u8, payload: &[u8], send: &SendOptions) {
        let (addresses, _) = self.ends(flow, way);
        let state = &self.flows[flow.0];
        let encapsulation = state.options.encapsulation.clone();
        let mut fields = IpFields {
            ttl: send.ttl.unwrap_or(state.options.ttl),
            tos: send.tos.unwrap_or(state.options.tos),
            id: self.ip_id,
            bad_checksum: send.bad_ip_checksum,
            options: send.ip_options.clone(),
            ..IpFields::default()
        };
        self.ip_id = self.ip_id % 65_535 + 1;
        let pieces = match &send.fragment {
            Some(how) => wire::fragments(payload, how),
            None => vec![(0, false, payload)],
        };
        for (offset, more, piece) in pieces {
            (fields.offset, fields.more) = (offset, more);
            let packet = wire::ip(addresses, protocol, &fields, piece);
            let frame = wire::link(self.link, addresses, way, &encapsulation, packet);
            self.frame(frame, send.truncate);
        }
    }

    /// A frame as it is; `truncate` limits the captured bytes.
    pub fn frame(&mut self, mut bytes: Vec<u8>, truncate: Option<usize>) {
        let wire_length = bytes.len() as u32;
        bytes.truncate(truncate.unwrap_or(usize::MAX));
        self.frames.push(SynthFrame { time: self.now, bytes, wire_length });
        self.now = self.now.saturating_add(self.step);
    }

    /// The capture.
    pub fn finish(self) -> Capture {
        Capture { link: self.link, frames: self.frames }
    }
}

fn index(way: Way) -> usize {
    match way {
        Way::ToServer => 0,
        Way::ToClient => 1,
    }
}

fn reverse(way: Way) -> Way {
    match way {
        Way::ToServer => Way::ToClient,
        Way::ToClient => Way::ToServer,
    }
}
