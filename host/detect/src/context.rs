//! What an inspection is told about packet and flow, and what it answers.

use crate::program::RuleIndex;
use crate::program::header::Tuple;
use std::net::IpAddr;
use weir_app_layer::Direction;
use weir_contract::protocol::{AppProtocol, Detection};
use weir_ir::Action;
use weir_packet::{Packet, Time};
use weir_reassembly::StreamEvents;

/// Facts about the packet's flow.
#[derive(Debug, Clone, Copy)]
pub struct FlowFacts {
    /// Unique number of the flow (thresholds by flow).
    pub id: u64,
    /// Direction of the packet.
    pub direction: Direction,
    /// `flow:established`
    pub established: bool,
    /// Protocol detection.
    pub protocol: Detection,
    /// What it said before a declared protocol change; unknown if there was none.
    pub original_protocol: Detection,
    /// What each direction's bytes alone say.
    pub protocol_by_side: [Detection; 2],
    /// The payload may be inspected (false once encrypted, or with a bad checksum).
    pub inspect_payload: bool,
    /// Time of the flow's first packet.
    pub start: Time,
    /// Packets by direction, this one included.
    pub packets: [u64; 2],
    /// Bytes by direction, this packet included.
    pub bytes: [u64; 2],
    /// Stream bytes by direction: next sequence number - initial sequence number.
    pub stream_bytes: [u64; 2],
}

impl FlowFacts {
    /// What is known of the packet's direction.
    pub fn own_protocol(&self) -> Detection {
        let [to_server, to_client] = self.protocol_by_side;
        match self.direction {
            Direction::ToServer => to_server,
            Direction::ToClient => to_client,
        }
    }

    /// The protocol, when it is known.
    pub fn application(&self) -> Option<AppProtocol> {
        match self.protocol {
            Detection::Known(protocol) => Some(protocol),
            _ => None,
        }
    }
}

/// One packet, and its flow if it has one.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The packet whose arrival causes the inspection.
    pub packet: &'a Packet<'a>,
    /// Its flow.
    pub flow: Option<FlowFacts>,
    /// The payload was delivered to the stream: rules that say nothing of a packet see it there.
    pub in_stream: bool,
    /// Stream events of this packet.
    pub stream_events: StreamEvents,
    /// Application-layer events of this packet that belong to no transaction (`applayer_…`).
    pub packet_events: &'a [&'static str],
}

impl<'a> Context<'a> {
    /// A packet without flow.
    pub fn of_packet(packet: &'a Packet<'a>) -> Context<'a> {
        Context { packet, flow: None, in_stream: false, stream_events: StreamEvents::default(), packet_events: &[] }
    }

    /// Addresses and ports as a packet of `direction` would have them.
    pub(crate) fn tuple(&self, direction: Option<Direction>) -> Tuple {
        let tuple = Tuple::of(self.packet);
        match (direction, self.flow) {
            (Some(wanted), Some(flow)) if wanted != flow.direction => tuple.exchanged(),
            _ => tuple,
        }
    }

    /// Source and destination address in `direction`.
    pub(crate) fn addresses(&self, direction: Option<Direction>) -> Option<(IpAddr, IpAddr)> {
        self.tuple(direction).addresses
    }
}

/// What a match does to the packet and its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing.
    None,
    /// The packet, or the whole flow, passes uninspected.
    Pass,
    /// Drop.
    Drop,
    /// Drop and answer.
    Reject(RejectTo),
}

/// Who is answered by `reject`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectTo {
    /// The packet's source.
    Source,
    /// Its destination.
    Destination,
    /// Both.
    Both,
}

impl Effect {
    /// Of an action.
    pub fn of(action: Action) -> Effect {
        match action {
            Action::Pass => Effect::Pass,
            Action::Drop => Effect::Drop,
            Action::Reject => Effect::Reject(RejectTo::Source),
            Action::RejectDestination => Effect::Reject(RejectTo::Destination),
            Action::RejectBoth => Effect::Reject(RejectTo::Both),
            Action::Alert | Action::Config | Action::Accept => Effect::None,
        }
    }
}

/// Unit of inspection in which a rule matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// The packet.
    Packet,
    /// A delivery of the stream.
    Stream,
    /// A transaction.
    Transaction(u64),
    /// A frame of the application protocol.
    Frame(u64),
}

/// A rule matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The rule: [`crate::Program::source`].
    pub rule: RuleIndex,
    /// Frame whose processing completed the match.
    pub frame: u64,
    /// Its time.
    pub time: Time,
    /// Tunnel depth of the packet.
    pub tunnel_depth: u8,
    /// Direction of the inspection; none without flow.
    pub direction: Option<Direction>,
    /// Unit.
    pub scope: Scope,
    /// An alert is due. False for matches that only act (`noalert`, thresholds that keep silent).
    pub alert: bool,
    /// What happens to the packet.
    pub effect: Effect,
    /// The effect is that of a rate filter.
    pub rated: bool,
    /// The effect holds for the whole flow, not only for the packet.
    pub whole_flow: bool,
    /// The rule asks for the packets that follow (`tag`).
    pub tag: Option<weir_ir::Tag>,
    /// What it does not have logged.
    pub unlogged: Option<weir_ir::Unlogged>,
    /// Nothing more of the flow is inspected.
    pub bypass: bool,
    /// It is a rule, or a default policy, of the firewall.
    pub firewall: bool,
    /// What it tells: [`crate::Inspector::notes`].
    pub notes: u32,
}

impl Match {
    /// Transaction of the match.
    pub fn transaction(&self) -> Option<u64> {
        match self.scope {
            Scope::Transaction(id) => Some(id),
            _ => None,
        }
    }
}
