//! What a rule says about itself.

use std::sync::Arc;

/// gid, sid, rev.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    /// Generator; 1 for text rules.
    pub gid: u32,
    /// Signature.
    pub sid: u32,
    /// Revision.
    pub rev: u32,
}

/// Where a rule stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// File name as the user gave it.
    pub file: Arc<str>,
    /// First line, from 1.
    pub line: u32,
    /// The rule's text, without line continuations.
    pub text: Arc<str>,
}

/// What happens on a match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// Ends alerting for the packet or flow.
    Pass,
    /// Drops packet and flow (inline), and alerts.
    Drop,
    /// Drops and answers the sender.
    Reject,
    /// Drops and answers the receiver.
    RejectDestination,
    /// Drops and answers both.
    RejectBoth,
    /// Alerts.
    Alert,
    /// Configures logging for what it matches; no alert.
    Config,
    /// Lets through, in the firewall's tables.
    Accept,
}

/// `target`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// `src_ip`
    Source,
    /// `dest_ip`
    Destination,
}

/// Everything without influence on matching.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// `msg`
    pub message: Arc<str>,
    /// `classtype`, short name.
    pub classtype: Option<Arc<str>>,
    /// Description of the class, as classification.config gives it.
    pub class_description: Option<Arc<str>>,
    /// 1 (highest) to 255; from `priority`, else from the class, else 3.
    pub priority: u8,
    /// `reference`, (system, text).
    pub references: Vec<(Arc<str>, Arc<str>)>,
    /// `metadata`, (key, value), in order.
    pub metadata: Vec<(Arc<str>, Arc<str>)>,
    /// `target`
    pub target: Option<Target>,
}
