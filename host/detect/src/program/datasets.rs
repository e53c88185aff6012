//! The data sets that a program's rules name.

use std::collections::HashMap;
use std::sync::Arc;
use weir_ir::DatasetOperation;

/// One set.
#[derive(Debug)]
pub struct Definition {
    /// Name, shared by all rules.
    pub name: Arc<str>,
    /// `type`
    pub kind: Arc<str>,
    /// Entries loaded with the rules, with their reputation.
    pub entries: Vec<(Box<[u8]>, u64)>,
}

/// All sets of a program.
#[derive(Debug, Default)]
pub struct DatasetTable {
    by_name: HashMap<Arc<str>, u32>,
    definitions: Vec<Definition>,
}

impl DatasetTable {
    /// Index of the set that `operation` names; its entries are taken over.
    pub fn intern(&mut self, operation: &DatasetOperation) -> Result<u32, String> {
        let next = self.definitions.len() as u32;
        let index = *self.by_name.entry(operation.name.clone()).or_insert(next);
        if index == next {
            self.definitions.push(Definition {
                name: operation.name.clone(),
                kind: operation.kind.clone(),
                entries: vec![],
            });
        }
        let Some(definition) = self.definitions.get_mut(index as usize) else { return Ok(index) };
        if definition.kind != operation.kind {
            return Err(format!(
                "dataset {} has type {} here and type {} in an earlier rule",
                operation.name, operation.kind, definition.kind
            ));
        }
        if definition.entries.is_empty() {
            definition.entries.extend(operation.entries.iter().map(|entry| {
                if operation.reputation.is_some() { split_reputation(entry) } else { (entry.clone(), 0) }
            }));
        }
        Ok(index)
    }

    /// In index order.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }
}

/// An entry of `datarep` ends in a comma and the value.
fn split_reputation(entry: &[u8]) -> (Box<[u8]>, u64) {
    let Some(comma) = entry.iter().rposition(|&b| b == b',') else { return (entry.into(), 0) };
    let (value, digits) = (entry.get(..comma).unwrap_or(&[]), entry.get(comma + 1..).unwrap_or(&[]));
    match std::str::from_utf8(digits).ok().and_then(|d| d.trim().parse().ok()) {
        Some(reputation) => (value.into(), reputation),
        None => (entry.into(), 0),
    }
}
