//! Distinct (buffer, transforms) pairs of transactions.

use super::buffers;
use crate::transform::{self, Step};
use std::collections::HashMap;
use weir_ir::{Buffer, Transform};

/// One kind of transaction buffer.
#[derive(Debug)]
pub struct Slot {
    /// Buffer.
    pub buffer: Buffer,
    /// Transforms, in order.
    pub steps: Vec<Step>,
    /// Directions in which it exists.
    pub directions: u8,
    /// A transaction can hold several.
    pub multi: bool,
}

/// All slots.
#[derive(Debug, Default)]
pub struct SlotTable {
    slots: Vec<Slot>,
    known: HashMap<(Buffer, Vec<Transform>), u16>,
}

impl SlotTable {
    /// Index of a pair.
    pub fn intern(&mut self, buffer: Buffer, transforms: &[Transform]) -> Result<u16, String> {
        let key = (buffer, transforms.to_vec());
        if let Some(&index) = self.known.get(&key) {
            return Ok(index);
        }
        let index = u16::try_from(self.slots.len()).map_err(|_| "more than 65535 kinds of buffers".to_string())?;
        self.slots.push(Slot {
            buffer,
            steps: transform::compile(transforms)?,
            directions: buffers::directions(buffer),
            multi: buffer.is_multi(),
        });
        self.known.insert(key, index);
        Ok(index)
    }

    /// One slot.
    #[inline]
    pub fn get(&self, index: u16) -> Option<&Slot> {
        self.slots.get(index as usize)
    }

    /// In index order.
    pub fn all(&self) -> &[Slot] {
        &self.slots
    }

    /// Number of slots.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// No slot.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}
