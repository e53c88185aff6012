//! The compiled rules: immutable, shared by all workers.
//!
//! Place: built at load from the normalised rules; the inspectors only read it. Invariants: rule indices are
//! evaluation order; every rule that can match is reachable through a pattern group, an event list or a header index;
//! a rule that cannot be compiled is reported and left out, the others load.

pub mod buffers;
pub mod datasets;
pub mod fast;
pub mod firewall;
pub mod groups;
pub mod header;
pub mod index;
pub mod lower;
pub mod names;
pub mod order;
pub mod rule;
pub mod slots;

pub use names::{NameTables, Names};
pub use rule::{CompiledRule, Head, RuleIndex};

use crate::chain::Limits;
use crate::shared::threshold::ConfigEntry;
use buffers::{TO_CLIENT, TO_SERVER};
use datasets::DatasetTable;
use firewall::{Firewall, Policies};
use groups::{Group, GroupBuilder};
use header::{Class, HeaderTable};
use index::HeaderRules;
use lower::{Lowered, Shared};
use rule::Source;
use slots::SlotTable;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use weir_contract::protocol::AppProtocol;
use weir_ir::{Identity, Rule};
use weir_reassembly::StreamEvent;

/// A rule that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompileError {
    /// The rule.
    pub identity: Identity,
    /// File and line, as the rule's source says.
    pub file: Arc<str>,
    /// Line.
    pub line: u32,
    /// Why, and what helps.
    pub cause: String,
}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: rule {} is left out: {}", self.file, self.line, self.identity.sid, self.cause)
    }
}

impl std::error::Error for CompileError {}

/// What compilation takes into account besides the rules.
#[derive(Debug, Default)]
pub struct CompileOptions {
    /// threshold.config
    pub thresholds: Vec<ConfigEntry>,
    /// Limits of evaluation.
    pub limits: Limits,
    /// Which actions go first.
    pub actions: order::ActionOrder,
    /// Firewall mode: what happens where no rule of its tables decides.
    pub firewall: Option<Policies>,
}

/// Rules without fast pattern, by unit.
#[derive(Debug, Default)]
pub struct Unfiltered {
    /// Inspected on packets.
    pub packet: HeaderRules,
    /// Inspected on deliveries of the stream.
    pub stream: HeaderRules,
    /// Inspected on every transaction.
    pub transaction: HeaderRules,
}

/// Rules that wait for an event.
#[derive(Debug, Default)]
pub struct EventRules {
    /// By decoder event.
    pub decoder: Vec<Vec<RuleIndex>>,
    /// By stream event.
    pub stream: Vec<Vec<RuleIndex>>,
    /// By name: `applayer_…`
    pub packet: HashMap<Arc<str>, Vec<RuleIndex>>,
    /// By name: events of transactions.
    pub transaction: HashMap<Arc<str>, Vec<RuleIndex>>,
}

/// A pattern that makes a rule a candidate for a transaction, in a buffer that may be there in part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagePattern {
    /// Index into the rule's buffers.
    pub buffer: usize,
    /// The buffer is looked at as it grows; else not before it is complete.
    pub grows: bool,
    /// Bytes, to be compared without case.
    pub bytes: Box<[u8]>,
}

/// A pattern group of a transaction buffer.
#[derive(Debug)]
pub struct TransactionGroup {
    /// The buffer.
    pub slot: u16,
    /// Patterns.
    pub group: Group,
}

/// The compiled rules.
#[derive(Debug)]
pub struct Program {
    id: u64,
    sources: Vec<Rule>,
    /// By rule: what must stand in the stream window for the rule to be evaluated on it.
    stream_patterns: Vec<Option<Box<[u8]>>>,
    /// By rule: the pattern in a growing buffer that makes it a candidate for a transaction.
    message_patterns: Vec<Option<MessagePattern>>,
    heads: Vec<Head>,
    rules: Vec<CompiledRule>,
    shared: Shared,
    limits: Limits,
    thresholds: Vec<ConfigEntry>,
    payload: Vec<Group>,
    transaction_groups: Vec<TransactionGroup>,
    by_protocol: Vec<Vec<u16>>,
    unfiltered: Unfiltered,
    events: EventRules,
    firewall: Option<Firewall>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// Protocol numbers are below this.
const PROTOCOLS: usize = 64;

impl Program {
    /// Compile. The second part of the answer are the rules left out.
    pub fn compile(rules: Vec<Rule>, options: CompileOptions) -> (Program, Vec<CompileError>) {
        let mut shared = Shared::default();
        let mut errors = vec![];
        let mut lowered: Vec<Option<Lowered>> = Vec::with_capacity(rules.len());
        for ir in &rules {
            lowered.push(match lower::rule(ir, &mut shared) {
                Ok(done) => Some(done),
                Err(cause) => {
                    errors.push(CompileError {
                        identity: ir.identity,
                        file: ir.source.file.clone(),
                        line: ir.source.line,
                        cause,
                    });
                    None
                }
            });
        }
        let accepted: Vec<usize> = (0..rules.len()).filter(|&i| lowered[i].is_some() && !rules[i].firewall).collect();
        // Those of the firewall stand behind all others, in the order of the text.
        let of_firewall: Vec<usize> = (0..rules.len()).filter(|&i| lowered[i].is_some() && rules[i].firewall).collect();
        let views: Vec<&Rule> = accepted.iter().map(|&i| &rules[i]).collect();
        let order: Vec<usize> = order::order(&views, options.actions).into_iter().map(|i| accepted[i]).collect();
        drop(views);
        let mut sources: Vec<Option<Rule>> = rules.into_iter().map(Some).collect();
        let mut builder = Builder::default();
        let mut program = Program {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            sources: Vec::with_capacity(order.len()),
            stream_patterns: Vec::with_capacity(order.len()),
            message_patterns: Vec::with_capacity(order.len()),
            heads: Vec::with_capacity(order.len()),
            rules: Vec::with_capacity(order.len()),
            shared,
            limits: options.limits,
            thresholds: options.thresholds,
            payload: vec![],
            transaction_groups: vec![],
            by_protocol: vec![],
            unfiltered: Unfiltered::default(),
            events: EventRules::default(),
            firewall: None,
        };
        let mut tables = options.firewall.map(Firewall::new);
        for i in order.into_iter().chain(of_firewall) {
            let (Some(mut lowered), Some(source)) = (lowered[i].take(), sources[i].take()) else { continue };
            configure(&mut lowered.rule, &program.thresholds);
            let index = program.rules.len() as RuleIndex;
            match (source.firewall, &mut tables) {
                (true, Some(tables)) => tables.place(index, &source),
                (true, None) => {}
                (false, _) => builder.place(index, &lowered, &source),
            }
            program.stream_patterns.push(lowered.stream_pattern());
            program.message_patterns.push(lowered.message_pattern(&source));
            program.heads.push(lowered.head);
            program.rules.push(lowered.rule);
            program.sources.push(source);
        }
        builder.finish(&mut program);
        if let Some(tables) = &mut tables {
            for (n, source) in firewall::policy_rules().into_iter().enumerate() {
                let Ok(lowered) = lower::rule(&source, &mut program.shared) else { continue };
                if let Some(place) = tables.policy_rules.get_mut(n) {
                    *place = program.rules.len() as RuleIndex;
                }
                program.stream_patterns.push(None);
                program.message_patterns.push(None);
                program.heads.push(lowered.head);
                program.rules.push(lowered.rule);
                program.sources.push(source);
            }
        }
        program.firewall = tables;
        (program, errors)
    }

    /// Distinguishes programs: state that holds rule indices belongs to one of them.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Number of rules.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// No rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The normalised rule behind an index: message, class and all else that output needs.
    pub fn source(&self, rule: RuleIndex) -> Option<&Rule> {
        self.sources.get(rule as usize)
    }

    /// The bytes (without case) that must stand in a stream's window before the rule is evaluated on it; while they do,
    /// [`Inspector::waits`](crate::Inspector::waits) says so, unless the rule cannot match any more. None where the rule is evaluated without, or not on
    /// streams.
    pub fn stream_pattern(&self, rule: usize) -> Option<&[u8]> {
        self.stream_patterns.get(rule)?.as_deref()
    }

    /// The rule has a threshold of its own or in threshold.config: what it says depends on its matches in other flows.
    pub fn is_counted(&self, rule: usize) -> bool {
        self.rules.get(rule).is_some_and(|rule| rule.threshold.is_some() || rule.rate.is_some())
    }

    /// [`Self::stream_pattern`] of all rules, in evaluation order.
    pub fn stream_patterns(&self) -> impl Iterator<Item = Option<&[u8]>> {
        (0..self.sources.len()).map(|rule| self.stream_pattern(rule))
    }

    /// What makes the rule a candidate for a transaction, if that is looked for in a body or in what comes of one. Rules
    /// without are candidates as soon as the head is there, or not at all.
    pub fn message_pattern(&self, rule: usize) -> Option<&MessagePattern> {
        self.message_patterns.get(rule)?.as_ref()
    }

    /// Parts of the rule that look at raw payload, as a set of bits.
    pub fn payload_parts(&self, rule: usize) -> u64 {
        let parts = self.rules.get(rule).map_or(&[][..], |rule| &rule.buffers);
        let of_payload = parts.iter().enumerate().filter(|(_, part)| matches!(part.source, Source::Payload));
        of_payload.fold(0, |all, (n, _)| all | 1u64.checked_shl(n as u32).unwrap_or(0))
    }

    /// All normalised rules, in evaluation order.
    pub fn sources(&self) -> &[Rule] {
        &self.sources
    }

    /// Limits of evaluation.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Names of flowbits and other variables.
    pub fn names(&self) -> &NameTables {
        &self.shared.names
    }

    /// Data sets.
    pub fn datasets(&self) -> &DatasetTable {
        &self.shared.datasets
    }

    /// Names of xbits and hostbits.
    pub fn bit_names(&self) -> &[Arc<str>] {
        self.shared.names.host_bits.all()
    }

    /// Tables and policies of firewall mode.
    pub fn firewall(&self) -> Option<&Firewall> {
        self.firewall.as_ref()
    }

    pub(crate) fn rule(&self, rule: RuleIndex) -> Option<&CompiledRule> {
        self.rules.get(rule as usize)
    }

    #[inline]
    pub(crate) fn head(&self, rule: RuleIndex) -> Option<&Head> {
        self.heads.get(rule as usize)
    }

    pub(crate) fn headers(&self) -> &HeaderTable {
        &self.shared.headers
    }

    /// Some rule looks at digests of files: parsers have to compute them.
    pub fn wants_file_digests(&self) -> bool {
        use weir_ir::Buffer::{FileMd5, FileSha1, FileSha256};
        self.slots().all().iter().any(|slot| matches!(slot.buffer, FileMd5 | FileSha1 | FileSha256))
    }

    /// Frames that rules look at, by bits of [`weir_ir::Buffer::frame_number`].
    pub fn wanted_frames(&self) -> u128 {
        self.slots().all().iter().filter_map(|slot| slot.buffer.frame_number()).fold(0, |mask, n| mask | 1 << n)
    }

    pub(crate) fn slots(&self) -> &SlotTable {
        &self.shared.slots
    }

    pub(crate) fn thresholds(&self) -> &[ConfigEntry] {
        &self.thresholds
    }

    pub(crate) fn unfiltered(&self) -> &Unfiltered {
        &self.unfiltered
    }

    pub(crate) fn events(&self) -> &EventRules {
        &self.events
    }

    /// Patterns in the payload of packets of a class, by direction index.
    pub(crate) fn payload_group(&self, class: Class, direction: usize) -> Option<&Group> {
        self.payload.get(class as usize * 2 + direction)
    }

    /// Indices of the pattern groups that apply to transactions of a protocol, by direction index.
    pub(crate) fn groups_of(&self, protocol: AppProtocol, direction: usize) -> &[u16] {
        // A flow of HTTP/2 may turn out to carry DNS, and what was searched is known by its place in the list.
        let protocol = if protocol == AppProtocol::Http2 { AppProtocol::Doh2 } else { protocol };
        self.by_protocol.get(protocol as usize * 2 + direction).map_or(&[], |l| l)
    }

    pub(crate) fn transaction_group(&self, index: u16) -> Option<&TransactionGroup> {
        self.transaction_groups.get(index as usize)
    }

    /// Sizes, for diagnostics: (name, patterns, rules).
    pub fn statistics(&self) -> Vec<(String, usize, usize)> {
        let mut out = vec![];
        for class in Class::ALL {
            for direction in 0..2 {
                if let Some(group) = self.payload_group(class, direction).filter(|g| g.pairs() > 0) {
                    out.push((format!("payload {class:?} {direction}"), group.patterns(), group.pairs()));
                }
            }
        }
        for group in &self.transaction_groups {
            let name = self.slots().get(group.slot).map_or("?", |s| s.buffer.name());
            out.push((format!("{name} #{}", group.slot), group.group.patterns(), group.group.pairs()));
        }
        out
    }
}

/// Apply threshold.config to a rule.
fn configure(rule: &mut CompiledRule, entries: &[ConfigEntry]) {
    for (i, entry) in entries.iter().enumerate() {
        if !entry.covers(rule.identity) {
            continue;
        }
        match entry {
            ConfigEntry::Suppress { .. } => rule.suppressions.push(i as u32),
            ConfigEntry::Threshold { sid, threshold, .. } => {
                if *sid != 0 || rule.threshold.is_none() {
                    rule.threshold = Some(*threshold);
                }
            }
            ConfigEntry::RateFilter(filter) => rule.rate = Some(*filter),
        }
    }
}

/// Collects the groups and indices.
#[derive(Default)]
struct Builder {
    payload: HashMap<usize, GroupBuilder>,
    transactions: HashMap<(u16, u8), GroupBuilder>,
    packet: Vec<RuleIndex>,
    stream: Vec<RuleIndex>,
    transaction: Vec<RuleIndex>,
    events: EventRules,
}

impl Builder {
    fn place(&mut self, index: RuleIndex, lowered: &Lowered, source: &Rule) {
        let Lowered { head, rule, fast } = lowered;
        if let Some(event) = rule.decoder_events.first() {
            let list = &mut self.events.decoder;
            list.resize_with(256, Vec::new);
            list[event.0 as usize].push(index);
            return;
        }
        if let Some(event) = rule.stream_events.iter().next() {
            let list = &mut self.events.stream;
            list.resize_with(StreamEvent::ALL.len(), Vec::new);
            if let Some(list) = list.get_mut(event as usize) {
                list.push(index);
            }
            return;
        }
        if let Some(event) = rule.packet_events.first() {
            self.events.packet.entry(event.clone()).or_default().push(index);
            return;
        }
        if let Some(event) = rule.transaction_events.first() {
            self.events.transaction.entry(event.clone()).or_default().push(index);
            return;
        }
        let directions = [TO_SERVER, TO_CLIENT].into_iter().enumerate().filter(|(_, d)| head.directions & d != 0);
        match fast {
            Some(fast) if head.units.transaction => {
                // Base64 buffers are not among the compiled ones: count them out.
                let before = &source.buffers[..fast.buffer];
                let at = before.iter().filter(|b| b.buffer != weir_ir::Buffer::Base64Data).count();
                let Some(Source::Transaction(slot)) = rule.buffers.get(at).map(|b| b.source) else { return };
                let own = lower::sides(&source.buffers[fast.buffer]);
                // A buffer of the other direction is met in its own, and remembered for the rule's.
                let mask = if head.directions & own != 0 { head.directions & own } else { own };
                for bit in [TO_SERVER, TO_CLIENT].into_iter().filter(|d| mask & d != 0) {
                    let group = self.transactions.entry((slot, bit)).or_default();
                    group.add(&fast.bytes, fast.nocase, index, fast.latest);
                }
            }
            Some(fast) => {
                for class in Class::ALL.into_iter().filter(|c| c.serves(source.header.protocol)) {
                    for (direction, _) in directions.clone() {
                        let group = self.payload.entry(class as usize * 2 + direction).or_default();
                        group.add(&fast.bytes, fast.nocase, index, fast.latest);
                    }
                }
            }
            None => {
                let lists = [
                    (head.units.packet || head.units.lone_packet, &mut self.packet),
                    (head.units.stream, &mut self.stream),
                    (head.units.transaction, &mut self.transaction),
                ];
                for (_, list) in lists.into_iter().filter(|(wanted, _)| *wanted) {
                    list.push(index);
                }
            }
        }
    }

    fn finish(self, program: &mut Program) {
        program.payload = (0..Class::COUNT * 2).map(|_| Group::default()).collect();
        for (at, group) in self.payload {
            if let Some(slot) = program.payload.get_mut(at) {
                *slot = group.build();
            }
        }
        program.by_protocol = vec![vec![]; PROTOCOLS * 2];
        let mut groups: Vec<_> = self.transactions.into_iter().collect();
        groups.sort_by_key(|(key, _)| *key);
        for ((slot, direction), group) in groups {
            let index = program.transaction_groups.len() as u16;
            let buffer = program.shared.slots.get(slot).map(|s| s.buffer);
            program.transaction_groups.push(TransactionGroup { slot, group: group.build() });
            let at = usize::from(direction == TO_CLIENT);
            match buffer.and_then(buffers::protocols) {
                Some(protocols) => {
                    for protocol in protocols {
                        if let Some(list) = program.by_protocol.get_mut(*protocol as usize * 2 + at) {
                            list.push(index);
                        }
                    }
                }
                None => {
                    for list in program.by_protocol.iter_mut().skip(at).step_by(2) {
                        list.push(index);
                    }
                }
            }
        }
        let view = |list: &[RuleIndex]| {
            let rows = list.iter().filter_map(|&r| {
                Some((r, program.heads.get(r as usize)?.header, &program.sources.get(r as usize)?.header))
            });
            HeaderRules::build(rows)
        };
        let unfiltered = Unfiltered {
            packet: view(&self.packet),
            stream: view(&self.stream),
            transaction: view(&self.transaction),
        };
        program.unfiltered = unfiltered;
        program.events = self.events;
    }
}
