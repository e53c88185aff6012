//! Inspection: the per-worker side of detection.
//!
//! For each packet the engine calls, in any order that its own processing asks for, [`Inspector::packet`],
//! [`Inspector::stream`] (for each delivery) and [`Inspector::transactions`] (for each direction that changed), and
//! then [`Inspector::finish`], which orders what matched, lets `pass` rules end alerting, applies thresholds and
//! suppressions, and hands out [`Match`]es. Effects on the flow (bits, counters) and on shared bits happen at the
//! moment of the match.

pub mod conditions;
mod effects;
mod firewall;
mod packet;
mod prospect;
mod stream;
mod transaction;

pub use firewall::{FirewallReason, FirewallVerdict};
pub use stream::Delivery;

use crate::chain::{Evaluator, StreamView};
use crate::context::{Context, Match, Scope};
use crate::flow::FlowDetect;
use crate::profile::RuleProfile;
use crate::notes::{Note, Place};
use crate::program::header::HeaderCache;
use crate::program::rule::{CompiledRule, Head, RuleBuffer, Source};
use crate::program::{Program, RuleIndex};
use crate::shared::SharedState;
use crate::stats::Counters;
use crate::transform;
use conditions::Unit;
use std::sync::Arc;
use std::time::Instant;
use weir_app_layer::Direction;
use weir_ir::Buffer;
use weir_packet::{Packet, Transport};

/// A match before thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Raw {
    rule: RuleIndex,
    scope: Scope,
    direction: Option<Direction>,
    /// Place of what it tells, plus one.
    notes: u32,
}

/// Reusable memory of one worker.
#[derive(Debug, Default)]
struct Scratch {
    /// By rule: number of the scan that named it last.
    stamps: Vec<u32>,
    stamp: u32,
    candidates: Vec<RuleIndex>,
    headers: HeaderCache,
    shared_scan: SharedScan,
    transformed: Vec<u8>,
    spare: Vec<u8>,
    cache: transaction::TransformCache,
    pool: Vec<crate::flow::TransactionDetect>,
    taken: Vec<crate::flow::Candidate>,
}

/// Hits in the new bytes of a delivery, kept for the packet that brought them: an in-order segment is searched once.
#[derive(Debug, Default)]
struct SharedScan {
    /// Frame, tunnel depth and direction.
    at: (u64, u8, usize),
    bytes: Vec<u8>,
    /// Rule, latest end, end of the hit within `bytes`.
    hits: Vec<(RuleIndex, u32, u32)>,
    valid: bool,
}

impl SharedScan {
    fn covers(&self, at: (u64, u8, usize), payload: &[u8]) -> bool {
        self.valid && self.at == at && self.bytes == payload
    }
}

impl Scratch {
    fn begin_scan(&mut self, rules: usize) {
        if self.stamps.len() != rules || self.stamp == u32::MAX {
            self.stamps.clear();
            self.stamps.resize(rules, 0);
            self.stamp = 0;
        }
        self.stamp += 1;
    }
}

/// Inspects packets, streams and transactions. One for each worker.
#[derive(Debug)]
pub struct Inspector {
    program: Arc<Program>,
    evaluator: Evaluator,
    scratch: Scratch,
    raw: Vec<Raw>,
    /// Matches of the firewall's rules with the packet at hand.
    decided: Vec<firewall::Decided>,
    /// What the matches of the packet at hand tell.
    told: Vec<Vec<Note>>,
}

impl Inspector {
    /// For a program. None when memory is exhausted.
    pub fn new(program: Arc<Program>) -> Option<Inspector> {
        Some(Inspector {
            evaluator: Evaluator::new(program.limits())?,
            program,
            scratch: Scratch::default(),
            raw: Vec::new(),
            decided: Vec::new(),
            told: Vec::new(),
        })
    }

    /// The program in force.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// Go over to another program. Flows follow at their next inspection. Call between packets.
    pub fn set_program(&mut self, program: Arc<Program>) {
        self.program = program;
        self.raw.clear();
        self.decided.clear();
        // Its rules have other indices.
        if let Some(profile) = self.evaluator.profile.as_deref_mut() {
            *profile = RuleProfile::default();
        }
    }

    /// From now on, measure what rules cost. Indices are those of the program in force.
    pub fn profile_rules(&mut self) {
        self.evaluator.profile.get_or_insert_default();
    }

    /// What rules cost, if it was to be measured.
    pub fn rule_profile(&self) -> Option<&RuleProfile> {
        self.evaluator.profile.as_deref()
    }

    /// What a match tells. Until the next packet.
    pub fn notes(&self, found: &Match) -> &[Note] {
        let at = (found.notes as usize).checked_sub(1);
        at.and_then(|at| self.told.get(at)).map_or(&[], |notes| notes)
    }

    /// What was told is no longer needed.
    pub fn forget_notes(&mut self) {
        self.told.clear();
    }

    /// What was counted.
    pub fn counters(&self) -> &Counters {
        &self.evaluator.counters
    }

    /// End of a packet: everything that matched since the last call, in rule order. `out` is added to.
    pub fn finish(
        &mut self,
        context: &Context<'_>,
        flow: Option<&mut FlowDetect>,
        shared: &mut SharedState,
        out: &mut Vec<Match>,
    ) {
        if self.raw.is_empty() {
            return;
        }
        effects::finish(&self.program, &mut self.raw, &mut self.evaluator.counters, context, flow, shared, out);
        self.raw.clear();
    }
}

/// One inspection of packet or stream: everything that evaluation needs.
struct Work<'w> {
    program: &'w Program,
    evaluator: &'w mut Evaluator,
    shared: &'w mut SharedState,
    context: &'w Context<'w>,
    direction: Option<Direction>,
    raw: &'w mut Vec<Raw>,
    /// The transaction that is inspected.
    transaction: Option<u64>,
    /// What matches tell.
    told: &'w mut Vec<Vec<Note>>,
}

/// Bytes that a rule sees as payload.
#[derive(Clone, Copy)]
struct Payload<'p> {
    bytes: &'p [u8],
    stream: Option<StreamView>,
}

impl Work<'_> {
    /// Everything about the rule that is no byte match.
    fn conditions_hold(&self, head: &Head, rule: &CompiledRule, flow: Option<&FlowDetect>, unit: Unit) -> bool {
        conditions::flow_holds(rule, self.context, self.direction, unit)
            && conditions::protocol_holds(head.application, self.context)
            && conditions::packet_holds(&rule.packet, self.context, self.direction)
            && conditions::events_hold(rule, self.context)
            && conditions::bits_hold(&rule.bit_tests, flow)
            && conditions::ints_hold(&rule.int_tests, flow)
            && conditions::host_bits_hold(&rule.host_tests, &self.shared.bits, self.context, self.direction)
            && conditions::transaction_bits_hold(&rule.host_tests, flow, self.transaction)
    }

    /// Evaluate a rule of packet or stream.
    fn raw_rule_holds(
        &mut self,
        index: RuleIndex,
        unit: Unit,
        payload: Option<Payload<'_>>,
        flow: Option<&FlowDetect>,
        scratch: (&mut Vec<u8>, &mut Vec<u8>),
    ) -> bool {
        if self.evaluator.profile.is_some() {
            return self.timed(index, |work| work.raw_rule_answer(index, unit, payload, flow, scratch), |holds| *holds);
        }
        self.raw_rule_answer(index, unit, payload, flow, scratch)
    }

    /// A check whose time goes to the rule's profile.
    #[cold]
    #[inline(never)]
    fn timed<T>(&mut self, rule: RuleIndex, check: impl FnOnce(&mut Self) -> T, matched: impl Fn(&T) -> bool) -> T {
        let begun = Instant::now();
        let answer = check(self);
        let time = begun.elapsed();
        if let Some(profile) = &mut self.evaluator.profile {
            profile.add(rule, time, matched(&answer));
        }
        answer
    }

    fn raw_rule_answer(
        &mut self,
        index: RuleIndex,
        unit: Unit,
        payload: Option<Payload<'_>>,
        flow: Option<&FlowDetect>,
        scratch: (&mut Vec<u8>, &mut Vec<u8>),
    ) -> bool {
        let (Some(head), Some(rule)) = (self.program.head(index), self.program.rule(index)) else { return false };
        if rule.reads_payload && payload.is_none() {
            return false;
        }
        self.evaluator.counters.evaluations += 1;
        if !self.conditions_hold(head, rule, flow, unit)
            || !conditions::app_layer_holds(&rule.app_layer, self.context, None)
        {
            return false;
        }
        self.evaluator.begin_rule();
        rule.buffers.iter().all(|buffer| self.raw_buffer_holds(buffer, payload, scratch.0, scratch.1))
    }

    fn raw_buffer_holds(
        &mut self,
        buffer: &RuleBuffer,
        payload: Option<Payload<'_>>,
        transformed: &mut Vec<u8>,
        spare: &mut Vec<u8>,
    ) -> bool {
        let (bytes, stream) = match buffer.source {
            Source::Payload => match payload {
                Some(payload) => (payload.bytes, payload.stream),
                None => return false,
            },
            Source::PacketHeader(header) => match header_bytes(self.context.packet, header) {
                Some(bytes) => (bytes, None),
                None => return false,
            },
            Source::Transaction(_) => return false,
        };
        let datasets = &mut self.shared.datasets;
        if buffer.transforms.is_empty() {
            return self.evaluator.holds(&buffer.chain, bytes, stream, datasets);
        }
        transform::apply(&buffer.transforms, bytes, self.evaluator.pcre(), transformed, spare);
        self.evaluator.holds(&buffer.chain, transformed, None, datasets)
    }

    /// Keeps what the rule that matched tells: for the flow's records, or for its alert. Gives the place plus one.
    fn tell(&mut self, flow: Option<&mut FlowDetect>) -> u32 {
        if self.evaluator.notes.is_empty() {
            return 0;
        }
        let (of_flow, of_match): (Vec<Note>, Vec<Note>) =
            self.evaluator.notes.drain(..).partition(|n| matches!(n.place, Place::Flow | Place::Entropy));
        if let Some(flow) = flow {
            of_flow.into_iter().for_each(|note| crate::notes::remember(&mut flow.notes, note));
        }
        if of_match.is_empty() {
            return 0;
        }
        self.told.push(of_match);
        self.told.len() as u32
    }

    /// The rule matched: change state, and remember it.
    fn matched(&mut self, index: RuleIndex, scope: Scope, mut flow: Option<&mut FlowDetect>) {
        let Some(rule) = self.program.rule(index) else { return };
        self.evaluator.counters.matches += 1;
        if rule.changes_state() {
            effects::change_state(rule, self.context, (self.direction, self.transaction), flow.as_deref_mut(), &mut self.shared.bits);
        }
        // Several deliveries of one packet are one unit.
        if !matches!(scope, Scope::Transaction(_) | Scope::Frame(_)) && self.raw.iter().any(|r| r.rule == index && r.scope == scope) {
            return;
        }
        let notes = self.tell(flow);
        self.raw.push(Raw { rule: index, scope, direction: self.direction, notes });
    }
}

/// Bytes of a packet-header buffer.
fn header_bytes<'p>(packet: &Packet<'p>, buffer: Buffer) -> Option<&'p [u8]> {
    let ip = packet.ip.as_ref();
    match (buffer, &packet.transport) {
        (Buffer::Ipv4Header, _) => ip.filter(|ip| ip.version == 4).map(|ip| ip.header),
        (Buffer::Ipv6Header, _) => ip.filter(|ip| ip.version == 6).map(|ip| ip.header),
        (Buffer::IpSource | Buffer::IpDestination, _) => {
            let ip = ip?;
            let (first, length) = if ip.version == 4 { (12, 4) } else { (8, 16) };
            let start = if buffer == Buffer::IpSource { first } else { first + length };
            ip.header.get(start..start + length)
        }
        (Buffer::TcpHeader, Transport::Tcp(tcp)) => Some(tcp.header),
        (Buffer::UdpHeader, Transport::Udp(header)) => Some(header),
        (Buffer::Icmpv4Header, Transport::Icmpv4(icmp)) => Some(icmp.header),
        (Buffer::Icmpv6Header, Transport::Icmpv6(icmp)) => Some(icmp.header),
        _ => None,
    }
}
