//! Packets and flows as records and contexts describe them.

use crate::flow_data::FlowData;
use weir_app_layer::{AppLayerFlow, Direction};
use weir_contract::protocol::Detection;
use weir_detect::FlowFacts;
use weir_flow::Flow;
use weir_output::community::flow_id;
use weir_output::{Endpoints, PacketFacts};
use weir_packet::{Packet, Time, Transport};

/// What detection of the protocol says now.
pub(crate) fn say_protocol(facts: &mut FlowFacts, app: &AppLayerFlow) {
    let protocol = match app.protocol() {
        Some(protocol) => Detection::Known(protocol),
        None if app.undecided() => Detection::Unknown,
        None => Detection::Failed,
    };
    facts.protocol = protocol;
    facts.original_protocol = app.original_protocol().map_or(Detection::Unknown, Detection::Known);
    facts.protocol_by_side = app.detection_by_side();
}

/// Direction index to the parsers' name for it.
pub(crate) fn side(direction: usize) -> Direction {
    if direction == 0 { Direction::ToServer } else { Direction::ToClient }
}

/// Unique number of a flow: a frame begins at most one at each depth of tunnels.
pub(crate) fn flow_number(flow: &Flow<FlowData>) -> u64 {
    flow.first_frame << 8 | u64::from(flow.key.depth)
}

/// What a flow's number in records is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlowName {
    ends: Endpoints,
    first_frame: u64,
    first_time: u64,
}

impl FlowName {
    pub(crate) fn of(flow: &Flow<FlowData>) -> FlowName {
        FlowName { ends: flow_ends(flow), first_frame: flow.first_frame, first_time: flow.first_time }
    }

    pub(crate) fn id(&self) -> u64 {
        flow_id(self.ends, self.first_frame, self.first_time)
    }
}

/// Facts of a flow, for records.
pub(crate) fn flow_facts(flow: &Flow<FlowData>) -> weir_output::FlowFacts {
    let ends = flow_ends(flow);
    weir_output::FlowFacts {
        id: flow_id(ends, flow.first_frame, flow.first_time),
        parent: flow.data.app.announced_by(),
        first_frame: flow.first_frame,
        ends,
        start: flow.first_time,
        last: flow.last_time,
        packets: flow.packets,
        bytes: flow.bytes,
    }
}

pub(crate) fn flow_ends(flow: &Flow<FlowData>) -> Endpoints {
    let k = &flow.key;
    let ends = Endpoints {
        source: k.address_a,
        source_port: k.port_a,
        destination: k.address_b,
        destination_port: k.port_b,
        protocol: k.protocol,
    };
    // The key of ICMP holds identifiers where ports are.
    let ends =
        if matches!(k.protocol, 1 | 58) { Endpoints { source_port: 0, destination_port: 0, ..ends } } else { ends };
    if flow.initiator_is_a { ends } else { ends.exchanged() }
}

/// LINKTYPE_RAW: a packet that begins with its IP header.
const RAW: u32 = 12;

pub(crate) fn packet_facts<'p>(packet: &'p Packet<'_>, exchanged: bool) -> PacketFacts<'p> {
    let ends = packet.ip.as_ref().map(|ip| {
        let ends = Endpoints {
            source: ip.source,
            source_port: packet.source_port,
            destination: ip.destination,
            destination_port: packet.destination_port,
            protocol: ip.protocol,
        };
        if exchanged { ends.exchanged() } else { ends }
    });
    PacketFacts {
        frame: packet.number,
        time: packet.time.0,
        ends,
        icmp: match packet.transport {
            Transport::Icmpv4(icmp) | Transport::Icmpv6(icmp) => Some((icmp.kind, icmp.code)),
            _ => None,
        },
        vlan: &packet.vlan[..usize::from(packet.vlan_layers).min(3)],
        tunnel_depth: packet.tunnel_depth,
        reassembled: packet.ip.as_ref().is_some_and(|ip| ip.reassembled),
        ether_type: packet.ether_type,
        data: packet.data,
        payload: packet.payload,
        tunnel: packet.tunnel.map(weir_packet::Tunnel::name),
        pseudo: false,
        link: RAW,
        ethernet: packet.ethernet,
    }
}

/// A packet without bytes that stands for the end of a flow.
pub(crate) fn end_packet_of(flow: &Flow<FlowData>, ends: Endpoints) -> Packet<'static> {
    Packet {
        number: flow.last_frame,
        time: Time(flow.last_time),
        tunnel_depth: flow.key.depth,
        tunnel: None,
        vlan: [flow.key.vlan[0], flow.key.vlan[1], 0],
        vlan_layers: flow.key.vlan.iter().take_while(|v| **v != 0).count() as u8,
        ethernet: flow.data.log.as_ref().and_then(|log| {
            let [client, server] = [0, 1].map(|d: usize| log.ethernet[d].first().copied());
            let to_server = ends == flow_ends(flow);
            if to_server { client.zip(server) } else { server.zip(client) }
        }),
        ether_type: 0,
        ip: Some(weir_packet::Ip {
            version: if ends.source.is_ipv4() { 4 } else { 6 },
            source: ends.source,
            destination: ends.destination,
            protocol: ends.protocol,
            ttl: 0,
            tos: 0,
            id: 0,
            fragment_flags: 0,
            fragment_offset: 0,
            is_fragment: false,
            reassembled: false,
            header: &[],
            options: &[],
        }),
        transport: Transport::None,
        source_port: ends.source_port,
        destination_port: ends.destination_port,
        payload: &[],
        data: &[],
        checksum_bad: false,
        carries_packet: false,
        layers: Default::default(),
        events: Default::default(),
    }
}
