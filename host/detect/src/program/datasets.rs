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
    /// File that it is kept in when the run ends.
    pub saved: Option<Arc<str>>,
    /// Entries loaded with the rules, and what is known of them, in JSON sets.
    pub entries: Arc<Entries>,
}

/// Loaded entries of a set.
pub type Entries = HashMap<Box<[u8]>, Option<Arc<str>>>;

fn entries_of(operation: &DatasetOperation) -> Arc<Entries> {
    let contexts = operation.context.as_ref().map_or(&[][..], |(_, known)| known);
    let known = contexts.iter().cloned().map(Some).chain(std::iter::repeat(None));
    Arc::new(operation.entries.iter().cloned().zip(known).collect())
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
                saved: None,
                entries: entries_of(operation),
            });
        }
        let Some(definition) = self.definitions.get_mut(index as usize) else { return Ok(index) };
        if definition.kind != operation.kind {
            return Err(format!(
                "dataset {} has type {} here and type {} in an earlier rule",
                operation.name, operation.kind, definition.kind
            ));
        }
        if definition.saved.is_none() {
            definition.saved.clone_from(&operation.saved);
        }
        if definition.entries.is_empty() {
            definition.entries = entries_of(operation);
        }
        Ok(index)
    }

    /// In index order.
    pub fn definitions(&self) -> &[Definition] {
        &self.definitions
    }
}
