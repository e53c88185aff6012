//! The planner: for each rule the class, and the *necessary wire condition* that the device checks.
//!
//! Place: normalised rules in, [`Plan`] out; [`crate::image`] makes tables of it. Promise (reference semantics 6): if a
//! rule with output or an effect outside of its flow matches at frame *k* in the full engine, then at some frame at or
//! before *k* of that flow, a condition of the rule holds, in a scope that keeps the flow with the host until *k*. What
//! cannot be proven from the rule and the engine's semantics is class C: every frame of its protocol, ports, addresses.
//!
//! Each buffer kind has its module, with its argument: [`payload`], [`http`], [`dns`], [`tls`], [`packet`] (header
//! fields), [`event`], [`deferred`], [`words`]. A rule needs *all* its buffers, so one buffer's condition suffices; the cheapest by the
//! built-in statistics ([`cost`]) is taken. Negated contents, `pcre`, sizes of streams, ages and thresholds never narrow.
//!
//! Invariants: the plan is a pure function of rules and options; a rule is never dropped; a wider condition is always
//! allowed, a narrower one never.
//!
//! What the plan relies on: the guards that the contract marks `always` lead to a record that always holds (the image
//! sees to it), so fragments, tunnels, malformed packets and sequence trouble reach the host whatever the rules are.

pub mod anchor;
pub mod base;
pub mod chain;
pub mod class;
pub mod cost;
pub mod deferred;
pub mod dns;
pub mod event;
pub mod files;
pub mod gate;
pub mod handshake;
pub mod http;
pub mod joint;
pub mod packet;
pub mod pattern;
pub mod payload;
pub mod sets;
pub mod special;
pub mod tls;
pub mod upgrade;
pub mod words;

pub use class::{Class, Condition, Fragment, RulePlan, Trigger, printable};
pub use sets::Sets;

use crate::profile::Profile;
use crate::profile::estimate::Estimator;
use cost::Statistics;
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_contract::enums::{Scopes, TransportMask};
use weir_contract::guards::Guard;
use weir_contract::layouts::Record;
use weir_ir::{Buffer, Rule};

/// What the planner may use. The defaults are sound and cheapest; switching a part off makes tests that must then fail
/// (guards), or shows what a part is worth (classes, positions).
#[derive(Debug, Clone)]
pub struct Options {
    /// Guards that rules may not arm, by number. Those the contract marks `always` are not affected.
    pub without_guards: u64,
    /// Classes that may not be used: their rules become C.
    pub without_classes: Vec<Class>,
    /// Classes whose conditions are left out. **Unsound**: tests show with it that a class is needed.
    pub omit_classes: Vec<Class>,
    /// Arm the literals that announce coded bodies.
    pub coding_guards: bool,
    /// Send all HTTP/2 flows where HTTP rules are loaded.
    pub http2: bool,
    /// Arm the literals that announce a change of protocol.
    pub upgrades: bool,
    /// Use positions and anchors.
    pub positions: bool,
    /// Compare case where the rule does.
    pub exact_case: bool,
    /// Send every frame: some log wants what no rule asks for.
    pub everything: bool,
    /// Tables may leave out rules that only touch their own flow (class D).
    pub deferred: bool,
    /// Rules may wait for a flowbit whose setters divert (class D).
    pub gates: bool,
    /// Records for a server's handshake may leave out flows whose client's hello is flagged anyway.
    pub held_handshakes: bool,
    /// By rule: the bytes that the host looks for in a stream's window before it evaluates the rule on it. Where the
    /// device's fragment is part of them, the host knows after a hit whether the rule waits for more. Empty: not known.
    pub patterns: Vec<Option<Box<[u8]>>>,
    /// Traffic whose rates are taken in the place of the built-in ones.
    pub profile: Option<Arc<Profile>>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            without_guards: 0,
            without_classes: Vec::new(),
            omit_classes: Vec::new(),
            coding_guards: true,
            http2: true,
            upgrades: true,
            positions: true,
            exact_case: true,
            everything: false,
            deferred: true,
            gates: true,
            held_handshakes: true,
            patterns: Vec::new(),
            profile: None,
        }
    }
}

impl Options {
    /// May rules arm this guard?
    pub fn guard(&self, guard: Guard) -> bool {
        self.without_guards & guard.bit() == 0
    }

    fn class(&self, class: Class) -> bool {
        !self.without_classes.contains(&class)
    }
}

/// A planned rule set.
#[derive(Debug, Clone)]
pub struct Plan {
    /// By index of the rule.
    pub rules: Vec<RulePlan>,
    /// Conditions that belong to no single rule (protocol changes).
    pub common: Vec<Condition>,
    /// Sets that the records name.
    pub sets: Sets,
    /// Flowbits that keep a flow with the host while they are set: rules that wait for one have no conditions.
    pub gates: BTreeSet<Arc<str>>,
    /// Bytes whose `%HH` escapes raise the escape guards.
    pub percent: BTreeSet<u8>,
    /// Bytes whose `=HH` escapes raise the quoted-printable guard.
    pub equals: BTreeSet<u8>,
    /// What the guard `word` knows.
    pub words: words::Words,
}

impl Plan {
    /// Rules of a class.
    pub fn count(&self, class: Class) -> usize {
        self.rules.iter().filter(|r| r.class == class).count()
    }
}

/// Shared state while planning.
pub struct Builder<'a> {
    /// Options.
    pub options: &'a Options,
    /// Statistics.
    pub statistics: &'a Statistics,
    /// Interned sets.
    pub sets: &'a mut Sets,
    /// What the host looks for in streams for the rule at hand.
    pub pattern: Option<&'a [u8]>,
    /// What conditions cost, where a profile tells it.
    pub estimator: &'a Estimator,
}

/// A possible plan of a rule.
#[derive(Debug, Clone)]
pub struct Choice {
    /// Class.
    pub class: Class,
    /// For people.
    pub reason: String,
    /// Alternatives.
    pub conditions: Vec<Condition>,
    /// Escapes to arm.
    pub percent: Vec<u8>,
    /// Quoted-printable escapes to arm.
    pub equals: Vec<u8>,
    /// Expected share of frames.
    pub cost: f64,
}

/// Plan all rules.
pub fn plan(rules: &[Rule], options: &Options) -> Plan {
    plan_by(rules, options, &Statistics::new(options.profile.clone()))
}

/// Windows that the planner looks at when it plans these rules, folded, with their lengths: what a profile should count.
pub fn candidates(rules: &[Rule], options: &Options) -> std::collections::HashSet<(u64, usize)> {
    let statistics = Statistics::noting();
    plan_by(rules, options, &statistics);
    statistics.into_asked()
}

fn plan_by(rules: &[Rule], options: &Options, statistics: &Statistics) -> Plan {
    let mut sets = Sets::default();
    let estimator = match options.profile.clone().filter(|profile| profile.has_rates()) {
        Some(profile) => Estimator::new(profile, statistics.clone()).with_prior(),
        None => Estimator::new(Arc::clone(Profile::built_in()), statistics.clone()),
    };
    let mut builder =
        Builder { options, statistics, sets: &mut sets, pattern: None, estimator: &estimator };
    let mut out = Plan {
        rules: Vec::with_capacity(rules.len()),
        common: Vec::new(),
        gates: BTreeSet::new(),
        sets: Sets::default(),
        percent: BTreeSet::new(),
        equals: BTreeSet::new(),
        words: words::Words::default(),
    };
    let mut choices = Vec::with_capacity(rules.len());
    for (index, rule) in rules.iter().enumerate() {
        builder.pattern = options.patterns.get(index).and_then(Option::as_deref);
        choices.push(plan_rule(rule, &mut builder));
    }
    builder.pattern = None;
    if options.gates && options.class(Class::Deferred) {
        out.gates = gate::apply(rules, &mut choices, &mut builder);
    }
    out.words = words::apply(rules, &mut choices, &mut builder);
    if options.held_handshakes {
        handshake::apply(&mut choices);
    }
    for (index, mut choice) in choices.into_iter().enumerate() {
        if let Some(pattern) = options.patterns.get(index).and_then(Option::as_deref) {
            payload::known_to_wait(&rules[index], &mut choice, pattern);
        }
        base::decided_streams(&mut choice);
        payload::judged_anew(&mut choice);
        let conditions = if options.omit_classes.contains(&choice.class) {
            Vec::new()
        } else {
            choice.conditions.into_iter().flat_map(base::undecided_datagrams).collect()
        };
        out.percent.extend(&choice.percent);
        out.equals.extend(&choice.equals);
        out.rules.push(RulePlan {
            rule: index,
            class: choice.class,
            reason: choice.reason,
            conditions,
            cost: choice.cost,
        });
    }
    if options.upgrades {
        out.common = upgrade::conditions(rules);
    }
    if options.everything {
        out.common.push(Condition { trigger: Trigger::Frame, record: Record::ALWAYS });
    }
    out.sets = sets;
    out
}

/// The cheapest provable plan of one rule.
fn plan_rule(rule: &Rule, builder: &mut Builder<'_>) -> Choice {
    if rule.firewall {
        // What no rule accepts is dropped: the firewall has to see every frame.
        return Choice {
            class: Class::Complete,
            reason: "firewall: decides about every frame".to_owned(),
            conditions: vec![Condition { trigger: Trigger::Frame, record: Record::ALWAYS }],
            percent: Vec::new(),
            equals: Vec::new(),
            cost: 1.0,
        };
    }
    if !is_for_itself(rule) {
        // A frame of either end may complete what the header names the other way round.
        let mut both = rule.clone();
        both.header.bidirectional |= rule.transactional || matches!(rule.hook, Some(weir_ir::Hook::Transaction(_)));
        return complete(&both, builder, &[]);
    }
    if builder.options.deferred && builder.options.class(Class::Deferred) {
        if let Some(reason) = deferred::reason(rule) {
            return Choice {
                class: Class::Deferred,
                reason: reason.to_owned(),
                conditions: Vec::new(),
                percent: Vec::new(),
                equals: Vec::new(),
                cost: 0.0,
            };
        }
    }
    direct(rule, builder)
}

/// Nothing is proven of firewalls, of states of transactions, and of rules over both directions of one.
fn is_for_itself(rule: &Rule) -> bool {
    !(rule.firewall
        || rule.hook.is_some()
        || rule.transactional
        || rule.bypass
        || rule.unlogged.is_some()
        || rule.xbits.iter().any(|bit| bit.track == weir_ir::Track::Transaction))
}

/// The cheapest provable plan of a rule that is to divert by itself.
fn direct(rule: &Rule, builder: &mut Builder<'_>) -> Choice {
    let mut choices = Vec::new();
    if !rule.events.is_empty() {
        choices.extend(event::choice(rule, builder));
    }
    for run in &rule.buffers {
        let found = match run.buffer {
            Buffer::Payload => [payload::fragment(rule, run, builder), anchor::anchored(rule, run, builder)],
            buffer if dns::is_question(buffer) => [dns::fragment(rule, run, builder), None],
            Buffer::FileData if !http_only(rule) => [files::fragment(rule, run, builder), None],
            buffer if http::is_http(buffer) => [http::fragment(rule, run, builder), None],
            buffer if tls::is_tls(buffer) => [tls::fragment(rule, run, builder), None],
            _ => [None, None],
        };
        let mut found: Vec<Choice> = found.into_iter().flatten().collect();
        if run.buffer != Buffer::Payload {
            found.iter_mut().for_each(messages_hold);
        }
        choices.extend(found);
    }
    if is_http_rule(rule) || may_be_doh(rule) {
        let extra = http::http2(rule, builder);
        for choice in choices.iter_mut().filter(|c| c.class != Class::Header) {
            choice.conditions.extend(extra.iter().copied());
        }
    }
    if let Some(header) = header_only(rule, builder) {
        choices.push(header);
    }
    choices.retain(|c| builder.options.class(c.class));
    let mut complete = complete(rule, builder, &choices);
    if !builder.estimator.is_empty() {
        for choice in choices.iter_mut().chain(std::iter::once(&mut complete)) {
            choice.cost = weighed(choice, builder.estimator, builder.sets);
        }
    }
    match choices.into_iter().min_by(|a, b| a.cost.total_cmp(&b.cost)) {
        // A fragment, however frequent, is never worse than every frame.
        Some(choice) => choice,
        None => complete,
    }
}

/// What stands beside the fragments of a rule (guards that could hide them, announced codings, frames of HTTP/2, undecided
/// streams) hundreds of rules ask for as well: one more pays a part. The same of what stands beside guards alone.
const BESIDE: f64 = 1.0 / 64.0;

/// What a choice costs beside the plans of other rules.
fn weighed(choice: &Choice, estimator: &Estimator, sets: &Sets) -> f64 {
    let coding = |f: &class::Fragment| {
        http::CODINGS.iter().chain(&http::BROKEN_CODINGS).any(|text| class::Fragment::new(text, false) == Some(*f))
    };
    let cost = |is: &dyn Fn(&Trigger) -> bool| {
        let some: Vec<&Condition> = choice.conditions.iter().filter(|c| is(&c.trigger)).collect();
        estimator.price(&some, sets)
    };
    let own = |t: &Trigger| match t {
        Trigger::Fragment(f) => !coding(f),
        Trigger::Guard(guard) => *guard == Guard::Word as u8,
        Trigger::Frame => false,
    };
    let has = |is: &dyn Fn(&Trigger) -> bool| choice.conditions.iter().any(|c| is(&c.trigger));
    let guard = |t: &Trigger| matches!(t, Trigger::Guard(_));
    // Entries of tables are not for nothing.
    let entries = 1e-6 * choice.conditions.len() as f64;
    entries
        + if has(&own) {
            cost(&own) + BESIDE * cost(&|t| !own(t))
        } else if has(&guard) {
            cost(&guard) + BESIDE * cost(&|t| !guard(t))
        } else {
            cost(&|_| true)
        }
}

/// Conditions of a message's buffer need no hold of the stream, whatever else the rule looks at: it matches when the
/// message is inspected, and until then the message is open.
fn messages_hold(choice: &mut Choice) {
    for condition in &mut choice.conditions {
        let scopes = &mut condition.record.scopes;
        if *scopes & Scopes::APP.0 != 0 {
            *scopes &= !Scopes::STREAM.0;
        }
    }
}

/// The rule is inspected on HTTP transactions (all its application-layer buffers are HTTP's).
fn is_http_rule(rule: &Rule) -> bool {
    http_only(rule) || rule.buffers.iter().any(|b| http::is_http(b.buffer))
}

/// The rule is inspected on DNS messages, which HTTP/2 may carry, compressed or in base64.
fn may_be_doh(rule: &Rule) -> bool {
    use weir_contract::protocol::AppProtocol as P;
    matches!(base::header_protocol(rule), Some(P::Dns | P::Doh2)) || rule.buffers.iter().any(|b| b.buffer.protocol() == Some(P::Dns))
}

fn http_only(rule: &Rule) -> bool {
    use weir_contract::protocol::AppProtocol as P;
    matches!(base::header_protocol(rule), Some(P::Http | P::Http1 | P::Http2 | P::Doh2))
        || rule.buffers.iter().any(|b| b.buffer != Buffer::FileData && http::is_http(b.buffer))
}

/// Rules without byte matches: header fields, sizes, flags.
fn header_only(rule: &Rule, builder: &mut Builder<'_>) -> Option<Choice> {
    if !rule.buffers.is_empty() || !rule.app_layer.is_empty() || !rule.events.is_empty() {
        return None;
    }
    if base::header_protocol(rule).is_some() {
        return None;
    }
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    let mut used = 0;
    for record in &mut records {
        used = packet::narrow(rule, record);
    }
    let addresses = records.iter().any(|r| r.source_addresses != 0 || r.destination_addresses != 0);
    let ports = records.iter().any(|r| r.source_ports != 0 || r.destination_ports != 0);
    let narrowing = records.iter().map(|r| cost::narrowing(r, builder.sets)).sum::<f64>();
    Some(Choice {
        class: Class::Header,
        reason: match (addresses, ports, used) {
            (true, _, 0) => "addresses of the header".to_owned(),
            (false, true, 0) => "ports of the header".to_owned(),
            (false, false, 0) => "protocol of the header".to_owned(),
            (_, _, n) => format!("{n} header fields"),
        },
        conditions: records.into_iter().map(|record| Condition { trigger: Trigger::Frame, record }).collect(),
        percent: Vec::new(),
        equals: Vec::new(),
        cost: narrowing * 0.1f64.powi(used as i32),
    })
}

/// Class C: every frame that could carry what the rule looks at.
///
/// The frames of the rule's protocol class, transports, directions, ports and addresses; at least one byte of payload
/// where the rule looks at payload, streams or messages (an inspection that an empty segment completes, by closing,
/// needs bytes before it, and their frame was sent and not released while the inspection is open).
fn complete(rule: &Rule, builder: &mut Builder<'_>, tried: &[Choice]) -> Choice {
    let mut records = base::base_records(rule, builder.sets, base::BOTH);
    let bytes = !rule.buffers.is_empty() && rule.buffers.iter().all(|b| needs_payload(b.buffer));
    for record in &mut records {
        record.class_mask &= base::header_protocol(rule).map_or(u64::MAX, base::classes);
        for run in &rule.buffers {
            record.class_mask &= base::buffer_classes(run.buffer);
            record.transports &= base::buffer_transports(run.buffer);
        }
        if base::packet_only(rule) && rule.buffers.iter().all(|b| b.buffer == Buffer::Payload) {
            packet::narrow(rule, record);
            for run in rule.buffers.iter().filter(|b| b.transforms.is_empty()) {
                let least = chain::least_length(&run.matches).clamp(0, i64::from(u16::MAX) - 1) as u16;
                record.payload_min = record.payload_min.max(least);
            }
        }
        if bytes && !accepts_empty(rule) {
            record.payload_min = record.payload_min.max(1);
        }
        if record.transports == 0 {
            record.transports = TransportMask::ALL.0;
        }
    }
    let narrowing = records.iter().map(|r: &Record| cost::narrowing(r, builder.sets)).sum::<f64>();
    let mut conditions: Vec<Condition> =
        records.into_iter().map(|record| Condition { trigger: Trigger::Frame, record }).collect();
    if is_http_rule(rule) {
        conditions.extend(http::http2(rule, builder));
    }
    let reason = if !tried.is_empty() {
        "its class is switched off".to_owned()
    } else if let Some(run) = rule.buffers.iter().find(|b| !b.transforms.is_empty()) {
        format!("{} is transformed", run.buffer.name())
    } else if let Some(run) = rule.buffers.first() {
        format!("no usable fragment of 4 bytes in {}", run.buffer.name())
    } else {
        "no byte match".to_owned()
    };
    Choice { class: Class::Complete, reason, conditions, percent: Vec::new(), equals: Vec::new(), cost: narrowing }
}

/// The buffer exists only where a frame had payload.
fn needs_payload(buffer: Buffer) -> bool {
    !matches!(
        buffer,
        Buffer::Ipv4Header
            | Buffer::Ipv6Header
            | Buffer::TcpHeader
            | Buffer::UdpHeader
            | Buffer::Icmpv4Header
            | Buffer::Icmpv6Header
            | Buffer::IpSource
            | Buffer::IpDestination
    )
}

/// Raw payload rules that an empty payload could satisfy: no positive content.
fn accepts_empty(rule: &Rule) -> bool {
    rule.buffers.iter().all(|b| {
        b.buffer == Buffer::Payload && !b.matches.iter().any(|m| matches!(m, weir_ir::Match::Content(c) if !c.negated))
    })
}

/// Make one rule of a plan class C (used where a device is too small for its fragments).
pub fn widen(rules: &[Rule], plan: &mut Plan, index: usize) {
    let (Some(rule), Some(planned)) = (rules.get(index), plan.rules.get_mut(index)) else { return };
    let options = Options::default();
    let statistics = Statistics::default();
    let estimator = Estimator::new(Arc::clone(Profile::built_in()), statistics.clone());
    let mut builder =
        Builder { options: &options, statistics: &statistics, sets: &mut plan.sets, pattern: None, estimator: &estimator };
    let choice = complete(rule, &mut builder, &[]);
    planned.class = Class::Complete;
    planned.reason = "the device is too small for its fragment".to_owned();
    planned.conditions = choice.conditions;
    planned.cost = choice.cost;
}
