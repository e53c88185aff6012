//! Data sets in memory.

use crate::program::datasets::{DatasetTable, Entries};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use weir_ir::BitOperation;

/// Most entries of one set that rules may add.
const CAPACITY: usize = 1 << 20;

/// One set: what its rules were loaded with, and what rules have changed since. The changes stay when other rules come.
#[derive(Debug, Default)]
struct Set {
    /// What the program in force loads.
    loaded: Arc<Entries>,
    added: HashSet<Box<[u8]>>,
    /// Of the loaded ones.
    removed: HashSet<Box<[u8]>>,
}

impl Set {
    fn contains(&self, bytes: &[u8]) -> bool {
        self.added.contains(bytes) || self.loaded.contains_key(bytes) && !self.removed.contains(bytes)
    }

    fn len(&self) -> usize {
        self.added.len() + self.loaded.len() - self.removed.len()
    }

    fn insert(&mut self, bytes: &[u8]) {
        if !self.removed.remove(bytes) {
            self.added.insert(bytes.into());
        }
    }

    fn remove(&mut self, bytes: &[u8]) -> bool {
        self.added.remove(bytes) || self.loaded.contains_key(bytes) && self.removed.insert(bytes.into())
    }

    /// Other rules: what they load takes the place of what was loaded before.
    fn load(&mut self, entries: &Arc<Entries>) {
        self.loaded = Arc::clone(entries);
        self.added.retain(|value| !self.loaded.contains_key(value));
        self.removed.retain(|value| self.loaded.contains_key(value));
    }
}

/// All sets. Those of `datarep` hold the entries that the rule's comparison lets through (the compiler chose them).
#[derive(Debug, Default)]
pub struct Datasets {
    names: HashMap<Arc<str>, usize>,
    sets: Vec<Set>,
    map: Vec<usize>,
    program: u64,
    full: u64,
}

impl Datasets {
    /// Translate the set indices of a program, and load the entries that its rules were loaded with.
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
                self.sets.push(Set::default());
            }
            if let Some(set) = self.sets.get_mut(index) {
                set.load(&definition.entries);
            }
            self.map.push(index);
        }
        // Sets that no rule names any more keep what rules have added to them.
        for (index, set) in self.sets.iter_mut().enumerate() {
            if !self.map.contains(&index) {
                (set.loaded, set.removed) = Default::default();
            }
        }
    }

    /// What the set knows of a value.
    pub fn context(&self, set: u32, bytes: &[u8]) -> Option<Arc<str>> {
        let set = *self.map.get(set as usize)?;
        self.sets.get(set)?.loaded.get(bytes)?.clone()
    }

    /// Additions refused because a set was full.
    pub fn evicted(&self) -> u64 {
        self.full
    }

    /// Entries of a set by name.
    pub fn entries(&self, name: &str) -> Option<impl Iterator<Item = &[u8]>> {
        let set = self.sets.get(*self.names.get(name)?)?;
        let loaded = set.loaded.keys().filter(|value| !set.removed.contains(*value));
        Some(loaded.chain(&set.added).map(|value| &**value))
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
                set.insert(bytes);
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(values: &[&str]) -> Arc<Entries> {
        Arc::new(values.iter().map(|value| (value.as_bytes().into(), None)).collect())
    }

    #[test]
    fn other_rules_bring_other_entries_and_keep_what_rules_changed() {
        let mut one = Set::default();
        one.load(&set(&["a", "b"]));
        one.insert(b"c");
        assert!(one.remove(b"b") && !one.remove(b"b"));
        assert!(one.contains(b"a") && !one.contains(b"b") && one.contains(b"c") && one.len() == 2);
        one.load(&set(&["b", "c", "d"]));
        assert!(!one.contains(b"a"), "no longer loaded");
        assert!(!one.contains(b"b"), "a rule has removed it");
        assert!(one.contains(b"c") && one.contains(b"d") && one.len() == 2);
        one.load(&set(&[]));
        assert!(one.len() == 0);
        one.insert(b"x");
        one.load(&set(&["b"]));
        assert!(one.contains(b"b") && one.contains(b"x"));
    }
}
