//! Firewall mode: tables of rules in the order of their text, and a policy for each hook that no rule decides.
//!
//! Source: Suricata 8 user guide, "Firewall Mode Design": hooks, tables, scopes, precedence of default policies.

use super::RuleIndex;
use std::collections::HashMap;
use std::sync::Arc;
use weir_contract::protocol::AppProtocol;
use weir_ir::{
    Action, ActionScope, Header, Hook, Identity, Meta, PacketHook, Rule, RuleProtocol, Source,
};

/// What is decided where no rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Accept, drop or reject.
    pub action: Action,
    /// How far.
    pub scope: ActionScope,
    /// An alert tells of it.
    pub alert: bool,
}

impl Policy {
    /// Without alert.
    pub const fn plain(action: Action, scope: ActionScope) -> Policy {
        Policy { action, scope, alert: false }
    }
}

/// The policies of all hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policies {
    /// `packet:pre_flow`, `packet:pre_stream`, `packet:filter`.
    pub packet: [Policy; 3],
    /// Hooks of transactions: protocol, to server, state.
    pub hooks: HashMap<(AppProtocol, bool, u8), Policy>,
    /// Protocols.
    pub protocols: HashMap<AppProtocol, Policy>,
    /// All other hooks of transactions.
    pub application: Policy,
}

impl Default for Policies {
    fn default() -> Self {
        let accept = Policy::plain(Action::Accept, ActionScope::Hook);
        Policies {
            packet: [accept, accept, Policy::plain(Action::Drop, ActionScope::Packet)],
            hooks: HashMap::new(),
            protocols: HashMap::new(),
            application: Policy::plain(Action::Drop, ActionScope::Flow),
        }
    }
}

impl Policies {
    /// The policy of a state; the most specific one counts.
    pub fn of_state(&self, protocol: AppProtocol, to_server: bool, state: u8) -> Policy {
        let hook = self.hooks.get(&(protocol, to_server, state));
        *hook.or_else(|| self.protocols.get(&protocol)).unwrap_or(&self.application)
    }
}

/// Tables of packets, in the order in which a packet meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PacketTable {
    /// Before the flow is looked up.
    PreFlow,
    /// Before the stream is.
    PreStream,
    /// Afterwards.
    Filter,
}

/// A rule of a state's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateRule {
    /// The rule.
    pub rule: RuleIndex,
    /// The table is that of a state before the rule's own: it accepts whatever its header is for.
    pub earlier: bool,
}

/// Rules and policies.
#[derive(Debug)]
pub struct Firewall {
    /// Where no rule decides.
    pub policies: Policies,
    packet: [Vec<(RuleIndex, PacketHook)>; 3],
    states: HashMap<(AppProtocol, bool, u8), Vec<StateRule>>,
    /// What alerts about policies of packets and of transactions name.
    pub policy_rules: [RuleIndex; 2],
}

impl Firewall {
    /// Empty tables.
    pub fn new(policies: Policies) -> Firewall {
        Firewall { policies, packet: Default::default(), states: HashMap::new(), policy_rules: [0; 2] }
    }

    /// Rules of a table of packets.
    pub fn packet(&self, table: PacketTable) -> &[(RuleIndex, PacketHook)] {
        &self.packet[table as usize]
    }

    /// Rules of a state.
    pub fn state(&self, protocol: AppProtocol, to_server: bool, state: u8) -> &[StateRule] {
        self.states.get(&(protocol, to_server, state)).map_or(&[], |list| list)
    }

    pub(super) fn place(&mut self, rule: RuleIndex, source: &Rule) {
        match source.hook {
            Some(Hook::Packet(hook)) => {
                let table = match hook {
                    PacketHook::PreFlow => PacketTable::PreFlow,
                    PacketHook::PreStream => PacketTable::PreStream,
                    PacketHook::All | PacketHook::FlowStart => PacketTable::Filter,
                };
                self.packet[table as usize].push((rule, hook));
            }
            Some(Hook::Transaction(hook)) => {
                let protocols: &[AppProtocol] = match hook.protocol {
                    AppProtocol::Http => &[AppProtocol::Http1, AppProtocol::Http2, AppProtocol::Doh2],
                    _ => std::slice::from_ref(&hook.protocol),
                };
                for &protocol in protocols {
                    let first = if hook.earlier { 0 } else { hook.state };
                    for state in first..=hook.state {
                        let list = self.states.entry((protocol, hook.to_server, state)).or_default();
                        list.push(StateRule { rule, earlier: state < hook.state });
                    }
                }
            }
            None => {}
        }
    }
}

/// Suricata's numbers of the two policies.
const POLICY_RULES: [(u32, &str); 2] =
    [(2_201_000, "SURICATA FW default packet policy"), (2_201_001, "SURICATA FW default app policy")];

/// Rules that stand for the policies in alerts.
pub(super) fn policy_rules() -> [Rule; 2] {
    POLICY_RULES.map(|(sid, message)| Rule {
        identity: Identity { gid: 1, sid, rev: 1 },
        source: Source { file: Arc::from("firewall"), line: 0, text: Arc::from("") },
        action: Action::Accept,
        scope: ActionScope::Hook,
        also_pass: None,
        firewall: true,
        hook: None,
        transactional: false,
        header: Header::any(RuleProtocol::Ip),
        meta: Meta { message: Arc::from(message), priority: 3, ..Meta::default() },
        flow: None,
        packet: Vec::new(),
        app_layer: Vec::new(),
        events: Vec::new(),
        buffers: Vec::new(),
        flowbits: Vec::new(),
        flowints: Vec::new(),
        xbits: Vec::new(),
        threshold: None,
        tag: None,
        unlogged: None,
        bypass: false,
        noalert: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_policy_counts() {
        let mut policies = Policies::default();
        let accept = Policy::plain(Action::Accept, ActionScope::Hook);
        assert_eq!(policies.of_state(AppProtocol::Dns, true, 0).action, Action::Drop);
        policies.protocols.insert(AppProtocol::Dns, accept);
        assert_eq!(policies.of_state(AppProtocol::Dns, true, 0), accept);
        policies.hooks.insert((AppProtocol::Dns, true, 0), Policy::plain(Action::Drop, ActionScope::Flow));
        assert_eq!(policies.of_state(AppProtocol::Dns, true, 0).action, Action::Drop);
        assert_eq!(policies.of_state(AppProtocol::Dns, true, 1), accept);
    }
}
