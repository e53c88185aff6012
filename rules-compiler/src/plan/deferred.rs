//! Class D: rules that need not divert anything.
//!
//! Argument. Such a rule has no output and touches only the state of its own flow (flowbits, flowints), or suppresses
//! alerts of its own flow (`pass`). The state matters when another rule of the flow matches with output; that rule
//! diverts the flow by its own condition, and the host first gets every earlier frame of the flow from the history and
//! evaluates all rules on them in order. So the state is right when it is needed. Not deferred: whatever writes state
//! shared between flows (xbits, datasets), depends on such state (thresholds, which count matches), writes files, tags,
//! or looks at packet headers alone, because such a rule can also match in a flow whose frames are no longer recorded.

use weir_ir::state::FlowintOperation;
use weir_ir::{Action, AppLayerCondition, BitOperation, Buffer, Event, Match, Rule};

/// Why the rule may be deferred; `None` if it may not.
pub fn reason(rule: &Rule) -> Option<&'static str> {
    let silent = rule.noalert && rule.action == Action::Alert;
    let pass = rule.action == Action::Pass && rule.noalert;
    if !(silent || pass) {
        return None;
    }
    let shared = !rule.xbits.is_empty()
        || rule.threshold.is_some()
        || rule.tag.is_some()
        || rule.bypass
        || rule.app_layer.contains(&AppLayerCondition::FileStore)
        || rule.buffers.iter().flat_map(|b| &b.matches).any(|m| matches!(m, Match::Dataset(_)));
    if shared {
        return None;
    }
    // Rules on the stream or on messages only match in flows that are still recorded; rules on headers also later.
    let on_headers = rule.buffers.is_empty() && rule.app_layer.is_empty();
    let only_header_of_flow = on_headers && rule.packet.is_empty() && rule.events.is_empty();
    if on_headers && !(pass && only_header_of_flow) {
        return None;
    }
    let header_buffer = rule.buffers.iter().any(|b| {
        matches!(
            b.buffer,
            Buffer::Ipv4Header
                | Buffer::Ipv6Header
                | Buffer::TcpHeader
                | Buffer::UdpHeader
                | Buffer::Icmpv4Header
                | Buffer::Icmpv6Header
                | Buffer::IpSource
                | Buffer::IpDestination
        )
    });
    if header_buffer || rule.events.iter().any(|e| !matches!(e, Event::AppLayer(..))) {
        return None;
    }
    if pass {
        return Some("pass: no output, evaluated when its flow is diverted");
    }
    let writes = rule.flowbits.iter().any(|f| {
        matches!(f.operation, BitOperation::Set | BitOperation::Unset | BitOperation::Toggle)
    }) || rule.flowints.iter().any(|f| {
        matches!(f.operation, FlowintOperation::Set(_) | FlowintOperation::Add(_) | FlowintOperation::Subtract(_))
    });
    Some(if writes { "noalert: sets state of its own flow only" } else { "noalert: no effect" })
}

