//! Whether a rule could still match a transaction that has not come to its end.

use super::Inspector;
use super::transaction::slot_direction;
use crate::program::RuleIndex;
use crate::program::rule::{Absence, Source};
use weir_app_layer::{BufferState, Direction, ProtocolState};

impl Inspector {
    /// `rule`, inspected in the direction to the client, could match the transaction at `index` now or once more has come of it:
    /// no buffer that is there rules it out, with any bytes behind it unless it is complete. Buffers of which a transaction can
    /// have several say nothing but for `file.data`, of which only the first is asked: the caller knows that there is no other.
    pub fn could_match(&mut self, rule: RuleIndex, state: &dyn ProtocolState, index: usize) -> bool {
        let Inspector { program, evaluator, .. } = self;
        let Some(rule) = program.rule(rule) else { return true };
        evaluator.begin_rule();
        rule.buffers.iter().all(|buffer| {
            let Source::Transaction(slot) = buffer.source else { return true };
            let Some(slot) = program.slots().get(slot) else { return true };
            let alone = !slot.multi || slot.buffer == weir_ir::Buffer::FileData;
            if !alone || !slot.steps.is_empty() || !matches!(buffer.absence, Absence::Fails) {
                return true;
            }
            let direction = buffer.side.unwrap_or_else(|| slot_direction(slot, Direction::ToClient));
            match state.buffer(index, direction, slot.buffer, 0) {
                BufferState::Present(view) => evaluator.could_ever_hold(&buffer.chain, view.bytes, view.complete),
                _ => true,
            }
        })
    }
}
