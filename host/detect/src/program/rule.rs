//! One compiled rule.

use super::header::HeaderIndex;
use crate::chain::Chain;
use weir_contract::protocol::AppProtocol;
use weir_ir::state::FlowintOperation;
use weir_ir::{AppLayerCondition, BitOperation, FlowCondition, Identity, PacketCondition, Threshold, Track};

/// Index of a rule within its program: rules stand in evaluation order.
pub type RuleIndex = u32;

/// Small part of a rule, for rejecting candidates without touching the rest.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    /// Header.
    pub header: HeaderIndex,
    /// Where the rule is inspected.
    pub units: Units,
    /// Directions the rule is inspected in: bit 0 to server, bit 1 to client.
    pub directions: u8,
    /// Protocol of the flow, if the rule asks for one.
    pub application: Option<AppProtocol>,
    /// It looks at frames.
    pub frames: bool,
}

/// Units of inspection of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Units {
    /// Packets.
    pub packet: bool,
    /// Packets whose payload does not go to a stream.
    pub lone_packet: bool,
    /// Deliveries of the stream.
    pub stream: bool,
    /// Transactions.
    pub transaction: bool,
}

impl Units {
    /// The rule is inspected on a packet whose payload went to the stream, or did not.
    pub fn on_packet(self, in_stream: bool) -> bool {
        self.packet || (self.lone_packet && !in_stream)
    }
}

/// Where a buffer's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Packet payload or stream window.
    Payload,
    /// A header of the packet.
    PacketHeader(weir_ir::Buffer),
    /// A buffer of the transaction: index of a slot.
    Transaction(u16),
}

/// What a missing buffer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Absence {
    /// No match.
    Fails,
    /// `absent`: the match.
    Required,
    /// `absent: or_else`
    Accepted,
}

/// Matches of one buffer.
#[derive(Debug)]
pub struct RuleBuffer {
    /// Bytes.
    pub source: Source,
    /// Transforms of payload and packet-header buffers (those of transactions belong to the slot).
    pub transforms: Vec<crate::transform::Step>,
    /// Where it is looked for, whatever the direction of inspection.
    pub side: Option<weir_app_layer::Direction>,
    /// Missing buffer.
    pub absence: Absence,
    /// Matches.
    pub chain: Chain,
}

/// flowbits with interned names.
#[derive(Debug)]
pub struct BitOp {
    /// Operation.
    pub operation: BitOperation,
    /// One or more bits.
    pub bits: Vec<u32>,
}

/// flowint with interned names.
#[derive(Debug)]
pub struct IntOp {
    /// Variable.
    pub variable: u32,
    /// Operation; names in it are looked up through `other`.
    pub operation: FlowintOperation,
    /// The other variable of the operation.
    pub other: Option<u32>,
}

/// xbits or hostbits with interned names.
#[derive(Debug)]
pub struct HostBitOp {
    /// Operation.
    pub operation: BitOperation,
    /// Name.
    pub name: u32,
    /// Key.
    pub track: Track,
    /// Seconds.
    pub expire: u32,
}

/// A compiled rule.
#[derive(Debug)]
pub struct CompiledRule {
    /// gid, sid, rev.
    pub identity: Identity,
    /// Action.
    pub action: weir_ir::Action,
    /// How far it reaches.
    pub scope: weir_ir::ActionScope,
    /// What a firewall rule accepts, the other rules let go.
    pub also_pass: Option<weir_ir::ActionScope>,
    /// State of the transaction that the rule waits for.
    pub hook: Option<weir_ir::TransactionHook>,
    /// Contents of both directions of a transaction: the header is that of the second.
    pub transactional: bool,
    /// `flow`
    pub flow: FlowCondition,
    /// Conditions on the packet.
    pub packet: Vec<PacketCondition>,
    /// Conditions on the application layer.
    pub app_layer: Vec<AppLayerCondition>,
    /// Decoder events, by index of the packet crate's table.
    pub decoder_events: Vec<weir_packet::DecoderEvent>,
    /// Stream events.
    pub stream_events: weir_reassembly::StreamEvents,
    /// Application-layer events that belong to no transaction (`applayer_…`).
    pub packet_events: Vec<std::sync::Arc<str>>,
    /// Events of a transaction.
    pub transaction_events: Vec<std::sync::Arc<str>>,
    /// Byte matches.
    pub buffers: Vec<RuleBuffer>,
    /// Every buffer must be evaluated in the same inspection, since variables connect them.
    pub connected: bool,
    /// Some buffer is the raw payload.
    pub reads_payload: bool,
    /// Tests of flowbits.
    pub bit_tests: Vec<BitOp>,
    /// Changes of flowbits.
    pub bit_changes: Vec<BitOp>,
    /// Tests of flowints.
    pub int_tests: Vec<IntOp>,
    /// Changes of flowints.
    pub int_changes: Vec<IntOp>,
    /// Tests of xbits.
    pub host_tests: Vec<HostBitOp>,
    /// Changes of xbits.
    pub host_changes: Vec<HostBitOp>,
    /// Threshold of the rule, or of the configuration.
    pub threshold: Option<Threshold>,
    /// Indices into the configuration's entries: suppressions.
    pub suppressions: Vec<u32>,
    /// Rate filter of the configuration.
    pub rate: Option<crate::shared::threshold::RateFilter>,
    /// No alert.
    pub noalert: bool,
    /// The rule asks for its header or a protocol only: what it decides is for the flow.
    pub of_flow: bool,
    /// Once for each flow and direction (rules that only look at the header, of which no address is negated: Suricata's
    /// IP-only rules).
    pub once: bool,
    /// Once for each flow and direction, when its protocol becomes known.
    pub at_detection: bool,
}

impl CompiledRule {
    /// The rule changes state on a match.
    pub fn changes_state(&self) -> bool {
        !self.bit_changes.is_empty() || !self.int_changes.is_empty() || !self.host_changes.is_empty()
    }
}
