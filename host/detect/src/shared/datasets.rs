//! Data sets in memory.

use crate::program::datasets::DatasetTable;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use weir_ir::BitOperation;

/// Most entries of one set that rules may add.
const CAPACITY: usize = 1 << 20;

/// All sets. Those of `datarep` hold the entries that the rule's comparison lets through (the compiler chose them).
#[derive(Debug, Default)]
pub struct Datasets {
    names: HashMap<Arc<str>, usize>,
    sets: Vec<HashSet<Box<[u8]>>>,
    map: Vec<usize>,
    /// What JSON sets know of their values.
    contexts: HashMap<(usize, Box<[u8]>), Arc<str>>,
    program: u64,
    full: u64,
}

impl Datasets {
    /// Translate the set indices of a program, loading the entries of sets not seen before.
    pub fn attach(&mut self, program: u64, table: &DatasetTable) {
        if self.program == program {
            return;
        }
        self.program = program;
        self.map.clear();
        for definition in table.definitions() {
            let next = self.sets.len();
            let index = *self.names.entry(definition.name.clone()).or_insert(next);
            if index == next {
                self.sets.push(HashSet::new());
            }
            if let Some(set) = self.sets.get_mut(index) {
                set.extend(definition.entries.iter().cloned());
            }
            for (entry, known) in definition.entries.iter().zip(definition.contexts.iter()) {
                self.contexts.insert((index, entry.clone()), known.clone());
            }
            self.map.push(index);
        }
    }

    /// What the set knows of a value.
    pub fn context(&self, set: u32, bytes: &[u8]) -> Option<Arc<str>> {
        let set = *self.map.get(set as usize)?;
        self.contexts.get(&(set, bytes.into())).cloned()
    }

    /// Additions refused because a set was full.
    pub fn evicted(&self) -> u64 {
        self.full
    }

    /// Entries of a set by name.
    pub fn entries(&self, name: &str) -> Option<impl Iterator<Item = &[u8]>> {
        let set = self.sets.get(*self.names.get(name)?)?;
        Some(set.iter().map(|k| &**k))
    }

    /// Perform the operation of a rule; the answer is whether the match holds. `set` holds when the entry is new,
    /// `unset` when it was there.
    pub fn apply(&mut self, set: u32, operation: BitOperation, bytes: &[u8]) -> bool {
        let Some(set) = self.map.get(set as usize).and_then(|&i| self.sets.get_mut(i)) else { return false };
        match operation {
            BitOperation::IsSet => set.contains(bytes),
            BitOperation::IsNotSet => !set.contains(bytes),
            BitOperation::Unset => set.remove(bytes),
            BitOperation::Set | BitOperation::Toggle => {
                if set.contains(bytes) {
                    if operation == BitOperation::Toggle {
                        set.remove(bytes);
                        return true;
                    }
                    return false;
                }
                if set.len() >= CAPACITY {
                    self.full += 1;
                    return false;
                }
                set.insert(bytes.into());
                true
            }
        }
    }
}
