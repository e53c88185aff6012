//! The independent checker of table images: from the rules and the bits of an image it proves again, rule by rule, that no
//! frame able to match is passed over.
//!
//! Place: beside the compiler, sharing none of its planning. It knows the normalised rules, the contract (layouts, hash,
//! guards, what normalisation can hide) and the reference semantics (section 6), and asks of every rule: is there one thing
//! that must be true of the traffic if the rule matches, such that every frame of which it is true leads to a record that
//! holds? It does not ask how the compiler chose: any proof will do. What it does not understand it does not accept.
//!
//! What it takes as given: the device does as the contract says; the host inspects as the reference semantics say, keeps
//! flows whose gates are set and, if they were caught in scope HANDSHAKE, until no handshake message can be read, and looks in
//! streams for the patterns it is asked for ([`Host`]).
#![forbid(unsafe_code)]

mod aspect;
mod certificate;
mod contain;
mod dns;
mod event;
mod expression;
mod files;
mod http;
mod image;
mod joint;
pub mod mutate;
mod need;
mod payload;
mod place;
mod prove;
mod sets;
mod state;
mod tls;

pub use image::Broken;

use aspect::{Aspect, By};
use image::Bits;
use need::{BOTH, Frame, Need, needs};
use prove::{Tables, Unit};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use weir_contract::enums::{Scopes, TransportMask};
use weir_ir::{BitOperation, Buffer, Hook, Match, Rule, Track};

/// What the host does for the tables.
#[derive(Debug, Clone, Default)]
pub struct Host<'a> {
    /// By rule: the bytes that it looks for in a stream before it evaluates the rule.
    pub patterns: Vec<Option<&'a [u8]>>,
    /// Flowbits that keep a flow with it; none: those that the image's certificate names.
    pub gates: Option<BTreeSet<String>>,
}

/// Why a rule is known to miss nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// Records for every frame that it could match in.
    Frames,
    /// Fragments, and guards where these could be hidden.
    Fragments,
    /// It changes its own flow only.
    Deferred,
    /// It waits for a flowbit, and all rules that set it are proven.
    Gated,
    /// No packet can match it.
    Never,
}

/// A rule without a proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// Index of the rule.
    pub rule: usize,
    /// gid:sid:rev.
    pub identity: (u32, u32, u32),
    /// Where it stands.
    pub place: String,
    /// What is not caught.
    pub cause: String,
}

/// What the check found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Report {
    /// Rules looked at.
    pub rules: usize,
    /// Rules by proof.
    pub proven: BTreeMap<Proof, usize>,
    /// Rules without one.
    pub missing: Vec<Missing>,
    /// What is wrong with the image itself, whatever the rules are.
    pub faults: Vec<String>,
    /// Where the certificate says something else than rules and tables do.
    pub certificate: Vec<String>,
    /// Flowbits on which proofs rest.
    pub gates: BTreeSet<String>,
}

impl Report {
    /// Nothing can be missed, and the certificate tells the truth.
    pub fn is_good(&self) -> bool {
        self.missing.is_empty() && self.faults.is_empty() && self.certificate.is_empty()
    }
}

/// Checks an image against the rules that it was made from, in the order in which it was made from them.
pub fn verify(rules: &[Rule], host: &Host<'_>, image: &[u8]) -> Result<Report, Broken> {
    let bits = Bits::read(image)?;
    let mut report = Report { rules: rules.len(), faults: bits.faults.clone(), ..Report::default() };
    if bits.rule_count as usize != rules.len() {
        report.faults.push(format!(
            "the image was made from {} rules, not from these {}",
            bits.rule_count,
            rules.len()
        ));
    }
    let claims = bits.certificate.as_deref().map(certificate::read).unwrap_or_default();
    let gates = host.gates.clone().unwrap_or_else(|| claims.gates.clone());
    let mut tables = Tables::new(&bits);
    let mut proofs: Vec<Result<Proof, String>> = Vec::with_capacity(rules.len());
    for (n, rule) in rules.iter().enumerate() {
        let pattern = host.patterns.get(n).copied().flatten();
        proofs.push(prove(rule, pattern, &mut tables));
    }
    let own: Vec<bool> = proofs.iter().map(Result::is_ok).collect();
    let setters = state::setters(rules);
    for (n, rule) in rules.iter().enumerate().filter(|(n, _)| !own[*n]) {
        let proof = if state::may_wait(rule) {
            Some(Proof::Deferred)
        } else {
            // If one of the bits is set, one of its setters has matched, and the host has the flow since.
            let mut waits =
                rule.flowbits.iter().filter(|op| op.operation == BitOperation::IsSet && !op.names.is_empty());
            waits
                .find(|op| {
                    let kept = op.names.iter().all(|name| gates.contains(&**name));
                    let all = op.names.iter().filter_map(|name| setters.get(name)).flatten();
                    kept && all.filter(|s| **s != n).all(|s| own[*s])
                })
                .map(|op| {
                    report.gates.extend(op.names.iter().map(|name| name.to_string()));
                    Proof::Gated
                })
        };
        if let Some(proof) = proof {
            proofs[n] = Ok(proof);
        }
    }
    for change in state::changes(rules, &mut tables) {
        report.faults.push(format!("a change of protocol is not caught: {change}"));
    }
    certificate::compare(rules, &proofs, &claims, &tables, &mut report);
    for (n, (proof, rule)) in proofs.into_iter().zip(rules).enumerate() {
        match proof {
            Ok(proof) => *report.proven.entry(proof).or_default() += 1,
            Err(cause) => report.missing.push(Missing {
                rule: n,
                identity: (rule.identity.gid, rule.identity.sid, rule.identity.rev),
                place: format!("{}:{}", rule.source.file, rule.source.line),
                cause,
            }),
        }
    }
    Ok(report)
}

/// What is known of one rule: how it is proven, or what is not caught. The same question as [`verify`] asks of all.
pub fn verify_one(rules: &[Rule], host: &Host<'_>, image: &[u8], index: usize) -> Result<Result<Proof, String>, Broken> {
    let bits = Bits::read(image)?;
    let gates = match &host.gates {
        Some(gates) => gates.clone(),
        None => bits.certificate.as_deref().map(certificate::read).unwrap_or_default().gates,
    };
    let mut tables = Tables::new(&bits);
    let Some(rule) = rules.get(index) else { return Ok(Err("there is no such rule".to_owned())) };
    let mut own = |n: usize| {
        let pattern = host.patterns.get(n).copied().flatten();
        rules.get(n).map_or(Ok(Proof::Never), |rule| prove(rule, pattern, &mut tables))
    };
    let cause = match own(index) {
        Ok(proof) => return Ok(Ok(proof)),
        Err(_) if state::may_wait(rule) => return Ok(Ok(Proof::Deferred)),
        Err(cause) => cause,
    };
    let setters = state::setters(rules);
    for op in rule.flowbits.iter().filter(|op| op.operation == BitOperation::IsSet && !op.names.is_empty()) {
        let mut all = op.names.iter().filter_map(|name| setters.get(name)).flatten().filter(|s| **s != index);
        if op.names.iter().all(|name| gates.contains(&**name)) && all.all(|s| own(*s).is_ok()) {
            return Ok(Ok(Proof::Gated));
        }
    }
    Ok(Err(cause))
}

/// Word by word what is not caught.
fn describe(what: &str, need: &Need) -> String {
    let transport =
        TransportMask::NAMES.iter().find(|(bit, _)| need.transport & bit != 0).map_or("?", |(_, name)| name);
    let scopes: Vec<&str> =
        Scopes::NAMES.iter().filter(|(bit, _)| need.scopes & bit != 0).map(|(_, name)| *name).collect();
    format!("{what}: no record catches every {transport} frame that could match (scopes {})", scopes.join(", "))
}

/// A message's inspection keeps the flow by itself: nothing needs the stream.
pub(crate) fn message(mut need: Need) -> Need {
    if need.scopes & Scopes::APP.0 != 0 {
        need.scopes &= !Scopes::STREAM.0;
    }
    need
}

/// A proof of one rule by itself, or what is missing.
fn prove(rule: &Rule, pattern: Option<&[u8]>, tables: &mut Tables<'_>) -> Result<Proof, String> {
    let transaction = matches!(rule.hook, Some(Hook::Transaction(_)));
    let opaque = rule.hook.is_some()
        || rule.transactional
        || rule.bypass
        || rule.unlogged.is_some()
        || rule.xbits.iter().any(|bit| bit.track == Track::Transaction);
    let mut every = everything(rule, tables, rule.transactional || transaction);
    if rule.firewall {
        // What no rule accepts is dropped: every frame counts.
        for (need, _) in &mut every.needs {
            (need.classes, need.directions, need.payload.0) = (u64::MAX, BOTH, 0);
        }
    }
    if every.needs.is_empty() {
        return Ok(Proof::Never);
    }
    let mut cause = match every.prove(tables) {
        Ok(_) => return Ok(Proof::Frames),
        Err(need) => describe("every frame", &need),
    };
    if opaque || rule.firewall {
        return Err(cause);
    }
    for deep in [false, true] {
        for aspect in aspects(rule, pattern, tables, deep) {
            if aspect.needs.is_empty() {
                return Ok(Proof::Never);
            }
            match aspect.prove(tables) {
                Ok(By::Frames) => return Ok(Proof::Frames),
                Ok(By::Windows) => return Ok(Proof::Fragments),
                Err(need) => cause = describe(&aspect.what, &need),
            }
        }
    }
    Err(cause)
}

/// What must be true if the rule matches, one thing after the other.
fn aspects(rule: &Rule, pattern: Option<&[u8]>, tables: &mut Tables<'_>, deep: bool) -> Vec<Aspect> {
    let mut out: Vec<Aspect> = Vec::new();
    if deep {
        out.extend(rule.events.iter().map(|event| event::aspect(rule, event, tables)));
    }
    for run in &rule.buffers {
        let http_only = http::only_http(rule);
        let aspect = match run.buffer {
            // Payload is what is on the wire, whatever protocol reads it.
            Buffer::Payload => payload::aspect(rule, run, pattern, tables, deep),
            b if dns::is_name(b) => dns::aspect(rule, run, tables, deep),
            Buffer::FileData if !http_only => files::aspect(rule, run, tables),
            b if http::is_http(b) => http::aspect(rule, run, tables, deep),
            b if tls::is_wire(b) => tls::aspect(rule, run, tables, deep),
            _ => None,
        };
        out.extend(aspect);
    }
    out
}

/// Every frame that the rule could match in.
fn everything(rule: &Rule, tables: &mut Tables<'_>, both_orders: bool) -> Aspect {
    let payload = rule.buffers.iter().all(|run| run.buffer == Buffer::Payload);
    let packets = payload && (need::on_packets(rule) || rule.buffers.is_empty());
    let message = !payload || !rule.app_layer.is_empty() || need::header_protocol(rule).is_some();
    let frame =
        if packets && rule.app_layer.is_empty() && rule.events.is_empty() { Frame::Matching } else { Frame::Carrying };
    let bytes = !rule.buffers.is_empty() && !rule.buffers.iter().any(|run| need::of_headers(run.buffer));
    let positive = !payload
        || rule.buffers.iter().any(|run| run.matches.iter().any(|m| matches!(m, Match::Content(c) if !c.negated)));
    let mut aspect = Aspect { what: "every frame".to_owned(), ..Aspect::default() };
    for mut need in needs(rule, tables.bits, &mut tables.lists, frame, BOTH) {
        if bytes && positive {
            need.payload.0 = need.payload.0.max(1);
        }
        if packets && frame == Frame::Matching {
            for run in rule.buffers.iter().filter(|run| run.transforms.is_empty()) {
                need.payload.0 = need.payload.0.max(place::least_length(&run.matches));
            }
            if need.payload.0 > need.payload.1 {
                continue;
            }
        }
        let unit = if message || rule.buffers.is_empty() { Unit::Message } else { Unit::Packet };
        aspect.needs.push((need, unit));
        if both_orders {
            aspect.needs.push((need.turned(), unit));
        }
    }
    aspect
}
