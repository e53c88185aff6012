//! Firewall mode: the tables that decide before the other rules see a packet.
//!
//! For a packet the engine calls [`Inspector::firewall_packet`], then [`Inspector::firewall_transactions`] for what the
//! parser made of it, and at the end [`Inspector::finish_firewall`] for the alerts. Each hook of a transaction is decided
//! once the transaction is in its state, and again with every packet that leaves it there. Where a rule still waits for
//! bytes of an unfinished state, the state is decided when they are there.

use super::conditions::{InTransaction, Unit};
use super::packet::payload_of;
use super::transaction::Answer;
use super::{Inspector, Payload, Work};
use crate::context::{Context, Effect, Match, Scope};
use crate::flow::{Candidate, FirewallTransaction, FlowDetect};
use crate::program::firewall::{PacketTable, Policy};
use crate::program::header::Tuple;
use crate::program::{Program, RuleIndex};
use crate::shared::SharedState;
use weir_app_layer::{COMPLETE, Direction, ProtocolState, hooks::hook_state};
use weir_contract::protocol::AppProtocol;
use weir_ir::{Action, ActionScope, PacketHook};

/// Why the firewall drops a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FirewallReason {
    /// A rule of a table of packets or transactions.
    Rules,
    /// No rule of `packet:filter`.
    PacketPolicy,
    /// No rule of a state.
    ApplicationPolicy,
    /// A rule of, or the policy for, `packet:pre_flow`.
    PreFlow,
    /// A rule of, or the policy for, `packet:pre_stream`.
    PreStream,
}

/// What the firewall says about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallVerdict {
    /// The next table decides.
    Next,
    /// The packet goes on, no other table is asked.
    Accept,
    /// It does not.
    Drop {
        /// Why.
        reason: FirewallReason,
        /// Nor does the rest of its flow.
        flow: bool,
        /// The rule, or the one that stands for the policy.
        rule: RuleIndex,
        /// Its ends are told.
        effect: Effect,
    },
}

/// A rule, or a policy, that decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decided {
    rule: RuleIndex,
    scope: Scope,
    direction: Option<Direction>,
    effect: Effect,
    alert: bool,
    notes: u32,
}

/// What one decision does to what it was made for.
enum Step {
    /// The hook is accepted.
    Hook,
    /// The transaction is.
    Transaction,
    /// All is said.
    Verdict(FirewallVerdict),
}

impl Inspector {
    /// The program has a firewall.
    pub fn has_firewall(&self) -> bool {
        self.program.firewall().is_some()
    }

    /// Decides by a table of packets. `flow` is none before the flow is known.
    pub fn firewall_packet(
        &mut self,
        table: PacketTable,
        context: &Context<'_>,
        mut flow: Option<&mut FlowDetect>,
        shared: &mut SharedState,
    ) -> FirewallVerdict {
        let Inspector { program, evaluator, scratch, raw, decided, told } = self;
        let program: &Program = program;
        let Some(firewall) = program.firewall() else { return FirewallVerdict::Next };
        shared.prepare(program);
        let direction = context.flow.map(|f| f.direction);
        let mut first = true;
        if let Some(flow) = flow.as_deref_mut() {
            flow.attach(program);
            if flow.firewall.accepted {
                return FirewallVerdict::Accept;
            }
            if let (PacketTable::Filter, Some(started)) =
                (table, direction.and_then(|d| flow.firewall.started.get_mut(d as usize)))
            {
                first = !std::mem::replace(started, true);
            }
        }
        let tuple = Tuple::of(context.packet);
        let bit = direction.map_or(3, |d| 1u8 << d as u8);
        let payload = payload_of(context).map(|bytes| Payload { bytes, stream: None });
        let mut work = Work { program, evaluator, shared, context, direction, raw, transaction: None, told };
        for &(rule, hook) in firewall.packet(table) {
            let candidate = (hook != PacketHook::FlowStart || (first && direction.is_some()))
                && program.head(rule).is_some_and(|head| {
                    head.directions & bit != 0 && program.headers().holds(head.header, &tuple)
                });
            let buffers = (&mut scratch.transformed, &mut scratch.spare);
            if !candidate || !work.raw_rule_holds(rule, Unit::Packet, payload, flow.as_deref(), buffers) {
                continue;
            }
            let reason = match table {
                PacketTable::PreFlow => FirewallReason::PreFlow,
                PacketTable::PreStream => FirewallReason::PreStream,
                PacketTable::Filter => FirewallReason::Rules,
            };
            return match work.decided(rule, Scope::Packet, reason, decided, flow) {
                Step::Hook | Step::Transaction => FirewallVerdict::Next,
                Step::Verdict(verdict) => verdict,
            };
        }
        let (policy, reason) = match table {
            PacketTable::PreFlow => (firewall.policies.packet[0], FirewallReason::PreFlow),
            PacketTable::PreStream => (firewall.policies.packet[1], FirewallReason::PreStream),
            PacketTable::Filter => (firewall.policies.packet[2], FirewallReason::PacketPolicy),
        };
        let rule = firewall.policy_rules[0];
        match by_policy(policy, (rule, reason), (Scope::Packet, direction), decided, flow) {
            Step::Hook | Step::Transaction => FirewallVerdict::Next,
            Step::Verdict(verdict) => verdict,
        }
    }

    /// Decides about the transactions of the packet's direction. `data`: the packet brought bytes to the parser; `state`
    /// is none when there is no parser.
    pub fn firewall_transactions(
        &mut self,
        context: &Context<'_>,
        flow: &mut FlowDetect,
        state: Option<&dyn ProtocolState>,
        data: bool,
        shared: &mut SharedState,
    ) -> FirewallVerdict {
        let Inspector { program, evaluator, scratch, raw, decided, told } = self;
        let program: &Program = program;
        let (Some(_), Some(facts), Some(state)) = (program.firewall(), context.flow, state) else {
            return FirewallVerdict::Next;
        };
        if flow.firewall.accepted {
            return FirewallVerdict::Accept;
        }
        shared.prepare(program);
        let direction = facts.direction;
        let side = direction as usize;
        let live = state.transactions();
        let lives = |id: u64| live.binary_search_by_key(&id, |t| t.id).is_ok();
        flow.firewall.transactions.retain(|t| lives(t.id));
        flow.transaction_bits.retain(|(id, _)| lives(*id));
        flow.firewall.matched.retain(|(id, _)| lives(*id));
        let tuple = context.tuple(Some(direction));
        let mut work = Work { program, evaluator, shared, context, direction: Some(direction), raw, transaction: None, told };
        let mut data = data;
        for (index, transaction) in live.iter().enumerate() {
            let at = match flow.firewall.transactions.binary_search_by_key(&transaction.id, |t| t.id) {
                Ok(at) => at,
                Err(at) => {
                    let fresh = FirewallTransaction {
                        id: transaction.id,
                        next: [0; 2],
                        done: [false; 2],
                        begun: [false; 2],
                        accepted: false,
                    };
                    flow.firewall.transactions.insert(at, fresh);
                    at
                }
            };
            let Some(own) = flow.firewall.transactions.get_mut(at).copied() else { continue };
            // Bytes belong to the first transaction that is not complete; a session to its only one.
            let session = matches!(state.protocol(), AppProtocol::Tls | AppProtocol::Ssh);
            let complete = transaction.progress[side] == COMPLETE;
            let fed = data && (!complete || session);
            data &= complete && !session;
            flow.firewall.met[side] |= fed || own.accepted;
            if own.accepted || own.done[side] {
                continue;
            }
            let first = !own.begun[side] || complete;
            if !transaction.changed[side] && !(fed && first) {
                continue;
            }
            flow.firewall.met[side] = true;
            work.transaction = Some(transaction.id);
            scratch.cache.clear();
            let inside = InTransaction { state, index, direction };
            let mut progress = Progress { tuple: &tuple, events: &transaction.events, cache: &mut scratch.cache };
            let verdict = work.states(inside, at, &mut progress, decided, flow);
            if verdict != FirewallVerdict::Next {
                return verdict;
            }
        }
        if data && !std::mem::replace(&mut flow.firewall.met[side], true) {
            // The protocol is known, and its first message is not there yet.
            work.transaction = None;
            let protocol = state.protocol();
            let step = work.first_state(protocol, &tuple, decided, flow);
            if let Step::Verdict(verdict) = step {
                return verdict;
            }
        }
        FirewallVerdict::Next
    }

    /// Alerts of what the firewall decided about the packet: in front of `out`, whose drops undo what transactions were
    /// accepted for.
    pub fn finish_firewall(&mut self, context: &Context<'_>, out: &mut Vec<Match>) {
        let stopped = out.iter().any(|m| {
            matches!(m.effect, Effect::Drop | Effect::Reject(_)) && !m.whole_flow && m.scope == Scope::Packet
        });
        let mut first = 0;
        for decided in self.decided.drain(..).filter(|d| d.alert) {
            if stopped && matches!(decided.scope, Scope::Transaction(_)) && decided.effect == Effect::None {
                continue;
            }
            let found = Match {
                rule: decided.rule,
                frame: context.packet.number,
                time: context.packet.time,
                tunnel_depth: context.packet.tunnel_depth,
                direction: decided.direction,
                scope: decided.scope,
                alert: true,
                rated: false,
                effect: decided.effect,
                whole_flow: false,
                tag: None,
                unlogged: None,
                bypass: false,
                firewall: true,
                notes: decided.notes,
            };
            out.insert(first, found);
            first += 1;
        }
    }

    /// The packet does not get to the other rules: what they found in its stream counts no more. How much that was.
    pub fn discard_matches(&mut self) -> u64 {
        let found = self.raw.len() as u64;
        self.raw.clear();
        found
    }
}

/// What the evaluation of a transaction's states needs.
struct Progress<'p> {
    tuple: &'p Tuple,
    events: &'p [u16],
    cache: &'p mut super::transaction::TransformCache,
}

impl Work<'_> {
    /// All states from the one that is next up to the one the transaction is in.
    fn states(
        &mut self,
        inside: InTransaction<'_>,
        at: usize,
        progress: &mut Progress<'_>,
        decided: &mut Vec<Decided>,
        flow: &mut FlowDetect,
    ) -> FirewallVerdict {
        let program = self.program;
        let Some(firewall) = program.firewall() else { return FirewallVerdict::Next };
        let side = inside.direction as usize;
        let to_server = inside.direction == Direction::ToServer;
        let protocol = inside.state.protocol();
        let current = hook_state(inside.state, inside.index, inside.direction);
        let last = weir_ir::hook::states(protocol)[side].len().saturating_sub(1) as u8;
        let Some(mut own) = flow.firewall.transactions.get(at).copied() else { return FirewallVerdict::Next };
        let mut at_state = own.next[side];
        while at_state <= current {
            let mut step = None;
            let mut waits = false;
            let mut before = false;
            for entry in firewall.state(protocol, to_server, at_state) {
                let Some(head) = program.head(entry.rule) else { continue };
                if !program.headers().holds(head.header, progress.tuple) {
                    continue;
                }
                if entry.earlier {
                    step = Some(Step::Hook);
                    break;
                }
                // What has matched the transaction's bytes does not match them again.
                let place = flow.firewall.matched.binary_search(&(own.id, entry.rule));
                if place.is_ok() {
                    before = true;
                    continue;
                }
                let mut candidate = Candidate { rule: entry.rule, done: 0, tried: None };
                match self.candidate(&mut candidate, inside, None, flow, progress.events, progress.cache) {
                    Answer::Match => {
                        let reads = program.rule(entry.rule).is_some_and(|rule| !rule.buffers.is_empty());
                        if let (Err(place), true) = (place, reads) {
                            flow.firewall.matched.insert(place, (own.id, entry.rule));
                        }
                        let scope = self.transaction.map_or(Scope::Packet, Scope::Transaction);
                        step = Some(self.decided(entry.rule, scope, FirewallReason::Rules, decided, Some(&mut *flow)));
                        break;
                    }
                    Answer::Wait => waits |= program.rule(entry.rule).is_some_and(|rule| !rule.buffers.is_empty()),
                    Answer::Never => {}
                }
            }
            if step.is_none() && before {
                step = Some(Step::Hook);
            }
            if step.is_none() && waits && at_state == current && current < last {
                break;
            }
            let step = step.unwrap_or_else(|| {
                let policy = firewall.policies.of_state(protocol, to_server, at_state);
                let scope = self.transaction.map_or(Scope::Packet, Scope::Transaction);
                let rule = (firewall.policy_rules[1], FirewallReason::ApplicationPolicy);
                by_policy(policy, rule, (scope, Some(inside.direction)), decided, Some(&mut *flow))
            });
            own.begun[side] = true;
            match step {
                Step::Hook => {
                    own.done[side] = at_state == last;
                    own.next[side] = at_state;
                    at_state += 1;
                }
                Step::Transaction => {
                    own.accepted = true;
                    break;
                }
                Step::Verdict(verdict) => {
                    store(flow, at, own);
                    return verdict;
                }
            }
        }
        store(flow, at, own);
        FirewallVerdict::Next
    }

    /// The first state of a direction, without a transaction.
    fn first_state(
        &mut self,
        protocol: AppProtocol,
        tuple: &Tuple,
        decided: &mut Vec<Decided>,
        flow: &mut FlowDetect,
    ) -> Step {
        let program = self.program;
        let (Some(firewall), Some(direction)) = (program.firewall(), self.direction) else { return Step::Hook };
        let to_server = direction == Direction::ToServer;
        for entry in firewall.state(protocol, to_server, 0) {
            let (Some(head), Some(rule)) = (program.head(entry.rule), program.rule(entry.rule)) else { continue };
            if !program.headers().holds(head.header, tuple) {
                continue;
            }
            if entry.earlier {
                return Step::Hook;
            }
            let plain = rule.buffers.is_empty() && rule.app_layer.is_empty() && rule.transaction_events.is_empty();
            if plain && self.conditions_hold(head, rule, Some(flow), Unit::Transaction) {
                return self.decided(entry.rule, Scope::Packet, FirewallReason::Rules, decided, Some(flow));
            }
        }
        let policy = firewall.policies.of_state(protocol, to_server, 0);
        let rule = (firewall.policy_rules[1], FirewallReason::ApplicationPolicy);
        by_policy(policy, rule, (Scope::Packet, Some(direction)), decided, Some(flow))
    }

    /// A rule matched.
    fn decided(
        &mut self,
        index: RuleIndex,
        scope: Scope,
        reason: FirewallReason,
        decided: &mut Vec<Decided>,
        mut flow: Option<&mut FlowDetect>,
    ) -> Step {
        let Some(rule) = self.program.rule(index) else { return Step::Hook };
        self.evaluator.counters.matches += 1;
        if rule.changes_state() {
            let place = (self.direction, self.transaction);
            super::effects::change_state(rule, self.context, place, flow.as_deref_mut(), &mut self.shared.bits);
        }
        if let (Some(ActionScope::Flow | ActionScope::Implied), Some(flow)) = (rule.also_pass, flow.as_deref_mut()) {
            flow.passed = true;
        }
        let effect = Effect::of(rule.action);
        let notes = self.tell(flow.as_deref_mut());
        decided.push(Decided { rule: index, scope, direction: self.direction, effect, alert: !rule.noalert, notes });
        step(rule.action, rule.scope, (index, reason), flow)
    }
}

fn store(flow: &mut FlowDetect, at: usize, own: FirewallTransaction) {
    if let Some(place) = flow.firewall.transactions.get_mut(at) {
        *place = own;
    }
}

fn by_policy(
    policy: Policy,
    (rule, reason): (RuleIndex, FirewallReason),
    (scope, direction): (Scope, Option<Direction>),
    decided: &mut Vec<Decided>,
    flow: Option<&mut FlowDetect>,
) -> Step {
    let effect = Effect::of(policy.action);
    decided.push(Decided { rule, scope, direction, effect, alert: policy.alert, notes: 0 });
    step(policy.action, policy.scope, (rule, reason), flow)
}

/// What action and scope say.
fn step(
    action: Action,
    scope: ActionScope,
    (rule, reason): (RuleIndex, FirewallReason),
    flow: Option<&mut FlowDetect>,
) -> Step {
    match (action, scope) {
        (Action::Accept, ActionScope::Hook | ActionScope::Implied) => Step::Hook,
        (Action::Accept, ActionScope::Transaction) => Step::Transaction,
        (Action::Accept, ActionScope::Packet) => Step::Verdict(FirewallVerdict::Accept),
        (Action::Accept, ActionScope::Flow) => {
            if let Some(flow) = flow {
                flow.firewall.accepted = true;
            }
            Step::Verdict(FirewallVerdict::Accept)
        }
        (action, scope) => Step::Verdict(FirewallVerdict::Drop {
            reason,
            flow: scope == ActionScope::Flow,
            rule,
            effect: Effect::of(action),
        }),
    }
}
