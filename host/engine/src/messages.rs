//! Messages that hold their flow no longer: everything that has come of them is judged, and nothing waits.
//!
//! Place: beside [`crate::flow_data`], which asks before it holds a flow for an open transaction. The argument stands in
//! decision 0020. Invariant: "settled" is said only where every rule that could still match needs a later frame that the
//! device flags.

use crate::evidence::{Stream, StreamEvidence};
use crate::hold::Hold;
use crate::suspects::{BodyEvidence, Suspects};
use aho_corasick::{AhoCorasick, MatchKind};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use weir_app_layer::{AppLayerFlow, Rest};
use weir_contract::constants::TAIL_LENGTH;
use weir_contract::protocol::AppProtocol;
use weir_detect::{FlowDetect, Inspector, Waiter};

/// What a rule that waits in a message needs of bytes to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Nothing that the device flags: its flow is held.
    Holds,
    /// Its match needs another rule's, by which the flow is flagged.
    Never,
    /// What the tables look for must be there and is not yet.
    Until {
        /// Parts of the rule that look at raw payload: the tables look for something of it, so while none of them has
        /// matched, bytes of the stream's window are missing, and these are held by the stream's scope.
        payload: u64,
        /// The tables (also) look for fragments of the response, listed with the rule.
        response: bool,
    },
}

/// What the tables look for in messages where the host's own search would not find it.
#[derive(Debug, Default)]
pub struct MessageEvidence {
    /// For rules that only a pattern in the body makes wait.
    bodies: BodyEvidence,
    /// For rules that wait: facts that hide a fragment in a response's head.
    heads: StreamEvidence,
    /// By rule, what it needs when it waits; none: its flow is held.
    waits: Vec<Wait>,
    /// Fragments of rules that wait.
    automaton: Option<AhoCorasick>,
    /// By the automaton's patterns, the rules, sorted.
    owners: Vec<Vec<u32>>,
    /// The same for data connections of FTP, whose one message is a body; none: every byte of theirs may matter.
    data: Option<Box<MessageEvidence>>,
}

impl MessageEvidence {
    /// `bodies`: fragments, facts and patterns that rules with a pattern in a body are looked for by. `waits`: by rule.
    /// `fragments`: folded bytes that stand in responses, and the rules that wait and are looked for by them; `heads`:
    /// facts of a head that hide such bytes.
    pub fn new(
        bodies: BodyEvidence,
        mut waits: Vec<Wait>,
        fragments: BTreeMap<Box<[u8]>, Vec<u32>>,
        heads: StreamEvidence,
    ) -> Self {
        let (bytes, mut owners): (Vec<_>, Vec<_>) = fragments.into_iter().unzip();
        owners.iter_mut().for_each(|rules| rules.sort_unstable());
        let mut automaton = None;
        if !bytes.is_empty() {
            let mut builder = AhoCorasick::builder();
            automaton = builder.ascii_case_insensitive(true).match_kind(MatchKind::Standard).build(&bytes).ok();
            if automaton.is_none() {
                waits.clear();
            }
        }
        MessageEvidence { bodies, heads, waits, automaton, owners, data: None }
    }

    /// With what tables look for in data connections of FTP.
    pub fn with_data_connections(mut self, data: MessageEvidence) -> Self {
        self.data = Some(Box::new(data));
        self
    }

    /// What they look for in messages of the protocol.
    fn of(&self, protocol: Option<AppProtocol>) -> &MessageEvidence {
        static UNKNOWN: LazyLock<MessageEvidence> = LazyLock::new(MessageEvidence::unknown);
        match protocol {
            Some(AppProtocol::FtpData) => self.data.as_deref().unwrap_or(&UNKNOWN),
            _ => self,
        }
    }

    /// Every byte may matter.
    pub fn unknown() -> Self {
        MessageEvidence { bodies: BodyEvidence::unknown(), ..MessageEvidence::default() }
    }

    /// Tells `look` which fragments `bytes` hold.
    fn search(&self, bytes: &[u8], look: &mut Look) {
        let Some(automaton) = &self.automaton else { return };
        for hit in automaton.find_overlapping_iter(bytes) {
            look.saw(hit.pattern().as_u32());
        }
    }

    /// A fragment of the rule is among those seen.
    fn has_seen(&self, rule: u32, look: &Look) -> bool {
        let (seen, count) = &look.seen;
        let of_rule = |fragment: &u32| self.owners.get(*fragment as usize).is_none_or(|rules| rules.binary_search(&rule).is_ok());
        seen.get(..usize::from(*count)).is_none_or(|seen| seen.iter().any(of_rule))
    }
}

/// Fragments seen in one response that are told apart; with more, all count as seen.
const SEEN_MAX: usize = 8;

/// How far the host has looked through the response under way, and what giving flows back early has brought.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// Transaction, modulo 2^32.
    transaction: u32,
    /// Bytes of its response's body that were looked through.
    through: u32,
    /// Bytes read from history of what passed after an early release.
    returned: u32,
    /// Rules on bodies to which something in them leads, as far as they could still match.
    suspects: Suspects,
    /// Fragments of rules that may wait, which they hold, and how many.
    seen: ([u32; SEEN_MAX], u8),
    /// The last release came before the end of a message.
    pub early: bool,
}

/// One in so many bytes of a flow may come back from history for an early release: the host reads them later, not less.
const RETURNED_PART: u64 = 6;
/// Without regard to that, as many bytes.
const RETURNED_FREE: u64 = 4096;

/// What a message under way holds its flow for, where nothing is known of its rest.
fn kind(app: &AppLayerFlow) -> Hold {
    match app.protocol() {
        None => Hold::Undecided,
        Some(AppProtocol::Http1) => Hold::Coded,
        Some(protocol) => Hold::Message(protocol),
    }
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The flow's messages.
    pub app: &'a AppLayerFlow,
    /// Its inspection.
    pub detect: Option<&'a FlowDetect>,
    /// What the tables look for in messages.
    pub evidence: &'a MessageEvidence,
    /// Its protocol classes.
    pub classes: u64,
    /// Ports of the initiator and of the responder.
    pub ports: [u16; 2],
    /// Its bytes so far.
    pub bytes: u64,
}

impl Look {
    /// Of a flow that was given back early, `length` bytes were read from history.
    pub fn came_back(&mut self, length: usize) {
        if self.early {
            self.returned = self.returned.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
        }
    }

    /// What holds the flow; none: nothing of what has come of its messages can complete a match.
    pub fn holds(&mut self, asked: Asked<'_>, inspector: &mut Inspector) -> Option<Hold> {
        let Asked { app, detect, evidence, classes, ports, bytes } = asked;
        let evidence = evidence.of(app.protocol());
        let live = app.state().map_or(&[][..], |state| state.transactions());
        let mut could = |rule: u32, transaction: u64| {
            let at = live.binary_search_by_key(&transaction, |t| t.id).ok();
            at.zip(app.state()).is_none_or(|(at, state)| inspector.could_match(rule, state, at))
        };
        let under_way = match app.rest() {
            Rest::Unknown => return Some(kind(app)),
            Rest::Nothing => None,
            Rest::Body { transaction, direction, head, body } if !evidence.bodies.is_unknown() => {
                let d = direction as usize;
                let stream = Stream { classes, source: ports[d], destination: ports[1 - d] };
                self.look(transaction as u32, head, body, evidence, stream);
                if self.suspects.any_could(|rule| could(rule, transaction)) || evidence.bodies.is_cut(body) {
                    return Some(Hold::Body);
                }
                Some((transaction, direction))
            }
            Rest::Body { .. } => return Some(Hold::Body),
        };
        if evidence.bodies.is_unknown() {
            return Some(Hold::Waits);
        }
        let holds = |waiter: &Waiter| {
            let Waiter { transaction, frame, direction, rule, done } = *waiter;
            let of_body = !frame && under_way.is_some_and(|(of, _)| of == transaction);
            let waits = match evidence.waits.get(rule as usize) {
                None | Some(Wait::Holds) => true,
                Some(Wait::Never) => false,
                Some(Wait::Until { payload, response }) => {
                    payload & done != 0 || *response && (!of_body || evidence.has_seen(rule, self))
                }
            };
            let of_its_side = of_body && under_way.is_some_and(|(_, side)| side == direction);
            waits && !(of_its_side && !could(rule, transaction))
        };
        if detect.is_some_and(|detect| detect.waits_for(live, holds)) {
            return Some(Hold::Waits);
        }
        (u64::from(self.returned) > RETURNED_FREE + bytes / RETURNED_PART).then_some(Hold::Returned)
    }

    fn look(&mut self, transaction: u32, head: &[u8], body: &[u8], evidence: &MessageEvidence, stream: Stream) {
        // (Transactions are numbered from 0; one whose body has not begun is looked through again.)
        if self.through == 0 || self.transaction != transaction {
            (self.transaction, self.through, self.seen) = (transaction, 0, Default::default());
            self.suspects = Suspects::default();
            evidence.bodies.of_head(head, stream, &mut self.suspects);
            evidence.bodies.of_bytes(head, stream, &mut self.suspects);
            evidence.search(head, self);
            if evidence.heads.is_in(head, stream) {
                self.seen.1 = u8::MAX;
            }
        }
        if self.suspects.is_all() {
            return;
        }
        let through = self.through as usize;
        if through < TAIL_LENGTH {
            let before = head.get(head.len().saturating_sub(TAIL_LENGTH)..).unwrap_or(head);
            let joint = [before, body.get(..body.len().min(2 * TAIL_LENGTH)).unwrap_or(body)].concat();
            evidence.bodies.of_bytes(&joint, stream, &mut self.suspects);
            evidence.search(&joint, self);
        }
        let fresh = body.get(through.saturating_sub(TAIL_LENGTH)..).unwrap_or(&[]);
        evidence.bodies.of_bytes(fresh, stream, &mut self.suspects);
        evidence.search(fresh, self);
        self.through = u32::try_from(body.len()).unwrap_or(u32::MAX);
    }

    fn saw(&mut self, fragment: u32) {
        let (fragments, count) = &mut self.seen;
        let used = usize::from(*count);
        if fragments.get(..used).is_some_and(|seen| !seen.contains(&fragment)) {
            if let Some(place) = fragments.get_mut(used) {
                *place = fragment;
            }
            *count += 1;
        }
    }
}
