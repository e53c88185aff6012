//! Names of bits and counters, interned to small numbers that stay the same over reloads.

use std::collections::HashMap;
use std::sync::Arc;

/// A table of names.
#[derive(Debug, Default, Clone)]
pub struct Names {
    index: HashMap<Arc<str>, u32>,
    names: Vec<Arc<str>>,
}

impl Names {
    /// Number of a name, new ones at the end.
    pub fn intern(&mut self, name: &Arc<str>) -> u32 {
        if let Some(&index) = self.index.get(name) {
            return index;
        }
        let next = self.names.len() as u32;
        self.index.insert(name.clone(), next);
        self.names.push(name.clone());
        next
    }

    /// Number of a known name.
    pub fn get(&self, name: &str) -> Option<u32> {
        self.index.get(name).copied()
    }

    /// Name of a number.
    pub fn name(&self, index: u32) -> Option<&str> {
        self.names.get(index as usize).map(|n| &**n)
    }

    /// All names, in order of their numbers.
    pub fn all(&self) -> &[Arc<str>] {
        &self.names
    }
}

/// The tables of a program.
#[derive(Debug, Default, Clone)]
pub struct NameTables {
    /// flowbits
    pub bits: Names,
    /// flowints
    pub ints: Names,
    /// xbits and hostbits
    pub host_bits: Names,
}
