//! Messages that hold their flow no longer: everything that has come of them is judged, and nothing waits.
//!
//! Place: beside [`crate::flow_data`], which asks before it holds a flow for an open transaction. The argument stands in
//! decision 0020. Invariant: "settled" is said only where every rule that could still match needs a later frame that the
//! device flags.

use crate::evidence::{Stream, StreamEvidence};
use weir_app_layer::{AppLayerFlow, Rest};
use weir_contract::constants::TAIL_LENGTH;
use weir_detect::FlowDetect;

/// How far the host has looked through the response under way, and what giving flows back early has brought.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look {
    /// Transaction, modulo 2^32.
    transaction: u32,
    /// Bytes of its response's body that were looked through.
    through: u32,
    /// Bytes read from history of what passed after an early release.
    returned: u32,
    /// They hold what leads to a rule.
    found: bool,
    /// The last release came before the end of a message.
    pub early: bool,
}

/// One in so many bytes of a flow may come back from history for an early release: the host reads them later, not less.
const RETURNED_PART: u64 = 5;
/// Without regard to that, as many bytes.
const RETURNED_FREE: u64 = 4096;

impl Look {
    /// Of a flow that was given back early, `length` bytes were read from history.
    pub fn came_back(&mut self, length: usize) {
        if self.early {
            self.returned = self.returned.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
        }
    }

    /// Nothing of what has come of the flow's messages can complete a match. `bytes`: the flow's so far.
    pub fn is_settled(
        &mut self,
        app: &AppLayerFlow,
        detect: Option<&FlowDetect>,
        evidence: &StreamEvidence,
        stream: Stream,
        bytes: u64,
    ) -> bool {
        if evidence.is_unknown() || u64::from(self.returned) > RETURNED_FREE + bytes / RETURNED_PART {
            return false;
        }
        let rest = app.rest();
        let waits = || {
            let live = app.state().map_or(&[][..], |state| state.transactions());
            detect.is_some_and(|detect| detect.waits_for(live))
        };
        match rest {
            Rest::Unknown => false,
            Rest::Nothing => !waits(),
            Rest::Body { transaction, head, body } => {
                self.look(transaction as u32, head, body, evidence, stream);
                !self.found && !evidence.is_cut(body) && !waits()
            }
        }
    }

    fn look(&mut self, transaction: u32, head: &[u8], body: &[u8], evidence: &StreamEvidence, stream: Stream) {
        // (Transactions are numbered from 0; one whose body has not begun is looked through again.)
        if self.through == 0 || self.transaction != transaction {
            (self.transaction, self.through) = (transaction, 0);
            self.found = evidence.is_in(head, stream);
        }
        if self.found {
            return;
        }
        let through = self.through as usize;
        if through < TAIL_LENGTH {
            let before = head.get(head.len().saturating_sub(TAIL_LENGTH)..).unwrap_or(head);
            let joint = [before, body.get(..body.len().min(2 * TAIL_LENGTH)).unwrap_or(body)].concat();
            self.found |= evidence.has_fragment(&joint, stream);
        }
        let from = through.saturating_sub(TAIL_LENGTH);
        self.found |= evidence.has_fragment(body.get(from..).unwrap_or(&[]), stream);
        self.through = u32::try_from(body.len()).unwrap_or(u32::MAX);
    }
}
