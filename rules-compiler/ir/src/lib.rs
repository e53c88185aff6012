//! The normalised, device-neutral form of a rule, and the vocabulary of detection.
//!
//! Place: produced by `weir_rules::lower` from the syntax tree; consumed by the detection engine (which uses nothing
//! else of the compiler), by the planner and by the reports. Invariants: variables are resolved, lists are
//! intervals without overlap, defaults are filled in, contents are raw bytes. It knows nothing of devices.
#![forbid(unsafe_code)]

pub mod base64;
pub mod buffer;
pub mod condition;
pub mod content;
pub mod event;
pub mod header;
pub mod hook;
pub mod meta;
pub mod state;

pub use buffer::{Buffer, BufferDirection, Transform};
pub use condition::{
    AppLayerCondition, Comparison, FlowCondition, PacketCondition, StreamSize, TcpFlagsMatch, VlanLayer,
};
pub use content::{
    Anchor, Base64Decode, BufferMatch, ByteBase, ByteExtract, ByteJump, ByteMath, ByteTest, Content, Endian, Entropy, IsDataAt,
    MathOperator, Match, Number, Pcre, TestOperator, VariableId,
};
pub use event::Event;
pub use hook::{ActionScope, Hook, PacketHook, TransactionHook};
pub use header::{AddressSet, Header, PortSet, RuleProtocol};
pub use meta::{Action, Identity, Meta, Source, Target};
pub use state::{
    BitOperation, DatasetOperation, FlowbitOp, FlowintOp, Tag, TagMetric, TagWho, Threshold, ThresholdKind, Track, Unlogged, Xbit, XbitOperation,
};

/// One rule, ready to be compiled for the engine or planned for the device.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// gid, sid, rev.
    pub identity: Identity,
    /// Where the rule stands.
    pub source: Source,
    /// What happens on a match.
    pub action: Action,
    /// How far that reaches.
    pub scope: ActionScope,
    /// A second action `pass` of a firewall rule: what it accepts, the other rules let go.
    pub also_pass: Option<ActionScope>,
    /// The rule belongs to the firewall's tables, in which the order of the text counts.
    pub firewall: bool,
    /// Where the rule is evaluated, if it says so.
    pub hook: Option<Hook>,
    /// `=>`: the rule is for both directions of a transaction.
    pub transactional: bool,
    /// Protocol, addresses, ports and direction.
    pub header: Header,
    /// Message, class, priority, references: everything without influence on matching.
    pub meta: Meta,
    /// `flow`, if present.
    pub flow: Option<FlowCondition>,
    /// Conditions on the packet's headers and sizes (`dsize`, `flags`, `itype` ...). All must hold.
    pub packet: Vec<PacketCondition>,
    /// Conditions on the application layer that are not byte matches (`app-layer-protocol`, `tls.version` ...).
    pub app_layer: Vec<AppLayerCondition>,
    /// Decoder, stream and application-layer events. All must be present.
    pub events: Vec<Event>,
    /// Byte matches, in the order of the rule text; one entry for each (buffer, transforms) run. Two entries of the
    /// same buffer are two instances only for multi-instance buffers; otherwise lowering has joined them.
    pub buffers: Vec<BufferMatch>,
    /// flowbits in rule order.
    pub flowbits: Vec<FlowbitOp>,
    /// flowints in rule order.
    pub flowints: Vec<FlowintOp>,
    /// xbits and hostbits in rule order.
    pub xbits: Vec<Xbit>,
    /// `threshold` or `detection_filter`.
    pub threshold: Option<Threshold>,
    /// `tag` is present (its packets follow the alert).
    pub tag: Option<Tag>,
    /// `config:logging disable,…`
    pub unlogged: Option<Unlogged>,
    /// `bypass`: what follows in the flow is not inspected.
    pub bypass: bool,
    /// `noalert`, or `flowbits:noalert`.
    pub noalert: bool,
}

impl Rule {
    /// All byte matches of one buffer without transforms, in order.
    pub fn matches_of(&self, buffer: Buffer) -> impl Iterator<Item = &Match> {
        self.buffers
            .iter()
            .filter(move |b| b.buffer == buffer && b.transforms.is_empty())
            .flat_map(|b| b.matches.iter())
    }

    /// The rule looks at bytes of the raw payload (packet or stream).
    pub fn inspects_payload(&self) -> bool {
        self.buffers.iter().any(|b| b.buffer == Buffer::Payload)
    }

    /// The rule has an effect outside its own flow: output, or state shared between flows.
    pub fn has_outside_effect(&self) -> bool {
        !self.noalert || !self.xbits.is_empty() || self.buffers.iter().any(BufferMatch::writes_dataset)
    }
}
