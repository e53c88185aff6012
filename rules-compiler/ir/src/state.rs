//! State that rules set and test: bits, counters, thresholds, datasets.

use crate::condition::Comparison;
use std::sync::Arc;

/// What an operation does to a bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BitOperation {
    /// `set`
    Set,
    /// `unset`
    Unset,
    /// `toggle`
    Toggle,
    /// `isset`
    IsSet,
    /// `isnotset`
    IsNotSet,
}

/// `flowbits:op,name[|name…]`; several names are alternatives (isset/isnotset only).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowbitOp {
    /// Operation.
    pub operation: BitOperation,
    /// One or more names.
    pub names: Vec<Arc<str>>,
}

/// `flowint:name,op[,value]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowintOp {
    /// Variable.
    pub name: Arc<str>,
    /// Operation.
    pub operation: FlowintOperation,
}

/// Operations of `flowint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowintOperation {
    /// `=`
    Set(FlowintValue),
    /// `+`
    Add(FlowintValue),
    /// `-`
    Subtract(FlowintValue),
    /// `isset`
    IsSet,
    /// `notset` / `isnotset`
    IsNotSet,
    /// Comparison with a constant.
    Compare(Comparison),
    /// Comparison with another variable.
    CompareVariable(std::cmp::Ordering, bool, Arc<str>),
}

/// Right-hand side of `flowint`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlowintValue {
    /// Number.
    Constant(u32),
    /// Another variable.
    Variable(Arc<str>),
}

/// What state is kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// Source address of the packet.
    Source,
    /// Destination address.
    Destination,
    /// Pair of addresses.
    Both,
    /// The rule.
    Rule,
    /// The flow.
    Flow,
    /// The transaction.
    Transaction,
}

/// `xbits` / `hostbits`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xbit {
    /// Operation.
    pub operation: XbitOperation,
    /// Name.
    pub name: Arc<str>,
    /// ip_src, ip_dst, ip_pair (Both) or tx.
    pub track: Track,
    /// Seconds.
    pub expire: u32,
}

/// xbits know the same operations as flowbits.
pub type XbitOperation = BitOperation;

/// Kinds of `threshold`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThresholdKind {
    /// At most `count` alerts per period.
    Limit,
    /// Every `count`-th match within the period.
    Threshold,
    /// Once per period, from the `count`-th match on.
    Both,
    /// `detection_filter`: alerts from the match after `count` within the period.
    DetectionFilter,
    /// `type backoff`, multiplier
    Backoff(u32),
}

/// Whose packets follow an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagWho {
    /// `session`: the flow's.
    Session,
    /// `host,…,src`: those of the alert's source.
    Source,
    /// `host,…,dst`: those of its destination.
    Destination,
}

/// What a tag counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TagMetric {
    /// `packets`
    Packets,
    /// `seconds`
    Seconds,
    /// `bytes`
    Bytes,
}

/// `tag`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tag {
    /// Whose packets.
    pub who: TagWho,
    /// How many.
    pub count: u32,
    /// Of what.
    pub metric: TagMetric,
}

/// What a `config` rule does not have logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlogged {
    /// The transaction that it matches.
    Transaction,
    /// All of the flow.
    Flow,
}

/// `threshold` / `detection_filter`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Threshold {
    /// Kind.
    pub kind: ThresholdKind,
    /// Kept by.
    pub track: Track,
    /// Matches.
    pub count: u32,
    /// Seconds.
    pub seconds: u32,
}

/// `dataset` / `datarep`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetOperation {
    /// Name of the set.
    pub name: Arc<str>,
    /// set, unset, isset, isnotset
    pub operation: BitOperation,
    /// `type` (string, md5, sha256, ipv4, ip)
    pub kind: Arc<str>,
    /// `load` or `state` file, as written.
    pub file: Option<Arc<str>>,
    /// `save` or `state` file: where the set is kept when the run ends, below the data directory.
    pub saved: Option<Arc<str>>,
    /// Entries loaded from the file (decoded).
    pub entries: Arc<[Box<[u8]>]>,
    /// `datarep`: comparison with the reputation value.
    pub reputation: Option<Comparison>,
    /// JSON sets: the key under which alerts tell what the set knows of a value, and that, by entry.
    pub context: Option<(Arc<str>, Arc<[Arc<str>]>)>,
}

impl DatasetOperation {
    /// It changes the set.
    pub fn writes(&self) -> bool {
        matches!(self.operation, BitOperation::Set | BitOperation::Unset | BitOperation::Toggle)
    }
}
