//! Frames of conversations: plainly, or with what networks and adversaries do to them.

use super::conversation::{Conversation, Transport, Turn};
use weir_packet::{protocols, tcp_flags};
use weir_synth::scenario_options::{Acks, Number};
use weir_synth::wire::{Encapsulation, Fragmentation, Order, Wrap, WrapKind, v4};
use weir_synth::{
    Capture, DataOptions, Flow, FlowOptions, PacketFields, Random, Scenario, SendOptions, SynthFrame, Way,
};

/// How a conversation is sent.
#[derive(Debug, Clone)]
pub struct Style {
    /// Bytes per segment; none: the flow's maximum.
    pub segment: Option<usize>,
    /// Order of segments.
    pub order: Order,
    /// Each segment so often.
    pub repeat: usize,
    /// Bytes of the last segment that are sent once more, and whether with other content.
    pub again: Option<(usize, bool)>,
    /// IP fragments.
    pub fragment: Option<Fragmentation>,
    /// Around the packets.
    pub encapsulation: Encapsulation,
    /// TCP timestamps.
    pub timestamps: bool,
    /// First sequence numbers.
    pub isn: [u32; 2],
    /// Acknowledgements.
    pub acks: Acks,
    /// Packets before each message that no receiver takes.
    pub chaff: Chaff,
    /// The second half first, then all of it with other bytes there: the first copy counts, or the last, by policy.
    pub hidden_overlap: bool,
    /// Nanoseconds between turns.
    pub pause: u64,
    /// 0: FIN, 1: RST, 2: nothing.
    pub end: u8,
    /// TTL.
    pub ttl: u8,
}

/// What no receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chaff {
    /// Nothing.
    None,
    /// Other bytes with a wrong checksum.
    Checksum,
    /// Other bytes that do not reach the receiver.
    Ttl,
    /// A reset out of the window.
    Reset,
    /// A FIN out of the window.
    Fin,
    /// Other bytes in front of the window.
    OldNumbers,
}

impl Default for Style {
    fn default() -> Self {
        Style {
            segment: None,
            order: Order::Forward,
            repeat: 1,
            again: None,
            fragment: None,
            encapsulation: Encapsulation::default(),
            timestamps: false,
            isn: [1000, 500_000],
            acks: Acks::Last,
            chaff: Chaff::None,
            hidden_overlap: false,
            pause: 0,
            end: 0,
            ttl: 64,
        }
    }
}

impl Style {
    /// At random: what every network does, and often none, sometimes several of the things that send a flow to the host
    /// whatever it says. The latter hide what the device's literals miss.
    pub fn random(random: &mut Random) -> Style {
        let mut style = Style { isn: [random.next() as u32, random.next() as u32], ..Style::default() };
        if random.one_in(8) {
            // The numbers wrap within the conversation.
            style.isn = [u32::MAX - random.below(300) as u32, u32::MAX - random.below(300) as u32];
        }
        if random.one_in(2) {
            style.segment = Some(random.pick(&[1, 2, 5, 8, 13, 31, 63, 64, 65, 100, 256, 536]));
        }
        match random.below(12) {
            0 => style.encapsulation.vlan = vec![10 + random.below(4000) as u16],
            1 => style.encapsulation.vlan = vec![10, 20],
            _ => {}
        }
        style.timestamps = random.one_in(3);
        style.acks = random.pick(&[Acks::Last, Acks::Last, Acks::Each, Acks::None]);
        style.pause = random.pick(&[0, 0, 0, 1_000_000, 50_000_000, 2_000_000_000]);
        style.end = random.pick(&[0, 0, 1, 2]);
        style.ttl = random.pick(&[64, 128, 255, 3]);
        for _ in 0..random.pick(&[0, 0, 0, 0, 1, 1, 2, 3]) {
            style.disturb(random);
        }
        style
    }

    /// One more thing that is odd.
    fn disturb(&mut self, random: &mut Random) {
        match random.below(9) {
            0 => self.order = Order::Reverse,
            1 => self.order = Order::Shuffled(random.next()),
            2 => self.repeat = 2,
            3 => self.again = Some((1 + random.below(40) as usize, random.one_in(2))),
            4 => {
                let order = random.below(3);
                let order = match order {
                    0 => Order::Forward,
                    1 => Order::Reverse,
                    _ => Order::Shuffled(random.next()),
                };
                let overlap = if random.one_in(4) { 8 } else { 0 };
                self.fragment = Some(Fragmentation { size: random.pick(&[8, 24, 64, 256, 1000]), order, overlap });
            }
            5 => match random.below(7) {
                0 => self.encapsulation.mpls = vec![100 + random.below(1000) as u32],
                1 => self.encapsulation.pppoe = true,
                _ => {
                    let kinds = [WrapKind::Vxlan, WrapKind::Geneve, WrapKind::Gre, WrapKind::Ipip, WrapKind::Erspan];
                    let kind = random.pick(&kinds);
                    let outer =
                        weir_synth::wire::Addresses { source: v4(10, 200, 0, 1), destination: v4(10, 200, 0, 2) };
                    self.encapsulation.wraps.push(Wrap { kind, outer, number: 77 });
                }
            },
            6 | 7 => {
                let kinds = [Chaff::Checksum, Chaff::Ttl, Chaff::Reset, Chaff::Fin, Chaff::OldNumbers];
                self.chaff = random.pick(&kinds);
            }
            _ => self.hidden_overlap = true,
        }
    }

    fn options(&self, conversation: &Conversation) -> FlowOptions {
        let longest = conversation.turns.iter().filter(|t| t.whole).map(|t| t.bytes.len()).max().unwrap_or(0);
        FlowOptions {
            encapsulation: self.encapsulation.clone(),
            ttl: conversation.ttl.unwrap_or(self.ttl),
            mss: longest.clamp(1400, 60_000) as u16,
            isn: self.isn,
            timestamps: self.timestamps,
            acks: self.acks,
            ..FlowOptions::default()
        }
    }

    fn send(&self, whole: bool, flow_is_tcp: bool) -> DataOptions {
        let fragment = self.fragment.clone().filter(|_| !flow_is_tcp || !whole);
        let send = SendOptions { fragment, wait: self.pause, ..SendOptions::default() };
        if whole || !flow_is_tcp {
            return DataOptions { repeat: 1, send, ..DataOptions::default() };
        }
        DataOptions {
            segment: self.segment,
            order: self.order.clone(),
            repeat: self.repeat,
            send,
            ..DataOptions::default()
        }
    }
}

/// Packets that one message may become: one byte a segment is for short ones.
const SEGMENTS_MAX: usize = 160;

fn say(scenario: &mut Scenario, flow: Flow, turn: &Turn, style: &Style) {
    let tcp = scenario.is_tcp(flow);
    if let Some(flags) = turn.flags.filter(|_| tcp) {
        let fields = PacketFields { flags: Some(flags), ..PacketFields::default() };
        scenario.packet(flow, turn.way, &turn.bytes, &fields, &SendOptions::default());
        return;
    }
    if !tcp && turn.bytes.len() > 65_000 {
        return;
    }
    let mut how = style.send(turn.whole, tcp);
    if let Some(size) = how.segment {
        how.segment = Some(size.max(turn.bytes.len() / SEGMENTS_MAX + 1));
    }
    let odd = tcp && !turn.whole && turn.bytes.len() > 1;
    if odd {
        // In the place of what comes, or far from it.
        let junk = vec![b'#'; turn.bytes.len().min(600)];
        let far = Some(Number::Relative(-900_000_000));
        let (flags, sequence, bytes) = match style.chaff {
            Chaff::None | Chaff::Checksum | Chaff::Ttl => (None, None, &junk[..]),
            Chaff::Reset => (Some(tcp_flags::RST), far, &[][..]),
            Chaff::Fin => (Some(tcp_flags::FIN | tcp_flags::ACK), far, &[][..]),
            Chaff::OldNumbers => (None, far, &junk[..]),
        };
        let send = SendOptions {
            bad_checksum: style.chaff == Chaff::Checksum,
            ttl: (style.chaff == Chaff::Ttl).then_some(1),
            ..SendOptions::default()
        };
        if style.chaff != Chaff::None {
            let fields = PacketFields { flags, sequence, ..PacketFields::default() };
            scenario.packet(flow, turn.way, bytes, &fields, &send);
        }
    }
    let half = turn.bytes.len() / 2;
    if odd && style.hidden_overlap && half > 0 && turn.bytes.len() < 2800 {
        let (first, second) = turn.bytes.split_at(half);
        let none = DataOptions { acks: Some(Acks::None), ..DataOptions::default() };
        let other: Vec<u8> = second.iter().map(|b| b ^ 0x11).collect();
        scenario.send(flow, turn.way, second, &DataOptions { offset: half as i64, ..none.clone() });
        scenario.send(
            flow,
            turn.way,
            &[first, &other].concat(),
            &DataOptions { offset: -(turn.bytes.len() as i64), ..none },
        );
        scenario.control(
            flow,
            if turn.way == Way::ToServer { Way::ToClient } else { Way::ToServer },
            tcp_flags::ACK,
            &SendOptions::default(),
        );
        return;
    }
    scenario.send(flow, turn.way, &turn.bytes, &how);
    if let Some((length, other)) = style.again.filter(|_| odd) {
        let length = length.min(turn.bytes.len()).min(1400);
        let mut tail = turn.bytes[turn.bytes.len() - length..].to_vec();
        if other {
            tail.iter_mut().for_each(|b| *b ^= 0x15);
        }
        scenario.send(flow, turn.way, &tail, &DataOptions { offset: -(length as i64), ..DataOptions::default() });
    }
}

/// Frames of a conversation from this time on, nanoseconds.
pub fn frames(conversation: &Conversation, style: &Style, time: u64, step: u64) -> Vec<SynthFrame> {
    let mut scenario = Scenario::new();
    scenario.set_time(time);
    scenario.set_step(step);
    let options = style.options(conversation);
    let (client, server) = (conversation.client, conversation.server);
    let empty = conversation.transport != Transport::Tcp;
    for n in 0..conversation.times {
        // Repeated: from the next port.
        let port = if n == 0 { client.1 } else { 1024 + client.1.wrapping_add(n as u16).wrapping_sub(1024) % 60_000 };
        let client = (client.0, port);
        let flow = match conversation.transport {
            Transport::Tcp => scenario.tcp(client, server, options.clone()),
            Transport::Udp => scenario.udp(client, server, options.clone()),
            Transport::Icmp(..) => scenario.icmp(client.0, server.0, options.clone()),
            Transport::Ip(protocol) => scenario.ip(client.0, server.0, protocol, options.clone()),
        };
        if !empty {
            scenario.handshake(flow);
        }
        for turn in &conversation.turns {
            match conversation.transport {
                Transport::Icmp(kind, code, rest) => {
                    let send = style.send(true, false).send;
                    scenario.icmp_message(flow, turn.way, (kind, code), rest, &turn.bytes, &send);
                }
                Transport::Ip(protocols::ICMP) => {}
                _ => say(&mut scenario, flow, turn, style),
            }
        }
        if conversation.transport == Transport::Tcp {
            match style.end {
                0 => scenario.close(flow),
                1 => scenario.reset(flow, Way::ToClient, &SendOptions::default()),
                _ => {}
            }
        }
    }
    scenario.finish().frames
}

/// One capture of frames of many conversations; in the order of time.
pub fn capture(mut frames: Vec<SynthFrame>) -> Capture {
    frames.sort_by_key(|frame| frame.time);
    Capture { frames, ..Capture::default() }
}
