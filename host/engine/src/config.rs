//! Settings of the engine.

use weir_flow::Timeouts;
use weir_packet::DecoderConfig;
use weir_packet::defrag::AddressPolicies;
use weir_reassembly::{OverlapPolicy, SessionConfig};

/// What happens where inspection cannot be what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Go on as well as possible.
    #[default]
    Ignore,
    /// The packet passes without inspection.
    PassPacket,
    /// The flow passes without inspection.
    PassFlow,
    /// The flow passes, and is not followed any more.
    Bypass,
    /// The packet is dropped.
    DropPacket,
    /// The flow is dropped.
    DropFlow,
    /// The flow is dropped, and its ends are told.
    Reject,
}

impl Policy {
    /// As records and statistics have it.
    pub fn name(self) -> &'static str {
        match self {
            Policy::Ignore => "ignore",
            Policy::PassPacket => "pass_packet",
            Policy::PassFlow => "pass_flow",
            Policy::Bypass => "bypass",
            Policy::DropPacket => "drop_packet",
            Policy::DropFlow => "drop_flow",
            Policy::Reject => "reject",
        }
    }
}

/// Everything the engine can be told. The defaults are those of the reference semantics.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Decoding and defragmentation.
    pub decoder: DecoderConfig,
    /// TCP sessions.
    pub session: SessionConfig,
    /// Overlap policies by destination; where there is one for all, it is the session's.
    pub overlap: AddressPolicies<OverlapPolicy>,
    /// Delivered bytes that stay in the raw inspection window.
    pub raw_window: usize,
    /// Flow time-outs.
    pub timeouts: Timeouts,
    /// Most flows at a time.
    pub max_flows: usize,
    /// Application-layer limits.
    pub app_layer: weir_app_layer::AppLayerConfig,
    /// Go on inspecting payload once a session is encrypted.
    pub inspect_encrypted: bool,
    /// Carry decisions out: what a rule drops is not inspected further, nor are the other packets of its flow.
    pub inline: bool,
    /// Compute digests of files although no rule asks for them.
    pub file_digests: bool,
    /// What happens to TCP sessions whose beginning was not seen.
    pub midstream_policy: Policy,
    /// Secret that makes flow identifiers; the same input gives the same ids.
    pub flow_id_seed: u64,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            decoder: DecoderConfig::default(),
            session: SessionConfig::default(),
            overlap: AddressPolicies::new(OverlapPolicy::Bsd),
            raw_window: 2560,
            timeouts: Timeouts::default(),
            max_flows: 4_000_000,
            app_layer: weir_app_layer::AppLayerConfig::default(),
            inspect_encrypted: false,
            inline: false,
            file_digests: false,
            midstream_policy: Policy::Ignore,
            flow_id_seed: 0x5745_4952,
        }
    }
}
