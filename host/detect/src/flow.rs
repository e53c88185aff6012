//! What detection keeps for one flow.
//!
//! Place: owned by the engine's flow entry, passed to every inspection. Invariants: every list is bounded; rule
//! indices in it belong to one program; when the flow goes over to another epoch, everything that rules have left on it is
//! forgotten, and rules see only what begins from then on (reference semantics, section 9).

use crate::program::header::HeaderCache;
use crate::program::{Program, RuleIndex};
use weir_app_layer::{Direction, Transaction};

/// Most rules waiting for more bytes of a stream.
pub(crate) const MAX_PENDING: usize = 4096;
/// Most candidates of one transaction and direction.
pub(crate) const MAX_CANDIDATES: usize = 16_384;

/// A rule whose fast pattern stands in the stream window, or that matched within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pending {
    pub rule: RuleIndex,
    /// Stream offset of the end of the last hit.
    pub end: u64,
    /// Stream offset behind the bytes that the rule has matched: they do not match it again.
    pub from: u64,
}

/// State of one direction.
#[derive(Debug, Default)]
pub(crate) struct Side {
    pub headers: HeaderCache,
    /// Rules without fast pattern whose header holds, by unit; none until looked up.
    pub packet: Option<Box<[RuleIndex]>>,
    pub stream: Option<Box<[RuleIndex]>>,
    pub transaction: Option<Box<[RuleIndex]>>,
    /// Sorted by rule.
    pub pending: Vec<Pending>,
    /// Rules that look at addresses only were inspected.
    pub addresses_done: bool,
    /// Rules that look at the protocol only were inspected.
    pub detection_done: bool,
}

impl Side {
    /// Stream offset behind the bytes that `rule` has matched.
    pub(crate) fn matched_to(&self, rule: RuleIndex) -> u64 {
        let at = self.pending.binary_search_by_key(&rule, |p| p.rule).ok();
        at.and_then(|at| self.pending.get(at)).map_or(0, |p| p.from)
    }

    /// `rule` has matched bytes up to stream offset `end`.
    pub(crate) fn set_matched(&mut self, rule: RuleIndex, end: u64) {
        match self.pending.binary_search_by_key(&rule, |p| p.rule) {
            Ok(at) => {
                if let Some(known) = self.pending.get_mut(at) {
                    known.from = end;
                }
            }
            Err(at) if self.pending.len() < MAX_PENDING => self.pending.insert(at, Pending { rule, end: 0, from: end }),
            Err(_) => {}
        }
    }
}

/// A rule that may match a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub rule: RuleIndex,
    /// Buffers that matched already, by position in the rule.
    pub done: u64,
    /// What there was of all at the last evaluation.
    pub tried: Option<Extent>,
}

/// A rule that waits in a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiter {
    /// Number of the transaction.
    pub transaction: u64,
    /// It is one of a frame.
    pub frame: bool,
    /// Direction in which the rule is inspected.
    pub direction: Direction,
    /// The rule.
    pub rule: RuleIndex,
    /// Parts of it that have matched, by position in the rule.
    pub done: u64,
}

/// How much there is of buffers that a candidate waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Buffers and instances that are complete, or known to be missing.
    pub settled: u32,
    /// Bytes of those that grow.
    pub growing: u64,
}

impl Extent {
    /// Evaluating again may tell something new. What only grew is looked at again when it has grown by an eighth, or by
    /// 1 KiB: a segment of ordinary size is looked at when it arrives, and whoever sends a body byte by byte cannot
    /// make each of them cost the whole body.
    pub(crate) fn is_news(self, before: Extent) -> bool {
        let step = (before.growing / 8).min(1024);
        self.settled != before.settled || self.growing > before.growing.saturating_add(step)
    }
}

/// Progress of one pattern group through a growing or repeated buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Position in the protocol's list of groups.
    pub group: u16,
    pub instance: u16,
    pub scanned: u32,
}

/// State of one direction of a transaction.
#[derive(Debug, Default)]
pub(crate) struct TransactionSide {
    pub begun: bool,
    /// Groups that have seen their whole buffer, by position in the protocol's list.
    pub groups_done: [u64; 4],
    pub scans: Vec<Scan>,
    /// Sorted by rule.
    pub candidates: Vec<Candidate>,
    /// Sorted.
    pub alerted: Vec<RuleIndex>,
    /// Events seen.
    pub events: u16,
}

/// State of one transaction.
#[derive(Debug, Default)]
pub(crate) struct TransactionDetect {
    pub id: u64,
    pub sides: [TransactionSide; 2],
}

/// Detection's state of one flow.
#[derive(Debug, Default)]
pub struct FlowDetect {
    pub(crate) program: u64,
    /// Epoch of the flow's last packet; see [`FlowDetect::go_over`].
    epoch: u32,
    /// What rules see begins here, of flows that have gone over to another epoch.
    pub(crate) since: Option<Box<Since>>,
    /// Sorted numbers of the bits that are set.
    pub(crate) bits: Vec<u32>,
    /// Sorted by variable.
    pub(crate) ints: Vec<(u32, u32)>,
    pub(crate) sides: [Side; 2],
    /// Transactions, and frames, which are numbered by themselves.
    pub(crate) units: [Vec<TransactionDetect>; 2],
    pub(crate) passed: bool,
    pub(crate) dropped: bool,
    /// What firewall mode has decided.
    pub(crate) firewall: FlowFirewall,
    /// What matches tell of the flow.
    pub(crate) notes: Vec<crate::notes::Note>,
    /// `xbits` of transactions: transaction, name; sorted.
    pub(crate) transaction_bits: Vec<(u64, u32)>,
}

/// What firewall mode keeps for a flow.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FlowFirewall {
    /// `accept:flow`: nothing more is decided.
    pub accepted: bool,
    /// Directions that have had a packet.
    pub started: [bool; 2],
    /// Directions that have had bytes of a protocol.
    pub met: [bool; 2],
    /// Live transactions, sorted by number.
    pub transactions: Vec<FirewallTransaction>,
    /// Rules that have matched bytes of a transaction, sorted.
    pub matched: Vec<(u64, RuleIndex)>,
}

/// How far a transaction has come through its hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirewallTransaction {
    pub id: u64,
    /// By direction: the state that is decided next; it is decided again while the transaction stays in it.
    pub next: [u8; 2],
    /// The complete direction is decided.
    pub done: [bool; 2],
    /// The direction has been met.
    pub begun: [bool; 2],
    /// `accept:tx`
    pub accepted: bool,
}

/// Where the part of a flow begins that rules of its present epoch see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    /// Stream offset of the first byte; none until bytes come.
    pub stream: [Option<u64>; 2],
    /// First transaction and first frame, by number. None: something that began before is still open, so what begins
    /// now may have begun before.
    pub units: Option<[u64; 2]>,
    /// Bytes had come: what the layer finds out about the flow's protocol is not of this epoch.
    pub protocol: bool,
}

/// How far a flow is when it goes over to another epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// No message is under way; numbers behind the last transaction and the last frame that live.
    pub quiet: Option<[u64; 2]>,
    /// Bytes have come for its parser.
    pub protocol: bool,
}

/// What is left of detection's state when nothing but caches was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marks {
    program: u64,
    epoch: u32,
    addresses_done: [bool; 2],
    detection_done: [bool; 2],
}

impl Marks {
    /// Epoch of the flow's last packet.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }
}

impl FlowDetect {
    /// Names of the flowbits that are set, and of flowints with their values, sorted.
    pub fn names<'p>(&self, program: &'p Program) -> (Vec<&'p str>, Vec<(&'p str, u32)>) {
        if self.program != program.id() {
            return Default::default();
        }
        let tables = program.names();
        let mut bits: Vec<&str> = self.bits.iter().filter_map(|bit| tables.bits.name(*bit)).collect();
        let mut ints: Vec<(&str, u32)> =
            self.ints.iter().filter_map(|(name, value)| Some((tables.ints.name(*name)?, *value))).collect();
        bits.sort_unstable();
        ints.sort_unstable();
        (bits, ints)
    }

    /// The flow has another parser now, which numbers its transactions anew.
    pub fn protocol_changed(&mut self) {
        self.units.iter_mut().for_each(Vec::clear);
        self.transaction_bits.clear();
        self.firewall.transactions.clear();
        self.firewall.matched.clear();
        if let Some(units) = self.since.as_mut().and_then(|since| since.units.as_mut()) {
            *units = [0; 2];
        }
    }

    /// Epoch of the flow's last packet; 0 before the first.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The flow begins in this epoch.
    pub fn begin(&mut self, epoch: u32) {
        self.epoch = epoch;
    }

    /// The flow's next packet is of another epoch, whose rules see nothing of what began before: neither bytes nor
    /// transactions nor what rules of the earlier epoch have left on the flow. What was decided about the flow stays: a
    /// drop, and the decisions of the firewall.
    pub fn go_over(&mut self, epoch: u32, standing: Standing) {
        let dropped = self.dropped;
        let mut firewall = std::mem::take(&mut self.firewall);
        firewall.matched.clear();
        self.resume(Marks { epoch, detection_done: [standing.protocol; 2], ..Marks::default() });
        self.dropped = dropped;
        self.firewall = firewall;
        let since = Since { stream: [None; 2], units: standing.quiet, protocol: standing.protocol };
        self.since = Some(Box::new(since));
    }

    /// The flow has gone over, and something that began before was open ever since.
    pub fn straddles(&self) -> bool {
        self.since.as_ref().is_some_and(|since| since.units.is_none())
    }

    /// Nothing that began before is open any more.
    pub fn is_over(&mut self, quiet: [u64; 2]) {
        if let Some(since) = &mut self.since {
            since.units.get_or_insert(quiet);
        }
    }

    /// What the layer finds out about the flow's protocol began before the epoch.
    pub fn protocol_is_old(&self) -> bool {
        self.since.as_ref().is_some_and(|since| since.protocol)
    }

    /// What matches have told of the flow.
    pub fn notes(&self) -> &[crate::notes::Note] {
        &self.notes
    }

    /// The firewall has accepted all of the flow.
    pub fn accepted(&self) -> bool {
        self.firewall.accepted
    }

    /// A rule whose fast pattern was found in one of these transactions, or that has none, waits for the rest, and `holds`
    /// the flow for it: asked of those that live.
    pub fn waits_for(&self, live: &[Transaction], mut holds: impl FnMut(&Waiter) -> bool) -> bool {
        self.units.iter().enumerate().any(|(kind, units)| {
            units.iter().any(|unit| {
                let sides = unit.sides.iter().zip([Direction::ToServer, Direction::ToClient]);
                let mut waiters = sides.flat_map(|(side, direction)| {
                    let (transaction, frame) = (unit.id, kind != 0);
                    let waiter = move |c: &Candidate| Waiter { transaction, frame, direction, rule: c.rule, done: c.done };
                    side.candidates.iter().map(waiter)
                });
                waiters.any(|waiter| holds(&waiter)) && live.binary_search_by_key(&unit.id, |t| t.id).is_ok()
            })
        })
    }

    /// What cannot be found again from the program and the flow's packets; none if that is more than marks. A flow
    /// that shrinks to this and comes back with [`FlowDetect::resume`] has lost nothing but time.
    pub fn marks(&self) -> Option<Marks> {
        let plain = self.bits.is_empty()
            && self.ints.is_empty()
            && self.units.iter().all(Vec::is_empty)
            && self.sides.iter().all(|side| side.pending.is_empty())
            && self.notes.is_empty()
            && self.since.is_none()
            && self.firewall == FlowFirewall::default()
            && !self.is_closed();
        plain.then(|| Marks {
            program: self.program,
            epoch: self.epoch,
            addresses_done: [0, 1].map(|n: usize| self.sides[n].addresses_done),
            detection_done: [0, 1].map(|n: usize| self.sides[n].detection_done),
        })
    }

    /// Become the state that `marks` came from. Memory is kept.
    pub fn resume(&mut self, marks: Marks) {
        for (n, side) in self.sides.iter_mut().enumerate() {
            side.headers.clear();
            side.packet = None;
            side.stream = None;
            side.transaction = None;
            side.pending.clear();
            side.addresses_done = marks.addresses_done[n];
            side.detection_done = marks.detection_done[n];
        }
        self.program = marks.program;
        self.epoch = marks.epoch;
        self.since = None;
        self.bits.clear();
        self.ints.clear();
        self.units.iter_mut().for_each(Vec::clear);
        self.passed = false;
        self.dropped = false;
        self.firewall = FlowFirewall::default();
        self.notes.clear();
        self.transaction_bits.clear();
    }

    /// A `pass` rule ended the inspection of the flow.
    pub fn passed(&self) -> bool {
        self.passed
    }

    /// The engine drops the flow: nothing more of it is inspected.
    pub fn set_dropped(&mut self) {
        self.dropped = true;
    }

    /// Nothing more of the flow is inspected.
    pub fn is_closed(&self) -> bool {
        self.passed || self.dropped
    }

    /// The flow's bit of this name is set.
    pub fn has_bit(&self, program: &Program, name: &str) -> bool {
        self.program == program.id()
            && program.names().bits.get(name).is_some_and(|bit| self.bits.binary_search(&bit).is_ok())
    }

    /// One of these bits of the program, sorted by number, is set.
    pub fn has_any_bit(&self, program: &Program, bits: &[u32]) -> bool {
        self.program == program.id() && self.bits.iter().any(|bit| bits.binary_search(bit).is_ok())
    }

    /// Names of the bits that are set (for records).
    pub fn bit_names<'p>(&'p self, program: &'p Program) -> impl Iterator<Item = &'p str> {
        self.bits.iter().filter_map(|&bit| program.names().bits.name(bit))
    }

    /// The program inspects the flow from here on. (Another one before it: the flow has not gone over, so its rule indices
    /// mean nothing.)
    pub(crate) fn attach(&mut self, program: &Program) {
        let before = std::mem::replace(&mut self.program, program.id());
        if before != 0 && before != self.program {
            let standing = Standing { quiet: None, protocol: true };
            self.go_over(self.epoch, standing);
            self.program = program.id();
        }
    }

    /// Stream offset from which rules see bytes of a direction; of those behind `next` if none has come yet.
    pub(crate) fn sees_from(&mut self, direction: usize, next: u64) -> u64 {
        self.since
            .as_mut()
            .and_then(|since| since.stream.get_mut(direction))
            .map_or(0, |from| *from.get_or_insert(next))
    }

    /// The same, where nothing new has come.
    pub(crate) fn saw_from(&self, direction: usize) -> u64 {
        let from = self.since.as_ref().and_then(|since| since.stream.get(direction));
        from.map_or(0, |from| from.unwrap_or(u64::MAX))
    }

    /// Number of the first transaction (`kind` 0) or frame (1) that rules see.
    pub(crate) fn sees_units_from(&self, kind: usize) -> u64 {
        let Some(since) = &self.since else { return 0 };
        since.units.and_then(|units| units.get(kind).copied()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_of_a_buffer_are_evaluated_together() {
        let mut tried = Extent { settled: 0, growing: 1 };
        let (mut evaluations, mut work) = (0, 0);
        for growing in 2..=100_000 {
            let extent = Extent { settled: 0, growing };
            if extent.is_news(tried) {
                (tried, evaluations, work) = (extent, evaluations + 1, work + growing);
            }
        }
        assert!(evaluations < 200 && work < 100 * 100_000, "{evaluations} evaluations of {work} bytes");
        assert!(Extent { settled: 1, ..tried }.is_news(tried));
        assert!(!tried.is_news(tried));
    }
}
