//! Evaluation order: action, then setters of flow state before its readers, then priority, then signature.

use std::collections::HashMap;
use weir_ir::state::{FlowintOperation, FlowintValue};
use weir_ir::{Action, BitOperation, Rule};

/// Ranks of pass, drop, reject and alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionOrder(pub [u8; 4]);

impl Default for ActionOrder {
    fn default() -> Self {
        ActionOrder([0, 1, 2, 3])
    }
}

impl ActionOrder {
    /// From the actions' names, first to last. None unless each stands there once.
    pub fn from_names<'n>(names: impl Iterator<Item = &'n str>) -> Option<ActionOrder> {
        let mut ranks = [u8::MAX; 4];
        let mut next = 0;
        for name in names {
            let at = ["pass", "drop", "reject", "alert"].iter().position(|known| *known == name)?;
            if std::mem::replace(&mut ranks[at], next) != u8::MAX {
                return None;
            }
            next += 1;
        }
        (next == 4).then_some(ActionOrder(ranks))
    }

    /// Rank of an action.
    pub fn rank(self, action: Action) -> u8 {
        self.0[match action {
            Action::Pass => 0,
            Action::Drop => 1,
            Action::Reject | Action::RejectDestination | Action::RejectBoth => 2,
            Action::Alert | Action::Config | Action::Accept => 3,
        }]
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Variable<'r> {
    Bit(&'r str),
    Int(&'r str),
    Host(&'r str),
}

fn is_test(operation: BitOperation) -> bool {
    matches!(operation, BitOperation::IsSet | BitOperation::IsNotSet)
}

fn reads_and_writes(rule: &Rule) -> (Vec<Variable<'_>>, Vec<Variable<'_>>) {
    let (mut reads, mut writes) = (vec![], vec![]);
    for op in &rule.flowbits {
        let list = if is_test(op.operation) { &mut reads } else { &mut writes };
        list.extend(op.names.iter().map(|n| Variable::Bit(n)));
    }
    for op in &rule.xbits {
        let list = if is_test(op.operation) { &mut reads } else { &mut writes };
        list.push(Variable::Host(&op.name));
    }
    for op in &rule.flowints {
        match &op.operation {
            FlowintOperation::Set(value) | FlowintOperation::Add(value) | FlowintOperation::Subtract(value) => {
                writes.push(Variable::Int(&op.name));
                if let FlowintValue::Variable(other) = value {
                    reads.push(Variable::Int(other));
                }
            }
            FlowintOperation::CompareVariable(_, _, other) => {
                reads.push(Variable::Int(&op.name));
                reads.push(Variable::Int(other));
            }
            _ => reads.push(Variable::Int(&op.name)),
        }
    }
    (reads, writes)
}

/// Indices of `rules` in evaluation order.
pub fn order(rules: &[&Rule], actions: ActionOrder) -> Vec<usize> {
    let ranks = ranks(rules);
    let mut indices: Vec<usize> = (0..rules.len()).collect();
    indices.sort_by_key(|&i| {
        let (rule, rank) = (&rules[i], ranks[i]);
        let id = rule.identity;
        (actions.rank(rule.action), rank, rule.meta.priority, id.sid, id.gid, id.rev, i)
    });
    indices
}

/// 0 for rules that read nothing another rule writes, else one more than the largest rank of those writers. Cycles are
/// cut where they close.
fn ranks(rules: &[&Rule]) -> Vec<u32> {
    let mut writers: HashMap<Variable<'_>, Vec<usize>> = HashMap::new();
    let mut needs: HashMap<usize, Vec<Variable<'_>>> = HashMap::new();
    for (i, rule) in rules.iter().enumerate() {
        let (reads, writes) = reads_and_writes(rule);
        for variable in writes {
            writers.entry(variable).or_default().push(i);
        }
        if !reads.is_empty() {
            needs.insert(i, reads);
        }
    }
    let mut edges: HashMap<usize, Vec<usize>> = HashMap::new();
    for (&reader, reads) in &needs {
        let mut from: Vec<usize> =
            reads.iter().flat_map(|v| writers.get(v).into_iter().flatten().copied()).filter(|&w| w != reader).collect();
        from.sort_unstable();
        from.dedup();
        edges.insert(reader, from);
    }
    let mut rank = vec![0u32; rules.len()];
    // 0 new, 1 open, 2 done
    let mut state = vec![0u8; rules.len()];
    let mut readers: Vec<usize> = needs.keys().copied().collect();
    readers.sort_unstable();
    for root in readers {
        let mut stack = vec![(root, 0usize)];
        while let Some((node, next)) = stack.pop() {
            if state[node] == 2 {
                continue;
            }
            state[node] = 1;
            let from = edges.get(&node).map_or(&[][..], |e| e);
            match from.get(next) {
                Some(&writer) => {
                    stack.push((node, next + 1));
                    if state[writer] == 0 {
                        stack.push((writer, 0));
                    }
                }
                None => {
                    // A writer that is still open closes a cycle: its edge does not count.
                    rank[node] = from.iter().filter(|&&w| state[w] == 2).map(|&w| rank[w] + 1).max().unwrap_or(0);
                    state[node] = 2;
                }
            }
        }
    }
    rank
}
